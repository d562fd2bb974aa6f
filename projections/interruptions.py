"""When sources did not tell, as far as somebody said so: nothing that is missing then is a sign of anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.payload import parse_moment
from projections.journal import JournalRow

__all__ = ["interrupted", "words_of"]


def words_of(data: dict[str, Any]) -> str:
    """What an interruption says, without its reason.

    Args:
        data: fields of a ``feed.interrupted``.
    """
    until = f"until {data['end']}" if data.get("end") else "and goes on"
    lost = "" if data.get("lost") is None else f", {data['lost']} lost"
    return f"{data['source']} did not tell since {data['start']} {until}{lost}"


def interrupted(rows: list[JournalRow], start: int, stop: int | None) -> Iterator[JournalRow]:
    """Interruptions that touch a time.

    Args:
        rows: entries of the type ``feed.interrupted``.
        start: from when, in microseconds since the Unix epoch.
        stop: until when; None for no end.
    """
    for row in rows:
        began, end = parse_moment(row["data"]["start"]), row["data"].get("end")
        if (stop is None or began <= stop) and (end is None or parse_moment(end) >= start):
            yield row
