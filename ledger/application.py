"""The open ledger: append signed events.

Append = limits, strict parse, schema, authority, signatures, judge, then the store's own transaction, in
which what the judgement rested on is checked once more; when it changed meanwhile, judge again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ledger.domain import RecordedEvent, judge, make_event, signing_keys
from ledger.domain.decisions import marks_of
from ledger.emission import Emitter, Moment, build_payload
from ledger.envelope import Envelope, parse_envelope, sign_payload, verify_envelope
from ledger.errors import ConfigurationError, ConflictError, InputError, LedgerError, StorageError
from ledger.events import Category, find_event_type
from ledger.handle import LogHandle
from ledger.keys import Signer
from ledger.mapper import EventMapper, SignedStoredEvent
from ledger.payload import Payload, parse_payload
from ledger.recorders import open_recorder
from ledger.recorders.append import StaleReadError, StoredAt, Unit
from ledger.recorders.sql import SqlRecorder
from ledger.replay import WorldAt
from ledger.stored import Row
from ledger.strictjson import format_json

__all__ = ["MAX_BATCH", "MAX_BATCH_BYTES", "Ledger", "Receipt"]

MAX_BATCH = 1000
MAX_BATCH_BYTES = 16 * 1024 * 1024
_JUDGE_AGAIN = 100
#: Registrations fix a name to a digest, so they are checked against the stream like decisions.
_IDENTITY_TYPES = ("dataset.registered", "version.registered")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger answers to an append.

    Attributes:
        id: event id.
        index: leaf index.
        leaf_hash: 32 bytes.
        stream: stream it stands in.
        revision: its place there, from 1.
        recorded_at: microseconds since the Unix epoch, by the store's clock.
        status: ``recorded`` (durable in the log).
        marks: what is remarkable about it, for example ``unauthorised``.
        existing: True when the same event had been recorded before.
    """

    id: str
    index: int
    leaf_hash: bytes
    stream: str
    revision: int
    recorded_at: int
    status: str
    marks: tuple[str, ...]
    existing: bool


@dataclass(frozen=True, slots=True)
class _Judged:
    stored: SignedStoredEvent
    reads: Mapping[str, int]
    marks: tuple[str, ...]


class Ledger(LogHandle):
    """An open ledger.

    Args:
        recorder: the store.
        actor: actor id to sign as; None opens it for reading and for events signed elsewhere.
        signers: private keys of that actor (several for root events that need a threshold).
        checkpoint_signer: key that signs heads; None leaves heads unsigned.
        on_close: called before the store is closed, with this ledger, when anything was appended.
    """

    def __init__(
        self,
        recorder: SqlRecorder,
        *,
        actor: str | None = None,
        signers: Sequence[Signer] = (),
        checkpoint_signer: Signer | None = None,
        on_close: Callable[[Ledger], None] | None = None,
    ) -> None:
        super().__init__(recorder, checkpoint_signer)
        self.actor = actor
        self._signers = tuple(signers)
        self._on_close = on_close
        self._appended = False
        self._emitter = Emitter()
        self._mapper = EventMapper()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        actor: str | None = None,
        signers: Sequence[Signer] = (),
        checkpoint_signer: Signer | None = None,
        clock: Callable[[], int] | None = None,
    ) -> Self:
        """Open a store by URL; reads a number of rows that does not grow with the log.

        Args:
            url: ``sqlite:///…`` or ``postgresql://…``.
            actor: see the class.
            signers: see the class.
            checkpoint_signer: see the class.
            clock: replaces the store's clock, microseconds since the Unix epoch.

        Raises:
            ConfigurationError: there is no ledger.
            StorageError: the store cannot be reached.
        """
        recorder = open_recorder(url, clock=clock)
        try:
            recorder.identity()  # fails here, not at the first append, when there is no ledger
        except BaseException:
            recorder.close()
            raise
        return cls(recorder, actor=actor, signers=signers, checkpoint_signer=checkpoint_signer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do what was asked for at the end (see ``on_close``) and close the store's connection."""
        try:
            if self._appended and self._on_close is not None:
                self._on_close(self)
        finally:
            self._appended = False
            self.recorder.close()

    # -- appending -------------------------------------------------------------------------

    def emit(
        self,
        type: str,
        subject: str,
        data: Mapping[str, Any] | None = None,
        *,
        occurred_at: Moment = None,
        on_behalf_of: str | None = None,
        correlation: str | None = None,
        causation: str | None = None,
        strength: str = "observed",
        event_id: str | None = None,
        expect: Mapping[str, int] | None = None,
        also_sign: Sequence[Signer] = (),
        **fields: Any,
    ) -> Receipt:
        """Sign an event as this ledger's actor and append it; durable when this returns.

        Args:
            type: short name (latest version) or full topic, for example ``dataset.registered``.
            subject: what it is about, ``kind:[namespace/]name[@version]``.
            data: body of the event.
            occurred_at: when it happened (a claim); now when None.
            on_behalf_of: actor it was done for.
            correlation: id that ties an undertaking together.
            causation: id of the event that caused it.
            strength: observed, asserted, imported or backfilled.
            event_id: UUID of the undertaking; giving it again with the same type, subject and body answers with
                the first receipt, so that a retried job repeats nothing.
            expect: revision of each stream the caller decided on; another one refuses the event.
            also_sign: further keys that sign, for example the key being enrolled.
            fields: more of the body, by name.

        Returns:
            The receipt.

        Raises:
            ConfigurationError: no actor or key is set.
            LedgerError: as `append`.
        """
        if self.actor is None or not self._signers:
            raise ConfigurationError(
                "this ledger was opened without an actor, so it cannot sign", hint="Open it with an actor: --as ACTOR"
            )
        body = {name: value for name, value in {**(data or {}), **fields}.items() if value is not None}
        attributes: dict[str, Any] = {
            "ledgerid": self.ledgerid,
            "actor": self.actor,
            "type": type,
            "subject": subject,
            "data": body,
            "occurred_at": occurred_at,
            "on_behalf_of": on_behalf_of,
            "correlation": correlation,
            "causation": causation,
            "strength": strength,
            "event_id": event_id,
        }
        if event_id is None:
            return self._sign_and_append(attributes, also_sign, expect or {})
        repeated = self._repeated(event_id, type, subject, body)
        if repeated is not None:
            return repeated
        try:
            return self._sign_and_append(attributes, also_sign, expect or {})
        except ConflictError:
            repeated = self._repeated(event_id, type, subject, body)  # another process was faster
            if repeated is None:
                raise
            return repeated

    def _sign_and_append(
        self, attributes: Mapping[str, Any], also_sign: Sequence[Signer], expect: Mapping[str, int]
    ) -> Receipt:
        with self._emitter.numbered() as (emitter, sequence):
            payload, _ = build_payload(**attributes, emitter=emitter, sequence=sequence)
            envelope = sign_payload(payload, (*self._signers, *also_sign))
            try:
                return self._append([envelope], expect)[0]
            except BaseException as error:
                # An interrupt, too, may come when the event is already recorded.
                if not isinstance(error, LedgerError) or (isinstance(error, StorageError) and error.outcome_unknown):
                    self._emitter.skip()
                raise

    def _repeated(self, event_id: str, name: str, subject: str, body: Mapping[str, Any]) -> Receipt | None:
        row = self.recorder.find(event_id, str(self.actor))
        if row is None or row.payload is None:
            return None
        known = parse_payload(row.payload)
        if (known.type, known.subject, _essence(known.data)) != (find_event_type(name).topic, subject, _essence(body)):
            raise ConflictError(
                f"the id {event_id} is already recorded at index {row.entry.index} with other content",
                hint="Give a new event a new id.",
            )
        return _receipt(event_id, _stored_before(row), ())

    def append(self, envelope: bytes, *, expect: Mapping[str, int] | None = None) -> Receipt:
        """Append an event that was signed elsewhere.

        Args:
            envelope: DSSE envelope as JSON, at most 98,304 bytes.
            expect: see `emit`.

        Returns:
            The receipt; the first one again when the same event was recorded before.

        Raises:
            InputError: malformed, too large, unknown type.
            AuthenticationError: wrong, missing or unknown signature, or of another ledger.
            PolicyError: a decision the rules refuse.
            ConflictError: the id exists with other content, or a stream moved on.
            StorageError: the store failed; see its ``outcome_unknown``.
        """
        return self._append([parse_envelope(envelope)], expect or {})[0]

    def append_batch(self, envelopes: Sequence[bytes], *, expect: Mapping[str, int] | None = None) -> list[Receipt]:
        """Append events that were signed elsewhere in one transaction: all of them, or none.

        Args:
            envelopes: up to 1,000 DSSE envelopes of at most 16 MiB together; each is judged as if those
                before it were recorded already.
            expect: see `emit`.

        Returns:
            One receipt an event, in order; first receipts for events recorded before.

        Raises:
            LedgerError: as `append`, for the first event that is refused.
        """
        if len(envelopes) > MAX_BATCH or sum(map(len, envelopes)) > MAX_BATCH_BYTES:
            raise InputError(f"a batch holds at most {MAX_BATCH:,} events and {MAX_BATCH_BYTES:,} bytes")
        return self._append([parse_envelope(envelope) for envelope in envelopes], expect or {})

    def _append(self, envelopes: Sequence[Envelope], expect: Mapping[str, int]) -> list[Receipt]:
        signed = [(envelope, parse_payload(envelope.payload)) for envelope in envelopes]
        for _, payload in signed:
            find_event_type(payload.type)
        for _ in range(_JUDGE_AGAIN):
            with self._judging:
                judged = self._judge_all(signed, self.world.refresh(), expect)
                authority = self.world.authority
            fresh = [item for item in judged if isinstance(item, _Judged)]
            reads = {stream: revision for item in fresh for stream, revision in item.reads.items()}
            if not fresh:
                return [item for item in judged if isinstance(item, Receipt)]
            unit = Unit(tuple(item.stored for item in fresh), {**reads, **expect}, authority)
            (outcome,) = self.recorder.append([unit])
            if isinstance(outcome, StaleReadError) and outcome.stream not in expect:
                continue
            if isinstance(outcome, LedgerError):
                raise outcome
            self._appended = True
            places = iter(outcome)
            return [
                item if isinstance(item, Receipt) else _receipt(item.stored.id, next(places), item.marks)
                for item in judged
            ]
        raise ConflictError(
            f"{signed[0][1].subject} kept changing while this was judged {_JUDGE_AGAIN} times",
            hint="Retry in a moment.",
        )

    def _judge_all(
        self, signed: Sequence[tuple[Envelope, Payload]], size: int, expect: Mapping[str, int]
    ) -> list[_Judged | Receipt]:
        """Judge events one after another, each in the world that those before it lead to."""
        found: list[_Judged | Receipt] = []
        pending: list[RecordedEvent] = []
        for envelope, payload in signed:
            # What is recorded already takes no place, so it must not move the place the others are judged at.
            known = self._recorded_before(payload, envelope) if len(signed) > 1 else None
            if known is not None:
                found.append(known)
                continue
            keys = tuple(signature.keyid for signature in envelope.signatures)
            event = make_event(size + len(pending), payload, keys)
            judged = self._judge(self.world.at(size, pending), event, envelope, expect)
            if isinstance(judged, _Judged):
                pending.append(event)
            found.append(judged)
        return found

    def _judge(
        self, at: WorldAt, event: RecordedEvent, envelope: Envelope, expect: Mapping[str, int]
    ) -> _Judged | Receipt:
        verdict = judge(at, event)
        try:
            if verdict.error is not None:
                raise verdict.error
            verify_envelope(envelope, signing_keys(at, event))
            for stream, revision in expect.items():
                if at.reads.get(stream, revision) != revision:
                    raise StaleReadError.moved(stream, revision, at.reads[stream])
        except LedgerError:
            known = self._recorded_before(event.payload, envelope)
            if known is not None:
                return known
            raise
        assert event.kind is not None  # noqa: S101 - unknown types were refused before
        decided = event.kind.category is Category.DECISION or event.kind.name in _IDENTITY_TYPES
        reads = dict(at.reads) if decided else {}
        return _Judged(self._mapper.to_signed(event, envelope), reads, marks_of(at, event))

    def _recorded_before(self, payload: Payload, envelope: Envelope) -> Receipt | None:
        """The first receipt of a retry, also when the world has moved on since (its key was revoked, say)."""
        row = self.recorder.find(payload.id, payload.actor)
        if row is None or row.payload != envelope.payload:
            return None
        return _receipt(payload.id, _stored_before(row), ())


def _essence(body: Mapping[str, Any]) -> bytes:
    """A body without what its author happened to see, which differs when an undertaking is repeated."""
    return format_json({name: value for name, value in body.items() if name not in ("seen", "evidence")})


def _stored_before(row: Row) -> StoredAt:
    entry = row.entry
    return StoredAt(entry.index, row.leaf_hash, entry.stream, entry.revision, entry.recorded_at, existing=True)


def _receipt(event_id: str, stored: StoredAt, marks: tuple[str, ...]) -> Receipt:
    return Receipt(
        id=event_id,
        index=stored.index,
        leaf_hash=stored.leaf_hash,
        stream=stored.stream,
        revision=stored.revision,
        recorded_at=stored.recorded_at,
        status="recorded",
        marks=marks,
        existing=stored.existing,
    )
