"""Who signed an entry, where, when and about what: what must be known to weigh it again later."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain.recorded import RecordedEvent
from ledger.events.approvals import (
    ApprovalConditionMet,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalRevoked,
)
from ledger.events.policies import GateEvaluated
from ledger.events.waivers import WaiverDenied, WaiverGranted, WaiverRequested, WaiverRevoked, WaiverUsed
from ledger.names import parse_name

__all__ = ["ROOT_ACTOR", "Signed", "signed_of"]

#: The source of events signed by the root keys themselves.
ROOT_ACTOR = "root"
#: Bodies that name the environment they are about, or may.
_PLACED = (
    ApprovalRequested, ApprovalGranted, ApprovalRejected, ApprovalRevoked, ApprovalConditionMet, GateEvaluated,
    WaiverRequested, WaiverGranted, WaiverDenied, WaiverRevoked,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signed:
    """The signing of one entry.

    Attributes:
        index: leaf index of the entry.
        recorded_at: see `RecordedEvent`.
        actor: its author.
        keys: key ids that signed it.
        type: its topic.
        stream: the stream it stands in.
        environment: the environment it is about, None when it names none.
    """

    index: int
    recorded_at: int
    actor: str
    keys: tuple[str, ...]
    type: str
    stream: str
    environment: str | None


def signed_of(event: RecordedEvent) -> Signed:
    """The signing of an event."""
    environment: str | None = None
    if event.subject.kind == "deployment":
        environment = event.subject.namespace
    elif isinstance(event.body, _PLACED):
        environment = event.body.environment
    elif isinstance(event.body, WaiverUsed):
        environment = parse_name(event.body.deployment).namespace
    return Signed(
        event.index, event.recorded_at, event.actor, event.keys, event.payload.type, event.stream, environment
    )
