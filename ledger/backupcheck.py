"""What a backup says of itself, and whether its log is good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import (
    AuthenticationError,
    ConfigurationError,
    InputError,
    LedgerError,
    StorageError,
    VerificationError,
)
from ledger.findings import Anchor, Finding, LogVerification
from ledger.following import follow_keys, ledger_state_of
from ledger.identity import Trust
from ledger.merkle import CompactRange, peaks_of
from ledger.note import parse_note
from ledger.recorders.copying import admit_closed, transfer_of
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.stored import Transfer
from ledger.strictjson import format_json, parse_json
from ledger.transfer import Advance, Outside
from ledger.treereader import TreeReader
from ledger.verdicts import Fault
from ledger.verify import verify_log

__all__ = ["BackupCheck", "Manifest", "check_opened", "follow_backup", "opened", "signed_size", "verify_backup"]

_MAGIC = b"SQLite format 3\x00"
_NO_BACKUP = "Backups are made with: muniment backup create FILE"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        checkpoint: the newest signed head it covers, the note as text.
        created: when it was begun, by the clock of the machine that made it.
        ledgerid, origin: which log.
        muniment: version that made it.
        root: root hash of its entries, hex.
        size: number of entries.
    """

    checkpoint: str
    created: str
    ledgerid: str
    muniment: str
    origin: str
    root: str
    size: int


@dataclass(frozen=True, slots=True)
class BackupCheck:
    """What a verification of a backup found.

    Attributes:
        manifest: what it says of itself.
        log: what its log was found to be.
        known: entries that the longest head vouched for outside has; those behind the backup's size are not in it.
        known_by: who vouches for that head.
    """

    manifest: Manifest
    log: LogVerification
    known: int
    known_by: str

    @property
    def missing(self) -> int:
        """Entries known to exist that the backup does not have."""
        return max(0, self.known - self.manifest.size)


def _read_manifest(data: bytes) -> Manifest:
    try:
        found: Any = parse_json(data, what="the manifest")
        manifest = Manifest(**found)
        if format_json(asdict(manifest)) != data:
            raise InputError("the manifest is not written in its only form")
    except (LedgerError, TypeError) as error:
        raise VerificationError(f"the manifest of the backup is damaged: {error}", fault="head") from error
    return manifest


def _damaged(path: Path, error: Exception) -> VerificationError:
    words = error.message if isinstance(error, LedgerError) else str(error)
    return VerificationError(f"the backup {path} is damaged: {words}", fault="head", hint="Use another backup.")


@contextmanager
def opened(path: Path) -> Iterator[tuple[SqliteRecorder, Transfer, Manifest]]:
    """Open a backup to read it.

    Args:
        path: the file.

    Returns:
        The closed store in it, what it says it is a copy of, and its manifest.

    Raises:
        InputError: it is no backup.
        VerificationError: it is so damaged that it cannot be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=_NO_BACKUP) from error
    if magic != _MAGIC:
        raise InputError(f"{path} is no backup of Muniment", hint=_NO_BACKUP)
    recorder = SqliteRecorder(path, read_only=True)
    try:
        try:
            transfer, closed = transfer_of(recorder)
        except StorageError as error:
            raise _damaged(path, error) from error
        except ConfigurationError as error:
            raise InputError(f"{path} is no backup: {error.message}", hint=_NO_BACKUP) from error
        if transfer is None or transfer.kind != "backup" or not closed:
            raise InputError(f"{path} is the store of a ledger and no backup", hint=_NO_BACKUP)
        yield recorder, transfer, _read_manifest(transfer.manifest)
    finally:
        recorder.close()


def check_opened(
    recorder: SqlRecorder, path: Path, manifest: Manifest, outside: Outside, advance: Advance | None
) -> BackupCheck:
    """Check a backup that is open; see `verify_backup`.

    Args:
        recorder: the closed store in it.
        path: the file, for words.
        manifest: what it says of itself.
        outside: what is known without asking it.
        advance: called with (done, total) now and then.

    Returns:
        What was found.

    Raises:
        VerificationError: it is damaged, or its manifest does not fit.
    """
    try:
        identity = admit_closed(recorder)
        head = recorder.head()
        within = outside.within(signed_size(recorder))
        found = verify_log(recorder, within.trust, within.anchors, advance)
        if found.ok:
            _compare_later(recorder, found, outside.within(head.size).anchors[len(within.anchors) :])
    except (StorageError, ConfigurationError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    if found.ok:
        said = (manifest.ledgerid, manifest.origin, manifest.size, manifest.root)
        if said != (identity.ledgerid, identity.origin, found.size, found.root) or not _covers(manifest, found):
            raise VerificationError("the manifest of the backup does not fit its log", fault="head")
    longest = max(outside.anchors, key=lambda anchor: anchor.checkpoint.size, default=None)
    if longest is None:
        return BackupCheck(manifest, found, 0, "")
    return BackupCheck(manifest, found, longest.checkpoint.size, longest.by)


def signed_size(recorder: SqlRecorder) -> int:
    """Size of the last signed head; heads beyond it were signed after the backup, and are no fault of it."""
    last = recorder.last_checkpoint()
    return 0 if last is None else last.size


def _compare_later(recorder: SqlRecorder, found: LogVerification, anchors: tuple[Anchor, ...]) -> None:
    """Compare heads of entries that are in the backup, though nobody had signed a head over them then."""
    for anchor in anchors:
        size = anchor.checkpoint.size
        root = CompactRange(size, tuple(TreeReader(recorder).read_hashes(peaks_of(size)))).root()
        if anchor.checkpoint.root == root:
            found.anchored_size, found.anchored_by = size, anchor.by
        else:
            message = f"the backup is not of the log that {anchor.by} vouches for at size {size}"
            found.findings.append(Finding(Fault.ANCHOR, None, message))


def _covers(manifest: Manifest, found: LogVerification) -> bool:
    """Whether the signed head in the manifest is the last one the log has."""
    try:
        head: Checkpoint = parse_checkpoint(parse_note(manifest.checkpoint.encode()).text)
    except InputError:
        return False
    return head.size == found.signed_size


def verify_backup(path: Path, outside: Outside, *, advance: Advance | None = None) -> BackupCheck:
    """Check a backup from its stored bytes, as `verify_log` checks a store.

    Args:
        path: the file.
        outside: what is known without asking it; heads beyond the backup tell how old it is.
        advance: called with (done, total) now and then.

    Returns:
        What was found; ask its ``log.ok``.

    Raises:
        InputError: it is no backup.
        VerificationError: it is so damaged that it cannot be read.
    """
    with opened(path) as (recorder, _, manifest):
        return check_opened(recorder, path, manifest, outside, advance)


def follow_backup(path: Path, trust: Trust) -> Trust:
    """Learn the keys that sign a log's heads by now from a backup of it, starting from those pinned.

    Returns:
        The same, when the backup teaches nothing; what is wrong with it is for `verify_backup` to say.

    Raises:
        InputError, VerificationError: as `verify_backup`.
    """
    with opened(path) as (recorder, _, _):
        try:
            admit_closed(recorder)
            state = ledger_state_of(recorder)
            return trust if state is None else follow_keys(recorder, state, trust)
        except (AuthenticationError, VerificationError, StorageError, ConfigurationError):
            return trust
