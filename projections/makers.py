"""Who says that they made a version, beside those whom its registration names.

The judge knows the makers that a version names: its registration, its run, and whoever composed it. A run or an
artefact elsewhere in the log may name the version, or its bytes, as what it made; the views find these.
"""

from __future__ import annotations

from typing import Final

from projections.base import ViewReader
from projections.findings import actors_behind
from projections.journal import journal_rows
from projections.lineage import edges

__all__ = ["claimants", "claims"]

#: Relations of what says that it made, or holds, a version.
_MADE: Final = ("output-of", "packaged-as")


def claims(views: ViewReader, subject: str, digest: str, registered: int, *, size: int) -> dict[int, str]:
    """Entries that say so, each with the run or artefact that it is about.

    By name at any time, and by its bytes before it was registered: who makes the same bytes afterwards reproduces them.

    Args:
        views: the views.
        subject: ``model:<name>@<version>``.
        digest: of the version.
        registered: index of its registration.
        size: log size that is known.
    """
    where = [("relation", "IN", _MADE)]
    named = edges(views, "downstream", [subject], size=size, where=where)
    same = edges(views, "digest", [digest], size=min(size, registered), where=where)
    return {int(edge["position"]) - 1: str(edge["upstream"]) for edge in (*named, *same)}


def claimants(views: ViewReader, subject: str, digest: str, registered: int, *, size: int) -> frozenset[str]:
    """Actors behind the entries of `claims`; what a stolen key signed can only stop something, so it counts too."""
    places = [index + 1 for index in claims(views, subject, digest, registered, size=size)]
    rows = journal_rows(views, [("position", "IN", places)], size=size) if places else []
    return frozenset(actor for row in rows for actor in actors_behind(row))
