"""Names and indexes out of a ledger, for a shell that completes a line: quick, and nothing on any trouble.

The file is read as it lies there: nothing is locked, written or waited for, so what was recorded this moment may be
missing. Nobody's decision rests on it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    import apsw

__all__ = ["candidates"]

_SECONDS: Final = 0.03
_LIMIT: Final = 100
_LAST: Final = 20
_STEPS: Final = 1000  # of SQLite's machine, between two looks at the clock

_SQL: Final = {
    "subject": "SELECT DISTINCT subject FROM entry WHERE stream >= ? AND stream < ? LIMIT ?",
    "actor": "SELECT DISTINCT stream FROM entry WHERE stream >= ? AND stream < ? LIMIT ?",
    "index": "SELECT position - 1 FROM entry ORDER BY position DESC LIMIT ?",
}
#: What names are made of; a store that was tampered with must not put anything else on a command line.
_NAME: Final = re.compile(r"[A-Za-z0-9._+:/@-]+")
_AFTER: Final = "\x7f"  # follows every character of a name


def candidates(ledger: str | None, kind: str, prefix: str) -> list[str]:
    """What a word may become.

    Args:
        ledger: ``--ledger`` as given before, None for the one that is found here.
        kind: ``subject``, ``actor`` or ``index``.
        prefix: what is typed already.
    """
    import apsw

    from ledger.config import settings_chain
    from ledger.errors import LedgerError
    from ledger.recorders import sqlite_path

    try:
        url = settings_chain(ledger).resolved("ledger")
        if url is None or not url.startswith("sqlite:"):
            return []
        path = str(sqlite_path(url))
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        # Immutable: a plain reader of a WAL file makes files beside it.
        connection = apsw.Connection(f"file:{quote(path)}?immutable=1", flags=flags)
        try:
            return _ask(connection, kind, prefix)
        finally:
            connection.close()
    except (LedgerError, OSError, ValueError, apsw.Error):
        return []


def _ask(connection: apsw.Connection, kind: str, prefix: str) -> list[str]:
    deadline = time.monotonic() + _SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    if kind == "index":
        found = [str(index) for (index,) in connection.execute(_SQL[kind], (_LAST,))]
        return [index for index in found if index.startswith(prefix)]
    start = "actor:" + prefix if kind == "actor" else prefix.partition("@")[0]
    names = [str(name) for (name,) in connection.execute(_SQL[kind], (start, start + _AFTER, _LIMIT))]
    if kind == "actor":
        names = [name.removeprefix("actor:") for name in names]
    return sorted(name for name in names if name.startswith(prefix) and _NAME.fullmatch(name))
