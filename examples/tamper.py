"""Three ways to falsify a ledger, each by somebody with more rights than anybody should have.

All three write to the SQLite file itself, past Muniment, after dropping the triggers that stand in the way. The third
is the operator's: with the checkpoint key at hand, everything is made to fit again that can be made to fit without the
private key of the person whose words are changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.entry import entry_hash
from ledger.envelope import Envelope, format_envelope, parse_signatures
from ledger.events import Category, known_event_type
from ledger.keys import Signer
from ledger.merkle import CompactRange
from ledger.recorders import open_recorder
from ledger.stored import Row
from ledger.tiles import TILE_WIDTH
from ledger.treereader import completed_tiles

__all__ = ["change_payload", "cut_tail", "rewrite_payload"]


def change_payload(store: Path, index: int, old: bytes, new: bytes) -> None:
    """Change some bytes of one signed payload, and nothing else.

    Args:
        store: the SQLite file of the ledger.
        index: which entry.
        old: bytes that stand in its payload exactly once.
        new: what to put there.
    """
    payload = _replaced(_rows(store)[index], old, new)
    with _unguarded(store) as db:
        db.execute("UPDATE content SET payload = ? WHERE position = ?", (payload, index + 1))


def cut_tail(store: Path, size: int) -> None:
    """Forget everything from entry ``size`` on, tidily: what is left is a good log that ends earlier.

    Args:
        store: the SQLite file of the ledger.
        size: number of entries to keep.
    """
    kept = _rows(store)[:size]
    with _unguarded(store) as db:
        db.execute("DELETE FROM entry WHERE position > ?", (size,))
        db.execute("DELETE FROM content WHERE position > ?", (size,))
        db.execute("DELETE FROM checkpoint WHERE size > ?", (size,))
        _refit(db, kept)
        _refit_signed_head(db, kept)


def rewrite_payload(store: Path, index: int, old: bytes, new: bytes, *, origin: str, signer: Signer) -> None:
    """Change a signed payload and compute everything anew that follows from it, up to the signed heads.

    Args:
        store: the SQLite file of the ledger.
        index: which entry.
        old: bytes that stand in its payload exactly once.
        new: what to put there.
        origin: name of the log in its checkpoints.
        signer: the checkpoint key. The author's own key is not there, so the old signature stays.
    """
    rows = _rows(store)
    rows[index] = replace(rows[index], payload=_replaced(rows[index], old, new))
    for place in range(index, len(rows)):
        rows[place] = _chained(rows[place], rows[place - 1].leaf_hash)
    with _unguarded(store) as db:
        for row in rows[index:]:
            entry = row.entry
            digests = [bytes.fromhex(text) for text in (entry.payload, entry.envelope, entry.prev)]
            db.execute(
                "UPDATE entry SET payload = ?, envelope = ?, prev = ?, leaf_hash = ? WHERE position = ?",
                (*digests, row.leaf_hash, entry.index + 1),
            )
            db.execute("UPDATE content SET payload = ? WHERE position = ?", (row.payload, entry.index + 1))
        _refit(db, rows)
        for size in [int(str(size)) for (size,) in db.execute("SELECT size FROM checkpoint WHERE size > ?", (index,))]:
            root = CompactRange().extend(row.leaf_hash for row in rows[:size]).root()
            note = sign_checkpoint(Checkpoint(origin, size, root), signer)
            db.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note, size))
        _refit_signed_head(db, rows)


@contextmanager
def _unguarded(store: Path) -> Iterator[apsw.Connection]:
    """One transaction on the file, without the triggers that keep a log append-only."""
    db = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            yield db
    finally:
        db.close()


def _rows(store: Path) -> list[Row]:
    recorder = open_recorder(f"sqlite:///{store.resolve()}")
    try:
        return list(recorder.rows(0, recorder.head().size))
    finally:
        recorder.close()


def _replaced(row: Row, old: bytes, new: bytes) -> bytes:
    if row.payload is None or row.payload.count(old) != 1:
        raise ValueError(f"{old!r} does not stand exactly once in the payload of entry {row.entry.index}")
    return row.payload.replace(old, new)


def _chained(row: Row, prev: bytes) -> Row:
    """The row with digests that fit its content, behind another entry."""
    assert row.payload is not None
    assert row.signatures is not None
    envelope = format_envelope(Envelope(row.payload, parse_signatures(row.signatures)))
    entry = replace(
        row.entry,
        payload=hashlib.sha256(row.payload).hexdigest(),
        envelope=hashlib.sha256(envelope).hexdigest(),
        prev=prev.hex(),
    )
    return replace(row, entry=entry, leaf_hash=entry_hash(entry))


def _refit(db: apsw.Connection, rows: Sequence[Row]) -> None:
    """Make tiles and head row fit the rows."""
    hashes = {0: [row.leaf_hash for row in rows]}
    db.execute("DELETE FROM tile")
    for level, index in completed_tiles(0, len(rows)):
        tile = hashes[level][index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
        root = CompactRange().extend(tile).root()
        hashes.setdefault(level + 1, []).append(root)
        db.execute(
            "INSERT INTO tile (level, idx, hashes, root) VALUES (?, ?, ?, ?)", (level, index, b"".join(tile), root)
        )
    grown, last = CompactRange().extend(hashes[0]), rows[-1]
    db.execute(
        "UPDATE head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = ?",
        (grown.size, last.leaf_hash, grown.to_bytes(), last.entry.recorded_at, _last_authority(rows)),
    )


def _refit_signed_head(db: apsw.Connection, rows: Sequence[Row]) -> None:
    """Make the row of the last signed head fit the signed heads."""
    ((last,),) = db.execute("SELECT max(size) FROM checkpoint")
    size = int(str(last))
    root = CompactRange().extend(row.leaf_hash for row in rows[:size]).root()
    db.execute("UPDATE signed_head SET size = ?, root = ?", (size, root))


def _last_authority(rows: Sequence[Row]) -> int:
    kinds = ((row.entry.index, known_event_type(row.entry.type)) for row in rows)
    return max(index for index, kind in kinds if kind is not None and kind.category is Category.AUTHORITY)
