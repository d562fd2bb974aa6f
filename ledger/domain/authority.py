"""Events that change who may do what: the first entry, and what an admin says of the ledger."""

from __future__ import annotations

from ledger.domain.enrolment import check_actor_event
from ledger.domain.ledgerkeys import check_ledger_keys
from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_admin
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.world import World
from ledger.errors import InputError, PolicyError
from ledger.events.ledgers import CheckpointKeyChanged, EntryAcknowledged, LedgerCreated, RootsChanged

__all__ = ["check_authority_event"]


def _check_acknowledgement(world: World, event: RecordedEvent, body: EntryAcknowledged) -> None:
    if event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    if body.index >= event.index:
        raise InputError(f"there is no entry {body.index} yet to acknowledge")
    check_admin(world, event, None, is_person=False)


def check_authority_event(world: World, event: RecordedEvent) -> None:
    """Check events that change who may do what.

    Raises:
        LedgerError: of the class that fits: not allowed, conflict or malformed.
    """
    match event.body:
        case LedgerCreated() as body:
            if event.index != 0 or event.actor != ROOT_ACTOR:
                raise PolicyError("ledger.created is the first entry, signed by the root keys, and only that")
            if body.ledgerid != event.payload.ledgerid or event.subject.name != body.ledgerid:
                raise InputError("ledger.created names another ledger in its body than in its header")
            if len(set(body.roots)) < body.threshold:
                raise InputError("the threshold is larger than the number of root keys")
        case EntryAcknowledged() as body:
            _check_acknowledgement(world, event, body)
        case RootsChanged() | CheckpointKeyChanged() as body:
            check_ledger_keys(world, event, body)
        case _:
            check_actor_event(world, event)
