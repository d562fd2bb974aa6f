"""No tables but where they are made; what is opened is durable, and only what it says it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import pytest

from ledger.application import Ledger
from ledger.creation import create_ledger
from ledger.errors import ConfigurationError, LedgerError, StorageError
from ledger.recorders import open_recorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.recorders.units import Unit
from ledger.verify import verify_log
from tests.contract.support import ORIGIN, approved, audit, fill, filler, make_cast, raw

# -- no tables but where they are made -------------------------------------------------------------


def schema_of(url: str) -> list[Any]:
    with raw(url) as store:
        if store.sqlite:
            return store.run("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        schema = dict(part.split("=") for part in urlsplit(url).query.split("&"))["schema"]
        return store.run(
            "SELECT c.relname, c.relkind, c.oid, c.relfilenode FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = ? ORDER BY 1", (schema,)
        )  # fmt: skip


def test_only_create_makes_tables(quick_url: str):
    cast = make_cast(quick_url)
    before = schema_of(quick_url)
    approved(cast)
    cast.admin.checkpoint()
    verify_log(cast.recorder, cast.new.trust)
    fill(cast.recorder, 256)
    cast.recorder.close()
    with Ledger.open(quick_url) as ledger:
        ledger.recorder.rows(0, 10)
    assert schema_of(quick_url) == before


def test_what_cannot_be_opened_or_made_leaves_no_connection(store_url: str, stores_closed: list[Any]):
    with pytest.raises(ConfigurationError):
        Ledger.open(store_url)
    create_ledger(store_url, ORIGIN).ledger.close()
    with pytest.raises(ConfigurationError):
        create_ledger(store_url, ORIGIN)
    assert len(stores_closed) == 3
    assert [store._connection for store in stores_closed] == [None, None, None]


def test_opening_what_is_not_there_makes_nothing(store_url: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open(store_url)
    assert "muniment init" in caught.value.hint
    with pytest.raises(ConfigurationError):
        open_recorder(store_url).append([Unit(tuple(filler(1)))])
    with pytest.raises(ConfigurationError):
        open_recorder(store_url).head()
    assert list(tmp_path.iterdir()) == []
    assert store_url.startswith("sqlite") or schema_of(store_url) == []


def test_opening_an_empty_file_makes_nothing(tmp_path: Path):
    path = tmp_path / "empty.db"
    path.touch()
    for use in (Ledger.open, lambda url: open_recorder(url).append([Unit(tuple(filler(1)))])):
        with pytest.raises(ConfigurationError, match="holds no ledger"):
            use(f"sqlite:///{path}")
    assert path.stat().st_size == 0


def test_opening_something_else_is_said(tmp_path: Path):
    other = tmp_path / "other.db"
    apsw.Connection(str(other)).execute("CREATE TABLE log (id, ledgerid, origin, format)")
    text = tmp_path / "text.db"
    text.write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigurationError):
        Ledger.open(f"sqlite:///{other}")
    with pytest.raises(StorageError, match="not a SQLite database"):
        Ledger.open(f"sqlite:///{text}")
    with pytest.raises(LedgerError):
        Ledger.open(f"sqlite:///{tmp_path}")


def test_a_database_that_is_not_there_is_a_matter_of_settings(postgres_dsn: str):
    parts = urlsplit(postgres_dsn)
    for url in (
        parts._replace(path="/no_such_database").geturl(),
        postgres_dsn.replace(f"{parts.username}@", "no_such_role@", 1),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Ledger.open(url)
        assert "no_such" in caught.value.message
        assert caught.value.hint


def test_a_server_that_is_not_there_is_a_matter_of_storage(tmp_path: Path):
    with pytest.raises(StorageError) as caught:
        Ledger.open(f"postgresql://someone@/postgres?host={tmp_path}")
    assert not caught.value.outcome_unknown
    assert caught.value.hint


def test_a_ledger_is_made_only_once(quick_url: str):
    made = create_ledger(quick_url, ORIGIN)
    with pytest.raises(ConfigurationError, match="already exists"):
        create_ledger(quick_url, ORIGIN)
    assert len(audit(quick_url)) == 2
    assert verify_log(made.ledger.recorder, made.trust).ok


def test_a_new_file_is_private(tmp_path: Path):
    previous = os.umask(0)
    try:
        make_cast(f"sqlite:///{tmp_path / 'ledger.db'}", actors=())
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    finally:
        os.umask(previous)
    assert set(modes.values()) == {"0o600"}, modes


def test_a_store_opened_for_reading_takes_nothing(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    cast = make_cast(url, actors=())
    reader = Ledger.open(url + "?mode=ro", actor="p-admin", signers=[cast.new.admin_key])
    with pytest.raises(StorageError, match="read-only"):
        reader.emit("incident.opened", "incident:1", title="x")
    assert reader.recorder.head() == cast.recorder.head()


def test_sqlite_is_durable_and_waits(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    make_cast(url, actors=())
    recorder = open_recorder(url)
    assert isinstance(recorder, SqliteRecorder)
    recorder.head()
    connection = recorder.store.connect()
    pragmas = {name: connection.pragma(name) for name in ("journal_mode", "synchronous", "trusted_schema")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "trusted_schema": 0}


def test_postgres_is_durable_whatever_the_role_is_set_to(postgres_url: str):
    make_cast(postgres_url, actors=())
    recorder = open_recorder(postgres_url + "&options=-c%20synchronous_commit%3Doff")
    assert recorder._run("SHOW synchronous_commit") == [("on",)]
    recorder.close()
