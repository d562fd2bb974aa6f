"""What every `muniment verify …` says at its end: a verdict, what is wrong, and what was not verified (FORMAT §22)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ledger.findings import Finding
    from ledger.verdicts import Gap, Verdict

__all__ = ["conclusion", "finding_lines", "gap_lines"]

_SHOWN = 20  # gaps of one kind in text


def conclusion(verdict: Verdict, findings: Iterable[Finding], gaps: Iterable[Gap]) -> dict[str, Any]:
    """The members that the JSON of every verification has.

    Args:
        verdict: the conclusion.
        findings: what is wrong.
        gaps: what was not verified.
    """
    return {
        "verdict": str(verdict),
        "findings": [finding.as_json() for finding in findings],
        "not_verified": [gap.as_json() for gap in gaps],
    }


def finding_lines(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """What is wrong, for people: lines, each with its colour."""
    for finding in findings:
        yield f"  {finding.text}", "red"


def gap_lines(gaps: Sequence[Gap]) -> Iterator[tuple[str, str]]:
    """What was not verified, for people: lines, each with its colour."""
    shown: Counter[str] = Counter()
    for gap in gaps:
        shown[gap.kind] += 1
        if shown[gap.kind] <= _SHOWN:
            yield f"? {gap.kind.upper()}: {gap.message}", "yellow"
    for kind, count in shown.items():
        if count > _SHOWN:
            yield f"? {kind.upper()}: {count - _SHOWN} more; -o json lists them", "yellow"
