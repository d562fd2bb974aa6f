"""`muniment report`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, console, print_lines, print_record, styled
from cli.reading import with_as_of

__all__ = ["report"]

_COLUMNS = ("control", "control_state", "title", "subject", "index", "state", "reason", "evidence")
_SIGNS = {
    "satisfied": ("✓", "green"),
    "not satisfied": ("✗", "red"),
    "not applicable": ("-", "dim"),
    "not assessed": ("?", "yellow"),
    "manual": ("?", "yellow"),
}


@click.group(short_help="Generate machine-readable reports.")
def report() -> None:
    """Reports name what they looked at, what they found and what they do not know."""


@report.command("list")
@common_options
@pass_app
def list_(app: App) -> None:
    """List the reports that can be generated."""
    from projections.reports import REPORTS

    items = [{"name": item.name, "title": item.title} for item in REPORTS.values()]
    print_lines(app, Grid(("name", "title"), items), lambda item: f"{item['name']:<22} {item['title']}")


@report.command()
@click.argument("name")
@click.option("--env", "environment", help="Only this environment.")
@click.option("--from", "since", metavar="TIME", help="Only items recorded from then on (ISO 8601).")
@click.option("--to", "until", metavar="TIME", help="Only items recorded before then (ISO 8601).")
@click.option("--also", multiple=True, metavar="LEDGER", help="Cover this ledger too, a folder or URL; repeatable.")
@with_as_of
@common_options
@pass_app
def generate(app: App, /, name: str, also: tuple[str, ...], **options: str | None) -> None:
    """Generate a report; the same log size and options give the same bytes.

    With --also one report covers several ledgers, each with its own head; --known-at is a time then.

    With -o csv or md each tested item is a row.

    Example: muniment report generate control-assessment -o json > report.json
    """
    from ledger.errors import InputError
    from projections.reports import REPORTS, combined

    if name not in REPORTS:
        raise InputError(f"there is no report {name!r}", hint=f"There are: {', '.join(REPORTS)}.")
    known_at = options["known_at"]
    if also and known_at is not None and known_at.isdigit():
        raise click.UsageError("--known-at is a time where several ledgers are covered: each has a size of its own.")
    reports = [_generated(one, name, options) for one in (app, *map(app.of, also))]
    whole = combined(name, reports)
    if app.output == "text":
        for data in reports:
            _text(app, data)
    elif also:
        rows = [{"ledger": data["ledger"]["origin"], **row} for data in reports for row in _tested(data["findings"])]
        print_record(app, whole, "", Grid(("ledger", *_COLUMNS), rows))
    else:
        print_record(app, reports[0], "", Grid(_COLUMNS, _tested(reports[0]["findings"])))


def _generated(app: App, name: str, options: dict[str, str | None]) -> dict[str, Any]:
    from ledger.emission import microseconds
    from ledger.errors import InputError
    from projections.asof import resolve_as_of
    from projections.reports import REPORTS, ReportContext

    since, until = options["since"], options["until"]
    with app.views() as (ledger, runner, size):
        context = ReportContext(
            ledger,
            runner.views,
            resolve_as_of(ledger, runner.views, at=options["at"], known_at=options["known_at"], head=size),
            since=0 if since is None else microseconds(since),
            until=None if until is None else microseconds(until),
            environment=options["environment"],
        )
        if context.until is not None and context.until <= context.since:
            raise InputError(f"the period from {since} to {until} is empty", hint="--to is a time after --from.")
        if context.environment is not None:
            known = context.environments()
            if context.environment not in known:
                app.note(f"Warning: nothing is recorded of the environment {context.environment} in {ledger.origin}; "
                         f"there are: {', '.join(sorted(known)) or 'none'}")  # fmt: skip
        return REPORTS[name].generate(context)


def _tested(findings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each tested item, and one for a control that had none."""
    for finding in findings:
        common = {"control": finding["control"], "control_state": finding["state"], "title": finding["title"]}
        for item in finding["items"]:
            yield {**common, **item}
        if not finding["items"]:
            yield {**common, "reason": finding["reason"]}


def _text(app: App, /, data: dict[str, Any]) -> None:
    out = console(app)
    known = data["as_of"]["known_at"]
    origin = data["ledger"]["origin"]
    out.print(styled(f"{data['report']} of {origin}, known at size {known['size']} ({known['recorded_at']})"))
    for finding in data["findings"]:
        sign, style = _SIGNS[finding["state"]]
        entries = ", ".join(str(item["index"]) for item in finding["evidence"])
        out.print(styled(f"{sign} {finding['state']:<15} {finding['control']}", style))
        out.print(styled(f"    {finding['title']}"))
        out.print(styled(f"    {finding['reason']}"))
        if entries:
            out.print(styled(f"    evidence: entries {entries}"))
    for item in data["emergencies"]:
        review = item["review"]
        words = (
            f"reviewed by {app.display(review['by'])}: {review['verdict']}" if review else f"due by {item['review_by']}"
        )
        out.print(styled(f"! emergency at entry {item['index']}: {item['model']} in {item['deployment']}, {words}"))
    for item in data["waivers"]:
        words = (
            f"{item['check']} of {item['model']} in {item['environment']}, {item['state']}, until {item['expires_at']}"
        )
        uses = item["max_uses"]
        words += "" if uses is None else f", {len(item['used_by'])} of {uses} use(s) used"
        out.print(styled(f"~ waived, not hidden: {words} ({item['waiver']})"))
    for entry in data["void_entries"]:
        out.print(styled(f"! entry {entry['index']} is void: {entry['reason']}", "red"))
    for limit in data["limits"]:
        out.print(styled(f"note: {limit}", "dim"))
