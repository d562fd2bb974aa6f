"""`muniment history`: what happened to a thing, in order."""

from __future__ import annotations

from typing import Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_lines, print_record
from cli.reading import with_as_of

__all__ = ["history"]

_COLUMNS: Final = (
    "index", "occurred_at", "recorded_at", "type", "subject", "actor", "on_behalf_of", "what", "why_here", "verdict",
    "marks", "suspect", "strength", "id", "leaf_hash",
)  # fmt: skip
#: From this many seconds between occurring and being recorded on, people are told both.
_LATE: Final = 60


@click.command(short_help="Show what happened to a thing, in order, by both clocks.")
@click.argument("subject")
@click.option("-n", "limit", type=click.IntRange(min=0), default=0, help="Only the last N; 0, the default, for all.")
@with_as_of
@common_options
@pass_app
def history(app: App, /, subject: str, *, limit: int, at: str | None, known_at: str | None) -> None:
    """Show what happened to SUBJECT, in order of occurrence: its own entries, and those of others about it.

    Those are deployments and waivers of a model, what monitors said of it, runs that read a data set, evaluations on
    it, and incidents. A name without a version stands for all of its versions. `muniment log SUBJECT` has its own
    entries in log order.

    \b
    Example:
      muniment history model:tx@1
      muniment history dataset:tx --known-at 120 -o csv
    """
    from projections.asof import resolve_as_of
    from projections.history import history as find

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size)
        rows = app.marked(ledger, find(ledger, runner.views, as_of, subject), as_of.size)
        data = {"origin": ledger.origin, **as_of.describe(), "subject": subject, "rows": rows[-limit:]}
    if app.output == "json":
        print_record(app, data, "")
        return
    if app.output == "text":
        known = data["known_at"]
        app.note(
            f"{data['origin']}: at {data['at'] or 'the latest'}, known at size {known['size']} ({known['recorded_at']})"
        )
    names = app.home.names() if app.output == "text" else {}
    print_lines(app, Grid(_COLUMNS, data["rows"]), lambda row: _line(names, row))


def _line(names: dict[str, str], row: dict[str, Any]) -> str:
    from ledger.emission import microseconds

    words = f"{row['index']:>6}  {row['occurred_at'][:19]}Z  {row['type']:<28} {row['subject']:<32} "
    words += f"by {names.get(row['actor'], row['actor'])}"
    words += f"  {row['what']}" if row["what"] and not row["what"].startswith("sha256:") else ""
    late = (microseconds(row["recorded_at"]) - microseconds(row["occurred_at"])) // 1_000_000
    words += f"  (recorded {row['recorded_at'][:19]}Z)" if late >= _LATE else ""
    said = [] if row["verdict"] == "valid" else [row["verdict"]]
    said += [*row["marks"], *(["suspect"] if row["suspect"] else [])]
    return f"{words}  ! {', '.join(said)}".replace("\n", " ") if said else words.replace("\n", " ")
