"""Evidence: what a contradiction between two heads proves, and that nothing else is taken for a proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.evidence import MAX_EVIDENCE, Evidence, Shown, format_evidence, parse_evidence, verify_evidence
from ledger.keys import Ed25519Signer
from ledger.merkle import leaf_hash, prove_consistency
from ledger.note import TYPE_ED25519, VerifierKey
from ledger.strictjson import format_json
from tests.unit.reference_merkle import MemoryTree, mth

ORIGIN = "ledger.example/evidence"
KEY, OTHER = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2))
VKEY, OTHER_VKEY = (VerifierKey(ORIGIN, TYPE_ED25519, key.public.raw) for key in (KEY, OTHER))
ENTRIES = [b"entry %d" % n for n in range(40)]
FORKED = [*ENTRIES[:5], *(b"other %d" % n for n in range(35))]
GENESIS = leaf_hash(ENTRIES[0]).hex()


def root(entries: list[bytes], size: int) -> bytes:
    return mth([leaf_hash(entry) for entry in entries[:size]])


def note(entries: list[bytes], size: int, key: Ed25519Signer = KEY) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root(entries, size)), key)


def under(*vkeys: VerifierKey) -> Callable[[bytes], Checkpoint]:
    return partial(verify_checkpoint, vkeys=vkeys)


def forked(known: int = 7, shown: int = 20, entries: list[bytes] = FORKED, **changes: object) -> Evidence:
    """A head of ``known`` entries was seen, and a log of ``shown`` other ones is there now."""
    tree = MemoryTree([leaf_hash(entry) for entry in entries])
    evidence = Evidence(
        contradiction="forked", ledgerid="ab" * 16, origin=ORIGIN, genesis=GENESIS, vkeys=(VKEY,), by="somebody",
        known=note(ENTRIES, known),
        shown=Shown("ab" * 16, ORIGIN, GENESIS, shown, root(entries, shown), note(entries, shown)),
        before=root(entries, known) if known <= shown else None,
        proof_size=shown if known <= shown else 0,
        proof=prove_consistency(tree, known, shown) if known <= shown else (),
        found_at=1_795_420_800_000_000,
    )  # fmt: skip
    return replace(evidence, **changes)  # type: ignore[arg-type]


SIZES = [(known, shown) for shown in range(6, 24) for known in range(6, shown + 1)]


def test_a_fork_is_proven_whatever_the_sizes():
    for known, shown in SIZES:
        evidence = parse_evidence(format_evidence(forked(known, shown)))
        assert evidence == forked(known, shown)
        verdict = verify_evidence(evidence, under(VKEY))
        assert verdict.proven
        assert (verdict.known.size, verdict.shown.size) == (known, shown)


def test_one_history_is_never_a_fork():
    for known, shown in SIZES:
        for evidence in (forked(known, shown, ENTRIES), forked(known, shown, ENTRIES, before=bytes(32))):
            with pytest.raises(VerificationError) as caught:
                verify_evidence(evidence, under(VKEY))
            assert caught.value.fault == "proof"


def test_every_spoiled_part_of_a_proof_is_refused_or_proves_no_more():
    good = forked(7, 20)
    spoiled = [replace(good, proof=good.proof[:i] + good.proof[i + 1 :]) for i in range(len(good.proof))]
    spoiled += [replace(good, proof=(*good.proof[:i], bytes(32), *good.proof[i + 1 :])) for i in range(len(good.proof))]
    spoiled += [replace(good, proof=(*good.proof, bytes(32))), replace(good, proof=()), replace(good, proof_size=19)]
    spoiled += [replace(good, before=bytes(32)), replace(good, known=note(ENTRIES, 8)), forked(7, 20, ENTRIES)]
    for evidence in spoiled:
        with pytest.raises(VerificationError):
            verify_evidence(evidence, under(VKEY))


def test_what_no_key_of_the_log_signed_proves_nothing_against_it():
    good = forked(7, 20)
    stranger = replace(good, shown=replace(good.shown, note=note(FORKED, 20, OTHER)))
    for evidence in (stranger, replace(good, shown=replace(good.shown, note=None))):
        verdict = verify_evidence(evidence, under(VKEY))
        assert not verdict.proven
        assert "the word of whoever made this file" in verdict.message
    assert verify_evidence(stranger, under(VKEY, OTHER_VKEY)).proven, "a log may change its key"
    with pytest.raises(AuthenticationError):
        verify_evidence(good, under(OTHER_VKEY))
    with pytest.raises(AuthenticationError):
        verify_evidence(replace(good, known=note(ENTRIES, 7, OTHER)), under(VKEY))


def test_a_shorter_log_is_shown_and_not_proven():
    for entries in (ENTRIES, FORKED):
        verdict = verify_evidence(forked(20, 9, entries, contradiction="shrunk"), under(VKEY))
        assert not verdict.proven
        assert "can be an earlier one of the same history" in verdict.message


def test_another_ledger_in_its_place_is_not_proven():
    good = forked(7, 20, before=None, proof=(), contradiction="replaced")
    elsewhere = replace(good.shown, ledgerid="cd" * 16, genesis="00" * 32, note=note(FORKED, 20, OTHER))
    assert not verify_evidence(replace(good, shown=elsewhere), under(VKEY)).proven
    with pytest.raises(VerificationError, match="contradicts"):
        verify_evidence(good, under(VKEY))


def test_two_roots_of_one_size_need_no_proof():
    assert verify_evidence(forked(9, 9, before=None, proof=(), proof_size=0), under(VKEY)).proven


def test_a_tree_too_damaged_for_a_proof_is_not_proven():
    assert not verify_evidence(forked(7, 20, before=None, proof=(), proof_size=0), under(VKEY)).proven


def test_every_flipped_byte_is_refused_or_changes_what_nobody_vouches_for():
    good = forked(7, 9)
    data = format_evidence(good)
    accepted = set()
    for place in range(len(data)):
        for bit in (0x01, 0x20, 0x80):
            try:
                found = parse_evidence(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
                if verify_evidence(found, under(VKEY)).proven:
                    accepted |= {name for name in Evidence.__dataclass_fields__
                                 if getattr(found, name) != getattr(good, name)}  # fmt: skip
            except LedgerError:
                continue
    # The maker's own words; and the claimed head, which no proof rests on when the signed one is there.
    assert accepted <= {"ledgerid", "origin", "genesis", "by", "found_at", "shown", "vkeys"}


def test_every_cut_is_refused():
    data = format_evidence(forked())
    for length in range(len(data)):
        with pytest.raises(InputError):
            parse_evidence(data[:length])


BAD: dict[str, dict[str, Any]] = {
    "another format": {"format": "muniment evidence v2"},
    "another kind": {"contradiction": "odd"},
    "no keys": {"vkeys": []},
    "too many keys": {"vkeys": ["x"] * 17},
    "keys that are none": {"vkeys": ["nonsense"]},
    "keys of another type": {"vkeys": [5]},
    "no time": {"found_at": "yesterday"},
    "a number for a size": {"proof": {"hashes": [], "root": "", "size": 5}},
    "a proof too long": {"proof": {"hashes": ["x"] * 65, "root": "x", "size": "5"}},
    "a proof that is none": {"proof": []},
    "a known head that is none": {"known": "x"},
    "a note that is none": {"known": {"by": "x", "note": 5}},
    "a member more": {"more": 1},
}


@pytest.mark.parametrize("name", BAD)
def test_another_shape_is_refused(name: str):
    data = json.loads(format_evidence(forked()))
    with pytest.raises(InputError):
        parse_evidence(format_json({**data, **BAD[name]}) + b"\n")


def test_what_is_no_evidence_at_all_is_refused():
    for data in (b"", b"{}", b"[]", b"null", b"\xff", b"x" * (MAX_EVIDENCE + 1), format_evidence(forked())[:-1]):
        with pytest.raises(InputError):
            parse_evidence(data)
    for size in ("", "-1", "01", "9" * 20, "٣", "1.0"):
        data = json.loads(format_evidence(forked()))
        data["shown"]["size"] = size
        with pytest.raises(InputError):
            parse_evidence(format_json(data) + b"\n")
