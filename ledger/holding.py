"""What a legal hold would cover, told before it is placed: a misspelt one protects nothing and says nothing.

The log takes any pattern of the right form, since a hold may come before what it is about. So this is asked by whoever
types one, and is no rule of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches

from ledger.domain.scopes import covers_stream, matches
from ledger.errors import InputError
from ledger.events import all_event_types
from ledger.handle import LogHandle
from ledger.recorders.sql import SqlRecorder

__all__ = ["covering_nothing"]

_PAGE = 500
#: Data subjects without a stream of their own go by this kind in all that is documented.
_PERSON = "person"
#: Before and behind every character that a name may have.
_FIRST, _LAST = "!", "~"


def _kinds(recorder: SqlRecorder, named: Collection[str]) -> frozenset[str]:
    """Kinds of subject that somebody has, or that an event of the catalogue may be about."""
    kinds = {_PERSON, *(kind for known in all_event_types() for kind in known.kinds)}
    kinds.update(name.partition(":")[0] for name in named)
    start = ""
    while found := recorder.streams(start, _LAST, 1):
        kind = found[0].partition(":")[0]
        kinds.add(kind)
        start = f"{kind};"  # ';' follows ':' in ASCII: the first stream of the next kind
    return frozenset(kinds)


def _covers_any(recorder: SqlRecorder, pattern: str) -> bool:
    start = pattern.partition("*")[0]
    stop = start + _LAST
    while found := recorder.streams(start, stop, _PAGE):
        if any(covers_stream((pattern,), stream) for stream in found):
            return True
        start = found[-1] + _FIRST
    return False


def _check_kind(pattern: str, known: frozenset[str]) -> None:
    wanted = pattern.partition(":")[0]
    if any(matches(wanted, kind) for kind in known):
        return
    near = get_close_matches(wanted, known, n=1)
    mean = f"Did you mean {near[0]}:…? " if near else ""
    raise InputError(
        f"there is no kind of subject {wanted!r}, so a hold on {pattern} would cover nothing",
        hint=f"{mean}Known are {', '.join(sorted(known))}. For a kind that is still to come: --yes",
    )


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
        known = _kinds(ledger.recorder, named)
        for pattern in left:
            _check_kind(pattern, known)
    return left
