"""The log in one PostgreSQL schema, through psycopg.

The head row is the lock: whoever holds it appends. COMMIT is the only ambiguous moment; after a lost
connection the events are looked up under that same lock, which proves what became of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from ledger.errors import ConfigurationError, InputError, LedgerError, StorageError
from ledger.recorders.append import StoredAt, Unit, append_units
from ledger.recorders.sql import FORMAT_VERSION, Fields, SqlRecorder
from ledger.stored import Head, LogIdentity

__all__ = ["PostgresRecorder", "split_schema"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}")
_ATTEMPTS = 6
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)

_DDL = """
CREATE SCHEMA {s};
CREATE TABLE {s}.log (id integer PRIMARY KEY CHECK (id = 1), ledgerid text COLLATE "C" NOT NULL,
    origin text COLLATE "C" NOT NULL, format integer NOT NULL);
CREATE TABLE {s}.entry (position bigint PRIMARY KEY, stream text COLLATE "C" NOT NULL, revision bigint NOT NULL,
    type text COLLATE "C" NOT NULL, actor text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,
    emitter text COLLATE "C" NOT NULL, sequence bigint NOT NULL, subject text COLLATE "C" NOT NULL,
    item integer NOT NULL, keys text COLLATE "C" NOT NULL, payload bytea NOT NULL, envelope bytea NOT NULL,
    prev bytea NOT NULL, recorded_at bigint NOT NULL, leaf_hash bytea NOT NULL,
    UNIQUE (stream, revision), UNIQUE (id, actor), UNIQUE (emitter, sequence, actor));
CREATE TABLE {s}.content (position bigint PRIMARY KEY, payload bytea NOT NULL, signatures bytea NOT NULL);
CREATE TABLE {s}.head (id integer PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, last_leaf bytea NOT NULL,
    peaks bytea NOT NULL, recorded_at bigint NOT NULL, authority bigint NOT NULL);
CREATE TABLE {s}.tile (level integer NOT NULL, idx bigint NOT NULL, hashes bytea NOT NULL, root bytea NOT NULL,
    PRIMARY KEY (level, idx));
CREATE TABLE {s}.checkpoint (size bigint PRIMARY KEY, note bytea NOT NULL);
CREATE TABLE {s}.tracking (name text COLLATE "C" PRIMARY KEY, position bigint NOT NULL);
CREATE FUNCTION {s}.forbid() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION 'the log is append-only'; END $body$;
CREATE FUNCTION {s}.head_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.size < OLD.size OR NEW.id <> OLD.id THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER head_forward BEFORE UPDATE ON {s}.head FOR EACH ROW EXECUTE FUNCTION {s}.head_forward();
CREATE TRIGGER head_kept BEFORE DELETE OR TRUNCATE ON {s}.head FOR EACH STATEMENT EXECUTE FUNCTION {s}.forbid();
"""
_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {s}.{t}
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.forbid();
"""


def split_schema(url: str) -> tuple[str, str]:
    """Split our ``schema`` parameter off a PostgreSQL URL.

    Args:
        url: ``postgresql://user@host/db?schema=name``; other parameters are libpq's.

    Returns:
        The URL for libpq and the schema's name (``muniment`` when none is given).

    Raises:
        InputError: the name is not lower-case letters, digits and underscores.
    """
    parts = urlsplit(url)
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    schema = next((value for name, value in parameters if name == "schema"), "muniment")
    if not _SCHEMA.fullmatch(schema):
        raise InputError(f"the schema {schema!r} must be lower-case letters, digits and underscores")
    query = urlencode([(name, value) for name, value in parameters if name != "schema"])
    return urlunsplit(parts._replace(query=query)), schema


def _explain(error: psycopg.Error) -> LedgerError:
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedFunction):
        return ConfigurationError(
            "this database holds no ledger in that schema", hint="Create one: muniment init --ledger URL --origin NAME"
        )
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, errors.InsufficientPrivilege):
        return StorageError(f"PostgreSQL denies access: {text}", hint="Check the role's rights on the schema.")
    if isinstance(error, errors.DiskFull):
        return StorageError(f"PostgreSQL's disk is full: {text}", hint="Free some space and retry.")
    return StorageError(f"PostgreSQL: {text}", hint="Check that the server runs and the URL is right, then retry.")


class PostgresRecorder(SqlRecorder):
    """One log in one schema.

    Args:
        url: a PostgreSQL URL, with our optional ``schema`` parameter.
        clock: the clock for ``recorded_at`` in microseconds; the server's when None.
    """

    backend: ClassVar[str] = "postgres"

    def __init__(self, url: str, clock: Callable[[], int] | None = None) -> None:
        super().__init__(clock)
        self._url, self.schema = split_schema(url)
        self._connection: psycopg.Connection | None = None
        self._pid = -1
        self._depth = 0  # nested inside a transaction of ours when positive

    # -- connection ------------------------------------------------------------------------

    def _connect(self) -> psycopg.Connection:
        if self._connection is not None and not self._connection.closed and self._pid == os.getpid():
            return self._connection
        try:
            connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, client_encoding="UTF8", application_name="muniment"
            )
            # Never acknowledge what a crash of the server could lose.
            connection.execute(
                "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' "
                "THEN set_config('synchronous_commit', 'on', false) END"
            )
        except psycopg.Error as error:
            raise _explain(error) from error
        self._connection, self._pid = connection, os.getpid()
        return connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def create(self, identity: LogIdentity) -> None:
        """Create the schema with an empty log, in one transaction.

        Raises:
            ConfigurationError: the schema exists.
        """
        tables = ("log", "entry", "content", "tile", "checkpoint")
        ddl = _DDL.format(s=self.schema) + "".join(_APPEND_ONLY.format(s=self.schema, t=t) for t in tables)
        with self._writing():
            self._connect().execute(ddl.encode())
            self._run("INSERT INTO $log VALUES (1, ?, ?, ?)", (identity.ledgerid, identity.origin, FORMAT_VERSION))
            self._run("INSERT INTO $head VALUES (1, 0, ?, ?, 0, -1)", (bytes(32), b""))

    # -- statements ------------------------------------------------------------------------

    def _sql(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text.replace("$", self.schema + ".").replace("?", "%s")
        return found

    def _run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        with self._lock:
            try:
                return self._query(text, parameters)
            except _LOST as error:
                if self._depth > 0 or isinstance(error, errors.QueryCanceled):
                    raise
                self.close()  # a read outside a transaction is safe to repeat once on a new connection
            except psycopg.Error as error:
                if self._depth > 0:
                    raise
                raise _explain(error) from error
            try:
                return self._query(text, parameters)
            except psycopg.Error as error:
                raise _explain(error) from error

    def _query(self, text: str, parameters: Fields) -> list[Fields]:
        cursor = self._connect().execute(self._sql(text).encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def _run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        with self._connect().cursor() as cursor:
            cursor.executemany(self._sql(text).encode(), parameters)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction whose failures are ours."""
        try:
            with self._transaction():
                yield
        except errors.DuplicateSchema as error:
            raise ConfigurationError(
                f"the schema {self.schema!r} already exists", hint="Choose another: ?schema=NAME in the URL."
            ) from error
        except psycopg.Error as error:
            raise _explain(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction; psycopg's own errors leave it as they are, so that `append` can tell them apart."""
        with self._lock:
            connection = self._connect()
            self._depth += 1
            try:
                with connection.transaction():
                    yield
            finally:
                self._depth -= 1

    # -- appending -------------------------------------------------------------------------

    def lock_head(self) -> Head:
        """See `append.Transaction.lock_head`; the row lock lasts until the transaction ends."""
        found = self._run("SELECT size, last_leaf, peaks, recorded_at, authority FROM $head WHERE id = 1 FOR UPDATE")
        if not found:
            raise ConfigurationError("the store's head row is missing", hint="muniment verify log tells more.")
        return Head(*found[0])

    def _store_clock(self) -> int:
        found = self._run("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return int(found[0][0])

    def append(self, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
        """Append units in one durable transaction; see `append_units`.

        A lost connection is repeated with the same events: under the head lock they are either found
        (they were committed: the first receipt) or certainly absent (they are appended now).

        Raises:
            StorageError: nothing was appended, or ``outcome_unknown`` when the server cannot be asked.
        """
        lost: psycopg.Error | None = None
        for attempt in range(_ATTEMPTS):
            try:
                with self._transaction():
                    return append_units(self, self.identity(), units)
            except (errors.SerializationFailure, errors.DeadlockDetected) as error:
                lost = error
            except _LOST as error:
                lost = error
                self.close()
            except StorageError:
                if lost is None:
                    raise
            except psycopg.Error as error:
                raise _explain(error) from error
            time.sleep(0.05 * 2**attempt)
        raise StorageError(
            f"the connection to PostgreSQL was lost and did not come back ({_explain(lost or psycopg.Error())})",
            outcome_unknown=True,
            hint="Whether the event was recorded is unknown; retrying with the same event is safe.",
        )
