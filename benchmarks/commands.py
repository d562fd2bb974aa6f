"""What a command costs as a process, which is mostly what it imports."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.settings import Bench
from benchmarks.timing import alternate, each, flat, medians, paired

MUNIMENT = "from cli.main import main; main()"
EMIT = ("emit", "external.observed", "external:benchmark", "-d", "system=bench")


def _run(arguments: Sequence[str], folder: Path) -> str:
    """Run Python in a home of its own; returns what it wrote to stderr."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MUNIMENT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**kept, "HOME": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stderr


def _imports(arguments: Sequence[str], folder: Path) -> int:
    """How many modules a command imports."""
    listed = _run(["-X", "importtime", "-c", MUNIMENT, *arguments], folder).splitlines()
    return sum(line.startswith("import time:") for line in listed) - 1  # the first is the heading


def commands(bench: Bench) -> None:
    """`muniment --help` and `muniment emit` beside a Python that does nothing."""
    if bench.place.backend != "sqlite":
        return
    folder = bench.place.folder / bench.place.new_name()
    folder.mkdir()
    _run(["-c", MUNIMENT, "init", "--origin", "ledger.example/benchmark"], folder)

    def timed(arguments: Sequence[str]) -> Callable[[int], list[float]]:
        return lambda _: each(lambda given: _run(given, folder), [arguments])

    named = {"help": ("--help",), "emit": EMIT}
    found = alternate(
        bench.sizes.commands,
        {"python": timed(["-c", "pass"])} | {name: timed(["-c", MUNIMENT, *words]) for name, words in named.items()},
    )
    nothing = medians(found["python"])
    for name, words in named.items():
        ours = medians(found[name])
        bench.add(
            f"cli.{name}", statistics.median(ours) / 1000, "ms", baseline=statistics.median(nothing) / 1000,
            ratio=paired(ours, nothing), samples=len(flat(found[name])), blocks=ours,
        )  # fmt: skip
        bench.add(f"cli.{name}.imports", _imports(words, folder), "modules")
