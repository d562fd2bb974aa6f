"""`muniment actor grant`, `ungrant`, `show` and `responsible`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.keyring import actor_state
from cli.output import Grid, print_record, table

if TYPE_CHECKING:
    from ledger.application import Ledger, Receipt
    from ledger.domain import ActorState
    from ledger.domain.actors import RoleGrant

__all__ = ["bounded", "bounds_of", "delegate", "grant", "responsible", "show_actor", "ungrant"]

_ROLES = (
    "emitter", "owner", "validator", "approver", "deployer", "incident-commander", "auditor", "eraser", "admin",
)  # fmt: skip
_GRANT_COLUMNS = ("grant", "role", "types", "subjects", "environments", "until", "given", "ended", "suspect")
_signing = click.option("--as", "signer", metavar="ACTOR", help="Admin to sign as; root signs with the root keys.")
_role = click.argument("role", metavar="ROLE", type=click.Choice(_ROLES))


def bounded(function: Any) -> Any:
    """Add what bounds a role."""
    for option in (
        click.option("--until", metavar="TIME", help="Until then (ISO 8601, with a zone), by the time of recording."),
        click.option("--env", "environments", multiple=True, help="Only this environment; repeatable."),
        click.option("--subject", "subjects", multiple=True, metavar="PATTERN", help="Only these streams; repeatable."),
        click.option("--type", "types", multiple=True, metavar="TYPE",
                     help="Only this event type, or family.*; repeatable."),
    ):  # fmt: skip
        function = option(function)
    return function


def bounds_of(given: dict[str, Any]) -> dict[str, Any]:
    """The body of a grant that says how far it reaches, of what was typed; empty where it has no bound."""
    from ledger.emission import microseconds
    from ledger.entry import format_time

    body = {name: list(value) for name, value in given.items() if value and name != "until"}
    return body if given["until"] is None else {**body, "until": format_time(microseconds(given["until"]))}


def _granted(ledger: Ledger, kind: str, name: str, body: dict[str, Any]) -> Receipt:
    from ledger.bounds import check_bounds

    check_bounds(ledger, body)
    return ledger.emit(kind, f"actor:{name}", body)


@click.command("grant", short_help="Grant a role, within bounds and for a while.")
@click.argument("name", metavar="ACTOR")
@_role
@bounded
@click.option("--reason", help="Why.")
@_signing
@common_options
@pass_app
def grant(app: App, /, name: str, role: str, reason: str | None, signer: str | None, **bounds: Any) -> None:
    """Grant an actor a role: everywhere and for good, or only as far as is said.

    In a PATTERN * stands for any characters of one part of a name: model:credit/* are the models of the namespace
    credit, model:* those without one. Only the root keys grant admin, and nobody grants to their own person. To a
    service that you answer for yourself, only another admin or the root keys grant more than emitter.

    \b
    Example:
      muniment actor grant ci-train emitter --type 'run.*' --subject 'run:credit/*'
      muniment actor grant p-… approver --env staging --until 2027-01-01T00:00:00Z
    """
    app.actor = signer or app.actor
    app.record(_granted, "role.granted", name, {**bounds_of(bounds), "role": role, "reason": reason})


@click.command("delegate", short_help="Let another person approve in your place for a while.")
@click.argument("name", metavar="ACTOR")
@click.option("--until", required=True, metavar="TIME|DURATION", help="Until then: a time, or 14d, 12h.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this event type, or family.*; repeatable.")
@click.option("--subject", "subjects", multiple=True, metavar="PATTERN", help="Only these streams; repeatable.")
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def delegate(app: App, /, name: str, until: str, *, reason: str, signer: str | None, **bounds: tuple[str, ...]) -> None:
    """Let another person approve too, for a while: not for longer, and nothing more, than you may yourself.

    With a role for some types, things or environments only, say those, or fewer of them. You stand behind what is
    approved so, and it cannot be handed on. An admin ends it with `muniment actor ungrant`.

    \b
    Example:
      muniment actor delegate p-… --until 14d --reason "on leave" --as p-…
      muniment actor delegate p-… --subject 'model:credit/*' --until 14d --reason "on leave" --as p-…
    """
    from cli.values import end_of

    app.actor = signer or app.actor
    body: dict[str, Any] = {"until": end_of(until), "reason": reason}
    body |= {key: list(value) for key, value in bounds.items() if value}
    app.record(_granted, "approval.delegated", name, body)


@click.command("ungrant", short_help="Take a role away.")
@click.argument("name", metavar="ACTOR")
@_role
@click.option("--grant", "which", metavar="ID", help="Only the grant of this event id; all of the role without.")
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def ungrant(app: App, /, name: str, role: str, *, which: str | None, reason: str, signer: str | None) -> None:
    """Take a role away: what was done in it before stands. The last admin keeps theirs.

    Example: muniment actor ungrant ci-train emitter --reason "pipeline retired"
    """
    app.actor = signer or app.actor
    app.emit("role.revoked", f"actor:{name}", role=role, grant=which, reason=reason)


@click.command("responsible", short_help="Say who answers for a service.")
@click.argument("name", metavar="SERVICE")
@click.argument("person", metavar="PERSON")
@click.option("--reason", required=True, help="Why.")
@_signing
@common_options
@pass_app
def responsible(app: App, /, name: str, person: str, *, reason: str, signer: str | None) -> None:
    """Let another person answer for a service; without one its decisions are refused.

    That it is you, for a service that is more than emitter, another admin or the root keys say.

    Example: muniment actor responsible ci-train p-… --reason "new team lead"
    """
    app.actor = signer or app.actor
    with app.writer() as ledger:
        body = {"responsible": person, "reason": reason}
        app.show_receipt(ledger.emit("actor.responsible_changed", f"actor:{name}", body))


def _grants(state: ActorState, doubt: dict[str, str]) -> list[dict[str, Any]]:
    from ledger.domain.actors import FOREVER
    from ledger.entry import format_time

    def described(one: RoleGrant) -> dict[str, Any]:
        return {
            "grant": one.id,
            "role": one.role,
            "types": list(one.types),
            "subjects": list(one.subjects),
            "environments": list(one.environments),
            "until": None if one.until == FOREVER else format_time(one.until),
            "given": one.signed.index,
            "ended": one.ended,
            "suspect": doubt.get(one.id),
        }

    return [described(one) for one in state.grants]


@click.command("show", short_help="Show one actor with its roles and keys.")
@click.argument("name", metavar="ACTOR")
@common_options
@pass_app
def show_actor(app: App, /, name: str) -> None:
    """Show an actor: who is behind it, its roles with their bounds, its keys.

    Example: muniment actor show ci-train
    """
    from ledger.domain.roles import answers
    from ledger.domain.suspicion import key_suspicion, suspicion

    with app.reader() as ledger:
        state = actor_state(ledger, name)
        world = ledger.world.at(ledger.world.size)
        found = {one.id: suspicion(world, one.signed) for one in state.grants}
        enrolment = suspicion(world, state.signed)
        data: dict[str, Any] = {
            "actor": state.actor,
            "name": app.home.names().get(state.actor),
            "kind": state.kind,
            "person": state.person,
            "answered_for": answers(world, state),
            "enrolled": state.signed.index,
            "revoked": state.revoked,
            "successor": state.successor,
            "suspect": None if enrolment is None else enrolment.text,
            "grants": _grants(state, {key: doubt.text for key, doubt in found.items() if doubt is not None}),
            "keys": [
                {
                    "keyid": keyid,
                    "enrolled": held.enrolled,
                    "ends": held.ends if held.ends is not None else state.revoked,
                    "compromised_since": None if held.compromised is None else held.compromised[0],
                    "suspect": doubt.text if (doubt := key_suspicion(world, state, keyid)) is not None else None,
                }
                for keyid, held in state.keys.items()
            ],
            "reaffirmed": sorted(state.reaffirmed),
        }
    if app.output == "text":
        _show_text(app, data)
    else:
        print_record(app, data, "", Grid(_GRANT_COLUMNS, data["grants"]))


def _show_text(app: App, data: dict[str, Any]) -> None:
    left = "" if data["revoked"] is None else f", left at entry {data['revoked']}"
    lines = [
        f"actor      {app.display(data['actor'])} ({data['kind']}, enrolled by entry {data['enrolled']}{left})",
        f"person     {app.display(data['person'] or 'nobody')}",
    ]
    if not data["answered_for"]:
        lines.append("           has left or is not in good standing: decisions of this actor are refused")
    lines += [f"successor  {app.display(data['successor'])}"] if data["successor"] else []
    lines += [f"suspect    {data['suspect']}"] if data["suspect"] else []
    print_record(app, {}, "\n".join(lines))
    rows = [
        (
            one["role"], ", ".join(one["types"]) or "all", ", ".join(one["subjects"]) or "all",
            ", ".join(one["environments"]) or "all", one["until"] or "",
            one["suspect"] or ("" if one["ended"] is None else f"ended at {one['ended']}"), one["grant"],
        )
        for one in data["grants"]
    ]  # fmt: skip
    table(app, "Roles", ("role", "types", "subjects", "environments", "until", "remarks", "grant"), rows)
    keys = [
        (
            one["keyid"][:16] + "…", str(one["enrolled"]), "" if one["ends"] is None else str(one["ends"]),
            one["suspect"]
            or ("" if one["compromised_since"] is None else f"compromised since {one['compromised_since']}"),
        )
        for one in data["keys"]
    ]  # fmt: skip
    table(app, "Keys", ("keyid", "from entry", "ends at", "remarks"), keys)
