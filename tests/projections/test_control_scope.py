"""The control report: environments, periods, and as many approvals as the rules ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.events.ledgers import Rule, RuleSet
from projections.reports import REPORTS, ReportContext
from tests.projections.assessed import BAD, EMPTY, GOOD, ONE, TWO, a_good_life, finding
from tests.projections.support import CONTROLS, Book, when


def test_an_environment_narrows_every_control(book: Book):
    a_good_life(book)
    book.version("model:scoring@3", 40)
    book.deploy("model:scoring@3", 41)
    reader = book.reader()
    prod, dev = reader.report("prod"), reader.report("dev")
    assert finding(prod, "deployment-authorised")["state"] == BAD
    assert {item["state"] for item in dev["findings"]} == {EMPTY}
    assert (prod["environment"], dev["environment"]) == ("prod", "dev")


def test_a_period_keeps_out_what_was_recorded_outside_it(book: Book):
    a_good_life(book)
    hotfix = book.deploy(TWO, 50)
    book.version("model:scoring@3", 40)
    bad = book.deploy("model:scoring@3", 41)
    reader = book.reader()

    def states(since: int, until: int | None) -> dict[str, str]:
        context = ReportContext(book.ledger, reader.runner.views, reader.as_of(), since=since, until=until)
        report = REPORTS["control-assessment"].generate(context)
        return {item["control"]: item["state"] for item in report["findings"]}

    assert states(0, None)["deployment-authorised"] == BAD
    assert states(0, hotfix.recorded_at)["deployment-authorised"] == GOOD
    assert states(bad.recorded_at, None)["deployment-authorised"] == BAD
    assert states(bad.recorded_at + 1, None) == dict.fromkeys(CONTROLS, EMPTY)
    assert states(bad.recorded_at, bad.recorded_at) == dict.fromkeys(CONTROLS, EMPTY)


def test_rules_that_ask_for_nothing_leave_nothing_to_test(sqlite_url: str, make_book: Callable[..., Book]):
    lax = Rule(environment="*", tier="*", authorisation=False, approvals=0, evaluation=False)
    book = make_book(sqlite_url, rules=RuleSet(name="lax", rules=(lax,)))
    a_good_life(book)
    found = book.findings()
    assert [name for name, state in found.items() if state == EMPTY] == [
        "four-eyes-before-authorise", "evaluation-before-approval", "deployment-authorised", "gate-before-authorise",
        "emergency-reviewed",
    ]  # fmt: skip


def test_an_approval_for_somebody_else_counts_once(sqlite_url: str, make_book: Callable[..., Book]):
    """One signature is one person, whoever it was given for."""
    from ledger import commands
    from ledger.errors import PolicyError

    strict = Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True)
    book = make_book(sqlite_url, rules=RuleSet(name="strict", rules=(strict,)))
    book.cast.enrol("p-second", "person", ["approver"])
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    commands.approve(book.cast["p-approver"], ONE, rationale="for both", on_behalf_of="p-second")
    with pytest.raises(PolicyError, match="needs 2 approval"):
        book.authorise(ONE, 4)


def test_two_approvals_of_two_persons_where_the_rules_ask_for_two(sqlite_url: str, make_book: Callable[..., Book]):
    from ledger import commands
    from ledger.errors import PolicyError

    strict = Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True)
    book = make_book(sqlite_url, rules=RuleSet(name="strict", rules=(strict,)))
    book.cast.enrol("p-second", "person", ["approver"])
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    with pytest.raises(PolicyError, match="needs 2 approval"):
        book.authorise(ONE, 4)
    commands.approve(book.cast["p-second"], ONE, rationale="seen too", occurred_at=when(5))
    book.authorise(ONE, 6)
    assert book.findings()["four-eyes-before-authorise"] == GOOD
    assert book.findings(at=4.5)["four-eyes-before-authorise"] == EMPTY
    (item,) = finding(book.report(), "four-eyes-before-authorise")["items"]
    assert item["reason"].startswith("2 independent approval(s)")
