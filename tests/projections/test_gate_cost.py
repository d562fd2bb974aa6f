"""What gate documents and reports of exceptions look at: twice as much of it takes twice as long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ledger.domain.ancestry import digests_of
from projections.gateinput import gate_input
from projections.reports import exceptions
from tests.contract.support import digest
from tests.projections.support import PROD, Book
from tests.projections.test_gateinput import known


def grows_evenly(counts: list[int]) -> bool:
    """Whether counts for n, 2n and 3n things grow by the same each time."""
    return counts[2] - counts[1] == counts[1] - counts[0]


def test_evaluations_are_compared_with_all_training_data_at_once(book: Book, monkeypatch: pytest.MonkeyPatch):
    counted: list[Any] = []

    def counting(*args: Any) -> tuple[str, ...]:
        counted.append(args)
        return digests_of(*args)

    monkeypatch.setattr("projections.gatedata.digests_of", counting)
    counts = []
    for count in (4, 8, 12):
        names = [f"dataset:read{number}@1" for number in range(count)]
        for name in names[-4:]:
            book.dataset(name, 0)
        model = f"model:scoring@{count}"
        book.version(model, 1, inputs=tuple(names))
        for number in range(1, count):  # one was recorded with the version
            body = {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": str(number), "dataset": f"dataset:n{number}@1"}
            book.emit("trainer", "evaluation.completed", model, body, at=2)
        at = known(book)
        counted.clear()
        told = gate_input(at, model, "prod", at.recorded_at, PROD)
        assert (len(told["datasets"]), len(told["evaluations"])) == (count, count)
        counts.append(len(counted))
    assert grows_evenly(counts), counts


class Counted(dict[str, Any]):
    """A row that counts how often anything of it is read."""

    reads = 0

    def __getitem__(self, key: str) -> Any:
        Counted.reads += 1
        return super().__getitem__(key)


def context(number: int) -> Any:
    """Versions with a waiver each, which one use and one authorisation took; a gate refused each."""
    rows: dict[str, list[Counted]] = {}

    def told(kind: str, subject: str, stream: str, **data: Any) -> None:
        index = sum(map(len, rows.values()))
        row = {"index": index, "actor": "p", "subject": subject, "stream": stream, "data": data, "id": str(index)}
        rows.setdefault(kind, []).append(Counted(row))

    for one in range(number):
        model, waiver = f"model:m@{one}", f"waiver:w{one}"
        told("waiver.requested", waiver, waiver, check="x", model=model, environment="prod", owner="p",
             reason="r", compensating_control="c", expires_at="2999-01-01T00:00:00Z", max_uses=1)  # fmt: skip
        told("waiver.granted", waiver, waiver)
        told("waiver.used", waiver, waiver, deployment=PROD, model=model)
        told("gate.evaluated", model, "model:m", policy="policy:p@1", environment="prod", result="deny",
             policy_digest=digest("p"), digest=digest(model), checks=[])  # fmt: skip
        told("deployment.authorised", PROD, PROD, model=model, digest=digest(model))
    return SimpleNamespace(
        events=lambda *kinds: [row for kind in kinds for row in rows.get(kind, ())], in_period=list, environment=None,
        as_of=SimpleNamespace(at=None, recorded_at=0, size=0), doubt=lambda row: None, ledger=None, views=None,
    )  # fmt: skip


@pytest.mark.parametrize("ask", ["waivers", "gated"])
def test_exceptions_are_matched_by_name(ask: str, monkeypatch: pytest.MonkeyPatch):
    rule = SimpleNamespace(gate="policy:p@1", gate_digest=digest("p"))
    monkeypatch.setattr("projections.reports.exceptions.rule_before", lambda *args: rule)
    counts = []
    for number in (8, 16, 24):
        Counted.reads = 0
        found = list(getattr(exceptions, ask)(context(number)))
        assert len(found) == number
        words = [item["state"] if ask == "waivers" else item.reason for item in found]
        assert words[-1] == ("used up" if ask == "waivers" else f"policy:p@1 refused model:m@{number - 1} before it")
        counts.append(Counted.reads)
    assert max(counts[1] - 2 * counts[0], counts[2] - 3 * counts[0]) <= 0, counts
