"""What lineage and impact ask of the views: a few questions a step, however many things there are on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.application import Ledger
from projections.impact import impact
from projections.lineage_nodes import answer
from projections.model_state import state_as_of, states_of
from projections.tracing import trace
from tests.projections.support import INCIDENT, PROD, Book, tell

DATA = "dataset:base@1"
Ask = Callable[[Ledger, Any, Any], Any]
QUESTIONS: dict[str, Ask] = {
    "lineage": lambda ledger, views, at: answer(ledger, views, at, trace(views, at, DATA)),
    "impact": lambda ledger, views, at: impact(ledger, views, at, DATA),
}


def grow(book: Book, first: int, count: int) -> None:
    """Versions of models of their own that were made from the data, measured, and live, with an incident each."""
    for number in range(first, first + count):
        model, place = f"model:wide{number}@1", f"deployment:dev/wide{number}"
        book.version(model, 1, inputs=(DATA,))
        book.deploy(model, 2, place)
        named = {"model": model} if number % 2 else {}
        book.emit(
            "p-deployer",
            "incident.opened",
            f"incident:wide{number}",
            {"title": "t", "deployment": place, **named},
            at=3,
        )


def asked(book: Book, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Any]:
    """How many questions the views were asked, and the answer."""
    reader = book.reader()
    views, at = reader.runner.views, reader.as_of()
    counted: list[str] = []
    select = views.select

    def counting(table: Any, *args: Any, **options: Any) -> Any:
        counted.append(table.name)
        return select(table, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(views, "select", counting)
        found = ask(reader.ledger, views, at)
    return len(counted), found


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_grow_with_steps_and_not_with_things(any_book: Book, name: str, monkeypatch: pytest.MonkeyPatch):
    any_book.dataset(DATA, 0)
    grow(any_book, 0, 2)
    few, small = asked(any_book, QUESTIONS[name], monkeypatch)
    grow(any_book, 2, 10)
    many, large = asked(any_book, QUESTIONS[name], monkeypatch)
    size = {"lineage": lambda found: len(found["nodes"]), "impact": lambda found: len(found["live"])}[name]
    assert size(large) > 4 * size(small)
    assert many == few


def test_several_states_at_once_are_those_of_each(any_book: Book):
    tell(any_book)
    grow(any_book, 0, 3)
    reader = any_book.reader()
    views, at = reader.runner.views, reader.as_of()
    streams = ["model:scoring", PROD, "model:wide1", "deployment:dev/wide2", "model:none", INCIDENT]
    found = states_of(views, at, streams)
    for stream in streams:
        alone = state_as_of(views, at, stream)
        assert [one for one in found["models"] if one["model"] == stream] == alone["models"]
        mine = [one for one in alone["deployments"] if one["deployment"] == stream or stream.startswith("model:")]
        assert [one for one in found["deployments"] if one in mine] == mine
