"""`muniment policy`: checks as data, in the log."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.output import Grid, print_list, print_record, table
from cli.values import POLICY, asked_of_nothing, read_source

__all__ = ["STARTERS", "policy", "policy_source"]

_CHECK = ("id", "title", "tiers", "waivable", "pass", "when", "otherwise", "reason")
#: Checklists that come with Muniment, as in `ledger.policy`, which is not imported before it is needed.
STARTERS = ("pre-production", "production")


@click.group(short_help="Checks as data: define, show, retire, try.")
def policy() -> None:
    """Policies: checks in CEL over what the log holds of a version. `muniment gate check` runs them."""


def policy_source(path: str) -> str:
    """Text of a policy in a file, or on standard input for ``-``."""
    from ledger.errors import InputError

    try:
        return read_source(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text: byte {error.start}") from error


def _checks(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Title and checks of a source."""
    from ledger.policy import parse_policy

    parsed = parse_policy(source)
    return parsed.title, [check.model_dump(mode="json", by_alias=True) for check in parsed.checks]


@policy.command()
@click.argument("name", type=POLICY, metavar="policy:NAME@VERSION")
@click.argument("file", metavar="FILE|-")
@click.option("--mode", type=click.Choice(["enforce", "warn", "shadow"]), default="enforce", show_default=True,
              help="What it does where a check fails.")  # fmt: skip
@click.option(
    "--scope", multiple=True, metavar="model:PATTERN", help="Models it is meant for, for its readers; repeatable."
)
@write_options
@pass_app
def define(app: App, /, name: str, file: str, *, mode: str, scope: tuple[str, ...], **options: Any) -> None:
    """Sign a version of a policy into the log. It is never changed: define the next version instead.

    A check with a name that stands for nothing, such as a misspelt member of the document, is refused; it warns of one
    that can be evaluated over no example, as `policy lint` does.

    It is in force once the root keys name it in the rules: muniment admin rules change. In the mode warn, `gate check`
    tells what it would refuse and ends with 0; shadow is the same, for whoever tries a policy out. Rules cannot name
    either: a gate that cannot refuse is open.

    \b
    Example:
      muniment policy define policy:production@1 production.yaml
      muniment policy define policy:production@2 next.yaml --mode warn --scope 'model:credit/*'
    """
    from ledger.errors import InputError
    from ledger.policy import parse_policy, source_digest, troubles, unknown_names

    source = policy_source(file)
    parsed = parse_policy(source)
    for check, words in unknown_names(parsed).items():
        raise InputError(f"the check {check}: {words}", hint=f"muniment policy lint {file}")
    body = {
        "digest": source_digest(source), "source": source, "format": parsed.schema_,
        "mode": None if mode == "enforce" else mode, "scope": list(scope) or None,
    }  # fmt: skip
    with app.writer() as ledger:
        receipt = ledger.emit("policy.defined", name, body, **options)
        app.show_receipt(
            receipt, then=f"{len(parsed.checks)} checks. Try it: muniment gate check MODEL --policy {name} …"
        )
    for check, words in troubles(parsed).items():
        app.note(f"Warning: {check} can be evaluated over no example: {words}")


@policy.command()
@click.argument("name", type=POLICY, metavar="policy:NAME@VERSION")
@click.option("--reason", required=True, help="Why.")
@write_options
@pass_app
def retire(app: App, /, name: str, reason: str, **options: Any) -> None:
    """End a version of a policy: nothing is decided by it any more. Refused while the rules ask for it."""
    app.emit("policy.retired", name, reason=reason, **options)


@policy.command("list")
@common_options
@pass_app
def list_(app: App) -> None:
    """List the policies of the log, and which rules ask for them."""
    from projections.gates import policies
    from projections.known import Known

    with app.views() as (ledger, runner, size):
        items = policies(Known(ledger, runner.views, size))
    columns = ("policy", "title", "checks", "mode", "scope", "retired", "asked_by", "index")
    rows = (
        (i["policy"], i["title"] or "", str(i["checks"] or "?"), i["mode"], ", ".join(i["scope"]),
         "retired" if i["retired"] else "",
         ", ".join(i["asked_by"]), str(i["index"]))
        for i in items
    )  # fmt: skip
    print_list(app, "policies", Grid(columns, items), lambda: table(app, "Policies", columns, rows))


@policy.command()
@click.argument("name", type=POLICY, metavar="policy:NAME[@VERSION]")
@click.option("--source", is_flag=True, help="Print the source, byte by byte as it was signed.")
@common_options
@pass_app
def show(app: App, /, name: str, *, source: bool) -> None:
    """Show the checks of a policy.

    Example: muniment policy show policy:production --source > production.yaml
    """
    from ledger.policy import source_digest
    from projections.gates import policy_named
    from projections.known import Known

    with app.views() as (ledger, runner, size), asked_of_nothing():
        found = policy_named(Known(ledger, runner.views, size), name)
    if source and app.output == "text":
        click.echo(found.source.encode(), nl=False)
        return
    data = {"policy": found.name, "mode": found.mode, "scope": list(found.scope)}
    _show(app, data | {"digest": source_digest(found.source), "source": found.source}, found.source)
    if not found.refuses and app.output == "text":
        app.note(f"in the mode {found.mode}: it refuses nothing")


def _show(app: App, data: dict[str, Any], source: str) -> None:
    title, checks = _checks(source)
    if app.output != "text":
        print_record(app, {**data, "title": title, "checks": checks}, "", Grid(_CHECK, checks))
        return
    rows = (
        (check["id"], check["title"], ", ".join(check["tiers"]) or "all", "yes" if check["waivable"] else "no")
        for check in checks
    )
    table(app, title, ("check", "asks that", "tiers", "waivable"), rows)


@policy.command()
@click.argument("file", metavar="FILE|-")
@common_options
@pass_app
def lint(app: App, /, file: str) -> int:
    """Read a policy that is not in the log, compile its expressions, run them over examples, and show its checks.

    Exit code 1 when a check has a name that stands for nothing (a misspelt member, variable or function), or can be
    evaluated over no example: it would refuse whatever it is asked about. The examples are a version of which all is
    known and one of which nothing is, at each tier; docs/reference/policies.md shows one.
    """
    from ledger.policy import parse_policy, troubles

    source = policy_source(file)
    found = troubles(parse_policy(source))
    _show(app, {"policy": file, "troubles": [{"check": name, "reason": why} for name, why in found.items()]}, source)
    for name, why in found.items() if app.output == "text" else ():
        app.note(f"✗ {name} can be evaluated over no example: {why}")
    return 1 if found else 0


@policy.command()
@click.argument("names", nargs=-1, type=click.Choice(STARTERS), metavar=f"[{'|'.join(STARTERS)}]…")
@common_options
@pass_app
def starter(app: App, /, names: tuple[str, ...]) -> None:
    """Print a checklist to start from, or one policy with the checks of both, which is what is printed without a name.

    The rules name one policy for an environment and tier: what is to be asked there stands in it, each check once.
    Data, code and the run are asked for by pre-production alone.

    Example: muniment policy starter pre-production production > production.yaml
    """
    from ledger.policy import starter as source_of

    chosen = names or STARTERS
    source = source_of(*chosen)
    print_record(app, {"name": " ".join(dict.fromkeys(chosen)), "source": source}, source.rstrip("\n"))
