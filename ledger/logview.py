"""The stored hashes of a log, as far as a verification has compared them with the entries."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import InputError, VerificationError
from ledger.merkle import CompactRange, peaks_of, prove_consistency
from ledger.merkleproof import verify_consistency
from ledger.stored import LogReader, Tile
from ledger.tiles import TILE_WIDTH
from ledger.treereader import TreeReader

__all__ = ["LogView"]


class LogView:
    """Look-ups into the part of the log the pass has already checked, tiles included."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._tree = TreeReader(self)
        self.checked = 0  # size up to which leaf hashes and tiles were compared with the entries

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return next(iter(self._log.leaf_hashes(index, index + 1)), None)

    def grown(self, size: int) -> CompactRange | None:
        """The range of the first ``size`` entries, None when the store lacks a hash of it."""
        if size < 1:
            return None
        try:
            return CompactRange(size, tuple(self._tree.read_hashes(peaks_of(size))))
        except (LookupError, InputError):  # a hash is missing or has another length
            return None

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        grown = self.grown(size)
        return None if grown is None else grown.root()

    def extends(self, old: int, size: int) -> bool:
        """Whether the stored hashes prove that the tree of ``size`` extends the one of ``old``."""
        first, second = self.root_hash(old), self.root_hash(size)
        if first is None or second is None:
            return False
        try:
            verify_consistency(old, first, size, second, prove_consistency(self._tree, old, size))
        except (LookupError, InputError, VerificationError):
            return False
        return True

    def tile(self, level: int, index: int) -> Tile | None:
        """See `HashSource.tile`."""
        full_at = (index + 1) * TILE_WIDTH ** (level + 1)
        return self._log.tile(level, index) if full_at <= self.checked else None

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        """See `HashSource.leaf_hashes`."""
        return self._log.leaf_hashes(start, stop)

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """See `HashSource.tile_roots`."""
        return self._log.tile_roots(level, start, stop)
