"""The proof file: one entry's inclusion proof and the checkpoint it leads to (C2SP tlog-proof).

::

    c2sp.org/tlog-proof@v1
    extra <base64>              optional, not authenticated
    index <decimal>
    <base64 hash>               from the leaf's sibling up to a child of the root
    (empty line)
    <checkpoint, verbatim>
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ledger.base64text import decode_base64, encode_base64
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import InputError
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE, leaf_hash
from ledger.merkleproof import verify_inclusion
from ledger.note import MAX_NOTE, parse_note

__all__ = ["MAX_EXTRA", "MAX_PROOF", "MAX_PROOF_HASHES", "Proof", "format_proof", "parse_proof", "verify_proof"]

#: Bytes of the extra data.
MAX_EXTRA = 65_536
#: A tree of 2**63-1 leaves is this deep.
MAX_PROOF_HASHES = 63
#: Bytes of a proof file, checked before anything is decoded.
MAX_PROOF = MAX_NOTE + 4 * ((MAX_EXTRA + 2) // 3) + 45 * MAX_PROOF_HASHES + 100

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Proof:
    """A parsed proof file.

    Args:
        index: leaf index, 0 is the first.
        hashes: inclusion proof, 32 bytes each, leaf's sibling first.
        checkpoint_note: the signed checkpoint, verbatim.
        extra: anything; nothing vouches for it. None when the line is missing.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: bytes
    extra: bytes | None = None


def _line(text: str) -> bytes:
    return decode_base64(text, "a line of the proof is not padded standard base64")


def format_proof(proof: Proof) -> bytes:
    """Write a proof file.

    Args:
        proof: its parts.

    Returns:
        UTF-8 bytes.

    Raises:
        InputError: a part is out of range, or the checkpoint is not one.
    """
    if not 0 <= proof.index <= MAX_TREE_SIZE:
        raise InputError(f"{proof.index} is not a leaf index")
    if len(proof.hashes) > MAX_PROOF_HASHES or any(len(item) != HASH_SIZE for item in proof.hashes):
        raise InputError(f"a proof has at most {MAX_PROOF_HASHES} hashes of {HASH_SIZE} bytes")
    parse_checkpoint(parse_note(proof.checkpoint_note).text)
    lines = [_HEADER]
    if proof.extra is not None:
        if not 1 <= len(proof.extra) <= MAX_EXTRA:
            raise InputError(f"the extra data of a proof has 1 to {MAX_EXTRA} bytes, not {len(proof.extra)}")
        lines.append(f"extra {encode_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines.extend(encode_base64(item) for item in proof.hashes)
    return "\n".join([*lines, "", ""]).encode("ascii") + proof.checkpoint_note


def parse_proof(data: bytes) -> Proof:
    """Read a proof file.

    Args:
        data: as :func:`format_proof` writes it.

    Returns:
        Its parts, nothing verified.

    Raises:
        InputError: any other form.
    """
    if len(data) > MAX_PROOF:
        raise InputError(f"a proof has at most {MAX_PROOF} bytes, not {len(data)}")
    head, empty, note = data.partition(b"\n\n")
    if not empty or not head.isascii():
        raise InputError("a proof is ASCII lines, an empty line and a checkpoint")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != _HEADER:
        raise InputError(f"a proof starts with the line {_HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _line(lines.pop(0)[len("extra ") :])
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None:
        raise InputError("a proof has a line: index <decimal>")
    proof = Proof(int(match[1]), tuple(_line(line) for line in lines), note, extra)
    if format_proof(proof) != data:
        raise InputError("the proof is not written in its only form")
    return proof


def verify_proof(data: bytes, entry: bytes, verify_head: Callable[[bytes], Checkpoint]) -> tuple[int, Checkpoint]:
    """Check that an entry is in a log.

    Args:
        data: a proof file.
        entry: the entry's bytes (the preimage of the leaf hash).
        verify_head: checks a signed head: `Trust.verify_head`, which knows the sizes that each key of the log signs, or
            `verify_checkpoint` with keys of the log and of witnesses.

    Returns:
        The leaf index and the checkpoint that covers exactly this entry there.

    Raises:
        InputError: the file is malformed.
        AuthenticationError: the checkpoint is not signed by a key of the log that may sign it.
        VerificationError: fault ``checkpoint`` or ``proof``.
    """
    proof = parse_proof(data)
    checkpoint = verify_head(proof.checkpoint_note)
    verify_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return proof.index, checkpoint
