"""Who signed an entry, where, when and about what: what must be known to weigh it again later."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain.recorded import RecordedEvent
from ledger.events.approvals import (
    ApprovalChangesRequested,
    ApprovalConditionMet,
    ApprovalEscalated,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalRevoked,
)
from ledger.events.models import VersionDemoted
from ledger.events.policies import GateEvaluated
from ledger.events.waivers import WaiverDenied, WaiverGranted, WaiverRequested, WaiverRevoked, WaiverUsed
from ledger.names import parse_name, stream_of

__all__ = ["ROOT_ACTOR", "Signed", "signed_of"]

#: The source of events signed by the root keys themselves.
ROOT_ACTOR = "root"
#: Bodies that name the environment they are about, or may.
_PLACED = (
    ApprovalRequested, ApprovalGranted, ApprovalRejected, ApprovalRevoked, ApprovalConditionMet,
    ApprovalChangesRequested, ApprovalEscalated, GateEvaluated, WaiverRequested, WaiverGranted, WaiverDenied,
    WaiverRevoked, VersionDemoted,
)  # fmt: skip
#: Bodies of waivers, which name the model they are for, or may.
_WAIVERS = (WaiverRequested, WaiverGranted, WaiverDenied, WaiverRevoked, WaiverUsed)


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
        about: the stream of the model that a waiver is for, None when it names none or is about something else.
    """

    index: int
    recorded_at: int
    actor: str
    keys: tuple[str, ...]
    type: str
    stream: str
    environment: str | None
    about: str | None = None


def signed_of(event: RecordedEvent) -> Signed:
    """The signing of an event."""
    environment: str | None = None
    if event.subject.kind == "deployment":
        environment = event.subject.namespace
    elif isinstance(event.body, _PLACED):
        environment = event.body.environment
    elif isinstance(event.body, WaiverUsed):
        environment = parse_name(event.body.deployment).namespace
    model = event.body.model if isinstance(event.body, _WAIVERS) else None
    return Signed(
        event.index, event.recorded_at, event.actor, event.keys, event.payload.type, event.stream, environment,
        None if model is None else stream_of(model),
    )  # fmt: skip
