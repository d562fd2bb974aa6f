"""The last admin who can act does not go."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.signed import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import PolicyError
from tests.unit.rings import Ring, keyid
from tests.unit.story import NOW, refused


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
