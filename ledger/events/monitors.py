"""What monitoring saw, what was promised, and how much of the error budget is left (the vocabulary of OpenSLO)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ledger.errors import InputError
from ledger.events.base import (
    Category,
    Duration,
    Erasable,
    Evidence,
    FactBody,
    Line,
    Open,
    SubjectName,
    Text,
    Time,
    event,
)
from ledger.events.evaluations import Slice

__all__ = [
    "BurnRule",
    "ErrorBudgetConsumed",
    "ErrorBudgetReset",
    "MetricWindow",
    "MonitorSignal",
    "SloBreached",
    "SloDefined",
    "SloRecovered",
    "duration_us",
]

_KINDS = ("monitor", "deployment")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration_us(text: str) -> int:
    """Microseconds of a duration such as ``30m``.

    Raises:
        InputError: it is none.
    """
    if not (text[:-1].isascii() and text[:-1].isdigit() and text[-1:] in _SECONDS):
        raise InputError(f"{text!r} is no duration", hint="Write it as 30m, 12h, 28d or 2w.")
    return int(text[:-1]) * _SECONDS[text[-1]] * 1_000_000


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
    better: Literal["higher", "lower"] | None = Field(
        default=None, description="Which way is better: higher for a p-value, of which less is a sign of drift"
    )
    method: Line | None = Field(
        default=None, description="How drift was measured, for example psi, ks p_value; only where it is about drift"
    )
    severity: Literal["info", "warning", "critical"] = "info"
    window: Line | None = None
    status: Literal["firing", "resolved"] | None = Field(default=None, description="Of the alert, where it is one")
    fingerprint: Line | None = Field(default=None, description="Which alert it is, in the words of the alert manager")
    started_at: Time | None = Field(default=None, description="Since when it fires")
    ended_at: Time | None = Field(default=None, description="When it ended")
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
    good: int | None = Field(default=None, ge=0, description="How many were good, in the sense of the promise about it")
    source: Line | None = Field(
        default=None, description="Which instance or job measured; windows of several sources add up, also at one time"
    )
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
        if self.good is not None and self.good > self.count:
            raise ValueError("no more can be good than there are")
        return self


class BurnRule(Open):
    """When an error budget burns so fast that a decision is due (multiwindow, multi-burn-rate).

    The Site Reliability Workbook, chapter 5 "Alerting on SLOs".
    """

    burn_rate: float = Field(gt=0, description="From which on; 1 uses the budget up in a window of the promise")
    long: Duration = Field(description="The time over which it must be so high")
    short: Duration = Field(description="The last part of it over which it must be so high too: it burns still")
    min_events: int = Field(default=1, ge=1, description="Events in the long time below which nothing is concluded")
    action: Literal["hold", "rollback"] | None = Field(default=None, description="The decision that is due then")
    respond_within: Duration | None = Field(
        default=None, description="In which time the platform should have done what was decided"
    )

    @model_validator(mode="after")
    def _fits(self) -> BurnRule:
        if duration_us(self.short) >= duration_us(self.long):
            raise ValueError("the short time must be shorter than the long one")
        return self


@event("slo.defined", kinds=_KINDS, category=Category.FACT, roles=("owner", "deployer"), versioned=False)
class SloDefined(FactBody):
    """What is promised about a service, and what is decided by rule when it is not kept; the last one of a name holds.

    Of a monitor it is about each deployment that its windows name and that a pattern of ``deployments`` stands for; of
    a deployment about that one, before any of the same name of a monitor.
    """

    slo: Line = Field(description="Its name")
    indicator: Line = Field(description="What is measured, for example latency_ms, availability: a window's metric")
    objective: float = Field(gt=0, lt=1, description="Share of good events, for example 0.99")
    threshold: float | None = Field(
        default=None, description="Where good ends, in units of the indicator, for windows that do not count good ones"
    )
    window: Duration = Field(description="Over which time, for example 28d")
    monitor: SubjectName | None = Field(
        default=None, description="Whose windows count; the subject itself when it is a monitor"
    )
    deployments: tuple[Line, ...] = Field(
        default=(), max_length=64, description="Patterns of deployments, for example deployment:prod/*; all when empty"
    )
    rules: tuple[BurnRule, ...] = Field(default=(), max_length=16)
    action: Literal["hold", "rollback"] | None = Field(
        default=None, description="The decision that is due when somebody else says that it is breached"
    )
    respond_within: Duration | None = Field(
        default=None, description="In which time the platform should have done that"
    )
    fallback: SubjectName | None = Field(
        default=None, description="The version to return to, model:name@version; the last good one when absent"
    )


class _SloBody(FactBody):
    slo: Line
    deployment: SubjectName | None = None
    model: SubjectName | None = None
    value: float | None = None
    burn_rate: float | None = Field(default=None, ge=0)
    evidence: tuple[Evidence, ...] = Field(
        default=(), max_length=256, description="The promise and the windows it was computed from, the newest ones"
    )


@event("slo.breached", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class SloBreached(_SloBody):
    """What was promised is not kept."""

    rule: BurnRule | None = Field(default=None, description="The rule that says so")


@event("slo.recovered", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class SloRecovered(_SloBody):
    """What was promised is kept again."""


@event("errorbudget.consumed", kinds=_KINDS, category=Category.FACT, roles=("emitter",), versioned=False)
class ErrorBudgetConsumed(_SloBody):
    """How much of an error budget is left."""

    remaining: float = Field(le=1, description="Share that is left; exhausted at 0, and below when more is used")
    objective: float | None = Field(default=None, gt=0, lt=1, description="Share of good events that was promised")
    window: Duration | None = Field(default=None, description="Over which time, for example 28d")
    action: Line | None = Field(default=None, description="What is done about it, for example no new features go live")


@event("errorbudget.reset", kinds=_KINDS, category=Category.FACT, roles=("owner", "emitter"), versioned=False)
class ErrorBudgetReset(_SloBody):
    """An error budget starts anew."""

    reason: Text
