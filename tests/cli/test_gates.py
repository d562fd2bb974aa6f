"""Policies and gates, as people type them."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import muniment
import muniment.gating
from ledger.errors import InputError
from tests.cli.killing import killed
from tests.cli.support import Grow, Result, Shop, run

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
    "environment": "prod", "tier": "*", "authorisation": True, "approvals": 1, "evaluation": True, "gate": "policy:p@1",
}  # fmt: skip


def people_and_a_version(shop: Shop) -> None:
    shop.people()
    shop.enrol("p-second", "approver", "validator")
    shop.version(signer="p-author")
    Path("p.yaml").write_text(POLICY)


def ruled_and_approved(shop: Shop) -> None:
    people_and_a_version(shop)
    define()
    ruled("policy:p@1")
    run("request", MODEL, "--env", "prod", "--as", "p-author").good()
    run("approve", MODEL, "--rationale", "looked at", "--as", "p-approver").good()


@pytest.fixture
def ready(grow_any: Grow) -> Shop:
    return grow_any(people_and_a_version)


@pytest.fixture
def asked(grow_any: Grow) -> Shop:
    """The rules ask for a policy, and the version is approved."""
    return grow_any(ruled_and_approved)


def define(version: str = "1", file: str = "p.yaml") -> None:
    run("policy", "define", f"policy:p@{version}", file, "--as", "p-second").good()


def ruled(policy: str, code: int = 0, *words: str) -> None:
    """The root keys name a policy in the rules; its digest is taken from the log."""
    rules = json.dumps({"name": "gated", "rules": [{**RULE, "gate": policy}]}).encode()
    done = run("admin", "rules", "change", "-", "--reason", "gates", "--as", "root", stdin=rules)
    if code:
        done.refused(code, *words)
    else:
        done.good()


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
    assert types(2) == ["gate.evaluated", "decision.refused"], "what was found is recorded, and what was refused"
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


WAIVER = ("waiver", "request", "drift-*", "--model", MODEL, "--env", "prod", "--owner", "p-author", "--reason", "new",
          "--control", "by hand", "--expires", "14d", "--single-use", "--waiver", "waiver:w1",
          "--as", "p-author")  # fmt: skip


@pytest.fixture
def waived(asked: Shop) -> Shop:
    """What the policy misses is waived, once."""
    run(*WAIVER).good()
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    return asked


def counted(shop: Shop) -> tuple[int, ...]:
    """Authorisations, uses of waivers and refusals in the log."""
    known = Counter(name.rpartition(".")[0] for name in shop.types(0))
    return tuple(known[f"muniment.{name}"] for name in ("deployment.authorised", "waiver.used", "decision.refused"))


def hold(patch: pytest.MonkeyPatch, wait: Callable[[], Any]) -> None:
    """Let everybody look at the log before any of them records what the gate found."""
    record = muniment.gating.record_gate

    def held(*args: Any, **options: Any) -> Any:
        wait()
        return record(*args, **options)

    patch.setattr(muniment.gating, "record_gate", held)


def processes(commands: Sequence[Sequence[str]], patch: pytest.MonkeyPatch) -> list[Result]:
    """Run commands at once, each in a process of its own."""
    barrier = multiprocessing.get_context("fork").Barrier(len(commands))
    children = []
    for number, command in enumerate(commands):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: only this one goes on in the child
            children.append(os.fork())
        if children[-1] == 0:
            try:
                hold(patch, lambda: barrier.wait(60))
                done = run(*command)
                Path(f"done{number}").write_text(json.dumps([done.code, done.out, done.err]))
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    told = [json.loads(Path(f"done{number}").read_text()) for number in range(len(commands))]
    return [Result(tuple(c), code, out.encode(), err) for c, (code, out, err) in zip(commands, told, strict=True)]


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


def test_authorise_names_what_a_waiver_let_be(waived: Shop):
    words = "waived: drift-run by waiver:w1"
    done = run(*AUTHORISE, "--id", "0198c0de-0000-7000-8000-00000000abcd").good()
    assert words in done.err.splitlines()
    assert "waived" not in done.out, "data on stdout, remarks on stderr"


def test_waivers_are_listed_as_they_stand_and_stood(waived: Shop):
    run(*[word.replace("waiver:w1", "waiver:w2") for word in WAIVER if word != "--single-use"]).good()
    size = waived.size()

    def told(*as_of: object) -> list[tuple[object, ...]]:
        found = run("waiver", "list", *as_of, "-o", "json").good().json["waivers"]
        return [(one["waiver"], one["state"], one["owner"], one["used"], one["max_uses"]) for one in found]

    second = ("waiver:w2", "asked for", "p-author", 0, None)
    assert told() == [("waiver:w1", "stands", "p-author", 0, 1), second]
    run(*AUTHORISE).good()
    assert told() == [("waiver:w1", "used up", "p-author", 1, 1), second]
    run("waiver", "deny", "waiver:w2", "--rationale", "no", "--as", "p-second").good()
    assert told()[1][1] == "denied"
    assert told("--known-at", size) == [("waiver:w1", "stands", "p-author", 0, 1), second], "as it was known then"
    far = told("--at", "2031-01-01T00:00:00Z")
    assert [one[1] for one in far] == ["expired", "denied"]
    text = run("waiver", "list").good().out
    assert "2 waiver(s), of which 0 stand(s)" in text
    assert "used up" in text


def test_a_single_use_is_one_whoever_comes_at_once(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    done = processes([AUTHORISE, AUTHORISE], monkeypatch)
    assert sorted(one.code for one in done) == [0, 1]
    (late,) = [one for one in done if one.code]
    late.refused(1, "waiver:w1", "single use")
    assert counted(waived) == (1, 1, 1)


def twice(shop: Shop) -> None:
    asked = [word for word in WAIVER if word != "--single-use"]
    run(*asked, "--max-uses", "2").good()
    waiting = run("inbox", "--as", "p-second", "-o", "json").good().json["inbox"]
    assert [one["max_uses"] for one in waiting if one["what"] == "waiver"] == [2]
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()


def test_a_waiver_that_would_be_of_no_use_is_refused_or_said(asked: Shop):
    wanted = ("--env", "prod", "--reason", "x", "--control", "x", "--expires", "9d", "--as", "p-author")

    def ask_for(check: str, model: str = MODEL, owner: str = "p-author") -> Result:
        return run("waiver", "request", check, "--model", model, "--owner", owner, *wanted)

    ask_for("drift-run", owner="p-nobody").refused(2, "nobody enrolled", "muniment actor list")
    for check in ("drift-run", "drift-*"):
        assert "warning" not in ask_for(check).good().err
    assert "warning: no check of policy:p@1, which the rules name for prod, is called drfit-run" in (
        ask_for("drfit-run").good().err
    )
    assert "warning: nothing is registered as model:other." in ask_for("drift-run", "model:other").good().err


def test_two_uses_are_two_whoever_comes_at_once(asked: Shop, monkeypatch: pytest.MonkeyPatch):
    twice(asked)
    done = processes([AUTHORISE] * 3, monkeypatch)
    assert sorted(one.code for one in done) == [0, 0, 1]
    (late,) = [one for one in done if one.code]
    late.refused(1, "waiver:w1", "it was for 2 uses")
    assert counted(asked) == (2, 2, 1)
    run("verify", "log").good()


def test_threads_of_one_ledger_use_no_more_than_there_are(asked: Shop, monkeypatch: pytest.MonkeyPatch):
    twice(asked)
    hold(monkeypatch, threading.Barrier(4).wait)
    with muniment.open(asked.folder, actor="p-deployer") as ledger, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(muniment.authorise, ledger, PROD, MODEL) for _ in range(4)]
        refused = [task.exception() for task in tasks]
    assert sum(one is None for one in refused) == 2
    assert all("it was for 2 uses" in str(one) for one in refused if one is not None)
    assert counted(asked)[:2] == (2, 2)


def test_uses_are_shown_wherever_the_waiver_is(asked: Shop):
    twice(asked)
    assert "Waived by waiver:w1 (use 1 of 2)." in run(*CHECK, "--dry-run").out
    assert "2 of 2 use(s) left" in run("due").good().out
    run(*AUTHORISE).good()
    assert "1 of 2 use(s) left" in run("due").good().out
    assert "1 of 2 use(s) used" in run("why", PROD).good().out
    assert "1 of 2 use(s) used" in run("inventory").good().out.replace("\n", " ")
    assert "1 of 2 use(s) used" in run("report", "generate", "control-assessment").out
    run(*AUTHORISE).good()
    assert "waiver:w1" not in run("due").good().out
    run("gate", "recheck").good()


def test_threads_of_one_ledger_use_it_once(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    hold(monkeypatch, threading.Barrier(3).wait)
    with muniment.open(waived.folder, actor="p-deployer") as ledger, ThreadPoolExecutor(3) as pool:
        once = "0198c0de-0000-7000-8000-000000000002"
        tasks = [pool.submit(muniment.authorise, ledger, PROD, MODEL, event_id=once) for _ in range(3)]
        found = [task.result() for task in tasks]
    assert {one.id for one in found} == {once}
    assert sorted(one.existing for one in found) == [False, True, True]
    assert counted(waived) == (1, 1, 0)


def test_who_comes_when_it_is_just_done_gets_the_receipt(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    """Another process with the same id is through after this one looked for the id, and before it ran the gate."""
    once = "0198c0de-0000-7000-8000-000000000003"
    check = muniment.gating.check_gate

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(muniment.gating, "check_gate", check)
        run(*AUTHORISE, "--id", once).good()
        return check(*args, **options)

    monkeypatch.setattr(muniment.gating, "check_gate", late)
    assert run(*AUTHORISE, "--id", once, "-o", "json").good().json["existing"]
    assert counted(waived) == (1, 1, 0)


def test_a_process_killed_behind_the_gate_is_finished_by_the_same_command(waived: Shop):
    once = (*AUTHORISE, "--id", "0198c0de-0000-7000-8000-000000000004")
    killed("gate.recorded", *once)
    assert (types(1), counted(waived)) == (["gate.evaluated"], (0, 0, 0))
    assert not run(*once, "-o", "json").good().json["existing"]
    assert run(*once, "-o", "json").good().json["existing"]
    assert counted(waived) == (1, 1, 0)


def test_what_cannot_go_with_a_single_use_is_refused_before_anything_is_recorded(waived: Shop):
    size = waived.size()
    with muniment.open(waived.folder, actor="p-deployer") as ledger:
        for option in ("about", "also_sign", "expect", "personal"):
            with pytest.raises(InputError, match=f"^{option} cannot be given where waiver:w1 is used with"):
                muniment.authorise(ledger, PROD, MODEL, **{option: None})
            assert ledger.recorder.head().size == size


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
        (POLICY + "  waivable: 1\n", "checks.1.waivable"),
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
    asked_first = POLICY.replace(
        drift, 'input.size > 0 && "nope" in input.evaluations[0].metrics && input.evaluations[0].metrics.nope > 3'
    )
    never = wrong.replace("  title: Drift was", "  when: input.size < 0\n  title: Drift was")
    for good in (POLICY, asked_first, never):
        assert run("policy", "lint", "-", "-o", "json", stdin=good.encode()).good().json["troubles"] == []


def test_bytes_that_are_no_text_are_no_policy(shop: Shop):
    run("policy", "lint", "-", stdin=b"\xff").refused(2, "UTF-8")


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


def test_who_says_that_a_gate_only_warned_is_found_out(asked: Shop):
    """The rules take no notice of what says that it only warns; neither may it hide that a gate refused."""
    refused = run(*CHECK, "--as", "p-deployer", "-o", "json")
    body = run("show", str(refused.json["index"]), "-o", "json").good().json["event"]["data"]
    Path("ran.json").write_text(json.dumps(body | {"mode": "warn"}))
    run("emit", "gate.evaluated", MODEL, "-d", "@ran.json", "--as", "p-deployer").good()
    again = run("gate", "recheck", "-o", "json")
    assert again.code == 1
    assert "is in the mode enforce, and it says warn" in again.json["evaluations"][-1]["trouble"]
