"""What is in quarantine of what versions and deployments rest on, as it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ledger.domain.ancestry import Held, held_by
from ledger.domain.world import World
from ledger.entry import format_time
from projections.base import ViewReader
from projections.journal import journal_rows

__all__ = ["RESTS", "mark_quarantined", "tell_held"]

#: Marks what is live, or a canary, and rests on something in quarantine.
RESTS: Final = "rests-on-quarantined"


def tell_held(views: ViewReader, held: Iterable[Held]) -> list[dict[str, Any]]:
    """Quarantines as plain values, with the entries that placed them and the way that leads there."""
    told = []
    for one in held:
        (row,) = journal_rows(views, [("position", "=", one.index + 1)], size=one.index + 1)
        times = {name: format_time(row[name]) for name in ("occurred_at", "recorded_at")}
        told.append({
            "id": one.quarantine.id, "subject": one.path[-1], "reason": one.quarantine.reason,
            "placed": {"index": row["index"], "actor": row["actor"], **times}, "path": list(one.path),
            "words": one.words,
        })  # fmt: skip
    return told


def mark_quarantined(world: World, views: ViewReader, deployment: dict[str, Any]) -> None:
    """Say in the state of a deployment what is in quarantine of what is live, or a canary, there.

    Args:
        world: the world of whoever asks.
        views: the views.
        deployment: as `model_state.state_as_of` gives it, which is changed.
    """
    for item in (deployment["live"], deployment["canary"]):
        if item is not None:
            item["quarantines"] = tell_held(views, held_by(world, item["model"], item["digest"]))
            item["marks"] = [*item["marks"], RESTS] if item["quarantines"] else item["marks"]
