"""Views of a log in PostgreSQL: a schema of their own beside the log's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.recorders.postgres_store import PostgresStore
from projections.views.store import ViewStore

__all__ = ["PostgresViews"]

_SUFFIX = "_views"


class PostgresViews(ViewStore):
    """Views in one PostgreSQL schema.

    Args:
        url: the log's URL; the views' schema is the log's with ``_views`` behind it.
    """

    def __init__(self, url: str) -> None:
        self._schema = PostgresStore(url, _SUFFIX)
        super().__init__(self._schema)

    @property
    def place(self) -> str:
        """Server, database and schema; no secret is in it."""
        info = self._schema.connect().info
        return f"{info.host}:{info.port}/{info.dbname}/{self._schema.schema}"

    def made(self) -> bool:
        """See `ViewStore.made`."""
        return bool(self._schema.run("SELECT to_regnamespace(?) IS NOT NULL", (self._schema.schema,))[0][0])

    def may_keep(self) -> bool:
        """Whether this role may keep views here: the server takes writes, and log and views are its own."""
        schema = self._schema.schema
        sql = (
            "SELECT current_setting('transaction_read_only') = 'off' AND bool_and(pg_has_role(nspowner, 'USAGE')) "
            "FROM pg_namespace WHERE nspname IN (?, ?)"
        )
        return bool(self._schema.run(sql, (schema.removesuffix(_SUFFIX), schema))[0][0])

    def prepare(self) -> None:
        """See `ViewStore.prepare`."""
        with self._schema.writing():
            # Concurrent CREATE … IF NOT EXISTS still collide in the catalogue, so they take turns.
            self._schema.run("SELECT pg_advisory_xact_lock(?)", (_number(self._schema.schema),))
            self._schema.run(f"CREATE SCHEMA IF NOT EXISTS {self._schema.schema}")
            self._schema.run(
                'CREATE TABLE IF NOT EXISTS $position (name text COLLATE "C" PRIMARY KEY, size bigint NOT NULL, '
                "leaf_hash text NOT NULL, version integer NOT NULL)"
            )

    @contextmanager
    def lease(self, name: str) -> Iterator[None]:
        """See `ViewStore.lease`; a session lock, released by the server when the connection ends."""
        number = _number(f"{self._schema.schema}.{name}")
        self._schema.run("SELECT pg_advisory_lock(?)", (number,))
        try:
            yield
        finally:
            self._schema.run("SELECT pg_advisory_unlock(?)", (number,))

    def scrub(self) -> None:
        """See `ViewStore.scrub`; the file of a table that was dropped is gone with it."""

    def _at_length(self) -> None:
        self._schema.at_length()

    def _types(self) -> tuple[str, str]:
        return "bigint", 'text COLLATE "C"'

    def _existing(self) -> set[str]:
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ?"
        return {name for (name,) in self._schema.run(sql, (self._schema.schema,))}


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
