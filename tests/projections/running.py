"""What the tests of the runner look at: its views, and how far each has come."""

from __future__ import annotations

from pathlib import Path

from ledger.recorders import sqlite_path
from projections.catalogue import PROJECTIONS
from projections.runner import Runner
from projections.views.store import ViewStore
from tests.projections.support import Book


def digests(views: ViewStore) -> list[str]:
    return [views.digest(projection) for projection in PROJECTIONS]


def sizes(runner: Runner) -> list[int]:
    return [status.size for status in runner.status()]


def views_file(book: Book) -> Path:
    path = sqlite_path(book.url)
    return path.with_name(path.stem + ".views.db")


def in_turn(applied: int) -> list[int]:
    """Pages of each view, when so many were applied: a page goes to one view after the other."""
    views = len(PROJECTIONS)
    return [(applied + views - 1 - place) // views for place in range(views)]
