"""Where bytes were ever loaded, as platforms told by serving snapshots, and the deployments that only those tell of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from projections.asof import AsOf
from projections.base import Selection, ViewReader, some_at_a_time
from projections.journal import journal_rows
from projections.lineage import LOADED, named_bytes

__all__ = ["loaded_somewhere", "names_of", "told_of"]


def told_of(views: ViewReader, as_of: AsOf, deployment: str | None = None) -> list[str]:
    """Deployments of which a snapshot had told by then.

    Args:
        views: the views.
        as_of: both clocks.
        deployment: only this one; all when None.
    """
    where: list[tuple[str, str, Any]] = [("position", "<=", as_of.size)]
    where += [] if deployment is None else [("deployment", "=", deployment)]
    first: dict[str, int] = {}
    for row in views.select(LOADED, where):
        first[row["deployment"]] = min(row["occurred_at"], first.get(row["deployment"], row["occurred_at"]))
    return sorted(name for name, at in first.items() if at <= as_of.bound or _earlier(views, as_of, name))


def _earlier(views: ViewReader, as_of: AsOf, deployment: str) -> bool:
    """Whether a snapshot that was recorded after the first one tells of what was before that."""
    # By the stream alone: a store that took the index of types would read every snapshot.
    where = [("stream", "=", deployment), ("occurred_at", "<=", as_of.bound)]
    rows = journal_rows(views, where, size=as_of.size)
    return any(row["type"] == "serving.snapshot" and row["verdict"] == "valid" for row in rows)


def loaded_somewhere(views: ViewReader, as_of: AsOf, digests: Iterable[str]) -> list[str]:
    """Deployments that ever had one of these bytes loaded, whatever they have by now.

    Args:
        views: the views.
        as_of: both clocks.
        digests: the bytes.
    """
    found: set[str] = set()
    for some in some_at_a_time(sorted(set(digests))):
        rows = views.select(LOADED, [("digest", "IN", some), ("position", "<=", as_of.size)])
        found |= {row["deployment"] for row in rows}
    return sorted(found)


def names_of(views: ViewReader, as_of: AsOf, digests: Iterable[str]) -> dict[str, list[str]]:
    """Under which names bytes were registered, by digest: versions of models first, then in log order.

    Args:
        views: the views.
        as_of: both clocks.
        digests: the bytes; what nobody registered is left out.
    """
    where: Selection = [("occurred_at", "<=", as_of.bound)]
    rows = named_bytes(views, "digest", sorted(set(digests)), size=as_of.size, where=where)
    found: dict[str, dict[str, None]] = {}
    for row in sorted(rows, key=lambda row: (not row["subject"].startswith("model:"), row["position"])):
        found.setdefault(row["digest"], {})[row["subject"]] = None
    return {digest: list(names) for digest, names in found.items()}
