"""`muniment impact`: what is live that ever saw a thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.deployed import remarks_of
from cli.output import Grid, print_record, table
from cli.reading import with_as_of

__all__ = ["impact"]

_COLUMNS: Final = (
    "standing", "deployment", "model", "status", "digest", "since", "until", "index", "marks", "path",
)  # fmt: skip


@click.command(short_help="Show what is live that ever saw a data set, a run or a model.")
@click.argument("subject")
@with_as_of
@common_options
@pass_app
def impact(app: App, /, subject: str, *, at: str | None, known_at: str | None) -> None:
    """Show every deployment whose version was made from SUBJECT, directly or not, with the path that makes it so.

    Also what was live before, versions that are live nowhere, what a platform still has loaded by its last snapshot,
    and versions that were only measured on it. Other names of the same bytes are followed too, at every step. A name
    without a version stands for all of its versions. What is found is no failure: the exit code is 0.

    \b
    Example:
      muniment impact dataset:tx@3
      muniment impact model:vendor/llm -o json | jq -e '.live == []'
    """
    from projections.asof import resolve_as_of
    from projections.impact import impact as find

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size)
        found = app.marked(ledger, find(ledger, runner.views, as_of, subject), as_of.size)
        data = {"origin": ledger.origin, **as_of.describe(), "subject": subject, **found}
    if app.output == "text":
        _text(app, data)
    else:
        print_record(app, data, "", Grid(_COLUMNS, _rows(data)))


def _rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in (*data["live"], *data["before"]):
        standing = "was live" if one["until"] and one["how"] == "live" else "was canary" if one["until"] else one["how"]
        yield {**one, "standing": standing, "path": _path(one)}
    for one in data["candidates"]:
        yield {**one, "standing": "not live", "model": one["version"], "path": _path(one)}
    for one in data["loaded"]:
        yield {**one, "standing": "still loaded", "path": one["words"]}
    for one in data["measured"]:
        for place in one["live"] or [{}]:
            yield {**place, "standing": "only measured", "model": one["version"], "index": one["index"],
                   "path": one["evaluation"]}  # fmt: skip


def _path(one: dict[str, Any]) -> str:
    return " → ".join(step["subject"] + (" (suspect)" if step["suspect"] else "") for step in one["path"])


def _remarks(one: dict[str, Any]) -> list[str]:
    return [*(["canary"] if one["how"] == "canary" else []), *remarks_of(one)] if "how" in one else []


def _text(app: App, data: dict[str, Any]) -> None:
    known = data["known_at"]
    app.note(
        f"{data['origin']}: at {data['at'] or 'the latest'}, known at size {known['size']} ({known['recorded_at']})"
    )
    for copy in data["copies"]:
        app.note(f"{copy['subject']} has the same bytes as {copy['of']}, and is followed too.")
    rows = list(_rows(data))
    live = [row for row in rows if row["standing"] in ("live", "canary")]
    measured = [row for row in rows if row["standing"] == "only measured"]
    if not live:
        loaded = ", but it is loaded" if data["loaded"] else ""
        tested = any("deployment" in row for row in measured)
        saw, rest = ("was made from", " What was only measured on it is live.") if tested else ("saw", "")
        app.note(f"Nothing is live that {saw} {data['subject']}{loaded}.{rest}")
    table(app, "Live", ("deployment", "model", "since", "entry", "remarks", "path"), (
        (one["deployment"], one["model"], one["since"][:19] + "Z", str(one["index"]), ", ".join(_remarks(one)),
         one["path"]) for one in live
    ))  # fmt: skip
    table(app, "Loaded, and not live", ("deployment", "model", "instances", "entry", "what the snapshot says"), (
        (one["deployment"], one["model"], ", ".join(one["instances"]), str(one["index"]), one["path"])
        for one in rows if one["standing"] == "still loaded"
    ))  # fmt: skip
    table(app, "Before", ("deployment", "model", "since", "until", "entries", "path"), (
        (one["deployment"], one["model"], one["since"][:19] + "Z", one["until"][:19] + "Z",
         f"{one['index']}, {one['ended']}", one["path"])
        for one in rows if one["standing"].startswith("was ")
    ))  # fmt: skip
    table(app, "Not live", ("version", "status", "entry", "path"), (
        (one["model"], one["status"], str(one["index"]), one["path"]) for one in rows if one["standing"] == "not live"
    ))  # fmt: skip
    table(app, "Only measured on it", ("version", "entry", "live in", "remarks"), (
        (one["model"], str(one["index"]), one.get("deployment", ""), ", ".join(_remarks(one))) for one in measured
    ))  # fmt: skip
