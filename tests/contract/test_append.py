"""What appending promises, on both backends: gapless, once, under the lock, judged again when the world moved."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import psycopg
import pytest

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.creation import create_ledger
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    InputError,
    LedgerError,
    PolicyError,
    StorageError,
    VerificationError,
)
from ledger.keys import Ed25519Signer, format_public_key
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.recorders.units import StaleReadError, Unit
from ledger.stored import LogIdentity, SignedHead
from ledger.verify import verify_log
from ledger.writer import MAX_BATCH
from tests.contract.support import (
    MODEL,
    ORIGIN,
    Cast,
    Meter,
    approved,
    audit,
    digest,
    fill,
    filler,
    make_cast,
    raw,
    register,
)

IDENTITY = LogIdentity("0" * 32, ORIGIN)
NOON = 1_800_000_000_000_000


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def recorder(quick_url: str):
    """An empty log, without a ledger in it."""
    made = open_recorder(quick_url)
    made.create(IDENTITY)
    yield made
    made.close()


def stored(outcome: Any) -> list[Any]:
    assert not isinstance(outcome, Exception), outcome
    return outcome


# -- positions, batches, retries -------------------------------------------------------------------


def test_positions_are_gapless_over_batches_conflicts_and_retries(recorder: SqlRecorder, quick_url: str):
    first = stored(recorder.append([Unit(tuple(filler(5)))])[0])
    assert [at.index for at in first] == [0, 1, 2, 3, 4]
    good, clash, retry = filler(1, 10), filler(1, 11, sequence=3), filler(2, 3)
    outcomes = recorder.append([Unit(tuple(good)), Unit(tuple(clash)), Unit(tuple(retry)), Unit(tuple(filler(1, 12)))])
    assert [at.index for at in stored(outcomes[0])] == [5]
    assert isinstance(outcomes[1], ConflictError)
    assert [(at.index, at.existing) for at in stored(outcomes[2])] == [(3, True), (4, True)]
    assert [at.index for at in stored(outcomes[3])] == [6], "the conflict beside it took no position"
    assert recorder.head().size == len(audit(quick_url)) == 7


def test_a_unit_is_appended_whole_or_not_at_all(recorder: SqlRecorder, quick_url: str):
    recorder.append([Unit(tuple(filler(3)))])
    mixed = [*filler(4, 20), *filler(1, 30, sequence=1)]  # the last one uses a number that was used
    (outcome,) = recorder.append([Unit(tuple(mixed))])
    assert isinstance(outcome, ConflictError)
    assert recorder.head().size == len(audit(quick_url)) == 3


def test_a_batch_that_holds_one_event_twice_is_a_conflict(recorder: SqlRecorder, quick_url: str):
    (outcome,) = recorder.append([Unit((*filler(1), *filler(1)))])
    assert isinstance(outcome, ConflictError)
    assert audit(quick_url) == []


def test_events_of_one_stream_in_one_unit_get_consecutive_revisions(recorder: SqlRecorder, quick_url: str):
    events = tuple(replace(event, originator_id="run:same") for event in filler(4))
    assert [at.revision for at in stored(recorder.append([Unit(events[:1])])[0])] == [1]
    assert [at.revision for at in stored(recorder.append([Unit(events[1:])])[0])] == [2, 3, 4]
    audit(quick_url)


@pytest.mark.parametrize(
    "sizes", [(255, 1, 1), (256, 255, 1, 1), (250, 270), (1000,)], ids=["256", "512", "over-512", "1000"]
)
def test_tiles_are_written_as_they_fill_up(recorder: SqlRecorder, quick_url: str, sizes: Sequence[int]):
    size = 0
    for count in sizes:
        fill(recorder, count, size)
        size += count
        audit(quick_url)  # compares every tile with the definition
        with raw(quick_url) as store:
            assert store.run("SELECT count(*) FROM $tile") == [(size // 256,)]


def test_the_same_envelope_again_gives_the_first_receipt(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    envelope = signed(cast, "p-author", "dataset.registered", "dataset:d@1", {"digest": digest("d")})
    first = cast["p-author"].append(envelope)
    cast["p-author"].emit("external.observed", "external:x", system="other")
    again = cast["p-author"].append(envelope)
    assert (first.existing, again.existing) == (False, True)
    assert replace(again, existing=False) == first
    assert len(audit(quick_url)) == first.index + 2


def test_the_first_receipt_survives_the_revocation_of_the_key(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    envelope = signed(cast, "p-author", "dataset.registered", "dataset:d@1", {"digest": digest("d")})
    first = cast["p-author"].append(envelope)
    cast.admin.emit("actor.revoked", "actor:p-author", reason="left")
    assert cast.admin.append(envelope).index == first.index
    with pytest.raises(AuthenticationError):
        cast["p-author"].emit("dataset.registered", "dataset:e@1", digest=digest("e"))


def test_the_same_id_with_other_bytes_is_a_conflict(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    first = cast["p-author"].emit("external.observed", "external:x", system="one")
    other = signed(cast, "p-author", "external.observed", "external:x", {"system": "two"}, event_id=first.id)
    with pytest.raises(ConflictError, match=f"index {first.index}"):
        cast["p-author"].append(other)
    assert len(audit(quick_url)) == first.index + 1


def test_another_author_may_use_the_same_id(quick_url: str):
    cast = make_cast(quick_url)
    first = cast["p-author"].emit("external.observed", "external:x", system="one")
    second = cast["trainer"].emit("external.observed", "external:x", system="two", event_id=first.id)
    assert second.index == first.index + 1


def test_an_undertaking_repeated_by_id_answers_with_its_first_receipt(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    author = cast["p-author"]
    event_id = "01890000-0000-7000-8000-000000000001"
    first = author.emit("dataset.registered", "dataset:d@1", digest=digest("d"), event_id=event_id)
    again = Ledger(cast.recorder, actor="p-author", signers=[cast.keys["p-author"]]).emit(
        "dataset.registered", "dataset:d@1", digest=digest("d"), event_id=event_id
    )
    assert (again.index, again.existing) == (first.index, True)
    with pytest.raises(ConflictError):
        author.emit("dataset.registered", "dataset:d@1", digest=digest("other"), event_id=event_id)
    assert author.emit("external.observed", "external:x", system="s").index == first.index + 1
    assert verify_log(cast.recorder, cast.new.trust).missing == [], "neither repeat used up a number"


def test_an_undertaking_raced_by_itself_answers_with_its_first_receipt(quick_url: str):
    """Another process appends the same undertaking after this one has looked and before it appends."""
    cast = make_cast(quick_url, actors=("p-author",))
    event_id = "01890000-0000-7000-8000-000000000001"
    event = {"type": "external.observed", "subject": "external:x", "system": "s", "event_id": event_id}
    racer = Ledger(cast.recorder, actor="p-author", signers=[cast.keys["p-author"]])
    with before_append(cast.recorder, lambda: racer.emit(**event)):  # type: ignore[arg-type]
        receipt = cast["p-author"].emit(**event)  # type: ignore[arg-type]
    assert (receipt.existing, receipt.index) == (True, cast.recorder.head().size - 1)
    cast["p-author"].emit("external.observed", "external:x", system="s")
    assert verify_log(cast.recorder, cast.new.trust).missing == []


def test_a_batch_of_envelopes_in_order_and_again(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    start = cast.recorder.head().size
    batch = [
        signed(cast, "p-author", "dataset.registered", f"dataset:d{n % 3}@{n}", {"digest": digest(str(n))}, n + 1)
        for n in range(20)
    ]
    receipts = cast.admin.append_batch(batch)
    assert [receipt.index for receipt in receipts] == list(range(start, start + 20))
    again = cast.admin.append_batch(batch)
    assert [receipt.index for receipt in again] == [receipt.index for receipt in receipts]
    assert all(receipt.existing for receipt in again)
    assert len(audit(quick_url)) == start + 20
    with pytest.raises(InputError):
        cast.admin.append_batch([b"x"] * (MAX_BATCH + 1))
    with pytest.raises(InputError):
        cast.admin.append_batch([b"x" * 6_000_000] * 3)


def test_a_batch_is_appended_whole_or_not_at_all(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    before = audit(quick_url)
    good = [signed(cast, "p-author", "external.observed", "external:x", {"system": "s"}, n) for n in (1, 2)]
    clash = signed(cast, "p-author", "external.observed", "external:x", {"system": "s"}, 2)
    forbidden = signed(
        cast, "p-author", "approval.requested", "model:none@1", {"environment": "prod", "digest": digest("x")}, 3
    )
    for last, error in ((clash, ConflictError), (forbidden, PolicyError), (b"{}", InputError)):
        with pytest.raises(error):
            cast.admin.append_batch([*good, last])
        assert audit(quick_url) == before
    assert cast.admin.append_batch([]) == []
    assert [receipt.existing for receipt in cast.admin.append_batch(good)] == [False, False]
    with pytest.raises(ConflictError):
        cast.admin.append_batch([*good, clash])


def test_an_event_of_a_batch_stands_on_those_before_it(quick_url: str):
    """Enrol, register, evaluate, ask and approve in one transaction; in another order nothing of it is legal."""
    cast = make_cast(quick_url, actors=("p-author", "p-approver"))
    cast.keys["bot"] = Ed25519Signer.generate()
    body = {"kind": "service", "roles": ["emitter"], "responsible": "p-author",
            "key": format_public_key(cast.keys["bot"].public)}  # fmt: skip
    request = "01890000-0000-7000-8000-000000000077"
    decision = {"environment": "prod", "digest": digest("m")}
    enrolment, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor="p-admin", type="actor.enrolled", subject="actor:bot", data=body,
        emitter="0189aaaa-0000-7000-8000-000000000001", sequence=1,
    )  # fmt: skip
    batch = [
        format_envelope(sign_payload(enrolment, [cast.keys["p-admin"], cast.keys["bot"]])),
        signed(
            cast, "bot", "version.registered", "model:m@1", {"digest": digest("m"), "owner": "p-author", "tier": "high"}
        ),
        signed(cast, "bot", "evaluation.completed", "model:m@1", {"metrics": {}, "verdict": "pass"}, 2),
        signed(cast, "bot", "approval.requested", "model:m@1", decision, 3, request),
        signed(
            cast, "p-approver", "approval.granted", "model:m@1", {**decision, "request": request, "rationale": "fit"}
        ),
    ]
    for wrong in (batch[::-1], batch[1:], [batch[0], *batch[2:]], [*batch[:3], batch[4]]):
        with pytest.raises(LedgerError):
            cast.admin.append_batch(wrong)
    size = cast.recorder.head().size
    assert [receipt.index - size for receipt in cast.admin.append_batch(batch)] == [0, 1, 2, 3, 4]
    assert [receipt.existing for receipt in cast.admin.append_batch(batch)] == [True] * 5
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    audit(quick_url)


def test_a_batch_of_which_a_part_is_recorded_meanwhile_is_judged_again(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    batch = [signed(cast, "p-author", "external.observed", "external:x", {"system": "s"}, n) for n in (1, 2, 3)]
    another = Ledger(cast.recorder)
    with before_append(cast.recorder, lambda: another.append(batch[1])) as race:
        receipts = cast.admin.append_batch(batch)
    assert [receipt.existing for receipt in receipts] == [False, True, False]
    assert race.calls > 1
    assert len({receipt.index for receipt in receipts}) == 3
    audit(quick_url)


def signed(  # noqa: PLR0917
    cast: Cast, actor: str, type: str, subject: str, data: Any, sequence: int = 1, event_id: str | None = None
) -> bytes:
    """An envelope made outside the ledger, by an emitter of its own."""
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid,
        actor=actor,
        type=type,
        subject=subject,
        data=data,
        emitter="0189aaaa-0000-7000-8000-000000000001",
        sequence=sequence,
        event_id=event_id,
    )
    return format_envelope(sign_payload(payload, [cast.keys[actor]]))


# -- what was judged is what is appended -----------------------------------------------------------


class before_append:  # noqa: N801 - reads as a statement
    """Let something happen between judging and appending, once."""

    def __init__(self, recorder: SqlRecorder, what: Callable[[], Any]) -> None:
        self.recorder, self.what, self.calls = recorder, what, 0

    def __enter__(self) -> before_append:
        self.original = self.recorder.append
        self.recorder.append = self.append  # type: ignore[method-assign]
        return self

    def append(self, units: Sequence[Unit]) -> Any:
        self.calls += 1
        if self.calls == 1:
            self.recorder.append = self.original  # type: ignore[method-assign]
            self.what()
            self.recorder.append = self.append  # type: ignore[method-assign]
        return self.original(units)

    def __exit__(self, *error: object) -> None:
        del self.recorder.append


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
    more = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": digest(MODEL)}
    with before_append(cast.recorder, lambda: cast["trainer"].emit("evaluation.completed", MODEL, more)) as race:
        receipt = commands.approve(cast["p-approver"], MODEL, rationale="fine")
    assert (race.calls, receipt.index) == (2, cast.recorder.head().size - 1)
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


# -- append-only -----------------------------------------------------------------------------------


def changes(table: str, column: str) -> list[str]:
    return [
        f"UPDATE ${table} SET {column} = {column}",
        f"DELETE FROM ${table}",
        f"DELETE FROM ${table} WHERE 1 = 0 OR {column} = (SELECT min({column}) FROM ${table})",
    ]


@pytest.mark.parametrize(
    ("table", "column"),
    [("log", "origin"), ("entry", "actor"), ("content", "payload"), ("tile", "root"), ("checkpoint", "note"),
     ("head", "id"), ("signed_head", "id"), ("attestation", "body")],
)  # fmt: skip
def test_nothing_is_changed_or_deleted_by_plain_sql(quick_url: str, table: str, column: str):
    cast = make_cast(quick_url, actors=())
    fill(cast.recorder, 256)
    cast.admin.checkpoint()
    cast.recorder.add_attestation(258, "published", "somewhere", b"that it was")
    statements = changes(table, column) if table != "head" else changes(table, column)[1:]
    with raw(quick_url) as store:
        if not store.sqlite:
            statements.append(f"TRUNCATE ${table}")
        before = store.run(f"SELECT * FROM ${table} ORDER BY 1")
        assert before
        for statement in statements:
            with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
                store.run(statement)
        assert store.run(f"SELECT * FROM ${table} ORDER BY 1") == before
    audit(quick_url)


@pytest.mark.parametrize(
    "table", ["log", "entry", "content", "tile", "checkpoint", "head", "signed_head", "attestation"]
)
def test_an_insert_replaces_nothing(quick_url: str, table: str):
    """SQLite's REPLACE deletes without firing DELETE triggers; PostgreSQL's ON CONFLICT is an UPDATE."""
    cast = make_cast(quick_url, actors=())
    fill(cast.recorder, 256)
    cast.admin.checkpoint()
    cast.recorder.add_attestation(258, "published", "somewhere", b"that it was")
    with raw(quick_url) as store:
        columns = store.columns(table)
        before = store.run(f"SELECT * FROM ${table} ORDER BY 1")
        if store.sqlite:
            verb, tail = "INSERT OR REPLACE", ""
        else:
            key = {"tile": "level, idx", "entry": "position", "content": "position", "checkpoint": "size",
                   "attestation": "number"}  # fmt: skip
            target, changed = key.get(table, "id"), "size" if "head" in table else columns[-1]
            verb, tail = "INSERT", f" ON CONFLICT ({target}) DO UPDATE SET {changed} = EXCLUDED.{changed}"
        row = list(before[0])
        row[-1] = 0 if isinstance(row[-1], int) else bytes(32)
        if "head" in table:
            row[columns.index("size")] = 1
        marks = ", ".join("?" for _ in columns)
        with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
            store.run(f"{verb} INTO ${table} ({', '.join(columns)}) VALUES ({marks}){tail}", row)
        assert store.run(f"SELECT * FROM ${table} ORDER BY 1") == before
    audit(quick_url)


@pytest.mark.parametrize("column", ["(stream, revision)", "(id, actor)", "(emitter, sequence, actor)"])
def test_an_insert_replaces_no_row_of_another_position(tmp_path: Path, column: str):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    make_cast(url, actors=())
    with raw(url) as store:
        columns = store.columns("entry")
        before = store.run("SELECT * FROM $entry ORDER BY 1")
        row = dict(zip(columns, before[1], strict=True))
        fresh = {"position": 900, "stream": "run:x", "id": "x", "emitter": "x"}
        kept = set(re.findall(r"\w+", column))
        row.update({name: value for name, value in fresh.items() if name not in kept})
        with pytest.raises(apsw.Error, match="append-only"):
            store.run(
                f"INSERT OR REPLACE INTO entry ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})",
                [row[name] for name in columns],
            )
        assert store.run("SELECT * FROM $entry ORDER BY 1") == before


def test_the_head_goes_only_forward(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    size = cast.recorder.head().size
    with raw(quick_url) as store:
        for statement in (f"UPDATE $head SET size = {size - 1}", "UPDATE $head SET size = 0, authority = -1"):
            with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
                store.run(statement)
        assert store.run("SELECT size FROM $head") == [(size,)]
        store.run(f"UPDATE $head SET size = {size}")


def test_signed_heads_go_only_forward(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    note = cast.admin.checkpoint()
    size = cast.recorder.head().size
    assert cast.admin.checkpoint() == note
    last = cast.recorder.signed_head()
    assert last is not None
    assert last.size == size
    for new, previous in (
        (SignedHead(size, last.root), last),
        (SignedHead(size - 1, last.root), last),
        (SignedHead(size + 5, last.root), last),
        (SignedHead(size + 5, last.root), SignedHead(size - 1, last.root)),
        (SignedHead(size + 5, last.root), SignedHead(size, bytes(32))),
    ):
        assert not cast.recorder.add_checkpoint(new, b"a note", previous)
    assert cast.recorder.signed_head() == last
    assert cast.recorder.last_checkpoint().note == note


def test_a_head_is_signed_only_over_what_was_read_again(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    cast["p-author"].emit("run.started", "run:r")
    signed_before = cast.recorder.last_checkpoint()
    with raw(quick_url) as store:
        store.unprotect()
        position = cast.recorder.head().size
        store.run("UPDATE $entry SET recorded_at = recorded_at + 1 WHERE position = ?", (position,))
    with pytest.raises(VerificationError) as caught:
        cast.admin.checkpoint()
    assert (caught.value.fault, caught.value.index) == ("header", position - 1)
    assert cast.recorder.last_checkpoint() == signed_before


def test_a_head_is_not_signed_with_another_key(quick_url: str):
    cast = make_cast(quick_url, actors=())
    wrong = Ledger(
        cast.recorder, actor="p-admin", signers=[cast.new.admin_key], checkpoint_signer=Ed25519Signer.generate()
    )
    wrong.emit("incident.opened", "incident:1", title="x")
    before = cast.recorder.last_checkpoint()
    with pytest.raises(ConfigurationError, match="checkpoint key"):
        wrong.checkpoint()
    assert cast.recorder.last_checkpoint() == before
    cast.admin.checkpoint()
    assert verify_log(cast.recorder, cast.new.trust).ok


# -- no tables but where they are made -------------------------------------------------------------


def schema_of(url: str) -> list[Any]:
    with raw(url) as store:
        if store.sqlite:
            return store.run("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        schema = dict(part.split("=") for part in urlsplit(url).query.split("&"))["schema"]
        return store.run(
            "SELECT c.relname, c.relkind, c.oid, c.relfilenode FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = ? ORDER BY 1", (schema,)
        )  # fmt: skip


def test_only_create_makes_tables(quick_url: str):
    cast = make_cast(quick_url)
    before = schema_of(quick_url)
    approved(cast)
    cast.admin.checkpoint()
    verify_log(cast.recorder, cast.new.trust)
    fill(cast.recorder, 256)
    cast.recorder.close()
    with Ledger.open(quick_url) as ledger:
        ledger.recorder.rows(0, 10)
    assert schema_of(quick_url) == before


def test_what_cannot_be_opened_or_made_leaves_no_connection(store_url: str, stores_closed: list[Any]):
    with pytest.raises(ConfigurationError):
        Ledger.open(store_url)
    create_ledger(store_url, ORIGIN).ledger.close()
    with pytest.raises(ConfigurationError):
        create_ledger(store_url, ORIGIN)
    assert len(stores_closed) == 3
    assert [store._connection for store in stores_closed] == [None, None, None]


def test_opening_what_is_not_there_makes_nothing(store_url: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open(store_url)
    assert "muniment init" in caught.value.hint
    with pytest.raises(ConfigurationError):
        open_recorder(store_url).append([Unit(tuple(filler(1)))])
    with pytest.raises(ConfigurationError):
        open_recorder(store_url).head()
    assert list(tmp_path.iterdir()) == []
    assert store_url.startswith("sqlite") or schema_of(store_url) == []


def test_opening_an_empty_file_makes_nothing(tmp_path: Path):
    path = tmp_path / "empty.db"
    path.touch()
    for use in (Ledger.open, lambda url: open_recorder(url).append([Unit(tuple(filler(1)))])):
        with pytest.raises(ConfigurationError, match="holds no ledger"):
            use(f"sqlite:///{path}")
    assert path.stat().st_size == 0


def test_opening_something_else_is_said(tmp_path: Path):
    other = tmp_path / "other.db"
    apsw.Connection(str(other)).execute("CREATE TABLE log (id, ledgerid, origin, format)")
    text = tmp_path / "text.db"
    text.write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigurationError):
        Ledger.open(f"sqlite:///{other}")
    with pytest.raises(StorageError, match="not a SQLite database"):
        Ledger.open(f"sqlite:///{text}")
    with pytest.raises(LedgerError):
        Ledger.open(f"sqlite:///{tmp_path}")


def test_a_database_that_is_not_there_is_a_matter_of_settings(postgres_dsn: str):
    parts = urlsplit(postgres_dsn)
    for url in (
        parts._replace(path="/no_such_database").geturl(),
        postgres_dsn.replace(f"{parts.username}@", "no_such_role@", 1),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Ledger.open(url)
        assert "no_such" in caught.value.message
        assert caught.value.hint


def test_a_server_that_is_not_there_is_a_matter_of_storage(tmp_path: Path):
    with pytest.raises(StorageError) as caught:
        Ledger.open(f"postgresql://someone@/postgres?host={tmp_path}")
    assert not caught.value.outcome_unknown
    assert caught.value.hint


def test_a_ledger_is_made_only_once(quick_url: str):
    made = create_ledger(quick_url, ORIGIN)
    with pytest.raises(ConfigurationError, match="already exists"):
        create_ledger(quick_url, ORIGIN)
    assert len(audit(quick_url)) == 2
    assert verify_log(made.ledger.recorder, made.trust).ok


def test_a_new_file_is_private(tmp_path: Path):
    previous = os.umask(0)
    try:
        make_cast(f"sqlite:///{tmp_path / 'ledger.db'}", actors=())
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    finally:
        os.umask(previous)
    assert set(modes.values()) == {"0o600"}, modes


def test_a_store_opened_for_reading_takes_nothing(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    cast = make_cast(url, actors=())
    reader = Ledger.open(url + "?mode=ro", actor="p-admin", signers=[cast.new.admin_key])
    with pytest.raises(StorageError, match="read-only"):
        reader.emit("incident.opened", "incident:1", title="x")
    assert reader.recorder.head() == cast.recorder.head()


def test_sqlite_is_durable_and_waits(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    make_cast(url, actors=())
    recorder = open_recorder(url)
    assert isinstance(recorder, SqliteRecorder)
    recorder.head()
    connection = recorder.store.connect()
    pragmas = {name: connection.pragma(name) for name in ("journal_mode", "synchronous", "trusted_schema")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "trusted_schema": 0}


def test_postgres_is_durable_whatever_the_role_is_set_to(postgres_url: str):
    make_cast(postgres_url, actors=())
    recorder = open_recorder(postgres_url + "&options=-c%20synchronous_commit%3Doff")
    assert recorder._run("SHOW synchronous_commit") == [("on",)]
    recorder.close()


# -- nothing grows with the log --------------------------------------------------------------------


def measure(url: str, cast: Cast, model: str) -> dict[str, tuple[int, int, int]]:
    """What opening, a first and a second fact, and a decision cost on a fresh connection."""
    recorder = open_recorder(url)
    meter = Meter(recorder)
    found = {}
    author = Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]])
    assert author.ledgerid
    author.world.refresh()
    found["open"] = meter.spent()
    author.emit("external.observed", "external:mine", system="s")
    found["first fact"] = meter.spent()
    author.emit("external.observed", "external:mine", system="s")
    found["second fact"] = meter.spent()
    commands.request_approval(author, model, "prod")
    found["decision"] = meter.spent()
    recorder.close()
    return found


def test_opening_and_appending_read_no_more_in_a_larger_log(quick_url: str):
    cast = make_cast(quick_url)
    register(cast, "model:one@1")
    register(cast, "model:two@1")
    fill(cast.recorder, 300)
    small = measure(quick_url, cast, "model:one@1")
    fill(cast.recorder, 4_700 - 4_700 % 256, 300)  # as many leaves outside a full tile as before
    large = measure(quick_url, cast, "model:two@1")
    for what in ("open", "first fact", "second fact"):
        assert large[what][:2] == small[what][:2], what
        assert large[what][2] <= small[what][2] * 1.1 + 200, (
            f"{what}: SQLite steps {small[what][2]} to {large[what][2]}"
        )
    statements, rows, _ = large["decision"]
    assert statements <= small["decision"][0] + 4, "one or two statements a tile level"
    # `seen` is computed twice, here from the roots of 18 tiles and from 3 leaves more.
    assert rows <= small["decision"][1] + 2 * (18 + 3)


def test_a_long_stream_does_not_make_the_next_append_dearer(memory_path: Path):
    """An open ledger folds only what is new; it neither fetches nor walks the stream's past again."""
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast = make_cast(url, actors=("p-author", "trainer"))
    register(cast)
    meter = Meter(cast.recorder)
    body = {"metrics": {"auc": 0.9}, "verdict": "pass"}
    costs = []
    for _ in range(300):
        cast["trainer"].emit("evaluation.completed", MODEL, body)
        costs.append(meter.spent())
    early, late = costs[20], costs[-1]
    assert late[:2] == early[:2]
    assert late[2] <= early[2] * 1.1 + 200, f"SQLite steps {early[2]} to {late[2]}"


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
    cast["p-author"].emit("run.started", "run:other")
    assert verify_log(cast.recorder, cast.new.trust).findings == []
