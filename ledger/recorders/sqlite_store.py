"""One SQLite file through apsw: connection, statements, write transactions, and errors that say what to do.

The SQLite in most Pythons (3.7.0 to 3.51.2) can lose commits in WAL mode, and two copies of the
library in one process break POSIX locks, so the standard module is not used anywhere in Muniment.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.forks import renew_in_child
from ledger.recorders.layouts import moved_away
from ledger.stored import Fields

__all__ = ["SqliteStore"]

_WAIT_SECONDS = 60.0


def _explain(error: apsw.Error, path: Path) -> LedgerError:
    moved = moved_away(str(error)) if isinstance(error, apsw.ConstraintError) else None
    if moved is not None:
        return moved
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


class SqliteStore:
    """One connection to one file, guarded by one lock.

    Args:
        path: the file.
        read_only: refuse every write.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self.renew()
        renew_in_child(self, quiet=self)  # SQLite has locks of its own, one for each file
        self._texts: dict[str, str] = {}
        self._connection: apsw.Connection | None = None
        self._pid = -1
        self._inherited: list[apsw.Connection] = []
        self._turns: tuple[int, int] | None = None  # descriptor of the lock file, and the process that opened it

    def renew(self) -> None:
        """See `forks.Renewed`; `connect` looks at the process by itself."""
        self._lock = threading.RLock()

    def hold(self, seconds: float) -> bool:
        """See `forks.Quiet`."""
        return self._lock.acquire(timeout=seconds)

    def let_go(self) -> None:
        """See `forks.Quiet`."""
        self._lock.release()

    def connect(self) -> apsw.Connection:
        """The connection of this process, opened when first needed."""
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        if self._connection is not None:
            # After a fork: closing the parent's connection here would drop its POSIX locks.
            self._inherited.append(self._connection)
        if not self.path.exists():
            raise ConfigurationError(
                f"there is no ledger at {self.path}",
                hint="Restore it from a copy, or create a new one in another folder: muniment init --origin NAME",
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
            if self._turns is not None:
                os.close(self._turns[0])
                self._turns = None

    def create_file(self) -> None:
        """Create the file (mode 0600) in WAL mode.

        Raises:
            ConfigurationError: it exists.
            StorageError: it cannot be made.
        """
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError as error:
            raise ConfigurationError(f"{self.path} already exists", hint="Choose another folder.") from error
        except OSError as error:
            raise StorageError(f"{self.path} cannot be created: {error.strerror}") from error
        self.run("PRAGMA journal_mode = WAL")
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # or a power cut could take the file with everything in it
        finally:
            os.close(folder)

    def scrub(self) -> None:
        """Write the file anew, so that no page and no write-ahead log holds what was deleted.

        Raises:
            StorageError: another process is reading, so that the write-ahead log could not be emptied.
        """
        self.run("PRAGMA secure_delete = ON")
        with self._lock, self._turn():
            self.run("VACUUM")
            ((busy, _, _),) = self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageError(
                f"{self.path}: others are reading it, so its write-ahead log could not be emptied",
                hint="Run the same command again when they have ended.",
            )

    def is_blank(self) -> bool:
        """Whether there is a file, and no table in it."""
        return self.path.is_file() and not self.run("SELECT 1 FROM sqlite_schema LIMIT 1")

    def _sql(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text.replace("$", "")
        return found

    def run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Run one portable statement and return its rows."""
        with self._lock:
            try:
                return self.connect().execute(self._sql(text), parameters).fetchall()
            except apsw.SQLError as error:
                if "no such table" in str(error):
                    raise ConfigurationError(
                        f"{self.path} holds no ledger", hint="Create one: muniment init --origin NAME"
                    ) from error
                raise _explain(error, self.path) from error
            except apsw.Error as error:
                raise _explain(error, self.path) from error

    def read(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """As `run`: columns come as they are."""
        return self.run(text, parameters)

    def run_each(self, text: str, parameters: Sequence[Fields]) -> list[Fields]:
        """Run one portable statement for each tuple of parameters and return all rows."""
        with self._lock:
            try:
                return self.connect().executemany(self._sql(text), parameters).fetchall()
            except apsw.Error as error:
                raise _explain(error, self.path) from error

    def run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        """Run one portable statement for each tuple of parameters."""
        try:
            self.connect().executemany(self._sql(text), parameters)
        except apsw.Error as error:
            raise _explain(error, self.path) from error

    def _lock_file(self) -> int:
        """The lock file of this process, opened when first needed: a forked child must not share its parent's lock."""
        if self._turns is None or self._turns[1] != os.getpid():
            lock_path = self.path.with_name(self.path.name + ".lock")
            try:
                self._turns = (os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), os.getpid())
            except OSError as error:
                raise StorageError(
                    f"{lock_path}: {error.strerror}", hint="The ledger's folder must be writable."
                ) from error
        return self._turns[0]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Take turns with other processes; SQLite's own waiting starves some of them."""
        descriptor = self._lock_file()
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"another process has held {self.path}.lock for {_WAIT_SECONDS:.0f} s",
                        hint="Retry in a moment.",
                    ) from None
                time.sleep(0.001)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A read transaction: everything read inside is of one moment."""
        with self._lock:
            if self.connect().in_transaction:  # that is of one moment already
                yield
                return
            self.run("BEGIN")
            try:
                yield
            finally:
                self.run("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A write transaction: durable at the end, rolled back on any exception."""
        with self._lock:
            connection = self.connect()
            if self._read_only:
                raise StorageError(f"{self.path} was opened read-only", hint="Open it without mode=ro to write.")
            with self._turn():
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except apsw.Error as error:
                    raise _explain(error, self.path) from error
                try:
                    yield
                    crashpoint("append.before_commit")
                    connection.execute("COMMIT")
                    crashpoint("append.committed")
                except BaseException as error:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    if isinstance(error, apsw.Error):
                        raise _explain(error, self.path) from error
                    raise
