"""Several runners feed the same views: processes, threads and leases share the work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import projections.runner
from ledger.application import Ledger
from projections.catalogue import PROJECTIONS, open_runner
from projections.journal import JOURNAL, Journal
from projections.views import open_views
from projections.views.sqlite import SqliteViews
from projections.views.store import Position
from tests.projections.running import in_turn, sizes
from tests.projections.support import Book, tell
from tests.projections.worker import PAGE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test crosses many borders of pages."""
    monkeypatch.setattr(projections.runner, "_PAGE", PAGE)


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
