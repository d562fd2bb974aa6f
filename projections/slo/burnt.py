"""Whether a version that served before burnt what is promised while it did, whoever looked then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from ledger.application import Ledger
from ledger.events.monitors import BurnRule
from projections.asof import AsOf
from projections.base import ViewReader
from projections.service import Key, Service, Tenure
from projections.slo.burning import burn_of, windows_about
from projections.slo.promises import Promise, promises_about, read_promises
from projections.slo.windows import Window

__all__ = ["Burnt", "Cause", "burnt", "causes_of_return"]

#: Says why a version burnt, None when its windows do not tell that.
Burnt = Callable[[Key], str | None]
#: A promise, and the rules of it that are asked.
Cause = tuple[Promise, Sequence[BurnRule]]


def causes_of_return(promises: Iterable[Promise]) -> list[Cause]:
    """Some promises, each with the rules by which a return may be decided.

    Args:
        promises: about a deployment.
    """
    return [
        (one, [rule for rule in one.body.rules if "rollback" in (rule.action, one.body.action)]) for one in promises
    ]  # fmt: skip


def burnt(
    ledger: Ledger, views: ViewReader, as_of: AsOf, service: Service, causes: Iterable[Cause] | None = None, *, now: int
) -> Burnt:
    """What the windows tell of versions that served before: windows may come late, when another one is watched.

    Args:
        ledger: the log.
        views: its views.
        as_of: what was known.
        service: the deployment.
        causes: the promises and rules that are asked; those by which a return may be decided when None.
        now: microseconds since the Unix epoch.

    Returns:
        Tells of a version whether a rule fired at the end of the last time it served. What serves now has its own
        breach where it burns.
    """

    @cache
    def known() -> list[tuple[Promise, Sequence[BurnRule], list[Window]]]:
        asked = causes if causes is not None else causes_of_return(promises_about(read_promises(views, as_of), name))
        return [
            (promise, rules, windows_about(ledger, views, as_of, promise, name, now=now)[0])
            for promise, rules in asked if rules
        ]  # fmt: skip

    def told(key: Key) -> str | None:
        last = next((one for one in reversed(service.past) if one[0].key == key), None)
        if last is None or any(one.key == key for one in service.serving()):
            return None
        for promise, rules, windows in known():
            mine = [window for window in windows if _is_of(window, last, service)]
            at = max((window.end for window in mine), default=0)
            for rule in rules:
                burn = burn_of(promise, rule, mine, at, at)
                if burn.state == "fires":
                    rate = f"{burn.long.burn_rate:g} times as fast as it may over {rule.long}"
                    last_one = max(window.index for window in mine)
                    return f"it burnt {promise.name} {rate} when it last served there (windows up to entry {last_one})"
        return None

    name = service.name
    return told


def _is_of(window: Window, past: tuple[Tenure, int], service: Service) -> bool:
    """Whether a window is of the time that a version served, and about it: names it, or none, and it came last."""
    tenure, until = past
    if window.start < tenure.since or window.start >= until:
        return False
    if window.model is not None:
        return window.model == tenure.model
    spans = [(one.since, end) for one, end in service.past] + [(one.since, window.end) for one in service.serving()]
    return window.end <= until and not any(
        tenure.since < since < window.end and window.start < end for since, end in spans
    )
