"""Machine-readable reports: each says what it looked at, what it found, and what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.errors import InputError
from projections.reports.control_assessment import control_assessment
from projections.reports.population import ReportContext

__all__ = ["REPORTS", "Report", "ReportContext", "combined"]


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


def combined(name: str, reports: Sequence[dict[str, Any]], unread: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    """One report over several ledgers, each with the head it was made at.

    A ledger that could not be read is named, and counts with every control as not assessed: the sums of a report never
    look as if it were whole.

    Args:
        name: the report.
        reports: one of each ledger that was read, at least one.
        unread: which could not be read (``ledger``), and why (``reason``).

    Raises:
        InputError: a ledger is covered twice, so that its findings would count twice.
    """
    ids = [data["ledger"]["ledgerid"] for data in reports]
    for data in reports:
        if ids.count(data["ledger"]["ledgerid"]) > 1:
            raise InputError(f"the ledger {data['ledger']['origin']} is covered twice", hint="Name each ledger once.")
    sums = {state: sum(data["summary"][state] for data in reports) for state in reports[0]["summary"]}
    sums["not assessed"] += len(unread) * len(reports[0]["findings"])
    return {
        "schema": "urn:muniment:schema:report.several-ledgers.v1",
        "report": name,
        "summary": sums,
        "unread": list(unread),
        "ledgers": list(reports),
    }
