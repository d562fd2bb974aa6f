"""Names in expressions that stand for nothing: CEL passes over the errors that they are, and a gate does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.policy import STARTERS, evaluate, fine, in_form, parse_policy, starter, troubles, unknown_names
from ledger.policy.engine import EvaluationError, run_expression
from ledger.policy.members import FUNCTIONS, METHODS, TYPES, unknown_name

V1, V2 = "muniment.checks/v1", "muniment.checks/v2"
HIGH = 'input.tier == "high"'


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (f"input.foo.bar == 1 || {HIGH}", "there is no input.foo: there are as_of, size, "),
        (f"{HIGH} || input.model.thirdparty", "there is no input.model.thirdparty: did you mean third_party?"),
        ('input["teir"] == "low"', "there is no input.teir: did you mean tier?"),
        ("input . model // of it\n .onner != ''", "there is no input.model.onner: did you mean owner?"),
        ("(input).model.onner != ''", "there is no (input).model.onner"),
        ("!has(input.model.onner)", "did you mean owner?"),
        ('!("onner" in input.model)', "did you mean owner?"),
        ("input.evaluations.exists(e, e.verdct == 'pass')", "there is no e.verdct: did you mean verdict?"),
        ("input.evaluations.filter(e, e.index > 1).all(d, d.knd != '')", "there is no d.knd: did you mean kind?"),
        ("input.evaluations[0].knd == ''", "there is no input.evaluations[0].knd"),
        ("input.evaluations.map(e, e.index > 1, e.knd) == []", "there is no e.knd"),
        ("input.validations.all(v, v.open_findings.all(f, f.sevrity != 'high'))", "did you mean severity?"),
        ("input.validations.all(e, e.verdict != '') && input.datasets.all(d, e.read)", "e stands for nothing"),
        ("input.evaluations.kind == ''", "input.evaluations is a list: ask exists, all, or [0]"),
        (f"input.size > 1 ? {HIGH} : input.teir == ''", "did you mean tier?"),
        ("[input.teir, 1].size() == {'a': 1.5e+3}.size()", "did you mean tier?"),
        ("input.tier.name == 'high'", "there is no input.tier.name: input.tier has no members"),
        ("input.tier[0] == 'h'", "input.tier is neither a list nor a map"),
        ("input.tier.exists(t, t == 'h')", "input.tier is neither a list nor a map"),
        (f"inptu.tier == '' || {HIGH}", "inptu stands for nothing: expressions look at input"),
        (f"input.tier.startWith('h') || {HIGH}", "no function startWith to call on input.tier: did you mean startsW"),
        (f"length(input.slos) > 0 || {HIGH}", "there is no function length: there are bytes, "),
        (f"timestap(input.as_of) < timestamp('2026-01-01T00:00:00Z') || {HIGH}", "did you mean timestamp?"),
        (f".input.size > 1 || {HIGH}", ". stands for nothing: expressions look at input"),
        ("[1].exists(input, input == 1) && input.teir == 'a'", "did you mean tier?"),
    ],
)  # fmt: skip
def test_a_name_that_stands_for_nothing_denies(expression: str, words: str):
    """At the gate, when a check is asked for and when it says when it applies; and `lint` and `define` find it."""
    assert words in unknown_name(expression, V2)
    for check in ({"pass": expression}, {"pass": HIGH, "when": expression}):
        found = _policy(**check)
        assert list(unknown_names(found)) == list(troubles(found)) == ["c"]
        outcome = evaluate(found, fine(), ())
        assert (outcome.allowed, outcome.checks[0]["result"]) == (False, "error")
        assert words in outcome.checks[0]["reason"]


def _policy(**check: Any) -> Any:
    body = {"id": "c", "title": "It holds", "reason": "Make it hold.", **check}
    return parse_policy(json.dumps({"schema": V2, "title": "T", "checks": [body]}))


@pytest.mark.parametrize(
    "expression",
    [
        'input.tier == "input.foo" // input.foo', "input.evaluations.all(e, e.metrics.psi < 0.2)",
        'input.evaluations.exists(e, has(e.metrics.psi) && e.metrics["psi"] < .2e-1)',
        "input.evaluations.exists(e, e.measurements.exists(m, m.slice == 'a' && m.anything > 1))",
        "input.scans.all(s, !('critical' in s.findings) || s.findings.critical == 0x0u)",
        "input.evaluations.exists(e, input.datasets.all(d, d.subject != e.dataset))",
        "timestamp(input.as_of) - timestamp(input.version.registered_at) < duration('24h')",
        "input.evaluations.map(e, e.kind).exists(k, k.startsWith('d'))", "type(input.run.seed) == int",
        "input.exists(k, k == 'tier') && input[input.tier] == 1", "input.run.others.all(o, o != 'run:2')",
        "(input.size > 1 ? input.model : input.run).owner != ''", "{'a': input.tier}.a in ['high', r'\\d']",
        "double(input.size) > 1.5 && -input.size < 1u && input.model['owner'].size() > 0",
    ],
)  # fmt: skip
def test_what_stands_for_something_may_be_asked(expression: str):
    assert unknown_name(expression, V2) == ""


def test_each_form_has_its_members_and_the_checklists_ask_for_no_other():
    assert unknown_name("input.evaluations.all(e, e.independent)", V2) == ""
    assert "there is no e.independent" in unknown_name("input.evaluations.all(e, e.independent)", V1)
    for name in STARTERS:
        found = parse_policy(starter(name))
        assert (unknown_names(found), troubles(found)) == ({}, {})


def test_what_cannot_be_read_to_its_end_denies():
    assert unknown_name("(" * 2000 + "input.size" + ")" * 2000, V2) == "it is nested too deep to be read"
    assert unknown_name("input.size > (1", V2) == "it cannot be read from its end on"


def _known(expression: str) -> bool:
    """Whether the engine knows the names in an expression."""
    try:
        run_expression(expression, in_form(fine(), V2))
    except EvaluationError as error:
        return "Undefined variable or function" not in str(error)
    return True


def test_functions_and_types_are_those_of_the_engine():
    """A function that it has not is an error that CEL passes over; one that it has may be used."""
    assert {name for name in FUNCTIONS if _known(f"{name}(input.tier) == 1")} == FUNCTIONS
    values = ("input.tier", "timestamp('2026-01-01T00:00:00Z')")
    called = [(name, f"{value}.{name}({said}) == 1") for name in METHODS for value in values for said in ("", "'a'")]
    assert {name for name, expression in called if _known(expression)} == METHODS
    assert {name for name in TYPES if _known(f"type(input.size) == {name}")} == TYPES
    assert not _known("length(input.tier) == 1"), "the words are those that the engine uses"
