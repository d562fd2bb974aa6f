"""Whatever is wrong: the exit code of its class, why and what to do next on stderr, and the log is as it was."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.keys import Ed25519Signer
from tests.cli.refusing import EVENT, refused, refused_decision
from tests.cli.support import DIGEST, ORIGIN, Shop, digest, run, run_process
from tests.contract.support import raw

UUID = "01a207ab-59b2-77d6-b7de-8a557980374b"


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
    "blank words": (("emit", "model.decommissioned", "model:tx", "-d", "reason=  "), "reason: write some words"),
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
    "known at what is to come": (("state", "--known-at", "2999-01-01T00:00:00Z"), "--at 2999-01-01T00:00:00Z"),
    "at no time": (("state", "--at", "noon"), "not a time"),
    "unknown incident": (("timeline", "incident:nobody"), "was not opened"),
    "not a number of hours": (("timeline", "incident:x", "--before", "nan"), "hours"),
    "endless hours": (("timeline", "incident:x", "--after", "inf"), "a hundred years"),
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
    named = run("emit", "run.completed", "run:b", "-d", f"{token}=1", "-d", f"my_{token}.x=1").good()
    assert "not in the schema of run.completed, kept as it is: [redacted: github-token], [redacted" in named.err
    unknown = refused(any_shop, 2, "emit", "incident.closed", "incident:7", "-d", f"{token}=1")
    assert token not in named.out + named.err + unknown.err
    config = run("emit", "run.completed", "run:c", "-d", "config.api_secret=hunter2pass", "-d", "config.n=1").good()
    assert "config.api_secret (secret-field)" in config.err
    with raw(any_shop.url) as store:
        assert not [row for row in store.run("SELECT payload FROM $content") if b"hunter2pass" in bytes(row[0])]
    with raw(any_shop.url) as store:
        assert not [row for row in store.run("SELECT payload FROM $content") if token.encode() in bytes(row[0])]
