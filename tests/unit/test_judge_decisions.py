"""Decisions, judged: persons and not accounts, the first rule that matches, and what an author saw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.domain import (
    MemoryWorld,
    ModelState,
    judge,
)
from ledger.domain.independence import independent, persons_behind
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.standing import standing
from ledger.errors import (
    ConflictError,
    NotAllowedError,
    PolicyError,
)
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.memory_log import View
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, refused


def test_approvals_count_persons_and_not_accounts():
    two = RuleSet(
        name="two", rules=(Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True),)
    )
    story = Story(two).people().version()
    story.enrol("bot", ["approver"], kind="service", responsible="p-approver")
    request = story.request()
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    refused(story.judge(*authorise), PolicyError, "legality")
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request))
    story.tell("bot", "approval.granted", MODEL, story.grant(request))
    refused(story.judge(*authorise), PolicyError, "legality")
    story.tell("p-second", "approval.granted", MODEL, story.grant(request))
    assert story.judge(*authorise).kind == "valid"
    state = story.world.state("model:m")
    assert isinstance(state, ModelState)
    named, rule = version_of(story.world, MODEL), two.rules[0]
    assert standing(story.world, named, ("prod", rule), NOW).persons == 2
    assert standing(story.world, named, ("dev", rule), NOW).persons == 0
    renamed = replace(named, version=replace(named.version, digest=OTHER))
    assert standing(story.world, renamed, ("prod", rule), NOW).persons == 0


def test_an_approval_is_for_one_environment():
    story = Story().people().version()
    request = story.request("stage")
    story.tell("p-approver", "approval.granted", MODEL, story.grant(request, "stage"))
    body = {"model": MODEL, "digest": DIGEST}
    assert story.judge("p-deployer", "deployment.authorised", "deployment:stage/x", body).kind == "valid"
    refused(story.judge("p-deployer", "deployment.authorised", "deployment:prod/x", body), PolicyError, "legality")


@pytest.mark.parametrize(("approvals", "evaluation"), [(0, False), (0, True), (1, False), (1, True)])
def test_an_evaluation_is_needed_where_the_rule_asks_for_one_before_an_approval(approvals: int, evaluation: bool):
    rule = Rule(environment="*", tier="*", authorisation=True, approvals=approvals, evaluation=evaluation)
    story = Story(RuleSet(name="one", rules=(rule,))).people().version(passed=False)
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    if approvals and evaluation:
        refused(story.judge(*grant), PolicyError, "legality")
        refused(story.judge(*authorise), PolicyError, "legality")
        return
    if approvals:
        refused(story.judge(*authorise), PolicyError, "legality")
        story.tell(*grant)
    assert story.judge(*authorise).kind == "valid"


def test_the_first_rule_that_matches_holds():
    rules = RuleSet(
        name="order",
        rules=(
            Rule(environment="prod", tier="low", authorisation=False, approvals=0, evaluation=False),
            Rule(environment="prod", tier="*", authorisation=True, approvals=1, evaluation=True),
            Rule(environment="*", tier="low", authorisation=True, approvals=2, evaluation=False),
        ),
    )
    story = Story(rules)
    found = {
        (environment, tier): rule_for(story.world, environment, tier).approvals
        for environment, tier in (("prod", "low"), ("prod", "high"), ("dev", "low"))
    }
    assert found == {("prod", "low"): 0, ("prod", "high"): 1, ("dev", "low"): 2}
    with pytest.raises(PolicyError):
        rule_for(story.world, "dev", "high")
    with pytest.raises(PolicyError):
        rule_for(MemoryWorld("00" * 16, View([])), "prod", "low")


def test_persons_behind_accounts():
    story = Story().people()
    world = story.world
    assert persons_behind(world, ["trainer", "p-author"]) == frozenset({"p-author"})
    assert persons_behind(world, ["trainer", "nobody"]) is None
    assert persons_behind(world, []) == frozenset()
    assert independent(world, ["p-approver"], ["trainer"]) is True
    assert independent(world, ["p-author"], ["trainer"]) is False
    assert independent(world, ["p-approver"], ["nobody"]) is None
    assert independent(world, ["nobody"], ["trainer"]) is None


def test_what_an_author_claims_to_have_seen_must_be_so():
    story = Story().people().version()
    size = len(story.view.leaves)
    root = story.view.root_hash(size)
    assert root is not None
    request = {"environment": "prod", "digest": DIGEST}
    good = {**request, "seen": {"size": size, "root": root.hex()},
            "evidence": [{"index": 2, "leaf_hash": story.view.leaves[2].hex()}]}  # fmt: skip
    assert story.judge("p-author", "approval.requested", MODEL, good).kind == "valid"
    for seen, evidence in (
        ({"size": size, "root": "0" * 64}, []),
        ({"size": size + 1, "root": root.hex()}, []),
        ({"size": size - 1, "root": root.hex()}, []),
        (good["seen"], [{"index": 3, "leaf_hash": story.view.leaves[2].hex()}]),
        (good["seen"], [{"index": size, "leaf_hash": "0" * 64}]),
    ):
        bad = {**request, "seen": seen, "evidence": evidence}
        refused(story.judge("p-author", "approval.requested", MODEL, bad), ConflictError, "legality")


def test_the_last_evaluation_of_a_suite_counts():
    story = Story().people().version(passed=False)
    request = story.request()

    def measured(verdict: str, suite: str | None = None) -> bool:
        body: dict[str, Any] = {"metrics": {"auc": 0.9}, "verdict": verdict, "digest": DIGEST, "suite": suite}
        story.tell("trainer", "evaluation.completed", MODEL, {k: v for k, v in body.items() if v is not None})
        return story.judge("p-approver", "approval.granted", MODEL, story.grant(request)).kind == "valid"

    assert not measured("uncertain")
    assert measured("pass")
    assert measured("uncertain", "fairness")
    assert not measured("fail", "fairness"), "one suite failed, whatever the others say"
    assert not measured("pass")
    assert measured("pass", "fairness"), "measured again"
    assert not measured("fail")


def test_an_approval_falls_when_its_giver_turns_out_to_have_made_the_version():
    story = Story().people().version()
    story.enrol("p-both", ["approver", "emitter"])
    request = story.request()
    story.tell("p-both", "approval.granted", MODEL, story.grant(request))
    authorise = ("p-deployer", "deployment.authorised", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    assert story.judge(*authorise).kind == "valid"
    story.tell("p-both", "run.completed", "run:r")
    refused(story.judge(*authorise), PolicyError, "legality")


def test_a_version_of_a_run_nobody_recorded_is_not_shown_to_be_independent():
    story = Story().people()
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:later"}
    story.tell("trainer", "version.registered", MODEL, body)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass"})
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    refused(story.judge(*grant), NotAllowedError, "legality")
    story.tell("trainer", "run.completed", "run:later")
    assert story.judge(*grant).kind == "valid"


def test_a_request_is_made_once():
    story = Story().people().version()
    body = {"environment": "prod", "digest": DIGEST}
    first = story.tell("p-author", "approval.requested", MODEL, body)
    again = story.event("trainer", "approval.requested", MODEL, {**body, "environment": "dev"})
    same = replace(again, payload=replace(again.payload, id=first.payload.id))
    refused(judge(story.world, same), ConflictError, "legality")
