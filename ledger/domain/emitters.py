"""Who may declare that numbers of an emitter will not come."""

from __future__ import annotations

from ledger.domain.actors import FOREVER
from ledger.domain.keyring import answers_for
from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_admin
from ledger.domain.world import World, actor_of
from ledger.errors import InputError
from ledger.events.emitters import GapDeclared

__all__ = ["check_gap"]


def check_gap(world: World, event: RecordedEvent) -> int:
    """Refuse a gap that is declared for somebody else's emitter, unless by who answers for them or an admin.

    Returns:
        As `roles.check_roles`.

    Raises:
        LedgerError: its author may not, or there is no such actor.
    """
    if not isinstance(event.body, GapDeclared) or event.body.actor in (None, event.actor):
        return FOREVER
    owner, author = actor_of(world, event.body.actor), actor_of(world, event.actor)
    if owner is None:
        raise InputError(f"the actor {event.body.actor!r} is not enrolled")
    if author is not None and owner.kind == "service" and answers_for(world, author, owner):
        return FOREVER
    return check_admin(world, event)
