"""Erasures and rotations that are killed on their way, and what files of stores and servers hold after them."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

import ledger.crashpoints
import ledger.erasing
import ledger.recorders.postgres_store
from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from tests.cli.erased import ERASE, MAIL, SECRET, WHO, all_good, files_with, tell
from tests.cli.killing import killed
from tests.cli.support import Shop, run
from tests.contract.support import raw


def points(prefix: str, *postgres: str) -> pytest.MarkDecorator:
    """Every crash point on SQLite, and on PostgreSQL those behind which its own code ran."""
    found = [("sqlite", name) for name in CRASHPOINTS if name.startswith(prefix)]
    found += [("postgres", prefix + name) for name in postgres]
    return pytest.mark.parametrize(("grow_any", "point"), found, indirect=["grow_any"])


@points("erase.", "keys_deleted", "withheld")
def test_whoever_is_killed_while_erasing_says_nothing_that_is_not_so_and_the_same_command_finishes(
    told: Shop, point: str
) -> None:
    killed(point, *ERASE)
    state = run("subject", "list", "-o", "json").good().json["erasures"]
    with Ledger.open(told.url) as opened:
        content = opened.recorder.rows(5, 1)[0].payload
    found = run("verify", "log", "--all", "-o", "json").good().json
    key = run("show", 3, "-o", "json").good().json["sealed"]["title"]
    finished = content is None and "not finished" not in key
    assert [item["state"] for item in state] == ["finished here" if finished else "not finished"]
    assert [item["index"] for item in found["erasure_unfinished"]] == ([5] if content is not None else [])
    assert [item["index"] for item in found["withheld"]] == ([] if content is not None else [5])
    assert run(*ERASE, "-o", "json").good().json["records"] == [7], "the erasure was recorded twice"
    all_good(5)
    assert files_with(told.folder, MAIL.encode(), SECRET.encode()) == []
    assert run("show", 3, "-o", "json").good().json["sealed"]["title"].startswith("erased by")


@points("seal.", "key_stored", "rewrapped")
def test_whoever_is_killed_while_sealing_or_rotating_loses_no_key_that_an_event_needs(told: Shop, point: str) -> None:
    if point == "seal.key_stored":
        killed(point, "emit", "incident.noted", "incident:1", "--personal", "note=x", "--about", "person:p-other")
        assert told.size() == 7
        run("emit", "incident.noted", "incident:1", "--personal", "note=x", "--about", "person:p-other").good()
        assert run("subject", "list", "-o", "json").good().json["subjects"] == {"person:p-7f3a": 1, "person:p-other": 1}
    else:
        killed(point, "subject", "rotate")
        assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
        run("subject", "rotate").good()
        assert len(list(told.keys.glob("wrapping.*.key"))) == 1
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


def test_no_file_of_the_store_holds_the_data_key_wrapped_or_not_after_it_is_destroyed(told: Shop) -> None:
    home = told.home
    with Ledger.open(told.url) as opened:
        keys = home.data_keys(opened.ledgerid)
    (name,) = keys.of_subject(WHO)
    key = keys.load(name)
    assert key is not None
    wrapped = keys._store.run("SELECT wrapped FROM $data_key")[0][0]
    keys.close()
    assert files_with(told.folder, key) == []
    if told.sqlite:
        assert files_with(told.folder, wrapped) != [], "the look for it finds nothing at all"
    run(*ERASE).good()
    assert files_with(told.folder, key, wrapped) == []
    with raw(told.url) as store:
        assert store.run("SELECT count(*) FROM $content WHERE position = 6") == [(0,)]


def data_directory(dsn: str) -> tuple[Path, str]:
    """Where the server keeps everything, all of it written out; and the file of its statistics there."""
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute("CHECKPOINT")
        found = server.execute("SELECT current_setting('data_directory'), pg_relation_filepath('pg_statistic')")
        folder, statistics = found.fetchone() or ("", "")
    if not os.access(folder, os.R_OK | os.X_OK):
        pytest.skip("the files of the server that MUNIMENT_TEST_POSTGRES names are not on this machine")
    return Path(folder), statistics


def places_of(folder: Path, *needles: bytes) -> list[set[str]]:
    """For each of some bytes the files that hold them, by their paths in a folder where a server is at work."""
    found: list[set[str]] = [set() for _ in needles]
    # It passes over folders that go meanwhile: those of the databases of other tests.
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):  # it was recycled meanwhile
                data = path.read_bytes() if path.is_file() else b""
                for needle, places in zip(needles, found, strict=True):
                    if needle in data:
                        places.add(str(path.relative_to(folder)))
    return found


def test_what_of_it_the_files_of_a_postgresql_server_ever_hold(pg_shop: Shop) -> None:
    """Heaps, indexes, write-ahead log, logs: never a plaintext or a data key; what was withheld only in the log."""
    tell(pg_shop)
    mail = f"jo-{uuid.uuid4().hex}@doe.example"
    run("emit", "external.observed", WHO, "-d", "system=crm", "-d", f"content.email={mail}").good()
    run("projection", "rebuild").good()
    with Ledger.open(pg_shop.url) as opened:
        keys = pg_shop.home.data_keys(opened.ledgerid)
    key = keys.load(keys.of_subject(WHO)[0])
    wrapped = keys._store.run("SELECT wrapped FROM $data_key")[0][0]
    keys._store.run("ANALYZE $data_key")
    keys.close()
    with raw(pg_shop.url) as store:
        store.run("ANALYZE $content")
    assert key is not None
    needles = (SECRET.encode(), key, mail.encode(), wrapped)
    folder, _ = data_directory(pg_shop.database)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    for places in (clear, under_key):
        assert any(name.startswith("base/") for name in places), "the look for it finds nothing"
    run(*ERASE).good()
    folder, statistics = data_directory(pg_shop.database)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    assert {name for name in clear | under_key if not name.startswith("pg_wal/")} <= {statistics}
    with psycopg.connect(pg_shop.database, autocommit=True) as server:
        server.execute("VACUUM (FULL) pg_catalog.pg_statistic")
    folder, _ = data_directory(pg_shop.database)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    assert all(name.startswith("pg_wal/") for name in clear | under_key)


@pytest.mark.parametrize("grow_any", ["postgres"], indirect=True)
def test_a_transaction_that_may_still_see_it_is_waited_for_and_then_named(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.recorders.postgres_store, "READERS_SECONDS", 0.3)
    with psycopg.connect(told.database) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        done = run(*ERASE).good()
    assert "transactions that began before are still open" in done.out + done.err
