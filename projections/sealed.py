"""What lists, timelines and reports show in place of sealed fields."""

from __future__ import annotations

from typing import Any

from ledger.application import Ledger
from ledger.domain import LedgerState
from ledger.sealing import replace_sealed

__all__ = ["mark_sealed", "sealed_words"]


def sealed_words(data_key: str, state: LedgerState | None, index: int | None = None) -> str:
    """What to show in place of a sealed field.

    It tells what became of the key, and never that a record erased what was recorded behind it.

    Args:
        data_key: that it was sealed with.
        state: the ledger's own, as known at the size of the answer.
        index: of the entry that shows it, None when no single one does.
    """
    record = None if state is None else state.erased_keys.get(data_key)
    if record is None:
        return "sealed field: muniment show opens it where its keys are"
    late = "" if index is None or index <= record.index else f", before entry {index} was recorded"
    return f"sealed field: its data key was erased by {record.actor} under {record.basis} (entry {record.index}){late}"


def mark_sealed(ledger: Ledger, value: Any, size: int) -> Any:
    """Plain values with words in place of every sealed field.

    Args:
        ledger: the log.
        value: objects, lists, texts and others.
        size: log size that was known; a later erasure changes no answer.
    """
    state = ledger.world.at(size).state(f"ledger:{ledger.ledgerid}")
    known = state if isinstance(state, LedgerState) else None

    def marked(found: Any, index: int | None) -> Any:
        if isinstance(found, dict):
            # The outermost one: further in, bodies may have fields of that name.
            own = found.get("index") if index is None else index
            return {name: marked(item, own if isinstance(own, int) else None) for name, item in found.items()}
        if isinstance(found, list):
            return [marked(item, index) for item in found]
        return replace_sealed(found, lambda key: sealed_words(key, known, index)) if isinstance(found, str) else found

    return marked(value, None)
