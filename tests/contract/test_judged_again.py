"""What was judged is what is appended, and the time of an entry is what its rules were asked about."""

from __future__ import annotations

import pytest

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.entry import format_time
from ledger.errors import AuthenticationError, ConflictError, InputError, PolicyError, StorageError
from ledger.recorders.units import StaleReadError
from ledger.verify import verify_log
from tests.contract.racing import before_append, signed
from tests.contract.support import MODEL, audit, digest, make_cast, register

NOON = 1_800_000_000_000_000


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


# -- what was judged is what is appended -----------------------------------------------------------


def test_a_stale_expectation_is_a_conflict(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    author = cast["p-author"]
    author.emit("run.started", "run:r", expect={"run:r": 0})
    author.emit("run.completed", "run:r", expect={"run:r": 1})
    for expected in (0, 1, 3):
        with pytest.raises(ConflictError, match="run:r"):
            author.emit("run.failed", "run:r", reason="late", expect={"run:r": expected})
    assert author.emit("run.failed", "run:r", reason="late", expect={"run:r": 2}).revision == 3
    assert verify_log(cast.recorder, cast.new.trust).missing == []


def test_a_retry_with_its_old_expectation_gives_the_first_receipt(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    body = {"digest": digest("d")}
    for subject in ("dataset:d@1", "external:x"):
        kind = "dataset.registered" if subject.startswith("dataset") else "external.observed"
        stream = subject.partition("@")[0]
        envelope = signed(
            cast, "p-author", kind, subject, body | ({} if stream == "dataset:d" else {"system": "s"}), len(subject)
        )
        first = cast.admin.append(envelope, expect={stream: 0})
        again = cast.admin.append(envelope, expect={stream: 0})
        assert (again.index, again.existing) == (first.index, True)


def test_a_retry_is_marked_like_the_first(quick_url: str):
    """Whoever asks again must be told again that nobody allowed it."""
    cast = make_cast(quick_url)
    register(cast)
    place = "deployment:prod/scoring"
    again = "01890000-0000-7000-8000-000000000001"
    body = {"model": MODEL, "digest": digest(MODEL)}
    first = cast["p-deployer"].emit("deployment.completed", place, body, event_id=again)
    other = Ledger(cast.recorder, actor="p-deployer", signers=[cast.keys["p-deployer"]])
    for ledger in (cast["p-deployer"], other):
        retried = ledger.emit("deployment.completed", place, body, event_id=again)
        assert (retried.index, retried.existing, retried.marks) == (first.index, True, ("unauthorised",))


def test_what_moves_between_judging_and_appending_breaks_an_expectation(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    size = cast.recorder.head().size
    with before_append(cast.recorder, lambda: cast["trainer"].emit("run.started", "run:r")) as race:
        with pytest.raises(ConflictError, match="run:r"):
            cast["p-author"].emit("run.completed", "run:r", expect={"run:r": 0})
    assert (race.calls, cast.recorder.head().size) == (1, size + 1)


def test_an_expectation_survives_an_unrelated_change_of_authority(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    with before_append(cast.recorder, lambda: cast.enrol("p-new", "person", ["owner"])) as race:
        receipt = cast["p-author"].emit("run.completed", "run:r", expect={"run:r": 0})
    assert (receipt.revision, race.calls) == (1, 2)


def test_an_expectation_cannot_outrun_what_was_judged(quick_url: str):
    """Expecting the revision that a race is about to make must not hide that the judgement is older."""
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    register(cast, MODEL.replace("@1", "@0"), passed=False)
    revision = cast["p-author"].world.revision_before("model:credit/scoring", cast["p-author"].world.refresh())

    def taken() -> None:
        cast["trainer"].emit("version.registered", MODEL, digest=digest("theirs"), owner="p-author", tier="low")

    with before_append(cast.recorder, taken):
        with pytest.raises(ConflictError):
            cast["p-author"].emit(
                "version.registered", MODEL, digest=digest("mine"), owner="p-author", tier="low",
                expect={"model:credit/scoring": revision + 1},
            )  # fmt: skip
    taken_anyway = "mine would have taken over a name that stands for other bytes"
    assert verify_log(cast.recorder, cast.new.trust).ok, taken_anyway


def test_a_change_of_authority_is_judged_again(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    with before_append(cast.recorder, lambda: cast.enrol("p-new", "person", ["owner"])) as race:
        receipt = cast["p-author"].emit("run.started", "run:r")
    assert (race.calls, receipt.index) == (2, cast.recorder.head().size - 1)


def test_a_key_revoked_while_its_event_was_judged_signs_nothing_more(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    revoke = {"keyid": cast.keys["p-author"].public.keyid, "reason": "stolen"}
    with before_append(cast.recorder, lambda: cast.admin.emit("key.revoked", "actor:p-author", revoke)):
        with pytest.raises(AuthenticationError, match="revoked"):
            cast["p-author"].emit("run.started", "run:r")
    assert [row["type"] for row in audit(quick_url)][-1] == "muniment.key.revoked.v1"


def test_a_decision_whose_ground_moved_is_judged_again_and_refused(quick_url: str):
    cast = make_cast(quick_url)
    cast.enrol("p-second", "person", ["approver"])
    register(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod")

    def turned_down() -> None:
        commands.reject(cast["p-second"], MODEL, rationale="not yet")

    with before_append(cast.recorder, turned_down) as race:
        with pytest.raises(PolicyError, match="no open request"):
            commands.approve(cast["p-approver"], MODEL, rationale="fine")
    assert race.calls == 2, "of the decision, and of what says that it was refused"
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_a_decision_is_judged_again_and_recorded_when_its_ground_still_holds(quick_url: str):
    cast = make_cast(quick_url)
    register(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod")
    with before_append(cast.recorder, lambda: cast["trainer"].emit("performance.tested", MODEL, p95_ms=9.5)) as race:
        receipt = commands.approve(cast["p-approver"], MODEL, rationale="fine")
    assert (race.calls, receipt.index) == (2, cast.recorder.head().size - 1)
    more = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": digest(MODEL)}
    commands.request_approval(cast["p-author"], MODEL, "prod")
    with (
        before_append(cast.recorder, lambda: cast["trainer"].emit("evaluation.completed", MODEL, more)),
        pytest.raises(PolicyError, match="does not cite the evaluation"),
    ):
        commands.approve(cast["p-approver"], MODEL, rationale="of what was measured before")
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_facts_are_not_judged_again_for_their_neighbours(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    with before_append(cast.recorder, lambda: cast["trainer"].emit("run.started", "run:r")) as race:
        assert cast["p-author"].emit("run.completed", "run:r").revision == 2
    assert race.calls == 1


def test_a_ledger_that_never_settles_gives_up_with_a_conflict(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    cast.recorder.append = lambda units: [StaleReadError("moved") for _ in units]  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="kept changing") as caught:
        cast["p-author"].emit("run.started", "run:r")
    assert caught.value.hint


# -- the clock -------------------------------------------------------------------------------------


def test_a_clock_more_than_five_seconds_behind_refuses_and_names_both_times(quick_url: str):
    clock = Clock()
    cast = make_cast(quick_url, actors=("p-author",), clock=clock)
    clock.now = NOON - 5_000_001
    before = audit(quick_url)
    with pytest.raises(StorageError) as caught:
        cast["p-author"].emit("run.started", "run:r")
    assert format_time(NOON) in caught.value.message
    assert format_time(NOON - 5_000_001) in caught.value.message
    assert caught.value.hint
    assert not caught.value.outcome_unknown
    assert audit(quick_url) == before
    clock.now = NOON - 5_000_000
    assert cast["p-author"].emit("run.started", "run:r").recorded_at == NOON
    assert verify_log(cast.recorder, cast.new.trust).missing == []


def test_recorded_at_never_goes_back(quick_url: str):
    clock = Clock()
    cast = make_cast(quick_url, actors=("p-author",), clock=clock)
    times = []
    for step in (2_000_000, -1_000_000, -2_000_000, 500_000, 3_000_000):
        clock.now = NOON + step
        times.append(cast["p-author"].emit("external.observed", "external:x", system="s").recorded_at - NOON)
    assert times == [2_000_000, 2_000_000, 2_000_000, 2_000_000, 3_000_000]
    assert [row["recorded_at"] - NOON for row in audit(quick_url)][-5:] == times


def test_the_stores_own_clock_is_the_time(quick_url: str):
    import time

    cast = make_cast(quick_url, actors=("p-author",))
    recorded = cast["p-author"].emit("run.started", "run:r", occurred_at="2001-02-03T04:05:06Z").recorded_at
    assert abs(recorded - time.time_ns() // 1000) < 60_000_000


def test_times_are_judged_by_when_it_is_recorded_after_days_without_an_entry(quick_url: str):
    now = [1_700_000_000_000_000]
    cast = make_cast(quick_url, clock=lambda: now[0])
    register(cast)
    now[0] += 5 * 86_400_000_000
    month = 30 * 86_400_000_000

    def urgently(after: int) -> Receipt:
        urgent = {"reason": "outage", "review_by": format_time(now[0] + after)}
        return commands.authorise(cast["p-deployer"], "deployment:prod/x", MODEL, emergency=urgent)

    for wrong in (0, month + 1):
        size = cast.recorder.head().size
        with pytest.raises(InputError, match="within 30 days"):
            urgently(wrong)
        assert cast.recorder.head().size == size
    assert urgently(month).recorded_at == now[0]
    now[0] += month - 1
    assert commands.record_deployment(cast["p-deployer"], "deployment:prod/x", MODEL).marks == ()
    now[0] += 1
    late = commands.record_deployment(cast["p-deployer"], "deployment:prod/x", MODEL)
    assert late.marks == ("unauthorised",), "nobody has reviewed the emergency by its time"
    assert "unauthorised" in cast.admin.world.judge_row(cast.recorder.rows(late.index, 1)[0]).verdict.marks
    cast["p-author"].emit("run.started", "run:other")
    assert verify_log(cast.recorder, cast.new.trust).findings == []
