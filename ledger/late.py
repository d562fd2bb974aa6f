"""Events that were signed before their key ended and came too late: what another actor may say of them.

A key that has ended signs nothing more, whatever time its events claim, because nobody can tell when they were signed.
So a late event is not recorded itself. Another actor may state that it exists: the digests of its envelope and payload
in an ``external.observed``, asserted and signed by the one who says so.
"""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

from ledger.application import Ledger, Receipt
from ledger.domain import ActorState
from ledger.envelope import Envelope, parse_envelope, verify_envelope
from ledger.errors import AuthenticationError, ConflictError, PolicyError
from ledger.names import parse_name
from ledger.payload import Payload, parse_payload

__all__ = ["ENVELOPE_TYPE", "record_late"]

#: Media type of a DSSE envelope as JSON.
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"


def _author(ledger: Ledger, payload: Payload) -> ActorState:
    if payload.ledgerid != ledger.ledgerid:
        raise AuthenticationError(f"this event belongs to the ledger {payload.ledgerid}, and this one is another")
    size = ledger.world.refresh()
    state = ledger.world.state_before(f"actor:{payload.actor}", size)
    if not isinstance(state, ActorState):
        raise AuthenticationError(f"its author {payload.actor!r} was never enrolled in this ledger")
    return state


def _check_late(ledger: Ledger, envelope: Envelope, payload: Payload, author: ActorState) -> None:
    if payload.actor == ledger.actor:
        raise PolicyError(
            "its own author cannot say that it came late", hint="Another actor does: --as ACTOR, or see your keys."
        )
    row = ledger.recorder.find(payload.id, payload.actor)
    if row is not None:
        raise ConflictError(f"an event with this id is recorded at index {row.entry.index} already")
    if parse_name(payload.subject).kind in ("actor", "ledger"):
        raise PolicyError("what changes actors, keys or the ledger has no effect when it comes late")
    size = ledger.world.size
    keys = [signature.keyid for signature in envelope.signatures]
    if author.revoked is None and all(author.keys[keyid].valid_at(size) for keyid in keys):
        raise PolicyError(
            "its keys may still sign, so it need not come as late", hint="Append it as it is: muniment emit --envelope"
        )


def record_late(ledger: Ledger, data: bytes, reason: str) -> Receipt:
    """State that an event exists which its key cannot bring in any more; saying it again repeats nothing.

    Args:
        ledger: open, signing as another actor than the event's author, with the role emitter.
        data: the event's DSSE envelope as JSON, at most 98,304 bytes.
        reason: where it was, and why it comes now.

    Raises:
        InputError: it is malformed.
        AuthenticationError: it is of another ledger, or its signatures are not good ones of its author's keys.
        PolicyError: it is not late.
        ConflictError: it is recorded already.
    """
    envelope = parse_envelope(data)
    payload = parse_payload(envelope.payload)
    author = _author(ledger, payload)
    verify_envelope(envelope, {keyid: held.key for keyid, held in author.keys.items()})
    _check_late(ledger, envelope, payload, author)
    digest = hashlib.sha256(data).hexdigest()
    content = {
        "actor": payload.actor,
        "id": payload.id,
        "payload": f"sha256:{hashlib.sha256(envelope.payload).hexdigest()}",
        "keys": [signature.keyid for signature in envelope.signatures],
        "reason": reason,
    }
    return ledger.emit(
        "external.observed", payload.subject, system="muniment", kind=payload.type, digest=f"sha256:{digest}",
        content_type=ENVELOPE_TYPE, content=content, strength="asserted", occurred_at=payload.occurred_at,
        event_id=str(uuid5(UUID(ledger.ledgerid), digest)),
    )  # fmt: skip
