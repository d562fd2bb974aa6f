"""Gates: a policy of the log, run over what the log holds of a version; and run again later, to see that it agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.states import PolicyState
from ledger.errors import InputError, LedgerError, PolicyError, VerificationError
from ledger.names import parse_name
from ledger.policy import Outcome, engine_name, evaluate, input_digest, parse_policy, source_digest
from projections.gateinput import gate_input, standing_waivers
from projections.journal import JournalRow
from projections.known import Known

__all__ = ["Gate", "Stated", "check_again", "policy_for", "policy_named", "refused_in", "run_gate"]


@dataclass(frozen=True)
class Stated:
    """A policy: its name with version (a file's path when it is not in the log), and its source."""

    name: str
    source: str


@dataclass(frozen=True)
class Gate:
    """A policy that was run.

    Attributes:
        policy: which.
        model: version it was run over.
        environment: for which environment.
        document: what its expressions looked at.
        outcome: what was found.
    """

    policy: Stated
    model: str
    environment: str
    document: dict[str, Any]
    outcome: Outcome

    def body(self) -> dict[str, Any]:
        """Body of the event `gate.evaluated`."""
        return {
            "environment": self.environment,
            "policy": self.policy.name,
            "policy_digest": source_digest(self.policy.source),
            "digest": self.document["version"]["digest"],
            "input_digest": input_digest(self.document),
            "size": self.document["size"],
            "result": "allow" if self.outcome.allowed else "deny",
            "checks": list(self.outcome.checks),
            "engine": engine_name(),
        }


def policy_named(known: Known, name: str) -> Stated:
    """A policy of the log.

    Args:
        known: the ledger, as it was known at a size.
        name: ``policy:<name>@<version>``; without a version the last defined one that was not retired.

    Raises:
        PolicyError: there is none.
    """
    parsed = parse_name(name)
    if parsed.kind != "policy":
        raise InputError(f"{name!r} names no policy: write policy:<name>[@<version>]")
    stream = name.partition("@")[0]
    state = known.world.state(stream)
    versions = [v for v in state.versions if v not in state.retired] if isinstance(state, PolicyState) else []
    if parsed.version is not None:
        versions = [version for version in versions if version == parsed.version]
    if not versions:
        raise PolicyError(f"{name} is not defined in this ledger, or was retired", hint="muniment policy define …")
    subject = f"{stream}@{versions[-1]}"
    return _defined(known, subject)


def _defined(known: Known, subject: str) -> Stated:
    """A policy that was defined, whether or not it was retired since."""
    rows = known.rows(("subject", "=", subject), ("type", "=", "policy.defined"))
    if not rows:
        raise PolicyError(f"{subject} was not defined before entry {known.size}")
    return Stated(subject, str(rows[-1]["data"]["source"]))


def policy_for(known: Known, model: str, environment: str) -> Stated:
    """The policy that the rules in force name for a version in an environment.

    Raises:
        PolicyError: they name none, or it is not defined.
    """
    named = version_of(known.world, model)
    rule = rule_for(known.world, environment, named.tier)
    if rule.gate is None:
        raise PolicyError(
            f"the rules name no policy for {environment} at tier {named.tier}",
            hint="Say which: --policy policy:NAME, or --file FILE; see muniment policy list.",
        )
    return policy_named(known, rule.gate)


def run_gate(known: Known, policy: Stated, model: str, environment: str) -> Gate:
    """Run a policy over a version as it was known at a size.

    Raises:
        InputError: the policy is malformed.
        PolicyError: the version is not registered.
    """
    document = gate_input(known, model, environment)
    waivers = standing_waivers(known, model, environment)
    return Gate(policy, model, environment, document, evaluate(parse_policy(policy.source), document, waivers))


def check_again(known: Known, row: JournalRow) -> Gate:
    """Run again what a `gate.evaluated` says was run.

    Args:
        known: the ledger, as it is known now.
        row: the entry, as the journal has it.

    Returns:
        What was found this time, which agrees.

    Raises:
        VerificationError: it does not: another policy, input, result of a check, or verdict.
    """
    data, index = row["data"], row["index"]

    def disagree(words: str) -> VerificationError:
        return VerificationError(words, fault="legality", index=index, hint="See what it recorded: muniment show …")

    if not 0 < data["size"] <= index:
        raise disagree(f"it says that it looked at {data['size']} entries, and stands at {index}")
    policy = _defined(known.at(index), data["policy"])
    if source_digest(policy.source) != data["policy_digest"]:
        raise disagree(f"{data['policy']} had another source than what was run")
    gate = run_gate(known.at(data["size"]), policy, row["subject"], data["environment"])
    found = gate.body()
    for name in ("input_digest", "checks", "result"):
        if found[name] != data[name]:
            raise disagree(f"run again over the same {data['size']} entries, {name} is another one")
    return gate


def refused_in(
    known: Known, policy: Stated, period: tuple[int, int], environment: str | None
) -> Iterator[tuple[JournalRow, Gate | None, str]]:
    """What a policy would have said of the authorisations of a period.

    Args:
        known: the ledger, as it is known now.
        policy: the policy.
        period: from when, until when authorisations were recorded, in microseconds.
        environment: only this one; all when None.

    Yields:
        Each authorisation, the gate as it would have been then, and why it could not be run; empty when it was.
    """
    since, until = period
    for row in known.of_types("deployment.authorised"):
        place = parse_name(row["stream"]).namespace or ""
        if not since <= row["recorded_at"] < until or environment not in (None, place):
            continue
        try:
            yield row, run_gate(known.at(row["index"]), policy, row["data"]["model"], place), ""
        except LedgerError as error:
            yield row, None, error.message
