"""How long an inclusion proof takes in a log of 100,000 entries; prints one JSON object a figure.

    python benchmarks/proof.py [--size N] [--proofs N] [--postgres URL]

The log is filled past the judge (its events have made-up signatures), because only the tree matters here. With
``--postgres`` the same is measured in a schema of that database, which is dropped afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg

from ledger.creation import create_ledger
from ledger.mapper import SignedStoredEvent
from ledger.merkle import prove_inclusion
from ledger.proof import verify_proof
from ledger.recorders.append import Unit
from ledger.recorders.sql import SqlRecorder
from ledger.stored import TreeReader

BATCH = 1000


def event(number: int) -> SignedStoredEvent:
    state = b'{"n":%d}' % number
    return SignedStoredEvent(
        originator_id=f"external:n{number}",
        originator_version=0,
        topic="muniment.external.observed.v1",
        state=state,
        actor="benchmark",
        emitter="00000000-0000-4000-8000-000000000000",
        envelope=hashlib.sha256(b"envelope " + state).hexdigest(),
        id=str(UUID(int=number)),
        item=0,
        keys=("0" * 64,),
        payload=hashlib.sha256(state).hexdigest(),
        sequence=number + 1,
        subject=f"external:n{number}",
        signatures=b"[]",
        authority=False,
    )


def fill(recorder: SqlRecorder, count: int) -> float:
    started = time.perf_counter()
    for first in range(0, count, BATCH):
        recorder.append([Unit(tuple(event(n) for n in range(first, min(first + BATCH, count))))])
    return time.perf_counter() - started


def timed(work: Callable[[int], object], indexes: list[int]) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for index in indexes:
        started = time.perf_counter()
        work(index)
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def say(name: str, backend: str, value: float, unit: str) -> None:
    print(json.dumps({"name": name, "backend": backend, "value": round(value, 4), "unit": unit}), flush=True)


def measure(url: str, backend: str, size: int, proofs: int) -> None:
    new = create_ledger(url, "ledger.example/benchmark")
    ledger = new.ledger
    took = fill(ledger.recorder, size - 2)
    say("append.bulk", backend, (size - 2) / took, "events/s")
    started = time.perf_counter()
    ledger.checkpoint()
    say("checkpoint.sign", backend, time.perf_counter() - started, "s")
    chance = random.Random(1)
    indexes = [chance.randrange(size) for _ in range(proofs)]
    for index in indexes[:20]:
        verify_proof(ledger.prove_inclusion(index), ledger.entry_bytes(index), new.trust.vkeys)
    for name, work in (
        ("proof.inclusion.hashes", lambda index: prove_inclusion(TreeReader(ledger.recorder), index, size)),
        ("proof.inclusion.file", ledger.prove_inclusion),
    ):
        times = timed(work, indexes)
        say(f"{name}.median", backend, statistics.median(times), "ms")
        say(f"{name}.p99", backend, times[int(len(times) * 0.99)], "ms")
        say(f"{name}.max", backend, times[-1], "ms")
    ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="entries in the log")
    parser.add_argument("--proofs", type=int, default=1_000, help="how many random entries are proven")
    parser.add_argument("--postgres", metavar="URL", help="a database to measure too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muniment-benchmark-") as folder:
        measure(f"sqlite:///{Path(folder) / 'ledger.db'}", "sqlite", arguments.size, arguments.proofs)
    if arguments.postgres:
        schema = f"benchmark_{secrets.token_hex(6)}"
        url = f"{arguments.postgres}{'&' if '?' in arguments.postgres else '?'}schema={schema}"
        try:
            measure(url, "postgres", arguments.size, arguments.proofs)
        finally:
            with psycopg.connect(arguments.postgres, autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


if __name__ == "__main__":
    main()
