"""`muniment inbox` and `muniment due`."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_list, table
from cli.values import parse_duration

__all__ = ["due", "inbox"]

_INBOX = ("what", "subject", "environment", "by", "since", "may", "index", "next")
_DUE = ("state", "at", "what", "subject", "words", "index")


@click.command(short_help="Show what waits for a decision.")
@click.option("--as", "actor", metavar="ACTOR", help="Who you are; MUNIMENT_ACTOR by default.")
@click.option("--all", "everything", is_flag=True, help="Also what you may not decide.")
@common_options
@pass_app
def inbox(app: App, /, actor: str | None, *, everything: bool) -> None:
    """Show requests for approval and waivers, emergencies to review, and holds and rollbacks that nobody carried out.

    Requests come with what is live and what differs from it.

    With an actor only what that actor may decide is shown.

    Example: muniment inbox --as p-…
    """
    from projections.pending import Asked
    from projections.pending import inbox as waiting

    who = actor or app.actor or app.home.settings.actor
    with app.views() as (ledger, runner, size):
        items = waiting(Asked(ledger, runner.views, size, time.time_ns() // 1000), who)
    shown = [item for item in items if everything or item["may"] in (None, True)]
    print_list(app, "inbox", Grid(_INBOX, shown), lambda: _show(app, shown, len(items)))


def _show(app: App, items: list[dict[str, Any]], total: int) -> None:
    if not items:
        app.note(
            "Nothing waits for you." if total == 0 else f"Nothing you may decide; {total} wait for others (--all)."
        )
        return
    rows = [(i["what"], i["subject"], i["environment"] or "", app.display(i["by"]), _age(i["age_seconds"]), _more(i))
            for i in items]  # fmt: skip
    table(app, "Waiting", ("what", "subject", "environment", "by", "age", "more"), rows)
    for item in items:
        app.note(item["next"])


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _more(item: dict[str, Any]) -> str:
    if item["what"] != "approval":
        if "due_at" in item:
            return f"{item['model']}, since {item['due_at'][:19]}Z overdue"
        return item.get("check") or f"review by {item.get('review_by')}"
    words = [item["stopped"]] if item["stopped"] else [f"{item['has']} of {item['needs']}, tier {item['tier']}"]
    words += [f"{gate['policy']} {'allows' if gate['allowed'] else 'refuses'}" for gate in item["gates"]]
    words += [f"waived by {waiver}" for waiver in item["waivers"]]
    for live in item["live"]:
        changes = ", ".join(f"{c['field']} {c['before']} → {c['after']}" for c in live["changed"][:3])
        words.append(f"live: {live['model']}" + (f" ({changes})" if changes else ""))
    return "; ".join(words)


@click.command(short_help="Show what is about to end or overdue.")
@click.option("--within", metavar="DURATION", default="30d", show_default=True, help="How far ahead: 30d, 12h.")
@common_options
@pass_app
def due(app: App, /, within: str) -> None:
    """Show what ends or is due: approvals, waivers, roles, keys, documents and much more.

    Also validations, credentials, actions and reviews, and holds and rollbacks that should be carried out. A key that
    was replaced ends at an index: it is shown as long as it may sign, without a time.

    Example: muniment due --within 14d
    """
    from projections.pending import Asked
    from projections.pending import due as ending

    with app.views() as (ledger, runner, size):
        asked = Asked(ledger, runner.views, size, time.time_ns() // 1000)
        items = ending(asked, parse_duration(within))
    rows = (["" if item[name] is None else str(item[name]) for name in _DUE] for item in items)
    print_list(app, "due", Grid(_DUE, items), lambda: table(app, "Due", _DUE, rows))
