"""Approvals of model versions for an environment."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import Category, DecisionBody, Digest, Environment, Erasable, Text, Uuid, event

__all__ = ["ApprovalGranted", "ApprovalRejected", "ApprovalRequested"]


class _ApprovalBody(DecisionBody):
    environment: Environment
    digest: Digest = Field(description="Digest of exactly what is to be deployed")


@event(
    "approval.requested", kinds=("model",), category=Category.DECISION, roles=("owner", "emitter"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ApprovalRequested(_ApprovalBody):
    """Somebody asks that a version may go to an environment."""

    reason: Text | None = None


@event(
    "approval.granted", kinds=("model",), category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalGranted(_ApprovalBody):
    """Another person approves the request, having seen the evidence named."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text


@event(
    "approval.rejected", kinds=("model",), category=Category.DECISION, roles=("approver",), versioned=True,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class ApprovalRejected(_ApprovalBody):
    """Another person turns the request down."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text
