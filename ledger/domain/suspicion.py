"""Which entries are suspect, as of an index: what a compromised key signed, and what was made possible by that.

An entry is suspect when nobody in good standing signed it: each of its author's keys had been in other hands by then,
or was enrolled by a suspect entry, or its author was, or the roles it acted in were granted by one. An entry that was
reaffirmed by one that is in order is not. This is asked when something rests on the entry, in the world of whoever
asks: so earlier answers stay as they were, and nothing has to be undone in any state.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain.actors import ActorState
from ledger.domain.signed import Signed
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
    """Why the entry that brought a key in is suspect, None when it is not or is the actor's enrolment."""
    by = state.keys[keyid].signed
    return None if by is state.signed else suspicion(world, by)


class _Inquiry:
    """One question, and the entries that bear on its answer.

    An entry that is reaffirmed rests on a later one, so looking at all that may speak for an entry can lead in circles.
    What speaks for an entry only if that entry is in order does not speak for it: all are taken to be suspect until
    something shows that one is not, and whatever rests on that one is looked at again. Good standing only spreads, so
    each entry is looked at at most as often as it rests on others, however they are woven together.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._states: dict[str, ActorState | None] = {}
        self._entries: dict[int, Signed] = {}
        self._found: dict[int, Suspicion | None] = {}
        self._resting: dict[int, set[int]] = {}  # entry: those that were looked at and rest on it
        self._due: list[int] = []
        self._asking: int | None = None

    def of(self, signed: Signed) -> Suspicion | None:
        """See `suspicion`."""
        self._asking = None
        if self._ask(signed) is None:
            return None
        if self._due:
            self._settle()
        return self._found[signed.index]

    def _settle(self) -> None:
        while self._due:
            index = self._asking = self._due.pop()
            if self._found[index] is not None and self._look(self._entries[index]) is None:
                self._found[index] = None
                self._due.extend(self._resting[index])
        # Which key is to blame is known from the first entry on: but for reaffirmations, entries rest on earlier ones.
        for index in sorted(index for index, fault in self._found.items() if fault is not None):
            self._asking, fault = index, self._fault(self._entries[index])
            if fault is not None:
                self._found[index] = Suspicion(index, fault.cause, fault.keyid, fault.owner)

    def _ask(self, signed: Signed) -> Suspicion | None:
        """What is known of an entry so far; noted as something the one that is looked at rests on."""
        state = self._state(signed)
        if state is None or state.rooted:
            return None
        if signed.index not in self._found:
            self._entries[signed.index] = signed
            self._found[signed.index] = Suspicion(signed.index, signed.index, "", signed.actor)
            self._resting[signed.index] = set()
            self._due.append(signed.index)
        if self._asking is not None:
            self._resting[signed.index].add(self._asking)
        return self._found[signed.index]

    def _state(self, signed: Signed) -> ActorState | None:
        if signed.actor not in self._states:
            self._states[signed.actor] = actor_of(self._world, signed.actor)
        return self._states[signed.actor]

    def _look(self, signed: Signed) -> Suspicion | None:
        fault, state = self._fault(signed), self._state(signed)
        said = None if state is None else state.reaffirmed.get(signed.index)
        return fault if fault is None or said is None else self._ask(said)

    def _fault(self, signed: Signed) -> Suspicion | None:
        """Why an entry is suspect unless it was reaffirmed."""
        state = self._state(signed)
        if state is None:
            return None
        return self._ask(state.signed) or self._by_keys(state, signed) or self._by_roles(state, signed)

    def _by_keys(self, state: ActorState, signed: Signed) -> Suspicion | None:
        """Why none of the author's own signatures of an entry is in good standing."""
        found: Suspicion | None = None
        for keyid in signed.keys:
            held = state.keys.get(keyid)
            if held is None or held.enrolled >= signed.index:
                continue  # it signed to show possession
            if held.compromised is not None and held.compromised[0] <= signed.index:
                fault: Suspicion | None = Suspicion(signed.index, held.compromised[1], keyid, state.actor)
            else:
                fault = self._ask(held.signed)
            if fault is None:
                return None
            found = found or fault
        return found

    def _by_roles(self, state: ActorState, signed: Signed) -> Suspicion | None:
        kind = known_event_type(signed.type)
        found: Suspicion | None = None
        if kind is None or not kind.roles:
            return None
        for grant in state.grants:
            if grant.role in kind.roles and signed.recorded_at < grant.until and grant.covers(signed):
                fault = self._ask(grant.signed)
                if fault is None:
                    return None
                found = found or fault
        return found


def first_doubt(world: World, state: ActorState) -> int | None:
    """First index at which an entry of an actor may be suspect, None when none is."""
    ask = _Inquiry(world).of
    doubts = [held.compromised[0] for held in state.keys.values() if held.compromised is not None]
    brought = [held.signed for held in state.keys.values() if held.signed is not state.signed]
    doubts += [by.index for by in (*brought, *(grant.signed for grant in state.grants)) if ask(by) is not None]
    return min(doubts) if doubts else None
