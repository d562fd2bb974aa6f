"""Bringing a store's layout up to this Muniment's: all steps in one transaction under the head lock."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError
from ledger.recorders import open_recorder
from ledger.recorders.layouts import FORMAT_VERSION, refused, steps_from
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


def migrate(url: str, *, dry_run: bool = False) -> Migration:
    """Bring a store's layout up to date; nothing that is recorded changes.

    Args:
        url: the store.
        dry_run: only look.

    Raises:
        ConfigurationError: it holds no ledger, or one of a newer layout.
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
            for step in steps_from(found, recorder.backend):
                recorder.run_ddl(step)
            recorder.sql.run("UPDATE $log SET format = ?", (FORMAT_VERSION,))
            crashpoint("migrate.before_commit")
        crashpoint("migrate.committed")
        return Migration(found, FORMAT_VERSION, done=True)
    finally:
        recorder.close()
