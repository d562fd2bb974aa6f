"""As of when: what was true at one time, according to what was known at another.

``at`` filters by ``occurred_at`` (what was true then); ``known`` by log size (what was recorded by then).
The answer for a pair never changes: later appends lie beyond the size.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.application import Ledger
from ledger.emission import microseconds
from ledger.entry import format_time
from ledger.errors import InputError, NothingToVerifyError
from ledger.merkle import root_hash
from ledger.treereader import TreeReader
from projections.base import ViewReader
from projections.journal import JOURNAL

__all__ = ["AsOf", "as_decided", "recorded_by", "resolve_as_of", "size_recorded_by"]

_FAR = 2**62


@dataclass(frozen=True, slots=True)
class AsOf:
    """A resolved pair of clocks.

    Attributes:
        at: microseconds; events that occurred later are left out; None for no bound.
        size: log size that was known.
        root: root hash of that size, hex.
        recorded_at: of the last known entry, microseconds.
        now: when it is asked, where neither clock was given; 0 otherwise, so that the answer stays the same.
    """

    at: int | None
    size: int
    root: str
    recorded_at: int
    now: int = 0

    @property
    def asked(self) -> int:
        """The moment for which ends are told: what has ended by then stands no more."""
        return max(self.now, self.recorded_at) if self.at is None else self.at

    @property
    def bound(self) -> int:
        """``at`` as a number that every time can be compared with."""
        return _FAR if self.at is None else self.at

    def describe(self) -> dict[str, object]:
        """For machines: both clocks, spelled out."""
        return {
            "at": None if self.at is None else format_time(self.at),
            "known_at": {"size": self.size, "root": self.root, "recorded_at": format_time(self.recorded_at)},
        }


def size_recorded_by(views: ViewReader, time: int, head: int) -> int:
    """How many entries were recorded by a time.

    Args:
        views: views that stand at ``head``.
        time: microseconds since the Unix epoch.
        head: at most so many.
    """
    low, high = 0, head  # recorded_at never goes back, so halving finds it, however long the log is
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _recorded_at(views, middle) <= time else (low, middle - 1)
    return low


def _recorded_at(views: ViewReader, size: int) -> int:
    """When the last of so many entries was recorded."""
    (row,) = views.select(JOURNAL, [("position", "=", size)])
    return int(row["recorded_at"])


def recorded_by(views: ViewReader, as_of: AsOf, moment: int) -> int:
    """How many of the known entries were recorded by a moment, in microseconds since the Unix epoch."""
    return as_of.size if moment >= as_of.recorded_at else size_recorded_by(views, moment, as_of.size)


def _size_known_at(ledger: Ledger, views: ViewReader, known_at: str, head: int) -> int:
    digits = known_at.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        size = int(known_at)
        if not 0 < size <= head:
            raise InputError(
                f"--known-at {known_at}: the log has {head} entries, so a size is from 1 to {head}",
                hint="A size counts entries; a time is written as 2026-11-23T08:00:00Z.",
            )
        return size
    moment = microseconds(known_at)
    size = size_recorded_by(views, moment, head)
    if size == head and moment > max(_recorded_at(views, head), ledger.recorder.now()):
        raise InputError(
            f"--known-at {known_at} is still to come: what is recorded until then would change the answer",
            hint=f"What stands then, as far as is known now: --at {known_at}",
        )
    if size == 0:
        raise NothingToVerifyError(f"nothing was recorded by {known_at}")
    return size


def resolve_as_of(
    ledger: Ledger, views: ViewReader, *, at: str | None = None, known_at: str | None = None, head: int, now: int = 0
) -> AsOf:
    """Resolve what a user asked for.

    Args:
        ledger: the log.
        views: views that stand at ``head``.
        at: ISO 8601 time, or None for the latest state.
        known_at: log size or ISO 8601 time that has passed, or None for the head.
        head: size the views stand at.
        now: microseconds since the Unix epoch; 0 for when the last known entry was recorded.

    Raises:
        InputError: a time or size that makes no sense.
        NothingToVerifyError: the log was empty then.
    """
    if head == 0:
        raise NothingToVerifyError("the log is empty")
    size = head if known_at is None else _size_known_at(ledger, views, known_at, head)
    root = root_hash(TreeReader(ledger.recorder), size).hex()
    bound = None if at is None else microseconds(at)
    return AsOf(bound, size, root, _recorded_at(views, size), now if known_at is None else 0)


def as_decided(
    ledger: Ledger, views: ViewReader, *, at: str | None = None, known_at: str | None = None, head: int, now: int
) -> tuple[AsOf, int]:
    """Resolve at which moment a decision is asked for: it rests on what was recorded by then, not on what occurred.

    Args:
        ledger: the log.
        views: views that stand at ``head``.
        at: ISO 8601 time; None for now, or for when the last entry was recorded that is known by ``known_at``.
        known_at: log size or ISO 8601 time, or None for the head.
        head: size the views stand at.
        now: microseconds since the Unix epoch.

    Returns:
        Both clocks, with the size that was recorded by then, and the moment in microseconds since the Unix epoch.

    Raises:
        InputError: a time or size that makes no sense.
        NothingToVerifyError: the log was empty then.
    """
    known = resolve_as_of(ledger, views, at=at, known_at=known_at, head=head, now=now)
    if known.at is None:
        return known, known.asked
    size = recorded_by(views, known, known.at)
    if size == 0:
        raise NothingToVerifyError(f"nothing was recorded by {at}")
    found = resolve_as_of(ledger, views, at=at, known_at=str(size), head=head)
    return found, known.at
