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
from ledger.stored import TreeReader
from projections.base import ViewReader
from projections.journal import JOURNAL

__all__ = ["AsOf", "resolve_as_of"]

_FAR = 2**62


@dataclass(frozen=True, slots=True)
class AsOf:
    """A resolved pair of clocks.

    Attributes:
        at: microseconds; events that occurred later are left out; None for no bound.
        size: log size that was known.
        root: root hash of that size, hex.
        recorded_at: of the last known entry, microseconds.
    """

    at: int | None
    size: int
    root: str
    recorded_at: int

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


def _size_known_at(views: ViewReader, known_at: str, head: int) -> int:
    if known_at.isascii() and known_at.isdigit():
        size = int(known_at)
        if not 0 < size <= head:
            raise InputError(f"--known-at {known_at}: the log has {head} entries")
        return size
    until = microseconds(known_at)
    # recorded_at never goes back, so the first later row ends what was known.
    later = views.select(JOURNAL, [("recorded_at", ">", until)], limit=1)
    size = later[0]["position"] - 1 if later else head
    if size == 0:
        raise NothingToVerifyError(f"nothing was recorded by {known_at}")
    return size


def resolve_as_of(
    ledger: Ledger, views: ViewReader, *, at: str | None = None, known_at: str | None = None, head: int
) -> AsOf:
    """Resolve what a user asked for.

    Args:
        ledger: the log.
        views: views that stand at ``head``.
        at: ISO 8601 time, or None for the latest state.
        known_at: log size or ISO 8601 time, or None for the head.
        head: size the views stand at.

    Raises:
        InputError: a time or size that makes no sense.
        NothingToVerifyError: the log was empty then.
    """
    if head == 0:
        raise NothingToVerifyError("the log is empty")
    size = head if known_at is None else _size_known_at(views, known_at, head)
    (last,) = views.select(JOURNAL, [("position", "=", size)])
    root = root_hash(TreeReader(ledger.recorder), size).hex()
    return AsOf(None if at is None else microseconds(at), size, root, last["recorded_at"])
