"""Which keys may sign an event: keys by index, root keys by threshold."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ledger.domain.actors import ActorState
from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.suspicion import key_suspicion, suspicion
from ledger.domain.world import World, actor_of, ledger_of
from ledger.errors import AuthenticationError
from ledger.events import Body
from ledger.events.actors import ActorEnrolled, KeyEnrolled
from ledger.events.keyring import KeyRotated
from ledger.events.ledgers import CheckpointKeyChanged, LedgerCreated, RootsChanged
from ledger.keys import PublicKey, parse_public_key
from ledger.note import parse_vkey

__all__ = ["ROOT_ACTOR", "possession_keys", "signing_keys"]


def possession_keys(body: Body | None, roots: Collection[PublicKey]) -> dict[str, PublicKey]:
    """The keys an event brings: they sign too, to prove possession (design §6).

    Args:
        body: of the event.
        roots: root keys in force before it.
    """
    match body:
        case ActorEnrolled(key=text) | KeyEnrolled(key=text) | KeyRotated(key=text):
            keys = [parse_public_key(text)]
        case RootsChanged(roots=texts):
            keys = [key for key in map(parse_public_key, texts) if key not in roots]
        case CheckpointKeyChanged(vkey=text):
            keys = [parse_vkey(text).public_key]
        case _:
            keys = []
    return {key.keyid: key for key in keys}


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
    doubt = suspicion(world, actor.signed)
    if doubt is not None:
        raise AuthenticationError(
            f"the enrolment of {event.actor!r} counts no more: {doubt.text}",
            hint="An admin looks at it: muniment entry reaffirm …, or enrols the actor anew.",
        )
    valid = {keyid: held.key for keyid, held in actor.keys.items() if held.valid_at(event.index)}
    return {keyid: key for keyid, key in valid.items() if keyid not in event.keys or _in_order(world, actor, keyid)}


def _in_order(world: World, actor: ActorState, keyid: str) -> bool:
    return key_suspicion(world, actor, keyid) is None


def _explain_unknown(world: World, event: RecordedEvent, keyid: str) -> AuthenticationError:
    actor = actor_of(world, event.actor)
    state = None if actor is None else actor.keys.get(keyid)
    if actor is not None and state is not None and state.valid_at(event.index):
        doubt = key_suspicion(world, actor, keyid)
        return AuthenticationError(
            f"the key {keyid[:16]}… of {event.actor!r} counts no more: {'' if doubt is None else doubt.text}",
            hint="Sign with another key, or have that entry looked at: muniment entry reaffirm …",
        )
    if state is not None and state.until is not None and state.until == state.ends:
        return AuthenticationError(
            f"the key {keyid[:16]}… of {event.actor!r} was rotated and may sign until index {state.until}",
            hint="Sign with the new key; `muniment key list` shows both.",
        )
    if state is not None and state.revoked is not None:
        return AuthenticationError(
            f"the key {keyid[:16]}… of {event.actor!r} was revoked at index {state.revoked}",
            hint="Sign with a key that is still valid; `muniment key list` shows them.",
        )
    return AuthenticationError(
        f"the key {keyid[:16]}… is not enrolled for {event.actor!r}",
        hint="`muniment key list` shows the enrolled keys; an admin enrols one with `muniment key enrol`.",
    )


def keys_end(world: World, event: RecordedEvent) -> int | None:
    """Index from which a key that signs an event may sign no more, None when no end is known.

    Args:
        world: the world before the event.
        event: the event; its keys were checked (`signing_keys`).
    """
    actor = None if event.actor == ROOT_ACTOR else actor_of(world, event.actor)
    held = [] if actor is None else [actor.keys[keyid] for keyid in event.keys if keyid in actor.keys]
    return min((key.ends for key in held if key.ends is not None), default=None)


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
    ledger = ledger_of(world) if isinstance(event.body, RootsChanged) else None
    possession = possession_keys(event.body, () if ledger is None else ledger.roots)
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
            f"{len(signed & own.keys())}",
            hint="Let the holders sign it, each where the key is: muniment root propose --help"
            if event.actor == ROOT_ACTOR
            else "",
        )
    if not possession.keys() <= signed:
        missing = min(possession.keys() - signed)
        raise AuthenticationError(f"the new key {missing[:16]}… must sign too (proof of possession)")
    return {keyid: (own | possession)[keyid] for keyid in event.keys}
