"""Processes and threads at work on one store while others of them are killed; `history` judges what they saw."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import psycopg

from ledger.recorders import open_recorder
from ledger.recorders.postgres_url import split_schema
from tests.contract.support import raw
from tests.faults.history import Append, Entry, History, Outcome, check
from tests.faults.processes import Child
from tests.faults.scorecard import Result
from tests.faults.site import Site, good, scratch


def _named(url: str) -> str:
    """The store at a URL, opened under its schema's name, so that others' sessions on the server can be let alone."""
    _, schema = split_schema(url)
    return f"{url}&application_name={schema}"


def _cut_connections(url: str, chance: random.Random) -> int:
    """End half of the sessions that the processes at work hold; how many that was."""
    dsn, schema = split_schema(url)
    with psycopg.connect(dsn, autocommit=True) as connection:
        pids = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()", (schema,)
        ).fetchall()
        ended = chance.sample(pids, (len(pids) + 1) // 2)
        for (pid,) in ended:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    return len(ended)


def _settled(appends: list[Append]) -> list[Append]:
    """What became of each append: an outcome that was told takes the place of the unknown one it began with."""
    told = {(item.id, item.begun) for item in appends if item.outcome is not Outcome.UNKNOWN}
    return [item for item in appends if item.outcome is not Outcome.UNKNOWN or (item.id, item.begun) not in told]


def _log(url: str) -> list[Entry]:
    with raw(url) as store:
        rows = store.run("SELECT id, leaf_hash FROM $entry ORDER BY position")
    return [Entry(name, bytes(leaf)) for name, leaf in rows]


def concurrent(
    store_url: Callable[[], str | None],
    seconds: float,
    seed: int,
    *,
    processes: int = 3,
    threads: int = 3,
    disturb: Callable[[], object] | None = None,
) -> Result:
    """Let processes work at the same time for a while, kill some of them and start others in their place.

    Args:
        store_url: gives the URL of a store that is not there yet; None for a SQLite file.
        seconds: how long.
        seed: of what they do and of the kills; the interleaving is the machine's.
        processes: at the same time.
        threads: in each.
        disturb: a further fault, now and then.
    """
    result = Result.counting("violations", "errors", "unverifiable")
    chance = random.Random(seed)
    kills = cut = 0
    with scratch() as folder:
        url = store_url()
        site = Site.make(folder / "site", url and _named(url))
        recorder = open_recorder(site.url)
        before = recorder.head().size
        recorder.close()
        until = time.monotonic() + seconds
        everybody: list[Child] = []

        def start() -> Child:
            everybody.append(
                Child("working", site, f"{seed} {len(everybody)}", max(0.1, until - time.monotonic()), threads)
            )
            return everybody[-1]

        running = [start() for _ in range(processes)]
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 0.5))
            victim = chance.randrange(processes)
            if running[victim].process.is_alive():
                if not running[victim].wait_for("appends", timeout=1):
                    continue  # it is only beginning; to wait for its end would leave all others alone
                running[victim].kill()
                kills += 1
            running[victim].end()
            running[victim] = start()
            if site.url.startswith("postgresql") and chance.random() < 0.5:
                cut += _cut_connections(site.url, chance)
            if disturb is not None and chance.random() < 0.2:
                disturb()
        history = History(_log(site.url), before=before)
        for item in everybody:
            item.end()
            history.appends += [append for (appends,) in item.told("appends") for append in appends]
            history.reads += [read for (read,) in item.told("read")]
            history.heads += [head for (head,) in item.told("head")]
            for (error,) in item.told("error"):
                result.failed("errors", error)
        history.appends = _settled(history.appends)
        history.log = _log(site.url)
        for violation in check(history):
            result.failed("violations", f"seed {seed}: {violation}")
        for fault in good(site.url, site):
            result.failed("unverifiable", fault)
    outcomes = Counter(append.outcome.value for append in history.appends)
    result.n = len(history.appends) + len(history.reads) + len(history.heads)
    result.figures = {**outcomes, "reads": len(history.reads), "heads": len(history.heads), "kills": kills, "cut": cut}
    return result
