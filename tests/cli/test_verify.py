"""`muniment verify log`: levels, what is said of what was not checked, and going on from the last verification."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.support import Shop, run
from tests.contract.support import raw

EVENT = ("emit", "external.observed", "external:x", "-d", "system=s")


def mark_file(home: Path) -> Path:
    (path,) = (home / ".local" / "state").rglob("*.verified")
    return path


def alter(shop: Shop, position: int) -> None:
    with raw(shop.url) as store:
        store.unprotect()
        store.run("UPDATE $content SET payload = signatures WHERE position = ?", (position,))


def test_the_second_time_only_what_came_since_is_judged(any_shop: Shop):
    run(*EVENT).good()
    first = run("verify", "log", "-o", "json").good().json
    assert (first["level"], first["verified_from"], first["earlier"], first["jobs"]) == ("full", 0, None, 1)
    run(*EVENT).good()
    again = run("verify", "log", "-o", "json").good().json
    assert (again["verified_from"], again["earlier"], again["size"]) == (3, "hashed", 4)
    text = run("verify", "log").good().out
    assert "entries 0 to 3 were verified on 2" in text
    assert "anchored by the remembered head" in text
    assert "--all checks them again" in text
    assert run("verify", "log", "--all", "-o", "json").good().json["verified_from"] == 0
    checks = {item["check"]: item for item in run("doctor", "-o", "json").json["checks"]}
    assert "in full up to size 4" in checks["last verification"]["message"]
    assert "--all" in checks["last verification"]["next"]
    unread = run("verify", "log", "--tail").good().out
    assert "a change in one of them would not be seen" in unread


def test_a_change_in_what_was_verified_is_found_again_but_for_the_tail(any_shop: Shop):
    run(*EVENT).good()
    run("verify", "log").good()
    run(*EVENT).good()
    alter(any_shop, 3)
    assert run("verify", "log", "--tail", "--no-remember").code == 0
    for options in ((), ("--all",)):
        found = run("verify", "log", *options, "-o", "json")
        assert (found.code, found.json["verified_from"]) == (1, 0)
        first = found.json["findings"][0]
        assert (first["fault"], first["index"]) == ("payload", 2)


def test_nothing_is_kept_of_a_bad_or_partial_verification(any_shop: Shop, isolated_environment: Path):
    run(*EVENT).good()
    run("verify", "log", "--level", "checkpoint").good()
    run("verify", "log", "--level", "hash").good()
    run("verify", "log", "--no-remember").good()
    alter(any_shop, 3)
    assert run("verify", "log").code == 1
    assert not list((isolated_environment / ".local" / "state").rglob("*.verified"))


@pytest.mark.parametrize("level", ["hash", "checkpoint"])
def test_a_level_below_full_never_reads_as_all_good(any_shop: Shop, level: str):
    run(*EVENT).good()
    done = run("verify", "log", "--level", level).good()
    assert "SIGNATURES AND LEGALITY WERE NOT CHECKED" in done.out
    assert "✓" not in done.out
    assert f"Level {level} did not check" in done.err
    found = run("verify", "log", "--level", level, "-o", "json").good()
    assert "signatures of events" in found.json["unchecked"]
    assert "signatures of events" in found.err
    assert run("verify", "log", "-o", "json").good().json["unchecked"] == []


def test_options_that_do_not_go_together_are_refused(any_shop: Shop):
    Path("head.txt").write_bytes(b"x")
    run("verify", "log", "--level", "hash", "--expect", "head.txt").refused(2, "--expect")
    run("verify", "log", "--tail", "--all").refused(2, "--tail")
    run("verify", "log", "--tail", "--level", "hash").refused(2, "--tail")
    assert run("verify", "log", "--jobs", "0").code == 2


@pytest.mark.parametrize(
    "damage", ["", "nonsense", "{}", "another ledger", "a member more", "size", "root", "time", "version", "a folder"]
)
def test_a_damaged_mark_ends_with_7_and_is_never_first_use(any_shop: Shop, isolated_environment: Path, damage: str):
    run(*EVENT).good()
    run("verify", "log").good()
    path = mark_file(isolated_environment)
    data = json.loads(path.read_bytes())
    changes = {
        "another ledger": {"ledgerid": "0" * 32}, "a member more": {"more": 1}, "size": {"size": "3"},
        "root": {"root": "00"}, "time": {"at": "yesterday"}, "version": {"version": 1},
    }  # fmt: skip
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text(json.dumps(data | changes[damage]) if damage in changes else damage)
    run("verify", "log").refused(7, str(path))
    assert run("doctor").code == 1
    run("verify", "log", "--all").refused(7, str(path))
    shutil.rmtree(path) if path.is_dir() else path.unlink()  # as the message says
    assert run("verify", "log", "-o", "json").good().json["verified_from"] == 0


def test_a_mark_is_worth_nothing_without_the_remembered_head_or_by_another_version(
    any_shop: Shop, isolated_environment: Path
):
    run(*EVENT).good()
    run("verify", "log").good()
    mark = mark_file(isolated_environment)
    data = json.loads(mark.read_bytes())
    mark.write_text(json.dumps(data | {"version": "0.0.1"}))
    assert run("verify", "log", "-o", "json").good().json["verified_from"] == 0
    assert json.loads(mark.read_bytes()) != data | {"version": "0.0.1"}, "it is made anew"
    mark.with_suffix(".checkpoint").unlink()
    assert run("verify", "log", "-o", "json").good().json["verified_from"] == 0


def test_a_false_mark_does_not_make_a_bad_log_good(any_shop: Shop, isolated_environment: Path):
    run(*EVENT).good()
    run("verify", "log").good()
    mark = mark_file(isolated_environment)
    data = json.loads(mark.read_bytes())
    for change in ({"root": "0" * 64}, {"size": 2}):
        mark.write_text(json.dumps(data | change))
        for options in ((), ("--tail",)):
            found = run("verify", "log", *options, "--no-remember", "-o", "json").good().json
            assert found["verified_from"] == 0, (change, options)
    mark.write_text(json.dumps(data | {"heads": "0" * 64}))  # as if signed heads were others then
    for options in ((), ("--all",)):
        found = run("verify", "log", *options, "-o", "json")
        assert (found.code, [item["fault"] for item in found.json["findings"]]) == (1, ["checkpoint"])
    run("verify", "log", "--tail", "--no-remember").good()


def test_a_signed_head_that_was_taken_out_since_is_found_again_and_again(any_shop: Shop):
    for _ in range(3):
        run(*EVENT).good()
    run("verify", "log").good()
    with raw(any_shop.url) as store:
        store.unprotect()
        store.run("DELETE FROM $checkpoint WHERE size = 4")
    for options in ((), (), ("--all",), ("--all", "--level", "full")):
        found = run("verify", "log", *options)
        assert found.code == 1
        assert "checkpoint: signed heads of at most size 5 that the last verification saw are gone" in found.out
    run("verify", "log", "--tail", "--no-remember").good()


def test_an_interrupt_ends_all_processes_at_once(shop: Shop):
    run(*EVENT).good()
    command = [str(Path(sys.executable).with_name("muniment")), "verify", "log", "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and len(children.read_text().split()) < 2:
        time.sleep(0.002)
    pids = children.read_text().split()
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors, errors
    while (left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]) and time.monotonic() - started < 60:
        time.sleep(0.01)
    assert not left
