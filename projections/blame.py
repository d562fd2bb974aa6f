"""What speaks against a version in a deployment: breaches, and decisions; and what clears it of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections.groups import DEPLOYED
from projections.journal import JournalRow

if TYPE_CHECKING:
    from projections.service import Decision, Service, Tenure

__all__ = ["Blame", "authorised", "breached", "breaches_over", "decided", "deployed", "recovered"]


@dataclass(frozen=True, slots=True)
class Blame:
    """What speaks against a version.

    Attributes:
        id, index: of the entry that says so.
        words: what it says, about ``it``.
        action: what was decided; None of a breach.
        trigger: event id of the breach; of a decision, of the breach that led to it.
    """

    id: str
    index: int
    words: str
    action: str | None = None
    trigger: str | None = None


def _add(service: Service, keys: Iterable[tuple[str, str]], blame: Blame) -> None:
    for key in keys:
        service.blamed.setdefault(key, []).append(blame)


def _drop(service: Service, keys: Iterable[tuple[str, str]], over: Callable[[Blame], bool]) -> None:
    """Forget what is over of some versions; what was decided and is open is not."""
    still = {one.id for one in service.open_decisions()}
    for key in keys:
        service.blamed[key] = [one for one in service.blamed.get(key, ()) if one.id in still or not over(one)]


def breached(service: Service, now: Service, row: JournalRow) -> None:
    """A promise is breached.

    Args:
        service: the deployment.
        now: what serves by what was recorded before.
        row: the entry, in which no version is the one that came last.
    """
    model, newest = row["data"].get("model"), now.newest
    keys = [key for key in now.seen if key[0] == model] if model else [] if newest is None else [newest.key]
    words = f"it breached {row['data']['slo']} there (entry {row['index']})"
    _add(service, keys, Blame(row["id"], row["index"], words, trigger=row["id"]))


def decided(service: Service, decision: Decision) -> None:
    """A hold, or a return: that speaks against what was to go then."""
    row, action = decision.row, decision.action
    what = "a hold of" if action == "hold" else "a return from"
    words = f"{what} it was decided there (entry {row['index']})"
    blame = Blame(row["id"], row["index"], words, action, row["data"].get("trigger"))
    _add(service, decision.leaving, blame)


def breaches_over(service: Service, row: JournalRow) -> set[str]:
    """Event ids of the breaches that are over, as an entry says; where it names a version, only of that one."""
    name, model = row["data"]["slo"], row["data"].get("model")
    return {
        one["id"] for one in service.breaches
        if one["data"]["slo"] == name and (model is None or one["data"].get("model") in (None, model))
    }  # fmt: skip


def recovered(service: Service, row: JournalRow) -> None:
    """A promise is kept again: its breaches are over, and the holds that they led to."""
    model, over = row["data"].get("model"), breaches_over(service, row)
    keys = [key for key in service.blamed if model in (None, key[0])]
    _drop(service, keys, lambda one: one.action != "rollback" and one.trigger in over)


def authorised(service: Service, row: JournalRow) -> None:
    """A version is authorised anew: what was decided before is over; that it breached a promise is not."""
    key = (row["data"]["model"], row["data"]["digest"])
    _drop(service, [key], lambda one: one.action is not None)


def deployed(service: Service, live: Tenure | None, row: JournalRow) -> None:
    """A version went live anew, with what the rules ask for: what was before it began to serve is over.

    Args:
        service: the deployment.
        live: what is live now.
        row: the entry that says so.
    """
    if row["type"] in DEPLOYED and live is not None and "unauthorised" not in row["marks"]:
        begun = live.index
        _drop(service, [live.key], lambda one: one.index < begun)
