"""Checking inclusion and consistency proofs of the Merkle tree of RFC 6962 (RFC 9162 2.1.3.2, 2.1.4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from ledger.errors import VerificationError
from ledger.merkle import EMPTY_ROOT, HASH_SIZE, MAX_TREE_SIZE, node_hash

__all__ = ["proven_before", "verify_consistency", "verify_inclusion"]


def _refuse(message: str, index: int | None = None) -> NoReturn:
    raise VerificationError(message, fault="proof", index=index)


def _climb(
    fn: int, sn: int, hashes: Sequence[bytes], what: str, index: int | None = None
) -> Iterator[tuple[bytes, bool]]:
    """Walk up from node ``fn`` of a level whose last node is ``sn`` (RFC 9162 2.1.3.2 step 4, 2.1.4.2 step 6).

    Yields each hash and whether it stands on the left; refuses a proof that does not end exactly at the root.
    """
    for item in hashes:
        if sn == 0:
            _refuse(f"the {what} proof is too long", index)
        on_left = bool(fn & 1) or fn == sn
        yield item, on_left
        if on_left:
            while not fn & 1 and fn:  # a last node without a sibling moves up as it is
                fn >>= 1
                sn >>= 1
        fn >>= 1
        sn >>= 1
    if sn != 0:
        _refuse(f"the {what} proof is too short", index)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bytes:
    """Check an inclusion proof (RFC 9162 2.1.3.2).

    Args:
        leaf: the leaf hash, 32 bytes (not the entry's bytes).
        index: where it is claimed to be; 0 is the first leaf.
        size: number of leaves of the tree.
        proof: hashes from the leaf's sibling upwards.
        root: the trusted root hash of that tree.

    Returns:
        ``root``, now proven to cover the leaf at ``index``.

    Raises:
        VerificationError: fault ``proof``.
    """
    if not 0 <= index < size <= MAX_TREE_SIZE:
        _refuse(f"leaf index {index} is outside a tree of size {size}", index)
    if len(leaf) != HASH_SIZE or any(len(item) != HASH_SIZE for item in proof):
        _refuse("a hash of the inclusion proof is not 32 bytes long", index)
    result = leaf
    for item, on_left in _climb(index, size - 1, proof, "inclusion", index):
        result = node_hash(item, result) if on_left else node_hash(result, item)
    if result != root:
        _refuse(f"the inclusion proof of leaf {index} does not lead to the root hash", index)
    return root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bytes:
    """Check a consistency proof (RFC 9162 2.1.4.2).

    Args:
        old: the earlier size.
        old_root: its trusted root hash.
        new: the later size.
        new_root: its root hash.
        proof: hashes in the order of the RFC.

    Returns:
        ``new_root``, now proven to extend the old tree.

    Raises:
        VerificationError: fault ``proof``.
    """
    if not 0 <= old <= new <= MAX_TREE_SIZE:
        _refuse(f"a tree cannot go from size {old} to {new}")
    if any(len(item) != HASH_SIZE for item in (old_root, new_root, *proof)):
        _refuse("a hash of the consistency proof is not 32 bytes long")
    if old in (0, new):
        if proof:
            _refuse("the consistency proof is too long")
        if old_root != (new_root if old == new else EMPTY_ROOT):
            _refuse(f"two different root hashes at size {old}")
        return new_root
    # step 2: of such a size the old root is itself a node of the new tree
    hashes = [old_root, *proof] if old.bit_count() == 1 else proof
    if _both_roots(old, new, hashes) != (old_root, new_root):
        _refuse(f"the tree of size {new} does not extend the tree of size {old}")
    return new_root


def proven_before(old: int, new: int, new_root: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that a tree has at an earlier size, by a consistency proof from there that leads to its root.

    Every hash of such a proof is a node of the tree, or two inputs of SHA-256 were found with one output. So nobody can
    spoil a proof and have it say something else.

    Args:
        old: the earlier size.
        new: the size of the tree.
        new_root: its root hash.
        proof: hashes in the order of RFC 9162.

    Returns:
        The root hash at ``old``; None when the proof does not lead to ``new_root``, or does not hold it: of sizes that
        are powers of two it is left out.
    """
    if not 0 < old < new <= MAX_TREE_SIZE or old.bit_count() == 1 or any(len(item) != HASH_SIZE for item in proof):
        return None
    try:
        old_root, result = _both_roots(old, new, proof)
    except VerificationError:
        return None
    return old_root if result == new_root else None


def _both_roots(old: int, new: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots that a consistency proof leads to, at both sizes (RFC 9162 2.1.4.2, steps 3 to 6)."""
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    if not hashes:
        _refuse("the consistency proof is too short")
    old_result = new_result = hashes[0]
    for item, on_left in _climb(fn, sn, hashes[1:], "consistency"):
        if on_left:
            old_result = node_hash(item, old_result)
            new_result = node_hash(item, new_result)
        else:
            new_result = node_hash(new_result, item)
    return old_result, new_result
