"""What is decided by rule when a promise is not kept, once, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.emission import microseconds
from ledger.errors import ConflictError
from projections.service import read_service
from projections.settling import told_by
from projections.slo.burning import Assessment
from projections.slo.fallback import known_good, why_no_return
from projections.slo.watching import look
from tests.contract.support import digest
from tests.projections.slo_support import FAST, MONITOR, ONE, SLOW, THREE, TWO, Watched
from tests.projections.support import PROD, Book, when

BREACHED, ROLLBACK, HELD = "slo.breached", "rollback.authorised", "deployment.held"
FOUR = "model:scoring@4"
ABORT = f"When it is done: muniment record canary {PROD} --model {THREE} --aborted …"


def story(book: Book) -> Watched:
    """Version 1 is live from hour 3.75 on, version 2 from 9.75."""
    book.cast.enrol("p-second", "person", ["approver", "validator"])
    book.version(ONE, 1)
    book.release(ONE, 3)
    book.version(TWO, 6)
    book.release(TWO, 9)
    return Watched(book)


@pytest.fixture
def watched(book: Book) -> Watched:
    return story(book)


def seen(watched: Watched, at: float) -> list[Assessment]:
    watch = watched.watcher(at)
    service = watch.read(PROD)
    return look(watched.ledger, watched.runner.views, watch.known(), service, now=microseconds(when(at)))


def test_a_fast_burn_is_one_breach_and_one_decision_that_names_its_windows(any_book: Book):
    watched = story(any_book)
    defined = watched.promise(FAST, SLOW)
    watched.windows(10, 11, bad=5)
    assert watched.watch(11) == []
    bad = [watched.window(11 + step / 12, bad=200) for step in range(12)]
    assert watched.watch(12) == [BREACHED, ROLLBACK]
    assert watched.watch(12) == [], "the same breach leads to one decision"
    watched.window(12, bad=300)
    assert watched.watch(12.1) == [], "also when it goes on"
    decision = watched.decision()
    data = decision.row["data"]
    assert decision.key == (ONE, digest(ONE)), "back to the last good one"
    cited = {item["index"] for item in data["evidence"]}
    assert {defined.index, *(receipt.index for receipt in bad[-11:])} <= cited
    for item in data["evidence"]:
        assert watched.ledger.world.leaf_hash(item["index"]).hex() == item["leaf_hash"]
    breach = watched.service().breaches[0]
    assert (data["trigger"], breach["data"]["model"]) == (breach["id"], TWO)
    assert data["automatic"] is True, "no person decided it"
    assert data["due_at"] == when(12.25)
    assert breach["data"]["rule"]["burn_rate"] == 14.4
    assert not decision.overdue(microseconds(when(12.2)))
    assert decision.overdue(microseconds(when(12.3)))
    watched.book.roll_back(ONE, 12.4)
    decision = watched.decision()
    assert (decision.status, decision.answer["type"]) == ("followed", "rollback.completed")
    assert not decision.overdue(microseconds(when(50)))


def test_it_must_burn_still(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 10.5, bad=500)
    watched.windows(10.5, 10.75, bad=0)
    assert watched.watch(10.75) == []
    (found,) = seen(watched, 10.75)
    assert [burn.state for burn in found.burns] == ["burns"]
    assert watched.watch(10.4) == [BREACHED, ROLLBACK], "at 10.4 it did"


def test_what_burns_slowly_holds(watched: Watched):
    watched.promise(FAST, SLOW)
    watched.windows(10, 12, bad=80)
    assert watched.watch(12) == [BREACHED, HELD]
    assert watched.decision().key == (TWO, digest(TWO)), "what is held is what burns"
    watched.windows(12, 12.5, bad=400)
    assert watched.watch(12.5) == [ROLLBACK], "the same breach, and a graver decision"
    assert watched.watch(12.5) == []


def test_recovered_and_breached_again_is_another_decision(watched: Watched):
    watched.promise(SLOW)
    watched.windows(10, 11, bad=100)
    assert watched.watch(11) == [BREACHED, HELD]
    watched.windows(11, 12, bad=0)
    assert watched.watch(12) == ["slo.recovered"]
    assert watched.decision().status == "recovered"
    assert watched.watch(12) == []
    watched.windows(12, 14, bad=300)
    assert watched.watch(14) == [BREACHED, HELD]


def test_what_happened_before_a_version_served_says_nothing_of_it(watched: Watched):
    watched.promise(FAST)
    watched.windows(8.5, 9.7, bad=900)
    assert watched.watch(9.8) == []
    assert [found.problem for found in seen(watched, 9.8)] == ["no window about this version since it serves"]


def test_after_a_rollback_the_good_version_is_not_blamed(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    assert watched.watch(11) == [BREACHED, ROLLBACK]
    watched.book.deploy(ONE, 11.01)  # as a platform may tell that it followed
    assert watched.decision().status == "followed"
    assert watched.watch(11.02) == []
    watched.windows(11.1, 11.6, bad=900)
    assert watched.watch(11.6) == [BREACHED, HELD], "there is no other good one: version 2 breached it, too"
    assert "no good version" in watched.decision().row["data"]["reason"]


@pytest.mark.parametrize("stop", ["quarantine", "data", "retire", "revoke", "hold"])
def test_no_return_to_what_must_not_serve(watched: Watched, stop: str):
    book = watched.book
    book.version(THREE, 10)
    book.release(THREE, 11)
    watched.promise(FAST)
    granted = book.state(TWO)["models"][0]["versions"][0]["approvals"][0]["approval"]
    bad: dict[str, Callable[[], Any]] = {
        "quarantine": lambda: book.emit("p-second", "quarantine.placed", TWO, {"reason": "bias"}, at=12),
        "data": lambda: book.emit("p-second", "quarantine.placed", "dataset:base@1", {"reason": "x"}, at=12),
        "retire": lambda: book.emit("p-author", "version.retired", TWO, {"reason": "old"}, at=12),
        "revoke": lambda: book.emit(
            "p-second", "approval.revoked", TWO, {"approval": granted, "rationale": "bias"}, at=12
        ),
        "hold": lambda: book.emit("p-author", HELD, PROD, {"model": TWO, "digest": digest(TWO)}, at=12),
    }
    bad[stop]()
    watched.windows(12, 13, bad=900)
    assert watched.watch(13) == [BREACHED, HELD if stop == "data" else ROLLBACK]
    assert watched.decision().key[0] == (THREE if stop == "data" else ONE), "all were trained on that data"


def test_the_version_that_the_promise_names_goes_before(watched: Watched):
    watched.book.version(THREE, 10)
    watched.book.release(THREE, 11)
    watched.promise(FAST, fallback=ONE)
    watched.windows(12, 13, bad=900)
    watched.watch(13)
    assert watched.decision().key == (ONE, digest(ONE)), "and not the last one, version 2"
    assert watched.service().decisions[-1].action == "rollback"


def test_a_fallback_that_was_never_a_good_version_is_passed_over(watched: Watched):
    watched.book.version(THREE, 10)
    watched.promise(FAST, fallback=THREE)
    watched.windows(10, 11, bad=900)
    watched.watch(11)
    assert watched.decision().key == (ONE, digest(ONE)), "version 3 was never live there"
    world, two = watched.ledger.world.at(watched.ledger.world.refresh()), (TWO, digest(TWO))
    unknown, now = "model:scoring@99", microseconds(when(11))
    assert known_good(world, watched.service(), two, unknown, now=now) == (ONE, digest(ONE))
    assert why_no_return(world, watched.service(), unknown, now=now) == f"{unknown} is not registered in this ledger"


@pytest.mark.parametrize(
    ("late", "decided"),
    [
        ([{"bad": 900, "model": TWO}], ONE),
        ([
            {"bad": 900, "model": TWO, "at": 10.4},  # it was over before it was left
            {"bad": 100, "model": TWO},  # not by the rule that fires
            {"bad": 900, "model": ONE},  # about another one
            {"bad": 900, "at": 11.66, "canary": FOUR},  # a canary came last then
        ], TWO),
        ([{"bad": 900, "model": TWO, "at": 8}], TWO),  # before it served
        ([{"bad": 900}, {"bad": 900, "model": ONE, "at": 9}], None),  # the one that names none is about what came last
    ],
)  # fmt: skip
def test_no_return_to_what_burnt_by_windows_that_came_late(
    watched: Watched, late: list[dict[str, Any]], decided: str | None
):
    watched.promise(FAST, SLOW, at=9.8)
    watched.book.version(THREE, 10)
    for one in late:
        if model := one.get("canary"):
            watched.canary(model, 11.65)
            body = {"model": model, "digest": digest(model), "reason": "slow"}
            watched.book.emit("p-deployer", "canary.aborted", PROD, body, at=11.745)
    watched.book.release(THREE, 11)
    for one in late:
        more = {name: value for name, value in one.items() if name in ("bad", "model")}
        watched.window(one.get("at", 11.5), **more)
    assert watched.watch(11.9) == []
    watched.windows(11.9, 12.4, bad=900)
    assert watched.watch(12.4) == [BREACHED, HELD if decided is None else ROLLBACK]
    if decided is None:
        assert "no good version" in watched.decision().row["data"]["reason"]
    else:
        assert watched.decision().key == (decided, digest(decided))


def test_a_canary_is_told_from_what_is_live(watched: Watched):
    watched.book.version(THREE, 10)
    watched.canary(THREE, 11)
    watched.promise(FAST)
    for step in range(12):
        watched.window(11 + step / 12, bad=300, count=1000, model=THREE)
        watched.window(11 + step / 12, bad=1, count=1000, model=TWO)
    assert watched.watch(12) == [BREACHED, ROLLBACK]
    decision = watched.decision()
    assert decision.key == (TWO, digest(TWO)), "what is live is good"
    watched.canary(THREE, 12.01, stage=2, traffic=0.2)
    assert watched.decision().against != [], "it got more instead"
    body = {"model": THREE, "digest": digest(THREE), "reason": "told to"}
    aborted = watched.book.emit("p-deployer", "canary.aborted", PROD, body, at=12.1)
    decision = watched.decision()
    assert (decision.status, decision.answer["index"]) == ("followed", aborted.index)


def test_windows_that_name_no_version_are_about_the_newest(watched: Watched):
    watched.book.version(THREE, 10)
    watched.canary(THREE, 11)
    watched.promise(SLOW)
    watched.windows(11, 12, bad=300)
    assert watched.watch(12) == [BREACHED, HELD]
    assert watched.decision().key == (THREE, digest(THREE))
    assert told_by(watched.service(), watched.decision()) == ABORT
    assert watched.service().breaches[0]["data"]["model"] == THREE


def test_what_was_about_a_canary_is_not_about_what_stays_when_it_is_gone(watched: Watched):
    """Else the next look would hold what is live, and was good, for what the canary did."""
    held(watched)
    watched.book.emit(
        "p-deployer", "canary.aborted", PROD, {"model": THREE, "digest": digest(THREE), "reason": "x"}, at=12.1
    )
    assert watched.watch(12.2) == []
    watched.windows(12.2, 13.2, bad=300)
    assert watched.watch(13.2) == [BREACHED, HELD], "this is"
    assert watched.service().breaches[-1]["data"]["model"] == TWO


def held(watched: Watched) -> None:
    watched.book.version(THREE, 10)
    watched.canary(THREE, 11)
    watched.promise(SLOW)
    watched.windows(11, 12, bad=300)
    assert watched.watch(12) == [BREACHED, HELD]


@pytest.mark.parametrize(
    ("kind", "status", "against"),
    [
        ("canary.aborted", "followed", 0),
        ("deployment.authorised", "lifted", 0),
        ("canary.stage_entered", "open", 1),
        ("deployment.promoted", "open", 1),
        ("rollback.completed", "followed", 0),
    ],
)
def test_what_follows_a_hold_of_a_canary(watched: Watched, kind: str, status: str, against: int):
    held(watched)
    model = ONE if kind == "rollback.completed" else THREE
    body: dict[str, Any] = {"model": model, "digest": digest(model)}
    more: dict[str, dict[str, Any]] = {
        "canary.aborted": {"reason": "x"},
        "canary.stage_entered": {"stage": 2, "traffic": 0.5},
        "deployment.authorised": {"reason": "a known peak"},
    }
    if kind == "deployment.authorised":
        watched.book.request(THREE, 12.1)
        watched.book.approve(THREE, 12.2)
    watched.book.emit("p-deployer", kind, PROD, body | more.get(kind, {}), at=13)
    decision = watched.decision()
    assert (decision.status, len(decision.against)) == (status, against)
    if kind == "deployment.promoted":
        back = f"muniment record rollback {PROD} --model {TWO}; to let this one go on: muniment authorise {PROD} "
        assert back in told_by(watched.service(), decision)


def test_another_version_may_answer_a_rollback_and_a_later_one_replaces_it(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    watched.watch(11)
    watched.book.emit("p-deployer", ROLLBACK, PROD, {"model": ONE, "digest": digest(ONE)}, at=11.1)
    first, second = watched.service().decisions
    assert (first.status, second.status) == ("superseded", "open")
    watched.book.version(THREE, 11.2)
    watched.book.deploy(THREE, 12)
    assert watched.decision().status == "otherwise"


@pytest.mark.parametrize("kind", ["deployment.completed", "deployment.promoted", "rollback.completed"])
def test_what_is_to_go_and_is_started_again_settles_no_rollback(watched: Watched, kind: str):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    assert watched.watch(11) == [BREACHED, ROLLBACK]
    watched.book.emit("p-deployer", kind, PROD, {"model": TWO, "digest": digest(TWO)}, at=11.1)
    decision = watched.decision()
    assert (decision.status, len(decision.against)) == ("open", 1)
    watched.windows(11.1, 12, bad=900)
    assert watched.watch(12) == [], "it is decided already, and is still to be done"
    watched.book.roll_back(ONE, 12.1)
    assert watched.decision().status == "followed"


def test_a_canary_that_is_to_go_and_is_promoted_settles_no_rollback(watched: Watched):
    watched.book.version(THREE, 10)
    watched.canary(THREE, 11)
    watched.promise(FAST)
    watched.windows(11, 12, bad=900)
    assert watched.watch(12) == [BREACHED, ROLLBACK]
    assert told_by(watched.service(), watched.decision()) == ABORT
    watched.book.emit("p-deployer", "deployment.promoted", PROD, {"model": THREE, "digest": digest(THREE)}, at=12.1)
    decision = watched.decision()
    assert (decision.status, len(decision.against)) == ("open", 1)
    back = f"When it is done: muniment record rollback {PROD} --model {TWO}"
    assert told_by(watched.service(), decision) == back, "there is no canary any more that could be aborted"
    watched.book.roll_back(TWO, 12.2)
    assert watched.decision().status == "followed"


def test_one_window_that_names_a_version_silences_none_that_do_not(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    watched.window(10.95, model=TWO, count=1, bad=0, minutes=1, source="probe")
    (found,) = [one for one in seen(watched, 11) if one.tenure.model == TWO]
    assert found.burns[0].long.total == 12_001
    assert watched.watch(11) == [BREACHED, ROLLBACK]


def test_a_person_may_be_faster(watched: Watched):
    watched.book.version(THREE, 9.8)
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    watched.book.emit("p-deployer", ROLLBACK, PROD, {"model": THREE, "digest": digest(THREE)}, at=10.9)
    assert watched.watch(11) == [BREACHED], "a rollback is decided already"
    watched.book.emit("p-deployer", ROLLBACK, PROD, {"model": ONE, "digest": digest(ONE)}, at=10.91)
    assert watched.watch(11) == [ROLLBACK], "the same, with the time by which it must be done"
    assert watched.watch(11) == []


def test_what_has_no_deadline_stands_for_nothing_that_has_one(watched: Watched):
    """Else nothing would be overdue, however long nobody does it."""
    watched.promise(FAST, action="rollback")
    watched.book.emit("trainer", BREACHED, PROD, {"slo": "latency"}, at=10)
    assert watched.watch(10.1) == [ROLLBACK]
    assert not watched.decision().overdue(microseconds(when(100)))
    watched.windows(10, 11, bad=900)
    assert watched.watch(11) == [ROLLBACK]
    assert watched.watch(11.1) == []
    assert [one.status for one in watched.service().decisions] == ["superseded", "open"]
    assert watched.decision().overdue(microseconds(when(11.25)))
    watched.book.roll_back(ONE, 11.3)
    assert watched.watch(11.4) == []


def test_what_somebody_else_says_is_breached(watched: Watched):
    watched.promise(action="hold", respond_within="30m")
    watched.book.emit("trainer", BREACHED, PROD, {"slo": "latency"}, at=11)
    watched.book.emit("trainer", BREACHED, PROD, {"slo": "unknown"}, at=11)
    assert watched.watch(11.1) == [HELD]
    assert watched.decision().row["data"]["due_at"] == when(11.6)
    assert watched.decision().key == (TWO, digest(TWO))
    assert watched.watch(11.2) == []
    watched.book.emit("trainer", "slo.recovered", PROD, {"slo": "latency"}, at=12)
    assert watched.decision().status == "recovered"
    watched.book.emit("trainer", BREACHED, MONITOR, {"slo": "latency", "deployment": PROD}, at=13)
    assert watched.watch(13.1) == [HELD], "a monitor's word counts too"


def test_a_promise_of_a_monitor_is_about_the_deployments_it_names(watched: Watched):
    watched.promise(FAST, subject=MONITOR, deployments=["deployment:dev/*"])
    watched.windows(10, 11, bad=900)
    assert watched.watch(11) == []
    watched.promise(FAST, subject=MONITOR, deployments=["deployment:prod/*"])
    watched.promise({**SLOW, "burn_rate": 99.0, "min_events": 10**6}, at=0.6)
    assert [one.promise.subject for one in seen(watched, 11)] == [PROD], "its own goes before"
    watched.promise(at=0.7)
    assert [found.problem for found in seen(watched, 11)] == ["the promise has no rules"]


def test_too_few_events_and_old_ones_conclude_nothing(watched: Watched):
    watched.promise(FAST | {"min_events": 100})
    watched.window(10, bad=90, count=99)
    assert watched.watch(10.1) == []
    (found,) = seen(watched, 10.1)
    assert found.problem == "too few events, or none of late"
    watched.window(10.2, bad=90, count=99)
    assert watched.watch(12) == [], "nothing came for over an hour"
    assert watched.watch(10.4) == [BREACHED, ROLLBACK]


def test_a_late_window_counts(watched: Watched):
    watched.promise(FAST)
    watched.window(10.5, bad=0)
    assert watched.watch(10.6) == []
    watched.window(10.25, bad=1000, count=5000)
    (found,) = seen(watched, 10.6)
    assert found.burns[0].long.total == 6000


def test_good_by_a_threshold_and_what_does_not_tell(watched: Watched):
    watched.promise(FAST, threshold=250.0)
    shape: dict[str, Any] = {"good": None, "bounds": [100.0, 250.0], "buckets": [500, 200, 300]}
    watched.window(10, bad=0, **shape)
    (found,) = seen(watched, 10.1)
    assert (found.burns[0].long.good, found.burns[0].state) == (700, "fires")
    watched.promise(FAST, threshold=200.0, at=0.6)
    (found,) = seen(watched, 10.1)
    assert found.problem == "no window says how many were good"
    assert watched.watch(10.1) == [], "a threshold inside a bucket cannot be told from"


def test_the_budget_of_a_promise(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=5)
    assert [found.budget_left for found in seen(watched, 11)] == [0.5]
    watched.book.emit("p-author", "errorbudget.reset", PROD, {"slo": "latency", "reason": "agreed"}, at=11)
    assert [found.budget_left for found in seen(watched, 11.1)] == [None], "nothing counts yet"


def test_windows_of_a_compromised_key_count_no_more(watched: Watched):
    book = watched.book
    watched.promise(FAST)
    thief = book.cast.enrol("thief", "service", ["emitter"], "p-author")
    first = watched.window(10, bad=0)
    body = {"metric": "ms", "start": when(10.2), "end": when(10.3), "count": 9, "good": 0, "deployment": PROD}
    made = thief.emit("monitor.window", MONITOR, body, occurred_at=when(10.3))
    (found,) = seen(watched, 10.4)
    assert {window.index for window in found.burns[0].long.windows} == {first.index, made.index}
    key = book.cast.keys["thief"].public.keyid
    book.ledger.emit("key.compromised", "actor:thief", {"keyid": key, "since": made.index, "reason": "stolen"})
    (found,) = seen(watched, 10.4)
    assert {window.index for window in found.burns[0].long.windows} == {first.index}
    assert [(one.window.index, "suspect" in one.reason) for one in found.dropped] == [(made.index, True)]


def test_a_window_from_the_future_does_not_count(watched: Watched):
    watched.promise(FAST)
    watched.window(24 * 369, bad=900)
    (found,) = seen(watched, 24 * 370)
    assert [one.reason for one in found.dropped] == ["it was recorded before it ended"]


def test_two_watchers_at_once_decide_once(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    other = Watched(watched.book)
    other.ledger = watched.book.cast["p-deployer"]
    other.runner = watched.book.runner(other.ledger)
    emit = type(watched.ledger).emit
    raced: list[list[str]] = []

    def race(self: Any, kind: str, *arguments: Any, **more: Any) -> Any:
        if not raced:
            raced.append([])
            raced[0] = other.watch(11)
        return emit(self, kind, *arguments, **more)

    monkeypatch.setattr(type(watched.ledger), "emit", race)
    assert watched.watch(11) == []
    assert raced == [[BREACHED, ROLLBACK]]
    assert len(watched.service().decisions) == 1


def test_others_that_never_stop_end_it(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    emit = type(watched.ledger).emit

    def crowd(self: Any, kind: str, *arguments: Any, **more: Any) -> Any:
        if kind == BREACHED:
            snapshot = {"loaded": [{"digest": digest(TWO)}]}
            emit(watched.book.cast["p-deployer"], "serving.snapshot", PROD, snapshot)
        return emit(self, kind, *arguments, **more)

    monkeypatch.setattr(type(watched.ledger), "emit", crowd)
    with pytest.raises(ConflictError):
        watched.watch(11)


def test_what_is_known_later_changes_no_earlier_answer(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    watched.watch(11)
    reader = watched.book.reader()
    as_of = reader.as_of()
    before = watched.service().decisions[0].describe(0)
    watched.book.roll_back(ONE, 12)
    watched.book.reader()
    then = read_service(reader.runner.views, as_of, PROD)
    assert [one.describe(0) for one in then.decisions] == [before]


def test_who_lifts_a_hold_is_overruled_by_what_comes_later_alone(watched: Watched):
    held(watched)
    watched.book.request(THREE, 12.1)
    watched.book.approve(THREE, 12.2)
    watched.book.authorise(THREE, 12.3, reason="a known peak")
    assert watched.decision().status == "lifted"
    assert watched.watch(12.4) == [], "the rule fires still, by what was known then"
    watched.windows(12, 12.5, bad=300)
    assert watched.watch(12.5) == [HELD]
    assert watched.watch(12.5) == []
    assert [one.status for one in watched.service().decisions] == ["lifted", "open"]


def test_a_version_that_comes_back_may_fail_again(watched: Watched):
    watched.promise(FAST)
    watched.windows(10, 11, bad=900)
    watched.watch(11)
    watched.book.roll_back(ONE, 11.1)
    watched.book.deploy(TWO, 13)
    watched.windows(13.1, 13.5, bad=900)
    assert watched.watch(13.5) == [BREACHED, ROLLBACK], "what was before it came back is another breach"


def test_what_was_deployed_again_after_a_rollback_is_good_again(watched: Watched):
    watched.book.roll_back(ONE, 11.1)
    watched.book.deploy(TWO, 13)
    watched.book.version(THREE, 14)
    watched.book.deploy(THREE, 15)
    watched.promise(FAST)
    watched.windows(15.1, 15.5, bad=900)
    watched.watch(15.5)
    assert watched.decision().key == (TWO, digest(TWO))


def test_a_canary_that_stops_is_no_return_of_what_is_live(watched: Watched):
    watched.book.version(THREE, 10)
    watched.canary(THREE, 10.5)
    watched.promise(FAST)
    watched.windows(11, 12, bad=300, model=TWO)
    assert watched.watch(12) == [BREACHED, ROLLBACK]
    assert watched.decision().key == (ONE, digest(ONE))
    body = {"model": THREE, "digest": digest(THREE), "reason": "x"}
    watched.book.emit("p-deployer", "canary.aborted", PROD, body, at=12.1)
    assert watched.decision().status == "open"
