"""A part of the campaign against proofs that is small enough for every change."""

from __future__ import annotations

import pytest

from tests.attacks import proofs
from tests.attacks.claims import Consistency, Inclusion, consistency, inclusion, leaves_of, literal, ours
from tests.foreign.conftest import verifier  # noqa: F401 - a fixture

KINDS = {
    "index", "size", "old size", "root", "old root", "leaf", "permuted", "truncated", "extended", "changed hash",
    "hash length", "swapped roots", "swapped sizes", "true",
}  # fmt: skip


def test_every_class_of_change_is_tried_at_every_leaf():
    tried: dict[str, set[object]] = {}
    for kind, claim in proofs.claims(7):
        tried.setdefault(kind, set()).add(claim)
    assert tried.keys() == KINDS
    assert all(not tried["true"] & claims for kind, claims in tried.items() if kind != "true")
    assert {(c.index, c.size) for c in tried["truncated"] if isinstance(c, Inclusion)} == {
        (index, size) for size in range(2, 8) for index in range(size)
    }
    assert {(c.old, c.size) for c in tried["changed hash"] if isinstance(c, Consistency)} == {
        (old, size) for size in range(2, 8) for old in range(1, size)
    }


def test_no_false_claim_is_accepted_and_go_and_the_definition_agree(verifier):  # noqa: F811
    result = proofs.bare_claims(17, 5, verifier, 0.5)
    assert result.ok, result
    assert result.n > 50_000
    assert result.figures["asked of Go"] > 20_000
    assert result.figures["same hashes in another shape of tree"] > 0


@pytest.mark.parametrize("size", [33, 64])
def test_a_larger_tree(size):
    leaves = leaves_of(size)
    for at in (0, 1, size // 2, size - 1):
        for claim in (inclusion(leaves, at, size), consistency(leaves, at + 1, size)):
            assert ours(claim)
            assert literal(claim)


def test_no_file_with_a_signed_head_proves_what_is_false():
    result = proofs.files(9, 5)
    assert result.ok, result
    assert result.n > 10_000


def test_the_instrument_sees_a_verifier_that_accepts_everything(monkeypatch):
    monkeypatch.setattr(proofs, "verify_proof", lambda *arguments: None)
    result = proofs.files(2, 5)
    assert result.zeros["accepted"] > 50
    assert not result.ok
