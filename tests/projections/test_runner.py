"""Views are fed page by page, survive crashes, and are made again from the log."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import projections.runner
import projections.views.store
from ledger.application import Ledger
from ledger.errors import ConfigurationError, StorageError
from projections.base import Column, RowOf, Table
from projections.catalogue import PROJECTIONS
from projections.journal import JOURNAL, Journal
from projections.runner import Runner
from projections.views import open_views
from projections.views.sqlite import SqliteViews
from tests.projections.running import digests, in_turn, sizes, views_file
from tests.projections.support import PROD, Book, closing, open_book, tell
from tests.projections.test_as_of import moves, tell_moves
from tests.projections.worker import PAGE


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test crosses many borders of pages."""
    monkeypatch.setattr(projections.runner, "_PAGE", PAGE)


# -- the same rows, however they came about ------------------------------------------------------------------------


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(pieces=st.lists(st.lists(moves, max_size=9), min_size=1, max_size=6))
def test_a_rebuild_gives_the_rows_that_grew_piece_by_piece(pieces: list[list[tuple[str, str, int]]]):
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        with closing(open_book(f"sqlite:///{folder}/ledger.db")) as book:
            runner = book.runner()
            for piece in pieces:
                tell_moves(book, piece)
                runner.catch_up()
            grown = digests(runner.views)
            assert runner.rebuild() == dict.fromkeys(("journal", "lineage", "model_state"), True)
            assert digests(runner.views) == grown
            runner.views.close()
            views_file(book).unlink()
            assert runner.catch_up() == book.size
            assert digests(runner.views) == grown


def test_a_rebuild_gives_the_same_rows_on_either_backend(any_book: Book):
    book, runner = any_book, any_book.runner()
    chance = random.Random(7)
    steps = ("register", "train", "dataset", "deploy", "evaluate", "request", "approve", "open")
    for _ in range(6):
        story = [
            (chance.choice(steps), f"model:scoring@{chance.randint(1, 3)}", chance.randint(-9, 9)) for _ in range(5)
        ]
        tell_moves(book, story)
        runner.catch_up()
    grown = digests(runner.views)
    for _ in range(3):  # more than once: what a rebuild leaves behind must not be in the way of the next
        assert all(runner.rebuild().values())
        assert digests(runner.views) == grown
    tell_moves(book, [("register", "model:scoring@9", 1)])
    assert runner.catch_up() == book.size
    assert sizes(runner) == [book.size] * 3


def test_a_digest_is_of_every_row_however_many_are_read_at_once(any_book: Book, monkeypatch: pytest.MonkeyPatch):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    for projection in runner.projections:
        whole = runner.views.digest(projection)
        with monkeypatch.context() as smaller:
            smaller.setattr(projections.views.store, "_PAGE", 3)  # pages end between rows of one entry, too
            assert runner.views.digest(projection) == whole


def test_a_rebuild_keeps_the_indexes(any_book: Book):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()

    def indexes() -> set[str]:
        store: Any = runner.views._store
        if any_book.url.startswith("sqlite:"):
            found = store.run("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        else:
            text = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = ? AND indexname NOT LIKE ?"
            found = store.run(text, (store.schema, "%pkey%"))
        return {f"{table} {sql[sql.index('(') :]}" for table, sql in found}

    made = indexes()
    assert len(made) == sum(len(table.indexes) for projection in PROJECTIONS for table in projection.tables)
    runner.rebuild()
    assert indexes() == made


def test_a_rebuild_of_one_view_leaves_the_others(book: Book):
    tell(book)
    runner = book.runner()
    runner.catch_up()
    assert runner.rebuild("lineage") == {"lineage": True}
    assert runner.rebuild("nobody") == {}


@pytest.mark.parametrize("damage", ["UPDATE $t SET model = 'model:scoring@9'", "DELETE FROM $t"])
def test_a_damaged_view_is_found_by_a_rebuild_and_replaced(any_book: Book, damage: str):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    good = digests(runner.views)
    row = "WHERE position = (SELECT max(position) FROM $model_state_change)"
    runner.views._store.run(f"{damage.replace('$t', '$model_state_change')} {row}")
    assert digests(runner.views) != good
    assert runner.rebuild() == {"journal": True, "lineage": True, "model_state": False}
    assert digests(runner.views) == good
    assert all(runner.rebuild().values())


def test_a_view_of_an_older_version_is_made_anew(any_book: Book, monkeypatch: pytest.MonkeyPatch):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    good = digests(runner.views)
    runner.views._store.run("UPDATE $journal SET reason = 'as an older Muniment wrote it'")
    monkeypatch.setattr(Journal, "version", Journal.version + 1)
    stale = {status.name: status.current for status in runner.status()}
    assert stale == {"journal": False, "lineage": True, "model_state": True}
    assert runner.catch_up() == any_book.size
    assert digests(runner.views) == good
    assert all(status.current for status in runner.status())
    monkeypatch.setattr(Journal, "version", Journal.version + 1)
    assert all(runner.rebuild().values()), "nothing was damaged"
    assert digests(runner.views) == good


@pytest.mark.parametrize("survived", [0, 1, 5])
def test_a_crash_between_pages_is_resumed(any_book: Book, monkeypatch: pytest.MonkeyPatch, survived: int):
    tell(any_book)
    runner = any_book.runner()
    apply, done = runner.views.apply, list[int]()

    def crash(*arguments: Any) -> bool:
        if len(done) == survived:
            raise KeyboardInterrupt
        done.append(arguments[2])
        return apply(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(runner.views, "apply", crash)
        with pytest.raises(KeyboardInterrupt):
            runner.catch_up()
    assert sizes(runner) == [pages * PAGE for pages in in_turn(survived)]
    assert len(runner.views.select(JOURNAL)) == in_turn(survived)[0] * PAGE
    assert runner.catch_up() == any_book.size
    assert all(runner.rebuild().values())


def test_a_crash_inside_a_page_leaves_nothing_of_it(any_book: Book, monkeypatch: pytest.MonkeyPatch):
    tell(any_book)
    runner = any_book.runner()
    store: Any = runner.views._store
    run_many, calls = store.run_many, []

    def crash(text: str, parameters: Any) -> None:
        run_many(text, parameters)
        calls.append(text)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "run_many", crash)
        with pytest.raises(KeyboardInterrupt):
            runner.catch_up()
    assert sizes(runner)[0] == 2 * PAGE
    assert len(runner.views.select(JOURNAL)) == 2 * PAGE
    runner.catch_up()
    assert all(runner.rebuild().values())


def test_a_crash_in_a_rebuild_leaves_the_old_view_in_use(any_book: Book, monkeypatch: pytest.MonkeyPatch):
    tell(any_book)
    runner = any_book.runner()
    runner.catch_up()
    good = digests(runner.views)
    rows, calls = Journal.rows, []

    def crash(self: Journal, judged: Any) -> Iterator[RowOf]:
        calls.append(judged)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return rows(self, judged)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "rows", crash)
        with pytest.raises(KeyboardInterrupt):
            runner.rebuild()
    assert sizes(runner) == [any_book.size] * 3
    assert digests(runner.views) == good
    assert all(runner.rebuild().values())
    assert digests(runner.views) == good


# -- reading views ------------------------------------------------------------------------------------------------


def test_conditions_are_checked_against_the_table(book: Book):
    tell(book)
    reader = book.reader()
    views = reader.runner.views
    assert views.select(JOURNAL, [("stream", "IN", [])]) == []
    assert [row["position"] for row in views.select(JOURNAL, [("position", "<", 4)], limit=2)] == [1, 2]
    assert {row["stream"] for row in views.select(JOURNAL, [("stream", "IN", [PROD])])} == {PROD}
    for bad in (("position; DROP TABLE journal", "=", 1), ("position", "LIKE", "1"), ("nothing", "=", 1)):
        with pytest.raises(ValueError, match="no such condition"):
            views.select(JOURNAL, [bad])


def test_a_value_is_never_read_as_sql(any_book: Book):
    tell(any_book)
    views = any_book.reader().runner.views
    nasty = ["x' OR '1'='1", "$journal", "%s", "?", "\\", '"']
    assert views.select(JOURNAL, [("stream", "IN", nasty)]) == []
    for text in nasty:
        assert views.select(JOURNAL, [("stream", "=", text)]) == []


def test_a_views_url_of_no_store_is_refused(book: Book):
    views = open_views("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(StorageError):
        views.prepare()
    recorderless = SqliteViews(Path("/nonexistent/ledger.views.db"))
    with pytest.raises((StorageError, ConfigurationError)):
        recorderless.prepare()


def test_a_projection_of_two_tables_has_one_position(book: Book):
    """As a later one may have: its rows and its position move in one transaction."""
    both = tuple(Table(f"pair_{name}", (Column("position", number=True), Column("text"))) for name in "ab")

    class Pair:
        name, version, tables = "pair", 1, both

        def rows(self, judged: Any) -> Iterator[RowOf]:
            for table in self.tables:
                yield table, (judged.row.entry.index + 1, judged.row.entry.subject)

    views = open_views(book.url)
    runner = Runner(book.ledger, views, [Pair()])
    assert runner.catch_up() == book.size
    assert [len(views.select(table)) for table in both] == [book.size] * 2
    assert runner.rebuild() == {"pair": True}
    views.close()


def test_the_runner_makes_nothing_beside_a_log_that_is_not_there(memory_path: Path):
    url = f"sqlite:///{memory_path / 'none.db'}"
    with pytest.raises(ConfigurationError):
        Ledger.open(url)
    assert list(memory_path.iterdir()) == []
