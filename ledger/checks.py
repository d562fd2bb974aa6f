"""Checking one event on its own: content, header, signatures, legality, and its place under a signed head."""

from __future__ import annotations

from collections.abc import Callable

from ledger.application import Ledger
from ledger.checkpoint import Checkpoint
from ledger.entry import entry_hash
from ledger.errors import LedgerError, VerificationError
from ledger.merkle import prove_inclusion, verify_inclusion
from ledger.stored import Row, TreeReader
from ledger.suspects import suspicion_of

__all__ = ["Check", "check_event"]

#: (what, True good, False bad, None could not be told; words)
Check = tuple[str, bool | None, str]


def _check_leaf(row: Row) -> Check:
    try:
        good = entry_hash(row.entry) == row.leaf_hash
    except LedgerError as error:
        return ("entry", False, error.message)
    return ("entry", good, row.leaf_hash.hex() if good else "its columns do not give its leaf hash")


def _check_place(ledger: Ledger, row: Row, verify_head: Callable[[bytes], Checkpoint]) -> Check:
    last = ledger.recorder.last_checkpoint()
    if last is None or last.size <= row.entry.index:
        return ("inclusion", None, "no signed head covers this entry yet")
    try:
        head = verify_head(last.note)
        hashes = prove_inclusion(TreeReader(ledger.recorder), row.entry.index, head.size)
        verify_inclusion(entry_hash(row.entry), row.entry.index, head.size, hashes, head.root)
    except (LedgerError, LookupError) as error:
        return ("inclusion", False, f"not under the head signed at size {last.size}: {error}")
    return ("inclusion", True, f"at index {row.entry.index} under the head signed at size {head.size}")


def check_event(ledger: Ledger, row: Row, verify_head: Callable[[bytes], Checkpoint]) -> list[Check]:
    """Check one stored event from its bytes.

    Args:
        ledger: the log it stands in.
        row: the event.
        verify_head: checks a signed head, under keys that are trusted.

    Returns:
        One line a check; none of them False means good.
    """
    ledger.world.refresh()
    judged = ledger.world.judge_row(row)
    error = judged.verdict.error
    checks = [_check_leaf(row)]
    if judged.withheld is not None:
        checks.append(("content", None, judged.withheld.text))
    elif judged.event is None or isinstance(error, VerificationError):
        checks.append(("content", False, "" if error is None else error.message))
    else:
        signers = ", ".join(key[:16] + "…" for key in judged.event.keys)
        checks.append(("content", True, f"payload, header and signatures agree; signed by {signers}"))
        kind = judged.verdict.kind
        words = {"valid": "legal at its place", "opaque": "of a type this Muniment does not know"}
        good = {"valid": True, "opaque": None, "void": False}[kind]
        checks.append(("legality", good, words.get(kind, "" if error is None else f"void: {error.message}")))
        if judged.verdict.marks:
            checks.append(("marks", None, ", ".join(judged.verdict.marks)))
        doubt = None if error is not None else suspicion_of(ledger.world.at(ledger.world.size), row)
        if doubt is not None:
            checks.append(("standing", None, doubt.text))
    checks.append(_check_place(ledger, row, verify_head))
    return checks
