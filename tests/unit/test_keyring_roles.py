"""Roles: granted for a while, ended, handed on within their bounds; and what is said to whom one does not do."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.actors import FOREVER
from ledger.domain.keyring import MAX_GRANTS
from ledger.domain.signed import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import ConflictError, NotAllowedError, PolicyError
from tests.unit.rings import SECOND, Ring, actor, words
from tests.unit.story import MODEL, NOW, Story, hint_of, refused


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
