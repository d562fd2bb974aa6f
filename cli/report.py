"""`muniment report`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, console, print_lines, print_record, styled
from cli.reading import with_as_of

if TYPE_CHECKING:
    from ledger.errors import LedgerError

__all__ = ["report"]

_UNREAD = "could not be read, and nothing of it is in this report"

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
@click.argument("name", required=False)
@click.option("--env", "environment", help="Only this environment.")
@click.option("--from", "since", metavar="TIME", help="Only items recorded from then on (ISO 8601).")
@click.option("--to", "until", metavar="TIME", help="Only items recorded before then (ISO 8601).")
@click.option("--also", multiple=True, metavar="LEDGER", help="Cover this ledger too, a folder or URL; repeatable.")
@with_as_of
@common_options
@pass_app
def generate(app: App, /, name: str | None, also: tuple[str, ...], **options: str | None) -> None:
    """Generate a report; the same log size and options give the same bytes.

    With --also one report covers several ledgers, each with its own head; --known-at is a time then. A ledger that
    cannot be read is named in the report, its controls are not assessed, and the command ends with the exit code of
    that error (the lowest of several).

    With -o csv or md each tested item is a row.

    Example: muniment report generate control-assessment -o json > report.json
    """
    from ledger.errors import InputError
    from projections.reports import REPORTS, combined

    if name is None or name not in REPORTS:
        there = "; ".join(f"{item.name} ({item.title})" for item in REPORTS.values())
        raise InputError(f"there is no report {name!r}" if name else "name a report", hint=f"There are: {there}.")
    known_at = options["known_at"]
    if also and known_at is not None and known_at.isdigit():
        raise click.UsageError("--known-at is a time where several ledgers are covered: each has a size of its own.")
    if not also:
        data = _generated(app, name, options)
        if app.output == "text":
            _text(app, data)
        else:
            print_record(app, data, "", Grid(_COLUMNS, _tested(data["findings"])))
        return
    reports, failures = _several(app, name, also, options)
    unread = [{"ledger": named, "reason": error.message} for named, error in failures]
    whole = combined(name, reports, unread)
    if app.output == "text":
        for one in unread:
            console(app).print(styled(f"✗ {one['ledger']} {_UNREAD}: {one['reason']}", "red"))
        for data in reports:
            _text(app, data)
    else:
        print_record(app, whole, "", Grid(("ledger", *_COLUMNS), _rows(reports, unread)))
    if failures:
        app.note(f"Warning: this report covers {len(reports)} of {len(reports) + len(unread)} ledgers")
        raise _first(failures)


def _first(failures: list[tuple[str, LedgerError]]) -> LedgerError:
    """The error with the lowest exit code: what was checked and is bad goes before what could not be looked at."""
    from ledger.errors import exit_code

    return min((error for _, error in failures), key=exit_code)


def _several(
    app: App, name: str, also: tuple[str, ...], options: dict[str, str | None]
) -> tuple[list[dict[str, Any]], list[tuple[str, LedgerError]]]:
    """The reports of the ledgers that can be read, and what became of the others."""
    from ledger.config import redact_url
    from ledger.errors import InputError, LedgerError

    reports, failures = [], []
    for one in (app, *map(app.of, also)):
        try:
            reports.append(_generated(one, name, options))
        except InputError:
            raise  # what was asked for is wrong, whichever ledger is asked
        except LedgerError as error:
            failures.append((redact_url(one.ledger or os.environ.get("MUNIMENT_LEDGER") or "."), error))
    if not reports:
        raise _first(failures)
    return reports, failures


def _rows(reports: list[dict[str, Any]], unread: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """A row for each tested item of each ledger; of one that could not be read, one for each control."""
    for data in reports:
        for row in _tested(data["findings"]):
            yield {"ledger": data["ledger"]["origin"], **row}
    for one in unread:
        for finding in reports[0]["findings"]:
            yield {
                "ledger": one["ledger"],
                "control": finding["control"],
                "control_state": "not assessed",
                "title": finding["title"],
                "reason": f"the ledger could not be read: {one['reason']}",
            }


def _generated(app: App, name: str, options: dict[str, str | None]) -> dict[str, Any]:
    from ledger.emission import microseconds
    from ledger.errors import InputError
    from projections.asof import resolve_as_of
    from projections.reports import REPORTS, ReportContext
    from projections.sealed import mark_sealed

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
        found: dict[str, Any] = mark_sealed(ledger, REPORTS[name].generate(context), context.as_of.size)
        return found


def _tested(findings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each tested item, and one for a control that had none."""
    for finding in findings:
        common = {"control": finding["control"], "control_state": finding["state"], "title": finding["title"]}
        for item in finding["items"]:
            yield {**common, **item}
        if not finding["items"]:
            yield {**common, "reason": finding["reason"]}


def _text(app: App, /, data: dict[str, Any]) -> None:
    from projections.waivers import terms_words

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
        said = f"waiver without effect ({item['trouble']})" if item["trouble"] else "waived, not hidden"
        out.print(styled(f"~ {said}: {words} ({item['waiver']})"))
        terms, by = terms_words(item, app.display), app.display(item["granted_by"])
        out.print(styled(f"    {terms}; granted by {by}"))
    for entry in data["void_entries"]:
        out.print(styled(f"! entry {entry['index']} is void: {entry['reason']}", "red"))
    for limit in data["limits"]:
        out.print(styled(f"note: {limit}", "dim"))
