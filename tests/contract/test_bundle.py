"""Bundles: what we and verify.py say of the same files is the same, whatever was done to them."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import ledger.standalone
from ledger.application import Ledger, Receipt
from ledger.bundle import Selection, parse_bundle, rests_authority_on
from ledger.bundlecheck import BundleVerification, verify_bundle
from ledger.bundlelog import BundleLog
from ledger.bundling import export_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.creation import enrol_actor
from ledger.emission import build_payload
from ledger.entry import entry_hash, format_time
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import InputError, LedgerError, NothingToVerifyError, VerificationError
from ledger.findings import Anchor
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import format_vkey, parse_vkey
from ledger.stored import Attestation
from ledger.strictjson import format_json
from ledger.verdicts import GapKind, Verdict
from ledger.verify import verify_log
from tests.contract.bundles import Forgery, bundle_of, entry_lines, lines_of, ours, theirs, vkey_of, written
from tests.contract.histories import History
from tests.contract.keyring_histories import KeyringHistory
from tests.contract.support import MODEL, Cast, digest, make_cast, raw
from tests.contract.tampering import Forger, sixteen, victim
from tests.contract.test_copy import copy_of
from tests.unit.reference_merkle import mth

SEED = 20261126


class Pair:
    """Both verifiers, which must agree.

    Args:
        path: where verify.py finds the file.
        vkey: given to both.
    """

    def __init__(self, path: Path, vkey: str) -> None:
        self.path, self.vkey = path, vkey
        self.counts: Counter[str] = Counter()

    def verdict(self, data: bytes, what: object = "") -> str:
        mine, other = ours(data, self.vkey), theirs(self.path, data, self.vkey)
        assert other["verdict"] == str(mine.verdict), (what, mine.findings, other)
        self.counts[str(mine.verdict)] += 1
        return str(mine.verdict)

    def refuse(self, data: bytes, what: object = "") -> tuple[str, int | None]:
        """Both must refuse it, for the same reason at the same place; returns class and place."""
        assert self.verdict(data, what) == "bad", what
        first, other = ours(data, self.vkey).findings[0], theirs(self.path, data, self.vkey)["findings"][0]
        assert (first.fault, first.index) == (other["fault"], other["index"]), (what, first, other)
        return str(first.fault), first.index


@pytest.fixture
def sold(memory_path: Path) -> tuple[Cast, dict[str, int], Pair]:
    """A ledger of sixteen entries, and both verifiers with its key."""
    cast, steps = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    return cast, steps, Pair(memory_path / "b", vkey_of(cast))


# -- clean bundles ---------------------------------------------------------------------------------

SELECTIONS = (
    Selection("all"),
    Selection("subject", (MODEL,)),
    Selection("subject", ("model:credit/scoring",)),
    Selection("indexes", (3, 11, 15)),
    Selection("digests", (digest(MODEL),)),
)


@pytest.mark.parametrize("selection", SELECTIONS, ids=("all", "version", "stream", "indexes", "digests"))
def test_clean_bundles_of_both_backends_are_verified_by_both(selection: Selection, quick_url: str, tmp_path: Path):
    cast, _ = sixteen(quick_url)
    data = bundle_of(cast, selection)
    pair = Pair(tmp_path / "b", vkey_of(cast))
    assert pair.verdict(data) == "verified"
    found, other = ours(data, pair.vkey), theirs(pair.path, data, pair.vkey)
    assert [row.entry.index for row in found.rows] == other["contents"]
    wanted = {row.entry.index for row in cast.recorder.rows(0, 16) if rests_authority_on(row.entry.stream)}
    wanted |= {
        "all": set(range(16)), "subject": {8, 9, 10, 11}, "indexes": {3, 11, 15}, "digests": {8, 9, 10, 11, 12, 13},
    }[selection.kind]  # fmt: skip
    assert set(other["contents"]) == wanted
    assert ours(data).verdict is Verdict.UNVERIFIED, "whoever made it may have made the ledger too"
    assert theirs(pair.path, data)["verdict"] == "unverified"
    stranger = Ed25519Signer.generate()
    other_cast = replace(cast.admin.vkey, public=stranger.public.raw)
    pair.vkey = format_vkey(other_cast)
    assert pair.refuse(data) == ("checkpoint", None)


def test_a_moved_ledger_gives_the_same_bytes(memory_path: Path, postgres_url: str):
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    before = bundle_of(cast)
    copy_of(cast, postgres_url).run([cast.new.checkpoint])
    with Ledger.open(postgres_url) as moved:
        assert b"".join(export_bundle(moved, Selection("all"))) == before
    assert before == written(lines_of(before))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [History, KeyringHistory])
def test_random_clean_ledgers(seed: int, kind: type[History], memory_path: Path):
    """Rotations, thefts, grants with bounds, departures: keys and roles by index, written twice, agree."""
    history = kind(f"sqlite:///{memory_path / 'ledger.db'}", SEED + seed).run(90)
    history.cast.admin.checkpoint()
    pair = Pair(memory_path / "b", vkey_of(history.cast))
    data = bundle_of(history.cast)
    assert pair.verdict(data, ours(data, pair.vkey).findings) == "verified", theirs(pair.path, data, pair.vkey)
    notes = theirs(pair.path, data, pair.vkey)["notes"]
    said = {gap.start for gap in ours(data, pair.vkey).gaps if gap.kind == "suspect"}
    assert {int(note.split()[2].rstrip(",")) for note in notes if note.startswith("suspect")} == said


# -- damaged bundles -------------------------------------------------------------------------------


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
    for _ in range(150):
        place, way = chance.randrange(len(data)), chance.randrange(4)
        other = {
            0: data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :],
            1: data[:place],
            2: data[:place] + data[place + 1 :],
            3: data[:place] + bytes([chance.randrange(256)]) + data[place:],
        }[way]
        pair.refuse(other, (place, way))
    assert pair.counts == {"bad": 150}


#: Members that something vouches for, and of how many samples.
VOUCHED = {"checkpoint": 80, "entry": 150, "envelope": 150}


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


# -- people with keys ------------------------------------------------------------------------------


def test_whoever_has_the_checkpoint_key_but_not_the_authors(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    data = bundle_of(cast)
    for index in range(16):
        forged = Forgery(data)
        forged.replace_payload(index, other_nonce)
        data_of_old_head = written(forged.lines)
        assert pair.refuse(data_of_old_head) == ("signature", index)
        assert "checkpoint" in {str(found.fault) for found in ours(data_of_old_head, pair.vkey).findings}
        forged = Forgery(data)
        forged.replace_payload(index, other_nonce)
        assert pair.refuse(forged.signed(cast.new.checkpoint)) == ("signature", index)


def other_nonce(payload: bytes) -> bytes:
    """Another nonce: it means nothing, and is signed all the same."""
    event = json.loads(payload)
    return payload.replace(event["nonce"].encode(), event["nonce"][::-1].encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor", "p-other"), ("emitter", "0" * 36), ("id", "0" * 36), ("sequence", 12345), ("stream", "incident:2"),
        ("subject", "incident:2"), ("type", "muniment.incident.closed.v1"),
    ],
)  # fmt: skip
def test_a_header_that_says_something_else_than_was_signed(
    name: str, value: Any, sold: tuple[Cast, dict[str, int], Pair]
):
    cast, steps, pair = sold
    forged = Forgery(bundle_of(cast))
    forged.rechain(lambda entries: entries[steps["note"]].update({name: value}))
    data = forged.signed(cast.new.checkpoint)
    assert pair.verdict(data) == "bad"
    assert ("header", steps["note"]) in {(f.fault, f.index) for f in ours(data, pair.vkey).findings}
    assert ("header", steps["note"]) in {
        (f["fault"], f["index"]) for f in theirs(pair.path, data, pair.vkey)["findings"]
    }


@pytest.mark.parametrize("change", [-1, 1])
def test_a_revision_that_does_not_follow(change: int, sold: tuple[Cast, dict[str, int], Pair]):
    cast, steps, pair = sold
    forged = Forgery(bundle_of(cast))
    at = next(n for n, entry in enumerate(forged.entries()) if entry["revision"] > 1 and n > steps["note"] - 5)
    forged.rechain(lambda entries: entries[at].update(revision=entries[at]["revision"] + change))
    data = forged.signed(cast.new.checkpoint)
    assert ("header", at) in {(f.fault, f.index) for f in ours(data, pair.vkey).findings}
    assert ("header", at) in {(f["fault"], f["index"]) for f in theirs(pair.path, data, pair.vkey)["findings"]}


def test_a_change_of_keys_hidden_as_something_else(sold: tuple[Cast, dict[str, int], Pair]):
    """Only the header is there, and it lies: such an entry is void, so the keys are those of the others."""
    cast, _, pair = sold
    cast.enrol("p-thief", "person", ["approver"])
    cast.admin.emit("actor.revoked", "actor:p-thief", reason="a thief")
    cast["p-thief"].recorder.head()
    data = bundle_of(cast)
    forged = Forgery(data)

    def hide(entries: list[dict[str, Any]]) -> None:
        entries[17].update(type="muniment.incident.noted.v1", subject="incident:9", stream="incident:9", revision=1)

    forged.rechain(hide)
    forged.lines[0]["selection"] = {"items": [16], "kind": "indexes"}
    line = forged.lines[entry_lines(forged.lines)[17]]
    del line["envelope"]
    found = ours(forged.signed(cast.new.checkpoint), pair.vkey)
    assert found.verdict is Verdict.VERIFIED
    assert any("as labelled by the operator" in gap.message for gap in found.gaps), "and that is what it is worth"


def _signed(  # noqa: PLR0917 - each attack names all of them
    ledger: Ledger, actor: str, signers: list[Ed25519Signer], kind: str, subject: str, body: dict
) -> bytes:
    payload, _ = build_payload(
        type=kind, subject=subject, data=body, actor=actor, ledgerid=ledger.ledgerid,
        emitter="019b0000-0000-7000-8000-0000000000aa", sequence=1,
    )  # fmt: skip
    return format_envelope(sign_payload(payload, signers))


def _stranger(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-approver", [Ed25519Signer.generate()], "incident.noted", "incident:1", {"note": "look"})


def _nobody(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-nobody", [Ed25519Signer.generate()], "incident.noted", "incident:1", {"note": "look"})


def _enrolled_by_an_emitter(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "roles": ["approver"], "key": format_public_key(key.public)}
    return _signed(ledger, "trainer", [cast.keys["trainer"], key], "actor.enrolled", "actor:p-new", body)


def _an_admin_by_an_admin(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "roles": ["admin"], "key": format_public_key(key.public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"], key], "actor.enrolled", "actor:p-new", body)


def _without_possession(cast: Cast, ledger: Ledger) -> bytes:
    body = {"kind": "person", "roles": ["approver"], "key": format_public_key(Ed25519Signer.generate().public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"]], "actor.enrolled", "actor:p-new", body)


def _for_ones_own_person(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "person": "p-admin", "roles": ["approver"], "key": format_public_key(key.public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"], key], "actor.enrolled", "actor:p-new", body)


def _own_service(cast: Cast, roles: Sequence[str], signer: Ledger) -> Ed25519Signer:
    """A service that the admin answers for, enrolled by somebody who may."""
    key = Ed25519Signer.generate()
    enrol_actor(signer, "mine", key, kind="service", roles=roles, responsible="p-admin")
    return key


def _by_admin(cast: Cast, kind: str, subject: str, body: dict[str, Any], key: Ed25519Signer | None = None) -> bytes:
    signers = [cast.keys["p-admin"], *([] if key is None else [key])]
    more = {} if key is None else {"key": format_public_key(key.public)}
    return _signed(cast.admin, "p-admin", signers, kind, subject, {**body, **more})


def _a_say_by_enrolment(cast: Cast, ledger: Ledger) -> bytes:
    body = {"kind": "service", "responsible": "p-admin", "roles": ["emitter", "approver"]}
    return _by_admin(cast, "actor.enrolled", "actor:mine", body, Ed25519Signer.generate())


def _a_say_by_a_grant(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["emitter"], cast.admin)
    return _by_admin(cast, "role.granted", "actor:mine", {"role": "deployer"})


def _a_say_by_a_grant_after_handing_on(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["emitter"], cast.admin)
    cast.admin.emit("actor.responsible_changed", "actor:mine", responsible="p-author", reason="moved")
    return _by_admin(cast, "role.granted", "actor:mine", {"role": "validator"})


def _a_say_by_taking_over(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    enrol_actor(cast.admin, "theirs", key, kind="service", roles=["deployer"], responsible="p-author")
    body = {"responsible": "p-admin", "reason": "mine now"}
    return _by_admin(cast, "actor.responsible_changed", "actor:theirs", body)


def _a_say_by_a_further_key(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["approver"], cast.root)
    return _by_admin(cast, "key.enrolled", "actor:mine", {}, Ed25519Signer.generate())


def _a_say_by_a_key_instead(cast: Cast, ledger: Ledger) -> bytes:
    old = _own_service(cast, ["approver"], cast.root)
    body = {"keyid": old.public.keyid, "until": 0}
    return _by_admin(cast, "key.rotated", "actor:mine", body, Ed25519Signer.generate())


def _roots_by_an_admin(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"roots": [format_public_key(key.public)], "threshold": 1, "reason": "mine now"}
    subject = f"ledger:{ledger.ledgerid}"
    return _signed(ledger, "root", [cast.keys["p-admin"], key], "ledger.roots_changed", subject, body)


def _a_run_in_an_actors_stream(cast: Cast, ledger: Ledger) -> bytes:
    body = {"system": "x", "content": {}}
    return _signed(ledger, "trainer", [cast.keys["trainer"]], "external.observed", "actor:trainer", body)


def _an_approval_by_an_emitter(cast: Cast, ledger: Ledger) -> bytes:
    (row,) = [row for row in cast.recorder.rows(0, 16) if row.entry.type == "muniment.approval.granted.v1"]
    body = json.loads(row.payload or b"")["data"]
    return _signed(ledger, "trainer", [cast.keys["trainer"]], "approval.granted", MODEL, body)


def _a_run_by_an_approver(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-approver", [cast.keys["p-approver"]], "run.completed", "run:x", {"metrics": {}})


def _acknowledging(cast: Cast, ledger: Ledger, index: int, leaf: int, subject: str) -> bytes:
    leaf_hash = cast.recorder.leaf_hashes(leaf, leaf + 1)[0].hex()
    body = {"index": index, "leaf_hash": leaf_hash, "reason": "in advance"}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"]], "ledger.entry_acknowledged", subject, body)


def _an_acknowledgement_of_other_bytes(cast: Cast, ledger: Ledger) -> bytes:
    return _acknowledging(cast, ledger, 5, 6, f"ledger:{ledger.ledgerid}")


def _an_acknowledgement_in_another_ledger(cast: Cast, ledger: Ledger) -> bytes:
    return _acknowledging(cast, ledger, 5, 5, f"ledger:{'cd' * 16}")


ATTACKS = {
    _stranger: "key", _nobody: "key", _enrolled_by_an_emitter: "legality", _an_admin_by_an_admin: "legality",
    _without_possession: "key", _for_ones_own_person: "legality", _roots_by_an_admin: "key",
    _an_approval_by_an_emitter: "legality", _a_run_in_an_actors_stream: None, _a_run_by_an_approver: "legality",
    _a_say_by_enrolment: "legality", _a_say_by_a_grant: "legality", _a_say_by_a_grant_after_handing_on: "legality",
    _a_say_by_taking_over: "legality", _a_say_by_a_further_key: "legality", _a_say_by_a_key_instead: "legality",
    _an_acknowledgement_of_other_bytes: "legality", _an_acknowledgement_in_another_ledger: "schema",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_whoever_has_the_store_and_the_checkpoint_key(attack: Any, quick_url: str, tmp_path: Path):
    """Refused on append; put in by SQL with everything re-hashed and re-signed, told by both, at its place."""
    cast, _ = sixteen(quick_url)
    pair = Pair(tmp_path / "b", vkey_of(cast))
    envelope = attack(cast, cast.admin)
    size = cast.recorder.head().size
    with pytest.raises(LedgerError):
        cast.admin.append(envelope)
    assert cast.recorder.head().size == size
    with victim(cast, []) as store, store.trial():
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write(cast.new.checkpoint)
        leaves = [row["leaf_hash"] for row in forger.rows]
        note = sign_checkpoint(Checkpoint(forger.origin, len(leaves), mth(leaves)), cast.new.checkpoint)
        store.run("INSERT INTO $checkpoint VALUES (?, ?)", (len(leaves), note))
        assert index in {finding.index for finding in store.verify().findings}
        for selection in (Selection("all"), Selection("indexes", (index,))):
            data = b"".join(export_bundle(LogHandle(store.recorder), selection))
            assert pair.verdict(data, selection) == "bad"
            mine, other = ours(data, pair.vkey).findings[0], theirs(pair.path, data, pair.vkey)["findings"][0]
            assert mine.index == other["index"] == index, (mine, other)
            if ATTACKS[attack] is not None:
                assert (str(mine.fault), other["fault"]) == (ATTACKS[attack], ATTACKS[attack]), (mine, other)


def test_an_acknowledgement_counts_for_the_bytes_it_names(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    envelope = _enrolled_by_an_emitter(cast, cast.admin)
    cast.recorder.close()
    with raw(url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    leaf = cast.recorder.leaf_hashes(index, index + 1)[0].hex()
    body = {"index": index, "leaf_hash": leaf, "reason": "ticket 118"}
    cast.admin.emit("ledger.entry_acknowledged", f"ledger:{cast.admin.ledgerid}", body)
    cast.admin.checkpoint()
    pair = Pair(memory_path / "b", vkey_of(cast))
    data = bundle_of(cast)
    assert pair.verdict(data) == "verified"
    known = [gap for gap in ours(data, pair.vkey).gaps if gap.kind is GapKind.ACKNOWLEDGED]
    assert [(gap.start, gap.stop) for gap in known] == [(index, index + 1)]
    assert [note for note in theirs(pair.path, data, pair.vkey)["notes"] if f"void entry {index}, acknowl" in note]
    forged = Forgery(data)
    forged.replace_payload(index, other_nonce)
    assert pair.refuse(forged.signed(cast.new.checkpoint)) == ("signature", index)


def test_a_bundle_of_everything_reads_like_the_store(quick_url: str):
    cast, _ = sixteen(quick_url)
    cast["trainer"].emit_all([("run.started", f"run:{number % 3}", {}) for number in range(2 * 256)])
    cast.admin.checkpoint()
    for issuer in ("a", "b", "c"):
        cast.recorder.add_attestation(cast.recorder.head().size, "published", issuer, issuer.encode())
    bundle = parse_bundle(io.BytesIO(bundle_of(cast)))
    mine, store = BundleLog(bundle, cast.admin.ledgerid), cast.recorder
    assert (mine.identity(), mine.head(), mine.signed_head()) == (store.identity(), store.head(), store.signed_head())
    assert (mine.root, mine.last_checkpoint()) == (bundle.head.root, store.last_checkpoint())
    size = store.head().size
    for start, stop in ((0, size), (0, 0), (3, 9), (size - 1, size), (4, 300)):
        assert mine.rows(start, stop - start) == store.rows(start, stop - start)
        assert mine.leaf_hashes(start, stop) == store.leaf_hashes(start, stop)
        assert mine.authority_rows(start, stop) == store.authority_rows(start, stop)
        for actor in ("trainer", "p-admin", "p-nobody"):
            for limit in (1, 5, size):
                assert mine.actor_rows(actor, start, stop, limit) == store.actor_rows(actor, start, stop, limit)
        for stream in ("run:1", "actor:trainer", "model:credit/scoring", "run:none"):
            for after in (0, 1, 2):
                wanted = store.stream_rows(stream, start, stop, after)
                assert mine.stream_rows(stream, start, stop, after) == wanted, (stream, start, stop, after)
    assert mine.authority_streams() == sorted(store.authority_streams())
    for level, index in ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (5, 0)):
        assert mine.tile(level, index) == store.tile(level, index)
    for level, start, stop in ((0, 0, 2), (0, 1, 2), (1, 0, 1), (2, 0, 1), (5, 0, 1)):
        assert mine.tile_roots(level, start, stop) == store.tile_roots(level, start, stop)
    for start, limit in ((0, 5), (1, 1), (0, 1), (2, 2)):
        assert mine.tiles(0, start, limit) == store.tiles(0, start, limit)
    for number in range(5):
        for limit in (0, 1, 2, 9):
            place = (size, number)
            assert mine.attestations(place, limit) == store.attestations(place, limit)
            assert mine.attestations_before(place, limit) == store.attestations_before(place, limit)
    assert len(mine.attestations((size - 1, 9), 9)) == len(mine.attestations_before((size + 1, 0), 9)) == 3
    assert mine.attestations_before((size - 1, 9), 9) == mine.attestations((size + 1, 0), 9) == []
    assert mine.successor() is store.successor() is None
    with mine.snapshot():
        assert mine.rows(0, 1)
    last = store.last_checkpoint()
    assert mine.checkpoints(0, 5) == mine.checkpoints(size - 1, 1) == [last]
    assert mine.checkpoints(size, 5) == mine.checkpoints(0, 0) == []


def test_what_emitters_say_is_verified_by_both(quick_url: str, tmp_path: Path):
    cast, _ = sixteen(quick_url)
    emitter = cast["trainer"]._emitter.id
    cast["trainer"].heartbeat(60)
    gap = {"actor": "trainer", "first": 9, "last": 11, "reason": "a disk was lost"}
    cast.admin.emit("gap.declared", f"emitter:{emitter}", gap)
    assert cast["trainer"].close_emitter() is not None
    cast.admin.checkpoint()
    pair = Pair(tmp_path / "b", vkey_of(cast))
    for selection in (Selection("all"), Selection("subject", (f"emitter:{emitter}",))):
        assert pair.verdict(bundle_of(cast, selection), selection) == "verified"


# -- keys and reaffirmations woven into each other -------------------------------------------------


def test_a_maze_of_keys_and_reaffirmations(memory_path: Path):
    """Made with one key of an emitter: both see through it at once, and say the same of what a thief reaffirmed."""
    cast = make_cast(f"sqlite:///{memory_path / 'ledger.db'}")
    pair = Pair(memory_path / "b", vkey_of(cast))

    def tell(kind: str, *signers: Ed25519Signer, **body: Any) -> Receipt:
        return Ledger(cast.recorder, actor="trainer", signers=signers).emit(kind, "actor:trainer", **body)

    def rotate(old: Ed25519Signer, new: Ed25519Signer, *more: Ed25519Signer) -> Receipt:
        key = format_public_key(new.public)
        return tell("key.rotated", old, new, *more, keyid=old.public.keyid, key=key, until=2**52)

    first, keys = cast.keys["trainer"], [Ed25519Signer.generate() for _ in range(26)]
    since = rotate(first, keys[0]).index + 1
    receipts = [rotate(old, new, *([first] if old is keys[0] else [])) for old, new in pairwise(keys)]
    tell("key.compromised", keys[-1], keyid=keys[0].public.keyid, since=since, reason="lost")
    for receipt in receipts:
        tell("entry.reaffirmed", keys[-1], index=receipt.index, leaf_hash=receipt.leaf_hash.hex(), reason="mine")
    cast.admin.emit("key.compromised", "actor:trainer", keyid=first.public.keyid, since=since, reason="stolen")
    cast.admin.checkpoint()
    data = bundle_of(cast)
    assert pair.verdict(data) == "verified"
    suspect = [gap for gap in ours(data, pair.vkey).gaps if gap.kind is GapKind.SUSPECT]
    notes = [note for note in theirs(pair.path, data, pair.vkey)["notes"] if note.startswith("suspect")]
    assert suspect
    assert len(notes) == 2 * len(receipts) + 1, "the thief's reaffirmations speak for nothing"


# -- asking for what is not there ------------------------------------------------------------------


def test_what_cannot_be_exported_is_said(quick_url: str):
    cast, _ = sixteen(quick_url)
    for selection in (Selection("indexes", (3, 99)), Selection("subject", ("model:nobody",))):
        with pytest.raises(InputError, match="no entry"):
            bundle_of(cast, selection)
    with pytest.raises(NothingToVerifyError, match="not mentioned"):
        bundle_of(cast, Selection("digests", (digest("other bytes"),)))
    with victim(cast, []) as store, store.trial():
        store.run("DELETE FROM $checkpoint")
        with pytest.raises(NothingToVerifyError, match="no head"):
            list(export_bundle(LogHandle(store.recorder), Selection("all")))


def erased(cast: Cast, index: int, **changes: Any) -> int:
    """Have it recorded that an entry was erased whole; returns the index of the record."""
    entry = cast.recorder.rows(index, 1)[0].entry
    item = {"index": index, "leaf_hash": entry_hash(entry).hex(), "stream": entry.stream, "scope": "whole", **changes}
    body = {"subject": "person:p-1", "basis": "a law", "reason": "asked for", "entries": [item]}
    record = cast["p-eraser"].emit("subject.erased", f"ledger:{cast.admin.ledgerid}", body)
    cast.admin.checkpoint()
    return record.index


@pytest.mark.parametrize("false_first", [False, True])
def test_an_erasure_that_is_not_finished_is_listed_under_the_record_that_allows_it(
    memory_path: Path, false_first: bool
):
    cast, steps = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    cast.enrol("p-eraser", "person", ["eraser"])
    ways: list[dict[str, Any]] = [{"stream": "incident:2"}, {}]
    records = [erased(cast, steps["note"], **changes) for changes in (ways if false_first else reversed(ways))]
    true = records[1 if false_first else 0]
    again = erased(cast, steps["note"])
    assert again > max(records)
    found = verify_log(cast.recorder, cast.new.trust)
    assert (found.findings, found.unfinished) == ([], [(steps["note"], true)])


@pytest.mark.parametrize(
    ("step", "changes", "verdict"),
    [
        ("note", {}, "verified"),
        ("note", None, "bad"),
        ("note", {"scope": "fields"}, "bad"),
        ("note", {"stream": "incident:2"}, "bad"),
        ("approval", {}, "bad"),
    ],
    ids=["recorded", "no record", "fields only", "another stream", "a decision"],
)
def test_content_that_is_gone_is_excused_by_a_record_and_by_nothing_else(
    quick_url: str, tmp_path: Path, step: str, changes: dict[str, Any] | None, verdict: str
):
    cast, steps = sixteen(quick_url)
    index, pair = steps[step], Pair(tmp_path / "b", vkey_of(cast))
    cast.enrol("p-eraser", "person", ["eraser"])
    cast.admin.checkpoint()
    record = None if changes is None else erased(cast, index, **changes)
    with victim(cast, []) as store, store.trial():
        store.run("DELETE FROM $content WHERE position = ?", (index + 1,))
        for selection in (Selection("all"), Selection("indexes", (index,))):
            data = b"".join(export_bundle(LogHandle(store.recorder), selection))
            found, notes = ours(data, pair.vkey), theirs(pair.path, data, pair.vkey)["notes"]
            assert pair.verdict(data) == verdict
            said = [
                (g.start, g.stop, f"(entry {record})" in g.message) for g in found.gaps if g.kind == GapKind.WITHHELD
            ]
            assert said == ([(index, index + 1, True)] if verdict == "verified" else [])
            assert any(f"withheld: entry {index};" in note for note in notes) == (verdict == "verified")
            if verdict == "bad":
                assert pair.refuse(data) == ("payload", index)


def test_content_that_keys_rest_on_is_never_withheld(quick_url: str):
    cast, _ = sixteen(quick_url)
    with victim(cast, []) as store, store.trial():
        store.run("DELETE FROM $content WHERE position = 2")
        with pytest.raises(VerificationError, match="keys and roles rest on"):
            list(export_bundle(LogHandle(store.recorder), Selection("indexes", (9,))))


def test_a_line_is_written_in_its_only_form(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    data = bundle_of(cast)
    for number, line in enumerate(data.splitlines()[:-1]):
        value = json.loads(line)
        assert format_json(value) == line
        for other in (json.dumps(value, ensure_ascii=False, sort_keys=True), json.dumps([value]), "1"):
            lines = data.splitlines(keepends=True)[:-1]
            lines[number] = other.encode() + b"\n"
            digest = hashlib.sha256(b"".join(lines)).hexdigest()
            spaced = b"".join([*lines, format_json({"sha256": digest}), b"\n"])
            with pytest.raises(InputError, match=f"line {number + 1} of the bundle: it is not an object in its only"):
                parse_bundle(io.BytesIO(spaced))
            assert pair.refuse(spaced) == ("bundle", None)
