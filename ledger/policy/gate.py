"""Running a policy over an input document: pass, fail, waived, error or not applicable, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ledger.domain.scopes import matches
from ledger.policy.apart import run_apart
from ledger.policy.checks import Check, Policy
from ledger.policy.engine import EvaluationError, run_expression, takes_little
from ledger.policy.examples import bare, fine
from ledger.policy.fields import in_form
from ledger.policy.members import unknown_name
from ledger.strictjson import format_json

__all__ = ["Outcome", "Waived", "evaluate", "input_digest", "troubles", "unknown_names"]

_TIERS: Final = ("low", "medium", "high")


class Waived(NamedTuple):
    """A waiver that stands: name, the pattern of check ids that it is for, and in words which use this would be."""

    name: str
    pattern: str
    use: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a policy.

    Attributes:
        allowed: whether every check passed, was waived or does not apply.
        checks: for each check its id, result, reason, and the waiver that lets it be.
    """

    allowed: bool
    checks: tuple[dict[str, str], ...]


def input_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document in its RFC 8785 form, as ``sha256:`` and hex."""
    return "sha256:" + sha256(format_json(document)).hexdigest()


def evaluate(policy: Policy, document: dict[str, Any], waivers: Sequence[Waived]) -> Outcome:
    """Run a policy.

    Args:
        policy: the policy.
        document: the input; ``document["tier"]`` says which checks are for it.
        waivers: those that stand for this version and environment.

    Returns:
        What was found; whatever cannot be evaluated denies.
    """
    found, longest = (_run(check, document, waivers, policy.schema_) for check in policy.checks), _longest(document)
    asked = [text for check in policy.checks for text in (check.when, check.passes) if text is not None]
    here = all(takes_little(text, longest) for text in asked)
    checks, trouble = (list(found), "") if here else run_apart(lambda: found)
    left = [check.id for check in policy.checks[len(checks) :]]
    for check in left:
        reason = f"it cannot be evaluated: {trouble}" if check == left[0] else f"{left[0]} was not evaluated to its end"
        checks.append({"check": check, "result": "error", "reason": reason})
    return Outcome(all(item["result"] in ("pass", "waived", "not-applicable") for item in checks), tuple(checks))


def _longest(value: Any) -> int:
    """How many items the longest list or map in a document has."""
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return max(len(value), *map(_longest, inner), 0)


def _run(check: Check, document: dict[str, Any], waivers: Sequence[Waived], form: str) -> dict[str, str]:
    def found(result: str, reason: str) -> dict[str, str]:
        return {"check": check.id, "result": result, "reason": reason}

    if check.tiers and document["tier"] not in check.tiers:
        return found("not-applicable", f"it is for tier {' or '.join(check.tiers)}")
    unknown = _unknown(check, form)
    if unknown:  # whether or not CEL would pass over it
        return found("error", f"it cannot be evaluated: {unknown}")
    try:
        if check.when is not None and not run_expression(check.when, document):
            return found("not-applicable", check.otherwise or f"{check.when} does not hold")
        if run_expression(check.passes, document):
            return found("pass", check.title)
    except EvaluationError as error:
        return found("error", f"it cannot be evaluated: {error}"[:8000])  # what nobody knows cannot be waived
    waiver = _waiver(check, waivers)
    if waiver is None:
        return found("fail", check.reason)
    return {**found("waived", f"{check.reason} Waived by {waiver.name}{waiver.use}."), "waiver": waiver.name}


def _unknown(check: Check, form: str) -> str:
    asked = (text for text in (check.when, check.passes) if text is not None)
    return next(filter(None, (unknown_name(text, form) for text in asked)), "")


def _waiver(check: Check, waivers: Sequence[Waived]) -> Waived | None:
    return next((one for one in waivers if check.waivable and matches(one.pattern, check.id)), None)


def unknown_names(policy: Policy) -> dict[str, str]:
    """Checks with a name that stands for nothing, each with the first one, in words: they deny everywhere."""
    found = {check.id: _unknown(check, policy.schema_) for check in policy.checks}
    return {name: words for name, words in found.items() if words}


def troubles(policy: Policy) -> dict[str, str]:
    """Checks that can be evaluated over no example, each with why: over what gates see they would hardly do better.

    Args:
        policy: the policy; a check is asked where its tiers and ``when`` let it apply.
    """
    found: dict[str, list[dict[str, str]]] = {check.id: [] for check in policy.checks}
    for document in [made for tier in _TIERS for made in (fine() | {"tier": tier}, bare(tier))]:
        for item in evaluate(policy, in_form(document, policy.schema_), ()).checks:
            if item["result"] != "not-applicable":
                found[item["check"]].append(item)
    failed = {
        check: items for check, items in found.items() if items and all(one["result"] == "error" for one in items)
    }
    return {check: items[0]["reason"] for check, items in failed.items()}
