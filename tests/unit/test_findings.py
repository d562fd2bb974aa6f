"""What a verification says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ledger.errors import VerificationError
from ledger.findings import UNCHECKED, Finding, LogVerification, entries
from ledger.verdicts import Fault, Verdict


def test_entries_in_words():
    assert [entries(3, 4), entries(3, 5), entries(0, 10)] == ["entry 3", "entries 3 to 4", "entries 0 to 9"]


def test_a_finding_in_words_and_for_machines():
    at, nowhere = Finding(Fault.CHAIN, 0, "gone"), Finding(Fault.ANCHOR, None, "other", (3, 7))
    assert (at.text, nowhere.text) == ("chain at entry 0: gone", "anchor: other")
    assert at.as_json() == {"fault": "chain", "index": 0, "sizes": None, "message": "gone"}
    assert nowhere.as_json() == {"fault": "anchor", "index": None, "sizes": [3, 7], "message": "other"}


def test_what_is_missing_of_emitters_is_told_by_number():
    found = LogVerification("ab" * 16, "ledger.example/unit")
    assert found.missing == []
    emitters: Any = [
        SimpleNamespace(actor=actor, emitter=emitter, missing=missing)
        for actor, emitter, missing in (("a", "1", 0), ("a", "2", 3), ("b", "1", 1))
    ]
    found.emitters = emitters
    assert found.missing == [("a", "2", 3), ("b", "1", 1)]


def test_a_verification_is_good_until_something_is_found():
    found = LogVerification("ab" * 16, "ledger.example/unit")
    assert (found.ok, found.verdict, found.level, found.unchecked) == (True, Verdict.VERIFIED, "full", ())
    assert (found.size, found.jobs, found.authority, found.pinned) == (0, 1, -1, False)
    assert (found.signed_size, found.anchored_size, found.verified_from, found.checkpoints) == (0, 0, 0, 0)
    found.raise_if_bad()
    found.findings += [Finding(Fault.CHAIN, 4, "gone"), Finding(Fault.TREE, 5, "more")]
    assert (found.ok, found.verdict) == (False, Verdict.BAD)
    with pytest.raises(VerificationError, match="gone") as caught:
        found.raise_if_bad()
    assert (caught.value.fault, caught.value.index) == ("chain", 4)
    for level in ("hash", "checkpoint"):
        assert LogVerification("", "", level=level).unchecked == UNCHECKED[level] != ()
