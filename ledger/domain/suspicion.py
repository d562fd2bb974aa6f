"""Which entries are suspect, as of an index: what a compromised key signed, and what was made possible by that.

An entry is suspect when nobody in good standing signed it: each of its author's keys had been in other hands by then,
or was enrolled by a suspect entry, or its author was, or the roles it acted in were granted by one. An entry that was
reaffirmed is not. This is asked when something rests on the entry, in the world of the one who asks: so earlier answers
stay as they were, and nothing has to be undone in any state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.domain.actors import ActorState, KeyState
from ledger.domain.signed import ROOT_ACTOR, Signed
from ledger.domain.world import World, actor_of
from ledger.events import known_event_type

__all__ = ["Suspicion", "first_doubt", "key_suspicion", "suspicion"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why an entry is suspect.

    Attributes:
        index: the entry.
        cause: index of the entry that said a key was compromised.
        keyid: that key.
        owner: actor whose key it is.
    """

    index: int
    cause: int
    keyid: str
    owner: str

    @property
    def text(self) -> str:
        """In words."""
        return f"entry {self.index} is suspect: entry {self.cause} says that a key of {self.owner} was compromised"


def suspicion(world: World, signed: Signed) -> Suspicion | None:
    """Why an entry is suspect in a world, None when it is not.

    Args:
        world: the world of whoever asks; the entry lies before it.
        signed: the entry.
    """
    found = None
    if signed.actor != ROOT_ACTOR:
        state = actor_of(world, signed.actor)
        if state is not None and not state.rooted and signed.index not in state.reaffirmed:
            found = suspicion(world, state.signed) or _by_keys(world, state, signed) or _by_roles(world, state, signed)
    return found and Suspicion(signed.index, found.cause, found.keyid, found.owner)


def key_suspicion(world: World, state: ActorState, keyid: str) -> Suspicion | None:
    """Why a key was not enrolled in good standing, None when it was."""
    if state.keys[keyid].signed.index == state.signed.index:
        return None
    return _faults(world, state, [keyid])[keyid]


def _by_keys(world: World, state: ActorState, signed: Signed) -> Suspicion | None:
    return _weigh(state, _faults(world, state, signed.keys), signed)


def _faults(world: World, state: ActorState, wanted: Iterable[str]) -> dict[str, Suspicion | None]:
    """Why keys were not enrolled in good standing, and those with which an actor brought them in itself."""
    needed: dict[str, KeyState] = {}
    todo = list(wanted)
    while todo:
        keyid = todo.pop()
        if keyid in state.keys and keyid not in needed:
            held = needed[keyid] = state.keys[keyid]
            if held.signed.actor == state.actor:
                todo.extend(held.signed.keys)
    faults: dict[str, Suspicion | None] = {}
    # In the order they came: a key brings in only later ones. There may be a thousand of them, so no recursion.
    for keyid, held in sorted(needed.items(), key=lambda item: item[1].enrolled):
        by = held.signed
        if by.index == state.signed.index or by.index in state.reaffirmed:
            faults[keyid] = None
        elif by.actor == state.actor:
            faults[keyid] = _weigh(state, faults, by)
        else:
            faults[keyid] = suspicion(world, by)
    return faults


def _weigh(state: ActorState, faults: dict[str, Suspicion | None], signed: Signed) -> Suspicion | None:
    """Why none of the author's own signatures of an entry is in good standing."""
    found: Suspicion | None = None
    for keyid in signed.keys:
        held = state.keys.get(keyid)
        if held is None or held.enrolled >= signed.index:
            continue  # it signed to show possession
        fault = faults.get(keyid)
        if held.compromised is not None and held.compromised[0] <= signed.index:
            fault = Suspicion(signed.index, held.compromised[1], keyid, state.actor)
        if fault is None:
            return None
        found = found or fault
    return found


def _by_roles(world: World, state: ActorState, signed: Signed) -> Suspicion | None:
    kind = known_event_type(signed.type)
    found: Suspicion | None = None
    if kind is None or not kind.roles:
        return None
    for grant in state.grants:
        if grant.role in kind.roles and signed.recorded_at < grant.until and grant.covers(signed):
            if grant.signed.index == state.signed.index:
                return None
            fault = suspicion(world, grant.signed)
            if fault is None:
                return None
            found = found or fault
    return found


def first_doubt(world: World, state: ActorState) -> int | None:
    """First index at which an entry of an actor may be suspect, None when none is."""
    doubts = [held.compromised[0] for held in state.keys.values() if held.compromised is not None]
    if suspicion(world, state.signed) is not None:
        doubts.append(state.signed.index + 1)
    doubts += [held.enrolled for keyid, held in state.keys.items() if key_suspicion(world, state, keyid) is not None]
    doubts += [grant.signed.index for grant in state.grants if suspicion(world, grant.signed) is not None]
    return min(doubts) if doubts else None
