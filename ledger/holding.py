"""What a legal hold would cover, told before it is placed: a misspelt one protects nothing and says nothing.

The log takes any pattern of the right form, since a hold may come before what it is about. So this is asked by whoever
types one, and is no rule of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ledger.bounds import check_kind, known_kinds
from ledger.domain.scopes import covers_stream
from ledger.handle import LogHandle
from ledger.recorders.sql import SqlRecorder

__all__ = ["covering_nothing"]

_PAGE = 500
#: Before and behind every character that a name may have.
_FIRST, _LAST = "!", "~"


def _covers_any(recorder: SqlRecorder, pattern: str) -> bool:
    start = pattern.partition("*")[0]
    stop = start + _LAST
    while found := recorder.streams(start, stop, _PAGE):
        if any(covers_stream((pattern,), stream) for stream in found):
            return True
        start = found[-1] + _FIRST
    return False


def covering_nothing(
    ledger: LogHandle, patterns: Sequence[str], data_subjects: Callable[[], Collection[str]], *, new_kinds: bool
) -> list[str]:
    """Patterns of a hold that stand for nothing there is: no stream of the log, and nobody with data keys or erased.

    Args:
        ledger: the log.
        patterns: well-formed, as a hold takes them.
        data_subjects: gives the names of those with data keys; asked only when the log does not tell.
        new_kinds: take kinds of subject that nobody has.

    Raises:
        InputError: one is for a kind of subject that nobody has; the known ones are named.
    """
    named: set[str] = {record.subject for record in ledger.ledger_state().erasures}

    def uncovered(among: Sequence[str]) -> list[str]:
        return [pattern for pattern in among if not any(covers_stream((pattern,), name) for name in named)]

    left = [pattern for pattern in uncovered(patterns) if not _covers_any(ledger.recorder, pattern)]
    if not left:
        return []
    named.update(data_subjects())
    left = uncovered(left)
    if left and not new_kinds:
        known = known_kinds(ledger.recorder, named)
        for pattern in left:
            check_kind(pattern, known, "a hold on", "--yes")
    return left
