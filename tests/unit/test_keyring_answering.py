"""Who answers for a service, and who leaves."""

from __future__ import annotations

import pytest

from ledger.domain import Verdict
from ledger.domain.signed import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import AuthenticationError, ConflictError, InputError, NotAllowedError
from ledger.events.actors import ROLES
from ledger.keys import format_public_key
from tests.unit.rings import SECOND, Ring, actor, keyid
from tests.unit.story import DIGEST, MODEL, NOW, Story, key_of, refused

# -- who answers -----------------------------------------------------------------------------------


def test_nobody_decides_for_whom_nobody_answers(ring: Ring):
    """Facts and protection are recorded all the same; requests and acts of authority are refused."""
    ring.version()
    ring.grant("trainer", "owner")
    ring.tell("p-admin", "actor.revoked", "actor:p-author", {"reason": "left"})
    request = ("trainer", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST})
    verdict = ring.judge(*request)
    refused(verdict, NotAllowedError, "legality", rule="separation */answered")
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


def test_who_may_offboard(ring: Ring):
    body = {"reason": "left"}
    refused(ring.judge("p-author", "actor.offboarded", "actor:p-author", body), NotAllowedError, "legality")
    refused(ring.judge("p-second", "actor.offboarded", "actor:p-author", body), NotAllowedError, "legality")
    ring.enrol("p-chief", ["admin"], by=ROOT_ACTOR)
    refused(ring.judge("p-admin", "actor.offboarded", "actor:p-chief", body), NotAllowedError, "legality")
    assert ring.judge(ROOT_ACTOR, "actor.offboarded", "actor:p-chief", body).kind == "valid"
