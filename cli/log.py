"""`muniment log`: entries in order, as they come, and as a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.output import Grid, print_lines
from cli.reading import as_json

if TYPE_CHECKING:
    from cli.follow import Follower
    from ledger.application import Ledger
    from ledger.stored import Row

__all__ = ["log"]

_PAGE = 500
_TEXT_DEFAULT = 50
_COLUMNS = (
    "index", "entry.recorded_at", "event.time", "entry.type", "entry.subject", "entry.actor", "entry.stream",
    "entry.revision", "entry.id", "leaf_hash", "event.data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which entries are wanted; None is any."""

    subject: str | None
    kind: str | None
    actor: str | None

    def __call__(self, row: Row) -> bool:
        entry = row.entry
        if self.subject is not None and self.subject not in (entry.subject, entry.stream):
            return False
        if self.kind is not None and not entry.type.removeprefix("muniment.").startswith(self.kind):
            return False
        return self.actor is None or entry.actor == self.actor


def _pages(ledger: Ledger, size: int, *, newest_first: bool) -> Iterator[Row]:
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


def _present(ledger: Ledger, size: int, wanted: _Filter, limit: int | None, *, reverse: bool) -> Iterator[Row]:
    """Wanted entries of a log of this size, the last ``limit`` when there is one."""
    found = (row for row in _pages(ledger, size, newest_first=bool(limit) or reverse) if wanted(row))
    if not limit:
        yield from found
        return
    last = [row for _, row in zip(range(limit), found, strict=False)]
    yield from last if reverse else reversed(last)


def _line(names: dict[str, str]) -> Callable[[dict[str, Any]], str]:
    def line(item: dict[str, Any]) -> str:
        entry = item["entry"]
        kind = entry["type"].removeprefix("muniment.").rpartition(".")[0]
        who = names.get(entry["actor"], entry["actor"])
        words = f"{item['index']:>6}  {entry['recorded_at'][:19]}Z  {kind:<30} {entry['subject']:<36} {who}"
        if item["event"] is None:
            words = f"{words}  ({item['withheld'] or 'its content is missing: muniment verify log'})"
        return f"{words}  (suspect since entry {item['suspect']['cause']})" if item["suspect"] else words

    return line


def _described(ledger: Ledger, rows: Iterator[Row]) -> Iterator[dict[str, Any]]:
    """Entries as the machine formats print them, and whether they are suspect as of now."""
    from ledger.suspects import Doubts

    size = ledger.world.refresh()
    doubts = Doubts(ledger.world.at(size))
    for row in rows:
        item = as_json(row)
        found = doubts.of(row) if row.entry.index < size else None
        if found is not None and ledger.world.judge_row(row).verdict.kind == "void":
            found = None
        item["suspect"] = None if found is None else {"cause": found.cause, "keyid": found.keyid, "owner": found.owner}
        judged = ledger.world.judge_row(row) if item["event"] is None and row.entry.index < size else None
        item["withheld"] = None if judged is None or judged.withheld is None else judged.withheld.text
        yield item


def _check_combination(app: App, /, *, follow: bool, graph: bool, reverse: bool, interval: int | None) -> None:
    if interval is not None and not follow:
        raise click.UsageError("--interval says how often --follow looks; give both.")
    if follow and graph:
        raise click.UsageError("--follow shows entries as they come; a --graph is drawn of what is there. Give one.")
    if reverse and (follow or graph):
        raise click.UsageError(f"--reverse has no meaning with {'--follow' if follow else '--graph'}: leave it out.")
    if follow and app.output == "json":
        raise click.UsageError("-o json is one array, and --follow has no end: use -o ndjson, an object a line.")


def _graph(app: App, wanted: _Filter, limit: int | None) -> None:
    from cli.graph import show_graph
    from ledger.errors import InputError
    from projections.graph import log_graph

    with app.views() as (ledger, runner, size):
        found = log_graph(runner.views, size)
        origin = ledger.origin
    if wanted.subject is not None:
        found = found.around(wanted.subject)
        if not found.nodes:
            raise InputError(f"the log has nothing about {wanted.subject}", hint="`muniment log` shows what there is.")
    rows = [
        row["index"]
        for row in found.nodes
        if (wanted.kind is None or row["type"].startswith(wanted.kind)) and wanted.actor in (None, row["actor"])
    ]
    show_graph(app, found.only(set(rows[-limit:] if limit else rows)), origin=origin, size=size)


@click.command(short_help="Show entries in log order.")
@click.argument("subject", required=False)
@click.option("-n", "limit", type=click.IntRange(min=0), help="Only the last N (0 for all); text shows the last 50.")
@click.option("--type", "kind", help="Only types that begin so, for example approval.")
@click.option("--actor", help="Only this author.")
@click.option("--reverse", is_flag=True, help="Newest first.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new entries as they are recorded, until interrupted.")
@click.option("--graph", is_flag=True, help="Draw what rests on what: a lane for each stream, lines to what is named.")
@click.option("--interval", type=click.IntRange(10, 3_600_000), metavar="MS",
              help="How often --follow looks, in milliseconds; 200 by default.")  # fmt: skip
@common_options
@pass_app
def log(
    app: App,
    /,
    subject: str | None,
    limit: int | None,
    kind: str | None,
    actor: str | None,
    interval: int | None,
    *,
    reverse: bool,
    follow: bool,
    graph: bool,
) -> None:
    """Show entries in log order, of one SUBJECT or of all.

    With -o ndjson each line is one entry with its event; with -o csv each row.

    --follow misses and repeats nothing. It waits up to a minute for a store that went away, and ends with
    exit code 1 when the store holds less than was shown, or something else.

    --graph reads the whole log and shows evidence, requests, causes, and what an event names: the run of a
    version, the inputs of a run, the version that is deployed. With SUBJECT it is narrowed to what that thing
    rests on and what rests on it. With -o json it is nodes and edges.

    \b
    Example:
      muniment log --graph model:tx@1
      muniment log model:tx -n 10
      muniment log -o ndjson | jq -r .event.type
      muniment log -n 0 --follow --type incident -o ndjson
    """
    _check_combination(app, follow=follow, graph=graph, reverse=reverse, interval=interval)
    if limit is None and app.output == "text":
        limit = _TEXT_DEFAULT
    wanted = _Filter(subject, kind, actor)
    if graph:
        _graph(app, wanted, limit)
        return
    with app.reader() as ledger:
        names = app.home.names() if app.output == "text" else {}
        new: Follower | None = None
        if follow:
            from cli.follow import Follower

            new = Follower(ledger, app.home.url, interval=(interval or 200) / 1000, note=app.note)
        size = (ledger.recorder.head() if new is None else new.head).size
        present = _present(ledger, size, wanted, limit, reverse=reverse)
        rows = chain(present, (row for row in new or () if wanted(row)))
        print_lines(app, Grid(_COLUMNS, _described(ledger, iter(rows))), _line(names))
