"""The whole catalogue, judged: each type is for its roles and about its kinds, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from ledger.domain import (
    Verdict,
)
from ledger.errors import (
    InputError,
    NotAllowedError,
)
from ledger.events import Category, EventType
from ledger.events.actors import ROLES
from ledger.events.base import _Frozen, load_body
from ledger.events.ledgers import KnownHead, Rule, RuleSet
from tests.unit.bodies import BODIES, NOBODYS, TYPES, author, filled
from tests.unit.story import Story, refused


def test_the_table_of_bodies_is_the_catalogue():
    assert set(BODIES) == {kind.name for kind in TYPES}


#: Fields that are words of people, wherever they stand.
_WORDS = {
    "basis", "benefits", "biases", "change", "changes", "compensating_control", "conditions", "description",
    "group_at_risk", "harms", "hypothesis", "independence", "matter", "mitigation", "note", "notes", "rationale",
    "reason", "statement", "summary", "title",
}  # fmt: skip
_BLANK = ("", " ", "   ", "\t\r\n", "\x85", "\xa0\u3000", "\u200b\ufeff", "\u2800", "\x00")


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for other in model.__subclasses__():
        yield from _models(other)


def _patterns(schema: Any) -> Iterator[str]:
    """Patterns of the texts of a field."""
    if isinstance(schema, dict):
        if schema.get("type") == "string":
            yield schema.get("pattern", "")
        for inner in schema.values():
            yield from _patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _patterns(inner)


def test_words_of_people_are_never_blank():
    found = set()
    for model in {one for one in _models(_Frozen) if one is not KnownHead}:  # its note is a hash
        for name in model.model_fields.keys() & _WORDS:
            patterns = list(_patterns(model.model_json_schema()["properties"][name]))
            assert patterns, f"{model.__name__}.{name}"
            for blank in _BLANK:
                assert not any(re.search(pattern, blank) for pattern in patterns), (model.__name__, name, blank)
            assert all(re.search(pattern, " é ") for pattern in patterns), (model.__name__, name)
            found.add(name)
    assert found == _WORDS


def test_blank_words_are_refused_and_named(full: tuple[Story, dict[str, Any]]):
    """By what reads events, as by the schemas."""
    asked = 0
    for kind in TYPES:
        _, body = filled(kind.name, full[1])
        for name in body.keys() & _WORDS:
            for blank in _BLANK:
                wrong = blank if isinstance(body[name], str) else [blank]
                with pytest.raises(InputError, match=rf"{kind.name}: {name}"):
                    load_body(kind, body | {name: wrong})
            words = " \u200bwhy\n" if name not in ("basis", "matter", "title") else " \u200bwhy "
            load_body(kind, body | {name: words if isinstance(body[name], str) else [words]})
            asked += 1
    assert asked > 40


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
