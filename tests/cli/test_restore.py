"""An old copy put back is recognised; going on from it takes the root key, and who knew more must accept it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from ledger.errors import InputError, LedgerError, NotAllowedError
from ledger.keystore import Keystore
from tests.cli.support import Shop, run, run_process
from tests.contract.support import TABLES, raw

EVENT = ("emit", "dataset.registered", "dataset:late", "-d", f"digest=sha256:{'a' * 64}")
REASON = ("--reason", "the disk was lost")


def _keep(shop: Shop, place: Path) -> Callable[[], None]:
    """Copy the store as it is now; the answer puts it back, as a file system's snapshot or an older dump would."""
    if shop.sqlite:
        file = shop.folder / ".muniment" / "ledger.db"
        with raw(shop.url) as store:
            store.run("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(file, place)

        def put_back() -> None:
            for old in file.parent.glob("ledger.db*"):
                old.unlink()
            shutil.copy(place, file)

        return put_back
    with raw(shop.url) as store:
        for table in TABLES:
            store.run(f"DROP TABLE IF EXISTS $dump_{table}")
            store.run(f"CREATE TABLE $dump_{table} AS SELECT * FROM ${table}")

    def load() -> None:
        with raw(shop.url) as store:
            for table in TABLES:
                store.run(f"ALTER TABLE ${table} DISABLE TRIGGER USER")
                store.run(f"DELETE FROM ${table}")
                store.run(f"INSERT INTO ${table} SELECT * FROM $dump_{table}")
                store.run(f"ALTER TABLE ${table} ENABLE TRIGGER USER")

    return load


def _numbers(shop: Shop) -> set[tuple[str, int]]:
    with raw(shop.url) as store:
        return {(emitter, sequence) for emitter, sequence in store.run("SELECT emitter, sequence FROM $entry")}


def _machine(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """From here on, another machine's memory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(place))


def test_going_on_from_an_old_copy_takes_the_root_key(any_shop: Shop, tmp_path: Path):
    put_back = _keep(any_shop, tmp_path / "old")
    size = any_shop.size()
    run(*EVENT).good()
    run(*EVENT).good()
    lost = _numbers(any_shop)
    put_back()
    lost -= _numbers(any_shop)
    run(*EVENT).refused(1, "shrank", "evidence")
    run("admin", "restore-accept").refused(1, "have not said that it was restored", "admin restored")

    done = run("admin", "restored", *REASON, "-o", "json").good()
    assert done.json | {"evidence": ""} == {
        "index": size, "size": size, "lost_from": size, "lost_to": size + 2, "reason": "the disk was lost",
        "remembered": size + 2, "evidence": "",
    }  # fmt: skip
    assert "restore-accept" in done.err
    assert Path(done.json["evidence"]).is_file()
    assert run("verify", "evidence", done.json["evidence"]).code in (0, 1, 3)

    run(*EVENT).good()
    assert not _numbers(any_shop) & lost, "an emitter's number stands for something else now"
    for options in ((), ("--all",)):
        text = run("verify", "log", *options).good().out
        assert f"RESTORED to {size} entries, the root keys say at entry {size}: the disk was lost" in text
    assert [item["lost_to"] for item in run("verify", "log", "-o", "json").good().json["restores"]] == [size + 2]
    run("admin", "restored", *REASON).refused(8, "no old copy")


def test_a_restored_backup_leads_to_the_same(any_shop: Shop, tmp_path: Path):
    run("backup", "create", tmp_path / "x.backup").good()
    run(*EVENT).good()
    any_shop.lose_store()
    assert "admin restored" in run("backup", "restore", tmp_path / "x.backup", "--older").good().err
    run(*EVENT).refused(1, "shrank")
    run("admin", "restored", *REASON).good()
    run(*EVENT).good()
    run("verify", "log").good()


def test_another_machine_sees_the_fork_and_accepts_it_knowingly(
    any_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    operator, auditor = tmp_path / "operator", tmp_path / "auditor"
    _machine(monkeypatch, operator)
    put_back = _keep(any_shop, tmp_path / "old")
    run(*EVENT).good()
    run("verify", "log").good()
    _machine(monkeypatch, auditor)
    run("verify", "log").good()
    known = any_shop.size()

    put_back()
    _machine(monkeypatch, operator)
    run("admin", "restored", *REASON).good()
    run(*EVENT).good()
    run(*EVENT).good()
    assert any_shop.size() > known

    _machine(monkeypatch, auditor)
    found = run("verify", "log")
    assert found.code == 1
    assert "anchor" in found.out
    refused = run(*EVENT).refused(1, "the root keys say at entry", "restore-accept")
    assert f"entries {known - 1} to {known - 1} are lost" in refused.err
    done = run("admin", "restore-accept", "-o", "json").good()
    verdict = run("verify", "evidence", done.json["evidence"])
    assert verdict.code == 0, "both heads are signed, so the fork is proven to anybody"
    assert run("verify", "log").good().out.count("RESTORED") == 1
    run(*EVENT).good()
    # Killed between the two files it writes, it is run again.
    run("admin", "restore-accept").good()


def test_a_restore_explains_only_what_was_lost_then(any_shop: Shop, tmp_path: Path):
    put_back = _keep(any_shop, tmp_path / "old")
    run(*EVENT).good()
    put_back()
    run("admin", "restored", *REASON).good()
    later = _keep(any_shop, tmp_path / "later")
    run(*EVENT).good()
    later()
    run(*EVENT).refused(1, "shrank", "evidence")
    run("admin", "restore-accept").refused(1, "have not said")
    run("admin", "restored", "--reason", "again").good()
    assert run("verify", "log").good().out.count("RESTORED") == 2


def test_who_has_seen_more_than_the_operator_says_so(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_back = _keep(shop, tmp_path / "old")
    operator, auditor = tmp_path / "operator", tmp_path / "auditor"
    _machine(monkeypatch, operator)
    run(*EVENT).good()
    run("verify", "log").good()
    _machine(monkeypatch, auditor)
    run(*EVENT).good()
    run("verify", "log").good()
    put_back()
    _machine(monkeypatch, operator)
    run("admin", "restored", *REASON).good()
    _machine(monkeypatch, auditor)
    run("admin", "restore-accept").refused(1, "more is lost than they knew", "--beyond")
    run("admin", "restore-accept", "--beyond").good()
    run("verify", "log").good()


def test_nobody_but_the_roots_and_no_false_word(any_shop: Shop):
    with any_shop.home.open_reader() as ledger:
        head, ledgerid = ledger.recorder.head(), ledger.ledgerid
    known = {"size": head.size + 5, "root": "ab" * 32, "note": "cd" * 32}
    good = {"size": head.size, "root": head.root().hex(), "known": known, "lost_from": head.size,
            "lost_to": head.size + 5, "reason": "x"}  # fmt: skip
    with any_shop.home.open() as ledger, pytest.raises(NotAllowedError, match="root keys"):
        ledger.emit("ledger.restored", f"ledger:{ledgerid}", good)
    with any_shop.home.open("root") as ledger:
        for wrong in (
            {"root": "00" * 32}, {"size": head.size + 1}, {"lost_from": head.size + 1}, {"lost_to": head.size + 4},
            {"known": {**known, "size": 1}, "lost_to": 1},
        ):  # fmt: skip
            with pytest.raises(InputError):
                ledger.emit("ledger.restored", f"ledger:{ledgerid}", {**good, **wrong})
    assert any_shop.size() == head.size
    run("admin", "restored", *REASON).refused(8, "no old copy")
    run("admin", "restore-accept").refused(3, "extends the head")


@pytest.mark.parametrize("point", [name for name in CRASHPOINTS if name.startswith("restore.")])
def test_killed_anywhere_it_is_run_again(shop: Shop, tmp_path: Path, point: str):
    put_back = _keep(shop, tmp_path / "old")
    run(*EVENT).good()
    put_back()
    killed = run_process("admin", "restored", *REASON, cwd=shop.folder, MUNIMENT_CRASHPOINT=point)
    assert killed.code == -9, killed.err
    run("admin", "restored", *REASON).good()
    run(*EVENT).good()
    assert run("verify", "log").good().out.count("RESTORED") == 1, "it was said once"


def test_others_may_write_meanwhile(any_shop: Shop, tmp_path: Path):
    put_back = _keep(any_shop, tmp_path / "old")
    run(*EVENT).good()
    put_back()
    stop, failed = threading.Event(), list[LedgerError]()
    signer = Keystore(any_shop.keys).load(str(any_shop.home.settings.actor))

    def write() -> None:  # it remembers nothing, so it goes on as if nothing had happened
        with Ledger.open(any_shop.url, actor=any_shop.home.settings.actor, signers=[signer]) as ledger:
            while not stop.is_set():
                try:
                    ledger.emit("dataset.registered", "dataset:other", digest="sha256:" + "b" * 64)
                except LedgerError as error:
                    failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run("admin", "restored", *REASON).good()
    finally:
        stop.set()
        writer.join()
    assert failed == []
    run(*EVENT).good()
    assert "RESTORED" in run("verify", "log").good().out


def test_several_root_keys_say_it_through_a_ceremony_file(any_shop: Shop, tmp_path: Path):
    for name in ("alice", "bob"):
        run("root", "new-key", f"{name}.pem").good()
    keys = ("--root", "alice.pem.pub", "--root", "bob.pem.pub")
    run("root", "propose", "roots", *keys, "--threshold", 2, "--reason", "two persons").good()
    old = next(Path(any_shop.keys).glob("root.*.pem"))
    for key in (old, "alice.pem", "bob.pem"):
        run("root", "sign", "proposal.ceremony", "--key", key, "--yes").good()
    run("root", "submit", "proposal.ceremony").good()

    put_back = _keep(any_shop, tmp_path / "old")
    size = any_shop.size()
    early = ("root", "propose", "restored", *REASON, "--out", "early.ceremony")
    run(*early).refused(8, "no old copy")
    run(*EVENT).good()
    put_back()
    run(*early).good()
    run("admin", "restored", *REASON).refused(8, "2 root keys must sign", "root propose restored")
    run("root", "sign", "early.ceremony", "--key", "alice.pem", "--yes").good()
    run("root", "submit", "early.ceremony").refused(4, "2 root keys must sign and 1 did")
    assert any_shop.size() == size
    run("root", "sign", "early.ceremony", "--key", "bob.pem", "--yes").good()
    done = run("root", "submit", "early.ceremony", "-o", "json").good()
    assert done.json["index"] == size
    assert "both heads are kept" in done.err
    assert run("root", "submit", "early.ceremony", "-o", "json").good().json["existing"] is True
    run(*EVENT).good()
    assert f"RESTORED to {size} entries" in run("verify", "log").good().out


def test_no_root_key_signs_on_the_word_of_a_store_that_shrank(shop: Shop, tmp_path: Path):
    """The root keys that a proposal names are compared with the log; an old copy may have one that was removed."""
    put_back = _keep(shop, tmp_path / "old")
    run(*EVENT).good()
    run("root", "propose", "event", "actor.revoked", "actor:p-x", "-d", "reason=x").good()
    put_back()
    data = Path("proposal.ceremony").read_bytes()
    key = next(Path(shop.keys).glob("root.*.pem"))
    run("root", "sign", "proposal.ceremony", "--key", key, "--yes").refused(1, "shrank")
    assert Path("proposal.ceremony").read_bytes() == data
