"""Waivers: a check that is not met, for a while, knowingly, with something that makes up for it."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import (
    ActorId,
    Category,
    DecisionBody,
    Environment,
    Erasable,
    FactBody,
    Line,
    SubjectName,
    Text,
    Time,
    event,
)

__all__ = ["WaiverDenied", "WaiverExpired", "WaiverGranted", "WaiverRequested", "WaiverRevoked", "WaiverUsed"]

_KINDS = ("waiver",)


@event(
    "waiver.requested", kinds=_KINDS, category=Category.DECISION, roles=("owner", "emitter"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason", "compensating_control"),
)  # fmt: skip
class WaiverRequested(DecisionBody):
    """Somebody asks that one check may be left unmet for a while."""

    check: Line = Field(description="Id of the check, or a pattern in which * stands for any characters")
    model: SubjectName = Field(description="Model or version it is for")
    environment: Environment
    owner: ActorId = Field(description="Who carries the risk")
    reason: Text
    compensating_control: Text = Field(description="What makes up for it meanwhile")
    expires_at: Time = Field(description="It holds for what is recorded before")
    single_use: bool = Field(default=False, description="It holds for one authorisation, as with max_uses 1")
    max_uses: int | None = Field(
        default=None, ge=1, description="For how many authorisations it holds; any when absent"
    )
    ticket: Line | None = Field(default=None, description="Where it is worked on meanwhile")
    renews: SubjectName | None = Field(default=None, description="The waiver that it goes on from, waiver:name")


@event(
    "waiver.granted", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=False,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class WaiverGranted(DecisionBody):
    """Another person lets it be, until then at the latest."""

    rationale: Text
    environment: Environment | None = Field(default=None, description="That of the request; for roles bound to one")
    model: SubjectName | None = Field(default=None, description="That of the request; for roles bound to some models")
    expires_at: Time | None = Field(default=None, description="An earlier end than was asked for")


@event(
    "waiver.denied", kinds=_KINDS, category=Category.DECISION, roles=("approver",), versioned=False,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class WaiverDenied(DecisionBody):
    """Another person does not."""

    rationale: Text
    environment: Environment | None = Field(default=None, description="That of the request; for roles bound to one")
    model: SubjectName | None = Field(default=None, description="That of the request; for roles bound to some models")


@event(
    "waiver.revoked", kinds=_KINDS, category=Category.DECISION, roles=("approver", "owner"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class WaiverRevoked(DecisionBody):
    """A waiver ends before its time."""

    reason: Text
    environment: Environment | None = Field(default=None, description="That of the request; for roles bound to one")
    model: SubjectName | None = Field(default=None, description="That of the request; for roles bound to some models")


@event("waiver.used", kinds=_KINDS, category=Category.DECISION, roles=("deployer",), versioned=False)
class WaiverUsed(DecisionBody):
    """One of the uses of a waiver goes to an authorisation of this deployment."""

    deployment: SubjectName
    model: SubjectName


@event("waiver.expired", kinds=_KINDS, category=Category.FACT, roles=("emitter", "approver", "owner"), versioned=False)
class WaiverExpired(FactBody):
    """Notice that a waiver has come to its end; it ended by itself."""
