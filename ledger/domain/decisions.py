"""Which decisions the rules refuse, and how facts that no decision covers are marked."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.domain.recorded import RecordedEvent
from ledger.domain.signed import Signed
from ledger.domain.states import DeploymentState, VersionState
from ledger.domain.suspicion import Suspicion, suspicion
from ledger.domain.world import World, actor_of, deployment_of, ledger_of, model_of, run_of
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.approvals import ApprovalGranted, ApprovalRejected, ApprovalRequested
from ledger.events.base import DecisionBody
from ledger.events.datasets import DatasetRegistered, DatasetVersioned
from ledger.events.deployments import (
    CanaryStageEntered,
    DeploymentAuthorised,
    DeploymentCompleted,
    DeploymentPromoted,
    DeploymentRequested,
    RollbackCompleted,
)
from ledger.events.evaluations import EvaluationCompleted, EvaluationInvalidated
from ledger.events.ledgers import Rule
from ledger.events.models import VersionRegistered
from ledger.names import Name, parse_name, stream_of

__all__ = [
    "check_decision",
    "check_evidence",
    "check_identity",
    "deployment_doubt",
    "independent",
    "makers_of",
    "marks_of",
    "passed_evaluation",
    "persons_behind",
    "rule_for",
]


#: Facts that a version gets traffic, which an authorisation must cover.
GoneLive = DeploymentCompleted | DeploymentPromoted | CanaryStageEntered


def rule_for(world: World, environment: str, tier: str) -> Rule:
    """The first rule that matches.

    Raises:
        PolicyError: no rule matches; what is not ruled is refused.
    """
    ledger = ledger_of(world)
    for rule in () if ledger is None else ledger.rules.rules:
        if rule.environment in ("*", environment) and rule.tier in ("*", tier):
            return rule
    raise PolicyError(f"no rule covers the environment {environment!r} at tier {tier!r}")


def persons_behind(world: World, actors: Iterable[str]) -> frozenset[str] | None:
    """The persons behind actors, or None when one of them cannot be resolved.

    Whoever answers or ever answered for a service stands behind all that it did.
    """
    persons: set[str] = set()
    for actor in actors:
        state = actor_of(world, actor)
        if state is None or state.person is None:
            return None
        persons |= state.persons
    return frozenset(persons)


def _version(world: World, name: str) -> tuple[Name, VersionState]:
    subject = parse_name(name)
    if subject.kind != "model" or subject.version is None:
        raise InputError(f"{name!r} must name a model version: model:<name>@<version>")
    model = model_of(world, stream_of(name))
    if model is None or subject.version not in model.versions:
        raise PolicyError(
            f"{name} is not registered in this ledger", hint=f"Register it first: muniment record version {name} …"
        )
    version = model.versions[subject.version]
    _refuse_doubt(suspicion(world, version.signed), f"the registration of {name}")
    return subject, version


def _refuse_doubt(doubt: Suspicion | None, what: str) -> None:
    if doubt is not None:
        raise PolicyError(
            f"{what} counts no more: {doubt.text}",
            hint=f"If it is genuine: muniment entry reaffirm {doubt.index} --reason …",
        )


def _same_digest(version: VersionState, name: str, digest: str) -> None:
    if digest != version.digest:
        raise PolicyError(f"{name} was registered as {version.digest}, and this decision names {digest}")


def makers_of(world: World, version: VersionState, request_actors: Iterable[str]) -> frozenset[str] | None:
    """Actors behind the request, the run and the registration of a version.

    None when the run is named and not recorded: then nobody knows who is behind it.
    """
    authors = frozenset(request_actors) | version.authors
    if version.run is None:
        return authors
    run = run_of(world, version.run)
    return None if run is None else authors | run.authors


def passed_evaluation(version: VersionState) -> bool:
    """Whether some evaluation passed and the last one of no suite failed."""
    return version.passed is not None and all(e.verdict != "fail" for e in version.evaluations)


def _evaluation_doubt(world: World, version: VersionState) -> Suspicion | None:
    """Why what is known of a version's evaluations cannot be relied on.

    A suspect evaluation has taken the place of what was said before, so nothing is known until somebody measures again.
    """
    entries = [evaluation.signed for evaluation in version.evaluations]
    entries += [] if version.passed is None else [version.passed.signed]
    return _first_doubt(world, entries)


def _first_doubt(world: World, entries: Iterable[Signed]) -> Suspicion | None:
    return next((doubt for doubt in (suspicion(world, signed) for signed in entries) if doubt is not None), None)


def independent(world: World, approvers: Iterable[str], makers: Iterable[str] | None) -> bool | None:
    """Whether no person stands on both sides; None when a person cannot be resolved."""
    approving = persons_behind(world, approvers)
    making = None if makers is None else persons_behind(world, makers)
    if approving is None or making is None:
        return None
    return not approving & making


def _check_decided(world: World, event: RecordedEvent, body: ApprovalGranted | ApprovalRejected) -> None:
    name = event.payload.subject
    _, version = _version(world, name)
    request = version.requests.get(body.request)
    if request is None or request.rejected:
        raise PolicyError(
            f"{name} has no open request {body.request}", hint=f"Ask first: muniment request {name} --env …"
        )
    if (request.environment, request.digest) != (body.environment, body.digest):
        raise PolicyError("the decision names another environment or digest than the request it answers")
    _same_digest(version, name, body.digest)
    _refuse_doubt(suspicion(world, request.signed), f"the request {body.request}")
    if isinstance(body, ApprovalRejected):
        return
    rule = rule_for(world, body.environment, version.tier)
    mine = {event.actor} | ({event.payload.on_behalf_of} if event.payload.on_behalf_of else set())
    if rule.approvals > 0:
        apart = independent(world, mine, makers_of(world, version, request.actors))
        if apart is None:
            raise NotAllowedError(
                "who is behind this version cannot be resolved, so that the approver is another person is not shown",
                hint=f"Is the run recorded that it names? muniment log {version.run}" if version.run else "",
            )
        if not apart:
            raise NotAllowedError(
                f"{name}: the approver must be another person than requester, run author and whoever they acted for",
                hint="Ask another person with the role approver; `muniment actor list` shows them.",
            )
    if rule.evaluation and not passed_evaluation(version):
        raise PolicyError(
            f"{name} has no standing passed evaluation, and {body.environment} at tier {version.tier} asks for one",
            hint=f"Record it: muniment record evaluation {name} --metric auc=… --verdict pass",
        )
    if rule.evaluation:
        _refuse_doubt(_evaluation_doubt(world, version), f"an evaluation of {name}")
    if any(approval.request == body.request and approval.actor == event.actor for approval in version.approvals):
        raise ConflictError(f"{event.actor!r} has already approved request {body.request}")


def approvals_for(world: World, version: VersionState, environment: str, digest: str) -> frozenset[str]:
    """Distinct persons who signed an approval of ``digest`` for ``environment`` that stands and is independent.

    What is suspect does not count, nor what answers a suspect request.
    """
    persons: set[str] = set()
    for approval in version.approvals:
        request = version.requests.get(approval.request)
        if (approval.environment, approval.digest) != (environment, digest) or request is None or request.rejected:
            continue
        if _first_doubt(world, [approval.signed, request.signed]) is not None:
            continue
        # Judged again: since the approval, more may be known of who made the version.
        if independent(world, approval.actors, makers_of(world, version, request.actors)):
            state = actor_of(world, approval.actor)
            persons |= {state.person} if state is not None and state.person is not None else set()
    return frozenset(persons)


def _check_authorised(world: World, event: RecordedEvent, body: DeploymentAuthorised) -> None:
    _, version = _version(world, body.model)
    _same_digest(version, body.model, body.digest)
    environment = event.subject.namespace or ""
    rule = rule_for(world, environment, version.tier)
    if rule.approvals and rule.evaluation:
        _refuse_doubt(_evaluation_doubt(world, version), f"an evaluation of {body.model}")
    have = len(approvals_for(world, version, environment, body.digest))
    if have < rule.approvals:
        raise PolicyError(
            f"{body.model} needs {rule.approvals} approval(s) for {environment} at tier {version.tier} and has {have}",
            hint=f"Ask for it: muniment request {body.model} --env {environment}",
        )


def check_decision(world: World, event: RecordedEvent) -> None:
    """Refuse requests, approvals and authorisations that the rules in force do not allow.

    Raises:
        PolicyError, ConflictError, InputError: with the reason.
    """
    match event.body:
        case ApprovalRequested() as body:
            _, version = _version(world, event.payload.subject)
            _same_digest(version, event.payload.subject, body.digest)
            rule_for(world, body.environment, version.tier)
            if event.payload.id in version.requests:
                raise ConflictError(f"a request with the id {event.payload.id} exists already")
        case ApprovalGranted() | ApprovalRejected() as body:
            _check_decided(world, event, body)
        case DeploymentRequested() as body:
            _, version = _version(world, body.model)
            _same_digest(version, body.model, body.digest)
        case DeploymentAuthorised() as body:
            _check_authorised(world, event, body)


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
            f"and run {registered.run}",
            hint="Register it again with the same values, or as a new version.",
        )


def _covered(world: World, event: RecordedEvent, body: GoneLive) -> bool:
    environment = event.subject.namespace or ""
    try:
        _, version = _version(world, body.model)
        rule = rule_for(world, environment, version.tier)
    except (PolicyError, InputError):
        return False  # what is not registered, not in good standing, or not ruled, is not covered
    if not rule.authorisation:
        return version.digest == body.digest
    return _authorised(world, deployment_of(world, event.stream), version, body, (environment, rule))


def _authorised(
    world: World, deployment: DeploymentState | None, version: VersionState, body: GoneLive,
    place: tuple[str, Rule],
) -> bool:  # fmt: skip
    """Whether an authorisation covers what went live, and nothing that it rested on has become suspect since."""
    given = None if deployment is None else deployment.authorisation
    if given is None or (given.model, given.digest) != (body.model, body.digest):
        return False
    return _foundation_doubt(world, version, body.digest, place) is None and suspicion(world, given.signed) is None


def _foundation_doubt(
    world: World, version: VersionState, digest: str, place: tuple[str, Rule]
) -> Suspicion | None:  # fmt: skip
    """Why what an authorisation needed does not stand any more."""
    environment, rule = place
    if rule.approvals == 0:
        return None
    asked = [r.signed for r in version.requests.values() if r.environment == environment]
    approvals = [a.signed for a in version.approvals if (a.environment, a.digest) == (environment, digest)]
    doubt = _first_doubt(world, [*asked, *approvals])
    if doubt is not None and len(approvals_for(world, version, environment, digest)) < rule.approvals:
        return doubt
    return _evaluation_doubt(world, version) if rule.evaluation else None


def deployment_doubt(world: World, deployment: str, model: str, digest: str) -> Suspicion | None:
    """Why what is live in a deployment rests on something suspect, None when it does not.

    Args:
        world: the world of whoever asks.
        deployment: ``deployment:<environment>/<service>``.
        model: the version that is live there.
        digest: its digest.
    """
    subject, environment = parse_name(model), parse_name(deployment).namespace or ""
    found = model_of(world, stream_of(model))
    version = None if found is None else found.versions.get(subject.version or "")
    if version is None:
        return None
    given = deployment_of(world, deployment)
    signed = None if given is None else given.authorisation
    doubt = suspicion(world, version.signed)
    if signed is not None and (signed.model, signed.digest) == (model, digest):
        doubt = doubt or suspicion(world, signed.signed)
    try:
        rule = rule_for(world, environment, version.tier)
    except PolicyError:
        return doubt
    return doubt or (_foundation_doubt(world, version, digest, (environment, rule)) if rule.authorisation else None)


def marks_of(world: World, event: RecordedEvent) -> tuple[str, ...]:
    """What is remarkable about a valid event; marks become findings and never refuse it."""
    return _evidence_marks(world, event) + _coverage_marks(world, event)


def _evidence_marks(world: World, event: RecordedEvent) -> tuple[str, ...]:
    """Protection is never blocked, so an incident that names another history is recorded and marked."""
    try:
        check_evidence(world, event)
    except ConflictError:
        return ("other-history",)
    return ()


def _coverage_marks(world: World, event: RecordedEvent) -> tuple[str, ...]:
    match event.body:
        case DeploymentCompleted() | DeploymentPromoted() | CanaryStageEntered() as body:
            return () if _covered(world, event, body) else ("unauthorised",)
        case RollbackCompleted() as body:
            deployment = deployment_of(world, event.stream)
            live = deployment is not None and (body.model, body.digest) in deployment.ever_live
            return () if live else ("never-live",)
        case EvaluationCompleted() | EvaluationInvalidated():
            model = model_of(world, event.stream)
            return () if model and (event.subject.version or "") in model.versions else ("unknown-version",)
    return ()
