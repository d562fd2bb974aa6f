"""Requests for approval, and what is decided about them."""

from __future__ import annotations

from ledger.domain.actors import FOREVER
from ledger.domain.foundations import first_end, uncited
from ledger.domain.independence import (
    contradiction,
    deciders,
    independent,
    makers_of,
    owners_of,
    persons_behind,
    separation,
)
from ledger.domain.lifecycle import (
    Named,
    refuse_doubt,
    refused_by,
    row_of,
    rule_for,
    same_digest,
    version_of,
    versions_meant,
)
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.roles import roles_for
from ledger.domain.signed import signed_of
from ledger.domain.stages import Place, check_stops
from ledger.domain.standing import approval_trouble, check_evaluations, condition_step
from ledger.domain.states import SENT_BACK, TIER_RANK, Approval, ApprovalRequest
from ledger.domain.world import World, actor_of
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.approvals import (
    ApprovalChangesRequested,
    ApprovalConditionMet,
    ApprovalEscalated,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalWithdrawn,
)
from ledger.events.governance import RiskClassified
from ledger.events.ledgers import Rule
from ledger.payload import parse_moment

__all__ = ["check_approval_event", "check_classification", "refuse_makers"]

_DAY = 86_400_000_000

#: Decisions about a request that is open.
_Decided = ApprovalGranted | ApprovalRejected | ApprovalChangesRequested | ApprovalEscalated
ApprovalEvent = (
    ApprovalRequested
    | ApprovalGranted
    | ApprovalRejected
    | ApprovalWithdrawn
    | ApprovalRevoked
    | ApprovalConditionMet
    | ApprovalChangesRequested
    | ApprovalEscalated
)


def check_approval_event(world: World, event: RecordedEvent, body: ApprovalEvent) -> int:
    """Refuse what the rules in force do not allow.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError, ConflictError, InputError: with the reason.
    """
    named = version_of(world, event.payload.subject)
    match body:
        case ApprovalRequested():
            return _check_requested(world, event, named, body)
        case ApprovalGranted() | ApprovalRejected() | ApprovalChangesRequested() | ApprovalEscalated():
            return _check_decided(world, event, named, body)
        case ApprovalWithdrawn():
            _check_withdrawn(world, event, named, body)
        case ApprovalRevoked():
            _approval(named, body)
        case ApprovalConditionMet():
            approval = _approval(named, body)
            if body.condition >= len(approval.conditions):
                known = len(approval.conditions)
                raise InputError(
                    f"the approval has {known} condition(s), numbered from 0"
                    if known
                    else "the approval has no condition",
                    hint=f"See what it has: muniment state {named.subject}",
                )
            _refuse_involved(world, event, named, "whoever says that a condition is met")
    return FOREVER


def _check_requested(world: World, event: RecordedEvent, named: Named, body: ApprovalRequested) -> int:
    same_digest(named, body.digest)
    rule_for(world, body.environment, named.tier)
    until = check_stops(world, named, "approval.requested", Place(body.environment, None, event.recorded_at))
    if event.payload.id in named.version.requests:
        raise ConflictError(f"a request with the id {event.payload.id} exists already")
    _check_amends(named, body)
    return until


def _approval(named: Named, body: ApprovalRevoked | ApprovalConditionMet) -> Approval:
    for approval in named.version.approvals:
        if approval.id == body.approval:
            if approval.revoked is not None:
                raise ConflictError(f"the approval {approval.id} was revoked by entry {approval.revoked}")
            if body.environment not in (None, approval.environment):
                raise PolicyError(f"the approval {approval.id} is for {approval.environment}, not {body.environment}")
            return approval
    raise PolicyError(f"{named.subject} has no approval {body.approval}")


def _open_request(named: Named, request_id: str) -> ApprovalRequest:
    request = named.version.requests.get(request_id)
    if request is None or request.closed is not None:
        raise PolicyError(
            f"{named.subject} has no open request {request_id}",
            hint=f"Ask first: muniment request {named.subject} --env …",
        )
    return request


def _check_amends(named: Named, body: ApprovalRequested) -> None:
    """What is amended was sent back; it may have been about another version, for the changes may make a new one."""
    requests = (request for version in named.model.versions.values() for request in version.requests.values())
    back = (one.id for one in requests if (one.environment, one.closed) == (body.environment, SENT_BACK))
    if body.amends is not None and body.amends not in back:
        raise PolicyError(
            f"{named.subject}: no request {body.amends} for {body.environment} was sent back",
            hint="See what was: muniment inbox",
        )


def _check_escalated(world: World, body: ApprovalEscalated) -> None:
    if (body.to_role is None) == (body.to_actor is None):
        raise InputError("a request is passed to a role or to somebody: give one of to_role and to_actor")
    if body.to_actor is not None and actor_of(world, body.to_actor) is None:
        raise InputError(f"{body.to_actor!r} is not enrolled in this ledger", hint="See who is: muniment actor list")


def _check_withdrawn(world: World, event: RecordedEvent, named: Named, body: ApprovalWithdrawn) -> None:
    sent_back = named.version.requests.get(body.request)
    back = sent_back is not None and sent_back.closed == SENT_BACK
    request = sent_back if sent_back is not None and back else _open_request(named, body.request)
    asking, mine = persons_behind(world, request.actors), persons_behind(world, actors_of(event))
    if not asking or not mine or not asking & mine:
        raise NotAllowedError(
            "only who asked may withdraw a request",
            hint="An approver may reject it.",
            rule=separation("approval.withdrawn", "requester"),
        )


def _apart(event: RecordedEvent, name: str) -> str:
    return separation(event.payload.type if event.kind is None else event.kind.name, name)


def refuse_makers(
    world: World, event: RecordedEvent, named: Named, who: str, request_actors: frozenset[str] = frozenset()
) -> None:
    """Refuse a decision by somebody who stands behind the version or the request.

    Args:
        world: the world before it.
        event: the decision.
        named: the version.
        who: who must be another person, in words.
        request_actors: actors behind the request that is decided about.

    Raises:
        NotAllowedError: the same person stands behind both, or that is not known.
    """
    run = named.version.run
    mine = deciders(world, actors_of(event), signed_of(event))
    rule = _apart(event, "makers")
    apart = independent(world, mine, makers_of(world, named, request_actors))
    other = contradiction(world, named)
    if other is not None:
        told = f"{other[0]}, so that {who} is another person is not shown"
        raise NotAllowedError(told, hint=f"{other[1]}.", rule=rule)
    if apart is None:
        raise NotAllowedError(
            f"who is behind this version cannot be resolved, so that {who} is another person is not shown",
            hint=f"Is the run recorded that it names, and that it made these bytes? muniment log {run}" if run else "",
            rule=rule,
        )
    if not apart:
        raise NotAllowedError(
            f"{named.subject}: {who} must be another person than requester, run author and whoever they acted for",
            hint="Ask another person with the role; `muniment actor list` shows them.",
            rule=rule,
        )


def _refuse_involved(
    world: World, event: RecordedEvent, named: Named, who: str, request_actors: frozenset[str] = frozenset()
) -> None:
    """As `refuse_makers`, and refuse its owners too."""
    refuse_makers(world, event, named, who, request_actors)
    owners = owners_of(named, event.index)
    apart = independent(world, deciders(world, actors_of(event), signed_of(event)), owners)
    if apart is None:
        unknown = sorted(owner for owner in owners if persons_behind(world, {owner}) is None)
        raise NotAllowedError(
            f"{named.subject}: its owner {unknown[0]} is nobody enrolled, so that {who} is another person is not shown",
            hint=f"An admin enrols the owner: muniment actor enrol {unknown[0]} --role owner …",
            rule=_apart(event, "owners"),
        )
    if not apart:
        raise NotAllowedError(
            f"{named.subject}: {who} must be another person than its owner at tier {named.tier}",
            hint="Ask another person with the role; `muniment actor list` shows them.",
            rule=_apart(event, "owners"),
        )


def _check_decided(world: World, event: RecordedEvent, named: Named, body: _Decided) -> int:
    request = _open_request(named, body.request)
    if (request.environment, request.digest) != (body.environment, body.digest):
        raise PolicyError("the decision names another environment or digest than the request it answers")
    same_digest(named, body.digest)
    refuse_doubt(world, request.signed, f"the request {body.request}")
    if isinstance(body, ApprovalGranted):
        until = check_stops(world, named, "approval.granted", Place(body.environment, None, event.recorded_at))
        _check_granted(world, event, named, request, body)
        return until if body.expires_at is None else min(until, parse_moment(body.expires_at))
    if isinstance(body, ApprovalEscalated):
        _check_escalated(world, body)
    return FOREVER


def _check_granted(
    world: World, event: RecordedEvent, named: Named, request: ApprovalRequest, body: ApprovalGranted
) -> None:
    version, rule = named.version, rule_for(world, body.environment, named.tier)
    if rule.approvals:
        _refuse_involved(world, event, named, "the approver", request.actors)
    if body.expires_at is not None and parse_moment(body.expires_at) <= event.recorded_at:
        raise InputError(f"the approval would have expired before it is recorded: {body.expires_at}")
    _check_begins(world, event, named, (rule, body))
    with refused_by(row_of(rule)):
        if rule.evaluation:
            check_evaluations(world, named, body.environment)
        _check_cited(event, named, rule, body)
    for one in version.approvals:
        if one.request == body.request and one.actor == event.actor and one.revoked is None:
            raise _approved_already(world, event, named, (rule, one))


def _approved_already(world: World, event: RecordedEvent, named: Named, ruled: tuple[Rule, Approval]) -> ConflictError:
    """Nobody approves a request twice; whose approval stands no more asks anew."""
    rule, one = ruled
    told = f"{event.actor!r} has already approved request {one.request} (entry {one.index})"
    trouble = approval_trouble(world, named, one, rule, event.recorded_at)
    if trouble is None:
        return ConflictError(told, hint=f"What is still missing: muniment why {named.subject} --env {one.environment}")
    again = f"muniment request {named.subject} --env {one.environment}"
    hint = {
        "conditional": f"Once it is met: {condition_step(named, one)}" if one.unmet else "",
        "upcoming": f"Wait, or ask for one that stands at once: {again}",
    }.get(trouble.kind, f"Ask for another approval: {again}")
    return ConflictError(f"{told}, which does not stand: {trouble.text}", hint=hint)


def _check_begins(world: World, event: RecordedEvent, named: Named, ruled: tuple[Rule, ApprovalGranted]) -> None:
    """What the rules say of how long approvals hold counts from when they were given; one ends with what it cites."""
    rule, body = ruled
    if body.valid_from is None:
        return
    since = parse_moment(body.valid_from)
    until = FOREVER if body.expires_at is None else parse_moment(body.expires_at)
    if rule.days is not None:
        until = min(until, event.recorded_at + rule.days * _DAY)
    if since >= until:
        raise InputError(
            f"the approval would have expired at {format_time(until)}, before it stands: {body.valid_from}",
            hint="Give it an earlier beginning, or approve later.",
        )
    first = first_end(world, named, frozenset(item.index for item in body.evidence), body.environment)
    if first is not None and since >= first[0]:
        raise InputError(
            f"the approval would have expired at {format_time(first[0])}, before it stands: it cites {first[2]} "
            f"(entry {first[1]}), which ends then, and is to begin at {body.valid_from}",
            hint="Give it an earlier beginning, or approve once what ends then was renewed.",
        )


def _check_cited(event: RecordedEvent, named: Named, rule: Rule, body: ApprovalGranted) -> None:
    """An approval is bound to what the rules ask for: what it does not cite could not suspend it."""
    seen = frozenset(item.index for item in body.evidence)
    lacking = uncited(named, rule, seen, (event.index, event.recorded_at))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise PolicyError(
            f"the approval does not cite {lacking[0]}{more}, on which {body.environment} at tier {named.tier} rests it",
            hint=f"Look at what stands now, and cite it as evidence, as this does: muniment approve {named.subject} …",
        )


def check_classification(world: World, event: RecordedEvent, body: RiskClassified) -> int:
    """A lower tier asks for less, so it takes somebody who did not make the model.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        NotAllowedError: the author has no role validator that reaches the model, or stands behind a version.
        PolicyError: the version is not registered.
    """
    one = event.subject.version is not None
    versions = [version_of(world, event.payload.subject)] if one else versions_meant(world, event.stream)
    if not versions:
        return FOREVER
    before = max((named.tier for named in versions), key=TIER_RANK.__getitem__)
    if TIER_RANK[body.tier] >= TIER_RANK[before]:
        return FOREVER
    makers = [makers_of(world, named, {named.version.owner}) for named in versions]
    known = None if any(one is None for one in makers) else {actor for one in makers if one for actor in one}
    until = roles_for(world, signed_of(event)).get("validator")
    if until is None or not independent(world, actors_of(event), known):
        raise NotAllowedError(
            f"{event.payload.subject} is of tier {before}; a lower one is for a validator who neither made nor owns it",
            hint="Ask somebody with the role validator: muniment actor list",
            rule="role validator" if until is None else _apart(event, "makers"),
        )
    return until
