"""What is said of the ledger itself, and the keys that are its own: roots and heads."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.creation import DEFAULT_RULES
from ledger.domain import LedgerState, RecordedEvent, Verdict, judge
from ledger.domain.signed import ROOT_ACTOR
from ledger.errors import AuthenticationError, ConflictError, InputError
from ledger.keys import PublicKey, format_public_key
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, format_vkey, parse_vkey
from tests.unit.rings import Ring, keyid
from tests.unit.story import LEDGERID, ROOTS, VKEY, key_of, refused

ORIGIN = "ledger.example/unit"


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
