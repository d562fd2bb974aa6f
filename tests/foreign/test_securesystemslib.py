"""Our DSSE envelopes are verified by securesystemslib, and its envelopes by us."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError as ForeignVerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from ledger.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    format_envelope,
    pae,
    parse_envelope,
    sign_payload,
    verify_envelope,
)
from ledger.errors import AuthenticationError
from ledger.keys import Ed25519Signer, PublicKey

PAYLOAD = '{"specversion":"1.0","note":"Zürich"}'.encode()
SEEDS = [bytes([n]) * 32 for n in (1, 2, 3, 4)]
SIGNERS = [Ed25519Signer.from_seed(seed) for seed in SEEDS]


def foreign_key(key: PublicKey) -> SSlibKey:
    return SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.raw.hex()})


def to_foreign(envelope: Envelope) -> ForeignEnvelope:
    # from_dict takes its argument apart: a fresh one every time
    return ForeignEnvelope.from_dict(json.loads(format_envelope(envelope)))


@pytest.mark.parametrize("signers", [1, 2, 3])
def test_our_envelope_verifies_there(signers):
    foreign = to_foreign(sign_payload(PAYLOAD, SIGNERS[:signers]))
    assert foreign.payload == PAYLOAD
    assert foreign.payload_type == PAYLOAD_TYPE
    assert foreign.pae() == pae(PAYLOAD_TYPE, PAYLOAD)
    keys: list[Key] = [foreign_key(signer.public) for signer in SIGNERS]
    assert set(foreign.verify(keys, signers)) == {signer.public.keyid for signer in SIGNERS[:signers]}
    with pytest.raises(ForeignVerificationError):
        foreign.verify(keys, signers + 1)


@pytest.mark.parametrize("payload", [b"", b"{}", bytes(range(256)), PAYLOAD * 1000])
def test_both_build_the_same_bytes_to_sign(payload):
    assert ForeignEnvelope(payload, PAYLOAD_TYPE, {}).pae() == pae(PAYLOAD_TYPE, payload)


def test_a_tampered_envelope_fails_there_too():
    envelope = sign_payload(PAYLOAD, SIGNERS[:1])
    keys: list[Key] = [foreign_key(SIGNERS[0].public)]
    assert to_foreign(envelope).verify(keys, 1)
    changed = Envelope(PAYLOAD + b" ", envelope.signatures)
    swapped = sign_payload(b"{}", SIGNERS[:1]).signatures
    for bad in (changed, Envelope(PAYLOAD, swapped)):
        with pytest.raises(ForeignVerificationError):
            to_foreign(bad).verify(keys, 1)
        with pytest.raises(AuthenticationError):
            verify_envelope(bad, {SIGNERS[0].public.keyid: SIGNERS[0].public})


def foreign_envelope(count: int) -> ForeignEnvelope:
    foreign = ForeignEnvelope(PAYLOAD, PAYLOAD_TYPE, {})
    for seed, signer in zip(SEEDS[:count], SIGNERS, strict=False):
        private = Ed25519PrivateKey.from_private_bytes(seed)
        foreign.sign(CryptoSigner(private, foreign_key(signer.public)))
    return foreign


def as_ours(foreign: ForeignEnvelope) -> bytes:
    """Write a foreign envelope in our one spelling: sorted by keyid, standard base64, no spaces."""
    value = foreign.to_dict()
    signatures = sorted(value["signatures"], key=lambda item: item["keyid"])
    items = [{"keyid": item["keyid"], "sig": item["sig"]} for item in signatures]
    value = {"payload": value["payload"], "payloadType": value["payloadType"], "signatures": items}
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_envelope_made_there_verifies_here(count):
    envelope = parse_envelope(as_ours(foreign_envelope(count)))
    keys = {signer.public.keyid: signer.public for signer in SIGNERS}
    assert verify_envelope(envelope, keys) == PAYLOAD
    # Ed25519 is deterministic: both make the same envelope.
    assert envelope == sign_payload(PAYLOAD, SIGNERS[:count])


def test_an_envelope_made_there_and_tampered_fails_here():
    envelope = parse_envelope(as_ours(foreign_envelope(1)))
    key = SIGNERS[0].public
    signature = envelope.signatures[0]
    spoiled = bytearray(signature.sig)
    spoiled[0] ^= 1
    for bad in (
        Envelope(PAYLOAD[:-1], envelope.signatures),
        Envelope(PAYLOAD, (Signature(signature.keyid, bytes(spoiled)),)),
    ):
        with pytest.raises(AuthenticationError):
            verify_envelope(bad, {key.keyid: key})


def test_the_payload_is_standard_base64_there_too():
    value = json.loads(format_envelope(sign_payload(b"\xfb\xff\xfe", SIGNERS[:1])))
    assert value["payload"] == base64.b64encode(b"\xfb\xff\xfe").decode() == "+//+"
    assert ForeignEnvelope.from_dict(value).payload == b"\xfb\xff\xfe"
