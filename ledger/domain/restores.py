"""What the roots say when a ledger goes on from an old copy: `ledger.restored`."""

from __future__ import annotations

from ledger.checkpoint import Checkpoint
from ledger.domain.actors import FOREVER
from ledger.domain.ledgerstate import LedgerState, Restore
from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.world import World
from ledger.errors import InputError, NotAllowedError
from ledger.events.ledgers import LedgerRestored

__all__ = ["check_restore", "covering"]


def check_restore(world: World, event: RecordedEvent, body: LedgerRestored) -> int:
    """Check that a ledger is said to go on from what it really holds; that the roots signed is `signing_keys`' part.

    Returns:
        As `roles.check_roles`.

    Raises:
        NotAllowedError: it is not by the root keys.
        InputError: it contradicts itself, or the log it stands in.
    """
    if event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    if event.actor != ROOT_ACTOR:
        # An old copy has forgotten who was revoked since, so nobody whom it still calls an admin may decide this.
        raise NotAllowedError(
            "only the root keys say that a ledger goes on from an old copy",
            hint="Run it where the root key is: muniment admin restored; several sign: muniment root propose restored",
        )
    if body.size > event.index:
        raise InputError(f"the log has {event.index} entries here, and it says it goes on from {body.size}")
    root = world.root_hash(body.size)
    if root is None or root.hex() != body.root:
        raise InputError(f"the root it gives is not that of the first {body.size} entries")
    if not body.lost_from <= body.size or body.lost_to != body.known.size or body.lost_to <= body.lost_from:
        raise InputError(
            "the entries it calls lost must begin at or before the size restored and end at the known head"
        )
    return FOREVER


def covering(state: LedgerState, known: Checkpoint, settled: frozenset[str]) -> Restore | None:
    """The last restore that explains why a head is of another history, None when none does.

    Args:
        state: the ledger's own state.
        known: the head.
        settled: event ids of the restores that are in the history of that head itself.
    """
    found = [restore for restore in state.restores if restore.lost_from < known.size and restore.id not in settled]
    return found[-1] if found else None
