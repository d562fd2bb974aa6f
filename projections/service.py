"""One deployment from close by: which version serves since when, the stages of its canaries, and what was decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.entry import format_time
from ledger.payload import parse_moment
from projections import blame
from projections.asof import AsOf
from projections.base import ViewReader
from projections.blame import Blame
from projections.groups import DEPLOYED, WENT_LIVE
from projections.journal import JournalRow, journal_rows
from projections.settling import settles

__all__ = ["DECISIONS", "Decision", "Key", "Service", "Standing", "Tenure", "fold", "read_service"]

#: Decision: what is to happen.
DECISIONS: Final = {"deployment.held": "hold", "rollback.authorised": "rollback"}
_CANARY: Final = ("canary.stage_entered", "canary.analysed", "canary.aborted")
_SLO: Final = ("slo.breached", "slo.recovered", "errorbudget.reset")
_TOLD: Final = ("notification.sent", "notification.failed")
_READ: Final = (*WENT_LIVE, *_CANARY, *DECISIONS, *_SLO, *_TOLD, "deployment.authorised")

Key = tuple[str, str]


@dataclass
class Tenure:
    """That a version serves: as a canary, then live, or only one of them.

    Attributes:
        model, digest: the version.
        index, since: of the entry with which it began, and when that happened.
        stages: of its canary, in order.
    """

    model: str
    digest: str
    index: int
    since: int
    stages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Name and digest."""
        return self.model, self.digest

    def describe(self) -> dict[str, Any]:
        """For machines."""
        names = {"model": self.model, "digest": self.digest, "index": self.index}
        return {**names, "since": format_time(self.since), "stages": self.stages}


@dataclass
class Decision:
    """A hold or a return to an earlier version that was decided, and what came of it.

    Attributes:
        row: its entry.
        action: hold or rollback.
        status: ``open``; ``followed`` by the fact; ``lifted`` by a new authorisation; ``recovered``, where a hold on
            what is live ends; ``otherwise``, where another version went live; ``superseded`` by a later decision.
        answer: the entry that settled it.
        against: entries that went against it.
        told: notices about it.
        failed: notices that could not be given.
    """

    row: JournalRow
    action: str
    status: str = "open"
    answer: JournalRow | None = None
    against: list[int] = field(default_factory=list)
    told: list[JournalRow] = field(default_factory=list)
    failed: list[JournalRow] = field(default_factory=list)
    beside: Key | None = None  # what was live when it was decided
    canaries: frozenset[Key] = frozenset()  # what had a share of the traffic then

    @property
    def key(self) -> Key:
        """Name and digest of the version that it names."""
        return self.row["data"]["model"], self.row["data"]["digest"]

    @property
    def leaving(self) -> list[Key]:
        """The versions that are to go, or to get no more traffic."""
        if self.action == "hold":
            return [self.key]
        return sorted(self.canaries) if self.beside == self.key else [self.beside] if self.beside else []

    @property
    def id(self) -> str:
        """Its event id."""
        return str(self.row["id"])

    @property
    def due_at(self) -> int | None:
        """When what was decided should have been done."""
        end = self.row["data"].get("due_at")
        return None if end is None else parse_moment(end)

    def overdue(self, now: int) -> bool:
        """Whether it is open, and should not be by now."""
        return self.status == "open" and self.due_at is not None and self.due_at <= now

    def settle(self, status: str, row: JournalRow) -> None:
        """Say what came of it."""
        self.status, self.answer = status, row

    def describe(self, now: int) -> dict[str, Any]:
        """For machines; whether it is overdue depends on when is asked."""
        data, row, answer = self.row["data"], self.row, self.answer
        return {
            "id": self.id,
            "index": row["index"],
            "action": self.action,
            "model": data["model"],
            "digest": data["digest"],
            "actor": row["actor"],
            "decided_at": format_time(row["recorded_at"]),
            "reason": data.get("reason"),
            "trigger": data.get("trigger"),
            "automatic": data.get("automatic"),
            "due_at": data.get("due_at"),
            "status": "overdue" if self.overdue(now) else self.status,
            "answer": None if answer is None else {
                "type": answer["type"], "index": answer["index"], "model": answer["data"].get("model"),
                "seconds": (answer["recorded_at"] - row["recorded_at"]) / 1e6,
                "actor": answer["actor"], "reason": answer["data"].get("reason"),
            },
            "against": self.against,
            "told": [
                {"channel": one["data"].get("channel"), "index": one["index"], "at": format_time(one["recorded_at"])}
                for one in self.told
            ],
            "failed_to_tell": len(self.failed),
        }  # fmt: skip


@dataclass
class Service:
    """A deployment as of two clocks.

    Attributes:
        name: ``deployment:<environment>/<service>``.
        live: what is live.
        canaries: versions that get a share of the traffic.
        history: what ever was live, newest last, each once for every time it went live.
        left: what a rollback took out and has not been live again since.
        blamed: what speaks against a version; see `projections.blame`.
        decisions: in log order.
        breaches: in log order: ``slo.breached`` and ``slo.recovered``.
        resets: when the error budget of a promise last began anew.
        seen: every version that ever was live or a canary.
        past: what served and does so no more, each with when that ended.
        aborted_at: when a canary last was taken out, microseconds since the Unix epoch.
    """

    name: str
    live: Tenure | None = None
    canaries: dict[Key, Tenure] = field(default_factory=dict)
    history: list[Key] = field(default_factory=list)
    left: set[Key] = field(default_factory=set)
    blamed: dict[Key, list[Blame]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    breaches: list[JournalRow] = field(default_factory=list)
    resets: dict[str, int] = field(default_factory=dict)
    seen: set[Key] = field(default_factory=set)
    past: list[tuple[Tenure, int]] = field(default_factory=list)
    aborted_at: int = 0

    @property
    def newest(self) -> Tenure | None:
        """The version that came last: a canary, else what is live."""
        return max(self.canaries.values(), key=lambda one: one.since, default=self.live)

    def serving(self) -> list[Tenure]:
        """Every version that serves, what is live first."""
        return [one for one in (self.live, *self.canaries.values()) if one is not None]

    def before(self, tenure: Tenure) -> str | None:
        """The version that was live last, but for one that serves, and for what a rollback took out.

        What a rollback brought back is no successor of what it took out.
        """
        gone = {tenure.key, *self.left}
        return next((key[0] for key in reversed(self.history) if key not in gone), None)

    def open_decisions(self) -> list[Decision]:
        """Decisions that nothing has settled."""
        return [one for one in self.decisions if one.status == "open"]

    # -- what serves, in order of occurrence ------------------------------------------------------------------------

    def serve(self, row: JournalRow) -> None:
        """Take in what happened."""
        kind, data = row["type"], row["data"]
        key = (data["model"], data["digest"])
        self.seen.add(key)
        if kind == "canary.stage_entered":
            self._enter(key, row)
        elif kind == "canary.analysed":
            for stage in self.canaries[key].stages if key in self.canaries else ():
                if stage["stage"] == data["stage"]:
                    stage.update(verdict=data["verdict"], budget_used=data.get("budget_used", stage["budget_used"]))
        elif kind == "canary.aborted":
            if (gone := self.canaries.pop(key, None)) is not None:
                self.past.append((gone, row["occurred_at"]))
                self.aborted_at = row["occurred_at"]
        elif kind in WENT_LIVE:
            self._go_live(key, row)

    def _enter(self, key: Key, row: JournalRow) -> None:
        if self.live is not None and self.live.key == key:
            return
        data = row["data"]
        tenure = self.canaries.setdefault(key, Tenure(*key, row["index"], row["occurred_at"]))
        stage = {"stage": data["stage"], "traffic": data["traffic"], "index": row["index"]}
        stage |= {"entered": format_time(row["occurred_at"]), "budget_used": data.get("budget_used"), "verdict": None}
        tenure.stages.append(stage)

    def _go_live(self, key: Key, row: JournalRow) -> None:
        before = self.live
        if row["type"] == "rollback.completed" and before is not None and before.key != key:
            self.left.add(before.key)
        if row["type"] in DEPLOYED:
            self.left.discard(key)
        if before is None or before.key != key:
            self.live = self.canaries.pop(key, None) or Tenure(*key, row["index"], row["occurred_at"])
            self.history.append(key)
            self.past += [] if before is None else [(before, row["occurred_at"])]
        self.past += [(gone, row["occurred_at"]) for gone in self.canaries.values()]
        self.canaries = {}

    # -- what was decided, in log order -----------------------------------------------------------------------------

    def decide(self, row: JournalRow, live: Key | None, canaries: frozenset[Key]) -> None:
        """Take in a decision.

        Args:
            row: its entry.
            live: what was live then.
            canaries: what had a share of the traffic then.
        """
        new = Decision(row, DECISIONS[row["type"]], beside=live, canaries=canaries)
        for old in self.open_decisions():
            if old.action == new.action and (old.action == "rollback" or old.key == new.key):
                old.settle("superseded", row)
        self.decisions.append(new)

    def answer(self, row: JournalRow) -> None:
        """Settle the decisions that an entry settles."""
        for decision in self.open_decisions():
            status = settles(decision, row)
            if status == "against":
                decision.against.append(row["index"])
            elif status is not None:
                decision.settle(status, row)

    def tell(self, row: JournalRow) -> None:
        """Take in a notice."""
        for decision in self.decisions:
            if decision.id == row["data"].get("about"):
                (decision.told if row["type"] == "notification.sent" else decision.failed).append(row)


def _in_order(rows: list[JournalRow]) -> list[JournalRow]:
    return sorted(rows, key=lambda row: (row["occurred_at"], row["index"]))


class Standing:
    """What serves by what is recorded so far: entries are taken in log order, whichever order they tell of."""

    def __init__(self) -> None:
        self._rows: list[JournalRow] = []
        self._service: Service | None = Service("")
        self._latest = self._live_at = 0

    @property
    def now(self) -> Service:
        """What serves by the entries taken so far."""
        if self._service is None:
            self._service = Service("")
            for row in _in_order(self._rows):
                self._service.serve(row)
        return self._service

    def take(self, row: JournalRow) -> bool:
        """Take in an entry, which has to do with what serves.

        Args:
            row: what is recorded next.

        Returns:
            Whether what it tells of is so now: a report that comes late may tell of what was over before.
        """
        kind, at = row["type"], row["occurred_at"]
        key = (row["data"]["model"], row["data"]["digest"])
        was_canary = kind == "canary.aborted" and key in self.now.canaries
        self._rows.append(row)
        if at < self._latest:
            self._service = None
        elif self._service is not None:
            self._service.serve(row)
        self._latest = max(self._latest, at)
        if kind in WENT_LIVE:
            last, self._live_at = at >= self._live_at, max(self._live_at, at)
            return bool(last)
        return was_canary and key not in self.now.canaries if kind == "canary.aborted" else key in self.now.canaries


def _recover(service: Service, row: JournalRow) -> None:
    """A promise that is kept again ends holds on what is live that its breach led to."""
    triggers = blame.breaches_over(service, row)
    for decision in service.open_decisions():
        about = decision.row["data"].get("trigger") in triggers and decision.key == decision.beside
        if about and decision.action == "hold":
            decision.settle("recovered", row)


def _breaches_elsewhere(views: ViewReader, as_of: AsOf, name: str) -> Iterator[JournalRow]:
    """What monitors' own streams say of promises about a deployment."""
    where = [("type", "IN", _SLO), ("verdict", "=", "valid"), ("occurred_at", "<=", as_of.bound)]
    for row in journal_rows(views, where, size=as_of.size):
        if row["stream"] != name and row["data"].get("deployment") == name:
            yield row


def read_service(views: ViewReader, as_of: AsOf, name: str) -> Service:
    """A deployment as of two clocks.

    Args:
        views: the views.
        as_of: both clocks.
        name: ``deployment:<environment>/<service>``.
    """
    where = [
        ("stream", "=", name),
        ("type", "IN", _READ),
        ("verdict", "=", "valid"),
        ("occurred_at", "<=", as_of.bound),
    ]
    rows = journal_rows(views, where, size=as_of.size)
    return fold(name, [*rows, *_breaches_elsewhere(views, as_of, name)])


def fold(name: str, rows: list[JournalRow]) -> Service:
    """A deployment by what is recorded of it.

    Args:
        name: ``deployment:<environment>/<service>``.
        rows: valid entries, in any order.
    """
    service = Service(name)
    for row in _in_order([row for row in rows if _serves(row)]):
        service.serve(row)
    standing = Standing()
    for row in sorted(rows, key=lambda row: row["index"]):
        _said(service, standing, row)
    return service


def _serves(row: JournalRow) -> bool:
    return row["type"] in WENT_LIVE or row["type"] in _CANARY


def _said(service: Service, standing: Standing, row: JournalRow) -> None:
    """Take in what an entry means for promises and decisions, in log order."""
    kind = row["type"]
    if kind == "errorbudget.reset":
        service.resets[row["data"]["slo"]] = row["occurred_at"]
    elif kind == "slo.breached":
        service.breaches.append(row)
        blame.breached(service, standing.now, row)
    elif kind == "slo.recovered":
        service.breaches.append(row)
        _recover(service, row)
        blame.recovered(service, row)
    elif kind in DECISIONS:
        then = standing.now
        service.decide(row, None if then.live is None else then.live.key, frozenset(then.canaries))
        blame.decided(service, service.decisions[-1])
    elif kind in _TOLD:
        service.tell(row)
    elif kind == "deployment.authorised":
        service.answer(row)
        blame.authorised(service, row)
    elif standing.take(row):  # what is told late, and was over before, settles nothing
        service.answer(row)
        blame.deployed(service, standing.now.live, row)
