"""Lineage followed from a thing: what is on it, what is not, and what marks it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InputError
from projections.lineage_nodes import answer
from projections.tracing import cut_off, trace
from tests.contract.support import digest
from tests.projections.support import DEV, INCIDENT, PROD, Book, tell, when

ONE, TWO, DATA = "model:scoring@1", "model:scoring@2", "dataset:base@1"


def lineage(book: Book, subject: str, *, depth: int | None = None, up: bool = True, down: bool = True, **as_of: Any):
    reader = book.reader()
    at = reader.as_of(**as_of)
    found = trace(reader.runner.views, at, subject, up=up, down=down, depth=depth)
    return answer(book.ledger, reader.runner.views, at, found) | {"cut": cut_off(reader.runner.views, at, found, depth)}


def steps(found: dict[str, Any], direction: str) -> dict[str, int]:
    return {node["id"]: node[direction] for node in found["nodes"] if node[direction] is not None}


def one(found: dict[str, Any], name: str) -> dict[str, Any]:
    (node,) = [node for node in found["nodes"] if node["id"] == name]
    return node


def test_from_data_down_to_the_incident(any_book: Book):
    tell(any_book)
    found = lineage(any_book, "dataset:base@2", up=False)
    evaluation = next(node for node in found["nodes"] if node["kind"] == "evaluation")
    assert steps(found, "down") == {
        "dataset:base@2": 0, "dataset:features@2": 1, "run:scoring-2": 2, TWO: 3, f"{PROD} {TWO}": 4,
        evaluation["id"]: 4, INCIDENT: 5,
    }  # fmt: skip
    assert steps(found, "up") == {}
    place = one(found, f"{PROD} {TWO}")
    assert (place["status"], place["serves"], place["periods"][0]["until"]) == ("was live", TWO, when(15))
    assert one(found, TWO)["status"] == "rolled back"
    assert (evaluation["status"], evaluation["metrics"]) == ("pass", {"auc": 0.9})
    assert [edge["relation"] for edge in found["edges"] if edge["downstream"] == TWO] == ["output-of", "made-by"]


def test_from_the_incident_up_to_the_data(any_book: Book):
    """What was live there at other times is not on it."""
    tell(any_book)
    found = lineage(any_book, INCIDENT, down=False)
    assert steps(found, "up") == {
        INCIDENT: 0, f"{PROD} {TWO}": 1, TWO: 2, "run:scoring-2": 3, "dataset:features@2": 4, "dataset:base@2": 5,
    }  # fmt: skip


def test_an_incident_that_names_no_version_is_about_what_was_live(book: Book):
    book.version(ONE, 1)
    book.release(ONE, 2)
    book.open_incident(4)
    book.version(TWO, 5)
    book.release(TWO, 6)
    assert INCIDENT in steps(lineage(book, ONE), "down")
    assert INCIDENT not in steps(lineage(book, TWO), "down")
    assert steps(lineage(book, ONE, at=3), "down").keys() == steps(lineage(book, ONE), "down").keys() - {INCIDENT}


def test_an_incident_of_a_version_alone_and_one_that_was_ruled_out(book: Book):
    book.version(ONE, 1)
    book.emit("p-author", "incident.opened", "incident:a", {"title": "biased", "model": ONE}, at=2)
    book.emit("p-author", "incident.opened", "incident:b", {"title": "slow"}, at=2)
    book.emit("p-author", "incident.linked", "incident:b", {"subject": ONE, "relation": "ruled-out"}, at=3)
    assert "incident:a" in steps(lineage(book, ONE), "down")
    assert "incident:b" not in steps(lineage(book, ONE), "down")
    book.emit("p-author", "incident.linked", "incident:b", {"subject": ONE, "relation": "caused-by"}, at=4)
    found = lineage(book, ONE)
    assert [edge["relation"] for edge in found["edges"] if edge["downstream"] == "incident:b"] == ["caused-by"]


def test_an_incident_is_resolved_before_it_is_closed(book: Book):
    book.version(ONE, 1)
    told = []
    for at, step in enumerate(("opened", "resolved", "reopened", "resolved", "closed"), start=2):
        body = {"opened": {"title": "biased", "model": ONE}, "reopened": {"reason": "x"}, "closed": {"summary": "x"}}
        book.emit("p-author", f"incident.{step}", "incident:a", body.get(step, {}), at=at)
        told.append(one(lineage(book, ONE), "incident:a")["status"])
    assert told == ["open", "resolved", "open", "resolved", "closed"]


def test_depth_is_a_number_of_steps(book: Book):
    tell(book)
    all_of_it = steps(lineage(book, DATA), "down")
    cut = ["model:scoring@3", "model:scoring@4", "run:scoring-1"]
    assert lineage(book, DATA, depth=2)["cut"] == {"up": [], "down": cut}
    assert max(steps(lineage(book, DATA, depth=2), "down").values()) == 2
    none = lineage(book, DATA, depth=0)
    assert steps(none, "down") == {DATA: 0}
    assert (none["edges"], none["cut"]) == ([], {"up": [], "down": [DATA]})
    for depth in (None, max(all_of_it.values())):
        assert lineage(book, DATA, depth=depth)["cut"] == {"up": [], "down": []}


def test_circles_end(book: Book):
    book.dataset("dataset:a@1", 1, of="dataset:b@1")
    book.dataset("dataset:b@1", 2, of="dataset:a@1")
    found = lineage(book, "dataset:a@1")
    assert steps(found, "up") == steps(found, "down") == {"dataset:a@1": 0, "dataset:b@1": 1}
    assert len(found["edges"]) == 2


def test_a_name_without_a_version_stands_for_all(book: Book):
    tell(book)
    assert lineage(book, "model:scoring")["roots"] == [f"model:scoring@{number}" for number in (1, 2, 3, 4)]
    assert lineage(book, PROD)["roots"] == [PROD, *(f"{PROD} model:scoring@{number}" for number in (1, 2, 3))]
    assert lineage(book, "dataset:base", at=5)["roots"] == [DATA]


def test_what_is_only_named_says_so(book: Book):
    book.train(ONE, 1, inputs=("dataset:elsewhere@7",))
    found = lineage(book, "dataset:elsewhere@7")
    assert one(found, "dataset:elsewhere@7")["marks"] == ["not recorded"]
    assert ONE in steps(found, "down")


@pytest.mark.parametrize("name", ["dataset:nothing@1", "model:nothing", "run:nothing", "deployment:prod/none"])
def test_what_nobody_named_is_no_lineage(book: Book, name: str):
    tell(book)
    with pytest.raises(InputError, match="nothing was known"):
        lineage(book, name)
    with pytest.raises(InputError, match="nothing was known"):
        lineage(book, "dataset:base@2", at=2)


def test_features_artefacts_and_ensembles(book: Book):
    book.dataset(DATA, 1)
    read = [{"role": "input", "subject": DATA, "digest": digest(DATA)}]
    book.emit("trainer", "featureset.defined", "featureset:f@1", {"digest": digest("f"), "inputs": read}, at=2)
    book.version(ONE, 3, inputs=("featureset:f@1",))
    made = {"files": {"model.onnx": digest("file")}, "run": "run:scoring-1", "model": ONE}
    book.emit("trainer", "artifact.produced", "artifact:scoring-1", made, at=4)
    parents = {"parents": [{"role": "parent", "subject": ONE, "digest": digest(ONE)}]}
    book.register(TWO, 5)
    book.emit("trainer", "version.composed", TWO, parents, at=5)
    body = {"model": TWO, "digest": digest(TWO), "stage": 1, "traffic": 0.1}
    book.emit("p-deployer", "canary.stage_entered", DEV, body, at=6)
    found = lineage(book, DATA)
    down = steps(found, "down")
    assert [down[name] for name in ("featureset:f@1", "run:scoring-1", "artifact:scoring-1", ONE, TWO)] == [
        1, 2, 3, 3, 4,
    ]  # fmt: skip
    assert one(found, f"{DEV} {TWO}")["status"] == "canary"


def test_marks(any_book: Book):
    book = any_book
    tell(book)
    book.emit("p-author", "quarantine.placed", "dataset:base@2", {"reason": "poisoned"}, at=30)
    book.emit("trainer", "dataset.deprecated", DATA, {"reason": "old"}, at=30)
    book.emit("trainer", "dataset.deleted", DATA, {"reason": "asked for", "scope": "2019"}, at=30)
    book.emit("trainer", "dataset.consent_changed", DATA, {"status": "withdrawn"}, at=30)
    book.emit("trainer", "dataset.consent_changed", DATA, {"status": "granted"}, at=29)  # late
    book.emit("p-author", "version.retired", TWO, {"reason": "old"}, at=30)
    (measured,) = book.state(TWO)["models"][0]["versions"][0]["evaluations"]
    book.emit("trainer", "evaluation.invalidated", TWO, {"evaluation": measured["id"], "reason": "leak"}, at=31)
    size = book.size
    assert one(lineage(book, "dataset:base@2"), "dataset:base@2")["marks"] == ["quarantined"]
    dated = lineage(book, "dataset:base@2", at=31)
    assert one(dated, "dataset:base@2")["marks"] == [], "it was recorded later than that, as states have it"
    assert one(lineage(book, DATA), DATA)["marks"] == ["deprecated", "deleted", "consent withdrawn"]
    assert one(lineage(book, TWO), TWO)["marks"] == ["quarantined", "retired"], "its features were made from it"
    assert [node["marks"] for node in lineage(book, TWO)["nodes"] if node["kind"] == "evaluation"] == [["invalidated"]]
    assert one(lineage(book, DATA), f"{PROD} model:scoring@3")["marks"] == ["unauthorised"]
    book.compromise("trainer")
    found = lineage(book, "dataset:base@2")
    assert "suspect" in one(found, "dataset:base@2")["marks"]
    assert all(entry["suspect"] == (entry["actor"] == "trainer") for e in found["edges"] for entry in e["entries"])
    before = lineage(book, "dataset:base@2", known=size)
    assert "suspect" not in one(before, "dataset:base@2")["marks"], "what was known then"
