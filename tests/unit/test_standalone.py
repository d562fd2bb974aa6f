"""The tables of `verify.py`, which shares no code with the catalogue, against the catalogue."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

import ledger.standalone as script
from ledger.bundle import MAX_BUNDLE, MAX_LINE
from ledger.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from ledger.entry import format_entry, parse_entry
from ledger.envelope import pae as signed_bytes
from ledger.errors import InputError
from ledger.events import Category, Erasable, all_event_types
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, format_vkey, parse_note


def test_every_type_is_known_to_the_script():
    for kind in all_event_types():
        name = kind.topic.removeprefix("muniment.")
        assert (kind.category is Category.AUTHORITY) == (name in script.AUTHORITY), name
        assert (kind.category is Category.DECISION) == (name in script.DECISIONS), name
        assert tuple(script.ROLES.get(name, ())) == tuple(kind.roles), name
        assert (kind.erasable is Erasable.WHOLE) == (name in script.WITHHOLDABLE), name
        if {"actor", "ledger"} & set(kind.kinds):
            assert name in script.AUTHORITY, "in these streams stands nothing else"


# -- the readers of bytes, each without a whole bundle around it -----------------------------------

LOG = Ed25519Signer.from_seed(b"\x01" * 32)
ORIGIN = "ledger.example/test"
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 3, b"\xff" * 32), LOG).decode()
TEXT, LINE = NOTE.split("\n\n")
ROOT = TEXT.split("\n")[2]
VKEY = format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw))
UUID = "00000000-0000-4000-8000-000000000001"
ENTRY: dict[str, Any] = {
    "actor": "p-one", "emitter": UUID, "envelope": "0" * 64, "id": UUID, "index": 1, "item": 0, "keys": ["1" * 64],
    "ledgerid": "ab" * 16, "payload": "2" * 64, "prev": "3" * 64, "recorded_at": "2023-11-14T22:13:20.000000Z",
    "revision": 0, "sequence": 1, "stream": "run:x", "subject": "run:x", "type": "muniment.run.started.v1", "v": 1,
}  # fmt: skip


def refused(read: Callable[..., object], *args: Any, **options: Any) -> str:
    with pytest.raises(script.Bad) as caught:
        read(*args, **options)
    return str(caught.value)


def wide_note(size: int) -> str:
    """A note of so many bytes, with one long signature line."""
    blob = base64.b64encode(bytes(48_990)).decode()
    note = f"{TEXT}\n\n\u2014 n {blob}\n"
    return note.replace(" n ", f" n{'n' * (size - len(note.encode()))} ")


def test_the_limits_of_the_script_are_ours():
    assert (script.MAX_LINE, script.MAX_BUNDLE) == (MAX_LINE, MAX_BUNDLE)


def test_the_script_reads_a_head_as_we_do():
    text, origin, size, root, lines = script.parse_head(NOTE)
    assert (text, origin, size, root) == (TEXT + "\n", ORIGIN, 3, b"\xff" * 32)
    (found,) = parse_note(NOTE.encode()).signatures
    assert lines == [(found.name, found.key_hash, found.blob)]
    many = "".join(f"\u2014 name{n} AAAAAAA=\n" for n in range(15))
    for note in (
        wide_note(65_536),
        NOTE + many,
        NOTE + LINE,
        NOTE.replace(ORIGIN, "x" * 255),
        NOTE.replace("\n3\n", "\n0\n"),
    ):
        assert script.parse_head(note)[3] == b"\xff" * 32
        assert parse_checkpoint(parse_note(note.encode()).text).root == b"\xff" * 32
    for note, words in (
        (wide_note(65_537), "too long"), (TEXT, "not a checkpoint"), (NOTE + "\n\n", "not a checkpoint"),
        (f"{TEXT}\nmore\n\n{LINE}", "not a checkpoint"), (NOTE.replace(ORIGIN, "a+b"), "not an origin"),
        (NOTE.replace(ORIGIN, ""), "not an origin"), (NOTE.replace(ORIGIN, "x" * 256), "not an origin"),
        (NOTE.replace("\n3\n", "\n03\n"), "not a size"), (NOTE.replace("\n3\n", f"\n{10**19}\n"), "not a size"),
        (NOTE.replace(f" {ORIGIN} ", f" {'x' * 256} "), "not a signature line"),
        (NOTE.replace(f" {ORIGIN} ", " a\x01b "), "not a signature line"),
        (NOTE.replace(f" {ORIGIN} ", " a\x85b "), "not a signature line"),
        (NOTE.replace(f" {ORIGIN} ", " a\u2003b "), "not a signature line"),
        (NOTE[:-1], "1 to 16 signature lines"), (TEXT + "\n\n", "1 to 16"), (NOTE + many + LINE, "1 to 16"),
        (NOTE.replace("\u2014", "-"), "not a signature line"), (NOTE + "x\n", "not a signature line"),
        (NOTE + "\u2014 name AAAAAA==\n", "not a signature line"), (NOTE + "\u2014 name !AAA\n", "not base64"),
        (NOTE.replace(ROOT, "AAAA"), "of that length"),
        (NOTE.replace(ROOT, ROOT.replace("8=", "9=")), "of that length"),
    ):  # fmt: skip
        assert words in refused(script.parse_head, note), note
        with pytest.raises(InputError):
            parse_checkpoint(parse_note(note.encode()).text)
    refused(script.parse_head, 3)


def test_the_script_knows_who_signed_a_head():
    head = script.parse_head(NOTE)
    assert script.signs_head(VKEY, head) is True
    other = Ed25519Signer.from_seed(b"\x02" * 32)
    assert script.signs_head(format_vkey(VerifierKey(ORIGIN, TYPE_ED25519, other.public.raw)), head) is False
    assert script.signs_head(format_vkey(VerifierKey("other", TYPE_ED25519, LOG.public.raw)), head) is False
    name, key_id, signature = head[4][0]
    forged = (*head[:4], [(name, key_id, signature), (name, key_id, signature[::-1])])
    assert script.signs_head(VKEY, forged) is False, "every line that claims to be by it must verify"
    for wrong in (signature + b"x", signature[:-1], b""):
        assert script.signs_head(VKEY, (*head[:4], [(name, key_id, wrong)])) is False
    elsewhere = script.parse_head(NOTE.replace(f"{ORIGIN}\n", "other\n", 1))
    assert script.signs_head(VKEY, elsewhere) is False
    witness = format_vkey(VerifierKey(ORIGIN, TYPE_COSIGNATURE, LOG.public.raw))
    for vkey, words in (
        ("x", "is not a verifier key"), (VKEY.replace("+", "+0", 1), "is not a verifier key"),
        (witness, "is not a key that signs heads"), (f"other{VKEY}", "is not a key that signs heads"),
        (VKEY[:-4], "of that length"), (VKEY + "!", "not base64"),
    ):  # fmt: skip
        assert words in refused(script.signs_head, vkey, head), vkey


def entry(**changes: Any) -> str:
    return json.dumps({**ENTRY, **changes}, separators=(",", ":"))


def test_the_script_reads_an_entry_as_we_do():
    largest = dict.fromkeys(("actor", "emitter", "id", "stream", "subject", "type"), "x" * 255)
    full = [f"{number:064x}" for number in range(16)]
    numbers = dict.fromkeys(("index", "revision", "sequence"), 2**53 - 1)
    for text in (entry(), entry(**largest), entry(keys=full), entry(**numbers), entry(**dict.fromkeys(numbers, 0))):
        assert script.parse_entry(text) == json.loads(text)
        assert format_entry(parse_entry(text.encode())).decode() == text
    wrong: list[dict[str, Any]] = [{name: value} for name in largest for value in ("", "x" * 256, "é", "\x7f", 1, None)]
    wrong += [{name: value} for name in numbers for value in (-1, 2**53, True, "1", 1.5)]
    wrong += [{name: value} for name in ("envelope", "payload", "prev") for value in ("0" * 63, "0" * 65, "A" * 64)]
    wrong += [{"keys": value} for value in ([], ["1" * 64] * 2, ["2" * 64, "1" * 64], ["A" * 64], [1], "1" * 64, 1)]
    wrong += [{"keys": [*full, "f" * 64]}, {"v": 2}, {"ledgerid": "a" * 31}, {"ledgerid": "A" * 32}, {"more": 1}]
    wrong += [{"recorded_at": "2023-11-14T22:13:20Z"}, {"recorded_at": 1}]
    for changes in wrong:
        refused(script.parse_entry, entry(**changes))
        with pytest.raises(InputError):
            parse_entry(entry(**changes).encode())
    assert "too long" in refused(script.parse_entry, " " * 4_097)
    assert "too long" in refused(script.parse_entry, {})
    assert "white space" in refused(script.parse_entry, entry() + " ")
    assert "only form" in refused(script.parse_entry, entry().replace(":", ": ", 1))
    assert "version 1" in refused(script.parse_entry, entry(item=1)), "no entry of ours has more than one item"


def test_the_script_reads_strict_json():
    def read(data: bytes, *, canonical: bool = False) -> Any:
        return script.read_json(data, "schema", canonical=canonical)

    assert read(b'{"b":1,"a":"\xc3\xa9"}') == {"b": 1, "a": "é"}
    assert read(b'{"a":"\xc3\xa9","b":1}', canonical=True) == {"b": 1, "a": "é"}
    for data in (b"[]", b"1", b"", b"{", b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":"\xff"}'):
        refused(read, data)
    for data in (b'{"b":1,"a":1}', b'{"a": 1}', b'{"a":"\\u00e9"}'):
        assert read(data)
        assert "only form" in refused(read, data, canonical=True)
    refused(read, b'{"a":' * 100_000)


def test_the_script_reads_keys_and_base64_in_one_form():
    assert script.public_key(format_public_key(LOG.public)) == LOG.public.raw
    for text in (1, "rsa:AAAA", "ed25519:AAAA", LOG.public.raw.hex()):
        refused(script.public_key, text)
    assert script.b64("eA==", "bundle") == script.b64("eA==", "bundle", 1) == b"x"
    for value in ("eB==", "eA", "!eA==", 1, None):
        refused(script.b64, value, "bundle")
    refused(script.b64, "eA==", "bundle", 2)
    assert script.signed_by(LOG.public.raw, LOG.sign(b"m"), b"m")
    assert not script.signed_by(LOG.public.raw, LOG.sign(b"m"), b"M")
    assert not script.signed_by(b"short", LOG.sign(b"m"), b"m")


EVENT: dict[str, Any] = {
    "specversion": "1.0", "data": {}, "sequence": "1".zfill(19), "source": "urn:muniment:p-one", "emitter": UUID,
    "id": UUID, "ledgerid": "ab" * 16, "subject": "run:x", "type": "muniment.run.started.v1", "nonce": "cd" * 16,
    "time": "2023-11-14T22:13:20Z", "dataschema": "urn:muniment:schema:muniment.run.started.v1",
}  # fmt: skip


def sealed(event: dict[str, Any], **changes: Any) -> tuple[str, dict[str, Any]]:
    """An envelope around an event, and the entry that records these bytes."""
    payload = json.dumps(event).encode()
    signatures = [{"keyid": "1" * 64, "sig": base64.b64encode(bytes(64)).decode()}]
    whole = {
        "payload": base64.b64encode(payload).decode(), "payloadType": "application/cloudevents+json",
        "signatures": signatures, **changes,
    }  # fmt: skip
    text = json.dumps(whole, separators=(",", ":"))
    digests = {"payload": hashlib.sha256(payload).hexdigest(), "envelope": hashlib.sha256(text.encode()).hexdigest()}
    return text, {**ENTRY, **digests}


def test_the_script_opens_an_envelope_against_its_entry():
    text, recorded = sealed(EVENT)
    event, pae, signatures = script.open_envelope(text, recorded)
    assert (event, signatures) == (EVENT, {"1" * 64: bytes(64)})
    assert pae == signed_bytes("application/cloudevents+json", json.dumps(EVENT).encode())
    for name, value, words in (
        ("specversion", "0.3", "'specversion' is malformed"), ("data", [], "'data' is malformed"),
        ("sequence", 1, "'sequence' is malformed"), ("sequence", "0".zfill(19), "not an event"),
        ("sequence", "2".zfill(19), "the header says sequence"), ("source", "urn:muniment:p-two", "says actor"),
        ("emitter", UUID[:-1] + "2", "says emitter"), ("id", UUID[:-1] + "2", "says id"),
        ("ledgerid", "cd" * 16, "says ledgerid"), ("subject", "run:x@1", "says subject"),
        ("subject", "run:y", "says stream"), ("time", "2023-02-30T22:13:20Z", "not an event"),
        ("type", "muniment.run.failed.v1", "not an event"), ("dataschema", "x", "not an event"),
    ):  # fmt: skip
        assert words in refused(script.open_envelope, *sealed({**EVENT, name: value})), name
        if name in ("specversion", "data"):
            assert words in refused(script.open_envelope, *sealed({k: v for k, v in EVENT.items() if k != name}))
    signature = {"keyid": "1" * 64, "sig": base64.b64encode(bytes(64)).decode()}
    for changes, words in (
        ({"payloadType": "text/plain"}, "not an envelope"), ({"signatures": {}}, "not an envelope"),
        ({"more": 1}, "only form"), ({"zmore": 1}, "not an envelope"), ({"payload": "!"}, "not base64"),
        ({"signatures": [1]}, "not signatures"), ({"signatures": [{**signature, "z": 1}]}, "not signatures"),
        ({"signatures": [{**signature, "sig": "eA=="}]}, "of that length"),
        ({"signatures": [{**signature, "keyid": "2" * 64}]}, "says keys"), ({"signatures": []}, "says keys"),
    ):  # fmt: skip
        assert words in refused(script.open_envelope, *sealed(EVENT, **changes)), changes
    assert "payload is not the one" in refused(script.open_envelope, text, {**recorded, "payload": "0" * 64})
    assert "signatures are not the ones" in refused(script.open_envelope, text, {**recorded, "envelope": "0" * 64})
    assert "too long" in refused(script.open_envelope, "x" * 98_305, recorded)
    assert "too long" in refused(script.open_envelope, 1, recorded)
    wide = "x" * (65_536 - len(json.dumps({**EVENT, "more": ""})))
    assert script.open_envelope(*sealed({**EVENT, "more": wide}))
    assert "too long" in refused(script.open_envelope, *sealed({**EVENT, "more": wide + "x"}))
