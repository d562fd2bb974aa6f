"""Approvals of model versions for an environment: asked for, given, bound, taken back."""

from __future__ import annotations

from pydantic import Field

from ledger.events.actors import Role
from ledger.events.base import (
    ActorId,
    Category,
    DecisionBody,
    Digest,
    Environment,
    Erasable,
    FactBody,
    Text,
    Time,
    Uuid,
    event,
)

__all__ = [
    "ApprovalChangesRequested",
    "ApprovalConditionMet",
    "ApprovalEscalated",
    "ApprovalExpired",
    "ApprovalGranted",
    "ApprovalRejected",
    "ApprovalRequested",
    "ApprovalRevoked",
    "ApprovalWithdrawn",
]

_KINDS = ("model",)


class _ApprovalBody(DecisionBody):
    environment: Environment
    digest: Digest = Field(description="Digest of exactly what is to be deployed")


@event(
    "approval.requested", kinds=_KINDS, category=Category.DECISION, roles=("owner", "emitter"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ApprovalRequested(_ApprovalBody):
    """Somebody asks that a version may go to an environment."""

    reason: Text | None = None
    amends: Uuid | None = Field(default=None, description="Event id of the request that was sent back and is amended")


@event(
    "approval.granted", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalGranted(_ApprovalBody):
    """Another person approves the request, having seen the evidence named."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text
    valid_from: Time | None = Field(default=None, description="It holds for what is recorded then or later")
    expires_at: Time | None = Field(default=None, description="It holds for what is recorded before")
    conditions: tuple[Text, ...] = Field(
        default=(), max_length=16, description="It holds only once each is said to be met"
    )


@event(
    "approval.rejected", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalRejected(_ApprovalBody):
    """Another person turns the request down."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text


@event(
    "approval.changes_requested", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("changes.*", "rationale"),
)  # fmt: skip
class ApprovalChangesRequested(_ApprovalBody):
    """Another person sends the request back: it waits for who asked, and another request follows."""

    request: Uuid = Field(description="Event id of the request")
    changes: tuple[Text, ...] = Field(min_length=1, max_length=16, description="What must change")
    rationale: Text | None = None


@event(
    "approval.escalated", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalEscalated(_ApprovalBody):
    """A request is passed to a role or to somebody; it gives nobody a right that they lack."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text
    to_role: Role | None = None
    to_actor: ActorId | None = None


@event(
    "approval.withdrawn", kinds=_KINDS, category=Category.DECISION, roles=("owner", "emitter"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ApprovalWithdrawn(DecisionBody):
    """Who asked asks no more."""

    request: Uuid = Field(description="Event id of the request")
    reason: Text | None = None


@event(
    "approval.revoked", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalRevoked(DecisionBody):
    """An approval is taken back; what was authorised under it before was authorised."""

    approval: Uuid = Field(description="Event id of the approval")
    rationale: Text
    environment: Environment | None = Field(default=None, description="That of the approval; for roles bound to one")


@event(
    "approval.condition_met", kinds=_KINDS, category=Category.DECISION, roles=("approver", "validator"),
    versioned=True, erasable=Erasable.FIELDS, personal=("note",),
)  # fmt: skip
class ApprovalConditionMet(DecisionBody):
    """A condition of an approval is met; not said by whoever stands behind the version."""

    approval: Uuid = Field(description="Event id of the approval")
    condition: int = Field(ge=0, le=15, description="Which of its conditions, from 0")
    note: Text | None = None
    environment: Environment | None = Field(default=None, description="That of the approval; for roles bound to one")


@event(
    "approval.expired", kinds=_KINDS, category=Category.FACT, roles=("emitter", "approver", "owner"), versioned=True,
)  # fmt: skip
class ApprovalExpired(FactBody):
    """Notice that an approval has come to its end; it ended by itself."""

    approval: Uuid = Field(description="Event id of the approval")
