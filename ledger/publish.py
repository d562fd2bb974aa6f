"""Publishing the log as static files: C2SP tlog-tiles, with entry bundles that hold digests and no content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress, islice
from operator import not_
from pathlib import Path

from ledger.application import Ledger
from ledger.checkpoint import VerifyHead
from ledger.crashpoints import crashpoint
from ledger.durable import write_atomically
from ledger.entry import format_entry
from ledger.errors import StorageError, VerificationError
from ledger.note import MAX_NOTE, format_vkey
from ledger.objectstore import Bucket
from ledger.places import open_place
from ledger.published import check_forward, publish_head
from ledger.tiles import TILE_WIDTH, bundle_path, bundles_of, format_bundle, tile_coordinates, tile_path, tiles_of
from ledger.treereader import TreeReader

__all__ = ["export_tiles", "upload_tiles"]

#: Tiles that are made, written and held in memory at once.
_BATCH = 32
#: Partial tiles of earlier sizes that are listed beside the full ones, which are two for 256 entries and few above.
#: Where there are more, some full ones are offered again.
_PARTIAL = 10_000


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data, mode=0o644)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _pieces(ledger: Ledger, size: int, is_there: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Tiles and entry bundles and their paths, without the full ones that are there already."""
    reader = TreeReader(ledger.recorder)
    for level, index, width in tiles_of(size):
        path = tile_path(level, index, width)
        if width == TILE_WIDTH and is_there(path):
            continue
        yield path, b"".join(reader.read_hashes(tile_coordinates(level, index, width)))
    for index, width in bundles_of(size):
        path = bundle_path(index, width)
        if width == TILE_WIDTH and is_there(path):
            continue
        rows = ledger.recorder.rows(index * TILE_WIDTH, width)
        if len(rows) != width:
            raise VerificationError(f"entries from {index * TILE_WIDTH} on are missing", fault="chain")
        yield path, format_bundle([format_entry(row.entry) for row in rows])


def export_tiles(ledger: Ledger, folder: Path) -> tuple[int, int]:
    """Write the signed head, its verifier key, tiles and entry bundles.

    Full tiles that are already there are kept; the checkpoint is written last, so that what it covers exists.

    Args:
        ledger: the log; its present head is signed, or already was.
        folder: made when missing.

    Returns:
        Tree size and number of files written.

    Raises:
        StorageError: a file cannot be written.
    """
    note = ledger.checkpoint()
    head = ledger.log_keys().verify(note)
    files = 2
    for path, data in _pieces(ledger, head.size, lambda path: (folder / path).exists()):
        _write(folder / path, data)
        files += 1
    crashpoint("export.tiles_written")
    _write(folder / "log.vkey", _vkey(ledger))
    _write(folder / "checkpoint", ledger.cosigned(note))
    return head.size, files


def _vkey(ledger: Ledger) -> bytes:
    return format_vkey(ledger.vkey).encode() + b"\n"


def upload_tiles(ledger: Ledger, url: str, verify_head: VerifyHead) -> tuple[int, int]:
    """Write the same below the URL of an object store, where nothing is overwritten; the head as `publish_head` does.

    Args:
        ledger: the log; its present head is signed, or already was.
        url: ``s3://bucket/prefix`` and the like.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        Tree size and number of objects written; the head counts once.

    Raises:
        ContradictedError: the head of another history is published there.
        VerificationError: another tile is there.
        StorageError: they cannot be written, or a larger head is there.
    """
    note = ledger.cosigned(ledger.checkpoint())
    size = verify_head(note).size
    place, bucket = open_place(url), Bucket(url)
    check_forward(ledger.recorder, note, place, verify_head)
    present = set(bucket.names("tile", None, size // 100 + _PARTIAL)[0])
    pieces, written = _pieces(ledger, size, present.__contains__), 0
    while batch := list(islice(pieces, _BATCH)):
        new = bucket.create_all(batch)
        for path, data in compress(batch, map(not_, new)):
            _check_same(bucket, path, data)
        written += sum(new)
    crashpoint("publish.tiles_written")
    written += _upload_vkey(bucket, _vkey(ledger))
    return size, written + publish_head(ledger.recorder, note, place, verify_head)


def _check_same(bucket: Bucket, path: str, data: bytes) -> None:
    found = bucket.read(path, len(data))
    if found is not None and found.data != data:
        raise VerificationError(
            f"{path} in {bucket.url} is not of this history",
            fault="anchor",
            hint="Keep it, and publish somewhere else.",
        )


def _upload_vkey(bucket: Bucket, data: bytes) -> bool:
    """The key changes when the log's key does."""
    found = bucket.read("log.vkey", MAX_NOTE)
    if found is not None and found.data == data:
        return False
    return bucket.create("log.vkey", data) if found is None else bucket.replace("log.vkey", data, found)
