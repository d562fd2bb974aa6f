"""Two processes at one store, one of them stopped in the middle of what it does for longer than anybody waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.errors import VerificationError
from ledger.merkle import prove_consistency, verify_consistency
from ledger.recorders import open_recorder
from ledger.stored import TreeReader
from tests.faults.processes import child
from tests.faults.scorecard import Result
from tests.faults.site import Ack, Site, good, lost, scratch

#: Where the one process is stopped: inside its append, and between signing a head and storing it.
POINTS = (
    "append.begun", "append.inserted", "append.before_commit", "append.committed",
    "checkpoint.signed", "checkpoint.before_commit", "checkpoint.stored",
)  # fmt: skip
_AFTERWARDS = 1.0


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


def paused(
    store_url: Callable[[], str | None], seconds: float, points: tuple[str, ...] = POINTS, passage: int = 3
) -> Result:
    """Stop one of two processes at each point for so many seconds while the other one goes on.

    Args:
        store_url: gives the URL of a store that is not there yet; None for a SQLite file.
        seconds: how long it is stopped.
        points: where.
        passage: at which passage.
    """
    result = Result.counting("forks", "same index", "lost", "unverifiable", "not resumed", "errors")
    meanwhile = refused = 0
    for point in points:
        with scratch() as folder:
            site = Site.make(folder / "site", store_url())
            with (
                child("busy", site, seconds + _AFTERWARDS, point=f"{point}:{passage}", pause=True) as first,
                child("busy", site, seconds + _AFTERWARDS) as second,
            ):
                if not first.stopped():
                    result.failed("not resumed", f"{point}: it never came there: {first.told('error')}")
                before = len(second.told("ack"))
                time.sleep(seconds)
                meanwhile += len(second.told("ack")) - before
                done = len(first.told("ack"))
                first.resume()
                for process in (first, second):
                    if process.end() != 0:
                        result.failed("not resumed", f"{point}: it did not end")
                    for (error,) in process.told("error"):
                        result.failed("errors", f"{point}: {error}")
                refused += len(first.told("refused")) + len(second.told("refused"))
                if len(first.told("ack")) == done and not point.startswith("checkpoint"):
                    result.failed("not resumed", f"{point}: what was stopped was never answered")
                acks: list[Ack] = [ack for process in (first, second) for (ack,) in process.told("ack")]
                notes = [note for process in (first, second) for (note,) in process.told("note")]
            result.n += 1
            for what in lost(site.url, acks):
                result.failed("lost", f"{point}: {what}")
            if len({ack.index for ack in acks}) != len(acks):
                result.failed("same index", point)
            for what in forked(site, notes):
                result.failed("forks", f"{point}: {what}")
            for what in good(site.url, site):
                result.failed("unverifiable", f"{point}: {what}")
    result.figures = {"seconds each": seconds, "appended by the other meanwhile": meanwhile, "refused in time": refused}
    return result
