"""Files that a power cut leaves as they were or as they were meant to be, once the call that wrote them has returned.

A file's bytes last once the file was synced, its name once its folder was, and so on up to a folder that was there.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ledger.crashpoints import crashpoint

__all__ = ["make_folder", "sync_file", "sync_folder", "write_atomically", "write_new"]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a file last, which others wrote.

    Raises:
        OSError: it cannot be synced.
    """
    _sync(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last.

    Raises:
        OSError: it cannot be synced.
    """
    _sync(folder)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is.

    Args:
        folder: the folder.
        mode: of each one that is made.

    Raises:
        OSError: it cannot be made.
    """
    made = [missing for missing in (folder, *folder.parents) if not missing.exists()]
    for one in (*reversed(made), folder):
        one.mkdir(mode=mode, exist_ok=True)
    for missing in made:
        sync_folder(missing.parent)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file, so that a crash leaves the old or the new one, never half of either.

    Args:
        path: the file.
        data: its bytes.
        mode: its mode; a folder that is missing is made for its owner alone, as the file is, or for others too.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(path.parent, 0o777 if mode & 0o077 else 0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        crashpoint("file.written")
        os.chmod(name, mode)  # noqa: PTH101 - beside mkstemp and replace
        os.replace(name, path)  # noqa: PTH105
        crashpoint("file.renamed")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)  # a new name lasts only once its folder is written


def write_new(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read, in a folder that nobody else may enter, and replace none.

    Args:
        path: the file.
        data: its bytes.

    Raises:
        OSError: it is there, or cannot be written.
    """
    make_folder(path.parent, 0o700)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
