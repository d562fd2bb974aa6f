"""Rebuilding views, beside a bare loop that reads the same rows, decodes the same JSON and inserts the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import apsw
import psycopg

from benchmarks.baselines import COLUMNS, CONTENT, SQLITE_PRAGMAS, copy_buffer
from benchmarks.events import governed
from benchmarks.results import at_least
from benchmarks.settings import Bench
from benchmarks.stores import Made, Place
from benchmarks.timing import alternate, paired, rate
from ledger.recorders import sqlite_path
from projections.base import Table, ViewReader
from projections.catalogue import PROJECTIONS, open_runner

_PAGE = 1_000
_TABLES = tuple(table for projection in PROJECTIONS for table in projection.tables)
_READ = (
    f"SELECT {', '.join(f'e.{name}' for name in COLUMNS)}, c.{', c.'.join(CONTENT[1:])} "
    "FROM {s}entry e JOIN {s}content c ON c.position = e.position "
    "WHERE e.position > {first} AND e.position <= {last} ORDER BY e.position"
)
#: Rows of each table, by page of the log.
Pages = list[dict[str, list[tuple[Any, ...]]]]


def _pages(views: ViewReader, size: int) -> Pages:
    pages: Pages = [{table.name: [] for table in _TABLES} for _ in range(0, size, _PAGE)]
    for table in _TABLES:
        for row in views.select(table):
            pages[(row["position"] - 1) // _PAGE][table.name].append(tuple(row.values()))
    return pages


def _definitions(number: str, text: str, prefix: str) -> tuple[list[str], list[str]]:
    """Tables, and their indexes, which are made when the tables are full, as the product does."""
    tables, indexes = [], []
    for table in _TABLES:
        columns = ", ".join(f"{column.name} {number if column.number else text} NOT NULL" for column in table.columns)
        key = ", ".join(column.name for column in table.columns[: table.unique])
        tables.append(f"CREATE TABLE {prefix}{table.name} ({columns}, PRIMARY KEY ({key}))")
        indexes += [f"CREATE INDEX ON {prefix}{table.name} ({', '.join(index)})" for index in table.indexes]
    return tables, indexes


def _on_sqlite(place: Place, made: Made, pages: Pages) -> Callable[[], None]:
    tables, indexes = _definitions("INTEGER", "TEXT", "")
    source = apsw.Connection(str(sqlite_path(made.url)), flags=apsw.SQLITE_OPEN_READONLY)

    def insert(table: Table) -> str:
        return f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})"

    def work() -> None:
        target = apsw.Connection(str(place.folder / f"{place.new_name()}.db"))
        for pragma in SQLITE_PRAGMAS:
            target.execute(f"PRAGMA {pragma}")
        for statement in tables:
            target.execute(statement)
        for number, page in enumerate(pages):
            first = number * _PAGE
            rows: list[Any] = source.execute(_READ.format(s="", first=first, last=first + _PAGE)).fetchall()
            assert all(json.loads(row[-2]) for row in rows)
            target.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                target.executemany(insert(table), page[table.name])
            target.execute("COMMIT")
        for number, statement in enumerate(indexes):
            target.execute(statement.replace("INDEX ON", f"INDEX i{number} ON"))
        target.close()

    return work


def _on_postgres(place: Place, made: Made, pages: Pages) -> Callable[[], None]:
    schema = made.url.rpartition("schema=")[2]
    buffers = [{table.name: copy_buffer(page[table.name]) for table in _TABLES if page[table.name]} for page in pages]

    def work() -> None:
        target = place.new_name()
        tables, indexes = _definitions("bigint", 'text COLLATE "C"', f"{target}.")
        with psycopg.connect(place.dsn, autocommit=True) as connection, connection.cursor(binary=True) as cursor:
            for statement in (f"CREATE SCHEMA {target}", *tables):
                connection.execute(statement.encode())
            for number, page in enumerate(buffers):
                first = number * _PAGE
                cursor.execute(_READ.format(s=f"{schema}.", first=first, last=first + _PAGE).encode())
                assert all(json.loads(row[-2]) for row in cursor.fetchall())
                with connection.transaction():
                    for name, buffer in page.items():
                        with cursor.copy(f"COPY {target}.{name} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                            copy.write(buffer)
            for statement in indexes:
                connection.execute(statement.encode())

    return work


def rebuild(bench: Bench) -> None:
    """All views, made anew in one pass and compared with the old ones."""
    size, place = bench.sizes.rebuilt, bench.place
    made = place.filled(size, governed)
    with made.open() as ledger:
        runner = open_runner(ledger, made.url)
        with closing(runner.views):
            runner.catch_up()
            pages = _pages(runner.views, size)
            bare = (_on_sqlite if place.backend == "sqlite" else _on_postgres)(place, made, pages)

            def ours() -> None:
                assert all(runner.rebuild().values()), "a view differs from the one that grew piece by piece"

            contestants: dict[str, Callable[[int], float]] = {
                "ours": lambda _: rate(ours, size), "bare": lambda _: rate(bare, size),
            }  # fmt: skip
            found = alternate(bench.sizes.rebuild_rounds, contestants)
    _add(bench, found["ours"], found["bare"], size)


def _add(bench: Bench, ours: Sequence[float], bare: Sequence[float], size: int) -> None:
    middle = sorted(ours)[len(ours) // 2], sorted(bare)[len(bare) // 2]
    bench.add(
        f"projection.rebuild.{size}", middle[0], "/s", baseline=middle[1], ratio=paired(ours, bare), goal=at_least(0.5),
        samples=len(ours), blocks=list(ours),
    )  # fmt: skip
