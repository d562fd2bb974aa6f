"""What appending promises, on both backends: gapless, once, under the lock, judged again when the world moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import commands
from ledger.application import Ledger
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConflictError, InputError, LedgerError, PolicyError
from ledger.keys import Ed25519Signer, format_public_key
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.units import Unit
from ledger.stored import LogIdentity
from ledger.verify import verify_log
from ledger.writer import MAX_BATCH
from tests.contract.racing import before_append, signed
from tests.contract.support import MODEL, ORIGIN, Cast, Meter, audit, digest, fill, filler, make_cast, raw, register

IDENTITY = LogIdentity("0" * 32, ORIGIN)


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
    """Enrol, register, ask and approve in one transaction; in another order nothing of it is legal.

    Where an approval must cite what it rests on, that is recorded before: nobody saw it yet.
    """
    cast = make_cast(quick_url, actors=("p-author", "p-approver"))
    cast.keys["bot"] = Ed25519Signer.generate()
    body = {"kind": "service", "roles": ["emitter"], "responsible": "p-author",
            "key": format_public_key(cast.keys["bot"].public)}  # fmt: skip
    request = "01890000-0000-7000-8000-000000000077"
    decision = {"environment": "dev", "digest": digest("m")}
    enrolment, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor="p-admin", type="actor.enrolled", subject="actor:bot", data=body,
        emitter="0189aaaa-0000-7000-8000-000000000001", sequence=1,
    )  # fmt: skip
    batch = [
        format_envelope(sign_payload(enrolment, [cast.keys["p-admin"], cast.keys["bot"]])),
        signed(
            cast, "bot", "version.registered", "model:m@1", {"digest": digest("m"), "owner": "p-author", "tier": "high"}
        ),
        signed(cast, "bot", "evaluation.completed", "model:m@1", {"metrics": {"auc": 0.9}, "verdict": "pass"}, 2),
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
