"""Files that were made: weights, tokenizers, containers, and what was said of their bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import Category, Digest, Erasable, FactBody, Line, RunName, SubjectName, Text, event

__all__ = ["ArtifactProduced", "ArtifactScanned", "ArtifactSigned", "ArtifactVerified"]

_KINDS = ("artifact", "model")


@event(
    "artifact.produced", kinds=("artifact",), category=Category.FACT, roles=("emitter",),
    erasable=Erasable.FIELDS, personal=("uri",),
)  # fmt: skip
class ArtifactProduced(FactBody):
    """Files exist and have these digests (in-toto's ResourceDescriptor, OpenSSF model signing's resources)."""

    files: dict[str, Digest] = Field(min_length=1, max_length=256, description="Path below the artifact to digest")
    digest: Digest | None = Field(default=None, description="One digest for all of it, where there is one")
    kind: Line | None = Field(default=None, description="For example weights, tokenizer, adapter, container")
    format: Line | None = None
    size: int | None = Field(default=None, ge=0, description="Bytes")
    run: RunName | None = Field(default=None, description="The run that made it")
    model: SubjectName | None = Field(default=None, description="The version it belongs to")
    uri: Line | None = None


class _Signature(FactBody):
    digest: Digest = Field(description="Digest of what was signed")
    method: Line = Field(description="For example sigstore, key, certificate, pkcs11")
    signer: Line | None = Field(default=None, description="Identity in the words of the method")
    bundle: Digest | None = Field(default=None, description="Digest of the signature bundle")
    predicate: Line | None = Field(default=None, description="Type of what was attested")
    log: Line | None = Field(default=None, description="Transparency log that the signature is in, by its name or URL")
    log_index: int | None = Field(default=None, ge=0, le=2**53 - 1, description="Its index there")


@event(
    "artifact.signed", kinds=_KINDS, category=Category.FACT, roles=("emitter",),
    erasable=Erasable.FIELDS, personal=("signer",),
)  # fmt: skip
class ArtifactSigned(_Signature):
    """An artefact was signed by another tool."""


@event(
    "artifact.verified", kinds=_KINDS, category=Category.FACT, roles=("emitter", "validator"),
    erasable=Erasable.FIELDS, personal=("signer", "reason"),
)  # fmt: skip
class ArtifactVerified(_Signature):
    """The signature of an artefact was checked; the verdict is the checker's."""

    verdict: Literal["pass", "fail", "uncertain"]
    reason: Text | None = None


@event(
    "artifact.scanned", kinds=_KINDS, category=Category.FACT, roles=("emitter", "validator"),
)  # fmt: skip
class ArtifactScanned(FactBody):
    """An artefact was searched for something bad."""

    digest: Digest
    scanner: Line
    verdict: Literal["pass", "fail", "uncertain"]
    findings: dict[str, int] = Field(default_factory=dict, description="Severity to how many")
    report: Digest | None = None
