"""The SQL both backends share: one portable dialect, written once.

Statements use ``?`` for parameters and ``$table`` for qualified tables; a backend supplies the
connection, the head lock, the clock and the DDL.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from ledger.cosignature import check_kept
from ledger.crashpoints import crashpoint
from ledger.errors import InputError, LedgerError
from ledger.mapper import SignedStoredEvent
from ledger.recorders.append import append_units
from ledger.recorders.audit_sql import AuditSql
from ledger.recorders.layouts import FORMAT_VERSION, moved_to
from ledger.recorders.library_sql import LibrarySql
from ledger.recorders.units import Found, StoredAt, Unit
from ledger.stored import (
    ATTESTATION_KINDS,
    Fields,
    Head,
    LogIdentity,
    Row,
    SignedHead,
    Tile,
    Transfer,
)

__all__ = ["SqlRecorder", "SqlStore"]

_SET_HEAD = "UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = ?"
_LOOK_UP = (
    "SELECT (SELECT position FROM $entry WHERE id = ? AND actor = ?), "
    "EXISTS (SELECT 1 FROM $entry WHERE emitter = ? AND sequence = ? AND actor = ?), "
    "(SELECT max(revision) FROM $entry WHERE stream = ?)"
)


class SqlStore(Protocol):
    """What both backends' connections offer."""

    def run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Run one portable statement and return its rows; failures are `StorageError`."""

    def read(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """As `run`, the fastest way for rows of text, bytes and integers."""

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


class SqlRecorder(AuditSql, LibrarySql):
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
        self._read = store.read
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
    def structure_faults(self, *, deep: bool = True) -> Sequence[str]:
        """See `AuditReader.structure_faults`."""

    @abstractmethod
    def missing_guards(self) -> Sequence[str]:
        """Names of triggers that keep others from changing the log, and are gone or switched off.

        They guard against mistakes, not against whoever owns the store; verification does not rest on them.
        """

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

    def append_here(self, unit: Unit) -> list[StoredAt] | LedgerError:
        """See `LibrarySql.append_here`."""
        (outcome,) = append_units(self, self.identity(), [unit])
        return outcome

    def ask(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Ask the store about itself; for `doctor`."""
        return self._run(text, parameters)

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
            self._lock_unmoved()
            self._check_kept(size, kind, issuer, body)
            row = (size, kind, issuer, body)
            if self._run("SELECT 1 FROM $attestation WHERE size = ? AND kind = ? AND issuer = ? AND body = ?", row):
                return False
            ((number,),) = self._run("SELECT coalesce(max(number), 0) + 1 FROM $attestation")
            self._run("INSERT INTO $attestation VALUES (?, ?, ?, ?, ?, ?)", (number, *row, self.now()))
        return True

    def _lock_unmoved(self) -> None:
        """Take the head lock of a ledger that still lives here."""
        self.lock_head()
        moved = self.successor()
        if moved is not None:
            raise moved_to(moved[0])

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
            self._lock_unmoved()
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
            self._lock_unmoved()
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
