"""Asking witnesses to cosign the last signed head (C2SP tlog-witness, the side of the log).

What a witness answers is believed only as far as it proves: a cosignature by its key, a head signed by our own key. A
witness that shows a head of ours that the store does not extend has shown that the store was put back or rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

from ledger.addcheckpoint import AddCheckpoint, format_add_checkpoint, monitoring_path, parse_size, parse_unproven
from ledger.checkpoint import Checkpoint, VerifyHead, format_checkpoint, parse_checkpoint
from ledger.checkpoints import cosignatures_of
from ledger.cosignature import Cosignature, format_cosignature, parse_lines, verify_lines
from ledger.errors import (
    ConfigurationError,
    InputError,
    LedgerError,
    NothingToVerifyError,
    StorageError,
    VerificationError,
)
from ledger.findings import Witnessed
from ledger.merkle import prove_consistency, root_hash
from ledger.note import VerifierKey, format_vkey, parse_note
from ledger.recorders.sql import SqlRecorder
from ledger.treereader import TreeReader
from ledger.witnessed import last_witnessed
from ledger.witnesshttp import Reply, check_url, exchange
from ledger.witnesspolicy import Policy, PolicyWitness

__all__ = [
    "CONTRADICTED",
    "COSIGNED",
    "UNMET",
    "Asked",
    "Round",
    "Seen",
    "ask_latest",
    "ask_witnesses",
    "check_policy_log",
]

#: What came of asking one witness: it cosigned; it did not; it saw another history or a longer one.
COSIGNED, UNMET, CONTRADICTED = "cosigned", "not cosigned", "contradicted"

_ATTEMPTS = 5
_WORKERS = 16

#: Sends a request: method, path below the prefix of the witness, body.
Send = Callable[[str, str, bytes | None], Reply]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seen:
    """A head of our log that a witness shows, signed by our own key and cosigned by it."""

    checkpoint: Checkpoint
    note: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking one witness.

    Attributes:
        witness: who was asked.
        outcome: `COSIGNED`, `UNMET` or `CONTRADICTED`.
        message: what happened, in words.
        cosignature: what it gave, verified.
        seen: what it shows, when it contradicts us and shows a head of ours.
        unproven: sizes of our heads that it keeps since nobody proved them to it, as it says.
    """

    witness: PolicyWitness
    outcome: str
    message: str
    cosignature: Cosignature | None = None
    seen: Seen | None = None
    unproven: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One round of asking.

    Attributes:
        checkpoint: the head that was sent.
        asked: one for each witness of the policy, in its order.
        met: whether cosignatures of this head, of this round or before, make the quorum.
        stored: how many cosignatures are new in the store.
    """

    checkpoint: Checkpoint
    asked: tuple[Asked, ...]
    met: bool
    stored: int

    @property
    def contradicted(self) -> bool:
        """Whether a witness saw another history than ours, or a longer one."""
        return any(item.outcome == CONTRADICTED for item in self.asked)

    @property
    def proven(self) -> bool:
        """Whether a head of this log that contradicts the store was shown, signed by its own key."""
        return any(item.seen is not None for item in self.asked)


def ask_witnesses(
    recorder: SqlRecorder,
    note: bytes,
    verify_head: VerifyHead,
    policy: Policy,
    *,
    seconds: float = 10.0,
) -> Round:
    """Send a signed head to every witness of a policy at once, and keep what they say.

    Args:
        recorder: the store; it holds this head.
        note: the signed head.
        verify_head: checks a signed head of this log.
        policy: whom to ask, and what is enough.
        seconds: for one request.

    Returns:
        What came of it. A cosignature is in the store before this returns.

    Raises:
        ConfigurationError: a URL in the policy is none.
        NothingToVerifyError: the policy names no witness.
        StorageError: the store failed.
    """
    head = verify_head(note)
    if not policy.witnesses:
        raise NothingToVerifyError("the policy names no witness", hint="Add a line: witness NAME VKEY URL")
    urls = {item.name: check_url(item.url) for item in policy.witnesses if item.url is not None}
    reached = last_witnessed(recorder)
    nothing = Witnessed(0, 0)
    reader = _ProofCache(recorder, head)
    asking = [
        _Question(head, note, verify_head, item, reader, min(reached.get(item.vkey, nothing).size, head.size))
        for item in policy.witnesses
    ]
    with ThreadPoolExecutor(min(_WORKERS, len(asking))) as pool:
        asked = list(pool.map(lambda question: question.ask(urls.get(question.witness.name), seconds), asking))
    asked = [_again(recorder, item) for item in asked]
    stored = 0
    for item in asked:
        if item.cosignature is not None:
            body = format_cosignature(item.cosignature.line)
            stored += recorder.add_attestation(head.size, "cosignature", format_vkey(item.witness.vkey), body)
    met = policy.met([found.vkey for found in cosignatures_of(recorder, head)])
    return Round(head, tuple(asked), met, stored)


def _again(recorder: SqlRecorder, item: Asked) -> Asked:
    """Look again at what contradicts us: others sign and witness heads of this log meanwhile."""
    if item.seen is None:
        return item
    seen = item.seen.checkpoint
    head = recorder.head()
    if not 0 < seen.size <= head.size or root_hash(TreeReader(recorder), seen.size) != seen.root:
        return item
    return Asked(item.witness, UNMET, f"it cosigned size {seen.size} of this log meanwhile; ask again")


def check_policy_log(policy: Policy, vkeys: Sequence[VerifierKey]) -> None:
    """Check that a policy that names logs names this one.

    Raises:
        ConfigurationError: it does not.
    """
    if policy.logs and not any(item.vkey in vkeys for item in policy.logs):
        raise ConfigurationError(
            f"the policy is about other logs than {vkeys[0].name if vkeys else 'this one'}",
            hint="A line `log VKEY` must hold what `muniment checkpoint show --vkey` prints.",
        )


class _ProofCache:
    """Consistency proofs to one head, for many threads."""

    def __init__(self, recorder: SqlRecorder, head: Checkpoint) -> None:
        self._reader = TreeReader(recorder)
        self._head = head
        self._lock = Lock()

    def proof(self, old: int) -> tuple[bytes, ...]:
        return self._read(lambda: prove_consistency(self._reader, old, self._head.size))

    def root(self, size: int) -> bytes:
        return self._read(lambda: root_hash(self._reader, size))

    def _read(self, step: Callable[[], _T]) -> _T:
        with self._lock:
            try:
                return step()
            except LookupError as error:
                raise VerificationError(f"the tree in the store is damaged: {error}", fault="tree") from error


@dataclass(frozen=True, slots=True)
class _Question:
    """One witness asked about one head."""

    head: Checkpoint
    note: bytes
    verify_head: VerifyHead
    witness: PolicyWitness
    tree: _ProofCache
    old: int

    def ask(self, url: str | None, seconds: float) -> Asked:
        """Ask, and judge the answers; a failure is an outcome."""
        if url is None:
            return self._unmet("the policy has no URL of it")

        def send(method: str, path: str, body: bytes | None) -> Reply:
            return exchange(method, f"{url}/{path}", body, seconds=seconds)

        try:
            return self._explained(self._ask(send), send, time.monotonic() + seconds)
        except LedgerError as error:
            return self._unmet(error.message)

    def _unmet(self, message: str) -> Asked:
        return Asked(self.witness, UNMET, message)

    def _ask(self, send: Send) -> Asked:
        old = self.old
        for _ in range(_ATTEMPTS):
            body = format_add_checkpoint(AddCheckpoint(old, self.tree.proof(old), self.note))
            reply = send("POST", "add-checkpoint", body)
            if reply.status == 200:
                return self._cosigned(reply, forgot=old < self.old)
            if reply.status != 409:
                return self._refused(reply, old, send)
            size = parse_size(reply.body)
            if size > self.head.size:
                return self._contradicted(
                    send, f"it saw {size} entries of this log, and the last signed head here has {self.head.size}"
                )
            if size == old == self.head.size:
                return self._contradicted(send, f"it cosigned another root for size {size}")
            if size == old:
                return self._unmet(f"it answers that its size is {size}, which is what it was asked from")
            old = size
        return self._unmet("its size changed with every request")

    def _cosigned(self, reply: Reply, *, forgot: bool) -> Asked:
        text = format_checkpoint(self.head)
        try:
            found = verify_lines(text, parse_lines(reply.body), [self.witness.vkey])
        except LedgerError as error:
            return self._unmet(f"its answer is no cosignature: {error.message}")
        if not found:
            return self._unmet("its answer holds no cosignature by the key in the policy")
        words = f"cosigned size {self.head.size}"
        if forgot:  # it is worth less than its policy says: it could cosign another history now
            words += f", and has forgotten that it cosigned size {self.old} before: its state was lost or put back"
        return Asked(self.witness, COSIGNED, words, found[0], unproven=parse_unproven(reply.unproven, self.head.size))

    def _explained(self, asked: Asked, send: Send, until: float) -> Asked:
        """Prove heads of ours that the witness keeps since they came to it with a bad proof: they take its room."""
        if not asked.unproven:
            return asked
        try:
            for size in asked.unproven:  # answered with a conflict, since it is at our head already
                if time.monotonic() >= until:
                    raise StorageError("it takes too long")
                body = format_add_checkpoint(AddCheckpoint(size, self.tree.proof(size), self.note))
                send("POST", "add-checkpoint", body)
            words = f"was shown how this log extends its first {', '.join(map(str, asked.unproven))} entries"
        except LedgerError as error:
            words = f"could not be shown how this log extends heads that nobody proved: {error.message}"
        return replace(asked, message=f"{asked.message}; it {words}")

    def _refused(self, reply: Reply, old: int, send: Send) -> Asked:
        words = {
            400: "it calls the request malformed",
            403: "it does not know the key that signed the head",
            404: "it does not know this log",
            413: "it calls the request too large",
            429: "it has too many requests",
            503: "it has too many requests",
        }
        if reply.status != 422:
            return self._unmet(words.get(reply.status, f"it answered with status {reply.status}"))
        # Our proof leads from our own tree of the old size: what it cosigned at that size must be another one.
        return self._contradicted(send, f"it does not find that this log extends what it cosigned at size {old}")

    def _contradicted(self, send: Send, words: str) -> Asked:
        try:
            seen = _latest(self.head.origin, self.verify_head, self.witness, send)
        except LedgerError as error:
            return Asked(self.witness, CONTRADICTED, f"{words}; it shows no head of ours for that: {error.message}")
        size = seen.checkpoint.size
        if size <= self.head.size and seen.checkpoint.root == self.tree.root(size):
            return self._unmet(f"{words}; but the head it shows, of size {size}, is one that this log extends")
        return Asked(self.witness, CONTRADICTED, words, seen=seen)


def _latest(origin: str, verify_head: VerifyHead, witness: PolicyWitness, send: Send) -> Seen:
    reply = send("GET", monitoring_path(origin), None)
    if reply.status != 200:
        raise NothingToVerifyError(f"status {reply.status}")
    checkpoint = verify_head(reply.body)
    note = parse_note(reply.body)
    if checkpoint.origin != origin or parse_checkpoint(note.text) != checkpoint:
        raise InputError("it is a head of another log")
    found = verify_lines(note.text, note.signatures, [witness.vkey])
    if not found:
        raise InputError("it has no cosignature by the key in the policy")
    return Seen(checkpoint, reply.body, found[0].time)


def ask_latest(
    origin: str, verify_head: VerifyHead, policy: Policy, *, seconds: float = 10.0
) -> list[tuple[PolicyWitness, Seen | str]]:
    """Ask every witness of a policy for the last head of a log that it cosigned.

    Args:
        origin: the log.
        verify_head: checks a signed head of this log.
        policy: whom to ask.
        seconds: for one request.

    Returns:
        For each witness with a URL what it shows, or why there is nothing.

    Raises:
        ConfigurationError: a URL in the policy is none.
    """
    urls = {item.name: check_url(item.url) for item in policy.witnesses if item.url is not None}
    asked = [item for item in policy.witnesses if item.name in urls]

    def ask(item: PolicyWitness) -> Seen | str:
        def send(method: str, path: str, body: bytes | None) -> Reply:
            return exchange(method, f"{urls[item.name]}/{path}", body, seconds=seconds)

        try:
            return _latest(origin, verify_head, item, send)
        except LedgerError as error:
            return error.message

    if not asked:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(asked))) as pool:
        return list(zip(asked, pool.map(ask, asked), strict=True))
