"""A log that is open for writing: its actor's keys, the numbers of its emitter, and the way into the store.

What is signed here and what was signed elsewhere goes the same way: `appending.Appender`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger.appending import Appender, Receipt, SignedEvent
from ledger.emission import Emitter, build_payload
from ledger.envelope import sign_payload
from ledger.errors import ConfigurationError, InputError, LedgerError, StorageError
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer, Signer
from ledger.recorders.sql import SqlRecorder

__all__ = ["MAX_BATCH", "MAX_BATCH_BYTES", "Writer"]

MAX_BATCH = 1000
MAX_BATCH_BYTES = 16 * 1024 * 1024


class Writer(LogHandle):
    """An open log that is written to.

    Args:
        recorder: the store.
        actor: actor id to sign as; None leaves only events signed elsewhere.
        signers: private keys of that actor.
        checkpoint_signer: key that signs heads; None leaves heads unsigned.
    """

    def __init__(
        self, recorder: SqlRecorder, actor: str | None, signers: Sequence[Signer], checkpoint_signer: Signer | None
    ) -> None:
        super().__init__(recorder, checkpoint_signer)
        self.actor = actor
        self._signers = tuple(signers)
        self._appended = False
        self._emitter = Emitter()
        self._appender = Appender(self)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The private keys of its actor."""
        return self._signers

    def sign_with(self, signers: Sequence[Signer]) -> None:
        """Sign events with these keys from now on."""
        self._signers = tuple(signers)

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

        try:
            if len(good) == len(signers):
                receipt = self._appender.append_new(sign, expect, lambda: self._give_back(numbers))
            else:  # a device may be slow, and nobody else should wait for it
                (receipt,) = self._appender.append([sign()], expect)
        except LedgerError as error:
            self._give_back(numbers, error)
            raise
        self._appended = True
        return receipt

    def _sign_and_append_all(
        self, attributes: Sequence[Mapping[str, Any]], also_sign: Sequence[Signer] = ()
    ) -> list[Receipt]:
        """Sign several events, the first with further keys, and append them in one transaction: all, or none."""
        numbers = [self._emitter.take() for _ in attributes]
        try:
            signed: list[SignedEvent] = []
            for each, (emitter, sequence) in zip(attributes, numbers, strict=True):
                encoded, payload = build_payload(**each, emitter=emitter, sequence=sequence)
                signers = self._signers if signed else (*self._signers, *also_sign)
                signed.append(SignedEvent(sign_payload(encoded, signers), payload))
            receipts = self._appender.append(signed, {})
        except LedgerError as error:
            self._give_back(numbers, error)
            raise
        self._appended = True
        return receipts

    def _give_back(self, numbers: list[tuple[str, int]], error: LedgerError | None = None) -> None:
        """Give numbers out again, unless what had them may be recorded."""
        if isinstance(error, StorageError) and error.outcome_unknown:
            return
        while numbers:
            self._emitter.release(*numbers.pop())

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
            about = {"subject": f"emitter:{self._emitter.id}", "data": body}
            self._sign_and_append({**self._speaking("gap.declared"), **about}, (), {})
        return self._tell("emitter.closed", take)

    def _tell(self, type: str, take: Callable[[], tuple[str, int, Mapping[str, Any]]]) -> Receipt:
        return self._sign_and_append(self._speaking(type), (), {}, take)

    def _speaking(self, type: str) -> dict[str, Any]:
        return {"ledgerid": self.ledgerid, "actor": self._check_signing(), "type": type}

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
