"""Appending under the head lock: the same steps on every backend.

The contract. Whoever calls `append_units` holds the head lock in a write transaction, so nobody else
appends meanwhile. Positions are gapless and assigned here. Each unit is all or nothing and has its
own outcome: what conflicts is found by look-up and leaves its neighbours alone. Nothing is acknowledged
before the transaction's commit is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ledger.crashpoints import crashpoint
from ledger.entry import ZERO_HASH, Entry, entry_hash, format_time
from ledger.errors import ConflictError, LedgerError, StorageError
from ledger.mapper import SignedStoredEvent
from ledger.merkle import CompactRange, perfect_root
from ledger.recorders.units import (
    Found,
    StaleReadError,
    StoredAt,
    Unit,
    check_repeats,
    id_taken,
    number_taken,
    separate,
)
from ledger.stored import Head, LogIdentity, Row, Tile
from ledger.treereader import completed_tiles

__all__ = ["EMPTY_HEAD", "MAX_CLOCK_BEHIND", "Transaction", "append_units", "clock_behind"]

#: A clock further behind the last entry than this refuses to append (5 s in microseconds).
MAX_CLOCK_BEHIND = 5_000_000
EMPTY_HEAD = Head(0, bytes.fromhex(ZERO_HASH), b"", 0, -1)


def clock_behind(now: int, last: int) -> StorageError:
    """The store's clock runs behind the last entry; both in microseconds since the Unix epoch."""
    return StorageError(
        f"the store's clock says {format_time(now)}, which is behind the last entry, recorded at {format_time(last)}",
        hint="Set the clock right, then retry; nothing was appended.",
    )


class Transaction(Protocol):
    """What a backend offers inside its write transaction, under the head lock."""

    def lock_head(self) -> Head:
        """Take the head lock and read the head."""

    def now(self) -> int:
        """The store's clock, microseconds since the Unix epoch."""

    def look_up(self, events: Sequence[SignedStoredEvent]) -> Sequence[Found]:
        """What the log holds of each event's names."""

    def find(self, event_id: str, actor: str) -> Row | None:
        """The row of an author's event id."""

    def last_revision(self, stream: str) -> int | None:
        """Last revision of a stream, or None when it is empty."""

    def revision_taken(self, stream: str, revision: int) -> bool:
        """Whether a stream has this revision."""

    def insert_rows(self, rows: Sequence[Row]) -> None:
        """Insert entries with their content."""

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        """Leaf hashes of indexes in [start, stop)."""

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Roots of full tiles."""

    def insert_tile(self, tile: Tile) -> None:
        """Insert a full tile."""

    def set_head(self, head: Head) -> None:
        """Move the head."""


def _stored(row: Row, *, existing: bool) -> StoredAt:
    entry = row.entry
    return StoredAt(entry.index, row.leaf_hash, entry.stream, entry.revision, entry.recorded_at, existing)


def _check_reads(tx: Transaction, unit: Unit, authority: int, grown: Mapping[str, int]) -> None:
    if unit.authority is not None and unit.authority != authority:
        raise StaleReadError.authority_moved()
    for stream, revision in unit.reads.items():
        found = grown.get(stream) or tx.last_revision(stream) or 0
        if found != revision:
            raise StaleReadError.moved(stream, revision, found)


def _known(tx: Transaction, event: SignedStoredEvent) -> StoredAt:
    """Where an event stands whose author used its id before."""
    row = tx.find(event.id, event.actor)
    if row is None or row.entry.payload != event.payload:
        raise id_taken(event.id, None if row is None else row.entry.index)
    return _stored(row, existing=True)


class _Numbering:
    """Revisions that one unit takes, on top of those the log holds.

    Args:
        tx: the transaction.
        unit: the unit.
        grown: last revisions of streams to which units before it in its run added.
    """

    def __init__(self, tx: Transaction, unit: Unit, grown: Mapping[str, int]) -> None:
        self._tx = tx
        self._fixed = unit.fixed
        self._grown = grown
        self.last: dict[str, int] = {}
        self._taken: set[tuple[str, int]] = set()

    def revision(self, event: SignedStoredEvent, found: Found) -> int:
        """The revision an event gets.

        Raises:
            ConflictError: it, or the number its emitter gave it, is taken.
        """
        if found.sequence_taken:
            raise number_taken(event.emitter, event.sequence)
        stream = str(event.originator_id)
        if self._fixed:
            revision = event.originator_version
            if (stream, revision) in self._taken or self._tx.revision_taken(stream, revision):
                raise ConflictError(f"{event.originator_id} already has a revision {revision}")
            self._taken.add((stream, revision))
            return revision
        revision = (self.last.get(stream) or self._grown.get(stream) or found.revision or 0) + 1
        self.last[stream] = revision
        return revision


class _Chain:
    """Makes entries one after another and keeps the head they lead to."""

    def __init__(self, identity: LogIdentity, head: Head, now: int) -> None:
        if head.recorded_at - now > MAX_CLOCK_BEHIND:
            raise clock_behind(now, head.recorded_at)
        self._ledgerid = identity.ledgerid
        self._range = CompactRange.from_bytes(head.size, head.peaks)
        self._last_leaf = head.last_leaf
        self.recorded_at = max(now, head.recorded_at)
        self.authority = head.authority

    @property
    def size(self) -> int:
        """Entries so far."""
        return self._range.size

    @property
    def head(self) -> Head:
        """The head after all that was added."""
        return Head(self._range.size, self._last_leaf, self._range.to_bytes(), self.recorded_at, self.authority)

    def add(self, events: Sequence[tuple[SignedStoredEvent, int]]) -> list[Row]:
        """Entries for events with their revisions.

        Raises:
            InputError: one of them cannot be written; nothing has changed.
        """
        rows: list[Row] = []
        first, leaf, authority = self._range.size, self._last_leaf, self.authority
        for index, (event, revision) in enumerate(events, first):
            entry = Entry(
                event.actor, event.emitter, event.envelope, event.id, index, event.item, event.keys, self._ledgerid,
                event.payload, leaf.hex(), self.recorded_at, revision, event.sequence, str(event.originator_id),
                event.subject, event.topic,
            )  # fmt: skip
            leaf = entry_hash(entry)
            if event.authority:
                authority = index
            rows.append(Row(entry, leaf, event.state, event.signatures))
        self._range = self._range.extend([row.leaf_hash for row in rows])
        self._last_leaf, self.authority = leaf, authority
        return rows


def _place(
    tx: Transaction, unit: Unit, found: Sequence[Found], chain: _Chain, grown: dict[str, int]
) -> tuple[list[StoredAt], list[Row]]:
    """Give the events of a unit their places.

    Args:
        tx: the transaction.
        unit: the unit.
        found: what the log holds of the names of its events.
        chain: takes the new entries.
        grown: last revisions of streams to which units before it added; takes this one's.

    Returns:
        Where its events stand, and the rows that are new.
    """
    check_repeats(unit)
    known = [
        None if unit.fixed or at.position is None else _known(tx, event)
        for event, at in zip(unit.events, found, strict=True)
    ]
    fresh = [(event, at) for event, at, before in zip(unit.events, found, known, strict=True) if before is None]
    if fresh:
        _check_reads(tx, unit, chain.authority, grown)
        if unit.until is not None and chain.recorded_at >= unit.until:
            raise StaleReadError.expired(unit.until)
        if unit.stop is not None and chain.size + len(fresh) > unit.stop:
            raise StaleReadError.key_ended(unit.stop)
    if 0 < len(fresh) < len(known) and unit.authority is not None:
        raise StaleReadError.partly_recorded()
    numbering = _Numbering(tx, unit, grown)
    rows = chain.add([(event, numbering.revision(event, at)) for event, at in fresh])
    grown.update(numbering.last)
    added = iter(rows)
    return [before or _stored(next(added), existing=False) for before in known], rows


def _append_run(tx: Transaction, units: Sequence[Unit], chain: _Chain) -> list[list[StoredAt] | LedgerError]:
    """Append units that `separate` left together: names are looked up at once, and rows inserted at once."""
    found = iter(tx.look_up([event for unit in units for event in unit.events]))
    outcomes: list[list[StoredAt] | LedgerError] = []
    rows: list[Row] = []
    grown: dict[str, int] = {}
    for unit in units:
        try:
            places, added = _place(tx, unit, [next(found) for _ in unit.events], chain, grown)
        except StorageError:
            raise
        except LedgerError as error:
            outcomes.append(error)
        else:
            outcomes.append(places)
            rows += added
    if rows:
        tx.insert_rows(rows)
        crashpoint("append.inserted")
    return outcomes


def _write_tiles(tx: Transaction, old: int, new: int) -> None:
    for level, index in completed_tiles(old, new):
        start, stop = index * 256, index * 256 + 256
        hashes = list(tx.leaf_hashes(start, stop) if level == 0 else tx.tile_roots(level - 1, start, stop))
        tx.insert_tile(Tile(level, index, b"".join(hashes), perfect_root(hashes)))


def append_units(tx: Transaction, identity: LogIdentity, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
    """Append units in order; the caller commits afterwards.

    Args:
        tx: an open write transaction of the backend.
        identity: which log this is.
        units: what to append.

    Returns:
        One outcome a unit: where its events stand, or why nothing of it was appended.

    Raises:
        StorageError: the store failed or its clock runs behind; the caller rolls back.
    """
    head = tx.lock_head()
    crashpoint("append.begun")
    chain = _Chain(identity, head, tx.now())
    outcomes = [outcome for run in separate(units) for outcome in _append_run(tx, run, chain)]
    after = chain.head
    if after.size > head.size:
        _write_tiles(tx, head.size, after.size)
        tx.set_head(after)
    return outcomes
