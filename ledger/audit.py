"""Verifying a log with several processes: each opens the store itself and checks stretches of it.

`segment.check_span` does the work in the workers, `verify.verify_log` joins what they find. Workers are fresh
processes (spawned, never forked), so no connection, lock or key of this one is shared with them.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ledger.errors import InputError, NothingToVerifyError
from ledger.findings import Anchor, LogVerification
from ledger.identity import Trust
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.segment import Segment, Span, Task, check_span
from ledger.verify import Since, verify_log

__all__ = ["available_cores", "verify_store"]

#: Below so many entries starting workers takes longer than they save.
SMALL_LOG = 10_000
_BATCH = 4  # stretches a worker checks at a time: about a tenth of a second
_COLLECT_AFTER = 20_000  # objects made: collecting each 700, as usual, takes a thirtieth of the time
_AHEAD = 3  # batches in hand or waiting, a worker


def available_cores() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_only(url: str) -> str:
    if not url.startswith("sqlite:"):
        return url  # there a snapshot is read-only
    path, _, query = url.partition("?")
    others = [part for part in query.split("&") if part and not part.startswith("mode=")]
    return f"{path}?{'&'.join([*others, 'mode=ro'])}"


class _Worker:
    """What one worker process holds."""

    recorder: SqlRecorder
    task: Task


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started inside never see an interrupt: it is the parent that ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(url: str, task: Task) -> None:
    """Make a worker of this process."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    _Worker.recorder, _Worker.task = open_recorder(url), task
    gc.freeze()  # what is loaded now stays: no collection need look at it again
    gc.set_threshold(_COLLECT_AFTER)


def _check(batch: Sequence[Span]) -> list[Segment]:
    """Check stretches, in a worker."""
    with _Worker.recorder.snapshot():
        return [check_span(_Worker.recorder, _Worker.task, span).without_events() for span in batch]


def _batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    spans = iter(spans)
    while batch := list(itertools.islice(spans, _BATCH)):
        yield batch


def _run(url: str, jobs: int, task: Task, spans: Iterable[Span]) -> Iterator[Segment]:
    """Check stretches in ``jobs`` processes; see `verify.Runner`."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(_read_only(url), task))
    waiting: deque[Future[list[Segment]]] = deque()
    batches = _batches(spans)
    try:
        while True:
            for batch in itertools.islice(batches, max(0, jobs * _AHEAD - len(waiting))):
                with _uninterrupted():
                    waiting.append(pool.submit(_check, batch))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise NothingToVerifyError(
            "a worker process ended before it had checked its part of the log: nothing is verified",
            hint="Was it killed, for example for want of memory? With one process: muniment verify log --jobs 1",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def verify_store(
    url: str,
    recorder: SqlRecorder,
    trust: Trust | None = None,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] | None = None,
    *,
    level: str = "full",
    since: Since | None = None,
    jobs: int | None = None,
) -> LogVerification:
    """Check a whole log with as many processes as make it faster; see `verify.verify_log`.

    A program that calls this with more than one job is started again in each worker, so its own work must stand under
    ``if __name__ == "__main__":``.

    Args:
        url: the store, for the workers.
        recorder: the same store, open.
        trust: pinned identity.
        anchors: heads that somebody outside the store vouches for.
        progress: called with (checked, total) now and then.
        level: see `verify.verify_log`.
        since: what was verified before.
        jobs: number of processes that check; None for all cores, and one for a small log.

    Returns:
        What was found; the same whatever the number of processes.

    Raises:
        InputError: there is no such level, or less than one job.
        NothingToVerifyError: the log is empty, or a worker ended early.
        StorageError: the store failed.
    """
    if jobs is not None and jobs < 1:
        raise InputError("a verification takes at least one process")
    if jobs is None:
        size = recorder.head().size - (0 if since is None else since.size)
        jobs = available_cores() if size >= SMALL_LOG else 1
    runner = None if jobs == 1 else lambda task, spans: _run(url, jobs, task, spans)
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER)
    try:
        found = verify_log(recorder, trust, anchors, progress, level=level, since=since, runner=runner)
    finally:
        gc.set_threshold(*thresholds)
    found.jobs = jobs
    return found
