"""What takes as long as there is data is not cut off on PostgreSQL, while whatever reads is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from ledger.errors import StorageError
from ledger.recorders.postgres_store import PostgresStore
from projections.catalogue import open_runner
from projections.journal import Journal
from projections.views.postgres import PostgresViews
from tests.contract.support import make_cast

#: Longer than the bound of these tests.
_WAIT = 0.8


@pytest.fixture(params=["ours", "asked for"])
def bounded(postgres_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The URL of a ledger whose statements end after 300 ms."""
    if request.param == "asked for":
        return postgres_url + "&options=-c%20statement_timeout%3D300ms"
    monkeypatch.setattr("ledger.recorders.postgres_store.STATEMENT_TIMEOUT", "300ms")
    return postgres_url


@contextmanager
def in_use(dsn: str, table: str, *, cut: bool = False) -> Iterator[None]:
    """Somebody else holds a table for a while after somebody waits for it, whose connection may be cut first."""
    waiting = "SELECT pid FROM pg_locks WHERE relation = to_regclass(%s) AND NOT granted"
    with psycopg.connect(dsn) as other, psycopg.connect(dsn, autocommit=True) as admin:
        other.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE".encode())

        def hold() -> None:
            for again in (True, False) if cut else (False,):
                until = time.monotonic() + 30
                while not (found := admin.execute(waiting, (table,)).fetchall()) and time.monotonic() < until:
                    time.sleep(0.02)
                if again:
                    admin.execute("SELECT pg_terminate_backend(%s, 10000)", found[0])
            time.sleep(_WAIT)
            other.rollback()

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            yield
        finally:
            holder.join()


def ends_a_reader(store: PostgresStore) -> None:
    with pytest.raises(StorageError, match="took longer than allowed"):
        store.run("SELECT pg_sleep(1)")


def noting(store: PostgresStore, monkeypatch: pytest.MonkeyPatch, what: str) -> list[str]:
    """The bounds under which statements run that begin so."""
    execute, bounds = store.execute, list[str]()

    def noted(text: str, *arguments: Any, **options: Any) -> Any:
        if text.startswith(what):
            bounds.append(execute("SHOW statement_timeout")[0][0])
        return execute(text, *arguments, **options)

    monkeypatch.setattr(store, "execute", noted)
    return bounds


def test_indexes_at_the_end_of_a_rebuild(bounded: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch):
    runner = open_runner(make_cast(bounded, actors=()).admin, bounded)
    runner.catch_up()
    views = runner.views
    assert isinstance(views, PostgresViews)
    store = views._schema
    bounds = noting(store, monkeypatch, "CREATE INDEX")
    with in_use(postgres_dsn, f"{store.schema}.journal"):
        assert runner.rebuild("journal") == {"journal": True}
    assert bounds == ["0"] * sum(len(table.indexes) for table in Journal.tables)
    assert store.run("SHOW statement_timeout") == [("300ms",)]
    ends_a_reader(store)
    views.close()


def test_a_vacuum(bounded: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch):
    make_cast(bounded, actors=())
    store = PostgresStore(bounded)
    bounds = noting(store, monkeypatch, "VACUUM")
    with in_use(postgres_dsn, f"{store.schema}.content"):
        assert "recycled" in store.scrub("content")
    assert (bounds, store.run("SHOW statement_timeout")) == (["0"], [("300ms",)])
    ends_a_reader(store)
    store.close()


def test_a_vacuum_that_is_tried_again_after_its_connection_was_lost(
    bounded: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
):
    make_cast(bounded, actors=())
    store = PostgresStore(bounded)
    bounds = noting(store, monkeypatch, "VACUUM")
    with in_use(postgres_dsn, f"{store.schema}.content", cut=True):
        assert "recycled" in store.scrub("content")
    assert (bounds, store.run("SHOW statement_timeout")) == (["0", "0"], [("300ms",)])
    ends_a_reader(store)
    store.close()
