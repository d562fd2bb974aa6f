"""Stores whose disk is full, or whose writes and syncs fail, at every step of the same work.

Whatever fails must be a clear `StorageError`, must not have been acknowledged, and must leave a store that can be read
and verified at once, and written to again as soon as the cause is gone: by the same open ledger, and by a new one.
"""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ledger.application import Ledger
from ledger.errors import LedgerError, StorageError, exit_code
from ledger.recorders import open_recorder
from ledger.verify import verify_log
from tests.faults.disk import Disk, Variant, read_folder, write_folder
from tests.faults.scorecard import Result
from tests.faults.server import Server, server
from tests.faults.site import Ack, Site, envelope, examine, scratch
from tests.faults.vfs import Trouble, failing_writes, recording

ZEROS = (
    "false acknowledgements",
    "false errors",
    "unclear errors",
    "unreadable",
    "unverifiable",
    "not resumed",
    "repairs",
    "lost",
)
_NEVER = 1_000_000


def work(ledger: Ledger, key: Any, sends: Callable[[set[str]], None], told: Callable[[Ack], None], rounds: int) -> None:
    """Single events, a batch and a signed head.

    Args:
        ledger: open.
        key: signs the events.
        sends: told the ids before they are sent.
        told: told each acknowledgement.
        rounds: how often.
    """
    for number in range(rounds):
        for sizes in ((0,), (2500,), (700, 700, 700, 700)):
            ids = [str(uuid4()) for _ in sizes]
            sends(set(ids))
            batch = [envelope(ledger, key, number, name, size) for name, size in zip(ids, sizes, strict=True)]
            for receipt in ledger.append_batch(batch):
                told(Ack.of(receipt))
        sends(set())
        ledger.checkpoint()


class Attempt:
    """One run of `work` into trouble, and what is checked then.

    Args:
        result: where failures are counted.
        where: how to find it again.
    """

    def __init__(self, result: Result, where: str) -> None:
        self._result, self._where = result, where
        self.acks: list[Ack] = []
        self.refused: LedgerError | None = None
        self.sent: set[str] = set()

    def _sends(self, ids: set[str]) -> None:
        self.sent = ids

    def run(self, ledger: Ledger, key: Any, rounds: int) -> bool:
        """Work until it is refused; True when it was."""
        try:
            work(ledger, key, self._sends, self.acks.append, rounds)
        except StorageError as error:
            self.judge(error)
            return True
        except Exception as error:
            self._result.failed("unclear errors", f"{self._where}: {error!r}")
            return True
        return False

    def judge(self, error: StorageError) -> None:
        """Take a refusal, which must say what to do."""
        self.refused = error
        if exit_code(error) != 6 or not error.hint:
            self._result.failed("unclear errors", f"{self._where}: {error!r}")

    def readable(self, ledger: Ledger) -> None:
        """While the trouble lasts, what was acknowledged can be read and the log verified."""
        try:
            leaves = ledger.recorder.leaf_hashes(0, _NEVER)
            for ack in self.acks:
                if ack.index >= len(leaves) or leaves[ack.index] != ack.leaf:
                    self._result.failed("lost", f"{self._where}: {ack}")
            self._absent(ledger)
            report = verify_log(ledger.recorder)
            if not report.ok:
                self._result.failed("unverifiable", f"{self._where}: {report.findings[:3]}")
        except Exception as error:
            self._result.failed("unreadable", f"{self._where}: {error!r}")

    def _absent(self, ledger: Ledger) -> None:
        """What was refused is not there, unless the error said that nobody knows."""
        if isinstance(self.refused, StorageError) and not self.refused.outcome_unknown:
            for event_id in self.sent:
                if ledger.recorder.find_id(event_id):
                    self._result.failed("false errors", f"{self._where}: {event_id} was refused and is recorded")

    def resumes(self, ledger: Ledger, key: Any) -> None:
        """The trouble is over, and the same open ledger goes on."""
        try:
            work(ledger, key, self._sends, self.acks.append, 1)
        except Exception as error:
            self._result.failed("not resumed", f"{self._where}: {error!r}")

    def examined(self, site: Site) -> None:
        """A new ledger finds everything, without a repair."""
        found = examine(site, self.acks)
        for number, wrong in (
            ("lost", found.lost),
            ("unverifiable", found.unverifiable),
            ("repairs", found.repairs),
        ):
            for what in wrong:
                self._result.failed(number, f"{self._where}: {what}")


def _meet(
    result: Result, where: str, trouble: Trouble, site: Site, *, rounds: int, carry: int
) -> tuple[Attempt, Ledger, Any]:
    """Run into trouble and look at the store while it lasts; then the cause is gone.

    Args:
        result: where failures are counted.
        where: how to find it again.
        trouble: what is met.
        site: a new one.
        rounds: of `work`.
        carry: pages after which SQLite carries its log over into the database; 0 for never.
    """
    attempt = Attempt(result, where)
    try:
        ledger, key = site.plain()
    except StorageError as error:  # SQLite cannot even make the file through which processes share its log
        attempt.judge(error)
        result.figures["refused when opened"] = result.figures.get("refused when opened", 0) + 1
        trouble.nth = 0
        return attempt, *site.plain()
    ledger.recorder._run(f"PRAGMA wal_autocheckpoint = {carry}")
    refused = attempt.run(ledger, key, rounds)
    attempt.readable(ledger)
    if not refused and len(attempt.acks) != 6 * rounds:
        result.failed("unclear errors", f"{where}: it ended without an error and without its work")
    trouble.nth = 0
    return attempt, ledger, key


def _one_write(result: Result, where: str, trouble: Trouble, folder: Path, rounds: int) -> None:
    """A write or truncation of one store meets trouble."""
    site = Site.make(folder / "site")
    with failing_writes(trouble):
        attempt, ledger, key = _meet(result, where, trouble, site, rounds=rounds, carry=30)
        if trouble.raised:
            attempt.resumes(ledger, key)
        ledger.recorder.close()
    attempt.examined(site)


def _one_sync(result: Result, where: str, trouble: Trouble, folder: Path, rounds: int) -> None:
    """A sync of one store meets trouble; what was acknowledged must survive a power cut then, and later.

    The log is not carried over meanwhile: SQLite ignores what fails then, and apsw raises what its own VFS raised.
    """
    site = Site.make(folder / "site")
    start = read_folder(folder)
    with recording(folder, trouble) as recorder:
        attempt, ledger, key = _meet(result, where, trouble, site, rounds=rounds, carry=0)
        _after_power_cut(result, where, Disk(start, recorder.ops), acks=attempt.acks, folder=folder)
        if trouble.raised:
            attempt.resumes(ledger, key)
            _after_power_cut(result, f"{where}, gone on", Disk(start, recorder.ops), acks=attempt.acks, folder=folder)
        ledger.recorder.close()
    attempt.examined(site)


def _after_power_cut(result: Result, where: str, disk: Disk, *, acks: list[Ack], folder: Path) -> None:
    """What was acknowledged although a sync failed must not need that sync: cut the power now."""
    with scratch() as other:
        write_folder(disk.cut(Variant.DROPPED, random.Random(0)), folder, other)
        recorder = open_recorder(f"sqlite:///{other / 'site' / '.muniment' / 'ledger.db'}")
        try:
            leaves = recorder.leaf_hashes(0, _NEVER)
        finally:
            recorder.close()
    for ack in acks:
        if ack.index >= len(leaves) or leaves[ack.index] != ack.leaf:
            result.failed("false acknowledgements", f"{where}: {ack} rested on a write that was never durable")


def _each(step: Callable[[Result, str, Trouble, Path], None], error: int, *, lasting: bool, every: int) -> Result:
    """Let each call fail in turn."""
    result = Result.counting(*ZEROS)
    counted = Trouble(_NEVER)
    with scratch() as folder:
        step(Result.counting(*ZEROS), "without trouble", counted, folder)
    met = 0
    for nth in range(1, counted.seen + 1, every):
        trouble = Trouble(nth, error, lasting=lasting)
        with scratch() as folder:
            step(result, f"{errno.errorcode[error]} at call {nth} of {counted.seen}", trouble, folder)
        result.n += 1
        met += trouble.raised > 0
    result.figures |= {"calls": counted.seen, "met": met}
    return result


def failing_write(error: int, *, rounds: int, lasting: bool, every: int = 1) -> Result:
    """Let each write and truncation of the same work on SQLite fail in turn, or each ``every``-th."""

    def step(result: Result, where: str, trouble: Trouble, folder: Path) -> None:
        _one_write(result, where, trouble, folder, rounds)

    return _each(step, error, lasting=lasting, every=every)


def failing_sync(*, rounds: int, every: int = 1) -> Result:
    """Let each sync of the same work on SQLite fail in turn; the kernel forgets what it should have written."""

    def step(result: Result, where: str, trouble: Trouble, folder: Path) -> None:
        _one_sync(result, where, trouble, folder, rounds)

    return _each(step, errno.EIO, lasting=False, every=every)


# -- disks that are really full --------------------------------------------------------------------


class SmallDisk:
    """A tmpfs whose size can be changed; mounting it takes root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._mount("tmpfs", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(self.folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PermissionError(f"a small disk cannot be mounted here: {done.stderr.strip()}")

    def leave(self, free: int) -> None:
        """Leave so many bytes free."""
        usage = shutil.disk_usage(self.folder)
        self._mount("-o", f"remount,size={usage.used + free}")

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@contextmanager
def small_disk(megabytes: int = 64) -> Iterator[SmallDisk]:
    """A `SmallDisk`.

    Raises:
        PermissionError: this machine does not let us mount one.
    """
    with scratch(Path("/tmp")) as folder:
        made = SmallDisk(folder, megabytes)
        try:
            yield made
        finally:
            made.close()


def can_mount() -> bool:
    """Whether a small disk can be had here."""
    with suppress(PermissionError, FileNotFoundError), small_disk():
        return True
    return False


_ROOM = 48 * 2**20


def _full(result: Result, where: str, site: Site, disk: SmallDisk, free: int) -> bool:
    """Fill a disk with so much left; True when the work was refused."""
    attempt = Attempt(result, where)
    ledger, key = site.plain()
    disk.leave(free)
    try:
        refused = attempt.run(ledger, key, rounds=1)
        attempt.readable(ledger)
    finally:
        disk.leave(_ROOM)
    if refused:
        attempt.resumes(ledger, key)
    ledger.recorder.close()
    attempt.examined(site)
    return refused


def sqlite_full_disk(step: int = 4096, most: int = 400) -> Result:
    """SQLite on a disk with room for one page, two pages, and so on, until the work fits."""
    result = Result.counting(*ZEROS)
    for number in range(most):
        with small_disk() as disk:
            site = Site.make(disk.folder / "site")
            site.plain()[0].recorder.close()
            result.n += 1
            if not _full(result, f"{number * step} bytes free", site, disk, number * step):
                break
    result.figures = {"steps": result.n}
    return result


def postgres_full_tablespace(database: Server, step: int = 8192, most: int = 60) -> Result:
    """PostgreSQL, its tables on a disk with room for a little, a little more, and so on; its own files elsewhere."""
    import psycopg

    result = Result.counting(*ZEROS)
    refused = 0
    with small_disk() as disk:
        space = disk.folder / "space"
        space.mkdir()
        database.own(space)
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
            for number in range(most):
                url = f"{database.url()}&options=-c%20default_tablespace%3Dsmall"
                with scratch() as folder:
                    site = Site.make(folder / "site", url)
                    result.n += 1
                    met = _full(result, f"{number * step} bytes free", site, disk, number * step)
                    refused += met
                schema = url.partition("schema=")[2].partition("&")[0]
                connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
                connection.execute(f"DROP SCHEMA IF EXISTS {schema}_views CASCADE".encode())
                connection.execute(b"CHECKPOINT")
                if not met:
                    break
            connection.execute(b"DROP TABLESPACE small")
    result.figures = {"steps": result.n, "refused": refused}
    return result


def postgres_full_server(most: int, step: int = 256 * 1024) -> Result:
    """A PostgreSQL all of whose files are on a disk that fills up: it may stop, and starts again when there is room."""
    result = Result.counting(*ZEROS)
    refusals = stops = 0
    for number in range(most):
        with small_disk(120) as disk:
            folder = disk.folder / "pg"
            folder.mkdir()
            with server(folder=folder) as database, scratch() as other:
                site = Site.make(other / "site", database.url())
                where = f"{number * step} bytes free"
                attempt = Attempt(result, where)
                ledger, key = site.plain()
                disk.leave(number * step)
                refused = attempt.run(ledger, key, rounds=100)
                disk.leave(_ROOM)
                refusals += refused
                stops += not database.running
                if not database.running:
                    database.start()
                if refused:
                    attempt.resumes(ledger, key)
                attempt.readable(ledger)
                ledger.recorder.close()
                attempt.examined(site)
        result.n += 1
    result.figures = {"refused": refusals, "the server stopped": stops}
    if refusals == 0:
        result.failed("unclear errors", "the disk was never full: nothing was tested")
    return result
