"""Decisions that ask a policy first: a gate is run over what the log holds, and what it found is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.crashpoints import crashpoint
from ledger.domain.authorising import check_hold, hold_of
from ledger.domain.deployed import Hold, WaiverState
from ledger.domain.gating import gate_rule
from ledger.domain.lifecycle import rule_for, version_of
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name
from projections.catalogue import open_runner
from projections.gates import Gate, Stated, policy_for, policy_named, run_gate
from projections.known import Known

__all__ = ["asked_at", "authorise", "check_gate", "lifted_hold", "record_gate"]


def asked_at(known: Known) -> int:
    """The time by the store's clock, which recorded what is known and will record the result; never before either.

    Args:
        known: the ledger, as it is known now.

    Returns:
        Microseconds since the Unix epoch.
    """
    return max(known.ledger.recorder.now(), known.recorded_at)


def check_gate(
    ledger: Ledger,
    model: str,
    environment: str,
    *,
    deployment: str = "",
    policy: str | Stated | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Gate:
    """Run a policy over what the log holds of a version; nothing is recorded.

    Args:
        ledger: open.
        model: ``model:<name>@<version>``.
        environment: for example ``prod``.
        deployment: where it is to be deployed, a deployment in that environment; empty when that is not known.
        policy: ``policy:<name>[@<version>]``, or one that is not in the log; what the rules name when None.
        advance: told how far the views were brought, as (done, of how many).

    Returns:
        What was found; see `Gate.outcome`.

    Raises:
        PolicyError: the version or the policy is not in the log.
        ConfigurationError: the extra ``gates`` is not installed.
    """
    runner = open_runner(ledger, ledger.recorder.url)
    try:
        known = Known(ledger, runner.views, runner.catch_up(advance))
        if policy is None:
            stated = policy_for(known, model, environment)
        else:
            stated = policy_named(known, policy) if isinstance(policy, str) else policy
        return run_gate(known, stated, model, environment, as_of=asked_at(known), deployment=deployment)
    finally:
        runner.views.close()


def record_gate(ledger: Ledger, gate: Gate, **options: Any) -> Receipt:
    """Record what a gate found, allowed or not.

    Args:
        ledger: open, signing as whoever ran it.
        gate: what was found by a policy of the log.
        options: see `Ledger.emit`.
    """
    return ledger.emit("gate.evaluated", gate.model, gate.body(), **options)


def lifted_hold(ledger: Ledger, deployment: str, model: str, reason: str | None) -> Hold | None:
    """The hold that an authorisation would lift, None where the version is not held there.

    Args:
        ledger: open, signing as the deployer.
        deployment: ``deployment:<environment>/<service>``.
        model: ``model:<name>@<version>``.
        reason: why it is lifted.

    Raises:
        PolicyError: it is held, and there is no reason; or it is not registered.
    """

    def find() -> Hold | None:
        world = ledger.world.at(ledger.world.refresh())
        hold = hold_of(world, deployment, model, version_of(world, model).version.digest)
        if hold is not None:
            check_hold(deployment, model, hold, reason)
        return hold

    return commands.sought(ledger, "deployment.authorised", deployment, find, model=model)


def _asked(ledger: Ledger, deployment: str, model: str) -> bool:
    """Whether the rules ask for a gate before this may be authorised."""
    world = ledger.world.at(ledger.world.refresh())
    named = version_of(world, model)
    return rule_for(world, parse_name(deployment).namespace or "", named.tier).gate is not None


#: What else an authorisation says of what is to be deployed.
_INTENDED: Final = frozenset({"strategy", "traffic", "config_digest"})


def _used_up(ledger: Ledger, gate: Gate, deployment: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Events that use the waivers with counted uses that a gate rests on."""
    world = ledger.world.at(gate.size)
    states = {
        name: world.state(name) for name in sorted({item.get("waiver", "") for item in gate.outcome.checks} - {""})
    }
    return [
        ("waiver.used", name, {"deployment": deployment, "model": gate.model})
        for name, state in states.items() if isinstance(state, WaiverState) and state.max_uses is not None
    ]  # fmt: skip


def authorise(
    ledger: Ledger,
    deployment: str,
    model: str,
    *,
    emergency: dict[str, str] | None = None,
    told: Callable[[Gate], None] | None = None,
    **options: Any,
) -> Receipt:
    """Authorise a deployment, after the policy that the rules name was run and allows it; nothing is deployed by it.

    What the gate found is recorded first, whether or not it allows. Waivers whose uses are counted are used in the
    same transaction as the authorisation. With an ``event_id``, whoever repeats it, also at once, gets the first
    receipt.

    Args:
        ledger: open, signing as the deployer.
        deployment: ``deployment:<environment>/<service>``.
        model: ``model:<name>@<version>``.
        emergency: ``{"reason", "review_by"}`` when approvals and gates are not waited for.
        told: told what the gate found, where one was run that allows it.
        options: ``reason``, ``strategy``, ``traffic``, ``config_digest``, and those of `Ledger.emit`.

    Raises:
        PolicyError: the gate refuses it, with its reasons, the rules ask for more, or it is held there and no
            ``reason`` is given, which lifts the hold.
        InputError: an option that cannot go with the using of a waiver.
    """
    if (
        emergency is not None
        or commands.is_recorded(ledger, options.get("event_id"))
        or not commands.sought(
            ledger, "deployment.authorised", deployment, lambda: _asked(ledger, deployment, model), model=model
        )
    ):
        return commands.authorise(ledger, deployment, model, emergency=emergency, **options)
    lifted_hold(ledger, deployment, model, options.get("reason"))  # else the gate would run for nothing
    gate = check_gate(ledger, model, parse_name(deployment).namespace or "", deployment=deployment)
    used = _used_up(ledger, gate, deployment)
    alone = sorted({"about", "also_sign", "expect", "personal"} & options.keys())
    if used and alone:
        raise InputError(f"{', '.join(alone)} cannot be given where {used[0][1]} is used with the decision")
    if not gate.outcome.allowed and commands.is_recorded(ledger, options.get("event_id")):
        # by another process, which used up the waiver
        return commands.authorise(ledger, deployment, model, **options)
    record_gate(ledger, gate)
    crashpoint("gate.recorded")
    if not gate.outcome.allowed:
        hint = f"muniment gate check {model} --deployment {deployment}"
        refused = PolicyError(refusal(gate), hint=hint, rule=gate_rule(gate.policy.name))
        ledger.record_refusal("deployment.authorised", deployment, {"model": model}, refused)
        raise refused
    if told is not None:
        told(gate)
    if not used:
        return commands.authorise(ledger, deployment, model, **options)
    body = commands.authorisation(ledger, deployment, model, reason=options.pop("reason", None))
    body |= {name: options.pop(name) for name in _INTENDED & options.keys()}
    return ledger.emit_all([*used, ("deployment.authorised", deployment, body)], **options)[-1]


def refusal(gate: Gate) -> str:
    """Why a gate refuses, in one line."""
    bad = [f"{item['check']}: {item['reason']}" for item in gate.outcome.checks if item["result"] in ("fail", "error")]
    return f"{gate.policy.name} refuses {gate.model} in {gate.environment}: {'; '.join(bad)}"
