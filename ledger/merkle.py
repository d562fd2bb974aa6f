"""The Merkle tree of RFC 6962 (RFC 9162 2.1): hashes, roots, making inclusion and consistency proofs.

Nothing here stores a tree. A :class:`CompactRange` is the little an appender keeps; a :class:`HashReader` is whatever a
prover reads from, addressed by *coordinates*: ``(level, index)`` is the complete subtree over the leaves
``[index * 2**level, (index + 1) * 2**level)``, so level 0 are the leaf hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import InputError

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "MAX_TREE_SIZE",
    "CompactRange",
    "HashReader",
    "leaf_hash",
    "node_hash",
    "peaks_of",
    "perfect_root",
    "prove_consistency",
    "prove_inclusion",
    "root_hash",
]

#: Bytes of a hash (SHA-256).
HASH_SIZE = 32
#: Largest tree size (C2SP tlog-checkpoint: an int64).
MAX_TREE_SIZE = 2**63 - 1
#: Root hash of the empty tree: SHA-256 of nothing (RFC 9162 2.1.1).
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return the leaf hash of an entry's bytes: SHA-256 of 0x00 and the entry (RFC 9162 2.1.1)."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 of 0x01 and both child hashes (RFC 9162 2.1.1)."""
    return _sha256(b"\x01" + left + right).digest()


class HashReader(Protocol):
    """Where a prover reads hashes of complete subtrees from."""

    def read_hashes(self, coordinates: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return one 32-byte hash per ``(level, index)``, in the same order."""
        ...


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_TREE_SIZE:
        raise InputError(f"a tree size is between 0 and 2^63-1, not {size}")


def peaks_of(size: int) -> list[tuple[int, int]]:
    """Return the coordinates of the complete subtrees a tree is made of.

    Args:
        size: number of leaves.

    Returns:
        ``(level, index)`` left to right, largest first: one for every bit set in ``size``.

    Raises:
        InputError: a negative or too large size.
    """
    _check_size(size)
    return _cover(0, size)


def _cover(start: int, end: int) -> list[tuple[int, int]]:
    """Complete subtrees of the RFC 6962 subtree over leaves [start, end), left to right."""
    result = []
    for level in range((end - start).bit_length() - 1, -1, -1):
        if (end - start) >> level & 1:
            result.append((level, start >> level))
            start += 1 << level
    return result


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Hash of the subtree whose complete parts are ``hashes``: joined right to left (RFC 9162 2.1.1)."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Hash of a perfect subtree from its lowest hashes.

    Args:
        hashes: a power of two of hashes of 32 bytes, left to right.
    """
    layer = list(hashes)
    while len(layer) > 1:
        layer = [node_hash(layer[at], layer[at + 1]) for at in range(0, len(layer), 2)]
    (root,) = layer
    return root


def _split(width: int) -> int:
    """Largest power of two smaller than ``width`` (RFC 9162 2.1.1); ``width`` is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)


@dataclass(frozen=True, slots=True)
class CompactRange:
    """All an appender needs to know of a tree.

    Args:
        size: number of leaves.
        peaks: hashes of ``peaks_of(size)``, left to right, largest first; 32 bytes each.

    Raises:
        InputError: the number or length of the peaks does not fit the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_size(self.size)
        if len(self.peaks) != self.size.bit_count() or any(len(peak) != HASH_SIZE for peak in self.peaks):
            raise InputError(f"a tree of size {self.size} has {self.size.bit_count()} peaks of {HASH_SIZE} bytes")

    def append(self, leaf: bytes) -> CompactRange:
        """Return the range after one more leaf.

        Args:
            leaf: a leaf hash, 32 bytes.

        Raises:
            InputError: not 32 bytes.
        """
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> CompactRange:
        """Return the range after more leaves.

        Args:
            leaves: leaf hashes, 32 bytes each, in order.

        Raises:
            InputError: one is not 32 bytes.
        """
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            if len(leaf) != HASH_SIZE:
                raise InputError(f"a leaf hash has {HASH_SIZE} bytes, not {len(leaf)}")
            peaks.append(leaf)
            size += 1
            for _ in range((size & -size).bit_length() - 1):  # equal neighbours join, as a carry in binary addition
                right = peaks.pop()
                peaks[-1] = node_hash(peaks[-1], right)
        return CompactRange(size, tuple(peaks))

    def append_subtree(self, level: int, root: bytes) -> CompactRange:
        """Return the range after the ``2**level`` leaves of a complete subtree.

        Args:
            level: of the subtree; the size so far is a multiple of ``2**level``.
            root: its hash, 32 bytes.

        Raises:
            InputError: the subtree does not begin where the range ends, or the hash is not 32 bytes.
        """
        if self.size & ((1 << level) - 1) or len(root) != HASH_SIZE:
            raise InputError(f"no subtree of {1 << level} leaves can follow {self.size} leaves")
        size, peaks = self.size + (1 << level), [*self.peaks, root]
        for _ in range((size & -size).bit_length() - 1 - level):
            right = peaks.pop()
            peaks[-1] = node_hash(peaks[-1], right)
        return CompactRange(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the root hash (RFC 9162 2.1.1), 32 bytes; of the empty tree :data:`EMPTY_ROOT`."""
        return _fold(self.peaks)

    def to_bytes(self) -> bytes:
        """Return the peaks, one after the other; the size is kept beside them."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> CompactRange:
        """Read what :meth:`to_bytes` wrote.

        Args:
            size: number of leaves.
            data: 32 bytes for every bit set in ``size``.

        Raises:
            InputError: the length does not fit the size.
        """
        return cls(size, tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)))


def _read_ranges(reader: HashReader, ranges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    """Hashes of several RFC 6962 subtrees, each given by its leaves [start, end), with one read."""
    covers = [_cover(start, end) for start, end in ranges]
    hashes = reader.read_hashes([coordinate for cover in covers for coordinate in cover])
    result = []
    at = 0
    for cover in covers:
        result.append(_fold(hashes[at : at + len(cover)]))
        at += len(cover)
    return tuple(result)


def root_hash(reader: HashReader, size: int) -> bytes:
    """Return the root hash of the first ``size`` leaves.

    Args:
        reader: knows at least ``size`` leaves.
        size: 0 gives :data:`EMPTY_ROOT` without a read.

    Returns:
        32 bytes.

    Raises:
        InputError: a negative or too large size.
    """
    _check_size(size)
    return _read_ranges(reader, [(0, size)])[0] if size else EMPTY_ROOT


def prove_inclusion(reader: HashReader, index: int, size: int) -> tuple[bytes, ...]:
    """Return the proof that leaf ``index`` is in the tree of ``size`` leaves (RFC 9162 2.1.3.1).

    Args:
        reader: knows at least ``size`` leaves; read once.
        index: 0 is the first leaf.
        size: number of leaves of the tree.

    Returns:
        Hashes from the leaf's sibling up to a child of the root; 32 bytes each.

    Raises:
        InputError: the index is outside the tree.
    """
    _check_size(size)
    if not 0 <= index < size:
        raise InputError(f"leaf index {index} is outside a tree of size {size}")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    ranges.reverse()
    return _read_ranges(reader, ranges) if ranges else ()


def prove_consistency(reader: HashReader, old: int, new: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of ``old`` leaves is a prefix of that of ``new`` (RFC 9162 2.1.4.1).

    Args:
        reader: knows at least ``new`` leaves; read once.
        old: the earlier size; 0 has an empty proof (C2SP tlog-witness).
        new: the later size; the same as ``old`` has an empty proof.

    Returns:
        32-byte hashes in the order of the RFC.

    Raises:
        InputError: ``old`` is larger than ``new``, or one is out of range.
    """
    _check_size(old)
    _check_size(new)
    if old > new:
        raise InputError(f"no consistency proof from size {old} back to {new}")
    if old in (0, new):
        return ()
    ranges = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the flag b of SUBPROOF is false: the verifier does not know this subtree as the old root
        ranges.append((start, end))
    ranges.reverse()
    return _read_ranges(reader, ranges)
