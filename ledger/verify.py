"""Checking a whole log from its stored bytes; nothing the store says of itself is believed.

One pass in log order: columns to entry bytes to leaf hash, the chain, tiles, the content's digests, header
against signed payload, signatures under keys valid at that index, legality, sequences, every signed head,
and last the heads that somebody outside the store vouches for.

What needs no other row is done by `segment.check_span`, here or elsewhere; `auditpass.Pass` joins the results in log
order, and `endcheck.finish` adds what can only be told at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ledger.auditpass import Pass
from ledger.endcheck import finish
from ledger.errors import InputError, NothingToVerifyError
from ledger.findings import Anchor, Finding, LogVerification
from ledger.identity import Trust
from ledger.segment import LEVELS, Segment, Span, Task, check_spans, spans
from ledger.since import ChangedError, Since
from ledger.stored import AuditReader
from ledger.verdicts import Fault

__all__ = ["Anchor", "Finding", "LogVerification", "Runner", "Since", "verify_log"]

_PAGE = 500

#: Checks stretches of the log, wherever, and yields what was found in the order given.
Runner = Callable[[Task, Iterable[Span]], Iterator[Segment]]


def _damaged(faults: Sequence[str], level: str, *, pinned: bool) -> LogVerification:
    """Tables that are not ours, or an index that disagrees with its table, make every reading doubtful."""
    report = LogVerification("", "", level=level, pinned=pinned)
    report.findings.extend(Finding(Fault.HEAD, None, f"the store itself is damaged: {words}") for words in faults)
    return report


def _feed(log: AuditReader, check: Pass, runner: Runner) -> Iterator[int]:
    """Feed every row; yields how far it is, stretch by stretch."""
    if check.start:
        for segment in runner(check.task(judged=True), spans(check.expected, check.start)):
            check.pass_over(segment)
            yield check.expected
        check.settle()
    for segment in runner(check.task(judged=False), spans(check.start, check.size)):
        check.take(segment)
        yield check.expected
    start = check.size
    while rows := log.rows(start, _PAGE):  # only when others are missing before
        for row in rows:
            check.check_row(row)
        start = rows[-1].entry.index + 1
        yield start


def verify_log(
    log: AuditReader,
    trust: Trust | None = None,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] | None = None,
    *,
    level: str = "full",
    since: Since | None = None,
    runner: Runner | None = None,
) -> LogVerification:
    """Check a whole log.

    Args:
        log: the store.
        trust: pinned identity, or None when none is known (the report then rests on entry 0 alone).
        anchors: heads that somebody outside the store vouches for, already authenticated.
        progress: called with (checked, total) now and then.
        level: ``full``; ``checkpoint`` for entries, tree and signed heads only; ``hash`` for everything against its
            hashes and nothing against a signature. `LogVerification.unchecked` says what is left out.
        since: what was verified before and is not judged again. If the store does not hold it any more, or anything is
            wrong behind it, everything is checked.
        runner: checks stretches of the log somewhere else; None for here.

    Returns:
        What was found; ask its ``ok``.

    Raises:
        InputError: there is no such level, or an earlier verification cannot stand in for part of it.
        NothingToVerifyError: the log is empty and no anchor says that it should not be.
        StorageError: the store failed.
    """
    if level not in LEVELS:
        raise InputError(f"{level!r} is no level of verification", hint=f"Levels are {', '.join(LEVELS)}.")
    if since is not None and level != "full":
        raise InputError("only a full verification goes on from an earlier one")

    def here(task: Task, wanted: Iterable[Span]) -> Iterator[Segment]:
        return check_spans(log, task, wanted)

    with log.snapshot():  # others may append meanwhile
        if since is not None and not since.again:
            resumed = _go_on(log, trust, anchors, since, runner=runner or here, progress=progress)
            if resumed is not None and resumed.ok:
                return resumed
        # What is wrong is said with everything in view.
        if broken := log.structure_faults():
            return _damaged(broken, level, pinned=trust is not None)
        check = Pass(log, anchors, level, None)
        found = _go_through(log, check, trust, runner or here, progress)
        if since is not None:
            check.check_kept(since)
        return found


def _go_on(
    log: AuditReader,
    trust: Trust | None,
    anchors: Sequence[Anchor],
    since: Since,
    *,
    runner: Runner,
    progress: Callable[[int, int], None] | None,
) -> LogVerification | None:
    """Go on from an earlier verification; None when the store does not hold what was verified then."""
    if log.structure_faults(deep=since.reread):
        return None
    try:
        return _go_through(log, Pass(log, anchors, "full", since), trust, runner, progress)
    except ChangedError:
        return None


def _go_through(
    log: AuditReader,
    check: Pass,
    trust: Trust | None,
    runner: Runner,
    progress: Callable[[int, int], None] | None,
) -> LogVerification:
    total = check.head.size
    if total == 0 and not check.size and not check.has_anchors:
        raise NothingToVerifyError("the log is empty: there is nothing to verify")
    for checked in _feed(log, check, runner):
        if progress is not None:
            progress(checked, total)
    finish(check, trust)
    return check.report
