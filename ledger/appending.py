"""From signed events to receipts: judge, hand to the group commit, and judge again when the log moved on meanwhile.

Judging is optimistic: it uses the world as this process knows it, and the store's transaction checks again what that
rested on (streams read, keys, roles and rules). So nothing is read before an append that the last one left known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeVar

from ledger.acknowledging import find_void
from ledger.domain import RecordedEvent, judge, make_event
from ledger.domain.actors import FOREVER
from ledger.domain.decisions import marks_of
from ledger.domain.erasure import check_sealed
from ledger.envelope import Envelope, parse_envelope, verify_envelope
from ledger.errors import AuthenticationError, ConflictError, LedgerError
from ledger.events import Category, find_event_type
from ledger.events.ledgers import EntryAcknowledged
from ledger.handle import LogHandle
from ledger.keys import PublicKey
from ledger.mapper import EventMapper, SignedStoredEvent
from ledger.payload import Payload, parse_payload
from ledger.recorders.group import GroupCommit
from ledger.recorders.units import StaleReadError, StoredAt, Unit
from ledger.stored import Row
from ledger.worlds import WorldAt

__all__ = ["Appender", "Receipt", "SignedEvent"]

_JUDGE_AGAIN = 100
#: Signatures verified by one task of the pool: verifying releases the interpreter's lock, handing over costs.
_CHUNK = 32
#: Registrations fix a name to a digest, so they are refused like decisions when the digest is another one.
_IDENTITY_TYPES = ("dataset.registered", "dataset.versioned", "version.registered")

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger answers to an append.

    Attributes:
        id: event id.
        index: leaf index.
        leaf_hash: 32 bytes.
        stream: stream it stands in.
        revision: its place there, from 1.
        recorded_at: microseconds since the Unix epoch, by the store's clock.
        status: ``recorded`` (durable in the log).
        marks: what is remarkable about it, for example ``unauthorised``.
        existing: True when the same event had been recorded before.
    """

    id: str
    index: int
    leaf_hash: bytes
    stream: str
    revision: int
    recorded_at: int
    status: str
    marks: tuple[str, ...]
    existing: bool


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event to append.

    Attributes:
        envelope: payload and signatures.
        payload: the payload, parsed.
        good: keys under which its signatures are known to be good: verified, or made in this process just now.
    """

    envelope: Envelope
    payload: Payload
    good: frozenset[PublicKey] = frozenset()


@dataclass(frozen=True, slots=True)
class _Judged:
    event: RecordedEvent
    stored: SignedStoredEvent
    reads: Mapping[str, int]  # streams looked at, and their revisions
    decided: bool  # whether what it may do rests on them, and not only what it is marked with
    marks: tuple[str, ...]
    keys: Mapping[str, PublicKey]
    until: int  # it must be recorded before
    stop: int | None  # its index must be smaller


@dataclass(slots=True)
class _Job:
    """An append on its way: what was asked for, and how it was judged last."""

    sign: Callable[[], SignedEvent] | None
    signed: Sequence[SignedEvent]
    expect: Mapping[str, int]
    items: Sequence[_Judged | Receipt] = ()
    recorded_at: int = 0  # it cannot be recorded before
    looked_up: bool = False  # whether it is known which of it was recorded before
    refused: Callable[[], None] | None = None  # called at once when the rules refuse it, before the next one is signed


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    """Threads that verify signatures, one a core; a forked process has its own."""
    cores = len(os.sched_getaffinity(pid)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(max_workers=cores, thread_name_prefix="muniment-verify")


def _on_all_cores(work: Callable[[Sequence[_T]], _R], items: Sequence[_T]) -> Iterator[_R]:
    """Do something with every item, in order, some at a time; few items are not worth a thread."""
    if len(items) <= _CHUNK:
        return iter([work(items)])
    return _pool(os.getpid()).map(work, [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)])


def _receipt(event_id: str, stored: StoredAt, marks: tuple[str, ...] = ()) -> Receipt:
    return Receipt(
        id=event_id,
        index=stored.index,
        leaf_hash=stored.leaf_hash,
        stream=stored.stream,
        revision=stored.revision,
        recorded_at=stored.recorded_at,
        status="recorded",
        marks=marks,
        existing=stored.existing,
    )


class Appender:
    """The way into the log of one open ledger, for all its threads.

    Args:
        handle: the open log.
    """

    def __init__(self, handle: LogHandle) -> None:
        self._handle = handle
        self._recorder = handle.recorder
        self._group = GroupCommit(self._recorder)
        self._mapper = EventMapper()
        self._keys: dict[str, PublicKey] = {}  # keys that signed before, by key id
        self._session: int | None = None

    def read(self, envelopes: Sequence[bytes]) -> list[SignedEvent]:
        """Parse events that were signed elsewhere and verify what can be verified yet, many on all cores.

        Raises:
            InputError: the first that is malformed, too large or of an unknown type.
        """
        signed = [_read(envelope) for envelope in envelopes]
        return [one for part in _on_all_cores(self._verify_early, signed) for one in part]

    def _verify_early(self, signed: Sequence[SignedEvent]) -> list[SignedEvent]:
        # A key id is the hash of its key, so a signature can be verified before it is known who may sign with the key.
        verified = []
        for one in signed:
            keys = {s.keyid: self._keys[s.keyid] for s in one.envelope.signatures if s.keyid in self._keys}
            good = len(keys) == len(one.envelope.signatures) and _verifies(one.envelope, keys)
            verified.append(replace(one, good=frozenset(keys.values())) if good else one)
        return verified

    def append(self, signed: Sequence[SignedEvent], expect: Mapping[str, int]) -> list[Receipt]:
        """Append events as one unit; durable when this returns.

        Args:
            signed: the events, in order.
            expect: revision of each stream the caller decided on.

        Raises:
            LedgerError: the first event that is refused; nothing of it was appended, unless a StorageError says that
                the outcome is unknown.
        """
        return self._run(_Job(None, signed, expect))

    def append_new(
        self, sign: Callable[[], SignedEvent], expect: Mapping[str, int], refused: Callable[[], None]
    ) -> Receipt:
        """Append an event that is signed when its turn comes; otherwise as `append`.

        Args:
            sign: makes and signs the event, at most once; may be called by another thread.
            expect: see `append`.
            refused: gives back what `sign` took, when the event is refused before it came to the store; may be called
                by another thread.
        """
        return self._run(_Job(sign, (), expect, refused=refused))[0]

    def _run(self, job: _Job) -> list[Receipt]:
        again = False
        for _ in range(_JUDGE_AGAIN):
            ticket = self._group.enqueue(partial(self._unit, job, again=again), partial(self._follow, job))
            outcome = self._group.wait(ticket)
            if isinstance(outcome, list):
                if not outcome:
                    self._recorder.settle()  # nothing was committed that would have waited
                places = iter(outcome)
                return [
                    item if isinstance(item, Receipt) else _receipt(item.stored.id, next(places), item.marks)
                    for item in job.items
                ]
            stale = isinstance(outcome, StaleReadError) and outcome.stream not in job.expect
            if isinstance(outcome, StaleReadError):
                job.recorded_at = max(job.recorded_at, outcome.recorded_at)
            # A batch may clash with itself only because it was not looked up which of it is recorded already.
            unclear = isinstance(outcome, ConflictError) and len(job.signed) > 1 and not job.looked_up
            if not stale and not unclear:
                raise outcome
            again = True
        raise ConflictError(
            f"{job.signed[0].payload.subject} kept changing while this was judged {_JUDGE_AGAIN} times",
            hint="Retry in a moment.",
        )

    def _unit(self, job: _Job, *, again: bool) -> Unit | None:
        """Judge events and verify their signatures.

        Args:
            job: the events; takes how they were judged.
            again: read the head first, and look for what is recorded already.

        Returns:
            What is to be appended, None when all of it was recorded before.

        Raises:
            LedgerError: the first event that is refused.
        """
        job.looked_up = again
        try:
            if not job.signed and job.sign is not None:
                job.signed = [job.sign()]
            if again:  # the last entry may be of days ago, and what is too early for it may not be for this one
                job.recorded_at = max(job.recorded_at, self._recorder.now())
            items, authority = self._judge_all(job, again=again)
            self._verify(job.signed, items)
        except LedgerError:
            if again or not job.signed:
                if job.refused is not None:
                    job.refused()
                raise
            # A refusal must rest on the log as it is, and what is recorded already is not refused.
            return self._unit(job, again=True)
        job.items = items
        fresh = [item for item in items if isinstance(item, _Judged)]
        if not fresh:
            return None
        reads = {stream: revision for item in fresh if item.decided for stream, revision in item.reads.items()}
        until = min(item.until for item in fresh)
        stored = tuple([item.stored for item in fresh])
        # Their indexes follow each other, so each bound is one of the last of them.
        stops = [item.stop + len(fresh) - place for place, item in enumerate(fresh, 1) if item.stop is not None]
        return Unit(
            stored, {**reads, **job.expect}, authority, None if until == FOREVER else until, min(stops, default=None)
        )  # fmt: skip

    def _follow(self, job: _Job, places: Sequence[StoredAt]) -> None:
        events = [item.event for item in job.items if isinstance(item, _Judged)]
        for event, place in zip(events, places, strict=True):
            if not place.existing:
                self._handle.world.follow(event, place.index, place.revision, place.recorded_at)

    def recorded_before(self, event: SignedEvent) -> Receipt | None:
        """The first receipt of a retry, also when the world has moved on since (its key was revoked, say)."""
        row = self._recorder.find(event.payload.id, event.payload.actor)
        if row is None or row.payload != event.envelope.payload:
            return None
        return self._receipt_of(row)

    def first_receipt(self, row: Row) -> Receipt:
        """The receipt of an event that was recorded before, once it is durable.

        Raises:
            StorageError: ``outcome_unknown``: a failover may lose it.
        """
        self._recorder.settle()
        return self._receipt_of(row)

    def _receipt_of(self, row: Row) -> Receipt:
        entry = row.entry
        with self._handle.judging:
            world = self._handle.world
            if entry.index >= world.size:
                world.refresh()
            marks = world.judge_row(row).verdict.marks  # a retry is told again what the first one was told
        place = StoredAt(entry.index, row.leaf_hash, entry.stream, entry.revision, entry.recorded_at, existing=True)
        return _receipt(entry.id, place, marks)

    # -- judging ---------------------------------------------------------------------------------

    def _judge_all(self, job: _Job, *, again: bool) -> tuple[list[_Judged | Receipt], int]:
        """Judge events one after another, each in the world that those before it lead to.

        Returns:
            What became of each, and the authority they were judged under.
        """
        with self._handle.judging:
            world = self._handle.world
            session = self._recorder.session()
            if session != self._session:
                if self._session is not None:  # another server, perhaps, which need not have all that was known here
                    world.forget()
                    world.refresh()
                self._session = session
            size = world.refresh() if again else world.size
            items = self._judge_at(world.at(size), job, look_up=again)
            # Facts are not judged again when a stream moves on; so what they are marked by is read first. They may also
            # be marked for a head that was not yet known here.
            marked = any(
                isinstance(item, _Judged) and (item.reads or item.marks) and not item.decided for item in items
            )
            if marked and not again and world.refresh() != size:
                items = self._judge_at(world.at(world.size), job, look_up=False)
            return items, world.authority

    def _judge_at(self, at: WorldAt, job: _Job, *, look_up: bool) -> list[_Judged | Receipt]:
        items: list[_Judged | Receipt] = []
        for one in job.signed:
            # What is recorded already takes no place, so it must not move the place the others are judged at.
            known = self.recorded_before(one) if look_up else None
            if known is not None:
                items.append(known)
                continue
            judged = self._judge(at, one, job)
            at.follow(judged.event)
            items.append(judged)
        return items

    def _judge(self, at: WorldAt, one: SignedEvent, job: _Job) -> _Judged:
        keys = tuple(signature.keyid for signature in one.envelope.signatures)
        # Judged as if it were recorded with the last entry; what is refused then, or was found to be too late, is
        # judged again at the store's time of now. Whether what it rests on lasts until it is recorded is checked there.
        event = make_event(at.index, one.payload, keys, max(self._handle.world.recorded_at, job.recorded_at))
        at.reads = {}
        verdict = judge(at, event)
        if verdict.error is not None:
            raise verdict.error
        check_sealed(at, one.envelope.payload)
        if isinstance(event.body, EntryAcknowledged):
            find_void(self._recorder, self._handle.world, event.body.index)
        for stream, revision in job.expect.items():
            if at.reads.get(stream, revision) != revision:
                raise StaleReadError.moved(stream, revision, at.reads[stream])
        marks = marks_of(at, event)
        assert event.kind is not None  # noqa: S101 - unknown types were refused before
        decided = event.kind.category is Category.DECISION or event.kind.name in _IDENTITY_TYPES
        stored = self._mapper.to_signed(event, one.envelope)
        return _Judged(event, stored, at.reads, decided, marks, verdict.keys, verdict.until, verdict.stop)

    def _verify(self, signed: Sequence[SignedEvent], items: Sequence[_Judged | Receipt]) -> None:
        """Verify the signatures of all events that are new, on all cores when there are many."""
        todo = [
            (one.envelope, item.keys)
            for one, item in zip(signed, items, strict=True)
            if isinstance(item, _Judged) and not one.good.issuperset(item.keys.values())
        ]
        self._keys.update((keyid, key) for _, keys in todo for keyid, key in keys.items())
        for _ in _on_all_cores(_verify_all, todo):
            pass  # the first that raises ends it


def _read(data: bytes) -> SignedEvent:
    envelope = parse_envelope(data)
    payload = parse_payload(envelope.payload)
    find_event_type(payload.type)
    return SignedEvent(envelope, payload)


def _verifies(envelope: Envelope, keys: Mapping[str, PublicKey]) -> bool:
    try:
        verify_envelope(envelope, keys)
    except AuthenticationError:
        return False  # said when it is this event's turn
    return True


def _verify_all(todo: Sequence[tuple[Envelope, Mapping[str, PublicKey]]]) -> None:
    for envelope, keys in todo:
        verify_envelope(envelope, keys)
