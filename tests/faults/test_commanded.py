"""Random lives at the command line: a short one, and that differences are seen; `commands` of the campaign has more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from tests.faults.commanded import CommandedMachine, commanded_on, commands
from tests.faults.commandwords import HOLDERS, TYPED, USUAL
from tests.faults.lawbook import Lawbook
from tests.faults.reference import Refused
from tests.unit.authorisation import COMMANDS, ROLES


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
    assert {command for command, _ in USUAL} <= set(TYPED)
    assert set(HOLDERS) == {*ROLES, "anybody"} - {"incident-commander"}


def test_a_short_life(new_url: Callable[[], str]):
    result = commands(new_url, 1, 4, seed=3)
    assert result.ok, result
    assert result.figures["judged by the reference"] > 10


def test_an_illegal_event_and_a_ledger_that_differs_are_seen(life: CommandedMachine, monkeypatch: pytest.MonkeyPatch):
    life.do("record version", "model:m@1", "--digest", "sha256:" + "1" * 64, "--tier", "low", who="p-author")
    life.do("record evaluation", "model:m@1", "--metric", "auc=0.9", "--verdict", "pass", who="p-author")
    life.do("request", "model:m@1", "--env", "prod", who="p-author")
    life.ask(("why", "model:m@1"), 0)
    life.do("approve", "model:m@1", "--rationale", "x", who="p-approver")
    life.ask(("why", "model:m@1"), 1)
    life.do("authorise", "deployment:prod/m", "--model", "model:m@1", who="p-deployer")
    assert life.counts == {
        (name, 0): count for name, count in {
            "actor enrol": 6, "record dataset": 1, "record run": 1, "record version": 1, "record evaluation": 1,
            "policy define": 1, "request": 1, "approve": 1, "authorise": 1,
        }.items()
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(Lawbook, "_deployment_authorised", lambda self, deed: False)
        with pytest.raises(Refused):
            life._ask_the_reference(life.desks[0])
    life._ask_the_reference(life.desks[0])
    life.desks[1].type("record", "run", "run:r", "--as", "trainer").good()
    with pytest.raises(AssertionError):
        life.do("record run", "run:s", who="trainer")
