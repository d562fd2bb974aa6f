"""The whole catalogue, judged: each type is for its roles and about its kinds, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain import (
    Verdict,
)
from ledger.errors import (
    InputError,
    NotAllowedError,
)
from ledger.events import Category, EventType
from ledger.events.actors import ROLES
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.bodies import BODIES, NOBODYS, TYPES, author, filled
from tests.unit.story import Story, refused


def test_the_table_of_bodies_is_the_catalogue():
    assert set(BODIES) == {kind.name for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_for_its_roles_and_no_other(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, ids = full
    subject, body = filled(kind.name, ids)
    for role in ROLES:
        if role == "admin":
            continue
        verdict = story.judge(f"only-{role}", kind.topic, subject, body)
        if not kind.roles or role in kind.roles:
            assert verdict == Verdict("valid"), (role, verdict.error)
        else:
            refused(verdict, NotAllowedError, "legality")
            assert role in verdict.error.message


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_type_is_about_its_kinds_and_no_other(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, _ = full
    subject, body = filled(kind.name, NOBODYS)
    role = author(kind)
    name, _, version = subject.partition("@")
    wrong = [f"thing:{name.partition(':')[2]}{'@' + version if version else ''}"] if kind.kinds else []
    wrong += [name] if kind.versioned is True else [f"{name}@1"] if kind.versioned is False else []
    wrong += ["deployment:x"] if "deployment" in kind.kinds else []
    for other in wrong:
        refused(story.judge(f"only-{role}", kind.topic, other, body), InputError, "schema")


EMPTY = [kind for kind in TYPES if kind.category in (Category.FACT, Category.PROTECTION)]


@pytest.mark.parametrize("kind", EMPTY, ids=lambda kind: kind.name)
def test_facts_and_protection_need_nothing_to_have_happened(kind: EventType):
    """In a world that holds nothing but their author, also under rules that cover nothing."""
    rules = RuleSet(
        name="nothing", rules=(Rule(environment="x", tier="low", authorisation=True, approvals=9, evaluation=True),)
    )
    story = Story(rules)
    story.enrol("p-one", [author(kind)])
    subject, body = filled(kind.name, NOBODYS)
    assert story.judge("p-one", kind.topic, subject, body).kind == "valid"
    late = story.judge("p-one", kind.topic, subject, body, occurred_at=1, strength="backfilled")
    assert late.kind == "valid", "a time is a claim and decides nothing"
