"""Which keys sign for whom: rotated, revoked, and what is said of those that may not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ledger.domain.signed import ROOT_ACTOR
from ledger.errors import AuthenticationError, ConflictError, InputError, NotAllowedError
from ledger.keys import format_public_key
from tests.unit.rings import Ring, actor, keyid
from tests.unit.story import key_of, refused


def test_a_rotated_key_signs_until_the_index_stated(ring: Ring):
    until = len(ring.view.leaves) + 3
    assert ring.rotate("trainer", "trainer", "trainer-2", until).kind == "valid"
    while len(ring.view.leaves) < until:
        assert ring.observe("trainer", "trainer").kind == "valid"
        assert ring.observe("trainer", "trainer-2").kind == "valid"
        assert ring.observe("trainer", "trainer", "trainer-2").kind == "valid"
        ring.tell("p-author", "run.started", "run:x")
    verdict = ring.observe("trainer", "trainer")
    refused(verdict, AuthenticationError, "key")
    assert verdict.error is not None
    assert "rotated" in verdict.error.message
    assert ring.observe("trainer", "trainer-2").kind == "valid"


def test_an_end_in_the_past_is_at_once(ring: Ring):
    assert ring.rotate("trainer", "trainer", "trainer-2", 0).kind == "valid"
    refused(ring.observe("trainer", "trainer"), AuthenticationError, "key")
    assert ring.observe("trainer", "trainer-2").kind == "valid"
    at = len(ring.view.leaves) - 1
    assert actor(ring, "trainer").keys[keyid("trainer")].until == at + 1, "it signs the rotation itself, and no more"


def test_who_may_rotate_a_key(ring: Ring):
    new = {"keys": [keyid("trainer")]}
    refused(ring.rotate("trainer", "trainer", "new", **new), AuthenticationError, "key")  # type: ignore[arg-type]
    refused(ring.rotate("trainer", "trainer", "new", keys=[keyid("new")]), AuthenticationError, "key")
    refused(ring.rotate("trainer", "trainer", "new", by="p-author"), NotAllowedError, "legality")
    refused(ring.rotate("p-admin", "p-admin", "new", by="p-author"), NotAllowedError, "legality")
    ring.new_key("trainer", "spare")
    refused(ring.rotate("trainer", "trainer", "new", keys=[keyid("spare"), keyid("new")]), NotAllowedError, "legality")
    assert ring.rotate("trainer", "trainer", "by-admin", by="p-admin").kind == "valid"
    assert ring.rotate("trainer", "by-admin", "by-root", by=ROOT_ACTOR).kind == "valid"
    assert ring.rotate("p-admin", "p-admin", "admin-2").kind == "valid", "for one's own key"
    ring.enrol("p-other", ["admin"], by=ROOT_ACTOR)
    verdict = ring.rotate("p-other", "p-other", "x", by="p-admin", keys=[keyid("admin-2"), keyid("x")])
    refused(verdict, NotAllowedError, "legality")


def test_an_admin_rotates_no_key_of_their_own_person(ring: Ring):
    ring.enrol("p-admin-2", ["owner"], by=ROOT_ACTOR, person="p-admin")
    refused(ring.rotate("p-admin-2", "p-admin-2", "new", by="p-admin"), NotAllowedError, "legality")


def test_why_a_key_may_not_sign_is_said(ring: Ring):
    def why(name: str, *keys: str) -> str:
        verdict = ring.observe(name, *keys)
        refused(verdict, AuthenticationError, "key")
        assert verdict.error is not None
        return verdict.error.message.replace(keyid(keys[-1])[:16], "KEY")

    assert why("trainer", "strange") == "the key KEY… is not enrolled for 'trainer'"
    assert why("trainer", "trainer", "strange") == "the key KEY… is not enrolled for 'trainer'"
    assert why("trainer", "p-author") == "the key KEY… is not enrolled for 'trainer'"
    assert why("nobody", "nobody") == "the actor 'nobody' is not enrolled in this ledger"
    until = len(ring.view.leaves) + 3
    assert ring.rotate("trainer", "trainer", "trainer-2", until).kind == "valid"
    for _ in range(2):
        ring.tell("p-author", "run.started", "run:x")
    assert why("trainer", "trainer") == f"the key KEY… of 'trainer' was rotated and may sign until index {until}"
    assert ring.rotate("trainer", "trainer-2", "trainer-3", 2**40).kind == "valid"
    at = ring.tell("p-admin", "key.revoked", "actor:trainer", {"keyid": keyid("trainer-2"), "reason": "x"}).index
    assert why("trainer", "trainer-2") == f"the key KEY… of 'trainer' was revoked at index {at}", "before its end"
    late = ring.tell("p-admin", "key.revoked", "actor:trainer", {"keyid": keyid("trainer"), "reason": "x"}).index
    assert why("trainer", "trainer") == f"the key KEY… of 'trainer' was rotated and may sign until index {until}"
    assert late > until
    since = len(ring.view.leaves)
    ring.new_key("trainer", "trainer-4")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.enrol("p-false", ["emitter"])
    stolen = ring.compromise("p-admin", since, by=ROOT_ACTOR)
    cause = f"is suspect: entry {stolen} says that a key of p-admin was compromised"
    assert why("trainer", "trainer-4") == f"the key KEY… of 'trainer' counts no more: entry {since} {cause}"
    assert why("p-false", "p-false") == f"the enrolment of 'p-false' counts no more: entry {since + 2} {cause}"
    gone = ring.tell(ROOT_ACTOR, "actor.revoked", "actor:trainer", {"reason": "x"}).index
    assert why("trainer", "trainer-3") == f"the actor 'trainer' was revoked at index {gone}"


def test_keys_that_cannot_be_rotated(ring: Ring):
    refused(ring.rotate("trainer", "p-author", "new", by="p-admin"), InputError, "schema")
    refused(ring.rotate("trainer", "trainer", "p-author"), ConflictError, "legality")
    assert ring.rotate("trainer", "trainer", "trainer-2", 2**40).kind == "valid"
    refused(ring.rotate("trainer", "trainer", "trainer-3"), ConflictError, "legality")
    assert ring.world.key_holder(keyid("trainer-2")) == "trainer"
    revoked = ("p-admin", "key.revoked", "actor:trainer", {"keyid": keyid("trainer"), "reason": "x"})
    ring.tell(*revoked)
    refused(ring.judge(*revoked), ConflictError, "legality")
    refused(ring.observe("trainer", "trainer"), AuthenticationError, "key")
    ring.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "x"})
    refused(ring.rotate("trainer", "trainer-2", "trainer-3", by="p-admin"), ConflictError, "legality")


def test_many_rotations_by_the_key_before(ring: Ring):
    """A chain of keys is walked without recursion, and what a thief rotated falls with the key it was done with."""
    names = ["trainer", *(f"k{n}" for n in range(600))]
    for old, new in pairwise(names):
        assert ring.rotate("trainer", old, new).kind == "valid"
    index = len(ring.view.leaves)
    assert ring.observe("trainer", names[-1]).kind == "valid"
    ring.compromise("trainer", index - 300, key=names[300])
    assert ring.observe("trainer", names[-1]).kind == "void"
    assert ring.observe("trainer", "k3").kind == "void", "it was rotated"
    assert ring.reaffirm("trainer", index - 300, by="p-author").kind == "valid", "rotated by its owner after all"
    assert ring.observe("trainer", names[-1]).kind == "valid"


def test_a_revoked_actor_signs_nothing_from_there_on(ring: Ring):
    at = ring.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "x"}).index
    for index, is_good in ((at - 1, True), (at, False), (at + 1, False), (at + 9, False)):
        told = ring.judge("trainer", "run.started", "run:x", index=index)
        assert (told.kind == "valid") is is_good, index
        assert is_good or str(told.error) == f"the actor 'trainer' was revoked at index {at}"


def test_where_no_admin_is_left_things_go_on(ring: Ring):
    ring.fold(ring.event(ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"}))  # legal nowhere
    assert ring.judge(ROOT_ACTOR, "actor.revoked", "actor:trainer", {"reason": "x"}).kind == "valid"


@pytest.mark.parametrize("kind", ["key.revoked", "key.compromised", "key.rotated"])
def test_a_key_that_is_not_the_actors(ring: Ring, kind: str):
    """Whoever names another actor's key, or one nobody has, is told so; nothing else happens."""
    for key in ("p-author", "nobody's"):
        body: dict[str, Any] = {"keyid": keyid(key), "reason": "x"}
        body |= {"since": 0} if kind == "key.compromised" else {}
        body |= {"key": format_public_key(key_of("new").public), "until": 0} if kind == "key.rotated" else {}
        keys = sorted([keyid("p-admin"), *([keyid("new")] if kind == "key.rotated" else [])])
        refused(ring.judge("p-admin", kind, "actor:trainer", body, keys=keys), InputError, "schema")


@pytest.mark.parametrize("name", ["Root", "a+b", "P-author", "x" * 65])
def test_nobody_is_enrolled_under_a_name_that_is_no_actor_id(ring: Ring, name: str):
    body = {"kind": "person", "roles": ["emitter"], "key": format_public_key(key_of("p-new").public)}
    keys = sorted([keyid("p-admin"), keyid("p-new")])
    refused(ring.judge("p-admin", "actor.enrolled", f"actor:{name}", body, keys=keys), InputError, "schema")
