"""`muniment serving`."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_list, table
from cli.values import DEPLOYMENT, parse_duration

__all__ = ["serving"]

_COLUMNS = ("deployment", "state", "live", "at", "index", "instances", "findings")


@click.group(short_help="Compare what is loaded with what the ledger says is live.")
def serving() -> None:
    """What is really loaded where: platforms tell it by `serving.snapshot` events."""


@serving.command()
@click.argument("deployment", type=DEPLOYMENT, required=False)
@click.option("--max-age", metavar="DURATION", help="What was not looked at for so long counts as bad: 30m, 12h.")
@common_options
@pass_app
def check(app: App, /, deployment: str | None, max_age: str | None) -> int:
    """Compare the last snapshots with what is live: exit code 1 for a mismatch, 3 when nothing could be compared.

    During a canary instances may have either version, as long as the new one gets no more than the share of its stage.

    Example: muniment serving check deployment:prod/tx --max-age 1h
    """
    from projections.asof import resolve_as_of
    from projections.service import read_service
    from projections.serving import read_serving
    from projections.slo.watching import deployments_named

    oldest = None if max_age is None else time.time_ns() // 1000 - parse_duration(max_age)
    items: list[dict[str, Any]] = []
    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, head=size)
        for name in deployments_named(runner.views, as_of, [deployment] if deployment else []):
            found, live = read_serving(runner.views, as_of, name), read_service(runner.views, as_of, name).live
            item = {"deployment": name, "live": None if live is None else live.model, **found.describe()}
            if oldest is not None and (found.at is None or found.at < oldest):
                item["state"] = "too old"
            items.append(item)
    print_list(app, "deployments", Grid(_COLUMNS, items), lambda: _show(app, items))
    states = {item["state"] for item in items}
    if states & {"mismatch", "too old"}:
        return 1
    return 0 if "matches" in states else 3


def _words(finding: dict[str, Any]) -> str:
    where = ", ".join(finding["instances"])  # none where it is about what is not loaded
    return f"{finding['words']} ({where})" if where else str(finding["words"])


def _show(app: App, items: list[dict[str, Any]]) -> None:
    if not items:
        app.note("Nothing was ever deployed, as far as the ledger knows.")
    rows = []
    for item in items:
        words = "; ".join(map(_words, item["findings"]))
        more = {"outdated": "something went live since the last snapshot", "not known": "no snapshot of late"}
        seen = "" if item["at"] is None else item["at"][:19] + "Z"
        what = words or more.get(item["state"], "")
        rows.append((item["deployment"], item["live"] or "nothing", item["state"], seen, what))
    table(app, "What is loaded", ("deployment", "live", "state", "looked at", "findings"), rows)
