"""How keys and roles come and go: enrolled, rotated, revoked, compromised; granted, ended; entries reaffirmed."""

from __future__ import annotations

from ledger.domain.actors import FOREVER, ActorState, RoleGrant
from ledger.domain.enrolment import check_new_key, check_taking, known_actor
from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_admin, check_own_say
from ledger.domain.scopes import within
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.suspicion import first_doubt, suspicion
from ledger.domain.world import World, actor_of
from ledger.entry import parse_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.actors import KeyEnrolled, KeyRevoked
from ledger.events.keyring import (
    ApprovalDelegated,
    EntryReaffirmed,
    KeyCompromised,
    KeyRotated,
    RoleGranted,
    RoleRevoked,
)

__all__ = [
    "MAX_GRANTS",
    "answers_for",
    "check_compromise",
    "check_delegation",
    "check_grant",
    "check_key",
    "check_key_revocation",
    "check_reaffirmation",
    "check_role_revocation",
    "check_rotation",
]

#: Roles and grants an actor may hold at a time; each is looked at whenever it signs.
MAX_GRANTS = 64


def check_key(world: World, event: RecordedEvent, body: KeyEnrolled) -> int:
    """Check that a further key may be enrolled; returns as `roles.check_roles`."""
    actor = known_actor(world, event, present=False)
    until = _check_keys_of(world, event, actor)
    check_new_key(world, body.key)
    return until


def _check_keys_of(world: World, event: RecordedEvent, actor: ActorState) -> int:
    if actor.is_admin and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may enrol an admin's key", hint="Sign with them: --as root.")
    until = check_admin(world, event, actor.self_person)
    check_own_say(world, event, actor.persons, actor.roles)
    return until


def _held(actor: ActorState, keyid: str) -> None:
    if keyid not in actor.keys:
        raise InputError(f"{actor.actor!r} has no key {keyid[:16]}…", hint="`muniment key list` shows the keys.")


def check_rotation(world: World, event: RecordedEvent, body: KeyRotated) -> int:
    """Check that a key may be replaced: by its actor with the old key, or by an admin as any key is enrolled.

    Returns:
        As `roles.check_roles`.
    """
    actor = known_actor(world, event)
    _held(actor, body.keyid)
    if actor.keys[body.keyid].ends is not None:
        raise ConflictError(f"the key {body.keyid[:16]}… was rotated or revoked before")
    check_new_key(world, body.key)
    if event.actor != actor.actor:
        return _check_keys_of(world, event, actor)
    if body.keyid not in event.keys:
        raise NotAllowedError(
            "an actor rotates a key by signing with that very key", hint="Otherwise an admin does it: --as ADMIN."
        )
    return FOREVER


def check_key_revocation(world: World, event: RecordedEvent, body: KeyRevoked) -> int:
    """Check that a key may be revoked; returns as `roles.check_roles`."""
    actor = known_actor(world, event)
    _held(actor, body.keyid)
    if actor.keys[body.keyid].revoked is not None:
        raise ConflictError(f"the key {body.keyid[:16]}… is already revoked")
    return check_taking(world, event, actor)


def check_compromise(world: World, event: RecordedEvent, body: KeyCompromised) -> int:
    """Check that a key may be called compromised, also long after it ended; returns as `roles.check_roles`."""
    actor = known_actor(world, event, present=False)
    _held(actor, body.keyid)
    if body.since > event.index:
        raise InputError(f"there is no entry {body.since} yet since which the key could be compromised")
    known = actor.keys[body.keyid].compromised
    if known is not None and body.since >= known[0]:
        raise ConflictError(
            f"the key {body.keyid[:16]}… is known to be compromised since entry {known[0]}",
            hint="An earlier entry may be named; what is genuine is reaffirmed: muniment entry reaffirm …",
        )
    return check_taking(world, event, actor)


def check_reaffirmation(world: World, event: RecordedEvent, body: EntryReaffirmed) -> int:
    """Check that an entry may be called genuine.

    By its author (whose compromised key signs nothing any more), for a service by the person who answers for it, or by
    an admin of another person.

    Returns:
        As `roles.check_roles`.
    """
    actor = known_actor(world, event, present=False)
    leaf = None if body.index >= event.index else world.leaf_hash(body.index)
    if leaf is None or leaf.hex() != body.leaf_hash:
        raise ConflictError(f"the entry {body.index} is not the one its author saw")
    doubt = first_doubt(world, actor)
    if doubt is None or body.index < doubt:
        raise PolicyError(f"the entry {body.index} of {actor.actor!r} is not suspect, so there is nothing to reaffirm")
    if body.index in actor.reaffirmed and suspicion(world, actor.reaffirmed[body.index]) is None:
        raise ConflictError(f"the entry {body.index} is already reaffirmed")
    if event.actor == actor.actor:
        return FOREVER
    author = actor_of(world, event.actor)
    if author is not None and actor.kind == "service" and answers_for(world, author, actor):
        return FOREVER
    return check_admin(world, event, actor.person)


def answers_for(world: World, author: ActorState, service: ActorState) -> bool:
    """Whether a person answers for a service, and was not named by somebody who had stolen a key."""
    named = service.assigned is None or suspicion(world, service.assigned) is None
    return author.kind == "person" and author.person == service.person and named


def check_grant(world: World, event: RecordedEvent, body: RoleGranted) -> int:
    """Check that a role may be granted; returns as `roles.check_roles`."""
    actor = known_actor(world, event)
    if body.until is not None:
        parse_time(body.until)
    if body.role == "admin" and event.actor != ROOT_ACTOR:
        raise NotAllowedError("only the root keys may grant admin", hint="Sign with them: --as root.")
    _check_room(actor)
    until = check_admin(world, event, actor.self_person)
    check_own_say(world, event, actor.persons, (body.role,))
    return until


def _check_room(actor: ActorState) -> None:
    if sum(grant.ended is None for grant in actor.grants) >= MAX_GRANTS:
        raise PolicyError(
            f"{actor.actor!r} holds {MAX_GRANTS} roles and grants already",
            hint=f"End those that are over: muniment actor ungrant {actor.actor} ROLE --grant ID --reason …",
        )


def check_delegation(world: World, event: RecordedEvent, body: ApprovalDelegated) -> int:
    """Check that an approver may let another person approve; that it is one was asked before.

    Returns:
        As `roles.check_roles`.
    """
    actor, author = known_actor(world, event), actor_of(world, event.actor)
    until = parse_time(body.until)
    if until <= event.recorded_at:
        raise InputError(f"it would have ended before it is recorded: {body.until}")
    if author is None or actor.kind != "person" or actor.person == author.person:
        raise NotAllowedError("approving is handed on by an approver, and to another person")
    own = [g for g in author.grants if g.role == "approver" and g.delegator is None and g.stands_at(event.index)]
    lasting = [grant for grant in own if until <= grant.until and suspicion(world, grant.signed) is None]
    if not lasting:
        raise NotAllowedError(
            "an approver does not hand on what was handed on to it, nor for longer than its own role lasts",
            hint=f"See what it has: muniment actor show {event.actor}",
        )
    handed_on = (body.types, body.subjects, body.environments)
    if not any(within(handed_on, (grant.types, grant.subjects, grant.environments)) for grant in lasting):
        raise NotAllowedError(
            "an approver hands on no more than it may itself, and this reaches further",
            hint=f"Within its bounds: muniment actor delegate {actor.actor} {_bounds(lasting[0])} --until …",
        )
    _check_room(actor)
    return until


def _bounds(grant: RoleGrant) -> str:
    """The bounds of a grant, as the command line takes them."""
    options = (("--type", grant.types), ("--subject", grant.subjects), ("--env", grant.environments))
    return " ".join(f"{option} '{value}'" for option, values in options for value in values)


def check_role_revocation(world: World, event: RecordedEvent, body: RoleRevoked) -> int:
    """Check that a role may be taken away; returns as `roles.check_roles`."""
    actor = known_actor(world, event)
    held = [g for g in actor.grants if g.ended is None and g.role == body.role and body.grant in (None, g.id)]
    if not held:
        words = "" if body.grant is None else f" by the grant {body.grant}"
        raise ConflictError(
            f"{actor.actor!r} does not have the role {body.role}{words}",
            hint=f"See what it has: muniment actor show {actor.actor}",
        )
    until = check_taking(world, event, actor) if body.role == "admin" or event.actor == actor.actor else None
    return check_admin(world, event, actor.self_person) if until is None else until
