from __future__ import annotations

import base64
import dataclasses
import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import envelope as module
from ledger.envelope import (
    MAX_ENVELOPE,
    MAX_PAYLOAD,
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    format_envelope,
    format_signatures,
    pae,
    parse_envelope,
    parse_signatures,
    sign_payload,
    verify_envelope,
)
from ledger.errors import AuthenticationError, InputError
from ledger.keys import Ed25519Signer

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "envelope.json").read_text())
SIGNERS = sorted((Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(1, 18)), key=lambda s: s.public.keyid)
KEYS = {signer.public.keyid: signer.public for signer in SIGNERS}
VECTOR_KEYS = {
    signer.public.keyid: signer.public
    for signer in (
        Ed25519Signer.from_seed(bytes.fromhex(key["seed"]))
        for key in json.loads((FOLDER / "keys.json").read_text())["keys"]
    )
}
keyids = st.binary(min_size=32, max_size=32).map(bytes.hex)
envelopes = st.builds(
    Envelope,
    st.binary(max_size=200),
    st.dictionaries(keyids, st.binary(min_size=64, max_size=64), min_size=1, max_size=16).map(
        lambda items: tuple(Signature(*item) for item in sorted(items.items()))
    ),
)


@pytest.mark.parametrize("case", VECTORS["envelopes"], ids=lambda case: case["envelope_sha256"][:8])
def test_vectors(case):
    data = case["envelope"].encode()
    envelope = parse_envelope(data)
    assert envelope.payload == case["payload"].encode()
    assert format_envelope(envelope) == data
    assert format_signatures(envelope.signatures) == case["signatures"].encode()
    assert parse_signatures(case["signatures"].encode()) == envelope.signatures
    assert pae(PAYLOAD_TYPE, envelope.payload).hex() == case["pae_hex"]
    assert verify_envelope(envelope, VECTOR_KEYS) == envelope.payload


def test_pae_of_the_dsse_specification():
    # DSSE protocol.md, "Test vectors"
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == "DSSEv1 2 é 0 ".encode()


def test_what_has_its_form_is_read_without_json(monkeypatch: pytest.MonkeyPatch):
    """Whatever its numbers of bytes: of the payload, and of the padding behind it."""
    made = [sign_payload(b"x" * size, SIGNERS[:signers]) for size in (0, 1, 2, 3, 300) for signers in (1, 2)]
    written = [(envelope, format_envelope(envelope), format_signatures(envelope.signatures)) for envelope in made]
    parsed: list[str] = []

    def parse(data: bytes, *, what: str, max_depth: int) -> object:
        parsed.append(what)
        return json.loads(data)

    monkeypatch.setattr(module, "parse_json", parse)
    for envelope, data, signatures in written:
        assert parse_envelope(data) == envelope
        assert parse_signatures(signatures) == envelope.signatures
    assert parsed == ["signatures"] * len(made), "two signatures, once in an envelope and once alone"


@given(envelopes)
def test_every_envelope_comes_back(envelope):
    assert parse_envelope(format_envelope(envelope)) == envelope
    assert parse_signatures(format_signatures(envelope.signatures)) == envelope.signatures


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_as_input_errors(data):
    for parse in (parse_envelope, parse_signatures):
        with pytest.raises(InputError):
            parse(data)


def test_every_changed_byte_is_refused_or_fails_to_verify():
    data = format_envelope(sign_payload(b'{"a":1}', SIGNERS[:2]))
    for at in range(len(data)):
        for change in (1, 0x20):
            bad = bytearray(data)
            bad[at] ^= change
            with pytest.raises((InputError, AuthenticationError)):
                verify_envelope(parse_envelope(bytes(bad)), KEYS)
    for at in range(len(data)):
        with pytest.raises(InputError):
            parse_envelope(data[:at] + data[at + 1 :])


GOOD = json.loads(format_envelope(sign_payload(b'{"a":12}', SIGNERS[:2])))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _variants():
    one, two = GOOD["signatures"]
    yield "spaces", json.dumps(GOOD).encode()
    yield "newline", _dump(GOOD) + b"\n"
    yield "other order", _dump({key: GOOD[key] for key in ("payloadType", "payload", "signatures")})
    yield "one more member", _dump({**GOOD, "x": 1})
    yield "one member less", _dump({"payload": GOOD["payload"], "signatures": GOOD["signatures"]})
    yield "other type", _dump({**GOOD, "payloadType": "application/vnd.in-toto+json"})
    yield "type in capitals", _dump({**GOOD, "payloadType": PAYLOAD_TYPE.upper()})
    yield "no signature", _dump({**GOOD, "signatures": []})
    yield "signatures no list", _dump({**GOOD, "signatures": {"0": one}})
    yield "signature no object", _dump({**GOOD, "signatures": [1]})
    yield "not sorted", _dump({**GOOD, "signatures": [two, one]})
    yield "twice", _dump({**GOOD, "signatures": [one, one]})
    yield "keyid in capitals", _dump({**GOOD, "signatures": [{**one, "keyid": one["keyid"].upper()}]})
    yield "keyid a number", _dump({**GOOD, "signatures": [{**one, "keyid": 1}]})
    yield "sig null", _dump({**GOOD, "signatures": [{**one, "sig": None}]})
    yield "sig short", _dump({**GOOD, "signatures": [{**one, "sig": base64.b64encode(bytes(63)).decode()}]})
    yield "sig long", _dump({**GOOD, "signatures": [{**one, "sig": base64.b64encode(bytes(72)).decode()}]})
    yield "signature members", _dump({**GOOD, "signatures": [{"sig": one["sig"], "keyid": one["keyid"]}]})
    yield "signature with more", _dump({**GOOD, "signatures": [{**one, "cert": ""}]})
    yield "no padding", _dump({**GOOD, "payload": GOOD["payload"].rstrip("=")})
    yield "url-safe base64", _dump({**GOOD, "payload": "-_-_"})
    yield "newline in base64", _dump({**GOOD, "payload": GOOD["payload"][:4] + "\n" + GOOD["payload"][4:]})
    yield "unused bits", _dump({**GOOD, "payload": "YWJjZR=="})
    yield "payload a number", _dump({**GOOD, "payload": 1})
    yield "escaped slash", _dump(GOOD).replace(b"application/", b"application\\/")
    yield "an array", _dump([GOOD])
    many = [{"keyid": f"{n:064x}", "sig": one["sig"]} for n in range(17)]
    yield "17 signatures", _dump({**GOOD, "signatures": many})


@pytest.mark.parametrize(("why", "data"), list(_variants()), ids=[why for why, _ in _variants()])
def test_only_one_spelling_is_accepted(why, data):
    parse_envelope(_dump(GOOD))  # the rest of the envelope is not to blame
    with pytest.raises(InputError):
        parse_envelope(data)


ONE = format_signatures(sign_payload(b"{}", SIGNERS[:1]).signatures)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        ONE + b"\n",
        ONE.replace(b",", b", "),
        ONE.replace(b"keyid", b"\\u006beyid"),
        ONE.replace(b'=="}', b'"}'),
        ONE[:-1] + b"," + ONE[1:],
        ONE[:-1] + b",]",
    ],
    ids=count(),
)
def test_only_one_spelling_of_signatures_is_accepted(data):
    assert len(parse_signatures(ONE)) == 1
    with pytest.raises(InputError):
        parse_signatures(data)


def test_limits():
    envelope = sign_payload(bytes(MAX_PAYLOAD), SIGNERS[:16])
    data = format_envelope(envelope)
    assert len(data) <= MAX_ENVELOPE
    assert parse_envelope(data) == envelope
    for signers in ([], SIGNERS[:17], [SIGNERS[0], SIGNERS[0]]):
        with pytest.raises(InputError):
            sign_payload(b"", signers)
    with pytest.raises(InputError):
        sign_payload(bytes(MAX_PAYLOAD + 1), SIGNERS[:1])
    with pytest.raises(InputError):
        format_envelope(dataclasses.replace(envelope, payload=bytes(MAX_PAYLOAD + 1)))


def test_sizes_are_checked_before_anything_is_decoded(monkeypatch):
    def explode(*arguments: object, **options: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(module, "parse_json", explode)
    with pytest.raises(InputError, match="98305"):
        parse_envelope(b" " * (MAX_ENVELOPE + 1))
    with pytest.raises(InputError, match="larger than"):
        parse_signatures(b" " * 4000)


def test_every_signer_signs_and_the_order_given_does_not_matter():
    envelope = sign_payload(b"{}", SIGNERS[4:1:-1])
    assert [signature.keyid for signature in envelope.signatures] == [s.public.keyid for s in SIGNERS[2:5]]
    assert envelope == sign_payload(b"{}", SIGNERS[2:5])
    assert verify_envelope(envelope, KEYS) == b"{}"


def test_one_unknown_key_refuses_the_whole_envelope():
    envelope = sign_payload(b"{}", SIGNERS[:2])
    for missing in (0, 1):
        keys = {keyid: key for keyid, key in KEYS.items() if keyid != SIGNERS[missing].public.keyid}
        with pytest.raises(AuthenticationError, match="unknown key"):
            verify_envelope(envelope, keys)
    with pytest.raises(AuthenticationError):
        verify_envelope(envelope, {})


def test_a_wrong_signature_beside_a_right_one_is_refused():
    envelope = sign_payload(b"{}", SIGNERS[:2])
    other = sign_payload(b"{ }", SIGNERS[:2])
    mixed = Envelope(b"{}", (envelope.signatures[0], other.signatures[1]))
    with pytest.raises(AuthenticationError, match="wrong signature"):
        verify_envelope(mixed, KEYS)


def test_an_envelope_without_signatures_never_verifies():
    with pytest.raises(InputError):
        verify_envelope(Envelope(b"{}", ()), KEYS)


def test_a_key_under_a_false_keyid_does_not_count():
    one, two = SIGNERS[:2]
    forged = Envelope(b"{}", (Signature(one.public.keyid, two.sign(pae(PAYLOAD_TYPE, b"{}"))),))
    with pytest.raises(AuthenticationError):
        verify_envelope(forged, {one.public.keyid: two.public})


def test_a_signature_over_another_payload_type_does_not_count():
    signer = SIGNERS[0]
    signature = Signature(signer.public.keyid, signer.sign(pae("application/vnd.in-toto+json", b"{}")))
    with pytest.raises(AuthenticationError):
        verify_envelope(Envelope(b"{}", (signature,)), KEYS)
