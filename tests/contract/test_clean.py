"""No false alarm: whatever correct use makes of a ledger, verification has nothing to say against it.

`clean-ledgers` of `make campaign` makes 1,000 ledgers on SQLite and 100 on PostgreSQL.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psycopg
import pytest

from ledger.checkpoint import verify_checkpoint
from ledger.verify import Anchor, verify_log
from tests.contract.histories import History
from tests.contract.support import audit, lost

STEPS = 28


def clean(url: str, seed: int) -> Counter[str]:
    history = History(url, seed).run(STEPS)
    cast = history.cast
    anchors = [Anchor(f"head {item.size}", verify_checkpoint(item.note, cast.new.trust.vkeys))
               for item in cast.recorder.checkpoints(0, 100)]  # fmt: skip
    report = verify_log(cast.recorder, cast.new.trust, anchors)
    assert report.findings == [], f"seed {seed}"
    assert report.acknowledged == []
    assert report.checkpoints == len(anchors)
    assert report.size == len(audit(url)), f"seed {seed}"
    assert lost(url, [(receipt.index, receipt.id) for receipt in history.receipts]) == []
    cast.recorder.close()
    return history.counts


@pytest.mark.parametrize("group", range(2))
def test_twenty_random_ledgers_on_sqlite(memory_path: Path, group: int):
    counts: Counter[str] = Counter()
    for seed in range(group * 20, group * 20 + 20):
        path = memory_path / f"{seed}.db"
        counts += clean(f"sqlite:///{path}", seed)
    for kind in ("refused", "retried", "marked", "NotAllowedError", "ConflictError", "AuthenticationError"):
        assert counts[kind] > 0, f"no {kind} in group {group}: {counts}"
    steps = {name for name in dir(History) if name.startswith("do_")}
    assert steps <= set(counts)


def test_five_random_ledgers_on_postgres(postgres_url: str, postgres_dsn: str):
    schemas = []
    try:
        for seed in range(1000, 1005):
            schemas.append(f"{postgres_url.partition('schema=')[2]}_{seed}")
            clean(f"{postgres_url}_{seed}", seed)
    finally:
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            for schema in schemas:
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
