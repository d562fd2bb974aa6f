"""Erasing what is recorded about a data subject, and what forbids it, as people type it."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

import ledger.crashpoints
import ledger.erasing
import ledger.recorders.postgres_store
from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from ledger.datakeys import DataKeys
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import ConflictError
from ledger.sealing import MARK
from tests.cli.support import DIGEST, Shop, run
from tests.contract.support import raw

WHO = "person:p-7f3a"
SECRET, MAIL = "Jo Doe of Testerton called", "jo@doe.example"
ERASE = ("subject", "erase", WHO, "--basis", "GDPR Art. 17", "--reason", "asked for", "--as", "p-eraser")


def _tell(shop: Shop) -> Shop:
    shop.enrol("p-eraser", "eraser")
    sealed = ("--about", WHO)
    run("emit", "incident.opened", "incident:1", "--personal", f"title={SECRET}", *sealed).good()
    run("emit", "incident.noted", "incident:1", "-d", "note=nothing about anybody").good()
    run("emit", "external.observed", WHO, "-d", "system=crm", "-d", f"content.email={MAIL}").good()
    run("emit", "deployment.failed", "deployment:prod/x", "-d", "model=model:m@1", "-d", f"digest={DIGEST}",
        "--personal", f"reason={SECRET}", *sealed).good()  # fmt: skip
    return shop


@pytest.fixture
def told(any_shop: Shop) -> Shop:
    """A ledger in which something was said about a person: 3 and 6 sealed, 5 in the clear, 4 about nobody."""
    return _tell(any_shop)


@pytest.fixture
def here(shop: Shop) -> Shop:
    """The same on SQLite only: for what is decided before any store is asked, or from files."""
    return _tell(shop)


def points(prefix: str, *postgres: str) -> pytest.MarkDecorator:
    """Every crash point on SQLite, and on PostgreSQL those behind which its own code ran."""
    found = [("sqlite", name) for name in CRASHPOINTS if name.startswith(prefix)]
    found += [("postgres", prefix + name) for name in postgres]
    return pytest.mark.parametrize(("any_shop", "point"), found, indirect=["any_shop"])


def killed(point: str, *arguments: str) -> None:
    """Run a command in a child that dies at a crash point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: only this one goes on in the child
        pid = os.fork()
    if pid == 0:
        ledger.crashpoints._ARMED = (point, 1)
        try:
            run(*arguments)
        finally:
            os._exit(9)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"{point} was not reached: exit {os.waitstatus_to_exitcode(status)}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def files_with(folder: Path, *needles: bytes) -> list[str]:
    return [
        f"{path.name}: {needle!r}"
        for path in folder.rglob("*")
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes()
    ]


def stored(shop: Shop) -> bytes:
    """Everything in the tables of the store, beside it too."""
    with raw(shop.url) as store:
        return repr([store.run("SELECT * FROM $content"), store.run("SELECT * FROM $entry")]).encode()


EVERY_WAY = ((), ("--all",), ("--all", "--jobs", "2"), ("--level", "hash"), ("--tail",))


def all_good(*withheld: int, ways: tuple[tuple[str, ...], ...] = (("--all",),)) -> None:
    """Verifying is good and says what was withheld, in each of these ways."""
    for options in ways:
        found = run("verify", "log", *options, "-o", "json").good().json
        if options != ("--tail",):
            assert [item["index"] for item in found["withheld"]] == list(withheld), options
        assert found["erasure_unfinished"] == []


def test_a_sealed_field_is_read_where_the_keys_are_and_stands_nowhere_in_the_clear(told: Shop) -> None:
    shown = run("show", 3, "-o", "json").good().json
    assert shown["event"]["data"]["title"] == SECRET
    assert shown["sealed"] == {"title": "open"}
    assert re.fullmatch(rb'.*"title":"sealed:v1:[A-Za-z0-9_-]{22}:[A-Za-z0-9_-]+".*', run("show", 3, "--raw").stdout)
    run("projection", "rebuild").good()
    assert SECRET.encode() not in stored(told)
    assert files_with(told.folder, SECRET.encode()) == []


def test_a_field_of_an_item_in_a_list_is_sealed_read_and_erased(any_shop: Shop) -> None:
    any_shop.enrol("p-eraser", "eraser")
    any_shop.enrol("p-validator", "validator")
    findings = [{"id": "F1", "severity": "low", "statement": "plain"}, {"id": "F2", "severity": "high"}]
    told = ("emit", "validation.completed", "model:m@1", "-d", "verdict=fail", "-d", "independence=another team",
            "-d", f"findings={json.dumps(findings)}", "--as", "p-validator", "--about", WHO)  # fmt: skip
    run(*told, "--personal", f"findings.2.statement={SECRET}").refused(2, "findings has 2 items")
    run(*told, "--personal", f"findings.1.id={SECRET}").refused(2, "cannot be sealed", "findings.*.statement")
    index = run(*told, "--personal", f"findings.1.statement={SECRET}", "-o", "json").good().json["index"]
    shown = run("show", index, "-o", "json").good().json
    assert [item["statement"] for item in shown["event"]["data"]["findings"]] == ["plain", SECRET]
    assert shown["sealed"] == {"findings.1.statement": "open"}
    assert SECRET.encode() not in stored(any_shop)
    run(*ERASE).good()
    shown = run("show", index, "-o", "json").good().json
    assert shown["event"]["data"]["findings"][1]["statement"].startswith("sealed:v1:")
    assert "erased by p-eraser" in shown["sealed"]["findings.1.statement"]
    all_good()


def test_without_the_wrapping_key_fields_stay_closed_and_that_is_said(here: Shop) -> None:
    (key,) = here.keys.glob("wrapping.*.key")
    hidden = key.read_bytes()
    key.unlink()
    shown = run("show", 3, "-o", "json").good()
    assert shown.json["sealed"] == {"title": "its data key is not here"}
    assert shown.json["event"]["data"]["title"].startswith("sealed:v1:")
    assert "the wrapping key" in shown.err
    key.write_bytes(hidden)
    key.chmod(0o644)
    run("emit", "incident.noted", "incident:1", "--personal", "note=x", "--about", WHO).refused(8, "chmod 600")


def test_erasing_destroys_keys_withholds_contents_and_leaves_every_proof_intact(told: Shop) -> None:
    before = told.fingerprint()[2]
    run("verify", "log").good()
    planned = run(*ERASE, "--dry-run", "-o", "json").good().json
    assert [(item["index"], item["scope"]) for item in planned["entries"]] == [
        (3, "fields"),
        (5, "whole"),
        (6, "fields"),
    ]
    assert told.size() == 7
    done = run(*ERASE, "-o", "json").good().json
    assert (done["data_keys_destroyed"], done["contents_withheld"], done["records"]) == (1, 1, [7])
    assert len(done["kept_elsewhere"]) == 2
    assert told.fingerprint()[2][:7] == before, "an entry changed"
    all_good(5, ways=EVERY_WAY)
    assert run("verify", "log", "--level", "checkpoint", "-o", "json").good().json["ok"]
    words = "header as labelled by the operator; erased by p-eraser under GDPR Art. 17 (entry 7)"
    assert words in run("show", 5).good().out
    assert words in run("log").good().out
    assert words in run("verify", "event", 5).good().out
    assert words in run("verify", "log").good().out
    shown = run("show", 3, "-o", "json").good().json
    assert shown["sealed"] == {"title": "erased by p-eraser under GDPR Art. 17 (entry 7)"}
    run("projection", "rebuild").good()
    assert MAIL.encode() not in stored(told)
    assert files_with(told.folder, MAIL.encode(), SECRET.encode()) == []


def test_lists_timelines_and_reports_say_what_is_sealed_erased_and_withheld(here: Shop) -> None:
    def titles() -> set[str]:
        shown = run("timeline", "incident:1", "-o", "json").good().json
        opening = next(row["what"] for row in shown["rows"] if row["index"] == 3)
        return {shown["title"], opening, run("incident", "list", "-o", "json").good().json["incidents"][0]["title"]}

    def report(*options: str) -> dict[str, Any]:
        return run("report", "generate", "control-assessment", "-o", "json", *options).good().json

    assert titles() == {"sealed field: muniment show opens it where its keys are"}
    assert "as labelled by the operator" not in str(report())
    run(*ERASE, "--entry", 4).good()
    assert titles() == {"sealed field: its data key was erased by p-eraser under GDPR Art. 17 (entry 7)"}
    words = "header as labelled by the operator; erased by p-eraser under GDPR Art. 17 (entry 7)"
    shown = run("timeline", "incident:1", "-o", "json").good().json
    assert {row["index"]: row["what"] for row in shown["rows"]}[4] == words
    assert words in run("timeline", "incident:1").good().out
    found = report()
    assert {item["population"]["definition"].rpartition("; ")[2] for item in found["findings"]} == {
        "complete as labelled by the operator"
    }
    assert f"Entry 5 (external.observed): {words}." in found["limits"]
    assert "populations are complete as labelled by the operator: the contents of 2 of 8" in str(found["limits"])
    assert "complete as labelled by the operator" in run("report", "generate", "control-assessment").good().out
    assert "as labelled by the operator" not in str(report("--known-at", "3"))
    for size, count in ((7, 2), (5, 1)):  # the record that says so is entry 7, and entries 4 and 5 are erased
        before = str(report("--known-at", str(size))["limits"])
        assert f"the contents of {count} of {size} entries were erased since, and are in no answer any more" in before
        assert "are withheld" not in before
        assert before.count(words) == count
    assert "erased since" not in str(report()["limits"])


def test_what_is_said_after_an_erasure_is_sealed_by_another_key(told: Shop) -> None:
    run(*ERASE).good()
    run("emit", "incident.noted", "incident:1", "--personal", "note=again", "--about", WHO).good()
    assert run("show", 8, "-o", "json").good().json["event"]["data"]["note"] == "again"
    assert run("show", 3, "-o", "json").good().json["sealed"]["title"].startswith("erased by")
    assert run(*ERASE, "-o", "json").good().json["records"] == [7, 9]
    again = run(*ERASE, "-o", "json").good().json
    assert (again["records"], again["data_keys_destroyed"], again["contents_withheld"]) == ([7, 9], 0, 0)
    all_good(5)


@points("erase.", "keys_deleted", "withheld")
def test_whoever_is_killed_while_erasing_says_nothing_that_is_not_so_and_the_same_command_finishes(
    told: Shop, point: str
) -> None:
    killed(point, *ERASE)
    state = run("subject", "list", "-o", "json").good().json["erasures"]
    with Ledger.open(told.url) as opened:
        content = opened.recorder.rows(5, 1)[0].payload
    found = run("verify", "log", "--all", "-o", "json").good().json
    key = run("show", 3, "-o", "json").good().json["sealed"]["title"]
    finished = content is None and "not finished" not in key
    assert [item["state"] for item in state] == ["finished here" if finished else "not finished"]
    assert [item["index"] for item in found["erasure_unfinished"]] == ([5] if content is not None else [])
    assert [item["index"] for item in found["withheld"]] == ([] if content is not None else [5])
    assert run(*ERASE, "-o", "json").good().json["records"] == [7], "the erasure was recorded twice"
    all_good(5)
    assert files_with(told.folder, MAIL.encode(), SECRET.encode()) == []
    assert run("show", 3, "-o", "json").good().json["sealed"]["title"].startswith("erased by")


@points("seal.", "key_stored", "rewrapped")
def test_whoever_is_killed_while_sealing_or_rotating_loses_no_key_that_an_event_needs(told: Shop, point: str) -> None:
    if point == "seal.key_stored":
        killed(point, "emit", "incident.noted", "incident:1", "--personal", "note=x", "--about", "person:p-other")
        assert told.size() == 7
        run("emit", "incident.noted", "incident:1", "--personal", "note=x", "--about", "person:p-other").good()
        assert run("subject", "list", "-o", "json").good().json["subjects"] == {"person:p-7f3a": 1, "person:p-other": 1}
    else:
        killed(point, "subject", "rotate")
        assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
        run("subject", "rotate").good()
        assert len(list(told.keys.glob("wrapping.*.key"))) == 1
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


def test_no_file_of_the_store_holds_the_data_key_wrapped_or_not_after_it_is_destroyed(told: Shop) -> None:
    home = told.home
    with Ledger.open(told.url) as opened:
        keys = home.data_keys(opened.ledgerid)
    (name,) = keys.of_subject(WHO)
    key = keys.load(name)
    assert key is not None
    wrapped = keys._store.run("SELECT wrapped FROM $data_key")[0][0]
    keys.close()
    assert files_with(told.folder, key) == []
    if told.sqlite:
        assert files_with(told.folder, wrapped) != [], "the look for it finds nothing at all"
    run(*ERASE).good()
    assert files_with(told.folder, key, wrapped) == []
    with raw(told.url) as store:
        assert store.run("SELECT count(*) FROM $content WHERE position = 6") == [(0,)]


def data_directory(dsn: str) -> tuple[Path, str]:
    """Where the server keeps everything, all of it written out; and the file of its statistics there."""
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute("CHECKPOINT")
        found = server.execute("SELECT current_setting('data_directory'), pg_relation_filepath('pg_statistic')")
        folder, statistics = found.fetchone() or ("", "")
    if not os.access(folder, os.R_OK | os.X_OK):
        pytest.skip("the files of the server that MUNIMENT_TEST_POSTGRES names are not on this machine")
    return Path(folder), statistics


def places_of(folder: Path, *needles: bytes) -> list[set[str]]:
    """For each of some bytes the files that hold them, by their paths in a folder where a server is at work."""
    found: list[set[str]] = [set() for _ in needles]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it was recycled meanwhile
            data = path.read_bytes() if path.is_file() else b""
            for needle, places in zip(needles, found, strict=True):
                if needle in data:
                    places.add(str(path.relative_to(folder)))
    return found


@pytest.mark.parametrize("any_shop", ["postgres"], indirect=True)
def test_what_of_it_the_files_of_a_postgresql_server_ever_hold(told: Shop, postgres_dsn: str) -> None:
    """Heaps, indexes, write-ahead log, logs: never a plaintext or a data key; what was withheld only in the log."""
    mail = f"jo-{uuid.uuid4().hex}@doe.example"
    run("emit", "external.observed", WHO, "-d", "system=crm", "-d", f"content.email={mail}").good()
    run("projection", "rebuild").good()
    with Ledger.open(told.url) as opened:
        keys = told.home.data_keys(opened.ledgerid)
    key = keys.load(keys.of_subject(WHO)[0])
    wrapped = keys._store.run("SELECT wrapped FROM $data_key")[0][0]
    keys._store.run("ANALYZE $data_key")
    keys.close()
    with raw(told.url) as store:
        store.run("ANALYZE $content")
    assert key is not None
    needles = (SECRET.encode(), key, mail.encode(), wrapped)
    folder, _ = data_directory(postgres_dsn)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    for places in (clear, under_key):
        assert any(name.startswith("base/") for name in places), "the look for it finds nothing"
    run(*ERASE).good()
    folder, statistics = data_directory(postgres_dsn)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    assert {name for name in clear | under_key if not name.startswith("pg_wal/")} <= {statistics}
    with psycopg.connect(postgres_dsn, autocommit=True) as server:
        server.execute("VACUUM (FULL) pg_catalog.pg_statistic")
    folder, _ = data_directory(postgres_dsn)
    *never, clear, under_key = places_of(folder, *needles)
    assert never == [set(), set()]
    assert all(name.startswith("pg_wal/") for name in clear | under_key)


@pytest.mark.parametrize("any_shop", ["postgres"], indirect=True)
def test_a_transaction_that_may_still_see_it_is_waited_for_and_then_named(
    told: Shop, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.recorders.postgres_store, "READERS_SECONDS", 0.3)
    with psycopg.connect(postgres_dsn) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        done = run(*ERASE).good()
    assert "transactions that began before are still open" in done.out + done.err


def test_a_wrapping_key_under_a_passphrase_opens_only_with_it(here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "correct horse")
    run("subject", "rotate", "--encrypt").good()
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "wrong")
    shown = run("show", 3, "-o", "json").good()
    assert "the passphrase is wrong" in shown.err
    assert shown.json["event"]["data"]["title"].startswith("sealed:v1:")


def test_only_an_eraser_erases_and_a_legal_hold_forbids_it(here: Shop) -> None:
    run(*ERASE[:-2]).refused(4, "needs the role eraser")
    placed = run("hold", "place", "person:*", "--matter", "M-12", "--reason", "claim", "-o", "json").good().json
    run(*ERASE).refused(1, "under the legal hold", "M-12", "hold release")
    assert [one["hold"] for one in run("hold", "list", "-o", "json").good().json["holds"]] == [placed["id"]]
    run("hold", "release", placed["id"], "--reason", "x", "--as", "p-eraser").refused(4)
    run("hold", "release", placed["id"], "--reason", "settled").good()
    run("hold", "release", placed["id"], "--reason", "again").refused(5, "stands")
    assert run("hold", "list", "-o", "json").good().json["holds"] == []
    by = ("--authority", "District court", "--custodian", "records office")
    run("hold", "place", "deployment:prod/*", "--matter", "M-13", "--reason", "claim", *by).good()
    (held,) = run("hold", "list", "-o", "json").good().json["holds"]
    assert (held["authority"], held["custodian"]) == ("District court", "records office")
    assert "District court" in run("hold", "list").good().out
    run(*ERASE).refused(1, "deployment:prod/x is under the legal hold")  # a sealed field stands in that stream
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


def test_what_authority_and_decisions_rest_on_is_never_withheld(here: Shop) -> None:
    run(*ERASE, "--entry", 6).refused(1, "deployment.failed", "never withheld")
    run(*ERASE, "--entry", 1).refused(1, "actor.enrolled", "never withheld")
    run(*ERASE, "--entry", 99).refused(2, "there is no entry 99")
    run(*ERASE, "--entry", 4).good()
    all_good(4, 5)


def test_content_missing_without_a_record_or_with_an_insufficient_one_stays_a_failure(told: Shop) -> None:
    def missing(*places: int) -> list[tuple[str, int]]:
        told.unprotected(f"DELETE FROM $content WHERE position IN ({', '.join(str(place + 1) for place in places)})")
        found = run("verify", "log", "--all", "-o", "json")
        assert found.code == 1
        assert run("verify", "event", places[0]).code == 1
        assert "content is missing" in run("log").out
        return [(item["fault"], item["index"]) for item in found.json["findings"]]

    run(*ERASE).good()
    assert missing(4) == [("payload", 4)]  # nothing names it
    assert missing(3) == [("payload", 3), ("payload", 4)]  # named for its fields only, and of a type never withheld


@pytest.mark.parametrize(
    ("any_shop", "forger"),
    [("sqlite", "role"), ("sqlite", "stream"), ("sqlite", "leaf"), ("postgres", "leaf")],
    indirect=["any_shop"],
)
def test_a_forged_record_excuses_nothing(told: Shop, forger: str) -> None:
    home = told.home
    with home.open("p-eraser" if forger != "role" else None) as opened:
        row = opened.recorder.rows(4, 1)[0]
        entry = {"index": 4, "leaf_hash": row.leaf_hash.hex(), "stream": row.entry.stream, "scope": "whole"}
        if forger == "stream":
            entry["stream"] = "incident:other"  # as if no hold covered it
        if forger == "leaf":
            entry["leaf_hash"] = "ab" * 32
        body = {"subject": WHO, "basis": "b", "reason": "r", "entries": [entry]}
        if forger == "stream":
            opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
        else:
            from ledger.errors import LedgerError

            with pytest.raises(LedgerError):
                opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
    if forger != "stream":
        with Ledger.open(told.url) as opened, pytest.raises(Exception, match="append-only"):
            opened.recorder.withhold([4])
    told.unprotected("DELETE FROM $content WHERE position = 5")
    found = run("verify", "log", "--all", "-o", "json")
    assert (found.code, [(f["fault"], f["index"]) for f in found.json["findings"]]) == (1, [("payload", 4)])


@pytest.mark.parametrize("scope", ["stream", "type"])
def test_a_thief_of_an_erasers_key_destroys_nothing_through_others(told: Shop, scope: str) -> None:
    """A record that names another stream, or a type on which others rest: whoever erases later must not act on it."""
    index = 5 if scope == "stream" else 6
    with told.home.open("p-eraser") as opened:
        row = opened.recorder.rows(index, 1)[0]
        stream = "incident:other" if scope == "stream" else row.entry.stream
        entry = {"index": index, "leaf_hash": row.leaf_hash.hex(), "stream": stream, "scope": "whole"}
        body = {"subject": WHO, "basis": "b", "reason": "r", "entries": [entry]}
        opened.emit("subject.erased", f"ledger:{opened.ledgerid}", body)
    run(*ERASE).good()
    all_good(5)
    with Ledger.open(told.url) as opened:
        assert opened.recorder.rows(6, 1)[0].payload is not None


@pytest.mark.parametrize("hold", ["incident:*", "deployment:prod/*", "person:*"])
def test_a_record_kept_in_store_does_not_outlive_a_later_hold(told: Shop, hold: str) -> None:
    """Recorded while nothing forbade it, to be carried out when a hold does."""
    killed("erase.recorded", *ERASE)
    run("hold", "place", hold, "--matter", "M-14", "--reason", "claim").good()
    before = stored(told)
    run(*ERASE).refused(1, "under the legal hold", "M-14")
    assert stored(told) == before
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
    assert "content is missing" not in run("log").out


def meanwhile(monkeypatch: pytest.MonkeyPatch, point: str, *arguments: str) -> None:
    """Run a command, as another process would, when the next one comes to a crash point."""
    waiting = [arguments]

    def reached(name: str) -> None:
        if name == point and waiting:
            run(*waiting.pop()).good()

    monkeypatch.setattr("ledger.erasing.crashpoint", reached)


@pytest.mark.parametrize(("point", "hold"), [("recorded", "person:*"), ("recorded", "incident:*"),
                                             ("keys_deleted", "person:*")])  # fmt: skip
def test_a_hold_stops_an_erasure_under_way_before_each_step(
    told: Shop, monkeypatch: pytest.MonkeyPatch, point: str, hold: str
) -> None:
    meanwhile(monkeypatch, f"erase.{point}", "hold", "place", hold, "--matter", "M-15", "--reason", "claim")
    run(*ERASE).refused(1, "under the legal hold", "M-15")
    assert MAIL.encode() in stored(told)
    closed = run("show", 3, "-o", "json").good().json["event"]["data"]["title"] != SECRET
    assert closed == (point == "keys_deleted")
    (held,) = run("hold", "list", "-o", "json").good().json["holds"]
    run("hold", "release", held["hold"], "--reason", "settled").good()
    assert run(*ERASE, "-o", "json").good().json["records"] == [7]
    all_good(5)


def test_a_field_sealed_under_a_hold_while_the_record_is_on_its_way_is_not_lost(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("hold", "place", "incident:inc-9", "--matter", "M-16", "--reason", "claim").good()
    plan, late = ledger.erasing.plan_erasure, ["note=held"]

    def planned(*arguments: Any) -> ledger.erasing.Plan:
        found = plan(*arguments)
        while late:
            run("emit", "incident.noted", "incident:inc-9", "--personal", late.pop(), "--about", WHO).good()
        return found

    monkeypatch.setattr("ledger.erasing.plan_erasure", planned)
    run(*ERASE).refused(1, "incident:inc-9 is under the legal hold", "M-16")
    assert run("show", 8, "-o", "json").good().json["event"]["data"]["note"] == "held"
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET


@pytest.mark.parametrize("spelled", ["plain", "within", "escaped"])
def test_nothing_is_passed_off_as_erased_by_naming_the_key_of_an_earlier_erasure(told: Shop, spelled: str) -> None:
    text = run("show", 3, "-o", "json", "--raw").good().out.partition('"title":"')[2].partition('"')[0]
    text = f"as said: {text}." if spelled == "within" else text
    run(*ERASE).good()
    with told.home.open() as opened:
        opened.emit("incident.noted", "incident:1", note="sealed:v1: is how sealed fields begin")
        payload, _ = build_payload(
            ledgerid=opened.ledgerid, actor=str(opened.actor), type="incident.noted", subject="incident:1",
            data={"note": text}, emitter="0189aaaa-0000-7000-8000-000000000001", sequence=1,
        )  # fmt: skip
        if spelled == "escaped":
            payload = payload.replace(b'"sealed:', rb'"\u0073ealed:')
            assert MARK not in payload
        envelope = format_envelope(sign_payload(payload, opened.signers))
        with pytest.raises(ConflictError, match="which entry 7 erased"):
            opened.append(envelope)
        assert told.size() == 9
        # Logs have such entries from before this was asked: they stay good, and no record is said to be about them.
        with pytest.MonkeyPatch.context() as before:
            before.setattr("ledger.appending.check_sealed", lambda *_: None)
            opened.append(envelope)
    all_good(5, ways=EVERY_WAY)
    by = "by p-eraser under GDPR Art. 17 (entry 7)"
    shown = run("show", 9, "-o", "json").good().json
    if spelled != "within":
        assert shown["sealed"] == {"note": f"closed: its data key was erased before this entry was recorded, {by}"}
    rows = run("timeline", "incident:1", "-o", "json").good().json["rows"]
    what = {row["index"]: row["what"] for row in rows}
    assert f"sealed field: its data key was erased {by}, before entry 9 was recorded" in what[9]
    assert what[3].endswith(f"its data key was erased {by}")


def test_what_is_sealed_while_its_key_is_erased_is_refused_and_not_lost(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, erasing = DataKeys.seal, [ERASE]

    def sealed(self: DataKeys, *arguments: Any, **options: Any) -> dict[str, Any]:
        found = seal(self, *arguments, **options)
        while erasing:
            run(*erasing.pop()).good()
        return found

    monkeypatch.setattr(DataKeys, "seal", sealed)
    note = ("emit", "incident.noted", "incident:1", "--personal", "note=late", "--about", WHO)
    run(*note).refused(5, "which entry 7 erased", "another data key")
    assert told.size() == 8
    run(*note).good()
    assert run("show", 8, "-o", "json").good().json["event"]["data"]["note"] == "late"


def test_backups_and_copies_of_an_erased_ledger_are_good(told: Shop, tmp_path: Path) -> None:
    run(*ERASE).good()
    backup = tmp_path / "x.backup"
    run("backup", "create", backup).good()
    run("backup", "verify", backup).good()
    assert MAIL.encode() not in backup.read_bytes()
    target = f"sqlite:///{tmp_path / 'moved.db'}"
    run("admin", "copy", target).good()
    found = run("--ledger", target, "verify", "log", "-o", "json").good().json
    assert [item["index"] for item in found["withheld"]] == [5]


def test_bad_input_is_refused_before_anything_is_recorded(here: Shop) -> None:
    emit = ("emit", "incident.noted", "incident:1")
    run(*emit, "--personal", "note=x").refused(2, "go together")
    run(*emit, "-d", "note=x", "--about", WHO).refused(2, "go together")
    run(*emit, "--personal", "note", "--about", WHO).refused(2, "FIELD=VALUE")
    run(*emit, "--personal", "note=x", "--about", "Jo Doe").refused(2)
    run(*emit, "--personal", "note=x", "--about", f"{WHO}@1").refused(2, "without a version")
    run(*emit, "--personal", "note..x=1", "--about", WHO).refused(2)
    run("emit", "version.registered", "model:m@1", "-d", f"digest={DIGEST}", "-d", "tier=low",
        "--personal", "owner=p-x", "--about", WHO).refused(2, "cannot be sealed", "uri, description")  # fmt: skip
    run("subject", "erase", "person:p-nobody", "--basis", "b", "--reason", "r", "--as", "p-eraser").refused(
        2, "nothing is recorded about"
    )
    assert here.size() == 7
