"""What an approval may rest on besides evaluations, as its author saw it: states, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.signed import Signed

__all__ = ["Contract", "End", "Gate", "Grounds", "Validation"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What the last evaluation of a policy for an environment found.

    Attributes:
        size: log size that was looked at.
        as_of: time for which ages and ends were told, in microseconds since the Unix epoch.
        waivers: those it rested on.
        deployment: where the version was to be deployed; empty when that was not said.
    """

    id: str
    signed: Signed
    policy: str
    policy_digest: str
    digest: str
    size: int
    as_of: int
    allowed: bool
    waivers: tuple[str, ...]
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """A validation: the version and the digest it is about (empty for all of them), its entry, and what it concluded.

    Attributes:
        id: event id.
        until: it is valid before; microseconds since the Unix epoch.
        withdrawn: whether it was said not to hold.
    """

    id: str
    version: str
    digest: str
    signed: Signed
    verdict: str
    until: int
    withdrawn: bool = False

    @property
    def index(self) -> int:
        """Leaf index of its entry."""
        return self.signed.index


class End(NamedTuple):
    """Until when a validation or a document is valid.

    Attributes:
        version: what it is about; empty for the whole model.
        name: what it is, in words, with the kind of a document.
        digest: of the bytes that were validated; empty for any, and for documents.
        until: it is valid before; microseconds since the Unix epoch.
    """

    version: str
    name: str
    digest: str
    until: int


@dataclass(frozen=True, slots=True)
class Contract:
    """What goes in and what comes out of a version, or of a model: index of the entry, and what that says."""

    index: int
    says: tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the author of an approval cited.

    Attributes:
        seen: indexes of all the entries.
        validations, contract, gates: among them, as far as they stood then.
    """

    seen: frozenset[int] = frozenset()
    validations: tuple[Validation, ...] = ()
    contract: Contract | None = None
    gates: tuple[Gate, ...] = ()
