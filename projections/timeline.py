"""An incident's timeline: what happened around it and what changed upstream of the version that failed.

What belongs on it is found by following names and lineage, not by knowing stories: the incident's own
stream, the deployment it is about, monitors that name that deployment, the life of the version that was
live, and every event about a thing the failing version was made from and the version before it was not, or
was made from as it was before (another digest under the same name).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger.entry import format_time
from ledger.errors import UnknownThingError
from projections.asof import AsOf
from projections.base import ViewReader
from projections.diff import diff
from projections.groups import SIGNALS, WENT_LIVE
from projections.interruptions import interrupted
from projections.journal import JournalRow, journal_rows
from projections.lineage import digests_read, upstream
from projections.model_state import live_at
from projections.serving import read_serving
from projections.words import what_of

__all__ = ["incident_timeline"]

_HOUR = 3_600_000_000
_LANES = {
    "dataset": "data",
    "run": "train",
    "evaluation": "evaluate",
    "version": "train",
    "approval": "approve",
    "canary": "deploy",
    "deployment": "deploy",
    "notification": "deploy",
    "rollback": "deploy",
    "serving": "deploy",
    "errorbudget": "monitor",
    "feed": "monitor",
    "monitor": "monitor",
    "slo": "monitor",
    "incident": "incident",
    "postmortem": "incident",
}
#: What the one before it says nothing about.
_NOT_COMPARED = ("incident.", "approval.", "deployment.", "rollback.", "feed.")
#: What monitors say of a deployment in streams of their own.


@dataclass(frozen=True, slots=True)
class _Incident:
    rows: list[JournalRow]
    opened: JournalRow
    closed: JournalRow | None
    deployment: str | None
    failing: str | None
    previous: str | None


def _find(views: ViewReader, as_of: AsOf, incident: str) -> _Incident:
    mine = [("stream", "=", incident), ("verdict", "=", "valid"), ("occurred_at", "<=", as_of.bound)]
    rows = journal_rows(views, mine, size=as_of.size)
    opened = next((row for row in rows if row["type"] == "incident.opened"), None)
    if opened is None:
        by = "" if as_of.at is None else f" by {format_time(as_of.at)}"
        words = f"{incident} was not opened in this ledger{by}"
        raise UnknownThingError(words, incident, hint="`muniment incident list` shows incidents.")
    ends = [row for row in rows if row["type"] in ("incident.opened", "incident.closed")]
    closed = ends[-1] if ends[-1]["type"] == "incident.closed" else None  # it may have been opened again
    deployment = opened["data"].get("deployment")
    failing, previous = opened["data"].get("model"), None
    if deployment is not None:
        then = AsOf(opened["occurred_at"], as_of.size, as_of.root, as_of.recorded_at)
        live, before = live_at(views, then, deployment)
        failing = failing or live
        previous = before if live == failing else live
    return _Incident(rows, opened, closed, deployment, failing, previous)


class _Collector:
    """Rows by index, each with the reason it is here."""

    def __init__(self, views: ViewReader, size: int) -> None:
        self._views = views
        self._size = size
        self.rows: dict[int, JournalRow] = {}
        self.reasons: dict[int, str] = {}

    def add(self, rows: list[JournalRow], reason: str) -> None:
        for row in rows:
            if row["verdict"] in ("valid", "withheld"):
                self.rows.setdefault(row["index"], row)
                self.reasons.setdefault(row["index"], reason)

    def about(self, subject: str) -> list[JournalRow]:
        """Events about a thing: a version's own, or a whole stream when it has no version."""
        stream, _, version = subject.partition("@")
        found = journal_rows(self._views, [("stream", "=", stream)], size=self._size)
        return [row for row in found if not version or row["subject"] == subject]


def _collect(views: ViewReader, as_of: AsOf, found: _Incident, before: int, after: int) -> _Collector:
    start = found.opened["occurred_at"] - before
    end = None if found.closed is None else found.closed["occurred_at"]
    if found.closed is not None and found.closed["occurred_at"] < found.opened["occurred_at"]:
        end = found.closed["recorded_at"]  # a closing dated before the opening does not empty the window
    stop = None if end is None else end + after
    collector = _Collector(views, as_of.size)
    collector.add(found.rows, "incident")
    collector.add([row for row in collector.about(found.opened["stream"]) if row["verdict"] == "withheld"], "incident")
    if found.deployment is not None:
        window = [row for row in collector.about(found.deployment) if start <= row["occurred_at"]]
        collector.add([row for row in window if stop is None or row["occurred_at"] <= stop], "deployment")
        signals = journal_rows(views, [("type", "IN", SIGNALS)], size=as_of.size)
        names = {found.deployment}
        collector.add(
            [
                row
                for row in signals
                if row["data"].get("deployment") in names
                and start <= row["occurred_at"]
                and (stop is None or row["occurred_at"] <= stop)
            ],
            "monitor",
        )
    silent = journal_rows(views, [("type", "=", "feed.interrupted"), ("verdict", "=", "valid")], size=as_of.size)
    collector.add(list(interrupted(silent, start, stop)), "something may be missing")
    if found.failing is not None:
        mine = upstream(views, found.failing, size=as_of.size)
        theirs = upstream(views, found.previous, size=as_of.size) if found.previous else {}
        for subject, depth in sorted(mine.items(), key=lambda item: (item[1], item[0])):
            if subject not in theirs:
                reason = "failing version" if depth == 0 else f"upstream of {found.failing}"
                collector.add(collector.about(subject), reason)
        read, read_before = (digests_read(views, names, size=as_of.size) for names in (mine, theirs))
        for subject in sorted(mine.keys() & theirs.keys()):
            other = read.get(subject, set()) - read_before.get(subject, set())
            again = [row for row in collector.about(subject) if row["data"].get("digest") in other]
            collector.add(again, f"upstream of {found.failing}, with another digest than before")
    return collector


def _baseline(views: ViewReader, as_of: AsOf, row: JournalRow, previous: dict[str, int]) -> JournalRow | None:
    """The event to compare with.

    The same kind of event about the previous version's counterpart, else the one before it in the same stream. Where
    the previous version was made from several such things, the counterpart is the one of the same name, then the one
    of the same job.
    """
    same_type = [("type", "=", row["type"]), ("position", "<=", row["index"]), ("verdict", "=", "valid")]
    earlier = journal_rows(views, same_type, size=as_of.size)
    counterparts = [candidate for candidate in earlier if candidate["subject"] in previous]
    same_stream = [candidate for candidate in earlier if candidate["stream"] == row["stream"]]

    def likeness(candidate: JournalRow) -> tuple[bool, bool, int]:
        same_job = candidate["data"].get("job") == row["data"].get("job")
        return candidate["stream"] == row["stream"], same_job, candidate["index"]

    if counterparts:
        return max(counterparts, key=likeness)
    return same_stream[-1] if same_stream else None


def _live_change(views: ViewReader, as_of: AsOf, row: JournalRow) -> list[dict[str, Any]]:
    then = AsOf(row["occurred_at"], as_of.size, as_of.root, as_of.recorded_at)
    live, before = live_at(views, then, row["stream"])
    if live != row["data"]["model"] or before is None:
        return []
    return [{"field": "live", "before": before, "after": live, "ratio": None}]


def _times(row: JournalRow, zero: int, last: int | None) -> dict[str, Any]:
    """Where an event stands, and when: told from the opening, and from the row before."""
    return {
        "index": row["index"],
        "occurred_at": format_time(row["occurred_at"]),
        "recorded_at": format_time(row["recorded_at"]),
        "seconds_from_opening": (row["occurred_at"] - zero) / 1e6,
        "seconds_since_last": None if last is None else (row["occurred_at"] - last) / 1e6,
    }


def _changed(views: ViewReader, as_of: AsOf, row: JournalRow, previous: dict[str, int]) -> dict[str, Any]:
    if row["type"] in WENT_LIVE:
        return {"changed": _live_change(views, as_of, row), "compared_with": None}
    if row["verdict"] == "withheld" or row["type"].startswith(_NOT_COMPARED):
        return {"changed": [], "compared_with": None}
    if row["type"] == "monitor.signal":
        data = row["data"]
        if data.get("baseline") is None:
            return {"changed": [], "compared_with": None}
        return {
            "changed": diff({data["metric"]: data["baseline"]}, {data["metric"]: data["value"]}),
            "compared_with": None,
        }
    base = _baseline(views, as_of, row, previous)
    if base is None:
        return {"changed": [], "compared_with": None}
    return {"changed": diff(base["data"], row["data"]), "compared_with": base["index"]}


def _mismatch(views: ViewReader, as_of: AsOf, row: JournalRow) -> list[str]:
    """A mark for a snapshot that does not show what the ledger said was live."""
    if row["type"] != "serving.snapshot" or row["verdict"] != "valid":
        return []
    then = AsOf(row["occurred_at"], as_of.size, as_of.root, as_of.recorded_at)
    return ["version-mismatch"] if read_serving(views, then, row["stream"]).findings else []


def incident_timeline(
    views: ViewReader, as_of: AsOf, incident: str, *, before_hours: float = 24.0, after_hours: float = 4.0
) -> dict[str, Any]:
    """The timeline of an incident.

    Args:
        views: the views.
        as_of: both clocks; ``at`` leaves out what occurred later.
        incident: ``incident:<id>``.
        before_hours: how far before its opening events of the deployment and its monitors are shown.
        after_hours: how far after its end.

    Returns:
        Plain values: the incident, the failing and the previous version, and ``rows`` in order of occurrence.

    Raises:
        UnknownThingError: there is no such incident.
    """
    found = _find(views, as_of, incident)
    collector = _collect(views, as_of, found, int(before_hours * _HOUR), int(after_hours * _HOUR))
    previous = upstream(views, found.previous, size=as_of.size) if found.previous else {}
    zero = found.opened["occurred_at"]
    ordered = sorted(collector.rows.values(), key=lambda row: (row["occurred_at"], row["index"]))
    shown = [row for row in ordered if row["occurred_at"] <= as_of.bound]
    lasts = [None, *(row["occurred_at"] for row in shown)]
    rows = [
        {
            **_times(row, zero, last),
            "lane": _LANES.get(row["type"].partition(".")[0], "other"),
            "type": row["type"],
            "subject": row["subject"],
            "actor": row["actor"],
            "what": what_of(row),
            **_changed(views, as_of, row, previous),
            "why_here": collector.reasons[row["index"]],
            "upstream": collector.reasons[row["index"]].startswith("upstream"),
            "caused_by": row["causation"] or None,
            "marks": [*row["marks"], *_mismatch(views, as_of, row)],
            "leaf_hash": row["leaf_hash"],
        }
        for row, last in zip(shown, lasts, strict=False)
    ]
    return {
        "incident": incident,
        "title": found.opened["data"]["title"],
        "severity": found.opened["data"].get("severity", "medium"),
        "status": "closed" if found.closed else "open",
        "deployment": found.deployment,
        "failing_version": found.failing,
        "previous_version": found.previous,
        "rows": rows,
    }
