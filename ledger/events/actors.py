"""Who may write: actors and their keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ledger.events.base import ActorId, Body, Category, Hex64, Line, Text, event

__all__ = ["ROLES", "ActorEnrolled", "ActorRevoked", "KeyEnrolled", "KeyRevoked", "Role"]

Role = Literal[
    "emitter", "owner", "validator", "approver", "deployer", "incident-commander", "auditor", "eraser", "admin"
]
ROLES: tuple[str, ...] = (
    "emitter",
    "owner",
    "validator",
    "approver",
    "deployer",
    "incident-commander",
    "auditor",
    "eraser",
    "admin",
)


@event("actor.enrolled", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class ActorEnrolled(Body):
    """An actor may write from here on, in these roles and with this key (which also signs: possession)."""

    kind: Literal["person", "service"]
    person: ActorId | None = Field(default=None, description="Person behind a person actor; its own id when absent")
    responsible: ActorId | None = Field(default=None, description="Person who answers for a service")
    roles: tuple[Role, ...] = Field(max_length=9, description="Everywhere and for good; none where all are bounded")
    key: Line = Field(description="First public key, ed25519:<base64>")


@event("actor.revoked", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class ActorRevoked(Body):
    """An actor may not write any more; what it wrote before stands."""

    reason: Text


@event("key.enrolled", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class KeyEnrolled(Body):
    """A further key of an actor; signed by an admin and by the key itself (possession)."""

    key: Line = Field(description="Public key, ed25519:<base64>")


@event("key.revoked", kinds=("actor",), category=Category.AUTHORITY, versioned=False)
class KeyRevoked(Body):
    """Events signed by this key are refused from here on; earlier ones stand."""

    keyid: Hex64
    reason: Text
