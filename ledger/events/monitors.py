"""What monitoring saw, what was promised, and how much of the error budget is left (the vocabulary of OpenSLO)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ledger.events.base import Category, Erasable, FactBody, Line, SubjectName, Text, Time, event
from ledger.events.evaluations import Slice

__all__ = [
    "ErrorBudgetConsumed",
    "ErrorBudgetReset",
    "MetricWindow",
    "MonitorSignal",
    "SloBreached",
    "SloDefined",
    "SloRecovered",
]

_KINDS = ("monitor", "deployment")


@event(
    "monitor.signal", kinds=("monitor",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.WHOLE, personal=("description",),
)  # fmt: skip
class MonitorSignal(FactBody):
    """A monitor measured something worth keeping."""

    metric: Line
    value: float
    baseline: float | None = None
    threshold: float | None = None
    method: Line | None = Field(default=None, description="How drift was measured, for example psi, ks")
    severity: Literal["info", "warning", "critical"] = "info"
    window: Line | None = None
    deployment: SubjectName | None = None
    model: SubjectName | None = None
    slices: tuple[Slice, ...] = Field(default=(), max_length=256)
    description: Text | None = None


@event(
    "monitor.window", kinds=("monitor",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.WHOLE,
)  # fmt: skip
class MetricWindow(FactBody):
    """Sufficient statistics of a metric over a window; those of two windows add up to those of both."""

    metric: Line
    start: Time
    end: Time
    count: int = Field(ge=0, description="How many values")
    sum: float = 0.0
    sum_of_squares: float = Field(default=0.0, ge=0)
    min: float | None = None
    max: float | None = None
    bounds: tuple[float, ...] = Field(
        default=(), max_length=255, description="Upper bounds of the buckets, ascending; the last bucket has none"
    )
    buckets: tuple[int, ...] = Field(default=(), max_length=256, description="How many values fell into each bucket")
    deployment: SubjectName | None = None
    model: SubjectName | None = None

    @model_validator(mode="after")
    def _fits(self) -> MetricWindow:
        if self.end <= self.start:
            raise ValueError("the window must end after it starts")
        if any(left >= right for left, right in zip(self.bounds, self.bounds[1:], strict=False)):
            raise ValueError("bounds must ascend")
        if self.buckets and (len(self.buckets) != len(self.bounds) + 1 or sum(self.buckets) != self.count):
            raise ValueError("there must be one bucket more than bounds, and buckets must add up to count")
        if any(number < 0 for number in self.buckets):
            raise ValueError("no bucket holds less than nothing")
        return self


@event(
    "slo.defined", kinds=(*_KINDS, "model"), category=Category.FACT, roles=("owner", "deployer", "emitter"),
    versioned=False,
)  # fmt: skip
class SloDefined(FactBody):
    """What is promised about a service."""

    slo: Line = Field(description="Its name")
    indicator: Line = Field(description="What is measured, for example latency_ms, availability, psi")
    objective: float = Field(gt=0, le=1, description="Share of good events or time, for example 0.99")
    threshold: float | None = Field(default=None, description="Where good ends, in units of the indicator")
    window: Line = Field(description="Over which time, for example 28d")
    max_burn_rate: float | None = Field(
        default=None,
        gt=0,
        description="Burn rate from which on a decision is due; 1 uses the budget up in a window",
    )
    action: Literal["hold", "rollback"] | None = Field(default=None, description="The decision that is due then")


class _SloBody(FactBody):
    slo: Line
    deployment: SubjectName | None = None
    model: SubjectName | None = None
    value: float | None = None
    burn_rate: float | None = Field(default=None, ge=0)


@event("slo.breached", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class SloBreached(_SloBody):
    """What was promised is not kept."""


@event("slo.recovered", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class SloRecovered(_SloBody):
    """What was promised is kept again."""


@event("errorbudget.consumed", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class ErrorBudgetConsumed(_SloBody):
    """How much of an error budget is left."""

    remaining: float = Field(le=1, description="Share that is left; below 0 when more than all is used")


@event("errorbudget.reset", kinds=_KINDS, category=Category.FACT, roles=("owner", "emitter"), versioned=False)
class ErrorBudgetReset(_SloBody):
    """An error budget starts anew."""

    reason: Text
