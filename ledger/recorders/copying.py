"""Copying the rows of a log from one store to another, of either kind, byte for byte.

What is below a size never changes, so a copy up to a head needs no long transaction on its source: the rows are taken
page by page while others append, and the copy stands at that head. A page is one transaction on the target, so that a
copy that was cut is gone on with. A target is closed (see `layouts.FORMAT_VERSION`) until `open_store`.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.checkpoint import parse_checkpoint
from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, InputError, StorageError
from ledger.note import parse_note
from ledger.recorders.layouts import FORMAT_VERSION, refused
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Head, LogIdentity, SignedHead, Transfer
from ledger.tiles import TILE_WIDTH

__all__ = [
    "admit_closed",
    "copy_checkpoints",
    "copy_log",
    "copy_tracking",
    "last_position",
    "open_store",
    "set_successor",
    "settle_erased",
    "transfer_of",
]

_PAGE = 500
_LEVELS = 8
_ENTRY = (
    "position, stream, revision, type, actor, id, emitter, sequence, subject, item, keys, payload, envelope, prev, "
    "recorded_at, leaf_hash"
)
_CONTENT = "position, payload, signatures"
_ERASED = "muniment.subject.erased.v1"
_ATTESTATION = "number, size, kind, issuer, body, recorded_at"

Advance = Callable[[int, int], None]


def _insert(target: SqlRecorder, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        places = ", ".join("?" for _ in columns.split(","))
        target.sql.run_many(f"INSERT INTO ${table} ({columns}) VALUES ({places})", rows)  # noqa: S608 - our own names


def _lock(target: SqlRecorder) -> None:
    """Let one copier at a time fill a store; on SQLite the transaction itself does."""
    if target.backend == "postgres":
        target.sql.run("SELECT 1 FROM $transfer WHERE id = 1 FOR UPDATE")


def last_position(recorder: SqlRecorder) -> int:
    """Number of entries a store has."""
    return recorder.max_notification_id() or 0


def _copy_entries(source: SqlRecorder, target: SqlRecorder, stop: int, advance: Advance | None) -> None:
    start = last_position(target)
    while start < stop:
        page = (start, min(start + _PAGE, stop))
        where = "WHERE position > ? AND position <= ? ORDER BY position"
        entries = source.sql.run(f"SELECT {_ENTRY} FROM $entry {where}", page)  # noqa: S608 - our own names
        contents = source.sql.run(f"SELECT {_CONTENT} FROM $content {where}", page)  # noqa: S608 - our own names
        with target.sql.writing():
            _lock(target)
            if last_position(target) <= start:  # otherwise another copier stored this page
                _insert(target, "entry", _ENTRY, entries)
                _insert(target, "content", _CONTENT, contents)
        crashpoint("copy.page_stored")
        start = page[1]
        if advance is not None:
            advance(start, stop)


def _copy_tiles(source: SqlRecorder, target: SqlRecorder, size: int) -> None:
    for level in range(_LEVELS):
        stop = size // TILE_WIDTH ** (level + 1)
        while stop:
            with target.sql.writing():
                _lock(target)
                have = target.sql.run("SELECT coalesce(max(idx) + 1, 0) FROM $tile WHERE level = ?", (level,))[0][0]
                tiles = source.sql.run(
                    "SELECT level, idx, hashes, root FROM $tile WHERE level = ? AND idx >= ? AND idx < ? "
                    "ORDER BY idx LIMIT ?",
                    (level, have, stop, _PAGE),
                )
                _insert(target, "tile", "level, idx, hashes, root", tiles)
            if len(tiles) < _PAGE:
                break


def copy_checkpoints(source: SqlRecorder, target: SqlRecorder, size: int) -> None:
    """Copy the signed heads up to a size that the target does not have yet."""
    while True:
        with target.sql.writing():
            _lock(target)
            have = target.sql.run("SELECT coalesce(max(size), 0) FROM $checkpoint")[0][0]
            sql = "SELECT size, note FROM $checkpoint WHERE size > ? AND size <= ? ORDER BY size LIMIT ?"
            found = source.sql.run(sql, (have, size, _PAGE))
            _insert(target, "checkpoint", "size, note", found)
        if len(found) < _PAGE:
            break
    _copy_signed_head(source, target, size)


def _copy_signed_head(source: SqlRecorder, target: SqlRecorder, size: int) -> None:
    """Bring the row of the last signed head to where the source's was at a size."""
    found = source.signed_head()
    if found is not None and found.size > size:  # it was signed since
        sql = "SELECT note FROM $checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1"
        try:
            text = [parse_checkpoint(parse_note(note).text) for (note,) in source.sql.run(sql, (size,))]
        except InputError:  # a damaged note is copied as it is, and the copy's verification says so
            text = []
        found = SignedHead(text[0].size, text[0].root) if text else None
    with target.sql.writing():
        _lock(target)
        have = target.signed_head()
        if found is not None and have is not None and have.size < found.size:
            target.sql.run("UPDATE $signed_head SET size = ?, root = ? WHERE id = 1", (found.size, found.root))


def _copy_attestations(source: SqlRecorder, target: SqlRecorder, size: int) -> None:
    """Copy what outsiders said, in order of recording, up to the first that is about a larger head."""
    sql = (
        f"SELECT {_ATTESTATION} FROM $attestation WHERE number > ? AND number < "  # noqa: S608 - our own names
        f"coalesce((SELECT min(number) FROM $attestation WHERE size > ?), {2**63 - 1}) ORDER BY number LIMIT ?"
    )
    while True:
        with target.sql.writing():
            _lock(target)
            have = target.sql.run("SELECT coalesce(max(number), 0) FROM $attestation")[0][0]
            found = source.sql.run(sql, (have, size, _PAGE))
            _insert(target, "attestation", _ATTESTATION, found)
        if len(found) < _PAGE:
            return


def copy_log(source: SqlRecorder, target: SqlRecorder, head: Head, advance: Advance | None = None) -> None:
    """Copy everything up to a head that the target does not have yet, and set that head.

    Args:
        source: the log.
        target: a closed store of the same log.
        head: a head row of the source, of now or of before.
        advance: called with (entries copied, entries to copy).

    Raises:
        StorageError: a store failed, or holds text that is none.
    """
    try:
        _copy_entries(source, target, head.size, advance)
        _copy_tiles(source, target, head.size)
        copy_checkpoints(source, target, head.size)
        _copy_attestations(source, target, head.size)
    except UnicodeDecodeError as error:
        raise StorageError(
            f"the store cannot be copied row by row: {error}", hint="Keep it as it is and run: muniment verify log"
        ) from error
    with target.sql.writing():
        _lock(target)
        if target.head().size <= head.size:
            target.set_head(head)


def _gone(source: SqlRecorder, target: SqlRecorder, size: int) -> list[int]:
    """Leaf indexes of contents that a copy has and its source has no more."""
    count = "SELECT count(*) FROM $content WHERE position <= ?"
    if source.sql.run(count, (size,)) == target.sql.run(count, (size,)):
        return []  # the copy has every content that the source still has
    found: list[int] = []
    for start in range(0, size, _PAGE):
        page = (start, min(start + _PAGE, size))
        sql = "SELECT position FROM $content WHERE position > ? AND position <= ?"
        left = {position for (position,) in source.sql.run(sql, page)}
        found += [position - 1 for (position,) in target.sql.run(sql, page) if position not in left]
    return sorted(found)


def settle_erased(source: SqlRecorder, target: SqlRecorder, size: int) -> bool:
    """Bring a copy to what erasures that ran while it was made left of the source.

    A record is committed before the first content goes. So when no record stands behind the copy's head after its
    pages were read, the copy holds the record of everything that was missing in them.

    Args:
        source: the log.
        target: a copy that stands at ``size``; it loses what was copied and is gone from the source since.
        size: number of entries.

    Returns:
        False when something was erased behind ``size``: the copy must go on to a newer head.

    Raises:
        StorageError: content is gone from the source without a record; or a store failed.
    """
    gone = _gone(source, target, size)
    if source.sql.run("SELECT 1 FROM $entry WHERE position > ? AND type = ? LIMIT 1", (size, _ERASED)):
        return False
    if gone:
        target.withhold(gone)
        target.scrub()
    return True


def copy_tracking(source: SqlRecorder, target: SqlRecorder) -> None:
    """Copy how far upstream logs were processed; these rows do change, so they are taken at the end."""
    rows = source.sql.run("SELECT name, position FROM $tracking")
    with target.sql.writing():
        _lock(target)
        target.sql.run("DELETE FROM $tracking")
        _insert(target, "tracking", "name, position", rows)


# -- closed stores ---------------------------------------------------------------------------------


def transfer_of(recorder: SqlRecorder) -> tuple[Transfer | None, bool]:
    """What made a store a copy, and whether it is closed.

    Raises:
        ConfigurationError: there is no store, no log in it, or one of another layout.
    """
    found = recorder.sql.run("SELECT format FROM $log")
    version = found[0][0] if found else 0
    if abs(version) != FORMAT_VERSION:
        raise refused(version) if found else ConfigurationError("this store holds no ledger")
    rows = recorder.sql.run("SELECT kind, token, manifest FROM $transfer")
    return (Transfer(*rows[0]) if rows else None), version < 0


def admit_closed(recorder: SqlRecorder) -> LogIdentity:
    """Allow a closed store to be read by this recorder."""
    identity = LogIdentity(*recorder.sql.run("SELECT ledgerid, origin FROM $log")[0])
    recorder.admit(identity)
    return identity


def open_store(recorder: SqlRecorder) -> None:
    """Open a closed store for everybody, in one durable step; an open one stays so."""
    crashpoint("copy.before_open")
    with recorder.sql.writing():
        recorder.lock_head()
        recorder.sql.run("UPDATE $log SET format = -format WHERE format < 0")
    crashpoint("copy.opened")


def set_successor(source: SqlRecorder, place: str, note: bytes) -> None:
    """Say inside the caller's transaction, which holds the head lock, that the log goes on elsewhere."""
    # The head row is written too, so that an append under an older snapshot fails instead of not seeing the note.
    source.sql.run("UPDATE $head SET size = size")
    source.sql.run("INSERT INTO $successor VALUES (1, ?, ?)", (place, note))
    crashpoint("copy.before_seal")
