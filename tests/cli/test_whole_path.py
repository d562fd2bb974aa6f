"""The whole path from data to production by commands, on both backends, and what is told of it as of any time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.entry import entry_hash
from ledger.recorders import open_recorder
from tests.cli.support import DIGEST, ORIGIN, Shop, digest, emit, run, run_process
from tests.projections.support import force_event


def test_the_main_path(any_shop: Shop):
    any_shop.people()
    Path("tx.csv").write_text("a,b\n1,2\n")
    run("record", "dataset", "dataset:tx@1", "--file", "tx.csv", "--rows", 1, "--as", "p-author").good()
    made = f"model:tx@1={digest('model:tx@1')}"
    run(
        "record", "run", "run:tx-1", "--job", "train", "--commit", "c0ffee", "--seed", 7, "--param", "depth=6",
        "--environment", DIGEST, "--input", "dataset:tx@1", "--makes", made, "--metric", "auc=0.9", "--as", "p-author",
    ).good()  # fmt: skip
    run(
        "record", "version", "model:tx@1", "--digest", digest("model:tx@1"), "--run", "run:tx-1", "--tier", "high",
        "--as", "p-author",
    ).good()  # fmt: skip
    run("record", "evaluation", "model:tx@1", "--metric", "auc=0.9", "--verdict", "pass", "--as", "p-author").good()
    any_shop.release()
    size = any_shop.size()
    state = run("state", "-o", "json").good().json
    assert state["deployments"][0]["live"]["model"] == "model:tx@1"
    assert state["known_at"]["size"] == size
    report = run("report", "generate", "control-assessment", "-o", "json").good().json
    states = {finding["control"]: finding["state"] for finding in report["findings"]}
    for name in ("rollback-target-once-live", "gate-before-authorise", "emergency-reviewed"):
        assert states.pop(name) == "not applicable"
    assert set(states.values()) == {"satisfied"}
    for finding in report["findings"]:
        assert all(isinstance(item["index"], int) for item in finding["evidence"])
    run("record", "version", "model:tx@2", "--digest", DIGEST, "--tier", "high", "--as", "p-author").good()
    hotfix = run("record", "deployment", "deployment:prod/tx", "--model", "model:tx@2", "--as", "p-deployer").good()
    assert "unauthorised" in hotfix.err
    run(
        "record", "signal", "monitor:tx", "--metric", "auc", "--value", 0.6, "--baseline", 0.9,
        "--severity", "critical", "--deployment", "deployment:prod/tx", "--as", "p-author",
    ).good()  # fmt: skip
    case = ("incident:inc-1",)
    run(
        "incident", "open", *case, "--title", "AUC fell", "--severity", "high", "--deployment", "deployment:prod/tx",
    ).good()  # fmt: skip
    run("incident", "note", *case, "looking").good()
    run("rollback", "deployment:prod/tx", "--to", "model:tx@1", "--incident", *case, "--as", "p-deployer").good()
    run(
        "record", "rollback", "deployment:prod/tx", "--model", "model:tx@1", "--incident", *case, "--as", "p-deployer",
    ).good()  # fmt: skip
    run("incident", "mitigate", *case, "--note", "back").good()
    run("incident", "cause", *case, "--category", "process", "--statement", "skipped the queue").good()
    run("incident", "action", *case, "--title", "shorten the queue", "--due", "2026-12-01").good()
    run("incident", "close", *case, "--summary", "over").good()
    (listed,) = run("incident", "list", "-o", "json").good().json["incidents"]
    assert (listed["incident"], listed["status"], listed["severity"]) == ("incident:inc-1", "closed", "high")
    timeline = run("timeline", *case, "-o", "json").good().json
    assert (timeline["failing_version"], timeline["previous_version"]) == ("model:tx@2", "model:tx@1")
    assert run("timeline", *case, "-o", "ndjson").good().lines == timeline["rows"]
    state = run("state", "-o", "json").good().json
    assert {v["version"]: v["status"] for v in state["models"][0]["versions"]} == {
        "model:tx@1": "live", "model:tx@2": "rolled back",
    }  # fmt: skip
    report = run("report", "generate", "control-assessment", "-o", "json").good().json
    bad = {item["control"]: item for item in report["findings"] if item["state"] == "not satisfied"}
    assert set(bad) == {"training-provenance", "deployment-authorised"}
    (evidence,) = bad["deployment-authorised"]["evidence"]
    assert str(evidence["index"]) == hotfix.out.split()[1]
    known = ("--known-at", size)
    assert run("state", *known, "-o", "json").good().json["models"][0]["versions"][0]["status"] == "live"
    earlier = run("report", "generate", "control-assessment", *known, "-o", "json").good().stdout
    emit("-d", f"digest={DIGEST}", "--at", "2020-01-01T00:00:00Z")
    assert run("report", "generate", "control-assessment", *known, "-o", "json").good().stdout == earlier
    verified = run("verify", "log", "-o", "json").good().json
    assert (verified["ok"], verified["anchored_size"]) == (True, any_shop.size())
    assert run("verify", "event", hotfix.out.split()[1], "-o", "json").good().json["ok"]
    assert run("doctor", "-o", "json").good().json["ok"]
    for name in ("actor", "key"):
        assert len(run(name, "list", "-o", "json").good().json[f"{name}s"]) == 4
    for _ in range(2):
        rebuilt = run("projection", "rebuild", "-o", "json").good().json["projections"]
        assert [item["equal"] for item in rebuilt] == [True] * 3
    assert {item["lag"] for item in run("projection", "status", "-o", "json").good().json["projections"]} == {0}
    for text in (("state",), ("timeline", *case), ("report", "generate", "control-assessment"), ("incident", "list"),
                 ("actor", "list"), ("key", "list"), ("doctor",), ("projection", "status"), ("report", "list"),
                 ("verify", "log"), ("verify", "event", "3")):  # fmt: skip
        assert run(*text).good().out.strip()


def test_a_rejection(shop: Shop):
    shop.people()
    shop.version(signer="p-author")
    run("request", "model:tx@1", "--env", "prod", "--as", "p-author").good()
    run("reject", "model:tx@1", "--rationale", "recall drops", "--as", "p-approver").good()
    (version,) = run("state", "model:tx@1", "-o", "json").good().json["models"][0]["versions"]
    assert version["status"] == "rejected"
    run("approve", "model:tx@1", "--rationale", "yes", "--as", "p-approver").refused(1, "no open request")


def test_state_as_of(shop: Shop):
    shop.version()
    for at, model in (("2026-11-01T00:00:00Z", "model:tx@1"), ("2026-11-03T00:00:00Z", "model:tx@2")):
        run("record", "deployment", "deployment:dev/tx", "--model", model, "--digest", DIGEST, "--at", at).good()

    def live(*options: str) -> str | None:
        found = run("state", "deployment:dev/tx", *options, "-o", "json").good().json["deployments"][0]["live"]
        return None if found is None else str(found["model"])

    assert live() == "model:tx@2"
    assert live("--at", "2026-11-02T00:00:00Z") == "model:tx@1"
    assert live("--known-at", "5") == "model:tx@1"
    asked = run("state", "--at", "2026-11-02T00:00:00Z", "-o", "json").good().json
    assert asked["at"] == "2026-11-02T00:00:00.000000Z"
    run("state", "deployment:dev/tx", "--at", "2026-10-01T00:00:00Z").refused(2, "nothing was known")


def test_the_state_of_what_has_no_version_yet(shop: Shop):
    assert "no version and no deployment yet" in run("state").good().err
    run("state", "model:new").refused(2, "nothing was known about model:new")
    run("emit", "model.registered", "model:new", "-d", "owner=p-author").good()
    run("state", "model:new").refused(2, "no version of model:new was registered", "muniment history model:new")
    run("state", "model:new@1").refused(2, "nothing was known about model:new@1")
    run("history", "model:new").good()


def test_an_incident_that_was_opened_again_is_open(shop: Shop):
    steps = (
        (("open", "--title", "a"), "open"),
        (("close", "--summary", "b"), "closed"),
        (("open", "--title", "c"), "open"),
    )
    for (verb, *options), status in steps:
        run("incident", verb, "incident:1", *options).good()
        listed = run("incident", "list", "-o", "json").good().json["incidents"]
        assert {item["status"] for item in listed} == {status}


def test_what_a_revoked_actor_closed_is_open(any_shop: Shop):
    """Put into the store by somebody who can write it: void, listed, and without effect."""
    any_shop.enrol("p-x", "emitter")
    run("incident", "open", "incident:1", "--title", "a").good()
    run("actor", "revoke", "p-x", "--reason", "left").good()
    with any_shop.home.open_reader() as ledger:
        signer = any_shop.home.keystore(ledger.ledgerid).load("p-x")
    recorder = open_recorder(any_shop.url)
    index = force_event(recorder, "p-x", signer, "incident.closed", "incident:1", data={"summary": "nothing to see"})
    recorder.close()
    (listed,) = run("incident", "list", "-o", "json").good().json["incidents"]
    assert listed["status"] == "open"
    assert run("timeline", "incident:1", "-o", "json").good().json["status"] == "open"
    (void,) = run("report", "generate", "control-assessment", "-o", "json").good().json["void_entries"]
    assert void["index"] == index
    found = run("verify", "log", "-o", "json")
    assert (found.code, [(item["fault"], item["index"]) for item in found.json["findings"]]) == (1, [("key", index)])
    shown = run("show", index, "-o", "json").good().json
    assert (shown["verdict"], shown["reason"]) == ("void", void["reason"])
    run("emit", "ledger.entry_acknowledged", f"ledger:{shown['entry']['ledgerid']}", "-d", f"index={index}",
        "-d", f"leaf_hash={shown['leaf_hash']}", "-d", "reason=seen").good()  # fmt: skip
    verified = run("verify", "log", "-o", "json").good().json
    assert [item["index"] for item in verified["acknowledged"]] == [index]


def test_keys_come_and_go(shop: Shop):
    shop.enrol("p-other", "emitter")
    run("key", "enrol", "p-other").good()
    keys = [item for item in run("key", "list", "-o", "json").good().json["keys"] if item["actor"] == "p-other"]
    assert len(keys) == 2
    newest = max(keys, key=lambda item: item["enrolled"])
    run("key", "revoke", newest["keyid"][:12], "--reason", "laptop lost").good()
    keys = [item for item in run("key", "list", "-o", "json").good().json["keys"] if item["actor"] == "p-other"]
    assert sorted(item["revoked"] is not None for item in keys) == [False, True]
    body = ("dataset:tx", "-d", f"digest={DIGEST}", "--as", "p-other")
    run("emit", "dataset.registered", *body).good()  # with the other key
    run("actor", "revoke", "p-other", "--reason", "left").good()
    run("emit", "dataset.registered", *body).refused(4)


def test_names_of_persons_are_shown_and_never_recorded(shop: Shop):
    run("actor", "enrol", "--kind", "person", "--role", "emitter", "--display", "Ada Byron").good()
    (person,) = [
        item for item in run("actor", "list", "-o", "json").good().json["actors"] if item["name"] == "Ada Byron"
    ]
    assert person["actor"].startswith("p-")
    assert "Ada Byron" in run("actor", "list").good().out
    assert b"Ada" not in run("log", "-o", "json").good().stdout
    run("actor", "name", person["actor"], "Countess").good()
    assert "Countess" in run("actor", "list").good().out
    emit("-d", f"digest={DIGEST}", "--as", person["actor"])
    assert "Countess" in run("log").good().out


def test_a_leaf_hash_in_a_receipt_is_that_of_the_entry(any_shop: Shop):
    done = run("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}", "-o", "json").good().json
    with any_shop.home.open_reader() as ledger:
        (row,) = ledger.recorder.rows(done["index"], 1)
    assert done["leaf_hash"] == entry_hash(row.entry).hex()
    assert (done["stream"], done["revision"]) == (row.entry.stream, row.entry.revision)


def test_encrypted_keys_open_with_their_passphrase_only(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "correct horse")
    run("init", "--origin", ORIGIN, "--keys", "keys", "--encrypt").good()
    assert all(b"ENCRYPTED" in path.read_bytes() for path in (empty / ".muniment" / "keys").glob("*.pem"))
    emit("-d", f"digest={DIGEST}")
    body = ("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}")
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "wrong horse")
    run(*body).refused(8, "passphrase")
    monkeypatch.delenv("MUNIMENT_PASSPHRASE")
    run(*body).refused(8, "MUNIMENT_PASSPHRASE")
    run_process(*body, cwd=empty, MUNIMENT_PASSPHRASE="wrong horse").refused(8)
    assert "dataset.registered" in run("log").good().out, "reading needs no key"
    assert os.environ.get("MUNIMENT_PASSPHRASE") is None
