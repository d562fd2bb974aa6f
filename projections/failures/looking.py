"""What the queries for failure modes look at, and what they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from projections.asof import AsOf
from projections.journal import JournalRow
from projections.known import Known
from projections.model_state import states_of
from projections.service import Service, Tenure, read_service
from projections.slo.watching import deployments_of
from projections.suspension import suspend

__all__ = ["DAY", "Found", "Look", "by_time", "time_of"]

#: Microseconds.
DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """One failure that was found.

    Attributes:
        subject: what it is about.
        words: what is wrong.
        entries: indexes of the entries that show it.
    """

    subject: str
    words: str
    entries: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """For machines."""
        return {"subject": self.subject, "words": self.words, "entries": list(self.entries)}


def time_of(row: JournalRow) -> tuple[int, int]:
    """When something happened, and its entry where that is the same: a report that comes late is of then."""
    return row["occurred_at"], row["index"]


def by_time(rows: Iterable[JournalRow]) -> list[JournalRow]:
    """Entries in the order in which they happened."""
    return sorted(rows, key=time_of)


@dataclass(frozen=True)
class Look(Known):
    """A ledger as it is known, and the time at which is asked.

    Attributes:
        as_of: what is known; its size is that of the ledger.
        now: microseconds since the Unix epoch.
    """

    as_of: AsOf
    now: int

    @cached_property
    def services(self) -> list[Service]:
        """Every deployment."""
        return [read_service(self.views, self.as_of, name) for name in deployments_of(self.views, self.as_of)]

    def serving(self) -> Iterator[tuple[Service, Tenure]]:
        """Every version that is live or a canary, with its deployment."""
        for service in self.services:
            for tenure in service.serving():
                yield service, tenure

    @cached_property
    def states(self) -> dict[str, dict[str, Any]]:
        """Every deployment's state, with the marks that `muniment state` shows."""
        found = states_of(self.views, self.as_of, [service.name for service in self.services])
        suspend(self.ledger, self.views, self.as_of, found, self.now)
        return {state["deployment"]: state for state in found["deployments"]}

    def about(self, subject: str, *kinds: str) -> list[JournalRow]:
        """Valid entries of some types about a subject, in log order."""
        return self.rows(("stream", "=", subject.partition("@")[0]), ("subject", "=", subject), ("type", "IN", kinds))

    def evaluations(self, model: str) -> list[JournalRow]:
        """Evaluations of a version that nobody said do not hold, in the order in which they were made."""
        gone = {row["data"]["evaluation"] for row in self.about(model, "evaluation.invalidated")}
        return by_time(row for row in self.about(model, "evaluation.completed") if row["id"] not in gone)

    def last(self, *kinds: str, by: tuple[str, ...] = ()) -> list[JournalRow]:
        """What happened last in each stream, or for each stream and value of some fields, of some types."""
        found: dict[tuple[Any, ...], JournalRow] = {}
        for row in by_time(self.of_types(*kinds)):
            found[row["stream"], *(str(row["data"].get(name)) for name in by)] = row
        return list(found.values())
