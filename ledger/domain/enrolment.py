"""How actors and their first keys come, and how actors, keys and responsible persons go."""

from __future__ import annotations

from ledger.domain.actors import FOREVER, ActorState
from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_admin, check_own_say
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World, actor_of, ledger_of
from ledger.errors import ConflictError, InputError, NotAllowedError
from ledger.events.actors import ActorEnrolled
from ledger.events.keyring import ActorOffboarded, ActorResponsibleChanged
from ledger.keys import parse_public_key
from ledger.names import parse_actor

__all__ = [
    "check_enrolment",
    "check_new_key",
    "check_offboarding",
    "check_responsible",
    "check_taking",
    "known_actor",
]


def check_new_key(world: World, text: str) -> None:
    """Refuse a key that is or ever was in use.

    Raises:
        ConflictError: it is somebody's, a root key or one that signs checkpoints.
    """
    key = parse_public_key(text)
    holder = world.key_holder(key.keyid)
    ledger = ledger_of(world)
    if holder is not None:
        raise ConflictError(f"the key {key.keyid[:16]}… was already enrolled for {holder!r}")
    if ledger is None:
        return
    if key.keyid in {root.keyid for root in ledger.roots} | ledger.former_roots:
        raise ConflictError("a root key cannot be an actor's key too")
    if key.raw in {one.vkey.public for one in ledger.log_keys.keys}:
        raise ConflictError("a key that signs checkpoints cannot be an actor's key too")


def check_enrolment(world: World, event: RecordedEvent, body: ActorEnrolled) -> int:
    """Check that an actor may be enrolled; returns as `roles.check_roles`."""
    name = event.subject.name
    if name == ROOT_ACTOR:
        raise InputError("'root' names the root keys and cannot be an actor")
    if name == "checkpoint":  # keys are kept under their owner's name
        raise InputError("'checkpoint' names the key that signs heads and cannot be an actor")
    parse_actor(name)  # a name may be spelt in more ways than the id that events are signed under
    if actor_of(world, name) is not None:
        raise ConflictError(
            f"the actor {name!r} is already enrolled",
            hint=f"For another role: muniment actor grant {name} ROLE; for another key: muniment key enrol {name}",
        )
    _check_behind(body)
    person = (body.person or name) if body.kind == "person" else body.responsible
    if person is not None and person != name:
        _check_person(world, person)
    if "admin" in body.roles and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may enrol an admin", hint="Sign with them: --as root.")
    until = check_admin(world, event, person if body.kind == "person" else None)
    check_own_say(world, event, () if person is None else (person,), body.roles)
    check_new_key(world, body.key)
    return until


def _check_behind(body: ActorEnrolled) -> None:
    """One person stands behind an actor, and is named in the one field for it: else two could be read in one event."""
    if body.kind == "person" and body.responsible is not None:
        raise InputError("nobody answers for a person but that person", hint="Leave 'responsible' out.")
    if body.kind == "service" and body.person is not None:
        raise InputError("a service is no person", hint="Leave 'person' out; who answers for it is 'responsible'.")
    if body.kind == "service" and body.responsible is None:
        raise InputError("a service needs a responsible person", hint="Name one: --responsible p-…")


def _check_person(world: World, person: str) -> None:
    """Whoever stands behind an actor is an enrolled person, and not somebody else's second name."""
    state = actor_of(world, person)
    if state is None or state.revoked is not None or state.kind != "person" or state.person != person:
        raise InputError(
            f"{person!r} is not enrolled as a person of its own", hint="`muniment actor list` shows persons."
        )
    doubt = suspicion(world, state.signed)
    if doubt is not None:
        raise InputError(f"{person!r} is not in good standing: {doubt.text}")


def known_actor(world: World, event: RecordedEvent, *, present: bool = True) -> ActorState:
    """The actor an event is about.

    Raises:
        ConflictError: it is not enrolled, or has gone although it should be ``present``.
    """
    actor = actor_of(world, event.subject.name)
    if actor is None:
        hint = f"Enrol it: muniment actor enrol {event.subject.name} …; who is: muniment actor list"
        raise ConflictError(f"the actor {event.subject.name!r} is not enrolled", hint=hint)
    if present and actor.revoked is not None:
        raise ConflictError(f"the actor {actor.actor!r} is already revoked")
    return actor


def check_taking(world: World, event: RecordedEvent, actor: ActorState) -> int:
    """Who may take something from an actor: itself, an admin, and from an admin only the root keys.

    Returns:
        As `roles.check_roles`.
    """
    if event.actor == actor.actor:  # giving up one's own is always allowed
        return FOREVER
    until = check_admin(world, event)
    if actor.is_admin and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may take from an admin", hint="Sign with them: --as root.")
    return until


def check_responsible(world: World, event: RecordedEvent, body: ActorResponsibleChanged) -> int:
    """Check that another person may answer for a service; returns as `roles.check_roles`."""
    actor = known_actor(world, event)
    if actor.kind != "service":
        raise InputError(f"{actor.actor!r} is a person, and answers for itself")
    if body.responsible == actor.person and (actor.assigned is None or suspicion(world, actor.assigned) is None):
        raise ConflictError(f"{body.responsible!r} answers for {actor.actor!r} already")
    _check_person(world, body.responsible)
    if actor.is_admin and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may say who answers for an admin", hint="Sign with them: --as root.")
    until = check_admin(world, event)
    check_own_say(world, event, (body.responsible,), actor.roles)
    return until


def check_offboarding(world: World, event: RecordedEvent, body: ActorOffboarded) -> int:
    """Check that an actor may be made to leave; returns as `roles.check_roles`."""
    actor = known_actor(world, event)
    if actor.is_admin and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may offboard an admin", hint="Sign with them: --as root.")
    until = check_admin(world, event, actor.self_person)
    if body.successor is None:
        return until
    successor = actor_of(world, body.successor)
    if successor is None or successor.revoked is not None or successor.actor == actor.actor:
        raise InputError(
            f"{body.successor!r} cannot succeed {actor.actor!r}: it is not enrolled, has left, or is the same actor",
            hint="`muniment actor list` shows who there is.",
        )
    if actor.kind == "person" and (successor.kind != "person" or successor.person == actor.person):
        raise InputError(f"{body.successor!r} cannot succeed {actor.actor!r}: another person must")
    doubt = suspicion(world, successor.signed)
    if doubt is not None:
        raise InputError(f"{body.successor!r} is not in good standing: {doubt.text}")
    return until
