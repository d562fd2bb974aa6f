"""Evaluations of model versions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, SubjectName, event

__all__ = ["EvaluationCompleted", "Slice"]


class Slice(Open):
    """The metrics of one subgroup."""

    slice: Line = Field(description="Which subgroup, for example sex=female")
    metrics: dict[str, float]
    count: int | None = Field(default=None, ge=0)


@event(
    "evaluation.completed", kinds=("model",), category=Category.FACT, roles=("emitter", "validator"), versioned=True,
    erasable=Erasable.FIELDS,
)  # fmt: skip
class EvaluationCompleted(FactBody):
    """A model version was measured; the verdict is the evaluator's."""

    metrics: dict[str, float]
    verdict: Literal["pass", "fail", "uncertain"] = "uncertain"
    digest: Digest | None = Field(default=None, description="Digest of what was measured")
    suite: Line | None = None
    dataset: SubjectName | None = None
    dataset_digest: Digest | None = None
    slices: tuple[Slice, ...] = Field(default=(), max_length=256)
    report: Digest | None = None
