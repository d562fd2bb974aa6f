"""Kill -9 of a writer at a random moment: what was acknowledged is there, what is there is whole.

``MUNIMENT_KILL_ROUNDS`` (200) and ``MUNIMENT_KILL_SEED`` (0) may be set; a failure names the round and the seed.
"""

from __future__ import annotations

import os
import random
import signal
import time

from ledger.recorders import open_recorder
from ledger.verify import verify_log
from tests.contract.support import Cast, Workers, audit, lost, make_cast, workers

# Read now: `isolated_environment` hides it from the tests.
ROUNDS = int(os.environ.get("MUNIMENT_KILL_ROUNDS", "200"))
SEED = int(os.environ.get("MUNIMENT_KILL_SEED", "0"))
CHECK_EVERY = 20


def check(cast: Cast, others: Workers, where: str) -> int:
    """Nothing acknowledged is lost, and the store is whole without any repair."""
    assert others.errors == [], where
    assert lost(cast.url, others.acknowledged) == [], where
    recorder = open_recorder(cast.url)
    try:
        report = verify_log(recorder, cast.new.trust)
    finally:
        recorder.close()
    assert report.ok, (where, report.findings)
    return report.size


def test_nothing_acknowledged_is_lost(store_url: str):
    cast = make_cast(store_url, actors=("p-author",))
    cast.enrol("svc", "service", ["emitter"], "p-author", seed=1)
    before = cast.recorder.head().size
    cast.recorder.close()
    chance = random.Random(SEED)
    silent = 0
    with workers() as others:
        for turn in range(ROUNDS):
            where = f"round {turn} of seed {SEED}"
            seen = len(others.acknowledged)
            pid = others.start("forever", store_url, "svc", 1, f"r{turn}")
            if chance.random() < 0.8:  # otherwise it may be killed while it starts
                others.first_ack()
            time.sleep(chance.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            if turn % 2:  # the next writer may come before this one is quite gone
                others.sync()
                silent += len(others.acknowledged) == seen
            if turn % CHECK_EVERY == CHECK_EVERY - 1:
                others.sync()
                check(cast, others, where)
        others.sync()
        size = check(cast, others, f"the end of seed {SEED}")
    rows = audit(store_url)
    acknowledged = len(others.acknowledged)
    assert len(rows) == size
    assert acknowledged > ROUNDS, "the writers did write"
    # One event a round may be stored without its acknowledgement having been read.
    assert 0 <= len(rows) - before - acknowledged <= ROUNDS
    assert len({index for index, _ in others.acknowledged}) == acknowledged
