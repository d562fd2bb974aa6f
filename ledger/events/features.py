"""Feature sets: how inputs are computed from data (the vocabulary of Feast)."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Ref, Text, Time, event

__all__ = ["FeaturesetChanged", "FeaturesetDefined", "FeaturesetMaterialized"]

_KINDS = ("featureset",)


class _Definition(FactBody):
    digest: Digest = Field(description="Digest of the definition")
    entities: tuple[Line, ...] = Field(default=(), max_length=64)
    features: dict[str, Line] = Field(default_factory=dict, description="Feature name to type")
    ttl_seconds: int | None = Field(default=None, ge=0)
    inputs: tuple[Ref, ...] = Field(default=(), max_length=256, description="Data sets it is computed from")
    description: Text | None = None


@event(
    "featureset.defined", kinds=_KINDS, category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("description",),
)  # fmt: skip
class FeaturesetDefined(_Definition):
    """A feature set is defined."""


@event(
    "featureset.changed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("description", "change"),
)  # fmt: skip
class FeaturesetChanged(_Definition):
    """A feature set is defined anew."""

    change: Text


@event("featureset.materialized", kinds=_KINDS, category=Category.FACT, roles=("emitter",))
class FeaturesetMaterialized(FactBody):
    """Features were computed for a window and put where they are served or trained from."""

    digest: Digest | None = Field(default=None, description="Digest of what was computed")
    window_start: Time | None = None
    window_end: Time | None = None
    stores: tuple[Line, ...] = Field(default=(), max_length=16, description="Where to, for example online, offline")
    row_count: int | None = Field(default=None, ge=0)
    inputs: tuple[Ref, ...] = Field(default=(), max_length=256)
