"""What differs between two versions."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InputError
from projections.comparing import compare
from tests.contract.support import digest
from tests.projections.support import PROD, Book, tell

ONE, TWO = "model:scoring@1", "model:scoring@2"


def ask(book: Book, before: str = ONE, after: str = TWO, **as_of: Any) -> dict[str, Any]:
    reader = book.reader()
    return compare(book.ledger, reader.runner.views, reader.as_of(**as_of), before, after)


def fields(found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["before"], change["after"]) for change in found["changed"]}


def test_everything_that_a_version_is_made_of(any_book: Book):
    book = any_book
    book.version(ONE, 1, parameters={"depth": 6, "rate": 0.1}, code={"commit": "c0ffee"})
    book.release(ONE, 2)
    book.train(TWO, 5, inputs=("dataset:base@2",), parameters={"depth": 8, "rate": 0.1}, code={"commit": "decaf"},
               environment=digest("other lock"))  # fmt: skip
    book.register(TWO, 5.2, run="run:scoring-2")
    book.evaluate(TWO, 5.3, auc=0.95)
    found = ask(book)
    assert fields(found) == {
        "data.dataset:base.version": ("1", "2"),
        "data.dataset:base.digest": (digest("dataset:base@1"), digest("dataset:base@2")),
        "code.commit": ("c0ffee", "decaf"),
        "parameters.depth": (6, 8),
        "environment": (digest("lock file"), digest("other lock")),
        "metrics.evaluation.auc": (0.9, 0.95),
        "run": ("run:scoring-1", "run:scoring-2"),
        "digest": (digest(ONE), digest(TWO)),
        "status": ("live", "evaluated"),
        "approvers.prod": ("p-approver", None),
        "marks": ("live", None),
    }
    assert [change["section"] for change in found["changed"]][:4] == ["data", "data", "code", "parameters"]
    auc = next(change for change in found["changed"] if change["section"] == "metrics")
    assert (round(auc["delta"], 6), round(auc["ratio"], 4)) == (0.05, 1.0556)
    assert found["same"] == ["seed", "verdicts", "training", "job", "tier", "owner"]
    assert found["missing"] == []


def test_slices_performance_and_what_a_version_was_composed_of(book: Book):
    book.version(ONE, 1)
    book.register(TWO, 2)
    parents = [{"role": "base", "subject": ONE, "digest": digest(ONE)}]
    book.emit("trainer", "version.composed", TWO, {"parents": parents, "method": "adapter"}, at=3)
    for model, recall in ((ONE, 0.8), (TWO, 0.6)):
        body = {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "fairness",
                "slices": [{"slice": "sex=female", "metrics": {"recall": recall}}],
                "measurements": [{"name": "fpr", "value": recall / 2, "slice": "age>60"}]}  # fmt: skip
        book.emit("trainer", "evaluation.completed", model, body, at=4)
    asked, cost = ask(book), {"amount": 9.0, "currency": "EUR"}
    assert "performance" not in asked["same"]
    assert asked["missing"] == [f"no run is recorded for {TWO}"], "what neither has is not missed"
    book.emit("trainer", "performance.tested", ONE, {"p95_ms": 1200.0, "cost": cost, "verdict": "pass"}, at=5)
    assert ask(book)["missing"][-1] == f"no performance test of {TWO}"
    tested = {"model": TWO, "digest": digest(TWO), "p95_ms": 180.0, "cost": cost | {"amount": 0.8}, "verdict": "pass"}
    book.emit("trainer", "performance.tested", PROD, tested, at=5)
    book.emit("trainer", "performance.tested", TWO, {"digest": digest("other"), "p95_ms": 1.0}, at=6)
    book.emit("trainer", "performance.tested", TWO, {"p95_ms": 900.0}, at=4.5)  # late
    late = {"metrics": {"auc": 0.1}, "verdict": "pass", "suite": "fairness", "slices": []}
    book.emit("trainer", "evaluation.completed", TWO, late, at=3)
    shape = {"input_schema": digest("in"), "output_schema": digest("out")}
    book.emit("trainer", "contract.defined", "model:scoring", shape, at=7)
    assert "contract" in ask(book)["same"], "that of the model is that of all its versions"
    book.emit("trainer", "contract.defined", TWO, shape | {"input_schema": digest("in 2"), "breaking": True}, at=7)
    found = fields(ask(book))
    assert {name: both for name, both in found.items() if name.startswith("contract")} == {
        "contract.input_schema": (digest("in"), digest("in 2")), "contract.breaking": (None, True),
    }  # fmt: skip
    measured = {name: both for name, both in found.items() if name.startswith("performance")}
    assert measured == {"performance.p95_ms": (1200.0, 180.0), "performance.cost.EUR": (9.0, 0.8)}
    assert found["slices.fairness.sex=female.recall"] == (0.8, 0.6)
    assert found["slices.fairness.age>60.fpr"] == (0.4, 0.3)
    assert found["parents.model:scoring.version"] == (None, "1")
    assert found["parents.model:scoring.digest"] == (None, digest(ONE))


def test_as_of_both_clocks(book: Book):
    tell(book)
    assert fields(ask(book, at=12.9))["status"] == ("live", "evaluated")
    assert fields(ask(book, at=14))["status"] == ("approval pending", "live"), "decided then, recorded a year later"
    with pytest.raises(InputError, match="no version that was registered"):
        ask(book, at=5)


def test_an_invalidated_evaluation_is_no_metric(book: Book):
    book.version(ONE, 1)
    book.version(TWO, 2)
    (measured,) = book.state(TWO)["models"][0]["versions"][0]["evaluations"]
    book.emit("trainer", "evaluation.invalidated", TWO, {"evaluation": measured["id"], "reason": "leak"}, at=6)
    found = ask(book)
    assert fields(found)["metrics.evaluation.auc"] == (0.9, None)
    assert found["missing"] == [f"no standing evaluation of {TWO}"]


def test_what_is_not_on_record_is_said(book: Book):
    book.version(ONE, 1)
    book.register(TWO, 2)
    assert ask(book)["missing"] == [
        f"no run is recorded for {TWO}", f"no data set is recorded upstream of {TWO}",
        f"no standing evaluation of {TWO}",
    ]  # fmt: skip
    read = {"inputs": [{"role": "input", "subject": "dataset:base@1"}]}
    book.emit("trainer", "run.completed", "run:bare", read, at=3)
    book.register("model:scoring@3", 4, run="run:bare")
    assert ask(book, ONE, "model:scoring@3")["missing"][:1] == [
        "run:bare says nothing of code, parameters or environment"
    ]


@pytest.mark.parametrize("wrong", ["model:scoring", "dataset:base@1", "model:scoring@9", "nonsense"])
def test_only_registered_versions_are_compared(book: Book, wrong: str):
    book.version(ONE, 1)
    with pytest.raises(InputError):
        ask(book, ONE, wrong)


def test_a_version_and_itself_are_the_same(book: Book):
    book.version(ONE, 1)
    assert ask(book, ONE, ONE)["changed"] == []
