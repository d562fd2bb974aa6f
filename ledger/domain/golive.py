"""How facts that a version gets traffic are marked: nothing covers them, a state stops it, or they are dated back."""

from __future__ import annotations

from ledger.domain.actors import FOREVER
from ledger.domain.authorising import GoneLive, covered, review_due, still_covers
from ledger.domain.deployed import Authorisation, DeploymentState
from ledger.domain.lifecycle import rule_for, side_states, stops_of, version_of
from ledger.domain.recorded import CLOCK_BEHIND, RecordedEvent
from ledger.domain.world import World, deployment_of
from ledger.errors import InputError, PolicyError
from ledger.events.deployments import RollbackCompleted
from ledger.names import parse_name

__all__ = ["live_marks", "live_until", "once_covered", "rollback_marks"]


def live_marks(world: World, event: RecordedEvent, body: GoneLive) -> tuple[str, ...]:
    """Marks of a fact that a version gets traffic.

    Args:
        world: the world before it.
        event: the fact.
        body: its body.
    """
    place = deployment_of(world, event.stream) or DeploymentState()
    given = place.authorisation if _is_for(place.authorisation, body.model, body.digest) else None
    stops = _stopped(world, event.stream, body.model, given)
    marks = () if covered(world, event, body) and not stops else ("unauthorised",)
    early = given is not None and event.occurred_at < given.signed.recorded_at - CLOCK_BEHIND
    return (*marks, *stops, *_back_dated(place, event, early=early))


def rollback_marks(world: World, event: RecordedEvent, body: RollbackCompleted) -> tuple[str, ...]:
    """Marks of a rollback, which is never refused: what it returned to should have been live with an authorisation."""
    place = deployment_of(world, event.stream) or DeploymentState()
    if (body.model, body.digest) not in place.ever_live:
        marks: tuple[str, ...] = ("never-live",)
    else:
        marks = (
            () if once_covered(world, event.stream, body.model, body.digest, event.recorded_at) else ("unauthorised",)
        )
    stops = _stopped(world, event.stream, body.model, place.good.get((body.model, body.digest)))
    return (*marks, *stops, *_back_dated(place, event))


def live_until(world: World, event: RecordedEvent, body: GoneLive | RollbackCompleted) -> int:
    """Time before which a fact that a version gets traffic must be recorded for its marks to hold.

    Args:
        world: the world before it.
        event: the fact.
        body: its body.
    """
    place = deployment_of(world, event.stream) or DeploymentState()
    good = place.good.get((body.model, body.digest))
    dues = [review_due(place, given) for given in (place.authorisation, good) if given is not None]
    return min((due for due in dues if due > event.recorded_at), default=FOREVER)


def once_covered(world: World, deployment: str, model: str, digest: str, at: int) -> bool:
    """Whether a version was live in a deployment, and an authorisation covered that and still counts.

    Args:
        world: the world of whoever asks.
        deployment: ``deployment:<environment>/<service>``.
        model: the version.
        digest: its digest.
        at: when that is asked, in microseconds since the Unix epoch.
    """
    place, environment = deployment_of(world, deployment), parse_name(deployment).namespace or ""
    if place is None or (model, digest) not in place.ever_live:
        return False
    try:
        named = version_of(world, model)
        rule = rule_for(world, environment, named.tier)
    except (PolicyError, InputError):
        return False  # as for `covered`
    if not rule.authorisation:
        return named.version.digest == digest
    given = place.good.get((model, digest))
    if given is None or review_due(place, given) <= at:
        return False
    return still_covers(world, named, (environment, rule), given)


def _is_for(given: Authorisation | None, model: str, digest: str) -> bool:
    return given is not None and (given.model, given.digest) == (model, digest)


def _stopped(world: World, deployment: str, model: str, given: Authorisation | None) -> tuple[str, ...]:
    """Side states of a version in which it may not be authorised."""
    try:
        named = version_of(world, model)
        rule = rule_for(world, parse_name(deployment).namespace or "", named.tier)
    except (PolicyError, InputError):
        return ()
    rests = (given is None or not given.urgent) and (rule.approvals > 0 or rule.gate is not None)
    stopping = {state for stop in stops_of(world) if stop.decision == "deployment.authorised" for state in stop.states}
    found = {state for state, _, _ in side_states(world, named, measured=rests)} if stopping else set()
    return tuple(state for state in ("quarantined", "retired") if state in found & stopping)


def _back_dated(place: DeploymentState, event: RecordedEvent, *, early: bool = False) -> tuple[str, ...]:
    """A fact that would stand, by its date, before what was known when it was recorded."""
    return ("back-dated",) if early or event.occurred_at < place.occurred_at else ()
