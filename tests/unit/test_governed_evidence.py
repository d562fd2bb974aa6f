"""What approvals rest on: roles, what they cite, and what was measured since."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.domain import ModelState
from ledger.domain.decisions import marks_of
from ledger.domain.lifecycle import version_of
from ledger.domain.recorded import CLOCK_BEHIND
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.states import Evaluation
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.keys import format_public_key
from tests.unit.governing import AUTHORISE, DAY, HOUR, approve, authorised, ready, rules
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, key_of, refused


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


def measure(story: Story, verdict: str, suite: str = "s", *, at: int | None = None) -> Evaluation:
    body = {"metrics": {"auc": 0.9}, "verdict": verdict, "suite": suite}
    story.tell("trainer", "evaluation.completed", MODEL, body, occurred_at=at)
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
    refused(told, PolicyError, "legality", rule="rules */*")
    assert "has no standing passed evaluation, and prod at tier high asks for one" in str(told.error)
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": failed.id, "reason": "wrong data"})
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "was not measured again" in str(told.error)
    measure(story, "pass")
    assert authorised(story)


def test_what_is_reported_late_undoes_no_newer_measurement_and_hides_no_failure():
    story = ready()
    first = measure(story, "pass", at=NOW - DAY)
    approve(story)
    failed = measure(story, "fail", at=NOW - HOUR)
    assert measure(story, "pass", at=NOW - 2 * HOUR) == failed, "of before the failure"
    assert not authorised(story)
    assert measure(story, "pass", at=NOW - HOUR - CLOCK_BEHIND - 1) == failed
    measure(story, "pass", at=NOW - HOUR - CLOCK_BEHIND)
    assert authorised(story), "clocks differ"
    measure(story, "pass", at=NOW)
    late = measure(story, "fail", at=NOW - 2 * DAY)
    assert not authorised(story), f"a failure counts whatever its date is, also before {first.signed}"
    assert measure(story, "fail", at=NOW - DAY) == late, "it says no less than what stands"
    assert measure(story, "pass", at=NOW - DAY) == late, "something newer was known than that"
    measure(story, "pass")
    assert authorised(story), "measured again"


def test_a_failure_that_is_dated_ahead_is_answered_by_what_is_measured_after_it_was_recorded():
    story = ready()
    approve(story)
    measure(story, "fail", at=NOW + 9_000 * DAY)
    story.now += HOUR
    assert not authorised(story)
    measure(story, "pass", at=story.now - 1)
    assert authorised(story)


def test_what_was_invalidated_is_measured_again_by_no_late_report():
    story = ready()
    approve(story)
    wrong = measure(story, "fail")
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": wrong.id, "reason": "wrong data"})
    measure(story, "pass", at=NOW - HOUR)
    refused(story.judge(*AUTHORISE), PolicyError, "legality")
    assert "was not measured again" in str(story.judge(*AUTHORISE).error)
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
