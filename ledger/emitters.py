"""What emitters said of their numbers, and what of these is in the log: missing, declared, late, overdue, closed.

Nothing here is a fault: an emitter that says two things, or goes on after its end, is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ledger.domain.recorded import RecordedEvent
from ledger.errors import ConflictError
from ledger.events.emitters import EmitterClosed, EmitterHeartbeat, GapDeclared
from ledger.replay import Judged
from ledger.stored import EmitterReader, Row

__all__ = ["Closing", "Declared", "EmitterReport", "Heartbeat", "check_said", "survey"]

#: Ranges of missing numbers that are told of one emitter.
_RANGES = 10
#: Declared gaps that are looked at of one emitter, the first ones; and other things it said, until one is valid.
_DECLARED, _TRIES = 1000, 100


@dataclass(frozen=True, slots=True)
class Closing:
    """That an emitter gave out its last number, by an entry at ``index``."""

    index: int
    last: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What an emitter said last of being alive.

    Attributes:
        index: of the entry.
        last: the highest number it had given out.
        interval: seconds within which it wanted to be heard of again.
        heard: when the last event of this emitter was recorded, microseconds since the Unix epoch.
    """

    index: int
    last: int
    interval: int
    heard: int

    def overdue(self, now: int) -> int:
        """How many whole intervals have passed since it was heard of, 0 when it need not have been heard of again.

        Args:
            now: microseconds since the Unix epoch.
        """
        return max(now - self.heard, 0) // (self.interval * 1_000_000)


@dataclass(frozen=True, slots=True)
class Declared:
    """Numbers that somebody said will not come.

    Attributes:
        index: of the entry.
        by: its author.
        first, last: the numbers, both ends included.
        absent: how many of them are not in the log.
        reason: why, as its author put it.
    """

    index: int
    by: str
    first: int
    last: int
    absent: int
    reason: str


@dataclass(frozen=True, slots=True)
class EmitterReport:
    """The numbers of one emitter.

    Attributes:
        actor, emitter: whose.
        highest: the highest number that is known to have been given out.
        missing: how many up to there are not in the log, and nobody said why.
        ranges: the first of these, both ends included.
        declared: gaps that somebody declared, those of which something is not in the log.
        late: how many of its events were recorded before the one numbered before them; legal.
        closed: that it gave out its last number.
        after_close: how many of its events have a number beyond that.
        heartbeat: the last sign that it gave of itself; None once it closed.
    """

    actor: str
    emitter: str
    highest: int
    missing: int
    ranges: tuple[tuple[int, int], ...]
    declared: tuple[Declared, ...]
    late: int
    closed: Closing | None
    after_close: int
    heartbeat: Heartbeat | None


@dataclass(slots=True)
class _Said:
    """What was said of one emitter by valid entries."""

    closed: Closing | None = None
    heartbeat: RecordedEvent | None = None
    gaps: list[RecordedEvent] = field(default_factory=list)


def survey(
    log: EmitterReader, judge: Callable[[Row], Judged] | None, holed: Iterable[tuple[str, str]], after: int = 0
) -> list[EmitterReport]:
    """Look at all emitters of which there is something to tell.

    Args:
        log: the store.
        judge: judges a row; None to leave out what emitters said.
        holed: actor and emitter of those between whose numbers in the log some are missing.
        after: only emitters that entries with index >= ``after`` are from or about.

    Returns:
        Those that said something, or some of whose numbers are missing or late, by name.
    """
    said = {} if judge is None else _heard(log, judge, log.emitter_streams(after))
    late = {(actor, emitter): count for actor, emitter, count in log.overtaken(after)}
    pairs = sorted({*said, *late, *holed})
    return [_report(log, pair, said.get(pair, _Said()), late.get(pair, 0)) for pair in pairs]


def check_said(
    log: EmitterReader,
    judge: Callable[[Row], Judged],
    pair: tuple[str, str],
    type: str,
    last: int,
    *,
    first: int = 0,
) -> None:
    """Refuse what somebody is about to say of an emitter when the log already says otherwise.

    Args:
        log: the store.
        judge: judges a row.
        pair: actor and emitter.
        type: ``emitter.closed``, ``emitter.heartbeat`` or ``gap.declared``.
        last: the body's.
        first: the body's, of a gap.

    Raises:
        ConflictError: the emitter was closed at another number, or numbers are known that contradict it.
    """
    said = _heard(log, judge, [f"emitter:{pair[1]}"]).get(pair, _Said())
    known = _report(log, pair, said, 0)
    closed = known.closed
    over = {"emitter.closed": closed and last != closed.last, "gap.declared": last > known.highest}.get(type, True)
    if closed is not None and over:
        raise ConflictError(
            f"the emitter called {closed.last} its last number in entry {closed.index}, and what was said first stands",
            hint="See muniment emitter list",
        )
    given = max(log.numbers(*pair, 1, None)[1], 0 if known.heartbeat is None else known.heartbeat.last)
    if type == "emitter.closed" and closed is None and last < given:  # whatever others declared to be missing
        raise ConflictError(
            f"number {given} of this emitter is known, so {last} is not its last",
            hint="See which numbers it gave out: muniment emitter list",
        )
    if 0 < first <= last and log.numbers(*pair, first, last)[0] == last - first + 1:
        numbers = f"number {first} is" if first == last else f"the numbers {first} to {last} are"
        raise ConflictError(f"{numbers} in the log: nothing is missing there", hint="See muniment emitter list")


def _heard(
    log: EmitterReader, judge: Callable[[Row], Judged], streams: Iterable[str]
) -> dict[tuple[str, str], _Said]:  # fmt: skip
    found: dict[tuple[str, str], _Said] = {}
    for stream in streams:
        emitter = stream.partition(":")[2]
        # What was said first of the end stands: it cannot be taken back. Of being alive the last word counts.
        for event in _valid(log, judge, stream, EmitterClosed, newest=False):
            one = found.setdefault((event.actor, emitter), _Said())
            one.closed = one.closed or Closing(event.index, _last(event))
        for event in _valid(log, judge, stream, EmitterHeartbeat, newest=True):
            one = found.setdefault((event.actor, emitter), _Said())
            one.heartbeat = one.heartbeat or event
        for event in _valid(log, judge, stream, GapDeclared, newest=False):
            if isinstance(event.body, GapDeclared):
                found.setdefault((event.body.actor or event.actor, emitter), _Said()).gaps.append(event)
    return found


def _valid(
    log: EmitterReader, judge: Callable[[Row], Judged], stream: str,
    kind: type[EmitterClosed | EmitterHeartbeat | GapDeclared], *, newest: bool,
) -> Iterator[RecordedEvent]:  # fmt: skip
    limit = _DECLARED if kind is GapDeclared else _TRIES
    for row in log.emitter_rows(stream, kind.TOPIC, limit, newest=newest):
        judged = judge(row)
        if judged.verdict.kind == "valid" and judged.event is not None:
            yield judged.event


def _last(event: RecordedEvent) -> int:
    body = event.body
    return body.last if isinstance(body, EmitterClosed | EmitterHeartbeat | GapDeclared) else 0


def _report(log: EmitterReader, pair: tuple[str, str], said: _Said, late: int) -> EmitterReport:
    actor, emitter = pair
    present, top, heard = log.numbers(actor, emitter, 1, None)
    beat, closed = said.heartbeat, said.closed
    spoken = [_last(event) for event in (beat, *said.gaps) if event is not None]
    highest = max([top, 0 if closed is None else closed.last, *spoken])
    merged = _merge((body.first, body.last) for event in said.gaps if isinstance(body := event.body, GapDeclared))
    excused = sum(last - first + 1 - log.numbers(actor, emitter, first, last)[0] for first, last in merged)
    missing = highest - present - excused
    alive = None
    if beat is not None and closed is None and isinstance(beat.body, EmitterHeartbeat):
        alive = Heartbeat(beat.index, beat.body.last, beat.body.interval, max(heard, beat.recorded_at))
    return EmitterReport(
        actor, emitter, highest, missing,
        tuple(_ranges(log, pair, _between(merged, highest))) if missing else (),
        tuple(_declared(log, pair, said.gaps)), late, closed,
        0 if closed is None else log.numbers(actor, emitter, closed.last + 1, None)[0], alive,
    )  # fmt: skip


def _declared(log: EmitterReader, pair: tuple[str, str], gaps: Sequence[RecordedEvent]) -> Iterator[Declared]:
    for event in gaps:
        body = event.body
        if not isinstance(body, GapDeclared):
            continue
        absent = body.last - body.first + 1 - log.numbers(*pair, body.first, body.last)[0]
        if absent:
            yield Declared(event.index, event.actor, body.first, body.last, absent, body.reason)


def _merge(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers as ascending ranges that neither touch nor overlap."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _between(ranges: Sequence[tuple[int, int]], highest: int) -> Iterator[tuple[int, int]]:
    """The numbers from 1 to the highest that are in none of these ranges."""
    start = 1
    for first, last in ranges:
        if start < first:
            yield start, first - 1
        start = last + 1
    if start <= highest:
        yield start, highest


def _ranges(
    log: EmitterReader, pair: tuple[str, str], spans: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:  # fmt: skip
    left = _RANGES
    for first, last in spans:
        for hole in log.gap_ranges(*pair, first, last, left):
            left -= 1
            yield hole
        if left <= 0:
            return
