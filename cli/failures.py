"""`muniment failure-modes`."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_list, table

__all__ = ["failure_modes"]

_LIST = ("id", "title", "what", "events", "query", "see")
_FIND = ("mode", "subject", "words", "entries")


@click.group("failure-modes", short_help="Find ways in which models fail in production.")
def failure_modes() -> None:
    """Known ways to fail, each with the events that show it and a query that finds it in this ledger."""


@failure_modes.command("list")
@common_options
@pass_app
def list_(app: App, /) -> None:
    """List the failure modes; needs no ledger."""
    from projections.failures.modes import MODES

    items = [{name: value for name, value in mode.describe().items() if name != "test"} for mode in MODES]
    rows = ((item["id"], item["what"], item["query"], ", ".join(item["see"])) for item in items)
    columns = ("mode", "what is found", "query", "look closer")
    print_list(app, "modes", Grid(_LIST, items), lambda: table(app, "Failure modes", columns, rows))


@failure_modes.command()
@click.argument("modes", metavar="[MODE]…", nargs=-1)
@common_options
@pass_app
def find(app: App, /, modes: tuple[str, ...]) -> int:
    """Look for failures, for all modes or some: exit code 1 when one is found.

    \b
    Example:
      muniment failure-modes find
      muniment failure-modes find version-confusion secret-expiry -o json
    """
    from ledger.errors import InputError
    from projections.asof import resolve_as_of
    from projections.failures.looking import Look
    from projections.failures.modes import MODES, find_failures

    known = [mode.id for mode in MODES]
    for name in modes:
        if name not in known:
            raise InputError(f"{name!r} is no failure mode", hint=f"There are: {', '.join(known)}.")
    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, head=size)
        found = find_failures(Look(ledger, runner.views, size, as_of, time.time_ns() // 1000), modes)
    items = [{"mode": name, **one.describe()} for name, failures in found.items() for one in failures]
    print_list(app, "found", Grid(_FIND, items), lambda: _show(app, items, len(found)))
    return 1 if items else 0


def _show(app: App, items: list[dict[str, Any]], looked: int) -> None:
    if not items:
        app.note(f"Nothing was found; {looked} queries looked.")
    rows = ((one["mode"], one["subject"], one["words"], ", ".join(map(str, one["entries"]))) for one in items)
    table(app, "Found", ("mode", "subject", "what", "entries"), rows)
