"""Models, their versions, and who answers for them."""

from __future__ import annotations

from pydantic import Field

from ledger.events.base import (
    ActorId,
    Category,
    Digest,
    Environment,
    Erasable,
    FactBody,
    Line,
    Ref,
    RunName,
    SubjectName,
    Text,
    Tier,
    Time,
    event,
)

__all__ = [
    "ModelCardPublished",
    "ModelOnCallAssigned",
    "ModelOwnerChanged",
    "ModelRegistered",
    "ThirdPartyRegistered",
    "VersionAliased",
    "VersionComposed",
    "VersionDemoted",
    "VersionRegistered",
    "VersionRetired",
    "VersionTagged",
    "VersionUnaliased",
]


@event(
    "model.registered", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=False,
    erasable=Erasable.FIELDS, personal=("title", "purpose", "use_cases.*"),
)  # fmt: skip
class ModelRegistered(FactBody):
    """A model exists, for this purpose, and this person answers for it."""

    owner: ActorId
    title: Line | None = None
    purpose: Text | None = None
    use_cases: tuple[Line, ...] = Field(default=(), max_length=64)
    domain: Line | None = None
    base_model: Line | None = Field(default=None, description="What it was made from, in its publisher's name")
    jurisdictions: tuple[Line, ...] = Field(default=(), max_length=64)


@event(
    "model.owner_changed", kinds=("model",), category=Category.FACT, roles=("owner", "admin"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ModelOwnerChanged(FactBody):
    """Another person answers for a model."""

    owner: ActorId
    reason: Text | None = None


@event(
    "model.on_call_assigned", kinds=("model", "deployment"), category=Category.FACT,
    roles=("owner", "incident-commander", "admin"), versioned=False,
)  # fmt: skip
class ModelOnCallAssigned(FactBody):
    """Who is called when it burns."""

    on_call: ActorId
    runbook: Line | None = Field(default=None, description="Where it is written what to do")
    until: Time | None = None


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


@event("version.composed", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=True)
class VersionComposed(FactBody):
    """A version is made of other versions: an ensemble, a distilled or an adapted model."""

    parents: tuple[Ref, ...] = Field(min_length=1, max_length=256, description="The versions, with their digests")
    method: Line | None = Field(default=None, description="For example ensemble, distillation, adapter, merge")


class _Alias(FactBody):
    alias: Line = Field(description="For example champion")


@event("version.aliased", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=True)
class VersionAliased(_Alias):
    """An alias of the model names this version from now on (MLflow's aliases); no rule reads it."""

    previous: SubjectName | None = Field(default=None, description="The version that it named before")


@event("version.unaliased", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=True)
class VersionUnaliased(_Alias):
    """An alias names this version no more, and no other one yet."""

    reason: Text | None = None


@event("version.tagged", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=True)
class VersionTagged(FactBody):
    """Tags of a version in another registry have these values now; no rule reads them."""

    tags: dict[str, Line | None] = Field(min_length=1, max_length=256, description="Name to value, null when removed")


@event(
    "version.demoted", kinds=("model",), category=Category.FACT, roles=("owner", "deployer"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class VersionDemoted(FactBody):
    """A version lost its place in an environment; what was approved for it there is to be approved anew."""

    environment: Environment = Field(description="Environment or stage that it leaves")
    to: Environment | None = Field(
        default=None, description="Environment or stage that it goes back to; none if absent"
    )
    reason: Text
    previous: SubjectName | None = Field(default=None, description="The version that has the place again")


@event(
    "version.retired", kinds=("model",), category=Category.FACT, roles=("owner", "deployer"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class VersionRetired(FactBody):
    """A version is not to be used any more."""

    reason: Text
    successor: SubjectName | None = None
    data_disposition: Line | None = Field(default=None, description="What becomes of its data")
    keep_until: Time | None = None


@event(
    "modelcard.published", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class ModelCardPublished(FactBody):
    """A model card was published."""

    digest: Digest
    format: Line | None = None
    uri: Line | None = None
    missing: tuple[Line, ...] = Field(default=(), max_length=64, description="Sections that are not filled in")


@event(
    "thirdparty.registered", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("contact",),
)  # fmt: skip
class ThirdPartyRegistered(FactBody):
    """A model comes from somebody else, and this is what is known of it."""

    vendor: Line
    product: Line
    release: Line | None = None
    contract: Line | None = None
    hosted: bool | None = Field(default=None, description="Whether it runs at the vendor's")
    unknown: tuple[Line, ...] = Field(default=(), max_length=64, description="What the vendor does not say")
    contact: Line | None = None
