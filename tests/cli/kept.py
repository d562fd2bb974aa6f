"""Ledgers on PostgreSQL that several tests begin with: each in a database, of which every test gets a copy."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql


class DatabasesKept:
    """Databases that were filled once, and their copies.

    Args:
        dsn: the URL of the server, for a role that may create databases.
        folder: where the files that belong to them are kept.
    """

    def __init__(self, dsn: str, folder: Path) -> None:
        self.folder = folder
        self._dsn = dsn
        self._kept: dict[str, str] = {}

    def url(self, name: str) -> str:
        """The URL of a ledger in a kept database, which is made when it is asked for first."""
        if name not in self._kept:
            self._kept[name] = f"kept_{uuid4().hex[:16]}"
            self._run("CREATE DATABASE {}", self._kept[name])
        return self._url(self._kept[name])

    def copy(self, name: str) -> str:
        """The URL of the ledger in a new copy of a kept database, which nobody may have open."""
        copy = f"test_{uuid4().hex[:16]}"
        self._run("CREATE DATABASE {} TEMPLATE {}", copy, self._kept[name])
        return self._url(copy)

    def drop_copy(self, url: str) -> None:
        """Drop a copy; it fails when the test left a transaction open."""
        name = urlsplit(url).path.removeprefix("/")
        with psycopg.connect(self._dsn, autocommit=True) as server:
            left = "SELECT query FROM pg_stat_activity WHERE datname = %s AND state LIKE 'idle in transaction%%'"
            found = server.execute(left, (name,)).fetchall()
        self._run("DROP DATABASE {} WITH (FORCE)", name)
        assert not found, f"the test left a transaction open: {found}"

    def drop(self) -> None:
        """Drop what is kept."""
        for name in self._kept.values():
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as server:
            server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _url(self, database: str) -> str:
        parts = urlsplit(self._dsn)._replace(path=f"/{database}")
        return f"{parts.geturl()}{'&' if parts.query else '?'}schema=ledger"
