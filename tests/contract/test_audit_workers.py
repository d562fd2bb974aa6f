"""Processes that check stretches of a log: whichever is killed, and whenever, that is seen, and nothing hangs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from ledger.audit import verify_store
from ledger.auditworkers import Workers
from ledger.errors import ConfigurationError, NothingToVerifyError
from ledger.segment import Span, Task, spans
from ledger.verify import verify_log
from tests.contract.tampering import sixteen
from tests.contract.verifying import since

#: Most of them have no rows; each is asked for and answered all the same.
ALL = list(spans(0, 40 * 256))


def kill(workers: Workers, place: int) -> None:
    process = workers._workers[place]._process
    process.kill()
    process.wait()  # its end of the pipe is closed now


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def run(workers: Workers, task: Task, wanted: Iterator[Span]) -> list[int]:
    return [segment.start for segment in workers.run(task, wanted)]


@pytest.mark.parametrize(
    ("when", "place"),
    [("starting", 0), ("starting", 1), ("given its task", 0), ("in the middle", 1), ("near the end", 0)],
)
def test_a_worker_that_is_killed_ends_it_in_an_error(memory_path: Path, when: str, place: int):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    task = Task(cast.recorder.identity().ledgerid, "full", {})

    def wanted() -> Iterator[Span]:
        for number, span in enumerate(ALL):
            if (when, number) in {("given its task", 0), ("in the middle", 11), ("near the end", 30)}:
                kill(workers, place)
            yield span

    began, before = time.monotonic(), children()
    with closing(Workers(url, 2)) as workers:
        if when == "starting":
            kill(workers, place)
        with pytest.raises(NothingToVerifyError, match="a worker process ended"):
            run(workers, task, wanted())
    assert time.monotonic() - began < 60
    assert children() <= before


def test_one_that_is_killed_with_nothing_left_to_do_changes_nothing(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    task = Task(cast.recorder.identity().ledgerid, "full", {})
    with closing(Workers(url, 2)) as workers:
        assert run(workers, task, iter(ALL)) == [start for start, _ in ALL]
        kill(workers, 0)
        with pytest.raises(NothingToVerifyError, match="a worker process ended"):
            run(workers, task, iter(ALL))


def test_the_first_process_is_killed_before_it_can_do_anything(memory_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    begun: list[int] = []

    class Killed(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            begun.append(self.pid)
            if len(begun) == 1:
                self.kill()

    monkeypatch.setattr("ledger.auditworkers.subprocess.Popen", Killed)
    with pytest.raises(NothingToVerifyError, match="a worker process ended"):
        verify_store(url, cast.recorder, jobs=2)
    assert len(begun) == 2


def test_a_run_that_is_given_up_leaves_nothing_behind_for_the_next(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    ledgerid = cast.recorder.identity().ledgerid
    with closing(Workers(url, 2)) as workers:
        first = workers.run(Task(ledgerid, "hash", {}), iter(ALL))
        assert next(first).codes == []  # nothing is judged at this level
        del first
        found = list(workers.run(Task(ledgerid, "full", {}), iter(ALL)))
    assert [segment.start for segment in found] == [start for start, _ in ALL]
    assert len(found[0].codes) == found[0].count > 0


def test_a_worker_that_cannot_read_the_store_says_so(memory_path: Path):
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    with pytest.raises(ConfigurationError, match="there is no ledger at"):
        verify_store(f"sqlite:///{memory_path / 'elsewhere.db'}", cast.recorder, jobs=2)


def test_workers_end_when_their_parent_is_killed(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    sixteen(url)
    code = "import sys, time\nfrom ledger.auditworkers import Workers\nw = Workers(sys.argv[1], 2)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, url]) as parent:
        deadline = time.monotonic() + 90
        while len(found := psutil.Process(parent.pid).children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(found) == 2
        parent.kill()
    _, alive = psutil.wait_procs(found, timeout=90)
    assert not alive


def test_a_program_without_a_main_guard_is_not_run_again(tmp_path: Path, memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    sixteen(url)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom ledger.audit import verify_store\nfrom ledger.recorders import open_recorder\n"
        "print(verify_store(sys.argv[1], open_recorder(sys.argv[1]), jobs=2).size)\n"
    )
    done = subprocess.run([sys.executable, str(program), url], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("16\n", "")


def test_as_many_processes_as_cores_check_a_log_that_is_not_small(memory_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    monkeypatch.setattr("ledger.audit.available_cores", lambda: 2)
    all_of_it = since(verify_log(cast.recorder))
    for small, known, jobs in ((16, None, 2), (17, None, 1), (0, all_of_it, 2), (1, all_of_it, 1)):
        monkeypatch.setattr("ledger.audit.SMALL_LOG", small)
        assert verify_store(url, cast.recorder, since=known).jobs == jobs
    cast.recorder.close()
