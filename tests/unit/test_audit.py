"""How a verification is shared out among processes."""

from __future__ import annotations

import os

import pytest

from ledger.audit import available_cores
from ledger.auditworkers import _read_only


def test_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 7} if process == 0 else set(), raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("counted", "cores"), [(4, 4), (1, 1), (None, 1)])
def test_cores_where_a_process_may_use_all(counted: int | None, cores: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:////a/b.db", "sqlite:////a/b.db?mode=ro"),
        ("sqlite:////a/b.db?mode=rw", "sqlite:////a/b.db?mode=ro"),
        ("sqlite:////a/b.db?x=1&mode=rwc&y=2", "sqlite:////a/b.db?x=1&y=2&mode=ro"),
        ("postgresql://u@h/d?schema=s", "postgresql://u@h/d?schema=s"),
    ],
)
def test_a_process_that_only_reads_opens_the_store_so(url: str, read: str):
    assert _read_only(url) == read
