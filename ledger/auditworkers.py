"""Processes that check stretches of a log: each opens the store itself, and none knows of the others.

A worker is a fresh interpreter (never forked), so no connection, lock or key of this process is shared with it. It
hangs on a pipe of its own: what a killed one leaves behind can hold up nobody, and its end is seen at once. It imports
what checking needs and nothing of the program that started it.
"""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe, wait

from ledger.errors import NothingToVerifyError
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.segment import Segment, Span, Task, check_span

__all__ = ["COLLECT_AFTER", "Workers", "work"]

#: Objects made before a garbage collection: one each 700, as usual, takes a thirtieth of the time.
COLLECT_AFTER = 20_000
_BATCH = 2  # stretches a worker checks at a time: less than a tenth of a second
_IN_HAND = 2  # batches of a worker: one to check, one waiting
_AHEAD = 8  # batches a worker may be ahead of what is joined, or of the others
_PATIENCE_SECONDS = 10.0

# A module's name on the command line would be looked for in the working folder.
_CODE = "import sys; sys.path[:] = {path!r}; from ledger.auditworkers import work; work({end})"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started inside never see an interrupt: it is the parent that ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        raise NothingToVerifyError(
            "a worker process ended before it had checked its part of the log: nothing is verified",
            hint="Was it killed, for example for want of memory? With one process: muniment verify log --jobs 1",
        ) from error


def _read_only(url: str) -> str:
    if not url.startswith("sqlite:"):
        return url  # there a snapshot is read-only
    path, _, query = url.partition("?")
    others = [part for part in query.split("&") if part and not part.startswith("mode=")]
    return f"{path}?{'&'.join([*others, 'mode=ro'])}"


def _check(recorder: SqlRecorder, task: Task, batch: Sequence[Span]) -> list[Segment] | Exception:
    try:
        with recorder.snapshot():
            return [check_span(recorder, task, span).without_events() for span in batch]
    except Exception as error:  # noqa: BLE001 - it is raised by whoever waits for the answer
        return error


def work(end: int) -> None:
    """Be a worker, until the parent has gone or wants no more.

    Args:
        end: descriptor of this end of the pipe. What comes is the store's URL first, then tasks and, to be checked by
            the last of them, batches of stretches; each batch is answered by its segments, or by why there are none.
    """
    with Connection(end) as pipe:
        try:
            recorder = open_recorder(_read_only(pipe.recv()))
            gc.freeze()  # what is loaded now stays: no collection need look at it again
            gc.set_threshold(COLLECT_AFTER)
            task = pipe.recv()
            while True:
                given = pipe.recv()
                if isinstance(given, Task):
                    task = given
                else:
                    pipe.send(_check(recorder, task, given))
        except (EOFError, OSError):
            return


def _batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    spans = iter(spans)
    while batch := list(itertools.islice(spans, _BATCH)):
        yield batch


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        self.waiting: list[int] = []  # numbers of the batches it has not answered, oldest first
        try:
            isolated = ["-I"] if sys.flags.isolated else []
            code = _CODE.format(path=sys.path, end=theirs.fileno())
            with _uninterrupted():
                self._process = subprocess.Popen(  # noqa: S603 - Python itself, and where its modules are
                    [sys.executable, *isolated, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
                )
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()  # or its end would not be seen

    def ask(self, number: int, batch: list[Span]) -> None:
        """Have stretches checked."""
        with _explained():
            self.pipe.send(batch)
        self.waiting.append(number)

    def answer(self) -> tuple[int, list[Segment]]:
        """Wait for the oldest answer."""
        with _explained():
            found = self.pipe.recv()
        number = self.waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return number, found

    def begin(self, task: Task) -> None:
        """Forget what was asked in an earlier run, and check by this task from now on."""
        while self.waiting:
            self.answer()
        with _explained():
            self.pipe.send(task)

    def end(self) -> None:
        """Wait until the process, whose pipe is closed, has ended."""
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Workers:
    """Processes that start now, and check what `run` is given.

    Args:
        url: the store.
        jobs: how many.

    Raises:
        NothingToVerifyError: one could not be started.
    """

    def __init__(self, url: str, jobs: int) -> None:
        self._workers: list[_Worker] = []
        try:
            with _explained():
                for _ in range(jobs):
                    self._workers.append(_Worker())
                for worker in self._workers:
                    worker.pipe.send(url)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End them; each ends by itself when it sees that its pipe is closed."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.end()

    def run(self, task: Task, spans: Iterable[Span]) -> Iterator[Segment]:
        """Check stretches; see `verify.Runner`.

        Raises:
            NothingToVerifyError: a worker ended early.
        """
        for worker in self._workers:
            worker.begin(task)
        batches = _batches(spans)
        asked = joined = 0
        found: dict[int, list[Segment]] = {}
        while True:
            while asked - joined < _AHEAD * len(self._workers):
                worker = min(self._workers, key=lambda each: len(each.waiting))
                if len(worker.waiting) == _IN_HAND or not (batch := next(batches, None)):
                    break
                worker.ask(asked, batch)
                asked += 1
            if joined == asked:
                return
            if joined in found:
                yield from found.pop(joined)
                joined += 1
            else:
                found.update(self._answers())

    def _answers(self) -> list[tuple[int, list[Segment]]]:
        """Wait until one of those who have something to do has done it; all who have are heard."""
        busy = [worker for worker in self._workers if worker.waiting]
        ready = wait([worker.pipe for worker in busy])
        return [worker.answer() for worker in busy if worker.pipe in ready]
