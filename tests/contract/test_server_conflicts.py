"""Others are in the way on a server: serialisation failures, deadlocks and locks."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger, Receipt
from ledger.errors import StorageError
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.postgres_store import PostgresStore
from tests.contract.hanging import Call, another, check, emit, noted, waiting_backends
from tests.contract.support import Cast
from tests.postgres_pair import Pair


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
    """It holds the head row and is the last to wait, so that no other one can be told of the deadlock."""
    ledger = another(cast, options="-c%20deadlock_timeout%3D50ms")
    emit(ledger)
    with pair.primary.connect() as other, pair.primary.connect() as third:
        other.execute("SET deadlock_timeout = '10min'")
        with other.transaction(force_rollback=True):
            other.execute(f"LOCK TABLE {schema}.content IN SHARE MODE".encode())
            with third.transaction(force_rollback=True):
                third.execute(f"LOCK TABLE {schema}.entry IN SHARE MODE".encode())
                call = Call(lambda: emit(ledger))  # takes the head row, and waits for the first table
                pair.primary.wait(lambda: bool(waiting_backends(pair.primary, "relation")), "wait for a table")
                head = Call(lambda: other.execute(f"SELECT 1 FROM {schema}.head FOR UPDATE".encode()))
                pair.primary.wait(lambda: bool(waiting_backends(pair.primary, "transactionid")), "wait for the head")
            head.done()
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
            assert time.monotonic() - started < 30, "it is not tried again for 60 s"
            assert not caught.value.outcome_unknown
    receipt = emit(ledger)
    check(cast, pair.primary, [receipt], [])
