"""Actors and their keys as the log tells them: state, and how one valid event changes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from ledger.domain.recorded import RecordedEvent
from ledger.events.actors import ActorEnrolled, ActorRevoked, KeyEnrolled, KeyRevoked
from ledger.keys import PublicKey, parse_public_key

__all__ = ["ActorState", "KeyState", "evolve_actor", "with_item"]

_K = TypeVar("_K")
_V = TypeVar("_V")


def with_item(mapping: MappingProxyType[_K, _V], key: _K, value: _V) -> MappingProxyType[_K, _V]:
    """The mapping with one item set."""
    return MappingProxyType({**mapping, key: value})


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key of an actor; valid for indexes in [enrolled, revoked)."""

    key: PublicKey
    enrolled: int
    revoked: int | None = None

    def valid_at(self, index: int) -> bool:
        """Whether an entry at ``index`` may be signed with it."""
        return self.enrolled <= index and (self.revoked is None or index < self.revoked)


@dataclass(frozen=True, slots=True)
class ActorState:
    """An actor: a person or a service."""

    actor: str
    kind: str
    person: str | None
    roles: tuple[str, ...]
    keys: MappingProxyType[str, KeyState]
    revoked: int | None = None


def evolve_actor(state: ActorState | None, event: RecordedEvent) -> ActorState | None:
    """The state of an actor after one valid event of its stream."""
    match event.body:
        case ActorEnrolled() as body:
            key = parse_public_key(body.key)
            person = (body.person or event.subject.name) if body.kind == "person" else body.responsible
            keys = MappingProxyType({key.keyid: KeyState(key, event.index)})
            return ActorState(event.subject.name, body.kind, person, body.roles, keys)
        case KeyEnrolled() as body if state is not None:
            key = parse_public_key(body.key)
            return replace(state, keys=with_item(state.keys, key.keyid, KeyState(key, event.index)))
        case KeyRevoked() as body if state is not None:
            old = state.keys[body.keyid]
            return replace(state, keys=with_item(state.keys, body.keyid, replace(old, revoked=event.index)))
        case ActorRevoked() if state is not None:
            return replace(state, revoked=event.index)
    return state
