"""Whether bounds that somebody types stand for anything, told before they are recorded: misspelt ones say nothing.

The log takes any pattern of the right form, since a role or a hold may come before what it is about. So this is asked
by whoever types one, and is no rule of the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from ledger.domain.scopes import matches
from ledger.errors import InputError
from ledger.events import all_event_types, find_event_type
from ledger.handle import LogHandle
from ledger.recorders.sql import SqlRecorder

__all__ = ["check_bounds", "check_kind", "known_kinds"]

#: Data subjects without a stream of their own go by this kind in all that is documented.
_PERSON = "person"
#: Behind every character that a name may have.
_LAST = "~"


def known_kinds(recorder: SqlRecorder, named: Collection[str] = ()) -> frozenset[str]:
    """Kinds of subject that somebody has, or that an event of the catalogue may be about.

    Args:
        recorder: of the log.
        named: names of subjects that have no stream of their own.
    """
    kinds = {_PERSON, *(kind for known in all_event_types() for kind in known.kinds)}
    kinds.update(name.partition(":")[0] for name in named)
    start = ""
    while found := recorder.streams(start, _LAST, 1):
        kind = found[0].partition(":")[0]
        kinds.add(kind)
        start = f"{kind};"  # ';' follows ':' in ASCII: the first stream of the next kind
    return frozenset(kinds)


def check_kind(pattern: str, known: frozenset[str], bound: str, otherwise: str) -> None:
    """Refuse a pattern of streams of a kind that nobody has.

    Args:
        pattern: ``kind:[namespace/]name``, in each part ``*`` for any characters.
        known: see `known_kinds`.
        bound: what it bounds, ``a hold on``.
        otherwise: what to do when it is meant all the same.

    Raises:
        InputError: with the nearest kind.
    """
    wanted = pattern.partition(":")[0]
    if any(matches(wanted, kind) for kind in known):
        return
    near = get_close_matches(wanted, known, n=1)
    mean = f"Did you mean {near[0]}:…? " if near else ""
    raise InputError(
        f"there is no kind of subject {wanted!r}, so {bound} {pattern} would cover nothing",
        hint=f"{mean}Known are {', '.join(sorted(known))}. For a kind that is still to come: {otherwise}",
    )


def _check_depth(pattern: str) -> None:
    """A name has one namespace; that of a deployment is its environment, in which teams have none of their own."""
    kind, _, rest = pattern.partition(":")
    if rest.count("/") < 2:
        return
    first, *others = rest.split("/")
    deeper = "-".join(others)
    where = "The environment is the namespace of a deployment" if kind == "deployment" else "There is one namespace"
    raise InputError(
        f"{pattern!r} stands for no name: kind:[namespace/]name has one slash at most",
        hint=f"{where}; what is more stands in the name, for example {kind}:{first}/{deeper}",
    )


def check_bounds(ledger: LogHandle, bounds: Mapping[str, Sequence[str]]) -> None:
    """Refuse bounds of a role that stand for nothing.

    Args:
        ledger: the log.
        bounds: the fields ``types`` and ``subjects`` of what grants it, either of which may be absent.

    Raises:
        InputError: the first that does, with the nearest that there is.
    """
    families = {known.family for known in all_event_types()}
    for pattern in bounds.get("types", ()):
        family, _, verb = pattern.partition(".")
        if verb == "*" and family not in families:
            near = get_close_matches(family, families, n=1)
            hint = f"Did you mean {near[0]}.*?" if near else "`muniment emit --list` shows the catalogue."
            raise InputError(f"there is no event type {pattern!r}", hint=hint)
        if verb != "*":
            find_event_type(pattern)
    subjects = bounds.get("subjects", ())
    known = known_kinds(ledger.recorder) if subjects else frozenset()
    for pattern in subjects:
        if ":" not in pattern:
            continue  # no pattern at all, which is said of its form
        _check_depth(pattern)
        check_kind(pattern, known, "a role for", "record something of it first")
