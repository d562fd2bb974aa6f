"""Emitters number what they send from 1; missing numbers show what never arrived."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ledger.payload import MAX_SEQUENCE

__all__ = ["Sequences"]


@dataclass(slots=True)
class _Seen:
    last: int = 0
    holes: list[tuple[int, int]] = field(default_factory=list)  # inclusive ranges below `last` not seen


class Sequences:
    """Sequence numbers seen, by actor and emitter; holes are kept as ranges."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def add(self, actor: str, emitter: str, number: int) -> bool:
        """Note a number.

        Returns:
            False when this emitter had used it before.
        """
        seen = self._seen.setdefault((actor, emitter), _Seen())
        if number > seen.last:
            if number > seen.last + 1:
                seen.holes.append((seen.last + 1, number - 1))
            seen.last = number
            return True
        place = bisect_right(seen.holes, (number, MAX_SEQUENCE)) - 1
        low, high = seen.holes[place] if place >= 0 else (0, -1)
        if not low <= number <= high:
            return False
        # A late event fills a part of a hole.
        seen.holes[place : place + 1] = [(a, b) for a, b in ((low, number - 1), (number + 1, high)) if a <= b]
        return True

    def missing(self) -> list[tuple[str, str, int]]:
        """(actor, emitter, how many numbers below the highest are not in the log), where there are any."""
        return [
            (actor, emitter, sum(high - low + 1 for low, high in seen.holes))
            for (actor, emitter), seen in sorted(self._seen.items())
            if seen.holes
        ]
