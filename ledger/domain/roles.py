"""Who may do what: roles by type of event, within their bounds; what takes an admin; and who must answer for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ledger.domain.actors import FOREVER, ActorState
from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import ROOT_ACTOR, Signed, signed_of
from ledger.domain.suspicion import key_suspicion, suspicion
from ledger.domain.world import World, actor_of
from ledger.entry import format_time
from ledger.errors import NotAllowedError
from ledger.events import Category
from ledger.events.actors import ActorRevoked, KeyRevoked
from ledger.events.keyring import ApprovalDelegated, KeyCompromised

__all__ = ["answers", "check_admin", "check_answered", "check_own_say", "check_roles", "lasting_admins", "roles_for"]

#: The one role that decides nothing: what is recorded in it, others judge.
_RECORDS = "emitter"


def check_roles(world: World, event: RecordedEvent) -> int:
    """Refuse an author who lacks every role its event type asks for.

    Returns:
        Time before which the event must be recorded for this to hold, in microseconds since the Unix epoch.

    Raises:
        NotAllowedError: with the roles that would do.
    """
    if event.kind is None or event.actor == ROOT_ACTOR or not event.kind.roles:
        return FOREVER
    return _require(world, event, event.kind.roles, event.kind.name)


def _require(world: World, event: RecordedEvent, roles: Collection[str], what: str) -> int:
    """As `check_roles`, for these roles."""
    state = actor_of(world, event.actor)
    if state is not None and _plainly(state, roles):
        return FOREVER
    act = signed_of(event)
    grants = () if state is None else [grant for grant in state.grants if grant.role in roles]
    # What is handed on has bounds of its own, and `keyring.check_delegation` asks whether these reach further.
    handed_on = isinstance(event.body, ApprovalDelegated)
    covering = [grant for grant in grants if (grant.stands_at(act.index) if handed_on else grant.covers(act))]
    timely = [grant for grant in covering if act.recorded_at < grant.until]
    good = [grant.until for grant in timely if suspicion(world, grant.signed) is None]
    if good:
        return max(good)
    wanted = " or ".join(roles)
    rule = f"role {wanted}"
    if timely:
        doubt = suspicion(world, timely[0].signed)
        raise NotAllowedError(
            f"{what} needs the role {wanted}; that of {event.actor!r} counts no more: {doubt and doubt.text}",
            rule=rule,
        )
    if covering:
        ended = format_time(max(grant.until for grant in covering))
        raise NotAllowedError(
            f"{what} needs the role {wanted}; that of {event.actor!r} expired at {ended}",
            hint=f"An admin grants it again: muniment actor grant {event.actor} {covering[0].role} --until …",
            rule=rule,
        )
    if any(grant.stands_at(act.index) for grant in grants):
        about = act.stream if act.about is None else f"{act.stream} for {act.about}"
        about = about if act.environment is None else f"{about} in {act.environment}"
        raise NotAllowedError(
            f"{what} needs the role {wanted}; that of {event.actor!r} does not reach {about}",
            hint=f"See what it covers: muniment actor show {event.actor}",
            rule=rule,
        )
    has = ", ".join(state.roles) if state is not None and state.roles else "none"
    raise NotAllowedError(f"{what} needs the role {wanted}; {event.actor!r} has {has}", rule=rule)


def roles_for(world: World, act: Signed) -> Mapping[str, int]:
    """The roles of an author that reach an act and held when it was recorded, each with the time at which it ends.

    Args:
        world: the world of whoever asks; what was granted with a stolen key counts for nothing.
        act: what the author signed.

    Returns:
        By role, the time before which the act must be recorded, in microseconds since the Unix epoch.
    """
    state = actor_of(world, act.actor)
    ends: dict[str, int] = {}
    for grant in () if state is None else state.grants:
        if grant.covers(act) and act.recorded_at < grant.until and suspicion(world, grant.signed) is None:
            ends[grant.role] = max(ends.get(grant.role, grant.until), grant.until)
    return ends


def _plainly(state: ActorState, roles: Collection[str]) -> bool:
    """Whether it was enrolled in one of the roles and has it still: most events are by such actors.

    That its enrolment is in good standing was asked when its keys were looked at.
    """
    return any(g.ended is None and g.role in roles and g.signed is state.signed for g in state.grants)


def check_admin(world: World, event: RecordedEvent, person: str | None = None) -> int:
    """Root keys may do anything here; admins anything but for their own person (design §6).

    Args:
        world: the world before the event.
        event: what the admin signs.
        person: the person that gains by it, None when none does.

    Returns:
        As `check_roles`.

    Raises:
        NotAllowedError: the author is no admin, or the event is about the author's own person.
    """
    if event.actor == ROOT_ACTOR:
        return FOREVER
    admin = actor_of(world, event.actor)
    if admin is None or not admin.is_admin:
        raise NotAllowedError(f"{event.payload.type} needs the role admin or the root keys")
    until = _require(world, event, ("admin",), event.payload.type)
    if person is not None and person == admin.person:
        raise NotAllowedError(
            "an admin may not enrol actors or keys for their own person, nor change its roles",
            hint="Ask another admin, or sign with the root keys: --as root.",
        )
    return until


def check_own_say(world: World, event: RecordedEvent, persons: Collection[str], roles: Collection[str]) -> None:
    """An admin gives a service of their own person no say: no role but to record, and no key once it has another.

    Args:
        world: the world before the event.
        event: what the admin signs.
        persons: who answers for the service, or ever did.
        roles: what it gives, or what the service has already.

    Raises:
        NotAllowedError: the author's person is among them, and a role is more than that of an emitter.
    """
    admin = None if event.actor == ROOT_ACTOR else actor_of(world, event.actor)
    given = [role for role in roles if role != _RECORDS]
    if admin is not None and given and not admin.persons.isdisjoint(persons):
        raise NotAllowedError(
            f"{event.payload.type} would let {event.actor!r} act as {given[0]} by its own word: "
            "it answers for this service, or did",
            hint="Ask another admin, or sign with the root keys: --as root.",
        )


def answers(world: World, state: ActorState) -> bool:
    """Whether a person who is enrolled and has not left stands behind an actor."""
    if state.assigned is not None and suspicion(world, state.assigned) is not None:
        return False
    person = None if state.person is None else actor_of(world, state.person)
    return person is not None and person.revoked is None and suspicion(world, person.signed) is None


def check_answered(world: World, event: RecordedEvent) -> None:
    """Nobody decides for whom nobody answers: decisions and acts of authority need a person behind their author.

    Facts and protection do not, and neither does giving up a key or a place of one's own.

    Raises:
        NotAllowedError: the person behind the author has left, or its enrolment counts no more.
    """
    if event.kind is None or event.kind.category not in (Category.DECISION, Category.AUTHORITY):
        return
    state = None if event.actor == ROOT_ACTOR else actor_of(world, event.actor)
    if state is None or answers(world, state):
        return
    own = event.subject.kind == "actor" and event.subject.name == event.actor
    if own and isinstance(event.body, KeyRevoked | KeyCompromised | ActorRevoked):
        return
    raise NotAllowedError(
        f"nobody answers for {event.actor!r}: {state.person!r} has left or is not in good standing",
        hint=f"An admin names another person: muniment actor responsible {event.actor} p-… --reason …",
        rule="separation */answered",
    )


def lasting_admins(world: World, index: int) -> frozenset[str]:
    """Admins without bounds who can sign at an index: a ledger never goes without one.

    Args:
        world: the world before the entry at ``index``.
        index: leaf index.
    """
    return frozenset(name for name in world.admins() if _lasts(world, actor_of(world, name), index))


def _lasts(world: World, state: ActorState | None, index: int) -> bool:
    if state is None or state.revoked is not None or suspicion(world, state.signed) is not None:
        return False
    grants = [g for g in state.grants if g.role == "admin" and g.unlimited and g.stands_at(index) and g.ended is None]
    if not any(suspicion(world, grant.signed) is None for grant in grants) or not answers(world, state):
        return False
    # A key that was rotated is about to end; the one in its place counts.
    keys = [keyid for keyid, held in state.keys.items() if held.ends is None]
    return any(key_suspicion(world, state, keyid) is None for keyid in keys)
