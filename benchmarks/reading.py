"""Proofs, signed heads, and opening a ledger."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

from benchmarks.append import emit_fact
from benchmarks.settings import Bench
from benchmarks.stores import Made
from benchmarks.timing import alternate, each, flat, medians, paired, percentile
from ledger.merkle import prove_inclusion
from ledger.proof import verify_proof
from ledger.treereader import TreeReader


def proof(bench: Bench) -> None:
    """Inclusion proofs of entries drawn at random from a large log: only the hashes, and the whole file."""
    made, chance = bench.place.filled(bench.sizes.large), random.Random(1)
    ledger = made.new.ledger
    ledger.checkpoint()
    size = ledger.recorder.head().size
    indexes = [chance.randrange(size) for _ in range(bench.sizes.proofs)]
    for index in indexes[:20]:
        verify_proof(ledger.prove_inclusion(index), ledger.entry_bytes(index), made.new.trust.verify_head)
    for name, work in (
        ("hashes", lambda index: prove_inclusion(TreeReader(ledger.recorder), index, size)),
        ("file", ledger.prove_inclusion),
    ):
        times = each(work, indexes)
        bench.add(f"proof.inclusion.{name}.p50", statistics.median(times), "us", samples=len(times))
        bench.add(f"proof.inclusion.{name}.p99", percentile(times, 0.99), "us", samples=len(times))


def checkpoint(bench: Bench) -> None:
    """Signing the head after each new entry."""
    with bench.place.filled(bench.sizes.large).open() as ledger:
        emit, times = emit_fact(ledger), []
        for number in range(bench.sizes.proofs // 5 + 1):
            emit(number)
            times += each(lambda _: ledger.checkpoint(), (number,))
        bench.add("checkpoint.sign.p50", statistics.median(times), "us", samples=len(times))
        bench.add("checkpoint.sign.p99", percentile(times, 0.99), "us", samples=len(times))


def opening(bench: Bench) -> None:
    """Open a ledger, ask its state or append one fact, and close it: the same whatever its size."""
    sizes = bench.sizes
    small, large = bench.place.filled(sizes.small), bench.place.filled(sizes.large)

    def ask(made: Made) -> None:
        with made.open() as ledger:
            ledger.ledger_state()

    def append(made: Made) -> None:
        with made.open() as ledger:
            emit_fact(ledger)(0)

    for name, work in (("open", ask), ("open.emit", append)):
        found = _small_and_large(work, small, large, sizes.opens)
        ours, base = medians(found["large"]), medians(found["small"])
        bench.add(
            f"{name}.{sizes.large}", statistics.median(flat(found["large"])), "us",
            baseline=statistics.median(flat(found["small"])), ratio=paired(ours, base), samples=sizes.opens,
            blocks=ours,
        )  # fmt: skip


def _small_and_large(
    work: Callable[[Made], None], small: Made, large: Made, rounds: int
) -> dict[str, list[list[float]]]:
    return alternate(rounds, {"small": lambda _: each(work, [small]), "large": lambda _: each(work, [large])})
