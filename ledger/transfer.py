"""Moving a ledger to another store: copy, verify, hand over, open.

At every moment exactly one store can take entries, or none for the short time between the last two steps. The target
is closed from the start. The hand-over is one transaction of the source under its head lock: the last rows are stored
durably in the target and compared, then the signed successor note is committed, after which the source takes nothing.
Only a note that names this very copy opens the target (docs/adr/0011).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.application import Ledger
from ledger.checkpoints import check_extends, extend_range, sign_as_needed
from ledger.config import redact_url
from ledger.crashpoints import crashpoint
from ledger.errors import ConfigurationError, StorageError, VerificationError
from ledger.findings import Anchor, LogVerification
from ledger.identity import Trust
from ledger.keys import Signer
from ledger.merkle import CompactRange, peaks_of
from ledger.recorders import open_recorder
from ledger.recorders.copying import (
    admit_closed,
    copy_checkpoints,
    copy_log,
    copy_tracking,
    last_position,
    open_store,
    set_successor,
    settle_erased,
    transfer_of,
)
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Head, SignedHead, Transfer
from ledger.successor import Successor, sign_successor, verify_successor
from ledger.treereader import TreeReader
from ledger.verify import verify_log

__all__ = [
    "Advance",
    "CopyPlan",
    "LedgerCopy",
    "Outside",
    "begin_closed",
    "check_closed",
    "find_closed",
    "refuse_bad",
    "same_rows",
]

#: So few entries may be left to copy while appends wait.
_TAIL = 200
_ROUNDS = 20

#: Called with (done, total).
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outside:
    """What is known of a log without asking its store.

    Attributes:
        trust: pinned identity, None when none is known.
        anchors: heads that somebody outside the store vouches for.
    """

    trust: Trust | None
    anchors: tuple[Anchor, ...] = ()

    def within(self, size: int) -> Outside:
        """The same without the heads of more than ``size`` entries, smallest first."""
        found = [anchor for anchor in self.anchors if anchor.checkpoint.size <= size]
        return Outside(self.trust, tuple(sorted(found, key=lambda anchor: anchor.checkpoint.size)))


def begin_closed(target: SqlRecorder, source: SqlRecorder, transfer: Transfer) -> Transfer:
    """Create a closed store for a copy, or find the half copy of this very log that is there.

    Args:
        target: where the copy goes.
        source: the log.
        transfer: what to create; a half copy keeps its own token.

    Returns:
        What the target holds now.

    Raises:
        ConfigurationError: it holds something else.
    """
    if not target.exists():
        target.create(source.identity(), transfer)
        crashpoint("copy.created")
        target.admit(source.identity())
        return transfer
    return find_closed(target, source, transfer.kind)


def held_by(target: SqlRecorder) -> tuple[Transfer | None, bool]:
    """What made an existing store a copy, and whether it is closed; a stranger's store is neither."""
    try:
        return transfer_of(target)
    except ConfigurationError:
        return None, False


def find_closed(target: SqlRecorder, source: SqlRecorder, kind: str) -> Transfer:
    """Find the half copy of this very log that is in a store.

    Args:
        target: the store.
        source: the log.
        kind: what kind of copy it must be.

    Raises:
        ConfigurationError: it holds something else.
    """
    found, closed = held_by(target)
    if found is None or not closed or found.kind != kind or admit_closed(target) != source.identity():
        raise ConfigurationError(
            "the target already holds something else", hint="Name a file or schema that does not exist yet."
        )
    return found


def check_closed(target: SqlRecorder, outside: Outside, advance: Advance | None = None) -> CompactRange:
    """Verify a closed store from its stored bytes.

    Returns:
        The range over the entries that were verified.

    Raises:
        VerificationError: it is not good; the first finding.
    """
    found = verify_log(target, outside.trust, outside.anchors, advance)
    refuse_bad(found)
    checked = CompactRange(found.size, tuple(TreeReader(target).read_hashes(peaks_of(found.size))))
    if checked.root().hex() != found.root:
        raise VerificationError("the copy changed while it was verified", fault="tree")
    return checked


def refuse_bad(found: LogVerification) -> None:
    """Raise the first finding of a copy's verification.

    Raises:
        VerificationError: there is one.
    """
    if not found.ok:
        first = found.findings[0]
        raise VerificationError(
            f"the copy does not verify, so it was not opened: {first.message}",
            fault=first.fault,
            index=first.index,
            hint="A copy is exact: look at what it was copied from with muniment verify log",
        )


def same_rows(source: SqlRecorder, target: SqlRecorder) -> bool:
    """Whether both stores count the same rows of each kind; what the rows are, the hashes under the head say."""
    sql = "SELECT (SELECT count(*) FROM $checkpoint), (SELECT count(*) FROM $attestation), size, root FROM $signed_head"
    return source.counts() == target.counts() and source.ask(sql) == target.ask(sql)


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What a copy would do, or did.

    Attributes:
        step: ``copy`` from the start, ``resume`` a half copy, ``open`` the finished copy of a sealed source, or
            ``none``: it had been done.
        size: entries of the source.
        copied: entries that are in the target already.
    """

    step: str
    size: int
    copied: int


class LedgerCopy:
    """One copy of a ledger to another store.

    Args:
        source: the ledger, open for reading.
        target_url: an empty store, or a half copy of this ledger.
        outside: what is known without asking the stores.
    """

    def __init__(self, source: Ledger, target_url: str, outside: Outside) -> None:
        self._ledger = source
        self._source = source.recorder
        self._url = target_url
        self._target = open_recorder(target_url)
        self._outside = outside

    def close(self) -> None:
        """Close the target."""
        self._target.close()

    @property
    def place(self) -> str:
        """The target as it may be shown."""
        return redact_url(self._url)

    def _refuse_other(self, successor: Successor) -> None:
        raise ConfigurationError(
            f"this ledger has moved to {successor.place} already, at size {successor.size}",
            hint="Use it there: --ledger URL, or `ledger` in .muniment/config.toml",
        )

    def plan(self) -> CopyPlan:
        """Say what `run` would do; nothing is changed.

        Raises:
            ConfigurationError: the target holds something else, or the ledger has moved elsewhere.
        """
        size = self._source.head().size
        stored = self._source.successor()
        exists = self._target.exists()
        transfer, closed = held_by(self._target) if exists else (None, False)
        if stored is not None:
            successor = verify_successor(stored[1], [self._ledger.vkey])
            if transfer is None or transfer.token != successor.copy:
                self._refuse_other(successor)
            return CopyPlan("open" if closed else "none", size, size)
        if not exists:
            return CopyPlan("copy", size, 0)
        if transfer is not None and not closed and (transfer, closed) == transfer_of(self._source):
            return CopyPlan("none", size, size)  # the settings name the new store already
        find_closed(self._target, self._source, "copy")
        return CopyPlan("resume", size, last_position(self._target))

    def run(self, signers: Sequence[Signer], advance: Advance | None = None) -> CopyPlan:
        """Copy, verify, hand over and open; or go on where an earlier call was cut.

        Args:
            signers: the checkpoint key, and the one before it while the key is changed.
            advance: called with (done, total) now and then.

        Returns:
            What was done, with the size at which the ledger moved.

        Raises:
            ConfigurationError: as `plan`, or the key is not the one of this ledger.
            VerificationError: the copy is not good; the source goes on.
            StorageError: a store failed; call it again.
        """
        if self._ledger.vkey.public not in {signer.public.raw for signer in signers}:
            raise ConfigurationError(
                "the checkpoint key is not on this machine, so the ledger cannot be handed over",
                hint="Run this where the ledger's operator keeps the key.",
            )
        try:
            return self._run(signers, advance)
        except StorageError as error:
            hint = f"{error.hint} Then run the same command again: it goes on where this was cut.".strip()
            raise StorageError(error.message, hint=hint) from error

    def _run(self, signers: Sequence[Signer], advance: Advance | None) -> CopyPlan:
        plan = self.plan()
        if plan.step == "none":
            return plan
        if plan.step in ("copy", "resume"):
            transfer = begin_closed(self._target, self._source, Transfer("copy", secrets.token_hex(16)))
            self._fill(advance)
            checked = check_closed(self._target, self._outside, advance)
            crashpoint("copy.verified")
            self._fill(advance)
            self._hand_over(transfer, checked, signers)
            crashpoint("copy.sealed")
        self._open()
        return CopyPlan(plan.step, self._source.head().size, plan.copied)

    def _fill(self, advance: Advance | None) -> None:
        """Copy until hardly anything is left and no erasure is half copied, however many append and erase meanwhile."""
        settled = False
        for _ in range(_ROUNDS):
            copy_log(self._source, self._target, self._source.head(), advance)
            copied = last_position(self._target)
            settled = settle_erased(self._source, self._target, copied)
            if settled and self._source.head().size - copied <= _TAIL:
                return
        if not settled:
            raise StorageError("erasures went on as long as the ledger was copied", hint="Wait until they have ended.")

    @contextmanager
    def _fresh_target(self, transfer: Transfer) -> Iterator[SqlRecorder]:
        """The target as somebody finds it who opens it now: the file may have been replaced under our connection."""
        fresh = open_recorder(self._url)
        try:
            if not fresh.exists() or transfer_of(fresh) != (transfer, True):
                raise StorageError("the target was replaced while it was copied to", hint="Look who else uses it.")
            admit_closed(fresh)
            yield fresh
        finally:
            fresh.close()

    def _hand_over(self, transfer: Transfer, checked: CompactRange, signers: Sequence[Signer]) -> None:
        source = self._source
        with source.sql.writing():
            head = source.lock_head()
            if source.successor() is not None:
                raise ConfigurationError(
                    "the ledger was moved while it was copied", hint="muniment doctor shows where it is."
                )
            copy_log(source, self._target, head)
            settle_erased(source, self._target, head.size)  # nobody erases while we hold the head
            copy_tracking(source, self._target)
            crashpoint("copy.tail_stored")
            with self._fresh_target(transfer) as fresh:
                self._compare(fresh, head, checked)
            identity = source.identity()
            successor = Successor(
                identity.origin, identity.ledgerid, head.size, head.root(), transfer.token, self.place
            )
            last = source.last_checkpoint()
            keys = self._ledger.log_keys()
            if last is None or last.size < head.size:
                # Nobody may sign this size later: the target would not have that head. `_open` copies it.
                note = sign_as_needed(successor.head, 0 if last is None else last.size, keys, signers)
                source.store_signed(SignedHead(head.size, head.root()), note)
            (signer,) = [signer for signer in signers if signer.public.raw == keys.current.public]
            set_successor(source, self.place, sign_successor(successor, signer))

    def _compare(self, target: SqlRecorder, head: Head, checked: CompactRange) -> None:
        """What was verified, and what came since, leads to the source's head."""
        grown = extend_range(target, checked, head.size)
        if target.head() != head or grown.root() != head.root():
            raise VerificationError("the copy does not lead to the head it was copied from", fault="head")
        if not same_rows(self._source, target):
            raise VerificationError(
                "the copy has not the same rows as the store it was copied from",
                fault="head",
                hint="Remove the half copy and start again; look at the store with muniment verify log",
            )

    def _open(self) -> None:
        stored = self._source.successor()
        if stored is None:  # a store that lost it takes entries: nothing may be opened beside it
            raise StorageError("the source holds no successor note", hint="Look who else uses it.")
        successor = verify_successor(stored[1], [self._ledger.vkey])
        transfer, closed = held_by(self._target)
        if transfer is None or transfer.token != successor.copy:
            self._refuse_other(successor)
        admit_closed(self._target)
        check_extends(self._target, successor.head)
        if closed:
            copy_checkpoints(self._source, self._target, successor.size)
            open_store(self._target)
