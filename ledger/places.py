"""Places where signed heads are published: a file, a git repository, or an object store.

Each is asked the same: which heads it holds, which of them the next one must extend, and to take the next one.
A git repository may come from anybody, its settings with it. So git is asked with settings of ours, and by commands
alone that run nothing a repository names: no hook, filter, signature program, pager or remote.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.crashpoints import crashpoint
from ledger.durable import write_atomically
from ledger.errors import InputError, StorageError
from ledger.note import MAX_NOTE, parse_note
from ledger.objectstore import Bucket, Stored, check_object_url, is_url
from ledger.statefile import read_named_file

__all__ = ["CHECKPOINT_FILE", "MovedError", "Place", "open_place"]

#: Name of the file in a folder or repository, and of the object with the last head.
CHECKPOINT_FILE = "checkpoint"
#: Objects with every head ever published, named by their sizes so that they sort.
KEPT = "checkpoints"

_MAX_COMMITS = 1000
_MAX_KEPT = 1000
_SECONDS = 60
_KEPT_NAME = re.compile(rf"{KEPT}/(\d{{20}})", re.ASCII)


class MovedError(Exception):
    """Somebody else published there since `Place.last`: look again."""


class Place(ABC):
    """A place where heads are published.

    Attributes:
        name: what it is called in messages and in the store.
    """

    name: str

    @abstractmethod
    def read(self) -> tuple[list[bytes], bool]:
        """All heads that are published, newest first, and whether there are more than are read.

        Raises:
            InputError: something else is there.
            StorageError: they cannot be read.
        """

    @abstractmethod
    def last(self) -> list[bytes]:
        """The heads that the next one must extend.

        Raises:
            InputError: something else is there.
            StorageError: they cannot be read.
        """

    @abstractmethod
    def put(self, head: Checkpoint, note: bytes) -> bool:
        """Publish a head that extends all that `last` gave; what was cut off is gone on with.

        Args:
            head: the head.
            note: the same, signed.

        Returns:
            Whether anything was written.

        Raises:
            MovedError: somebody else was faster.
            StorageError: it cannot be written.
        """


def open_place(place: str) -> Place:
    """Find out what a place is.

    Args:
        place: a file; a folder with a file ``checkpoint``, as `export tiles` makes one; a git repository, of which the
            history of that file is read; or the URL of a place in an object store.

    Raises:
        InputError: it is the URL of something else.
        ConfigurationError: the object store cannot be spoken with.
    """
    if is_url(place):
        return _Objects(check_object_url(place))
    path = Path(place).resolve()
    return _Repository(path) if _is_repository(path) else _File(path)


def _git(folder: Path, *arguments: str, given: bytes = b"", seconds: float = _SECONDS) -> bytes:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {
        **kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
        "GIT_AUTHOR_NAME": "muniment", "GIT_AUTHOR_EMAIL": "muniment@localhost",
        "GIT_COMMITTER_NAME": "muniment", "GIT_COMMITTER_EMAIL": "muniment@localhost",
        # What a partial clone left out is not fetched: the repository names the program that would serve it.
        "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
        # This folder, whatever core.worktree or a repository around it says.
        "GIT_WORK_TREE": str(folder), "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }  # fmt: skip
    command = ["git", "--no-pager", "-C", str(folder)]
    command += ["-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false"]
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

    # Not `log`, which runs what is to check signatures; --objects fails where a file is not here but elsewhere.
    walked = ask("rev-list", f"--max-count={most}", "--objects", "HEAD", "--", CHECKPOINT_FILE).splitlines()
    listed = [line for line in walked if b" " not in line]  # a commit; other objects have a path behind them
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


def _commit(place: Path, note: bytes, message: str) -> None:
    """Commit the last commit's files with this one, and no other change; `add` and `commit` would run filters."""
    try:
        parent = _git(place, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except StorageError:
        parent = ""  # the first commit
    blob = _git(place, "hash-object", "-w", "--no-filters", "--stdin", given=note).decode().strip()
    entries = _git(place, "ls-tree", "-z", "--full-tree", parent).split(b"\0")[:-1] if parent else []
    others = [entry for entry in entries if entry.partition(b"\t")[2] != CHECKPOINT_FILE.encode()]
    new = b"100644 blob %s\t%s" % (blob.encode(), CHECKPOINT_FILE.encode())
    tree = _git(place, "mktree", "-z", "--missing", given=b"".join(b"%s\0" % entry for entry in [*others, new]))
    parents = ("-p", parent) if parent else ()
    commit = _git(place, "commit-tree", tree.decode().strip(), *parents, "-m", message).decode().strip()
    _git(place, "update-index", "--add", "--cacheinfo", f"100644,{blob},{CHECKPOINT_FILE}")
    _git(place, "update-ref", "-m", message, "HEAD", commit, parent)


def _contents(data: bytes, blobs: list[tuple[bytes, int]]) -> list[bytes]:
    """Cut what `git cat-file --batch=` wrote: an empty line, the object and a newline for each."""
    found, at = [], 0
    for _, size in blobs:
        found.append(data[at + 1 : at + 1 + size])
        at += size + 2
    return found


class _File(Place):
    """A file, or one in a folder."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path / CHECKPOINT_FILE if path.is_dir() else path

    def read(self) -> tuple[list[bytes], bool]:
        return self.last(), False

    def last(self) -> list[bytes]:
        note = _read_file(self._path)
        return [] if note is None else [note]

    def put(self, head: Checkpoint, note: bytes) -> bool:
        del head
        if _read_file(self._path) == note:
            return False
        try:
            write_atomically(self._path, note, mode=0o644)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from error
        return True


class _Repository(Place):
    """A git repository, in which every head is a commit."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path, self._file = path, _File(path)

    def read(self) -> tuple[list[bytes], bool]:
        notes = _committed(self._path, _MAX_COMMITS + 1)
        return notes[:_MAX_COMMITS], len(notes) > _MAX_COMMITS

    def last(self) -> list[bytes]:
        return [*_committed(self._path, 1), *self._file.last()]

    def put(self, head: Checkpoint, note: bytes) -> bool:
        written = self._file.put(head, note)
        if _committed(self._path, 1) == [note]:
            return written
        _commit(self._path, note, f"checkpoint {head.origin} {head.size}")
        return True


class _Objects(Place):
    """An object with the last head, and one for every head, which is made once and never replaced."""

    def __init__(self, url: str) -> None:
        self.name = url
        self._bucket = Bucket(url)
        self._present: Stored | None = None
        self._looked_at: set[int] = set()

    def _kept(self, start: int) -> tuple[list[int], bool]:
        """Sizes of the first heads of a size of at least this one, and whether there are more."""
        names, more = self._bucket.names(KEPT, f"{KEPT}/{start - 1:020d}" if start > 0 else None, _MAX_KEPT)
        found = [_KEPT_NAME.fullmatch(name) for name in names]
        if None in found:
            raise InputError(f"{ascii(names[found.index(None)])[:100]} is no name of a head")
        return sorted(int(match[1]) for match in found if match), more

    def _newest(self, top: int) -> tuple[list[int], bool]:
        """Sizes of all heads; of too many, those of the longest stretch that ends with the newest one and is not."""
        found, more = self._kept(0)
        window = _MAX_KEPT
        while more:
            stretch, over = self._kept(max(0, top + 1 - window))
            if over:
                break
            found, window = stretch, window * 2
            if window > 2 * top:
                break
        return found, more

    def _notes(self, sizes: list[int]) -> list[bytes]:
        notes = self._bucket.read_all([f"{KEPT}/{size:020d}" for size in sizes], MAX_NOTE)
        for size, note in zip(sizes, notes, strict=True):
            if parse_checkpoint(parse_note(note).text).size != size:
                raise InputError(f"what is kept as the head of size {size} is about another size")
        return notes

    def _look(self) -> int:
        """Read the object with the last head; returns the size that it claims."""
        self._present = self._bucket.read(CHECKPOINT_FILE, MAX_NOTE)
        return 0 if self._present is None else parse_checkpoint(parse_note(self._present.data).text).size

    def _and_present(self, notes: list[bytes]) -> list[bytes]:
        return notes if self._present is None or self._present.data in notes else [self._present.data, *notes]

    def read(self) -> tuple[list[bytes], bool]:
        sizes, more = self._newest(self._look())
        return self._and_present(self._notes(sizes)[::-1]), more

    def last(self) -> list[bytes]:
        sizes, more = self._kept(self._look())
        if more:
            raise StorageError(
                f"{self.name} holds more than {_MAX_KEPT} heads behind the last one",
                hint=f"Put the newest of {KEPT}/ back as {CHECKPOINT_FILE}, or publish somewhere else.",
            )
        self._looked_at = set(sizes)
        return self._and_present(self._notes(sizes))

    def put(self, head: Checkpoint, note: bytes) -> bool:
        written = False
        if head.size not in self._looked_at:
            self._keep(f"{KEPT}/{head.size:020d}", note)
            written = True
        crashpoint("publish.kept")
        if self._present is not None and self._present.data == note:
            return written
        if not (
            self._bucket.create(CHECKPOINT_FILE, note)
            if self._present is None
            else self._bucket.replace(CHECKPOINT_FILE, note, self._present)
        ):
            raise MovedError
        return True

    def _keep(self, name: str, note: bytes) -> None:
        if not self._bucket.create(name, note):
            raise MovedError
        if self._bucket.create(name, note):
            raise StorageError(
                f"{self.name} lets objects be replaced that must not be: it ignores If-None-Match",
                hint="Nothing there is protected from two publishers: publish in a store with conditional writes.",
            )
