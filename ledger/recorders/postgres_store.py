"""One PostgreSQL schema through psycopg: connection, statements, transactions, and errors that say what to do."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import errors

from ledger.errors import ConfigurationError, InputError, LedgerError, StorageError
from ledger.forks import renew_in_child
from ledger.recorders.layouts import moved_away
from ledger.recorders.postgres_append import use_arrays

__all__ = ["LOST", "PostgresStore", "explain", "split_schema"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}")
#: What psycopg raises when the connection is gone.
LOST = (psycopg.OperationalError, psycopg.InterfaceError)

# A refused connection has no SQLSTATE (libpq keeps it to itself), only these words of the server's.
_NOT_THERE = re.compile(r'FATAL: +(database|role) ".*" does not exist')

Fields = tuple[Any, ...]


def split_schema(url: str) -> tuple[str, str]:
    """Split our ``schema`` parameter off a PostgreSQL URL.

    Args:
        url: ``postgresql://user@host/db?schema=name``; other parameters are libpq's.

    Returns:
        The URL for libpq and the schema's name (``muniment`` when none is given).

    Raises:
        InputError: the name is not lower-case letters, digits and underscores.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"the PostgreSQL URL is malformed: {error}") from error
    if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
        raise _malformed()
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    named = [value for name, value in parameters if name == "schema"]
    if len(named) > 1:
        raise InputError("the PostgreSQL URL names a schema twice")
    schema = named[0] if named else "muniment"
    if not _SCHEMA.fullmatch(schema):
        raise InputError(f"the schema {schema!r} must be lower-case letters, digits and underscores")
    # libpq takes a plus for a plus.
    query = urlencode([(name, value) for name, value in parameters if name != "schema"], quote_via=quote)
    return urlunsplit(parts._replace(query=query)), schema


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        "the PostgreSQL URL is malformed",
        hint="Is there a character such as @ / ? # % in the password? Write it percent-encoded: %40 %2F %3F %23 %25",
    )


def _for_writing(url: str) -> str:
    """Of several hosts, want the one that takes writes; a single host may be a standby that is only read."""
    try:
        parameters = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise _malformed() from None  # libpq's words repeat a part of it, which may be the password
    hosts = str(parameters.get("host", "")) + str(parameters.get("hostaddr", ""))
    if "," in hosts and "target_session_attrs" not in parameters:
        return psycopg.conninfo.make_conninfo(url, target_session_attrs="read-write")
    return url


def explain(error: psycopg.Error) -> LedgerError:
    """What a failure of psycopg means to us, with the next step."""
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageError(
            "PostgreSQL: this server is a standby or read-only",
            hint="Name the primary, or all hosts: postgresql://user@one,two/database.",
        )
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedFunction):
        return ConfigurationError(
            "this database holds no ledger in that schema", hint="Create one: muniment init --ledger URL --origin NAME"
        )
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    moved = moved_away(text) if isinstance(error, errors.RaiseException) else None
    if moved is not None:
        return moved
    if isinstance(error, psycopg.OperationalError) and _NOT_THERE.search(text):
        return ConfigurationError(f"PostgreSQL: {text}", hint="Check the names of database and role in the URL.")
    if isinstance(error, errors.InsufficientPrivilege):
        return StorageError(f"PostgreSQL denies access: {text}", hint="Check the role's rights on the schema.")
    if isinstance(error, errors.DiskFull):
        return StorageError(f"PostgreSQL's disk is full: {text}", hint="Free some space and retry.")
    return StorageError(f"PostgreSQL: {text}", hint="Check that the server runs and the URL is right, then retry.")


class PostgresStore:
    """One connection to one schema, guarded by one lock.

    Args:
        url: a PostgreSQL URL, with our optional ``schema`` parameter.
        suffix: added to the schema's name, for tables that live beside the log.
    """

    def __init__(self, url: str, suffix: str = "") -> None:
        self._url, schema = split_schema(url)
        self.schema = schema + suffix
        self.renew()
        renew_in_child(self)
        self._texts: dict[str, str] = {}
        self._connection: psycopg.Connection | None = None
        self._pid = -1
        self._inherited: list[psycopg.Connection] = []
        self._warnings: list[str] = []
        self._conninfo = _for_writing(self._url)

    def renew(self) -> None:
        """See `forks.Renewed`; `connect` looks at the process by itself."""
        self._lock = threading.RLock()
        self._depth = 0  # nested inside a transaction of ours when positive

    def connect(self) -> psycopg.Connection:
        """The connection of this process, opened when first needed."""
        if self._connection is not None and not self._connection.closed and self._pid == os.getpid():
            return self._connection
        if self._connection is not None and self._pid != os.getpid():
            self._inherited.append(self._connection)  # after a fork: it is the parent's, who goes on using it
        try:
            connection = psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=10, client_encoding="UTF8",
                application_name="muniment",
            )  # fmt: skip
        except psycopg.Error as error:
            raise explain(error) from error
        self._connection, self._pid = connection, os.getpid()
        use_arrays(connection)
        connection.add_notice_handler(self._note)
        try:
            # Never acknowledge what a crash of the server, or of it together with its disk where a synchronous standby
            # is configured, could lose.
            connection.execute(
                "SELECT CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') "
                "THEN set_config('synchronous_commit', 'on', false) END"
            )
        except psycopg.Error as error:
            self.close()
            raise explain(error) from error
        return connection

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "")

    @contextmanager
    def durably(self) -> Iterator[None]:
        """A block whose commits a synchronous standby, where one is configured, must have confirmed.

        Whoever cancels the wait for a standby makes the commit succeed with a warning, the only one our statements
        can get.

        Raises:
            StorageError: ``outcome_unknown``: committed here, and a failover may lose it.
        """
        with self._lock:
            self._warnings.clear()
            yield
            if self._warnings:
                raise StorageError(
                    f"PostgreSQL: {self._warnings[0]}; it is committed on the primary only",
                    outcome_unknown=True,
                    hint="Look at the standbys, then retry with the same event: that is safe.",
                )

    @property
    def connected(self) -> bool:
        """Whether there is a connection that works, as far as is known without asking."""
        return self._connection is not None and not self._connection.closed and self._pid == os.getpid()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            elif self._connection is not None:
                self._inherited.append(self._connection)
            self._connection = None

    def _sql(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text.replace("$", self.schema + ".").replace("?", "%s")
        return found

    def run(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """Run one portable statement and return its rows."""
        with self._lock:
            try:
                return self._query(text, parameters)
            except LOST as error:
                if self._depth > 0:
                    raise
                if self.connected:  # the server is there and has said no, for example by a timeout
                    raise explain(error) from error
                self.close()  # a read outside a transaction is safe to repeat once on a new connection
            except psycopg.Error as error:
                if self._depth > 0:
                    raise
                raise explain(error) from error
            try:
                return self._query(text, parameters)
            except psycopg.Error as error:
                raise explain(error) from error

    def _query(self, text: str, parameters: Fields) -> list[Fields]:
        cursor = self.connect().execute(self._sql(text).encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def run_each(self, text: str, parameters: Sequence[Fields]) -> list[Fields]:
        """Run one portable statement for each tuple of parameters and return all rows."""
        return [row for fields in parameters for row in self.run(text, fields)]

    def run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        """Run one portable statement for each tuple of parameters."""
        with self.connect().cursor() as cursor:
            cursor.executemany(self._sql(text).encode(), parameters)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A read transaction: everything read inside is of one moment."""
        with self._lock:
            nested = self._depth > 0  # the outer transaction's own level holds then
            with self.writing():
                if not nested:
                    self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction whose failures are ours."""
        try:
            with self.transaction():
                yield
        except errors.DuplicateSchema as error:
            raise ConfigurationError(
                f"the schema {self.schema!r} already exists", hint="Choose another: ?schema=NAME in the URL."
            ) from error
        except psycopg.Error as error:
            raise explain(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; psycopg's own errors leave it as they are, so that `append` can tell them apart."""
        with self._lock:
            connection = self.connect()
            self._depth += 1
            try:
                with connection.transaction():
                    yield
            finally:
                self._depth -= 1
