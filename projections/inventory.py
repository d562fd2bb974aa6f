"""All models: who answers for each, its tier, approvals, where it is live, and what is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain.grounds import Word, last_word
from ledger.domain.scopes import covers_stream
from ledger.domain.states import TIER_RANK
from ledger.domain.waiving import uses_of, waiver_of, waiver_trouble, waiver_until
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.payload import parse_moment
from ledger.waivable import Waivable
from projections.asof import AsOf, recorded_by
from projections.base import ViewReader
from projections.findings import independent_of, settled
from projections.journal import JournalRow, journal_rows
from projections.model_state import periods, state_as_of
from projections.suspension import suspend
from projections.waivers import USELESS, terms_of

__all__ = ["inventory"]

_SAID: Final = (
    "model.registered", "model.described", "model.owner_changed", "model.on_call_assigned", "thirdparty.registered",
    "modelcard.published", "modelcard.revised", "validation.completed", "validation.withdrawn", "finding.disposed",
)  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """Both clocks for facts; for decisions what was recorded by the moment that is asked about."""

    ledger: Ledger
    views: ViewReader
    as_of: AsOf
    decided: int
    at: int

    @property
    def world(self) -> World:
        return self.ledger.world.at(self.decided)

    def rows(self, *kinds: str, decisions: bool = False) -> list[JournalRow]:
        where = [("type", "IN", kinds), ("verdict", "=", "valid"), ("occurred_at", "<=", self.as_of.bound)]
        return journal_rows(self.views, where, size=self.decided if decisions else self.as_of.size)


def _approvals(version: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Approvals that stand."""
    for approval in sorted(version["approvals"], key=lambda one: str(one["environment"])):
        for one in approval["grants"]:
            if one["trouble"] is None:
                yield {"version": version["version"], "environment": approval["environment"], "by": one["actor"],
                       "index": one["index"], "expires_at": one["expires_at"]}  # fmt: skip


def _refusals(version: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where the last word about a version was a no: by whom, and why."""
    last: dict[str, dict[str, Any]] = {}
    for one in version["approvals"]:
        if one["decided"] is not None and one["status"] != "withdrawn":
            known = last.get(one["environment"])
            if known is None or known["decided"]["index"] < one["decided"]["index"]:
                last[one["environment"]] = one
    for environment, one in sorted(last.items()):
        if one["status"] in ("rejected", "changes requested", "revoked"):
            yield {"version": version["version"], "environment": environment, "status": one["status"],
                   "by": one["decided"]["actor"], "index": one["decided"]["index"], "rationale": one["rationale"],
                   "changes": one["changes"]}  # fmt: skip


def _waivers(asked: _Asked) -> dict[str, list[dict[str, Any]]]:
    """Waivers that stand, though perhaps without effect, or wait for a decision, by model."""
    found: dict[str, list[dict[str, Any]]] = {}
    waivable = Waivable(asked.ledger, asked.decided)
    for row in asked.rows("waiver.requested", decisions=True):
        state = waiver_of(asked.world, row["stream"])
        if state is None or state.ended is not None or asked.at >= state.until:
            continue
        trouble = waiver_trouble(asked.world, state, asked.at)
        stands = USELESS if waivable.trouble(state.check, state.model, state.environment) else "stands"
        if trouble is None or state.granted is None:
            found.setdefault(state.model.partition("@")[0], []).append({
                "waiver": row["stream"], "check": state.check, "model": state.model, "environment": state.environment,
                **terms_of(row), "expires_at": format_time(waiver_until(asked.world, state)),
                "state": stands if trouble is None else "asked for", "max_uses": state.max_uses,
                "used": len(uses_of(asked.world, state)), "index": row["index"],
            })  # fmt: skip
    return found


def _emergencies(deployments: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Emergencies that nobody has reviewed, with the model they were about."""
    for state in deployments:
        for one in state["emergencies"]:
            if one["review"] is None:
                yield one["model"].partition("@")[0], {
                    "deployment": state["deployment"], "index": one["index"], "by": one["actor"],
                    "review_by": one["review_by"], "status": one["status"],
                }  # fmt: skip


def _live(deployments: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for state in deployments:
        for period in periods(state):
            if period["until"] is None:
                yield period["model"].partition("@")[0], {
                    "deployment": state["deployment"], "version": period["model"], "how": period["how"],
                    "since": period["since"], "index": period["index"], "marks": period["marks"],
                    "quarantines": period["quarantines"],
                }  # fmt: skip


def _new(model: str) -> dict[str, Any]:
    return {
        "model": model, "title": None, "owner": None, "accountable": None, "business_unit": None,
        "on_call": None, "third_party": False, "tier": None,
        "versions": [], "latest": None, "status": None, "live": [], "approvals": [], "refusals": [], "waivers": [],
        "emergencies": [], "findings": [], "last_evaluation": None, "card": None, "other_tiers": [],
    }  # fmt: skip


def _say(model: dict[str, Any], row: JournalRow) -> None:
    """What was said of a model itself."""
    kind, data = row["type"], row["data"]
    if kind == "validation.completed":
        model["findings"] += [
            {"validation": row["id"], "finding": one["id"], "severity": one["severity"], "index": row["index"]}
            for one in data.get("findings") or [] if isinstance(one, dict)
        ]  # fmt: skip
    elif kind == "validation.withdrawn":
        model["findings"] = [one for one in model["findings"] if one["validation"] != data["validation"]]
    elif kind == "thirdparty.registered":
        model["third_party"] = True
    elif kind.startswith("modelcard."):
        model["card"] = {name: data.get(name) for name in ("digest", "format", "completeness", "missing")}
        model["card"] |= {"of": row["subject"], "index": row["index"]}
    else:
        for name in ("title", "owner", "accountable", "business_unit", "on_call"):
            model[name] = data.get(name) or model[name]


def _settle(asked: _Asked, model: dict[str, Any], rows: list[JournalRow]) -> None:
    """Leave out the findings that somebody settled who neither made nor owns what they are about."""
    about = {str(row["id"]): str(row["subject"]) for row in rows if row["type"] == "validation.completed"}

    def may(row: JournalRow) -> bool:
        return independent_of(asked.world, about.get(row["data"]["validation"], str(row["stream"])), row)

    done = settled((row for row in rows if row["type"] == "finding.disposed"), may)
    model["findings"] = [one for one in model["findings"] if (one["validation"], one["finding"]) not in done]


def _set_tier(model: dict[str, Any], own: str | None) -> None:
    """The tier that a model was classified as, where it was; and its versions in use that are of another one."""
    model["tier"] = own or model["tier"]
    model["other_tiers"] = [
        {"version": one["version"], "tier": one["tier"]} for one in model["versions"]
        if one["status"] != "retired" and one["tier"] != model["tier"]
    ]  # fmt: skip


def _standing(version: dict[str, Any], suites: dict[int, str]) -> Iterator[Word[dict[str, Any]]]:
    """What stands of each suite of a version, which is not the newest where a failure was reported late."""
    said: dict[str, list[Word[dict[str, Any]]]] = {}
    for one in version["evaluations"]:
        if not one["invalidated"] and one["digest"] in (None, version["digest"]):
            word = parse_moment(one["occurred_at"]), one["verdict"], one
            said.setdefault(suites.get(one["index"], ""), []).append(word)
    for words in said.values():
        last = last_word(sorted(words, key=lambda word: word[2]["index"]))
        if last is not None:
            yield last


def _fold_versions(model: dict[str, Any], versions: list[dict[str, Any]], suites: dict[int, str]) -> None:
    ordered = sorted(versions, key=lambda version: version["registered"]["index"])
    model["versions"] = [{"version": one["version"], "status": one["status"], "tier": one["tier"]} for one in ordered]
    latest = ordered[-1]
    model["latest"], model["status"] = latest["version"], latest["status"]
    model["owner"] = model["owner"] or latest["owner"]
    current = [one for one in ordered if one["live_in"]] or [latest]
    model["tier"] = max((one["tier"] for one in current), key=TIER_RANK.__getitem__)
    stands = [(*word, one["version"]) for one in ordered for word in _standing(one, suites)]
    if stands:
        _, _, last, version = max(stands, key=lambda found: (found[0], found[2]["index"]))
        model["last_evaluation"] = {"version": version, "verdict": last["verdict"], "metrics": last["metrics"],
                                    "occurred_at": last["occurred_at"], "index": last["index"]}  # fmt: skip
    for one in ordered:
        model["approvals"] += _approvals(one)
        model["refusals"] += _refusals(one) if one is latest or one["live_in"] else ()


def inventory(
    ledger: Ledger, views: ViewReader, as_of: AsOf, at: int, pattern: str | None = None
) -> list[dict[str, Any]]:
    """Every model that is known.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks; decisions count as far as they were recorded by ``at``.
        at: the moment for which ends are told, microseconds since the Unix epoch.
        pattern: only models that it stands for, as scopes of roles do: ``model:credit/*``; all when None.

    Returns:
        Plain values by name: owner, tier that the model was classified as (else of what is live, or of the latest
        version), versions and those of another tier, where what is live, approvals that stand and when they end, where
        the last word about what is live or latest was a no, waivers, emergencies and findings that are open, the last
        evaluation.
    """
    asked = _Asked(ledger, views, as_of, recorded_by(views, as_of, at), at)
    state = suspend(ledger, views, as_of, state_as_of(views, as_of), at)
    models: dict[str, dict[str, Any]] = {one["model"]: _new(one["model"]) for one in state["models"]}
    said: dict[str, list[JournalRow]] = {}
    for row in asked.rows(*_SAID):
        if row["stream"].startswith("model:"):
            said.setdefault(row["stream"], []).append(row)
            if row["type"] != "finding.disposed":
                _say(models.setdefault(row["stream"], _new(row["stream"])), row)
    for stem, rows in said.items():
        _settle(asked, models.setdefault(stem, _new(stem)), rows)
    suites = {row["index"]: row["data"].get("suite") or row["data"].get("kind") or ""
              for row in asked.rows("evaluation.completed")}  # fmt: skip
    for one in state["models"]:
        _fold_versions(models[one["model"]], one["versions"], suites)
    classified = (row for row in asked.rows("risk.classified") if row["subject"] == row["stream"])
    own = {row["stream"]: row["data"]["tier"] for row in classified}
    for stem, model in models.items():
        _set_tier(model, own.get(stem))
    for name, items in (
        ("live", _live(state["deployments"])),
        ("emergencies", _emergencies(state["deployments"])),
    ):
        for stem, item in items:
            models.setdefault(stem, _new(stem))[name].append(item)
    for stem, waivers in _waivers(asked).items():
        models.setdefault(stem, _new(stem))["waivers"] += waivers
    wanted = () if pattern is None else (pattern,)
    return [model for stem, model in sorted(models.items()) if covers_stream(wanted, stem)]
