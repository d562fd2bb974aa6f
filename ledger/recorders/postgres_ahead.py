"""Reading ahead from PostgreSQL: the server works on what comes next while one looks at what it sent.

The statements go down a connection of their own, as a pipeline, under the snapshot of the store's transaction: so the
store may be asked other things meanwhile, and all is of one moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import psycopg
from psycopg import sql

from ledger.recorders.postgres_errors import explain
from ledger.recorders.postgres_store import PostgresStore
from ledger.stored import Fields

__all__ = ["read_ahead"]

_AHEAD = 2  # statements that the server may be ahead: it works on one, and the answer to another is on its way


def read_ahead(store: PostgresStore, text: str, parameters: Iterable[Fields]) -> Iterator[list[Fields]]:
    """Run one portable statement for each tuple of parameters.

    Args:
        store: inside its `PostgresStore.reading`.
        text: a statement whose columns are text, bytes or integers.
        parameters: taken when needed.

    Yields:
        The rows of each statement, in order.

    Raises:
        StorageError: the server failed, or gives no second connection.
    """
    snapshot = store.run("SELECT pg_export_snapshot()")[0][0]
    try:
        with store.another() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            yield from _piped(connection, store.portable(text), parameters)
    except psycopg.Error as error:
        raise explain(error) from error


def _piped(connection: psycopg.Connection, text: bytes, parameters: Iterable[Fields]) -> Iterator[list[Fields]]:
    asked: deque[psycopg.Cursor] = deque()
    with connection.pipeline():
        for each in parameters:
            asked.append(connection.cursor(binary=True).execute(text, each))
            if len(asked) > _AHEAD:
                yield asked.popleft().fetchall()
        while asked:
            yield asked.popleft().fetchall()
