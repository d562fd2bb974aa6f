"""Populations: the items a control is tested on, taken from the journal as it stood at one size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain import ActorState, Suspicion
from ledger.domain.world import World, ledger_of
from ledger.names import parse_name
from ledger.stored import Row
from ledger.suspects import Doubts, Suspects, find_suspects
from projections.asof import AsOf
from projections.base import ViewReader
from projections.groups import WENT_LIVE
from projections.journal import JournalRow, journal_rows

__all__ = ["BAD", "EMPTY", "GOOD", "UNKNOWN", "Item", "ReportContext", "environment_of", "evidence_of"]

GOOD: Final = "satisfied"
BAD: Final = "not satisfied"
UNKNOWN: Final = "not assessed"
EMPTY: Final = "not applicable"


def environment_of(row: JournalRow) -> str:
    """The environment of a deployment, from the entry about it."""
    return parse_name(row["stream"]).namespace or ""


@dataclass(slots=True)
class ReportContext:
    """What a report may look at.

    Attributes:
        ledger: the log.
        views: views that stand at or beyond the size.
        as_of: both clocks.
        since: microseconds; items recorded before are outside the period.
        until: microseconds; items recorded at or after it are outside; None for no bound.
        environment: only items of this environment, None for all.
    """

    ledger: Ledger
    views: ViewReader
    as_of: AsOf
    since: int = 0
    until: int | None = None
    environment: str | None = None
    _cache: dict[tuple[str, ...], list[JournalRow]] = field(default_factory=dict)
    _suspects: Suspects | None = None
    _doubts: Doubts | None = None

    def events(self, *kinds: str) -> list[JournalRow]:
        """All valid events of some types known at the size, in log order; occurrence later than ``at`` is left out."""
        if kinds not in self._cache:
            found = journal_rows(self.views, [("type", "IN", kinds), ("verdict", "=", "valid")], size=self.as_of.size)
            self._cache[kinds] = [row for row in found if row["occurred_at"] <= self.as_of.bound]
        return self._cache[kinds]

    def environments(self) -> set[str]:
        """Environments of which anything is recorded, and those that the rules name."""
        deployed = self.events("deployment.requested", "deployment.authorised", "deployment.held", *WENT_LIVE)
        asked = self.events("approval.requested", "gate.evaluated", "waiver.requested")
        state = ledger_of(self.world(self.as_of.size))
        named = {rule.environment for rule in (() if state is None else state.rules.rules)} - {"*"}
        return named | {environment_of(row) for row in deployed} | {str(row["data"]["environment"]) for row in asked}

    def in_period(self, rows: Iterable[JournalRow]) -> list[JournalRow]:
        """Those recorded in the period."""
        stop = self.until
        return [r for r in rows if r["recorded_at"] >= self.since and (stop is None or r["recorded_at"] < stop)]

    def void(self) -> list[JournalRow]:
        """Void entries known at the size."""
        return journal_rows(self.views, [("verdict", "=", "void")], size=self.as_of.size)

    def withheld(self) -> tuple[list[JournalRow], list[JournalRow]]:
        """Entries known at the size whose content is erased, so that what they said cannot be tested.

        Returns:
            Those that a record known at the size says were erased, and those that were erased since.
        """
        then, since = list[JournalRow](), list[JournalRow]()
        state = ledger_of(self.world(self.as_of.size))
        for row in journal_rows(self.views, [("verdict", "=", "withheld")], size=self.as_of.size):
            known = state is not None and (row["index"], row["stream"]) in state.withheld
            (then if known else since).append(row)
        return then, since

    def suspects(self) -> Suspects:
        """Suspect entries, as known at the size."""
        if self._suspects is None:
            world, size = self.ledger.world, self.as_of.size

            def void(row: Row) -> bool:
                return world.judge_row(row).verdict.kind == "void"

            self._suspects = find_suspects(self.ledger.recorder, world.at(size), size, void)
        return self._suspects

    def doubt(self, row: JournalRow) -> Suspicion | None:
        """Why a valid entry is suspect as known at the size, None when it is not."""
        if not self.suspects().count:
            return None
        if self._doubts is None:
            self._doubts = Doubts(self.world(self.as_of.size))
        return self._doubts.of(self.ledger.recorder.rows(row["index"], 1)[0])

    def world(self, index: int) -> World:
        """The world just before an entry."""
        return self.ledger.world.at(index)

    def person_of(self, actor: str) -> str | None:
        """The person behind an actor as known at the size."""
        state = self.world(self.as_of.size).state(f"actor:{actor}")
        return state.person if isinstance(state, ActorState) else None


@dataclass(frozen=True, slots=True)
class Item:
    """One tested item.

    Attributes:
        row: the event it is.
        state: `GOOD`, `BAD` or `UNKNOWN`.
        reason: why, in a sentence.
        evidence: rows it rests on.
    """

    row: JournalRow
    state: str
    reason: str
    evidence: tuple[JournalRow, ...] = ()


def evidence_of(rows: Iterable[JournalRow]) -> list[dict[str, Any]]:
    """References into the log, in log order and without repeats."""
    unique = {row["index"]: row for row in rows}
    return [
        {"index": index, "leaf_hash": row["leaf_hash"], "type": row["type"], "subject": row["subject"], "id": row["id"]}
        for index, row in sorted(unique.items())
    ]
