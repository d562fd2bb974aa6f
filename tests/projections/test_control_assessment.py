"""The control report: each of the eight controls can fail alone, and says so with its evidence."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from projections.reports import REPORTS
from projections.reports.controls import CONTROLS as DEFINED
from tests.contract.support import digest
from tests.projections.assessed import (
    BAD,
    EMPTY,
    EXCEPTIONS,
    GOOD,
    ONE,
    TWO,
    UNKNOWN,
    a_good_life,
    a_whole_life,
    emergency,
    finding,
    gate,
    rule_by_gate,
)
from tests.projections.support import CONTROLS, DEV, Book, tell


def test_the_eight_controls_are_the_ones_documented(book: Book):
    assert tuple(control.name for control in DEFINED) == CONTROLS
    assert tuple(book.findings()) == CONTROLS
    assert list(REPORTS) == ["control-assessment"]


def test_nothing_to_test_is_not_applicable(any_book: Book):
    assert any_book.findings() == dict.fromkeys(CONTROLS, EMPTY)
    report = any_book.report()
    assert report["summary"] == {GOOD: 0, BAD: 0, EMPTY: 8, UNKNOWN: 0, "manual": 0}
    assert all(item["evidence"] == [] and item["population"]["size"] == 0 for item in report["findings"])


def test_a_whole_life_satisfies_every_control(any_book: Book):
    a_whole_life(any_book)
    assert any_book.findings() == dict.fromkeys(CONTROLS, GOOD)
    report = any_book.report()
    assert report["summary"] == {GOOD: 8, BAD: 0, EMPTY: 0, UNKNOWN: 0, "manual": 0}
    rows = {row.entry.index: row for row in any_book.ledger.recorder.rows(0, 1000)}
    for item in report["findings"]:
        assert item["population"]["size"] > 0
        assert item["evidence"]
        for evidence in item["evidence"]:
            row = rows[evidence["index"]]
            assert evidence["leaf_hash"] == row.leaf_hash.hex()
            assert (evidence["id"], evidence["subject"]) == (row.entry.id, row.entry.subject)
            assert f"muniment.{evidence['type']}.v1" == row.entry.type


# -- one control fails, and no other ------------------------------------------------------------------------------
# Each story returns the indexes of what failed, and the hour as of which it is asked.


def late_approval(book: Book) -> tuple[list[int], float | None]:
    """As of the authorisation, the approval had not happened yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 9)
    authorisation = book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [authorisation.index], 7


def other_bytes(book: Book) -> tuple[list[int], float | None]:
    """In dev nothing needs authorising, so that only the bytes are wrong."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.authorise(ONE, 2, DEV)
    return [book.deploy(ONE, 3, DEV, digest=digest("other bytes")).index], None


def late_evaluation(book: Book) -> tuple[list[int], float | None]:
    """As of the approval, the evaluation had not happened yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    book.register(ONE, 2, run=run)
    book.evaluate(ONE, 9)
    book.request(ONE, 3)
    approval = book.approve(ONE, 4)
    book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [approval.index], 7


def no_provenance(book: Book) -> tuple[list[int], float | None]:
    """Nobody knows how it was made."""
    book.register(ONE, 1)
    book.evaluate(ONE, 2)
    return [book.release(ONE, 3).index], None


def nobody_authorised(book: Book) -> tuple[list[int], float | None]:
    """A hotfix."""
    a_good_life(book)
    book.version("model:scoring@3", 40)
    return [book.deploy("model:scoring@3", 41).index], None


def never_live(book: Book) -> tuple[list[int], float | None]:
    """A rollback to what never was there."""
    a_good_life(book)
    book.version("model:scoring@3", 40)
    return [book.roll_back("model:scoring@3", 41).index], None


def late_gate(book: Book) -> tuple[list[int], float | None]:
    """As of the authorisation, the gate had not been run yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    book.request(ONE, 2)
    book.approve(ONE, 3)
    gate(book, ONE, 9)
    authorisation = book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [authorisation.index], 7


def nobody_reviewed(book: Book) -> tuple[list[int], float | None]:
    """An emergency that waits for another person."""
    a_good_life(book)
    return [emergency(book, 40).index], None


STORIES = (
    late_approval, other_bytes, late_evaluation, no_provenance, nobody_authorised, never_live, late_gate,
    nobody_reviewed,
)  # fmt: skip


@pytest.mark.parametrize(("control", "story"), list(zip(CONTROLS, STORIES, strict=True)), ids=CONTROLS)
def test_each_control_can_fail_alone(any_book: Book, control: str, story: Callable[[Book], tuple[list[int], float]]):
    failed, at = story(any_book)
    found = any_book.findings(at=at)
    assert [name for name, state in found.items() if state == BAD] == [control]
    assert UNKNOWN not in found.values()
    bad = finding(any_book.report(at=at), control)
    assert bad["population"]["failed"] == len(failed)
    assert [item["index"] for item in bad["items"] if item["state"] == BAD] == failed
    assert set(failed) <= {item["index"] for item in bad["evidence"]}
    assert bad["reason"].startswith(f"{len(failed)} of {bad['population']['size']} failed: ")


def test_rolling_back_and_forth_makes_no_good_target_of_what_nobody_allowed(book: Book):
    a_good_life(book)
    book.version("model:scoring@3", 40)
    book.deploy("model:scoring@3", 41)
    book.roll_back(ONE, 42)
    again = book.roll_back("model:scoring@3", 43)
    bad = finding(book.report(), "rollback-target-once-live")
    assert [item["index"] for item in bad["items"] if item["state"] == BAD] == [again.index]


@pytest.mark.parametrize(
    ("left_out", "empty"),
    [
        ("rollback", {"rollback-target-once-live"}),
        ("authorise", {"four-eyes-before-authorise"}),
        ("approve authorise", {"four-eyes-before-authorise", "evaluation-before-approval"}),
        ("deploy rollback",
         {"same-digest", "training-provenance", "deployment-authorised", "rollback-target-once-live"}),
    ],
)  # fmt: skip
def test_each_control_is_not_applicable_where_its_kind_of_event_is_left_out(book: Book, left_out: str, empty: set[str]):
    book.dataset("dataset:base@1", 0)
    for at, model in ((10, ONE), (20, TWO)):
        book.version(model, at)
        if "approve" not in left_out:
            book.request(model, at + 1)
            book.approve(model, at + 2)
        if "authorise" not in left_out:
            book.authorise(model, at + 3)
        if "deploy" not in left_out:
            book.deploy(model, at + 4)
    if "rollback" not in left_out:
        book.roll_back(ONE, 30)
    assert {name for name, state in book.findings().items() if state == EMPTY} == empty | EXCEPTIONS


def test_bytes_that_nobody_authorised_are_compared_with_the_registration(any_book: Book):
    """Whether anybody allowed it is another control; it must not keep this one from looking."""
    book = any_book
    a_good_life(book)
    before = finding(book.report(), "same-digest")
    assert (before["state"], before["population"]["size"]) == (GOOD, 2)
    wrong = book.deploy(ONE, 40, "deployment:prod/other", digest=digest("other bytes"))
    early = book.deploy("model:scoring@3", 41, DEV, digest=digest("other bytes"))
    found = finding(book.report(), "same-digest")
    assert [item["index"] for item in found["items"] if item["state"] == BAD] == [wrong.index]
    assert f"{digest(ONE)} was registered" in found["reason"]
    book.register("model:scoring@3", 42)
    found = finding(book.report(), "same-digest")
    assert [item["index"] for item in found["items"] if item["state"] == BAD] == [wrong.index, early.index], "whenever"


def test_a_suite_whose_last_evaluation_failed_outweighs_those_that_passed(book: Book):
    """As it stood then: that it passed again is dated after the approval."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    failed = book.evaluate(ONE, 2, verdict="fail")
    book.evaluate(ONE, 9)
    book.request(ONE, 3)
    book.approve(ONE, 4)
    assert book.findings()["evaluation-before-approval"] == GOOD
    bad = finding(book.report(at=7), "evaluation-before-approval")
    assert bad["state"] == BAD
    assert failed.index in {item["index"] for item in bad["evidence"]}


# -- the same bytes -----------------------------------------------------------------------------------------------


def test_the_same_report_has_the_same_bytes(any_book: Book):
    tell(any_book)
    size = any_book.size
    first = json.dumps(any_book.report())
    assert json.dumps(any_book.report()) == first
    fixed = [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)]
    assert fixed[0] == first
    any_book.release("model:scoring@3", -5)  # recorded later, said to have happened before everything
    any_book.evaluate("model:scoring@4", -5)
    assert [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)] == fixed
    assert json.dumps(any_book.report()) != first
    any_book.runners[0].rebuild()
    assert [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)] == fixed


def test_the_report_fits_its_schema_and_names_its_limits(any_book: Book):
    from pathlib import Path

    import jsonschema

    tell(any_book)
    path = Path(__file__).resolve().parents[2] / "schemas" / "reports" / "control-assessment.v1.json"
    report = json.loads(json.dumps(any_book.report()))
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(report)
    assert any("does not state compliance" in limit for limit in report["limits"])
    assert report["as_of"]["known_at"]["size"] == any_book.size
