"""`muniment import`: models that were live before the ledger, as people take them in."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Grow, Shop, digest, run, run_process

IMPORT = ("import", "inventory", "models.csv", "--waivers-until", "90d", "--control", "by hand", "--as", "p-author")
POLICY = """\
schema: muniment.checks/v1
title: What legacy models need
checks:
- id: evaluated
  title: It was evaluated
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation.
- id: runbook
  title: There is a runbook
  pass: input.model.runbook != ""
  reason: Name it.
- id: released
  title: It is in no quarantine
  pass: input.stopped == ""
  reason: Let it go.
  waivable: false
"""


def row(name: str, **cells: str) -> dict[str, str]:
    """A model that is live in prod."""
    return {
        "model": name, "version": "1", "digest": digest(name), "owner": "p-owner", "tier": "high",
        "environment": "prod", "service": name.replace("/", "-"), "live_since": "2021-03-01", **cells,
    }  # fmt: skip


def write(rows: Sequence[dict[str, str]], path: str = "models.csv") -> None:
    names = list(dict.fromkeys(name for one in rows for name in one))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def people_and_a_policy(shop: Shop) -> None:
    shop.people()
    shop.enrol("p-owner", "owner", "approver")
    Path("legacy.yaml").write_text(POLICY)
    run("policy", "define", "policy:legacy@1", "legacy.yaml").good()


@pytest.fixture
def ready(grow_any: Grow) -> Shop:
    return grow_any(people_and_a_policy)


def taken(*options: str) -> dict[str, Any]:
    found: dict[str, Any] = run(*IMPORT, "--policy", "policy:legacy", *options, "-o", "json").good().json
    return found


def states(items: list[dict[str, Any]]) -> dict[str, str]:
    return {item["check"]: item["state"] for item in items}


def status(*options: str) -> dict[str, dict[str, Any]]:
    (point,) = run("import", "status", "--policy", "policy:legacy", *options, "-o", "json").good().json["points"]
    return {one["model"]: one for one in point["models"]}


def test_what_would_be_taken_in_is_what_is(ready: Shop):
    Path("weights.bin").write_bytes(b"w")
    write([
        row("pay/fraud", on_call="p-owner", runbook="https://wiki.example/fraud", purpose="fraud",
            accountable="Head of cards", business_unit="Cards"),
        row("churn", digest="", file="weights.bin", vendor="Black Box Ltd", product="Churn", unknown="data; weights"),
        {**row("idle"), "environment": "", "service": "", "live_since": ""},
    ])  # fmt: skip
    before = ready.fingerprint()
    planned = taken("--dry-run")
    assert ready.fingerprint() == before, "nothing is recorded"
    fraud, churn, idle = planned["models"]
    assert [event["type"] for event in fraud["events"]] == [
        "model.registered", "version.registered", "model.on_call_assigned", "deployment.completed",
    ]  # fmt: skip
    assert "thirdparty.registered" in [event["type"] for event in churn["events"]]
    assert states(fraud["items"]) == {
        "approval": "missing", "evaluated": "missing", "runbook": "satisfied", "released": "nothing against it",
    }  # fmt: skip
    assert states(churn["items"])["runbook"] == "missing"
    assert idle["items"] == [], "nothing is asked of what is not live"
    done = taken()
    assert [[e["id"] for e in model["events"]] for model in done["models"]] == [
        [e["id"] for e in model["events"]] for model in planned["models"]
    ]
    for model, plan in zip(done["models"], planned["models"], strict=True):
        asked = {check: "asked for" if state == "missing" else state for check, state in states(plan["items"]).items()}
        assert states(model["items"]) == asked
    log = run("log", "-o", "json").good().json
    live = next(e for e in log if e["entry"]["subject"] == "deployment:prod/pay-fraud")
    assert (live["event"]["evidencestrength"], live["event"]["time"]) == ("backfilled", "2021-03-01T00:00:00.000000Z")
    strengths = {e["event"]["evidencestrength"] for e in log if e["entry"]["subject"].startswith("model:")}
    assert strengths == {"imported"}
    shown = run("state", "deployment:prod/pay-fraud", "--at", "2022-01-01T00:00:00Z", "-o", "json").good().json
    assert "unauthorised" in str(shown), "live without approval, and marked"
    (known,) = [
        one for one in run("inventory", "-o", "json").good().json["models"] if one["model"] == "model:pay/fraud"
    ]
    assert (known["accountable"], known["business_unit"]) == ("Head of cards", "Cards")
    run("verify", "log").good()


TRAINED = {
    "run": "fraud-7",
    "trained_at": "2021-02-20",
    "training_data": f"claims@3={digest('claims')}; dataset:logins@1",
}


def test_how_a_version_was_trained_is_taken_in(ready: Shop):
    write([row("fraud", **TRAINED), row("other", run="fraud-7", trained_at="2021-02-20",
                                        training_data=TRAINED["training_data"])])  # fmt: skip
    taken()
    log = run("log", "-o", "json").good().json
    said = {e["entry"]["subject"]: e["event"] for e in log}
    attached, data = said["run:fraud-7"], said["dataset:claims@3"]
    made = [e["event"]["data"]["outputs"] for e in log if e["entry"]["subject"] == "run:fraud-7"]
    assert made == [
        [{"role": "output", "subject": f"model:{name}@1", "digest": digest(name)}] for name in ("fraud", "other")
    ]
    assert (attached["type"], attached["evidencestrength"]) == ("muniment.run.attached.v1", "backfilled")
    assert attached["time"] == data["time"] == "2021-02-20T00:00:00.000000Z"
    assert (data["evidencestrength"], data["data"]) == ("imported", {"digest": digest("claims")})
    assert "dataset:logins@1" not in said, "nobody knows its bytes"
    assert said["model:fraud@1"]["data"]["run"] == "run:fraud-7"
    found = run("lineage", "model:fraud@1").good().out
    assert "dataset:claims@3" in found
    assert "dataset:logins@1" in found
    assert "model:other@1" in run("impact", "dataset:claims@3").good().out
    size = ready.size()
    taken()
    assert ready.size() == size
    run("quarantine", "dataset:claims", "--reason", "poisoned", "--as", "p-deployer").good()
    run("request", "model:fraud@1", "--env", "prod", "--as", "p-author").refused(1, "poisoned")
    run("verify", "log").good()


def test_a_model_that_is_taken_in_with_its_run_meets_the_check_that_asks_for_it(ready: Shop):
    """The shipped checklists ask for the run that says it made the version."""
    write([row("fraud", **TRAINED), row("bare")])
    planned = run(*IMPORT, "--dry-run", "-o", "json").good().json["models"]
    fraud, bare = run(*IMPORT, "-o", "json").good().json["models"]
    for found in (planned[0], fraud):
        assert states(found["items"])["run-recorded"] == "satisfied"
    assert states(planned[1]["items"])["run-recorded"] == "missing"
    assert states(bare["items"])["run-recorded"] == "asked for"
    write([row("fraud", **TRAINED), row("bare"), row("more", **TRAINED)])  # a sheet that has grown, and another one
    run(*IMPORT[:-1], "p-owner", "-o", "json").refused(4, "emitter")
    grown = run(*IMPORT, "-o", "json").good().json["models"]
    write([row("last", run="fraud-7")])
    (last,) = run(*IMPORT, "-o", "json").good().json["models"]
    assert {states(one["items"])["run-recorded"] for one in (grown[0], grown[2], last)} == {"satisfied"}
    size = ready.size()
    run(*IMPORT).good()
    assert ready.size() == size
    run("record", "evaluation", "model:last@1", "--metric", "auc=0.9", "--verdict", "pass", "--as", "p-author").good()
    run("request", "model:last@1", "--env", "prod", "--as", "p-author").good()
    run("approve", "model:last@1", "--env", "prod", "--rationale", "fit", "--as", "p-approver").good()
    run("verify", "log").good()


def test_a_run_that_made_other_things_trained_nothing_that_is_taken_in(ready: Shop):
    made = ("--makes", f"model:other@1={digest('other')}")
    run("record", "run", "run:fraud-7", *made, "--as", "p-author").good()
    at = ready.size() - 1
    write([row("fraud", run="fraud-7")])
    run(*IMPORT).refused(2, f"line 2, run: entry {at} says that run:fraud-7 made other things. Name the run that made")
    run("record", "run", "run:fraud-7", "--makes", f"model:fraud@1={digest('fraud')}", "--as", "p-author").good()
    run(*IMPORT).good()


def test_a_run_that_is_on_record_is_not_put_there_again(ready: Shop):
    run("record", "run", "run:fraud-7", "--as", "p-author").good()
    write([row("fraud", run="fraud-7")])
    types = [event["type"] for event in taken()["models"][0]["events"]]
    assert "version.registered" in types
    assert "run.attached" not in types
    write([row("more", **TRAINED)])
    run(*IMPORT).refused(2, "line 2, training_data: run:fraud-7 is on record already")
    run("record", "run", "run:fraud-8", "--input", "dataset:logins@1", "--as", "p-author").good()
    write([row("more", run="fraud-8", training_data="logins@1")])
    assert "run.attached" not in [event["type"] for event in taken()["models"][0]["events"]], "it says no more"


def test_going_on_after_a_kill_repeats_nothing(ready: Shop):
    write([row(f"m{number}", run=f"r{number // 2}") for number in range(4)])
    policy = ("--policy", "policy:legacy")
    for passage in (3, 15, 7):  # among the facts, among the waivers, and among those left
        killed = run_process(*IMPORT, *policy, cwd=ready.folder, MUNIMENT_CRASHPOINT=f"append.committed:{passage}")
        assert killed.code == -signal.SIGKILL
    assert [model["items"] for model in taken()["models"]]
    log = run("log", "-o", "json").good().json
    imported = [e for e in log if e["entry"]["actor"] == "p-author"]
    said = [(one["entry"]["type"], one["entry"]["subject"], str(one["event"]["data"])) for one in imported]
    assert len(said) == len(set(said)) == 4 * (4 + 3), "four facts and three waivers each, once"
    size = ready.size()
    taken()
    assert ready.size() == size
    again = run(*IMPORT[:-1], "p-approver", *policy, "-o", "json")  # who needs sign nothing needs no role
    assert (again.code, ready.size()) == (0, size)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tier": "big"}, "line 3, tier: 'big' is no tier. Write low, medium or high."),
        ({"owner": "p-nobody"}, "line 3, owner: nobody is enrolled as 'p-nobody'"),
        ({"digest": ""}, "line 3, digest: neither digest nor file is given"),
        ({"file": "x"}, "line 3, digest: both digest and file are given"),
        ({"digest": "", "file": "gone.bin"}, "line 3, file: gone.bin cannot be read"),
        ({"digest": "sha256:12"}, "line 3, digest: write sha256: and 64"),
        ({"service": "a b"}, "line 3, service: "),
        ({"title": "a\nb"}, "line 3, title: "),
        ({"version": ""}, "line 3, version: it is empty"),
        ({"model": "Ünlü"}, "line 3, model: "),
        ({"environment": ""}, "line 3, environment: it is empty"),
        ({"live_since": "2999-01-01"}, "line 3, live_since: 2999-01-01 is yet to come"),
        ({"live_since": "last year"}, "line 3, live_since: 'last year"),
        ({"runbook": "x"}, "line 3, on_call: it is empty"),
        ({"product": "x"}, "line 3, vendor: it is empty"),
        ({"training_data": "claims@3"}, "line 3, run: it is empty"),
        ({"run": "r@1"}, "line 3, run: a run has no version"),
        ({"run": "r", "training_data": "claims"}, "line 3, training_data: 'claims' names no version"),
        (
            {"run": "r", "training_data": "claims@3;claims@3"},
            "line 3, training_data: dataset:claims@3 stands there twice",
        ),
        ({"run": "r", "training_data": "claims@3=x"}, "line 3, training_data: write sha256:"),
        ({"run": "r", "trained_at": "2021-03-02"}, "line 3, trained_at: it was live before, since 2021-03-01"),
        ({"run": "good", "training_data": "claims@3"}, "line 3, training_data: line 2 says otherwise of run:good"),
        ({"service": "good"}, "line 3, service: line 2 is live in deployment:prod/good too"),
        ({"model": "good"}, "line 3, version: line 2 is about model:good@1 too"),
        ({"model": "good", "version": "2", "service": "x", "title": "Y"}, "line 3, title: line 2 says otherwise"),
    ],
)
def test_a_bad_row_is_named_and_stops_all(shop: Shop, wrong: dict[str, str], words: str):
    shop.enrol("p-owner", "owner")
    shop.enrol("p-author", "owner", "emitter")
    write(
        [
            row("good", title="", file="", runbook="", product="", run="good", trained_at="", training_data=""),
            row("bad") | wrong,
        ]
    )
    size = shop.size()
    run(*IMPORT).refused(2, "1 of 2 rows cannot be taken in", words, "--skip-bad")
    assert shop.size() == size
    skipped = run(*IMPORT, "--dry-run", "--skip-bad", "-o", "json").good()
    assert [model["model"] for model in skipped.json["models"]] == ["model:good@1"]
    assert f"left out: {words[:20]}" in skipped.err


def test_what_the_ledger_says_otherwise_is_a_bad_row(shop: Shop):
    shop.people()
    shop.enrol("p-owner", "owner")
    run("record", "version", "model:bad@1", "--digest", digest("other"), "--tier", "high", "--as", "p-author").good()
    write([row("good"), row("bad")])
    run(*IMPORT).refused(2, "line 3: model:bad@1 is already registered as")
    assert [one["line"] for one in run(*IMPORT, "--skip-bad", "-o", "json").good().json["skipped"]] == [3]
    assert "model:bad" not in run("import", "status").good().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"), ("model,version\n", "no rows"), ("model,verson\nx,1\n", "is version meant?"),
        ("model,model\nx,1\n", "twice"), ("model,version\nx,1\n", "the column owner is missing"),
        ('model,version\n"x,1\n', "no CSV"),
    ],
)  # fmt: skip
def test_what_is_no_sheet_is_refused(shop: Shop, text: str, words: str):
    Path("models.csv").write_text(text)
    run(*IMPORT[:-1], "root").refused(2, words)


def test_the_burn_down(ready: Shop):
    write([row("a"), row("b")])
    taken()
    asked = status()["model:a@1"]
    assert (asked["asked_for"], asked["missing"], asked["waived"], asked["satisfied"]) == (3, 0, 0, 0)
    assert asked["nothing_against_it"] == 1, "no quarantine: nobody has shown anything by that"
    waivers = {item["check"]: item["waiver"] for item in asked["items"]}
    began = run("import", "status", "-o", "json").good().json["points"][0]["at"]
    run("waiver", "grant", waivers["evaluated"], "--rationale", "x", "--as", "p-owner").refused(4, "another person")
    run("waiver", "grant", waivers["evaluated"], "--rationale", "x", "--as", "p-approver").good()
    run("waiver", "deny", waivers["runbook"], "--rationale", "write one", "--as", "p-approver").good()
    found = status()["model:a@1"]
    assert states(found["items"]) == {
        "approval": "asked for", "evaluated": "waived", "runbook": "missing", "released": "nothing against it",
    }  # fmt: skip
    assert found["next_end"] == next(item["until"] for item in found["items"] if item["state"] == "waived")
    size = ready.size()
    taken()
    assert ready.size() == size, "what was denied is not asked for again in the same terms, though 30d is later by now"
    run("record", "evaluation", "model:a@1", "--metric", "auc=0.9", "--verdict", "pass", "--as", "p-author").good()
    assert states(status()["model:a@1"]["items"])["evaluated"] == "satisfied", "a waiver hides nothing that is met"
    assert status("--at", found["next_end"])["model:b@1"]["missing"] == 3, "no waiver lasts, and none is waited for"
    assert status("--at", began)["model:a@1"]["asked_for"] == 3
    points = run("import", "status", "--policy", "policy:legacy", "--at", began, "--at", found["next_end"], "-o", "csv")
    lines = list(csv.DictReader(io.StringIO(points.good().out)))
    assert [(line["models"], line["asked_for"], line["satisfied"]) for line in lines] == [
        ("2", "6", "0"),
        ("2", "0", "1"),
    ]
    run("record", "deployment", "deployment:prod/b", "--model", "model:a@1", "--as", "p-deployer").good()
    gone = status()["model:b@1"]
    assert (gone["standing"], gone["items"]) == ("no longer live", [])


def test_the_template_is_a_sheet(shop: Shop):
    shop.enrol("p-owner", "owner")
    shop.enrol("p-author", "owner", "emitter")
    Path("models.csv").write_bytes(run("import", "template").good().stdout)
    (model,) = run(*IMPORT, "-o", "json").good().json["models"]
    assert model["model"] == "model:payments/fraud@2023-11"
    columns = run("import", "template", "--columns", "-o", "json").good().json["columns"]
    assert [one["column"] for one in columns if one["required"]] == ["model", "version", "owner", "tier"]
    Path("models.csv").write_text(Path("models.csv").read_text().replace(",", ";"), encoding="utf-8-sig")
    assert run(*IMPORT, "-o", "csv").good().out.count("model.registered") == 0, "as a spreadsheet saves it, and no news"
