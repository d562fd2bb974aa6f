from __future__ import annotations

import hashlib
import json
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InputError, VerificationError
from ledger.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    CompactRange,
    leaf_hash,
    node_hash,
    peaks_of,
    prove_consistency,
    prove_inclusion,
    root_hash,
)
from ledger.merkleproof import proven_before, verify_consistency, verify_inclusion
from tests.unit import reference_merkle as reference

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "merkle.json").read_text())
MAX = 130
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(MAX)]
TREE = reference.MemoryTree(LEAVES)
ROOTS = [reference.mth(LEAVES[:size]) for size in range(MAX + 1)]
# Sizes whose proofs are attacked element by element: all small ones, and those around powers of two.
ATTACKED = [*range(1, 34), 63, 64, 65, 127, 128, 129, 130]
OTHER = hashlib.sha256(b"other").digest()


def test_prefixes_keep_leaves_and_nodes_apart():
    assert leaf_hash(b"") == hashlib.sha256(b"\x00").digest()
    assert node_hash(LEAVES[0], LEAVES[1]) == hashlib.sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT


# Leaves and roots of the Certificate Transparency test suites, known to every implementation of RFC 6962.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_certificate_transparency_roots():
    leaves = [leaf_hash(bytes.fromhex(text)) for text in CT_LEAVES]
    tree = reference.MemoryTree(leaves)
    for size, root in enumerate(CT_ROOTS):
        assert root_hash(tree, size).hex() == root
        assert CompactRange().extend(leaves[:size]).root().hex() == root


def test_vectors():
    leaves = [leaf_hash(b'{"seq":%d,"type":"model.registered","model":"m%d"}' % (n, n % 7)) for n in range(70_000)]
    tree = reference.MemoryTree(leaves)
    assert [leaf.hex() for leaf in leaves[:12]] == VECTORS["leaf_hashes"]
    roots = {int(size): bytes.fromhex(root) for size, root in VECTORS["roots"].items()}
    for size, root in roots.items():
        assert root_hash(tree, size) == root
    for case in VECTORS["inclusion"]:
        proof = tuple(bytes.fromhex(item) for item in case["proof"])
        index, size = case["index"], case["size"]
        assert prove_inclusion(tree, index, size) == proof
        assert verify_inclusion(leaves[index], index, size, proof, roots[size]) == roots[size]
    for case in VECTORS["consistency"]:
        proof = tuple(bytes.fromhex(item) for item in case["proof"])
        old, new = case["old"], case["new"]
        assert prove_consistency(tree, old, new) == proof
        assert verify_consistency(old, roots[old], new, roots[new], proof) == roots[new]


def test_roots_of_all_sizes_equal_the_definition():
    compact = CompactRange()
    for size in range(MAX + 1):
        assert root_hash(TREE, size) == ROOTS[size] == compact.root() == CompactRange().extend(LEAVES[:size]).root()
        assert compact.size == size
        assert list(compact.peaks) == TREE.read_hashes(peaks_of(size))
        assert CompactRange.from_bytes(size, compact.to_bytes()) == compact
        if size < MAX:
            compact = compact.append(LEAVES[size])


@pytest.mark.parametrize("start", [0, 1, 2, 3, 63, 64, 100])
def test_a_range_grows_the_same_in_one_step_or_many(start):
    first = CompactRange().extend(LEAVES[:start])
    for end in range(start, MAX + 1):
        grown = first.extend(iter(LEAVES[start:end]))
        assert grown.root() == ROOTS[end]
    assert first.root() == ROOTS[start]  # a range is never changed


def test_inclusion_proofs_of_all_sizes_equal_the_definition_and_verify():
    for size in range(1, MAX + 1):
        for index in range(size):
            proof = prove_inclusion(TREE, index, size)
            assert list(proof) == reference.path(index, LEAVES[:size])
            assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size]) == ROOTS[size]


def test_consistency_proofs_of_all_sizes_equal_the_definition_and_verify():
    for new in range(MAX + 1):
        for old in range(new + 1):
            proof = prove_consistency(TREE, old, new)
            if old:
                assert list(proof) == reference.proof(old, LEAVES[:new])
            assert verify_consistency(old, ROOTS[old], new, ROOTS[new], proof) == ROOTS[new]


def mutations(proof):
    """Every way to spoil one element: changed, dropped, added, doubled, swapped, cut or lengthened."""
    for at, item in enumerate(proof):
        for bit in (0, 255):
            spoiled = bytearray(item)
            spoiled[bit // 8] ^= 1 << bit % 8
            yield (*proof[:at], bytes(spoiled), *proof[at + 1 :])
        yield (*proof[:at], *proof[at + 1 :])
        yield (*proof[:at], item, *proof[at:])
        yield (*proof[:at], item[:31], *proof[at + 1 :])
        yield (*proof[:at], item + b"\0", *proof[at + 1 :])
        if at and proof[at - 1] != item:
            yield (*proof[: at - 1], item, proof[at - 1], *proof[at + 1 :])
    for at in range(len(proof) + 1):
        yield (*proof[:at], OTHER, *proof[at:])


@pytest.mark.parametrize("size", ATTACKED)
def test_no_spoiled_inclusion_proof_verifies(size):
    for index in range(size) if size < 34 else (0, 1, size // 2, size - 2, size - 1):
        proof = prove_inclusion(TREE, index, size)
        for spoiled in mutations(proof):
            with pytest.raises(VerificationError) as caught:
                verify_inclusion(LEAVES[index], index, size, spoiled, ROOTS[size])
            assert caught.value.fault == "proof"
            assert caught.value.index == index


@pytest.mark.parametrize("new", ATTACKED)
def test_no_spoiled_consistency_proof_verifies(new):
    for old in range(new + 1) if new < 34 else (0, 1, 2, new // 2, new - 2, new - 1, new):
        proof = prove_consistency(TREE, old, new)
        for spoiled in mutations(proof):
            with pytest.raises(VerificationError) as caught:
                verify_consistency(old, ROOTS[old], new, ROOTS[new], spoiled)
            assert caught.value.fault == "proof"


@pytest.mark.parametrize("size", ATTACKED)
def test_a_proof_is_bound_to_leaf_index_and_root(size):
    # Not to the size alone: where a larger tree has the same path, only the root hash tells them apart (RFC 9162).
    for index in range(size):
        proof = prove_inclusion(TREE, index, size)
        claims = [(OTHER, index, ROOTS[size]), (LEAVES[index], index, OTHER), (LEAVES[index], index, ROOTS[size - 1])]
        claims += [(LEAVES[index], other, ROOTS[size]) for other in range(size) if other != index]
        for leaf, at, root in claims:
            with pytest.raises(VerificationError):
                verify_inclusion(leaf, at, size, proof, root)


@pytest.mark.parametrize("new", ATTACKED)
def test_consistency_is_bound_to_both_roots(new):
    for old in range(new + 1):
        proof = prove_consistency(TREE, old, new)
        with pytest.raises(VerificationError):
            verify_consistency(old, OTHER, new, ROOTS[new], proof)
        with pytest.raises(VerificationError):
            verify_consistency(old, ROOTS[old], new, OTHER, proof) if old else verify_consistency(
                old, OTHER, new, ROOTS[new], proof
            )
        for other in range(1, new):
            if other != old and old:
                with pytest.raises(VerificationError):
                    verify_consistency(other, ROOTS[old], new, ROOTS[new], proof)


@pytest.mark.parametrize("new", ATTACKED)
def test_a_proof_tells_the_past_of_its_own_tree_and_no_spoiled_one_tells_another(new):
    """Whoever is shown a proof that leads to a signed root knows what that tree was, whatever the sender wanted."""
    for old in range(new + 1):
        proof = prove_consistency(TREE, old, new)
        told = proven_before(old, new, ROOTS[new], proof)
        # It is not in the proof of a size that is a power of two, nor of the tree itself.
        assert told == (ROOTS[old] if 0 < old < new and old.bit_count() > 1 else None)
        assert proven_before(old, new, OTHER, proof) is None
        for spoiled in mutations(proof) if new < 34 or old in (3, new - 1) else ():
            assert proven_before(old, new, ROOTS[new], spoiled) is None
        for other in range(new + 1):  # presented as one from another size: no honest log is accused
            assert proven_before(other, new, ROOTS[new], proof) in (None, ROOTS[other])
    assert proven_before(new, new, ROOTS[new], ()) is None
    assert proven_before(3, MAX_TREE_SIZE + 1, ROOTS[new], ()) is None
    assert proven_before(-1, new, ROOTS[new], ()) is None


def test_a_changed_past_has_no_proof():
    changed = reference.MemoryTree([OTHER if at == 3 else leaf for at, leaf in enumerate(LEAVES)])
    for old in range(4, 20):
        for new in range(old, 24):
            proof = prove_consistency(changed, old, new)
            with pytest.raises(VerificationError):
                verify_consistency(old, ROOTS[old], new, root_hash(changed, new), proof)


def test_an_inner_node_is_no_leaf():
    # Without the prefixes, node (1, 0) could be shown as "entry 0" of a tree of half the size.
    size = 8
    proof = prove_inclusion(TREE, 0, size)
    with pytest.raises(VerificationError):
        verify_inclusion(leaf_hash(LEAVES[0] + LEAVES[1]), 0, size // 2, proof[1:], ROOTS[size])


def test_numbers_outside_the_tree():
    for index, size in [(-1, 1), (0, 0), (1, 1), (5, 4), (0, MAX_TREE_SIZE + 1)]:
        with pytest.raises(InputError):
            prove_inclusion(TREE, index, size)
        with pytest.raises(VerificationError):
            verify_inclusion(LEAVES[0], index, size, (), LEAVES[0])
    for old, new in [(-1, 1), (2, 1), (0, -1), (1, MAX_TREE_SIZE + 1)]:
        with pytest.raises(InputError):
            prove_consistency(TREE, old, new)
        with pytest.raises(VerificationError):
            verify_consistency(old, LEAVES[0], new, LEAVES[0], ())
    # Proofs that lead to their roots in trees of any size: on the left all the way down, or from one half to the whole.
    path = [bytes([n]) * 32 for n in range(63)]
    root, half = reduce(node_hash, path, LEAVES[0]), LEAVES[1]
    assert verify_inclusion(LEAVES[0], 0, MAX_TREE_SIZE, path, root) == root
    assert verify_consistency(2**62, half, MAX_TREE_SIZE, node_hash(half, root), [root])
    with pytest.raises(VerificationError, match="outside a tree"):
        verify_inclusion(LEAVES[0], 0, MAX_TREE_SIZE + 1, path, root)
    with pytest.raises(VerificationError, match="cannot go from"):
        verify_consistency(2**62, half, MAX_TREE_SIZE + 1, node_hash(half, root), [root])
    for size in (-1, -8, MAX_TREE_SIZE + 1):
        with pytest.raises(InputError, match=r"2\^63-1"):
            CompactRange(size, (LEAVES[0],))
    for size in (-1, MAX_TREE_SIZE + 1):
        for function in (peaks_of, lambda n: root_hash(TREE, n), CompactRange):
            with pytest.raises(InputError):
                function(size)


def test_an_empty_old_tree_must_have_the_empty_root():
    assert verify_consistency(0, EMPTY_ROOT, 5, ROOTS[5], ()) == ROOTS[5]
    with pytest.raises(VerificationError):
        verify_consistency(0, ROOTS[1], 5, ROOTS[5], ())
    with pytest.raises(VerificationError):
        verify_consistency(0, EMPTY_ROOT, 0, ROOTS[5], ())


def test_hashes_of_a_wrong_length_are_refused():
    for length in (0, 31, 33):
        with pytest.raises(InputError):
            CompactRange().append(bytes(length))
        for leaves in (
            [bytes(length), LEAVES[0]],
            [LEAVES[0], bytes(length)],
            [*LEAVES[:4], bytes(length), *LEAVES[:3]],
        ):
            with pytest.raises(InputError, match=f"not {length}$"):
                CompactRange().extend(leaves)
        with pytest.raises(VerificationError):
            verify_inclusion(bytes(length), 0, 1, (), bytes(length))
        with pytest.raises(VerificationError):
            verify_consistency(1, bytes(length), 1, bytes(length), ())
    for size, data in [(1, b""), (0, bytes(32)), (3, bytes(63)), (3, bytes(65)), (3, bytes(32)), (4, bytes(64))]:
        with pytest.raises(InputError):
            CompactRange.from_bytes(size, data)


def test_each_prover_reads_once():
    for call in (
        lambda tree: root_hash(tree, 100),
        lambda tree: prove_inclusion(tree, 77, 100),
        lambda tree: prove_consistency(tree, 70, 100),
    ):
        tree = reference.MemoryTree(LEAVES)
        call(tree)
        assert tree.reads == 1


@given(st.integers(1, MAX_TREE_SIZE), st.data())
def test_proof_lengths_stay_logarithmic_in_the_largest_trees(size, data):
    class Zero:
        """Every hash is the same: enough to count them."""

        def read_hashes(self, coordinates):
            assert all(0 <= (index + 1) << level <= size for level, index in coordinates)
            assert len(coordinates) <= 2 * 63
            return [bytes(32)] * len(coordinates)

    index = data.draw(st.integers(0, size - 1))
    assert len(prove_inclusion(Zero(), index, size)) <= (size - 1).bit_length()
    assert len(prove_consistency(Zero(), index, size)) <= size.bit_length() + 1
    peaks = peaks_of(size)
    assert sum(1 << level for level, _ in peaks) == size
    assert [level for level, _ in peaks] == sorted({level for level, _ in peaks}, reverse=True)


@settings(max_examples=30)
@given(st.integers(1, 3000), st.data())
def test_larger_trees_prove_and_verify(size, data):
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    tree = reference.MemoryTree(leaves)
    root = CompactRange().extend(leaves).root()
    assert root_hash(tree, size) == root
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assert verify_inclusion(leaves[index], index, size, prove_inclusion(tree, index, size), root) == root
    old_root = CompactRange().extend(leaves[:old]).root()
    assert verify_consistency(old, old_root, size, root, prove_consistency(tree, old, size)) == root


def test_a_subtree_is_appended_as_its_leaves_are():
    leaves = [hashlib.sha256(b"%d" % number).digest() for number in range(64)]
    for start in range(48):
        for level in range(5):
            width = 1 << level
            before = CompactRange().extend(leaves[:start])
            if start % width:
                with pytest.raises(InputError):
                    before.append_subtree(level, bytes(32))
                continue
            part = leaves[start : start + width]
            assert before.append_subtree(level, reference.mth(part)) == before.extend(part)
    with pytest.raises(InputError):
        CompactRange().append_subtree(2, b"short")
