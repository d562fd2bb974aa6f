"""`muniment lineage`: what a thing was made from, and what was made from it, as a tree, a graph or events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import click

from cli.app import App, options_with, pass_app
from cli.output import Grid, clean, print_record
from cli.reading import with_as_of

__all__ = ["lineage"]

SCHEMA: Final = "urn:muniment:schema:report.lineage.v1"
_FORMS: Final = ("mermaid", "dot", "openlineage")
_COLUMNS: Final = ("downstream", "relation", "upstream", "index", "digest", "occurred_at", "actor", "suspect")
#: What is drawn in the Unicode form, and in ASCII where the terminal has no more.
_ASCII: Final = str.maketrans({"…": "...", "├": "|", "└": "`", "─": "-", "│": "|", "→": ">"})


@click.command(short_help="Show what a thing was made from, and what was made from it.")
@click.argument("subject")
@click.option("--up", is_flag=True, help="Only what it was made from.")
@click.option("--down", is_flag=True, help="Only what was made from it, where that is live, and incidents there.")
@click.option(
    "--depth", type=click.IntRange(min=0), help="At most so many steps, and what is cut is said; all by default."
)
@with_as_of
@options_with(*_FORMS)
@pass_app
def lineage(
    app: App, /, subject: str, *, up: bool, down: bool, depth: int | None, at: str | None, known_at: str | None
) -> None:
    """Show what SUBJECT was made from, and what came of it, down to where it is live and incidents there.

    A name without a version stands for all of its versions. A deployment is shown once for each version it served.
    With -o csv or md each entry that says something is a row; mermaid and dot are graphs to draw, openlineage is an
    array of run events.

    \b
    Example:
      muniment lineage dataset:tx@1 --down
      muniment lineage model:tx@1 --up --depth 2 -o mermaid
      muniment lineage deployment:prod/tx --at 2026-11-01T12:00:00Z -o json
    """
    from projections.asof import resolve_as_of
    from projections.lineage_nodes import answer
    from projections.tracing import cut_off, trace

    both = up == down
    with app.views() as (ledger, runner, size):
        as_of = resolve_as_of(ledger, runner.views, at=at, known_at=known_at, head=size, now=time.time_ns() // 1000)
        found = trace(runner.views, as_of, subject, up=up or both, down=down or both, depth=depth)
        told = app.marked(ledger, answer(ledger, runner.views, as_of, found), as_of.size)
        data = {"schema": SCHEMA, "origin": ledger.origin, **as_of.describe(), "subject": subject,
                "up": up or both, "down": down or both, "depth": depth, **told,
                "cut": cut_off(runner.views, as_of, found, depth)}  # fmt: skip
        ledgerid = ledger.ledgerid
    if app.output == "text":
        _text(app, data)
        _say_cut(app, data)
    elif app.output == "openlineage":
        from cli.output import to_json
        from projections.openlineage import run_events

        click.echo(to_json(run_events(data, ledgerid)))
        _say_cut(app, data)
    elif app.output in _FORMS:
        from cli.diagrams import dot, mermaid

        click.echo(clean((mermaid if app.output == "mermaid" else dot)(data)))
        _say_cut(app, data)
    else:
        print_record(app, data, "", Grid(_COLUMNS, _rows(data)))


def _say_cut(app: App, data: dict[str, Any]) -> None:
    """What is shown looks whole, and is not."""
    cut = {*data["cut"]["up"], *data["cut"]["down"]}
    if cut:
        marked = " (marked …)" if app.output == "text" else ""
        app.note(f"Cut at --depth {data['depth']}: more follows from {', '.join(sorted(cut)[:3])}"
                 f"{f' and {len(cut) - 3} more' if len(cut) > 3 else ''}{marked}")  # fmt: skip


def _rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for edge in data["edges"]:
        for entry in edge["entries"]:
            yield {**{name: edge[name] for name in ("downstream", "relation", "upstream")}, **entry}


def _text(app: App, data: dict[str, Any]) -> None:
    from cli.graph import can_print

    known = data["known_at"]
    app.note(
        f"{data['origin']}: at {data['at'] or 'the latest'}, known at size {known['size']} ({known['recorded_at']})"
    )
    tree = _Tree(data)
    lines = []
    for direction, title in (("up", "made from"), ("down", "led to")):
        if data[direction]:
            lines += [title, *tree.lines(direction)]
    plain = not can_print("├└─│→")
    for line in lines:
        click.echo(clean(line.translate(_ASCII) if plain else line).replace("\n", " "))


class _Tree:
    """A tree of nodes: each is told once, and only named where it comes again."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._nodes = {node["id"]: node for node in data["nodes"]}
        self._roots = data["roots"]
        self._cut = data["cut"]
        self._next: dict[str, dict[str, list[dict[str, Any]]]] = {"up": {}, "down": {}}
        for edge in data["edges"]:
            self._next["up"].setdefault(edge["downstream"], []).append({**edge, "to": edge["upstream"]})
            self._next["down"].setdefault(edge["upstream"], []).append({**edge, "to": edge["downstream"]})

    def lines(self, direction: str) -> Iterator[str]:
        """The lines of one direction; deep trees need no deep stack."""
        told: set[str] = set()
        # Each item: (text in front of the line, text in front of its children, relation, node)
        due = [("  ", "  ", "", root) for root in reversed(self._roots)]
        while due:
            front, below, relation, node = due.pop()
            if not relation and node in told:
                continue  # a version that another root led to
            again = node in told
            more = " …" if node in self._cut[direction] and not again else ""
            yield f"{front}{f'{relation} → ' if relation else ''}{_words(self._nodes[node], again=again)}{more}"
            told.add(node)
            children = [] if again else self._children(direction, node)
            for place in range(len(children) - 1, -1, -1):
                branch, stem = ("└─ ", "   ") if place == len(children) - 1 else ("├─ ", "│  ")
                due.append((below + branch, below + stem, *children[place]))

    def _children(self, direction: str, node: str) -> list[tuple[str, str]]:
        """Relations to, and names of, the nodes on from one that were reached in this direction."""
        found: dict[str, list[str]] = {}
        for edge in self._next[direction].get(node, ()) if self._nodes[node][direction] is not None else ():
            if self._nodes[edge["to"]][direction] is not None:
                doubt = " (suspect)" if any(entry["suspect"] for entry in edge["entries"]) else ""
                found.setdefault(edge["to"], []).append(edge["relation"] + doubt)
        return [(", ".join(relations), to) for to, relations in found.items()]


def _words(node: dict[str, Any], *, again: bool) -> str:
    name = f"{node['subject']}, serving {node['serves']}" if node["serves"] else str(node["subject"])
    if node["kind"] == "evaluation" and node["index"] is not None:
        name = f"evaluation in entry {node['index']}"
    if again:
        return f"{name} (above)"
    said = [] if node["status"] is None else [str(node["status"])]
    said += [mark for mark in node["marks"] if mark != node["status"]]
    if node["periods"]:
        last = node["periods"][-1]
        said.append(f"since {last['since']}" if last["until"] is None else f"until {last['until']}")
    if node.get("metrics"):
        said.append(", ".join(f"{metric} {value:.4g}" for metric, value in sorted(node["metrics"].items())))
    words = f"{name}  [{', '.join(said)}]" if said else name
    return f"{words}  {node['title']}" if node["title"] else words
