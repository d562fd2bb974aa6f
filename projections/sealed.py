"""What lists, timelines and reports show in place of sealed fields."""

from __future__ import annotations

from typing import Any

from ledger.application import Ledger
from ledger.domain import LedgerState
from ledger.sealing import replace_sealed

__all__ = ["mark_sealed", "sealed_words"]


def sealed_words(data_key: str, state: LedgerState | None) -> str:
    """What to show in place of a sealed field.

    Args:
        data_key: that it was sealed with.
        state: the ledger's own, as known at the size of the answer.
    """
    record = None if state is None else state.erased_keys.get(data_key)
    if record is None:
        return "sealed field: muniment show opens it where its keys are"
    return f"sealed field: erased by {record.actor} under {record.basis} (entry {record.index})"


def mark_sealed(ledger: Ledger, value: Any, size: int) -> Any:
    """Plain values with words in place of every sealed field.

    Args:
        ledger: the log.
        value: objects, lists, texts and others.
        size: log size that was known; a later erasure changes no answer.
    """
    state = ledger.world.at(size).state(f"ledger:{ledger.ledgerid}")
    known = state if isinstance(state, LedgerState) else None

    def words(data_key: str) -> str:
        return sealed_words(data_key, known)

    def marked(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: marked(item) for name, item in found.items()}
        if isinstance(found, list):
            return [marked(item) for item in found]
        return replace_sealed(found, words) if isinstance(found, str) else found

    return marked(value)
