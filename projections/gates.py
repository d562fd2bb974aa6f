"""Gates: a policy of the log, run over what the log holds of a version; and run again later, to see that it agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from ledger.domain.deployed import PolicyState
from ledger.domain.lifecycle import rule_for, rules_of, version_of
from ledger.domain.states import TIER_RANK
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError, VerificationError
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from ledger.policy import Outcome, engine_name, evaluate, input_digest, parse_policy, source_digest
from projections.gateinput import gate_input, standing_waivers
from projections.journal import JournalRow
from projections.known import Known
from projections.waivers import used_terms
from projections.words import waived_in

__all__ = [
    "Gate",
    "Stated",
    "check_again",
    "policies",
    "policy_for",
    "policy_named",
    "policy_ruled",
    "policy_ruling",
    "recheck_all",
    "replayed",
    "run_gate",
]

#: By how much the clock of whoever runs a gate may be ahead of the store's, in microseconds.
_SKEW = 120_000_000


@dataclass(frozen=True)
class Stated:
    """A policy: its name with version (a file's path when it is not in the log), its source, and its mode."""

    name: str
    source: str
    mode: str = "enforce"
    scope: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether a check that fails refuses anything."""
        return self.mode == "enforce"


@dataclass(frozen=True)
class Gate:
    """A policy that was run.

    Attributes:
        policy: which.
        size: log size that was looked at.
        as_of: time for which ages and ends were told, microseconds since the Unix epoch.
        model: version it was run over.
        environment: for which environment.
        deployment: where it is to be deployed; empty when that was not said.
        document: what its expressions looked at.
        outcome: what was found.
        waived: the waivers by which it lets checks be, with their terms; see `projections.waivers`.
    """

    policy: Stated
    size: int
    as_of: int
    model: str
    environment: str
    deployment: str
    document: dict[str, Any]
    outcome: Outcome
    waived: tuple[dict[str, Any], ...] = ()

    @property
    def verdict(self) -> str:
        """``allow`` or ``deny``."""
        return "allow" if self.outcome.allowed else "deny"

    def body(self) -> dict[str, Any]:
        """Body of the event `gate.evaluated`."""
        return {
            "environment": self.environment,
            "deployment": self.deployment or None,
            "policy": self.policy.name,
            "policy_digest": source_digest(self.policy.source),
            "digest": self.document["version"]["digest"],
            "input_digest": input_digest(self.document),
            "size": self.size,
            "as_of": self.document["as_of"],
            "result": self.verdict,
            "mode": self.policy.mode,
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
        raise PolicyError(
            f"{name} is not defined in this ledger, or was retired",
            hint="See: muniment policy list. Define it: muniment policy define policy:NAME@VERSION FILE",
        )
    subject = f"{stream}@{versions[-1]}"
    return _defined(known, subject)


def _defined(known: Known, subject: str) -> Stated:
    """A policy that was defined, whether or not it was retired since."""
    rows = known.rows(("subject", "=", subject), ("type", "=", "policy.defined"))
    if not rows:
        raise PolicyError(f"{subject} was not defined before entry {known.size}")
    data = rows[-1]["data"]
    return Stated(subject, str(data["source"]), data.get("mode") or "enforce", tuple(data.get("scope") or ()))


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
    return policy_ruled(known, rule.gate, rule.gate_digest)


def policy_ruled(known: Known, name: str, digest: str | None) -> Stated:
    """The policy that a rule names, to the byte.

    Raises:
        PolicyError: it is not defined, with another source, or refuses nothing.
    """
    found = policy_named(known, name)
    if source_digest(found.source) != digest:
        raise PolicyError(f"the rules name {name} as {digest}, and it is defined with another source")
    if not found.refuses:
        raise PolicyError(
            f"the rules ask for {name}, which is in the mode {found.mode} and refuses nothing",
            hint="Name a version in the mode enforce: muniment admin rules change",
        )
    return found


def policy_ruling(known: Known, environment: str | None) -> Stated:
    """The policy that the rules in force name for an environment, whatever the tier; for all that were deployed to.

    Args:
        known: the ledger, as it was known at a size.
        environment: for example ``prod``; None for every one for which something was authorised.

    Raises:
        PolicyError: they name none, or several, or it is not defined.
    """
    deployed = (parse_name(row["stream"]).namespace or "" for row in known.of_types("deployment.authorised"))
    places = dict.fromkeys(deployed) if environment is None else {environment: None}
    named: dict[str, str | None] = {}
    for place, tier in product(places, TIER_RANK):
        try:
            rule = rule_for(known.world, place, tier)
        except PolicyError:
            continue  # what is not ruled names no policy
        if rule.gate is not None:
            named[rule.gate] = rule.gate_digest
    where = "what was deployed" if environment is None else environment
    if not named:
        raise PolicyError(
            f"the rules name no policy for {where}",
            hint="Say which: --policy policy:NAME, or --file FILE; see muniment policy list.",
        )
    if len(named) > 1:
        raise PolicyError(
            f"the rules name {len(named)} policies for {where}: {', '.join(named)}",
            hint=f"Say which: --policy {next(iter(named))}{', or --env' if environment is None else ''}",
        )
    ((name, digest),) = named.items()
    return policy_ruled(known, name, digest)


def run_gate(known: Known, policy: Stated, model: str, environment: str, *, as_of: int, deployment: str = "") -> Gate:
    """Run a policy over a version as it was known at a size.

    Args:
        known: the ledger, as it was known at a size.
        policy: which.
        model: ``model:<name>@<version>``.
        environment: for example ``prod``.
        as_of: time for which ages and ends are told, microseconds since the Unix epoch.
        deployment: where it is to be deployed; empty when that is not known.

    Raises:
        InputError: the policy is malformed.
        PolicyError: the version is not registered.
    """
    parsed = parse_policy(policy.source)
    document = gate_input(known, model, environment, as_of, deployment, form=parsed.schema_)
    waivers = standing_waivers(known, model, environment, as_of)
    outcome = evaluate(parsed, document, waivers)
    waived = used_terms(known, outcome.checks)
    return Gate(policy, known.size, as_of, model, environment, deployment, document, outcome, waived)


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
    as_of = parse_moment(data["as_of"])
    if not known.at(data["size"]).recorded_at <= as_of <= row["recorded_at"] + _SKEW:
        raise disagree(f"it says that it was run at {data['as_of']}, which is not between what it looked at and itself")
    policy = _defined(known.at(index), data["policy"])
    if source_digest(policy.source) != data["policy_digest"]:
        raise disagree(f"{data['policy']} had another source than what was run")
    if policy.mode != (data.get("mode") or "enforce"):
        raise disagree(f"{data['policy']} is in the mode {policy.mode}, and it says {data.get('mode') or 'enforce'}")
    gate = run_gate(
        known.at(data["size"]),
        policy,
        row["subject"],
        data["environment"],
        as_of=as_of,
        deployment=data.get("deployment") or "",
    )
    found = gate.body()
    for name in ("digest", "input_digest", "checks", "result"):
        if found[name] != data[name]:
            raise disagree(f"run again over the same {data['size']} entries, {name} is another one")
    return gate


def recheck_all(
    known: Known,
    *,
    index: int | None = None,
    model: str | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Run recorded evaluations again.

    Args:
        known: the ledger, as it is known now.
        index: only the one at this index.
        model: only those of this version.
        advance: told how many are done, of how many.

    Returns:
        Each with its ``trouble``: why it does not agree, empty when it does.
    """
    rows = known.rows(("stream", "=", stream_of(model))) if model else known.of_types("gate.evaluated")
    rows = [
        row for row in rows
        if row["type"] == "gate.evaluated" and index in (None, row["index"]) and model in (None, row["subject"])
    ]  # fmt: skip
    found = []
    for done, row in enumerate(rows):
        try:
            check_again(known, row)
            trouble = ""
        except (VerificationError, PolicyError, InputError) as error:
            trouble = error.message
        found.append({
            "index": row["index"], "id": row["id"], "subject": row["subject"],
            "environment": row["data"]["environment"], "policy": row["data"]["policy"],
            "result": row["data"]["result"], "by": row["actor"], "trouble": trouble,
            "waived": waived_in(row["data"].get("checks", ())),
        })  # fmt: skip
        if advance is not None:
            advance(done + 1, len(rows))
    return found


def replayed(known: Known, policy: Stated, period: tuple[int, int], environment: str | None) -> list[dict[str, Any]]:
    """What a policy would have said of the authorisations of a period.

    Args:
        known: the ledger, as it is known now.
        policy: the policy.
        period: from when, until when authorisations were recorded, in microseconds since the Unix epoch.
        environment: only this one; all when None.

    Returns:
        Each authorisation with the result as it would have been then, the checks that refuse it, those that are waived,
        and why it could not be run, empty when it was; ``emergency`` where no policy was to be asked.
    """
    parse_policy(policy.source)  # one that is malformed refuses nothing
    found = []
    for row in known.of_types("deployment.authorised"):
        place, model = parse_name(row["stream"]).namespace or "", row["data"]["model"]
        if not period[0] <= row["recorded_at"] < period[1] or environment not in (None, place):
            continue
        item = {
            "index": row["index"], "deployment": row["stream"], "model": model,
            "recorded_at": format_time(row["recorded_at"]), "result": "error", "refused_by": [], "trouble": "",
            "waived": [], "emergency": bool(row["data"].get("emergency")),
        }  # fmt: skip
        try:
            gate = run_gate(
                known.at(row["index"]), policy, model, place, as_of=row["recorded_at"], deployment=row["stream"]
            )
            item["result"] = gate.verdict
            item["refused_by"] = [one["check"] for one in gate.outcome.checks if one["result"] in ("fail", "error")]
            item["waived"] = waived_in(gate.outcome.checks)
        except PolicyError as error:
            item["trouble"] = error.message
        found.append(item)
    return found


def _read(source: str) -> tuple[str | None, int | None]:
    """Title and number of checks; None for a source that was signed without being read."""
    try:
        parsed = parse_policy(source)
    except InputError:
        return None, None
    return parsed.title, len(parsed.checks)


def policies(known: Known) -> list[dict[str, Any]]:
    """Every version of every policy, with the rules that ask for it, as ``environment/tier``."""
    rules = rules_of(known.world)
    found: list[dict[str, Any]] = []
    for row in known.of_types("policy.defined"):
        stream, version = row["stream"], parse_name(row["subject"]).version
        defined = known.world.state(stream)
        if not isinstance(defined, PolicyState) or any(item["policy"] == row["subject"] for item in found):
            continue
        title, checks = _read(str(row["data"]["source"]))
        found.append({
            "policy": row["subject"], "title": title, "checks": checks,
            "mode": row["data"].get("mode") or "enforce", "scope": row["data"].get("scope") or [],
            "digest": row["data"]["digest"], "retired": version in defined.retired, "index": row["index"],
            "asked_by": [f"{rule.environment}/{rule.tier}" for rule in rules if rule.gate == row["subject"]],
        })  # fmt: skip
    return found
