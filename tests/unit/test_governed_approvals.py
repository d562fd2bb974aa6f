"""Approvals: how long they stand, on which conditions, sent back, passed on and taken back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.domain.decisions import marks_of
from ledger.domain.signing import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from tests.unit.bodies import LATER
from tests.unit.governing import AUTHORISE, DAY, HOUR, PROD, approve, authorised, ends_at, ready, rules
from tests.unit.story import DIGEST, MODEL, NOW, Story, hint_of, refused


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


def no(story: Story, how: str, by: str, environment: str = "prod") -> tuple[int, str]:
    """Somebody asks again, and somebody else says no to it; where, and what that is about."""
    request = story.request(environment)
    body = {**story.grant(request, environment), "rationale": "too slow"}
    about = len(story.view.leaves) - 1
    if how == "approval.revoked":
        given = story.tell(by, "approval.granted", MODEL, body)
        about, body = given.index, {"approval": given.payload.id, "rationale": "too slow"}
    elif how == "approval.changes_requested":
        body |= {"changes": ["measure it"]}
    return story.tell(by, how, MODEL, body).index, f"entry {about} for {environment}: too slow"


@pytest.mark.parametrize(
    ("how", "by", "said"),
    [
        ("approval.rejected", "p-second", "rejected the request of"),
        ("approval.changes_requested", "p-second", "sent back the request of"),
        ("approval.revoked", "p-approver", "took back the approval of"),
        ("approval.revoked", "p-other-account", "took back the approval of"),
    ],
)
def test_a_later_no_takes_along_what_was_approved_before(how: str, by: str, said: str):
    story = ready()
    story.enrol("p-other-account", ["approver"], by=ROOT_ACTOR, person="p-approver")
    approve(story, expires_at=format_time(NOW + DAY))
    if how != "approval.revoked":
        no(story, how, by, "staging")
        assert authorised(story), "it was said for elsewhere"
    index, about = no(story, how, by)
    more = "; measure it" if how == "approval.changes_requested" else ""
    words = f"does not stand: entry {index} by {by} {said} {about}{more}"
    for story.now in (NOW, NOW + DAY):
        told = story.judge(*AUTHORISE)
        refused(told, PolicyError, "legality")
        assert words in str(told.error), "also when it would have ended"
        anew = f"ask anew: muniment request {MODEL} --env prod"
        assert (anew in hint_of(told)) is (how != "approval.revoked"), "who took one back may approve that again"
    approve(story)
    assert authorised(story), "given after it"


def test_who_takes_one_back_takes_none_of_others_and_whose_is_taken_back_has_none_left():
    story = ready()
    first = approve(story, by="p-second")
    given = no(story, "approval.revoked", "p-approver")
    assert authorised(story), given
    story.enrol("p-third", ["approver"])
    approve(story, by="p-approver")
    again = approve(story, by="p-second")
    assert authorised(story)
    story.tell("p-approver", "approval.revoked", MODEL, {"approval": again, "rationale": "bias"})
    told = str(story.judge(*AUTHORISE).error)
    assert first != again
    assert told.count("by p-approver took back the approval of entry ") == 2, "neither the earlier one nor their own"
    approve(story, by="p-third")
    assert authorised(story)


def test_a_request_that_is_withdrawn_takes_along_nothing_and_one_that_was_sent_back_stays_so():
    story = ready()
    approve(story)
    request = story.request()
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": request})
    assert authorised(story)
    request = story.request()
    body = {**story.grant(request), "changes": ["measure it"]}
    index = story.tell("p-second", "approval.changes_requested", MODEL, body).index
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": request})
    assert f"entry {index} by p-second sent back the request" in str(story.judge(*AUTHORISE).error)


def test_who_approved_it_before_reads_why_that_does_not_stand_and_what_to_do():
    story = ready(rules(approvals=2))
    request = story.request()

    def again() -> tuple[str, str]:
        told = story.judge("p-approver", "approval.granted", MODEL, story.grant(request))
        refused(told, ConflictError, "legality")
        return str(told.error), hint_of(told)

    ask = f"muniment request {MODEL} --env prod"
    body = {**story.grant(request), "conditions": ["x"], "valid_from": format_time(NOW + HOUR),
            "expires_at": format_time(NOW + DAY)}  # fmt: skip
    given = story.tell("p-approver", "approval.granted", MODEL, body)
    told = f"'p-approver' has already approved request {request} (entry {given.index})"
    assert again() == (
        f"{told}, which does not stand: its condition 0 is not met: x",
        f"Once it is met: muniment condition {MODEL} 0 --approval {given.payload.id} --note …",
    )
    story.tell("p-approver", "approval.condition_met", MODEL, {"approval": given.payload.id, "condition": 0})
    upcoming = f"it stands from {format_time(NOW + HOUR)} on"
    assert again() == (f"{told}, which does not stand: {upcoming}", f"Wait, or ask for one that stands at once: {ask}")
    story.now = NOW + HOUR
    assert again() == (told, f"What is still missing: muniment why {MODEL} --env prod")
    story.now = NOW + DAY
    assert again()[1] == f"Ask for another approval: {ask}"


def test_what_was_authorised_before_was_authorised():
    story = ready()
    approval = approve(story)
    story.tell(*AUTHORISE)
    story.tell("p-second", "approval.revoked", MODEL, {"approval": approval, "rationale": "too late"})
    live = story.event("p-deployer", "deployment.completed", PROD, {"model": MODEL, "digest": DIGEST})
    assert marks_of(story.world, live) == ()


def test_who_may_decide_is_named_where_a_request_is_open():
    """Asking again what was asked changes nothing; who approved a request does not approve it twice."""
    decide, ask = f"muniment approve {MODEL} --env prod --rationale …", f"muniment request {MODEL} --env prod"
    story = ready(rules(approvals=2, roles=("validator",)))
    assert hint_of(story.judge(*AUTHORISE)) == f"Ask for it: {ask}"
    request = story.request()
    told = hint_of(story.judge(*AUTHORISE))
    assert told == f"It is asked for. Another person with the role approver decides: {decide}"
    end = {"expires_at": format_time(NOW + DAY)}
    given = story.tell("p-second", "approval.granted", MODEL, story.grant(request) | end).payload.id
    told = hint_of(story.judge(*AUTHORISE))
    assert told == f"It is asked for. Another person with the role approver and validator decides: {decide}"
    story.now = NOW + DAY
    assert hint_of(story.judge(*AUTHORISE)).endswith(f"{decide}; for who approved it before, ask anew: {ask}")
    story.tell("p-approver", "approval.revoked", MODEL, {"approval": given, "rationale": "drifts"})
    assert hint_of(story.judge(*AUTHORISE)).endswith(decide), "who approved it may again"
    story.tell("p-author", "approval.withdrawn", MODEL, {"request": request})
    assert hint_of(story.judge(*AUTHORISE)) == f"Ask for it: {ask}"


def test_an_approval_holds_once_its_conditions_are_met():
    story = ready()
    approval = approve(story, conditions=["a monitor is on", "the runbook was rehearsed"])
    assert not authorised(story)
    story.tell("p-approver", "approval.condition_met", MODEL, {"approval": approval, "condition": 1})
    assert not authorised(story)
    beyond = {"approval": approval, "condition": 2}
    verdict = story.judge("p-approver", "approval.condition_met", MODEL, beyond)
    refused(verdict, InputError, "schema")
    assert "has 2 condition(s), numbered from 0" in str(verdict.error)
    story.tell("p-approver", "approval.condition_met", MODEL, {"approval": approval, "condition": 0})
    assert authorised(story)


@pytest.mark.parametrize(
    ("kind", "more"), [("approval.revoked", {"rationale": "wrong"}), ("approval.condition_met", {"condition": 0})]
)
def test_what_was_never_given_is_not_taken_back_and_waits_for_nothing(kind: str, more: dict[str, Any]):
    story = ready()
    approve(story)
    nobodys = {"approval": "00000000-0000-4000-8000-00000000abcd", **more}
    verdict = story.judge("p-second", kind, MODEL, nobodys)
    refused(verdict, PolicyError, "legality")
    assert f"{MODEL} has no approval" in str(verdict.error)


def test_an_approval_without_conditions_has_none_to_be_met():
    story = ready()
    body = {"approval": approve(story), "condition": 0}
    verdict = story.judge("p-approver", "approval.condition_met", MODEL, body)
    refused(verdict, InputError, "schema")
    assert "the approval has no condition" in str(verdict.error)
    assert "muniment state" in hint_of(verdict)


def test_a_maker_does_not_say_that_a_condition_is_met():
    story = ready()
    story.enrol("p-both", ["validator"], person="p-author", by=ROOT_ACTOR)
    approval = approve(story, conditions=["a monitor is on"])
    body = {"approval": approval, "condition": 0}
    refused(
        story.judge("p-both", "approval.condition_met", MODEL, body),
        NotAllowedError,
        "legality",
        rule="separation approval.condition_met/makers",
    )


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
            decision = "approval.condition_met" if told is met else "approval.granted"
            refused(told, NotAllowedError, "legality", rule=f"separation {decision}/owners")
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
    refused(told, NotAllowedError, "legality", rule="separation approval.granted/owners")
    assert "its owner p-elsewhere is nobody enrolled" in str(told.error)
    assert hint_of(told) == "An admin enrols the owner: muniment actor enrol p-elsewhere --role owner …"


def test_only_who_asked_withdraws_and_nothing_answers_what_was_withdrawn():
    story = ready()
    request = story.request()
    story.enrol("p-other", ["owner"])
    refused(
        story.judge("p-other", "approval.withdrawn", MODEL, {"request": request}),
        NotAllowedError,
        "legality",
        rule="separation approval.withdrawn/requester",
    )
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
