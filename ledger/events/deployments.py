"""Deployments and rollbacks: request, authorisation, and the fact."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ledger.events.base import (
    Category,
    DecisionBody,
    Digest,
    Erasable,
    FactBody,
    Line,
    SubjectName,
    Text,
    Time,
    Uuid,
    _Frozen,
    event,
)

__all__ = [
    "CanaryAborted",
    "CanaryAnalysed",
    "CanaryPaused",
    "CanaryStageEntered",
    "DeploymentAuthorised",
    "DeploymentCompleted",
    "DeploymentDenied",
    "DeploymentFailed",
    "DeploymentHeld",
    "DeploymentPromoted",
    "DeploymentRequested",
    "DeploymentStarted",
    "Emergency",
    "EmergencyReviewed",
    "RollbackAuthorised",
    "RollbackCompleted",
    "RollbackRequested",
]

_KINDS = ("deployment",)


class _Intent(DecisionBody):
    model: SubjectName = Field(description="The model version, model:name@version")
    digest: Digest
    reason: Text | None = None
    strategy: Line | None = Field(
        default=None, description="How it is to be rolled out, for example canary, blue-green"
    )
    traffic: float | None = Field(default=None, ge=0, le=1, description="Share of the traffic that it is to get")
    config_digest: Digest | None = Field(default=None, description="Digest of the settings that it is to run with")


class _RollbackIntent(DecisionBody):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")  # protection is never blocked

    model: SubjectName = Field(description="The version to return to, model:name@version")
    digest: Digest
    incident: SubjectName | None = None
    reason: Text | None = None
    trigger: Uuid | None = Field(default=None, description="Event id of what called for it, for example slo.breached")
    due_at: Time | None = Field(default=None, description="When what was decided should have been done")
    automatic: bool | None = Field(default=None, description="Whether a rule decided it, and no person")


class Emergency(_Frozen):
    """The rules were not waited for; another person reviews it, until then it is in every report."""

    reason: Text
    review_by: Time = Field(description="When it must have been reviewed")


@event(
    "deployment.requested", kinds=_KINDS, category=Category.DECISION, roles=("owner", "deployer", "emitter"),
    versioned=False, erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentRequested(_Intent):
    """Somebody asks that a version be deployed here."""


@event(
    "deployment.authorised", kinds=_KINDS, category=Category.DECISION, roles=("deployer",), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentAuthorised(_Intent):
    """This version may be deployed here; nothing has been changed by saying so."""

    approvals: tuple[Uuid, ...] = Field(
        default=(), max_length=64, description="Event ids of approvals on which it rests, each of which must stand"
    )
    emergency: Emergency | None = None


@event(
    "deployment.denied", kinds=_KINDS, category=Category.DECISION, roles=("deployer",), versioned=False,
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class DeploymentDenied(DecisionBody):
    """A request to deploy is turned down; nothing else is changed by saying so."""

    request: Uuid = Field(description="Event id of the request")
    rationale: Text


@event(
    "deployment.held", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentHeld(_RollbackIntent):
    """No more traffic may go to this version here, by a rule or a person; the platform is told, nothing is done."""


@event(
    "emergency.reviewed", kinds=_KINDS, category=Category.DECISION, roles=("approver", "validator", "auditor"),
    versioned=False, erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class EmergencyReviewed(DecisionBody):
    """Another person has looked at a decision that was taken in an emergency."""

    decision: Uuid = Field(description="Event id of the decision")
    verdict: Literal["justified", "unjustified"]
    rationale: Text


class _Outcome(FactBody):
    model: SubjectName = Field(description="The model version, model:name@version")
    digest: Digest


@event(
    "deployment.started", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
)  # fmt: skip
class DeploymentStarted(_Outcome):
    """The platform began to deploy this version here; it is not live yet."""

    strategy: Line | None = None
    traffic: float | None = Field(default=None, ge=0, le=1, description="Share of the traffic that it is to get")
    config_digest: Digest | None = Field(default=None, description="Digest of the settings that it is to run with")
    deployment_id: Line | None = Field(default=None, description="The platform's own id of it (OpenTelemetry)")


@event(
    "deployment.completed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
    erasable=Erasable.FIELDS, personal=("config.*",),
)  # fmt: skip
class DeploymentCompleted(_Outcome):
    """This version is live here."""

    strategy: Line | None = None
    traffic: float | None = Field(default=None, ge=0, le=1, description="Share of the traffic; all of it when absent")
    config: dict[str, Any] | None = None
    config_digest: Digest | None = Field(default=None, description="Digest of the settings that it went live with")
    deployment_id: Line | None = Field(default=None, description="The platform's own id of it (OpenTelemetry)")


@event(
    "deployment.failed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentFailed(_Outcome):
    """A deployment was tried and did not go live."""

    reason: Text
    deployment_id: Line | None = Field(default=None, description="The platform's own id of it (OpenTelemetry)")


class _Canary(_Outcome):
    stage: int = Field(ge=1, le=99, description="Number of the stage, from 1")
    traffic: float = Field(ge=0, le=1, description="Share of the traffic")
    budget_used: float | None = Field(default=None, ge=0, description="Share of the error budget used so far")
    metrics: dict[str, float] = Field(default_factory=dict)


@event(
    "canary.stage_entered", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
)  # fmt: skip
class CanaryStageEntered(_Canary):
    """This version gets this share of the traffic here."""


@event(
    "canary.analysed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
)  # fmt: skip
class CanaryAnalysed(_Canary):
    """What a stage showed; the verdict is the analysis's."""

    verdict: Literal["pass", "fail", "uncertain"]
    analysis: Line | None = Field(default=None, description="Its name or id where it ran")


@event(
    "canary.paused", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class CanaryPaused(_Outcome):
    """This version gets no more traffic here than it has until somebody looked."""

    reason: Text


@event(
    "canary.aborted", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class CanaryAborted(_Outcome):
    """This version gets no traffic here any more."""

    reason: Text


@event(
    "deployment.promoted", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
)  # fmt: skip
class DeploymentPromoted(_Outcome):
    """A canary takes over all traffic here."""

    previous: SubjectName | None = Field(default=None, description="The version it takes over from")


@event(
    "rollback.requested", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RollbackRequested(_RollbackIntent):
    """Somebody asks to return to an earlier version; this is never blocked."""


@event(
    "rollback.authorised", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RollbackAuthorised(_RollbackIntent):
    """Returning to an earlier version may go ahead; this is never blocked."""


@event(
    "rollback.completed", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason", "verification"),
)  # fmt: skip
class RollbackCompleted(_Outcome):
    """An earlier version is live again here; recorded whatever it returned to."""

    incident: SubjectName | None = None
    reason: Text | None = None
    from_model: SubjectName | None = Field(default=None, description="The version that it returned from")
    trigger: Uuid | None = Field(default=None, description="Event id of what called for it, for example slo.breached")
    automatic: bool | None = Field(default=None, description="Whether the platform did it by itself")
    verified: Literal["pass", "fail", "uncertain"] | None = Field(
        default=None, description="Whether it was seen to serve well again"
    )
    verification: Text | None = Field(default=None, description="How that was looked at")
