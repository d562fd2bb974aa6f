"""Incidents, from the first sign to the action items."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ledger.events.base import (
    ActorId,
    Category,
    Day,
    DecisionBody,
    Digest,
    Erasable,
    Line,
    Open,
    SubjectName,
    Text,
    Time,
    Title,
    Uuid,
    event,
)

__all__ = [
    "ActionItemAssigned",
    "ActionItemCompleted",
    "ActionItemCreated",
    "ActionItemVerified",
    "ContributingFactorRecorded",
    "IncidentClosed",
    "IncidentLinked",
    "IncidentMitigated",
    "IncidentNoted",
    "IncidentOpened",
    "IncidentReopened",
    "IncidentResolved",
    "IncidentRoleAssigned",
    "IncidentSeverityChanged",
    "PostmortemPublished",
    "RootCauseRecorded",
    "TimelineQuery",
]

_KINDS = ("incident",)


class _IncidentBody(DecisionBody):
    """Incident bodies may name evidence like a decision, but nothing about them is refused that can be kept."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


@event(
    "incident.opened", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("title", "affected", "description"),
)  # fmt: skip
class IncidentOpened(_IncidentBody):
    """Something is wrong."""

    title: Title
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    deployment: SubjectName | None = Field(default=None, description="The deployment that suffers")
    model: SubjectName | None = Field(default=None, description="The version that was live, if known")
    detected_at: Time | None = Field(default=None, description="When it was noticed")
    impact_start: Time | None = Field(default=None, description="Since when it did harm")
    seriousness: Line | None = Field(default=None, description="In the law's words, for example EU AI Act Art. 3(49)")
    report_by: Time | None = Field(
        default=None, description="When the authority must have been told, for example EU AI Act Art. 73"
    )
    affected: Text | None = Field(default=None, description="Who suffers, and how many")
    description: Text | None = None


@event(
    "incident.noted", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("note",),
)  # fmt: skip
class IncidentNoted(_IncidentBody):
    """A remark for the timeline."""

    note: Text


@event(
    "incident.mitigated", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("note",),
)  # fmt: skip
class IncidentMitigated(_IncidentBody):
    """The harm has stopped."""

    impact_end: Time | None = Field(default=None, description="When it stopped")
    note: Text | None = None


@event(
    "incident.resolved", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("note",),
)  # fmt: skip
class IncidentResolved(_IncidentBody):
    """What caused it is mended; it stays open until it is closed."""

    note: Text | None = None


class _Cause(_IncidentBody):
    category: Literal["data", "code", "model", "configuration", "process", "infrastructure", "external", "unknown"]
    statement: Text
    reviewers: tuple[ActorId, ...] = Field(default=(), max_length=64, description="Who looked at it and agrees")


@event(
    "incident.root_cause_recorded", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("statement",),
)  # fmt: skip
class RootCauseRecorded(_Cause):
    """What people concluded caused it."""


@event(
    "incident.contributing_factor_recorded", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("statement",),
)  # fmt: skip
class ContributingFactorRecorded(_Cause):
    """What people concluded had a part in it, and did not cause it alone."""


@event(
    "incident.action_item_created", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("title",),
)  # fmt: skip
class ActionItemCreated(_IncidentBody):
    """Something to do so that it does not come back."""

    title: Title
    kind: Literal["prevent", "detect", "mitigate"] = "prevent"
    owner: ActorId | None = None
    due: Day | None = Field(default=None, description="Day, YYYY-MM-DD")


@event("incident.action_item_assigned", kinds=_KINDS, category=Category.PROTECTION, versioned=False)
class ActionItemAssigned(_IncidentBody):
    """Who does it, and by when; the last word holds."""

    item: Uuid = Field(description="Event id of the action item")
    owner: ActorId
    due: Day | None = Field(default=None, description="Day, YYYY-MM-DD")


@event(
    "incident.action_item_completed", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("note",),
)  # fmt: skip
class ActionItemCompleted(_IncidentBody):
    """Something that was to do is done."""

    item: Uuid = Field(description="Event id of the action item")
    proof: Uuid | None = Field(default=None, description="Event id of what shows it, for example a drill.conducted")
    note: Text | None = None


@event(
    "incident.action_item_verified", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.WHOLE, personal=("note",),
)  # fmt: skip
class ActionItemVerified(_IncidentBody):
    """Somebody looked whether what was done helps."""

    item: Uuid = Field(description="Event id of the action item")
    outcome: Literal["effective", "ineffective"]
    note: Text | None = None


@event("incident.severity_changed", kinds=_KINDS, category=Category.PROTECTION, versioned=False)
class IncidentSeverityChanged(_IncidentBody):
    """The incident is worse, or not as bad, as it was thought."""

    severity: Literal["low", "medium", "high", "critical"]
    reason: Text | None = None


@event("incident.role_assigned", kinds=_KINDS, category=Category.PROTECTION, versioned=False)
class IncidentRoleAssigned(_IncidentBody):
    """Who does what in this incident."""

    role: Line = Field(description="For example commander, scribe, communications")
    assignee: ActorId


@event(
    "incident.linked", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class IncidentLinked(_IncidentBody):
    """Something has to do with this incident, or has been ruled out."""

    subject: SubjectName
    relation: Literal["caused-by", "correlated", "ruled-out", "affects", "duplicate-of"]
    confidence: float | None = Field(default=None, ge=0, le=1)
    reason: Text | None = None


@event("incident.reopened", kinds=_KINDS, category=Category.PROTECTION, versioned=False)
class IncidentReopened(_IncidentBody):
    """The incident is not over."""

    reason: Text


@event(
    "incident.closed", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("summary",),
)  # fmt: skip
class IncidentClosed(_IncidentBody):
    """The incident is over."""

    summary: Text


class TimelineQuery(Open):
    """How a timeline was asked for: asked again, it has the same rows."""

    size: int = Field(ge=1, le=2**53 - 1, description="Log size that was known, as --known-at")
    at: Time | None = Field(default=None, description="What had occurred by then, as --at; everything when absent")
    before: float = Field(default=24.0, ge=0, le=876_600, description="Hours before it was opened")
    after: float = Field(default=4.0, ge=0, le=876_600, description="Hours after it was closed")


@event(
    "postmortem.published", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class PostmortemPublished(_IncidentBody):
    """What was learnt is written down; ``seen`` names the log that its timeline was made from."""

    digest: Digest
    format: Line | None = None
    uri: Line | None = None
    timeline: TimelineQuery | None = Field(default=None, description="How to ask for its timeline again")
