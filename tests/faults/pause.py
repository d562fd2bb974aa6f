"""Two processes at one store, one of them stopped in the middle of what it does for longer than anybody waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.errors import VerificationError
from ledger.merkle import prove_consistency
from ledger.merkleproof import verify_consistency
from ledger.recorders import open_recorder
from ledger.treereader import TreeReader
from tests.faults.crash import IN_THE_SERVER
from tests.faults.processes import child
from tests.faults.scorecard import Result
from tests.faults.site import Ack, Site, good, lost, scratch

#: Where the one process is stopped: inside its append, and between signing a head and storing it.
POINTS = (
    "append.begun", "append.inserted", "append.before_commit", "append.committed",
    "checkpoint.signed", "checkpoint.before_commit", "checkpoint.stored",
)  # fmt: skip
_AFTERWARDS = 1.5


def points_of(backend: str) -> tuple[str, ...]:
    """The points that a process of ours passes on a backend."""
    return tuple(point for point in POINTS if backend == "sqlite" or point not in IN_THE_SERVER)


def forked(site: Site, notes: list[bytes]) -> list[str]:
    """Signed heads that are no prefix of the log or contradict each other."""
    trust = site.home().trust()
    assert trust is not None
    heads: list[Checkpoint] = sorted(
        {verify_checkpoint(note, trust.vkeys) for note in notes}, key=lambda head: head.size
    )
    found = []
    recorder = open_recorder(site.url)
    try:
        reader = TreeReader(recorder)
        head = recorder.head()
        # Each against the next: what is consistent in a row is consistent throughout.
        for old, (size, root) in zip(
            heads, [*((h.size, h.root) for h in heads[1:]), (head.size, head.root())], strict=True
        ):
            try:
                verify_consistency(old.size, old.root, size, root, prove_consistency(reader, old.size, size))
            except (VerificationError, LookupError) as error:
                found.append(f"the head of size {old.size} against {size}: {error}")
    finally:
        recorder.close()
    return found


class _Pair:
    """Two processes at one store; the first one stops at a point.

    Args:
        stack: ends the processes.
        site: a new one.
        point: where the first one stops.
        seconds: how long both work.
    """

    def __init__(self, stack: ExitStack, site: Site, point: str, seconds: float) -> None:
        self.site, self.point = site, point
        self.first = stack.enter_context(child("busy", site, seconds, point=point, pause=True))
        self.second = stack.enter_context(child("busy", site, seconds))

    def counts(self) -> tuple[int, int]:
        """What the first one was answered so far, events and heads, and events of the second one."""
        return len(self.first.told("ack")) + len(self.first.told("note")), len(self.second.told("ack"))

    def judge(self, result: Result, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Both have ended: nobody forked, lost or doubled anything, and what was stopped went on."""
        both = (self.first, self.second)
        for process in both:
            if process.end() != 0:
                result.failed("not resumed", f"{self.point}: it did not end")
            for (error,) in process.told("error"):
                result.failed("errors", f"{self.point}: {error}")
        if after[0] != before[0]:
            result.failed("not resumed", f"{self.point}: it was not stopped")
        if self.counts()[0] == after[0]:
            result.failed("not resumed", f"{self.point}: what was stopped was never answered")
        acks: list[Ack] = [ack for process in both for (ack,) in process.told("ack")]
        for what in lost(self.site.url, acks):
            result.failed("lost", f"{self.point}: {what}")
        if len({ack.index for ack in acks}) != len(acks):
            result.failed("same index", self.point)
        for what in forked(self.site, [note for process in both for (note,) in process.told("note")]):
            result.failed("forks", f"{self.point}: {what}")
        for what in good(self.site.url, self.site):
            result.failed("unverifiable", f"{self.point}: {what}")


def paused(
    store_url: Callable[[], str | None], seconds: float, points: tuple[str, ...] = POINTS, passage: int = 3
) -> Result:
    """Stop one of two processes at a point for so many seconds while the other one goes on; all points at once.

    Args:
        store_url: gives the URL of a store that is not there yet; None for a SQLite file.
        seconds: how long it is stopped.
        points: where, each in a ledger of its own.
        passage: at which passage.
    """
    result = Result.counting("forks", "same index", "lost", "unverifiable", "not resumed", "errors")
    with scratch() as folder, ExitStack() as stack:
        sites = [Site.make(folder / point, store_url()) for point in points]
        pairs = [
            _Pair(stack, site, f"{point}:{passage}", seconds + _AFTERWARDS)
            for site, point in zip(sites, points, strict=True)
        ]
        for pair in pairs:
            if not pair.first.stopped():
                result.failed("not resumed", f"{pair.point}: it never came there: {pair.first.said[-1:]}")
        time.sleep(0.5)  # what they said before is still on its way
        before = [pair.counts() for pair in pairs]
        time.sleep(seconds)
        after = [pair.counts() for pair in pairs]
        for pair in pairs:
            pair.first.resume()
        for pair, earlier, later in zip(pairs, before, after, strict=True):
            pair.judge(result, earlier, later)
            result.n += 1
        refused = sum(len(item.told("refused")) for pair in pairs for item in (pair.first, pair.second))
    result.figures = {
        "seconds each": seconds,
        "appended by the other meanwhile": {
            pair.point: later[1] - earlier[1] for pair, earlier, later in zip(pairs, before, after, strict=True)
        },
        "refused in time": refused,
    }
    return result
