"""In which states of the life cycle a version is for a decision, and whether one of them stops it.

A version may be in several: in one by what was decided about it for an environment, in one in a deployment, and in some
beside these. The words are those of `domain.moves`, which the views use, too. Order is that of the log: what is live is
what was said to be last, and a fact that is dated back changes the state when it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.actors import FOREVER
from ledger.domain.lifecycle import Named, rule_for, side_states, stops_of, versions_meant
from ledger.domain.moves import PLACED, SIDE_STATES, decided_state
from ledger.domain.standing import (
    Standing,
    Trouble,
    approval_until,
    check_evaluations,
    condition_step,
    standing,
    who_decides,
)
from ledger.domain.states import SENT_BACK, Approval, ApprovalRequest
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World, deployment_of
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events.ledgers import Rule

__all__ = ["Place", "Stage", "check_stops", "check_waiver_stops", "stages_of", "stopping_states"]

#: States by an approval that stands no more; somebody may approve again where the request is still open.
_FALLEN = ("suspended", "approval expired")


class Place(NamedTuple):
    """Where something is decided: an environment, a deployment in it where it is about one, and when.

    ``at`` is in microseconds since the Unix epoch.
    """

    environment: str
    deployment: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A state that a version is in, the entry that led there, both in words, and the next step."""

    state: str
    index: int
    words: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Said:
    """What has become of a request, by which entry, and more of it in words."""

    what: str
    index: int
    why: str = ""


def stopping_states(world: World, decision: str) -> frozenset[str]:
    """States that stop a decision by the table in force."""
    return frozenset(state for stop in stops_of(world) if stop.decision == decision for state in stop.states)


def stages_of(world: World, named: Named, place: Place) -> Iterator[Stage]:
    """The state that a version is in by what was decided for an environment, and the one in a deployment, if any.

    Args:
        world: the world of whoever asks.
        named: the version.
        place: where, and when.
    """
    yield _decided(world, named, place)
    placed = None if place.deployment is None else _placed(world, named, place.deployment)
    if placed is not None:
        yield placed


def check_stops(
    world: World, named: Named, decision: str, place: Place, *, measured: bool = True, beside: bool = False
) -> int:
    """Refuse a decision that a state of the version stops.

    Args:
        world: the world before the decision.
        named: the version it is about.
        decision: event type, for example ``approval.requested``.
        place: where and when it is taken.
        measured: whether it rests on what the version was measured on.
        beside: whether only the states beside the others are asked for, as for an emergency.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError: with the state, the entry that led there, and the next step.
    """
    stopping = stopping_states(world, decision)
    for state, words, hint in side_states(world, named, measured=measured) if stopping & SIDE_STATES else ():
        if state in stopping:
            rule = f"stops {decision}/{state}"
            raise PolicyError(f"{decision} is refused for what is {state}: {words}", hint=hint, rule=rule)
    main = frozenset[str]() if beside else stopping - SIDE_STATES
    if not main:
        return FOREVER
    for stage in stages_of(world, named, place):
        if stage.state in main:
            told = f"{decision} is refused for what is {stage.state}: {stage.words}"
            raise PolicyError(told, hint=stage.hint, rule=f"stops {decision}/{stage.state}")
    return _changes_at(world, named, place) if main - {*PLACED} else FOREVER


def check_waiver_stops(world: World, model: str, decision: str, place: Place) -> int:
    """As `check_stops`, for a model, too: what is for all versions is stopped where it is stopped for each of them."""
    found: list[int] = []
    refusals: list[PolicyError] = []
    for named in versions_meant(world, model):
        try:
            found.append(check_stops(world, named, decision, place))
        except PolicyError as error:
            refusals.append(error)
    if refusals and not found:
        raise refusals[-1]
    return min(found, default=FOREVER)


def _changes_at(world: World, named: Named, place: Place) -> int:
    """When an approval begins or ends next: that changes the state by itself."""
    rule = _rule(world, named, place)
    mine = (one for one in named.version.approvals if one.environment == place.environment)
    ends = (end for one in mine for end in (one.since, approval_until(world, named, one, rule)))
    return min((end for end in ends if end > place.at), default=FOREVER)


def _rule(world: World, named: Named, place: Place) -> Rule | None:
    try:
        return rule_for(world, place.environment, named.tier)
    except PolicyError:
        return None  # nothing rests on an approval then


# -- by what was decided -----------------------------------------------------------------------------


def _decided(world: World, named: Named, place: Place) -> Stage:
    version, rule = named.version, _rule(world, named, place)
    by = None if rule is None else (rule, standing(world, named, (place.environment, rule), place.at))
    asked = [one for one in version.requests.values() if one.environment == place.environment]
    said = [(request, _said(world, named, request, by)) for request in asked]
    said.sort(key=lambda one: one[1].index, reverse=True)
    measured = [*version.evaluations, *(one for _, one in version.undecided)]
    state, chosen = decided_state([one.what for _, one in said], measured=bool(measured))
    if chosen is None:
        index = measured[-1].index if measured else version.index
        since = f"{named.subject} was {'evaluated' if measured else 'registered, and not evaluated yet'}"
        return Stage(state, index, f"{since} (entry {index})", _hint(state, named, place, None))
    request, found = said[chosen]
    words = _words(state, request, found, [one.index for one in version.approvals if one.request == request.id])
    hint = _hint(state, named, place, request)
    if by is not None and state in _FALLEN:
        hint = who_decides(world, named, (place.environment, by[0]), by[1]) or hint
    return Stage(state, found.index, words, hint)


def _words(state: str, request: ApprovalRequest, found: _Said, grants: list[int]) -> str:
    where, why = request.environment, f"; {found.why}" if found.why else ""
    if state == "rejected":
        return f"entry {found.index} rejected the request for {where} (entry {request.index})"
    if state == "changes requested":
        return f"entry {found.index} sent the request for {where} back (entry {request.index})"
    if grants:
        return f"entry {grants[-1]} approved it for {where}{why}"
    return f"entry {request.index} asks for approval for {where}{why}"


def _said(world: World, named: Named, request: ApprovalRequest, by: tuple[Rule, Standing] | None) -> _Said:
    """What has become of a request; the index is that of the last decision about it, as views count it."""
    grants = [one for one in named.version.approvals if one.request == request.id]
    told = [one.revoked for one in grants if one.revoked is not None]
    index = max([request.index, *(one.index for one in grants), *told, *([request.ended] if request.ended else [])])
    if request.closed is not None:
        return _Said("changes requested" if request.closed == SENT_BACK else request.closed, index)
    if not grants:
        doubt = suspicion(world, request.signed)
        return _Said("pending", index) if doubt is None else _Said("suspended", index, doubt.text)
    if by is None:
        return _Said("suspended", index, f"no rule covers {request.environment} any more")
    rule, have = by
    trouble = _trouble(grants, have)
    if trouble is not None:
        return _Said(trouble.kind, index, trouble.text)
    if not have.meets(rule):
        return _Said("pending", index, "more approvals are needed")
    try:
        if rule.approvals and rule.evaluation:
            check_evaluations(world, named, request.environment)
    except PolicyError as error:
        return _Said("suspended", index, error.message)
    return _Said("approved", index)


def _trouble(grants: list[Approval], have: Standing) -> Trouble | None:
    """Why none of the approvals under a request stands, by the last one; None when one does."""
    fallen = dict(have.troubles)
    told = [fallen.get(one.index) for one in grants]
    return None if None in told else told[-1]


def _hint(state: str, named: Named, place: Place, request: ApprovalRequest | None) -> str:
    """The next step out of a state."""
    subject, environment = named.subject, place.environment
    again = f"Ask for another approval: muniment request {subject} --env {environment}"
    match state:
        case "registered":
            return f"Evaluate it first: muniment record evaluation {subject} --metric … --verdict …"
        case "evaluated":
            return f"Ask for approval first: muniment request {subject} --env {environment}"
        case "approval pending":
            return f"Somebody decides first: muniment approve {subject} --env {environment}, or reject or withdraw"
        case "approved":
            return f"What was approved can be taken back: muniment revoke {subject} --env {environment} --rationale …"
        case "conditions open":
            mine = [one for one in named.version.approvals if request and one.request == request.id]
            return f"Once it is met: {condition_step(named, mine[-1])}"
        case "approval upcoming":
            since = [one.since for one in named.version.approvals if request and one.request == request.id]
            return f"Wait until {format_time(min(one for one in since if one > place.at))}."
        case "changes requested" if request is not None:
            return f"{again.replace('for another approval', 'again')} --amends {request.id}"
    return again


# -- in a deployment ---------------------------------------------------------------------------------


def _placed(world: World, named: Named, deployment: str) -> Stage | None:
    """What a version is in a deployment; of several, what `state` would call it."""
    found, model = deployment_of(world, deployment), named.subject
    if found is None:
        return None
    given = found.authorisation
    if found.live is not None and found.live[0] == model:
        return Stage("live", found.went_live, f"it is live in {deployment} (entry {found.went_live})",
                     f"See: muniment state {deployment}")  # fmt: skip
    if found.canary is not None and found.canary[0] == model:
        return Stage("canary", found.canary[1], f"it is a canary in {deployment} (entry {found.canary[1]})",
                     f"Promote or abort it first: muniment record canary {deployment} --model {model} …")  # fmt: skip
    if given is not None and given.model == model and found.went_live < given.signed.index:
        return Stage("deploy authorised", given.signed.index,
                     f"entry {given.signed.index} authorised it for {deployment}, and nothing went live there since",
                     f"Deploy it: muniment record deployment {deployment} --model {model}")  # fmt: skip
    if model in found.left:
        return Stage("rolled back", found.left[model], f"entry {found.left[model]} took it out of {deployment}",
                     f"Deploy another version; in an emergency: muniment authorise {deployment} --model {model} "
                     "--emergency --reason …")  # fmt: skip
    return None
