"""What outsiders said about signed heads, as a store keeps it: finding what does not verify, and taking it out.

Such a row fails every verification for as long as it is there. It is no part of the log, so the owner of the store may
remove it; a row that speaks for another history than the store's is not told from one that was altered, so that
nothing is removed while the log does not fit its own signed heads.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, VerifyHead
from ledger.cosignature import read_cosignature
from ledger.errors import ConfigurationError, LedgerError, VerificationError
from ledger.merkle import root_hash
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Attestation, attestations_behind, head_at
from ledger.timestamps import check_form
from ledger.treereader import TreeReader

__all__ = ["BadRow", "drop_bad", "find_bad"]

_KINDS = ("cosignature", "rfc3161")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that does not verify.

    Attributes:
        row: as stored.
        why: in words.
    """

    row: Attestation
    why: str


def find_bad(recorder: SqlRecorder, verify_head: VerifyHead) -> list[BadRow]:
    """Find the cosignatures and timestamps in a store that cannot be of the heads they are stored for.

    Args:
        recorder: the store.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        The rows, by size. A good cosignature of a head that is gone is none of them.

    Raises:
        VerificationError, AuthenticationError, InputError: a signed head is not good, or not of this log.
        ConfigurationError: there are timestamps and the package that reads them is not installed.
        StorageError: the store failed.
    """
    with recorder.snapshot():
        return [
            BadRow(item, why)
            for item in attestations_behind(recorder, _KINDS)
            if (why := _why(recorder, verify_head, item))
        ]


def drop_bad(recorder: SqlRecorder, verify_head: VerifyHead) -> list[BadRow]:
    """Remove what `find_bad` finds, for who owns the store.

    Args:
        recorder: the store.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        What was removed.

    Raises:
        VerificationError, AuthenticationError, InputError, ConfigurationError: as `find_bad`; nothing was removed.
        StorageError: this role may not, or the store failed.
    """
    found = find_bad(recorder, verify_head)
    if found:
        recorder.drop_attestations([item.row.number for item in found])
    return found


def _why(recorder: SqlRecorder, verify_head: VerifyHead, item: Attestation) -> str:
    """Why a row is bad, empty when it is not."""
    head, note = _head(recorder, verify_head, item.size)
    if head is None:
        return f"no head can be of size {item.size} here"
    try:
        if item.kind == "cosignature":
            read_cosignature(head, item.issuer, item.body)
        elif note is None:
            return f"no head of size {item.size} is in the store"
        else:
            check_form(item.body, note)
    except ConfigurationError:
        raise
    except LedgerError as error:
        return error.message
    return ""


def _head(recorder: SqlRecorder, verify_head: VerifyHead, size: int) -> tuple[Checkpoint | None, bytes | None]:
    """The head that a row must be about, and its note when it is stored."""
    if not 0 < size <= recorder.head().size:
        return None, None
    head = Checkpoint(recorder.identity().origin, size, root_hash(TreeReader(recorder), size))
    note = head_at(recorder, size)
    if note is not None and verify_head(note) != head:
        raise VerificationError(
            f"the log gives another root at size {size} than the head signed then", fault="checkpoint",
            hint="Nothing was removed. Keep the store as it is and run: muniment verify log --all",
        )  # fmt: skip
    return head, note
