"""Questions about one thing in a small and in a large log: what they take must not grow with the log."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from importlib import resources

from benchmarks.events import PROJECT, governed
from benchmarks.results import at_most
from benchmarks.settings import Bench
from benchmarks.stores import Made
from benchmarks.timing import alternate, each, flat, medians, paired
from ledger.application import Ledger
from ledger.entry import format_time
from projections.asof import AsOf, as_decided, resolve_as_of
from projections.base import ViewReader
from projections.catalogue import open_runner
from projections.gates import Stated, run_gate
from projections.history import history
from projections.impact import impact
from projections.known import Known
from projections.lineage_nodes import answer
from projections.model_state import state_as_of
from projections.operating import operate
from projections.suspension import suspend
from projections.tracing import trace
from projections.why import why

_CHECKS = Stated("production", (resources.files("ledger.policy") / "packs" / "production.yaml").read_text("utf-8"))
#: Questions a round: each opens the ledger anew, as a command does.
_BLOCK = 5
Question = Callable[[Ledger, ViewReader, AsOf, int], object]


def _state(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    found = suspend(ledger, views, as_of, state_as_of(views, as_of, f"model:m{project}"))
    return operate(ledger, views, as_of, found)


def _lineage(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    found = answer(ledger, views, as_of, trace(views, as_of, f"dataset:d{project}@2"))
    assert len(found["nodes"]) == 6, found["nodes"]
    return found


def _impact(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    return impact(ledger, views, as_of, f"dataset:d{project}@2")


def _history(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    return history(ledger, views, as_of, f"model:m{project}@1")


def _why(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    at = format_time(as_of.recorded_at)
    decided, moment = as_decided(ledger, views, at=at, head=as_of.size, now=as_of.recorded_at)
    return why(ledger, views, decided, moment, f"model:m{project}@1", environment="prod")


def _gate(ledger: Ledger, views: ViewReader, as_of: AsOf, project: int) -> object:
    known = Known(ledger, views, as_of.size)
    found = run_gate(known, _CHECKS, f"model:m{project}@1", "prod", as_of=known.recorded_at)
    assert found.document["run"]["status"] == "completed", found.document
    return found


def _asking(question: Question, size: int) -> Callable[[Made], None]:
    chance = random.Random(1)

    def ask(made: Made) -> None:
        project, at = chance.randrange(size // PROJECT - 1), format_time(time.time_ns() // 1000)
        with made.open() as ledger:
            runner = open_runner(ledger, made.url)
            with closing(runner.views) as views:
                head = runner.catch_up()
                question(ledger, views, resolve_as_of(ledger, views, at=at, head=head), project)

    return ask


def _block(ask: Callable[[Made], None], made: Made) -> Callable[[int], list[float]]:
    return lambda _: each(ask, [made] * _BLOCK)


def questions(bench: Bench) -> None:
    """``state --at``, ``lineage``, ``impact``, a gate, ``history`` and ``why`` of one thing; views are up to date."""
    sizes = bench.sizes
    logs = {size: bench.place.filled(size, governed) for size in (sizes.asof_small, sizes.asof_large)}
    for made in logs.values():
        with made.open() as ledger:
            runner = open_runner(ledger, made.url)
            runner.catch_up()
            runner.views.close()
    for name, question, goal in (
        ("state", _state, at_most(1.5)), ("lineage", _lineage, at_most(1.5)), ("impact", _impact, None),
        ("gate", _gate, at_most(1.5)), ("history", _history, None), ("why", _why, None),
    ):  # fmt: skip
        found = alternate(
            sizes.asof_rounds, {str(size): _block(_asking(question, size), made) for size, made in logs.items()}
        )
        large, small = found[str(sizes.asof_large)], found[str(sizes.asof_small)]
        bench.add(
            f"asof.{name}.{sizes.asof_large}", statistics.median(flat(large)), "us",
            baseline=statistics.median(flat(small)), ratio=paired(medians(large), medians(small)), goal=goal,
            samples=len(flat(large)), blocks=medians(large),
        )  # fmt: skip
