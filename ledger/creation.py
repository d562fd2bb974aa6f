"""Making a ledger: its first two entries and the keys behind them.

Entry 0 says who the ledger is, signed by the root keys. Entry 1 enrols the first admin with another key,
signed by the root keys and by that key itself. This is the final form; later steps only use more of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.application import Ledger, Receipt
from ledger.checkpoint import TYPE_ED25519, VerifierKey, format_vkey, parse_origin
from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import InputError
from ledger.events.actors import ROLES
from ledger.events.ledgers import Rule, RuleSet
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, Signer, format_public_key
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.stored import LogIdentity

__all__ = ["DEFAULT_RULES", "FIRST_ADMIN_ROLES", "NewLedger", "create_ledger", "enrol_actor", "new_person_id"]

#: ``dev`` asks for nothing; everything else asks for four eyes on an evaluated version.
DEFAULT_RULES = RuleSet(
    name="default",
    rules=(
        Rule(environment="dev", tier="*", authorisation=False, approvals=0, evaluation=False),
        Rule(environment="*", tier="*", authorisation=True, approvals=1, evaluation=True),
    ),
)
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
    key: Ed25519Signer,
    *,
    kind: str,
    roles: Sequence[str],
    person: str | None = None,
    responsible: str | None = None,
) -> Receipt:
    """Enrol an actor with its first key, which signs too.

    Args:
        ledger: open, signing as an admin or as root.
        actor: the new actor's id.
        key: its key.
        kind: ``person`` or ``service``.
        roles: from `events.actors.ROLES`.
        person: person behind it, its own id when None.
        responsible: for a service, the person who answers for it.

    Raises:
        LedgerError: as `Ledger.emit`.
    """
    body = {
        "kind": kind,
        "roles": list(roles),
        "key": format_public_key(key.public),
        "person": person,
        "responsible": responsible,
    }
    return ledger.emit("actor.enrolled", f"actor:{actor}", body, also_sign=[key])


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
