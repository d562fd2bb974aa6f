"""Approvals bound and taken back, tiers, waivers, quarantine, emergencies, and what waits: as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.inbox import _differs, _open
from cli.values import end_of
from ledger.domain.moves import STOPPABLE
from tests.cli.support import Grow, Shop, digest, run

MODEL, PROD = "model:tx@1", "deployment:prod/tx"
AUTHORISE = ("authorise", PROD, "--model", MODEL, "--as", "p-deployer")


def people_and_a_version(shop: Shop) -> None:
    shop.people()
    shop.enrol("p-second", "approver", "validator")
    shop.version(signer="p-author")


@pytest.fixture
def ready(grow_any: Grow) -> Shop:
    return grow_any(people_and_a_version)


@pytest.fixture
def quick(grow: Grow) -> Shop:
    return grow(people_and_a_version)


def ask() -> None:
    run("request", MODEL, "--env", "prod", "--as", "p-author").good()


def approve(*options: str) -> None:
    run("approve", MODEL, "--rationale", "looked at", "--as", "p-approver", *options).good()


def test_an_approval_with_an_end_and_conditions(ready: Shop):
    ask()
    approve("--expires", "90d", "--condition", "a monitor is on")
    refused = run(*AUTHORISE).refused(1, "condition 0 is not met", "a monitor is on")
    assert f"muniment condition {MODEL} 0 --approval " in refused.err
    run("approve", MODEL, "--rationale", "x", "--condition", "a runbook", "--as", "p-second").good()
    both = run("condition", MODEL, "0", "--as", "p-approver").refused(2, "2 approvals wait for a condition 0")
    assert both.err.count(f"muniment condition {MODEL} 0 --note … --approval ") == 2
    run("revoke", MODEL, "--rationale", "not me", "--as", "p-second").good()
    run("approve", MODEL, "--rationale", "no condition", "--as", "p-second").good()
    run("condition", MODEL, "0", "--note", "monitor:drift", "--as", "p-approver").good()
    authorised = run(*AUTHORISE).good()
    assert f"muniment record deployment {AUTHORISE[1]} --model {MODEL}" in authorised.err
    soon = run("due", "--within", "100d", "-o", "json").good().json["due"]
    assert [(item["what"], item["subject"], item["state"]) for item in soon] == [("approval", MODEL, "due")]
    assert run("due", "--within", "1d", "-o", "json").good().json["due"] == []
    assert "Nothing ends or is due within 1d." in run("due", "--within", "1d").good().err


def test_revoked_and_withdrawn(ready: Shop):
    ask()
    run("withdraw", MODEL, "--as", "p-second").refused(4)
    run("withdraw", MODEL, "--reason", "wrong month", "--as", "p-author").good()
    run("approve", MODEL, "--rationale", "x", "--as", "p-approver").refused(1, "no open request")
    ask()
    approve()
    run("revoke", MODEL, "--rationale", "bias", "--as", "p-second").good()
    run(*AUTHORISE).refused(1, "was revoked")
    run("revoke", MODEL, "--rationale", "bias", "--as", "p-second").refused(1, "no such approval")


@pytest.mark.usefixtures("quick")
def test_a_no_says_what_it_takes_along_and_what_stands_all_the_same():
    ask()
    approve()
    ask()
    left = run("withdraw", MODEL, "--as", "p-author").good().err
    assert "given by p-approver, still stands for prod. To take it back: muniment revoke model:tx@1 --approval " in left
    run("approve", MODEL, "--rationale", "me too", "--as", "p-second").good()
    own = run("revoke", MODEL, "--rationale", "mine alone", "--as", "p-approver").good().err
    assert "Taken back: the approval of entry 9, given by p-approver" in own
    assert "Warning: the approval of entry 12, given by p-second, still stands for prod" in own
    ask()
    gone = run("reject", MODEL, "--rationale", "too slow", "--as", "p-approver").good().err
    assert "With it falls the approval of entry 12, given by p-second" in gone
    why = "rejected the request of entry 14 for prod: too slow"
    refused = run(*AUTHORISE).refused(1, f"entry 15 by p-approver {why}")
    assert f"muniment request {MODEL} --env prod" in refused.err
    run("approve", MODEL, "--rationale", "x", "--as", "p-second").refused(
        5, "has already approved", why, "muniment request"
    )
    none = "no approval of model:tx@1 stands, or may stand again: entry 15 by p-approver"
    run("revoke", MODEL, "--rationale", "x", "--as", "p-second").refused(1, none, why)
    shown = " ".join(run("why", MODEL, "--env", "prod").good().out.split())
    assert "rejected the request of entry 14" in shown
    assert "“too slow”" in shown
    (model,) = run("inventory", "-o", "json").good().json["models"]
    assert model["approvals"] == []
    assert [(one["status"], one["by"], one["rationale"]) for one in model["refusals"]] == [
        ("rejected", "p-approver", "too slow")
    ]
    assert "p-approver (entry 15): too slow" in " ".join(run("inventory").good().out.replace("|", "").split())
    assert "too slow" in run("state", MODEL).good().out
    ask()
    approve()
    run(*AUTHORISE).good()
    assert run("inventory", "-o", "json").good().json["models"][0]["refusals"] == []


def test_demoted_is_approved_anew(ready: Shop):
    ask()
    approve()
    run("demote", MODEL, "--reason", "drifts", "--as", "p-author").refused(2, "--from")
    lost = run("demote", "model:tx@99", "--from", "prod", "--reason", "drifts", "--as", "p-author").good()
    assert "Warning: nothing is registered here as model:tx@99" in lost.err
    run("demote", MODEL, "--from", "prod", "--to", "staging", "--reason", "drifts", "--as", "p-author").good()
    run(*AUTHORISE).refused(1, "demoted it from prod")
    ask()
    approve()
    run(*AUTHORISE).good()


def test_an_approval_for_later(ready: Shop):
    ask()
    run("approve", MODEL, "--rationale", "x", "--valid-from", "2d", "--expires", "1d", "--as", "p-approver").refused(
        2, "before it stands"
    )
    done = ("emit", "validation.completed", MODEL, "-d", "verdict=pass", "-d", "independence=another team")
    run(*done, "-d", f"valid_until={end_of('1d')}", "--as", "p-second").good()
    late = run("approve", MODEL, "--rationale", "x", "--valid-from", "2d", "--as", "p-approver").refused(2, "it cites")
    assert "which ends then" in late.err
    assert "Give it an earlier beginning" in late.err
    assert "approval upcoming" not in run("state", MODEL).good().out
    run(*done, "--as", "p-second").good()
    approve("--valid-from", "2d")
    refused = run(*AUTHORISE).refused(1, "it stands from")
    assert "Wait until" in refused.err
    assert "approval upcoming" in run("state", MODEL).good().out
    assert "approval begins" in run("due").good().out
    assert run("inbox", "-o", "json").good().json["inbox"] == []


def test_a_request_is_sent_back_and_amended(ready: Shop):
    ask()
    run("request-changes", MODEL, "--as", "p-approver").refused(2, "--change")
    run(
        "request-changes", MODEL, "--change", "measure it on women", "--change", "name a runbook", "--as", "p-approver"
    ).good()
    assert "measure it on women; name a runbook" in run("state", MODEL).good().out.replace("\n", " ")
    run("approve", MODEL, "--rationale", "x", "--as", "p-second").refused(1, "no open request")
    (item,) = run("inbox", "--as", "p-author", "-o", "json").good().json["inbox"]
    assert (item["what"], item["changes"]) == ("changes", ["measure it on women", "name a runbook"])
    assert "name a runbook" in run("inbox", "--as", "p-author").good().out
    run(*item["next"].split()[1:], "--as", "p-author").good()
    approve()
    run(*AUTHORISE).good()


def test_a_request_is_passed_on(ready: Shop):
    ask()
    run("escalate", MODEL, "--rationale", "x", "--as", "p-approver").refused(2, "--to-role")
    run("escalate", MODEL, "--rationale", "x", "--to", "p-nobody", "--as", "p-approver").refused(2, "p-nobody")
    run("escalate", MODEL, "--rationale", "beyond me", "--to", "p-deployer", "--as", "p-approver").good()
    assert run("inbox", "--as", "p-approver", "-o", "json").good().json["inbox"] == []
    (item,) = run("inbox", "--as", "p-deployer", "-o", "json").good().json["inbox"]
    assert (item["escalated_to"], item["may"]) == ("p-deployer", True)
    run("approve", MODEL, "--rationale", "x", "--as", "p-deployer").refused(4)
    run("approve", MODEL, "--rationale", "x", "--as", "p-second").good()


def test_a_tier_is_set_by_a_list_of_questions(ready: Shop):
    light = ("--no-affects-people", "--no-personal-data", "--no-money-or-law", "--no-shared", "--rationale", "toy")
    run("classify", "model:tx", *light, "--as", "p-author").refused(4, "validator")
    done = run("classify", "model:tx", *light, "--as", "p-second").good()
    assert "light governance" in done.err
    full = ("--affects-people", "--personal-data", "--no-money-or-law", "--no-shared", "--rationale", "credit")
    assert "full governance" in run("classify", MODEL, *full, "--as", "p-author").good().err
    (known,) = run("inventory", "-o", "json").good().json["models"]
    assert (known["tier"], known["other_tiers"]) == ("low", [{"version": MODEL, "tier": "high"}]), "each one's own"
    assert "low (version 1: high)" in " ".join(run("inventory").good().out.replace("|", " ").split())
    assert run("inventory", "-o", "csv").good().out.splitlines()[1].endswith(",version 1: high")
    run("classify", MODEL, "--affects-people", "--rationale", "x", "--as", "p-author").refused(2, "--personal-data")


def test_a_quarantine_of_what_nobody_registered_is_recorded_and_warned_of(ready: Shop):
    for name in ("model:zzz", "model:tx@9", "dataset:none@1"):
        for _ in range(2):
            placed = run("quarantine", name, "--reason", "x", "--as", "p-deployer").good()
            assert f"Warning: nothing is registered here as {name}" in placed.err
            whose = "put it there" if name.startswith("dataset:") else "made it"
            assert f"Another person than who {whose} lets it go: muniment release {name}" in placed.err
    for name in (MODEL, "model:tx"):
        assert "Warning" not in run("quarantine", name, "--reason", "x", "--as", "p-deployer").good().err


def test_an_emergency_shows_with_its_review(ready: Shop):
    run(*AUTHORISE, "--emergency", "--reason", "fraud wave").good()
    run("record", "deployment", "deployment:prod/tx", "--model", MODEL, "--as", "p-deployer").good()
    for command in (("state", "deployment:prod/tx"), ("inventory",), ("why", "deployment:prod/tx")):
        assert "emergency-unreviewed" in " ".join(run(*command).good().out.split())
    assert "fraud wave" in run("state", "deployment:prod/tx").good().out
    run("review", "deployment:prod/tx", "--verdict", "unjustified", "--rationale", "x", "--as", "p-second").good()
    for command in (("state", "deployment:prod/tx"), ("inventory",), ("why", "deployment:prod/tx")):
        assert "emergency-unjustified" in " ".join(run(*command).good().out.split())
    assert "was found unjustified by p-second" in run("why", "deployment:prod/tx").good().out
    assert "unjustified by p-second" in " ".join(run("state", "deployment:prod/tx").good().out.split())


def test_whoever_registers_a_version_is_told_that_it_has_a_higher_tier(ready: Shop):
    def register(version: str, tier: str) -> str:
        made = ("record", "version", f"model:tx@{version}", "--digest", "sha256:" + version * 64, "--tier", tier)
        return run(*made, "--as", "p-author").good().err

    assert "warning" not in register("2", "high")
    assert "warning: model:tx@3 is of tier high, as its model or a version before it was" in register("3", "low")
    models = run("state", "model:tx", "-o", "json").good().json["models"]
    assert [one["tier"] for model in models for one in model["versions"]] == ["high"] * 3


def test_quarantine_stops_and_release_lets_go(ready: Shop):
    ask()
    approve()
    again = ("approve", MODEL, "--rationale", "x", "--as", "p-approver")
    run(*again, "--env", "prd").refused(1, "no open request to decide for prd", f"muniment request {MODEL} --env prd")
    run(*again).refused(5, "has already approved", f"muniment why {MODEL} --env prod")
    run("quarantine", MODEL, "--reason", "poisoned", "--as", "p-deployer").good()
    run(*AUTHORISE).refused(1, "poisoned", "muniment release")
    run("release", MODEL, "--rationale", "x", "--as", "p-author").refused(4)
    run("release", MODEL, "--rationale", "cleaned", "--as", "p-second").good()
    run("release", MODEL, "--rationale", "cleaned", "--as", "p-second").refused(1, "not in quarantine")
    run(*AUTHORISE).good()
    for name in ("model:tx@99", "model:nosuch"):
        gone = run("retire", name, "--reason", "old", "--as", "p-author").good()
        assert f"Warning: nothing is registered here as {name}" in gone.err
    retired = run("retire", MODEL, "--reason", "old", "--as", "p-author").good()
    assert "nothing is registered" not in retired.err
    run("request", MODEL, "--env", "prod", "--as", "p-author").refused(1, "retired")


WAIVER = (
    "--model", "model:tx", "--env", "prod", "--owner", "p-author", "--reason", "new data", "--control", "manual review",
)  # fmt: skip


def test_waivers_are_asked_for_by_one_and_granted_by_another(ready: Shop):
    run("waiver", "request", "drift", *WAIVER, "--as", "p-author").refused(2, "--expires")
    run("waiver", "request", "drift", *WAIVER, "--expires", "soon", "--as", "p-author").refused(2)
    asked = run("waiver", "request", "drift", *WAIVER, "--expires", "14d", "--waiver", "waiver:w1", "--as", "p-author")
    assert "muniment waiver grant waiver:w1" in asked.good().err
    waiting = run("inbox", "--as", "p-second", "-o", "json").good().json["inbox"]
    assert [(item["what"], item["subject"], item["check"], item["may"]) for item in waiting] == [
        ("waiver", "waiver:w1", "drift", True)
    ]
    terms = {
        "owner": "p-author",
        "reason": "new data",
        "compensating_control": "manual review",
        "requested_by": "p-author",
    }
    assert waiting[0].items() >= terms.items()
    words = "new data; instead: manual review; p-author carries the risk; asked for by p-author"
    shown = run("inbox", "--as", "p-second").good().out
    assert all(word in shown for word in words.replace(";", "").split()), "in cells, which break lines"
    run("waiver", "grant", "waiver:w1", "--rationale", "x", "--as", "p-author").refused(4)
    run("waiver", "grant", "waiver:w1", "--rationale", "for two weeks", "--as", "p-second").good()
    assert run("inbox", "-o", "json").good().json["inbox"] == []
    assert [item["what"] for item in run("due", "-o", "json").good().json["due"]] == ["waiver"]
    run("waiver", "revoke", "waiver:w1", "--reason", "no longer", "--as", "p-author").good()
    assert run("due", "-o", "json").good().json["due"] == []
    run("waiver", "request", "drift", *WAIVER, "--expires", "14d", "--waiver", "waiver:w2", "--as", "p-author").good()
    run("waiver", "deny", "waiver:w2", "--rationale", "no", "--as", "p-second").good()
    run("waiver", "grant", "waiver:w2", "--rationale", "yes", "--as", "p-second").refused(
        5, "Ask for another one: muniment waiver request"
    )


def test_an_approver_of_one_environment_decides_on_waivers_there(ready: Shop):
    ready.enrol("p-staging", "auditor")
    run("actor", "grant", "p-staging", "approver", "--env", "staging").good()
    wanted = ("--owner", "p-author", "--reason", "x", "--control", "x", "--expires", "9d", "--as", "p-author")
    for name, place in (("s", "staging"), ("t", "staging"), ("p", "prod")):
        run(
            "waiver", "request", "drift", "--model", MODEL, "--env", place, "--waiver", f"waiver:{name}", *wanted
        ).good()
    waiting = run("inbox", "--as", "p-staging", "--all", "-o", "json").good().json["inbox"]
    assert {item["subject"]: item["may"] for item in waiting} == {
        "waiver:s": True, "waiver:t": True, "waiver:p": False,
    }  # fmt: skip
    run("waiver", "grant", "waiver:s", "--rationale", "x", "--as", "p-staging").good()
    run("waiver", "revoke", "waiver:s", "--reason", "x", "--as", "p-staging").good()
    run("waiver", "deny", "waiver:t", "--rationale", "x", "--as", "p-staging").good()
    refused = run("waiver", "grant", "waiver:p", "--rationale", "x", "--as", "p-staging").refused(4, "does not reach")
    assert "waiver:p for model:tx in prod" in refused.err
    run("verify", "log").good()


def test_an_emergency_waits_for_a_review(ready: Shop):
    run(*AUTHORISE, "--emergency").refused(2, "--reason")
    assert "emergency" in run(*AUTHORISE, "--emergency", "--reason", "fraud wave").good().err
    waiting = run("inbox", "--as", "p-second", "-o", "json").good().json["inbox"]
    assert [(item["what"], item["subject"]) for item in waiting] == [("emergency", PROD)]
    assert [item["what"] for item in run("due", "-o", "json").good().json["due"]] == ["emergency"]
    mine = ("review", PROD, "--verdict", "justified", "--rationale", "losses stopped")
    run(*mine, "--as", "p-second").good()
    run(*mine, "--as", "p-second").refused(1, "waits for a review")
    assert run("inbox", "-o", "json").good().json["inbox"] == []


def test_the_inbox_shows_what_is_live_and_what_differs(ready: Shop):
    ready.release()
    made = ("--digest", "sha256:" + "cd" * 32, "--tier", "high", "--run", "run:2")
    params = [word for name in "abc" for word in ("--param", f"{name}=1")]
    run("record", "run", "run:2", "--commit", "bbb", *params, "--as", "p-author").good()
    run("record", "version", "model:tx@2", *made, "--as", "p-author").good()
    measured = ("--metric", "auc=0.95", "--metric", "f1=0.8", "--verdict", "pass")
    run("record", "evaluation", "model:tx@2", *measured, "--as", "p-author").good()
    findings = [{"id": name, "severity": name, "statement": "leaks"} for name in ("low", "critical")]
    body = ("-d", "verdict=uncertain", "-d", "independence=other team", "-d", f"findings={json.dumps(findings)}")
    run("emit", "validation.completed", "model:tx@2", *body, "--as", "p-second").good()
    one = "sha256:" + "cd" * 32
    checks = [{"check": name, "result": name, "reason": "x"} for name in ("pass", "fail", "error", "not-applicable")]
    gate = {"environment": "prod", "policy": "policy:p@1", "policy_digest": one, "digest": one, "input_digest": one,
            "size": 1, "as_of": end_of("0s"), "result": "deny", "checks": checks, "engine": "cel"}  # fmt: skip
    run(
        "emit", "gate.evaluated", "model:tx@2", "-d", "@-", "--as", "p-deployer", stdin=json.dumps(gate).encode()
    ).good()
    run("request", "model:tx@2", "--env", "prod", "--as", "p-author").good()
    (item,) = run("inbox", "--as", "p-approver", "-o", "json").good().json["inbox"]
    assert (item["needs"], item["has"], item["may"]) == (1, 0, True)
    assert [live["model"] for live in item["live"]] == [MODEL]
    told = run("diff", MODEL, "model:tx@2", "-o", "json").good().json
    assert item["live"] == [{"model": MODEL, **{name: told[name] for name in ("changed", "same", "missing")}}]
    assert {"code", "parameters", "metrics", "status"} <= {one["section"] for one in told["changed"]}
    assert [(one["finding"], one["severity"]) for one in item["findings"]] == [("critical",) * 2, ("low",) * 2]
    assert [one["verdict"] for one in item["validations"]] == ["uncertain"]
    shown = run("inbox", "--as", "p-approver").good()
    words = _differs(item["live"][0], "model:tx@2", {})
    assert set(words.split()) <= set(shown.out.replace("\n", " ").split()), "in a cell, which breaks lines"
    assert words.startswith(
        f"live: {MODEL} (code.commit bbb, which was not there, parameters.a 1, which was not there, "
    )
    assert "parameters.b" in words
    assert "parameters.c" not in words
    assert "auc 0.9 → 0.95, " in words
    more = len(told["changed"]) - 5
    assert f", and {more} more: muniment diff {MODEL} model:tx@2; not compared: no run is recorded for {MODEL}" in words
    assert [(gate["allowed"], gate["refused"]) for gate in item["gates"]] == [(False, ["fail", "error"])]
    assert "policy:p@1 refuses: fail, error" in " ".join(shown.out.replace("|", "").split())
    assert "critical findings open: critical; 1 finding(s) open of lower severity" in "; ".join(_open(item))
    item["findings"] += [{"finding": name, "severity": severity} for name, severity in (("f", "high"), ("m", "medium"))]
    assert _open(item)[-2:] == ["high findings open: f", "2 finding(s) open of lower severity"]
    assert "muniment approve model:tx@2 --env prod" in shown.err
    assert run("inbox", "--as", "p-author", "-o", "json").good().json["inbox"] == [], "not by who asked"
    assert len(run("inbox", "--as", "p-author", "--all", "-o", "json").good().json["inbox"]) == 1


def test_an_approver_hands_on_approving(ready: Shop):
    ready.enrol("p-deputy", "owner")
    ask()
    run("approve", MODEL, "--rationale", "x", "--as", "p-deputy").refused(4)
    bounds = ("--type", "approval.granted", "--subject", "model:*", "--env", "prod")
    run("actor", "delegate", "p-deputy", *bounds, "--until", "14d", "--reason", "leave", "--as", "p-approver").good()
    run("approve", MODEL, "--rationale", "x", "--as", "p-deputy").good()
    assert [item["what"] for item in run("due", "-o", "json").good().json["due"]] == ["role"]


def test_keys_roles_and_credentials_that_are_about_to_end_are_due(ready: Shop):
    run("actor", "grant", "p-second", "deployer", "--until", end_of("5d")).good()
    for name, end in (("feed", "3d"), ("feed", "4d"), ("old", "2d"), ("far", "90d")):
        body = (f"-dcredential={name}", f"-dexpires_at={end_of(end)}")
        run("emit", "credential.rotated", "external:vault", *body, "--as", "p-author").good()
    run("emit", "credential.expired", "external:vault", "-dcredential=old", "--as", "p-author").good()
    run("key", "rotate", "p-approver", "--reason", "yearly").good()
    run("key", "rotate", "p-second", "--grace", "3", "--reason", "yearly").good()

    def found() -> list[tuple[str, str, bool, str]]:
        items = run("due", "-o", "json").good().json["due"]
        return [(one["what"], one["subject"], one["at"] is None, one["words"]) for one in items]

    *timed, key = found()
    assert timed == [
        ("credential.rotated", "external:vault", False, "feed"),
        ("role", "actor:p-second", False, "deployer"),
    ]
    assert key[:3] == ("key", "actor:p-second", True)
    assert ", 2 from here" in key[3]
    assert ", 2 from here" in run("due").good().out
    ask()
    ask()
    assert found() == timed, "it has ended by now"


def test_the_life_cycle_is_shown_as_data(ready: Shop):
    data = run("admin", "lifecycle", "-o", "json").good().json
    asked = {"event": "approval.requested", "of": [], "to": "approval pending", "side": False, "other": False}
    assert asked in data["moves"]
    assert [move["of"] for move in data["moves"] if (move["event"], move["to"]) == (None, "approval expired")]
    assert {"decision": "approval.requested", "states": ["quarantined", "retired"]} in data["stops"]
    assert (data["name"], data["own_stops"], len(data["rules"])) == ("default", False, 2)
    limits = [(limit["tier"], limit["days"]) for limit in data["waivers"]]
    assert (limits, data["own_waivers"]) == ([("high", 30), ("*", 90)], False)
    shown = run("admin", "lifecycle").good().out
    assert "quarantined, retired" in shown
    assert "approval pending" in shown
    assert "time passes" in shown
    assert {one["decision"]: frozenset(one["states"]) for one in data["stoppable"]} == STOPPABLE
    apart = {(one["decision"], one["rule"]): one["asks"] for one in data["separation"]}
    assert apart["emergency.reviewed", "decider"] == "another person than who decided in the emergency"
    assert "who asked for it, and nobody else" in shown
    assert "rollback.completed, to another version" in shown


@pytest.mark.parametrize("name", ["default", "light", "standard", "full"])
def test_rules_to_begin_with_are_printed_taken_and_put_in_force(ready: Shop, name: str):
    printed = run("admin", "rules", "starter", name).good()
    assert printed.json["name"] == name
    run("admin", "rules", "change", "-", "--reason", "x", "--as", "root", stdin=printed.out.encode()).good()
    assert run("admin", "rules", "show").good().json == printed.json
    there = Path("there")
    there.mkdir()
    run("init", "there", "--origin", "example.com/two", "--rules", name, "--keys", "keys").good()
    shown = run("--ledger", f"sqlite:///{there.resolve()}/.muniment/ledger.db", "admin", "rules", "show", "-o", "json")
    assert shown.good().json == printed.json
    (there / "own.json").write_text(json.dumps(printed.json | {"name": "own"}))
    (there / "wrong.json").write_text(json.dumps(printed.json | {"stops": [{"decision": "x", "states": ["live"]}]}))
    three = Path("three")
    three.mkdir()
    begin = ("init", "three", "--origin", "example.com/three", "--keys", "keys", "--rules")
    run(*begin, "there/wrong.json").refused(2, "x is not stopped by any state")
    run(*begin, "heavy").refused(2, "neither a file nor one of", "muniment admin rules starter")
    assert not (three / ".muniment").exists()
    run(*begin, "there/own.json").good()


def test_rules_are_shown_edited_and_changed_by_the_roots(ready: Shop):
    shown = run("admin", "rules", "show").good()
    table = shown.json
    assert run("admin", "rules", "show", "-o", "json").good().json == table
    table["rules"][-1]["approvals"] = 2
    edited = json.dumps(table).encode() + b"\n"
    run("admin", "rules", "change", "-", "--reason", "two", stdin=edited).refused(4)
    run("admin", "rules", "change", "-", "--reason", "two", "--as", "root", stdin=b"{").refused(2)
    run("admin", "rules", "change", "-", "--reason", "two", "--as", "root", stdin=b'{"name": "x"}').refused(2, "rules")
    run("admin", "rules", "change", "-", "--reason", "two", "--as", "root", stdin=edited).good()
    assert run("admin", "rules", "show").good().json == table
    ask()
    approve()
    run(*AUTHORISE).refused(1, "needs 2 approval(s)")


STOPS = [{"decision": "deployment.requested", "states": ["registered", "rejected"]},
         {"decision": "deployment.authorised", "states": ["rolled back"]}]  # fmt: skip


def test_a_table_of_stops_is_written_and_refuses_with_the_next_step(ready: Shop):
    table = run("admin", "rules", "show").good().json
    change = ("admin", "rules", "change", "-", "--reason", "our table", "--as", "root")
    for decision, state, words in (
        ("approval.granted", "approval pending", "nothing could be approved any more"),
        ("rollback.completed", "quarantined", "is not stopped by any state"),
    ):
        wrong = table | {"stops": [{"decision": decision, "states": [state]}]}
        run(*change, stdin=json.dumps(wrong).encode()).refused(2, words)
    run(*change, stdin=json.dumps(table | {"stops": STOPS}).encode()).good()
    assert run("admin", "lifecycle", "-o", "json").good().json["stops"] == STOPS
    assert "registered, rejected" in run("admin", "lifecycle").good().out
    ready.release()
    run("record", "rollback", PROD, "--model", "model:tx@0", "--digest", digest("old"), "--as", "p-deployer").good()
    refused = run(*AUTHORISE).refused(1, "deployment.authorised is refused for what is rolled back", "took it out")
    assert f"muniment authorise {PROD} --model {MODEL} --emergency" in refused.err
    assert "took it out of deployment:prod/tx" in run("why", MODEL, "--env", "prod").out
    assert "rolled back" in run("state", MODEL).good().out
    run(*AUTHORISE, "--emergency", "--reason", "fraud wave").good()


def test_the_inbox_asks_of_states_where_something_is_to_be_deployed(ready: Shop):
    table = run("admin", "rules", "show").good().json
    stops = [
        {"decision": "deployment.authorised", "states": ["live"]},
        {"decision": "waiver.granted", "states": ["registered"]},
    ]
    run("admin", "rules", "change", "-", "--reason", "x", "--as", "root",
        stdin=json.dumps(table | {"stops": stops}).encode()).good()  # fmt: skip
    ready.release()
    for service in ("tx", "other"):
        run("emit", "deployment.requested", f"deployment:prod/{service}", f"-dmodel={MODEL}",
            f"-ddigest={data_of_version()}", "--as", "p-deployer").good()  # fmt: skip
    run("record", "version", "model:tx@2", "--digest", digest("two"), "--tier", "high", "--as", "p-author").good()
    run("waiver", "request", "drift", "--model", "model:tx@2", "--env", "prod", "--owner", "p-author", "--reason", "x",
        "--control", "x", "--expires", "9d", "--waiver", "waiver:w", "--as", "p-author").good()  # fmt: skip
    found = {
        one["subject"]: one for one in run("inbox", "--all", "--as", "p-deployer", "-o", "json").good().json["inbox"]
    }
    assert "what is live: it is live in deployment:prod/tx" in found[PROD]["because"]
    assert (found["deployment:prod/other"]["may"], found["deployment:prod/other"]["stopped"]) == (True, None)
    waiver = found["waiver:w"]
    assert (waiver["may"], waiver["next"].partition(" --metric")[0]) == (
        False, "Evaluate it first: muniment record evaluation model:tx@2"
    )  # fmt: skip
    assert waiver["because"].startswith("waiver.granted is refused for what is registered: ")


def data_of_version() -> str:
    return str(run("state", MODEL, "-o", "json").good().json["models"][0]["versions"][0]["digest"])


def test_the_inbox_says_what_stops_a_decision(ready: Shop):
    ask()
    assert run("inbox", "--as", "p-approver", "-o", "json").good().json["inbox"][0]["stopped"] is None
    run("quarantine", MODEL, "--reason", "poisoned", "--as", "p-deployer").good()
    (item,) = run("inbox", "--as", "p-approver", "--all", "-o", "json").good().json["inbox"]
    assert item["may"] is False
    assert "poisoned" in item["stopped"]
    assert "poisoned" in run("inbox", "--as", "p-approver", "--all").good().out


def test_a_request_that_no_rule_covers_any_more_still_shows(ready: Shop):
    ask()
    rule = {"environment": "dev", "tier": "*", "authorisation": False, "approvals": 0, "evaluation": False}
    table = json.dumps({"name": "dev only", "rules": [rule]})
    run("admin", "rules", "change", "-", "--reason", "cut down", "--as", "root", stdin=table.encode()).good()
    (item,) = run("inbox", "--all", "-o", "json").good().json["inbox"]
    assert (item["needs"], item["has"]) == (None, 0)
    assert "no rule covers" in item["stopped"]


def test_the_state_shows_what_stands_beside_what_is_live(ready: Shop):
    ready.release()
    retired = run("retire", MODEL, "--reason", "old", "--as", "p-author").good()
    assert f"Warning: {MODEL} is live in deployment:prod/tx, and stays so" in retired.err
    assert "live (retired)" in run("state").good().out
    for command in (("state", "deployment:prod/tx"), ("inventory",), ("why", "deployment:prod/tx")):
        assert "retired" in run(*command).good().out
    run("quarantine", MODEL, "--reason", "x", "--as", "p-author").good()
    assert "live (quarantined, retired)" in run("state").good().out


def test_an_approval_ends_with_the_documents_it_saw(ready: Shop):
    """`approve` cites validations and documents that end; what ended before is not cited."""
    done = ("emit", "validation.completed", MODEL, "-d", "verdict=pass", "-d", "independence=another team")
    run(*done, "-d", "valid_until=2999-01-01T00:00:00Z", "--as", "p-second").good()
    run(*done, "-d", "valid_until=2020-01-01T00:00:00Z", "--as", "p-second").good()
    ask()
    approve()
    (soon,) = run("due", "--within", "999999d", "-o", "json").good().json["due"][-1:]
    assert soon["at"].startswith("2999-01-01")
    ends = [
        item["at"][:4]
        for item in run("due", "--within", "999999d", "-o", "json").json["due"]
        if item["what"] == "approval"
    ]
    assert ends == ["2999"]
    run(*AUTHORISE).good()


def said(subject: str) -> list[str]:
    return [row["what"] for row in run("history", subject, "-o", "json").good().json["rows"]]


def body(index: str) -> dict[str, object]:
    found: dict[str, object] = run("show", index, "-o", "json").good().json["event"]["data"]
    return found


def last() -> str:
    return str(run("log", "-n", "1", "-o", "json").good().json[0]["index"])


def test_a_model_is_decommissioned_by_retiring_it_without_a_version(ready: Shop):
    run("record", "deployment", "deployment:dev/tx", "--model", MODEL, "--as", "p-deployer").good()
    told = run(
        "retire", "model:tx", "--reason", "the product ends", "--data", "deleted", "--keep-until",
        "2036-12-31T00:00:00Z", "--as", "p-author",
    ).good()  # fmt: skip
    assert f"Warning: {MODEL} is live in deployment:dev/tx" in told.err
    words = "the product ends (its data: deleted, kept until 2036-12-31T00:00:00.000000Z)"
    assert words in said("model:tx")
    run("request", MODEL, "--env", "prod", "--as", "p-author").refused(1, "was retired")
    (version,) = run("state", MODEL, "-o", "json").good().json["models"][0]["versions"]
    assert version["retired"]["data_disposition"] == "deleted"


def test_why_something_is_held_and_by_whom(ready: Shop):
    options = ("--scope", "labels of May", "--known-since", "2026-05-01T00:00:00Z", "--held-by", "data team")
    run("quarantine", MODEL, "--reason", "labels", *options, "--serving-blocked", "--as", "p-author").good()
    (version,) = run("state", MODEL, "-o", "json").good().json["models"][0]["versions"]
    (held,) = version["quarantines"]
    assert (held["scope"], held["serving_blocked"], held["held_by"]) == ("labels of May", True, "data team")
    assert held["known_since"] == "2026-05-01T00:00:00.000000Z"
    run("quarantine", MODEL, "--reason", "x", "--known-since", "May").refused(2, "2026-11-23T08:00:00Z")


def test_what_a_rollback_came_from_and_whether_it_helped(ready: Shop):
    shop = ready
    shop.version("model:tx@2", signer="p-author")
    for model in (MODEL, "model:tx@2"):
        run("record", "deployment", "deployment:dev/tx", "--model", model, "--traffic", "0.5", "--deployment-id", "r7",
            "--as", "p-deployer").good()  # fmt: skip
    assert "model:tx@2 (50% of the traffic, as r7)" in said("deployment:dev/tx")
    back = ("record", "rollback", "deployment:dev/tx", "--model", MODEL, "--as", "p-deployer")
    run(*back, "--automatic", "--verified", "pass", "--verification", "errors fell").good()
    assert said("deployment:dev/tx")[-1] == f"{MODEL} (from model:tx@2, by rule, verified: pass, errors fell)"
    run(*back).good()
    assert "from_model" not in body(last()), "it was live already"


def test_what_is_to_be_deployed_stands_in_the_authorisation(ready: Shop):
    settings = "sha256:" + "0" * 64
    how = ("--strategy", "canary", "--traffic", "0.05", "--config-digest", settings)
    run("authorise", "deployment:dev/tx", "--model", MODEL, *how, "--as", "p-deployer").good()
    found = body(last())
    assert (found["strategy"], found["traffic"], found["config_digest"]) == ("canary", 0.05, settings)
    assert "approvals" not in found, "nobody approved it for dev"
    assert said("deployment:dev/tx")[-1] == f"{MODEL} (canary, 5% of the traffic, settings {settings})"


def test_an_authorisation_names_the_approvals_that_stand(ready: Shop):
    ask()
    approve()
    run("approve", MODEL, "--rationale", "me too", "--as", "p-second").good()
    run("revoke", MODEL, "--rationale", "not me", "--as", "p-second").good()
    run(*AUTHORISE).good()
    given = [
        row for row in run("history", MODEL, "-o", "json").good().json["rows"] if row["type"] == "approval.granted"
    ]
    assert [row["actor"] for row in given] == ["p-approver", "p-second"]
    assert body(last())["approvals"] == [given[0]["id"]]
    assert f"approved by {given[0]['id']}" in said(PROD)[-1]


def test_whose_classification_it_follows(ready: Shop):
    answers = ("--affects-people", "--no-personal-data", "--money-or-law", "--no-shared")
    by = ("--regime", "EU AI Act", "--annex", "Annex III(5)(b)", "--effective", "2027-12-02T00:00:00Z")
    run("classify", MODEL, *answers, "--rationale", "credit", *by, "--as", "p-author").good()
    found = body(last())
    assert (found["regime"], found["annex"]) == ("EU AI Act", "Annex III(5)(b)")
    assert said(MODEL)[-1].endswith("EU AI Act, Annex III(5)(b), from 2027-12-02T00:00:00.000000Z on)")


def test_incidents_that_an_authority_is_to_be_told_of(ready: Shop):
    case = "incident:inc-9"
    run(
        "incident", "open", case, "--title", "slow", "--seriousness", "EU AI Act Art. 3(49)", "--report-by", "15d"
    ).good()
    (item,) = run("due", "--within", "20d", "-o", "json").good().json["due"]
    assert (item["what"], item["subject"]) == ("report", case)
    because = ("incident", "cause", case, "--category", "process", "--statement")
    run(*because, "nobody looked", "--contributing", "--reviewer", "p-author").good()
    run("incident", "mitigate", case).good()
    waiting = [one for one in run("inbox", "-o", "json").good().json["inbox"] if one["what"] == "incident"]
    assert "incident cause" in waiting[0]["next"], "a factor is not the root cause"
    run("emit", "notification.sent", case, "-d", "recipient_class=regulator", "--as", "p-author").good()
    assert run("due", "--within", "20d", "-o", "json").good().json["due"] == []
    assert "nobody looked (process, seen by p-author)" in said(case)
