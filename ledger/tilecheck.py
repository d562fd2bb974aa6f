"""Comparing stored tiles with tiles computed from the entries themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.merkle import perfect_root
from ledger.stored import LogReader, Tile
from ledger.tiles import TILE_WIDTH

__all__ = ["BadTile", "TileCheck"]

_PAGE = 16  # tiles read at a time: a question to the store costs more than what it answers


@dataclass(frozen=True, slots=True)
class BadTile:
    """A stored tile that is missing or differs."""

    first_leaf: int
    text: str


class TileCheck:
    """Takes leaf hashes in order and checks each tile as it fills up.

    Args:
        log: where the stored tiles are.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._levels: list[list[bytes]] = []
        self._filled: list[int] = []
        self._read: dict[int, list[Tile]] = {}
        self.count = 0

    def resume(self, size: int) -> None:
        """Go on behind the first ``size`` leaves, taking the hashes of tiles that are not full yet from the store."""
        level, leaves = 0, size
        while leaves:
            full, rest = divmod(leaves, TILE_WIDTH)
            start, stop = leaves - rest, leaves
            found = self._log.tile_roots(level - 1, start, stop) if level else self._log.leaf_hashes(start, stop)
            self._levels.append(list(found))
            self._filled.append(full)
            self.count += full
            level, leaves = level + 1, full

    def add(self, leaf: bytes) -> Iterator[BadTile]:
        """Add one leaf hash.

        Yields:
            Tiles it completed that are missing or differ.
        """
        return self._push(0, leaf)

    def add_tile(self, hashes: bytes, root: bytes) -> Iterator[BadTile]:
        """Add the leaf hashes of a whole tile, where a tile begins.

        Args:
            hashes: 256 leaf hashes.
            root: the hash over them.

        Yields:
            Tiles it completed that are missing or differ.
        """
        self._level(0)
        return self._full(0, hashes, root)

    def _level(self, level: int) -> list[bytes]:
        if level == len(self._levels):
            self._levels.append([])
            self._filled.append(0)
        return self._levels[level]

    def _push(self, level: int, value: bytes) -> Iterator[BadTile]:
        hashes = self._level(level)
        hashes.append(value)
        if len(hashes) == TILE_WIDTH:
            self._levels[level] = []
            yield from self._full(level, b"".join(hashes), perfect_root(hashes))

    def _full(self, level: int, hashes: bytes, root: bytes) -> Iterator[BadTile]:
        index = self._filled[level]
        self._filled[level] += 1
        self.count += 1
        stored = self._stored(level, index)
        if stored is None or stored.hashes != hashes or stored.root != root:
            what = "is missing" if stored is None else "differs from the entries"
            yield BadTile(index * TILE_WIDTH ** (level + 1), f"the tile {level}/{index} {what}")
        yield from self._push(level + 1, root)

    def _stored(self, level: int, index: int) -> Tile | None:
        """A stored tile; those of a level are asked for in order."""
        page = self._read.get(level, [])
        if not page or page[-1].index < index:
            page = self._read[level] = list(self._log.tiles(level, index, _PAGE))
        return next((tile for tile in page if tile.index == index), None)
