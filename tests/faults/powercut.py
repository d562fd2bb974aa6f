"""A power cut at every write and every sync of a real run on SQLite.

The run is recorded once (`vfs`), then the disk is rebuilt as it may be found after a cut behind each step (`disk`), and
opened by our recorder. A store is right when it is a prefix of the log that the run made, row for row, no shorter than
what had been acknowledged, with its head row, tiles and signed heads those of that size. That comparison runs on every
variant; SQLite's own check and `verify_log` run once for each size of log that was found, and on a sample.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.application import Ledger
from ledger.checkpoint import verify_checkpoint
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.verify import verify_log
from tests.faults.disk import Disk, Op, Variant, read_folder, write_folder
from tests.faults.scorecard import Result
from tests.faults.site import Ack, Site, envelope, published_faults, scratch
from tests.faults.vfs import recording

#: One cut in so many is also verified by `verify_log`, appended to, and looked at with its other files.
SAMPLE = 40
PREFILLED = 150
_TABLES = ("log", "entry", "content", "tile", "checkpoint")


@dataclass
class Run:
    """A recorded run.

    Attributes:
        folder: where it ran.
        start: files before it began.
        ops: what was done.
        rows: every row of every table at the end.
        heads: the head row at each size.
    """

    site: Site
    folder: Path
    start: dict[str, bytes]
    ops: list[Op]
    rows: dict[str, list[tuple[Any, ...]]]
    heads: dict[int, tuple[Any, ...]]


def _head_row(recorder: SqlRecorder) -> tuple[Any, ...]:
    return tuple(recorder._run("SELECT * FROM $head")[0])


def record(folder: Path, events: int, seed: int, *, durable: bool = True) -> Run:
    """Run ``events`` appends below a folder and record them.

    Args:
        folder: empty.
        events: how many.
        seed: of the sizes of batches and bodies, and of when heads are signed.
        durable: False switches SQLite's syncs off, for a run that must be found to lose events.
    """
    site = Site.make(folder)
    _prefill(site)
    start = read_folder(folder)
    chance = random.Random(seed)
    heads: dict[int, tuple[Any, ...]] = {}
    with recording(folder) as recorder, site.environment():
        left = events
        while left > 0:
            home = site.home()
            with home.open() as ledger:
                if not durable:
                    ledger.recorder._run("PRAGMA synchronous = OFF")
                for _ in range(chance.randrange(10, 120)):
                    left -= _append(ledger, min(left, chance.choice((1, 1, 1, 1, 2, 5))), chance, recorder.ack)
                    head = _head_row(ledger.recorder)
                    heads[head[1]] = head
                    if chance.random() < 0.1:
                        note = ledger.checkpoint()
                        recorder.ack(("note", note))
                        home.remember(ledger, note)
                        recorder.ack(("remembered", verify_checkpoint(note, [ledger.vkey]).size))
                    if left == 0:
                        break
                if chance.random() < 0.5:
                    _publish(ledger, site)
    store = open_recorder(site.url)
    rows = {table: [tuple(row) for row in store._run(f"SELECT * FROM ${table} ORDER BY 1, 2")] for table in _TABLES}
    first = _head_row(store)
    heads.setdefault(first[1], first)
    store.close()
    return Run(site, folder, start, recorder.ops, rows, heads)


def _prefill(site: Site) -> None:
    """Entries from before, so that the run completes a tile."""
    ledger, key = site.plain()
    ledger.append_batch([envelope(ledger, key, number) for number in range(PREFILLED)])
    ledger.checkpoint()
    ledger.recorder.close()


def _publish(ledger: Ledger, site: Site) -> None:
    from ledger.publish import export_tiles

    export_tiles(ledger, site.published)


def _append(ledger: Ledger, count: int, chance: random.Random, ack: Any) -> int:
    (key,) = ledger._signers
    size = chance.choice((0, 100, 3000))
    batch = [envelope(ledger, key, chance.randrange(9), size=size) for _ in range(count)]
    for receipt in ledger.append_batch(batch):
        ack(("ack", Ack.of(receipt)))
    return count


class Judge:
    """Opens what a power cut left.

    Args:
        run: the recorded run.
        result: where failures are counted.
    """

    def __init__(self, run: Run, result: Result) -> None:
        self._run, self._result = run, result
        self._sizes: set[int] = set()
        self._seen: set[bytes] = set()
        self._samples = 0
        self.different = 0

    def judge(self, files: dict[str, bytes], told: list[Any], where: str) -> None:
        """Count what is wrong with one disk."""
        self._result.n += 1
        with scratch() as folder:
            write_folder(files, self._run.folder, folder)
            site = Site(folder, folder / "state", f"sqlite:///{folder / '.muniment' / 'ledger.db'}")
            try:
                recorder = open_recorder(site.url)
                try:
                    size = recorder.head().size
                    faults = self._compare(recorder, size)
                    if size not in self._sizes or self._result.n % SAMPLE == 0:
                        self._sizes.add(size)
                        faults += recorder.structure_faults()
                        report = verify_log(recorder)
                        faults += [] if report.ok else [repr(report.findings[:3])]
                        self._samples += 1
                finally:
                    recorder.close()
            except Exception as error:
                self._result.failed("unopenable", f"{where}: {error!r}")
                return
            for fault in faults:
                self._result.failed("unverifiable", f"{where}: {fault}")
            missing = [what for kind, what in told if kind == "ack" and what.index >= size]
            if missing:
                self._result.failed("lost", f"{where}: {len(missing)} events from {missing[0]}", len(missing))
            self._other_files(site, told, where)

    def _compare(self, recorder: SqlRecorder, size: int) -> list[str]:
        faults = []
        run = self._run
        heads = [row for row in run.rows["checkpoint"] if row[0] <= size]
        wanted = {
            "log": [run.rows["log"]],
            "entry": [run.rows["entry"][:size]],
            "content": [run.rows["content"][:size]],
            "tile": [[row for row in run.rows["tile"] if (row[1] + 1) * 256 ** (row[0] + 1) <= size]],
            # A head is signed after its entries are durable, so the last one may be on its way.
            "checkpoint": [heads, heads[:-1] if heads and heads[-1][0] == size else heads],
        }
        for table, possible in wanted.items():
            rows = [tuple(row) for row in recorder._run(f"SELECT * FROM ${table} ORDER BY 1, 2")]
            if rows not in possible:
                faults.append(f"table {table} is not what it was at size {size}")
        ((signed, stored),) = recorder._run("SELECT size, (SELECT max(size) FROM $checkpoint) FROM $signed_head")
        if signed != stored:
            faults.append(f"the row of the last signed head says {signed}, and the last one stored is {stored}")
        if size in run.heads and _head_row(recorder) != run.heads[size]:
            faults.append(f"the head row is not what it was at size {size}")
        return faults

    def _other_files(self, site: Site, told: list[Any], where: str) -> None:
        """Remembered head, trust and published tiles, when they differ from what was looked at before."""
        others = {str(p.relative_to(site.where)): p.read_bytes() for p in site.where.rglob("*")
                  if p.is_file() and "ledger.db" not in p.name}  # fmt: skip
        remembered = max((what for kind, what in told if kind == "remembered"), default=0)
        noted = [what for kind, what in told if kind == "note"]
        state = hashlib.sha256(repr((sorted(others.items()), remembered, len(noted))).encode()).digest()
        if state in self._seen:
            return
        self._seen.add(state)
        self.different += 1
        try:
            with site.environment():
                home = site.home()
                known = home.recall()
                if remembered and (known is None or known.size < remembered):
                    self._result.failed("lost", f"{where}: the remembered head is {known}, not {remembered}")
                with home.open() as ledger:
                    stored = {item.note for item in ledger.recorder.checkpoints(0, 10_000)}
                    for note in noted:
                        if note not in stored:
                            self._result.failed("lost", f"{where}: a signed head that was handed out")
                    for fault in published_faults(site, ledger):
                        self._result.failed("unverifiable", f"{where}: {fault}")
                    before = ledger.recorder.head().size
                    if ledger.emit("external.observed", "external:after", system="faults").index != before:
                        self._result.failed("unverifiable", f"{where}: the next event has a wrong index")
        except Exception as error:
            self._result.failed("unopenable", f"{where}: {error!r}")


def disks(run: Run, seed: int, every: int = 1) -> Iterator[tuple[int, Variant, dict[str, bytes], list[Any]]]:
    """What may be found after a cut behind each step, or behind each ``every``-th."""
    disk = Disk(run.start)
    told: list[Any] = []
    changed = True
    for number, op in enumerate(run.ops):
        if op.kind == "ack":
            told.append(op.other)
            continue
        disk.apply(op)
        changed = changed or op.kind in {"sync", "syncdir"}
        if number % every:
            continue
        chance = random.Random(f"{seed} {number}")
        for variant in Variant:
            if variant is Variant.DROPPED and not changed:
                continue  # nothing became durable since: the same disk as before
            if variant is not Variant.DROPPED and disk.unsynced == (0, 0):
                continue
            if variant is Variant.TORN and op.kind != "write":
                continue
            yield number, variant, disk.cut(variant, chance), told
        changed = False


def power_cut(events: int, seed: int, every: int = 1, *, durable: bool = True) -> Result:
    """Cut a run of so many events at each step, or at each ``every``-th."""
    result = Result.counting("lost", "unopenable", "unverifiable")
    with scratch() as folder:
        run = record(folder, events, seed, durable=durable)
        judge = Judge(run, result)
        points = set()
        for number, variant, files, told in disks(run, seed, every):
            points.add(number)
            judge.judge(files, told, f"cut behind step {number} ({run.ops[number].kind}), {variant.value}")
    steps = [op.kind for op in run.ops]
    result.figures = {
        "steps": sum(kind != "ack" for kind in steps),
        "cut points": len(points),
        "writes": steps.count("write"),
        "syncs": steps.count("sync") + steps.count("syncdir"),
        "acknowledged": sum(op.kind == "ack" and op.other[0] == "ack" for op in run.ops),
        "verified in full": judge._samples,
        "other files": judge.different,
    }
    return result
