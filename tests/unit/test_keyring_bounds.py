"""Roles within bounds: of types, subjects and environments."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.scopes import covers_stream, covers_type, matches
from ledger.entry import format_time
from ledger.errors import InputError, NotAllowedError, PolicyError
from tests.unit.bodies import WAIVER
from tests.unit.rings import Ring
from tests.unit.story import DIGEST, MODEL, NOW, Story, refused


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a", "a", True), ("a", "b", False), ("*", "", True), ("*", "abc", True), ("a*", "a", True), ("a*", "b", False),
        ("*a", "ba", True), ("*a", "ab", False), ("a*b", "ab", True), ("a*b", "aXb", True), ("a*b", "a", False),
        ("aa*aa", "aaa", False), ("aa*aa", "aaaa", True), ("a*b*c", "abbc", True), ("a*b*c", "acb", False),
        ("*ab*b", "ab", False), ("*ab*b", "abb", True), ("a*b*b", "ab", False),
        ("**", "x", True), ("*x*x*", "x", False), ("*x*x*", "axbxc", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, fits: bool):
    assert matches(pattern, text) is fits


def test_patterns_are_quick():
    assert not matches("*a" * 60 + "*b", "a" * 200)


@pytest.mark.parametrize(
    ("pattern", "stream", "fits"),
    [
        ("model:credit/*", "model:credit/x", True), ("model:credit/*", "model:credit", False),
        ("model:credit/*", "model:debit/x", False), ("model:*", "model:x", True), ("model:*", "model:credit/x", False),
        ("model:*/*", "model:credit/x", True), ("model:*/*", "model:x", False), ("*:*", "run:x", True),
        ("*:*", "run:a/x", False), ("deployment:prod/*", "deployment:prod/x", True),
        ("deployment:prod/*", "deployment:production/x", False), ("run:x", "run:x", True), ("run:x", "run:xx", False),
        ("run:*", "model:run", False),
    ],
)  # fmt: skip
def test_streams_within_bounds(pattern: str, stream: str, fits: bool):
    assert covers_stream((pattern,), stream) is fits
    assert covers_stream(("nothing:here", pattern), stream) is fits
    assert covers_stream((), stream)


def test_types_within_bounds():
    assert covers_type((), "muniment.run.completed.v1")
    assert covers_type(("run.completed",), "muniment.run.completed.v2")
    assert covers_type(("run.*",), "muniment.run.failed.v1")
    assert not covers_type(("run.*",), "muniment.runner.failed.v1")
    assert not covers_type(("run.completed",), "muniment.run.failed.v1")


@pytest.mark.parametrize(
    "body",
    [
        {"types": ["run"]}, {"types": ["*"]}, {"types": ["run.comp*"]}, {"types": ["muniment.run.completed.v1"]},
        {"subjects": ["model"]}, {"subjects": ["model:a@1"]}, {"subjects": ["model:a/b/c"]}, {"subjects": ["model:?"]},
        {"environments": ["pr*d"]}, {"until": "2026-01-01"}, {"until": "2026-01-01T00:00:00Z"}, {"role": "chief"},
        {"subjects": ["model:a"] * 33},
    ],
    ids=str,
)  # fmt: skip
def test_bounds_that_are_none(ring: Ring, body: dict[str, Any]):
    with pytest.raises(InputError):
        ring.event("p-admin", "role.granted", "actor:trainer", {"role": "owner", **body})


def test_a_time_that_is_none(ring: Ring):
    body = {"role": "owner", "until": "2026-13-01T00:00:00.000000Z"}
    refused(ring.judge("p-admin", "role.granted", "actor:trainer", body), InputError, "schema")


def test_a_role_reaches_as_far_as_it_was_granted(ring: Ring):
    ring.enrol("ci", ["auditor"], kind="service", responsible="p-author")
    refused(ring.judge("ci", "run.started", "run:a/x"), NotAllowedError, "legality")
    ring.grant("ci", "emitter", types=["run.*"], subjects=["run:a/*", "deployment:*/*"])
    assert ring.judge("ci", "run.started", "run:a/x").kind == "valid"
    for kind, subject, body in (
        ("run.started", "run:b/x", {}),
        ("dataset.registered", "dataset:a/x", {"digest": DIGEST}),
        ("deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    ):
        verdict = ring.judge("ci", kind, subject, body)
        refused(verdict, NotAllowedError, "legality")
        assert verdict.error is not None
        assert "does not reach" in verdict.error.message


def test_a_role_for_an_environment(ring: Ring):
    ring.version()
    ring.enrol("p-junior", ["auditor"])
    ring.grant("p-junior", "approver", environments=["staging"])
    ring.grant("p-junior", "deployer", environments=["staging"])
    body = {"model": MODEL, "digest": DIGEST}
    for environment, kind in (("staging", "valid"), ("prod", "void")):
        request = ring.request(environment)
        assert ring.judge("p-junior", "approval.granted", MODEL, Story.grant(ring, request, environment)).kind == kind
        requested = ring.judge("p-junior", "deployment.requested", f"deployment:{environment}/x", body)
        assert requested.kind == kind
        gate = {
            "environment": environment, "policy": "policy:p@1", "policy_digest": DIGEST, "digest": DIGEST,
            "input_digest": DIGEST, "size": 1, "as_of": format_time(NOW), "result": "deny", "checks": [], "engine": "e",
        }  # fmt: skip
        assert ring.judge("p-junior", "gate.evaluated", MODEL, gate).kind == kind
        used = {"deployment": f"deployment:{environment}/x", "model": MODEL}
        reached = "never asked for" if kind == "valid" else "does not reach"
        assert reached in str(ring.judge("p-junior", "waiver.used", "waiver:w", used).error)
    ring.grant("p-junior", "emitter", environments=["staging"])
    refused(ring.judge("p-junior", "run.started", "run:x"), NotAllowedError, "legality")  # it names no environment
    named = ring.judge("p-junior", "dataset.registered", "dataset:staging/x", {"digest": DIGEST})
    refused(named, NotAllowedError, "legality")  # a namespace of that name is none


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_a_role_for_an_environment_decides_what_becomes_of_approvals_and_waivers_there(ring: Ring, environment: str):
    ring.version()
    ring.enrol("p-junior", ["auditor"])
    ring.grant("p-junior", "approver", environments=["staging"])
    kind = "valid" if environment == "staging" else "void"
    ring.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "environment": environment})
    ring.version()
    request = ring.request(environment)
    body = {**Story.grant(ring, request, environment), "conditions": ["x"]}
    approval = ring.tell("p-approver", "approval.granted", MODEL, body).payload.id
    decided: list[tuple[str, str, dict[str, Any]]] = [
        ("approval.revoked", MODEL, {"approval": approval, "rationale": "x"}),
        ("approval.condition_met", MODEL, {"approval": approval, "condition": 0}),
        ("waiver.granted", "waiver:w", {"rationale": "x"}),
        ("waiver.denied", "waiver:w", {"rationale": "x"}),
        ("waiver.revoked", "waiver:w", {"reason": "x"}),
    ]
    for name, subject, data in decided:
        assert ring.judge("p-junior", name, subject, {**data, "environment": environment}).kind == kind, name
        refused(ring.judge("p-junior", name, subject, data), NotAllowedError, "legality")  # it names no environment
        assert ring.judge("p-approver", name, subject, data).kind == "valid", "whose role is not bound"
        other = {"staging": "prod", "prod": "staging"}[environment]
        told = ring.judge("p-approver", name, subject, {**data, "environment": other})
        refused(told, PolicyError, "legality")
        assert f"is for {environment}, not" in str(told.error)


@pytest.mark.parametrize(("environment", "reaches"), [("staging", True), ("prod", False)])
def test_a_role_for_one_environment_sends_back_passes_on_and_demotes_there(ring: Ring, environment: str, reaches: bool):
    for actor, role in (("p-junior", "approver"), ("p-ships", "deployer")):
        ring.enrol(actor, ["auditor"])
        ring.grant(actor, role, environments=["staging"])
    ring.version()
    request = ring.request(environment)
    body = {"environment": environment, "digest": DIGEST, "request": request}
    kind = "valid" if reaches else "void"
    for actor, decision, more in (
        ("p-junior", "approval.changes_requested", {**body, "changes": ["measure more"]}),
        ("p-junior", "approval.escalated", {**body, "rationale": "x", "to_actor": "p-second"}),
        ("p-ships", "version.demoted", {"environment": environment, "reason": "drifts"}),
    ):
        assert ring.judge(actor, decision, MODEL, more).kind == kind, decision


@pytest.mark.parametrize(
    ("pattern", "model", "reaches"),
    [
        ("model:team/*", "model:team/x", True), ("model:team/*", "model:team/x@1", True),
        ("model:team/*", "model:other/x", False), ("model:team/*", "model:x", False), ("model:x", "model:t/x", False),
        ("waiver:w", "model:other/x", True), ("waiver:team/*", "model:team/x", False), ("run:*", "model:team/x", False),
    ],
)  # fmt: skip
def test_a_role_for_models_decides_about_waivers_for_them_and_no_others(
    ring: Ring, pattern: str, model: str, reaches: bool
):
    for actor, role in (("p-junior", "approver"), ("p-team", "owner"), ("p-ships", "deployer")):
        ring.enrol(actor, ["auditor"])
        ring.grant(actor, role, subjects=[pattern])
    kind = "valid" if reaches else "void"
    assert ring.judge("p-team", "waiver.requested", "waiver:w", {**WAIVER, "model": model}).kind == kind
    ring.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "model": model})
    decided = [(f"waiver.{how}", "p-junior", {"rationale": "x"}) for how in ("granted", "denied")]
    for decision, actor, body in (*decided, ("waiver.revoked", "p-team", {"reason": "x"})):
        grant = (actor, decision, "waiver:w")
        assert ring.judge(*grant, {**body, "model": model}).kind == kind, decision
        named = ring.judge(*grant, body).kind == "valid"
        assert named is pattern.startswith("waiver:w"), "it names no model"
        other = ring.judge(*grant, {**body, "model": "model:team/other"})
        assert other.kind == "void", "the waiver is for another model"
    ring.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    used = {"deployment": "deployment:prod/x", "model": model if "@" in model else f"{model}@1"}
    assert ring.judge("p-ships", "waiver.used", "waiver:w", used).kind == kind
