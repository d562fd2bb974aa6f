"""What is read in bulk, or by its usual form, is what is read one by one in any form."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.entry import MAX_TIME, ZERO_HASH, Entry, entry_hash, format_entry, format_run
from ledger.envelope import format_envelope, format_signatures, parse_signatures, read_signature, sign_payload
from ledger.errors import InputError
from ledger.keys import Ed25519Signer
from ledger.payload import Payload, format_payload, parse_payload, read_plain
from ledger.plainrows import check_plain_rows
from ledger.segment import _columns
from ledger.stored import Fields
from ledger.strictjson import MAX_INTEGER

LEDGERID = "ab" * 16
SIGNER, OTHER = (Ed25519Signer.from_seed(bytes([number]) * 32) for number in (1, 2))
KEYS = {SIGNER.public.keyid: SIGNER.public, OTHER.public.keyid: OTHER.public}


USUAL = Payload(
    id=str(UUID(int=3)), actor="p-author", type="muniment.monitor.signal.v1", subject="monitor:scoring/sensor-1",
    occurred_at=1_790_000_000_000_001, ledgerid=LEDGERID, emitter=str(UUID(int=1)), sequence=7, on_behalf_of=None,
    correlationid=None, causationid=None, evidence="observed",
    data={"metric": "psi", "value": 0.25, "slices": [{"slice": "sex=female", "metrics": {"psi": 1e-07}}]},
)  # fmt: skip


def payload_of(**given: Any) -> bytes:
    return format_payload(dataclasses.replace(USUAL, **given), "0f" * 16)


GOOD = payload_of()
FULL = payload_of(on_behalf_of="p-other", correlationid="c 1", causationid="e/2", evidence="imported")

# -- payloads ---------------------------------------------------------------------------------


def parsed(data: bytes) -> Payload | None:
    try:
        return parse_payload(data)
    except InputError:
        return None


def respelled(data: bytes) -> bytes:
    """The same value with a space, so that it is not read by its usual form."""
    return b"{ " + data[1:]


@given(st.data())
@example(None)
def test_a_payload_is_read_alike_by_its_usual_form_and_in_any(data: st.DataObject | None):
    changed = GOOD
    if data is not None:
        base = data.draw(st.sampled_from([GOOD, FULL]))
        at = data.draw(st.integers(1, len(base)))
        gone = data.draw(st.integers(0, 3))
        put = data.draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [
                    b'"',
                    b",",
                    b'"x":1,',
                    b"1.0",
                    b"1e5",
                    b"-0",
                    b"00",
                    b"NaN",
                    b"\\u0041",
                    b"\xc3\xa9",
                    b"\xff",
                    b" ",
                    b"{}",
                ]
            )
        )
        changed = base[:at] + put + base[at + gone :]
    assert parsed(changed) == parsed(respelled(changed))


def test_what_our_emitters_write_is_read_by_its_form():
    for data in (GOOD, FULL, payload_of(data={}), payload_of(data={"name": "Zoë", "ok": [True, None]})):
        found = read_plain(data)
        assert found is not None
        assert found[0] == dataclasses.astuple(parse_payload(respelled(data)))
        assert json.loads(found[1]) == parse_payload(data).data


ODD_PAYLOADS = {
    "a name twice in the body": GOOD.replace(b'"metric":"psi"', b'"metric":"psi","metric":"psi"'),
    "a name twice in a part": GOOD.replace(b'"slice":', b'"slice":"x","slice":'),
    "an attribute twice": GOOD.replace(b',"nonce"', b',"ledgerid":"%s","nonce"' % LEDGERID.encode()),
    "another spelling of a number": GOOD.replace(b"0.25", b"0.250"),
    "an integer as a float": GOOD.replace(b"0.25", b"1.0"),
    "an integer too large": GOOD.replace(b"0.25", b"9007199254740992"),
    "no number": GOOD.replace(b"0.25", b"NaN"),
    "a lone surrogate": GOOD.replace(b'"psi"', b'"\\ud800"'),
    "bytes that are no text": GOOD.replace(b'"psi"', b'"\xff"'),
    "a surrogate in bytes": GOOD.replace(b'"psi"', b'"\xed\xa0\x80"'),
    "too deep": GOOD.replace(b"0.25", b"[" * 40 + b"]" * 40),
    "a control character": GOOD.replace(b"sensor-1", b"sensor\t1"),
    "no body": GOOD.replace(GOOD[8 : GOOD.index(b',"datac')], b"[]"),
    "another schema": GOOD.replace(b"schema:muniment.monitor", b"schema:muniment.monitors"),
    "number nought": GOOD.replace(b'"0000000000000000007"', b'"0000000000000000000"'),
    "a number too large": GOOD.replace(b'"0000000000000000007"', b'"9007199254740992000"'),
    "a subject that is no name": GOOD.replace(b"monitor:scoring", b"monitor scoring"),
    "a source that is none": GOOD.replace(b"urn:muniment:p-", b"urn:muniment:P-"),
    "a day that does not exist": re.sub(rb'"time":"[0-9]{4}-[0-9]{2}-', b'"time":"2026-02-31', GOOD),
    "something behind": GOOD + b" ",
    "cut": GOOD[:-1],
    "a type too long": GOOD.replace(b"muniment.monitor.signal.v1", b"muniment.monitor." + b"s" * 240 + b".v1"),
}


@pytest.mark.parametrize("name", ODD_PAYLOADS)
def test_a_payload_that_is_none_is_not_read_by_its_form(name: str):
    data = ODD_PAYLOADS[name]
    assert data != GOOD
    with pytest.raises(InputError):
        parse_payload(data)
    assert read_plain(data) is None


def test_signatures_are_read_by_their_form_only_in_their_only_form():
    envelope = sign_payload(GOOD, [SIGNER])
    data = format_signatures(envelope.signatures)
    assert read_signature(data) == (SIGNER.public.keyid, envelope.signatures[0].sig)
    assert parse_signatures(data) == envelope.signatures
    last = data.index(b'=="')
    # Of 64 bytes the last letter holds two bits; the other four must be zero.
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        other = data[: last - 1] + bytes([letter]) + data[last:]
        if letter in b"AQgw":
            assert format_signatures(parse_signatures(other)) == other
        else:
            assert read_signature(other) is None
            with pytest.raises(InputError):
                parse_signatures(other)
    assert read_signature(data + b" ") is None
    assert read_signature(format_signatures(sign_payload(GOOD, [SIGNER, OTHER]).signatures)) is None


# -- entries ----------------------------------------------------------------------------------

words = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
digests = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, MAX_INTEGER)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=33)
keylists = st.sets(digests.map(bytes.hex), min_size=1, max_size=3).map(sorted).map(",".join)
rows = st.tuples(
    words, numbers, words, words, words, words, numbers, words, numbers, keylists, digests, digests, digests,
    st.integers(0, MAX_TIME),
)  # fmt: skip


def entry_of(row: tuple[Any, ...], index: int) -> Entry:
    stream, revision, kind, actor, event_id, emitter, sequence, subject, item, keys, payload, envelope, prev, at = row
    return Entry(actor, emitter, envelope.hex(), event_id, index, item, tuple(keys.split(",")), LEDGERID,
                 payload.hex(), prev.hex(), at, revision, sequence, stream, subject, kind)  # fmt: skip


@given(st.lists(rows, min_size=1, max_size=4), numbers.map(lambda number: number // 2))
def test_a_run_of_entries_is_written_as_each_of_them(run: list[tuple[Any, ...]], start: int):
    found = format_run(list(zip(*run, strict=True)), start, LEDGERID)
    odd = any(letter in text for row in run for text in row if isinstance(text, str) for letter in '"\\')
    assert found == (None if odd else [format_entry(entry_of(row, start + n)) for n, row in enumerate(run)])


@given(st.lists(rows, min_size=1, max_size=3), st.integers(0, 2), st.integers(0, 13), anything)
def test_a_run_with_an_odd_value_is_not_written(run: list[tuple[Any, ...]], place: int, column: int, value: object):
    row = list(run[place % len(run)])
    row[column] = value
    run[place % len(run)] = tuple(row)
    found = format_run(list(zip(*run, strict=True)), 5, LEDGERID)
    if found is not None:  # then it is one that each of them may have
        assert found == [format_entry(entry_of(each, 5 + n)) for n, each in enumerate(run)]


@pytest.mark.parametrize("column", [1, 6, 8])
@pytest.mark.parametrize("value", [-1, MAX_INTEGER + 1])
def test_a_run_with_a_number_that_no_entry_may_have_is_not_written(column: int, value: int):
    row: list[Any] = ["s", 1, "t", "a", "i", "e", 1, "s", 0, "ab" * 32, bytes(32), bytes(32), bytes(32), 0]
    row[column] = value
    assert format_run([(each,) for each in row], 0, LEDGERID) is None


def test_a_run_takes_a_ledger_only():
    row = ("s", 1, "t", "a", "i", "e", 1, "s", 0, "ab" * 32, bytes(32), bytes(32), bytes(32), 0)
    assert format_run(list(zip(row, strict=False)), 0, LEDGERID) is not None
    for ledgerid in ("ab", "AB" * 16, "xy" * 16):
        assert format_run(list(zip(row, strict=False)), 0, ledgerid) is None


# -- rows -------------------------------------------------------------------------------------


def row_of(signed: bytes, signers: list[Ed25519Signer], **given: Any) -> Fields:
    envelope, said = sign_payload(signed, signers), parse_payload(GOOD)
    columns: dict[str, Any] = {
        "position": 2, "stream": "monitor:scoring/sensor-1", "revision": 1, "type": said.type, "actor": said.actor,
        "id": said.id, "emitter": said.emitter, "sequence": said.sequence, "subject": said.subject, "item": 0,
        "keys": ",".join(signature.keyid for signature in envelope.signatures),
        "payload": hashlib.sha256(signed).digest(), "envelope": hashlib.sha256(format_envelope(envelope)).digest(),
        "prev": bytes.fromhex(ZERO_HASH), "recorded_at": 0, "leaf_hash": bytes(32), "content": signed,
        "signatures": format_signatures(envelope.signatures),
    }  # fmt: skip
    return tuple({**columns, **given}.values())


def checked(row: Fields, **given: Any) -> bool:
    usual: dict[str, Any] = {"ledgerid": LEDGERID, "keys": KEYS, "besides": ()}
    return bool(check_plain_rows([row], **{**usual, **given}))


def test_a_good_row_is_plain():
    row = row_of(GOOD, [SIGNER])
    assert check_plain_rows([row, row], LEDGERID, KEYS, ()) == dict.fromkeys(
        (0, 1),
        ("muniment.monitor.signal.v1", "p-author", (SIGNER.public.keyid,), None, LEDGERID, "monitor", True, False),
    )


OTHERS: dict[str, Any] = {
    "stream": "monitor:scoring/sensor-2", "type": "muniment.incident.noted.v1", "actor": "p-other",
    "id": str(UUID(int=9)), "emitter": str(UUID(int=9)), "sequence": 8, "subject": "monitor:scoring/sensor-1@2",
    "item": 1, "keys": OTHER.public.keyid, "payload": bytes(32), "envelope": bytes(32), "content": None,
    "signatures": None,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_row_one_of_whose_columns_says_something_else_is_not_plain(name: str):
    assert not checked(row_of(GOOD, [SIGNER], **{name: OTHERS[name]}))


def test_a_row_is_not_plain_under_a_wrong_signature_or_key_or_in_another_ledger():
    row = row_of(GOOD, [SIGNER])
    assert checked(row)
    assert not checked(row, ledgerid="cd" * 16)
    assert not checked(row, keys={})
    assert not checked(row, keys={SIGNER.public.keyid: OTHER.public})
    assert not checked(row, besides={"p-author"})
    forged = dataclasses.replace(sign_payload(FULL, [SIGNER]), payload=GOOD)
    digest = hashlib.sha256(format_envelope(forged)).digest()
    assert not checked(row_of(GOOD, [SIGNER], signatures=format_signatures(forged.signatures), envelope=digest))


def test_a_row_whose_body_does_not_fit_its_schema_is_not_plain():
    data = GOOD.replace(b'"metric":"psi"', b'"metric":5')
    assert not checked(row_of(data, [SIGNER]))
    data = GOOD.replace(b'"metric":"psi"', b'"metric":"psi","metrik":5')
    assert checked(row_of(data, [SIGNER]))


def test_the_leaf_hash_of_a_run_is_that_of_its_entries():
    row = ("s", 1, "t", "a", "i", "e", 1, "s", 0, "ab" * 32, bytes(32), bytes(32), bytes(32), 0)
    (data,) = format_run(list(zip(row, strict=False)), 3, LEDGERID) or [b""]
    assert hashlib.sha256(b"\x00" + data).digest() == entry_hash(entry_of(row, 3))


# -- stretches --------------------------------------------------------------------------------


def stretch(odd: int = -1, prev: bytes = bytes(32), at: int = 5, position: int = 0) -> list[Fields]:
    """Three rows from index 3 on whose leaf hashes are right, whatever else is odd about one of them."""
    found: list[Fields] = []
    before = bytes(32)
    for place in range(3):
        own = (prev, at, position) if place == odd else (before, 5, 0)
        row = ("s", 1, "t", "a", "i", "e", 1, "s", 0, "ab" * 32, bytes(32), bytes(32), own[0], own[1])
        before = entry_hash(entry_of(row, 3 + place))
        found.append((4 + place + own[2], *row, before))
    return found


def test_a_stretch_whose_entries_follow_each_other_has_their_leaf_hashes():
    rows = stretch()
    assert _columns(rows, 3, LEDGERID) == [row[-1] for row in rows]
    assert _columns(rows[:1], 3, LEDGERID) == [rows[0][-1]], "the one before it is not seen here"


@pytest.mark.parametrize(
    "rows",
    [stretch(1, prev=b"x" * 32), stretch(1, stretch()[0][-1], at=4), stretch(1, stretch()[0][-1], position=1),
     [*stretch()[:2], (*stretch()[2][:-1], bytes(32))], stretch()[::-1]],
    ids=["another before it", "earlier than the one before it", "another place", "another leaf hash", "turned round"],
)  # fmt: skip
def test_a_stretch_in_which_something_is_odd_is_looked_at_row_by_row(rows: list[Fields]):
    assert _columns(rows, 3, LEDGERID) is None
