"""What waits for somebody, and what is about to end: folded from the journal and asked of the states at its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ledger.domain.independence import approval_makers, independent
from ledger.domain.lifecycle import Named, check_stops, rule_for, version_of
from ledger.domain.scopes import covers_stream
from ledger.domain.standing import approval_trouble, approval_until, standing
from ledger.domain.states import ApprovalRequest, DeploymentState, WaiverState
from ledger.domain.waiving import waived_makers, waiver_trouble, waiver_until
from ledger.domain.world import actor_of
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.events.ledgers import Rule
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from projections.asof import AsOf
from projections.comparing import last_metrics
from projections.diff import diff
from projections.journal import JournalRow
from projections.known import Known
from projections.service import DECISIONS, Decision, Service, read_service

__all__ = ["Asked", "due", "inbox"]

#: Who carries out what was decided about deployments.
_CARRYING_OUT: Final = ("deployer", "incident-commander", "emitter")

#: Facts with a time at which something ends or is due: type, field, and the types that settle it.
_DATED: Final = {
    "validation.assigned": ("due_at", ("validation.completed",)),
    "validation.completed": ("valid_until", ("validation.completed",)),
    "documentation.attached": ("expires_at", ("documentation.attached",)),
    "credential.rotated": ("expires_at", ("credential.rotated", "credential.expired")),
    "model.on_call_assigned": ("until", ("model.on_call_assigned",)),
    "finding.disposed": ("due_at", ()),
    "retrain.requested": ("due_at", ("retrain.resolved",)),
    "incident.action_item_created": ("due", ("incident.action_item_completed",)),
}
#: Field that tells which of several things of one subject is meant.
_SAME: Final = {"documentation.attached": "kind", "credential.rotated": "credential"}


@dataclass(frozen=True)
class Asked(Known):
    """A ledger as it was known at a size, and the time at which is asked, in microseconds since the Unix epoch."""

    now: int


def _may(
    asked: Asked, actor: str | None, place: tuple[str, str | None, str], making: frozenset[str] | None
) -> bool | None:
    """Whether an actor has a role that reaches an environment and a thing, and made nothing of it; None for nobody."""
    if actor is None:
        return None
    state, (role, environment, stream) = actor_of(asked.world, actor), place
    grants = () if state is None else state.grants
    has = any(
        one.role == role and one.ended is None and (not one.environments or environment in one.environments)
        and covers_stream(one.subjects, stream)
        for one in grants
    )  # fmt: skip
    return has and bool(independent(asked.world, {actor}, making))


def _live(asked: Asked, named: Named, environment: str) -> list[str]:
    """Other versions of the same model that are live in an environment."""
    found = set()
    for row in asked.of_types("deployment.completed", "deployment.promoted", "rollback.completed"):
        state = asked.world.state(row["stream"])
        if isinstance(state, DeploymentState) and state.live and parse_name(row["stream"]).namespace == environment:
            name = parse_name(state.live[0])
            if (name.namespace, name.name) == (named.name.namespace, named.name.name) and state.live[
                0
            ] != named.subject:
                found.add(state.live[0])
    return sorted(found)


def _metrics(asked: Asked, subject: str) -> dict[str, Any]:
    """The last metrics of each suite of a version."""
    as_of = AsOf(None, asked.size, "", asked.now)
    return {suite: body["metrics"] for suite, body in last_metrics(asked.views, as_of, subject).items()}


def _rule(asked: Asked, named: Named, environment: str) -> tuple[Rule | None, str]:
    """The rule in force, and why nothing can be approved now, which is empty when it can."""
    try:
        rule = rule_for(asked.world, environment, named.tier)
    except PolicyError as error:
        return None, error.message  # what is not ruled is refused
    try:
        check_stops(asked.world, named, "approval.granted")
    except PolicyError as error:
        return rule, error.message
    return rule, ""


def _named(asked: Asked, kind: str) -> Iterator[Named]:
    """Versions that entries of a type are about, but those whose registration is suspect: nothing rests on them."""
    for subject in dict.fromkeys(row["subject"] for row in asked.of_types(kind)):
        try:
            yield version_of(asked.world, subject)
        except PolicyError:
            continue


def _request(asked: Asked, named: Named, one: ApprovalRequest, actor: str | None) -> dict[str, Any] | None:
    rule, stopped = _rule(asked, named, one.environment)
    have = None if rule is None else standing(asked.world, named, (one.environment, rule), asked.now)
    if rule is not None and have is not None and have.meets(rule):
        return None
    live = _live(asked, named, one.environment)
    makers = approval_makers(asked.world, named, one.actors, asked.size)
    gates = [gate for (_, where), gate in sorted(named.version.gates.items()) if where == one.environment]
    place = ("approver", one.environment, stream_of(named.subject))
    return {
        "what": "approval",
        "subject": named.subject,
        "environment": one.environment,
        "id": one.id,
        "index": one.index,
        "by": one.signed.actor,
        "since": format_time(one.signed.recorded_at),
        "age_seconds": max(0, asked.now - one.signed.recorded_at) // 1_000_000,
        "tier": named.tier,
        "stopped": stopped or None,
        "needs": None if rule is None else rule.approvals,
        "has": 0 if have is None else have.persons,
        "troubles": [{"index": index, "reason": why.text} for index, why in (have.troubles if have else ())],
        "gates": [{"policy": gate.policy, "allowed": gate.allowed, "index": gate.signed.index} for gate in gates],
        "waivers": sorted({waiver for gate in gates for waiver in gate.waivers}),
        "live": [{"model": model, "changed": diff(_metrics(asked, model), _metrics(asked, named.subject))}
                 for model in live],
        "may": False if stopped and actor else _may(asked, actor, place, makers),
        "next": f"muniment approve {named.subject} --env {one.environment} --rationale …",
    }  # fmt: skip


def _requests(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for named in _named(asked, "approval.requested"):
        for one in named.version.requests.values():
            item = _request(asked, named, one, actor) if one.closed is None else None
            if item is not None:
                yield item


def _waiting(row: JournalRow, asked: Asked, what: str, following: str) -> dict[str, Any]:
    return {
        "what": what,
        "subject": row["subject"],
        "environment": row["data"].get("environment") or parse_name(row["stream"]).namespace,
        "id": row["id"],
        "index": row["index"],
        "by": row["actor"],
        "since": format_time(row["recorded_at"]),
        "age_seconds": max(0, asked.now - row["recorded_at"]) // 1_000_000,
        "next": following,
    }


def _waivers(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("waiver.requested"):
        state = asked.world.state(row["stream"])
        if isinstance(state, WaiverState) and state.granted is None and state.ended is None:
            item = _waiting(row, asked, "waiver", f"muniment waiver grant {row['subject']} --rationale …")
            makers = waived_makers(asked.world, state.model, asked.size)
            others = None if makers is None else makers | state.actors | {state.owner}
            names = (row["stream"], stream_of(state.model))
            mays = [_may(asked, actor, ("approver", state.environment, name), others) for name in names]
            may = None if actor is None else any(mays)
            yield item | {"check": state.check, "model": state.model, "until": format_time(state.until), "may": may}


def _emergencies(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("deployment.authorised"):
        state = asked.world.state(row["stream"])
        for one in state.urgent if isinstance(state, DeploymentState) else ():
            if one.id == row["id"]:
                following = f"muniment review {row['stream']} --verdict justified|unjustified --rationale …"
                item = _waiting(row, asked, "emergency", following)
                roles = ("approver", "validator", "auditor")
                may = any(_may(asked, actor, (role, item["environment"], row["stream"]), one.actors) for role in roles)
                yield item | {"review_by": format_time(one.review_by), "may": None if actor is None else may}


def _decided(asked: Asked) -> Iterator[tuple[Service, Decision]]:
    """Decisions with a time by which they should have been carried out, and were not."""
    deployments = dict.fromkeys(row["stream"] for row in asked.of_types(*DECISIONS) if row["data"].get("due_at"))
    as_of = AsOf(None, asked.size, "", asked.now)
    for name in deployments:
        service = read_service(asked.views, as_of, name)
        yield from ((service, one) for one in service.open_decisions() if one.due_at is not None)


def _late(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for service, decision in _decided(asked):
        if decision.overdue(asked.now):
            model = decision.key[0]
            what = "rollback" if decision.action == "rollback" else "canary"
            done = f"{what} {service.name} --model {model}" + (" --aborted …" if what == "canary" else "")
            item = _waiting(decision.row, asked, decision.action, f"When it is done: muniment record {done}")
            places = [(role, item["environment"], service.name) for role in _CARRYING_OUT]
            may = any(_may(asked, actor, place, frozenset()) for place in places)
            due_at = decision.row["data"]["due_at"]
            yield item | {"model": model, "due_at": due_at, "may": None if actor is None else may}


def inbox(asked: Asked, actor: str | None = None) -> list[dict[str, Any]]:
    """What waits for a decision.

    Args:
        asked: of which ledger, as it was known when.
        actor: who asks; each item then says whether it ``may`` decide.

    Returns:
        Requests for approval with what is live and what differs, requests for waivers, emergencies to review, and holds
        and rollbacks that were decided and should have been done; the oldest first.
    """
    found = [*_requests(asked, actor), *_waivers(asked, actor), *_emergencies(asked, actor), *_late(asked, actor)]
    return sorted(found, key=lambda item: item["index"])


def _item(what: str, subject: str, at: int, index: int, words: str) -> dict[str, Any]:
    return {"what": what, "subject": subject, "at": at, "index": index, "words": words}


def _approvals(asked: Asked) -> Iterator[dict[str, Any]]:
    for named in _named(asked, "approval.granted"):
        for one in named.version.approvals:
            rule, _ = _rule(asked, named, one.environment)
            until = approval_until(one, rule)
            if approval_trouble(asked.world, named, one, rule, min(asked.now, until - 1)) is None:
                words = f"for {one.environment}, by {one.actor}"
                yield _item("approval", named.subject, until, one.index, words)


def _granted_waivers(asked: Asked) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("waiver.granted"):
        state = asked.world.state(row["stream"])
        until = waiver_until(asked.world, state) if isinstance(state, WaiverState) else 0
        if isinstance(state, WaiverState) and waiver_trouble(asked.world, state, min(asked.now, until - 1)) is None:
            words = f"{state.check} of {state.model} in {state.environment}; {state.owner} carries the risk"
            yield _item("waiver", row["subject"], until, row["index"], words)


def _roles(asked: Asked) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("role.granted", "approval.delegated"):
        state = actor_of(asked.world, parse_name(row["subject"]).name)
        for grant in state.grants if state is not None and state.revoked is None else ():
            if grant.id == row["id"] and grant.ended is None and row["data"].get("until"):
                yield _item("role", row["subject"], grant.until, row["index"], grant.role)


def _keys(asked: Asked) -> Iterator[dict[str, Any]]:
    """Keys that were replaced and may still sign: they end at an index, so there is no time at which they do."""
    for row in {row["data"]["keyid"]: row for row in asked.of_types("key.rotated")}.values():
        state = actor_of(asked.world, parse_name(row["subject"]).name)
        held = None if state is None or state.revoked is not None else state.keys.get(row["data"]["keyid"])
        if held is not None and held.ends is not None and held.ends > asked.size:
            left = f"it ends at index {held.ends}, {held.ends - asked.size} from here"
            words = f"{row['data']['keyid'][:16]} was replaced; {left}"
            yield {"what": "key", "subject": row["subject"], "at": None, "index": row["index"], "words": words}


def _moment(text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_moment(text if "T" in text else f"{text}T23:59:59Z")
    except InputError:
        return None  # a fact may have a field of that name that is no time


def _dated(asked: Asked) -> Iterator[dict[str, Any]]:
    open_ones: dict[tuple[str, str, str], dict[str, Any]] = {}
    settling = {kind for _, kinds in _DATED.values() for kind in kinds}
    for row in asked.of_types(*_DATED, *settling):
        kind, data = row["type"], row["data"]
        for asking, (_, kinds) in _DATED.items():
            if kind in kinds:
                same = str(data.get(_SAME.get(asking, ""), "")) or str(data.get("item") or data.get("request") or "")
                open_ones.pop((asking, row["stream"], same), None)
        if kind in _DATED:
            at = _moment(data.get(_DATED[kind][0]))
            by_id = kind in ("incident.action_item_created", "retrain.requested")
            same = row["id"] if by_id else str(data.get(_SAME.get(kind, ""), ""))
            if at is not None:
                words = str(data.get("title") or data.get("kind") or data.get("credential") or kind)
                open_ones[kind, row["stream"], same] = _item(kind, row["subject"], at, row["index"], words)
    yield from open_ones.values()


def _reviews(asked: Asked) -> Iterator[dict[str, Any]]:
    for one in _emergencies(asked, None):
        yield _item("emergency", one["subject"], parse_moment(one["review_by"]), one["index"], "to be reviewed")


def _undone(asked: Asked) -> Iterator[dict[str, Any]]:
    for service, decision in _decided(asked):
        words = f"{decision.action} {'to' if decision.action == 'rollback' else 'of'} {decision.key[0]}"
        yield _item("decision", service.name, decision.due_at or 0, decision.row["index"], words)


def due(asked: Asked, within: int) -> list[dict[str, Any]]:
    """What ends or is due soon, and what is overdue.

    Args:
        asked: of which ledger, as it was known when.
        within: how far ahead to look, in microseconds.

    Returns:
        Soonest first, each with ``state`` overdue or due; keys, which end at an index and have no ``at``, come last.
    """
    sources = (_approvals, _granted_waivers, _roles, _dated, _reviews, _undone)
    found = [item for source in sources for item in source(asked) if item["at"] <= asked.now + within]
    timed = [
        {**item, "at": format_time(item["at"]), "state": "overdue" if item["at"] <= asked.now else "due"}
        for item in sorted(found, key=lambda item: (item["at"], item["index"]))
    ]
    return timed + [{**item, "state": "due"} for item in _keys(asked)]
