"""One report over several ledgers, and teams that share one by namespaces."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.support import Shop, run

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "reports"
ASSESS = ("report", "generate", "control-assessment")


@pytest.fixture
def other(any_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second ledger beside the first one, with a deployment that nobody authorised."""
    any_shop.people()
    any_shop.version(signer="p-author")
    any_shop.release()
    folder = any_shop.folder / "other"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run("init", "--origin", "ledger.example/other", "--keys", "keys", "--name", "Admin").good()
    run("record", "version", "model:m@1", "--digest", "sha256:" + "cd" * 32, "--tier", "high").good()
    run("record", "deployment", "deployment:prod/m", "--model", "model:m@1").good()
    monkeypatch.chdir(any_shop.folder)
    return folder


def test_one_report_covers_several_ledgers_with_a_head_each(any_shop: Shop, other: Path):
    first = run(*ASSESS, "-o", "json").good().json
    both = run(*ASSESS, "--also", other, "-o", "json").good().json
    schema = json.loads((SCHEMAS / "several-ledgers.v1.json").read_text())
    jsonschema.validate(both, schema)
    assert both["unread"] == []
    assert both["ledgers"][0] == first
    second = both["ledgers"][1]
    assert second["ledger"]["origin"] == "ledger.example/other"
    assert second["as_of"]["known_at"]["size"] != first["as_of"]["known_at"]["size"]
    assert both["summary"] == {state: first["summary"][state] + second["summary"][state] for state in first["summary"]}
    assert both["summary"]["not satisfied"] > first["summary"]["not satisfied"]
    rows = run(*ASSESS, "--also", other, "-o", "csv").good().out.splitlines()
    assert rows[0].startswith("ledger,control,")
    assert {row.partition(",")[0] for row in rows[1:]} == {first["ledger"]["origin"], "ledger.example/other"}
    text = run(*ASSESS, "--also", other).good().out
    assert "ledger.example/other" in text
    # What cannot be covered is said.
    run(*ASSESS, "--also", any_shop.folder).refused(2, "covered twice")
    run(*ASSESS, "--also", other, "--known-at", "5").refused(2, "--known-at is a time")
    missing = any_shop.folder / "nothing"
    run("report", "generate").refused(2, "There are: control-assessment (")
    never = ("--from", "2030-01-01T00:00:00Z", "--to", "2029-01-01T00:00:00Z")
    run(*ASSESS, "--also", missing, *never).refused(2, "is empty")
    run(*ASSESS, "--also", missing, "--ledger", missing).refused(8)
    # Never a report that looks whole: the others are assessed, and the command ends with what is wrong.
    part = run(*ASSESS, "--also", missing, "-o", "json")
    jsonschema.validate(part.json, schema)
    (unread,) = part.json["unread"]
    assert (part.code, part.json["ledgers"], unread["ledger"]) == (8, [first], str(missing))
    assert part.json["summary"]["not assessed"] == first["summary"]["not assessed"] + len(first["findings"])
    assert "covers 1 of 2 ledgers" in part.err
    assert f"Error: {unread['reason']}" in part.err
    lines = run(*ASSESS, "--also", missing, "-o", "csv").out.splitlines()
    told = ["not assessed" in line for line in lines if line.startswith(f"{missing},")]
    assert told == [True] * len(first["findings"])
    trust = other / ".muniment" / "trust.json"
    trust.write_text(json.dumps({**json.loads(trust.read_text()), "genesis": "0" * 64}))
    two = run(*ASSESS, "--also", missing, "--also", other)
    assert two.code == 7, "the lowest of their codes"
    said = " ".join(two.out.split())
    assert all(f"✗ {one} could not be read, and nothing of it is in this report" in said for one in (missing, other))


def test_teams_share_a_ledger_by_namespaces(any_shop: Shop):
    """A role that is bound to a team's names counts for these, and for no other team's."""
    any_shop.people()
    for team in ("fraud", "churn"):
        run("actor", "enrol", f"p-{team}", "--kind", "person", "--role", "incident-commander").good()
        run("actor", "grant", f"p-{team}", "emitter", "--subject", f"model:{team}/*").good()
    digest = ("--digest", "sha256:" + "ab" * 32, "--tier", "low")
    run("record", "version", "model:fraud/score@1", *digest, "--as", "p-fraud").good()
    run("record", "version", "model:fraud/score@2", *digest, "--as", "p-churn").refused(4)
    run("record", "version", "model:churn/score@1", *digest, "--as", "p-churn").good()
    assert [item["model"] for item in run("inventory", "model:fraud/*", "-o", "json").good().json["models"]] == [
        "model:fraud/score"
    ]
    listed = [row["event"]["subject"] for row in run("log", "model:churn/score", "-o", "json").good().json]
    assert listed == ["model:churn/score@1"]
    any_shop.enrol("p-lead", "auditor")
    run("actor", "grant", "p-lead", "approver", "--subject", "model:fraud/*").good()
    for team in ("fraud", "churn"):
        wanted = ("--model", f"model:{team}/score@1", "--env", "prod", "--owner", f"p-{team}", "--reason", "x")
        named = ("--control", "x", "--expires", "9d", "--waiver", f"waiver:{team}", "--as", f"p-{team}")
        run("waiver", "request", "drift", *wanted, *named).good()
    waiting = run("inbox", "--all", "--as", "p-lead", "-o", "json").good().json["inbox"]
    assert {item["subject"]: item["may"] for item in waiting} == {"waiver:fraud": True, "waiver:churn": False}
    run("waiver", "grant", "waiver:fraud", "--rationale", "x", "--as", "p-lead").good()
    run("waiver", "grant", "waiver:churn", "--rationale", "x", "--as", "p-lead").refused(4, "does not reach")
