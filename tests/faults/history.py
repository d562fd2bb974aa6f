"""Whether a history of concurrent operations is one that an append-only log may have.

Pure: operations in, violations out. Each operation has the times at which it began and ended on one clock; one that
never ended has no end. What must hold:

- an acknowledged append is in the final log at its index with its leaf hash, and every read of that index says so;
- a failed append is absent; one of unknown outcome is there once or not at all; nothing else is there;
- the same id has the same index wherever it is acknowledged, read or found;
- order respects real time: what was acknowledged before another append began has the smaller index, and a read or a
  head that began after an acknowledgement covers it;
- every head that anybody saw is a prefix of the final log, and heads never go back for one who looks twice.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

#: Violations reported at most; a broken log breaks everything behind it.
MOST = 50


class Outcome(Enum):
    """How an append ended."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Append:
    """One event handed to the log; a batch is several of these with the same times."""

    id: str
    outcome: Outcome
    begun: int
    ended: int | None = None
    index: int | None = None
    leaf: bytes | None = None


@dataclass(frozen=True)
class Read:
    """Somebody read an entry."""

    index: int
    id: str
    leaf: bytes
    begun: int
    ended: int


@dataclass(frozen=True)
class SeenHead:
    """Somebody saw a head, signed or not."""

    size: int
    root: bytes
    begun: int
    ended: int


@dataclass(frozen=True)
class Entry:
    """An entry of the final log."""

    id: str
    leaf: bytes


@dataclass
class History:
    """Everything that was done, and the log at the end.

    Attributes:
        before: size of the log before the history began.
    """

    log: Sequence[Entry]
    appends: list[Append] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    heads: list[SeenHead] = field(default_factory=list)
    before: int = 0


class Roots:
    """Root hashes of all prefixes of a list of leaves (RFC 9162 2.1.1), made from the definition's peaks."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._roots = [hashlib.sha256(b"").digest()]
        peaks: list[tuple[int, bytes]] = []
        for leaf in leaves:
            height, node = 0, leaf
            while peaks and peaks[-1][0] == height:
                node = hashlib.sha256(b"\x01" + peaks.pop()[1] + node).digest()
                height += 1
            peaks.append((height, node))
            root = peaks[-1][1]
            for _, peak in reversed(peaks[:-1]):
                root = hashlib.sha256(b"\x01" + peak + root).digest()
            self._roots.append(root)

    def __getitem__(self, size: int) -> bytes | None:
        return self._roots[size] if 0 <= size < len(self._roots) else None


def check(history: History) -> list[str]:
    """Every violation of a history, up to `MOST`.

    Args:
        history: what was done, and the log at the end.

    Returns:
        The violations in words; empty when the history is one of an append-only log.
    """
    found: list[str] = []
    for part in (_check_ids, _check_appends, _check_real_time, _check_reads, _check_heads):
        found += part(history)
    return found[:MOST]


def _places(history: History) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, entry in enumerate(history.log):
        places.setdefault(entry.id, []).append(index)
    return places


def _check_ids(history: History) -> list[str]:
    """No id twice, and nothing that nobody appended."""
    found = [f"{name} is there {len(at)} times, at {at}" for name, at in _places(history).items() if len(at) > 1]
    sent = {append.id for append in history.appends}
    found += [
        f"{entry.id} at {index} was never appended"
        for index, entry in enumerate(history.log)
        if index >= history.before and entry.id not in sent
    ]
    return found


def _check_appends(history: History) -> list[str]:
    """Acknowledged: there, as acknowledged. Failed: absent, unless the same id was also sent with another outcome."""
    found = []
    places = _places(history)
    known: dict[str, tuple[int | None, bytes | None]] = {}
    may_be_there = {append.id for append in history.appends if append.outcome is not Outcome.FAILED}
    for append in history.appends:
        if append.outcome is Outcome.OK:
            place = (append.index, append.leaf)
            if known.setdefault(append.id, place) != place:
                found.append(f"{append.id} was acknowledged at {known[append.id][0]} and at {append.index}")
            if append.index is None or not 0 <= append.index < len(history.log):
                found.append(f"{append.id} was acknowledged at {append.index} and is lost")
            elif history.log[append.index] != Entry(append.id, append.leaf or b""):
                found.append(f"{append.id} was acknowledged at {append.index}, where there is something else")
        elif append.outcome is Outcome.FAILED and append.id in places and append.id not in may_be_there:
            found.append(f"{append.id} failed and is there, at {places[append.id]}")
    return found


def _check_real_time(history: History) -> list[str]:
    """Walk through the log: nobody may stand behind one that began after he was acknowledged.

    The end of an append that is there is the earliest acknowledgement of its id, its beginning the earliest sending.
    """
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    for append in history.appends:
        begun[append.id] = min(append.begun, begun.get(append.id, append.begun))
        if append.outcome is Outcome.OK and append.ended is not None:
            ended[append.id] = min(append.ended, ended.get(append.id, append.ended))
    found = []
    latest, who = -1, ""
    for index, entry in enumerate(history.log):
        if index < history.before or entry.id not in begun:
            continue
        if ended.get(entry.id, latest) < latest:
            found.append(f"{entry.id} at {index} was acknowledged before {who}, which stands before it, began")
        if begun[entry.id] > latest:
            latest, who = begun[entry.id], entry.id
    return found


def _check_reads(history: History) -> list[str]:
    return [
        f"index {read.index} was read as {read.id} and is something else at the end"
        for read in history.reads
        if not 0 <= read.index < len(history.log) or history.log[read.index] != Entry(read.id, read.leaf)
    ]


def _check_heads(history: History) -> list[str]:
    """Prefixes of the final log, not older than what was acknowledged before, and never going back in time."""
    roots = Roots([entry.leaf for entry in history.log])
    found = [
        f"a head of size {head.size} is not a prefix of the log"
        for head in history.heads
        if roots[head.size] != head.root
    ]
    acknowledged = sorted(
        (append.ended, append.index + 1)
        for append in history.appends
        if append.outcome is Outcome.OK and append.ended is not None and append.index is not None
    )
    found += _behind(history.heads, acknowledged, "what had been acknowledged before")
    seen = sorted((head.ended, head.size) for head in history.heads)
    found += _behind(history.heads, seen, "a head that had been seen before")
    return found


def _behind(heads: Sequence[SeenHead], known: Sequence[tuple[int, int]], what: str) -> list[str]:
    """Heads that began after some size was known and are smaller."""
    times = [time for time, _ in known]
    sizes, largest = [0], 0
    for _, size in known:
        largest = max(largest, size)
        sizes.append(largest)
    return [
        f"a head of size {head.size} is behind {what}: {sizes[bisect_left(times, head.begun)]}"
        for head in heads
        if head.size < sizes[bisect_left(times, head.begun)]
    ]
