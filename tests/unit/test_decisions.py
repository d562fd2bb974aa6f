"""Decisions: what is refused, in which words, and what the states that decisions rest on keep of everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ledger.domain import LedgerState, MemoryWorld, ModelState, Verdict
from ledger.domain.authorising import deployment_doubt
from ledger.domain.decisions import marks_of
from ledger.domain.deployed import DeploymentState
from ledger.domain.lifecycle import version_of
from ledger.domain.signing import ROOT_ACTOR, signing_keys
from ledger.domain.states import VersionState
from ledger.domain.suspicion import first_doubt
from ledger.domain.waiving import waiver_of, waiver_trouble
from ledger.entry import format_time
from ledger.errors import AuthenticationError, InputError, PolicyError
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from tests.unit.governing import AUTHORISE, DAY, PROD, approve, ask, gated, gated_rules
from tests.unit.rings import Ring, actor, keyid, words
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, key_of, refused

LOWEST, HIGHEST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.fixture
def ring() -> Ring:
    ring = Ring().people()
    ring.version()
    return ring


def said(verdict: Verdict) -> str:
    assert verdict.kind == "void", "it is valid"
    assert verdict.error is not None
    return f"{type(verdict.error).__name__}: {verdict.error.message}"


def version(story: Story) -> VersionState:
    return version_of(story.world, MODEL).version


# -- what a decision is about ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "kind", "subject", "body"),
    [
        ("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": OTHER}),
        ("p-author", "deployment.requested", PROD, {"model": MODEL, "digest": OTHER}),
        ("p-deployer", "deployment.authorised", PROD, {"model": MODEL, "digest": OTHER}),
    ],
)
def test_a_decision_about_other_bytes_is_refused(ring: Ring, by: str, kind: str, subject: str, body: dict[str, Any]):
    ring.approve(ring.request())
    expected = f"PolicyError: {MODEL} was registered as {DIGEST}, and this decision names {OTHER}"
    assert said(ring.judge(by, kind, subject, body)) == expected
    assert ring.judge(by, kind, subject, {**body, "digest": DIGEST}).kind == "valid"


def test_a_version_is_named_with_its_model(ring: Ring):
    for name in ("model:m", "dataset:d@1"):
        with pytest.raises(InputError, match="must name a model version"):
            version_of(ring.world, name)
    for name in ("model:m@0", "model:m@2", "model:l@1"):
        with pytest.raises(PolicyError, match="is not registered"):
            version_of(ring.world, name)


@pytest.mark.parametrize("leaf_hash", ["00" * 32, "ff" * 32])
def test_evidence_is_the_very_entry(ring: Ring, leaf_hash: str):
    request = ring.request()
    at = len(ring.view.leaves) - 1
    grant = Story.grant(ring, request)
    good = grant["evidence"]
    assert ring.judge("p-approver", "approval.granted", MODEL, {**grant, "evidence": good}).kind == "valid"
    other = {**grant, "evidence": [*good, {"index": at, "leaf_hash": leaf_hash}]}
    expected = f"ConflictError: the evidence at index {at} is not the entry its author saw"
    assert said(ring.judge("p-approver", "approval.granted", MODEL, other)) == expected
    ahead = {**grant, "evidence": [*good, {"index": at + 1, "leaf_hash": leaf_hash}]}
    assert "ConflictError" in said(ring.judge("p-approver", "approval.granted", MODEL, ahead))


@pytest.mark.parametrize("root", ["00" * 32, "ff" * 32])
def test_who_saw_another_history_decides_nothing_and_protects_nevertheless(ring: Ring, root: str):
    size = len(ring.view.leaves)
    true = ring.view.root_hash(size)
    assert true is not None
    request = ring.request()
    for seen, good in (((size, true.hex()), True), ((size, root), False), ((size + 9, true.hex()), False)):
        body = {"seen": {"size": seen[0], "root": seen[1]}}
        verdict = ring.judge("p-approver", "approval.granted", MODEL, Story.grant(ring, request) | body)
        assert (verdict.kind == "valid") is good
        if not good:
            assert said(verdict).startswith("ConflictError: its author saw another history")
        held = {"model": MODEL, "digest": DIGEST, "reason": "x", **body}
        event = ring.event("trainer", "deployment.held", PROD, held)
        assert marks_of(ring.world, event) == (() if good else ("other-history",))


@pytest.mark.parametrize("quarantine", [LOWEST, HIGHEST])
def test_a_quarantine_that_is_not_there_is_not_released(ring: Ring, quarantine: str):
    placed = ring.tell("trainer", "quarantine.placed", MODEL, {"reason": "x"}).payload.id
    release = ("p-approver", "quarantine.released")
    body = {"quarantine": placed, "rationale": "x"}
    other = said(ring.judge(*release, MODEL, {**body, "quarantine": quarantine}))
    assert other == f"PolicyError: {MODEL} is not in a quarantine {quarantine}"
    for subject in ("model:m", "model:m@0", "model:m@2"):
        assert "is not in a quarantine" in said(ring.judge(*release, subject, body))
    assert ring.judge(*release, MODEL, body).kind == "valid"


@pytest.mark.parametrize("hold", [LOWEST, HIGHEST])
def test_a_hold_that_does_not_stand_is_not_released(hold: str):
    story = Story()
    ledger = f"ledger:{story.world.ledgerid}"
    place = {"subjects": ["model:m"], "matter": "x", "reason": "x"}
    holds = [story.tell("p-admin", "hold.placed", ledger, place).payload.id for _ in range(2)]
    assert said(story.judge("p-admin", "hold.released", ledger, {"hold": hold, "reason": "x"})) == (
        f"ConflictError: no hold {hold} stands"
    )
    for left in (holds[1:], []):
        gone = holds[-1 - len(left)]
        story.tell("p-admin", "hold.released", ledger, {"hold": gone, "reason": "x"})
        state = story.world.state(ledger)
        assert isinstance(state, LedgerState)
        assert [one.id for one in state.holds] == left


def test_only_what_is_there_is_acknowledged():
    story = Story()
    at = len(story.view.leaves)
    for index in (at, at + 300):
        body = {"index": index, "leaf_hash": "ab" * 32, "reason": "x"}
        verdict = story.judge("p-admin", "ledger.entry_acknowledged", f"ledger:{story.world.ledgerid}", body)
        assert said(verdict) == f"InputError: there is no entry {index} yet to acknowledge"


def test_who_declares_a_gap_for_another(ring: Ring):
    gap: dict[str, Any] = {"first": 3, "last": 4, "reason": "crashed"}
    emitter = "emitter:" + str(UUID(int=1))

    def by(author: str, **more: Any) -> Verdict:
        return ring.judge(author, "gap.declared", emitter, gap | more)

    assert by("trainer").kind == by("trainer", actor="trainer").kind == "valid"
    assert by("p-author", actor="trainer").kind == "valid", "who answers for it"
    assert by("p-admin", actor="trainer").kind == by("p-admin", actor="p-author").kind == "valid"
    for author, owner in (("p-second", "trainer"), ("trainer", "p-author"), ("p-author", "p-second")):
        assert words(by(author, actor=owner)) == "muniment.gap.declared.v1 needs the role admin or the root keys"
    for author in ("trainer", "p-admin"):
        unknown = by(author, actor="nobody")
        refused(unknown, InputError, "schema")
        assert unknown.error is not None
        assert unknown.error.message == "the actor 'nobody' is not enrolled"


# -- what a decision rests on ----------------------------------------------------------------------


def test_a_gate_is_run_again_after_an_evaluation():
    story = Story(gated_rules()).people().version()
    approve(story)
    source = {"digest": gated()["policy_digest"], "source": "checks: []", "format": "muniment.checks/v1"}
    story.tell("p-approver", "policy.defined", "policy:p@1", source)
    size = len(story.view.leaves)
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=size))
    assert story.judge(*AUTHORISE).kind == "valid"
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    what = "evaluations, validations, the contract, the tier or what is live there"
    expected = f"PolicyError: policy:p@1 was run before entry {size + 1} said more of {what}"
    assert said(story.judge(*AUTHORISE)) == expected
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=size + 1))
    assert said(story.judge(*AUTHORISE)) == expected, "it saw one entry less"
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=size + 2))
    assert story.judge(*AUTHORISE).kind == "valid"


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("validation.completed", {"verdict": "fail", "independence": "another team"}),
        ("risk.classified", {"tier": "high", "rationale": "x"}),
    ],
)
def test_a_gate_is_run_again_after_a_validation_or_a_classification(kind: str, body: dict[str, Any], subject: str):
    """Checks are for tiers: a gate over a light version says nothing of a heavy one."""
    story = Story(gated_rules()).people().version(tier="medium")
    second = {"digest": OTHER, "owner": "p-author", "tier": "medium"}
    story.tell("trainer", "version.registered", "model:m@2", second)
    source = {"digest": gated()["policy_digest"], "source": "checks: []", "format": "muniment.checks/v1"}
    story.tell("p-approver", "policy.defined", "policy:p@1", source)
    approve(story)
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=len(story.view.leaves)))
    assert story.judge(*AUTHORISE).kind == "valid"
    other = story.tell("p-approver", kind, "model:m@2", body) if subject == MODEL else None
    assert other is None or story.judge(*AUTHORISE).kind == "valid", "of another version"
    index = story.tell("p-approver", kind, subject, body).index
    approve(story)  # of another tier is not what was approved
    assert f"was run before entry {index} said more" in said(story.judge(*AUTHORISE))
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=index + 1))
    assert story.judge(*AUTHORISE).kind == "valid"


def test_a_gate_rests_on_waivers_of_checks_that_were_waived_only(ring: Ring):
    ask(ring)
    check = {"check": "drift", "reason": "x"}
    checks = [
        {**check, "result": "pass", "waiver": "waiver:v"},
        {**check, "check": "other", "result": "waived", "waiver": "waiver:w"},
    ]
    ring.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=checks))
    assert version(ring).gates["policy:p@1", "prod"].waivers == ("waiver:w",)


@pytest.mark.parametrize("stolen", ["p-author", "p-second"])
def test_a_waiver_that_a_thief_asked_for_or_granted_does_not_stand(ring: Ring, stolen: str):
    at = len(ring.view.leaves)
    ask(ring)
    ring.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    state = waiver_of(ring.world, "waiver:w")
    assert state is not None
    assert waiver_trouble(ring.world, state, NOW) is None
    cause = ring.compromise(stolen, at)
    index = at if stolen == "p-author" else at + 1
    assert waiver_trouble(ring.world, state, NOW) == (
        f"entry {index} is suspect: entry {cause} says that a key of {stolen} was compromised"
    )


def test_what_is_live_without_enough_approvals_rests_on_its_evaluation():
    ring = Ring().people()
    ring.version(passed=False)
    ring.enrol("p-tester", ["validator"])
    body = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST}
    tested = ring.tell("p-tester", "evaluation.completed", MODEL, body)
    ring.request()
    assert deployment_doubt(ring.world, PROD, MODEL, DIGEST) is None
    ring.compromise("p-tester", tested.index)
    doubt = deployment_doubt(ring.world, PROD, MODEL, DIGEST)
    assert doubt is not None
    assert doubt.index == tested.index


# -- what a state keeps ----------------------------------------------------------------------------


def test_of_several_evaluations_the_invalidated_one_goes(ring: Ring):
    first = version(ring).evaluations[0].id
    suites = {
        suite: ring.tell(
            "trainer", "evaluation.completed", MODEL,
            {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST, "suite": suite},
        ).payload.id
        for suite in ("a", "b", "c")
    }  # fmt: skip
    gone = {"evaluation": suites["b"], "reason": "leak"}
    ring.tell("trainer", "evaluation.invalidated", MODEL, gone)
    assert [one.id for one in version(ring).evaluations] == [first, suites["a"], suites["c"]]
    assert version(ring).invalidated == {suites["b"]}
    ring.tell("trainer", "evaluation.invalidated", MODEL, gone | {"evaluation": suites["c"]})
    passed = version(ring).passed
    assert passed is not None
    assert passed.id == suites["a"], "the last that passed and is left"


def test_of_several_approvals_the_one_meant_changes(ring: Ring):
    request = ring.request()
    conditions = ["x", "y"]
    ids = [
        ring.tell(by, "approval.granted", MODEL, {**Story.grant(ring, request), "conditions": conditions}).payload.id
        for by in ("p-approver", "p-second")
    ]
    before = version(ring).approvals
    ring.tell("p-second", "approval.condition_met", MODEL, {"approval": ids[0], "condition": 1})
    assert version(ring).approvals == (replace(before[0], met=frozenset({1})), before[1])
    at = ring.tell("p-second", "approval.revoked", MODEL, {"approval": ids[1], "rationale": "x"}).index
    assert version(ring).approvals == (replace(before[0], met=frozenset({1})), replace(before[1], revoked=at))


def test_a_hold_ends_the_authorisation_of_its_own_version_only(ring: Ring):
    ring.approve(ring.request())
    held = {"digest": DIGEST, "reason": "burn rate"}
    ring.tell("trainer", "deployment.held", PROD, {"model": MODEL, **held})
    ring.tell(*AUTHORISE[:3], {**AUTHORISE[3], "reason": "a known peak"})
    for model, given in (("model:m@0", True), ("model:m@2", True), (MODEL, False)):
        ring.tell("trainer", "deployment.held", PROD, {"model": model, **held})
        state = ring.world.state(PROD)
        assert isinstance(state, DeploymentState)
        assert (state.authorisation is not None) is given


@pytest.mark.parametrize("subject", [MODEL, PROD, "waiver:w", "policy:p@1", "actor:p-author", "ledger"])
def test_what_else_is_said_about_something_changes_no_state(ring: Ring, subject: str):
    ring.approve(ring.request())
    ring.tell(*AUTHORISE)
    ask(ring)
    source = {"digest": gated()["policy_digest"], "source": "checks: []", "format": "muniment.checks/v1"}
    ring.tell("p-approver", "policy.defined", "policy:p@1", source)
    told = ring.event("trainer", "external.observed", "external:x", {"system": "s"})
    stream = f"ledger:{ring.world.ledgerid}" if subject == "ledger" else subject.partition("@")[0]
    before = ring.world.state(stream)
    assert before is not None
    # Such events have subjects of their own; a later version of the catalogue may say more about these.
    name = replace(told.subject, kind=stream.partition(":")[0])
    ring.world.apply(replace(told, stream=stream, subject=name))
    assert ring.world.state(stream) == before


def test_a_new_checkpoint_key_signs_from_behind_its_entry():
    story = Story()
    new = key_of("log-2").public
    body = {"vkey": format_vkey(VerifierKey("ledger.example/unit", TYPE_ED25519, new.raw)), "reason": "yearly"}
    keys = sorted([*(root.public.keyid for root in story.roots), new.keyid])
    at = story.tell(
        ROOT_ACTOR, "ledger.checkpoint_key_changed", f"ledger:{story.world.ledgerid}", body, keys=keys
    ).index
    state = story.world.state(f"ledger:{story.world.ledgerid}")
    assert isinstance(state, LedgerState)
    assert [key.since for key in state.changes] == [at + 1]


# -- keys and roles --------------------------------------------------------------------------------


def test_a_key_that_was_stolen_earlier_than_thought_is_blamed_on_who_said_so_first(ring: Ring):
    runs = [ring.tell("trainer", "run.started", f"run:{n}").index for n in range(3)]
    first = ring.compromise("trainer", runs[2])
    ring.compromise("trainer", runs[1])
    assert actor(ring, "trainer").keys[keyid("trainer")].compromised == (runs[1], first)


def test_the_first_entry_that_may_be_suspect(ring: Ring):
    assert first_doubt(ring.world, actor(ring, "trainer")) is None
    run = ring.tell("trainer", "run.started", "run:x").index
    ring.compromise("trainer", run)
    assert first_doubt(ring.world, actor(ring, "trainer")) == run
    since = len(ring.view.leaves)
    ring.enrol("p-false", ["emitter"])
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    assert first_doubt(ring.world, actor(ring, "p-false")) == since, "its roles came with its enrolment"
    assert first_doubt(ring.world, actor(ring, "p-second")) is None


def test_what_somebody_signed_who_has_left_may_be_genuine(ring: Ring):
    run = ring.tell("trainer", "run.started", "run:x").index
    ring.compromise("trainer", run)
    ring.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "x"})
    assert ring.reaffirm("trainer", run, by="p-author").kind == "valid"


def test_a_verdict_ends_where_a_key_ends(ring: Ring):
    assert ring.observe("trainer", "trainer").stop is None
    until = len(ring.view.leaves) + 5
    assert ring.rotate("trainer", "trainer", "trainer-2", until).kind == "valid"
    assert ring.observe("trainer", "trainer").stop == until
    assert ring.observe("trainer", "trainer", "trainer-2").stop == until
    assert ring.observe("trainer", "trainer-2").stop is None


def test_without_a_first_entry_there_is_no_root_key():
    event = Story().event(ROOT_ACTOR, "actor.revoked", "actor:x", {"reason": "x"})
    with pytest.raises(AuthenticationError, match="no first entry"):
        signing_keys(MemoryWorld(event.payload.ledgerid, Story().view), event)


def test_a_role_that_is_not_held_is_not_taken_away(ring: Ring):
    grant = ring.grant("p-second", "emitter").payload.id
    take = ("p-admin", "role.revoked", "actor:p-second")
    expected = "ConflictError: 'p-second' does not have the role"
    assert said(ring.judge(*take, {"role": "owner", "reason": "x"})) == f"{expected} owner"
    for other in (LOWEST, HIGHEST):
        verdict = ring.judge(*take, {"role": "emitter", "grant": other, "reason": "x"})
        assert said(verdict) == f"{expected} emitter by the grant {other}"
    assert ring.judge(*take, {"role": "emitter", "grant": grant, "reason": "x"}).kind == "valid"


def test_nobody_is_handed_more_than_fits(ring: Ring):
    ring.enrol("p-deputy", ["owner"])
    hand_on = ("p-approver", "approval.delegated", "actor:p-deputy", {"until": format_time(NOW + DAY), "reason": "x"})
    for _ in range(63):
        ring.tell(*hand_on)
    assert said(ring.judge(*hand_on)) == "PolicyError: 'p-deputy' holds 64 roles and grants already"


def test_a_model_that_was_never_told_of_has_no_state(ring: Ring):
    assert isinstance(ring.world.state("model:m"), ModelState)
    assert ring.world.state("model:l") is None
