"""From stored rows back to judged events: the one way in which append, projections and verify read history.

A row counts only after its bytes were checked: digests, header against signed payload, signatures
under keys valid at its index, and `judge`. What fails is void: it changes no state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import attrgetter

from ledger.domain import RecordedEvent, Verdict, World, judge, make_event, signing_keys
from ledger.domain.decisions import marks_of
from ledger.domain.erasure import Withheld
from ledger.envelope import MAX_PAYLOAD, Envelope, join_envelope, parse_signatures, verify_envelope
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.events import Erasable, known_event_type
from ledger.payload import Payload, parse_payload
from ledger.stored import Fields, Row

__all__ = ["ContentError", "Judged", "content_of", "judge_row", "may_be_withheld", "open_fields", "open_row"]

_CLOCK_TOLERANCE = 5_000_000  # microseconds an author's clock may run ahead without remark
_HEADER_NAMES = ("actor", "emitter", "id", "item", "keys", "ledgerid", "sequence", "stream", "subject", "type")
_HEADER = attrgetter(*_HEADER_NAMES)


class ContentError(VerificationError):
    """The stored content is not what the entry commits to: altered since, not merely illegal."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row and what became of it.

    Attributes:
        row: as stored.
        event: None when its bytes are not there, or could not even be read.
        verdict: what `judge` says, or ``withheld``.
        withheld: the record that excuses its missing content.
    """

    row: Row
    event: RecordedEvent | None
    verdict: Verdict
    withheld: Withheld | None = None


def _signed_header(payload: Payload, stream: str, keys: tuple[str, ...]) -> tuple[object, ...]:
    """The header fields that the signed payload determines, in the order of `_HEADER_NAMES`."""
    return (
        payload.actor, payload.emitter, payload.id, 0, keys, payload.ledgerid, payload.sequence, stream,
        payload.subject, payload.type,
    )  # fmt: skip


def _content(index: int, payload: bytes | None, signatures: bytes | None, digests: tuple[str, str]) -> Envelope:
    if payload is None or signatures is None:
        raise ContentError("its content is missing", fault="payload", index=index)
    if hashlib.sha256(payload).hexdigest() != digests[0]:
        raise ContentError("the payload is not the one recorded", fault="payload", index=index)
    try:
        if len(payload) > MAX_PAYLOAD:
            raise InputError(f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
        envelope = Envelope(payload, parse_signatures(signatures))
    except InputError as error:
        message = f"the stored signatures cannot be read: {error.message}"
        raise ContentError(message, fault="signature", index=index) from error
    # What `parse_signatures` takes is in its only form, so it need not be written again.
    if hashlib.sha256(join_envelope(payload, signatures)).hexdigest() != digests[1]:
        message = "the signatures are not the ones recorded"
        raise ContentError(message, fault="signature", index=index)
    return envelope


def may_be_withheld(row: Row) -> bool:
    """Whether a row lacks all content, and is of a type whose content may be withheld; whether it was, the log says.

    A row of a stream that authority rests on never is, whatever its columns say.
    """
    kind = known_event_type(row.entry.type)
    return (
        row.payload is None
        and row.signatures is None
        and kind is not None
        and kind.erasable is Erasable.WHOLE
        and not row.entry.stream.startswith(("ledger:", "actor:"))
    )


def content_of(row: Row) -> Envelope:
    """Check a row's content against the digests in its header.

    Raises:
        ContentError: it is not what was recorded.
    """
    return _content(row.entry.index, row.payload, row.signatures, (row.entry.payload, row.entry.envelope))


def _typed(index: int, envelope: Envelope, header: tuple[object, ...], recorded_at: int) -> RecordedEvent:
    """The event of an envelope, when its header says what was signed."""
    try:
        keys = tuple([s.keyid for s in envelope.signatures])
        event = make_event(index, parse_payload(envelope.payload), keys, recorded_at)
    except InputError as error:
        raise VerificationError(error.message, fault="schema", index=index) from error
    signed = _signed_header(event.payload, event.stream, event.keys)
    if header != signed:
        triples = zip(_HEADER_NAMES, header, signed, strict=True)
        name, found, wanted = next(triple for triple in triples if triple[1] != triple[2])
        message = f"the header says {name} {found!r}, the signed payload {wanted!r}"
        raise VerificationError(message, fault="header", index=index)
    return event


def open_row(row: Row) -> tuple[RecordedEvent, Envelope]:
    """Check a row's content against its header and type it; signatures are not yet verified.

    Raises:
        VerificationError: fault ``payload``, ``signature``, ``header`` or ``schema``, with the index.
    """
    envelope = content_of(row)
    return _typed(row.entry.index, envelope, _HEADER(row.entry), row.entry.recorded_at), envelope


def open_fields(fields: Fields, ledgerid: str) -> tuple[RecordedEvent, Envelope]:
    """As `open_row`, from a row as the store gave it, its content included; its columns are in their form.

    Raises:
        VerificationError: as `open_row`.
    """
    (position, stream, _, kind, actor, event_id, emitter, sequence, subject, item, keys, payload, envelope) = fields[
        :13
    ]
    opened = _content(position - 1, fields[16], fields[17], (payload.hex(), envelope.hex()))
    header = (actor, emitter, event_id, item, tuple(keys.split(",")), ledgerid, sequence, stream, subject, kind)
    return _typed(position - 1, opened, header, fields[14]), opened


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
        verify_envelope(envelope, verdict.keys or signing_keys(world, event))  # a refused one names no keys
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
