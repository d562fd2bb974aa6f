"""Data keys: one a data subject, wrapped, in a store of their own apart from the log.

A data key is made durable before the event that needs it is signed. It is stored wrapped by the wrapping key, which is
a file of the user's configuration folder; so neither the log's store nor its key store opens a sealed field alone.
SQLite: ``<name>.keys.db`` beside the log. PostgreSQL: the schema with ``_keys`` behind its name.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, InputError
from ledger.names import parse_name
from ledger.recorders import sqlite_path
from ledger.sealing import NONCE_SIZE, find_sealed, open_field, replace_field, seal_field
from ledger.wrapping import WrappingKeys

if TYPE_CHECKING:
    from ledger.recorders.postgres_store import PostgresStore
    from ledger.recorders.sql import SqlStore
    from ledger.recorders.sqlite_store import SqliteStore

__all__ = ["DataKeys"]

_COLUMNS = {
    "sqlite": "id TEXT PRIMARY KEY, subject TEXT NOT NULL, wrapping TEXT NOT NULL, wrapped BLOB NOT NULL, "
    "made_at INTEGER NOT NULL",
    "postgres": 'id text COLLATE "C" PRIMARY KEY, subject text COLLATE "C" NOT NULL, '
    'wrapping text COLLATE "C" NOT NULL, wrapped bytea NOT NULL, made_at bigint NOT NULL',
}
#: The second one says how many entries the log had when this key store was made: of fields that were sealed before, it
#: cannot tell whether their keys were elsewhere.
_TABLES = {
    "sqlite": (
        f"CREATE TABLE IF NOT EXISTS $data_key ({_COLUMNS['sqlite']}) STRICT",
        "CREATE TABLE IF NOT EXISTS $key_store (id INTEGER PRIMARY KEY CHECK (id = 1), since INTEGER NOT NULL) STRICT",
    ),
    "postgres": (
        f"CREATE TABLE IF NOT EXISTS $data_key ({_COLUMNS['postgres']})",
        "CREATE TABLE IF NOT EXISTS $key_store (id integer PRIMARY KEY CHECK (id = 1), since bigint NOT NULL)",
    ),
}
_SINCE = "INSERT INTO $key_store (id, since) VALUES (1, ?) ON CONFLICT DO NOTHING"
#: Whether a table is there and may be read: a role that may read the log need not have rights here.
_READABLE = """SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ? AND c.relname IN ('key_store', 'data_key') AND c.relkind = 'r'
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"""


class DataKeys:
    """The data keys of one ledger.

    Args:
        url: the log's store.
        ledgerid: of the log.
        wrapping: the wrapping keys of this user.
    """

    def __init__(self, url: str, ledgerid: str, wrapping: WrappingKeys) -> None:
        self._ledgerid = ledgerid
        self._wrapping = wrapping
        self._file: SqliteStore | None = None
        self._schema: PostgresStore | None = None
        self._store: SqlStore
        if url.startswith("sqlite:"):
            from ledger.recorders.sqlite_store import SqliteStore  # noqa: PLC0415 - a backend is loaded when it is used

            path = sqlite_path(url)
            self._store = self._file = SqliteStore(path.with_name(path.stem + ".keys.db"))
        else:
            from ledger.recorders.postgres_store import PostgresStore  # noqa: PLC0415 - as above

            self._store = self._schema = PostgresStore(url, "_keys")
        self._ready = False

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    # -- the store ---------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether data keys were ever made here; makes nothing."""
        if self._ready:
            return True
        if self._file is not None:
            self._ready = self._file.path.exists() and not self._file.is_blank()
        elif self._schema is not None:
            sql = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = ? AND tablename = 'data_key'"
            self._ready = bool(self._store.run(sql, (self._schema.schema,)))
        return self._ready

    def since(self) -> int | None:
        """How many entries the log had when this key store was made; None where there is none, or none to read."""
        if not self.exists():
            return None
        if self._schema is not None:
            readable = len(self._store.run(_READABLE, (self._schema.schema,))) == 2
        else:
            readable = bool(self._store.run("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'key_store'"))
        found = self._store.run("SELECT since FROM $key_store") if readable else []
        return int(found[0][0]) if found else None

    def _prepare(self, size: int) -> None:
        if self.exists():
            return
        if self._file is not None:
            try:
                self._file.create_file()
            except ConfigurationError:
                if not self._file.path.exists():
                    raise  # otherwise another process was faster, or was killed before it made the table
            with self._store.writing():
                self._make("sqlite", size)
        elif self._schema is not None:
            with self._store.writing():
                number = int.from_bytes(bytes.fromhex(self._ledgerid)[:7])
                self._store.run("SELECT pg_advisory_xact_lock(?)", (number,))
                self._store.run(f"CREATE SCHEMA IF NOT EXISTS {self._schema.schema}")
                self._make("postgres", size)
        self._ready = True

    def _make(self, backend: str, size: int) -> None:
        for statement in _TABLES[backend]:
            self._store.run(statement)
        self._store.run(_SINCE, (size,))

    def _durably(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Run statements in one transaction that is durable when this returns, also on synchronous standbys."""

        def once() -> None:
            with self._store.writing():
                for text, parameters in statements:
                    self._store.run(text, parameters)

        statements = list(statements)
        if self._schema is not None:
            self._schema.persist(once)
        else:
            once()

    # -- keys ----------------------------------------------------------------------------------

    def _wrap(self, key: bytes, data_key: str, subject: str, wrapping: tuple[str, bytes]) -> bytes:
        nonce = secrets.token_bytes(NONCE_SIZE)
        return nonce + AESGCM(wrapping[1]).encrypt(nonce, key, self._bound(data_key, subject))

    def _bound(self, data_key: str, subject: str) -> bytes:
        return f"muniment data key v1\n{self._ledgerid}\n{data_key}\n{subject}".encode()

    def _unwrap(self, row: tuple[Any, ...]) -> bytes:
        data_key, subject, wrapping, wrapped = row
        try:
            return AESGCM(self._wrapping.load(wrapping)).decrypt(
                wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], self._bound(data_key, subject)
            )
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(f"the data key {data_key} cannot be unwrapped: it was altered") from error

    def of_subject(self, subject: str) -> list[str]:
        """Ids of the data keys of a subject that are here."""
        if not self.exists():
            return []
        return [key for (key,) in self._store.run("SELECT id FROM $data_key WHERE subject = ? ORDER BY id", (subject,))]

    def subjects(self) -> dict[str, int]:
        """Subjects with data keys here, and how many."""
        if not self.exists():
            return {}
        found = self._store.run("SELECT subject, count(*) FROM $data_key GROUP BY subject ORDER BY subject")
        return {str(subject): int(count) for subject, count in found}

    def ids(self) -> frozenset[str]:
        """Ids of all data keys that are here."""
        return (
            frozenset(key for (key,) in self._store.run("SELECT id FROM $data_key")) if self.exists() else frozenset()
        )

    def lacks(self, data_key: str, index: int | None = None) -> bool:
        """Whether there are data keys here, and not this one, which no record erased.

        Args:
            data_key: its id.
            index: of an entry that it was named in, so that a key from before there were any here is not meant.
        """
        since = self.since()
        if since is None or (index is not None and index < since):
            return False
        return not self._store.run("SELECT 1 FROM $data_key WHERE id = ?", (data_key,))

    def load(self, data_key: str) -> bytes | None:
        """A data key, None when it is not here.

        Raises:
            ConfigurationError: the wrapping key is not here, or something was altered.
        """
        if not self.exists():
            return None
        found = self._store.run("SELECT id, subject, wrapping, wrapped FROM $data_key WHERE id = ?", (data_key,))
        return self._unwrap(found[0]) if found else None

    def _for(self, subject: str, erased: Mapping[str, object], size: int) -> tuple[str, bytes]:
        """The data key to seal with: one that no erasure names; a new one is durable when this returns."""
        self._prepare(size)
        for data_key in self.of_subject(subject):
            key = self.load(data_key) if data_key not in erased else None
            if key is not None:
                return data_key, key
        data_key = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        key = AESGCM.generate_key(256)
        wrapping = self._wrapping.current()
        wrapped = self._wrap(key, data_key, subject, wrapping)
        row = (data_key, subject, wrapping[0], wrapped, time.time_ns() // 1000)
        self._durably([("INSERT INTO $data_key (id, subject, wrapping, wrapped, made_at) VALUES (?, ?, ?, ?, ?)", row)])
        crashpoint("seal.key_stored")
        return data_key, key

    # -- fields --------------------------------------------------------------------------------

    def seal(
        self, data: Mapping[str, Any], personal: Mapping[str, Any], subject: str, event_id: str, *,
        erased: Mapping[str, object], size: int,
    ) -> dict[str, Any]:  # fmt: skip
        """A body with personal fields sealed for a data subject.

        Args:
            data: the rest of the body.
            personal: value by path.
            subject: the data subject.
            event_id: of the event they will stand in.
            erased: data keys that an erasure names.
            size: entries of the log before the event.

        Raises:
            InputError: the subject is no name, or a path does not fit.
            ConfigurationError, StorageError: the data key cannot be had.
        """
        if parse_name(subject).version is not None:
            raise InputError("a data subject is named without a version: person:p-7f3a")
        data_key, key = self._for(subject, erased, size)
        sealed = dict(data)
        for path, value in personal.items():
            nonce = secrets.token_bytes(NONCE_SIZE)
            text = seal_field(value, key, data_key, nonce, ledgerid=self._ledgerid, event_id=event_id, path=path)
            sealed = replace_field(sealed, path, text)
        return sealed

    def reveal(self, data: Mapping[str, Any], event_id: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A body with the sealed fields opened whose keys are here.

        Returns:
            The body, and for each sealed field that stays the id of its data key.

        Raises:
            VerificationError: a field does not open with its key: the field or the key was altered.
        """
        opened, closed = dict(data), {}
        for field in find_sealed(data):
            key = self.load(field.data_key)
            if key is None:
                closed[field.path] = field.data_key
            else:
                value = open_field(field, key, ledgerid=self._ledgerid, event_id=event_id)
                opened = replace_field(opened, field.path, value)
        return opened, closed

    # -- destroying and rotating -----------------------------------------------------------------

    def destroy(self, data_keys: Iterable[str]) -> int:
        """Delete data keys for good, and write the store anew without them.

        Returns:
            How many were here.

        Raises:
            StorageError: others are reading, so that a file may still hold them wrapped.
        """
        if not self.exists():
            return 0
        ids = [key for key in data_keys if self._store.run("SELECT 1 FROM $data_key WHERE id = ?", (key,))]
        if self._file is not None:
            self._store.run("PRAGMA secure_delete = ON")
        self._durably(("DELETE FROM $data_key WHERE id = ?", (key,)) for key in ids)
        return len(ids)

    def scrub(self) -> str:
        """Write the store anew without deleted keys.

        Returns:
            Where and how long deleted keys are kept, wrapped, nevertheless.

        Raises:
            StorageError: as `destroy`.
        """
        if not self.exists():
            return ""
        if self._schema is not None:
            return self._schema.scrub("data_key")
        if self._file is not None:
            self._file.scrub()
        return "copies and backups of the file keep it until they are removed; so may the blocks of the disk"

    def rotate(self, size: int) -> tuple[str, int]:
        """Wrap every data key by a new wrapping key, and destroy the old ones here.

        What was deleted, and is kept wrapped in old copies, cannot be unwrapped afterwards, unless somebody has a copy
        of the old wrapping key too.

        Args:
            size: entries of the log.

        Returns:
            Id of the new wrapping key, and how many data keys were wrapped again.
        """
        self._prepare(size)
        new = self._wrapping.make()
        crashpoint("seal.wrapping_made")
        rows = self._store.run("SELECT id, subject, wrapping, wrapped FROM $data_key WHERE wrapping <> ?", (new[0],))
        if self._file is not None:
            self._store.run("PRAGMA secure_delete = ON")
        self._durably(
            (
                "UPDATE $data_key SET wrapping = ?, wrapped = ? WHERE id = ? AND wrapping = ?",
                (new[0], self._wrap(self._unwrap(row), row[0], row[1], new), row[0], row[2]),
            )
            for row in rows
        )
        self.scrub()
        crashpoint("seal.rewrapped")
        used = {name for (name,) in self._store.run("SELECT DISTINCT wrapping FROM $data_key")}
        self._wrapping.destroy_others(used | {new[0]})
        return new[0], len(rows)
