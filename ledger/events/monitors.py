"""What monitoring saw."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import Category, Erasable, FactBody, Line, SubjectName, Text, event
from ledger.events.evaluations import Slice

__all__ = ["MonitorSignal"]


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
    severity: Literal["info", "warning", "critical"] = "info"
    window: Line | None = None
    deployment: SubjectName | None = None
    model: SubjectName | None = None
    slices: tuple[Slice, ...] = Field(default=(), max_length=256)
    description: Text | None = None
