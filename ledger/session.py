"""What a script needs: one import and one line."""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.errors import InputError
from ledger.home import Home
from ledger.newhome import create_home

__all__ = ["emit", "file_digest", "init", "open"]

_lock = threading.Lock()
_opened: dict[tuple[str | None, str | None, str], Ledger] = {}


def init(where: str | Path = ".", *, origin: str, name: str | None = None, keys: str | None = None) -> Home:
    """Create a ledger in ``where/.muniment``; see `newhome.create_home`.

    Args:
        where: existing folder.
        origin: name of the log.
        name: display name of the first admin.
        keys: folder for private keys, relative to ``.muniment``.

    Returns:
        The new ledger's home.
    """
    made = create_home(Path(where), origin, name=name, keys=None if keys is None else Path(keys))
    made.new.ledger.close()
    return made.home


def open(ledger: str | Path | None = None, *, actor: str | None = None, close_emitter: bool = False) -> Ledger:
    """Open a ledger for writing; use it in a ``with`` block, whose end signs the head.

    Args:
        ledger: URL or folder; found from the working folder upwards when None.
        actor: actor id to sign as; the settings' actor when None.
        close_emitter: say at the end which number was the last one (`Ledger.close_emitter`), so that a missing end
            shows: one event more, for programs that emit much.

    Raises:
        ConfigurationError: there is no ledger, actor or key.
    """
    opened = Home.find(None if ledger is None else str(ledger)).open(actor)
    opened.closes_emitter = close_emitter
    return opened


def emit(
    type: str,
    subject: str,
    data: Mapping[str, Any] | None = None,
    *,
    ledger: str | Path | None = None,
    actor: str | None = None,
    **fields: Any,
) -> Receipt:
    """Append one event to the ledger found from here upwards; durable when this returns.

    The ledger stays open for the next call and is closed, its head signed, when the program ends.

    Args:
        type: event type, for example ``dataset.registered``.
        subject: what it is about.
        data: body of the event.
        ledger: URL or folder of another ledger.
        actor: actor id to sign as.
        fields: more of the body, and the options of `Ledger.emit`.

    Returns:
        The receipt.
    """
    key = (None if ledger is None else str(ledger), actor, str(Path.cwd()))
    with _lock:
        if key not in _opened:
            if not _opened:
                atexit.register(_close_all)
            _opened[key] = open(ledger, actor=actor)
    return _opened[key].emit(type, subject, data, **fields)


def _close_all() -> None:
    with _lock:
        while _opened:
            _opened.popitem()[1].close()


def file_digest(path: str | Path) -> str:
    """The digest of a file's content, ``sha256:<hex>``.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
