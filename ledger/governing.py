"""Decisions about what was decided before: approvals bound, taken back, handed on; waivers; quarantine; emergencies.

As in `ledger.commands`, each function reads the present state, names the head it saw and appends one event. The rules
are not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from ledger.application import Ledger, Receipt
from ledger.approvals import approval_to_meet, approval_to_revoke
from ledger.commands import deciding, is_recorded, seen_head, sought, version_state
from ledger.domain import DatasetState, DeploymentState, ModelState
from ledger.domain.deployed import Urgent, WaiverState
from ledger.domain.lifecycle import rules_of, versions_meant
from ledger.domain.scopes import matches
from ledger.domain.states import SENT_BACK, ApprovalRequest, Quarantine
from ledger.domain.world import actor_of
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name, stream_of
from ledger.waivable import Waivable

__all__ = [
    "classify",
    "decide_waiver",
    "escalate_request",
    "meet_condition",
    "release",
    "request_changes",
    "request_waiver",
    "review_emergency",
    "revoke_approval",
    "tier_of_answers",
    "waiver_doubts",
    "withdraw_request",
]

#: The decision list of a classification: name, and the question.
QUESTIONS = {
    "affects_people": "Do its answers affect people, who may be treated worse because of them?",
    "personal_data": "Does it read or learn from personal data?",
    "money_or_law": "Does money, a contract or the law depend on its answers?",
    "shared": "Do other teams use it?",
}
#: What each tier is called for people, from the cheapest governance to the fullest.
TIER_WORDS = {"low": "light", "medium": "standard", "high": "full"}


def tier_of_answers(answers: dict[str, bool]) -> str:
    """The tier that a decision list leads to.

    Args:
        answers: to every question of `QUESTIONS`.

    Returns:
        ``high`` when people, and personal data or money or law are at stake; ``medium`` when anything is; else
        ``low``.
    """
    if answers["affects_people"] and (answers["personal_data"] or answers["money_or_law"]):
        return "high"
    return "medium" if any(answers.values()) else "low"


def classify(ledger: Ledger, subject: str, answers: dict[str, bool], *, rationale: str, **options: Any) -> Receipt:
    """Set the tier of a model or of one version by the decision list.

    Args:
        ledger: open, signing as an owner or validator.
        subject: ``model:<name>`` or ``model:<name>@<version>``.
        answers: to every question of `QUESTIONS`.
        rationale: why.
        options: see `Ledger.emit`.

    Raises:
        NotAllowedError: the tier is lower than before, and the author no independent validator.
    """
    body = {
        "tier": tier_of_answers(answers), "answers": answers, "rationale": rationale, "seen": seen_head(ledger),
    }  # fmt: skip
    return ledger.emit("risk.classified", subject, body, **options)


def revoke_approval(
    ledger: Ledger, model: str, environment: str | None = None, *, rationale: str, approval: str | None = None,
    **options: Any,
) -> Receipt:  # fmt: skip
    """Take an approval back, and with it what the same persons approved there before.

    Args:
        ledger: open, signing as an approver.
        model: ``model:<name>@<version>``.
        environment: which, when there are several.
        rationale: why.
        approval: event id of the approval, instead of the author's own.
        options: see `Ledger.emit`.

    Raises:
        InputError: the author gave none that stands, and of others' there are several.
    """
    one = sought(
        ledger, "approval.revoked", model, lambda: approval_to_revoke(ledger, model, approval, environment),
        environment=environment,
    )  # fmt: skip
    body = {
        "approval": one.id, "rationale": rationale, "environment": one.environment, "seen": seen_head(ledger),
    }  # fmt: skip
    return ledger.emit("approval.revoked", model, body, causation=one.id, **options)


def meet_condition(
    ledger: Ledger, model: str, condition: int, environment: str | None = None, *, note: str | None = None,
    approval: str | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Say that a condition of an approval is met; without ``approval`` of the one that waits for it.

    ``condition`` is from 0, the others are as with `revoke_approval`.
    """
    one = sought(
        ledger, "approval.condition_met", model,
        lambda: approval_to_meet(ledger, model, condition, approval, environment),
        environment=environment,
    )  # fmt: skip
    body = {
        "approval": one.id, "condition": condition, "note": note, "environment": one.environment,
        "seen": seen_head(ledger),
    }  # fmt: skip
    return ledger.emit("approval.condition_met", model, body, causation=one.id, **options)


def withdraw_request(
    ledger: Ledger, model: str, environment: str | None = None, *, reason: str | None = None,
    request: str | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Ask no more; arguments as `revoke_approval`."""
    one = sought(
        ledger, "approval.withdrawn", model, lambda: _request(ledger, model, environment, request),
        environment=environment,
    )  # fmt: skip
    body = {"request": one.id, "reason": reason, "seen": seen_head(ledger)}
    return ledger.emit("approval.withdrawn", model, body, causation=one.id, **options)


def _request(ledger: Ledger, model: str, environment: str | None, request: str | None) -> ApprovalRequest:
    known = sorted(version_state(ledger, model).requests.values(), key=lambda one: one.index)
    meant = [
        one for one in known
        if one.closed in (None, SENT_BACK) and environment in (None, one.environment) and request in (None, one.id)
    ]  # fmt: skip
    if not meant:
        raise PolicyError(f"{model} has no open request", hint=f"See what it has: muniment state {model}")
    return meant[-1]


def request_changes(
    ledger: Ledger, model: str, environment: str | None = None, *, changes: Sequence[str],
    rationale: str | None = None, request: str | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Send the newest open request back to who asked.

    Args:
        ledger: open, signing as an approver.
        model: ``model:<name>@<version>``.
        environment: which request, when there are several.
        changes: what must change.
        rationale: why.
        request: event id of the request, instead of the newest.
        options: see `Ledger.emit`.
    """
    options |= sought(
        ledger, "approval.changes_requested", model,
        lambda: deciding(ledger, model, environment, request, rationale), environment=environment,
    )  # fmt: skip
    options["data"] |= {"changes": list(changes)}
    return ledger.emit("approval.changes_requested", model, **options)


def escalate_request(
    ledger: Ledger, model: str, environment: str | None = None, *, rationale: str, to_role: str | None = None,
    to_actor: str | None = None, request: str | None = None, **options: Any,
) -> Receipt:  # fmt: skip
    """Pass the newest open request to a role or to an actor; the others as `request_changes`."""
    options |= sought(
        ledger, "approval.escalated", model,
        lambda: deciding(ledger, model, environment, request, rationale), environment=environment,
    )  # fmt: skip
    options["data"] |= {"to_role": to_role, "to_actor": to_actor}
    return ledger.emit("approval.escalated", model, **options)


def _quarantines(ledger: Ledger, subject: str, quarantine: str | None) -> list[Quarantine]:
    """Quarantines that are meant, at least one."""
    state = ledger.world.state_before(stream_of(subject), ledger.world.refresh())
    known: Sequence[Quarantine] = state.quarantines if isinstance(state, ModelState | DatasetState) else ()
    version = parse_name(subject).version or ""
    meant = [one for one in known if one.version == version and quarantine in (None, one.id)]
    if not meant:
        named = dict.fromkeys(
            f"{stream_of(subject)}@{one.version}" if one.version else stream_of(subject) for one in known
        )
        elsewhere = "; ".join(f"muniment release {name} --rationale …" for name in named)
        raise PolicyError(
            f"{subject} is not in quarantine", hint=f"To let go of what is: {elsewhere}" if elsewhere else ""
        )
    return meant


def release(
    ledger: Ledger, subject: str, *, rationale: str, quarantine: str | None = None, **options: Any
) -> list[Receipt]:
    """Let a thing go from quarantine.

    Args:
        ledger: open, signing as an approver or validator.
        subject: what was put there, with the version when that was named.
        rationale: why.
        quarantine: event id of one quarantine; all of the subject when None.
        options: see `Ledger.emit`.

    Returns:
        A receipt for each quarantine that ended.
    """
    meant = sought(ledger, "quarantine.released", subject, lambda: _quarantines(ledger, subject, quarantine))
    return [
        ledger.emit(
            "quarantine.released", subject,
            {"quarantine": one.id, "rationale": rationale, "seen": seen_head(ledger)}, causation=one.id, **options,
        )
        for one in meant
    ]  # fmt: skip


def _urgent(ledger: Ledger, deployment: str, decision: str | None) -> Urgent:
    """The oldest decision in an emergency that is meant."""
    state = ledger.world.state_before(deployment, ledger.world.refresh())
    waiting = state.urgent if isinstance(state, DeploymentState) else ()
    for one in waiting:
        if decision in (None, one.id):
            return one
    raise PolicyError(f"no decision about {deployment} waits for a review", hint="See what does: muniment inbox")


def review_emergency(
    ledger: Ledger, deployment: str, *, verdict: str, rationale: str, decision: str | None = None, **options: Any
) -> Receipt:
    """Review a decision that was taken in an emergency.

    Args:
        ledger: open, signing as another person than whoever decided.
        deployment: ``deployment:<environment>/<service>``.
        verdict: ``justified`` or ``unjustified``.
        rationale: why.
        decision: event id of the decision, instead of the oldest that waits.
        options: see `Ledger.emit`.
    """
    one = sought(ledger, "emergency.reviewed", deployment, lambda: _urgent(ledger, deployment, decision))
    body = {"decision": one.id, "verdict": verdict, "rationale": rationale, "seen": seen_head(ledger)}
    return ledger.emit("emergency.reviewed", deployment, body, causation=one.id, **options)


def request_waiver(ledger: Ledger, body: dict[str, Any], *, waiver: str | None = None, **options: Any) -> Receipt:
    """Ask that a check may be left unmet for a while.

    Args:
        ledger: open, signing as the requester.
        body: see the event `waiver.requested`.
        waiver: ``waiver:<id>``; a new id when None.
        options: see `Ledger.emit`.

    Raises:
        InputError: who is to carry the risk is nobody enrolled, so that nobody could grant it.
        PolicyError: the policy that the rules name says that the check cannot be waived.
    """
    owner = body.get("owner")
    if isinstance(owner, str) and actor_of(ledger.world.at(ledger.world.refresh()), owner) is None:
        raise InputError(
            f"{owner!r}, who is to carry the risk, is nobody enrolled in this ledger, so nobody could grant it",
            hint="See who is: muniment actor list",
        )
    name = waiver or f"waiver:w-{uuid4().hex[:12]}"
    if not is_recorded(ledger, options.get("event_id")):
        model = str(body.get("model"))
        version = model if "@" in model else f"{model}@VERSION"
        hint = f"Meet what it asks for: muniment gate check {version} --env {body.get('environment')}"
        _refuse_useless(ledger, "waiver.requested", name, body, hint)
    return ledger.emit("waiver.requested", name, {**body, "seen": seen_head(ledger)}, **options)


def waiver_doubts(ledger: Ledger, check: str, model: str, environment: str) -> list[str]:
    """What makes a waiver look useless, in words; none of it is refused, for it may still come.

    Args:
        ledger: open.
        check: id of a check, or a pattern.
        model: ``model:<name>`` or one of its versions.
        environment: for example ``prod``.
    """
    size = ledger.world.refresh()
    world, waivable = ledger.world.at(size), Waivable(ledger, size)
    found = [] if versions_meant(world, model) else [f"nothing is registered as {model}"]
    gates = [rule for rule in rules_of(world) if rule.environment in ("*", environment) and rule.gate is not None]
    known = [(str(rule.gate), waivable.checks(rule)) for rule in gates]
    if known and not any(checks is None or any(matches(check, one) for one in checks) for _, checks in known):
        names = " or ".join(dict.fromkeys(name for name, _ in known))
        found.append(f"no check of {names}, which the rules name for {environment}, is called {check}")
    return found


def _refuse_useless(ledger: Ledger, decision: str, waiver: str, asked: Mapping[str, Any], hint: str) -> None:
    """Refuse what waives a check of which the policy that the rules name says that it cannot be waived."""
    named = [asked.get(name) for name in ("check", "model", "environment")]
    if not all(isinstance(one, str) for one in named):
        return  # which is said of the form
    trouble = Waivable(ledger, ledger.world.refresh()).trouble(*map(str, named))
    if trouble is not None:
        error = PolicyError(f"a waiver would have no effect: {trouble}", hint=hint)
        ledger.record_refusal(decision, waiver, asked, error)
        raise error


def decide_waiver(ledger: Ledger, waiver: str, decision: str, body: dict[str, Any], **options: Any) -> Receipt:
    """Grant, deny or revoke a waiver.

    Args:
        ledger: open, signing as whoever decides.
        waiver: ``waiver:<id>``.
        decision: ``granted``, ``denied`` or ``revoked``.
        body: see the event; the environment and the model that it was asked for are filled in.
        options: see `Ledger.emit`.

    Raises:
        PolicyError: as `request_waiver`, of what is granted.
    """
    state = ledger.world.state_before(waiver, ledger.world.refresh())
    place = {"environment": state.environment, "model": state.model} if isinstance(state, WaiverState) else {}
    if decision == "granted" and isinstance(state, WaiverState) and not is_recorded(ledger, options.get("event_id")):
        hint = f"Deny it: muniment waiver deny {waiver} --rationale …"
        _refuse_useless(ledger, "waiver.granted", waiver, {**place, "check": state.check}, hint)
    body = {**place, **body, "seen": seen_head(ledger)}
    return ledger.emit(f"waiver.{decision}", waiver, body, **options)
