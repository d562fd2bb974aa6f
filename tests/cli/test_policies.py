"""Policies, as people type them: defined, listed, retired, malformed, and those that only warn."""

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
    define,
    measure_drift,
    results,
    ruled,
)
from tests.cli.support import Shop, run


def test_policies_are_listed_shown_and_retired(asked: Shop):
    (item,) = run("policy", "list", "-o", "json").good().json["policies"]
    assert (item["policy"], item["checks"], item["asked_by"], item["retired"]) == ("policy:p@1", 3, ["prod/*"], False)
    assert run("policy", "show", "policy:p", "--source").good().out == POLICY
    assert "Drift was measured" in run("policy", "show", "policy:p@1").good().out
    Path("p2.yaml").write_text(POLICY.replace("drift-run", "drift-ran"))
    run("policy", "define", "policy:p@1", "p2.yaml", "--as", "p-second").refused(5)
    define("2", "p2.yaml")
    assert run(*CHECK, "--dry-run", "-o", "json").json["policy"] == "policy:p@1", "the one that the rules name"
    assert run(*CHECK, "--policy", "policy:p", "--dry-run", "-o", "json").json["policy"] == "policy:p@2", "the last one"
    retire = ("policy", "retire", "policy:p@1", "--reason", "wrong", "--as", "p-second")
    run(*retire).refused(1, "the rules ask for policy:p@1", "muniment admin rules change")
    ruled("policy:p@2")
    asked_by = {
        item["policy"]: item["asked_by"] for item in run("policy", "list", "-o", "json").good().json["policies"]
    }
    assert asked_by == {"policy:p@1": [], "policy:p@2": ["prod/*"]}
    run(*retire).good()
    assert run(*CHECK, "--dry-run", "-o", "json").json["policy"] == "policy:p@2"
    ruled("policy:p@1", 2, "is no version of a policy that stands")
    ruled("policy:p@3", 2, "is no version of a policy that stands")
    assert [item["retired"] for item in run("policy", "list", "-o", "json").good().json["policies"]] == [True, False]


def test_starters_can_be_read_and_run(ready: Shop):
    both = ("pre-production", "production")
    for names in (both[:1], both[1:], both):
        source = run("policy", "starter", *names).good().out
        Path("starter.yaml").write_text(source)
        assert "Checklist" in run("policy", "lint", "starter.yaml").good().out.title()
        done = run(*CHECK, "--file", "starter.yaml", "-o", "json")
        assert (done.code, done.json["index"]) == (1, None)
        assert "error" not in results(done.json["checks"]).values()
    assert run("policy", "starter").good().out == source, "what is asked for in production, where nothing else is said"
    assert run("policy", "starter", *both, "-o", "json").good().json["name"] == "pre-production production"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("title: x", "field required"),
        (POLICY.replace("v1", "v3"), "schema"),
        (POLICY + POLICY.partition("checks:\n")[2], "each once"),
        (POLICY.replace("drift-run", "Drift run"), "lower-case"),
        (POLICY.replace('"drift")', '"drift"'), "does not compile"),
        (POLICY.replace('input.evaluations.exists(e, e.kind == "drift")', "2 > 1"), "does not look at the input"),
        (POLICY.replace('e.kind == "drift"', "input.a.all(b, input.a.all(c, c == b))"), "too deep"),
        (POLICY + "title: twice\n", "stands twice"),
        (POLICY.replace("title: What", "title: &a What"), "anchors"),
        (POLICY.replace("- id: drift-run", "- <<: {waivable: false}\n  id: drift-run"), "merge keys"),
        ("!!merge x: {title: a}\n" + POLICY, "merge keys"),
        (POLICY.replace("title: What", "title: *a"), "anchors"),
        ("checks: [", "no YAML"),
        ("[]", "policy"),
        (POLICY.replace("waivable: false", "waivable: 1"), "checks.2.waivable"),
        (POLICY.replace("  when: input.model.third_party\n", ""), "say when it does"),
        ("x" * 50_000, "49,152"),
    ],
)  # fmt: skip
def test_a_malformed_policy_is_refused_before_it_is_signed(shop: Shop, wrong: str, words: str):
    run("policy", "lint", "-", stdin=wrong.encode()).refused(2, words)
    run("policy", "define", "policy:p@1", "-", stdin=wrong.encode()).refused(2, words)
    assert run("policy", "list", "-o", "json").good().json == {"policies": []}


@pytest.mark.parametrize(
    "expression", ["input.evaluations[0].metrics.nope > 3", "input.evaluatons.size() > 0", "input.size"]
)
def test_a_check_that_can_be_evaluated_over_no_example_is_found(shop: Shop, expression: str):
    drift = 'input.evaluations.exists(e, e.kind == "drift")'
    wrong = POLICY.replace(drift, expression)
    found = run("policy", "lint", "-", "-o", "json", stdin=wrong.encode())
    assert (found.code, [one["check"] for one in found.json["troubles"]]) == (1, ["drift-run"])
    assert "cannot be evaluated" in found.json["troubles"][0]["reason"]
    assert "drift-run can be evaluated over no example" in run("policy", "lint", "-", stdin=wrong.encode()).err
    defined = run("policy", "define", "policy:p@1", "-", stdin=wrong.encode())
    if "evaluatons" in expression:
        defined.refused(
            2, "the check drift-run: there is no input.evaluatons: did you mean evaluations?", "policy lint"
        )
    else:
        assert "Warning: drift-run can be evaluated over no example" in defined.good().err
    asked_first = POLICY.replace(
        drift, 'input.size > 0 && "nope" in input.evaluations[0].metrics && input.evaluations[0].metrics.nope > 3'
    )
    never = wrong.replace("  title: Drift was", "  when: input.size < 0\n  title: Drift was")
    for good in (POLICY, asked_first, *([] if "evaluatons" in expression else [never])):
        assert run("policy", "lint", "-", "-o", "json", stdin=good.encode()).good().json["troubles"] == []


def test_bytes_that_are_no_text_are_no_policy(shop: Shop):
    run("policy", "lint", "-", stdin=b"\xff").refused(2, "UTF-8")


def warns(mode: str) -> None:
    run(
        "policy", "define", "policy:p@2", "p.yaml", "--mode", mode, "--scope", "model:credit/*", "--as", "p-second"
    ).good()


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_a_policy_that_only_warns_says_what_it_would_refuse(asked: Shop, mode: str):
    warns(mode)
    check = ("gate", "check", MODEL, "--env", "prod", "--policy", "policy:p@2", "--as", "p-deployer")
    told = run(*check).good()
    assert f"✗ would refuse, and refuses nothing ({mode})" in told.out
    assert "Record an evaluation of kind drift." in told.out
    assert run(*check, "--dry-run").good().out.count("would refuse") == 1
    told = run(*check, "-o", "json").good()
    assert (told.json["result"], told.json["mode"]) == ("deny", mode)
    again = run("gate", "recheck", "-o", "json").good().json["evaluations"]
    assert [item["trouble"] for item in again] == ["", ""], "it is what was defined"
    measure_drift()
    run(*AUTHORISE).good()
    assert "✓ allows" in run(*check).good().out


def test_a_policy_that_only_warns_is_not_named_by_rules(asked: Shop):
    warns("warn")
    ruled("policy:p@2", 2, "policy:p@2 is in the mode warn: it refuses nothing, and is no gate")
    rules = json.dumps({"name": "gated", "rules": [{**RULE, "gate": "policy:p@2"}]})
    digest_ = run("policy", "show", "policy:p@2", "-o", "json").good().json["digest"]
    pinned = rules.replace('"policy:p@2"', f'"policy:p@2", "gate_digest": "{digest_}"').encode()
    change = ("admin", "rules", "change", "-", "--reason", "gates", "--as", "root")
    run(*change, stdin=pinned).refused(2, "is no gate")
    body = json.dumps({"rules": json.loads(pinned), "reason": "past the command"})
    Path("rules.json").write_text(body)
    run(
        "emit",
        "ledger.rules_changed",
        f"ledger:{json.loads(Path('.muniment/trust.json').read_text())['ledgerid']}",
        "-d",
        "@rules.json",
        "--as",
        "root",
    ).good()
    measure_drift()
    run(*AUTHORISE).refused(1, "which is in the mode warn and refuses nothing")
    run(*CHECK, "--as", "p-deployer").refused(2, "which is in the mode warn and refuses nothing")


def test_policies_are_listed_with_their_mode_and_scope(asked: Shop):
    warns("shadow")
    found = run("policy", "list", "-o", "json").good().json["policies"]
    assert [(one["policy"], one["mode"], one["scope"]) for one in found] == [
        ("policy:p@1", "enforce", []), ("policy:p@2", "shadow", ["model:credit/*"]),
    ]  # fmt: skip
    shown = run("policy", "show", "policy:p@2")
    assert "in the mode shadow: it refuses nothing" in shown.good().err
    run("policy", "define", "policy:p@2", "p.yaml", "--as", "p-second").refused(5, "is defined in the mode shadow")
