"""Figures, their goals, the table and the files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
from cryptography.hazmat.backends.openssl import backend as openssl
from rich import box
from rich.console import Console
from rich.table import Table

PACKAGES = ("apsw", "cryptography", "eventsourcing", "psycopg", "pydantic")
DECIMALS = 4


@dataclass(frozen=True)
class Goal:
    """What a figure's ratio (or its value, when it has no ratio) must reach."""

    limit: float
    at_least: bool

    def met(self, measured: float) -> bool:
        return measured >= self.limit if self.at_least else measured <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


def at_least(limit: float) -> Goal:
    return Goal(limit, at_least=True)


def at_most(limit: float) -> Goal:
    return Goal(limit, at_least=False)


@dataclass(frozen=True)
class Figure:
    """One measured figure; ``ratio`` is that of pairs, so it need not be ``value / baseline`` to the last digit."""

    name: str
    backend: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    samples: int = 1
    spread: float | None = None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.goal.met(self.value if self.ratio is None else self.ratio)

    def row(self) -> dict[str, Any]:
        rounded = {
            name: None if number is None else round(number, DECIMALS)
            for name, number in (("value", self.value), ("baseline", self.baseline), ("ratio", self.ratio))
        }
        return {
            "name": self.name,
            "backend": self.backend,
            "value": rounded["value"],
            "unit": self.unit,
            "baseline": rounded["baseline"],
            "ratio": rounded["ratio"],
        }

    def details(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "backend": self.backend,
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
            "samples": self.samples,
            "spread": None if self.spread is None else round(self.spread, DECIMALS),
        }


@dataclass
class Report:
    """Figures as they come in."""

    console: Console
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        ratio = "" if figure.ratio is None else f"  x{figure.ratio:.2f}"
        self.console.print(
            f"  {figure.backend:9}{figure.name:34}{number(figure.value):>12} {figure.unit}{ratio}", highlight=False
        )

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.met is False]

    def write(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write ``latest.json``, the list of figures, and ``machine.json``, where and how they were measured."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latest.json").write_text(json.dumps([figure.row() for figure in self.figures], indent=1) + "\n")
        whole = {**facts, "figures": [figure.details() for figure in self.figures]}
        (folder / "machine.json").write_text(json.dumps(whole, indent=1) + "\n")


def number(value: float | None) -> str:
    """A number as a person wants to read it."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def table(figures: Sequence[Figure]) -> Table:
    """All figures, with their goals where there is one."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("figure", "store"):
        made.add_column(title, no_wrap=True)
    for title in ("value", "unit", "baseline", "ratio", "goal"):
        made.add_column(title, justify="left" if title == "unit" else "right", no_wrap=True)
    made.add_column("", no_wrap=True)
    made.add_column("samples", justify="right")
    made.add_column("spread", justify="right")
    for f in figures:
        words = {None: "", True: "met", False: "[bold]not met[/bold]"}[f.met]
        made.add_row(
            f.name, f.backend, number(f.value), f.unit, number(f.baseline),
            "" if f.ratio is None else f"{f.ratio:.2f}", "" if f.goal is None else str(f.goal), words,
            f"{f.samples:,}", "" if f.spread is None else f"{f.spread:.0%}",
        )  # fmt: skip
    return made


def _commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive has no history
        return None
    return answer.stdout.strip()


def machine_facts(folder: Path) -> dict[str, Any]:
    """What a reader must know of the machine: absolute figures mean nothing without it.

    Args:
        folder: where stores are made; its disk is asked how long a sync takes.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "openssl": openssl.openssl_version_text(),
        "sqlite": apsw.sqlite_lib_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "fdatasync_us": round(_fdatasync(folder), 1),
    }


def _fdatasync(folder: Path) -> float:
    """Median microseconds to append 800 bytes and sync them."""
    found = []
    with (folder / "sync").open("ab", buffering=0) as file:
        for _ in range(100):
            started = time.perf_counter_ns()
            file.write(bytes(800))
            os.fdatasync(file.fileno())
            found.append((time.perf_counter_ns() - started) / 1000)
    return sorted(found)[len(found) // 2]
