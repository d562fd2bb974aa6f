"""What an actor leaves behind: models it owns, requests and approvals of it that stand, incidents, services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.application import Ledger
from ledger.domain import ActorState
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows

__all__ = ["count_orphans", "find_orphans"]


def _events(views: ViewReader, kind: str, size: int, **where: str) -> list[JournalRow]:
    wanted = [(name, "=", value) for name, value in (("type", kind), ("verdict", "valid"), *where.items())]
    return journal_rows(views, wanted, size=size)


def _models(views: ViewReader, actor: str, size: int) -> Iterator[dict[str, Any]]:
    seen = set()
    for row in _events(views, "version.registered", size):
        if row["data"]["owner"] == actor and row["subject"] not in seen:  # it may be registered again
            seen.add(row["subject"])
            yield {"version": row["subject"], "index": row["index"], "tier": row["data"]["tier"]}


def _approvals(views: ViewReader, actor: str, size: int) -> Iterator[dict[str, Any]]:
    """Requests of the actor that nobody decided or that were sent back to it, and approvals it gave."""
    kinds = ("approval.granted", "approval.rejected", "approval.changes_requested")
    granted, rejected, sent_back = (_events(views, kind, size) for kind in kinds)
    decided = {row["data"]["request"] for row in (*granted, *rejected)}
    turned_down = {row["data"]["request"] for row in (*rejected, *sent_back)}
    pending = [row for row in _events(views, "approval.requested", size, actor=actor) if row["id"] not in decided]
    given = [row for row in granted if row["actor"] == actor and row["data"]["request"] not in turned_down]
    for status, rows in (("pending", pending), ("granted", given)):
        for row in rows:
            place = row["data"]["environment"]
            yield {"version": row["subject"], "environment": place, "status": status, "index": row["index"]}


def _incidents(views: ViewReader, actor: str, size: int) -> Iterator[dict[str, Any]]:
    closed = {row["stream"]: row["index"] for row in _events(views, "incident.closed", size)}
    opened = {row["stream"]: row for row in _events(views, "incident.opened", size)}  # it may be opened again
    for stream, row in opened.items():
        if row["actor"] == actor and closed.get(stream, -1) < row["index"]:
            yield {"incident": stream, "title": row["data"]["title"], "index": row["index"]}


def find_orphans(ledger: Ledger, views: ViewReader, size: int, actor: str) -> dict[str, Any]:
    """What would be left without anybody if an actor went.

    Args:
        ledger: the log.
        views: views that stand at ``size``.
        size: log size.
        actor: its id.

    Returns:
        Lists of plain values: ``models`` (versions it owns), ``approvals`` (its requests that nobody decided, and
        approvals it gave), ``incidents`` (open ones that it opened), ``services`` it answers for, and ``accounts``:
        other actors of the same person.
    """
    states = (ledger.world.state_before(stream, size) for stream in ledger.recorder.authority_streams())
    dependent = [
        state
        for state in states
        if isinstance(state, ActorState) and state.person == actor != state.actor and state.revoked is None
    ]
    return {
        "models": list(_models(views, actor, size)),
        "approvals": list(_approvals(views, actor, size)),
        "incidents": list(_incidents(views, actor, size)),
        "services": [state.actor for state in dependent if state.kind == "service"],
        "accounts": [state.actor for state in dependent if state.kind == "person"],
    }


def count_orphans(orphans: dict[str, Any]) -> int:
    """How many things need a successor; other accounts of the person leave with it."""
    return sum(len(found) for name, found in orphans.items() if name != "accounts")
