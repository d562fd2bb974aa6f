"""How one valid event changes the state of its stream."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from ledger.checkpoint import parse_vkey
from ledger.domain.actors import evolve_actor, with_item
from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import signed_of
from ledger.domain.states import (
    Approval,
    ApprovalRequest,
    Authorisation,
    DatasetState,
    DeploymentState,
    ErasedWhole,
    Erasure,
    Evaluation,
    Hold,
    IncidentState,
    LedgerState,
    ModelState,
    Restore,
    RunState,
    State,
    VersionState,
)
from ledger.events.approvals import ApprovalGranted, ApprovalRejected, ApprovalRequested
from ledger.events.datasets import DatasetRegistered, DatasetVersioned
from ledger.events.deployments import (
    DeploymentAuthorised,
    DeploymentCompleted,
    DeploymentPromoted,
    RollbackAuthorised,
    RollbackCompleted,
)
from ledger.events.evaluations import EvaluationCompleted, EvaluationInvalidated
from ledger.events.incidents import IncidentClosed, IncidentOpened, IncidentReopened
from ledger.events.ledgers import CheckpointKeyChanged, EntryAcknowledged, LedgerCreated, LedgerRestored, RootsChanged
from ledger.events.models import VersionRegistered
from ledger.events.runs import RunAborted, RunAttached, RunCompleted, RunFailed, RunStarted
from ledger.events.subjects import HoldPlaced, HoldReleased, SubjectErased
from ledger.identity import LogKey
from ledger.keys import parse_public_key

__all__ = ["evolve"]


def _actors(event: RecordedEvent) -> frozenset[str]:
    """The author and whom it acted for."""
    behalf = event.payload.on_behalf_of
    return frozenset({event.actor} if behalf is None else {event.actor, behalf})


def _evolve_ledger(state: LedgerState | None, event: RecordedEvent) -> LedgerState | None:
    match event.body:
        case LedgerCreated() as body:
            roots = tuple(parse_public_key(text) for text in body.roots)
            return LedgerState(body.ledgerid, body.origin, body.vkey, roots, body.threshold, body.rules)
        case EntryAcknowledged() as body if state is not None:
            return replace(state, acknowledged=state.acknowledged | {(body.index, body.leaf_hash)})
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
            hold = Hold(event.payload.id, event.index, event.actor, body.subjects, body.matter, body.reason)
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


def _evolve_dataset(state: DatasetState | None, event: RecordedEvent) -> DatasetState | None:
    match event.body:
        case DatasetRegistered() | DatasetVersioned() as body:
            versions = MappingProxyType({}) if state is None else state.versions
            return DatasetState(with_item(versions, event.subject.version or "", body.digest))
    return state


def _evolve_run(state: RunState | None, event: RecordedEvent) -> RunState | None:
    authors = _actors(event) | (state.authors if state else frozenset())
    match event.body:
        case RunStarted():
            return RunState(authors, "started")
        case RunCompleted():
            return RunState(authors, "completed")
        case RunFailed():
            return RunState(authors, "failed")
        case RunAborted():
            return RunState(authors, "aborted")
        case RunAttached() as body:
            return RunState(authors, body.status)
    return state


def _without_evaluation(version: VersionState, event_id: str) -> VersionState:
    """What an invalidated evaluation took the place of does not come back: that is to be measured again."""
    rest = tuple(known for known in version.evaluations if known.id != event_id)
    passed = version.passed
    if passed is not None and passed.id == event_id:
        passed = next((known for known in reversed(rest) if known.verdict == "pass"), None)
    return replace(version, evaluations=rest, passed=passed)


def _evolve_version(version: VersionState, event: RecordedEvent) -> VersionState:
    payload = event.payload
    match event.body:
        case EvaluationCompleted() as body:
            # An evaluation of other bytes says nothing about this version.
            if body.digest in (None, version.digest):
                found = Evaluation(payload.id, signed_of(event), body.suite or "", body.verdict)
                others = (known for known in version.evaluations if known.suite != found.suite)
                passed = found if found.verdict == "pass" else version.passed
                return replace(version, evaluations=(*others, found), passed=passed)
        case EvaluationInvalidated() as body:
            return _without_evaluation(version, body.evaluation)
        case ApprovalRequested() as body:
            request = ApprovalRequest(payload.id, signed_of(event), body.environment, body.digest, _actors(event))
            return replace(version, requests=with_item(version.requests, payload.id, request))
        case ApprovalGranted() as body:
            approval = Approval(
                payload.id, signed_of(event), body.request, body.environment, body.digest, _actors(event)
            )
            return replace(version, approvals=(*version.approvals, approval))
        case ApprovalRejected() as body:
            request = replace(version.requests[body.request], rejected=True)
            return replace(version, requests=with_item(version.requests, body.request, request))
    return version


def _evolve_model(state: ModelState | None, event: RecordedEvent) -> ModelState | None:
    versions = MappingProxyType({}) if state is None else state.versions
    name = event.subject.version or ""
    if isinstance(event.body, VersionRegistered):
        if name in versions:  # the same bytes registered again, for example by a retried job
            return state
        body = event.body
        version = VersionState(body.digest, body.owner, body.tier, body.run, signed_of(event), _actors(event))
        return ModelState(with_item(versions, name, version))
    if name not in versions:
        return state
    return ModelState(with_item(versions, name, _evolve_version(versions[name], event)))


def _evolve_deployment(state: DeploymentState | None, event: RecordedEvent) -> DeploymentState:
    state = state or DeploymentState()
    match event.body:
        case DeploymentAuthorised() as body:
            return replace(
                state, authorisation=Authorisation(event.payload.id, signed_of(event), body.model, body.digest)
            )
        case RollbackAuthorised() as body:
            return replace(state, rollback=Authorisation(event.payload.id, signed_of(event), body.model, body.digest))
        case DeploymentCompleted() | DeploymentPromoted() as body:
            live = (body.model, body.digest)
            return replace(state, live=live, ever_live=state.ever_live | {live})
        case RollbackCompleted() as body:
            # Rolling back ends what was authorised before: the version left must be authorised anew.
            # What a rollback brought up for the first time does not thereby become a good target.
            return replace(state, live=(body.model, body.digest), authorisation=None, rollback=None)
    return state


def _evolve_incident(state: IncidentState | None, event: RecordedEvent) -> IncidentState:
    match event.body:
        case IncidentClosed():
            return IncidentState("closed")
        case IncidentOpened() | IncidentReopened():
            return IncidentState("open")
    return state or IncidentState("open")


_EVOLVE = {
    "ledger": _evolve_ledger,
    "actor": evolve_actor,
    "dataset": _evolve_dataset,
    "run": _evolve_run,
    "model": _evolve_model,
    "deployment": _evolve_deployment,
    "incident": _evolve_incident,
}


def evolve(state: State | None, event: RecordedEvent) -> State | None:
    """Return the state after one valid event; events of stateless streams return None."""
    step = _EVOLVE.get(event.subject.kind)
    return None if step is None else step(state, event)  # type: ignore[operator]
