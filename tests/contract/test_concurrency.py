"""Many writers at once: positions stay gapless, nothing acknowledged is lost, what was judged is what was appended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.checkpoint import verify_checkpoint
from ledger.domain import judge
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConflictError
from ledger.recorders import open_recorder
from ledger.recorders.postgres_store import PostgresStore
from ledger.recorders.sqlite_store import SqliteStore
from ledger.stored import Row
from ledger.verify import Anchor, verify_log
from tests.contract.support import MODEL, Cast, audit, digest, lost, make_cast, register, workers

PROCESSES, EVENTS = 8, 25


def with_services(url: str, count: int) -> Cast:
    cast = make_cast(url, actors=("p-author", "trainer"))
    register(cast)
    for number in range(count):
        cast.enrol(f"svc-{number}", "service", ["emitter"], "p-author", seed=number + 1)
    return cast


def check(cast: Cast, added: int, before: int) -> list[dict[str, Any]]:
    rows = audit(cast.url)
    assert len(rows) == before + added
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    assert report.missing == [], "a number was used for nothing"
    return rows


def test_eight_processes_at_once(store_url: str, tmp_path: Path):
    cast = with_services(store_url, PROCESSES)
    before = cast.recorder.head().size
    cast.recorder.close()
    with workers() as others:
        with others.gate(tmp_path / "gate", PROCESSES) as gate:
            for number in range(PROCESSES):
                others.start("burst", store_url, f"svc-{number}", number + 1, f"w{number}", gate=gate, count=EVENTS)
        others.sync()
        assert others.errors == []
        assert len(others.ended) == PROCESSES
    assert len(others.acknowledged) == PROCESSES * EVENTS
    assert len({index for index, _ in others.acknowledged}) == PROCESSES * EVENTS
    assert lost(store_url, others.acknowledged) == []
    rows = check(cast, PROCESSES * EVENTS, before)
    assert max(Counter(row["stream"] for row in rows).values()) > 30, "they met in the same streams"
    authors = [row["actor"] for row in rows[before:]]
    turns = sum(left != right for left, right in pairwise(authors))
    assert turns > PROCESSES * 2, "they took turns"


def test_verification_while_others_append_is_never_alarmed(store_url: str, tmp_path: Path):
    cast = with_services(store_url, 4)
    recorder, sizes = open_recorder(store_url), set[int]()
    for turn in range(8):  # on a busy machine all may have been appended before the second verification
        with workers() as others:
            with others.gate(tmp_path / "gate", 4) as gate:
                for number in range(4):
                    seed, worker = 4 * turn + number + 1, f"w{turn}-{number}"
                    others.start("burst", store_url, f"svc-{number}", seed, worker, gate=gate, count=60)
            waiting = threading.Thread(target=others.sync)
            waiting.start()
            while waiting.is_alive():
                cast.admin.checkpoint()
                note = cast.recorder.last_checkpoint()
                assert note is not None
                anchor = Anchor("just signed", verify_checkpoint(note.note, cast.new.trust.vkeys))
                report = verify_log(recorder, cast.new.trust, [anchor])
                assert report.findings == [], f"at size {report.size}"
                assert report.anchored_size == anchor.checkpoint.size
                sizes.add(report.size)
            waiting.join()
            assert others.errors == []
        if len(sizes) > 3:
            break
    assert len(sizes) > 3, "it was verified between their appends"


def test_a_ledger_used_on_both_sides_of_a_fork(store_url: str):
    cast = with_services(store_url, 1)
    before = cast.recorder.head().size
    cast.recorder.close()
    with workers() as others:
        others.start("family", store_url, "svc-0", 1, "w")
        others.sync()
        assert others.errors == []
    assert len(others.acknowledged) == 4
    assert lost(store_url, others.acknowledged) == []
    rows = check(cast, 4, before)
    assert len({row["emitter"] for row in rows[before:]}) == 2, "the child numbers its own events"


def test_a_child_leaves_its_parents_connection_alone(quick_url: str, monkeypatch: pytest.MonkeyPatch):
    """`close` and `connect` after a fork, as the child sees them."""
    make_cast(quick_url, actors=())
    recorder = open_recorder(quick_url)
    recorder.head()
    store = recorder.store  # type: ignore[attr-defined]
    assert isinstance(store, SqliteStore | PostgresStore)
    parents: Any = store.connect()
    monkeypatch.setattr(store, "_pid", store._pid - 1)
    assert recorder.head().size == 2
    assert store.connect() is not parents
    recorder.close()
    monkeypatch.setattr(store, "_connection", parents)
    monkeypatch.setattr(store, "_pid", -1)
    recorder.close()
    assert parents.execute("SELECT 1").fetchone() == (1,), "the parent goes on using it"
    parents.close()


def together(tasks: list[Callable[[], Any]]) -> list[Any]:
    """Run tasks in threads of their own that start at the same time."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def test_eight_threads_on_one_ledger(quick_url: str):
    cast = with_services(quick_url, 1)
    ledger, before = cast["svc-0"], cast.recorder.head().size

    def write(number: int) -> list[Any]:
        found = []
        for turn in range(EVENTS):
            if turn % 5 == 0:
                found.append(commands.request_approval(ledger, MODEL, "prod", reason=f"{number}"))
            elif turn % 5 == 1:
                found.append(ledger.emit("dataset.registered", "dataset:shared@1", digest=digest("shared")))
            else:
                found.append(ledger.emit("run.started", f"run:{number % 3}", seed=turn))
        return found

    receipts = [item for found in together([lambda n=n: write(n) for n in range(8)]) for item in found]  # type: ignore[misc]
    assert lost(quick_url, [(receipt.index, receipt.id) for receipt in receipts]) == []
    assert len({receipt.index for receipt in receipts}) == 8 * EVENTS
    rows = check(cast, 8 * EVENTS, before)
    assert len({row["emitter"] for row in rows[before:]}) == 1


def test_threads_that_append_foreign_envelopes_while_others_read(quick_url: str):
    cast = with_services(quick_url, 4)
    gateway = Ledger(cast.recorder)
    before = cast.recorder.head().size
    stop = threading.Event()

    def send(number: int) -> None:
        for sequence in range(1, EVENTS + 1):
            # A suite each: of one suite only the last evaluation stands.
            body: dict[str, Any] = {"metrics": {"auc": 0.5}, "verdict": "pass", "suite": f"{number}/{sequence}"}
            payload, _ = build_payload(
                ledgerid=gateway.ledgerid, actor=f"svc-{number}", type="evaluation.completed", subject=MODEL, data=body,
                emitter=f"0189aaaa-0000-7000-8000-00000000000{number}", sequence=sequence,
            )  # fmt: skip
            gateway.append(format_envelope(sign_payload(payload, [cast.keys[f"svc-{number}"]])))

    def read() -> int:
        seen = 0
        while not stop.is_set():
            version = commands.version_state(gateway, MODEL)
            assert len(version.evaluations) >= seen, "an answer went back in time"
            indexes = [evaluation.index for evaluation in version.evaluations]
            assert indexes == sorted(set(indexes)), "an evaluation was folded twice"
            seen = len(indexes)
        return seen

    def send_all() -> None:
        try:
            together([lambda n=n: send(n) for n in range(4)])  # type: ignore[misc]
        finally:
            stop.set()

    together([read, read, send_all])
    check(cast, 4 * EVENTS, before)
    assert len(commands.version_state(gateway, MODEL).evaluations) == 4 * EVENTS + 1


def test_a_reader_does_not_refresh_the_world_under_a_judge(quick_url: str, monkeypatch: pytest.MonkeyPatch):
    """Judged before a key was revoked, appended under the authority after it: that must not happen."""
    cast = make_cast(quick_url, actors=("p-author",))
    author, elsewhere = cast["p-author"], open_recorder(quick_url)
    admin = Ledger(elsewhere, actor="p-admin", signers=[cast.new.admin_key])
    author.emit("external.observed", "external:x", system="s")
    threads: list[threading.Thread] = []
    world = author.world  # as a projection holds it

    def meanwhile() -> None:
        admin.emit("key.revoked", "actor:p-author", keyid=cast.keys["p-author"].public.keyid, reason="stolen")
        world.refresh()

    def slow_judge(*args: Any) -> Any:
        if not threads:
            threads.append(threading.Thread(target=meanwhile))
            threads[0].start()
            threads[0].join(0.5)
        return judge(*args)

    monkeypatch.setattr("ledger.appending.judge", slow_judge)
    with pytest.raises(AuthenticationError, match="revoked"):
        author.emit("external.observed", "external:x", system="s")
    threads[0].join(30)
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings


def test_a_lost_lock_file_costs_fairness_and_nothing_else(tmp_path: Path):
    """Turns are taken through a file that somebody may delete; appending is exclusive all the same."""
    cast = with_services(f"sqlite:///{tmp_path / 'ledger.db'}", 2)
    second = Ledger(open_recorder(cast.url), actor="svc-1", signers=[cast.keys["svc-1"]])
    before, insert = cast.recorder.head().size, cast.recorder.insert_rows
    threads: list[threading.Thread] = []
    receipts: list[Receipt] = []

    def disturbed(rows: Sequence[Row]) -> None:
        cast.recorder.insert_rows = insert  # type: ignore[method-assign]
        (tmp_path / "ledger.db.lock").unlink()
        threads.append(
            threading.Thread(target=lambda: receipts.append(second.emit("external.observed", "external:x", system="s")))
        )
        threads[0].start()
        threads[0].join(0.3)
        insert(rows)

    cast.recorder.insert_rows = disturbed  # type: ignore[method-assign]
    receipts.append(cast["svc-0"].emit("external.observed", "external:x", system="s"))
    threads[0].join(30)
    assert sorted(receipt.index for receipt in receipts) == [before, before + 1]
    check(cast, 2, before)


def test_two_ledgers_race_for_one_name(quick_url: str):
    """A version's name stands for one digest, whoever comes first."""
    cast = with_services(quick_url, 2)
    recorders = [open_recorder(quick_url) for _ in range(2)]
    ledgers = [
        Ledger(recorder, actor=f"svc-{n}", signers=[cast.keys[f"svc-{n}"]]) for n, recorder in enumerate(recorders)
    ]
    before, won = cast.recorder.head().size, 0
    for turn in range(15):

        def take(number: int, turn: int = turn) -> bool:
            try:
                ledgers[number].emit("dataset.registered", f"dataset:d@{turn}", digest=digest(f"{number}"))
            except ConflictError:
                return False
            return True

        outcomes = together([lambda: take(0), lambda: take(1)])
        assert sorted(outcomes) == [False, True]
        won += outcomes[0]
    check(cast, 15, before)
