"""From stored rows back to judged events: the one way in which append, projections and verify read history.

A row counts only after its bytes were checked: digests, header against signed payload, signatures
under keys valid at its index, and `judge`. What fails is void: it changes no state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.domain import RecordedEvent, Verdict, World, judge, make_event, signing_keys
from ledger.domain.decisions import marks_of
from ledger.envelope import Envelope, format_envelope, parse_signatures, verify_envelope
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.payload import Payload, parse_payload
from ledger.stored import Row

__all__ = ["ContentError", "Judged", "header_of", "judge_row", "open_row"]

_CLOCK_TOLERANCE = 5_000_000  # microseconds an author's clock may run ahead without remark


class ContentError(VerificationError):
    """The stored content is not what the entry commits to: altered since, not merely illegal."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row and what became of it; ``event`` is None when its bytes could not even be read."""

    row: Row
    event: RecordedEvent | None
    verdict: Verdict


def header_of(payload: Payload, stream: str, keys: Sequence[str]) -> dict[str, object]:
    """The header fields that the signed payload determines; append writes them, verify compares them."""
    return {
        "actor": payload.actor,
        "emitter": payload.emitter,
        "id": payload.id,
        "item": 0,
        "keys": tuple(keys),
        "ledgerid": payload.ledgerid,
        "sequence": payload.sequence,
        "stream": stream,
        "subject": payload.subject,
        "type": payload.type,
    }


def _content(row: Row) -> Envelope:
    index = row.entry.index
    if row.payload is None or row.signatures is None:
        raise ContentError("its content is missing", fault="payload", index=index)
    if hashlib.sha256(row.payload).hexdigest() != row.entry.payload:
        raise ContentError("the payload is not the one recorded", fault="payload", index=index)
    try:
        envelope = Envelope(row.payload, parse_signatures(row.signatures))
        data = format_envelope(envelope)
    except InputError as error:
        message = f"the stored signatures cannot be read: {error.message}"
        raise ContentError(message, fault="signature", index=index) from error
    if hashlib.sha256(data).hexdigest() != row.entry.envelope:
        message = "the signatures are not the ones recorded"
        raise ContentError(message, fault="signature", index=index)
    return envelope


def open_row(row: Row) -> tuple[RecordedEvent, Envelope]:
    """Check a row's content against its header and type it; signatures are not yet verified.

    Raises:
        VerificationError: fault ``payload``, ``signature``, ``header`` or ``schema``, with the index.
    """
    envelope = _content(row)
    entry, index = row.entry, row.entry.index
    try:
        event = make_event(index, parse_payload(envelope.payload), tuple(s.keyid for s in envelope.signatures))
    except InputError as error:
        raise VerificationError(error.message, fault="schema", index=index) from error
    for name, value in header_of(event.payload, event.stream, event.keys).items():
        if getattr(entry, name) != value:
            message = f"the header says {name} {getattr(entry, name)!r}, the signed payload {value!r}"
            raise VerificationError(message, fault="header", index=index)
    return event, envelope


def judge_row(world: World, row: Row) -> Judged:
    """Check one row's bytes and judge it against the world before it.

    Returns:
        The event and its verdict; a row whose bytes are bad is void with a `VerificationError`.
    """
    index = row.entry.index
    try:
        event, envelope = open_row(row)
    except VerificationError as error:
        return Judged(row, None, Verdict("void", error))
    verdict = judge(world, event)
    if verdict.kind == "void" and isinstance(verdict.error, AuthenticationError):
        return Judged(row, event, verdict)
    try:
        verify_envelope(envelope, signing_keys(world, event))
    except LedgerError as error:
        bad = VerificationError(error.message, fault="signature", index=index)
        return Judged(row, event, Verdict("void", bad))
    if verdict.kind == "valid":
        verdict = Verdict("valid", marks=marks_of(world, event) + _time_marks(row, event))
    return Judged(row, event, verdict)


def _time_marks(row: Row, event: RecordedEvent) -> tuple[str, ...]:
    """Nothing is recorded before it happened; a claim that says so is shown with a mark."""
    ahead = event.payload.occurred_at - row.entry.recorded_at
    return ("future-dated",) if ahead > _CLOCK_TOLERANCE else ()
