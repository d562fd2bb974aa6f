"""Signed notes (C2SP signed-note): a text with signature lines, and the named keys that verify them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ledger.base64text import decode_base64, encode_base64
from ledger.errors import InputError
from ledger.keys import ALG_ED25519, PublicKey

__all__ = [
    "MAX_KEY_NAME",
    "MAX_NOTE",
    "MAX_NOTE_SIGNATURES",
    "TYPE_COSIGNATURE",
    "TYPE_ED25519",
    "Note",
    "NoteSignature",
    "VerifierKey",
    "format_note",
    "format_vkey",
    "parse_note",
    "parse_vkey",
]

#: Signature type of a log's own Ed25519 key (C2SP signed-note).
TYPE_ED25519 = 0x01
#: Signature type of a witness's timestamped Ed25519 cosignature (C2SP tlog-cosignature, cosignature/v1).
TYPE_COSIGNATURE = 0x04
#: Bytes of a note; room for 16 signature lines of any type in use, ML-DSA-44 too.
MAX_NOTE = 65_536
#: Every verifier must accept this many (C2SP signed-note); more is not portable.
MAX_NOTE_SIGNATURES = 16
#: Characters of a key's name.
MAX_KEY_NAME = 255

_KEY_HASH_SIZE = 4
_DASH = "\u2014"  # EM DASH starts a signature line
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note.

    Args:
        name: key name.
        key_hash: 4 bytes, the key ID; a hint until verified.
        blob: what follows the key ID, at least 1 byte.
    """

    name: str
    key_hash: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signature lines (C2SP signed-note).

    Args:
        text: ends with a newline and holds no empty line.
        signatures: 1 to 16, in the order of the note.
    """

    text: str
    signatures: tuple[NoteSignature, ...]


def _check_key_name(name: str) -> None:
    # C2SP signed-note: non-empty, no Unicode spaces, no plus; control characters cannot be in a note at all.
    if not name or len(name) > MAX_KEY_NAME or "+" in name or any(c.isspace() for c in name) or _CONTROL.search(name):
        raise InputError(f"{name[:60]!r} is not a key name")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key that verifies signature lines.

    Args:
        name: key name; for a log the same as its origin.
        type: :data:`TYPE_ED25519` or :data:`TYPE_COSIGNATURE`.
        public: 32 bytes of an Ed25519 key.

    Raises:
        InputError: a bad name, an unknown type, or bytes that are no usable key.
    """

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        _check_key_name(self.name)
        if self.type not in (TYPE_ED25519, TYPE_COSIGNATURE):
            raise InputError(f"verifier key {self.name} has the unsupported type {self.type:#04x}")
        PublicKey(ALG_ED25519, self.public)  # refuses a wrong length and points of small order

    @property
    def key_hash(self) -> bytes:
        """Key ID: the first 4 bytes of SHA-256 of name, newline, type byte and public key (C2SP signed-note)."""
        material = self.name.encode("utf-8") + b"\n" + bytes([self.type]) + self.public
        return hashlib.sha256(material).digest()[:_KEY_HASH_SIZE]

    @property
    def public_key(self) -> PublicKey:
        """The key without its name, as signatures of events know it."""
        return PublicKey(ALG_ED25519, self.public)


def format_note(note: Note) -> bytes:
    """Write a note.

    Args:
        note: text and 1 to 16 signatures.

    Returns:
        The text, an empty line, and one line per signature; UTF-8, at most 65,536 bytes.

    Raises:
        InputError: the text or a signature is not valid in form.
    """
    # Verifiers split at the first or at the last empty line; with only one in the file all of them agree.
    if not note.text.endswith("\n") or note.text.startswith("\n") or "\n\n" in note.text or _CONTROL.search(note.text):
        raise InputError("the text of a note must end in a newline and hold no empty line and no control character")
    if not 1 <= len(note.signatures) <= MAX_NOTE_SIGNATURES:
        raise InputError(f"a note has 1 to {MAX_NOTE_SIGNATURES} signatures, not {len(note.signatures)}")
    lines = []
    for signature in note.signatures:
        _check_key_name(signature.name)
        if len(signature.key_hash) != _KEY_HASH_SIZE or not signature.blob:
            raise InputError("a signature line has 4 bytes of key ID and then the signature")
        lines.append(f"{_DASH} {signature.name} {encode_base64(signature.key_hash + signature.blob)}\n")
    try:
        data = f"{note.text}\n{''.join(lines)}".encode()
    except UnicodeEncodeError:
        raise InputError("a note holds a lone surrogate") from None
    if len(data) > MAX_NOTE:
        raise InputError(f"a note has at most {MAX_NOTE} bytes, not {len(data)}")
    return data


def parse_note(data: bytes) -> Note:
    """Read a note.

    Args:
        data: UTF-8, at most 65,536 bytes.

    Returns:
        The note, no signature verified.

    Raises:
        InputError: any form :func:`format_note` does not write.
    """
    if len(data) > MAX_NOTE:
        raise InputError(f"a note has at most {MAX_NOTE} bytes, not {len(data)}")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("a note is not UTF-8") from None
    text, empty, rest = content.partition("\n\n")
    if not empty or not rest.endswith("\n"):
        raise InputError("a note is a text, an empty line and signature lines")
    signatures = []
    for line in rest[:-1].split("\n")[: MAX_NOTE_SIGNATURES + 1]:
        words = line.split(" ")
        if len(words) != 3 or words[0] != _DASH:
            raise InputError("a signature line of a note is not of the form: — name base64")
        blob = decode_base64(words[2], "a signature line of a note is not padded standard base64")
        signatures.append(NoteSignature(words[1], blob[:_KEY_HASH_SIZE], blob[_KEY_HASH_SIZE:]))
    note = Note(text + "\n", tuple(signatures))
    if format_note(note) != data:
        raise InputError("the note is not written in its only form")
    return note


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key (C2SP signed-note).

    Args:
        text: ``<name>+<8 hex of key ID>+<base64 of type and key>``.

    Returns:
        The key; ``format_vkey`` gives the same text back.

    Raises:
        InputError: any other form, an unsupported type, or a key ID that does not fit.
    """
    parts = text.split("+", 2)  # base64 may hold a plus, the name may not
    if len(parts) != 3:
        raise InputError("a verifier key is written name+hash+key")
    material = decode_base64(parts[2], "a verifier key is not padded standard base64")
    if not material:
        raise InputError("a verifier key is empty")
    key = VerifierKey(parts[0], material[0], material[1:])
    if format_vkey(key) != text:
        raise InputError(f"the key ID in the verifier key of {key.name} does not fit its key")
    return key


def format_vkey(key: VerifierKey) -> str:
    """Write a verifier key.

    Args:
        key: name, type and public key.

    Returns:
        ``<name>+<8 hex of key ID>+<base64 of type and key>``.
    """
    return f"{key.name}+{key.key_hash.hex()}+{encode_base64(bytes([key.type]) + key.public)}"
