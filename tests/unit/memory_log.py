"""A log in memory: rows in a list, for reading and judging without a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ledger.domain import MemoryWorld, State
from ledger.events import known_event_type
from ledger.events.quarantine import QuarantinePlaced
from ledger.merkle import CompactRange
from ledger.replay import judge_row
from ledger.stored import NOTHING_SIGNED, Attestation, Head, LogIdentity, Row, SignedHead, StoredCheckpoint, Tile
from tests.unit.reference_merkle import mth


class MemoryLog:
    """A `LogReader` over rows, of which only the first ``size`` are there yet."""

    def __init__(self, ledgerid: str, rows: Sequence[Row]) -> None:
        self._rows = list(rows)
        self._identity = LogIdentity(ledgerid, "ledger.example/memory")
        self.size = len(self._rows)
        self.reads = 0

    def identity(self) -> LogIdentity:
        return self._identity

    def head(self) -> Head:
        authority = -1
        for row in self._rows[: self.size]:
            kind = known_event_type(row.entry.type)
            if kind is not None and kind.bears_on_all:
                authority = row.entry.index
        grown = CompactRange().extend(row.leaf_hash for row in self._rows[: self.size])
        if not self.size:
            return Head(0, bytes(32), b"", 0, -1)
        last = self._rows[self.size - 1]
        return Head(self.size, last.leaf_hash, grown.to_bytes(), last.entry.recorded_at, authority)

    def rows_of(self, size: int) -> list[Row]:
        """The first rows, whether they are there yet or not."""
        return self._rows[:size]

    def rows(self, start: int, limit: int) -> list[Row]:
        return self._rows[: self.size][start : start + limit]

    def stream_rows(self, stream: str, start: int, stop: int, after: int = 0) -> list[Row]:
        self.reads += 1
        found = [row for row in self._rows[: self.size][start:stop] if row.entry.stream == stream]
        return [row for row in found if row.entry.revision > after]

    def authority_streams(self) -> list[str]:
        return sorted({row.entry.stream for row in self._rows[: self.size] if row.entry.stream.startswith("actor:")})

    def authority_rows(self, start: int, stop: int) -> list[Row]:
        return [row for row in self._rows[: self.size][start:stop] if row.entry.stream.startswith("actor:")]

    def quarantines(self, start: int, stop: int) -> list[tuple[int, str]]:
        rows = self._rows[: self.size][start:stop]
        return [(row.entry.index, row.entry.stream) for row in rows if row.entry.type == QuarantinePlaced.TOPIC]

    def actor_rows(self, actor: str, start: int, stop: int, limit: int) -> list[Row]:
        return [row for row in self._rows[: self.size][start:stop] if row.entry.actor == actor][:limit]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        return [row.leaf_hash for row in self._rows[: self.size][start:stop]]

    def tile(self, level: int, index: int) -> Tile | None:
        return None

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        width = 256 ** (level + 1)
        return [
            mth(self.leaf_hashes(n * width, n * width + width)) for n in range(start, min(stop, self.size // width))
        ]

    def tiles(self, level: int, start: int, limit: int) -> list[Tile]:
        return []

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        return []

    def last_checkpoint(self) -> StoredCheckpoint | None:
        return None

    def signed_head(self) -> SignedHead | None:
        return NOTHING_SIGNED

    def attestations(self, after: tuple[int, int], limit: int) -> list[Attestation]:
        return []

    def attestations_before(self, before: tuple[int, int], limit: int) -> list[Attestation]:
        return []

    def successor(self) -> tuple[str, bytes] | None:
        return None

    def snapshot(self) -> AbstractContextManager[None]:
        return nullcontext()


class View:
    """What a `MemoryWorld` may ask a log, by definition."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)

    def leaf_hash(self, index: int) -> bytes | None:
        return self.leaves[index] if 0 <= index < len(self.leaves) else None

    def root_hash(self, size: int) -> bytes | None:
        return mth(self.leaves[:size]) if 0 < size <= len(self.leaves) else None


def worlds(log: MemoryLog) -> tuple[list[dict[str, State | None]], MemoryWorld, list[str]]:
    """Fold a log once, in order.

    Returns:
        The states of all streams before each index (and after the last), the world at the end, and each row's verdict.
    """
    rows = log.rows(0, log.size)
    streams = sorted({row.entry.stream for row in rows})
    view = View([])
    world = MemoryWorld(log.identity().ledgerid, view)
    found = [{stream: world.state(stream) for stream in streams}]
    verdicts: list[str] = []
    for row in rows:
        judged = judge_row(world, row)
        verdicts.append(judged.verdict.kind)
        if judged.event is not None and judged.verdict.kind == "valid":
            world.apply(judged.event)
        view.leaves.append(row.leaf_hash)
        found.append({stream: world.state(stream) for stream in streams})
    return found, world, verdicts
