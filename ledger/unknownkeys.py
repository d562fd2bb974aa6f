"""Fields sealed with a data key that the key store never had, or lost: nobody can open them, and nothing was erased.

Whoever signs may name any data key. A field under one that never was looks like erased content, and is none: no record
says so. It can be told apart only where the key store is, and only of what was recorded since that was made: a copy, a
backup, a bundle or a store that was moved has no keys, or begins with new ones, and of those nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.datakeys import DataKeys
from ledger.errors import InputError
from ledger.findings import entries
from ledger.handle import LogHandle
from ledger.sealing import MARK, named_keys
from ledger.verdicts import Gap, GapKind

__all__ = ["find_unknown_keys", "unknown_key_gap"]

#: Entries that one question to the store is about.
_PAGE = 5_000
#: How a field begins in a payload, and the one thing that hides it from a look at the bytes: an escape.
_MARKS = (MARK, b"\\u00")


def _named(ledger: LogHandle, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Index and data key of every sealed field in a stretch of the log."""
    for place in range(start, stop, _PAGE):
        for index, payload in ledger.recorder.payloads_with(_MARKS, place, min(place + _PAGE, stop)):
            try:
                names = named_keys(payload)
            except InputError:
                continue  # no strict JSON: the entry is void, which verification says
            yield from ((index, name) for name in sorted(names))


def find_unknown_keys(ledger: LogHandle, keys: DataKeys, start: int = 0) -> list[tuple[int, str]]:
    """Sealed fields that neither a data key here opens nor a record calls erased.

    Args:
        ledger: the log.
        keys: its data keys.
        start: first entry to look at.

    Returns:
        Index and id of the data key, in order; none where it cannot be told.
    """
    size = ledger.world.refresh()
    since = keys.since()
    if since is None:
        return []
    here = keys.ids()  # behind the size: a key is durable before its event
    found = [item for item in _named(ledger, max(start, since), size) if item[1] not in here]
    if found:
        ledger.world.refresh()  # behind the keys: the record comes before its key goes
        erased = ledger.ledger_state().erased_keys
        found = [item for item in found if item[1] not in erased]
    return found


def unknown_key_gap(found: list[tuple[int, str]]) -> Gap:
    """What a verification says of them.

    Args:
        found: by `find_unknown_keys`, at least one.
    """
    first, last = found[0][0], found[-1][0]
    count, keys = len({index for index, _ in found}), len({key for _, key in found})
    words = (
        f"{count} entr{'y has' if count == 1 else 'ies have'} fields sealed with {keys} data key(s) that this store "
        f"never had or has lost, the first {entries(first, first + 1)} with {found[0][1]}: nobody can open them "
        "here, and no record erased them"
    )
    return Gap(GapKind.SEALED, words, first, last + 1)
