"""What was let be, and is never hidden: emergencies with their reviews, waivers, and what gates found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, TypeVar

from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.waiving import taken
from ledger.entry import format_time
from ledger.errors import ConfigurationError, InputError, LedgerError, PolicyError, VerificationError
from ledger.events.ledgers import Rule
from ledger.payload import parse_moment
from ledger.waivable import Waivable
from projections.asof import recorded_by
from projections.gates import check_again
from projections.journal import JournalRow
from projections.known import Known
from projections.reports.population import BAD, GOOD, UNKNOWN, Item, ReportContext, environment_of
from projections.waivers import USELESS, terms_of

__all__ = ["emergencies", "emergencies_reviewed", "gated", "rule_before", "waivers"]

_K = TypeVar("_K", bound=Hashable)
_ENDS: Final = {"waiver.denied": "denied", "waiver.revoked": "revoked"}


def rule_before(context: ReportContext, row: JournalRow, model: str, environment: str) -> Rule | None:
    """Rule in force for a version just before an entry; None when it was not registered, or no rule covers it."""
    world = context.world(row["index"])
    try:
        named = version_of(world, model)
        return rule_for(world, environment, named.tier)
    except LedgerError:
        return None


def _urgent(context: ReportContext) -> Iterator[tuple[JournalRow, JournalRow | None]]:
    """Decisions that were taken in an emergency, each with its review."""
    reviews = {row["data"]["decision"]: row for row in reversed(context.events("emergency.reviewed"))}
    for row in context.events("deployment.authorised"):
        if row["data"].get("emergency") and context.environment in (None, environment_of(row)):
            yield row, reviews.get(row["id"])


def emergencies_reviewed(context: ReportContext) -> Iterator[Item]:
    """Every emergency, until another person found it justified in time."""
    inside = {row["index"] for row in context.in_period(context.events("deployment.authorised"))}
    for row, review in _urgent(context):
        by = row["data"]["emergency"]["review_by"]
        what = f"{row['data']['model']} for {row['stream']} in an emergency"
        if review is None:  # open ones are in every report, of whatever period
            yield Item(row, BAD, f"{what}: nobody has reviewed it, due by {by}", (row,))
        elif row["index"] not in inside:
            continue
        elif review["recorded_at"] >= parse_moment(by):
            yield Item(row, BAD, f"{what}: reviewed after {by}", (row, review))
        elif review["data"]["verdict"] != "justified":
            yield Item(row, BAD, f"{what}: found unjustified", (row, review))
        else:
            yield Item(row, GOOD, f"{what}: reviewed, and found justified", (row, review))


def emergencies(context: ReportContext) -> list[dict[str, Any]]:
    """Every emergency that is open, and those of the period."""
    return [
        {
            "index": item.row["index"], "deployment": item.row["stream"], "model": item.row["data"]["model"],
            "by": item.row["actor"], "reason": item.row["data"]["emergency"]["reason"],
            "review_by": item.row["data"]["emergency"]["review_by"],
            "review": None if len(item.evidence) == 1 else {
                "index": item.evidence[1]["index"], "by": item.evidence[1]["actor"],
                "verdict": item.evidence[1]["data"]["verdict"],
            },
        }
        for item in emergencies_reviewed(context)
    ]  # fmt: skip


def gated(context: ReportContext) -> Iterator[Item]:
    """Authorisations where the rules name a policy, with what it found last before them."""
    meant = [row for row in context.events("gate.evaluated") if row["data"].get("mode") in (None, "enforce")]
    runs = _grouped(meant, _gate_of)
    for row in context.in_period(context.events("deployment.authorised")):
        environment, model = environment_of(row), row["data"]["model"]
        if row["data"].get("emergency") or context.environment not in (None, environment):
            continue
        rule = rule_before(context, row, model, environment)
        if rule is None:
            yield Item(row, UNKNOWN, f"no rule or no registration for {model} was in the log at the time", (row,))
        elif rule.gate is not None:
            yield _gate(context, row, rule, runs.get((model, rule.gate, environment), []))


def _gate_of(row: JournalRow) -> tuple[str, str, str]:
    return row["subject"], row["data"]["policy"], row["data"]["environment"]


def _grouped(rows: Iterable[JournalRow], key: Callable[[JournalRow], _K]) -> dict[_K, list[JournalRow]]:
    found: dict[_K, list[JournalRow]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _gate(context: ReportContext, row: JournalRow, rule: Rule, runs: list[JournalRow]) -> Item:
    """Args: ``runs`` are those of the policy over the version for the environment, oldest first."""
    model, policy = row["data"]["model"], rule.gate
    before = bisect_left(runs, row["index"], key=lambda gate: gate["index"])
    if not before:
        return Item(row, BAD, f"{policy} was not run over {model} before it", (row,))
    last = runs[before - 1]
    if last["data"]["policy_digest"] != rule.gate_digest:
        return Item(row, BAD, f"what was run as {policy} before it is not what the rules name", (row, last))
    if last["data"]["result"] != "allow" or last["data"]["digest"] != row["data"]["digest"]:
        return Item(row, BAD, f"{policy} refused {model} before it", (row, last))
    trouble = _run_again(context, last)
    if trouble is not None:
        state, words = trouble
        return Item(row, state, f"{policy} is said to have allowed {model} before it, but {words}", (row, last))
    waived = sorted({f"{one['check']} by {one['waiver']}" for one in last["data"]["checks"] if one.get("waiver")})
    words = f", waived: {'; '.join(waived)}" if waived else ""
    return Item(row, GOOD, f"{last['data']['policy']} allowed {model} before it{words}", (row, last))


def _run_again(context: ReportContext, gate: JournalRow) -> tuple[str, str] | None:
    """Why what was recorded of a gate cannot be relied on, None when it is found again: nobody's word is taken."""
    try:
        check_again(Known(context.ledger, context.views, context.as_of.size), gate)
    except VerificationError as error:
        if any(context.withheld()):  # it may have looked at what was erased since
            return UNKNOWN, f"it cannot be run again over what it looked at, some of which is withheld: {error.message}"
        return BAD, error.message
    except PolicyError as error:
        return BAD, error.message
    except (InputError, ConfigurationError) as error:
        return UNKNOWN, f"it was not run again: {error.message}"
    return None


def waivers(context: ReportContext) -> list[dict[str, Any]]:
    """Every waiver that was granted, as it stands at the time the report is about; the oldest first."""
    now = context.as_of.recorded_at if context.as_of.at is None else context.as_of.at
    waivable = Waivable(context.ledger, recorded_by(context.views, context.as_of, now))
    asked = {row["stream"]: row for row in reversed(context.events("waiver.requested"))}
    ended = {row["stream"]: _ENDS[row["type"]] for row in context.events(*_ENDS)}
    authorised = _grouped(
        (row for row in context.events("deployment.authorised") if not row["data"].get("emergency")),
        lambda row: (row["stream"], row["data"]["model"]),
    )
    uses_of = _grouped(context.events("waiver.used"), lambda row: row["stream"])

    def given(deployment: str, model: str) -> list[int]:
        return [row["index"] for row in authorised.get((deployment, model), ())]

    found = []
    for row in context.events("waiver.granted"):
        name, request = row["stream"], asked.get(row["stream"])
        if request is None or context.environment not in (None, request["data"]["environment"]):
            continue
        data = request["data"]
        ends = [parse_moment(text) for text in (data["expires_at"], row["data"].get("expires_at")) if text]
        said = [(use["index"], use["data"]) for use in uses_of.get(name, ())]
        used = taken(((index, told["deployment"], told["model"]) for index, told in said), given)
        state = ended.get(name) or ("expired" if now >= min(ends) else "standing")
        uses = 1 if data.get("single_use") else data.get("max_uses")
        if state == "standing" and uses is not None and len(used) >= uses:
            state = "used up"
        if state == "standing" and (context.doubt(request) or context.doubt(row)):
            state = "suspect"
        trouble = None
        if state == "standing":
            trouble = waivable.trouble(data["check"], data["model"], data["environment"])
            state = state if trouble is None else USELESS
        found.append({
            "waiver": name, "state": state, "check": data["check"], "model": data["model"],
            "environment": data["environment"], **terms_of(request), "granted_by": row["actor"],
            "expires_at": format_time(min(ends)), "max_uses": uses, "used_by": list(used),
            "index": row["index"], "trouble": trouble or "",
        })  # fmt: skip
    return found
