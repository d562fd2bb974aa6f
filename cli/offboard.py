"""`muniment actor offboard`: an actor leaves, and nothing of it is left without anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.keyring import actor_state
from cli.output import Grid, print_record, table

if TYPE_CHECKING:
    from ledger.application import Receipt

__all__ = ["offboard"]

_COLUMNS = ("kind", "thing", "detail", "index")


def _rows(orphans: dict[str, Any]) -> list[dict[str, Any]]:
    """The lists as one."""
    shapes: dict[str, Callable[[Any], tuple[Any, ...]]] = {
        "models": lambda item: (item["version"], f"tier {item['tier']}", item["index"]),
        "approvals": lambda item: (item["version"], f"{item['environment']}: {item['status']}", item["index"]),
        "incidents": lambda item: (item["incident"], item["title"], item["index"]),
        "services": lambda item: (item, "", None),
        "accounts": lambda item: (item, "leaves with its person", None),
    }
    return [
        dict(zip(_COLUMNS, (kind[:-1], *shapes[kind](item)), strict=True))
        for kind, found in orphans.items()
        for item in found
    ]


def _events(
    name: str, orphans: dict[str, Any], successor: str | None, reason: str
) -> list[tuple[str, str, dict[str, Any]]]:
    body = {"successor": successor, "reason": reason}
    services = [("actor.responsible_changed", f"actor:{service}", {"responsible": successor, "reason": reason})
                for service in orphans["services"]]  # fmt: skip
    return [*services, *(("actor.offboarded", f"actor:{one}", body) for one in (*orphans["accounts"], name))]


@click.command("offboard", short_help="Let an actor leave, and name who takes over.")
@click.argument("name", metavar="ACTOR")
@click.option("--successor", metavar="ACTOR", help="Who takes over; needed when anything is left behind.")
@click.option("--reason", required=True, help="Why.")
@click.option("--dry-run", is_flag=True, help="Only show what is left behind and what would be recorded.")
@click.option("--as", "signer", metavar="ACTOR", help="Admin to sign as; root signs with the root keys.")
@common_options
@pass_app
def offboard(app: App, /, name: str, *, successor: str | None, reason: str, dry_run: bool, signer: str | None) -> None:
    """End all keys and roles of an actor in one transaction, and hand over what it leaves behind.

    Shown are the model versions it owns, its undecided requests and the approvals it gave, incidents it opened, and
    services it answers for. These services pass to the successor; for the rest the successor is named in the log.
    Other actors of the same person leave with it. The last admin cannot go, whoever signs.

    \b
    Example:
      muniment actor offboard p-… --successor p-… --reason "left the company" --dry-run
    """
    from ledger.errors import PolicyError
    from projections.orphans import count_orphans, find_orphans

    app.actor = signer or app.actor
    with app.views() as (ledger, runner, size):
        actor_state(ledger, name)
        orphans = find_orphans(ledger, runner.views, size, name)
    count = count_orphans(orphans)
    events = _events(name, orphans, successor, reason)
    data = {"actor": name, "successor": successor, "orphans": orphans, "needs_successor": count > 0}
    if dry_run:
        _show(app, {**data, "done": False, "events": [f"{kind} {subject}" for kind, subject, _ in events]}, [])
        return
    if count and successor is None:
        raise PolicyError(
            f"{name} leaves {count} thing(s) behind, and nobody takes over",
            hint="Name who does: --successor ACTOR; --dry-run shows what they are.",
        )
    with app.writer() as ledger:
        receipts = ledger.emit_all(events)
    _show(app, {**data, "done": True, "events": [f"{kind} {subject}" for kind, subject, _ in events]}, receipts)


def _show(app: App, data: dict[str, Any], receipts: list[Receipt]) -> None:
    data["indexes"] = [receipt.index for receipt in receipts]
    rows = _rows(data["orphans"])
    if app.output != "text":
        print_record(app, data, "", Grid(_COLUMNS, rows))
        return
    cells = ([str("" if row[name] is None else row[name]) for name in _COLUMNS] for row in rows)
    table(app, f"Left behind by {data['actor']}", ("what", "which", "detail", "entry"), cells)
    if not data["done"]:
        words = "" if data["successor"] or not data["needs_successor"] else "; a successor must be named"
        print_record(app, {}, f"would record {', '.join(data['events'])}{words}")
        return
    taken = "" if data["successor"] is None else f"; {app.display(data['successor'])} takes over"
    print_record(app, {}, f"{data['actor']} has left with entry {data['indexes'][-1]}{taken}")
