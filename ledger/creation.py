"""Making a ledger: its first two entries and the keys behind them.

Entry 0 says who the ledger is, signed by the root keys. Entry 1 enrols the first admin with another key,
signed by the root keys and by that key itself. This is the final form; later steps only use more of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.ceremony import Ceremony
from ledger.checkpoint import parse_origin
from ledger.custody import propose, submit
from ledger.domain.lifecycle import check_rules
from ledger.domain.rulesets import DEFAULT_RULES
from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import ConfigurationError, InputError
from ledger.events.actors import ROLES
from ledger.events.ledgers import LedgerCreated, RuleSet
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, PublicKey, Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey, parse_vkey
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.stored import LogIdentity

__all__ = [
    "DEFAULT_RULES", "FIRST_ADMIN_ROLES", "Founding", "NewLedger", "create_ledger", "enrol_actor", "found_ledger",
    "new_person_id", "propose_ledger",
]  # fmt: skip
#: One of an envelope's 16 signatures is left for the first admin's key.
_MAX_ROOTS = 15

#: The first admin can do everything but judge their own work: separation of duties is by person.
FIRST_ADMIN_ROLES = tuple(role for role in ROLES if role not in ("auditor", "eraser"))


@dataclass(frozen=True, slots=True)
class NewLedger:
    """A ledger that was just made, with the private keys its maker must keep.

    Attributes:
        ledger: open, signing as the first admin.
        trust: what pins its identity.
        admin: actor id of the first admin.
        root: root key.
        checkpoint: key that signs heads.
        admin_key: the first admin's key.
    """

    ledger: Ledger
    trust: Trust
    admin: str
    root: Ed25519Signer
    checkpoint: Ed25519Signer
    admin_key: Ed25519Signer


def new_person_id() -> str:
    """An opaque actor id for a person, ``p-`` and 60 random bits."""
    return "p-" + "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(12))


def enrol_actor(
    ledger: Ledger,
    actor: str,
    key: Signer,
    *,
    kind: str,
    roles: Sequence[str],
    person: str | None = None,
    responsible: str | None = None,
    bounds: Mapping[str, Any] | None = None,
) -> list[Receipt]:
    """Enrol an actor with its first key, which signs too.

    Args:
        ledger: open, signing as an admin or as root.
        actor: the new actor's id.
        key: its key.
        kind: ``person`` or ``service``.
        roles: from `events.actors.ROLES`.
        person: person behind it, its own id when None.
        responsible: for a service, the person who answers for it.
        bounds: within which all the roles are granted, as fields of ``role.granted``: with the enrolment, or nothing is
            recorded.

    Returns:
        The receipt of the enrolment, and of each role that was granted within bounds.

    Raises:
        LedgerError: as `Ledger.emit`.
    """
    body = {
        "kind": kind,
        "roles": [] if bounds else list(roles),
        "key": format_public_key(key.public),
        "person": person,
        "responsible": responsible,
    }
    granted = [{**bounds, "role": role} for role in dict.fromkeys(roles)] if bounds else []
    events = [("actor.enrolled", body), *(("role.granted", grant) for grant in granted)]
    return ledger.emit_all([(name, f"actor:{actor}", data) for name, data in events], also_sign=[key])


def _first_entry(
    recorder: SqlRecorder, identity: LogIdentity, vkey: VerifierKey, root: Signer, rules: RuleSet
) -> Receipt:
    with_root = Ledger(recorder, actor=ROOT_ACTOR, signers=[root])
    body = {
        "ledgerid": identity.ledgerid,
        "origin": identity.origin,
        "vkey": format_vkey(vkey),
        "roots": [format_public_key(root.public)],
        "threshold": 1,
        "rules": rules.model_dump(mode="json"),
    }
    return with_root.emit("ledger.created", f"ledger:{identity.ledgerid}", body)


def create_ledger(
    url: str,
    origin: str,
    *,
    rules: RuleSet = DEFAULT_RULES,
    admin: str | None = None,
    clock: Callable[[], int] | None = None,
) -> NewLedger:
    """Create a ledger in an empty store.

    Args:
        url: ``sqlite:///…`` (no such file yet) or ``postgresql://…?schema=name`` (no such schema yet).
        origin: name of the log in every checkpoint, a URL without its scheme by convention.
        rules: rules in force from entry 0 on.
        admin: actor id of the first admin; a new opaque one when None.
        clock: replaces the store's clock.

    Raises:
        InputError: the origin is malformed.
        ConfigurationError: there already is something.
    """
    parse_origin(origin)
    if admin == ROOT_ACTOR:
        raise InputError("'root' names the root keys and cannot be an actor")
    root, checkpoint, admin_key = (Ed25519Signer.generate() for _ in range(3))
    vkey = VerifierKey(origin, TYPE_ED25519, checkpoint.public.raw)
    identity = LogIdentity(secrets.token_hex(16), origin)
    recorder = open_recorder(url, clock=clock)
    try:
        recorder.create(identity)
    except BaseException:
        recorder.close()
        raise
    first = _first_entry(recorder, identity, vkey, root, rules)
    admin = admin or new_person_id()
    as_root = Ledger(recorder, actor=ROOT_ACTOR, signers=[root])
    enrol_actor(as_root, admin, admin_key, kind="person", roles=FIRST_ADMIN_ROLES)
    ledger = Ledger(recorder, actor=admin, signers=[admin_key], checkpoint_signer=checkpoint)
    ledger.checkpoint()
    trust = Trust(identity.ledgerid, origin, (vkey,), first.leaf_hash.hex())
    return NewLedger(ledger, trust, admin, root, checkpoint, admin_key)


@dataclass(frozen=True, slots=True)
class Founding:
    """A ledger that waits for the signatures of its root keys, with the private keys its operator must keep.

    Attributes:
        ceremony: its first two entries.
        admin: actor id of the first admin.
        checkpoint: key that signs heads.
        admin_key: the first admin's key.
    """

    ceremony: Ceremony
    admin: str
    checkpoint: Ed25519Signer
    admin_key: Ed25519Signer


def propose_ledger(
    origin: str,
    roots: Sequence[PublicKey],
    threshold: int,
    *,
    rules: RuleSet = DEFAULT_RULES,
    admin: str | None = None,
) -> Founding:
    """Write down the first two entries of a ledger whose root keys are held by others.

    Args:
        origin: name of the log.
        roots: public keys of the roots, 1 to 15.
        threshold: how many of them a root event will need.
        rules: rules in force from entry 0 on.
        admin: actor id of the first admin; a new opaque one when None.

    Raises:
        InputError: the origin is malformed, a key is named twice, the threshold does not fit, or the rules name what
            there is not.
    """
    parse_origin(origin)
    check_rules(rules)  # the holders sign only what will be taken
    if len(set(roots)) != len(roots):
        raise InputError("a root key is named twice: every holder has a key of their own")
    if not 1 <= threshold <= len(roots) <= _MAX_ROOTS:
        raise InputError(f"a ledger has 1 to {_MAX_ROOTS} root keys and a threshold of at most as many")
    checkpoint, admin_key = Ed25519Signer.generate(), Ed25519Signer.generate()
    ledgerid, admin = secrets.token_hex(16), admin or new_person_id()
    created = {
        "ledgerid": ledgerid,
        "origin": origin,
        "vkey": format_vkey(VerifierKey(origin, TYPE_ED25519, checkpoint.public.raw)),
        "roots": [format_public_key(key) for key in roots],
        "threshold": threshold,
        "rules": rules.model_dump(mode="json"),
    }
    enrolled = {"kind": "person", "roles": list(FIRST_ADMIN_ROLES), "key": format_public_key(admin_key.public)}
    events: list[tuple[str, str, Mapping[str, Any]]] = [
        ("ledger.created", f"ledger:{ledgerid}", created),
        ("actor.enrolled", f"actor:{admin}", enrolled),
    ]
    ceremony = propose(ledgerid, origin, events, roots=roots, threshold=threshold).sign(admin_key)
    return Founding(ceremony, admin, checkpoint, admin_key)


def found_ledger(
    url: str, ceremony: Ceremony, *, checkpoint: Signer, clock: Callable[[], int] | None = None
) -> tuple[Ledger, Trust]:
    """Create a ledger in an empty store from what its root keys have signed; or go on where an earlier call was cut.

    Args:
        url: see `create_ledger`.
        ceremony: signed by every root key, so that all are known to be held.
        checkpoint: the key that signs heads.
        clock: replaces the store's clock.

    Returns:
        The ledger, its first head signed, and what pins its identity.

    Raises:
        InputError: it does not make a ledger.
        AuthenticationError: signatures are missing.
        ConfigurationError: the checkpoint key is not the one it names, or there already is something else.
    """
    body = ceremony.items[0].event.body
    if not isinstance(body, LedgerCreated) or (body.origin, body.ledgerid) != (ceremony.origin, ceremony.ledgerid):
        raise InputError("this proposal does not make a ledger")
    ceremony.check_complete()
    vkey = parse_vkey(body.vkey)
    if vkey.public != checkpoint.public.raw:
        raise ConfigurationError("the proposal names another checkpoint key than the one made here")
    identity = LogIdentity(ceremony.ledgerid, ceremony.origin)
    recorder = open_recorder(url, clock=clock)
    try:
        if not recorder.exists():
            recorder.create(identity)
        elif recorder.identity() != identity:
            raise ConfigurationError("the store already holds another ledger", hint="Name an empty one: --ledger URL")
        ledger = Ledger(recorder, checkpoint_signer=checkpoint)
        first = submit(ledger, ceremony)[0]
        ledger.checkpoint()
    except BaseException:
        recorder.close()
        raise
    return ledger, Trust(ceremony.ledgerid, ceremony.origin, (vkey,), first.leaf_hash.hex())
