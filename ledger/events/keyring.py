"""How authority changes hands: keys rotated and found stolen, roles granted for a while, actors who leave."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ledger.events.actors import Role
from ledger.events.base import ActorId, Body, Category, Environment, Hex64, Line, StreamPattern, Text, Uuid, event

__all__ = [
    "ActorOffboarded",
    "ActorResponsibleChanged",
    "ApprovalDelegated",
    "EntryReaffirmed",
    "KeyCompromised",
    "KeyRotated",
    "RoleGranted",
    "RoleRevoked",
]

TypePattern = Annotated[
    str,
    Field(
        max_length=100,
        pattern=r"^[a-z][a-z0-9_]*\.([a-z][a-z0-9_]*|\*)$",
        description="An event type without version, run.completed, or a whole family, run.*",
    ),
]

_Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")]


@event("key.rotated", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class KeyRotated(Body):
    """A new key takes the place of an old one, which may sign until a stated index; the new key signs too."""

    keyid: Hex64 = Field(description="The key that is replaced")
    key: Line = Field(description="The new public key, ed25519:<base64>")
    until: int = Field(ge=0, le=2**53 - 1, description="First index the old key may not sign; the next one when past")
    reason: Text | None = None


@event("key.compromised", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class KeyCompromised(Body):
    """A key was in other hands: it signs nothing more, and what it signed since an index is suspect from here on."""

    keyid: Hex64
    since: int = Field(ge=0, le=2**53 - 1, description="First index at which the key may have been in other hands")
    reason: Text


@event("entry.reaffirmed", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class EntryReaffirmed(Body):
    """A suspect entry of the actor named as subject is genuine, and counts again from here on."""

    index: int = Field(ge=0, le=2**53 - 1)
    leaf_hash: Hex64 = Field(description="Its leaf hash (RFC 6962), hex")
    reason: Text


@event("role.granted", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class RoleGranted(Body):
    """A role of an actor, perhaps for some types, things and environments only, and for a while."""

    role: Role
    types: tuple[TypePattern, ...] = Field(default=(), max_length=32, description="Event types; every one when empty")
    subjects: tuple[StreamPattern, ...] = Field(default=(), max_length=32, description="Streams; every one when empty")
    environments: tuple[Environment, ...] = Field(
        default=(), max_length=32, description="Environments; every one, and what names none, when empty"
    )
    until: _Time | None = Field(default=None, description="It covers what is recorded before this time, UTC")
    reason: Text | None = None


@event("role.revoked", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class RoleRevoked(Body):
    """A role of an actor ends; what it did in it before stands."""

    role: Role
    grant: Uuid | None = Field(default=None, description="Event id of the one grant that ends; all when absent")
    reason: Text


@event("actor.responsible_changed", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class ActorResponsibleChanged(Body):
    """Another person answers for a service from here on."""

    responsible: ActorId
    reason: Text


@event("actor.offboarded", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class ActorOffboarded(Body):
    """An actor leaves: its keys and roles end here, and a successor takes on what it owned."""

    successor: ActorId | None = None
    reason: Text


@event("approval.delegated", kinds=("actor",), category=Category.AUTHORITY, roles=("approver",), versioned=False)
class ApprovalDelegated(Body):
    """An approver lets another person approve too for a while, no further than itself; the other cannot hand it on."""

    until: _Time = Field(description="What is recorded before may be approved; UTC with six decimals")
    types: tuple[TypePattern, ...] = Field(default=(), max_length=32, description="Event types; every one when empty")
    subjects: tuple[StreamPattern, ...] = Field(default=(), max_length=32, description="Streams; every one when empty")
    environments: tuple[Environment, ...] = Field(
        default=(), max_length=32, description="Environments; every one, and what names none, when empty"
    )
    reason: Text
