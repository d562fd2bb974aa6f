"""The journal: one row for every event, with its verdict; what timelines and reports read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.replay import Judged
from ledger.strictjson import format_json, parse_json
from projections.base import Column, RowOf, Selection, Table, ViewReader

__all__ = ["JOURNAL", "Journal", "JournalRow", "journal_rows", "occurred_at", "short_type"]

JOURNAL: Final = Table(
    "journal",
    (
        Column("position", number=True),
        Column("id"),
        Column("type"),
        Column("stream"),
        Column("subject"),
        Column("actor"),
        Column("on_behalf_of"),
        Column("occurred_at", number=True),
        Column("recorded_at", number=True),
        Column("correlation"),
        Column("causation"),
        Column("strength"),
        Column("verdict"),
        Column("reason"),
        Column("marks"),
        Column("leaf_hash"),
        Column("data"),
    ),
    indexes=(("stream", "position"), ("type", "position"), ("recorded_at",)),
)

#: One row of the journal as a dictionary; ``index``, ``data`` and ``marks`` are decoded.
JournalRow = dict[str, Any]


def short_type(topic: str) -> str:
    """``dataset.registered`` of ``muniment.dataset.registered.v1``."""
    return topic.removeprefix("muniment.").rpartition(".")[0]


def _reason(judged: Judged) -> str:
    """Why an entry is void, or why there is nothing to judge."""
    if judged.withheld is not None:
        return judged.withheld.text
    return "" if judged.verdict.error is None else judged.verdict.error.message


def occurred_at(judged: Judged) -> int:
    """When an event occurred, by its author's claim, but never after it was recorded.

    A claim from the future is marked ``future-dated`` and cannot hold a place in front of what is recorded later.
    """
    recorded = judged.row.entry.recorded_at
    return recorded if judged.event is None else min(judged.event.payload.occurred_at, recorded)


class Journal:
    """The journal projection."""

    name = "journal"
    version = 2
    tables = (JOURNAL,)

    def rows(self, judged: Judged) -> Iterator[RowOf]:
        """See `Projection.rows`; a void event is kept, with its reason and without its data."""
        entry, payload = judged.row.entry, None if judged.event is None else judged.event.payload
        error = judged.verdict.error
        yield (
            JOURNAL,
            (
                entry.index + 1,
                entry.id,
                short_type(entry.type),
                entry.stream,
                entry.subject,
                entry.actor,
                (payload and payload.on_behalf_of) or "",
                occurred_at(judged),
                entry.recorded_at,
                (payload and payload.correlationid) or "",
                (payload and payload.causationid) or "",
                "" if payload is None else payload.evidence,
                judged.verdict.kind,
                _reason(judged),
                ",".join(judged.verdict.marks),
                judged.row.leaf_hash.hex(),
                format_json({} if payload is None or error is not None else payload.data).decode(),
            ),
        )


def journal_rows(views: ViewReader, where: Selection = (), *, size: int, limit: int | None = None) -> list[JournalRow]:
    """Rows of the journal as it stood at a log size.

    Args:
        views: the views.
        where: further conditions.
        size: log size that was known.
        limit: at most this many.
    """
    found = views.select(JOURNAL, [*where, ("position", "<=", size)], limit=limit)
    for row in found:
        row["index"] = row.pop("position") - 1
        row["data"] = parse_json(row["data"].encode(), what="journal")
        row["marks"] = row["marks"].split(",") if row["marks"] else []
    return found
