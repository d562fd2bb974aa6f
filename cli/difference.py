"""`muniment diff`: what differs between two versions of a model."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_record, table
from cli.reading import with_as_of

__all__ = ["diff", "value_words"]

_COLUMNS: Final = ("section", "field", "before", "after", "delta", "ratio")


@click.command(short_help="Show what differs between two versions of a model.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@with_as_of
@common_options
@pass_app
def diff(app: App, /, before: str, after: str, *, at: str | None, known_at: str | None) -> None:
    """Show what differs between the versions A and B: data, code, parameters, metrics, environment, approvers, status.

    Also their contracts, which models it was made of, what was measured of parts of the data, and how fast and dear
    it is.

    What is not on record for one of them is said on stderr, and in ``missing``. A sealed field that was sealed twice
    differs, whatever it says.

    Example: muniment diff model:tx@1 model:tx@2
    """
    from projections.asof import resolve_as_of
    from projections.comparing import compare

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size, now=time.time_ns() // 1000)
        found = app.marked(ledger, compare(ledger, runner.views, as_of, before, after), as_of.size)
        data = {"origin": ledger.origin, **as_of.describe(), "before": before, "after": after, **found}
    if app.output != "text":
        print_record(app, data, "", Grid(_COLUMNS, data["changed"]))
        return
    known = data["known_at"]
    app.note(
        f"{data['origin']}: at {data['at'] or 'the latest'}, known at size {known['size']} ({known['recorded_at']})"
    )
    if not data["changed"]:
        app.note("Nothing that is on record differs.")
    names = app.home.names()
    rows = [
        (change["field"], value_words(change["before"], names), value_words(change["after"], names), _by(change))
        for change in data["changed"]
    ]
    table(app, f"{before} → {after}", ("field", "before", "after", "by"), rows)
    if data["same"]:
        app.note(f"The same: {', '.join(data['same'])}")
    for words in data["missing"]:
        app.note(f"Not compared: {words}")


def value_words(value: Any, names: dict[str, str]) -> str:
    """A value of a version as people compare it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "" if value is None else str(value)
    text = ", ".join(names.get(part, part) for part in text.split(", "))
    # Whole digests are in the machine formats; people compare their beginnings.
    return text[:19] + "…" if len(text) > 40 and " " not in text else text


def _by(change: dict[str, Any]) -> str:
    if change["delta"] is None:
        return ""
    factor = "" if change["ratio"] is None else f" (x{change['ratio']:.3g})"
    return f"{change['delta']:+.4g}{factor}"
