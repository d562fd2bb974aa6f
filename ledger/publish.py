"""Publishing the log as static files: C2SP tlog-tiles, with entry bundles that hold digests and no content."""

from __future__ import annotations

from pathlib import Path

from ledger.application import Ledger
from ledger.crashpoints import crashpoint
from ledger.durable import write_atomically
from ledger.entry import format_entry
from ledger.errors import StorageError, VerificationError
from ledger.note import format_vkey
from ledger.tiles import TILE_WIDTH, bundle_path, bundles_of, format_bundle, tile_coordinates, tile_path, tiles_of
from ledger.treereader import TreeReader

__all__ = ["export_tiles"]


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data, mode=0o644)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


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
    reader = TreeReader(ledger.recorder)
    files = 2
    for level, index, width in tiles_of(head.size):
        path = folder / tile_path(level, index, width)
        if width == TILE_WIDTH and path.exists():
            continue
        _write(path, b"".join(reader.read_hashes(tile_coordinates(level, index, width))))
        files += 1
    for index, width in bundles_of(head.size):
        path = folder / bundle_path(index, width)
        if width == TILE_WIDTH and path.exists():
            continue
        rows = ledger.recorder.rows(index * TILE_WIDTH, width)
        if len(rows) != width:
            raise VerificationError(f"entries from {index * TILE_WIDTH} on are missing", fault="chain")
        _write(path, format_bundle([format_entry(row.entry) for row in rows]))
        files += 1
    crashpoint("export.tiles_written")
    _write(folder / "log.vkey", format_vkey(ledger.vkey).encode() + b"\n")
    _write(folder / "checkpoint", ledger.cosigned(note))
    return head.size, files
