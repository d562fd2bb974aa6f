"""The yardstick may not be shorter than what it measures: same columns, same indexes, same durability."""

from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from benchmarks.baselines import COLUMNS, CONTENT, BarePostgres, BareRow, BareSqlite
from benchmarks.events import Author, Likeness
from benchmarks.floor import Floor
from benchmarks.stores import Place
from ledger.creation import create_ledger
from ledger.envelope import Envelope, format_envelope, parse_signatures
from ledger.recorders.postgres_url import split_schema
from tests import postgres_server
from tests.contract.support import ORIGIN

TABLES = ("entry", "content")
#: What decides how a commit costs and how much a page takes.
PRAGMAS = ("journal_mode", "synchronous", "page_size", "wal_autocheckpoint", "trusted_schema", "cell_size_check")
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_level")


def rows_like_a_ledger(url: str, amount: int) -> list[BareRow]:
    new = create_ledger(url, ORIGIN)
    for number in range(3):
        new.ledger.emit("external.observed", f"external:n{number}", system="s")
    rows = Likeness(new.ledger.recorder.rows(2, 3)).rows(amount)
    new.ledger.close()
    return rows


def sqlite_table(connection: apsw.Connection, table: str) -> tuple[Any, ...]:
    columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
    strict = connection.execute(f"SELECT strict, wr FROM pragma_table_list('{table}')").fetchall()
    indexes = sorted(
        (unique, origin, partial, tuple(connection.execute(f"PRAGMA index_xinfo({name})").fetchall()))
        for _, name, unique, origin, partial in connection.execute(f"PRAGMA index_list({table})").fetchall()
    )
    return columns, strict, indexes


def test_sqlite_tables_and_pragmas_are_the_products(tmp_path: Path):
    new = create_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", ORIGIN)
    bare = BareSqlite(tmp_path / "bare.db")
    product = apsw.Connection(str(tmp_path / "ledger.db"))
    for table in TABLES:
        assert sqlite_table(bare.connection, table) == sqlite_table(product, table)
    for pragma in PRAGMAS:
        ours = new.ledger.recorder.ask(f"PRAGMA {pragma}")
        assert bare.connection.execute(f"PRAGMA {pragma}").fetchall() == ours, pragma
    for connection in (bare, product, new.ledger):
        connection.close()


def postgres_table(connection: psycopg.Connection, schema: str, table: str) -> tuple[Any, ...]:
    name = (f"{schema}.{table}",)
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation, attstorage, attcompression "
        "FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        name,
    ).fetchall()
    indexes = connection.execute(
        "SELECT indisunique, indisprimary, indkey::text, indclass::text, indcollation::text, indoption::text, "
        "pg_get_expr(indpred, indrelid) FROM pg_index WHERE indrelid = %s::regclass",
        name,
    ).fetchall()
    table_itself = connection.execute(
        "SELECT relpersistence, reloptions, relkind FROM pg_class WHERE oid = %s::regclass", name
    ).fetchall()
    # Two indexes may have the same columns: only all that is compared tells them apart.
    return columns, sorted(indexes, key=repr), table_itself


def test_postgres_tables_and_settings_are_the_products(postgres_dsn: str, postgres_url: str):
    new = create_ledger(postgres_url, ORIGIN)
    schema = split_schema(postgres_url)[1]
    bare = BarePostgres(postgres_dsn, f"{schema}_bare")
    try:
        for table in TABLES:
            ours = postgres_table(bare.connection, schema, table)
            assert postgres_table(bare.connection, f"{schema}_bare", table) == ours
        for setting in SETTINGS:
            found = bare.connection.execute(f"SHOW {setting}".encode()).fetchall()
            assert found == new.ledger.recorder.ask(f"SHOW {setting}"), setting
    finally:
        bare.connection.execute(f"DROP SCHEMA {schema}_bare CASCADE".encode())
        bare.close()
        new.ledger.close()


def test_the_server_that_is_measured_keeps_its_files_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(postgres_server, "MEMORY", str(tmp_path))
    monkeypatch.setattr(postgres_server, "ENOUGH", 0)
    assert postgres_server.folder_of_data(on_disk=True) is None
    assert postgres_server.folder_of_data(on_disk=False) == str(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    dsn = "" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    made = Place(request.param, tmp_path, dsn, None)  # type: ignore[arg-type]  # nothing here is signed in quantity
    yield made
    made.close()


def test_what_is_stored_bare_is_what_was_prepared(place: Place, tmp_path: Path):
    rows = rows_like_a_ledger(f"sqlite:///{tmp_path / 'original.db'}", 5)
    bare = place.bare()
    for row in rows[:2]:
        bare.insert_one(bare.prepare_one(row))
    bare.insert_batch(bare.prepare_batch(rows[2:]))
    connection: Any = bare.connection  # type: ignore[attr-defined]
    schema = "" if place.backend == "sqlite" else f"{place.names[-1]}."
    for table, columns, part in (("entry", COLUMNS, 0), ("content", CONTENT, 1)):
        found = connection.execute(f"SELECT {', '.join(columns)} FROM {schema}{table} ORDER BY position").fetchall()
        assert [tuple(row) for row in found] == [row[part] for row in rows]
    bare.close()


def test_the_bare_writer_of_postgres_says_when_a_row_is_refused(postgres_dsn: str, tmp_path: Path):
    place = Place("postgres", tmp_path, postgres_dsn, None)  # type: ignore[arg-type]
    (row,) = rows_like_a_ledger(f"sqlite:///{tmp_path / 'original.db'}", 1)
    bare = place.bare()
    bare.insert_one(bare.prepare_one(row))
    with pytest.raises(RuntimeError, match="duplicate key"):
        bare.insert_one(bare.prepare_one(row))
    bare.close()
    place.close()


def test_the_floor_makes_what_a_ledger_would_accept(tmp_path: Path):
    new = create_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", ORIGIN)
    bare = BareSqlite(tmp_path / "bare.db")
    floor = Floor(bare, Author.of(new))
    made = [floor.emit() for _ in range(3)]
    for payload, signatures in made:
        new.ledger.append(format_envelope(Envelope(payload, parse_signatures(signatures))))
    stored = bare.connection.execute(f"SELECT {', '.join(COLUMNS)} FROM entry ORDER BY position").fetchall()
    ours = [new.ledger.recorder.columns_of(row) for row in new.ledger.recorder.rows(2, 3)]
    known = [
        COLUMNS.index(name) for name in ("stream", "type", "actor", "id", "emitter", "sequence", "keys", "payload")
    ]
    for mine, theirs in zip(stored, ours, strict=True):
        assert [mine[place] for place in known] == [theirs[place] for place in known]
    assert bare.connection.execute("SELECT payload, signatures FROM content ORDER BY position").fetchall() == made
    assert bare.connection.execute("SELECT size FROM head").fetchall() == [(3,)]
    bare.close()
    new.ledger.close()
