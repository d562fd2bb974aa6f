"""What happened to a thing, and the list of all models."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.lifecycle import version_of
from ledger.entry import format_time
from ledger.errors import InputError
from projections.findings import open_points
from projections.history import history
from projections.inventory import inventory
from projections.known import Known
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, tell, when

ONE, TWO = "model:scoring@1", "model:scoring@2"


def ask(book: Book, subject: str, **as_of: Any) -> list[dict[str, Any]]:
    reader = book.reader()
    return history(book.ledger, reader.runner.views, reader.as_of(**as_of), subject)


def models(book: Book, *, moment: int | None = None, **as_of: Any) -> dict[str, dict[str, Any]]:
    reader = book.reader()
    at = reader.as_of(**as_of)
    found = inventory(book.ledger, reader.runner.views, at, at.recorded_at if moment is None else moment)
    return {model["model"]: model for model in found}


def test_a_versions_life_in_order_of_occurrence(any_book: Book):
    tell(any_book)
    rows = ask(any_book, TWO)
    assert [(row["type"], row["why_here"]) for row in rows] == [
        ("version.registered", "its own"), ("evaluation.completed", "its own"), ("approval.requested", "its own"),
        ("approval.granted", "its own"), ("deployment.authorised", "deployed"), ("deployment.completed", "deployed"),
        ("incident.opened", "incident"), ("rollback.completed", "in its place"),
    ]  # fmt: skip
    after = [(row["type"], row["what"]) for row in ask(any_book, ONE) if row["why_here"] == "in its place"]
    assert after == [("deployment.completed", TWO), ("deployment.completed", "model:scoring@3")], "twice"
    assert not [row for row in ask(any_book, ONE, at=12.25) if row["why_here"] == "in its place"]
    assert rows[3]["what"] == "measured and fit (for prod)"
    assert all(row["recorded_at"] > row["occurred_at"] for row in rows), "both clocks"
    assert [row["type"] for row in ask(any_book, TWO, at=12.25)] == ["version.registered"]
    assert ask(any_book, TWO, known=rows[2]["index"] + 1) == rows[:3]
    drift = {"metric": "psi", "value": 0.3, "model": TWO, "deployment": PROD}
    signal = any_book.emit("trainer", "monitor.signal", "monitor:m", drift, at=40).index
    for subject, there in ((TWO, True), ("model:scoring", True), (PROD, True), (ONE, False)):
        found = [(row["index"], row["why_here"]) for row in ask(any_book, subject) if row["type"] == "monitor.signal"]
        assert found[-1:] == ([(signal, "monitor")] if there else []), subject
    assert [ask(any_book, TWO, at=39), ask(any_book, TWO, known=signal)] == [rows, rows]


def test_what_is_told_late_stands_where_it_occurred(book: Book):
    book.register(ONE, 5)
    book.evaluate(ONE, 7)
    late = book.emit("p-author", "model.registered", "model:scoring", {"owner": "p-author"}, at=1)
    book.emit("p-author", "quarantine.placed", "model:scoring", {"reason": "x"}, at=6)
    assert [(row["index"] == late.index, row["why_here"]) for row in ask(book, ONE)] == [
        (True, "of all versions"), (False, "its own"), (False, "of all versions"), (False, "its own"),
    ]  # fmt: skip


def test_who_used_a_data_set(book: Book):
    tell(book)
    assert {(row["type"], row["why_here"]) for row in ask(book, "dataset:base@2")} == {
        ("dataset.registered", "its own"), ("dataset.registered", "used"),
    }  # fmt: skip
    assert ("run.started", "used") in {(row["type"], row["why_here"]) for row in ask(book, "dataset:features@2")}


def test_waivers_incidents_and_void_entries(book: Book):
    tell(book)
    waiver = {"check": "drift", "model": "model:scoring", "environment": "prod", "owner": "p-author", "reason": "x",
              "compensating_control": "y", "expires_at": format_time(book.clock.now + 10**12)}  # fmt: skip
    asked = book.emit("p-author", "waiver.requested", "waiver:w", waiver, at=30)
    body = {"environment": "prod", "digest": digest(ONE), "request": "0" * 8 + "-0000-7000-8000-" + "0" * 12}
    void = book.force("p-author", "approval.granted", ONE, {**body, "rationale": "by myself"}, at=31)
    rows = {row["index"]: row for row in ask(book, ONE)}
    assert rows[asked.index]["why_here"] == "waived"
    assert (rows[void]["verdict"], rows[void]["suspect"]) == ("void", False)
    assert rows[void]["what"]
    assert asked.index in {row["index"] for row in ask(book, "model:scoring")}
    assert [row["type"] for row in ask(book, PROD) if row["why_here"] == "incident"] == ["incident.opened"]
    assert ask(book, INCIDENT)[0]["type"] == "incident.opened"
    assert [row["type"] for row in ask(book, "actor:trainer")] == ["actor.enrolled"]


def test_what_is_suspect_says_so_from_when_it_was_known(book: Book):
    book.version(ONE, 1)
    size = book.size
    book.compromise("trainer")
    assert {row["suspect"] for row in ask(book, ONE)} == {True}
    assert {row["suspect"] for row in ask(book, ONE, known=size)} == {False}


def test_nothing_happened_to_what_nobody_named(book: Book):
    for name in ("model:none", "dataset:none@1", "waiver:none"):
        with pytest.raises(InputError, match="nothing was known"):
            ask(book, name)


def test_the_inventory(any_book: Book):
    book = any_book
    tell(book)
    book.emit("p-author", "model.registered", "model:scoring", {"owner": "p-deployer", "title": "Scores"}, at=0)
    book.emit("p-author", "thirdparty.registered", "model:vendor/llm", {"vendor": "V", "product": "L"}, at=0)
    found = models(book)
    assert list(found) == ["model:scoring", "model:vendor/llm"]
    scoring = found["model:scoring"]
    assert (scoring["owner"], scoring["title"], scoring["tier"]) == ("p-deployer", "Scores", "high")
    assert [(one["deployment"], one["version"], one["marks"]) for one in scoring["live"]] == [
        (PROD, "model:scoring@3", ["unauthorised"])
    ]
    assert (scoring["latest"], scoring["status"]) == ("model:scoring@4", "rejected")
    assert [(one["version"], one["environment"], one["by"]) for one in scoring["approvals"]] == [
        (ONE, "prod", "p-approver"), (TWO, "prod", "p-approver"),
    ]  # fmt: skip
    assert scoring["last_evaluation"]["version"] == "model:scoring@4"
    before = scoring["last_evaluation"]
    others = {"metrics": {"auc": 0.1}, "verdict": "fail", "digest": digest("other bytes")}
    book.emit("trainer", "evaluation.completed", "model:scoring@4", others, at=90)
    assert models(book)["model:scoring"]["last_evaluation"] == before, "it says nothing about the version"
    book.emit("trainer", "evaluation.completed", TWO, {"metrics": {"auc": 0.1}, "verdict": "pass"}, at=0.5)
    assert models(book)["model:scoring"]["last_evaluation"] == before, "a late report"
    passed = {"metrics": {"auc": 0.9}, "verdict": "pass"}
    newest = book.emit("trainer", "evaluation.completed", before["version"], passed, at=91)
    for suite, stands in (("other", (newest.index, "pass")), (None, (newest.index + 2, "fail"))):
        failed = {**passed, "verdict": "fail", "suite": suite}
        book.emit("trainer", "evaluation.completed", before["version"], failed, at=0.5)
        last = models(book)["model:scoring"]["last_evaluation"]
        assert (last["index"], last["verdict"]) == stands, "a late report hides no failure of its suite"
    vendor = found["model:vendor/llm"]
    assert (vendor["third_party"], vendor["versions"], vendor["tier"]) == (True, [], None)


def test_approvals_that_ended_are_not_in_it(book: Book):
    book.version(ONE, 1)
    asked = book.request(ONE, 2)
    end = book.clock.now + 3600 * 10**6
    body = {"environment": "prod", "digest": digest(ONE), "request": asked.id, "rationale": "x",
            "expires_at": format_time(end), "evidence": book.cast.cites()}  # fmt: skip
    given = book.emit("p-approver", "approval.granted", ONE, body, at=3)
    (one,) = models(book)["model:scoring"]["approvals"]
    assert (one["expires_at"], one["index"]) == (format_time(end), given.index)
    assert models(book, moment=end)["model:scoring"]["approvals"] == []
    assert models(book, moment=given.recorded_at - 1)["model:scoring"]["approvals"] == [], "not recorded by then"


def still_open(book: Book) -> dict[str, list[dict[str, Any]]]:
    reader = book.reader()
    known = Known(book.ledger, reader.runner.views, reader.size)
    return open_points(known, version_of(known.world, ONE))


def test_what_is_open(book: Book):
    book.cast.enrol("p-validator", "person", ["validator"])
    book.register(ONE, 1)
    later = format_time(book.clock.now + 86_400 * 10**6)
    waiver = {"check": "drift", "model": ONE, "environment": "prod", "owner": "p-author", "reason": "x",
              "compensating_control": "y", "expires_at": later}  # fmt: skip
    book.emit("p-author", "waiver.requested", "waiver:w", waiver, at=2)
    assert [one["state"] for one in models(book)["model:scoring"]["waivers"]] == ["asked for"]
    book.emit("p-approver", "waiver.granted", "waiver:w", {"rationale": "x"}, at=3)
    urgent = {"model": ONE, "digest": digest(ONE), "emergency": {"reason": "wave", "review_by": later}}
    decision = book.emit("p-deployer", "deployment.authorised", PROD, urgent, at=4)
    findings = [
        {"id": "f1", "severity": "high", "statement": "leak"},
        {"id": "f2", "severity": "low", "statement": "x"},
    ]
    body = {"verdict": "fail", "independence": "another team", "findings": findings}
    validation = book.emit("p-validator", "validation.completed", "model:scoring", body, at=5)
    settled = {"validation": validation.id, "finding": "f2", "disposition": "accepted", "reason": "small"}
    book.emit("p-author", "finding.disposed", "model:scoring", settled | {"finding": "f1"}, at=6)  # who owns it
    book.emit("p-validator", "finding.disposed", "model:scoring", settled, at=6)
    model = models(book)["model:scoring"]
    assert [(one["waiver"], one["state"]) for one in model["waivers"]] == [("waiver:w", "stands")]
    assert [(one["deployment"], one["by"]) for one in model["emergencies"]] == [(PROD, "p-deployer")]
    assert [(one["finding"], one["severity"]) for one in model["findings"]] == [("f1", "high")]
    left = still_open(book)
    assert [(one["finding"], one["statement"]) for one in left["findings"]] == [("f1", "leak")]
    assert [(one["verdict"], one["index"]) for one in left["validations"]] == [("fail", validation.index)]
    book.emit(
        "p-validator", "validation.withdrawn", "model:scoring", {"validation": validation.id, "reason": "x"}, at=7
    )
    assert still_open(book) == {"findings": [], "validations": []}
    review = {"decision": decision.id, "verdict": "justified", "rationale": "losses stopped"}
    book.emit("p-approver", "emergency.reviewed", PROD, review, at=7)
    book.emit("p-author", "waiver.revoked", "waiver:w", {"reason": "over"}, at=8)
    model = models(book)["model:scoring"]
    assert (model["waivers"], model["emergencies"]) == ([], [])
    assert models(book, at=0) == {}, when(0)
