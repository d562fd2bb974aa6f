"""Verifying a log with several processes: each opens the store itself and checks stretches of it.

`segment.check_span` does the work in the workers (`auditworkers`), `verify.verify_log` joins what they find.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext

from ledger.auditworkers import COLLECT_AFTER, Workers
from ledger.errors import InputError
from ledger.findings import Anchor, LogVerification
from ledger.identity import Trust
from ledger.recorders.sql import SqlRecorder
from ledger.verify import Since, verify_log

__all__ = ["available_cores", "verify_store"]

#: Below so many entries starting workers takes longer than they save.
SMALL_LOG = 10_000


def available_cores() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    thresholds = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER)
    try:
        # They start while this process asks the store about order and numbers.
        with nullcontext() if jobs == 1 else closing(Workers(url, jobs)) as workers:
            runner = None if workers is None else workers.run
            found = verify_log(recorder, trust, anchors, progress, level=level, since=since, runner=runner)
    finally:
        gc.set_threshold(*thresholds)
    found.jobs = jobs
    return found
