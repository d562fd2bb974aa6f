"""Eyes and hands between the program and its files: what SQLite and Python do to a folder is recorded, or made to fail.

SQLite is reached through an apsw VFS that becomes the default one, so that the product's code is the one that ships;
the sync of a folder, which SQLite does inside, through its table of system calls. Python's own files are seen where
they are synced, renamed, made or removed: a file's bytes count as written when that happens, which is exact for a
writer that syncs before it renames and pessimistic for none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from tests.faults.disk import Op

_BASE = "unix"
_OPEN_FOLDER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int))
_PWRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, use_errno=True)


class Recorder:
    """What was done to the files below a folder, in order.

    Args:
        folder: other files are not looked at; shared memory (``-shm``) and locks do not survive a power cut anyway.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.ops: list[Op] = []
        self.lock = threading.RLock()
        self._known = {str(path) for path in folder.rglob("*")}

    def wants(self, path: str | None) -> bool:
        return (
            path is not None and path.startswith(self.folder + "/") and not path.endswith(("-shm", ".lock", ".lease"))
        )

    def note(self, op: Op) -> None:
        with self.lock:
            self.ops.append(op)
            if op.kind == "create":
                self._known.add(op.path)

    def is_new(self, path: str) -> bool:
        """Whether a file is not there, or was made in a way that nobody saw, as an empty one may be."""
        return not Path(path).exists() or path not in self._known

    def ack(self, what: Any) -> None:
        """The program tells somebody."""
        self.note(Op("ack", other=what))


class Trouble:
    """Makes the n-th call of a kind fail.

    Args:
        nth: which one, from 1; 0 for none.
        error: errno of it.
        lasting: whether all later ones fail as well, as on a full disk.
    """

    def __init__(self, nth: int, error: int = errno.EIO, *, lasting: bool = False) -> None:
        self.nth, self.error, self.lasting = nth, error, lasting
        self.seen = self.raised = 0

    def meet(self) -> bool:
        """Count a call; True when it must fail."""
        if self.nth == 0:
            return False
        self.seen += 1
        fails = self.seen == self.nth or (self.lasting and self.seen > self.nth)
        self.raised += fails
        return fails


class _File(apsw.VFSFile):
    def __init__(self, vfs: _Vfs, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._recorder = vfs.recorder if vfs.recorder is not None and vfs.recorder.wants(path) else None
        self._trouble = vfs.trouble
        self._path = path
        new = self._recorder is not None and self._recorder.is_new(path)
        super().__init__(_BASE, name, flags)
        if new and self._recorder is not None:
            self._recorder.note(Op("create", path))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's names
        super().xWrite(data, offset)
        if self._recorder is not None:
            self._recorder.note(Op("write", self._path, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        if self._recorder is not None:
            self._recorder.note(Op("truncate", self._path, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._trouble is not None and self._trouble.meet():
            if self._recorder is not None:
                self._recorder.note(Op("syncfailed", self._path))
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)
        if self._recorder is not None:
            self._recorder.note(Op("sync", self._path))


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder | None, trouble: Trouble | None) -> None:
        self.recorder, self.trouble = recorder, trouble
        super().__init__("muniment-faults", _BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_folder)
        if self.recorder is not None and self.recorder.wants(name):
            self.recorder.note(Op("delete", name))
            if sync_folder:
                self.recorder.note(Op("syncdir", str(Path(name).parent)))


@contextmanager
def _folders_seen(vfs: _Vfs, recorder: Recorder) -> Iterator[None]:
    address = vfs.xGetSystemCall("openDirectory")
    assert address is not None
    original = _OPEN_FOLDER(address)

    def noted(name: bytes, descriptor: Any) -> int:
        recorder.note(Op("syncdir", str(Path(os.fsdecode(name)).parent)))
        return original(name, descriptor)

    replacement = _OPEN_FOLDER(noted)
    vfs.xSetSystemCall("openDirectory", ctypes.cast(replacement, ctypes.c_void_p).value or 0)
    try:
        yield
    finally:
        vfs.xSetSystemCall("openDirectory", address)


@contextmanager
def _python_seen(recorder: Recorder) -> Iterator[None]:
    """See what Python does to files by itself."""
    known: set[str] = set()
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "mkdir", "unlink", "remove")}

    def written(path: str) -> None:
        if path not in known and path not in seen_by_sqlite():
            recorder.note(Op("create", path))
            known.add(path)
        data = Path(path).read_bytes()
        recorder.note(Op("truncate", path, 0))
        recorder.note(Op("write", path, 0, data))

    def seen_by_sqlite() -> set[str]:
        return {op.path for op in recorder.ops if op.kind == "create"}

    synced: set[str] = set()

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if Path(path).is_dir() and (path == recorder.folder or recorder.wants(path)):
            recorder.note(Op("syncdir", path))
        elif recorder.wants(path):
            written(path)
            recorder.note(Op("sync", path))
            synced.add(path)

    def moved(name: str) -> Callable[..., None]:
        def move(source: Any, target: Any, **options: Any) -> None:
            if recorder.wants(str(source)) and str(source) not in synced:
                written(str(source))
            real[name](source, target, **options)
            if recorder.wants(str(source)):
                recorder.note(Op("rename", str(source), other=str(target)))
                synced.discard(str(source))
                known.discard(str(source))
                known.add(str(target))

        return move

    def mkdir(path: Any, *rest: Any, **options: Any) -> None:
        real["mkdir"](path, *rest, **options)
        if recorder.wants(str(path)):
            recorder.note(Op("mkdir", str(path)))

    def removed(name: str) -> Callable[..., None]:
        def remove(path: Any, **options: Any) -> None:
            real[name](path, **options)
            if recorder.wants(str(path)) and str(path) in known:
                recorder.note(Op("delete", str(path)))
                known.discard(str(path))

        return remove

    changed: dict[str, Any] = {
        "fsync": fsync, "replace": moved("replace"), "rename": moved("rename"), "mkdir": mkdir,
        "unlink": removed("unlink"), "remove": removed("remove"),
    }  # fmt: skip
    for name, function in changed.items():
        setattr(os, name, function)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


@contextmanager
def recording(folder: Path, trouble: Trouble | None = None) -> Iterator[Recorder]:
    """Record what happens below a folder; every SQLite connection there must be opened and closed inside.

    Args:
        folder: files elsewhere are not looked at.
        trouble: what SQLite's syncs meet meanwhile.
    """
    recorder = Recorder(folder)
    vfs = _Vfs(recorder, trouble)
    try:
        with _folders_seen(vfs, recorder), _python_seen(recorder):
            yield recorder
    finally:
        vfs.unregister()


@contextmanager
def failing_writes(trouble: Trouble) -> Iterator[Trouble]:
    """Let SQLite's own system calls for writing and truncating meet trouble, below everything of apsw."""
    vfs = apsw.VFS("muniment-calls", _BASE)
    kept: list[Any] = []  # what C calls must not be collected
    before: dict[str, int] = {}

    def wrapped(kind: Any, address: int) -> Any:
        original = kind(address)

        def call(*arguments: Any) -> int:
            if trouble.meet():
                ctypes.set_errno(trouble.error)
                return -1
            return original(*arguments)

        return kind(call)

    for name, kind in (("pwrite", _PWRITE), ("pwrite64", _PWRITE), ("ftruncate", _TRUNCATE)):
        address = vfs.xGetSystemCall(name)
        if address:  # a build has one of the two kinds of pwrite
            before[name] = address
            kept.append(wrapped(kind, address))
            vfs.xSetSystemCall(name, ctypes.cast(kept[-1], ctypes.c_void_p).value or 0)
    try:
        yield trouble
    finally:
        for name, address in before.items():
            vfs.xSetSystemCall(name, address)
        vfs.unregister()
