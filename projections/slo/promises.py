"""Promises in force: who is promised what about a deployment, by the last definition of each name."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ledger.events.base import find_event_type, load_body
from ledger.events.monitors import SloDefined
from ledger.names import parse_name
from projections.asof import AsOf
from projections.base import ViewReader
from projections.journal import JournalRow, journal_rows

__all__ = ["Promise", "promises_about", "read_promises"]


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, and the entry that defines it."""

    subject: str
    index: int
    id: str
    leaf_hash: str
    body: SloDefined

    @property
    def name(self) -> str:
        """Its name."""
        return self.body.slo

    @property
    def monitor(self) -> str | None:
        """Whose windows count; None when nobody said."""
        return self.body.monitor or (self.subject if parse_name(self.subject).kind == "monitor" else None)

    def covers(self, deployment: str) -> bool:
        """Whether it is about a deployment."""
        if parse_name(self.subject).kind == "deployment":
            return self.subject == deployment
        patterns = self.body.deployments
        return not patterns or any(fnmatchcase(deployment, pattern) for pattern in patterns)

    def describe(self) -> dict[str, Any]:
        """For machines."""
        told = self.body.model_dump(mode="json", exclude={"refs"})
        return {"defined_in": self.subject, "index": self.index, **told, "monitor": self.monitor}


def _promise(row: JournalRow) -> Promise | None:
    body = load_body(find_event_type("slo.defined"), row["data"])
    return (
        Promise(row["stream"], row["index"], row["id"], row["leaf_hash"], body)
        if isinstance(body, SloDefined)
        else None
    )


def read_promises(views: ViewReader, as_of: AsOf) -> list[Promise]:
    """Promises in force: of each subject and name the last definition.

    Args:
        views: the views.
        as_of: both clocks; definitions hold in the order of the log.
    """
    where = [("type", "=", "slo.defined"), ("verdict", "=", "valid"), ("occurred_at", "<=", as_of.bound)]
    found = {(row["stream"], row["data"]["slo"]): _promise(row) for row in journal_rows(views, where, size=as_of.size)}
    return [promise for promise in found.values() if promise is not None]


def promises_about(promises: list[Promise], deployment: str) -> list[Promise]:
    """Those about a deployment; what it defines itself goes before what a monitor defines for many.

    Args:
        promises: all.
        deployment: ``deployment:<environment>/<service>``.
    """
    about = [promise for promise in promises if promise.covers(deployment)]
    own = {promise.name for promise in about if promise.subject == deployment}
    return sorted((one for one in about if one.subject == deployment or one.name not in own), key=lambda one: one.name)
