"""How fast an error budget burns: the share of bad events over a long and a short time, against what is promised.

Multiwindow, multi-burn-rate: The Site Reliability Workbook, chapter 5 "Alerting on SLOs". A burn rate is the share of
bad events divided by the share that may be bad; at 1 the budget lasts exactly as long as the promise's window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger.application import Ledger
from ledger.entry import format_time
from ledger.events.monitors import BurnRule, duration_us
from projections.asof import AsOf
from projections.base import ViewReader
from projections.service import Service, Tenure
from projections.slo.promises import Promise
from projections.slo.windows import Dropped, Window, count_once, read_windows

__all__ = ["Assessment", "Burn", "Share", "assess", "burn_of", "windows_about"]


@dataclass(frozen=True, slots=True)
class Share:
    """Good and all events of some windows over a span of time.

    Attributes:
        allowed: share of events that may be bad.
        unclear: windows that do not tell how many were good.
    """

    good: int
    total: int
    allowed: float
    windows: tuple[Window, ...]
    unclear: tuple[Window, ...]

    @property
    def burn_rate(self) -> float | None:
        """None when there is nothing to tell it from."""
        # Rounded, so that 144 bad ones of 1,000 reach 14.4 where 1 in 100 may be bad.
        return round((self.total - self.good) / self.total / self.allowed, 9) if self.total else None

    def describe(self) -> dict[str, Any]:
        """For machines."""
        rate = self.burn_rate
        counts = {"good": self.good, "total": self.total, "windows": len(self.windows), "unclear": len(self.unclear)}
        return {"burn_rate": None if rate is None else round(rate, 6), **counts}


@dataclass(frozen=True, slots=True)
class Burn:
    """A rule of a promise, and what it found."""

    rule: BurnRule
    long: Share
    short: Share

    @property
    def state(self) -> str:
        """``fires``; ``burns`` when only the long time says so; ``quiet``; ``not assessed`` without enough events."""
        long, short = self.long.burn_rate, self.short.burn_rate
        if long is None or self.long.total < self.rule.min_events:
            return "not assessed"
        if long < self.rule.burn_rate:
            return "quiet"
        return "fires" if short is not None and short >= self.rule.burn_rate else "burns"

    def describe(self) -> dict[str, Any]:
        """For machines."""
        rule = self.rule.model_dump(mode="json")
        return {**rule, "state": self.state, "over_long": self.long.describe(), "over_short": self.short.describe()}


@dataclass(frozen=True)
class Assessment:
    """A promise about one version that a deployment serves.

    Attributes:
        tenure: the version.
        at: end of the last window; None without windows.
        burns: a rule each.
        budget: over the promise's window, of all versions of the deployment together.
        problem: why nothing could be assessed, empty when it could.
        dropped: windows that did not count.
    """

    promise: Promise
    deployment: str
    tenure: Tenure
    at: int | None = None
    burns: tuple[Burn, ...] = ()
    budget: Share | None = None
    problem: str = ""
    dropped: tuple[Dropped, ...] = field(default=())

    @property
    def firing(self) -> Burn | None:
        """The rule that fires, the one with the gravest decision first."""
        rank = {"rollback": 0, "hold": 1, None: 2}
        fires = [burn for burn in self.burns if burn.state == "fires"]
        return min(fires, key=lambda burn: (rank[burn.rule.action], -burn.rule.burn_rate), default=None)

    @property
    def over(self) -> bool:
        """Whether no rule finds it burning, and each could tell."""
        return bool(self.burns) and all(burn.state == "quiet" for burn in self.burns)

    @property
    def budget_left(self) -> float | None:
        """Share of the error budget that is left, below 0 when more is used; None when nobody can tell."""
        rate = None if self.budget is None else self.budget.burn_rate
        return None if rate is None else 1 - rate

    def describe(self) -> dict[str, Any]:
        """For machines."""
        left = self.budget_left
        return {
            "slo": self.promise.name,
            "deployment": self.deployment,
            "model": self.tenure.model,
            "digest": self.tenure.digest,
            "objective": self.promise.body.objective,
            "window": self.promise.body.window,
            "defined_by": self.promise.index,
            "at": None if self.at is None else format_time(self.at),
            "state": "not assessed" if self.problem else "fires" if self.firing else "quiet" if self.over else "burns",
            "problem": self.problem or None,
            "budget_left": None if left is None else round(left, 6),
            "rules": [burn.describe() for burn in self.burns],
            "not_counted": [one.describe() for one in self.dropped],
        }


def _share(promise: Promise, windows: Iterable[Window], after: int, until: int) -> Share:
    good = total = 0
    counted, unclear = [], []
    threshold = promise.body.threshold
    for window in windows:
        if not after < window.end <= until or not window.stats.count:
            continue
        number = window.stats.good
        if number is None and threshold is not None:
            number = window.stats.at_most(threshold)
        if number is None:
            unclear.append(window)
            continue
        good, total = good + number, total + window.stats.count
        counted.append(window)
    return Share(good, total, 1 - promise.body.objective, tuple(counted), tuple(unclear))


def _about(windows: list[Window], tenure: Tenure, service: Service) -> list[Window]:
    """Windows of the time a version has been serving that are about it: they name it, or none, and it came last.

    Those that began before a canary was taken out were about that one. Of one source, those that name no version are
    not among these where others of that time do (`count_once`).
    """
    after = service.aborted_at if tenure is service.newest else None
    return [
        window for window in windows if window.start >= tenure.since
        and (window.model == tenure.model or (window.model is None and after is not None and window.start >= after))
    ]  # fmt: skip


def _problem(promise: Promise, mine: list[Window], burns: Iterable[Burn]) -> str:
    if not mine:
        return "no window about this version since it serves"
    if not promise.body.rules:
        return "the promise has no rules"
    if all(burn.state == "not assessed" for burn in burns):
        unclear = any(burn.long.unclear for burn in burns)
        return "no window says how many were good" if unclear else "too few events, or none of late"
    return ""


def windows_about(
    ledger: Ledger, views: ViewReader, as_of: AsOf, promise: Promise, deployment: str, *, now: int
) -> tuple[list[Window], tuple[Dropped, ...]]:
    """The windows of the time of a promise that count for a deployment, and those that do not.

    Args:
        ledger: the log.
        views: its views.
        as_of: what was known.
        promise: the promise.
        deployment: ``deployment:<environment>/<service>``.
        now: windows that end later are not looked at.
    """
    if promise.monitor is None:
        return [], ()
    after, metric = now - duration_us(promise.body.window), promise.body.indicator
    found, bad = read_windows(ledger, views, as_of, promise.monitor, metric, after=after, until=now)
    own = promise.subject == deployment
    counted, double = count_once(one for one in found if one.deployment == deployment or (own and not one.deployment))
    return counted, tuple(one for one in (*bad, *double) if one.window.deployment in (deployment, None))


def assess(
    ledger: Ledger, views: ViewReader, as_of: AsOf, promise: Promise, service: Service, *, now: int
) -> list[Assessment]:
    """How a promise is kept by each version that a deployment serves.

    Rules are asked at the end of the last window, as long as that lies in their long time: windows may come late.

    Args:
        ledger: the log.
        views: its views.
        as_of: what was known.
        promise: the promise.
        service: the deployment.
        now: windows that end later are not looked at.
    """
    if promise.monitor is None:
        problem = "the promise names no monitor"
        return [Assessment(promise, service.name, tenure, problem=problem) for tenure in service.serving()]
    counted, dropped = windows_about(ledger, views, as_of, promise, service.name, now=now)
    span = duration_us(promise.body.window)
    budget = _share(promise, counted, max(now - span, service.resets.get(promise.name, 0)), now)
    result = []
    for tenure in service.serving():
        mine = _about(counted, tenure, service)
        at = max((window.end for window in mine), default=None)
        burns = tuple(burn_of(promise, rule, mine, at, now) for rule in promise.body.rules) if at is not None else ()
        problem = _problem(promise, mine, burns)
        result.append(Assessment(promise, service.name, tenure, at, burns, budget, problem, dropped))
    return result


def burn_of(promise: Promise, rule: BurnRule, windows: list[Window], at: int, now: int) -> Burn:
    """What a rule finds.

    Args:
        promise: the promise.
        rule: of it.
        windows: that count for one version.
        at: end of the last of them.
        now: when is asked; microseconds since the Unix epoch, both.
    """
    long, short = duration_us(rule.long), duration_us(rule.short)
    if at <= now - long:  # what is so old says nothing of now
        return Burn(rule, _share(promise, (), 0, 0), _share(promise, (), 0, 0))
    return Burn(rule, _share(promise, windows, at - long, at), _share(promise, windows, at - short, at))
