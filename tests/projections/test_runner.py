"""Views are fed page by page, survive crashes, share the work, and are made again from the log."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import projections.runner
from ledger.application import Ledger
from ledger.errors import ConfigurationError, StorageError, VerificationError
from ledger.recorders import sqlite_path
from projections.base import Column, RowOf, Table
from projections.catalogue import PROJECTIONS, open_runner
from projections.journal import JOURNAL, Journal
from projections.runner import Runner
from projections.views import open_views
from projections.views.sqlite import SqliteViews
from projections.views.store import Position, ViewStore
from tests.contract.support import raw
from tests.projections.support import PROD, Book, closing, open_book, tell
from tests.projections.test_as_of import moves, tell_moves
from tests.projections.worker import PAGE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test crosses many borders of pages."""
    monkeypatch.setattr(projections.runner, "_PAGE", PAGE)


def digests(views: ViewStore) -> list[str]:
    return [views.digest(projection) for projection in PROJECTIONS]


def sizes(runner: Runner) -> list[int]:
    return [status.size for status in runner.status()]


def views_file(book: Book) -> Path:
    path = sqlite_path(book.url)
    return path.with_name(path.stem + ".views.db")


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


# -- crashes ------------------------------------------------------------------------------------------------------


def in_turn(applied: int) -> list[int]:
    """Pages of each view, when so many were applied: a page goes to one view after the other."""
    views = len(PROJECTIONS)
    return [(applied + views - 1 - place) // views for place in range(views)]


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


# -- several runners ----------------------------------------------------------------------------------------------


def start(url: str, folder: Path, name: str, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.projections.worker", url, str(folder), name, *map(str, more)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, "a process did not start"
        time.sleep(0.005)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_two_processes_apply_each_page_once(any_book: Book, tmp_path: Path):
    tell(any_book)
    workers = [start(any_book.url, tmp_path, name) for name in ("one", "two")]
    wait_for(tmp_path / "one", tmp_path / "two")
    (tmp_path / "go").touch()
    found = [finish(worker) for worker in workers]
    assert [item["size"] for item in found] == [any_book.size] * 2
    pages = sorted((name, old, new) for item in found for name, old, new in item["applied"])
    starts = range(0, any_book.size, PAGE)
    wanted = [(p.name, old, min(old + PAGE, any_book.size)) for p in PROJECTIONS for old in starts]
    assert pages == sorted(wanted)
    runner = any_book.runner()
    assert all(runner.rebuild().values())


def test_a_killed_process_leaves_whole_pages_and_no_lease(any_book: Book, tmp_path: Path):
    tell(any_book)
    (tmp_path / "go").touch()
    worker = start(any_book.url, tmp_path, "one", 4)
    worker.communicate(timeout=120)
    assert worker.returncode == -signal.SIGKILL
    runner = any_book.runner()
    assert sizes(runner)[0] == in_turn(4)[0] * PAGE
    assert len(runner.views.select(JOURNAL)) == in_turn(4)[0] * PAGE
    assert runner.catch_up() == any_book.size
    assert all(runner.rebuild().values())


def test_threads_of_their_own_connections_share_the_work(any_book: Book):
    tell(any_book)
    gate, errors = threading.Barrier(4), list[BaseException]()

    def work() -> None:
        with Ledger.open(any_book.url) as ledger:
            runner = open_runner(ledger, any_book.url)
            try:
                gate.wait()
                runner.catch_up()
            except BaseException as error:
                errors.append(error)
            finally:
                runner.views.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    runner = any_book.runner()
    assert sizes(runner) == [any_book.size] * 3
    assert all(runner.rebuild().values())


def test_making_the_views_at_the_same_moment_is_no_conflict(memory_path: Path):
    """SQLite does not wait for a file that is just becoming a database."""
    gate = threading.Barrier(4)

    def make(views: SqliteViews) -> None:
        gate.wait()
        views.prepare()

    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            made = [SqliteViews(memory_path / f"{number}.views.db") for _ in range(4)]
            for result in [pool.submit(make, views) for views in made]:
                result.result()
            for views in made:
                views.close()


def test_a_page_made_for_another_position_is_not_applied(any_book: Book):
    tell(any_book)
    views, journal = any_book.runner().views, Journal()
    views.prepare()
    views.ensure(journal)
    row = tuple(1 if column.number else "x" for column in JOURNAL.columns)
    new = Position(1, "ab", journal.version)
    assert views.apply(journal, [(JOURNAL, row)], 0, new)
    other = tuple(2 if column.number else "x" for column in JOURNAL.columns)
    assert not views.apply(journal, [(JOURNAL, other)], 0, Position(2, "cd", journal.version))
    assert views.position(journal) == new
    assert len(views.select(JOURNAL)) == 1


def test_a_lease_lets_one_in_at_a_time(any_book: Book):
    one, two = open_views(any_book.url), open_views(any_book.url)
    for views in (one, two):
        views.prepare()
    order: list[str] = []

    def second() -> None:
        with two.lease("journal"):
            order.append("second")

    thread = threading.Thread(target=second)
    with one.lease("journal"):
        thread.start()
        with one.lease("lineage"):  # another view is another matter
            pass
        time.sleep(0.2)
        order.append("first")
    thread.join(timeout=60)
    assert order == ["first", "second"]
    for views in (one, two):
        views.close()


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
