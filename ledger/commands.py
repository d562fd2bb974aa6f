"""Decisions and the facts that answer them, with their evidence filled in from the log.

Each function reads the present state, names the head it saw and the entries it rests on, and appends one
event. The rules are not here: the ledger judges the event like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ledger.application import Ledger, Receipt
from ledger.domain import DeploymentState, ModelState, VersionState
from ledger.domain.authorising import approvals_that_stand
from ledger.domain.foundations import grounds_of
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.states import ApprovalRequest
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name, stream_of

__all__ = [
    "approve",
    "authorise",
    "deciding",
    "open_requests",
    "record_canary",
    "record_deployment",
    "record_rollback",
    "reject",
    "request_approval",
    "roll_back",
    "seen_head",
    "sought",
    "version_state",
]


T = TypeVar("T")


def version_state(ledger: Ledger, model: str) -> VersionState:
    """State of a model version now.

    Args:
        ledger: an open ledger.
        model: ``model:<name>@<version>``.

    Raises:
        InputError: it is no such name.
        PolicyError: it is not registered.
    """
    name = parse_name(model)
    if name.kind != "model" or name.version is None:
        raise InputError(f"{model!r} must name a model version: model:<name>@<version>")
    size = ledger.world.refresh()
    state = ledger.world.state_before(stream_of(model), size)
    if not isinstance(state, ModelState) or name.version not in state.versions:
        raise PolicyError(f"{model} is not registered", hint=f"Register it first: muniment record version {model} …")
    return state.versions[name.version]


def _registered_digest(ledger: Ledger, model: str) -> str:
    """Facts and protection are not refused because a version is unknown; then its digest must be given."""
    try:
        return version_state(ledger, model).digest
    except PolicyError as error:
        raise InputError(
            f"{model} is not registered, so its digest is not known here", hint="Give it: --digest sha256:HEX"
        ) from error


def _deployment_state(ledger: Ledger, deployment: str) -> DeploymentState:
    size = ledger.world.refresh()
    state = ledger.world.state_before(deployment, size)
    return state if isinstance(state, DeploymentState) else DeploymentState()


def seen_head(ledger: Ledger) -> dict[str, Any]:
    """The head that the author of a decision sees, as its body names it."""
    head = ledger.recorder.head()
    return {"size": head.size, "root": head.root().hex()}


def _evidence(ledger: Ledger, indexes: Iterable[int]) -> list[dict[str, Any]]:
    """Entries as a body names them; where there are too many, the first that are given."""
    found = []
    for index in sorted(list(dict.fromkeys(indexes))[:256]):
        leaf = ledger.world.leaf_hash(index)
        if leaf is not None:
            found.append({"index": index, "leaf_hash": leaf.hex()})
    return found


def _grounds(ledger: Ledger, model: str, environment: str) -> list[int]:
    """All that is known of a version now, for whoever asks for its approval or decides about that."""
    world = ledger.world.at(ledger.world.refresh())
    return grounds_of(world, version_of(world, model), environment, ledger.recorder.now())


def sought(ledger: Ledger, type: str, subject: str, find: Callable[[], T], **body: Any) -> T:
    """Look for what a decision needs; that it is not there is recorded like any refusal.

    Args:
        ledger: open, signing as whoever decides.
        type: of the decision.
        subject: its subject.
        find: raises `PolicyError` where it is not there.
        body: what is known of the decision.
    """
    try:
        return find()
    except PolicyError as error:
        ledger.record_refusal(type, subject, body, error)
        raise


def is_recorded(ledger: Ledger, event_id: str | None) -> bool:
    """Whether an event that its author gave an id is in the log.

    Args:
        ledger: open, signing as its author.
        event_id: the id; None when it was given none.
    """
    return event_id is not None and ledger.recorder.find(event_id, str(ledger.actor)) is not None


def open_requests(ledger: Ledger, model: str, environment: str | None = None) -> list[ApprovalRequest]:
    """Requests for a version's approval that were neither turned down nor withdrawn, oldest first."""
    version = version_state(ledger, model)
    requests = sorted(version.requests.values(), key=lambda request: request.index)
    return [r for r in requests if r.closed is None and environment in (None, r.environment)]


def request_approval(
    ledger: Ledger, model: str, environment: str, *, reason: str | None = None, amends: str | None = None,
    **options: Any,
) -> Receipt:  # fmt: skip
    """Ask that a version may go to an environment.

    Args:
        ledger: open, signing as the requester.
        model: ``model:<name>@<version>``.
        environment: for example ``prod``.
        reason: why.
        amends: event id of the request that was sent back and that this one goes on from.
        options: see `Ledger.emit`.
    """
    version, grounds = sought(
        ledger, "approval.requested", model,
        lambda: (version_state(ledger, model), _grounds(ledger, model, environment)), environment=environment,
    )  # fmt: skip
    body = {
        "environment": environment,
        "digest": version.digest,
        "reason": reason,
        "amends": amends,
        "seen": seen_head(ledger),
        "evidence": _evidence(ledger, grounds),
    }
    return ledger.emit("approval.requested", model, body, **options)


def deciding(
    ledger: Ledger, model: str, environment: str | None, request: str | None, rationale: str | None
) -> dict[str, Any]:
    """Body and cause of a decision on the request that is meant; arguments as `approve`."""
    wanted = [r for r in open_requests(ledger, model, environment) if request in (None, r.id)]
    if not wanted:
        raise PolicyError(
            f"{model} has no open request to decide{f' for {environment}' if environment else ''}",
            hint=f"Ask first: muniment request {model} --env {environment or 'ENVIRONMENT'}",
        )
    if request is None and len({r.environment for r in wanted}) > 1:
        raise InputError(
            f"{model} has open requests for {', '.join(sorted({r.environment for r in wanted}))}",
            hint="Say which: --env ENVIRONMENT.",
        )
    chosen = wanted[-1]
    body = {
        "environment": chosen.environment,
        "digest": chosen.digest,
        "request": chosen.id,
        "rationale": rationale,
        "seen": seen_head(ledger),
        "evidence": _evidence(ledger, [chosen.index, *_grounds(ledger, model, chosen.environment)]),
    }
    return {"data": body, "causation": chosen.id}


def approve(
    ledger: Ledger,
    model: str,
    environment: str | None = None,
    *,
    rationale: str,
    request: str | None = None,
    valid_from: str | None = None,
    expires_at: str | None = None,
    conditions: Sequence[str] = (),
    **options: Any,
) -> Receipt:
    """Approve the newest open request.

    Args:
        ledger: open, signing as the approver.
        model: ``model:<name>@<version>``.
        environment: which request, when there are several.
        rationale: why; shown in every report.
        request: event id of the request, instead of the newest.
        valid_from: it holds for what is recorded then or later; at once when None.
        expires_at: it holds for what is recorded before, ``YYYY-MM-DDTHH:MM:SSZ``; for ever when None.
        conditions: what must be met before it holds.
        options: see `Ledger.emit`.

    Raises:
        PolicyError: the rules refuse it; NotAllowedError when this person may not.
    """
    options |= sought(
        ledger, "approval.granted", model, lambda: deciding(ledger, model, environment, request, rationale),
        environment=environment,
    )  # fmt: skip
    options["data"] |= {
        "valid_from": valid_from, "expires_at": expires_at, "conditions": list(conditions) or None,
    }  # fmt: skip
    return ledger.emit("approval.granted", model, **options)


def reject(
    ledger: Ledger,
    model: str,
    environment: str | None = None,
    *,
    rationale: str,
    request: str | None = None,
    **options: Any,
) -> Receipt:
    """Turn the newest open request down; arguments as `approve`."""
    options |= sought(
        ledger, "approval.rejected", model, lambda: deciding(ledger, model, environment, request, rationale),
        environment=environment,
    )  # fmt: skip
    return ledger.emit("approval.rejected", model, **options)


def authorisation(
    ledger: Ledger, deployment: str, model: str, *, reason: str | None = None, emergency: dict[str, str] | None = None
) -> dict[str, Any]:
    """Body of an authorisation; arguments as `authorise`."""
    version = sought(ledger, "deployment.authorised", deployment, lambda: version_state(ledger, model), model=model)
    environment = parse_name(deployment).namespace or ""
    approvals = [a.index for a in reversed(version.approvals) if a.environment == environment]
    standing = _standing(ledger, model, environment)
    return {
        "model": model,
        "digest": version.digest,
        "reason": reason,
        "emergency": emergency,
        **({"approvals": standing} if standing else {}),
        "seen": seen_head(ledger),
        "evidence": _evidence(ledger, [version.index, *approvals]),
    }


def _standing(ledger: Ledger, model: str, environment: str) -> list[str]:
    """Event ids of the approvals that stand now, the last ones given; none where no rule tells how long they do."""
    world = ledger.world.at(ledger.world.refresh())
    try:
        named = version_of(world, model)
        place = (environment, rule_for(world, environment, named.tier))
    except PolicyError:
        return []  # it is told when the authorisation is judged
    return list(approvals_that_stand(world, named, place, ledger.recorder.now()))[-64:]


def authorise(
    ledger: Ledger, deployment: str, model: str, *, reason: str | None = None,
    emergency: dict[str, str] | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Authorise a deployment; nothing is deployed by saying so, and no gate is run: see `muniment.authorise`.

    Args:
        ledger: open, signing as the deployer.
        deployment: ``deployment:<environment>/<service>``.
        model: ``model:<name>@<version>``.
        reason: why; needed where the version is held there, for that lifts the hold.
        emergency: ``{"reason", "review_by"}`` when the rules are not waited for.
        options: more of the body (``strategy``, ``traffic``, ``config_digest``), and those of `Ledger.emit`.

    Raises:
        PolicyError: the rules in force ask for more.
    """
    body = authorisation(ledger, deployment, model, reason=reason, emergency=emergency)
    return ledger.emit("deployment.authorised", deployment, body, **options)


def record_deployment(
    ledger: Ledger, deployment: str, model: str, *, digest: str | None = None, **fields: Any
) -> Receipt:
    """Record that a version is live; never refused for policy, and marked when nothing authorised it.

    Args:
        ledger: open, signing as whoever deployed.
        deployment: ``deployment:<environment>/<service>``.
        model: ``model:<name>@<version>``.
        digest: digest of what is live; the registered one when None.
        fields: more of the body, and the options of `Ledger.emit`.
    """
    body = {"model": model, "digest": digest or _registered_digest(ledger, model)}
    return ledger.emit("deployment.completed", deployment, body, **fields)


def record_canary(
    ledger: Ledger, deployment: str, model: str, *, digest: str | None = None, stage: int | None = None,
    traffic: float | None = None, budget_used: float | None = None, verdict: str | None = None,
    promoted: bool | None = None, aborted: str | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Record what becomes of a canary; never refused for policy, and marked when nothing authorised it.

    Args:
        ledger: open, signing as whoever deploys.
        deployment: ``deployment:<environment>/<service>``.
        model: ``model:<name>@<version>``.
        digest: its digest; the registered one when None.
        stage: number of the stage it enters, or that was analysed.
        traffic: its share of the traffic in that stage.
        budget_used: share of the error budget used so far.
        verdict: of the analysis of the stage; it enters the stage when None.
        promoted: it takes over all traffic.
        aborted: why it gets no traffic any more.
        options: see `Ledger.emit`.
    """
    body: dict[str, Any] = {"model": model, "digest": digest or _registered_digest(ledger, model)}
    if aborted is not None:
        return ledger.emit("canary.aborted", deployment, body | {"reason": aborted}, **options)
    if promoted:
        live = _deployment_state(ledger, deployment).live
        return ledger.emit("deployment.promoted", deployment, body | {"previous": live and live[0]}, **options)
    body |= {"stage": stage, "traffic": traffic, "budget_used": budget_used, "verdict": verdict}
    kind = "canary.stage_entered" if verdict is None else "canary.analysed"
    return ledger.emit(kind, deployment, body, **options)


def _rollback_body(
    ledger: Ledger, model: str, digest: str | None, incident: str | None, reason: str | None
) -> dict[str, Any]:
    return {
        "model": model,
        "digest": digest or _registered_digest(ledger, model),
        "incident": incident,
        "reason": reason,
    }


def roll_back(
    ledger: Ledger,
    deployment: str,
    model: str,
    *,
    digest: str | None = None,
    incident: str | None = None,
    reason: str | None = None,
    **options: Any,
) -> Receipt:
    """Authorise a rollback; never blocked. Arguments as `record_rollback`."""
    body = _rollback_body(ledger, model, digest, incident, reason)
    state = _deployment_state(ledger, deployment)
    if state.live == (model, body["digest"]):
        hint = f"There is nothing to go back from. What is live: muniment state {deployment}"
        raise InputError(f"{model} is live in {deployment} already", hint=hint)
    return ledger.emit("rollback.authorised", deployment, {**body, "seen": seen_head(ledger)}, **options)


def record_rollback(
    ledger: Ledger,
    deployment: str,
    model: str,
    *,
    digest: str | None = None,
    incident: str | None = None,
    reason: str | None = None,
    from_model: str | None = None,
    **fields: Any,
) -> Receipt:
    """Record that an earlier version is live again; recorded whatever it returned to.

    Args:
        ledger: open, signing as whoever rolled back.
        deployment: ``deployment:<environment>/<service>``.
        model: the version now live.
        digest: its digest; the registered one when None.
        incident: ``incident:<id>`` it answers.
        reason: why.
        from_model: the version it came from; what was live there, by what is recorded, when None.
        fields: more of the body, and the options of `Ledger.emit`.
    """
    body = _rollback_body(ledger, model, digest, incident, reason)
    live = _deployment_state(ledger, deployment).live
    before = None if live is None or live[0] == model else live[0]
    return ledger.emit("rollback.completed", deployment, {**body, "from_model": from_model or before}, **fields)
