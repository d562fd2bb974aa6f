"""A disk that remembers what was written and what was made durable, and can be cut off at any moment.

A `Recording` is the list of what a program did to files. `Disk` replays it and builds what may be found after a power
cut: everything a successful sync covers, and of the rest whatever a `Variant` says, in sectors of 512 bytes. Names work
the same way: a file that was made, renamed or deleted is so for certain only after its folder was synced.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

SECTOR = 512


class Variant(Enum):
    """What became of writes that no sync covers."""

    DROPPED = "dropped"
    KEPT = "kept"
    TORN = "torn"  # all but the end of the last write
    MIXED = "mixed"  # any sector may be there or not


@dataclass(frozen=True)
class Op:
    """One step of the program.

    Attributes:
        kind: ``write``, ``truncate``, ``sync`` (a file), ``syncfailed``, ``create``, ``mkdir``, ``rename``, ``delete``,
            ``syncdir``, or ``ack`` (the program told somebody).
        path: the file or folder.
        offset: of a write; the size for ``truncate``.
        data: written bytes.
        other: the new name for ``rename``; what was told for ``ack``.
    """

    kind: str
    path: str = ""
    offset: int = 0
    data: bytes = b""
    other: Any = None


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def content(self, kept: Iterator[tuple[Op, list[bool] | None]]) -> bytes:
        """Durable bytes with some of the pending operations on top, each whole or only in some of its sectors."""
        image = bytearray(self.durable)
        for op, sectors in kept:
            if op.kind == "truncate":
                _resize(image, op.offset)
                continue
            for start, part in _pieces(op):
                if sectors is None or sectors[start // SECTOR - op.offset // SECTOR]:
                    if start > len(image):
                        _resize(image, start)
                    image[start : start + len(part)] = part
        return bytes(image)


def _resize(image: bytearray, size: int) -> None:
    if size < len(image):
        del image[size:]
    else:
        image.extend(bytes(size - len(image)))


def _pieces(op: Op) -> Iterator[tuple[int, bytes]]:
    """A write cut at the borders of sectors."""
    start, end = op.offset, op.offset + len(op.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield start, op.data[start - op.offset : stop - op.offset]
        start = stop


def _sectors(op: Op) -> int:
    return (op.offset + len(op.data) - 1) // SECTOR - op.offset // SECTOR + 1


class Disk:
    """Files and names below one folder.

    Args:
        start: what is there, all of it durable: path to content.
        ops: steps to take at once.
    """

    def __init__(self, start: dict[str, bytes], ops: Sequence[Op] = ()) -> None:
        self._live = {path: _File(bytearray(data)) for path, data in start.items()}
        self._durable: dict[str, _File] = dict(self._live)
        self._names: list[tuple[Op, _File | None]] = []
        self._last: tuple[_File, Op] | None = None
        for op in ops:
            self.apply(op)

    def apply(self, op: Op) -> None:
        """Take one step of the program."""
        match op.kind:
            case "create":
                self._live[op.path] = _File()
                self._names.append((op, self._live[op.path]))
            case "mkdir":
                self._names.append((op, None))
            case "delete":
                self._live.pop(op.path, None)
                self._names.append((op, None))
            case "rename":
                self._live[op.other] = self._live.pop(op.path)
                self._names.append((op, self._live[op.other]))
            case "write" | "truncate":
                file = self._live[op.path]
                file.pending.append(op)
                self._last = (file, op)
            case "sync":
                file = self._live[op.path]
                file.durable = bytearray(file.content((item, None) for item in file.pending))
                file.pending.clear()
            case "syncfailed":
                # What Linux does after an error: the pages count as written, so no later sync writes them.
                self._live[op.path].pending.clear()
            case "syncdir":
                self._sync_names(op.path)

    def _sync_names(self, folder: str) -> None:
        left = []
        for op, file in self._names:
            if str(PurePosixPath(op.path).parent) == folder:
                _take_name(self._durable, op, file)
            else:
                left.append((op, file))
        self._names = left

    @property
    def unsynced(self) -> tuple[int, int]:
        """Numbers of pending writes and names: both 0 means that every variant is the same."""
        return sum(len(file.pending) for file in self._live.values()), len(self._names)

    def cut(self, variant: Variant, chance: random.Random) -> dict[str, bytes]:
        """What is found after a power cut now: path to content; folders end in a slash."""
        names: dict[str, Any] = dict(self._durable)
        for op, file in self._names:
            keep = variant in {Variant.KEPT, Variant.TORN} or (variant is Variant.MIXED and chance.random() < 0.5)
            if keep:
                _take_name(names, op, file)
        return {
            path: b"" if file is None else file.content(self._survivors(file, variant, chance))
            for path, file in names.items()
        }

    def _survivors(
        self, file: _File, variant: Variant, chance: random.Random
    ) -> Iterator[tuple[Op, list[bool] | None]]:
        if variant is Variant.DROPPED:
            return
        for op in file.pending:
            if variant is Variant.TORN and self._last == (file, op) and op is file.pending[-1]:
                if op.kind == "write":
                    whole = chance.randrange(_sectors(op))
                    yield op, [number < whole for number in range(_sectors(op))]
            elif variant is Variant.MIXED:
                if op.kind == "write":
                    yield op, [chance.random() < 0.5 for _ in range(_sectors(op))]
                elif chance.random() < 0.5:
                    yield op, None
            else:
                yield op, None


def _take_name(names: dict[str, Any], op: Op, file: _File | None) -> None:
    match op.kind:
        case "create":
            names[op.path] = file
        case "mkdir":
            names[op.path + "/"] = None
        case "delete":
            names.pop(op.path, None)
        case "rename":
            names.pop(op.path, None)
            names[op.other] = file


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its absolute path; folders end in a slash."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        found[f"{path}/" if path.is_dir() else str(path)] = b"" if path.is_dir() else path.read_bytes()
    return found


def write_folder(files: dict[str, bytes], old: Path, new: Path) -> None:
    """Put files that were found below ``old`` below ``new``; a file whose folder is gone is gone too."""
    made = {new}
    for path in sorted(name for name in files if name.endswith("/")):
        target = new / Path(path).relative_to(old)
        if target.parent in made:
            target.mkdir(mode=0o700)
            made.add(target)
    for path, data in files.items():
        target = new / Path(path).relative_to(old)
        if not path.endswith("/") and target.parent in made:
            target.write_bytes(data)
            target.chmod(0o600)
