"""Views of a log on the machine of somebody who may read the log and write nothing beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ledger.application import Ledger
from ledger.config import state_folder
from ledger.durable import make_folder
from ledger.errors import StorageError
from projections.views.sqlite import SqliteViews

__all__ = ["open_own_views"]


def open_own_views(ledger: Ledger, place: str) -> SqliteViews:
    """Views in a file of the user's state folder, made from the log alone, so that nobody else's rows are believed.

    Contents that are withheld are not in them: each time another one is gone from the store, the file is made anew.

    Args:
        ledger: the open log.
        place: names the store, of which there may be several copies; no secret is in it.

    Raises:
        StorageError: the folder cannot be made.
    """
    folder = state_folder() / "views" / ledger.ledgerid
    stem = hashlib.sha256(place.encode()).hexdigest()[:16]
    path = folder / f"{stem}.{_gone(ledger)}.db"
    try:
        make_folder(folder, 0o700)
        _remove_others(folder, stem, path.name)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}", hint="The state folder must be writable.") from error
    return SqliteViews(path)


def _gone(ledger: Ledger) -> str:
    """Names which contents are gone from the store."""
    indexes = sorted({index for index, _ in ledger.ledger_state().withheld})
    gone = [index for index in indexes for row in ledger.recorder.rows(index, 1) if row.payload is None]
    return hashlib.sha256(repr(gone).encode()).hexdigest()[:16]


def _remove_others(folder: Path, stem: str, name: str) -> None:
    """Remove views, of the same store, that may hold what is withheld by now."""
    for path in folder.glob(f"{stem}.*"):
        if not path.name.startswith(name):
            path.unlink(missing_ok=True)
