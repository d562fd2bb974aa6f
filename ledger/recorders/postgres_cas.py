"""Appending to PostgreSQL where functions may not be made: a compare-and-swap on the head row, in one statement.

The steps are those of `append.append_units`, taken without a lock: what they read is read from the committed log, what
they write is noted. Then one statement moves the head, if it is still the one that was read, and inserts the rest only
if it did. Nothing can have changed in between, because everything that is appended moves the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ledger.errors import LedgerError, StorageError
from ledger.mapper import SignedStoredEvent
from ledger.recorders.append import append_units
from ledger.recorders.layouts import moved_to
from ledger.recorders.units import Found, StoredAt, Unit
from ledger.stored import Head, Row, Tile

if TYPE_CHECKING:
    from ledger.recorders.postgres import PostgresRecorder

__all__ = ["append_by_swap"]

_ATTEMPTS = 200
_SWAP = """
WITH moved AS (UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = ?
               WHERE id = 1 AND size = ? AND last_leaf = ? AND authority = ?
                   AND NOT EXISTS (SELECT 1 FROM $successor) RETURNING id),
entries AS (INSERT INTO $entry (position, stream, revision, type, actor, id, emitter, sequence, subject, item, keys,
                                payload, envelope, prev, recorded_at, leaf_hash)
    SELECT i.* FROM moved, unnest(?::int8[], ?::text[], ?::int8[], ?::text[], ?::text[], ?::text[], ?::text[],
        ?::int8[], ?::text[], ?::int4[], ?::text[], ?::bytea[], ?::bytea[], ?::bytea[], ?::int8[], ?::bytea[]) AS i),
contents AS (INSERT INTO $content (position, payload, signatures)
    SELECT i.* FROM moved, unnest(?::int8[], ?::bytea[], ?::bytea[]) AS i),
tiles AS (INSERT INTO $tile (level, idx, hashes, root)
    SELECT i.* FROM moved, unnest(?::int4[], ?::int8[], ?::bytea[], ?::bytea[]) AS i)
SELECT count(*) FROM moved
"""


class _Plan:
    """An `append.Transaction` that reads what is committed and notes what is to be written."""

    def __init__(self, recorder: PostgresRecorder) -> None:
        self._recorder = recorder
        self.before = recorder.head()
        self.after = self.before
        self.rows: list[Row] = []
        self.tiles: list[Tile] = []

    def lock_head(self) -> Head:
        return self.before

    def now(self) -> int:
        return self._recorder.now()

    def look_up(self, events: Sequence[SignedStoredEvent]) -> Sequence[Found]:
        return self._recorder.look_up(events)

    def find(self, event_id: str, actor: str) -> Row | None:
        return self._recorder.find(event_id, actor)

    def last_revision(self, stream: str) -> int | None:
        return self._recorder.last_revision(stream)

    def revision_taken(self, stream: str, revision: int) -> bool:
        return self._recorder.revision_taken(stream, revision)

    def insert_rows(self, rows: Sequence[Row]) -> None:
        self.rows.extend(rows)

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        stored = self._recorder.leaf_hashes(start, min(stop, self.before.size))
        return [*stored, *(row.leaf_hash for row in self.rows if start <= row.entry.index < stop)]

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        stored = self._recorder.tile_roots(level, start, stop)
        return [*stored, *(tile.root for tile in self.tiles if tile.level == level and start <= tile.index < stop)]

    def insert_tile(self, tile: Tile) -> None:
        self.tiles.append(tile)

    def set_head(self, head: Head) -> None:
        self.after = head

    def swap(self) -> bool:
        """Write it all if the head is still the one that was read."""
        before, after = self.before, self.after
        columns = list(zip(*map(self._recorder.columns_of, self.rows), strict=True))
        contents = [[row.entry.index + 1 for row in self.rows], [row.payload for row in self.rows],
                    [row.signatures for row in self.rows]]  # fmt: skip
        tiles = [[tile.level for tile in self.tiles], [tile.index for tile in self.tiles],
                 [tile.hashes for tile in self.tiles], [tile.root for tile in self.tiles]]  # fmt: skip
        parameters = (
            *(after.size, after.last_leaf, after.peaks, after.recorded_at, after.authority),
            *(before.size, before.last_leaf, before.authority),
            *map(list, columns),
            *contents,
            *tiles,
        )
        return self._recorder.ask(_SWAP, parameters) == [(1,)]


def append_by_swap(recorder: PostgresRecorder, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
    """Append units one after another, each by a statement of its own.

    Raises:
        StorageError: the store failed, or others kept appending.
    """
    return [_append_one(recorder, unit) for unit in units]


def _append_one(recorder: PostgresRecorder, unit: Unit) -> list[StoredAt] | LedgerError:
    for _ in range(_ATTEMPTS):
        plan = _Plan(recorder)
        (outcome,) = append_units(plan, recorder.identity(), [unit])
        if not plan.rows:
            recorder.store.wait_for_standbys()  # for what was found
            return outcome
        if plan.swap():
            return outcome
        successor = recorder.successor()
        if successor is not None:
            raise moved_to(successor[0])
    raise StorageError("others kept appending to this log", hint="Retry in a moment; nothing was appended.")
