"""What is known of deployments besides what is live: canaries, decisions, promises, and what is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.application import Ledger
from ledger.payload import parse_moment
from projections.asof import AsOf
from projections.base import ViewReader
from projections.remarks import canaries_of
from projections.service import Service, read_service
from projections.serving import read_serving
from projections.slo.burnt import burnt
from projections.slo.fallback import known_good
from projections.slo.watching import look
from projections.waivers import waived_for

__all__ = ["asked_at", "operate"]


def asked_at(as_of: AsOf) -> int:
    """The time by which something is overdue, for an answer that stays the same for ever."""
    return as_of.recorded_at if as_of.at is None else as_of.at


def operate(
    ledger: Ledger, views: ViewReader, as_of: AsOf, found: dict[str, Any], *, promises: bool = False
) -> dict[str, Any]:
    """Say of each deployment what is known of it besides.

    Args:
        ledger: the log.
        views: its views.
        as_of: both clocks.
        found: what `model_state.state_as_of` gave, which is changed: deployments get ``canaries`` with their stages and
            marks and quarantines, ``known_good`` (to which a rule would return), ``decisions`` with what followed,
            ``promises`` and ``serving``; what is authorised, live or a canary there gets ``waived``: on what its
            authorisation rests.
        promises: whether to look how promises are kept, which reads windows; ``promises`` is None otherwise, and
            ``known_good`` may be a version that burnt by windows that came late.

    Returns:
        The same.
    """
    world, now = ledger.world.at(as_of.size), asked_at(as_of)
    for deployment in found["deployments"]:
        service = read_service(views, as_of, deployment["deployment"])
        newest = service.newest
        burns = burnt(ledger, views, as_of, service, now=now) if promises else None
        good = None if newest is None else known_good(world, service, newest.key, now=now, burnt=burns)
        deployment["canaries"] = list(_canaries(deployment, service))
        deployment["known_good"] = None if good is None else {"model": good[0], "digest": good[1]}
        deployment["decisions"] = [decision.describe(now) for decision in service.decisions]
        kept = look(ledger, views, as_of, service, now=now) if promises else ()
        deployment["promises"] = [one.describe() for one in kept] if promises else None
        deployment["serving"] = read_serving(views, as_of, deployment["deployment"]).describe()
        for item in filter(None, (deployment["authorised"], deployment["live"], deployment["canary"])):
            item["waived"] = _waived(ledger, views, deployment, item)
    return found


def _canaries(deployment: dict[str, Any], service: Service) -> Iterator[dict[str, Any]]:
    """Each canary with its stages, and with the remarks that its last entry has in the state."""
    last = {(item["model"], item["digest"]): item for item in canaries_of(deployment)}
    for key, tenure in service.canaries.items():
        yield {**tenure.describe(), "marks": last[key]["marks"], "quarantines": last[key]["quarantines"]}


def _waived(ledger: Ledger, views: ViewReader, deployment: dict[str, Any], item: dict[str, Any]) -> list[str]:
    """What was waived for the last authorisation of what is authorised, live or a canary."""
    which = (item["model"], item["digest"])
    given = [
        one for one in deployment["history"] if one["type"] == "deployment.authorised"
        and (one["model"], one["digest"]) == which and one["index"] <= item["index"]
    ]  # fmt: skip
    last = max(given, key=lambda one: int(one["index"]), default=None)
    if last is None or "emergency" in last["marks"]:
        return []  # nobody authorised it, or no gate was asked
    recorded = (last["index"], parse_moment(last["recorded_at"]))
    return waived_for(ledger, views, recorded, deployment["deployment"], last["model"])
