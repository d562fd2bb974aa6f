"""Another process that brings the views of a log up to its head, a few entries a page.

Run as ``python -m tests.projections.worker URL FOLDER NAME [PAGES]``: it says that it is ready by a file in the folder,
starts when the file ``go`` is there, and prints which pages it applied. With PAGES it kills itself in the middle of the
transaction of the page after so many.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import projections.runner
from ledger.application import Ledger
from projections.base import Projection, RowOf
from projections.catalogue import open_runner
from projections.views.store import Position, ViewStore

PAGE = 3
DEADLINE = 60.0


def watch(views: ViewStore, applied: list[tuple[str, int, int]], dies_after: int | None) -> None:
    """Note every page that is applied, and die inside the transaction of one."""
    apply = views.apply

    def noted(projection: Projection, rows: Iterable[RowOf], old: int, new: Position, suffix: str = "") -> bool:
        if dies_after is not None and len(applied) >= dies_after:
            store: Any = views._store
            run_many = store.run_many

            def die(text: str, parameters: Any) -> None:
                run_many(text, parameters)
                os.kill(os.getpid(), signal.SIGKILL)

            store.run_many = die
        done = apply(projection, rows, old, new, suffix)
        if done:
            applied.append((projection.name, old, new.size))
        return done

    views.apply = noted  # type: ignore[method-assign]


def main(url: str, folder: Path, name: str, dies_after: int | None) -> None:
    """Wait for the start, catch up, tell."""
    projections.runner._PAGE = PAGE
    applied: list[tuple[str, int, int]] = []
    with Ledger.open(url) as ledger:
        runner = open_runner(ledger, url)
        watch(runner.views, applied, dies_after)
        (folder / name).touch()
        deadline = time.monotonic() + DEADLINE
        while not (folder / "go").exists():
            if time.monotonic() > deadline:
                sys.exit("nobody said go")
        size = runner.catch_up()
        runner.views.close()
    sys.stdout.write(json.dumps({"size": size, "applied": applied}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else None)
