"""Keys and roles as of an index: rotated, revoked, compromised; granted for a while; and who may leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain import ActorState, LedgerState, RecordedEvent, Verdict, judge, suspicion
from ledger.domain.actors import FOREVER
from ledger.domain.authorising import deployment_doubt
from ledger.domain.decisions import marks_of
from ledger.domain.keyring import MAX_GRANTS
from ledger.domain.lifecycle import version_of
from ledger.domain.scopes import covers_stream, covers_type, matches
from ledger.domain.signed import ROOT_ACTOR, Signed, signed_of
from ledger.entry import format_time
from ledger.errors import AuthenticationError, ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.actors import ROLES
from ledger.events.ledgers import Rule, RuleSet
from ledger.keys import PublicKey, format_public_key
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, format_vkey, parse_vkey
from tests.unit.test_judge import DIGEST, LEDGERID, MODEL, NOW, ROOTS, VKEY, WAIVER, Story, hint_of, key_of, refused

SECOND = 1_000_000
ORIGIN = "ledger.example/unit"


def keyid(name: str) -> str:
    return key_of(name).public.keyid


def actor(story: Story, name: str) -> ActorState:
    state = story.world.state(f"actor:{name}")
    assert isinstance(state, ActorState)
    return state


class Ring(Story):
    """A story about keys: its admin is ``p-admin``, whose key only the root keys and itself touch."""

    def rotate(
        self, name: str, old: str, new: str, until: int = 0, *, by: str | None = None, keys: Sequence[str] | None = None
    ) -> Verdict:
        signers = [old] if by is None else [by]
        signed = sorted(keyid(one) for one in (*signers, new)) if keys is None else sorted(keys)
        if by == ROOT_ACTOR and keys is None:
            signed = sorted([*(root.public.keyid for root in self.roots), keyid(new)])
        body = {"keyid": keyid(old), "key": format_public_key(key_of(new).public), "until": until}
        event = self.event(by or name, "key.rotated", f"actor:{name}", body, keys=signed)
        verdict = judge(self.world, event)
        if verdict.kind == "valid":
            self.fold(event)
        return verdict

    def compromise(self, name: str, since: int, *, by: str = "p-admin", key: str | None = None) -> int:
        body = {"keyid": keyid(key or name), "since": since, "reason": "laptop stolen"}
        return self.tell(by, "key.compromised", f"actor:{name}", body).index

    def reaffirm(self, name: str, index: int, *, by: str, **options: Any) -> Verdict:
        body = {"index": index, "leaf_hash": self.view.leaves[index].hex(), "reason": "ours"}
        event = self.event(by, "entry.reaffirmed", f"actor:{name}", body, **options)
        verdict = judge(self.world, event)
        if verdict.kind == "valid":
            self.fold(event)
        return verdict

    def new_key(self, name: str, new: str, *, by: str = "p-admin") -> None:
        own = [root.public.keyid for root in self.roots] if by == ROOT_ACTOR else [keyid(by)]
        data = {"key": format_public_key(key_of(new).public)}
        self.tell(by, "key.enrolled", f"actor:{name}", data, keys=sorted([*own, keyid(new)]))

    def grant(self, name: str, role: str, *, by: str = "p-admin", **body: Any) -> Any:  # type: ignore[override]
        return self.tell(by, "role.granted", f"actor:{name}", {"role": role, **body})

    def observe(self, name: str, *keys: str) -> Verdict:
        return self.judge(name, "external.observed", "external:x", {"system": "s"}, keys=sorted(map(keyid, keys)))

    def people(self) -> Ring:
        super().people()
        return self

    def approve(self, request: str, *, by: str = "p-approver", **options: Any) -> Any:
        return self.tell(by, "approval.granted", MODEL, Story.grant(self, request), **options)

    def authorise(self, **options: Any) -> Any:
        body = {"model": MODEL, "digest": DIGEST}
        return self.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body, **options)

    def may_authorise(self) -> Verdict:
        body = {"model": MODEL, "digest": DIGEST}
        return self.judge("p-deployer", "deployment.authorised", "deployment:prod/x", body)

    def marks(self) -> tuple[str, ...]:
        body = {"model": MODEL, "digest": DIGEST}
        return marks_of(self.world, self.event("p-deployer", "deployment.completed", "deployment:prod/x", body))


@pytest.fixture
def ring() -> Ring:
    return Ring().people()


# -- rotation --------------------------------------------------------------------------------------


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


# -- who may ---------------------------------------------------------------------------------------


def words(verdict: Verdict) -> str:
    refused(verdict, NotAllowedError, "legality")
    assert verdict.error is not None
    return verdict.error.message


def test_why_a_role_does_not_do_is_said(ring: Ring):
    what = "muniment.actor.revoked.v1 needs the role admin"
    leave = ("actor.revoked", "actor:trainer", {"reason": "x"})
    assert words(ring.judge("p-author", *leave)) == f"{what} or the root keys"
    ring.enrol("p-chief", ["owner"], by=ROOT_ACTOR)
    ring.tell(ROOT_ACTOR, "role.granted", "actor:p-chief", {"role": "admin", "until": format_time(NOW + SECOND)})
    assert ring.judge("p-chief", *leave).until == NOW + SECOND
    ring.now = NOW + SECOND
    ended = format_time(NOW + SECOND)
    assert words(ring.judge("p-chief", *leave)) == f"{what}; that of 'p-chief' expired at {ended}"
    ring.tell(ROOT_ACTOR, "role.granted", "actor:p-chief", {"role": "admin", "types": ["key.*"]})
    assert words(ring.judge("p-chief", *leave)) == f"{what}; that of 'p-chief' expired at {ended}"
    fact = ("external.observed", "external:x", {"system": "s"})
    needs = "external.observed needs the role emitter; 'p-deployer' has deployer"
    assert words(ring.judge("p-deployer", *fact)) == needs
    ring.tell("p-admin", "role.granted", "actor:p-deployer", {"role": "emitter", "subjects": ["model:*"]})
    reach = "external.observed needs the role emitter; that of 'p-deployer' does not reach external:x"
    assert words(ring.judge("p-deployer", *fact)) == reach
    ring.tell("p-admin", "role.revoked", "actor:p-deployer", {"role": "emitter", "reason": "x"})
    assert words(ring.judge("p-deployer", *fact)) == needs
    ring.tell("p-admin", "role.revoked", "actor:p-deployer", {"role": "deployer", "reason": "x"})
    assert words(ring.judge("p-deployer", *fact)).endswith("; 'p-deployer' has none")
    since = len(ring.view.leaves)
    ring.grant("p-second", "emitter")
    ring.enrol("p-boss", ["admin"], by=ROOT_ACTOR)
    stolen = ring.compromise("p-admin", since, by=ROOT_ACTOR)
    assert words(ring.judge("p-second", *fact)) == (
        "external.observed needs the role emitter; that of 'p-second' counts no more: "
        f"entry {since} is suspect: entry {stolen} says that a key of p-admin was compromised"
    )


def test_a_grant_stands_from_behind_itself_to_its_end(ring: Ring):
    given = ring.grant("p-second", "emitter").index
    ring.tell("p-author", "run.started", "run:x")
    ended = ring.tell("p-admin", "role.revoked", "actor:p-second", {"role": "emitter", "reason": "x"}).index
    grant = actor(ring, "p-second").grants[-1]
    assert [index for index in range(ended + 3) if grant.stands_at(index)] == list(range(given + 1, ended + 1))


# -- compromised -----------------------------------------------------------------------------------


def approved(ring: Ring) -> tuple[str, Any]:
    ring.version()
    request = ring.request()
    return request, ring.approve(request)


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


def doubt(ring: Ring, deployment: str = "deployment:prod/x", model: str = MODEL, digest: str = DIGEST) -> int | None:
    found = deployment_doubt(ring.world, deployment, model, digest)
    return None if found is None else found.index


def test_what_is_live_rests_on_nothing_suspect_while_nothing_is(ring: Ring):
    assert doubt(ring) is None, "no such model"
    ring.version()
    assert doubt(ring) is None, "neither a deployment nor an approval"
    assert doubt(ring, model="model:m@2") is None, "no such version"
    ring.approve(ring.request())
    ring.authorise()
    assert doubt(ring) is None


@pytest.mark.parametrize("authorised", [False, True])
def test_what_is_live_rests_on_approvals_and_on_the_registration(ring: Ring, authorised: bool):
    _, approval = approved(ring)
    if authorised:
        ring.authorise()
    ring.tell("p-author", "run.started", "run:x")
    ring.compromise("p-approver", approval.index)
    assert doubt(ring) == approval.index
    registered = version_of(ring.world, MODEL).version.signed.index
    ring.compromise("trainer", registered)
    assert doubt(ring) == registered, "the registration comes first"


def test_what_is_live_rests_on_what_was_asked_for_in_its_own_environment(ring: Ring):
    ring.version()
    ring.new_key("p-author", "author-2")
    asked = len(ring.view.leaves)
    for environment in ("dev", "prod", "staging"):
        request = ring.request(environment)
        ring.tell("p-approver", "approval.granted", MODEL, Story.grant(ring, request, environment))
    ring.compromise("p-author", asked + 2)
    assert (doubt(ring, "deployment:dev/x"), doubt(ring)) == (None, asked + 2)
    assert doubt(ring, "deployment:staging/x") == asked + 4
    assert doubt(ring, "deployment:test/x") is None, "neither asked for nor approved"
    ring.reaffirm("p-author", asked + 2, by="p-author", keys=[keyid("author-2")])
    assert (doubt(ring), doubt(ring, "deployment:staging/x")) == (None, asked + 4)


@pytest.mark.parametrize("tier", ["high", "low"])
def test_what_is_live_rests_on_its_own_authorisation(tier: str):
    """At tier low no rule asks for one in `dev`; a suspect one is told nevertheless."""
    ring = Ring(RuleSet(name="own", rules=(
        Rule(environment="dev", tier="low", authorisation=False, approvals=0, evaluation=False),
        Rule(environment="*", tier="*", authorisation=True, approvals=1, evaluation=True),
    ))).people()  # fmt: skip
    ring.version(tier=tier)
    for environment in ("dev", "prod"):
        ring.tell("p-approver", "approval.granted", MODEL, Story.grant(ring, ring.request(environment), environment))
    place, body = "deployment:dev/x", {"model": MODEL, "digest": DIGEST}
    given = ring.tell("p-deployer", "deployment.authorised", place, body)
    ring.compromise("p-deployer", given.index)
    assert doubt(ring, place) == given.index
    assert doubt(ring) is None, "another deployment"
    assert doubt(ring, place, digest="sha256:" + "cd" * 32) is None, "what is live is not what was authorised"
    assert doubt(ring, place, model="model:m@2") is None
    ring.compromise("p-approver", 0)
    assert doubt(ring) is not None
    other = doubt(ring, place, digest="sha256:" + "cd" * 32)
    assert (other is None) is (tier == "low"), "approvals count where the rules ask for them"


def test_an_emergency_rests_on_no_approval_and_where_nothing_is_ruled_only_the_entry_counts():
    rule = Rule(environment="prod", tier="*", authorisation=True, approvals=1, evaluation=False)
    ring = Ring(RuleSet(name="own", rules=(rule,))).people()
    _, approval = approved(ring)
    body = {"model": MODEL, "digest": DIGEST, "emergency": {"reason": "x", "review_by": format_time(NOW + SECOND)}}
    given = ring.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body)
    ring.compromise("p-approver", approval.index)
    assert doubt(ring) is None
    assert doubt(ring, "deployment:prod/y") == approval.index
    assert doubt(ring, "deployment:dev/x") is None, "no rule for dev"
    ring.compromise("p-deployer", given.index)
    assert doubt(ring) == given.index
    registered = version_of(ring.world, MODEL).version.signed.index
    ring.compromise("trainer", registered)
    assert doubt(ring, "deployment:dev/x") == registered


def test_a_suspect_evaluation_is_none(ring: Ring):
    ring.version(passed=False)
    ring.enrol("p-tester", ["validator"])
    ring.enrol("p-tester-2", ["validator"])
    body = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST}
    tested = ring.tell("p-tester", "evaluation.completed", MODEL, body)
    request = ring.request()
    grant = ("p-approver", "approval.granted", MODEL, Story.grant(ring, request))
    assert ring.judge(*grant).kind == "valid"
    ring.tell(*grant)
    assert ring.may_authorise().kind == "valid"
    ring.authorise()
    ring.compromise("p-tester", tested.index)
    refused(ring.judge("p-second", *grant[1:]), PolicyError, "legality")
    refused(ring.may_authorise(), PolicyError, "legality")
    assert ring.marks() == ("unauthorised",)
    ring.tell("p-tester-2", "evaluation.completed", MODEL, body)
    assert ring.may_authorise().kind == "valid", "measured again"
    assert ring.marks() == ()


def test_a_suspect_request_is_answered_by_nobody(ring: Ring):
    ring.version()
    index = len(ring.view.leaves)
    request = ring.request()
    ring.approve(request)
    ring.compromise("p-author", index)
    refused(ring.may_authorise(), PolicyError, "legality")
    refused(ring.judge("p-second", "approval.granted", MODEL, Story.grant(ring, request)), PolicyError, "legality")


def test_a_suspect_registration_is_decided_about_by_nobody(ring: Ring):
    ring.version()
    registered = actor(ring, "trainer").signed.index
    request = ring.request()
    ring.approve(request)
    ring.compromise("trainer", registered + 1)
    refused(ring.may_authorise(), PolicyError, "legality")
    refused(ring.judge("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST}), PolicyError,
            "legality")  # fmt: skip
    assert ring.marks() == ("unauthorised",)


def test_a_suspect_rejection_still_holds(ring: Ring):
    ring.version()
    request = ring.request()
    body = {**Story.grant(ring, request), "rationale": "unfit"}
    rejected = ring.tell("p-approver", "approval.rejected", MODEL, body)
    ring.compromise("p-approver", rejected.index)
    refused(ring.judge("p-second", "approval.granted", MODEL, Story.grant(ring, request)), PolicyError, "legality")


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


def test_what_is_live_rests_on_as_many_good_approvals_as_are_asked_for(ring: Ring):
    approvals = [approved(ring)[1], ring.approve(ring.request(), by="p-second")]
    for number, environment in enumerate(("dev", "staging")):
        ring.enrol(f"p-{environment}", ["approver"])
        body = Story.grant(ring, ring.request(environment), environment)
        approvals.append(ring.tell(f"p-{environment}", "approval.granted", MODEL, body))
        assert number + 3 == len(approvals)
    ring.authorise()
    live = ("p-deployer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    ring.compromise("p-approver", approvals[0].index)
    assert (doubt(ring), ring.marks()) == (None, ()), "the second one stands"
    assert marks_of(ring.world, ring.event(*live)) == ()
    ring.compromise("p-second", approvals[1].index)
    assert (doubt(ring), ring.marks()) == (approvals[0].index, ("unauthorised",)), "others are for elsewhere"


def test_where_no_approval_is_asked_for_no_evaluation_is():
    rule = Rule(environment="*", tier="*", authorisation=True, approvals=0, evaluation=True)
    ring = Ring(RuleSet(name="own", rules=(rule,))).people()
    ring.version()
    measured = version_of(ring.world, MODEL).version.evaluations[0].index
    ring.new_key("trainer", "trainer-2")
    ring.authorise()
    ring.compromise("trainer", measured)
    assert (doubt(ring), ring.marks()) == (None, ())


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


@pytest.mark.parametrize("subject", ["ledger:" + "00" * 16, "ledger:" + "cd" * 16])
def test_what_is_said_of_another_ledger_is_not_said_here(ring: Ring, subject: str):
    table = DEFAULT_RULES.model_dump(mode="json")
    said: dict[str, tuple[str, dict[str, Any]]] = {
        "ledger.rules_changed": (ROOT_ACTOR, {"rules": table, "reason": "x"}),
        "hold.placed": ("p-admin", {"subjects": ["nothing:*"], "matter": "m", "reason": "x"}),
        "ledger.entry_acknowledged": ("p-admin", {"index": 0, "leaf_hash": ring.view.leaves[0].hex(), "reason": "x"}),
    }
    for kind, (by, body) in said.items():
        assert ring.judge(by, kind, f"ledger:{LEDGERID}", body).kind == "valid"
        told = ring.judge(by, kind, subject, body)
        refused(told, InputError, "schema")
        assert str(told.error) == f"the subject must be this ledger: ledger:{LEDGERID}"


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"tier": "hihg"}, {}), ({"authorisation": False}, {}),
        ({"authorisation": False, "approvals": 0, "evaluation": False, "roles": ["validator"]}, {}),
        ({}, {"waivers": [{"environment": "*", "tier": "Low", "days": 1}]}),
    ],
)  # fmt: skip
def test_rules_that_would_hold_nothing_up_are_none(ring: Ring, change: dict[str, Any], more: dict[str, Any]):
    rule = {"environment": "prod", "tier": "high", "authorisation": True, "approvals": 1, "evaluation": True}
    for changes, others in (({}, {}), (change, more)):
        body = {"rules": {"name": "x", "rules": [rule | changes], **others}, "reason": "x"}
        told = ring.judge(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{LEDGERID}", body)
        if changes or others:
            refused(told, InputError, "schema")
        else:
            assert told.kind == "valid"


def test_an_acknowledged_entry_is_known_by_its_leaf_hash(ring: Ring):
    for index in (1, 3):
        body = {"index": index, "leaf_hash": ring.view.leaves[index].hex(), "reason": "x"}
        ring.tell("p-admin", "ledger.entry_acknowledged", f"ledger:{LEDGERID}", body)
    state = ring.world.state(f"ledger:{LEDGERID}")
    assert isinstance(state, LedgerState)
    assert state.acknowledged == {(index, ring.view.leaves[index].hex()) for index in (1, 3)}
    future = {"index": len(ring.view.leaves), "leaf_hash": "00" * 32, "reason": "x"}
    refused(ring.judge("p-admin", "ledger.entry_acknowledged", f"ledger:{LEDGERID}", future), InputError, "schema")


def test_a_revoked_actor_signs_nothing_from_there_on(ring: Ring):
    at = ring.tell("p-admin", "actor.revoked", "actor:trainer", {"reason": "x"}).index
    for index, is_good in ((at - 1, True), (at, False), (at + 1, False), (at + 9, False)):
        told = ring.judge("trainer", "run.started", "run:x", index=index)
        assert (told.kind == "valid") is is_good, index
        assert is_good or str(told.error) == f"the actor 'trainer' was revoked at index {at}"


def test_where_no_admin_is_left_things_go_on(ring: Ring):
    ring.fold(ring.event(ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"}))  # legal nowhere
    assert ring.judge(ROOT_ACTOR, "actor.revoked", "actor:trainer", {"reason": "x"}).kind == "valid"


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


@pytest.mark.parametrize("kind", ["key.revoked", "key.compromised", "key.rotated"])
def test_a_key_that_is_not_the_actors(ring: Ring, kind: str):
    """Whoever names another actor's key, or one nobody has, is told so; nothing else happens."""
    for key in ("p-author", "nobody's"):
        body: dict[str, Any] = {"keyid": keyid(key), "reason": "x"}
        body |= {"since": 0} if kind == "key.compromised" else {}
        body |= {"key": format_public_key(key_of("new").public), "until": 0} if kind == "key.rotated" else {}
        keys = sorted([keyid("p-admin"), *([keyid("new")] if kind == "key.rotated" else [])])
        refused(ring.judge("p-admin", kind, "actor:trainer", body, keys=keys), InputError, "schema")


def test_who_may_say_that_a_key_was_stolen(ring: Ring):
    body = {"keyid": keyid("trainer"), "since": 0, "reason": "x"}
    refused(ring.judge("p-second", "key.compromised", "actor:trainer", body), NotAllowedError, "legality")
    assert ring.judge("trainer", "key.compromised", "actor:trainer", body).kind == "valid"
    assert ring.judge("p-admin", "key.compromised", "actor:trainer", body).kind == "valid"
    assert ring.judge(ROOT_ACTOR, "key.compromised", "actor:trainer", body).kind == "valid"


# -- reaffirmed ------------------------------------------------------------------------------------


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


# -- roles within bounds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a", "a", True), ("a", "b", False), ("*", "", True), ("*", "abc", True), ("a*", "a", True), ("a*", "b", False),
        ("*a", "ba", True), ("*a", "ab", False), ("a*b", "ab", True), ("a*b", "aXb", True), ("a*b", "a", False),
        ("aa*aa", "aaa", False), ("aa*aa", "aaaa", True), ("a*b*c", "abbc", True), ("a*b*c", "acb", False),
        ("*ab*b", "ab", False), ("*ab*b", "abb", True), ("a*b*b", "ab", False),
        ("**", "x", True), ("*x*x*", "x", False), ("*x*x*", "axbxc", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, fits: bool):
    assert matches(pattern, text) is fits


def test_patterns_are_quick():
    assert not matches("*a" * 60 + "*b", "a" * 200)


@pytest.mark.parametrize(
    ("pattern", "stream", "fits"),
    [
        ("model:credit/*", "model:credit/x", True), ("model:credit/*", "model:credit", False),
        ("model:credit/*", "model:debit/x", False), ("model:*", "model:x", True), ("model:*", "model:credit/x", False),
        ("model:*/*", "model:credit/x", True), ("model:*/*", "model:x", False), ("*:*", "run:x", True),
        ("*:*", "run:a/x", False), ("deployment:prod/*", "deployment:prod/x", True),
        ("deployment:prod/*", "deployment:production/x", False), ("run:x", "run:x", True), ("run:x", "run:xx", False),
        ("run:*", "model:run", False),
    ],
)  # fmt: skip
def test_streams_within_bounds(pattern: str, stream: str, fits: bool):
    assert covers_stream((pattern,), stream) is fits
    assert covers_stream(("nothing:here", pattern), stream) is fits
    assert covers_stream((), stream)


def test_types_within_bounds():
    assert covers_type((), "muniment.run.completed.v1")
    assert covers_type(("run.completed",), "muniment.run.completed.v2")
    assert covers_type(("run.*",), "muniment.run.failed.v1")
    assert not covers_type(("run.*",), "muniment.runner.failed.v1")
    assert not covers_type(("run.completed",), "muniment.run.failed.v1")


@pytest.mark.parametrize(
    "body",
    [
        {"types": ["run"]}, {"types": ["*"]}, {"types": ["run.comp*"]}, {"types": ["muniment.run.completed.v1"]},
        {"subjects": ["model"]}, {"subjects": ["model:a@1"]}, {"subjects": ["model:a/b/c"]}, {"subjects": ["model:?"]},
        {"environments": ["pr*d"]}, {"until": "2026-01-01"}, {"until": "2026-01-01T00:00:00Z"}, {"role": "chief"},
        {"subjects": ["model:a"] * 33},
    ],
    ids=str,
)  # fmt: skip
def test_bounds_that_are_none(ring: Ring, body: dict[str, Any]):
    with pytest.raises(InputError):
        ring.event("p-admin", "role.granted", "actor:trainer", {"role": "owner", **body})


def test_a_time_that_is_none(ring: Ring):
    body = {"role": "owner", "until": "2026-13-01T00:00:00.000000Z"}
    refused(ring.judge("p-admin", "role.granted", "actor:trainer", body), InputError, "schema")


def test_a_role_reaches_as_far_as_it_was_granted(ring: Ring):
    ring.enrol("ci", ["auditor"], kind="service", responsible="p-author")
    refused(ring.judge("ci", "run.started", "run:a/x"), NotAllowedError, "legality")
    ring.grant("ci", "emitter", types=["run.*"], subjects=["run:a/*", "deployment:*/*"])
    assert ring.judge("ci", "run.started", "run:a/x").kind == "valid"
    for kind, subject, body in (
        ("run.started", "run:b/x", {}),
        ("dataset.registered", "dataset:a/x", {"digest": DIGEST}),
        ("deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    ):
        verdict = ring.judge("ci", kind, subject, body)
        refused(verdict, NotAllowedError, "legality")
        assert verdict.error is not None
        assert "does not reach" in verdict.error.message


def test_a_role_for_an_environment(ring: Ring):
    ring.version()
    ring.enrol("p-junior", ["auditor"])
    ring.grant("p-junior", "approver", environments=["staging"])
    ring.grant("p-junior", "deployer", environments=["staging"])
    body = {"model": MODEL, "digest": DIGEST}
    for environment, kind in (("staging", "valid"), ("prod", "void")):
        request = ring.request(environment)
        assert ring.judge("p-junior", "approval.granted", MODEL, Story.grant(ring, request, environment)).kind == kind
        requested = ring.judge("p-junior", "deployment.requested", f"deployment:{environment}/x", body)
        assert requested.kind == kind
        gate = {
            "environment": environment, "policy": "policy:p@1", "policy_digest": DIGEST, "digest": DIGEST,
            "input_digest": DIGEST, "size": 1, "as_of": format_time(NOW), "result": "deny", "checks": [], "engine": "e",
        }  # fmt: skip
        assert ring.judge("p-junior", "gate.evaluated", MODEL, gate).kind == kind
        used = {"deployment": f"deployment:{environment}/x", "model": MODEL}
        reached = "never asked for" if kind == "valid" else "does not reach"
        assert reached in str(ring.judge("p-junior", "waiver.used", "waiver:w", used).error)
    ring.grant("p-junior", "emitter", environments=["staging"])
    refused(ring.judge("p-junior", "run.started", "run:x"), NotAllowedError, "legality")  # it names no environment
    named = ring.judge("p-junior", "dataset.registered", "dataset:staging/x", {"digest": DIGEST})
    refused(named, NotAllowedError, "legality")  # a namespace of that name is none


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_a_role_for_an_environment_decides_what_becomes_of_approvals_and_waivers_there(ring: Ring, environment: str):
    ring.version()
    ring.enrol("p-junior", ["auditor"])
    ring.grant("p-junior", "approver", environments=["staging"])
    kind = "valid" if environment == "staging" else "void"
    ring.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "environment": environment})
    ring.version()
    request = ring.request(environment)
    body = {**Story.grant(ring, request, environment), "conditions": ["x"]}
    approval = ring.tell("p-approver", "approval.granted", MODEL, body).payload.id
    decided: list[tuple[str, str, dict[str, Any]]] = [
        ("approval.revoked", MODEL, {"approval": approval, "rationale": "x"}),
        ("approval.condition_met", MODEL, {"approval": approval, "condition": 0}),
        ("waiver.granted", "waiver:w", {"rationale": "x"}),
        ("waiver.denied", "waiver:w", {"rationale": "x"}),
        ("waiver.revoked", "waiver:w", {"reason": "x"}),
    ]
    for name, subject, data in decided:
        assert ring.judge("p-junior", name, subject, {**data, "environment": environment}).kind == kind, name
        refused(ring.judge("p-junior", name, subject, data), NotAllowedError, "legality")  # it names no environment
        assert ring.judge("p-approver", name, subject, data).kind == "valid", "whose role is not bound"
        other = {"staging": "prod", "prod": "staging"}[environment]
        told = ring.judge("p-approver", name, subject, {**data, "environment": other})
        refused(told, PolicyError, "legality")
        assert f"is for {environment}, not" in str(told.error)


@pytest.mark.parametrize(("environment", "reaches"), [("staging", True), ("prod", False)])
def test_a_role_for_one_environment_sends_back_passes_on_and_demotes_there(ring: Ring, environment: str, reaches: bool):
    for actor, role in (("p-junior", "approver"), ("p-ships", "deployer")):
        ring.enrol(actor, ["auditor"])
        ring.grant(actor, role, environments=["staging"])
    ring.version()
    request = ring.request(environment)
    body = {"environment": environment, "digest": DIGEST, "request": request}
    kind = "valid" if reaches else "void"
    for actor, decision, more in (
        ("p-junior", "approval.changes_requested", {**body, "changes": ["measure more"]}),
        ("p-junior", "approval.escalated", {**body, "rationale": "x", "to_actor": "p-second"}),
        ("p-ships", "version.demoted", {"environment": environment, "reason": "drifts"}),
    ):
        assert ring.judge(actor, decision, MODEL, more).kind == kind, decision


@pytest.mark.parametrize(
    ("pattern", "model", "reaches"),
    [
        ("model:team/*", "model:team/x", True), ("model:team/*", "model:team/x@1", True),
        ("model:team/*", "model:other/x", False), ("model:team/*", "model:x", False), ("model:x", "model:t/x", False),
        ("waiver:w", "model:other/x", True), ("waiver:team/*", "model:team/x", False), ("run:*", "model:team/x", False),
    ],
)  # fmt: skip
def test_a_role_for_models_decides_about_waivers_for_them_and_no_others(
    ring: Ring, pattern: str, model: str, reaches: bool
):
    for actor, role in (("p-junior", "approver"), ("p-team", "owner"), ("p-ships", "deployer")):
        ring.enrol(actor, ["auditor"])
        ring.grant(actor, role, subjects=[pattern])
    kind = "valid" if reaches else "void"
    assert ring.judge("p-team", "waiver.requested", "waiver:w", {**WAIVER, "model": model}).kind == kind
    ring.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "model": model})
    decided = [(f"waiver.{how}", "p-junior", {"rationale": "x"}) for how in ("granted", "denied")]
    for decision, actor, body in (*decided, ("waiver.revoked", "p-team", {"reason": "x"})):
        grant = (actor, decision, "waiver:w")
        assert ring.judge(*grant, {**body, "model": model}).kind == kind, decision
        named = ring.judge(*grant, body).kind == "valid"
        assert named is pattern.startswith("waiver:w"), "it names no model"
        other = ring.judge(*grant, {**body, "model": "model:team/other"})
        assert other.kind == "void", "the waiver is for another model"
    ring.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    used = {"deployment": "deployment:prod/x", "model": model if "@" in model else f"{model}@1"}
    assert ring.judge("p-ships", "waiver.used", "waiver:w", used).kind == kind


def test_a_role_expires_by_the_time_of_recording(ring: Ring):
    end = NOW + 60 * SECOND
    ring.enrol("ci", ["auditor"], kind="service", responsible="p-author")
    ring.grant("ci", "emitter", until=format_time(end))
    for now, kind in ((NOW, "valid"), (end - 1, "valid"), (end, "void"), (end + 1, "void")):
        ring.now = now
        verdict = ring.judge("ci", "run.started", "run:x")
        assert (verdict.kind, verdict.until) == (kind, end if kind == "valid" else FOREVER)
    assert "expired" in str(ring.judge("ci", "run.started", "run:x").error)
    ring.now = NOW
    ring.grant("ci", "deployer", types=["run.*"], until=format_time(end + SECOND))
    assert ring.judge("ci", "run.started", "run:x").until == end, "a deployer starts no runs"
    ring.grant("ci", "emitter", until=format_time(end + SECOND))
    assert ring.judge("ci", "run.started", "run:x").until == end + SECOND, "the latest counts"
    ring.grant("ci", "emitter")
    assert ring.judge("ci", "run.started", "run:x").until == FOREVER


def test_an_admin_for_a_while(ring: Ring):
    end = NOW + SECOND
    ring.enrol("p-relief", ["auditor"])
    ring.grant("p-relief", "admin", by=ROOT_ACTOR, until=format_time(end))
    body = {"role": "owner"}
    verdict = ring.judge("p-relief", "role.granted", "actor:trainer", body)
    assert (verdict.kind, verdict.until) == ("valid", end)
    ring.now = end
    refused(ring.judge("p-relief", "role.granted", "actor:trainer", body), NotAllowedError, "legality")


def test_what_was_done_in_a_role_outlives_it(ring: Ring):
    ring.version()
    request = ring.request()
    ring.enrol("p-temp", ["auditor"])
    end = NOW + SECOND
    ring.grant("p-temp", "approver", until=format_time(end))
    ring.approve(request, by="p-temp")
    ring.now = end + SECOND
    assert ring.may_authorise().kind == "valid"
    ring.tell("p-admin", "role.revoked", "actor:p-temp", {"role": "approver", "reason": "done"})
    assert ring.may_authorise().kind == "valid"


def test_roles_end(ring: Ring):
    first = ring.grant("trainer", "owner")
    second = ring.grant("trainer", "owner", subjects=["model:x"])
    assert actor(ring, "trainer").roles == ("emitter", "owner")
    revoked = {"role": "owner", "grant": first.payload.id, "reason": "x"}
    ring.tell("p-admin", "role.revoked", "actor:trainer", revoked)
    refused(ring.judge("p-admin", "role.revoked", "actor:trainer", revoked), ConflictError, "legality")
    wrong = {**revoked, "role": "emitter", "grant": second.payload.id}
    refused(ring.judge("p-admin", "role.revoked", "actor:trainer", wrong), ConflictError, "legality")
    assert actor(ring, "trainer").roles == ("emitter", "owner")
    ring.tell("p-admin", "role.revoked", "actor:trainer", {"role": "owner", "reason": "x"})
    assert actor(ring, "trainer").roles == ("emitter",)
    ring.tell("trainer", "role.revoked", "actor:trainer", {"role": "emitter", "reason": "x"})
    assert actor(ring, "trainer").roles == (), "the roles of an enrolment end like others"
    refused(ring.judge("trainer", "run.started", "run:x"), NotAllowedError, "legality")


def test_who_may_grant_and_take_away(ring: Ring):
    owner = {"role": "owner"}
    refused(ring.judge("p-second", "role.granted", "actor:trainer", owner), NotAllowedError, "legality")
    refused(ring.judge("p-admin", "role.granted", "actor:trainer", {"role": "admin"}), NotAllowedError, "legality")
    refused(ring.judge("p-admin", "role.granted", "actor:p-admin", owner), NotAllowedError, "legality")
    assert ring.judge(ROOT_ACTOR, "role.granted", "actor:p-admin", owner).kind == "valid"
    assert ring.judge(ROOT_ACTOR, "role.granted", "actor:trainer", {"role": "admin"}).kind == "valid"
    ring.enrol("p-admin-2", ["owner"], by=ROOT_ACTOR, person="p-admin")
    refused(ring.judge("p-admin", "role.granted", "actor:p-admin-2", owner), NotAllowedError, "legality")
    ended = {"role": "owner", "reason": "x"}
    refused(ring.judge("p-admin", "role.revoked", "actor:p-admin-2", ended), NotAllowedError, "legality")
    refused(ring.judge("p-second", "role.revoked", "actor:p-author", ended), NotAllowedError, "legality")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    gone = {"role": "admin", "reason": "x"}
    refused(ring.judge("p-admin", "role.revoked", "actor:p-chief", gone), NotAllowedError, "legality")
    assert ring.judge("p-chief", "role.revoked", "actor:p-chief", gone).kind == "valid", "giving up one's own"
    assert ring.judge(ROOT_ACTOR, "role.revoked", "actor:p-chief", gone).kind == "valid"
    refused(ring.judge("p-admin", "role.granted", "actor:nobody", owner), ConflictError, "legality")


def test_grants_are_so_many(ring: Ring):
    for _ in range(MAX_GRANTS - 1):
        ring.grant("trainer", "owner")
    refused(ring.judge("p-admin", "role.granted", "actor:trainer", {"role": "owner"}), PolicyError, "legality")
    ring.tell("p-admin", "role.revoked", "actor:trainer", {"role": "owner", "reason": "x"})
    ring.grant("trainer", "owner")


# -- who answers -----------------------------------------------------------------------------------


def test_nobody_decides_for_whom_nobody_answers(ring: Ring):
    """Facts and protection are recorded all the same; requests and acts of authority are refused."""
    ring.version()
    ring.grant("trainer", "owner")
    ring.tell("p-admin", "actor.revoked", "actor:p-author", {"reason": "left"})
    request = ("trainer", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST})
    verdict = ring.judge(*request)
    refused(verdict, NotAllowedError, "legality")
    assert verdict.error is not None
    assert "nobody answers" in verdict.error.message
    assert ring.judge("trainer", "run.started", "run:x").kind == "valid"
    assert ring.judge(
        "trainer", "rollback.requested", "deployment:prod/x", {"model": MODEL, "digest": DIGEST}
    ).kind == ("valid")
    assert ring.judge("trainer", "incident.opened", "incident:1", {"title": "x"}).kind == "valid"
    refused(ring.rotate("trainer", "trainer", "new"), NotAllowedError, "legality")
    gone = {"keyid": keyid("trainer"), "reason": "x"}
    assert ring.judge("trainer", "key.revoked", "actor:trainer", gone).kind == "valid", "giving up one's own"
    changed = {"responsible": "p-second", "reason": "took over"}
    ring.tell("p-admin", "actor.responsible_changed", "actor:trainer", changed)
    assert ring.judge(*request).kind == "valid"
    assert actor(ring, "trainer").person == "p-second"


def test_a_second_actor_of_a_person_who_left_decides_nothing(ring: Ring):
    ring.version()
    ring.enrol("p-author-2", ["owner"], person="p-author")
    ring.tell("p-admin", "actor.revoked", "actor:p-author", {"reason": "left"})
    body = {"environment": "prod", "digest": DIGEST}
    refused(ring.judge("p-author-2", "approval.requested", MODEL, body), NotAllowedError, "legality")


def test_whoever_ever_answered_for_a_service_made_what_it_made(ring: Ring):
    """A person who hands a service on cannot approve what it made while they answered for it; nor can the next one."""
    ring.enrol("p-both", ["approver"])
    ring.enrol("bot", ["emitter"], kind="service", responsible="p-both")
    ring.tell("bot", "run.completed", "run:r")
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:r"}
    ring.tell("bot", "version.registered", MODEL, body)
    ring.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    request = ring.request()
    changed = {"responsible": "p-second", "reason": "moved"}
    ring.tell("p-admin", "actor.responsible_changed", "actor:bot", changed)
    for who, kind in (("p-both", "void"), ("p-second", "void"), ("p-approver", "valid")):
        assert ring.judge(who, "approval.granted", MODEL, Story.grant(ring, request)).kind == kind, who


def say(ring: Ring, way: str, service: str, by: str) -> Verdict:
    """One way to a service that decides, for whoever signs."""
    keys = [root.public.keyid for root in ring.roots] if by == ROOT_ACTOR else [keyid(by)]
    new = format_public_key(key_of("new").public)
    body, more = {
        "enrolled": ({"kind": "service", "responsible": "p-admin", "roles": ["emitter", "approver"], "key": new}, True),
        "granted": ({"role": "approver"}, False),
        "answered": ({"responsible": "p-admin", "reason": "mine"}, False),
        "key": ({"key": new}, True),
        "rotated": ({"keyid": keyid(service), "key": new, "until": 0}, True),
    }[way]
    kind = {
        "enrolled": "actor.enrolled", "granted": "role.granted", "answered": "actor.responsible_changed",
        "key": "key.enrolled", "rotated": "key.rotated",
    }[way]  # fmt: skip
    subject = "actor:bot" if way == "enrolled" else f"actor:{service}"
    return ring.judge(by, kind, subject, body, keys=sorted([*keys, *([keyid("new")] if more else [])]))


#: Way to a say, and the service that it leads through.
WAYS = (("enrolled", ""), ("granted", "mine"), ("granted", "handed-on"), ("answered", "theirs"), ("key", "trusted"),
        ("rotated", "trusted"), ("key", "handed-on-2"), ("rotated", "handed-on-2"))  # fmt: skip


def make_services() -> Ring:
    """Services of the admin and of others, some of which may decide."""
    ring = Ring().people()
    ring.enrol("p-two", ["admin"], by=ROOT_ACTOR)
    for name, roles, person, by in (
        ("mine", ["emitter"], "p-admin", "p-admin"),
        ("handed-on", ["emitter"], "p-admin", "p-admin"),
        ("handed-on-2", ["emitter"], "p-admin", "p-admin"),
        ("theirs", ["emitter", "deployer"], "p-author", "p-admin"),
        ("trusted", ["deployer"], "p-admin", ROOT_ACTOR),
    ):
        ring.enrol(name, roles, by=by, kind="service", responsible=person)
    for name in ("handed-on", "handed-on-2"):
        body = {"responsible": "p-author", "reason": "moved"}
        ring.tell("p-admin", "actor.responsible_changed", f"actor:{name}", body)
    ring.grant("handed-on-2", "owner", by="p-two")
    return ring


@pytest.fixture(scope="module")
def services() -> Ring:
    """To ask, and to tell nothing."""
    return make_services()


@pytest.mark.parametrize(("way", "service"), WAYS)
def test_no_admin_gives_themselves_a_say(services: Ring, way: str, service: str):
    verdict = say(services, way, service, "p-admin")
    refused(verdict, NotAllowedError, "legality")
    assert verdict.error is not None
    assert "--as root" in verdict.error.hint
    for other in ("p-two", ROOT_ACTOR):
        assert say(services, way, service, other).kind == "valid"


def test_an_admin_runs_their_own_pipelines():
    """What is recorded in the role emitter is judged by others."""
    ring = make_services()
    assert (
        ring.judge("p-admin", "role.granted", "actor:mine", {"role": "emitter", "subjects": ["run:*"]}).kind == "valid"
    )
    for way in ("key", "rotated"):
        assert say(ring, way, "mine", "p-admin").kind == "valid"
        assert say(ring, way, "handed-on", "p-admin").kind == "valid"
        assert say(ring, way, "theirs", "p-admin").kind == "valid"
    assert say(ring, "answered", "handed-on", "p-admin").kind == "valid"
    assert ring.rotate("trusted", "trusted", "trusted-2").kind == "valid", "with its own key"
    key = {"keyid": keyid("trusted"), "reason": "lost"}
    assert ring.judge("p-admin", "key.revoked", "actor:trusted", key).kind == "valid", "taking is not giving"
    ring.tell("p-admin", "role.revoked", "actor:theirs", {"role": "deployer", "reason": "over"})
    assert say(ring, "answered", "theirs", "p-admin").kind == "valid"


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_every_role_but_emitter_is_a_say(services: Ring, role: str):
    verdict = services.judge("p-admin", "role.granted", "actor:mine", {"role": role})
    assert (verdict.kind == "valid") is (role == "emitter"), verdict.error


def test_a_service_that_is_an_admin_gives_its_persons_no_say():
    ring = Ring().people()
    ring.enrol("hand", ["admin"], by=ROOT_ACTOR, kind="service", responsible="p-author")
    body = {"responsible": "p-second", "reason": "moved"}
    ring.tell(ROOT_ACTOR, "actor.responsible_changed", "actor:hand", body)
    ring.enrol("other", ["emitter"], kind="service", responsible="p-deployer", by="hand")
    assert ring.judge("hand", "role.granted", "actor:other", {"role": "owner"}).kind == "valid"
    for person in ("p-author", "p-second"):
        ring.tell("p-admin", "actor.responsible_changed", "actor:other", {"responsible": person, "reason": "moved"})
        refused(ring.judge("hand", "role.granted", "actor:other", {"role": "owner"}), NotAllowedError, "legality")


@pytest.mark.parametrize("responsible", ["trainer", "p-gone", "p-nobody", "p-author"])
def test_who_may_not_come_to_answer(ring: Ring, responsible: str):
    ring.enrol("p-gone", ["owner"])
    ring.tell("p-admin", "actor.revoked", "actor:p-gone", {"reason": "left"})
    body = {"responsible": responsible, "reason": "x"}
    verdict = ring.judge("p-admin", "actor.responsible_changed", "actor:trainer", body)
    assert verdict.kind == "void"
    assert isinstance(verdict.error, InputError | ConflictError)


def test_who_may_say_who_answers(ring: Ring):
    body = {"responsible": "p-second", "reason": "x"}
    refused(ring.judge("p-author", "actor.responsible_changed", "actor:trainer", body), NotAllowedError, "legality")
    refused(ring.judge("p-admin", "actor.responsible_changed", "actor:p-author", body), InputError, "schema")
    assert ring.judge(ROOT_ACTOR, "actor.responsible_changed", "actor:trainer", body).kind == "valid"
    ring.enrol("robot", ["admin"], by=ROOT_ACTOR, kind="service", responsible="p-author")
    refused(ring.judge("p-admin", "actor.responsible_changed", "actor:robot", body), NotAllowedError, "legality")
    assert ring.judge(ROOT_ACTOR, "actor.responsible_changed", "actor:robot", body).kind == "valid"


# -- who leaves ------------------------------------------------------------------------------------


def test_who_is_offboarded_signs_nothing_more(ring: Ring):
    ring.new_key("p-author", "author-2")
    ring.grant("p-author", "approver", until=format_time(NOW + SECOND))
    body = {"successor": "p-second", "reason": "left"}
    index = ring.tell("p-admin", "actor.offboarded", "actor:p-author", body).index
    state = actor(ring, "p-author")
    assert (state.revoked, state.successor, state.roles) == (index, "p-second", ())
    assert {held.revoked for held in state.keys.values()} == {index}
    for key in ("p-author", "author-2"):
        refused(ring.observe("p-author", key), AuthenticationError, "key")
    refused(ring.judge("p-admin", "actor.offboarded", "actor:p-author", body), ConflictError, "legality")


def test_who_may_succeed(ring: Ring):
    ring.enrol("p-author-2", ["owner"], person="p-author")
    ring.enrol("p-gone", ["owner"])
    ring.tell("p-admin", "actor.revoked", "actor:p-gone", {"reason": "left"})
    for successor in ("p-author", "p-author-2", "p-gone", "p-nobody", "trainer"):
        body = {"successor": successor, "reason": "left"}
        refused(ring.judge("p-admin", "actor.offboarded", "actor:p-author", body), InputError, "schema")
    body = {"successor": "p-author", "reason": "left"}
    assert ring.judge("p-admin", "actor.offboarded", "actor:trainer", body).kind == "valid"
    assert ring.judge("p-admin", "actor.offboarded", "actor:p-author", {"reason": "left"}).kind == "valid"


def test_nobody_suspect_takes_over(ring: Ring):
    """Whoever was enrolled with a stolen key neither succeeds nor answers for anything."""
    since = len(ring.view.leaves)
    ring.enrol("p-false", ["owner"])
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.compromise("p-admin", since, by=ROOT_ACTOR)
    for kind, body in (
        ("actor.offboarded", {"successor": "p-false", "reason": "x"}),
        ("actor.responsible_changed", {"responsible": "p-false", "reason": "x"}),
    ):
        verdict = ring.judge("p-chief", kind, "actor:trainer", body)
        refused(verdict, InputError, "schema")
        assert "not in good standing" in str(verdict.error)


def test_a_root_key_is_no_actors(ring: Ring):
    root = ring.roots[0].public
    body = {"key": format_public_key(root)}
    keys = sorted([keyid("p-admin"), root.keyid])
    refused(ring.judge("p-admin", "key.enrolled", "actor:trainer", body, keys=keys), ConflictError, "legality")


def test_what_replaced_roots_signed_counts_no_more(ring: Ring):
    """Nor does what they signed before they were replaced, and was recorded after it."""
    old, new = ROOTS[0].public, ROOTS[1].public
    act = ("actor.revoked", "actor:trainer", {"reason": "x"})
    assert ring.judge(ROOT_ACTOR, *act, keys=[old.keyid]).kind == "valid"
    body = {"roots": [format_public_key(new)], "threshold": 1, "reason": "x"}
    ring.tell(ROOT_ACTOR, "ledger.roots_changed", f"ledger:{LEDGERID}", body, keys=sorted([old.keyid, new.keyid]))
    refused(ring.judge(ROOT_ACTOR, *act, keys=[old.keyid]), AuthenticationError, "key")
    assert ring.judge(ROOT_ACTOR, *act, keys=[new.keyid]).kind == "valid"


def test_who_may_offboard(ring: Ring):
    body = {"reason": "left"}
    refused(ring.judge("p-author", "actor.offboarded", "actor:p-author", body), NotAllowedError, "legality")
    refused(ring.judge("p-second", "actor.offboarded", "actor:p-author", body), NotAllowedError, "legality")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    refused(ring.judge("p-admin", "actor.offboarded", "actor:p-chief", body), NotAllowedError, "legality")
    assert ring.judge(ROOT_ACTOR, "actor.offboarded", "actor:p-chief", body).kind == "valid"


# -- the last admin --------------------------------------------------------------------------------


def takes(name: str) -> dict[str, dict[str, Any]]:
    key = keyid(name)
    return {
        "actor.revoked": {"reason": "x"},
        "actor.offboarded": {"reason": "x"},
        "role.revoked": {"role": "admin", "reason": "x"},
        "key.revoked": {"keyid": key, "reason": "x"},
        "key.compromised": {"keyid": key, "since": 0, "reason": "x"},
    }


@pytest.mark.parametrize("kind", list(takes("p-admin")))
def test_the_last_admin_cannot_go(ring: Ring, kind: str):
    body = takes("p-admin")[kind]
    refused(ring.judge(ROOT_ACTOR, kind, "actor:p-admin", body), PolicyError, "legality")
    own = ring.judge("p-admin", kind, "actor:p-admin", body)
    assert own.kind == "void"
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    assert ring.judge(ROOT_ACTOR, kind, "actor:p-admin", body).kind == "valid"
    ring.tell(ROOT_ACTOR, kind, "actor:p-admin", body)
    refused(ring.judge(ROOT_ACTOR, kind, "actor:p-chief", takes("p-chief")[kind]), PolicyError, "legality")


def test_another_key_lets_the_last_admins_first_one_go(ring: Ring):
    body = takes("p-admin")["key.compromised"]
    refused(ring.judge(ROOT_ACTOR, "key.compromised", "actor:p-admin", body), PolicyError, "legality")
    ring.new_key("p-admin", "admin-2", by=ROOT_ACTOR)
    assert ring.judge(ROOT_ACTOR, "key.compromised", "actor:p-admin", body).kind == "valid"


def test_a_key_rotated_by_a_stolen_one_keeps_no_admin(ring: Ring):
    since = len(ring.view.leaves)
    assert ring.rotate("p-admin", "p-admin", "admin-2", 2**40).kind == "valid"
    body = {"keyid": keyid("p-admin"), "since": since, "reason": "x"}
    refused(ring.judge(ROOT_ACTOR, "key.compromised", "actor:p-admin", body), PolicyError, "legality")
    body["since"] = since + 1
    assert ring.judge(ROOT_ACTOR, "key.compromised", "actor:p-admin", body).kind == "valid"


def test_a_key_that_is_about_to_end_keeps_no_admin(ring: Ring):
    """The old key may sign for long yet, but the ledger would be left alone when that is over."""
    assert ring.rotate("p-admin", "p-admin", "admin-2", 2**40).kind == "valid"
    body = {"keyid": keyid("admin-2"), "reason": "x"}
    refused(ring.judge(ROOT_ACTOR, "key.revoked", "actor:p-admin", body), PolicyError, "legality")


def test_an_admin_for_whom_nobody_answers_takes_only_its_own(ring: Ring):
    ring.enrol("p-boss", ["owner"])
    ring.enrol("robot", ["admin"], by=ROOT_ACTOR, kind="service", responsible="p-boss")
    for name in ("another", "zz"):
        ring.enrol(name, ["emitter"], kind="service", responsible="p-author")
    ring.tell("p-admin", "actor.revoked", "actor:p-boss", {"reason": "left"})
    for name, kind in (("another", "void"), ("zz", "void"), ("robot", "valid")):
        verdict = ring.judge("robot", "key.revoked", f"actor:{name}", {"keyid": keyid(name), "reason": "x"})
        assert verdict.kind == kind, name


@pytest.mark.parametrize(
    "bounds",
    [
        {"until": format_time(NOW + 10**12)}, {"types": ["actor.enrolled"]}, {"subjects": ["actor:*"]},
        {"environments": ["prod"]},
    ],
    ids=str,
)  # fmt: skip
def test_an_admin_within_bounds_is_not_the_last_one(ring: Ring, bounds: dict[str, Any]):
    ring.grant("p-second", "admin", by=ROOT_ACTOR, **bounds)
    gone = ("actor.revoked", "actor:p-admin", {"reason": "x"})
    refused(ring.judge(ROOT_ACTOR, *gone), PolicyError, "legality")
    ring.grant("p-second", "admin", by=ROOT_ACTOR)
    assert ring.judge(ROOT_ACTOR, *gone).kind == "valid"


def test_an_admin_for_whom_nobody_answers_is_not_the_last_one(ring: Ring):
    ring.enrol("p-boss", ["owner"])
    ring.enrol("robot", ["admin"], by=ROOT_ACTOR, kind="service", responsible="p-boss")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    ring.tell(ROOT_ACTOR, "actor.revoked", "actor:p-chief", {"reason": "x"})
    assert ring.judge(ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"}).kind == "valid"
    ring.tell("p-admin", "actor.revoked", "actor:p-boss", {"reason": "left"})
    refused(ring.judge(ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"}), PolicyError, "legality")


@pytest.mark.parametrize("way", ["actor.revoked", "its enrolment", "its role", "who answers", "its key"])
def test_an_admin_who_cannot_act_is_not_the_last_one(ring: Ring, way: str):
    """A service for which a person answers is an admin too: until it left, or rests on what a thief signed."""
    gone = ("actor.revoked", "actor:p-admin", {"reason": "x"})
    ring.enrol("p-boss", ["owner"])
    ring.enrol("p-thief", ["admin"], by=ROOT_ACTOR)
    since = len(ring.view.leaves)
    by_thief = {"its enrolment": "p-thief"}.get(way, ROOT_ACTOR)
    ring.enrol("robot", ["emitter"], by=by_thief, kind="service", responsible="p-boss")
    ring.grant("robot", "admin", by=ROOT_ACTOR)
    ring.tell(ROOT_ACTOR, "role.revoked", "actor:p-thief", {"role": "admin", "reason": "x"})
    assert ring.judge(ROOT_ACTOR, *gone).kind == "valid"
    if way == "actor.revoked":
        ring.tell(ROOT_ACTOR, way, "actor:robot", {"reason": "x"})
    elif way == "its enrolment":
        ring.compromise("p-thief", since, by=ROOT_ACTOR)
    elif way == "its role":
        ring.tell(ROOT_ACTOR, "role.revoked", "actor:robot", {"role": "admin", "reason": "x"})
    elif way == "who answers":
        ring.tell(ROOT_ACTOR, "actor.revoked", "actor:p-boss", {"reason": "x"})
    else:
        ring.tell(ROOT_ACTOR, "key.revoked", "actor:robot", {"keyid": keyid("robot"), "reason": "x"})
    refused(ring.judge(ROOT_ACTOR, *gone), PolicyError, "legality")


def test_who_answers_for_the_last_admin_cannot_go_either(ring: Ring):
    ring.enrol("p-boss", ["owner"])
    ring.enrol("robot", ["admin"], by=ROOT_ACTOR, kind="service", responsible="p-boss")
    ring.tell(ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"})
    refused(ring.judge(ROOT_ACTOR, "actor.revoked", "actor:p-boss", {"reason": "left"}), PolicyError, "legality")


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


@pytest.mark.parametrize("name", ["Root", "a+b", "P-author", "x" * 65])
def test_nobody_is_enrolled_under_a_name_that_is_no_actor_id(ring: Ring, name: str):
    body = {"kind": "person", "roles": ["emitter"], "key": format_public_key(key_of("p-new").public)}
    keys = sorted([keyid("p-admin"), keyid("p-new")])
    refused(ring.judge("p-admin", "actor.enrolled", f"actor:{name}", body, keys=keys), InputError, "schema")


def test_a_key_has_one_use(ring: Ring):
    """What a holder signs for one could otherwise be asked of them for another: roots, heads and actors share none."""
    ledger, old, new = f"ledger:{LEDGERID}", ROOTS[0], ROOTS[1]
    first = parse_vkey(VKEY).public_key

    def enrol(key: PublicKey) -> Verdict:
        body = {"kind": "person", "roles": ["emitter"], "key": format_public_key(key)}
        return ring.judge("p-admin", "actor.enrolled", "actor:p-new", body, keys=sorted([keyid("p-admin"), key.keyid]))

    def roots(*keys: PublicKey, threshold: int = 1) -> RecordedEvent:
        body = {"roots": [format_public_key(key) for key in keys], "threshold": threshold, "reason": "x"}
        signers = sorted({key.keyid for key in keys} | {root.public.keyid for root in ring.roots})
        return ring.event(ROOT_ACTOR, "ledger.roots_changed", ledger, body, keys=signers)

    def heads(key: PublicKey, *, name: str = ORIGIN, type: int = TYPE_ED25519) -> RecordedEvent:
        body = {"vkey": format_vkey(VerifierKey(name, type, key.raw)), "reason": "x"}
        signers = sorted({key.keyid, *(root.public.keyid for root in ring.roots)})
        return ring.event(ROOT_ACTOR, "ledger.checkpoint_key_changed", ledger, body, keys=signers)

    author, fresh = key_of("p-author").public, key_of("fresh").public
    refused(enrol(old.public), ConflictError, "legality")
    refused(enrol(first), ConflictError, "legality")
    refused(judge(ring.world, roots(old.public)), ConflictError, "legality")  # in force already
    refused(judge(ring.world, roots(old.public, old.public)), InputError, "schema")
    refused(judge(ring.world, roots(old.public, threshold=2)), InputError, "schema")
    for key in (author, first):
        refused(judge(ring.world, roots(old.public, key)), ConflictError, "legality")
        refused(judge(ring.world, heads(key)), ConflictError, "legality")
    refused(judge(ring.world, heads(old.public)), ConflictError, "legality")
    refused(judge(ring.world, heads(fresh, name="ledger.example/other")), InputError, "schema")
    refused(judge(ring.world, heads(fresh, type=TYPE_COSIGNATURE)), InputError, "schema")
    assert judge(ring.world, roots(old.public, new.public, threshold=2)).kind == "valid"
    assert judge(ring.world, roots(new.public)).kind == "valid"
    ring.fold(roots(new.public))
    ring.roots = [new]
    refused(judge(ring.world, roots(old.public, new.public)), ConflictError, "legality")  # it was replaced
    refused(enrol(old.public), ConflictError, "legality")
    refused(judge(ring.world, heads(old.public)), ConflictError, "legality")
    second = key_of("heads").public
    assert judge(ring.world, heads(second)).kind == "valid"
    ring.fold(heads(second))
    for key in (first, second):
        refused(judge(ring.world, heads(key)), ConflictError, "legality")
        refused(judge(ring.world, roots(new.public, key)), ConflictError, "legality")
        refused(enrol(key), ConflictError, "legality")
    assert enrol(fresh).kind == "valid"


def delegation(**bounds: list[str]) -> tuple[str, str, str, dict[str, Any]]:
    until = {"until": format_time(NOW + 1), "reason": "x"}
    return "p-some", "approval.delegated", "actor:p-deputy", {**until, **bounds}


def bounded(**bounds: list[str]) -> Story:
    """A world in which p-some approves within bounds."""
    story = Story().people()
    story.enrol("p-deputy", ["owner"])
    story.enrol("p-some", ["owner"])
    story.tell("p-admin", "role.granted", "actor:p-some", {"role": "approver", **bounds})
    return story


_OWN = {
    "types": ["approval.*", "waiver.granted"],
    "subjects": ["model:credit/*", "model:a*-x"],
    "environments": ["prod"],
}


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ({}, True),
        ({"types": ["approval.granted", "waiver.granted"]}, True), ({"types": []}, False),
        ({"types": ["waiver.*"]}, False), ({"types": ["approval.granted", "waiver.denied"]}, False),
        ({"subjects": ["model:credit/tx", "model:credit/t*"]}, True), ({"subjects": ["model:a-b*-x"]}, True),
        ({"subjects": []}, False), ({"subjects": ["model:credit/tx", "model:tx"]}, False),
        ({"subjects": ["model:*"]}, False), ({"subjects": ["model:a*"]}, False), ({"subjects": ["*:credit/x"]}, False),
        ({"environments": []}, False), ({"environments": ["prod", "dev"]}, False),
    ],
)  # fmt: skip
def test_a_role_within_bounds_is_handed_on_within_them(bounds: dict[str, list[str]], inside: bool):
    story = bounded(**_OWN)
    verdict = story.judge(*delegation(**(_OWN | bounds)))
    if inside:
        assert verdict.kind == "valid", verdict.error
        return
    refused(verdict, NotAllowedError, "legality")
    assert "--subject 'model:credit/*' --subject 'model:a*-x' --env 'prod'" in hint_of(verdict)
    story.tell("p-admin", "role.granted", "actor:p-some", {"role": "approver"})
    assert story.judge(*delegation(**(_OWN | bounds))).kind == "valid", "a role without bounds hands on any"


@pytest.mark.parametrize(
    ("bounds", "approves"),
    [
        ({"subjects": ["model:m"], "environments": ["prod"]}, True), ({"types": ["approval.granted"]}, True),
        ({"types": ["approval.rejected"]}, False), ({"subjects": ["model:n"]}, False),
        ({"environments": ["dev"]}, False),
    ],
)  # fmt: skip
def test_what_was_handed_on_reaches_no_further(bounds: dict[str, list[str]], approves: bool):
    story = bounded(**bounds).version()
    story.tell(*delegation(**bounds))
    verdict = story.judge("p-deputy", "approval.granted", MODEL, story.grant(story.request()))
    assert (verdict.kind == "valid") is approves, verdict.error
    onward = {"until": format_time(NOW + 1), "reason": "x", **bounds}
    refused(story.judge("p-deputy", "approval.delegated", "actor:p-second", onward), NotAllowedError, "legality")


def test_nothing_is_handed_on_of_a_role_that_ended():
    story = bounded(subjects=["model:m"])
    story.tell("p-admin", "role.revoked", "actor:p-some", {"role": "approver", "reason": "x"})
    refused(story.judge(*delegation(subjects=["model:m"])), NotAllowedError, "legality")
