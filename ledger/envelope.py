"""The DSSE envelope: a payload and the signatures of its authors.

Only one spelling of an envelope is accepted, so an envelope has one digest: three members in this order, no white
space, padded standard base64, signatures sorted by keyid. What is signed is the pre-authentication encoding (PAE) of
the payload bytes exactly as the author wrote them; verification returns those bytes and nothing else is to be used.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.base64text import decode_base64
from ledger.errors import AuthenticationError, InputError
from ledger.keys import SIGNATURE_SIZE, PublicKey, Signer
from ledger.strictjson import parse_json

__all__ = [
    "MAX_ENVELOPE",
    "MAX_PAYLOAD",
    "MAX_SIGNATURES",
    "PAYLOAD_TYPE",
    "Envelope",
    "Signature",
    "format_envelope",
    "format_signatures",
    "join_envelope",
    "pae",
    "parse_envelope",
    "parse_signatures",
    "read_signature",
    "sign_payload",
    "verify_envelope",
    "verify_parsed",
]

PAYLOAD_TYPE = "application/cloudevents+json"
#: Bytes of a payload.
MAX_PAYLOAD = 65_536
#: Bytes of an envelope, checked before anything is decoded.
MAX_ENVELOPE = 98_304
MAX_SIGNATURES = 16

_MAX_SIGNATURES_BYTES = 2 + MAX_SIGNATURES * 200
_KEYID = re.compile(r"[0-9a-f]{64}")
# 64 bytes in base64 leave four bits of the last letter unused; they are zero in these four letters.
_SINGLE = re.compile(rb'\[\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{85}[AQgw]==)"\}\]')
_OPENING = b'{"payload":"'
_MIDDLE = b'","payloadType":"application/cloudevents+json","signatures":'


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope.

    Args:
        keyid: hex SHA-256 of the public key; a hint until the signature is verified under that key.
        sig: 64 bytes over the PAE of the payload.
    """

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures.

    Args:
        payload: the author's bytes, at most 65,536.
        signatures: 1 to 16, strictly ascending by keyid.
    """

    payload: bytes
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes an author signs (DSSE v1 protocol, PAE).

    Args:
        payload_type: the media type.
        payload: any bytes.

    Returns:
        ``DSSEv1 <len type> <type> <len payload> <payload>``, lengths in bytes, decimal.
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _check(signatures: tuple[Signature, ...]) -> None:
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise InputError(f"an envelope has 1 to {MAX_SIGNATURES} signatures, not {len(signatures)}")
    before = ""
    for signature in signatures:
        if _KEYID.fullmatch(signature.keyid) is None:
            raise InputError("a keyid is not 64 lower-case hex characters")
        if signature.keyid <= before:
            raise InputError("signatures are not sorted by keyid, or a keyid appears twice")
        if len(signature.sig) != SIGNATURE_SIZE:
            raise InputError(f"a signature has {SIGNATURE_SIZE} bytes, not {len(signature.sig)}")
        before = signature.keyid


def _b64decode(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        raise InputError(f"{what} is not a string")
    return decode_base64(value, f"{what} is not padded standard base64")


def _members(value: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or tuple(value) != names:
        raise InputError(f"{what} must have exactly the members {', '.join(names)}, in this order")
    return value


def _to_signatures(value: Any) -> tuple[Signature, ...]:
    if not isinstance(value, list):
        raise InputError("signatures is not an array")
    result = []
    for item in value[: MAX_SIGNATURES + 1]:
        member = _members(item, ("keyid", "sig"), "a signature")
        if not isinstance(member["keyid"], str):
            raise InputError("a keyid is not a string")
        result.append(Signature(member["keyid"], _b64decode(member["sig"], "a signature")))
    return tuple(result)


def format_signatures(signatures: tuple[Signature, ...]) -> bytes:
    """Write the signatures array exactly as it stands in the envelope.

    Args:
        signatures: 1 to 16, strictly ascending by keyid.

    Returns:
        ``[{"keyid":"…","sig":"…"},…]``.

    Raises:
        InputError: too many or none, not sorted, twice the same key, or a wrong length.
    """
    _check(signatures)
    items = [
        b'{"keyid":"%b","sig":"%b"}' % (s.keyid.encode("ascii"), binascii.b2a_base64(s.sig, newline=False))
        for s in signatures
    ]
    return b"[%b]" % b",".join(items)


def read_signature(data: bytes) -> tuple[str, bytes] | None:
    """Read a signatures array of one signature by its only form.

    Args:
        data: bytes written by :func:`format_signatures`.

    Returns:
        The fields of `Signature`, nothing verified; None for any other form: :func:`parse_signatures` tells.
    """
    found = _SINGLE.fullmatch(data)
    return None if found is None else (found[1].decode(), binascii.a2b_base64(found[2]))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Read a signatures array.

    Args:
        data: bytes written by :func:`format_signatures`.

    Returns:
        The signatures, none of them verified.

    Raises:
        InputError: any other form.
    """
    if len(data) > _MAX_SIGNATURES_BYTES:
        raise InputError(f"the signatures are larger than {_MAX_SIGNATURES_BYTES} bytes")
    single = read_signature(data)
    if single is not None:
        return (Signature(*single),)
    signatures = _to_signatures(parse_json(data, what="signatures", max_depth=2))
    if format_signatures(signatures) != data:
        raise InputError("the signatures are not written in their only form")
    return signatures


def format_envelope(envelope: Envelope) -> bytes:
    """Write an envelope in its only form.

    Args:
        envelope: payload and signatures.

    Returns:
        ``{"payload":"…","payloadType":"application/cloudevents+json","signatures":[…]}``, at most 98,304 bytes.

    Raises:
        InputError: the payload is too large, or the signatures are not valid in form.
    """
    if len(envelope.payload) > MAX_PAYLOAD:
        raise InputError(f"the payload has {len(envelope.payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    return join_envelope(envelope.payload, format_signatures(envelope.signatures))


def join_envelope(payload: bytes, signatures: bytes) -> bytes:
    """Write an envelope around a signatures array that is already written; neither is checked.

    Args:
        payload: the payload.
        signatures: as `format_signatures` writes them.

    Returns:
        The envelope that `format_envelope` gives, when both are in their form.
    """
    encoded = binascii.b2a_base64(payload, newline=False)
    return b"%b%b%b%b}" % (_OPENING, encoded, _MIDDLE, signatures)


def _read_form(data: bytes) -> Envelope | None:
    """An envelope in its only form, or None when it must be read as JSON to say what is wrong with it."""
    end = data.find(_MIDDLE)
    try:
        payload = binascii.a2b_base64(data[len(_OPENING) : end])
        envelope = Envelope(payload, parse_signatures(data[end + len(_MIDDLE) : -1]))
        return envelope if format_envelope(envelope) == data else None
    except (InputError, ValueError):
        return None


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope; accepted only if writing it again gives the same bytes.

    Args:
        data: at most 98,304 bytes.

    Returns:
        The envelope, nothing in it verified.

    Raises:
        InputError: too large or any other form.
    """
    if len(data) > MAX_ENVELOPE:
        raise InputError(f"the envelope has {len(data)} bytes; at most {MAX_ENVELOPE} are allowed")
    envelope = _read_form(data)
    if envelope is not None:
        return envelope
    value = _members(parse_json(data, what="envelope", max_depth=3), ("payload", "payloadType", "signatures"),
                     "an envelope")  # fmt: skip
    if value["payloadType"] != PAYLOAD_TYPE:
        raise InputError(f"payloadType must be {PAYLOAD_TYPE}")
    envelope = Envelope(_b64decode(value["payload"], "the payload"), _to_signatures(value["signatures"]))
    if format_envelope(envelope) != data:
        raise InputError("the envelope is not written in its only form")
    return envelope


def sign_payload(payload: bytes, signers: Sequence[Signer]) -> Envelope:
    """Sign a payload with every signer.

    Args:
        payload: at most 65,536 bytes.
        signers: 1 to 16, each with another key.

    Returns:
        An envelope that :func:`format_envelope` accepts.

    Raises:
        InputError: the payload is too large, there is no signer, or two have the same key.
    """
    if len(payload) > MAX_PAYLOAD:
        raise InputError(f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    message = pae(PAYLOAD_TYPE, payload)
    signatures = [Signature(signer.public.keyid, signer.sign(message)) for signer in signers]
    envelope = Envelope(payload, tuple(sorted(signatures, key=lambda signature: signature.keyid)))
    _check(envelope.signatures)
    return envelope


def verify_envelope(envelope: Envelope, keys: Mapping[str, PublicKey]) -> bytes:
    """Check that every signature is by a known key (DSSE v1 protocol; stricter: one unknown key refuses all).

    Args:
        envelope: as read.
        keys: keyid to public key, the keys allowed to sign here.

    Returns:
        The payload bytes that were signed.

    Raises:
        InputError: the signatures are not valid in form (none, twice the same, wrong length).
        AuthenticationError: a signature by an unknown key, or a wrong signature.
    """
    _check(envelope.signatures)
    return verify_parsed(envelope, keys)


def verify_parsed(envelope: Envelope, keys: Mapping[str, PublicKey]) -> bytes:
    """As :func:`verify_envelope`, of an envelope whose signatures :func:`parse_signatures` has read.

    Args:
        envelope: as read.
        keys: keyid to public key.

    Returns:
        The payload bytes that were signed.

    Raises:
        AuthenticationError: a signature by an unknown key, or a wrong signature.
    """
    message = pae(PAYLOAD_TYPE, envelope.payload)
    for signature in envelope.signatures:
        key = keys.get(signature.keyid)
        # The second test: a mapping filled by mistake must not let one key speak as another.
        if key is None or key.keyid != signature.keyid:
            raise AuthenticationError(f"a signature is by the unknown key {signature.keyid}")
        key.verify(signature.sig, message)
    return envelope.payload
