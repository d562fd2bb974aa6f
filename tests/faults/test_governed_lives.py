"""The governed life cycle on SQLite, on PostgreSQL and in the lawbook; see `governed`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.governed import governed_on
from tests.faults.test_machine import urls_on

_SETTINGS = settings(
    max_examples=5, stateful_step_count=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def test_sqlite_postgres_and_the_lawbook_agree(postgres_dsn: str):
    run_state_machine_as_test(governed_on(urls_on(postgres_dsn)), settings=_SETTINGS)
