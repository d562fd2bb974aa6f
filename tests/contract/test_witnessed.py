"""What witnesses vouch for, against somebody who has the store and the checkpoint key and not the witnesses' keys."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from ledger.application import Ledger
from ledger.checkpoint import Checkpoint, cosign_checkpoint, format_checkpoint, verify_cosignature
from ledger.checkpoints import cosignatures_of
from ledger.cosignature import format_cosignature
from ledger.errors import InputError, LedgerError, StorageError, VerificationError
from ledger.findings import LogVerification
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, VerifierKey, format_vkey, parse_note
from ledger.outsiders import drop_bad, find_bad
from ledger.proof import parse_proof
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.sql import SqlRecorder
from ledger.verify import Since, verify_log
from ledger.witnessed import last_witnessed
from ledger.witnesspolicy import Policy, parse_policy
from tests.contract.support import make_cast, raw
from tests.contract.tampering import Forger, Victim, changed, sixteen, victim
from tests.contract.test_server_append import role_with
from tests.unit.reference_merkle import mth

KEYS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(3)]
VKEYS = [VerifierKey(f"w{n}.example", TYPE_COSIGNATURE, key.public.raw) for n, key in enumerate(KEYS)]
TIME = 1_795_420_800
POLICY: Policy = parse_policy(
    "".join(f"witness w{n} {format_vkey(vkey)}\n" for n, vkey in enumerate(VKEYS)).encode()
    + b"group g 2 w0 w1 w2\nquorum g\n"
)


def cosign(recorder: SqlRecorder, size: int, who: int, time: int = TIME) -> None:
    """What a witness says about a signed head, into the store."""
    root = mth(recorder.leaf_hashes(0, size))
    head = Checkpoint(recorder.identity().origin, size, root)
    line = cosign_checkpoint(format_checkpoint(head), KEYS[who], VKEYS[who].name, time)
    recorder.add_attestation(size, "cosignature", format_vkey(VKEYS[who]), format_cosignature(line))


def vouched(found: LogVerification) -> int:
    return POLICY.met_up_to({vkey: item.size for vkey, item in found.witnessed.items()})


@contextmanager
def witnessed(url: str) -> Iterator[tuple[Victim, Ed25519Signer]]:
    """A ledger of sixteen entries in its owner's hands, witnessed to size 12 by two of three, and to 16 by one."""
    cast, _ = sixteen(url)
    for size, who in ((2, 2), (12, 0), (12, 1), (16, 0)):
        cosign(cast.recorder, size, who)
    with victim(cast, []) as found:
        report = found.verify()
        assert report.ok
        assert vouched(report) == 12
        assert {vkey.name: item.size for vkey, item in report.witnessed.items()} == {
            "w0.example": 16, "w1.example": 12, "w2.example": 2,
        }  # fmt: skip
        yield found, cast.new.checkpoint


def test_verification_says_what_is_witnessed(quick_url: str):
    cast, _ = sixteen(quick_url)
    cosign(cast.recorder, 12, 0, TIME + 9)
    cosign(cast.recorder, 12, 0, TIME)
    cosign(cast.recorder, 12, 1)
    found = verify_log(cast.recorder, cast.new.trust)
    assert found.ok
    assert (found.witnessed[VKEYS[0]].size, found.witnessed[VKEYS[0]].time) == (12, TIME + 9), "the latest time"
    assert vouched(found) == 12
    assert verify_log(cast.recorder, cast.new.trust, level="checkpoint").witnessed == found.witnessed
    assert verify_log(cast.recorder, cast.new.trust, level="hash").witnessed == {}
    assert last_witnessed(cast.recorder).keys() == found.witnessed.keys()
    # Going on from an earlier verification tells the same.
    since = Since(16, bytes.fromhex(found.root), found.heads, found.authority)
    assert verify_log(cast.recorder, cast.new.trust, since=since).witnessed.keys() == found.witnessed.keys()
    cosign(cast.recorder, 16, 1)
    assert verify_log(cast.recorder, cast.new.trust, since=since).witnessed[VKEYS[1]].size == 16


@pytest.mark.usefixtures("memory")
def test_every_rewrite_below_the_witnessed_size_is_found(quick_url: str):
    """Each entry left out, everything behind it made to fit, and all heads signed anew with the checkpoint key."""
    with witnessed(quick_url) as (store, key):
        tried = 0
        for index in range(2, 16):
            for hide in ("nothing", "cosignatures", "all that differ"):
                with store.trial():
                    forger = Forger(store)
                    del forger.rows[index]
                    forger.write(key)
                    if hide == "cosignatures":
                        store.run("DELETE FROM $attestation")
                    elif hide == "all that differ":
                        store.run("DELETE FROM $attestation WHERE size > ?", (index,))
                    report = store.verify()
                    what = f"entry {index} left out, {hide} hidden"
                    anchors = [finding for finding in report.findings if finding.fault == "anchor"]
                    if hide == "nothing" and index < 12:
                        assert anchors, what
                        assert anchors[0].sizes is not None, what
                        assert anchors[0].sizes[0] <= index < anchors[0].sizes[1], what
                    assert vouched(report) <= index, f"{what}: the quorum still vouches for it"
                    tried += 1
        assert tried == 42


@pytest.mark.usefixtures("memory")
def test_a_truncated_log_is_witnessed_only_as_far_as_it_goes(quick_url: str):
    with witnessed(quick_url) as (store, key), store.trial():
        forger = Forger(store)
        del forger.rows[11:]
        forger.write(key)
        report = store.verify()
        found = [finding for finding in report.findings if finding.fault == "anchor"]
        assert [finding.index for finding in found] == [11]
        assert "the tail is missing" in found[0].message
        store.run("DELETE FROM $attestation")
        assert vouched(store.verify()) == 0


@pytest.mark.usefixtures("memory")
def test_witnesses_that_the_attacker_makes_count_for_nothing(quick_url: str):
    with witnessed(quick_url) as (store, key), store.trial():
        forger = Forger(store)
        del forger.rows[13]
        forger.write(key)
        store.run("DELETE FROM $attestation")
        own = Ed25519Signer.generate()
        root = mth([row["leaf_hash"] for row in forger.rows][:12])
        head = format_checkpoint(Checkpoint(forger.origin, 12, root))
        for number, name in enumerate(("w0.example", "w1.example"), 1):
            vkey = VerifierKey(name, TYPE_COSIGNATURE, own.public.raw)
            line = format_cosignature(cosign_checkpoint(head, own, name, TIME))
            row = (number, 12, "cosignature", format_vkey(vkey), line, 0)
            store.run("INSERT INTO $attestation VALUES (?, ?, ?, ?, ?, ?)", row)
        report = store.verify()
        assert len(report.witnessed) == 2, "they are good in themselves"
        assert vouched(report) == 0, "and nobody's"


@pytest.mark.usefixtures("memory")
def test_every_byte_of_a_cosignature_is_found(quick_url: str):
    """Every fourth, beginning anywhere: `tamper-cosignatures` of `make campaign` takes them all, in four ways."""
    chance = random.Random(7)
    with witnessed(quick_url) as (store, _):
        rows = store.run("SELECT number, size, issuer, body FROM $attestation ORDER BY number LIMIT 2")
        tried = 0
        for number, *values in rows:
            for column, value in zip(("size", "issuer", "body"), values, strict=True):
                every = list(changed(bytes(value) if column == "body" else value))
                for other in every[chance.randrange(min(4, len(every))) :: 4]:
                    with store.trial():
                        store.run(f"UPDATE $attestation SET {column} = ? WHERE number = ?", (other, number))
                        report = store.verify()
                        assert [finding.fault for finding in report.findings] == ["anchor"], (column, other)
                        tried += 1
        assert tried > 85


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("size", "issuer", "body"),
    [
        (-(2**62), format_vkey(VKEYS[0]), b"x"),
        (-1, format_vkey(VKEYS[0]), b"x"),
        (0, format_vkey(VKEYS[0]), b"x"),
        (2**62, format_vkey(VKEYS[0]), b"x"),
        (7, format_vkey(VKEYS[0]), b""),
        (7, "", b"x"),
        (7, "né\x1b[31m" * 100, b"\xff"),
    ],
)
def test_nonsense_for_a_cosignature_is_one_finding(quick_url: str, size: int, issuer: str, body: bytes):
    with witnessed(quick_url) as (store, _), store.trial():
        store.run("INSERT INTO $attestation VALUES (99, ?, 'cosignature', ?, ?, 0)", (size, issuer, body))
        report = store.verify()
        assert [finding.fault for finding in report.findings] == ["anchor"]
        assert vouched(report) == 12


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("size", [2, 12, 16])
def test_a_cosigned_head_that_is_gone_is_found(quick_url: str, size: int):
    with witnessed(quick_url) as (store, _):
        with store.trial():
            store.run("DELETE FROM $checkpoint WHERE size = ?", (size,))
            report = store.verify()
            words = [item.message for item in report.findings if "cosigned is no longer in the store" in item.message]
            assert [f"the head of size {size}" in item for item in words] == [True] * len(words)
            assert {item.fault for item in report.findings} == {"checkpoint"}
            assert words
            assert vouched(report) == 12, "the cosignature is of the log's own root, and counts"


def test_proofs_and_heads_carry_the_good_cosignatures(quick_url: str):
    cast, _ = sixteen(quick_url)
    note = cast.admin.checkpoint()
    assert cast.admin.cosigned(note) == note
    cosign(cast.recorder, 16, 0)
    cosign(cast.recorder, 16, 0, TIME + 60)
    cosign(cast.recorder, 16, 1)
    with raw(quick_url) as store:
        store.run(
            "INSERT INTO $attestation VALUES (99, 16, 'cosignature', ?, ?, 0)", (format_vkey(VKEYS[2]), b"not a line")
        )
    cast.recorder.add_attestation(16, "published", "somewhere", b"x")
    lines = parse_note(cast.admin.cosigned(note)).signatures
    assert [line.name for line in lines] == [cast.admin.origin, "w0.example", "w1.example"]
    assert verify_cosignature(parse_note(cast.admin.cosigned(note)), VKEYS[0]) == TIME + 60, "the newest"
    proof = parse_proof(cast.admin.prove_inclusion(5))
    assert parse_note(proof.checkpoint_note).signatures == lines
    head = Checkpoint(cast.admin.origin, 12, mth(cast.recorder.leaf_hashes(0, 12)))
    assert cosignatures_of(cast.recorder, head) == ()


def test_a_machine_without_the_key_sends_the_last_signed_head(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    cast.admin.checkpoint()
    signed = cast.recorder.last_checkpoint()
    assert signed is not None
    cast["p-author"].emit("external.observed", "external:x", system="s")
    reader = Ledger(cast.recorder)
    assert reader.signed_head() == signed.note
    assert cast.admin.signed_head() != signed.note


def test_an_older_cosignature_that_was_altered_is_found_by_all(quick_url: str):
    """What was verified before is looked at again as far as its last cosignatures go; --all looks at all of them."""
    cast, _ = sixteen(quick_url)
    cosign(cast.recorder, 2, 0)
    cosign(cast.recorder, 12, 0)
    found = verify_log(cast.recorder, cast.new.trust)
    since = Since(16, bytes.fromhex(found.root), found.heads, found.authority)
    with raw(quick_url) as store:
        store.unprotect("attestation")
        store.run("UPDATE $attestation SET body = ? WHERE size = 2", (b"x",))
        assert verify_log(cast.recorder, cast.new.trust, since=since).ok
        assert [f.fault for f in verify_log(cast.recorder, cast.new.trust).findings] == ["anchor"]
        store.run("UPDATE $attestation SET body = ? WHERE size = 12", (b"x",))
    assert [f.fault for f in verify_log(cast.recorder, cast.new.trust, since=since).findings] == ["anchor"]


@pytest.mark.parametrize("reread", [True, False], ids=["hashed", "not read"])
def test_a_cosigned_head_that_is_gone_is_found_without_reading_again(quick_url: str, reread: bool):
    cast, _ = sixteen(quick_url)
    cosign(cast.recorder, 12, 0)
    found = verify_log(cast.recorder, cast.new.trust)
    since = Since(16, bytes.fromhex(found.root), found.heads, found.authority, reread)
    with raw(quick_url) as store:
        store.unprotect("checkpoint")
        store.run("DELETE FROM $checkpoint WHERE size = 12")
    later = verify_log(cast.recorder, cast.new.trust, since=since)
    assert any("that w0.example cosigned is no longer" in item.message for item in later.findings), later.findings


# -- rows that do not verify -----------------------------------------------------------------------


def line(size: int, root: bytes, origin: str, who: int = 0) -> bytes:
    text = format_checkpoint(Checkpoint(origin, size, root))
    return format_cosignature(cosign_checkpoint(text, KEYS[who], VKEYS[who].name, TIME))


@pytest.mark.parametrize("case", ["another root", "another size", "another key", "not its line", "no line", "no vkey"])
def test_a_row_that_cannot_be_a_cosignature_of_the_head_is_not_kept(quick_url: str, case: str):
    cast, _ = sixteen(quick_url)
    origin, root = cast.admin.origin, mth(cast.recorder.leaf_hashes(0, 12))
    good, issuer = line(12, root, origin), format_vkey(VKEYS[0])
    body = {"another root": line(12, bytes(32), origin), "another size": line(16, root, origin), "no line": b"x"}
    issuers = {
        "another key": format_vkey(replace(VKEYS[1], name=VKEYS[0].name)), "not its line": format_vkey(VKEYS[1]),
        "no vkey": issuer[:-1],
    }  # fmt: skip
    row = (12, "cosignature", issuers.get(case, issuer), body.get(case, good))
    with pytest.raises(LedgerError):
        cast.recorder.add_attestation(*row)
    if isinstance(cast.recorder, PostgresRecorder) and case not in ("another root", "another size"):
        with pytest.raises(InputError):  # the function by itself, for whoever may call it
            cast.recorder.store.persist(lambda: cast.recorder.ask("SELECT $add_attestation(?, ?, ?, ?)", row))
    assert cast.recorder.attestations((-1, 0), 10) == []
    assert cast.recorder.add_attestation(12, "cosignature", issuer, good)


def put_in(recorder: SqlRecorder, url: str, row: tuple[int, str, str, bytes]) -> None:
    """As a writer would past Muniment: by the function on PostgreSQL, which knows no Ed25519; by SQL on SQLite."""
    if isinstance(recorder, PostgresRecorder):
        recorder.store.persist(lambda: recorder.ask("SELECT $add_attestation(?, ?, ?, ?)", row))
    else:
        with raw(url) as store:
            store.run("INSERT INTO $attestation VALUES (?, ?, ?, ?, ?, 0)", (90 + row[0], *row))


def test_the_owner_removes_rows_that_do_not_verify_and_no_others(quick_url: str):
    cast, _ = sixteen(quick_url)
    recorder, origin = cast.recorder, cast.admin.origin
    cosign(recorder, 12, 0)
    good = recorder.attestations((-1, 0), 10)
    head = cast.new.trust.verify_head
    assert drop_bad(recorder, head) == []
    put_in(recorder, quick_url, (12, "cosignature", format_vkey(VKEYS[1]), line(12, bytes(32), origin, 1)))
    note = recorder.checkpoints(15, 1)[0].note
    put_in(recorder, quick_url, (16, "rfc3161", "a TSA", b"0" + hashlib.sha256(note).digest()))
    assert [item.fault for item in verify_log(recorder, cast.new.trust).findings] == ["anchor"]
    dropped = drop_bad(recorder, head)
    assert [(item.row.size, item.row.kind) for item in dropped] == [(12, "cosignature"), (16, "rfc3161")]
    assert all(item.why for item in dropped)
    assert recorder.attestations((-1, 0), 10) == good
    assert verify_log(recorder, cast.new.trust).ok
    with raw(quick_url) as store, pytest.raises(Exception, match="append-only"):
        store.run("DELETE FROM $attestation")  # the guard is back


def test_rows_about_heads_that_are_not_there_are_told_by_their_reasons(quick_url: str):
    cast, _ = sixteen(quick_url)
    recorder, origin, head = cast.recorder, cast.admin.origin, cast.new.trust.verify_head
    good, issuer = line(5, mth(recorder.leaf_hashes(0, 5)), origin), format_vkey(VKEYS[0])
    rows = [(5, "rfc3161", "a TSA", bytes(64)), (5, "cosignature", issuer, good)]
    rows += [(size, "cosignature", issuer, good) for size in (0, 17)]
    with raw(quick_url) as store:
        for number, row in enumerate(rows, 90):
            store.run("INSERT INTO $attestation VALUES (?, ?, ?, ?, ?, 0)", (number, *row))
    assert {(item.row.size, item.row.kind, item.why) for item in find_bad(recorder, head)} == {
        (0, "cosignature", "no head can be of size 0 here"), (17, "cosignature", "no head can be of size 17 here"),
        (5, "rfc3161", "no head of size 5 is in the store"),
    }  # fmt: skip
    assert len(drop_bad(recorder, head)) == 3
    assert [(item.size, item.kind) for item in recorder.attestations((-1, 0), 10)] == [(5, "cosignature")]


def test_nothing_is_removed_from_a_log_that_does_not_fit_its_heads(quick_url: str):
    """A cosignature may be the only thing left that tells of a rewrite."""
    cast, _ = sixteen(quick_url)
    cosign(cast.recorder, 12, 0)
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        del forger.rows[9]
        forger.write()
    before = cast.recorder.attestations((-1, 0), 10)
    with pytest.raises(VerificationError, match="another root at size 12"):
        drop_bad(cast.recorder, cast.new.trust.verify_head)
    assert cast.recorder.attestations((-1, 0), 10) == before


def test_only_the_owner_removes_rows(postgres_dsn: str, postgres_url: str):
    cast, _ = sixteen(postgres_url)
    cosign(cast.recorder, 12, 0)
    with role_with(cast.recorder, postgres_dsn, "writer") as options:
        recorder = open_recorder(postgres_url + options)
        with pytest.raises(StorageError, match="denies access"):
            recorder.drop_attestations([1])
        recorder.close()
    assert len(cast.recorder.attestations((-1, 0), 10)) == 1
