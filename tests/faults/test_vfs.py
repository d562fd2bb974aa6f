"""The recorder of files: what the product calls durable is so on the modelled disk."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import apsw
import pytest

from ledger.durable import write_atomically
from tests.faults.disk import Disk, Variant, read_folder, write_folder
from tests.faults.vfs import Trouble, failing_writes, recording


def after_power_cut(start: dict[str, bytes], ops: list, variant: Variant, old: Path, new: Path) -> Path:
    new.mkdir()
    write_folder(Disk(start, ops).cut(variant, random.Random(0)), old, new)
    return new


@pytest.mark.parametrize("below", [".", "new", "new/newer"])
def test_a_file_written_atomically_lasts_with_its_folders(tmp_path: Path, below: str):
    folder = tmp_path / "a"
    folder.mkdir()
    with recording(folder) as recorder:
        for data in (b"first", b"second"):
            write_atomically(folder / below / "file", data)
    for variant in Variant:
        found = after_power_cut({}, recorder.ops, variant, folder, tmp_path / variant.value)
        assert (found / below / "file").read_bytes() == b"second"


def test_a_file_that_was_only_renamed_may_be_lost(tmp_path: Path):
    folder = tmp_path / "a"
    folder.mkdir()
    with recording(folder) as recorder:
        (folder / "new").write_bytes(b"data")
        (folder / "new").replace(folder / "file")
    assert read_folder(after_power_cut({}, recorder.ops, Variant.DROPPED, folder, tmp_path / "b")) == {}
    found = after_power_cut({}, recorder.ops, Variant.KEPT, folder, tmp_path / "c")
    assert (found / "file").read_bytes() == b"data"


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", 3), ("OFF", 0)])
def test_what_sqlite_committed_lasts_if_it_was_synced(tmp_path: Path, synchronous: str, kept: int):
    folder = tmp_path / "a"
    folder.mkdir()
    path = folder / "x.db"
    connection = apsw.Connection(str(path))
    for sql in ("PRAGMA journal_mode = WAL", "CREATE TABLE t (x)"):
        connection.execute(sql).fetchall()
    connection.close()
    start = read_folder(folder)
    with recording(folder) as recorder:
        connection = apsw.Connection(str(path))
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        for number in range(3):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        steps = list(recorder.ops)
        connection.close()
    found = after_power_cut(start, steps, Variant.DROPPED, folder, tmp_path / "b")
    connection = apsw.Connection(str(found / "x.db"))
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(kept,)]
    connection.close()


def test_a_failing_write_is_what_sqlite_makes_of_its_errno(tmp_path: Path):
    for error, raised in ((errno.ENOSPC, apsw.FullError), (errno.EIO, apsw.IOError)):
        connection = apsw.Connection(str(tmp_path / f"{error}.db"))
        with failing_writes(Trouble(1, error)) as trouble:
            with pytest.raises(raised):
                connection.execute("CREATE TABLE t (x)")
            assert trouble.raised == 1
        connection.execute("CREATE TABLE t (x)")
        connection.close()
