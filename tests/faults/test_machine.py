"""SQLite, PostgreSQL and the reference agree on random lives of a ledger; see `machine`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import machine_on
from tests.faults.reference import ReferenceLedger

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
