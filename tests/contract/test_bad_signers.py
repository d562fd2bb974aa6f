"""Whose events must be refused: signatures that do not count, and who may not change who may do what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ledger.envelope import Envelope, Signature, format_envelope, sign_payload
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    PolicyError,
)
from ledger.keys import Ed25519Signer, Signer, format_public_key
from ledger.verify import verify_log
from tests.contract.attempts import Attempt, encode, refused, seal, still_good
from tests.contract.support import Cast, audit, make_cast


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


def test_signatures_that_do_not_count(cast: Cast):
    trainer, author, stranger = cast.keys["trainer"], cast.keys["p-author"], Ed25519Signer.generate()
    payload = encode(cast)
    (mine,) = sign_payload(payload, [trainer]).signatures
    forged = Signature(mine.keyid, bytes([mine.sig[0] ^ 1]) + mine.sig[1:])
    elsewhere = sign_payload(encode(cast), [trainer]).signatures
    key_of_other = format_public_key(stranger.public)
    enrol = encode(
        cast, source="urn:muniment:p-admin", type="muniment.actor.enrolled.v1", subject="actor:p-new",
        data={"kind": "person", "roles": ["owner"], "key": key_of_other},
    )  # fmt: skip
    cases: list[tuple[str, bytes, str, bool]] = [
        ("unknown key", seal(payload, stranger), "not enrolled", True),
        ("another actor's key", seal(payload, author), "not enrolled", True),
        ("one key too many", seal(payload, trainer, stranger), "not enrolled", True),
        ("another actor's key beside", seal(payload, trainer, author), "not enrolled", True),
        ("the root key for an actor", seal(payload, cast.new.root), "not enrolled", True),
        ("the checkpoint key for an actor", seal(payload, cast.new.checkpoint), "not enrolled", True),
        ("a wrong signature", format_envelope(Envelope(payload, (forged,))), "wrong signature", False),
        ("a signature of another event", format_envelope(Envelope(payload, elsewhere)), "wrong signature", False),
        ("no such actor", seal(encode(cast, source="urn:muniment:nobody"), trainer), "nobody", True),
        ("an actor as root", seal(encode(cast, source="urn:muniment:root"), trainer), "", False),
        ("another ledger", seal(encode(cast, ledgerid="0" * 32), trainer), "belongs to the ledger", False),
        ("no proof of possession", seal(enrol, cast.new.admin_key), "possession", False),
        ("only possession", seal(enrol, stranger), "own signatures", False),
    ]
    for what, envelope, words, hint in cases:
        with refused(cast, what, AuthenticationError, words, hint=hint):
            cast.admin.append(envelope)
    still_good(cast)


def test_keys_and_actors_that_were_revoked(cast: Cast):
    spare = Ed25519Signer.generate()
    cast.admin.emit("key.enrolled", "actor:trainer", key=format_public_key(spare.public), also_sign=[spare])
    before = encode(cast)
    cast.admin.append(seal(before, cast.keys["trainer"]))
    cast.admin.emit("key.revoked", "actor:trainer", keyid=cast.keys["trainer"].public.keyid, reason="leaked")
    with refused(cast, "revoked key", AuthenticationError, "was revoked at index", hint=True):
        cast["trainer"].emit("run.started", "run:r")
    with refused(cast, "a revoked and a good key", AuthenticationError, "was revoked at index", hint=True):
        cast.admin.append(seal(encode(cast), spare, cast.keys["trainer"]))
    assert cast.admin.append(seal(encode(cast), spare)).index == cast.recorder.head().size - 1
    cast.admin.emit("actor.revoked", "actor:trainer", reason="retired")
    with refused(cast, "revoked actor", AuthenticationError, "'trainer' was revoked"):
        cast.admin.append(seal(encode(cast), spare))
    assert cast.admin.append(seal(before, cast.keys["trainer"])).existing, "what was recorded stays recorded"
    still_good(cast)


def test_who_may_change_who_may_do_what(cast: Cast):
    key, admin = Ed25519Signer.generate(), cast.admin
    text = format_public_key(key.public)
    person = {"kind": "person", "roles": ["owner"], "key": text}
    ledger = f"ledger:{admin.ledgerid}"
    genesis = json.loads(cast.recorder.rows(0, 1)[0].payload or b"")["data"]

    def enrol(by: str, subject: str = "actor:p-new", signers: Sequence[Signer] = (key,), **changes: Any) -> Attempt:
        ledger = cast.root if by == "root" else cast[by]
        return lambda: ledger.emit("actor.enrolled", subject, {**person, **changes}, also_sign=signers)

    cases: list[tuple[str, Attempt, type[LedgerError], str, bool]] = [
        ("by no admin", enrol("p-author"), NotAllowedError, "admin", False),
        ("an admin by an admin", enrol("p-admin", roles=["admin"]), NotAllowedError, "root keys", True),
        ("their own person", enrol("p-admin", person="p-admin"), NotAllowedError, "their own person", True),
        ("twice", enrol("p-admin", "actor:trainer"), ConflictError, "already enrolled", False),
        ("root", enrol("p-admin", "actor:root"), InputError, "root", False),
        ("a namespace", enrol("p-admin", "actor:team/x"), InputError, "namespace", False),
        ("a version", enrol("p-admin", "actor:x@1"), InputError, "without a version", False),
        ("not an actor", enrol("p-admin", "model:x"), InputError, "actor", False),
        ("roles that are no list", enrol("p-admin", roles="owner"), InputError, "roles", True),
        ("an unknown role", enrol("p-admin", roles=["king"]), InputError, "roles", True),
        ("a service of nobody", enrol("p-admin", kind="service"), InputError, "responsible", True),
        ("a service of a stranger", enrol("p-admin", kind="service", responsible="p-x"), InputError, "p-x", False),
        ("a person and who answers", enrol("p-admin", person="p-author", responsible="p-approver"), InputError,
         "answers for a person", True),
        ("a service with a person", enrol("p-admin", kind="service", person="p-author", responsible="p-approver"),
         InputError, "is no person", True),
        ("a key in use", enrol("p-admin", key=format_public_key(cast.keys["trainer"].public),
                               signers=[cast.keys["trainer"]]), ConflictError, "already enrolled", False),
        ("the root key", enrol("p-admin", key=format_public_key(cast.new.root.public), signers=[cast.new.root]),
         ConflictError, "root key", False),
        ("no key", enrol("p-admin", key="rsa:AAAA", signers=()), InputError, "", False),
        ("a key for an admin by an admin",
         lambda: admin.emit("key.enrolled", "actor:p-admin", key=text, also_sign=[key]), NotAllowedError, "root keys",
         True),
        ("a key for nobody", lambda: admin.emit("key.enrolled", "actor:p-x", key=text, also_sign=[key]),
         ConflictError, "not enrolled", False),
        ("revoke a stranger's key",
         lambda: admin.emit("key.revoked", "actor:trainer", keyid="0" * 64, reason="x"), InputError, "no key", False),
        ("revoke another", lambda: cast["p-author"].emit("actor.revoked", "actor:trainer", reason="x"),
         NotAllowedError, "admin", False),
        ("a second beginning", lambda: cast.root.emit("ledger.created", ledger, genesis), PolicyError, "first entry",
         False),
        ("a beginning of one's own", lambda: admin.emit("ledger.created", ledger, genesis), LedgerError, "", False),
    ]  # fmt: skip
    for what, attempt, error, words, hint in cases:
        with refused(cast, what, error, words, hint=hint):
            attempt()
    cast["p-author"].emit(
        "key.revoked", "actor:p-author", keyid=cast.keys["p-author"].public.keyid, reason="mine to give"
    )
    assert verify_log(cast.recorder, cast.new.trust).ok
    with refused(cast, "twice revoked", ConflictError, "already revoked"):
        admin.emit("key.revoked", "actor:p-author", keyid=cast.keys["p-author"].public.keyid, reason="x")
    audit(cast.url)
