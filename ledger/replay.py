"""From stored rows back to judged events: the one way in which append, projections and verify read history.

A row counts only after its bytes were checked: digests, header against signed payload, signatures
under keys valid at its index, and `judge`. What fails is void: it changes no state.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from ledger.domain import RecordedEvent, State, Verdict, World, evolve, judge, make_event, signing_keys
from ledger.domain.decisions import marks_of
from ledger.domain.states import ActorState
from ledger.envelope import MAX_PAYLOAD, Envelope, join_envelope, parse_signatures, verify_envelope
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.merkle import CompactRange, peaks_of
from ledger.payload import Payload, parse_payload
from ledger.stored import Fields, LogReader, Row, TreeReader

__all__ = [
    "ContentError",
    "Judged",
    "StoreWorld",
    "WorldAt",
    "content_of",
    "judge_row",
    "open_fields",
    "open_row",
]

_JUDGED_CACHE = 8192
_CLOCK_TOLERANCE = 5_000_000  # microseconds an author's clock may run ahead without remark
_HEADER_NAMES = ("actor", "emitter", "id", "item", "keys", "ledgerid", "sequence", "stream", "subject", "type")
_HEADER = attrgetter(*_HEADER_NAMES)
_AUTHORITY_KINDS = ("ledger:", "actor:")


class ContentError(VerificationError):
    """The stored content is not what the entry commits to: altered since, not merely illegal."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row and what became of it; ``event`` is None when its bytes could not even be read."""

    row: Row
    event: RecordedEvent | None
    verdict: Verdict


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


def content_of(row: Row) -> Envelope:
    """Check a row's content against the digests in its header.

    Raises:
        ContentError: it is not what was recorded.
    """
    return _content(row.entry.index, row.payload, row.signatures, (row.entry.payload, row.entry.envelope))


def _typed(index: int, envelope: Envelope, header: tuple[object, ...]) -> RecordedEvent:
    """The event of an envelope, when its header says what was signed."""
    try:
        event = make_event(index, parse_payload(envelope.payload), tuple([s.keyid for s in envelope.signatures]))
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
    return _typed(row.entry.index, envelope, _HEADER(row.entry)), envelope


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
    return _typed(position - 1, opened, header), opened


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


@dataclass(slots=True)
class _Fold:
    """States of one stream after each of its entries, as far as they were fetched."""

    fetched: int = 0  # rows with index below this are known
    pending: list[Row] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)  # a state changed after this index
    states: list[State | None] = field(default_factory=list)
    revisions: list[tuple[int, int]] = field(default_factory=list)  # (index, revision) of every row, void or not


def _time_marks(row: Row, event: RecordedEvent) -> tuple[str, ...]:
    """Nothing is recorded before it happened; a claim that says so is shown with a mark."""
    ahead = event.payload.occurred_at - row.entry.recorded_at
    return ("future-dated",) if ahead > _CLOCK_TOLERANCE else ()


class StoreWorld:
    """Worlds at any index, folded on demand from a store.

    Nothing stored is believed: each row on the way is checked and judged at its own index. A stream
    is only ever folded up to the index asked for, so the recursion between streams ends.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self.ledgerid = log.identity().ledgerid
        self._folds: dict[str, _Fold] = {}
        self._judged: OrderedDict[int, Judged] = OrderedDict()
        self._head = log.head()

    def refresh(self) -> int:
        """Read the head again and return the size up to which the log may now be judged."""
        self._head = self._log.head()
        return self._head.size

    @property
    def authority(self) -> int:
        """Index of the last change of keys, actors or rules, as of the last refresh."""
        return self._head.authority

    def at(self, index: int, pending: Sequence[RecordedEvent] = ()) -> WorldAt:
        """The world just before ``index``, and after ``pending`` events that are about to follow it."""
        return WorldAt(self, index, pending)

    def judge_row(self, row: Row) -> Judged:
        """Judge a stored row at its own index."""
        index = row.entry.index
        known = self._judged.get(index)
        if known is not None and known.row == row:
            return known
        judged = judge_row(self.at(index), row)
        self._judged[index] = judged
        if len(self._judged) > _JUDGED_CACHE:
            self._judged.popitem(last=False)
        return judged

    def _fetch(self, stream: str, fold: _Fold, index: int) -> None:
        if fold.fetched >= index:
            return
        size = max(self._head.size, index)
        unchanged = stream.startswith(_AUTHORITY_KINDS) and fold.fetched > self._head.authority
        if not unchanged or fold.fetched == 0:
            known = fold.revisions[-1][1] if fold.revisions else 0
            rows = self._log.stream_rows(stream, fold.fetched, size, known)
            fold.pending.extend(rows)
            fold.revisions.extend((row.entry.index, row.entry.revision) for row in rows)
        fold.fetched = size

    def fold_before(self, stream: str, index: int) -> _Fold:
        """The fold of a stream, advanced so that every row below ``index`` is in it."""
        fold = self._folds.setdefault(stream, _Fold())
        self._fetch(stream, fold, index)
        while fold.pending and fold.pending[0].entry.index < index:
            judged = self.judge_row(fold.pending[0])
            fold.pending.pop(0)
            if judged.event is not None and judged.verdict.kind == "valid":
                before = fold.states[-1] if fold.states else None
                fold.indexes.append(judged.event.index)
                fold.states.append(evolve(before, judged.event))
        return fold

    def state_before(self, stream: str, index: int) -> State | None:
        """State of a stream just before ``index``."""
        fold = self.fold_before(stream, index)
        place = bisect_left(fold.indexes, index)
        return fold.states[place - 1] if place else None

    def revision_before(self, stream: str, index: int) -> int:
        """Revision of the last row of a stream before ``index``, 0 when there is none."""
        fold = self.fold_before(stream, index)
        place = bisect_left(fold.revisions, (index, -1))
        return fold.revisions[place - 1][1] if place else 0

    def key_holder_before(self, keyid: str, index: int) -> str | None:
        """Actor for whom a key was enrolled before ``index``."""
        for stream in self._log.authority_streams():
            state = self.state_before(stream, index)
            if isinstance(state, ActorState) and keyid in state.keys:
                return state.actor
        return None

    def leaf_hash(self, index: int) -> bytes | None:
        """Leaf hash of an entry as stored."""
        found = self._log.leaf_hashes(index, index + 1)
        return found[0] if found else None

    def root_hash(self, size: int) -> bytes | None:
        """Root of the first ``size`` entries from stored tiles and leaf hashes."""
        if not 0 < size <= self._head.size:
            return None
        try:
            return CompactRange(size, tuple(TreeReader(self._log).read_hashes(peaks_of(size)))).root()
        except (LookupError, InputError):  # the store lost a hash, or holds one of another length
            return None


class WorldAt:
    """`World` just before one index; notes which streams were read, for the check under the lock.

    Args:
        store: the folds.
        index: log size of the world.
        pending: valid events that are about to follow, in order; they count already.
    """

    def __init__(self, store: StoreWorld, index: int, pending: Sequence[RecordedEvent] = ()) -> None:
        self._store = store
        self._pending = tuple(pending)
        self.index = index
        self.ledgerid = store.ledgerid
        self.reads: dict[str, int] = {}

    def state(self, stream: str) -> State | None:
        """See `World.state`."""
        state = self._store.state_before(stream, self.index)
        if not stream.startswith(_AUTHORITY_KINDS):
            self.reads[stream] = self._store.revision_before(stream, self.index)
        for event in self._pending:
            if event.stream == stream:
                state = evolve(state, event)
        return state

    def key_holder(self, keyid: str) -> str | None:
        """See `World.key_holder`."""
        for event in self._pending:
            state = self.state(event.stream)
            if isinstance(state, ActorState) and keyid in state.keys:
                return state.actor
        return self._store.key_holder_before(keyid, self.index)

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return self._store.leaf_hash(index) if index < self.index else None

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        return self._store.root_hash(size) if size <= self.index else None
