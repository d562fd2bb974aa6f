"""Bytes that must be refused: payloads and envelopes in another form, and what is too large."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ledger.emission import uuid7
from ledger.envelope import sign_payload
from ledger.errors import (
    InputError,
)
from ledger.keys import Ed25519Signer
from tests.contract.attempts import encode, refused, seal, still_good
from tests.contract.support import Cast, digest, make_cast


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


def test_payloads_that_are_not_strict_json(cast: Cast):
    good = encode(cast)
    nested = b'{"a":' * 33 + b"1" + b"}" * 33
    cases: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "empty"),
        "not JSON": (b"{'a': 1}", "not JSON"),
        "cut short": (good[:-1], "not JSON"),
        "not UTF-8": (good.replace(b"d@1", b"d\xff1"), "not UTF-8"),
        "UTF-16": (good.decode().encode("utf-16"), "not UTF-8"),
        "BOM": (b"\xef\xbb\xbf" + good, "not JSON"),
        "space in front": (b" " + good, "white space"),
        "newline behind": (good + b"\n", "white space"),
        "trailing data": (good + b"{}", "not JSON"),
        "a name twice": (good.replace(b'"subject"', b'"id": "x", "subject"'), "appears twice"),
        "a name twice inside data": (good.replace(b'"data": {', b'"data": {"digest": "x", '), "appears twice"),
        "NaN": (good.replace(b'"data": {', b'"data": {"row_count": NaN, '), "NaN"),
        "Infinity": (good.replace(b'"data": {', b'"data": {"row_count": -Infinity, '), "Infinity"),
        "too large a number": (good.replace(b'"data": {', b'"data": {"row_count": 1e400, '), "too large"),
        "an integer over 2^53": (good.replace(b'"data": {', b'"data": {"row_count": 9007199254740993, '), "2^53"),
        "another spelling": (good.replace(b'"data": {', b'"data": {"row_count": 1.0, '), "must be written 1"),
        "minus zero": (good.replace(b'"data": {', b'"data": {"row_count": -0, '), "must be written 0"),
        "leading zero": (good.replace(b'"data": {', b'"data": {"row_count": 01, '), "not JSON"),
        "lone surrogate": (good.replace(b'"data": {', b'"data": {"uri": "\\ud800", '), "surrogate"),
        "too deep": (good.replace(b'"data": {', b'"data": {"extra": %b, ' % nested), "nested deeper"),
        "endless depth": (b"[" * 60_000, "nested deeper"),
        "an array": (b"[1, 2]", "JSON object"),
        "a string": (b'"hello"', "JSON object"),
    }  # fmt: skip
    for what, (payload, words) in cases.items():
        with refused(cast, what, InputError, words):
            cast.admin.append(seal(payload, cast.keys["trainer"]))
    cast.admin.append(seal(good, cast.keys["trainer"]))
    still_good(cast)


REQUIRED = (
    "specversion", "id", "source", "type", "subject", "time", "dataschema", "ledgerid", "nonce", "emitter", "sequence",
    "data",
)  # fmt: skip


def test_payloads_that_are_not_our_events(cast: Cast):
    cases: list[tuple[dict[str, Any], str]] = [
        *(({name: None}, repr(name)) for name in REQUIRED),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": "A" * 36}, "'id'"),
        ({"id": uuid7().upper()}, "'id'"),
        ({"id": 7}, "'id'"),
        ({"source": "urn:other:trainer"}, "source"),
        ({"source": "urn:muniment:Träiner"}, "actor id"),
        ({"source": "urn:muniment:../etc"}, "actor id"),
        ({"type": "dataset.registered"}, "'type'"),
        ({"type": "muniment.dataset.registered"}, "'type'"),
        ({"dataschema": "urn:muniment:schema:other"}, "dataschema"),
        ({"time": "2026-01-02T03:04:05"}, "'time'"),
        ({"time": "2026-01-02T03:04:05+00:00"}, "'time'"),
        ({"time": "2026-02-30T03:04:05Z"}, "'time'"),
        ({"time": "1969-12-31T23:59:59Z"}, "1970"),
        ({"time": "٢٠٢٦-01-02T03:04:05Z"}, "'time'"),
        ({"ledgerid": "xyz"}, "ledgerid"),
        ({"nonce": "0" * 31}, "nonce"),
        ({"emitter": "me"}, "emitter"),
        ({"sequence": "1"}, "sequence"),
        ({"sequence": "0" * 19}, "sequence"),
        ({"sequence": "9" * 19}, "sequence"),
        ({"sequence": 1}, "sequence"),
        ({"data": []}, "'data'"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"onbehalfof": "p-author"}, "source"),
        ({"evidencestrength": "sure"}, "evidencestrength"),
        ({"correlationid": "x" * 256}, "correlationid"),
        ({"Upper": "x"}, "attribute name"),
        ({"has-dash": "x"}, "attribute name"),
    ]  # fmt: skip
    for changes, words in cases:
        with refused(cast, str(changes), InputError, words):
            cast.admin.append(seal(encode(cast, **changes), cast.keys["trainer"]))
    cast.admin.append(seal(encode(cast, unknownattribute="kept"), cast.keys["trainer"]))
    still_good(cast)


def test_things_that_are_too_large(cast: Cast):
    key = cast.keys["trainer"]
    room = 65_536 - len(encode(cast, data={"digest": digest("d"), "description": ""}))
    at_limit = encode(cast, data={"digest": digest("d"), "x": "y" * (room + 10)})
    at_limit = at_limit.replace(b"y", b"", len(at_limit) - 65_536)
    assert len(at_limit) == 65_536
    assert cast.admin.append(seal(at_limit, key)).index == cast.recorder.head().size - 1
    with refused(cast, "payload", InputError, "65537"):
        cast.admin.append(seal(b"x" * 65_537, key))
    with refused(cast, "envelope", InputError, "98305"):
        cast.admin.append(b"x" * 98_305)
    with refused(cast, "through emit", InputError, "65,536"):
        cast["trainer"].emit("external.observed", "external:x", system="s", content={"x": "y" * 70_000})
    with refused(cast, "a header string", InputError, "longer than 200"):
        cast["trainer"].emit("external.observed", "external:" + "x" * 220, system="s")
    still_good(cast)


def test_envelopes_in_another_form(cast: Cast):
    key, payload = cast.keys["trainer"], encode(cast)
    good = seal(payload, key)
    envelope = sign_payload(payload, [key])
    (signature,) = envelope.signatures
    item = good[good.index(b"[") : -1]
    other = seal(payload, Ed25519Signer.generate())
    seventeen = seal(payload, *(Ed25519Signer.generate() for _ in range(17)))
    members = json.loads(good)
    cases: dict[str, bytes] = {
        "empty": b"",
        "not JSON": b"hello",
        "white space": good.replace(b":", b": "),
        "newline": good + b"\n",
        "other order": json.dumps(dict(reversed(members.items())), separators=(",", ":")).encode(),
        "a member more": good[:-1] + b',"x":1}',
        "a member less": b'{"payload":"e30=","payloadType":"application/cloudevents+json"}',
        "other type": good.replace(b"cloudevents+json", b"json"),
        "URL-safe base64": good.replace(b'"payload":"', b'"payload":"_'),
        "no padding": good.replace(b"==", b"").replace(b"=", b""),
        "loose base64": good.replace(b'"payload":"', b'"payload":" '),
        "no signatures": good.replace(item, b"[]"),
        "signatures null": good.replace(item, b"null"),
        "the same twice": good.replace(item, item[:-1] + b"," + item[1:]),
        "not sorted": swap_signatures(seal(payload, key, Ed25519Signer.generate())),
        "seventeen": seventeen,
        "upper-case keyid": good.replace(signature.keyid.encode(), signature.keyid.upper().encode()),
        "short keyid": good.replace(signature.keyid.encode(), signature.keyid[:-1].encode()),
        "short signature": good.replace(base64.b64encode(signature.sig), base64.b64encode(signature.sig[:-1])),
        "a signature's member more": good.replace(b'"sig"', b'"x":1,"sig"'),
        "duplicate member": good.replace(b'"payloadType"', b'"payload":"","payloadType"'),
        "escaped": good.replace(b"cloudevents", b"\\u0063loudevents"),
    }
    assert other != good
    for what, data in cases.items():
        assert data != good, what
        with refused(cast, what, InputError, ""):
            cast.admin.append(data)
    assert cast.admin.append(good).stream == "dataset:d"
    still_good(cast)


def swap_signatures(data: bytes) -> bytes:
    members = json.loads(data)
    members["signatures"].reverse()
    return json.dumps(members, separators=(",", ":")).encode()
