"""How one valid event changes the state of its stream."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from ledger.domain.actors import evolve_actor
from ledger.domain.governed import (
    evolve_dataset,
    evolve_deployment,
    evolve_incident,
    evolve_policy,
    evolve_run,
    evolve_waiver,
)
from ledger.domain.ledgerstate import ErasedWhole, Erasure, Hold, LedgerState, Restore
from ledger.domain.recorded import RecordedEvent
from ledger.domain.states import State
from ledger.domain.versions import evolve_model
from ledger.events.ledgers import (
    CheckpointKeyChanged,
    EntryAcknowledged,
    LedgerCreated,
    LedgerRestored,
    RootsChanged,
    RulesChanged,
)
from ledger.events.subjects import HoldPlaced, HoldReleased, SubjectErased
from ledger.identity import LogKey
from ledger.keys import parse_public_key
from ledger.note import parse_vkey

__all__ = ["STATEFUL", "evolve"]


def _evolve_ledger(state: LedgerState | None, event: RecordedEvent) -> LedgerState | None:
    match event.body:
        case LedgerCreated() as body:
            roots = tuple(parse_public_key(text) for text in body.roots)
            return LedgerState(body.ledgerid, body.origin, body.vkey, roots, body.threshold, body.rules)
        case EntryAcknowledged() as body if state is not None:
            return replace(state, acknowledged=state.acknowledged | {(body.index, body.leaf_hash)})
        case RulesChanged(rules=rules) if state is not None:
            return replace(state, rules=rules)
        case RootsChanged() as body if state is not None:
            keys = tuple(parse_public_key(text) for text in body.roots)
            former = state.former_roots | {key.keyid for key in state.roots if key not in keys}
            return replace(state, roots=keys, threshold=body.threshold, former_roots=former)
        case CheckpointKeyChanged() as body if state is not None:
            change = LogKey(parse_vkey(body.vkey), event.index + 1, body.dual)
            return replace(state, changes=(*state.changes, change))
        case LedgerRestored() as body if state is not None:
            found = Restore(event.payload.id, event.index, body.size, body.lost_from, body.lost_to, body.reason)
            return replace(state, restores=(*state.restores, found))
        case SubjectErased() | HoldPlaced() | HoldReleased() if state is not None:
            return _evolve_subjects(state, event)
    return state


def _evolve_subjects(state: LedgerState, event: RecordedEvent) -> LedgerState:
    match event.body:
        case HoldPlaced() as body:
            by = (body.custodian, body.authority)
            hold = Hold(event.payload.id, event.index, event.actor, body.subjects, body.matter, body.reason, *by)
            return replace(state, holds=(*state.holds, hold))
        case HoldReleased(hold=released):
            return replace(state, holds=tuple(hold for hold in state.holds if hold.id != released))
        case SubjectErased() as body:
            whole = {
                (item.index, item.stream): ErasedWhole(event.index, event.actor, body.basis)
                for item in body.entries
                if item.scope == "whole"
            }
            erasure = Erasure(
                event.index, event.actor, body.subject, body.basis, body.reason, event.recorded_at, body.data_keys,
                tuple(dict.fromkeys(index for index, _ in whole)),
            )  # fmt: skip
            return replace(
                state,
                erasures=(*state.erasures, erasure),
                # What was said first stays: nobody takes over another's erasure.
                withheld=MappingProxyType({**whole, **state.withheld}),
                erased_keys=MappingProxyType({**dict.fromkeys(body.data_keys, erasure), **state.erased_keys}),
            )
    return state


_EVOLVE = {
    "ledger": _evolve_ledger,
    "actor": evolve_actor,
    "dataset": evolve_dataset,
    "featureset": evolve_dataset,
    "run": evolve_run,
    "model": evolve_model,
    "deployment": evolve_deployment,
    "incident": evolve_incident,
    "waiver": evolve_waiver,
    "policy": evolve_policy,
}


#: Kinds of subject whose streams have a state.
STATEFUL = frozenset(_EVOLVE)


def evolve(state: State | None, event: RecordedEvent) -> State | None:
    """Return the state after one valid event; events of stateless streams return None."""
    step = _EVOLVE.get(event.subject.kind)
    return None if step is None else step(state, event)  # type: ignore[operator]
