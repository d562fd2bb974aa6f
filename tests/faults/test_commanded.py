"""Random lives at the command line: a short one, and that differences are seen; `commands` of the campaign has more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from uuid import uuid4

import pytest

from tests.cli.support import digest
from tests.faults.commanded import QUESTIONS, CommandedMachine, commanded_on, commands
from tests.faults.commandwords import HOLDERS, TYPED, Typist
from tests.faults.lawbook import Lawbook
from tests.faults.reference import Refused
from tests.faults.scorecard import Result, count_each
from tests.unit.authorisation import COMMANDS, ROLES

PLACE = "deployment:prod/m"


@pytest.fixture
def new_url(postgres_dsn: str) -> Callable[[], str]:
    return lambda: f"{postgres_dsn}{'&' if '?' in postgres_dsn else '?'}schema=c{uuid4().hex[:12]}"


@pytest.fixture
def life(new_url: Callable[[], str]) -> Iterator[CommandedMachine]:
    machine = commanded_on(new_url)()
    machine.begin()
    yield machine
    with suppress(AssertionError, Refused):  # it was ended by the test, or is ended here
        machine.teardown()


def test_every_command_that_signs_as_an_actor_is_typed():
    assert set(TYPED) == set(COMMANDS)
    assert set(HOLDERS) == {*ROLES, "anybody"} - {"incident-commander"}


def test_what_was_never_done_fails_a_full_run_and_is_told_of_a_short_one():
    counts = {("approve", True): 2, ("approve", False): 1, ("reject", False): 3}
    full, short = Result.counting("disagreements"), Result.counting("disagreements")
    full.n = short.n = 1
    count_each(full, counts, ("approve", "reject", "review"), every=True)
    count_each(short, counts, ("approve", "reject", "review"), every=False)
    assert (full.ok, full.zeros["never done"], full.failures) == (False, 2, ["never done: reject, review"])
    assert short.ok
    assert short.figures["not done in so few lives"] == "reject, review"
    assert (short.figures["done"], short.figures["refused"]) == (2, 4)
    assert short.figures["each"] == {
        "approve": {"done": 2, "refused": 1}, "reject": {"done": 0, "refused": 3}, "review": {"done": 0, "refused": 0},
    }  # fmt: skip


def test_a_short_life_gets_far(new_url: Callable[[], str]):
    result = commands(new_url, 1, 3, seed=14)
    assert result.ok, result
    assert result.figures["judged by the reference"] > 10
    assert all(result.figures["each"][command]["done"] for command in ("record version", "request", "approve"))


def test_an_illegal_event_an_answer_that_changes_and_a_ledger_that_differs_are_seen(
    life: CommandedMachine, monkeypatch: pytest.MonkeyPatch
):
    for model in ("model:m@1", "model:m@2"):
        life.do("record version", model, "--digest", digest(model), "--tier", "low", who="p-author")
    life.do("record evaluation", "model:m@1", "--metric", "auc=0.9", "--verdict", "pass", who="p-author")
    life.do("request", "model:m@1", "--env", "prod", who="p-author")
    life.do("approve", "model:m@1", "--rationale", "x", who="p-approver")
    life.do("incident open", "incident:1", "--title", "x", who="trainer")
    life.do("authorise", PLACE, "--model", "model:m@1", who="p-deployer")
    for question in {question[0]: question for question in QUESTIONS}.values():
        life.ask(question, 0)
    assert {code for told in life.answers.values() for code, _ in told} == {0}, "every question has an answer"
    burnt = ("metric=ms", "start={at:18}", "end={ago:0}", "count=9", "good=0", f"deployment={PLACE}")
    life.do("record deployment", PLACE, "--model", "model:m@1", who="p-deployer")
    life.do("slo define", *Typist(Random(0)).promise(PLACE), who="p-deployer")
    life.do("emit", "monitor.window", "monitor:m", *(f"-d{one}" for one in burnt), who="trainer")
    life.do("watch", PLACE, who="trainer")
    assert life.watched == {"slo.breached": 1, "deployment.held": 1}
    life.do("incident note", "incident:1", "x", who="p-author")
    life.do("record evaluation", "model:m@1", "--metric", "auc=0.1", "--verdict", "fail", who="p-author")
    life.do("record run", "run:r", "--input", "dataset:d@1", who="trainer")
    life.ask_again()
    assert life.counts["authorise", 0] == life.counts["incident open", 0] == 1
    with monkeypatch.context() as patch:
        patch.setattr(Lawbook, "_deployment_authorised", lambda self, deed: False)
        with pytest.raises(Refused):
            life._ask_the_reference(life.desks[0])
    life._ask_the_reference(life.desks[0])
    with monkeypatch.context() as patch:
        patch.setattr(CommandedMachine, "_answer", lambda self, desk, question, known, at: (0, ""))
        with pytest.raises(AssertionError):
            life.ask_again()
    life.desks[1].type("record", "run", "run:r", "--as", "trainer").good()
    with pytest.raises(AssertionError):
        life.do("record run", "run:s", who="trainer")
