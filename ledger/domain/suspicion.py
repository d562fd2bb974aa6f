"""Which entries are suspect, as of an index: what a compromised key signed, and what was made possible by that.

An entry is suspect when nobody in good standing signed it: each of its author's keys had been in other hands by then,
or was enrolled by a suspect entry, or its author was, or the roles it acted in were granted by one. An entry that was
reaffirmed by one that is in order is not. This is asked when something rests on the entry, in the world of whoever
asks: so earlier answers stay as they were, and nothing has to be undone in any state.
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
    return _Inquiry(world).of(signed)


def key_suspicion(world: World, state: ActorState, keyid: str) -> Suspicion | None:
    """Why a key was not enrolled in good standing, None when it was."""
    if state.keys[keyid].signed.index == state.signed.index:
        return None
    return _Inquiry(world).faults(state, [keyid])[keyid]


class _Inquiry:
    """One question, and the entries on the way to its answer.

    An entry that is reaffirmed rests on a later one. The later one was recorded while the first was suspect, so it does
    not rest on it; but looking at all that may speak for an entry can lead in a circle. What speaks for an entry only
    if that entry is in order does not speak for it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: list[int] = []

    def of(self, signed: Signed) -> Suspicion | None:
        """See `suspicion`."""
        state = None if signed.actor == ROOT_ACTOR else actor_of(self._world, signed.actor)
        if state is None or state.rooted:
            return None
        if signed.index in self._asked:
            return Suspicion(signed.index, signed.index, "", signed.actor)
        self._asked.append(signed.index)
        try:
            found = self.of(state.signed) or self._by_keys(state, signed) or self._by_roles(state, signed)
            if found is not None and self._reaffirmed(state, signed.index):
                return None
        finally:
            self._asked.pop()
        return found and Suspicion(signed.index, found.cause, found.keyid, found.owner)

    def _reaffirmed(self, state: ActorState, index: int) -> bool:
        return index in state.reaffirmed and self.of(state.reaffirmed[index]) is None

    def _by_keys(self, state: ActorState, signed: Signed) -> Suspicion | None:
        return _weigh(state, self.faults(state, signed.keys), signed)

    def faults(self, state: ActorState, wanted: Iterable[str]) -> dict[str, Suspicion | None]:
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
        # In the order they came: a key brings in only later ones. There may be hundreds of them, so no recursion.
        for keyid, held in sorted(needed.items(), key=lambda item: item[1].enrolled):
            by = held.signed
            if by.index == state.signed.index:
                faults[keyid] = None  # its enrolment is asked about by itself
            elif by.actor == state.actor:
                fault = _weigh(state, faults, by)
                faults[keyid] = None if fault is None or self._reaffirmed(state, by.index) else fault
            else:
                faults[keyid] = self.of(by)
        return faults

    def _by_roles(self, state: ActorState, signed: Signed) -> Suspicion | None:
        kind = known_event_type(signed.type)
        found: Suspicion | None = None
        if kind is None or not kind.roles:
            return None
        for grant in state.grants:
            if grant.role in kind.roles and signed.recorded_at < grant.until and grant.covers(signed):
                if grant.signed.index == state.signed.index:
                    return None
                fault = self.of(grant.signed)
                if fault is None:
                    return None
                found = found or fault
        return found


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


def first_doubt(world: World, state: ActorState) -> int | None:
    """First index at which an entry of an actor may be suspect, None when none is."""
    doubts = [held.compromised[0] for held in state.keys.values() if held.compromised is not None]
    if suspicion(world, state.signed) is not None:
        doubts.append(state.signed.index + 1)
    doubts += [held.enrolled for keyid, held in state.keys.items() if key_suspicion(world, state, keyid) is not None]
    doubts += [grant.signed.index for grant in state.grants if suspicion(world, grant.signed) is not None]
    return min(doubts) if doubts else None
