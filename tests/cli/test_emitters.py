"""Emitters from the command line: closing, heartbeats, declared gaps, and who is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import muniment
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from tests.cli.support import Shop, run

EMITTER = "019b0000-0000-7000-8000-0000000000e1"


@pytest.fixture
def spooled(any_shop: Shop, tmp_path: Path) -> Shop:
    """A ledger with the events 1, 2 and 5 of an emitter of ``ci``, whose spool is elsewhere."""
    any_shop.people()
    run("actor", "enrol", "ci", "--kind", "service", "--role", "emitter", "--responsible", "p-author").good()
    with any_shop.home.open_reader() as ledger:
        key = any_shop.home.keystore(ledger.ledgerid).load("ci")
        for number in (1, 2, 5):
            encoded, _ = build_payload(
                ledgerid=ledger.ledgerid, actor="ci", type="run.completed", subject=f"run:{number}", data={},
                emitter=EMITTER, sequence=number,
            )  # fmt: skip
            path = tmp_path / f"{number}.json"
            path.write_bytes(format_envelope(sign_payload(encoded, [key])))
            run("emit", "--envelope", path).good()
    return any_shop


def listed() -> dict[str, Any]:
    (found,) = run("emitter", "list", "-o", "json").good().json["emitters"]
    assert run("verify", "log", "--all", "-o", "json").good().json["emitters"] == [found]
    return dict(found)


def test_numbers_that_are_missing_are_told_and_explained(spooled: Shop):
    assert (listed()["missing"], listed()["ranges"]) == (2, [[3, 4]])
    text = run("verify", "log").good().out
    assert f"2 event(s) of emitter {EMITTER} of ci are not in the log: 3 to 4" in text
    checks = {item["check"]: item for item in run("doctor", "-o", "json").good().json["checks"]}
    assert checks[f"emitter {EMITTER}"]["state"] == "warning"
    assert "muniment emitter gap" in checks[f"emitter {EMITTER}"]["next"]
    gap = ("emitter", "gap", EMITTER, "--first", 3, "--last", 3, "--reason", "disk was lost", "--of", "ci")
    run(*gap, "--as", "p-approver").refused(4)
    run(*gap).good()
    run("emitter", "close", EMITTER, "--last", 7, "--as", "ci").good()
    found = listed()
    assert (found["missing"], found["ranges"]) == (3, [[4, 4], [6, 7]])
    assert [item["reason"] for item in found["declared"]] == ["disk was lost"]
    assert found["closed"]["last"] == 7
    text = run("verify", "log").good().out
    assert "disk was lost" in text
    assert "4, 6 to 7" in text
    assert "at 7" in run("emitter", "list").good().out
    run("emitter", "close", "EMITTER", "--last", 1).refused(2, "UUID")
    run("emitter", "gap", EMITTER, "--first", 3, "--last", 2, "--reason", "x").refused(2)


def test_what_contradicts_the_recorded_numbers_is_refused_and_leaves_no_trace(spooled: Shop):
    size = len(run("log", "-o", "json").good().json)
    beat = ("emitter", "heartbeat", EMITTER, "--interval", 60, "--as", "ci")
    gap = ("emitter", "gap", EMITTER, "--reason", "disk was lost", "--of", "ci")
    close = ("emitter", "close", EMITTER, "--as", "ci")
    run(*close, "--last", 4).refused(5, "number 5 of this emitter is known")
    run(*gap, "--first", 1, "--last", 2).refused(5, "1 to 2 are in the log")
    run(*gap, "--first", 5, "--last", 5).refused(5, "5 is in the log")
    assert len(run("log", "-o", "json").good().json) == size
    run(*gap, "--first", 8, "--last", 8).good()  # what others declare to be missing does not move the emitter's end
    run("emitter", "close", EMITTER, "--last", 1).good()  # of the admin's own emitter, which has the same id
    run(*close, "--last", 6, "--id", "019b0000-0000-7000-8000-00000000c105").good()
    for last in (5, 7):
        run(*close, "--last", last).refused(5, "called 6 its last number")
    run(*beat, "--last", 6).refused(5, "called 6 its last number")
    run(*gap, "--first", 9, "--last", 12).refused(5, "called 6 its last number")
    run(*gap, "--first", 8, "--last", 9).refused(5, "called 6 its last number")
    run(*gap, "--first", 6, "--last", 6).good()
    again = run(*close, "--last", 6, "--id", "019b0000-0000-7000-8000-00000000c105").good()
    assert "already recorded" in again.out
    (found,) = (item for item in run("emitter", "list", "-o", "json").good().json["emitters"] if item["actor"] == "ci")
    assert (found["missing"], found["ranges"], found["closed"]["last"]) == (3, [[3, 4], [7, 7]], 6)


def test_a_repeated_word_about_numbers_is_answered_with_the_first_receipt(spooled: Shop):
    id = ("--id", "019b0000-0000-7000-8000-00000000beef", "--as", "ci")
    run("emitter", "heartbeat", EMITTER, "--last", 6, "--interval", 60, *id).good()
    run("emitter", "close", EMITTER, "--last", 6, "--as", "ci").good()
    again = run("emitter", "heartbeat", EMITTER, "--last", 6, "--interval", 60, *id).good()
    assert "already recorded" in again.out


def test_who_is_silent_is_told(spooled: Shop, monkeypatch: pytest.MonkeyPatch):
    run("emitter", "heartbeat", EMITTER, "--last", 5, "--interval", 60, "--as", "ci").good()
    assert listed()["overdue"] == 0
    assert "silent" not in run("verify", "log").good().out
    import cli.emitters

    now = cli.emitters.now()
    monkeypatch.setattr("cli.emitters.now", lambda: now + 200_000_000)
    monkeypatch.setattr("cli.logreport.now", lambda: now + 200_000_000)
    assert listed()["overdue"] == 3
    assert "3 interval(s) of 60 s have passed" in run("verify", "log").good().out
    checks = {item["check"]: item for item in run("doctor", "-o", "json").good().json["checks"]}
    assert "silent" in checks[f"emitter {EMITTER}"]["message"]
    assert "1 silent" in checks["emitters"]["message"]


def test_a_program_closes_its_emitter_when_it_is_asked_to(shop: Shop):
    with muniment.open(close_emitter=True) as ledger:
        ledger.emit("run.completed", "run:1")
        ledger.heartbeat(3600)
    found = listed()
    assert (found["closed"]["last"], found["missing"], found["heartbeat"]) == (3, 0, None)
    checks = {item["check"]: item for item in run("doctor", "-o", "json").good().json["checks"]}
    assert checks["emitters"]["state"] == "good"
    assert f"emitter {found['emitter']}" not in checks
