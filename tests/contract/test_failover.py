"""Servers that die, hang and hand over: what was acknowledged is never lost, and nothing is acknowledged or signed that
could be."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from cli.stores import examine_store
from ledger.application import Ledger, Receipt
from ledger.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from ledger.creation import enrol_actor
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import StorageError
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer
from ledger.note import parse_note
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.postgres_store import FAILOVER_SECONDS, PostgresStore
from ledger.verify import verify_log
from tests.contract.support import Cast, audit, make_cast
from tests.postgres_pair import Pair, Server, postgres_pair
from tests.unit.reference_merkle import mth


@pytest.fixture(scope="session")
def started_pair() -> Iterator[Pair]:
    with postgres_pair() as pair:
        yield pair


@pytest.fixture
def pair(started_pair: Pair) -> Iterator[Pair]:
    yield started_pair
    started_pair.heal()


@pytest.fixture
def schema() -> str:
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture
def cast(pair: Pair, schema: str) -> Cast:
    return make_cast(f"{pair.url}&schema={schema}", actors=("p-author",))


def emit(ledger: Ledger, **options: Any) -> Receipt:
    return ledger.emit("external.observed", "external:x", system="s", **options)


def another(cast: Cast, url: str = "", options: str = "") -> Ledger:
    """The same author through a connection of its own."""
    recorder = open_recorder((url or cast.url) + (f"&options={options}" if options else ""))
    return Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]])


class Call:
    """Something that runs in a thread, and what came of it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._action()
        except BaseException as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def done(self, seconds: float = 60) -> Any:
        self._thread.join(seconds)
        assert not self.waits, "it hangs"
        if self.error is not None:
            raise self.error
        return self.result


def waiting_backends(server: Server, event: str = "SyncRep") -> list[int]:
    return [pid for (pid,) in server.ask(f"SELECT pid FROM pg_stat_activity WHERE wait_event = '{event}'")]


def until_it_waits(server: Server, call: Call) -> int:
    """Wait until a call hangs at the standby, see that it goes on hanging, and return its backend."""
    server.wait(lambda: not call.waits or bool(waiting_backends(server)), "wait for its standby")
    time.sleep(0.2)
    assert call.waits, (call.result, call.error)
    (pid,) = waiting_backends(server)
    return pid


def cancelled(server: Server, call: Call) -> StorageError:
    """Cancel the wait for the standby: PostgreSQL says success with a warning, and we must not."""
    assert server.ask(f"SELECT pg_cancel_backend({until_it_waits(server, call)})") == [(True,)]
    with pytest.raises(StorageError, match="primary only") as caught:
        call.done()
    assert caught.value.outcome_unknown
    return caught.value


def noted(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def check(cast: Cast, primary: Server, receipts: list[Receipt], notes: list[Checkpoint]) -> list[dict[str, Any]]:
    """Everything acknowledged stands where it was acknowledged, once, and the log extends every head signed."""
    rows = audit(f"{primary.dsn}&schema={cast.url.partition('schema=')[2]}")
    assert len({row["id"] for row in rows}) == len(rows), "an event stands twice"
    for receipt in receipts:
        assert rows[receipt.index]["id"] == receipt.id
        assert bytes(rows[receipt.index]["leaf_hash"]) == receipt.leaf_hash
    leaves = [bytes(row["leaf_hash"]) for row in rows]
    for note in notes:
        assert note.size <= len(rows), "a head was signed over what is lost"
        assert note.root == mth(leaves[: note.size])
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    return rows


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[Checkpoint]:
    """Every head that any ledger signs, whether it gets out or not."""
    found: list[Checkpoint] = []

    def noting(checkpoint: Checkpoint, *arguments: Any) -> bytes:
        found.append(checkpoint)
        return sign_checkpoint(checkpoint, *arguments)

    monkeypatch.setattr("ledger.checkpoints.sign_checkpoint", noting)
    return found


@pytest.fixture
def undone(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What PostgreSQL undid, by name."""
    found: Counter[str] = Counter()
    attempt = PostgresStore._attempt

    def counting(self: PostgresStore, *arguments: Any, **options: Any) -> Any:
        try:
            return attempt(self, *arguments, **options)
        except psycopg.Error as error:
            found[type(error).__name__] += 1
            raise

    monkeypatch.setattr(PostgresStore, "_attempt", counting)
    return found


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
        wanted, deadline = len(self.receipts) + count, time.monotonic() + 40
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
    assert 1 < time.monotonic() - started < 4
    for action in (lambda: emit(ledger), cast.recorder.head, cast.admin.checkpoint):
        started = time.monotonic()
        with pytest.raises(StorageError) as again:
            action()
        assert not again.value.outcome_unknown, "nothing was sent"
        assert time.monotonic() - started < 1, "it is tried once"
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


# -- the standby hangs -----------------------------------------------------------------------------


def envelope(cast: Cast) -> bytes:
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid,
        actor="p-author",
        type="external.observed",
        subject="external:y",
        data={"system": "s"},
        emitter=str(uuid.uuid4()),
        sequence=1,
    )
    return format_envelope(sign_payload(payload, [cast.keys["p-author"]]))


def test_what_the_standby_did_not_confirm_is_not_acknowledged(pair: Pair, cast: Cast):
    ledger, event = cast["p-author"], envelope(cast)
    emit(ledger)
    before = cast.recorder.head().size
    pair.standby.pause()
    error = cancelled(pair.primary, Call(lambda: ledger.append(event)))
    assert "safe" in error.hint
    assert cast.recorder.head().size == before + 1, "it can be seen, and is not safe"
    cancelled(pair.primary, Call(lambda: ledger.append(event)))
    again = Call(lambda: ledger.append(event))
    until_it_waits(pair.primary, again)
    pair.standby.go_on()
    receipt = again.done()
    assert (receipt.index, receipt.existing) == (before, True)
    assert len(check(cast, pair.primary, [receipt], [])) == before + 1


def test_a_receipt_that_was_only_looked_up_waits_as_well(pair: Pair, cast: Cast):
    """Nothing is appended for a repeated id, or for a decision that was taken before, and yet it is acknowledged."""
    ledger, event_id = cast["p-author"], str(uuid.uuid4())
    emit(ledger)
    pair.standby.pause()
    cancelled(pair.primary, Call(lambda: emit(ledger, event_id=event_id)))
    cancelled(pair.primary, Call(lambda: emit(ledger, event_id=event_id)))
    key = Ed25519Signer.generate()
    cancelled(pair.primary, Call(lambda: enrol_actor(cast.admin, "late", key, kind="person", roles=["emitter"])))
    (row,) = cast.recorder.rows_before(cast.recorder.head().size, 1)
    decision = format_envelope(sign_payload(row.payload or b"", [cast.keys["p-admin"]]))
    admin = another(cast)  # knows that the actor is enrolled, so it refuses, and then finds the event itself
    cancelled(pair.primary, Call(lambda: admin.append(decision)))
    again = Call(lambda: admin.append(decision))
    until_it_waits(pair.primary, again)
    pair.standby.go_on()
    assert (again.done().index, again.done().existing) == (row.entry.index, True)
    assert emit(ledger, event_id=event_id).existing


def test_a_terminated_wait_is_asked_about_again(pair: Pair, cast: Cast):
    ledger, before = another(cast, f"{cast.url}&connect_timeout=2"), cast.recorder.head().size  # one host is frozen
    emit(ledger)
    pair.standby.pause()
    call = Call(lambda: emit(ledger))
    pid = until_it_waits(pair.primary, call)
    pair.primary.ask(f"SELECT pg_terminate_backend({pid})")
    pair.primary.wait(lambda: pid not in waiting_backends(pair.primary), "end that backend")
    assert until_it_waits(pair.primary, call) != pid
    pair.standby.go_on()
    receipt = call.done()
    assert (receipt.index, receipt.existing) == (before + 1, True)
    check(cast, pair.primary, [receipt], [])


def test_no_head_is_signed_over_what_the_standby_lacks(pair: Pair, cast: Cast, signed: list[Checkpoint]):
    """Rows are visible whose commit was cut short; then the primary is lost, and they with it."""
    acknowledged = emit(cast["p-author"])
    last = noted(cast.admin.checkpoint())
    pair.standby.kill()
    cancelled(pair.primary, Call(lambda: emit(cast["p-author"])))
    lost = acknowledged.index + 1
    assert cast.recorder.head().size == lost + 1
    cancelled(pair.primary, Call(cast.admin.checkpoint))
    assert signed[-1] == last, "it was not even signed"
    head = Call(cast.admin.checkpoint)
    until_it_waits(pair.primary, head)
    pair.primary.kill()
    pair.standby.start()
    pair.fail_over()
    assert noted(head.done()) == last, "the head of what is left"
    fresh = another(cast)
    receipt = emit(fresh)
    assert receipt.index == lost, "another event stands there now"
    check(cast, pair.primary, [acknowledged, receipt], [*signed, noted(cast.admin.checkpoint())])


@pytest.mark.parametrize("access", ["owner", "reader"])
def test_a_stored_head_is_not_handed_out_before_the_standby_has_it(
    pair: Pair, cast: Cast, schema: str, access: str, monkeypatch: pytest.MonkeyPatch
):
    emit(cast["p-author"])

    def stop_the_standby(*arguments: Any) -> bytes:
        pair.standby.pause()
        return sign_checkpoint(*arguments)

    handle = LogHandle(cast.recorder)
    assert isinstance(cast.recorder, PostgresRecorder)
    if access == "reader":
        with pair.primary.connect() as connection:
            connection.execute(f"CREATE ROLE {schema}_reader".encode())
        cast.recorder.grant(f"{schema}_reader", "reader")
        handle = LogHandle(open_recorder(f"{cast.url}&options=-c%20role%3D{schema}_reader"))
        assert handle.recorder.ask("SELECT current_user") == [(f"{schema}_reader",)]
    with monkeypatch.context() as patch:
        patch.setattr("ledger.checkpoints.sign_checkpoint", stop_the_standby)
        cancelled(pair.primary, Call(cast.admin.checkpoint))
    stored = cast.recorder.last_checkpoint()
    assert stored is not None
    assert stored.size == cast.recorder.head().size
    remembered = cast.admin._last_signed
    assert remembered is None or remembered.size < stored.size
    cancelled(pair.primary, Call(cast.admin.checkpoint))
    cancelled(pair.primary, Call(handle.checkpoint))
    again = Call(handle.checkpoint)
    until_it_waits(pair.primary, again)
    pair.standby.go_on()
    assert again.done() == stored.note == cast.admin.checkpoint()


def test_a_writer_waits_too(pair: Pair, cast: Cast, schema: str):
    assert isinstance(cast.recorder, PostgresRecorder)
    with pair.primary.connect() as connection:
        connection.execute(f"CREATE ROLE {schema}_writer".encode())
    cast.recorder.grant(f"{schema}_writer", "writer")
    ledger = another(cast, options=f"-c%20role%3D{schema}_writer")
    emit(ledger)
    ledger.sign_heads_with([cast.new.checkpoint], None)
    pair.standby.pause()
    cancelled(pair.primary, Call(lambda: emit(ledger)))
    cancelled(pair.primary, Call(ledger.checkpoint))
    pair.standby.go_on()
    assert noted(ledger.checkpoint()).size == cast.recorder.head().size


def test_without_functions_it_waits_too(pair: Pair, cast: Cast):
    ledger, event = cast["p-author"], envelope(cast)
    assert isinstance(cast.recorder, PostgresRecorder)
    cast.recorder._has_functions = False
    emit(ledger)
    pair.standby.pause()
    cancelled(pair.primary, Call(lambda: ledger.append(event)))
    cancelled(pair.primary, Call(lambda: ledger.append(event)))
    cancelled(pair.primary, Call(cast.admin.checkpoint))
    pair.standby.go_on()
    receipt = ledger.append(event)
    assert receipt.existing
    check(cast, pair.primary, [receipt], [noted(cast.admin.checkpoint())])


def test_weaker_settings_are_overridden(pair: Pair, cast: Cast, schema: str):
    for level in ("off", "local", "remote_write", "on"):
        ledger = another(cast, options=f"-c%20synchronous_commit%3D{level}")
        assert ledger.recorder.ask("SHOW synchronous_commit") == [("on",)]
    applied = another(cast, options="-c%20synchronous_commit%3Dremote_apply")
    assert applied.recorder.ask("SHOW synchronous_commit") == [("remote_apply",)]
    with pair.primary.connect() as connection:
        connection.execute(f"CREATE ROLE {schema}_weak LOGIN SUPERUSER".encode())
        connection.execute(f"ALTER ROLE {schema}_weak SET synchronous_commit = local".encode())
    weak = another(cast, cast.url.replace("postgres@", f"{schema}_weak@"))
    emit(weak)
    pair.standby.pause()
    cancelled(pair.primary, Call(lambda: emit(weak)))


# -- others are in the way -------------------------------------------------------------------------


@pytest.mark.parametrize("functions", [True, False])
def test_serialisation_failures_are_retried(pair: Pair, cast: Cast, undone: Counter[str], functions: bool):
    ledgers = [another(cast, options="-c%20default_transaction_isolation%3Dserializable") for _ in range(3)]
    for ledger in ledgers:
        assert isinstance(ledger.recorder, PostgresRecorder)
        ledger.recorder._has_functions = functions
        ledger.sign_heads_with([cast.new.checkpoint], None)

    def work(ledger: Ledger) -> list[Receipt]:
        found = [emit(ledger) for _ in range(12)]
        ledger.checkpoint()
        return found

    calls = [Call(partial(work, ledger)) for ledger in ledgers]
    receipts = [receipt for call in calls for receipt in call.done()]
    assert undone["SerializationFailure"] > 0, undone
    rows = check(cast, pair.primary, receipts, [noted(cast.admin.checkpoint())])
    assert len(rows) == 3 + len(receipts) == 3 + 36


def test_a_deadlock_is_retried(pair: Pair, cast: Cast, schema: str, undone: Counter[str]):
    ledger = another(cast, options="-c%20deadlock_timeout%3D700ms")
    emit(ledger)
    with pair.primary.connect() as other:
        other.execute("SET deadlock_timeout = '20s'")
        with other.transaction(force_rollback=True):
            other.execute(f"LOCK TABLE {schema}.content IN SHARE MODE".encode())
            call = Call(lambda: emit(ledger))  # takes the head row, and waits for the table
            pair.primary.wait(lambda: bool(waiting_backends(pair.primary, "relation")), "wait for the table")
            other.execute(f"SELECT 1 FROM {schema}.head FOR UPDATE".encode())
        receipt = call.done()
    assert undone == {"DeadlockDetected": 1}
    assert not receipt.existing
    check(cast, pair.primary, [receipt], [])


def test_nobody_waits_for_ever_for_a_lock(pair: Pair, cast: Cast, schema: str):
    assert cast.recorder.ask("SHOW lock_timeout") == [("1min",)]
    ledger = another(cast, options="-c%20lock_timeout%3D300ms")
    assert ledger.recorder.ask("SHOW lock_timeout") == [("300ms",)], "a limit that is set already is kept"
    with pair.primary.connect() as other:
        with other.transaction(force_rollback=True):
            other.execute(f"SELECT 1 FROM {schema}.head FOR UPDATE".encode())
            started = time.monotonic()
            with pytest.raises(StorageError, match="lock timeout") as caught:
                emit(ledger)
            assert time.monotonic() - started < 2
            assert not caught.value.outcome_unknown
    receipt = emit(ledger)
    check(cast, pair.primary, [receipt], [])


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
