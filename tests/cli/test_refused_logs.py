"""A log that is not the one it should be, and nothing to check: exit codes 1 and 3, and the place of what is wrong."""

from __future__ import annotations

from pathlib import Path

from ledger.application import Ledger
from ledger.keys import Ed25519Signer
from ledger.recorders import open_recorder
from ledger.stored import LogIdentity
from tests.cli.refusing import EVENT, cut_tail, head_file, refused
from tests.cli.support import ORIGIN, Shop, digest, run, run_process
from tests.contract.support import raw


def test_a_checkpoint_of_another_ledger_is_not_authenticated(any_shop: Shop):
    Path("other").mkdir()
    run("init", "other", "--origin", "other.example", "--keys", "keys").good()
    Path("head.txt").write_bytes(run("--ledger", "other", "checkpoint", "show").good().stdout)
    refused(any_shop, 4, "verify", "log", "--expect", "head.txt")


def test_a_checkpoint_of_another_history_is_found(any_shop: Shop):
    """The operator signs one head for the auditor and shows another log afterwards."""
    from ledger.checkpoint import Checkpoint, sign_checkpoint
    from ledger.keystore import CHECKPOINT

    with any_shop.home.open_reader() as ledger:
        signer = any_shop.home.keystore(ledger.ledgerid).load(CHECKPOINT)
        ahead = any_shop.size() + 5
    Path("other.txt").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 2, bytes(32)), signer))
    Path("longer.txt").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, ahead, bytes(32)), signer))
    for name, words in (("other.txt", "is not the one"), ("longer.txt", "shrank")):
        found = run("verify", "log", "--expect", name, "-o", "json")
        assert found.code == 1
        assert [item["fault"] for item in found.json["findings"]] == ["anchor"]
        assert words in found.json["findings"][0]["message"]
    good = run("checkpoint", "show").good().stdout
    Path("good.txt").write_bytes(good)
    run(*EVENT).good()
    run("verify", "log", "--expect", "good.txt").good()
    assert run("verify", "log", "--expect", "good.txt", "--expect", "other.txt").code == 1


def test_a_changed_payload_is_found_with_its_place(any_shop: Shop):
    run(*EVENT, "-d", "name=alpha").good()
    run(*EVENT).good()
    with raw(any_shop.url) as store:
        store.unprotect()
        ((payload,),) = store.run("SELECT payload FROM $content WHERE position = 3")
        store.run("UPDATE $content SET payload = ? WHERE position = 3", (bytes(payload).replace(b"alpha", b"omega"),))
    found = run("verify", "log", "-o", "json")
    assert found.code == 1
    assert [(item["fault"], item["index"]) for item in found.json["findings"]] == [("payload", 2)]
    text = run("verify", "log")
    assert text.code == 1
    assert "payload at entry 2" in text.out
    event = run("verify", "event", "2", "-o", "json")
    assert (event.code, event.json["ok"]) == (1, False)
    assert run("verify", "event", "3").code == 0
    assert run_process("verify", "log", cwd=any_shop.folder).code == 1


def test_a_payload_that_is_no_longer_json_is_no_usage_error(any_shop: Shop):
    run(*EVENT).good()
    with raw(any_shop.url) as store:
        store.unprotect()
        store.run("UPDATE $content SET payload = ? WHERE position = 3", (b"nonsense",))
    for command in (("log", "-o", "json"), ("show", "2")):
        run(*command, "-o", "json").refused(1, "payload at entry 2", "verify log")
    with raw(any_shop.url) as store:
        store.run("UPDATE $content SET signatures = ? WHERE position = 3", (b"nonsense",))
    run("show", "2", "--envelope").refused(1, "at entry 2")
    assert run("verify", "log").code == 1
    assert run("report", "generate", "control-assessment", "-o", "json").json["void_entries"][0]["index"] == 2


def test_a_cut_tail_is_found_by_the_remembered_head_and_stops_every_writer(any_shop: Shop, isolated_environment: Path):
    for _ in range(3):
        run(*EVENT).good()
    cut_tail(any_shop, 3)
    refused(any_shop, 1, *EVENT, words=("the log shrank", "anchor", "muniment verify log"))
    refused(any_shop, 1, "incident", "open", "incident:x", "--title", "x", words=("shrank",))
    found = run("verify", "log", "-o", "json")
    assert (found.code, [(item["fault"], item["index"]) for item in found.json["findings"]]) == (1, [("anchor", 3)])
    run_process(*EVENT, cwd=any_shop.folder).refused(1)
    assert run("doctor").code == 1
    head_file(isolated_environment).unlink()
    anew = run("verify", "log", "-o", "json").good().json  # who remembers nothing cannot know
    assert (anew["anchored_size"], anew["unanchored_from"]) == (0, 0)


def test_a_forked_log_stops_every_writer(shop: Shop):
    run(*EVENT).good()
    kept = {path.name: path.read_bytes() for path in (shop.folder / ".muniment").glob("ledger.db*")}
    run(*EVENT, "-d", "name=seen").good()
    for path in (shop.folder / ".muniment").glob("ledger.db*"):
        path.unlink()
    for name, content in kept.items():
        (shop.folder / ".muniment" / name).write_bytes(content)
    away = (shop.folder / ".muniment" / "trust.json").rename("trust.away")  # the fork is written where nobody looks
    settings = shop.home.settings
    with Ledger.open(settings.url, actor=settings.actor, signers=[_signer(shop)]) as ledger:
        ledger.emit("dataset.registered", "dataset:tx", digest=digest("other"))
    away.rename(shop.folder / ".muniment" / "trust.json")
    refused(shop, 1, *EVENT, words=("not the one seen before",))
    assert run("verify", "log").code == 1


def _signer(shop: Shop) -> Ed25519Signer:
    from ledger.keystore import Keystore

    found = Keystore(shop.keys).load(str(shop.home.settings.actor))
    assert isinstance(found, Ed25519Signer)
    return found


def test_an_empty_log_is_nothing_to_check(empty: Path):
    recorder = open_recorder(f"sqlite:///{empty}/empty.db")
    recorder.create(LogIdentity("ab" * 16, ORIGIN))
    recorder.close()
    for command in (("verify", "log"), ("state",), ("report", "generate", "control-assessment")):
        run("--ledger", f"sqlite:///{empty}/empty.db", *command).refused(3)
    run_process("--ledger", f"sqlite:///{empty}/empty.db", "verify", "log", cwd=empty).refused(3)


def test_nothing_was_known_then_is_nothing_to_check(shop: Shop):
    refused(shop, 3, "state", "--known-at", "2000-01-01T00:00:00Z", words=("nothing was recorded",))
