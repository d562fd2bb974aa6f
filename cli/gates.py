"""`muniment gate`: run a policy over a version, again later, and over the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.output import Grid, clean, print_list, print_record, progress, table
from cli.values import DEPLOYMENT, MODEL, asked_of_nothing

if TYPE_CHECKING:
    from ledger.application import Ledger, Receipt
    from projections.gates import Gate, Stated

__all__ = ["gate"]

_CHECK = ("check", "result", "reason", "waiver")
_REPLAYED = ("index", "deployment", "model", "recorded_at", "result", "refused_by")
_SIGNS = {"pass": "✓", "waived": "~", "not-applicable": "-", "fail": "✗", "error": "✗"}
_model = click.argument("model", type=MODEL, metavar="MODEL@VERSION")
_environment = click.option("--env", "environment", help="Environment, for example prod.")
_deployment = click.option(
    "--deployment",
    type=DEPLOYMENT,
    metavar="deployment:ENV/NAME",
    help="Where it is to be deployed; authorisations need it.",
)
_policy = click.option("--policy", metavar="policy:NAME[@VERSION]", help="Which; the one the rules name by default.")
_file = click.option("--file", metavar="FILE", help="A policy that is not in the log; nothing is recorded.")


@click.group(short_help="Run policies over versions: now, again, and over the past.")
def gate() -> None:
    """Gates: a policy run over what the log holds of a version, and recorded with what it saw."""


def _place(environment: str | None, deployment: str | None) -> tuple[str, str]:
    """Environment and deployment; one tells the environment."""
    from ledger.names import parse_name

    name = None if deployment is None else parse_name(deployment)
    if name is not None and (name.kind != "deployment" or environment not in (None, name.namespace)):
        raise click.UsageError(f"{deployment} is no deployment{'' if environment is None else ' in ' + environment}.")
    found = environment or (name.namespace if name is not None else None)
    if found is None:
        raise click.UsageError("Where to? Give --env or --deployment.")
    return found, deployment or ""


def _stated(policy: str | None, file: str | None) -> str | Stated | None:
    from cli.policies import policy_source
    from projections.gates import Stated

    if policy is not None and file is not None:
        raise click.UsageError("--policy and --file: give one.")
    return policy if file is None else Stated(file, policy_source(file))


@gate.command()
@_model
@_environment
@_deployment
@_policy
@_file
@click.option("--dry-run", is_flag=True, help="Record nothing.")
@write_options
@pass_app
def check(
    app: App, /, model: str, environment: str | None, *, deployment: str | None, policy: str | None, file: str | None,
    dry_run: bool, **options: Any,
) -> int:  # fmt: skip
    """Run a policy and record what it found. Exit code 0 when it allows, 1 when it refuses, 2 when none is to run.

    A policy in the mode warn or shadow refuses nothing: what it would refuse is told, and the exit code is 0.

    A check passes, fails, is waived, cannot be evaluated, or does not apply. What cannot be evaluated refuses.

    Example: muniment gate check model:tx@1 --env prod
    """
    from muniment.gating import check_gate, record_gate

    stated = _stated(policy, file)
    place, target = _place(environment, deployment)
    if dry_run or file is not None:
        with app.reader(checked=False) as ledger, progress(app, "reading the log") as advance:
            app.home.check(ledger)
            with asked_of_nothing():
                found = check_gate(ledger, model, place, deployment=target, policy=stated, advance=advance)
            return _show(app, ledger, found, None)
    with app.writer() as ledger:
        with progress(app, "reading the log") as advance, asked_of_nothing():
            found = check_gate(ledger, model, place, deployment=target, policy=stated, advance=advance)
        return _show(app, ledger, found, record_gate(ledger, found, **options))


def _show(app: App, ledger: Ledger, found: Gate, receipt: Receipt | None) -> int:
    from projections.waivers import terms_words

    waivers = app.marked(ledger, list(found.waived), found.size)
    allowed, checks = found.outcome.allowed, [dict(item) for item in found.outcome.checks]
    refuses = found.policy.refuses
    verdict = (
        "allows" if allowed else "refuses" if refuses else f"would refuse, and refuses nothing ({found.policy.mode})"
    )
    code = 0 if allowed or not refuses else 1
    if app.output != "text":
        recorded = {"index": None if receipt is None else receipt.index, "id": None if receipt is None else receipt.id}
        body = {name: value for name, value in found.body().items() if name != "checks"}
        print_record(
            app,
            {"model": found.model, **body, **recorded, "checks": checks, "waivers": waivers},
            "",
            Grid(_CHECK, checks),
        )
        return code
    rows = ((f"{_SIGNS[item['result']]} {item['result']}", item["check"], item["reason"]) for item in checks)
    table(app, f"{found.policy.name} over {found.model} in {found.environment}", ("result", "check", "words"), rows)
    for one in waivers:
        click.echo(clean(f"~ {one['waiver']}: {terms_words(one, app.display)}"))
    where = "not recorded" if receipt is None else f"recorded {receipt.index} {receipt.id}"
    click.echo(f"{'✓' if allowed else '✗'} {verdict}; looked at {found.size} entries; {where}")
    return code


@gate.command("input")
@_model
@_environment
@_deployment
@click.option("--known-at", metavar="TIME|SIZE", help="What was known then; now by default.")
@common_options
@pass_app
def input_(app: App, /, model: str, environment: str | None, deployment: str | None, known_at: str | None) -> None:
    """Print the document that expressions look at, as JSON.

    Example: muniment gate input model:tx@1 --env prod
    """
    from cli.output import to_json
    from muniment.gating import asked_at
    from projections.asof import resolve_as_of
    from projections.gateinput import gate_input
    from projections.known import Known

    place, target = _place(environment, deployment)
    with app.views() as (ledger, runner, size), asked_of_nothing():
        known = Known(ledger, runner.views, resolve_as_of(ledger, runner.views, known_at=known_at, head=size).size)
        as_of = known.recorded_at if known_at else asked_at(known)
        document = gate_input(known, model, place, as_of, target)
    print_record(app, document, to_json(document))


def _result(item: dict[str, Any]) -> str:
    """A result with what is waived in it: waived, not hidden."""
    return f"{item['result']} (waived: {', '.join(item['waived'])})" if item["waived"] else str(item["result"])


@gate.command()
@click.argument("index", type=click.IntRange(0), required=False)
@click.option("--model", type=MODEL, metavar="MODEL@VERSION", help="Only of this version.")
@common_options
@pass_app
def recheck(app: App, /, index: int | None, model: str | None) -> int:
    """Run recorded evaluations again over what they looked at; all, or the one at INDEX. They must agree.

    Exit code 1 when one does not: whoever recorded it did not run what it says. 3 when there is none.
    """
    from projections.gates import recheck_all
    from projections.known import Known

    with app.views() as (ledger, runner, size), progress(app, "running again") as advance:
        items = recheck_all(Known(ledger, runner.views, size), index=index, model=model, advance=advance)
    bad = [item for item in items if item["trouble"]]
    columns = ("index", "subject", "environment", "policy", "result", "by", "trouble")
    grid = Grid((*columns, "waived"), items)
    rows = [(str(i["index"]), i["subject"], i["environment"], i["policy"], _result(i), app.display(i["by"]),
             f"✗ {i['trouble']}" if i["trouble"] else "✓ agrees") for i in items]  # fmt: skip
    print_list(app, "evaluations", grid, lambda: table(app, "Run again", columns, rows))
    if not items:
        app.note("Nothing to run again: no evaluation is recorded.")
        return 3
    return 1 if bad else 0


@gate.command()
@_policy
@_file
@click.option("--since", metavar="TIME", help="Authorisations recorded from then on; all by default.")
@click.option("--until", metavar="TIME", help="And before then.")
@click.option("--env", "environment", help="Only in this environment.")
@common_options
@pass_app
def replay(
    app: App,
    /,
    policy: str | None,
    file: str | None,
    since: str | None,
    until: str | None,
    environment: str | None,
) -> None:
    """Tell what a policy would have refused: run it at each past authorisation, over what was known then.

    An authorisation in an emergency asks no policy: what it would have said is shown apart and not counted. Without
    --policy and --file it is the one that the rules in force name, for --env, or for all that was deployed.

    Example: muniment gate replay --file next.yaml --since 2026-07-01T00:00:00Z
    """
    from ledger.emission import microseconds
    from projections.gates import policy_named, policy_ruling, replayed
    from projections.known import Known

    stated = _stated(policy, file)
    period = (0 if since is None else microseconds(since), 2**62 if until is None else microseconds(until))
    with app.views() as (ledger, runner, size), asked_of_nothing():
        known = Known(ledger, runner.views, size)
        if stated is None:
            named = policy_ruling(known, environment)
        else:
            named = policy_named(known, stated) if isinstance(stated, str) else stated
        items = replayed(known, named, period, environment)
    parts = {
        "authorisations": [item for item in items if not item["emergency"]],
        "emergencies": [item for item in items if item["emergency"]],
    }
    if app.output != "text":
        print_record(
            app, {"policy": named.name, **parts}, "", Grid((*_REPLAYED, "trouble", "waived", "emergency"), items)
        )
        return
    titles = (f"What {named.name} would have said", "And of emergencies, which ask no policy")
    for title, part in zip(titles, parts.values(), strict=True):
        table(app, title, _REPLAYED, map(_past, part))
    refused = sum(item["result"] != "allow" for item in parts["authorisations"])
    apart = f", beside {len(parts['emergencies'])} in an emergency" if parts["emergencies"] else ""
    click.echo(f"{refused} of {len(parts['authorisations'])} authorisations would have been refused{apart}")


def _past(item: dict[str, Any]) -> tuple[str, ...]:
    refused = ", ".join(item["refused_by"]) or item["trouble"]
    return (str(item["index"]), item["deployment"], item["model"], item["recorded_at"], _result(item), refused)
