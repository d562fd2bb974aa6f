"""Who may sign what: keys by index, roots by threshold, roles by type, and how actors come and go."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.domain.recorded import RecordedEvent
from ledger.domain.states import ActorState
from ledger.domain.world import World, actor_of, ledger_of
from ledger.errors import AuthenticationError, ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.actors import ActorEnrolled, ActorRevoked, KeyEnrolled, KeyRevoked
from ledger.events.ledgers import EntryAcknowledged, LedgerCreated
from ledger.keys import PublicKey, parse_public_key

__all__ = ["ROOT_ACTOR", "check_authority_event", "check_roles", "signing_keys"]

#: The source of events signed by the root keys themselves.
ROOT_ACTOR = "root"


def _possession_key(event: RecordedEvent) -> dict[str, PublicKey]:
    """The key an event enrols: it signs too, to prove possession (design §6)."""
    if isinstance(event.body, ActorEnrolled | KeyEnrolled):
        key = parse_public_key(event.body.key)
        return {key.keyid: key}
    return {}


def _root_keys(world: World, event: RecordedEvent) -> tuple[dict[str, PublicKey], int]:
    if isinstance(event.body, LedgerCreated):  # self-certifying: the trust file pins its hash
        keys = [parse_public_key(text) for text in event.body.roots]
        return {key.keyid: key for key in keys}, event.body.threshold
    ledger = ledger_of(world)
    if ledger is None:
        raise AuthenticationError("the ledger has no first entry, so no root key is known")
    return {key.keyid: key for key in ledger.roots}, ledger.threshold


def _actor_keys(world: World, event: RecordedEvent) -> dict[str, PublicKey]:
    actor = actor_of(world, event.actor)
    if actor is None:
        raise AuthenticationError(
            f"the actor {event.actor!r} is not enrolled in this ledger",
            hint=f"An admin enrols it: muniment actor enrol {event.actor} …",
        )
    if actor.revoked is not None and event.index >= actor.revoked:
        raise AuthenticationError(f"the actor {event.actor!r} was revoked at index {actor.revoked}")
    return {keyid: state.key for keyid, state in actor.keys.items() if state.valid_at(event.index)}


def _explain_unknown(world: World, event: RecordedEvent, keyid: str) -> AuthenticationError:
    actor = actor_of(world, event.actor)
    state = None if actor is None else actor.keys.get(keyid)
    if state is not None and state.revoked is not None:
        return AuthenticationError(
            f"the key {keyid[:16]}… of {event.actor!r} was revoked at index {state.revoked}",
            hint="Sign with a key that is still valid; `muniment key list` shows them.",
        )
    return AuthenticationError(
        f"the key {keyid[:16]}… is not enrolled for {event.actor!r}",
        hint="`muniment key list` shows the enrolled keys; an admin enrols one with `muniment key enrol`.",
    )


def signing_keys(world: World, event: RecordedEvent) -> Mapping[str, PublicKey]:
    """Return the keys this event's envelope is signed with, after checking that each may sign it.

    Args:
        world: the world before the event.
        event: the event; ``event.keys`` are the envelope's key ids.

    Returns:
        Key id to public key, for exactly ``event.keys``.

    Raises:
        AuthenticationError: a key is unknown, revoked or another actor's, or signatures are missing.
    """
    possession = _possession_key(event)
    if event.actor == ROOT_ACTOR:
        own, threshold = _root_keys(world, event)
    else:
        own, threshold = _actor_keys(world, event), 1
    signed = set(event.keys)
    for keyid in event.keys:
        if keyid not in own and keyid not in possession:
            raise _explain_unknown(world, event, keyid)
    if len(signed & own.keys()) < threshold:
        raise AuthenticationError(
            f"{event.payload.type} by {event.actor!r} needs {threshold} of its own signatures and has "
            f"{len(signed & own.keys())}"
        )
    if not possession.keys() <= signed:
        raise AuthenticationError("the key being enrolled must sign its own enrolment (proof of possession)")
    return {keyid: (own | possession)[keyid] for keyid in event.keys}


def check_roles(world: World, event: RecordedEvent) -> None:
    """Refuse an author who lacks every role its event type asks for.

    Raises:
        NotAllowedError: with the roles that would do.
    """
    if event.kind is None or event.actor == ROOT_ACTOR or not event.kind.roles:
        return
    actor = actor_of(world, event.actor)
    if actor is None or not set(event.kind.roles) & set(actor.roles):
        has = "none" if actor is None else ", ".join(actor.roles)
        raise NotAllowedError(
            f"{event.kind.name} needs the role {' or '.join(event.kind.roles)}; {event.actor!r} has {has}"
        )


def _check_admin(world: World, event: RecordedEvent, person: str | None, *, is_person: bool) -> None:
    """Root keys may do anything here; admins anything but for their own person (design §6)."""
    if event.actor == ROOT_ACTOR:
        return
    admin = actor_of(world, event.actor)
    if admin is None or "admin" not in admin.roles:
        raise NotAllowedError(f"{event.payload.type} needs the role admin or the root keys")
    if is_person and person == admin.person:
        raise NotAllowedError(
            "an admin may not enrol actors or keys for their own person",
            hint="Ask another admin, or sign with the root keys: --as root.",
        )


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
    _check_admin(world, event, person, is_person=body.kind == "person")
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
    _check_admin(world, event, None, is_person=False)
    if "admin" in actor.roles and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may revoke an admin", hint="Sign with them: --as root.")


def _check_acknowledgement(world: World, event: RecordedEvent, body: EntryAcknowledged) -> None:
    if event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    if body.index >= event.index:
        raise InputError(f"there is no entry {body.index} yet to acknowledge")
    _check_admin(world, event, None, is_person=False)


def check_authority_event(world: World, event: RecordedEvent) -> None:
    """Check events that change who may do what.

    Raises:
        LedgerError: of the class that fits: not allowed, conflict or malformed.
    """
    match event.body:
        case LedgerCreated() as body:
            if event.index != 0 or event.actor != ROOT_ACTOR:
                raise PolicyError("ledger.created is the first entry, signed by the root keys, and only that")
            if body.ledgerid != event.payload.ledgerid or event.subject.name != body.ledgerid:
                raise InputError("ledger.created names another ledger in its body than in its header")
            if len(set(body.roots)) < body.threshold:
                raise InputError("the threshold is larger than the number of root keys")
        case EntryAcknowledged() as body:
            _check_acknowledgement(world, event, body)
        case ActorEnrolled() as body:
            _check_enrolment(world, event, body)
        case KeyEnrolled() as body:
            actor = _known_actor(world, event)
            if "admin" in actor.roles and event.actor != ROOT_ACTOR:
                raise NotAllowedError("only the root keys may enrol an admin's key", hint="Sign with them: --as root.")
            _check_admin(world, event, actor.person, is_person=actor.kind == "person")
            _check_new_key(world, event, body.key)
        case KeyRevoked() as body:
            _check_revocation(world, event, body.keyid)
        case ActorRevoked():
            _check_revocation(world, event, None)
