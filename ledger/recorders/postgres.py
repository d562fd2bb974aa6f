"""The log in one PostgreSQL schema.

The head row is the lock: whoever holds it appends. COMMIT is the only ambiguous moment; after a lost
connection the events are looked up under that same lock, which proves what became of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import psycopg
from psycopg import errors

from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.recorders.append import StoredAt, Unit, append_units
from ledger.recorders.layouts import POSTGRES_STEPS
from ledger.recorders.postgres_store import LOST, PostgresStore, explain
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Head, LogIdentity, Transfer

__all__ = ["PostgresRecorder"]

_ATTEMPTS = 6

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


class PostgresRecorder(SqlRecorder):
    """One log in one schema.

    Args:
        url: a PostgreSQL URL, with our optional ``schema`` parameter.
        clock: the clock for ``recorded_at`` in microseconds; the server's when None.
    """

    backend: ClassVar[str] = "postgres"

    def __init__(self, url: str, clock: Callable[[], int] | None = None) -> None:
        self.store = PostgresStore(url)
        self.schema = self.store.schema
        super().__init__(self.store, clock)

    def create(self, identity: LogIdentity, transfer: Transfer | None = None) -> None:
        """Create the schema with an empty log, in one transaction.

        Raises:
            ConfigurationError: the schema exists.
        """
        tables = ("log", "entry", "content", "tile", "checkpoint")
        ddl = _DDL.format(s=self.schema) + "".join(_APPEND_ONLY.format(s=self.schema, t=t) for t in tables)
        with self._writing():
            self.store.connect().execute(ddl.encode())
            self.run_ddl("".join(POSTGRES_STEPS))
            self._first_rows(identity, transfer)

    def exists(self) -> bool:
        """See `SqlRecorder.exists`."""
        return bool(self._run("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (self.schema,)))

    def run_ddl(self, statements: str) -> None:
        """See `SqlRecorder.run_ddl`."""
        self.store.connect().execute(statements.format(s=self.schema).encode())

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
                with self.store.transaction():
                    return append_units(self, self.identity(), units)
            except (errors.SerializationFailure, errors.DeadlockDetected) as error:
                lost = error
            except LOST as error:
                if self.store.connected:  # the server answered and rolled back: a full disk, a timeout
                    raise explain(error) from error
                lost = error
                self.close()
            except StorageError:
                if lost is None:
                    raise
            except psycopg.Error as error:
                raise explain(error) from error
            time.sleep(0.05 * 2**attempt)
        raise StorageError(
            f"the connection to PostgreSQL was lost and did not come back ({explain(lost or psycopg.Error())})",
            outcome_unknown=True,
            hint="Whether the event was recorded is unknown; retrying with the same event is safe.",
        )
