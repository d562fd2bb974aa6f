"""How a verification is shared out among processes."""

from __future__ import annotations

import os

import pytest

from ledger.audit import available_cores


def test_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 7} if process == 0 else set(), raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("counted", "cores"), [(4, 4), (1, 1), (None, 1)])
def test_cores_where_a_process_may_use_all(counted: int | None, cores: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert available_cores() == cores
