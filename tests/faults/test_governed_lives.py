"""The governed life cycle on SQLite, on PostgreSQL and in the lawbook; see `governed`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.faults.governed import governance
from tests.faults.scorecard import commit
from tests.faults.test_machine import urls_on

#: Repeats the lives of a seed.
_AGAIN = "LIVES_SEED"


def _seed() -> int:
    """Other lives for every commit, and the same ones for the same commit; without one, for every day."""
    found = commit(Path(__file__).parents[2])
    day = time.time_ns() // 86_400_000_000_000
    return int(os.environ.get(_AGAIN) or (day if found == "unknown" else int(found[:7], 16)))


def test_sqlite_postgres_and_the_lawbook_agree(postgres_dsn: str):
    seed = _seed()
    result = governance(urls_on(postgres_dsn), 5, 25, seed)
    assert result.ok, f"for these lives again set {_AGAIN}={seed}\n" + "\n".join(result.failures)
