"""What is really loaded where, and experiments on it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, SubjectName, Text, Time, event

__all__ = ["Arm", "ExperimentCompleted", "ExperimentStarted", "Loaded", "ServingSnapshot"]


class Loaded(Open):
    """One version that an instance has loaded."""

    digest: Digest
    model: SubjectName | None = Field(default=None, description="The version it says it is, model:name@version")
    instance: Line | None = None
    traffic: float | None = Field(default=None, ge=0, le=1, description="Share of the traffic it gets")


@event(
    "serving.snapshot", kinds=("deployment",), category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
)  # fmt: skip
class ServingSnapshot(FactBody):
    """What is loaded in a deployment at this time, as the platform says."""

    loaded: tuple[Loaded, ...] = Field(max_length=256)
    complete: bool = Field(default=True, description="Whether these are all instances")
    platform: Line | None = None


class Arm(Open):
    """One side of an experiment."""

    name: Line
    model: SubjectName = Field(description="The model version")
    digest: Digest | None = None
    traffic: float | None = Field(default=None, ge=0, le=1)


@event("experiment.started", kinds=("experiment",), category=Category.FACT, roles=("emitter", "owner"), versioned=False)
class ExperimentStarted(FactBody):
    """Versions are compared on real traffic."""

    arms: tuple[Arm, ...] = Field(min_length=2, max_length=32)
    metric: Line = Field(description="What decides")
    deployment: SubjectName | None = None
    hypothesis: Text | None = None
    ends_at: Time | None = None


@event(
    "experiment.completed", kinds=("experiment",), category=Category.FACT, roles=("emitter", "owner"), versioned=False,
    erasable=Erasable.FIELDS, personal=("conclusion",),
)  # fmt: skip
class ExperimentCompleted(FactBody):
    """A comparison on real traffic ended."""

    outcome: Literal["better", "worse", "no-difference", "stopped"] = Field(description="Of the first arm")
    results: dict[str, dict[str, float]] = Field(default_factory=dict, description="Arm to metric to value")
    conclusion: Text | None = None
