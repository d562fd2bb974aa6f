from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import entry as module
from ledger.entry import (
    MAX_ENTRY,
    MAX_TIME,
    ZERO_HASH,
    Entry,
    entry_hash,
    format_entry,
    format_time,
    parse_entry,
    parse_time,
)
from ledger.errors import InputError
from ledger.merkle import leaf_hash
from ledger.strictjson import MAX_INTEGER, format_json

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "entry.json").read_text())


def entry_of(columns: dict) -> Entry:
    return Entry(**{**columns, "keys": tuple(columns["keys"])})


ENTRY = entry_of(VECTORS["entries"][1]["columns"])
GOOD = format_entry(ENTRY)
# A header string, with the two characters that JSON escapes more often than chance would have them.
printable = st.sampled_from('"\\/') | st.characters(min_codepoint=0x20, max_codepoint=0x7E)
HEADERS = ("actor", "emitter", "id", "stream", "subject", "type")
DIGESTS = ("envelope", "payload", "prev")
INTEGERS = ("index", "item", "revision", "sequence")
headers = st.text(printable, min_size=1, max_size=40)
hex64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
integers = st.integers(0, MAX_INTEGER)
entries = st.builds(
    Entry,
    actor=headers,
    emitter=headers,
    envelope=hex64,
    id=headers,
    index=integers,
    item=integers,
    keys=st.sets(hex64, min_size=1, max_size=16).map(sorted).map(tuple),
    ledgerid=st.binary(min_size=16, max_size=16).map(bytes.hex),
    payload=hex64,
    prev=hex64,
    recorded_at=st.integers(0, MAX_TIME),
    revision=integers,
    sequence=integers,
    stream=headers,
    subject=headers,
    type=headers,
)
# Any value of the right Python type, however absurd.
absurd = st.builds(
    Entry,
    **dict.fromkeys([*HEADERS, *DIGESTS, "ledgerid"], st.text()),
    **dict.fromkeys([*INTEGERS, "recorded_at"], st.integers()),
    keys=st.lists(st.text()).map(tuple),
)


@pytest.mark.parametrize("case", VECTORS["entries"], ids=lambda case: case["leaf_hash"][:8])
def test_vectors(case):
    entry = entry_of(case["columns"])
    assert format_entry(entry).decode() == case["preimage"]
    assert parse_entry(case["preimage"].encode()) == entry
    assert entry_hash(entry).hex() == case["leaf_hash"]
    assert leaf_hash(case["preimage"].encode()).hex() == case["leaf_hash"]


def test_the_vectors_are_a_chain():
    first, second, third = (entry_of(case["columns"]) for case in VECTORS["entries"][:3])
    assert first.prev == ZERO_HASH
    assert second.prev == entry_hash(first).hex()
    assert third.prev == entry_hash(second).hex()


@given(entries)
@example(dataclasses.replace(ENTRY, id='\\"', actor='"', subject="\\\\", type="/"))
def test_the_bytes_are_those_of_rfc_8785(entry):
    columns = dataclasses.asdict(entry)
    assert format_entry(entry) == format_json({**columns, "recorded_at": format_time(entry.recorded_at), "v": 1})


@given(entries)
def test_every_entry_comes_back(entry):
    assert parse_entry(format_entry(entry)) == entry


@given(absurd)
def test_format_is_total(entry):
    try:
        data = format_entry(entry)
    except InputError:
        return
    assert parse_entry(data) == entry


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_as_input_errors(data):
    with pytest.raises(InputError):
        parse_entry(data)


def test_every_changed_byte_is_refused_or_another_entry():
    for at in range(len(GOOD)):
        bad = bytearray(GOOD)
        bad[at] ^= 1
        try:
            entry = parse_entry(bytes(bad))
        except InputError:
            continue
        assert entry != ENTRY
        assert format_entry(entry) == bad
        assert entry_hash(entry) != entry_hash(ENTRY)


BAD_COLUMNS = [
    *((name, value) for name in HEADERS for value in ("", "x" * 256, "é", "a\nb", "\x7f", "\x00", "\ud800")),
    *((name, value) for name in INTEGERS for value in (-1, MAX_INTEGER + 1, True, 1.0)),
    *((name, value) for name in DIGESTS for value in ("", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 63 + "\n")),
    *(("ledgerid", value) for value in ("", "a" * 31, "a" * 33, "A" * 32, "a" * 31 + "\n")),
    *(("recorded_at", value) for value in (-1, MAX_TIME + 1)),
    ("keys", ()),
    ("keys", ("a" * 63,)),
    ("keys", ("A" * 64,)),
    ("keys", ("b" * 64, "a" * 64)),
    ("keys", ("a" * 64, "a" * 64)),
    ("keys", tuple(f"{n:064x}" for n in range(17))),
]


@pytest.mark.parametrize(("name", "value"), BAD_COLUMNS, ids=ascii)
def test_a_column_out_of_range_is_refused_and_named(name, value):
    with pytest.raises(InputError) as caught:
        format_entry(dataclasses.replace(ENTRY, **{name: value}))
    assert name in caught.value.message or name == "recorded_at"


def test_lengths_cannot_be_traded_between_digests():
    with pytest.raises(InputError):
        format_entry(dataclasses.replace(ENTRY, envelope="a" * 63, payload="a" * 65))
    with pytest.raises(InputError):
        format_entry(dataclasses.replace(ENTRY, payload="a" * 63, prev="a" * 65))


def test_the_largest_entry():
    longest = dict.fromkeys(HEADERS, "x" * 255)
    keys = tuple(f"{n:064x}" for n in range(16))
    entry = dataclasses.replace(ENTRY, keys=keys, index=MAX_INTEGER, sequence=MAX_INTEGER)
    entry = entry_of({**dataclasses.asdict(entry), **longest})
    assert len(format_entry(entry)) <= MAX_ENTRY
    with pytest.raises(InputError, match="at most 4096"):
        format_entry(dataclasses.replace(entry, id='"' * 255, type='"' * 255, actor="\\" * 255, stream='"' * 255))
    with pytest.raises(InputError, match="at most 4096"):
        parse_entry(b"{" + b" " * MAX_ENTRY)


SLASH = format_entry(dataclasses.replace(ENTRY, subject="model:a/b"))


def test_another_version_is_named():
    with pytest.raises(InputError, match="entry version 2 is unknown"):
        parse_entry(_members(v=2))


def _members(**changes):
    value = {**json.loads(GOOD), **changes}
    return format_json({name: item for name, item in value.items() if item is not None})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD.replace(b":", b": ", 1),
        GOOD.replace(b'"index":1,', b'"index":1.0,'),
        GOOD.replace(b'"index":1,', b'"index":01,'),
        GOOD.replace(b'"v":1', b'"v":1,"v":1'),
        SLASH.replace(b"/", b"\\/"),
        GOOD.replace(b"muniment.", b"\\u006duniment."),
        GOOD.replace(b'"actor":"root",', b"").replace(b'"v":1', b'"v":1,"actor":"root"'),
        _members(v=2),
        _members(v="1"),
        _members(v=True),
        _members(more=1),
        _members(item=None),
        _members(index="1"),
        _members(index=True),
        _members(actor=1),
        _members(keys="a" * 64),
        _members(keys=[1]),
        _members(keys=[]),
        _members(recorded_at=5),
        _members(recorded_at="2026-11-23T08:00:00Z"),
        _members(recorded_at="2026-11-23T08:00:00.123Z"),
        _members(recorded_at="2026-11-23T08:00:00.123456+00:00"),
    ],
    ids=count(),
)
def test_other_spellings_are_refused(data):
    assert data != GOOD
    with pytest.raises(InputError):
        parse_entry(data)


@given(st.integers(0, MAX_TIME))
@example(0)
@example(MAX_TIME)
def test_every_microsecond_comes_back(us):
    text = format_time(us)
    assert len(text) == 27
    assert parse_time(text) == us


def test_time_vectors():
    for case in VECTORS["times"]:
        assert format_time(case["us"]) == case["text"]
        assert parse_time(case["text"]) == case["us"]


def test_times_sort_as_texts():
    times = [0, 1, 10**6, 951_782_400_000_000, 10**15, MAX_TIME]
    assert sorted(map(format_time, times)) == list(map(format_time, times))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23T08:00:00.000000",
        "2026-11-23T08:00:00.000000z",
        "2026-11-23t08:00:00.000000Z",
        "2026-11-23 08:00:00.000000Z",
        "2026-11-23T08:00:00.00000Z",
        "2026-11-23T08:00:00.0000000Z",
        "2026-02-29T08:00:00.000000Z",
        "2026-13-01T08:00:00.000000Z",
        "2026-11-23T24:00:00.000000Z",
        "2026-12-31T23:59:60.000000Z",
        "1969-12-31T23:59:59.999999Z",
        "0000-01-01T00:00:00.000000Z",
        "10000-01-01T00:00:00.000000Z",
        "2026-11-23T08:00:00.000000Z\n",
        "\uff12026-11-23T08:00:00.000000Z",
    ],
    ids=ascii,
)
def test_other_times_are_refused(text):
    with pytest.raises(InputError):
        parse_time(text)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("bad", ["", "x" * 256, "\t", "\u00e9"])
def test_the_text_that_does_not_fit_is_named_and_not_those_that_do(name: str, bad: str):
    others: dict[str, Any] = {other: "x" * (255 if index % 2 else 1) for index, other in enumerate(HEADERS)}
    with pytest.raises(InputError, match=f"^entry column {name} must be 1 to 255 printable ASCII characters$"):
        format_entry(dataclasses.replace(ENTRY, **{**others, name: bad}))


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("bad", [-1, MAX_INTEGER + 1, True])
def test_the_number_that_does_not_fit_is_named_and_not_those_that_do(name: str, bad: int):
    others: dict[str, Any] = {other: MAX_INTEGER if index % 2 else 0 for index, other in enumerate(INTEGERS)}
    texts: dict[str, Any] = dict.fromkeys(HEADERS, "x" * 255)
    with pytest.raises(InputError, match=f"^entry column {name} must be an integer from 0 to 2\\^53-1$"):
        format_entry(dataclasses.replace(ENTRY, **{**texts, **others, name: bad}))


@pytest.mark.parametrize("name", [*DIGESTS, "ledgerid"])
def test_the_digest_that_does_not_fit_is_named(name: str):
    for bad in ("", "a", "AB" * 32, "ab" * 33, "zz" * 32, "ab" * 32 + "\n"):
        column: Any = {name: bad}
        with pytest.raises(InputError, match=f"^entry column {name} must be "):
            format_entry(dataclasses.replace(ENTRY, **column))


def test_one_key_in_its_form_is_not_looked_at_twice(monkeypatch: pytest.MonkeyPatch):
    looked: list[Sequence[str]] = []
    monkeypatch.setattr(module, "_check_keys", looked.append)
    for keys in (("ab" * 32,), ("ab" * 31,), ("ab" * 33,), ("AB" * 32,), ("ab" * 32, "cd" * 32), ()):
        format_entry(dataclasses.replace(ENTRY, keys=keys))
        assert (looked == [keys]) is (keys != ("ab" * 32,))
        looked.clear()
