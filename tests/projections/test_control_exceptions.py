"""The control report: what was let be, by gates that lie, emergencies and waivers."""

from __future__ import annotations

import pytest

from ledger.entry import format_time
from ledger.errors import ConfigurationError, PolicyError
from ledger.payload import parse_moment
from projections.reports import REPORTS, ReportContext
from tests.contract.support import digest
from tests.projections.assessed import (
    BAD,
    EMPTY,
    GOOD,
    ONE,
    TWO,
    UNKNOWN,
    a_whole_life,
    emergency,
    finding,
    gate,
    review,
    rule_by_gate,
)
from tests.projections.support import PROD, Book, when


def test_a_gate_that_would_have_refused_satisfies_nothing(any_book: Book):
    """Whoever may sign what a gate found can sign a lie; the report runs it again."""
    book = any_book
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    gate(book, ONE, 5)
    book.release(ONE, 5)
    found = finding(book.report(), "gate-before-authorise")
    assert (found["state"], found["population"]["size"]) == (GOOD, 1)
    book.version(TWO, 6)
    forged = gate(book, TWO, 7, checks=[{"check": "not-the-second", "result": "pass", "reason": "It is not"}])
    book.release(TWO, 8)
    found = finding(book.report(), "gate-before-authorise")
    assert (found["state"], found["population"]["failed"]) == (BAD, 1)
    assert "run again over the same" in found["reason"]
    assert forged.index in {item["index"] for item in found["evidence"]}


def test_a_gate_that_cannot_be_run_again_is_not_assessed(book: Book, monkeypatch: pytest.MonkeyPatch):
    a_whole_life(book)

    def missing() -> None:
        raise ConfigurationError("policies need a CEL engine, which is not installed")

    monkeypatch.setattr("ledger.policy.engine._library", missing)
    monkeypatch.setattr("ledger.policy.checks.compile_expression", lambda text: missing())
    found = finding(book.report(), "gate-before-authorise")
    assert found["state"] == UNKNOWN
    assert "it was not run again: policies need a CEL engine" in found["reason"]


def test_an_emergency_is_in_every_report_until_another_person_reviewed_it(any_book: Book):
    book = any_book
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    decided = emergency(book, 2)
    reader = book.reader()
    after = ReportContext(book.ledger, reader.runner.views, reader.as_of(), since=decided.recorded_at + 1)
    report = REPORTS["control-assessment"].generate(after)
    assert finding(report, "emergency-reviewed")["state"] == BAD, "also of a later period"
    (item,) = report["emergencies"]
    assert (item["index"], item["by"], item["review"]) == (decided.index, "p-deployer", None)
    done = review(book, decided, 3)
    assert book.findings()["emergency-reviewed"] == GOOD
    (item,) = book.report()["emergencies"]
    assert item["review"] == {"index": done.index, "by": "p-approver", "verdict": "justified"}
    assert book.report(known=done.index)["emergencies"][0]["review"] is None, "what was known then"


def test_an_emergency_found_unjustified_or_reviewed_late_stays_a_finding(book: Book):
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    review(book, emergency(book, 2), 3, "unjustified")
    assert "found unjustified" in finding(book.report(), "emergency-reviewed")["reason"]
    second = emergency(book, 4)
    book.clock.now += 60 * 86_400_000_000
    review(book, second, 5)
    assert "reviewed after" in finding(book.report(), "emergency-reviewed")["reason"]


def test_a_gate_that_refused_or_saw_other_bytes_is_a_finding(book: Book):
    """The judge refuses such an authorisation; the report does not rest on that."""
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    book.request(ONE, 2)
    book.approve(ONE, 3)
    gate(book, ONE, 4, checks=[{"check": "drift", "result": "waived", "reason": "x", "waiver": "waiver:w"}])
    found = book.findings()
    assert found["gate-before-authorise"] == EMPTY, "nothing was authorised"
    gate(book, ONE, 8, result="deny")
    with pytest.raises(PolicyError, match="refuses"):
        book.authorise(ONE, 5)
    gate(book, ONE, 4)
    gate(book, ONE, 4, result="deny", mode="warn")
    book.authorise(ONE, 5)
    assert book.findings(at=6)["gate-before-authorise"] == GOOD, "what only warns says nothing about it"
    assert book.findings(at=3)["gate-before-authorise"] == EMPTY


def test_who_approved_what_another_run_of_theirs_made_is_found(any_book: Book):
    any_book.cast.enrol("robot", "service", ("emitter",), "p-approver")
    any_book.version(ONE, 1)
    any_book.release(ONE, 2)
    assert any_book.findings()["four-eyes-before-authorise"] == GOOD
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    any_book.emit("robot", "run.completed", "run:hidden", {"outputs": made}, at=1)
    assert any_book.findings()["four-eyes-before-authorise"] == BAD


def test_waivers_are_listed_with_what_became_of_them(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.cast.enrol("p-second", "person", ["approver"])
    asked = {"check": "drift-*", "model": "model:scoring", "environment": "prod", "owner": "p-author", "reason": "new",
             "compensating_control": "by hand", "expires_at": when(24 * 390)}  # fmt: skip
    for name, more in (("stands", {}), ("once", {"single_use": True}), ("gone", {}), ("asked", {}), ("short", {}),
                       ("twice", {"max_uses": 2})):  # fmt: skip
        book.emit("p-author", "waiver.requested", f"waiver:{name}", asked | more, at=2)
        if name != "asked":
            until = {"expires_at": when(24 * 366)} if name == "short" else {}
            book.emit("p-second", "waiver.granted", f"waiver:{name}", {"rationale": "x", **until}, at=3)
    used = book.emit("p-deployer", "waiver.used", "waiver:once", {"deployment": PROD, "model": ONE}, at=4)
    book.emit("p-deployer", "waiver.used", "waiver:twice", {"deployment": PROD, "model": ONE}, at=4)
    before = {item["waiver"]: (item["state"], item["used_by"]) for item in book.report()["waivers"]}
    assert before["waiver:once"] == before["waiver:twice"] == ("standing", []), "nothing is authorised by it yet"
    book.request(ONE, 4)
    book.approve(ONE, 4)
    book.authorise(ONE, 4)
    book.emit("p-author", "waiver.revoked", "waiver:gone", {"reason": "x"}, at=5)
    listed = {item["waiver"]: item for item in book.report()["waivers"]}
    assert {name: item["state"] for name, item in listed.items()} == {
        "waiver:stands": "standing", "waiver:once": "used up", "waiver:gone": "revoked", "waiver:short": "standing",
        "waiver:twice": "standing",
    }  # fmt: skip
    assert (listed["waiver:once"]["max_uses"], listed["waiver:once"]["used_by"]) == (1, [used.index])
    assert (listed["waiver:twice"]["max_uses"], len(listed["waiver:twice"]["used_by"])) == (2, 1)
    assert listed["waiver:stands"] | {"index": 0} == {
        "waiver": "waiver:stands", "state": "standing", "check": "drift-*", "model": "model:scoring",
        "environment": "prod", "owner": "p-author", "reason": "new", "compensating_control": "by hand",
        "requested_by": "p-author", "granted_by": "p-second", "expires_at": format_time(parse_moment(when(24 * 390))),
        "max_uses": None, "used_by": [], "index": 0, "trouble": "",
    }  # fmt: skip
    later = {item["waiver"]: item["state"] for item in book.report(at=24 * 380)["waivers"]}
    assert (later["waiver:short"], later["waiver:stands"]) == ("expired", "standing")
    book.emit("p-deployer", "waiver.used", "waiver:twice", {"deployment": PROD, "model": ONE}, at=4)
    book.authorise(ONE, 4)
    book.compromise("p-second")
    now = {item["waiver"]: item["state"] for item in book.report()["waivers"]}
    assert now == {
        "waiver:stands": "suspect", "waiver:once": "used up", "waiver:gone": "revoked", "waiver:short": "suspect",
        "waiver:twice": "used up",
    }, "no gate lets a check be by it"  # fmt: skip
