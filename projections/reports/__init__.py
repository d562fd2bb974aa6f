"""Machine-readable reports: each says what it looked at, what it found, and what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from projections.reports.control_assessment import control_assessment
from projections.reports.population import ReportContext

__all__ = ["REPORTS", "Report", "ReportContext"]


@dataclass(frozen=True, slots=True)
class Report:
    """One report that can be generated."""

    name: str
    title: str
    generate: Callable[[ReportContext], dict[str, Any]]


REPORTS: dict[str, Report] = {
    "control-assessment": Report(
        "control-assessment",
        "Eight controls over the life cycle of model versions, each with its evidence",
        control_assessment,
    )
}
