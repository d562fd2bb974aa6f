"""`muniment why`: why a version may be deployed or not, with the entries that say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.deployed import followed, remarks_of
from cli.output import Grid, clean, print_record
from cli.reading import with_as_of

__all__ = ["why"]

_COLUMNS: Final = (
    "asked", "model", "environment", "allowed", "condition", "met", "reason", "index", "type", "actor", "recorded_at",
    "leaf_hash", "says", "holds", "trouble", "words", "cites", "suspect",
)  # fmt: skip


@click.command(short_help="Show why a version may be deployed or not, with the entries that say so.")
@click.argument("subject", metavar="MODEL@VERSION|DEPLOYMENT")
@click.option("--env", "environment", help="Of a version: for this environment; all that are known by default.")
@with_as_of
@common_options
@pass_app
def why(app: App, /, subject: str, *, environment: str | None, at: str | None, known_at: str | None) -> None:
    """Show what the rules ask for, what meets it and what does not: who decided what, when, and resting on what.

    It asks the very rules that refuse an authorisation. Of a deployment it shows why what is live there was allowed
    then, and whether it might be again. --at asks what would have been decided at that time, by what was recorded by
    then. It is a question, so the exit code is 0 whatever the answer is.

    \b
    Example:
      muniment why model:tx@7 --env prod
      muniment why deployment:prod/tx --at 2026-11-01T12:00:00Z -o json
    """
    from ledger.entry import format_time
    from projections.asof import as_decided
    from projections.why import why as ask

    with app.views() as (ledger, runner, size):
        now = time.time_ns() // 1000
        as_of, moment = as_decided(ledger, runner.views, at=at, known_at=known_at, head=size, now=now)
        told = app.marked(
            ledger, ask(ledger, runner.views, as_of, moment, subject, environment=environment), as_of.size
        )
        data = {
            "origin": ledger.origin,
            **as_of.describe(),
            "asked_at": format_time(moment),
            "subject": subject,
            **told,
        }
    if app.output == "text":
        known = data["known_at"]
        app.note(f"{data['origin']}: as of {data['asked_at']}, known at size {known['size']} ({known['recorded_at']})")
        for line in _lines(app, data):
            click.echo(clean(line).replace("\n", " "))
    else:
        print_record(app, data, "", Grid(_COLUMNS, _rows(data)))


def _rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for answer in data["answers"]:
        said = {name: answer[name] for name in ("asked", "model", "environment", "allowed")}
        for one in answer["conditions"]:
            condition = {name: one[name] for name in ("condition", "met", "reason")}
            for item in one["evidence"] or [{}]:
                yield {**item, **said, **condition}


def _lines(app: App, data: dict[str, Any]) -> Iterator[str]:
    if data["subject"].startswith("deployment:") and not data["live"]:
        yield f"nothing is live in {data['subject']}; what else is known of it: muniment state {data['subject']}"
    for live in data["live"]:
        rests = "nothing authorised it" if live["rests_on"] is None else f"by entry {live['rests_on']} ({live['by']})"
        since = f"since {live['since']} (entry {live['index']})"
        yield f"{live['model']} is {live['how']} in {data['subject']} {since}, {rests}"
        yield from (f"  ! {remark}" for remark in remarks_of(live))
        if over := live["ended"]:
            yield f"  ! what entry {over['authorised']} authorised was over when it was reported: {over['words']}"
        yield from [f"  ! {live['doubt']}"] if live["doubt"] else []
    for one in data["emergencies"]:
        yield f"! the emergency of entry {one['index']} {_review(app, one)}"
    for one in data["holds"]:
        put = f"{one['model']} was put on hold by entry {one['index']}"
        yield f"! {put}" if one["answer"] is None else f"  {put}: {_ended(one)}"
    for one in data["returns"]:
        back = f"entry {one['index']} decided to return from {one['model']} to {one['to']}"
        yield f"! {back} in {one['deployment']}, and that is {one['status']}. {one['next']}"
    for answer in data["answers"]:
        yield from _answer(app, answer)


def _ended(hold: dict[str, Any]) -> str:
    return followed(hold) if hold["status"] == "lifted" else f"{hold['status']}, by {followed(hold)}"


def _review(app: App, one: dict[str, Any]) -> str:
    match one["status"]:
        case "open":
            return f"is to be reviewed by {one['review_by']}"
        case "overdue":
            return f"was to be reviewed by {one['review_by']}, and nobody has reviewed it"
    review = one["review"]
    return f"was found {one['status']} by {app.display(review['actor'])} in entry {review['index']}"


def _answer(app: App, answer: dict[str, Any]) -> Iterator[str]:
    decision, place = answer["decision"], f"{answer['model']} in {answer['environment']}"
    if decision is not None:
        by = f"authorised by {app.display(decision['actor'])} in entry {decision['index']} at {decision['recorded_at']}"
        yield f"{place}: {by}, because then"
        if decision["emergency"] is not None:
            yield f"  ! in an emergency: {decision['emergency']['reason']}"
        yield from ["  ! that entry is suspect"] if decision["suspect"] else []
    else:
        until = f", if recorded before {answer['until']}" if answer["until"] else ""
        yield f"{place}: {'may be authorised' if answer['allowed'] else 'would be refused'}{until}"
    if answer["rule"] is not None:
        yield f"  tier {answer['tier']}; the rule asks for {_rule(answer['rule'])}"
    for one in answer["conditions"]:
        state = "met   " if one["met"] else "BROKEN"
        yield f"  {state} {one['condition']}{': ' + one['reason'] if one['reason'] else ''}"
        for item in one["evidence"]:
            yield from _item(app, item)
        yield from [f"         next: {one['next']}"] if one["next"] else []


def _rule(rule: dict[str, Any]) -> str:
    parts = [f"{rule['approvals']} approval(s)" if rule["approvals"] else "no approval"]
    parts += [f"by {', '.join(rule['roles'])}"] if rule["roles"] else []
    parts += [f"for {rule['days']} days"] if rule["days"] else []
    parts += ["a passed evaluation before it"] if rule["evaluation"] else []
    parts += [f"and {rule['gate']}"] if rule["gate"] else []
    return ", ".join(parts)


def _item(app: App, item: dict[str, Any]) -> Iterator[str]:
    head = f"{item['index']:>12}  {item['leaf_hash'][:8]}  {item['recorded_at'][:19]}Z  {app.display(item['actor'])}"
    cites = f"; cites {', '.join(map(str, item['cites']))}" if item["cites"] else ""
    doubt = " (suspect)" if item["suspect"] else ""
    trouble = "" if item["holds"] else f": does not stand, {item['trouble']}"
    until = f", until {item['until']}" if item["until"] and item["holds"] else ""
    yield f"{head}  {item['says']}{until}{trouble}{cites}{doubt}"
    yield from [f"{'':>24}“{item['words']}”"] if item["words"] else []
    for condition in item["conditions"]:
        yield f"{'':>24}condition {'met' if condition['met'] else 'NOT met'}: {condition['condition']}"
    beside: dict[str, list[str]] = {}
    for check in item["checks"]:
        if check["result"] == "not-applicable":
            beside.setdefault(check["reason"], []).append(check["check"])
        elif check["result"] != "pass":
            waived = f" by {check['waiver']}" if check.get("waiver") else ""
            yield f"{'':>24}{check.get('check')}: {check.get('result')}{waived}: {check.get('reason')}"
    yield from (f"{'':>24}{', '.join(checks)}: not-applicable: {reason}" for reason, checks in beside.items())
