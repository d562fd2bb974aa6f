"""Whatever is wrong: the exit code of its class, why and what to do next on stderr, and the log is as it was."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.keys import Ed25519Signer
from ledger.recorders import open_recorder
from ledger.stored import LogIdentity
from tests.cli.support import DIGEST, ORIGIN, Result, Shop, digest, run, run_process
from tests.contract.support import raw

EVENT = ("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}")
UUID = "01a207ab-59b2-77d6-b7de-8a557980374b"


@contextmanager
def unchanged(shop: Shop) -> Iterator[None]:
    """The log afterwards is the log before, to the last column."""
    before = shop.fingerprint()
    yield
    assert shop.fingerprint() == before


def refused(shop: Shop, code: int, *arguments: object, words: tuple[str, ...] = (), stdin: bytes = b"") -> Result:
    with unchanged(shop):
        return run(*arguments, stdin=stdin).refused(code, *words)


def refused_decision(shop: Shop, code: int, *arguments: object, words: tuple[str, ...]) -> None:
    """Refused, and nothing but that is recorded, once for the same one."""
    size = shop.size()
    for _ in range(2):
        run(*arguments).refused(code, *words)
    found = run("log", "-o", "json").good().json[size:]
    assert [entry["entry"]["type"] for entry in found] == ["muniment.decision.refused.v1"]
    assert found[0]["event"]["data"]["reason"] in run(*arguments).err


# -- 2: usage and malformed input ----------------------------------------------------------------------------------

USAGE = {
    "no such command": (("stat",), "Did you mean state"),
    "no such option": (("log", "--nonsense"), "nonsense"),
    "no type": (("emit",), "TYPE or SUBJECT"),
    "no subject": (("emit", "dataset.registered"), "TYPE or SUBJECT"),
    "unknown type": (("emit", "dataset.registred", "dataset:tx"), "Did you mean dataset.registered"),
    "bad name": (("emit", "dataset.registered", "dataset:t x", "-d", f"digest={DIGEST}"), "not a name"),
    "long name": (("emit", "dataset.registered", "dataset:" + "x" * 200, "-d", f"digest={DIGEST}"), "longer than 200"),
    "other kind": (("emit", "dataset.registered", "model:tx", "-d", f"digest={DIGEST}"), "about dataset"),
    "needs a version": (("emit", "version.registered", "model:tx", "-d", f"digest={DIGEST}"), "version"),
    "no pair": ((*EVENT, "-d", "name"), "key=value"),
    "no key": ((*EVENT, "-d", ".a=1"), "no key"),
    "twice": ((*EVENT, "-d", "name=a", "-d", "name=b"), "twice"),
    "a part inside a value": ((*EVENT, "-d", "name=a", "-d", "name.b=c"), "inside a value"),
    "not UTF-8": ((*EVENT, "-d", "name=\udcff"), "UTF-8"),
    "not UTF-8 in quotes": ((*EVENT, "-d", 'name="\udcff'), "UTF-8"),
    "missing field": (("emit", "dataset.registered", "dataset:tx"), "digest"),
    "bad digest": (("emit", "dataset.registered", "dataset:tx", "-d", "digest=md5:00"), "digest"),
    "NaN": ((*EVENT, "-d", "profile.a.mean=NaN"), "profile.a.mean"),
    "a number beyond 2^53": ((*EVENT, "-d", "row_count=9007199254740993"), "2^53"),
    "negative rows": ((*EVENT, "-d", "row_count=-1"), "row_count"),
    "no zone": ((*EVENT, "--at", "2026-11-01T00:00:00"), "time zone"),
    "no time": ((*EVENT, "--at", "yesterday"), "not a time"),
    "before 1970": ((*EVENT, "--at", "1960-01-01T00:00:00Z"), "1970"),
    "no uuid": ((*EVENT, "--id", "job-17"), "UUID"),
    "strength": ((*EVENT, "--strength", "certain"), "certain"),
    "unknown field of a decision": (("emit", "approval.requested", "model:tx@1", "-d", "surprise=1"), "surprise"),
    "no file": ((*EVENT, "-d", "@nowhere.json"), "cannot be read"),
    "envelope and more": (("emit", "dataset.registered", "--envelope", "-"), "nothing else"),
    "expectation without a number": ((*EVENT, "--expect", "dataset:tx=²"), "STREAM=REVISION"),
    "expectation without a stream": ((*EVENT, "--expect", "=3"), "STREAM=REVISION"),
    "no event": (("show", "99"), "there is no event 99"),
    "no event, far out": (("show", "9" * 30), "there is no event"),
    "no event to verify": (("verify", "event", "9" * 30), "there is no event"),
    "no id": (("show", UUID), "there is no event"),
    "no proof": (("proof", "inclusion", "9" * 30), "no entry"),
    "negative proof": (("proof", "inclusion", "--", "-1"), "-1"),
    "consistency backwards": (("proof", "consistency", "2", "1"), "OLD <= NEW"),
    "consistency far out": (("proof", "consistency", "1", "9" * 30), "OLD <= NEW"),
    "unknown model": (("state", "model:nobody"), "nothing was known"),
    "known at nothing": (("state", "--known-at", "0"), "entries"),
    "known at more": (("state", "--known-at", "9" * 30), "entries"),
    "at no time": (("state", "--at", "noon"), "not a time"),
    "unknown incident": (("timeline", "incident:nobody"), "was not opened"),
    "not a number of hours": (("timeline", "incident:x", "--before", "nan"), "hours"),
    "endless hours": (("timeline", "incident:x", "--after", "inf"), "range"),
    "unknown report": (("report", "generate", "compliance"), "control-assessment"),
    "unknown view": (("projection", "rebuild", "nobody"), "journal"),
    "unknown format": (("log", "-o", "xml"), "xml"),
    "no origin": (("init",), "--origin"),
    "bad origin": (("init", "--origin", "a b", "elsewhere"), "a b"),
    "unknown role": (("actor", "enrol", "p-x", "--kind", "person", "--role", "king"), "king"),
    "no name for a service": (("actor", "enrol", "--kind", "service", "--role", "emitter"), "readable name"),
    "nobody answers for a service": (("actor", "enrol", "ci", "--kind", "service", "--role", "emitter"), "responsible"),
    "no key meant": (("key", "revoke", "", "--reason", "x"), "too short"),
    "no such key": (("key", "revoke", "0" * 12, "--reason", "x"), "names 0 keys"),
    "two digests": (("record", "dataset", "dataset:tx", "--digest", DIGEST, "--file", "body.json"), "not both"),
    "no digest": (("record", "dataset", "dataset:tx"), "--digest or --file"),
    "not a pair": (("record", "evaluation", "model:tx@1", "--metric", "auc"), "NAME=NUMBER"),
    "not a number": (("record", "evaluation", "model:tx@1", "--metric", "auc=good"), "auc"),
    "a signal of nothing": (("record", "signal", "monitor:x", "--metric", "auc", "--value", "nan"), "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_usage_and_malformed_input_end_with_2(shop: Shop, case: str):
    Path("body.json").write_text("{}")
    Path("elsewhere").mkdir()
    arguments, word = USAGE[case]
    refused(shop, 2, *arguments, words=(word,))
    assert not Path("elsewhere", ".muniment").exists()


BODIES = {
    "not JSON": (b"{", "JSON"),
    "trailing": (b'{"digest":"x"} {}', "JSON"),
    "twice the same name": (b'{"digest":"a","digest":"b"}', "digest"),
    "NaN": (b'{"digest":"a","profile":{"a":{"mean":NaN}}}', "NaN"),
    "a lone surrogate": (b'{"digest":"\\ud800"}', "surrogate"),
    "not UTF-8": (b'{"digest":"\xff"}', "UTF-8"),
    "an array": (b"[1]", "object"),
    "too deep": (b'{"config":' + b"[" * 40 + b"]" * 40 + b"}", "deep"),
    "an integer too large": (b'{"row_count":9007199254740993}', "2^53"),
    "nothing": (b"", "empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_malformed_body_ends_with_2(any_shop: Shop, case: str):
    body, word = BODIES[case]
    result = refused(any_shop, 2, "emit", "dataset.registered", "dataset:tx", "-d", "@-", stdin=body)
    assert word.lower() in result.err.lower()


def test_a_body_that_is_too_large_ends_with_2(any_shop: Shop):
    large = json.dumps({"digest": DIGEST, "notes": ["x" * 4000] * 20}).encode()
    refused(
        any_shop, 2, "emit", "dataset.registered", "dataset:tx", "-d", "@-", stdin=large, words=("65,536", "digest")
    )
    refused(any_shop, 2, "emit", "--envelope", "-", stdin=b"{" + b" " * 100_000 + b"}")


@pytest.mark.parametrize("envelope", [b"", b"{}", b"[]", b'{"payload":"","payloadType":"x","signatures":[]}'])
def test_a_malformed_envelope_ends_with_2(any_shop: Shop, envelope: bytes):
    refused(any_shop, 2, "emit", "--envelope", "-", stdin=envelope)


# -- 4: not authenticated, not allowed -----------------------------------------------------------------------------


def test_who_is_not_enrolled_ends_with_4(any_shop: Shop):
    home = any_shop.home
    with home.open_reader() as ledger:
        home.keystore(ledger.ledgerid).save("p-stranger", Ed25519Signer.generate())
    refused(any_shop, 4, *EVENT, "--as", "p-stranger", words=("not enrolled", "actor enrol"))


def test_an_unknown_key_ends_with_4(any_shop: Shop):
    actor = any_shop.home.settings.actor
    with any_shop.home.open_reader() as ledger:
        keys = any_shop.home.keystore(ledger.ledgerid)
        (enrolled,) = [key.path for key in keys.list() if key.owner == actor]
        keys.save(str(actor), Ed25519Signer.generate())
    run(*EVENT).good()  # a newer key that is not enrolled yet does not hide the one that is
    enrolled.unlink()
    refused(any_shop, 4, *EVENT, words=("is not enrolled for", "key list"))


def test_an_event_of_another_ledger_ends_with_4(any_shop: Shop):
    Path("other").mkdir()
    run("init", "other", "--origin", "other.example", "--keys", "keys").good()
    run("--ledger", "other", *EVENT).good()
    envelope = run("--ledger", "other", "show", 2, "--envelope").good().stdout
    refused(any_shop, 4, "emit", "--envelope", "-", stdin=envelope, words=("belongs to the ledger",))


def test_a_signature_that_does_not_fit_ends_with_4(any_shop: Shop):
    run(*EVENT, "-d", "name=alpha").good()
    envelope = json.loads(run("show", 2, "--envelope").good().stdout)
    payload = base64.b64decode(envelope["payload"]).replace(b"alpha", b"omega")
    envelope["payload"] = base64.b64encode(payload).decode()
    forged = json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()
    refused(any_shop, 4, "emit", "--envelope", "-", stdin=forged, words=("signature",))


def test_a_role_that_is_missing_ends_with_4(any_shop: Shop):
    any_shop.enrol("p-reader", "auditor")
    refused(any_shop, 4, *EVENT, "--as", "p-reader", words=("needs the role emitter",))


def test_approving_ones_own_request_ends_with_4(any_shop: Shop):
    any_shop.people()
    any_shop.version(signer="p-author")
    run("request", "model:tx@1", "--env", "prod", "--as", "p-author").good()
    own = ("approve", "model:tx@1", "--rationale", "mine", "--as", "p-author")
    refused_decision(any_shop, 4, *own, words=("another person", "approver"))
    run_process(*own, cwd=any_shop.folder).refused(4)


@pytest.mark.parametrize("name", ["../p-x", "p x", "P-X", "", "root", "x" * 65])
def test_an_actor_of_no_good_name_ends_with_2_and_leaves_no_key(shop: Shop, name: str):
    before = sorted(path for path in shop.folder.rglob("*.pem"))
    refused(shop, 2, "actor", "enrol", name, "--kind", "person", "--role", "emitter")
    if name != "root":
        refused(shop, 2, "key", "enrol", name)
    assert sorted(path for path in shop.folder.rglob("*.pem")) == before


def test_enrolling_an_admin_without_the_root_key_ends_with_4(any_shop: Shop):
    before = sorted(path.name for path in any_shop.keys.iterdir())
    refused(any_shop, 4, "actor", "enrol", "p-two", "--kind", "person", "--role", "admin", words=("--as root",))
    assert sorted(path.name for path in any_shop.keys.iterdir()) == before, "the key of nobody was left behind"
    run("actor", "enrol", "p-two", "--kind", "person", "--role", "admin", "--as", "root").good()


# -- 1: refused by the rules ---------------------------------------------------------------------------------------


def test_authorising_what_nobody_approved_ends_with_1(any_shop: Shop):
    any_shop.people()
    any_shop.version(signer="p-author")
    wish = ("authorise", "deployment:prod/tx", "--model", "model:tx@1", "--as", "p-deployer")
    refused_decision(any_shop, 1, *wish, words=("needs 1 approval", "muniment request"))
    run_process(*wish, cwd=any_shop.folder).refused(1)


def test_approving_what_nobody_measured_ends_with_1(any_shop: Shop):
    any_shop.people()
    run("record", "version", "model:tx@1", "--digest", DIGEST, "--tier", "high", "--as", "p-author").good()
    run("request", "model:tx@1", "--env", "prod", "--as", "p-author").good()
    wish = ("approve", "model:tx@1", "--rationale", "x", "--as", "p-approver")
    refused_decision(any_shop, 1, *wish, words=("evaluation",))


@pytest.mark.parametrize(
    "wish",
    [
        ("request", "model:no@1", "--env", "prod"),
        ("approve", "model:no@1", "--rationale", "x"),
        ("authorise", "deployment:prod/tx", "--model", "model:no@1"),
    ],
)
def test_what_is_not_registered_ends_with_1(shop: Shop, wish: tuple[str, ...]):
    refused_decision(shop, 1, *wish, words=("is not registered", "record version"))


def test_a_fact_about_what_is_not_registered_only_needs_its_digest(shop: Shop):
    fact = ("record", "deployment", "deployment:prod/tx", "--model", "model:no@1")
    refused(shop, 2, *fact, words=("--digest",))
    assert "unauthorised" in run(*fact, "--digest", DIGEST).good().err


# -- 5: conflicts --------------------------------------------------------------------------------------------------


def test_an_id_used_again_for_something_else_ends_with_5(any_shop: Shop):
    run(*EVENT, "--id", UUID).good()
    refused(any_shop, 5, *EVENT, "-d", "name=other", "--id", UUID, words=("other content", "new id"))
    again = run_process(*EVENT, "-d", "name=other", "--id", UUID, cwd=any_shop.folder)
    again.refused(5)


def test_an_expectation_that_is_stale_ends_with_5(any_shop: Shop):
    run(*EVENT, "--expect", "dataset:tx=0").good()
    refused(any_shop, 5, *EVENT, "--expect", "dataset:tx=0", words=("dataset:tx moved on", "muniment log dataset:tx"))
    run(*EVENT, "--expect", "dataset:tx=1").good()


def test_a_name_for_other_bytes_ends_with_5(any_shop: Shop):
    run("record", "dataset", "dataset:tx@1", "--digest", DIGEST).good()
    refused(
        any_shop, 5, "record", "dataset", "dataset:tx@1", "--digest", digest("other"), words=("already registered",)
    )


# -- 8: configuration and keys -------------------------------------------------------------------------------------


def test_no_ledger_here_ends_with_8(empty: Path):
    for command in (("log",), EVENT, ("verify", "log"), ("state",), ("checkpoint", "show")):
        run(*command).refused(8, "no ledger was found", "muniment init")
    run_process(*EVENT, cwd=empty).refused(8)
    run("--ledger", "nowhere", "log").refused(8, "there is no ledger in nowhere")


def test_a_store_that_is_gone_ends_with_8(any_shop: Shop):
    any_shop.lose_store()
    for command in (("log",), EVENT, ("verify", "log")):
        run(*command).refused(8)
    assert not (any_shop.folder / ".muniment" / "ledger.db").exists(), "reading made a new store"
    assert run("doctor").code == 1


def test_a_ledger_that_is_there_already_ends_with_8(any_shop: Shop):
    refused(any_shop, 8, "init", "--origin", "again.example", words=("already exists",))
    Path("other").mkdir()
    refused(any_shop, 8, "--ledger", any_shop.url, "init", "other", "--origin", "again.example")
    assert not Path("other", ".muniment").exists()


@pytest.mark.parametrize("command", [("log",), EVENT, ("verify", "log"), ("checkpoint", "show"), ("state",)])
def test_another_origin_than_expected_ends_with_8(any_shop: Shop, command: tuple[str, ...]):
    refused(any_shop, 8, "--expect-origin", "other.example", *command, words=(ORIGIN, "other.example"))
    run("--expect-origin", ORIGIN, *command).good()


def test_no_private_key_ends_with_8(any_shop: Shop):
    refused(any_shop, 8, *EVENT, "--as", "p-nobody", words=("no private key", "--as"))


def test_no_actor_ends_with_8(any_shop: Shop):
    config = any_shop.folder / ".muniment" / "config.toml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("actor")))
    refused(any_shop, 8, *EVENT, words=("no actor", "MUNIMENT_ACTOR"))


@pytest.mark.parametrize("damage", ["others may read it", "garbage", "empty", "a folder", "a broken link"])
def test_a_key_file_that_cannot_be_used_ends_with_8(shop: Shop, damage: str):
    (path,) = shop.keys.glob("p-*.pem")
    if damage == "others may read it":
        path.chmod(0o644)
    elif damage in ("garbage", "empty"):
        path.write_bytes(b"not a key" if damage == "garbage" else b"")
    else:
        path.unlink()
        path.mkdir(mode=0o700) if damage == "a folder" else path.symlink_to("nowhere")
    words = ("chmod 600",) if damage == "others may read it" else ()
    refused(shop, 8, *EVENT, words=words)
    run("log").good()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file; see the folder and the link above")
def test_a_key_file_that_may_not_be_read_ends_with_8(shop: Shop):
    (path,) = shop.keys.glob("p-*.pem")
    path.chmod(0)
    refused(shop, 8, *EVENT)


@pytest.mark.parametrize(
    "text", ["ledger = ", "colour = 'blue'", "ledger = 3", "ledger = 'foo://x'", "\x00", "ledger = 'postgresql://[x'"]
)
def test_settings_that_make_no_sense_end_with_8(shop: Shop, text: str):
    (shop.folder / ".muniment" / "config.toml").write_text(text)
    for command in (("log",), EVENT):
        run(*command).refused(8)


@pytest.mark.parametrize("url", ["foo://x", "mysql://localhost/x", "postgresql://[x"])
def test_a_url_of_no_store_ends_with_8(empty: Path, url: str):
    run("--ledger", url, "log").refused(8)
    run("--ledger", url, "init", "--origin", ORIGIN).refused(8)
    assert not (empty / ".muniment").exists()


def test_names_of_persons_that_cannot_be_read_end_with_8(shop: Shop):
    (shop.folder / ".muniment" / "people.json").write_text("{")
    refused(shop, 8, "log", words=("people.json",))
    run("log", "-o", "json").good()


# -- 6: the store --------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_server_that_does_not_answer_ends_with_6(empty: Path):
    url = f"postgresql://nobody:geheim@127.0.0.1:{free_port()}/none?connect_timeout=2"
    for command in (("log",), ("verify", "log"), ("state",), (*EVENT, "--as", "p-x")):
        assert "geheim" not in run("--ledger", url, *command).refused(6, "PostgreSQL").err
    run("--ledger", url, "init", "--origin", ORIGIN).refused(6)
    assert not (empty / ".muniment").exists()
    run_process("--ledger", url, "log", cwd=empty).refused(6)


def test_writing_through_a_read_only_url_ends_with_6(shop: Shop):
    url = f"{shop.url}?mode=ro"
    refused(shop, 6, "--ledger", url, *EVENT, words=("read-only", "mode=ro"))
    assert "ledger.created" in run("--ledger", url, "log").good().out


def test_a_file_that_is_no_database_ends_with_6(shop: Shop):
    for path in (shop.folder / ".muniment").glob("ledger.db*"):
        path.unlink()
    (shop.folder / ".muniment" / "ledger.db").write_bytes(b"it was a database" * 1000)
    for command in (("log",), EVENT, ("verify", "log")):
        run(*command).refused(6, "not a SQLite database")


def test_views_that_are_no_database_end_with_6_and_are_made_again(shop: Shop):
    views = shop.folder / ".muniment" / "ledger.views.db"
    views.write_bytes(b"it was a view" * 1000)
    refused(shop, 6, "state", words=(f"Remove {views}",))
    views.unlink()
    run("state").good()


@pytest.mark.parametrize(
    "command", [("proof", "inclusion", "0", "-o", "no/such/folder"), ("export", "tiles", "/proc/x")]
)
def test_a_place_that_cannot_be_written_ends_with_6(shop: Shop, command: tuple[str, ...]):
    refused(shop, 6, *command, words=("cannot be written",))


# -- 7: local trust state ------------------------------------------------------------------------------------------


def damaged(text: bytes, damage: str) -> bytes:
    return {
        "empty": b"",
        "cut": text[: len(text) // 2],
        "not JSON": b"nonsense",
        "a member more": text.replace(b"{", b'{"a":1,', 1),
        "a flipped letter": text.replace(b"vkeys", b"vkeyz"),
        "no keys": b'{"genesis":"","ledgerid":"","origin":"","vkeys":[]}',
    }[damage]


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "not JSON", "a member more", "a flipped letter", "no keys", "missing"]
)
def test_a_damaged_trust_file_ends_with_7(any_shop: Shop, damage: str):
    path = any_shop.folder / ".muniment" / "trust.json"
    path.unlink() if damage == "missing" else path.write_bytes(damaged(path.read_bytes(), damage))
    for command in (EVENT, ("verify", "log"), ("verify", "event", "1")):
        refused(any_shop, 7, *command, words=("trust.json",))
    assert run("doctor").code == 1
    if damage == "cut":
        run_process(*EVENT, cwd=any_shop.folder).refused(7)


def test_a_trust_file_of_another_ledger_ends_with_7(any_shop: Shop):
    Path("other").mkdir()
    run("init", "other", "--origin", "other.example", "--keys", "keys").good()
    shutil.copy("other/.muniment/trust.json", ".muniment/trust.json")
    for command in (EVENT, ("verify", "log"), ("log",)):
        refused(any_shop, 7, *command, words=("pins other.example",))


def head_file(home: Path) -> Path:
    (path,) = (home / ".local" / "state").rglob("*.checkpoint")
    return path


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"cut", b"flipped"])
def test_a_damaged_remembered_head_ends_with_7(any_shop: Shop, isolated_environment: Path, damage: bytes):
    run(*EVENT).good()
    path = head_file(isolated_environment)
    note = path.read_bytes()
    altered = {b"cut": note[:-20], b"flipped": note.replace(b"\n3\n", b"\n2\n")}
    path.write_bytes(altered.get(damage, damage))
    for command in (EVENT, ("verify", "log")):
        refused(any_shop, 7, *command, words=(str(path),))
    path.unlink()  # as the message says: to start anew
    run(*EVENT).good()
    run("verify", "log").good()


def test_a_state_folder_that_is_none_ends_with_7(
    any_shop: Shop, isolated_environment: Path, monkeypatch: pytest.MonkeyPatch
):
    (isolated_environment / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(isolated_environment / "file"))
    refused(any_shop, 7, *EVENT)
    refused(any_shop, 7, "verify", "log")


def test_a_head_that_cannot_be_remembered_ends_with_7(any_shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """The event is recorded then, and its receipt is printed."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    before = any_shop.size()
    result = run(*EVENT, "-o", "json")
    assert (result.code, result.json["index"]) == (7, before)
    assert "Next:  " in result.err
    assert any_shop.size() == before + 1
    (any_shop.folder / "other").mkdir()
    run("init", "other", "--origin", ORIGIN, "--keys", "keys").refused(7)
    assert list((any_shop.folder / "other").iterdir()) == []


def test_an_expected_checkpoint_that_is_none_ends_with_7(any_shop: Shop):
    Path("head.txt").write_text("this is no checkpoint\n")
    refused(any_shop, 7, "verify", "log", "--expect", "head.txt", words=("head.txt is no checkpoint",))


# -- 1 and 3: verification -----------------------------------------------------------------------------------------


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


def cut_tail(shop: Shop, size: int) -> None:
    """Forget everything from an entry on, tidily: what is left is a good log."""
    with raw(shop.url) as store:
        leaves = [bytes(leaf) for (leaf,) in store.run("SELECT leaf_hash FROM $entry ORDER BY position")][:size]
        ((recorded_at,),) = store.run("SELECT recorded_at FROM $entry WHERE position = ?", (size,))
        store.unprotect()
        for table in ("entry", "content"):
            store.run(f"DELETE FROM ${table} WHERE position > ?", (size,))
        store.run("DELETE FROM $checkpoint WHERE size > ?", (size,))
        from tests.contract.support import peaks
        from tests.unit.reference_merkle import mth

        ((signed,),) = store.run("SELECT max(size) FROM $checkpoint")
        store.run("UPDATE $signed_head SET size = ?, root = ?", (signed, mth(leaves[:signed])))

        store.run(
            "UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = 1",
            (size, leaves[-1], peaks(leaves), recorded_at),
        )


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


# -- 70 and the rest -----------------------------------------------------------------------------------------------


def test_a_bug_is_called_one(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Ledger, "open", broken)
    result = run("log")
    assert (result.code, result.stdout) == (70, b"")
    assert "a bug in Muniment: RuntimeError: boom" in result.err
    assert "MUNIMENT_DEBUG=1" in result.err


def test_a_reader_that_goes_away_is_no_error(shop: Shop):
    import subprocess

    from tests.fork_server import quick_script

    with shop.home.open() as ledger:
        for number in range(300):
            ledger.emit("dataset.registered", f"dataset:n{number}", digest=DIGEST)
    piped = f"{quick_script()} log -o ndjson | head -n 1"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, check=False, cwd=shop.folder)
    assert done.stderr == ""
    assert json.loads(done.stdout)["index"] == 0


def test_a_failed_init_leaves_nothing(empty: Path):
    for arguments in (("--origin", "a b"), ("--origin", ORIGIN, "--name", "\udcff", "--keys", "keys")):
        run("init", *arguments).refused(2)
        assert list(empty.iterdir()) == []
    run("init", "--origin", ORIGIN).good()


def test_a_secret_never_reaches_the_log(any_shop: Shop):
    token = "gh" + "p_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ5"
    done = run("emit", "run.completed", "run:a", "-d", f"params.note=push with {token} now").good()
    assert "hidden in run.completed before it was signed: params.note (github-token)" in done.err
    shown = run("show", done.out.split()[1], "-o", "json").good()
    assert "push with [redacted: github-token] now" in shown.out
    assert "secrets_redacted" in shown.out
    other = refused(any_shop, 2, "emit", "run.completed", f"run:{token}", words=("subject (github-token)", "secrets_"))
    assert token not in done.out + done.err + shown.out + other.err
    with raw(any_shop.url) as store:
        assert not [row for row in store.run("SELECT payload FROM $content") if token.encode() in bytes(row[0])]
