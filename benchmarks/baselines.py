"""The yardstick: bare writers of the same rows, as fast as each store is known to take them.

They keep no chain, no tree and no head, check nothing and look nothing up. The tables have the columns and unique
indexes of the product's (a test compares the catalogues), the connections its pragmas and its transport. Rows are
turned into what the driver sends before the clock starts.

SQLite: one prepared INSERT a table in BEGIN IMMEDIATE .. COMMIT, WAL, synchronous = FULL, through apsw.
PostgreSQL: single rows by one prepared statement in one round trip (parameters in binary, straight to libpq); batches
by COPY (FORMAT BINARY) of one prepacked buffer a table.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg
from psycopg import pq

COLUMNS = (
    "position", "stream", "revision", "type", "actor", "id", "emitter", "sequence", "subject", "item", "keys",
    "payload", "envelope", "prev", "recorded_at", "leaf_hash",
)  # fmt: skip
CONTENT = ("position", "payload", "signatures")

SQLITE_TABLES = """
CREATE TABLE entry (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, revision INTEGER NOT NULL, type TEXT NOT NULL,
    actor TEXT NOT NULL, id TEXT NOT NULL, emitter TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL,
    item INTEGER NOT NULL, keys TEXT NOT NULL, payload BLOB NOT NULL, envelope BLOB NOT NULL, prev BLOB NOT NULL,
    recorded_at INTEGER NOT NULL, leaf_hash BLOB NOT NULL,
    UNIQUE (stream, revision), UNIQUE (id, actor), UNIQUE (emitter, sequence, actor)) STRICT;
CREATE INDEX entry_quarantine ON entry (position) WHERE type = 'muniment.quarantine.placed.v1';
CREATE TABLE content (position INTEGER PRIMARY KEY, payload BLOB NOT NULL, signatures BLOB NOT NULL) STRICT;
"""
SQLITE_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON")
SQLITE_ENTRY = f"INSERT INTO entry ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * 16)})"
SQLITE_CONTENT = f"INSERT INTO content ({', '.join(CONTENT)}) VALUES (?, ?, ?)"

POSTGRES_TABLES = """
CREATE SCHEMA {s};
CREATE TABLE {s}.entry (position bigint PRIMARY KEY, stream text COLLATE "C" NOT NULL, revision bigint NOT NULL,
    type text COLLATE "C" NOT NULL, actor text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,
    emitter text COLLATE "C" NOT NULL, sequence bigint NOT NULL, subject text COLLATE "C" NOT NULL,
    item integer NOT NULL, keys text COLLATE "C" NOT NULL, payload bytea NOT NULL, envelope bytea NOT NULL,
    prev bytea NOT NULL, recorded_at bigint NOT NULL, leaf_hash bytea NOT NULL,
    UNIQUE (stream, revision), UNIQUE (id, actor), UNIQUE (emitter, sequence, actor));
CREATE INDEX entry_quarantine ON {s}.entry (position) WHERE type = 'muniment.quarantine.placed.v1';
CREATE TABLE {s}.content (position bigint PRIMARY KEY, payload bytea NOT NULL, signatures bytea NOT NULL);
"""
POSTGRES_SINGLE = (
    "WITH header AS (INSERT INTO {s}.entry (" + ", ".join(COLUMNS) + ") VALUES ("
    + ", ".join(f"${number}" for number in range(1, 17)) + ")) "
    "INSERT INTO {s}.content (" + ", ".join(CONTENT) + ") VALUES ($1, $17, $18)"
)  # fmt: skip
POSTGRES_COPY_ENTRY = "COPY {s}.entry (" + ", ".join(COLUMNS) + ") FROM STDIN (FORMAT BINARY)"
POSTGRES_COPY_CONTENT = "COPY {s}.content (" + ", ".join(CONTENT) + ") FROM STDIN (FORMAT BINARY)"

#: The values of `COLUMNS` and of `CONTENT`.
BareRow = tuple[tuple[Any, ...], tuple[Any, ...]]

_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_TAIL = struct.pack(">h", -1)
_ITEM = COLUMNS.index("item")


class BareWriter(Protocol):
    """A bare writer: rows are prepared beforehand, then stored durably."""

    def prepare_one(self, row: BareRow) -> Any: ...
    def prepare_batch(self, rows: Sequence[BareRow]) -> Any: ...
    def insert_one(self, prepared: Any) -> None: ...
    def insert_batch(self, prepared: Any) -> None: ...
    def close(self) -> None: ...


class BareSqlite:
    """One file, one connection."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        for pragma in SQLITE_PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute(SQLITE_TABLES)
        self._execute = self.connection.execute

    def prepare_one(self, row: BareRow) -> BareRow:
        return row

    def prepare_batch(self, rows: Sequence[BareRow]) -> tuple[list[Any], list[Any]]:
        return [header for header, _ in rows], [content for _, content in rows]

    def insert_one(self, prepared: BareRow) -> None:
        execute = self._execute
        execute("BEGIN IMMEDIATE")
        execute(SQLITE_ENTRY, prepared[0])
        execute(SQLITE_CONTENT, prepared[1])
        execute("COMMIT")

    def insert_batch(self, prepared: tuple[list[Any], list[Any]]) -> None:
        self._execute("BEGIN IMMEDIATE")
        self.connection.executemany(SQLITE_ENTRY, prepared[0])
        self.connection.executemany(SQLITE_CONTENT, prepared[1])
        self._execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


def _binary(value: Any, *, small: bool = False) -> bytes:
    if isinstance(value, int):
        return struct.pack(">i" if small else ">q", value)
    return value.encode() if isinstance(value, str) else bytes(value)


def _packed(values: Sequence[bytes]) -> bytes:
    return struct.pack(">h", len(values)) + b"".join(struct.pack(">i", len(value)) + value for value in values)


def copy_buffer(rows: Sequence[Sequence[Any]]) -> bytes:
    """What COPY (FORMAT BINARY) takes for rows of bigint and text."""
    return _COPY_HEAD + b"".join(_packed([_binary(value) for value in row]) for row in rows) + _COPY_TAIL


class BarePostgres:
    """One schema, one connection in autocommit."""

    def __init__(self, dsn: str, schema: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute(POSTGRES_TABLES.format(s=schema).encode())
        self._copies = [text.format(s=schema).encode() for text in (POSTGRES_COPY_ENTRY, POSTGRES_COPY_CONTENT)]
        self._libpq = self.connection.pgconn
        self._expect(self._libpq.prepare(b"single", POSTGRES_SINGLE.format(s=schema).encode()))

    @staticmethod
    def _expect(result: pq.abc.PGresult) -> None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise RuntimeError(result.error_message.decode(errors="replace"))

    def prepare_one(self, row: BareRow) -> tuple[list[bytes], list[int]]:
        header, content = row
        values = [_binary(value, small=place == _ITEM) for place, value in enumerate(header)]
        values += [_binary(value) for value in content[1:]]
        return values, [1] * len(values)

    def prepare_batch(self, rows: Sequence[BareRow]) -> list[bytes]:
        headers, contents = [], []
        for header, content in rows:
            headers.append(_packed([_binary(value, small=place == _ITEM) for place, value in enumerate(header)]))
            contents.append(_packed([_binary(value) for value in content]))
        return [_COPY_HEAD + b"".join(packed) + _COPY_TAIL for packed in (headers, contents)]

    def insert_one(self, prepared: tuple[list[bytes], list[int]]) -> None:
        self._expect(self._libpq.exec_prepared(b"single", prepared[0], prepared[1]))

    def insert_batch(self, prepared: list[bytes]) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for statement, buffer in zip(self._copies, prepared, strict=True):
                with cursor.copy(statement) as copy:
                    copy.write(buffer)

    def close(self) -> None:
        self.connection.close()
