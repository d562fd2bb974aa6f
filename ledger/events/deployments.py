"""Deployments and rollbacks: request, authorisation, and the fact."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from ledger.events.base import Category, DecisionBody, Digest, Erasable, FactBody, Line, SubjectName, Text, event

__all__ = [
    "DeploymentAuthorised",
    "DeploymentCompleted",
    "DeploymentFailed",
    "DeploymentRequested",
    "RollbackAuthorised",
    "RollbackCompleted",
    "RollbackRequested",
]

_KINDS = ("deployment",)


class _Intent(DecisionBody):
    model: SubjectName = Field(description="The model version, model:name@version")
    digest: Digest
    reason: Text | None = None


@event(
    "deployment.requested", kinds=_KINDS, category=Category.DECISION, roles=("owner", "deployer", "emitter"),
    versioned=False, erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentRequested(_Intent):
    """Somebody asks that a version be deployed here."""


@event(
    "deployment.authorised", kinds=_KINDS, category=Category.DECISION, roles=("deployer",), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentAuthorised(_Intent):
    """This version may be deployed here; nothing has been changed by saying so."""


class _Outcome(FactBody):
    model: SubjectName = Field(description="The model version, model:name@version")
    digest: Digest


@event(
    "deployment.completed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
    erasable=Erasable.FIELDS, personal=("config",),
)  # fmt: skip
class DeploymentCompleted(_Outcome):
    """This version is live here."""

    strategy: Line | None = None
    config: dict[str, Any] | None = None


@event(
    "deployment.failed", kinds=_KINDS, category=Category.FACT, roles=("emitter", "deployer"), versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class DeploymentFailed(_Outcome):
    """A deployment was tried and did not go live."""

    reason: Text


class _RollbackIntent(DecisionBody):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")  # protection is never blocked

    model: SubjectName = Field(description="The version to return to, model:name@version")
    digest: Digest
    incident: SubjectName | None = None
    reason: Text | None = None


@event(
    "rollback.requested", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RollbackRequested(_RollbackIntent):
    """Somebody asks to return to an earlier version; this is never blocked."""


@event(
    "rollback.authorised", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RollbackAuthorised(_RollbackIntent):
    """Returning to an earlier version may go ahead; this is never blocked."""


@event(
    "rollback.completed", kinds=_KINDS, category=Category.PROTECTION, versioned=False,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class RollbackCompleted(_Outcome):
    """An earlier version is live again here; recorded whatever it returned to."""

    incident: SubjectName | None = None
    reason: Text | None = None
