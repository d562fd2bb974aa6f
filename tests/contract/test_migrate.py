"""Migrating a store's layout: all of it or nothing, and then no different from a new store."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from ledger.application import Ledger
from ledger.errors import ConfigurationError
from ledger.migration import Migration, migrate
from ledger.recorders import open_recorder
from ledger.recorders.layouts import FORMAT_VERSION
from ledger.stored import LogIdentity, Transfer
from ledger.verify import verify_log
from tests.contract.layout1 import make_layout_1
from tests.contract.support import Cast, life_of_a_model, make_cast, raw
from tests.fork_server import quick_python

KINDS = ("sqlite", "postgres")
NewStore = Callable[[str], str]


@pytest.fixture
def cast(new_store: NewStore) -> Cast:
    """A ledger of today with a history."""
    cast = make_cast(new_store("sqlite"))
    life_of_a_model(cast)
    cast.admin.checkpoint()
    return cast


@pytest.fixture(params=[(kind, version) for kind in KINDS for version in (1, 3)], ids=lambda p: f"{p[0]}-{p[1]}")
def old(request: pytest.FixtureRequest, new_store: NewStore, cast: Cast) -> str:
    """The same history in a store of an older layout."""
    kind, version = request.param
    url = new_store(kind)
    make_layout_1(url, cast.url, version)
    return url


def layout(url: str) -> int:
    with raw(url) as store:
        return store.run("SELECT format FROM $log")[0][0]


def everything(url: str) -> list[list[tuple]]:
    with raw(url) as store:
        tables = ("log", "entry", "content", "head", "tile", "checkpoint", "tracking")
        return [sorted(store.run(f"SELECT * FROM ${table}")) for table in tables]


def structure(url: str) -> list[tuple]:
    """Every table, index, trigger, constraint and function of a store, without the schema's name."""
    with raw(url) as store:
        if store.sqlite:
            return sorted(store.run("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"))
        schema = url.rpartition("schema=")[2]
        queries = (
            (
                "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, "
                "a.attcollation::regcollation::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND a.attnum > 0"
            ),
            (
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
                "JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = ?"
            ),
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = ?",
            (
                "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_trigger t "
                "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = ? AND NOT t.tgisinternal"
            ),
            (
                "SELECT p.proname, pg_get_functiondef(p.oid), coalesce(p.proacl::text, '') FROM pg_proc p "
                "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ?"
            ),
        )
        found = [row for query in queries for row in store.run(query, (schema,))]
        return sorted(tuple(str(value).replace(schema, "S") for value in row) for row in found)


def kill_at(name: str, url: str) -> int:
    """Run `migrate` in a process that is killed at a named place; its exit code."""
    code = "import sys; from ledger.migration import migrate; migrate(sys.argv[1])"
    environment = {**os.environ, "MUNIMENT_CRASHPOINT": name}
    return subprocess.run([quick_python(), "-c", code, url], env=environment, check=False, timeout=60).returncode


def test_an_old_layout_is_not_opened_and_says_what_to_do(old: str):
    with pytest.raises(
        ConfigurationError, match=f"layout {layout(old)}, and this Muniment reads layout {FORMAT_VERSION}"
    ) as caught:
        Ledger.open(old)
    assert "muniment admin migrate" in caught.value.hint


def test_a_look_changes_nothing(old: str):
    before = everything(old), structure(old)
    assert migrate(old, dry_run=True) == Migration(layout(old), FORMAT_VERSION, done=False)
    assert (everything(old), structure(old)) == before


def test_nothing_recorded_changes_and_the_ledger_goes_on(old: str, cast: Cast):
    before, found = everything(old), layout(old)
    assert migrate(old) == Migration(found, FORMAT_VERSION, done=True)
    after = everything(old)
    assert after[1:] == before[1:]
    assert after[0] == [(*before[0][0][:3], FORMAT_VERSION)]
    with Ledger.open(old, actor="p-author", signers=[cast.keys["p-author"]]) as ledger:
        receipt = ledger.emit("external.observed", "external:after", system="s", content={})
        assert receipt.index == len(before[1])
        assert verify_log(ledger.recorder, cast.new.trust).ok


def test_again_does_nothing(old: str):
    migrate(old)
    before = everything(old), structure(old)
    assert migrate(old) == Migration(FORMAT_VERSION, FORMAT_VERSION, done=False)
    assert (everything(old), structure(old)) == before


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_migrated_store_is_like_a_new_one(kind: str, version: int, new_store: NewStore, cast: Cast):
    old, fresh = new_store(kind), new_store(kind)
    make_layout_1(old, cast.url, version)
    made = make_cast(fresh, actors=())
    assert structure(old) != structure(fresh), "there is something to migrate"
    migrate(old)
    assert structure(old) == structure(fresh)
    recorder = open_recorder(old)
    assert recorder.structure_faults() == []
    assert made.recorder.structure_faults() == []


@pytest.mark.parametrize("kind", KINDS)
def test_from_layout_4_on_quarantines_count_as_changes_for_all(kind: str, new_store: NewStore, cast: Cast):
    placed = cast["trainer"].emit("quarantine.placed", "dataset:claims@1", reason="poisoned")
    cast["trainer"].emit("external.observed", "external:x", system="s", content={})
    old = new_store(kind)
    make_layout_1(old, cast.url, 3)
    with raw(old) as store:
        store.run("UPDATE $head SET authority = 0 WHERE id = 1")  # as that layout counted
    migrate(old)
    assert open_recorder(old).head().authority == placed.index
    assert verify_log(open_recorder(old), cast.new.trust).ok


def test_killed_before_the_commit_it_is_as_it_was(old: str):
    before = everything(old), structure(old)
    assert kill_at("migrate.before_commit", old) == -9
    assert (everything(old), structure(old)) == before
    assert migrate(old).done


def test_killed_after_the_commit_it_is_done(old: str, cast: Cast):
    assert kill_at("migrate.committed", old) == -9
    with Ledger.open(old) as ledger:
        assert verify_log(ledger.recorder, cast.new.trust).ok
    assert not migrate(old).done


def test_a_layout_never_goes_back(old: str):
    migrate(old)
    with raw(old) as store:
        with pytest.raises(Exception, match="append-only"):
            store.run("UPDATE $log SET format = 1")
        with pytest.raises(Exception, match="append-only"):
            store.run("UPDATE $log SET format = ?", (-FORMAT_VERSION,))
        with pytest.raises(Exception, match="append-only"):
            store.run("UPDATE $log SET format = format + 1, origin = 'another'")
        store.run("UPDATE $log SET format = ?", (FORMAT_VERSION + 1,))
    for attempt in (migrate, Ledger.open):
        with pytest.raises(ConfigurationError, match=f"layout {FORMAT_VERSION + 1}") as caught:
            attempt(old)
        assert "a layout never goes back" in caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_store_is_not_migrated(kind: str, new_store: NewStore):
    url = new_store(kind)
    recorder = open_recorder(url)
    recorder.create(LogIdentity("ab" * 16, "ledger.example/closed"), Transfer("copy", "cd" * 16))
    with pytest.raises(ConfigurationError, match="copy in progress"):
        migrate(url)


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_ledger_is_there_is_nothing_to_migrate(kind: str, new_store: NewStore):
    with pytest.raises(ConfigurationError):
        migrate(new_store(kind))
