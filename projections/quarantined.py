"""What is in quarantine of what versions and deployments rest on, as it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ledger.domain.ancestry import Held
from ledger.entry import format_time
from projections.base import ViewReader
from projections.journal import journal_rows

__all__ = ["QUARANTINE", "tell_held"]

#: What a quarantine says of itself besides its reason.
QUARANTINE: Final = ("scope", "serving_blocked", "known_since", "held_by")


def tell_held(views: ViewReader, held: Iterable[Held]) -> list[dict[str, Any]]:
    """Quarantines as plain values, with the entries that placed them and the way that leads there."""
    told = []
    for one in held:
        (row,) = journal_rows(views, [("position", "=", one.index + 1)], size=one.index + 1)
        times = {name: format_time(row[name]) for name in ("occurred_at", "recorded_at")}
        told.append({
            "id": one.quarantine.id, "subject": one.path[-1], "reason": one.quarantine.reason,
            "placed": {"index": row["index"], "actor": row["actor"], **times}, "path": list(one.path),
            "words": one.words, **{name: row["data"].get(name) for name in QUARANTINE},
        })  # fmt: skip
    return told
