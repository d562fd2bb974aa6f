"""The gate before an authorisation: the policy that the rules name was run, for this place, and allows it still."""

from __future__ import annotations

from types import MappingProxyType

from ledger.domain.deployed import PolicyState, WaiverState
from ledger.domain.grounds import Gate
from ledger.domain.lifecycle import Named, refuse_doubt
from ledger.domain.recorded import RecordedEvent
from ledger.domain.waiving import another, grant_trouble, used_up, waiver_of, waiver_trouble, waiver_until
from ledger.domain.world import World, deployment_of
from ledger.errors import PolicyError
from ledger.events.deployments import DeploymentAuthorised
from ledger.events.ledgers import Rule
from ledger.names import parse_name, stream_of

__all__ = ["FRESH", "check_gate", "gate_rule", "waived_trouble"]

#: An evaluation of a policy may be so old when something is authorised by it; microseconds.
FRESH = 3_600_000_000


def gate_rule(policy: str) -> str:
    """What a policy that the rules name is called where it refuses something."""
    return f"gate {policy}"


def check_gate(world: World, event: RecordedEvent, named: Named, rule: Rule) -> int:
    """The last evaluation of the policy that the rule names must allow, be fresh, and rest on waivers that stand.

    Args:
        world: the world before the authorisation.
        event: the authorisation.
        named: the version that it is for.
        rule: the rule that holds there, which names a policy.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError: with what is missing and the next step.
    """
    environment, policy = event.subject.namespace or "", rule.gate or ""
    _check_mode(world, policy)
    hint = f"Run it: muniment gate check {named.subject} --deployment {event.payload.subject}"
    gate = named.version.gates.get((policy, environment))
    if gate is None or gate.digest != named.version.digest:
        raise PolicyError(f"{environment} asks for {policy}, and nobody has run it over {named.subject}", hint=hint)
    if not gate.allowed:
        raise PolicyError(f"{policy} refuses {named.subject} in {environment} (entry {gate.signed.index})", hint=hint)
    if gate.deployment != event.payload.subject:  # what is live there, and promised, it looks at only where it is told
        where = gate.deployment or "no deployment in particular"
        raise PolicyError(
            f"{policy} was run over {named.subject} for {where}, and not for {event.payload.subject}", hint=hint
        )
    until = min(gate.signed.recorded_at, gate.as_of) + FRESH
    if event.recorded_at >= until:
        raise PolicyError(f"{policy} was run over {named.subject} more than an hour ago", hint=hint)
    place = deployment_of(world, event.stream)
    said = [*_said_of(named), -1 if place is None else place.went_live]
    newer = min((index for index in said if index >= gate.size), default=None)
    if newer is not None:
        what = "evaluations, validations, the contract, the tier or what is live there"
        more = f"{policy} was run before entry {newer} said more of {what}"
        raise PolicyError(more, hint=hint)
    refuse_doubt(world, gate.signed, f"the evaluation of {policy}")
    _check_policy(world, rule, gate)
    for waiver in gate.waivers:
        until = min(until, _check_waiver(world, event, waiver, named.subject))
    return until


def _said_of(named: Named) -> list[int]:
    """Entries that say what most checks are about: a gate that was run before one of them is run again."""
    version, model, name = named.version, named.model, named.name.version or ""
    found = [one.index for one in version.evaluations]
    found += model.validated_at(name, version.digest)
    found += [index for index, _ in version.undecided]
    found += [one.index for _, one in named.failed_elsewhere]
    found += [known[0] for known in (version.classified, model.classified) if known is not None]
    contract = model.contract_of(name)
    found += [] if contract is None else [contract.index]
    return [*found, *model.withdrawals_of(name, version.digest)]


def _check_mode(world: World, policy: str) -> None:
    """A gate that cannot refuse would be open."""
    state = world.state(stream_of(policy))
    mode = state.advisory.get(parse_name(policy).version or "") if isinstance(state, PolicyState) else None
    if mode is not None:
        raise PolicyError(
            f"the rules ask for {policy}, which is in the mode {mode} and refuses nothing",
            hint="Name a version in the mode enforce: muniment admin rules change",
        )


def _check_policy(world: World, rule: Rule, gate: Gate) -> None:
    """What was run is, to the byte, what the rules name, and is defined so in this ledger."""
    state, version = world.state(stream_of(gate.policy)), parse_name(gate.policy).version or ""
    known = state if isinstance(state, PolicyState) else PolicyState(MappingProxyType({}))
    if rule.gate_digest is None or {known.versions.get(version), gate.policy_digest} != {rule.gate_digest}:
        raise PolicyError(
            f"{gate.policy} is not defined in this ledger, or was not run, as the rules name it: {rule.gate_digest}",
            hint="See: muniment policy list, muniment admin rules show",
        )
    if version in known.retired:
        raise PolicyError(f"{gate.policy} was retired", hint="Run the version that is in force.")


def waived_trouble(world: World, event: RecordedEvent, state: WaiverState) -> str | None:
    """Why an authorisation cannot rest on a waiver, None when it can.

    Args:
        world: the world before the authorisation.
        event: the authorisation.
        state: the waiver; where uses are counted, one of them must have gone to this very decision.
    """
    place, body = deployment_of(world, event.stream), event.body
    about = body.model if isinstance(body, DeploymentAuthorised) else None
    trouble = grant_trouble(world, state, event.recorded_at, about)
    if trouble is not None or state.max_uses is None:
        return trouble
    mine = (signed.index for signed, *use in state.used if use == [event.stream, about])
    given = () if place is None else place.authorised.get(about or "", ())
    uses = "a single use" if state.max_uses == 1 else f"{state.max_uses} uses"
    trouble = used_up(world, state)
    if trouble is None and max(mine, default=-1) <= max(given, default=-1):  # the last use went to an authorisation
        return f"it is for {uses}, and one is to be used with this decision"
    return trouble


def _check_waiver(world: World, event: RecordedEvent, waiver: str, model: str) -> int:
    state, place = waiver_of(world, waiver), event.payload.subject
    again = f"Run it again: muniment gate check {model} --deployment {place}"
    if state is None:
        raise PolicyError(f"the gate rests on {waiver}, which was never asked for", hint=again)
    trouble = waived_trouble(world, event, state)
    if trouble is not None:
        usable = waiver_trouble(world, state, event.recorded_at, model) is None
        uses = f"It is used with the decision by: muniment authorise {place} --model {model}"
        hint = uses if usable else f"{again}; for another waiver: {another(state, model)}"
        raise PolicyError(f"the gate rests on {waiver}, which does not stand: {trouble}", hint=hint)
    return waiver_until(world, state, model)
