"""Many threads on one open ledger, beside one bare connection and beside the recorders eventsourcing comes with."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from psycopg.conninfo import conninfo_to_dict

from benchmarks.append import emit_fact, recorded, single_rows, slices
from benchmarks.events import SENSORS, Likeness
from benchmarks.results import at_least
from benchmarks.settings import Bench
from benchmarks.stores import Place
from benchmarks.timing import alternate, each, paired, rate, threaded_rate
from ledger.stored import Row

THREADS = 32
LIBRARY_THREADS = 8


@contextmanager
def _library(place: Place) -> Iterator[ApplicationRecorder]:
    """The recorder eventsourcing itself has for this store."""
    name = place.new_name()
    if place.backend == "sqlite":
        from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore  # noqa: PLC0415, TID251 - measured

        store = SQLiteDatastore(str(place.folder / f"{name}.db"), pool_size=LIBRARY_THREADS)
        recorder = SQLiteApplicationRecorder(store)
        recorder.create_table()
        with closing(store):
            yield recorder
        return
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore  # noqa: PLC0415, TID251 - measured

    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    given = conninfo_to_dict(place.dsn)
    pool = PostgresDatastore(
        str(given["dbname"]), str(given.get("host", "")), str(given.get("port", "5432")), str(given.get("user", "")),
        str(given.get("password", "")), schema=name, pool_size=LIBRARY_THREADS,
    )  # fmt: skip
    own = PostgresApplicationRecorder(pool, events_table_name="stored_events")
    own.create_table()
    with closing(pool):
        yield own


def _library_events(rows: Sequence[Row], amount: int) -> list[list[StoredEvent]]:
    """Events that carry what ours do: payload and signatures."""
    states = [(row.payload or b"") + (row.signatures or b"") for row in rows]
    return [
        [StoredEvent(uuid4(), 1, "muniment.monitor.signal.v1", states[number % len(states)])]
        for number in range(amount)
    ]


def _shares(items: Sequence[Any], threads: int) -> list[Sequence[Any]]:
    return [items[first::threads] for first in range(threads)]


def threads32(bench: Bench) -> None:
    """32 threads, each waiting for its own durable append."""
    rounds, block = bench.sizes.thread_rounds, bench.sizes.thread_share * THREADS
    made = bench.place.new_ledger()
    with (
        closing(made.new.ledger),
        made.open() as ledger,
        closing(bench.place.bare()) as bare,
        _library(bench.place) as recorder,
    ):
        emit = emit_fact(ledger)
        each(emit, range(bench.sizes.warm_up))
        sample, amount = recorded(ledger, SENSORS), (rounds + 1) * block
        likeness = Likeness(sample)
        each(bare.insert_one, single_rows(bare, likeness, bench.sizes.warm_up))
        rows = slices(single_rows(bare, likeness, amount), block)
        events = slices(_library_events(sample, amount), block)
        envelopes = slices(bench.place.mint.envelopes(made.new, amount), block)

        def library(number: int) -> float:
            return threaded_rate(recorder.insert_events, _shares(events(number), LIBRARY_THREADS))

        found = alternate(
            rounds,
            {
                "envelope": lambda n: threaded_rate(ledger.append, _shares(envelopes(n), THREADS)),
                "bare": lambda n: rate(lambda: each(bare.insert_one, rows(n)), block),
                "emit": lambda n: threaded_rate(emit, _shares(range(n * block, (n + 1) * block), THREADS)),
                "library": library,
            },
        )
    for name in ("envelope", "emit"):
        ours = found[name]
        bench.add(
            f"append.threads{THREADS}.{name}", statistics.median(ours), "events/s",
            baseline=statistics.median(found["bare"]), ratio=paired(ours, found["bare"]), goal=at_least(1.5),
            samples=rounds * block, blocks=ours,
        )  # fmt: skip
    ours = found["envelope"]
    bench.add(
        f"append.threads{THREADS}.eventsourcing", statistics.median(ours), "events/s",
        baseline=statistics.median(found["library"]), ratio=paired(ours, found["library"]),
        goal=at_least(5) if bench.place.backend == "postgres" else None, samples=rounds * block,
        blocks=found["library"],
    )  # fmt: skip
