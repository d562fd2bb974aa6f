"""Making payloads: ids, nonces, sequence numbers and times of one emitter instance."""

from __future__ import annotations

import heapq
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from ledger.errors import InputError
from ledger.events import find_event_type
from ledger.forks import renew_in_child
from ledger.payload import Payload, format_payload, parse_payload

__all__ = ["Emitter", "Moment", "build_payload", "microseconds", "uuid7"]

Moment = datetime | str | int | None


def uuid7() -> str:
    """A new UUIDv7 (RFC 9562 5.7): ordered by time, 74 random bits."""
    value = (time.time_ns() // 1_000_000 << 80) | (0x7 << 76) | (secrets.randbits(12) << 64)
    return str(UUID(int=value | (0b10 << 62) | secrets.randbits(62)))


def microseconds(moment: Moment) -> int:
    """Microseconds since the Unix epoch of a time given in any of our ways; None is now.

    Args:
        moment: an aware datetime, an ISO 8601 text with a zone, microseconds, or None.

    Raises:
        InputError: it is not a time, or has no zone.
    """
    if moment is None:
        return time.time_ns() // 1000
    if isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise InputError(f"{moment!r} is not a time", hint="Write it as 2026-11-23T08:00:00Z.") from error
    if moment.tzinfo is None:
        raise InputError(f"{moment.isoformat()} has no time zone", hint="Write it as 2026-11-23T08:00:00Z.")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    if delta.days < 0:
        raise InputError(
            f"{moment.isoformat()} is not between the years 1970 and 9999", hint="Write it as 2026-11-23T08:00:00Z."
        )
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Emitter:
    """One emitter instance: numbers what it emits from 1 without gaps; new after a fork.

    A number is used up only once its event was recorded, or may have been: one that comes back is given out again.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """See `forks.Renewed`: a child has its own id and numbers."""
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self.id = str(uuid4())
        self._last = 0
        self._free: list[int] = []  # a heap of numbers below the last that came back

    def take(self) -> tuple[str, int]:
        """Take the next number; whoever does not use it up must `release` it.

        Returns:
            Emitter id and number.
        """
        with self._lock:
            number = heapq.heappop(self._free) if self._free else self._last + 1
            self._last = max(self._last, number)
            return self.id, number

    @property
    def last(self) -> int:
        """The highest number given out, 0 when none was."""
        with self._lock:
            return self._last

    def end(self) -> tuple[str, int, int]:
        """Take the last number of this emitter; the next one is given out by another, with an id of its own.

        Returns:
            Emitter id, number, and the highest number given out.
        """
        with self._lock:
            number = heapq.heappop(self._free) if self._free else self._last + 1
            ended = self.id, number, max(self._last, number)
            self._begin()
            return ended

    def give_up(self) -> int | None:
        """A number below the last that came back and will not be used, None when at most one is left to be used."""
        with self._lock:
            if len(self._free) < 2:
                return None
            self._free.sort()  # which is a heap too
            return self._free.pop()

    @property
    def came_back(self) -> bool:
        """Whether a number below the last was given back and not given out again."""
        with self._lock:
            return bool(self._free)

    def release(self, emitter: str, number: int) -> None:
        """Give a number back whose event was certainly not recorded."""
        with self._lock:
            if emitter != self.id:
                return  # this process was forked meanwhile
            if number == self._last:
                self._last -= 1
            else:
                heapq.heappush(self._free, number)


def build_payload(
    *,
    ledgerid: str,
    actor: str,
    type: str,
    subject: str,
    data: Mapping[str, Any],
    emitter: str,
    sequence: int,
    occurred_at: Moment = None,
    on_behalf_of: str | None = None,
    correlation: str | None = None,
    causation: str | None = None,
    strength: str = "observed",
    event_id: str | None = None,
) -> tuple[bytes, Payload]:
    """Build and check a payload for one of the catalogue's types.

    Args:
        ledgerid: ledger it belongs to.
        actor: author.
        type: short name or full topic.
        subject: what it is about.
        data: the body.
        emitter: emitter id.
        sequence: emitter's number.
        occurred_at: when it happened, now when None.
        on_behalf_of: actor it was done for.
        correlation: id that ties an undertaking together.
        causation: event id that caused it.
        strength: how the author knows, see `payload.EVIDENCE_STRENGTHS`.
        event_id: a UUID to use again for a retry; a new one when None.

    Returns:
        The bytes to sign and the same parsed.

    Raises:
        InputError: unknown type or malformed values.
    """
    kind = find_event_type(type)
    payload = Payload(
        id=event_id or uuid7(),
        actor=actor,
        type=kind.topic,
        subject=subject,
        occurred_at=microseconds(occurred_at),
        ledgerid=ledgerid,
        emitter=emitter,
        sequence=sequence,
        on_behalf_of=on_behalf_of,
        correlationid=correlation,
        causationid=causation,
        evidence=strength,
        data=data,
    )
    encoded = format_payload(payload, secrets.token_hex(16))
    return encoded, parse_payload(encoded)  # what is judged is what was signed
