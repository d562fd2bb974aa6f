"""SQLite, PostgreSQL and the reference agree on random lives of a ledger; see `machine`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.faults.machine import machine_on
from tests.faults.reference import ReferenceLedger
from tests.faults.twins import Life, live

_SETTINGS = settings(
    max_examples=6, stateful_step_count=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class Forgetful(ReferenceLedger):
    """Forgets which keys were revoked."""

    def _apply(self, event: Any) -> None:
        super()._apply(event)
        for key in self._keys.values():
            key.revoked = False


def urls_on(dsn: str) -> Callable[[], str]:
    return lambda: f"{dsn}{'&' if '?' in dsn else '?'}schema=m{uuid4().hex[:12]}"


def test_sqlite_postgres_and_the_reference_agree(postgres_dsn: str):
    run_state_machine_as_test(machine_on(urls_on(postgres_dsn)), settings=_SETTINGS)


def test_a_disagreement_is_found(postgres_dsn: str):
    found = settings(_SETTINGS, max_examples=40, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError, match="authentication"):
        run_state_machine_as_test(seed(6)(machine_on(urls_on(postgres_dsn), Forgetful)), settings=found)


def _drawing(wrong: float) -> type[Life]:
    class Drawing(Life):
        """Goes wrong by what it drew."""

        def __init__(self) -> None:
            super().__init__()
            self.drawn: list[float] = []

        @rule(number=st.integers(0, 1))
        def draw(self, number: int) -> None:
            self.drawn.append(self.chance(number, len(self.drawn)).random())
            assert self.drawn[-1] < wrong, "too large"

    return Drawing


def test_no_two_lives_draw_the_same():
    drawn: list[tuple[float, ...]] = []

    def ended(life: Life) -> None:
        drawn.append(tuple(vars(life)["drawn"]))

    result = live(_drawing(2.0), ended, 12, 5, 1, shrink=False)
    assert result.ok
    assert len(drawn) >= 12
    assert len({one for life in drawn for one in life}) == sum(len(life) for life in drawn)


def test_a_life_that_goes_wrong_is_lived_again_as_it_was():
    result = live(_drawing(0.9), lambda life: None, 50, 5, 1, shrink=False)
    assert result.zeros == {"disagreements": 1}
    assert "too large" in result.failures[0]
    assert "state.draw" in result.failures[0]
    assert "laky" not in result.failures[0]
