"""Measuring on a machine that is never quiet: contestants take turns in short blocks, and neighbours are compared.

What disturbs the machine disturbs neighbouring blocks alike, so a ratio is the median of the ratios of neighbours. The
first round only warms up. Medians and 99th percentiles are of all samples that are left. The collector stays on, as it
is in a real program, but what was prepared beforehand is frozen: it would otherwise be walked through again and again.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def each(work: Callable[[T], object], arguments: Iterable[T]) -> list[float]:
    """Microseconds that ``work`` takes for each argument."""
    clock, found = time.perf_counter_ns, []
    for argument in arguments:
        started = clock()
        work(argument)
        found.append((clock() - started) / 1000)
    return found


def rate(work: Callable[[], object], count: int) -> float:
    """Things a second, when ``work`` does ``count`` of them."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def rates(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Things a second, and things a second of this process's processor time, when ``work`` does ``count`` of them."""
    spent = time.process_time()
    found = rate(work, count)
    return found, count / (time.process_time() - spent)


def threaded_rate(work: Callable[[T], object], shares: Sequence[Sequence[T]]) -> float:
    """Calls a second of ``work``, when each share is worked off by a thread of its own."""
    start = threading.Barrier(len(shares) + 1)

    def labour(share: Sequence[T]) -> None:
        start.wait()
        for argument in share:
            work(argument)

    with ThreadPoolExecutor(len(shares)) as pool:
        labours = [pool.submit(labour, share) for share in shares]
        start.wait()
        began = time.perf_counter()
        for future in labours:
            future.result()
        return sum(map(len, shares)) / (time.perf_counter() - began)


def alternate(rounds: int, contestants: Mapping[str, Callable[[int], Any]]) -> dict[str, list[Any]]:
    """Let contestants take turns, in another order each round.

    Returns:
        What each gave in each round but the first, which warms up. The number of the round is handed to it.
    """
    found: dict[str, list[Any]] = {name: [] for name in contestants}
    names = list(contestants)
    gc.collect()
    gc.freeze()
    try:
        for number in range(rounds + 1):
            for name in names:
                outcome = contestants[name](number)
                if number > 0:
                    found[name].append(outcome)
            names.append(names.pop(0))
    finally:
        gc.unfreeze()
    return found


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample that ``share`` of all are not above."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def flat(blocks: Iterable[Iterable[float]]) -> list[float]:
    """All samples of all blocks."""
    return [sample for block in blocks for sample in block]


def medians(blocks: Iterable[Sequence[float]]) -> list[float]:
    """The median of each block."""
    return [statistics.median(block) for block in blocks]


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbours."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> float | None:
    """Distance between the quartiles over the median: how restless the machine was; None for less than four values."""
    if len(values) < 4:
        return None
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / middle
