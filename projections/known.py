"""A ledger with its views, as it was known at a size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger.application import Ledger
from ledger.domain.world import World
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows

__all__ = ["Known"]


@dataclass(frozen=True)
class Known:
    """What is asked about.

    Attributes:
        ledger: the log.
        views: its views, at the size or beyond.
        size: log size that is known.
    """

    ledger: Ledger
    views: ViewReader
    size: int

    def at(self, size: int) -> Known:
        """The same ledger at an earlier size."""
        return Known(self.ledger, self.views, size)

    @property
    def world(self) -> World:
        """States as they were known then."""
        return self.ledger.world.at(self.size)

    @property
    def recorded_at(self) -> int:
        """When the last known entry was recorded, in microseconds since the Unix epoch."""
        (last,) = journal_rows(self.views, [("position", "=", self.size)], size=self.size)
        return int(last["recorded_at"])

    def rows(self, *where: tuple[str, str, Any]) -> list[JournalRow]:
        """Valid entries known at the size, in log order."""
        return journal_rows(self.views, [*where, ("verdict", "=", "valid")], size=self.size)

    def of_types(self, *kinds: str) -> list[JournalRow]:
        """Valid entries of some types, in log order."""
        return self.rows(("type", "IN", kinds))
