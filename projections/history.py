"""What happened to a thing: its own entries, and those of others that did something with it."""

from __future__ import annotations

from typing import Any, Final

from ledger.application import Ledger
from ledger.entry import format_time
from ledger.errors import InputError, UnknownThingError
from ledger.names import parse_name
from projections.asof import AsOf
from projections.base import Selection, ViewReader, some_at_a_time
from projections.copies import SAME_BYTES
from projections.groups import WENT_LIVE
from projections.journal import JournalRow, journal_rows
from projections.lineage import NAMED
from projections.model_state import CHANGE
from projections.suspension import Stamped
from projections.tracing import trace
from projections.waivers import waived_for
from projections.words import what_of

__all__ = ["history"]

#: Kinds of things that others are made from, or that incidents strike.
_TRACED: Final = ("artifact", "dataset", "deployment", "featureset", "model", "run")


class _Collected:
    """Entries by index, each with why it is here."""

    def __init__(self, views: ViewReader, as_of: AsOf) -> None:
        self._views = views
        self._as_of = as_of
        self.rows: dict[int, tuple[JournalRow, str]] = {}

    def add(self, where: Selection, why: str) -> list[JournalRow]:
        found = journal_rows(self._views, [*where, ("occurred_at", "<=", self._as_of.bound)], size=self._as_of.size)
        for row in found:
            self.rows.setdefault(row["index"], (row, why))
        return found

    def at(self, positions: set[int], why: str) -> None:
        for some in some_at_a_time(sorted(positions)):
            self.add([("position", "IN", some)], why)

    def own(self, subject: str) -> None:
        stream, _, version = subject.partition("@")
        where: list[tuple[str, str, Any]] = [("stream", "=", stream)]
        if version:
            self.add([*where, ("subject", "=", subject)], "its own")
            self.add([*where, ("subject", "=", stream)], "of all versions")
        else:
            self.add(where, "its own")

    def deployed(self, subject: str) -> None:
        stream, _, version = subject.partition("@")
        # "@" is followed by "A" in the order of bytes, which both stores keep.
        any_version = [("model", ">=", f"{stream}@"), ("model", "<", f"{stream}A")]
        where = [("model", "=", subject)] if version else any_version
        rows = self._views.select(CHANGE, [*where, ("kind", "=", "deployment"), ("position", "<=", self._as_of.size)])
        self.at({row["position"] for row in rows}, "deployed")
        self._replaced(subject, {row["thing"] for row in rows if row["type"] in WENT_LIVE})

    def _replaced(self, subject: str, places: set[str]) -> None:
        """What went live in its place, for example by a rollback, in order of occurrence."""
        found: list[dict[str, Any]] = []
        for some in some_at_a_time(sorted(places)):
            where = [("thing", "IN", some), ("type", "IN", WENT_LIVE), ("occurred_at", "<=", self._as_of.bound)]
            found += self._views.select(CHANGE, [*where, ("position", "<=", self._as_of.size)])
        live: dict[str, str] = {}
        after = set()
        for row in sorted(found, key=lambda row: (row["occurred_at"], row["position"])):
            before, live[row["thing"]] = live.get(row["thing"], ""), row["model"]
            if subject in (before, before.partition("@")[0]):
                after.add(row["position"])
        self.at(after, "in its place")

    def signalled(self, subject: str) -> None:
        """What monitors said of it."""
        stream, _, version = subject.partition("@")
        asked: list[Selection] = [[("subject", "IN", sorted({subject, stream}))]]
        if not version:
            asked.append([("subject", ">=", f"{stream}@"), ("subject", "<", f"{stream}A")])  # as above
        for where in asked:
            rows = self._views.select(NAMED, [*where, ("position", "<=", self._as_of.size)])
            self.at({row["position"] for row in rows}, "monitor")

    def waived(self, subject: str) -> None:
        asked = journal_rows(self._views, [("type", "=", "waiver.requested")], size=self._as_of.size)
        names = (subject, subject.partition("@")[0]) if "@" in subject else None
        streams = {
            row["stream"] for row in asked
            if row["verdict"] == "valid" and (
                row["data"]["model"] in names if names else row["data"]["model"].partition("@")[0] == subject
            )
        }  # fmt: skip
        for stream in sorted(streams):
            self.add([("stream", "=", stream)], "waived")

    def traced(self, subject: str) -> None:
        """What read it or was measured on it, and incidents that struck it."""
        try:
            found = trace(self._views, self._as_of, subject, up=False, depth=2)
        except InputError:
            return  # nothing names it but its own entries
        near, incidents = set(), set()
        for link in found.links.values():
            positions = {entry["index"] + 1 for entry in link.entries}
            if link.downstream.startswith("incident:"):
                incidents |= positions
            elif found.down.get(link.downstream) == 1 and link.relation != SAME_BYTES:
                near |= positions
        self.at(near, "used")
        self.at(incidents, "incident")


def history(ledger: Ledger, views: ViewReader, as_of: AsOf, subject: str) -> list[dict[str, Any]]:
    """What happened to a thing.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks.
        subject: any thing; without a version all of its versions.

    Returns:
        Plain values in order of occurrence and, within it, of the log.

    Raises:
        InputError: nothing is known about it.
    """
    kind = parse_name(subject).kind
    collected, stamped = _Collected(views, as_of), Stamped(ledger, as_of.size)
    collected.own(subject)
    if kind == "model":
        collected.deployed(subject)
        collected.waived(subject)
    if kind in ("deployment", "model"):
        collected.signalled(subject)
    if kind in _TRACED:
        collected.traced(subject)
    if not collected.rows:
        raise UnknownThingError(
            f"nothing was known about {subject} as of then", subject, hint="`muniment log` shows what the ledger holds."
        )
    rows = sorted(collected.rows.values(), key=lambda found: (found[0]["occurred_at"], found[0]["index"]))
    return [_told(row, why, stamped, _what(ledger, views, row)) for row, why in rows]


def _what(ledger: Ledger, views: ViewReader, row: JournalRow) -> str:
    """What an entry says; of an authorisation also what a waiver let be: waived, not hidden."""
    if row["verdict"] != "valid":
        return str(row["reason"])
    waived: list[str] = []
    if row["type"] == "deployment.authorised" and not row["data"].get("emergency"):
        waived = waived_for(ledger, views, (row["index"], row["recorded_at"]), row["stream"], row["data"]["model"])
    return f"{what_of(row)}{'; waived: ' + ', '.join(waived) if waived else ''}"


def _told(row: JournalRow, why: str, stamped: Stamped, what: str) -> dict[str, Any]:
    valid = row["verdict"] == "valid"
    return {
        "index": row["index"],
        "occurred_at": format_time(row["occurred_at"]),
        "recorded_at": format_time(row["recorded_at"]),
        "type": row["type"],
        "subject": row["subject"],
        "actor": row["actor"],
        "on_behalf_of": row["on_behalf_of"] or None,
        "what": what,
        "why_here": why,
        "verdict": row["verdict"],
        "marks": row["marks"],
        "suspect": valid and stamped.suspect(row),
        "strength": row["strength"] or None,
        "id": row["id"],
        "leaf_hash": row["leaf_hash"],
    }
