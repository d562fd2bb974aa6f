"""Files of views: those of another history, damaged or deleted, and what is said of how far they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import projections.runner
from ledger.application import Ledger
from ledger.errors import StorageError, VerificationError
from ledger.recorders import sqlite_path
from projections.catalogue import open_runner
from tests.contract.support import raw
from tests.projections.running import digests, views_file
from tests.projections.support import Book, tell
from tests.projections.worker import PAGE


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test crosses many borders of pages."""
    monkeypatch.setattr(projections.runner, "_PAGE", PAGE)


# -- what is refused ----------------------------------------------------------------------------------------------


def forked(book: Book, folder: Path, subject: str, count: int) -> Book:
    """A copy of the log that goes on otherwise, with the views of the first."""
    book.cast.recorder.close()
    path = sqlite_path(book.url)
    shutil.copy(path, folder / path.name)
    copy = Book(type(book.cast)(f"sqlite:///{folder / path.name}", book.cast.new))
    from ledger.recorders import open_recorder

    recorder = open_recorder(copy.url, clock=book.cast.recorder._clock)
    key = book.cast.keys["trainer"]
    with Ledger(recorder, actor="trainer", signers=[key]) as ledger:
        for number in range(count):
            ledger.emit("dataset.registered", f"{subject}@{number}", digest="sha256:" + "a" * 64)
    return copy


@pytest.mark.parametrize("more", [0, 2, 5], ids=["shorter", "as long", "longer"])
def test_views_of_another_history_are_refused_and_rebuilt(book: Book, tmp_path: Path, more: int):
    tell(book)
    copy = forked(book, tmp_path, "dataset:copy", more)
    for number in (1, 2):
        book.dataset(f"dataset:original@{number}", number)
    runner = book.runner()
    runner.catch_up()
    runner.views.close()
    shutil.copy(views_file(book), views_file(copy))
    with Ledger.open(copy.url) as ledger:
        other = open_runner(ledger, copy.url)
        with pytest.raises(VerificationError, match="another history") as caught:
            other.catch_up()
        assert caught.value.fault == "anchor"
        assert "muniment projection rebuild" in caught.value.hint
        assert other.rebuild() == dict.fromkeys(("journal", "lineage", "model_state"), False)
        assert other.catch_up() == ledger.recorder.head().size
        assert all(other.rebuild().values())
        other.views.close()


def test_a_position_that_names_another_leaf_is_refused_on_either_backend(any_book: Book):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    runner.views._store.run("UPDATE $position SET leaf_hash = ? WHERE name = 'lineage'", ("ab" * 32,))
    with pytest.raises(VerificationError, match="the view lineage was built over another history"):
        runner.catch_up()
    any_book.dataset("dataset:more@1", 0)
    with pytest.raises(VerificationError, match="another history"):
        runner.catch_up()
    assert runner.rebuild() == {"journal": True, "lineage": False, "model_state": True}
    runner.catch_up()


def test_a_missing_entry_is_refused(any_book: Book):
    tell(any_book)
    with raw(any_book.url) as store:
        store.unprotect()
        store.run("DELETE FROM $entry WHERE position = 5")
    with pytest.raises(VerificationError, match="entry 3 is missing") as caught:
        any_book.runner().catch_up()
    assert (caught.value.fault, caught.value.index) == ("chain", 3)


# -- files --------------------------------------------------------------------------------------------------------


def test_deleted_views_are_made_again(any_book: Book):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    good, answers = digests(runner.views), any_book.reader().answers()
    runner.views.close()
    if any_book.url.startswith("sqlite:"):
        views_file(any_book).unlink()
    else:
        store: Any = runner.views._store
        store.run(f"DROP SCHEMA {store.schema} CASCADE")
    assert runner.catch_up() == any_book.size
    assert digests(runner.views) == good
    assert any_book.reader().answers() == answers


def test_views_lie_beside_the_log_and_nobody_else_may_read_them(book: Book):
    book.runner().catch_up()
    path = views_file(book)
    assert path.parent == sqlite_path(book.url).parent
    assert path.stat().st_mode & 0o777 == 0o600
    for lease in path.parent.glob("*.lease"):
        assert lease.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_refused_with_what_to_do(book: Book):
    views_file(book).write_bytes(b"this was a view once" * 500)
    with pytest.raises(StorageError) as caught:
        book.runner().catch_up()
    assert f"Remove {views_file(book)}" in caught.value.hint
    views_file(book).unlink()
    book.runner().catch_up()


def test_status_counts_the_lag(any_book: Book):
    runner = any_book.runner()
    runner.catch_up()
    assert runner.lag() == 0
    any_book.dataset("dataset:base@1", 0)
    assert [(status.lag, status.log_size) for status in runner.status()] == [(1, any_book.size)] * 3
    assert runner.lag() == 1


def test_progress_is_told_page_by_page(book: Book):
    told: list[tuple[int, int]] = []
    book.runner().catch_up(lambda done, total: told.append((done, total)))
    steps = [*range(PAGE, book.size, PAGE), book.size]
    assert told == [(step, book.size) for step in steps], "once for all views"
