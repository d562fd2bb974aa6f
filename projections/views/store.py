"""View tables in SQL, written once for both backends.

A view's rows and its position move in one transaction, and only from the position they were made for,
so that two runners can never apply a page twice. Everything here can be rebuilt from the log.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ledger.crashpoints import crashpoint
from ledger.recorders.sql import SqlStore
from ledger.stored import Fields
from projections.base import Projection, RowOf, Selection, Table

__all__ = ["REBUILD_SUFFIX", "Position", "ViewStore"]

#: Tables of a rebuild in progress end in this.
REBUILD_SUFFIX = "__new"
_OPERATORS = {"=", "<", "<=", ">", ">=", "IN"}
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Position:
    """How far a view is.

    Attributes:
        size: number of log entries applied.
        leaf_hash: leaf hash of the last of them, hex; it shows whether the log below is still the same.
        version: version of the projection that made the rows.
    """

    size: int
    leaf_hash: str
    version: int


class ViewStore(ABC):
    """All views of one log.

    Args:
        store: the connection.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    # -- what a backend supplies -------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Names where they are; no secret is in it."""

    @abstractmethod
    def made(self) -> bool:
        """Whether any are there, also such as this role may not see."""

    @abstractmethod
    def may_keep(self) -> bool:
        """Whether whoever opened them may write there."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the file or schema and the table of positions, if they are not there."""

    @abstractmethod
    def lease(self, name: str) -> AbstractContextManager[None]:
        """Be the only runner of a view, waiting for another one to finish."""

    @abstractmethod
    def _types(self) -> tuple[str, str]:
        """SQL types of numbers and texts."""

    @abstractmethod
    def _existing(self) -> set[str]:
        """Names of existing tables."""

    @abstractmethod
    def _at_length(self) -> None:
        """Let what follows in this transaction take as long as there are rows."""

    @abstractmethod
    def scrub(self) -> None:
        """Let no file of the views keep rows that were dropped.

        Raises:
            StorageError: others are reading them.
        """

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    # -- tables ------------------------------------------------------------------------------

    def _create(self, table: Table, suffix: str) -> None:
        number, text = self._types()
        columns = ", ".join(f"{c.name} {number if c.number else text} NOT NULL" for c in table.columns)
        key = ", ".join(c.name for c in table.columns[: table.unique])
        self._store.run(f"CREATE TABLE ${table.name}{suffix} ({columns}, PRIMARY KEY ({key}))")
        if not suffix:
            self._create_indexes(table)

    def _create_indexes(self, table: Table) -> None:
        for index in table.indexes:
            name = f"{table.name}_{'_'.join(index)}"
            self._store.run(f"CREATE INDEX {name} ON ${table.name} ({', '.join(index)})")

    def ensure(self, projection: Projection, suffix: str = "") -> None:
        """Make the tables of a projection if they are not there."""
        existing = self._existing()
        for table in projection.tables:
            if table.name + suffix not in existing:
                self._create(table, suffix)

    def drop(self, projection: Projection, suffix: str = "") -> None:
        """Drop the tables of a projection and forget its position."""
        existing = self._existing()
        with self._store.writing():
            for table in projection.tables:
                if table.name + suffix in existing:
                    self._store.run(f"DROP TABLE ${table.name}{suffix}")
            self._store.run("DELETE FROM $position WHERE name = ?", (projection.name + suffix,))

    def swap(self, projection: Projection) -> None:
        """Put the tables of a finished rebuild in place of the old ones, in one transaction."""
        existing = self._existing()
        with self._store.writing():
            self._at_length()  # for the indexes
            for table in projection.tables:
                if table.name in existing:
                    self._store.run(f"DROP TABLE ${table.name}")
                self._store.run(f"ALTER TABLE ${table.name}{REBUILD_SUFFIX} RENAME TO {table.name}")
                self._create_indexes(table)  # an index keeps its name when its table gets another, so it is made now
            self._store.run("DELETE FROM $position WHERE name = ?", (projection.name,))
            self._store.run(
                "UPDATE $position SET name = ? WHERE name = ?", (projection.name, projection.name + REBUILD_SUFFIX)
            )

    # -- positions and rows --------------------------------------------------------------------

    def position(self, projection: Projection, suffix: str = "") -> Position | None:
        """How far a view is, None when it was never filled."""
        found = self._store.run(
            "SELECT size, leaf_hash, version FROM $position WHERE name = ?", (projection.name + suffix,)
        )
        return Position(*found[0]) if found else None

    def apply(self, projection: Projection, rows: Iterable[RowOf], old: int, new: Position, suffix: str = "") -> bool:
        """Insert rows and move the position from ``old`` to ``new`` in one transaction.

        Returns:
            False when another runner moved it meanwhile; nothing is changed then.
        """
        by_table: dict[str, tuple[Table, list[Fields]]] = {}
        for table, row in rows:
            by_table.setdefault(table.name, (table, []))[1].append(row)
        name = projection.name + suffix
        with self._store.writing():
            found = self._store.run("SELECT size FROM $position WHERE name = ?", (name,))
            if (found[0][0] if found else 0) != old:
                return False
            for table, values in by_table.values():
                marks = ", ".join("?" for _ in table.columns)
                others = " ON CONFLICT DO NOTHING" if table.first else ""
                self._store.run_many(f"INSERT INTO ${table.name}{suffix} VALUES ({marks}){others}", values)  # noqa: S608
            self._store.run("DELETE FROM $position WHERE name = ?", (name,))
            self._store.run(
                "INSERT INTO $position (name, size, leaf_hash, version) VALUES (?, ?, ?, ?)",
                (name, new.size, new.leaf_hash, new.version),
            )
            crashpoint("view.before_commit")
        return True

    # -- reading -------------------------------------------------------------------------------

    def select(
        self, table: Table, where: Selection = (), *, limit: int | None = None, suffix: str = ""
    ) -> list[dict[str, Any]]:
        """See `ViewReader.select`."""
        conditions, parameters = ["1 = 1"], list[Any]()
        names = {column.name for column in table.columns}
        for column, operator, value in where:
            if column not in names or operator not in _OPERATORS:
                raise ValueError(f"no such condition on {table.name}: {column} {operator}")
            if operator == "IN":
                values = list(value)
                if not values:
                    return []
                conditions.append(f"{column} IN ({', '.join('?' for _ in values)})")
                parameters.extend(values)
            else:
                conditions.append(f"{column} {operator} ?")
                parameters.append(value)
        columns = ", ".join(column.name for column in table.columns)
        order = ", ".join(column.name for column in table.columns[: table.unique])
        sql = f"SELECT {columns} FROM ${table.name}{suffix} WHERE {' AND '.join(conditions)} ORDER BY {order}"  # noqa: S608
        if limit is not None:
            sql += " LIMIT ?"
            parameters.append(limit)
        keys = [column.name for column in table.columns]
        return [dict(zip(keys, fields, strict=True)) for fields in self._store.run(sql, tuple(parameters))]

    def _all(self, table: Table, suffix: str) -> Iterator[Fields]:
        """All rows in order of their unique columns; each page goes on behind the last row of the one before."""
        columns = ", ".join(column.name for column in table.columns)
        order = ", ".join(column.name for column in table.columns[: table.unique])
        behind = f"({order}) > ({', '.join('?' for _ in range(table.unique))})"
        last: Fields = ()
        while page := self._store.run(
            f"SELECT {columns} FROM ${table.name}{suffix} WHERE {behind if last else '1 = 1'} "  # noqa: S608
            f"ORDER BY {order} LIMIT {_PAGE}",
            last,
        ):
            yield from page
            last = tuple(page[-1][: table.unique])

    def digest(self, projection: Projection, suffix: str = "") -> str:
        """SHA-256 over all rows in order, the same on every backend."""
        total = hashlib.sha256()
        for table in projection.tables:
            total.update(table.name.encode() + b"\n")
            for fields in self._all(table, suffix):
                total.update(json.dumps(list(fields)).encode() + b"\n")
        return total.hexdigest()
