"""A deployment with a promise, and windows that keep it or do not."""

from __future__ import annotations

from typing import Any

from ledger.application import Receipt
from ledger.emission import microseconds
from projections.service import Decision, Service
from projections.slo.watching import Watch
from tests.contract.support import digest
from tests.projections.support import PROD, Book, when

ONE, TWO, THREE = "model:scoring@1", "model:scoring@2", "model:scoring@3"
MONITOR = "monitor:scoring"
FAST: dict[str, Any] = {"burn_rate": 14.4, "long": "1h", "short": "5m", "action": "rollback", "respond_within": "15m"}
SLOW: dict[str, Any] = {"burn_rate": 6.0, "long": "6h", "short": "30m", "action": "hold"}


class Watched:
    """A book with a deployment that is watched; times are hours of the story."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.ledger = book.cast["trainer"]
        self.runner = book.runner(self.ledger)

    def promise(self, *rules: dict[str, Any], subject: str = PROD, at: float = 0.5, **more: Any) -> Receipt:
        body = {"slo": "latency", "indicator": "ms", "objective": 0.99, "window": "30d", "rules": list(rules), **more}
        monitor = MONITOR if subject == PROD else None
        return self.book.emit("p-deployer", "slo.defined", subject, {"monitor": monitor, **body}, at=at)

    def window(self, at: float, *, bad: int, count: int = 1000, minutes: float = 5, **more: Any) -> Receipt:
        """One that begins at an hour."""
        body = {"metric": "ms", "start": when(at), "end": when(at + minutes / 60), "count": count, "deployment": PROD}
        return self.book.emit(
            "trainer", "monitor.window", MONITOR, {**body, "good": count - bad, **more}, at=at + minutes / 60
        )

    def windows(self, start: float, end: float, *, bad: int, **more: Any) -> None:
        """One every five minutes."""
        for step in range(round((end - start) * 12)):
            self.window(start + step / 12, bad=bad, **more)

    def canary(self, model: str, at: float, *, stage: int = 1, traffic: float = 0.05) -> Receipt:
        body = {"model": model, "digest": digest(model), "stage": stage, "traffic": traffic}
        return self.book.emit("p-deployer", "canary.stage_entered", PROD, body, at=at)

    def watcher(self, at: float) -> Watch:
        return Watch(self.ledger, self.runner, microseconds(when(at)))

    def watch(self, at: float) -> list[str]:
        """Look at an hour; the types of what was recorded."""
        receipts = self.watcher(at).decide(PROD)
        rows = [self.book.cast.recorder.rows(receipt.index, 1)[0] for receipt in receipts]
        return [row.entry.type.removeprefix("muniment.").removesuffix(".v1") for row in rows]

    def service(self, at: float = 1000) -> Service:
        return self.watcher(at).read(PROD)

    def decision(self) -> Decision:
        """The last one."""
        return self.service().decisions[-1]
