"""What of a state stands: approvals by the rules of the ledger, and what rests on no suspect entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain.authorising import deployment_doubt
from ledger.domain.lifecycle import quarantines_of, version_of
from ledger.domain.world import World
from ledger.errors import PolicyError
from ledger.names import stream_of
from ledger.suspects import Doubts
from projections.approvals import Standings, decided_status
from projections.asof import AsOf, recorded_by
from projections.base import ViewReader
from projections.quarantined import tell_held
from projections.remarks import remark

__all__ = ["Stamped", "suspend"]

Stamp = dict[str, Any]
#: Statuses of a version that come of requests for its approval.
_BY_DECISION: Final = ("approved", "approval pending", "changes requested", "rejected", "suspended")


class Stamped:
    """Asks of entries by their stamps whether they are suspect.

    Args:
        ledger: the log.
        size: log size that is known.
    """

    def __init__(self, ledger: Ledger, size: int) -> None:
        self.world = ledger.world.at(size)
        self._recorder = ledger.recorder
        self._doubts = Doubts(self.world)

    def suspect(self, stamp: Stamp | None) -> bool:
        """Whether the entry of a stamp is suspect; most are not even read."""
        if stamp is None or not self._doubts.may(stamp["actor"], stamp["index"]):
            return False
        return self._doubts.of(self._recorder.rows(stamp["index"], 1)[0]) is not None


@dataclass(frozen=True)
class _Asked:
    """Entries as known now, and decisions as recorded by the moment that is asked about."""

    stamped: Stamped
    standings: Standings
    then: World
    views: ViewReader

    def version(self, version: dict[str, Any]) -> None:
        """Say what of a version stands."""
        for approval in version["approvals"]:
            if approval["grants"]:
                self.standings.tell(version["version"], approval)
            elif approval["status"] == "pending" and self.stamped.suspect(approval["requested"]):
                approval["status"] = "suspended"
        if version["status"] in _BY_DECISION:
            version["status"] = decided_status(version)
        read = self._quarantined_data(version["version"])
        version["quarantines"] += read
        if version["status"] == "live":
            return
        if self._fallen(version):
            version["status"] = "suspended"
        elif read:
            version["status"] = "quarantined"

    def _fallen(self, version: dict[str, Any]) -> bool:
        """Whether its registration is suspect, or what it was authorised by is and nothing else stands."""
        if self.stamped.suspect(version["registered"]):
            return True
        if version["status"] != "deploy authorised" or any(one["status"] == "approved" for one in version["approvals"]):
            return False
        return any(self.stamped.suspect(grant) for approval in version["approvals"] for grant in approval["grants"])

    def _quarantined_data(self, subject: str) -> list[dict[str, Any]]:
        """Quarantines of what it was made from or measured on: they stop decisions about it as its own do."""
        try:
            named = version_of(self.then, subject)
        except PolicyError:
            return []  # not recorded by then, or suspect
        # Its own are folded.
        held = (one for one in quarantines_of(self.then, named) if one.subject not in (subject, stream_of(subject)))
        return tell_held(self.views, held)


def suspend(
    ledger: Ledger, views: ViewReader, as_of: AsOf, found: dict[str, Any], at: int | None = None
) -> dict[str, Any]:
    """Say in a state what stands.

    Args:
        ledger: the log.
        views: its views.
        as_of: both clocks; decisions count as far as they were recorded by the moment that is asked about.
        found: what `model_state.state_as_of` gave, which is changed: an approval that does not stand is ``expired``,
            ``conditional`` or ``suspended``, one that does not suffice ``pending``, and a version is called by that; a
            suspect entry of a deployment is marked ``suspect``, and what is live and rests on one ``rests-on-suspect``,
            and all that `remarks.remark` says.
        at: the moment, in microseconds since the Unix epoch; that of ``as_of`` when None.

    Returns:
        The same.
    """
    moment = as_of.asked if at is None else at
    decided = recorded_by(views, as_of, moment)
    known, then = ledger.world.at(as_of.size), ledger.world.at(decided)
    asked = _Asked(Stamped(ledger, as_of.size), Standings(then, decided, moment), then, views)
    for model in found["models"]:
        for version in model["versions"]:
            asked.version(version)
    for deployment in found["deployments"]:
        for item in deployment["history"]:
            if asked.stamped.suspect(item):
                item["marks"] = [*item["marks"], "suspect"]
        live = deployment["live"]
        if live is not None and deployment_doubt(known, deployment["deployment"], live["model"], live["digest"]):
            live["marks"] = [*live["marks"], "rests-on-suspect"]
        remark(known, then, views, deployment, moment)
    return found
