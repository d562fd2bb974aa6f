"""What a stolen key signed, reaffirmed: who may, and that chains, circles and mazes end."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ledger.domain import suspicion
from ledger.domain.signed import ROOT_ACTOR, Signed, signed_of
from ledger.errors import AuthenticationError, ConflictError, NotAllowedError, PolicyError
from tests.unit.rings import Ring, actor, approved, keyid
from tests.unit.story import DIGEST, MODEL, NOW, refused


def test_who_may_reaffirm(ring: Ring):
    runs = [ring.tell("trainer", "run.started", "run:x").index for _ in range(5)]
    ring.new_key("trainer", "trainer-2")
    ring.enrol("p-owner-2", ["owner"])
    refused(ring.reaffirm("trainer", runs[0], by="p-author"), PolicyError, "legality")  # it is not suspect
    ring.compromise("trainer", runs[0])
    refused(ring.reaffirm("trainer", runs[0], by="trainer"), AuthenticationError, "key")
    refused(ring.reaffirm("trainer", runs[0], by="p-owner-2"), NotAllowedError, "legality")
    assert ring.reaffirm("trainer", runs[0], by="trainer", keys=[keyid("trainer-2")]).kind == "valid"
    refused(ring.reaffirm("trainer", runs[0], by="p-author"), ConflictError, "legality")
    assert ring.reaffirm("trainer", runs[1], by="p-author").kind == "valid", "who answers for the service"
    assert ring.reaffirm("trainer", runs[2], by="p-admin").kind == "valid"
    assert ring.reaffirm("trainer", runs[3], by=ROOT_ACTOR).kind == "valid"
    assert sorted(actor(ring, "trainer").reaffirmed) == runs[:4]
    wrong = {"index": runs[4], "leaf_hash": "00" * 32, "reason": "x"}
    refused(ring.judge("p-admin", "entry.reaffirmed", "actor:trainer", wrong), ConflictError, "legality")
    later = {**wrong, "index": len(ring.view.leaves)}
    refused(ring.judge("p-admin", "entry.reaffirmed", "actor:trainer", later), ConflictError, "legality")


def test_an_admin_reaffirms_nothing_of_their_own_person(ring: Ring):
    ring.enrol("p-admin-2", ["emitter"], by=ROOT_ACTOR, person="p-admin")
    run = ring.tell("p-admin-2", "run.started", "run:x").index
    ring.compromise("p-admin-2", run)
    refused(ring.reaffirm("p-admin-2", run, by="p-admin"), NotAllowedError, "legality")
    assert ring.reaffirm("p-admin-2", run, by=ROOT_ACTOR).kind == "valid"


def test_what_a_thief_reaffirmed_is_suspect_again(ring: Ring):
    """Two keys were stolen, and one of them was used to reaffirm what the other had signed."""
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    run = ring.tell("trainer", "run.started", "run:x")
    ring.compromise("trainer", run.index, by="p-chief")
    since = len(ring.view.leaves)
    assert ring.reaffirm("trainer", run.index, by="p-admin").kind == "valid"
    assert suspicion(ring.world, signed_of(run)) is None
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    assert suspicion(ring.world, signed_of(run)) is not None
    assert ring.reaffirm("trainer", run.index, by="p-chief").kind == "valid", (
        "it counts no more, so it may be said again"
    )
    assert suspicion(ring.world, signed_of(run)) is None
    refused(ring.reaffirm("trainer", run.index, by="p-chief"), ConflictError, "legality")


def test_a_reaffirmation_may_be_reaffirmed(ring: Ring):
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    run = ring.tell("trainer", "run.started", "run:x")
    ring.compromise("trainer", run.index, by="p-chief")
    said = len(ring.view.leaves)
    assert ring.reaffirm("trainer", run.index, by="p-admin").kind == "valid"
    ring.compromise("p-admin", said, by=ROOT_ACTOR)
    assert ring.reaffirm("p-admin", said, by="p-chief").kind == "valid"
    assert suspicion(ring.world, signed_of(run)) is None


def test_nothing_speaks_for_itself(ring: Ring):
    """An admin whose second key was brought in by a suspect entry cannot help that entry, however it is gone about."""
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    since = len(ring.view.leaves)
    ring.enrol("p-helper", ["owner"])  # by p-admin, whose key was stolen
    ring.grant("p-helper", "admin", by=ROOT_ACTOR)
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    refused(ring.reaffirm("p-admin", since, by="p-helper"), AuthenticationError, "key")
    assert ring.reaffirm("p-admin", since, by="p-chief").kind == "valid"
    both = sorted([keyid("p-helper"), keyid("helper-2")])
    ring.new_key("p-helper", "helper-2", by=ROOT_ACTOR)
    ring.enrol("p-third", ["admin"], by=ROOT_ACTOR)
    said = len(ring.view.leaves)
    ring.enrol("p-late", ["owner"], by="p-chief")
    ring.compromise("p-chief", 0, by=ROOT_ACTOR)  # the reaffirmation falls, and the helper with it
    refused(
        ring.judge("p-helper", "incident.noted", "incident:1", {"note": "x"}, keys=both), AuthenticationError, "key"
    )
    body = {"index": said, "leaf_hash": ring.view.leaves[said].hex(), "reason": "x"}
    refused(ring.judge("p-helper", "entry.reaffirmed", "actor:p-chief", body, keys=both), AuthenticationError, "key")


def test_circles_end(ring: Ring):
    """Entries that would speak for each other: the question is answered, and the answer is that they are suspect."""
    first, second = (Signed(n, NOW, "p-author", (keyid("p-author"),), "x", "x", None) for n in (50, 51))
    state = actor(ring, "p-author")
    held = replace(state.keys[keyid("p-author")], compromised=(40, 60))
    circle = replace(
        state, keys=MappingProxyType({keyid("p-author"): held}), reaffirmed=MappingProxyType({50: second, 51: first})
    )
    ring.world._states["actor:p-author"] = circle
    assert suspicion(ring.world, first) is not None
    assert suspicion(ring.world, second) is not None


def test_who_was_named_by_a_thief_does_not_answer(ring: Ring):
    """A thief hands a service to an accomplice, who could then reaffirm what the service's stolen key signed."""
    ring.version()
    ring.grant("trainer", "owner")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    run = ring.tell("trainer", "run.started", "run:x").index
    since = len(ring.view.leaves)
    changed = {"responsible": "p-second", "reason": "x"}
    ring.tell("p-admin", "actor.responsible_changed", "actor:trainer", changed)
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    body = {"environment": "prod", "digest": DIGEST}
    refused(ring.judge("trainer", "approval.requested", MODEL, body), NotAllowedError, "legality")
    ring.compromise("trainer", run, by="p-chief")
    refused(ring.reaffirm("trainer", run, by="p-second"), NotAllowedError, "legality")
    ring.tell("p-chief", "actor.responsible_changed", "actor:trainer", changed)  # it is right after all
    assert ring.reaffirm("trainer", run, by="p-second").kind == "valid"


def test_reaffirming_in_another_actors_name_does_nothing(ring: Ring):
    """Whose entry it is need not be looked up: what is said of it counts only in its author's own stream."""
    _, approval = approved(ring)
    ring.tell("trainer", "run.started", "run:x")
    ring.compromise("trainer", 0)
    ring.compromise("p-approver", approval.index)
    assert ring.reaffirm("trainer", approval.index, by="p-author").kind == "valid"
    assert suspicion(ring.world, signed_of(approval)) is not None


def test_root_is_never_suspect(ring: Ring):
    signed = Signed(0, NOW, ROOT_ACTOR, (), "muniment.ledger.created.v1", "ledger:x", None)
    assert suspicion(ring.world, signed) is None


def test_a_maze_of_keys_and_reaffirmations_is_quickly_seen_through(ring: Ring):
    """Whoever has one key of an emitter weaves keys and reaffirmations into each other, so that ways through them grow
    faster than any power: the answer must not follow each way."""
    until = 2**52
    assert ring.rotate("p-author", "p-author", "spare", until).kind == "valid"
    since, before = len(ring.view.leaves), "spare"
    rotations: list[int] = []
    for name in [f"maze-{number}" for number in range(20)]:
        signers = {before, name, *(() if rotations else ("p-author",))}
        assert ring.rotate("p-author", before, name, until, keys=[keyid(one) for one in signers]).kind == "valid"
        rotations.append(len(ring.view.leaves) - 1)
        before = name
    body = {"keyid": keyid("spare"), "since": since, "reason": "lost"}
    ring.tell("p-author", "key.compromised", "actor:p-author", body, keys=[keyid(before)])
    for index in rotations:
        assert ring.reaffirm("p-author", index, by="p-author", keys=[keyid(before)]).kind == "valid"
    signed = signed_of(ring.tell("p-author", "external.observed", "external:x", {"system": "s"}, keys=[keyid(before)]))
    assert suspicion(ring.world, signed) is None
    cause = ring.compromise("p-author", since)
    asked, state = 0, ring.world.state

    def counted(stream: str) -> Any:
        nonlocal asked
        asked += 1
        assert asked < 10_000, "it follows each way"
        return state(stream)

    ring.world.state = counted  # type: ignore[method-assign]
    doubt = suspicion(ring.world, signed)
    assert doubt is not None
    assert (doubt.index, doubt.cause, doubt.owner) == (signed.index, cause, "p-author")


def test_a_long_chain_of_reaffirmations_ends(ring: Ring):
    """Longer than the interpreter's stack: each speaks for the one before, and only the last is in good standing."""
    ring.new_key("p-author", "second")
    length, key, other = 3_000, keyid("p-author"), keyid("second")
    state = actor(ring, "p-author")
    entries = {n: Signed(n, NOW, "p-author", (key,), "x", "x", None) for n in range(50, 50 + length)}
    last = Signed(50 + length, NOW, "p-author", (other,), "x", "x", None)
    said = {n: entries.get(n + 1, last) for n in entries}
    stolen = replace(state.keys[key], compromised=(40, 60))
    keys = MappingProxyType({**state.keys, key: stolen})
    ring.world._states["actor:p-author"] = replace(state, keys=keys, reaffirmed=MappingProxyType(said))
    assert suspicion(ring.world, entries[50]) is None
    ring.world._states["actor:p-author"] = replace(
        state, keys=keys, reaffirmed=MappingProxyType({n: said[n] for n in said if n < 49 + length})
    )
    assert suspicion(ring.world, entries[50]) is not None
