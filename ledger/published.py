"""Signed heads published where the operator cannot silently change them: in a file, a git repository, an object store.

Only ever forward: what is there must be a head that the store extends, and a larger one or another history is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, VerifyHead
from ledger.checkpoints import check_extends
from ledger.errors import InputError, LedgerError, StorageError, TrustStateError, VerificationError
from ledger.places import MovedError, Place
from ledger.recorders.sql import SqlRecorder
from ledger.verdicts import Gap, GapKind

__all__ = ["KIND", "ContradictedError", "Published", "check_forward", "publish_head", "read_published"]

#: Kind of these attestations in the store.
KIND = "published"

_ATTEMPTS = 5


class ContradictedError(VerificationError):
    """What is published contradicts the store.

    Args:
        message: what was found.
        note: the published head, verbatim.
    """

    def __init__(self, message: str, note: bytes) -> None:
        super().__init__(message, fault="anchor", hint="Keep both as they are and run: muniment verify log --anchor")
        self.note = note


@dataclass(frozen=True, slots=True)
class Published:
    """What is published somewhere.

    Attributes:
        heads: each head and its signed note, newest first.
        gaps: that there are more of them, which were not read.
    """

    heads: list[tuple[Checkpoint, bytes]]
    gaps: list[Gap]


def read_published(place: Place, verify_head: VerifyHead) -> Published:
    """Read the heads published somewhere.

    Args:
        place: where.
        verify_head: checks a signed head under the keys of the log.

    Raises:
        TrustStateError: there is none, or something else.
        AuthenticationError: one is not signed by this log.
        StorageError: it cannot be read.
    """
    try:
        notes, more = place.read()
        heads = [(verify_head(note), note) for note in notes]
    except InputError as error:
        raise TrustStateError(f"what is published in {place.name} is no checkpoint: {error.message}") from error
    if not heads:
        raise TrustStateError(f"no head is published in {place.name}")
    words = f"more heads are published in {place.name} than are read at once: {len(heads)} of them were"
    return Published(heads, [Gap(GapKind.ATTESTATIONS, words)] if more else [])


def _heads_there(place: Place, verify_head: VerifyHead) -> list[tuple[Checkpoint, bytes]]:
    try:
        return [(verify_head(note), note) for note in place.last()]
    except StorageError:
        raise
    except LedgerError as error:
        raise StorageError(
            f"{place.name} holds something else than a head of this log: {error.message}",
            hint="Publish somewhere else.",
        ) from error


def _check_extended(recorder: SqlRecorder, head: Checkpoint, there: Checkpoint, note: bytes, place: Place) -> None:
    try:
        check_extends(recorder, there)
    except VerificationError as error:
        raise ContradictedError(f"what {place.name} holds is not of this history: {error.message}", note) from error
    if there.size > head.size:
        raise StorageError(
            f"{place.name} holds a head of size {there.size} already, and this one is of size {head.size}",
            hint="Sign the present head first: muniment checkpoint show",
        )


def check_forward(recorder: SqlRecorder, note: bytes, place: Place, verify_head: VerifyHead) -> None:
    """Check that a signed head may be published somewhere.

    Args:
        recorder: the store.
        note: the head.
        place: where.
        verify_head: checks a signed head under the keys of the log.

    Raises:
        ContradictedError: another history is published there.
        StorageError: something else is there, or a larger head, or it cannot be read.
    """
    head = verify_head(note)
    for there, found in _heads_there(place, verify_head):
        _check_extended(recorder, head, there, found, place)


def publish_head(recorder: SqlRecorder, note: bytes, place: Place, verify_head: VerifyHead) -> bool:
    """Publish a signed head; the same again changes nothing, and one that was cut off is gone on with.

    Args:
        recorder: the store.
        note: the head, with cosignatures when there are any.
        place: where; a file is made when it is missing.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        Whether anything was written.

    Raises:
        ContradictedError: another history is published there.
        StorageError: it cannot be written, holds something else, or a larger head.
    """
    head = verify_head(note)
    for _ in range(_ATTEMPTS):
        check_forward(recorder, note, place, verify_head)
        try:
            written = place.put(head, note)
        except MovedError:
            continue
        recorder.add_attestation(head.size, KIND, place.name[:4096], note)
        return written
    raise StorageError(f"others kept publishing in {place.name}", hint="Retry in a moment.")
