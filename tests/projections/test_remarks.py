"""What is remarked of what is live: other bytes than are registered, retirement, emergencies; and since when it is."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.application import Receipt
from ledger.entry import format_time
from projections.model_state import live_at
from tests.contract.support import digest
from tests.projections.support import PROD, Book, when

ONE, TWO = "model:scoring@1", "model:scoring@2"
DAY = 86_400_000_000


def live(book: Book, model: str = ONE) -> list[str]:
    """Remarks about what is live; everybody who is asked says the same."""
    found = book.reader().told([PROD, model])
    (state,) = found[f"state {PROD}"]["deployments"]
    (placed,) = [one for entry in found["inventory"] for one in entry["live"] if one["deployment"] == PROD]
    (why,) = found[f"why {PROD}"]["live"]
    (impact,) = [one for one in found[f"impact {model}"]["live"] if one["deployment"] == PROD]
    marks = [list(one["marks"]) for one in (state["live"], placed, why, impact)]
    assert marks[1:] == marks[:1] * 3
    began = (state["live"]["since"], state["live"]["began"])
    assert [(one["since"], one["index"]) for one in (placed, why, impact)] == [began] * 3
    return marks[0]


def urgent(book: Book, at: float) -> Receipt:
    review_by = format_time(book.clock.now + DAY)
    body = {"model": ONE, "digest": digest(ONE), "emergency": {"reason": "fraud wave", "review_by": review_by}}
    return book.emit("p-deployer", "deployment.authorised", PROD, body, at=at)


def review(book: Book, decision: Receipt, verdict: str, at: float) -> Receipt:
    body = {"decision": decision.id, "verdict": verdict, "rationale": "looked at"}
    return book.emit("p-approver", "emergency.reviewed", PROD, body, at=at)


def test_other_bytes_than_the_registered_ones(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    book.deploy(ONE, 4, digest=digest("other bytes"))
    assert live(book) == ["unauthorised", "other-digest"]
    why = book.reader().told([PROD])[f"why {PROD}"]
    (now,) = why["answers"]
    assert (now["asked"], now["allowed"]) == ("now", False)
    assert digest(ONE) in now["conditions"][0]["reason"]
    book.deploy(ONE, 5)
    assert live(book) == ["unauthorised"]
    assert book.reader().told([PROD])[f"why {PROD}"]["answers"][0]["allowed"], "these bytes may be"


def test_an_evaluation_that_fails_behind_the_authorisation(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    book.authorise(ONE, 4)
    measured = {"metrics": {"auc": 0.4}, "verdict": "fail", "suite": "auc", "digest": digest(ONE)}
    failed = book.emit("trainer", "evaluation.completed", ONE, measured, at=5)
    assert "unauthorised" not in book.deploy(ONE, 6).marks
    assert "evaluation-failed" in live(book)
    book.emit("p-approver", "evaluation.invalidated", ONE, {"evaluation": failed.id, "reason": "wrong data"}, at=7)
    assert "evaluation-failed" not in live(book)
    book.emit("trainer", "evaluation.completed", ONE, measured | {"suite": "other"}, at=8)
    assert "evaluation-failed" in live(book), "also of what is live already"
    book.emit("trainer", "evaluation.completed", ONE, measured | {"suite": "other", "verdict": "pass"}, at=9)
    assert "evaluation-failed" not in live(book)
    body = {"digest": digest(ONE), "owner": "p-author", "tier": "high"}
    book.emit("trainer", "version.registered", TWO, body, at=10)
    failed = book.emit("trainer", "evaluation.completed", TWO, measured | {"suite": "third"}, at=11)
    assert "evaluation-failed" in live(book), "also of the same bytes under another name"
    (now,) = [one for one in book.reader().told([PROD])[f"why {PROD}"]["answers"] if one["asked"] == "now"]
    (says,) = [item for told in now["conditions"] for item in told["evidence"] if item["index"] == failed.index]
    assert says["says"] == "third: fail, of the same bytes as version 2"


def test_an_authorisation_afterwards_does_not_undo_an_unauthorised_beginning(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    assert "unauthorised" in book.deploy(ONE, 2).marks
    assert live(book) == ["unauthorised"]
    book.request(ONE, 3)
    book.approve(ONE, 4)
    book.authorise(ONE, 5)
    assert "unauthorised" not in book.deploy(ONE, 6).marks
    assert "unauthorised-at-first" in live(book)
    book.version(TWO, 7)
    book.release(TWO, 8)
    assert "unauthorised-at-first" not in live(book, TWO)
    book.authorise(ONE, 10)
    book.deploy(ONE, 11)
    assert "unauthorised-at-first" not in live(book), "it went live anew, and was covered"


def test_a_report_with_an_earlier_date_than_what_is_live(any_book: Book):
    book = any_book
    for model in (ONE, TWO):
        book.version(model, 1)
        book.release(model, 5)
    book.authorise(ONE, 7)
    assert "back-dated-report" not in live(book, TWO)
    assert "back-dated" in book.deploy(ONE, 5.5).marks
    assert "back-dated-report" in live(book, TWO), "late, or what really runs: nobody knows"
    book.deploy(TWO, 8)
    assert "back-dated-report" not in live(book, TWO), "it was said again"


def test_what_went_live_after_its_canary_was_given_up(any_book: Book):
    book, which = any_book, {"model": ONE, "digest": digest(ONE)}
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    book.authorise(ONE, 4)
    book.emit("p-deployer", "canary.stage_entered", PROD, which | {"stage": 1, "traffic": 0.1}, at=5)
    book.emit("p-deployer", "canary.aborted", PROD, which | {"reason": "too slow"}, at=6)
    book.emit("p-deployer", "deployment.promoted", PROD, which, at=7)
    assert "canary-aborted" in live(book)
    book.emit("p-deployer", "canary.stage_entered", PROD, which | {"stage": 1, "traffic": 0.1}, at=8)
    book.emit("p-deployer", "deployment.promoted", PROD, which, at=9)
    assert "canary-aborted" not in live(book), "it was tried again"


def test_other_settings_than_were_authorised(any_book: Book):
    book, meant = any_book, digest("settings")
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    body = {"model": ONE, "digest": digest(ONE)}
    book.emit("p-deployer", "deployment.authorised", PROD, {**body, "config_digest": meant}, at=4)
    book.deploy(ONE, 5)
    assert "other-settings" not in live(book), "it does not say with which"
    book.deploy(ONE, 6, config_digest=digest("others"))
    assert "other-settings" in live(book)
    book.deploy(ONE, 7, config_digest=meant)
    assert "other-settings" not in live(book)
    book.emit("p-deployer", "deployment.authorised", PROD, {**body, "config_digest": digest("next")}, at=8)
    assert "other-settings" not in live(book), "the next settings are not there yet"
    book.deploy(ONE, 9, config_digest=meant)
    assert "other-settings" in live(book)
    book.authorise(ONE, 10)
    book.deploy(ONE, 11, config_digest=meant)
    assert "other-settings" not in live(book), "it was authorised whatever the settings"


def test_a_version_that_was_retired_while_it_is_live(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.release(ONE, 2)
    assert "retired" not in live(book)
    retired = book.emit("p-author", "version.retired", ONE, {"reason": "old"}, at=5)
    assert live(book)[-1:] == ["retired"]
    before = book.reader().told([PROD], known=retired.index)[f"state {PROD}"]["deployments"][0]["live"]
    assert "retired" not in before["marks"]
    book.deploy(ONE, 6)
    assert live(book).count("retired") == 1, "the entry is marked so, too"


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_an_emergency_until_and_after_its_review(any_book: Book, verdict: str):
    book = any_book
    book.version(ONE, 1)
    decision = urgent(book, 2)
    book.deploy(ONE, 3)
    assert live(book) == ["back-dated", "emergency-unreviewed"]
    told = book.reader().told([PROD])
    (one,) = told[f"state {PROD}"]["deployments"][0]["emergencies"]
    assert (one["index"], one["reason"], one["status"], one["review"]) == (decision.index, "fraud wave", "open", None)
    assert [one["status"] for one in told[f"why {PROD}"]["emergencies"]] == ["open"]
    book.clock.now += 2 * DAY
    late = book.deploy(ONE, 4)
    assert late.marks == ("unauthorised",) + (("back-dated",) if "back-dated" in late.marks else ())
    assert live(book)[-1] == "emergency-overdue"
    (model,) = book.reader().told([])["inventory"]
    assert [one["status"] for one in model["emergencies"]] == ["overdue"]
    reviewed = review(book, decision, verdict, 5)
    told = book.reader().told([PROD])
    (one,) = told[f"state {PROD}"]["deployments"][0]["emergencies"]
    assert (one["status"], one["review"]["index"], one["review"]["actor"]) == (verdict, reviewed.index, "p-approver")
    (model,) = told["inventory"]
    assert model["emergencies"] == []
    bad = verdict == "unjustified"
    assert ("emergency-unjustified" in live(book)) == bad
    assert [one["status"] for one in told[f"why {PROD}"]["emergencies"]] == (["unjustified"] if bad else [])
    again = book.deploy(ONE, 6)
    assert ("unauthorised" in again.marks) == bad, "found justified, it covers again"


def test_what_was_authorised_in_due_form_since_is_no_emergency_any_more(book: Book):
    book.version(ONE, 1)
    decision = urgent(book, 2)
    book.deploy(ONE, 3)
    review(book, decision, "unjustified", 4)
    book.request(ONE, 5)
    book.approve(ONE, 6)
    book.authorise(ONE, 7)
    assert not any("emergency" in mark for mark in live(book))


def test_since_and_before_count_from_the_first_time_that_the_same_was_said(any_book: Book):
    book = any_book
    for at, model in ((1, ONE), (11, TWO)):
        book.version(model, at)
        book.release(model, at + 2)
    first = live_entry(book)
    book.deploy(TWO, 20)
    live(book, TWO)
    (state,) = book.state(PROD)["deployments"]
    assert (state["live"]["began"], state["live"]["since"]) == (first["index"], when(13.75))
    assert state["previous"]["model"] == ONE
    reader = book.reader()
    assert live_at(reader.runner.views, reader.as_of(), PROD) == (TWO, ONE)
    book.roll_back(ONE, 30)
    (state,) = book.state(PROD)["deployments"]
    assert (state["live"]["since"], state["previous"]["model"]) == (when(30), TWO)


def live_entry(book: Book) -> dict[str, Any]:
    (state,) = book.state(PROD)["deployments"]
    return dict(state["live"])
