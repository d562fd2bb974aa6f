"""Windows add up: by their statistics to what the values themselves say, whatever the order, and none twice."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.slo.stats import NOTHING, Stats, merge_all, stats_of
from projections.slo.windows import Window, count_once

VALUES = st.lists(st.integers(-50, 50).map(float), max_size=30)
BOUNDS = st.lists(st.integers(-60, 60).map(float), max_size=6, unique=True).map(lambda found: tuple(sorted(found)))


def stats(values: Sequence[float], bounds: tuple[float, ...] = (), good: int | None = None) -> Stats:
    """What a window over these values says."""
    buckets = [0] * (len(bounds) + 1)
    for value in values:
        buckets[bisect_left(bounds, value)] += 1
    body: dict[str, Any] = {"count": len(values), "sum": sum(values), "sum_of_squares": sum(v * v for v in values)}
    if values:
        body |= {"min": min(values), "max": max(values)}
    if bounds:
        body |= {"bounds": list(bounds), "buckets": buckets}
    return stats_of(body if good is None else body | {"good": good})


@given(st.lists(st.tuples(VALUES, BOUNDS), max_size=5))
def test_parts_add_up_to_the_whole(parts: list[tuple[list[float], tuple[float, ...]]]):
    whole = [value for values, _ in parts for value in values]
    merged = merge_all(stats(values, bounds, sum(v <= 3 for v in values)) for values, bounds in parts)
    assert (merged.count, merged.good) == (len(whole), sum(v <= 3 for v in whole))
    assert merged.min == (min(whole) if whole else None)
    assert merged.max == (max(whole) if whole else None)
    if whole:
        assert merged.mean == pytest.approx(fmean(whole))
        assert merged.deviation == pytest.approx(pstdev(whole), abs=1e-6)
        filled = [set(bounds) for values, bounds in parts if values]
        assert set(merged.bounds) == set.intersection(*filled), "what all of them have"
        for bound in merged.bounds:
            assert merged.at_most(bound) == sum(value <= bound for value in whole)
    assert sum(merged.buckets) == merged.count


PART = st.builds(stats, VALUES, BOUNDS)


@given(PART, PART, PART)
def test_the_order_does_not_matter(x: Stats, y: Stats, z: Stats):
    assert x.merge(y).merge(z) == x.merge(y.merge(z))
    assert x.merge(y) == y.merge(x)
    assert x.merge(NOTHING) == x == NOTHING.merge(x)


@given(st.lists(st.integers(0, 100).map(float), min_size=1, max_size=40), BOUNDS, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_lies_where_it_is_said_to(values: list[float], bounds: tuple[float, ...], share: float):
    between = stats(values, bounds).quantile(share)
    assert between is not None
    low, high = between
    place = sorted(values)[max(0, -(-int(share * 1000) * len(values) // 1000) - 1)]
    assert low is not None
    assert high is not None
    assert low <= place <= high


def test_statistics_say_when_they_do_not_tell():
    found = stats([1.0, 5.0, 9.0], (5.0,))
    assert [found.at_most(value) for value in (0.5, 5.0, 7.0, 9.0)] == [0, 2, None, 3]
    assert found.good is None
    assert stats([1.0], good=1).merge(stats([2.0])).good is None, "one of them does not say"
    assert Stats(2, buckets=(2,), good=None).merge(stats([1.0])).min is None, "one of them does not say"
    assert (NOTHING.mean, NOTHING.deviation, NOTHING.quantile(0.5), NOTHING.at_most(1)) == (None, None, None, 0)


def window(index: int, start: int, end: int, model: str | None = None, source: str | None = None) -> Window:
    one = Stats(1, buckets=(1,))
    return Window(index, "", "monitor:m", "ms", "deployment:prod/x", model, source, start, end, end, one)


def test_the_first_of_windows_that_overlap_counts():
    windows = [window(1, 0, 10), window(2, 10, 20), window(3, 0, 10), window(4, 5, 15), window(5, 20, 30)]
    good, dropped = count_once(windows)
    assert [one.index for one in good] == [1, 2, 5]
    assert [(one.window.index, one.other) for one in dropped] == [(3, 1), (4, 2)]


def test_sources_add_up_and_so_do_versions_and_a_whole_is_not_counted_beside_its_parts():
    windows = [
        window(1, 0, 10, source="a"), window(2, 0, 10, source="b"), window(3, 0, 10, "model:x@1", "c"),
        window(4, 0, 10, "model:x@2", "c"), window(5, 5, 6, source="c"), window(6, 10, 11, source="c"),
    ]  # fmt: skip
    good, dropped = count_once(windows)
    assert [one.index for one in good] == [1, 2, 3, 4, 6]
    assert [(one.window.index, one.other) for one in dropped] == [(5, 3)]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=30))
def test_what_counts_never_overlaps_and_what_does_not_would(spans: list[tuple[int, int]]):
    windows = [window(index, start, start + length) for index, (start, length) in enumerate(spans)]
    good, dropped = count_once(windows)
    assert sorted(one.index for one in good) + sorted(one.window.index for one in dropped) == sorted(
        one.index for one in good
    ) + sorted({one.index for one in windows} - {one.index for one in good})
    for one, other in pairwise(sorted(good, key=lambda found: found.start)):
        assert one.end <= other.start
    by_index = {one.index: one for one in good}
    for left in dropped:
        kept = by_index[left.other or 0]
        assert left.window.start < kept.end
        assert kept.start < left.window.end
        assert kept.index < left.window.index, "the first one counts"
    assert count_once(windows[: len(windows) // 2])[0] == [one for one in good if one.index < len(windows) // 2]
