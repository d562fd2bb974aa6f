"""Evaluations and tests of model versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, SubjectName, Text, Title, Uuid, event
from ledger.events.runs import Cost

__all__ = [
    "EvaluationCompleted",
    "EvaluationInvalidated",
    "FairnessAssessment",
    "Measurement",
    "PerformanceTested",
    "Slice",
    "verdict_of",
]


class Slice(Open):
    """The metrics of one subgroup."""

    slice: Line = Field(description="Which subgroup, for example sex=female")
    metrics: dict[str, float]
    count: int | None = Field(default=None, ge=0)


class Measurement(Open):
    """One number with what is needed to judge it (CycloneDX's performanceMetric)."""

    name: Line
    value: float
    slice: Line | None = Field(default=None, description="Which subgroup; everything when absent")
    reference: Line | None = Field(default=None, description="The subgroup or version it is compared with")
    delta: float | None = Field(default=None, description="Difference from the reference")
    ci_low: float | None = None
    ci_high: float | None = None
    confidence: float | None = Field(default=None, gt=0, lt=1, description="Of the interval, for example 0.95")
    threshold: float | None = None
    better: Literal["higher", "lower"] | None = None
    verdict: Literal["pass", "fail", "uncertain"] | None = None


class FairnessAssessment(Open):
    """What a version does to a group of people (CycloneDX's fairnessAssessment)."""

    group_at_risk: Title
    benefits: Text | None = None
    harms: Text | None = None
    mitigation: Text | None = Field(default=None, description="What is done against the harms")


def verdict_of(data: Mapping[str, Any]) -> str:
    """What an evaluation says for a version: nothing that passed without having measured anything.

    How much each feature counts (``importance``) is no measure of how well a version does.

    Args:
        data: fields of an ``evaluation.completed``.
    """
    measured = any(data.get(name) for name in ("metrics", "measurements", "slices"))
    verdict: str = data.get("verdict") or "uncertain"
    return verdict if measured or verdict != "pass" else "uncertain"


@event(
    "evaluation.completed", kinds=("model",), category=Category.FACT, roles=("emitter", "validator"), versioned=True,
    erasable=Erasable.FIELDS, personal=("evaluator",),
)  # fmt: skip
class EvaluationCompleted(FactBody):
    """A model version was measured; the verdict is the evaluator's."""

    metrics: dict[str, float]
    verdict: Literal["pass", "fail", "uncertain"] = "uncertain"
    kind: (
        Literal["performance", "fairness", "drift", "explainability", "robustness", "safety", "calibration"] | None
    ) = None
    digest: Digest | None = Field(default=None, description="Digest of what was measured")
    suite: Line | None = None
    dataset: SubjectName | None = None
    dataset_digest: Digest | None = None
    split: Line | None = Field(default=None, description="Part of the data set, for example test")
    slices: tuple[Slice, ...] = Field(default=(), max_length=256)
    measurements: tuple[Measurement, ...] = Field(default=(), max_length=256)
    importance: dict[str, float] | None = Field(default=None, description="Feature name to its share in the decisions")
    fairness: tuple[FairnessAssessment, ...] = Field(default=(), max_length=64)
    evaluator: Line | None = Field(default=None, description="Tool or team that measured, with its version")
    report: Digest | None = None

    @property
    def says(self) -> str:
        """What it says for the version; see `verdict_of`."""
        return verdict_of(vars(self))


@event(
    "evaluation.invalidated", kinds=("model",), category=Category.FACT, roles=("emitter", "validator"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class EvaluationInvalidated(FactBody):
    """An evaluation does not hold: it was measured wrongly, or on the wrong thing."""

    evaluation: Uuid = Field(description="Event id of the evaluation")
    reason: Text
    superseded_by: Uuid | None = Field(default=None, description="Event id of the one that holds")


@event(
    "performance.tested", kinds=("model", "deployment"), category=Category.FACT, roles=("emitter", "validator"),
)  # fmt: skip
class PerformanceTested(FactBody):
    """How fast, and how dear, a version is under a load."""

    verdict: Literal["pass", "fail", "uncertain"] = "uncertain"
    model: SubjectName | None = Field(default=None, description="The version, where the subject is a deployment")
    digest: Digest | None = None
    p50_ms: float | None = Field(default=None, ge=0)
    p95_ms: float | None = Field(default=None, ge=0)
    p99_ms: float | None = Field(default=None, ge=0)
    throughput: float | None = Field(default=None, ge=0, description="Requests a second")
    error_rate: float | None = Field(default=None, ge=0, le=1)
    cost: Cost | None = None
    baseline: SubjectName | None = Field(default=None, description="The version it is compared with")
    baseline_p95_ms: float | None = Field(default=None, ge=0)
    baseline_cost: Cost | None = None
    report: Digest | None = None
