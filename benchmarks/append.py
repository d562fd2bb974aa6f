"""Appends one by one: facts, events signed elsewhere, decisions, in small and in large ledgers; and in batches."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benchmarks.baselines import BareWriter
from benchmarks.events import SENSORS, TYPE, Author, Likeness, body, subject
from benchmarks.floor import Floor, cost_of
from benchmarks.results import Goal, at_least, at_most
from benchmarks.settings import Bench
from benchmarks.timing import alternate, each, flat, medians, paired, percentile, rate
from ledger.application import Ledger
from ledger.commands import approve, request_approval
from ledger.creation import enrol_actor
from ledger.envelope import PAYLOAD_TYPE, pae, parse_envelope
from ledger.keys import Ed25519Signer
from ledger.stored import Row

MICROSECONDS = 1_000_000
#: A signature to check: key, signature, message.
Check = tuple[Ed25519PublicKey, bytes, bytes]


def emit_fact(ledger: Ledger) -> Callable[[int], object]:
    """Emits the fact of a number."""
    return lambda number: ledger.emit(TYPE, subject(number), body(number))


def recorded(ledger: Ledger, limit: int) -> list[Row]:
    """The rows of the last events."""
    size = ledger.recorder.head().size
    return list(ledger.recorder.rows(max(0, size - limit), limit))


def single_rows(bare: BareWriter, like: Likeness, amount: int) -> list[Any]:
    """Rows, ready for `BareWriter.insert_one`."""
    return [bare.prepare_one(row) for row in like.rows(amount)]


def slices(items: Sequence[Any], block: int) -> Callable[[int], Sequence[Any]]:
    """The items of a round."""
    return lambda number: items[number * block : (number + 1) * block]


def checks_of(envelopes: Sequence[bytes], key: Ed25519PublicKey) -> list[Check]:
    """What is left of verifying envelopes when only the signature is."""
    parsed = [parse_envelope(envelope) for envelope in envelopes]
    return [(key, envelope.signatures[0].sig, pae(PAYLOAD_TYPE, envelope.payload)) for envelope in parsed]


def verify_raw(checks: Sequence[Check]) -> None:
    """Verify signatures with the ``cryptography`` package, and nothing else."""
    for key, signature, message in checks:
        key.verify(signature, message)


def _report_single(
    bench: Bench, name: str, found: dict[str, list[list[float]]], *, goals: tuple[Goal, Goal] | None
) -> None:
    """p50, p99 and overhead of the contestant ``name`` beside the bare insert."""
    overhead, tail = goals if goals is not None else (None, None)
    ours, bare, signatures = found[name], found["bare"], statistics.median(flat(found["sign"]))
    mine, theirs, samples = flat(ours), flat(bare), sum(map(len, ours))
    middles, bare_middles = medians(ours), medians(bare)
    bench.add(
        f"append.{name}.p50", statistics.median(mine), "us", baseline=statistics.median(theirs),
        ratio=paired(middles, bare_middles), samples=samples, blocks=middles,
    )  # fmt: skip
    added = statistics.median(a - b for a, b in zip(middles, bare_middles, strict=True))
    bench.add(
        f"append.{name}.overhead", added, "us", baseline=signatures, ratio=added / signatures, goal=overhead,
        samples=samples, blocks=middles,
    )  # fmt: skip
    late, bare_late = percentile(mine, 0.99), percentile(theirs, 0.99)
    bench.add(f"append.{name}.p99", late, "us", baseline=bare_late, ratio=late / bare_late, goal=tail, samples=samples)


def single(bench: Bench) -> None:
    """One fact at a time: signed here, and signed elsewhere, beside the bare durable insert of the same rows."""
    rounds, block = bench.sizes.single_rounds, bench.sizes.single_block
    made = bench.place.new_ledger()
    with ExitStack() as stack:
        stack.enter_context(closing(made.new.ledger))
        ledger = stack.enter_context(made.open())
        bare, least = (stack.enter_context(closing(bench.place.bare())) for _ in range(2))
        emit, signer = emit_fact(ledger), made.new.admin_key
        each(emit, range(bench.sizes.warm_up))
        sample = recorded(ledger, SENSORS)
        likeness = Likeness(sample)
        each(bare.insert_one, single_rows(bare, likeness, bench.sizes.warm_up))
        rows = slices(single_rows(bare, likeness, (rounds + 1) * block), block)
        more = slices(single_rows(bare, likeness, (rounds + 1) * block), block)
        envelopes = slices(bench.place.mint.envelopes(made.new, (rounds + 1) * block), block)
        message = pae(PAYLOAD_TYPE, sample[0].payload or b"")
        floor = Floor(least, Author.of(made.new))
        each(floor.emit, range(bench.sizes.warm_up))
        found = alternate(
            rounds,
            {
                "single.emit": lambda n: each(emit, range(n * block, (n + 1) * block)),
                "single.floor": lambda _: each(floor.emit, range(block)),
                "bare": lambda n: each(bare.insert_one, rows(n)),
                "single.envelope": lambda n: each(ledger.append, envelopes(n)),
                "sign": lambda _: each(signer.sign, [message] * block),
                "bare.cpu": lambda n: [cost_of(bare.insert_one, more(n))],
                "floor.cpu": lambda _: [cost_of(floor.emit, range(block))],
                "emit.cpu": lambda n: [cost_of(emit, range(n * block, (n + 1) * block))],
            },
        )
    _report_single(bench, "single.floor", found, goals=None)
    for name, base in (("floor", "bare"), ("emit", "floor")):
        ours, theirs = flat(found[f"{name}.cpu"]), flat(found[f"{base}.cpu"])
        bench.add(
            f"append.single.{name}.cpu", statistics.median(ours), "us", baseline=statistics.median(theirs),
            ratio=paired(ours, theirs), samples=rounds * block, blocks=ours,
        )  # fmt: skip
    _report_single(bench, "single.emit", found, goals=(at_most(5), at_most(2.5)))
    _report_single(bench, "single.envelope", found, goals=None)


def _registered(ledger: Ledger, number: int) -> str:
    """A model version that was evaluated, so that it may be approved."""
    model, digest = f"model:credit/bench-{number}@1", f"sha256:{number:064x}"
    ledger.emit("version.registered", model, digest=digest, owner=ledger.actor, tier="low")
    ledger.emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass", digest=digest)
    return model


def decision(bench: Bench) -> None:
    """Requests and approvals in turn: states are read, rules judged, and what was read is checked once more."""
    rounds, block = bench.sizes.decision_rounds, bench.sizes.decision_block
    made, key = bench.place.new_ledger(), Ed25519Signer.generate()
    with closing(made.new.ledger), made.open() as author, closing(bench.place.bare()) as bare:
        enrol_actor(author, "p-approver", key, kind="person", roles=("approver",))
        models = slices([_registered(author, number) for number in range((rounds + 2) * block)], block)
        with Ledger.open(made.url, actor="p-approver", signers=[key]) as approver:

            def decide(number: int) -> list[float]:
                asked = each(lambda model: request_approval(author, model, "prod", reason="ready"), models(number))
                granted = each(lambda model: approve(approver, model, rationale="it is fit"), models(number))
                return [(request + approval) / 2 for request, approval in zip(asked, granted, strict=True)]

            decide(rounds + 1)
            likeness = Likeness(recorded(author, 2 * block))
            each(bare.insert_one, single_rows(bare, likeness, bench.sizes.warm_up))
            rows = slices(single_rows(bare, likeness, (rounds + 1) * 2 * block), 2 * block)
            message = bytes(1000)
            found = alternate(
                rounds,
                {
                    "decision": decide,
                    "bare": lambda n: each(bare.insert_one, rows(n)),
                    "sign": lambda _: each(key.sign, [message] * block),
                },
            )
    _report_single(bench, "decision", found, goals=None)


def growth(bench: Bench) -> None:
    """The same append to a small and to a large ledger."""
    sizes, emits = bench.sizes, {}
    numbers, block = count(), sizes.growth_block
    with bench.place.filled(sizes.small).open() as small, bench.place.filled(sizes.large).open() as large:
        for name, ledger in (("small", small), ("large", large)):
            emit = emit_fact(ledger)
            emits[name] = lambda _, emit=emit: each(emit, [next(numbers) for _ in range(block)])
        found = alternate(sizes.growth_rounds, emits)
    ours, base = medians(found["large"]), medians(found["small"])
    bench.add(
        f"append.growth.{sizes.large}", statistics.median(flat(found["large"])), "us",
        baseline=statistics.median(flat(found["small"])), ratio=paired(ours, base), goal=at_most(1.15),
        samples=sum(map(len, found["large"])), blocks=ours,
    )  # fmt: skip


def batch(bench: Bench) -> None:
    """Batches with every signature verified, beside storing the same rows and verifying on all cores."""
    rounds, size = bench.sizes.batch_rounds, bench.sizes.batch
    cores = len(os.sched_getaffinity(0))
    made = bench.place.new_ledger()
    with closing(made.new.ledger), made.open() as ledger, closing(bench.place.bare()) as bare:
        signed = bench.place.mint.envelopes(made.new, (rounds + 2) * size)
        ledger.append_batch(signed[-size:])
        envelopes, like = slices(signed, size), Likeness(recorded(ledger, size))
        key = Ed25519PublicKey.from_public_bytes(made.new.admin_key.public.raw)
        checks = checks_of(signed[:size], key)
        prepared = [bare.prepare_batch(like.rows(size)) for _ in range(rounds + 1)]
        found = alternate(
            rounds,
            {
                "ours": lambda n: rate(lambda: ledger.append_batch(envelopes(n)), size),
                "store": lambda n: rate(lambda: bare.insert_batch(prepared[n]), size),
                "verify": lambda _: rate(lambda: verify_raw(checks), size),
            },
        )
    possible = [
        1 / (1 / store + 1 / verify / cores) for store, verify in zip(found["store"], found["verify"], strict=True)
    ]
    bench.add(
        f"append.batch{size}", statistics.median(found["ours"]), "events/s", baseline=statistics.median(possible),
        ratio=paired(found["ours"], possible), goal=at_least(0.6), samples=rounds * size, blocks=found["ours"],
    )  # fmt: skip
    bench.add(
        f"store.batch{size}", statistics.median(found["store"]), "events/s", samples=rounds, blocks=found["store"]
    )
    bench.add("ed25519.verify", statistics.median(found["verify"]), "/s", samples=rounds, blocks=found["verify"])
