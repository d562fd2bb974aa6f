"""Protection and endings: quarantine, release, demote, retire."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app, write_options
from cli.beforehand import warn_of_written
from cli.known import is_known, say_strange, strange
from cli.values import INCIDENT, MODEL, end_of, moment_of

__all__ = ["demote", "quarantine", "release", "retire"]

_UNKNOWN = "Warning: nothing is registered here as {}, so this changes nothing. See: muniment inventory"


@click.command(short_help="Put something in quarantine; never blocked.")
@click.argument("subject")
@click.option("--reason", required=True, help="Why.")
@click.option("--incident", type=INCIDENT, metavar="SUBJECT", help="The incident it answers.")
@click.option("--scope", help="What of it is bad, in words; all of it is held.")
@click.option("--known-since", metavar="TIME", help="Since when it is known to be bad (ISO 8601).")
@click.option("--held-by", help="Who keeps it held, for example a team or an authority.")
@click.option("--serving-blocked/--still-served", default=None, help="Whether whatever serves it refuses it too.")
@write_options
@pass_app
def quarantine(app: App, /, subject: str, known_since: str | None, **options: Any) -> None:
    """Put a model, a version, a data set or a feature set in quarantine.

    No version that is in quarantine, was made from what is (also under another name, or through other models), or was
    measured on it, is approved or authorised. What is live stays live: roll it back. Data that runs made from it is
    named: put that in quarantine, too.

    Example: muniment quarantine dataset:claims@3 --reason "labels were tampered with"
    """
    from ledger.domain.lifecycle import letting_go

    options["known_since"] = None if known_since is None else moment_of(known_since)
    with app.writer() as ledger:
        known, unknown = is_known(ledger, subject), strange(ledger, options["incident"])
        app.show_receipt(ledger.emit("quarantine.placed", subject, **options), then=letting_go(subject))
        say_strange(app, ledger, unknown, "If the name is wrong, place another quarantine that names the right one.")
        if known and not subject.startswith("model:"):
            warn_of_written(app, ledger, subject)
    if not known:
        app.note(
            f"Warning: nothing is registered here as {subject}. It stops what is registered or read under that very "
            "name, and nothing else: if the name is wrong, place another one. See: muniment inventory"
        )


@click.command(short_help="Let something go from quarantine.")
@click.argument("subject")
@click.option("--quarantine", metavar="ID", help="Event id of one quarantine; all of the subject by default.")
@click.option("--rationale", required=True, help="Why; shown in every report.")
@write_options
@pass_app
def release(app: App, /, subject: str, **options: Any) -> None:
    """Let something go from quarantine: another person than whoever made it, or, of data, put it there.

    Example: muniment release dataset:claims@3 --rationale "relabelled and validated"
    """
    from ledger.governing import release as decide

    with app.writer() as ledger:
        for receipt in decide(ledger, subject, **options):
            app.show_receipt(receipt)


@click.command(short_help="Record that a version lost its place in an environment.")
@click.argument("model", type=MODEL, metavar="MODEL@VERSION")
@click.option("--from", "environment", required=True, metavar="ENV", help="Environment or stage that it leaves.")
@click.option("--to", metavar="ENV", help="Environment or stage that it goes back to.")
@click.option("--reason", required=True, help="Why.")
@click.option("--previous", type=MODEL, metavar="MODEL@VERSION", help="The version that has the place again.")
@write_options
@pass_app
def demote(app: App, /, model: str, **options: Any) -> None:
    """Record that a version lost its place; what was approved for it there is to be approved anew.

    What is live stays live: roll it back.

    Example: muniment demote model:tx@2 --from prod --to staging --reason "drifts at night" --previous model:tx@1
    """
    with app.writer() as ledger:
        known = is_known(ledger, model)
        app.show_receipt(ledger.emit("version.demoted", model, **options))
    if not known:
        app.note(_UNKNOWN.format(model))


@click.command(short_help="Retire a version, or a model with all of its versions.")
@click.argument("model", type=MODEL, metavar="MODEL[@VERSION]")
@click.option("--reason", required=True, help="Why.")
@click.option("--successor", type=MODEL, metavar="MODEL[@VERSION]", help="What takes its place.")
@click.option("--data", "data_disposition", metavar="WORDS", help="What becomes of its data, for example archived.")
@click.option("--keep-until", metavar="TIME|DURATION", help="How long its records and files are kept.")
@write_options
@pass_app
def retire(app: App, /, model: str, keep_until: str | None, **options: Any) -> None:
    """Record that a version is not to be used any more; it is approved and authorised no more.

    Of a model without a version it decommissions the model: all versions that it has by now are retired.

    \b
    Example:
      muniment retire model:tx@1 --reason "replaced" --successor model:tx@2
      muniment retire model:tx --reason "the product ends" --data deleted --keep-until 2036-12-31T00:00:00Z
    """
    with app.writer() as ledger:
        end = None if keep_until is None else end_of(keep_until)
        kind = "version.retired" if "@" in model else "model.decommissioned"
        known = is_known(ledger, model)
        app.show_receipt(ledger.emit(kind, model, keep_until=end, **options))
    if not known:
        app.note(_UNKNOWN.format(model))
    _warn_of_live(app, model)


def _warn_of_live(app: App, model: str) -> None:
    """Say where a version that may not be used any more is live, or a canary: what is live stays live.

    Args:
        app: the invocation.
        model: the version, or a model, for all of its versions.
    """
    from ledger.errors import LedgerError
    from projections.asof import resolve_as_of
    from projections.model_state import state_as_of

    try:
        with app.views() as (ledger, runner, size):
            found = state_as_of(runner.views, resolve_as_of(ledger, runner.views, head=size), model)["deployments"]
    except LedgerError as error:  # what was to be recorded is
        app.note(f"Warning: where {model} is live could not be looked up: {error.message}")
        return
    for state in found:
        for how in ("live", "canary"):
            version = "" if state[how] is None else str(state[how]["model"])
            if model in (version, version.partition("@")[0]):
                words = "live" if how == "live" else "a canary"
                app.note(
                    f"Warning: {version} is {words} in {state['deployment']}, and stays so until another version takes "
                    f"its place there: muniment state {state['deployment']}"
                )
