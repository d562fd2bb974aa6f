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
    Title,
    event,
)

__all__ = [
    "ModelCardPublished",
    "ModelCardRevised",
    "ModelDecommissioned",
    "ModelDescribed",
    "ModelOnCallAssigned",
    "ModelOwnerChanged",
    "ModelRegistered",
    "ThirdPartyRegistered",
    "VersionAliased",
    "VersionComposed",
    "VersionDemoted",
    "VersionPromoted",
    "VersionRegistered",
    "VersionRetired",
    "VersionTagged",
    "VersionUnaliased",
]


class _End(FactBody):
    reason: Text
    successor: SubjectName | None = None
    data_disposition: Line | None = Field(
        default=None, description="What becomes of its data, for example archived, deleted, handed over"
    )
    keep_until: Time | None = Field(default=None, description="Until when its records and files are kept")


#: Words about a model that may be sealed.
_SAID = ("title", "purpose", "use_cases.*", "accountable", "description")


class _Description(FactBody):
    title: Title | None = None
    purpose: Text | None = None
    use_cases: tuple[Line, ...] = Field(default=(), max_length=64)
    accountable: Line | None = Field(default=None, description="Who answers for it before the business")
    business_unit: Line | None = None
    domain: Line | None = None
    task: Line | None = Field(default=None, description="For example text-classification (Hugging Face's pipeline_tag)")
    license: Line | None = None
    base_model: Line | None = Field(default=None, description="What it was made from, in its publisher's name")
    jurisdictions: tuple[Line, ...] = Field(default=(), max_length=64)
    description: Text | None = None


@event(
    "model.registered", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=False,
    erasable=Erasable.FIELDS, personal=_SAID,
)  # fmt: skip
class ModelRegistered(_Description):
    """A model exists, for this purpose, and this person answers for it."""

    owner: ActorId


@event(
    "model.described", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"), versioned=False,
    erasable=Erasable.FIELDS, personal=_SAID,
)  # fmt: skip
class ModelDescribed(_Description):
    """What is known of a model is another thing, or more, than before; what is not named stays."""


@event(
    "model.owner_changed", kinds=("model",), category=Category.FACT, roles=("owner", "admin"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ModelOwnerChanged(FactBody):
    """Another person answers for a model."""

    owner: ActorId
    reason: Text | None = None


@event(
    "model.decommissioned", kinds=("model",), category=Category.FACT, roles=("owner", "deployer"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class ModelDecommissioned(_End):
    """A model is used no more: all of its versions that there are by then are retired."""


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
    effective_at: Time | None = Field(default=None, description="When it lost it; when it occurred, if absent")


@event(
    "version.promoted", kinds=("model",), category=Category.FACT, roles=("owner", "deployer"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class VersionPromoted(FactBody):
    """A version got a place in an environment or stage of a registry; it gives no leave to deploy."""

    environment: Environment = Field(description="Environment or stage that it goes to")
    from_environment: Environment | None = Field(
        default=None, description="Environment or stage that it comes from; none if absent"
    )
    alias: Line | None = Field(default=None, description="The alias that names the place, for example champion")
    previous: SubjectName | None = Field(default=None, description="The version that had the place before")
    effective_at: Time | None = Field(default=None, description="When it got it; when it occurred, if absent")
    reason: Text | None = None


@event(
    "version.retired", kinds=("model",), category=Category.FACT, roles=("owner", "deployer"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class VersionRetired(_End):
    """A version is not to be used any more."""


class _Card(FactBody):
    digest: Digest
    format: Line | None = None
    uri: Line | None = None
    completeness: float | None = Field(default=None, ge=0, le=1, description="Share of the sections that are filled in")
    missing: tuple[Line, ...] = Field(default=(), max_length=64, description="Sections that are not filled in")


@event(
    "modelcard.published", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class ModelCardPublished(_Card):
    """A model card was published."""


@event(
    "modelcard.revised", kinds=("model",), category=Category.FACT, roles=("emitter", "owner"),
    erasable=Erasable.FIELDS, personal=("uri", "change"),
)  # fmt: skip
class ModelCardRevised(_Card):
    """Another model card takes the place of the one before."""

    change: Text | None = Field(default=None, description="What is different")
    previous: Digest | None = Field(default=None, description="Digest of the card before")


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
