"""What settles a decision about a deployment: which entries do, and the command that records the one still missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from projections.groups import WENT_LIVE
from projections.journal import JournalRow

if TYPE_CHECKING:
    from projections.service import Decision, Service

__all__ = ["returns_of", "settles", "told_by"]


def settles(decision: Decision, row: JournalRow) -> str | None:
    """What an entry means for a decision that is open.

    Args:
        decision: the decision.
        row: a later entry, of what is so by then.

    Returns:
        How it ends, ``against`` it, or None when the entry has nothing to do with it.
    """
    kind, data = row["type"], row["data"]
    key = (data.get("model"), data.get("digest"))
    if decision.action == "rollback":
        if kind in WENT_LIVE:
            goes = {decision.beside, *decision.canaries} - {decision.key}
            return "followed" if key == decision.key else "against" if key in goes else "otherwise"
        stays = decision.beside == decision.key  # a canary is to go, and what is live stays
        if stays and kind == "canary.aborted" and key in decision.canaries:
            return "followed"
        return "against" if kind == "canary.stage_entered" and key in decision.canaries else None
    if kind in WENT_LIVE:
        on_canary = decision.key in decision.canaries
        return "followed" if key != decision.key else "against" if on_canary else None
    if key == decision.key and kind == "canary.aborted":
        return "followed"
    if key == decision.key and kind == "deployment.authorised":
        return "lifted"
    if key == decision.key and kind == "canary.stage_entered":
        return "against"
    return None


def told_by(service: Service, decision: Decision) -> str:
    """The command that tells that a decision was carried out, by what serves now.

    Args:
        service: the deployment.
        decision: of it, which is open.
    """
    place, model = service.name, decision.key[0]
    if decision.action == "rollback":
        gone = next((model for model, _ in decision.canaries & service.canaries.keys()), None)
        if decision.key == decision.beside and gone is not None:
            return f"When it is done: muniment record canary {place} --model {gone} --aborted …"
        return f"When it is done: muniment record rollback {place} --model {model}"
    if decision.key in service.canaries:
        return f"When it is done: muniment record canary {place} --model {model} --aborted …"
    # Of what is live, or of what is not there: an abort would settle nothing.
    other = f"record deployment {place} --model …"
    if decision.key in decision.canaries and decision.beside is not None:  # it was promoted all the same
        other = f"record rollback {place} --model {decision.beside[0]}"
    return (
        f"When another version is live: muniment {other}; to let this one go on: "
        f"muniment authorise {place} --model {model} --lift-hold …"
    )


def returns_of(service: Service, now: int) -> Iterator[dict[str, Any]]:
    """Returns from what serves that were decided and are open.

    Args:
        service: the deployment.
        now: when is asked, in microseconds since the Unix epoch.

    Returns:
        Plain values: ``deployment``, ``model`` that is to go, ``to`` which, the entry that decided it (``index``,
        ``actor``, ``due_at``), ``status`` (open or overdue), and ``next``, the command that tells that it is done.
    """
    serving = {one.key for one in service.serving()}
    for decision in service.open_decisions():
        for key in decision.leaving if decision.action == "rollback" else ():
            if key in serving:
                told = decision.describe(now)
                found = {name: told[name] for name in ("index", "actor", "due_at", "status")}
                where = {"deployment": service.name, "model": key[0], "to": decision.key[0]}
                yield where | found | {"next": told_by(service, decision)}
