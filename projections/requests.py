"""Requests for approval that wait: what would move each on, and who may do that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ledger.domain.deployed import DeploymentState
from ledger.domain.independence import approval_makers, contradiction
from ledger.domain.lifecycle import Named, refuse_doubt
from ledger.domain.standing import Standing, check_evaluations, condition_step, standing
from ledger.domain.states import Approval, ApprovalRequest
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name
from projections.asof import AsOf
from projections.comparing import compare
from projections.findings import open_points
from projections.journal import JournalRow
from projections.pending import UNSHOWN, Asked, may, mine, named_by, rule_at

__all__ = ["requests"]


@dataclass(frozen=True)
class _Step:
    """Something that would move a request on: the event that does it, the command, and whether the actor may."""

    command: str
    may: bool | None
    because: str


class _Request:
    """One request, its rule, and what approvals of the version amount to in its environment."""

    def __init__(self, asked: Asked, named: Named, one: ApprovalRequest, passed_on: JournalRow | None) -> None:
        self.asked, self.named, self.one, self.passed_on = asked, named, one, passed_on
        self.rule, self.stopped = rule_at(asked, named, one.environment)
        place = None if self.rule is None else (one.environment, self.rule)
        self.have: Standing | None = None if place is None else standing(asked.world, named, place, asked.now)

    @property
    def met(self) -> bool:
        """Whether nothing is missing."""
        return self.rule is not None and self.have is not None and self.have.meets(self.rule)

    def _fallen(self, *kinds: str) -> Iterator[Approval]:
        """Approvals in the environment that do not stand for a reason of some kinds."""
        kept = {index for index, trouble in (self.have.troubles if self.have else ()) if trouble.kind in kinds}
        return (approval for approval in self.named.version.approvals if approval.index in kept)

    @property
    def begins(self) -> bool:
        """Whether nothing is missing but that approvals begin."""
        since = max((approval.since for approval in self._fallen("upcoming")), default=None)
        if since is None or self.rule is None:
            return False
        return standing(self.asked.world, self.named, (self.one.environment, self.rule), since).meets(self.rule)

    @property
    def passed(self) -> bool:
        """Whether its approval came to its end when nobody needed it any more: another version was asked for since."""
        own = [approval for approval in self.named.version.approvals if approval.request == self.one.id]
        if not own or not set(own) <= set(self._fallen("expired")):
            return False
        others = (version for version in self.named.model.versions.values() if version is not self.named.version)
        asked = (request for version in others for request in version.requests.values())
        later = any(two.environment == self.one.environment and two.index > self.one.index for two in asked)
        return later and self.named.subject not in _live(self.asked, self.named, self.one.environment)

    def refused(self) -> PolicyError | None:
        """What refuses every approval, None when nothing does."""
        if self.rule is None or self.stopped is not None:
            return self.stopped
        try:
            refuse_doubt(self.asked.world, self.one.signed, f"the request {self.one.id}")
            if self.rule.evaluation:
                check_evaluations(self.asked.world, self.named, self.one.environment)
        except PolicyError as error:
            return error
        return None

    def steps(self, actor: str | None) -> Iterator[_Step]:
        """What would move it on, the nearest first."""
        waiting = list(self._fallen("conditional"))
        enough = (
            self.rule is not None
            and self.have is not None
            and (self.have.persons + len(waiting) >= self.rule.approvals)
        )
        if waiting and enough:
            yield self._condition(actor, waiting[-1])
        under = [one for one in self.named.version.approvals if one.request == self.one.id and one.revoked is None]
        spent = [one for one in self._fallen("expired", "suspended") if one in under]
        if actor is None and spent:
            yield self._again(actor)  # who approved it cannot approve it again
        if actor is not None and any(one.actor == actor for one in under):
            yield from [self._again(actor)] if spent else []
            yield _Step(self._approve, False, "for somebody else: you approved it")
        else:
            yield self._approval(actor)
        if spent:
            yield self._again(actor)

    @property
    def _approve(self) -> str:
        return f"muniment approve {self.named.subject} --env {self.one.environment} --rationale …"

    def _approval(self, actor: str | None) -> _Step:
        making = self._makers(self.one.actors) if self.rule is not None and self.rule.approvals else frozenset()
        return _Step(self._approve, *self._may(actor, "approval.granted", making))

    def _condition(self, actor: str | None, approval: Approval) -> _Step:
        number = min(approval.unmet)
        allowed, because = self._may(actor, "approval.condition_met", self._makers(frozenset()))
        return _Step(
            condition_step(self.named, approval),
            allowed,
            f"{because}; condition {number}: {approval.conditions[number]}",
        )

    def _again(self, actor: str | None) -> _Step:
        command = f"muniment request {self.named.subject} --env {self.one.environment} --reason …"
        allowed, because = self._may(actor, "approval.requested", frozenset())
        return _Step(command, allowed, f"{because}; its approval stands no more")

    def _makers(self, asking: frozenset[str]) -> frozenset[str] | None:
        return approval_makers(self.asked.world, self.named, asking, self.asked.size)

    def _may(self, actor: str | None, kind: str, making: frozenset[str] | None) -> tuple[bool | None, str]:
        stream = self.named.subject.partition("@")[0]
        unshown = UNSHOWN if (other := contradiction(self.asked.world, self.named)) is None else ". ".join(other)
        return may(self.asked, actor, kind, (stream, self.one.environment), making, unshown=unshown)

    def step(self, actor: str | None) -> _Step:
        """What an actor should do about it; what somebody else should, where that actor can do nothing.

        What was passed to somebody waits for them, too, though it gives them no right, and for who passed it no more.
        """
        found = self._step(actor)
        if self.passed_on is None:
            return found
        by, to = self.passed_on["actor"], escalated_to(self.passed_on)
        if mine(self.asked, actor, [by]):
            return replace(found, may=False, because=f"you passed it to {to}")
        if self._is_passed_to(actor):
            return replace(found, may=True, because=f"passed to you by {by}; {found.because}")
        return replace(found, because=f"{found.because}; passed to {to} by {by}")

    def _is_passed_to(self, actor: str | None) -> bool:
        data = {} if self.passed_on is None else self.passed_on["data"]
        if data.get("to_actor"):
            return bool(mine(self.asked, actor, [data["to_actor"]]))
        place = (self.named.subject.partition("@")[0], self.one.environment)
        return bool(may(self.asked, actor, "approval.granted", place, roles=(data["to_role"],))[0])

    def _step(self, actor: str | None) -> _Step:
        error = self.refused()
        if error is not None:
            command = error.hint or f"muniment why {self.named.subject} --env {self.one.environment}"
            return _Step(command, None if actor is None else False, error.message)
        found = list(self.steps(actor))
        return next((one for one in found if one.may), found[0])


def escalated_to(row: JournalRow) -> str:
    """To whom an `approval.escalated` passes its request, in words."""
    data = row["data"]
    return str(data["to_actor"]) if data.get("to_actor") else f"the role {data['to_role']}"


def _live(asked: Asked, named: Named, environment: str) -> list[str]:
    """Versions of the model that are live in an environment."""
    stem = named.subject.partition("@")[0]
    rows = asked.of_types("deployment.completed", "deployment.promoted", "rollback.completed")
    there = {
        row["stream"] for row in rows
        if parse_name(row["stream"]).namespace == environment and row["data"]["model"].partition("@")[0] == stem
    }  # fmt: skip
    states = (asked.world.state(stream) for stream in there)  # of others none is read: that takes long
    live = {state.live[0] for state in states if isinstance(state, DeploymentState) and state.live}
    return sorted(model for model in live if model.partition("@")[0] == stem)


def _against(asked: Asked, live: str, subject: str) -> dict[str, Any]:
    """What differs from a version that is live, as `diff` tells it; what is live may never have been registered."""
    try:
        found = compare(asked.ledger, asked.views, AsOf(None, asked.size, "", asked.now), live, subject)
    except InputError as error:
        found = {"changed": [], "same": [], "missing": [error.message]}
    return {"model": live, **found}


def _gates(asked: Asked, named: Named, environment: str) -> list[dict[str, Any]]:
    """What gates found of a version last, with the checks by which they refuse it."""
    gates = [gate for (_, place), gate in sorted(named.version.gates.items()) if place == environment]
    rows = {row["index"]: row for row in asked.rows(("position", "IN", [gate.signed.index + 1 for gate in gates]))}

    def refused(index: int) -> list[str]:
        checks = rows[index]["data"].get("checks", ()) if index in rows else ()
        return [one["check"] for one in checks if one["result"] in ("fail", "error")]

    return [
        {"policy": gate.policy, "allowed": gate.allowed, "index": gate.signed.index,
         "refused": [] if gate.allowed else refused(gate.signed.index), "waivers": sorted(gate.waivers)}
        for gate in gates
    ]  # fmt: skip


def _item(request: _Request, actor: str | None) -> dict[str, Any]:
    asked, named, one = request.asked, request.named, request.one
    step, rule, have, error = request.step(actor), request.rule, request.have, request.refused()
    live = _live(asked, named, one.environment)
    gates = _gates(asked, named, one.environment)
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
        "stopped": None if error is None else error.message,
        "needs": None if rule is None else rule.approvals,
        "has": 0 if have is None else have.persons,
        "troubles": [{"index": index, "reason": why.text} for index, why in (have.troubles if have else ())],
        "gates": gates,
        **open_points(asked, named),
        "escalated_to": None if request.passed_on is None else escalated_to(request.passed_on),
        "waivers": sorted({waiver for gate in gates for waiver in gate["waivers"]}),
        "live": [_against(asked, model, named.subject) for model in live if model != named.subject],
        "may": step.may,
        "because": step.because,
        "next": step.command,
    }  # fmt: skip


def requests(asked: Asked, actor: str | None) -> Iterator[dict[str, Any]]:
    """Requests for approval that approvals do not meet; of several for one environment the newest.

    Args:
        asked: of which ledger, when.
        actor: who asks, None for nobody.
    """
    passed_on = {row["data"]["request"]: row for row in asked.of_types("approval.escalated")}
    for named in named_by(asked, "approval.requested"):
        newest = {one.environment: one for one in named.version.requests.values() if one.closed is None}
        for one in newest.values():
            request = _Request(asked, named, one, passed_on.get(one.id))
            if not request.met and not request.passed and not request.begins:
                yield _item(request, actor)
