"""What lists, timelines and reports show in place of sealed fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.application import Ledger
from ledger.datakeys import DataKeys
from ledger.domain import LedgerState
from ledger.sealing import replace_sealed

__all__ = ["LACKING", "mark_sealed", "sealed_words"]

#: What is shown of a field that nobody can open here and no record erased; see `ledger.unknownkeys`.
LACKING: Final = "sealed with a key that this store does not have"


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


class _Keys:
    """Asks for data keys once there is a sealed field, each once."""

    def __init__(self, ledger: Ledger, open_keys: Callable[[], DataKeys] | None) -> None:
        self._ledger, self._open = ledger, open_keys
        self._keys: DataKeys | None = None
        self._told: dict[str, bool] = {}

    def lacks(self, data_key: str) -> bool:
        """See `DataKeys.lacks`; of a key that a record erases, also later than the answer is for, that is not said.

        A sentence about one entry may have the field of another in it, so it is not asked since when there are keys.
        """
        if self._open is None:
            return False
        if data_key not in self._told:
            self._keys = self._keys or self._open()
            lacking = self._keys.lacks(data_key)
            if lacking:
                self._ledger.world.refresh()  # behind the keys: the record comes before its key goes
                lacking = data_key not in self._ledger.ledger_state().erased_keys
            self._told[data_key] = lacking
        return self._told[data_key]

    def close(self) -> None:
        """Close the key store, if it was opened."""
        if self._keys is not None:
            self._keys.close()


def mark_sealed(ledger: Ledger, value: Any, size: int, open_keys: Callable[[], DataKeys] | None = None) -> Any:
    """Plain values with words in place of every sealed field.

    Args:
        ledger: the log.
        value: objects, lists, texts and others.
        size: log size that was known; a later erasure changes no answer.
        open_keys: opens the data keys of the ledger, to tell which are missing; None where they are elsewhere.
    """
    state = ledger.world.at(size).state(f"ledger:{ledger.ledgerid}")
    known, keys = state if isinstance(state, LedgerState) else None, _Keys(ledger, open_keys)

    def words(key: str, index: int | None) -> str:
        erased = known is not None and key in known.erased_keys
        return sealed_words(key, known, index) if erased or not keys.lacks(key) else f"sealed field: {LACKING}"

    def marked(found: Any, index: int | None) -> Any:
        if isinstance(found, dict):
            # The outermost one: further in, bodies may have fields of that name.
            own = found.get("index") if index is None else index
            return {name: marked(item, own if isinstance(own, int) else None) for name, item in found.items()}
        if isinstance(found, list):
            return [marked(item, index) for item in found]
        return replace_sealed(found, lambda key: words(key, index)) if isinstance(found, str) else found

    try:
        return marked(value, None)
    finally:
        keys.close()
