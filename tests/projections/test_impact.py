"""What is live that ever saw a thing."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InputError
from projections.impact import impact, written
from projections.remarks import RESTS
from projections.tracing import cut_off, trace
from tests.contract.support import digest
from tests.projections.support import DEV, PROD, Book, tell, when

ONE, TWO, THREE, DATA = "model:scoring@1", "model:scoring@2", "model:scoring@3", "dataset:base@1"


def ask(book: Book, subject: str, **as_of: Any) -> dict[str, Any]:
    reader = book.reader()
    return impact(book.ledger, reader.runner.views, reader.as_of(**as_of), subject)


def subjects(one: dict[str, Any]) -> list[str]:
    return [step["subject"] for step in one["path"]]


def test_what_is_live_was_live_and_never_was(any_book: Book):
    """Version 3 is made from dataset:base@1 without the features; 4 is live nowhere."""
    tell(any_book)
    found = ask(any_book, DATA)
    assert [(one["deployment"], one["model"], one["how"], one["until"]) for one in found["live"]] == [
        (PROD, THREE, "live", None)
    ]
    assert subjects(found["live"][0]) == [DATA, "run:scoring-3", THREE, PROD]
    assert found["live"][0]["marks"] == ["unauthorised"]
    assert [(one["model"], one["since"], one["until"]) for one in found["before"]] == [
        (ONE, when(3.75), when(13.75)), (ONE, when(15), when(16)),
    ]  # fmt: skip
    assert subjects(found["before"][0]) == [DATA, "dataset:features@1", "run:scoring-1", ONE, PROD]
    assert [one["version"] for one in found["candidates"]] == [ONE, "model:scoring@4"]
    assert found["candidates"][1]["status"] == "rejected"


def test_what_is_live_on_something_in_quarantine_says_so_everywhere(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.release(ONE, 2)
    placed = book.emit("trainer", "quarantine.placed", DATA, {"reason": "poisoned"}, at=4)
    told = book.reader().told([PROD])
    for live in (
        told[f"state {PROD}"]["deployments"][0]["live"], ask(book, DATA)["live"][0],
        told["inventory"][0]["live"][0], told[f"why {PROD}"]["live"][0],
    ):  # fmt: skip
        assert "rests-on-quarantined" in live["marks"]
        assert [one["placed"]["index"] for one in live["quarantines"]] == [placed.index]
        assert live["quarantines"][0]["path"] == [ONE, "run:scoring-1", DATA]
    before = book.reader().told([PROD], known=placed.index)[f"state {PROD}"]["deployments"][0]["live"]
    assert ("rests-on-quarantined" in before["marks"], before["quarantines"]) == (False, [])
    let_go = {"quarantine": placed.id, "rationale": "clean"}
    book.emit("p-approver", "quarantine.released", DATA, let_go, at=5)
    assert "rests-on-quarantined" not in ask(book, DATA)["live"][0]["marks"]


def test_poisoned_data_is_followed_as_of_any_time(book: Book):
    tell(book)
    assert [one["model"] for one in ask(book, "dataset:base@2", at=14)["live"]] == [TWO]
    later = ask(book, "dataset:base@2")
    assert (later["live"], [one["model"] for one in later["before"]]) == ([], [TWO])
    for step in later["before"][0]["path"][1:]:
        assert step["entries"], step
    assert [one["version"] for one in later["candidates"]] == [TWO]
    assert ask(book, "dataset:base")["live"] == ask(book, DATA)["live"], "all versions of it"


def test_however_many_steps_away(book: Book):
    """A data set with a version a day is a long chain, and the first one may be the bad one."""
    book.dataset("dataset:day@1", 1)
    for day in range(2, 81):
        book.dataset(f"dataset:day@{day}", 1, of=f"dataset:day@{day - 1}")
    book.version(ONE, 2, inputs=("dataset:day@80",))
    book.deploy(ONE, 4, DEV)
    (live,) = ask(book, "dataset:day@1")["live"]
    assert len(live["path"]) == 83
    wrote = (("day@1", "clean@1"), ("clean@1", "final@1"), ("day@2", "right@1"), ("day@1", "said@1"))
    for read, name in wrote:
        refs = [{"role": role, "subject": f"dataset:{of}"} for role, of in (("input", read), ("output", name))]
        book.emit("trainer", "run.completed", f"run:{name[:-2]}", {"inputs": refs[:1], "outputs": refs[1:]}, at=5)
    book.dataset("dataset:said@1", 5, of="dataset:day@1")
    left = [["dataset:clean@1", "dataset:final@1"], ["dataset:final@1"], []]
    for thing, names in zip(("dataset:day@1", "dataset:clean@1", "dataset:final"), left, strict=True):
        book.emit("trainer", "quarantine.placed", thing, {"reason": "x"}, at=6)
        at = book.reader()
        world = book.ledger.world.at(at.size)
        found = written(at.runner.views, at.as_of(), world, "dataset:day@1")
        assert found == {one: f"run:{one[8:-2]}" for one in names}, "what was put right, or says of what"


def test_the_same_bytes_under_another_name(any_book: Book):
    book = any_book
    book.dataset(DATA, 1)
    book.version(ONE, 2, inputs=(("dataset:copy@1", digest(DATA)),))
    book.version(TWO, 2, inputs=(("dataset:copy@1", digest("other bytes")),))
    book.deploy(ONE, 4, DEV)
    found = ask(book, DATA)
    assert found["copies"] == [{"subject": "dataset:copy@1", "of": DATA, "digest": digest(DATA)}]
    assert [subjects(one) for one in found["live"]] == [[DATA, "dataset:copy@1", "run:scoring-1", ONE, DEV]]
    assert ask(book, DATA, at=1.5)["copies"] == []


def test_the_same_bytes_at_every_step_however_they_were_named(any_book: Book):
    """Read by name alone, and registered only afterwards; registered anew under another name; served as something else.

    What the judge calls resting on it is found, as of both clocks.
    """
    book, other, renamed = any_book, "model:other@1", "model:renamed@1"
    book.dataset(DATA, 1)
    book.dataset("dataset:derived@1", 1, of=DATA)
    inputs = [{"role": "input", "subject": "dataset:again@1"}]
    book.emit("trainer", "run.completed", "run:other", {"inputs": inputs}, at=2)
    book.register(other, 2, run="run:other")
    book.emit("trainer", "version.registered", renamed, {"digest": digest(other), "owner": "p-author", "tier": "low"},
              at=2)  # fmt: skip
    book.register(THREE, 2)
    book.deploy(renamed, 3, DEV)
    served = {"model": THREE, "digest": digest("dataset:derived@1")}
    book.emit("p-deployer", "deployment.completed", PROD, served, at=3)
    before = book.size
    book.emit("trainer", "dataset.registered", "dataset:again@1", at=4, digest=digest("dataset:derived@1"))
    assert [subjects(one) for one in ask(book, DATA)["live"]] == [
        [DATA, "dataset:derived@1", "dataset:again@1", "run:other", other, renamed, DEV],
        [DATA, "dataset:derived@1", PROD],
    ]
    placed = book.emit("trainer", "quarantine.placed", "dataset:derived@1", {"reason": "poisoned"}, at=5)
    found = ask(book, "dataset:derived@1")
    assert [(one["deployment"], "rests-on-quarantined" in one["marks"]) for one in found["live"]] == [
        (DEV, False), (PROD, True),
    ]  # fmt: skip
    assert {one["subject"]: one["of"] for one in found["copies"]} == {
        "dataset:again@1": "dataset:derived@1", renamed: other,
    }  # fmt: skip
    for as_of in ({"known": before}, {"at": 3.5, "known": placed.index}):
        assert [one["deployment"] for one in ask(book, DATA, **as_of)["live"]] == [PROD], as_of
    reader = book.reader()
    traced = trace(reader.runner.views, reader.as_of(), DATA, depth=1)
    assert cut_off(reader.runner.views, reader.as_of(), traced, 1)["down"] == ["dataset:derived@1"]


def test_a_third_partys_model_inside_ours(book: Book):
    book.emit("p-author", "thirdparty.registered", "model:vendor/llm@5", {"vendor": "V", "product": "LLM"}, at=1)
    book.register("model:vendor/llm@5", 1)
    book.register(ONE, 2)
    parents = [{"role": "base", "subject": "model:vendor/llm@5", "digest": digest("model:vendor/llm@5")}]
    book.emit("trainer", "version.composed", ONE, {"parents": parents, "method": "adapter"}, at=3)
    body = {"model": ONE, "digest": digest(ONE)}
    book.emit("p-deployer", "canary.stage_entered", DEV, {**body, "stage": 1, "traffic": 0.1}, at=4)
    for name in ("model:vendor/llm@5", "model:vendor/llm"):
        found = ask(book, name)
        assert [(one["deployment"], one["how"]) for one in found["live"]] == [(DEV, "canary")]
        assert subjects(found["live"][0]) == ["model:vendor/llm@5", ONE, DEV]
    for base, of in (("model:vendor/llm@5", "model:based"), ("vendor/llm v5", "model:other")):
        book.emit("p-author", "model.registered", of, {"owner": "p-author", "base_model": base}, at=4.5)
        book.register(f"{of}@1", 4.6)
    based = [subjects(one) for one in ask(book, "model:vendor/llm@5")["candidates"]]
    assert based == [["model:vendor/llm@5"], ["model:vendor/llm@5", "model:based@1"]], "what else is said is text"
    assert len(ask(book, "model:vendor/llm@5", at=4.55)["candidates"]) == 1
    reader = book.reader()
    assert "model:vendor/llm@5" in trace(reader.runner.views, reader.as_of(), "model:based@1", down=False).up
    book.emit("p-deployer", "canary.aborted", DEV, {**body, "reason": "slow"}, at=5)
    assert ask(book, "model:vendor/llm")["live"] == []
    assert [one["until"] for one in ask(book, "model:vendor/llm")["before"]] == [when(5)]


def test_one_canary_does_not_end_another(book: Book):
    book.version(ONE, 1)
    book.version(TWO, 1, inputs=("dataset:other@1",))
    for model in (ONE, TWO):
        body = {"model": model, "digest": digest(model), "stage": 1, "traffic": 0.1}
        book.emit("p-deployer", "canary.stage_entered", DEV, body, at=4)
    (canary,) = ask(book, DATA)["live"]
    assert (canary["model"], RESTS in canary["marks"]) == (ONE, False)
    book.emit("p-deployer", "quarantine.placed", DATA, {"reason": "poisoned"}, at=4.5)
    (canary,) = ask(book, DATA)["live"]
    assert (RESTS in canary["marks"], len(canary["quarantines"])) == (True, 1), "the newest one is another"
    held = {"model": ONE, "digest": digest(ONE), "reason": "burns"}
    book.emit("p-approver", "deployment.held", DEV, held, at=5)
    assert [one["model"] for one in ask(book, DATA)["live"]] == [ONE], "that it is to stop is no fact"
    book.emit("p-deployer", "deployment.promoted", DEV, {"model": TWO, "digest": digest(TWO)}, at=6)
    assert ask(book, DATA)["live"] == []


def test_what_is_still_loaded_though_it_is_not_live(book: Book):
    """The ledger says that version 2 is live; one instance never heard."""
    for model, data in ((ONE, DATA), (TWO, "dataset:other@1")):
        book.version(model, 1, inputs=(data,))
        book.deploy(model, 4 if model == ONE else 5, DEV)
    assert ask(book, DATA)["loaded"] == []
    loaded = [{"digest": digest(model), "instance": f"pod-{model[-1]}"} for model in (ONE, TWO)]
    snapshot = book.emit("trainer", "serving.snapshot", DEV, {"loaded": loaded}, at=6)
    found = ask(book, DATA)
    assert found["live"] == []
    assert [(one["deployment"], one["model"], one["instances"], one["index"]) for one in found["loaded"]] == [
        (DEV, ONE, ["pod-1"], snapshot.index)
    ]
    assert ask(book, "dataset:other@1")["loaded"] == []
    new = "deployment:prod/new"  # never deployed, as far as the ledger knows
    for at, model in ((7, TWO), (8, ONE)):
        book.emit("trainer", "serving.snapshot", new, {"loaded": [{"digest": digest(model)}]}, at=at)
    told = [(one["deployment"], one["model"]) for one in ask(book, DATA)["loaded"]]
    assert told == [(DEV, ONE), (new, ONE)]
    assert [(one["deployment"], one["model"]) for one in ask(book, "dataset:other@1")["loaded"]] == []
    assert [one["deployment"] for one in ask(book, "dataset:other@1", at=7)["loaded"]] == [new], "then it was"
    assert [one["deployment"] for one in ask(book, DATA, at=7)["loaded"]] == [DEV]


def test_what_was_only_measured_on_it(book: Book):
    book.dataset("dataset:test@1", 1)
    book.register(ONE, 2)
    body = {"metrics": {"auc": 0.9}, "verdict": "pass", "dataset": "dataset:test@1"}
    index = book.emit("trainer", "evaluation.completed", ONE, body, at=3).index
    book.deploy(ONE, 4, DEV)
    found = ask(book, "dataset:test@1")
    assert (found["live"], found["candidates"]) == ([], [])
    (measured,) = found["measured"]
    assert (measured["version"], measured["index"]) == (ONE, index)
    assert [(one["deployment"], one["how"], one["model"]) for one in measured["live"]] == [(DEV, "live", ONE)]
    book.emit("trainer", "quarantine.placed", "dataset:test@1", {"reason": "leaked"}, at=5)
    (live,) = ask(book, "dataset:test@1")["measured"][0]["live"]
    assert "rests-on-quarantined" in live["marks"]
    book.version(TWO, 6)
    book.deploy(TWO, 7, DEV)
    assert [one["live"] for one in ask(book, "dataset:test@1")["measured"]] == [[]], "something else took its place"


def test_the_path_says_what_is_suspect(book: Book):
    book.version(ONE, 1)
    book.deploy(ONE, 4, DEV)
    assert not any(step["suspect"] for step in ask(book, DATA)["live"][0]["path"])
    book.compromise("trainer")
    found = ask(book, DATA)["live"][0]
    assert [step["suspect"] for step in found["path"]] == [False, True, True, False]
    assert "rests-on-suspect" in found["marks"]


def test_what_nobody_named_has_no_impact(book: Book):
    with pytest.raises(InputError, match="nothing was known"):
        ask(book, "dataset:none@1")
