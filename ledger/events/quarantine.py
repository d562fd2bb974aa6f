"""Quarantine: something must not be used until it was looked at."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from ledger.events.base import Category, DecisionBody, Erasable, Line, SubjectName, Text, Time, Uuid, event

__all__ = ["QuarantinePlaced", "QuarantineReleased"]

_KINDS = ("model", "dataset", "featureset")


@event(
    "quarantine.placed", kinds=_KINDS, category=Category.PROTECTION, erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class QuarantinePlaced(DecisionBody):
    """The subject must not be used; this is never blocked."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")  # protection is never blocked

    reason: Text
    incident: SubjectName | None = None
    scope: Line | None = Field(
        default=None, description="What of it is bad, in words; the ledger holds all of the subject"
    )
    serving_blocked: bool | None = Field(
        default=None, description="Whether whatever serves it refuses it too; the ledger stops decisions alone"
    )
    known_since: Time | None = Field(default=None, description="Since when it is known to be bad")
    held_by: Line | None = Field(default=None, description="Who keeps it held, for example a team or an authority")


@event(
    "quarantine.released", kinds=_KINDS, category=Category.DECISION, roles=("approver", "validator"),
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class QuarantineReleased(DecisionBody):
    """The subject may be used again, as another person says than whoever made it."""

    quarantine: Uuid = Field(description="Event id of what placed it there")
    rationale: Text
