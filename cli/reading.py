"""`muniment show` and `state`, and what reading commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from cli.app import App, common_options, pass_app
from cli.deployed import remarks_of, show_deployed
from cli.output import Grid, print_record, table

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.domain.ledgerstate import Erasure
    from ledger.errors import InputError
    from ledger.stored import Row

__all__ = ["STAR", "as_json", "find_event", "revealed", "show", "state", "with_as_of"]

_STATE_COLUMNS = (
    "kind", "subject", "status", "digest", "owner", "tier", "run", "approvals", "metrics", "live_in",
    "live", "live_since", "live_entry", "marks", "previous", "aliases", "canary", "canary_since", "canary_entry",
    "stage", "traffic", "verdict",
)  # fmt: skip


@contextmanager
def _stored(row: Row) -> Iterator[None]:
    """What is malformed in the store was altered there; nobody typed it."""
    from ledger.errors import InputError, VerificationError

    try:
        yield
    except InputError as error:
        index = row.entry.index
        raise VerificationError(f"entry {index} is damaged: {error.message}", fault="payload", index=index) from error


def as_json(row: Row) -> dict[str, Any]:
    """An entry with its event, as the machine formats print it.

    Raises:
        VerificationError: what is stored is malformed.
    """
    from ledger.entry import format_entry
    from ledger.strictjson import parse_json

    with _stored(row):
        return {
            "index": row.entry.index,
            "leaf_hash": row.leaf_hash.hex(),
            "entry": parse_json(format_entry(row.entry), what="entry"),
            "event": None if row.payload is None else parse_json(row.payload, what="payload"),
        }


def revealed(app: App, ledger: Ledger, item: dict[str, Any]) -> dict[str, Any]:
    """An entry of `as_json` with its sealed fields opened where the keys are here, and told closed where not."""
    from ledger.errors import ConfigurationError
    from ledger.sealing import find_sealed
    from projections.sealed import LACKING

    item["sealed"] = {}
    event = item["event"]
    fields = list(find_sealed(event.get("data"))) if event else []
    if not fields:
        return item
    state = ledger.ledger_state()
    keys = app.home.data_keys(ledger.ledgerid)
    try:
        lacking = {field.data_key for field in fields if keys.lacks(field.data_key, item["index"])}
        data, closed = keys.reveal(event["data"], event["id"])
    except ConfigurationError as error:  # no wrapping key here, or it is not to be read
        lacking, data, closed = set(), event["data"], {field.path: field.data_key for field in fields}
        app.note(f"sealed fields stay closed: {error.message}")
    finally:
        keys.close()
    for field in fields:
        record = state.erased_keys.get(field.data_key)
        words = _sealed_words(item["index"], record, is_open=field.path not in closed)
        unknown = record is None and field.data_key in lacking
        item["sealed"][field.path] = f"closed: {LACKING}" if unknown else words
    return {**item, "event": {**event, "data": data}}


def _sealed_words(index: int, record: Erasure | None, *, is_open: bool) -> str:
    """What to say of a sealed field of an entry, whose data key a record names or none."""
    if record is None:
        return "open" if is_open else "its data key is not here"
    by = f"by {record.actor} under {record.basis} (entry {record.index})"
    if is_open:
        return f"erasure recorded {by} and not finished here"
    if index > record.index:  # that record is not about it, whatever its author put here
        return f"closed: its data key was erased before this entry was recorded, {by}"
    return f"erased {by}"


def find_event(ledger: Ledger, which: str) -> Row:
    """The row that an index or an event id names.

    Raises:
        InputError: there is none, or several have the id.
    """
    from ledger.errors import InputError

    size = ledger.recorder.head().size
    if which.isascii() and which.isdigit():
        rows = ledger.recorder.rows(int(which), 1) if int(which) < size else []
        if rows and rows[0].entry.index == int(which):
            return rows[0]
    else:
        found = ledger.recorder.find_id(which)
        if len(found) == 1:
            return found[0]
    raise InputError(f"there is no event {which}", hint=f"Give an index below {size} or an event id; `muniment log`.")


@click.command(short_help="Show one event with its entry.")
@click.argument("event", metavar="INDEX|ID")
@click.option("--raw", is_flag=True, help="Print exactly the bytes the author signed.")
@click.option("--envelope", is_flag=True, help="Print exactly the DSSE envelope.")
@click.option("--entry", "entry_only", is_flag=True, help="Print exactly the entry: the leaf's preimage.")
@common_options
@pass_app
def show(app: App, /, event: str, *, raw: bool, envelope: bool, entry_only: bool) -> None:
    """Show one event: its entry, payload and verdict.

    Example: muniment show 12 --raw
    """
    from ledger.envelope import Envelope, format_envelope, parse_signatures
    from ledger.errors import InputError
    from ledger.suspects import suspicion_of

    with app.reader() as ledger:
        row = find_event(ledger, event)
        if raw or envelope or entry_only:
            if row.payload is None or row.signatures is None:
                raise InputError(f"the content of entry {row.entry.index} is not in the store")
            with _stored(row):
                data = (
                    row.payload if raw
                    else format_envelope(Envelope(row.payload, parse_signatures(row.signatures))) if envelope
                    else ledger.entry_bytes(row.entry.index)
                )  # fmt: skip
            sys.stdout.buffer.write(data)
            return
        world = ledger.world.at(ledger.world.refresh())
        judged = ledger.world.judge_row(row)
        doubt = None if judged.verdict.kind == "void" else suspicion_of(world, row)
        item = revealed(app, ledger, as_json(row))
    error = judged.verdict.error
    item["verdict"] = judged.verdict.kind
    item["reason"] = None if error is None else error.message
    if judged.withheld is not None:
        item["reason"] = judged.withheld.text
    item["marks"] = list(judged.verdict.marks)
    item["suspect"] = None if doubt is None else doubt.text
    print_record(app, item, _show_text(app, item))


def _show_text(app: App, /, item: dict[str, Any]) -> str:
    from cli.output import to_json

    entry, event = item["entry"], item["event"] or {}
    lines = [
        f"entry      {item['index']}  ({item['verdict']}{': ' + item['reason'] if item['reason'] else ''})",
        f"type       {entry['type']}",
        f"subject    {entry['subject']}  (revision {entry['revision']} of {entry['stream']})",
        f"actor      {app.display(entry['actor'])}",
        f"occurred   {event.get('time')}  (claimed)",
        f"recorded   {entry['recorded_at']}",
        f"id         {entry['id']}",
        f"signed by  {', '.join(entry['keys'])}",
        f"leaf hash  {item['leaf_hash']}",
    ]
    if item["marks"]:
        lines.append(f"marks      {', '.join(item['marks'])}")
    if item["suspect"]:
        lines.append(f"suspect    {item['suspect']}")
    lines += [f"sealed     {path}: {words}" for path, words in item["sealed"].items()]
    return "\n".join([*lines, "data       " + to_json(event.get("data"))])


as_of_options = (
    click.option("--at", metavar="TIME", help="What was true then, by the time things occurred (ISO 8601)."),
    click.option("--known-at", metavar="SIZE|TIME", help="Knowing what was recorded by then; the head by default."),
)


def with_as_of(function: Any) -> Any:
    """Add ``--at`` and ``--known-at``."""
    for option in reversed(as_of_options):
        function = option(function)
    return function


@click.command(short_help="Show what is registered, approved and live, as of any time.")
@click.argument("subject", metavar="[SUBJECT|GLOB]", required=False)
@with_as_of
@common_options
@pass_app
def state(app: App, /, subject: str | None, at: str | None, known_at: str | None) -> None:
    """Show models and deployments: all, one model, version or deployment, or those of GLOB.

    A star in GLOB stands for any characters within a part of a name: model:credit/* for all of one team. Models come
    with the deployments that had to do with them.

    A version is approved when authorising would find its approvals enough at that moment; else it says what is missing:
    approval pending, changes requested, conditions open, approval upcoming, approval expired, suspended.

    With -o csv or md each deployment, each of its canaries and each version is a row.

    \b
    Example:
      muniment state deployment:prod/tx --at 2026-11-01T12:00:00Z
      muniment state model:tx --known-at 120
      muniment state 'model:credit/*'
    """
    from ledger.entry import format_time
    from projections.asof import resolve_as_of
    from projections.model_state import state_as_of
    from projections.operating import operate
    from projections.suspension import suspend

    with app.views() as (ledger, runner, size):
        now = time.time_ns() // 1000
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size, now=now)
        found = suspend(ledger, runner.views, as_of, state_as_of(runner.views, as_of, subject))
        one = subject is not None and subject.startswith("deployment:") and "*" not in subject
        found = app.marked(ledger, operate(ledger, runner.views, as_of, found, promises=one), as_of.size)
        origin = ledger.origin
        if subject is not None and not found["models"] and not found["deployments"]:
            raise _nothing(ledger, subject, as_of.size)
    data = {"origin": origin, **as_of.describe(), "asked_at": format_time(as_of.asked), **found}
    if app.output == "text":
        _state_text(app, data)
    else:
        print_record(app, data, "", Grid(_STATE_COLUMNS, [*_deployment_rows(data), *_version_rows(data)]))


#: How patterns are written; told where one stands for nothing.
STAR: Final = "A star stands for any characters but a slash: model:* are models without a namespace, model:*/* others."


def _nothing(ledger: Ledger, subject: str, size: int) -> InputError:
    """The error that tells that nothing is known of a subject, and where to look."""
    from ledger.errors import InputError, UnknownThingError

    model = subject.startswith("model:") and "*" not in subject
    if model and ledger.recorder.stream_rows(subject, 0, size):
        hint = f"What is recorded about it: muniment history {subject}"
        return InputError(f"no version of {subject} was registered as of then", hint=hint)
    hint = f"{STAR + ' ' if '*' in subject else ''}`muniment state` shows everything."
    if not subject.startswith(("model:", "deployment:")):
        hint = "It shows models and deployments. What is recorded about other things: muniment history SUBJECT"
    return UnknownThingError(f"nothing was known about {subject} as of then", subject, hint=hint)


def _deployment_rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for deployment in data["deployments"]:
        live, previous = deployment["live"] or {}, deployment["previous"] or {}
        yield {
            "kind": "deployment",
            "subject": deployment["deployment"],
            "status": "live" if live else "nothing live",
            "live": live.get("model"),
            "digest": live.get("digest"),
            "live_since": live.get("since"),
            "live_entry": live.get("began"),
            "marks": live.get("marks"),
            "previous": previous.get("model"),
        }
        for canary in deployment["canaries"]:
            last = canary["stages"][-1]
            yield {
                "kind": "canary",
                "subject": deployment["deployment"],
                "status": "canary",
                "digest": canary["digest"],
                "marks": canary["marks"],
                "canary": canary["model"],
                "canary_since": canary["since"],
                "canary_entry": canary["index"],
                **{name: last[name] for name in ("stage", "traffic", "verdict")},
            }


def _version_rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for model in data["models"]:
        for version in model["versions"]:
            yield {
                **version,
                "kind": "version",
                "subject": version["version"],
                "approvals": [f"{item['environment']}: {item['status']}" for item in version["approvals"]],
                "metrics": [_metrics(item["metrics"]) for item in version["evaluations"]],
            }


def _state_text(app: App, /, data: dict[str, Any]) -> None:
    known = data["known_at"]
    app.note(
        f"{data['origin']}: at {data['at'] or 'the latest'}, known at size {known['size']} ({known['recorded_at']})"
    )
    rows = []
    for deployment in data["deployments"]:
        live, previous = deployment["live"], deployment["previous"]
        rows.append(
            (
                deployment["deployment"],
                "nothing" if live is None else live["model"],
                "" if live is None else live["since"][:19] + "Z",
                "" if live is None else str(live["began"]),
                ""
                if live is None
                else ", ".join(remarks_of(live)) or ("by rollback" if "rollback" in live["type"] else ""),
                "" if previous is None else previous["model"],
            )
        )
    table(app, "Deployments", ("deployment", "live", "since", "entry", "remarks", "before"), rows)
    show_deployed(app, data["deployments"])
    versions = [
        (
            f"{version['version']} ({', '.join(version['aliases'])})" if version["aliases"] else version["version"],
            _status(version),
            version["tier"],
            app.home.names().get(version["owner"], version["owner"]),
            ", ".join(_approval(a) for a in version["approvals"]),
            "; ".join(_evaluation(one, version["digest"]) for one in version["evaluations"]),
            version["digest"][:19] + "…",
        )
        for model in data["models"]
        for version in model["versions"]
    ]
    if not rows and not versions:
        app.note("no version and no deployment yet; `muniment inventory` shows models, `muniment log` every event")
    table(app, "Versions", ("version", "status", "tier", "owner", "approvals", "evaluated", "digest"), versions)


def _status(version: dict[str, Any]) -> str:
    """The status, and beside it the states that stop decisions about what is live."""
    beside = ["quarantined"] if version["quarantines"] else []
    beside += ["retired"] if version["retired"] else []
    beside = [state for state in beside if state != version["status"]]
    return f"{version['status']} ({', '.join(beside)})" if beside else str(version["status"])


def _approval(approval: dict[str, Any]) -> str:
    words = approval["reason"] or "; ".join(approval["changes"])
    if approval["status"] in ("rejected", "revoked"):
        words = f"{approval['decided']['actor']}, entry {approval['decided']['index']}: {approval['rationale']}"
    reason = f" ({words})" if words else ""
    return f"{approval['environment']}: {approval['status']}{reason}"


def _evaluation(evaluation: dict[str, Any], digest: str) -> str:
    """What was measured, and why it speaks not for the version."""
    beside = [] if evaluation["verdict"] == "pass" else [evaluation["verdict"]]
    beside += ["invalidated"] if evaluation["invalidated"] else []
    beside += ["of other bytes"] if evaluation["digest"] not in (None, digest) else []
    return f"{_metrics(evaluation['metrics'])}{' (' + ', '.join(beside) + ')' if beside else ''}".strip()


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
