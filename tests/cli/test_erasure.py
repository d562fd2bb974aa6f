"""Erasing what is recorded about a data subject, as people type it: what is withheld, and what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.erased import ERASE, EVERY_WAY, MAIL, SECRET, WHO, all_good, files_with, stored
from tests.cli.support import DIGEST, Shop, run


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


def test_a_wrapping_key_under_a_passphrase_opens_only_with_it(here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "correct horse")
    run("subject", "rotate", "--encrypt").good()
    assert run("show", 3, "-o", "json").good().json["event"]["data"]["title"] == SECRET
    monkeypatch.setenv("MUNIMENT_PASSPHRASE", "wrong")
    shown = run("show", 3, "-o", "json").good()
    assert "the passphrase is wrong" in shown.err
    assert shown.json["event"]["data"]["title"].startswith("sealed:v1:")


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
