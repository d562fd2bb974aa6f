"""COMMIT is the one moment whose outcome can be unknown: whatever cuts the connection, nothing is lost or doubled."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger, Receipt
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import StorageError
from ledger.recorders import open_recorder
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.postgres_store import PostgresStore
from ledger.recorders.units import Unit
from ledger.verify import verify_log
from tests.contract.postgres_proxy import AppendReply, Proxy, append_request, proxy_to
from tests.contract.support import Cast, audit, filler, make_cast


class Writer:
    """A ledger reached through the proxy, and the same ledger reached directly."""

    def __init__(self, url: str, proxy: Proxy) -> None:
        self.url, self.proxy = url, proxy
        self.cast: Cast = make_cast(url, actors=("p-author",))
        self.recorder = open_recorder(f"{proxy.dsn}&schema={url.partition('schema=')[2]}")
        assert isinstance(self.recorder, PostgresRecorder)
        self.ledger = Ledger(self.recorder, actor="p-author", signers=[self.cast.keys["p-author"]])
        self.acknowledged: list[Receipt] = [self.emit()]

    def emit(self) -> Receipt:
        return self.ledger.emit("external.observed", "external:x", system="s")

    def envelope(self) -> bytes:
        payload, _ = build_payload(
            ledgerid=self.ledger.ledgerid,
            actor="p-author",
            type="external.observed",
            subject="external:y",
            data={"system": "s"},
            emitter="0189aaaa-0000-7000-8000-000000000001",
            sequence=1,
        )
        return format_envelope(sign_payload(payload, [self.cast.keys["p-author"]]))

    def check(self) -> list[dict[str, Any]]:
        """The log is good, holds each event once, and everything acknowledged where it was acknowledged."""
        report = verify_log(self.cast.recorder, self.cast.new.trust)
        assert report.ok, report.findings
        rows = audit(self.url)
        assert len({row["id"] for row in rows}) == len(rows)
        for receipt in self.acknowledged:
            assert rows[receipt.index]["id"] == receipt.id
            assert bytes(rows[receipt.index]["leaf_hash"]) == receipt.leaf_hash
        return rows


@pytest.fixture
def writer(postgres_dsn: str, postgres_url: str) -> Iterator[Writer]:
    with proxy_to(postgres_dsn) as proxy:
        made = Writer(postgres_url, proxy)
        yield made
        made.recorder.close()


def test_a_lost_reply_to_commit_gives_the_first_receipt(writer: Writer):
    before = len(writer.check())
    writer.proxy.cut_next(AppendReply())
    receipt = writer.emit()
    assert writer.proxy.cuts == 1
    assert receipt.existing, "it was committed before the reply was lost"
    assert receipt.index == before
    writer.acknowledged += [receipt, writer.emit()]
    assert len(writer.check()) == before + 2
    assert verify_log(writer.cast.recorder).missing == []


def test_a_commit_that_never_arrives_is_appended_once(writer: Writer):
    before = len(writer.check())
    writer.proxy.cut_next(append_request)
    receipt = writer.emit()
    assert writer.proxy.cuts == 1
    assert not receipt.existing, "it was rolled back and appended anew"
    assert receipt.index == before
    writer.acknowledged += [receipt, writer.emit()]
    assert len(writer.check()) == before + 2


def test_several_losses_in_a_row(writer: Writer):
    before = len(writer.check())
    writer.proxy.cut_next(append_request, times=3)
    writer.acknowledged.append(writer.emit())
    writer.proxy.cut_next(AppendReply(), times=2)  # the look-up's own commit is lost as well
    writer.acknowledged.append(writer.emit())
    assert writer.proxy.cuts == 5
    assert len(writer.check()) == before + 2


def test_a_batch_whose_reply_is_lost_is_found_whole(writer: Writer):
    before = len(writer.check())
    writer.proxy.cut_next(AppendReply())
    outcomes = writer.recorder.append([Unit(tuple(filler(3, 100))), Unit(tuple(filler(2, 200)))])
    assert writer.proxy.cuts == 1
    assert [[(at.index, at.existing) for at in unit] for unit in outcomes] == [
        [(before, True), (before + 1, True), (before + 2, True)],
        [(before + 3, True), (before + 4, True)],
    ]
    assert len(audit(writer.url)) == before + 5


def test_a_conflict_is_still_a_conflict_after_a_lost_reply(writer: Writer):
    """The unit beside it is found again by id; its conflict is found again too."""
    writer.recorder.append([Unit(tuple(filler(1, 7)))])
    before = len(audit(writer.url))
    writer.proxy.cut_next(AppendReply())
    clash = filler(1, 7, state=b"{}", payload=hashlib.sha256(b"{}").hexdigest())
    outcomes = writer.recorder.append([Unit(tuple(clash)), Unit(tuple(filler(1, 8)))])
    assert isinstance(outcomes[0], Exception)
    assert outcomes[1][0].existing
    assert len(audit(writer.url)) == before + 1


def terminate(writer: Writer, dsn: str) -> None:
    pid = writer.recorder.store.connect().info.backend_pid  # type: ignore[attr-defined]
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone() == (True,)
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
            time.sleep(0.01)


def test_a_backend_terminated_between_two_appends(writer: Writer, postgres_dsn: str):
    before = len(writer.check())
    for _ in range(3):
        terminate(writer, postgres_dsn)
        writer.acknowledged.append(writer.emit())
    terminate(writer, postgres_dsn)
    assert writer.recorder.head().size == len(writer.check()) == before + 3


def test_a_server_gone_for_good_says_that_the_outcome_is_unknown(writer: Writer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.recorders.postgres_store.FAILOVER_SECONDS", 2.0)
    before = len(writer.check())
    envelope = writer.envelope()
    writer.proxy.cut_next(AppendReply(), then_refuse=True)
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        writer.ledger.append(envelope)
    assert 1 < time.monotonic() - started < 30, "not the 60 s that are usual"
    assert caught.value.outcome_unknown
    assert "unknown" in caught.value.hint
    with pytest.raises(StorageError) as again:
        writer.ledger.append(envelope)
    assert not again.value.outcome_unknown, "this time nothing was sent"
    writer.proxy.refusing = False
    receipt = writer.ledger.append(envelope)
    assert (receipt.index, receipt.existing) == (before, True), "the retry learns what became of it"
    assert len(writer.check()) == before + 1


def test_an_emitter_goes_on_after_an_unknown_outcome(writer: Writer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.recorders.postgres_store.FAILOVER_SECONDS", 1.0)
    before = len(writer.check())
    writer.proxy.cut_next(AppendReply(), then_refuse=True)
    with pytest.raises(StorageError):
        writer.emit()
    writer.proxy.refusing = False
    writer.acknowledged.append(writer.emit())
    assert len(writer.check()) == before + 2
    writer.proxy.cut_next(append_request, then_refuse=True)
    with pytest.raises(StorageError):
        writer.emit()
    writer.proxy.refusing = False
    writer.acknowledged.append(writer.emit())
    assert len(writer.check()) == before + 3
    missing = verify_log(writer.cast.recorder).missing
    assert [count for _, _, count in missing] == [1], "the number of the event that never arrived shows"


def test_an_interrupt_leaves_the_emitter_usable(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    append = cast.recorder.append

    def interrupted(units: Any) -> Any:
        cast.recorder.append = append  # type: ignore[method-assign]
        append(units)
        raise KeyboardInterrupt

    cast.recorder.append = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cast["p-author"].emit("external.observed", "external:x", system="s")
    receipt = cast["p-author"].emit("external.observed", "external:x", system="s")
    assert receipt.index == cast.recorder.head().size - 1
    assert verify_log(cast.recorder, cast.new.trust).ok


@pytest.mark.parametrize("seed", range(3))
def test_random_cuts_lose_and_double_nothing(writer: Writer, seed: int, monkeypatch: pytest.MonkeyPatch):
    """Cut after a random number of messages in either direction, also while connecting anew."""
    monkeypatch.setattr("ledger.recorders.postgres_store.FAILOVER_SECONDS", 1.0)
    chance = random.Random(seed)
    unknown = 0
    for _ in range(16):
        left, theirs = chance.randrange(7), chance.random() < 0.5

        def nth(from_client: bool, kind: bytes, body: bytes, theirs: bool = theirs) -> bool:
            nonlocal left
            left -= from_client == theirs
            return left < 0

        writer.proxy.cut_next(nth, times=chance.choice((1, 1, 2)))
        try:
            writer.acknowledged.append(writer.emit())
        except StorageError as error:
            unknown += error.outcome_unknown
    writer.proxy.cut_next(lambda *_: False)
    writer.acknowledged.append(writer.emit())
    rows = writer.check()
    started = len(writer.cast.ledgers) + 1
    assert writer.proxy.cuts > 12
    assert len(writer.acknowledged) <= len(rows) - started <= len(writer.acknowledged) + unknown


# -- what the server refuses is not ambiguous ------------------------------------------------------


def test_a_lock_that_is_not_had_in_time_is_a_plain_failure(writer: Writer, postgres_dsn: str):
    before = len(writer.check())
    schema = writer.url.partition("schema=")[2]
    impatient = open_recorder(writer.url + "&options=-c%20lock_timeout%3D200")
    ledger = Ledger(impatient, actor="p-author", signers=[writer.cast.keys["p-author"]])
    with psycopg.connect(postgres_dsn) as other:
        other.execute(f"SELECT * FROM {schema}.head FOR UPDATE".encode())
        started = time.monotonic()
        with pytest.raises(StorageError, match="lock timeout") as caught:
            ledger.emit("external.observed", "external:x", system="s")
    assert time.monotonic() - started < 30, "the server answered: nothing is to be asked again for 60 s"
    assert not caught.value.outcome_unknown
    writer.acknowledged.append(ledger.emit("external.observed", "external:x", system="s"))
    assert len(writer.check()) == before + 1


def test_a_read_that_takes_too_long_is_a_storage_error(postgres_url: str):
    make_cast(postgres_url, actors=())
    recorder = open_recorder(postgres_url + "&options=-c%20statement_timeout%3D100")
    with pytest.raises(StorageError, match="statement timeout") as caught:
        recorder._run("SELECT pg_sleep(5)")
    assert "PGOPTIONS='-c statement_timeout=1h'" in caught.value.hint
    assert recorder.head().size == 2


def test_every_statement_has_a_bound_whatever_the_server_says(
    postgres_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
):
    """Nobody waits for ever on a server of somebody else's; only who connects allows more."""
    make_cast(postgres_url, actors=())
    role = f"{postgres_url.partition('schema=')[2]}_slow"
    theirs = re.sub("//[^@]*@", f"//{role}@", postgres_url)
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} SUPERUSER LOGIN".encode())
        for setting in ("statement_timeout = '10d'", "search_path = theirs, pg_catalog"):
            owner.execute(f"ALTER ROLE {role} SET {setting}".encode())
        try:
            for variable, url, expected in (
                ("", theirs, "15min"),
                ("-c statement_timeout=1h", theirs, "1h"),
                ("-c lock_timeout=1s", theirs, "15min"),
                ("-c statement_timeout=1h", theirs + "&options=-c%20statement_timeout%3D2h", "2h"),
                ("-c statement_timeout=1h", theirs + "&options=-c%20lock_timeout%3D1s", "15min"),
            ):
                monkeypatch.setenv("PGOPTIONS", variable)
                store = PostgresStore(url)
                asked = "SELECT current_setting('statement_timeout'), current_setting('search_path')"
                assert store.run(asked) == [(expected, "pg_catalog")], (variable, url)
                with store.another() as more:
                    assert more.execute(asked.encode()).fetchall() == [(expected, "pg_catalog")]
                store.close()
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_a_view_in_place_of_the_data_keys_ends(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.recorders.postgres_store.STATEMENT_TIMEOUT", "300ms")
    store = PostgresStore(postgres_url, "_keys")
    store.run(f"CREATE SCHEMA {store.schema}")
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 1 FROM t)"
    store.run(f"CREATE VIEW $data_key AS {endless} SELECT n::text AS subject FROM t")
    with pytest.raises(StorageError, match="took longer than allowed"):
        store.run("SELECT subject, count(*) FROM $data_key GROUP BY subject")
    store.run(f"DROP SCHEMA {store.schema} CASCADE")
    store.close()


@pytest.mark.parametrize(("asked", "shown"), [("", "muniment"), ("&application_name=nightly-train", "nightly-train")])
def test_sessions_are_shown_under_the_name_that_was_asked_for(postgres_url: str, asked: str, shown: str):
    make_cast(postgres_url, actors=())
    recorder = open_recorder(postgres_url + asked)
    assert recorder._run("SELECT current_setting('application_name')") == [(shown,)]


def test_no_right_to_write_is_said(postgres_url: str, postgres_dsn: str):
    cast = make_cast(postgres_url, actors=("p-author",))
    schema = postgres_url.partition("schema=")[2]
    role = f"{schema}_reader"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role}".encode())
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}".encode())
        try:
            recorder = open_recorder(f"{postgres_url}&options=-c%20role%3D{role}")
            ledger = Ledger(recorder, actor="p-author", signers=[cast.keys["p-author"]])
            with pytest.raises(StorageError, match="denies access") as caught:
                ledger.emit("external.observed", "external:x", system="s")
            assert not caught.value.outcome_unknown
            assert verify_log(recorder, cast.new.trust).ok
            recorder.close()
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
    audit(postgres_url)
