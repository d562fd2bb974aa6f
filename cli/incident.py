"""`muniment incident`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from cli.app import App, common_options, pass_app, write_options
from cli.known import require, say_strange, strange
from cli.output import Grid, print_list, table
from cli.values import DEPLOYMENT, INCIDENT, MODEL, end_of

if TYPE_CHECKING:
    from ledger.application import Ledger

__all__ = ["incident"]

_COLUMNS = ("incident", "status", "severity", "opened_at", "title", "index")
#: What is to be learnt from an incident: in words, the types that say it, and the command that does.
_LEARNT: Final = (
    ("cause", ("incident.root_cause_recorded", "incident.contributing_factor_recorded"),
     "cause {} --category … --statement …"),
    ("action item", ("incident.action_item_created",), "action {} --title … --owner …"),
)  # fmt: skip


def _status(ledger: Ledger, subject: str) -> str | None:
    """``open`` or ``closed``, None for an incident of which nothing is recorded."""
    from ledger.domain.states import IncidentState

    state = ledger.world.at(ledger.world.refresh()).state(subject)
    return state.status if isinstance(state, IncidentState) else None


def _tell(app: App, type: str, subject: str, /, **options: Any) -> None:
    """Record something about an incident that there is; the wrong one cannot be taken out of the log again."""
    from ledger.domain.world import actor_of

    with app.writer() as ledger:
        hint = f"Open it: muniment incident open {subject} --title …; or, if that comes later: muniment emit {type} …"
        require(ledger, subject, hint)
        if type == "incident.closed" and _status(ledger, subject) == "closed":
            app.note(f"Warning: {subject} was closed before. See: muniment timeline {subject}")
        for name in (options.get("owner"), *(options.get("reviewers") or ())):
            if name is not None and actor_of(ledger.world.at(ledger.world.refresh()), name) is None:
                app.note(f"Warning: {name} is nobody enrolled here. See: muniment actor list")
        app.show_receipt(ledger.emit(type, subject, **options))
        if type == "incident.closed":
            for hint in _not_learnt(ledger, subject):
                app.note(hint)


def _not_learnt(ledger: Ledger, subject: str) -> Iterator[str]:
    """What nobody said about an incident that is closed; it may be said afterwards, too."""
    from ledger.names import stream_of

    rows = ledger.recorder.stream_rows(stream_of(subject), 0, ledger.world.refresh())
    told = {row.entry.type.removeprefix("muniment.").rpartition(".")[0] for row in rows}
    for words, types, command in _LEARNT:
        if told.isdisjoint(types):
            yield f"no {words} is recorded; it may follow: muniment incident {command.format(subject)}"


@click.group(short_help="Open, note, mitigate, explain and close incidents.")
def incident() -> None:
    """Incidents are never refused for policy reasons, by any enrolled actor."""


@incident.command("open")
@click.argument("subject", type=INCIDENT)
@click.option("--title", required=True, help="What is wrong, in a line.")
@click.option("--severity", type=click.Choice(["low", "medium", "high", "critical"]), default="medium",
              show_default=True, help="How bad it is.")  # fmt: skip
@click.option("--deployment", type=DEPLOYMENT, metavar="SUBJECT", help="The deployment that suffers.")
@click.option("--model", type=MODEL, metavar="MODEL@VERSION", help="The version that failed, when known.")
@click.option("--description", help="More about it.")
@click.option("--seriousness", help="In the law's words, for example EU AI Act Art. 3(49).")
@click.option("--report-by", metavar="TIME|DURATION", help="When the authority must have been told: a time, or 15d.")
@write_options
@pass_app
def open_(app: App, /, subject: str, report_by: str | None, **options: Any) -> None:
    """Open an incident.

    Example: muniment incident open incident:inc-1 --title "AUC fell" --deployment deployment:prod/tx
    """
    end = None if report_by is None else end_of(report_by)
    with app.writer() as ledger:
        before = _status(ledger, subject)
        unknown = strange(ledger, options["deployment"], options["model"])
        receipt = ledger.emit("incident.opened", subject, report_by=end, **options)
        say_strange(app, ledger, unknown, f"If the name is wrong, open it again: muniment incident open {subject} …")
        if before is not None:
            again = (
                "is open already, and this adds to it" if before == "open" else "was closed, and this opens it again"
            )
            app.note(f"Warning: {subject} {again}. If it is another incident, open that under another name.")
        app.show_receipt(receipt, then=f"What changed before it: muniment timeline {subject}")


@incident.command()
@click.argument("subject", type=INCIDENT)
@click.argument("text")
@write_options
@pass_app
def note(app: App, /, subject: str, text: str, **options: Any) -> None:
    """Add a remark to the timeline."""
    _tell(app, "incident.noted", subject, note=text, **options)


@incident.command()
@click.argument("subject", type=INCIDENT)
@click.option("--note", help="How.")
@write_options
@pass_app
def mitigate(app: App, /, subject: str, **options: Any) -> None:
    """Record that the harm has stopped."""
    _tell(app, "incident.mitigated", subject, **options)


@incident.command("cause")
@click.argument("subject", type=INCIDENT)
@click.option(
    "--category", required=True, help="Kind of cause.",
    type=click.Choice(["data", "code", "model", "configuration", "process", "infrastructure", "external", "unknown"]),
)  # fmt: skip
@click.option("--statement", required=True, help="What caused it.")
@click.option("--contributing", is_flag=True, help="It had a part in it, and is not the root cause.")
@click.option(
    "--reviewer", "reviewers", multiple=True, metavar="ACTOR", help="Who looked at it and agrees; repeatable."
)
@write_options
@pass_app
def cause(app: App, /, subject: str, *, contributing: bool, reviewers: tuple[str, ...], **options: Any) -> None:
    """Record the root cause people concluded on, or a factor that had a part in it."""
    kind = "incident.contributing_factor_recorded" if contributing else "incident.root_cause_recorded"
    _tell(app, kind, subject, reviewers=list(reviewers) or None, **options)


@incident.command()
@click.argument("subject", type=INCIDENT)
@click.option("--title", required=True, help="What is to be done.")
@click.option("--kind", type=click.Choice(["prevent", "detect", "mitigate"]), default="prevent", show_default=True,
              help="What it is for.")  # fmt: skip
@click.option("--owner", metavar="ACTOR", help="Who does it.")
@click.option("--due", metavar="YYYY-MM-DD", help="By when.")
@write_options
@pass_app
def action(app: App, /, subject: str, **options: Any) -> None:
    """Record an action item."""
    _tell(app, "incident.action_item_created", subject, **options)


@incident.command()
@click.argument("subject", type=INCIDENT)
@click.option("--summary", required=True, help="How it ended.")
@write_options
@pass_app
def close(app: App, /, subject: str, **options: Any) -> None:
    """Close an incident; where no cause or no action item is recorded, that is said.

    Example: muniment incident close incident:inc-1 --summary "rolled back, and explained"
    """
    _tell(app, "incident.closed", subject, **options)


@incident.command("list")
@common_options
@pass_app
def list_(app: App) -> None:
    """List incidents."""
    from ledger.entry import format_time
    from projections.journal import journal_rows

    with app.views() as (ledger, runner, size):
        valid = [("type", "=", "incident.opened"), ("verdict", "=", "valid")]
        opened = app.marked(ledger, journal_rows(runner.views, valid, size=size), size)
        closings = [("type", "=", "incident.closed"), ("verdict", "=", "valid")]
        closed = {row["stream"]: row["index"] for row in journal_rows(runner.views, closings, size=size)}
    last = {row["stream"]: row["index"] for row in opened}  # an incident may be opened again
    items = [
        {
            "incident": row["subject"],
            "title": row["data"]["title"],
            "severity": row["data"].get("severity", "medium"),
            "status": "closed" if closed.get(row["stream"], -1) > last[row["stream"]] else "open",
            "opened_at": format_time(row["occurred_at"]),
            "index": row["index"],
        }
        for row in opened
    ]
    columns = _COLUMNS[:-1]
    rows = ([str(item[name]) for name in columns] for item in items)

    def show() -> None:
        if items:
            table(app, "Incidents", columns, rows)
        else:
            app.note("No incident was opened here.")

    print_list(app, "incidents", Grid(_COLUMNS, items), show)
