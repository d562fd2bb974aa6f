"""Processes that are forked warm, run one function of `children`, and may be killed or paused at any moment."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.faults import children

ROOT = Path(__file__).parents[2]
_context = multiprocessing.get_context("forkserver")


def _warm() -> None:
    """Start the process that forks the others; it has imported everything and opened nothing."""
    _context.set_forkserver_preload(["tests.faults.children"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class Child:
    """A process, and what it has said so far.

    Args:
        task: name of a function in `children`.
        arguments: handed to it.
        point: crash point to arm, ``NAME`` or ``NAME:N``.
        pause: stop at the crash point, until `resume`, instead of dying there.
    """

    def __init__(self, task: str, *arguments: Any, point: str | None = None, pause: bool = False) -> None:
        _warm()
        mine, theirs = multiprocessing.Pipe(duplex=False)
        self.said: list[tuple[Any, ...]] = []
        self._changed = threading.Condition()
        self.process = _context.Process(target=children.run, args=(task, theirs, point, pause, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self._reader = threading.Thread(target=self._listen, args=(mine,), daemon=True)
        self._reader.start()

    def _listen(self, pipe: Connection) -> None:
        with pipe:
            while True:
                try:
                    words = pipe.recv()
                except (EOFError, OSError):
                    break
                with self._changed:
                    self.said.append(words)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        """Everything said of one kind, without the kind."""
        with self._changed:
            return [words[1:] for words in self.said if words[0] == kind]

    def wait_for(self, kind: str, count: int = 1, timeout: float = 60) -> bool:
        """Wait until it has said so much, or has ended."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while sum(words[0] == kind for words in self.said) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    return False
                self._changed.wait(min(left, 0.2))
        return True

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stopped(self, timeout: float = 90) -> bool:
        """Wait until it is stopped; False when it ended instead."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                return False
            if state == "T":
                return True
            if state == "Z":
                return False
            time.sleep(0.002)
        return False

    def end(self, timeout: float = 120) -> int | None:
        """Wait for its end, and for everything it said.

        Returns:
            Its exit code, negative for a signal; None when it is still running.
        """
        self.process.join(timeout)
        if self.process.exitcode is not None:
            self._reader.join(timeout)
        return self.process.exitcode


@contextmanager
def child(task: str, *arguments: Any, point: str | None = None, pause: bool = False) -> Iterator[Child]:
    """A `Child` that does not outlive the block."""
    made = Child(task, *arguments, point=point, pause=pause)
    try:
        yield made
    finally:
        if made.process.exitcode is None:
            made.process.kill()
        made.end()
        made.process.close()
