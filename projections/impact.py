"""What is live that ever saw a thing: versions made from it, directly or not, and where they are or were served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain.ancestry import held_by
from ledger.domain.world import World
from ledger.names import parse_name
from projections.asof import AsOf
from projections.base import ViewReader
from projections.lineage import edges, is_next_version, named_bytes
from projections.lineage_nodes import Described
from projections.loaded import loaded_somewhere
from projections.model_state import periods
from projections.serving import read_serving, snapshots
from projections.tracing import Link, Trace, descend, node_parts

__all__ = ["impact", "written"]

#: Findings of serving snapshots that something is loaded which is neither live nor a canary.
_STRANGERS: Final = ("former version", "unknown version")


def _parents(found: Trace) -> dict[str, Link]:
    """For each node the link that leads to it from the start on the shortest way; the earliest of several."""
    nearest: dict[str, Link] = {}
    for link in sorted(found.links.values(), key=lambda one: (min(e["index"] for e in one.entries), one.relation)):
        if found.down.get(link.upstream, -2) + 1 == found.down.get(link.downstream):
            nearest.setdefault(link.downstream, link)
    return nearest


class _Impact:
    def __init__(self, ledger: Ledger, views: ViewReader, as_of: AsOf, found: Trace) -> None:
        self._views = views
        self._as_of = as_of
        self._found = found
        self._parents = _parents(found)
        self.described = Described(ledger, views, as_of)
        self.described.prepare_states(found.nodes)

    def path(self, node: str) -> list[dict[str, Any]]:
        """From the start to a node, each step with the entries that say so."""
        steps: list[dict[str, Any]] = []
        at: str | None = node
        while at is not None:
            link = self._parents.get(at)
            entries = [] if link is None else sorted(link.entries, key=lambda entry: entry["index"])
            steps.append({
                "subject": node_parts(at)[0], "relation": None if link is None else link.relation,
                "entries": [entry["index"] for entry in entries],
                "suspect": any(self.described.suspect(entry) for entry in entries),
            })  # fmt: skip
            at = None if link is None else link.upstream
        return steps[::-1]

    def served(self) -> Iterator[dict[str, Any]]:
        """Each time that a version which saw the thing was live, or a canary."""
        for node in self._found.nodes:
            deployment, model = node_parts(node)
            for state in self.described.state(deployment)["deployments"] if model is not None else ():
                for period in periods(state):
                    if period["model"] == model:
                        environment = parse_name(deployment).namespace
                        yield {"deployment": deployment, "environment": environment, **period, "path": self.path(node)}

    def bytes_seen(self) -> dict[str, str]:
        """Digests of all that saw the thing, as it was registered or came out of a run, each with its name."""
        made = [link for link in self._found.links.values() if link.relation == "output-of"]
        found = {entry["digest"]: link.downstream for link in made for entry in link.entries if entry["digest"]}
        names = [node for node in self._found.nodes if " " not in node]
        where = [("occurred_at", "<=", self._as_of.bound)]
        rows = named_bytes(self._views, "subject", names, size=self._as_of.size, where=where)
        # Of several names the first version of a model.
        ordered = sorted(rows, key=lambda row: (row["subject"].startswith("model:"), -row["position"]))
        return found | {row["digest"]: row["subject"] for row in ordered}

    def loaded(self, seen: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Versions that saw the thing and are still loaded where they are not live, by the last serving snapshot.

        Args:
            seen: digests of all that saw it, each with its name.
        """
        told = loaded_somewhere(self._views, self._as_of, seen)
        taken = snapshots(self._views, self._as_of, told)
        for deployment in (name for name in told if taken[name]):
            serving = read_serving(self._views, self._as_of, deployment)
            for finding in serving.findings:
                models = sorted({seen[digest] for digest in finding["digests"] if digest in seen})
                if finding["kind"] in _STRANGERS and models:
                    yield {"deployment": deployment, "model": models[0], "instances": finding["instances"],
                           "words": finding["words"], "index": serving.index}  # fmt: skip

    def versions(self) -> Iterator[dict[str, Any]]:
        """Registered versions that saw the thing."""
        for node in self._found.nodes:
            version = self.described.version(node) if node.startswith("model:") and "@" in node else None
            if version is not None and " " not in node:
                yield {name: version[name] for name in ("version", "status", "digest", "tier", "owner")} | {
                    "index": version["registered"]["index"], "path": self.path(node),
                }  # fmt: skip

    def measured(self, seen: set[str]) -> Iterator[dict[str, Any]]:
        """Evaluations on the thing, or on what was made from it, of versions that were not made from it."""
        names = [node for node in self._found.nodes if " " not in node]
        tests = {row["downstream"] for row in self._edges("upstream", names, "evaluated-on")}
        rows = [row for row in self._edges("downstream", sorted(tests), "evaluates") if row["upstream"] not in seen]
        live = self._live({row["upstream"] for row in rows})
        for row in rows:
            yield {"version": row["upstream"], "evaluation": row["downstream"], "index": row["position"] - 1,
                   "live": [one for one in live if one["model"] == row["upstream"]]}  # fmt: skip

    def _live(self, versions: set[str]) -> list[dict[str, Any]]:
        """Where versions are live, or a canary, now."""
        served = {row["downstream"] for row in self._edges("upstream", sorted(versions), "serves")}
        names = sorted(name for name in served if name.startswith("deployment:"))
        self.described.prepare_states(names)
        found = [
            {"deployment": name, "environment": parse_name(name).namespace, **period} for name in names
            for state in self.described.state(name)["deployments"] for period in periods(state)
            if period["model"] in versions and period["until"] is None
        ]  # fmt: skip
        return sorted(found, key=lambda one: (one["since"], one["index"]))

    def _edges(self, side: str, names: list[str], relation: str) -> Iterator[dict[str, Any]]:
        where = [("occurred_at", "<=", self._as_of.bound), ("relation", "=", relation)]
        return edges(self._views, side, names, size=self._as_of.size, where=where)


def impact(ledger: Ledger, views: ViewReader, as_of: AsOf, subject: str) -> dict[str, Any]:
    """What a thing went into, and where that is.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks.
        subject: a data set, feature set, run, artefact or model; without a version all of its versions.

    Returns:
        Plain values: ``copies`` (other names of the same bytes, and of what, at any step); ``live`` (also canaries),
        ``before`` (what was live and is not) and ``candidates`` (versions that are live nowhere), each with the
        ``path`` that leads there; ``loaded`` (what a platform still has loaded, by its snapshots, and is not live),
        and ``measured`` (versions only evaluated on it, and where each is ``live``).

    Raises:
        InputError: nothing is known about the subject.
    """
    found = descend(views, as_of, subject)
    asked = _Impact(ledger, views, as_of, found)
    served = sorted(asked.served(), key=lambda one: (one["since"], one["index"]))
    live = [one for one in served if one["until"] is None]
    now = {one["model"] for one in live}
    versions = list(asked.versions())
    candidates = [one for one in versions if one["version"] not in now]
    seen = {one["version"] for one in versions} | {one["model"] for one in served}
    digests = {one["digest"]: one["model"] for one in served} | asked.bytes_seen()
    return {
        "copies": [
            {"subject": name, "of": of, "digest": digest} for name, (of, digest) in sorted(found.copies.items())
        ],
        "live": live,
        "before": [one for one in served if one["until"] is not None],
        "candidates": sorted(candidates, key=lambda one: one["index"]),
        "loaded": list(asked.loaded(digests)),
        "measured": sorted(asked.measured(seen), key=lambda one: one["index"]),
    }


def written(views: ViewReader, as_of: AsOf, world: World, subject: str) -> dict[str, str]:
    """Data sets that runs wrote which read a thing, or what was made from it: no rule follows these.

    Args:
        views: the views.
        as_of: both clocks.
        world: the ledger as it is known.
        subject: a data set or feature set; without a version all of its versions.

    Returns:
        Each with its run, as far as it is not in quarantine and its lineage leads to nothing that is.
    """
    found = descend(views, as_of, subject)
    below: dict[str, list[Link]] = {}
    for link in found.links.values():
        if not is_next_version(link.downstream, link.relation, link.upstream):
            below.setdefault(link.upstream, []).append(link)
    reached, left, wrote = set(found.roots), list(found.roots), dict[str, str]()
    while left:
        for link in below.get(left.pop(), ()):
            if link.relation == "output-of" and link.downstream.startswith("dataset:"):
                wrote.setdefault(link.downstream, link.upstream)
            if link.downstream not in reached:
                reached.add(link.downstream)
                left.append(link.downstream)
    return {name: run for name, run in sorted(wrote.items()) if not any(held_by(world, name, ""))}
