"""What is registered, approved and live."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InputError
from projections.model_state import live_at
from tests.contract.support import digest
from tests.projections.support import DEV, PROD, Book, when

ONE, TWO, THREE = (f"model:scoring@{number}" for number in (1, 2, 3))


def test_a_version_goes_through_its_life_step_by_step(any_book: Book):
    book, found = any_book, []
    book.dataset("dataset:base@1", 0)
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    for step in (
        lambda: book.register(ONE, 2, run=run),
        lambda: book.evaluate(ONE, 3),
        lambda: book.request(ONE, 4),
        lambda: book.approve(ONE, 5),
        lambda: book.authorise(ONE, 6),
        lambda: book.deploy(ONE, 7),
    ):
        step()
        found.append(book.status(ONE))
    assert found == ["registered", "evaluated", "approval pending", "approved", "deploy authorised", "live"]


def test_a_version_that_was_rolled_back_stays_so_whatever_is_deployed_later(any_book: Book):
    book = any_book
    book.dataset("dataset:base@1", 0)
    for number, model in enumerate((ONE, TWO, THREE)):
        book.version(model, 1 + number)
    book.release(ONE, 10)
    book.release(TWO, 11)
    book.roll_back(ONE, 12)
    assert (book.status(ONE), book.status(TWO)) == ("live", "rolled back")
    book.release(THREE, 13)
    assert (book.status(TWO), book.status(THREE)) == ("rolled back", "live")
    book.release(TWO, 14)  # approved anew, it may come back
    assert (book.status(TWO), book.status(THREE)) == ("live", "approved")


def test_a_rollback_ends_what_was_authorised_before(book: Book):
    book.dataset("dataset:base@1", 0)
    for model in (ONE, TWO, THREE):
        book.version(model, 1)
    book.release(ONE, 2)
    book.release(TWO, 3)
    book.request(THREE, 4)
    book.approve(THREE, 4)
    book.authorise(THREE, 5)
    assert book.status(THREE) == "deploy authorised"
    book.roll_back(ONE, 6)
    assert (book.status(THREE), book.status(TWO)) == ("approved", "rolled back")


def test_decisions_hold_in_the_order_of_the_log_whatever_their_dates(book: Book):
    """Nobody decides last by dating a decision ahead of another."""
    book.register(ONE, 1)
    book.evaluate(ONE, 2)
    book.request(ONE, 3)
    book.approve(ONE, 9)
    book.request(ONE, 4)
    book.reject(ONE, 5)
    assert book.status(ONE) == "rejected"


def test_a_date_in_the_future_holds_no_place(any_book: Book):
    """Else what was said to be live in the year 2126 would be live until then."""
    book, century = any_book, 24 * 365 * 100
    book.register(ONE, 1)
    book.register(TWO, 1)
    book.deploy(TWO, century)
    assert book.state(PROD)["deployments"][0]["live"]["model"] == TWO
    book.clock.now += 2 * 24 * 3600 * 1_000_000
    book.deploy(ONE, 24 * 366)  # the store's clock runs a year behind the story's first hour
    (deployment,) = book.state(PROD)["deployments"]
    assert deployment["live"]["model"] == ONE
    assert deployment["history"][0]["occurred_at"] == deployment["history"][0]["recorded_at"]


def test_a_rejected_version_is_rejected_and_says_why(book: Book):
    book.register(ONE, 1)
    book.request(ONE, 2)
    rejection = book.reject(ONE, 3)
    state = book.state(ONE)
    version = state["models"][0]["versions"][0]
    assert version["status"] == "rejected"
    (approval,) = version["approvals"]
    assert (approval["status"], approval["rationale"]) == ("rejected", "unfit for some")
    assert approval["decided"]["index"] == rejection.index
    assert approval["decided"]["actor"] == "p-approver"
    assert approval["requested"]["actor"] == "p-author"


@pytest.mark.parametrize(
    ("here", "there"), [("deployment:prod/a", "deployment:prod/b"), ("deployment:prod/b", "deployment:prod/a")]
)
def test_a_version_live_in_one_place_is_live_whatever_happens_to_it_elsewhere(book: Book, here: str, there: str):
    """Whichever of the places comes first by name."""
    book.dataset("dataset:base@1", 0)
    for model in (ONE, TWO):
        book.version(model, 1)
        book.request(model, 2)
        book.approve(model, 3)
    book.deploy(TWO, 4, here)
    book.deploy(ONE, 4, there)
    book.deploy(TWO, 5, there)
    book.roll_back(ONE, 6, there)
    assert book.status(TWO) == "live"
    book.authorise(TWO, 7, there)
    (version,) = book.state(TWO)["models"][0]["versions"]
    assert (version["status"], version["live_in"]) == ("live", [here])
    book.deploy(ONE, 8, here)
    assert book.status(TWO) == "deploy authorised"


def test_what_is_live_follows_occurrence_and_not_the_order_of_recording(any_book: Book):
    book = any_book
    for number, model in enumerate((ONE, TWO, THREE)):
        book.register(model, number)
    for model, at in ((ONE, 10), (THREE, 30), (TWO, 20)):  # the second was reported last
        book.deploy(model, at)
    reader = book.reader()

    def live(hour: float) -> tuple[str | None, str | None]:
        return live_at(reader.runner.views, reader.as_of(at=hour), PROD)

    assert [live(hour) for hour in (9, 10, 19.9, 20, 30)] == [
        (None, None), (ONE, None), (ONE, None), (TWO, ONE), (THREE, TWO),
    ]  # fmt: skip
    assert live_at(reader.runner.views, reader.as_of(), PROD) == (THREE, TWO)
    assert live_at(reader.runner.views, reader.as_of(known=reader.size - 1), PROD) == (THREE, ONE)
    (deployment,) = book.state(PROD)["deployments"]
    assert (deployment["live"]["model"], deployment["previous"]["model"]) == (THREE, TWO)


def test_of_two_at_the_same_moment_the_log_decides(book: Book):
    for model in (TWO, ONE):
        book.register(model, 1)
    book.deploy(TWO, 5)
    book.deploy(ONE, 5)
    reader = book.reader()
    assert live_at(reader.runner.views, reader.as_of(at=5), PROD) == (ONE, TWO)


def test_the_same_version_deployed_again_is_no_change(book: Book):
    for model in (ONE, TWO):
        book.register(model, 1)
    for model, at in ((ONE, 2), (TWO, 3), (TWO, 4)):
        book.deploy(model, at)
    reader = book.reader()
    assert live_at(reader.runner.views, reader.as_of(), PROD) == (TWO, ONE)


def test_a_failed_deployment_changes_nothing_but_the_history(book: Book):
    book.register(ONE, 1)
    book.deploy(ONE, 2)
    book.register(TWO, 3)
    body = {"model": TWO, "digest": digest(TWO), "reason": "no space"}
    book.emit("p-deployer", "deployment.failed", PROD, body, at=4)
    (deployment,) = book.state(PROD)["deployments"]
    assert deployment["live"]["model"] == ONE
    assert [item["type"] for item in deployment["history"]] == ["deployment.completed", "deployment.failed"]


def test_a_late_report_is_known_only_from_its_own_entry_on(any_book: Book):
    book = any_book
    book.register(ONE, 1)
    book.register(TWO, 2)
    book.deploy(ONE, 3)
    before = book.size
    late = book.deploy(TWO, 2.5)  # it occurred before, and is recorded after
    assert late.index == before
    (now,) = book.state(PROD, at=2.6)["deployments"]
    assert now["live"]["model"] == TWO
    then = book.state(PROD, at=2.6, known=before)
    assert then["deployments"] == []
    assert book.state(PROD, known=before)["deployments"][0]["live"]["model"] == ONE
    assert book.state(PROD)["deployments"][0]["live"]["model"] == ONE


def test_state_of_one_thing(book: Book):
    for model in (ONE, "model:other@1"):
        book.register(model, 1)
    book.deploy(ONE, 2)
    book.deploy("model:other@1", 2, DEV)

    def names(subject: str | None) -> tuple[list[str], list[str]]:
        state = book.state(subject)
        versions = [version["version"] for model in state["models"] for version in model["versions"]]
        return versions, [item["deployment"] for item in state["deployments"]]

    assert names(None) == (["model:other@1", ONE], [DEV, PROD])
    assert names(ONE) == names("model:scoring") == ([ONE], [PROD])
    assert names(DEV) == ([], [DEV])
    assert names("model:nobody") == ([], [])
    with pytest.raises(InputError):
        book.state("not a name")


def test_state_shows_metrics_digest_owner_and_marks(book: Book):
    book.register(ONE, 1)
    book.evaluate(ONE, 2, verdict="fail", auc=0.5)
    book.deploy(ONE, 3)
    state = book.state()
    (version,), (deployment,) = state["models"][0]["versions"], state["deployments"]
    assert (version["digest"], version["owner"], version["tier"]) == (digest(ONE), "p-author", "high")
    assert [(item["metrics"], item["verdict"]) for item in version["evaluations"]] == [({"auc": 0.5}, "fail")]
    assert version["registered"]["occurred_at"] == when(1)
    assert deployment["live"]["marks"] == ["unauthorised"]
    assert (deployment["environment"], deployment["service"]) == ("prod", "scoring")


def test_a_version_registered_twice_keeps_its_first_registration(book: Book):
    first = book.register(ONE, 1)
    book.evaluate(ONE, 2)
    book.register(ONE, 3)  # a job that was retried
    (version,) = book.state(ONE)["models"][0]["versions"]
    assert version["registered"]["index"] == first.index
    assert version["status"] == "evaluated"


def test_an_alias_names_one_version_at_a_time_and_what_it_named_before_can_be_asked(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.version(TWO, 2)
    book.emit("trainer", "version.aliased", ONE, {"alias": "champion"}, at=3)
    book.emit("trainer", "version.aliased", TWO, {"alias": "challenger"}, at=3)
    before = book.size
    book.emit("trainer", "version.aliased", TWO, {"alias": "champion", "previous": ONE}, at=4)
    book.emit("trainer", "version.unaliased", ONE, {"alias": "challenger"}, at=5)

    def aliases(**when: Any) -> list[list[str]]:
        return [one["aliases"] for one in book.state(**when)["models"][0]["versions"]]

    assert aliases() == [[], ["challenger", "champion"]], "it is another version that lost an alias it had not"
    assert aliases(known=before) == [["champion"], ["challenger"]]
    book.emit("trainer", "version.unaliased", TWO, {"alias": "champion"}, at=6)
    assert aliases() == [[], ["challenger"]]
