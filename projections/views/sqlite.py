"""Views of a log in SQLite: a file of its own beside the log, so that the log only ever grows."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from ledger.errors import StorageError
from ledger.recorders.sqlite_store import SqliteStore
from projections.views.store import ViewStore

__all__ = ["SqliteViews"]


class SqliteViews(ViewStore):
    """Views in one SQLite file.

    Args:
        path: the file; it can be deleted at any time and is made again.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteStore(path)
        super().__init__(self._file)

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self._file.path)

    def made(self) -> bool:
        """See `ViewStore.made`."""
        return self._file.path.exists()

    def may_keep(self) -> bool:
        """See `ViewStore.may_keep`: who may not write beside a log in SQLite cannot open it either."""
        return True

    def prepare(self) -> None:
        """See `ViewStore.prepare`."""
        with self.lease("prepare"):  # while a file becomes a database in WAL mode, SQLite does not wait, it fails
            if not self._file.path.exists():
                self._file.create_file()
            try:
                self._file.run(
                    "CREATE TABLE IF NOT EXISTS $position (name TEXT PRIMARY KEY, size INTEGER NOT NULL, "
                    "leaf_hash TEXT NOT NULL, version INTEGER NOT NULL) STRICT"
                )
            except StorageError as error:
                if not isinstance(error.__cause__, apsw.NotADBError | apsw.CorruptError):
                    raise
                hint = f"Remove {self._file.path}: views are made again from the log."
                raise StorageError(error.message, hint=hint) from error

    @contextmanager
    def lease(self, name: str) -> Iterator[None]:
        """See `ViewStore.lease`; a lock on a file, released by the system when the process dies."""
        path = self._file.path.with_name(f"{self._file.path.name}.{name}.lease")
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}", hint="The ledger's folder must be writable.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def scrub(self) -> None:
        """See `ViewStore.scrub`."""
        if self._file.path.exists():
            self._file.scrub()

    def _at_length(self) -> None:
        """Nothing is bounded here."""

    def _types(self) -> tuple[str, str]:
        return "INTEGER", "TEXT"

    def _existing(self) -> set[str]:
        return {name for (name,) in self._file.run("SELECT name FROM sqlite_master WHERE type = 'table'")}
