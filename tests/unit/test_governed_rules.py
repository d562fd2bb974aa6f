"""The table of rules: what it names, and from when on new ones hold."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain.lifecycle import BUILT_IN_STOPS
from ledger.domain.moves import MOVES, SIDE_STATES
from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import InputError, NotAllowedError, PolicyError
from ledger.events import all_event_types
from tests.unit.governing import approve, authorised, behind_a_gate, ready, rules
from tests.unit.story import DIGEST, MODEL, OTHER, Story, refused


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


@pytest.fixture
def gate() -> Story:
    return behind_a_gate()
