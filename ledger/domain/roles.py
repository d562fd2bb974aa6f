"""Who may do what: roles by type of event, and what takes an admin or the root keys."""

from __future__ import annotations

from ledger.domain.recorded import RecordedEvent
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.world import World, actor_of
from ledger.errors import NotAllowedError

__all__ = ["check_admin", "check_roles"]


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


def check_admin(world: World, event: RecordedEvent, person: str | None, *, is_person: bool) -> None:
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
