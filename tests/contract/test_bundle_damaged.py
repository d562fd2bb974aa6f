"""Damaged bundles: whatever was done to a file, we and verify.py refuse it for the same reason."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ledger.standalone
from ledger.bodyschemas import BODY_SCHEMAS
from ledger.bundle import Selection, parse_bundle
from ledger.bundlecheck import BundleVerification, verify_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import InputError
from ledger.findings import Anchor
from ledger.keys import Ed25519Signer
from ledger.note import format_vkey, parse_vkey
from ledger.stored import Attestation
from ledger.verdicts import GapKind, Verdict
from tests.contract.bundles import (
    SEED,
    Forgery,
    Pair,
    bundle_of,
    entry_lines,
    lines_of,
    ours,
    theirs,
    vkey_of,
    written,
)
from tests.contract.support import Cast, raw
from tests.contract.tampering import Forger, other_nonce, sixteen
from tests.unit.reference_merkle import mth


def changed_text(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text))
    way = chance.randrange(3)
    if way == 0:
        return text[:place] + text[place + 1 :]
    letter = chance.choice('0123456789abcdefABZz+/=,:{}"\\ \n\x00é')
    return text[:place] + letter + text[place + (way == 1) :]


def test_any_byte_changed_is_refused_by_both(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    data, chance = bundle_of(cast), random.Random(SEED)
    for _ in range(60):
        place, way = chance.randrange(len(data)), chance.randrange(4)
        other = {
            0: data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :],
            1: data[:place],
            2: data[:place] + data[place + 1 :],
            3: data[:place] + bytes([chance.randrange(256)]) + data[place:],
        }[way]
        pair.refuse(other, (place, way))
    assert pair.counts == {"bad": 60}


#: Members that something vouches for, and of how many samples.
VOUCHED = {"checkpoint": 40, "entry": 60, "envelope": 60}


@pytest.mark.parametrize("member", VOUCHED)
def test_any_character_changed_and_the_digest_made_to_fit(member: str, sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    lines, chance = lines_of(bundle_of(cast)), random.Random(SEED)
    where = [number for number, line in enumerate(lines) if member in line]
    for trial in range(VOUCHED[member]):
        number = chance.choice(where)
        text = changed_text(chance, lines[number][member])
        if text == lines[number][member]:
            continue
        forged = [*lines]
        forged[number] = {**lines[number], member: text}
        data = written(forged)
        assert pair.verdict(data, (trial, text)) == "bad", (trial, text)
    assert set(pair.counts) == {"bad"}


def test_lines_that_go_come_or_trade_places(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    lines = lines_of(bundle_of(cast))
    places = [number for number in range(len(lines)) if "schema" not in lines[number]]
    for place in places:
        pair.refuse(written(lines[:place] + lines[place + 1 :]), ("gone", place))
        pair.refuse(written([*lines[: place + 1], *lines[place:]]), ("twice", place))
        if place + 1 in places:
            pair.refuse(written([*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]), ("swap", place))
    for number in entry_lines(lines):
        bare = [*lines]
        bare[number] = {"entry": lines[number]["entry"]}
        assert pair.refuse(written(bare)) == ("payload", number - places[1])
        other = lines[entry_lines(lines)[number % 16]]
        bare[number] = {"entry": lines[number]["entry"], "envelope": other["envelope"]}
        if other is not lines[number]:
            assert pair.refuse(written(bare)) == ("payload", number - places[1])


def test_a_schema_that_was_changed_is_refused_by_both(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    lines = lines_of(bundle_of(cast))
    places = [number for number, line in enumerate(lines) if "schema" in line]
    assert len(places) > 3, "of each type that occurs"
    for place in places:
        changed = {**lines[place], "schema": {**lines[place]["schema"], "description": "It proves everything."}}
        assert pair.refuse(written([*lines[:place], changed, *lines[place + 1 :]])) == ("bundle", None)
    left_out = [line for line in lines if "schema" not in line]
    assert pair.verdict(written(left_out)) == "verified", "they are for reading"
    of_its_own = {"schema": {}, "type": "muniment.zebra.seen.v1"}
    assert pair.verdict(written([*lines, of_its_own])) == "verified", "of types that nobody knows here"


def test_only_schemas_as_they_were_published_are_in_bundles(
    sold: tuple[Cast, dict[str, int], Pair], monkeypatch: pytest.MonkeyPatch
):
    cast, _, pair = sold
    monkeypatch.setitem(BODY_SCHEMAS, "muniment.actor.enrolled.v1", "as other libraries write it")
    lines = lines_of(bundle_of(cast))
    assert "muniment.actor.enrolled.v1" not in {line.get("type") for line in lines}
    monkeypatch.undo()
    assert pair.verdict(written(lines)) == "verified"


@pytest.mark.parametrize(
    "first",
    [
        {"selection": {"items": [], "kind": "everything"}},
        {"selection": {"items": ["x"], "kind": "all"}},
        {"selection": {"items": [2, 1], "kind": "indexes"}},
        {"selection": {"items": [True], "kind": "indexes"}},
        {"selection": {"items": [], "kind": "subject"}},
        {"selection": []},
        {"format": "muniment bundle v2"},
        {"checkpoint": 3},
        {"checkpoint": ""},
        {"more": 1},
    ],
    ids=json.dumps,
)
def test_a_malformed_first_line(first: dict[str, Any], sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    lines = lines_of(bundle_of(cast))
    assert pair.refuse(written([{**lines[0], **first}, *lines[1:]])) == ("bundle", None)


def test_hostile_files(sold: tuple[Cast, dict[str, int], Pair]):
    """Not a bundle, a line without end, nesting without end, a number without end, bytes of another encoding."""
    cast, _, pair = sold
    good = bundle_of(cast)
    first = good.partition(b"\n")[0]
    for data in (
        b"", b"\n", b"{}\n", b"PK\x03\x04" + bytes(50), b"\x00" * 300_000, b'"' + b"a" * 300_000 + b'"\n',
        b"[" * 200_000 + b"\n", b'{"sha256":' + b"9" * 6_000 + b"}\n", first, first + b"\n", good + b"\n", good * 2,
        b"\xef\xbb\xbf" + good, good.replace(b"\n", b"\r\n"), b'{"a":1,"a":1}\n', b'{"a":NaN}\n', b'{"\\ud800":1}\n',
    ):  # fmt: skip
        assert pair.refuse(data, data[:40]) == ("bundle", None)


WRONG_LINES: dict[str, tuple[int, dict[str, Any], str]] = {
    "of another version": (0, {"format": "muniment bundle v2"}, "of another version of the format"),
    "checkpoint, no text": (0, {"checkpoint": 3}, "line 1 of the bundle: checkpoint must be a string"),
    "checkpoint, long": (0, {"checkpoint": "x" * 65_537}, "at most 65536 bytes"),
    "selection, no object": (0, {"selection": []}, "a selection is one of all, digests, indexes, subject"),
    "selection, members": (0, {"selection": {"kind": "all"}}, "a selection is one of"),
    "selection, kind": (0, {"selection": {"items": [], "kind": "none"}}, "a selection is one of"),
    "items, no list": (0, {"selection": {"items": "", "kind": "all"}}, "items of the selection are malformed"),
    "items, no number": (0, {"selection": {"items": ["1"], "kind": "indexes"}}, "the selection are malformed"),
    "items, no text": (0, {"selection": {"items": [1], "kind": "subject"}}, "items of the selection are malformed"),
    "items, bool": (0, {"selection": {"items": [True], "kind": "indexes"}}, "items of the selection are malformed"),
    "items, 1001": (0, {"selection": {"items": list(range(1001)), "kind": "indexes"}}, "the selection are malformed"),
    "items of all": (0, {"selection": {"items": ["x"], "kind": "all"}}, "too many items, or too few"),
    "no items": (0, {"selection": {"items": [], "kind": "indexes"}}, "too many items, or too few"),
    "no subject": (0, {"selection": {"items": [], "kind": "subject"}}, "too many items, or too few"),
    "two subjects": (0, {"selection": {"items": ["a", "b"], "kind": "subject"}}, "too many items, or too few"),
    "items, order": (0, {"selection": {"items": [2, 1], "kind": "indexes"}}, "selection are out of order"),
    "items, twice": (0, {"selection": {"items": [1, 1], "kind": "indexes"}}, "selection are out of order"),
    "items, one twice": (0, {"selection": {"items": [1, 1, 2], "kind": "indexes"}}, "selection are out of order"),
    "attestation, kind": (1, {"attestation": "rumour"}, "is malformed, or about another head"),
    "attestation, size": (1, {"size": 15}, "is malformed, or about another head"),
    "attestation, time": (1, {"recorded_at": "1"}, "is malformed, or about another head"),
    "attestation, bool time": (1, {"recorded_at": True}, "is malformed, or about another head"),
    "attestation, base64": (1, {"body": "!eA=="}, "the body is not base64"),
    "attestation, bits": (1, {"body": "eB=="}, "the body is not base64 in its only form"),
    "attestation, body": (1, {"body": 1}, "body must be a string"),
    "attestation, issuer": (1, {"issuer": 1}, "issuer must be a string"),
    "attestation, more": (1, {"more": 1}, "entry 0 was expected here"),
    "entry, more": (4, {"more": 1}, "entry 2 was expected here"),
    "entry, both": (4, {"withheld": True}, "entry 2 was expected here"),
    "entry, no text": (4, {"entry": {}}, "line 5 of the bundle: entry must be a string"),
    "entry, long": (4, {"entry": "x" * 4_097}, "at most 4096 are allowed"),
    "envelope, no text": (4, {"envelope": {}}, "line 5 of the bundle: envelope must be a string"),
    "envelope, long": (4, {"envelope": "x" * 98_305}, "at most 98304 are allowed"),
    "long": (4, {"envelope": "x" * 262_144}, "a line has at most 262144 bytes"),
    "schema, order": (-1, {"type": "a"}, "the schemas are out of order"),
    "schema, no text": (-1, {"type": 1}, "type must be a string"),
    "schema, more": (-1, {"more": 1}, "the digest of the lines before was expected here"),
}


def test_of_a_wrong_line_both_say_that_it_is_wrong_and_we_say_why(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    good = lines_of(bundle_of(cast))
    said = {"attestation": "published", "body": "eA==", "issuer": "somebody", "recorded_at": 1, "size": 16}
    good.insert(1, said)
    assert pair.verdict(written(good)) == "verified"
    assert parse_bundle(io.BytesIO(written(good))).attestations == [
        Attestation(1, 16, "published", "somebody", b"x", 1)
    ]
    for name, (number, change, words) in WRONG_LINES.items():
        lines = [dict(line) for line in good]
        lines[number].update(change)
        with pytest.raises(InputError, match=words):
            parse_bundle(io.BytesIO(written(lines)))
        other = theirs(pair.path, written(lines), pair.vkey)
        assert (other["verdict"], other["findings"][0]["fault"]) == ("bad", "bundle"), name
    lines = [dict(line) for line in good]
    lines[4] = {"entry": lines[4]["entry"], "withheld": False}
    with pytest.raises(InputError, match="withheld can only be true"):
        parse_bundle(io.BytesIO(written(lines)))
    assert pair.refuse(written(lines)) == ("bundle", None)


def test_limits_of_a_bundle(sold: tuple[Cast, dict[str, int], Pair], monkeypatch: pytest.MonkeyPatch):
    cast, _, _ = sold
    good = bundle_of(cast)
    for name, largest, words in (
        ("MAX_BUNDLE", len(good), "bytes"), ("MAX_BUNDLE_ENTRIES", 16, "a bundle has 1 to 15 entries"),
        ("MAX_LINE", max(len(line) for line in good.splitlines(keepends=True)), "a line has at most"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(f"ledger.bundle.{name}", largest)
            assert len(parse_bundle(io.BytesIO(good)).rows) == 16
            patch.setattr(f"ledger.bundle.{name}", largest - 1)
            with pytest.raises(InputError, match=words):
                parse_bundle(io.BytesIO(good))
    monkeypatch.setattr("ledger.bundle.MAX_LINE", 1_000)
    with pytest.raises(InputError, match="a line of the bundle would have"):
        bundle_of(cast)


def test_heads_from_outside(sold: tuple[Cast, dict[str, int], Pair], tmp_path: Path):
    cast, _, pair = sold
    data = bundle_of(cast)
    bundle, leaves = parse_bundle(io.BytesIO(data)), cast.recorder.leaf_hashes(0, 16)
    origin, key = cast.admin.vkey.name, cast.new.checkpoint
    pair.path.write_bytes(data)

    def said(head: Checkpoint, signer: Ed25519Signer = key) -> tuple[BundleVerification, dict[str, Any]]:
        found = verify_bundle(bundle, [parse_vkey(pair.vkey)], [Anchor("somebody", head)])
        file = tmp_path / "head"
        file.write_bytes(sign_checkpoint(head, signer))
        other = theirs(pair.path, data, pair.vkey, expect=file)
        assert other["verdict"] == str(found.verdict) or signer is not key
        return found, other

    for size in (1, 2, 5, 15, 16):
        found, other = said(Checkpoint(origin, size, mth(leaves[:size])))
        assert (found.verdict, found.anchored_by, other["verdict"]) == (Verdict.VERIFIED, ["somebody"], "verified")
        assert [gap for gap in found.gaps if gap.kind is GapKind.UNANCHORED] == []
        found, other = said(Checkpoint(origin, size, mth(leaves[:size])[::-1]))
        assert [str(finding.fault) for finding in found.findings] == ["anchor"]
        assert [finding["fault"] for finding in other["findings"]] == ["anchor"]
        assert found.anchored_by == []
    found, other = said(Checkpoint(origin, 0, mth([])))
    assert (found.anchored_by, other["verdict"]) == (["somebody"], "verified")
    found, other = said(Checkpoint(origin, 17, bytes(32)))
    assert (found.verdict, found.anchored_by) == (Verdict.VERIFIED, [])
    assert [(gap.start, gap.stop) for gap in found.gaps if gap.kind is GapKind.UNANCHORED] == [(0, 16), (0, 16)]
    assert [note for note in other["notes"] if "is of size 17, and the bundle ends at 16" in note]
    found, other = said(Checkpoint("ledger.example/other", 16, bundle.head.root))
    assert [finding.message for finding in found.findings] == ["somebody is about another log, ledger.example/other"]
    assert other["findings"][0]["fault"] == "anchor"
    _, other = said(Checkpoint(origin, 5, mth(leaves[:5])), Ed25519Signer.generate())
    assert (other["verdict"], other["findings"][0]["fault"]) == ("bad", "anchor"), "nobody knows who signed it"


def test_what_the_script_prints(sold: tuple[Cast, dict[str, int], Pair], capsys: pytest.CaptureFixture[str]):
    cast, _, pair = sold
    data, path = bundle_of(cast, Selection("indexes", (9,))), str(pair.path)
    pair.path.write_bytes(data)
    assert ledger.standalone.main([path, "--vkey", pair.vkey]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {row.entry.index: row.entry for row in ours(data, pair.vkey).rows}
    for line, entry in zip(lines, rows.values(), strict=False):
        parts = (str(entry.index), format_time(entry.recorded_at), entry.type, entry.subject, entry.actor)
        assert line == " ".join(parts)
    assert lines[len(rows)] == f"{len(rows)} contents under the head of {cast.admin.vkey.name} at size 16"
    assert all(line.startswith("? ") for line in lines[len(rows) + 1 : -1])
    assert lines[-1] == "VERIFIED"
    assert ledger.standalone.main([path]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "UNVERIFIED"
    pair.path.write_bytes(data.replace(b"16", b"15", 1))
    assert ledger.standalone.main([path, "--vkey", pair.vkey]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("BAD bundle: ")
    assert lines[-1] == "BAD"
    forged = Forgery(bundle_of(cast))
    forged.replace_payload(9, other_nonce)
    pair.path.write_bytes(forged.signed(cast.new.checkpoint))
    assert ledger.standalone.main([path, "--vkey", pair.vkey]) == 1
    assert capsys.readouterr().out.startswith("BAD signature at entry 9: ")
    assert ledger.standalone.main([f"{path}.none"]) == 2
    assert ledger.standalone.main([path, "--expect", f"{path}.none"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err.count("Error: ")) == ("", 2)


def test_a_head_of_another_log_over_these_entries(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    lines = lines_of(bundle_of(cast))
    root = parse_bundle(io.BytesIO(bundle_of(cast))).head.root
    lines[0]["checkpoint"] = sign_checkpoint(Checkpoint("ledger.example/other", 16, root), cast.new.checkpoint).decode()
    data = written(lines)
    key = format_vkey(replace(cast.admin.vkey, name="ledger.example/other"))
    (first, second) = ours(data, key).findings
    assert (first.fault, first.index) == ("checkpoint", 0)
    assert f"the head is of ledger.example/other, and entry 0 of {cast.admin.vkey.name}" in first.message
    assert (second.fault, second.index) == ("checkpoint", None)
    assert theirs(pair.path, data, key)["findings"][0]["fault"] == "checkpoint"


def test_an_id_or_a_number_that_stands_twice(sold: tuple[Cast, dict[str, int], Pair]):
    cast, steps, pair = sold
    at = steps["note"]
    names = ("actor", "emitter", "id", "sequence")
    earlier = next(row.entry for row in cast.recorder.rows(0, at) if row.entry.actor == "p-approver")
    for copied, faults in ((("actor", "id"), {"header"}), (names, {"header", "sequence"})):
        forged = Forgery(bundle_of(cast))
        change = {name: getattr(earlier, name) for name in copied}
        forged.rechain(lambda entries: entries[at].update(change))  # noqa: B023 - called at once
        data = forged.signed(cast.new.checkpoint)
        mine = {(str(f.fault), f.index) for f in ours(data, pair.vkey).findings if "earlier" in f.message}
        mine |= {(str(f.fault), f.index) for f in ours(data, pair.vkey).findings if "before" in f.message}
        assert mine == {(fault, at) for fault in faults}
        found = theirs(pair.path, data, pair.vkey)["findings"]
        assert {(f["fault"], f["index"]) for f in found if "earlier entry" in f["message"]} == mine


def test_a_type_that_nobody_knows_yet(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    payload, _ = build_payload(
        type="run.started", subject="run:x", data={}, actor="trainer", ledgerid=cast.admin.ledgerid,
        emitter="019b0000-0000-7000-8000-0000000000aa", sequence=1,
    )  # fmt: skip
    envelope = sign_payload(payload.replace(b"muniment.run.started", b"muniment.run.dreamt"), [cast.keys["trainer"]])
    cast.recorder.close()
    with raw(url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(format_envelope(envelope))
        forger.write()
    cast.admin.checkpoint()
    pair = Pair(memory_path / "b", vkey_of(cast))
    found = ours(bundle_of(cast), pair.vkey)
    assert (found.verdict, pair.verdict(bundle_of(cast))) == (Verdict.VERIFIED, "verified")
    (gap,) = [gap for gap in found.gaps if gap.kind is GapKind.OPAQUE]
    assert gap.message == f"1 entries are of types not known here, the first at {index}"
