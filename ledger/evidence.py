"""Evidence: two heads of one log that cannot both be its history, and the proof of it, in one file.

A consistency proof that fails proves nothing, since anybody can spoil one. What proves a fork is a proof that
*holds*: the later signed head is shown to begin with another tree than the earlier signed one is about. Then one
key signed two histories, and whoever knows that key can see it from the file alone (RFC 9162 2.1.4).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from ledger.base64text import encode_base64
from ledger.checkpoint import Checkpoint, VerifyHead, parse_checkpoint
from ledger.entry import format_time, parse_time
from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.merkle import HASH_SIZE, MAX_TREE_SIZE
from ledger.merkleproof import verify_consistency
from ledger.note import VerifierKey, format_vkey, parse_note, parse_vkey
from ledger.strictjson import format_json, parse_json

__all__ = ["MAX_EVIDENCE", "Evidence", "Shown", "Verdict", "format_evidence", "parse_evidence", "verify_evidence"]

#: Bytes of an evidence file; two notes of the greatest size fit, and the longest proof.
MAX_EVIDENCE = 262_144

_FORMAT = "muniment evidence v1"
_KINDS = ("forked", "replaced", "shrunk")
_MAX_HASHES = 64  # of a consistency proof between sizes below 2^63
_MAX_VKEYS = 16


@dataclass(frozen=True, slots=True)
class Shown:
    """What a store showed when it was compared.

    Attributes:
        ledgerid, origin: what it calls itself.
        genesis: leaf hash of its entry 0, hex; empty when it has none.
        size: number of entries it claims.
        root: root hash it claims, 32 bytes.
        note: the newest signed head in it, verbatim; None when there is none.
    """

    ledgerid: str
    origin: str
    genesis: str
    size: int
    root: bytes
    note: bytes | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A contradiction between a head that was known and what a store shows.

    Attributes:
        contradiction: ``forked``, ``shrunk`` or ``replaced``: what it looked like to whoever made this.
        ledgerid, origin, genesis: the identity that was pinned.
        vkeys: the pinned verifier keys.
        by: who vouched for the known head, in words.
        known: the signed head that was known, verbatim.
        shown: what the store showed.
        before: root hash of the first entries of the shown tree, as many as the known head is about; None when it
            could not be computed.
        proof_size: size of the shown tree that ``before`` is proven to begin: that of the shown note or of the claim.
        proof: consistency proof from ``before`` to that tree.
        found_at: when, microseconds since the Unix epoch.
    """

    contradiction: str
    ledgerid: str
    origin: str
    genesis: str
    vkeys: tuple[VerifierKey, ...]
    by: str
    known: bytes
    shown: Shown
    before: bytes | None
    proof_size: int
    proof: tuple[bytes, ...]
    found_at: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an evidence file proves.

    Attributes:
        proven: whether it shows by itself that keys of the log signed two histories.
        known: the head that was known, authenticated.
        shown: the signed head that was shown, when it is signed by a trusted key of the log.
        message: what is proven, or what is not and why, in one sentence.
    """

    proven: bool
    known: Checkpoint
    shown: Checkpoint | None
    message: str


def format_evidence(evidence: Evidence) -> bytes:
    """Write an evidence file: one RFC 8785 object and a newline.

    Args:
        evidence: what to write.

    Returns:
        The bytes; the same evidence gives the same.

    Raises:
        InputError: a note is not UTF-8.
    """
    shown = evidence.shown
    proof = None
    if evidence.before is not None:
        hashes = [encode_base64(item) for item in evidence.proof]
        proof = {"hashes": hashes, "root": encode_base64(evidence.before), "size": str(evidence.proof_size)}
    try:
        notes = [evidence.known.decode(), None if shown.note is None else shown.note.decode()]
    except UnicodeDecodeError:
        raise InputError("a signed note is not UTF-8") from None
    data = {
        "contradiction": evidence.contradiction,
        "format": _FORMAT,
        "found_at": format_time(evidence.found_at),
        "genesis": evidence.genesis,
        "known": {"by": evidence.by, "note": notes[0]},
        "ledgerid": evidence.ledgerid,
        "origin": evidence.origin,
        "proof": proof,
        "shown": {
            "genesis": shown.genesis,
            "ledgerid": shown.ledgerid,
            "note": notes[1],
            "origin": shown.origin,
            "root": encode_base64(shown.root),
            "size": str(shown.size),
        },
        "vkeys": [format_vkey(vkey) for vkey in evidence.vkeys],
    }
    return format_json(data) + b"\n"


def _object(data: Any, what: str, names: str) -> dict[str, Any]:
    if not isinstance(data, dict) or set(data) != set(names.split()):
        raise InputError(f"{what} must be an object with exactly {names.replace(' ', ', ')}")
    return data


def _text(data: dict[str, Any], name: str) -> str:
    value = data[name]
    if not isinstance(value, str):
        raise InputError(f"{name} must be a string")
    return value


def _hash(text: Any) -> bytes:
    try:
        value = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != HASH_SIZE:
        raise InputError("a hash is the base64 of 32 bytes")
    return value


def _size(data: dict[str, Any]) -> int:
    text = _text(data, "size")  # a string: sizes go beyond what JSON numbers carry everywhere
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > MAX_TREE_SIZE:
        raise InputError("size must be a decimal number below 2^63, as a string")
    return int(text)


def _proof(data: Any) -> tuple[bytes | None, int, tuple[bytes, ...]]:
    if data is None:
        return None, 0, ()
    proof = _object(data, "proof", "hashes root size")
    hashes = proof["hashes"]
    if not isinstance(hashes, list) or len(hashes) > _MAX_HASHES:
        raise InputError(f"proof has a list of at most {_MAX_HASHES} hashes")
    return _hash(proof["root"]), _size(proof), tuple(_hash(item) for item in hashes)


def parse_evidence(data: bytes) -> Evidence:
    """Read an evidence file.

    Args:
        data: at most 262,144 bytes.

    Returns:
        The evidence; nothing of it is verified.

    Raises:
        InputError: any form that `format_evidence` does not write.
    """
    if len(data) > MAX_EVIDENCE:
        raise InputError(f"an evidence file has at most {MAX_EVIDENCE} bytes, not {len(data)}")
    names = "contradiction format found_at genesis known ledgerid origin proof shown vkeys"
    found = _object(parse_json(data.removesuffix(b"\n"), what="evidence"), "evidence", names)
    if found["format"] != _FORMAT:
        raise InputError(f"this is no {_FORMAT!r}")
    known = _object(found["known"], "known", "by note")
    shown = _object(found["shown"], "shown", "genesis ledgerid note origin root size")
    vkeys = found["vkeys"]
    if not isinstance(vkeys, list) or not 1 <= len(vkeys) <= _MAX_VKEYS or not all(isinstance(k, str) for k in vkeys):
        raise InputError(f"vkeys must be a list of 1 to {_MAX_VKEYS} strings")
    if found["contradiction"] not in _KINDS:
        raise InputError(f"contradiction must be one of {', '.join(_KINDS)}")
    before, proof_size, proof = _proof(found["proof"])
    evidence = Evidence(
        contradiction=found["contradiction"],
        ledgerid=_text(found, "ledgerid"),
        origin=_text(found, "origin"),
        genesis=_text(found, "genesis"),
        vkeys=tuple(parse_vkey(text) for text in vkeys),
        by=_text(known, "by"),
        known=_text(known, "note").encode(),
        shown=Shown(
            ledgerid=_text(shown, "ledgerid"),
            origin=_text(shown, "origin"),
            genesis=_text(shown, "genesis"),
            size=_size(shown),
            root=_hash(shown["root"]),
            note=None if shown["note"] is None else _text(shown, "note").encode(),
        ),
        before=before,
        proof_size=proof_size,
        proof=proof,
        found_at=parse_time(_text(found, "found_at")),
    )
    if format_evidence(evidence) != data:
        raise InputError("the evidence is not written in its only form")
    return evidence


def _authenticated(note: bytes | None, verify_head: VerifyHead) -> Checkpoint | None:
    """The shown head when a trusted key signed it; a note by others proves nothing against this log."""
    if note is None:
        return None
    try:
        return verify_head(note)
    except AuthenticationError:
        parse_checkpoint(parse_note(note).text)
        return None


def _shown_tree(evidence: Evidence, signed: Checkpoint | None) -> tuple[Checkpoint, bool]:
    """The tree the proof leads to, and whether a trusted key signed it."""
    shown = evidence.shown
    if signed is not None and signed.size == evidence.proof_size:
        return signed, True
    if shown.size == evidence.proof_size:
        return Checkpoint(shown.origin, shown.size, shown.root), False
    raise VerificationError("the proof leads to a size that nothing in the evidence is about", fault="proof")


def verify_evidence(evidence: Evidence, verify_head: VerifyHead) -> Verdict:
    """Check what an evidence file proves, from it and the log's keys alone.

    Args:
        evidence: as parsed.
        verify_head: checks a signed head under keys that the reader trusts, from somewhere else than the file.

    Returns:
        What is proven.

    Raises:
        InputError: a note in it is none.
        AuthenticationError: the known head is not signed by any of these keys.
        VerificationError: a signature or the proof does not hold, or nothing in it contradicts anything.
    """
    known = verify_head(evidence.known)
    signed = _authenticated(evidence.shown.note, verify_head)
    shown = evidence.shown
    if signed is not None and signed.size == known.size and signed.root != known.root:
        return Verdict(True, known, signed, f"keys of {known.origin} signed two different roots for size {known.size}")
    if evidence.before is not None:
        return _verify_fork(evidence, known, signed, evidence.before)
    if shown.size < known.size:
        message = (
            f"{known.origin} signed a head of size {known.size}; that a store showed only {shown.size} entries is the "
            "word of whoever made this file: a shorter signed head can be an earlier one of the same history"
        )
        return Verdict(False, known, signed, message)
    if (shown.ledgerid, shown.origin, shown.genesis) != (evidence.ledgerid, evidence.origin, evidence.genesis):
        message = (
            f"{known.origin} signed a head of size {known.size}; that another ledger stood in its place is the word "
            "of whoever made this file: no key of this log signed what was shown"
        )
        return Verdict(False, known, signed, message)
    if evidence.contradiction == "forked":
        message = (
            f"{known.origin} signed a head of size {known.size}; that the store gave another root is the word of "
            "whoever made this file: its tree could not be read well enough for a proof"
        )
        return Verdict(False, known, signed, message)
    raise VerificationError("nothing in this evidence contradicts anything", fault="proof")


def _verify_fork(evidence: Evidence, known: Checkpoint, signed: Checkpoint | None, before: bytes) -> Verdict:
    if before == known.root:
        raise VerificationError("the shown tree begins with the known one: there is no contradiction", fault="proof")
    tree, is_signed = _shown_tree(evidence, signed)
    verify_consistency(known.size, before, tree.size, tree.root, evidence.proof)
    if is_signed:
        message = (
            f"keys of {known.origin} signed a head of size {known.size}, and another of size {tree.size} whose first "
            f"{known.size} entries are different ones"
        )
        return Verdict(True, known, signed, message)
    message = (
        f"{known.origin} signed a head of size {known.size}; that the store held other entries is the word of whoever "
        "made this file: no key of this log signed what was shown"
    )
    return Verdict(False, known, signed, message)
