"""A standby that hangs: nothing is acknowledged or signed that could be lost."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.creation import enrol_actor
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import StorageError
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from tests.contract.hanging import Call, another, check, emit, noted, waiting_backends
from tests.contract.support import Cast
from tests.postgres_pair import Pair, Server


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
    # It knows that the actor is enrolled, so it refuses, and then finds the event itself; one host is frozen.
    admin = another(cast, f"{cast.url}&connect_timeout=2")
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
