"""The server-side append, the compare-and-swap without it, and the Python: the same outcomes and the same bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from ledger.application import Ledger
from ledger.errors import ConfigurationError, InputError, LedgerError, StorageError
from ledger.mapper import SignedStoredEvent
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.units import StaleReadError, Unit
from ledger.stored import LogIdentity
from ledger.verify import verify_log
from tests.contract.support import TABLES, audit, filler, make_cast, raw

IDENTITY = LogIdentity("0" * 32, "ledger.example/differential")
OTHER = {"state": b'{"other":true}', "payload": hashlib.sha256(b'{"other":true}').hexdigest()}
START = 1_780_000_000_000_000


class Clock:
    """A clock that is set by hand, and sometimes set back."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Units:
    """Random units: new events, retries, clashes, stale reads, changes of authority, and mixtures of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.made: list[SignedStoredEvent] = []
        self.number = 0

    def event(self, *, clash: float) -> SignedStoredEvent:
        chance = self.chance
        if self.made and chance.random() < clash:
            old = chance.choice(self.made)
            if chance.random() < 0.5:
                return old
            return filler(1, 0, id=old.id, sequence=10**6, **OTHER)[0]
        self.number += 1
        changes = chance.random() < clash
        columns: dict[str, Any] = {
            "originator_id": f"{'actor' if changes else 'external'}:s{chance.randrange(6)}",
            "authority": changes,
            "keys": tuple(sorted({f"{chance.randrange(4):064x}" for _ in range(chance.randrange(1, 4))})),
            "actor": f"actor-{chance.randrange(2)}",
        }
        if chance.random() < clash / 3 and self.made:
            columns["sequence"] = chance.choice(self.made).sequence
        found = filler(1, self.number, **columns)[0]
        self.made.append(found)
        return found

    def unit(self, revisions: dict[str, int], authority: int) -> Unit:
        chance = self.chance
        count = 1 if chance.random() < 0.6 else chance.randrange(2, 40)
        events = tuple(self.event(clash=0.12 / count) for _ in range(count))
        reads = {
            stream: revision + (1 if chance.random() < 0.2 else 0)
            for stream, revision in revisions.items()
            if chance.random() < 0.1
        }
        stale = authority - 1 if chance.random() < 0.05 else authority
        return Unit(events, reads, stale if chance.random() < 0.8 else None)


def words(outcome: Any) -> Any:
    if isinstance(outcome, StaleReadError):
        return (type(outcome).__name__, outcome.message, outcome.stream, outcome.hint)
    if isinstance(outcome, LedgerError):
        return (type(outcome).__name__, outcome.message, outcome.hint)
    return outcome


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with raw(url) as store:
        return {
            table: sorted(tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in store.run(
                f"SELECT * FROM ${table}"))
            for table in TABLES
        }  # fmt: skip


def revisions(recorder: SqlRecorder) -> dict[str, int]:
    found = recorder.ask("SELECT stream, max(revision) FROM $entry GROUP BY stream")
    return dict(found)


@contextmanager
def without_functions(dsn: str) -> Iterator[str]:
    """Options of a role that may make schemas and tables, and no functions."""
    role = f"plain_{random.randrange(10**9)}"
    with psycopg.connect(dsn, autocommit=True) as owner:
        (database,) = owner.execute("SELECT current_database()").fetchone() or ("",)
        owner.execute(f"CREATE ROLE {role}".encode())
        owner.execute(f'GRANT CREATE ON DATABASE "{database}" TO {role}'.encode())
        owner.execute(b"REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
        try:
            yield f"&options=-c%20role%3D{role}"
        finally:
            owner.execute(b"GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC")
            owner.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.mark.parametrize("seed", range(6))
def test_the_function_agrees_with_the_python(seed: int, memory_path: Path, postgres_url: str):
    clock = Clock()
    stores: list[SqlRecorder] = [
        open_recorder(f"sqlite:///{memory_path / 'python.db'}", clock=clock),
        open_recorder(postgres_url, clock=clock),
    ]
    for store in stores:
        store.create(IDENTITY)
    assert isinstance(stores[1], PostgresRecorder)
    assert stores[1].has_functions
    units, chance = Units(seed), random.Random(seed)
    for _ in range(80):
        clock.now = max(
            clock.now + chance.choice((0, 1, 999_999, 10**6, -4_000_000, 10**9)),
            stores[0].head().recorded_at - 4_900_000,
        )
        known, authority = revisions(stores[0]), stores[0].head().authority
        group = [units.unit(known, authority) for _ in range(chance.randrange(1, 6))]
        python, function = (store.append(group) for store in stores)
        assert [words(outcome) for outcome in python] == [words(outcome) for outcome in function], f"seed {seed}"
        assert stores[0].head() == stores[1].head()
    assert stores[0].head().size > 512, "tiles were written"
    assert dump(f"sqlite:///{memory_path / 'python.db'}") == dump(postgres_url)


def test_large_batches_and_tiles_of_two_levels(memory_path: Path, postgres_url: str):
    stores = [open_recorder(url, clock=Clock()) for url in (f"sqlite:///{memory_path / 'python.db'}", postgres_url)]
    for store in stores:
        store.create(IDENTITY)
    for first in range(0, 66_000, 3000):
        unit = Unit(tuple(filler(3000, first)))
        for store in stores:
            (outcome,) = store.append([unit])
            assert isinstance(outcome, list)
    assert dump(f"sqlite:///{memory_path / 'python.db'}") == dump(postgres_url)


def test_the_swap_agrees_with_the_function(postgres_dsn: str, postgres_url: str):
    with without_functions(postgres_dsn) as options:
        clock = Clock()
        swap = open_recorder(f"{postgres_url}_swap{options}", clock=clock)
        function = open_recorder(postgres_url, clock=clock)
        swap.create(IDENTITY)
        try:
            assert isinstance(swap, PostgresRecorder)
            assert not swap.has_functions
            function.create(IDENTITY)
            units, chance = Units(77), random.Random(77)
            for _ in range(40):
                clock.now = max(clock.now + chance.choice((0, 1, 10**6, -4_000_000)), swap.head().recorded_at - 10**6)
                known, authority = revisions(function), function.head().authority
                group = [units.unit(known, authority) for _ in range(chance.randrange(1, 4))]
                assert [words(o) for o in swap.append(group)] == [words(o) for o in function.append(group)]
            assert swap.head() == function.head()
            assert swap.head().size > 256
            assert dump(postgres_url) == dump(f"{postgres_url}_swap")
        finally:
            swap.close()
            with psycopg.connect(postgres_dsn, autocommit=True) as owner:
                owner.execute(f"DROP SCHEMA {postgres_url.partition('schema=')[2]}_swap CASCADE".encode())


def test_a_whole_ledger_without_functions(postgres_dsn: str, postgres_url: str):
    """Nothing but the name of the role differs for whoever uses it; several writers take turns by the head."""
    with without_functions(postgres_dsn) as options:
        cast = make_cast(postgres_url + options, actors=("p-author",))
        other = Ledger(open_recorder(postgres_url + options), actor="p-author", signers=[cast.keys["p-author"]])
        for turn in range(10):
            for ledger in (cast["p-author"], other):
                ledger.emit("external.observed", f"external:{turn}", system="s")
        cast.admin.checkpoint()
        assert verify_log(cast.recorder, cast.new.trust).ok
        other.close()
        cast.recorder.close()
    audit(postgres_url)


def test_a_clock_behind_the_last_entry_is_refused(postgres_url: str):
    clock = Clock()
    store = open_recorder(postgres_url, clock=clock)
    store.create(IDENTITY)
    store.append([Unit(tuple(filler(1)))])
    clock.now -= 5_000_001
    with pytest.raises(StorageError, match="behind the last entry") as caught:
        store.append([Unit(tuple(filler(1, 5)))])
    assert not caught.value.outcome_unknown
    assert store.head().size == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"subject": 'external:"x'},
        {"subject": "external:\\x"},
        {"subject": "external:é"},
        {"subject": ""},
        {"actor": "x" * 256},
        {"keys": ("0" * 63,)},
        {"keys": ()},
        {"envelope": "00" * 31},
        {"payload": "00" * 32},
        {"sequence": 2**53},
        {"sequence": 0},
        {"keys": ("1" * 64, "0" * 64)},
        {"keys": ("1" * 64, "1" * 64)},
        {"authority": True},
        {"originator_id": "actor:x"},
        {"originator_id": "ledger:x"},
        {"state": b"x" * 65_537, "payload": hashlib.sha256(b"x" * 65_537).hexdigest()},
        {"signatures": b"[]"},
        {"signatures": b"\xff\x00"},
        {"signatures": b"[" * 174 + b"]"},
        {"envelope": "00" * 32},
        {"item": -1},
    ],
)
def test_the_function_takes_nothing_that_no_entry_may_hold(columns: dict[str, Any], postgres_url: str):
    """Whoever may call it need not be our client."""
    store = open_recorder(postgres_url)
    store.create(IDENTITY)
    with pytest.raises(InputError):
        store.append([Unit(tuple(filler(1, **columns)))])
    assert store.head().size == 0


# -- roles -----------------------------------------------------------------------------------------


@contextmanager
def role_with(recorder: SqlRecorder, dsn: str, access: str | None) -> Iterator[str]:
    """Options of a new database role with some access to a log."""
    assert isinstance(recorder, PostgresRecorder)
    role = f'Role "{random.randrange(10**9)}"'  # a name that must be quoted
    quoted = sql.Identifier(role).as_string()
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {quoted}".encode())
        try:
            if access is not None:
                recorder.grant(role, access)
            yield f"&options=-c%20role%3D{quote(role.replace(' ', chr(92) + ' '))}"
        finally:
            owner.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}".encode())


def denied(recorder: SqlRecorder, statement: str) -> None:
    with pytest.raises(StorageError, match="denies access"):
        recorder.ask(statement)


WRITES = [
    "INSERT INTO $entry SELECT * FROM $entry",
    "INSERT INTO $content VALUES (99, '', '')",
    "INSERT INTO $tile VALUES (0, 0, '', '')",
    "INSERT INTO $checkpoint VALUES (1, '')",
    "UPDATE $head SET size = size + 1",
    "SELECT * FROM $head FOR UPDATE",
    "UPDATE $log SET origin = 'mine'",
    "DELETE FROM $content",
    "DELETE FROM $checkpoint",
    "TRUNCATE $tracking",
    "DROP TABLE $entry",
    "ALTER TABLE $entry DISABLE TRIGGER USER",
    "CREATE TABLE $mine (x int)",
    "CREATE OR REPLACE FUNCTION $sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea'",
    f"SELECT $append_at(1{', NULL' * 21})",
]


def test_a_writer_appends_and_can_write_no_table(postgres_dsn: str, postgres_url: str):
    cast = make_cast(postgres_url, actors=("p-author",))
    with role_with(cast.recorder, postgres_dsn, "writer") as options:
        recorder = open_recorder(postgres_url + options)
        ledger = Ledger(
            recorder, actor="p-author", signers=[cast.keys["p-author"]], checkpoint_signer=cast.new.checkpoint
        )
        ledger.emit("external.observed", "external:x", system="s")
        ledger.append_batch([])
        ledger.checkpoint()
        assert verify_log(recorder, cast.new.trust).ok
        for statement in WRITES:
            denied(recorder, statement)
        assert ledger.emit("external.observed", "external:x", system="s").revision == 2
        recorder.close()
    audit(postgres_url)


def test_an_eraser_has_deleted_what_a_record_names_and_can_write_nothing_else(postgres_dsn: str, postgres_url: str):
    cast = make_cast(postgres_url, actors=("p-author",))
    cast.enrol("p-eraser", "person", ["eraser"])
    named, other = (cast["p-author"].emit("external.observed", "person:p-x", system="s") for _ in range(2))
    signers = [cast.keys["p-eraser"]]
    with role_with(cast.recorder, postgres_dsn, "writer") as options:
        denied(open_recorder(postgres_url + options), f"SELECT $withhold(ARRAY[{named.index + 1}::bigint])")
    with role_with(cast.recorder, postgres_dsn, "eraser") as options:
        recorder = open_recorder(postgres_url + options)
        for statement in WRITES:
            denied(recorder, statement)
        denied(recorder, f"DELETE FROM $content WHERE position = {named.index + 1}")
        with pytest.raises(StorageError, match="append-only"):
            recorder.withhold([named.index])
        ledger = Ledger(recorder, actor="p-eraser", signers=signers)
        entry = {"index": named.index, "leaf_hash": named.leaf_hash.hex(), "stream": named.stream, "scope": "whole"}
        body = {"subject": "person:p-x", "basis": "b", "reason": "r", "entries": [entry]}
        ledger.emit("subject.erased", f"ledger:{ledger.ledgerid}", body)
        with pytest.raises(StorageError, match="append-only"):
            recorder.withhold([named.index, other.index])
        assert recorder.rows(named.index, 1)[0].payload is not None, "half of it was done"
        assert recorder.withhold([named.index]) == 1
        assert "only the owner may run VACUUM" in recorder.scrub()
        for statement in (*WRITES, f"DELETE FROM $content WHERE position = {other.index + 1}"):
            denied(recorder, statement)
        recorder.close()
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.ok, [index for index, _ in found.withheld]) == (True, [named.index])


def test_a_writer_cannot_lead_the_function_to_another_sha256(postgres_dsn: str, postgres_url: str):
    cast = make_cast(postgres_url, actors=("p-author",))
    with role_with(cast.recorder, postgres_dsn, "writer") as options:
        recorder = open_recorder(postgres_url + options)
        recorder.ask("CREATE TEMPORARY TABLE entry (x int)")
        recorder.ask("CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea'")
        recorder.ask("SET search_path = pg_temp, pg_catalog")
        ledger = Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]])
        ledger.emit("external.observed", "external:x", system="s")
        recorder.close()
    assert verify_log(cast.recorder, cast.new.trust).ok
    audit(postgres_url)


def test_a_reader_verifies_and_cannot_append(postgres_dsn: str, postgres_url: str):
    cast = make_cast(postgres_url, actors=("p-author",))
    with role_with(cast.recorder, postgres_dsn, "reader") as options:
        recorder = open_recorder(postgres_url + options)
        ledger = Ledger(
            recorder, actor="p-author", signers=[cast.keys["p-author"]], checkpoint_signer=cast.new.checkpoint
        )
        assert verify_log(recorder, cast.new.trust).ok
        with pytest.raises(StorageError, match="denies access") as caught:
            ledger.emit("external.observed", "external:x", system="s")
        assert not caught.value.outcome_unknown
        for statement in WRITES:
            denied(recorder, statement)
        recorder.close()


def test_a_role_without_any_access_sees_nothing(postgres_dsn: str, postgres_url: str):
    cast = make_cast(postgres_url, actors=())
    with role_with(cast.recorder, postgres_dsn, None) as options:
        recorder = open_recorder(postgres_url + options)
        with pytest.raises(StorageError, match="denies access"):
            recorder.head()
        recorder.close()


def test_a_role_that_is_not_there(postgres_url: str):
    recorder = make_cast(postgres_url, actors=()).recorder
    assert isinstance(recorder, PostgresRecorder)
    with pytest.raises(ConfigurationError, match="no role 'nobody'"):
        recorder.grant("nobody", "writer")


# -- several calls ---------------------------------------------------------------------------------


def same_id_out_of_bounds() -> list[Unit]:
    """Three units that are appended by three calls, the second of which fails as a whole."""
    return [
        Unit(tuple(filler(1, 1))),
        Unit(tuple(filler(1, 1, subject="external:é"))),
        Unit(tuple(filler(1, 1))),
    ]


def test_what_an_earlier_call_appended_is_acknowledged(postgres_url: str):
    store = open_recorder(postgres_url)
    store.create(IDENTITY)
    first, second, third = store.append(same_id_out_of_bounds())
    assert isinstance(first, list)
    assert first[0].index == 0
    assert not first[0].existing
    assert isinstance(second, InputError)
    assert isinstance(third, LedgerError)
    assert store.head().size == 1


def test_without_functions_what_was_appended_before_a_failure_is_acknowledged(
    postgres_dsn: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    with without_functions(postgres_dsn) as options:
        store = open_recorder(postgres_url + options)
        store.create(IDENTITY)
        clocks = iter((START, START - 6_000_000))
        monkeypatch.setattr(store, "now", lambda: next(clocks))
        first, second = store.append([Unit(tuple(filler(1, 1))), Unit(tuple(filler(1, 2)))])
        assert isinstance(first, list)
        assert isinstance(second, StorageError)
        assert not second.outcome_unknown
        assert store.head().size == 1
        store.close()


def test_when_it_cannot_be_read_where_a_known_event_stands_the_rest_is_unknown(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    store = open_recorder(postgres_url)
    store.create(IDENTITY)
    store.append([Unit(tuple(filler(1, 1)))])

    def broken(_positions: object) -> Any:
        raise StorageError("the connection is gone")

    monkeypatch.setattr(store, "_known_at", broken)
    with pytest.raises(StorageError) as caught:
        store.append([Unit(tuple(filler(1, 1))), Unit(tuple(filler(1, 2)))])
    assert caught.value.outcome_unknown
    assert store.head().size == 2
