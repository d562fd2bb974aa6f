"""Bundles: what we and verify.py say of the same files is the same, whatever was done to them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ledger.application import Ledger, Receipt
from ledger.bundle import Selection, parse_bundle, rests_authority_on
from ledger.bundlelog import BundleLog
from ledger.bundling import export_bundle
from ledger.errors import InputError, NothingToVerifyError, VerificationError
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import format_vkey
from ledger.strictjson import format_json
from ledger.verdicts import GapKind, Verdict
from ledger.verify import verify_log
from tests.contract.bundles import (
    SEED,
    Pair,
    bundle_of,
    erased,
    lines_of,
    ours,
    theirs,
    vkey_of,
    written,
)
from tests.contract.histories import History
from tests.contract.keyring_histories import KeyringHistory
from tests.contract.support import MODEL, Cast, digest, make_cast
from tests.contract.tampering import sixteen, victim
from tests.contract.test_copy import copy_of

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
