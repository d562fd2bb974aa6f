"""Moving a ledger between stores: every byte arrives, and never do two stores take entries."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from eventsourcing.persistence import Tracking

from ledger import backup as backup_module
from ledger import transfer as transfer_module
from ledger.application import Ledger
from ledger.backup import backup_name, create_backup
from ledger.backupcheck import verify_backup
from ledger.checkpoint import verify_checkpoint
from ledger.errors import ConfigurationError, LedgerError, StorageError, VerificationError
from ledger.findings import Anchor
from ledger.keys import Ed25519Signer
from ledger.merkle import CompactRange
from ledger.proof import parse_proof
from ledger.recorders import open_recorder
from ledger.recorders.copying import copy_log
from ledger.recorders.sqlite_store import SqliteStore
from ledger.recorders.units import Unit
from ledger.stored import Transfer
from ledger.successor import Successor, sign_successor, verify_successor
from ledger.transfer import CopyPlan, LedgerCopy, Outside
from ledger.verify import verify_log
from tests.contract.support import Cast, fill, filler, life_of_a_model, make_cast, raw

KINDS = ("sqlite", "postgres")
DIRECTIONS = [(source, target) for source in KINDS for target in KINDS]
TABLES = ("entry", "content", "head", "tile", "checkpoint", "tracking", "signed_head", "attestation")
NewStore = Callable[[str], str]


def copy_of(cast: Cast, url: str) -> LedgerCopy:
    known = verify_checkpoint(cast.admin.checkpoint(), cast.new.trust.vkeys)
    return LedgerCopy(cast.admin, url, Outside(cast.new.trust, (Anchor("the test", known),)))


def everything(url: str) -> dict[str, list[tuple]]:
    with raw(url) as store:
        return {table: sorted(store.run(f"SELECT * FROM ${table}")) for table in TABLES}


def takes_entries(url: str, cast: Cast, name: str) -> bool:
    """Whether a store accepts an append of somebody who opens it now."""
    try:
        with Ledger.open(url, actor="p-author", signers=[cast.keys["p-author"]]) as ledger:
            ledger.emit("external.observed", f"external:{name}", system="s", content={})
    except ConfigurationError:
        return False
    return True


@pytest.fixture(params=DIRECTIONS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, new_store: NewStore) -> tuple[str, str]:
    source, target = request.param
    return new_store(source), new_store(target)


@pytest.fixture(params=[("sqlite", "postgres"), ("postgres", "sqlite")], ids="-to-".join)
def across(request: pytest.FixtureRequest, new_store: NewStore) -> tuple[str, str]:
    source, target = request.param
    return new_store(source), new_store(target)


def test_every_byte_arrives_and_only_the_target_goes_on(pair: tuple[str, str]):
    source, target = pair
    cast = make_cast(source)
    life_of_a_model(cast)
    for number in range(600):  # more than a page, and two full tiles
        cast["trainer"].emit("external.observed", f"external:n{number}", system="s", content={"n": number})
    cast.recorder.insert_tracking(Tracking("upstream", 7))
    for number in range(600):  # more than a page here too
        cast.recorder.add_attestation(2 + 10 * (number % 2), "published", "w", b"%d" % number)
    proof = cast.admin.prove_inclusion(5)
    moving = copy_of(cast, target)
    before = everything(source)
    assert moving.plan() == CopyPlan("copy", len(before["entry"]), 0)
    done = moving.run([cast.new.checkpoint])
    assert done == CopyPlan("copy", len(before["entry"]), 0)

    assert everything(source) == before, "the source keeps what it had"
    assert everything(target) == before
    with Ledger.open(target) as moved:
        found = verify_log(moved.recorder, cast.new.trust)
        assert found.ok
        assert found.signed_size == found.size == len(before["entry"])
        assert parse_proof(proof).hashes == parse_proof(moved.prove_inclusion(5)).hashes
        assert moved.entry_bytes(5) == cast.admin.entry_bytes(5)
    assert not takes_entries(source, cast, "source")
    assert takes_entries(target, cast, "target")
    assert copy_of(cast, target).run([cast.new.checkpoint]).step == "none", "again does nothing"


def test_a_sealed_store_takes_nothing_on_any_path(across: tuple[str, str]):
    source, target = across
    cast = make_cast(source)
    copy_of(cast, target).run([cast.new.checkpoint])
    head = cast.recorder.head()
    words = "has moved to"
    with pytest.raises(ConfigurationError, match=words) as caught:
        cast["p-author"].emit("external.observed", "external:x", system="s", content={})
    assert "--ledger URL" in caught.value.hint
    with pytest.raises(ConfigurationError, match=words):
        cast.recorder.append([Unit(tuple(filler(2)))])
    with pytest.raises(ConfigurationError, match=words):
        cast.recorder.insert_events([replace(filler(1, 9)[0], originator_version=1)])
    with raw(source) as store:
        for statement in (
            "UPDATE $head SET size = size + 1",
            "UPDATE $successor SET place = 'elsewhere'",
            "DELETE FROM $successor",
        ):
            with pytest.raises(Exception, match=r"has moved to|append-only"):
                store.run(statement)
    assert cast.recorder.head() == head
    # What was recorded is still answered, and still read.
    assert cast.recorder.rows(0, 1)[0].entry.index == 0
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_the_note_names_the_log_its_end_and_the_place_without_password(new_store: NewStore):
    cast = make_cast(new_store("sqlite"))
    copy_of(cast, new_store("sqlite")).run([cast.new.checkpoint])
    place, note = cast.recorder.successor() or ("", b"")
    found = verify_successor(note, cast.new.trust.vkeys)
    head = cast.recorder.head()
    assert (found.origin, found.ledgerid) == (cast.admin.origin, cast.admin.ledgerid)
    assert (found.size, found.root, found.place) == (head.size, head.root(), place)
    secret = LedgerCopy(cast.admin, "postgresql://user:secret@host/db?schema=s", Outside(None))
    assert "secret" not in secret.place


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_note_is_a_finding(kind: str, new_store: NewStore):
    cast = make_cast(new_store(kind))
    head = cast.recorder.head()
    good = Successor(cast.admin.origin, cast.admin.ledgerid, head.size, head.root(), "ab" * 16, "sqlite:///x.db")
    key = cast.new.checkpoint
    wrong = {
        "another size": (good.place, sign_successor(replace(good, size=head.size - 1), key)),
        "another root": (good.place, sign_successor(replace(good, root=hashlib.sha256(b"").digest()), key)),
        "another ledger": (good.place, sign_successor(replace(good, ledgerid="cd" * 16), key)),
        "another key": (good.place, sign_successor(good, Ed25519Signer.generate())),
        "another place": ("sqlite:///y.db", sign_successor(good, key)),
        "a checkpoint": (good.place, cast.admin.checkpoint()),
        "nothing": (good.place, b"\x00"),
    }
    with raw(cast.url) as store:
        store.unprotect()
        for name, row in wrong.items():
            store.run("DELETE FROM $successor")
            store.run("INSERT INTO $successor VALUES (1, ?, ?)", row)
            found = verify_log(cast.recorder, cast.new.trust)
            assert [finding.fault for finding in found.findings] == ["checkpoint"], name
        store.run("DELETE FROM $successor")
        store.run("INSERT INTO $successor VALUES (1, ?, ?)", (good.place, sign_successor(good, key)))
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_a_cut_copy_is_gone_on_with(across: tuple[str, str], monkeypatch: pytest.MonkeyPatch):
    source, target = across
    cast = make_cast(source)
    for number in range(1100):
        cast["trainer"].emit("external.observed", f"external:n{number}", system="s", content={})
    moving = copy_of(cast, target)
    pages = iter(range(10))

    def cut(done: int, total: int) -> None:
        if next(pages) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moving.run([cast.new.checkpoint], cut)
    moving.close()
    assert takes_entries(source, cast, "goes-on")
    assert not takes_entries(target, cast, "half")
    with pytest.raises(ConfigurationError, match="a copy in progress"):
        Ledger.open(target)
    again = copy_of(cast, target)
    assert again.plan() == CopyPlan("resume", cast.recorder.head().size, 1000)
    assert again.run([cast.new.checkpoint]).step == "resume"
    assert everything(source)["entry"] == everything(target)["entry"]
    assert (takes_entries(source, cast, "a"), takes_entries(target, cast, "b")) == (False, True)


def test_what_is_appended_during_the_copy_arrives(across: tuple[str, str], monkeypatch: pytest.MonkeyPatch):
    """Also what comes after the copy was verified, up to the moment the head is locked."""
    source, target = across
    cast = make_cast(source)
    check = transfer_module.check_closed

    def late(*arguments):
        checked = check(*arguments)
        for number in range(5):
            cast["trainer"].emit("external.observed", f"external:late{number}", system="s", content={})
        cast.admin.checkpoint()
        return checked

    monkeypatch.setattr(transfer_module, "check_closed", late)
    size = cast.recorder.head().size
    assert copy_of(cast, target).run([cast.new.checkpoint]).size == size + 5
    assert everything(source) == everything(target)


class Erasing:
    """A person about whom entries stand at the start of a log, whose erasure runs between two steps of a copy."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        cast.enrol("p-eraser", "person", ["eraser"])
        self.about = [cast["trainer"].emit("external.observed", "person:p-x", system="s") for _ in range(2)]
        self.erased: list[int] = []

    def erase(self) -> None:
        said = self.about.pop()
        entry = {"index": said.index, "leaf_hash": said.leaf_hash.hex(), "stream": said.stream, "scope": "whole"}
        body = {"subject": "person:p-x", "basis": "b", "reason": "r", "entries": [entry]}
        self.cast["p-eraser"].emit("subject.erased", f"ledger:{self.cast.new.trust.ledgerid}", body)
        assert self.cast.recorder.withhold([said.index]) == 1
        self.erased = sorted([*self.erased, said.index])


@pytest.mark.parametrize("moment", ["before the pages", "after the pages", "after the verification"])
def test_an_erasure_that_runs_meanwhile_is_in_the_copy(
    across: tuple[str, str], monkeypatch: pytest.MonkeyPatch, moment: str
):
    """What went before a page was read is excused by its record; what was copied already goes there too."""
    source, target = across
    cast = make_cast(source)
    erasing = Erasing(cast)
    step = "check_closed" if moment == "after the verification" else "copy_log"
    real, times = getattr(transfer_module, step), iter(range(100))

    def stepped(*arguments):
        first = next(times) == 0
        if first and moment == "before the pages":
            erasing.erase()
        done = real(*arguments)
        if first and moment != "before the pages":
            erasing.erase()
        return done

    monkeypatch.setattr(transfer_module, step, stepped)
    copy_of(cast, target).run([cast.new.checkpoint])
    assert everything(source) == everything(target)
    found = verify_log(open_recorder(target), cast.new.trust)
    assert (found.ok, [index for index, _ in found.withheld]) == (True, erasing.erased)


@pytest.mark.parametrize("first", [True, False])
def test_an_erasure_that_runs_meanwhile_is_in_the_backup(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
):
    cast = make_cast(store_url)
    erasing = Erasing(cast)

    def stepped(*arguments):
        if erasing.about and first:
            erasing.erase()
        copy_log(*arguments)
        if erasing.about:
            erasing.erase()

    monkeypatch.setattr(backup_module, "copy_log", stepped)
    path, manifest = create_backup(cast.recorder, tmp_path, Outside(cast.new.trust))
    assert manifest.size == cast.recorder.head().size
    assert path.name == backup_name(manifest.origin, manifest.size)
    found = verify_backup(path, Outside(cast.new.trust)).log
    assert (found.ok, [index for index, _ in found.withheld]) == (True, erasing.erased)
    assert [item.name for item in tmp_path.iterdir() if item.name.endswith(".part")] == []


def test_only_the_copy_that_the_note_names_is_opened(across: tuple[str, str], new_store: NewStore):
    """Two copies are both complete; the ledger moves to one, and the other can never be opened."""
    source, target = across
    cast = make_cast(source)
    other = new_store("sqlite")
    recorder = open_recorder(other)
    recorder.create(cast.recorder.identity(), Transfer("copy", "ef" * 16))
    copy_log(cast.recorder, recorder, cast.recorder.head())
    copy_of(cast, target).run([cast.new.checkpoint])
    with pytest.raises(ConfigurationError, match="has moved to"):
        copy_of(cast, other).run([cast.new.checkpoint])
    with pytest.raises(ConfigurationError, match="has moved to"):
        copy_of(cast, new_store("sqlite")).run([cast.new.checkpoint])
    assert not takes_entries(other, cast, "other")
    assert takes_entries(target, cast, "target")


def test_a_target_that_holds_something_is_refused(pair: tuple[str, str], new_store: NewStore):
    source, target = pair
    cast = make_cast(source)
    make_cast(target, actors=())
    before = everything(target)
    with pytest.raises(ConfigurationError, match="already holds something else"):
        copy_of(cast, target).run([cast.new.checkpoint])
    assert everything(target) == before
    foreign = new_store(target.partition(":")[0].replace("postgresql", "postgres"))
    recorder = open_recorder(foreign)
    recorder.create(replace(cast.recorder.identity(), ledgerid="ab" * 16), Transfer("copy", "cd" * 16))
    with pytest.raises(ConfigurationError, match="already holds something else"):
        copy_of(cast, foreign).plan()
    with pytest.raises(ConfigurationError, match="already holds something else"):
        copy_of(cast, source).plan()
    assert takes_entries(source, cast, "source")


def test_a_schema_of_somebody_else_is_refused(new_store: NewStore):
    cast, target = make_cast(new_store("sqlite")), new_store("postgres")
    with raw(target) as store:
        store.run(f"CREATE SCHEMA {target.rpartition('schema=')[2]}")
        with pytest.raises(ConfigurationError, match="already holds something else"):
            copy_of(cast, target).run([cast.new.checkpoint])
        assert store.run("SELECT 1 FROM pg_tables WHERE schemaname = ?", (target.rpartition("schema=")[2],)) == []


def test_without_the_checkpoint_key_nothing_begins(across: tuple[str, str]):
    source, target = across
    cast = make_cast(source)
    for keys in ([], [Ed25519Signer.generate()]):
        with pytest.raises(ConfigurationError, match="checkpoint key"):
            copy_of(cast, target).run(keys)
    assert not open_recorder(target).exists()


def test_a_damaged_source_is_not_handed_over(across: tuple[str, str]):
    source, target = across
    cast = make_cast(source)
    moving = copy_of(cast, target)
    with raw(source) as store:
        store.unprotect()
        store.run("UPDATE $content SET payload = ? WHERE position = 3", (b"{}",))
    with pytest.raises(VerificationError, match="the copy does not verify") as caught:
        moving.run([cast.new.checkpoint])
    assert (caught.value.fault, caught.value.index) == ("payload", 2)
    assert cast.recorder.successor() is None
    with pytest.raises(ConfigurationError, match="copy in progress"):
        Ledger.open(target)


@pytest.mark.parametrize("table", ["content", "checkpoint"])
def test_a_half_copy_that_lost_rows_is_not_opened(table: str, across: tuple[str, str], monkeypatch):
    source, target = across
    cast = make_cast(source, actors=())
    fill(cast.recorder, 300)

    def drop(*_: object) -> CompactRange:
        with raw(target) as store:
            store.unprotect()
            lost = {"content": "position = 7", "checkpoint": "size = 2"}[table]
            store.run(f"DELETE FROM ${table} WHERE {lost}")
        head = cast.recorder.head()
        return CompactRange.from_bytes(head.size, head.peaks)

    monkeypatch.setattr(transfer_module, "check_closed", drop)  # made-up events do not verify

    with pytest.raises(VerificationError, match="same rows"):
        copy_of(cast, target).run([cast.new.checkpoint])
    assert cast.recorder.successor() is None


def test_a_target_that_was_replaced_meanwhile_is_noticed(new_store: NewStore, tmp_path, monkeypatch):
    """Our connection would go on writing to a file that nobody can find any more."""
    cast = make_cast(new_store("postgres"))
    target = new_store("sqlite")
    check = transfer_module.check_closed

    def replaced(*arguments):
        checked = check(*arguments)
        for path in tmp_path.glob("store-*.db*"):
            path.unlink()
        return checked

    monkeypatch.setattr(transfer_module, "check_closed", replaced)
    with pytest.raises((StorageError, ConfigurationError)):
        copy_of(cast, target).run([cast.new.checkpoint])
    assert cast.recorder.successor() is None
    assert takes_entries(cast.url, cast, "source")


def test_a_moved_ledger_can_move_on_and_back(new_store: NewStore):
    urls = [new_store(kind) for kind in ("sqlite", "postgres", "sqlite")]
    cast = make_cast(urls[0])
    for old, new in pairwise(urls):
        with Ledger.open(old) as ledger:
            LedgerCopy(ledger, new, Outside(cast.new.trust)).run([cast.new.checkpoint])
        assert takes_entries(new, cast, "here")
    assert [takes_entries(url, cast, "there") for url in urls] == [False, False, True]
    with Ledger.open(urls[2]) as ledger:
        assert verify_log(ledger.recorder, cast.new.trust).ok


def test_the_last_head_is_signed_before_the_source_is_sealed(across: tuple[str, str]):
    """Whoever signs the source's head afterwards would otherwise vouch for a head that the target does not have."""
    source, target = across
    cast = make_cast(source)
    with Ledger.open(source) as unsigned:
        assert unsigned.recorder.last_checkpoint().size < unsigned.recorder.head().size
        LedgerCopy(unsigned, target, Outside(cast.new.trust)).run([cast.new.checkpoint])
    late = cast.admin.checkpoint()
    assert takes_entries(target, cast, "later")
    anchor = Anchor("a late signer", verify_checkpoint(late, cast.new.trust.vkeys))
    with Ledger.open(target) as ledger:
        assert verify_log(ledger.recorder, cast.new.trust, [anchor]).ok


def test_a_file_that_a_killed_copy_left_without_a_table_is_used(new_store: NewStore):
    cast = make_cast(new_store("postgres"))
    target = new_store("sqlite")
    SqliteStore(Path(target.removeprefix("sqlite:///"))).create_file()
    assert copy_of(cast, target).run([cast.new.checkpoint]).step == "copy"
    assert takes_entries(target, cast, "target")


def test_two_copies_at_once_do_no_harm(pair: tuple[str, str]):
    source, target = pair
    cast = make_cast(source)
    for number in range(700):
        cast["trainer"].emit("external.observed", f"external:n{number}", system="s", content={})
    cast.admin.checkpoint()
    outcomes: list[object] = []
    start = threading.Barrier(3)

    def work() -> None:
        with Ledger.open(source) as ledger:
            moving = LedgerCopy(ledger, target, Outside(cast.new.trust))
            start.wait()
            try:
                outcomes.append(moving.run([cast.new.checkpoint]).step)
            except LedgerError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert any(isinstance(outcome, str) for outcome in outcomes), outcomes
    for outcome in outcomes:
        assert isinstance(outcome, str | ConfigurationError | StorageError), outcome
    assert everything(target) == everything(source)
    assert (takes_entries(source, cast, "a"), takes_entries(target, cast, "b")) == (False, True)


def test_a_place_that_is_no_text_is_a_finding_and_still_stops_the_store(memory_path: Path, new_store: NewStore):
    """SQLite keeps any bytes in a column of text; whoever owns a sealed store can put some there."""
    url = f"sqlite:///{memory_path / 'sealed.db'}"
    cast = make_cast(url)
    with raw(url) as store:
        copy_of(cast, new_store("sqlite")).run([cast.new.checkpoint])
        store.run("DROP TRIGGER successor_no_update")
        store.run("UPDATE successor SET place = CAST(x'73ff6c' AS TEXT)")
        cast.recorder.close()
        assert [item.fault for item in verify_log(open_recorder(url), cast.new.trust).findings] == ["checkpoint"]
    with pytest.raises(LedgerError):
        Ledger.open(url, actor="p-admin", signers=[cast.new.admin_key]).emit("incident.noted", "incident:1", note="x")
