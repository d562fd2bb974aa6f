"""Which decisions the rules refuse, which names stand for which bytes, and how facts no decision covers are marked."""

from __future__ import annotations

from hashlib import sha256

from ledger.domain.actors import FOREVER
from ledger.domain.approving import ApprovalEvent, check_approval_event, check_classification, refuse_makers
from ledger.domain.authorising import GoneLive, check_authorised, check_review
from ledger.domain.deployed import PolicyState
from ledger.domain.golive import live_marks, live_until, rollback_marks
from ledger.domain.independence import deciders, independent, separation
from ledger.domain.lifecycle import row_of, rules_of, same_digest, version_of, versions_meant
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.signed import ROOT_ACTOR, signed_of
from ledger.domain.stages import Place, check_stops, check_waiver_stops
from ledger.domain.states import DatasetState, ModelState, Quarantine, VersionState
from ledger.domain.waiving import WaiverEvent, check_waiver_event, waiver_of
from ledger.domain.world import World, deployment_of, model_of
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.base import DecisionBody
from ledger.events.datasets import DatasetRegistered, DatasetVersioned
from ledger.events.deployments import (
    DeploymentAuthorised,
    DeploymentDenied,
    DeploymentRequested,
    EmergencyReviewed,
    RollbackCompleted,
)
from ledger.events.evaluations import EvaluationCompleted, EvaluationInvalidated
from ledger.events.governance import RiskClassified
from ledger.events.models import VersionRegistered
from ledger.events.policies import PolicyDefined, PolicyRetired
from ledger.events.quarantine import QuarantineReleased
from ledger.events.waivers import WaiverGranted, WaiverRequested

__all__ = ["check_decision", "check_evidence", "check_identity", "marked_until", "marks_of"]


def check_decision(world: World, event: RecordedEvent) -> int:
    """Refuse decisions that the rules in force do not allow.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError, ConflictError, InputError: with the reason.
    """
    match event.body:
        case DeploymentAuthorised() as body:
            return check_authorised(world, event, body)
        case DeploymentRequested() as body:
            named = version_of(world, body.model)
            same_digest(named, body.digest)
            place = Place(event.subject.namespace or "", event.stream, event.recorded_at)
            return check_stops(world, named, "deployment.requested", place)
        case DeploymentDenied() as body:
            _check_denied(world, event, body)
        case EmergencyReviewed() as body:
            check_review(world, event, body)
        case RiskClassified() as body:
            return check_classification(world, event, body)
        case QuarantineReleased() as body:
            _check_release(world, event, body)
        case PolicyDefined() | PolicyRetired() as body:
            _check_policy(world, event, body)
        case body if isinstance(body, ApprovalEvent):
            return check_approval_event(world, event, body)
        case body if isinstance(body, WaiverEvent):
            return min(check_waiver_event(world, event, body), _check_waiver_stops(world, event, body))
    return FOREVER


def _check_waiver_stops(world: World, event: RecordedEvent, body: WaiverEvent) -> int:
    """A waiver is asked for and granted about versions; what becomes of it then is stopped by no state of theirs."""
    about = body if isinstance(body, WaiverRequested) else waiver_of(world, event.stream)
    if about is None or not isinstance(body, WaiverRequested | WaiverGranted):
        return FOREVER
    decision = "waiver.requested" if isinstance(body, WaiverRequested) else "waiver.granted"
    return check_waiver_stops(world, about.model, decision, Place(about.environment, None, event.recorded_at))


def _check_denied(world: World, event: RecordedEvent, body: DeploymentDenied) -> None:
    deployment = deployment_of(world, event.stream)
    if deployment is None or body.request not in deployment.requests:
        raise PolicyError(
            f"{event.stream} has no open request {body.request}", hint=f"See: muniment history {event.stream}"
        )


def _check_release(world: World, event: RecordedEvent, body: QuarantineReleased) -> None:
    state, version = world.state(event.stream), event.subject.version or ""
    known = state.quarantines if isinstance(state, ModelState | DatasetState) else ()
    placed = next((one for one in known if (one.id, one.version) == (body.quarantine, version)), None)
    if placed is None:
        raise PolicyError(f"{event.payload.subject} is not in a quarantine {body.quarantine}")
    if not isinstance(state, ModelState):
        _check_other_placed(world, event, placed)
        return
    for named in versions_meant(world, event.payload.subject):
        refuse_makers(world, event, named, "whoever releases it")


def _check_other_placed(world: World, event: RecordedEvent, placed: Quarantine) -> None:
    """Nobody is registered as the maker of data, so it is whoever placed a quarantine that does not let it go."""
    if event.actor == ROOT_ACTOR:
        return  # no person, and held by several
    if not independent(world, deciders(world, actors_of(event), signed_of(event)), placed.actors):
        raise NotAllowedError(
            f"{event.payload.subject}: whoever releases it must be another person than who put it in quarantine",
            hint="Ask another person with the role approver or validator: muniment actor list",
            rule=separation("quarantine.released", "placer"),
        )


def _check_policy(world: World, event: RecordedEvent, body: PolicyDefined | PolicyRetired) -> None:
    state, version = world.state(event.stream), event.subject.version or ""
    known = state if isinstance(state, PolicyState) else None
    if isinstance(body, PolicyDefined):
        digest = "sha256:" + sha256(body.source.encode()).hexdigest()
        if body.digest != digest:
            raise InputError(f"the digest is not that of the source, which is {digest}")
        if known is not None and known.versions.get(version, digest) != digest:
            raise ConflictError(
                f"{event.payload.subject} is defined with another source", hint="Give it a new version."
            )
        _check_mode(world, event, body, known)
    elif known is None or version not in known.versions:
        raise PolicyError(f"{event.payload.subject} is not defined in this ledger")
    elif asking := _rows_asking(world, event.payload.subject):
        raise PolicyError(
            f"the rules ask for {event.payload.subject}: retired, nothing could be authorised by it any more",
            hint="The root keys name another one first: muniment admin rules change",
            rule=asking[0],
        )


def _rows_asking(world: World, policy: str) -> list[str]:
    return [row_of(rule) for rule in rules_of(world) if rule.gate == policy]


def _check_mode(world: World, event: RecordedEvent, body: PolicyDefined, known: PolicyState | None) -> None:
    """Refuse another mode than it is defined with, and one that holds nothing up where the rules ask for it."""
    name, version = event.payload.subject, event.subject.version or ""
    mode = known.advisory.get(version, "enforce") if known is not None and version in known.versions else body.mode
    if mode != body.mode:
        raise ConflictError(f"{name} is defined in the mode {mode}", hint="Give it a new version.")
    asking = _rows_asking(world, name) if mode != "enforce" else []
    if asking:
        raise PolicyError(
            f"the rules ask for {name}, and in the mode {mode} it would refuse nothing",
            hint="Define it in the mode enforce, or give it another version.",
            rule=asking[0],
        )


def check_evidence(world: World, event: RecordedEvent) -> None:
    """Check that the head and the entries a decision names are those of this log.

    Raises:
        ConflictError: its author saw another history.
    """
    if not isinstance(event.body, DecisionBody):
        return
    seen = event.body.seen
    if seen is not None and (seen.size > event.index or _hex(world.root_hash(seen.size)) != seen.root):
        raise ConflictError(f"its author saw another history: head of size {seen.size}, root {seen.root[:16]}…")
    for item in event.body.evidence:
        if item.index >= event.index or _hex(world.leaf_hash(item.index)) != item.leaf_hash:
            raise ConflictError(f"the evidence at index {item.index} is not the entry its author saw")


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def check_identity(world: World, event: RecordedEvent) -> None:
    """A version's name stands for one digest for ever; registering other bytes under it is a conflict.

    Raises:
        ConflictError: the version exists with another digest.
    """
    version = event.subject.version
    known: str | None = None
    match event.body:
        case VersionRegistered() as body:
            model = model_of(world, event.stream)
            registered = None if model is None else model.versions.get(version or "")
            if registered is not None and registered.digest == body.digest:
                _same_registration(event, registered, body)
            known = None if registered is None else registered.digest
        case DatasetRegistered() | DatasetVersioned() as body if version is not None:
            state = world.state(event.stream)
            known = getattr(state, "versions", {}).get(version)
        case _:
            return
    if known is not None and known != body.digest:
        raise ConflictError(
            f"{event.payload.subject} is already registered as {known}", hint="Register other bytes as a new version."
        )


def _same_registration(event: RecordedEvent, registered: VersionState, body: VersionRegistered) -> None:
    """The tier decides which rules hold, so a second registration may not name another."""
    if (registered.owner, registered.tier, registered.run) != (body.owner, body.tier, body.run):
        raise ConflictError(
            f"{event.payload.subject} is already registered with tier {registered.tier}, owner {registered.owner} "
            f"and {'no run' if registered.run is None else f'the run {registered.run}'}",
            hint="Register it again with the same values, or as a new version.",
        )


def marks_of(world: World, event: RecordedEvent) -> tuple[str, ...]:
    """What is remarkable about a valid event; marks become findings and never refuse it."""
    return _evidence_marks(world, event) + _coverage_marks(world, event)


def marked_until(world: World, event: RecordedEvent) -> int:
    """Time before which an event must be recorded for its marks to hold, in microseconds since the Unix epoch."""
    match event.body:
        case RollbackCompleted() as body:
            return live_until(world, event, body)
        case body if isinstance(body, GoneLive):
            return live_until(world, event, body)
    return FOREVER


def _evidence_marks(world: World, event: RecordedEvent) -> tuple[str, ...]:
    """Protection is never blocked, so an incident that names another history is recorded and marked."""
    try:
        check_evidence(world, event)
    except ConflictError:
        return ("other-history",)
    return ()


def _coverage_marks(world: World, event: RecordedEvent) -> tuple[str, ...]:
    match event.body:
        case body if isinstance(body, GoneLive):
            return live_marks(world, event, body)
        case DeploymentAuthorised(emergency=emergency) if emergency is not None:
            return ("emergency",)
        case RollbackCompleted() as body:
            return rollback_marks(world, event, body)
        case EvaluationCompleted() | EvaluationInvalidated():
            model = model_of(world, event.stream)
            return () if model and (event.subject.version or "") in model.versions else ("unknown-version",)
    return ()
