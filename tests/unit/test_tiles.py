from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InputError, VerificationError
from ledger.merkle import MAX_TREE_SIZE, leaf_hash, prove_consistency, prove_inclusion, root_hash
from ledger.tiles import (
    TILE_WIDTH,
    TileReader,
    bundle_path,
    bundles_of,
    format_bundle,
    parse_bundle,
    parse_bundle_path,
    parse_tile_path,
    tile_coordinates,
    tile_path,
    tiles_of,
)
from tests.unit.reference_merkle import MemoryTree

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tiles.json").read_text())
indexes = st.integers(0, 10**12)
widths = st.integers(1, 256)


@pytest.mark.parametrize("case", VECTORS["paths"], ids=lambda case: case["path"])
def test_path_vectors(case):
    assert tile_path(case["level"], case["index"], case["width"]) == case["path"]
    assert parse_tile_path(case["path"]) == (case["level"], case["index"], case["width"])


@pytest.mark.parametrize(
    "path", VECTORS["bad_paths"] + ["tile/0/000\n", "tile/0/x001/x000", "tile/0/" + "x001/" * 40 + "000"]
)
def test_bad_paths_are_refused(path):
    with pytest.raises(InputError):
        parse_tile_path(path)
    with pytest.raises(InputError):
        parse_bundle_path(path.replace("tile/0/", "tile/entries/"))


@given(st.integers(0, 63), indexes, widths)
def test_every_path_comes_back(level, index, width):
    assert parse_tile_path(tile_path(level, index, width)) == (level, index, width)
    assert parse_bundle_path(bundle_path(index, width)) == (index, width)


def test_tiles_and_bundles_are_not_mixed_up():
    with pytest.raises(InputError):
        parse_tile_path("tile/entries/000")
    with pytest.raises(InputError):
        parse_bundle_path("tile/0/000")


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)]
)
def test_numbers_out_of_range_have_no_path(level, index, width):
    with pytest.raises(InputError):
        tile_path(level, index, width)


def test_the_tiles_of_70000_entries():
    # C2SP tlog-tiles, "Merkle tree": 256 times 273, and 112
    tiles = list(tiles_of(70_000))
    assert [tile for tile in tiles if tile[2] != 256] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert sum(1 for level, _, _ in tiles if level == 0) == 274
    assert [tile for tile in tiles if tile[0] == 1] == [(1, 0, 256), (1, 1, 17)]
    assert list(bundles_of(70_000))[-2:] == [(272, 256), (273, 112)]
    assert list(tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]
    assert not [*tiles_of(0), *bundles_of(0)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000])
def test_tiles_hold_every_complete_subtree_of_their_levels_once(size):
    found = [coordinate for tile in tiles_of(size) for coordinate in tile_coordinates(*tile)]
    wanted = [(level, index) for level in (0, 8, 16) for index in range(size >> level)]
    assert found == wanted
    assert sum(width for _, width in bundles_of(size)) == size


@pytest.mark.parametrize("size", [-1, MAX_TREE_SIZE + 1])
def test_sizes_out_of_range(size):
    for function in (tiles_of, bundles_of):
        with pytest.raises(InputError):
            list(function(size))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_every_bundle_comes_back(entries):
    assert parse_bundle(format_bundle(entries)) == entries


@given(st.binary(max_size=60))
def test_any_bytes_are_one_bundle_or_refused(data):
    try:
        entries = parse_bundle(data)
    except InputError:
        return
    assert format_bundle(entries) == data


def test_bundle_limits():
    assert parse_bundle(format_bundle([bytes(65_535)] * 256)) == [bytes(65_535)] * 256
    for entries in ([], [b""] * 257, [bytes(65_536)]):
        with pytest.raises(InputError):
            format_bundle(entries)
    for data in (b"", b"\0", b"\0\1", bytes(2 * 257), b"\0\1ab"):
        with pytest.raises(InputError):
            parse_bundle(data)


class Published:
    """Tiles of a tree, counting what is read."""

    def __init__(self, size: int) -> None:
        self.tree = MemoryTree([leaf_hash(b"%d" % number) for number in range(size)])
        self.tiles = {tile: b"".join(self.tree.read_hashes(tile_coordinates(*tile))) for tile in tiles_of(size)}
        self.size = size
        self.read: list[tuple[int, int, int]] = []

    def read_tile(self, level: int, index: int, width: int) -> bytes:
        self.read.append((level, index, width))
        return self.tiles[level, index, width]


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 300, 512, 1000, 66_000])
def test_a_tree_read_from_tiles_proves_the_same(size):
    published = Published(size)
    reader = TileReader(published.read_tile, size)
    assert root_hash(reader, size) == root_hash(published.tree, size)
    for index in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        published.read.clear()
        assert prove_inclusion(reader, index, size) == prove_inclusion(published.tree, index, size)
        assert prove_consistency(reader, index, size) == prove_consistency(published.tree, index, size)
        assert prove_inclusion(reader, 0, index + 1) == prove_inclusion(published.tree, 0, index + 1)


def test_every_coordinate_of_a_tree_can_be_read_and_no_other():
    size = 600
    published = Published(size)
    reader = TileReader(published.read_tile, size)
    every = [(level, index) for level in range(10) for index in range(size >> level)]
    assert reader.read_hashes(every) == published.tree.read_hashes(every)
    assert sorted(published.read) == sorted(set(published.read)), "a tile was read twice"
    for coordinate in [(0, size), (9, 1), (10, 0), (-1, 0), (0, -1), (3, 75)]:
        with pytest.raises(InputError):
            reader.read_hashes([coordinate])


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_a_tile_of_a_wrong_length_is_bad(change):
    published = Published(300)

    def read_tile(level: int, index: int, width: int) -> bytes:
        return published.read_tile(level, index, width)[: change if change < 0 else None] + bytes(max(change, 0))

    with pytest.raises(VerificationError) as caught:
        TileReader(read_tile, 300).read_hashes([(0, 0)])
    assert caught.value.fault == "tree"


def test_width_is_that_of_the_c2sp_specification():
    assert TILE_WIDTH == 256


@pytest.mark.parametrize("groups", [18, 19, 20, 21, 50, 2000])
def test_a_path_of_any_length_is_one_or_is_refused_as_bad_input(groups: int):
    for path in (f"tile/0/{'x000/' * groups}000", f"tile/0/{'x999/' * groups}999"):
        with pytest.raises(InputError):
            parse_tile_path(path)
