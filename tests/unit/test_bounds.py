"""Limits of what one answer costs or holds, written down once more: a test that reads one follows any change of it.

Those of the formats are in `test_wrong_forms`.
"""

from __future__ import annotations

from importlib import import_module

import pytest

DAY = 86_400_000_000

#: Module and name of each limit.
LIMITS = {
    "bundle._MAX_ITEMS": 1_000,
    "checkpoints._ATTEMPTS": 100,
    "domain.actors.FOREVER": 2**63 - 1,
    "domain.authorising._REVIEW": 30 * DAY,
    "domain.gating.FRESH": DAY // 24,
    "domain.keyring.MAX_GRANTS": 64,
    "domain.standing._DAY": DAY,
    "emitters._RANGES": 10,
    "envelope._MAX_SIGNATURES_BYTES": 3_202,
    "evidence._MAX_HASHES": 64,
    "evidence._MAX_VKEYS": 16,
    "findings.MAX_FINDINGS": 100,
    "freshness.CLOCK_SLACK": 300,
    "note.MAX_KEY_NAME": 255,
    "objectstore._REQUEST_SECONDS": 10,
    "objectstore._SECONDS": 60,
    "places._MAX_COMMITS": 1_000,
    "places._MAX_KEPT": 1_000,
    "places._SECONDS": 60,
    "published._ATTEMPTS": 5,
    "replay._CLOCK_TOLERANCE": 5_000_000,
    "successor._MAX_PLACE": 1_024,
    "suspects.MAX_SUSPECTS": 1_000,
    "timestamps.CLOCK_SLACK": 5_000_000,
}


#: Rows, verdicts and states that are in memory at once, however long a log is.
LIMITS |= {
    **{f"{module}._PAGE": 500 for module in ("bundling", "stored", "suspects", "verify")},
    "checkpoints._PAGE": 1_000,
    "witnesscheck._LOOK_BACK": 1_000,
    "witnessed._LOOK_BACK": 1_000,
    "worlds._JUDGED_CACHE": 8_192,
    "worlds._PAST": 256,
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_what_it_was_said_to_be(name: str):
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(f"ledger.{module}"), attribute) == LIMITS[name]
