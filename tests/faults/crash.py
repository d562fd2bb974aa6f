"""Processes that die at a crash point, or at any moment; and a PostgreSQL server that dies with all its processes."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from ledger.errors import StorageError
from tests.contract.support import audit, make_cast, workers
from tests.contract.support import lost as lost_acknowledged
from tests.faults.processes import child
from tests.faults.scorecard import Result
from tests.faults.server import Server
from tests.faults.site import Ack, Site, envelope, examine, good, lost, scratch

#: The task of `children` that passes the crash points of a family. A new family needs a line here.
SCENARIOS = {
    "append": "everyday",
    "checkpoint": "everyday",
    "file": "everyday",
    "export": "everyday",
    "view": "everyday",
}
#: Families whose points are passed by work on a whole store, and the tests in which a process dies at each of them.
ELSEWHERE = {
    "copy": "tests/contract/test_copy_killed.py",
    "backup": "tests/contract/test_backup.py",
    "migrate": "tests/contract/test_migrate.py",
    "restore": "tests/cli/test_restore.py",
    "seal": "tests/cli/test_erasure_killed.py",
    "erase": "tests/cli/test_erasure_killed.py",
    "watch": "tests/cli/test_watch.py",
    "gate": "tests/cli/test_gate_waivers.py",
    "publish": "tests/cli/test_published_objects.py",
}
#: Steps that on PostgreSQL happen inside one statement, in the server: no process of ours can die there. Killing the
#: server, and cutting connections, is what covers them.
IN_THE_SERVER = ("append.inserted", "append.before_commit", "checkpoint.before_commit")
ROUNDS = 4
#: How often a killed store is verified meanwhile, which takes longer the more is in it.
CHECKS = 10

StoreUrl = Callable[[], str | None]


def scenario(point: str) -> str:
    """The task that passes a crash point.

    Raises:
        KeyError: no scenario does.
    """
    return SCENARIOS[point.partition(".")[0]]


def points_of(backend: str) -> tuple[str, ...]:
    """The crash points that an ordinary process of ours passes on a backend."""
    here = (point for point in CRASHPOINTS if point.partition(".")[0] not in ELSEWHERE)
    return tuple(point for point in here if backend == "sqlite" or point not in IN_THE_SERVER)


def crash_points(store_url: StoreUrl, passages: int, seed: int, points: tuple[str, ...]) -> Result:
    """Die at every crash point, ``passages`` times each, and go on without a repair.

    Args:
        store_url: gives the URL of a store that is not there yet; None for a SQLite file.
        passages: how many deaths a point.
        seed: of which passage it dies at.
        points: which crash points.
    """
    result = Result.counting("lost", "unverifiable", "repairs", "not reached")
    acknowledged = 0
    for point in points:
        with scratch() as folder:
            site = Site.make(folder / "site", store_url())
            acks: list[Ack] = []
            remembered = 0
            for turn in range(passages):
                chance = random.Random(f"{seed} {point} {turn}")
                armed = f"{point}:{chance.randrange(1, ROUNDS)}"
                where = f"{armed}, turn {turn} of seed {seed}"
                with child(scenario(point), site, chance.randrange(10**6), ROUNDS, point=armed) as process:
                    code = process.end()
                    acks += [ack for (ack,) in process.told("ack")]
                    remembered = max([remembered, *(size for (size,) in process.told("remembered"))])
                result.n += 1
                if code != -signal.SIGKILL:
                    result.failed("not reached", f"{where}: exit {code}, {process.told('error')}")
                found = examine(site, acks, remembered)
                for number, wrong in (
                    ("lost", found.lost),
                    ("unverifiable", found.unverifiable),
                    ("repairs", found.repairs),
                ):
                    for what in wrong:
                        result.failed(number, f"{where}: {what}")
            acknowledged += len(acks)
    result.figures = {"points": len(points), "acknowledged": acknowledged}
    return result


def processes_killed(url: str, rounds: int, seed: int) -> Result:
    """Kill a writing process at a random moment, again and again.

    Args:
        url: a store that is not there yet.
        rounds: how many kills.
        seed: of the moments.
    """
    result = Result.counting("lost", "unverifiable", "errors", "same index", "too many stored")
    cast = make_cast(url, actors=("p-author",))
    cast.enrol("svc", "service", ["emitter"], "p-author", seed=1)
    before = cast.recorder.head().size
    cast.recorder.close()
    chance = random.Random(seed)
    with workers() as others:
        for turn in range(rounds):
            pid = others.start("forever", url, "svc", 1, f"r{turn}")
            if chance.random() < 0.8:  # otherwise it may be killed while it starts
                others.first_ack()
            time.sleep(chance.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            result.n += 1
            if turn % 2:  # the next writer may come before this one is quite gone
                others.sync()
            if (turn + 1) % max(20, rounds // CHECKS) == 0 or turn == rounds - 1:
                others.sync()
                where = f"round {turn} of seed {seed}"
                for number, wrong in (
                    ("lost", lost_acknowledged(url, others.acknowledged)),
                    ("unverifiable", good(url)),
                    ("errors", others.errors),
                ):
                    for what in wrong:
                        result.failed(number, f"{where}: {what}")
    acknowledged = len(others.acknowledged)
    if len({index for index, _ in others.acknowledged}) != acknowledged:
        result.failed("same index", f"seed {seed}")
    stored = len(audit(url)) - before
    # One event a round may be stored without its acknowledgement having been read.
    if not 0 <= stored - acknowledged <= rounds:
        result.failed("too many stored", f"{stored} stored, {acknowledged} acknowledged, {rounds} rounds")
    result.figures = {"acknowledged": acknowledged, "stored and not acknowledged": stored - acknowledged}
    return result


class _Emitters:
    """Threads over one open ledger, which answer an unknown outcome by the same event again."""

    def __init__(self, ledger: Ledger, key: Any, threads: int) -> None:
        self._ledger, self._key = ledger, key
        self.acks: list[Ack] = []
        self.wrong: list[str] = []
        self.repeated = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            signed = envelope(self._ledger, self._key, number)
            deadline = time.monotonic() + 60
            while True:
                try:
                    self.acks.append(Ack.of(self._ledger.append(signed)))
                    break
                except StorageError as error:
                    self.repeated += 1
                    if time.monotonic() > deadline:
                        self.wrong.append(f"it did not come back: {error}")
                        return
                    time.sleep(0.05)
                except Exception as error:
                    self.wrong.append(repr(error))
                    return

    def wait_for(self, more: int) -> None:
        """Wait for so many further acknowledgements."""
        goal, deadline = len(self.acks) + more, time.monotonic() + 90
        while len(self.acks) < goal and not self.wrong and time.monotonic() < deadline:
            time.sleep(0.005)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)


def postgres_killed(database: Server, rounds: int, seed: int, threads: int = 4) -> Result:
    """Kill the whole server in the middle of appends, again and again, under one open ledger.

    Args:
        database: a running server of this experiment's own.
        rounds: how many kills.
        seed: of the moments.
        threads: appending threads.
    """
    result = Result.counting("lost", "duplicates", "unverifiable", "not reconnected")
    chance = random.Random(seed)
    recovery: list[float] = []
    with scratch() as folder:
        site = Site.make(folder / "site", database.url())
        ledger, key = site.plain()
        emitters = _Emitters(ledger, key, threads)
        for turn in range(rounds):
            where = f"kill {turn} of seed {seed}"
            emitters.wait_for(threads)
            time.sleep(chance.uniform(0, 0.05))
            database.kill()
            recovery.append(database.start())
            emitters.wait_for(threads)
            result.n += 1
            for what in emitters.wrong:
                result.failed("not reconnected", f"{where}: {what}")
            if emitters.wrong:
                break
            if turn % 10 == 9 or turn == rounds - 1:
                for what in lost(site.url, list(emitters.acks)):
                    result.failed("lost", f"{where}: {what}")
        emitters.end()
        ledger.recorder.close()
        for what in lost(site.url, emitters.acks):
            result.failed("lost", f"the end of seed {seed}: {what}")
        for what in good(site.url, site):
            result.failed("unverifiable", what)
        result.zeros["duplicates"] = len(emitters.acks) - len({ack.id for ack in emitters.acks})
    result.figures = {
        "acknowledged": len(emitters.acks),
        "sent again": emitters.repeated,
        "recovery median s": round(statistics.median(recovery), 2),
        "recovery max s": round(max(recovery), 2),
    }
    return result
