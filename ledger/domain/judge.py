"""`judge`: is this event legal at this place? One answer for append, projections and verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ledger.domain.actors import FOREVER
from ledger.domain.authority import check_authority_event
from ledger.domain.decisions import check_decision, check_evidence, check_identity, marked_until
from ledger.domain.emitters import check_gap
from ledger.domain.recorded import RecordedEvent
from ledger.domain.roles import check_answered, check_roles
from ledger.domain.signing import keys_end, signing_keys
from ledger.domain.world import World, actor_of
from ledger.errors import AuthenticationError, InputError, LedgerError
from ledger.events import Category, EventType
from ledger.keys import PublicKey

__all__ = ["KEPT", "Verdict", "judge", "reads_body", "signing_keys"]

#: Kinds of subject whose states judging reads. Runs too, but only those that a version names.
KEPT = frozenset({"ledger", "actor", "model", "dataset", "featureset", "deployment", "waiver", "policy"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `judge` found.

    Attributes:
        kind: ``valid``; ``void`` (stays in the tree, changes no state); ``opaque`` (a type this version
            of Muniment does not know; kept, changes no state); ``withheld`` (its content was erased, as a record of the
            log says; whether it was valid is no longer known, and no state rests on it; `judge` never says so).
        error: why it is void, as the error that append raises.
        marks: what is remarkable about a valid event (`decisions.marks_of`), for example ``unauthorised``;
            filled in by replay, since append need not know it.
        keys: what its signatures must verify under (`signing_keys`); none when it is void.
        until: time before which a valid event must be recorded to be valid, because the role it rests on ends then;
            microseconds since the Unix epoch.
        stop: index below which a valid event must be recorded to be valid, because a key that signs it was rotated and
            ends there; None when none ends.
    """

    kind: Literal["valid", "void", "opaque", "withheld"]
    error: LedgerError | None = None
    marks: tuple[str, ...] = ()
    keys: Mapping[str, PublicKey] = field(default_factory=dict, compare=False)
    until: int = field(default=FOREVER, compare=False)
    stop: int | None = field(default=None, compare=False)


def _check_subject(event: RecordedEvent) -> None:
    kind = event.kind
    if kind is None:
        return
    if kind.kinds and event.subject.kind not in kind.kinds:
        raise InputError(f"{kind.name} is about {' or '.join(kind.kinds)}, not about {event.payload.subject!r}")
    if not kind.kinds and event.subject.kind in ("actor", "ledger"):
        raise InputError(f"{kind.name} may be about anything but an actor or a ledger: their streams are authority")
    if event.subject.kind in ("actor", "ledger") and event.subject.namespace is not None:
        raise InputError(f"the subject of {kind.name} has no namespace: {event.subject.kind}:<id>")
    if kind.versioned is True and event.subject.version is None:
        raise InputError(f"{kind.name} needs a subject with a version: {event.stream}@<version>")
    if kind.versioned is False and event.subject.version is not None:
        raise InputError(f"{kind.name} needs a subject without a version: {event.stream}")
    if event.subject.kind == "deployment" and event.subject.namespace is None:
        raise InputError("a deployment is named deployment:<environment>/<service>")


def _check_principal(world: World, event: RecordedEvent) -> None:
    """Whom an event was done for must be somebody, or nobody could tell whether two persons are two."""
    behalf = event.payload.on_behalf_of
    if behalf is not None and actor_of(world, behalf) is None:
        raise AuthenticationError(f"it was done on behalf of {behalf!r}, who is not enrolled in this ledger")


def reads_body(kind: EventType | None, about: str) -> bool:
    """Whether `judge` reads an event's body, or a later judgement the state that the body changes.

    For any other event the verdict rests on who wrote it, for whom, with which keys, of what type, and on the kind of
    its subject.

    Args:
        kind: its type, None for one that is unknown.
        about: kind of its subject.
    """
    return kind is not None and (about in KEPT or kind.category in (Category.AUTHORITY, Category.DECISION))


def judge(world: World, event: RecordedEvent) -> Verdict:
    """Judge one event against the world just before it.

    The signatures' bytes are checked by the caller with `signing_keys`; this checks that those keys
    may sign, and everything else.

    Args:
        world: states and log before the event, under the rules in force at its index.
        event: the event at its index.

    Returns:
        The verdict; a pure function of its arguments.
    """
    try:
        if event.payload.ledgerid != world.ledgerid:
            raise AuthenticationError(
                f"this event belongs to the ledger {event.payload.ledgerid}, and this one is {world.ledgerid}"
            )
        keys = signing_keys(world, event)
        if event.kind is None:
            return Verdict("opaque", keys=keys)
        _check_subject(event)
        until = check_roles(world, event)
        _check_principal(world, event)
        check_answered(world, event)
        if event.kind.category is Category.AUTHORITY:
            until = min(until, check_authority_event(world, event))
        check_identity(world, event)
        if event.kind.category is Category.DECISION:
            check_evidence(world, event)
            until = min(until, check_decision(world, event))
            until = min(until, check_gap(world, event))
        until = min(until, marked_until(world, event))
    except LedgerError as error:
        return Verdict("void", error)
    return Verdict("valid", keys=keys, until=until, stop=keys_end(world, event))
