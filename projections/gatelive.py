"""A version beside what is live where it is to go: how fast and dear each was measured, and what callers see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ledger.names import stream_of
from projections.gaterows import GateRows, says_of
from projections.journal import JournalRow

__all__ = ["contract", "live_measured", "performance", "unit_of"]


def _tests(rows: GateRows, model: str, digest: str, places: Iterable[str]) -> list[JournalRow]:
    """Tests of a version and its bytes, by its name and by the deployments it was tested in."""
    found = rows(("stream", "IN", sorted({stream_of(model), *places})))
    return [
        row for row in found
        if row["type"] == "performance.tested" and (row["data"].get("model") or row["subject"]) == model
        and says_of(row, digest)
    ]  # fmt: skip


def unit_of(cost: Any) -> str:
    """What an amount is of: only what has the same unit can be compared."""
    if not isinstance(cost, dict):
        return ""
    return f"{cost['currency']} per {cost['per']}" if cost.get("per") else str(cost["currency"])


def performance(rows: GateRows, model: str, digest: str, places: Iterable[str]) -> list[dict[str, Any]]:
    """Each test of a version.

    Args:
        rows: valid entries.
        model: the version.
        digest: its digest.
        places: deployments in which it may have been tested.
    """
    found = []
    for row in _tests(rows, model, digest, places):
        data = row["data"]
        cost, baseline = data.get("cost"), data.get("baseline_cost")
        same = cost is not None and baseline is not None and unit_of(cost) == unit_of(baseline)
        found.append({
            "index": row["index"], "verdict": data.get("verdict", "uncertain"), "digest": data.get("digest") or "",
            "cost": None if cost is None else cost["amount"], "cost_unit": unit_of(cost),
            "baseline_cost": baseline["amount"] if same else None,
            **{name: data.get(name) for name in ("p95_ms", "baseline_p95_ms", "error_rate")},
        })  # fmt: skip
    return found


def live_measured(rows: GateRows, live: tuple[str, str] | None, place: str) -> dict[str, Any]:
    """What was last measured of what is live.

    Args:
        rows: valid entries.
        live: the version and its digest; None when nothing is.
        place: the deployment.
    """
    p95, cost = None, None
    tests = _tests(rows, *live, [place]) if live else ()
    for row in sorted(tests, key=lambda row: (row["occurred_at"], row["index"])):
        p95 = p95 if row["data"].get("p95_ms") is None else row["data"]["p95_ms"]
        cost = cost if row["data"].get("cost") is None else row["data"]["cost"]
    amount = None if cost is None else cost["amount"]
    return {"live_p95_ms": p95, "live_cost": amount, "live_cost_unit": unit_of(cost)}


def _contract_of(rows: GateRows, model: str) -> dict[str, Any] | None:
    """The last contract of a version; that of its model where it has none of its own."""
    known: dict[str, dict[str, Any]] = {}
    for row in rows(("stream", "=", stream_of(model))):
        if row["type"] == "contract.defined":
            known[row["subject"]] = row["data"]
    return known.get(model) or known.get(stream_of(model))


def contract(rows: GateRows, model: str, live: Iterable[str]) -> dict[str, Any]:
    """The contract of a version.

    Args:
        rows: valid entries.
        model: the version.
        live: versions that are live where it may go.
    """

    def shape(data: dict[str, Any] | None) -> tuple[Any, Any] | None:
        return None if data is None else (data["input_schema"], data["output_schema"])

    own = _contract_of(rows, model)
    others = [shape(_contract_of(rows, one)) for one in sorted(set(live) - {model})]
    matches = own is not None and all(other == shape(own) for other in others)
    said = None if own is None else own.get("breaking")
    return {
        "defined": own is not None,
        "breaking": own is not None and not matches if said is None else said,
        "matches_live": matches,
        "input_schema": own["input_schema"] if own else "",
        "output_schema": own["output_schema"] if own else "",
    }
