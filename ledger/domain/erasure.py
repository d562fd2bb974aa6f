"""Erasure and legal hold: who may have what destroyed, and which missing content a record of it excuses.

Records and holds stand in the ledger's own stream, so that a hold that is placed makes an erasure in flight stale.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.domain.ledgerstate import Hold, LedgerState
from ledger.domain.recorded import RecordedEvent
from ledger.domain.scopes import covers_stream
from ledger.domain.world import World, ledger_of
from ledger.entry import Entry
from ledger.errors import ConflictError, InputError, PolicyError
from ledger.events import Erasable, known_event_type
from ledger.events.subjects import HoldPlaced, HoldReleased, SubjectErased
from ledger.names import stream_of
from ledger.sealing import named_keys

__all__ = ["Withheld", "check_sealed", "check_subject_event", "covering_hold", "withheld_by"]


@dataclass(frozen=True, slots=True)
class Withheld:
    """The record that excuses missing content.

    Attributes:
        record: leaf index of the record.
        actor: who signed it.
        basis: on which basis.
    """

    record: int
    actor: str
    basis: str

    @property
    def text(self) -> str:
        """The words every reader uses."""
        return f"header as labelled by the operator; erased by {self.actor} under {self.basis} (entry {self.record})"


def covering_hold(state: LedgerState, stream: str) -> Hold | None:
    """The first hold that stands and covers a stream."""
    return next((hold for hold in state.holds if covers_stream(hold.subjects, stream)), None)


def _check_erasure(world: World, event: RecordedEvent, state: LedgerState, body: SubjectErased) -> None:
    for item in body.entries:
        if item.index >= event.index:
            raise InputError(f"there is no entry {item.index} yet to erase")
        leaf = world.leaf_hash(item.index)
        if leaf is None or leaf.hex() != item.leaf_hash:
            raise PolicyError(f"the erasure names entry {item.index} with a leaf hash that is not its own")
    for stream in (stream_of(body.subject), *(item.stream for item in body.entries)):
        hold = covering_hold(state, stream)
        if hold is not None:
            raise PolicyError(
                f"{stream} is under the legal hold {hold.id} of the matter {hold.matter}: nothing about it is erased",
                hint=f"When the matter has ended: muniment hold release {hold.id} --reason …",
            )


def check_subject_event(world: World, event: RecordedEvent, body: SubjectErased | HoldPlaced | HoldReleased) -> None:
    """Check what is said of data subjects; roles are checked by type.

    Raises:
        InputError: it is about another ledger, or about no entry there is.
        PolicyError: a legal hold covers what is to be erased, or a leaf hash is not that of its entry.
        ConflictError: the hold that is released does not stand.
    """
    state = ledger_of(world)
    if state is None or event.subject.name != world.ledgerid:
        raise InputError(f"the subject must be this ledger: ledger:{world.ledgerid}")
    match body:
        case SubjectErased():
            _check_erasure(world, event, state, body)
        case HoldReleased(hold=hold):
            if all(known.id != hold for known in state.holds):
                raise ConflictError(f"no hold {hold} stands", hint="See what does: muniment hold list")


def check_sealed(world: World, payload: bytes) -> None:
    """Check that nothing is sealed with a data key that an erasure names: it would be lost, or pass for erased content.

    Asked on append only. `judge` does not ask, so that logs which took such an entry before this was asked stay good;
    readers say of it that the key was erased before.

    Args:
        world: just before the event.
        payload: what its author signed.

    Raises:
        ConflictError: a field is.
    """
    keys = named_keys(payload)
    state = ledger_of(world) if keys else None
    erased = {} if state is None else state.erased_keys
    for key in sorted(keys & erased.keys()):
        raise ConflictError(
            f"a field is sealed with the data key {key}, which entry {erased[key].index} erased: nobody could open it",
            hint="Run the same command again: what is sealed from now on gets another data key.",
        )


def withheld_by(state: LedgerState | None, entry: Entry) -> Withheld | None:
    """The record that excuses the missing content of an entry, None when none does.

    Args:
        state: the ledger's own, as of whoever asks.
        entry: the entry, whose columns were checked against its leaf hash.

    Returns:
        The first record that names the entry as withheld, in its own stream, when its type may be withheld at all.
    """
    kind = known_event_type(entry.type)
    found = None if state is None else state.withheld.get((entry.index, entry.stream))
    if found is None or kind is None or kind.erasable is not Erasable.WHOLE:
        return None
    return Withheld(found.record, found.actor, found.basis)
