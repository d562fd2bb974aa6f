"""What is authorised: emergencies, holds, and what goes live."""

from __future__ import annotations

import pytest

from ledger.domain.decisions import marks_of
from ledger.domain.judge import Verdict
from ledger.domain.signing import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import InputError, NotAllowedError, PolicyError
from ledger.events.deployments import DeploymentHeld
from ledger.events.ledgers import RuleSet
from tests.unit.governing import AUTHORISE, DAY, HOUR, PROD, approve, delegate, gated_rules, ready, rules, urgent
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, hint_of, refused


def test_an_emergency_does_not_wait_for_the_rules_and_is_reviewed_by_another_person():
    story = ready(gated_rules(approvals=2))
    decision = story.event("p-deployer", "deployment.authorised", PROD, urgent())
    assert marks_of(story.world, decision) == ("emergency",)
    decision = story.tell("p-deployer", "deployment.authorised", PROD, urgent())
    live = story.event("p-deployer", "deployment.completed", PROD, AUTHORISE[3])
    assert marks_of(story.world, live) == ()

    review = {"decision": decision.payload.id, "verdict": "justified", "rationale": "it was"}
    story.enrol("p-both", ["validator"], person="p-deployer", by=ROOT_ACTOR)
    refused(
        story.judge("p-both", "emergency.reviewed", PROD, review),
        NotAllowedError,
        "legality",
        rule="separation emergency.reviewed/decider",
    )
    story.tell("p-approver", "emergency.reviewed", PROD, review)
    refused(story.judge("p-approver", "emergency.reviewed", PROD, review), PolicyError, "legality", rule="")


def test_nobody_reviews_their_own_emergency_through_a_deputy():
    story = ready()
    story.enrol("p-both", ["approver", "deployer"])
    decision = story.tell("p-both", "deployment.authorised", PROD, urgent())
    review = {"decision": decision.payload.id, "verdict": "justified", "rationale": "it was"}
    for deputy, role in (("p-deputy", "owner"), ("p-own-right", "validator")):
        story.enrol(deputy, [role])
        story.tell("p-both", "approval.delegated", f"actor:{deputy}", delegate(NOW + DAY))
    refused(story.judge("p-deputy", "emergency.reviewed", PROD, review), NotAllowedError, "legality")
    assert story.judge("p-own-right", "emergency.reviewed", PROD, review).kind == "valid"


@pytest.mark.parametrize("review_by", [NOW, NOW + 30 * DAY + 1, NOW + 31 * DAY])
def test_an_emergency_is_reviewed_soon(review_by: int):
    story = ready()
    refused(story.judge("p-deployer", "deployment.authorised", PROD, urgent(review_by)), InputError, "schema")


@pytest.mark.parametrize("review_by", [NOW + 1, NOW + 30 * DAY])
def test_an_emergency_is_authorised_until_its_review(review_by: int):
    story = ready()
    verdict = story.judge("p-deployer", "deployment.authorised", PROD, urgent(review_by))
    assert (verdict.kind, verdict.until) == ("valid", review_by)


def test_an_emergency_does_not_lift_a_quarantine():
    story = ready()
    story.tell("trainer", "quarantine.placed", MODEL, {"reason": "poisoned"})
    refused(story.judge("p-deployer", "deployment.authorised", PROD, urgent()), PolicyError, "legality")


@pytest.mark.parametrize(
    ("own", "rests"),
    [
        (rules(), True),
        (rules(evaluation=False), True),
        (gated_rules(approvals=0, evaluation=False), True),
        (rules(approvals=0, evaluation=False), False),
    ],
)
def test_what_goes_live_rests_on_what_it_was_measured_on_where_approvals_or_gates_are_asked_for(
    own: RuleSet, rests: bool
):
    story = ready(own)
    on = {"metrics": {}, "verdict": "pass", "dataset": "dataset:test@1"}
    story.tell("trainer", "evaluation.completed", MODEL, on)
    live = story.event("p-deployer", "deployment.completed", PROD, AUTHORISE[3])
    assert marks_of(story.world, live) == ("unauthorised",)
    story.tell("trainer", "quarantine.placed", "dataset:test@1", {"reason": "leaked"})
    assert marks_of(story.world, live) == ("unauthorised", *(["quarantined"] if rests else []))


def test_what_nobody_registered_is_no_version_that_was_allowed_once():
    story = ready()
    unknown = {"model": "model:m@7", "digest": DIGEST}
    story.tell("p-deployer", "deployment.completed", PROD, unknown)
    back = story.event("p-deployer", "rollback.completed", PROD, unknown)
    assert marks_of(story.world, back) == ("unauthorised",)


def test_a_rollback_is_asked_for_what_the_rules_of_its_own_environment_ask_for():
    story = ready()
    body = {"model": MODEL, "digest": DIGEST}
    for place, marks in (("deployment:dev/x", ()), (PROD, ("unauthorised",))):
        assert marks_of(story.world, story.tell("p-deployer", "deployment.completed", place, body)) == marks
        story.tell("p-deployer", "deployment.completed", place, {"model": "model:m@7", "digest": DIGEST})
        assert marks_of(story.world, story.event("p-deployer", "rollback.completed", place, body)) == marks


def test_more_approvals_than_asked_for_do_not_make_up_for_a_role():
    story = ready(rules(approvals=1, roles=("auditor",)))
    for approver in ("p-approver", "p-second"):
        approve(story, approver)
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "model:m@1 needs an approval for prod by somebody with the role auditor" in str(told.error)


HELD = ("trainer", "deployment.held", PROD, {"model": MODEL, "digest": DIGEST, "reason": "burn rate"})
BODY = AUTHORISE[3]


@pytest.mark.parametrize(
    ("then", "held"),
    [
        ((), True),
        ((("deployment.completed", BODY),), True),  # it is held all the same
        ((("deployment.completed", {"model": "model:m@2", "digest": DIGEST}),), False),
        ((("canary.stage_entered", {**BODY, "stage": 1, "traffic": 0.1}),), True),
        ((("canary.aborted", {**BODY, "reason": "x"}),), True),  # there is none
        ((("canary.stage_entered", {**BODY, "stage": 1, "traffic": 0.1}),
          ("canary.aborted", {**BODY, "reason": "x"})), False),
        ((("deployment.authorised", {**BODY, "reason": "a known peak"}),), False),
        ((("deployment.authorised", {**BODY, "reason": "a known peak"}), HELD[1::2]), True),
    ],
)  # fmt: skip
def test_what_is_held_is_authorised_only_with_a_reason(then: tuple[tuple[str, dict[str, object]], ...], held: bool):
    story = ready()
    approve(story)
    told = [story.tell(*HELD), *(story.tell("p-deployer", kind, PROD, body) for kind, body in then)]
    index = max(event.index for event in told if isinstance(event.body, DeploymentHeld))
    for body in (BODY, urgent()):
        verdict = story.judge("p-deployer", "deployment.authorised", PROD, body)
        assert verdict.kind == ("void" if held else "valid")
        if held:
            refused(verdict, PolicyError, "legality", rule="hold deployment.authorised/reason")
            assert f"is held in {PROD}, by entry {index}: " in str(verdict.error)
            assert hint_of(verdict).endswith(f"muniment authorise {PROD} --model {MODEL} --lift-hold 'why'")
        reason = {"reason": "a known peak"}
        assert story.judge("p-deployer", "deployment.authorised", PROD, {**body, **reason}).kind == "valid"


def test_a_hold_is_of_a_version_in_a_deployment_and_ends_when_the_promise_is_kept_again():
    story = ready()
    approve(story)
    story.tell("p-deployer", "deployment.completed", PROD, BODY)
    breach = story.tell("trainer", "slo.breached", PROD, {"slo": "lat", "model": MODEL})
    for digest in (OTHER, DIGEST):
        story.tell("trainer", "deployment.held", PROD, {**BODY, "digest": digest, "trigger": breach.payload.id})
        assert story.judge(*AUTHORISE).kind == ("valid" if digest == OTHER else "void")
    approved = story.request("stage")
    story.tell("p-approver", "approval.granted", MODEL, story.grant(approved, "stage"))
    assert story.judge("p-deployer", "deployment.authorised", "deployment:stage/x", BODY).kind == "valid"
    for name, model in (("other", MODEL), ("lat", "model:m@2")):
        story.tell("trainer", "slo.recovered", PROD, {"slo": name, "model": model})
        refused(story.judge(*AUTHORISE), PolicyError, "legality")
    story.tell("trainer", "slo.recovered", PROD, {"slo": "lat"})
    assert story.judge(*AUTHORISE).kind == "valid"


def test_a_hold_ends_what_was_authorised():
    story = ready()
    approve(story)
    story.tell(*AUTHORISE)
    story.tell("trainer", "deployment.held", PROD, {"model": MODEL, "digest": DIGEST, "reason": "burn rate"})
    live = story.event("p-deployer", "deployment.completed", PROD, AUTHORISE[3])
    assert marks_of(story.world, live) == ("unauthorised",)


def test_an_authorisation_names_only_approvals_that_stand():
    story = ready(rules())
    deployer, kind, place, body = AUTHORISE

    def naming(*ids: str) -> Verdict:
        return story.judge(deployer, kind, place, {**body, "approvals": list(ids)})

    first, second = approve(story), approve(story, "p-second")
    assert naming().kind == naming(first).kind == naming(first, second).kind == "valid"
    unknown = naming(first, "0" * 8 + "-0000-7000-8000-" + "0" * 12)
    refused(unknown, PolicyError, "legality")
    assert "is no approval of model:m@1 for prod that stands" in str(unknown.error)
    story.tell("p-approver", "approval.revoked", MODEL, {"approval": first, "rationale": "bias"})
    refused(naming(first, second), PolicyError, "legality")
    assert naming(second).kind == "valid"
    urgent = {"emergency": {"reason": "fraud", "review_by": format_time(NOW + DAY)}}
    told = story.judge(deployer, kind, place, {**body, **urgent, "approvals": [first]})
    refused(told, PolicyError, "legality")
    assert story.judge(deployer, kind, place, {**body, **urgent, "approvals": [second]}).kind == "valid"


def test_an_authorisation_holds_no_longer_than_the_approvals_that_it_names():
    story = ready(rules())
    short, _ = approve(story, expires_at=format_time(NOW + HOUR)), approve(story, "p-second")
    assert story.judge(*AUTHORISE).until > NOW + HOUR, "the other one is enough"
    deployer, kind, place, body = AUTHORISE
    assert story.judge(deployer, kind, place, {**body, "approvals": [short]}).until == NOW + HOUR
