"""One event as the domain sees it: who, what, about what, and at which place of the log."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.events import Body, EventType, known_event_type, load_body
from ledger.names import Name, parse_name, stream_of
from ledger.payload import Payload

__all__ = ["CLOCK_BEHIND", "RecordedEvent", "actors_of", "make_event"]

#: How far the clock of whoever reports something may be behind others; microseconds.
CLOCK_BEHIND = 120_000_000


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event that stands at, or is about to stand at, a place of the log.

    Attributes:
        index: leaf index.
        payload: what its author signed.
        kind: its row of the catalogue, or None when this version of Muniment does not know the type.
        body: the typed body, or None with `kind`.
        subject: the parsed subject.
        stream: the subject without its version.
        keys: key ids of the envelope's signatures.
        recorded_at: when it was recorded, in microseconds since the Unix epoch; of an event that is about to be, a
            time it cannot be recorded before.
    """

    index: int
    payload: Payload
    kind: EventType | None
    body: Body | None
    subject: Name
    stream: str
    keys: tuple[str, ...]
    recorded_at: int

    @property
    def actor(self) -> str:
        """Actor id of the author."""
        return self.payload.actor

    @property
    def occurred_at(self) -> int:
        """When it occurred, by its author's claim, but never after it was recorded."""
        return min(self.payload.occurred_at, self.recorded_at)


def actors_of(event: RecordedEvent) -> frozenset[str]:
    """The author of an event and whom it acted for."""
    behalf = event.payload.on_behalf_of
    return frozenset({event.actor} if behalf is None else {event.actor, behalf})


def make_event(index: int, payload: Payload, keys: tuple[str, ...], recorded_at: int) -> RecordedEvent:
    """Type a parsed payload.

    Args:
        index: leaf index it has or would get.
        payload: the parsed payload.
        keys: key ids that signed it.
        recorded_at: see `RecordedEvent`.

    Raises:
        InputError: the body does not fit its type.
    """
    kind = known_event_type(payload.type)
    body = None if kind is None else load_body(kind, payload.data)
    subject = parse_name(payload.subject)
    return RecordedEvent(index, payload, kind, body, subject, stream_of(payload.subject), keys, recorded_at)
