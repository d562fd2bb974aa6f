"""Training runs and other jobs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, Ref, Text, event

__all__ = ["Code", "Cost", "RunAborted", "RunAttached", "RunCompleted", "RunFailed", "RunStarted"]


class Code(Open):
    """Which code ran."""

    repository: Line | None = None
    commit: Line | None = None
    dirty: bool | None = None
    pull_request: Line | None = Field(default=None, description="Where the change was reviewed, for example a URL")
    digest: Digest | None = None


class Cost(Open):
    """What something cost."""

    amount: float = Field(ge=0)
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, for example EUR")
    per: Line | None = Field(default=None, description="For what, for example 1000 predictions; all of it when absent")


class _RunBody(FactBody):
    job: Line | None = None
    code: Code | None = None
    parameters: dict[str, Any] | None = None
    environment: Digest | None = Field(default=None, description="Digest of the locked dependencies")
    seed: int | None = None
    hardware: Line | None = None
    inputs: tuple[Ref, ...] = Field(default=(), max_length=256)


class _EndedBody(_RunBody):
    cost: Cost | None = None
    energy_kwh: float | None = Field(default=None, ge=0)


class _StoppedBody(_EndedBody):
    reason: Text


@event(
    "run.started", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters.*"),
)  # fmt: skip
class RunStarted(_RunBody):
    """A run began with this code, these parameters and these inputs."""


@event(
    "run.completed", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters.*"),
)  # fmt: skip
class RunCompleted(_EndedBody):
    """A run ended well and made these outputs."""

    metrics: dict[str, float] = Field(default_factory=dict)
    outputs: tuple[Ref, ...] = Field(default=(), max_length=256)


@event(
    "run.failed", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters.*", "reason"),
)  # fmt: skip
class RunFailed(_StoppedBody):
    """A run ended badly."""


@event(
    "run.aborted", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters.*", "reason"),
)  # fmt: skip
class RunAborted(_StoppedBody):
    """A run was stopped before its end."""


@event(
    "run.attached", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters.*", "reason"),
)  # fmt: skip
class RunAttached(_EndedBody):
    """A run that nobody recorded while it went on is put on record afterwards."""

    reason: Text = Field(description="Why it was not recorded then")
    status: Literal["completed", "failed", "aborted"] = "completed"
    metrics: dict[str, float] = Field(default_factory=dict)
    outputs: tuple[Ref, ...] = Field(default=(), max_length=256)
