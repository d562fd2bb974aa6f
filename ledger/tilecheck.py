"""Comparing stored tiles with tiles computed from the entries themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.merkle import perfect_root
from ledger.stored import LogReader
from ledger.tiles import TILE_WIDTH

__all__ = ["BadTile", "TileCheck"]


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
        self.count = 0

    def add(self, leaf: bytes) -> Iterator[BadTile]:
        """Add one leaf hash.

        Yields:
            Tiles it completed that are missing or differ.
        """
        level, value = 0, leaf
        while True:
            if level == len(self._levels):
                self._levels.append([])
                self._filled.append(0)
            self._levels[level].append(value)
            if len(self._levels[level]) < TILE_WIDTH:
                return
            hashes, self._levels[level] = self._levels[level], []
            index = self._filled[level]
            self._filled[level] += 1
            self.count += 1
            value = perfect_root(hashes)
            stored = self._log.tile(level, index)
            if stored is None or stored.hashes != b"".join(hashes) or stored.root != value:
                what = "is missing" if stored is None else "differs from the entries"
                yield BadTile(index * TILE_WIDTH ** (level + 1), f"the tile {level}/{index} {what}")
            level += 1
