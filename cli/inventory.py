"""`muniment inventory`: all models, and what is open about each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.deployed import remarks_of
from cli.output import Grid, print_record, table
from cli.reading import STAR, with_as_of

__all__ = ["inventory"]

_COLUMNS: Final = (
    "model", "title", "tier", "owner", "on_call", "third_party", "latest", "status", "live", "approvals", "refusals",
    "waivers", "emergencies", "findings", "last_evaluation", "other_tiers",
)  # fmt: skip


#: How many versions of another tier than their model are named in text.
_OTHERS: Final = 3


@click.command(short_help="Show all models with owner, tier, approvals, what is live, and what is open.")
@click.argument("pattern", metavar="[GLOB]", required=False)
@with_as_of
@common_options
@pass_app
def inventory(app: App, /, *, pattern: str | None, at: str | None, known_at: str | None) -> None:
    """Show every model, or those of GLOB: tier, owner, approvals that stand, where it is live, and what is open.

    A star in GLOB stands for any characters within a part of a name: model:credit/* for all of one team. Open are
    waivers, emergencies that nobody has reviewed, and findings that nobody independent called fixed or accepted.
    With --at, decisions count as far as they were recorded by then.

    \b
    Example:
      muniment inventory
      muniment inventory 'model:credit/*'
      muniment inventory --at 2026-09-30T23:59:59Z -o csv
    """
    from ledger.entry import format_time
    from projections.asof import resolve_as_of
    from projections.inventory import inventory as find

    with app.views() as (ledger, runner, size):
        now = time.time_ns() // 1000
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size, now=now)
        models = app.marked(ledger, find(ledger, runner.views, as_of, as_of.asked, pattern), as_of.size)
        data = {"origin": ledger.origin, **as_of.describe(), "asked_at": format_time(as_of.asked), "models": models}
    if app.output == "text":
        _text(app, data, pattern)
    elif app.output == "ndjson":
        for model in data["models"]:
            print_record(app, model, "")
    else:
        print_record(app, data, "", Grid(_COLUMNS, _rows(data["models"])))


def _rows(models: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for model in models:
        last = model["last_evaluation"]
        yield {
            **model,
            "live": [_place(one) for one in model["live"]],
            "approvals": [_approval(one) for one in model["approvals"]],
            "refusals": [_refusal(one) for one in model["refusals"]],
            "waivers": [_waiver(one) for one in model["waivers"]],
            "emergencies": [_emergency(one) for one in model["emergencies"]],
            "findings": [f"{one['finding']} ({one['severity']})" for one in model["findings"]],
            "last_evaluation": last and f"{last['version']}: {last['verdict']}, {last['occurred_at'][:10]}",
            "other_tiers": [_other_tier(one) for one in model["other_tiers"]],
        }  # fmt: skip


def _other_tier(one: dict[str, Any]) -> str:
    return f"version {one['version'].partition('@')[2]}: {one['tier']}"


def _tier(model: dict[str, Any], others: list[str]) -> str:
    """The tier, and the first versions that are of another one."""
    more = [f"{len(others) - _OTHERS} more"] if len(others) > _OTHERS else []
    return (model["tier"] or "") + (f" ({', '.join([*others[:_OTHERS], *more])})" if others else "")


def _place(one: dict[str, Any]) -> str:
    name = one["version"].partition("@")[2]
    version = f"version {name}" if name else one["version"]
    marks = [*(["canary"] if one["how"] == "canary" else []), *remarks_of(one)]
    return f"{one['deployment']}: {version}{' (' + ', '.join(marks) + ')' if marks else ''}"


def _waiver(one: dict[str, Any]) -> str:
    uses = "" if one["max_uses"] is None else f", {one['used']} of {one['max_uses']} use(s) used"
    return f"{one['check']} in {one['environment']} ({one['state']}) until {one['expires_at'][:10]}{uses}"


def _emergency(one: dict[str, Any]) -> str:
    overdue = " (overdue)" if one["status"] == "overdue" else ""
    return f"entry {one['index']}, review by {one['review_by'][:10]}{overdue}"


def _approval(one: dict[str, Any]) -> str:
    until = "" if one["expires_at"] is None else f" until {one['expires_at'][:10]}"
    return f"version {one['version'].partition('@')[2]} for {one['environment']} by {one['by']}{until}"


def _refusal(one: dict[str, Any]) -> str:
    why = "; ".join([*([one["rationale"]] if one["rationale"] else []), *one["changes"]])
    place = f"version {one['version'].partition('@')[2]} for {one['environment']}"
    return f"{place}: {one['status']} by {one['by']} (entry {one['index']}): {why}"


def _text(app: App, data: dict[str, Any], pattern: str | None) -> None:
    known, names = data["known_at"], app.home.names()
    app.note(f"{data['origin']}: as of {data['asked_at']}, known at size {known['size']} ({known['recorded_at']})")
    if not data["models"]:
        app.note(f"No model is known, or none of that name.{' ' + STAR if pattern and '*' in pattern else ''}")
    rows = []
    for model, flat in zip(data["models"], _rows(data["models"]), strict=True):
        approvals = [_approval({**one, "by": names.get(one["by"], one["by"])}) for one in model["approvals"]]
        opened = [_refusal({**one, "by": names.get(one["by"], one["by"])}) for one in model["refusals"]]
        opened += [f"waiver: {text}" for text in flat["waivers"]] + [
            f"emergency: {text}" for text in flat["emergencies"]
        ]
        opened += [f"finding: {text}" for text in flat["findings"]]
        owner = "" if model["owner"] is None else names.get(model["owner"], model["owner"])
        name = model["model"] + (" (third party)" if model["third_party"] else "")
        rows.append((name, _tier(model, flat["other_tiers"]), owner,
                     "; ".join(flat["live"]) or (model["status"] or "no version"), "; ".join(approvals),
                     "; ".join(opened), flat["last_evaluation"] or ""))  # fmt: skip
    table(app, "Models", ("model", "tier", "owner", "live, or latest", "approvals", "open", "last evaluation"), rows)
