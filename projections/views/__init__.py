"""Where views are kept: beside the log, on either backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.recorders import sqlite_path

if TYPE_CHECKING:
    from projections.views.store import ViewStore

__all__ = ["open_views"]


def open_views(url: str) -> ViewStore:
    """Open the views beside the log of a URL; nothing is made before it is needed.

    SQLite keeps them in ``<log>.views.db``, PostgreSQL in the schema ``<schema>_views``.
    """
    if url.startswith("sqlite:"):
        from projections.views.sqlite import SqliteViews  # noqa: PLC0415 - a backend is loaded when it is used

        path = sqlite_path(url)
        return SqliteViews(path.with_name(path.stem + ".views.db"))
    from projections.views.postgres import PostgresViews  # noqa: PLC0415 - a backend is loaded when it is used

    return PostgresViews(url)
