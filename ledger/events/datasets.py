"""Data sets and their versions."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Text, event

__all__ = ["DatasetRegistered"]


@event(
    "dataset.registered", kinds=("dataset",), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.FIELDS, personal=("name", "uri", "description"),
)  # fmt: skip
class DatasetRegistered(FactBody):
    """A data set version exists and has this digest (the vocabulary of Croissant and OpenLineage)."""

    digest: Digest
    name: Line | None = None
    uri: Line | None = None
    format: Line | None = None
    row_count: int | None = Field(default=None, ge=0)
    columns: dict[str, Line] | None = Field(default=None, description="Column name to type")
    profile: dict[str, dict[str, float]] | None = Field(default=None, description="Column to statistic to value")
    license: Line | None = None
    sensitivity: Line | None = None
    description: Text | None = None
