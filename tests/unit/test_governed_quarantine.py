"""Quarantine and retirement: what goes nowhere, along the lineage and under other names."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import NotAllowedError, PolicyError
from tests.unit.governing import AUTHORISE, DAY, PROD, approve, authorised, delegate, ready, urgent
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, refused


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
        refused(story.judge("p-author", kind, about, body), PolicyError, "legality", rule=f"stops {kind}/quarantined")
    rollback = {"model": MODEL, "digest": DIGEST}
    assert story.judge("trainer", "rollback.authorised", PROD, rollback).kind == "valid", "protection is never blocked"

    let_go = {"quarantine": placed, "rationale": "cleaned"}
    story.enrol("p-both", ["validator"], person="p-author", by=ROOT_ACTOR)
    if subject.startswith("model:"):
        refused(
            story.judge("p-both", "quarantine.released", subject, let_go),
            NotAllowedError,
            "legality",
            rule="separation quarantine.released/makers",
        )
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
        refused(told, NotAllowedError, "legality", rule="separation quarantine.released/placer")
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


def _again(story: Story) -> str:
    """The same bytes are another version of the model, and that names the run."""
    story.tell("trainer", "run.started", "run:r", _read())
    story.tell("trainer", "run.started", "run:other", _read("dataset:d@1"))
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:other"}
    story.tell("trainer", "version.registered", "model:m@2", body)
    return "dataset:d@1"


def _parent_again(story: Story) -> str:
    """What the parent is called was never registered; its bytes are those of a version that names a run."""
    story.tell("trainer", "run.started", "run:r", {"inputs": [
        {"role": "base", "subject": "model:base@9", "digest": _bytes("model:base@1")}]})  # fmt: skip
    story.tell("trainer", "run.started", "run:base", _read("dataset:d@1"))
    _registered(story, "model:base@1", "run:base")
    return "dataset:d"


def _data_again(story: Story) -> str:
    """What was read does not say what it was made from; another version with its bytes does."""
    refs = [{"role": "derived-from", "subject": "dataset:raw@1"}]
    story.tell("trainer", "dataset.registered", "dataset:clean@1", {"digest": OTHER, "refs": refs})
    story.tell("trainer", "dataset.registered", "dataset:clean@2", {"digest": OTHER})
    story.tell("trainer", "run.started", "run:r", _read("dataset:clean@2"))
    return "dataset:raw@1"


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
        (_again, "model:m@1 → model:m@2 (the same bytes) → run:other → dataset:d@1"),
        (_parent_again, "model:m@1 → run:r → model:base@9 → model:base@1 (the same bytes) → run:base → dataset:d@1"),
        (_data_again, "run:r → dataset:clean@2 → dataset:clean@1 (the same bytes) → dataset:raw@1"),
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
        who = "made it" if subject.startswith("model:") else "put it there"
        assert f"Another person than who {who} " in verdict.error.hint
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
    """Nor does one of what other bytes, or other data of the same features, were made from."""
    story = ready()
    story.tell("trainer", "featureset.defined", "featureset:f@1", {"digest": OTHER, **_read("dataset:other@1")})
    story.tell("trainer", "featureset.defined", "featureset:f@2", {"digest": OTHER, **_read("dataset:d@2")})
    story.tell("trainer", "run.completed", "run:r", _read("featureset:f@2"))
    story.tell("trainer", "run.completed", "run:other", _read("dataset:other@1"))
    _registered(story, "model:m@3", "run:other")
    approve(story)
    story.tell("trainer", "quarantine.placed", "model:m@2", {"reason": "x"})
    story.tell("trainer", "quarantine.placed", "dataset:other", {"reason": "x"})
    assert authorised(story)
