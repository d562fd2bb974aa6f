"""`impact`, `why`, `diff`, `history` and `inventory` as people type them."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.reading import _evaluation
from tests.cli.support import DIGEST, Grow, Shop, digest, run

MODEL, TWO, PROD, DATA = "model:tx@1", "model:tx@2", "deployment:prod/tx", "dataset:tx@1"
SEALED = "sealed field: muniment show opens it"


def release(shop: Shop) -> None:
    shop.people()
    run("emit", "dataset.registered", DATA, "-d", f"digest={DIGEST}").good()
    read = json.dumps([{"role": "input", "subject": DATA, "digest": DIGEST}])
    run("emit", "run.completed", "run:tx", "-d", f"inputs={read}", "-d", 'parameters={"depth": 6}').good()
    made = json.dumps([{"role": "output", "subject": "dataset:clean@1"}])
    run("emit", "run.completed", "run:prep", "-d", f"inputs={read}", "-d", f"outputs={made}").good()
    for model in (MODEL, TWO):
        run("record", "version", model, "--digest", digest(model), "--tier", "high", "--run", "run:tx").good()
        run("record", "evaluation", model, "--metric", "auc=0.9", "--verdict", "pass").good()
    run("request", MODEL, "--env", "prod", "--as", "p-author").good()
    run("approve", MODEL, "--rationale", "looked at", "--as", "p-approver", "--expires", "90d").good()
    run("authorise", PROD, "--model", MODEL, "--as", "p-deployer").good()
    run("record", "deployment", PROD, "--model", MODEL, "--as", "p-deployer").good()


@pytest.fixture
def told(grow_any: Grow) -> Shop:
    return grow_any(release)


def test_impact_names_what_is_live_and_the_path(told: Shop):
    shown = run("impact", DATA).good().out
    assert "Live" in shown
    assert f"{DATA} → run:tx → {MODEL} →" in " ".join(shown.split())
    assert TWO in shown[shown.index("Not live") :]
    assert "Nothing is live" in run("impact", TWO).good().err
    found = run("impact", "dataset:tx", "-o", "json").good().json
    assert [one["deployment"] for one in found["live"]] == [PROD]
    run("impact", "dataset:none").refused(2, "nothing was known")
    on = ("-d", 'metrics={"auc": 0.9}', "-d", "verdict=pass", "-d", "dataset=dataset:test@1")
    run("emit", "evaluation.completed", MODEL, *on).good()
    measured = run("impact", "dataset:test@1").good()
    assert f"{PROD}" in measured.out[measured.out.index("Only measured on it") :]
    assert "Nothing is live that was made from dataset:test@1. What was only measured on it is live." in measured.err
    line = run("impact", "dataset:test@1", "-o", "csv").good().out.splitlines()[1]
    assert line.startswith(f"only measured,{PROD},{MODEL},")


def test_why_tells_who_and_when_and_what_is_missing(told: Shop):
    shown = run("why", MODEL, "--env", "prod").good().out
    assert shown.startswith("model:tx@1 in prod: may be authorised, if recorded before ")
    for words in ("“looked at”", "p-approver", "; cites ", "met    approvals"):
        assert words in shown
    refused = run("why", TWO, "--env", "prod").good()
    assert "would be refused" in refused.out
    assert "BROKEN approvals: model:tx@2 needs 1 approval(s) for prod at tier high and has 0" in refused.out
    assert "next: Ask for it: muniment request model:tx@2 --env prod" in refused.out
    done = run("quarantine", DATA, "--reason", "poisoned", "--as", "p-deployer", "-o", "json").good()
    assert "Warning: dataset:clean@1 was made from it by run:prep, and the rules do not follow what a run" in done.err
    assert "muniment quarantine dataset:clean@1 --reason" in done.err
    placed = done.json["index"]
    for command in (("state", PROD), ("impact", DATA), ("inventory", "-o", "csv"), ("why", PROD)):
        assert f"rests-on-quarantined (entry {placed})" in " ".join(run(*command).good().out.split())
    canary = ("record", "canary", PROD, "--model", TWO, "--traffic", "0.05", "--as", "p-deployer")
    for stage in (1, 2):
        run(*canary, "--stage", stage).good()
    shown = run("state", PROD).good().out
    assert shown[shown.index("Canaries") :].count("rests-on-quarantined") == 1, "beside its last stage"
    rows = list(csv.DictReader(run("state", PROD, "-o", "csv").good().out.splitlines()))
    assert [(row["kind"], row["subject"], row["live"], row["canary"], row["stage"], row["marks"]) for row in rows] == [
        ("deployment", PROD, MODEL, "", "", "rests-on-quarantined"),
        ("canary", PROD, "", TWO, "2", "unauthorised; quarantined; rests-on-quarantined"),
    ]  # fmt: skip
    assert "does not stand, poisoned" in run("why", MODEL, "--env", "prod").good().out
    live = run("why", PROD).good().out
    assert "model:tx@1 is live in deployment:prod/tx since " in live
    assert "authorised by p-deployer in entry " in live
    run("why", "model:tx").refused(2, "neither a version nor a deployment")
    run("why", PROD, "--at", "2000-01-01T00:00:00Z").refused(3, "nothing was recorded")


def test_diff_and_what_it_cannot_compare(told: Shop):
    found = run("diff", MODEL, TWO).good()
    assert "approvers.prod" in found.out
    assert "The same: data, parameters, metrics" in found.err
    run("record", "version", "model:bare@1", "--digest", digest("bare"), "--tier", "low").good()
    assert "Not compared: no run is recorded for model:bare@1" in run("diff", MODEL, "model:bare@1").good().err
    run("diff", MODEL, "model:tx@9").refused(2, "muniment diff model:tx@1 model:tx@2")


def test_history_shows_the_last_ones(told: Shop):
    lines = run("history", MODEL).good().out.splitlines()
    assert len(lines) == 6
    assert run("history", MODEL, "-n", 2).good().out.splitlines() == lines[-2:]
    assert [row["type"] for row in run("history", MODEL, "-o", "ndjson").good().lines][-1] == "deployment.completed"
    assert len(run("history", MODEL, "-o", "json").good().json["rows"]) == 6


def test_inventory_lists_every_model(told: Shop):
    found = run("inventory", "-o", "json").good().json["models"]
    assert [(one["model"], one["live"][0]["version"], one["approvals"][0]["by"]) for one in found] == [
        ("model:tx", MODEL, "p-approver")
    ]
    assert run("inventory", "-o", "ndjson").good().lines == found
    assert "version 1 for prod by p-approver until" in run("inventory").good().out
    run("record", "version", "model:credit/x@1", "--digest", digest("x"), "--tier", "low").good()
    for glob, names in (("model:*", ["model:tx"]), ("model:credit/*", ["model:credit/x"]), ("model:none", [])):
        assert [one["model"] for one in run("inventory", glob, "-o", "json").good().json["models"]] == names
        if names:
            assert [one["model"] for one in run("state", glob, "-o", "json").good().json["models"]] == names
    found = run("state", "model:*@1", "-o", "json").good().json
    assert [one["version"] for model in found["models"] for one in model["versions"]] == [MODEL]
    assert [one["deployment"] for one in found["deployments"]] == [PROD]
    found = run("state", "deployment:prod/*", "-o", "json").good().json
    assert ([one["deployment"] for one in found["deployments"]], found["models"]) == ([PROD], [])
    run("state", "model:none/*").refused(2, "nothing was known about model:none/*")


def test_state_and_history_say_which_evaluations_do_not_speak_for_a_version(told: Shop):
    run("record", "evaluation", MODEL, "--metric", "auc=0.125", "--verdict", "fail", "--suite", "late").good()
    assert "auc 0.125 (fail)" in run("state").good().out
    assert "auc 0.125 (fail, suite late)" in run("history", MODEL).good().out
    again = ("record", "evaluation", MODEL, "--metric", "auc=0.9", "--suite", "late", "--verdict")
    early, now = ("--at", "2026-01-01T00:00:00Z"), ("--at", datetime.now(UTC).isoformat())
    for more, words in (
        (("pass", *early), "reported late, and changes nothing: entry "), (("pass", *now), ""),
        (("uncertain", *early), "reported late, and counts all the same"), (("fail", *early), "counts all the same"),
        (("pass", *early), "(fail) holds until it is measured anew"),
    ):  # fmt: skip
        said = run(*again, *more).good().err
        assert words in said
        assert bool(words) == ("reported late" in said)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "auc 0.5"), ({"verdict": "uncertain"}, "auc 0.5 (uncertain)"), ({"digest": "a"}, "auc 0.5"),
        ({"digest": "b", "invalidated": {"index": 3}, "verdict": "fail"},
         "auc 0.5 (fail, invalidated, of other bytes)"),
        ({"metrics": {}, "verdict": "fail"}, "(fail)"),
    ],
)  # fmt: skip
def test_what_was_measured_in_words(more: dict[str, Any], words: str):
    known: dict[str, Any] = {"metrics": {"auc": 0.5}, "verdict": "pass", "digest": None, "invalidated": None}
    assert _evaluation(known | more, "a") == words


SHOWING = (
    ("lineage", PROD), ("history", MODEL), ("why", MODEL, "--env", "prod"), ("inventory",), ("impact", DATA),
    ("diff", MODEL, TWO), ("state", MODEL), ("inbox", "--all"), ("due",), ("timeline", "incident:1"),
    ("incident", "list"),
)  # fmt: skip


LACKING = "sealed field: sealed with a key that this store does not have"
MADE_UP = f"sealed:v1:{'A' * 22}:{'B' * 60}"


def lacking(command: tuple[str, ...], form: str) -> bool:
    """Whether a command says so of what is sealed, and of all of it; tables break the words."""
    out = " ".join(run(*command, "-o", form).good().out.split())
    assert "sealed:v1:" not in out
    assert not (LACKING in out and "muniment show opens" in out)
    return LACKING in out


@pytest.mark.parametrize("keys", ["here", "elsewhere"])
def test_what_no_key_here_opens_and_nobody_erased_is_shown_as_that(told: Shop, keys: str):
    if keys == "here":
        about = ("--personal", "title=x", "--about", "person:jane")
        paper = ("-d", "kind=DPIA", "-d", f"digest={DIGEST}", *about)
        run("emit", "documentation.attached", "dataset:other", *paper).good()
    run("emit", "incident.opened", "incident:1", "-d", f"title={MADE_UP}", "-d", f"deployment={PROD}").good()
    run("emit", "quarantine.placed", MODEL, "-d", f"reason={MADE_UP}").good()
    found = {form: {command[0] for command in SHOWING if lacking(command, form)} for form in ("text", "json")}
    if keys == "elsewhere":
        assert found == {"text": set(), "json": set()}
    else:
        assert found["text"] == {"lineage", "history", "why", "timeline", "incident"}
        assert found["json"] == {command[0] for command in SHOWING} - {"due", "diff"}
        for command in (("state", MODEL), ("inbox", "--all")):
            assert "sealed with a" in run(*command).good().out


def test_what_is_sealed_is_shown_as_sealed_and_then_as_erased(told: Shop):
    secret, about = "Jane Roe complained", ("--about", "person:jane")
    run(
        "emit", "incident.opened", "incident:1", "--personal", f"title={secret}", *about, "-d", f"deployment={PROD}"
    ).good()
    run("emit", "quarantine.placed", MODEL, "--personal", f"reason={secret}", *about).good()
    commands = (
        ("lineage", PROD), ("history", MODEL), ("why", MODEL, "--env", "prod"), ("inventory",), ("impact", DATA),
        ("diff", MODEL, TWO), ("state", MODEL), ("inbox", "--all"), ("due",),
    )  # fmt: skip
    for form in ("text", "json"):
        told_all = "".join(run(*command, "-o", form).good().out for command in commands)
        assert secret not in told_all
        assert SEALED in told_all
        assert "sealed:v1:" not in told_all, "also where the judge put it into a sentence"
    assert SEALED in run("lineage", PROD, "-o", "dot").good().out
    run(
        "emit", "external.observed", "person:jane", "-d", "system=crm", "-d", f"content.said={json.dumps(secret)}"
    ).good()
    assert "external.observed" in run("history", "person:jane").good().out
    run("actor", "enrol", "p-eraser", "--kind", "person", "--role", "eraser").good()
    run("subject", "erase", "person:jane", "--basis", "GDPR Art. 17", "--reason", "asked", "--as", "p-eraser").good()
    assert "sealed field: its data key was erased by" in run("lineage", PROD).good().out
    erased = run("history", "person:jane").good().out
    assert "! withheld" in erased
    assert "p-eraser" in erased
    assert secret not in erased
