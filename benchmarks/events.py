"""Signed events in quantity, made on all cores, and rows like those that a ledger stored."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from benchmarks.baselines import BareRow
from ledger.creation import NewLedger
from ledger.domain import make_event
from ledger.emission import build_payload, uuid7
from ledger.envelope import Envelope, format_envelope, sign_payload
from ledger.keys import Ed25519Signer
from ledger.mapper import EventMapper, SignedStoredEvent
from ledger.payload import Payload
from ledger.stored import Row

CHUNK = 1000
TYPE = "monitor.signal"
SENSORS = 64
#: Events of one project of `governed`.
PROJECT = 20
#: Type, subject and body of the event with a number.
Story = Callable[[int], tuple[str, str, dict[str, Any]]]


def subject(number: int) -> str:
    """Events are of 64 streams, in turn."""
    return f"monitor:scoring/sensor-{number % SENSORS}"


def body(number: int) -> dict[str, Any]:
    """The body of a telemetry fact of middling size: its payload has about 800 bytes."""
    return {
        "metric": "population-stability-index",
        "value": 0.1 + number % 97 / 1000,
        "baseline": 0.08,
        "threshold": 0.2,
        "severity": "info",
        "window": "2026-11-23T08:00:00Z/PT5M",
        "deployment": "deployment:prod/scoring",
        "model": "model:credit/scoring@7",
        "slices": [{"slice": "sex=female", "metrics": {"psi": 0.11}}],
    }


@dataclass(frozen=True)
class Author:
    """Who signs, in a form that another process can be handed."""

    ledgerid: str
    actor: str
    seed: bytes

    @classmethod
    def of(cls, new: NewLedger) -> Author:
        return cls(new.trust.ledgerid, new.admin, new.admin_key.private_key.private_bytes_raw())


def signal(number: int) -> tuple[str, str, dict[str, Any]]:
    """Type, subject and body of a telemetry fact."""
    return TYPE, subject(number), body(number)


def _digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def governed(number: int) -> tuple[str, str, dict[str, Any]]:
    """A log of projects that have nothing to do with each other: two versions each, live in turn, and telemetry."""
    project, step = divmod(number, PROJECT)
    version = 1 if step < 6 else 2
    data, run, model = f"dataset:d{project}@{version}", f"run:r{project}-{version}", f"model:m{project}@{version}"
    place = f"deployment:dev/s{project}"
    read, made = ([{"role": role, "subject": name, "digest": _digest(name)}]
                  for role, name in (("input", data), ("output", model)))  # fmt: skip
    bodies = (
        ("dataset.registered", data, {"digest": _digest(data)}),
        ("run.started", run, {"inputs": read, "job": "train", "parameters": {"depth": 6}}),
        ("run.completed", run, {"outputs": made, "metrics": {"auc": 0.9}}),
        ("version.registered", model, {"digest": _digest(model), "owner": "p-owner", "tier": "high", "run": run}),
        ("evaluation.completed", model, {"metrics": {"auc": 0.9}, "verdict": "pass", "dataset": data}),
        ("deployment.completed", place, {"model": model, "digest": _digest(model)}),
    )
    if step < 12:
        return bodies[step % 6]
    if step == 12:
        return "incident.opened", f"incident:i{project}", {"title": "slow", "deployment": place}
    return signal(number)


def _sign(author: Author, first: int, count: int, story: Story = signal) -> Iterator[tuple[Payload, Envelope]]:
    """Events with these numbers, from an emitter of their own."""
    signer, emitter = Ed25519Signer.from_seed(author.seed), str(uuid4())
    for place in range(count):
        kind, about, data = story(first + place)
        payload, parsed = build_payload(
            ledgerid=author.ledgerid,
            actor=author.actor,
            type=kind,
            subject=about,
            data=data,
            emitter=emitter,
            sequence=place + 1,
        )
        yield parsed, sign_payload(payload, [signer])


def sign_many(author: Author, first: int, count: int) -> list[bytes]:
    """Envelopes as a client sends them."""
    return [format_envelope(envelope) for _, envelope in _sign(author, first, count)]


def store_forms(author: Author, first: int, count: int, story: Story = signal) -> list[SignedStoredEvent]:
    """The same, as a recorder takes them: for filling a ledger without judging what is known to be good."""
    mapper = EventMapper()
    return [
        mapper.to_signed(make_event(-1, payload, tuple(s.keyid for s in envelope.signatures), 0), envelope)
        for payload, envelope in _sign(author, first, count, story)
    ]


class Mint:
    """Makes signed events in as many processes as there are cores; they idle while something is timed."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context)

    def __enter__(self) -> Mint:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def _chunks(self, make: Any, author: Author, count: int, *more: Any) -> Iterator[list[Any]]:
        ahead: list[Future[list[Any]]] = []
        asked = 0
        while asked < count or ahead:
            while asked < count and len(ahead) < 8:
                ahead.append(self._pool.submit(make, author, asked, min(CHUNK, count - asked), *more))
                asked += CHUNK
            yield ahead.pop(0).result()

    def envelopes(self, new: NewLedger, count: int) -> list[bytes]:
        """Signed events that are not recorded yet."""
        return [envelope for chunk in self._chunks(sign_many, Author.of(new), count) for envelope in chunk]

    def stored(self, new: NewLedger, count: int, story: Story = signal) -> Iterator[list[SignedStoredEvent]]:
        """Signed events in chunks, in the form of a recorder."""
        return self._chunks(store_forms, Author.of(new), count, story)


class Likeness:
    """Makes rows like some that a ledger really stored, for a bare writer: other ids and places, all else the same.

    Args:
        rows: the originals, taken in turn.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._emitter = str(uuid4())
        self._made = 0

    def rows(self, count: int) -> list[BareRow]:
        """The next rows; their positions and numbers follow those made before."""
        found = []
        for _ in range(count):
            row = self._rows[self._made % len(self._rows)]
            self._made += 1
            number, e = self._made, row.entry
            header = (
                number, e.stream, number, e.type, e.actor, uuid7(), self._emitter, number, e.subject, e.item,
                ",".join(e.keys), bytes.fromhex(e.payload), bytes.fromhex(e.envelope), bytes.fromhex(e.prev),
                e.recorded_at, row.leaf_hash,
            )  # fmt: skip
            found.append((header, (number, row.payload, row.signatures)))
        return found
