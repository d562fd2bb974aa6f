"""What a witness answers to a request, from what it knows: pure, no I/O and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.addcheckpoint import SIZE_TYPE, AddCheckpoint, format_size
from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.merkle import EMPTY_ROOT
from ledger.merkleproof import proven_before, verify_consistency
from ledger.note import VerifierKey, parse_note

__all__ = ["PLAIN", "Answer", "Latest", "authenticate", "judge"]

#: Content type of most answers.
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: of HTTP.
        body: its bytes.
        kind: content type.
        evidence: what the request proves about its log, empty when nothing: ``fork`` (two roots for one size, both
            signed by the log), or ``rewritten`` (a proof that leads to the signed head, from another root than the one
            signed for the size before). Any other bad proof proves nothing: whoever sends a public head may put any
            proof before it.
        unproven: sizes of heads that the log signed and nobody proved yet, which whoever has the log can prove now.
        notice: what the operator of the witness should hear, empty for nothing.
    """

    status: int
    body: bytes
    kind: str = PLAIN
    evidence: str = ""
    unproven: tuple[int, ...] = ()
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Latest:
    """The last head of a log that the witness cosigned.

    Attributes:
        size: tree size; 0 before the first.
        root: root hash.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT


def _refusal(status: int, words: str, evidence: str = "") -> Answer:
    return Answer(status, f"{words}\n".encode(), evidence=evidence)


def authenticate(request: AddCheckpoint, vkeys: Sequence[VerifierKey]) -> Checkpoint | Answer:
    """Check who a request is from.

    Args:
        request: the request.
        vkeys: keys of all logs that the witness knows.

    Returns:
        The signed head, or why it is refused: 400 malformed, 404 unknown origin, 403 no good signature of a known key.
    """
    try:
        checkpoint = parse_checkpoint(parse_note(request.note).text)
    except InputError as error:
        return _refusal(400, error.message)
    own = [vkey for vkey in vkeys if vkey.name == checkpoint.origin]
    if not own:
        return _refusal(404, "this witness does not know the log")
    try:
        return verify_checkpoint(request.note, own)
    except (AuthenticationError, VerificationError, InputError) as error:
        return _refusal(403, error.message)


def judge(request: AddCheckpoint, checkpoint: Checkpoint, latest: Latest) -> Answer | None:
    """Judge an authentic request, while nobody else may change what is known.

    Args:
        request: the request.
        checkpoint: the head in it, whose signature was verified.
        latest: the last head of this log that was cosigned.

    Returns:
        None when the head is to be cosigned, otherwise why not: 400 sizes that go back, 409 another size (or the same
        size with another root), 422 a proof that does not prove.
    """
    forked = checkpoint.size == latest.size and checkpoint.root != latest.root
    if request.old > checkpoint.size:
        return _refusal(400, "the old size is larger than that of the checkpoint", "fork" if forked else "")
    if request.old != latest.size or forked:
        return Answer(409, format_size(latest.size), SIZE_TYPE, "fork" if forked else "")
    try:
        verify_consistency(latest.size, latest.root, checkpoint.size, checkpoint.root, request.proof)
    except VerificationError as error:
        before = proven_before(latest.size, checkpoint.size, checkpoint.root, request.proof)
        return _refusal(422, error.message, "" if before in (None, latest.root) else "rewritten")
    return None
