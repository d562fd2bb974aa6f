"""Keys that were stolen: what they signed from an index on counts no more, nor what rests on it."""

from __future__ import annotations

from ledger.domain import judge, suspicion
from ledger.domain.decisions import marks_of
from ledger.domain.signed import ROOT_ACTOR, signed_of
from ledger.errors import AuthenticationError, ConflictError, InputError, NotAllowedError, PolicyError
from tests.unit.rings import Ring, actor, approved, keyid, words
from tests.unit.story import DIGEST, MODEL, Story, refused


def test_what_a_compromised_key_signed_counts_no_more(ring: Ring):
    _, approval = approved(ring)
    assert ring.may_authorise().kind == "valid"
    at = ring.compromise("p-approver", approval.index)
    verdict = ring.may_authorise()
    refused(verdict, PolicyError, "legality")
    refused(ring.observe("p-approver", "p-approver"), AuthenticationError, "key")
    found = suspicion(ring.world, signed_of(approval))
    assert found is not None
    assert (found.index, found.cause, found.keyid, found.owner) == (
        approval.index, at, keyid("p-approver"), "p-approver",
    )  # fmt: skip


def test_what_was_signed_before_the_window_stands(ring: Ring):
    _, approval = approved(ring)
    ring.tell("p-author", "run.started", "run:x")
    ring.compromise("p-approver", approval.index + 1)
    assert suspicion(ring.world, signed_of(approval)) is None
    assert ring.may_authorise().kind == "valid"


def test_answers_of_before_do_not_change():
    """The same event at the same index is judged alike, whether a key turned out to be stolen later or not."""
    stories = [Ring().people(), Ring().people()]
    for story in stories:
        approved(story)
        story.authorise()
    stories[1].compromise("p-approver", 0)
    at = len(stories[0].view.leaves)
    body = {"model": MODEL, "digest": DIGEST}
    assert stories[0].marks() == ()
    assert stories[1].marks() == ("unauthorised",)
    retold = Ring().people()
    approved(retold)
    retold.authorise()
    event = retold.event("p-deployer", "deployment.completed", "deployment:prod/x", body)
    assert event.index == at
    assert marks_of(retold.world, event) == ()


def test_a_suspect_authorisation_covers_nothing(ring: Ring):
    approved(ring)
    given = ring.authorise()
    assert ring.marks() == ()
    ring.new_key("p-deployer", "deployer-2")
    ring.compromise("p-deployer", given.index)
    body = {"model": MODEL, "digest": DIGEST}
    event = ring.event(
        "p-deployer", "deployment.completed", "deployment:prod/x", body, keys=[keyid("deployer-2")]
    )  # fmt: skip
    assert judge(ring.world, event).kind == "valid", "facts are never refused"
    assert marks_of(ring.world, event) == ("unauthorised",)
    assert ring.reaffirm("p-deployer", given.index, by="p-deployer", keys=[keyid("deployer-2")]).kind == "valid"
    assert marks_of(ring.world, event) == ()


def test_who_was_enrolled_by_a_thief_does_not_count(ring: Ring):
    """An admin's key was stolen and a false approver enrolled: the approval falls with the enrolment."""
    ring.version()
    request = ring.request()
    since = len(ring.view.leaves)
    ring.enrol("p-false", ["approver", "emitter"])
    ring.new_key("p-second", "second-2")
    approval = ring.approve(request, by="p-false")
    assert ring.may_authorise().kind == "valid"
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    refused(ring.may_authorise(), PolicyError, "legality")
    verdict = ring.observe("p-false", "p-false")
    refused(verdict, AuthenticationError, "key")
    assert verdict.error is not None
    assert "counts no more" in verdict.error.message
    refused(ring.observe("p-second", "second-2"), AuthenticationError, "key")
    assert ring.judge("p-second", "run.started", "run:x").kind == "void", "an approver emits nothing"
    assert suspicion(ring.world, signed_of(approval)) is not None
    assert ring.reaffirm("p-admin", since, by="p-chief").kind == "valid"
    assert ring.may_authorise().kind == "valid"


def test_a_role_granted_by_a_thief_does_not_count(ring: Ring):
    ring.version()
    request = ring.request()
    since = len(ring.view.leaves)
    ring.grant("p-deployer", "approver")
    approval = ring.approve(request, by="p-deployer")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    assert ring.may_authorise().kind == "valid"
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    refused(ring.may_authorise(), PolicyError, "legality")
    refused(ring.judge("p-deployer", "approval.granted", MODEL, Story.grant(ring, request)), NotAllowedError,
            "legality")  # fmt: skip
    assert suspicion(ring.world, signed_of(approval)) is not None
    own = ring.event("p-deployer", "deployment.requested", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    assert suspicion(ring.world, signed_of(own)) is None, "its other roles are in order"


def test_a_role_granted_again_in_good_standing_counts(ring: Ring):
    """Of two suspect grants the first is named; a good one behind them is enough."""
    fact = ("external.observed", "external:x", {"system": "s"})
    first = ring.grant("p-second", "emitter").index
    ring.tell("p-author", "run.started", "run:x")
    ring.grant("p-second", "emitter")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.compromise("p-admin", first, by=ROOT_ACTOR)
    assert f"entry {first} is suspect" in words(ring.judge("p-second", *fact))
    ring.grant("p-second", "emitter", by="p-chief")
    ring.tell("p-author", "run.started", "run:x")
    assert suspicion(ring.world, signed_of(ring.tell("p-second", *fact))) is None


def test_nothing_signed_by_an_actor_brought_in_by_root_is_asked_about(ring: Ring):
    """That saves asking about every admin at every event of others."""
    assert actor(ring, "p-admin").rooted
    assert not actor(ring, "p-author").rooted
    ring.grant("p-admin", "emitter", by=ROOT_ACTOR)
    ring.new_key("p-admin", "admin-2", by=ROOT_ACTOR)
    assert actor(ring, "p-admin").rooted
    ring.compromise("p-admin", len(ring.view.leaves), key="admin-2", by=ROOT_ACTOR)
    assert not actor(ring, "p-admin").rooted
    other = Ring().people()
    other.rotate("p-admin", "p-admin", "admin-2")
    assert not actor(other, "p-admin").rooted


def test_a_good_key_beside_a_bad_one_is_enough(ring: Ring):
    ring.version()
    request = ring.request()
    ring.new_key("p-approver", "approver-2")
    keys = sorted([keyid("p-approver"), keyid("approver-2")])
    approval = ring.approve(request, keys=keys)
    ring.compromise("p-approver", approval.index)
    assert ring.may_authorise().kind == "valid"
    ring.compromise("p-approver", approval.index, key="approver-2")
    refused(ring.may_authorise(), PolicyError, "legality")


def test_a_window_only_widens(ring: Ring):
    first, second = (ring.tell("trainer", "run.started", "run:x") for _ in range(2))
    ring.compromise("trainer", second.index)
    assert suspicion(ring.world, signed_of(first)) is None
    for since in (second.index, second.index + 1):
        body = {"keyid": keyid("trainer"), "since": since, "reason": "x"}
        refused(ring.judge("p-admin", "key.compromised", "actor:trainer", body), ConflictError, "legality")
    ring.compromise("trainer", first.index)
    assert suspicion(ring.world, signed_of(first)) is not None
    body = {"keyid": keyid("p-second"), "since": len(ring.view.leaves) + 1, "reason": "x"}
    refused(ring.judge("p-admin", "key.compromised", "actor:p-second", body), InputError, "schema")
    refused(ring.judge("p-admin", "key.compromised", "actor:trainer", {**body, "since": 0}), InputError, "schema")


def test_a_key_that_ended_before_may_turn_out_to_have_been_stolen(ring: Ring):
    run = ring.tell("trainer", "run.started", "run:x")
    ring.tell("p-admin", "key.revoked", "actor:trainer", {"keyid": keyid("trainer"), "reason": "lost"})
    ring.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "gone"})
    ring.compromise("trainer", run.index)
    assert suspicion(ring.world, signed_of(run)) is not None


def test_who_may_say_that_a_key_was_stolen(ring: Ring):
    body = {"keyid": keyid("trainer"), "since": 0, "reason": "x"}
    refused(ring.judge("p-second", "key.compromised", "actor:trainer", body), NotAllowedError, "legality")
    assert ring.judge("trainer", "key.compromised", "actor:trainer", body).kind == "valid"
    assert ring.judge("p-admin", "key.compromised", "actor:trainer", body).kind == "valid"
    assert ring.judge(ROOT_ACTOR, "key.compromised", "actor:trainer", body).kind == "valid"
