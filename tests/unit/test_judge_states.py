"""States and marks: what events leave behind of what judging needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.domain import (
    DatasetState,
    DeploymentState,
    IncidentState,
    ModelState,
    RecordedEvent,
    RunState,
)
from ledger.domain.decisions import marks_of
from ledger.domain.golive import once_covered
from ledger.entry import format_time
from ledger.errors import (
    ConflictError,
)
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, refused


def test_a_rollback_ends_an_authorisation():
    story = Story().people().version()
    request = story.request()
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    body, place = {"model": MODEL, "digest": DIGEST}, "deployment:prod/x"
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, body)) == ("unauthorised",)
    story.tell("p-deployer", "deployment.authorised", place, body)
    wrong = {**body, "digest": OTHER}
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, wrong)) == ("unauthorised",)
    event = story.tell("p-deployer", "deployment.completed", place, body)
    assert marks_of(story.world, event) == ()
    state = story.world.state(place)
    assert isinstance(state, DeploymentState)
    assert state.live == (MODEL, DIGEST)
    older = {"model": "model:m@0", "digest": OTHER}
    assert marks_of(story.world, story.event("trainer", "rollback.completed", place, older)) == ("never-live",)
    story.tell("trainer", "rollback.completed", place, older)
    assert marks_of(story.world, story.event("p-deployer", "deployment.completed", place, body)) == ("unauthorised",)
    assert marks_of(story.world, story.event("trainer", "rollback.completed", place, body)) == ()


def _gone(story: Story, kind: str, model: str = MODEL, digest: str = DIGEST, **options: Any) -> tuple[str, ...]:
    """Marks of a fact about a deployment, which is then recorded."""
    by = "trainer" if kind == "rollback.completed" else "p-deployer"
    body = {"model": model, "digest": digest}
    event = story.event(
        by, kind, "deployment:prod/x", body | ({"stage": 1, "traffic": 0.1} if "canary" in kind else {}), **options
    )
    marks = marks_of(story.world, event)
    story.fold(event)
    return marks


def _authorised(story: Story, **more: Any) -> RecordedEvent:
    story.tell("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    body = {"model": MODEL, "digest": DIGEST, **more}
    return story.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body)


def test_what_was_never_live_with_an_authorisation_is_no_good_target_of_a_rollback():
    story = Story().people().version()
    story.tell("trainer", "version.registered", "model:m@2", {"digest": OTHER, "owner": "p-author", "tier": "high"})
    _authorised(story)
    assert _gone(story, "deployment.completed") == ()
    assert _gone(story, "deployment.completed", "model:m@2", OTHER) == ("unauthorised",)
    assert _gone(story, "rollback.completed") == ()
    assert _gone(story, "rollback.completed", "model:m@2", OTHER) == ("unauthorised",), "live, and nobody allowed it"
    assert _gone(story, "rollback.completed", "model:m@3", OTHER) == ("never-live",)


@pytest.mark.parametrize("kind", ["deployment.completed", "deployment.promoted", "canary.stage_entered"])
def test_what_was_demoted_goes_live_there_by_a_new_authorisation_only(kind: str):
    story = Story().people().version()
    _authorised(story)
    story.tell("p-author", "version.demoted", MODEL, {"environment": "dev", "reason": "drifts"})
    assert _gone(story, kind) == (), "from elsewhere"
    story.tell("p-author", "version.demoted", MODEL, {"environment": "prod", "reason": "drifts"})
    assert _gone(story, kind) == ("unauthorised",)
    assert _gone(story, "deployment.completed") == ("unauthorised",)
    _authorised(story)
    assert _gone(story, kind) == ()


def test_what_was_demoted_is_a_target_of_a_rollback():
    story = Story().people().version()
    _authorised(story)
    assert _gone(story, "deployment.completed") == ()
    story.tell("p-author", "version.demoted", MODEL, {"environment": "prod", "reason": "drifts"})
    assert _gone(story, "rollback.completed") == ()


def test_where_nothing_is_authorised_a_rollback_is_to_the_bytes_that_were_registered():
    story = Story(RuleSet(name="light", rules=(
        Rule(environment="*", tier="*", authorisation=False, approvals=0, evaluation=False),
    ))).people().version()  # fmt: skip
    for digest in (DIGEST, OTHER):
        story.tell("trainer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": digest})
    assert _gone(story, "rollback.completed") == ()
    assert _gone(story, "rollback.completed", MODEL, OTHER) == ("unauthorised",)
    story.tell("trainer", "version.registered", "model:m@2", {"digest": DIGEST, "owner": "p-author", "tier": "high"})
    assert once_covered(story.world, "deployment:prod/x", MODEL, DIGEST, NOW)
    assert not once_covered(story.world, "deployment:prod/x", "model:m@2", DIGEST, NOW), "never live"
    assert not once_covered(story.world, "deployment:prod/y", MODEL, DIGEST, NOW), "nothing was"


@pytest.mark.parametrize("kind", ["deployment.completed", "deployment.promoted", "canary.stage_entered"])
@pytest.mark.parametrize(
    ("stop", "mark"),
    [
        (("trainer", "quarantine.placed", MODEL, {"reason": "x"}), "quarantined"),
        (("trainer", "quarantine.placed", "dataset:d", {"reason": "x"}), "quarantined"),
        (("p-author", "version.retired", MODEL, {"reason": "x"}), "retired"),
    ],
)
def test_what_goes_live_after_a_quarantine_or_a_retirement_is_marked(kind: str, stop: Any, mark: str):
    story = Story().people()
    story.tell("trainer", "run.started", "run:r", {"inputs": [{"role": "input", "subject": "dataset:d@1"}]})
    story.version()
    _authorised(story)
    _gone(story, "deployment.completed")
    story.tell(*stop)
    assert _gone(story, kind) == ("unauthorised", mark)
    assert _gone(story, "rollback.completed") == (mark,), "never refused, and marked"


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_what_an_unjustified_emergency_allowed_does_not_go_live_unmarked(verdict: str):
    story = Story().people().version()
    urgent = {"reason": "fraud wave", "review_by": format_time(NOW + 86_400_000_000)}
    given = _authorised(story, emergency=urgent)
    assert _gone(story, "deployment.completed") == ()
    body = {"decision": given.payload.id, "verdict": verdict, "rationale": "looked at"}
    story.tell("p-approver", "emergency.reviewed", "deployment:prod/x", body)
    marks = () if verdict == "justified" else ("unauthorised",)
    assert _gone(story, "deployment.completed") == marks
    assert _gone(story, "rollback.completed") == marks, "nor is it a good target"


def test_an_emergency_that_nobody_reviewed_in_time_covers_nothing_more():
    story = Story().people().version()
    review_by = NOW + 86_400_000_000
    given = _authorised(story, emergency={"reason": "fraud wave", "review_by": format_time(review_by)})
    fact = ("p-deployer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*fact).until == review_by, "recorded later it would be marked otherwise"
    story.now = review_by - 1
    assert _gone(story, "deployment.completed") == ()
    assert _gone(story, "rollback.completed") == ()
    _authorised(story, emergency={"reason": "again", "review_by": format_time(review_by)})
    story.now = review_by
    assert _gone(story, "canary.stage_entered") == ("unauthorised",)
    assert _gone(story, "rollback.completed") == ("unauthorised",), "nor is it a good target"
    assert story.judge(*fact).until > review_by + 86_400_000_000
    body = {"decision": given.payload.id, "verdict": "justified", "rationale": "looked at"}
    story.tell("p-approver", "emergency.reviewed", "deployment:prod/x", body)
    assert _gone(story, "rollback.completed") == (), "found justified, if late"


def test_a_fact_that_is_dated_before_what_was_known_is_marked():
    story = Story().people().version()
    _authorised(story)
    minute = 60_000_000
    assert _gone(story, "canary.stage_entered", occurred_at=NOW - minute) == (), "clocks differ"
    assert _gone(story, "canary.stage_entered", occurred_at=NOW - 3 * minute) == ("back-dated",), "not yet authorised"
    story.now = NOW + 5 * minute
    assert _gone(story, "deployment.completed", occurred_at=NOW + 2 * minute) == ()
    assert _gone(story, "deployment.promoted", occurred_at=NOW + minute) == ("back-dated",)
    assert _gone(story, "rollback.completed", occurred_at=NOW + minute) == ("back-dated",)
    marks = _gone(story, "rollback.completed", occurred_at=NOW + 9 * minute)
    assert marks == (), "what is dated ahead counts as of its record"


def test_in_dev_nothing_needs_to_be_authorised():
    story = Story().people().version(passed=False)
    body = {"model": MODEL, "digest": DIGEST}
    assert marks_of(story.world, story.event("trainer", "deployment.completed", "deployment:dev/x", body)) == ()
    wrong = {**body, "digest": OTHER}
    assert marks_of(story.world, story.event("trainer", "deployment.completed", "deployment:dev/x", wrong)) == (
        "unauthorised",
    )


def test_states_keep_what_judging_needs():
    story = Story().people().version()
    other = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": OTHER}
    story.tell("trainer", "evaluation.completed", MODEL, other)
    model = story.world.state("model:m")
    assert isinstance(model, ModelState)
    assert len(model.versions["1"].evaluations) == 1, "an evaluation of other bytes says nothing about this version"
    again = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("trainer", "version.registered", MODEL, again)
    assert story.world.state("model:m") == model, "registered again with the same values, it stays as it was"
    changes: tuple[dict[str, Any], ...] = (
        {"digest": OTHER}, {"tier": "low"}, {"owner": "p-deployer"}, {"run": "run:q"}, {"run": None},
    )  # fmt: skip
    for change in changes:
        refused(story.judge("p-author", "version.registered", MODEL, {**again, **change}), ConflictError, "legality")

    story.tell("p-author", "run.failed", "run:r", {"reason": "x"}, on_behalf_of="p-second")
    run = story.world.state("run:r")
    assert isinstance(run, RunState)
    assert (run.status, run.authors) == ("failed", frozenset({"trainer", "p-author", "p-second"}))

    story.tell("trainer", "dataset.registered", "dataset:d", {"digest": DIGEST})
    story.tell("trainer", "dataset.registered", "dataset:d", {"digest": OTHER})
    story.tell("trainer", "dataset.registered", "dataset:d@1", {"digest": DIGEST})
    refused(story.judge("trainer", "dataset.registered", "dataset:d@1", {"digest": OTHER}), ConflictError, "legality")
    data = story.world.state("dataset:d")
    assert isinstance(data, DatasetState)
    assert dict(data.versions) == {"": OTHER, "1": DIGEST}

    for kind, body, status in (
        ("incident.noted", {"note": "x"}, "open"),
        ("incident.closed", {"summary": "x"}, "closed"),
        ("incident.noted", {"note": "x"}, "closed"),
        ("incident.opened", {"title": "again"}, "open"),
    ):
        story.tell("trainer", kind, "incident:1", body)
        incident = story.world.state("incident:1")
        assert isinstance(incident, IncidentState)
        assert incident.status == status
    story.tell("trainer", "external.observed", "external:x", {"system": "s"})
    assert story.world.state("external:x") is None


def test_states_are_frozen():
    story = Story().people().version()
    story.request()
    from dataclasses import FrozenInstanceError

    for state in story.world._states.values():
        with pytest.raises(FrozenInstanceError):
            setattr(state, state.__slots__[0], 1)
        for mapping in mappings(state):
            with pytest.raises(TypeError):
                mapping["x"] = 1


def mappings(state: Any) -> Iterator[Any]:
    for name in state.__slots__:
        value = getattr(state, name)
        if hasattr(value, "values"):
            yield value
            for item in value.values():
                if hasattr(item, "__slots__"):
                    yield from mappings(item)
