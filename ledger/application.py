"""The open ledger: sign events and append them, or append events that were signed elsewhere.

Append = limits, strict parse, schema, authority, judge, signatures (`appending`), then the store's own transaction,
shared with other threads of this ledger, in which what the judgement rested on is checked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ledger.appending import Receipt
from ledger.emission import Moment, microseconds, uuid7
from ledger.errors import (
    ConfigurationError,
    ConflictError,
    InputError,
    LedgerError,
    PolicyError,
)
from ledger.events import find_event_type
from ledger.keys import Signer
from ledger.payload import parse_payload
from ledger.recorders import open_recorder
from ledger.recorders.sql import SqlRecorder
from ledger.refusals import TYPE, refusal, refusal_id
from ledger.screen import Screening
from ledger.sealing import Sealer, data_at, replace_field
from ledger.strictjson import format_json
from ledger.writer import Writer

__all__ = ["Ledger", "Receipt"]


class Ledger(Writer):
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
        super().__init__(recorder, actor, signers, checkpoint_signer)
        self._on_close = on_close
        self._sealer: Sealer | None = None
        self.closes_emitter = False
        self.screening = Screening() if screening is None else screening

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
            self.record_refusal(type, subject, body, error)
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

    def record_refusal(self, type: str, subject: str, body: Mapping[str, Any], error: PolicyError) -> None:
        """Record that a decision was refused, once an hour; other events leave no trace.

        `emit` does it; who finds out before that calls it. Whoever may not even say so leaves no trace, and whatever
        goes wrong here must not hide that it was refused, and why.

        Args:
            type: as `emit`.
            subject: as `emit`.
            body: what is known of it.
            error: why it was refused.
        """
        try:
            found = refusal(find_event_type(type).topic, subject, body, error)
            if found is None:
                return
            same = refusal_id(self.ledgerid, str(self.actor), subject, found, microseconds(None))
            self.emit(TYPE, subject, found, event_id=same)
        except LedgerError as trouble:
            error.add_note(f"the refusal was not recorded: {trouble.message}")

    def emit_all(
        self,
        events: Sequence[tuple[str, str, Mapping[str, Any]]],
        *,
        event_id: str | None = None,
        also_sign: Sequence[Signer] = (),
        **attributes: Any,
    ) -> list[Receipt]:
        """Sign several events and append them in one transaction: all of them, or none.

        Args:
            events: type, subject and body of each; each is judged as if those before it were recorded already.
            event_id: UUID of the last one, and so of all of them together: when it is recorded already, nothing is
                appended. When they are refused, the last one is what is recorded as refused.
            also_sign: further keys that sign the first one, for example the key being enrolled.
            attributes: of all of them, see `emit`: occurred_at, on_behalf_of, correlation, causation, strength.

        Returns:
            One receipt an event, in order; only the first receipt of the last one when it was recorded before.

        Raises:
            ConfigurationError: no actor or key is set.
            LedgerError: as `append`, for the first event that is refused.
        """
        around = (attributes.get("correlation"), attributes.get("causation"))
        common = {"ledgerid": self.ledgerid, "actor": self._check_signing(), **attributes}
        screened = [(kind, of, self.screening.screen(kind, of, _given(data), around)) for kind, of, data in events]
        ids = [None] * (len(events) - 1) + [event_id]
        try:
            return self._sign_and_append_all(
                [
                    {**common, "type": kind, "subject": of, "data": body, "event_id": same}
                    for (kind, of, body), same in zip(screened, ids, strict=True)
                ],
                also_sign,
            )
        except LedgerError as error:
            if event_id is not None and isinstance(error, ConflictError | PolicyError):
                repeated = self._repeated(event_id, *screened[-1])  # another process was faster
                if repeated is not None:
                    return [repeated]
            if isinstance(error, PolicyError):
                self.record_refusal(*screened[-1], error)
            raise

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
        size = self.world.refresh()  # a key that was erased meanwhile seals nothing more
        erased = self.ledger_state().erased_keys
        attributes["data"] = self._sealer.seal(body, personal, about, attributes["event_id"], erased=erased, size=size)
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


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without fields that are None."""
    return {name: value for name, value in body.items() if value is not None}


def _essence(body: Mapping[str, Any]) -> bytes:
    """A body without what its author happened to see, which differs when an undertaking is repeated."""
    return format_json({name: value for name, value in body.items() if name not in ("seen", "evidence")})
