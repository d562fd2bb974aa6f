"""From signed events to receipts: judge, hand to the group commit, and judge again when the log moved on meanwhile.

Judging is optimistic: it uses the world as this process knows it, and the store's transaction checks again what that
rested on (streams read, keys, roles and rules). So nothing is read before an append that the last one left known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from ledger.domain import RecordedEvent, judge, make_event
from ledger.domain.decisions import marks_of
from ledger.envelope import Envelope, verify_envelope
from ledger.errors import ConflictError, LedgerError
from ledger.events import Category
from ledger.handle import LogHandle
from ledger.keys import PublicKey
from ledger.mapper import EventMapper, SignedStoredEvent
from ledger.payload import Payload
from ledger.recorders.append import StaleReadError, StoredAt, Unit
from ledger.recorders.group import GroupCommit, Ticket
from ledger.stored import Row
from ledger.worlds import WorldAt

__all__ = ["Appender", "Pending", "Receipt", "SignedEvent"]

_JUDGE_AGAIN = 100
#: Signatures verified by one task of the pool: verifying releases the interpreter's lock, handing over costs.
_CHUNK = 32
#: Registrations fix a name to a digest, so they are refused like decisions when the digest is another one.
_IDENTITY_TYPES = ("dataset.registered", "version.registered")


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
        made_by: public keys whose private halves signed it in this process just now, so that verifying tells nothing.
    """

    envelope: Envelope
    payload: Payload
    made_by: frozenset[PublicKey] = frozenset()


@dataclass(frozen=True, slots=True)
class _Judged:
    event: RecordedEvent
    stored: SignedStoredEvent
    reads: Mapping[str, int]  # streams looked at, and their revisions
    decided: bool  # whether what it may do rests on them, and not only what it is marked with
    marks: tuple[str, ...]
    keys: Mapping[str, PublicKey]


@dataclass(frozen=True, slots=True)
class Pending:
    """What was asked for, how it was judged, and its place in the queue (None when all of it was recorded before).

    ``looked_up`` says whether it is known which of it was recorded before.
    """

    signed: Sequence[SignedEvent]
    expect: Mapping[str, int]
    items: Sequence[_Judged | Receipt]
    ticket: Ticket | None
    looked_up: bool


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    """Threads that verify signatures, one a core; a forked process has its own."""
    cores = len(os.sched_getaffinity(pid)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(max_workers=cores, thread_name_prefix="muniment-verify")


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

    def begin(self, signed: Sequence[SignedEvent], expect: Mapping[str, int], *, again: bool = False) -> Pending:
        """Judge events, verify their signatures and put them into the queue as one unit.

        Args:
            signed: the events, in order.
            expect: revision of each stream the caller decided on.
            again: read the head first, and look for what is recorded already.

        Raises:
            LedgerError: the first event that is refused.
        """
        try:
            items, authority = self._judge_all(signed, expect, again=again)
            self._verify(signed, items)
        except LedgerError:
            if again:
                raise
            # A refusal must rest on the log as it is, and what is recorded already is not refused.
            return self.begin(signed, expect, again=True)
        fresh = [item for item in items if isinstance(item, _Judged)]
        if not fresh:
            return Pending(signed, expect, items, None, again)
        reads = {stream: revision for item in fresh if item.decided for stream, revision in item.reads.items()}
        unit = Unit(tuple(item.stored for item in fresh), {**reads, **expect}, authority)
        events = [item.event for item in fresh]
        ticket = self._group.enqueue(unit, lambda places: self._follow(events, places))
        return Pending(signed, expect, items, ticket, again)

    def finish(self, pending: Pending) -> list[Receipt]:
        """Wait until what was begun is durable.

        Raises:
            LedgerError: nothing of it was appended, unless a StorageError says that the outcome is unknown.
        """
        for _ in range(_JUDGE_AGAIN):
            if pending.ticket is None:
                self._recorder.settle()
                return [item for item in pending.items if isinstance(item, Receipt)]
            outcome = self._group.wait(pending.ticket)
            if isinstance(outcome, list):
                places = iter(outcome)
                return [
                    item if isinstance(item, Receipt) else _receipt(item.stored.id, next(places), item.marks)
                    for item in pending.items
                ]
            stale = isinstance(outcome, StaleReadError) and outcome.stream not in pending.expect
            # A batch may clash with itself only because it was not looked up which of it is recorded already.
            unclear = isinstance(outcome, ConflictError) and len(pending.signed) > 1 and not pending.looked_up
            if not stale and not unclear:
                raise outcome
            pending = self.begin(pending.signed, pending.expect, again=True)
        raise ConflictError(
            f"{pending.signed[0].payload.subject} kept changing while this was judged {_JUDGE_AGAIN} times",
            hint="Retry in a moment.",
        )

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

    @staticmethod
    def _receipt_of(row: Row) -> Receipt:
        entry = row.entry
        place = StoredAt(entry.index, row.leaf_hash, entry.stream, entry.revision, entry.recorded_at, existing=True)
        return _receipt(entry.id, place)

    def _follow(self, events: Sequence[RecordedEvent], places: Sequence[StoredAt]) -> None:
        for event, place in zip(events, places, strict=True):
            if not place.existing:
                self._handle.world.follow(event, place.index, place.revision)

    # -- judging ---------------------------------------------------------------------------------

    def _judge_all(
        self, signed: Sequence[SignedEvent], expect: Mapping[str, int], *, again: bool
    ) -> tuple[list[_Judged | Receipt], int]:
        """Judge events one after another, each in the world that those before it lead to.

        Returns:
            What became of each, and the authority they were judged under.
        """
        with self._handle.judging:
            world = self._handle.world
            size = world.refresh() if again else world.size
            items = self._judge_at(world.at(size), signed, expect, look_up=again)
            # Facts are not judged again when a stream moves on; so what they are marked by is read first.
            marked = any(isinstance(item, _Judged) and item.reads and not item.decided for item in items)
            if marked and not again and world.refresh() != size:
                items = self._judge_at(world.at(world.size), signed, expect, look_up=False)
            return items, world.authority

    def _judge_at(
        self, at: WorldAt, signed: Sequence[SignedEvent], expect: Mapping[str, int], *, look_up: bool
    ) -> list[_Judged | Receipt]:
        items: list[_Judged | Receipt] = []
        for one in signed:
            # What is recorded already takes no place, so it must not move the place the others are judged at.
            known = self.recorded_before(one) if look_up else None
            if known is not None:
                items.append(known)
                continue
            judged = self._judge(at, one, expect)
            at.follow(judged.event)
            items.append(judged)
        return items

    def _judge(self, at: WorldAt, one: SignedEvent, expect: Mapping[str, int]) -> _Judged:
        event = make_event(at.index, one.payload, tuple(signature.keyid for signature in one.envelope.signatures))
        at.reads = {}
        verdict = judge(at, event)
        if verdict.error is not None:
            raise verdict.error
        for stream, revision in expect.items():
            if at.reads.get(stream, revision) != revision:
                raise StaleReadError.moved(stream, revision, at.reads[stream])
        marks = marks_of(at, event)
        assert event.kind is not None  # noqa: S101 - unknown types were refused before
        decided = event.kind.category is Category.DECISION or event.kind.name in _IDENTITY_TYPES
        return _Judged(event, self._mapper.to_signed(event, one.envelope), at.reads, decided, marks, verdict.keys)

    def _verify(self, signed: Sequence[SignedEvent], items: Sequence[_Judged | Receipt]) -> None:
        """Verify the signatures of all events that are new, on all cores when there are many."""
        todo = [
            (one.envelope, item.keys)
            for one, item in zip(signed, items, strict=True)
            if isinstance(item, _Judged) and not one.made_by.issuperset(item.keys.values())
        ]
        if len(todo) <= _CHUNK:
            _verify_all(todo)
            return
        chunks = [todo[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK)]
        for _ in _pool(os.getpid()).map(_verify_all, chunks):
            pass


def _verify_all(todo: Sequence[tuple[Envelope, Mapping[str, PublicKey]]]) -> None:
    for envelope, keys in todo:
        verify_envelope(envelope, keys)
