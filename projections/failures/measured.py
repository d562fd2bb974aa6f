"""What was measured of a version, and which way of each number is better: the one place that decides it.

Promises and gates need none of it: a promise says in its threshold where good ends, and a policy what it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger.events.evaluations import verdict_of
from projections.journal import JournalRow

__all__ = [
    "Direction",
    "Measured",
    "direction_of",
    "drift_direction",
    "failed_assessments",
    "measured_in",
    "much_worse",
    "signalled",
    "worse",
]

#: Words in the names of numbers of which less is better, and ends of words; of all others more is taken to be better.
_LOWER_WORDS: Final = frozenset({
    "brier", "cer", "cost", "deviance", "disparity", "distance", "divergence", "drift", "ece", "eer", "err",
    "failure", "failures", "false", "far", "fdr", "fnr", "fpr", "frr", "hallucination", "hallucinations", "hinge",
    "kl", "latency", "mad", "mae", "mape", "mase", "mce", "medae", "misclassification", "ms", "mse", "msle",
    "outliers", "perplexity", "psi", "rmse", "rmsle", "smape", "toxicity", "violations", "wape", "wasserstein",
    "wer",
})  # fmt: skip
_LOWER_ENDS: Final = ("loss", "losses", "error", "errors")
_P_VALUE: Final = re.compile(r"(^|[^a-z0-9])p[ _.-]?val(ue)?s?($|[^a-z0-9])")
#: Tests of which tools report the p-value as often as the statistic.
_TESTS: Final = frozenset({
    "anderson", "chi", "chi2", "chisquare", "cramer", "cvm", "energy", "epps", "fisher", "g", "kolmogorov", "ks",
    "kuiper", "mann", "mannw", "mannwhitneyu", "t", "ttest", "welch", "z", "ztest",
})  # fmt: skip
#: A threshold up to here is that of a p-value: levels are at most this, those of distances begin at twice as much.
_LEVEL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Direction:
    """Which way of a number is better.

    Attributes:
        better: ``higher`` or ``lower``.
        guessed: nothing says so.
        what: what is guessed.
    """

    better: str
    guessed: bool = False
    what: str = ""

    @property
    def remark(self) -> str:
        """What is to be added to a finding that rests on it."""
        return f" (a guess by its name: {self.what or f'{self.better} is better'})" if self.guessed else ""

    def beyond(self, value: float, edge: float) -> bool:
        """Whether a value is on the wrong side of another one."""
        return value < edge if self.better == "higher" else value > edge

    def loss(self, new: float, old: float) -> float:
        """By how much a value is worse than another one."""
        return old - new if self.better == "higher" else new - old


@dataclass(frozen=True, slots=True)
class Measured:
    """One number.

    Attributes:
        name, value: the metric.
        part: the subgroup; empty for everything.
        index: of the entry that says so.
        better: which way is, where that is said.
        low, high: of its interval.
        failed: its author says that it fails, or it is beyond its threshold.
    """

    name: str
    value: float
    index: int
    part: str = ""
    better: str | None = None
    low: float | None = None
    high: float | None = None
    failed: bool = False


def _words(name: str) -> list[str]:
    """The words of a name: ``falsePositive_rate`` has three."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())


def direction_of(name: str, *said: str | None) -> Direction:
    """Which way of a metric is better.

    Args:
        name: of the metric.
        said: what is said of it, the best source first; without any of them its name is asked.
    """
    better = next((one for one in said if one), None)
    if better is not None:
        return Direction(better)
    words = _words(name)
    lower = any(word in _LOWER_WORDS or word.endswith(_LOWER_ENDS) for word in words)
    # Searches maximise, so that some tools turn losses round: neg_log_loss.
    return Direction("lower" if lower and words[0] not in ("neg", "negative") else "higher", guessed=True)


def drift_direction(data: dict[str, Any]) -> Direction:
    """Which way of a number that says how much something drifts is better: less, but for p-values.

    Args:
        data: fields of a ``monitor.signal`` with a method.
    """
    if data.get("better"):
        return Direction(data["better"])
    names = f"{data['metric']} {data['method']}".lower()
    if _P_VALUE.search(names):
        return Direction("higher")
    words, threshold = set(_words(data["method"])), data.get("threshold")
    open_to_doubt = words & _TESTS and not words & {"statistic", "distance"}
    if open_to_doubt and threshold is not None and 0 < threshold <= _LEVEL and 0 <= data["value"] <= 1:
        return Direction("higher", guessed=True, what=f"a p-value, since a threshold of {threshold:g} is one of those")
    return Direction("lower")


def much_worse(new: Measured, old: Measured, share: float) -> Direction | None:
    """Whether a number is worse than an earlier one by more than a share of it.

    Args:
        new: a number.
        old: an earlier one of the same metric and subgroup.
        share: of the earlier one.

    Returns:
        Which way is better, when it is worse.
    """
    way = direction_of(new.name, new.better, old.better)
    return way if way.loss(new.value, old.value) > share * abs(old.value) else None


def worse(new: Measured, old: Measured, share: float) -> Direction | None:
    """Likewise, but by intervals that do not touch where both have one, however small the difference is."""
    way = direction_of(new.name, new.better, old.better)
    mine, theirs = (new.high, old.low) if way.better == "higher" else (new.low, old.high)
    if mine is None or theirs is None:
        return much_worse(new, old, share)
    return way if way.beyond(mine, theirs) else None


def _measurement(data: dict[str, Any], index: int) -> Measured:
    better, edge, verdict = data.get("better"), data.get("threshold"), data.get("verdict")
    failed = verdict == "fail"
    if verdict is None and better is not None and edge is not None:
        failed = Direction(better).beyond(data["value"], edge)
    interval = data.get("ci_low"), data.get("ci_high")
    return Measured(data["name"], data["value"], index, data.get("slice") or "", better, *interval, failed)


def _numbers(row: JournalRow) -> Iterator[Measured]:
    """Numbers of an evaluation, those that say more behind those that say less."""
    data, index = row["data"], row["index"]
    yield from (Measured(name, value, index) for name, value in data["metrics"].items())
    for part in data.get("slices") or ():
        yield from (Measured(name, value, index, part["slice"]) for name, value in part["metrics"].items())
    yield from (_measurement(one, index) for one in data.get("measurements") or ())


def measured_in(rows: Iterable[JournalRow]) -> dict[tuple[str, str], Measured]:
    """The last number of each metric and subgroup.

    Where one measurement says which way is better, that goes for all numbers of the same name.

    Args:
        rows: evaluations, in the order in which they were made.
    """
    found = [one for row in rows for one in _numbers(row)]
    said = {one.name: one.better for one in found if one.better}
    return {(one.name, one.part): replace(one, better=one.better or said.get(one.name)) for one in found}


def signalled(row: JournalRow) -> Measured:
    """The number of a ``monitor.signal``."""
    data = row["data"]
    return Measured(data["metric"], data["value"], row["index"], better=data.get("better"))


def failed_assessments(rows: Iterable[JournalRow], kind: str) -> list[JournalRow]:
    """Evaluations of a kind that fail; only the last one of each suite says something.

    Args:
        rows: evaluations, in the order in which they were made.
        kind: for example fairness.
    """
    last = {row["data"].get("suite") or row["data"].get("kind") or "": row for row in rows}
    return [row for row in last.values() if row["data"].get("kind") == kind and verdict_of(row["data"]) == "fail"]
