"""What must be there before a version may be deployed, and whether what went live was covered by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.domain.actors import FOREVER
from ledger.domain.deployed import Authorisation, DeploymentState, Hold
from ledger.domain.gating import check_gate, gate_rule
from ledger.domain.independence import deciders, how_many, independent, separation
from ledger.domain.lifecycle import Named, refused_by, row_of, rule_for, same_digest, version_of
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.signed import signed_of
from ledger.domain.stages import Place, check_stops
from ledger.domain.standing import (
    Standing,
    approval_until,
    check_evaluations,
    condition_step,
    evaluation_doubt,
    first_doubt_of,
    persons_of,
    standing,
    stands_apart,
    who_decides,
)
from ledger.domain.states import Approval
from ledger.domain.suspicion import Suspicion, suspicion
from ledger.domain.world import World, deployment_of, model_of
from ledger.entry import format_time
from ledger.errors import InputError, NotAllowedError, PolicyError
from ledger.events.deployments import (
    CanaryStageEntered,
    DeploymentAuthorised,
    DeploymentCompleted,
    DeploymentPromoted,
    EmergencyReviewed,
)
from ledger.events.ledgers import Rule
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment

__all__ = [
    "Condition",
    "GoneLive",
    "approvals_missing",
    "approvals_that_stand",
    "check_authorised",
    "check_hold",
    "check_review",
    "conditions_of",
    "covered",
    "deployment_doubt",
    "hold_of",
    "review_due",
    "still_covers",
]

#: Facts that a version gets traffic, which an authorisation must cover.
GoneLive = DeploymentCompleted | DeploymentPromoted | CanaryStageEntered
#: An emergency must be reviewed within this time; microseconds.
_REVIEW = 30 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that an authorisation needs.

    Attributes:
        name: stops, hold (where the version is held there), emergency, evaluation, approvals or gate.
        check: gives the time before which it holds, in microseconds since the Unix epoch, or raises `PolicyError`.
    """

    name: str
    check: Callable[[], int]


def conditions_of(world: World, event: RecordedEvent, body: DeploymentAuthorised) -> tuple[Condition, ...]:
    """What the rules in force ask of an authorisation, in the order in which it is asked.

    Raises:
        PolicyError: the version is not registered with this digest, or no rule matches: then nothing is allowed.
    """
    named = version_of(world, body.model)
    same_digest(named, body.digest)
    environment, at = event.subject.namespace or "", event.recorded_at
    rule = rule_for(world, environment, named.tier)
    measured = body.emergency is None and (rule.approvals > 0 or rule.gate is not None)
    place, urgent = Place(environment, event.stream, at), body.emergency is not None
    found = [Condition("stops", lambda: check_stops(
        world, named, "deployment.authorised", place, measured=measured, beside=urgent
    ))]  # fmt: skip

    hold = hold_of(world, event.stream, body.model, body.digest)
    if hold is not None:
        found.append(Condition("hold", lambda: check_hold(event.stream, body.model, hold, body.reason)))
    by_row = refused_by(row_of(rule))

    def named_stand() -> int:
        return _check_named(world, named, (environment, rule), body.approvals, at)

    if body.emergency is not None:
        review_by = parse_moment(body.emergency.review_by)
        return (*found, Condition("emergency", by_row(lambda: min(named_stand(), _check_emergency(review_by, at)))))
    found.append(
        Condition(
            "approvals", by_row(lambda: min(named_stand(), _check_approvals(world, named, (environment, rule), at)))
        )
    )
    if rule.approvals and rule.evaluation:
        found.append(Condition("evaluation", by_row(lambda: _check_evaluation(world, named, environment))))
    if rule.gate is not None:
        by_gate = refused_by(gate_rule(rule.gate))
        found.append(Condition("gate", by_gate(lambda: check_gate(world, event, named, rule))))
    return tuple(found)


def check_authorised(world: World, event: RecordedEvent, body: DeploymentAuthorised) -> int:
    """Refuse an authorisation that the rules in force do not allow.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError: with what is missing and the next step.
    """
    return min(condition.check() for condition in conditions_of(world, event, body))


def hold_of(world: World, deployment: str, model: str, digest: str) -> Hold | None:
    """The hold of a version that stands in a deployment, None when there is none.

    Args:
        world: the world of whoever asks.
        deployment: ``deployment:<environment>/<service>``.
        model: the version.
        digest: its digest.
    """
    place = deployment_of(world, deployment)
    return None if place is None else place.holds.standing.get((model, digest))


def check_hold(deployment: str, model: str, hold: Hold, reason: str | None) -> int:
    """Whoever authorises what is held says why, which lifts the hold.

    Args:
        deployment: ``deployment:<environment>/<service>``.
        model: the version.
        hold: of it there.
        reason: of the authorisation.

    Returns:
        Time before which it must be recorded for that to hold: any.

    Raises:
        PolicyError: it gives none.
    """
    if reason is None:
        raise PolicyError(
            f"{model} is held in {deployment}, by entry {hold.index}: whoever authorises it says why",
            hint=f"To lift that: muniment authorise {deployment} --model {model} --lift-hold 'why'",
            rule="hold deployment.authorised/reason",
        )
    return FOREVER


def _check_emergency(review_by: int, at: int) -> int:
    if not at < review_by <= at + _REVIEW:
        raise InputError("an emergency must be reviewed within 30 days: review_by lies outside")
    return review_by


def approvals_that_stand(world: World, named: Named, place: tuple[str, Rule], at: int) -> dict[str, Approval]:
    """Approvals of a version on which an authorisation may rest, by their event ids; arguments as `standing`."""
    fallen = {index for index, _ in standing(world, named, place, at).troubles}
    return {
        one.id: one for one in named.version.approvals
        if (one.environment, one.digest) == (place[0], named.version.digest) and one.index not in fallen
    }  # fmt: skip


def _check_named(world: World, named: Named, place: tuple[str, Rule], ids: tuple[str, ...], at: int) -> int:
    """Whoever names approvals names such that stand."""
    if not ids:
        return FOREVER
    known = approvals_that_stand(world, named, place, at)
    for wrong in (name for name in ids if name not in known):
        raise PolicyError(
            f"it names {wrong}, which is no approval of {named.subject} for {place[0]} that stands",
            hint=f"Name those that stand, or none; see muniment state {named.subject}",
        )
    return min(approval_until(world, named, known[name], place[1]) for name in ids)


def _check_evaluation(world: World, named: Named, environment: str) -> int:
    check_evaluations(world, named, environment)
    return FOREVER


def _check_approvals(world: World, named: Named, place: tuple[str, Rule], at: int) -> int:
    rule = place[1]
    have = standing(world, named, place, at)
    if have.meets(rule):
        return have.until
    hint = _next_of(world, named, place, have)
    raise PolicyError(f"{approvals_missing(named, place, have)}{_why_not(have)}", hint=hint)


def _next_of(world: World, named: Named, place: tuple[str, Rule], have: Standing) -> str:
    """The next step where approvals do not meet a rule: say that a condition is met, wait, decide, or ask."""
    environment = place[0]
    again = f"muniment request {named.subject} --env {environment}"
    waiting = {index for index, trouble in have.troubles if trouble.kind in ("conditional", "upcoming")}
    for approval in named.version.approvals:
        if approval.index in waiting:
            if not approval.unmet:
                return f"Wait until {format_time(approval.since)}, or ask for one that stands at once: {again}"
            return f"Once it is met, somebody independent says so: {condition_step(named, approval)}"
    return who_decides(world, named, place, have) or f"Ask for it: {again}"


def approvals_missing(named: Named, place: tuple[str, Rule], have: Standing) -> str:
    """What approvals that do not meet a rule lack, in words.

    Args:
        named: the version.
        place: environment, and the rule that holds there.
        have: what its approvals amount to.
    """
    environment, rule = place
    if have.persons >= rule.approvals:
        missing = " and ".join(sorted(set(rule.roles) - have.roles))
        return f"{named.subject} needs an approval for {environment} by somebody with the role {missing}"
    return (
        f"{named.subject} needs {rule.approvals} approval(s) for {environment} at tier {named.tier} "
        f"and has {have.persons}"
    )


def _why_not(have: Standing) -> str:
    return "".join(f"; the approval at index {index} does not stand: {why.text}" for index, why in have.troubles[:3])


def check_review(world: World, event: RecordedEvent, body: EmergencyReviewed) -> None:
    """An emergency is reviewed by another person.

    Raises:
        PolicyError: there is no such decision that waits for it; NotAllowedError for the same person.
    """
    deployment = deployment_of(world, event.stream)
    waiting = [one for one in (deployment.urgent if deployment else ()) if one.id == body.decision]
    if not waiting:
        raise PolicyError(f"no decision {body.decision} about {event.stream} waits for a review")
    mine = deciders(world, actors_of(event), signed_of(event))
    if not independent(world, mine, waiting[0].actors):
        raise NotAllowedError(
            "an emergency is reviewed by another person than who decided in it",
            hint="Ask somebody with the role approver, validator or auditor: muniment actor list",
            rule=separation("emergency.reviewed", "decider"),
        )


def covered(world: World, event: RecordedEvent, body: GoneLive) -> bool:
    """Whether a decision covers that a version gets traffic, and nothing that it rested on has become suspect since."""
    environment = event.subject.namespace or ""
    try:
        named = version_of(world, body.model)
        rule = rule_for(world, environment, named.tier)
    except (PolicyError, InputError):
        return False  # what is not registered, not in good standing, or not ruled, is not covered
    if not rule.authorisation:
        return named.version.digest == body.digest
    deployment = deployment_of(world, event.stream)
    given = None if deployment is None else deployment.authorisation
    if given is None or (given.model, given.digest) != (body.model, body.digest):
        return False
    demoted = named.version.demoted.get(environment)
    if demoted is not None and demoted.index > given.signed.index:
        return False  # as a rollback would, it ended what was authorised before
    if review_due(deployment, given) <= event.recorded_at:
        return False
    return still_covers(world, named, (environment, rule), given)


def review_due(deployment: DeploymentState | None, given: Authorisation) -> int:
    """Time from which an authorisation covers nothing more until it is found justified; that of an emergency's review.

    Args:
        deployment: where it was given.
        given: the authorisation.
    """
    waiting = () if deployment is None else deployment.urgent
    return next((one.review_by for one in waiting if one.id == given.id), FOREVER)


def still_covers(world: World, named: Named, place: tuple[str, Rule], given: Authorisation) -> bool:
    """Whether neither an authorisation nor what it rested on has become suspect since.

    Args:
        world: the world of whoever asks.
        named: the version it is for.
        place: environment, and the rule that holds there.
        given: the authorisation.
    """
    if suspicion(world, given.signed) is not None:
        return False
    return given.urgent or _foundation_doubt(world, named, place) is None


def _foundation_doubt(world: World, named: Named, place: tuple[str, Rule]) -> Suspicion | None:
    """Why what an authorisation needed has become suspect; what ended since then was in force when it was given."""
    environment, rule = place
    if not rule.approvals:
        return None
    version = named.version
    asked = [r.signed for r in version.requests.values() if r.environment == environment]
    approvals = [a.signed for a in version.approvals if (a.environment, a.digest) == (environment, version.digest)]
    doubt = first_doubt_of(world, [*asked, *approvals])
    if doubt is not None and _unsuspected(world, named, environment) < rule.approvals:
        return doubt
    return evaluation_doubt(world, version) if rule.evaluation else None


def _unsuspected(world: World, named: Named, environment: str) -> int:
    """How many persons approved and are independent, whatever became of it since; what is suspect does not count."""
    sides: set[frozenset[str]] = set()
    for approval in named.version.approvals:
        request = named.version.requests.get(approval.request)
        if (approval.environment, approval.digest) != (environment, named.version.digest) or request is None:
            continue
        if first_doubt_of(world, [approval.signed, request.signed]) is None and stands_apart(world, named, approval):
            sides.add(persons_of(world, approval))
    return how_many(sides)


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
    if found is None or version is None:
        return None
    given = deployment_of(world, deployment)
    signed = None if given is None else given.authorisation
    doubt = suspicion(world, version.signed)
    urgent = False
    if signed is not None and (signed.model, signed.digest) == (model, digest):
        doubt, urgent = doubt or suspicion(world, signed.signed), signed.urgent
    named = Named(model, subject, found, version)
    try:
        rule = rule_for(world, environment, named.tier)
    except PolicyError:
        return doubt
    if not rule.authorisation or urgent:
        return doubt
    return doubt or _foundation_doubt(world, named, (environment, rule))
