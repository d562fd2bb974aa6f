"""`muniment log`, `show` and `state`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import print_lines, print_record, table

if TYPE_CHECKING:
    from ledger.application import Ledger
    from ledger.stored import Row

__all__ = ["log", "show", "state"]

_PAGE = 500
_TEXT_DEFAULT = 50


@contextmanager
def _stored(row: Row) -> Iterator[None]:
    """What is malformed in the store was altered there; nobody typed it."""
    from ledger.errors import InputError, VerificationError

    try:
        yield
    except InputError as error:
        index = row.entry.index
        raise VerificationError(f"entry {index} is damaged: {error.message}", fault="payload", index=index) from error


def _entry(row: Row) -> dict[str, Any]:
    from ledger.entry import format_entry
    from ledger.strictjson import parse_json

    with _stored(row):
        return {
            "index": row.entry.index,
            "leaf_hash": row.leaf_hash.hex(),
            "entry": parse_json(format_entry(row.entry), what="entry"),
            "event": None if row.payload is None else parse_json(row.payload, what="payload"),
        }


def _matches(row: Row, subject: str | None, kind: str | None, actor: str | None) -> bool:
    entry = row.entry
    if subject is not None and subject not in (entry.subject, entry.stream):
        return False
    if kind is not None and not entry.type.removeprefix("muniment.").startswith(kind):
        return False
    return actor is None or entry.actor == actor


def _pages(ledger: Ledger, *, newest_first: bool) -> Iterator[Row]:
    size = ledger.recorder.head().size
    place = size if newest_first else 0
    while True:
        if newest_first:
            rows = ledger.recorder.rows_before(place, _PAGE) if place > 0 else []
        else:
            rows = ledger.recorder.rows(place, min(_PAGE, size - place)) if place < size else []
        if not rows:
            return
        yield from rows
        place = rows[-1].entry.index + (0 if newest_first else 1)


def _line(app: App, /, names: dict[str, str], item: dict[str, Any]) -> str:
    entry = item["entry"]
    kind = entry["type"].removeprefix("muniment.").rpartition(".")[0]
    who = names.get(entry["actor"], entry["actor"])
    return f"{item['index']:>6}  {entry['recorded_at'][:19]}Z  {kind:<30} {entry['subject']:<36} {who}"


@click.command(short_help="Show entries in log order.")
@click.argument("subject", required=False)
@click.option("-n", "limit", type=click.IntRange(min=0), help="Only the last N (0 for all); text shows the last 50.")
@click.option("--type", "kind", help="Only types that begin so, for example approval.")
@click.option("--actor", help="Only this author.")
@click.option("--reverse", is_flag=True, help="Newest first.")
@common_options
@pass_app
def log(
    app: App, /, subject: str | None, limit: int | None, kind: str | None, actor: str | None, *, reverse: bool
) -> None:
    """Show entries in log order, of one SUBJECT or of all.

    With -o ndjson each line is one entry with its event.

    \b
    Example:
      muniment log model:tx -n 10
      muniment log -o ndjson | jq -r .event.type
    """
    if limit is None and app.output == "text":
        limit = _TEXT_DEFAULT
    with app.reader() as ledger:
        names = app.home.names() if app.output == "text" else {}
        wanted = (
            row for row in _pages(ledger, newest_first=bool(limit) or reverse) if _matches(row, subject, kind, actor)
        )
        items: Any = (_entry(row) for row in wanted)
        if limit:
            found = [item for _, item in zip(range(limit), items, strict=False)]
            items = found if reverse else reversed(found)
        print_lines(app, items, lambda item: _line(app, names, item))


def _find(ledger: Ledger, which: str) -> Row:
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

    with app.reader() as ledger:
        row = _find(ledger, event)
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
        ledger.world.refresh()
        judged = ledger.world.judge_row(row)
    item = _entry(row)
    error = judged.verdict.error
    item["verdict"] = judged.verdict.kind
    item["reason"] = None if error is None else error.message
    item["marks"] = list(judged.verdict.marks)
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
@click.argument("subject", required=False)
@with_as_of
@common_options
@pass_app
def state(app: App, /, subject: str | None, at: str | None, known_at: str | None) -> None:
    """Show models and deployments: all, or one model, version or deployment.

    \b
    Example:
      muniment state deployment:prod/tx --at 2026-11-01T12:00:00Z
      muniment state model:tx --known-at 120
    """
    from ledger.errors import InputError
    from projections.asof import resolve_as_of
    from projections.model_state import state_as_of

    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size)
        found = state_as_of(runner.views, as_of, subject)
        origin = ledger.origin
    if subject is not None and not found["models"] and not found["deployments"]:
        raise InputError(f"nothing was known about {subject} as of then", hint="`muniment state` shows everything.")
    data = {"origin": origin, **as_of.describe(), **found}
    if app.output == "text":
        _state_text(app, data)
    else:
        print_record(app, data, "")


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
                "" if live is None else live["occurred_at"][:19] + "Z",
                "" if live is None else str(live["index"]),
                ""
                if live is None
                else ", ".join(live["marks"]) or ("by rollback" if "rollback" in live["type"] else ""),
                "" if previous is None else previous["model"],
            )
        )
    table(app, "Deployments", ("deployment", "live", "since", "entry", "remarks", "before"), rows)
    versions = [
        (
            version["version"],
            version["status"],
            version["tier"],
            app.home.names().get(version["owner"], version["owner"]),
            ", ".join(f"{a['environment']}: {a['status']}" for a in version["approvals"]),
            "; ".join(_metrics(e["metrics"]) for e in version["evaluations"]),
            version["digest"][:19] + "…",
        )
        for model in data["models"]
        for version in model["versions"]
    ]
    table(app, "Versions", ("version", "status", "tier", "owner", "approvals", "evaluated", "digest"), versions)


def _manner(kind: str) -> str:
    return "by rollback" if kind == "rollback.completed" else ""


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
