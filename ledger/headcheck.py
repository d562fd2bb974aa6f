"""Comparing a log with the heads signed for it and with those that somebody outside the store vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from ledger.checkpoint import Checkpoint
from ledger.errors import LedgerError
from ledger.findings import Anchor, Finding, LogVerification, entries
from ledger.identity import LogKeys
from ledger.stored import BEFORE_ALL, BEHIND_ALL, LogReader, StoredCheckpoint, head_at, heads_behind
from ledger.verdicts import Fault
from ledger.witnesscheck import WitnessCheck

__all__ = ["HeadCheck", "chained"]


def chained(before: bytes, size: int, note: bytes) -> bytes:
    """Digest over a run of signed heads: of the run before and of one more.

    Args:
        before: digest of the run before, empty for none.
        size: where the head is stored.
        note: its bytes.
    """
    return hashlib.sha256(before + b"%d %d " % (size, len(note)) + note).digest()


class HeadCheck:
    """Takes the growing log's roots and compares each head when its size is reached.

    Args:
        log: where the signed heads are stored.
        origin: name of the log.
        anchors: heads vouched for elsewhere, authenticated.
        report: takes findings and counts.
        start: size of a signed head that was verified before; smaller ones are not looked at again.
    """

    def __init__(
        self, log: LogReader, origin: str, anchors: Sequence[Anchor], report: LogVerification, start: int = 0
    ) -> None:
        self._log = log
        self._origin = origin
        self._anchors = tuple(anchors)
        self._waiting = sorted(anchors, key=lambda anchor: anchor.checkpoint.size)
        self._report = report
        self._unread = heads_behind(log, start or BEFORE_ALL)
        self._next_head = next(self._unread, None)
        self._good_size = report.signed_size = start  # largest size whose root a signed head confirmed
        self._before = start  # size of the signed head before the next one
        self._last = start  # size of the last stored head that was looked at, good or not
        self._differing = 0
        self._signed_roots: dict[int, bytes] = {}  # by our checkpoint key, at sizes anchors are about
        self._cosigned = WitnessCheck(log, origin, report, start)

    def _add(self, fault: Fault, index: int | None, message: str, sizes: tuple[int, int] | None = None) -> None:
        self._report.findings.append(Finding(fault, index, message, sizes))

    def _take(self, size: int) -> Iterator[StoredCheckpoint]:
        """The stored heads of at most this size that were not looked at yet."""
        while (item := self._next_head) is not None and item.size <= size:
            self._next_head = next(self._unread, None)
            yield item

    def pending(self) -> int | None:
        """Size of the next head to compare, None when there is none left."""
        stored = None if self._next_head is None else self._next_head.size
        known = [stored, self._cosigned.pending(), *(anchor.checkpoint.size for anchor in self._waiting)]
        return min((size for size in known if size is not None), default=None)

    def digest(self, stop: int) -> bytes:
        """The `chained` digest of all stored heads of at most this size."""
        found = b""
        for head in heads_behind(self._log):
            if head.size > stop:
                break
            found = chained(found, head.size, head.note)
        return found

    def compare_before(self, start: int, root_at: Callable[[int], bytes]) -> None:
        """Compare the anchors of at most the size that was verified before.

        Args:
            start: that size.
            root_at: gives the root of a size, something else when it cannot be told.
        """
        while self._waiting and self._waiting[0].checkpoint.size <= start:
            anchor = self._waiting.pop(0)
            self._check_anchor(anchor, root_at(anchor.checkpoint.size))
        self._cosigned.compare_before(root_at)

    def at(self, size: int, root: Callable[[], bytes], keys: Callable[[], LogKeys | None]) -> None:
        """Compare every head of at most this size that was not compared yet.

        Args:
            size: entries so far.
            root: gives their root hash.
            keys: gives the keys of the checkpoints, None while none is known.
        """
        for item in self._take(size):
            self._last = item.size
            self._check_signed(item.size, item.note, root(), keys())
        while self._waiting and self._waiting[0].checkpoint.size <= size:
            self._check_anchor(self._waiting.pop(0), root())
        self._cosigned.at(size, root, self._last)

    def _read_note(self, size: int, note: bytes, keys: LogKeys | None) -> Checkpoint | None:
        if keys is None:
            return None
        before, self._before = self._before, size
        try:
            found = keys.verify(note, before)
        except LedgerError as error:
            self._add(Fault.CHECKPOINT, None, f"the signed head of size {size} is bad: {error.message}")
            return None
        if found.size != size:
            self._add(Fault.CHECKPOINT, None, f"the signed head stored at size {size} is about size {found.size}")
            return None
        return found

    def _check_signed(self, size: int, note: bytes, root: bytes, keys: LogKeys | None) -> None:
        found = self._read_note(size, note, keys)
        if found is None:
            return
        if any(anchor.checkpoint.size == size for anchor in self._waiting):
            self._signed_roots[size] = found.root
        if found.root == root:
            self._good_size = max(self._good_size, size)
            self._report.checkpoints += 1
            self._report.signed_size, self._report.signed_root = size, root
            self._report.heads = chained(self._report.heads, size, note)
            return
        self._differing += 1
        if self._differing == 1:  # the later heads differ for the same reason
            message = (
                f"the log gives another root at size {size} than the head signed then; "
                f"the change lies in {entries(self._good_size, size)}"
            )
            self._add(Fault.CHECKPOINT, None, message, (self._good_size, size))

    def _check_anchor(self, anchor: Anchor, root: bytes) -> None:
        size, known = anchor.checkpoint.size, self._report.anchored_size
        if anchor.checkpoint.origin != self._origin:
            self._add(Fault.ANCHOR, None, f"{anchor.by} is a head of {anchor.checkpoint.origin}, not of this log")
            return
        if size == 0 or anchor.checkpoint.root == root:
            self._report.anchored_size, self._report.anchored_by = size, anchor.by
            return
        message = (
            f"the log is not the one {anchor.by} vouches for at size {size}; the change lies in {entries(known, size)}"
        )
        if self._signed_roots.get(size, anchor.checkpoint.root) != anchor.checkpoint.root:
            message += (
                f"; the checkpoint key signed two different roots for size {size}, which proves the operator's "
                "double dealing: keep both notes"
            )
        self._add(Fault.ANCHOR, None, message, (known, size))

    def finish(self, size: int, keys: LogKeys | None) -> None:
        """Judge the heads that the log never reached, and those that are gone.

        Args:
            size: entries of the log.
            keys: the keys of the checkpoints, None when none is known.
        """
        for item in self._take(BEHIND_ALL):
            if self._read_note(item.size, item.note, keys) is not None and item.size > size:
                message = f"a head of size {item.size} was signed, and the log has {size} entries: the tail is missing"
                self._add(Fault.CHECKPOINT, size, message)
        for anchor in self._waiting:
            known = anchor.checkpoint.size
            if known > size:
                message = f"the log shrank: {anchor.by} vouches for {known} entries and {size} are there"
                self._add(Fault.ANCHOR, size, message)
            else:
                self._add(Fault.ANCHOR, None, f"{anchor.by} at size {known} cannot be compared: rows are missing")
        self._cosigned.finish(size)
        self._check_kept(size)
        if keys is not None:
            self._check_row(keys)

    def _check_row(self, keys: LogKeys) -> None:
        """The row of the last signed head, which only ever goes forward, is about the last stored one."""
        row, last = self._log.signed_head(), self._log.last_checkpoint()
        if row is None:
            self._add(Fault.CHECKPOINT, None, "the row of the last signed head is gone from the store")
        elif last is not None and row.size != last.size:
            message = f"a head of size {row.size} was signed last, and the last one in the store is of size {last.size}"
            self._add(Fault.CHECKPOINT, None, message)
        elif last is not None:
            with suppress(LedgerError):  # a bad note is a finding of its own
                if keys.verify(last.note).root != row.root:
                    message = f"the row of the last signed head does not fit the head signed at size {row.size}"
                    self._add(Fault.CHECKPOINT, None, message)

    def _check_kept(self, size: int) -> None:
        """Every signed head was stored before anybody got it, and every ledger signs its first one when it is made."""
        for anchor in self._anchors:
            wanted = anchor.checkpoint.size
            if 0 < wanted <= size and head_at(self._log, wanted) is None:
                message = f"the signed head of size {wanted} that {anchor.by} vouches for is no longer in the store"
                self._add(Fault.CHECKPOINT, None, message)
        if next(heads_behind(self._log), None) is None:
            self._add(Fault.CHECKPOINT, None, "no signed head is in the store, and every ledger has one from the start")
