"""What people establish about a model: its risk, its documents, its contract, and independent validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import (
    ActorId,
    Category,
    DecisionBody,
    Digest,
    Erasable,
    FactBody,
    Line,
    Open,
    SubjectName,
    Text,
    Tier,
    Time,
    Title,
    Uuid,
    event,
)

__all__ = [
    "BomAttached",
    "ContractDefined",
    "DocumentationAttached",
    "FindingDisposed",
    "RiskClassified",
    "ValidationAssigned",
    "ValidationCompleted",
    "ValidationFinding",
]


@event(
    "risk.classified", kinds=("model",), category=Category.DECISION, roles=("owner", "validator"),
    erasable=Erasable.FIELDS, personal=("rationale",),
)  # fmt: skip
class RiskClassified(DecisionBody):
    """Which tier a model, or one version of it, belongs to; the tier decides which rules hold."""

    tier: Tier
    rationale: Text
    answers: dict[str, bool] = Field(default_factory=dict, description="Question of the decision list to its answer")
    regime: Line | None = Field(default=None, description="Whose classification, for example EU AI Act Annex III")
    annex: Line | None = Field(default=None, description="Where it stands there, for example Annex III(5)(b)")
    questionnaire: Digest | None = Field(default=None, description="Digest of the questions as they were answered")
    effective_at: Time | None = Field(
        default=None, description="Since when it applies in that regime; the ledger's rules follow it at once"
    )


@event(
    "documentation.attached", kinds=(), category=Category.FACT, roles=("emitter", "owner", "validator", "auditor"),
    erasable=Erasable.FIELDS, personal=("title", "uri", "author"),
)  # fmt: skip
class DocumentationAttached(FactBody):
    """A document about the subject exists and has this digest."""

    kind: Line = Field(description="For example DPIA, FRIA, datasheet, bill-of-materials, runbook")
    digest: Digest
    title: Title | None = None
    version: Line | None = Field(default=None, description="Of the document")
    author: Line | None = Field(default=None, description="Who wrote it")
    uri: Line | None = None
    expires_at: Time | None = None


@event(
    "bom.attached", kinds=(), category=Category.FACT, roles=("emitter", "owner", "validator"),
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class BomAttached(FactBody):
    """A bill of materials of the subject exists and has this digest (CycloneDX, SPDX)."""

    format: Line = Field(description="For example CycloneDX 1.7, SPDX 3.0")
    digest: Digest
    serial_number: Line | None = Field(default=None, description="Its own name, for example urn:uuid:…")
    version: int | None = Field(default=None, ge=1, description="Of the bill with that serial number")
    uri: Line | None = None


@event("contract.defined", kinds=("model", "deployment"), category=Category.FACT, roles=("emitter", "owner"))
class ContractDefined(FactBody):
    """What goes in and what comes out."""

    input_schema: Digest
    output_schema: Digest
    inputs: dict[str, Line] = Field(default_factory=dict, description="Input name to type")
    outputs: dict[str, Line] = Field(default_factory=dict, description="Output name to type")
    breaking: bool | None = Field(default=None, description="Whether callers must change")


@event("validation.assigned", kinds=("model",), category=Category.FACT, roles=("owner", "validator"))
class ValidationAssigned(FactBody):
    """Somebody independent is to validate a model."""

    validator: ActorId
    due_at: Time | None = None
    scope: Text | None = None


class ValidationFinding(Open):
    """One thing a validator found."""

    id: Line = Field(description="Its name within this validation")
    severity: Literal["low", "medium", "high", "critical"]
    statement: Text


@event(
    "validation.completed", kinds=("model",), category=Category.FACT, roles=("validator",),
    erasable=Erasable.FIELDS, personal=("findings.*.statement",),
)  # fmt: skip
class ValidationCompleted(FactBody):
    """An independent validation ended."""

    verdict: Literal["pass", "fail", "uncertain"]
    independence: Text = Field(description="Why the validator is independent of whoever made the model")
    findings: tuple[ValidationFinding, ...] = Field(default=(), max_length=256)
    digest: Digest | None = Field(default=None, description="Digest of what was validated")
    report: Digest | None = None
    valid_until: Time | None = None


@event(
    "validation.withdrawn", kinds=("model",), category=Category.FACT, roles=("validator",),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ValidationWithdrawn(FactBody):
    """A validation does not hold: what rests on it is suspended, until somebody validates again."""

    validation: Uuid = Field(description="Event id of the validation")
    reason: Text
    superseded_by: Uuid | None = Field(default=None, description="Event id of the one that holds")


@event(
    "finding.disposed", kinds=("model",), category=Category.FACT, roles=("owner", "validator"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class FindingDisposed(FactBody):
    """What became of a validator's finding."""

    validation: Uuid = Field(description="Event id of the validation")
    finding: Line = Field(description="The finding's name within it")
    disposition: Literal["fixed", "accepted", "disputed", "deferred"]
    reason: Text
    action: SubjectName | None = None
    due_at: Time | None = None
