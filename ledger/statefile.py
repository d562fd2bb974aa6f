"""Reading small files: those of the local trust state, and those that a user names.

A file that a verification rests on must be a plain file that nobody else can write.

"Not there" is the only answer that counts as nothing known yet. Whatever else is wrong, a link, a folder, a pipe,
another owner, a file that others may write, is damage: who can put a file there could also make it point elsewhere.
The same goes for the folders: who may write one can take away what is in it, and what is gone would be nothing known.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ledger.errors import InputError, TrustStateError

__all__ = ["MAX_STATE_FILE", "read_named_file", "read_state_file"]

#: Bytes of the largest file read; a signed note has at most 65,536.
MAX_STATE_FILE = 1_048_576


def _owners() -> set[int]:
    """Whose files may be believed: ours, root's, and those of the user behind a sudo."""
    owners = {os.geteuid(), 0}
    behind = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and behind.isascii() and behind.isdecimal():
        owners.add(int(behind))
    return owners


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise TrustStateError(f"{path} cannot be read: it is no plain file", hint="Put the file itself there.")
    if found.st_uid not in _owners():
        raise TrustStateError(
            f"{path} belongs to another user (uid {found.st_uid}), who decides what is in it",
            hint="Copy it from somewhere you trust into a file of your own.",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TrustStateError(
            f"{path} can be written by others (mode {mode:04o}), so what is in it rests on them",
            hint=f"Compare it with a copy you trust, then: chmod go-w {path}",
        )
    if found.st_size > MAX_STATE_FILE:
        raise TrustStateError(f"{path} has {found.st_size} bytes; such a file has at most {MAX_STATE_FILE}")


def _find_folder(folder: Path) -> os.stat_result | None:
    try:
        return folder.stat()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            raise TrustStateError(f"{folder} cannot be read: {error.strerror}") from error
        if folder.is_symlink():
            raise TrustStateError(
                f"{folder} points nowhere, so what this machine knows cannot be read",
                hint="Bring back what it pointed to; remove the link only to begin anew, knowing nothing.",
            ) from error
        return None


def _check_folder(folder: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in _owners():
        raise TrustStateError(
            f"the folder {folder} belongs to another user (uid {found.st_uid}), who decides what is in it",
            hint="Compare what is in it with a copy you trust, then make it yours: chown",
        )
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TrustStateError(
            f"others can add files to the folder {folder} and remove them (mode {mode:04o}), so what is in it, or is "
            "missing, rests on them",
            hint=f"Compare what is in it with a copy you trust, then: chmod go-w {folder}",
        )


def _check_folders(folder: Path, root: Path) -> None:
    """Check the folders from this one up to ``root``, and that none of them is missing behind a link to nowhere."""
    inside = True
    for place in (folder, *folder.parents):
        found = _find_folder(place)
        if inside and found is not None:
            _check_folder(place, found)
        inside = inside and place != root
        if found is not None and not inside:
            return


def read_state_file(path: Path, root: Path | None = None) -> bytes | None:
    """Read a file of the local trust state.

    Args:
        path: the file.
        root: where its absence says something: the folders from its own up to this one must be nobody else's either.

    Returns:
        Its bytes, or None when there is none.

    Raises:
        TrustStateError: there is something else, somebody else's, or something others can write.
    """
    if root is not None:
        _check_folders(path.parent, root)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise TrustStateError(f"{path} cannot be read: {why}", hint="Put the file itself there.") from error
    try:
        _check(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_STATE_FILE + 1)
    except OSError as error:
        raise TrustStateError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _open_waiting_for_nobody(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _is_handed_over(path: Path) -> bool:
    """Whether it is an open file of this process, as the shell makes one of ``<(command)``."""
    return path == Path("/dev/stdin") or path.parent == Path("/dev/fd")


def read_named_file(path: Path, limit: int) -> bytes:
    """Read a file that somebody named, which may come from anywhere: never more than it may have, and never a pipe.

    A pipe or a terminal would be waited for without end; ``/dev/stdin`` and ``/dev/fd/N`` alone may be one.

    Args:
        path: the file.
        limit: the most bytes that such a file has.

    Returns:
        Its bytes.

    Raises:
        InputError: it cannot be read, is no plain file, or is longer.
    """
    handed_over = _is_handed_over(path)
    try:
        with open(path, "rb", opener=None if handed_over else _open_waiting_for_nobody) as file:
            if not handed_over and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path} cannot be read: it is no plain file")
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InputError(f"{path} is too long: such a file has at most {limit} bytes")
    return data
