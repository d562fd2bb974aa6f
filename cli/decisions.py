"""Requests, approvals, authorisations and rollbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.against import record_against
from cli.app import App, pass_app, write_options
from cli.beforehand import warn_of_return, warn_of_target
from cli.known import near_environments, say_strange, strange
from cli.values import DEPLOYMENT, INCIDENT, MODEL, SHARE, end_of

if TYPE_CHECKING:
    from ledger.application import Ledger
    from projections.gates import Gate

__all__ = ["approve", "authorise", "escalate", "reject", "request", "request_changes", "rollback"]


@click.command(short_help="Ask that a version may go to an environment.")
@click.argument("model", type=MODEL, metavar="MODEL@VERSION")
@click.option("--env", "environment", required=True, help="Environment, for example prod.")
@click.option("--reason", help="Why.")
@click.option("--amends", metavar="ID", help="Event id of the request that was sent back, and that this one amends.")
@write_options
@pass_app
def request(app: App, /, model: str, environment: str, **options: Any) -> None:
    """Ask that a version may go to an environment.

    Example: muniment request model:tx@1 --env prod
    """
    from ledger.commands import request_approval

    with app.writer() as ledger:
        meant = near_environments(ledger, environment)
        receipt = request_approval(ledger, model, environment, **options)
        if meant:
            app.note(
                f"Warning: nothing is deployed to {environment} here, but to {' and '.join(meant)}. If that was meant: "
                f"muniment withdraw {model} --env {environment}"
            )
        app.show_receipt(
            receipt, then=f"Waiting for another person: muniment approve {model} --env {environment} --rationale …"
        )


_model = click.argument("model", type=MODEL, metavar="MODEL@VERSION")
_rationale = click.option("--rationale", required=True, help="Why; shown in every report.")


def _which(function: Any) -> Any:
    for option in reversed(
        [
            click.option("--env", "environment", help="Which request, when there are several."),
            click.option("--request", metavar="ID", help="Event id of the request, instead of the newest open one."),
        ]
    ):
        function = option(function)
    return function


def _deciding(function: Any) -> Any:
    return _model(_rationale(_which(function)))


@click.command(short_help="Approve the newest open request of a version.")
@_deciding
@click.option("--valid-from", metavar="TIME|DURATION", help="It holds from then on: a time, or 2d from now.")
@click.option("--expires", metavar="TIME|DURATION", help="It holds until then: a time, or 90d, 12h.")
@click.option("--condition", "conditions", multiple=True, help="It holds once this is said to be met; repeatable.")
@write_options
@pass_app
def approve(
    app: App, /, model: str, environment: str | None, expires: str | None, valid_from: str | None, **options: Any
) -> None:
    """Approve a request, having looked at its evidence (`muniment state MODEL@VERSION`, `muniment inbox`).

    Example: muniment approve model:tx@1 --rationale "validation report reviewed" --expires 90d
    """
    from ledger.commands import approve as decide

    since, end = (None if text is None else end_of(text) for text in (valid_from, expires))
    app.record(decide, model, environment, valid_from=since, expires_at=end, **options)


@click.command(short_help="Turn the newest open request of a version down.")
@_deciding
@write_options
@pass_app
def reject(app: App, /, model: str, environment: str | None, **options: Any) -> None:
    """Turn a request down. What was approved for that environment under other requests stands no more.

    Example: muniment reject model:tx@2 --rationale "recall drops for women"
    """
    from ledger.commands import reject as decide

    record_against(app, decide, model, environment, **options)


@click.command("request-changes", short_help="Send the newest open request of a version back.")
@_model
@click.option("--change", "changes", multiple=True, required=True, help="What must change; repeatable.")
@click.option("--rationale", help="Why.")
@_which
@write_options
@pass_app
def request_changes(app: App, /, model: str, environment: str | None, **options: Any) -> None:
    """Send a request back to who asked: it waits for deciders no more, and another request follows.

    What was approved for that environment under other requests stands no more.

    Example: muniment request-changes model:tx@2 --change "measure recall for people over 65"
    """
    from ledger.governing import request_changes as decide

    record_against(app, decide, model, environment, **options)


@click.command(short_help="Pass the newest open request of a version to a role or to somebody.")
@_deciding
@click.option("--to", "to_actor", metavar="ACTOR", help="To whom.")
@click.option("--to-role", metavar="ROLE", help="To everybody in this role.")
@write_options
@pass_app
def escalate(app: App, /, model: str, environment: str | None, **options: Any) -> None:
    """Pass a request on: it is in the inbox of who is named, too. It gives nobody a right that they lack.

    Example: muniment escalate model:tx@2 --to-role validator --rationale "the metrics need somebody else's eye"
    """
    from ledger.governing import escalate_request as decide

    if (options["to_actor"] is None) == (options["to_role"] is None):
        raise click.UsageError("To whom? Give --to or --to-role.")
    app.record(decide, model, environment, **options)


@click.command(short_help="Authorise a deployment; nothing is deployed by it.")
@click.argument("deployment", type=DEPLOYMENT)
@click.option("--model", type=MODEL, required=True, metavar="MODEL@VERSION", help="What may be deployed.")
@click.option("--reason", help="Why.")
@click.option("--strategy", help="How it is to be rolled out, for example canary, blue-green.")
@click.option("--traffic", type=SHARE, help="Share of the traffic that it is to get.")
@click.option("--config-digest", metavar="sha256:HEX", help="Digest of the settings that it is to run with.")
@click.option("--emergency", is_flag=True, help="Do not wait for approvals and gates; another person reviews it.")
@click.option("--review-by", metavar="TIME|DURATION", default="7d", show_default=True, help="With --emergency.")
@click.option("--lift-hold", metavar="REASON", help="Why, where it is held there: the authorisation lifts the hold.")
@write_options
@pass_app
def authorise(
    app: App, /, deployment: str, model: str, *, emergency: bool, review_by: str, lift_hold: str | None, **options: Any
) -> None:
    """Authorise a deployment, after the policy that the rules name was run and allows it.

    What a waiver let be is named. With --emergency approvals and gates are not asked for, but --reason is. It stays in
    the inbox and in every report until another person has reviewed it. A quarantine still stops it. What is held there
    is authorised with --lift-hold alone, in an emergency too, and `muniment watch` decides anew where a rule fires by
    what comes later.

    Example: muniment authorise deployment:prod/tx --model model:tx@1
    """
    from ledger.commands import is_recorded
    from muniment.gating import authorise as decide
    from projections.waivers import terms_words

    if lift_hold is not None:
        if options["reason"] is not None:
            raise click.UsageError("--lift-hold gives the reason; leave out --reason.")
        options["reason"] = lift_hold
    if emergency:
        if options["reason"] is None:
            raise click.UsageError("--emergency needs --reason.")
        options["emergency"] = {"reason": options["reason"], "review_by": end_of(review_by)}
    gates: list[Gate] = []
    with app.writer() as ledger:
        if not is_recorded(ledger, options["event_id"]):  # the same id again repeats nothing
            _check_hold(app, ledger, deployment, model, lift_hold)
            warn_of_return(app, ledger, deployment, model)
        receipt = decide(ledger, deployment, model, told=gates.append, **options)
        app.show_receipt(
            receipt,
            then=f"Recorded; nothing was changed in {deployment}; waiting for deployment.completed.\n"
            f"When it is live: muniment record deployment {deployment} --model {model}",
        )
        waivers = app.marked(ledger, list(gates[-1].waived), gates[-1].size) if gates else []
    for item in gates[-1].outcome.checks if gates else ():
        if item["result"] == "waived":
            app.note(f"waived: {item['check']} by {item['waiver']}")
    for one in waivers:
        app.note(f"{one['waiver']}: {terms_words(one, app.display)}")


def _check_hold(app: App, ledger: Ledger, deployment: str, model: str, lift_hold: str | None) -> None:
    """A reason that was given for something else lifts no hold."""
    from muniment.gating import lifted_hold

    if lifted_hold(ledger, deployment, model, lift_hold) is None and lift_hold is not None:
        app.note(f"{model} is not held in {deployment}: what --lift-hold says is the reason of the authorisation.")


@click.command(short_help="Authorise a return to an earlier version; never blocked.")
@click.argument("deployment", type=DEPLOYMENT)
@click.option("--to", "model", type=MODEL, metavar="MODEL@VERSION", help="The version to return to; required.")
@click.option("--digest", metavar="sha256:HEX", help="Its digest; the registered one by default.")
@click.option("--incident", type=INCIDENT, metavar="SUBJECT", help="The incident it answers.")
@click.option("--reason", help="Why.")
@write_options
@pass_app
def rollback(app: App, /, deployment: str, model: str | None, **options: Any) -> None:
    """Authorise a rollback. Where the version is no good one to return to, that is said, with the one that is.

    Example: muniment rollback deployment:prod/tx --to model:tx@1 --incident incident:inc-1
    """
    from ledger.commands import roll_back

    if model is None:
        raise click.UsageError(f"To which version? --to; muniment state {deployment} shows what was live before.")
    with app.writer() as ledger:
        unknown = strange(ledger, deployment, options["incident"])
        warn_of_target(app, ledger, deployment, model, options["digest"])
        receipt = roll_back(ledger, deployment, model, **options)
        say_strange(app, ledger, unknown, "If the name is wrong, authorise the rollback of the right one.")
        answers = f" --incident {options['incident']}" if options["incident"] else ""
        app.show_receipt(
            receipt,
            then=f"Recorded; nothing was changed in {deployment}; waiting for rollback.completed.\n"
            f"When it is live again: muniment record rollback {deployment} --model {model}{answers}",
        )
