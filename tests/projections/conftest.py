"""Fixtures of the tests of the read side."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.support import fast_folder
from tests.projections.support import Book, open_book


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the machine has one: these tests are not about durability."""
    folder = fast_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sqlite_url(memory_path: Path) -> str:
    """The URL of an empty SQLite store."""
    return f"sqlite:///{memory_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def quick_url(request: pytest.FixtureRequest) -> str:
    """As ``store_url``, with SQLite's file in memory."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def make_book() -> Iterator[Callable[..., Book]]:
    """Makes ledgers with everybody in them, and closes them in the end."""
    made: list[Book] = []

    def make(url: str, **options: Any) -> Book:
        made.append(open_book(url, **options))
        return made[-1]

    yield make
    for book in made:
        book.close()


@pytest.fixture
def book(sqlite_url: str, make_book: Callable[..., Book]) -> Book:
    """A ledger with everybody in it, on SQLite."""
    return make_book(sqlite_url)


@pytest.fixture
def any_book(quick_url: str, make_book: Callable[..., Book]) -> Book:
    """A ledger with everybody in it, on SQLite and again on PostgreSQL."""
    return make_book(quick_url)
