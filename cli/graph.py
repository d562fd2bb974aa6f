"""`muniment log --graph`: entries in log order, a lane for each stream, and lines to what an entry rests on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cli.app import App
from cli.output import Grid, console, print_lines, print_record, styled

if TYPE_CHECKING:
    from projections.graph import Edge, Graph
    from projections.journal import JournalRow

__all__ = ["Drawing", "can_print", "draw", "show_graph"]

COLUMNS: Final = (
    "index", "occurred_at", "recorded_at", "type", "subject", "stream", "actor", "verdict", "marks", "id", "rests_on",
)  # fmt: skip
_WIDTH: Final = 120
_COLOURS: Final = ("cyan", "magenta", "blue", "yellow", "bright_cyan", "bright_magenta", "bright_blue", "white")
#: What is drawn in the Unicode form, and in ASCII where the terminal has no more.
_ASCII: Final = str.maketrans("●│─├┤┼╰╯┴", "*|-+++''+")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One line of lanes.

    Attributes:
        cells: a character for each lane, and one between two lanes.
        lanes: the stream whose colour each cell has, None for none.
        after: the lanes that go on below, for a second line of text.
    """

    cells: str
    lanes: tuple[str | None, ...]
    after: tuple[str | None, ...]


def _last_uses(nodes: tuple[JournalRow, ...], targets: Mapping[int, list[str]]) -> dict[str, int]:
    """Where each stream's lane ends: at its last entry, or the last that refers into it."""
    last = {row["stream"]: row["index"] for row in nodes}
    for row in nodes:
        for stream in targets[row["index"]]:
            last[stream] = max(last[stream], row["index"])
    return last


def draw(graph: Graph) -> Iterator[tuple[JournalRow, Drawing]]:
    """Draw the lanes of each entry.

    Args:
        graph: what is shown; edges to entries that are not shown are not drawn.

    Yields:
        Each entry with its line, in log order.
    """
    streams = {row["index"]: row["stream"] for row in graph.nodes}
    targets: dict[int, list[str]] = {index: [] for index in streams}
    for edge in graph.edges:
        if edge.target in streams:
            targets[edge.source].append(streams[edge.target])
    last = _last_uses(graph.nodes, targets)
    lanes: list[str | None] = []
    for row in graph.nodes:
        own = row["stream"]
        if own not in lanes:
            free = lanes.index(None) if None in lanes else len(lanes)
            lanes[free:] = [own, *lanes[free + 1 :]]
        joined = {lanes.index(target) for target in targets[row["index"]] if target != own}
        ending = {number for number, stream in enumerate(lanes) if stream and last[stream] == row["index"]}
        cells = _cells(lanes, lanes.index(own), joined, ending)
        colours = tuple(lanes)
        for number in ending:
            lanes[number] = None
        while lanes and lanes[-1] is None:
            lanes.pop()
        yield row, Drawing(cells, colours, tuple(lanes))


def _cells(lanes: list[str | None], own: int, joined: set[int], ending: set[int]) -> str:
    low, high = min({own, *joined}), max({own, *joined})
    cells = []
    for number, stream in enumerate(lanes):
        if number == own:
            mark = "●"
        elif number in joined:
            place = 0 if number == low else 2 if number == high else 1
            mark = ("╰┴╯" if number in ending else "├┼┤")[place]
        else:
            mark = "│" if stream else "─" if low < number < high else " "
        cells.append(mark)
        cells.append("─" if low <= number < high else " ")
    return "".join(cells).rstrip()


def _relations(edges: list[Edge]) -> list[str]:
    """``10 evidence``; entries that are the same to it are told together: ``10, 11 evidence``."""
    found: dict[tuple[str, ...], list[int]] = {}
    for edge in edges:
        found.setdefault(edge.relations, []).append(edge.target)
    return [f"{', '.join(map(str, targets))} {' + '.join(relations)}" for relations, targets in found.items()]


def _node(row: JournalRow, edges: list[Edge]) -> dict[str, Any]:
    from ledger.entry import format_time

    node: dict[str, Any] = {name: row[name] for name in COLUMNS if name in row}
    node.update({name: format_time(row[name]) for name in ("occurred_at", "recorded_at")})
    node["rests_on"] = [{"index": edge.target, "relations": list(edge.relations)} for edge in edges]
    return node


def show_graph(app: App, /, graph: Graph, *, origin: str, size: int) -> None:
    """Print a graph: drawn for people; nodes and edges as JSON; nodes with what they rest on as lines or rows.

    Args:
        app: the invocation.
        graph: what to show.
        origin: name of the log.
        size: log size it was read at.
    """
    edges: dict[int, list[Edge]] = {row["index"]: [] for row in graph.nodes}
    for edge in graph.edges:
        edges[edge.source].append(edge)
    if app.output == "text":
        _text(app, graph, edges)
        return
    nodes = [_node(row, edges[row["index"]]) for row in graph.nodes]
    if app.output == "json":
        links = [{"from": e.source, "to": e.target, "relations": list(e.relations)} for e in graph.edges]
        plain = [{name: value for name, value in node.items() if name != "rests_on"} for node in nodes]
        print_record(app, {"origin": origin, "size": size, "nodes": plain, "edges": links}, "")
    elif app.output == "ndjson":
        print_lines(app, Grid(COLUMNS, nodes), str)
    else:
        rows = [{**node, "rests_on": _relations(edges[node["index"]])} for node in nodes]
        print_lines(app, Grid(COLUMNS, rows), str)


def _tail(row: JournalRow, edges: list[Edge], arrow: str) -> str:
    verdict = [] if row["verdict"] == "valid" else [row["verdict"]]
    rests = "; ".join(_relations(edges))
    return "; ".join([*(f"! {mark}" for mark in (*verdict, *row["marks"])), *([f"{arrow} {rests}"] if rests else [])])


def _text(app: App, graph: Graph, edges: dict[int, list[Edge]]) -> None:
    from ledger.entry import format_time

    out = console(app)
    names = app.home.names()
    plain = not can_print("●│├─←")
    width = out.width if out.is_terminal else _WIDTH
    drawn = list(draw(graph))
    room = max((len(drawing.cells) for _, drawing in drawn), default=0)
    kind_room = max((len(row["type"]) for row in graph.nodes), default=0)
    colours: dict[str, str] = {}
    for row, drawing in drawn:
        when = format_time(row["occurred_at"])[:16].replace("T", " ")
        by = names.get(row["actor"], row["actor"])
        head = f"{row['index']:>4}  {when}  {row['type']:<{kind_room}}  {row['subject']}  by {by}"
        tail = _tail(row, edges[row["index"]], "<-" if plain else "←")
        fits = not tail or room + 1 + len(head) + 2 + len(tail) <= width
        lines = [(drawing.cells, drawing.lanes, f"{head}  {tail}" if fits else head)]
        if not fits:
            below = "".join(f"{'│' if stream else ' '} " for stream in drawing.after)
            lines.append((below, drawing.after, " " * 24 + tail))
        for cells, lanes, text in lines:
            line = styled(f"{cells.translate(_ASCII) if plain else cells:<{room}} {text}".rstrip())
            for place, stream in enumerate(lanes):
                if stream is not None:
                    colour = colours.setdefault(stream, _COLOURS[len(colours) % len(_COLOURS)])
                    line.stylize(colour, 2 * place, 2 * place + 1)
            out.print(line, soft_wrap=True)


def can_print(text: str) -> bool:
    """Whether stdout has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
