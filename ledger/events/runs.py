"""Training runs and other jobs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, Open, Ref, Text, event

__all__ = ["Code", "RunCompleted", "RunFailed", "RunStarted"]


class Code(Open):
    """Which code ran."""

    repository: Line | None = None
    commit: Line | None = None
    dirty: bool | None = None
    digest: Digest | None = None


class _RunBody(FactBody):
    job: Line | None = None
    code: Code | None = None
    parameters: dict[str, Any] | None = None
    environment: Digest | None = Field(default=None, description="Digest of the locked dependencies")
    seed: int | None = None
    inputs: tuple[Ref, ...] = Field(default=(), max_length=256)


@event(
    "run.started", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters"),
)  # fmt: skip
class RunStarted(_RunBody):
    """A run began with this code, these parameters and these inputs."""


@event(
    "run.completed", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters"),
)  # fmt: skip
class RunCompleted(_RunBody):
    """A run ended well and made these outputs."""

    metrics: dict[str, float] = Field(default_factory=dict)
    outputs: tuple[Ref, ...] = Field(default=(), max_length=256)


@event(
    "run.failed", kinds=("run",), category=Category.FACT, roles=("emitter",), versioned=False,
    erasable=Erasable.FIELDS, personal=("job", "parameters", "reason"),
)  # fmt: skip
class RunFailed(_RunBody):
    """A run ended badly."""

    reason: Text
