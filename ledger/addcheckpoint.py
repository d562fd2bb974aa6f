"""The request by which a log asks a witness for a cosignature (C2SP tlog-witness, add-checkpoint)."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from ledger.base64text import decode_base64
from ledger.errors import InputError
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE
from ledger.note import MAX_NOTE

__all__ = [
    "MAX_REQUEST",
    "MAX_UNPROVEN",
    "SIZE_TYPE",
    "UNPROVEN_HEADER",
    "AddCheckpoint",
    "format_add_checkpoint",
    "format_size",
    "monitoring_path",
    "parse_add_checkpoint",
    "parse_size",
    "parse_unproven",
]

#: Hashes of a consistency proof that a request may hold.
MAX_PROOF = 63
#: Bytes of a request: old size, the hashes, an empty line, the checkpoint.
MAX_REQUEST = 64 + MAX_PROOF * 45 + MAX_NOTE
#: Content type of the answer that names the witness's size.
SIZE_TYPE = "text/x.tlog.size"
#: Heads that a witness keeps as unproven of one log.
MAX_UNPROVEN = 32
#: Header of the answer that names sizes of heads which the witness keeps as unproven; of Muniment's witness only.
UNPROVEN_HEADER = "Muniment-Unproven"
_DECIMAL = re.compile(rb"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request.

    Attributes:
        old: tree size of the last checkpoint that the witness cosigned.
        proof: hashes of the consistency proof from there.
        note: the signed head, with any signatures.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes


def format_size(size: int) -> bytes:
    """A tree size as a witness answers it, with its newline."""
    return b"%d\n" % size


def parse_size(data: bytes) -> int:
    """Read the tree size that a witness answers.

    Raises:
        InputError: it is none.
    """
    if not data.endswith(b"\n") or _DECIMAL.fullmatch(data[:-1]) is None or int(data) > MAX_TREE_SIZE:
        raise InputError("the witness answered with a conflict and no tree size")
    return int(data)


def parse_unproven(text: str, head: int) -> tuple[int, ...]:
    """Sizes below a head that a witness names in `UNPROVEN_HEADER`; whatever else it names is left out."""
    sizes = (int(word) for word in text.split()[:MAX_UNPROVEN] if _DECIMAL.fullmatch(word.encode("utf-8", "replace")))
    return tuple(sorted({size for size in sizes if 0 < size < head}))


def format_add_checkpoint(request: AddCheckpoint) -> bytes:
    """Write a request.

    Raises:
        InputError: a size or a hash is out of range.
    """
    if not 0 <= request.old <= MAX_TREE_SIZE:
        raise InputError(f"a tree size is between 0 and 2^63-1, not {request.old}")
    if len(request.proof) > MAX_PROOF or any(len(item) != HASH_SIZE for item in request.proof):
        raise InputError(f"a consistency proof has at most {MAX_PROOF} hashes of {HASH_SIZE} bytes")
    hashes = b"".join(base64.b64encode(item) + b"\n" for item in request.proof)
    return b"old %d\n" % request.old + hashes + b"\n" + request.note


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Read a request; the note in it is not looked at.

    Raises:
        InputError: any form that `format_add_checkpoint` does not write.
    """
    if len(data) > MAX_REQUEST:
        raise InputError(f"a request has at most {MAX_REQUEST} bytes")
    head, empty, note = data.partition(b"\n\n")
    first, *hashes = head.split(b"\n")
    if not empty or not first.startswith(b"old ") or _DECIMAL.fullmatch(first[4:]) is None:
        raise InputError("a request is an old size, a consistency proof, an empty line and a checkpoint")
    wrong = "a line of the consistency proof is not padded standard base64"
    proof = tuple(decode_base64(item, wrong) for item in hashes)
    request = AddCheckpoint(int(first[4:]), proof, note)
    if format_add_checkpoint(request) != data:
        raise InputError("the request is not written in its only form")
    return request


def monitoring_path(origin: str) -> str:
    """Where a witness shows its last checkpoint of a log, below its monitoring prefix."""
    return f"{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
