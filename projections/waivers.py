"""All waivers: how each stands, who carries the risk, until when, and how much of it was used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain.deployed import WaiverState
from ledger.domain.gating import FRESH
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.waiving import grant_trouble, used_up, uses_of, waiver_of, waiver_until
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name, stream_of
from ledger.waivable import Waivable
from projections.asof import AsOf, recorded_by
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows
from projections.known import Known
from projections.words import waived_in

__all__ = ["USELESS", "terms_of", "terms_words", "used_terms", "waived_for", "waivers"]

#: What a waiver is called that was granted for a check that cannot be waived.
USELESS: Final = "without effect"


def terms_of(row: JournalRow) -> dict[str, Any]:
    """What a request for a waiver must say, and who made it: for everybody who decides on it or rests on it."""
    said = {name: row["data"][name] for name in ("owner", "reason", "compensating_control")}
    return said | {"requested_by": row["actor"]}


def terms_words(terms: Mapping[str, Any], name: Callable[[str], str] = str) -> str:
    """The terms of a waiver in words.

    Args:
        terms: as `terms_of` tells them; without a reason where that stands beside it.
        name: how an actor is called.
    """
    said = [terms["reason"]] if terms.get("reason") else []
    said += [f"instead: {terms['compensating_control']}", f"{name(terms['owner'])} carries the risk"]
    return "; ".join([*said, f"asked for by {name(terms['requested_by'])}"])


def used_terms(known: Known, checks: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The waivers by which checks of a gate are let be, each with its terms, in the order of the checks."""
    named = list(dict.fromkeys(one["waiver"] for one in checks if one.get("waiver")))
    rows = known.rows(("stream", "IN", named), ("type", "=", "waiver.requested")) if named else []
    found = {row["stream"]: terms_of(row) for row in rows}
    return tuple({"waiver": name, **found[name]} for name in named)


def _standing(world: World, state: WaiverState, at: int, waivable: Waivable) -> tuple[str, str]:
    """How a waiver stands, in a word and, where it does not, why."""
    trouble = grant_trouble(world, state, at)
    if state.ended is not None:
        return state.ended, trouble or ""
    if at >= waiver_until(world, state):
        return "expired", f"it expired at {format_time(waiver_until(world, state))}"
    if state.granted is None:
        return "asked for", trouble or ""
    if trouble is not None:
        return "does not stand", trouble
    used = used_up(world, state)
    if used is not None:
        return "used up", used
    useless = waivable.trouble(state.check, state.model, state.environment)
    return ("stands", "") if useless is None else (USELESS, useless)


def waivers(ledger: Ledger, views: ViewReader, as_of: AsOf, at: int) -> list[dict[str, Any]]:
    """Every waiver that was asked for, in log order.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks; what was recorded by ``at`` counts.
        at: the moment for which ends are told, microseconds since the Unix epoch.

    Returns:
        Plain values.
    """
    size = recorded_by(views, as_of, at)
    world, waivable, found = ledger.world.at(size), Waivable(ledger, size), []
    for row in journal_rows(views, [("type", "=", "waiver.requested"), ("verdict", "=", "valid")], size=size):
        state = waiver_of(world, row["stream"])
        if state is None:
            continue
        standing, trouble = _standing(world, state, at, waivable)
        found.append({
            "waiver": row["stream"], "state": standing, "check": state.check, "model": state.model,
            "environment": state.environment, **terms_of(row), "until": format_time(waiver_until(world, state)),
            "used": len(state.used if state.max_uses is None else uses_of(world, state)), "max_uses": state.max_uses,
            "trouble": trouble, "index": row["index"],
        })  # fmt: skip
    return found


def waived_for(ledger: Ledger, views: ViewReader, recorded: tuple[int, int], deployment: str, model: str) -> list[str]:
    """What was waived for an authorisation: by the last run before it of the policy that the rules named then.

    Args:
        ledger: the log.
        views: the views.
        recorded: index of the authorisation, which is valid and no emergency, and when, in microseconds.
        deployment: where it is for.
        model: the version that it is for.

    Returns:
        In words, ``CHECK by WAIVER``.
    """
    index, recorded_at = recorded
    # Most rest on no waiver, and need no world of the past, which is folded anew where it is long ago.
    fresh = [("recorded_at", ">=", recorded_at - FRESH), ("type", "=", "gate.evaluated")]
    rows = journal_rows(views, [("stream", "=", stream_of(model)), *fresh], size=index)
    waived = {row["index"]: found for row in rows if (found := waived_in(row["data"].get("checks", ())))}
    if not waived:
        return []
    world, environment = ledger.world.at(index), parse_name(deployment).namespace or ""
    try:
        named = version_of(world, model)
        rule = rule_for(world, environment, named.tier)
    except (PolicyError, InputError):
        return []  # no rule told what to ask
    gate = named.version.gates.get((rule.gate or "", environment))
    return waived.get(gate.signed.index, []) if gate is not None else []
