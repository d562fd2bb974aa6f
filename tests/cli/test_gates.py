"""Gates, as people type them: what they find, what is recorded of it, and that it can be run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.gated import (
    AUTHORISE,
    CHECK,
    MODEL,
    POLICY,
    RULE,
    WAIVER,
    counted,
    define,
    measure_drift,
    processes,
    results,
    types,
)
from tests.cli.support import Shop, run


def test_a_gate_stands_before_a_deployment(asked: Shop):
    refused = run(*AUTHORISE).refused(1, "policy:p@1 refuses", "drift-run: Record an evaluation of kind drift.")
    assert "muniment gate check" in refused.err
    assert types(2) == ["gate.evaluated", "decision.refused"], "what was found is recorded, and what was refused"
    refused = run(*CHECK, "--as", "p-deployer", "-o", "json")
    assert (refused.code, refused.json["result"]) == (1, "deny")
    assert results(refused.json["checks"]) == {
        "evaluation-passed": "pass", "drift-run": "fail", "vendor-known": "not-applicable",
    }  # fmt: skip
    measure_drift()
    allowed = run(*CHECK, "--as", "p-deployer").good()
    assert "✓ allows" in allowed.out
    run(*AUTHORISE).good()
    assert types(2) == ["gate.evaluated", "deployment.authorised"]
    again = run("gate", "recheck", "-o", "json").good().json["evaluations"]
    assert [(item["result"], item["trouble"]) for item in again] == [
        ("deny", ""),
        ("deny", ""),
        ("allow", ""),
        ("allow", ""),
    ]


def test_a_retry_with_the_same_id_repeats_nothing(asked: Shop):
    measure_drift()
    once = ("--id", "0198c0de-0000-7000-8000-000000000001", "-o", "json")
    first = run(*AUTHORISE, *once).good().json
    size = asked.size()
    second = run(*AUTHORISE, *once).good().json
    assert (second["index"], second["existing"]) == (first["index"], True)
    assert asked.size() == size, "nor is a gate run again"


def test_what_was_not_run_does_not_agree(asked: Shop):
    body = run(*CHECK, "--dry-run", "-o", "json").json
    lie = {name: body[name] for name in (
        "environment", "policy", "policy_digest", "digest", "input_digest", "size", "as_of", "engine",
    )}  # fmt: skip
    fine = [{**item, "result": "pass"} for item in body["checks"]]
    Path("lie.json").write_text(json.dumps({**lie, "result": "allow", "checks": fine}))
    run("emit", "gate.evaluated", MODEL, "-d", "@lie.json", "--as", "p-deployer").good()
    found = run("gate", "recheck", "-o", "json")
    assert found.code == 1
    assert "checks is another one" in found.json["evaluations"][0]["trouble"]
    assert "✗" in run("gate", "recheck", "--model", MODEL).out


def test_a_gate_that_looked_elsewhere_opens_nothing(asked: Shop):
    """What is live in a deployment is looked at by a gate that is run for it, and by no other."""
    run("record", "evaluation", MODEL, "--metric", "psi=0.01", "--verdict", "pass", "--kind", "drift").good()
    body = ("-d", f"model={MODEL}", "-d", "digest=" + run(*CHECK, "--dry-run", "-o", "json").json["digest"])
    decided = ("emit", "deployment.authorised", "deployment:prod/tx", *body, "--as", "p-deployer")
    for place, words in (
        (
            ("--deployment", "deployment:prod/elsewhere"),
            "for deployment:prod/elsewhere, and not for deployment:prod/tx",
        ),
        (("--env", "prod"), "for no deployment in particular, and not for deployment:prod/tx"),
    ):
        run("gate", "check", MODEL, *place, "--as", "p-deployer").good()
        refused = run(*decided)
        assert (refused.code, words in refused.err) == (1, True), refused.err
        assert f"muniment gate check {MODEL} --deployment deployment:prod/tx" in refused.err
    found = run("why", MODEL, "--env", "prod", "-o", "json").json["answers"][0]
    assert not found["allowed"]
    run("gate", "check", MODEL, "--deployment", "deployment:prod/tx", "--as", "p-deployer").good()
    assert run("why", MODEL, "--env", "prod", "-o", "json").json["answers"][0]["allowed"], "of where it was run for"
    run(*decided).good()


@pytest.fixture
def waived(asked: Shop) -> Shop:
    """What the policy misses is waived, once."""
    run(*WAIVER).good()
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    return asked


@pytest.mark.parametrize("waiver", [True, False])
def test_the_same_undertaking_at_once_is_done_once(asked: Shop, monkeypatch: pytest.MonkeyPatch, waiver: bool):
    if waiver:
        run(*WAIVER).good()
        run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    else:
        measure_drift()
    once = (*AUTHORISE, "--id", "0198c0de-0000-7000-8000-000000000001", "-o", "json")
    found = [done.good().json for done in processes([once] * 3, monkeypatch)]
    assert counted(asked) == (1, int(waiver), 0)
    assert len({(one["id"], one["index"], one["leaf_hash"]) for one in found}) == 1
    assert sorted(one["existing"] for one in found) == [False, True, True]
    run("verify", "log").good()


def test_waived_and_not_hidden(asked: Shop):
    run(*WAIVER).good()
    assert results(run(*CHECK, "--dry-run", "-o", "json").json["checks"])["drift-run"] == "fail", "only asked for"
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    (waived,) = [item for item in run(*CHECK, "--dry-run", "-o", "json").good().json["checks"] if "waiver" in item]
    assert (waived["check"], waived["result"], waived["waiver"]) == ("drift-run", "waived", "waiver:w1")
    assert "Waived by waiver:w1" in waived["reason"]
    run(*AUTHORISE).good()
    assert types(3) == ["gate.evaluated", "waiver.used", "deployment.authorised"]
    run(*AUTHORISE).refused(1, "drift-run")
    words = "drift-run by waiver:w1"
    lines = [one["what"] for one in run("history", MODEL, "-o", "json").good().json["rows"] if words in one["what"]]
    assert len(lines) == 2, f"of the gate and of the authorisation: {lines}"
    assert f"authorised | {words}" in run("state", "deployment:prod/tx").good().out
    again = run("gate", "recheck", "-o", "json").good().json["evaluations"]
    assert [(item["trouble"], item["waived"]) for item in again] == [("", [words]), ("", [])]
    replay = ("gate", "replay", "--env", "prod")
    told = run(*replay, "-o", "json").json
    assert (told["policy"], [item["waived"] for item in told["authorisations"]]) == ("policy:p@1", [[words]])
    for command in (("gate", "recheck"), replay):
        assert f"allow (waived: {words})" in run(*command).good().out, command


def test_what_a_policy_would_have_refused(ready: Shop):
    run("gate", "replay").refused(2, "the rules name no policy for what was deployed", "--policy")
    ready.release()
    run(*AUTHORISE, "--emergency", "--reason", "fraud wave").good()
    found = run("gate", "replay", "--file", "p.yaml", "-o", "json").good().json
    for part, emergency in (("authorisations", False), ("emergencies", True)):
        assert [(one["model"], one["result"], one["refused_by"], one["emergency"]) for one in found[part]] == [
            (MODEL, "deny", ["drift-run"], emergency)
        ]
    last = "1 of 1 authorisations would have been refused, beside 1 in an emergency"
    assert run("gate", "replay", "--file", "p.yaml").good().out.splitlines()[-1] == last
    assert run("gate", "replay", "--file", "p.yaml", "--since", "2999-01-01T00:00:00Z", "-o", "json").good().json == {
        "policy": "p.yaml", "authorisations": [], "emergencies": [],
    }  # fmt: skip
    run("gate", "replay", "--env", "prod").refused(2, "the rules name no policy for prod", "--policy")
    Path("q.yaml").write_text(POLICY.replace("drift-run", "drift-seen"))
    define()
    define("2", "q.yaml")
    rules = {"name": "two", "rules": [RULE | {"tier": "high"}, RULE | {"gate": "policy:p@2"}]}
    run("admin", "rules", "change", "-", "--reason", "x", "--as", "root", stdin=json.dumps(rules).encode()).good()
    run("gate", "replay").refused(2, "the rules name 2 policies", "policy:p@2", "--policy", "--env")


def test_the_input_is_what_was_known_then(ready: Shop):
    size = ready.size()
    before = run("gate", "input", MODEL, "--env", "prod", "--known-at", size, "-o", "json").good().json
    measure_drift()
    assert run("gate", "input", MODEL, "--env", "prod", "--known-at", size, "-o", "json").good().json == before
    assert len(run("gate", "input", MODEL, "--env", "prod").good().json["evaluations"]) == 2


def test_what_is_asked_wrongly(shop: Shop):
    for options in (("--dry-run",), ()):
        run("gate", "check", "model:none@1", "--env", "prod", *options).refused(2, "is not registered")
    run("gate", "input", "model:none@1", "--env", "prod").refused(2, "is not registered")
    shop.people()
    shop.version(signer="p-author")
    for signing in (("--dry-run",), ("--as", "p-deployer")):
        run("gate", "check", MODEL, "--env", "prod", *signing).refused(2, "the rules name no policy", "--policy")
        run("gate", "check", MODEL, "--env", "prod", "--policy", "policy:no", *signing).refused(2, "is not defined")
    run("gate", "check", MODEL, "--env", "prod", "--policy", "policy:p", "--file", "p.yaml").refused(2, "give one")
    run("policy", "show", "model:tx").refused(2, "names no policy")
    run("policy", "show", "policy:none").refused(2, "muniment policy define")
    assert run("gate", "recheck").code == 3


def test_who_says_that_a_gate_only_warned_is_found_out(asked: Shop):
    """The rules take no notice of what says that it only warns; neither may it hide that a gate refused."""
    refused = run(*CHECK, "--as", "p-deployer", "-o", "json")
    body = run("show", str(refused.json["index"]), "-o", "json").good().json["event"]["data"]
    Path("ran.json").write_text(json.dumps(body | {"mode": "warn"}))
    run("emit", "gate.evaluated", MODEL, "-d", "@ran.json", "--as", "p-deployer").good()
    again = run("gate", "recheck", "-o", "json")
    assert again.code == 1
    assert "is in the mode enforce, and it says warn" in again.json["evaluations"][-1]["trouble"]
