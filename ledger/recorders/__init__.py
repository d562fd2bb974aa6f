"""Where the log is stored: one recorder class a backend, the same behaviour on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from ledger.errors import ConfigurationError

if TYPE_CHECKING:
    from ledger.recorders.sql import SqlRecorder

__all__ = ["open_recorder", "sqlite_path"]

_HINT = "Use sqlite:///path/to/ledger.db or postgresql://…"


def sqlite_path(url: str) -> Path:
    """Path of a ``sqlite:///relative`` or ``sqlite:////absolute`` URL."""
    return Path(unquote(urlsplit(url).path)[1:] or ".")


def open_recorder(url: str, *, clock: Callable[[], int] | None = None) -> SqlRecorder:
    """Make the recorder of a URL; nothing is opened before it is used.

    Args:
        url: ``sqlite:///path[?mode=ro]`` or ``postgresql://…[?schema=name]``.
        clock: replaces the store's clock (microseconds since the Unix epoch).

    Raises:
        ConfigurationError: no backend has this scheme.
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        raise ConfigurationError(f"{url!r} is no URL of a store", hint=_HINT)
    if scheme == "sqlite":
        from ledger.recorders.sqlite import SqliteRecorder  # noqa: PLC0415 - a backend is loaded when it is used

        read_only = parse_qs(urlsplit(url).query).get("mode") == ["ro"]
        recorder: SqlRecorder = SqliteRecorder(sqlite_path(url), clock, read_only=read_only)
    elif scheme in ("postgresql", "postgres"):
        from ledger.recorders.postgres import PostgresRecorder  # noqa: PLC0415 - a backend is loaded when it is used

        recorder = PostgresRecorder(url, clock)
    else:
        raise ConfigurationError(f"{scheme!r} is no store Muniment knows", hint=_HINT)
    recorder.url = url
    return recorder
