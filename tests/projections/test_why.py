"""Why a version may be deployed or not: the answer is the judge's, and each condition names its entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from ledger.appending import Receipt
from ledger.creation import DEFAULT_RULES
from ledger.errors import InputError, LedgerError
from ledger.events.ledgers import Rule, RuleSet
from projections.asof import as_decided
from projections.why import why
from tests.contract.support import digest
from tests.projections.assessed import finding
from tests.projections.support import PROD, Book, when

ONE, TWO, DATA = "model:scoring@1", "model:scoring@2", "dataset:base@1"


def ask(book: Book, subject: str = ONE, *, at: str | None = None, known: int | None = None, **more: Any):
    reader = book.reader()
    views = reader.runner.views
    known_at = None if known is None else str(known)
    as_of, moment = as_decided(book.ledger, views, at=at, known_at=known_at, head=reader.size, now=book.clock.now)
    return why(book.ledger, views, as_of, moment, subject, **more)


def one(book: Book, environment: str = "prod", **more: Any) -> dict[str, Any]:
    (answer,) = ask(book, environment=environment, **more)["answers"]
    return answer


def condition(answer: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [found for found in answer["conditions"] if found["condition"] == name]
    return found


def broken(answer: dict[str, Any]) -> list[str]:
    return [found["condition"] for found in answer["conditions"] if not found["met"]]


@pytest.fixture
def story(book: Book) -> Book:
    book.cast.enrol("p-second", "person", ["approver", "validator"])
    return book


def test_what_it_says_is_what_authorising_does(story: Book):
    """After every step: would be refused exactly where it is refused, for the same reason."""
    steps = [
        lambda: story.dataset(DATA, 1), lambda: story.version(ONE, 1), lambda: story.request(ONE, 2),
        lambda: story.approve(ONE, 3),
        lambda: story.emit("p-second", "deployment.held", PROD, {"model": ONE, "digest": digest(ONE)}, at=3),
        lambda: story.authorise(ONE, 3, reason="a known peak"),
        lambda: story.emit("p-author", "quarantine.placed", DATA, {"reason": "poisoned"}, at=4),
        lambda: _release(story), lambda: _revoke(story), lambda: story.request(ONE, 6),
        lambda: story.approve(ONE, 7), lambda: story.compromise("p-approver"), lambda: story.request(ONE, 8),
        lambda: story.emit("p-author", "version.retired", ONE, {"reason": "old"}, at=9),
    ]  # fmt: skip
    seen = set()
    for step in steps:
        step()
        answer = one(story)
        refused = None
        try:
            story.emit("p-deployer", "deployment.authorised", PROD, {"model": ONE, "digest": digest(ONE)}, at=10)
        except LedgerError as error:
            refused = error.message
        failing = [found for found in answer["conditions"] if not found["met"]]
        assert (answer["allowed"], [found["reason"] for found in failing[:1]]) == (
            refused is None, [] if refused is None else [refused],
        )  # fmt: skip
        seen.add(failing[0]["condition"] if failing else "allowed")
    assert seen == {"registered", "stops", "hold", "approvals", "allowed"}


def _release(book: Book) -> None:
    (placed,) = [row for row in book.cast.recorder.rows(0, book.size) if "quarantine.placed" in row.entry.type]
    body = {"quarantine": placed.entry.id, "rationale": "cleaned"}
    book.emit("p-second", "quarantine.released", DATA, body, at=5)


def _revoke(book: Book) -> None:
    found = [row for row in book.cast.recorder.rows(0, book.size) if "approval.granted" in row.entry.type]
    book.emit("p-second", "approval.revoked", ONE, {"approval": found[-1].entry.id, "rationale": "bias"}, at=5)


def test_each_condition_names_its_entries(any_book: Book):
    book = any_book
    book.dataset(DATA, 1)
    book.version(ONE, 1)
    asked, granted = book.request(ONE, 2), book.approve(ONE, 3)
    answer = one(book)
    assert (answer["allowed"], answer["tier"], answer["rule"]["approvals"]) == (True, "high", 1)
    evaluated = condition(answer, "evaluation")["evidence"][0]
    assert (evaluated["type"], evaluated["says"], evaluated["actor"]) == (
        "evaluation.completed", "evaluation: pass", "trainer",
    )  # fmt: skip
    entries = condition(answer, "approvals")["evidence"]
    assert [(item["index"], item["actor"], item["holds"]) for item in entries] == [
        (asked.index, "p-author", True), (granted.index, "p-approver", True),
    ]  # fmt: skip
    approval = entries[1]
    assert approval["leaf_hash"] == granted.leaf_hash.hex()
    assert approval["words"] == "measured and fit"
    assert {evaluated["index"], asked.index} <= set(approval["cites"])
    assert (approval["occurred_at"], approval["suspect"]) == (when(3), False)
    for verdict, at in (("fail", 4), ("pass", 3.5)):
        last = book.emit("trainer", "evaluation.completed", ONE, {"metrics": {"auc": 0.9}, "verdict": verdict}, at=at)
    told = [(item["says"], item["trouble"]) for item in condition(one(book), "evaluation")["evidence"]]
    late = f"a late report: what entry {last.index - 1} says holds until it is measured anew"
    assert told == [("evaluation: fail", "it failed"), ("evaluation: pass", late)]


def test_an_approval_that_stands_no_more_is_shown_with_why(story: Book):
    story.version(ONE, 1)
    story.request(ONE, 2)
    granted = story.approve(ONE, 3)
    _revoke(story)
    found = condition(one(story), "approvals")
    assert not found["met"]
    assert f"muniment approve {ONE} --env prod" in found["next"], "its request is open: asking again changes nothing"
    assert [(item["says"], item["holds"]) for item in found["evidence"]] == [
        ("asked for approval", True), ("approved", False), ("took the approval back", False),
    ]  # fmt: skip
    assert "was revoked by entry" in found["evidence"][1]["trouble"]
    before = one(story, known=granted.index + 1)
    assert before["allowed"], "what was known then"


def test_at_a_time_means_by_what_was_recorded_by_then(story: Book):
    """Nobody's date makes a decision count before it was recorded."""
    story.version(ONE, 1)
    asked = story.request(ONE, 2)
    given = story.approve(ONE, -1000)
    from ledger.entry import format_time

    assert not one(story, at=format_time(asked.recorded_at))["allowed"]
    assert one(story, at=format_time(given.recorded_at))["allowed"]


def test_a_deployment_says_why_it_was_allowed_then_and_whether_it_might_be_again(story: Book):
    story.version(ONE, 1)
    story.release(ONE, 2)
    authorised = next(row for row in story.cast.recorder.rows(0, story.size) if "authorised" in row.entry.type)
    _revoke(story)
    found = ask(story, PROD)
    (live,) = found["live"]
    assert (live["model"], live["rests_on"], live["by"], live["marks"]) == (
        ONE, authorised.entry.index, "deployment.authorised", ["back-dated"],
    )  # fmt: skip
    then, now = found["answers"]
    assert (then["asked"], then["allowed"], then["decision"]["actor"]) == ("then", True, "p-deployer")
    assert (now["asked"], now["allowed"], broken(now)) == ("now", False, ["approvals"])


def test_what_nobody_authorised_says_so(story: Book):
    story.register(ONE, 1)
    story.emit("p-deployer", "deployment.completed", PROD, {"model": ONE, "digest": digest(ONE)}, at=2)
    found = ask(story, PROD)
    assert [(live["rests_on"], live["marks"]) for live in found["live"]] == [(None, ["unauthorised"])]
    assert [answer["asked"] for answer in found["answers"]] == ["now"]


def test_what_ended_an_authorisation_before_it_was_used_is_named(story: Book):
    """Each condition was met when it was given, and may be met now; the control assessment names the end, too."""
    for model in (ONE, TWO):
        story.version(model, 1)
        story.request(model, 2)
        story.approve(model, 2)
    what = {"model": ONE, "digest": digest(ONE)}
    urgent = {"emergency": {"reason": "fraud wave", "review_by": _later(story)}}
    unjustified = {"verdict": "unjustified", "rationale": "it was none"}

    def late(given: Receipt) -> Receipt:
        story.clock.now += 2 * 86_400_000_000
        return given

    ends: list[tuple[str, dict[str, Any], Callable[[Receipt], Receipt]]] = [
        (f"authorised {TWO} in its place", {}, lambda _: story.authorise(TWO, 3)),
        (f"put {ONE} on hold", {}, lambda _: story.emit(
            "p-second", "deployment.held", PROD, {**what, "reason": "burns"}, at=3)),
        ("the rollback of entry", {}, lambda _: story.roll_back(ONE, 3)),
        ("found it unjustified", urgent, lambda given: story.emit(
            "p-second", "emergency.reviewed", PROD, {"decision": given.id, **unjustified}, at=3)),
        (f"demoted {ONE} there", {}, lambda _: story.emit(
            "p-author", "version.demoted", ONE, {"environment": "prod", "reason": "worse"}, at=3)),
        ("nobody had reviewed the emergency by", urgent, late),
    ]  # fmt: skip
    told: list[tuple[int, str]] = []
    for wanted, more, end in ends:
        given = story.emit("p-deployer", "deployment.authorised", PROD, {**what, "reason": "x", **more}, at=3)
        by = end(given)
        went = story.deploy(ONE, 4)
        (live,) = ask(story, PROD)["live"]
        assert ("unauthorised" in live["marks"], "unauthorised" in went.marks) == (True, True)
        assert (live["ended"]["authorised"], live["ended"]["index"]) == (given.index, by.index)
        assert wanted in live["ended"]["words"]
        told.append((went.index, live["ended"]["words"]))
    reasons = {one["index"]: one["reason"] for one in finding(story.report(), "deployment-authorised")["items"]}
    assert [words in reasons[index] for index, words in told] == [True] * len(ends)


def test_emergencies_and_holds(story: Book):
    story.register(ONE, 1)
    body = {"model": ONE, "digest": digest(ONE), "emergency": {"reason": "fraud wave", "review_by": _later(story)}}
    story.emit("p-deployer", "deployment.authorised", PROD, body, at=2)
    found = ask(story, PROD)
    assert [one["actor"] for one in found["emergencies"]] == ["p-deployer"]
    (then,) = found["answers"]
    assert then["decision"]["emergency"]["reason"] == "fraud wave"
    assert [one["condition"] for one in then["conditions"]] == ["stops", "emergency"]
    held = {"model": ONE, "digest": digest(ONE), "reason": "burns"}
    story.emit("p-second", "deployment.held", PROD, held, at=3)
    (hold,) = ask(story, PROD)["holds"]
    assert (hold["model"], hold["status"], hold["answer"]) == (ONE, "open", None)
    story.emit("p-deployer", "deployment.authorised", PROD, body | {"reason": "a known peak"}, at=4)
    (hold,) = ask(story, PROD)["holds"]
    assert (hold["status"], hold["answer"]["reason"]) == ("lifted", "a known peak")
    assert condition(ask(story, PROD)["answers"][-1], "hold")["met"], "by the reason that it gave"


def test_a_hold_is_told_for_every_deployment_of_the_environment_and_a_return_where_it_is_open(story: Book):
    for model in (ONE, TWO):
        story.version(model, 1)
        story.release(model, 2)
    assert ask(story, TWO, environment="prod")["returns"] == ask(story, PROD)["returns"] == []
    for place in ("deployment:prod/a", "deployment:prod/b", "deployment:dev/a"):
        story.emit("p-second", "deployment.held", place, {"model": TWO, "digest": digest(TWO)}, at=4)
    answer = one(story, subject=TWO)
    holds = [found for found in answer["conditions"] if found["condition"] == "hold"]
    assert (answer["allowed"], [found["met"] for found in holds]) == (False, [False, False])
    assert [found["next"].split(" --model")[0] for found in holds] == [
        "To lift that: muniment authorise deployment:prod/a", "To lift that: muniment authorise deployment:prod/b",
    ]  # fmt: skip
    assert [item["type"] for found in holds for item in found["evidence"]] == ["deployment.held"] * 2
    story.emit("p-second", "rollback.authorised", PROD, {"model": ONE, "digest": digest(ONE)}, at=5)
    for asked in (ask(story, TWO, environment="prod"), ask(story, PROD)):
        (back,) = asked["returns"]
        assert (back["deployment"], back["model"], back["to"], back["status"]) == (PROD, TWO, ONE, "open")
        assert back["next"] == f"When it is done: muniment record rollback {PROD} --model {ONE}"
    for nothing in (ask(story, ONE, environment="prod"), ask(story, TWO, environment="dev")):
        assert nothing["returns"] == []
    story.roll_back(ONE, 6)
    assert ask(story, TWO, environment="prod")["returns"] == ask(story, PROD)["returns"] == []
    assert ask(story, PROD)["holds"] == [], "a return is no hold"


def _later(book: Book) -> str:
    from ledger.entry import format_time

    return format_time(book.clock.now + 86_400_000_000)


GATED = RuleSet(name="gated", rules=(
    Rule(environment="prod", tier="*", authorisation=True, approvals=0, evaluation=False, gate="policy:ready@1",
         gate_digest="sha256:" + hashlib.sha256(b"checks: []").hexdigest()),
    *DEFAULT_RULES.rules,
))  # fmt: skip
SOURCE = "checks: []"


def test_a_gate_and_what_was_waived_in_it(make_book: Any, sqlite_url: str):
    book: Book = make_book(sqlite_url, rules=GATED)
    book.cast.enrol("p-validator", "person", ["validator"])
    book.register(ONE, 1)
    assert broken(one(book)) == ["gate"]
    sha = "sha256:" + hashlib.sha256(SOURCE.encode()).hexdigest()
    body = {"digest": sha, "source": SOURCE, "format": "muniment.checks/v1"}
    book.emit("p-validator", "policy.defined", "policy:ready@1", body, at=2)
    waiver = {"check": "drift", "model": ONE, "environment": "prod", "owner": "p-author", "reason": "new data",
              "compensating_control": "manual review", "expires_at": _later(book)}  # fmt: skip
    asked = book.emit("p-author", "waiver.requested", "waiver:w1", waiver, at=3)
    granted = book.emit("p-approver", "waiver.granted", "waiver:w1", {"rationale": "for a day"}, at=4)
    checks = [{"check": "drift", "result": "waived", "reason": "psi 0.3", "waiver": "waiver:w1"},
              {"check": "tests", "result": "pass", "reason": "ok"}]  # fmt: skip
    gate = {"environment": "prod", "policy": "policy:ready@1", "policy_digest": sha, "digest": digest(ONE),
            "input_digest": digest("input"), "size": book.size, "result": "allow", "checks": checks, "deployment": PROD,
            "engine": "cel 1", "as_of": _now(book)}  # fmt: skip
    ran = book.emit("p-validator", "gate.evaluated", ONE, gate, at=5)
    found = condition(one(book), "gate")
    assert found["met"], found
    assert [item["index"] for item in found["evidence"]] == [ran.index, asked.index, granted.index]
    assert found["evidence"][0]["checks"][0]["waiver"] == "waiver:w1"
    assert found["evidence"][0]["says"] == f"policy:ready@1 was run for {PROD}", "it opens no other deployment"
    assert "not met; instead: manual review; p-author carries the risk; asked for by" in found["evidence"][1]["says"]
    book.emit("p-author", "waiver.revoked", "waiver:w1", {"reason": "over"}, at=6)
    found = condition(one(book), "gate")
    assert (found["met"], [item["holds"] for item in found["evidence"]]) == (False, [True, False, False])


def test_a_waiver_for_a_single_use_holds_until_it_is_used_and_for_the_decision_that_used_it(
    make_book: Any, quick_url: str
):
    book: Book = make_book(quick_url, rules=GATED)
    book.cast.enrol("p-validator", "person", ["validator"])
    book.register(ONE, 1)
    sha = "sha256:" + hashlib.sha256(SOURCE.encode()).hexdigest()
    body = {"digest": sha, "source": SOURCE, "format": "muniment.checks/v1"}
    book.emit("p-validator", "policy.defined", "policy:ready@1", body, at=2)
    for name, place in (("once", "prod"), ("dev", "dev")):
        waiver = {"check": "drift", "model": ONE, "environment": place, "owner": "p-author", "reason": "new data",
                  "compensating_control": "manual review", "expires_at": _later(book),
                  "single_use": True}  # fmt: skip
        book.emit("p-author", "waiver.requested", f"waiver:{name}", waiver, at=3)
        book.emit("p-approver", "waiver.granted", f"waiver:{name}", {"rationale": "for a day"}, at=4)

    def ran(waiver: str) -> None:
        checks = [{"check": "drift", "result": "waived", "reason": "psi 0.3", "waiver": waiver}]
        gate = {"environment": "prod", "policy": "policy:ready@1", "policy_digest": sha, "digest": digest(ONE),
                "input_digest": digest("input"), "size": book.size, "result": "allow", "checks": checks,
                "deployment": PROD, "engine": "cel 1", "as_of": _now(book)}  # fmt: skip
        book.emit("p-validator", "gate.evaluated", ONE, gate, at=5)

    ran("waiver:dev")
    assert "to be used with this decision" in condition(one(book), "gate")["reason"], "it cannot be used here"
    ran("waiver:once")
    found = condition(one(book), "gate")
    assert (found["met"], [item["holds"] for item in found["evidence"]]) == (True, [True, True, True])
    use = ("waiver.used", "waiver:once", {"deployment": PROD, "model": ONE})
    decided = ("deployment.authorised", PROD, {"model": ONE, "digest": digest(ONE)})
    book.cast["p-deployer"].emit_all([use, decided])
    (then,) = ask(book, PROD)["answers"]
    assert then["asked"] == "then"
    assert (then["allowed"], [item["holds"] for item in condition(then, "gate")["evidence"]]) == (True, [True] * 3)
    found = condition(one(book), "gate")
    assert (found["met"], [item["holds"] for item in found["evidence"]]) == (False, [True, False, False])
    assert "used it" in found["reason"]


def _now(book: Book) -> str:
    from ledger.entry import format_time

    return format_time(book.clock.now)


def test_environments_are_those_it_has_to_do_with(story: Book):
    story.version(ONE, 1)
    story.request(ONE, 2, "staging")
    assert [answer["environment"] for answer in ask(story)["answers"]] == ["dev", "staging"]


@pytest.mark.parametrize("wrong", ["model:scoring", "dataset:base@1", "deployment:prod/none", "x"])
def test_what_has_no_answer_is_refused(story: Book, wrong: str):
    story.version(ONE, 1)
    with pytest.raises(InputError):
        ask(story, wrong)
    with pytest.raises(InputError, match="environment goes with a version"):
        ask(story, PROD, environment="prod")
