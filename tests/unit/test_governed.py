"""Decisions of the governed life cycle: what is asked for, what stands, what stops, and who must be another person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain import ModelState
from ledger.domain.actors import FOREVER
from ledger.domain.decisions import marks_of
from ledger.domain.evolution import evolve
from ledger.domain.independence import how_many, makers_of
from ledger.domain.judge import Verdict
from ledger.domain.lifecycle import BUILT_IN_STOPS, version_of
from ledger.domain.moves import MOVES, SIDE_STATES
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.states import Evaluation, tiers_in_force
from ledger.domain.waiving import covers, longest_end, uses_of, waiver_of, waiver_trouble
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events import all_event_types
from ledger.events.ledgers import Rule, RuleSet, WaiverLimit
from ledger.keys import format_public_key
from tests.unit.bodies import LATER, WAIVER
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, hint_of, key_of, refused

HOUR = 3_600_000_000
DAY = 24 * HOUR
PROD = "deployment:prod/x"
AUTHORISE = ("p-deployer", "deployment.authorised", PROD, {"model": MODEL, "digest": DIGEST})
SOURCE = "checks: []"
POLICY = {"digest": "sha256:" + sha256(SOURCE.encode()).hexdigest(), "source": SOURCE, "format": "muniment.checks/v1"}


def rules(**changes: Any) -> RuleSet:
    base: dict[str, Any] = {"environment": "*", "tier": "*", "authorisation": True, "approvals": 1, "evaluation": True}
    return RuleSet(name="own", rules=(Rule(**(base | changes)),))


def gated_rules(**changes: Any) -> RuleSet:
    """One rule, by which a policy is asked."""
    return rules(gate="policy:p@1", gate_digest=POLICY["digest"], **changes)


def ready(own: RuleSet = DEFAULT_RULES) -> Story:
    return Story(own).people().version()


def approve(story: Story, by: str = "p-approver", **more: Any) -> str:
    request = story.request()
    return story.tell(by, "approval.granted", MODEL, {**story.grant(request), **more}).payload.id


def authorised(story: Story) -> bool:
    return story.judge(*AUTHORISE).kind == "valid"


def ends_at(story: Story, end: int, *decision: Any) -> None:
    """A decision is legal until just before a time, and neither at it nor behind it."""
    before = story.now
    told = {}
    for story.now in (end - 1, end, end + 1, end + DAY):
        told[story.now - end] = story.judge(*(decision or AUTHORISE)).kind
    assert told == {-1: "valid", 0: "void", 1: "void", DAY: "void"}
    story.now = before


# -- the table -------------------------------------------------------------------------------------


def test_the_table_names_what_there_is():
    names = {kind.name for kind in all_event_types()}
    assert {move.event for move in MOVES} - {None} <= names
    assert {stop.decision for stop in BUILT_IN_STOPS} <= names
    assert {"quarantined", "retired"} == SIDE_STATES
    states = {move.to for move in MOVES}
    assert {state for move in MOVES for state in move.of} <= states


def test_a_ledger_may_stop_less_or_more():
    story = ready()
    story.tell("p-author", "version.retired", MODEL, {"reason": "old"})
    ask_again = ("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST})
    refused(story.judge(*ask_again), PolicyError, "legality")
    table = DEFAULT_RULES.model_dump(mode="json") | {"stops": []}
    change = {"rules": table, "reason": "we look ourselves"}
    subject = f"ledger:{story.world.ledgerid}"
    refused(story.judge("p-admin", "ledger.rules_changed", subject, change), NotAllowedError, "legality")
    story.tell(ROOT_ACTOR, "ledger.rules_changed", subject, change)
    assert (
        story.judge("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST}).kind == "valid"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"stops": [{"decision": "run.completed", "states": ["retired"]}]},
        {"stops": [{"decision": "approval.requested", "states": ["live"]}]},
        *({"rules": [DEFAULT_RULES.rules[1].model_dump(mode="json") | gate]} for gate in (
            {"gate": "policy:p@1"}, {"gate_digest": OTHER}, {"gate": "policy:p", "gate_digest": OTHER},
            {"gate": "model:p@1", "gate_digest": OTHER}, {"tier": "hihg"}, {"tier": "High"},
            *({"authorisation": False, "approvals": 0, "evaluation": False} | more for more in (
                {"approvals": 1}, {"evaluation": True}, {"roles": ["validator"]},
                {"gate": "policy:p@1", "gate_digest": OTHER},
            )),
        )),
        {"waivers": [{"environment": "*", "tier": "hihg", "days": 1}]},
    ],
)  # fmt: skip
def test_rules_that_name_what_does_not_exist_are_refused(change: dict[str, Any]):
    story = Story()
    table = DEFAULT_RULES.model_dump(mode="json") | change
    verdict = story.judge(
        ROOT_ACTOR, "ledger.rules_changed", f"ledger:{story.world.ledgerid}", {"rules": table, "reason": "x"}
    )
    refused(verdict, InputError, "schema")


def test_rules_may_ask_for_nothing_and_name_every_tier():
    story = Story()
    row = {"environment": "dev", "authorisation": False, "approvals": 0, "evaluation": False}
    rows = [row | {"tier": tier} for tier in ("low", "medium", "high", "*")]
    table = {"name": "x", "rules": rows, "waivers": [{"environment": "*", "tier": "low", "days": 1}]}
    subject = f"ledger:{story.world.ledgerid}"
    story.tell(ROOT_ACTOR, "ledger.rules_changed", subject, {"rules": table, "reason": "x"})


def test_new_rules_hold_from_the_next_entry_on():
    story = ready()
    approve(story)
    assert authorised(story)
    two = rules(approvals=2).model_dump(mode="json")
    story.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{story.world.ledgerid}", {"rules": two, "reason": "audit"})
    assert not authorised(story)
    approve(story, by="p-second")
    assert authorised(story)


# -- approvals -------------------------------------------------------------------------------------


def test_an_approval_ends_at_its_time():
    story = ready()
    approve(story, expires_at=format_time(NOW + DAY))
    verdict = story.judge(*AUTHORISE)
    assert (verdict.kind, verdict.until) == ("valid", NOW + DAY)
    ends_at(story, NOW + DAY)
    story.now = NOW + DAY
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert verdict.error is not None
    assert f"does not stand: it expired at {format_time(NOW + DAY)}" in verdict.error.message


def test_an_approval_that_would_have_ended_before_is_no_approval():
    story = ready()
    body = {**story.grant(story.request()), "expires_at": format_time(NOW + 1)}
    verdict = story.judge("p-approver", "approval.granted", MODEL, body)
    assert (verdict.kind, verdict.until) == ("valid", NOW + 1)
    ends_at(story, NOW + 1, "p-approver", "approval.granted", MODEL, body)
    story.now = NOW + 1
    refused(story.judge("p-approver", "approval.granted", MODEL, body), InputError, "schema")


def test_the_rule_says_how_long_an_approval_holds_at_most():
    story = ready(rules(days=2))
    approve(story, expires_at=LATER)
    assert story.judge(*AUTHORISE).until == NOW + 2 * DAY
    ends_at(story, NOW + 2 * DAY)


@pytest.mark.parametrize(("needed", "days"), [(1, 3), (2, 2), (3, 1)])
def test_until_is_when_fewer_than_needed_stand(needed: int, days: int):
    story = ready(rules(approvals=needed))
    story.enrol("p-third", ["approver"])
    for number, by in enumerate(("p-approver", "p-second", "p-third"), 1):
        approve(story, by=by, expires_at=format_time(NOW + number * DAY))
    assert story.judge(*AUTHORISE).until == NOW + days * DAY


def test_until_is_when_nobody_of_a_role_stands():
    story = ready(rules(roles=("validator",)))
    approve(story, by="p-second", expires_at=format_time(NOW + 9 * DAY))
    approve(story, by="p-approver", expires_at=format_time(NOW + DAY))
    assert story.judge(*AUTHORISE).until == NOW + DAY
    story.now = NOW + DAY
    assert not authorised(story), "the one who is left is no validator"


def test_an_approval_can_be_taken_back_once():
    story = ready()
    approval = approve(story)
    story.tell("p-second", "approval.revoked", MODEL, {"approval": approval, "rationale": "bias found"})
    assert not authorised(story)
    again = story.judge("p-second", "approval.revoked", MODEL, {"approval": approval, "rationale": "x"})
    refused(again, ConflictError, "legality")
    assert story.judge("p-approver", "approval.granted", MODEL, story.grant(story.request())).kind == "valid"


def test_who_approved_a_request_approves_it_again_once_that_was_taken_back():
    story = ready()
    first, other = story.request(), story.request()
    given = story.tell("p-approver", "approval.granted", MODEL, story.grant(first)).payload.id
    refused(story.judge("p-approver", "approval.granted", MODEL, story.grant(first)), ConflictError, "legality")
    assert story.judge("p-approver", "approval.granted", MODEL, story.grant(other)).kind == "valid"
    assert story.judge("p-second", "approval.granted", MODEL, story.grant(first)).kind == "valid"
    story.tell("p-approver", "approval.revoked", MODEL, {"approval": given, "rationale": "x"})
    assert story.judge("p-approver", "approval.granted", MODEL, story.grant(first)).kind == "valid"


def test_what_was_authorised_before_was_authorised():
    story = ready()
    approval = approve(story)
    story.tell(*AUTHORISE)
    story.tell("p-second", "approval.revoked", MODEL, {"approval": approval, "rationale": "too late"})
    live = story.event("p-deployer", "deployment.completed", PROD, {"model": MODEL, "digest": DIGEST})
    assert marks_of(story.world, live) == ()


def test_an_approval_holds_once_its_conditions_are_met():
    story = ready()
    approval = approve(story, conditions=["a monitor is on", "the runbook was rehearsed"])
    assert not authorised(story)
    story.tell("p-approver", "approval.condition_met", MODEL, {"approval": approval, "condition": 1})
    assert not authorised(story)
    beyond = {"approval": approval, "condition": 2}
    refused(story.judge("p-approver", "approval.condition_met", MODEL, beyond), InputError, "schema")
    story.tell("p-approver", "approval.condition_met", MODEL, {"approval": approval, "condition": 0})
    assert authorised(story)


def test_a_maker_does_not_say_that_a_condition_is_met():
    story = ready()
    story.enrol("p-both", ["validator"], person="p-author", by=ROOT_ACTOR)
    approval = approve(story, conditions=["a monitor is on"])
    body = {"approval": approval, "condition": 0}
    refused(story.judge("p-both", "approval.condition_met", MODEL, body), NotAllowedError, "legality")


@pytest.mark.parametrize(
    ("tier", "owner", "changes", "may"),
    [
        ("high", "p-second", [], False), ("medium", "p-second", [], False), ("low", "p-second", [], True),
        ("high", "p-author", [("model.owner_changed", "p-second")], False),
        ("high", "p-author", [("model.registered", "p-second"), ("model.owner_changed", "p-author")], False),
        ("high", "p-author", [], True),
    ],
)  # fmt: skip
def test_an_owner_approves_only_at_tier_low(tier: str, owner: str, changes: list[tuple[str, str]], may: bool):
    story = Story().people()
    story.enrol("p-both", ["approver"], person="p-second", by=ROOT_ACTOR)
    story.tell("p-author", "model.registered", "model:m", {"owner": "p-second"})
    story.tell("p-author", "model.owner_changed", "model:m", {"owner": "p-author"})  # before the version was made
    story.tell("trainer", "run.completed", "run:r")
    registered = {"digest": DIGEST, "owner": owner, "tier": tier, "run": "run:r"}
    story.tell("trainer", "version.registered", MODEL, registered)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    for kind, who in changes:
        story.tell("p-author", kind, "model:m", {"owner": who})
    conditional = approve(story, by="p-approver", conditions=["a monitor is on"])
    met = story.judge("p-both", "approval.condition_met", MODEL, {"approval": conditional, "condition": 0})
    for told in (*(story.judge(by, *granted(story)) for by in ("p-second", "p-both")), met):
        assert (told.kind == "valid") is may, told.error
        if not may:
            refused(told, NotAllowedError, "legality")
            assert f"must be another person than its owner at tier {tier}" in str(told.error)


def granted(story: Story) -> tuple[str, str, dict[str, Any]]:
    return "approval.granted", MODEL, story.grant(story.request())


def test_who_owns_a_model_later_approved_it_before():
    story = ready()
    approve(story, by="p-second")
    story.tell("p-author", "model.owner_changed", "model:m", {"owner": "p-second"})
    assert authorised(story)
    refused(story.judge("p-second", *granted(story)), NotAllowedError, "legality")


def test_a_higher_tier_lets_an_owners_approval_count_no_more():
    story = Story().people().version(tier="low")
    story.tell("p-author", "model.owner_changed", "model:m", {"owner": "p-second"})
    approve(story, by="p-second")
    assert authorised(story)
    story.tell("p-author", "risk.classified", MODEL, {"tier": "medium", "rationale": "many are affected"})
    assert not authorised(story)


def test_whom_nobody_knows_owns_no_version_that_is_approved():
    story = ready()
    story.tell("p-author", "model.owner_changed", "model:m", {"owner": "p-elsewhere"})
    told = story.judge("p-approver", *granted(story))
    refused(told, NotAllowedError, "legality")
    assert "its owner p-elsewhere is nobody enrolled" in str(told.error)
    assert hint_of(told) == "An admin enrols the owner: muniment actor enrol p-elsewhere --role owner …"


def test_only_who_asked_withdraws_and_nothing_answers_what_was_withdrawn():
    story = ready()
    request = story.request()
    story.enrol("p-other", ["owner"])
    refused(story.judge("p-other", "approval.withdrawn", MODEL, {"request": request}), NotAllowedError, "legality")
    story.tell("trainer", "approval.withdrawn", MODEL, {"request": request}, on_behalf_of="p-author")
    refused(story.judge("p-approver", "approval.granted", MODEL, story.grant(request)), PolicyError, "legality")


def sent_back(story: Story, **more: Any) -> str:
    request = story.request()
    body = {**story.grant(request), "changes": ["measure it on women, too"], **more}
    body.pop("evidence")
    story.tell("p-approver", "approval.changes_requested", MODEL, body)
    return request


def test_what_was_sent_back_waits_for_who_asked():
    story = ready()
    request = sent_back(story)
    for kind in ("granted", "rejected"):
        refused(story.judge("p-second", f"approval.{kind}", MODEL, story.grant(request)), PolicyError, "legality")
    asked = {"environment": "prod", "digest": DIGEST}
    refused(
        story.judge("p-author", "approval.requested", MODEL, asked | {"amends": str(UUID(int=9))}),
        PolicyError,
        "legality",
    )
    elsewhere = story.judge("p-author", "approval.requested", MODEL, asked | {"environment": "dev", "amends": request})
    refused(elsewhere, PolicyError, "legality")
    again = story.tell("p-author", "approval.requested", MODEL, asked | {"amends": request}).payload.id
    story.tell("p-second", "approval.granted", MODEL, story.grant(again))
    assert authorised(story)


def test_another_version_may_amend_what_was_sent_back():
    story = ready()
    request = sent_back(story)
    story.version("model:m@2")
    asked = {"environment": "prod", "digest": DIGEST, "amends": request}
    assert story.judge("p-author", "approval.requested", "model:m@2", asked).kind == "valid"


def test_who_asked_may_withdraw_what_was_sent_back_and_it_is_amended_no_more():
    story = ready()
    request = sent_back(story)
    refused(story.judge("p-deployer", "approval.withdrawn", MODEL, {"request": request}), NotAllowedError, "legality")
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": request})
    asked = {"environment": "prod", "digest": DIGEST, "amends": request}
    refused(story.judge("p-author", "approval.requested", MODEL, asked), PolicyError, "legality")


def test_sending_back_suspends_what_was_approved_under_the_request():
    story = ready(rules(approvals=1))
    request = story.request()
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    assert authorised(story)
    story.tell("p-second", "approval.changes_requested", MODEL, {**story.grant(request), "changes": ["x"]})
    assert "its request was sent back for changes" in str(story.judge(*AUTHORISE).error)


def test_passing_a_request_on_gives_nobody_a_right_and_takes_none():
    story = ready()
    request = story.request()
    body = {**story.grant(request), "rationale": "x"}
    for wrong in ({}, {"to_role": "validator", "to_actor": "p-second"}, {"to_actor": "p-nobody"}):
        refused(story.judge("p-approver", "approval.escalated", MODEL, body | wrong), InputError, "schema")
    refused(
        story.judge("p-deployer", "approval.escalated", MODEL, body | {"to_role": "owner"}), NotAllowedError, "legality"
    )
    story.tell("p-approver", "approval.escalated", MODEL, body | {"to_actor": "p-deployer"})
    granted = story.grant(request)
    refused(story.judge("p-deployer", "approval.granted", MODEL, granted), NotAllowedError, "legality")
    assert story.judge("p-second", "approval.granted", MODEL, granted).kind == "valid"
    assert story.judge("p-approver", "approval.granted", MODEL, granted).kind == "valid"


def test_an_approval_stands_from_its_time_on():
    story = ready()
    since = format_time(NOW + DAY)
    approve(story, valid_from=since)
    before = story.now
    told = {}
    for story.now in (NOW + DAY - 1, NOW + DAY, NOW + DAY + 1):
        told[story.now - NOW - DAY] = story.judge(*AUTHORISE).kind
    assert told == {-1: "void", 0: "valid", 1: "valid"}
    story.now = before
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert f"it stands from {since} on" in str(verdict.error)
    assert hint_of(verdict).startswith(f"Wait until {since}")


@pytest.mark.parametrize("days", [None, 1])
def test_an_approval_does_not_end_before_it_stands(days: int | None):
    story = ready(rules(days=days))
    end = {"expires_at": format_time(NOW + DAY)} if days is None else {}
    for since, good in ((NOW + DAY + HOUR, False), (NOW + DAY - HOUR, True)):
        body = {**story.grant(story.request()), **end, "valid_from": format_time(since)}
        verdict = story.judge("p-approver", "approval.granted", MODEL, body)
        assert (verdict.kind == "valid") is good, verdict.error
    assert "before it stands" in str(story.judge(
        "p-approver", "approval.granted", MODEL, body | {"valid_from": format_time(NOW + 2 * DAY)}
    ).error)  # fmt: skip


def test_an_approval_is_suspended_when_what_it_cites_is_invalidated_and_not_when_more_is_measured():
    story = ready()
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    cited = state.versions["1"].evaluations[0]
    approve(story)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.8}, "verdict": "pass", "suite": "more"})
    window = {"metric": "ms", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "count": 0}
    story.tell("trainer", "monitor.window", "monitor:m", window)
    assert authorised(story), "what is measured besides takes nothing back"
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": cited.id, "reason": "leak"})
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert verdict.error is not None
    assert "invalidated" in verdict.error.message


def test_roles_that_a_rule_asks_for_must_be_among_the_approvers():
    story = ready(rules(roles=("validator",)))
    approve(story, by="p-second")
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert verdict.error is not None
    assert "validator" in verdict.error.message
    approve(story, by="p-approver")
    assert authorised(story)


@pytest.mark.parametrize(
    ("grant", "counts"),
    [
        ({}, True), ({"subjects": ["model:m"], "environments": ["prod"], "until": format_time(NOW + DAY)}, True),
        ({"subjects": ["model:other"]}, False), ({"environments": ["dev"]}, False),
        ({"types": ["validation.*"]}, False), ({"until": format_time(NOW - 1)}, False),
    ],
)  # fmt: skip
def test_roles_that_a_rule_asks_for_reach_the_approval(grant: dict[str, Any], counts: bool):
    story = ready(rules(roles=("validator",)))
    story.tell("p-admin", "role.granted", "actor:p-second", {"role": "validator", **grant})
    approve(story, by="p-second")
    assert authorised(story) is counts
    story.now = NOW + DAY  # the role ended since; it held when the approval was given
    assert authorised(story) is counts


def test_a_role_that_came_after_the_approval_or_from_a_thief_is_not_the_one_asked_for():
    story = ready(rules(roles=("validator",)))
    story.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    approve(story, by="p-second")
    since = len(story.view.leaves)
    story.tell("p-chief", "role.granted", "actor:p-second", {"role": "validator"})
    assert not authorised(story)
    approve(story, by="p-second")
    assert authorised(story)
    stolen = {"keyid": key_of("p-chief").public.keyid, "since": since, "reason": "stolen"}
    story.tell(ROOT_ACTOR, "key.compromised", "actor:p-chief", stolen)
    assert not authorised(story)


def test_what_an_approval_cites_may_have_been_measured_again_since():
    story = ready()
    cited = version_of(story.world, MODEL).version.evaluations[0]
    approve(story)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    assert authorised(story)
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": cited.id, "reason": "leak"})
    assert not authorised(story), "the approver rested on it"


def measure(story: Story, verdict: str, suite: str = "s") -> Evaluation:
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": verdict, "suite": suite})
    return version_of(story.world, MODEL).version.evaluations[-1]


@pytest.mark.parametrize(
    ("cited", "successor", "stands"),
    [("pass", "pass", True), ("pass", "uncertain", False), ("pass", "fail", False),
     ("uncertain", "uncertain", True), ("uncertain", "pass", True), ("uncertain", "fail", False)],
)  # fmt: skip
def test_what_takes_the_place_of_what_an_approval_cites_may_say_no_less(cited: str, successor: str, stands: bool):
    story = ready()
    before = measure(story, cited)
    approve(story)
    measure(story, "uncertain", "another")
    assert authorised(story), "more was measured"
    newer = measure(story, successor)
    assert authorised(story) is stands
    told = story.judge(*AUTHORISE)
    if successor == "uncertain" and not stands:
        refused(told, PolicyError, "legality")
        assert f"entry {newer.index} took the place of entry {before.index}, on which it rests, and says uncertain" in (
            str(told.error)
        )
    approve_again = story.judge("p-second", "approval.granted", MODEL, story.grant(story.request()))
    assert (approve_again.kind == "valid") is (successor != "fail")
    if successor == "uncertain":
        approve(story, "p-second")
        assert authorised(story), "its author knew"


def test_what_passed_since_and_is_uncertain_is_looked_at_before_it_is_authorised():
    story = ready()
    approve(story)
    first = measure(story, "pass", "new")
    assert authorised(story), "more was measured"
    second = measure(story, "uncertain", "new")
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    words = f"entry {second.index} says uncertain where entry {first.index} said pass, and its author saw neither"
    assert words in str(told.error)
    third = measure(story, "uncertain", "new")
    assert f"entry {third.index} says uncertain" in str(story.judge(*AUTHORISE).error), "said twice it is no better"
    approve(story, "p-second")
    assert authorised(story), "its author knew"
    measure(story, "pass", "new")
    assert version_of(story.world, MODEL).version.approvals[0].revoked is None
    story = ready()
    approve(story)
    measure(story, "uncertain", "new")
    assert authorised(story), "it never said more"
    measure(story, "pass", "new")
    assert authorised(story)
    measure(story, "uncertain", "new")
    assert not authorised(story)
    measure(story, "pass", "new")
    assert authorised(story), "it passes again"


def test_what_the_rules_do_not_ask_of_evaluations_may_be_uncertain():
    story = ready(rules(evaluation=False))
    approve(story)
    measure(story, "pass", "new")
    measure(story, "uncertain", "new")
    assert authorised(story)


def test_an_approval_rests_on_nothing_while_a_suite_that_it_cites_is_to_be_measured_again():
    story = ready(rules(evaluation=False))
    before = measure(story, "pass")
    approve(story)
    newer = measure(story, "pass")
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": newer.id, "reason": "leak"})
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert f"what took the place of entry {before.index}, on which it rests, was invalidated" in str(told.error)
    measure(story, "pass")
    assert authorised(story)


def test_what_was_approved_and_fails_since_is_not_authorised_whatever_was_cited():
    story = ready()
    approve(story)
    failed = measure(story, "fail")
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "has no standing passed evaluation, and prod at tier high asks for one" in str(told.error)
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": failed.id, "reason": "wrong data"})
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "was not measured again" in str(told.error)
    measure(story, "pass")
    assert authorised(story)


def test_an_approval_that_does_not_stand_hides_none_that_does():
    story = ready()
    approve(story, "p-second", expires_at=format_time(NOW + HOUR))
    story.tell(
        "p-approver", "approval.granted", MODEL, {**story.grant(story.request("dev"), "dev"), "environment": "dev"}
    )
    story.now = NOW + HOUR
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert "and has 0; the approval at index" in str(verdict.error)
    approve(story)
    assert authorised(story)


def test_an_approval_stands_with_its_request_and_with_a_person():
    story = ready()
    request = story.request()
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    assert authorised(story)
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": request})
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "does not stand: its request was withdrawn" in str(told.error)
    # No legal entry leads to what follows: whoever folds more than that is not to take it for an approval.
    lost = ready()
    lost.fold(lost.event("p-approver", "approval.granted", MODEL, lost.grant(str(UUID(int=999)))))
    assert "does not stand: its request was never made" in str(lost.judge(*AUTHORISE).error)
    lost = ready()
    key = format_public_key(key_of("nobody").public)
    body = {"kind": "service", "roles": ["approver"], "key": key}
    lost.fold(lost.event(ROOT_ACTOR, "actor.enrolled", "actor:nobody", body))
    lost.fold(lost.event("nobody", "approval.granted", MODEL, lost.grant(lost.request())))
    told = lost.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "whoever approved is not shown to be another person" in str(told.error)


def test_nothing_is_asked_for_where_nothing_is_ruled():
    story = ready(rules(environment="prod"))
    body = {"environment": "dev", "digest": DIGEST}
    told = story.judge("p-author", "approval.requested", MODEL, body)
    refused(told, PolicyError, "legality")
    assert "no rule covers" in str(told.error)
    assert story.judge("p-author", "approval.requested", MODEL, {**body, "environment": "prod"}).kind == "valid"


def test_where_the_run_of_a_version_is_not_known_nobody_is_shown_to_be_another_person():
    story = Story().people()
    registered = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:lost"}
    story.tell("trainer", "version.registered", MODEL, registered)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    told = story.judge("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    refused(told, NotAllowedError, "legality")
    assert "who is behind this version cannot be resolved" in str(told.error)
    hint = "Is the run recorded that it names, and that it made these bytes? muniment log run:lost"
    assert hint_of(told) == hint


def test_whoever_composes_a_version_is_one_of_its_makers():
    story = ready()
    story.enrol("p-both", ["approver", "emitter"])
    request = story.request()
    grant = ("p-both", "approval.granted", MODEL, story.grant(request))
    assert story.judge(*grant).kind == "valid"
    story.tell("p-both", "version.composed", MODEL, {"parents": [{"role": "teacher", "subject": "model:t@1"}]})
    refused(story.judge(*grant), NotAllowedError, "legality")


def test_whoever_registers_a_version_again_is_one_of_its_makers():
    """Else whoever made it would let somebody register it first, and approve it."""
    story = ready()
    story.enrol("p-both", ["approver", "emitter"])
    grant = ("p-both", "approval.granted", MODEL, story.grant(story.request()))
    assert story.judge(*grant).kind == "valid"
    story.tell("p-both", "version.registered", "model:other@1", {"digest": OTHER, "owner": "p-owner", "tier": "high"})
    assert story.judge(*grant).kind == "valid", "that is another one"
    again = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("p-both", "version.registered", MODEL, again)
    refused(story.judge(*grant), NotAllowedError, "legality")


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        ([], True),  # it says of nothing that it made it
        ([(MODEL, None)], True),
        ([(MODEL, DIGEST)], True),
        ([("artifact:weights", DIGEST)], True),
        ([("model:other@1", OTHER), (MODEL, None)], True),
        ([("model:other@1", OTHER)], False),
        ([("model:other@1", None)], False),
        ([(MODEL, OTHER)], False),
    ],
)
def test_a_version_does_not_hide_its_makers_behind_the_run_of_something_else(
    made: list[tuple[str, str | None]], counts: bool
):
    story = Story().people()
    outputs = [{"role": "output", "subject": subject, "digest": digest} for subject, digest in made]
    story.tell("trainer", "run.completed", "run:r", {"outputs": outputs})
    story.version()
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    if counts:
        assert story.judge(*grant).kind == "valid"
    else:
        refused(story.judge(*grant), NotAllowedError, "legality")
        story.tell("trainer", "run.attached", "run:r", {"reason": "left out", "outputs": [
            {"role": "output", "subject": MODEL, "digest": DIGEST}]})  # fmt: skip
        assert story.judge(*grant).kind == "valid", "until it says that it made this, too"


def says_made(subject: str, made: str, **more: Any) -> dict[str, Any]:
    """What a run says that it made."""
    return {"outputs": [{"role": "output", "subject": subject, "digest": made}], **more}


@pytest.mark.parametrize("said", [{}, says_made(MODEL, DIGEST)], ids=["nothing", "this"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [("run.attached", {"reason": "left out"}), ("run.completed", {}), ("run.attached", {"reason": "x"})],
)
def test_outputs_that_others_add_take_no_version_away_from_its_run(
    said: dict[str, Any], kind: str, more: dict[str, Any]
):
    story = Story().people()
    story.enrol("bot", ["emitter"], kind="service", responsible="p-second")
    story.tell("trainer", "run.completed", "run:r", said)
    story.version()
    approve(story)
    assert authorised(story)
    story.tell("bot", kind, "run:r", says_made("model:other@1", OTHER, **more))
    assert authorised(story), "whoever comes later cannot make an approval fall"
    makers = makers_of(story.world, version_of(story.world, MODEL), ())
    assert makers == frozenset({"trainer", "bot"}), "and is one of the makers"
    story.tell("trainer", "run.completed", "run:r", says_made("model:more@1", OTHER))
    assert authorised(story) == bool(said), "whoever recorded it first may say that it made nothing but that"


def test_who_a_run_was_recorded_for_recorded_it_first_too():
    story = Story().people()
    story.enrol("bot", ["emitter"], kind="service", responsible="p-second")
    story.tell("trainer", "run.started", "run:r", on_behalf_of="p-author")
    story.version()
    approve(story)
    story.tell("bot", "run.attached", "run:r", says_made("model:o@1", OTHER, reason="x"), on_behalf_of="trainer")
    assert authorised(story), "it is the author that counts, and not for whom"
    story.tell("p-author", "run.attached", "run:r", says_made("model:other@1", OTHER, reason="it is another one"))
    assert not authorised(story)


def test_where_a_run_made_other_things_the_entry_that_says_so_is_named_and_the_way_out():
    story = ready()
    approve(story)
    waiver = ("p-approver", "waiver.granted", "waiver:w", {"rationale": "for now"})
    story.tell("p-author", "waiver.requested", "waiver:w", WAIVER)
    index = story.tell("trainer", "run.completed", "run:r", says_made("model:other@1", OTHER)).index
    why = f"entry {index} says that run:r made other things than {MODEL}"
    how = f"If it made this too, say so: muniment record run run:r --makes {MODEL}={DIGEST}; else register"
    for deed in (("p-second", "approval.granted", MODEL, story.grant(story.request())), waiver):
        told = story.judge(*deed)
        refused(told, NotAllowedError, "legality")
        assert why in str(told.error)
        assert hint_of(told).startswith(how)
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert f"another person than whoever made it: {why}. {how}" in str(told.error)
    story.tell("trainer", "run.completed", "run:r", says_made(MODEL, DIGEST))
    assert authorised(story)
    story.tell(*waiver)
    index = story.tell("trainer", "run.completed", "run:z", says_made("model:other@1", OTHER)).index
    more = {"digest": OTHER.replace("cd", "ef"), "owner": "p-author", "tier": "high", "run": "run:z"}
    story.tell("trainer", "version.registered", "model:m@2", more)
    waived = waiver_of(story.world, "waiver:w")
    assert waived is not None
    trouble = waiver_trouble(story.world, waived, story.now, "model:m@2")
    assert trouble is not None
    assert f"made or owns the model: entry {index} says that run:z made other things than model:m@2. If" in trouble


@pytest.mark.parametrize(
    ("measured", "passes"),
    [
        ({"metrics": {}}, False),
        ({"metrics": {"auc": 0.9}}, True),
        ({"metrics": {}, "measurements": [{"name": "auc", "value": 0.9}]}, True),
        ({"metrics": {}, "slices": [{"slice": "sex=female", "metrics": {"auc": 0.9}}]}, True),
        ({"metrics": {}, "importance": {"age": 1.0}}, False),
    ],
)
def test_what_measured_nothing_passed_nothing(measured: dict[str, Any], passes: bool):
    story = Story().people().version(passed=False)
    story.tell("trainer", "evaluation.completed", MODEL, {"verdict": "pass", **measured})
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    assert [one.verdict for one in state.versions["1"].evaluations] == ["pass" if passes else "uncertain"]
    told = story.judge("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    assert told.kind == ("valid" if passes else "void")
    failed = {"verdict": "fail", **measured}
    story.tell("trainer", "evaluation.completed", MODEL, failed)
    refused(story.judge("p-approver", "approval.granted", MODEL, story.grant(story.request())), PolicyError, "legality")


@pytest.mark.parametrize("verdict", ["fail", "uncertain"])
def test_only_what_passed_has_passed(verdict: str):
    story = ready()
    measured = {"metrics": {"auc": 0.9}, "verdict": verdict, "suite": "first"}
    story.tell("trainer", "evaluation.completed", MODEL, measured)
    passed = version_of(story.world, MODEL).version.passed
    assert passed is not None
    assert passed.verdict == "pass"
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": passed.id, "reason": "leak"})
    assert version_of(story.world, MODEL).version.passed is None


# -- handing on ------------------------------------------------------------------------------------


def delegate(until: int) -> dict[str, Any]:
    return {"until": format_time(until), "reason": "holiday"}


def test_an_approver_hands_on_approving_for_a_while():
    story = ready()
    story.enrol("p-deputy", ["owner"])
    grant = story.grant(story.request())
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")
    story.tell("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    verdict = story.judge("p-deputy", "approval.granted", MODEL, grant)
    assert (verdict.kind, verdict.until) == ("valid", NOW + DAY)
    onward = story.judge("p-deputy", "approval.delegated", "actor:p-author", delegate(NOW + DAY))
    refused(onward, NotAllowedError, "legality")
    ends_at(story, NOW + DAY, "p-deputy", "approval.granted", MODEL, grant)
    story.now = NOW + DAY
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")


def test_who_hands_on_stands_behind_what_is_decided():
    story = ready()
    story.enrol("p-both", ["approver"], person="p-author", by=ROOT_ACTOR)
    story.enrol("p-deputy", ["owner"])
    story.tell("p-both", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    grant = story.grant(story.request())
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")


def test_an_approver_to_whom_a_maker_handed_on_decides_by_its_own_role():
    story = ready()
    story.enrol("p-both", ["approver"], person="p-author", by=ROOT_ACTOR)
    story.tell("p-both", "approval.delegated", "actor:p-second", delegate(NOW + DAY))
    approve(story, by="p-second")
    assert authorised(story)


def test_who_hands_on_and_who_decides_in_their_place_count_once():
    story = ready(rules(approvals=2))
    story.enrol("p-deputy", ["owner"])
    story.tell("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    approve(story, by="p-deputy")
    approve(story, by="p-approver")
    assert not authorised(story)
    approve(story, by="p-second")
    assert authorised(story)


def test_a_deputy_of_two_takes_no_approval_from_either():
    story = ready(rules(approvals=2))
    story.enrol("p-deputy", ["owner"])
    for by in ("p-approver", "p-second"):
        story.tell(by, "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    approve(story, by="p-deputy")
    approve(story, by="p-approver", expires_at=format_time(NOW + DAY))
    assert not authorised(story)
    approve(story, by="p-second")
    assert story.judge(*AUTHORISE).until == NOW + DAY
    ends_at(story, NOW + DAY)


@pytest.mark.parametrize(
    ("sides", "count"),
    [
        ((), 0), (("",), 0), (("a", "a", "b"), 2), (("a", "ab", "b"), 2), (("da", "ea"), 1), (("da", "eb"), 2),
        (("ab", "bc", "cd"), 2), (("bc", "ab", "cd", "de"), 2), (("ab", "bc", "cd", "de", "ef"), 3),
        (("abc", "ad", "be", "cf"), 3),
    ],
)  # fmt: skip
def test_how_many_of_which_no_two_have_a_person_in_common(sides: tuple[str, ...], count: int):
    assert how_many(map(frozenset, sides)) == count


def test_nobody_hands_on_more_than_they_have():
    story = ready()
    story.enrol("p-deputy", ["owner"])
    story.enrol("p-short", ["owner"])
    story.tell("p-admin", "role.granted", "actor:p-short", {"role": "approver", "until": format_time(NOW + DAY)})
    longer = story.judge("p-short", "approval.delegated", "actor:p-deputy", delegate(NOW + 2 * DAY))
    refused(longer, NotAllowedError, "legality")
    for by in ("p-short", "p-second", "p-approver"):  # of the last two one has no other role, and one has
        assert story.judge(by, "approval.delegated", "actor:p-deputy", delegate(NOW + DAY)).kind == "valid"
    for target in ("trainer", "p-short"):
        refused(story.judge("p-short", "approval.delegated", f"actor:{target}", delegate(NOW + DAY)), NotAllowedError,
                "legality")  # fmt: skip
    ends_at(story, NOW + HOUR, "p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + HOUR))
    story.now = NOW + HOUR
    past = story.judge("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW))
    refused(past, InputError, "schema")


# -- quarantine and retirement ---------------------------------------------------------------------


@pytest.mark.parametrize("subject", [MODEL, "model:m", "dataset:d", "dataset:d@1", "featureset:f"])
def test_what_is_in_quarantine_goes_nowhere_until_another_person_lets_it_go(subject: str):
    story = Story().people()
    inputs = {"inputs": [{"role": "input", "subject": name} for name in ("dataset:d@1", "featureset:f@2")]}
    story.tell("trainer", "run.started", "run:r", inputs)
    story.version()
    approve(story)
    grant = ("p-second", "approval.granted", MODEL, story.grant(story.request()))
    assert story.judge(*grant).kind == "valid"
    placed = story.tell("trainer", "quarantine.placed", subject, {"reason": "poisoned"}).payload.id
    for decision in (AUTHORISE, grant):
        verdict = story.judge(*decision)
        refused(verdict, PolicyError, "legality")
        assert verdict.error is not None
        assert "poisoned" in verdict.error.message
    for kind, body in (
        ("approval.requested", {"environment": "prod", "digest": DIGEST}),
        ("deployment.requested", {"model": MODEL, "digest": DIGEST}),
    ):
        about = MODEL if kind.startswith("approval") else PROD
        refused(story.judge("p-author", kind, about, body), PolicyError, "legality")
    rollback = {"model": MODEL, "digest": DIGEST}
    assert story.judge("trainer", "rollback.authorised", PROD, rollback).kind == "valid", "protection is never blocked"

    let_go = {"quarantine": placed, "rationale": "cleaned"}
    story.enrol("p-both", ["validator"], person="p-author", by=ROOT_ACTOR)
    if subject.startswith("model:"):
        refused(story.judge("p-both", "quarantine.released", subject, let_go), NotAllowedError, "legality")
    story.tell("p-approver", "quarantine.released", subject, let_go)
    assert authorised(story)
    refused(story.judge("p-approver", "quarantine.released", subject, let_go), PolicyError, "legality")


def test_a_request_to_deploy_is_denied_once_and_not_behind_an_authorisation():
    story = ready()
    asking = {"model": MODEL, "digest": DIGEST}
    first, second = (story.tell("p-author", "deployment.requested", PROD, asking).payload.id for _ in range(2))
    no = {"request": first, "rationale": "not this week"}
    refused(story.judge("p-deployer", "deployment.denied", "deployment:prod/y", no), PolicyError, "legality")
    story.tell("p-deployer", "deployment.denied", PROD, no)
    refused(story.judge("p-deployer", "deployment.denied", PROD, no), PolicyError, "legality")
    approve(story)
    story.tell(*AUTHORISE)
    late = {"request": second, "rationale": "too late"}
    refused(story.judge("p-deployer", "deployment.denied", PROD, late), PolicyError, "legality")


@pytest.mark.parametrize("subject", ["dataset:d", "dataset:d@1", "featureset:f@1"])
def test_who_put_data_in_quarantine_does_not_let_it_go(subject: str):
    story = Story().people()
    story.enrol("p-both", ["emitter"], person="p-approver", by=ROOT_ACTOR)
    for by in ("p-approver", "p-both"):
        placed = story.tell(by, "quarantine.placed", subject, {"reason": "poisoned"}).payload.id
        let_go = ("quarantine.released", subject, {"quarantine": placed, "rationale": "clean"})
        told = story.judge("p-approver", *let_go)
        refused(told, NotAllowedError, "legality")
        assert "another person than who put it in quarantine" in str(told.error)
        refused(story.judge("p-second", *let_go, on_behalf_of="p-approver"), NotAllowedError, "legality")
        assert story.judge(ROOT_ACTOR, *let_go).kind == "valid"
        assert story.judge("p-second", *let_go).kind == "valid"
    story.tell("p-approver", "approval.delegated", "actor:p-author", delegate(NOW + DAY))
    refused(story.judge("p-author", *let_go), NotAllowedError, "legality")


@pytest.mark.parametrize("defined", ["featureset:f", "featureset:f@2"])
def test_a_quarantine_reaches_through_feature_sets_and_not_through_versions_of_data(defined: str):
    def read(*names: str) -> dict[str, Any]:
        return {"inputs": [{"role": "input", "subject": name} for name in names]}

    story = Story().people()
    story.tell("trainer", "featureset.defined", defined, {"digest": DIGEST, **read("featureset:base")})
    story.tell("trainer", "featureset.defined", "featureset:base", {"digest": DIGEST, **read("dataset:d@1", defined)})
    story.tell("trainer", "featureset.defined", "featureset:f@1", {"digest": DIGEST, **read("dataset:other@1")})
    story.tell("trainer", "run.started", "run:r", read("featureset:f@2"))
    story.version()
    approve(story)
    assert authorised(story)
    story.tell("trainer", "quarantine.placed", "dataset:other", {"reason": "not read"})
    story.tell("trainer", "dataset.versioned", "dataset:d@1", {"digest": OTHER, "previous": "dataset:d@0"})
    story.tell("trainer", "quarantine.placed", "dataset:d@0", {"reason": "put right in the next version"})
    assert authorised(story)
    story.tell("trainer", "quarantine.placed", "dataset:d@1", {"reason": "poisoned"})
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert verdict.error is not None
    assert "dataset:d@1 is in quarantine" in verdict.error.message


def _bytes(name: str) -> str:
    return "sha256:" + sha256(name.encode()).hexdigest()


def _read(*names: str, **digests: str) -> dict[str, Any]:
    refs = [{"role": "input", "subject": name} for name in names]
    return {"inputs": refs + [{"role": "input", "subject": f"dataset:{n}", "digest": d} for n, d in digests.items()]}


def _registered(story: Story, name: str, run: str | None = None) -> None:
    body = {"digest": _bytes(name), "owner": "p-author", "tier": "high", "run": run}
    story.tell("trainer", "version.registered", name, body)


def _copied(story: Story) -> str:
    """What was read has, as it was registered, the bytes of what is put in quarantine."""
    for name in ("dataset:copy@1", "dataset:tx@3"):
        story.tell("trainer", "dataset.registered", name, {"digest": _bytes("claims")})
    story.tell("trainer", "run.started", "run:r", _read("dataset:copy@1"))
    return "dataset:tx@3"


def _copied_at_sight(story: Story) -> str:
    """What was read was never registered; the run says which bytes it found."""
    story.tell("trainer", "run.started", "run:r", _read(copy=_bytes("claims")))
    story.tell("trainer", "dataset.registered", "dataset:tx@3", {"digest": _bytes("claims")})
    return "dataset:tx"


def _same_model(story: Story) -> str:
    story.tell("trainer", "run.started", "run:r", _read())
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high"}
    story.tell("trainer", "version.registered", "model:again@1", body)
    return "model:again@1"


def _parent(story: Story) -> str:
    story.tell("trainer", "run.started", "run:r", _read())
    _registered(story, "model:part@1")
    return "model:part@1"


def _parent_data(story: Story) -> str:
    story.tell("trainer", "run.started", "run:part", _read("featureset:f@2"))
    story.tell("trainer", "featureset.defined", "featureset:f", {"digest": OTHER, **_read("dataset:d@1")})
    story.tell("trainer", "run.started", "run:r", _read())
    _registered(story, "model:part@1", "run:part")
    return "dataset:d@1"


def _derived(story: Story) -> str:
    refs = [{"role": "derived-from", "subject": name} for name in ("dataset:raw@1", "dataset:features@0")]
    story.tell("trainer", "dataset.registered", "dataset:features@1", {"digest": OTHER, "refs": refs})
    story.tell("trainer", "quarantine.placed", "dataset:features@0", {"reason": "put right in the next version"})
    story.tell("trainer", "run.started", "run:r", _read("dataset:features@1"))
    return "dataset:raw@1"


def _tuned(story: Story) -> str:
    refs = [{"role": "derived-from", "subject": "model:base@1"}]
    story.tell("trainer", "run.started", "run:r", {"refs": refs})
    return "model:base@1"


def _base(story: Story) -> str:
    _registered(story, "model:base@1")
    story.tell("trainer", "run.started", "run:r", _read("model:base@1"))
    return "model:base"


def _measured_on(story: Story) -> str:
    story.tell("trainer", "run.started", "run:r", _read())
    return "dataset:test@1"


@pytest.mark.parametrize(
    ("plan", "way"),
    [
        (_copied, "dataset:copy@1 has the bytes of dataset:tx@3, which is in quarantine"),
        (_copied_at_sight, "model:m@1 → run:r → dataset:copy"),
        (_same_model, "model:m@1 has the bytes of model:again@1"),
        (_parent, "model:m@1 → model:part@1"),
        (_parent_data, "model:m@1 → model:part@1 → run:part → featureset:f@2 → dataset:d@1"),
        (_base, "model:m@1 → run:r → model:base@1"),
        (_derived, "model:m@1 → run:r → dataset:features@1 → dataset:raw@1"),
        (_tuned, "model:m@1 → run:r → model:base@1"),
        (_measured_on, "model:m@1 → dataset:test@1"),
    ],
)
def test_a_quarantine_is_found_along_the_lineage_and_under_other_names(plan: Callable[[Story], str], way: str):
    story = Story().people()
    subject = plan(story)
    story.version()
    story.tell("trainer", "version.composed", MODEL, {"parents": [{"role": "parent", "subject": "model:part@1"}]})
    measured = {"metrics": {"auc": 0.9}, "verdict": "pass", "dataset": "dataset:test@1"}
    story.tell("trainer", "evaluation.completed", MODEL, measured)
    approve(story)
    assert authorised(story)
    story.tell("trainer", "quarantine.placed", "dataset:another", {"reason": "nothing rests on it"})
    assert authorised(story)
    grant = ("p-second", "approval.granted", MODEL, story.grant(story.request()))
    placed = story.tell("trainer", "quarantine.placed", subject, {"reason": "poisoned"})
    for decision in (AUTHORISE, grant):
        verdict = story.judge(*decision)
        refused(verdict, PolicyError, "legality")
        assert verdict.error is not None
        assert way in verdict.error.message
        assert f"since entry {placed.index}: poisoned" in verdict.error.message
        assert f"muniment release {subject} " in verdict.error.hint
    story.tell("p-second", "quarantine.released", subject, {"quarantine": placed.payload.id, "rationale": "clean"})
    assert authorised(story)


def test_what_was_measured_on_data_in_quarantine_is_measured_again_or_not_rested_on():
    story = ready()
    on = {"metrics": {"auc": 0.9}, "verdict": "pass", "dataset": "dataset:test@1"}
    story.tell("trainer", "evaluation.completed", MODEL, on)
    approve(story)
    story.tell("trainer", "quarantine.placed", "dataset:test", {"reason": "leaked"})
    assert not authorised(story)
    assert story.judge("p-deployer", "deployment.authorised", PROD, urgent()).kind == "valid", "it rests on none"
    story.tell("trainer", "evaluation.completed", MODEL, on | {"dataset": "dataset:test2@1"})
    assert authorised(story)


def test_a_quarantine_of_another_version_stops_nothing():
    story = ready()
    approve(story)
    story.tell("trainer", "quarantine.placed", "model:m@2", {"reason": "x"})
    story.tell("trainer", "quarantine.placed", "dataset:other", {"reason": "x"})
    assert authorised(story)


# -- tiers -----------------------------------------------------------------------------------------


def classify(tier: str) -> dict[str, Any]:
    return {"tier": tier, "rationale": "who is affected"}


def test_the_last_classification_decides_which_rules_hold():
    table = RuleSet(name="tiers", rules=(
        Rule(environment="*", tier="low", authorisation=False, approvals=0, evaluation=False),
        Rule(environment="*", tier="*", authorisation=True, approvals=1, evaluation=True),
    ))  # fmt: skip
    story = Story(table).people().version(tier="low")
    assert authorised(story)
    story.tell("p-author", "risk.classified", MODEL, classify("high"))
    assert version_of(story.world, MODEL).tier == "high"
    assert not authorised(story)
    story.tell("p-approver", "risk.classified", "model:m", classify("low"))
    assert version_of(story.world, MODEL).tier == "low", "what was said last, of the version or of its model"
    assert authorised(story)


def test_what_was_said_of_a_model_before_lowers_no_version():
    story = Story().people()
    story.tell("p-author", "risk.classified", "model:m", classify("low"))
    story.version(tier="high")
    assert version_of(story.world, MODEL).tier == "high"
    other = Story().people()
    other.tell("p-author", "risk.classified", "model:m", classify("high"))
    other.version(tier="low")
    assert version_of(other.world, MODEL).tier == "high", "nor does a registration"


def tiers_of(story: Story) -> list[str]:
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    return [state.tier_of(version) for version in state.versions.values()]


def test_the_highest_tier_in_force_is_known_without_looking_at_every_version():
    story = Story().people()
    story.tell("p-author", "risk.classified", "model:m", classify("high"))
    story.version("model:m@1", tier="low")
    story.tell("p-approver", "risk.classified", "model:m@1", classify("low"))
    story.version("model:m@2", tier="low")
    assert tiers_of(story) == ["low", "high"], "the model is of tier high still"
    story.tell("p-approver", "risk.classified", "model:m", classify("low"))
    story.version("model:m@3", tier="medium")
    story.tell("p-approver", "risk.classified", "model:m@3", classify("low"))
    story.version("model:m@4", tier="low")
    assert tiers_of(story) == ["low", "low", "low", "low"], "all are low now, each by somebody independent"


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (2, ["high"]),
        (3, ["low"]),
        (4, ["low", "high"]),
        (5, ["low", "low"]),
        (6, ["low", "low", "medium"]),
        (9, ["low"] * 4),
    ],
)
def test_tiers_are_the_same_from_the_rows_of_a_log(until: int, expected: list[str]):
    """The life above, as views read it."""
    registered = [(1, "1", "low"), (3, "2", "low"), (5, "3", "medium"), (7, "4", "low")]
    said = [(0, "", "high"), (2, "1", "low"), (4, "", "low"), (6, "3", "low"), (8, "unknown", "high")]
    found = tiers_in_force(*([row for row in rows if row[0] < until] for rows in (registered, said)))
    assert list(found.values()) == expected


def test_a_new_version_carries_the_tier_of_those_before_until_somebody_independent_lowers_it():
    story = ready()
    story.tell("p-author", "version.retired", MODEL, {"reason": "old"})
    story.version("model:m@2", tier="low")
    assert tiers_of(story) == ["high", "high"], "nor does retiring what is of a high tier lead to a lower one"
    refused(story.judge("p-author", "risk.classified", "model:m@2", classify("low")), NotAllowedError, "legality")
    story.tell("p-approver", "risk.classified", "model:m@2", classify("low"))
    assert tiers_of(story) == ["high", "low"]
    story.version("model:m@3", tier="medium")
    assert tiers_of(story) == ["high", "low", "high"], "what was said of one version was said of that one"
    story.tell("p-approver", "risk.classified", "model:m", classify("low"))
    story.version("model:m@4", tier="low")
    assert tiers_of(story) == ["low"] * 4, "what was said of the model is said of all"
    story.version("model:m@5", tier="medium")
    story.version("model:m@6", tier="low")
    assert tiers_of(story) == ["low"] * 4 + ["medium"] * 2
    story.version("model:other@1", tier="low")
    assert version_of(story.world, "model:other@1").tier == "low", "of another model"


@pytest.mark.parametrize(
    ("before", "after", "is_lower"),
    [("high", "medium", True), ("high", "low", True), ("medium", "low", True), ("medium", "medium", False),
     ("low", "medium", False), ("low", "high", False), ("medium", "high", False)],
)  # fmt: skip
def test_tiers_have_an_order(before: str, after: str, is_lower: bool):
    story = Story().people().version(tier=before)
    for subject in (MODEL, "model:m"):
        assert story.judge("p-author", "risk.classified", subject, classify(after)).kind == (
            "void" if is_lower else "valid"
        )


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
def test_a_lower_tier_is_for_an_independent_validator(subject: str):
    story = ready()
    story.enrol("p-maker", ["validator"], person="p-author", by=ROOT_ACTOR)
    story.enrol("p-neutral", ["owner"])
    for actor in ("p-author", "p-maker", "p-neutral"):
        refused(story.judge(actor, "risk.classified", subject, classify("low")), NotAllowedError, "legality")
        assert story.judge(actor, "risk.classified", subject, classify("high")).kind == "valid"
    assert story.judge("p-approver", "risk.classified", subject, classify("low")).kind == "valid"


@pytest.mark.parametrize(
    ("grant", "reaches"),
    [
        ({}, True), ({"subjects": ["model:m"]}, True), ({"subjects": ["model:other"]}, False),
        ({"types": ["validation.*"]}, False), ({"environments": ["prod"]}, False),
        ({"until": format_time(NOW - 1)}, False),
    ],
)  # fmt: skip
def test_a_lower_tier_is_for_a_validator_of_that_model(grant: dict[str, Any], reaches: bool):
    story = ready()
    story.enrol("p-neutral", ["owner"])
    story.tell("p-admin", "role.granted", "actor:p-neutral", {"role": "validator", **grant})
    assert (story.judge("p-neutral", "risk.classified", MODEL, classify("low")).kind == "valid") is reaches


def test_a_lower_tier_is_recorded_before_the_role_ends():
    story = ready()
    story.enrol("p-neutral", ["owner"])
    story.tell("p-admin", "role.granted", "actor:p-neutral", {"role": "validator", "until": format_time(NOW + DAY)})
    assert story.judge("p-neutral", "risk.classified", MODEL, classify("low")).until == NOW + DAY
    ends_at(story, NOW + DAY, "p-neutral", "risk.classified", MODEL, classify("low"))


def test_what_is_not_registered_yet_may_be_classified_as_anything_but_as_a_version():
    story = Story().people()
    assert story.judge("p-author", "risk.classified", "model:new", classify("low")).kind == "valid"
    refused(story.judge("p-author", "risk.classified", "model:new@1", classify("low")), PolicyError, "legality")


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
@pytest.mark.parametrize("kind", ["validation.completed", "documentation.attached"])
def test_an_approval_ends_with_what_its_author_saw(kind: str, subject: str):
    story = ready()
    until = {"validation.completed": "valid_until", "documentation.attached": "expires_at"}[kind]
    body = {"validation.completed": {"verdict": "pass", "independence": "x"},
            "documentation.attached": {"kind": "DPIA", "digest": DIGEST}}[kind]  # fmt: skip
    story.tell("p-approver", kind, subject, body | {until: format_time(NOW + DAY)})
    story.tell("p-approver", kind, subject, body | {until: format_time(NOW + HOUR), "digest": OTHER})
    unseen = len(story.view.leaves) - 1
    story.tell("p-approver", kind, "model:other@1", body | {until: format_time(NOW + HOUR)})
    request = story.request()
    granted = story.grant(request)
    granted["evidence"] = [item for item in granted["evidence"] if item["index"] != unseen]
    story.tell("p-approver", "approval.granted", MODEL, granted)
    assert story.judge(*AUTHORISE).until == NOW + DAY, "and not with what was not seen"
    story.now = NOW + DAY
    assert not authorised(story)


def test_an_evaluation_that_is_gone_takes_nothing_else_away():
    """What passed and was measured again since is kept, whatever is said of other suites."""
    for other in ("a", "z"):
        story = ready()
        wrong = story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {}, "verdict": "fail", "suite": other})
        passed = story.tell(
            "trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "s"}
        )
        story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {}, "verdict": "uncertain", "suite": "s"})
        first = version_of(story.world, MODEL).version.evaluations[0]
        story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": wrong.payload.id, "reason": "leak"})
        version = version_of(story.world, MODEL).version
        assert version.passed is not None
        assert version.passed.id == passed.payload.id
        assert first in version.evaluations


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"kind": "fairness"}, {"kind": "fairness"}, True), ({"kind": "fairness"}, {"kind": "drift"}, False),
        ({"suite": "s"}, {"suite": "s", "kind": "fairness"}, True), ({"suite": "fairness"}, {"kind": "fairness"}, True),
        ({"suite": "s", "kind": "fairness"}, {"kind": "fairness"}, False),
        ({}, {"kind": "fairness"}, False), ({}, {}, True),
    ],
)  # fmt: skip
def test_what_is_measured_again_is_of_the_same_suite_or_where_it_names_none_of_the_same_kind(
    first: dict[str, str], second: dict[str, str], is_same: bool
):
    story = ready()
    for more, verdict in ((first, "fail"), (second, "pass")):
        story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": verdict, **more})
    failed = [one for one in version_of(story.world, MODEL).version.evaluations if one.verdict == "fail"]
    assert (not failed) is is_same


def test_what_is_said_of_a_version_that_nobody_registered_is_marked_and_changes_no_other():
    story = ready()
    before = version_of(story.world, MODEL)
    measured = {"metrics": {}, "verdict": "fail"}
    for subject, marks in ((MODEL, ()), ("model:m@2", ("unknown-version",))):
        event = story.event("trainer", "evaluation.completed", subject, measured)
        assert marks_of(story.world, event) == marks
    story.tell("trainer", "evaluation.completed", "model:m@2", measured)
    assert version_of(story.world, MODEL) == before


def steal(story: Story, actor: str, index: int) -> None:
    """The key of an actor was in other hands from an entry on."""
    body = {"keyid": key_of(actor).public.keyid, "since": index, "reason": "stolen"}
    story.tell("p-admin", "key.compromised", f"actor:{actor}", body)


# -- gates and waivers -----------------------------------------------------------------------------


def gated(result: str = "allow", **changes: Any) -> dict[str, Any]:
    return {
        "environment": "prod", "policy": "policy:p@1", "policy_digest": POLICY["digest"], "digest": DIGEST,
        "input_digest": OTHER, "size": 99, "as_of": format_time(NOW), "result": result, "checks": [],
        "engine": "cel 1", "deployment": PROD, **changes,
    }  # fmt: skip


def waived(waiver: str) -> list[dict[str, Any]]:
    return [{"check": "drift", "result": "waived", "reason": "x", "waiver": waiver}]


@pytest.fixture
def gate() -> Story:
    return behind_a_gate()


def behind_a_gate(**more: Any) -> Story:
    story = ready(gated_rules(**more))
    story.tell("p-approver", "policy.defined", "policy:p@1", POLICY)
    approve(story)
    return story


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
    refused(gate.judge(*AUTHORISE), PolicyError, "legality")


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
    refused(told, PolicyError, "legality")
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
        refused(told, PolicyError, "legality")
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


def ask(story: Story, waiver: str = "waiver:w", **changes: Any) -> None:
    story.tell("p-author", "waiver.requested", waiver, {**WAIVER, "expires_at": format_time(NOW + DAY), **changes})


def test_a_gate_rests_on_waivers_only_while_they_stand(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    assert not authorised(gate), "never asked for"
    ask(gate)
    assert not authorised(gate), "nobody granted it"
    half_an_hour = format_time(NOW + HOUR // 2)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x", "expires_at": half_an_hour})
    assert gate.judge(*AUTHORISE).until == NOW + HOUR // 2
    ends_at(gate, NOW + HOUR // 2)
    gate.tell("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert not authorised(gate)


def test_a_waiver_must_be_recorded_as_used_before_it_expires(gate: Story):
    """Append compares the time of recording with `Verdict.until`; what ends a waiver may come later."""
    end = NOW + DAY
    ask(gate)
    granted = gate.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert (granted.kind, granted.until) == ("valid", end)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    use = ("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    used = gate.judge(*use)
    assert (used.kind, used.until) == ("valid", end)
    ends_at(gate, end, *use)
    revoked = gate.judge("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert (revoked.kind, revoked.until) == ("valid", FOREVER)


def test_what_else_is_said_about_a_waiver_changes_nothing(gate: Story):
    ask(gate)
    before = gate.world.state("waiver:w")
    assert before is not None
    said = gate.tell("trainer", "external.observed", "waiver:w", {"system": "s"})
    assert evolve(before, said) == gate.world.state("waiver:w") == before


def test_a_waiver_for_a_single_use_is_for_one_authorisation(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert not authorised(gate), "it must be used with the decision"
    use = ("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    gate.tell(*use)
    other = "deployment:prod/other"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=other))
    elsewhere = gate.judge("p-deployer", "deployment.authorised", other, AUTHORISE[3])
    assert "one is to be used with this decision" in str(elsewhere.error), "it was used for another deployment"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    gate.tell(*AUTHORISE)
    assert not authorised(gate), "it is used up"
    refused(gate.judge(*use), PolicyError, "legality")


def test_a_waiver_for_two_uses_is_for_two_authorisations(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, max_uses=2)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert "one is to be used with this decision" in str(gate.judge(*AUTHORISE).error)
    other = "deployment:prod/other"
    uses = {place: ("p-deployer", "waiver.used", "waiver:w", {"deployment": place, "model": MODEL})
            for place in (PROD, other)}  # fmt: skip
    gate.tell(*uses[PROD])
    gate.tell(*uses[other])
    for place in (PROD, other):
        gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=place))
        decision = ("p-deployer", "deployment.authorised", place, AUTHORISE[3])
        gate.tell(*decision)
        assert gate.judge(*decision).kind == "void", "its use went to the one before"
    third = gate.judge(*uses[PROD])
    refused(third, PolicyError, "legality")
    assert "it was for 2 uses" in str(third.error)


def test_nobody_uses_up_a_waiver_without_authorising(gate: Story):
    """A use takes one only with the authorisation that it is for, so others still have theirs."""
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    other = "deployment:prod/other"
    for place in (other, PROD, other, PROD):
        gate.tell("p-deployer", "waiver.used", "waiver:w", {"deployment": place, "model": MODEL})
    urgency = {**AUTHORISE[3], "emergency": {"reason": "x", "review_by": format_time(NOW + DAY)}}
    gate.tell("p-deployer", "deployment.authorised", PROD, urgency)
    gate.tell(*AUTHORISE)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=other))
    elsewhere = gate.judge("p-deployer", "deployment.authorised", other, AUTHORISE[3])
    refused(elsewhere, PolicyError, "legality")
    assert "it was for a single use" in str(elsewhere.error), "of two that wait, one is served"
    again = gate.judge("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    refused(again, PolicyError, "legality")


def test_how_many_uses_is_said_once_and_is_one_at_the_least(gate: Story):
    asked = {**WAIVER, "expires_at": format_time(NOW + DAY)}
    with pytest.raises(InputError, match="max_uses"):
        gate.judge("p-author", "waiver.requested", "waiver:w", asked | {"max_uses": 0})
    both = asked | {"single_use": True, "max_uses": 2}
    refused(gate.judge("p-author", "waiver.requested", "waiver:w", both), InputError, "schema")
    ask(gate, single_use=True, max_uses=1)
    state = waiver_of(gate.world, "waiver:w")
    assert state is not None
    assert (state.max_uses, uses_of(gate.world, state)) == (1, ())


@pytest.mark.parametrize("end", ["held", "revoked"])
def test_a_waiver_for_a_single_use_ends_with_its_use_and_when_it_is_taken_back(gate: Story, end: str):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    gate.tell("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    assert authorised(gate)
    if end == "held":
        gate.tell(*AUTHORISE)
        gate.tell("trainer", "deployment.held", PROD, {"model": MODEL, "digest": DIGEST, "reason": "burn rate"})
    else:
        gate.tell("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert not authorised(gate)


@pytest.mark.parametrize(
    ("model", "deployment"), [("model:other@1", PROD), (MODEL, "deployment:dev/x")]
)  # fmt: skip
def test_a_waiver_is_used_for_what_it_is_for(gate: Story, model: str, deployment: str):
    ask(gate)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    use = {"deployment": deployment, "model": model}
    refused(gate.judge("p-deployer", "waiver.used", "waiver:w", use), PolicyError, "legality")


@pytest.mark.parametrize(
    ("check", "model", "environment", "is_covered"),
    [
        ("drift", MODEL, "prod", True),
        ("drift", "model:m@2", "prod", False),
        ("drift", "model:l@1", "prod", False),
        ("drift2", MODEL, "prod", False),
        ("drif", MODEL, "prod", False),
        ("drift", MODEL, "pro", False),
        ("drift", MODEL, "prod2", False),
        ("drift", MODEL, "dev", False),
    ],
)
def test_a_waiver_covers_one_check_of_one_version_in_one_environment(
    check: str, model: str, environment: str, is_covered: bool
):
    story = ready()
    ask(story)
    state = waiver_of(story.world, "waiver:w")
    assert state is not None
    assert covers(state, check, model, environment) is is_covered
    lasting = replace(state, model="model:m", check="dr*")
    assert covers(lasting, check, model, environment) is (model.startswith("model:m@") and environment == "prod")


def test_who_carries_the_risk_does_not_grant_it():
    story = Story().people()
    story.enrol("p-risk", ["approver", "owner"])
    ask(story, owner="p-risk")
    story.enrol("p-asker", ["approver"], person="p-author", by=ROOT_ACTOR)
    grant = {"rationale": "x"}
    for actor in ("p-risk", "p-asker"):
        refused(story.judge(actor, "waiver.granted", "waiver:w", grant), NotAllowedError, "legality")
    refused(story.judge("p-second", "waiver.granted", "waiver:none", grant), PolicyError, "legality")
    story.tell("p-second", "waiver.granted", "waiver:w", grant)
    refused(story.judge("p-second", "waiver.granted", "waiver:w", grant), ConflictError, "legality")
    again = story.judge("p-author", "waiver.requested", "waiver:w", WAIVER)
    refused(again, ConflictError, "legality")


def test_nobody_grants_a_waiver_to_themselves_through_a_deputy():
    story = Story().people()
    story.enrol("p-both", ["approver", "owner"], by=ROOT_ACTOR)
    story.enrol("p-deputy", ["owner"])
    story.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "owner": "p-both"})
    for deputy in ("p-deputy", "p-second"):
        story.tell("p-both", "approval.delegated", f"actor:{deputy}", delegate(NOW + DAY))
    refused(story.judge("p-deputy", "waiver.granted", "waiver:w", {"rationale": "x"}), NotAllowedError, "legality")
    assert story.judge("p-deputy", "waiver.denied", "waiver:w", {"rationale": "x"}).kind == "valid"
    assert story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}).kind == "valid"
    story.tell("p-approver", "approval.delegated", "actor:p-author", delegate(NOW + DAY))
    refused(story.judge("p-author", "waiver.granted", "waiver:w", {"rationale": "x"}), NotAllowedError, "legality")


def test_who_made_or_owns_a_model_waives_none_of_its_checks():
    story = ready()
    story.enrol("p-owns", ["approver"])
    story.enrol("p-made", ["approver", "emitter"])
    story.enrol("p-deputy", ["owner"])
    story.tell("p-made", "run.started", "run:other")
    other = {"digest": OTHER, "owner": "p-owns", "tier": "medium", "run": "run:other"}
    story.tell("trainer", "version.registered", "model:m@2", other)
    for waiver, model in (("waiver:w", "model:m"), ("waiver:w2", "model:m@2"), ("waiver:w1", MODEL)):
        ask(story, waiver, model=model)
    story.tell("p-made", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    grant = ("waiver.granted", "waiver:w", {"rationale": "x"})
    for actor in ("p-owns", "p-made", "p-deputy"):
        refused(story.judge(actor, *grant), NotAllowedError, "legality")
        refused(story.judge(actor, grant[0], "waiver:w2", grant[2]), NotAllowedError, "legality")
        assert story.judge(actor, grant[0], "waiver:w1", grant[2]).kind == "valid"
        assert story.judge(actor, "waiver.denied", *grant[1:]).kind == "valid"
    assert story.judge("p-second", *grant).kind == "valid"
    story.tell("p-approver", "risk.classified", "model:m@2", classify("low"))
    assert story.judge("p-owns", grant[0], "waiver:w2", grant[2]).kind == "valid", "light rules stay light"
    story.tell("trainer", "version.registered", "model:m@3", other | {"run": "run:never"})
    told = story.judge("p-second", *grant)
    refused(told, NotAllowedError, "legality")
    assert "must be shown to be another person" in str(told.error)


def test_what_was_granted_by_who_is_a_maker_since_carries_nothing(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, model="model:m")
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert authorised(gate)
    gate.enrol("p-second-job", ["emitter"], person="p-second", by=ROOT_ACTOR)
    gate.tell("p-second-job", "run.started", "run:r", {})
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "whoever granted it is not shown to be another person" in str(told.error)


@pytest.mark.parametrize(("tier", "days"), [("low", 90), ("medium", 90), ("high", 30), (None, 30)])
def test_a_waiver_is_for_a_month_or_a_quarter_at_the_longest(tier: str | None, days: int):
    story = Story().people()
    if tier is not None:
        story.version(tier=tier)
    longest, ask_for = NOW + days * DAY + 120_000_000, ("p-author", "waiver.requested", "waiver:w")
    for end, kind in ((longest, "valid"), (longest + 1, "void")):
        assert story.judge(*ask_for, {**WAIVER, "expires_at": format_time(end)}).kind == kind
    told = story.judge(*ask_for, {**WAIVER, "expires_at": LATER})
    refused(told, PolicyError, "legality")
    assert f"is for {days} days at the longest, and this one would end at 2100" in str(told.error)
    assert hint_of(told) == f"Give it an earlier end: --expires {days}d"
    assert longest_end(story.world, WAIVER["model"], WAIVER["environment"], NOW) == NOW + days * DAY


def limited(gate: Story, **row: Any) -> None:
    """From now on waivers are as long as one row says."""
    table = gated_rules().model_copy(update={"waivers": (WaiverLimit(**row),)}).model_dump(mode="json")
    body = {"rules": table, "reason": "audit"}
    gate.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{gate.world.ledgerid}", body)


def test_rules_say_how_long_a_waiver_is_also_for_what_was_granted_before(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    month = format_time(NOW + 30 * DAY)
    ask(gate, expires_at=month)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    limited(gate, environment="prod", tier="*", days=1)
    gate.now = NOW + DAY + 119_000_000
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), as_of=format_time(gate.now)))
    ends_at(gate, NOW + DAY + 120_000_000)
    ask_again = ("p-author", "waiver.requested", "waiver:w2", {**WAIVER, "expires_at": month})
    refused(gate.judge(*ask_again), PolicyError, "legality")
    limited(gate, environment="dev", tier="*", days=365)
    told = gate.judge(*ask_again)
    refused(told, PolicyError, "legality")
    assert str(told.error) == "the rules allow no waivers for model:m@1 in prod"
    assert longest_end(gate.world, WAIVER["model"], WAIVER["environment"], NOW) is None


def test_a_grant_may_give_the_earlier_end_that_the_rules_ask_for(gate: Story):
    ask(gate, expires_at=format_time(NOW + 30 * DAY))
    limited(gate, environment="*", tier="high", days=2)
    grant = ("p-second", "waiver.granted", "waiver:w")
    refused(gate.judge(*grant, {"rationale": "x"}), PolicyError, "legality")
    assert gate.judge(*grant, {"rationale": "x", "expires_at": format_time(NOW + 2 * DAY)}).kind == "valid"


@pytest.mark.parametrize(("check", "names"), [("*", False), ("*-*", False), ("*drift", False), ("drift-*", True)])
def test_a_waiver_names_the_check_it_is_for(check: str, names: bool):
    told = ready().judge("p-author", "waiver.requested", "waiver:w", {**WAIVER, "check": check})
    assert (told.kind == "valid") is names
    if not names:
        refused(told, InputError, "schema")


def test_a_waiver_must_have_an_end_that_lies_ahead():
    story = Story().people()
    for change in ({"expires_at": format_time(NOW)}, {"model": "dataset:d"}):
        refused(story.judge("p-author", "waiver.requested", "waiver:w", {**WAIVER, **change}), InputError, "schema")
    with pytest.raises(InputError, match="expires_at"):
        story.event("p-author", "waiver.requested", "waiver:w", {k: v for k, v in WAIVER.items() if k != "expires_at"})
    ends_at(
        story, NOW + DAY, "p-author", "waiver.requested", "waiver:w", {**WAIVER, "expires_at": format_time(NOW + DAY)}
    )
    ask(story)
    ends_at(story, NOW + DAY, "p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    story.now = NOW + DAY
    refused(story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}), PolicyError, "legality")


def test_what_was_denied_cannot_be_granted():
    story = Story().people()
    ask(story)
    story.tell("p-second", "waiver.denied", "waiver:w", {"rationale": "x"})
    refused(story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}), ConflictError, "legality")


# -- emergencies -----------------------------------------------------------------------------------


def urgent(review_by: int = NOW + DAY) -> dict[str, Any]:
    return {**AUTHORISE[3], "emergency": {"reason": "fraud wave", "review_by": format_time(review_by)}}


def test_an_emergency_does_not_wait_for_the_rules_and_is_reviewed_by_another_person():
    story = ready(gated_rules(approvals=2))
    decision = story.event("p-deployer", "deployment.authorised", PROD, urgent())
    assert marks_of(story.world, decision) == ("emergency",)
    decision = story.tell("p-deployer", "deployment.authorised", PROD, urgent())
    live = story.event("p-deployer", "deployment.completed", PROD, AUTHORISE[3])
    assert marks_of(story.world, live) == ()

    review = {"decision": decision.payload.id, "verdict": "justified", "rationale": "it was"}
    story.enrol("p-both", ["validator"], person="p-deployer", by=ROOT_ACTOR)
    refused(story.judge("p-both", "emergency.reviewed", PROD, review), NotAllowedError, "legality")
    story.tell("p-approver", "emergency.reviewed", PROD, review)
    refused(story.judge("p-approver", "emergency.reviewed", PROD, review), PolicyError, "legality")


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


def test_more_approvals_than_asked_for_do_not_make_up_for_a_role():
    story = ready(rules(approvals=1, roles=("auditor",)))
    for approver in ("p-approver", "p-second"):
        approve(story, approver)
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "model:m@1 needs an approval for prod by somebody with the role auditor" in str(told.error)


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
