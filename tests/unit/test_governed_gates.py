"""Gates before an authorisation: fresh, of the policy that the rules name, and no thief's."""

from __future__ import annotations

from hashlib import sha256

import pytest

from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import ConflictError, InputError, PolicyError
from tests.unit.governing import (
    AUTHORISE,
    HOUR,
    POLICY,
    PROD,
    approve,
    ask,
    authorised,
    behind_a_gate,
    ends_at,
    gated,
    ready,
    rules,
)
from tests.unit.story import MODEL, NOW, OTHER, Story, key_of, refused

CONTRACT = {"input_schema": OTHER, "output_schema": OTHER}


def steal(story: Story, actor: str, index: int) -> None:
    """The key of an actor was in other hands from an entry on."""
    body = {"keyid": key_of(actor).public.keyid, "since": index, "reason": "stolen"}
    story.tell("p-admin", "key.compromised", f"actor:{actor}", body)


@pytest.fixture
def gate() -> Story:
    return behind_a_gate()


def test_an_authorisation_needs_a_gate_that_allows_and_is_fresh(gate: Story):
    assert not authorised(gate), "nobody ran it"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated("deny"))
    assert not authorised(gate)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    assert gate.judge(*AUTHORISE).until == NOW + HOUR
    ends_at(gate, NOW + HOUR)


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "dev"}, {"digest": OTHER}, {"policy": "policy:q@1"}, {"policy": "policy:p@2"},
        {"policy_digest": OTHER}, {"deployment": "deployment:prod/y"}, {"deployment": None},
    ],
)  # fmt: skip
def test_a_gate_over_something_else_opens_nothing(gate: Story, change: dict[str, str]):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(**change))
    refused(gate.judge(*AUTHORISE), PolicyError, "legality", rule="gate policy:p@1")


def test_a_gate_that_a_thief_ran_opens_nothing(gate: Story):
    run = gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    assert authorised(gate)
    steal(gate, "p-deployer", run.index)
    gate.enrol("p-other", ["deployer"])
    told = gate.judge("p-other", *AUTHORISE[1:])
    refused(told, PolicyError, "legality")
    assert str(told.error).startswith("the evaluation of policy:p@1 counts no more: entry")


def test_what_a_thief_asked_for_is_not_granted():
    story = Story().people()
    ask(story)
    story.tell("trainer", "run.started", "run:x")
    grant = ("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert story.judge(*grant).kind == "valid"
    steal(story, "p-author", len(story.view.leaves) - 2)
    told = story.judge(*grant)
    refused(told, PolicyError, "legality")
    assert str(told.error).startswith("the request counts no more: entry")
    assert story.judge(grant[0], "waiver.denied", *grant[2:]).kind == "valid"


def repin(story: Story, policy: str, digest: str) -> None:
    """The root keys name another policy."""
    body = {"rules": rules(gate=policy, gate_digest=digest).model_dump(mode="json"), "reason": "the next version"}
    story.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{story.world.ledgerid}", body)


def test_one_validator_neither_replaces_nor_retires_the_policy_that_the_rules_name(gate: Story):
    lax = {**POLICY, "source": "lax: []", "digest": "sha256:" + sha256(b"lax: []").hexdigest()}
    retire = ("p-approver", "policy.retired", "policy:p@1", {"reason": "x"})
    told = gate.judge(*retire)
    refused(told, PolicyError, "legality", rule="rules */*")
    assert str(told.error).startswith("the rules ask for policy:p@1")
    gate.tell("p-approver", "policy.defined", "policy:p@2", lax)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(policy="policy:p@2", policy_digest=lax["digest"]))
    assert not authorised(gate), "the rules name another version"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated("deny", policy="policy:p@2", policy_digest=lax["digest"]))
    assert authorised(gate), "what another version says stops nothing"
    gate.tell("p-approver", "policy.retired", "policy:p@2", {"reason": "a policy no rule names is cheap"})
    gate.tell("p-approver", "policy.defined", "policy:p@3", lax)
    repin(gate, "policy:p@3", lax["digest"])
    assert not authorised(gate)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(policy="policy:p@3", policy_digest=lax["digest"]))
    assert authorised(gate)
    assert gate.judge(*retire).kind == "valid", "the rules ask for it no more"


def test_rules_name_the_bytes_of_a_policy_before_anybody_defines_it():
    """Else whoever is first to define the version would decide what it asks."""
    gate = ready(rules(gate="policy:p@1", gate_digest=OTHER))
    approve(gate)
    gate.tell("p-approver", "policy.defined", "policy:p@1", POLICY)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "as the rules name it" in str(told.error)


def test_a_retired_policy_decides_nothing(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    repin(gate, "policy:q@1", OTHER)
    gate.tell("p-approver", "policy.retired", "policy:p@1", {"reason": "x"})
    repin(gate, "policy:p@1", POLICY["digest"])
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert str(told.error) == "policy:p@1 was retired"


def test_an_evaluation_that_was_invalidated_since_makes_a_gate_stale():
    gate = behind_a_gate(evaluation=False)
    wrong = gate.tell(
        "trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "late"}
    )
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(size=wrong.index + 1))
    assert authorised(gate)
    body = {"evaluation": wrong.payload.id, "reason": "leak"}
    index = gate.tell("p-approver", "evaluation.invalidated", MODEL, body).index
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert f"before entry {index} said more" in str(told.error)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(size=index + 1))
    assert authorised(gate)


@pytest.mark.parametrize("news", ["contract", "whole contract", "live", "promoted", "rollback"])
def test_what_a_gate_compares_with_makes_it_stale_when_it_changes(news: str):
    gate = behind_a_gate()
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(size=len(gate.view.leaves)))
    other = {"model": "model:m@2", "digest": OTHER}
    elsewhere = PROD.replace("prod", "dev")
    gate.tell("p-deployer", "deployment.completed", elsewhere, other)
    gate.tell("trainer", "contract.defined", "model:m@2", CONTRACT)
    assert authorised(gate), "what is said of others is no news"
    index = len(gate.view.leaves)
    match news:
        case "contract" | "whole contract":
            gate.tell("trainer", "contract.defined", MODEL if news == "contract" else "model:m", CONTRACT)
        case "live" | "promoted":
            kind = "deployment.completed" if news == "live" else "deployment.promoted"
            gate.tell("p-deployer", kind, PROD, other)
        case _:
            gate.tell("p-deployer", "rollback.completed", PROD, other)
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert f"before entry {index} said more of" in str(told.error)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(size=index + 1))
    assert authorised(gate)


def test_a_policy_that_only_warns_is_no_gate():
    """A gate that cannot refuse would be open."""
    for mode in ("warn", "shadow"):
        story = ready(rules())
        story.tell("p-approver", "policy.defined", "policy:p@1", POLICY | {"mode": mode})
        approve(story)
        assert authorised(story), "no rule asks for it"
        repin(story, "policy:p@1", POLICY["digest"])
        story.tell("p-deployer", "gate.evaluated", MODEL, gated(mode="enforce"))
        told = story.judge(*AUTHORISE)
        refused(told, PolicyError, "legality", rule="gate policy:p@1")
        assert f"in the mode {mode} and refuses nothing" in str(told.error)
        other = story.judge("p-approver", "policy.defined", "policy:p@1", POLICY)
        refused(other, ConflictError, "legality")
        assert f"is defined in the mode {mode}" in str(other.error)
        assert story.judge("p-approver", "policy.defined", "policy:p@2", POLICY).kind == "valid"


def test_a_policy_that_the_rules_name_is_defined_to_refuse(gate: Story):
    repin(gate, "policy:p@2", POLICY["digest"])
    told = gate.judge("p-approver", "policy.defined", "policy:p@2", POLICY | {"mode": "warn"})
    refused(told, PolicyError, "legality")
    assert "it would refuse nothing" in str(told.error)
    refused(
        gate.judge("p-approver", "policy.defined", "policy:p@1", POLICY | {"mode": "warn"}), ConflictError, "legality"
    )
    assert gate.judge("p-approver", "policy.defined", "policy:p@2", POLICY | {"mode": "enforce"}).kind == "valid"
    assert gate.judge("p-approver", "policy.defined", "policy:p@3", POLICY | {"mode": "shadow"}).kind == "valid"


@pytest.mark.parametrize("mode", ["warn", "shadow"])
@pytest.mark.parametrize("result", ["allow", "deny"])
def test_what_only_warns_decides_nothing(gate: Story, mode: str, result: str):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(result, mode=mode))
    assert not authorised(gate), "it was not run in earnest"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated())
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated("deny", mode=mode))
    assert authorised(gate), "it takes nothing back"


def test_a_policy_is_its_source_for_ever():
    story = Story().people()
    refused(
        story.judge("p-approver", "policy.defined", "policy:p@1", {**POLICY, "digest": OTHER}), InputError, "schema"
    )
    story.tell("p-approver", "policy.defined", "policy:p@1", POLICY)
    assert story.judge("p-approver", "policy.defined", "policy:p@1", POLICY).kind == "valid"
    other = {**POLICY, "source": "x", "digest": "sha256:" + sha256(b"x").hexdigest()}
    refused(story.judge("p-approver", "policy.defined", "policy:p@1", other), ConflictError, "legality")
    refused(story.judge("p-approver", "policy.retired", "policy:p@2", {"reason": "x"}), PolicyError, "legality")
