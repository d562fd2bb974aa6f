"""How much is measured, and what every bench is handed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from benchmarks.results import Figure, Goal, Report
from benchmarks.stores import Place
from benchmarks.timing import spread


@dataclass(frozen=True)
class Sizes:
    """Rounds, calls a block, and sizes of ledgers."""

    #: Appends beforehand: enough for SQLite to have wrapped its WAL, whose first growth costs more.
    warm_up: int = 200
    single_rounds: int = 100
    single_block: int = 20
    decision_rounds: int = 20
    decision_block: int = 6
    growth_rounds: int = 30
    growth_block: int = 15
    small: int = 1_000
    large: int = 100_000
    thread_rounds: int = 7
    thread_share: int = 16
    batch_rounds: int = 7
    batch: int = 1_000
    verify_rounds: int = 2
    #: Starting a worker takes as long as verifying some thousand events.
    verified: int = 60_000
    proofs: int = 500
    opens: int = 15
    commands: int = 7
    rebuild_rounds: int = 3
    rebuilt: int = 10_000
    asof_rounds: int = 15
    asof_small: int = 10_000
    #: ``--asof`` takes another number; the views of a million entries take long to make.
    asof_large: int = 50_000

    def scaled(self, factor: float) -> Sizes:
        """Every number times ``factor``: figures of it mean little, but that the benches work is seen soon."""
        return Sizes(**{field.name: max(2, round(getattr(self, field.name) * factor)) for field in fields(self)})


QUICK = Sizes(
    single_rounds=12,
    single_block=15,
    decision_rounds=6,
    decision_block=4,
    growth_rounds=10,
    growth_block=10,
    large=10_000,
    thread_rounds=3,
    thread_share=8,
    batch_rounds=3,
    verify_rounds=2,
    verified=5_000,
    proofs=100,
    opens=5,
    commands=3,
    rebuild_rounds=2,
    rebuilt=2_000,
    asof_rounds=5,
    asof_small=1_000,
    asof_large=5_000,
)


@dataclass(frozen=True)
class Bench:
    """One backend's turn."""

    place: Place
    sizes: Sizes
    report: Report
    million: bool = False

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        baseline: float | None = None,
        ratio: float | None = None,
        goal: Goal | None = None,
        samples: int = 1,
        blocks: Sequence[float] = (),
    ) -> None:
        """Report a figure; ``blocks`` are the values of its rounds, which tell how restless the machine was."""
        self.report.add(Figure(name, self.place.backend, value, unit, baseline, ratio, goal, samples, spread(blocks)))
