"""The forms of `verify.py`, which it holds bodies, payloads and numbers against: each taken or refused as we do."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ledger.standalone as script
from ledger.domain.keyring import MAX_GRANTS
from ledger.domain.moves import STOPPABLE
from ledger.domain.scopes import covers_stream
from ledger.entry import format_entry, parse_entry, parse_time
from ledger.errors import InputError
from ledger.events import Category, all_event_types, load_body
from ledger.events.base import EventType
from ledger.keys import _SMALL_ORDER, PublicKey
from ledger.payload import parse_payload
from ledger.strictjson import parse_json
from tests.unit.test_standalone import ENTRY, EVENT

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "strictjson.json").read_text(encoding="utf-8"))
UUID, TIME = "0189aaaa-0000-7000-8000-000000000001", "2026-01-31T12:00:00.000000Z"
#: A value of each form of texts.
GOOD = {
    script.LINE: "policy:x", script.TEXT: "because", script.TITLE: "a law",
    script.HEX: "ab" * 32, script.HEX32: "ab" * 16, script.UUID: UUID,
    script.ACTOR: "p-one", script.ENVIRONMENT: "prod", script.NAME: "model:credit/x@1", script.PATTERN: "model:*/*",
    script.TYPE_PATTERN: "run.*", script.TIME_FORM: TIME, script.DIGEST: "sha256:" + "ab" * 32, script.ROLE: "emitter",
    "person|service": "person", "fields|whole": "whole", "[A-Za-z0-9_-]{22}": "A" * 22,
}  # fmt: skip
#: What is put in the place of each value: of every kind, and at both sides of every limit.
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 9, 10, 15, 16, 17, 3_660, 3_661, 2**53 - 1, 1.5, [], {},
    [1], ["x"], {"x": 1}, "", "x", "X", " ", "é", "x\n", "\nx", "a\x1f", "a\x7f", "a\x80", *GOOD.values(),
    *("x" * n for n in (22, 64, 65, 100, 101, 200, 201, 255, 256, 8_192, 8_193)), "é" * 255, "\n" * 8_192,
    "\n" * 8_191 + "x", "\n" * 8_192 + "x", "\u200b\ufeff", "\x85", "\u2800\xa0", " x ",
    *("a" * n for n in (21, 23, 31, 32, 33, 63)), "AB" * 32, "ab" * 16 + "\n", UUID.upper(), UUID[:-1], UUID + "0",
    "service", "fields", "personal", "admin", "eraser", "root", ".x", "-x", "_x", "+x", "a:b", "a/b", "x.y", "x_.y_9",
    "run.completed", "9.x", "x.", "x.9", "*.x", "run.**", "x.y.z", *(f"{'x' * 98}.{y}" for y in ("y", "yy")),
    "model:x", "model:*", "*:*", "model:*x*/y*@1", "model:a/b/c", "model:a//b", "model:@1", "model:x@", "model:x@1@2",
    "Model:x", "9:x", "a9-:x", "model:+x", "model:_/x", "model:x/_", "model:x/+",
    *(f"{'x' * n}:x" for n in (31, 32, 33)),
    *(f"m:{'x' * n}" for n in (198, 199)), "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha384:" + "a" * 96,
    "sha512:" + "a" * 128, "sha512:" + "a" * 127, "md5:" + "a" * 32, "2026-02-30T12:00:00.000000Z", TIME[:-1],
    "1970-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "2026-01-31T24:00:00.000000Z", "0000" + TIME[4:],
    "2026-01-31T12:00:60.000000Z", "2026-01-31t12:00:00.000000Z", TIME + "\n", "2026-01-31T12:00:00.00000Z",
    "2026-01-31T12:00:00Z", "\u0662026-01-31T12:00:00.000000Z", "application/json", "1.0", "1.1", "observed",
    "backfilled",
    "urn:muniment:p-one", "urn:muniment:", "urn:muniment:P", "urn:muniment:" + "x" * 65, "muniment.run.started.v1",
    "muniment.run.started.v0", "muniment.run.started.v9999", "muniment.run.started.v10000", "muniment.Run.started.v1",
    "muniment.run.9.v1", "muniment.run_.x_9.v1", "urn:muniment:schema:muniment.run.started.v1", "0" * 19,
    "0" * 18 + "1", "0" * 20, f"{2**53 - 1:019d}", f"{2**53:019d}", "9" * 19,
]  # fmt: skip


def example(form: Any) -> Any:
    """A value of a form, with all that may be left out."""
    if isinstance(form, str):
        return GOOD[form]
    if isinstance(form, tuple):
        return form[0]
    if isinstance(form, list):
        return [example(form[0])] * max(form[1], 1)
    if isinstance(form, dict):
        return {name.rstrip("?~"): example(part) for name, part in form.items() if name != "..."}
    return True


def changed(form: Any, value: Any) -> Iterator[Any]:
    """The value with one thing in it changed, in every place and every way."""
    yield from ODD
    if isinstance(form, list):
        for count in (0, form[1] - 1, form[1], form[2], form[2] + 1):
            yield value[:1] * max(0, count)
        for part in changed(form[0], value[0]):
            yield [part]
    elif isinstance(form, dict):
        yield {**value, "more": 1}
        yield {**value, "...": 1}
        for name, part in form.items():
            plain = name.rstrip("?~")
            if name != "...":
                yield {key: kept for key, kept in value.items() if key != plain}
                yield from ({**value, plain: other} for other in changed(part, value[plain]))


def we_take(kind: EventType, body: Any) -> bool:
    try:
        load_body(kind, body)
        if isinstance(body.get("until"), str):
            parse_time(body["until"])  # asked when it is judged
    except InputError:
        return False
    return True


AUTHORITY = [kind for kind in all_event_types() if kind.category is Category.AUTHORITY]


@pytest.mark.parametrize("kind", AUTHORITY, ids=lambda kind: kind.name)
def test_bodies_of_authority_have_the_form_we_give_them(kind: EventType):
    """Nobody is kept by one reader and lost by the other, whatever they write into an event about keys and roles."""
    form: dict[str, Any] = {**script.AUTHORITY[kind.topic.removeprefix("muniment.")], "refs?": script.REFS}  # type: ignore[dict-item]
    whole = example(form)
    assert we_take(kind, whole)
    seen = set()
    for body in (whole, *changed(form, whole)):
        if isinstance(body, dict):
            taken = we_take(kind, body)
            assert script.is_of(form, body) is taken, body
            seen.add(taken)
        else:
            assert not script.is_of(form, body)
    assert seen == {True, False}


def sealed(event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An envelope around an event, and an entry that says what the event says."""
    payload = json.dumps(event, ensure_ascii=False).encode()
    signatures = [{"keyid": "1" * 64, "sig": base64.b64encode(bytes(64)).decode()}]
    whole = {
        "payload": base64.b64encode(payload).decode(), "payloadType": "application/cloudevents+json",
        "signatures": signatures,
    }  # fmt: skip
    text, sequence = json.dumps(whole, separators=(",", ":")), str(event.get("sequence"))
    said = {name: event.get(name) for name in ("emitter", "id", "ledgerid", "subject", "type")}
    return text, {
        **ENTRY, **said, "payload": hashlib.sha256(payload).hexdigest(),
        "actor": str(event.get("source")).removeprefix("urn:muniment:"),
        "envelope": hashlib.sha256(text.encode()).hexdigest(), "stream": str(event.get("subject")).partition("@")[0],
        "sequence": int(sequence) if sequence.isdigit() else 0,
    }  # fmt: skip


WHOLE = {
    **EVENT, "nonce": "ab" * 16, "time": TIME, "dataschema": f"urn:muniment:schema:{EVENT['type']}",
    "datacontenttype": "application/json", "evidencestrength": "observed", "onbehalfof": "urn:muniment:p-two",
    "correlationid": "x", "causationid": "y",
}  # fmt: skip


def test_payloads_have_the_form_we_give_them():
    assert {name.rstrip("?") for name in script.PAYLOAD} == set(WHOLE)
    cases = [WHOLE, {**WHOLE, "more": []}, {**WHOLE, "More": 1}, {**WHOLE, "m" * 20: 1}, {**WHOLE, "m" * 21: 1}]
    for name in WHOLE:
        cases += [{key: value for key, value in WHOLE.items() if key != name}]
        cases += [{**WHOLE, name: value} for value in (*ODD, {"a": 1})]
    cases += [
        {**WHOLE, "type": kind, "dataschema": f"urn:muniment:schema:{kind}"}
        for kind in (f"muniment.x.{'x' * n}.v1" for n in (222, 223, 241, 242, 243))
    ]
    seen = set()
    for event in cases:
        try:
            parse_payload(json.dumps(event, ensure_ascii=False).encode())
            taken = True
        except InputError:
            taken = False
        try:
            script.open_envelope(*sealed(event))
            found = True
        except script.Bad:
            found = False
        assert found is taken, event
        seen.add(found)
    assert seen == {True, False}


def test_numbers_and_json_are_read_as_we_read_them():
    texts = [f'{{"a":{item["text"]}}}'.encode() for item in VECTORS["good"]]
    texts += [b'{"a":' + bytes.fromhex(item["hex"]) + b"}" for item in VECTORS["bad"]]
    texts += [item["text"].encode() for item in VECTORS["good"]] + [bytes.fromhex(i["hex"]) for i in VECTORS["bad"]]
    texts += [f'{{"a":{item["json"]}}}'.encode() for item in VECTORS["numbers"] if item["json"]]
    texts += [b'{"a":%s}' % number for number in (
        b"-0", b"0.0", b"-0.0", b"1.0", b"1.10", b"1e3", b"1E+21", b"1e21", b"1e+021", b"1e-07", b"0.0000001", b"1e400",
        b"9007199254740992", b"-9007199254740992", b"100000000000000000000", b"123456789012345680000", b"00", b"01",
        b"9007199254740993.0", b"10.5", b"100.25", b"1.0e+21", b"-100.5", b"20.01", b"9" * 5_000, b"0." + b"9" * 5_000,
        b"+1", b"1e+20", b"1.5e+20", b"1e-6", b"1.5e-6", b"1e-7", b"0.000001")]  # fmt: skip
    texts += [b'{"a":%s%s}' % (b"[" * n, b"]" * n) for n in (30, 31, 32, 33)]
    texts += [b' {"a":1}', b'{"a":1}\n', b'{"a": 1}', b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":"\\ud83d\\ude00"}']
    seen = set()
    for text in texts:
        try:
            taken = isinstance(parse_json(text), dict)
        except InputError:
            taken = False
        try:
            script.read_json(text, "schema", canonical=False)
            found = True
        except script.Bad:
            found = False
        assert found is taken, text
        seen.add(found)
    assert seen == {True, False}


def test_an_entry_was_recorded_at_a_time_there_is():
    for moment in (value for value in ODD if isinstance(value, str)):
        text = json.dumps({**ENTRY, "recorded_at": moment}, separators=(",", ":"), ensure_ascii=False)
        try:
            assert format_entry(parse_entry(text.encode())).decode() == text
        except InputError:
            with pytest.raises(script.Bad):
                script.parse_entry(text)
        else:
            assert script.parse_entry(text)["recorded_at"] == moment


def test_the_tables_and_limits_are_ours():
    assert script.MAX_GRANTS == MAX_GRANTS
    assert script.STOPPABLE == STOPPABLE
    assert script.SMALL_ORDER == _SMALL_ORDER
    for raw in (*_SMALL_ORDER, *(raw[:-1] + bytes([raw[-1] | 0x80]) for raw in _SMALL_ORDER)):
        with pytest.raises(InputError):
            PublicKey("ed25519", raw)
        with pytest.raises(script.Bad, match="fits all"):
            script.public_key("ed25519:" + base64.b64encode(raw).decode())
    for kind in AUTHORITY:
        assert kind.versioned is False, "the script takes it that their subjects name no version"


def test_patterns_stand_for_what_they_do_with_us():
    names = ["model:x", "model:xx", "model:x/x", "model:credit/scoring", "run:x", "m:a.b-c", "model:ab/ba", "a:b/c/d"]
    parts = ["", "*", "x", "x*", "*x", "*x*", "**", "x*x", "a*b", "cr*it", "*cr*it*", "*.*-*", "a*a", "b/c"]
    patterns = [f"{kind}:{name}" for kind in ("*", "model", "m*l", "*m") for name in parts]
    patterns += [f"model:{space}/{name}" for space in parts for name in parts]
    for pattern in patterns:
        for name in names:
            assert script.fits(pattern, name) is covers_stream([pattern], name), (pattern, name)
    assert not script.fits("model:" + "a*" * 90 + "b", "model:" + "a" * 190), "also at once"
