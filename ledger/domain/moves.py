"""The life cycle of a version as a table: its states, which event leads to which, and what each may stop.

What happens is recorded in whatever state a version is; only decisions are refused. Whatever tells a state uses these
words: the judge (`domain.stages`) and the views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["MOVES", "PLACED", "SIDE_STATES", "STATES", "STOPPABLE", "Move", "decided_state", "unstoppable"]


@dataclass(frozen=True, slots=True)
class Move:
    """What leads a version from one state to another.

    Attributes:
        event: type of the event; None where time alone does it.
        of: the states it leads from; any where it is empty.
        to: the state it leads to.
        side: it stands beside the others, until it is lifted.
        other: the event names another version, and this is what becomes of the one that was there.
    """

    event: str | None
    of: tuple[str, ...]
    to: str
    side: bool = False
    other: bool = False


#: A request that was granted: whether its approvals stand is asked again and again.
_GRANTED: Final = ("approved", "conditions open", "approval upcoming", "approval expired", "suspended")
#: A request is open: it was neither rejected, nor sent back, nor withdrawn.
_OPEN: Final = ("approval pending", *_GRANTED)
#: What is cited, or asked for, and says less than it did, or something else; and once more what it said.
_SAID: Final = (
    "evaluation.completed", "validation.completed", "contract.defined", "gate.evaluated", "performance.tested",
    "artifact.scanned", "artifact.verified", "modelcard.revised", "documentation.attached", "risk.classified",
    "dataset.quality_assessed", "dataset.consent_changed",
)  # fmt: skip
#: What it rests on is there no more.
_GONE: Final = (
    "evaluation.invalidated", "validation.withdrawn", "waiver.revoked", "run.failed", "dataset.deleted",
    "version.demoted", "key.compromised",
)  # fmt: skip

#: From registration to the end, and the states beside it. Who withdraws a request leaves what was before it.
MOVES: Final = (
    Move("version.registered", (), "registered"),
    Move("evaluation.completed", ("registered",), "evaluated"),
    Move("approval.requested", (), "approval pending"),
    Move("approval.granted", ("approval pending", *_GRANTED[1:]), "approved"),
    Move("approval.granted", ("approval pending",), "conditions open"),
    Move("approval.granted", ("approval pending",), "approval upcoming"),
    Move("approval.condition_met", ("conditions open",), "approved"),
    Move(None, ("approval upcoming",), "approved"),
    Move(None, ("approved", "conditions open"), "approval expired"),
    Move("approval.changes_requested", _OPEN, "changes requested"),
    Move("approval.rejected", _OPEN, "rejected"),
    Move("approval.withdrawn", (*_OPEN, "changes requested"), "registered"),
    Move("approval.withdrawn", (*_OPEN, "changes requested"), "evaluated"),
    Move("approval.revoked", _GRANTED[:-1], "suspended"),
    *(Move(event, ("approved",), "suspended") for event in (*_SAID, *_GONE)),
    *(Move(event, ("suspended",), "approved") for event in _SAID),
    Move("deployment.authorised", (), "deploy authorised"),
    Move("deployment.held", ("deploy authorised",), "approved"),
    Move("canary.stage_entered", (), "canary"),
    Move("canary.aborted", ("canary",), "deploy authorised"),
    Move("deployment.completed", (), "live"),
    Move("deployment.promoted", (), "live"),
    Move("rollback.completed", (), "live"),
    Move("rollback.completed", ("live",), "rolled back", other=True),
    Move("deployment.completed", ("live",), "approved", other=True),
    Move("version.retired", (), "retired", side=True),
    Move("model.decommissioned", (), "retired", side=True),
    Move("quarantine.placed", (), "quarantined", side=True),
)
#: Every state, in the order in which the table comes to it.
STATES: Final = tuple(dict.fromkeys(move.to for move in MOVES))
#: States beside the others.
SIDE_STATES: Final = frozenset(move.to for move in MOVES if move.side)
#: States in one deployment; all others but those beside are for an environment.
PLACED: Final = ("deploy authorised", "canary", "live", "rolled back")

_DECIDED: Final = frozenset(STATES) - SIDE_STATES - {*PLACED}
_DEPLOYABLE: Final = SIDE_STATES | {*PLACED} | _DECIDED - {"approved"}
_WAIVABLE: Final = SIDE_STATES | {"registered", "changes requested", "rejected", "suspended", "approval expired"}
#: Decisions about a version that may be stopped, each with the states that may stop it: those from which something else
#: leads on. What takes back, lets go or protects, and what happens, is stopped by none.
STOPPABLE: Final[Mapping[str, frozenset[str]]] = {
    "approval.requested": SIDE_STATES
    | {"registered", "approval pending", "approved", "conditions open", "approval upcoming"},
    "approval.granted": SIDE_STATES | _DECIDED - {"registered", "evaluated", "approval pending"},
    "deployment.requested": _DEPLOYABLE,
    "deployment.authorised": _DEPLOYABLE,
    "waiver.requested": _WAIVABLE,
    "waiver.granted": _WAIVABLE,
}


def unstoppable(decision: str, state: str) -> str | None:
    """Why a state may not stop a decision that others may, in words; None when it may."""
    if state in STOPPABLE[decision]:
        return None
    if state not in STATES:
        return f"there is no state {state!r}"
    family, pending = decision.partition(".")[0], state == "approval pending"
    if state in PLACED:
        return f"a version is {state} in one deployment, and {decision} names none"
    if decision == "approval.granted":
        return "nothing could be approved any more" if pending else f"what is {state} waits for no approval"
    return {
        "approval": f"only another request leads on from {state}",
        "deployment": f"what is {state} could never be deployed",
        "waiver": f"what is {state} is what gates are run over, and waivers are for these",
    }[family]


#: What a version is called by what has become of a request, where that is not the same word.
_CALLED: Final[Mapping[str, str]] = {
    "pending": "approval pending", "revoked": "suspended", "conditional": "conditions open",
    "expired": "approval expired", "upcoming": "approval upcoming",
}  # fmt: skip
#: What became of approvals: another one that stands all the same weighs more.
_FELL: Final = ("expired", "conditional", "upcoming", "suspended", "revoked")


def decided_state(said: Sequence[str], *, measured: bool) -> tuple[str, int | None]:
    """Where requests for approval leave a version: the last one that still says something counts.

    Args:
        said: what has become of each; the one about which something was decided last comes first.
        measured: whether the version was ever evaluated.

    Returns:
        The state, and the place in ``said`` of what it comes of; None where no request says anything.
    """
    known = [(one, place) for place, one in enumerate(said) if one != "withdrawn"]
    if not known:
        return ("evaluated" if measured else "registered"), None
    standing = next((one for one in known if one[0] == "approved"), known[0])
    last, place = standing if known[0][0] in _FELL else known[0]
    return _CALLED.get(last, last), place
