"""What is known of the things on a lineage: what became of them, and what marks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ledger.application import Ledger
from ledger.domain.grounds import last_word
from ledger.domain.states import DatasetState, ModelState
from ledger.entry import format_time
from ledger.events.evaluations import verdict_of
from ledger.names import parse_name, stream_of
from projections.asof import AsOf, recorded_by
from projections.base import ViewReader, some_at_a_time
from projections.groups import DATA, RUNS
from projections.journal import JournalRow, journal_rows
from projections.lineage import edges
from projections.model_state import periods, states_of
from projections.suspension import Stamped, suspend
from projections.tracing import Trace, node_parts

__all__ = ["Described", "answer"]

#: Entries that say what a thing is: when they are suspect, so is it.
_SAYING = frozenset({
    "version.registered", "evaluation.completed", "artifact.produced", "featureset.defined", "featureset.changed",
    "featureset.materialized", "incident.opened", *DATA, *RUNS,
})  # fmt: skip
_RUN = {"run.started": "started", "run.completed": "completed", "run.failed": "failed", "run.aborted": "aborted"}
_INCIDENT = {
    "incident.opened": "open", "incident.reopened": "open", "incident.resolved": "resolved",
    "incident.closed": "closed",
}  # fmt: skip
Node = dict[str, Any]


class Described:
    """Describes nodes, as of both clocks.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks.
    """

    def __init__(self, ledger: Ledger, views: ViewReader, as_of: AsOf) -> None:
        self._ledger = ledger
        self._views = views
        self._as_of = as_of
        self._stamped = Stamped(ledger, as_of.size)
        # As in states, quarantines are decisions: they count from when they were recorded.
        self._then = ledger.world.at(recorded_by(views, as_of, as_of.asked))
        self._placed = frozenset(self._then.quarantined())
        self._states: dict[str, dict[str, Any]] = {}
        self._entries: dict[str, list[JournalRow]] = {}
        self._evaluations: dict[str, JournalRow] = {}
        self._prepared: set[str] = set()

    def suspect(self, stamp: dict[str, Any]) -> bool:
        """Whether an entry is suspect, as known at the size."""
        return self._stamped.suspect(stamp)

    def prepare_states(self, nodes: Iterable[str]) -> None:
        """Read the states of all models and deployments among some nodes at once."""
        streams = {node_parts(node)[0].partition("@")[0] for node in nodes}
        new = {name for name in streams if name.startswith(("model:", "deployment:"))} - self._states.keys()
        if not new:
            return
        found = suspend(self._ledger, self._views, self._as_of, states_of(self._views, self._as_of, new))
        self._states |= {name: {"models": [], "deployments": []} for name in new}
        for part, name in (("models", "model"), ("deployments", "deployment")):
            for one in found[part]:
                if one[name] in new:
                    self._states[one[name]][part].append(one)

    def prepare(self, nodes: Sequence[str]) -> None:
        """Read what `node` tells of some nodes, by a few questions however many they are."""
        self._prepared |= set(nodes)
        self.prepare_states(nodes)
        subjects = {node_parts(node)[0] for node in nodes}
        self._read_evaluations(sorted(name for name in subjects if parse_name(name).kind == "evaluation"))
        plain = [name for name in subjects if not name.startswith(("evaluation:", "deployment:"))]
        things = {name.partition("@")[0] for name in plain if not name.startswith("model:") or not self.version(name)}
        new = sorted(things - self._entries.keys())
        self._entries |= {stream: [] for stream in new}
        for some in some_at_a_time(new):
            where = [("stream", "IN", some), ("occurred_at", "<=", self._as_of.bound)]
            for row in journal_rows(self._views, where, size=self._as_of.size):
                self._entries[row["stream"]].append(row)

    def _read_evaluations(self, subjects: list[str]) -> None:
        first: dict[int, str] = {}
        for edge in edges(self._views, "downstream", subjects, size=self._as_of.size):
            if edge["downstream"] not in first.values():
                first[edge["position"]] = edge["downstream"]
        for some in some_at_a_time(sorted(first)):
            for row in journal_rows(self._views, [("position", "IN", some)], size=self._as_of.size):
                self._evaluations[first[row["index"] + 1]] = row

    def state(self, stream: str) -> dict[str, Any]:
        """State of a model, or of a deployment."""
        self.prepare_states([stream])
        return self._states[stream]

    def version(self, subject: str) -> dict[str, Any] | None:
        """State of a model version, None when it was not registered."""
        models = self.state(subject.partition("@")[0])["models"]
        return next((one for model in models for one in model["versions"] if one["version"] == subject), None)

    def _rows(self, subject: str) -> list[JournalRow]:
        """Entries about a thing, of what bears on it: its own, and those about all versions of it."""
        stream = subject.partition("@")[0]
        found = self._entries[stream]
        return [row for row in found if row["subject"] in (subject, stream) and row["verdict"] != "void"]

    def node(self, node: str) -> Node:
        """What is known of a node; see `prepare` for many."""
        if node not in self._prepared:
            self.prepare([node])
        subject, serves = node_parts(node)
        kind = parse_name(subject).kind
        found: Node = {"id": node, "kind": kind, "subject": subject, "serves": serves, "status": None, "index": None}
        found |= {"title": None, "digests": [], "periods": [], "marks": []}
        if kind == "deployment":
            self._deployment(found)
        elif kind == "evaluation":
            self._evaluation(found)
        elif kind == "model" and (version := self.version(subject)) is not None:
            self._version(found, version)
        else:
            self._thing(found, self._rows(subject))
        return found

    def _deployment(self, found: Node) -> None:
        for state in self.state(found["subject"])["deployments"]:
            mine = [period for period in periods(state) if found["serves"] in (None, period["model"])]
            # The published form of lineages has their marks alone.
            found["periods"] = [{name: told for name, told in one.items() if name != "quarantines"} for one in mine]
            now = [period["how"] for period in mine if period["until"] is None]
            found["status"] = now[-1] if now else "was live" if mine else "nothing live"
            found["index"] = mine[-1]["index"] if mine else None
            found["marks"] = sorted({mark for period in mine if period["until"] is None for mark in period["marks"]})

    def _evaluation(self, found: Node) -> None:
        row = self._evaluations.get(found["subject"])
        if row is not None:
            found["index"], found["status"] = row["index"], verdict_of(row["data"])
            found["title"] = row["data"].get("suite")
            found["metrics"] = row["data"].get("metrics")
            version = self.version(row["subject"])
            known = [] if version is None else [one for one in version["evaluations"] if one["id"] == row["id"]]
            found["marks"] = ["invalidated"] if any(one["invalidated"] for one in known) else []
            found["marks"] += ["suspect"] if self.suspect(row) else []

    def _version(self, found: Node, version: dict[str, Any]) -> None:
        found["status"], found["index"] = version["status"], version["registered"]["index"]
        found["digests"] = [version["digest"]]
        found["tier"], found["owner"] = version["tier"], version["owner"]
        marks = (
            ("live", version["live_in"]), ("quarantined", version["quarantines"]), ("retired", version["retired"]),
            ("suspect", self.suspect(version["registered"])),
        )  # fmt: skip
        found["marks"] = [mark for mark, holds in marks if holds]

    def _thing(self, found: Node, rows: list[JournalRow]) -> None:
        saying = [row for row in rows if row["type"] in _SAYING and row["subject"] == found["subject"]]
        if saying:
            found["index"] = saying[0]["index"]
            found["title"] = next(
                (row["data"][name] for row in saying for name in ("title", "job", "name") if row["data"].get(name)),
                None,
            )
            digests = [row["data"]["digest"] for row in saying if isinstance(row["data"].get("digest"), str)]
            found["digests"] = list(dict.fromkeys(digests))
        elif not rows:
            found["marks"].append("not recorded")
        found["marks"] += ["suspect"] if any(self.suspect(row) for row in saying) else []
        found["marks"] += ["erased"] if any(row["verdict"] == "withheld" for row in rows) else []
        found["marks"] += ["quarantined"] if self._quarantined(found["subject"]) else []
        found["marks"] += list(_standing(rows))
        found["status"] = _status(rows)

    def _quarantined(self, subject: str) -> bool:
        name = parse_name(subject)
        state = self._then.state(stream_of(subject)) if stream_of(subject) in self._placed else None
        known = state.quarantines if isinstance(state, DatasetState | ModelState) else ()
        return any(one.version in ("", name.version) for one in known)


def _standing(rows: list[JournalRow]) -> Iterator[str]:
    """Marks of a thing from what was said of it; consent as it stands."""
    for end in ("deprecated", "deleted"):
        if any(row["type"] == f"dataset.{end}" for row in rows):
            yield end
    consent = last_word(
        (row["occurred_at"], row["data"]["status"], row)
        for row in rows
        if row["type"] == "dataset.consent_changed" and "status" in row["data"]
    )
    if consent is not None and consent[1] != "granted":
        yield f"consent {consent[1]}"


def _status(rows: list[JournalRow]) -> str | None:
    """How a run ended or an incident stands; other things have no status."""
    status: str | None = None
    for row in rows:
        kind = row["type"]
        if kind in _RUN or kind == "run.attached":
            ended = _RUN.get(kind) or row["data"].get("status", "completed")
            status = ended if status in (None, "started") or ended != "started" else status
        elif kind in _INCIDENT:
            status = _INCIDENT[kind]
    return status


def answer(ledger: Ledger, views: ViewReader, as_of: AsOf, found: Trace) -> dict[str, Any]:
    """A trace as plain values: ``roots``, ``nodes`` in order of their names, ``edges`` in order of the log."""
    described = Described(ledger, views, as_of)
    described.prepare(found.nodes)
    nodes = [described.node(node) | {"up": found.up.get(node), "down": found.down.get(node)} for node in found.nodes]
    links: list[dict[str, Any]] = []
    for link in found.links.values():
        entries = [
            {**entry, "occurred_at": format_time(entry["occurred_at"]), "suspect": described.suspect(entry)}
            for entry in sorted(link.entries, key=lambda entry: entry["index"])
        ]
        links.append({"downstream": link.downstream, "relation": link.relation, "upstream": link.upstream,
                      "entries": entries})  # fmt: skip
    links.sort(key=lambda link: (link["entries"][0]["index"], link["downstream"], link["relation"], link["upstream"]))
    return {"roots": found.roots, "nodes": nodes, "edges": links}
