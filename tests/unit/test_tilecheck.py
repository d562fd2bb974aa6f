"""Stored tiles beside those that the entries give; they are read several at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import cast

import pytest

from ledger.merkle import perfect_root
from ledger.stored import LogReader, Tile
from ledger.tilecheck import TileCheck
from ledger.tiles import TILE_WIDTH

COUNT = 40
LEAVES = [
    [hashlib.sha256(b"%d/%d" % (number, place)).digest() for place in range(TILE_WIDTH)] for number in range(COUNT)
]


class Tiles:
    """A log of tiles of the lowest level only."""

    def __init__(self, stored: list[Tile]) -> None:
        self.stored = stored
        self.questions = 0

    def tiles(self, level: int, start: int, limit: int) -> list[Tile]:
        self.questions += 1
        return [tile for tile in self.stored if tile.level == level and tile.index >= start][:limit]


def whole() -> list[Tile]:
    return [Tile(0, number, b"".join(leaves), perfect_root(leaves)) for number, leaves in enumerate(LEAVES)]


def drop(tiles: list[Tile], number: int) -> None:
    del tiles[number]


def alter(tiles: list[Tile], number: int) -> None:
    tiles[number] = Tile(0, number, tiles[number].hashes[:-1] + b"\x00", tiles[number].root)


def other_root(tiles: list[Tile], number: int) -> None:
    tiles[number] = Tile(0, number, tiles[number].hashes, bytes(32))


def swap(tiles: list[Tile], number: int) -> None:
    tiles[number] = Tile(0, number, tiles[number - 1].hashes, tiles[number - 1].root)


def found(tiles: list[Tile], *, one_by_one: bool) -> tuple[list[tuple[int, str]], int]:
    log = Tiles(tiles)
    check = TileCheck(cast("LogReader", log))
    bad = []
    for leaves in LEAVES:
        if one_by_one:
            bad += [tile for leaf in leaves for tile in check.add(leaf)]
        else:
            bad += list(check.add_tile(b"".join(leaves), perfect_root(leaves)))
    return [(tile.first_leaf // TILE_WIDTH, tile.text) for tile in bad], log.questions


@pytest.mark.parametrize("one_by_one", [False, True])
def test_good_tiles_take_few_questions(one_by_one: bool):
    bad, questions = found(whole(), one_by_one=one_by_one)
    assert bad == []
    assert questions == 3


@pytest.mark.parametrize("change", [drop, alter, other_root, swap])
@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 31, 32, 38, 39])
def test_a_tile_that_is_missing_or_differs_is_found_wherever_it_stands(
    change: Callable[[list[Tile], int], None], number: int
):
    tiles = whole()
    if change is swap and number == 0:
        number = 1
    change(tiles, number)
    what = "is missing" if change is drop else "differs from the entries"
    assert found(tiles, one_by_one=False)[0] == [(number, f"the tile 0/{number} {what}")]


def test_all_that_are_missing_are_found():
    assert [number for number, _ in found([], one_by_one=False)[0]] == list(range(COUNT))
