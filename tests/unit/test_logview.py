"""Look-ups into the part of a log that is checked already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from ledger.logview import LogView
from ledger.merkle import perfect_root
from ledger.stored import Tile
from ledger.tiles import TILE_WIDTH
from tests.unit.reference_merkle import mth

LEAVES = [hashlib.sha256(b"%d" % number).digest() for number in range(600)]
SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 513, 600)


class Log:
    """The hashes of a store that holds these leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self.asked: list[tuple[int, int]] = []
        self.read: list[tuple[int, int]] = []

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        self.read.append((start, stop))
        return self.leaves[start:stop]

    def tile(self, level: int, index: int) -> Tile | None:
        self.asked.append((level, index))
        hashes = self.leaves[index * TILE_WIDTH : (index + 1) * TILE_WIDTH] if level == 0 else []
        return Tile(level, index, b"".join(hashes), perfect_root(hashes)) if len(hashes) == TILE_WIDTH else None

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        found = [self.tile(level, index) for index in range(start, stop)]
        return [tile.root for tile in found if tile is not None]


def view(leaves: Sequence[bytes] = LEAVES, checked: int = 600) -> LogView:
    log: Any = Log(leaves)
    found = LogView(log)
    found.checked = checked
    return found


def test_roots_of_all_sizes_are_those_of_the_definition():
    for size in SIZES:
        assert view().root_hash(size) == mth(LEAVES[:size])
        grown = view().grown(size)
        assert grown is not None
        assert (grown.size, grown.root()) == (size, mth(LEAVES[:size]))


def test_what_is_not_there_is_none():
    assert view().grown(0) is None
    assert view().root_hash(-1) is view().root_hash(601) is None
    log: Any = Log(LEAVES)
    found = LogView(log)
    assert (found.leaf_hash(0), found.leaf_hash(599), found.leaf_hash(600)) == (LEAVES[0], LEAVES[599], None)
    assert log.read == [(0, 1), (599, 600), (600, 601)], "one hash each is read"
    short = view([*LEAVES[:40], b"short", *LEAVES[41:]], checked=0)
    assert short.root_hash(41) is None, "a hash of another length"


@pytest.mark.parametrize(
    ("checked", "there"), [(0, ()), (255, ()), (256, (0,)), (511, (0,)), (512, (0, 1)), (600, (0, 1))]
)
def test_a_tile_counts_once_all_its_entries_are_checked(checked: int, there: tuple[int, ...]):
    found = view(checked=checked)
    assert tuple(index for index in range(3) if found.tile(0, index) is not None) == there
    assert found.tile(1, 0) is None


def test_a_tile_that_is_not_checked_is_not_even_asked_for():
    log: Any = Log(LEAVES)
    found = LogView(log)
    found.checked = 256**2 - 1
    found.tile(1, 0)
    assert log.asked == []
    found.checked += 1
    found.tile(1, 0)
    assert log.asked == [(1, 0)]


def test_a_longer_tree_extends_a_shorter_one_when_the_hashes_prove_it():
    for old in SIZES:
        for size in SIZES:
            assert view().extends(old, size) is (old <= size), (old, size)
    assert not view().extends(5, 601)
    assert not view().extends(0, 5)
    assert not view([*LEAVES[:40], b"short", *LEAVES[41:]], checked=0).extends(30, 41)
