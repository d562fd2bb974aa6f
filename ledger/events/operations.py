"""What else happens around models: settings, credentials, refused access, drills, evidence, retraining, notices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import (
    Category,
    Digest,
    Environment,
    Erasable,
    FactBody,
    Line,
    RunName,
    SubjectName,
    Text,
    Time,
    Uuid,
    event,
)

__all__ = [
    "AccessDenied",
    "ConfigurationChanged",
    "CredentialExpired",
    "CredentialRotated",
    "DecisionRefused",
    "DrillConducted",
    "EvidencePreserved",
    "NotificationFailed",
    "NotificationSent",
    "RetrainRequested",
    "RetrainResolved",
]


@event(
    "configuration.changed", kinds=(), category=Category.FACT, roles=("emitter", "deployer", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ConfigurationChanged(FactBody):
    """Settings of the subject are others than before."""

    digest: Digest = Field(description="Digest of the settings now")
    previous: Digest | None = None
    changed: tuple[Line, ...] = Field(default=(), max_length=256, description="Names of what changed, without values")
    reason: Text | None = None


class _Credential(FactBody):
    credential: Line = Field(description="Its name, never its value")
    used_by: tuple[SubjectName, ...] = Field(default=(), max_length=64)


@event("credential.rotated", kinds=(), category=Category.FACT, roles=("emitter", "deployer"))
class CredentialRotated(_Credential):
    """A credential was replaced."""

    expires_at: Time | None = None


@event("credential.expired", kinds=(), category=Category.FACT, roles=("emitter", "deployer"))
class CredentialExpired(_Credential):
    """A credential is no longer accepted."""

    expired_at: Time | None = None


@event(
    "access.denied", kinds=(), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.WHOLE, personal=("principal", "reason"),
)  # fmt: skip
class AccessDenied(FactBody):
    """Somebody tried what they may not."""

    principal: Line = Field(description="Who, in the words of the system that refused")
    action: Line
    system: Line | None = None
    reason: Text | None = None
    count: int = Field(default=1, ge=1, description="How many times")


@event("decision.refused", kinds=(), category=Category.FACT, roles=(), erasable=Erasable.FIELDS, personal=("reason",))
class DecisionRefused(FactBody):
    """The ledger refused a decision of the author, by a rule; once an hour for the same one."""

    decision: Line = Field(description="Type of the event that was refused")
    refused: Literal["policy", "not-allowed"] = Field(description="By the rules, or because the author may not")
    reason: Text = Field(description="What the rules ask for, as it was told")
    rule: Line | None = Field(
        default=None,
        description="The rule that refused it, by its table and its row, for example stops approval.granted/retired",
    )
    environment: Environment | None = None


@event(
    "drill.conducted", kinds=(), category=Category.FACT, roles=("emitter", "owner", "incident-commander", "deployer"),
    erasable=Erasable.FIELDS, personal=("notes",),
)  # fmt: skip
class DrillConducted(FactBody):
    """What to do in an emergency was rehearsed."""

    kind: Line = Field(description="For example rollback, canary, restore, key-compromise, runbook")
    outcome: Literal["pass", "fail", "partial"]
    seconds: float | None = Field(default=None, ge=0, description="How long it took")
    runbook: Digest | None = None
    notes: Text | None = None


@event(
    "evidence.preserved", kinds=(), category=Category.FACT,
    roles=("emitter", "auditor", "incident-commander", "validator"),
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class EvidencePreserved(FactBody):
    """Something was put where it is kept."""

    digest: Digest
    kind: Line
    uri: Line | None = None
    keep_until: Time | None = None


@event(
    "retrain.requested", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RetrainRequested(FactBody):
    """A model should be trained again."""

    trigger: Literal["drift", "schedule", "labels", "incident", "data", "other"]
    reason: Text | None = None
    due_at: Time | None = None


@event(
    "retrain.resolved", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RetrainResolved(FactBody):
    """What became of a request to train again."""

    request: Uuid = Field(description="Event id of the request")
    outcome: Literal["done", "failed", "refused", "superseded"]
    run: RunName | None = None
    version: SubjectName | None = Field(default=None, description="What came of it, model:name@version")
    reason: Text | None = Field(default=None, description="Why it failed or was refused")


class _Notice(FactBody):
    recipient_class: Literal["regulator", "customer", "data-subject", "internal", "public", "vendor", "platform"]
    recipient: Line | None = None
    digest: Digest | None = Field(default=None, description="Digest of what was sent")
    about: Uuid | None = Field(default=None, description="Event id of what was told")
    channel: Literal["exec", "webhook"] | None = Field(default=None, description="How Muniment told it")
    attempts: int | None = Field(default=None, ge=1)
    status: int | None = Field(default=None, description="Exit code of the command, or status of the HTTP answer")


@event(
    "notification.sent", kinds=(), category=Category.FACT,
    roles=("emitter", "owner", "incident-commander"),
    erasable=Erasable.FIELDS, personal=("recipient",),
)  # fmt: skip
class NotificationSent(_Notice):
    """Somebody was told."""

    sent_at: Time | None = None
    deadline: Time | None = None


@event(
    "notification.failed", kinds=(), category=Category.FACT,
    roles=("emitter", "owner", "incident-commander"),
    erasable=Erasable.FIELDS, personal=("recipient",),
)  # fmt: skip
class NotificationFailed(_Notice):
    """Somebody was to be told, and was not."""

    reason: Text
