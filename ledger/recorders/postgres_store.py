"""One PostgreSQL schema through psycopg: connection, statements, transactions, and errors that say what to do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import psycopg
from psycopg import errors

from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.forks import renew_in_child
from ledger.recorders.postgres_append import explain_refusal
from ledger.recorders.postgres_errors import STATEMENT_TIMEOUT, explain
from ledger.recorders.postgres_url import conninfo, sets_option, split_schema
from ledger.stored import Fields

__all__ = ["FAILOVER_SECONDS", "PostgresStore"]

#: How long a lost connection is tried again, and a statement that others' transactions undid.
FAILOVER_SECONDS = 60.0
#: How long is waited for transactions that may still see what was deleted, before it is vacuumed.
READERS_SECONDS = 20.0

# What psycopg raises when the connection is gone, and for some of what a server answers.
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)
# With these the server ends the connection, although it may look open for a moment yet.
_ENDED = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleSessionTimeout)
_UNDONE = (errors.SerializationFailure, errors.DeadlockDetected)
_LONGEST_PAUSE = 1.0

# A server of somebody else's must not hold a reader for ever: by a view, by a function in one, or by its own settings,
# which may name other schemas first and no timeout. Whoever connects may: by `options` in the URL, or PGOPTIONS.
_PATH = "SET search_path = pg_catalog;"
# Never acknowledge what a crash of the server, or of it together with its disk where a synchronous standby is
# configured, could lose; and never wait for ever behind somebody who holds the head row.
_SETTINGS = """
SELECT CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
            THEN set_config('synchronous_commit', 'on', false) END,
       CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '60s', false) END
"""
# Its commit waits for the standbys, and so for everything committed before it.
_WAIT = """
SELECT CASE WHEN current_setting('synchronous_standby_names') <> '' AND NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_logical_emit_message(true, 'muniment', '') IS NULL END
"""

# Transactions of this database whose snapshot is older than a transaction id.
_READERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(backend_xmin) < ?
"""

_T = TypeVar("_T")


def _sleep(pause: float, deadline: float) -> float:
    """Sleep, and return how long to sleep the next time."""
    time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
    return min(2 * pause, _LONGEST_PAUSE)


def _unknown(error: LedgerError) -> StorageError:
    return StorageError(
        f"the connection to PostgreSQL was lost, and what was sent before could not be cleared up ({error.message})",
        outcome_unknown=True,
        hint="Whether the event was recorded is unknown; retrying with the same event is safe.",
    )


class PostgresStore:
    """One connection to one schema, guarded by one lock.

    Args:
        url: a PostgreSQL URL, with our optional ``schema`` parameter.
        suffix: added to the schema's name, for tables that live beside the log.

    Attributes:
        connections: how many have been opened.
        patience: seconds for which a lost connection is tried again; None for `FAILOVER_SECONDS`.
    """

    def __init__(self, url: str, suffix: str = "") -> None:
        self._url, schema = split_schema(url)
        self.schema = schema + suffix
        self.renew()
        renew_in_child(self)
        self._texts: dict[str, bytes] = {}
        self._connection: psycopg.Connection | None = None
        self._pid = -1
        self._inherited: list[psycopg.Connection] = []
        self._warnings: list[str] = []
        self._conninfo = conninfo(self._url)
        self._timeout = "" if sets_option(self._url, "statement_timeout") else STATEMENT_TIMEOUT
        self.connections = 0
        self.patience: float | None = None
        self._deadline: float | None = None  # until when a connection that was lost is tried again

    def renew(self) -> None:
        """See `forks.Renewed`; `connect` looks at the process by itself."""
        self._lock = threading.RLock()
        self._depth = 0  # nested inside a transaction of ours when positive
        self._repeating = 0  # inside `persist`, who deals with failures, when positive

    def connect(self) -> psycopg.Connection:
        """The connection of this process, opened when first needed.

        One that was lost is tried again until `FAILOVER_SECONDS` after that; the first one is not.
        """
        with self._lock:  # two threads must not both open one
            if self._connection is not None and self.connected:
                return self._connection
            if self._connection is not None and self._pid != os.getpid():
                self._inherited.append(self._connection)  # after a fork: it is the parent's, who goes on using it
            elif self._connection is not None:
                self._lose()
            pause = 0.05
            while True:
                try:
                    return self._open()
                except StorageError:
                    if self._deadline is None or time.monotonic() >= self._deadline:
                        raise
                pause = _sleep(pause, self._deadline)

    def another(self) -> psycopg.Connection:
        """One more connection to the same server, of whoever asks.

        Raises:
            StorageError: there is none to be had.
        """
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True, client_encoding="UTF8")
        except psycopg.Error as error:
            raise explain(error) from error
        try:
            connection.execute(f"{_PATH}{self._bound()}{_SETTINGS}".encode())
        except psycopg.Error as error:
            connection.close()
            raise explain(error) from error
        return connection

    def _bound(self) -> str:
        return f"SET statement_timeout = '{self._timeout}';" if self._timeout else ""

    def at_length(self) -> None:
        """Within a transaction: work of our own on what is ours, which takes as long as there is data."""
        self.run("SET LOCAL statement_timeout = 0")

    def _run_at_length(self, text: str) -> None:
        """As `at_length`, for one statement that no transaction may have around it; also where it is tried again."""

        def once() -> None:
            self.execute("SET statement_timeout = 0")
            try:
                self.execute(text)
            finally:
                if self.connected:
                    self.execute(self._bound() or "RESET statement_timeout")

        self._repeat(once, writes=False)

    def _open(self) -> psycopg.Connection:
        connection = self.another()
        self._connection, self._pid = connection, os.getpid()
        self.connections += 1
        connection.add_notice_handler(self._note)
        return connection

    def _lose(self) -> None:
        self._deadline = self._deadline or self._window_end()
        self.close()

    def _window_end(self) -> float:
        return time.monotonic() + (FAILOVER_SECONDS if self.patience is None else self.patience)

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "")

    def persist(self, action: Callable[[], _T]) -> _T:
        """Do what commits, until the server and its synchronous standbys have confirmed it.

        It is done again when the connection was lost, and when PostgreSQL undid it because of others (serialisation,
        deadlock), for `FAILOVER_SECONDS`.

        Args:
            action: may be repeated, whether it was committed before or not.

        Returns:
            What the action returns.

        Raises:
            StorageError: it failed; ``outcome_unknown`` when it may have been committed, or a failover may lose it.
            LedgerError: the action was refused.
        """
        return self._repeat(action, writes=True)

    def _repeat(self, action: Callable[[], _T], *, writes: bool) -> _T:
        lost = False
        pause, deadline = 0.05, 0.0
        while True:
            try:
                with self._lock:
                    result = self._attempt(action, writes=writes)
                    self._deadline = None
                    return result
            except LedgerError as error:
                if lost and writes:
                    raise _unknown(error) from error
                raise
            except psycopg.Error as error:
                failure = error
                deadline = deadline or self._window_end()
                gone = isinstance(error, _ENDED) or (isinstance(error, _LOST) and not self.connected)
                # After a failover an address may lead for a moment to a server that is not promoted yet.
                if gone or (lost and isinstance(error, errors.ReadOnlySqlTransaction)):
                    lost = True
                    self._lose()
                elif not isinstance(error, _UNDONE):
                    deadline = 0.0  # the server has said no, for example by a timeout
            if time.monotonic() >= deadline:
                found = explain_refusal(failure) or explain(failure)
                raise (_unknown(found) if lost and writes else found) from failure
            pause = _sleep(pause, deadline)

    def _attempt(self, action: Callable[[], _T], *, writes: bool) -> _T:
        self._warnings.clear()
        self._repeating += 1
        try:
            result = action()
        finally:
            self._repeating -= 1
        if self._warnings and writes:
            # Whoever cancels the wait for a standby makes the commit succeed with a warning, the only one our
            # statements can get.
            raise StorageError(
                f"PostgreSQL: {self._warnings[0]}; it is committed on the primary only",
                outcome_unknown=True,
                hint="Look at the standbys, then retry with the same event: that is safe.",
            )
        return result

    def scrub(self, table: str) -> str:
        """Write a table anew without what was deleted from it, where this role may.

        Returns:
            Where and how long the deleted is kept nevertheless, for people.
        """
        with self._lock:
            seen = self._seen_by_others()
            self._run_at_length(f"VACUUM (FULL, ANALYZE) ${table}")  # ANALYZE: its statistics hold samples of values
            skipped = self._warnings[:]
            self._warnings.clear()
        words = (
            "the server's write-ahead log, standbys and backups keep it until they are recycled or removed; so may the "
            "file of pg_catalog.pg_statistic, until its owner runs VACUUM (FULL) on that too"
        )
        command = f"VACUUM (FULL, ANALYZE) {self.schema}.{table}"
        if skipped:
            return f"{words}; and only the owner may run {command}, which removes it there"
        if seen:
            return f"{words}; so does the table while transactions that began before are still open: run {command} then"
        return words

    def _seen_by_others(self) -> bool:
        """Whether transactions may still see what was deleted up to now, after waiting for them for a while.

        What they may see is kept by any VACUUM. Of others' sessions a role sees this as far as it may monitor.
        """
        now = self.run("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]
        pause, deadline = 0.05, time.monotonic() + READERS_SECONDS
        while self.run(_READERS, (now,))[0][0]:
            if time.monotonic() >= deadline:
                return True
            pause = _sleep(pause, deadline)
        return False

    def wait_for_standbys(self) -> None:
        """Wait until synchronous standbys, where they are configured, hold everything that can be read here.

        Rows can be seen before standbys have them: after the wait of their own commit was cancelled, and after a
        restart. On a standby there is nothing to wait for.
        """
        self.execute(_WAIT)

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

    def portable(self, text: str) -> bytes:
        """A portable statement as PostgreSQL takes it."""
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = text.replace("$", self.schema + ".").replace("?", "%s").encode()
        return found

    def run(self, text: str, parameters: Fields = (), *, binary: bool = False) -> list[Fields]:
        """Run one portable statement, which may be repeated, and return its rows."""
        with self._lock:
            if self._depth > 0 or self._repeating > 0:
                return self.execute(text, parameters, binary=binary)
        return self._repeat(lambda: self.execute(text, parameters, binary=binary), writes=False)

    def read(self, text: str, parameters: Fields = ()) -> list[Fields]:
        """As `run`, when all columns are text, bytes or integers: they come as they are, and not written out in hex."""
        return self.run(text, parameters, binary=True)

    def execute(self, text: str, parameters: Fields = (), *, binary: bool = False) -> list[Fields]:
        """Run one portable statement once; psycopg's own errors leave it as they are."""
        cursor = self.connect().execute(self.portable(text), parameters, binary=binary)
        return cursor.fetchall() if cursor.description is not None else []

    def run_each(self, text: str, parameters: Sequence[Fields]) -> list[Fields]:
        """Run one portable statement for each tuple of parameters and return all rows."""
        return [row for fields in parameters for row in self.run(text, fields)]

    def run_many(self, text: str, parameters: Sequence[Fields]) -> None:
        """Run one portable statement for each tuple of parameters."""
        with self.connect().cursor() as cursor:
            cursor.executemany(self.portable(text), parameters)

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
            if self._repeating > 0:
                raise
            raise explain(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; psycopg's own errors leave it as they are."""
        with self._lock, ExitStack() as stack:
            try:
                stack.enter_context(self.connect().transaction())
            except _LOST:
                if self._depth > 0 or self.connected:
                    raise
                self._lose()  # nothing was done in it yet
                stack.enter_context(self.connect().transaction())
            self._deadline = None
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
