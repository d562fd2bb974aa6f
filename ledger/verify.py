"""Checking a whole log from its stored bytes; nothing the store says of itself is believed.

One pass in log order: columns to entry bytes to leaf hash, the chain, tiles, the content's digests, header
against signed payload, signatures under keys valid at that index, legality, sequences, every signed head,
and last the heads that somebody outside the store vouches for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ledger.checkpoint import Checkpoint, parse_vkey, verify_checkpoint
from ledger.domain import LedgerState, MemoryWorld
from ledger.entry import ZERO_HASH, entry_hash
from ledger.errors import InputError, LedgerError, NothingToVerifyError, VerificationError
from ledger.identity import Trust
from ledger.merkle import CompactRange, peaks_of
from ledger.replay import ContentError, judge_row
from ledger.sequences import Sequences
from ledger.stored import LogReader, Row, TreeReader
from ledger.tilecheck import TileCheck

__all__ = ["Anchor", "Finding", "LogVerification", "verify_log"]

_PAGE = 500
_MAX_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head somebody outside the store vouches for."""

    by: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: class, see `VerificationError`.
        index: leaf index, or None when only sizes are known.
        message: what was found.
        sizes: (good, bad) tree sizes between which it lies, when that is all that is known.
    """

    fault: str
    index: int | None
    message: str
    sizes: tuple[int, int] | None = None


@dataclass(slots=True)
class LogVerification:
    """What a verification found.

    Attributes:
        ledgerid, origin: which log.
        size: entries checked.
        root: root hash over the stored leaf hashes, hex.
        findings: what is wrong, first place first; empty when good.
        acknowledged: void entries that an admin has acknowledged, as (index, reason).
        checkpoints: number of signed heads that verified.
        signed_size: largest size with a verified signed head.
        anchored_size: largest size an anchor vouches for, 0 when UNANCHORED throughout.
        anchored_by: who vouches for it.
        missing: (actor, emitter, number of sequence numbers not in the log).
    """

    ledgerid: str
    origin: str
    size: int = 0
    root: str = ""
    findings: list[Finding] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    checkpoints: int = 0
    signed_size: int = 0
    anchored_size: int = 0
    anchored_by: str = ""
    missing: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def raise_if_bad(self) -> None:
        """Raise the first finding.

        Raises:
            VerificationError: something is wrong.
        """
        if self.findings:
            first = self.findings[0]
            raise VerificationError(first.message, fault=first.fault, index=first.index)


class _LogView:
    """Look-ups into the part of the log the pass has already checked."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._tree = TreeReader(log)

    def leaf_hash(self, index: int) -> bytes | None:
        found = self._log.leaf_hashes(index, index + 1)
        return found[0] if found else None

    def root_hash(self, size: int) -> bytes | None:
        if size < 1:
            return None
        try:
            return CompactRange(size, tuple(self._tree.read_hashes(peaks_of(size)))).root()
        except LookupError:
            return None


class _Pass:
    """The state of one pass over the log."""

    def __init__(self, log: LogReader, trust: Trust | None, anchors: Sequence[Anchor]) -> None:
        self.log = log
        self.trust = trust
        self.identity = log.identity()
        self.head = log.head()
        self.report = LogVerification(self.identity.ledgerid, self.identity.origin)
        self.world = MemoryWorld(self.identity.ledgerid, _LogView(log))
        self.anchors = sorted(anchors, key=lambda anchor: anchor.checkpoint.size)
        self.range = CompactRange(0, ())
        self.tiles = TileCheck(log)
        self.sequences = Sequences()
        self.revisions: dict[str, int] = {}
        self.voids: dict[int, Finding] = {}
        self.prev: set[str] = {ZERO_HASH}
        self.recorded_at = 0
        self.authority = -1
        self.whole = True  # no row is missing so far, so roots can be compared
        self.good_size = 0  # largest size whose root somebody's signature confirmed
        self.expected = 0
        self.last_stored_leaf = bytes.fromhex(ZERO_HASH)
        self.signed_roots: dict[int, bytes] = {}  # roots our own checkpoint key signed at sizes anchors are about
        self._checkpoint_sizes: list[tuple[int, bytes]] = []
        self._checkpoint_after = -1
        self._load_checkpoints()

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
        self._check_order(row)
        self._check_content(row)
        if self.whole:
            self._check_roots(index + 1)

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
                if judged.event.kind is not None and judged.event.kind.category.value == "authority":
                    self.authority = index
            return
        fault = error.fault if isinstance(error, VerificationError) else judged.verdict.fault
        finding = Finding(fault, index, f"it is void: {error.message}")
        if isinstance(error, ContentError):
            self.report.findings.append(Finding(fault, index, error.message))
        else:
            self.voids[index] = finding
        if index == 0:
            self.add(fault, 0, "without a good first entry no key of this ledger is known; what follows is void too")

    # -- signed heads and anchors ----------------------------------------------------------------

    def _load_checkpoints(self) -> None:
        found = self.log.checkpoints(self._checkpoint_after, _PAGE)
        self._checkpoint_sizes = [(item.size, item.note) for item in reversed(found)]
        if found:
            self._checkpoint_after = found[-1].size

    def _next_checkpoint(self) -> tuple[int, bytes] | None:
        if not self._checkpoint_sizes:
            self._load_checkpoints()
        return self._checkpoint_sizes[-1] if self._checkpoint_sizes else None

    def _check_roots(self, size: int) -> None:
        while (item := self._next_checkpoint()) is not None and item[0] <= size:
            self._checkpoint_sizes.pop()
            self._check_checkpoint(*item)
        while self.anchors and self.anchors[0].checkpoint.size <= size:
            self._check_anchor(self.anchors.pop(0))

    def _read_note(self, size: int, note: bytes) -> Checkpoint | None:
        state = self.world.state(f"ledger:{self.identity.ledgerid}")
        if not isinstance(state, LedgerState):
            return None
        try:
            found = verify_checkpoint(note, [parse_vkey(state.vkey)])
        except LedgerError as error:
            self.add("checkpoint", None, f"the signed head of size {size} is bad: {error.message}")
            return None
        if found.size != size:
            self.add("checkpoint", None, f"the signed head stored at size {size} is about size {found.size}")
            return None
        return found

    def _check_checkpoint(self, size: int, note: bytes) -> None:
        found = self._read_note(size, note)
        if found is None:
            return
        if any(anchor.checkpoint.size == size for anchor in self.anchors):
            self.signed_roots[size] = found.root
        if found.root != self.range.root():
            bound = (self.good_size, size)
            self.add(
                "checkpoint",
                None,
                f"the log gives another root at size {size} than the head signed then; "
                f"the change lies in entries {bound[0]} to {bound[1] - 1}",
                bound,
            )
            return
        self.good_size = max(self.good_size, size)
        self.report.checkpoints += 1
        self.report.signed_size = size

    def _check_anchor(self, anchor: Anchor) -> None:
        size = anchor.checkpoint.size
        if anchor.checkpoint.origin != self.identity.origin:
            self.add("anchor", None, f"{anchor.by} is a head of {anchor.checkpoint.origin}, not of this log")
        elif size == 0 or anchor.checkpoint.root == self.range.root():
            self.report.anchored_size, self.report.anchored_by = size, anchor.by
        else:
            bound = (self.report.anchored_size, size)
            message = (
                f"the log is not the one {anchor.by} vouches for at size {size}; "
                f"the change lies in entries {bound[0]} to {bound[1] - 1}"
            )
            if self.signed_roots.get(size, anchor.checkpoint.root) != anchor.checkpoint.root:
                message += (
                    f"; the checkpoint key signed two different roots for size {size}, which proves the operator's "
                    "double dealing: keep both notes"
                )
            self.add("anchor", None, message, bound)

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
        self.report.findings.sort(
            key=lambda f: (f.index if f.index is not None else (f.sizes or (size, 0))[0], f.index is None)
        )
        del self.report.findings[_MAX_FINDINGS:]

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
            # Void authority entries moved it too, so a head row further on than ours is only suspicious.
            if head.authority != self.authority and head.authority not in self.voids:
                self.add("head", None, f"the head row says authority {head.authority}, and the log {self.authority}")

    def _check_rest(self, size: int) -> None:
        while (item := self._next_checkpoint()) is not None:
            self._checkpoint_sizes.pop()
            if self._read_note(*item) is not None and item[0] > size:
                message = f"a head of size {item[0]} was signed, and the log has {size} entries: the tail is missing"
                self.add("checkpoint", size, message)
        for anchor in self.anchors:
            if anchor.checkpoint.size > size:
                message = (
                    f"the log shrank: {anchor.by} vouches for {anchor.checkpoint.size} entries and {size} are there"
                )
                self.add("anchor", size, message)
            elif not self.whole:
                self.add(
                    "anchor", None, f"{anchor.by} at size {anchor.checkpoint.size} cannot be compared: rows are missing"
                )
        entries, contents, tiles, odd_tiles = self.log.counts()
        if entries != size and self.whole:
            self.add("head", None, f"the store has {entries} rows of entries, and {size} of them follow each other")
        if contents > entries:
            self.add("payload", None, f"the store has {contents} contents for {entries} entries")
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


def _feed(log: LogReader, check: _Pass) -> Iterator[int]:
    """Feed every row, past a row whose text cannot even be decoded; yields how far it is, page by page."""
    start, limit = 0, _PAGE
    while True:
        try:
            rows = log.rows(start, limit)
        except VerificationError as error:
            if limit > 1:
                limit = 1  # find the one row that cannot be read
                continue
            check.whole = False
            check.add("header", start, f"entry {start}: {error.message}")
            check.expected = start = start + 1
            continue
        if not rows:
            return
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
    check = _Pass(log, trust, anchors)
    total = check.head.size
    if total == 0 and not log.rows(0, 1) and not anchors:
        raise NothingToVerifyError("the log is empty: there is nothing to verify")
    for checked in _feed(log, check):
        if progress is not None:
            progress(checked, total)
    check.finish()
    return check.report
