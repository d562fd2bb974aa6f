"""`muniment timeline`."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.output import print_record, table
from cli.reading import with_as_of

__all__ = ["timeline"]

_SHOWN = 4


@click.command(short_help="Show an incident's timeline with what changed.")
@click.argument("incident")
@click.option("--before", type=float, default=24.0, show_default=True, help="Hours before it was opened.")
@click.option("--after", type=float, default=4.0, show_default=True, help="Hours after it was closed.")
@with_as_of
@common_options
@pass_app
def timeline(app: App, incident: str, before: float, after: float, at: str | None, known_at: str | None) -> None:
    """Show what happened around an incident and what changed upstream of the version that failed.

    Example: muniment timeline incident:inc-1 -o json
    """
    from projections.asof import resolve_as_of
    from projections.timeline import incident_timeline

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size)
        found = incident_timeline(runner.views, as_of, incident, before_hours=before, after_hours=after)
        data = {"origin": ledger.origin, **as_of.describe(), **found}
    if app.output == "ndjson":
        for row in data["rows"]:
            print_record(app, row, "")
    elif app.output == "json":
        print_record(app, data, "")
    else:
        _text(app, data)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _changes(row: dict[str, Any]) -> str:
    parts = []
    for change in row["changed"][:_SHOWN]:
        ratio = change["ratio"]
        factor = "" if ratio is None else f" (x{ratio:.3g})"
        parts.append(f"{change['field']} {_number(change['before'])} -> {_number(change['after'])}{factor}")
    more = len(row["changed"]) - _SHOWN
    return "\n".join(parts) + (f"\n… and {more} more" if more > 0 else "")


def _offset(seconds: float) -> str:
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    return f"{sign}{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}:{seconds % 60:06.3f}"


def _text(app: App, data: dict[str, Any]) -> None:
    names = app.home.names()
    app.note(
        f"{data['incident']} ({data['status']}, {data['severity']}): {data['title']}\n"
        f"deployment {data['deployment']}, failing {data['failing_version']}, before it {data['previous_version']}; "
        f"known at size {data['known_at']['size']}"
    )
    rows = [
        (
            str(row["index"]),
            row["occurred_at"][:19] + "Z",
            _offset(row["seconds_from_opening"]),
            row["lane"],
            f"{row['type']}\n{row['subject']}",
            "\n".join(part for part in (row["what"], *(f"! {mark}" for mark in row["marks"])) if part),
            _changes(row),
            row["why_here"],
            names.get(row["actor"], row["actor"]),
        )
        for row in data["rows"]
    ]
    columns = ("entry", "occurred", "T±", "lane", "event", "what", "changed", "why here", "actor")
    table(app, "Timeline", columns, rows)
    upstream = [row for row in data["rows"] if row["upstream"]]
    if upstream:
        entries = ", ".join(f"{row['index']} ({row['subject']})" for row in upstream)
        click.echo(f"Changes upstream of {data['failing_version']}: entries {entries}")
