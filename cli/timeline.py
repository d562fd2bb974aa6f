"""`muniment timeline`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, console, print_record, styled
from cli.reading import with_as_of
from cli.values import INCIDENT, parse_duration

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["timeline"]

_SHOWN = 4
_MOST_HOURS = 876_600
_COLUMNS = (
    "index", "occurred_at", "recorded_at", "seconds_from_opening", "seconds_since_last", "lane", "type", "subject",
    "actor", "what", "changed", "compared_with", "why_here", "upstream", "caused_by", "marks", "leaf_hash",
)  # fmt: skip


class _Hours(click.FloatRange):
    """A span of time; up to a hundred years, as hours or a duration."""

    name = "hours"

    def __init__(self) -> None:
        super().__init__(min=0, max=_MOST_HOURS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Hours of 48, 48h or 2d."""
        hours = _hours(str(value))
        if hours is None or not 0 <= hours <= _MOST_HOURS:
            self.fail(f"{value!r} is no span of time up to a hundred years; write hours, or 48h, 2d.", param, ctx)
        return hours


def _hours(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    with suppress(click.BadParameter):
        return parse_duration(text) / 3_600_000_000
    return None


@click.command(short_help="Show an incident's timeline with what changed.")
@click.argument("incident", type=INCIDENT)
@click.option("--before", type=_Hours(), default=24.0, show_default=True, help="Hours before it was opened.")
@click.option("--after", type=_Hours(), default=4.0, show_default=True, help="Hours after it was closed.")
@with_as_of
@common_options
@pass_app
def timeline(app: App, /, incident: str, before: float, after: float, at: str | None, known_at: str | None) -> None:
    """Show what happened around an incident and what changed upstream of the version that failed.

    Example: muniment timeline incident:inc-1 -o json
    """
    from projections.asof import resolve_as_of
    from projections.timeline import incident_timeline

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size)
        found = incident_timeline(runner.views, as_of, incident, before_hours=before, after_hours=after)
        data = {"origin": ledger.origin, **as_of.describe(), **app.marked(ledger, found, as_of.size)}
    if app.output == "ndjson":
        for row in data["rows"]:
            print_record(app, row, "")
    elif app.output == "text":
        _text(app, data)
    else:
        print_record(app, data, "", Grid(_COLUMNS, data["rows"]))


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    # Whole digests are in the machine formats; people compare their beginnings.
    return text[:17] + "…" if len(text) > 40 and " " not in text else text


def _changes(row: dict[str, Any]) -> list[str]:
    parts = []
    for change in row["changed"][:_SHOWN]:
        ratio = change["ratio"]
        factor = "" if ratio is None else f"  (x{ratio:.3g})"
        parts.append(f"{change['field']}: {_value(change['before'])} -> {_value(change['after'])}{factor}")
    more = len(row["changed"]) - _SHOWN
    return [*parts, f"… and {more} more, see -o json"] if more > 0 else parts


def _offset(seconds: float) -> str:
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    days, rest = divmod(seconds, 86400)
    clock = f"{int(rest // 3600):02d}:{int(rest % 3600 // 60):02d}:{int(rest % 60):02d}"
    return f"{sign}{int(days)}d {clock}" if days else f"{sign}{clock}"


def _row(out: Console, names: dict[str, str], row: dict[str, Any]) -> None:
    head = f"{row['index']:>6}  {row['occurred_at'][:19]}Z {_offset(row['seconds_from_opening']):>13}  {row['lane']:<9}"
    line = styled(f"{head} {row['type']:<30} {row['subject']}  by {names.get(row['actor'], row['actor'])}")
    if row["upstream"]:
        line.stylize("yellow")
    elif row["marks"]:
        line.stylize("red")
    elif row["lane"] == "incident":
        line.stylize("bold")
    out.print(line, soft_wrap=True)
    details = [row["what"]] if row["what"] and not row["what"].startswith("sha256:") else []
    details += [f"! {mark}" for mark in row["marks"]]
    if row["upstream"]:
        details.append(f"^ {row['why_here']}")
    against = "" if row["compared_with"] is None else f" against entry {row['compared_with']}"
    details += [f"changed{against}: {change}" for change in _changes(row)]
    for detail in details:
        out.print(styled(f"{'':>33}{detail}"), soft_wrap=True)


def _where(data: dict[str, Any]) -> str:
    """Which deployment suffers, what failed there, and what was live before."""
    deployment, failing, previous = (data[name] for name in ("deployment", "failing_version", "previous_version"))
    if deployment is None:
        return f"no deployment is named{'' if failing is None else f'; {failing} failed'}"
    if failing is None:
        return f"deployment {deployment}: nothing was live there"
    return f"deployment {deployment}: {failing} failed, before it {previous or 'nothing'}"


def _text(app: App, data: dict[str, Any]) -> None:
    out = console(app)
    title = f"{data['incident']} ({data['status']}, {data['severity']}): {data['title']}"
    out.print(styled(title), soft_wrap=True)
    out.print(_where(data))
    out.print(f"known at size {data['known_at']['size']} ({data['known_at']['recorded_at']})\n")
    names = app.home.names()
    for row in data["rows"]:
        _row(out, names, row)
    upstream = [row for row in data["rows"] if row["upstream"]]
    if upstream:
        entries = ", ".join(f"{row['index']} ({row['subject']})" for row in upstream)
        out.print(f"\nChanged upstream of {data['failing_version']}: entries {entries}", soft_wrap=True)
