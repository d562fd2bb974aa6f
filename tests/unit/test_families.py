"""What the facts of the life cycle change, and what their bodies refuse."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain import DatasetState, DeploymentState, IncidentState, ModelState, RunState
from ledger.domain.decisions import marks_of
from ledger.domain.judge import Verdict
from ledger.domain.lifecycle import version_of
from ledger.errors import ConflictError, InputError, PolicyError
from tests.unit.story import DIGEST, MODEL, OTHER, Story, refused


def approves(story: Story, request: str) -> Verdict:
    return story.judge("p-approver", "approval.granted", MODEL, story.grant(request))


def test_a_version_of_a_data_set_is_bound_to_its_bytes_whichever_type_says_it():
    story = Story().people()
    body = {"digest": DIGEST, "previous": "dataset:d@1"}
    story.tell("trainer", "dataset.versioned", "dataset:d@2", body)
    state = story.world.state("dataset:d")
    assert isinstance(state, DatasetState)
    assert state.versions["2"] == DIGEST
    for kind in ("dataset.versioned", "dataset.registered"):
        other = story.judge("trainer", kind, "dataset:d@2", {**body, "digest": OTHER})
        refused(other, ConflictError, "legality")
    assert story.judge("trainer", "dataset.registered", "dataset:d@2", {"digest": DIGEST}).kind == "valid"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("run.aborted", {"reason": "too dear"}, "aborted"),
        ("run.attached", {"reason": "the tracker was down"}, "completed"),
        ("run.attached", {"reason": "the tracker was down", "status": "failed"}, "failed"),
    ],
)
def test_runs_end_in_other_ways_too(kind: str, body: dict[str, Any], status: str):
    story = Story().people()
    story.tell("p-author", "run.started", "run:a")
    index = story.tell("trainer", kind, "run:a", body).index
    behind = frozenset({"p-author", "trainer"})
    assert story.world.state("run:a") == RunState(behind, status, index=index, first=frozenset({"p-author"}))


def test_an_approval_needs_another_evaluation_when_the_one_that_passed_is_invalidated():
    story = Story().people().version()
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "a"})
    last = story.tell(
        "trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "b"}
    )
    request = story.request()
    assert approves(story, request).kind == "valid"

    story.tell(
        "p-approver", "evaluation.invalidated", MODEL, {"evaluation": last.payload.id, "reason": "leaked labels"}
    )
    refused(approves(story, request), PolicyError, "legality")
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {}, "verdict": "uncertain", "suite": "b"})
    assert approves(story, request).kind == "valid", "the other suite passed"

    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    for evaluation in state.versions["1"].evaluations:
        story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": evaluation.id, "reason": "wrong data"})
    refused(approves(story, request), PolicyError, "legality")
    for evaluation in state.versions["1"].evaluations:
        refused(approves(story, request), PolicyError, "legality")
        body = {"metrics": {"auc": 0.9}, "verdict": "pass", **({"suite": evaluation.suite} if evaluation.suite else {})}
        story.tell("trainer", "evaluation.completed", MODEL, body)
    assert approves(story, request).kind == "valid"


def test_invalidating_a_failed_evaluation_does_not_bring_back_what_it_replaced():
    story = Story().people().version()
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass"})
    failed = story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {}, "verdict": "fail"})
    request = story.request()
    refused(approves(story, request), PolicyError, "legality")
    story.tell("trainer", "evaluation.invalidated", MODEL, {"evaluation": failed.payload.id, "reason": "wrong split"})
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    version = state.versions["1"]
    assert (version.evaluations, version.passed, len(version.undecided)) == ((), None, 1)
    told = approves(story, request)
    refused(told, PolicyError, "legality")
    assert "was not measured again" in str(told.error)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {}, "verdict": "uncertain"})
    refused(approves(story, request), PolicyError, "legality")  # none passed
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass"})
    assert approves(story, request).kind == "valid"
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    assert state.versions["1"].undecided == ()


def test_nobody_invalidates_by_a_name_that_stands_for_nothing():
    story = Story().people().version()
    body = {"evaluation": "00000000-0000-0000-0000-0000000000ff", "reason": "x"}
    before = version_of(story.world, MODEL).version
    story.tell("trainer", "evaluation.invalidated", MODEL, body)
    after = version_of(story.world, MODEL).version
    assert (after.evaluations, after.passed) == (before.evaluations, before.passed)
    unknown = story.event("trainer", "evaluation.invalidated", "model:m@9", body)
    assert marks_of(story.world, unknown) == ("unknown-version",)


@pytest.mark.parametrize("kind", ["deployment.promoted", "canary.stage_entered"])
def test_traffic_that_nobody_authorised_is_marked(kind: str):
    story = Story().people().version()
    body: dict[str, Any] = {"model": MODEL, "digest": DIGEST}
    body |= {"stage": 1, "traffic": 0.05} if kind == "canary.stage_entered" else {}
    assert marks_of(story.world, story.event("p-deployer", kind, "deployment:prod/x", body)) == ("unauthorised",)
    assert marks_of(story.world, story.event("p-deployer", kind, "deployment:dev/x", body)) == ()


def test_a_promoted_version_is_live_and_a_canary_is_not_yet():
    story = Story().people().version()
    body = {"model": MODEL, "digest": DIGEST}
    story.tell("p-deployer", "canary.stage_entered", "deployment:dev/x", {**body, "stage": 1, "traffic": 0.05})
    state = story.world.state("deployment:dev/x")
    assert isinstance(state, DeploymentState)
    assert state.live is None
    story.tell("p-deployer", "deployment.promoted", "deployment:dev/x", body)
    state = story.world.state("deployment:dev/x")
    assert isinstance(state, DeploymentState)
    assert state.live == (MODEL, DIGEST)
    assert state.ever_live == {(MODEL, DIGEST)}


def test_an_incident_can_be_opened_again():
    story = Story().people()
    story.tell("trainer", "incident.opened", "incident:1", {"title": "late"})
    story.tell("trainer", "incident.closed", "incident:1", {"summary": "over"})
    story.tell("trainer", "incident.reopened", "incident:1", {"reason": "not over"})
    assert story.world.state("incident:1") == IncidentState("open")


WINDOW = {"metric": "ms", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "count": 3}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"end": "2026-01-01T00:00:00Z"}, "must end after"),
        ({"bounds": [2.0, 1.0]}, "must ascend"),
        ({"bounds": [1.0], "buckets": [3]}, "one bucket more"),
        ({"bounds": [1.0], "buckets": [1, 1]}, "add up to count"),
        ({"bounds": [1.0], "buckets": [4, -1]}, "less than nothing"),
        ({"start": "yesterday"}, "a time in UTC"),
        ({"count": -1}, "count"),
    ],
)
def test_a_window_that_says_what_cannot_be_is_malformed(change: dict[str, Any], words: str):
    story = Story().people()
    with pytest.raises(InputError, match=words):
        story.event("trainer", "monitor.window", "monitor:m", WINDOW | change)
    good = {**WINDOW, "bounds": [1.0], "buckets": [1, 2]}
    assert story.judge("trainer", "monitor.window", "monitor:m", good).kind == "valid"


def test_a_model_that_is_decommissioned_takes_all_its_versions_with_it():
    story = Story().people().version()
    request = story.request()
    assert approves(story, request).kind == "valid"
    ended = story.tell("p-author", "model.decommissioned", "model:m", {"reason": "the product ends"}).index
    found = approves(story, request)
    refused(found, PolicyError, "legality")
    assert f"{MODEL} was retired by entry {ended}" in str(found.error)
    body = {"digest": OTHER, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("trainer", "version.registered", "model:m@2", body)
    model = story.world.state("model:m")
    assert isinstance(model, ModelState)
    assert model.versions["2"].retired is None, "what is made after it is another matter"


def test_a_version_that_was_retired_before_its_model_stays_retired_by_that():
    story = Story().people().version()
    first = story.tell("p-author", "version.retired", MODEL, {"reason": "old"}).index
    story.tell("p-author", "model.decommissioned", "model:m", {"reason": "x"})
    model = story.world.state("model:m")
    assert isinstance(model, ModelState)
    retired = model.versions["1"].retired
    assert retired is not None
    assert retired.index == first


_NONE = "01234567-89ab-7cde-8f01-23456789abc"  # a digit is missing
_ITEM = {"item": "0" * 8 + "-0000-7000-8000-" + "0" * 12}
_SILENT = {"source": "prometheus", "start": "2026-01-01T00:00:00Z", "reason": "full disk"}
_CAUSE = {"category": "code", "statement": "x"}
_ROLLED = {"model": MODEL, "digest": DIGEST}


@pytest.mark.parametrize(
    ("kind", "subject", "good", "bad"),
    [
        ("artifact.signed", "artifact:a", {"digest": DIGEST, "method": "key", "log_index": 0}, {"log_index": -1}),
        ("artifact.verified", "artifact:a", {"digest": DIGEST, "method": "key", "verdict": "pass"}, {"log": "a\nb"}),
        ("bom.attached", MODEL, {"format": "SPDX", "digest": DIGEST}, {"digest": "sha256:x"}),
        ("bom.attached", MODEL, {"format": "SPDX", "digest": DIGEST, "version": 1}, {"version": 0}),
        ("bom.attached", MODEL, {"format": "SPDX", "digest": DIGEST}, {"serial_number": ""}),
        ("dataset.deprecated", "dataset:d", {"reason": "x", "scope": "a"}, {"scope": "x" * 256}),
        ("deployment.completed", "deployment:prod/x", _ROLLED, {"deployment_id": ""}),
        ("deployment.requested", "deployment:prod/x", _ROLLED | {"traffic": 1}, {"traffic": 1.01}),
        ("deployment.authorised", "deployment:dev/x", _ROLLED, {"config_digest": "latest"}),
        ("deployment.authorised", "deployment:dev/x", _ROLLED, {"strategie": "canary"}),
        ("deployment.started", "deployment:prod/x", _ROLLED, {"traffic": -0.1}),
        ("documentation.attached", MODEL, {"kind": "DPIA", "digest": DIGEST}, {"version": 3}),
        ("errorbudget.consumed", "monitor:m", {"slo": "l", "remaining": -2, "window": "28d"}, {"window": "a month"}),
        ("erasure.requested", "person:p-1", {"scope": "all"}, {"due_at": "in a month"}),
        ("erasure.resolved", "person:p-1", {"request": _ITEM["item"], "outcome": "done"}, {"outcome": "maybe"}),
        ("errorbudget.consumed", "monitor:m", {"slo": "l", "remaining": 1}, {"objective": 1.0}),
        ("feed.interrupted", "monitor:m", _SILENT | {"lost": 0}, {"lost": -1}),
        ("feed.interrupted", "monitor:m", _SILENT, {"end": "later"}),
        ("incident.action_item_completed", "incident:1", _ITEM, {"proof": _NONE}),
        ("incident.contributing_factor_recorded", "incident:1", _CAUSE, {"category": "luck"}),
        ("incident.contributing_factor_recorded", "incident:1", _CAUSE, {"reviewers": ["P X"]}),
        ("incident.opened", "incident:1", {"title": "x"}, {"report_by": "2026-02-30T00:00:00Z"}),
        ("incident.root_cause_recorded", "incident:1", _CAUSE, {"reviewers": ["p-a"] * 65}),
        ("model.decommissioned", "model:m", {"reason": "x"}, {"keep_until": "for ever"}),
        ("model.described", "model:m", {}, {"jurisdictions": ["EU"] * 65}),
        ("model.described", "model:m", {}, {"license": {"id": "MIT"}}),
        ("modelcard.published", MODEL, {"digest": DIGEST, "completeness": 0}, {"completeness": 1.5}),
        ("modelcard.revised", MODEL, {"digest": DIGEST}, {"previous": "the old one"}),
        ("monitor.signal", "monitor:m", {"metric": "x", "value": 1, "status": "firing"}, {"status": "on fire"}),
        ("monitor.signal", "monitor:m", {"metric": "x", "value": 1}, {"started_at": "now"}),
        ("postmortem.published", "incident:1", {"digest": DIGEST, "timeline": {"size": 1}}, {"timeline": {"size": 0}}),
        ("postmortem.published", "incident:1", {"digest": DIGEST}, {"timeline": {"size": 1, "before": -1}}),
        ("postmortem.published", "incident:1", {"digest": DIGEST}, {"timeline": {}}),
        ("quarantine.placed", MODEL, {"reason": "x", "serving_blocked": True}, {"serving_blocked": "yes"}),
        ("quarantine.placed", MODEL, {"reason": "x"}, {"known_since": "2026-01-01"}),
        ("quarantine.placed", MODEL, {"reason": "x"}, {"held_by": "a\x00b"}),
        ("risk.classified", "model:m", {"tier": "high", "rationale": "x"}, {"questionnaire": "sha1:" + "0" * 40}),
        ("risk.classified", "model:m", {"tier": "high", "rationale": "x"}, {"effective_at": "2026-13-01T00:00:00Z"}),
        ("rollback.authorised", "deployment:prod/x", _ROLLED | {"automatic": True}, {"automatic": 1}),
        ("rollback.completed", "deployment:prod/x", _ROLLED | {"verified": "pass"}, {"verified": "looks fine"}),
        ("rollback.completed", "deployment:prod/x", _ROLLED, {"from_model": "the last one"}),
        ("rollback.completed", "deployment:prod/x", _ROLLED, {"trigger": _NONE}),
        ("version.promoted", MODEL, {"environment": "prod"}, {"environment": ""}),
        ("version.promoted", MODEL, {"environment": "prod"}, {"previous": "model"}),
        ("version.promoted", MODEL, {"environment": "prod"}, {"from_environment": "a/b"}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_malformed(kind: str, subject: str, good: dict[str, Any], bad: dict[str, Any]):
    story = Story().people().version()
    (field,) = bad
    with pytest.raises(InputError, match=rf"{kind}: (.*; )?{field}"):
        story.event("p-admin", kind, subject, good | bad)
    assert story.event("p-admin", kind, subject, good).body.model_dump(exclude_unset=True)


@pytest.mark.parametrize("end", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0Z", "2025-12-31T23:59:59.999999Z"])
def test_an_interruption_ends_after_it_began(end: str):
    story = Story().people()
    with pytest.raises(InputError, match="end must be after start"):
        story.event("trainer", "feed.interrupted", "monitor:m", _SILENT | {"end": end})
    good = _SILENT | {"end": "2026-01-01T00:00:00.000001Z"}
    assert story.judge("trainer", "feed.interrupted", "monitor:m", good).kind == "valid"
