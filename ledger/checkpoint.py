"""Checkpoints: the signed head of the log (C2SP signed-note, tlog-checkpoint, tlog-cosignature).

A note is a text and signature lines; a checkpoint is a note whose text is exactly three lines: origin, tree size, root
hash. We write no extension lines, because no auditor could check them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.keys import ALG_ED25519, PublicKey, Signer
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE

__all__ = [
    "MAX_NOTE",
    "MAX_NOTE_SIGNATURES",
    "TYPE_COSIGNATURE",
    "TYPE_ED25519",
    "Checkpoint",
    "Note",
    "NoteSignature",
    "VerifierKey",
    "cosign_checkpoint",
    "format_checkpoint",
    "format_note",
    "format_vkey",
    "parse_checkpoint",
    "parse_note",
    "parse_origin",
    "parse_vkey",
    "sign_checkpoint",
    "signed_by",
    "verify_checkpoint",
    "verify_cosignature",
]

#: Signature type of a log's own Ed25519 key (C2SP signed-note).
TYPE_ED25519 = 0x01
#: Signature type of a witness's timestamped Ed25519 cosignature (C2SP tlog-cosignature, cosignature/v1).
TYPE_COSIGNATURE = 0x04
#: Bytes of a note; room for 16 signature lines of any type in use, ML-DSA-44 too.
MAX_NOTE = 65_536
#: Every verifier must accept this many (C2SP signed-note); more is not portable.
MAX_NOTE_SIGNATURES = 16

_KEY_HASH_SIZE = 4
_MAX_ORIGIN = 255
_DASH = "\u2014"  # EM DASH starts a signature line
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_ORIGIN = re.compile(r"[\x21-\x2a\x2c-\x7e]+")  # visible ASCII without "+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of a log.

    Args:
        origin: the log's identity, a schema-less URL; also the name of its key.
        size: number of leaves.
        root: root hash, 32 bytes.
    """

    origin: str
    size: int
    root: bytes


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
    if not name or len(name) > _MAX_ORIGIN or "+" in name or any(c.isspace() for c in name) or _CONTROL.search(name):
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


def parse_origin(text: str) -> str:
    """Check the origin of a log.

    Args:
        text: 1 to 255 visible ASCII characters, no ``+``, no scheme (``ledger.example/team``, not ``https://…``).

    Returns:
        The same text.

    Raises:
        InputError: anything else.
    """
    if len(text) > _MAX_ORIGIN or _ORIGIN.fullmatch(text) is None or "://" in text:
        raise InputError(
            f"{text[:60]!r} is not an origin", hint="use a URL without https://, such as ledger.example/ml-governance"
        )
    return text


def _b64decode(text: str, what: str) -> bytes:
    # Unused bits are the business of the callers: each writes again what it read.
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{what} is not padded standard base64") from None


def _b64encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Write the text of a checkpoint (C2SP tlog-checkpoint).

    Args:
        checkpoint: origin, size and root hash.

    Returns:
        Three lines: origin, decimal size, base64 root hash; each ends with a newline.

    Raises:
        InputError: a field is out of range.
    """
    if not 0 <= checkpoint.size <= MAX_TREE_SIZE:
        raise InputError(f"a tree size is between 0 and 2^63-1, not {checkpoint.size}")
    if len(checkpoint.root) != HASH_SIZE:
        raise InputError(f"a root hash has {HASH_SIZE} bytes, not {len(checkpoint.root)}")
    return f"{parse_origin(checkpoint.origin)}\n{checkpoint.size}\n{_b64encode(checkpoint.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint.

    Args:
        text: exactly three lines; extension lines are refused.

    Returns:
        The checkpoint, not verified.

    Raises:
        InputError: any other form.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise InputError("a checkpoint has exactly three lines: origin, size, root hash")
    origin, size, root = lines[:3]
    if _DECIMAL.fullmatch(size) is None:
        raise InputError("the size of a checkpoint is not a decimal number without leading zeros")
    checkpoint = Checkpoint(origin, int(size), _b64decode(root, "the root hash of a checkpoint"))
    if format_checkpoint(checkpoint) != text:
        raise InputError("the checkpoint is not written in its only form")
    return checkpoint


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
        lines.append(f"{_DASH} {signature.name} {_b64encode(signature.key_hash + signature.blob)}\n")
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
        blob = _b64decode(words[2], "a signature line of a note")
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
    material = _b64decode(parts[2], "a verifier key")
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
    return f"{key.name}+{key.key_hash.hex()}+{_b64encode(bytes([key.type]) + key.public)}"


def sign_checkpoint(checkpoint: Checkpoint, *signers: Signer) -> bytes:
    """Sign a head with the log's own key.

    Args:
        checkpoint: the head; its tree must already be durable.
        signers: Ed25519 keys: one, or the new and the old one while the key is changed.

    Returns:
        A note with one signature line of type 0x01 a key, whose key name is the origin.

    Raises:
        InputError: a field is out of range.
    """
    text = format_checkpoint(checkpoint)
    lines = []
    for signer in signers:
        key = VerifierKey(checkpoint.origin, TYPE_ED25519, signer.public.raw)
        lines.append(NoteSignature(key.name, key.key_hash, signer.sign(text.encode())))
    return format_note(Note(text, tuple(lines)))


def _cosignature_message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def cosign_checkpoint(note_text: str, signer: Signer, name: str, time: int) -> NoteSignature:
    """State that this is the largest consistent tree seen at a time (C2SP tlog-cosignature, cosignature/v1).

    Args:
        note_text: the three lines of a checkpoint whose log signature was verified.
        signer: the witness's own Ed25519 key, used for nothing else: the message does not name the witness.
        name: key name of the witness.
        time: whole seconds since the Unix epoch, at least 1.

    Returns:
        The signature line to add to the note.

    Raises:
        InputError: the text is not a checkpoint, or a field is out of range.
    """
    parse_checkpoint(note_text)
    if not 1 <= time <= MAX_TREE_SIZE:
        raise InputError(f"{time} is not a time in seconds since 1970")
    key = VerifierKey(name, TYPE_COSIGNATURE, signer.public.raw)
    blob = time.to_bytes(8, "big") + signer.sign(_cosignature_message(note_text, time))
    return NoteSignature(name, key.key_hash, blob)


def _verify_line(text: str, line: NoteSignature, key: VerifierKey) -> int:
    """Check one signature line; return the time of a cosignature, 0 for a log signature."""
    time = 0
    signature, message = line.blob, text.encode()
    if key.type == TYPE_COSIGNATURE:
        time = int.from_bytes(line.blob[:8], "big")
        signature, message = line.blob[8:], _cosignature_message(text, time)
    try:
        if key.type == TYPE_COSIGNATURE and not 1 <= time <= MAX_TREE_SIZE:
            raise AuthenticationError("wrong time")
        PublicKey(ALG_ED25519, key.public).verify(signature, message)
    except AuthenticationError:
        raise VerificationError(f"the checkpoint has a wrong signature of {key.name}", fault="checkpoint") from None
    return time


def _index_keys(vkeys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    keys: dict[tuple[str, bytes], VerifierKey] = {}
    for key in vkeys:
        # 32 bits of key ID can collide; then no line says which key it means.
        if keys.setdefault((key.name, key.key_hash), key) != key:
            raise InputError(f"two verifier keys of {key.name} have the same key ID")
    return keys


def verify_checkpoint(note: bytes, vkeys: Sequence[VerifierKey]) -> Checkpoint:
    """Check a signed head.

    Lines of unknown keys are ignored, so that a log can change keys and add witnesses (C2SP signed-note).

    Args:
        note: the note as received.
        vkeys: trusted keys, of logs and of witnesses.

    Returns:
        The checkpoint, signed by a given log key named as its origin.

    Raises:
        InputError: not a note, or not a checkpoint.
        VerificationError: fault ``checkpoint``: the line of a known key does not verify.
        AuthenticationError: no line is by a given log key of this origin.
    """
    parsed = parse_note(note)
    checkpoint = parse_checkpoint(parsed.text)
    keys = _index_keys(vkeys)
    signed = False
    for line in parsed.signatures:
        key = keys.get((line.name, line.key_hash))
        if key is not None:
            _verify_line(parsed.text, line, key)
            signed = signed or (key.type == TYPE_ED25519 and key.name == checkpoint.origin)
    if not signed:
        raise AuthenticationError(f"the checkpoint of {checkpoint.origin} is not signed by a known log key")
    return checkpoint


def signed_by(*vkeys: VerifierKey) -> Callable[[bytes], Checkpoint]:
    """What checks a signed head under these keys, whatever its size; `Trust.verify_head` knows which may sign what."""
    return partial(verify_checkpoint, vkeys=vkeys)


def verify_cosignature(note: Note, vkey: VerifierKey) -> int:
    """Check the cosignature of a witness on a checkpoint.

    Args:
        note: a parsed note.
        vkey: the witness's key, type 0x04.

    Returns:
        Seconds since the Unix epoch: the earliest time at which this witness saw the tree.

    Raises:
        InputError: the key is not of a witness, or the text is not a checkpoint.
        VerificationError: fault ``checkpoint``: a line of this key does not verify.
        AuthenticationError: no line is by this key.
    """
    if vkey.type != TYPE_COSIGNATURE:
        raise InputError(f"the verifier key of {vkey.name} is not of a witness")
    parse_checkpoint(note.text)
    lines = [line for line in note.signatures if (line.name, line.key_hash) == (vkey.name, vkey.key_hash)]
    if not lines:
        raise AuthenticationError(f"the checkpoint is not cosigned by {vkey.name}")
    return min(_verify_line(note.text, line, vkey) for line in lines)
