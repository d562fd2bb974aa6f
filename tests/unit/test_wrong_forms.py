"""What a reader of bytes says about a wrong form: not only that it is refused, but what is wrong with it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ledger import payload as module
from ledger.addcheckpoint import MAX_PROOF as MAX_HASHES
from ledger.addcheckpoint import MAX_REQUEST, AddCheckpoint, format_add_checkpoint, parse_add_checkpoint
from ledger.bundle import MAX_BUNDLE, MAX_BUNDLE_ENTRIES, MAX_LINE
from ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint, parse_origin, sign_checkpoint
from ledger.cosignature import parse_cosignature, parse_lines
from ledger.entry import (
    MAX_ENTRY,
    MAX_ENTRY_KEYS,
    MAX_HEADER_STRING,
    MAX_TIME,
    format_time,
    parse_entry,
    parse_time,
)
from ledger.envelope import (
    MAX_ENVELOPE,
    MAX_PAYLOAD,
    MAX_SIGNATURES,
    Envelope,
    Signature,
    format_envelope,
    format_signatures,
    parse_envelope,
    parse_signatures,
    sign_payload,
)
from ledger.errors import InputError
from ledger.evidence import MAX_EVIDENCE
from ledger.keys import Ed25519Signer, PublicKey, format_public_key, parse_public_key
from ledger.merkle import MAX_TREE_SIZE
from ledger.names import MAX_NAME_BYTES, parse_actor, parse_name, parse_source
from ledger.note import (
    MAX_NOTE,
    MAX_NOTE_SIGNATURES,
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    VerifierKey,
    format_vkey,
    parse_note,
    parse_vkey,
)
from ledger.payload import MAX_SEQUENCE, Payload, format_payload, parse_payload
from ledger.proof import MAX_EXTRA, MAX_PROOF, MAX_PROOF_HASHES, Proof, format_proof, parse_proof
from ledger.strictjson import MAX_DEPTH, MAX_INTEGER, format_json, parse_json
from ledger.successor import Successor, format_successor, parse_successor
from ledger.tiles import MAX_BUNDLE_ENTRY, TILE_HEIGHT, TILE_WIDTH
from ledger.witnesspolicy import MAX_MEMBERS, MAX_POLICY
from tests.unit.unordered import unordered

LOG = Ed25519Signer.from_seed(b"\x01" * 32)
ORIGIN = "ledger.example/test"
HEAD = Checkpoint(ORIGIN, 3, b"\xff" * 32)
CHECKPOINT = format_checkpoint(HEAD)
ROOT = CHECKPOINT.split("\n")[2]
NOTE = sign_checkpoint(HEAD, LOG)
LINE = NOTE.split(b"\n\n")[1]
VKEY = format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw))
KEY = format_public_key(LOG.public)
ENVELOPE = format_envelope(sign_payload(b"{}", [LOG]))
SIGNATURES = format_signatures(sign_payload(b"{}", [LOG]).signatures)
SIG = base64.b64encode(bytes(64))
REQUEST = format_add_checkpoint(AddCheckpoint(3, (bytes(32),), NOTE))
PROOF = format_proof(Proof(2, (bytes(32),), NOTE, None))
SUCCESSOR = format_successor(Successor(ORIGIN, "ab" * 16, 5, bytes(32), "cd" * 16, "postgresql://host/db"))
UUID = "00000000-0000-4000-8000-000000000001"
PAYLOAD = Payload(
    UUID, "p-one", "muniment.run.started.v1", "run:x", 1_700_000_000_123_456, "ab" * 16, UUID, 7,
    "p-two", "together", "before", "observed", {"a": 1},
)  # fmt: skip
ATTRIBUTES = json.loads(format_payload(PAYLOAD, "00" * 16))
BASE64 = "padded standard base64"
ONLY = "in its only form"
ENTRY = {
    "actor": "p-one", "emitter": UUID, "envelope": "0" * 64, "id": UUID, "index": 1, "item": 0, "keys": ["1" * 64],
    "ledgerid": "ab" * 16, "payload": "2" * 64, "prev": "3" * 64, "recorded_at": "2023-11-14T22:13:20.000000Z",
    "revision": 0, "sequence": 1, "stream": "run:x", "subject": "run:x", "type": "muniment.run.started.v1", "v": 1,
}  # fmt: skip


def entry(**changes: Any) -> bytes:
    return json.dumps({**ENTRY, **changes}, separators=(",", ":")).encode()


def payload(*left_out: str, **changes: Any) -> bytes:
    return json.dumps({key: item for key, item in {**ATTRIBUTES, **changes}.items() if key not in left_out}).encode()


def compact(*left_out: str, **changes: Any) -> bytes:
    return json.dumps(json.loads(payload(*left_out, **changes)), separators=(",", ":")).encode()


def envelope(**changes: Any) -> bytes:
    return json.dumps({**json.loads(ENVELOPE), **changes}, separators=(",", ":")).encode()


def vkey(material: bytes) -> str:
    return f"{ORIGIN}+00000000+{base64.b64encode(material).decode()}"


WRONG: dict[str, tuple[Callable[[Any], object], Any, str]] = {
    "origin, scheme": (parse_origin, "https://x", "not an origin"),
    "origin, long": (parse_origin, "x" * 256, "not an origin"),
    "checkpoint, lines": (parse_checkpoint, CHECKPOINT + "x\n", "exactly three lines"),
    "checkpoint, no newline": (parse_checkpoint, CHECKPOINT[:-1], "exactly three lines"),
    "checkpoint, text behind it": (parse_checkpoint, CHECKPOINT + "x", "exactly three lines"),
    "checkpoint, size": (parse_checkpoint, CHECKPOINT.replace("\n3\n", "\n03\n"), "without leading zeros"),
    "checkpoint, large": (parse_checkpoint, CHECKPOINT.replace("\n3\n", f"\n{2**63}\n"), "2^63-1"),
    "checkpoint, root": (parse_checkpoint, CHECKPOINT.replace(ROOT, "!" + ROOT), BASE64),
    "checkpoint, length": (parse_checkpoint, f"{ORIGIN}\n3\n{base64.b64encode(bytes(31)).decode()}\n", "32 bytes"),
    "checkpoint, bits": (parse_checkpoint, CHECKPOINT.replace("8=", "9="), ONLY),
    "note, large": (parse_note, b"x" * (MAX_NOTE + 1), "at most 65536"),
    "note, UTF-8": (parse_note, b"\xff", "not UTF-8"),
    "note, no line": (parse_note, CHECKPOINT.encode(), "an empty line and signature lines"),
    "note, no end": (parse_note, NOTE[:-1], "an empty line and signature lines"),
    "note, dash": (parse_note, NOTE.replace("—".encode(), b"-"), "not of the form"),
    "note, words": (parse_note, NOTE[:-1] + b" x\n", "not of the form"),
    "note, base64": (parse_note, NOTE[:-1] + b"!\n", BASE64),
    "note, bits": (parse_note, NOTE[:-3] + bytes([NOTE[-3] + 1]) + NOTE[-2:], ONLY),
    "note, many lines": (parse_note, NOTE + LINE * 16, "1 to 16 signatures, not 17"),
    "note, name": (parse_note, NOTE.replace(f" {ORIGIN} ".encode(), b" a+b "), "not a key name"),
    "note, short line": (parse_note, CHECKPOINT.encode() + f"\n— {ORIGIN} AAAAAA==\n".encode(), "4 bytes of key ID"),
    "note, empty": (parse_note, b"\n\n" + LINE, "must end in a newline"),
    "vkey, parts": (parse_vkey, "a+b", "name+hash+key"),
    "vkey, base64": (parse_vkey, VKEY + "!", BASE64),
    "vkey, empty": (parse_vkey, "a+00000000+", "is empty"),
    "vkey, type": (parse_vkey, vkey(b"\x02" + LOG.public.raw), "unsupported type 0x02"),
    "vkey, length": (parse_vkey, vkey(b"\x01" + LOG.public.raw[1:]), "32 bytes, not 31"),
    "vkey, hash": (parse_vkey, vkey(b"\x01" + LOG.public.raw), "does not fit its key"),
    "vkey, other hash": (parse_vkey, VKEY.replace("+", "+0", 1), "does not fit its key"),
    "cosignature, two": (parse_cosignature, LINE + LINE[:-1], "one signature line"),
    "cosignature, text": (parse_cosignature, b"x", "not of the form"),
    "lines, large": (parse_lines, b"x" * (MAX_NOTE + 1), f"signature lines have at most {MAX_NOTE}"),
    "key, colon": (parse_public_key, "ed25519", "written ed25519:<base64>"),
    "key, base64": (parse_public_key, KEY.replace(":", ":!"), "not base64"),
    "key, bits": (parse_public_key, KEY[:-2] + chr(ord(KEY[-2]) + 1) + "=", ONLY),
    "key, unknown": (parse_public_key, "rsa:AAAA", "unknown key algorithm 'rsa'"),
    "key, reserved": (parse_public_key, "ecdsa-p256:!", "reserved and not supported yet"),
    "key, length": (parse_public_key, "ed25519:AAAA", "32 bytes, not 3"),
    "key, small": (parse_public_key, "ed25519:" + base64.b64encode(bytes(32)).decode(), "small order"),
    "signatures, array": (parse_signatures, b"{}", "not an array"),
    "signatures, none": (parse_signatures, b"[]", "1 to 16 signatures, not 0"),
    "signatures, large": (parse_signatures, b"[" + b" " * 10_000, "larger than"),
    "signatures, members": (parse_signatures, b'[{"keyid":"x"}]', "exactly the members keyid, sig"),
    "signatures, keyid": (parse_signatures, b'[{"keyid":1,"sig":"x"}]', "a keyid is not a string"),
    "signatures, hex": (parse_signatures, b'[{"keyid":"%b","sig":"%b"}]' % (b"A" * 64, SIG), "64 lower-case hex"),
    "signatures, sig": (parse_signatures, SIGNATURES.replace(b'sig":"', b'sig":"!'), BASE64),
    "signatures, type": (parse_signatures, b'[{"keyid":"x","sig":1}]', "a signature is not a string"),
    "signatures, length": (parse_signatures, b'[{"keyid":"%b","sig":""}]' % (b"a" * 64), "64 bytes, not 0"),
    "signatures, twice": (parse_signatures, b"[" + b",".join([SIGNATURES[1:-1]] * 2) + b"]", "a keyid appears twice"),
    "signatures, spaces": (parse_signatures, SIGNATURES.replace(b",", b", "), "in their only form"),
    "envelope, large": (parse_envelope, b"x" * (MAX_ENVELOPE + 1), f"at most {MAX_ENVELOPE}"),
    "envelope, members": (parse_envelope, b"{}", "exactly the members payload, payloadType, signatures"),
    "envelope, type": (parse_envelope, envelope(payloadType="text/plain"), "payloadType must be"),
    "envelope, payload": (parse_envelope, envelope(payload=1), "the payload is not a string"),
    "envelope, base64": (parse_envelope, envelope(payload="!e30="), BASE64),
    "envelope, bits": (parse_envelope, envelope(payload="e31="), ONLY),
    "envelope, spaces": (parse_envelope, ENVELOPE.replace(b":", b": ", 1), ONLY),
    "envelope, order": (format_envelope, Envelope(b"", (Signature("b" * 64, b"x" * 64),) * 2), "not sorted by keyid"),
    "envelope, payload's size": (format_envelope, Envelope(b"x" * (MAX_PAYLOAD + 1), ()), f"at most {MAX_PAYLOAD}"),
    "request, large": (parse_add_checkpoint, b"x" * (MAX_REQUEST + 1), f"at most {MAX_REQUEST} bytes"),
    "request, no empty line": (parse_add_checkpoint, b"old 3", "an old size, a consistency proof"),
    "request, word": (parse_add_checkpoint, REQUEST.replace(b"old", b"new"), "an old size, a consistency proof"),
    "request, size": (parse_add_checkpoint, REQUEST.replace(b"old 3", b"old 03"), "an old size, a consistency proof"),
    "request, large size": (parse_add_checkpoint, REQUEST.replace(b"old 3", b"old %d" % 2**63), "2^63-1"),
    "request, base64": (parse_add_checkpoint, REQUEST.replace(b"AAA=\n", b"AAA=!\n", 1), BASE64),
    "request, hash": (parse_add_checkpoint, REQUEST.replace(b"old 3\n", b"old 3\nAAAA\n"), "hashes of 32 bytes"),
    "request, bits": (parse_add_checkpoint, REQUEST.replace(b"AAA=\n", b"AAB=\n", 1), ONLY),
    "proof, large": (parse_proof, b"x" * (MAX_PROOF + 1), f"at most {MAX_PROOF} bytes"),
    "proof, no empty line": (parse_proof, PROOF.split(b"\n\n")[0], "an empty line and a checkpoint"),
    "proof, ASCII": (parse_proof, PROOF.replace(b"index", b"\xc3\xa9index"), "a proof is ASCII lines"),
    "proof, header": (parse_proof, PROOF.replace(b"@v1", b"@v2"), "starts with the line"),
    "proof, index": (parse_proof, PROOF.replace(b"index 2", b"index 02"), "index <decimal>"),
    "proof, no index": (parse_proof, PROOF.replace(b"index 2\n", b""), "index <decimal>"),
    "proof, only a header": (parse_proof, PROOF.split(b"\n")[0] + b"\n\n" + NOTE, "index <decimal>"),
    "proof, base64": (parse_proof, PROOF.replace(b"AAA=\n", b"AAA=!\n", 1), BASE64),
    "proof, bits": (parse_proof, PROOF.replace(b"AAA=\n", b"AAB=\n", 1), ONLY),
    "proof, hash": (parse_proof, PROOF.replace(b"index 2\n", b"index 2\nAAAA\n"), "hashes of 32 bytes"),
    "proof, large index": (parse_proof, PROOF.replace(b"index 2\n", b"index %d\n" % 2**63), "not a leaf index"),
    "proof, empty extra": (parse_proof, PROOF.replace(b"index", b"extra \nindex"), "1 to 65536 bytes, not 0"),
    "successor, lines": (parse_successor, SUCCESSOR + "x\n", "seven lines"),
    "successor, header": (parse_successor, "x" + SUCCESSOR, "seven lines"),
    "successor, name": (parse_successor, SUCCESSOR.replace("\nsize", "\nlength"), "is not 'size'"),
    "successor, size": (parse_successor, SUCCESSOR.replace("size 5", "size 05"), "without leading zeros"),
    "successor, root": (parse_successor, SUCCESSOR.replace("root A", "root !A"), "is not base64"),
    "successor, bits": (parse_successor, SUCCESSOR.replace("AAA=\n", "AAB=\n"), ONLY),
    "successor, root's length": (parse_successor, SUCCESSOR.replace("root AAAA", "root "), "a field of"),
    "name, long": (parse_name, "model:" + "x" * 195, "longer than 200 bytes"),
    "name, text": (parse_name, "model", "'model' is not a name"),
    "actor, text": (parse_actor, "P", "'P' is not an actor id"),
    "source, prefix": (parse_source, "urn:other:root", "urn:muniment:<actor>"),
    "source, actor": (parse_source, "urn:muniment:P", "'P' is not an actor id"),
    "time, form": (parse_time, "2023-11-14T22:13:20Z", "is not a time of the form"),
    "time, day": (parse_time, "2023-02-29T22:13:20.000000Z", "there is no such time"),
    "time, before": (parse_time, "1969-12-31T23:59:59.999999Z", "before 1970"),
    "entry, large": (parse_entry, b"x" * (MAX_ENTRY + 1), f"at most {MAX_ENTRY} are allowed"),
    "entry, array": (parse_entry, b"[]", "exactly the members of entry v1"),
    "entry, members": (parse_entry, b"{}", "exactly the members of entry v1"),
    "entry, version": (parse_entry, entry(v=2), "entry version 2 is unknown"),
    "entry, bool version": (parse_entry, entry(v=True), "member v has a wrong type"),
    "entry, text": (parse_entry, entry(actor=1), "member actor has a wrong type"),
    "entry, number": (parse_entry, entry(index="1"), "member index has a wrong type"),
    "entry, keys": (parse_entry, entry(keys="1"), "member keys has a wrong type"),
    "entry, a key": (parse_entry, entry(keys=[1]), "member keys has a wrong type"),
    "entry, time": (parse_entry, entry(recorded_at=1), "member recorded_at has a wrong type"),
    "entry, keys' form": (parse_entry, entry(keys=["A" * 64]), "keyids of 64 lower-case hex"),
    "entry, a key too long": (parse_entry, entry(keys=["1" * 66]), "keyids of 64 lower-case hex"),
    "entry, a key too short": (parse_entry, entry(keys=["1" * 62]), "keyids of 64 lower-case hex"),
    "entry, keys' order": (parse_entry, entry(keys=["1" * 64] * 2), "sorted and without repeats"),
    "entry, no keys": (parse_entry, entry(keys=[]), "1 to 16 keyids"),
    "entry, ledger": (parse_entry, entry(ledgerid="AB" * 16), "32 lower-case hex characters"),
    "entry, escape": (parse_entry, entry().replace(b"p-one", b"\\u0070-one"), ONLY),
    "payload, large": (parse_payload, b"x" * (MAX_PAYLOAD + 1), "more than the 65,536 allowed"),
    "payload, array": (parse_payload, b"[]", "must be a JSON object"),
    "payload, name": (parse_payload, compact(Upper="x"), "no CloudEvents attribute name"),
    "payload, version": (parse_payload, compact(specversion="0.3"), "'specversion' must be"),
    "payload, content": (parse_payload, compact(datacontenttype="text/plain"), "'datacontenttype' must be"),
    "payload, data": (parse_payload, compact(data=[]), "'data' must be a JSON object"),
    "payload, missing": (parse_payload, compact("nonce"), "'nonce' is missing"),
    "payload, no text": (parse_payload, compact(id=1), "'id' must be a string of 1 to 255"),
    "payload, empty": (parse_payload, compact(id=""), "'id' must be a string of 1 to 255"),
    "payload, long": (parse_payload, compact(source="x" * 256), "'source' must be a string of 1 to 255"),
    "payload, control": (parse_payload, compact(id="\n"), "'id' holds control characters"),
    "payload, form": (parse_payload, compact(id="x"), "'id' must be a UUID in lower case"),
    "payload, type": (parse_payload, compact(type="x"), "'type' must be muniment."),
    "payload, schema": (parse_payload, compact(dataschema="x"), "'dataschema' must be"),
    "payload, subject": (parse_payload, compact(subject="x"), "'x' is not a name"),
    "payload, strength": (parse_payload, compact(evidencestrength="sure"), "'evidencestrength' must be one of"),
    "payload, sequence 0": (parse_payload, compact(sequence="0" * 19), "'sequence' must lie between 1"),
    "payload, sequence": (parse_payload, compact(sequence="9" * 19), "'sequence' must lie between 1"),
    "payload, digits": (parse_payload, compact(sequence="1"), "19 decimal digits"),
    "payload, nonce": (parse_payload, compact(nonce="x"), "'nonce' must be 32 lower-case hex"),
    "payload, ledger": (parse_payload, compact(ledgerid="x"), "'ledgerid' must be 32 lower-case hex"),
    "payload, emitter": (parse_payload, compact(emitter="x"), "'emitter' must be a UUID"),
    "payload, source": (parse_payload, compact(source="p-one"), "urn:muniment:<actor>"),
    "payload, behalf": (parse_payload, compact(onbehalfof="p-one"), "urn:muniment:<actor>"),
    "payload, no behalf": (parse_payload, compact(onbehalfof=None), "'onbehalfof' is missing"),
    "payload, correlation": (parse_payload, compact(correlationid=""), "'correlationid' must be a string"),
    "payload, cause": (parse_payload, compact(causationid="\t"), "'causationid' holds control characters"),
    "payload, time": (parse_payload, compact(time="2023-11-14"), "'time': a time must be UTC"),
    "payload, day": (parse_payload, compact(time="2023-02-29T00:00:00Z"), "is not a time"),
    "payload, before": (parse_payload, compact(time="1969-12-31T23:59:59Z"), "lies before 1970"),
    "JSON, UTF-8": (parse_json, b'"\xff"', "is not UTF-8 (byte 1)"),
    "JSON, empty": (parse_json, b"", "is empty or has white space"),
    "JSON, space": (parse_json, b"1 ", "has white space around"),
    "JSON, twice": (parse_json, b'{"a":1,"a":1}', "'a' appears twice"),
    "JSON, constant": (parse_json, b"NaN", "NaN is not a JSON number"),
    "JSON, integer": (parse_json, b"9007199254740992", "beyond 2^53-1"),
    "JSON, minus": (parse_json, b"-0", "must be written 0"),
    "JSON, float": (parse_json, b"1.50", "must be written 1.5"),
    "JSON, infinite": (parse_json, b"1e999", "too large"),
    "JSON, surrogate": (parse_json, b'{"a":["\\ud800"]}', "lone surrogate"),
    "JSON, in a name": (parse_json, b'{"\\ud800":1}', "lone surrogate"),
    "JSON, more": (parse_json, b"1]", "is not JSON"),
    "JSON, nothing to read": (parse_json, b"x", "is not JSON"),
    "JSON, out: integer": (format_json, 2**53, "beyond 2^53-1"),
    "JSON, out: infinite": (format_json, float("inf"), "NaN and Infinity"),
    "JSON, out: between": (format_json, 1e20, "between 2^53 and 1e21"),
    "JSON, out: name": (format_json, {1: 1}, "is int, not a string"),
    "JSON, out: type": (format_json, set(), "set cannot be written"),
    "JSON, out: surrogate": (format_json, "\ud800", "lone surrogate"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_form_is_refused_and_the_reason_named(case: str):
    read, data, words = WRONG[case]
    with pytest.raises(InputError, match=re.escape(words)):
        read(unordered(data) if isinstance(data, str | bytes) else data)


def test_every_attribute_of_a_payload_comes_back():
    assert parse_payload(format_payload(PAYLOAD, "00" * 16)) == PAYLOAD
    none = parse_payload(compact("onbehalfof", "correlationid", "causationid"))
    assert (none.on_behalf_of, none.correlationid, none.causationid) == (None, None, None)
    assert parse_payload(compact("evidencestrength")).evidence == "observed"
    assert parse_payload(compact(time="1970-01-01T00:00:00Z")).occurred_at == 0
    assert parse_payload(compact(time="1970-01-01T00:00:01.5Z")).occurred_at == 1_500_000
    assert parse_payload(compact(sequence="1".zfill(19))).sequence == 1


def test_a_payload_in_its_form_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    """Attribute by attribute only to say which one is wrong; of 255 characters none is."""
    texts = {"id": "0" * 8 + "-0000" * 3 + "-" + "0" * 12, "subject": "model:m"}
    kind = f"muniment.{'x' * (255 - len(module._SCHEMA_PREFIX) - len('muniment..y.v1'))}.y.v1"
    payload = Payload(
        id=texts["id"], actor="a", type=kind, subject=texts["subject"], occurred_at=0, ledgerid="ab" * 16,
        emitter=texts["id"], sequence=1, on_behalf_of=None, correlationid=None, causationid=None, evidence="observed",
        data={},
    )  # fmt: skip
    data = format_payload(payload, "cd" * 16)
    looked = list[str]()

    def text(attributes: Any, name: str, pattern: Any, form: str) -> Any:
        looked.append(name)
        return attributes[name]

    monkeypatch.setattr(module, "_text", text)
    assert parse_payload(data) == payload
    assert looked == []
    parse_payload(data.replace(kind.encode(), b"muniment.x" + kind[9:].encode()))
    assert looked != [], "now one has 256"


def test_a_key_is_of_a_witness_or_of_a_log():
    assert {TYPE_ED25519, TYPE_COSIGNATURE} == {1, 4}
    assert parse_vkey(VKEY).public_key == LOG.public == PublicKey("ed25519", LOG.public.raw)


def test_the_limits_are_those_of_the_format():
    limits = (
        (MAX_NOTE, 65_536),
        (MAX_NOTE_SIGNATURES, 16),
        (MAX_ENTRY, 4_096),
        (MAX_ENTRY_KEYS, 16),
        (MAX_HEADER_STRING, 255),
        (MAX_ENVELOPE, 98_304),
        (MAX_PAYLOAD, 65_536),
        (MAX_SIGNATURES, 16),
        (MAX_PROOF_HASHES, 63),
        (MAX_EXTRA, 65_536),
        (MAX_HASHES, 63),
        (MAX_NAME_BYTES, 200),
        (MAX_TREE_SIZE, 2**63 - 1),
        (MAX_SEQUENCE, 2**53 - 1),
        (MAX_DEPTH, 32),
        (MAX_INTEGER, 2**53 - 1),
        (MAX_POLICY, 262_144),
        (MAX_MEMBERS, 256),
        (MAX_EVIDENCE, 262_144),
        (MAX_LINE, 262_144),
        (MAX_BUNDLE, 2**30),
        (MAX_BUNDLE_ENTRIES, 500_000),
        (TILE_WIDTH, 256),
        (TILE_HEIGHT, 8),
        (MAX_BUNDLE_ENTRY, 65_535),
        (MAX_PROOF, 155_855),
        (MAX_REQUEST, 68_435),
    )
    assert [found for found, wanted in limits if found != wanted] == []
    assert format_time(MAX_TIME) == "9999-12-31T23:59:59.999999Z"
