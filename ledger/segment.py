"""A stretch of the log checked on its own: everything about its rows that no other row is needed for.

`check_span` is a function of the stored rows, the keys of the ledger and the level, so stretches may be checked
anywhere and in any order: by this process, by others, on other machines. `verify` joins the results in log order and
does what needs the rest of the log. What is odd is not judged here: its rows are handed on as they were read, and
`verify` looks at them one by one.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ledger.domain import RecordedEvent
from ledger.domain.judge import reads_body
from ledger.entry import format_run
from ledger.envelope import Envelope, verify_parsed
from ledger.errors import InputError, LedgerError
from ledger.events import known_event_type
from ledger.events.keyring import KeyRotated, RoleGranted
from ledger.keys import PublicKey, parse_public_key
from ledger.merkle import perfect_root
from ledger.names import Name, format_name, stream_of
from ledger.payload import Payload, parse_payload
from ledger.plainrows import check_plain_rows, digests_fit
from ledger.replay import open_fields
from ledger.stored import AuditReader, Fields, Row, row_of
from ledger.tiles import TILE_WIDTH

__all__ = [
    "LEVELS",
    "Heavy",
    "Segment",
    "Sketch",
    "Span",
    "Task",
    "check_span",
    "check_spans",
    "collect_authority",
    "spans",
]

#: What is checked, from least to most; see `findings.UNCHECKED` for what each leaves out.
LEVELS: Final = ("hash", "checkpoint", "full")

#: First index of a stretch and the index behind its last.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Task:
    """What every stretch of one verification is checked with.

    Attributes:
        ledgerid: of the log.
        level: one of `LEVELS`.
        keys: every key that was ever named in the log, by keyid; which of them may sign where is judged later.
        bounded: actors of whom an event ever said that they have a role within bounds, believed or not: whether such a
            role reaches is judged event by event.
    """

    ledgerid: str
    level: str
    keys: Mapping[str, PublicKey]
    bounded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sketch:
    """All that judging reads of an event whose body it does not read."""

    type: str
    actor: str
    keys: tuple[str, ...]
    on_behalf_of: str | None
    ledgerid: str
    kind: str
    namespaced: bool
    versioned: bool

    def event(self, index: int, recorded_at: int) -> RecordedEvent:
        """An event of this sketch, for judging; what judging does not read is made up."""
        name = Name(self.kind, "x" if self.namespaced else None, "x", "x" if self.versioned else None)
        subject = format_name(name)
        payload = Payload(
            id="", actor=self.actor, type=self.type, subject=subject, occurred_at=0, ledgerid=self.ledgerid, emitter="",
            sequence=0, on_behalf_of=self.on_behalf_of, correlationid=None, causationid=None, evidence="observed",
            data={},
        )  # fmt: skip
        return RecordedEvent(
            index, payload, known_event_type(self.type), None, name, stream_of(subject), self.keys, recorded_at
        )


@dataclass(frozen=True, slots=True)
class Heavy:
    """A row that must be judged with its body, or whose content is odd.

    Attributes:
        row: as it was read.
        good: its content and its signatures' bytes were checked and are good.
        event: the typed event of a good row; not sent to other processes, who read it again from the row.
    """

    row: Row
    good: bool
    event: RecordedEvent | None = None


@dataclass(slots=True)
class Segment:
    """What was found in a stretch.

    Attributes:
        start: index of its first row.
        leaves: leaf hashes, 32 bytes each; each is the one stored and the one its columns give.
        root: root over the leaves, when they are a whole tile.
        prev: what the first row says is the leaf hash before it, hex.
        recorded: `recorded_at` of the first and of the last row.
        sketches: the distinct sketches of its events.
        codes: for each row the place of its sketch, -1 for a heavy one; empty when contents were not judged.
        heavy: heavy rows by their place.
        rows: all rows, when their columns need a closer look; then nothing else is filled in.
    """

    start: int
    leaves: bytes = b""
    root: bytes | None = None
    prev: str = ""
    recorded: tuple[int, int] = (0, 0)
    sketches: list[Sketch] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    heavy: dict[int, Heavy] = field(default_factory=dict)
    rows: list[Row] | None = None

    @property
    def count(self) -> int:
        """Number of rows, when they were not odd."""
        return len(self.leaves) // 32

    def leaf(self, place: int) -> bytes:
        """Leaf hash of a row by its place."""
        return self.leaves[place * 32 : place * 32 + 32]

    def without_events(self) -> Segment:
        """The same for sending: rows in place of typed events."""
        heavy = {place: replace(item, event=None) for place, item in self.heavy.items()}
        return replace(self, heavy=heavy)


def spans(start: int, stop: int) -> Iterator[Span]:
    """Stretches of [start, stop), cut where tiles begin."""
    while start < stop:
        end = min(stop, (start // TILE_WIDTH + 1) * TILE_WIDTH)
        yield start, end
        start = end


def _columns(found: Sequence[Fields], start: int, ledgerid: str) -> list[bytes] | None:
    """Leaf hashes of rows in which nothing is odd, else None."""
    if not found:
        return []
    positions, *columns = itertools.islice(zip(*found, strict=True), 16)
    prevs, times, leaves = columns[12:15]
    written = format_run(columns, start, ledgerid)
    if (
        written is None
        or {*map(type, positions)} != {int}
        or positions != tuple(range(start + 1, start + 1 + len(found)))
        or prevs[1:] != leaves[:-1]
        or any(map(operator.lt, times[1:], times))
    ):
        return None
    sha256 = hashlib.sha256
    hashes = [sha256(b"\x00" + data).digest() for data in written]
    return hashes if hashes == list(leaves) else None


def _open(fields: Fields, ledgerid: str) -> tuple[RecordedEvent, Envelope] | None:
    try:
        return open_fields(fields, ledgerid)
    except LedgerError:
        return None


def _signed(envelope: Envelope, keys: Mapping[str, PublicKey]) -> bool:
    try:
        verify_parsed(envelope, keys)
    except LedgerError:
        return False
    return True


def _sketch(event: RecordedEvent) -> tuple[Any, ...]:
    """The fields of `Sketch`."""
    payload, subject = event.payload, event.subject
    return (
        payload.type, payload.actor, event.keys, payload.on_behalf_of, payload.ledgerid, subject.kind,
        subject.namespace is not None, subject.version is not None,
    )  # fmt: skip


def _check_digests(segment: Segment, found: Sequence[Fields], ledgerid: str) -> None:
    for place, fields in enumerate(found):
        if not digests_fit(fields):
            segment.heavy[place] = Heavy(row_of(fields, ledgerid), good=False)


def _read_contents(segment: Segment, found: Sequence[Fields], task: Task) -> None:
    plain = check_plain_rows(found, task.ledgerid, task.keys, task.bounded)
    opened = {place: _open(fields, task.ledgerid) for place, fields in enumerate(found) if place not in plain}
    # All signatures after one another: the processor keeps the tables of the curve at hand, a tenth of the time.
    good = {place for place, item in opened.items() if item is not None and _signed(item[1], task.keys)}
    places: dict[tuple[Any, ...], int] = {}
    for place, fields in enumerate(found):
        sketch, item = plain.get(place), opened.get(place)
        event = item[0] if item is not None and place in good else None
        if event is not None and event.actor not in task.bounded and not reads_body(event.kind, event.subject.kind):
            sketch = _sketch(event)
        if sketch is None:
            segment.heavy[place] = Heavy(row_of(fields, task.ledgerid), event is not None, event)
            segment.codes.append(-1)
        else:
            segment.codes.append(places.setdefault(sketch, len(places)))
    segment.sketches = [Sketch(*values) for values in places]


def check_spans(log: AuditReader, task: Task, wanted: Iterable[Span]) -> Iterator[Segment]:
    """Read and check stretches of the log, one after another; see `check_span`."""
    ours, theirs = itertools.tee(wanted)
    for span, found in zip(ours, log.spans(theirs, contents=task.level != "checkpoint"), strict=True):
        yield check_span(log, task, span, found)


def check_span(log: AuditReader, task: Task, span: Span, found: Sequence[Fields] | None = None) -> Segment:
    """Check a stretch of the log.

    Args:
        log: the store.
        task: what to check it with.
        span: first index and the index behind the last.
        found: its rows, as `AuditReader.span` gives them; None when they are still to be read.

    Returns:
        What was found; rows that are not there are not in it.

    Raises:
        StorageError: the store failed.
    """
    start, stop = span
    if found is None:
        found = log.span(start, stop, contents=task.level != "checkpoint")
    leaves = _columns(found, start, task.ledgerid)
    if leaves is None:
        if task.level == "checkpoint":
            found = log.span(start, stop, contents=True)
        return Segment(start, rows=[row_of(fields, task.ledgerid) for fields in found])
    segment = Segment(start)
    if not leaves:
        return segment
    segment.leaves = b"".join(leaves)
    segment.root = perfect_root(leaves) if len(leaves) == TILE_WIDTH else None
    segment.prev = found[0][13].hex()
    segment.recorded = found[0][14], found[-1][14]
    if task.level == "full":
        _read_contents(segment, found, task)
    elif task.level == "hash":
        _check_digests(segment, found, task.ledgerid)
    return segment


def _keys_in(data: Mapping[str, Any]) -> Iterator[str]:
    for value in (data.get("key"), *(data.get("roots") or ())):
        if isinstance(value, str):
            yield value


def collect_authority(
    log: AuditReader, ledgerid: str, size: int
) -> tuple[dict[str, PublicKey], frozenset[str], list[int]]:
    """What the events of the ledger and of actors say, believed or not, that a whole verification must know.

    Every key they name, every actor they grant a role, and every index at which a rotated key ends, the last one first.
    A keyid is the hash of its key, so this list needs no trust: a false one only holds keys that nothing was signed
    with, and a signature under a key it lacks is checked by the process that judges.
    """
    keys: dict[str, PublicKey] = {}
    bounded, ends = set[str](), set[int]()
    for stream in (f"ledger:{ledgerid}", *log.authority_streams()):
        for row in log.stream_rows(stream, 0, size):
            if row.entry.type == RoleGranted.TOPIC:
                bounded.add(stream.removeprefix("actor:"))
            with suppress(InputError, TypeError):  # it is void, and said to be where it stands
                data = parse_payload(row.payload or b"").data
                until = data.get("until")
                if row.entry.type == KeyRotated.TOPIC and isinstance(until, int):
                    ends.add(until)
                for text in _keys_in(data):
                    key = parse_public_key(text)
                    keys[key.keyid] = key
    return keys, frozenset(bounded), sorted(ends, reverse=True)
