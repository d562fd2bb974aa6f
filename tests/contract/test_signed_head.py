"""Layout 3: the row of the last signed head, and what outsiders said about signed heads."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

import pytest
from psycopg import sql

from ledger.application import Ledger
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.checkpoints import sign_head
from ledger.errors import ConfigurationError, InputError, NothingToVerifyError, VerificationError
from ledger.merkle import EMPTY_ROOT
from ledger.migration import migrate
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.sql import SqlRecorder
from ledger.stored import NOTHING_SIGNED, Attestation, LogIdentity, SignedHead
from ledger.transfer import LedgerCopy, Outside
from ledger.verify import verify_log
from tests.contract.layout1 import make_layout_1
from tests.contract.support import ORIGIN, Cast, life_of_a_model, make_cast, raw
from tests.contract.tampering import Forger
from tests.contract.test_server_append import denied, role_with

NewStore = Callable[[str], str]


def signed(url: str) -> Cast:
    """A ledger of sixteen entries or so with three signed heads, the last of them the present one."""
    cast = make_cast(url)
    life_of_a_model(cast)
    cast.admin.checkpoint()
    return cast


def faults(cast: Cast) -> list[str]:
    return [finding.fault for finding in verify_log(cast.recorder, cast.new.trust).findings]


def sign(cast: Cast) -> bytes:
    return sign_head(cast.recorder, [cast.new.checkpoint], cast.admin.log_keys)


# -- the row of the last signed head ---------------------------------------------------------------


def test_the_row_follows_every_signed_head(quick_url: str):
    cast = make_cast(quick_url, actors=())
    head = cast.recorder.head()
    assert cast.recorder.signed_head() == SignedHead(2, head.root()), "the first one is signed when a ledger is made"
    cast.admin.emit("incident.opened", "incident:1", title="x")
    assert cast.recorder.signed_head() == SignedHead(2, head.root())
    cast.admin.checkpoint()
    head = cast.recorder.head()
    assert cast.recorder.signed_head() == SignedHead(3, head.root())
    assert faults(cast) == []


#: How the row and the signed heads can be made to differ, and whether the present head is signed already.
DAMAGES = {
    "the last head removed": "DELETE FROM $checkpoint WHERE size = (SELECT max(size) FROM $checkpoint)",
    "all heads but the first removed": "DELETE FROM $checkpoint WHERE size > 2",
    "all heads removed": "DELETE FROM $checkpoint",
    "the row removed": "DELETE FROM $signed_head",
    "the row put back": "UPDATE $signed_head SET size = 2",
    "the row with another root": "UPDATE $signed_head SET root = (SELECT leaf_hash FROM $entry WHERE position = 1)",
    "the row ahead": "UPDATE $signed_head SET size = size + 1",
}


@pytest.mark.parametrize("grown", [False, True])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_nothing_is_signed_when_signed_heads_were_removed_or_put_in(quick_url: str, damage: str, grown: bool):
    cast = signed(quick_url)
    if grown:
        cast["p-author"].emit("incident.opened", "incident:2", title="y")
    with raw(quick_url) as store:
        store.unprotect()
        store.run(damage)
        before = store.run("SELECT * FROM $checkpoint"), store.run("SELECT * FROM $signed_head")
        with pytest.raises(VerificationError, match="signed"):
            sign(cast)
        assert (store.run("SELECT * FROM $checkpoint"), store.run("SELECT * FROM $signed_head")) == before
    assert "checkpoint" in faults(cast)


#: What may be done to a store of which three entries are not under a signed head, the class and the place of the fault.
#: `:last` is the index of the last entry under the head; positions begin at 1.
BETWEEN: dict[str, tuple[str, str, int | None]] = {
    "an entry removed": ("DELETE FROM $entry WHERE position = :last + 2", "chain", 1),
    "the last one removed": ("DELETE FROM $entry WHERE position = :last + 4", "chain", 3),
    "a column": ("UPDATE $entry SET actor = 'p-other' WHERE position = :last + 3", "header", 2),
    "the leaf hash": ("UPDATE $entry SET leaf_hash = prev WHERE position = :last + 3", "header", 2),
    "the payload": ("UPDATE $content SET payload = signatures WHERE position = :last + 3", "payload", 2),
    "the peaks": ("UPDATE $head SET peaks = ?", "head", None),
    "an entry before": ("UPDATE $entry SET leaf_hash = prev WHERE position = :last + 1", "tree", None),
}


@pytest.mark.parametrize("damage", BETWEEN)
def test_nothing_is_signed_over_entries_that_do_not_fit(quick_url: str, damage: str):
    cast = signed(quick_url)
    last = cast.recorder.head().size - 1
    for number in range(3):
        cast["p-author"].emit("incident.opened", f"incident:{number + 7}", title="y")
    text, fault, place = BETWEEN[damage]
    with raw(quick_url) as store:
        store.unprotect()
        before = store.run("SELECT * FROM $checkpoint"), store.run("SELECT * FROM $signed_head")
        store.run(text.replace(":last", str(last)), (bytes(64),) if "?" in text else ())
        with pytest.raises(VerificationError) as caught:
            sign(cast)
        assert (caught.value.fault, caught.value.index) == (fault, None if place is None else last + place)
        assert (store.run("SELECT * FROM $checkpoint"), store.run("SELECT * FROM $signed_head")) == before


def test_nothing_is_signed_of_an_empty_log(new_store: NewStore):
    empty = open_recorder(new_store("sqlite"))
    empty.create(LogIdentity("ab" * 16, ORIGIN))
    with pytest.raises(NothingToVerifyError, match="the log is empty"):
        sign_head(empty, [], lambda: pytest.fail("no keys are needed"))
    empty.close()


@pytest.mark.parametrize("size", [1, 3])
def test_nothing_is_signed_where_all_signed_heads_are_gone(quick_url: str, size: int):
    """A ledger whose first head was not signed yet has the two entries it was made with, no less and no more."""
    cast = make_cast(quick_url, actors=())
    cast.admin.emit("incident.opened", "incident:1", title="x")
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $checkpoint")
        store.run("UPDATE $signed_head SET size = 0, root = ?", (EMPTY_ROOT,))
        forger = Forger(store)
        del forger.rows[size:]
        forger.write()
        assert cast.recorder.head().size == size
        with pytest.raises(VerificationError, match="the signed heads of this log are gone from the store"):
            sign(cast)


def test_a_smaller_or_forked_head_is_not_stored_though_the_heads_were_removed(quick_url: str):
    """Past `sign_head`, by whoever holds the checkpoint key and calls the store."""
    cast = signed(quick_url)
    row = cast.recorder.signed_head()
    assert row is not None
    with raw(quick_url) as store:
        store.unprotect()
        store.run("DELETE FROM $checkpoint WHERE size > 2")
    for head, previous in (
        (SignedHead(3, EMPTY_ROOT), SignedHead(2, EMPTY_ROOT)),
        (SignedHead(row.size, EMPTY_ROOT), SignedHead(2, EMPTY_ROOT)),
        (SignedHead(row.size, EMPTY_ROOT), row),
        (SignedHead(row.size + 1, EMPTY_ROOT), NOTHING_SIGNED),
    ):
        note = sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root), cast.new.checkpoint)
        assert not cast.recorder.add_checkpoint(head, note, previous)
    assert cast.recorder.signed_head() == row


def test_the_function_stores_no_head_about_something_else(postgres_url: str):
    cast = make_cast(postgres_url, actors=())
    cast.admin.emit("incident.opened", "incident:1", title="x")
    last = cast.recorder.signed_head()
    assert last is not None
    good = Checkpoint(ORIGIN, 3, cast.recorder.head().root())
    for other in (replace(good, size=2), replace(good, root=EMPTY_ROOT), replace(good, origin=f"{ORIGIN}2")):
        note = sign_checkpoint(other, cast.new.checkpoint)
        with pytest.raises(InputError, match="not about what it is stored for"):
            cast.recorder.add_checkpoint(SignedHead(3, good.root), note, last)
    assert cast.recorder.add_checkpoint(
        SignedHead(3, good.root), sign_checkpoint(good, cast.new.checkpoint), last
    )  # fmt: skip
    assert faults(cast) == []


def test_of_two_who_sign_at_once_one_wins(quick_url: str):
    cast = make_cast(quick_url, actors=())
    cast.admin.emit("incident.opened", "incident:1", title="x")
    last, head = cast.recorder.signed_head(), cast.recorder.head()
    assert last is not None
    note = sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root()), cast.new.checkpoint)
    won: list[bool] = []
    barrier = threading.Barrier(4)

    def attempt() -> None:
        recorder = open_recorder(quick_url)
        barrier.wait()
        won.append(recorder.add_checkpoint(SignedHead(head.size, head.root()), note, last))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == [False, False, False, True]


# -- what outsiders said ---------------------------------------------------------------------------


def said(recorder: SqlRecorder) -> list[Attestation]:
    return list(recorder.attestations((-1, 0), 100))


def test_what_outsiders_said_is_kept_once_and_in_order(quick_url: str):
    cast = signed(quick_url)
    last = cast.recorder.signed_head()
    assert last is not None
    add = cast.recorder.add_attestation
    body = bytes(range(256)) + hashlib.sha256(cast.recorder.checkpoints(last.size - 1, 1)[0].note).digest()
    assert add(last.size, "rfc3161", "TSA – 1", body)
    assert add(2, "published", "w", b"x")
    assert add(2, "published", "w", b"y"), "a witness may say it again later"
    assert not add(2, "published", "w", b"x")
    assert not add(last.size, "rfc3161", "TSA – 1", body)
    found = said(cast.recorder)
    assert [(a.number, a.size, a.kind, a.issuer, a.body) for a in found] == [
        (2, 2, "published", "w", b"x"),
        (3, 2, "published", "w", b"y"),
        (1, last.size, "rfc3161", "TSA – 1", body),
    ]
    assert all(a.recorded_at >= cast.recorder.head().recorded_at for a in found)
    assert cast.recorder.attestations((-1, 0), 1) == found[:1]
    assert cast.recorder.attestations((2, 2), 10) == found[1:]
    assert cast.recorder.attestations_before((2**62, 0), 10) == found[::-1]
    assert cast.recorder.attestations_before((2, 3), 10) == found[:1]
    assert faults(cast) == []


@pytest.mark.parametrize(
    ("size", "kind", "issuer", "body"),
    [
        (3, "published", "w", b"x"),
        (0, "published", "w", b"x"),
        (2**40, "published", "w", b"x"),
        (2, "opinion", "w", b"x"),
        (2, "cosignature", "", b"x"),
        (2, "published", "w" * 4097, b"x"),
        (2, "published", "w", b""),
        (2, "published", "w", bytes(65_537)),
        (2, "rfc3161", "w", b"over another head"),
    ],
)
def test_what_is_about_no_signed_head_or_out_of_bounds_is_not_kept(
    quick_url: str, size: int, kind: str, issuer: str, body: bytes
):
    cast = signed(quick_url)
    with pytest.raises(InputError):
        cast.recorder.add_attestation(size, kind, issuer, body)
    if isinstance(cast.recorder, PostgresRecorder):  # the function by itself, whoever calls it
        with pytest.raises(InputError):
            cast.recorder.store.persist(
                lambda: cast.recorder.ask("SELECT $add_attestation(?, ?, ?, ?)", (size, kind, issuer, body))
            )
    assert said(cast.recorder) == []


def test_many_say_the_same_at_once_and_it_is_kept_once(quick_url: str):
    make_cast(quick_url, actors=())
    barrier, kept = threading.Barrier(4), list[bool]()

    def attempt(number: int) -> None:
        recorder = open_recorder(quick_url)
        barrier.wait()
        kept.append(recorder.add_attestation(2, "published", "w", b"the same"))
        recorder.add_attestation(2, "published", "w", b"own %d" % number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(kept) == [False, False, False, True]
    found = said(open_recorder(quick_url))
    assert sorted(a.number for a in found) == [1, 2, 3, 4, 5]
    assert len({a.body for a in found}) == 5


def test_a_sealed_store_keeps_nothing_more(quick_url: str, new_store: NewStore):
    cast = signed(quick_url)
    LedgerCopy(cast.admin, new_store("sqlite"), Outside(cast.new.trust)).run([cast.new.checkpoint])
    with pytest.raises(ConfigurationError, match="has moved to"):
        cast.recorder.add_attestation(2, "published", "w", b"x")


def test_where_functions_are_forbidden_the_same_is_kept(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PostgresRecorder, "has_functions", False)
    cast = signed(postgres_url)
    assert cast.recorder.add_attestation(2, "published", "w", b"x")
    assert not cast.recorder.add_attestation(2, "published", "w", b"x")
    assert [a.body for a in said(cast.recorder)] == [b"x"]
    assert faults(cast) == []


# -- rights and migration --------------------------------------------------------------------------


def test_a_writer_stores_what_outsiders_said_and_a_reader_reads_it(postgres_dsn: str, postgres_url: str):
    cast = signed(postgres_url)
    with role_with(cast.recorder, postgres_dsn, "writer") as options:
        writer = open_recorder(postgres_url + options)
        assert writer.add_attestation(2, "published", "w", b"x")
        for statement in (
            "INSERT INTO $attestation VALUES (9, 2, 'cosignature', 'w', 'x', 0)",
            "UPDATE $signed_head SET size = size + 1",
            "DELETE FROM $attestation",
        ):
            denied(writer, statement)
        writer.close()
    with role_with(cast.recorder, postgres_dsn, "reader") as options:
        reader = open_recorder(postgres_url + options)
        assert [a.body for a in said(reader)] == [b"x"]
        assert reader.signed_head() == cast.recorder.signed_head()
        denied(reader, "SELECT $add_attestation(2, 'published', 'w', 'y')")
        reader.close()


def test_roles_keep_their_access_when_a_store_is_migrated(postgres_dsn: str, new_store: NewStore):
    cast = signed(new_store("sqlite"))
    old = new_store("postgres")
    make_layout_1(old, cast.url, 2)
    owner = open_recorder(old)
    with role_with(owner, postgres_dsn, None) as writing, role_with(owner, postgres_dsn, None) as reading:
        with raw(old) as store:
            for options, functions in ((writing, True), (reading, False)):
                role = sql.Identifier(unquote(options.partition("role%3D")[2]).replace("\\ ", " ")).as_string()
                schema = old.rpartition("schema=")[2]
                store.run(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
                store.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
                if functions:
                    store.run(f"GRANT EXECUTE ON FUNCTION $append, $add_checkpoint TO {role}")
        migrate(old)
        recorder = open_recorder(old + writing)
        key = cast.keys["p-author"]
        with Ledger(recorder, actor="p-author", signers=[key], checkpoint_signer=cast.new.checkpoint) as ledger:
            ledger.emit("incident.opened", "incident:9", title="z")
            ledger.checkpoint()
            assert recorder.add_attestation(2, "published", "w", b"x")
        reader = open_recorder(old + reading)
        assert verify_log(reader, cast.new.trust).ok
        assert [a.body for a in said(reader)] == [b"x"]
        denied(reader, "SELECT $add_attestation(2, 'published', 'w', 'y')")
        reader.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_migrated_store_goes_on_from_its_last_signed_head(kind: str, new_store: NewStore):
    cast = signed(new_store("sqlite"))
    old = new_store(kind)
    make_layout_1(old, cast.url, 2)
    migrate(old)
    recorder = open_recorder(old)
    assert recorder.signed_head() == cast.recorder.signed_head()
    assert verify_log(recorder, cast.new.trust).ok


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_whose_last_head_cannot_be_read_is_not_migrated(kind: str, new_store: NewStore):
    cast = signed(new_store("sqlite"))
    old = new_store(kind)
    make_layout_1(old, cast.url, 2)
    with raw(old) as store:
        store.unprotect("checkpoint")
        store.run("UPDATE $checkpoint SET note = ?", (b"no note",))
    with pytest.raises(VerificationError, match="cannot be read"):
        migrate(old)
    with raw(old) as store:
        assert store.run("SELECT format FROM $log") == [(2,)]


def test_the_first_row_is_the_empty_tree(quick_url: str):
    recorder = open_recorder(quick_url)
    recorder.create(LogIdentity("ab" * 16, ORIGIN))
    assert recorder.signed_head() == NOTHING_SIGNED == SignedHead(0, EMPTY_ROOT)
    assert base64.b64encode(EMPTY_ROOT) == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
