"""Windows of a metric as they are in the log, and which of them count: none twice, whenever they come."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ledger.application import Ledger
from ledger.entry import format_time
from ledger.payload import parse_moment
from ledger.suspects import Doubts
from projections.asof import AsOf
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows
from projections.slo.stats import Stats, stats_of

__all__ = ["Dropped", "Window", "count_once", "read_windows"]

#: How much later than the store's clock the clock may be by which a window ends.
_SKEW: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """One window as it was recorded; times are microseconds since the Unix epoch."""

    index: int
    leaf_hash: str
    monitor: str
    metric: str
    deployment: str | None
    model: str | None
    source: str | None
    start: int
    end: int
    recorded_at: int
    stats: Stats

    def describe(self) -> dict[str, Any]:
        """For machines."""
        names = ("index", "leaf_hash", "monitor", "metric", "deployment", "model", "source")
        times = {"start": format_time(self.start), "end": format_time(self.end)}
        return {**{name: getattr(self, name) for name in names}, **times, "count": self.stats.count}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A window that does not count, and why; ``other`` is the index of the one that counts in its place."""

    window: Window
    reason: str
    other: int | None = None

    def describe(self) -> dict[str, Any]:
        """For machines."""
        return {**self.window.describe(), "reason": self.reason, "instead": self.other}


def _window(row: JournalRow) -> Window:
    data = row["data"]
    return Window(
        row["index"], row["leaf_hash"], row["stream"], data["metric"], data.get("deployment"), data.get("model"),
        data.get("source"), parse_moment(data["start"]), parse_moment(data["end"]), row["recorded_at"], stats_of(data),
    )  # fmt: skip


def read_windows(
    ledger: Ledger, views: ViewReader, as_of: AsOf, monitor: str, metric: str, *, after: int, until: int
) -> tuple[list[Window], list[Dropped]]:
    """The windows of a metric that end in a span of time.

    Args:
        ledger: the log.
        views: its views.
        as_of: what was known.
        monitor: ``monitor:<name>``.
        metric: its name.
        after: they end later.
        until: they end no later.

    Returns:
        The windows in log order, and those that cannot count.
    """
    # No window is recorded before it ends, so none that ends later was recorded earlier.
    where: list[tuple[str, str, Any]] = [("stream", "=", monitor), ("type", "=", "monitor.window")]
    where += [("verdict", "=", "valid"), ("recorded_at", ">", after - _SKEW), ("occurred_at", "<=", as_of.bound)]
    doubts = Doubts(ledger.world.at(as_of.size))
    good: list[Window] = []
    bad: list[Dropped] = []
    for row in journal_rows(views, where, size=as_of.size):
        if row["data"].get("metric") != metric:
            continue
        window = _window(row)
        if window.end > window.recorded_at + _SKEW:
            bad.append(Dropped(window, "it was recorded before it ended"))
        elif not after < window.end <= until:
            continue
        elif doubts.may(row["actor"], window.index) and doubts.of(ledger.recorder.rows(window.index, 1)[0]):
            bad.append(Dropped(window, "it is suspect: the key that signed it was compromised"))
        else:
            good.append(window)
    return good, bad


class _Taken:
    """Spans of time that are taken, none of which overlap."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, int]] = []

    def overlapping(self, window: Window) -> int | None:
        """Index of the window that a window overlaps."""
        place = bisect_left(self._spans, (window.end,))
        if place and self._spans[place - 1][1] > window.start:
            return self._spans[place - 1][2]
        return None

    def take(self, window: Window) -> None:
        insort(self._spans, (window.start, window.end, window.index))


def count_once(windows: Iterable[Window]) -> tuple[list[Window], list[Dropped]]:
    """Leave out what would be counted twice: of windows that overlap the one that was recorded first counts.

    Windows of several sources, and of several versions, add up. One that names no version counts only where none of its
    source and deployment does. A window that comes late counts, and takes the place of none of its own series.

    Args:
        windows: of one monitor and metric, in log order.

    Returns:
        The windows that count, and those that do not, each in log order.
    """
    good: list[Window] = []
    dropped: list[Dropped] = []
    taken: dict[tuple[str | None, ...], _Taken] = {}
    for window in sorted(windows, key=lambda one: (one.model is None, one.index)):
        series = (window.deployment, window.source, window.model)
        same = taken.setdefault(series, _Taken())
        others = [spans for key, spans in taken.items() if window.model is None and key[:2] == series[:2]]
        found = next((other for spans in (same, *others) if (other := spans.overlapping(window)) is not None), None)
        if found is not None:
            dropped.append(Dropped(window, "it overlaps one that counts", found))
        else:
            same.take(window)
            good.append(window)
    return sorted(good, key=lambda one: one.index), sorted(dropped, key=lambda one: one.window.index)
