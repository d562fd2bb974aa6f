"""Measure, print a table, and write benchmarks/results/latest.json and machine.json.

python -m benchmarks [--quick] [--only NAME] [--backend NAME] [--postgres URL] [--check]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks import append, asof, commands, reading, rebuilding, threads, verification
from benchmarks.events import Mint
from benchmarks.results import Report, machine_facts, table
from benchmarks.settings import QUICK, Bench, Sizes
from benchmarks.stores import Place
from tests.postgres_server import shared_server

RESULTS = Path(__file__).parent / "results"
#: Names for --only, which takes every bench whose name starts with what it is given.
BENCHES: dict[str, Callable[[Bench], None]] = {
    "append.single": append.single,
    "append.decision": append.decision,
    "append.growth": append.growth,
    "append.threads": threads.threads32,
    "append.batch": append.batch,
    "verify.full": verification.full,
    "verify.levels": verification.levels,
    "verify.memory": verification.memory,
    "proof": reading.proof,
    "checkpoint": reading.checkpoint,
    "open": reading.opening,
    "asof": asof.questions,
    "projection": rebuilding.rebuild,
    "cli": commands.commands,
}


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="How fast Muniment is beside the fastest way to store the same rows."
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: about a minute")
    parser.add_argument("--only", metavar="NAME", action="append", help=f"of {', '.join(BENCHES)}; a prefix will do")
    parser.add_argument("--backend", choices=("sqlite", "postgres"), help="only this store")
    parser.add_argument("--postgres", metavar="URL", help="use this server instead of starting one")
    parser.add_argument("--million", action="store_true", help="verify a million events too, for the memory it takes")
    parser.add_argument("--asof", type=int, metavar="N", help="entries of the larger log of the bench asof")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies all sizes, to try the benches themselves")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the files go")
    parsed = parser.parse_args(given)
    parsed.benches = [
        name for name in BENCHES if parsed.only is None or any(name.startswith(start) for start in parsed.only)
    ]
    if not parsed.benches:
        parser.error(f"--only takes a prefix of {', '.join(BENCHES)}")
    return parsed


def _server_facts(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn) as connection:
        return {
            name: str((connection.execute(f"SHOW {name}".encode()).fetchone() or ("?",))[0])
            for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        }


def main(given: Sequence[str] | None = None) -> int:
    """Run the benches that are asked for.

    Returns:
        The exit code: 1 when ``--check`` is given and a goal was missed.
    """
    arguments, console, began = _arguments(given), Console(stderr=True), time.perf_counter()
    report, sizes = Report(console), (QUICK if arguments.quick else Sizes())
    if arguments.scale != 1:
        sizes = sizes.scaled(arguments.scale)
    if arguments.asof is not None:
        sizes = replace(sizes, asof_large=arguments.asof)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muniment-bench-")))
        mint = stack.enter_context(Mint())
        facts = machine_facts(folder)
        for backend in ("sqlite", "postgres"):
            if arguments.backend not in (None, backend):
                continue
            dsn = ""
            if backend == "postgres":
                (folder / "server").mkdir()
                dsn = arguments.postgres or stack.enter_context(shared_server(folder / "server", on_disk=True))
                facts["postgres"] = _server_facts(dsn)
            place = stack.enter_context(closing(Place(backend, folder, dsn, mint)))
            for name in arguments.benches:
                BENCHES[name](Bench(place, sizes, report, arguments.million))
    facts["load_after"] = os.getloadavg()[0]
    facts["seconds"] = round(time.perf_counter() - began, 1)
    report.write(arguments.results, facts)
    Console(width=None if sys.stdout.isatty() else 150).print(table(report.figures))
    console.print(f"{arguments.results / 'latest.json'}, {arguments.results / 'machine.json'}; {facts['seconds']} s")
    if facts["load_before"] > facts["cores"] / 2:
        console.print(f"Others used this machine (load {facts['load_before']:.1f}): measure again when it is quiet.")
    return 1 if arguments.check and report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
