"""Policies: each check of the checklists sees what it is for, errors refuse, and another CEL engine says the same."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cel_expr_python import cel

from ledger.errors import InputError
from ledger.policy import FIELDS, STARTERS, Policy, Waived, apart, evaluate, input_digest, parse_policy, starter
from ledger.policy.engine import EvaluationError, compile_expression, run_expression
from tests.unit.documents import DIGEST, bare, evaluation, fine

Document = dict[str, Any]
Change = Callable[[Document], None]


def pack(name: str) -> Policy:
    return parse_policy(starter(name))


def put(*path: str | int, to: Any) -> Change:
    """Sets one place of a document."""

    def change(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def more(name: str, **changes: Any) -> Change:
    """Adds an item to a list, as the first one is but for some members."""

    def change(document: Document) -> None:
        document[name] = [*document[name], {**document[name][0], **changes}]

    return change


def both(*changes: Change) -> Change:
    """Several changes at once."""

    def change(document: Document) -> None:
        for one in changes:
            one(document)

    return change


#: For each check, changes of a document in which all is well: each makes this check fail, and no other.
PLANTED: dict[tuple[str, str], list[Change]] = {
    ("pre-production", "registered"): [put("run", "others", to=["run:2"])],
    ("pre-production", "run-recorded"): [
        put("run", "status", to="failed"), put("run", "status", to=""),
        both(put("run", "name", to=""), put("run", "status", to="")),
    ],
    ("pre-production", "nothing-stops-it"): [put("stopped", to="in quarantine")],
    ("pre-production", "code-is-known"): [put("run", "commit", to=""), put("run", "dirty", to=True)],
    ("pre-production", "data-validated"): [
        put("datasets", 0, "registered", to=False), put("datasets", 0, "quality", to="fail"),
        put("datasets", 0, "quality", to=""),
    ],
    ("pre-production", "data-may-be-used"): [
        put("datasets", 0, "deprecated", to=True), put("datasets", 0, "consent", to="withdrawn"),
        both(put("datasets", 0, "read", to=False), put("datasets", 0, "consent", to="withdrawn")),
    ],
    ("pre-production", "evaluation-passed"): [
        put("evaluations", 1, "verdict", to="fail"),
        put("evaluations", to=[evaluation("s", "performance", verdict="uncertain")]),
    ],
    ("pre-production", "split-independent"): [
        *[put("evaluations", to=[evaluation("s", "performance", split=split)])
          for split in ("train", "training", "Train[:80%]", "all")],
        put("evaluations", to=[evaluation("s", "performance", split="", trained_on=False, dataset_digest="")]),
        put("evaluations", to=[evaluation("s", "performance", split="")]),
        put("evaluations", to=[evaluation("s", "performance", dataset="")]),
        put("evaluations", to=[evaluation("s", "drift")]),
    ],
    ("production", "nothing-stops-it"): [put("stopped", to="in quarantine")],
    ("production", "artifact-signed"): [
        put("signatures", to=[]), put("signatures", 1, "digest", to="sha256:" + "cd" * 32),
        put("signatures", to=[{"digest": DIGEST, "verdict": "signed"}]), put("signatures", 0, "verdict", to="fail"),
    ],
    ("production", "artifact-scanned"): [
        put("scans", to=[]), put("scans", 0, "verdict", to="fail"),
        put("scans", 0, "digest", to="sha256:" + "cd" * 32),
    ],
    ("production", "evaluation-passed"): [put("evaluations", 0, "verdict", to="fail")],
    ("production", "drift-run"): [
        put("evaluations", 1, "kind", to=""), put("evaluations", 1, "age_seconds", to=2_592_000),
        put("evaluations", 1, "verdict", to="uncertain"),
    ],
    ("production", "fairness-run"): [
        put("evaluations", 2, "kind", to=""), put("evaluations", 2, "verdict", to="uncertain"),
    ],
    ("production", "no-latency-regression"): [
        put("performance", 0, "p95_ms", to=106), put("performance", 0, "verdict", to="fail"),
        put("performance", 0, "p95_ms", to=None), put("deployments", 0, "live_p95_ms", to=None),
        put("deployments", 0, "live_p95_ms", to=90), both(
            put("performance", 0, "p95_ms", to=900), put("performance", 0, "baseline_p95_ms", to=900),
        ),
    ],
    ("production", "no-cost-regression"): [
        put("performance", 0, "cost", to=11.6), put("performance", 0, "cost", to=None),
        put("deployments", 0, "live_cost", to=None), put("deployments", 0, "live_cost_unit", to="USD"),
        put("deployments", 0, "live_cost", to=9),
        both(put("performance", 0, "cost", to=20), put("performance", 0, "baseline_cost", to=20)),
    ],
    ("production", "contract-matches"): [
        put("contract", "defined", to=False),
        put("contract", to={"defined": True, "breaking": True, "matches_live": False}),
    ],
    ("production", "validated"): [
        put("validations", to=[]), put("validations", 0, "verdict", to="fail"),
        put("validations", 0, "expired", to=True), put("validations", 0, "independent", to=False),
        put("validations", 0, "open_findings", 0, "severity", to="high"),
        put("validations", 0, "open_findings", 0, "severity", to="critical"),
    ],
    ("production", "runbook-exists"): [
        both(put("model", "runbook", to=""), put("documentation", 0, "expired", to=True)),
        both(put("model", "runbook", to=""), put("documentation", to=[])),
    ],
    ("production", "runbook-rehearsed"): [
        put("drills", 0, "outcome", to="fail"), put("drills", 0, "age_seconds", to=15_811_200),
        put("drills", 0, "kind", to="restore"), more("drills", kind="runbook", outcome="fail"),
    ],
    ("production", "monitors-and-slos"): [put("slos", to=[])],
    ("production", "on-call-named"): [put("model", "on_call", to="")],
    ("production", "rollback-ready"): [
        put("drills", 1, "outcome", to="fail"), put("drills", 1, "kind", to="restore"),
        more("drills", kind="rollback", outcome="fail"),
        put("deployments", 0, "live", to="model:m@2"),
    ],
    ("production", "canary-ready"): [
        put("canaries", 0, "verdict", to="fail"), put("canaries", 0, "verdict", to=""), put("canaries", to=[]),
        both(put("canaries", to=[]), more("drills", kind="canary"), more("drills", kind="canary", outcome="fail")),
    ],
    ("production", "access-in-place"): [put("people", "approvers", to=1), put("people", "deployers", to=0)],
    ("production", "approved-by-others"): [put("approvals", 0, "independent", to=False)],
    ("production", "no-open-incident"): [
        put("incidents", 0, "severity", to="high"), put("incidents", 0, "severity", to="critical"),
    ],
}  # fmt: skip
CASES = [(*key, number) for key, changes in PLANTED.items() for number in range(len(changes))]
PACKS = STARTERS


@pytest.mark.parametrize("name", PACKS)
def test_where_nothing_is_missing_every_check_passes(name: str):
    outcome = evaluate(pack(name), fine(), ())
    assert {item["check"]: item["result"] for item in outcome.checks if item["result"] != "pass"} == {}
    assert outcome.allowed


def test_checklists_come_as_one_policy_too():
    """A row of the rules asks for one: with that for production alone, nobody asks for data, split and run."""
    before, after = map(pack, PACKS)
    shared = {check.id for check in before.checks} & {check.id for check in after.checks}
    assert shared == {"nothing-stops-it", "evaluation-passed"}
    both = parse_policy(starter(*PACKS, PACKS[0]))
    assert both.checks == (*before.checks, *(check for check in after.checks if check.id not in shared))
    assert {check for check in after.checks if check.id in shared} <= set(before.checks), "what they share is the same"
    assert both.title == "Pre-production checklist and Production-readiness checklist"
    assert {"data-validated", "split-independent", "run-recorded"} <= {check.id for check in both.checks} - shared


def test_every_check_of_the_checklists_is_planted():
    assert set(PLANTED) == {(name, check.id) for name in PACKS for check in pack(name).checks}


@pytest.mark.parametrize(("name", "check", "number"), CASES)
def test_each_check_sees_what_it_is_for(name: str, check: str, number: int):
    document = fine()
    PLANTED[name, check][number](document)
    outcome = evaluate(pack(name), document, ())
    assert not outcome.allowed
    assert {item["check"]: item["result"] for item in outcome.checks if item["result"] != "pass"} == {check: "fail"}


def test_a_run_that_does_not_say_that_it_made_the_version_shows_nothing_of_it():
    document = fine()
    document["run"]["made"] = False
    failed = [
        item["check"] for item in evaluate(pack("pre-production"), document, ()).checks if item["result"] == "fail"
    ]
    assert failed == ["run-recorded", "code-is-known"]


@pytest.mark.parametrize("name", PACKS)
def test_prototypes_stay_cheap(name: str):
    document = fine() | {"tier": "low"}
    results = [item["result"] for item in evaluate(pack(name), document, ()).checks]
    applying = [check for check in pack(name).checks if not check.tiers or "low" in check.tiers]
    assert results.count("not-applicable") == len(results) - len(applying) > len(results) / 3


STOPS_ONLY = {"nothing-stops-it", "registered", "canary-ready", "no-open-incident", "approved-by-others"}


@pytest.mark.parametrize(
    ("tier", "passing"), [("low", STOPS_ONLY), ("medium", STOPS_ONLY), ("high", STOPS_ONLY - {"canary-ready"})]
)
def test_what_is_not_recorded_has_not_passed(tier: str, passing: set[str]):
    """Of a version that is registered and of which nothing else is known, only what could stop it says nothing."""
    results: dict[str, str] = {}
    for name in PACKS:
        results |= {item["check"]: item["result"] for item in evaluate(pack(name), bare(tier), ()).checks}
    assert "error" not in results.values()
    assert {check for check, result in results.items() if result == "pass"} == passing
    failing = {check for check, result in results.items() if result == "fail"}
    if tier == "low":
        assert failing == {"evaluation-passed"}, "prototypes stay cheap"
    asked = {check.id for name in PACKS for check in pack(name).checks if not check.tiers or tier in check.tiers}
    if tier == "low":
        asked -= {"run-recorded", "data-may-be-used"}
    assert failing == asked - passing


def test_a_first_version_needs_no_baseline():
    document = fine() | {"deployments": []}
    document["performance"][0] |= {"baseline_p95_ms": None, "baseline_cost": None, "p95_ms": 900}
    assert evaluate(pack("production"), document, ()).allowed


def test_a_rehearsed_canary_will_do():
    document = fine() | {"canaries": []}
    document["drills"].append({"kind": "canary", "outcome": "pass", "age_seconds": 1})
    assert evaluate(pack("production"), document, ()).allowed


def test_the_document_has_the_fields_that_are_documented():
    assert set(fine()) == set(FIELDS)


# -- another engine --------------------------------------------------------------------------------


def other_engine(expression: str, document: Document) -> str:
    """What Google's engine says: true, false or error."""
    environment = cel.NewEnv(variables={"input": cel.Type.DYN})
    try:
        value = environment.compile(expression).eval(data={"input": document})
    except Exception:
        return "error"
    return str(value.plain_value()).lower() if value.type() == cel.Type.BOOL else "error"


def our_engine(expression: str, document: Document) -> str:
    try:
        return str(run_expression(expression, document)).lower()
    except (EvaluationError, InputError):
        return "error"


@pytest.mark.parametrize("name", PACKS)
def test_another_engine_says_the_same_of_every_check(name: str):
    documents = [fine(), json.loads(json.dumps(fine()))]
    for (where, _), changes in PLANTED.items():
        for change in changes if where == name else ():
            documents.append(fine())
            change(documents[-1])
    answers = set()
    for text in (text for check in pack(name).checks for text in (check.when, check.passes) if text is not None):
        for document in documents:
            answer = our_engine(text, document)
            assert answer == other_engine(text, document), (text, document)
            answers.add(answer)
    assert answers == {"true", "false"}


@pytest.mark.parametrize(
    "expression",
    [
        "input.size > 98", "input.size / 0 > 1", "input.nothing == 1", "has(input.nothing)", "input.size",
        "input.size > '9'",
        "input.run.seed == null", "input.evaluations[7].kind == ''", "input.evaluations[0].kind == 'performance'",
        "input.stopped == '' || input.nothing", "input.nothing || input.stopped == ''",
        "input.nothing && input.stopped != ''",
        "input.performance[0].cost > 9.5", "double(input.performance[0].cost) > 9.5", "input.tier in ['high']",
        "input.evaluations.exists_one(e, e.kind == 'drift')", "input.evaluations.map(e, e.kind) == ['performance']",
        "input.model.versions.size() == 2", "input.version.name.startsWith('model:')",
        "input.version.name.matches('^m.*2$')",
        "timestamp(input.as_of) > timestamp('2026-01-01T00:00:00Z')", "input.people.approvers + 1 == 3",
        "input.size == 99.0", "input.datasets.all(d, d.nothing)", "[].all(d, input.nothing)", "!input.run.dirty",
        "input.run.dirty ? true : input.size > 1", "string(input.size) == '99'", "int('x') == input.size",
    ],
)  # fmt: skip
def test_another_engine_says_the_same_of_what_people_write(expression: str):
    assert our_engine(expression, fine()) == other_engine(expression, fine())


# -- running ---------------------------------------------------------------------------------------


def policy(**check: Any) -> Policy:
    body = {"id": "c", "title": "It holds", "pass": "input.size > 1", "reason": "Make it hold.", **check}
    return parse_policy(json.dumps({"schema": "muniment.checks/v1", "title": "T", "checks": [body]}))


def only(waivers: tuple[tuple[str, str], ...] = (), **check: Any) -> tuple[bool, dict[str, str]]:
    outcome = evaluate(policy(**check), fine(), [Waived(*one) for one in waivers])
    return outcome.allowed, dict(outcome.checks[0])


@pytest.mark.parametrize(
    "expression",
    [
        "input.nothing", "input.size", "input.size / 0 == 1", "input.evaluations[99].kind == ''", "input.size > 'x'",
        "int(input.tier) == 1", "input.tier.matches('[')", "duration(input.tier) > duration('1s')",
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_refuses_and_cannot_be_waived(expression: str):
    wrong: dict[str, Any] = {"pass": expression}
    allowed, found = only((("waiver:w", "*"),), **wrong)
    assert (allowed, found["result"]) == (False, "error")
    assert "waiver" not in found
    allowed, found = only(when=expression)
    assert (allowed, found["result"]) == (False, "error"), "nor does it make a check not apply"


def test_a_check_applies_by_tier_and_by_what_it_looks_at():
    fails: dict[str, Any] = {"pass": "input.size == 0"}
    assert only(**fails) == (False, {"check": "c", "result": "fail", "reason": "Make it hold."})
    assert only(tiers=["low", "medium"], **fails)[0]
    assert only(tiers=["low", "medium"], **fails)[1]["result"] == "not-applicable"
    elsewhere = {"check": "c", "result": "not-applicable", "reason": "input.tier == 'low' does not hold"}
    assert only(when="input.tier == 'low'", **fails) == (True, elsewhere)
    assert only(when="input.tier == 'low'", otherwise="No.", **fails) == (True, elsewhere | {"reason": "No."})
    assert only(when="input.tier == 'high'", **fails)[1]["result"] == "fail"


def test_a_waiver_is_shown_and_covers_what_it_names():
    fails: dict[str, Any] = {"pass": "input.size == 0"}
    allowed, found = only(waivers=(("waiver:other", "d*"), ("waiver:w", "c*")), **fails)
    assert (allowed, found["result"], found["waiver"]) == (True, "waived", "waiver:w")
    assert found["reason"] == "Make it hold. Waived by waiver:w."
    third = evaluate(policy(**fails), fine(), [Waived("waiver:w", "c", " (use 3 of 3)")]).checks[0]
    assert (third["reason"], third["waiver"]) == ("Make it hold. Waived by waiver:w (use 3 of 3).", "waiver:w")
    assert only(waivers=(("waiver:w", "d"),), **fails)[1]["result"] == "fail"
    assert only(waivers=(("waiver:w", "c"),), waivable=False, **fails)[1]["result"] == "fail"
    assert only(waivers=(("waiver:w", "c"),))[1]["result"] == "pass", "what passes needs none"


def test_lists_within_lists_within_lists_are_not_gone_through():
    inner = "input.evaluations.all(e, input.datasets.exists(d, d.subject == e.dataset))"
    assert run_expression(f"{inner} && {inner}", fine())
    for deep in (f"input.scans.all(s, {inner})", f"input.scans.map(s, {inner}).size() > 0"):
        with pytest.raises(InputError, match="too deep"):
            compile_expression(deep)
    assert run_expression('input.stopped != ".all(.all(.all(" && (((input.size > 1)))', fine()), "words are no macros"


@pytest.mark.parametrize(
    "disguise",
    [
        'r"\\" != "" && {} && "" == ""',  # a raw string has no escapes
        '"""a"b""" != "" && {} && "" == ""',
        "'''don't''' != \"\" && {} && \"'\" != \"\"",
        "// don't\n{}\n// '",
        "{}".replace("{}", "{} // ("),
    ],
)
@pytest.mark.parametrize("between", [".all(", ". all(", ".all // (\n (", ".\n all\t(", ".existsOne(", ".all( // )))\n"])
def test_nothing_hides_how_deep_lists_are_gone_through(disguise: str, between: str):
    for depth in (2, 3):
        text = "true"
        for name in "abc"[:depth]:
            text = f"input.scans{between}{name}, {text})"
        text = disguise.replace("{}", text)
        if depth == 2:
            run_expression(text, fine())
            continue
        with pytest.raises(InputError, match="too deep"):
            compile_expression(text)


@pytest.mark.parametrize(
    "title",
    ["2026-13-45", "!!int abc", "!!float abc", "!!bool maybe", "!!timestamp x", "9" * 5_000, "[" * 5_000],
)
def test_values_that_are_none_are_refused_in_words(title: str):
    with pytest.raises(InputError):
        parse_policy(f"schema: muniment.checks/v1\ntitle: {title}\nchecks: []\n")


HEAVY = {
    "seconds": "input.run.all(a, input.run.all(b, a <= b || a > b))",
    "memory": '["a text of sixteen"]' + ".map(x, x + x)" * 40 + ".exists(x, x == input.tier)",
}


@pytest.mark.parametrize(("expression", "words"), [("seconds", "more than 1 seconds"), ("memory", "64 MiB of memory")])
def test_what_takes_too_much_ends_and_refuses(expression: str, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apart, *{"seconds": ("_SECONDS", 1), "memory": ("_BYTES", 64 * 1024**2)}[expression])
    checks = [("first", "input.tier == 'high'"), ("heavy", HEAVY[expression]), ("last", "input.tier == 'high'")]
    source = "schema: muniment.checks/v1\ntitle: t\nchecks:\n" + "".join(
        f"- id: {name}\n  title: t\n  pass: {json.dumps(text)}\n  reason: r\n" for name, text in checks
    )
    document = fine() | {"run": list(range(30_000))}
    outcome = evaluate(parse_policy(source), document, [Waived("waiver:w", "*")])
    assert not outcome.allowed
    assert [(one["check"], one["result"]) for one in outcome.checks] == [
        ("first", "pass"), ("heavy", "error"), ("last", "error"),
    ]  # fmt: skip
    assert words in outcome.checks[1]["reason"]
    assert outcome.checks[2]["reason"] == "heavy was not evaluated to its end"


@pytest.mark.parametrize(
    ("expression", "items", "forks"),
    [
        ("input.slos.exists(a, a == 1)", 5_000, 0), ("input.slos.all(a, input.slos.all(b, b >= 0))", 1_000, 0),
        ("input.slos.all(a, input.slos.all(b, b >= 0))", 1_001, 1), ("input.slos.map(a, a) == input.slos", 3, 1),
        ("input.tier + input.tier == 'highhigh'", 3, 1), ("input.tier != 'a + b' // + map", 3, 0),
    ],
)  # fmt: skip
def test_only_what_may_take_much_runs_apart(expression: str, items: int, forks: int, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []

    def fork(real: Callable[[], int] = os.fork) -> int:
        made.append(1)
        return real()

    monkeypatch.setattr(os, "fork", fork)
    check = f"- id: a\n  title: t\n  pass: {json.dumps(expression)}\n  reason: r\n"
    source = f"schema: muniment.checks/v1\ntitle: t\nchecks:\n{check}"
    assert evaluate(parse_policy(source), fine() | {"slos": list(range(items))}, []).allowed
    assert len(made) == forks


def test_an_engine_that_waits_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apart, "_PATIENCE", 0.2)

    def waits() -> Iterator[dict[str, str]]:
        yield {"check": "first"}
        time.sleep(60)

    assert apart.run_apart(waits) == ([{"check": "first"}], "the policy took more than 10 seconds")


def test_it_works_where_the_ends_of_children_are_ignored():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert apart.run_apart(lambda: [{"check": "a"}]) == ([{"check": "a"}], "")
        found, trouble = apart.run_apart(lambda: [{}["missing"]])
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (found, trouble) == ([], "the engine ended early: it may take 10 seconds and 512 MiB of memory")


def test_many_results_come_whole_and_what_fails_apart_says_so(capfd: pytest.CaptureFixture[str]):
    many = [{"check": str(number), "reason": "é" * 8000} for number in range(256)]
    assert apart.run_apart(lambda: many) == (many, "")
    assert apart.run_apart(list) == ([], "")
    assert apart.run_apart(lambda: [{}][1:] or [{}["missing"]]) == ([], "the engine ended with 1")
    assert capfd.readouterr() == ("", "")


def test_the_digest_of_an_input_is_that_of_its_canonical_form():
    turned = dict(reversed(fine().items()))
    assert input_digest(turned) == input_digest(fine())
    assert input_digest(fine() | {"size": 100}) != input_digest(fine())
