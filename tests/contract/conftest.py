"""Fixtures of the contract tests."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.recorders.postgres_store import PostgresStore
from ledger.recorders.sqlite_store import SqliteStore
from tests.contract.bundles import Pair, vkey_of
from tests.contract.support import Cast, fast_folder, make_cast
from tests.contract.tampering import remember_pure_results, sixteen
from tests.postgres_pair import Pair as Servers
from tests.postgres_pair import postgres_pair


@pytest.fixture(autouse=True)
def stores_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SqliteStore | PostgresStore]]:
    """Close every store a test opened, so that it need not say so each time.

    Returns:
        The stores opened so far.
    """
    opened: list[SqliteStore | PostgresStore] = []
    for kind in (SqliteStore, PostgresStore):
        init = kind.__init__

        def noted(self, *args, _init=init, **options):
            opened.append(self)
            _init(self, *args, **options)

        monkeypatch.setattr(kind, "__init__", noted)
    yield opened
    for store in opened:
        store.close()


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory (where the machine has one), for tests that are not about durability."""
    folder = fast_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def quick_url(request: pytest.FixtureRequest, memory_path: Path) -> str:
    """As ``store_url``, but SQLite's file is in memory: many small appends without waiting for a disk."""
    if request.param == "sqlite":
        return f"sqlite:///{memory_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def sold(memory_path: Path) -> tuple[Cast, dict[str, int], Pair]:
    """A ledger of sixteen entries, and both verifiers with its key."""
    cast, steps = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    return cast, steps, Pair(memory_path / "b", vkey_of(cast))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed again and again from the same bytes is remembered."""
    remember_pure_results(monkeypatch)


@pytest.fixture(scope="session")
def started_pair() -> Iterator[Servers]:
    """A PostgreSQL primary and its standby, for all tests of this process."""
    with postgres_pair() as pair:
        yield pair


@pytest.fixture
def pair(started_pair: Servers) -> Iterator[Servers]:
    """The same, healed after each test."""
    yield started_pair
    started_pair.heal()


@pytest.fixture
def schema() -> str:
    """The schema of the ledger of `cast`, where that is on a pair of servers."""
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture
def cast(pair: Servers, schema: str) -> Cast:
    """A ledger on a primary and its standby, with an author."""
    return make_cast(f"{pair.url}&schema={schema}", actors=("p-author",))


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[Checkpoint]:
    """Every head that any ledger signs, whether it gets out or not."""
    found: list[Checkpoint] = []

    def noting(checkpoint: Checkpoint, *arguments: Any) -> bytes:
        found.append(checkpoint)
        return sign_checkpoint(checkpoint, *arguments)

    monkeypatch.setattr("ledger.checkpoints.sign_checkpoint", noting)
    return found
