"""`muniment record`: facts with friendly options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app, write_options
from cli.beforehand import warn_of_abort
from cli.known import say_strange, strange
from cli.values import DATASET, DEPLOYMENT, INCIDENT, MODEL, MONITOR, RUN, SHARE, read_source, text_pairs

if TYPE_CHECKING:
    from ledger.application import Ledger, Receipt

__all__ = ["record"]

digest_options = (
    click.option("--digest", metavar="sha256:HEX", help="Digest of the content."),
    click.option("--file", "path", type=click.Path(exists=True, dir_okay=False), help="Take the digest of this file."),
)


def _digest(digest: str | None, path: str | None, *, required: bool = True) -> str | None:
    from ledger.session import file_digest

    if digest and path:
        raise click.UsageError("Give --digest or --file, not both.")
    if path:
        return file_digest(path)
    if digest is None and required:
        raise click.UsageError("Missing --digest or --file.")
    return digest


def _with_digest(function: Any) -> Any:
    for option in reversed(digest_options):
        function = option(function)
    return function


def _references(ledger: Ledger, subjects: tuple[str, ...], role: str) -> list[dict[str, str]]:
    """References with the digest the ledger knows for each data set."""
    from ledger.domain import DatasetState
    from ledger.names import parse_name, stream_of

    size = ledger.world.refresh()
    found = []
    for subject in subjects:
        state = ledger.world.state_before(stream_of(subject), size)
        reference = {"role": role, "subject": subject}
        if isinstance(state, DatasetState):
            digest = state.versions.get(parse_name(subject).version or "")
            if digest is not None:
                reference["digest"] = digest
        found.append(reference)
    return found


@click.group(short_help="Record facts with friendly options.")
def record() -> None:
    """Record what happened; facts are never refused for policy reasons."""


@record.command()
@click.argument("subject", type=DATASET)
@_with_digest
@click.option("--rows", "row_count", type=int, help="Number of rows.")
@click.option("--uri", help="Where it is.")
@click.option("--license", help="Its licence.")
@click.option("--derived-from", type=DATASET, multiple=True, metavar="SUBJECT", help="Data set it was made from.")
@write_options
@pass_app
def dataset(
    app: App, /, subject: str, digest: str | None, path: str | None, derived_from: tuple[str, ...], **options: Any
) -> None:
    """Record that a data set version exists.

    Example: muniment record dataset dataset:tx@1 --file tx.csv --rows 442
    """
    with app.writer() as ledger:
        refs = _references(ledger, derived_from, "derived-from") or None
        app.show_receipt(
            ledger.emit("dataset.registered", subject, {"refs": refs}, digest=_digest(digest, path), **options)
        )


def _run_body(ledger: Ledger, options: dict[str, Any]) -> dict[str, Any]:
    code = {name: options.pop(name) for name in ("commit", "repository")}
    body: dict[str, Any] = {
        "job": options.pop("job"),
        "seed": options.pop("seed"),
        "environment": options.pop("environment"),
        "reason": options.pop("reason"),
        "code": {name: value for name, value in code.items() if value is not None} or None,
        "parameters": text_pairs(options.pop("param"), "NAME=VALUE") or None,
        "inputs": _references(ledger, options.pop("inputs"), "input") or None,
    }
    metrics, outputs = text_pairs(options.pop("metric"), "NAME=NUMBER"), options.pop("makes")
    if metrics:
        body["metrics"] = metrics
    if outputs:
        body["outputs"] = [
            {"role": "output", "subject": name, "digest": digest}
            for name, digest in text_pairs(outputs, "SUBJECT=sha256:HEX").items()
        ]
    return body


@record.command("run")
@click.argument("subject", type=RUN)
@click.option(
    "--status", type=click.Choice(["started", "completed", "failed"]), default="completed", show_default=True,
    help="What became of it.",
)  # fmt: skip
@click.option("--job", help="Name of the job.")
@click.option("--commit", help="Code commit.")
@click.option("--repository", help="Code repository.")
@click.option("--seed", type=int, help="Random seed.")
@click.option("--environment", metavar="sha256:HEX", help="Digest of the locked dependencies.")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="Parameter.")
@click.option("--metric", multiple=True, metavar="NAME=NUMBER", help="Metric.")
@click.option(
    "--input",
    "inputs",
    type=DATASET,
    multiple=True,
    metavar="SUBJECT",
    help="Data set it read; its digest is looked up.",
)
@click.option("--makes", multiple=True, metavar="SUBJECT=sha256:HEX", help="What it made.")
@click.option("--reason", help="Why it failed.")
@write_options
@pass_app
def record_run(app: App, /, subject: str, status: str, **options: Any) -> None:
    """Record a run.

    Example: muniment record run run:42 --input dataset:tx@1 --makes model:tx@1=sha256:… --metric auc=0.91
    """
    if (options["reason"] is not None) != (status == "failed"):
        raise click.UsageError("--reason says why a run failed: it goes with --status failed, and only with it.")
    with app.writer() as ledger:
        app.show_receipt(ledger.emit(f"run.{status}", subject, _run_body(ledger, options), **options))


@record.command()
@click.argument("subject", type=MODEL)
@click.option("--metric", multiple=True, required=True, metavar="NAME=NUMBER", help="Metric.")
@click.option("--verdict", type=click.Choice(["pass", "fail", "uncertain"]), default="uncertain", show_default=True,
              help="What the evaluator concludes.")  # fmt: skip
@click.option("--dataset", type=DATASET, metavar="SUBJECT", help="Data set it was measured on.")
@click.option("--split", help="Part of the data set, for example test.")
@click.option("--suite", help="Name of the evaluation; its last one stands. Its kind by default.")
@click.option("--kind", help="What was measured.", type=click.Choice(
    ["performance", "fairness", "drift", "explainability", "robustness", "safety", "calibration"]))  # fmt: skip
@click.option("--digest", metavar="sha256:HEX", help="Digest of what was measured.")
@write_options
@pass_app
def evaluation(app: App, /, subject: str, metric: tuple[str, ...], **options: Any) -> None:
    """Record that a version was measured.

    Example: muniment record evaluation model:tx@1 --metric auc=0.91 --verdict pass
    """
    with app.writer() as ledger:
        metrics = text_pairs(metric, "NAME=NUMBER")
        receipt = ledger.emit("evaluation.completed", subject, {"metrics": metrics}, **options)
        app.show_receipt(receipt)
        _say_late(app, ledger, subject, options["suite"] or options["kind"] or "", receipt, options["occurred_at"])


def _say_late(app: App, ledger: Ledger, subject: str, suite: str, receipt: Receipt, at: str | None) -> None:
    """Say what a report that came late means: it takes a place only where it says less than what stands."""
    from ledger.commands import version_state
    from ledger.domain.grounds import WORTH
    from ledger.emission import microseconds
    from ledger.errors import PolicyError

    try:
        evaluations = version_state(ledger, subject).evaluations
    except PolicyError:
        return  # of what is not registered nothing stands
    stands = next((one for one in evaluations if one.suite == suite), None)
    if at is None or stands is None:
        return
    again = f"What is measured now takes its place: muniment record evaluation {subject} …"
    if stands.signed.index < receipt.index:
        failed = WORTH[stands.verdict] < WORTH["pass"]
        why = "holds until it is measured anew" if failed else "is newer, and stands"
        said = f"reported late, and changes nothing: entry {stands.signed.index} ({stands.verdict}) {why}"
    elif stands.signed.index == receipt.index and stands.newest > microseconds(at):
        said = f"reported late, and counts all the same, as it says less than the newer one before: {stands.verdict}"
    else:
        return
    app.note(f"warning: this was {said}. {again}")


@record.command()
@click.argument("subject", type=MODEL)
@_with_digest
@click.option("--tier", type=click.Choice(["low", "medium", "high"]), required=True, help="Risk tier.")
@click.option("--owner", metavar="ACTOR", help="Who owns it; you by default.")
@click.option("--run", type=RUN, metavar="SUBJECT", help="The run that made it.")
@click.option("--uri", help="Where it is.")
@write_options
@pass_app
def version(app: App, /, subject: str, digest: str | None, path: str | None, owner: str | None, **options: Any) -> None:
    """Record that a model version exists.

    Example: muniment record version model:tx@1 --file model.onnx --run run:42 --tier high
    """
    from ledger.commands import version_state

    with app.writer() as ledger:
        body = {"digest": _digest(digest, path), "owner": owner or ledger.actor}
        app.show_receipt(ledger.emit("version.registered", subject, body, **options))
        tier = version_state(ledger, subject).tier_at_first
        if tier != options["tier"]:
            app.note(
                f"warning: {subject} is of tier {tier}, as its model or a version before it was. A validator who "
                f"neither made nor owns it may lower that: muniment classify {subject}"
            )


@record.command()
@click.argument("subject", type=DEPLOYMENT)
@click.option("--model", type=MODEL, required=True, metavar="MODEL@VERSION", help="What is live now.")
@click.option("--digest", metavar="sha256:HEX", help="Digest of what is live; the registered one by default.")
@click.option("--strategy", help="How it was rolled out.")
@click.option("--traffic", type=SHARE, help="Its share of the traffic; all of it by default.")
@click.option("--config-digest", metavar="sha256:HEX", help="Digest of the settings that it runs with.")
@click.option("--deployment-id", metavar="ID", help="The platform's own id of it.")
@write_options
@pass_app
def deployment(app: App, /, subject: str, model: str, digest: str | None, **options: Any) -> None:
    """Record that a version is live.

    Example: muniment record deployment deployment:prod/tx --model model:tx@1
    """
    from ledger.commands import record_deployment

    app.record(record_deployment, subject, model, digest=digest, **options)


@record.command()
@click.argument("subject", type=DEPLOYMENT)
@click.option("--model", type=MODEL, required=True, metavar="MODEL@VERSION", help="The version live again.")
@click.option("--digest", metavar="sha256:HEX", help="Its digest; the registered one by default.")
@click.option(
    "--from",
    "from_model",
    type=MODEL,
    metavar="MODEL@VERSION",
    help="The version it came from; what was live by default.",
)
@click.option("--incident", type=INCIDENT, metavar="SUBJECT", help="The incident it answers.")
@click.option("--reason", help="Why.")
@click.option("--trigger", metavar="ID", help="Event id of what called for it, for example slo.breached.")
@click.option("--automatic/--by-hand", default=None, help="Whether the platform did it by itself.")
@click.option("--verified", type=click.Choice(["pass", "fail", "uncertain"]), help="Whether it serves well again.")
@click.option("--verification", metavar="WORDS", help="How that was looked at.")
@write_options
@pass_app
def rollback(app: App, /, subject: str, model: str, **options: Any) -> None:
    """Record that an earlier version is live again.

    Example: muniment record rollback deployment:prod/tx --model model:tx@1 --incident incident:inc-1
    """
    from ledger.commands import record_rollback

    with app.writer() as ledger:
        unknown = strange(ledger, options["incident"])
        app.show_receipt(record_rollback(ledger, subject, model, **options))
        say_strange(app, ledger, unknown, "If the name is wrong, record it once more with the right one.")


@record.command()
@click.argument("subject", type=DEPLOYMENT)
@click.option(
    "--model", type=MODEL, required=True, metavar="MODEL@VERSION", help="The version that gets a share of the traffic."
)
@click.option("--digest", metavar="sha256:HEX", help="Its digest; the registered one by default.")
@click.option("--stage", type=click.IntRange(1, 99), help="Number of the stage it enters, or that was analysed.")
@click.option("--traffic", type=SHARE, help="Its share of the traffic in that stage.")
@click.option("--budget-used", type=click.FloatRange(0), help="Share of the error budget used so far.")
@click.option("--verdict", type=click.Choice(["pass", "fail", "uncertain"]), help="What the analysis of it says.")
@click.option("--promoted", is_flag=True, help="It takes over all traffic.")
@click.option("--aborted", metavar="REASON", help="It gets no traffic any more.")
@write_options
@pass_app
def canary(app: App, /, subject: str, model: str, digest: str | None, **options: Any) -> None:
    """Record that a canary enters a stage, was analysed, took over, or was stopped.

    \b
    Example:
      muniment record canary deployment:prod/tx --model model:tx@2 --stage 1 --traffic 0.05
      muniment record canary deployment:prod/tx --model model:tx@2 --aborted "error budget burns"
    """
    from ledger.commands import is_recorded, record_canary

    stage = {name: options.pop(name) for name in ("stage", "traffic", "budget_used", "verdict")}
    ends = {"promoted": options.pop("promoted") or None, "aborted": options.pop("aborted")}
    ended = [name for name, value in ends.items() if value is not None]
    staged = stage["stage"] is not None and stage["traffic"] is not None
    if len(ended) + staged != 1 or (ended and any(value is not None for value in stage.values())):
        raise click.UsageError("Give --stage with --traffic, or --promoted, or --aborted REASON.")
    with app.writer() as ledger:
        if ends["aborted"] is not None and not is_recorded(ledger, options["event_id"]):
            warn_of_abort(app, ledger, subject, model, digest)
        app.show_receipt(record_canary(ledger, subject, model, digest=digest, **stage, **ends, **options))


@record.command()
@click.argument("subject", type=DEPLOYMENT)
@click.option(
    "--loaded", multiple=True, required=True, metavar="INSTANCE=sha256:HEX", help="What an instance has loaded."
)
@click.option("--partial", is_flag=True, help="These are not all instances.")
@click.option("--platform", help="Who says so.")
@write_options
@pass_app
def snapshot(app: App, /, subject: str, loaded: tuple[str, ...], *, partial: bool, **options: Any) -> None:
    """Record what is really loaded in a deployment; `muniment serving check` compares it with what is live.

    Example: muniment record snapshot deployment:prod/tx --loaded pod-1=sha256:… --loaded pod-2=sha256:…
    """
    items = [{"instance": name, "digest": digest} for name, digest in text_pairs(loaded, "INSTANCE=sha256:HEX").items()]
    with app.writer() as ledger:
        body = {"loaded": items, "complete": False if partial else None}
        app.show_receipt(ledger.emit("serving.snapshot", subject, body, **options))


@record.command()
@click.argument("subject", type=MONITOR)
@click.option("--metric", required=True, help="Name of the metric.")
@click.option("--value", type=float, required=True, help="What was measured.")
@click.option("--baseline", type=float, help="What it was before.")
@click.option("--threshold", type=float, help="Where it becomes a worry.")
@click.option("--better", type=click.Choice(["higher", "lower"]), help="Which way is better: higher for a p-value.")
@click.option("--method", help="How drift was measured, for example psi, ks p_value; makes it a sign of drift.")
@click.option("--severity", type=click.Choice(["info", "warning", "critical"]), default="info", show_default=True,
              help="How bad it is.")  # fmt: skip
@click.option("--deployment", type=DEPLOYMENT, metavar="SUBJECT", help="The deployment it was measured on.")
@click.option("--model", type=MODEL, metavar="MODEL@VERSION", help="The version it was measured on.")
@write_options
@pass_app
def signal(app: App, /, subject: str, **options: Any) -> None:
    """Record what monitoring saw.

    Example: muniment record signal monitor:tx-auc --metric auc --value 0.61 --baseline 0.91 --severity critical
    """
    app.emit("monitor.signal", subject, **options)


@record.command()
@click.argument("envelope", metavar="FILE")
@click.option("--reason", required=True, help="Where it was, and why it comes now.")
@click.option("--as", "signer", metavar="ACTOR", help="Actor to sign as; not the event's author.")
@common_options
@pass_app
def late(app: App, /, envelope: str, *, reason: str, signer: str | None) -> None:
    """State that an event exists whose key has ended before it got here.

    FILE holds its DSSE envelope as JSON; - is stdin. The event itself is not recorded, since nobody can tell when it
    was signed: its digests are, asserted by another actor, under what it is about.

    Example: muniment record late spooled-event.json --reason "node was offline until today"
    """
    from ledger.late import record_late

    app.actor = signer or app.actor
    data = read_source(envelope).strip()
    app.record(record_late, data, reason)
