"""Checkpoints: the signed head of the log (C2SP tlog-checkpoint, tlog-cosignature).

A checkpoint is a signed note (`note`) whose text is exactly three lines: origin, tree size, root hash.
We write no extension lines, because no auditor could check them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from ledger.base64text import decode_base64, encode_base64
from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.keys import ALG_ED25519, PublicKey, Signer
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE
from ledger.note import (
    MAX_KEY_NAME,
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    parse_note,
)

__all__ = [
    "Checkpoint",
    "VerifyHead",
    "cosign_checkpoint",
    "format_checkpoint",
    "parse_checkpoint",
    "parse_origin",
    "sign_checkpoint",
    "signed_by",
    "verify_checkpoint",
    "verify_cosignature",
]

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_ORIGIN = re.compile(r"[\x21-\x2a\x2c-\x7e]+")  # visible ASCII without "+"


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


#: Checks a signed head under the keys of a log and returns it, or raises.
VerifyHead = Callable[[bytes], Checkpoint]


def parse_origin(text: str) -> str:
    """Check the origin of a log.

    Args:
        text: 1 to 255 visible ASCII characters, no ``+``, no scheme (``ledger.example/team``, not ``https://…``).

    Returns:
        The same text.

    Raises:
        InputError: anything else.
    """
    if len(text) > MAX_KEY_NAME or _ORIGIN.fullmatch(text) is None or "://" in text:
        raise InputError(
            f"{text[:60]!r} is not an origin", hint="use a URL without https://, such as ledger.example/ml-governance"
        )
    return text


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
    return f"{parse_origin(checkpoint.origin)}\n{checkpoint.size}\n{encode_base64(checkpoint.root)}\n"


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
    checkpoint = Checkpoint(
        origin, int(size), decode_base64(root, "the root hash of a checkpoint is not padded standard base64")
    )
    if format_checkpoint(checkpoint) != text:
        raise InputError("the checkpoint is not written in its only form")
    return checkpoint


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


def signed_by(*vkeys: VerifierKey) -> VerifyHead:
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
