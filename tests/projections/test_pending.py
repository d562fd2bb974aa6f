"""What waits for whom, why, and the command that moves it on; and what ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger import commands
from ledger.application import Ledger
from ledger.entry import format_time
from ledger.governing import escalate_request, meet_condition, request_changes, withdraw_request
from projections.due import due
from projections.inbox import inbox
from projections.pending import Asked
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book
from tests.projections.test_standing import TWO_PERSONS

ONE, TWO = "model:scoring@1", "model:scoring@2"
DAY = 86_400 * 10**6


def asked(book: Book) -> Asked:
    reader = book.reader()
    return Asked(book.ledger, reader.runner.views, reader.size, book.clock.now)


def waits(book: Book, actor: str | None = None) -> list[tuple[str, bool | None, str]]:
    """What, whether for this actor, and the command without what is to be filled in."""
    return [(one["what"], one["may"], one["next"].partition(" --rationale")[0]) for one in inbox(asked(book), actor)]


def ends(book: Book, days: int = 30) -> list[tuple[str, str, str]]:
    return [(one["what"], one["state"], one["words"]) for one in due(asked(book), days * DAY)]


def approve(book: Book, actor: str = "p-approver", **options: Any) -> str:
    return commands.approve(book.cast[actor], ONE, "prod", rationale="x", **options).id


APPROVE = f"muniment approve {ONE} --env prod"
AGAIN = f"muniment request {ONE} --env prod --reason …"


def test_a_condition_is_met_by_the_command_it_names(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    assert waits(book, "p-approver") == [("approval", True, APPROVE)]
    assert waits(book, "p-author") == [("approval", False, APPROVE)]
    given = approve(book, conditions=["a monitor is on"], expires_at=format_time(book.clock.now + 2 * DAY))
    command = f"muniment condition {ONE} 0 --approval {given} --note …"
    assert waits(book, "p-approver") == [("approval", True, command)]
    assert waits(book)[0] == ("approval", None, command)
    assert waits(book, "p-author") == [("approval", False, command)], "not by who asked"
    (item,) = inbox(asked(book), "p-approver")
    assert item["because"] == "you have the role approver in prod; condition 0: a monitor is on"
    assert ends(book) == [("condition", "due", "for prod, by p-approver; its condition 0 is not met: a monitor is on")]
    meet_condition(book.cast["p-approver"], ONE, 0)
    assert waits(book) == []
    assert ends(book) == [("approval", "due", "for prod, by p-approver")]


def test_where_the_run_made_other_things_the_inbox_says_which_entry_says_so(any_book: Book):
    book = any_book
    run = book.train("model:other@1", 1, inputs=())
    at = book.cast.recorder.head().size - 1
    book.register(ONE, 2, run=run)
    book.evaluate(ONE, 3)
    book.request(ONE, 4)
    (item,) = inbox(asked(book), "p-approver")
    assert item["may"] is False
    assert item["because"].startswith(f"entry {at} says that {run} made other things than {ONE}. If it made this too")
    (item,) = inbox(asked(book), "p-deployer")
    assert item["because"].startswith("for somebody with the role approver")


def test_what_is_approved_for_later_waits_for_nobody_and_is_due(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book, valid_from=format_time(book.clock.now + DAY), expires_at=format_time(book.clock.now + 3 * DAY))
    assert waits(book) == []
    begins, end = ends(book)
    assert begins == ("approval begins", "due", "for prod, by p-approver; it stands from then on")
    assert end[:2] == ("approval", "due")
    book.clock.now += DAY
    assert ends(book) == [("approval", "due", "for prod, by p-approver")]
    book.request(ONE, 3)
    assert waits(book) == [], "it stands now"


def test_of_two_approvals_one_for_later_leaves_the_other_to_be_given(sqlite_url: str, make_book: Callable[..., Book]):
    book = make_book(sqlite_url, rules=TWO_PERSONS)
    book.cast.enrol("p-second", "person", ["approver"])
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book, valid_from=format_time(book.clock.now + DAY))
    assert waits(book, "p-second") == [("approval", True, APPROVE)]
    approve(book, "p-second")
    assert waits(book) == []


def test_what_was_sent_back_waits_for_who_asked_until_another_request(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    request = book.request(ONE, 2)
    request_changes(book.cast["p-approver"], ONE, changes=["measure it on women, too"])
    command = f"muniment request {ONE} --env prod --amends {request.id} --reason …"
    assert waits(book, "p-author") == [("changes", True, command)]
    assert waits(book, "p-approver") == [("changes", False, command)]
    (item,) = inbox(asked(book), "p-author")
    assert (item["changes"], item["by"], item["because"]) == (
        ["measure it on women, too"],
        "p-approver",
        "sent back to you",
    )
    book.version(TWO, 3)
    commands.request_approval(book.cast["p-author"], TWO, "prod", amends=request.id)
    assert waits(book, "p-author") == [("approval", False, APPROVE.replace(ONE, TWO))]
    request_changes(book.cast["p-approver"], TWO, changes=["x"])
    withdraw_request(book.cast["p-author"], TWO)
    assert waits(book) == []


def test_what_was_passed_on_waits_for_who_is_named_and_no_more_for_who_passed_it(any_book: Book):
    book = any_book
    for actor, role in (("p-second", "approver"), ("p-expert", "validator"), ("p-risk", "auditor")):
        book.cast.enrol(actor, "person", [role])
    book.version(ONE, 1)
    book.request(ONE, 2)
    escalate_request(book.cast["p-approver"], ONE, rationale="x", to_role="validator")
    assert waits(book, "p-approver") == [("approval", False, APPROVE)]
    assert waits(book, "p-second") == [("approval", True, APPROVE)], "who may decide may still"
    (item,) = inbox(asked(book), "p-expert")
    assert (item["may"], item["escalated_to"]) == (True, "the role validator")
    assert item["because"].startswith("passed to you by p-approver; for somebody with the role approver")
    assert waits(book, "p-risk") == [("approval", False, APPROVE)]
    escalate_request(book.cast["p-second"], ONE, rationale="x", to_actor="p-risk")
    assert [one["may"] for one in inbox(asked(book), "p-risk")] == [True]
    assert [one["may"] for one in inbox(asked(book), "p-expert")] == [False]
    approve(book)
    assert waits(book) == []


def test_what_ended_is_asked_for_again(book: Book):
    book.cast.enrol("p-second", "person", ["approver"])
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book, expires_at=format_time(book.clock.now + DAY))
    assert waits(book) == []
    book.clock.now += 2 * DAY
    assert waits(book) == [("approval", None, AGAIN)]
    assert waits(book, "p-author") == [("approval", True, AGAIN)], "who approved it cannot approve it again"
    assert waits(book, "p-approver") == [("approval", False, AGAIN)]
    assert waits(book, "p-second") == [("approval", True, APPROVE)], "another approver may still"
    book.request(ONE, 3)
    assert waits(book, "p-approver") == [("approval", True, APPROVE)], "the newest request"
    approve(book)
    assert waits(book) == []


def test_what_ended_and_was_followed_by_another_version_waits_only_while_it_is_live(book: Book):
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book, expires_at=format_time(book.clock.now + DAY))
    book.authorise(ONE, 3)
    book.deploy(ONE, 3)
    book.clock.now += 2 * DAY
    book.version(TWO, 4)
    book.request(TWO, 5)
    book.approve(TWO, 5)
    assert waits(book) == [("approval", None, AGAIN)], "it is live"
    book.authorise(TWO, 6)
    book.deploy(TWO, 6)
    assert waits(book) == []


def test_of_two_approvals_each_person_gives_one(sqlite_url: str, make_book: Callable[..., Book]):
    book = make_book(sqlite_url, rules=TWO_PERSONS)
    book.cast.enrol("p-second", "person", ["approver"])
    book.version(ONE, 1)
    book.request(ONE, 2)
    approve(book)
    assert waits(book, "p-approver") == [("approval", False, APPROVE)]
    assert waits(book, "p-second") == [("approval", True, APPROVE)]
    assert inbox(asked(book), "p-approver")[0]["because"] == "for somebody else: you approved it"


def test_a_version_that_nobody_measured_is_measured_first(book: Book):
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    book.register(ONE, 1, run=run)
    book.request(ONE, 2)
    (item,) = inbox(asked(book), "p-approver")
    assert (item["may"], item["stopped"]) == (False, item["because"])
    assert "muniment record evaluation" in item["next"]
    book.evaluate(ONE, 3)
    assert waits(book, "p-approver") == [("approval", True, APPROVE)]


def test_a_request_to_deploy_waits_for_a_deployer(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    wanted = {"model": ONE, "digest": digest(ONE)}
    asked_for = book.emit("p-author", "deployment.requested", PROD, wanted, at=2)
    (item,) = inbox(asked(book), "p-deployer")
    assert (item["what"], item["model"], item["may"]) == ("deployment", ONE, False)
    assert "needs 1 approval" in item["because"]
    assert item["next"].endswith(AGAIN.partition(" --reason")[0])
    book.request(ONE, 3)
    approve(book)
    command = f"muniment authorise {PROD} --model {ONE}"
    assert waits(book, "p-deployer") == [("deployment", True, command)]
    assert waits(book, "p-approver") == [("deployment", False, command)]
    book.emit("p-deployer", "deployment.denied", PROD, {"request": asked_for.id, "rationale": "x"}, at=4)
    assert waits(book) == []
    book.emit("p-author", "deployment.requested", PROD, wanted, at=5)
    book.authorise(ONE, 6)
    assert waits(book) == []


def test_work_waits_for_whom_it_was_given_to(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    day = format_time(book.clock.now + 3 * DAY)
    book.emit("p-author", "validation.assigned", ONE, {"validator": "p-approver", "due_at": day}, at=2)
    opened = {"title": "drift", "severity": "high", "deployment": PROD}
    book.emit("p-author", "incident.opened", INCIDENT, opened, at=3)
    item = book.emit("p-author", "incident.action_item_created", INCIDENT, {"title": "fix", "due": day[:10]}, at=4)
    book.emit("p-author", "incident.action_item_assigned", INCIDENT, {"item": item.id, "owner": "trainer"}, at=5)
    assert [(one["what"], one["because"]) for one in inbox(asked(book), "p-author") if one["may"]] == [
        ("incident", "nobody leads it, and nobody is on call for it"), ("action", "to be done by you"),
    ], "a service's work is its person's"  # fmt: skip
    assert [what for what, mine, _ in waits(book, "p-approver") if mine] == ["validation", "incident"]
    assert sorted(ends(book)) == [
        ("incident.action_item_created", "due", "fix, by trainer"), ("validation.assigned", "due", "by p-approver"),
    ]  # fmt: skip
    assert "incident" in [one["what"] for one in inbox(asked(book)) if one["age_seconds"] >= 0]
    book.emit("p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "other team"}, at=6)
    book.emit("trainer", "incident.action_item_completed", INCIDENT, {"item": item.id}, at=7)
    assert [what for what, _, _ in waits(book)] == ["incident"]
    assert ends(book) == []
    book.emit("p-author", "incident.action_item_verified", INCIDENT, {"item": item.id, "outcome": "ineffective"}, at=8)
    assert [what for what, _, _ in waits(book)] == ["incident", "action"], "what was done does not help"


def test_an_incident_waits_for_who_leads_it_or_is_on_call(book: Book):
    book.version(ONE, 1)
    book.deploy(ONE, 2)
    book.open_incident(3)
    until = format_time(book.clock.now + DAY)
    called = {"on_call": "p-deployer", "until": until}
    book.emit("p-author", "model.on_call_assigned", "model:scoring", called, at=4)

    def for_whom() -> list[str]:
        return [actor for actor in ("p-author", "p-approver", "p-deployer") if waits(book, actor)[0][1]]

    assert for_whom() == ["p-deployer"]
    book.emit("p-author", "incident.role_assigned", INCIDENT, {"role": "Commander", "assignee": "p-author"}, at=5)
    assert for_whom() == ["p-author"]
    commands_ = []
    for kind, data in (
        ("incident.mitigated", {}), ("incident.root_cause_recorded", {"category": "data", "statement": "x"}),
        ("incident.closed", {"summary": "x"}), ("incident.reopened", {"reason": "again"}),
    ):  # fmt: skip
        commands_.append([command.split()[2] for _, _, command in waits(book)])
        book.emit("p-author", kind, INCIDENT, data, at=6)
    assert commands_ == [["mitigate"], ["cause"], ["close"], []]
    assert len(waits(book)) == 1, "reopened"


@pytest.mark.parametrize(("model", "left"), [(ONE, 1), (TWO, 2)])
def test_the_validity_of_one_version_is_not_that_of_another(book: Book, model: str, left: int):
    book.version(ONE, 1)
    book.version(TWO, 2)
    end = format_time(book.clock.now + 5 * DAY)
    done = {"verdict": "pass", "independence": "another team"}
    book.emit("p-approver", "validation.completed", ONE, {**done, "valid_until": end}, at=3)
    book.emit("p-approver", "validation.completed", model, {**done, "valid_until": end}, at=4)
    assert len(ends(book)) == left
    book.request(ONE, 5)
    approve(book)
    named = [words for what, _, words in ends(book) if what == "approval"]
    assert len(named) == 1
    assert named[0].startswith("for prod, by p-approver, with entry ")


def test_a_validation_that_was_withdrawn_is_to_be_done_again_and_ends_no_more(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.emit("p-author", "validation.assigned", ONE, {"validator": "p-approver"}, at=2)
    body = {"verdict": "pass", "independence": "y", "valid_until": format_time(book.clock.now + DAY)}
    validation = book.emit("p-approver", "validation.completed", ONE, body, at=3)
    assert (waits(book), len(ends(book))) == ([], 1)
    book.emit("p-approver", "validation.withdrawn", ONE, {"validation": validation.id, "reason": "x"}, at=4)
    assert [what for what, mine, _ in waits(book, "p-approver") if mine] == ["validation"]
    assert ends(book) == []


def test_a_finding_that_is_settled_is_due_no_more(book: Book):
    book.version(ONE, 1)
    found = {"id": "f1", "severity": "low", "statement": "x"}
    body = {"verdict": "pass", "independence": "y", "findings": [found]}
    validation = book.emit("p-approver", "validation.completed", ONE, body, at=2)
    settled = {"validation": validation.id, "finding": "f1", "disposition": "deferred", "reason": "later"}
    book.emit("p-author", "finding.disposed", ONE, {**settled, "due_at": format_time(book.clock.now + DAY)}, at=3)
    assert ends(book) == [("finding.disposed", "due", "f1")]
    book.emit("p-author", "finding.disposed", ONE, {**settled, "disposition": "fixed"}, at=4)
    assert ends(book) == []


def test_requests_to_erase_wait_for_who_may(any_book: Book):
    book = any_book
    book.cast.enrol("p-eraser", "person", ["eraser"])
    jo, kim = "person:p-7f3a", "person:p-9b21"
    end = format_time(book.clock.now + 3 * DAY)
    asks = {"basis": "GDPR Art. 17(1)(b)", "due_at": end, "scope": "call notes"}
    about_jo = book.emit("p-author", "erasure.requested", jo, asks, at=1)
    about_kim = book.emit("p-author", "erasure.requested", kim, {"due_at": end}, at=1)
    erase = "muniment subject erase {} --basis … --reason …"
    assert waits(book, "p-eraser") == [("erasure", True, erase.format(jo)), ("erasure", True, erase.format(kim))]
    assert [may for _, may, _ in waits(book, "p-approver")] == [False, False]
    (item, _) = inbox(asked(book), "p-eraser")
    assert (item["scope"], item["basis"], item["due_at"]) == ("call notes", asks["basis"], end)
    assert [(one["what"], one["subject"]) for one in due(asked(book), 5 * DAY)] == [
        ("erasure.requested", jo), ("erasure.requested", kim),
    ]  # fmt: skip
    body = {"request": about_kim.id, "outcome": "refused", "reason": "M-12"}
    book.emit("p-eraser", "erasure.resolved", kim, body, at=2)
    assert [subject for _, _, subject in waits(book)] == [erase.format(jo)]
    done = {"subject": kim, "basis": "x", "reason": "x"}
    book.emit("p-eraser", "subject.erased", f"ledger:{book.ledger.ledgerid}", done, at=3)
    assert len(waits(book)) == 1, "that was somebody else"
    book.emit("p-eraser", "subject.erased", f"ledger:{book.ledger.ledgerid}", done | {"subject": jo}, at=3)
    assert waits(book) == []
    assert due(asked(book), 5 * DAY) == []
    book.emit("p-author", "erasure.requested", jo, asks, at=4)
    assert len(waits(book)) == 1, "asked again"
    assert about_jo.index < about_kim.index


def test_deployments_of_others_are_not_read_for_what_waits(any_book: Book, monkeypatch: pytest.MonkeyPatch):
    for number in (1, 2):
        any_book.version(f"model:other{number}@1", 1)
        any_book.release(f"model:other{number}@1", 2, f"deployment:prod/other{number}")
    any_book.version(ONE, 3)
    any_book.release(ONE, 4)
    any_book.version(TWO, 5)
    any_book.request(TWO, 6)
    reader = any_book.reader()
    with Ledger.open(any_book.url) as fresh:
        read: list[str] = []
        rows = fresh.recorder.stream_rows

        def noting(stream: str, *more: Any) -> Any:
            read.append(stream)
            return rows(stream, *more)

        monkeypatch.setattr(fresh.recorder, "stream_rows", noting)
        (item,) = inbox(Asked(fresh, reader.runner.views, reader.size, any_book.clock.now))
    assert (item["subject"], [one["model"] for one in item["live"]]) == (TWO, [ONE])
    assert {stream for stream in read if stream.startswith("deployment:")} == {PROD}
