"""Stops by the states of a version: what a table may name, until when a judgement holds, and what nothing stops."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain.decisions import marks_of
from ledger.domain.lifecycle import rule_for, version_of, waiver_limit
from ledger.domain.moves import STATES, STOPPABLE
from ledger.domain.rulesets import STARTERS
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.stages import Place, stages_of
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.events import all_event_types
from ledger.events.ledgers import RuleSet, Stop
from tests.unit.bodies import WAIVER
from tests.unit.governing import AUTHORISE, PROD, approve, ready
from tests.unit.story import DIGEST, MODEL, NOW, Story, cites, hint_of, refused

HOUR = 3_600_000_000
LIVE = ("p-deployer", "deployment.completed", PROD, {"model": MODEL, "digest": DIGEST})
ASK_TO_DEPLOY = ("p-deployer", "deployment.requested", PROD, {"model": MODEL, "digest": DIGEST})
ASK = ("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST})


def stopping(decision: str, *states: str) -> RuleSet:
    return DEFAULT_RULES.model_copy(update={"stops": (Stop(decision=decision, states=states),)})


def states(story: Story, environment: str = "prod", deployment: str | None = PROD) -> list[tuple[str, int]]:
    named = version_of(story.world, MODEL)
    found = stages_of(story.world, named, Place(environment, deployment, story.now))
    return [(stage.state, stage.index) for stage in found]


def change(story: Story, decision: str, state: str) -> Any:
    table = stopping(decision, state).model_dump(mode="json")
    subject = f"ledger:{story.world.ledgerid}"
    return story.judge(ROOT_ACTOR, "ledger.rules_changed", subject, {"rules": table, "reason": "x"})


# -- what a table may name -------------------------------------------------------------------------


@pytest.mark.parametrize("decision", sorted(kind.name for kind in all_event_types()))
def test_only_decisions_are_stopped_and_none_for_ever(decision: str):
    story = Story()
    allowed = STOPPABLE.get(decision, frozenset())
    for state in (*STATES, "approvd"):
        verdict = change(story, decision, state)
        assert (verdict.kind == "valid") is (state in allowed), (decision, state)
        if verdict.kind != "valid":
            refused(verdict, InputError, "schema")
            assert hint_of(verdict)


@pytest.mark.parametrize(
    ("decision", "state", "words"),
    [
        ("approval.granted", "approval pending", "nothing could be approved any more"),
        ("approval.granted", "registered", "what is registered waits for no approval"),
        ("approval.granted", "live", "live in one deployment, and approval.granted names none"),
        ("approval.requested", "rejected", "only another request leads on from rejected"),
        ("approval.requested", "suspended", "only another request leads on from suspended"),
        ("deployment.authorised", "approved", "what is approved could never be deployed"),
        ("waiver.granted", "approval pending", "gates are run over"),
        ("waiver.granted", "quarantine", "there is no state 'quarantine'"),
        ("rollback.completed", "quarantined", "is not stopped by any state"),
        ("quarantine.placed", "retired", "is not stopped by any state"),
        ("deployment.held", "live", "is not stopped by any state"),
        ("approval.revoked", "approved", "is not stopped by any state"),
    ],
)  # fmt: skip
def test_the_refusal_of_a_table_says_why(decision: str, state: str, words: str):
    verdict = change(Story(), decision, state)
    assert words in str(verdict.error)
    assert hint_of(verdict)


def test_a_table_holds_from_its_own_entry_on():
    story = ready(stopping("deployment.requested", "evaluated"))
    refused(story.judge(*ASK_TO_DEPLOY), PolicyError, "legality")
    table = {"rules": stopping("deployment.requested", "registered").model_dump(mode="json"), "reason": "x"}
    story.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{story.world.ledgerid}", table)
    assert story.judge(*ASK_TO_DEPLOY).kind == "valid"


def test_who_may_not_ask_for_what_is_approved_reads_how_that_is_taken_back():
    story = ready(stopping("approval.requested", "approved"))
    approve(story)
    told = story.judge(*ASK)
    refused(told, PolicyError, "legality")
    assert "muniment revoke model:m@1 --env prod" in hint_of(told)


# -- each in its own place -------------------------------------------------------------------------


def test_a_state_is_that_for_the_environment_and_in_the_deployment():
    story = ready(stopping("deployment.requested", "approval pending", "live"))
    request = story.request("prod")
    assert states(story) == [("approval pending", len(story.view.leaves) - 1)]
    assert [state for state, _ in states(story, "stage", "deployment:stage/x")] == ["evaluated"]
    refused(story.judge(*ASK_TO_DEPLOY), PolicyError, "legality")
    stage = ("p-deployer", "deployment.requested", "deployment:stage/x", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*stage).kind == "valid"
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    story.tell(*AUTHORISE)
    story.tell(*LIVE)
    told = story.judge(*ASK_TO_DEPLOY)
    refused(told, PolicyError, "legality", rule="stops deployment.requested/live")
    assert str(told.error) == (
        f"deployment.requested is refused for what is live: it is live in {PROD} (entry {len(story.view.leaves) - 1})"
    )
    other = ("p-deployer", "deployment.requested", "deployment:prod/y", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*other).kind == "valid"


def test_whoever_was_rolled_back_is_so_until_it_is_live_again():
    story = ready()
    approve(story)
    story.tell(*AUTHORISE)
    story.tell(*LIVE)
    back = story.tell("p-deployer", "rollback.completed", PROD, {"model": "model:m@0", "digest": DIGEST})
    assert states(story)[1:] == [("rolled back", back.index)]
    story.tell("p-deployer", "deployment.completed", PROD, {"model": "model:m@2", "digest": DIGEST})
    assert states(story)[1:] == [("rolled back", back.index)]
    live = story.tell("p-deployer", "rollback.completed", PROD, {"model": MODEL, "digest": DIGEST})
    assert states(story)[1:] == [("live", live.index)]
    story.tell("p-deployer", "deployment.completed", PROD, {"model": "model:m@2", "digest": DIGEST})
    assert states(story)[1:] == [], "another version was deployed in its place"


def test_the_request_about_which_something_was_decided_last_counts():
    story = ready()
    first, second = story.request(), story.request()
    body = {name: value for name, value in story.grant(first).items() if name != "evidence"}
    back = story.tell("p-approver", "approval.rejected", MODEL, body)
    assert states(story) == [("rejected", back.index)]
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": second, "reason": "x"})
    assert states(story) == [("rejected", back.index)]
    mine, theirs = approve(story, by="p-second"), approve(story)
    stands = version_of(story.world, MODEL).version.approvals[0].index
    story.tell("p-approver", "approval.revoked", MODEL, {"approval": theirs, "rationale": "bias"})
    assert states(story) == [("approved", stands)], "by another person"
    gone = story.tell("p-second", "approval.revoked", MODEL, {"approval": mine, "rationale": "bias"})
    assert states(story) == [("suspended", gone.index)]


def test_what_was_evaluated_stays_so_when_that_does_not_hold():
    story = ready()
    evaluation = version_of(story.world, MODEL).version.evaluations[0]
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": evaluation.id, "reason": "leak"})
    assert states(story) == [("evaluated", evaluation.index)]


# -- time ------------------------------------------------------------------------------------------


def test_a_judgement_holds_until_an_approval_ends():
    story = ready(stopping("deployment.requested", "approval expired"))
    end = NOW + HOUR
    approve(story, expires_at=format_time(end))
    assert story.judge(*ASK_TO_DEPLOY).until == end
    story.now = end - 1
    assert story.judge(*ASK_TO_DEPLOY).kind == "valid"
    story.now = end
    told = story.judge(*ASK_TO_DEPLOY)
    refused(told, PolicyError, "legality")
    assert f"it expired at {format_time(end)}" in str(told.error)
    assert "muniment approve model:m@1 --env prod" in hint_of(told), "by somebody else: the request is open"
    assert "ask anew: muniment request model:m@1 --env prod" in hint_of(told)


def test_a_judgement_holds_until_an_approval_begins():
    story = ready(stopping("approval.requested", "approved"))
    begins = NOW + HOUR
    approve(story, valid_from=format_time(begins))
    assert (states(story)[0][0], story.judge(*ASK).until) == ("approval upcoming", begins)
    story.now = begins
    refused(story.judge(*ASK), PolicyError, "legality")


# -- what nothing stops ----------------------------------------------------------------------------


def test_an_emergency_is_stopped_by_the_states_beside_alone():
    everything = tuple(STOPPABLE["deployment.authorised"])
    story = ready(stopping("deployment.authorised", *everything))
    actor, kind, subject, body = AUTHORISE
    urgent = {**body, "emergency": {"reason": "fraud wave", "review_by": format_time(NOW + HOUR)}}
    refused(story.judge(*AUTHORISE), PolicyError, "legality")
    assert story.judge(actor, kind, subject, urgent).kind == "valid"
    story.tell("p-author", "version.retired", MODEL, {"reason": "old"})
    refused(story.judge(actor, kind, subject, urgent), PolicyError, "legality")


def test_what_was_authorised_before_is_not_marked_by_a_state_that_stops_it_now():
    story = ready(stopping("deployment.authorised", "suspended", "deploy authorised"))
    approval = approve(story)
    story.tell(*AUTHORISE)
    story.tell("p-second", "approval.revoked", MODEL, {"approval": approval, "rationale": "bias"})
    assert states(story)[0][0] == "suspended"
    assert marks_of(story.world, story.event(*LIVE)) == ()


def test_a_waiver_for_a_model_is_stopped_where_each_version_is():
    story = ready(stopping("waiver.requested", "registered", "rejected"))
    ask_for = ("p-author", "waiver.requested", "waiver:w", {**WAIVER, "model": "model:m"})
    request = story.request()
    body = {name: value for name, value in story.grant(request).items() if name != "evidence"}
    story.tell("p-approver", "approval.rejected", MODEL, body)
    told = story.judge(*ask_for)
    refused(told, PolicyError, "legality")
    assert "what is rejected: entry" in str(told.error)
    registered = {"digest": "sha256:" + "ef" * 32, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("trainer", "version.registered", "model:m@2", registered)
    refused(story.judge(*ask_for), PolicyError, "legality")
    story.tell("trainer", "evaluation.completed", "model:m@2", {"metrics": {"auc": 0.9}, "verdict": "pass"})
    assert story.judge(*ask_for).kind == "valid"
    one = ("p-author", "waiver.requested", "waiver:v", {**WAIVER, "model": MODEL})
    refused(story.judge(*one), PolicyError, "legality")


def test_what_is_refused_names_the_condition_and_the_request_that_it_comes_of():
    story = ready(stopping("approval.granted", "conditions open", "changes requested"))
    first, second = story.request(), story.request()
    conditional = {**story.grant(second), "conditions": ["a monitor is on"]}
    story.tell("p-approver", "approval.granted", MODEL, conditional)
    grant = {**story.grant(first), "evidence": cites(story.view)}
    told = story.judge("p-second", "approval.granted", MODEL, grant)
    assert "its condition 0 is not met: a monitor is on" in str(told.error)
    given = version_of(story.world, MODEL).version.approvals[-1]
    assert f"muniment condition model:m@1 0 --approval {given.id} --note …" in hint_of(told)
    body = {name: value for name, value in story.grant(second).items() if name != "evidence"}
    story.tell("p-second", "approval.changes_requested", MODEL, {**body, "changes": ["measure more"]})
    told = story.judge("p-second", "approval.granted", MODEL, {**story.grant(first), "evidence": cites(story.view)})
    assert f"--amends {second}" in hint_of(told)
    assert "sent the request for prod back (entry " in str(told.error)


# -- rules to begin with ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low", "medium", "high"),
    [
        ("default", (1, None), (1, None), (1, None)),
        ("light", (0, None), (1, None), (1, None)),
        ("standard", (1, None), (1, None), (2, 365)),
        ("full", (1, 365), (1, 180), (2, 90)),
    ],
)
def test_rules_to_begin_with_ask_for_more_by_tier(name: str, low: Any, medium: Any, high: Any):
    rules = STARTERS[name]
    for tier, expected in (("low", low), ("medium", medium), ("high", high)):
        story = Story(rules).people().version(tier=tier)
        rule = rule_for(story.world, "prod", tier)
        assert ((rule.approvals, rule.days), rule.authorisation) == (expected, True)
        assert rule.evaluation is (rule.approvals > 0)
        assert not rule_for(story.world, "dev", tier).authorisation
        assert rule.roles == (("validator",) if (name, tier) == ("full", "high") else ())
        limit = waiver_limit(story.world, "prod", tier)
        assert limit is not None
        days = {"low": 90, "medium": 30, "high": 14} if name == "full" else {"low": 90, "medium": 90, "high": 30}
        assert limit.days == days[tier]


@pytest.mark.parametrize("name", sorted(STARTERS))
def test_a_version_goes_live_by_the_rules_to_begin_with_and_not_with_less(name: str):
    story = Story(STARTERS[name]).people().version(tier="high")
    request = story.request()
    approvers = ("p-approver", "p-second")[: rule_for(story.world, "prod", "high").approvals]
    for by in approvers:
        assert story.judge(*AUTHORISE).kind == "void"
        story.tell(by, "approval.granted", MODEL, story.grant(request))
    story.tell(*AUTHORISE)
    assert marks_of(story.world, story.event(*LIVE)) == ()


def test_the_fullest_rules_stop_what_was_rolled_back_and_what_was_not_evaluated():
    story = Story(STARTERS["full"]).people().version(tier="high", passed=False)
    refused(story.judge(*ASK), PolicyError, "legality")
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    request = story.request()
    for by in ("p-approver", "p-second"):
        story.tell(by, "approval.granted", MODEL, story.grant(request))
    story.tell(*AUTHORISE)
    story.tell(*LIVE)
    story.tell("p-deployer", "rollback.completed", PROD, {"model": "model:m@0", "digest": DIGEST})
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "what is rolled back" in str(told.error)
    assert "--emergency" in hint_of(told)
