"""Bringing a store's layout up to this Muniment's: all steps in one transaction under the head lock."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import parse_checkpoint
from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, InputError, VerificationError
from ledger.note import parse_note
from ledger.recorders import open_recorder
from ledger.recorders.layouts import FORMAT_VERSION, QUARANTINE, refused
from ledger.recorders.sql import SqlRecorder

__all__ = ["Migration", "migrate"]


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done, or would be.

    Attributes:
        found: layout the store had.
        layout: layout it has now, or would have.
        done: whether anything was changed.
    """

    found: int
    layout: int
    done: bool


def _layout(recorder: SqlRecorder) -> int:
    found = recorder.sql.run("SELECT format FROM $log")
    if not found:
        raise ConfigurationError("this store holds no ledger", hint="Create one: muniment init --origin NAME")
    version = int(found[0][0])
    if not 1 <= version <= FORMAT_VERSION:
        raise refused(version)
    return version


def _fill_signed_head(recorder: SqlRecorder) -> None:
    """Layout 3 keeps the last signed head in a row; it is the last stored one."""
    last = recorder.last_checkpoint()
    if last is None:
        return
    try:
        head = parse_checkpoint(parse_note(last.note).text)
    except InputError as error:
        raise VerificationError(
            f"the last signed head cannot be read: {error.message}",
            fault="checkpoint",
            hint="Keep the store as it is, and run `muniment verify log` of the version that made it.",
        ) from error
    recorder.sql.run("UPDATE $signed_head SET size = ?, root = ? WHERE id = 1", (last.size, head.root))


def _count_quarantines(recorder: SqlRecorder) -> None:
    """Layout 4 counts a quarantine among what makes judgements in flight stale."""
    last = f"SELECT max(position) - 1 FROM $entry WHERE type = '{QUARANTINE}'"  # noqa: S608 - our own name
    recorder.sql.run(f"UPDATE $head SET authority = ({last}) WHERE authority < ({last})")  # noqa: S608 - our own names


def migrate(url: str, *, dry_run: bool = False) -> Migration:
    """Bring a store's layout up to date; nothing that is recorded changes.

    Args:
        url: the store.
        dry_run: only look.

    Raises:
        ConfigurationError: it holds no ledger, or one of a newer layout.
        VerificationError: its last signed head cannot be read; it is unchanged.
        StorageError: the store failed; it is unchanged.
    """
    recorder = open_recorder(url)
    try:
        found = _layout(recorder)
        if dry_run or found == FORMAT_VERSION:
            return Migration(found, FORMAT_VERSION, done=False)
        with recorder.sql.writing():
            recorder.lock_head()
            found = _layout(recorder)  # somebody may have been faster
            recorder.upgrade(found)
            if found < 3:
                _fill_signed_head(recorder)
            if found < 4:
                _count_quarantines(recorder)
            recorder.sql.run("UPDATE $log SET format = ?", (FORMAT_VERSION,))
            crashpoint("migrate.before_commit")
        crashpoint("migrate.committed")
        return Migration(found, FORMAT_VERSION, done=True)
    finally:
        recorder.close()
