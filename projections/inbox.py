"""What waits for somebody: decisions, reviews, and work that was given to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ledger.domain.deployed import DeploymentState, WaiverState
from ledger.domain.stages import Place, check_waiver_stops
from ledger.domain.states import SENT_BACK, ModelState
from ledger.domain.waiving import waived_makers
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from ledger.waivable import Waivable
from projections.asof import AsOf
from projections.journal import JournalRow
from projections.pending import Asked, actions, assignments, decided, emergencies, erasures, may, mine, waiting
from projections.requests import requests
from projections.settling import told_by
from projections.waivers import terms_of
from projections.why import why

__all__ = ["inbox"]

#: Facts that answer a decision about a deployment, and who carries it out.
_DONE: Final = {"rollback": "rollback.completed", "hold": "canary.aborted"}
_CARRYING_OUT: Final = ("deployer", "incident-commander", "emitter")
_INCIDENT: Final = (
    "incident.opened", "incident.reopened", "incident.mitigated", "incident.resolved", "incident.root_cause_recorded",
    "incident.role_assigned", "incident.closed",
)  # fmt: skip


def _said(answer: tuple[bool | None, str]) -> dict[str, Any]:
    return {"may": answer[0], "because": answer[1]}


def _given(asked: Asked, actor: str | None, people: Iterable[str], how: str) -> dict[str, Any]:
    """That something was given to some people."""
    named = ", ".join(people)
    mine_ = mine(asked, actor, people)
    return {"may": mine_, "because": f"{how} you" if mine_ else f"{how} {named}"}


def _sent_back(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    """Requests that were sent back, until one for that environment follows, which may be about another version."""
    for row in asked.of_types("approval.changes_requested"):
        model, place = asked.world.state(row["stream"]), row["data"]["environment"]
        known = model.versions.values() if isinstance(model, ModelState) else ()
        there = [one for version in known for one in version.requests.values() if one.environment == place]
        one = max(there, key=lambda one: one.index, default=None)
        if one is None or (one.id, one.closed) != (row["data"]["request"], SENT_BACK):
            continue
        following = f"muniment request {row['subject']} --env {place} --amends {one.id} --reason …"
        given = _given(asked, actor, sorted(one.actors), "sent back to")
        yield waiting(row, asked, "changes", following) | {"changes": row["data"]["changes"]} | given


def _waivers(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    waivable = Waivable(asked.ledger, asked.size)
    for row in asked.of_types("waiver.requested"):
        state = asked.world.state(row["stream"])
        if isinstance(state, WaiverState) and state.granted is None and state.ended is None and asked.now < state.until:
            item = waiting(row, asked, "waiver", f"muniment waiver grant {row['subject']} --rationale …")
            makers = waived_makers(asked.world, state.model, asked.size)
            others = None if makers is None else makers | state.actors | {state.owner}
            answer = may(
                asked, actor, "waiver.granted", (row["stream"], state.environment), others, about=stream_of(state.model)
            )
            until = format_time(state.until)
            if useless := waivable.trouble(state.check, state.model, state.environment):
                item["next"] = f"Of no effect, for {useless}: muniment waiver deny {row['subject']} --rationale …"
            try:
                place = Place(state.environment, None, asked.now)
                check_waiver_stops(asked.world, state.model, "waiver.granted", place)
            except PolicyError as error:
                item["next"] = error.hint
                answer = None if actor is None else False, error.message
            yield (
                item
                | {"check": state.check, "model": state.model, "max_uses": state.max_uses, "until": until}
                | terms_of(row)
                | _said(answer)
            )


def _emergencies(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row, one in emergencies(asked):
        following = f"muniment review {row['stream']} --decision {one.id} --verdict justified|unjustified --rationale …"
        item = waiting(row, asked, "emergency", following)
        answer = may(asked, actor, "emergency.reviewed", (row["stream"], item["environment"]), one.actors)
        yield item | {"review_by": format_time(one.review_by)} | _said(answer)


def _late(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    """Holds and rollbacks that should have been carried out by now."""
    for service, decision in decided(asked):
        if decision.overdue(asked.now):
            model = decision.key[0]
            item = waiting(decision.row, asked, decision.action, told_by(service, decision))
            place = (service.name, item["environment"])
            answer = may(asked, actor, _DONE[decision.action], place, roles=_CARRYING_OUT)
            yield item | {"model": model, "due_at": decision.row["data"]["due_at"]} | _said(answer)


def _deployments(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    """Requests to deploy that nobody has answered."""
    for row in asked.of_types("deployment.requested"):
        state = asked.world.state(row["stream"])
        if not isinstance(state, DeploymentState) or row["id"] not in state.requests:
            continue
        model = row["data"]["model"]
        stopped, following = _stopped(asked, row, model)
        item = waiting(row, asked, "deployment", following)
        allowed, because = may(asked, actor, "deployment.authorised", (row["stream"], item["environment"]))
        if stopped is not None:
            allowed, because = None if actor is None else False, stopped
        yield item | {"model": model, "stopped": stopped} | _said((allowed, because))


def _stopped(asked: Asked, row: JournalRow, model: str) -> tuple[str | None, str]:
    """What would refuse the authorisation, None when nothing does, and the next step; a gate is run by authorising."""
    as_of = AsOf(None, asked.size, "", asked.now)
    environment = parse_name(row["stream"]).namespace
    (answer,) = why(
        asked.ledger, asked.views, as_of, asked.now, model, environment=environment, deployment=row["stream"]
    )["answers"]  # fmt: skip
    for condition in answer["conditions"]:
        if not condition["met"] and condition["condition"] != "gate":
            return condition["reason"], condition["next"] or f"muniment why {model} --env {environment}"
    return None, f"muniment authorise {row['stream']} --model {model}"


def _validations(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row in assignments(asked):
        following = f"muniment emit validation.completed {row['subject']} -d verdict=… -d independence=…"
        item = waiting(row, asked, "validation", following)
        given = _given(asked, actor, [row["data"]["validator"]], "assigned to")
        yield item | {"due_at": row["data"].get("due_at"), "scope": row["data"].get("scope")} | given


def _erasures(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row in erasures(asked):
        item = waiting(row, asked, "erasure", f"muniment subject erase {row['subject']} --basis … --reason …")
        answer = may(asked, actor, "subject.erased", (f"ledger:{asked.ledger.ledgerid}", None))
        told = {name: row["data"].get(name) for name in ("due_at", "scope", "basis")}
        yield item | told | _said(answer)


def _actions(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    for row, owner, day in actions(asked):
        following = f"muniment emit incident.action_item_completed {row['subject']} -d item={row['id']} -d note=…"
        item = waiting(row, asked, "action", following)
        given = {"may": None if actor is None else False, "because": "nobody is named for it"}
        if owner is not None:
            given = _given(asked, actor, [owner], "to be done by")
        yield item | {"title": row["data"]["title"], "due_at": day} | given


def _on_call(asked: Asked, opened: JournalRow) -> str | None:
    """Who is called for the model that an incident is about."""
    model, deployment = opened["data"].get("model"), opened["data"].get("deployment")
    state = None if deployment is None else asked.world.state(deployment)
    if model is None and isinstance(state, DeploymentState) and state.live:
        model = state.live[0]
    rows = [] if model is None else asked.rows(("stream", "=", model.partition("@")[0]))
    called = [row["data"] for row in rows if row["type"] == "model.on_call_assigned"]
    ended = called and called[-1].get("until") and parse_moment(called[-1]["until"]) <= asked.now
    return str(called[-1]["on_call"]) if called and not ended else None


def _incidents(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    """Open incidents, for whoever leads them, or is called for the model."""
    said: dict[str, list[JournalRow]] = {}
    for row in asked.of_types(*_INCIDENT):
        if row["type"] == "incident.opened":
            said[row["stream"]] = []
        said.setdefault(row["stream"], []).append(row)
    for stream, rows in said.items():
        kinds = [row["type"] for row in rows]
        last = {row["data"]["role"].lower(): row["data"] for row in rows if row["type"] == "incident.role_assigned"}
        if kinds[0] != "incident.opened" or _over(kinds):
            continue
        item = waiting(rows[0], asked, "incident", _next_of(stream, kinds))
        opened = rows[0]["data"]
        commander, called = last.get("commander"), _on_call(asked, rows[0])
        if commander is not None:
            given = _given(asked, actor, [commander["assignee"]], "led by")
        elif called is not None:
            given = _given(asked, actor, [called], "on call for it:")
        else:
            given = {"may": None if actor is None else True, "because": "nobody leads it, and nobody is on call for it"}
        told = {"title": opened["title"], "severity": opened.get("severity", "medium")}
        yield item | told | {"report_by": opened.get("report_by")} | given


def _over(kinds: list[str]) -> bool:
    ends = [kind for kind in kinds if kind in ("incident.closed", "incident.reopened")]
    return ends[-1:] == ["incident.closed"]


def _next_of(stream: str, kinds: list[str]) -> str:
    if "incident.mitigated" not in kinds and "incident.resolved" not in kinds:
        return f"muniment incident mitigate {stream} --note …"
    if "incident.root_cause_recorded" not in kinds:
        return f"muniment incident cause {stream} --category … --statement …"
    return f"muniment incident close {stream} --summary …"


def inbox(asked: Asked, actor: str | None = None) -> list[dict[str, Any]]:
    """What waits for somebody.

    Args:
        asked: of which ledger, as it was known when.
        actor: who asks; each item then says whether it waits for that actor, as ``may``.

    Returns:
        Requests for approval with what is live and what differs, those that were sent back, requests to deploy and for
        waivers, emergencies to review, holds and rollbacks that were decided and should have been done, validations and
        action items that somebody was given, requests to erase, and open incidents; the oldest first. Each
        says why it waits for whom (``because``), and which command answers it (``next``).
    """
    sources = (
        requests,
        _sent_back,
        _waivers,
        _deployments,
        _emergencies,
        _late,
        _validations,
        _erasures,
        _actions,
        _incidents,
    )
    return sorted((item for source in sources for item in source(asked, actor)), key=lambda item: int(item["index"]))
