"""The ledger itself: its birth, its rules, its own keys, and what an admin says about void entries."""

from __future__ import annotations

from pydantic import Field

from ledger.events.actors import Role
from ledger.events.base import Body, Category, Digest, Hex32, Hex64, Line, Text, _Frozen, event

__all__ = [
    "CheckpointKeyChanged",
    "EntryAcknowledged",
    "KnownHead",
    "LedgerCreated",
    "LedgerRestored",
    "RootsChanged",
    "Rule",
    "RuleSet",
    "RulesChanged",
    "Stop",
    "WaiverLimit",
]


class Rule(_Frozen):
    """One row of the rule table; the first row that matches environment and tier holds."""

    environment: Line = Field(description="Environment name, or * for any")
    tier: Line = Field(description="Risk tier, or * for any")
    authorisation: bool = Field(description="A deployment needs an authorisation")
    approvals: int = Field(ge=0, le=9, description="Approvals by other persons an authorisation needs")
    evaluation: bool = Field(description="An approval needs a passed evaluation of the same digest before it")
    roles: tuple[Role, ...] = Field(
        default=(), max_length=9, description="Roles each of which somebody who approves must have"
    )
    days: int | None = Field(default=None, ge=1, le=3660, description="Days after which an approval ends at the latest")
    gate: Line | None = Field(
        default=None, description="An authorisation needs an evaluation of this policy that allows, policy:name@version"
    )
    gate_digest: Digest | None = Field(default=None, description="SHA-256 of the source of that policy")


class Stop(_Frozen):
    """A decision that is refused about a version in certain states of its life cycle."""

    decision: Line = Field(description="Event type, for example approval.requested")
    states: tuple[Line, ...] = Field(min_length=1, max_length=32, description="States of the life cycle")


class WaiverLimit(_Frozen):
    """How long a waiver may be; the first row that matches environment and tier holds, and without one none may be."""

    environment: Line = Field(description="Environment name, or * for any")
    tier: Line = Field(description="Risk tier, or * for any")
    days: int = Field(ge=1, le=3660, description="Days for which a waiver may be at the longest")


class RuleSet(_Frozen):
    """The rules in force, as a table by environment and risk tier."""

    name: Line
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=64)
    stops: tuple[Stop, ...] | None = Field(
        default=None, max_length=64, description="What is refused in which state; the built-in table when absent"
    )
    waivers: tuple[WaiverLimit, ...] | None = Field(
        default=None, max_length=64, description="How long waivers may be; the built-in table when absent"
    )


@event("ledger.created", kinds=("ledger",), category=Category.AUTHORITY, versioned=False)
class LedgerCreated(Body):
    """The first entry: who this ledger is, which root keys rule it and which rules hold."""

    ledgerid: Hex32
    origin: Line = Field(description="Name of the log in every checkpoint (C2SP tlog-checkpoint)")
    vkey: Line = Field(description="Verifier key of the checkpoints (C2SP signed-note)")
    roots: tuple[Line, ...] = Field(min_length=1, max_length=16, description="Root public keys, ed25519:<base64>")
    threshold: int = Field(ge=1, le=16, description="Root signatures a root event needs")
    rules: RuleSet


@event("ledger.entry_acknowledged", kinds=("ledger",), category=Category.AUTHORITY, roles=("admin",), versioned=False)
class EntryAcknowledged(Body):
    """An admin has seen a void entry, so that verification lists it without failing again."""

    index: int = Field(ge=0)
    leaf_hash: Hex64 = Field(description="Leaf hash of that entry, hex: it counts for these bytes and no others")
    reason: Text


@event("ledger.rules_changed", kinds=("ledger",), category=Category.AUTHORITY, versioned=False)
class RulesChanged(Body):
    """Other rules hold from the next entry on; signed by the root keys."""

    rules: RuleSet
    reason: Text


@event("ledger.roots_changed", kinds=("ledger",), category=Category.AUTHORITY, versioned=False)
class RootsChanged(Body):
    """Other root keys or another threshold from the next entry on; signed by the old roots and by each new root key."""

    # One signature of an envelope's 16 is left for the key that a root event enrols.
    roots: tuple[Line, ...] = Field(min_length=1, max_length=15, description="Root public keys, ed25519:<base64>")
    threshold: int = Field(ge=1, le=15, description="Root signatures a root event needs")
    reason: Text


@event("ledger.checkpoint_key_changed", kinds=("ledger",), category=Category.AUTHORITY, versioned=False)
class CheckpointKeyChanged(Body):
    """Another key signs the heads that cover this entry and later ones; signed by the roots and by that key itself."""

    vkey: Line = Field(description="Verifier key of the checkpoints from now on (C2SP signed-note)")
    dual: bool = Field(
        default=True,
        description="The first head with this entry is signed by the old key too; false when that key is lost",
    )
    reason: Text


class KnownHead(_Frozen):
    """A signed head that is known to have existed."""

    size: int = Field(ge=1, le=2**53 - 1, description="Tree size")
    root: Hex64 = Field(description="Root hash of that size, hex")
    note: Hex64 = Field(description="SHA-256 of the signed note, hex")


@event("ledger.restored", kinds=("ledger",), category=Category.AUTHORITY, versioned=False)
class LedgerRestored(Body):
    """The ledger goes on from an old copy, and what was recorded behind it is lost; signed by the root keys."""

    size: int = Field(ge=1, le=2**53 - 1, description="Entries of the copy it goes on from")
    root: Hex64 = Field(description="Their root hash, hex")
    known: KnownHead = Field(description="The last head known to have existed")
    lost_from: int = Field(ge=1, le=2**53 - 1, description="Index of the first entry that is lost")
    lost_to: int = Field(ge=1, le=2**53 - 1, description="Index behind the last entry known to be lost")
    reason: Text
