"""`muniment emit`."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app, write_options
from cli.output import Grid, print_lines
from cli.values import fit_body, parse_pairs, read_source

__all__ = ["emit"]

_TYPE_COLUMNS = ("type", "version", "subject", "category", "roles", "fields", "erasable", "personal", "summary")


def _list_types(app: App) -> None:
    from ledger.events import all_event_types

    items = [
        {
            "type": kind.name,
            "version": kind.version,
            "subject": list(kind.kinds),
            "category": kind.category.value,
            "roles": list(kind.roles),
            "fields": [name for name in kind.body.model_fields if name != "refs"],
            "erasable": kind.erasable.value,
            "personal": list(kind.personal),
            "summary": (kind.body.__doc__ or "").strip().splitlines()[0],
        }
        for kind in all_event_types()
    ]
    print_lines(app, Grid(_TYPE_COLUMNS, items), lambda item: f"{item['type']:<32} {item['summary']}")


def _expectations(values: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for value in values:
        stream, _, revision = value.rpartition("=")
        if not stream or not (revision.isascii() and revision.isdigit()):
            raise click.BadParameter(f"{value!r} must be STREAM=REVISION")
        found[stream] = int(revision)
    return found


def _personal(values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        path, sign, text = value.partition("=")
        if not sign or not path:
            raise click.BadParameter(f"{value!r} must be FIELD=VALUE", param_hint="'--personal'")
        found[path] = text
    return found


@click.command(short_help="Append one event.")
@click.argument("type", required=False, metavar="TYPE")
@click.argument("subject", required=False)
@click.option("-d", "--data", multiple=True, metavar="KEY=VALUE|@FILE", help="Body: dotted keys, JSON values, a file.")
@click.option("--personal", multiple=True, metavar="FIELD=VALUE", help="A field sealed for --about before signing.")
@click.option("--about", metavar="SUBJECT", help="The data subject of --personal, by a name that tells nothing.")
@click.option("--causation", metavar="ID", help="Id of the event that caused this one.")
@click.option(
    "--strength",
    type=click.Choice(["observed", "asserted", "imported", "backfilled"]),
    default="observed",
    show_default=True,
    help="How the author knows.",
)
@click.option("--expect", multiple=True, metavar="STREAM=REVISION", help="Refuse when the stream stands elsewhere.")
@click.option("--envelope", metavar="FILE", help="Append an event signed elsewhere (DSSE JSON; - is stdin).")
@click.option("--list", "list_types", is_flag=True, help="List the event types and stop.")
@write_options
@pass_app
def emit(
    app: App,
    /,
    type: str | None,
    subject: str | None,
    data: tuple[str, ...],
    expect: tuple[str, ...],
    envelope: str | None,
    *,
    personal: tuple[str, ...],
    about: str | None,
    list_types: bool,
    **options: Any,
) -> None:
    """Sign one event and append it; it is durable when this returns.

    \b
    Example:
      muniment emit dataset.registered dataset:tx@1 -d digest=sha256:… -d row_count=442
      muniment emit evaluation.completed model:tx@1 -d metrics.auc=0.91 -d verdict=pass
      muniment emit incident.noted incident:42 --personal 'note=Jo called' --about person:p-7f3a
    """
    if list_types:
        _list_types(app)
        return
    from ledger.events import find_event_type

    if envelope is not None:
        if type or subject or data or personal or about:
            raise click.UsageError("--envelope carries type, subject and body; give nothing else")
        with app.writer() as ledger:
            app.show_receipt(ledger.append(read_source(envelope).strip(), expect=_expectations(expect)))
        return
    if type is None or subject is None:
        raise click.UsageError("Missing TYPE or SUBJECT. `muniment emit --list` shows the types.")
    kind = find_event_type(type)
    body, typed = parse_pairs(data)
    body = fit_body(kind, body, typed)
    _warn_unknown(app, kind, body)
    sealed = _personal(personal)
    with app.writer() as ledger:
        receipt = ledger.emit(
            type, subject, body, expect=_expectations(expect), personal=sealed or None, about=about, **options
        )
        app.show_receipt(receipt)


def _warn_unknown(app: App, /, kind: Any, body: dict[str, Any]) -> None:
    unknown = [name for name in body if name not in kind.body.model_fields]
    if unknown and kind.body.model_config.get("extra") == "allow":
        from ledger.screening import hide_secrets

        names = ", ".join(hide_secrets(name) for name in unknown)
        app.note(f"not in the schema of {kind.name}, kept as it is: {names}")
