"""Whether an approval stands: state, inventory and why say what an authorisation would be told, now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger import commands
from ledger.approvals import taken_back
from ledger.entry import format_time
from ledger.errors import InputError, LedgerError
from ledger.events.ledgers import Rule, RuleSet
from ledger.governing import meet_condition, revoke_approval
from projections.asof import as_decided, resolve_as_of
from projections.inventory import inventory
from projections.model_state import state_as_of
from projections.suspension import suspend
from projections.why import why
from tests.projections.support import Book

ONE = "model:scoring@1"
DAY = 86_400 * 10**6
TWO_PERSONS = RuleSet(
    name="two", rules=(Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=False),)
)


def told(book: Book, moment: int | None = None) -> tuple[str, str, str | None]:
    """Status of the version and of its last request, and why that does not stand; all who are asked agree."""
    at = None if moment is None else format_time(moment)
    reader, ledger, now = book.reader(), book.ledger, book.clock.now
    views = reader.runner.views
    as_of = resolve_as_of(ledger, views, at=at, head=reader.size, now=now)
    (version,) = suspend(ledger, views, as_of, state_as_of(views, as_of, ONE))["models"][0]["versions"]
    (model,) = inventory(ledger, views, as_of, as_of.asked)
    decided, asked = as_decided(ledger, views, at=at, head=reader.size, now=now)
    (answer,) = why(ledger, views, decided, asked, ONE, environment="prod")["answers"]
    (condition,) = [one for one in answer["conditions"] if one["condition"] == "approvals"]
    request = version["approvals"][-1]
    assert model["status"] == version["status"]
    assert (version["status"] == "approved") == condition["met"] == (request["status"] == "approved")
    if request["status"] not in ("approved", "pending"):
        assert model["approvals"] == []
        assert request["reason"] in condition["reason"]
    return version["status"], request["status"], request["reason"]


def refused(book: Book) -> bool:
    try:
        book.authorise(ONE, 9)
    except LedgerError:
        return True
    return False


def approve(book: Book, actor: str = "p-approver", **options: Any) -> str:
    return commands.approve(book.cast[actor], ONE, "prod", rationale="x", **options).id


def test_an_approval_that_waits_for_a_condition_is_none(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    assert told(book)[:2] == ("approval pending", "pending")
    approve(book, conditions=["a monitor is on", "a runbook"])
    meet_condition(book.cast["p-approver"], ONE, 0)
    assert told(book) == ("conditions open", "conditional", "its condition 1 is not met: a runbook")
    assert refused(book)
    meet_condition(book.cast["p-approver"], ONE, 1)
    assert told(book) == ("approved", "approved", None)
    assert not refused(book)


def test_an_approval_ends_at_its_end_and_not_before(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    before = book.clock.now
    end = before + DAY
    approve(book, expires_at=format_time(end))
    assert told(book)[0] == told(book, end - 1)[0] == "approved"
    words = f"it expired at {format_time(end)}"
    assert told(book, end) == ("approval expired", "expired", words)
    assert told(book, before) == ("approval pending", "pending", "it was not recorded by then")
    book.clock.now = end
    assert told(book) == ("approval expired", "expired", words)
    assert refused(book)


def test_an_approval_for_later_is_upcoming_until_then(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    since = book.clock.now + DAY
    approve(book, valid_from=format_time(since))
    words = f"it stands from {format_time(since)} on"
    assert told(book) == ("approval upcoming", "upcoming", words)
    assert refused(book)
    assert told(book, since - 1) == ("approval upcoming", "upcoming", words)
    assert told(book, since)[0] == "approved", "as it is known now, it will stand then"
    book.clock.now = since
    assert told(book)[0] == "approved"
    assert told(book, since - 1)[0] == "approval upcoming", "as it was"
    assert not refused(book)


def _invalidate(book: Book) -> None:
    (measured,) = book.state(ONE)["models"][0]["versions"][0]["evaluations"]
    book.emit("trainer", "evaluation.invalidated", ONE, {"evaluation": measured["id"], "reason": "leak"}, at=6)


@pytest.mark.parametrize(
    ("fall", "reason"),
    [
        (_invalidate, "an evaluation that it rests on was invalidated"),
        (lambda book: book.evaluate(ONE, 5, verdict="fail"), "says fail"),
        (lambda book: book.compromise("p-approver"), "compromised"),
        (
            lambda book: book.emit("p-author", "version.demoted", ONE, {"environment": "prod", "reason": "x"}, at=6),
            "demoted it from prod",
        ),
    ],
)
def test_an_approval_falls_with_what_it_rests_on(book: Book, fall: Callable[[Book], object], reason: str):
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book)
    known = book.size
    assert told(book)[0] == "approved"
    then = book.clock.now
    fall(book)
    assert told(book)[:2] == ("suspended", "suspended")
    assert reason in (told(book)[2] or "")
    assert refused(book)
    if reason != "compromised":
        assert told(book, then)[0] == "approved", "as it was recorded then"
    assert book.reader().told([ONE], known=known)[f"state {ONE}"]["models"][0]["versions"][0]["status"] == "approved"


def test_a_failed_suite_that_no_approval_cited_suspends_too(book: Book):
    """An authorisation asks for no failed suite, whatever was cited."""
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book)
    drift = {"metrics": {"psi": 0.4}, "verdict": "fail", "suite": "drift"}
    book.emit("trainer", "evaluation.completed", ONE, drift, at=3)
    reader = book.reader()
    (version,) = reader.told([ONE])[f"state {ONE}"]["models"][0]["versions"]
    assert (version["status"], version["approvals"][0]["status"]) == ("suspended", "suspended")
    assert "no standing passed evaluation" in version["approvals"][0]["reason"]
    assert refused(book)


def test_one_of_two_approvals_is_not_enough(quick_url: str, make_book: Callable[..., Book]):
    book = make_book(quick_url, rules=TWO_PERSONS)
    book.cast.enrol("p-second", "person", ["approver"])
    book.version(ONE, 1)
    book.request(ONE, 2)
    first = approve(book)
    status, request, reason = told(book)
    assert (status, request) == ("approval pending", "pending")
    assert "needs 2 approval(s)" in (reason or "")
    assert refused(book)
    approve(book, "p-second")
    assert told(book)[0] == "approved"
    book.cast.enrol("p-third", "person", ["approver"])
    with pytest.raises(InputError, match="2 approvals might be meant") as several:
        revoke_approval(book.cast["p-third"], ONE, rationale="bias")
    assert several.value.hint.count(f"muniment revoke {ONE} --rationale … --approval ") == 2
    known = book.size
    gone = taken_back(book.ledger, ONE, revoke_approval(book.cast["p-approver"], ONE, rationale="bias"))
    assert gone.approval is not None
    assert (gone.approval.id, gone.fell, len(gone.left)) == (first, (), 1), "their own, though another came later"
    assert told(book)[:2] == ("approval pending", "pending"), "the first one was taken back"
    assert refused(book)
    second = book.request(ONE, 3)
    gone = taken_back(book.ledger, ONE, commands.reject(book.cast["p-third"], ONE, rationale="too slow"))
    assert [one.actor for one in gone.fell] == ["p-second"]
    reader = book.reader()
    (version,) = reader.told([ONE])[f"state {ONE}"]["models"][0]["versions"]
    words = f"entry {book.size - 1} by p-third rejected the request of entry {second.index} for prod: too slow"
    assert [(one["status"], one["reason"]) for one in version["approvals"]] == [
        ("suspended", words), ("rejected", None),
    ]  # fmt: skip
    before = reader.told([ONE], known=known)[f"state {ONE}"]["models"][0]["versions"][0]
    assert (before["status"], len(before["approvals"])) == ("approved", 1), "as it was known then"


def test_an_approval_elsewhere_weighs_more_than_one_that_ended(book: Book):
    book.version(ONE, 1)
    for environment, end in (("dev", None), ("prod", format_time(book.clock.now + DAY))):
        book.request(ONE, 2, environment)
        commands.approve(book.cast["p-approver"], ONE, environment, rationale="x", expires_at=end)
    book.clock.now += DAY
    reader = book.reader()
    as_of = resolve_as_of(book.ledger, reader.runner.views, head=reader.size, now=book.clock.now)
    found = suspend(book.ledger, reader.runner.views, as_of, state_as_of(reader.runner.views, as_of, ONE))
    (version,) = found["models"][0]["versions"]
    assert version["status"] == "approved"
    assert [(one["environment"], one["status"]) for one in version["approvals"]] == [
        ("dev", "approved"), ("prod", "expired"),
    ]  # fmt: skip


def test_data_in_quarantine_stops_what_was_made_of_it(any_book: Book):
    book = any_book
    book.dataset("dataset:base@1", 1)
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book)
    placed = book.emit("p-deployer", "quarantine.placed", "dataset:base@1", {"reason": "poisoned"}, at=3)
    reader = book.reader()
    found = reader.told([ONE])[f"state {ONE}"]["models"][0]["versions"][0]
    assert found["status"] == "quarantined"
    (one,) = found["quarantines"]
    assert (one["subject"], one["reason"], one["placed"]["index"]) == ("dataset:base@1", "poisoned", placed.index)
    assert refused(book)
    before = reader.told([ONE], known=placed.index)[f"state {ONE}"]["models"][0]["versions"][0]
    assert (before["status"], before["quarantines"]) == ("approved", [])
