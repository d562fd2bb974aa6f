"""Reading a log: `stored.LogReader` over the SQL that both backends share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from ledger.errors import ConfigurationError
from ledger.recorders.layouts import FORMAT_VERSION, QUARANTINE, refused
from ledger.stored import (
    Attestation,
    Fields,
    Head,
    LogIdentity,
    Row,
    SignedHead,
    StoredCheckpoint,
    Tile,
    row_of,
)

__all__ = ["COLUMNS", "ENTRY_COLUMNS", "FROM", "ReadSql"]

ENTRY_COLUMNS = (
    "e.position", "e.stream", "e.revision", "e.type", "e.actor", "e.id", "e.emitter", "e.sequence", "e.subject",
    "e.item", "e.keys", "e.payload", "e.envelope", "e.prev", "e.recorded_at", "e.leaf_hash",
)  # fmt: skip
#: The columns of a row, in the order of `stored.row_of`.
COLUMNS = (*ENTRY_COLUMNS, "c.payload", "c.signatures")
FROM = "FROM $entry e LEFT JOIN $content c ON c.position = e.position"
_TEXTS = frozenset(
    {
        *("e.stream", "e.type", "e.actor", "e.id", "e.emitter", "e.subject", "e.keys"),
        *("ledgerid", "origin", "kind", "issuer", "place"),
    }
)
_HEAD = "SELECT size, last_leaf, peaks, recorded_at, authority, id FROM $head"
_PAYLOAD = "SELECT c.position, c.payload"


class ReadSql:
    """The part of a recorder that reads."""

    _run: Callable[..., list[Fields]]
    _read: Callable[..., list[Fields]]
    _identity: LogIdentity | None
    #: Whether a payload holds some bytes, for their digits.
    payload_holds: ClassVar[str]

    def identity(self) -> LogIdentity:
        """Which log this is.

        Raises:
            ConfigurationError: there is none here, or it has another layout.
        """
        if self._identity is None:
            found = self._run_text("SELECT id, format, ", ("ledgerid", "origin"), "FROM $log")
            if len(found) != 1 or found[0][0] != 1:
                raise ConfigurationError("this store holds no ledger", hint="Create one: muniment init --origin NAME")
            _, version, ledgerid, origin = found[0]
            if version != FORMAT_VERSION:
                kinds = self._run_text("SELECT ", ("kind",), "FROM $transfer") if version == -FORMAT_VERSION else []
                raise refused(version, kinds[0][0] if kinds else "")
            self._identity = LogIdentity(ledgerid, origin)
        return self._identity

    def admit(self, identity: LogIdentity) -> None:
        """Read a closed store as this log's; for `copying`, which knows what it is."""
        self._identity = identity

    def successor(self) -> tuple[str, bytes] | None:
        """See `LogReader.successor`."""
        found = self._run_text("SELECT ", ("place", "note"), "FROM $successor")
        return (found[0][0], found[0][1]) if found else None

    def head(self) -> Head:
        """The head row."""
        found = self._run(_HEAD)
        if len(found) != 1 or found[0][5] != 1:
            raise ConfigurationError("the store's head row is missing", hint="muniment verify log tells more.")
        return Head(*found[0][:5])

    def _row(self, fields: Fields) -> Row:
        return row_of(fields, self.identity().ledgerid)

    def _select(self, tail: str, parameters: Fields) -> list[Row]:
        return [self._row(fields) for fields in self._run_text("SELECT ", COLUMNS, f"{FROM} {tail}", parameters)]

    def _run_text(self, head: str, columns: Sequence[str], tail: str, parameters: Fields = ()) -> list[Fields]:
        """Read columns of text, even when somebody put bytes into them that are none: U+FFFD stands for those."""
        try:
            return self._read(f"{head}{', '.join(columns)} {tail}", parameters)
        except UnicodeDecodeError:  # SQLite takes any bytes; what an entry may hold is ASCII, so it is found at its row
            blobs = ", ".join(f"CAST({name} AS BLOB)" if name in _TEXTS else name for name in columns)
            found = self._run(f"{head}{blobs} {tail}", parameters)
            texts = [name in _TEXTS for name in columns]
            skip = len(found[0]) - len(columns) if found else 0
            return [
                (*row[:skip], *(v.decode(errors="replace") if t else v for v, t in zip(row[skip:], texts, strict=True)))
                for row in found
            ]

    def rows(self, start: int, limit: int) -> list[Row]:
        """See `LogReader.rows`."""
        return self._select("WHERE e.position > ? ORDER BY e.position LIMIT ?", (start, limit))

    def payloads_with(self, marks: Sequence[bytes], start: int, stop: int) -> list[tuple[int, bytes]]:
        """Index and payload with ``start`` <= index < ``stop`` of those that hold one of some bytes, in order."""
        holds = " OR ".join(self.payload_holds.format(mark.hex()) for mark in marks)
        tail = f"FROM $content c WHERE c.position > ? AND c.position <= ? AND ({holds}) ORDER BY c.position"
        return [(position - 1, payload) for position, payload in self._run(f"{_PAYLOAD} {tail}", (start, stop))]

    def rows_before(self, stop: int, limit: int) -> list[Row]:
        """At most ``limit`` rows with index < ``stop``, newest first."""
        return self._select("WHERE e.position <= ? ORDER BY e.position DESC LIMIT ?", (stop, limit))

    def stream_rows(self, stream: str, start: int, stop: int, after: int = 0) -> list[Row]:
        """See `LogReader.stream_rows`."""
        # The revision is what the index is about: a long stream's past is not even looked at.
        tail = "WHERE e.stream = ? AND e.revision > ? AND e.position > ? AND e.position <= ? ORDER BY e.position"
        return self._select(tail, (stream, after, start, stop))

    def authority_streams(self) -> list[str]:
        """See `LogReader.authority_streams`."""
        # ';' follows ':' in ASCII, so this is a range on the index (stream, revision).
        tail = "FROM $entry e WHERE e.stream >= ? AND e.stream < ?"
        found = self._run_text("SELECT DISTINCT ", ("e.stream",), tail, ("actor:", "actor;"))
        return [stream for (stream,) in found]

    def streams(self, start: str, stop: str, limit: int) -> list[str]:
        """At most ``limit`` names of streams from ``start`` up to ``stop``, in order of their bytes."""
        tail = "FROM $entry e WHERE e.stream >= ? AND e.stream < ? ORDER BY e.stream LIMIT ?"
        found = self._run_text("SELECT DISTINCT ", ("e.stream",), tail, (start, stop, limit))
        return [stream for (stream,) in found]

    def authority_rows(self, start: int, stop: int) -> list[Row]:
        """See `LogReader.authority_rows`."""
        # The plus keeps the planner from walking the whole log by position.
        tail = "WHERE e.stream >= ? AND e.stream < ? AND +e.position > ? AND +e.position <= ? ORDER BY e.position"
        return self._select(tail, ("actor:", "actor;", start, stop))

    def quarantines(self, start: int, stop: int) -> list[tuple[int, str]]:
        """See `LogReader.quarantines`."""
        # The type is written out: the index is about this one alone, which a parameter would not tell the planner.
        tail = f"FROM $entry e WHERE e.type = '{QUARANTINE}' AND e.position > ? AND e.position <= ? ORDER BY e.position"
        found = self._run_text("SELECT e.position, ", ("e.stream",), tail, (start, stop))
        return [(position - 1, stream) for position, stream in found]

    def actor_rows(self, actor: str, start: int, stop: int, limit: int) -> list[Row]:
        """See `LogReader.actor_rows`."""
        tail = "WHERE e.actor = ? AND e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
        return self._select(tail, (actor, start, stop, limit))

    def find(self, event_id: str, actor: str) -> Row | None:
        """The row of an author's event id."""
        found = self._select("WHERE e.id = ? AND e.actor = ?", (event_id, actor))
        return found[0] if found else None

    def find_id(self, event_id: str) -> list[Row]:
        """Rows of an event id, whoever its author is."""
        return self._select("WHERE e.id = ? ORDER BY e.position", (event_id,))

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """See `LogReader.leaf_hashes`."""
        sql = "SELECT leaf_hash FROM $entry WHERE position > ? AND position <= ? ORDER BY position"
        return [leaf for (leaf,) in self._run(sql, (start, stop))]

    def tile(self, level: int, index: int) -> Tile | None:
        """See `LogReader.tile`."""
        found = self._run("SELECT level, idx, hashes, root FROM $tile WHERE level = ? AND idx = ?", (level, index))
        return Tile(*found[0]) if found else None

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """See `LogReader.tile_roots`."""
        sql = "SELECT root FROM $tile WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        return [root for (root,) in self._run(sql, (level, start, stop))]

    def tiles(self, level: int, start: int, limit: int) -> list[Tile]:
        """See `LogReader.tiles`."""
        sql = "SELECT level, idx, hashes, root FROM $tile WHERE level = ? AND idx >= ? ORDER BY idx LIMIT ?"
        return [Tile(*fields) for fields in self._run(sql, (level, start, limit))]

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """See `LogReader.checkpoints`."""
        found = self._run("SELECT size, note FROM $checkpoint WHERE size > ? ORDER BY size LIMIT ?", (after, limit))
        return [StoredCheckpoint(*fields) for fields in found]

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """See `LogReader.last_checkpoint`."""
        found = self._run("SELECT size, note FROM $checkpoint ORDER BY size DESC LIMIT 1")
        return StoredCheckpoint(*found[0]) if found else None

    def signed_head(self) -> SignedHead | None:
        """See `LogReader.signed_head`."""
        found = self._run("SELECT size, root FROM $signed_head WHERE id = 1")
        return SignedHead(*found[0]) if found else None

    def last_signed(self) -> tuple[SignedHead | None, StoredCheckpoint | None]:
        """`signed_head` and `last_checkpoint` of one moment."""
        sql = (
            "SELECT s.size, s.root, c.size, c.note FROM (SELECT 1 AS one) AS o LEFT JOIN $signed_head s ON s.id = 1 "
            "LEFT JOIN $checkpoint c ON c.size = (SELECT max(size) FROM $checkpoint)"
        )
        ((size, root, last, note),) = self._run(sql)
        return (
            None if size is None else SignedHead(size, root),
            None if last is None else StoredCheckpoint(last, note),
        )

    def attestations(self, after: tuple[int, int], limit: int) -> list[Attestation]:
        """See `LogReader.attestations`."""
        return self._attestations("(size, number) > (?, ?) ORDER BY size, number", (*after, limit))

    def attestations_before(self, before: tuple[int, int], limit: int) -> list[Attestation]:
        """See `LogReader.attestations_before`."""
        return self._attestations("(size, number) < (?, ?) ORDER BY size DESC, number DESC", (*before, limit))

    def _attestations(self, tail: str, parameters: Fields) -> list[Attestation]:
        columns = ("number", "size", "kind", "issuer", "body", "recorded_at")
        return [
            Attestation(*fields)
            for fields in self._run_text("SELECT ", columns, f"FROM $attestation WHERE {tail} LIMIT ?", parameters)
        ]
