"""The open ledger: sign events and append them, or append events that were signed elsewhere.

Append = limits, strict parse, schema, authority, judge, signatures (`appending`), then the store's own transaction,
shared with other threads of this ledger, in which what the judgement rested on is checked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ledger.appending import Appender, Receipt, SignedEvent
from ledger.emission import Emitter, Moment, build_payload, microseconds, uuid7
from ledger.envelope import sign_payload
from ledger.errors import (
    ConfigurationError,
    ConflictError,
    InputError,
    LedgerError,
    PolicyError,
    StorageError,
)
from ledger.events import find_event_type
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer, Signer
from ledger.payload import parse_payload
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.refusals import TYPE, refusal, refusal_id
from ledger.screen import Screening
from ledger.sealing import Sealer, data_at, replace_field
from ledger.strictjson import format_json

__all__ = ["MAX_BATCH", "MAX_BATCH_BYTES", "Ledger", "Receipt"]

MAX_BATCH = 1000
MAX_BATCH_BYTES = 16 * 1024 * 1024


class Ledger(LogHandle):
    """An open ledger.

    Args:
        recorder: the store.
        actor: actor id to sign as; None opens it for reading and for events signed elsewhere.
        signers: private keys of that actor (several for root events that need a threshold).
        checkpoint_signer: key that signs heads; None leaves heads unsigned.
        on_close: called before the store is closed, with this ledger, when anything was appended.
        screening: what is done about secrets in what is signed here; the default hides and refuses them.

    Attributes:
        closes_emitter: whether `close` says which number was the last one, when anything was appended.
    """

    def __init__(
        self,
        recorder: SqlRecorder,
        *,
        actor: str | None = None,
        signers: Sequence[Signer] = (),
        checkpoint_signer: Signer | None = None,
        on_close: Callable[[Ledger], None] | None = None,
        screening: Screening | None = None,
    ) -> None:
        super().__init__(recorder, checkpoint_signer)
        self.actor = actor
        self._signers = tuple(signers)
        self._on_close = on_close
        self._appended = False
        self._sealer: Sealer | None = None
        self._emitter = Emitter()
        self.closes_emitter = False
        self.screening = Screening() if screening is None else screening
        self._appender = Appender(self)

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

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The private keys of its actor."""
        return self._signers

    def sign_with(self, signers: Sequence[Signer]) -> None:
        """Sign events with these keys from now on."""
        self._signers = tuple(signers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do what was asked for at the end (``closes_emitter``, ``on_close``) and close the store's connection.

        Where numbers came back that later ones stand behind, the emitter is closed unasked: they are no gap.
        """
        try:
            try:
                if self._appended and (self.closes_emitter or self._emitter.came_back):
                    self.close_emitter()
            finally:
                if self._appended and self._on_close is not None:
                    self._on_close(self)
        finally:
            self._appended = False
            if self._sealer is not None:
                self._sealer.close()
            self.recorder.close()

    def seal_with(self, sealer: Sealer) -> None:
        """Seal personal fields with these data keys from now on; they are closed with the ledger."""
        self._sealer = sealer

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
        personal: Mapping[str, Any] | None = None,
        about: str | None = None,
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
            personal: fields of the body, by dotted path, that are sealed with the data key of ``about`` before signing.
            about: the data subject of ``personal``, by a name that tells nothing: ``person:p-7f3a``.
            fields: more of the body, by name.

        Returns:
            The receipt.

        Raises:
            ConfigurationError: no actor or key is set.
            LedgerError: as `append`.
        """
        self._check_signing()
        body = self.screening.screen(type, subject, _given({**(data or {}), **fields}), (correlation, causation))
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
        plain = body
        if personal or about is not None:
            plain = self._seal(attributes, personal or {}, about)
        try:
            return self._append_once(attributes, plain, also_sign, expect or {})
        except PolicyError as error:
            self._record_refusal(type, subject, body, error)
            raise

    def _append_once(
        self,
        attributes: dict[str, Any],
        plain: Mapping[str, Any],
        also_sign: Sequence[Signer],
        expect: Mapping[str, int],
    ) -> Receipt:
        """Append, or answer with the first receipt of the same id and content."""
        event_id, subject = attributes["event_id"], attributes["subject"]
        if event_id is None:
            return self._sign_and_append(attributes, also_sign, expect)
        repeated = self._repeated(event_id, attributes["type"], subject, plain)
        if repeated is not None:
            return repeated
        try:
            return self._sign_and_append(attributes, also_sign, expect)
        except (ConflictError, PolicyError):
            repeated = self._repeated(event_id, attributes["type"], subject, plain)  # another process was faster
            if repeated is None:
                raise
            return repeated

    def _record_refusal(self, type: str, subject: str, body: Mapping[str, Any], error: PolicyError) -> None:
        """Record that a decision was refused, once an hour; whoever may not even say so leaves no trace.

        Whatever goes wrong here must not hide that it was refused, and why.
        """
        try:
            world = self.world.at(self.world.refresh())
            found = refusal(world, find_event_type(type).topic, subject, body, error)
            if found is None:
                return
            same = refusal_id(self.ledgerid, str(self.actor), subject, found, microseconds(None))
            self.emit(TYPE, subject, found, event_id=same)
        except LedgerError as trouble:
            error.add_note(f"the refusal was not recorded: {trouble.message}")

    def emit_all(
        self, events: Sequence[tuple[str, str, Mapping[str, Any]]], *, event_id: str | None = None, **attributes: Any
    ) -> list[Receipt]:
        """Sign several events and append them in one transaction: all of them, or none.

        Args:
            events: type, subject and body of each; each is judged as if those before it were recorded already.
            event_id: UUID of the last one, and so of all of them together: when it is recorded already, nothing is
                appended. When they are refused, the last one is what is recorded as refused.
            attributes: of all of them, see `emit`: occurred_at, on_behalf_of, correlation, causation, strength.

        Returns:
            One receipt an event, in order; only the first receipt of the last one when it was recorded before.

        Raises:
            ConfigurationError: no actor or key is set.
            LedgerError: as `append`, for the first event that is refused.
        """
        actor = self._check_signing()
        around = (attributes.get("correlation"), attributes.get("causation"))
        screened = [(kind, of, self.screening.screen(kind, of, _given(data), around)) for kind, of, data in events]
        numbers = [self._emitter.take() for _ in events]
        try:
            signed: list[SignedEvent] = []
            for (type_, subject, body), (emitter, sequence) in zip(screened, numbers, strict=True):
                encoded, payload = build_payload(
                    ledgerid=self.ledgerid, actor=actor, type=type_, subject=subject, data=body, emitter=emitter,
                    sequence=sequence, event_id=event_id if len(signed) == len(events) - 1 else None, **attributes,
                )  # fmt: skip
                signed.append(SignedEvent(sign_payload(encoded, self._signers), payload))
            receipts = self._appender.append(signed, {})
        except LedgerError as error:
            if not (isinstance(error, StorageError) and error.outcome_unknown):
                for number in reversed(numbers):
                    self._emitter.release(*number)
            if event_id is not None and isinstance(error, ConflictError | PolicyError):
                repeated = self._repeated(event_id, *screened[-1])  # another process was faster
                if repeated is not None:
                    return [repeated]
            if isinstance(error, PolicyError):
                self._record_refusal(*screened[-1], error)
            raise
        self._appended = True
        return receipts

    def heartbeat(self, interval: int) -> Receipt:
        """Say that this ledger's emitter is alive, and will be heard of again.

        Args:
            interval: seconds within which its next event will be recorded.

        Raises:
            LedgerError: as `emit`.
        """

        def take() -> tuple[str, int, Mapping[str, Any]]:
            emitter, number = self._emitter.take()
            body = {"last": self._emitter.last, "interval": interval}
            return emitter, number, {"subject": f"emitter:{emitter}", "data": body}

        return self._tell("emitter.heartbeat", take)

    def close_emitter(self) -> Receipt | None:
        """Say which number was this emitter's last, so that what is missing up to there shows; a new one begins.

        Call it when no other thread emits: what is on its way has a number below, or is missing.

        Returns:
            The receipt, None when no number was given out.

        Raises:
            LedgerError: as `emit`.
        """

        def take() -> tuple[str, int, Mapping[str, Any]]:
            emitter, number, last = self._emitter.end()
            return emitter, number, {"subject": f"emitter:{emitter}", "data": {"last": last}}

        if not self._emitter.last:
            return None
        while (unused := self._emitter.give_up()) is not None:
            body = {"first": unused, "last": unused, "reason": "never used: the event that had it was refused"}
            self.emit("gap.declared", f"emitter:{self._emitter.id}", body)
        return self._tell("emitter.closed", take)

    def _tell(self, type: str, take: Callable[[], tuple[str, int, Mapping[str, Any]]]) -> Receipt:
        attributes = {"ledgerid": self.ledgerid, "actor": self._check_signing(), "type": type}
        return self._sign_and_append(attributes, (), {}, take)

    def _check_signing(self) -> str:
        if self.actor is None or not self._signers:
            raise ConfigurationError(
                "this ledger was opened without an actor, so it cannot sign", hint="Open it with an actor: --as ACTOR"
            )
        return self.actor

    def _sign_and_append(
        self,
        attributes: Mapping[str, Any],
        also_sign: Sequence[Signer],
        expect: Mapping[str, int],
        take: Callable[[], tuple[str, int, Mapping[str, Any]]] | None = None,
    ) -> Receipt:
        signers = (*self._signers, *also_sign)
        # What this process just signed itself need not be verified; what a device signed must.
        good = frozenset([signer.public for signer in signers if isinstance(signer, Ed25519Signer)])
        numbers: list[tuple[str, int]] = []

        def sign() -> SignedEvent:
            emitter, sequence, more = (*self._emitter.take(), {}) if take is None else take()
            numbers.append((emitter, sequence))
            encoded, payload = build_payload(**attributes, **more, emitter=emitter, sequence=sequence)
            return SignedEvent(sign_payload(encoded, signers), payload, good)

        def give_back() -> None:
            while numbers:
                self._emitter.release(*numbers.pop())

        try:
            if len(good) == len(signers):
                receipt = self._appender.append_new(sign, expect, give_back)
            else:  # a device may be slow, and nobody else should wait for it
                (receipt,) = self._appender.append([sign()], expect)
        except LedgerError as error:
            if not (isinstance(error, StorageError) and error.outcome_unknown):
                give_back()
            raise
        self._appended = True
        return receipt

    def _seal(self, attributes: dict[str, Any], personal: Mapping[str, Any], about: str | None) -> dict[str, Any]:
        """Seal personal fields of what is about to be signed.

        Returns:
            The body in the clear.
        """
        kind = find_event_type(attributes["type"])
        if not personal or about is None:
            raise InputError(
                "personal fields and the person they are about go together",
                hint="Give both: --personal FIELD=VALUE --about person:p-…",
            )
        for path in personal:
            if not kind.may_seal(path):
                fields = ", ".join(kind.personal) or "none"
                raise InputError(
                    f"the field {path} of {kind.name} cannot be sealed: others rest on it, or it is not of this type",
                    hint=f"Fields of {kind.name} that can be: {fields}.",
                )
        if self._sealer is None:
            raise ConfigurationError(
                "this ledger was opened without data keys, so it cannot seal", hint="Open it from its .muniment folder."
            )
        plain = body = attributes["data"]
        for path, value in personal.items():
            plain = replace_field(plain, path, value)
        attributes["event_id"] = attributes["event_id"] or uuid7()
        self.world.refresh()  # a key that was erased meanwhile seals nothing more
        erased = self.ledger_state().erased_keys
        attributes["data"] = self._sealer.seal(body, personal, about, attributes["event_id"], erased)
        return dict(plain)

    def _repeated(self, event_id: str, name: str, subject: str, body: Mapping[str, Any]) -> Receipt | None:
        row = self.recorder.find(event_id, str(self.actor))
        if row is None or row.payload is None:
            return None
        known = parse_payload(row.payload)
        data: Mapping[str, Any] = known.data
        if self._sealer is not None:
            data, closed = self._sealer.reveal(known.data, known.id)
            for path in closed:  # what nobody can open cannot be compared either
                body = replace_field(body, path, data_at(known.data, path))
        if (known.type, known.subject, _essence(data)) != (find_event_type(name).topic, subject, _essence(body)):
            raise ConflictError(
                f"the id {event_id} is already recorded at index {row.entry.index} with other content",
                hint="Give a new event a new id.",
            )
        return self._appender.first_receipt(row)

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
        return self._append([envelope], expect or {})[0]

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
        return self._append(envelopes, expect or {})

    def _append(self, envelopes: Sequence[bytes], expect: Mapping[str, int]) -> list[Receipt]:
        if not envelopes:
            return []
        receipts = self._appender.append(self._appender.read(envelopes), expect)
        self._appended = self._appended or not all(receipt.existing for receipt in receipts)
        return receipts


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without fields that are None."""
    return {name: value for name, value in body.items() if value is not None}


def _essence(body: Mapping[str, Any]) -> bytes:
    """A body without what its author happened to see, which differs when an undertaking is repeated."""
    return format_json({name: value for name, value in body.items() if name not in ("seen", "evidence")})
