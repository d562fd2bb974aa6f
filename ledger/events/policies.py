"""Policies, checks as data, and what a gate that ran them found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import (
    Category,
    DecisionBody,
    Digest,
    Environment,
    Erasable,
    FactBody,
    Line,
    Open,
    StreamPattern,
    SubjectName,
    Text,
    Time,
    Uuid,
    event,
)

__all__ = ["CheckResult", "GateEvaluated", "Mode", "PolicyDefined", "PolicyRetired"]

#: What a policy does where a check fails: refuse, tell whoever asks, or tell nobody but whoever tries the policy out.
Mode = Literal["enforce", "warn", "shadow"]

#: Characters of a policy's source, so that its payload stays within its limit.
MAX_SOURCE = 49_152


@event("policy.defined", kinds=("policy",), category=Category.DECISION, roles=("admin", "validator"), versioned=True)
class PolicyDefined(DecisionBody):
    """A version of a policy, with its source, so that what it decided can be decided again."""

    digest: Digest = Field(description="SHA-256 of the source's UTF-8 bytes")
    source: str = Field(min_length=1, max_length=MAX_SOURCE, description="The checks, as YAML")
    format: Line = Field(description="Name of the form of the source, for example muniment.checks/v2")
    mode: Mode = Field(default="enforce", description="Whether it refuses; the rules ask for what enforces alone")
    scope: tuple[StreamPattern, ...] = Field(
        default=(),
        max_length=32,
        description="Models that it is meant for, for its readers; the rules say where it is asked",
    )


@event(
    "policy.retired", kinds=("policy",), category=Category.DECISION, roles=("admin", "validator"), versioned=True,
    erasable=Erasable.FIELDS, personal=("reason",),
)  # fmt: skip
class PolicyRetired(DecisionBody):
    """A version of a policy is not to be asked any more."""

    reason: Text


class CheckResult(Open):
    """What became of one check."""

    check: Line = Field(description="Its id")
    result: Literal["pass", "fail", "waived", "error", "not-applicable"]
    reason: Text
    waiver: Line | None = Field(default=None, description="The waiver that lets it be, waiver:id")


@event(
    "gate.evaluated", kinds=("model",), category=Category.FACT,
    roles=("emitter", "owner", "validator", "approver", "deployer"), versioned=True, erasable=Erasable.FIELDS,
)  # fmt: skip
class GateEvaluated(FactBody):
    """The checks of a policy were run over what the log holds of a version."""

    environment: Environment
    deployment: SubjectName | None = Field(default=None, description="Where it is to be deployed, when that was said")
    policy: Line = Field(description="policy:name@version")
    policy_digest: Digest
    digest: Digest = Field(description="Digest of the version that was looked at")
    input_digest: Digest = Field(description="SHA-256 of the input document in its RFC 8785 form")
    size: int = Field(ge=1, description="Log size the input was made from")
    as_of: Time = Field(description="Time for which ages and ends were told")
    result: Literal["allow", "deny"]
    mode: Mode = Field(default="enforce", description="That of the policy: what does not enforce decides nothing")
    checks: tuple[CheckResult, ...] = Field(max_length=256)
    engine: Line = Field(description="What evaluated the expressions, with its version")
    evaluation: Uuid | None = Field(default=None, description="Event id of the evaluation that this one repeats")
