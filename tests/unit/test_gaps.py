"""What was not verified is said, each with its place, and nothing is said that was verified."""

from __future__ import annotations

import pytest

from ledger.domain import Suspicion
from ledger.domain.erasure import Withheld
from ledger.emitters import Declared, EmitterReport
from ledger.findings import LogVerification, Witnessed
from ledger.gaps import file_gaps, gaps_of, spans_of
from ledger.note import TYPE_COSIGNATURE, VerifierKey
from ledger.suspects import Suspects
from ledger.verdicts import Gap, GapKind
from ledger.witnesspolicy import NO_QUORUM, Policy, PolicyWitness

W1, W2 = (VerifierKey(f"w{number}.example", TYPE_COSIGNATURE, bytes([number]) * 32) for number in (1, 2))


def good() -> LogVerification:
    """All of it: nothing is left out."""
    return LogVerification("0" * 32, "ledger.example/x", size=9, pinned=True, signed_size=9, anchored_size=9)


def policy(quorum: str = "w1") -> Policy:
    return Policy((), (PolicyWitness("w1", W1, None),), {}, quorum)


def places(found: LogVerification, policy: Policy | None = None) -> list[tuple[str, int | None, int | None]]:
    return [(str(gap.kind), gap.start, gap.stop) for gap in gaps_of(found, policy)]


def test_where_all_was_verified_nothing_is_left_out():
    found = good()
    assert places(found) == []
    found.witnessed = {W1: Witnessed(9, 0)}
    assert places(found, policy()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"signed_size": 7}, [("unsigned", 7, 9)]),
        ({"anchored_size": 0}, [("unanchored", 0, 9)]),
        ({"pinned": False}, [("unpinned", None, None)]),
        ({"opaque": [2, 3, 7]}, [("opaque", 2, 4), ("opaque", 7, 8)]),
        ({"acknowledged": [(4, "why")]}, [("acknowledged", 4, 5)]),
        (
            {"emitters": [EmitterReport("a", "e", 9, 3, ((1, 2), (4, 4)), (), 0, None, 0, None)]},
            [("sequences", None, None)],
        ),
        ({"verified_from": 5, "earlier": "hashed"}, [("earlier", 0, 5)]),
        ({"verified_from": 5, "earlier": "not read"}, [("earlier", 0, 5)]),
        ({"level": "checkpoint"}, [("level", 0, 9)] * 4),
        ({"level": "hash", "signed_size": 0, "anchored_size": 0}, [("level", 0, 9)] * 5),
        ({"suspects": Suspects(1, (Suspicion(3, 5, "k", "a"),))}, [("suspect", 3, 4)]),
        ({"suspects": Suspects(3, (Suspicion(3, 5, "k", "a"),))}, [("suspect", 3, 4), ("suspect", None, None)]),
        ({"witnessed": {W2: Witnessed(9, 0)}}, [("attestations", None, None)]),
    ],
    ids=[
        "no head",
        "no anchor",
        "not pinned",
        "opaque",
        "acknowledged",
        "numbers",
        "hashed",
        "not read",
        "checkpoint",
        "hash",
        "suspect",
        "more suspects",
        "stranger",
    ],
)
def test_each_kind_has_its_place(change: dict, expected: list):
    found = good()
    for name, value in change.items():
        setattr(found, name, value)
    assert places(found) == expected


def test_what_was_withheld_is_joined_by_its_record():
    found = good()
    one, other = Withheld(6, "p-eraser", "a law"), Withheld(8, "p-eraser", "a law")
    found.withheld = [(2, one), (3, one), (4, other), (5, one)]
    assert sorted(places(found)) == [("withheld", 2, 4), ("withheld", 4, 5), ("withheld", 5, 6)]


def test_a_policy_says_how_far_the_witnesses_reach():
    found = good()
    assert places(found, policy()) == [("unwitnessed", 0, 9)]
    found.witnessed = {W1: Witnessed(6, 0), W2: Witnessed(9, 0)}
    assert places(found, policy()) == [("unwitnessed", 6, 9), ("attestations", None, None)]
    assert places(found, Policy((), (), {}, NO_QUORUM)) == [("attestations", None, None)]


def test_the_numbers_of_an_emitter_are_named():
    found = good()
    declared = Declared(7, "p-admin", 5, 6, 1, "a disk was lost")
    found.emitters = [EmitterReport("a", "e", 9, 3, ((1, 2), (4, 4)), (declared,), 0, None, 0, None)]
    missing, said = gaps_of(found)
    assert missing.message == "3 event(s) of emitter e of a are not in the log: 1 to 2, 4"
    words = "1 event(s) of emitter e of a are not in the log, as p-admin declared for 5 to 6: a disk was lost"
    assert (said.kind, said.start, said.message) == (GapKind.SEQUENCES, 7, words)


def test_a_file_is_looked_for_only_where_content_is():
    event = [Gap(GapKind.LEVEL, "x"), Gap(GapKind.UNPINNED, "x"), Gap(GapKind.SUSPECT, "y", 3, 4)]
    found = [(gap.kind, gap.start, gap.stop) for gap in file_gaps(event, [5, 6], pinned=False)]
    assert found == [
        (GapKind.LEVEL, None, None), (GapKind.SUSPECT, 3, 4), (GapKind.SELECTION, 5, 7),
        (GapKind.UNPINNED, None, None),
    ]  # fmt: skip


def test_stretches():
    assert list(spans_of([])) == []
    assert list(spans_of([4])) == [(4, 5)]
    assert list(spans_of([0, 1, 3, 4, 5, 9])) == [(0, 2), (3, 6), (9, 10)]
