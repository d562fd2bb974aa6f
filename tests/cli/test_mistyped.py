"""What people mistype: the message says what is wrong with it, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Result, Shop, run

MODEL = "model:team/tx@1"


@pytest.fixture
def told(shop: Shop) -> Shop:
    shop.people()
    shop.version(MODEL)
    return shop


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
}  # fmt: skip


@pytest.mark.parametrize("case", MISTYPED)
def test_what_is_wrong_with_it_and_how_it_is_written(told: Shop, case: str):
    command, code, words = MISTYPED[case]
    run(*command).refused(code, *words)


def test_an_empty_file_is_called_empty(told: Shop):
    Path("rules.json").write_text(" \n")
    change = ("admin", "rules", "change")
    run(*change, "rules.json", "--reason", "x", "--as", "root").refused(2, "rules.json is empty")
    run(*change, "-", "--reason", "x", "--as", "root", stdin=b"").refused(2, "standard input is empty")


def test_an_actor_is_enrolled_with_a_bounded_role_and_no_other(told: Shop):
    bounds = ("--type", "run.*", "--subject", "run:credit/*", "--until", "2999-01-01T00:00:00Z")
    enrolled = run("actor", "enrol", "ci-credit", "--kind", "service", "--role", "emitter", "--role", "owner",
                   "--responsible", "p-author", *bounds, "--as", "root").good()  # fmt: skip
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
