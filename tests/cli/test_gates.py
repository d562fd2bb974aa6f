"""Policies and gates, as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Shop, run

MODEL, PROD = "model:tx@1", "deployment:prod/tx"
AUTHORISE = ("authorise", PROD, "--model", MODEL, "--as", "p-deployer")
CHECK = ("gate", "check", MODEL, "--env", "prod")
POLICY = """\
schema: muniment.checks/v1
title: What production asks for
checks:
- id: evaluation-passed
  title: An evaluation passed
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation that passes.
- id: drift-run
  title: Drift was measured
  pass: input.evaluations.exists(e, e.kind == "drift")
  reason: Record an evaluation of kind drift.
"""
RULE = {
    "environment": "prod", "tier": "*", "authorisation": True, "approvals": 1, "evaluation": True, "gate": "policy:p",
}  # fmt: skip


@pytest.fixture
def ready(any_shop: Shop) -> Shop:
    any_shop.people()
    any_shop.enrol("p-second", "approver", "validator")
    any_shop.version(signer="p-author")
    Path("p.yaml").write_text(POLICY)
    return any_shop


@pytest.fixture
def asked(ready: Shop) -> Shop:
    """The rules ask for a policy, and the version is approved."""
    define()
    rules = json.dumps({"name": "gated", "rules": [RULE]}).encode()
    run("admin", "rules", "change", "-", "--reason", "gates", "--as", "root", stdin=rules).good()
    run("request", MODEL, "--env", "prod", "--as", "p-author").good()
    run("approve", MODEL, "--rationale", "looked at", "--as", "p-approver").good()
    return ready


def define(version: str = "1", file: str = "p.yaml") -> None:
    run("policy", "define", f"policy:p@{version}", file, "--as", "p-second").good()


def measure_drift() -> None:
    drift = ("record", "evaluation", MODEL, "--metric", "psi=0.01", "--verdict", "pass", "--kind", "drift")
    run(*drift, "--as", "p-author").good()


def results(checks: list[dict[str, str]]) -> dict[str, str]:
    return {item["check"]: item["result"] for item in checks}


def types(last: int) -> list[str]:
    """Types of the last entries of the log."""
    rows = run("log", "-o", "json").good().json
    return [row["entry"]["type"].removeprefix("muniment.").rpartition(".")[0] for row in rows[-last:]]


def test_a_gate_stands_before_a_deployment(asked: Shop):
    refused = run(*AUTHORISE).refused(1, "policy:p@1 refuses", "drift-run: Record an evaluation of kind drift.")
    assert "muniment gate check" in refused.err
    assert types(1) == ["gate.evaluated"], "what was found is recorded"
    refused = run(*CHECK, "--as", "p-deployer", "-o", "json")
    assert (refused.code, refused.json["result"]) == (1, "deny")
    assert results(refused.json["checks"]) == {"evaluation-passed": "pass", "drift-run": "fail"}
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


def test_waived_and_not_hidden(asked: Shop):
    wanted = ("--model", MODEL, "--env", "prod", "--owner", "p-author", "--reason", "new", "--control", "by hand",
              "--expires", "14d", "--single-use", "--waiver", "waiver:w1", "--as", "p-author")  # fmt: skip
    run("waiver", "request", "drift-*", *wanted).good()
    assert results(run(*CHECK, "--dry-run", "-o", "json").json["checks"])["drift-run"] == "fail", "only asked for"
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    (waived,) = [item for item in run(*CHECK, "--dry-run", "-o", "json").good().json["checks"] if "waiver" in item]
    assert (waived["check"], waived["result"], waived["waiver"]) == ("drift-run", "waived", "waiver:w1")
    assert "Waived by waiver:w1" in waived["reason"]
    run(*AUTHORISE).good()
    assert types(3) == ["gate.evaluated", "waiver.used", "deployment.authorised"]
    run(*AUTHORISE).refused(1, "drift-run")
    assert [item["trouble"] for item in run("gate", "recheck", "-o", "json").good().json["evaluations"]] == ["", ""]


def test_what_a_policy_would_have_refused(ready: Shop):
    ready.release()
    found = run("gate", "replay", "--file", "p.yaml", "-o", "json").good().json["authorisations"]
    assert [(item["model"], item["result"], item["refused_by"]) for item in found] == [(MODEL, "deny", ["drift-run"])]
    assert "1 of 1 authorisations would have been refused" in run("gate", "replay", "--file", "p.yaml").good().out
    assert run("gate", "replay", "--file", "p.yaml", "--since", "2999-01-01T00:00:00Z", "-o", "json").good().json == {
        "authorisations": []
    }
    run("gate", "replay").refused(2, "--policy")


def test_policies_are_listed_shown_and_retired(asked: Shop):
    (item,) = run("policy", "list", "-o", "json").good().json["policies"]
    assert (item["policy"], item["checks"], item["asked_by"], item["retired"]) == ("policy:p@1", 2, ["prod/*"], False)
    assert run("policy", "show", "policy:p", "--source").good().out == POLICY
    assert "Drift was measured" in run("policy", "show", "policy:p@1").good().out
    Path("p2.yaml").write_text(POLICY.replace("drift-run", "drift-ran"))
    run("policy", "define", "policy:p@1", "p2.yaml", "--as", "p-second").refused(5)
    define("2", "p2.yaml")
    assert run(*CHECK, "--dry-run", "-o", "json").json["policy"] == "policy:p@2", "the last one"
    run("policy", "retire", "policy:p@2", "--reason", "wrong", "--as", "p-second").good()
    assert run(*CHECK, "--dry-run", "-o", "json").json["policy"] == "policy:p@1", "the last that stands"
    run("policy", "retire", "policy:p@1", "--reason", "wrong", "--as", "p-second").good()
    run(*CHECK, "--dry-run").refused(1, "was retired", "muniment policy define")
    assert [item["retired"] for item in run("policy", "list", "-o", "json").good().json["policies"]] == [True, True]


def test_starters_can_be_read_and_run(ready: Shop):
    for name in ("pre-production", "production"):
        source = run("policy", "starter", name).good().out
        Path("starter.yaml").write_text(source)
        assert "Checklist" in run("policy", "lint", "starter.yaml").good().out.title()
        done = run(*CHECK, "--file", "starter.yaml", "-o", "json")
        assert (done.code, done.json["index"]) == (1, None)
        assert "error" not in results(done.json["checks"]).values()


def test_the_input_is_what_was_known_then(ready: Shop):
    size = ready.size()
    before = run("gate", "input", MODEL, "--env", "prod", "--known-at", size, "-o", "json").good().json
    measure_drift()
    assert run("gate", "input", MODEL, "--env", "prod", "--known-at", size, "-o", "json").good().json == before
    assert len(run("gate", "input", MODEL, "--env", "prod").good().json["evaluations"]) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("title: x", "field required"),
        (POLICY.replace("v1", "v2"), "schema"),
        (POLICY + POLICY.partition("checks:\n")[2], "each once"),
        (POLICY.replace("drift-run", "Drift run"), "lower-case"),
        (POLICY.replace('"drift")', '"drift"'), "does not compile"),
        (POLICY.replace('input.evaluations.exists(e, e.kind == "drift")', "2 > 1"), "does not look at the input"),
        (POLICY.replace('e.kind == "drift"', "input.a.all(b, input.a.all(c, c == b))"), "too deep"),
        (POLICY + "title: twice\n", "stands twice"),
        (POLICY.replace("title: What", "title: &a What"), "anchors"),
        ("checks: [", "no YAML"),
        ("[]", "policy"),
        (POLICY + "  waivable: 1\n", "checks.1.waivable"),
        ("x" * 50_000, "49,152"),
    ],
)  # fmt: skip
def test_a_malformed_policy_is_refused_before_it_is_signed(shop: Shop, wrong: str, words: str):
    run("policy", "lint", "-", stdin=wrong.encode()).refused(2, words)
    run("policy", "define", "policy:p@1", "-", stdin=wrong.encode()).refused(2, words)
    assert run("policy", "list", "-o", "json").good().json == {"policies": []}


def test_bytes_that_are_no_text_are_no_policy(shop: Shop):
    run("policy", "lint", "-", stdin=b"\xff").refused(2, "UTF-8")


def test_what_is_asked_wrongly(shop: Shop):
    run("gate", "check", "model:none@1", "--env", "prod", "--dry-run").refused(1)
    run("gate", "check", MODEL, "--env", "prod", "--policy", "policy:p", "--file", "p.yaml").refused(2, "give one")
    run("policy", "show", "model:tx").refused(2, "names no policy")
    run("policy", "show", "policy:none").refused(1, "muniment policy define")
    assert run("gate", "recheck").code == 3
