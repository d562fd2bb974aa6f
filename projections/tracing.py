"""Following lineage from a thing: up to what it was made from, down to where it is live and what went wrong there.

A deployment serves one version after another, so each version it served is a node of its own: what happened while
another version was live there is not lineage of this one. On the way down other names of the same bytes are followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.errors import UnknownThingError
from ledger.names import parse_name
from projections.asof import AsOf
from projections.base import Selection, ViewReader, some_at_a_time
from projections.copies import SAME_BYTES, copies
from projections.journal import JournalRow, journal_rows
from projections.lineage import BASE, EDGE, MADE_FROM, edges
from projections.model_state import CHANGE, lives

__all__ = ["Link", "Trace", "cut_off", "descend", "node_parts", "trace"]

_NO_LINEAGE: Final = "ruled-out"


@dataclass
class Link:
    """A thing was made from, or rests on, another.

    Attributes:
        downstream, upstream: nodes.
        relation: what the upstream one is to the other.
        entries: the entries that say so: index, actor, digest, and when that occurred.
    """

    downstream: str
    relation: str
    upstream: str
    entries: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Trace:
    """What was found from a thing.

    Attributes:
        roots: where it starts: the thing, its versions, or the versions a deployment served.
        up, down: node to number of steps from the nearest root, in each direction that was followed.
        links: between nodes, in log order.
        copies: other names of the same bytes that were found on the way down, of what, and their digest.
    """

    roots: list[str]
    up: dict[str, int] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)
    links: dict[tuple[str, str, str], Link] = field(default_factory=dict)
    copies: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def nodes(self) -> list[str]:
        """All nodes, sorted."""
        return sorted({*self.roots, *self.up, *self.down})


def node_parts(node: str) -> tuple[str, str | None]:
    """A node as the thing's name and, of a deployment, the version it serves."""
    name, _, version = node.partition(" ")
    return name, version or None


class _Walk:
    """One walk, as of both clocks."""

    def __init__(self, views: ViewReader, as_of: AsOf, relations: Sequence[str] | None = None) -> None:
        self._views = views
        self._as_of = as_of
        self._where: Selection = [("occurred_at", "<=", as_of.bound)]
        if relations is not None:
            self._where = [*self._where, ("relation", "IN", relations)]
        self._served: dict[str, set[str]] = {}
        self._about: dict[str, list[str]] = {}
        self._opened: dict[str, JournalRow] = {}
        self._lives: dict[str, list[tuple[int, str]]] = {}

    def rows(self, side: str, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        wanted = set(names)
        stems = {name.partition("@")[0] for name in wanted if name.startswith("model:") and "@" in name}
        asked = sorted(wanted | stems if side == "downstream" else wanted)
        based = []
        for row in edges(self._views, side, asked, size=self._as_of.size, where=self._where):
            if row["relation"] == BASE:
                based.append(row)
            elif row["relation"] != _NO_LINEAGE and row[side] in wanted:
                yield row
        made = self._registered(row["downstream"] for row in based)
        for row in based:  # said of a model, it is so of its versions
            for name in made[row["downstream"]] or [row["downstream"]]:
                if side == "upstream" or name in wanted:
                    yield {**row, "downstream": name}

    def _registered(self, models: Iterable[str]) -> dict[str, list[str]]:
        """The registered versions of models."""
        found: dict[str, list[str]] = {name: [] for name in models}
        for some in some_at_a_time(sorted(found)):
            where = [("thing", "IN", some), ("type", "=", "version.registered"), ("position", "<=", self._as_of.size)]
            for row in self._views.select(CHANGE, [*where, ("occurred_at", "<=", self._as_of.bound)]):
                found[row["thing"]].append(row["model"])
        return found

    def served(self, deployment: str) -> set[str]:
        """Versions that were ever live, or a canary, in a deployment."""
        if deployment not in self._served:
            found = self.rows("downstream", [deployment])
            self._served[deployment] = {row["upstream"] for row in found if row["relation"] == "serves"}
        return self._served[deployment]

    def prepare(self, rows: Sequence[dict[str, Any]]) -> None:
        """Read what is asked about incidents and the deployments they are about, for a whole step at once."""
        incidents = sorted(
            {row["downstream"] for row in rows if row["downstream"].startswith("incident:")} - self._about.keys()
        )
        self._about |= {incident: [] for incident in incidents}
        for row in self.rows("downstream", incidents):
            self._about[row["downstream"]].append(row["upstream"])
        for some in some_at_a_time(incidents):
            # By the stream alone: a store that took the index of types would read every incident.
            where = [("stream", "IN", some), ("occurred_at", "<=", self._as_of.bound)]
            for row in journal_rows(self._views, where, size=self._as_of.size):
                if row["type"] == "incident.opened" and row["verdict"] == "valid":
                    self._opened.setdefault(row["stream"], row)
        about = {name for incident in incidents for name in self._about[incident]}
        places = sorted({name for name in about if name.startswith("deployment:")})
        self._lives |= lives(self._views, self._as_of, [name for name in places if name not in self._lives])
        new = [name for name in places if name not in self._served]
        self._served |= {name: set() for name in new}
        for row in self.rows("downstream", new):
            if row["relation"] == "serves":
                self._served[row["downstream"]].add(row["upstream"])

    def struck(self, incident: str, deployment: str) -> str:
        """The node of a deployment that an incident is about: the version it names, or what was live when it opened."""
        opened = self._opened.get(incident)
        model = None if opened is None else opened["data"].get("model")
        if opened is not None and model not in self.served(deployment):
            before = [name for at, name in self._lives[deployment] if at <= opened["occurred_at"]]
            model = before[-1] if before else None
        return f"{deployment} {model}" if model in self.served(deployment) else deployment

    def link(self, row: dict[str, Any]) -> tuple[str, str, str]:
        """An edge between nodes."""
        lower, upper = row["downstream"], row["upstream"]
        if row["relation"] == "serves" and lower.startswith("deployment:"):
            lower = f"{lower} {upper}"
        elif upper.startswith("deployment:") and lower.startswith("incident:"):
            upper = self.struck(lower, upper)
        return lower, row["relation"], upper

    def step(self, side: str, nodes: set[str]) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
        """Links of some nodes in one direction, with the edges that make them."""
        place = 0 if side == "downstream" else 2
        rows = list(self.rows(side, (node_parts(node)[0] for node in nodes)))
        self.prepare(rows)
        for row in rows:
            key = self.link(row)
            if key[place] in nodes and not self._told_below(key):
                yield key, row

    def _told_below(self, key: tuple[str, str, str]) -> bool:
        """Whether an incident hangs on a deployment of the version, so that it is no child of the version itself."""
        if not (key[0].startswith("incident:") and key[2].startswith("model:")):
            return False
        places = {self.struck(key[0], name) for name in self._about[key[0]] if name.startswith("deployment:")}
        return any(place.endswith(f" {key[2]}") for place in places)

    def beyond(self, found: Trace, side: str, depth: int | None) -> list[str]:
        """Nodes of the last step that have links which were not followed."""
        own, steps = (0, found.up) if side == "downstream" else (2, found.down)
        last = {node for node, number in steps.items() if number == depth}
        more = {key[own] for key, _ in self.step(side, last) if key not in found.links}
        if side == "upstream":
            more |= {of for name, of, _ in copies(self._views, self._as_of, last) if name not in steps}
        return sorted(more)

    def follow(self, found: Trace, side: str, depth: int | None) -> dict[str, int]:
        place = 2 if side == "downstream" else 0
        steps = dict.fromkeys(found.roots, 0)
        frontier = set(found.roots)
        number = 0
        while frontier and number != depth:  # nothing is reached twice, so circles end
            number += 1
            reached = set()
            for key, row in self.step(side, frontier):
                self._keep(found, key, row)
                reached.add(key[place])
            if side == "upstream":
                reached |= self._copied(found, frontier, steps.keys() | reached)
            frontier = reached - steps.keys()
            steps.update(dict.fromkeys(frontier, number))
        return steps

    @staticmethod
    def _keep(found: Trace, key: tuple[str, str, str], row: dict[str, Any]) -> None:
        link = found.links.setdefault(key, Link(*key))
        entry = {"index": row["position"] - 1, "actor": row["actor"], "digest": row["digest"] or None,
                 "occurred_at": row["occurred_at"]}  # fmt: skip
        if entry not in link.entries:
            link.entries.append(entry)

    def _copied(self, found: Trace, nodes: set[str], known: Set[str]) -> set[str]:
        """Keep links to other names of the bytes of some nodes, as far as these are not known; returns the names."""
        new = set()
        for name, of, row in copies(self._views, self._as_of, nodes):
            if name not in known:
                self._keep(found, (name, SAME_BYTES, of), row)
                if " " not in name:
                    found.copies.setdefault(name, (of, row["digest"]))
                new.add(name)
        return new

    def versions(self, subject: str) -> set[str]:
        """Versions of a thing that edges name."""
        found = set()
        for side in ("downstream", "upstream"):
            # "@" is followed by "A" in the order of bytes, which both stores keep.
            where = [(side, ">=", f"{subject}@"), (side, "<", f"{subject}A"), ("position", "<=", self._as_of.size)]
            found |= {row[side] for row in self._views.select(EDGE, [*where, ("occurred_at", "<=", self._as_of.bound)])}
        return found

    def known(self, subject: str) -> set[str]:
        """The subject and its versions, as far as entries have them as their subject."""
        stream, _, version = subject.partition("@")
        where: list[tuple[str, str, Any]] = [("stream", "=", stream), ("occurred_at", "<=", self._as_of.bound)]
        if version:
            return {row["subject"] for row in self._journal([*where, ("subject", "=", subject)], limit=1)}
        if stream.partition(":")[0] in ("dataset", "featureset", "model", "artifact"):
            return {row["subject"] for row in self._journal(where, limit=None)}
        return {row["stream"] for row in self._journal(where, limit=1)}

    def _journal(self, where: Selection, *, limit: int | None) -> list[dict[str, Any]]:
        return journal_rows(self._views, where, size=self._as_of.size, limit=limit)

    def roots(self, subject: str) -> list[str]:
        """See `Trace.roots`."""
        name = parse_name(subject)
        if name.kind == "deployment" and (served := self.served(subject)):
            return [subject, *(f"{subject} {model}" for model in sorted(served))]
        found = self.known(subject)
        if name.version is None and name.kind != "evaluation":
            found |= self.versions(subject)
        if any(True for side in ("downstream", "upstream") for _ in self.rows(side, [subject])):
            found.add(subject)
        if not found:
            raise UnknownThingError(
                f"nothing was known about {subject} as of then", subject,
                hint="`muniment log` shows what the ledger holds.",
            )  # fmt: skip
        return sorted(found)


def trace(
    views: ViewReader, as_of: AsOf, subject: str, *, up: bool = True, down: bool = True, depth: int | None = None
) -> Trace:
    """Follow lineage from a thing.

    Args:
        views: the views.
        as_of: both clocks.
        subject: where to start; without a version all of its versions.
        up: follow what it was made from.
        down: follow what was made from it, where that is live, and incidents there.
        depth: at most so many steps; all when None.

    Raises:
        InputError: nothing is known about the subject.
    """
    walk = _Walk(views, as_of)
    found = Trace(walk.roots(subject))
    if up:
        found.up = walk.follow(found, "downstream", depth)
    if down:
        found.down = walk.follow(found, "upstream", depth)
    return found


def cut_off(views: ViewReader, as_of: AsOf, found: Trace, depth: int | None) -> dict[str, list[str]]:
    """Nodes from which more would have been reached, had the number of steps not ended there, ``up`` and ``down``.

    Args:
        views: the views.
        as_of: both clocks.
        found: what was found.
        depth: with at most so many steps.
    """
    walk = _Walk(views, as_of)
    return {"up": walk.beyond(found, "downstream", depth), "down": walk.beyond(found, "upstream", depth)}


def descend(views: ViewReader, as_of: AsOf, subject: str) -> Trace:
    """Everything that was made from a thing, directly or not, and where it was served; evaluations carry nothing on.

    Args:
        views: the views.
        as_of: both clocks.
        subject: where to start; without a version all of its versions.

    Raises:
        InputError: nothing is known about the subject.
    """
    walk = _Walk(views, as_of, (*MADE_FROM, "serves"))
    found = Trace(_Walk(views, as_of).roots(subject))  # what something was measured on is known by that alone
    found.down = walk.follow(found, "upstream", None)
    return found
