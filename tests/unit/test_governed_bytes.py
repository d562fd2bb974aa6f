"""The same bytes under two names of a model: what failed under one is not passed under the other."""

from __future__ import annotations

import pytest

from ledger.errors import PolicyError
from tests.unit.governing import AUTHORISE, DAY, approve, authorised, behind_a_gate, gated, ready
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, hint_of, refused

AGAIN = "model:m@2"


def measured(
    story: Story, model: str, verdict: str, suite: str | None = "drift", at: int | None = None, **more: str
) -> str:  # fmt: skip
    body = {"metrics": {"auc": 0.9}, "verdict": verdict, "digest": DIGEST, "suite": suite, **more}
    said = {k: v for k, v in body.items() if v}
    return story.tell("trainer", "evaluation.completed", model, said, occurred_at=at).payload.id


def registered(story: Story, model: str = AGAIN, digest: str = DIGEST) -> None:
    body = {"digest": digest, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("trainer", "version.registered", model, body)


@pytest.fixture
def story() -> Story:
    """A version that is approved."""
    told = ready()
    approve(told)
    assert authorised(told)
    return told


def test_a_failure_of_the_same_bytes_stops_what_has_another_name(story: Story):
    registered(story)
    measured(story, AGAIN, "fail")
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert verdict.error is not None
    index = len(story.view.leaves) - 1
    assert f"model:m@1 has the bytes of version 2, which failed drift (entry {index})" in verdict.error.message
    assert hint_of(verdict) == "Measure them again: muniment record evaluation model:m@1 --suite drift …"
    request = story.request()
    body = story.grant(request)
    refused(story.judge("p-approver", "approval.granted", MODEL, body), PolicyError, "legality")
    measured(story, MODEL, "pass", "other")
    assert not authorised(story), "another suite says nothing about this one"
    measured(story, MODEL, "pass", at=NOW - DAY)
    assert not authorised(story), "it was measured before it failed"
    measured(story, MODEL, "pass")
    assert authorised(story), "measured again under its own name"
    measured(story, AGAIN, "fail")
    assert not authorised(story)
    measured(story, AGAIN, "pass")
    assert authorised(story), "and under the other one"


def test_a_failure_before_the_other_name_was_given_counts_too():
    story = ready()
    measured(story, MODEL, "fail")
    registered(story)
    measured(story, AGAIN, "pass", "of its own")
    request = story.tell("p-author", "approval.requested", AGAIN, {"environment": "prod", "digest": DIGEST}).payload.id
    refused(story.judge("p-approver", "approval.granted", AGAIN, story.grant(request)), PolicyError, "legality")
    measured(story, AGAIN, "pass")
    assert story.judge("p-approver", "approval.granted", AGAIN, story.grant(request)).kind == "valid"


def test_a_failure_that_is_said_not_to_hold_leaves_its_suite_to_be_measured(story: Story):
    registered(story)
    failed = measured(story, AGAIN, "fail")
    story.tell("trainer", "evaluation.invalidated", AGAIN, {"evaluation": failed, "reason": "wrong data"})
    assert not authorised(story)
    measured(story, MODEL, "pass")
    assert authorised(story)
    passed = measured(story, AGAIN, "pass")
    story.tell("trainer", "evaluation.invalidated", AGAIN, {"evaluation": passed, "reason": "wrong data"})
    assert authorised(story), "that a pass under another name does not hold takes nothing away here"


@pytest.mark.parametrize(
    ("model", "digest", "verdict"),
    [(AGAIN, OTHER, "fail"), ("model:other@1", DIGEST, "fail"), (AGAIN, DIGEST, "uncertain"), (AGAIN, DIGEST, "pass")],
)
def test_what_is_of_other_bytes_or_of_another_model_or_did_not_fail_stops_nothing(
    story: Story, model: str, digest: str, verdict: str
):
    registered(story, model, digest)
    measured(story, model, verdict, digest=digest)
    assert authorised(story)


def test_a_failure_of_the_same_bytes_makes_a_gate_stale():
    story = behind_a_gate(evaluation=False)
    registered(story)
    story.tell("p-deployer", "gate.evaluated", MODEL, gated(size=len(story.view.leaves)))
    assert authorised(story)
    measured(story, AGAIN, "fail")
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert f"before entry {len(story.view.leaves) - 1} said more of evaluations" in str(verdict.error)
