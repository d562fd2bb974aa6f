"""Events that need several people's signatures: proposing them, and appending them when all have signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.ceremony import MAX_CEREMONY, Ceremony, Item, format_ceremony, parse_ceremony
from ledger.domain import ActorState, LedgerState, make_event
from ledger.domain.signed import ROOT_ACTOR
from ledger.durable import write_atomically
from ledger.emission import Emitter, build_payload
from ledger.envelope import Envelope, format_envelope
from ledger.errors import AuthenticationError, ConfigurationError, ConflictError, InputError
from ledger.handle import LogHandle
from ledger.keys import PublicKey
from ledger.merkle import MAX_TREE_SIZE
from ledger.screen import Screening

__all__ = [
    "adopt", "check_present", "check_secrets", "countersign", "head_keyids", "merge", "propose", "propose_by_roots",
    "read_ceremony", "submit", "valid_keyids", "write_ceremony",
]  # fmt: skip


def read_ceremony(path: Path) -> Ceremony:
    """Read a ceremony file.

    Raises:
        InputError: it cannot be read, or is none.
        AuthenticationError: a signature in it is bad.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CEREMONY + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return parse_ceremony(data)


def write_ceremony(path: Path, ceremony: Ceremony, *, new: bool) -> None:
    """Write a ceremony file, whole or not at all.

    Args:
        path: where.
        ceremony: what.
        new: refuse to replace a file.

    Raises:
        ConfigurationError: it exists, or cannot be written.
    """
    if new and path.exists():
        raise ConfigurationError(f"{path} already exists", hint="Name another file: --out FILE")
    try:
        write_atomically(path, format_ceremony(ceremony), mode=0o644)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def propose(
    ledgerid: str,
    origin: str,
    events: Sequence[tuple[str, str, Mapping[str, Any]]],
    *,
    author: str = ROOT_ACTOR,
    roots: Sequence[PublicKey] = (),
    threshold: int = 1,
    screening: Screening | None = None,
) -> Ceremony:
    """Write events down for others to sign.

    Args:
        ledgerid: ledger they belong to.
        origin: its name.
        events: type, subject and body of each.
        author: ``root``, or the actor who will sign.
        roots: root keys, when the author is ``root``.
        threshold: how many of them must sign.
        screening: what is done about secrets in it; the default hides and refuses them.

    Raises:
        InputError: a body does not fit its type, or a secret is in it that cannot be hidden.
    """
    emitter, screening = Emitter(), screening or Screening()
    items = []
    for kind, subject, body in events:
        instance, number = emitter.take()
        given = {name: value for name, value in body.items() if value is not None}
        data = screening.screen(kind, subject, given)
        encoded, payload = build_payload(
            ledgerid=ledgerid, actor=author, type=kind, subject=subject, data=data, emitter=instance, sequence=number
        )
        items.append(Item(encoded, make_event(0, payload, (), 0)))
    return parse_ceremony(format_ceremony(Ceremony(ledgerid, origin, tuple(roots), threshold, tuple(items))))


def propose_by_roots(
    state: LedgerState, kind: str, subject: str, body: Mapping[str, Any], screening: Screening | None = None
) -> Ceremony:
    """Propose one event by the root keys in force.

    Args:
        state: the ledger's own.
        kind: type of the event.
        subject: what it is about.
        body: its body.
        screening: as for `propose`.
    """
    events = [(kind, subject, body)]
    return propose(
        state.ledgerid, state.origin, events, roots=state.roots, threshold=state.threshold, screening=screening
    )


def check_secrets(screening: Screening, ceremony: Ceremony) -> None:
    """Refuse what others wrote down when there is a secret in it; nothing can be hidden in it any more.

    Args:
        screening: what is done about secrets.
        ceremony: what would be signed or appended.

    Raises:
        InputError: it holds one. It is not in the message.
    """
    for item in ceremony.items:
        payload = item.event.payload
        screening.check(payload.type, payload.subject, payload.data, (payload.correlationid, payload.causationid))


def adopt(state: LedgerState, request: Ceremony, screening: Screening | None = None) -> Ceremony:
    """Make a request to the root keys a proposal that they can sign.

    Args:
        state: the ledger's own.
        request: as somebody made it who need not know the root keys.
        screening: what is done about secrets in it; the default refuses them.

    Raises:
        InputError: it is for another ledger, asks somebody else, or holds a secret.
        AuthenticationError: the new key in it has not signed.
    """
    if (request.ledgerid, request.origin) != (state.ledgerid, state.origin):
        raise InputError(
            f"the request is for the ledger {request.origin} ({request.ledgerid}), and this one is {state.origin} "
            f"({state.ledgerid})",
            hint="Name the right one: --ledger URL|DIR",
        )
    if request.author != ROOT_ACTOR:
        raise InputError(f"the request asks {request.author!r}, not the root keys")
    check_secrets(screening or Screening(), request)
    proposal = replace(request, roots=state.roots, threshold=state.threshold)
    return parse_ceremony(format_ceremony(proposal))


def merge(ceremonies: Iterable[Ceremony]) -> Ceremony:
    """One ceremony with the signatures of all copies.

    Raises:
        InputError: they are not copies of one proposal, or there is none.
    """
    found: Ceremony | None = None
    for ceremony in ceremonies:
        found = ceremony if found is None else found.add(ceremony)
    if found is None:
        raise InputError("no ceremony file is given")
    return found


def _check_ledger(ledger: Ledger, ceremony: Ceremony) -> None:
    if (ceremony.ledgerid, ceremony.origin) != (ledger.ledgerid, ledger.origin):
        raise InputError(
            f"the proposal is for the ledger {ceremony.origin} ({ceremony.ledgerid}), and this one is {ledger.origin} "
            f"({ledger.ledgerid})",
            hint="Name the right one: --ledger URL|DIR",
        )


def check_present(state: LedgerState, ceremony: Ceremony) -> None:
    """Refuse a proposal that names other root keys, or another threshold, than the log does.

    Raises:
        ConflictError: they were changed since, or somebody changed the file.
    """
    if not ceremony.fits(state):
        raise ConflictError(
            "the proposal is stale: the root keys or the threshold were changed since it was made, or the file was",
            hint="Propose it anew and let the present root keys sign.",
        )


def submit(ledger: Ledger, ceremony: Ceremony) -> list[Receipt]:
    """Append what was proposed, once everybody has signed.

    Args:
        ledger: open; who opened it does not matter, the signatures are in the file.
        ceremony: by the root keys.

    Returns:
        The receipts; the first ones again when it was appended before.

    Raises:
        InputError: it is for another ledger, or holds a secret.
        ConflictError: the root keys were changed since it was proposed.
        AuthenticationError: signatures are missing.
        LedgerError: as `Ledger.append`.
    """
    _check_ledger(ledger, ceremony)
    envelopes = [format_envelope(Envelope(item.payload, item.signatures)) for item in ceremony.items if item.signatures]
    known = [ledger.recorder.find(item.event.payload.id, ceremony.author) for item in ceremony.items]
    if not all(row is not None for row in known):
        if not ceremony.founds:
            check_present(ledger.ledger_state(), ceremony)
        ceremony.check_complete()
        check_secrets(ledger.screening, ceremony)
    return ledger.append_batch(envelopes)


def countersign(ledger: Ledger, ceremony: Ceremony, allowed: Sequence[str]) -> list[Receipt]:
    """Sign as the author what somebody else wrote and signed with a new key, and append it.

    Args:
        ledger: open, signing as the author.
        ceremony: written by the holder of the new key.
        allowed: short names of the types of events that may be signed this way.

    Raises:
        InputError: it is for another ledger, of another type, or holds a secret.
        AuthenticationError: it is for another author, or the new key has not signed.
        LedgerError: as `Ledger.append`.
    """
    _check_ledger(ledger, ceremony)
    if ceremony.author != ledger.actor:
        raise AuthenticationError(
            f"the request asks {ceremony.author!r} to sign, and you are {ledger.actor!r}",
            hint="Sign as that actor: --as ACTOR; requests to root go round with: muniment root sign",
        )
    for item in ceremony.items:
        kind, payload = item.event.kind, item.event.payload
        if kind is None or kind.name not in allowed or payload.on_behalf_of is not None:
            raise InputError(f"the request is for {payload.type}, which is not signed this way")
    ceremony.check_complete()
    check_secrets(ledger.screening, ceremony)
    signed = [item.with_signatures(ledger.signers) for item in ceremony.items]
    return ledger.append_batch([format_envelope(Envelope(item.payload, item.signatures)) for item in signed])


def head_keyids(ledger: LogHandle) -> list[str]:
    """Key ids of all keys that must sign the next head: the present one, and behind a change the one before it."""
    last = ledger.recorder.last_checkpoint()
    needed = ledger.log_keys().needed(0 if last is None else last.size, MAX_TREE_SIZE)
    return [vkey.public_key.keyid for vkey in needed]


def valid_keyids(ledger: LogHandle, actor: str) -> frozenset[str]:
    """Key ids that an actor may sign with now, as the log says; a key that is here may not be enrolled yet."""
    size = ledger.world.refresh()
    if actor == ROOT_ACTOR:
        state = ledger.world.state_before(f"ledger:{ledger.ledgerid}", size)
        return frozenset(key.keyid for key in state.roots) if isinstance(state, LedgerState) else frozenset()
    found = ledger.world.state_before(f"actor:{actor}", size)
    if not isinstance(found, ActorState):
        return frozenset()
    return frozenset(keyid for keyid, key in found.keys.items() if key.valid_at(size))
