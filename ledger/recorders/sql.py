"""The SQL both backends share: one portable dialect, written once.

Statements use ``?`` for parameters and ``$table`` for qualified tables; a backend supplies the
connection, the head lock, the clock and the DDL.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
)

from ledger.cosignature import check_kept
from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, ConflictError, InputError, LedgerError
from ledger.mapper import SignedStoredEvent
from ledger.recorders.append import append_units
from ledger.recorders.audit_sql import COLUMNS, FROM, AuditSql
from ledger.recorders.layouts import FORMAT_VERSION, moved_to, refused
from ledger.recorders.units import Found, StoredAt, Unit
from ledger.stored import (
    ATTESTATION_KINDS,
    Attestation,
    Head,
    LogIdentity,
    Row,
    SignedHead,
    StoredCheckpoint,
    Tile,
    Transfer,
    row_of,
)

__all__ = ["FORMAT_VERSION", "Fields", "SqlRecorder", "SqlStore"]

_TEXTS = frozenset(
    {
        *("e.stream", "e.type", "e.actor", "e.id", "e.emitter", "e.subject", "e.keys"),
        *("ledgerid", "origin", "kind", "issuer", "place"),
    }
)
_POLL_SECONDS = 0.1
_HEAD = "SELECT size, last_leaf, peaks, recorded_at, authority, id FROM $head"
_SET_HEAD = "UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = ?"
_LOOK_UP = (
    "SELECT (SELECT position FROM $entry WHERE id = ? AND actor = ?), "
    "EXISTS (SELECT 1 FROM $entry WHERE emitter = ? AND sequence = ? AND actor = ?), "
    "(SELECT max(revision) FROM $entry WHERE stream = ?)"
)

Fields = tuple[Any, ...]


class SqlStore(Protocol):
    """What both backends' connections offer."""

    def run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Run one portable statement and return its rows; failures are `StorageError`."""

    def run_each(self, text: str, parameters: Sequence[Fields]) -> list[Fields]:
        """Run one portable statement for each tuple of parameters and return all rows."""

    def run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        """Run one portable statement for each tuple of parameters."""

    def reading(self) -> AbstractContextManager[None]:
        """A read transaction: everything read inside is of one moment."""

    def writing(self) -> AbstractContextManager[None]:
        """A write transaction: committed durably at the end, rolled back on any exception."""

    def close(self) -> None:
        """Close the connection."""


class SqlRecorder(AuditSql, ProcessRecorder):
    """Recorder and reader of one log over a SQL connection guarded by one lock.

    Implements the library's abstract recorders directly, `stored.AuditReader` for verification and
    `append.Transaction` for appending.
    """

    backend: ClassVar[str]
    #: Where the store is, for whoever looks for the views beside it; may hold a password.
    url = ""
    #: Statements that let rows of `attestation` be deleted, and never again.
    attestation_guard: ClassVar[tuple[str, str]]

    def __init__(self, store: SqlStore, clock: Callable[[], int] | None = None) -> None:
        self.sql = store  # for the modules beside this one, which copy and migrate
        self._run = store.run
        self._run_each = store.run_each
        self._run_many = store.run_many
        self._writing = store.writing
        self.snapshot = store.reading
        self.close = store.close
        self._clock = clock
        self._identity: LogIdentity | None = None

    # -- what a backend supplies -------------------------------------------------------------

    @abstractmethod
    def _store_clock(self) -> int:
        """The store's clock inside the transaction, microseconds since the Unix epoch."""

    @abstractmethod
    def create(self, identity: LogIdentity, transfer: Transfer | None = None) -> None:
        """Create the tables of a new log; with a transfer, one that stays closed until `copying.open_store`."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether anything is where the tables would be made."""

    @abstractmethod
    def run_ddl(self, statements: str) -> None:
        """Run statements that make or change tables, inside the caller's transaction."""

    @abstractmethod
    def upgrade(self, version: int) -> None:
        """Add what layouts after ``version`` have, inside the caller's transaction; rights that were given are kept."""

    def _first_rows(self, identity: LogIdentity, transfer: Transfer | None) -> None:
        version = FORMAT_VERSION if transfer is None else -FORMAT_VERSION
        self._run("INSERT INTO $log VALUES (1, ?, ?, ?)", (identity.ledgerid, identity.origin, version))
        self._run("INSERT INTO $head VALUES (1, 0, ?, ?, 0, -1)", (bytes(32), b""))
        if transfer is not None:
            row = (transfer.kind, transfer.token, transfer.manifest)
            self._run("INSERT INTO $transfer VALUES (1, ?, ?, ?)", row)

    @abstractmethod
    def append(self, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
        """Append units in one durable transaction; see `append_units`."""

    def ask(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Ask the store about itself; for `doctor`."""
        return self._run(text, parameters)

    # -- reading (stored.LogReader) ----------------------------------------------------------

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
            return self._run(f"{head}{', '.join(columns)} {tail}", parameters)
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

    def authority_rows(self, start: int, stop: int) -> list[Row]:
        """See `LogReader.authority_rows`."""
        # The plus keeps the planner from walking the whole log by position.
        tail = "WHERE e.stream >= ? AND e.stream < ? AND +e.position > ? AND +e.position <= ? ORDER BY e.position"
        return self._select(tail, ("actor:", "actor;", start, stop))

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

    # -- writing (append.Transaction) --------------------------------------------------------

    @abstractmethod
    def lock_head(self) -> Head:
        """Take the head lock and read the head."""

    def now(self) -> int:
        """See `append.Transaction.now`."""
        return self._clock() if self._clock is not None else self._store_clock()

    def look_up(self, events: Sequence[SignedStoredEvent]) -> list[Found]:
        """See `append.Transaction.look_up`."""
        names = [(e.id, e.actor, e.emitter, e.sequence, e.actor, str(e.originator_id)) for e in events]
        return [Found._make(row) for row in self._run_each(_LOOK_UP, names)]

    def last_revision(self, stream: str) -> int | None:
        """See `append.Transaction.last_revision`."""
        found = self._run("SELECT max(revision) FROM $entry WHERE stream = ?", (stream,))
        return found[0][0]  # type: ignore[no-any-return]

    def revision_taken(self, stream: str, revision: int) -> bool:
        """See `append.Transaction.revision_taken`."""
        return bool(self._run("SELECT 1 FROM $entry WHERE stream = ? AND revision = ?", (stream, revision)))

    @staticmethod
    def columns_of(row: Row) -> Fields:
        """The columns of `entry` for a row, in their order."""
        e = row.entry
        return (
            e.index + 1, e.stream, e.revision, e.type, e.actor, e.id, e.emitter, e.sequence, e.subject, e.item,
            ",".join(e.keys), bytes.fromhex(e.payload), bytes.fromhex(e.envelope), bytes.fromhex(e.prev),
            e.recorded_at, row.leaf_hash,
        )  # fmt: skip

    def insert_rows(self, rows: Sequence[Row]) -> None:
        """See `append.Transaction.insert_rows`."""
        self._run_many(
            "INSERT INTO $entry (position, stream, revision, type, actor, id, emitter, sequence, subject, item, "
            "keys, payload, envelope, prev, recorded_at, leaf_hash) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self.columns_of(row) for row in rows],
        )
        contents = [(row.entry.index + 1, row.payload, row.signatures) for row in rows]
        self._run_many("INSERT INTO $content (position, payload, signatures) VALUES (?, ?, ?)", contents)

    def insert_tile(self, tile: Tile) -> None:
        """See `append.Transaction.insert_tile`."""
        sql = "INSERT INTO $tile (level, idx, hashes, root) VALUES (?, ?, ?, ?)"
        self._run(sql, (tile.level, tile.index, tile.hashes, tile.root))

    def set_head(self, head: Head) -> None:
        """See `append.Transaction.set_head`."""
        self._run(_SET_HEAD, (head.size, head.last_leaf, head.peaks, head.recorded_at, head.authority))

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

    def add_checkpoint(self, head: SignedHead, note: bytes, previous: SignedHead) -> bool:
        """Store a signed head by compare-and-swap, only ever forward.

        Args:
            head: what it is about.
            note: exact bytes of the signed note.
            previous: the last signed head, which the signer extended (`NOTHING_SIGNED` for none).

        Returns:
            False when somebody else signed meanwhile; nothing is stored then.
        """
        with self._writing():
            present = self.lock_head()
            row, last = self.last_signed()
            if row != previous or (last.size if last else 0) != previous.size:
                return False
            if not previous.size < head.size <= present.size:
                return False
            self.store_signed(head, note)
            crashpoint("checkpoint.before_commit")
        return True

    def store_signed(self, head: SignedHead, note: bytes) -> None:
        """Store a signed head inside the caller's transaction, which holds the head lock and has compared."""
        self._run("INSERT INTO $checkpoint (size, note) VALUES (?, ?)", (head.size, note))
        self._run("UPDATE $signed_head SET size = ?, root = ? WHERE id = 1", (head.size, head.root))

    def add_attestation(self, size: int, kind: str, issuer: str, body: bytes) -> bool:
        """Keep what an outsider said about a signed head; what cannot be about it is refused (`check_kept`).

        Args:
            size: of a signed head in this store.
            kind: one of `ATTESTATION_KINDS`.
            issuer: who said it, 1 to 4,096 characters.
            body: the exact bytes, 1 to 65,536.

        Returns:
            False when the same was there already.

        Raises:
            InputError: no such head was signed, or something is out of bounds or not in its form.
            AuthenticationError, VerificationError: a cosignature is not by its issuer, or not of this head.
            ConfigurationError: the ledger has moved to another store.
        """
        with self._writing():
            self.lock_head()
            moved = self.successor()
            if moved is not None:
                raise moved_to(moved[0])
            self._check_kept(size, kind, issuer, body)
            row = (size, kind, issuer, body)
            if self._run("SELECT 1 FROM $attestation WHERE size = ? AND kind = ? AND issuer = ? AND body = ?", row):
                return False
            ((number,),) = self._run("SELECT coalesce(max(number), 0) + 1 FROM $attestation")
            self._run("INSERT INTO $attestation VALUES (?, ?, ?, ?, ?, ?)", (number, *row, self.now()))
        return True

    def _check_kept(self, size: int, kind: str, issuer: str, body: bytes) -> None:
        if kind not in ATTESTATION_KINDS or not (1 <= len(issuer) <= 4096 and 1 <= len(body) <= 65_536):
            raise InputError("an attestation is out of its bounds")
        stored = self._run("SELECT note FROM $checkpoint WHERE size = ?", (size,))
        if not stored:
            raise InputError(f"no head of size {size} was signed here")
        check_kept(bytes(stored[0][0]), kind, issuer, body)

    def drop_attestations(self, numbers: Sequence[int]) -> None:
        """Remove what outsiders said, for who owns the store: such rows are no part of the log.

        Args:
            numbers: of the rows.

        Raises:
            ConfigurationError: the ledger has moved to another store.
            StorageError: this role may not, or the store failed.
        """
        with self._writing():
            self.lock_head()
            moved = self.successor()
            if moved is not None:
                raise moved_to(moved[0])
            unprotect, protect = self.attestation_guard
            self._run(unprotect)
            self._run_many("DELETE FROM $attestation WHERE number = ?", [(number,) for number in numbers])
            self._run(protect)

    def withhold(self, indexes: Sequence[int]) -> int:
        """Delete the contents of entries beside the erasure records that name them; those without one stay.

        Args:
            indexes: leaf indexes.

        Returns:
            How many were there.

        Raises:
            StorageError: a record is missing, so nothing was deleted; or the store failed.
            ConfigurationError: the ledger has moved to another store.
        """
        with self._writing():
            self.lock_head()
            moved = self.successor()
            if moved is not None:
                raise moved_to(moved[0])
            there = [index for index in indexes if self._run("SELECT 1 FROM $content WHERE position = ?", (index + 1,))]
            self._run_many("DELETE FROM $content WHERE position = ?", [(index + 1,) for index in there])
        return len(there)

    @abstractmethod
    def scrub(self) -> str:
        """Let no file of the store keep deleted content longer than it must.

        Returns:
            Where and how long it is kept nevertheless, for people.

        Raises:
            StorageError: others are reading, so that it could not be done.
        """

    def fail_fast(self) -> None:
        """Do not wait long for a store that went away: the caller waits itself."""

    def session(self) -> int:
        """A number that changes when reads may come from another server than before."""
        return 0

    def settle(self) -> None:
        """Wait until nothing that can be read now could still be lost by a failover.

        Raises:
            StorageError: it could, or the store failed.
        """

    # -- the library's abstract recorders ------------------------------------------------------

    def signed(self, event: StoredEvent) -> SignedStoredEvent:
        """The signed form of an event handed to `insert_events`.

        Raises:
            InputError: it carries no header and no signature.
        """
        if not isinstance(event, SignedStoredEvent):
            raise InputError("only signed events can be stored: map them with ledger.mapper.EventMapper")
        return event

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Store events at their own revisions, with an optional ``tracking`` in the same transaction.

        Raises:
            IntegrityError: a revision, an id or the tracking position is taken.
        """
        tracking: Tracking | None = kwargs.get("tracking")
        with self._writing():
            positions: list[int] = []
            if stored_events:
                unit = Unit(tuple(self.signed(event) for event in stored_events), fixed=True)
                (outcome,) = append_units(self, self.identity(), [unit])
                if isinstance(outcome, ConflictError):
                    raise IntegrityError(outcome.message)
                if isinstance(outcome, LedgerError):
                    raise outcome
                positions = [stored.index + 1 for stored in outcome]
            if tracking is not None:
                self._track(tracking)
        return positions or None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of one stream by revision."""
        where, parameters = ["e.stream = ?"], [str(originator_id)]
        for condition, bound in (("e.revision > ?", gt), ("e.revision <= ?", lte)):
            if bound is not None:
                where.append(condition)
                parameters.append(bound)  # type: ignore[arg-type]
        order = "DESC" if desc else "ASC"
        sql = f"SELECT e.stream, e.revision, e.type, c.payload {FROM} WHERE {' AND '.join(where)} ORDER BY e.revision {order}"  # noqa: E501 - constants
        if limit is not None:
            sql += " LIMIT ?"
            parameters.append(limit)  # type: ignore[arg-type]
        return [StoredEvent(*fields) for fields in self._run(sql, tuple(parameters))]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events of the whole log by position (leaf index + 1)."""
        where, parameters = ["1 = 1"], []
        if start is not None:
            where.append("e.position >= ?" if inclusive_of_start else "e.position > ?")
            parameters.append(start)
        if stop is not None:
            where.append("e.position <= ?")
            parameters.append(stop)
        if topics:
            where.append(f"e.type IN ({', '.join('?' for _ in topics)})")
            parameters.extend(topics)  # type: ignore[arg-type]
        sql = f"SELECT e.stream, e.revision, e.type, c.payload, e.position {FROM} WHERE {' AND '.join(where)} ORDER BY e.position LIMIT ?"  # noqa: E501 - constants
        return [Notification(*fields) for fields in self._run(sql, (*parameters, limit))]

    def max_notification_id(self) -> int | None:
        """Position of the last event."""
        found = self._run("SELECT max(position) FROM $entry")
        return found[0][0]  # type: ignore[no-any-return]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Iterate over events as they are recorded, by polling."""
        return _PollingSubscription(self, gt=gt, topics=topics)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record how far an upstream was processed."""
        with self._writing():
            self._track(tracking)

    def _track(self, tracking: Tracking) -> None:
        last = self.max_tracking_id(tracking.application_name)
        if last is not None and tracking.notification_id <= last:
            raise IntegrityError(f"{tracking.application_name} was already processed up to {last}")
        name, position = tracking.application_name, tracking.notification_id
        if last is None:
            self._run("INSERT INTO $tracking (name, position) VALUES (?, ?)", (name, position))
        else:
            self._run("UPDATE $tracking SET position = ? WHERE name = ?", (position, name))

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far an upstream was processed."""
        found = self._run("SELECT position FROM $tracking WHERE name = ?", (application_name,))
        return found[0][0] if found else None


class _PollingSubscription(Subscription[ApplicationRecorder]):
    """New events in pages of 500, polled ten times a second."""

    def __init__(self, recorder: SqlRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._page: Iterator[Notification] = iter(())

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            for notification in self._page:
                self._last_notification_id = notification.id
                return notification
            found = self._recorder.select_notifications(
                self._last_notification_id, 500, topics=self._topics, inclusive_of_start=False
            )
            self._page = iter(found)
            if not found:
                time.sleep(_POLL_SECONDS)
        raise StopIteration
