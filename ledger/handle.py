"""A handle on an open log: who it is, its states, its signed heads and its proofs; nothing here appends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.checkpoints import check_extends, cosignatures_of, sign_head
from ledger.cosignature import add_lines
from ledger.domain import LedgerState, RecordedEvent, State
from ledger.entry import format_entry
from ledger.errors import ConfigurationError, InputError
from ledger.forks import renew_in_child
from ledger.identity import LogKeys, Trust
from ledger.keys import PublicKey, Signer
from ledger.merkle import prove_consistency, prove_inclusion
from ledger.note import VerifierKey, parse_note
from ledger.proof import Proof, format_proof
from ledger.recorders.sql import SqlRecorder
from ledger.replay import Judged
from ledger.stored import LogReader, Row
from ledger.treereader import TreeReader
from ledger.worlds import StoreWorld

__all__ = ["LogHandle"]


class _SharedWorld(StoreWorld):
    """The world of one ledger, for all its threads: what is judged, and under which authority, stay together.

    Args:
        log: the store.
        lock: the ledger's own; whoever judges holds it from `refresh` on.
    """

    def __init__(self, log: LogReader, lock: threading.RLock) -> None:
        super().__init__(log)
        self._lock = lock

    def refresh(self) -> int:
        """See `StoreWorld.refresh`."""
        with self._lock:
            return super().refresh()

    def follow(self, event: RecordedEvent, index: int, revision: int, recorded_at: int) -> None:
        """See `StoreWorld.follow`."""
        with self._lock:
            super().follow(event, index, revision, recorded_at)

    def admins_before(self, index: int) -> frozenset[str]:
        """See `StoreWorld.admins_before`."""
        with self._lock:
            return super().admins_before(index)

    def judge_row(self, row: Row) -> Judged:
        """See `StoreWorld.judge_row`."""
        with self._lock:
            return super().judge_row(row)

    def state_before(self, stream: str, index: int) -> State | None:
        """See `StoreWorld.state_before`."""
        with self._lock:
            return super().state_before(stream, index)

    def revision_before(self, stream: str, index: int) -> int:
        """See `StoreWorld.revision_before`."""
        with self._lock:
            return super().revision_before(stream, index)

    def key_holder_before(self, keyid: str, index: int) -> str | None:
        """See `StoreWorld.key_holder_before`."""
        with self._lock:
            return super().key_holder_before(keyid, index)

    def root_hash(self, size: int) -> bytes | None:
        """See `StoreWorld.root_hash`."""
        with self._lock:
            return super().root_hash(size)


class LogHandle:
    """An open log.

    Args:
        recorder: the store.
        checkpoint_signer: key that signs heads; None leaves heads unsigned.

    Attributes:
        recorder: the store.
        judging: held by whoever judges, so that a world and the authority it stands under stay together.
    """

    def __init__(self, recorder: SqlRecorder, checkpoint_signer: Signer | None = None) -> None:
        self.recorder = recorder
        self._checkpoint_signers: tuple[Signer, ...] = () if checkpoint_signer is None else (checkpoint_signer,)
        self._known_head: Callable[[], Checkpoint | None] | None = None
        self._last_signed: Checkpoint | None = None
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """See `forks.Renewed`: what a thread of the parent was folding may be half done."""
        self.judging = threading.RLock()
        self._world: StoreWorld | None = None

    @property
    def ledgerid(self) -> str:
        """32 hex digits that name this ledger in every event."""
        return self.recorder.identity().ledgerid

    @property
    def origin(self) -> str:
        """Name of the log in checkpoints."""
        return self.recorder.identity().origin

    @property
    def world(self) -> StoreWorld:
        """States folded from the store, for judging and for reading."""
        with self.judging:
            if self._world is None:
                self._world = _SharedWorld(self.recorder, self.judging)
            return self._world

    def ledger_state(self) -> LedgerState:
        """State of the ledger's own stream.

        Raises:
            ConfigurationError: its first entry is missing or bad.
        """
        with self.judging:
            size = self.world.refresh()
            state = self.world.state_before(f"ledger:{self.ledgerid}", size)
        if not isinstance(state, LedgerState):
            raise ConfigurationError("the ledger's first entry is missing or bad", hint="Run: muniment verify log")
        return state

    def head_verifier(self, trust: Trust | None) -> Callable[[bytes], Checkpoint]:
        """How signed heads of this log are checked.

        Args:
            trust: what is pinned; None to take the log's own word, which is looked up with the first head.
        """
        if trust is not None:
            return trust.verify_head
        return lambda note: self.log_keys().verify(note)

    def log_keys(self) -> LogKeys:
        """All keys of the checkpoints, from entry 0 and what the roots changed since."""
        return self.ledger_state().log_keys

    @property
    def vkey(self) -> VerifierKey:
        """Verifier key of the checkpoints that are signed now."""
        return self.log_keys().current

    # -- heads and proofs ----------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Sign the present head, or return the signed note that covers it.

        Raises:
            ConfigurationError: this ledger was opened without the checkpoint key and the head is unsigned.
        """
        if not self._checkpoint_signers:
            last = self.recorder.last_checkpoint()
            if last is not None and last.size == self.recorder.head().size:
                self.recorder.settle()
                return last.note
            raise ConfigurationError(
                "the present head is not signed yet and the checkpoint key is not on this machine",
                hint="Run this where the ledger's operator keeps the key.",
            )
        for known in (self._last_signed, None if self._known_head is None else self._known_head()):
            if known is not None:
                check_extends(self.recorder, known)  # before signing: a key that signs two histories is spent
        note = sign_head(self.recorder, self._checkpoint_signers, self.log_keys)
        self._last_signed = self.log_keys().verify(note)
        return note

    def signed_head(self) -> bytes:
        """The signed note of the present head where it can be signed, otherwise the last one there is.

        Raises:
            ConfigurationError: there is none at all, and no key to sign one.
        """
        last = self.recorder.last_checkpoint()
        if self.can_sign_heads or last is None:
            return self.checkpoint()
        self.recorder.settle()
        return last.note

    def cosigned(self, note: bytes) -> bytes:
        """A signed head of this log with the cosignatures that the store has of it, the newest of each witness."""
        head = parse_checkpoint(parse_note(note).text)
        return add_lines(note, [item.line for item in cosignatures_of(self.recorder, head)])

    def sign_heads_with(self, signers: Sequence[Signer], known_head: Callable[[], Checkpoint | None] | None) -> None:
        """Sign heads with these keys from now on.

        Args:
            signers: the checkpoint key, and the one before it while the key is changed; none when they are not here.
            known_head: gives a head seen before, which every signed head must extend.
        """
        self._checkpoint_signers = tuple(signers)
        self._known_head = known_head

    @property
    def head_keys(self) -> tuple[PublicKey, ...]:
        """The keys that heads are signed with here."""
        return tuple(signer.public for signer in self._checkpoint_signers)

    @property
    def can_sign_heads(self) -> bool:
        """Whether the checkpoint key is at hand."""
        return bool(self._checkpoint_signers)

    def entry_bytes(self, index: int) -> bytes:
        """The preimage of a leaf.

        Raises:
            InputError: there is no such entry.
        """
        rows = self.recorder.rows(index, 1) if index >= 0 else []
        if not rows or rows[0].entry.index != index:
            raise InputError(f"there is no entry {index}", hint=f"The log has {self.recorder.head().size} entries.")
        return format_entry(rows[0].entry)

    def prove_inclusion(self, index: int, note: bytes | None = None) -> bytes:
        """A ``.tlog-proof`` that an entry stands at ``index`` under a signed head.

        Args:
            index: of the entry.
            note: an earlier signed head of this log, authenticated; the present one when None.

        Raises:
            InputError: there is no such entry.
        """
        note = self.cosigned(self.checkpoint() if note is None else note)
        size = parse_checkpoint(parse_note(note).text).size
        if not 0 <= index < size:
            raise InputError(f"there is no entry {index}", hint=f"The log has {size} entries.")
        hashes = prove_inclusion(TreeReader(self.recorder), index, size)
        return format_proof(Proof(index=index, hashes=hashes, checkpoint_note=note, extra=None))

    def prove_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Hashes that show that the tree of size ``new`` extends the one of size ``old``.

        Raises:
            InputError: not 0 < old <= new <= size.
        """
        size = self.recorder.head().size
        if not 0 < old <= new <= size:
            raise InputError(f"consistency needs 0 < OLD <= NEW <= {size}")
        return prove_consistency(TreeReader(self.recorder), old, new)
