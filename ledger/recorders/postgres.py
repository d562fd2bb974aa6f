"""The log in one PostgreSQL schema.

The head row is the lock: whoever holds it appends. An append is one call of a function on the server, and its reply is
the only ambiguous moment; after a lost connection the same call looks the events up under that same lock, which proves
what became of them.
"""

from __future__ import annotations

import copy
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain, islice
from typing import ClassVar

from psycopg import errors, sql

from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, ConflictError, LedgerError, VerificationError
from ledger.recorders.audit_sql import HEADERS, WITH_CONTENTS
from ledger.recorders.layouts import postgres_routines, postgres_tables
from ledger.recorders.postgres_ahead import read_ahead
from ledger.recorders.postgres_append import call_append
from ledger.recorders.postgres_cas import append_by_swap
from ledger.recorders.postgres_store import PostgresStore
from ledger.recorders.read_sql import COLUMNS, ENTRY_COLUMNS
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.structure import FOREIGN, TRIGGERS, triggers_made
from ledger.recorders.units import StaleReadError, StoredAt, Unit, check_repeats, separate
from ledger.stored import Fields, Head, LogIdentity, SignedHead, Transfer

__all__ = ["FEW_SPANS", "PostgresRecorder"]

#: So many stretches are worth a connection of their own.
FEW_SPANS = 4

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
"""
_TRIGGERS = """
CREATE FUNCTION {s}.forbid() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION 'the log is append-only'; END $body$;
CREATE FUNCTION {s}.head_forward() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.size < OLD.size OR NEW.id <> OLD.id THEN RAISE EXCEPTION 'the log is append-only'; END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER head_forward BEFORE UPDATE ON {s}.head FOR EACH ROW EXECUTE FUNCTION {s}.head_forward();
CREATE TRIGGER head_kept BEFORE DELETE OR TRUNCATE ON {s}.head FOR EACH STATEMENT EXECUTE FUNCTION {s}.forbid();
""" + "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {{s}}.{table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION {s}.forbid();\n"
    for table in ("log", "entry", "content", "tile", "checkpoint")
)


@cache
def _made() -> set[tuple[str, str, str]]:
    return triggers_made(_TRIGGERS + postgres_routines(1))


@cache
def _tables() -> frozenset[str]:
    return frozenset(_TABLE.findall(_DDL + postgres_tables(1)))


_TABLE = re.compile(r"CREATE TABLE \{s\}\.(\w+)")
_WRITER = ("append", "add_checkpoint", "add_attestation")
#: The functions that a role with an access may call.
_APPENDING = {"writer": _WRITER, "eraser": (*_WRITER, "withhold")}


class PostgresRecorder(SqlRecorder):
    """One log in one schema.

    Args:
        url: a PostgreSQL URL, with our optional ``schema`` parameter.
        clock: the clock for ``recorded_at`` in microseconds; the server's when None.
    """

    backend: ClassVar[str] = "postgres"
    payload_holds: ClassVar[str] = "position('\\x{}'::bytea in c.payload) > 0"
    attestation_guard = (
        "ALTER TABLE $attestation DISABLE TRIGGER append_only", "ALTER TABLE $attestation ENABLE TRIGGER append_only",
    )  # fmt: skip

    def __init__(self, url: str, clock: Callable[[], int] | None = None) -> None:
        self.store = PostgresStore(url)
        self.schema = self.store.schema
        self._has_functions: bool | None = None
        super().__init__(self.store, clock)

    def create(self, identity: LogIdentity, transfer: Transfer | None = None) -> None:
        """Create the schema with an empty log, in one transaction.

        Where the role may not make functions, the log has neither the server-side append (`postgres_cas` does its
        work) nor triggers.

        Raises:
            ConfigurationError: the schema exists.
        """
        with self._writing():
            connection = self.store.connect()
            connection.execute(_DDL.format(s=self.schema).encode())
            self.run_ddl(postgres_tables(1))
            try:
                with connection.transaction():  # a savepoint
                    self.run_ddl(_TRIGGERS + postgres_routines(1))
            except errors.InsufficientPrivilege:
                self._has_functions = False
            self._first_rows(identity, transfer)

    def identity(self) -> LogIdentity:
        """See `ReadSql.identity`; also refuses a schema in which something else stands where a table should."""
        if self._identity is None:
            for (name,) in self._run(FOREIGN, (self.schema,)):
                if name in _tables():
                    raise VerificationError(
                        f"the store itself is damaged: {name} is not as Muniment makes it", fault="head",
                        hint="Restore the store from a verified copy; reading this one may never end.",
                    )  # fmt: skip
        return super().identity()

    def spans(self, wanted: Iterable[tuple[int, int]], *, contents: bool) -> Iterator[Sequence[Fields]]:
        """See `AuditReader.spans`: where there are several, the server reads ahead."""
        wanted = iter(wanted)
        first = list(islice(wanted, FEW_SPANS))
        if len(first) < FEW_SPANS:
            return super().spans(first, contents=contents)
        columns, tail = (COLUMNS, WITH_CONTENTS) if contents else (ENTRY_COLUMNS, HEADERS)
        bounds = (span * (2 if contents else 1) for span in chain(first, wanted))
        return read_ahead(self.store, f"SELECT {', '.join(columns)} {tail}", bounds)

    def structure_faults(self, *, deep: bool = True) -> list[str]:
        """See `AuditReader.structure_faults`: tables are tables, with no triggers but ours."""
        names = {name for (name,) in self._run(FOREIGN, (self.schema,))}
        names |= {f"{table}.{name}" for table, name, _ in self._triggers(firing=False) - _made()}
        return [f"{name} is not as Muniment makes it" for name in sorted(names)]

    def missing_guards(self) -> list[str]:
        """See `SqlRecorder.missing_guards`."""
        expected = _made() if self.has_functions else set()
        return sorted(f"{table}.{name}" for table, name, _ in expected - self._triggers(firing=True))

    def _triggers(self, *, firing: bool) -> set[tuple[str, str, str]]:
        rows = self._run(TRIGGERS, (self.schema,))
        return {(table, name, function) for table, name, function, fires in rows if fires or not firing}

    def exists(self) -> bool:
        """See `SqlRecorder.exists`."""
        return bool(self._run("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (self.schema,)))

    def run_ddl(self, statements: str) -> None:
        """See `SqlRecorder.run_ddl`."""
        self.store.connect().execute(statements.replace("{s}", self.schema).encode())

    def upgrade(self, version: int) -> None:
        """See `SqlRecorder.upgrade`; a log that was made without functions stays without."""
        self.store.at_length()  # an index takes as long as there are rows
        self.run_ddl(postgres_tables(version))
        if version == 1 or self.has_functions:
            self.run_ddl(postgres_routines(version))
            self._has_functions = None
        granted = (
            "SELECT r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, "
            "aclexplode(c.relacl) AS a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee "
            "WHERE n.nspname = ? AND c.relname = 'entry' AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner"
        )
        writing = (
            "SELECT has_function_privilege(?, p.oid, 'EXECUTE') FROM pg_catalog.pg_proc p JOIN "
            "pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ? AND p.proname = 'append'"
        )
        for (role,) in self._run(granted, (self.schema,)):
            writer = self._run(writing, (role, self.schema)) == [(True,)]
            self.grant(role, "writer" if writer else "reader")

    @property
    def has_functions(self) -> bool:
        """Whether the log has the server-side append."""
        if self._has_functions is None:
            sql = (
                "SELECT count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
                "WHERE n.nspname = ? AND p.proname IN ('append', 'append_at', 'add_checkpoint')"
            )
            self._has_functions = self._run(sql, (self.schema,)) == [(3,)]
        return self._has_functions

    def grant(self, role: str, access: str) -> None:
        """Let another database role use the log.

        Args:
            role: name of an existing role.
            access: ``reader`` (reads everything), ``writer`` (reads, and appends and stores signed heads by calling
                functions; it can write no table), or ``eraser`` (as a writer, and may have contents deleted that an
                erasure record names). Whoever made the log owns it.

        Raises:
            ConfigurationError: there is no such role, or the log has no functions.
            StorageError: this role may not grant.
        """
        if access in _APPENDING and not self.has_functions:
            raise ConfigurationError(
                "this log has no server-side functions, so nobody but its owner can append",
                hint="Make it with a role that may make functions, or run: muniment admin migrate",
            )
        name = sql.Identifier(role).as_string()
        grants = [f"USAGE ON SCHEMA {self.schema}", f"SELECT ON ALL TABLES IN SCHEMA {self.schema}"]
        if access in _APPENDING:
            functions = ", ".join(f"{self.schema}.{name}" for name in _APPENDING[access])
            grants.append(f"EXECUTE ON FUNCTION {functions}")
        with self._writing():
            try:
                for grant in grants:
                    self.store.connect().execute(f"GRANT {grant} TO {name}".encode())
            except errors.UndefinedObject as error:
                raise ConfigurationError(
                    f"PostgreSQL has no role {role!r}", hint="Make it first: CREATE ROLE … LOGIN"
                ) from error

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
        """Append units, each of them durably and as a whole; see `append_units`.

        A lost connection is repeated with the same events (`PostgresStore.persist`): under the head lock they are
        either found (they were committed: the first receipt) or certainly absent (they are appended now).

        Raises:
            StorageError: nothing was appended, or ``outcome_unknown`` when the server cannot be asked.
        """
        outcomes: dict[int, list[StoredAt] | LedgerError] = {}
        sound = []
        for number, unit in enumerate(units):
            try:
                check_repeats(unit)
            except ConflictError as error:
                outcomes[number] = error
            else:
                outcomes[number] = []
                if unit.events:
                    sound.append((number, unit))
        numbers = iter([number for number, _ in sound])
        appended = False
        calls = deque(self._calls([unit for _, unit in sound]))
        while calls:
            call = calls.popleft()
            try:
                found = self.store.persist(partial(self._call, call))
            except StaleReadError as error:
                if len(call) > 1:  # which of them came too late is found one by one
                    calls.extendleft([unit] for unit in reversed(call))
                    continue
                found = [error]
            except LedgerError as error:
                if not appended:
                    raise
                # Each call was a transaction of its own: what the calls before this one appended stays appended.
                outcomes.update((number, copy.copy(error)) for number in numbers)
                break
            appended = True
            outcomes.update((next(numbers), outcome) for outcome in found)
        return [outcomes[number] for number in range(len(units))]

    def _calls(self, units: Sequence[Unit]) -> list[list[Unit]]:
        """Units as they are appended: each list in a transaction of its own."""
        return separate(units) if self.has_functions else [[unit] for unit in units]

    def _call(self, units: Sequence[Unit]) -> list[list[StoredAt] | LedgerError]:
        crashpoint("append.begun")
        if self.has_functions:
            now = None if self._clock is None else self._clock()
            found = call_append(self.store.connect(), self.schema, units, now, self._known_at)
        else:
            found = append_by_swap(self, units)
        crashpoint("append.committed")
        return found

    def _known_at(self, positions: Sequence[int]) -> dict[int, StoredAt]:
        if not positions:
            return {}
        sql = "SELECT position, leaf_hash, stream, revision, recorded_at FROM $entry WHERE position = ANY(?)"
        return {
            position: StoredAt(position - 1, leaf, stream, revision, recorded_at, existing=True)
            for position, leaf, stream, revision, recorded_at in self._run(sql, (list(positions),))
        }

    def add_checkpoint(self, head: SignedHead, note: bytes, previous: SignedHead) -> bool:
        """See `SqlRecorder.add_checkpoint`."""
        return self.store.persist(lambda: self._add_checkpoint_once(head, note, previous))

    def _add_checkpoint_once(self, head: SignedHead, note: bytes, previous: SignedHead) -> bool:
        if not self.has_functions:
            return super().add_checkpoint(head, note, previous)
        row = (head.size, head.root, note, previous.size, previous.root)
        return bool(self._run("SELECT $add_checkpoint(?, ?, ?, ?, ?)", row)[0][0])

    def add_attestation(self, size: int, kind: str, issuer: str, body: bytes) -> bool:
        """See `SqlRecorder.add_attestation`."""
        return self.store.persist(lambda: self._add_attestation_once(size, kind, issuer, body))

    def _add_attestation_once(self, size: int, kind: str, issuer: str, body: bytes) -> bool:
        if not self.has_functions or self._clock is not None:
            return super().add_attestation(size, kind, issuer, body)
        self._check_kept(size, kind, issuer, body)
        return bool(self._run("SELECT $add_attestation(?, ?, ?, ?)", (size, kind, issuer, body))[0][0])

    def drop_attestations(self, numbers: Sequence[int]) -> None:
        """See `SqlRecorder.drop_attestations`; only the owner may."""
        self.store.persist(lambda: super(PostgresRecorder, self).drop_attestations(numbers))

    def withhold(self, indexes: Sequence[int]) -> int:
        """See `SqlRecorder.withhold`."""
        if not self.has_functions:
            return self.store.persist(lambda: super(PostgresRecorder, self).withhold(indexes))
        positions = [index + 1 for index in indexes]
        return int(self.store.persist(lambda: self._run("SELECT $withhold(?)", (positions,)))[0][0])

    def scrub(self) -> str:
        """See `SqlRecorder.scrub`; only the owner may vacuum."""
        return self.store.scrub("content")

    def fail_fast(self) -> None:
        """See `SqlRecorder.fail_fast`; a connection that was only cut is still replaced at once."""
        self.store.patience = 0.1

    def session(self) -> int:
        """See `SqlRecorder.session`."""
        self.store.connect()
        return self.store.connections

    def settle(self) -> None:
        """See `SqlRecorder.settle`."""
        self.store.persist(self.store.wait_for_standbys)
