"""What other systems said, kept as it came."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Text, Time, event
from ledger.payload import parse_moment

__all__ = ["ExternalObserved", "FeedInterrupted"]


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


@event(
    "feed.interrupted", kinds=(), category=Category.FACT, roles=("emitter", "owner", "deployer"),
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class FeedInterrupted(FactBody):
    """Nothing, or not everything, came from a source about the subject between two times; numbers do not show that."""

    source: Line = Field(description="What was to tell, for example mlflow webhooks, prometheus")
    start: Time = Field(description="Since when something is missing")
    end: Time | None = Field(default=None, description="Until when; it goes on when absent")
    lost: int | None = Field(default=None, ge=0, le=2**53 - 1, description="How many events did not come, if known")
    reason: Text

    @model_validator(mode="after")
    def _in_order(self) -> FeedInterrupted:
        if self.end is not None and parse_moment(self.end) <= parse_moment(self.start):
            raise ValueError("end must be after start")
        return self
