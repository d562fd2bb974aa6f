"""Sufficient statistics of windows: those of two windows add up to those of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from math import sqrt
from typing import Any, Final

__all__ = ["NOTHING", "Stats", "merge_all", "stats_of"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Of some values: how many, their sums, extremes and histogram.

    Attributes:
        min, max: None when there are no values, or one of the windows did not say.
        bounds: upper bounds of the buckets, which belong to them, ascending; the last bucket has none.
        buckets: how many values fell into each; one bucket with all of them when no histogram is known.
        good: how many were good; None when one of the windows did not say.
    """

    count: int
    sum: float = 0.0
    sum_of_squares: float = 0.0
    min: float | None = None
    max: float | None = None
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = (0,)
    good: int | None = 0

    def merge(self, other: Stats) -> Stats:
        """The statistics of both together; of two histograms the bounds that both have are kept, which is exact."""
        if self.count == 0 or other.count == 0:
            return self if other.count == 0 else other
        bounds = tuple(sorted(set(self.bounds) & set(other.bounds)))
        pairs = zip(self._coarser(bounds), other._coarser(bounds), strict=True)
        return Stats(
            self.count + other.count,
            self.sum + other.sum,
            self.sum_of_squares + other.sum_of_squares,
            None if self.min is None or other.min is None else min(self.min, other.min),
            None if self.max is None or other.max is None else max(self.max, other.max),
            bounds,
            tuple(left + right for left, right in pairs),
            None if self.good is None or other.good is None else self.good + other.good,
        )

    def _coarser(self, bounds: tuple[float, ...]) -> tuple[int, ...]:
        """The buckets between fewer bounds."""
        below = dict(zip(self.bounds, accumulate(self.buckets), strict=False))
        edges = [0, *(below[bound] for bound in bounds), self.count]
        return tuple(right - left for left, right in pairwise(edges))

    @property
    def mean(self) -> float | None:
        """The mean, None without values."""
        return self.sum / self.count if self.count else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the values, None without values."""
        if not self.count:
            return None
        return sqrt(max(0.0, self.sum_of_squares / self.count - (self.sum / self.count) ** 2))

    def at_most(self, threshold: float) -> int | None:
        """How many values are at most a threshold; None when the statistics do not tell."""
        if not self.count:
            return 0
        if self.max is not None and self.max <= threshold:
            return self.count
        if self.min is not None and self.min > threshold:
            return 0
        if threshold not in self.bounds:
            return None
        return sum(self.buckets[: self.bounds.index(threshold) + 1])

    def quantile(self, share: float) -> tuple[float | None, float | None] | None:
        """Between which two values a quantile lies; None without values, and a side None where it is not known.

        Args:
            share: 0.95 for the 95th percentile.
        """
        if not self.count:
            return None
        wanted = share * self.count
        edges = (self.min, *self.bounds, self.max)
        place = next(n for n, total in enumerate(accumulate(self.buckets)) if total >= wanted)
        low, high = edges[place], edges[place + 1]
        if self.max is not None and high is not None:
            high = min(high, self.max)
        return low, high

    def describe(self) -> dict[str, Any]:
        """For machines."""
        quantiles = {f"p{int(share * 100)}": self.quantile(share) for share in (0.5, 0.95, 0.99)}
        return {
            "count": self.count,
            "sum": self.sum,
            "sum_of_squares": self.sum_of_squares,
            "mean": self.mean,
            "deviation": self.deviation,
            "min": self.min,
            "max": self.max,
            "good": self.good,
            "bounds": list(self.bounds),
            "buckets": list(self.buckets),
            "quantiles": {name: None if pair is None else list(pair) for name, pair in quantiles.items()},
        }


#: No values; merging it changes nothing.
NOTHING: Final = Stats(0)


def merge_all(parts: Iterable[Stats]) -> Stats:
    """The statistics of all together."""
    return reduce(Stats.merge, parts, NOTHING)


def stats_of(data: Mapping[str, Any]) -> Stats:
    """The statistics that the body of a ``monitor.window`` gives."""
    count, buckets = data["count"], data.get("buckets") or ()
    if not count:
        return NOTHING
    return Stats(
        count,
        float(data.get("sum", 0.0)),
        float(data.get("sum_of_squares", 0.0)),
        data.get("min"),
        data.get("max"),
        tuple(data.get("bounds", ())) if buckets else (),
        tuple(buckets) or (count,),
        data.get("good"),
    )
