"""Model versions."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import ActorId, Category, Digest, Erasable, FactBody, Line, RunName, Text, Tier, event

__all__ = ["VersionRegistered"]


@event(
    "version.registered", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=True,
    erasable=Erasable.FIELDS, personal=("uri", "description"),
)  # fmt: skip
class VersionRegistered(FactBody):
    """A model version exists, was made by this run, belongs to this owner and has this risk tier."""

    digest: Digest
    owner: ActorId
    tier: Tier
    run: RunName | None = Field(default=None, description="The run that made it, run:name")
    uri: Line | None = None
    format: Line | None = None
    description: Text | None = None
