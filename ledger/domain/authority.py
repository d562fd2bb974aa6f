"""Events that change who may do what: the first entry, and what is said of the ledger, of actors, keys and roles."""

from __future__ import annotations

from typing import Any, cast

from ledger.domain.actors import FOREVER
from ledger.domain.enrolment import check_enrolment, check_offboarding, check_responsible, check_taking, known_actor
from ledger.domain.erasure import check_subject_event
from ledger.domain.evolution import evolve
from ledger.domain.keyring import (
    check_compromise,
    check_delegation,
    check_grant,
    check_key,
    check_key_revocation,
    check_reaffirmation,
    check_role_revocation,
    check_rotation,
)
from ledger.domain.ledgerkeys import check_ledger_keys
from ledger.domain.recorded import RecordedEvent
from ledger.domain.restores import check_restore
from ledger.domain.roles import check_admin, lasting_admins
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.states import State
from ledger.domain.world import World
from ledger.errors import ConflictError, InputError, PolicyError
from ledger.events.actors import ActorEnrolled, ActorRevoked, KeyEnrolled, KeyRevoked
from ledger.events.keyring import (
    ActorOffboarded,
    ActorResponsibleChanged,
    ApprovalDelegated,
    EntryReaffirmed,
    KeyCompromised,
    KeyRotated,
    RoleGranted,
    RoleRevoked,
)
from ledger.events.ledgers import (
    CheckpointKeyChanged,
    EntryAcknowledged,
    LedgerCreated,
    LedgerRestored,
    RootsChanged,
    RulesChanged,
)
from ledger.events.subjects import HoldPlaced, HoldReleased, SubjectErased

__all__ = ["check_authority_event"]

#: What can take the last admin away.
_TAKING = (ActorOffboarded, ActorResponsibleChanged, ActorRevoked, KeyCompromised, KeyRevoked, RoleRevoked)


def _check_acknowledgement(world: World, event: RecordedEvent, body: EntryAcknowledged) -> int:
    if event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    if body.index >= event.index:
        raise InputError(f"there is no entry {body.index} yet to acknowledge")
    leaf = world.leaf_hash(body.index)
    if leaf is None or leaf.hex() != body.leaf_hash:
        raise ConflictError(f"the entry {body.index} is not the one its author saw")
    return check_admin(world, event)


def _check_creation(event: RecordedEvent, body: LedgerCreated) -> int:
    if event.index != 0 or event.actor != ROOT_ACTOR:
        raise PolicyError("ledger.created is the first entry, signed by the root keys, and only that")
    if body.ledgerid != event.payload.ledgerid or event.subject.name != body.ledgerid:
        raise InputError("ledger.created names another ledger in its body than in its header")
    if len(set(body.roots)) < body.threshold:
        raise InputError("the threshold is larger than the number of root keys")
    return FOREVER


def _check_actor_event(world: World, event: RecordedEvent) -> int:
    match event.body:
        case ActorEnrolled() as body:
            return check_enrolment(world, event, body)
        case ActorRevoked():
            return check_taking(world, event, known_actor(world, event))
        case ActorResponsibleChanged() as body:
            return check_responsible(world, event, body)
        case ActorOffboarded() as body:
            return check_offboarding(world, event, body)
        case RoleGranted() as body:
            return check_grant(world, event, body)
        case RoleRevoked() as body:
            return check_role_revocation(world, event, body)
        case ApprovalDelegated() as body:
            return check_delegation(world, event, body)
    return _check_key_event(world, event)


def _check_key_event(world: World, event: RecordedEvent) -> int:
    match event.body:
        case KeyEnrolled() as body:
            return check_key(world, event, body)
        case KeyRotated() as body:
            return check_rotation(world, event, body)
        case KeyRevoked() as body:
            return check_key_revocation(world, event, body)
        case KeyCompromised() as body:
            return check_compromise(world, event, body)
        case EntryReaffirmed() as body:
            return check_reaffirmation(world, event, body)
    return FOREVER


class _After:
    """The world after an event that is being judged."""

    def __init__(self, world: World, event: RecordedEvent) -> None:
        self._world, self._event = world, event

    def state(self, stream: str) -> State | None:
        """See `World.state`."""
        before = self._world.state(stream)
        return evolve(before, self._event) if stream == self._event.stream else before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


def _check_admin_remains(world: World, event: RecordedEvent) -> None:
    """Nothing leaves a ledger without an admin, whoever signs it: then only the root keys could go on."""
    if not isinstance(event.body, _TAKING) or not lasting_admins(world, event.index):
        return
    if not lasting_admins(cast("World", _After(world, event)), event.index + 1):
        raise PolicyError(
            f"{event.payload.type} would leave this ledger without an admin who can sign",
            hint="Enrol another admin, or another key of this one, first: --as root.",
        )


def check_authority_event(world: World, event: RecordedEvent) -> int:
    """Check events that change who may do what.

    Returns:
        As `roles.check_roles`.

    Raises:
        LedgerError: of the class that fits: not allowed, conflict or malformed.
    """
    match event.body:
        case LedgerCreated() as body:
            until = _check_creation(event, body)
        case EntryAcknowledged() as body:
            until = _check_acknowledgement(world, event, body)
        case RootsChanged() | CheckpointKeyChanged() | RulesChanged() as body:
            until = check_ledger_keys(world, event, body)
        case LedgerRestored() as body:
            until = check_restore(world, event, body)
        case SubjectErased() | HoldPlaced() | HoldReleased() as body:
            check_subject_event(world, event, body)
            until = FOREVER  # the role's own end is asked for where roles are checked
        case _:
            until = _check_actor_event(world, event)
    _check_admin_remains(world, event)
    return until
