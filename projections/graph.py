"""What rests on what: entries of the log and the earlier entries they refer to.

An event refers to another by its index (evidence), by its id (a request, a cause) or by naming a thing: then it means
the entry that last said what that thing is. Edges point from the later entry to the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from projections.base import ViewReader
from projections.groups import DATA, DEPLOYED, ENDED, RUNS, WENT_LIVE
from projections.journal import JournalRow, journal_rows

__all__ = ["Edge", "Graph", "connect", "log_graph"]

#: Events that say what a thing is; whoever names the thing means the last of these before.
_ANCHORS: Final = frozenset(
    {"actor.enrolled", "incident.opened", "ledger.created", "version.registered", *DATA, *RUNS, *WENT_LIVE}
)
#: Field of a body that names a thing, and what the thing is to the event.
_NAMING: Final = {
    "run": "made by", "dataset": "measured on", "model": "version", "deployment": "deployment", "incident": "incident",
}  # fmt: skip
#: Events that stand for themselves: the last state of their own subject is not what they rest on.
_FRESH: Final = frozenset({"ledger.created", "run.started", "version.registered", *DATA})
#: Event: the decision it carries out, looked for in its own stream.
_CARRIES_OUT: Final = {
    **dict.fromkeys((*DEPLOYED, "canary.stage_entered"), "deployment.authorised"),
    "rollback.completed": "rollback.authorised",
}


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One entry refers to an earlier one.

    Attributes:
        source: index of the entry that refers.
        target: index of the entry it refers to.
        relations: what that one is to it, for example evidence, request, made by.
    """

    source: int
    target: int
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Entries and their edges.

    Attributes:
        nodes: rows of the journal in log order.
        edges: in order of source and target.
    """

    nodes: tuple[JournalRow, ...]
    edges: tuple[Edge, ...]

    def around(self, subject: str) -> Graph:
        """What is connected with a thing: its entries, all they rest on, and all that rests on them."""
        start = {row["index"] for row in self.nodes if subject in (row["subject"], row["stream"])}
        down: dict[int, list[int]] = {}
        up: dict[int, list[int]] = {}
        for edge in self.edges:
            up.setdefault(edge.source, []).append(edge.target)
            down.setdefault(edge.target, []).append(edge.source)
        kept = _reach(start, up) | _reach(start, down)
        return self.only(kept)

    def only(self, kept: set[int]) -> Graph:
        """The part with these entries; an edge to an entry that is not shown stays with its source."""
        nodes = tuple(row for row in self.nodes if row["index"] in kept)
        return Graph(nodes, tuple(edge for edge in self.edges if edge.source in kept))


def _reach(start: set[int], steps: dict[int, list[int]]) -> set[int]:
    found, frontier = set(start), list(start)
    while frontier:
        new = [index for index in steps.get(frontier.pop(), ()) if index not in found]
        found.update(new)
        frontier.extend(new)
    return found


@dataclass
class _Seen:
    """What the entries so far said, for finding what a later one means."""

    ids: dict[str, int] = field(default_factory=dict)
    anchors: dict[str, int] = field(default_factory=dict)
    by_digest: dict[tuple[str, str], int] = field(default_factory=dict)
    mentions: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    decisions: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def of(self, name: Any, digest: Any = None) -> int | None:
        """The entry that is meant by a thing's name; by its digest too, when that is known."""
        if not isinstance(name, str):
            return None
        exact = self.by_digest.get((name, digest)) if isinstance(digest, str) else None
        return exact if exact is not None else self.anchors.get(name, self.mentions.get(name))

    def add(self, row: JournalRow) -> None:
        index, kind, data = row["index"], row["type"], row["data"]
        self.ids[row["id"]] = index
        for name in {row["subject"], row["stream"]}:
            self.mentions[name] = index
            if kind in _ANCHORS:
                self.anchors[name] = index
        if kind in _ANCHORS and isinstance(data.get("digest"), str):
            self.by_digest[row["subject"], data["digest"]] = index
        if kind in ENDED:
            self.outputs.update((name, index) for name, _ in _refs(data.get("outputs")))
        if kind in _CARRIES_OUT.values():
            self.decisions[kind, row["stream"], str(data.get("model"))] = index


def _refs(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Subjects of a list of references; a fact may have a field of that name that is none."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and isinstance(item.get("subject"), str):
            yield item["subject"], item


def _targets(row: JournalRow, seen: _Seen) -> Iterator[tuple[int | None, str]]:
    """What an entry refers to, as (index, relation); None for what the log does not hold."""
    kind, data, subject = row["type"], row["data"], row["subject"]
    yield seen.ids.get(row["causation"]), "cause"
    yield seen.ids.get(str(data.get("request"))), "request"
    evidence = data.get("evidence")
    for item in evidence if isinstance(evidence, list) else ():
        if isinstance(item, dict) and isinstance(item.get("index"), int):
            yield item["index"], "evidence"
    for name, relation in _NAMING.items():
        digest = data.get("digest") if name == "model" else data.get(f"{name}_digest")
        yield seen.of(data.get(name), digest), relation
    for name, ref in _refs(data.get("inputs")):
        yield seen.of(name, ref.get("digest")), "input"
    for name, ref in _refs(data.get("refs")):
        yield seen.of(name, ref.get("digest")), str(ref.get("role", "ref"))
    if kind in ("version.registered", *DATA):
        yield seen.outputs.get(subject), "made by"
    if kind in _CARRIES_OUT:
        yield seen.decisions.get((_CARRIES_OUT[kind], row["stream"], str(data.get("model")))), "authorised by"
    elif kind not in _FRESH and not subject.startswith("deployment:"):
        yield seen.anchors.get(subject), "about"


def connect(rows: Iterable[JournalRow]) -> Graph:
    """Find what each entry refers to.

    Args:
        rows: rows of the journal from entry 0 on, in log order. Only valid ones refer and are referred to by name.

    Returns:
        All of them, with their edges.
    """
    seen = _Seen()
    nodes: list[JournalRow] = []
    edges: list[Edge] = []
    for row in rows:
        nodes.append(row)
        if row["verdict"] != "valid":
            continue
        found: dict[int, list[str]] = {}
        for target, relation in _targets(row, seen):
            if target is not None and 0 <= target < row["index"]:
                relations = found.setdefault(target, [])
                if relation not in relations:
                    relations.append(relation)
        for target, relations in sorted(found.items()):
            # That it is about the same thing goes without saying where more is said.
            said = [relation for relation in relations if relation != "about"] or relations
            edges.append(Edge(row["index"], target, tuple(said)))
        seen.add(row)
    return Graph(tuple(nodes), tuple(edges))


def log_graph(views: ViewReader, size: int) -> Graph:
    """The graph of the whole log as it stood at a size.

    Args:
        views: the views.
        size: log size that was known.
    """
    return connect(journal_rows(views, size=size))
