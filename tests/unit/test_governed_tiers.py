"""Tiers: which one is in force, and who may lower it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain import ModelState
from ledger.domain.lifecycle import version_of
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.states import tiers_in_force
from ledger.entry import format_time
from ledger.errors import NotAllowedError, PolicyError
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.governing import DAY, authorised, classify, ends_at, ready
from tests.unit.story import MODEL, NOW, Story, refused


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
    refused(
        story.judge("p-author", "risk.classified", "model:m@2", classify("low")),
        NotAllowedError,
        "legality",
        rule="role validator",
    )
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
    apart = "separation risk.classified/makers"
    for actor, rule in (("p-author", "role validator"), ("p-maker", apart), ("p-neutral", "role validator")):
        told = story.judge(actor, "risk.classified", subject, classify("low"))
        refused(told, NotAllowedError, "legality", rule=rule)
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
