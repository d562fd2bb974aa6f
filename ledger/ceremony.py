"""The ceremony file: an event that several people sign, each on a machine of their own, before it is appended.

It holds the exact payloads and the signatures so far. Nothing in it is believed: a signature that is there verifies or
the file is refused, whoever signs is shown what the payload says, and appending judges as ever. The code over all but
the signatures is for comparing by voice: a file that was changed on its way has another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.base64text import decode_base64, encode_base64
from ledger.checkpoint import parse_origin
from ledger.domain.ledgerstate import LedgerState
from ledger.domain.recorded import RecordedEvent, make_event
from ledger.domain.signed import ROOT_ACTOR
from ledger.domain.signing import possession_keys
from ledger.entry import format_time
from ledger.envelope import (
    MAX_PAYLOAD,
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    format_signatures,
    pae,
    parse_signatures,
    verify_envelope,
)
from ledger.errors import AuthenticationError, ConflictError, InputError
from ledger.events.actors import ActorEnrolled, KeyEnrolled
from ledger.events.ledgers import CheckpointKeyChanged, LedgerCreated, RootsChanged
from ledger.keys import PublicKey, Signer, format_public_key, parse_public_key
from ledger.note import parse_vkey
from ledger.payload import parse_payload
from ledger.strictjson import format_json, parse_json

__all__ = ["MAX_CEREMONY", "Ceremony", "Item", "describe", "format_ceremony", "parse_ceremony"]

#: Bytes of a ceremony file, checked before it is decoded.
MAX_CEREMONY = 262_144
_FORMAT = "muniment ceremony v1"
_MAX_EVENTS = 2
_FIELDS = {"events", "format", "ledgerid", "origin", "roots", "threshold"}


@dataclass(frozen=True, slots=True)
class Item:
    """One event of a ceremony.

    Attributes:
        payload: the exact bytes that are signed.
        event: the same, typed; its place in a log and who signed are not in it.
        signatures: those made so far, sorted by keyid; each verifies.
    """

    payload: bytes
    event: RecordedEvent
    signatures: tuple[Signature, ...] = ()

    @property
    def signed(self) -> frozenset[str]:
        """Key ids that have signed."""
        return frozenset(signature.keyid for signature in self.signatures)

    def with_signatures(self, signers: Sequence[Signer] = (), more: Sequence[Signature] = ()) -> Item:
        """The same with further signatures.

        Args:
            signers: keys that sign now.
            more: signatures from elsewhere.
        """
        message = pae(PAYLOAD_TYPE, self.payload)
        found = {signature.keyid: signature for signature in (*self.signatures, *more)}
        found |= {signer.public.keyid: Signature(signer.public.keyid, signer.sign(message)) for signer in signers}
        return replace(self, signatures=tuple(found[keyid] for keyid in sorted(found)))


@dataclass(frozen=True, slots=True)
class Ceremony:
    """Events that wait for signatures.

    Attributes:
        ledgerid: the ledger they belong to, as every payload says.
        origin: its name, as whoever proposed them wrote it; no payload vouches for it but that of a new ledger.
        roots: the root keys when it was proposed; none when the author is an actor.
        threshold: how many of them must sign; 1 for an actor.
        items: the events, by one author.
    """

    ledgerid: str
    origin: str
    roots: tuple[PublicKey, ...]
    threshold: int
    items: tuple[Item, ...]

    @property
    def author(self) -> str:
        """Actor id of the author."""
        return self.items[0].event.actor

    @property
    def code(self) -> str:
        """Eight groups of four hex digits over all but the signatures, for comparing by voice.

        What nobody signs is in it too: the words for the holders come from the root keys that the file names.
        """
        found = hashlib.sha256(format_ceremony(self.unsigned)).hexdigest()[:32]  # nobody makes two files with one code
        return " ".join(found[place : place + 4] for place in range(0, 32, 4))

    @property
    def request_code(self) -> str | None:
        """The code of the request that a proposal was made from, None where there was none.

        A request names no root keys, as who makes one need not know them; nothing else of it is another in a proposal.
        """
        asked = self.author == ROOT_ACTOR and isinstance(self.items[0].event.body, ActorEnrolled | KeyEnrolled)
        return replace(self, roots=(), threshold=1).code if asked else None

    @property
    def unsigned(self) -> Ceremony:
        """The same without any signature."""
        return replace(self, items=tuple(replace(item, signatures=()) for item in self.items))

    @property
    def founds(self) -> bool:
        """Whether it makes a new ledger."""
        return isinstance(self.items[0].event.body, LedgerCreated)

    def fits(self, state: LedgerState) -> bool:
        """Whether its name, root keys and threshold are those of a ledger; what nobody signed is compared here."""
        return (self.origin, self.roots, self.threshold) == (state.origin, state.roots, state.threshold)

    def keys(self, item: Item) -> dict[str, PublicKey]:
        """All keys that may sign an event of it, as far as the file tells."""
        return {key.keyid: key for key in self.roots} | possession_keys(item.event.body, self.roots)

    def missing(self, item: Item) -> list[str]:
        """What an event lacks before it can be appended, in words; empty when nothing."""
        found = []
        if self.author == ROOT_ACTOR and not self.roots:
            found.append("the root keys that must sign are not named yet: muniment root propose request FILE")
        count = len(item.signed & {key.keyid for key in self.roots})
        # A new ledger rests on its root keys, so each of them shows that somebody holds it.
        wanted = len(self.roots) if isinstance(item.event.body, LedgerCreated) else self.threshold
        if count < wanted and self.roots:
            found.append(f"{wanted} root keys must sign and {count} did")
        new = possession_keys(item.event.body, self.roots).keys() - item.signed
        return found + [f"the new key {keyid[:16]}… must sign too, to prove that it is held" for keyid in sorted(new)]

    def sign(self, signer: Signer) -> Ceremony:
        """Add the signatures of a key, to each event that it may sign.

        Args:
            signer: a root key, or a key that an event brings.

        Raises:
            AuthenticationError: the key is neither.
            ConflictError: it has signed already.
        """
        keyid = signer.public.keyid
        due = [item for item in self.items if keyid in self.keys(item)]
        if not due:
            raise AuthenticationError(
                f"the key {keyid[:16]}… is neither one of the {len(self.roots)} root keys nor a new key of this "
                "proposal, so its signature would count for nothing",
                hint="Sign with the key the ledger knows you by; the public keys are shown above.",
            )
        if all(keyid in item.signed for item in due):
            raise ConflictError(f"the key {keyid[:16]}… has signed this already", hint="Another holder must sign.")
        return replace(
            self, items=tuple(item.with_signatures([signer]) if item in due else item for item in self.items)
        )

    def add(self, other: Ceremony) -> Ceremony:
        """Take in the signatures of another copy.

        Raises:
            InputError: it is a copy of something else.
        """
        if other.unsigned != self.unsigned:
            raise InputError(
                f"the files are not copies of one proposal: their codes are {self.code} and {other.code}",
                hint="Find out who changed one of them.",
            )
        pairs = zip(self.items, other.items, strict=True)
        return replace(self, items=tuple(mine.with_signatures(more=its.signatures) for mine, its in pairs))

    def check_complete(self) -> None:
        """Refuse it while signatures are missing.

        Raises:
            AuthenticationError: with what is missing.
        """
        for item in self.items:
            if missing := self.missing(item):
                raise AuthenticationError(
                    f"{item.event.payload.type} is not ready: {'; '.join(missing)}",
                    hint="Let the holders sign: muniment root sign FILE --key KEYFILE",
                )


def format_ceremony(ceremony: Ceremony) -> bytes:
    """Write a ceremony file: RFC 8785 and a newline."""
    events = [
        {
            "payload": encode_base64(item.payload),
            "signatures": parse_json(format_signatures(item.signatures), what="signatures") if item.signatures else [],
        }
        for item in ceremony.items
    ]
    data = {
        "events": events,
        "format": _FORMAT,
        "ledgerid": ceremony.ledgerid,
        "origin": ceremony.origin,
        "roots": [format_public_key(key) for key in ceremony.roots],
        "threshold": ceremony.threshold,
    }
    return format_json(data) + b"\n"


def _to_item(value: Any) -> Item:
    if not isinstance(value, dict) or set(value) != {"payload", "signatures"} or not isinstance(value["payload"], str):
        raise InputError("an event of it must have exactly payload and signatures")
    payload = decode_base64(value["payload"], "a payload in it is not base64")
    if len(payload) > MAX_PAYLOAD:
        raise InputError(f"a payload in it has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    signatures: tuple[Signature, ...] = ()
    if value["signatures"] != []:
        signatures = parse_signatures(format_json(value["signatures"]))  # in RFC 8785 it is as in the envelope
    event = make_event(0, parse_payload(payload), (), 0)
    if event.kind is None:
        raise InputError(f"it holds an event of the type {event.payload.type}, which this Muniment does not know")
    return Item(payload, event, signatures)


def _check_signatures(ceremony: Ceremony) -> None:
    for item in ceremony.items:
        if not item.signatures:
            continue
        try:
            verify_envelope(Envelope(item.payload, item.signatures), ceremony.keys(item))
        except AuthenticationError as error:
            raise AuthenticationError(
                f"a signature in the ceremony file is bad: {error.message}; the payload was changed after it was "
                "signed, or somebody signed who may not",
                hint="Throw the file away and propose anew; find out who changed it.",
            ) from None


def parse_ceremony(data: bytes) -> Ceremony:
    """Read a ceremony file.

    Args:
        data: at most 262,144 bytes.

    Returns:
        The ceremony; every signature in it verifies.

    Raises:
        InputError: too large, or any other form.
        AuthenticationError: a signature in it does not verify, or is by a key that may not sign.
    """
    if len(data) > MAX_CEREMONY:
        raise InputError(f"a ceremony file has at most {MAX_CEREMONY} bytes, not {len(data)}")
    found: Any = parse_json(data.removesuffix(b"\n"), what="the ceremony file")
    if not isinstance(found, dict) or set(found) != _FIELDS or found["format"] != _FORMAT:
        raise InputError("this is no ceremony file", hint="They are made by `muniment root propose` and `key request`.")
    events, roots, threshold = found["events"], found["roots"], found["threshold"]
    if not isinstance(events, list) or not 1 <= len(events) <= _MAX_EVENTS:
        raise InputError(f"a ceremony file holds 1 or {_MAX_EVENTS} events")
    if not isinstance(roots, list) or not all(isinstance(text, str) for text in roots) or type(threshold) is not int:
        raise InputError("roots must be a list of public keys and threshold a number")
    items = tuple(map(_to_item, events))
    keys = tuple(parse_public_key(text) for text in roots)
    ceremony = Ceremony(str(found["ledgerid"]), parse_origin(str(found["origin"])), keys, threshold, items)
    if any((item.event.payload.ledgerid, item.event.actor) != (ceremony.ledgerid, ceremony.author) for item in items):
        raise InputError("its events are not all of the ledger and the author it names")
    # A request to the root keys names none: who made it need not know them.
    if (keys and ceremony.author != ROOT_ACTOR) or not 1 <= threshold <= max(1, len(keys)):
        raise InputError("its root keys and threshold do not fit its author")
    founding = items[0].event.body
    if isinstance(founding, LedgerCreated) and (founding.origin, list(founding.roots), founding.threshold) != (
        ceremony.origin, roots, threshold,
    ):  # fmt: skip
        raise InputError("its name, root keys and threshold are not those of the ledger that it founds")
    if format_ceremony(ceremony) != data:
        raise InputError("the ceremony file is not written in its only form")
    _check_signatures(ceremony)
    return ceremony


# -- in words ------------------------------------------------------------------------------------------


def _key_lines(title: str, keys: Sequence[PublicKey], remark: str = "") -> Iterator[str]:
    for key in keys:
        yield f"{title} {format_public_key(key)} ({key.keyid[:16]}…){remark}"


def _roots_lines(body: RootsChanged, ceremony: Ceremony, state: LedgerState | None) -> Iterator[str]:
    keys = [parse_public_key(text) for text in body.roots]
    old = ceremony.roots if state is None else state.roots
    yield f"the root keys become these {len(keys)}, of which {body.threshold} must sign from then on:"
    if state is None:
        yield "  against those that the file calls the present ones:"
    yield from _key_lines("  stays  ", [key for key in keys if key in old])
    yield from _key_lines("  NEW    ", [key for key in keys if key not in old])
    yield from _key_lines("  REMOVED", [key for key in old if key not in keys])


def _created_lines(body: LedgerCreated) -> Iterator[str]:
    yield f"a new ledger {body.origin} with these {len(body.roots)} root keys, of which {body.threshold} must sign:"
    yield from _key_lines("  ", [parse_public_key(text) for text in body.roots])
    yield f"its heads are signed by {body.vkey}"
    for rule in body.rules.rules:
        yield (
            f"  rule: environment {rule.environment}, tier {rule.tier}: authorisation {rule.authorisation}, "
            f"approvals {rule.approvals}, evaluation {rule.evaluation}"
        )


def _body_lines(event: RecordedEvent, ceremony: Ceremony, state: LedgerState | None) -> Iterator[str]:
    name = event.subject.name
    match event.body:
        case RootsChanged() as body:
            yield from _roots_lines(body, ceremony, state)
        case LedgerCreated() as body:
            yield from _created_lines(body)
        case CheckpointKeyChanged() as body:
            key_id = parse_vkey(body.vkey).key_hash.hex()
            yield f"the log's heads are signed by another key from then on: {body.vkey} (key ID {key_id})"
            yield "the first such head is signed by the old key too" if body.dual else "THE OLD KEY IS CALLED LOST"
        case ActorEnrolled() as body:
            yield f"{name} may write from then on, as {body.kind}, in the roles {', '.join(body.roles)}"
            yield f"  with the key {body.key} ({parse_public_key(body.key).keyid[:16]}…)"
            if body.person:
                yield f"  a further name of the person {body.person}"
            if body.responsible:
                yield f"  {body.responsible} answers for it"
        case KeyEnrolled() as body:
            yield f"{name} may sign with a further key from then on: {body.key}"
        case _:
            yield f"{event.payload.type} about {event.payload.subject}: {format_json(event.payload.data).decode()}"
    if event.body is not None and event.body.refs:
        yield f"  refs: {format_json(event.payload.data['refs']).decode()}"
    reason = event.payload.data.get("reason")
    if isinstance(reason, str):
        # On one line, or it could show lines of its own: another key, another code.
        yield f"  reason: {' / '.join(reason.splitlines())}"


def _checked(ceremony: Ceremony, state: LedgerState | None) -> str:
    if state is None:
        return (
            "NOT against the log: which root keys there are is what the file says, and nobody signed that; compare the "
            "code by voice, it covers them"
        )
    if not ceremony.fits(state):
        return "THE LOG SAYS OTHERWISE: its name, root keys or threshold are not those that the file names"
    return "name, root keys and threshold are those of the log"


def describe(ceremony: Ceremony, state: LedgerState | None = None) -> list[str]:
    """Say in words what is signed, by whom it must be signed, and who did.

    Args:
        ceremony: as read.
        state: the ledger's own, as a log says that was compared with what is pinned; None where there is none.

    Returns:
        Lines. They hold text of the proposal: clean them before they go to a terminal.
    """
    lines = [f"ledger    {ceremony.origin} (id {ceremony.ledgerid})"]
    if ceremony.author == ROOT_ACTOR:
        lines.append(f"author    the root keys: {ceremony.threshold} of {len(ceremony.roots)} must sign")
    else:
        lines.append(f"author    {ceremony.author}")
    if ceremony.roots and not ceremony.founds:
        lines.append(f"checked   {_checked(ceremony, state)}")
    for item in ceremony.items:
        payload = item.event.payload
        lines.append(f"proposed  {format_time(payload.occurred_at)}, {payload.type}")
        lines += [f"          {line}" for line in _body_lines(item.event, ceremony, state)]
        if payload.on_behalf_of is not None:
            lines.append(f"          done on behalf of {payload.on_behalf_of}")
        signed = [f"{keyid[:16]}…" for keyid in sorted(item.signed)]
        lines.append(f"          signed by {', '.join(signed) or 'nobody yet'}")
        lines += [f"          missing: {words}" for words in ceremony.missing(item)]
    lines.append(f"code      {ceremony.code}")
    if ceremony.roots and (asked := ceremony.request_code) is not None:
        lines.append(f"request   had the code {asked}, which whoever made it read out: it names no root keys")
    return lines
