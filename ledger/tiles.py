"""Tiles and entry bundles: how the log is published (C2SP tlog-tiles).

The tree is cut into tiles, 256 hashes wide and eight levels high. Hash ``i`` of tile ``(level, index)`` is the complete
subtree ``(8 * level, 256 * index + i)`` in the coordinates of :mod:`ledger.merkle`. A full tile never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger.errors import InputError, VerificationError
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE, perfect_root

__all__ = [
    "MAX_BUNDLE_ENTRY",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "TileReader",
    "bundle_path",
    "bundles_of",
    "format_bundle",
    "parse_bundle",
    "parse_bundle_path",
    "parse_tile_path",
    "tile_coordinates",
    "tile_path",
    "tiles_of",
]

#: Levels of the tree in one tile.
TILE_HEIGHT = 8
#: Hashes in a full tile, entries in a full bundle.
TILE_WIDTH = 256
#: Bytes of one entry in a bundle: its length is a uint16.
MAX_BUNDLE_ENTRY = 65_535

_MAX_LEVEL = 63
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def _format_path(kind: str, index: int, width: int) -> str:
    if not 0 <= index <= MAX_TREE_SIZE or not 1 <= width <= TILE_WIDTH:
        raise InputError(f"there is no tile {index} of width {width}")
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{kind}/{'/'.join(reversed(groups))}{partial}"


def _parse_path(path: str) -> tuple[str, int, int]:
    match = _PATH.fullmatch(path) if len(path) <= 100 else None
    if match is None:
        raise InputError(f"{path[:80]!r} is not the path of a tile")
    kind, groups, width = match.groups()
    index = int(groups.replace("/x", "").replace("x", "").replace("/", ""))
    result = kind, index, int(width or TILE_WIDTH)
    if _format_path(*result) != path:  # a useless x000/ in front, or a "partial" of full width
        raise InputError(f"{path!r} is not the only form of the path of a tile")
    return result


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Write the path of a tile.

    Args:
        level: 0 to 63, in units of eight tree levels.
        index: place of the tile in its level.
        width: number of hashes, 1 to 256; less than 256 is a partial tile.

    Returns:
        For example ``tile/0/x001/x234/067`` or ``tile/1/001.p/17``.

    Raises:
        InputError: a number is out of range.
    """
    if not 0 <= level <= _MAX_LEVEL:
        raise InputError(f"there is no tile level {level}")
    return _format_path(str(level), index, width)


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """Read the path of a tile.

    Args:
        path: as :func:`tile_path` writes it.

    Returns:
        level, index and width.

    Raises:
        InputError: any other text, also the path of an entry bundle.
    """
    kind, index, width = _parse_path(path)
    if kind == "entries" or int(kind) > _MAX_LEVEL:
        raise InputError(f"{path!r} is not the path of a tile")
    return int(kind), index, width


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Write the path of an entry bundle.

    Args:
        index: place of the bundle; it starts at leaf ``256 * index``.
        width: number of entries, 1 to 256.

    Returns:
        For example ``tile/entries/273.p/112``.

    Raises:
        InputError: a number is out of range.
    """
    return _format_path("entries", index, width)


def parse_bundle_path(path: str) -> tuple[int, int]:
    """Read the path of an entry bundle.

    Args:
        path: as :func:`bundle_path` writes it.

    Returns:
        index and width.

    Raises:
        InputError: any other text.
    """
    kind, index, width = _parse_path(path)
    if kind != "entries":
        raise InputError(f"{path!r} is not the path of an entry bundle")
    return index, width


def _cut(count: int) -> Iterator[tuple[int, int]]:
    for index in range(count // TILE_WIDTH):
        yield index, TILE_WIDTH
    if count % TILE_WIDTH:
        yield count // TILE_WIDTH, count % TILE_WIDTH


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_TREE_SIZE:
        raise InputError(f"a tree size is between 0 and 2^63-1, not {size}")


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield every tile of a tree.

    Args:
        size: number of leaves.

    Yields:
        level, index and width; level by level, full tiles before the partial one, never an empty one.

    Raises:
        InputError: a negative or too large size.
    """
    _check_size(size)
    level = 0
    while count := size >> (TILE_HEIGHT * level):
        for index, width in _cut(count):
            yield level, index, width
        level += 1


def bundles_of(size: int) -> Iterator[tuple[int, int]]:
    """Yield every entry bundle of a log.

    Args:
        size: number of entries.

    Yields:
        index and width.

    Raises:
        InputError: a negative or too large size.
    """
    _check_size(size)
    yield from _cut(size)


def tile_coordinates(level: int, index: int, width: int = TILE_WIDTH) -> list[tuple[int, int]]:
    """Return the coordinates of the hashes a tile is made of, for a ``HashReader``.

    Args:
        level: tile level.
        index: place of the tile in its level.
        width: number of hashes.

    Returns:
        ``(8 * level, 256 * index + i)`` for every ``i`` below ``width``.
    """
    return [(TILE_HEIGHT * level, TILE_WIDTH * index + place) for place in range(width)]


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Write an entry bundle.

    Args:
        entries: 1 to 256 entries, each at most 65,535 bytes.

    Returns:
        Each entry after its length as a big-endian uint16.

    Raises:
        InputError: none, too many, or one too large.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise InputError(f"a bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}")
    if any(len(entry) > MAX_BUNDLE_ENTRY for entry in entries):
        raise InputError(f"an entry of a bundle has at most {MAX_BUNDLE_ENTRY} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes) -> list[bytes]:
    """Read an entry bundle.

    Args:
        data: as :func:`format_bundle` writes it.

    Returns:
        1 to 256 entries.

    Raises:
        InputError: cut short, empty, or more than 256 entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) <= TILE_WIDTH:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            raise InputError("an entry bundle is cut short")
        entries.append(data[at + 2 : end])
        at = end
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise InputError(f"a bundle has 1 to {TILE_WIDTH} entries")
    return entries


@dataclass(frozen=True, slots=True)
class TileReader:
    """A ``HashReader`` over published tiles. The tiles are not verified: what is proven from them has to be.

    Args:
        read_tile: gives the bytes of tile (level, index, width), ``32 * width`` of them; called with the widths a tree
            of ``size`` has.
        size: number of leaves of the tree the tiles are of.
    """

    read_tile: Callable[[int, int, int], bytes]
    size: int

    def read_hashes(self, coordinates: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the hashes of complete subtrees, reading each tile at most once.

        Args:
            coordinates: ``(level, index)`` of complete subtrees inside the tree.

        Returns:
            32 bytes for each, in the same order.

        Raises:
            InputError: a subtree is not complete in this tree.
            VerificationError: fault ``tree``: a tile has a wrong length.
        """
        tiles: dict[tuple[int, int], bytes] = {}
        result = []
        for level, index in coordinates:
            if level < 0 or index < 0 or (index + 1) << level > self.size:
                raise InputError(f"subtree {index} of level {level} is not complete in a tree of size {self.size}")
            tile_level, height = divmod(level, TILE_HEIGHT)
            tile_index, start = divmod(index << height, TILE_WIDTH)
            key = (tile_level, tile_index)
            if key not in tiles:
                tiles[key] = self._read(tile_level, tile_index)
            result.append(_subtree(tiles[key], start, height))
        return result

    def _read(self, level: int, index: int) -> bytes:
        width = min(TILE_WIDTH, (self.size >> (TILE_HEIGHT * level)) - TILE_WIDTH * index)
        data = self.read_tile(level, index, width)
        if len(data) != width * HASH_SIZE:
            raise VerificationError(
                f"{tile_path(level, index, width)} has {len(data)} bytes, not {width * HASH_SIZE}", fault="tree"
            )
        return data


def _subtree(tile: bytes, start: int, height: int) -> bytes:
    """Hash of the 2**height hashes of a tile from place ``start`` on."""
    first = start * HASH_SIZE
    hashes = [tile[at : at + HASH_SIZE] for at in range(first, first + (HASH_SIZE << height), HASH_SIZE)]
    return perfect_root(hashes)
