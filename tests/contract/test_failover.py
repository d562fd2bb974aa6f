"""Servers that die and hand over: what was acknowledged is never lost, and one of several hosts is written to."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest

from cli.stores import examine_store
from ledger.application import Ledger, Receipt
from ledger.checkpoint import Checkpoint
from ledger.errors import StorageError
from ledger.handle import LogHandle
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.postgres_store import FAILOVER_SECONDS
from ledger.verify import verify_log
from tests.contract.hanging import Call, another, check, emit, noted
from tests.contract.support import Cast
from tests.postgres_pair import Pair


class Traffic:
    """Threads that append and sign heads until they are told to stop."""

    def __init__(self, cast: Cast) -> None:
        self.receipts: list[Receipt] = []
        self.longest = 0.0
        self.given: set[str] = set()
        self._stop = threading.Event()
        own, other = cast["p-author"], another(cast)
        self._calls = [
            Call(lambda: self._go_on(lambda: self.receipts.append(emit(own)))),
            Call(lambda: self._go_on(lambda: self.receipts.append(emit(own)))),
            Call(lambda: self._go_on(lambda: self.receipts.append(emit(other)))),
            Call(lambda: self._go_on(lambda: self._with_an_id(own))),
            Call(lambda: self._go_on(lambda: self._head(cast.admin))),
        ]

    def _with_an_id(self, ledger: Ledger) -> None:
        event_id = str(uuid.uuid4())
        self.given.add(event_id)
        self.receipts.append(emit(ledger, event_id=event_id))

    def _head(self, ledger: Ledger) -> None:
        ledger.checkpoint()
        time.sleep(0.05)

    def _go_on(self, action: Callable[[], None]) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            action()
            self.longest = max(self.longest, time.monotonic() - started)

    def more(self, count: int) -> None:
        """Wait for this many receipts more."""
        wanted, deadline = len(self.receipts) + count, time.monotonic() + 90
        while len(self.receipts) < wanted:
            assert all(call.waits for call in self._calls), [call.error for call in self._calls]
            assert time.monotonic() < deadline, "no receipts any more"
            time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        for call in self._calls:
            call.done()


# -- the primary dies ------------------------------------------------------------------------------


def test_a_failover_loses_and_doubles_nothing(
    pair: Pair, cast: Cast, signed: list[Checkpoint], record_property: Callable[[str, object], None]
):
    traffic = Traffic(cast)
    traffic.more(30)
    before = pair.primary.port
    pair.fail_over(after=1)
    traffic.more(30)
    traffic.stop()
    assert pair.primary.port != before
    assert cast.recorder.ask("SELECT pg_is_in_recovery()") == [(False,)]
    rows = check(cast, pair.primary, traffic.receipts, signed)
    assert traffic.given <= {row["id"] for row in rows}, "the ids that were given"
    assert len(traffic.receipts) == len(rows) - 3, "genesis, the admin and the author came before"
    record_property("longest_pause_seconds", round(traffic.longest, 2))
    assert 1 < traffic.longest < FAILOVER_SECONDS / 2


def test_a_server_killed_and_started_again_is_found_again(pair: Pair, cast: Cast, signed: list[Checkpoint]):
    pair.wait_for_standby("")
    traffic = Traffic(cast)
    traffic.more(20)
    for _ in range(2):
        pair.primary.kill()
        time.sleep(0.5)
        pair.primary.start()
        traffic.more(20)
    traffic.stop()
    check(cast, pair.primary, traffic.receipts, signed)
    assert 0.5 < traffic.longest < FAILOVER_SECONDS / 2


def test_a_server_that_stays_away_is_reported_in_time(pair: Pair, cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.recorders.postgres_store.FAILOVER_SECONDS", 1.5)
    ledger = cast["p-author"]
    emit(ledger)
    pair.primary.kill()
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        emit(ledger)
    assert caught.value.outcome_unknown
    assert 1 < time.monotonic() - started < 30, "not the 60 s that are usual"
    monkeypatch.setattr("ledger.recorders.postgres_store.FAILOVER_SECONDS", 60.0)  # who tried it again would take long
    for action in (lambda: emit(ledger), cast.recorder.head, cast.admin.checkpoint):
        started = time.monotonic()
        with pytest.raises(StorageError) as again:
            action()
        assert not again.value.outcome_unknown, "nothing was sent"
        assert time.monotonic() - started < 30, "it is tried once"
    pair.primary.start()
    emit(ledger)
    check(cast, pair.primary, [], [])


# -- which server ----------------------------------------------------------------------------------


def test_several_hosts_mean_the_one_that_writes(pair: Pair, cast: Cast):
    first, second = pair.standby.port, pair.primary.port
    url = f"postgresql://postgres@/postgres?host={pair.folder},{pair.folder}&port={first},{second}"
    ledger = another(cast, f"{url}&schema={cast.url.partition('schema=')[2]}")
    receipt = emit(ledger)
    assert isinstance(ledger.recorder, PostgresRecorder)
    info = ledger.recorder.store.connect().info
    assert info.port == second
    assert info.get_parameters()["tcp_user_timeout"] == "25000", "a host that vanishes is noticed"
    check(cast, pair.primary, [receipt], [])


def test_a_single_standby_is_read_and_never_written(pair: Pair, cast: Cast, schema: str):
    emit(cast["p-author"])
    note = cast.admin.checkpoint()
    pair.in_step()
    ledger = another(cast, f"{pair.standby.dsn}&schema={schema}")
    report = verify_log(ledger.recorder, cast.new.trust)
    assert report.ok
    assert report.size == cast.recorder.head().size
    assert LogHandle(ledger.recorder).checkpoint() == note
    with pytest.raises(StorageError, match="standby or read-only") as caught:
        emit(ledger)
    assert not caught.value.outcome_unknown
    assert "Name the primary" in caught.value.hint
    assert len(check(cast, pair.primary, [], [noted(note)])) == report.size


# -- what `doctor` says of it ----------------------------------------------------------------------


def test_doctor_looks_at_standbys_and_access(pair: Pair, cast: Cast, schema: str):
    def found(url: str) -> dict[str, tuple[bool, str]]:
        recorder = open_recorder(url)
        try:
            examined = {name: (good, words) for name, good, words, _ in examine_store(recorder)}
            assert examined.pop("fsync") == (False, "fsync off"), "as these servers are set"
            return examined
        finally:
            recorder.close()

    assert isinstance(cast.recorder, PostgresRecorder)
    owner = found(cast.url)
    assert all(good for good, _ in owner.values()), owner
    name = pair.standby.name
    assert owner["standbys"][1] == f"commits of this session wait for {name} (1 connected)"
    assert owner["functions"][1] == "appends are one call on the server"
    assert owner["database role"][1] == "postgres is owner here"
    assert owner["data checksums"][1] == "data_checksums on"
    for access in ("reader", "writer"):
        with pair.primary.connect() as connection:
            connection.execute(f"CREATE ROLE {schema}_{access}".encode())
        cast.recorder.grant(f"{schema}_{access}", access)
        theirs = found(f"{cast.url}&options=-c%20role%3D{schema}_{access}")
        assert all(good for good, _ in theirs.values()), theirs
        assert theirs["database role"][1] == f"{schema}_{access} is {access} here"
        assert theirs["standbys"][1] == f"commits of this session wait for {name}", "it may not see who is connected"
    pair.in_step()
    assert "can be read, and not written" in found(f"{pair.standby.dsn}&schema={schema}")["standbys"][1]
    pair.standby.kill()
    pair.primary.wait(lambda: not pair.primary.ask("SELECT 1 FROM pg_stat_replication"), "miss its standby")
    assert found(cast.url)["standbys"] == (False, f"commits of this session wait for {name} (0 connected)")
    pair.wait_for_standby("")
    pair.primary.wait(lambda: pair.primary.ask("SHOW synchronous_standby_names") == [("",)], "read its settings")
    assert "may lose" in found(cast.url)["standbys"][1]
