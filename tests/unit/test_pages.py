"""What is read page by page is the same whatever the size of a page, and nothing is read for ever."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ledger import bundling, checkpoints, stored, suspects

#: Sizes and numbers of attestations: several of one size, and sizes apart.
PLACES = [(1, 1), (1, 2), (1, 3), (4, 1), (4, 5), (5, 1), (9, 2), (9, 3)]
PAGES = [1, 2, 3, 4, 7, 8, 9]


class Log:
    """A store that counts what is asked of it."""

    def __init__(self) -> None:
        self.asked = 0
        self.rows = [
            SimpleNamespace(size=size, number=number, kind=kind)
            for (size, number), kind in zip(PLACES, "abababab", strict=True)
        ]

    def _page(self, found: Sequence[Any], limit: int) -> Sequence[Any]:
        self.asked += 1
        assert self.asked < 20, "it goes in circles"
        return found[:limit]

    def attestations(self, after: tuple[int, int], limit: int) -> Sequence[Any]:
        return self._page([row for row in self.rows if (row.size, row.number) > after], limit)

    def checkpoints(self, after: int, limit: int) -> Sequence[Any]:
        return self._page([SimpleNamespace(size=size) for size in (1, 4, 5, 9) if size > after], limit)

    def actor_rows(self, actor: str, start: int, stop: int, limit: int) -> Sequence[Any]:
        rows = [SimpleNamespace(entry=SimpleNamespace(index=index, actor=actor)) for index in (0, 1, 2, 5, 6, 9)]
        return self._page([row for row in rows if start <= row.entry.index < stop], limit)


@pytest.fixture(params=PAGES)
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (bundling, checkpoints, stored, suspects):
        monkeypatch.setattr(module, "_PAGE", request.param)
    return Log()


def places(found: Any) -> list[tuple[int, int]]:
    return [(row.size, row.number) for row in found]


@pytest.mark.parametrize("after", [(0, 0), (1, 1), (1, 2), (4, 4), (5, 1), (9, 3)])
def test_attestations_of_a_kind(log: Any, after: tuple[int, int]):
    behind = [place for place in PLACES if place > after]
    assert places(stored.attestations_behind(log, ("a", "b"), after)) == behind
    assert places(stored.attestations_behind(log, ("b",), after)) == [place for place in PLACES[1::2] if place > after]


def test_all_attestations_from_the_beginning(log: Any):
    assert places(stored.attestations_behind(log, ("a", "b"))) == PLACES


@pytest.mark.parametrize("size", [1, 2, 4, 5, 9, 10])
def test_attestations_of_a_bundle(log: Any, size: int):
    assert places(bundling._attestations(log, size)) == [place for place in PLACES if place[0] >= size]


def test_heads(log: Any):
    assert [head.size for head in stored.heads_behind(log)] == [1, 4, 5, 9]
    log.asked = 0
    assert [head.size for head in stored.heads_behind(log, 4)] == [5, 9]


@pytest.mark.parametrize(
    ("times", "newest"), [((3, 1, 2), {"x": 3, "y": 1}), ((1, 2, 3), {"x": 3, "y": 2}), ((2, 5, 2), {"x": 2, "y": 5})]
)
def test_the_newest_cosignature_of_each_witness(
    log: Any, times: tuple[int, ...], newest: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    """The first and the third of the head of size 1 are of one witness; the others are of other heads."""

    def good(head: Any, item: Any) -> Any:
        assert item.size == head.size
        return SimpleNamespace(vkey="y" if item.number == 2 else "x", time=times[item.number - 1], of=item.number)

    monkeypatch.setattr(checkpoints, "_good", good)
    head: Any = SimpleNamespace(size=1)
    found: Any = checkpoints.cosignatures_of(log, head)
    assert {one.vkey: one.time for one in found} == newest
    assert [one.of for one in found if one.vkey == "x"] == [1 if times[0] >= times[2] else 3], "the first of two alike"


@pytest.mark.parametrize(("start", "stop", "expected"), [(0, 10, [0, 2, 6]), (1, 7, [2, 6]), (2, 6, [2]), (6, 6, [])])
def test_suspect_entries_of_an_actor(
    log: Any, start: int, stop: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
):
    def suspect(world: Any, row: Any) -> Any:
        return row.entry.index if row.entry.index in (0, 2, 5, 6) else None

    monkeypatch.setattr(suspects, "suspicion_of", suspect)
    world: Any = None
    found: Any = suspects._of_actor(log, world, "p", (start, stop), void=lambda row: row.entry.index == 5)
    assert list(found) == expected
