"""What is appended, all or nothing, and why not: units, where they stand, and what is found in their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.entry import format_time
from ledger.errors import ConflictError
from ledger.mapper import SignedStoredEvent

__all__ = [
    "Found",
    "StaleReadError",
    "StoredAt",
    "Unit",
    "check_repeats",
    "id_taken",
    "names_of",
    "number_taken",
    "separate",
]


class StaleReadError(ConflictError):
    """What the unit was judged under has changed: judge again.

    Args:
        message: what changed.
        stream: the stream that moved on; None when it was keys, roles or rules.
        hint: the next thing to do.
        recorded_at: time before which nothing can be recorded now, microseconds since the Unix epoch; 0 when unknown.
    """

    def __init__(self, message: str, *, stream: str | None = None, hint: str = "", recorded_at: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.stream = stream
        self.recorded_at = recorded_at

    @classmethod
    def moved(cls, stream: str, judged: int, found: int) -> StaleReadError:
        """A stream moved on."""
        return cls(
            f"{stream} moved on: it was judged at revision {judged} and is now at {found}",
            stream=stream,
            hint=f"Look again (muniment log {stream}), then decide again.",
        )

    @classmethod
    def authority_moved(cls) -> StaleReadError:
        """Keys, roles or rules changed."""
        return cls("keys, roles or rules changed since this was judged", hint="Try again.")

    @classmethod
    def expired(cls, until: int) -> StaleReadError:
        """A role that it rested on has come to its end; ``until`` in microseconds since the Unix epoch."""
        return cls(f"a role that this rests on ended at {format_time(until)}", hint="Try again.", recorded_at=until)

    @classmethod
    def key_ended(cls, stop: int) -> StaleReadError:
        """A key that signed it has come to its end; ``stop`` is the first index behind."""
        return cls(f"others were recorded first, and a key that signed this may sign until index {stop}")

    @classmethod
    def partly_recorded(cls) -> StaleReadError:
        """Another process recorded some of the events meanwhile."""
        return cls("a part of this was recorded meanwhile, so the rest was judged at another place")


def id_taken(event_id: str, index: int | None) -> ConflictError:
    """An author's id stands for other content already."""
    where = "" if index is None else f" at index {index}"
    return ConflictError(
        f"the id {event_id} is already recorded{where} with other content",
        hint="Give a new event a new id; a retry must send the same bytes.",
    )


def number_taken(emitter: str, sequence: int) -> ConflictError:
    """An emitter used a number before."""
    return ConflictError(
        f"emitter {emitter} has already used sequence number {sequence}",
        hint="A restarted emitter takes a new emitter id.",
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """Events that are appended together or not at all.

    Attributes:
        events: one or more signed events.
        reads: revision of each stream the judgement rested on.
        authority: index of the last authority change it was judged under; None skips the check.
        until: time before which it must be recorded, because what it was judged under ends then; None for no end.
        stop: index below which its last event must be recorded, because a key that signed one of them ends; None for
            no end.
        fixed: take each event's own ``originator_version`` as its revision instead of the next one.
    """

    events: tuple[SignedStoredEvent, ...]
    reads: Mapping[str, int] = field(default_factory=dict)
    authority: int | None = None
    until: int | None = None
    stop: int | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class StoredAt:
    """Where an event stands.

    Attributes:
        index: leaf index.
        leaf_hash: 32 bytes.
        stream: its stream.
        revision: its place in the stream.
        recorded_at: microseconds since the Unix epoch.
        existing: True when it had been recorded before.
    """

    index: int
    leaf_hash: bytes
    stream: str
    revision: int
    recorded_at: int
    existing: bool


class Found(NamedTuple):
    """What the log holds of the names of an event about to be appended.

    Attributes:
        position: position of its author's event id, None when that is new.
        sequence_taken: whether its emitter used its number before.
        revision: last revision of its stream, None when that is empty.
    """

    position: int | None
    sequence_taken: bool
    revision: int | None


def names_of(event: SignedStoredEvent) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What may stand only once in a log: an author's id, and an emitter's number."""
    return ("id", event.id, event.actor), ("number", event.emitter, str(event.sequence), event.actor)


def check_repeats(unit: Unit) -> None:
    """Refuse a unit that holds an id or a number twice.

    Raises:
        ConflictError: it does.
    """
    seen: set[tuple[str, ...]] = set()
    for event in unit.events if len(unit.events) > 1 else ():
        for name in names_of(event):
            if name in seen:
                raise ConflictError(f"the batch holds event {event.id} or its sequence number twice")
            seen.add(name)


def separate(units: Sequence[Unit]) -> list[list[Unit]]:
    """Split units into runs in which no name of an event appears twice, because names are looked up once a run.

    Args:
        units: in order.
    """
    if len(units) == 1:
        return [[*units]]
    runs: list[list[Unit]] = []
    taken: set[tuple[str, ...]] = set()
    for unit in units:
        names = {name for event in unit.events for name in names_of(event)}
        if not runs or unit.fixed or runs[-1][-1].fixed or not taken.isdisjoint(names):
            runs.append([])
            taken.clear()
        taken |= names
        runs[-1].append(unit)
    return runs
