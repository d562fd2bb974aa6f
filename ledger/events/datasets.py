"""Data sets, their versions, and what is said of them afterwards."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, SubjectName, Text, Time, event

__all__ = [
    "Assertion",
    "DatasetConsentChanged",
    "DatasetDeleted",
    "DatasetDeprecated",
    "DatasetLicenseChanged",
    "DatasetQualityAssessed",
    "DatasetRegistered",
    "DatasetVersioned",
    "LabelsArrived",
]


class _DatasetBody(FactBody):
    digest: Digest
    name: Line | None = None
    uri: Line | None = None
    format: Line | None = None
    row_count: int | None = Field(default=None, ge=0)
    columns: dict[str, Line] | None = Field(default=None, description="Column name to type")
    profile: dict[str, dict[str, float]] | None = Field(default=None, description="Column to statistic to value")
    license: Line | None = None
    sensitivity: Line | None = None
    collection: Text | None = Field(default=None, description="How and when it was collected (Croissant RAI)")
    biases: tuple[Text, ...] = Field(default=(), max_length=64, description="What it over- or under-represents")
    owners: tuple[Line, ...] = Field(default=(), max_length=64, description="Who owns it (CycloneDX governance)")
    stewards: tuple[Line, ...] = Field(default=(), max_length=64, description="Who sees to its quality")
    custodians: tuple[Line, ...] = Field(default=(), max_length=64, description="Who keeps it")
    description: Text | None = None


@event(
    "dataset.registered", kinds=("dataset",), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.FIELDS, personal=("name", "uri", "description", "owners.*", "stewards.*", "custodians.*"),
)  # fmt: skip
class DatasetRegistered(_DatasetBody):
    """A data set version exists and has this digest (the vocabulary of Croissant and OpenLineage)."""


@event(
    "dataset.versioned", kinds=("dataset",), category=Category.FACT, roles=("emitter",), versioned=True,
    erasable=Erasable.FIELDS,
    personal=("name", "uri", "description", "change", "owners.*", "stewards.*", "custodians.*"),
)  # fmt: skip
class DatasetVersioned(_DatasetBody):
    """A new version of a data set exists, made from an earlier one."""

    previous: SubjectName = Field(description="The version it was made from, dataset:name@version")
    change: Text | None = Field(default=None, description="What is different")


class Assertion(Open):
    """One expectation of a quality assessment (OpenLineage's dataQualityAssertions)."""

    assertion: Line = Field(description="What was expected, for example not_null")
    success: bool
    column: Line | None = None
    actual: Any = Field(default=None, description="What was found")


@event(
    "dataset.quality_assessed", kinds=("dataset",), category=Category.FACT, roles=("emitter", "validator"),
    erasable=Erasable.FIELDS, personal=("assertions.*.actual",),
)  # fmt: skip
class DatasetQualityAssessed(FactBody):
    """A data set version was validated; the verdict is the assessor's."""

    verdict: Literal["pass", "fail", "uncertain"] = "uncertain"
    digest: Digest | None = Field(default=None, description="Digest of what was assessed")
    tool: Line | None = None
    assertions: tuple[Assertion, ...] = Field(default=(), max_length=256)
    metrics: dict[str, float] = Field(default_factory=dict)
    report: Digest | None = None


@event(
    "dataset.deprecated", kinds=("dataset",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DatasetDeprecated(FactBody):
    """A data set should be used no more."""

    reason: Text
    scope: Line | None = Field(default=None, description="Which part, or for which use; all of it when absent")
    effective_at: Time | None = None
    successor: SubjectName | None = None


@event(
    "dataset.deleted", kinds=("dataset",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DatasetDeleted(FactBody):
    """A data set, or a part of it, is not kept any more."""

    reason: Text
    scope: Line | None = Field(default=None, description="Which part; all of it when absent")
    effective_at: Time | None = None
    certificate: Digest | None = Field(default=None, description="Digest of what shows that it was deleted")


@event(
    "dataset.license_changed", kinds=("dataset",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DatasetLicenseChanged(FactBody):
    """A data set is under another licence."""

    license: Line
    previous: Line | None = None
    scope: Line | None = Field(default=None, description="Which part, or which use; all of it when absent")
    reason: Text | None = None
    effective_at: Time | None = None


@event(
    "dataset.consent_changed", kinds=("dataset",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DatasetConsentChanged(FactBody):
    """What the people in a data set agreed to is another thing than before."""

    status: Literal["granted", "limited", "withdrawn"]
    scope: Line | None = Field(default=None, description="Which part, or which use")
    reason: Text | None = None
    effective_at: Time | None = None


@event(
    "labels.arrived", kinds=("dataset", "deployment", "monitor"), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.WHOLE,
)  # fmt: skip
class LabelsArrived(FactBody):
    """The truth about earlier predictions is known now."""

    count: int = Field(ge=0)
    window_start: Time | None = None
    window_end: Time | None = None
    model: SubjectName | None = Field(default=None, description="The version that predicted")
    dataset: SubjectName | None = Field(default=None, description="Where the labels are")
    digest: Digest | None = None
