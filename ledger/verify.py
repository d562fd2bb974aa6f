"""Checking a whole log from its stored bytes; nothing the store says of itself is believed.

One pass in log order: columns to entry bytes to leaf hash, the chain, tiles, the content's digests, header
against signed payload, signatures under keys valid at that index, legality, sequences, every signed head,
and last the heads that somebody outside the store vouches for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ledger.checkpoint import VerifierKey, parse_vkey
from ledger.domain import LedgerState, MemoryWorld
from ledger.entry import ZERO_HASH, entry_hash
from ledger.errors import InputError, NothingToVerifyError, VerificationError
from ledger.events import Category
from ledger.findings import MAX_FINDINGS, Anchor, Finding, LogVerification
from ledger.headcheck import HeadCheck
from ledger.identity import Trust
from ledger.merkle import CompactRange, peaks_of
from ledger.replay import ContentError, judge_row
from ledger.sequences import Sequences
from ledger.stored import LogReader, Row, Tile, TreeReader
from ledger.successor import successor_fault
from ledger.tilecheck import TileCheck
from ledger.tiles import TILE_WIDTH

__all__ = ["Anchor", "Finding", "LogVerification", "verify_log"]

_PAGE = 500


class _LogView:
    """Look-ups into the part of the log the pass has already checked, tiles included."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._tree = TreeReader(self)
        self.checked = 0  # size up to which leaf hashes and tiles were compared with the entries

    def leaf_hash(self, index: int) -> bytes | None:
        found = self._log.leaf_hashes(index, index + 1)
        return found[0] if found else None

    def root_hash(self, size: int) -> bytes | None:
        if size < 1:
            return None
        try:
            return CompactRange(size, tuple(self._tree.read_hashes(peaks_of(size)))).root()
        except (LookupError, InputError):  # a hash is missing or has another length
            return None

    def tile(self, level: int, index: int) -> Tile | None:
        full_at = (index + 1) * TILE_WIDTH ** (level + 1)
        return self._log.tile(level, index) if full_at <= self.checked else None

    def leaf_hashes(self, start: int, stop: int) -> Sequence[bytes]:
        return self._log.leaf_hashes(start, stop)

    def tile_roots(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        return self._log.tile_roots(level, start, stop)


class _Pass:
    """The state of one pass over the log."""

    def __init__(self, log: LogReader, trust: Trust | None, anchors: Sequence[Anchor]) -> None:
        self.log = log
        self.trust = trust
        self.identity = log.identity()
        self.head = log.head()
        self.report = LogVerification(self.identity.ledgerid, self.identity.origin)
        self.view = _LogView(log)
        self.world = MemoryWorld(self.identity.ledgerid, self.view)
        self.heads = HeadCheck(log, self.identity.origin, anchors, self.report)
        self.range = CompactRange(0, ())
        self.tiles = TileCheck(log)
        self.sequences = Sequences()
        self.revisions: dict[str, int] = {}
        self.voids: dict[int, Finding] = {}
        self.opaque: set[int] = set()
        self.prev: set[str] = {ZERO_HASH}
        self.recorded_at = 0
        self.authority = -1
        self.whole = True  # no row is missing so far, so roots can be compared
        self.expected = 0
        self.last_stored_leaf = bytes.fromhex(ZERO_HASH)

    def _vkey(self) -> VerifierKey | None:
        """The checkpoint key that entry 0 names, None while there is no good entry 0."""
        state = self.world.state(f"ledger:{self.identity.ledgerid}")
        return parse_vkey(state.vkey) if isinstance(state, LedgerState) else None

    # -- findings -----------------------------------------------------------------------------

    def add(self, fault: str, index: int | None, message: str, sizes: tuple[int, int] | None = None) -> None:
        self.report.findings.append(Finding(fault, index, message, sizes))

    # -- rows ---------------------------------------------------------------------------------

    def check_row(self, row: Row) -> None:
        index = row.entry.index
        if index != self.expected:
            self.whole = False
            self.add("chain", self.expected, f"it is missing: the next row is entry {index}")
        self.expected = index + 1
        leaf = self._check_leaf(row)
        if self.whole:
            self.range = self.range.append(leaf)
            for message in self.tiles.add(leaf):
                self.add("tree", message.first_leaf, message.text)
            self.view.checked = self.range.size
        self._check_order(row)
        self._check_content(row)
        if self.whole:
            self.heads.at(index + 1, self.range.root, self._vkey)

    def _check_leaf(self, row: Row) -> bytes:
        entry, index = row.entry, row.entry.index
        if self.expected == index + 1 and entry.prev not in self.prev and self.whole:
            self.add("chain", index, f"it does not follow entry {index - 1}: its prev is another leaf hash")
        stored = row.leaf_hash
        try:
            leaf = entry_hash(entry)
        except InputError as error:
            self.add("header", index, f"its columns are no entry: {error.message}")
            leaf = stored
        else:
            if leaf != stored:
                self.add("header", index, "its columns do not give its leaf hash")
        # A row altered in place is one finding, not also a broken chain behind it.
        self.prev = {leaf.hex(), stored.hex()}
        self.last_stored_leaf = stored
        return stored if len(stored) == 32 else leaf

    def _check_order(self, row: Row) -> None:
        entry = row.entry
        if entry.recorded_at < self.recorded_at:
            self.add("header", entry.index, "it was recorded before the entry in front of it")
        self.recorded_at = entry.recorded_at
        last = self.revisions.get(entry.stream, 0)
        if entry.revision != last + 1 and self.whole:
            message = f"revision {entry.revision} of {entry.stream} follows revision {last}"
            self.add("header", entry.index, message)
        self.revisions[entry.stream] = entry.revision
        if not self.sequences.add(entry.actor, entry.emitter, entry.sequence):
            message = f"emitter {entry.emitter} used sequence number {entry.sequence} twice"
            self.add("sequence", entry.index, message)

    def _check_content(self, row: Row) -> None:
        index = row.entry.index
        judged = judge_row(self.world, row)
        error = judged.verdict.error
        if error is None:
            if judged.event is not None and judged.verdict.kind == "valid":
                self.world.apply(judged.event)
                if judged.event.kind is not None and judged.event.kind.category is Category.AUTHORITY:
                    self.authority = index
            elif judged.verdict.kind == "opaque":
                self.opaque.add(index)
            return
        fault = error.fault if isinstance(error, VerificationError) else judged.verdict.fault
        finding = Finding(fault, index, f"it is void: {error.message}")
        if isinstance(error, ContentError):
            self.report.findings.append(Finding(fault, index, error.message))
        else:
            self.voids[index] = finding
        if index == 0:
            self.add(fault, 0, "without a good first entry no key of this ledger is known; what follows is void too")

    # -- the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        size = self.expected
        self._check_head(size)
        self._check_rest(size)
        state = self.world.state(f"ledger:{self.identity.ledgerid}")
        self._check_identity(state if isinstance(state, LedgerState) else None)
        acknowledged = state.acknowledged if isinstance(state, LedgerState) else frozenset()
        for index, finding in self.voids.items():
            if index in acknowledged:
                self.report.acknowledged.append((index, finding.message))
            else:
                self.report.findings.append(finding)
        self.report.size = size
        self.report.root = self.range.root().hex() if self.whole else ""
        self.report.missing = self.sequences.missing()
        self.report.opaque = sorted(self.opaque)
        found: dict[tuple[str, int | None, str], Finding] = {}
        for item in self.report.findings:  # of a row's findings the first one made says most
            found.setdefault((item.fault, item.index, "" if item.index is not None else item.message), item)
        self.report.findings[:] = sorted(found.values(), key=lambda finding: _place(finding, size))
        del self.report.findings[MAX_FINDINGS:]

    def _check_head(self, size: int) -> None:
        head = self.head
        if head.size > size:
            self.add("head", size, f"the head row counts {head.size} entries and {size} are there: the tail is missing")
        elif head.size < size:
            self.add("head", head.size, f"the head row counts {head.size} entries and {size} are there")
        elif self.whole:
            expected = (self.last_stored_leaf, self.range.to_bytes(), self.recorded_at)
            if (head.last_leaf, head.peaks, head.recorded_at) != expected:
                self.add("head", None, "the head row does not fit the last entry")
            # Authority entries that are void here, or of a newer version's types, moved it too.
            unknown = self.voids.keys() | self.opaque
            if head.authority != self.authority and head.authority not in unknown:
                self.add("head", None, f"the head row says authority {head.authority}, and the log {self.authority}")

    def _check_rest(self, size: int) -> None:
        self.heads.finish(size, self._vkey())
        fault = successor_fault(self.log.successor(), self._vkey(), (self.identity.ledgerid, size, self.range.root()))
        if fault and self.whole:
            self.add("checkpoint", None, fault)
        entries, contents, tiles, odd_tiles = self.log.counts()
        if entries != size and self.whole:
            self.add("head", None, f"the store has {entries} rows of entries, and {size} of them follow each other")
        if contents > entries:
            self.add("payload", None, f"the store has {contents} contents for {entries} entries")
        for index in self.log.repeated_ids():
            self.add("header", index, "its author's event id stands at an earlier entry too")
        if self.whole and (tiles != self.tiles.count or odd_tiles):
            self.add(
                "tree", None, f"the store has {tiles} full tiles, and a log of {size} entries has {self.tiles.count}"
            )

    def _check_identity(self, state: LedgerState | None) -> None:
        if state is not None and state.origin != self.identity.origin:
            self.add("head", None, f"the store calls the log {self.identity.origin!r} and entry 0 {state.origin!r}")
        if state is not None and state.ledgerid != self.identity.ledgerid:
            self.add("head", None, "the store names another ledger than entry 0")
        trust = self.trust
        if trust is None:
            return
        if (trust.ledgerid, trust.origin) != (self.identity.ledgerid, self.identity.origin):
            self.add(
                "anchor", 0, f"this is the ledger {self.identity.origin}, and {trust.origin} is the one trusted here"
            )
        genesis = self.log.leaf_hashes(0, 1)
        if not genesis or genesis[0].hex() != trust.genesis:
            self.add("anchor", 0, "entry 0 is not the one the trust file pins")
        if state is not None and parse_vkey(state.vkey) not in trust.vkeys:
            self.add("anchor", 0, "entry 0 names a checkpoint key that the trust file does not list")


def _place(finding: Finding, size: int) -> tuple[int, bool]:
    """Where a finding stands in a report: what is located comes before a bound that holds it."""
    if finding.index is not None:
        return finding.index, False
    return (finding.sizes[1] - 1 if finding.sizes else size), True


def _feed(log: LogReader, check: _Pass) -> Iterator[int]:
    """Feed every row; yields how far it is, page by page."""
    start = 0
    while rows := log.rows(start, _PAGE):
        for row in rows:
            check.check_row(row)
        start = rows[-1].entry.index + 1
        yield start


def verify_log(
    log: LogReader,
    trust: Trust | None = None,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] | None = None,
) -> LogVerification:
    """Check a whole log.

    Args:
        log: the store.
        trust: pinned identity, or None when none is known (the report then rests on entry 0 alone).
        anchors: heads that somebody outside the store vouches for, already authenticated.
        progress: called with (checked, total) now and then.

    Returns:
        What was found; ask its ``ok``.

    Raises:
        NothingToVerifyError: the log is empty and no anchor says that it should not be.
        StorageError: the store failed.
    """
    with log.snapshot():  # others may append meanwhile
        broken = log.structure_faults()
        if broken:
            # Tables that are not ours, or an index that disagrees with its table, make every reading doubtful.
            report = LogVerification("", "")
            report.findings.extend(Finding("head", None, f"the store itself is damaged: {words}") for words in broken)
            return report
        check = _Pass(log, trust, anchors)
        total = check.head.size
        if total == 0 and not log.rows(0, 1) and not anchors:
            raise NothingToVerifyError("the log is empty: there is nothing to verify")
        for checked in _feed(log, check):
            if progress is not None:
                progress(checked, total)
        check.finish()
    return check.report
