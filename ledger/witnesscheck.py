"""Comparing a log with what witnesses cosigned, as the store keeps it.

A cosignature stands under the key it names, so that one that was altered, or is about another root, is found without
knowing whom to trust. Whether that key is a witness's, a policy says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ledger.checkpoint import Checkpoint
from ledger.cosignature import read_cosignature
from ledger.errors import LedgerError
from ledger.findings import Finding, LogVerification, Witnessed, entries
from ledger.stored import BEFORE_ALL, BEHIND_ALL, Attestation, LogReader, attestations_behind, head_at
from ledger.verdicts import Fault

__all__ = ["WitnessCheck"]

#: Rows about heads of before that are looked through for the last one of each witness.
_LOOK_BACK = 1000
_KINDS = ("cosignature",)


class WitnessCheck:
    """Takes the growing log's roots and compares each cosignature when its size is reached.

    Args:
        log: where the cosignatures are stored.
        origin: name of the log.
        report: takes findings, and what is witnessed.
        start: size up to which the log was verified before; of smaller heads only the last cosignature of each witness
            is looked at again.
    """

    def __init__(self, log: LogReader, origin: str, report: LogVerification, start: int = 0) -> None:
        self._log = log
        self._origin = origin
        self._report = report
        self._start = start
        self._unread = attestations_behind(log, _KINDS, (start, BEHIND_ALL) if start else (BEFORE_ALL, 0))
        self._next = next(self._unread, None)
        self._good = start  # largest size whose root a witness confirmed
        self._bad: set[str] = set()  # who has a finding: what else of theirs differs does so for the same reason

    def _take(self, size: int) -> Iterator[Attestation]:
        """The cosignatures of heads of at most this size that were not looked at yet."""
        while (item := self._next) is not None and item.size <= size:
            self._next = next(self._unread, None)
            yield item

    def pending(self) -> int | None:
        """Size of the next cosignature to compare, None when there is none left."""
        return None if self._next is None else self._next.size

    def at(self, size: int, root: Callable[[], bytes], signed: int) -> None:
        """Compare every cosignature of at most this size.

        Args:
            size: entries so far.
            root: gives their root hash.
            signed: size of the last stored head of at most this size.
        """
        for item in self._take(size):
            self._check(item, root() if item.size == size else None)
            self._check_head(item, stored=item.size == signed)

    def compare_before(self, root_at: Callable[[int], bytes]) -> None:
        """Compare the last cosignature of each witness of at most the size that was verified before.

        Args:
            root_at: gives the root of a size, something else when it cannot be told.
        """
        seen: set[str] = set()
        for item in self._log.attestations_before((self._start + 1, 0), _LOOK_BACK):
            if item.kind in _KINDS and item.issuer not in seen:
                seen.add(item.issuer)
                self._check(item, root_at(item.size))
                self._check_head(item, stored=head_at(self._log, item.size) is not None)

    def finish(self, size: int) -> None:
        """Judge the cosignatures of heads that the log never reached.

        Args:
            size: entries of the log.
        """
        for item in self._take(BEHIND_ALL):
            name = _name(item)
            if item.size > size:
                words = f"the store has a cosignature of {name} on a head of size {item.size}, and the log has {size}"
                self._add(item, f"{words} entries: the tail is missing", size)
            else:
                self._add(item, f"the cosignature of {name} at size {item.size} cannot be compared: rows are missing")

    def _add(self, item: Attestation, message: str, index: int | None = None) -> None:
        if item.issuer not in self._bad:
            self._bad.add(item.issuer)
            sizes = (self._good, item.size) if index is None and item.size > self._good else None
            self._report.findings.append(Finding(Fault.ANCHOR, index, message, sizes))

    def _check(self, item: Attestation, root: bytes | None) -> None:
        if root is None or item.size < 1:
            self._add(item, f"a cosignature of {_name(item)} is stored at size {item.size}, where no head can be")
            return
        try:
            found = read_cosignature(Checkpoint(self._origin, item.size, root), item.issuer, item.body)
        except LedgerError:
            words = (
                f"the cosignature of {_name(item)} at size {item.size} is not for the root that this log gives there"
            )
            if item.size <= self._good:  # the log up to there was confirmed
                self._add(item, f"{words}: it was altered")
            else:
                rest = entries(self._good, item.size)
                self._add(item, f"{words}: it was altered, or the log was, and then the change lies in {rest}")
            return
        self._good = max(self._good, item.size)
        known = self._report.witnessed.get(found.vkey)
        if known is None or (known.size, known.time) < (item.size, found.time):
            self._report.witnessed[found.vkey] = Witnessed(item.size, found.time)

    def _check_head(self, item: Attestation, *, stored: bool) -> None:
        """A head was stored before anybody got it to cosign: one that is not there was taken out."""
        if not stored and item.issuer not in self._bad:
            words = f"the head of size {item.size} that {_name(item)} cosigned is no longer in the store"
            self._report.findings.append(Finding(Fault.CHECKPOINT, None, words))


def _name(item: Attestation) -> str:
    return item.issuer.partition("+")[0][:100]
