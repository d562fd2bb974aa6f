"""Named places where a test may end the process; passing one does nothing unless it is armed.

``MUNIMENT_CRASHPOINT=NAME`` (or ``NAME:N``, the N-th passage) makes the process kill itself there with SIGKILL,
as a power switch would: no exception is raised, nothing is flushed and no handler runs. Every name is in
``CRASHPOINTS``, so that a test can go through all of them and show that each was reached.
"""

from __future__ import annotations

import os
import signal

from ledger.errors import ConfigurationError

__all__ = ["CRASHPOINTS", "crashpoint"]

#: Every place, in the order of an append, a signed head, and what follows them.
CRASHPOINTS = (
    "append.begun",
    "append.inserted",
    "append.before_commit",
    "append.committed",
    "checkpoint.signed",
    "checkpoint.before_commit",
    "checkpoint.stored",
    "file.written",
    "file.renamed",
    "export.tiles_written",
    "publish.tiles_written",
    "publish.kept",
    "view.before_commit",
    "view.committed",
    "copy.created",
    "copy.page_stored",
    "copy.verified",
    "copy.tail_stored",
    "copy.before_seal",
    "copy.sealed",
    "copy.before_open",
    "copy.opened",
    "backup.copied",
    "backup.renamed",
    "migrate.before_commit",
    "migrate.committed",
    "restore.recorded",
    "restore.signed",
    "restore.evidence_kept",
    "seal.key_stored",
    "seal.wrapping_made",
    "seal.rewrapped",
    "erase.recorded",
    "erase.keys_deleted",
    "erase.withheld",
    "erase.purged",
    "erase.scrubbed",
    "watch.breached",
    "watch.decided",
    "watch.told",
    "gate.recorded",
)


def _armed() -> tuple[str, int] | None:
    text = os.environ.get("MUNIMENT_CRASHPOINT")
    if not text:
        return None
    name, _, passage = text.partition(":")
    if name not in CRASHPOINTS or not (passage or "1").isdecimal():
        raise ConfigurationError(f"MUNIMENT_CRASHPOINT={text!r} names no crash point")
    return name, int(passage or "1")


_ARMED = _armed()
_passed = 0


def crashpoint(name: str) -> None:
    """Pass a named place.

    Args:
        name: one of ``CRASHPOINTS``.
    """
    if _ARMED is not None and _ARMED[0] == name:
        _reach(_ARMED[1])


def _reach(passage: int) -> None:
    global _passed  # noqa: PLW0603 - the process counts, whichever module passes
    _passed += 1
    if _passed == passage:
        os.kill(os.getpid(), signal.SIGKILL)
