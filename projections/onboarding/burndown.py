"""What is still missing of models that were taken in: each check is satisfied, waived, asked for or missing.

Where a check would let a version pass of which nothing at all was recorded, nothing is against it; nobody has shown
anything by that, so it is not called satisfied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ledger.domain.deployed import DeploymentState, WaiverState
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.scopes import matches
from ledger.domain.waiving import covers, waiver_of, waiver_trouble, waiver_until
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.names import parse_name, stream_of
from ledger.policy import STARTERS, Check, Policy, evaluate, parse_policy, starter
from ledger.policy.examples import bare
from ledger.policy.fields import in_form
from projections.gateinput import gate_input, waived_by
from projections.gates import Stated, policy_ruled
from projections.known import Known

__all__ = ["CORRELATION", "Checks", "burndown", "checks_for", "items_of", "open_waivers"]

#: How the correlation of what was taken in begins; a digest of the sheet follows.
CORRELATION: Final = "inventory:"
#: Of a check that a version of which nothing was recorded passes as well.
_NOTHING: Final = "nothing against it"
_STATES: Final = ("satisfied", _NOTHING, "waived", "asked for", "missing")
_APPROVAL: Final = Check.model_validate({
    "id": "approval", "title": "Approvals that stand let it be there",
    "pass": "input.approvals.exists(a, a.environment == input.environment && a.stands)",
    "reason": "Ask for approval of it, or replace it by a version that was approved.",
})  # fmt: skip


@dataclass(frozen=True)
class Checks:
    """What is asked of a version: a policy's name for people, and its checks."""

    name: str
    policy: Policy


@cache
def _shipped() -> Policy:
    """Both checklists, each check once."""
    return parse_policy(starter(*STARTERS))


def checks_for(known: Known, model: str, environment: str, stated: Stated | None) -> Checks:
    """What is asked of a version in an environment.

    Args:
        known: the ledger.
        model: ``model:<name>@<version>``.
        environment: for example ``prod``.
        stated: a policy; the one that the rules name when None, and where they name none the shipped checklists.

    Returns:
        Its checks, and that approvals stand where the rules ask for some.
    """
    try:
        rule = rule_for(known.world, environment, version_of(known.world, model).tier)
    except PolicyError:
        rule = None
    if stated is None and rule is not None and rule.gate is not None:
        stated = policy_ruled(known, rule.gate, rule.gate_digest)
    name, policy = ("shipped checklists", _shipped()) if stated is None else (stated.name, parse_policy(stated.source))
    if rule is not None and rule.approvals and all(check.id != _APPROVAL.id for check in policy.checks):
        policy = policy.model_copy(update={"checks": (_APPROVAL, *policy.checks)})
    return Checks(name, policy)


def open_waivers(known: Known, as_of: int) -> list[tuple[str, WaiverState]]:
    """All waivers that were not ended and have not expired, with their names, in log order.

    Args:
        known: the ledger.
        as_of: time for which ends are told, microseconds since the Unix epoch.
    """
    found = []
    for row in known.of_types("waiver.requested"):
        state = waiver_of(known.world, row["stream"])
        if state is not None and state.ended is None and as_of < state.until:
            found.append((row["stream"], state))
    return found


def items_of(
    known: Known, place: tuple[str, str], as_of: int, checks: Checks, waivers: Sequence[tuple[str, WaiverState]]
) -> list[dict[str, Any]]:
    """Each check that applies to a version where it is live.

    Args:
        known: the ledger.
        place: ``model:<name>@<version>``, and where it is live.
        as_of: time for which ages and ends are told, microseconds since the Unix epoch.
        checks: what is asked.
        waivers: see `open_waivers`.

    Returns:
        Check, state (satisfied, nothing against it, waived, asked for, missing), what to do, waiver with its end, and
        whether the check can be waived.
    """
    (model, deployment), environment = place, parse_name(place[1]).namespace or ""
    mine = {name: state for name, state in waivers if covers(state, state.check, model, environment)}
    standing = [
        waived_by(known, name, state)
        for name, state in mine.items()
        if waiver_trouble(known.world, state, as_of, model) is None
    ]
    ends = {name: waiver_until(known.world, state, model) for name, state in mine.items()}
    document = gate_input(known, model, environment, as_of, deployment, form=checks.policy.schema_)
    outcome = evaluate(checks.policy, document, standing)
    empty = {item["check"] for item in evaluate(checks.policy, _emptied(document, checks), ()).checks
             if item["result"] == "pass"}  # fmt: skip
    found = []
    for check, item in zip(checks.policy.checks, outcome.checks, strict=True):
        if item["result"] == "not-applicable":
            continue
        state, waiver = {"pass": "satisfied", "waived": "waived"}.get(item["result"], "missing"), item.get("waiver")
        if item["result"] == "fail" and check.waivable:
            asked = [name for name, one in mine.items() if one.granted is None and matches(one.check, check.id)]
            state, waiver = ("asked for", asked[0]) if asked else (state, None)
        if state == "satisfied" and check.id in empty:
            state = _NOTHING
        found.append({
            "check": check.id, "state": state, "reason": item["reason"] if item["result"] == "error" else check.reason,
            "waiver": waiver, "until": None if waiver is None else format_time(ends[waiver]),
            "waivable": check.waivable and item["result"] != "error",
        })  # fmt: skip
    return found


def _emptied(document: dict[str, Any], checks: Checks) -> dict[str, Any]:
    """The document of the same version, were nothing recorded of it but that it is registered."""
    kept = {name: document[name] for name in ("as_of", "size", "environment", "deployment")}
    version = {**document["version"], "run": ""}
    return in_form(bare(document["tier"]) | kept | {"version": version}, checks.policy.schema_)


def _counted(items: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {name.replace(" ", "_"): sum(item["state"] == name for item in items) for name in _STATES}
    return {**counts, "next_end": min((item["until"] for item in items if item["state"] == "waived"), default=None)}


def burndown(known: Known, as_of: int, stated: Stated | None = None) -> list[dict[str, Any]]:
    """What is missing of each model that was taken in, as far as it is live where it was.

    Args:
        known: the ledger, as it was known then.
        as_of: time for which ages and ends are told, microseconds since the Unix epoch.
        stated: a policy, see `checks_for`.

    Returns:
        One item a deployment, in order of the model: what is live there now, counts, and the checks. Where another
        model took over, and of versions that were not live, nothing is missing.
    """
    taken = [
        row for row in known.of_types("deployment.completed", "version.registered")
        if row["correlation"].startswith(CORRELATION) and row["strength"] in ("imported", "backfilled")
    ]  # fmt: skip
    places = {row["stream"]: row for row in taken if row["type"] == "deployment.completed"}
    live = {row["data"]["model"] for row in places.values()}
    waivers = open_waivers(known, as_of)
    found = [_place(known, (place, row["data"]["model"]), as_of, stated, waivers) for place, row in places.items()]
    found += [
        _nothing(row["subject"], None, "not live")
        for row in taken if row["type"] == "version.registered" and row["subject"] not in live
    ]  # fmt: skip
    return sorted(found, key=lambda item: (item["model"], item["deployment"] or ""))


def _nothing(model: str, deployment: str | None, standing: str) -> dict[str, Any]:
    return {"model": model, "deployment": deployment, "standing": standing, "policy": None, **_counted([]), "items": []}


def _place(
    known: Known, place: tuple[str, str], as_of: int, stated: Stated | None, waivers: Sequence[tuple[str, WaiverState]]
) -> dict[str, Any]:
    deployment, taken = place
    state = known.world.state(deployment)
    live = state.live[0] if isinstance(state, DeploymentState) and state.live is not None else None
    if live is None or stream_of(live) != stream_of(taken):
        return _nothing(taken, deployment, "no longer live")
    checks = checks_for(known, live, parse_name(deployment).namespace or "", stated)
    items = items_of(known, (live, deployment), as_of, checks, waivers)
    standing = "live" if live == taken else "replaced by another version"
    return {
        "model": live, "deployment": deployment, "standing": standing, "policy": checks.name, **_counted(items),
        "items": items,
    }  # fmt: skip
