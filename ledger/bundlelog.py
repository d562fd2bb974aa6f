"""The rows of a bundle, read as a log is read, so that keys, roles and rules are judged by the same code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ledger.bundle import Bundle, rests_authority_on
from ledger.events.quarantine import QuarantinePlaced
from ledger.merkle import CompactRange, perfect_root
from ledger.stored import (
    Attestation,
    Head,
    LogIdentity,
    Row,
    SignedHead,
    StoredCheckpoint,
    Tile,
)
from ledger.tiles import TILE_WIDTH

__all__ = ["BundleLog"]


class BundleLog:
    """A `LogReader` over a bundle whose entries are numbered from 0.

    Args:
        bundle: what was read.
        ledgerid: of its first entry.
    """

    def __init__(self, bundle: Bundle, ledgerid: str) -> None:
        self._bundle = bundle
        self._rows = bundle.rows
        self._identity = LogIdentity(ledgerid, bundle.head.origin)
        self._streams: dict[str, list[Row]] = defaultdict(list)
        for row in bundle.rows:
            self._streams[row.entry.stream].append(row)
        leaves = [row.leaf_hash for row in bundle.rows]
        self._levels = [leaves]  # hashes of tiles' levels: the roots of whole groups of 256 of the level below
        while len(self._levels[-1]) >= TILE_WIDTH:
            below = self._levels[-1]
            whole = range(0, len(below) - TILE_WIDTH + 1, TILE_WIDTH)
            self._levels.append([perfect_root(below[at : at + TILE_WIDTH]) for at in whole])
        self.root = CompactRange().extend(leaves).root()

    def identity(self) -> LogIdentity:
        """See `LogReader`."""
        return self._identity

    def head(self) -> Head:
        """See `LogReader`."""
        last = self._rows[-1]
        authority = max((row.entry.index for row in self._rows if rests_authority_on(row.entry.stream)), default=-1)
        peaks = CompactRange().extend(self._levels[0]).to_bytes()
        return Head(len(self._rows), last.leaf_hash, peaks, last.entry.recorded_at, authority)

    def rows(self, start: int, limit: int) -> Sequence[Row]:
        """See `LogReader`."""
        return self._rows[start : start + limit]

    def stream_rows(self, stream: str, start: int, stop: int, after: int = 0) -> Sequence[Row]:
        """See `LogReader`."""
        found = self._streams.get(stream, [])
        return [row for row in found if start <= row.entry.index < stop and row.entry.revision > after]

    def authority_streams(self) -> Sequence[str]:
        """See `LogReader`."""
        return sorted(stream for stream in self._streams if stream.startswith("actor:"))

    def authority_rows(self, start: int, stop: int) -> Sequence[Row]:
        """See `LogReader`."""
        return [row for row in self._rows[start:stop] if row.entry.stream.startswith("actor:")]

    def quarantines(self, start: int, stop: int) -> Sequence[tuple[int, str]]:
        """See `LogReader`."""
        found = (row.entry for row in self._rows[start:stop] if row.entry.type == QuarantinePlaced.TOPIC)
        return [(entry.index, entry.stream) for entry in found]

    def actor_rows(self, actor: str, start: int, stop: int, limit: int) -> Sequence[Row]:
        """See `LogReader`."""
        return [row for row in self._rows[start:stop] if row.entry.actor == actor][:limit]

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        """See `LogReader`."""
        return self._levels[0][start:stop]

    def tile(self, level: int, index: int) -> Tile | None:
        """See `LogReader`."""
        hashes = self._levels[level][index * TILE_WIDTH : (index + 1) * TILE_WIDTH] if level < len(self._levels) else []
        return Tile(level, index, b"".join(hashes), perfect_root(hashes)) if len(hashes) == TILE_WIDTH else None

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """See `LogReader`."""
        return self._levels[level + 1][start:stop] if level + 1 < len(self._levels) else []

    def tiles(self, level: int, start: int, limit: int) -> Sequence[Tile]:
        """See `LogReader`."""
        found = (self.tile(level, index) for index in range(start, start + limit))
        return [tile for tile in found if tile is not None]

    def checkpoints(self, after: int, limit: int) -> Sequence[StoredCheckpoint]:
        """See `LogReader`: the one of the bundle."""
        head = self._bundle.head
        return [StoredCheckpoint(head.size, self._bundle.note)][:limit] if head.size > after else []

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """See `LogReader`."""
        return StoredCheckpoint(self._bundle.head.size, self._bundle.note)

    def signed_head(self) -> SignedHead | None:
        """See `LogReader`."""
        return SignedHead(self._bundle.head.size, self._bundle.head.root)

    def attestations(self, after: tuple[int, int], limit: int) -> Sequence[Attestation]:
        """See `LogReader`."""
        return [said for said in self._bundle.attestations if (said.size, said.number) > after][:limit]

    def attestations_before(self, before: tuple[int, int], limit: int) -> Sequence[Attestation]:
        """See `LogReader`."""
        found = [said for said in self._bundle.attestations if (said.size, said.number) < before]
        return found[::-1][:limit]

    def successor(self) -> tuple[str, bytes] | None:
        """See `LogReader`: a bundle tells of none."""
        return None

    def snapshot(self) -> AbstractContextManager[None]:
        """See `LogReader`."""
        return nullcontext()
