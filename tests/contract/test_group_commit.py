"""Concurrent appends of one open ledger share commits, and each has its own outcome."""

from __future__ import annotations

import linecache
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.errors import ConflictError, LedgerError, StorageError
from ledger.recorders import group as group_module
from ledger.recorders import open_recorder
from ledger.recorders.group import GroupCommit, Outcome, Ticket
from ledger.recorders.units import StoredAt, Unit
from ledger.verify import verify_log
from tests.contract.support import audit, digest, filler, make_cast, raw

THREADS = 16


class SlowStore:
    """Appends nothing and notes what it was given; a commit takes as long as `gate` is closed."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: BaseException | None = None

    def append(self, units: Sequence[Unit]) -> list[Outcome]:
        self.groups.append(len(units))
        self.entered.set()
        assert self.gate.wait(20)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return [[StoredAt(event.sequence, b"", "", 1, 0, existing=False) for event in unit.events] for unit in units]


def nothing(_places: Sequence[StoredAt]) -> None:
    """For tickets nobody needs to hear of."""


def unit(number: int) -> Callable[[], Unit | None]:
    return lambda: Unit(tuple(filler(1, number)))


def large(number: int) -> Unit:
    return Unit(tuple(filler(300, 300 * number)))


def ask(group: GroupCommit, number: int) -> Outcome:
    return group.wait(group.enqueue(unit(number), nothing))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_comes_during_a_commit_goes_together_into_the_next():
    store = SlowStore()
    group = GroupCommit(store)
    store.gate.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(ask, group, number) for number in range(THREADS)]
        until(lambda: len(group._waiting) == THREADS - sum(store.groups) and sum(store.groups) >= 1)
        until(lambda: len(group._waiting) + sum(store.groups) == THREADS)
        store.gate.set()
        outcomes = [future.result() for future in futures]
    assert [outcome[0].index for outcome in outcomes if isinstance(outcome, list)] == [n + 1 for n in range(THREADS)]
    assert sum(store.groups) == THREADS
    assert len(store.groups) <= 3


def test_a_full_queue_refuses_in_the_end():
    store = SlowStore()
    group = GroupCommit(store, max_waiting=2, patience=0.1)
    store.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, group, 0)
        assert store.entered.wait(60)
        others = [pool.submit(ask, group, number) for number in (1, 2)]
        until(lambda: len(group._waiting) == 2)
        with pytest.raises(StorageError, match="wait for the store") as caught:
            ask(group, 3)
        assert not caught.value.outcome_unknown
        store.gate.set()
        assert all(isinstance(future.result(), list) for future in (first, *others))


@pytest.mark.parametrize("error", [StorageError("disk full"), KeyboardInterrupt(), ValueError("a bug")])
def test_an_error_reaches_its_thread_and_nobody_behind_it(error: BaseException):
    store = SlowStore()
    group = GroupCommit(store)
    store.error = error
    with pytest.raises(type(error)):
        ask(group, 5)
    assert isinstance(ask(group, 6), list)


def test_an_interrupted_leader_leaves_the_others_an_unknown_outcome():
    store = SlowStore()
    group = GroupCommit(store)
    mine, other = group.enqueue(unit(1), nothing), group.enqueue(unit(2), nothing)
    store.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        group.wait(mine)
    with pytest.raises(StorageError, match="cut short") as caught:
        group.wait(other)
    assert caught.value.outcome_unknown


class Interrupt(BaseException):
    """As Ctrl-C is: not an Exception."""


def interrupt_at(number: int) -> Callable[..., Any]:
    """A trace function that interrupts the group commit at the so-many-th line that this thread comes to there."""
    left = number

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != group_module.__file__:
            return None
        # No interrupt comes at the end of a `with`, between the last thing it holds and its giving back.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not line.startswith("with "):
            left -= 1
            if left == 0:
                raise Interrupt
        return trace

    return trace


def one_is_interrupted(number: int) -> bool:
    """Whether a leader was interrupted at this moment; another that sleeps then, and who comes later, must go on."""
    store = SlowStore()
    group = GroupCommit(store)
    store.gate.clear()

    def patient() -> None:
        with suppress(StorageError):  # cut short by the interrupt
            ask(group, 2)

    asleep, later = (threading.Thread(target=patient, daemon=True) for _ in range(2))

    def open_gate() -> None:
        assert store.entered.wait(60)
        asleep.start()
        until(lambda: not asleep.is_alive() or any(ticket.sleeps for ticket in group._waiting))
        store.gate.set()

    helper = threading.Thread(target=open_gate, daemon=True)
    helper.start()
    interrupted = False
    mine = group.enqueue(unit(1), nothing)
    sys.settrace(interrupt_at(number))
    try:
        group.wait(mine)
    except Interrupt:
        interrupted = True
    finally:
        sys.settrace(None)
    store.entered.set()  # when it did not come so far
    store.gate.set()
    helper.join(20)
    later.start()
    for thread in (asleep, later):
        thread.join(5)
        assert not thread.is_alive(), f"a thread waits for ever after an interrupt at line {number}"
    return interrupted


def test_an_interrupt_at_any_moment_leaves_nobody_waiting():
    trace = sys.gettrace()  # a coverage run has its own
    try:
        number = 1
        while one_is_interrupted(number):
            number += 1
    finally:
        sys.settrace(trace)
    assert number > 30, "the whole way was interrupted"


def test_what_was_appended_is_acknowledged_though_it_cannot_be_followed():
    """Telling this process's world may read the store, which may fail; the events are in the log all the same."""
    group = GroupCommit(SlowStore())

    def broken(_places: Sequence[StoredAt]) -> None:
        raise StorageError("the connection is gone")

    mine, other = group.enqueue(unit(1), broken), group.enqueue(unit(2), nothing)
    assert isinstance(group.wait(mine), list)
    assert isinstance(group.wait(other), list)


def test_a_ticket_nobody_waits_for_holds_nobody_up():
    """Its thread was interrupted between asking and waiting; the others' turn comes all the same."""
    group = GroupCommit(SlowStore())
    left = group.enqueue(unit(1), nothing)
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = list(pool.map(lambda number: ask(group, number), range(2, 2 + THREADS)))
    assert all(isinstance(outcome, list) for outcome in outcomes)
    assert left.outcome is not None


def test_what_cannot_be_made_belongs_to_who_asked_for_it():
    """A bug in one thread's event, a refusal, and nothing to append: the others' appends go on."""
    store = SlowStore()
    group = GroupCommit(store)

    def broken() -> Unit:
        raise ValueError("a bug")

    def refused() -> Unit:
        raise ConflictError("not now")

    first, bug, conflict, known = (group.enqueue(m, nothing) for m in (unit(1), broken, refused, lambda: None))
    assert isinstance(group.wait(first), list)
    with pytest.raises(ValueError, match="a bug"):
        group.wait(bug)
    assert isinstance(group.wait(conflict), ConflictError)
    assert group.wait(known) == []
    assert store.groups == [1]


def test_a_large_unit_ends_a_group():
    store = SlowStore()
    group = GroupCommit(store)
    tickets = [group.enqueue(partial(large, n), nothing) for n in range(3)]
    assert all(isinstance(group.wait(ticket), list) for ticket in tickets)
    assert store.groups == [1, 1, 1]


def test_a_forked_child_waits_for_no_thread_of_its_parent(quick_url: str):
    """Forked while other threads append, so that one of them judges, leads or writes: its locks are nobody's there."""
    ledger = make_cast(quick_url, actors=("p-author",))["p-author"]
    held = threading.Event()
    done = threading.Event()
    # A process does not fork while one of its threads is inside SQLite.
    store_lock = nullcontext if quick_url.startswith("sqlite:") else ledger.recorder.snapshot

    def hold() -> None:
        with ledger.judging, store_lock():
            ledger._appender._group._lock.acquire()
            ledger._emitter._lock.acquire()
            held.set()
            done.wait(30)
            ledger._emitter._lock.release()
            ledger._appender._group._lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            ledger.emit("external.observed", "external:child", system="s")
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join(20)
    assert os.waitstatus_to_exitcode(status) == 0
    ledger.emit("external.observed", "external:parent", system="s")
    with raw(quick_url) as store:
        found = store.run("SELECT emitter, sequence FROM $entry WHERE actor = ?", ("p-author",))
    assert sorted(number for _, number in found) == [1, 1]
    assert len({emitter for emitter, _ in found}) == 2
    audit(quick_url)


def test_children_forked_while_threads_append(quick_url: str):
    ledger = make_cast(quick_url, actors=("p-author",))["p-author"]
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            ledger.emit("external.observed", "external:x", system="s")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(12):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            try:
                work_once = ledger.emit("external.observed", "external:child", system="s")
            except BaseException:
                os._exit(1)
            os._exit(0 if work_once.status == "recorded" else 2)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    done.set()
    for thread in threads:
        thread.join(20)
    assert statuses == [0] * 12
    audit(quick_url)


def test_threads_of_one_ledger(quick_url: str):
    """Facts, registrations that clash, and illegal decisions at once: each gets what is its own."""
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    ledger, before = cast["trainer"], cast.recorder.head().size
    commits: list[int] = []
    append = cast.recorder.append

    def counted(units: Sequence[Unit]) -> Any:
        commits.append(len(units))
        return append(units)

    cast.recorder.append = counted  # type: ignore[method-assign]

    def work(number: int) -> list[Any]:
        found: list[Any] = []
        for turn in range(6):
            try:
                found.append(ledger.emit("external.observed", f"external:{number}", system="s", content={"n": turn}))
                name = f"dataset:shared@{turn}"
                found.append(ledger.emit("dataset.registered", name, digest=digest(f"{number % 2}")))
            except LedgerError as error:
                found.append(error)
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        found = [item for items in pool.map(work, range(THREADS)) for item in items]
    receipts = [item for item in found if not isinstance(item, LedgerError)]
    conflicts = [item for item in found if isinstance(item, LedgerError)]
    assert conflicts
    assert all(isinstance(item, ConflictError) for item in conflicts)
    assert sorted(receipt.index for receipt in receipts) == list(range(before, before + len(receipts)))
    assert len(commits) < sum(commits), "no commit was shared"
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    assert report.missing == []
    audit(quick_url)


def test_numbers_stand_in_the_log_in_their_order(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    ledger = cast["p-author"]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda n: ledger.emit("external.observed", f"external:{n}", system="s"), range(100)))
    with raw(quick_url) as store:
        found = store.run("SELECT sequence FROM $entry WHERE actor = ? ORDER BY position", ("p-author",))
    assert [number for (number,) in found] == list(range(1, 101))


def test_two_ledgers_on_one_store_see_what_the_other_did(quick_url: str):
    """Nothing is read before an append that the last one left known; what others did is found all the same."""
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    other = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
    mine = cast["trainer"]
    for turn in range(4):
        model = f"model:m@{turn}"
        other.emit("version.registered", model, digest=digest(model), owner="p-author", tier="low")
        receipt = mine.emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass")
        assert receipt.marks == (), "the version that another one registered is known"
        assert other.emit("evaluation.completed", f"model:n@{turn}", metrics={"auc": 0.9}, verdict="pass").marks
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_what_others_did_between_two_of_our_own_is_read(quick_url: str):
    """Our second append is not the next entry behind our first one, so streams known before must be read again."""
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    other = Ledger(cast.recorder, actor="trainer", signers=[cast.keys["trainer"]])
    mine = cast["trainer"]
    assert mine.emit("evaluation.completed", "model:m@1", metrics={"auc": 0.9}, verdict="pass").marks == (
        "unknown-version",
    )
    other.emit("version.registered", "model:m@1", digest=digest("m"), owner="p-author", tier="low")
    mine.emit("external.observed", "external:x", system="s")  # reads nothing before, and moves on behind it
    assert mine.emit("evaluation.completed", "model:m@1", metrics={"auc": 0.9}, verdict="pass").marks == ()
    assert verify_log(cast.recorder, cast.new.trust).ok


def test_tickets_are_small():
    assert not hasattr(Ticket(unit(1), nothing), "__dict__")


def test_a_head_that_another_ledger_signed_is_no_other_history(quick_url: str):
    """What a fact is marked by is read before it is marked, be it a stream or a head."""
    cast = make_cast(quick_url, actors=("p-author",))
    other = Ledger(open_recorder(quick_url), actor="p-author", signers=[cast.keys["p-author"]])
    other.emit("external.observed", "external:mine", system="s")
    for _ in range(3):
        last = cast["p-author"].emit("external.observed", "external:theirs", system="s")
    cast.admin.checkpoint()
    size = cast.recorder.head().size
    seen = {"size": size, "root": verify_log(cast.recorder).root}
    evidence = [{"index": last.index, "leaf_hash": last.leaf_hash.hex()}]
    assert other.emit("incident.opened", "incident:1", title="x", seen=seen, evidence=evidence).marks == ()
    wrong = {"size": size, "root": "0" * 64}
    assert other.emit("incident.opened", "incident:2", title="x", seen=wrong).marks == ("other-history",)
    other.close()


def test_a_number_whose_event_was_refused_is_given_to_the_next_in_the_same_group(quick_url: str):
    """Otherwise it stays unused when nothing follows, and a verification takes it for an event that is missing."""
    ledger = make_cast(quick_url, actors=("p-author",))["p-author"]
    refused: list[LedgerError] = []

    def emit(name: str, **body: object) -> None:
        try:
            ledger.emit(name, "external:x", body)
        except LedgerError as error:
            refused.append(error)

    group = ledger._appender._group
    bodies = [{"system": "s", "content": 5} if bad else {"system": "s"} for bad in (True, False, True, False, True)]
    threads = [threading.Thread(target=emit, args=("external.observed",), kwargs=body) for body in bodies]
    with ledger.judging:  # the leader waits to judge, so that the rest comes into one group or the next
        threads[0].start()
        while group._leader is None:
            time.sleep(0.001)
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join(30)
    with raw(quick_url) as store:
        found = store.run("SELECT sequence FROM $entry WHERE emitter = ?", (ledger._emitter.id,))
    assert len(refused) == 3
    assert sorted(number for (number,) in found) == [1, 2]
    assert verify_log(ledger.recorder).missing == []
