"""Entries that claim a later time than an authority saw them at: found by halving, and found at every place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from ledger.entry import Entry, format_time
from ledger.stored import LogReader, Row
from ledger.timestamps import CLOCK_SLACK, Stamp, _recorded_later

ZERO, NOW = "00" * 32, 1_700_000_000_000_000
STAMP = Stamp("CN=tsa", NOW, 7, 1)
LIMIT = NOW + 7 + CLOCK_SLACK


@dataclass
class Log:
    """Rows recorded at these times; ``None`` where one is missing."""

    times: Sequence[int | None]

    def rows(self, start: int, limit: int) -> list[Row]:
        found = [
            Row(
                Entry("a", "e", ZERO, "i", n, 0, (ZERO,), "ab" * 16, ZERO, ZERO, at, 1, 1, "x:y", "x:y", "t"),
                b"",
                b"",
                b"",
            )
            for n, at in enumerate(self.times)
            if at is not None
        ]
        return [row for row in found if row.entry.index >= start][:limit]


def later(times: Sequence[int | None], size: int | None = None) -> list[tuple[Any, ...]]:
    size = len(times) if size is None else size
    found = _recorded_later(cast("LogReader", Log(times)), size, STAMP, "the authority")
    return [(str(item.fault), item.index, item.message, item.sizes) for item in found]


@pytest.mark.parametrize("size", range(10))
def test_the_first_entry_that_claims_a_later_time_is_named_wherever_it_is(size: int):
    assert CLOCK_SLACK == 5_000_000
    for first in range(size + 1):
        before, behind = range(LIMIT - first + 1, LIMIT + 1), range(LIMIT + 1, LIMIT + 1 + size - first)
        times = [*before, *behind]
        at = format_time(LIMIT + 1)
        words = f"it says that it was recorded on {at}, and the authority had seen a head over it already"
        assert later(times) == ([] if first == size else [("anchor", first, words, None)])
        assert later([*times, LIMIT + 99], size) == later(times), "only what the head covers"
    assert later([LIMIT] * size) == []


def test_what_is_missing_is_found_by_others():
    late = LIMIT + 1
    assert later([None, None], 2) == []
    assert later([late, None, late], 3) == []
    assert later([NOW, NOW, None], 3) == []
