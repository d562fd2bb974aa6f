"""Other names of the same bytes: what is in quarantine stays so under each, and a recall must not stop at a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from projections.asof import AsOf
from projections.base import ViewReader
from projections.lineage import READ, edges, named_bytes

__all__ = ["SAME_BYTES", "copies"]

#: The relation of a copy to what it is one of.
SAME_BYTES: Final = "same-bytes"
#: Relations whose digest is that of the upstream thing, as it was read or measured on.
_READ: Final = (*READ, "evaluated-on")
_KINDS: Final = ("dataset:", "featureset:", "model:", "artifact:")


def copies(views: ViewReader, as_of: AsOf, names: Iterable[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Other names under which the bytes that things were registered with were registered, read, made or served.

    A file that holds a version is no copy of it; what else was registered as these bytes is a copy of the file.

    Args:
        views: the views.
        as_of: both clocks.
        names: the things.

    Yields:
        The other name (of what was served, the deployment and the version that it said), the thing, and the row that
        says so.
    """
    named = sorted({name for name in names if name.startswith(_KINDS) and " " not in name})
    size, where = as_of.size, [("occurred_at", "<=", as_of.bound)]
    first: dict[str, str] = {}  # of several that have the same bytes one is enough to lead to all others
    for row in named_bytes(views, "subject", named, size=size, where=where):
        first.setdefault(row["digest"], row["subject"])
    known = set()
    for row in named_bytes(views, "digest", sorted(first), size=size, where=where):
        known.add((row["subject"], row["digest"]))
        of = first[row["digest"]]
        if row["subject"] != of and (of.startswith("artifact:") or not row["subject"].startswith("artifact:")):
            yield row["subject"], of, row
    for row in edges(views, "digest", sorted(first), size=size, where=where):
        name = row["upstream"] if row["relation"] in (*_READ, "serves") else row["downstream"]
        if row["relation"] not in (*_READ, "serves", "output-of") or (name, row["digest"]) in known:
            continue
        served = row["relation"] == "serves" and row["downstream"].startswith("deployment:")
        yield f"{row['downstream']} {name}" if served else name, first[row["digest"]], row
