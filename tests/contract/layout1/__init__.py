"""Stores of layouts 1 to 3, made from their own statements: what a Muniment of before left behind."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import apsw
import psycopg

from ledger.recorders.postgres_url import split_schema
from tests.contract.support import raw

_FOLDER = Path(__file__).parent
_TABLES = ("entry", "content", "tile", "checkpoint", "tracking")


def make_layout_1(url: str, source: str, version: int = 1) -> None:
    """Make an empty store of layout 1, 2 or 3 at ``url`` and put the rows of a log into it."""
    steps = ("", "_2", "_3")[:version]
    if url.startswith("sqlite:"):
        store = apsw.Connection(unquote(urlsplit(url).path)[1:])
        store.execute("PRAGMA journal_mode = WAL")
        for step in steps:
            store.execute((_FOLDER / f"sqlite{step}.sql").read_text())
        store.close()
    else:
        dsn, schema = split_schema(url)
        with psycopg.connect(dsn, autocommit=True) as connection:
            for step in steps:
                ddl = (_FOLDER / f"postgres{step}.sql").read_text().replace("LAYOUT1", schema)
                connection.execute(ddl.encode())
    with raw(source) as old, raw(url) as new:
        ((ledgerid, origin),) = old.run("SELECT ledgerid, origin FROM $log")
        new.run("INSERT INTO $log VALUES (1, ?, ?, ?)", (ledgerid, origin, version))
        (head,) = old.run("SELECT * FROM $head")
        new.run("INSERT INTO $head VALUES (?, ?, ?, ?, ?, ?)", head)
        for table in _TABLES:
            for row in old.run(f"SELECT * FROM ${table}"):
                new.run(f"INSERT INTO ${table} VALUES ({', '.join('?' for _ in row)})", row)
        if version >= 3:
            signed = old.run("SELECT size, root FROM $signed_head")[0]
            new.run("UPDATE $signed_head SET size = ?, root = ? WHERE id = 1", signed)
