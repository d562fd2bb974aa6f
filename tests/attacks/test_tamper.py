"""A part of the campaign against stores that is small enough for every change."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.attacks import tamper
from tests.attacks.tamper import Trials
from tests.faults.scorecard import Result


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the URL of a store that is not there yet."""
    if request.param == "sqlite":
        folder = request.getfixturevalue("tmp_path")
        return lambda: f"sqlite:///{folder / uuid4().hex}.db"
    dsn = request.getfixturevalue("postgres_dsn")
    return lambda: f"{dsn}{'&' if '?' in dsn else '?'}schema=t{uuid4().hex[:12]}"


def test_a_sample_of_every_byte(new_url: Callable[[], str]):
    result = tamper.every_byte(new_url, 0.004, 11)
    assert result.ok, result
    assert result.n > 200


def test_random_damages(new_url: Callable[[], str]):
    result = tamper.random_damages(new_url, 60, 11, events=60)
    assert result.ok, result
    assert {"chain", "header", "payload"} <= result.figures.keys()


def test_clean_ledgers(new_url: Callable[[], str]):
    result = tamper.clean_ledgers(new_url, 3, 11)
    assert result.ok, result


def test_the_instrument_sees_a_verifier_that_finds_nothing(new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trials, "_look", lambda self, what, place: self.result.failed("undetected", what))
    result: Result = tamper.random_damages(new_url, 5, 1, events=20)
    assert result.zeros["undetected"] > 0
