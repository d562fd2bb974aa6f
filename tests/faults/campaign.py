"""The fault campaign: run every experiment, print a table, write the scorecard. See docs/reference/campaign.md.

Run it as ``make campaign`` or ``python -m tests.faults.campaign [--seed N] [--only NAME …] [--scale X]``.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.attacks import intruders, keepsakes, mutants, proofs, tables, tamper, targets
from tests.faults import ambiguous, commanded, crash, faulty, governed, machine, pause, powercut, workload
from tests.faults.scorecard import Result, Row, line, write
from tests.faults.server import Server, server
from tests.foreign.conftest import build_verifier

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Experiment:
    """One line of the scorecard.

    Attributes:
        name: of the fault.
        backend: ``sqlite``, ``postgres``, or ``all`` when they are compared with each other.
        size: what a full run asks for, in the unit of the experiment.
        run: takes the size, the seed, and what gives stores and servers.
    """

    name: str
    backend: str
    size: int
    run: Callable[[int, int, Places], Result]


class Places:
    """Stores and servers for the experiments, made when they are first asked for.

    Args:
        stack: ends them.
        folder: for SQLite files, on a real disk.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._server: Server | None = None
        self._made = 0

    def sqlite(self) -> None:
        """No URL: a SQLite file of the experiment's own."""

    def sqlite_file(self) -> str:
        """The URL of a SQLite file that is not there yet."""
        self._made += 1
        return f"sqlite:///{self._folder / f'ledger{self._made}.db'}"

    @property
    def server(self) -> Server:
        """A PostgreSQL server that may be killed."""
        if self._server is None:
            self._server = self._stack.enter_context(server())
        return self._server

    def postgres(self) -> str:
        """The URL of a PostgreSQL store that is not there yet."""
        return self.server.url()

    def verifier(self) -> Path:
        """The Go program that checks proofs."""
        return build_verifier(self.folder("go"))

    def folder(self, name: str) -> Path:
        """A folder of an experiment's own."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder


def experiments() -> list[Experiment]:
    """All of them, in the order of the scorecard."""
    return [
        Experiment("crash-points", "sqlite", 10,
                   lambda n, s, at: crash.crash_points(at.sqlite, n, s, crash.points_of("sqlite"))),
        Experiment("crash-points", "postgres", 10,
                   lambda n, s, at: crash.crash_points(at.postgres, n, s, crash.points_of("postgres"))),
        Experiment("kill-process", "sqlite", 1000, lambda n, s, at: crash.processes_killed(at.sqlite_file(), n, s)),
        Experiment("kill-process", "postgres", 1000, lambda n, s, at: crash.processes_killed(at.postgres(), n, s)),
        Experiment("kill-server", "postgres", 100, lambda n, s, at: crash.postgres_killed(at.server, n, s)),
        Experiment("power-cut", "sqlite", 200, lambda n, s, at: powercut.power_cut(n, s)),
        Experiment("power-cut-of-none", "sqlite", 60, lambda n, s, at: _blind(n, s)),
        Experiment("disk-full", "sqlite", 400, lambda n, s, at: faulty.sqlite_full_disk(most=n)),
        Experiment("disk-full", "postgres", 60, lambda n, s, at: faulty.postgres_full_tablespace(at.server, most=n)),
        Experiment("disk-full-server", "postgres", 20, lambda n, s, at: faulty.postgres_full_server(n)),
        Experiment("write-enospc", "sqlite", 8,
                   lambda n, s, at: faulty.failing_write(errno.ENOSPC, rounds=n, lasting=True)),
        Experiment("write-eio", "sqlite", 8, lambda n, s, at: faulty.failing_write(errno.EIO, rounds=n, lasting=False)),
        Experiment("sync-eio", "sqlite", 20, lambda n, s, at: faulty.failing_sync(rounds=n)),
        Experiment("ambiguous-commit", "sqlite", 500, lambda n, s, at: ambiguous.commits_of_killed(None, n, s)),
        Experiment("ambiguous-commit", "postgres", 500,
                   lambda n, s, at: ambiguous.postgres_commits(at.server.dsn, at.postgres(), n, s)),
        Experiment("pause", "sqlite", 60, lambda n, s, at: pause.paused(at.sqlite, n)),
        Experiment("pause", "postgres", 60, lambda n, s, at: pause.paused(at.postgres, n, pause.points_of("postgres"))),
        Experiment("history", "sqlite", 60, lambda n, s, at: _disturbed(workload.concurrent(at.sqlite, n, s), "kills")),
        Experiment("history", "postgres", 60,
                   lambda n, s, at: _disturbed(workload.concurrent(at.postgres, n, s), "kills", "cut")),
        Experiment("false-claims", "all", 64, lambda n, s, at: proofs.bare_claims(n, s, at.verifier(), 0.05)),
        Experiment("false-proof-files", "all", 64, lambda n, s, at: proofs.files(n, s)),
        Experiment("tamper-bytes", "sqlite", 100, lambda n, s, at: tamper.every_byte(at.sqlite_file, n / 100, s)),
        Experiment("tamper-bytes", "postgres", 100, lambda n, s, at: tamper.every_byte(at.postgres, n / 100, s)),
        Experiment("tamper-random", "sqlite", 5000, lambda n, s, at: tamper.random_damages(at.sqlite_file, n, s)),
        Experiment("tamper-random", "postgres", 5000, lambda n, s, at: tamper.random_damages(at.postgres, n, s)),
        *(row for backend in ("sqlite", "postgres") for row in attackers(backend)),
        Experiment("clean-ledgers", "sqlite", 1000, lambda n, s, at: tamper.clean_ledgers(at.sqlite_file, n, s)),
        Experiment("clean-ledgers", "postgres", 100, lambda n, s, at: tamper.clean_ledgers(at.postgres, n, s)),
        Experiment("planted-bugs", "all", 240, lambda n, s, at: mutants.planted_bugs(at.folder("mutants"), n, s)),
        Experiment("planted-bugs-anywhere", "all", 120, lambda n, s, at: _anywhere(at.folder("anywhere"), n, s)),
        Experiment("agreement", "all", 60,
                   lambda n, s, at: machine.agreement(at.postgres, n, 40, s, every=n >= 60)),
        Experiment("governed-lives", "all", 100,
                   lambda n, s, at: governed.governance(at.postgres, n, 60, s, every=n >= 100)),
        Experiment("commands", "all", 40, lambda n, s, at: commanded.commands(at.postgres, n, 40, s, every=n >= 40)),
    ]  # fmt: skip


def attackers(backend: str) -> list[Experiment]:
    """Those who have a store and some key, and what is kept outside the store."""

    def new_url(at: Places) -> Callable[[], str]:
        return at.sqlite_file if backend == "sqlite" else at.postgres

    found = [
        Experiment("unauthorised", backend, 5000, lambda n, s, at: intruders.unauthorised(new_url(at), n, s)),
        Experiment("unwitnessed", backend, 1000, lambda n, s, at: intruders.witnessed_rewrites(new_url(at), n, s)),
        Experiment("old-head-key", backend, 1000, lambda n, s, at: intruders.old_checkpoint_key(new_url(at), n, s)),
        Experiment("tamper-cosignatures", backend, 100, lambda n, s, at: tables.cosignatures(new_url(at), n / 100, s)),
        Experiment("tamper-tiles", backend, 2000, lambda n, s, at: tables.tile_bytes(new_url(at), n, s)),
        Experiment("tamper-moved", backend, 100, lambda n, s, at: tables.moved_store(new_url(at), n / 100, s)),
    ]
    if backend == "sqlite":
        kept = (
            ("trust-state", keepsakes.trust_state, 1.0),
            ("tamper-bundles", keepsakes.bundles, 0.05),  # a full sweep is an hour
            ("tamper-evidence", keepsakes.evidence_files, 1.0),
            ("tamper-proofs", keepsakes.proof_files, 1.0),
        )
        for name, run, share in kept:
            found.append(_of_files(name, run, share))
    return found


def _of_files(name: str, run: Callable[..., Result], share: float) -> Experiment:
    return Experiment(
        name, "sqlite", 100, lambda n, s, at: run(at.folder(name), at.sqlite_file, share * n / 100, s)
    )  # fmt: skip


def _anywhere(folder: Path, count: int, seed: int) -> Result:
    """Bugs in all that a verdict may rest on; what is not of the named code is still short of its line."""
    return mutants.planted_bugs(folder, count, seed, modules=tuple(targets.MODULES), goal=0.85)


def _disturbed(result: Result, *disturbances: str) -> Result:
    """Concurrent work; where nothing disturbed it, it says little."""
    for name in disturbances:
        if not result.figures[name]:
            result.failed("errors", f"{name} 0: the machine had no time for it")
    return result


def _blind(events: int, seed: int) -> Result:
    """A run without syncs must be found to lose events: otherwise the instrument is blind."""
    found = powercut.power_cut(events, seed, 5, durable=False)
    result = Result.counting("unnoticed")
    result.n = found.n
    result.figures = {**found.zeros, **found.figures}
    if found.zeros["lost"] == 0:
        result.failed("unnoticed", "a run without syncs lost nothing")
    return result


def run(experiment: Experiment, size: int, seed: int, places: Places) -> Row:
    """Run one experiment; what breaks it is a bad row and not the end of the campaign."""
    begun = time.monotonic()
    try:
        result = experiment.run(size, seed, places)
    except Exception as error:
        result = Result(zeros={"not run": 1}, failures=[repr(error)])
    scale = size / experiment.size
    command = f'make campaign ARGS="--seed {seed} --only {experiment.name}:{experiment.backend}'
    return Row(
        experiment.name, experiment.backend, seed, size, round(time.monotonic() - begun, 1),
        command + (f' --scale {scale:g}"' if scale != 1 else '"'), result.ok,
        result.n, result.zeros, result.figures, result.failures,
    )  # fmt: skip


@contextmanager
def own_environment() -> Iterator[Path]:
    """A folder of the campaign's own, and none of the user's settings."""
    with tempfile.TemporaryDirectory(prefix="muniment-campaign-") as name:
        folder = Path(name)
        for variable in [key for key in os.environ if key.startswith(("MUNIMENT_", "PG", "XDG_"))]:
            del os.environ[variable]
        os.environ["HOME"] = str(folder)
        for kind in ("CONFIG", "STATE", "CACHE", "DATA", "RUNTIME"):
            path = folder / kind.lower()
            path.mkdir(mode=0o700)
            os.environ[f"XDG_{kind}_{'DIR' if kind == 'RUNTIME' else 'HOME'}"] = str(path)
        yield folder


def wanted(experiment: Experiment, only: list[str]) -> bool:
    """Whether ``--only`` names an experiment, by its name or by ``NAME:BACKEND``."""
    return not only or experiment.name in only or f"{experiment.name}:{experiment.backend}" in only


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when any number that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="make campaign ARGS=…", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME[:BACKEND]", help="may be given again")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the full size (1)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the scorecard for machines")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    with own_environment() as folder, ExitStack() as stack:
        places = Places(stack, folder)
        chosen = [item for item in experiments() if wanted(item, options.only)]
        if not chosen:
            parser.error(f"there is no such experiment; there are: {', '.join(i.name for i in experiments())}")
        for experiment in chosen:
            rows.append(run(experiment, max(1, round(experiment.size * options.scale)), options.seed, places))
            sys.stdout.write(line(rows[-1]) + "\n")
            sys.stdout.flush()
            write(options.output, rows, ROOT)
    bad = [row for row in rows if not row.ok]
    sys.stdout.write(f"{len(rows)} experiments, {len(bad)} bad; the scorecard: {options.output}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
