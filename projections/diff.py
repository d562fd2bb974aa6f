"""What changed between two bodies, as dotted paths with both values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

__all__ = ["Change", "diff"]

#: ``{"field", "before", "after", "ratio"}``; ratio is after/before for numbers, else None.
Change = dict[str, Any]
_NOISE = frozenset({"seen", "evidence"})


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name in value:
            if path or name not in _NOISE:
                yield from _flatten(value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        keyed = {_key(item, place): item for place, item in enumerate(value)}
        for name, item in keyed.items():
            yield from _flatten(item, f"{path}[{name}]")
    else:
        yield path, value


def _key(item: Any, place: int) -> str:
    """Name list items by what identifies them, so that an insertion does not shift the rest."""
    if isinstance(item, Mapping):
        for name in ("slice", "role", "name"):
            if isinstance(item.get(name), str):
                return str(item[name])
    return str(place)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Fields that differ, largest relative change of a number first, then the others by name.

    Args:
        before: the earlier body.
        after: the later body.
    """
    old, new = dict(_flatten(before, "")), dict(_flatten(after, ""))
    found = []
    for field in sorted(old.keys() | new.keys()):
        a, b = old.get(field), new.get(field)
        if a == b:
            continue
        ratio = float(b) / float(a) if _number(a) and _number(b) and a else None  # type: ignore[arg-type]
        if ratio is not None and not isfinite(ratio):
            ratio = None
        found.append({"field": field, "before": a, "after": b, "ratio": ratio})
    return sorted(found, key=lambda change: (-_size(change), change["field"]))


def _size(change: Change) -> float:
    if change["ratio"] is None:
        return 0.0
    ratio = abs(float(change["ratio"]))
    return max(ratio, 1 / ratio) if ratio > 0 else 1e9
