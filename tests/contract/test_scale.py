"""A large log: a proof reads one tile a level, opening reads what it always reads."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.entry import format_entry
from ledger.merkle import leaf_hash, prove_consistency, prove_inclusion, root_hash
from ledger.merkleproof import verify_consistency, verify_inclusion
from ledger.proof import verify_proof
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Tile
from ledger.treereader import KeepingTreeReader, TreeReader
from tests.contract.support import Cast, Meter, fill, make_cast

# Read now: `isolated_environment` hides it from the tests.
SIZES = {"sqlite": 66_000, "postgres": int(os.environ.get("MUNIMENT_SCALE_POSTGRES", "20000"))}


class CountingLog:
    """Counts the rows that are read, by level of tiles."""

    def __init__(self, log: SqlRecorder) -> None:
        self._log = log
        self.rows: Counter[int] = Counter()

    def tile(self, level: int, index: int) -> Tile | None:
        found = self._log.tile(level, index)
        self.rows[level] += found is not None
        return found

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        found = self._log.leaf_hashes(start, stop)
        self.rows[0] += len(found)
        return found

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        found = self._log.tile_roots(level, start, stop)
        self.rows[level + 1] += len(found)
        return found


def opened(url: str) -> tuple[int, int, int]:
    recorder = open_recorder(url)
    meter = Meter(recorder)
    with Ledger(recorder) as ledger:
        assert ledger.ledgerid
        assert ledger.ledger_state().ledgerid == ledger.ledgerid
        assert ledger.recorder.last_checkpoint() is not None
        return meter.spent()


@pytest.fixture
def large(quick_url: str) -> tuple[Cast, tuple[int, int, int]]:
    """A log of many entries, and what opening it cost when it had two."""
    cast = make_cast(quick_url, actors=())
    cost = opened(quick_url)
    fill(cast.recorder, SIZES[cast.recorder.backend] - 2)
    return cast, cost


def test_a_large_log_is_opened_and_proven_from_few_rows(large: tuple[Cast, tuple[int, int, int]]):
    cast, small = large
    recorder, chance = cast.recorder, random.Random(5)
    head = recorder.head()
    size, root = head.size, head.root()
    assert size == SIZES[recorder.backend]

    now = opened(cast.url)
    assert now[:2] == small[:2]
    assert now[2] <= small[2] * 1.1 + 200

    edges = [0, 1, 255, 256, 65_535 % size, 65_536 % size, size // 256 * 256 - 1, size // 256 * 256, size - 2, size - 1]
    for index in [*edges, *(chance.randrange(size) for _ in range(150))]:
        log = CountingLog(recorder)
        hashes = prove_inclusion(TreeReader(log), index, size)
        assert max(log.rows.values()) <= 256, f"entry {index} read {dict(log.rows)}"
        assert sum(log.rows.values()) <= 256 * 2 + 8
        (row,) = recorder.rows(index, 1)
        verify_inclusion(leaf_hash(format_entry(row.entry)), index, size, hashes, root)
    for old in [*(edge + 1 for edge in edges[:-1]), *(chance.randrange(1, size) for _ in range(50))]:
        # An earlier tree has an edge of its own, so two tiles a level may be partly read.
        log = CountingLog(recorder)
        proof = prove_consistency(TreeReader(log), old, size)
        assert max(log.rows.values()) <= 512, f"size {old} read {dict(log.rows)}"
        before = TreeReader(recorder)
        verify_consistency(old, root_hash(before, old), size, root, proof)
    check_roots_of_many_sizes(recorder, size, chance)


def check_roots_of_many_sizes(recorder: SqlRecorder, size: int, chance: random.Random) -> None:
    """Close sizes and far ones, more than are kept: what was dropped, and ends that grow, are read again."""
    sizes = [*range(1, 300), *(chance.randrange(1, size + 1) for _ in range(100)), *range(size - 100, size + 1)]
    keeping, reading = CountingLog(recorder), CountingLog(recorder)
    tree = KeepingTreeReader(keeping)
    for number in sizes:
        assert root_hash(tree, number) == root_hash(TreeReader(reading), number), f"size {number}"
    assert sum(keeping.rows.values()) < sum(reading.rows.values()) / 2


def test_a_proof_file_from_a_large_log(memory_path: Path):
    """Through `Ledger`, with a head signed over all of it."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}", actors=())
    fill(cast.recorder, 20_000)
    cast.admin.checkpoint()
    meter = Meter(cast.recorder)
    for index in (0, 255, 256, 12_345, 20_001):
        meter.spent()
        proof = cast.admin.prove_inclusion(index)
        statements, rows, _ = meter.spent()
        assert statements <= 12, "the same number whatever the size: cosignatures are one of them"
        assert rows <= 256 * 2 + 10
        found, checkpoint = verify_proof(proof, cast.admin.entry_bytes(index), cast.new.trust.verify_head)
        assert (found, checkpoint.size) == (index, 20_002)
