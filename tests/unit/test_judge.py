"""`judge` is pure, and the same for append, projections and verification: it is tested without any of them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain import (
    ActorState,
    LedgerState,
    MemoryWorld,
    Verdict,
    judge,
)
from ledger.domain.decisions import marks_of
from ledger.domain.judge import reads_body
from ledger.domain.roles import check_roles
from ledger.domain.signing import ROOT_ACTOR, signing_keys
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    PolicyError,
)
from ledger.events import Category, EventType, all_event_types
from ledger.keys import format_public_key
from tests.unit.bodies import TYPES, author, filled
from tests.unit.memory_log import View
from tests.unit.story import LEDGERID, NOW, ROOTS, VKEY, Story, hint_of, key_of, refused

# -- what is read ----------------------------------------------------------------------------------


def test_which_bodies_are_read():
    """Verification judges events that look alike once, but for those whose body a judgement may ask for."""
    for kind in all_event_types():
        for name in kind.kinds or ("external", "model"):
            stateful = name in ("ledger", "actor", "dataset", "featureset", "model", "deployment", "waiver", "policy")
            expected = stateful or kind.category in (Category.AUTHORITY, Category.DECISION)
            assert reads_body(kind, name) is expected, (kind.name, name)
    assert reads_body(None, "model") is False


# -- the beginning ---------------------------------------------------------------------------------


def genesis(**changes: Any) -> dict[str, Any]:
    return {
        "ledgerid": LEDGERID, "origin": "ledger.example/unit", "vkey": VKEY, "threshold": 1,
        "roots": [format_public_key(ROOTS[0].public)], "rules": DEFAULT_RULES.model_dump(mode="json"), **changes,
    }  # fmt: skip


def test_the_first_entry():
    story = Story()
    state = story.world.state(f"ledger:{LEDGERID}")
    assert isinstance(state, LedgerState)
    assert (state.ledgerid, state.threshold, len(state.roots)) == (LEDGERID, 1, 1)
    actor = story.world.state("actor:p-admin")
    assert isinstance(actor, ActorState)
    assert (actor.person, actor.kind) == ("p-admin", "person")


@pytest.mark.parametrize(
    ("changes", "options", "error", "fault"),
    [
        ({}, {"index": 5}, PolicyError, "legality"),
        ({}, {"actor": "p-admin"}, AuthenticationError, "key"),
        ({}, {"keys": [ROOTS[1].public.keyid]}, AuthenticationError, "key"),
        ({}, {"keys": sorted([ROOTS[0].public.keyid, ROOTS[1].public.keyid])}, AuthenticationError, "key"),
        *(({}, {"subject": "ledger:" + other * 16}, InputError, "schema") for other in ("00", "cd")),
        *(({"ledgerid": other * 16}, {}, InputError, "schema") for other in ("00", "cd")),
        ({"threshold": 2}, {}, AuthenticationError, "key"),
        ({"threshold": 2, "roots": [format_public_key(ROOTS[0].public)] * 2}, {}, AuthenticationError, "key"),
        *(({}, {"ledgerid": other * 16}, AuthenticationError, "key") for other in ("00", "cd")),
    ],
    ids=str,
)
def test_first_entries_that_are_none(
    changes: dict[str, Any], options: dict[str, Any], error: type[LedgerError], fault: str
):
    story = object.__new__(Story)
    story.view, story.count, story.roots, story.now = View([]), 0, ROOTS[:1], NOW
    story.world = MemoryWorld(LEDGERID, story.view)
    options = {"actor": ROOT_ACTOR, "subject": f"ledger:{LEDGERID}", "index": 0, **options}
    actor, subject = options.pop("actor"), options.pop("subject")
    refused(story.judge(actor, "ledger.created", subject, genesis(**changes), **options), error, fault)


def test_two_of_three_roots():
    story = Story(roots=3, threshold=2)
    new = key_of("p-new").public
    data = {"kind": "person", "roles": ["admin"], "key": format_public_key(new)}

    def by(*numbers: int) -> Verdict:
        keys = sorted([*(ROOTS[n].public.keyid for n in numbers), new.keyid])
        return story.judge(ROOT_ACTOR, "actor.enrolled", "actor:p-new", data, keys=keys)

    assert by(0, 1).kind == by(0, 2).kind == by(1, 2).kind == by(0, 1, 2).kind == "valid"
    for alone in range(3):
        refused(by(alone), AuthenticationError, "key")
        assert "root propose" in hint_of(by(alone))
    refused(by(), AuthenticationError, "key")
    spare = {"key": format_public_key(new)}
    of_others = story.judge("p-admin", "key.enrolled", "actor:p-admin", spare, keys=[new.keyid])
    refused(of_others, AuthenticationError, "key")
    assert hint_of(of_others) == "", "who has one key is not sent to the holders of root keys"


# -- keys by index ---------------------------------------------------------------------------------


def test_a_key_counts_from_its_enrolment_to_its_revocation():
    story = Story().people()
    state = story.world.state("actor:p-author")
    assert isinstance(state, ActorState)
    enrolled = next(iter(state.keys.values())).enrolled
    keyid = key_of("p-author").public.keyid
    revoked = story.tell("p-admin", "key.revoked", "actor:p-author", {"keyid": keyid, "reason": "lost"}).index
    for index in range(enrolled, revoked):
        event = story.event("p-author", "external.observed", "external:x", {"system": "s"}, index=index)
        assert set(signing_keys(story.world, event)) == {keyid}
    for index in (enrolled - 1, revoked, revoked + 1, revoked + 1000):
        event = story.event("p-author", "external.observed", "external:x", {"system": "s"}, index=index)
        with pytest.raises(AuthenticationError):
            signing_keys(story.world, event)
    assert isinstance(story.world.state("actor:p-author"), ActorState)


def test_a_revoked_actor_signs_nothing_with_any_key():
    story = Story().people()
    spare = key_of("spare").public
    data = {"key": format_public_key(spare)}
    keys = sorted([key_of("p-admin").public.keyid, spare.keyid])
    story.tell("p-admin", "key.enrolled", "actor:trainer", data, keys=keys)
    story.tell("trainer", "run.started", "run:a", keys=[spare.keyid])
    story.tell("trainer", "run.started", "run:a", keys=sorted([spare.keyid, key_of("trainer").public.keyid]))
    story.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "retired"})
    for keys in ([spare.keyid], [key_of("trainer").public.keyid]):
        refused(story.judge("trainer", "run.started", "run:b", keys=keys), AuthenticationError, "key")


def test_a_key_is_ever_one_actors():
    story = Story().people()
    story.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "retired"})
    key = key_of("trainer").public
    data = {"kind": "person", "roles": ["owner"], "key": format_public_key(key)}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", "actor:p-x", data, keys=keys), ConflictError, "legality")
    assert story.world.key_holder(key.keyid) == "trainer"


@pytest.mark.parametrize("name", ["root", "checkpoint"])
def test_names_that_stand_for_keys_of_the_ledger(name: str):
    story = Story()
    key = key_of("x").public
    data = {"kind": "person", "roles": ["owner"], "key": format_public_key(key)}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", f"actor:{name}", data, keys=keys), InputError, "schema")


# -- purity ----------------------------------------------------------------------------------------


def everything(story: Story) -> dict[str, Any]:
    return deepcopy({name: repr(state) for name, state in story.world._states.items()})


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_judging_changes_nothing_and_answers_the_same(full: tuple[Story, dict[str, Any]], kind: EventType):
    story, ids = full
    subject, body = filled(kind.name, ids)
    role = author(kind)
    before, size = everything(story), len(story.view.leaves)
    event = story.event(f"only-{role}", kind.topic, subject, body)
    assert judge(story.world, event) == judge(story.world, event)
    assert marks_of(story.world, event) == marks_of(story.world, event)
    assert (everything(story), len(story.view.leaves)) == (before, size)


def test_a_type_nobody_knows_is_opaque_but_must_be_signed():
    story = Story().people()
    good = story.event("trainer", "run.started", "run:x")
    unknown = replace(good, kind=None, body=None, payload=replace(good.payload, type="muniment.run.dreamt.v1"))
    assert judge(story.world, unknown) == Verdict("opaque")
    refused(judge(story.world, replace(unknown, keys=("0" * 64,))), AuthenticationError, "key")
    before = everything(story)
    story.world.apply(unknown)
    assert everything(story) == before, "and changes no state"


def test_who_is_not_enrolled_has_no_role():
    story = Story()
    with pytest.raises(NotAllowedError, match="has none"):
        check_roles(story.world, story.event("p-nobody", "run.started", "run:x"))


# -- authority -------------------------------------------------------------------------------------


def test_only_the_root_keys_touch_an_admin():
    story = Story().people()
    story.enrol("p-other", ["admin"], by=ROOT_ACTOR)
    keyid = key_of("p-other").public.keyid
    bodies: tuple[tuple[str, dict[str, str]], ...] = (
        ("actor.revoked", {"reason": "x"}),
        ("key.revoked", {"keyid": keyid, "reason": "x"}),
    )
    for kind, body in bodies:
        refused(story.judge("p-admin", kind, "actor:p-other", body), NotAllowedError, "legality")
        assert story.judge(ROOT_ACTOR, kind, "actor:p-other", body).kind == "valid"
        assert story.judge("p-other", kind, "actor:p-other", body).kind == "valid", "giving up one's own"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "service", "responsible": "trainer"},
        {"kind": "service", "responsible": "p-gone"},
        {"kind": "service", "responsible": "p-nobody"},
        {"kind": "person", "person": "trainer"},
        {"kind": "person", "person": "p-nobody"},
        {"kind": "person", "person": "p-gone"},
    ],
    ids=str,
)
def test_behind_an_actor_stands_an_enrolled_person(body: dict[str, Any]):
    story = Story().people()
    story.enrol("p-gone", ["owner"])
    story.tell("p-admin", "actor.revoked", "actor:p-gone", {"reason": "left"})
    key = key_of("new").public
    data = {"roles": ["emitter"], "key": format_public_key(key), **body}
    keys = sorted([key_of("p-admin").public.keyid, key.keyid])
    refused(story.judge("p-admin", "actor.enrolled", "actor:new", data, keys=keys), InputError, "schema")
    good = {**data, "person": "p-author"} if body["kind"] == "person" else {**data, "responsible": "p-author"}
    assert story.judge("p-admin", "actor.enrolled", "actor:new", good, keys=keys).kind == "valid"


def test_nobody_acts_for_somebody_unknown():
    story = Story().people()
    for behalf in ("nobody", "root"):
        refused(story.judge("trainer", "run.started", "run:x", on_behalf_of=behalf), AuthenticationError, "key")
    assert story.judge("trainer", "run.started", "run:x", on_behalf_of="p-author").kind == "valid"


def test_an_acknowledgement_is_about_this_ledger_and_the_past():
    story = Story()
    size = len(story.view.leaves)
    mine = f"ledger:{LEDGERID}"

    def of(index: int, subject: str = mine, actor: str = "p-admin", leaf: int | None = None) -> Verdict:
        body = {"index": index, "leaf_hash": story.view.leaves[index % size if leaf is None else leaf].hex()}
        return story.judge(actor, "ledger.entry_acknowledged", subject, {**body, "reason": "seen"})

    assert of(size - 1).kind == of(0).kind == of(1, actor=ROOT_ACTOR).kind == "valid"
    refused(of(size), InputError, "schema")
    refused(of(1, leaf=0), ConflictError, "legality")
    refused(of(0, f"ledger:{'cd' * 16}"), InputError, "schema")
    story.people()
    refused(of(0, actor="p-author"), NotAllowedError, "legality")


def test_streams_of_authority_hold_nothing_else():
    """What anybody may say about anything is not said in an actor's or the ledger's own stream."""
    story = Story().people()
    for subject in ("actor:p-author", f"ledger:{LEDGERID}"):
        refused(story.judge("trainer", "external.observed", subject, {"system": "s"}), InputError, "schema")
