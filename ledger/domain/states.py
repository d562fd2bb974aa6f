"""The state of each kind of stream, frozen, and how one valid event changes it.

States hold only what judging needs and grow with the governed thing, not with the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from ledger.domain.recorded import RecordedEvent
from ledger.events.actors import ActorEnrolled, ActorRevoked, KeyEnrolled, KeyRevoked
from ledger.events.approvals import ApprovalGranted, ApprovalRejected, ApprovalRequested
from ledger.events.datasets import DatasetRegistered
from ledger.events.deployments import (
    DeploymentAuthorised,
    DeploymentCompleted,
    RollbackAuthorised,
    RollbackCompleted,
)
from ledger.events.evaluations import EvaluationCompleted
from ledger.events.incidents import IncidentClosed, IncidentOpened
from ledger.events.ledgers import EntryAcknowledged, LedgerCreated, RuleSet
from ledger.events.models import VersionRegistered
from ledger.events.runs import RunCompleted, RunFailed, RunStarted
from ledger.keys import PublicKey, parse_public_key

__all__ = [
    "ActorState",
    "Approval",
    "ApprovalRequest",
    "Authorisation",
    "DatasetState",
    "DeploymentState",
    "Evaluation",
    "IncidentState",
    "KeyState",
    "LedgerState",
    "ModelState",
    "RunState",
    "State",
    "VersionState",
    "evolve",
]

_K = TypeVar("_K")
_V = TypeVar("_V")


def _with(mapping: MappingProxyType[_K, _V], key: _K, value: _V) -> MappingProxyType[_K, _V]:
    return MappingProxyType({**mapping, key: value})


def _no_requests() -> MappingProxyType[str, ApprovalRequest]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger's own stream."""

    ledgerid: str
    origin: str
    vkey: str
    roots: tuple[PublicKey, ...]
    threshold: int
    rules: RuleSet
    acknowledged: frozenset[int] = frozenset()


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


@dataclass(frozen=True, slots=True)
class DatasetState:
    """A data set: the digest of each version ("" for an unversioned registration, latest wins)."""

    versions: MappingProxyType[str, str]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run: who is behind it and how it ended."""

    authors: frozenset[str]
    status: str


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A pending or decided request for approval."""

    id: str
    index: int
    environment: str
    digest: str
    actors: frozenset[str]
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """One granted approval; ``actor`` signed it, ``actors`` are all who stand behind it."""

    id: str
    index: int
    request: str
    environment: str
    digest: str
    actor: str
    actors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a version: where it stands, of which suite, and what it concluded."""

    index: int
    suite: str
    verdict: str


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a model.

    Attributes:
        evaluations: the last evaluation of each suite, oldest first; what was said before no longer stands.
        passed: index of the last evaluation that passed, None when none ever did.
    """

    digest: str
    owner: str
    tier: str
    run: str | None
    index: int
    authors: frozenset[str]
    evaluations: tuple[Evaluation, ...] = ()
    passed: int | None = None
    requests: MappingProxyType[str, ApprovalRequest] = field(default_factory=_no_requests)
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model with its versions."""

    versions: MappingProxyType[str, VersionState]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An authorisation to deploy or to roll back."""

    id: str
    index: int
    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One deployment: what may go live, what is live, what ever was."""

    authorisation: Authorisation | None = None
    rollback: Authorisation | None = None
    live: tuple[str, str] | None = None
    ever_live: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class IncidentState:
    """An incident."""

    status: str


State = LedgerState | ActorState | DatasetState | RunState | ModelState | DeploymentState | IncidentState


def _actors(event: RecordedEvent) -> frozenset[str]:
    """The author and whom it acted for."""
    behalf = event.payload.on_behalf_of
    return frozenset({event.actor} if behalf is None else {event.actor, behalf})


def _evolve_ledger(state: LedgerState | None, event: RecordedEvent) -> LedgerState | None:
    match event.body:
        case LedgerCreated() as body:
            roots = tuple(parse_public_key(text) for text in body.roots)
            return LedgerState(body.ledgerid, body.origin, body.vkey, roots, body.threshold, body.rules)
        case EntryAcknowledged(index=index) if state is not None:
            return replace(state, acknowledged=state.acknowledged | {index})
    return state


def _evolve_actor(state: ActorState | None, event: RecordedEvent) -> ActorState | None:
    match event.body:
        case ActorEnrolled() as body:
            key = parse_public_key(body.key)
            person = (body.person or event.subject.name) if body.kind == "person" else body.responsible
            keys = MappingProxyType({key.keyid: KeyState(key, event.index)})
            return ActorState(event.subject.name, body.kind, person, body.roles, keys)
        case KeyEnrolled() as body if state is not None:
            key = parse_public_key(body.key)
            return replace(state, keys=_with(state.keys, key.keyid, KeyState(key, event.index)))
        case KeyRevoked() as body if state is not None:
            old = state.keys[body.keyid]
            return replace(state, keys=_with(state.keys, body.keyid, replace(old, revoked=event.index)))
        case ActorRevoked() if state is not None:
            return replace(state, revoked=event.index)
    return state


def _evolve_dataset(state: DatasetState | None, event: RecordedEvent) -> DatasetState | None:
    match event.body:
        case DatasetRegistered() as body:
            versions = MappingProxyType({}) if state is None else state.versions
            return DatasetState(_with(versions, event.subject.version or "", body.digest))
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
    return state


def _evolve_version(version: VersionState, event: RecordedEvent) -> VersionState:
    payload = event.payload
    match event.body:
        case EvaluationCompleted() as body:
            # An evaluation of other bytes says nothing about this version.
            if body.digest in (None, version.digest):
                found = Evaluation(event.index, body.suite or "", body.verdict)
                others = (known for known in version.evaluations if known.suite != found.suite)
                passed = event.index if found.verdict == "pass" else version.passed
                return replace(version, evaluations=(*others, found), passed=passed)
        case ApprovalRequested() as body:
            request = ApprovalRequest(payload.id, event.index, body.environment, body.digest, _actors(event))
            return replace(version, requests=_with(version.requests, payload.id, request))
        case ApprovalGranted() as body:
            approval = Approval(
                payload.id, event.index, body.request, body.environment, body.digest, event.actor, _actors(event)
            )
            return replace(version, approvals=(*version.approvals, approval))
        case ApprovalRejected() as body:
            request = replace(version.requests[body.request], rejected=True)
            return replace(version, requests=_with(version.requests, body.request, request))
    return version


def _evolve_model(state: ModelState | None, event: RecordedEvent) -> ModelState | None:
    versions = MappingProxyType({}) if state is None else state.versions
    name = event.subject.version or ""
    if isinstance(event.body, VersionRegistered):
        if name in versions:  # the same bytes registered again, for example by a retried job
            return state
        body = event.body
        version = VersionState(body.digest, body.owner, body.tier, body.run, event.index, _actors(event))
        return ModelState(_with(versions, name, version))
    if name not in versions:
        return state
    return ModelState(_with(versions, name, _evolve_version(versions[name], event)))


def _evolve_deployment(state: DeploymentState | None, event: RecordedEvent) -> DeploymentState:
    state = state or DeploymentState()
    match event.body:
        case DeploymentAuthorised() as body:
            return replace(state, authorisation=Authorisation(event.payload.id, event.index, body.model, body.digest))
        case RollbackAuthorised() as body:
            return replace(state, rollback=Authorisation(event.payload.id, event.index, body.model, body.digest))
        case DeploymentCompleted() as body:
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
        case IncidentOpened():
            return IncidentState("open")
    return state or IncidentState("open")


_EVOLVE = {
    "ledger": _evolve_ledger,
    "actor": _evolve_actor,
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
