"""Keys, roles and departures from the command line, on both backends."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from cli.roles import _ROLES
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.events.actors import ROLES
from ledger.recorders import open_recorder
from ledger.recorders.units import Unit
from tests.cli.support import Grow, Shop, digest, run
from tests.contract.support import filler


@pytest.fixture
def manned(grow_any: Grow) -> Shop:
    return grow_any(Shop.people)


def keyid(actor: str) -> str:
    keys = run("key", "list", "-o", "json").good().json["keys"]
    return next(str(key["keyid"]) for key in keys if key["actor"] == actor and key["ends"] is None)


def late_event(shop: Shop, actor: str) -> bytes:
    """An event that was signed, and not appended."""
    with shop.home.open_reader() as ledger:
        key = shop.home.keystore(ledger.ledgerid).load(actor)
        encoded, _ = build_payload(
            ledgerid=ledger.ledgerid, actor=actor, type="run.completed", subject="run:night", data={},
            emitter="00000000-0000-4000-8000-0000000000aa", sequence=1,
        )  # fmt: skip
    return format_envelope(sign_payload(encoded, [key]))


def test_a_key_is_rotated(manned: Shop):
    old = keyid("p-author")
    done = run("key", "rotate", "--as", "p-author", "--grace", "2", "--reason", "yearly").good()
    assert "delete it once nothing signs with it" in done.err
    new = next(
        k["keyid"]
        for k in run("key", "list", "-o", "json").json["keys"]
        if k["actor"] == "p-author" and k["ends"] is None
    )
    assert new != old
    receipt = run("record", "run", "run:x", "--as", "p-author", "-o", "json").good().json
    assert run("show", receipt["index"], "-o", "json").json["entry"]["keys"] == [new]
    run("key", "rotate", "--as", "p-author", "--keyid", old[:16]).refused(5, "rotated or revoked before")
    run("key", "rotate", "p-approver", "--as", "p-author").refused(4)
    run("key", "rotate", "p-author").good()
    run("verify", "log").good()


def test_a_stolen_key_and_what_rests_on_it(manned: Shop, tmp_path: Path):
    manned.version(signer="p-author")
    manned.release()
    before = run("state", "deployment:prod/tx", "-o", "json").json
    approval = next(
        item["index"] for item in run("log", "-o", "json").json if item["entry"]["type"].endswith("approval.granted.v1")
    )
    size = manned.size()
    done = run("key", "compromised", keyid("p-approver")[:16], "--since", approval, "--reason", "stolen").good()
    assert "1 entries are suspect now" in done.err
    verified = run("verify", "log", "-o", "json").good().json
    assert [item["index"] for item in verified["suspect"]] == [approval]
    assert verified["suspect_count"] == 1
    assert f"entry {approval} is suspect" in run("verify", "log", "--all").good().out
    checks = run("verify", "event", approval, "-o", "json").good().json["checks"]
    assert [check["ok"] for check in checks if check["check"] == "standing"] == [None]
    assert "is suspect: entry" in run("show", approval, "-o", "json").good().json["suspect"]
    assert "suspect    entry" in run("show", approval).good().out
    assert [i["index"] for i in run("log", "-o", "json").json if i["suspect"]] == [approval]
    assert f"suspect since entry {size}" in run("log", "-n", "0").good().out

    live = run("state", "deployment:prod/tx", "-o", "json").json["deployments"][0]["live"]
    assert live["marks"] == ["rests-on-suspect"]
    assert (
        run("state", "model:tx", "-o", "json").json["models"][0]["versions"][0]["approvals"][0]["status"] == "suspended"
    )
    assert (
        run("state", "deployment:prod/tx", "--known-at", size, "-o", "json").json["deployments"]
        == (before["deployments"])
    )
    report = run("report", "generate", "control-assessment", "-o", "json").good().json
    states = {finding["control"]: finding["state"] for finding in report["findings"]}
    assert states["four-eyes-before-authorise"] == "not assessed"
    assert [item["index"] for item in report["suspect_entries"]] == [approval]
    earlier = run("report", "generate", "control-assessment", "--known-at", size, "-o", "json").good().json
    assert earlier["suspect_entries"] == []
    assert {f["control"]: f["state"] for f in earlier["findings"]}["four-eyes-before-authorise"] == "satisfied"
    again = run("record", "deployment", "deployment:prod/tx", "--model", "model:tx@1", "--as", "p-deployer").good()
    assert "marked unauthorised" in again.err

    run("entry", "reaffirm", approval - 1, "--reason", "x").refused(1, "is not suspect")
    run("entry", "reaffirm", 10_000, "--reason", "x").refused(2)
    run("entry", "reaffirm", approval, "--reason", "x", "--as", "p-author").refused(4)
    run("entry", "reaffirm", approval, "--reason", "the approver confirmed it by phone").good()
    assert run("verify", "log", "-o", "json").good().json["suspect"] == []
    assert run("state", "deployment:prod/tx", "-o", "json").json["deployments"][0]["live"]["marks"] == ["unauthorised"]
    assert run("report", "generate", "control-assessment", "-o", "json").json["suspect_entries"] == []


def test_an_event_that_comes_after_its_key_ended(manned: Shop, tmp_path: Path):
    file = tmp_path / "late.json"
    file.write_bytes(late_event(manned, "p-author"))
    run("record", "late", file, "--reason", "x", "--as", "p-deployer").refused(1, "may still sign")
    done = run("key", "revoke", keyid("p-author"), "--reason", "lost").good()
    assert "muniment record late" in done.err
    run("emit", "--envelope", file).refused(4, "was revoked")
    receipt = run("record", "late", file, "--reason", "was offline", "--as", "p-deployer", "-o", "json").good().json
    again = run("record", "late", file, "--reason", "was offline", "--as", "p-deployer", "-o", "json").good().json
    assert (again["index"], again["existing"]) == (receipt["index"], True)
    event = run("show", receipt["index"], "-o", "json").json["event"]
    assert (event["type"], event["evidencestrength"]) == ("muniment.external.observed.v1", "asserted")
    assert event["data"]["kind"] == "muniment.run.completed.v1"
    assert event["data"]["digest"] == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    payload = json.loads(file.read_bytes())["payload"]
    assert event["data"]["content"]["payload"] == digest(base64.b64decode(payload).decode())
    run("record", "late", file, "--reason", "x", "--as", "p-approver").refused(4, "needs the role emitter")
    forged = json.loads(file.read_bytes())
    forged["signatures"][0]["sig"] = "A" * 86 + "=="
    file.write_text(json.dumps(forged, separators=(",", ":")))
    run("record", "late", file, "--reason", "x", "--as", "p-deployer").refused(4)


def test_roles_are_granted_and_end(manned: Shop):
    run("actor", "enrol", "ci", "--kind", "service", "--role", "auditor", "--responsible", "p-author").good()
    grant = run(
        "actor", "grant", "ci", "emitter", "--type", "run.*", "--subject", "run:credit/*", "--until",
        "2999-01-01T00:00:00+01:00", "-o", "json",
    ).good().json  # fmt: skip
    run("record", "run", "run:credit/x", "--as", "ci").good()
    run("record", "run", "run:other", "--as", "ci").refused(4, "does not reach", "muniment actor show ci")
    shown = run("actor", "show", "ci", "-o", "json").good().json
    assert shown["answered_for"]
    assert shown["grants"][1] == {
        "grant": grant["id"], "role": "emitter", "types": ["run.*"], "subjects": ["run:credit/*"], "environments": [],
        "until": "2998-12-31T23:00:00.000000Z", "given": grant["index"], "ended": None, "suspect": None,
    }  # fmt: skip
    assert "run:credit/*" in run("actor", "show", "ci").good().out
    assert run("actor", "show", "ci", "-o", "csv").good().out.startswith("grant,role,types")
    run("actor", "grant", "ci", "emitter", "--until", "2020-01-01T00:00:00Z").good()
    run("actor", "grant", "ci", "admin").refused(4, "only the root keys")
    run("actor", "grant", "ci", "emperor").refused(2)
    run("actor", "grant", "ci", "emitter", "--until", "soon").refused(2)
    run("actor", "grant", "ci", "emitter", "--subject", "model").refused(2)
    run("actor", "ungrant", "ci", "emitter", "--grant", grant["id"], "--reason", "over").good()
    run("record", "run", "run:credit/x", "--as", "ci").refused(4, "expired")
    run("actor", "ungrant", "ci", "emitter", "--reason", "over").good()
    run("actor", "ungrant", "ci", "emitter", "--reason", "over").refused(5, "does not have the role")
    run("actor", "show", "nobody").refused(2)
    run("verify", "log").good()


def test_an_actor_leaves(manned: Shop):
    run("actor", "enrol", "ci", "--kind", "service", "--role", "emitter", "--responsible", "p-author").good()
    run(
        "record",
        "version",
        "model:tx@1",
        "--digest",
        digest("x"),
        "--tier",
        "high",
        "--owner",
        "p-author",
        "--as",
        "ci",
    ).good()
    run("request", "model:tx@1", "--env", "prod", "--as", "p-author").good()
    run("incident", "open", "incident:1", "--title", "slow", "--as", "p-author").good()
    size = manned.size()
    shown = run("actor", "offboard", "p-author", "--reason", "left", "--dry-run", "-o", "json").good().json
    assert (shown["done"], shown["needs_successor"], manned.size()) == (False, True, size)
    orphans = shown["orphans"]
    assert [item["version"] for item in orphans["models"]] == ["model:tx@1"]
    assert [(item["version"], item["status"]) for item in orphans["approvals"]] == [("model:tx@1", "pending")]
    assert [item["incident"] for item in orphans["incidents"]] == ["incident:1"]
    assert (orphans["services"], orphans["accounts"]) == (["ci"], [])
    assert "a successor must be named" in run("actor", "offboard", "p-author", "--reason", "x", "--dry-run").good().out
    run("actor", "offboard", "p-author", "--reason", "left").refused(1, "--successor")
    run("actor", "offboard", "p-author", "--reason", "left", "--successor", "ci").refused(2)
    assert manned.size() == size, "all of it or nothing"
    done = (
        run("actor", "offboard", "p-author", "--successor", "p-deployer", "--reason", "left", "-o", "json").good().json
    )
    assert done["indexes"] == [size, size + 1]
    left = run("actor", "show", "p-author", "-o", "json").json
    assert (left["revoked"], left["successor"]) == (size + 1, "p-deployer")
    assert run("actor", "show", "ci", "-o", "json").json["person"] == "p-deployer"
    run("record", "run", "run:x", "--as", "p-author").refused(4)
    run("actor", "offboard", "nobody", "--reason", "x").refused(2)
    run("actor", "offboard", "p-approver", "--reason", "left").good()
    run("verify", "log").good()


def test_the_last_admin_stays(manned: Shop):
    admin = run("config", "explain", "-o", "json").good()
    name = next(item["actor"] for item in run("actor", "list", "-o", "json").json["actors"] if "admin" in item["roles"])
    assert admin.code == 0
    for command in (
        ("actor", "offboard", name, "--reason", "x"),
        ("actor", "revoke", name, "--reason", "x"),
        ("actor", "ungrant", name, "admin", "--reason", "x"),
        ("key", "revoke", keyid(name), "--reason", "x"),
        ("key", "compromised", keyid(name), "--since", "0", "--reason", "x"),
    ):
        run(*command, "--as", "root").refused(1, "without an admin")


def test_who_answers_changes(manned: Shop):
    run("actor", "enrol", "ci", "--kind", "service", "--role", "emitter", "--responsible", "p-author").good()
    run("actor", "responsible", "ci", "p-author", "--reason", "x").refused(5)
    run("actor", "responsible", "ci", "p-deployer", "--reason", "moved").good()
    run("actor", "revoke", "p-deployer", "--reason", "left").good()
    assert "decisions of this actor are refused" in run("actor", "show", "ci").good().out
    checks = {check["check"]: check for check in run("doctor", "-o", "json").json["checks"]}
    assert checks["responsible persons"]["state"] == "warning"
    assert "ci" in checks["responsible persons"]["message"]
    assert checks["admins"]["state"] == "warning", "one is one too few"
    run("actor", "enrol", "p-two", "--kind", "person", "--role", "admin", "--as", "root").good()
    run("actor", "responsible", "ci", "p-author", "--reason", "again").good()
    checks = {check["check"]: check for check in run("doctor", "-o", "json").json["checks"]}
    assert checks["admins"]["state"] == "good"
    assert "responsible persons" not in checks


def test_an_admin_alone_runs_pipelines_and_takes_no_say(shop: Shop):
    (admin,) = [item["actor"] for item in run("actor", "list", "-o", "json").good().json["actors"]]
    service = ("actor", "enrol", "ci-live", "--kind", "service", "--role", "emitter", "--responsible", admin)
    before = shop.size()
    found = run(*service, "--role", "deployer").refused(4, "its own word")
    assert "--as root" in found.err
    assert shop.size() == before
    run(*service).good()
    run("key", "rotate", "ci-live").good()
    run("actor", "grant", "ci-live", "deployer", "--env", "prod").refused(4, "--as root")
    run("actor", "grant", "ci-live", "deployer", "--env", "prod", "--as", "root").good()
    run("key", "rotate", "ci-live").refused(4, "--as root")
    run("key", "enrol", "ci-live").refused(4, "--as root")
    run("key", "rotate", "--as", "ci-live").good()
    run("actor", "ungrant", "ci-live", "deployer", "--reason", "over").good()
    run("key", "rotate", "ci-live").good()


def test_a_void_entry_is_acknowledged(manned: Shop):
    recorder = open_recorder(manned.url)
    recorder.append([Unit(tuple(filler(1)))])  # signed by nobody
    recorder.close()
    index = manned.size() - 1
    assert run("verify", "log").code == 1
    run("admin", "acknowledge", index - 1, "--reason", "x").refused(1, "nothing to acknowledge")
    run("admin", "acknowledge", index + 100, "--reason", "x").refused(2)
    run("admin", "acknowledge", index, "--reason", "x", "--as", "p-author").refused(4)
    run("admin", "acknowledge", index, "--reason", "ticket 118").good()
    found = run("verify", "log", "-o", "json").good().json
    assert [item["index"] for item in found["acknowledged"]] == [index]
    assert f"acknowledged void entry {index}" in run("verify", "log", "--all").good().out


def test_an_altered_entry_is_not_acknowledged(manned: Shop):
    index = manned.size() - 1
    manned.unprotected(f"UPDATE $content SET payload = signatures WHERE position = {index + 1}")
    run("admin", "acknowledge", index, "--reason", "x", "--as", "root").refused(1, "altered")


def test_the_roles_are_those_of_the_catalogue():
    assert _ROLES == ROLES
