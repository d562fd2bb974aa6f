"""`muniment watch` and `muniment slo`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.beforehand import warn_of_fallback
from cli.output import Grid, print_list, print_record, table
from cli.values import DEPLOYMENT, MODEL, MONITOR, OUT_FILE, parse_duration

if TYPE_CHECKING:
    from ledger.telling import Channel
    from projections.service import Service
    from projections.slo.burning import Assessment
    from projections.slo.watching import Watch

__all__ = ["slo", "watch"]

_SECRET_VARIABLE = "MUNIMENT_WEBHOOK_SECRET"  # noqa: S105 - its name
#: Rules for a promise over 30 days: the Site Reliability Workbook, chapter 5, table 5-8.
_WORKBOOK = ("14.4:1h:5m", "6:6h:30m", "1:3d:6h")
_CHECK = ("deployment", "slo", "model", "state", "budget_left", "at", "problem")
_PATIENCE_SECONDS = 60.0


# -- slo ------------------------------------------------------------------------------------------------------------


@click.group(short_help="Say what is promised, and see how it is kept.")
def slo() -> None:
    """Promises about deployments (service level objectives), and the rules by which something is decided."""


def _rules(texts: tuple[str, ...], within: str | None) -> list[dict[str, Any]]:
    found = []
    for text in texts:
        rate, *rest = text.split(":")
        try:
            number = float(rate)
        except ValueError:
            number = 0.0
        if number <= 0 or len(rest) not in (2, 3) or (len(rest) == 3 and rest[2] not in ("hold", "rollback")):
            raise click.BadParameter(f"{text!r} is no rule; write it as 14.4:1h:5m:rollback", param_hint="--rule")
        rule: dict[str, Any] = {"burn_rate": number, "long": rest[0], "short": rest[1]}
        if len(rest) == 3:
            rule["action"] = rest[2]
            if within is not None:
                rule["respond_within"] = within
        found.append(rule)
    return found


@slo.command()
@click.argument("subject", type=DEPLOYMENT, metavar="DEPLOYMENT|MONITOR")
@click.argument("name")
@click.option("--indicator", required=True, metavar="METRIC", help="The metric of the windows that it is about.")
@click.option(
    "--objective",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Share of good events, for example 0.999.",
)
@click.option("--threshold", type=float, help="Where good ends, when windows do not count good ones.")
@click.option("--window", default="30d", show_default=True, metavar="DURATION", help="Over which time.")
@click.option(
    "--monitor", type=MONITOR, metavar="SUBJECT", help="Whose windows count; needed where SUBJECT is a deployment."
)
@click.option("--deployment", "deployments", multiple=True, metavar="PATTERN", help="Of a monitor: which deployments.")
@click.option("--rule", "rules", multiple=True, metavar="RATE:LONG:SHORT[:hold|rollback]",
              help="When it burns so fast that something is decided; repeat it.")  # fmt: skip
@click.option("--workbook-rules", type=click.Choice(["hold", "rollback"]),
              help=f"The rules {', '.join(_WORKBOOK)}, all but the slowest with this decision.")  # fmt: skip
@click.option("--on-breach", "action", type=click.Choice(["hold", "rollback"]),
              help="What is decided when somebody else records a breach.")  # fmt: skip
@click.option("--within", metavar="DURATION", help="In which time the platform should have done what was decided.")
@click.option(
    "--fallback", type=MODEL, metavar="MODEL@VERSION", help="The version to return to, where it is a good one."
)
@write_options
@pass_app
def define(
    app: App, /, subject: str, name: str, rules: tuple[str, ...], within: str | None, workbook_rules: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Define a promise about a deployment, or with a monitor about many.

    \b
    Example:
      muniment slo define deployment:prod/tx latency --monitor monitor:tx --indicator latency_ms --threshold 250
      --objective 0.99 --rule 14.4:1h:5m:rollback --rule 6:6h:30m:hold --within 15m
    """
    from ledger.errors import InputError
    from ledger.names import parse_name

    if workbook_rules:
        rules = (*rules, *(f"{rule}:{workbook_rules}" for rule in _WORKBOOK[:-1]), _WORKBOOK[-1])
    if parse_name(subject).kind == "deployment" and options["monitor"] is None:
        raise InputError("a deployment does not say whose windows count", hint="Give it: --monitor monitor:NAME")
    deployments, asked = list(options.pop("deployments")) or None, _rules(rules, within)
    on_breach = within if options["action"] else None
    if within is not None and on_breach is None and not any("action" in rule for rule in asked):
        raise InputError(
            "--within is the time for what is decided, and nothing here decides anything",
            hint="Let something: --rule 14.4:1h:5m:rollback, or --on-breach rollback",
        )
    body = {"slo": name, "rules": asked or None, "deployments": deployments, "respond_within": on_breach}
    with app.writer() as ledger:
        receipt = ledger.emit("slo.defined", subject, body, **options)
        if options["fallback"]:
            warn_of_fallback(app, ledger, receipt.index)
        app.show_receipt(receipt, then="See how it is kept: muniment slo check")


@slo.command()
@click.argument("deployment", type=DEPLOYMENT, required=False)
@common_options
@pass_app
def check(app: App, /, deployment: str | None) -> int:
    """Tell how fast error budgets burn, and record nothing: exit code 1 when a rule fires, 3 when nothing can be told.

    Example: muniment slo check deployment:prod/tx
    """
    from projections.asof import resolve_as_of
    from projections.service import read_service
    from projections.slo.watching import deployments_named, look

    now = time.time_ns() // 1000
    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, head=size)
        names = deployments_named(runner.views, as_of, [deployment] if deployment else [])
        found = [
            one
            for name in names
            for one in look(ledger, runner.views, as_of, read_service(runner.views, as_of, name), now=now)
        ]
    items = [one.describe() for one in found]
    print_list(app, "promises", Grid(_CHECK, items), lambda: _show_check(app, found))
    if any(one.firing for one in found):
        return 1
    return 0 if any(not one.problem for one in found) else 3


def _show_check(app: App, found: list[Assessment]) -> None:
    if not found:
        app.note("No promise is defined about what is deployed: muniment slo define --help")
        return
    rows = []
    for one in found:
        told = one.describe()
        rates = ", ".join(
            f"{_rate(burn.long.burn_rate)} and {_rate(burn.short.burn_rate)} of {burn.rule.burn_rate:g}"
            for burn in one.burns
        )
        left = "" if one.budget_left is None else f"{one.budget_left:.1%}"
        rows.append((one.deployment, one.promise.name, one.tenure.model, told["state"], left, one.problem or rates))
        if one.dropped:
            app.note(f"{one.promise.name}: {len(one.dropped)} windows do not count (-o json tells why)")
    table(app, "Promises", ("deployment", "slo", "version", "state", "budget left", "burn rates"), rows)


@slo.command()
@click.argument("monitor")
@click.argument("metric")
@click.option("--since", metavar="DURATION", default="30d", show_default=True, help="Windows that ended so long ago.")
@click.option("--deployment", type=DEPLOYMENT, metavar="SUBJECT", help="Only of this deployment.")
@click.option("--model", type=MODEL, metavar="MODEL@VERSION", help="Only those that name this version.")
@common_options
@pass_app
def windows(
    app: App, /, monitor: str, metric: str, since: str, deployment: str | None, model: str | None
) -> None:  # fmt: skip
    """Show what the windows of a metric add up to: count, mean, deviation, extremes, quantiles, good ones.

    Windows that overlap one that counts, or cannot count, are listed with the reason.

    Example: muniment slo windows monitor:tx latency_ms --since 1h --deployment deployment:prod/tx
    """
    from ledger.entry import format_time
    from ledger.errors import InputError
    from projections.asof import resolve_as_of
    from projections.slo.stats import merge_all
    from projections.slo.windows import count_once, read_windows

    now = time.time_ns() // 1000
    with app.views() as (ledger, runner, size):
        as_of, after = resolve_as_of(ledger, runner.views, head=size), now - parse_duration(since)
        found, bad = read_windows(ledger, runner.views, as_of, monitor, metric, after=after, until=now)
    wanted = [one for one in found if deployment in (None, one.deployment) and model in (None, one.model)]
    if not wanted and not bad:
        raise InputError(f"{monitor} recorded no window of {metric} that ended within {since}")
    counted, double = count_once(wanted)
    merged = merge_all(one.stats for one in counted)
    data = {
        "monitor": monitor, "metric": metric, "windows": len(counted),
        "start": format_time(min(one.start for one in counted)) if counted else None,
        "end": format_time(max(one.end for one in counted)) if counted else None,
        **merged.describe(), "not_counted": [one.describe() for one in (*bad, *double)],
    }  # fmt: skip
    print_record(app, data, _statistics(data))


def _statistics(data: dict[str, Any]) -> str:
    numbers = ("mean", "deviation", "min", "max", "good")
    lines = [f"{data['windows']} windows with {data['count']} values, {data['start']} to {data['end']}"]
    lines += [f"{name:10} {data[name]:g}" for name in numbers if data[name] is not None]
    for name, between in data["quantiles"].items():
        if between is not None and None not in between:
            lines.append(f"{name:10} {between[0]:g} to {between[1]:g}")
    lines += [f"not counted: entry {one['index']}: {one['reason']}" for one in data["not_counted"]]
    return "\n".join(lines)


def _rate(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


# -- watch ----------------------------------------------------------------------------------------------------------


def _channels(commands: tuple[str, ...], urls: tuple[str, ...], options: dict[str, Any]) -> list[Channel]:
    """Each command line and URL once, however often it is given."""
    import os

    from ledger.telling import Command, Webhook, read_secret

    found: list[Channel] = [
        Command.parse(one, seconds=options["timeout"], pass_on=options["pass_on"]) for one in commands
    ]
    secret = read_secret(options["secret_file"], os.environ, _SECRET_VARIABLE) if urls else None
    found += [Webhook(one, secret, seconds=min(options["timeout"], 60.0)) for one in urls]
    return list({(one.name, one.recipient): one for one in found}.values())


@click.command(short_help="Record breaches of promises, decide by rule, tell the platform.")
@click.argument("deployments", metavar="[DEPLOYMENT]…", nargs=-1)
@click.option("--exec", "commands", multiple=True, metavar="COMMAND",
              help="Told each decision as JSON on stdin; run without a shell; repeat it.")  # fmt: skip
@click.option(
    "--env", "pass_on", multiple=True, metavar="NAME", help="A variable that the commands get too; repeat it."
)
@click.option("--webhook", "urls", multiple=True, metavar="URL",
              help="Told each decision as JSON; https, or http on this machine; repeat it.")  # fmt: skip
@click.option("--secret-file", type=OUT_FILE,
              help=f"Secret that signs webhooks; {_SECRET_VARIABLE} otherwise.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, metavar="SECONDS",
              help="For the command, and for each attempt of the webhook.")  # fmt: skip
@click.option("--tell-again", is_flag=True, help="Tell what was told, too, while it is open: the platform lost it.")
@click.option("--follow", is_flag=True, help="Stay, and look again and again.")
@click.option("--interval", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, metavar="SECONDS",
              help="How often to look.")  # fmt: skip
@click.option("--as", "signer", metavar="ACTOR", help="Actor to sign as: a service with the role emitter.")
@common_options
@pass_app
def watch(
    app: App, /, deployments: tuple[str, ...], commands: tuple[str, ...], urls: tuple[str, ...], signer: str | None,
    **options: Any,
) -> int:  # fmt: skip
    """Look once how promises are kept; record breaches and decisions; tell the platform what was decided.

    A decision (deployment.held, rollback.authorised) names the windows that led to it. Nothing is done by Muniment: the
    platform acts, and `muniment state` and `muniment due` show what it did or is late with. The same breach leads to
    one decision, however often and from wherever this is run. What could not be told is told again next time, with the
    same key; exit code 6. Each command line and each URL is told once; --tell-again tells it once more.

    \b
    Example:
      muniment watch --exec "/opt/deploy/on-decision" --as svc-watch
      muniment watch --webhook https://deploy.example.com/hooks --secret-file hook.secret --follow --as svc-watch
    """
    channels, again = _channels(commands, urls, options), options["tell_again"]
    if again and (options["follow"] or not channels):
        raise click.UsageError("--tell-again tells once: give it --exec or --webhook, and no --follow")
    app.actor = signer or app.actor
    if not options["follow"]:
        told = _look(app, deployments, channels, again=again)
        _show(app, told)
        return 6 if any(not one["told"] for one in told["told"]) else 0
    _follow(app, deployments, channels, options["interval"])
    return 0


def _look(
    app: App, deployments: tuple[str, ...], channels: list[Channel], *, patient: bool = False, again: bool = False
) -> dict[str, Any]:
    from projections.catalogue import open_runner
    from projections.slo.telling import tell
    from projections.slo.watching import Watch, by_rule, deployments_named

    now = time.time_ns() // 1000
    recorded, told, waiting = [], [], []
    with app.writer() as ledger:
        runner = open_runner(ledger, app.home.url)
        try:
            watcher = Watch(ledger, runner, now)
            names = list(deployments_named(runner.views, watcher.known(), deployments))
            for name in names:  # a platform that hangs holds up no decision about another deployment
                recorded += list(_decided(watcher, name))
            for name in names:
                service = watcher.read(name)
                done = tell(ledger, service, channels, now=now, patient=patient, again=again)
                told += [one.describe() for one in done]
                waiting += [_waiting(service, one, now) for one in service.open_decisions() if by_rule(service, one)]
        finally:
            runner.views.close()
    return {"recorded": recorded, "told": told, "open": waiting}


def _decided(watcher: Watch, name: str) -> Iterator[dict[str, Any]]:
    receipts = {receipt.index: receipt for receipt in watcher.decide(name)}
    service = watcher.read(name) if receipts else None
    rows = [] if service is None else [*service.breaches, *(one.row for one in service.decisions)]
    for row in sorted(rows, key=lambda row: row["index"]):
        if row["index"] in receipts:
            words = row["data"].get("reason") or row["data"]["slo"]
            told = {"index": row["index"], "id": row["id"], "type": row["type"], "deployment": name}
            yield {**told, "model": row["data"].get("model"), "words": words}


def _waiting(service: Service, decision: Any, now: int) -> dict[str, Any]:
    return {"deployment": service.name, **decision.describe(now)}


def _show(app: App, found: dict[str, Any]) -> None:
    lines = [f"{one['index']} {one['type']} {one['deployment']}: {one['words']}" for one in found["recorded"]]
    for one in found["told"]:
        what = "told" if one["told"] else f"NOT told ({one['reason']}); it will be told again"
        lines.append(f"{one['index']} decision {one['decision']} {what} by {one['channel']} {one['recipient']}")
    lines += [
        f"{one['status']}: {one['action']} {one['deployment']} {one['model']} (entry {one['index']})"
        for one in found["open"]
    ]
    columns = ("index", "type", "deployment", "model", "words", "id")
    print_record(app, found, "\n".join(lines or ["nothing to record or tell"]), Grid(columns, found["recorded"]))


def _follow(app: App, deployments: tuple[str, ...], channels: list[Channel], interval: float) -> None:
    """Look again and again; a store that is away for a minute ends it."""
    from ledger.errors import ConflictError, StorageError

    away: float | None = None
    while True:
        try:
            found = _look(app, deployments, channels, patient=True)
        except StorageError as error:
            away = time.monotonic() if away is None else away
            if time.monotonic() - away > max(_PATIENCE_SECONDS, interval):
                raise
            app.note(f"the store is away ({error.message}); waiting for it")
        except ConflictError as error:
            app.note(f"{error.message}; looking again later")
        else:
            away = None
            if found["recorded"] or found["told"]:
                _show(app, found)
        time.sleep(interval)
