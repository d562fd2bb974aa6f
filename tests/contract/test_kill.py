"""Kill -9 of a writer at a random moment: what was acknowledged is there, what is there is whole.

``MUNIMENT_KILL_ROUNDS`` (60) and ``MUNIMENT_KILL_SEED`` (0) may be set; a failure names the round and the seed.
`kill-process` of `make campaign` does it 1,000 times.
"""

from __future__ import annotations

import os

from tests.faults.crash import processes_killed

# Read now: `isolated_environment` hides it from the tests.
ROUNDS = int(os.environ.get("MUNIMENT_KILL_ROUNDS", "30"))
SEED = int(os.environ.get("MUNIMENT_KILL_SEED", "0"))


def test_nothing_acknowledged_is_lost(store_url: str):
    result = processes_killed(store_url, ROUNDS, SEED)
    assert result.ok, result
    assert result.figures["acknowledged"] > ROUNDS, "the writers did write"
