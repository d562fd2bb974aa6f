"""Signed heads published where the operator cannot silently change them: in a file, or in a git repository.

Only ever forward: what is there must be a head that the store extends, and a larger one or another history is refused.
Git is asked with settings of its own: no hooks, no configuration of the user or the machine, no questions.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ledger.checkpoint import Checkpoint, VerifyHead
from ledger.checkpoints import check_extends
from ledger.durable import write_atomically
from ledger.errors import InputError, LedgerError, StorageError, TrustStateError, VerificationError
from ledger.note import MAX_NOTE
from ledger.recorders.sql import SqlRecorder
from ledger.statefile import read_named_file

__all__ = ["KIND", "ContradictedError", "publish_head", "read_published"]

#: Kind of these attestations in the store.
KIND = "published"
#: Name of the file in a folder or repository.
CHECKPOINT_FILE = "checkpoint"

_MAX_COMMITS = 1000
_SECONDS = 60


class ContradictedError(VerificationError):
    """What is published contradicts the store.

    Args:
        message: what was found.
        note: the published head, verbatim.
    """

    def __init__(self, message: str, note: bytes) -> None:
        super().__init__(message, fault="anchor", hint="Keep both as they are and run: muniment verify log --anchor")
        self.note = note


def _git(folder: Path, *arguments: str, given: bytes = b"", seconds: float = _SECONDS) -> bytes:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {
        **kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
        "GIT_AUTHOR_NAME": "muniment", "GIT_AUTHOR_EMAIL": "muniment@localhost",
        "GIT_COMMITTER_NAME": "muniment", "GIT_COMMITTER_EMAIL": "muniment@localhost",
    }  # fmt: skip
    command = ["git", "-C", str(folder), "-c", f"core.hooksPath={os.devnull}", "-c", "commit.gpgsign=false"]
    command += ["-c", "core.fsmonitor=false"]
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            [*command, *arguments], env=environment, input=given, capture_output=True, timeout=seconds,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"git does not run in {folder}: {error}") from error
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise StorageError(f"git failed in {folder}: {words[-1][:300] if words else 'it said nothing'}")
    return done.stdout


def _is_repository(place: Path) -> bool:
    return place.is_dir() and ((place / ".git").exists() or (place / "HEAD").is_file())


def _read_file(path: Path) -> bytes | None:
    """The file, None when there is none.

    Raises:
        StorageError: it cannot be read, or is longer than any signed head.
    """
    if not (path.exists() or path.is_symlink()):
        return None
    try:
        return read_named_file(path, MAX_NOTE)
    except InputError as error:
        raise StorageError(error.message) from error


def _committed(place: Path, most: int = _MAX_COMMITS) -> list[bytes]:
    """The file in every commit that changed it, newest first; all of it in bounded time and memory."""
    deadline = time.monotonic() + _SECONDS
    try:
        _git(place, "rev-parse", "--verify", "--quiet", "HEAD")
    except StorageError:
        return []  # nothing is committed yet, or git itself fails, which the next call says

    def ask(*arguments: str, given: bytes = b"") -> bytes:
        return _git(place, *arguments, given=given, seconds=deadline - time.monotonic())

    listed = ask("log", f"--max-count={most}", "--format=%H", "--", CHECKPOINT_FILE).split()
    names = b"".join(b"%s:%s\n" % (commit, CHECKPOINT_FILE.encode()) for commit in listed)
    blobs = []
    for line in ask("cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)", given=names).splitlines():
        kind, _, rest = line.partition(b" ")
        size, _, blob = rest.partition(b" ")
        if line.endswith(b" missing"):  # this commit took the file away
            continue
        if kind != b"blob" or int(size) > MAX_NOTE:
            raise StorageError(f"a {CHECKPOINT_FILE} in {place} is too long, or no file: at most {MAX_NOTE} bytes")
        blobs.append((blob, int(size)))
    return _contents(ask("cat-file", "--batch=", given=b"".join(b"%s\n" % blob for blob, _ in blobs)), blobs)


def _contents(data: bytes, blobs: list[tuple[bytes, int]]) -> list[bytes]:
    """Cut what `git cat-file --batch=` wrote: an empty line, the object and a newline for each."""
    found, at = [], 0
    for _, size in blobs:
        found.append(data[at + 1 : at + 1 + size])
        at += size + 2
    return found


def read_published(place: Path, verify_head: VerifyHead) -> list[tuple[Checkpoint, bytes]]:
    """Read the heads published somewhere.

    Args:
        place: a file; a folder with a file ``checkpoint``, as `export tiles` makes one; or a git repository, of which
            the history of that file is read.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        Each head and its signed note.

    Raises:
        TrustStateError: there is none, or something else.
        AuthenticationError: one is not signed by this log.
        StorageError: it cannot be read.
    """
    if _is_repository(place):
        notes = _committed(place)
    else:
        note = _read_file(place / CHECKPOINT_FILE if place.is_dir() else place)
        notes = [] if note is None else [note]
    if not notes:
        raise TrustStateError(f"no head is published in {place}")
    try:
        return [(verify_head(note), note) for note in notes]
    except InputError as error:
        raise TrustStateError(f"what is published in {place} is no checkpoint: {error.message}") from error


def _check_forward(recorder: SqlRecorder, head: Checkpoint, note: bytes, verify_head: VerifyHead, place: Path) -> None:
    try:
        there = verify_head(note)
    except LedgerError as error:
        raise StorageError(
            f"{place} holds something else than a head of this log: {error.message}", hint="Publish somewhere else."
        ) from error
    try:
        check_extends(recorder, there)
    except VerificationError as error:
        raise ContradictedError(f"what {place} holds is not of this history: {error.message}", note) from error
    if there.size > head.size:
        raise StorageError(
            f"{place} holds a head of size {there.size} already, and this one is of size {head.size}",
            hint="Sign the present head first: muniment checkpoint show",
        )


def publish_head(recorder: SqlRecorder, note: bytes, place: Path, verify_head: VerifyHead) -> bool:
    """Publish a signed head; the same again changes nothing, and one that was cut off is gone on with.

    Args:
        recorder: the store.
        note: the head, with cosignatures when there are any.
        place: as `read_published` takes it; a file is made when it is missing.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        Whether anything was written.

    Raises:
        ContradictedError: another history is published there.
        StorageError: it cannot be written, holds something else, or a larger head.
    """
    head = verify_head(note)
    path = place / CHECKPOINT_FILE if place.is_dir() else place
    repository = _is_repository(place)
    committed = _committed(place, 1) if repository else []
    present = _read_file(path)
    for found in {*committed, *([] if present is None else [present])}:
        _check_forward(recorder, head, found, verify_head, place)
    changed = present != note
    try:
        if changed:
            write_atomically(path, note, mode=0o644)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    if repository and committed != [note]:
        _git(place, "add", "--", CHECKPOINT_FILE)
        _git(place, "commit", "--quiet", "-m", f"checkpoint {head.origin} {head.size}", "--", CHECKPOINT_FILE)
        changed = True
    recorder.add_attestation(head.size, KIND, str(place)[:4096], note)
    return changed
