"""The successor note: the signed word that a log goes on in another store, and that this one takes nothing more.

A C2SP signed note by the checkpoint key. Its first line holds spaces, which no origin can, and it has seven lines, so
it can never be taken for a checkpoint, nor a checkpoint for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.base64text import decode_base64, encode_base64
from ledger.checkpoint import Checkpoint, parse_origin
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.keys import ALG_ED25519, PublicKey, Signer
from ledger.note import TYPE_ED25519, Note, NoteSignature, VerifierKey, format_note, parse_note

__all__ = [
    "SUCCESSOR",
    "Successor",
    "format_successor",
    "parse_successor",
    "sign_successor",
    "successor_fault",
    "verify_successor",
]

#: First line of the text.
SUCCESSOR = "muniment successor v1"
_NAMES = ("origin", "ledgerid", "size", "root", "copy", "store")
_HEX = re.compile(r"[0-9a-f]{32}")
_SIZE = re.compile(r"[1-9][0-9]{0,18}")
_MAX_PLACE = 1024


@dataclass(frozen=True, slots=True)
class Successor:
    """Where a log goes on.

    Attributes:
        origin: name of the log.
        ledgerid: 32 hex digits.
        size: number of entries at which it moved.
        root: their root hash, 32 bytes.
        copy: 32 hex digits that name the one copy that goes on.
        place: the store of that copy, without its password; one printable line.
    """

    origin: str
    ledgerid: str
    size: int
    root: bytes
    copy: str
    place: str

    @property
    def head(self) -> Checkpoint:
        """The head at which the log moved."""
        return Checkpoint(self.origin, self.size, self.root)


def format_successor(successor: Successor) -> str:
    """Write the text of a successor note.

    Returns:
        Seven lines, each with its newline.

    Raises:
        InputError: a field is malformed.
    """
    parse_origin(successor.origin)
    root = encode_base64(successor.root)
    values = (successor.origin, successor.ledgerid, str(successor.size), root, successor.copy, successor.place)
    if (
        not _HEX.fullmatch(successor.ledgerid)
        or not _HEX.fullmatch(successor.copy)
        or not _SIZE.fullmatch(values[2])
        or len(successor.root) != 32
        or not 0 < len(successor.place) <= _MAX_PLACE
        or not successor.place.isprintable()
    ):
        raise InputError("a field of the successor note is malformed")
    return SUCCESSOR + "\n" + "".join(f"{name} {value}\n" for name, value in zip(_NAMES, values, strict=True))


def parse_successor(text: str) -> Successor:
    """Read the text of a successor note.

    Raises:
        InputError: any form `format_successor` does not write.
    """
    first, *lines = text.split("\n")
    if first != SUCCESSOR or len(lines) != len(_NAMES) + 1:
        raise InputError(f"a successor note has seven lines and begins with {SUCCESSOR!r}")
    values = []
    for name, line in zip(_NAMES, lines, strict=False):
        found, _, value = line.partition(" ")
        if found != name:
            raise InputError(f"a line of the successor note is not {name!r}")
        values.append(value)
    origin, ledgerid, size, root, copy, place = values
    if not _SIZE.fullmatch(size):
        raise InputError("the size of a successor note is not a decimal number without leading zeros")
    raw = decode_base64(root, "the root hash of a successor note is not base64")
    successor = Successor(origin, ledgerid, int(size), raw, copy, place)
    if format_successor(successor) != text:
        raise InputError("the successor note is not written in its only form")
    return successor


def sign_successor(successor: Successor, signer: Signer) -> bytes:
    """Sign a successor note with the log's own key.

    Args:
        successor: where the log goes on; its tree must be durable there.
        signer: the checkpoint key.

    Returns:
        A note with one signature line of type 0x01 whose key name is the origin.
    """
    text = format_successor(successor)
    key = VerifierKey(successor.origin, TYPE_ED25519, signer.public.raw)
    return format_note(Note(text, (NoteSignature(key.name, key.key_hash, signer.sign(text.encode())),)))


def verify_successor(note: bytes, vkeys: Sequence[VerifierKey]) -> Successor:
    """Check a successor note.

    Args:
        note: the note as stored.
        vkeys: verifier keys of the log.

    Returns:
        What it says, signed by one of these keys.

    Raises:
        VerificationError: fault ``checkpoint``: it is malformed, or not signed by the log.
    """
    try:
        parsed = parse_note(note)
        successor = parse_successor(parsed.text)
        (line,) = parsed.signatures
        (key,) = [key for key in vkeys if (key.name, key.key_hash) == (line.name, line.key_hash)]
        if (key.name, key.type) != (successor.origin, TYPE_ED25519):
            raise AuthenticationError("it is not signed by the log's own key")
        PublicKey(ALG_ED25519, key.public).verify(line.blob, parsed.text.encode())
    except (LedgerError, ValueError) as error:
        words = error.message if isinstance(error, LedgerError) else "it is not signed by the log's own key"
        raise VerificationError(f"the successor note is bad: {words}", fault="checkpoint") from None
    return successor


def successor_fault(
    stored: tuple[str, bytes] | None, vkey: VerifierKey | None, found: tuple[str, int, bytes]
) -> str | None:
    """What is wrong with the successor note of a store.

    Args:
        stored: the place it names in the clear and the note; None when the log goes on here.
        vkey: the checkpoint key, None when none is known.
        found: ledgerid, size and root hash of the log as it is.

    Returns:
        Words, or None when it is good or there is none.
    """
    if stored is None or vkey is None:
        return None
    place, note = stored
    try:
        successor = verify_successor(note, [vkey])
    except LedgerError as error:
        return error.message
    if (successor.ledgerid, successor.size, successor.root) != found:
        return f"the successor note is about {successor.size} entries with another root than the {found[1]} here"
    if successor.place != place:
        return "the store names another successor than the note that is signed"
    return None
