"""How actors and keys come and go."""

from __future__ import annotations

from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_admin
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.states import ActorState
from ledger.domain.world import World, actor_of, ledger_of
from ledger.errors import ConflictError, InputError, NotAllowedError
from ledger.events.actors import ActorEnrolled, ActorRevoked, KeyEnrolled, KeyRevoked
from ledger.keys import parse_public_key

__all__ = ["check_actor_event"]


def _check_new_key(world: World, event: RecordedEvent, text: str) -> None:
    key = parse_public_key(text)
    holder = world.key_holder(key.keyid)
    ledger = ledger_of(world)
    if holder is not None:
        raise ConflictError(f"the key {key.keyid[:16]}… was already enrolled for {holder!r}")
    if ledger is not None and key.keyid in {root.keyid for root in ledger.roots}:
        raise ConflictError("a root key cannot be an actor's key too")


def _check_enrolment(world: World, event: RecordedEvent, body: ActorEnrolled) -> None:
    name = event.subject.name
    if name == ROOT_ACTOR:
        raise InputError("'root' names the root keys and cannot be an actor")
    if name == "checkpoint":  # keys are kept under their owner's name
        raise InputError("'checkpoint' names the key that signs heads and cannot be an actor")
    if event.subject.namespace is not None:
        raise InputError("an actor's subject is actor:<id> with no namespace")
    if actor_of(world, name) is not None:
        raise ConflictError(f"the actor {name!r} is already enrolled")
    if body.kind == "service" and body.responsible is None:
        raise InputError("a service needs a responsible person", hint="Name one: --responsible p-…")
    person = (body.person or name) if body.kind == "person" else body.responsible
    if person is not None and person != name:
        _check_person(world, person)
    if "admin" in body.roles and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may enrol an admin", hint="Sign with them: --as root.")
    check_admin(world, event, person, is_person=body.kind == "person")
    _check_new_key(world, event, body.key)


def _check_person(world: World, person: str) -> None:
    """Whoever stands behind an actor is an enrolled person, and not somebody else's second name."""
    state = actor_of(world, person)
    if state is None or state.revoked is not None or state.kind != "person" or state.person != person:
        raise InputError(
            f"{person!r} is not enrolled as a person of its own", hint="`muniment actor list` shows persons."
        )


def _known_actor(world: World, event: RecordedEvent) -> ActorState:
    actor = actor_of(world, event.subject.name)
    if actor is None:
        raise ConflictError(f"the actor {event.subject.name!r} is not enrolled")
    return actor


def _check_revocation(world: World, event: RecordedEvent, keyid: str | None) -> None:
    actor = _known_actor(world, event)
    if keyid is not None and keyid not in actor.keys:
        raise InputError(f"{actor.actor!r} has no key {keyid[:16]}…")
    if keyid is not None and actor.keys[keyid].revoked is not None:
        raise ConflictError(f"the key {keyid[:16]}… is already revoked")
    if actor.revoked is not None:
        raise ConflictError(f"the actor {actor.actor!r} is already revoked")
    if event.actor == actor.actor:  # giving up one's own key is always allowed
        return
    check_admin(world, event, None, is_person=False)
    if "admin" in actor.roles and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may revoke an admin", hint="Sign with them: --as root.")


def check_actor_event(world: World, event: RecordedEvent) -> None:
    """Check events about actors and their keys.

    Raises:
        LedgerError: of the class that fits: not allowed, conflict or malformed.
    """
    match event.body:
        case ActorEnrolled() as body:
            _check_enrolment(world, event, body)
        case KeyEnrolled() as body:
            actor = _known_actor(world, event)
            if "admin" in actor.roles and event.actor != ROOT_ACTOR:
                raise NotAllowedError("only the root keys may enrol an admin's key", hint="Sign with them: --as root.")
            check_admin(world, event, actor.person, is_person=actor.kind == "person")
            _check_new_key(world, event, body.key)
        case KeyRevoked() as body:
            _check_revocation(world, event, body.keyid)
        case ActorRevoked():
            _check_revocation(world, event, None)
