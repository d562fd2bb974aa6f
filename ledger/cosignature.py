"""Cosignature lines by themselves: as witnesses answer them, as stores keep them, as notes carry them.

A cosignature (C2SP tlog-cosignature, cosignature/v1) is a signature line of a note by somebody who is not the log. It
says: this is the largest consistent tree of this log that I have seen, at this time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint, verify_cosignature
from ledger.errors import InputError
from ledger.note import (
    MAX_NOTE,
    MAX_NOTE_SIGNATURES,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    parse_note,
    parse_vkey,
)

__all__ = [
    "Cosignature",
    "add_lines",
    "check_kept",
    "format_cosignature",
    "format_lines",
    "parse_cosignature",
    "parse_lines",
    "read_cosignature",
    "verify_lines",
]

_TEXT = "x\n"  # lines are read and written as those of some note


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that verified.

    Attributes:
        vkey: the witness's key.
        time: seconds since the Unix epoch, by the witness's clock.
        line: the signature line.
    """

    vkey: VerifierKey
    time: int
    line: NoteSignature


def format_lines(lines: Sequence[NoteSignature]) -> bytes:
    """Write signature lines, each with its newline.

    Raises:
        InputError: none, more than 16, or one that is not valid in form.
    """
    return format_note(Note(_TEXT, tuple(lines)))[len(_TEXT) + 1 :]


def parse_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Read signature lines, each with its newline: what a witness answers (C2SP tlog-witness).

    Args:
        data: 1 to 16 lines, at most 65,533 bytes.

    Returns:
        The lines, none of them verified.

    Raises:
        InputError: any form that `format_lines` does not write.
    """
    if len(data) > MAX_NOTE:
        raise InputError(f"signature lines have at most {MAX_NOTE} bytes, not {len(data)}")
    return parse_note(f"{_TEXT}\n".encode() + data).signatures


def format_cosignature(line: NoteSignature) -> bytes:
    """One signature line without its newline, as a store keeps it."""
    return format_lines([line])[:-1]


def parse_cosignature(data: bytes) -> NoteSignature:
    """Read one signature line without its newline.

    Raises:
        InputError: any form that `format_cosignature` does not write.
    """
    found, *more = parse_lines(data + b"\n")
    if more:
        raise InputError("a cosignature is one signature line")
    return found


def read_cosignature(checkpoint: Checkpoint, issuer: str, body: bytes) -> Cosignature:
    """Verify a cosignature as a store keeps it.

    Args:
        checkpoint: the head it must be about.
        issuer: the witness's verifier key.
        body: the signature line without its newline.

    Returns:
        The cosignature; whether its witness is trusted is another question.

    Raises:
        InputError: the key or the line is not valid in form.
        AuthenticationError: the line is not by this key.
        VerificationError: it does not verify: it is about another head, or was altered.
    """
    vkey, line = parse_vkey(issuer), parse_cosignature(body)
    return Cosignature(vkey, verify_cosignature(Note(format_checkpoint(checkpoint), (line,)), vkey), line)


def check_kept(note: bytes, kind: str, issuer: str, body: bytes) -> None:
    """Check that what an outsider is said to have said can be about a signed head, before it is kept for good.

    Args:
        note: the signed head.
        kind: kind of the attestation; a cosignature is verified, and a timestamp must hold the digest of the note.
        issuer: who is said to have said it.
        body: what, as a store keeps it.

    Raises:
        InputError, AuthenticationError, VerificationError: it cannot.
    """
    if kind == "cosignature":
        read_cosignature(parse_checkpoint(parse_note(note).text), issuer, body)
    elif kind == "rfc3161" and hashlib.sha256(note).digest() not in body:
        raise InputError("the timestamp is not over this signed head")


def verify_lines(text: str, lines: Sequence[NoteSignature], vkeys: Sequence[VerifierKey]) -> tuple[Cosignature, ...]:
    """Verify those of some signature lines that are by known witnesses; others are ignored.

    Args:
        text: text of the checkpoint.
        lines: signature lines, as a witness answered them.
        vkeys: keys of witnesses.

    Returns:
        At most one for each key, the newest one.

    Raises:
        InputError: the text is not a checkpoint.
        VerificationError: a line of a known key does not verify.
    """
    found = []
    for vkey in vkeys:
        own = [line for line in lines if (line.name, line.key_hash) == (vkey.name, vkey.key_hash)]
        checked = [Cosignature(vkey, verify_cosignature(Note(text, (line,)), vkey), line) for line in own]
        if checked:
            found.append(max(checked, key=lambda item: item.time))
    return tuple(found)


def add_lines(note: bytes, lines: Sequence[NoteSignature]) -> bytes:
    """Add cosignature lines to a note, behind what it has.

    Args:
        note: a signed head.
        lines: those already in it are left out, and those for which there is no room: a note has at most 16.

    Returns:
        The note.

    Raises:
        InputError: it is not a note.
    """
    parsed = parse_note(note)
    new = [line for line in dict.fromkeys(lines) if line not in parsed.signatures]
    room = MAX_NOTE_SIGNATURES - len(parsed.signatures)
    return format_note(Note(parsed.text, (*parsed.signatures, *new[:room])))
