"""What people mistype: the message says what is wrong with it, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Grow, Result, Shop, run

MODEL = "model:team/tx@1"


@pytest.fixture
def told(grow: Grow) -> Shop:
    return grow(people_and_a_version)


def people_and_a_version(shop: Shop) -> None:
    shop.people()
    shop.version(MODEL)


def measured(value: str) -> Result:
    return run("record", "evaluation", MODEL, "--metric", f"auc={value}", "--verdict", "pass")


def test_numbers_as_people_write_them(told: Shop):
    for value, number in ((".9", 0.9), ("0.90", 0.9), ("1.", 1), ("+2", 2), ("-.5e1", -5)):
        entry = measured(value).good().out.split()[1]
        metrics = run("show", entry, "-o", "json").good().json["event"]["data"]["metrics"]
        assert metrics == {"auc": number}
    for value in ("NaN", "Infinity", "1e999", "high", "true", ""):
        measured(value).refused(2, "is no number", "auc=0.9")
    for value in ('{"auc":NaN}', '{"auc":.9}', '{"auc":0.90}'):
        run("emit", "evaluation.completed", MODEL, "-d", f"metrics={value}").refused(2, "metrics", "written as 0.9")


WAIVER = ("waiver", "request", "drift", "--model", MODEL, "--env", "prod", "--owner", "p-author", "--reason", "x",
          "--control", "x")  # fmt: skip
MISTYPED: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "nobody": (("actor", "grant", "p-none", "approver"), 5, ("not enrolled", "muniment actor enrol p-none")),
    "size -1": (("state", "--known-at", "-1"), 2, ("a size is from 1 to",)),
    "size 0": (("state", "--known-at", "0"), 2, ("a size is from 1 to",)),
    "size 999999": (("inventory", "--known-at", "999999"), 2, ("a size is from 1 to",)),
    "year 1": (("state", "--at", "0001-01-01T00:00:00Z"), 2, ("0001-01-01", "not between the years 1970 and 9999")),
    "end": ((*WAIVER, "--expires", "-1d"), 2, ("not a time", "14d")),
    "no zone": ((*WAIVER, "--expires", "2030-01-01"), 2, ("no time zone", "14d")),
    "objective": (("slo", "define", "deployment:prod/tx", "x", "--objective", "1.5"), 2, ("1.5", "range 0<x<1")),
    "period": (("report", "generate", "control-assessment", "--from", "2026-12-01T00:00:00Z",
                "--to", "2026-11-01T00:00:00Z"), 2, ("empty", "--to is a time after --from")),
    "star": (("state", "model:*"), 2, ("but a slash", "model:*/*")),
    "incident": (("incident", "note", "inc-1", "x"), 2, ("'inc-1' is not a name", "did you mean incident:inc-1?")),
    "deployment": (("incident", "open", "incident:i", "--title", "x", "--deployment", "prod/tx"), 2,
                   ("did you mean deployment:prod/tx?",)),
    "timeline": (("timeline", "inc 1"), 2, ("for example incident:inc-1",)),
    "data set": (("record", "dataset", "tx@1", "--digest", "sha256:" + "ab" * 32), 2, ("did you mean dataset:tx@1?",)),
    "emitted": (("emit", "run.completed", "tx:"), 2, ("for example run:churn-42",)),
    "version": (("request", "tx@1", "--env", "prod"), 2, ("did you mean model:tx@1?",)),
    "anything": (("state", "tx/y"), 2, ("Next:  names look like", "for example model:churn@3")),
    "percent": (("authorise", "deployment:prod/tx", "--model", MODEL, "--traffic", "5"), 2, ("write 0.05",)),
    "percent sign": (("record", "canary", "deployment:prod/tx", "--model", MODEL, "--traffic", "0.5%"), 2,
                     ("for 0.5 % write 0.005",)),
    "day": (("incident", "action", "incident:i", "--title", "x", "--due", "tomorrow"), 2, ("due: write a day",)),
    "back to nothing": (("rollback", "deployment:prod/tx"), 2, ("To which version?", "muniment state")),
    "file": (("policy", "lint", "none.yaml"), 2, ("Next:  muniment policy lint --help shows what it takes.",)),
    "place": (("gate", "check", MODEL, "--deployment", "deployment:tx"), 2, ("example deployment:prod/tx",)),
    "traffic": (("record", "deployment", "deployment:prod/tx", "--model", MODEL, "--traffic", "-1"), 2, ("0<=x<=1",)),
}  # fmt: skip


def test_what_is_wrong_with_it_and_how_it_is_written(told: Shop):
    run("incident", "open", "incident:i", "--title", "x").good()
    size = told.size()
    for command, code, words in MISTYPED.values():
        run(*command).refused(code, *words)
    assert told.size() == size


def test_an_empty_file_is_called_empty(told: Shop):
    Path("rules.json").write_text(" \n")
    change = ("admin", "rules", "change")
    run(*change, "rules.json", "--reason", "x", "--as", "root").refused(2, "rules.json is empty")
    run(*change, "-", "--reason", "x", "--as", "root", stdin=b"").refused(2, "standard input is empty")
    for rules, words in (
        (b'{"name": "x", "rules": [{"aprovals": 1}]}', "Fields of rules.rules.0: environment, tier, "),
        (b'{"ruels": []}', "Fields of rules: name, rules, "),
    ):
        run(*change, "-", "--reason", "x", "--as", "root", stdin=rules).refused(2, words)


def test_an_actor_is_enrolled_with_a_bounded_role_and_no_other(told: Shop):
    bounds = ("--type", "run.*", "--subject", "run:credit/*", "--until", "2999-01-01T00:00:00Z")
    person = ("actor", "enrol", "ci-credit", "--kind", "person", "--role", "owner", "--env", "prod")
    for typed, words in (
        (("--subject", "deployment:prod/credit/*"), ("one slash", "environment", "example deployment:prod/credit-*")),
        (("--subject", "models:credit/*"), ("no kind of subject 'models'", "Did you mean model:")),
        (("--subject", "credit"), ("subjects.0: write kind:",)),
        (("--type", "modle.*"), ("no event type", "Did you mean model.*?")),
        (("--type", "model.regstered"), ("Did you mean model.registered",)),
    ):
        run(*person, *typed).refused(2, *words)
        run("actor", "grant", "p-author", "owner", *typed).refused(2, *words)
    run(*person, "--role", "admin").refused(4, "only the root keys")
    run("actor", "show", "ci-credit").refused(2)
    enrol = ("actor", "enrol", "ci-credit", "--kind", "service", "--role", "emitter", "--role", "owner",
             "--responsible", "p-author", *bounds, "--as", "root")  # fmt: skip
    enrolled = run(*enrol).good()
    run(*enrol).refused(5, "already enrolled", "muniment actor grant ci-credit ROLE")
    assert enrolled.err.count("within bounds") == 2
    grants = run("actor", "show", "ci-credit", "-o", "json").good().json["grants"]
    assert [(one["role"], one["types"], one["subjects"]) for one in grants] == [
        (role, ["run.*"], ["run:credit/*"]) for role in ("emitter", "owner")
    ]
    run("actor", "grant", "ci-credit", "deployer", *bounds, "--reason", "while they are away", "--as", "root").good()
    run("emit", "run.started", "run:credit/x", "--as", "ci-credit").good()
    run("emit", "run.started", "run:other/x", "--as", "ci-credit").refused(4)
    run("verify", "log").good()


def test_an_environment_of_which_nothing_is_recorded(told: Shop):
    for name, known in (("nope", False), ("dev", True)):
        found = run("report", "generate", "control-assessment", "--env", name).good()
        assert ("Warning: nothing is recorded of the environment nope" in found.err) != known
    assert "but a slash" in run("inventory", "model:*").good().err


WRONG = "incident:inc-11"
ON_INCIDENTS: dict[str, tuple[str, ...]] = {
    "note": ("hello",), "mitigate": (), "cause": ("--category", "data", "--statement", "x"),
    "action": ("--title", "x"), "close": ("--summary", "x"),
}  # fmt: skip


def test_an_incident_that_was_never_opened_is_not_spoken_of(any_shop: Shop):
    for command, more in ON_INCIDENTS.items():
        alone = run("incident", command, WRONG, *more).refused(2, f"nothing is recorded of {WRONG}")
        assert f"muniment incident open {WRONG} --title" in alone.err
        assert "Did you mean" not in alone.err
    run("incident", "open", "incident:inc-1", "--title", "slow").good()
    size = any_shop.size()
    for command, more in ON_INCIDENTS.items():
        run("incident", command, WRONG, *more).refused(2, "Did you mean incident:inc-1?")
        assert any_shop.size() == size
    for command, more in ON_INCIDENTS.items():
        run("incident", command, "incident:inc-1", *more).good()


def test_protection_of_a_name_that_nobody_knows_is_recorded_with_a_warning(told: Shop):
    body = ("--model", MODEL)
    run("record", "deployment", "deployment:prod/tx", *body, "--as", "p-deployer").good()
    told_of = run("incident", "open", "incident:inc-1", "--title", "slow", "--deployment", "deployment:prod/tc").good()
    assert "Warning: nothing else is recorded of deployment:prod/tc. Did you mean deployment:prod/tx?" in told_of.err
    assert "inc-1" in run("incident", "list").good().out
    assert "deployment:prod/tc: nothing was live there" in run("timeline", "incident:inc-1").good().out
    answer = ("--incident", "incident:inc-7")
    back = run("rollback", "deployment:prod/tc", "--to", MODEL, *answer, "--as", "p-deployer").good()
    assert f"muniment record rollback deployment:prod/tc --model {MODEL} --incident incident:inc-7" in back.err
    assert "Warning: nothing else is recorded of incident:inc-7. Did you mean incident:inc-1?" in back.err
    for typed in (
        ("record", "rollback", "deployment:prod/tc", "--model", MODEL),
        ("quarantine", "dataset:q", "--reason", "r"),
    ):
        told_of = run(*typed, *answer, "--as", "p-deployer" if typed[0] == "record" else "p-author").good()
        assert "Warning: nothing else is recorded of incident:inc-7. Did you mean incident:inc-1?" in told_of.err
    live = run("rollback", "deployment:prod/tx", "--to", MODEL, "--as", "p-deployer").refused(2, "is live in")
    assert "muniment state deployment:prod/tx" in live.err
    assert "Warning: nothing else is recorded of deployment:prod/tc. Did you mean deployment:prod/tx?" in back.err
    told.version("model:team/tx@2")
    run("record", "deployment", "deployment:prod/tx", "--model", "model:team/tx@2", "--as", "p-deployer").good()
    for command in (
        ("incident", "open", "incident:inc-2", "--title", "slow", "--deployment", "deployment:prod/tx", *body),
        ("rollback", "deployment:prod/tx", "--to", MODEL, "--as", "p-deployer"),
    ):
        assert "nothing else is recorded" not in run(*command).good().err


def test_an_incident_is_opened_and_closed_once_or_it_is_said(told: Shop):
    name, words = "incident:inc-1", ("--title", "slow")
    assert "No incident was opened here." in run("incident", "list").good().err
    assert "Warning" not in run("incident", "open", name, *words).good().err
    assert f"{name} is open already, and this adds to it" in run("incident", "open", name, *words).good().err
    closed = run("incident", "close", name, "--summary", "x").good()
    assert "Warning" not in closed.err
    for missing in ("cause", "action item"):
        assert f"no {missing} is recorded; it may follow: muniment incident {missing.split()[0]} {name}" in closed.err
    run("incident", "cause", name, "--category", "data", "--statement", "x", "--contributing").good()
    done = run("incident", "action", name, "--title", "x", "--owner", "p-none").good()
    assert "Warning: p-none is nobody enrolled here" in done.err
    again = run("incident", "close", name, "--summary", "x").good()
    assert f"{name} was closed before" in again.err
    assert "is recorded" not in again.err
    assert f"{name} was closed, and this opens it again" in run("incident", "open", name, *words).good().err
    assert "Warning" not in run("incident", "close", name, "--summary", "x").good().err


def test_a_timeline_says_what_is_not_known(told: Shop):
    run("incident", "open", "incident:inc-1", "--title", "slow").good()
    assert "no deployment is named\n" in run("timeline", "incident:inc-1", "--before", "48h").good().out
    run("incident", "open", "incident:inc-2", "--title", "slow", "--model", MODEL).good()
    assert f"no deployment is named; {MODEL} failed" in run("timeline", "incident:inc-2").good().out


def test_a_refusal_makes_no_name_known(told: Shop):
    wrong = "model:team/tc@1"
    run("approve", wrong, "--rationale", "x", "--as", "p-approver").refused(1, "is not registered")
    gone = run("retire", wrong, "--reason", "old", "--as", "p-author").good()
    assert f"Warning: nothing is registered here as {wrong}" in gone.err
    place = "deployment:prod/tc"
    run("authorise", place, "--model", MODEL, "--as", "p-deployer").refused(1)
    back = run("rollback", place, "--to", MODEL, "--as", "p-deployer").good()
    assert f"Warning: nothing else is recorded of {place}" in back.err


def test_an_environment_that_is_much_like_one_in_use(told: Shop):
    def asked(environment: str) -> str:
        return run("request", MODEL, "--env", environment, "--as", "p-author").good().err

    assert "Warning" not in asked("prod"), "nothing is known yet that it might be meant for"
    run("record", "deployment", "deployment:prod/tx", "--model", MODEL, "--as", "p-deployer").good()
    assert "nothing is deployed to Prod here, but to prod" in asked("Prod")
    assert "nothing is deployed to prode here, but to prod" in asked("prode")
    for environment in ("prod", "dev", "staging"):
        assert "Warning" not in asked(environment)


@pytest.mark.parametrize("command", ["history", "lineage", "impact", "state"])
def test_questions_about_names_that_nobody_knows_tell_near_ones(told: Shop, command: str):
    run(command, "model:team/tc").refused(2, "nothing was known about model:team/tc", "Did you mean model:team/tx?")
    run(command, "model:quite/another").refused(2, "nothing was known about model:quite/another")
    past = run(command, "model:team/tc", "--known-at", "2").refused(2, "nothing was known about model:team/tc")
    assert "Did you mean" not in past.err, "it was not known then, and the answer stays"


def test_a_year_is_365_days(told: Shop):
    for text in ("1y", "365d"):
        run("due", "--within", text).good()
    run("due", "--within", "6mo").refused(2, "is no duration", "14d, 2w or 1y")
