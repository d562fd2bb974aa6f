"""The log in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apsw

from ledger.errors import LedgerError, VerificationError
from ledger.recorders.append import append_units
from ledger.recorders.layouts import ATTESTATION_KEPT, SQLITE_STEPS
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite_store import SqliteStore
from ledger.recorders.units import StoredAt, Unit
from ledger.stored import Head, LogIdentity, Transfer

__all__ = ["SqliteRecorder"]

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
"""
_APPEND_ONLY = "".join(
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN {_FORBID}; END;\n"
    for table in ("log", "entry", "content", "tile", "checkpoint")
    for verb in ("UPDATE", "DELETE")
)
#: INSERT OR REPLACE deletes what is in its way without firing DELETE triggers, so each key is looked at first.
_KEYS = {
    "log": ("id",),
    "entry": ("position", "stream, revision", "id, actor", "emitter, sequence, actor"),
    "content": ("position",),
    "head": ("id",),
    "tile": ("level, idx",),
    "checkpoint": ("size",),
}


def _no_replace(table: str, keys: tuple[str, ...]) -> str:
    taken = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {' AND '.join(f'{name} = NEW.{name}' for name in key.split(', '))})"  # noqa: S608
        for key in keys
    )
    return f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {taken} BEGIN {_FORBID}; END;\n"


_LAYOUT_1 = _DDL + _APPEND_ONLY + "".join(_no_replace(*item) for item in _KEYS.items())


class SqliteRecorder(SqlRecorder):
    """One log in one file; every process has one writing connection.

    Args:
        path: the file.
        clock: the clock for ``recorded_at`` in microseconds; the system's when None.
        read_only: refuse every write.
    """

    backend: ClassVar[str] = "sqlite"
    payload_holds: ClassVar[str] = "instr(c.payload, X'{}') > 0"
    attestation_guard = ("DROP TRIGGER attestation_no_delete", ATTESTATION_KEPT)

    def __init__(self, path: Path, clock: Callable[[], int] | None = None, *, read_only: bool = False) -> None:
        self.store = SqliteStore(path, read_only=read_only)
        super().__init__(self.store, clock)

    def create(self, identity: LogIdentity, transfer: Transfer | None = None) -> None:
        """Create a new file (mode 0600) with an empty log.

        Raises:
            ConfigurationError: the file exists.
            StorageError: it cannot be made.
        """
        if transfer is None or not self.store.is_blank():  # a copy killed here left a file without a table
            self.store.create_file()
        with self._writing():
            self.run_ddl(_LAYOUT_1 + "".join(SQLITE_STEPS))
            self._first_rows(identity, transfer)

    def exists(self) -> bool:
        """See `SqlRecorder.exists`."""
        return self.store.path.exists() and not self.store.is_blank()

    def run_ddl(self, statements: str) -> None:
        """See `SqlRecorder.run_ddl`."""
        self.store.connect().execute(statements)

    def upgrade(self, version: int) -> None:
        """See `SqlRecorder.upgrade`."""
        self.run_ddl("".join(SQLITE_STEPS[version - 1 :]))

    def identity(self) -> LogIdentity:
        """See `ReadSql.identity`; also refuses a file in which something else stands where a table should."""
        if self._identity is None:
            odd = "type = 'view' OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%')"
            for (name,) in self._run(f"SELECT name FROM sqlite_schema WHERE {odd} LIMIT 1"):  # noqa: S608 - our own words
                raise VerificationError(
                    f"the store itself is damaged: {name} is not as Muniment makes it", fault="head",
                    hint="Restore the store from a verified copy; reading this one may never end.",
                )  # fmt: skip
        return super().identity()

    def structure_faults(self, *, deep: bool = True) -> list[str]:
        """See `AuditReader.structure_faults`: all is as we make it, and every index agrees with its table."""
        expected, found = self._structure()
        odd = found - expected | {item for item in expected - found if item[0] != "trigger"}
        faults = sorted({f"the {kind} {name} is not as Muniment makes it" for kind, name, _, _ in odd})
        if not faults and deep:
            faults = [words for (words,) in self._run("PRAGMA integrity_check(10)") if words != "ok"]
        return faults

    def missing_guards(self) -> list[str]:
        """See `SqlRecorder.missing_guards`."""
        expected, found = self._structure()
        return sorted(name for kind, name, _, _ in expected - found if kind == "trigger")

    def _structure(self) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
        """Everything in a new store, and in this one."""
        ours = apsw.Connection(":memory:")
        ours.execute(_LAYOUT_1 + "".join(SQLITE_STEPS))
        sql = (
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema "
            "WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
        )
        expected, found = set(ours.execute(sql).fetchall()), set(self._run(sql))
        ours.close()
        return expected, found

    def lock_head(self) -> Head:
        """See `append.Transaction.lock_head`; BEGIN IMMEDIATE holds the lock."""
        return self.head()

    def withhold(self, indexes: Sequence[int]) -> int:
        """See `SqlRecorder.withhold`; SQLite overwrites with zeros what it deletes."""
        self.ask("PRAGMA secure_delete = ON")
        return super().withhold(indexes)

    def scrub(self) -> str:
        """See `SqlRecorder.scrub`."""
        self.store.scrub()
        return "copies and backups of the file keep it until they are removed; so may the blocks of the disk"

    def _store_clock(self) -> int:
        return time.time_ns() // 1000

    def append(self, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
        """Append units in one durable transaction; see `append_units`.

        Raises:
            StorageError: nothing was appended.
        """
        with self._writing():
            return append_units(self, self.identity(), units)
