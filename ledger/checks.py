"""Checking one event on its own: content, header, signatures, legality, and its place under a signed head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.application import Ledger
from ledger.checkpoint import Checkpoint
from ledger.entry import entry_hash
from ledger.errors import LedgerError, VerificationError, fault_of
from ledger.findings import Finding
from ledger.gaps import unpinned
from ledger.merkle import prove_inclusion
from ledger.merkleproof import verify_inclusion
from ledger.replay import Judged
from ledger.stored import Row
from ledger.suspects import suspicion_of
from ledger.treereader import TreeReader
from ledger.verdicts import Fault, Gap, GapKind, Verdict

__all__ = ["Check", "EventVerification", "check_event"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        message: in words.
        fault: what is wrong, None when nothing is.
        gap: what could not be told, None when all could be.
        remark: whether it is only something worth knowing.
    """

    name: str
    message: str
    fault: Fault | None = None
    gap: GapKind | None = None
    remark: bool = False

    @property
    def ok(self) -> bool | None:
        """True good, False bad, None neither."""
        if self.fault is not None:
            return False
        return None if self.gap is not None or self.remark else True


@dataclass(frozen=True, slots=True)
class EventVerification:
    """What one event was found to be.

    Attributes:
        row: the event.
        checks: what was looked at, in order.
        pinned: whether who the ledger is was known from outside.
    """

    row: Row
    checks: tuple[Check, ...]
    pinned: bool

    @property
    def findings(self) -> list[Finding]:
        """What is wrong."""
        index = self.row.entry.index
        return [Finding(item.fault, index, item.message) for item in self.checks if item.fault is not None]

    @property
    def verdict(self) -> Verdict:
        """The conclusion."""
        return Verdict.BAD if self.findings else Verdict.VERIFIED

    @property
    def gaps(self) -> list[Gap]:
        """What was not verified."""
        index = self.row.entry.index
        gaps = [Gap(GapKind.LEVEL, "of other entries only those were read that this one rests on: see verify log")]
        gaps += [Gap(item.gap, item.message, index, index + 1) for item in self.checks if item.gap is not None]
        return gaps if self.pinned else [*gaps, unpinned()]


def _check_leaf(row: Row) -> Check:
    try:
        good = entry_hash(row.entry) == row.leaf_hash
    except LedgerError as error:
        return Check("entry", error.message, Fault.HEADER)
    if good:
        return Check("entry", row.leaf_hash.hex())
    return Check("entry", "its columns do not give its leaf hash", Fault.HEADER)


def _check_place(ledger: Ledger, row: Row, verify_head: Callable[[bytes], Checkpoint]) -> Check:
    last = ledger.recorder.last_checkpoint()
    if last is None or last.size <= row.entry.index:
        return Check("inclusion", "no signed head covers this entry yet", gap=GapKind.UNSIGNED)
    try:
        head = verify_head(last.note)
        hashes = prove_inclusion(TreeReader(ledger.recorder), row.entry.index, head.size)
        verify_inclusion(entry_hash(row.entry), row.entry.index, head.size, hashes, head.root)
    except LookupError as error:
        return Check("inclusion", f"not under the head signed at size {last.size}: {error}", Fault.TREE)
    except LedgerError as error:
        fault = error.fault if isinstance(error, VerificationError) else Fault.CHECKPOINT
        return Check("inclusion", f"not under the head signed at size {last.size}: {error}", fault)
    return Check("inclusion", f"at index {row.entry.index} under the head signed at size {head.size}")


def _check_judged(ledger: Ledger, judged: Judged) -> list[Check]:
    """Content, legality, marks and standing."""
    error, event = judged.verdict.error, judged.event
    if judged.withheld is not None:
        return [Check("content", judged.withheld.text, gap=GapKind.WITHHELD)]
    if event is None or isinstance(error, VerificationError):
        fault = Fault.PAYLOAD if error is None else fault_of(error)
        return [Check("content", "" if error is None else error.message, fault)]
    signers = ", ".join(key[:16] + "…" for key in event.keys)
    checks = [Check("content", f"payload, header and signatures agree; signed by {signers}")]
    if error is not None:
        return [*checks, Check("legality", f"void: {error.message}", fault_of(error))]
    if judged.verdict.kind == "opaque":
        checks.append(Check("legality", "of a type this Muniment does not know", gap=GapKind.OPAQUE))
    else:
        checks.append(Check("legality", "legal at its place"))
    if judged.verdict.marks:
        checks.append(Check("marks", ", ".join(judged.verdict.marks), remark=True))
    doubt = suspicion_of(ledger.world.at(ledger.world.size), judged.row)
    return checks if doubt is None else [*checks, Check("standing", doubt.text, gap=GapKind.SUSPECT)]


def check_event(
    ledger: Ledger, row: Row, verify_head: Callable[[bytes], Checkpoint], *, pinned: bool
) -> EventVerification:
    """Check one stored event from its bytes.

    Args:
        ledger: the log it stands in.
        row: the event.
        verify_head: checks a signed head, under keys that are trusted.
        pinned: whether these keys come from outside the store.

    Returns:
        What was found.
    """
    ledger.world.refresh()
    judged = ledger.world.judge_row(row)
    checks = [_check_leaf(row), *_check_judged(ledger, judged), _check_place(ledger, row, verify_head)]
    return EventVerification(row, tuple(checks), pinned)
