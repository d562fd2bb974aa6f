"""The state of versions and deployments that were put in quarantine, retired, withdrawn, revoked or held."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.support import digest
from tests.projections.support import PROD, Book

ONE, TWO = "model:scoring@1", "model:scoring@2"


@pytest.fixture
def told(book: Book) -> Book:
    book.cast.enrol("p-second", "person", ["approver", "validator"])
    book.version(ONE, 1)
    return book


def version(book: Book, model: str = ONE, **as_of: Any) -> dict[str, Any]:
    (found,) = book.state(model, **as_of)["models"]
    return next(one for one in found["versions"] if one["version"] == model)


def test_a_revoked_approval_suspends(told: Book):
    told.request(ONE, 5)
    granted = told.approve(ONE, 6)
    assert version(told)["status"] == "approved"
    told.emit("p-second", "approval.revoked", ONE, {"approval": granted.id, "rationale": "bias"}, at=7)
    found = version(told)
    assert found["status"] == "suspended"
    assert [(a["status"], a["rationale"], a["approval"]) for a in found["approvals"]] == [
        ("revoked", "bias", granted.id)
    ]
    assert version(told, known=granted.index + 1)["status"] == "approved", "what was known then"
    told.request(ONE, 8)
    assert version(told)["status"] == "approval pending"


@pytest.mark.parametrize("granted", [1, 2])
def test_a_request_that_was_rejected_stays_so_when_its_approval_is_taken_back(told: Book, granted: int):
    asked = told.request(ONE, 5)
    approval = told.approve(ONE, 6)
    body = {"environment": "prod", "digest": digest(ONE), "request": asked.id, "rationale": "unfit"}
    if granted > 1:
        told.emit("p-second", "approval.granted", ONE, {**body, "evidence": told.cast.cites()}, at=6)
    told.emit("p-second", "approval.rejected", ONE, body, at=7)
    told.emit("p-second", "approval.revoked", ONE, {"approval": approval.id, "rationale": "bias"}, at=8)
    found = version(told)
    assert (found["status"], found["approvals"][0]["status"]) == ("rejected", "rejected")
    assert found["approvals"][0]["grants"][0]["revoked"] is not None


def test_a_withdrawn_request_leaves_what_was_before(told: Book):
    asked = told.request(ONE, 5)
    told.emit("p-author", "approval.withdrawn", ONE, {"request": asked.id, "reason": "x"}, at=6)
    found = version(told)
    assert (found["status"], found["approvals"][0]["status"]) == ("evaluated", "withdrawn")


def test_an_evaluation_of_other_bytes_says_nothing_about_a_version(book: Book):
    book.register(ONE, 1)
    other = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": digest(TWO)}
    book.emit("trainer", "evaluation.completed", ONE, other, at=2)
    assert version(book)["status"] == "registered"
    asked = book.request(ONE, 3)
    book.emit("p-author", "approval.withdrawn", ONE, {"request": asked.id, "reason": "x"}, at=4)
    assert version(book)["status"] == "registered"
    book.evaluate(ONE, 5)
    assert [(version(book)["status"], one["digest"]) for one in version(book)["evaluations"]] == [
        ("evaluated", digest(TWO)), ("evaluated", digest(ONE)),
    ]  # fmt: skip


def test_a_request_that_was_passed_on_and_sent_back_says_so(told: Book):
    asked = told.request(ONE, 5)
    body = {"environment": "prod", "digest": digest(ONE), "request": asked.id}
    passed = told.emit("p-second", "approval.escalated", ONE, {**body, "rationale": "x", "to_role": "validator"}, at=6)
    (approval,) = version(told)["approvals"]
    assert (approval["status"], approval["decided"]) == ("pending", None)
    assert (approval["escalated"]["index"], approval["escalated"]["to"]["role"]) == (passed.index, "validator")
    back = told.emit("p-approver", "approval.changes_requested", ONE, {**body, "changes": ["a", "b"]}, at=7)
    found = version(told)
    assert found["status"] == "changes requested"
    assert [(one["status"], one["changes"]) for one in found["approvals"]] == [("changes requested", ["a", "b"])]
    assert version(told, known=back.index)["status"] == "approval pending", "what was known then"
    told.emit(
        "p-author", "approval.requested", ONE, {"environment": "prod", "digest": digest(ONE), "amends": asked.id}, at=8
    )
    assert version(told)["status"] == "approval pending"


def test_a_version_that_was_demoted_says_from_where_and_why(told: Book):
    body = {"environment": "prod", "to": "staging", "reason": "drifts", "previous": TWO}
    left = told.emit("p-author", "version.demoted", ONE, body, at=7)
    assert [{name: one[name] for name in (*body, "index")} for one in version(told)["demoted"]] == [
        {**body, "index": left.index}
    ]
    assert version(told, known=left.index)["demoted"] == [], "what was known then"


def test_a_version_that_was_promoted_says_where_and_what_was_there(told: Book):
    body = {"environment": "prod", "from_environment": "staging", "alias": "champion", "previous": TWO, "reason": "x"}
    there = told.emit("p-author", "version.promoted", ONE, body, at=7)
    assert [{name: one[name] for name in (*body, "index")} for one in version(told)["promoted"]] == [
        {**body, "index": there.index}
    ]
    assert version(told)["status"] == "evaluated", "it gives no leave to deploy"


def test_a_model_that_is_decommissioned_has_no_version_in_use(told: Book):
    told.emit("p-author", "version.retired", ONE, {"reason": "old"}, at=7)
    told.version(TWO, 7)
    body = {"reason": "the product ends", "data_disposition": "deleted", "keep_until": "2036-01-01T00:00:00Z"}
    ended = told.emit("p-author", "model.decommissioned", ONE.partition("@")[0], body, at=8)
    told.version("model:scoring@3", 9)
    assert (version(told, TWO)["status"], version(told, TWO, known=ended.index)["status"]) == ("retired", "evaluated")
    found = version(told, TWO)["retired"]
    assert {name: found[name] for name in (*body, "index")} == {**body, "index": ended.index}
    assert version(told)["retired"]["reason"] == "old", "the one that said so first"
    assert version(told, "model:scoring@3")["status"] == "evaluated", "made after it"
    told.version("model:scoring-two@1", 1)
    assert version(told, "model:scoring-two@1")["retired"] is None


@pytest.mark.parametrize("subject", [ONE, ONE.partition("@")[0]])
def test_quarantine_shows_until_it_is_released(told: Book, subject: str):
    body = {"reason": "poisoned", "scope": "all of it", "serving_blocked": True}
    placed = told.emit("p-author", "quarantine.placed", subject, body, at=5)
    found = version(told)
    assert (found["status"], [one["reason"] for one in found["quarantines"]]) == ("quarantined", ["poisoned"])
    assert [(one["scope"], one["serving_blocked"]) for one in found["quarantines"]] == [("all of it", True)]
    told.emit("p-second", "quarantine.released", subject, {"quarantine": placed.id, "rationale": "cleaned"}, at=6)
    assert (version(told)["status"], version(told)["quarantines"]) == ("evaluated", [])


def test_a_quarantine_may_come_before_the_version(told: Book):
    placed = told.emit("p-author", "quarantine.placed", TWO, {"reason": "poisoned"}, at=1)
    told.version(TWO, 2)
    assert version(told, TWO)["status"] == "quarantined"
    told.emit("p-second", "quarantine.released", TWO, {"quarantine": placed.id, "rationale": "x"}, at=6)
    assert version(told, TWO)["status"] == "evaluated"


def test_what_is_live_stays_live_and_says_what_stands_beside(told: Book):
    told.release(ONE, 5)
    told.emit("p-author", "version.retired", ONE, {"reason": "old"}, at=9)
    found = version(told)
    assert found["status"] == "live"
    assert found["retired"] is not None
    told.version(TWO, 3)
    told.emit("p-author", "version.retired", TWO, {"reason": "never used"}, at=9)
    assert version(told, TWO)["status"] == "retired"


def test_a_canary_and_a_hold(told: Book):
    told.release(ONE, 5)
    told.version(TWO, 6)
    told.request(TWO, 10)
    told.approve(TWO, 11)
    told.authorise(TWO, 12)
    canary = {"model": TWO, "digest": digest(TWO), "stage": 1, "traffic": 0.05}
    told.emit("p-deployer", "canary.stage_entered", PROD, canary, at=13)
    assert version(told, TWO)["status"] == "canary"
    assert version(told)["status"] == "live"
    held = {"model": TWO, "digest": digest(TWO), "reason": "burn rate"}
    told.emit("p-deployer", "deployment.held", PROD, held, at=14)
    (deployment,) = told.state(PROD)["deployments"]
    assert (deployment["canary"]["model"], deployment["authorised"], deployment["live"]["model"]) == (TWO, None, ONE)
    assert version(told, TWO)["status"] == "canary", "a hold is a decision, and nothing is done by it"
    aborted = {"model": TWO, "digest": digest(TWO), "reason": "told to"}
    told.emit("p-deployer", "canary.aborted", PROD, aborted, at=15)
    assert told.state(PROD)["deployments"][0]["canary"] is None
    assert version(told, TWO)["status"] == "approved"


def test_an_invalidated_evaluation_says_so(told: Book):
    measured = version(told)["evaluations"][0]
    assert measured["invalidated"] is None
    told.emit("trainer", "evaluation.invalidated", ONE, {"evaluation": measured["id"], "reason": "leak"}, at=6)
    assert version(told)["evaluations"][0]["invalidated"] is not None


def test_the_tier_shown_is_the_one_in_force(told: Book):
    assert version(told)["tier"] == "high"
    told.emit("p-second", "risk.classified", ONE.partition("@")[0], {"tier": "low", "rationale": "toy"}, at=6)
    assert version(told)["tier"] == "low"
    told.version(TWO, 7)
    assert version(told, TWO)["tier"] == "high", "registered since"
