"""Backups: one SQLite file with the layout of a store, whatever the store is, that only `restore_backup` opens.

A backup stands at the head of the moment it was begun, holds no private key, and says of itself what it is in a
manifest. It is a closed store: nothing can be appended to it, so it cannot become a second ledger by being copied.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from ledger.backupcheck import BackupCheck, Manifest, check_opened, opened, signed_size, verify_backup
from ledger.crashpoints import crashpoint
from ledger.durable import sync_file, sync_folder
from ledger.entry import format_time
from ledger.errors import ConfigurationError, LedgerError, NothingToVerifyError, StorageError, VerificationError
from ledger.recorders import open_recorder
from ledger.recorders.copying import copy_log, copy_tracking, open_store, settle_erased
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.stored import Head, Transfer
from ledger.strictjson import format_json
from ledger.transfer import Advance, Outside, begin_closed, check_closed, held_by, refuse_bad, same_rows

__all__ = ["Restored", "backup_name", "create_backup", "restore_backup"]

_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        check: what was found in the backup.
        existing: True when the same backup had been restored there before.
    """

    check: BackupCheck
    existing: bool


def backup_name(origin: str, size: int) -> str:
    """Name of a backup's file in a folder."""
    return f"{origin.replace('/', '_').replace(':', '_')}-{size}.backup"


# -- create ------------------------------------------------------------------------------------------


def _manifest(source: SqlRecorder, head: Head) -> Manifest:
    identity = source.identity()
    last = source.last_checkpoint()
    if last is not None and last.size > head.size:  # it was signed since
        found = source.ask("SELECT note FROM $checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1", (head.size,))
        note = found[0][0] if found else b""
    else:
        note = b"" if last is None else last.note
    try:
        root = head.root().hex()
    except LedgerError:  # a damaged head row: --unverified takes it as it is
        root = ""
    return Manifest(
        checkpoint=note.decode(errors="replace"),
        created=format_time(time.time_ns() // 1000),
        ledgerid=identity.ledgerid,
        muniment=version("muniment"),
        origin=identity.origin,
        root=root,
        size=head.size,
    )


def _begin(source: SqlRecorder) -> tuple[Head, Manifest]:
    head = source.head()
    if head.size == 0:
        raise NothingToVerifyError("the log is empty: there is nothing to back up")
    return head, _manifest(source, head)


def _place(where: Path, manifest: Manifest) -> Path:
    path = where / backup_name(manifest.origin, manifest.size) if where.is_dir() else where
    if path.exists():
        raise ConfigurationError(f"{path} already exists", hint="Name another file; a backup is never overwritten.")
    return path


def _fill(source: SqlRecorder, path: Path, manifest: Manifest, head: Head, advance: Advance | None) -> bool:
    """Copy the log into a new file; False when something was erased behind its head meanwhile, so that it is no use."""
    target = SqliteRecorder(path)
    try:
        target.create(source.identity(), Transfer("backup", secrets.token_hex(16), format_json(asdict(manifest))))
        target.admit(source.identity())
        copy_log(source, target, head, advance)
        if not settle_erased(source, target, head.size):
            return False
        copy_tracking(source, target)
        if target.ask("PRAGMA journal_mode = DELETE") != [("delete",)]:  # everything in the one file
            raise StorageError(f"{path} is used by another process", hint="Name another file.")
        return True
    finally:
        target.close()


def _remove(part: Path) -> None:
    for name in (part.name, *(f"{part.name}{end}" for end in ("-wal", "-shm", "-journal", ".lock"))):
        with suppress(OSError):
            part.with_name(name).unlink()


def _check_new(part: Path, outside: Outside, advance: Advance | None) -> None:
    """Verify a new backup as anybody would, from the file."""
    check = verify_backup(part, outside, advance=advance)
    refuse_bad(check.log)
    if check.missing:
        raise VerificationError(
            f"the log shrank: {check.known_by} vouches for {check.known} entries and {check.manifest.size} are there",
            fault="anchor",
            hint="Keep the store as it is and run: muniment verify log",
        )


def create_backup(
    source: SqlRecorder,
    where: Path,
    outside: Outside,
    *,
    verified: bool = True,
    advance: Advance | None = None,
) -> tuple[Path, Manifest]:
    """Back up a log while others append to it.

    Args:
        source: the store.
        where: the file to make, or a folder to make it in.
        outside: what is known without asking the store.
        verified: verify the backup before it gets its name.
        advance: called with (done, total) now and then.

    Returns:
        The file and its manifest.

    Raises:
        ConfigurationError: the file exists, or the ledger has moved.
        NothingToVerifyError: the log is empty.
        VerificationError: the log is not good.
        StorageError: the store failed, or the file cannot be written; there is none then.
    """
    moved = source.successor()
    if moved is not None:
        raise ConfigurationError(f"this ledger has moved to {moved[0]}", hint="Back it up there: --ledger URL")
    head, manifest = _begin(source)
    path = _place(where, manifest)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        for _ in range(_ROUNDS):
            if _fill(source, part, manifest, head, advance):
                break
            _remove(part)
            head, manifest = _begin(source)  # pages may lack what was erased by a record behind the head they have
        else:
            raise StorageError("erasures went on as long as the backup was made", hint="Wait until they have ended.")
        if verified:
            _check_new(part, outside, advance)
        sync_file(part)
        crashpoint("backup.copied")
        path = _place(where, manifest)
        part.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        _remove(part)
    crashpoint("backup.renamed")
    return path, manifest


# -- restore -----------------------------------------------------------------------------------------


def _refuse_older(check: BackupCheck) -> None:
    raise VerificationError(
        f"this backup holds {check.manifest.size} of {check.known} entries known to exist ({check.known_by}): "
        f"{check.missing} would be lost",
        fault="anchor",
        hint="Look for a newer one. To restore this one all the same: --older",
    )


def restore_backup(
    path: Path,
    url: str,
    outside: Outside,
    *,
    older: bool = False,
    advance: Advance | None = None,
) -> Restored:
    """Restore a backup to an empty store, which is opened when it was verified there.

    Args:
        path: the file.
        url: a store that does not exist yet, or a half restore of this backup.
        outside: what is known without asking it.
        older: restore it even though longer heads are known.
        advance: called with (done, total) now and then.

    Raises:
        InputError: it is no backup.
        VerificationError: it is damaged, or behind a known head.
        ConfigurationError: the store holds something else.
        StorageError: the store failed; call it again.
    """
    with opened(path) as (backup, transfer, manifest):
        check = check_opened(backup, path, manifest, outside, advance)
        check.log.raise_if_bad()
        if check.missing and not older:
            _refuse_older(check)
        target = open_recorder(url)
        try:
            wanted = Transfer("restore", transfer.token)
            if target.exists() and held_by(target) == (wanted, False):
                return Restored(check, existing=True)
            if begin_closed(target, backup, wanted) != wanted:
                raise ConfigurationError(
                    "another backup is being restored there", hint="Name a file or schema that does not exist yet."
                )
            copy_log(backup, target, backup.head(), advance)
            copy_tracking(backup, target)
            check_closed(target, outside.within(signed_size(backup)), advance)
            crashpoint("copy.verified")
            if target.head() != backup.head() or not same_rows(backup, target):
                raise VerificationError("the restored store is not what the backup holds", fault="head")
            open_store(target)
        finally:
            target.close()
    return Restored(check, existing=False)
