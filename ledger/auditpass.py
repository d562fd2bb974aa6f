"""One pass over a log: stretches that were checked on their own are joined in log order, odd rows looked at singly.

Two ways lead through a stretch. If nothing about it is odd, `Pass.take` compares its ends with its neighbours, grows
the tree, and judges each event in order, those that differ in nothing judging reads only once. Any row that is odd goes
through `Pass.check_row`, which knows all that can be wrong with one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.auditworld import AuditWorld
from ledger.domain import LedgerState, State, judge
from ledger.entry import ZERO_HASH, entry_hash
from ledger.errors import InputError, StorageError, VerificationError, fault_of
from ledger.findings import Anchor, Finding, LogVerification
from ledger.headcheck import HeadCheck
from ledger.identity import LogKeys
from ledger.logview import LogView
from ledger.merkle import CompactRange
from ledger.replay import ContentError, Judged, content_of, judge_row, may_be_withheld, open_row
from ledger.segment import Heavy, Segment, Sketch, Task, collect_authority
from ledger.since import ChangedError, Since
from ledger.stored import AuditReader, Row
from ledger.tilecheck import TileCheck
from ledger.verdicts import Fault

__all__ = ["Pass"]

_TILE_LEVEL = 8  # a tile is the subtree over 2**8 leaves


class Pass:
    """The state of one pass over the log.

    Args:
        log: the store.
        anchors: heads that somebody outside the store vouches for.
        level: one of `segment.LEVELS`.
        since: what was verified before.

    Raises:
        ChangedError: the store does not hold what was verified before.
    """

    def __init__(self, log: AuditReader, anchors: Sequence[Anchor], level: str, since: Since | None) -> None:
        self.log = log
        self.has_anchors = bool(anchors)
        self.since = since
        self.level = level
        self.identity = log.identity()
        self.head = log.head()
        self.report = LogVerification(self.identity.ledgerid, self.identity.origin, level=level)
        self.view = LogView(log)
        self.tiles = TileCheck(log)
        self.range = CompactRange(0, ())
        self.prev: set[str] = {ZERO_HASH}
        self.last_stored_leaf = bytes.fromhex(ZERO_HASH)
        self.recorded_at = 0
        self.expected = 0
        self.start = 0 if since is None else since.size if since.reread else self._resume(since)
        self.after = self.expected  # entries that are not read at all
        self.counted = log.counts(self.after)
        self.size = self.after + self.counted[0]  # when nothing is missing
        self.world = AuditWorld(
            log, self.identity.ledgerid, self.view, start=self.start, size=self.size,
            datasets=log.recurring_datasets(self.after),
        )  # fmt: skip
        self.heads = HeadCheck(log, self.identity.origin, anchors, self.report, self.start)
        self.late = dict(log.revision_faults(self.after))
        repeated, self.missing = log.sequence_faults(self.after)
        self.repeated = frozenset(repeated)
        self.voids: dict[int, Finding] = {}
        self.absent: dict[int, Row] = {}  # without content, of types that may be withheld; the end tells which were
        self.verdicts: dict[Sketch, str] = {}  # under the actors of the moment
        self.ends: list[int] = []  # indexes from which rotated keys may not sign, the next one last
        self.authority = -1 if since is None else since.authority
        self._named: State | None = None  # the ledger's own, at a level that judges nothing
        self.whole = True  # no row is missing so far, so roots can be compared

    # -- what was verified before -------------------------------------------------------------

    def _resume(self, since: Since) -> int:
        """Go on behind what was verified before without reading it, by stored hashes; `settle` compares the root."""
        row = next(iter(self.log.rows(since.size - 1, 1)), None) if since.size > 0 else None
        self.view.checked = since.size
        if row is None or row.entry.index != since.size - 1 or not _hash_fits(row):
            raise ChangedError
        grown = self.view.grown(since.size)
        if grown is None:
            raise ChangedError
        self.range = grown
        self.tiles.resume(since.size)
        self.last_stored_leaf = row.leaf_hash
        self.prev = {row.leaf_hash.hex()}
        self.recorded_at = row.entry.recorded_at
        self.expected = since.size
        return since.size

    def pass_over(self, segment: Segment) -> None:
        """Take a stretch that was judged before: it must be in order to the last byte."""
        for item in segment.heavy.values():  # erased since, perhaps: that needs no judging again
            if not may_be_withheld(item.row):
                raise ChangedError
            self.absent[item.row.entry.index] = item.row
        if segment.rows is not None or not segment.leaves:
            raise ChangedError
        self._join(segment)
        self._grow(segment)
        if self.report.findings:
            raise ChangedError

    def settle(self) -> None:
        """End what was verified before: it must have led to the same root and the same signed heads."""
        since = self.since
        if since is None or self.expected != since.size or self.range.root() != since.root:
            raise ChangedError
        if since.reread and self.heads.digest(since.size) != since.heads:
            raise ChangedError
        self.report.verified_from = since.size
        self.report.earlier = "hashed" if since.reread else "not read"
        self.report.signed_root, self.report.heads = since.root, since.heads
        self.heads.compare_before(since.size, self._root_before)

    def check_kept(self, since: Since) -> None:
        """Note when signed heads of an earlier verification are gone or others now, over entries that are the same.

        Every head is good by itself then, or a finding of its own says why not.
        """
        named = any(finding.fault is Fault.CHECKPOINT for finding in self.report.findings)
        if named or self.heads.digest(since.size) == since.heads:
            return
        if self.view.root_hash(since.size) == since.root:
            words = f"signed heads of at most size {since.size} that the last verification saw are gone, or others now"
            self.add(Fault.CHECKPOINT, None, words)

    def _root_before(self, size: int) -> bytes:
        """Root of a size before the start, empty when the store does not prove that it leads to what was verified."""
        root = self.view.root_hash(size)
        return root if root is not None and self.view.extends(size, self.start) else b""

    def task(self, *, judged: bool) -> Task:
        """What stretches of this log are checked with.

        Args:
            judged: they were judged before.
        """
        ledgerid = self.identity.ledgerid
        if judged:
            return Task(ledgerid, "hash", {})
        if self.level != "full":
            return Task(ledgerid, self.level, {})
        keys, bounded, self.ends = collect_authority(self.log, ledgerid, self.size)
        return Task(ledgerid, self.level, keys, bounded)

    def ledger(self) -> LedgerState | None:
        """The ledger's own state, None while there is no good entry 0."""
        stream = f"ledger:{self.identity.ledgerid}"
        if self.level != "checkpoint":
            state = self.world.state(stream)
        elif self.world.state(stream) is None:
            return None
        else:  # contents are not read at this level, but for those that name the keys of the signed heads
            state = self._named = self._named or self.world.folded(stream, self.size)
        return state if isinstance(state, LedgerState) else None

    def erasures(self) -> LedgerState | None:
        """The ledger's own state with every erasure in it, which levels that judge nothing fold for this alone."""
        stream = f"ledger:{self.identity.ledgerid}"
        state = self.ledger() if self.level == "full" else self.world.folded(stream, self.expected)
        return state if isinstance(state, LedgerState) else None

    def keys(self) -> LogKeys | None:
        """The keys of the checkpoints, None while there is no good entry 0."""
        state = self.ledger()
        return None if state is None else state.log_keys

    # -- findings -----------------------------------------------------------------------------

    def add(self, fault: Fault, index: int | None, message: str, sizes: tuple[int, int] | None = None) -> None:
        """Note what is wrong; see `Finding`."""
        self.report.findings.append(Finding(fault, index, message, sizes))

    # -- stretches in which no column is odd --------------------------------------------------

    def take(self, segment: Segment) -> None:
        """Join a stretch that was checked on its own."""
        if segment.rows is not None:
            for row in segment.rows:
                self.check_row(row)
        elif segment.leaves:
            self._join(segment)
            self._judge(segment)
            self._grow(segment)

    def _join(self, segment: Segment) -> None:
        start, stop = segment.start, segment.start + segment.count
        self._check_place(start, segment.prev)
        self.last_stored_leaf = segment.leaves[-32:]
        self.prev = {self.last_stored_leaf.hex()}
        self._check_time(start, segment.recorded[0])
        self.expected, self.recorded_at = stop, segment.recorded[1]
        for index in sorted({*self.late, *self.repeated}):
            if start <= index < stop:
                self._check_order(self._again(segment, index - start))

    def _again(self, segment: Segment, place: int) -> Row:
        """A row of a stretch; its leaf hash binds what is read now to what was checked then."""
        index = segment.start + place
        row = next(iter(self.log.rows(index, 1)), None)
        if row is None or row.entry.index != index or not _hash_fits(row, segment.leaf(place)):
            raise StorageError(
                f"entry {index} changed while it was being verified", hint="Keep the store as it is and verify again."
            )
        return row

    def _judge(self, segment: Segment) -> None:
        if self.level != "full":
            if segment.start == 0:  # the key of the signed heads is in it
                self._check_content(self._again(segment, 0))
            for item in segment.heavy.values():
                self._check_content(item.row)
            return
        kinds: dict[int, str] = {}
        for place, code in enumerate(segment.codes):
            if code < 0:
                before = self.authority
                self._judge_heavy(segment.heavy[place])
                if self.authority != before:
                    kinds.clear()
                continue
            if self.ends and segment.start + place >= self.ends[-1]:
                self._end_keys(segment.start + place)
                kinds.clear()
            kind = kinds.get(code)
            if kind is None:
                kind = kinds[code] = self._judge_sketch(segment.sketches[code], segment, place)
            if kind == "opaque":
                self.report.opaque.append(segment.start + place)
            elif kind == "void":
                self._check_content(self._again(segment, place))

    def _end_keys(self, index: int) -> None:
        """Forget verdicts that rest on keys which may not sign this entry any more: nothing else tells of their end."""
        while self.ends and self.ends[-1] <= index:
            self.ends.pop()
        self.verdicts.clear()

    def _judge_sketch(self, sketch: Sketch, segment: Segment, place: int) -> str:
        kind = self.verdicts.get(sketch)
        if kind is None:
            kind = self.verdicts[sketch] = judge(
                self.world, sketch.event(segment.start + place, segment.recorded[0])
            ).kind
        return kind

    def _judge_heavy(self, item: Heavy) -> None:
        row = item.row
        if not item.good:
            self._check_content(row)
            return
        self.world.index = row.entry.index
        event = item.event or open_row(row)[0]
        self._note(Judged(row, event, judge(self.world, event)))

    def _grow(self, segment: Segment) -> None:
        if not self.whole:
            return
        stop, grown = segment.start + segment.count, self.range
        while (due := self._due(segment.start)) is not None and due < stop:
            places = range(grown.size - segment.start, due - segment.start)
            grown = grown.extend(map(segment.leaf, places))
            self.heads.at(due, grown.root, self.keys)
        if segment.root is not None:
            bad = list(self.tiles.add_tile(segment.leaves, segment.root))
            self.range = self.range.append_subtree(_TILE_LEVEL, segment.root)
        else:
            bad = [tile for place in range(segment.count) for tile in self.tiles.add(segment.leaf(place))]
            self.range = self.range.extend(map(segment.leaf, range(segment.count)))
        for tile in bad:
            self.add(Fault.TREE, tile.first_leaf, tile.text)
        self.view.checked = self.range.size
        if self._due(segment.start) is not None:
            self.heads.at(stop, self.range.root, self.keys)

    def _due(self, start: int) -> int | None:
        due = self.heads.pending() if self.level != "hash" and self.expected > self.start else None
        return None if due is None else max(due, start + 1)

    # -- rows ---------------------------------------------------------------------------------

    def check_row(self, row: Row) -> None:
        """Check one row and all that is odd about it."""
        index = row.entry.index
        self._check_place(index, row.entry.prev)
        self.expected = index + 1
        leaf = self._check_leaf(row)
        if self.whole:
            self.range = self.range.append(leaf)
            for message in self.tiles.add(leaf):
                self.add(Fault.TREE, message.first_leaf, message.text)
            self.view.checked = self.range.size
        self._check_time(index, row.entry.recorded_at)
        self.recorded_at = row.entry.recorded_at
        self._check_order(row)
        if self.level != "checkpoint" or index == 0:
            self._check_content(row)
        if self.whole and self.level != "hash":
            self.heads.at(index + 1, self.range.root, self.keys)

    def _check_place(self, index: int, prev: str) -> None:
        if index != self.expected:
            self.whole = False
            self.add(Fault.CHAIN, self.expected, f"it is missing: the next row is entry {index}")
        if prev not in self.prev and self.whole:
            self.add(Fault.CHAIN, index, f"it does not follow entry {index - 1}: its prev is another leaf hash")

    def _check_leaf(self, row: Row) -> bytes:
        entry, index = row.entry, row.entry.index
        stored = row.leaf_hash
        try:
            leaf = entry_hash(entry)
        except InputError as error:
            self.add(Fault.HEADER, index, f"its columns are no entry: {error.message}")
            leaf = stored
        else:
            if leaf != stored:
                self.add(Fault.HEADER, index, "its columns do not give its leaf hash")
        # A row altered in place is one finding, not also a broken chain behind it.
        self.prev = {leaf.hex(), stored.hex()}
        self.last_stored_leaf = stored
        return stored if len(stored) == 32 else leaf

    def _check_time(self, index: int, recorded_at: int) -> None:
        if recorded_at < self.recorded_at:
            self.add(Fault.HEADER, index, "it was recorded before the entry in front of it")

    def _check_order(self, row: Row) -> None:
        entry = row.entry
        if entry.index in self.late and self.whole:
            message = f"revision {entry.revision} of {entry.stream} follows revision {self.late[entry.index]}"
            self.add(Fault.HEADER, entry.index, message)
        if entry.index in self.repeated:
            message = f"emitter {entry.emitter} used sequence number {entry.sequence} twice"
            self.add(Fault.SEQUENCE, entry.index, message)

    def _check_content(self, row: Row) -> None:
        index = self.world.index = row.entry.index
        if may_be_withheld(row):
            self.absent[index] = row
            return
        if self.level == "full" or index == 0:
            self._note(judge_row(self.world, row))
            return
        try:
            content_of(row)
        except VerificationError as error:
            self.add(error.fault, index, error.message)

    def _note(self, judged: Judged) -> None:
        index = judged.row.entry.index
        error = judged.verdict.error
        if error is None:
            if judged.event is not None and judged.verdict.kind == "valid":
                self.world.apply(judged.event)
                if judged.event.kind is not None and judged.event.kind.bears_on_all:
                    self.authority = index
                    self.verdicts.clear()
            elif judged.verdict.kind == "opaque":
                self.report.opaque.append(index)
            return
        fault = fault_of(error)
        finding = Finding(fault, index, f"it is void: {error.message}")
        if isinstance(error, ContentError):
            self.report.findings.append(Finding(fault, index, error.message))
        else:
            self.voids[index] = finding
        if index == 0:
            self.add(fault, 0, "without a good first entry no key of this ledger is known; what follows is void too")


def _hash_fits(row: Row, leaf: bytes | None = None) -> bool:
    try:
        return entry_hash(row.entry) == (row.leaf_hash if leaf is None else leaf)
    except InputError:
        return False
