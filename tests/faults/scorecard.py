"""What an experiment found: numbers, some of which must be 0, with everything needed to run it again."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: Failures kept word for word in a row; the numbers count all of them.
KEPT = 20


@dataclass
class Result:
    """What one experiment found.

    Attributes:
        n: how many times the fault was injected.
        zeros: numbers that must be 0.
        figures: other numbers worth reading.
        failures: the first failures in words.
    """

    n: int = 0
    zeros: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def counting(cls, *zeros: str) -> Result:
        """A result whose numbers start at 0."""
        return cls(zeros=dict.fromkeys(zeros, 0))

    def failed(self, number: str, where: str, count: int = 1) -> None:
        """Count something that must not happen."""
        self.zeros[number] += count
        if len(self.failures) < KEPT:
            self.failures.append(f"{number}: {where}"[:2000])

    @property
    def ok(self) -> bool:
        """Whether every number that must be 0 is, and something was done at all."""
        return self.n > 0 and not any(self.zeros.values())


def count_each(result: Result, counts: Mapping[tuple[str, bool], int], names: Iterable[str], *, every: bool) -> None:
    """Tell of each kind of deed how often it was done and refused.

    Args:
        result: gets the figures.
        counts: by name and whether it was done.
        names: all there are.
        every: whether each must have been done once; a smaller run only tells which were not.
    """
    found = sorted(names)
    never = [name for name in found if not counts.get((name, True))]
    result.zeros["never done"] = 0
    result.figures["done"] = sum(count for (_, done), count in counts.items() if done)
    result.figures["refused"] = sum(count for (_, done), count in counts.items() if not done)
    result.figures["each"] = {
        name: {"done": counts.get((name, True), 0), "refused": counts.get((name, False), 0)} for name in found
    }
    if never and every:
        result.failed("never done", ", ".join(never), len(never))
    elif never:
        result.figures["not done in so few lives"] = ", ".join(never)


@dataclass
class Row:
    """A line of the scorecard."""

    name: str
    backend: str
    seed: int
    size: int
    seconds: float
    command: str
    ok: bool
    n: int = 0
    zeros: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def commit(root: Path) -> str:
    """The commit that is checked out, with a plus when files differ from it."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if head.returncode != 0:
        return "unknown"
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def line(row: Row) -> str:
    """One row for people."""
    zeros = ", ".join(f"{name} {value}" for name, value in row.zeros.items())
    figures = ", ".join(f"{name} {value}" for name, value in row.figures.items() if not isinstance(value, dict))
    return (
        f"{'ok  ' if row.ok else 'BAD '} {row.name:<18} {row.backend:<9} n {row.n:<7,} {row.seconds:>7.1f} s   {zeros}"
        + (f"   ({figures})" if figures else "")
        + "".join(f"\n       {failure}" for failure in row.failures)
        + (f"\n       again: {row.command}" if not row.ok else "")
    )


def write(path: Path, rows: Sequence[Row], root: Path) -> None:
    """Write the scorecard for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(root),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "ok": all(row.ok for row in rows),
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
