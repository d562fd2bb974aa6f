"""The control report: provenance, piece by piece, and what cannot be decided."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain import State
from ledger.domain.world import World
from projections.reports import ReportContext
from tests.contract.support import digest
from tests.projections.assessed import BAD, EXCEPTIONS, GOOD, ONE, TWO, UNKNOWN, a_good_life, finding
from tests.projections.support import PROD, Book

# -- what cannot be decided ---------------------------------------------------------------------------------------


class _Blind:
    """A world in which one actor is not to be found."""

    def __init__(self, world: World, actor: str) -> None:
        self._world, self._actor = world, actor
        self.ledgerid = world.ledgerid

    def state(self, stream: str) -> State | None:
        return None if stream == f"actor:{self._actor}" else self._world.state(stream)

    def key_holder(self, keyid: str) -> str | None:
        return self._world.key_holder(keyid)

    def looked_up(self, stream: str) -> State | None:
        return self.state(stream)

    def quarantined(self) -> tuple[str, ...]:
        return self._world.quarantined()

    def leaf_hash(self, index: int) -> bytes | None:
        return self._world.leaf_hash(index)

    def root_hash(self, size: int) -> bytes | None:
        return self._world.root_hash(size)


@pytest.mark.parametrize("actor", ["p-approver", "p-author"])
def test_a_person_who_cannot_be_resolved_is_not_assessed(book: Book, monkeypatch: pytest.MonkeyPatch, actor: str):
    """The judge lets nobody through it cannot resolve; the report does not rely on that."""
    a_good_life(book)
    world = ReportContext.world
    monkeypatch.setattr(ReportContext, "world", lambda self, index: _Blind(world(self, index), actor))
    found = book.findings()
    assert found.pop("four-eyes-before-authorise") == UNKNOWN
    assert {name for name, state in found.items() if state != GOOD} == EXCEPTIONS
    report = book.report()
    unknown = finding(report, "four-eyes-before-authorise")
    assert "cannot be resolved" in unknown["reason"]
    assert unknown["population"] == {**unknown["population"], "size": 2, "failed": 0}
    assert report["summary"][UNKNOWN] == 1


def test_an_authorisation_of_what_was_not_registered_yet_is_not_assessed(book: Book):
    book.dataset("dataset:base@1", 0)
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    book.register(ONE, 9, run=run)  # claims to have been registered after its release
    book.evaluate(ONE, 2)
    book.request(ONE, 3)
    book.approve(ONE, 4)
    book.authorise(ONE, 5)
    assert book.findings(at=6)["four-eyes-before-authorise"] == UNKNOWN
    assert book.findings()["four-eyes-before-authorise"] == GOOD


def test_a_failure_outweighs_what_cannot_be_decided(book: Book):
    book.dataset("dataset:base@1", 0)
    for model in (ONE, TWO):
        run = book.train(model, 1, inputs=("dataset:base@1",))
        book.register(model, 9 if model == ONE else 1, run=run)
        book.evaluate(model, 2)
        book.request(model, 3)
        book.approve(model, 4 if model == ONE else 9)
        book.authorise(model, 5)
    bad = finding(book.report(at=6), "four-eyes-before-authorise")
    assert bad["state"] == BAD
    assert sorted(item["state"] for item in bad["items"]) == [UNKNOWN, BAD]


# -- provenance, piece by piece -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"code": None}, "code commit or digest"),
        ({"code": {"repository": "example.com/x"}}, "code commit or digest"),
        ({"parameters": None}, "parameters"),
        ({"environment": None}, "environment"),
        ({"seed": None}, "seed"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"role": "input", "subject": "dataset:base@1"}]}, "a registered digest of dataset:base@1"),
        ({"inputs": [{"role": "input", "subject": "dataset:base@1", "digest": digest("x")}]}, "a registered digest"),
        ({"inputs": [{"role": "input", "subject": "dataset:no@1", "digest": digest("x")}]}, "digest of dataset:no@1"),
    ],
)  # fmt: skip
def test_provenance_names_what_is_missing(book: Book, missing: dict[str, Any], said: str):
    book.dataset("dataset:base@1", 0)
    if "inputs" in missing:
        _with_inputs(book, missing["inputs"])
    else:
        book.version(ONE, 1, **missing)
    book.release(ONE, 5)
    bad = finding(book.report(), "training-provenance")
    assert bad["state"] == BAD
    assert said in bad["reason"]


def _with_inputs(book: Book, inputs: list[dict[str, str]]) -> None:
    common = {"seed": 1, "parameters": {"a": 1}, "environment": digest("lock"), "code": {"commit": "c0ffee"}}
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    body = {**common, "inputs": inputs, "outputs": made}
    book.emit("trainer", "run.completed", "run:scoring-1", body, at=1)
    book.register(ONE, 2, run="run:scoring-1")
    book.evaluate(ONE, 3)


def test_a_run_that_failed_first_is_no_provenance(book: Book):
    """A later success of the same name is another run."""
    book.dataset("dataset:base@1", 0)
    book.train(ONE, 2, inputs=("dataset:base@1",), run="run:good")
    book.emit("trainer", "run.failed", "run:bad", {"reason": "no memory"}, at=1)
    book.train(TWO, 2, inputs=("dataset:base@1",), run="run:bad")
    for model, name in ((ONE, "run:good"), (TWO, "run:bad")):
        book.register(model, 3, run=name)
        book.evaluate(model, 4)
        book.release(model, 5)
    bad = finding(book.report(), "training-provenance")
    assert bad["reason"] == f"1 of 2 failed: {TWO} lacks a run that ended well"


def test_provenance_needs_a_run_that_made_these_bytes(book: Book):
    book.dataset("dataset:base@1", 0)
    run = book.train("model:other@1", 1, inputs=("dataset:base@1",))
    book.register(ONE, 2, run=run)
    book.evaluate(ONE, 3)
    book.deploy(ONE, 5)  # nobody approves what a run of another version made
    assert "whose output is this digest" in finding(book.report(), "training-provenance")["reason"]


def test_what_was_never_registered_has_no_provenance(book: Book):
    body = {"model": ONE, "digest": digest(ONE)}
    book.emit("p-deployer", "deployment.completed", PROD, body, at=1)
    report = book.report()
    assert "never registered" in finding(report, "training-provenance")["reason"]
    assert finding(report, "deployment-authorised")["state"] == BAD
