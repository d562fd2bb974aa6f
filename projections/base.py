"""What a projection is: tables that only ever grow, and a function from one judged event to their rows.

Rows are immutable and carry the log position they came from, so that an answer as of any size is a
filter and never depends on what came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ledger.replay import Judged

__all__ = ["Column", "Projection", "RowOf", "Selection", "Table", "ViewReader", "some_at_a_time"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``number`` columns are 64-bit integers, others are text."""

    name: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a view.

    Attributes:
        name: its name, with the projection's name in front.
        columns: one is ``position`` (leaf index + 1), the first one where nothing else identifies a row.
        unique: number of leading columns that identify a row.
        indexes: column lists to index.
        first: of several rows with the same leading columns the first one stays, and the others are left out.
    """

    name: str
    columns: tuple[Column, ...]
    unique: int = 1
    indexes: tuple[tuple[str, ...], ...] = ()
    first: bool = False


#: A row for a table.
RowOf = tuple[Table, tuple[Any, ...]]


class Projection(Protocol):
    """A named set of tables and how events fill them."""

    @property
    def name(self) -> str:
        """Its name, which its tables' names begin with."""

    @property
    def version(self) -> int:
        """Version of the rows it makes; another one rebuilds the view."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""

    def rows(self, judged: Judged) -> Iterable[RowOf]:
        """Rows of one event; events without rows still move the view's position on."""


#: (column, operator, value); operators are =, <, <=, >, >=, IN.
Selection = Sequence[tuple[str, str, Any]]


def some_at_a_time(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Values in lists that fit in one condition: stores limit the number of parameters."""
    wanted = list(values)
    for start in range(0, len(wanted), 500):
        yield wanted[start : start + 500]


class ViewReader(Protocol):
    """Reading rows of a view."""

    def select(self, table: Table, where: Selection = (), *, limit: int | None = None) -> list[dict[str, Any]]:
        """Rows in order of their unique columns, as dictionaries."""
