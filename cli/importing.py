"""`muniment import`: what was there before the ledger, taken in from files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_list, print_record, progress, table
from cli.values import end_of, read_source

if TYPE_CHECKING:
    from projections.gates import Stated

__all__ = ["import_"]

_ROW: Final = (
    "line",
    "model",
    "deployment",
    "owner",
    "tier",
    "new_events",
    "missing",
    "waived",
    "asked_for",
    "nothing_against_it",
    "satisfied",
)
_STATUS: Final = (
    "model",
    "deployment",
    "standing",
    "policy",
    "missing",
    "asked_for",
    "waived",
    "next_end",
    "nothing_against_it",
    "satisfied",
)
_POINT: Final = ("at", "size", "models", "missing", "asked_for", "waived", "nothing_against_it", "satisfied")
#: Counts of a version's checks, in the order of their columns.
_COUNTS: Final = ("missing", "asked_for", "waived", "nothing_against_it", "satisfied")
_policy = click.option(
    "--policy", metavar="policy:NAME[@VERSION]",
    help="Whose checks are asked; those the rules name, or the shipped checklists, by default.",
)  # fmt: skip
_file = click.option("--file", metavar="FILE", help="A policy that is not in the log.")


@click.group("import", short_help="Take in what was there before the ledger.")
def import_() -> None:
    """Take in what was there before the ledger: recorded as imported, approved by nobody, and what is missing named."""


@import_.command()
@click.option("--columns", is_flag=True, help="Tell what the columns mean instead.")
@common_options
@pass_app
def template(app: App, /, *, columns: bool) -> None:
    """Print a sheet to start from: the header, and a row that shows what is meant.

    Example: muniment import template > models.csv
    """
    from projections.onboarding.columns import COLUMNS, EXAMPLE
    from projections.onboarding.columns import template as sheet

    rows = [{"column": name, "required": needed, "meaning": what, "example": EXAMPLE.get(name, "")}
            for name, needed, what in COLUMNS]  # fmt: skip
    if columns or app.output != "text":
        names = ("column", "required", "meaning", "example")
        lines = [(name, "yes" if needed else "", what, EXAMPLE.get(name, "")) for name, needed, what in COLUMNS]
        print_list(app, "columns", Grid(names, rows), lambda: table(app, "Columns", names, lines))
    else:
        click.echo(sheet().encode(), nl=False)


def _stated(policy: str | None, file: str | None) -> str | Stated | None:
    from cli.policies import policy_source
    from projections.gates import Stated

    if policy is not None and file is not None:
        raise click.UsageError("--policy and --file: give one.")
    return policy if file is None else Stated(file, policy_source(file))


@import_.command()
@click.argument("sheet", metavar="FILE|-")
@click.option("--waivers-until", metavar="TIME|DURATION", required=True,
              help="The end of the waivers asked for: a time, or 90d; no later than the rules allow.")  # fmt: skip
@click.option("--control", required=True, help="What makes up for what is missing, where the sheet does not say.")
@click.option("--reason", default="live before this ledger was", show_default=True, help="Why it is missing.")
@_policy
@_file
@click.option("--dry-run", is_flag=True, help="Record nothing; tell what would be recorded and what would be missing.")
@click.option("--skip-bad", is_flag=True, help="Take in the other rows when some are bad.")
@click.option("--as", "signer", metavar="ACTOR", help="Actor to sign as, with the roles owner and emitter.")
@common_options
@pass_app
def inventory(
    app: App, /, sheet: str, *, waivers_until: str, control: str, reason: str, policy: str | None, file: str | None,
    dry_run: bool, skip_bad: bool, signer: str | None,
) -> None:  # fmt: skip
    """Take in models that are live already, from a CSV file; see muniment import template --columns.

    Each is recorded as the fact it is: live without approval, and marked so. For each check of the policy that it does
    not meet, a waiver with an end is asked for; another person grants it. Run it again after it was cut: what is
    recorded is not repeated.

    \b
    Example:
      muniment import inventory models.csv --waivers-until 90d --control "monthly review by hand" --dry-run
      muniment waiver grant waiver:import-… --rationale "until it is retrained"
      muniment import status
    """
    from muniment.onboarding import Terms, import_inventory

    app.actor = signer or app.actor
    terms = Terms(end_of(waivers_until), reason, control, said=waivers_until)
    data = read_source(sheet)
    stated = _stated(policy, file)
    folder = Path.cwd() if sheet == "-" else Path(sheet).parent
    with app.writer() as ledger, progress(app, "taking in") as advance:
        found = import_inventory(
            ledger, data, terms, folder=folder, policy=stated, dry_run=dry_run, skip_bad=skip_bad, advance=advance
        )
    _show(app, found, dry_run=dry_run)


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for model in found["models"]:
        states: dict[str, list[str]] = {name: [] for name in _COUNTS}
        for item in model["items"]:
            states[item["state"].replace(" ", "_")].append(item["check"])
        new = [event["type"] for event in model["events"] if not event["before"]]
        rows.append({**model, "new_events": new, **states})
    return rows


def _show(app: App, found: dict[str, Any], *, dry_run: bool) -> None:
    rows = _rows(found)
    for trouble in found["skipped"]:
        where = f", {trouble['column']}" if trouble["column"] else ""
        app.note(f"left out: line {trouble['line']}{where}: {trouble['words']}. {trouble['todo']}")
    if app.output != "text":
        print_record(app, {"dry_run": dry_run, **found}, "", Grid(_ROW, rows))
        return
    columns = (
        "model",
        "live in",
        "would be recorded" if dry_run else "recorded now",
        "missing",
        "asked for",
        "waived",
        "nothing against it",
        "satisfied",
    )
    cells = [
        (row["model"], row["deployment"] or "not live", ", ".join(row["new_events"]) or "nothing new",
         ", ".join(row["missing"]), *(str(len(row[name])) for name in _COUNTS[1:]))
        for row in rows
    ]  # fmt: skip
    table(app, "What would be taken in" if dry_run else "Taken in", columns, cells)
    total = {name: sum(len(row[name]) for row in rows) for name in _COUNTS}
    words = "nothing was recorded; " if dry_run else ""
    click.echo(f"{words}{_sum(len(rows), total)}")
    if total["asked_for"] and not dry_run:
        app.note("Another person decides: muniment inbox --all, then muniment waiver grant waiver:… --rationale …")


@import_.command()
@_policy
@_file
@click.option("--at", "moments", multiple=True, metavar="TIME",
              help="As of then, by what was recorded by then; several give a line each.")  # fmt: skip
@common_options
@pass_app
def status(app: App, /, *, policy: str | None, file: str | None, moments: tuple[str, ...]) -> None:
    """Tell what is still missing of what was taken in, by running the checks again over what is live there now.

    A waiver that ended, was denied or was revoked waives nothing: its check is missing again.

    \b
    Example:
      muniment import status -o csv
      muniment import status --at 2026-10-01T00:00:00Z --at 2026-11-01T00:00:00Z
    """
    from ledger.emission import microseconds
    from ledger.entry import format_time
    from projections.asof import size_recorded_by
    from projections.gates import policy_named
    from projections.known import Known
    from projections.onboarding.burndown import burndown

    stated = _stated(policy, file)
    points: list[dict[str, Any]] = []
    wanted: list[int | None] = [microseconds(text) for text in moments]
    with app.views() as (ledger, runner, head):
        asked = policy_named(Known(ledger, runner.views, head), stated) if isinstance(stated, str) else stated
        for moment in wanted or [None]:
            size = head if moment is None else size_recorded_by(runner.views, moment, head)
            known = Known(ledger, runner.views, size)
            as_of = max(time.time_ns() // 1000, known.recorded_at) if moment is None else moment
            models = burndown(known, as_of, asked) if size else []
            total = {name: sum(one[name] for one in models) for name in _COUNTS}
            points.append({"at": format_time(as_of), "size": size, "total": total, "models": models})
        data = {"origin": ledger.origin, "points": points}
    if len(points) == 1:
        _point(app, data, points[0])
    else:
        rows = [{**point, **point["total"], "models": len(point["models"])} for point in points]
        cells = [tuple(str(row[name]) for name in _POINT) for row in rows]
        _print(app, data, Grid(_POINT, rows), "Burn-down", cells)


def _point(app: App, data: dict[str, Any], point: dict[str, Any]) -> None:
    cells = [
        (one["model"], one["deployment"] or "", one["standing"], one["policy"] or "", str(one["missing"]),
         str(one["asked_for"]), str(one["waived"]), (one["next_end"] or "")[:10],
         str(one["nothing_against_it"]), str(one["satisfied"]))
        for one in point["models"]
    ]  # fmt: skip
    _print(app, data, Grid(_STATUS, point["models"]), f"Taken in, as of {point['at']}", cells)
    if app.output == "text":
        click.echo(_sum(len(point["models"]), point["total"]))


def _sum(versions: int, total: dict[str, int]) -> str:
    return (
        f"{versions} versions: {total['missing']} checks missing, {total['asked_for']} waivers asked for, "
        f"{total['waived']} waived, {total['nothing_against_it']} with nothing against it, "
        f"{total['satisfied']} satisfied"
    )


def _print(app: App, data: dict[str, Any], grid: Grid, title: str, cells: Sequence[tuple[str, ...]]) -> None:
    if app.output == "text":
        table(app, title, [name.replace("_", " ") for name in grid.columns], cells)
    else:
        print_record(app, data, "", grid)
