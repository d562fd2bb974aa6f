"""Claims that a proof supports, every way to make them false, and who is asked about them.

A claim is about bare hashes: what it is proven against (a size and a root) is given, and no hash commits to the size.
`tests.attacks.proofs` makes the same claims with signed checkpoints, which bind both.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ledger.errors import InputError, VerificationError
from ledger.merkleproof import verify_consistency, verify_inclusion
from tests.unit.reference_merkle import mth, path, proof, split

#: Numbers that no tree of a test has.
NUMBERS = (-1, 0, 2**31, 2**32, 2**63 - 1, 2**63, 2**64)


@dataclass(frozen=True)
class Inclusion:
    """``leaf`` is number ``index`` of the ``size`` leaves under ``root``."""

    leaf: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]
    root: bytes

    def line(self) -> str:
        """For the Go program."""
        return " ".join(["inclusion", b64(self.leaf), str(self.index), str(self.size), b64(self.root), *_all(self)])


@dataclass(frozen=True)
class Consistency:
    """The ``size`` leaves under ``root`` begin with the ``old`` leaves under ``old_root``."""

    old: int
    old_root: bytes
    size: int
    proof: tuple[bytes, ...]
    root: bytes

    def line(self) -> str:
        """For the Go program."""
        return " ".join(["consistency", str(self.old), b64(self.old_root), str(self.size), b64(self.root), *_all(self)])


Claim = Inclusion | Consistency


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii") or "-"


def _all(claim: Claim) -> list[str]:
    return [b64(item) for item in claim.proof]


def leaves_of(size: int) -> list[bytes]:
    """Leaf hashes of a made-up log, 32 bytes each."""
    return [sha256(b"\x00entry %d" % number).digest() for number in range(size)]


def inclusion(leaves: Sequence[bytes], index: int, size: int) -> Inclusion:
    """A true claim."""
    return Inclusion(leaves[index], index, size, tuple(path(index, leaves[:size])), mth(leaves[:size]))


def consistency(leaves: Sequence[bytes], old: int, size: int) -> Consistency:
    """A true claim."""
    steps = tuple(proof(old, leaves[:size])) if old else ()
    return Consistency(old, mth(leaves[:old]), size, steps, mth(leaves[:size]))


# -- who is asked ---------------------------------------------------------------------------------


def ours(claim: Claim) -> bool:
    """What Muniment says."""
    try:
        if isinstance(claim, Inclusion):
            verify_inclusion(claim.leaf, claim.index, claim.size, claim.proof, claim.root)
        else:
            verify_consistency(claim.old, claim.old_root, claim.size, claim.root, claim.proof)
    except (VerificationError, InputError):
        return False
    return True


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _root_by_path(leaf: bytes, index: int, size: int, steps: Sequence[bytes]) -> bytes:
    """RFC 6962 2.1.1 read backwards: the last hash of PATH(m, D[n]) is the other half's."""
    if size == 1:
        if steps:
            raise ValueError("too long")
        return leaf
    if not steps:
        raise ValueError("too short")
    k = split(size)
    if index < k:
        return _node(_root_by_path(leaf, index, k, steps[:-1]), steps[-1])
    return _node(steps[-1], _root_by_path(leaf, index - k, size - k, steps[:-1]))


def _roots_by_subproof(old: int, size: int, steps: Sequence[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """RFC 6962 2.1.2 read backwards; ``known`` is the old root while the flag b is true."""
    if old == size:
        if known is not None:
            if steps:
                raise ValueError("too long")
            return known, known
        if len(steps) != 1:
            raise ValueError("too long or too short")
        return steps[0], steps[0]
    if not steps:
        raise ValueError("too short")
    k = split(size)
    if old <= k:
        before, after = _roots_by_subproof(old, k, steps[:-1], known)
        return before, _node(after, steps[-1])
    before, after = _roots_by_subproof(old - k, size - k, steps[:-1], None)
    return _node(steps[-1], before), _node(steps[-1], after)


def literal(claim: Claim) -> bool:
    """What the definitions of RFC 6962 say, read backwards and recursively."""
    ends = (claim.leaf, claim.root) if isinstance(claim, Inclusion) else (claim.old_root, claim.root)
    if any(len(item) != 32 for item in (*ends, *claim.proof)) or not claim.size < 2**63:
        return False
    try:
        if isinstance(claim, Inclusion):
            if not 0 <= claim.index < claim.size:
                return False
            return _root_by_path(claim.leaf, claim.index, claim.size, claim.proof) == claim.root
        if not 0 <= claim.old <= claim.size:
            return False
        if claim.old == 0:  # any tree extends the empty one, and nothing is needed to show it
            return not claim.proof and claim.old_root == mth([]) and (claim.size > 0 or claim.root == mth([]))
        roots = _roots_by_subproof(claim.old, claim.size, claim.proof, claim.old_root)
    except ValueError:
        return False
    return roots == (claim.old_root, claim.root)


# -- how a claim is made false --------------------------------------------------------------------


def _flipped(data: bytes) -> list[bytes]:
    return [bytes([data[0] ^ 0x80, *data[1:]]), bytes([*data[:-1], data[-1] ^ 1])]


def _wrong_lengths(data: bytes) -> list[bytes]:
    return [b"", data[:20], data[:31], data + b"\x00", data + data, sha256(data).digest() + data]


def _proofs(steps: tuple[bytes, ...], strangers: Sequence[bytes]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Every proof that is not this one, by how it differs."""
    places = range(len(steps))
    for at in places:
        yield "truncated", steps[:at] + steps[at + 1 :]
        yield "truncated", steps[:at]
        if at:
            yield "truncated", steps[at:]
        for other in (*_flipped(steps[at]), *strangers):
            yield "changed hash", (*steps[:at], other, *steps[at + 1 :])
        for other in _wrong_lengths(steps[at]):
            yield "hash length", (*steps[:at], other, *steps[at + 1 :])
        for to in range(at + 1, len(steps)):
            swapped = list(steps)
            swapped[at], swapped[to] = swapped[to], swapped[at]
            yield "permuted", tuple(swapped)
        if at:
            yield "permuted", steps[at:] + steps[:at]
    if len(steps) > 1:
        yield "permuted", steps[::-1]
    for at in range(len(steps) + 1):
        for other in (*strangers, *dict.fromkeys(steps)):
            yield "extended", (*steps[:at], other, *steps[at:])
        yield "hash length", (*steps[:at], b"", *steps[at:])
    for at in range(len(steps) - 1):  # two hashes in one
        yield "hash length", (*steps[:at], steps[at] + steps[at + 1], *steps[at + 2 :])
    yield "extended", (*steps, *(bytes(32),) * (64 - len(steps)))


def false_inclusions(
    leaves: Sequence[bytes], roots: Sequence[bytes], index: int, size: int
) -> Iterator[tuple[str, Claim]]:
    """Every class of change to a true claim, exhaustively.

    Args:
        leaves: of the largest tree.
        roots: of every size, the empty tree first.
        index: which leaf.
        size: of which tree.
    """
    true = Inclusion(leaves[index], index, size, tuple(path(index, leaves[:size])), roots[size])
    for other in (*range(size + 1), *NUMBERS):
        if other != index:
            yield "index", replace(true, index=other)
    for other in (*range(len(roots)), *NUMBERS):
        if other != size:
            yield "size", replace(true, size=other)
            if 0 <= other < len(roots):
                yield "root", replace(true, root=roots[other])
    for at, leaf in enumerate(leaves):
        if at != index:
            yield "leaf", replace(true, leaf=leaf)
    for leaf in (*_flipped(true.leaf), roots[size] if size > 1 else bytes(32)):
        yield "leaf", replace(true, leaf=leaf)
    for root in (*_flipped(true.root), bytes(32), *true.proof):
        yield "root", replace(true, root=root)
    for wrong in _wrong_lengths(true.leaf):
        yield "hash length", replace(true, leaf=wrong)
    for wrong in _wrong_lengths(true.root):
        yield "hash length", replace(true, root=wrong)
    for kind, steps in _proofs(true.proof, (bytes(32), true.root, true.leaf)):
        if steps != true.proof:
            yield kind, replace(true, proof=steps)


def false_consistencies(
    leaves: Sequence[bytes], roots: Sequence[bytes], old: int, size: int
) -> Iterator[tuple[str, Claim]]:
    """Every class of change to a true claim of consistency; arguments as `false_inclusions`."""
    steps = tuple(proof(old, leaves[:size])) if old else ()
    true = Consistency(old, roots[old], size, steps, roots[size])
    for other in (*range(len(roots)), *NUMBERS):
        if other != old:
            yield "old size", replace(true, old=other)
            if 0 <= other < len(roots):
                yield "old root", replace(true, old_root=roots[other])
        if other != size:
            yield "size", replace(true, size=other)
            if 0 <= other < len(roots) and old:  # any tree extends the empty one
                yield "root", replace(true, root=roots[other])
    for root in (*_flipped(true.old_root), bytes(32), *true.proof):
        yield "old root", replace(true, old_root=root)
    if old:
        for root in (*_flipped(true.root), bytes(32)):
            yield "root", replace(true, root=root)
    for wrong in _wrong_lengths(true.old_root):
        yield "hash length", replace(true, old_root=wrong)
    for wrong in _wrong_lengths(true.root):
        yield "hash length", replace(true, root=wrong)
    if 0 < old < size:
        yield "swapped roots", replace(true, old_root=true.root, root=true.old_root)
        yield "swapped sizes", replace(true, old=size, size=old)
    for kind, other in _proofs(true.proof, (bytes(32), true.root, true.old_root)):
        if other != true.proof:
            yield kind, replace(true, proof=other)
