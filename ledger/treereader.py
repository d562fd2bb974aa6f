"""Hashes of subtrees, from stored tiles and leaf hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.merkle import HASH_SIZE, perfect_root
from ledger.stored import Tile
from ledger.tiles import TILE_WIDTH

__all__ = ["HashSource", "KeepingTreeReader", "TreeReader", "completed_tiles"]

_TILE_LEVELS = 8  # a tile spans eight levels of the tree: 2**8 = TILE_WIDTH
_KEPT_TILES = 32
_KEPT_ROOTS = 8192


class HashSource(Protocol):
    """The part of `LogReader` that holds hashes."""

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        """See `LogReader.leaf_hashes`."""

    def tile(self, level: int, index: int) -> Tile | None:
        """See `LogReader.tile`."""

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """See `LogReader.tile_roots`."""


class TreeReader:
    """A `merkle.HashReader` over stored tiles and leaf hashes.

    A proof reads at most one tile or 256 rows per eight levels of the tree.
    """

    def __init__(self, log: HashSource) -> None:
        self._log = log

    def read_hashes(self, coordinates: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """See `merkle.HashReader.read_hashes`; each tile is read once per call."""
        cache: dict[tuple[int, int], list[bytes]] = {}
        return [self._subtree(level, index, cache) for level, index in coordinates]

    def _tile_hashes(self, level: int, index: int) -> list[bytes]:
        tile = self._log.tile(level, index)
        if tile is not None:
            return [tile.hashes[i : i + HASH_SIZE] for i in range(0, len(tile.hashes), HASH_SIZE)]
        start = index * TILE_WIDTH
        if level == 0:
            return list(self._log.leaf_hashes(start, start + TILE_WIDTH))
        return list(self._log.tile_roots(level - 1, start, start + TILE_WIDTH))

    def _subtree(self, level: int, index: int, cache: dict[tuple[int, int], list[bytes]]) -> bytes:
        tile_level, inner = divmod(level, _TILE_LEVELS)
        first = index << inner
        tile_index, offset = divmod(first, TILE_WIDTH)
        count = 1 << inner
        if len(cache.get((tile_level, tile_index), ())) < offset + count:
            cache[tile_level, tile_index] = self._tile_hashes(tile_level, tile_index)
        layer = cache[tile_level, tile_index][offset : offset + count]
        if len(layer) != count:
            raise LookupError(f"the store has no hash at level {level}, index {index}")
        return perfect_root(layer)


class KeepingTreeReader(TreeReader):
    """A `TreeReader` that keeps, within bounds, what cannot change in a log that is only appended to.

    It is for who asks for the roots of many sizes; who checks the store against something reads it anew.
    """

    def __init__(self, log: HashSource) -> None:
        super().__init__(log)
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._roots: dict[tuple[int, int], bytes] = {}

    def read_hashes(self, coordinates: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """See `merkle.HashReader.read_hashes`; a tile that was not full is read again when more of it is asked for."""
        hashes = [self._subtree(level, index, self._tiles) for level, index in coordinates]
        while len(self._tiles) > _KEPT_TILES:
            del self._tiles[next(iter(self._tiles))]
        while len(self._roots) > _KEPT_ROOTS:
            del self._roots[next(iter(self._roots))]
        return hashes

    def _subtree(self, level: int, index: int, cache: dict[tuple[int, int], list[bytes]]) -> bytes:
        if (level, index) not in self._roots:
            self._roots[level, index] = super()._subtree(level, index, cache)
        return self._roots[level, index]


def completed_tiles(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Full tiles that growing from ``old_size`` to ``new_size`` completes, lowest level first.

    Returns:
        ``(level, index)`` of each tile.
    """
    found: list[tuple[int, int]] = []
    level, old, new = 0, old_size // TILE_WIDTH, new_size // TILE_WIDTH
    while new > 0:
        found.extend((level, index) for index in range(old, new))
        level, old, new = level + 1, old // TILE_WIDTH, new // TILE_WIDTH
    return found
