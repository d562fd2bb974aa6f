"""How far the last full verification came: a damaged file is an error and never "nothing verified yet"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoint import Checkpoint
from ledger.errors import TrustStateError
from ledger.findings import Finding, LogVerification
from ledger.verdicts import Fault
from ledger.verified import VerifiedMark
from tests.unit.test_trust import ORIGIN, TRUST

NOW = 1_700_000_000_123_456


def verification(**changes: Any) -> LogVerification:
    found = LogVerification(TRUST.ledgerid, ORIGIN, size=9, signed_size=7, authority=6)
    found.signed_root, found.heads = b"\x0a" * 32, b"\x0b" * 32
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_what_is_kept_is_recalled(tmp_path: Path):
    mark = VerifiedMark(TRUST, tmp_path)
    assert mark.recall() is None
    mark.keep(verification(), NOW)
    found = mark.recall()
    assert found is not None
    assert (found.size, found.root, found.heads, found.authority, found.at) == (7, b"\n" * 32, b"\x0b" * 32, 6, NOW)
    since = found.since(reread=True)
    assert (since.size, since.root, since.heads, since.authority) == (7, b"\n" * 32, b"\x0b" * 32, 6)
    assert (since.reread, since.again) == (True, False)
    assert (found.since(reread=False, again=True).reread, found.since(reread=False, again=True).again) == (False, True)


def test_only_a_good_and_full_one_that_a_head_covers_is_kept(tmp_path: Path):
    mark = VerifiedMark(TRUST, tmp_path)
    bad = [Finding(Fault.CHAIN, 1, "gone")]
    for change in ({"findings": bad}, {"level": "checkpoint"}, {"authority": 7}, {"authority": 8}, {"signed_size": 6}):
        mark.keep(verification(**change), NOW)
        assert mark.recall() is None, change


def test_who_may_rest_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mark = VerifiedMark(TRUST, tmp_path)
    mark.keep(verification(), NOW)
    found = mark.recall()
    assert found is not None
    heads = [Checkpoint(ORIGIN, size, bytes(32)) for size in (6, 7, 8)]
    assert [found.trustworthy(head) for head in (None, *heads)] == [False, False, True, True]
    monkeypatch.setattr("ledger.verified._version", lambda: "another")
    assert not found.trustworthy(heads[2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2), ("level", "hash"), ("ledgerid", "cd" * 16), ("size", 0), ("size", -1), ("size", "7"),
        ("size", True), ("size", 7.5), ("authority", -2), ("authority", "6"), ("authority", False), ("root", "0a"),
        ("root", 1), ("heads", "0B" * 32), ("heads", None), ("at", 1), ("at", "yesterday"), ("version", 1), ("more", 1),
    ],
)  # fmt: skip
def test_a_damaged_one_is_an_error(name: str, value: Any, tmp_path: Path):
    mark = VerifiedMark(TRUST, tmp_path)
    mark.keep(verification(), NOW)
    data = json.loads(mark.path.read_text())
    for size, authority in ((1, -1), (7, 0)):
        mark.path.write_text(json.dumps({**data, "size": size, "authority": authority}))
        found = mark.recall()
        assert found is not None
        assert (found.size, found.authority) == (size, authority)
    mark.path.write_text(json.dumps({**data, name: value}))
    with pytest.raises(TrustStateError, match="is damaged"):
        mark.recall()


def test_an_array_or_nothing_is_an_error(tmp_path: Path):
    mark = VerifiedMark(TRUST, tmp_path)
    mark.path.parent.mkdir(parents=True)
    for text in ("[]", "{}", "", "x", "1"):
        mark.path.write_text(text)
        with pytest.raises(TrustStateError, match="is damaged"):
            mark.recall()
