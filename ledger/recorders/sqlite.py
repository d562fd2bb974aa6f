"""The log in one SQLite file, through apsw, whose wheels carry a current SQLite.

The SQLite in most Pythons (3.7.0 to 3.51.2) can lose commits in WAL mode, and two copies of the
library in one process break POSIX locks, so the standard module is not used anywhere in Muniment.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import apsw

from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.recorders.append import StoredAt, Unit, append_units
from ledger.recorders.sql import FORMAT_VERSION, Fields, SqlRecorder
from ledger.stored import Head, LogIdentity

__all__ = ["SqliteRecorder"]

_WAIT_SECONDS = 60.0
_FORBID = "SELECT RAISE(ABORT, 'the log is append-only')"

_DDL = f"""
CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id = 1), ledgerid TEXT NOT NULL, origin TEXT NOT NULL,
    format INTEGER NOT NULL) STRICT;
CREATE TABLE entry (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, revision INTEGER NOT NULL, type TEXT NOT NULL,
    actor TEXT NOT NULL, id TEXT NOT NULL, emitter TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL,
    item INTEGER NOT NULL, keys TEXT NOT NULL, payload BLOB NOT NULL, envelope BLOB NOT NULL, prev BLOB NOT NULL,
    recorded_at INTEGER NOT NULL, leaf_hash BLOB NOT NULL,
    UNIQUE (stream, revision), UNIQUE (id, actor), UNIQUE (emitter, sequence, actor)) STRICT;
CREATE TABLE content (position INTEGER PRIMARY KEY, payload BLOB NOT NULL, signatures BLOB NOT NULL) STRICT;
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, last_leaf BLOB NOT NULL,
    peaks BLOB NOT NULL, recorded_at INTEGER NOT NULL, authority INTEGER NOT NULL) STRICT;
CREATE TABLE tile (level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, root BLOB NOT NULL,
    PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;
CREATE TABLE tracking (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER head_forward BEFORE UPDATE ON head WHEN NEW.size < OLD.size OR NEW.id <> OLD.id BEGIN {_FORBID}; END;
CREATE TRIGGER head_kept BEFORE DELETE ON head BEGIN {_FORBID}; END;
""" + "".join(
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN {_FORBID}; END;\n"
    for table in ("log", "entry", "content", "tile", "checkpoint")
    for verb in ("UPDATE", "DELETE")
)


def _explain(error: apsw.Error, path: Path) -> StorageError:
    hints: list[tuple[type[apsw.Error], str, str]] = [
        (apsw.FullError, "the disk is full", "Free some space and retry; nothing was half-written."),
        (apsw.BusyError, "another process holds the store", "Retry in a moment."),
        (apsw.ReadOnlyError, "the file cannot be written", "Check its owner and mode, or that of its folder."),
        (apsw.PermissionsError, "access is denied", "Check the file's owner and mode."),
        (apsw.NotADBError, "it is not a SQLite database", "Restore it from a verified copy."),
        (apsw.CorruptError, "the file is damaged", "Restore it from a verified copy, then: muniment verify log"),
        (apsw.CantOpenError, "it cannot be opened", "Check that its folder exists and can be written."),
    ]
    for kind, words, hint in hints:
        if isinstance(error, kind):
            return StorageError(f"{path}: {words} ({error})", hint=hint)
    return StorageError(f"{path}: {error}", hint="muniment doctor looks at the store.")


class SqliteRecorder(SqlRecorder):
    """One log in one file; every process has one writing connection.

    Args:
        path: the file.
        clock: the clock for ``recorded_at`` in microseconds; the system's when None.
        read_only: refuse every write.
    """

    backend: ClassVar[str] = "sqlite"

    def __init__(self, path: Path, clock: Callable[[], int] | None = None, *, read_only: bool = False) -> None:
        super().__init__(clock)
        self.path = path
        self._read_only = read_only
        self._connection: apsw.Connection | None = None
        self._pid = -1
        self._inherited: list[apsw.Connection] = []

    # -- connection ------------------------------------------------------------------------

    def _connect(self) -> apsw.Connection:
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        if self._connection is not None:
            # After a fork: closing the parent's connection here would drop its POSIX locks.
            self._inherited.append(self._connection)
        if not self.path.exists():
            raise ConfigurationError(
                f"there is no ledger at {self.path}", hint="Create one: muniment init --origin NAME"
            )
        flags = apsw.SQLITE_OPEN_READONLY if self._read_only else apsw.SQLITE_OPEN_READWRITE
        try:
            connection = apsw.Connection(str(self.path), flags=flags)
            connection.set_busy_timeout(int(_WAIT_SECONDS * 1000))
            for pragma in ("synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {pragma}")
        except apsw.Error as error:
            raise _explain(error, self.path) from error
        self._connection, self._pid = connection, os.getpid()
        return connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def create(self, identity: LogIdentity) -> None:
        """Create a new file (mode 0600) with an empty log.

        Raises:
            ConfigurationError: the file exists.
            StorageError: it cannot be made.
        """
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError as error:
            raise ConfigurationError(f"{self.path} already exists", hint="Choose another folder.") from error
        except OSError as error:
            raise StorageError(f"{self.path} cannot be created: {error.strerror}") from error
        self._run("PRAGMA journal_mode = WAL")
        with self._writing():
            self._connect().execute(_DDL)
            self._run("INSERT INTO log VALUES (1, ?, ?, ?)", (identity.ledgerid, identity.origin, FORMAT_VERSION))
            self._run("INSERT INTO head VALUES (1, 0, ?, ?, 0, -1)", (bytes(32), b""))

    # -- statements ------------------------------------------------------------------------

    def _sql(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text.replace("$", "")
        return found

    def _run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        with self._lock:
            try:
                return self._connect().execute(self._sql(text), parameters).fetchall()
            except apsw.SQLError as error:
                if "no such table" in str(error):
                    raise ConfigurationError(
                        f"{self.path} holds no ledger", hint="Create one: muniment init --origin NAME"
                    ) from error
                raise _explain(error, self.path) from error
            except apsw.Error as error:
                raise _explain(error, self.path) from error

    def _run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        try:
            self._connect().executemany(self._sql(text), parameters)
        except apsw.Error as error:
            raise _explain(error, self.path) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Take turns with other processes; SQLite's own waiting starves some of them."""
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{lock_path}: {error.strerror}", hint="The ledger's folder must be writable.") from error
        try:
            deadline = time.monotonic() + _WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StorageError(
                            f"another process has held {lock_path} for {_WAIT_SECONDS:.0f} s", hint="Retry in a moment."
                        ) from None
                    time.sleep(0.001)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            connection = self._connect()
            if self._read_only:
                raise StorageError(f"{self.path} was opened read-only", hint="Open it without mode=ro to write.")
            with self._turn():
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except apsw.Error as error:
                    raise _explain(error, self.path) from error
                try:
                    yield
                    connection.execute("COMMIT")
                except BaseException as error:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    if isinstance(error, apsw.Error):
                        raise _explain(error, self.path) from error
                    raise

    # -- appending -------------------------------------------------------------------------

    def lock_head(self) -> Head:
        """See `append.Transaction.lock_head`; BEGIN IMMEDIATE holds the lock."""
        return self.head()

    def _store_clock(self) -> int:
        return time.time_ns() // 1000

    def append(self, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
        """Append units in one durable transaction; see `append_units`.

        Raises:
            StorageError: nothing was appended.
        """
        with self._writing():
            return append_units(self, self.identity(), units)
