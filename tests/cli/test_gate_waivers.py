"""Waivers of checks, as people type them: used so often and no more, whoever comes at once."""

from __future__ import annotations

import csv
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

import muniment
import muniment.gating
from ledger.errors import InputError
from tests.cli.gated import (
    AUTHORISE,
    CHECK,
    MODEL,
    POLICY,
    PROD,
    WAIVER,
    counted,
    hold,
    processes,
    ruled,
    ruled_and_approved,
    types,
)
from tests.cli.killing import killed
from tests.cli.support import Grow, Result, Shop, run


@pytest.fixture
def waived(asked: Shop) -> Shop:
    """What the policy misses is waived, once."""
    run(*WAIVER).good()
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()
    return asked


def test_authorise_names_what_a_waiver_let_be(waived: Shop):
    words = "waived: drift-run by waiver:w1"
    done = run(*AUTHORISE, "--id", "0198c0de-0000-7000-8000-00000000abcd").good()
    assert words in done.err.splitlines()
    assert "waived" not in done.out, "data on stdout, remarks on stderr"


def test_waivers_are_listed_as_they_stand_and_stood(waived: Shop):
    run(*[word.replace("waiver:w1", "waiver:w2") for word in WAIVER if word != "--single-use"]).good()
    size = waived.size()

    def told(*as_of: object) -> list[tuple[object, ...]]:
        found = run("waiver", "list", *as_of, "-o", "json").good().json["waivers"]
        return [(one["waiver"], one["state"], one["owner"], one["used"], one["max_uses"]) for one in found]

    second = ("waiver:w2", "asked for", "p-author", 0, None)
    assert told() == [("waiver:w1", "stands", "p-author", 0, 1), second]
    run(*AUTHORISE).good()
    assert told() == [("waiver:w1", "used up", "p-author", 1, 1), second]
    run("waiver", "deny", "waiver:w2", "--rationale", "no", "--as", "p-second").good()
    assert told()[1][1] == "denied"
    assert told("--known-at", size) == [("waiver:w1", "stands", "p-author", 0, 1), second], "as it was known then"
    far = told("--at", "2031-01-01T00:00:00Z")
    assert [one[1] for one in far] == ["expired", "denied"]
    text = run("waiver", "list").good().out
    assert "2 waiver(s), of which 0 stand(s)" in text
    assert "used up" in text


def test_a_single_use_is_one_whoever_comes_at_once(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    done = processes([AUTHORISE, AUTHORISE], monkeypatch)
    assert sorted(one.code for one in done) == [0, 1]
    (late,) = [one for one in done if one.code]
    late.refused(1, "waiver:w1", "single use")
    assert counted(waived) == (1, 1, 1)


def twice(shop: Shop) -> None:
    asked = [word for word in WAIVER if word != "--single-use"]
    run(*asked, "--max-uses", "2").good()
    waiting = run("inbox", "--as", "p-second", "-o", "json").good().json["inbox"]
    assert [one["max_uses"] for one in waiting if one["what"] == "waiver"] == [2]
    run("waiver", "grant", "waiver:w1", "--rationale", "for now", "--as", "p-second").good()


def test_a_waiver_that_would_be_of_no_use_is_refused_or_said(asked: Shop):
    wanted = ("--env", "prod", "--reason", "x", "--control", "x", "--expires", "9d", "--as", "p-author")

    def ask_for(check: str, model: str = MODEL, owner: str = "p-author") -> Result:
        return run("waiver", "request", check, "--model", model, "--owner", owner, *wanted)

    ask_for("drift-run", owner="p-nobody").refused(2, "nobody enrolled", "muniment actor list")
    for check in ("drift-run", "drift-*"):
        assert "warning" not in ask_for(check).good().err
    assert "warning: no check of policy:p@1, which the rules name for prod, is called drfit-run" in (
        ask_for("drfit-run").good().err
    )
    assert "warning: nothing is registered as model:other." in ask_for("drift-run", "model:other").good().err


def test_a_waiver_of_what_cannot_be_waived_is_refused_and_told_as_such(grow: Grow):
    shop, words = grow(ruled_and_approved), "policy:p@{}, which the rules name for prod, says that {} cannot be waived"
    asked = [word for word in WAIVER if word != "--single-use"]
    for model in (MODEL, "model:tx"):
        firm = [{"drift-*": "vendor-*", MODEL: model}.get(word, word) for word in asked]
        run(*firm).refused(1, words.format(1, "vendor-known"), f"muniment gate check {model.partition('@')[0]}@")
    run(*asked).good()
    run(*[word.replace("waiver:w1", "waiver:w2") for word in asked]).good()
    grant = ("waiver", "grant", "waiver:w1", "--rationale", "x", "--as", "p-second", "--id", str(UUID(int=7)))
    run(*grant).good()
    run("waiver", "deny", "waiver:w1", "--rationale", "x", "--as", "p-second").refused(
        5, "muniment waiver revoke waiver:w1"
    )
    size = shop.size()
    run("policy", "define", "policy:p@2", "-", "--as", "p-second",
        stdin=POLICY.replace("kind drift.\n", "kind drift.\n  waivable: false\n").encode()).good()  # fmt: skip
    ruled("policy:p@2")
    assert run(*grant).good().out.startswith("already recorded"), "the same again repeats nothing"
    late = words.format(2, "drift-run")
    run("waiver", "grant", "waiver:w2", "--rationale", "x", "--as", "p-second").refused(
        1, late, "waiver deny waiver:w2"
    )
    (item,) = [one for one in run("inbox", "--as", "p-second", "-o", "json").good().json["inbox"] if "check" in one]
    assert item["next"] == f"Of no effect, for {late}: muniment waiver deny waiver:w2 --rationale …"

    def told(*as_of: object) -> tuple[str, str]:
        found = run("waiver", "list", *as_of, "-o", "json").good().json["waivers"][0]
        return found["state"], found["trouble"]

    assert told() == ("without effect", late)
    assert told("--known-at", size) == ("stands", ""), "as the rules were then"
    assert "| without effect: policy:p@2, which" in run("waiver", "list").good().out
    (model,) = run("inventory", "-o", "json").good().json["models"]
    assert [one["state"] for one in model["waivers"]] == ["without effect", "asked for"]
    assert f"~ waiver without effect ({late}): drift-*" in run("report", "generate", "control-assessment").out
    (one,) = run("report", "generate", "control-assessment", "--known-at", size, "-o", "json").json["waivers"]
    assert (one["state"], one["trouble"]) == ("standing", "")
    revoke = ("waiver", "revoke", "waiver:w1", "--reason", "x", "--as", "p-second")
    run(*revoke).good()
    run(*revoke).refused(5, "was revoked before", f"muniment waiver request 'drift-*' --model {MODEL} --env prod")


def test_two_uses_are_two_whoever_comes_at_once(asked: Shop, monkeypatch: pytest.MonkeyPatch):
    twice(asked)
    done = processes([AUTHORISE] * 3, monkeypatch)
    assert sorted(one.code for one in done) == [0, 0, 1]
    (late,) = [one for one in done if one.code]
    late.refused(1, "waiver:w1", "it was for 2 uses")
    assert counted(asked) == (2, 2, 1)
    run("verify", "log").good()


def test_threads_of_one_ledger_use_no_more_than_there_are(asked: Shop, monkeypatch: pytest.MonkeyPatch):
    twice(asked)
    hold(monkeypatch, threading.Barrier(4).wait)
    with muniment.open(asked.folder, actor="p-deployer") as ledger, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(muniment.authorise, ledger, PROD, MODEL) for _ in range(4)]
        refused = [task.exception() for task in tasks]
    assert sum(one is None for one in refused) == 2
    assert all("it was for 2 uses" in str(one) for one in refused if one is not None)
    assert counted(asked)[:2] == (2, 2)


def test_uses_are_shown_wherever_the_waiver_is(asked: Shop):
    twice(asked)
    terms = "instead: by hand; p-author carries the risk; asked for by p-author"
    checked = run(*CHECK, "--dry-run").out
    assert "Waived by waiver:w1 (use 1 of 2)." in checked
    assert f"~ waiver:w1: new; {terms}" in checked.splitlines()
    (told,) = run(*CHECK, "--dry-run", "-o", "json").json["waivers"]
    assert told == {
        "waiver": "waiver:w1", "owner": "p-author", "reason": "new", "compensating_control": "by hand",
        "requested_by": "p-author",
    }  # fmt: skip
    assert "2 of 2 use(s) left" in run("due").good().out
    assert f"waiver:w1: new; {terms}" in run(*AUTHORISE).good().err.splitlines()
    assert "1 of 2 use(s) left" in run("due").good().out
    told = run("why", PROD).good().out
    assert "1 of 2 use(s) used" in told
    assert f"is waived by waiver:w1, not met; {terms}" in told
    assert "“new”" in told
    assert "vendor-known: not-applicable: We made it." in told, "and it is not called met"
    assert "1 of 2 use(s) used" in run("inventory").good().out.replace("\n", " ")
    reported = run("report", "generate", "control-assessment").out
    assert "1 of 2 use(s) used" in reported
    assert f"    new; {terms}; granted by p-second" in reported.splitlines()
    listed = run("waiver", "list").good().out
    assert all(word in listed for word in terms.replace(";", "").split())
    (row,) = csv.DictReader(run("waiver", "list", "-o", "csv").good().out.splitlines())
    assert list(row)[-4:] == ["index", "reason", "compensating_control", "requested_by"]
    assert (row["reason"], row["compensating_control"], row["requested_by"]) == ("new", "by hand", "p-author")
    run(*AUTHORISE).good()
    assert "waiver:w1" not in run("due").good().out
    run("gate", "recheck").good()


def test_threads_of_one_ledger_use_it_once(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    hold(monkeypatch, threading.Barrier(3).wait)
    with muniment.open(waived.folder, actor="p-deployer") as ledger, ThreadPoolExecutor(3) as pool:
        once = "0198c0de-0000-7000-8000-000000000002"
        tasks = [pool.submit(muniment.authorise, ledger, PROD, MODEL, event_id=once) for _ in range(3)]
        found = [task.result() for task in tasks]
    assert {one.id for one in found} == {once}
    assert sorted(one.existing for one in found) == [False, True, True]
    assert counted(waived) == (1, 1, 0)


def test_who_comes_when_it_is_just_done_gets_the_receipt(waived: Shop, monkeypatch: pytest.MonkeyPatch):
    """Another process with the same id is through after this one looked for the id, and before it ran the gate."""
    once = "0198c0de-0000-7000-8000-000000000003"
    check = muniment.gating.check_gate

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(muniment.gating, "check_gate", check)
        run(*AUTHORISE, "--id", once).good()
        return check(*args, **options)

    monkeypatch.setattr(muniment.gating, "check_gate", late)
    assert run(*AUTHORISE, "--id", once, "-o", "json").good().json["existing"]
    assert counted(waived) == (1, 1, 0)


def test_a_process_killed_behind_the_gate_is_finished_by_the_same_command(waived: Shop):
    once = (*AUTHORISE, "--id", "0198c0de-0000-7000-8000-000000000004")
    killed("gate.recorded", *once)
    assert (types(1), counted(waived)) == (["gate.evaluated"], (0, 0, 0))
    assert not run(*once, "-o", "json").good().json["existing"]
    assert run(*once, "-o", "json").good().json["existing"]
    assert counted(waived) == (1, 1, 0)


def test_what_cannot_go_with_a_single_use_is_refused_before_anything_is_recorded(waived: Shop):
    size = waived.size()
    with muniment.open(waived.folder, actor="p-deployer") as ledger:
        for option in ("about", "also_sign", "expect", "personal"):
            with pytest.raises(InputError, match=f"^{option} cannot be given where waiver:w1 is used with"):
                muniment.authorise(ledger, PROD, MODEL, **{option: None})
            assert ledger.recorder.head().size == size
