"""Worlds at any index, folded on demand from a store: what append, projections and reports judge and read by.

Nothing stored is believed: each row on the way is checked and judged at its own index (`replay.judge_row`), and only
a valid one changes a state. What this process appended itself is told with `StoreWorld.follow` and not read again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from ledger.domain import RecordedEvent, State, evolve
from ledger.domain.actors import ActorState
from ledger.domain.erasure import Withheld, withheld_by
from ledger.domain.judge import Verdict
from ledger.domain.ledgerstate import LedgerState
from ledger.entry import entry_hash
from ledger.errors import InputError
from ledger.events.actors import ActorEnrolled, KeyEnrolled
from ledger.events.keyring import KeyRotated, RoleGranted
from ledger.events.quarantine import QuarantinePlaced
from ledger.keys import parse_public_key
from ledger.merkle import CompactRange, peaks_of
from ledger.replay import Judged, judge_row, may_be_withheld
from ledger.stored import LogReader, Row
from ledger.treereader import KeepingTreeReader

__all__ = ["StoreWorld", "WorldAt"]

_JUDGED_CACHE = 8192
#: Past states kept of each stream, and how many more may gather before the oldest are dropped.
_PAST = 256
_AUTHORITY_KINDS = ("ledger:", "actor:")


@dataclass(slots=True)
class _Fold:
    """States of one stream after each of its entries, as far as they were fetched; the oldest may be gone."""

    fetched: int = -1  # rows with index below this are known; -1 before the first look
    pending: deque[Row] = field(default_factory=deque)
    indexes: list[int] = field(default_factory=list)  # a state changed after this index
    states: list[State | None] = field(default_factory=list)
    revisions: list[tuple[int, int]] = field(default_factory=list)  # (index, revision) of every row, void or not
    floor: int = 0  # questions about indexes below this are answered by folding anew

    def state(self) -> State | None:
        """The last state."""
        return self.states[-1] if self.states else None

    def apply(self, event: RecordedEvent) -> None:
        """Add the state after a valid event."""
        self.states.append(evolve(self.state(), event))
        self.indexes.append(event.index)

    def trim(self) -> None:
        """Drop the oldest when there are too many, so that a long stream does not fill the memory."""
        if self.pending or len(self.revisions) <= 2 * _PAST:
            return
        del self.revisions[:-_PAST]
        self.floor = self.revisions[0][0] + 1
        place = max(bisect_left(self.indexes, self.floor) - 1, 0)  # the state that holds at the floor is needed
        del self.indexes[:place], self.states[:place]


class StoreWorld:
    """Worlds at any index, folded on demand from a store.

    A stream is only ever folded up to the index asked for, so the recursion between streams ends.

    Args:
        log: the store.

    Attributes:
        ledgerid: 32 hex digits.
        size: entries up to which the log may be judged, as of the last `refresh` or `follow`.
        authority: index of the last change of keys, actors, rules or quarantines, as of then.
        recorded_at: of the last entry, as of then, microseconds since the Unix epoch; nothing is recorded before it.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self.ledgerid = log.identity().ledgerid
        self._folds: dict[str, _Fold] = {}
        self._judged: OrderedDict[int, Judged] = OrderedDict()
        head = log.head()
        self.size, self.authority, self.recorded_at = head.size, head.authority, head.recorded_at
        # Every row with an index in [from, to) was followed: a fold that is complete to the first is so to the second.
        self._followed = (head.size, head.size)
        self._holders: dict[str, tuple[int, str]] = {}  # key id: (index of its first valid enrolment, actor)
        self._admins: dict[str, int] = {}  # actor: index of the entry that first made it an admin
        self._holders_to = 0
        self._quarantined: dict[str, int] = {}  # stream: index of its first quarantine, valid or not
        self._quarantined_to = 0
        self._tree = KeepingTreeReader(log)

    def refresh(self) -> int:
        """Read the head again and return the size up to which the log may now be judged."""
        head = self._log.head()
        if head.size < self.size:
            self.forget()
        self.size, self.authority, self.recorded_at = head.size, head.authority, head.recorded_at
        if head.size != self._followed[1]:
            self._followed = (head.size, head.size)
        return head.size

    def forget(self) -> None:
        """Forget all that was read: the store is perhaps another one now, after a failover that lost entries."""
        self._folds.clear()
        self._judged.clear()
        self._holders.clear()
        self._admins.clear()
        self._holders_to = 0
        self._quarantined.clear()
        self._quarantined_to = 0
        self._tree = KeepingTreeReader(self._log)
        self._followed = (self.size, self.size)

    def at(self, index: int) -> WorldAt:
        """The world just before ``index``."""
        return WorldAt(self, index)

    def follow(self, event: RecordedEvent, index: int, revision: int, recorded_at: int) -> None:
        """Take an event that this process has just appended, judged valid, without reading it again.

        Args:
            event: the event, whatever index it was judged at.
            index: where it stands.
            revision: its place in its stream.
            recorded_at: when it was recorded.
        """
        if index < self.size:
            return  # it was read meanwhile
        self.recorded_at = max(self.recorded_at, recorded_at)
        if index > self._followed[1]:
            self._followed = (index, index)  # others appended in between: streams must be read up to here
        fold = self._folds.get(event.stream)
        if fold is not None and fold.fetched >= self._followed[0]:
            self._drain(fold, event.stream, index)
            fold.apply(replace(event, index=index, recorded_at=recorded_at))
            fold.revisions.append((index, revision))
            fold.fetched = index + 1
        self._followed = (self._followed[0], index + 1)
        self.size = index + 1
        if event.kind is not None and event.kind.bears_on_all:
            self.authority = index

    def judge_row(self, row: Row) -> Judged:
        """Judge a stored row at its own index."""
        index = row.entry.index
        known = self._judged.get(index)
        if known is not None and known.row == row:
            return known
        if may_be_withheld(row) and (found := self.withheld(row)) is not None:
            judged = Judged(row, None, Verdict("withheld"), found)
        else:
            judged = judge_row(self.at(index), row)
        self._judged[index] = judged
        if len(self._judged) > _JUDGED_CACHE:
            self._judged.popitem(last=False)
        return judged

    def withheld(self, row: Row) -> Withheld | None:
        """The record that excuses the missing content of a row, None when none does or its columns are not good."""
        try:
            good = entry_hash(row.entry) == row.leaf_hash
        except InputError:
            return None
        # Content goes only after its record was committed, so the record is in the log as it is now.
        state = self.state_before(f"ledger:{self.ledgerid}", self._log.head().size) if good else None
        return withheld_by(state, row.entry) if isinstance(state, LedgerState) else None

    def _fetch(self, stream: str, fold: _Fold, index: int) -> None:
        start, end = self._followed
        if start <= fold.fetched < end:
            fold.fetched = end
        if fold.fetched >= index:
            return
        size = max(self.size, index)
        unchanged = stream.startswith(_AUTHORITY_KINDS) and fold.fetched > self.authority
        if not unchanged or fold.fetched < 0:
            known = fold.revisions[-1][1] if fold.revisions else 0
            rows = self._log.stream_rows(stream, max(fold.fetched, 0), size, known)
            fold.pending.extend(rows)
            fold.revisions.extend((row.entry.index, row.entry.revision) for row in rows)
        fold.fetched = size

    def _drain(self, fold: _Fold, stream: str, index: int) -> None:
        self._fetch(stream, fold, index)
        while fold.pending and fold.pending[0].entry.index < index:
            judged = self.judge_row(fold.pending[0])  # which may ask for this very stream, up to there
            fold.pending.popleft()
            if judged.event is not None and judged.verdict.kind == "valid":
                fold.apply(judged.event)
        fold.trim()

    def _fold_before(self, stream: str, index: int) -> _Fold:
        """The fold of a stream, advanced so that every row below ``index`` is in it."""
        fold = self._folds.setdefault(stream, _Fold())
        if index < fold.floor:
            fold = self._folds[stream] = _Fold()  # a rare look far back
        self._drain(fold, stream, index)
        return fold

    def state_before(self, stream: str, index: int) -> State | None:
        """State of a stream just before ``index``."""
        fold = self._fold_before(stream, index)
        place = bisect_left(fold.indexes, index)
        return fold.states[place - 1] if place else None

    def revision_before(self, stream: str, index: int) -> int:
        """Revision of the last row of a stream before ``index``, 0 when there is none."""
        fold = self._fold_before(stream, index)
        place = bisect_left(fold.revisions, (index, -1))
        return fold.revisions[place - 1][1] if place else 0

    def key_holder_before(self, keyid: str, index: int) -> str | None:
        """Actor for whom a key was enrolled before ``index``."""
        self._read_authority(index)
        enrolled, actor = self._holders.get(keyid, (index, None))
        return actor if enrolled < index else None

    def admins_before(self, index: int) -> frozenset[str]:
        """Actors who had the role admin at some time before ``index``."""
        self._read_authority(index)
        return frozenset(actor for actor, since in self._admins.items() if since < index)

    def quarantined_before(self, index: int) -> tuple[str, ...]:
        """Streams in which a quarantine was recorded before ``index``, valid or not."""
        if self._quarantined_to < index:
            for position, stream in self._log.quarantines(self._quarantined_to, index):
                self._quarantined.setdefault(stream, position)
            self._quarantined_to = index
        return tuple(stream for stream, since in self._quarantined.items() if since < index)

    def _read_authority(self, index: int) -> None:
        if self._holders_to < index:
            for row in self._log.authority_rows(self._holders_to, index):
                self._holders_to = row.entry.index  # judging this row asks for what was enrolled before it
                self._note_authority(self.judge_row(row))
            self._holders_to = index

    def _note_authority(self, judged: Judged) -> None:
        event = judged.event
        if event is None or judged.verdict.kind != "valid":
            return
        actor, body = event.subject.name, event.body
        if isinstance(body, ActorEnrolled | KeyEnrolled | KeyRotated):
            self._holders.setdefault(parse_public_key(body.key).keyid, (event.index, actor))
        made_admin = (isinstance(body, ActorEnrolled) and "admin" in body.roles) or (
            isinstance(body, RoleGranted) and body.role == "admin"
        )
        if made_admin:
            self._admins.setdefault(actor, event.index)

    def leaf_hash(self, index: int) -> bytes | None:
        """Leaf hash of an entry as stored."""
        return next(iter(self._log.leaf_hashes(index, index + 1)), None)

    def root_hash(self, size: int) -> bytes | None:
        """Root of the first ``size`` entries from stored tiles and leaf hashes."""
        if not 0 < size <= self.size:
            return None
        try:
            return CompactRange(size, tuple(self._tree.read_hashes(peaks_of(size)))).root()
        except (LookupError, InputError):  # the store lost a hash, or holds one of another length
            return None


class WorldAt:
    """`World` just before one index; notes which streams were read, for the check under the lock.

    Args:
        store: the folds.
        index: log size of the world.
    """

    def __init__(self, store: StoreWorld, index: int) -> None:
        self._store = store
        self._base = index
        self.index = index
        self.ledgerid = store.ledgerid
        self.reads: dict[str, int] = {}
        self._states: dict[str, State | None] = {}  # of streams that were asked for
        self._ahead: dict[str, list[RecordedEvent]] = {}  # followed, and not asked for since
        self._placed: list[str] = []  # streams of quarantines that were followed

    def follow(self, event: RecordedEvent) -> None:
        """Go on to the world after a valid event that is about to stand at this index."""
        self._ahead.setdefault(event.stream, []).append(event)
        if isinstance(event.body, QuarantinePlaced):
            self._placed.append(event.stream)
        self.index += 1

    def _state(self, stream: str) -> State | None:
        if stream not in self._states:
            self._states[stream] = self._store.state_before(stream, self._base)
        for event in self._ahead.pop(stream, ()):
            self._states[stream] = evolve(self._states[stream], event)
        return self._states[stream]

    def state(self, stream: str) -> State | None:
        """See `World.state`."""
        if stream not in self.reads and not stream.startswith(_AUTHORITY_KINDS):
            self.reads[stream] = self._store.revision_before(stream, self._base)
        return self._state(stream)

    def key_holder(self, keyid: str) -> str | None:
        """See `World.key_holder`."""
        for stream in [*self._states, *self._ahead]:
            state = self._state(stream) if stream.startswith("actor:") else None
            if isinstance(state, ActorState) and keyid in state.keys:
                return state.actor
        return self._store.key_holder_before(keyid, self._base)

    def admins(self) -> frozenset[str]:
        """See `World.admins`."""
        states = [self._state(stream) for stream in [*self._states, *self._ahead] if stream.startswith("actor:")]
        ahead = {state.actor for state in states if isinstance(state, ActorState) and state.is_admin}
        return self._store.admins_before(self._base) | ahead

    def looked_up(self, stream: str) -> State | None:
        """See `World.looked_up`."""
        return self.state(stream)

    def quarantined(self) -> tuple[str, ...]:
        """See `World.quarantined`."""
        return tuple(dict.fromkeys((*self._store.quarantined_before(self._base), *self._placed)))

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return self._store.leaf_hash(index) if index < self._base else None

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        return self._store.root_hash(size) if size <= self._base else None
