"""What a grant of a role covers: types, streams and environments.

A stream pattern has the parts of a name, ``kind:[namespace/]name``. In each of them ``*`` stands for any characters,
none too, and never for a separator: ``model:*`` covers no ``model:credit/x``, which ``model:*/*`` and
``model:credit/*`` do.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["covers_stream", "covers_type", "matches", "within"]

#: Types, streams and environments that a grant covers; empty for everything.
Bounds = tuple[Sequence[str], Sequence[str], Sequence[str]]


def matches(pattern: str, text: str) -> bool:
    """Whether a text is one that a pattern of a single part stands for; the time grows with both lengths' product.

    Args:
        pattern: characters, and ``*`` for any of them.
        text: without ``*``.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for piece in rest:  # the leftmost place of each piece leaves most room for the others
        found = text.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True


def _parts(name: str) -> tuple[str, str | None, str]:
    kind, _, rest = name.partition(":")
    namespace, slash, part = rest.rpartition("/")
    return kind, namespace if slash else None, part


def covers_stream(patterns: Sequence[str], stream: str) -> bool:
    """Whether one of the patterns stands for a stream; no patterns stand for every one."""
    kind, namespace, part = _parts(stream)
    for pattern in patterns:
        wanted_kind, wanted_namespace, wanted_part = _parts(pattern)
        if (namespace is None) != (wanted_namespace is None) or not matches(wanted_kind, kind):
            continue
        if (namespace is None or matches(wanted_namespace or "", namespace)) and matches(wanted_part, part):
            return True
    return not patterns


def covers_type(patterns: Sequence[str], topic: str) -> bool:
    """Whether one of the patterns stands for an event type, whatever its version; no patterns for every one."""
    name = topic.removeprefix("muniment.").rpartition(".")[0]
    family = name.partition(".")[0]
    return not patterns or any(pattern in (name, f"{family}.*") for pattern in patterns)


def within(inner: Bounds, outer: Bounds) -> bool:
    """Whether bounds reach no further than others.

    A pattern reaches no further than another that stands for its very text: only a ``*`` stands for a ``*``, and then
    for whatever that stands for.
    """
    (types, streams, environments), (all_types, all_streams, all_environments) = inner, outer
    families = {f"{name.partition('.')[0]}.*" for name in types if name not in all_types}
    fewer_types = not all_types or (bool(types) and families.issubset(all_types))
    fewer_streams = not all_streams or (bool(streams) and all(covers_stream(all_streams, one) for one in streams))
    fewer_places = not all_environments or (bool(environments) and set(environments).issubset(all_environments))
    return fewer_types and fewer_streams and fewer_places
