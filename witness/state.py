"""What a witness must never forget: the last head of each log that it cosigned, in one SQLite file.

A head is stored durably before its cosignature leaves (C2SP tlog-witness), and what is compared is compared inside the
transaction that stores. A witness whose state was put back would cosign a second history, so the state is no part of
any backup: a witness that lost it needs a new key.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from ledger.addcheckpoint import MAX_UNPROVEN
from ledger.durable import sync_folder
from ledger.errors import ConfigurationError, StorageError
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey, parse_vkey
from witness.judging import Latest

__all__ = ["Crowded", "Evidence", "Unproven", "WitnessState"]

_FORBID = "SELECT RAISE(ABORT, 'a witness never goes back')"
_DDL = f"""
CREATE TABLE witness (id INTEGER PRIMARY KEY CHECK (id = 1), layout INTEGER NOT NULL, vkey TEXT NOT NULL) STRICT;
CREATE TABLE log (origin TEXT NOT NULL, vkey TEXT NOT NULL, PRIMARY KEY (origin, vkey)) STRICT, WITHOUT ROWID;
CREATE TABLE latest (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE evidence (number INTEGER PRIMARY KEY, origin TEXT NOT NULL, kind TEXT NOT NULL, known BLOB NOT NULL,
    shown BLOB NOT NULL, at INTEGER NOT NULL, UNIQUE (origin, kind, known, shown)) STRICT;
CREATE TRIGGER latest_forward BEFORE UPDATE ON latest
    WHEN NEW.origin <> OLD.origin OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
    BEGIN {_FORBID}; END;
CREATE TRIGGER latest_kept BEFORE DELETE ON latest BEGIN {_FORBID}; END;
CREATE TRIGGER latest_no_replace BEFORE INSERT ON latest
    WHEN EXISTS (SELECT 1 FROM latest WHERE origin = NEW.origin) BEGIN {_FORBID}; END;
CREATE TRIGGER witness_no_update BEFORE UPDATE ON witness BEGIN {_FORBID}; END;
CREATE TRIGGER evidence_no_update BEFORE UPDATE ON evidence BEGIN {_FORBID}; END;
CREATE TRIGGER evidence_no_delete BEFORE DELETE ON evidence BEGIN {_FORBID}; END;
"""  # noqa: S608 - our own names
#: Heads that the log signed and nobody proved; a state that was made before these were kept gets the table when opened.
_UNPROVEN = """
CREATE TABLE IF NOT EXISTS unproven (number INTEGER PRIMARY KEY AUTOINCREMENT, origin TEXT NOT NULL,
    size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL, UNIQUE (origin, size, root))
    STRICT;
CREATE TABLE IF NOT EXISTS crowded (origin TEXT PRIMARY KEY, count INTEGER NOT NULL, first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
_LAYOUT = 1
#: What is kept against one log; more proves nothing more, and a log must not fill its witness's disk.
_MAX_EVIDENCE = 100


@dataclass(frozen=True, slots=True)
class Unproven:
    """A head that a log signed, and that came with a proof which does not lead to it from the one cosigned.

    Attributes:
        origin: the log.
        size: its size.
        root: its root hash.
        note: the note, with the lines that were verified.
        at: seconds since the Unix epoch.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Crowded:
    """Requests of which the head was not kept, since there was no room for more unproven heads of the log.

    Attributes:
        origin: the log.
        count: how many, also of the same head.
        first_at, last_at: seconds since the Unix epoch.
    """

    origin: str
    count: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two heads of a log that do not fit: one size and two roots, or one that has another past than the other.

    Attributes:
        number: in order of keeping, from 1.
        origin: the log.
        kind: see `judging.Answer`.
        known: the note this witness had cosigned, with its cosignature; or, of two that it refused, the first.
        shown: the note it was shown then, with the lines that were verified; of the kind ``rewritten`` the request, in
            which the proof stands before the note.
        at: seconds since the Unix epoch.
    """

    number: int
    origin: str
    kind: str
    known: bytes
    shown: bytes
    at: int


class WitnessState:
    """The state of one witness; safe to use from many threads, and from several processes.

    Args:
        path: the file.
        vkey: the witness's own key; a state belongs to one key.

    Raises:
        ConfigurationError: the file is missing, no state of a witness, or of another key.
        StorageError: it cannot be read.
    """

    def __init__(self, path: Path, vkey: VerifierKey) -> None:
        self.path = path
        self._lock = threading.Lock()
        if not path.exists():
            raise ConfigurationError(
                f"the state of the witness, {path}, is missing",
                hint="A witness that forgot what it cosigned may cosign a fork: make a new one with a new key.",
            )
        try:
            self._connection = _connect(path, apsw.SQLITE_OPEN_READWRITE)
            found = self._connection.execute("SELECT layout, vkey FROM witness").fetchall()
            if found:
                self._connection.execute(_UNPROVEN)
        except apsw.Error as error:
            raise StorageError(f"the state of the witness, {path}, cannot be read: {error}") from error
        if found != [(_LAYOUT, format_vkey(vkey))]:
            self._connection.close()
            raise ConfigurationError(f"{path} is not the state of the witness {vkey.name} with this key")

    @classmethod
    def create(cls, path: Path, vkey: VerifierKey) -> WitnessState:
        """Make the state of a new witness.

        Raises:
            ConfigurationError: the file exists, or cannot be made.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = _connect(path, apsw.SQLITE_OPEN_READWRITE)
            with connection:
                connection.execute(_DDL + _UNPROVEN)
                connection.execute("INSERT INTO witness VALUES (1, ?, ?)", (_LAYOUT, format_vkey(vkey)))
            connection.close()
            sync_folder(path.parent)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be made: {error.strerror}") from error
        except apsw.Error as error:
            raise ConfigurationError(f"{path} cannot be made: {error}") from error
        return cls(path, vkey)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction in which nobody else reads or writes; committed durably at the end.

        Raises:
            StorageError: it failed; nothing was stored.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except apsw.Error as error:
                raise StorageError(f"the state of the witness, {self.path}, failed: {error}") from error

    def _rows(self, text: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(text, parameters).fetchall()
            except apsw.Error as error:
                raise StorageError(f"the state of the witness, {self.path}, failed: {error}") from error

    # -- logs ------------------------------------------------------------------------------

    def add_log(self, vkey: VerifierKey) -> bool:
        """Know a log, or another key of one.

        Returns:
            False when it was known.
        """
        if vkey.type != TYPE_ED25519:
            raise ConfigurationError(f"the key of {vkey.name} is not the key of a log")
        with self.changing():
            before = self._connection.total_changes()
            row = (vkey.name, format_vkey(vkey))
            self._connection.execute("INSERT INTO log VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            return self._connection.total_changes() > before

    def logs(self) -> list[VerifierKey]:
        """Keys of all logs that are known."""
        return [parse_vkey(str(text)) for (text,) in self._rows("SELECT vkey FROM log ORDER BY origin, vkey")]

    # -- heads -----------------------------------------------------------------------------

    def latest(self, origin: str) -> tuple[Latest, bytes]:
        """The last head of a log that was cosigned and its note; inside `changing`.

        Returns:
            The head, and the note with the cosignature, empty before the first.
        """
        found = self._connection.execute("SELECT size, root, note FROM latest WHERE origin = ?", (origin,)).fetchall()
        rows: list[Any] = found
        return (Latest(rows[0][0], rows[0][1]), rows[0][2]) if rows else (Latest(), b"")

    def advance(self, origin: str, head: Latest, note: bytes) -> None:
        """Store the head that is to be cosigned; inside `changing`."""
        row = (head.size, head.root, note)
        self._connection.execute("UPDATE latest SET size = ?, root = ?, note = ? WHERE origin = ?", (*row, origin))
        if not self._connection.changes():
            self._connection.execute("INSERT INTO latest VALUES (?, ?, ?, ?)", (origin, *row))

    def heads(self) -> list[tuple[str, bytes]]:
        """(origin, note) of the last head of each log."""
        return [(str(o), bytes(n)) for o, n in self._rows("SELECT origin, note FROM latest ORDER BY origin")]

    # -- evidence --------------------------------------------------------------------------

    def keep_evidence(self, origin: str, kind: str, known: bytes, shown: bytes, at: int) -> bool:
        """Keep two heads that do not fit, once whatever their signature lines; inside `changing`.

        Returns:
            Whether they are kept, now or since earlier; False when there is enough of this kind against the log.
        """
        heads = (known.partition(b"\n\n")[0] + b"\n\n", shown.partition(b"\n\n")[0] + b"\n\n")
        rows: list[Any] = self._connection.execute(
            "SELECT known, shown FROM evidence WHERE origin = ? AND kind = ?", (origin, kind)
        ).fetchall()
        if any(row[0].startswith(heads[0]) and row[1].startswith(heads[1]) for row in rows):
            return True
        if len(rows) >= _MAX_EVIDENCE:
            return False
        self._connection.execute(
            "INSERT INTO evidence (origin, kind, known, shown, at) VALUES (?, ?, ?, ?, ?)",
            (origin, kind, known, shown, at),
        )
        return True

    def evidence(self) -> list[Evidence]:
        """Everything kept that proves something; bad proofs, which this witness once kept too, prove nothing."""
        kinds = "kind IN ('fork', 'rewritten')"
        rows = self._rows(f"SELECT number, origin, kind, known, shown, at FROM evidence WHERE {kinds} ORDER BY 1")  # noqa: S608 - our own words
        return [Evidence(*row) for row in rows]

    # -- heads that nobody proved ----------------------------------------------------------

    def rival(self, origin: str, head: Latest) -> bytes:
        """Note of an unproven head of the same size and with another root, empty when there is none; in `changing`."""
        found: list[Any] = self._connection.execute(
            "SELECT note FROM unproven WHERE origin = ? AND size = ? AND root <> ? ORDER BY number LIMIT 1",
            (origin, head.size, head.root),
        ).fetchall()
        return bytes(found[0][0]) if found else b""

    def settle(self, origin: str, head: Latest) -> bytes:
        """A head is cosigned: what is kept of this size needs to be no longer; inside `changing`.

        Returns:
            As `rival`.
        """
        rival = self.rival(origin, head)
        self._connection.execute("DELETE FROM unproven WHERE origin = ? AND size = ?", (origin, head.size))
        return rival

    def keep_unproven(self, origin: str, head: Latest, note: bytes, at: int) -> bool:
        """Keep a head that the log signed and nobody proved, once, while there is room; inside `changing`.

        None gives way to another: else whoever holds the log's key would push out what speaks against it.

        Returns:
            False when there is no room for the first time.
        """
        text = "SELECT size, root FROM unproven WHERE origin = ?"
        rows: list[Any] = self._connection.execute(text, (origin,)).fetchall()
        if (head.size, head.root) in rows:
            return True
        if len(rows) < MAX_UNPROVEN:
            self._connection.execute(
                "INSERT INTO unproven (origin, size, root, note, at) VALUES (?, ?, ?, ?, ?)",
                (origin, head.size, head.root, note, at),
            )
            return True
        counted: list[Any] = self._connection.execute(
            "INSERT INTO crowded VALUES (?, 1, ?, ?) "
            "ON CONFLICT (origin) DO UPDATE SET count = count + 1, last_at = excluded.last_at RETURNING count",
            (origin, at, at),
        ).fetchall()
        return counted != [(1,)]

    def unproven_at(self, origin: str, size: int) -> tuple[bytes, bytes] | None:
        """Root and note of the unproven head of a size; inside `changing`. Two of one size are evidence."""
        found: list[Any] = self._connection.execute(
            "SELECT root, note FROM unproven WHERE origin = ? AND size = ?", (origin, size)
        ).fetchall()
        return (bytes(found[0][0]), bytes(found[0][1])) if found else None

    def unproven_sizes(self, origin: str, below: int) -> tuple[int, ...]:
        """Sizes of unproven heads that are smaller than the one cosigned; inside `changing`."""
        text = "SELECT size FROM unproven WHERE origin = ? AND size < ? ORDER BY size"
        rows: list[Any] = self._connection.execute(text, (origin, below)).fetchall()
        return tuple(size for (size,) in rows)

    def crowded(self) -> list[Crowded]:
        """Logs of which heads were not kept."""
        return [Crowded(*row) for row in self._rows("SELECT origin, count, first_at, last_at FROM crowded ORDER BY 1")]

    def unproven(self) -> list[Unproven]:
        """Heads that logs signed and nobody proved, in order of keeping."""
        rows = self._rows("SELECT origin, size, root, note, at FROM unproven ORDER BY number")
        return [Unproven(*row) for row in rows]


def _connect(path: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(10_000)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    return connection
