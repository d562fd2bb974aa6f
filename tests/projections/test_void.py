"""Entries put into the store behind the judge's back change nothing, and are listed."""

from __future__ import annotations

from typing import Any

import pytest

from projections.lineage import EDGE
from projections.model_state import CHANGE
from tests.contract.support import digest
from tests.projections.support import DEV, INCIDENT, PROD, Book, Reader

ONE, TWO = "model:scoring@1", "model:scoring@2"


def illegal(book: Book) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Events that are signed as they should be and that no judge lets through."""
    (version,) = book.state(TWO)["models"][0]["versions"]
    asked = version["approvals"][0]["request"]
    mine = {"environment": "prod", "digest": digest(TWO), "request": asked, "rationale": "by myself"}
    return [
        ("p-author", "approval.granted", TWO, mine),  # the requester approves
        ("p-deployer", "deployment.authorised", PROD, {"model": TWO, "digest": digest(TWO)}),  # nobody approved
        ("p-approver", "deployment.completed", DEV, {"model": TWO, "digest": digest(TWO)}),  # not in this role
        ("trainer", "dataset.registered", "dataset:base@1", {"digest": digest("other bytes")}),  # it has a digest
        ("trainer", "version.registered", ONE, {"digest": digest("other"), "owner": "trainer", "tier": "low"}),
    ]


def without_as_of(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("as_of", "void_entries")}


@pytest.fixture
def told(any_book: Book) -> Book:
    any_book.dataset("dataset:base@1", 0)
    any_book.version(ONE, 1)
    any_book.release(ONE, 2)
    any_book.version(TWO, 3)
    any_book.request(TWO, 4)
    any_book.open_incident(5)
    return any_book


def test_void_events_change_no_state_and_are_listed(told: Book):
    state, report, timeline = told.state(), told.report(), told.timeline()
    forced = [told.force(*event, at=6) for event in illegal(told)]
    assert told.state() == state
    assert told.timeline() == timeline
    after = told.report()
    assert without_as_of(after) == without_as_of(report)
    assert report["void_entries"] == []
    assert [item["index"] for item in after["void_entries"]] == forced
    assert all(item["reason"] for item in after["void_entries"])


def test_void_entries_leave_no_rows_but_in_the_journal(told: Book):
    reader: Reader = told.reader()
    counts = [len(reader.runner.views.select(table)) for table in (EDGE, CHANGE)]
    forced = [told.force(*event, at=6) for event in illegal(told)]
    reader = told.reader()
    assert [len(reader.runner.views.select(table)) for table in (EDGE, CHANGE)] == counts
    assert all(reader.runner.rebuild().values())
    from projections.journal import journal_rows

    void = journal_rows(reader.runner.views, [("verdict", "=", "void")], size=reader.size)
    assert [row["index"] for row in void] == forced
    assert all(row["data"] == {} and row["reason"] for row in void)


def test_a_void_entry_is_listed_from_its_own_place_on(told: Book):
    (index, *_) = [told.force(*event, at=6) for event in illegal(told)[:1]]
    assert told.report(known=index)["void_entries"] == []
    (entry,) = told.report(known=index + 1)["void_entries"]
    assert "another person" in entry["reason"]


def test_what_comes_after_a_void_entry_still_counts(told: Book):
    told.force(*illegal(told)[0], at=6)
    told.approve(TWO, 7)
    assert told.status(TWO) == "approved"
    (approval,) = told.state(TWO)["models"][0]["versions"][0]["approvals"]
    assert approval["decided"]["actor"] == "p-approver"


def test_who_was_revoked_closes_no_incident(told: Book):
    told.cast.admin.emit("actor.revoked", "actor:p-deployer", reason="left")
    told.force("p-deployer", "incident.closed", INCIDENT, {"summary": "nothing to see"}, at=7)
    assert told.timeline()["status"] == "open"
    assert not [row for row in told.timeline()["rows"] if row["type"] == "incident.closed"]
