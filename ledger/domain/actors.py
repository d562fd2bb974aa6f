"""Actors, their keys and roles as the log tells them: state, and how one valid event changes it.

Nothing is forgotten that a later question about an earlier index needs: keys and grants keep where they began and
ended, so the state grows with the acts of authority about one actor, and with nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from ledger.domain.recorded import RecordedEvent
from ledger.domain.scopes import covers_stream, covers_type
from ledger.domain.signed import ROOT_ACTOR, Signed, signed_of
from ledger.entry import parse_time
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
from ledger.keys import PublicKey, parse_public_key

__all__ = ["FOREVER", "ActorState", "KeyState", "RoleGrant", "evolve_actor", "with_item"]

#: Later than any time an entry can be recorded at, in microseconds.
FOREVER = 2**63 - 1

_K = TypeVar("_K")
_V = TypeVar("_V")


def with_item(mapping: MappingProxyType[_K, _V], key: _K, value: _V) -> MappingProxyType[_K, _V]:
    """The mapping with one item set."""
    return MappingProxyType({**mapping, key: value})


def _nothing() -> MappingProxyType[int, Signed]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key of an actor; it may sign entries at indexes in [enrolled, ends).

    Attributes:
        key: the key.
        signed: the entry that enrolled it.
        until: index from which it may not sign because it was rotated, None when it was not.
        revoked: index of the entry that revoked it or said that it is compromised.
        compromised: (first index at which it may have been in other hands, index of the entry that said so first).
    """

    key: PublicKey
    signed: Signed
    until: int | None = None
    revoked: int | None = None
    compromised: tuple[int, int] | None = None

    @property
    def enrolled(self) -> int:
        """Index of the entry that enrolled it."""
        return self.signed.index

    @property
    def ends(self) -> int | None:
        """First index it may not sign, None while none is known."""
        known = [end for end in (self.until, self.revoked) if end is not None]
        return min(known) if known else None

    def valid_at(self, index: int) -> bool:
        """Whether an entry at ``index`` may be signed with it."""
        return self.enrolled <= index and (self.ends is None or index < self.ends)


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """One role of an actor, by its enrolment or by a grant.

    Attributes:
        id: event id of the entry that gave it.
        role: the role.
        signed: the entry that gave it.
        types, subjects, environments: what it covers; empty for everything.
        until: it covers what is recorded before; microseconds since the Unix epoch.
        ended: index of the entry that ended it.
        delegator: the approver who handed it on, None when an admin gave it.
    """

    id: str
    role: str
    signed: Signed
    types: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    until: int = FOREVER
    ended: int | None = None
    delegator: str | None = None

    @property
    def unlimited(self) -> bool:
        """Whether it covers everything for ever, until it is taken away."""
        return not (self.types or self.subjects or self.environments) and self.until == FOREVER

    def stands_at(self, index: int) -> bool:
        """Whether it had been given before an entry and not taken away."""
        return self.signed.index < index and (self.ended is None or index <= self.ended)

    def covers(self, act: Signed) -> bool:
        """Whether it covers an act, whenever that was recorded."""
        return (
            self.stands_at(act.index)
            and covers_type(self.types, act.type)
            and (covers_stream(self.subjects, act.stream) or self._covers_model(act))
            and (not self.environments or act.environment in self.environments)
        )

    def _covers_model(self, act: Signed) -> bool:
        """A waiver is reached by a role for the model it is for, whatever name it was given itself."""
        return act.about is not None and covers_stream(self.subjects, act.about)


@dataclass(frozen=True, slots=True)
class ActorState:
    """An actor: a person or a service.

    Attributes:
        actor: its id.
        kind: ``person`` or ``service``.
        person: the person behind it; for a service who answers for it now.
        persons: everybody who is or ever was.
        signed: the entry that enrolled it.
        keys: its keys by key id, those that ended too, in the order they came.
        grants: its roles, those that ended too, in the order they came.
        revoked: index of the entry that revoked it or by which it left.
        successor: who took on what it owned when it left.
        assigned: the entry that last named who answers for it, None when its enrolment did.
        reaffirmed: by index of its entries that were reaffirmed, the entry that did so last.
        rooted: whether the root keys themselves brought in all of this and no key of it was ever compromised, so that
            nothing it signed can be suspect; what is asked of every admin, for each event of everybody else.
    """

    actor: str
    kind: str
    person: str | None
    persons: frozenset[str]
    signed: Signed
    keys: MappingProxyType[str, KeyState]
    grants: tuple[RoleGrant, ...]
    revoked: int | None = None
    successor: str | None = None
    assigned: Signed | None = None
    reaffirmed: MappingProxyType[int, Signed] = field(default_factory=_nothing)
    rooted: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that were given and not taken away, whatever they cover."""
        return tuple(dict.fromkeys(grant.role for grant in self.grants if grant.ended is None))

    @property
    def self_person(self) -> str | None:
        """The person that it is, None for a service."""
        return self.person if self.kind == "person" else None

    @property
    def is_admin(self) -> bool:
        """Whether it has the role admin, in whatever bounds: only the root keys and itself may take from it."""
        return "admin" in self.roles


def _enrolled(event: RecordedEvent, body: ActorEnrolled) -> ActorState:
    key, signed, name = parse_public_key(body.key), signed_of(event), event.subject.name
    person = (body.person or name) if body.kind == "person" else body.responsible
    persons = frozenset() if person is None else frozenset({person})
    keys = MappingProxyType({key.keyid: KeyState(key, signed)})
    grants = tuple(RoleGrant(event.payload.id, role, signed) for role in dict.fromkeys(body.roles))
    return ActorState(name, body.kind, person, persons, signed, keys, grants)


def _end_key(state: ActorState, keyid: str, index: int, **changes: object) -> ActorState:
    old = state.keys[keyid]
    revoked = index if old.revoked is None else old.revoked
    return replace(state, keys=with_item(state.keys, keyid, replace(old, revoked=revoked, **changes)))  # type: ignore[arg-type]


def _compromise(state: ActorState, body: KeyCompromised, index: int) -> ActorState:
    known = state.keys[body.keyid].compromised
    return _end_key(state, body.keyid, index, compromised=(body.since, index if known is None else known[1]))


def _rotate(state: ActorState, body: KeyRotated, event: RecordedEvent) -> ActorState:
    key = parse_public_key(body.key)
    old = replace(state.keys[body.keyid], until=max(body.until, event.index + 1))
    keys = with_item(state.keys, body.keyid, old)
    return replace(state, keys=with_item(keys, key.keyid, KeyState(key, signed_of(event))))


def _grant(event: RecordedEvent, body: RoleGranted) -> RoleGrant:
    until = FOREVER if body.until is None else parse_time(body.until)
    return RoleGrant(event.payload.id, body.role, signed_of(event), body.types, body.subjects, body.environments, until)


def _end_grants(state: ActorState, index: int, role: str | None = None, grant: str | None = None) -> ActorState:
    def ended(one: RoleGrant) -> RoleGrant:
        meant = one.ended is None and role in (None, one.role) and grant in (None, one.id)
        return replace(one, ended=index) if meant else one

    return replace(state, grants=tuple(map(ended, state.grants)))


def _offboard(state: ActorState, body: ActorOffboarded, index: int) -> ActorState:
    for keyid in state.keys:
        state = _end_key(state, keyid, index)
    return replace(_end_grants(state, index), revoked=index, successor=body.successor)


def evolve_actor(state: ActorState | None, event: RecordedEvent) -> ActorState | None:
    """The state of an actor after one valid event of its stream."""
    after = _evolved(state, event)
    return None if after is None else replace(after, rooted=_is_rooted(after))


def _is_rooted(state: ActorState) -> bool:
    origins = [state.signed, *(held.signed for held in state.keys.values()), *(one.signed for one in state.grants)]
    compromised = any(held.compromised is not None for held in state.keys.values())
    return not compromised and all(signed.actor == ROOT_ACTOR for signed in origins)


def _evolved(  # noqa: C901, PLR0912 - a table
    state: ActorState | None, event: RecordedEvent
) -> ActorState | None:
    if isinstance(event.body, ActorEnrolled):
        return _enrolled(event, event.body)
    if state is None:
        return None
    match event.body:
        case KeyEnrolled() as body:
            key = parse_public_key(body.key)
            return replace(state, keys=with_item(state.keys, key.keyid, KeyState(key, signed_of(event))))
        case KeyRotated() as body:
            return _rotate(state, body, event)
        case KeyRevoked() as body:
            return _end_key(state, body.keyid, event.index)
        case KeyCompromised() as body:
            return _compromise(state, body, event.index)
        case EntryReaffirmed() as body:
            return replace(state, reaffirmed=with_item(state.reaffirmed, body.index, signed_of(event)))
        case RoleGranted() as body:
            return replace(state, grants=(*state.grants, _grant(event, body)))
        case ApprovalDelegated() as body:
            handed_on = RoleGrant(
                event.payload.id, "approver", signed_of(event), body.types, body.subjects, body.environments,
                parse_time(body.until), delegator=event.actor,
            )  # fmt: skip
            return replace(state, grants=(*state.grants, handed_on))
        case RoleRevoked() as body:
            return _end_grants(state, event.index, body.role, body.grant)
        case ActorResponsibleChanged() as body:
            persons = state.persons | {body.responsible}
            return replace(state, person=body.responsible, persons=persons, assigned=signed_of(event))
        case ActorRevoked():
            return replace(state, revoked=event.index)
        case ActorOffboarded() as body:
            return _offboard(state, body, event.index)
    return state
