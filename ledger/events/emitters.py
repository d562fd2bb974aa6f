"""What emitters say of their own numbers, so that what never arrived is known to be missing."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from ledger.events.base import ActorId, Category, DecisionBody, Erasable, FactBody, Text, event

__all__ = ["EmitterClosed", "EmitterHeartbeat", "GapDeclared"]

_MAX = 2**53 - 1


@event("emitter.closed", kinds=("emitter",), category=Category.FACT, versioned=False, erasable=Erasable.NO)
class EmitterClosed(FactBody):
    """An emitter of the author has given out its last number: none comes after it."""

    last: int = Field(ge=1, le=_MAX, description="The highest number it gave out")


@event("emitter.heartbeat", kinds=("emitter",), category=Category.FACT, versioned=False, erasable=Erasable.NO)
class EmitterHeartbeat(FactBody):
    """An emitter of the author is alive, and will be heard of again."""

    last: int = Field(ge=1, le=_MAX, description="The highest number it has given out so far")
    interval: int = Field(ge=1, le=31_622_400, description="Seconds within which its next event is recorded")


@event("gap.declared", kinds=("emitter",), category=Category.DECISION, versioned=False)
class GapDeclared(DecisionBody):
    """Numbers of an emitter that will not come, and why; said by its actor, who answers for it, or an admin."""

    actor: ActorId | None = Field(default=None, description="The emitter's actor, when it is not the author")
    first: int = Field(ge=1, le=_MAX, description="First number that will not come")
    last: int = Field(ge=1, le=_MAX, description="Last number that will not come")
    reason: Text

    @field_validator("last")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        first: Any = info.data.get("first")
        if first is not None and value < first:
            raise ValueError("last must not be smaller than first")
        return value
