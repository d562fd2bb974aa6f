"""A process that has loaded all that is ours, and becomes a command by forking: the tests' quick `muniment`.

Loading takes ten times as long as what most commands do. A child of the server is a process of its own, with the
environment, working folder and streams of whoever called; only what Python and our modules do while they start is
shared. Where variables of Python's would change that, the installed command runs instead. The server ends with the
process that started it, and a child when its caller is killed.
"""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import inspect
import marshal
import os
import pkgutil
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn

from ledger import crashpoints
from ledger.events import all_event_types

SCRIPT = Path(sys.executable).with_name("muniment")
_running = ExitStack()


@cache
def quick_script() -> Path:
    """An executable that does as `SCRIPT` does, sooner; it is alone in its folder, which may be put on ``PATH``."""
    return _quick("muniment", SCRIPT)


@cache
def quick_python() -> Path:
    """An executable that does as ``python`` does with ``-c CODE …``, sooner when the code imports what is ours."""
    return _quick("python", Path(sys.executable))


def _quick(name: str, instead: Path) -> Path:
    folder = _server()
    quick = folder / name / name
    quick.parent.mkdir()
    client = [
        sys.executable,
        "-IS",
        str(Path(__file__).with_name("fork_client.py")),
        str(folder / "socket"),
        str(instead),
    ]
    quick.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, client))} "$@"\n')
    quick.chmod(0o700)
    return quick


@cache
def _server() -> Path:
    """The folder of the server, which is started when somebody wants it, and ended by `stop`."""
    folder = Path(_running.enter_context(TemporaryDirectory(prefix="muniment-fork-")))  # short: it holds a socket
    command = [sys.executable, "-P", __file__, str(folder / "socket")]
    pipe = subprocess.PIPE
    server = _running.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True))
    assert server.stdin is not None
    assert server.stdout is not None
    _running.callback(server.stdin.close)
    assert server.stdout.readline() == b"ready\n", "the server of the quick command did not start"
    return folder


def stop() -> None:
    """End the server, if there is one."""
    _running.close()
    for made in (quick_script, quick_python, _server):
        made.cache_clear()


def _load() -> None:
    """Import all that a command may import, also what it would import when it gets there."""
    for package in ("muniment", "ledger", "projections", "witness", "cli"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            source = inspect.getsource(importlib.import_module(module.name))
            for name in _imported(source):
                with suppress(ImportError):  # of an extra that is not here: the command says so
                    importlib.import_module(name)
    for kind in all_event_types():
        kind.body.model_rebuild()
    gc.collect()
    gc.freeze()  # the children share what is here as long as nobody writes to it


def _imported(source: str) -> Iterator[str]:
    """The modules of others that a source imports anywhere, in functions, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module


class _Order(NamedTuple):
    words: list[str]
    environment: dict[str, str]
    folder: str
    umask: int


class _Server:
    """Begins commands, tells how they ended, and kills those that nobody waits for any more."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._callers: dict[int, socket.socket] = {}

    def run(self) -> list[str] | None:
        """Serve until the process that started this one is gone; in a child, return the command's words."""
        while True:
            sources: list[Any] = [0, self._wake, self._listener, *self._callers.values()]
            ready, _, _ = select.select(sources, [], [])
            if 0 in ready:
                return None
            if self._wake in ready:
                os.read(self._wake, 1024)
                self._bury()
            for pid, caller in self._callers.items():
                if caller in ready:  # it has nothing to say: it is gone
                    os.kill(pid, signal.SIGKILL)
            if self._listener in ready and (words := self._begin()) is not None:
                return words

    def _bury(self) -> None:
        for pid in list(self._callers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                with self._callers.pop(pid) as caller:
                    _tell(caller, os.waitstatus_to_exitcode(status))

    def _begin(self) -> list[str] | None:
        caller, _ = self._listener.accept()
        streams, order = _hear(caller)
        alike = order is not None and _pythons(order.environment) == _pythons(os.environ)
        forked = os.fork() if alike else None
        if forked == 0 and order is not None:
            self._leave(caller)
            _become(order, streams)
            return order.words
        for stream in streams:
            os.close(stream)
        _tell(caller, forked or 0)
        if forked is None:
            caller.close()
        else:
            self._callers[forked] = caller
        return None

    def _leave(self, caller: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for thing in (caller, self._listener, *self._callers.values()):
            thing.close()
        for end in (self._wake, self._woken):
            os.close(end)


def _hear(caller: socket.socket) -> tuple[list[int], _Order | None]:
    size, streams, _, _ = socket.recv_fds(caller, 8, 3)
    with caller.makefile("rb") as file:
        text = file.read(int.from_bytes(size, "big"))
    try:
        return streams, _Order(*marshal.loads(text))  # noqa: S302 - from the client beside this file
    except (EOFError, TypeError, ValueError):
        return streams, None  # the caller was killed before it had said all


def _pythons(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def _tell(caller: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # whoever is gone need not be told
        caller.sendall(b"%d\n" % number)


def _become(order: _Order, streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order.environment)
    crashpoints._ARMED = crashpoints._armed()  # it is read when the module is loaded
    time.tzset()
    os.chdir(order.folder)
    os.umask(order.umask)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _end(words: list[str]) -> NoReturn:
    """Run a command and end as Python does, without taking every module apart: that takes longer than most commands."""
    code: object = None
    try:
        if words[0] == sys.executable:
            sys.argv = words[1:2] + words[3:]
            exec(words[2], {"__name__": "__main__"})  # noqa: S102 - of a test
        else:
            sys.argv = words
            importlib.import_module("cli.main").main()
    except SystemExit as end:
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]  # what Python calls first
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # type: ignore[arg-type]
    if code is None or isinstance(code, int):
        os._exit(code or 0)
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    _load()
    served = _Server(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if (asked := served.run()) is not None:
        _end(asked)
