"""Between a signed event and the event-store library's `StoredEvent`.

Topics are looked up in the closed catalogue; nothing a row names is ever imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

from ledger.domain import RecordedEvent, make_event
from ledger.envelope import Envelope, format_signatures, join_envelope
from ledger.payload import parse_payload

__all__ = ["EventMapper", "SignedStoredEvent"]


@dataclass(frozen=True)
class SignedStoredEvent(StoredEvent):
    """A `StoredEvent` with the header fields that are known before the head lock is taken.

    ``originator_id`` is the stream, ``originator_version`` the revision (0: the next one),
    ``topic`` the event type and ``state`` the payload.

    Attributes:
        actor: actor id of the author.
        emitter: UUID of the emitter instance.
        envelope: SHA-256 of the envelope, hex.
        id: UUID of the event.
        item: place in a shared batch, 0.
        keys: key ids of the signatures, sorted.
        payload: SHA-256 of the payload, hex.
        sequence: the emitter's number.
        subject: name of what the event is about.
        signatures: the envelope's signatures as JSON.
        authority: True when keys, actors or rules change, or something is put in quarantine.
    """

    actor: str
    emitter: str
    envelope: str
    id: str
    item: int
    keys: tuple[str, ...]
    payload: str
    sequence: int
    subject: str
    signatures: bytes
    authority: bool


class EventMapper(Mapper[str]):
    """Maps events of the catalogue to stored events and back."""

    def __init__(self) -> None:
        # The library's transcoder is never used: the payload's bytes are what is stored.
        super().__init__(JSONTranscoder())

    def to_signed(self, event: RecordedEvent, envelope: Envelope) -> SignedStoredEvent:
        """The stored form of an event whose envelope was verified.

        Args:
            event: the typed event.
            envelope: its envelope; the payload's bytes are stored as they are.
        """
        payload = event.payload
        signatures = format_signatures(envelope.signatures)
        return SignedStoredEvent(
            originator_id=event.stream,
            originator_version=0,
            topic=payload.type,
            state=envelope.payload,
            actor=payload.actor,
            emitter=payload.emitter,
            envelope=hashlib.sha256(join_envelope(envelope.payload, signatures)).hexdigest(),
            id=payload.id,
            item=0,
            keys=event.keys,
            payload=hashlib.sha256(envelope.payload).hexdigest(),
            sequence=payload.sequence,
            subject=payload.subject,
            signatures=signatures,
            authority=event.kind is not None and event.kind.bears_on_all,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> RecordedEvent:  # type: ignore[override]
        """Type a stored event; an unknown topic becomes an opaque event.

        Raises:
            InputError: the stored payload is malformed.
        """
        keys = stored_event.keys if isinstance(stored_event, SignedStoredEvent) else ()
        return make_event(-1, parse_payload(stored_event.state), keys, 0)
