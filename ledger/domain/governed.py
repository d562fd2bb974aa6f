"""How one valid event changes a data set, a run, a deployment, an incident, a waiver or a policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from ledger.domain.actors import FOREVER, with_item
from ledger.domain.deployed import Authorisation, DeploymentState, PolicyState, Urgent, WaiverState
from ledger.domain.grounds import Said
from ledger.domain.holds import evolve_holds
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.signed import signed_of
from ledger.domain.states import CONSENT, DELETION, QUALITY, DatasetState, IncidentState, Read, RunState, more_read
from ledger.domain.versions import evolve_quarantines, made_from, reads_of
from ledger.events.datasets import (
    DatasetConsentChanged,
    DatasetDeleted,
    DatasetQualityAssessed,
    DatasetRegistered,
    DatasetVersioned,
)
from ledger.events.deployments import (
    CanaryAborted,
    CanaryStageEntered,
    DeploymentAuthorised,
    DeploymentCompleted,
    DeploymentDenied,
    DeploymentHeld,
    DeploymentPromoted,
    DeploymentRequested,
    EmergencyReviewed,
    RollbackCompleted,
)
from ledger.events.features import FeaturesetChanged, FeaturesetDefined, FeaturesetMaterialized
from ledger.events.incidents import IncidentClosed, IncidentOpened, IncidentReopened
from ledger.events.policies import PolicyDefined, PolicyRetired
from ledger.events.runs import RunAborted, RunAttached, RunCompleted, RunFailed, RunStarted
from ledger.events.waivers import WaiverDenied, WaiverGranted, WaiverRequested, WaiverRevoked, WaiverUsed
from ledger.names import stream_of
from ledger.payload import parse_moment

__all__ = [
    "evolve_dataset",
    "evolve_deployment",
    "evolve_incident",
    "evolve_policy",
    "evolve_run",
    "evolve_waiver",
]

_RUNS = {RunStarted: "started", RunCompleted: "completed", RunFailed: "failed", RunAborted: "aborted"}


def evolve_dataset(state: DatasetState | None, event: RecordedEvent) -> DatasetState:
    """The state of a data set, or a feature set, after one valid event of its stream."""
    state = state or DatasetState(MappingProxyType({}))
    if isinstance(event.body, DatasetRegistered | DatasetVersioned):
        versions = with_item(state.versions, event.subject.version or "", event.body.digest)
        return replace(_derived(state, event, made_from(event.body)), versions=versions)
    if isinstance(event.body, FeaturesetDefined | FeaturesetChanged | FeaturesetMaterialized):
        return _derived(state, event, (*reads_of(event.body.inputs), *made_from(event.body)))
    match event.body:
        case DatasetQualityAssessed(digest=digest, verdict=verdict):
            if digest not in (None, state.versions.get(event.subject.version or "", digest)):
                return state  # an assessment of other bytes
            return _assessed(state, event, QUALITY, verdict)
        case DatasetConsentChanged(status=status):
            return _assessed(state, event, CONSENT, status)
        case DatasetDeleted():
            return _assessed(state, event, DELETION, "deleted")
    return replace(state, quarantines=evolve_quarantines(state.quarantines, event))


def _derived(state: DatasetState, event: RecordedEvent, read: Iterable[Read]) -> DatasetState:
    """What data was made from; an earlier version of its own counts not: the next one puts right what was wrong."""
    others = [one for one in read if event.subject.kind != "dataset" or stream_of(one[0]) != event.stream]
    version = event.subject.version or ""
    if not others:
        return state
    return replace(state, inputs=with_item(state.inputs, version, more_read(state.inputs_of(version), others)))


def _assessed(state: DatasetState, event: RecordedEvent, respect: str, says: str) -> DatasetState:
    """What is said of data, after one more word; one that says the same as before changes nothing."""
    new = Said(event.index, event.subject.version or "", respect, says, event.occurred_at)
    before = state.known(respect, new.about, event.index)
    later = replace(state, assessed=(*state.assessed, new))
    if before is None:
        return later
    if new.about and later.known(respect, new.about, FOREVER) is before:
        return state  # a late report
    abouts = {one.about for one in state.assessed if one.respect == respect and new.about in ("", one.about)}
    if before.says != says or any(state.known(respect, about, event.index) is not before for about in abouts):
        return later
    if new.at <= before.at:
        return state
    if before.about != new.about:
        return later
    renewed = replace(before, at=new.at)
    return replace(state, assessed=tuple(renewed if one is before else one for one in state.assessed))


def evolve_run(state: RunState | None, event: RecordedEvent) -> RunState | None:
    """The state of a run after one valid event of its stream."""
    body = event.body
    if not isinstance(body, RunStarted | RunCompleted | RunFailed | RunAborted | RunAttached):
        return state
    status = body.status if isinstance(body, RunAttached) else _RUNS[type(body)]
    behind = actors_of(event)
    state = state or RunState(behind, status, first=behind)
    inputs = more_read(state.inputs, (*reads_of(body.inputs), *made_from(body)))
    made = tuple(reads_of(body.outputs)) if isinstance(body, RunCompleted | RunAttached) else ()
    told = event.index if made and state.told is None and event.actor in state.first else state.told
    return replace(
        state, authors=state.authors | behind, status=status, inputs=inputs, index=event.index,
        outputs=more_read(state.outputs, made), told=told,
    )  # fmt: skip


def _authorised(state: DeploymentState, event: RecordedEvent, body: DeploymentAuthorised) -> DeploymentState:
    signed = signed_of(event)
    urgent = body.emergency is not None
    given = Authorisation(event.payload.id, signed, body.model, body.digest, urgent)
    asked = {name: model for name, model in state.requests.items() if model != body.model}
    state = replace(state, authorisation=given, requests=MappingProxyType(asked))
    if body.emergency is None:
        known = state.authorised.get(body.model, ())
        return replace(state, authorised=with_item(state.authorised, body.model, (*known, event.index)))
    waiting = Urgent(event.payload.id, signed, actors_of(event), parse_moment(body.emergency.review_by))
    return replace(state, urgent=(*state.urgent, waiting))


def evolve_deployment(state: DeploymentState | None, event: RecordedEvent) -> DeploymentState:
    """The state of a deployment after one valid event of its stream."""
    state = state or DeploymentState()
    state = replace(state, holds=evolve_holds(state.holds, event))
    match event.body:
        case DeploymentAuthorised() as body:
            return _authorised(state, event, body)
        case DeploymentRequested(model=model):
            return replace(state, requests=with_item(state.requests, event.payload.id, model))
        case DeploymentDenied(request=request):
            asked = {name: model for name, model in state.requests.items() if name != request}
            return replace(state, requests=MappingProxyType(asked))
        case DeploymentCompleted() | DeploymentPromoted() as body:
            return _gone_live(state, event, (body.model, body.digest))
        case RollbackCompleted() as body:
            # Rolling back ends what was authorised before: the version left must be authorised anew.
            # What a rollback brought up for the first time does not thereby become a good target.
            latest = max(state.occurred_at, event.occurred_at)
            state = _taken_over(state, event, body.model, back=True)
            return replace(state, live=(body.model, body.digest), authorisation=None, occurred_at=latest)
        case CanaryStageEntered(model=model):
            return replace(state, canary=(model, event.index))
        case CanaryAborted(model=model):
            return replace(state, canary=None) if state.canary is not None and state.canary[0] == model else state
        case DeploymentHeld(model=model):
            given = state.authorisation
            return replace(state, authorisation=None) if given is not None and given.model == model else state
        case EmergencyReviewed() as body:
            return _reviewed(state, body)
    return state


def _gone_live(state: DeploymentState, event: RecordedEvent, live: tuple[str, str]) -> DeploymentState:
    given = state.authorisation
    mine = given is not None and (given.model, given.digest) == live
    return replace(
        _taken_over(state, event, live[0]), live=live, ever_live=state.ever_live | {live},
        good=with_item(state.good, live, given) if given is not None and mine else state.good,
        occurred_at=max(state.occurred_at, event.occurred_at),
    )  # fmt: skip


def _taken_over(state: DeploymentState, event: RecordedEvent, model: str, *, back: bool = False) -> DeploymentState:
    """A version goes live: it ends every canary, and takes the place of what was live."""
    left = {name: index for name, index in state.left.items() if name != model}
    if back and state.live is not None and state.live[0] != model:
        left[state.live[0]] = event.index
    return replace(state, went_live=event.index, canary=None, left=MappingProxyType(left))


def _reviewed(state: DeploymentState, body: EmergencyReviewed) -> DeploymentState:
    state = replace(state, urgent=tuple(one for one in state.urgent if one.id != body.decision))
    given = state.authorisation
    if body.verdict == "justified":
        return state
    good = {live: by for live, by in state.good.items() if by.id != body.decision}
    kept = None if given is not None and given.id == body.decision else given
    return replace(state, authorisation=kept, good=MappingProxyType(good))


def evolve_incident(state: IncidentState | None, event: RecordedEvent) -> IncidentState:
    """The state of an incident after one valid event of its stream."""
    match event.body:
        case IncidentClosed():
            return IncidentState("closed")
        case IncidentOpened() | IncidentReopened():
            return IncidentState("open")
    return state or IncidentState("open")


def evolve_waiver(state: WaiverState | None, event: RecordedEvent) -> WaiverState | None:
    """The state of a waiver after one valid event of its stream."""
    signed = signed_of(event)
    if isinstance(event.body, WaiverRequested):
        body = event.body
        return WaiverState(
            signed, body.check, body.model, body.environment, body.owner, actors_of(event),
            parse_moment(body.expires_at), 1 if body.single_use else body.max_uses,
        )  # fmt: skip
    if state is None:
        return None
    match event.body:
        case WaiverGranted(expires_at=end):
            until = state.until if end is None else min(state.until, parse_moment(end))
            return replace(state, granted=signed, granters=actors_of(event), until=until)
        case WaiverDenied():
            return replace(state, ended="denied")
        case WaiverRevoked():
            return replace(state, ended="revoked")
        case WaiverUsed(deployment=deployment, model=model):
            return replace(state, used=(*state.used, (signed, deployment, model)))
    return state


def evolve_policy(state: PolicyState | None, event: RecordedEvent) -> PolicyState:
    """The state of a policy after one valid event of its stream."""
    state, version = state or PolicyState(MappingProxyType({})), event.subject.version or ""
    match event.body:
        case PolicyDefined(digest=digest, mode=mode):
            state = replace(state, versions=with_item(state.versions, version, digest))
            return state if mode == "enforce" else replace(state, advisory=with_item(state.advisory, version, mode))
        case PolicyRetired():
            return replace(state, retired=state.retired | {version})
    return state
