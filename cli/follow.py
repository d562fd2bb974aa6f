"""New entries of a log as they are recorded: none missed, none twice, and all of the one history."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from io import UnsupportedOperation
from typing import Final

from ledger.application import Ledger
from ledger.errors import StorageError, VerificationError
from ledger.recorders import sqlite_path
from ledger.recorders.layouts import moved_to
from ledger.stored import Head, Row

__all__ = ["Follower"]

_PAGE: Final = 500
#: A server restarts in less; who waits longer has lost the store.
_PATIENCE_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 1.0


def _check_reader() -> None:
    """Notice that nobody reads any more, as `tail -f` does, although there is nothing to write."""
    try:
        descriptor = sys.stdout.fileno()
    except UnsupportedOperation:  # no file: a caller in this process collects the output
        return
    poll = select.poll()
    poll.register(descriptor, 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError


class Follower:
    """An endless iterator over the entries that are recorded from now on.

    Args:
        ledger: open for reading.
        url: its store.
        interval: seconds between two looks.
        note: told, for people, when the store goes away and comes back.

    Raises:
        VerificationError: the store shrank, or holds another history than was shown.
        ConfigurationError: the ledger has moved to another store.
        StorageError: the store was away for a minute.

    Attributes:
        head: where the log stands now.
    """

    def __init__(self, ledger: Ledger, url: str, *, interval: float, note: Callable[[str], object]) -> None:
        self._recorder = ledger.recorder
        self._path = sqlite_path(url) if ledger.recorder.backend == "sqlite" else None
        self._file = self._identity()
        self._recorder.fail_fast()  # people are told when it is away
        self._recorder.close()  # what is opened next is that file, or a later one, which will be noticed
        self.head: Head = self._recorder.head()
        self._place = self.head.size
        self._last = self.head.last_leaf
        self._interval = interval
        self._note = note

    def __iter__(self) -> Iterator[Row]:
        while True:
            rows = self._new()
            yield from rows
            if not rows:
                _check_reader()
                time.sleep(self._interval)

    def _identity(self) -> tuple[int, int] | None:
        """Which file it is: one that is put in its place is not seen through a connection to the old one."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        return found.st_dev, found.st_ino

    def _new(self) -> list[Row]:
        """New rows, at most a page; waits for a store that is away."""
        away: float | None = None
        while True:
            try:
                rows = self._look()
            except StorageError as error:
                if away is None:
                    away = time.monotonic()
                    self._note(f"the store is away ({error.message}); waiting for it")
                elif time.monotonic() - away > _PATIENCE_SECONDS:
                    raise
                _check_reader()
                time.sleep(max(self._interval, _RETRY_SECONDS))
                continue
            if away is not None:
                self._note(f"the store is back; going on from entry {self._place}")
            if rows:
                self._keep(rows)
            return rows

    def _look(self) -> list[Row]:
        file = self._identity()
        if file != self._file:
            self._recorder.close()
            self._file = file
        head = self._recorder.head()
        if head.size < self._place:
            raise VerificationError(
                f"the store shrank while it was followed: {self._place} entries were shown, and now it has {head.size}",
                fault="anchor",
            )
        if head.size == self._place:
            if head.last_leaf != self._last:
                raise self._other_history()
            moved = self._recorder.successor()
            if moved is not None:
                raise moved_to(moved[0])  # nothing will come here any more
            return []
        return self._recorder.rows(self._place, min(_PAGE, head.size - self._place))

    def _keep(self, rows: list[Row]) -> None:
        """Check that rows continue what was shown, and go on behind them."""
        for row in rows:
            if row.entry.index != self._place:
                raise VerificationError(f"entry {self._place} is missing", fault="chain", index=self._place)
            if row.entry.prev != self._last.hex():
                raise self._other_history()
            self._place += 1
            self._last = row.leaf_hash

    def _other_history(self) -> VerificationError:
        return VerificationError(
            "the store was replaced while it was followed: "
            f"entry {self._place - 1} is not the one that was shown, so what comes now belongs to another history",
            fault="anchor",
            index=self._place - 1,
        )
