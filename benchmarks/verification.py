"""Verifying whole logs: events a second beside bare signature checks, and the memory it takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benchmarks.append import Check, verify_raw
from benchmarks.results import at_least, at_most
from benchmarks.settings import Bench
from benchmarks.stores import Made
from benchmarks.timing import alternate, paired, rates
from ledger.audit import verify_store
from ledger.envelope import PAYLOAD_TYPE, pae, parse_signatures
from ledger.recorders.sql import SqlRecorder

MILLION = 1_000_000
#: Signatures that are checked bare: their rate does not depend on how many there are.
RAW = 10_000


def _checks(recorder: SqlRecorder, key: Ed25519PublicKey, size: int) -> list[Check]:
    """The signatures of the first events of a log, ready to be checked."""
    found: list[Check] = []
    while len(found) < size - 2:
        for row in recorder.rows(2 + len(found), 1000):
            (signature,) = parse_signatures(row.signatures or b"")
            found.append((key, signature.sig, pae(PAYLOAD_TYPE, row.payload or b"")))
    return found


def _verify(made: Made, size: int, **options: Any) -> tuple[float, float]:
    """Events a second, and a second of processor time; the time of workers and of a server is not in the latter."""

    def whole() -> None:
        if not verify_store(made.url, made.new.ledger.recorder, **options).ok:
            raise RuntimeError("the ledger that was made for measuring does not verify")

    return rates(whole, size)


def full(bench: Bench) -> None:
    """Every check there is, on one worker and on two, beside only the signatures of the same events on one core."""
    rounds, size = bench.sizes.verify_rounds, bench.sizes.verified
    made = bench.place.filled(size)
    recorder = made.new.ledger.recorder
    key = Ed25519PublicKey.from_public_bytes(made.new.admin_key.public.raw)
    checks = _checks(recorder, key, min(size, RAW))
    contestants: dict[str, Callable[[int], tuple[float, float]]] = {
        "raw": lambda _: rates(lambda: verify_raw(checks), len(checks)),
        "jobs1": lambda _: _verify(made, size, jobs=1),
        "jobs2": lambda _: _verify(made, size, jobs=2),
    }
    both = alternate(rounds, contestants)
    found = {name: [wall for wall, _ in pairs] for name, pairs in both.items()}
    found |= {f"{name}.cpu": [spent for _, spent in pairs] for name, pairs in both.items()}
    rows = (("jobs1", "raw", at_least(0.65)), ("jobs1.cpu", "raw.cpu", None), ("jobs2", "jobs1", at_least(1.7)))
    for name, base, goal in rows:
        ours, theirs = found[name], found[base]
        bench.add(
            f"verify.full.{name}", statistics.median(ours), "events/s", baseline=statistics.median(theirs),
            ratio=paired(ours, theirs), goal=goal, samples=rounds * size, blocks=ours,
        )  # fmt: skip


def levels(bench: Bench) -> None:
    """The levels that leave the events' signatures out."""
    rounds, size = bench.sizes.verify_rounds, bench.sizes.large
    made = bench.place.filled(size)
    made.new.ledger.checkpoint()
    size = made.new.ledger.recorder.head().size
    for level, goal in (("checkpoint", at_least(100_000)), ("hash", None)):
        both = [_verify(made, size, level=level, jobs=1) for _ in range(rounds + 1)][1:]
        for name, ours, wanted in (
            (f"verify.{level}", [wall for wall, _ in both], goal),
            (f"verify.{level}.cpu", [spent for _, spent in both], None),
        ):
            bench.add(name, statistics.median(ours), "events/s", goal=wanted, samples=rounds * size, blocks=ours)


def memory(bench: Bench) -> None:
    """Peak memory of a full verification in fresh processes, and how it grows with the log."""
    sizes = [bench.sizes.verified, bench.sizes.large, *([MILLION] if bench.million else [])]
    peaks = [_peak(bench.place.filled(size).url) for size in sizes]
    for size, peak in zip(sizes, peaks, strict=True):
        bench.add(f"verify.memory.{size}", peak, "MB")
    for before, after, size in zip(peaks, peaks[1:], sizes[1:], strict=False):
        goal = at_most(10) if size == MILLION else None
        bench.add(f"verify.memory.growth.{size}", after - before, "MB", baseline=before, goal=goal)


def _peak(url: str) -> float:
    """Peak memory in MB of a fresh process that verifies."""
    command = [sys.executable, "-m", "benchmarks.memory", url]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout)
