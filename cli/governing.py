"""Decisions about decisions: revoke, withdraw, conditions, tiers, waivers, and the review of emergencies."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import click

from cli.against import record_against
from cli.app import App, common_options, pass_app, write_options
from cli.output import Grid, print_record, table
from cli.reading import with_as_of
from cli.values import DEPLOYMENT, MODEL, WAIVER, end_of, moment_of

__all__ = ["classify", "condition", "review", "revoke", "waiver", "withdraw"]

_WAIVERS: Final = (
    "waiver", "state", "check", "model", "environment", "owner", "until", "used", "max_uses", "trouble", "index",
    "reason", "compensating_control", "requested_by",
)  # fmt: skip
_model = click.argument("model", type=MODEL, metavar="MODEL@VERSION")
_environment = click.option("--env", "environment", help="Which, when there are several.")
_rationale = click.option("--rationale", required=True, help="Why; shown in every report.")


@click.command(short_help="Take an approval back.")
@_model
@_environment
@click.option("--approval", metavar="ID", help="Event id of the approval, instead of your own.")
@_rationale
@write_options
@pass_app
def revoke(app: App, /, model: str, environment: str | None, **options: Any) -> None:
    """Take an approval back; what was authorised under it before was authorised.

    It takes along what the same people approved there before. Without --approval it is your own; where you gave none
    that stands, and others gave several, say which.

    Example: muniment revoke model:tx@1 --rationale "bias found in production"
    """
    from ledger.governing import revoke_approval

    record_against(app, revoke_approval, model, environment, **options)


@click.command(short_help="Withdraw a request for approval.")
@_model
@_environment
@click.option("--request", metavar="ID", help="Event id of the request, instead of the newest open one.")
@click.option("--reason", help="Why.")
@write_options
@pass_app
def withdraw(app: App, /, model: str, environment: str | None, **options: Any) -> None:
    """Ask no more: only who asked can. What was approved under other requests stays approved, and that is said.

    Example: muniment withdraw model:tx@1 --reason "trained on the wrong month"
    """
    from ledger.governing import withdraw_request

    record_against(app, withdraw_request, model, environment, **options)


@click.command(short_help="Say that a condition of an approval is met.")
@_model
@click.argument("number", type=click.IntRange(0, 15), metavar="NUMBER")
@_environment
@click.option("--approval", metavar="ID", help="Event id of the approval, instead of the one that waits for it.")
@click.option("--note", help="How it was met.")
@write_options
@pass_app
def condition(app: App, /, model: str, number: int, environment: str | None, **options: Any) -> None:
    """Say that a condition of an approval is met, numbered from 0; the approval holds once all are.

    Example: muniment condition model:tx@1 0 --note "monitor:drift is on"
    """
    from ledger.governing import meet_condition

    app.record(meet_condition, model, number, environment, **options)


@click.command(short_help="Review a decision that was taken in an emergency.")
@click.argument("deployment", type=DEPLOYMENT)
@click.option("--decision", metavar="ID", help="Event id of the decision, instead of the oldest that waits.")
@click.option("--verdict", type=click.Choice(["justified", "unjustified"]), required=True, help="What you conclude.")
@_rationale
@write_options
@pass_app
def review(app: App, /, deployment: str, **options: Any) -> None:
    """Review what somebody else authorised in an emergency; until then it is in every report.

    Example: muniment review deployment:prod/tx --verdict justified --rationale "losses stopped within the hour"
    """
    from ledger.governing import review_emergency

    app.record(review_emergency, deployment, **options)


def _answer(name: str, question: str, given: bool | None) -> bool:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"Nobody answers here: give --{name.replace('_', '-')} or --no-{name.replace('_', '-')}."
        )
    return bool(click.confirm(question, err=True))


@click.command(short_help="Set the risk tier of a model by a short list of questions.")
@click.argument("subject", type=MODEL, metavar="MODEL[@VERSION]")
@click.option("--affects-people/--no-affects-people", default=None, help="People may be treated worse by its answers.")
@click.option("--personal-data/--no-personal-data", default=None, help="It reads or learns from personal data.")
@click.option("--money-or-law/--no-money-or-law", default=None, help="Money, contracts or the law depend on it.")
@click.option("--shared/--no-shared", default=None, help="Other teams use it.")
@click.option("--rationale", required=True, help="Why these answers.")
@click.option("--regime", help="Whose classification it follows, for example EU AI Act Annex III.")
@click.option("--annex", help="Where it stands there, for example Annex III(5)(b).")
@click.option("--questionnaire", metavar="sha256:HEX", help="Digest of the questions as they were answered.")
@click.option("--effective", "effective_at", metavar="TIME", help="Since when it applies in that regime (ISO 8601).")
@write_options
@pass_app
def classify(app: App, /, subject: str, rationale: str, **options: Any) -> None:
    """Classify a model: light, standard or full governance (tier low, medium, high). Unanswered questions are asked.

    A lower tier than before is for a validator who neither made nor owns the model.

    Example: muniment classify model:tx --affects-people --personal-data --money-or-law --no-shared --rationale "credit"
    """
    from ledger.governing import QUESTIONS, TIER_WORDS, tier_of_answers
    from ledger.governing import classify as decide

    answers = {name: _answer(name, question, options.pop(name)) for name, question in QUESTIONS.items()}
    tier = tier_of_answers(answers)
    if options["effective_at"] is not None:
        options["effective_at"] = moment_of(options["effective_at"])
    with app.writer() as ledger:
        receipt = decide(ledger, subject, answers, rationale=rationale, **options)
        app.show_receipt(receipt, then=f"{subject} is of tier {tier}: {TIER_WORDS[tier]} governance.")


@click.group(short_help="Let a check be unmet for a while, knowingly.")
def waiver() -> None:
    """Waivers: asked for by one person, granted by another, with an end. They are shown wherever a check is."""


@waiver.command("request")
@click.argument("check")
@click.option("--model", type=MODEL, required=True, metavar="MODEL[@VERSION]", help="For which model or version.")
@click.option("--env", "environment", required=True, help="In which environment.")
@click.option("--owner", required=True, metavar="ACTOR", help="Who carries the risk.")
@click.option("--reason", required=True, help="Why the check cannot be met.")
@click.option("--control", "compensating_control", required=True, help="What makes up for it meanwhile.")
@click.option("--expires", "expires_at", required=True, metavar="TIME|DURATION", help="Its end: a time, or 30d, 12h.")
@click.option("--single-use", is_flag=True, help="For one authorisation.")
@click.option("--max-uses", type=click.IntRange(min=1), metavar="N", help="For so many authorisations.")
@click.option("--waiver", metavar="waiver:ID", help="Its name; a new one by default.")
@write_options
@pass_app
def request_(app: App, /, check: str, expires_at: str, *, waiver: str | None, **options: Any) -> None:
    """Ask that CHECK (an id, or a pattern with *) may be left unmet.

    Example: muniment waiver request drift-run --model model:tx --env prod --owner p-… --expires 14d --reason "new data"
    --control "manual review of every refusal"
    """
    from ledger.governing import request_waiver, waiver_doubts

    body = {"check": check, "expires_at": end_of(expires_at), "single_use": options.pop("single_use")}
    for name in ("max_uses", "model", "environment", "owner", "reason", "compensating_control"):
        body[name] = options.pop(name)
    with app.writer() as ledger:
        receipt = request_waiver(ledger, body, waiver=waiver, **options)
        for doubt in waiver_doubts(ledger, check, body["model"], body["environment"]):
            app.note(f"warning: {doubt}. If that is a mistake: muniment waiver revoke {receipt.stream} --reason …")
        app.show_receipt(
            receipt, then=f"Waiting for another person: muniment waiver grant {receipt.stream} --rationale …"
        )


@waiver.command()
@click.argument("name", type=WAIVER, metavar="waiver:ID")
@_rationale
@click.option("--expires", "expires_at", metavar="TIME|DURATION", help="An earlier end than was asked for.")
@write_options
@pass_app
def grant(app: App, /, name: str, rationale: str, expires_at: str | None, **options: Any) -> None:
    """Grant a waiver: another person than who asked and who carries the risk."""
    from ledger.governing import decide_waiver

    body = {"rationale": rationale, "expires_at": None if expires_at is None else end_of(expires_at)}
    app.record(decide_waiver, name, "granted", body, **options)


@waiver.command()
@click.argument("name", type=WAIVER, metavar="waiver:ID")
@_rationale
@write_options
@pass_app
def deny(app: App, /, name: str, rationale: str, **options: Any) -> None:
    """Deny a waiver."""
    from ledger.governing import decide_waiver

    app.record(decide_waiver, name, "denied", {"rationale": rationale}, **options)


@waiver.command("revoke")
@click.argument("name", type=WAIVER, metavar="waiver:ID")
@click.option("--reason", required=True, help="Why.")
@write_options
@pass_app
def revoke_(app: App, /, name: str, reason: str, **options: Any) -> None:
    """End a waiver before its time."""
    from ledger.governing import decide_waiver

    app.record(decide_waiver, name, "revoked", {"reason": reason}, **options)


@waiver.command("list")
@with_as_of
@common_options
@pass_app
def list_(app: App, /, *, at: str | None, known_at: str | None) -> None:
    """Show every waiver: whether it stands, why, what is done instead, who carries the risk, its end and its uses.

    Example: muniment waiver list --at 2026-09-30T23:59:59Z
    """
    from ledger.entry import format_time
    from projections.asof import resolve_as_of
    from projections.waivers import waivers

    with app.views() as (ledger, runner, size):
        now = time.time_ns() // 1000
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size, now=now)
        found = app.marked(ledger, waivers(ledger, runner.views, as_of, as_of.asked), as_of.size)
        data = {"origin": ledger.origin, **as_of.describe(), "asked_at": format_time(as_of.asked), "waivers": found}
    if app.output == "text":
        table(
            app,
            "Waivers",
            ("waiver", "state", "check", "for", "until", "uses", "terms"),
            [_line(app, one) for one in found],
        )
        click.echo(f"{len(found)} waiver(s), of which {sum(one['state'] == 'stands' for one in found)} stand(s)")
    elif app.output == "ndjson":
        for one in found:
            print_record(app, one, "")
    else:
        print_record(app, data, "", Grid(_WAIVERS, found))


def _line(app: App, one: dict[str, Any]) -> tuple[str, ...]:
    from projections.waivers import USELESS, terms_words

    uses = str(one["used"]) if one["max_uses"] is None else f"{one['used']} of {one['max_uses']}"
    state = one["state"] if one["state"] not in ("does not stand", USELESS) else f"{one['state']}: {one['trouble']}"
    return (one["waiver"], state, one["check"], f"{one['model']} in {one['environment']}", one["until"], uses,
            terms_words(one, app.display))  # fmt: skip
