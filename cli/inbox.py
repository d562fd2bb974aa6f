"""`muniment inbox` and `muniment due`."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from cli.app import App, common_options, pass_app
from cli.difference import value_words
from cli.output import Grid, print_list, table
from cli.values import parse_duration

__all__ = ["due", "inbox"]

_INBOX = ("what", "subject", "environment", "by", "since", "may", "because", "index", "next")
_DUE = ("state", "at", "what", "subject", "words", "index")


@click.command(short_help="Show what waits for you.")
@click.option("--as", "actor", metavar="ACTOR", help="Who you are; MUNIMENT_ACTOR by default.")
@click.option("--all", "everything", is_flag=True, help="Also what waits for others.")
@common_options
@pass_app
def inbox(app: App, /, actor: str | None, *, everything: bool) -> None:
    """Show what waits for you, since when and why, and the command that answers it.

    These are requests for approval, to deploy and for waivers, emergencies to review, holds and rollbacks that nobody
    carried out, validations and action items that you were given, requests to erase what is known about somebody, and
    open incidents that you lead or are on call for.
    Requests for approval come with the checks that gates refused, what validators left open, what is live, and what
    differs from it, as `diff` tells it: in text shortened, which is said. Where an approval waits for a condition, or
    has ended, the command is the one that moves it on. Requests that were sent back wait for who asked.

    With an actor only what waits for that actor is shown.

    Example: muniment inbox --as p-…
    """
    from projections.inbox import inbox as waiting
    from projections.pending import Asked

    who = actor or app.actor or app.home.settings.actor
    with app.views() as (ledger, runner, size):
        items = app.marked(ledger, waiting(Asked(ledger, runner.views, size, time.time_ns() // 1000), who), size)
    shown = [item for item in items if everything or item["may"] in (None, True)]
    print_list(app, "inbox", Grid(_INBOX, shown), lambda: _show(app, shown, len(items)))


def _show(app: App, items: list[dict[str, Any]], total: int) -> None:
    if not items:
        app.note("Nothing waits for you." + (f" {total} wait for others (--all)." if total else ""))
        return
    rows = [(i["what"], i["subject"], i["environment"] or "", app.display(i["by"]), _age(i["age_seconds"]),
             _more(app, i), _named(app, i["because"])) for i in items]  # fmt: skip
    table(app, "Waiting", ("what", "subject", "environment", "by", "age", "more", "why"), rows)
    for item in items:
        app.note(item["next"])


def _named(app: App, words: str) -> str:
    """Words in which people who are known here stand by their names."""
    names = app.home.names()
    return re.sub(r"[\w-]+", lambda found: names.get(found[0], found[0]), words)


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _more(app: App, item: dict[str, Any]) -> str:
    from projections.waivers import terms_words

    match item["what"]:
        case "approval":
            return _approval(item, app.home.names())
        case "waiver":
            uses = "" if item["max_uses"] is None else f", for {item['max_uses']} use(s)"
            return (
                f"{item['check']} of {item['model']} until {item['until'][:10]}{uses}; {terms_words(item, app.display)}"
            )
        case "changes":
            return "; ".join(item["changes"])
        case "emergency":
            return f"review by {item['review_by'][:19]}Z"
        case "incident":
            by = f", to be reported by {item['report_by'][:19]}Z" if item["report_by"] else ""
            return f"{item['title']} ({item['severity']}){by}"
        case "hold" | "rollback":
            return f"{item['model']}, since {item['due_at'][:19]}Z overdue"
    words = item.get("title") or item.get("model") or item.get("scope") or ""
    due = item.get("due_at")
    return ", ".join([*([words] if words else []), *([f"due {due[:10]}"] if due else [])])


#: Sections of a difference on which somebody decides, and how many fields of each are shown before the others.
_DECISIVE = ("data", "parents", "code", "parameters", "environment", "contract", "metrics", "slices", "verdicts",
             "performance")  # fmt: skip
_FIELDS = 2


def _differs(live: dict[str, Any], model: str, names: dict[str, str]) -> str:
    """What differs from what is live: some of each section, how much more there is, and what is not on record."""
    changed, shown = live["changed"], []
    for section in _DECISIVE:
        shown += [one for one in changed if one["section"] == section][:_FIELDS]
    words = [_change(one, names) for one in shown]
    if len(changed) > len(shown):
        more = f"{len(changed) - len(shown)} {'more' if shown else 'changes'}"
        words.append(f"{'and ' if shown else ''}{more}: muniment diff {live['model']} {model}")
    missing = f"; not compared: {', '.join(live['missing'])}" if live["missing"] else ""
    return f"live: {live['model']} ({', '.join(words) or 'nothing differs'}{missing})"


def _change(one: dict[str, Any], names: dict[str, str]) -> str:
    """A field before and after; what was not there, or is there no more, has no value to show."""
    field, before, after = one["field"], value_words(one["before"], names), value_words(one["after"], names)
    if one["before"] is None:
        return f"{field} {after}, which was not there"
    return f"{field} was {before}, and is not there" if one["after"] is None else f"{field} {before} → {after}"


def _gate(gate: dict[str, Any]) -> str:
    if gate["allowed"]:
        return f"{gate['policy']} allows"
    return f"{gate['policy']} refuses{': ' + ', '.join(gate['refused']) if gate['refused'] else ''}"


def _open(item: dict[str, Any]) -> list[str]:
    """What validators left open: critical and high findings by name, the others counted."""
    words = [f"validation {one['verdict']} (entry {one['index']})" for one in item["validations"]]
    others = len(item["findings"])
    for severity in ("critical", "high"):
        named = [one["finding"] for one in item["findings"] if one["severity"] == severity]
        words += [f"{severity} findings open: {', '.join(named)}"] if named else []
        others -= len(named)
    return [*words, *([f"{others} finding(s) open of lower severity"] if others else [])]


def _approval(item: dict[str, Any], names: dict[str, str]) -> str:
    words = [] if item["needs"] is None else [f"{item['has']} of {item['needs']}, tier {item['tier']}"]
    words += [f"entry {one['index']}: {one['reason']}" for one in item["troubles"]]
    words += [*map(_gate, item["gates"]), *_open(item)]
    words += [f"waived by {waiver}" for waiver in item["waivers"]]
    words += [] if item["escalated_to"] is None else [f"passed to {item['escalated_to']}"]
    words += [_differs(live, item["subject"], names) for live in item["live"]]
    return "; ".join(words)


@click.command(short_help="Show what is about to end or overdue.")
@click.option("--within", metavar="DURATION", default="30d", show_default=True, help="How far ahead: 30d, 12h.")
@common_options
@pass_app
def due(app: App, /, within: str) -> None:
    """Show what begins, ends or is due: approvals, waivers, roles, keys, documents and much more.

    Also conditions that are not met, with the end of their approval, validations, credentials, actions and reviews, and
    holds and rollbacks that should be carried out. An approval ends with the first validation or document that it rests
    on. A key that was replaced ends at an index: it is shown as long as it may sign, without a time.

    Example: muniment due --within 14d
    """
    from projections.due import due as ending
    from projections.pending import Asked

    with app.views() as (ledger, runner, size):
        asked = Asked(ledger, runner.views, size, time.time_ns() // 1000)
        items = app.marked(ledger, ending(asked, parse_duration(within)), size)
    rows = ([_named(app, "" if item[name] is None else str(item[name])) for name in _DUE] for item in items)

    def show() -> None:
        if items:
            table(app, "Due", _DUE, rows)
        else:
            app.note(f"Nothing ends or is due within {within}.")

    print_list(app, "due", Grid(_DUE, items), show)
