"""What other systems said, kept as it came."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, event

__all__ = ["ExternalObserved"]


@event(
    "external.observed", kinds=(), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.WHOLE, personal=("kind", "content.*"),
)  # fmt: skip
class ExternalObserved(FactBody):
    """Something another system reported, in its own words; it changes no state."""

    system: Line = Field(description="Which system said it")
    kind: Line | None = Field(default=None, description="That system's own name for it")
    content: dict[str, Any] | None = None
    digest: Digest | None = Field(default=None, description="Digest of the original bytes, kept elsewhere")
    content_type: Line | None = None
