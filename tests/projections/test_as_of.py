"""An answer is a function of two times; `test_reading_as_of` asks whether no later append changes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st

from ledger.entry import format_time
from ledger.errors import InputError, LedgerError, NothingToVerifyError
from ledger.recorders import open_recorder
from ledger.stored import LogIdentity
from projections.asof import resolve_as_of
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, when

MODELS = [f"model:scoring@{number}" for number in (1, 2, 3)]
MOVES = (
    "dataset", "train", "register", "evaluate", "request", "approve", "reject", "authorise", "deploy", "fail",
    "roll back", "open", "close", "signal",
)  # fmt: skip
#: What somebody does, about which version, and when they say it happened.
moves = st.tuples(st.sampled_from(MOVES), st.sampled_from(MODELS), st.integers(-48, 48))


def do(book: Book, move: str, model: str, at: float) -> None:
    """One move; the ledger may refuse it."""
    number = model.partition("@")[2]
    data, body = f"dataset:base@{number}", {"model": model, "digest": digest(model)}
    try:
        match move:
            case "dataset":
                book.dataset(data, at, of="dataset:raw@1")
            case "train":
                book.train(model, at, inputs=(data,))
            case "register":
                book.register(model, at, run=f"run:scoring-{number}")
            case "evaluate":
                book.evaluate(model, at, auc=0.5 + at / 100)  # each time another one
            case "request":
                book.request(model, at)
            case "approve":
                book.approve(model, at)
            case "reject":
                book.reject(model, at)
            case "authorise":
                book.authorise(model, at)
            case "deploy":
                book.emit("p-deployer", "deployment.completed", PROD, body, at=at)
            case "fail":
                book.emit("p-deployer", "deployment.failed", PROD, {**body, "reason": "no space"}, at=at)
            case "roll back":
                book.emit("p-deployer", "rollback.completed", PROD, body, at=at)
            case "open":
                book.open_incident(at, model=model)
            case "close":
                book.emit("p-deployer", "incident.closed", INCIDENT, at=at, summary="over")
            case "signal":
                measured = {"metric": "auc", "value": 0.5, "baseline": 0.9, "deployment": PROD}
                book.emit("trainer", "monitor.signal", "monitor:scoring", measured, at=at)
    except LedgerError:
        pass


def tell_moves(book: Book, story: list[tuple[str, str, int]]) -> None:
    for move in story:
        do(book, *move)


def test_what_is_true_at_a_time_is_what_had_occurred_by_then(any_book: Book):
    book = any_book
    book.register(MODELS[0], 1)
    book.evaluate(MODELS[0], 2)
    assert book.status(MODELS[0], at=2) == "evaluated"
    assert book.status(MODELS[0], at=1.999) == "registered"
    assert book.state(at=0.999)["models"] == []


def test_known_at_may_be_a_size_or_a_time(any_book: Book):
    book = any_book
    receipt = book.register(MODELS[0], 1)
    reader = book.reader()
    views = reader.runner.views

    def size(known: str) -> int:
        return resolve_as_of(book.ledger, views, known_at=known, head=reader.size).size

    assert size(str(receipt.index + 1)) == receipt.index + 1
    assert size(format_time(receipt.recorded_at)) == receipt.index + 1
    assert size(format_time(receipt.recorded_at - 1)) == receipt.index
    assert size(format_time(receipt.recorded_at + 1)) == reader.size
    with pytest.raises(InputError, match="still to come"):
        size(format_time(receipt.recorded_at + 10**12))
    assert size(format_time(receipt.recorded_at).replace("Z", "+00:00")) == receipt.index + 1


def test_the_answer_prints_both_clocks_and_the_root(any_book: Book):
    book = any_book
    book.register(MODELS[0], 1)
    reader = book.reader()
    described = reader.as_of(at=5).describe()
    head = book.cast.recorder.head()
    assert described["at"] == when(5)
    assert described["known_at"] == {
        "size": head.size, "root": head.root().hex(), "recorded_at": format_time(head.recorded_at),
    }  # fmt: skip
    earlier = reader.as_of(known=2).describe()["known_at"]
    assert isinstance(earlier, dict)
    assert earlier["root"] != head.root().hex()
    assert reader.as_of().describe()["at"] is None


@pytest.mark.parametrize("known", ["0", "100000", "-1", "", "yesterday", "2026-11-01T00:00:00", "²", "1" * 40])
def test_a_known_at_without_sense_is_refused(book: Book, known: str):
    reader = book.reader()
    with pytest.raises(InputError):
        resolve_as_of(book.ledger, reader.runner.views, known_at=known, head=reader.size)


@pytest.mark.parametrize("at", ["now", "2026-11-01", "2026-11-01T00:00:00", ""])
def test_an_at_without_sense_or_zone_is_refused(book: Book, at: str):
    reader = book.reader()
    with pytest.raises(InputError):
        resolve_as_of(book.ledger, reader.runner.views, at=at, head=reader.size)


def test_before_the_first_entry_nothing_is_known(book: Book):
    reader = book.reader()
    with pytest.raises(NothingToVerifyError):
        resolve_as_of(book.ledger, reader.runner.views, known_at="2000-01-01T00:00:00Z", head=reader.size)


def test_an_empty_log_has_no_answers(sqlite_url: str):
    from ledger.application import Ledger
    from projections.catalogue import open_runner

    recorder = open_recorder(sqlite_url)
    recorder.create(LogIdentity("ab" * 16, "ledger.example/empty"))
    with Ledger(recorder) as ledger:
        runner = open_runner(ledger, sqlite_url)
        assert runner.catch_up() == 0
        with pytest.raises(NothingToVerifyError):
            resolve_as_of(ledger, runner.views, head=0)
        runner.views.close()


def test_answers_are_made_of_plain_json(book: Book):
    book.register(MODELS[0], 1)
    book.open_incident(2)
    answers = json.loads(book.reader().answers())
    assert set(answers) == {"as_of", "state", "report", "timeline"}
