"""What emitters say of their numbers, and what a verification makes of it, on both backends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.emission import build_payload
from ledger.emitters import EmitterReport
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import InputError, LedgerError, NotAllowedError
from ledger.gaps import gaps_of
from ledger.verdicts import GapKind
from ledger.verify import LogVerification, Since, verify_log
from tests.contract.support import Cast, make_cast, raw
from tests.contract.tampering import Forger
from tests.contract.verifying import since
from tests.unit.reference_sequences import Sequences

EMITTER = "0189aaaa-0000-7000-8000-0000000000e1"
OTHER = "0189aaaa-0000-7000-8000-0000000000e2"


class Spool:
    """Sends events of one emitter, of any numbers, in any order.

    Args:
        cast: the ledger.
        actor: whose emitter it is.
        emitter: its id.
    """

    def __init__(self, cast: Cast, actor: str = "trainer", emitter: str = EMITTER) -> None:
        self.cast, self.actor, self.emitter = cast, actor, emitter

    def envelope(self, number: int, type: str, subject: str, data: dict[str, Any]) -> bytes:
        payload, _ = build_payload(
            ledgerid=self.cast.admin.ledgerid, actor=self.actor, type=type, subject=subject, data=data,
            emitter=self.emitter, sequence=number,
        )  # fmt: skip
        return format_envelope(sign_payload(payload, [self.cast.keys[self.actor]]))

    def send(self, *numbers: int) -> None:
        for number in numbers:
            envelope = self.envelope(number, "external.observed", "external:x", {"system": "s"})
            self.cast.admin.append(envelope)

    def say(self, number: int, type: str, **data: Any) -> int:
        subject = f"emitter:{data.pop('about', self.emitter)}"
        return self.cast.admin.append(self.envelope(number, type, subject, data)).index


def verified(cast: Cast, before: Since | None = None) -> LogVerification:
    found = verify_log(cast.recorder, cast.new.trust, since=before)
    assert found.ok, found.findings
    return found


def reported(cast: Cast, emitter: str = EMITTER, actor: str = "trainer") -> EmitterReport:
    """What a verification says of one emitter."""
    (found,) = [item for item in verified(cast).emitters if (item.actor, item.emitter) == (actor, emitter)]
    return found


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


def test_what_is_missing_at_the_end_shows_once_it_is_closed(cast: Cast):
    spool = Spool(cast)
    spool.send(1, 2, 3)
    assert verified(cast).emitters == [], "nobody can tell yet"
    index = spool.say(4, "emitter.closed", last=7)
    found = reported(cast)
    assert (found.missing, found.ranges, found.highest) == (3, ((5, 7),), 7)
    assert found.closed is not None
    assert (found.closed.index, found.closed.last) == (index, 7)
    spool.send(6)
    assert reported(cast).ranges == ((5, 5), (7, 7))
    spool.send(5, 7)
    found = reported(cast)
    assert (found.missing, found.late, found.after_close) == (0, 1, 0), "late, and legal"


def test_a_number_beyond_the_end_is_listed_and_no_fault(cast: Cast):
    spool = Spool(cast)
    spool.send(1)
    spool.say(2, "emitter.closed", last=2)
    spool.send(3, 5)
    found = reported(cast)
    assert (found.after_close, found.missing, found.ranges) == (2, 1, ((4, 4),))
    spool.say(6, "emitter.closed", last=6)
    found = reported(cast)
    assert found.closed is not None
    assert found.closed.last == 2, "what was said of the end cannot be taken back"
    assert found.after_close == 3


def test_an_emitter_is_closed_from_another_process(cast: Cast):
    Spool(cast).send(1, 2)
    Spool(cast, emitter=OTHER).say(1, "emitter.closed", about=EMITTER, last=4)
    assert reported(cast).ranges == ((3, 4),)
    assert [item.emitter for item in verified(cast).emitters] == [EMITTER]


def test_nobody_speaks_of_another_actors_emitter(cast: Cast):
    """Whatever they say is of an emitter of their own, of the same id."""
    Spool(cast).send(1, 2)
    Spool(cast, "p-author", OTHER).say(1, "emitter.closed", about=EMITTER, last=9)
    assert [(item.actor, item.emitter, item.missing) for item in verified(cast).emitters] == [("p-author", EMITTER, 9)]


def test_a_heartbeat_tells_how_far_it_came_and_when_silence_begins(cast: Cast):
    spool = Spool(cast)
    spool.send(1)
    index = spool.say(2, "emitter.heartbeat", last=3, interval=60)
    found = reported(cast)
    assert found.ranges == ((3, 3),)
    beat = found.heartbeat
    assert beat is not None
    assert (beat.index, beat.last, beat.interval) == (index, 3, 60)
    minute = 60_000_000
    after = [beat.heard - 5, beat.heard, beat.heard + minute - 1, beat.heard + minute, beat.heard + 5 * minute + 9]
    assert [beat.overdue(moment) for moment in after] == [0, 0, 0, 1, 5]
    spool.send(3)
    later = reported(cast).heartbeat
    assert later is not None
    assert later.heard > beat.heard, "any event is a sign of life"
    second = spool.say(4, "emitter.heartbeat", last=4, interval=30)
    found = reported(cast)
    assert found.heartbeat is not None
    assert (found.heartbeat.index, found.heartbeat.interval, found.missing) == (second, 30, 0)
    spool.say(5, "emitter.closed", last=5)
    assert reported(cast).heartbeat is None, "it is not silent: it has ended"


def test_a_declared_gap_is_listed_with_its_reason_and_missing_no_more(cast: Cast):
    spool = Spool(cast)
    spool.send(1, 4, 9)
    assert reported(cast).ranges == ((2, 3), (5, 8))
    index = spool.say(10, "gap.declared", first=3, last=6, reason="a disk was lost")
    found = reported(cast)
    assert (found.missing, found.ranges) == (3, ((2, 2), (7, 8)))
    (gap,) = found.declared
    assert (gap.index, gap.by, gap.first, gap.last, gap.absent) == (index, "trainer", 3, 6, 3)
    said = [item for item in gaps_of(verified(cast)) if item.kind is GapKind.SEQUENCES]
    assert len(said) == 2, "never hidden"
    assert "a disk was lost" in said[1].message
    spool.send(5)
    found = reported(cast)
    assert (found.missing, found.declared[0].absent) == (3, 2), "what came all the same is there"
    spool.say(11, "gap.declared", first=2, last=7, reason="all of it")
    found = reported(cast)
    assert (found.missing, found.ranges) == (1, ((8, 8),)), "what is declared twice counts once"
    assert [item.absent for item in found.declared] == [2, 4]
    spool.say(12, "gap.declared", first=13, last=14, reason="never sent")
    found = reported(cast)
    assert (found.highest, found.missing) == (14, 1)


def test_who_may_declare_a_gap(cast: Cast):
    Spool(cast).send(1, 3)
    body: dict[str, Any] = {"about": EMITTER, "first": 2, "last": 2, "reason": "x"}
    for actor in ("p-approver", "p-deployer"):
        with pytest.raises(NotAllowedError):
            Spool(cast, actor, OTHER).say(1, "gap.declared", **body, actor="trainer")
    with pytest.raises(InputError, match="not enrolled"):
        Spool(cast, "p-approver", OTHER).say(1, "gap.declared", **body, actor="p-x")
    with pytest.raises(InputError, match="smaller"):
        Spool(cast).say(4, "gap.declared", first=2, last=1, reason="x")
    assert reported(cast).missing == 1
    for number, actor in enumerate(("p-author", "p-admin"), 1):  # who answers for it, and an admin
        Spool(cast, actor, OTHER).say(number, "gap.declared", **body, actor="trainer")
        found = reported(cast)
        assert (found.missing, [gap.by for gap in found.declared]) == (0, ["p-author", "p-admin"][:number])


def test_what_was_put_in_by_sql_excuses_nothing(cast: Cast):
    """By somebody who has the store: void, a fault, and without effect."""
    Spool(cast).send(1, 4)
    stranger = Spool(cast, "p-approver", OTHER)
    body = {"actor": "trainer", "first": 2, "last": 3, "reason": "nothing to see"}
    envelope = stranger.envelope(1, "gap.declared", f"emitter:{EMITTER}", body)
    with pytest.raises(LedgerError):
        cast.admin.append(envelope)
    cast.recorder.close()
    with raw(cast.url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    found = verify_log(cast.recorder, cast.new.trust)
    assert [(item.fault, item.index) for item in found.findings] == [("legality", index)]
    assert [(item.missing, item.declared) for item in found.emitters] == [(2, ())]


def busy(cast: Cast) -> list[Spool]:
    """Emitters in every state."""
    one, two, three = Spool(cast), Spool(cast, emitter=OTHER), Spool(cast, "p-author", EMITTER)
    one.send(1, 3, 2, 6)
    one.say(7, "gap.declared", first=4, last=4, reason="x")
    two.send(2)
    two.say(3, "emitter.heartbeat", last=5, interval=60)
    three.send(1)
    three.say(2, "emitter.closed", last=4)
    return [one, two, three]


@pytest.mark.parametrize("grown", [False, True])
def test_going_on_from_an_earlier_verification_lists_the_same(quick_url: str, grown: bool):
    cast = make_cast(quick_url)
    spools = busy(cast)
    cast.admin.checkpoint()
    before = since(verified(cast))
    if grown:
        spools[0].send(8, 10)
        spools[2].send(4)
    whole = verified(cast)
    assert len(whole.emitters) == 3
    resumed = verified(cast, before)
    assert resumed.verified_from == before.size
    assert resumed.emitters == whole.emitters


def test_the_tail_tells_of_emitters_that_it_is_from_or_about(cast: Cast):
    spools = busy(cast)
    cast.admin.checkpoint()
    before = replace(since(verified(cast)), reread=False)

    def tail_is_of(*emitters: str) -> None:
        whole = {(item.actor, item.emitter): item for item in verified(cast).emitters}
        tail = {(item.actor, item.emitter): item for item in verified(cast, before).emitters}
        assert tail == {pair: item for pair, item in whole.items() if pair[1] in emitters}

    tail_is_of()
    spools[1].send(7)
    tail_is_of(OTHER)
    third = Spool(cast, "p-author", "0189aaaa-0000-7000-8000-0000000000e3")
    third.say(1, "gap.declared", about=EMITTER, first=3, last=3, reason="x")
    tail_is_of(OTHER, EMITTER)


def test_without_contents_only_numbers_are_compared(cast: Cast):
    busy(cast)
    found = verify_log(cast.recorder, cast.new.trust, level="checkpoint")
    assert all((item.declared, item.closed, item.heartbeat) == ((), None, None) for item in found.emitters)
    assert sorted((item.emitter, item.missing) for item in found.emitters) == [(EMITTER, 2), (OTHER, 1)]


def test_any_history_against_a_walk(cast: Cast):
    """Numbers that come in any order, with claims between: as the definition has it."""
    import random

    chance = random.Random(7)
    spool, seen = Spool(cast), Sequences()
    numbers = list(range(1, 61))
    chance.shuffle(numbers)
    declared: set[int] = set()
    highest = 0
    for place, number in enumerate(numbers[:40]):
        if place % 5 == 4:
            first = chance.randrange(1, 60)
            last = min(first + chance.randrange(6), 60)
            spool.say(number, "gap.declared", first=first, last=last, reason="x")
            declared |= set(range(first, last + 1))
            highest = max(highest, last)
        else:
            spool.send(number)
        assert seen.add("trainer", EMITTER, number)
        highest = max(highest, number)
    found = reported(cast)
    absent = set(range(1, highest + 1)) - set(numbers[:40])
    assert found.missing == len(absent - declared)
    listed = [n for first, last in found.ranges for n in range(first, last + 1)]
    assert listed == sorted(absent - declared)[: len(listed)]
    assert len(found.ranges) == 10 or len(listed) == found.missing


# -- an open ledger --------------------------------------------------------------------------------


def test_an_open_ledger_says_that_it_is_alive_and_when_it_ends(cast: Cast):
    ledger = cast["trainer"]
    emitter = ledger._emitter.id
    assert ledger.close_emitter() is None, "it gave out no number"
    ledger.emit("external.observed", "external:x", system="s")
    ledger.heartbeat(60)
    found = reported(cast, emitter)
    assert found.heartbeat is not None
    assert (found.heartbeat.last, found.missing) == (2, 0)
    assert ledger.close_emitter() is not None
    found = reported(cast, emitter)
    assert found.closed is not None
    assert (found.closed.last, found.missing, found.late) == (3, 0, 0)
    ledger.emit("external.observed", "external:x", system="s")
    assert ledger._emitter.id != emitter, "after its end another one begins"
    assert reported(cast, emitter) == found


def test_closing_the_emitter_is_asked_for(cast: Cast):
    def emit(**attributes: bool) -> list[str]:
        ledger = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
        for name, value in attributes.items():
            setattr(ledger, name, value)
        ledger.emit("external.observed", "external:x", system="s")
        size, emitter = cast.recorder.head().size, ledger._emitter.id
        ledger.close()
        rows = cast.recorder.rows(size, 10)
        assert {row.entry.emitter for row in rows} <= {emitter}
        return [row.entry.type for row in rows]

    assert emit() == [], "a short session is not made twice as long"
    assert emit(closes_emitter=True) == ["muniment.emitter.closed.v1"]
    silent = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
    silent.closes_emitter = True
    size = cast.recorder.head().size
    silent.close()
    assert cast.recorder.head().size == size, "nothing was said, so nothing ends"


@pytest.mark.parametrize("refused", [1, 2, 3, 4])
def test_numbers_of_refused_events_are_no_gap(cast: Cast, refused: int):
    """Numbers that came back while later ones were recorded are used or declared when the ledger closes."""
    ledger = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
    emitter = ledger._emitter.id
    taken = [ledger._emitter.take() for _ in range(refused)]
    ledger.emit("external.observed", "external:x", system="s")
    for number in taken:
        ledger._emitter.release(*number)
    assert reported(cast, emitter).missing == refused
    ledger.close()
    found = reported(cast, emitter)
    assert found.missing == 0
    assert sum(gap.absent for gap in found.declared) == refused // 2
    assert found.closed is not None
    assert found.closed.last == refused + 1 + (refused % 2 == 0)


def test_a_conflict_in_the_store_uses_up_no_number(quick_url: str):
    """Another process recorded the same id first, in the moment between looking it up and the commit."""
    cast = make_cast(quick_url)
    ledger = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
    emitter, taken = ledger._emitter.id, "0189bbbb-0000-7000-8000-000000000001"
    cast["trainer"].emit("external.observed", "external:first", system="s", event_id=taken)
    looked_up = ledger._repeated
    ledger._repeated = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(LedgerError):
        ledger.emit("external.observed", "external:second", system="s", event_id=taken)
    ledger._repeated = looked_up  # type: ignore[method-assign]
    receipt = ledger.emit("external.observed", "external:third", system="s")
    entry = cast.recorder.rows(receipt.index, 1)[0].entry
    assert (entry.emitter, entry.sequence) == (emitter, 1)
    ledger.close()
    assert verified(cast).missing == []
