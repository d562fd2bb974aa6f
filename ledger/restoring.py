"""Going on from an old copy: the roots say so in the log, and each machine that remembers more accepts it knowingly.

Nothing here weakens what a remembered head is worth: a store that does not extend it is refused until somebody has
seen what is lost, and what contradicts the head is kept as evidence first (docs/adr/0020).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.casefiles import check_identity, gather_evidence, keep_evidence
from ledger.ceremony import Ceremony
from ledger.checkpoint import Checkpoint
from ledger.checkpoints import check_extends
from ledger.crashpoints import crashpoint
from ledger.custody import propose_by_roots, submit
from ledger.domain.ledgerstate import Restore
from ledger.domain.restores import covering
from ledger.domain.signing import ROOT_ACTOR
from ledger.errors import ConfigurationError, NothingToVerifyError, TrustStateError, VerificationError
from ledger.home import REMEMBERED, Home
from ledger.identity import Trust
from ledger.trust import RememberedHead
from ledger.verified import VerifiedMark
from ledger.verify import verify_log

__all__ = ["Accepted", "accept_restore", "declare_restore", "is_restore", "propose_restore", "submit_restore"]

_TYPE = "ledger.restored"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A restore that this machine goes along with now.

    Attributes:
        restore: what the roots said.
        known: the head that was remembered, and is no longer.
        evidence: file that holds both heads; empty when there was nothing to accept.
    """

    restore: Restore
    known: Checkpoint
    evidence: str


def _extends(ledger: Ledger, known: Checkpoint) -> bool:
    try:
        check_extends(ledger.recorder, known)
    except VerificationError:
        return False
    return True


def _pinned(home: Home) -> tuple[Trust, RememberedHead]:
    trust = home.trust()
    if trust is None:
        raise ConfigurationError(
            "no trust.json pins this ledger here, so nothing is remembered of it",
            hint="Name the ledger by the folder that has its .muniment.",
        )
    return trust, RememberedHead(trust)


def _known_note(home: Home, notes: Sequence[bytes]) -> tuple[bytes, Checkpoint]:
    """The longest head known from outside the store: what is remembered here, and what was given."""
    trust, remembered = _pinned(home)
    found = [(note, trust.verify_head(note)) for note in notes]
    here = remembered.recall_note()
    if here is not None:
        found.append(here)
    if not found:
        raise NothingToVerifyError(
            "no head of this ledger is remembered here, so nothing says that the store is an old copy",
            hint="Give the last signed head you have: --expect CHECKPOINT",
        )
    return max(found, key=lambda item: item[1].size)


def _lost_from(ledger: Ledger, size: int, known: Checkpoint) -> int:
    """The first entry that is lost, as far as can be told: others may have gone on from the copy already."""
    if size < known.size:
        return size
    found = ledger.recorder.ask("SELECT max(size) FROM $checkpoint WHERE size < ?", (known.size,))
    return int(found[0][0] or 1)


def _check_old(ledger: Ledger, trust: Trust, known: Checkpoint, advance: Callable[[int, int], None] | None) -> None:
    """Check that the store is a good one, and one that does not extend what is known."""
    if _extends(ledger, known):
        raise ConfigurationError(
            f"the store extends the head of size {known.size} known here: it is no old copy", hint="muniment doctor"
        )
    verify_log(ledger.recorder, trust, (), advance).raise_if_bad()


def _statement(ledger: Ledger, note: bytes, known: Checkpoint, reason: str, lost_from: int | None) -> dict[str, Any]:
    """The body of `ledger.restored`."""
    head = ledger.recorder.head()
    return {
        "size": head.size,
        "root": head.root().hex(),
        "known": {"size": known.size, "root": known.root.hex(), "note": hashlib.sha256(note).hexdigest()},
        "lost_from": _lost_from(ledger, head.size, known) if lost_from is None else lost_from,
        "lost_to": known.size,
        "reason": reason,
    }


def declare_restore(
    home: Home, reason: str, *, notes: Sequence[bytes] = (), lost_from: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Accepted:  # fmt: skip
    """Let the one root key say that the ledger goes on from what the store holds, and accept it here.

    The store is verified first. Called again after it was cut, it goes on where it was.

    Args:
        home: the ledger; the root and checkpoint keys must be on this machine.
        reason: why.
        notes: signed heads that are known, beside the remembered one.
        lost_from: first entry that is lost; the store's size when None.
        advance: called with (done, total) now and then.

    Raises:
        NothingToVerifyError: no head from outside the store is known.
        ConfigurationError: the store extends what is known, a key is missing, or several root keys must sign.
        VerificationError: the store is not good.
    """
    trust, remembered = _pinned(home)
    note, known = _known_note(home, notes)
    with Ledger.open(home.url) as ledger:
        check_identity(ledger.recorder, trust)
        threshold = ledger.ledger_state().threshold
    if threshold > 1:
        raise ConfigurationError(
            f"{threshold} root keys must sign that the ledger goes on from an old copy",
            hint="Write it down for them: muniment root propose restored --reason TEXT",
        )
    signer = home.keystore(trust.ledgerid).load(ROOT_ACTOR)
    with Ledger.open(home.url, actor=ROOT_ACTOR, signers=[signer]) as ledger:
        check_identity(ledger.recorder, trust)
        _check_old(ledger, trust, known, advance)
        if covering(ledger.ledger_state(), known, remembered.settled()) is None:
            body = _statement(ledger, note, known, reason, lost_from)
            ledger.emit(_TYPE, f"ledger:{ledger.ledgerid}", **body)
            crashpoint("restore.recorded")
        _sign_head(home, ledger)
    return accept_restore(home, beyond=True)


def _sign_head(home: Home, ledger: Ledger) -> None:
    ledger.sign_heads_with(home.checkpoint_signers(ledger), None)
    ledger.checkpoint()
    crashpoint("restore.signed")


def propose_restore(
    home: Home, reason: str, *, notes: Sequence[bytes] = (), lost_from: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Ceremony:  # fmt: skip
    """Write down, for several root keys to sign, that the ledger goes on from what the store holds.

    The store is verified first; nothing is appended.

    Args:
        home: the ledger.
        reason: why.
        notes: signed heads that are known, beside the remembered one.
        lost_from: first entry that is lost; the store's size when None.
        advance: called with (done, total) now and then.

    Returns:
        What they sign.

    Raises:
        NothingToVerifyError: no head from outside the store is known.
        ConfigurationError: the store extends what is known.
        VerificationError: the store is not good.
    """
    trust, _ = _pinned(home)
    note, known = _known_note(home, notes)
    with Ledger.open(home.url) as ledger:
        check_identity(ledger.recorder, trust)
        _check_old(ledger, trust, known, advance)
        body = _statement(ledger, note, known, reason, lost_from)
        return propose_by_roots(ledger.ledger_state(), _TYPE, f"ledger:{ledger.ledgerid}", body, home.screening())


def is_restore(ceremony: Ceremony) -> bool:
    """Whether it says that a ledger goes on from an old copy, so that `submit_restore` is what appends it."""
    return [item.event.kind and item.event.kind.name for item in ceremony.items] == [_TYPE]


def submit_restore(
    home: Home, ceremony: Ceremony, advance: Callable[[int, int], None] | None = None
) -> tuple[Receipt, Accepted | None]:
    """Append what `propose_restore` wrote, once enough root keys have signed it, and accept it here.

    The store is verified again: days may lie between. Called again after it was cut, it goes on where it was.

    Args:
        home: the ledger; the checkpoint key must be on this machine.
        ceremony: signed.
        advance: called with (done, total) now and then.

    Returns:
        The receipt, and what was accepted; None when no head is remembered here.

    Raises:
        VerificationError: the store is not good, or this machine has seen more than the proposal says was lost.
        ConfigurationError: the checkpoint key is not here.
        LedgerError: as `custody.submit`.
    """
    trust, remembered = _pinned(home)
    here = remembered.recall_note()
    stated = ceremony.items[0].event.payload.data["known"]["size"]
    with Ledger.open(home.url) as ledger:
        check_identity(ledger.recorder, trust)
        if here is not None and here[1].size > stated and not _extends(ledger, here[1]):
            raise VerificationError(
                f"the proposal knows of a log of {stated} entries, and this machine has seen {here[1].size}: more is "
                "lost than the root keys would say",
                fault="anchor",
                hint="Propose it anew on this machine: muniment root propose restored",
            )
        verify_log(ledger.recorder, trust, (), advance).raise_if_bad()
        if not home.checkpoint_signers(ledger):
            raise ConfigurationError(
                "the key that signs heads is not here, and nobody goes along with a restore that no signed head covers",
                hint="Submit it where the checkpoint key is.",
            )
        ledger.screening = home.screening()
        receipt = submit(ledger, ceremony)[0]
        crashpoint("restore.recorded")
        _sign_head(home, ledger)
    return receipt, None if here is None else accept_restore(home)


def accept_restore(home: Home, *, beyond: bool = False) -> Accepted:
    """Go along with a restore that the roots stated: forget the head of the history that was given up.

    What contradicts that head is kept as evidence first.

    Args:
        home: the ledger.
        beyond: also when more was known here than the roots said was lost.

    Raises:
        NothingToVerifyError: the store extends what is remembered, or nothing is.
        VerificationError: nothing signed by the roots explains the difference, or no signed head covers it.
    """
    trust, remembered = _pinned(home)
    here = remembered.recall_note()
    if here is None:
        raise NothingToVerifyError("no head of this ledger is remembered here, so there is nothing to accept")
    note, known = here
    with Ledger.open(home.url) as ledger:
        recorder = ledger.recorder
        check_identity(recorder, trust)
        state = ledger.ledger_state()
        restore = covering(state, known, remembered.settled())
        if _extends(ledger, known):
            if restore is None and not state.restores:
                raise NothingToVerifyError(f"the store extends the head of size {known.size} remembered here")
            remembered.settle([item.id for item in state.restores])  # an earlier call was cut just before
            return Accepted(restore or state.restores[-1], known, "")
        restore = _explained(restore, known, beyond=beyond)
        new = _covering_note(ledger, trust, restore)
        evidence = gather_evidence(recorder, trust, REMEMBERED, note, time.time_ns() // 1000)
        if evidence is None:
            raise TrustStateError("no evidence of the difference could be put together, so the head is kept")
        path = keep_evidence(evidence)
        crashpoint("restore.evidence_kept")
        VerifiedMark(trust).path.unlink(missing_ok=True)
        remembered.replace(note, new)
        remembered.settle([item.id for item in state.restores])
    return Accepted(restore, known, str(path))


def _explained(restore: Restore | None, known: Checkpoint, *, beyond: bool) -> Restore:
    """What the roots said, when it explains that the remembered head is not extended."""
    if restore is None:
        raise VerificationError(
            f"the store does not extend the head of size {known.size} remembered here, and the root keys have not "
            "said that it was restored",
            fault="anchor",
            hint="Keep the store as it is and run: muniment verify log. The roots may go on from it by: muniment "
            "admin restored, or when several must sign: muniment root propose restored",
        )
    if known.size > restore.lost_to and not beyond:
        raise VerificationError(
            f"the roots said that entries up to {restore.lost_to - 1} are lost, and this machine has seen a log of "
            f"{known.size}: more is lost than they knew",
            fault="anchor",
            hint="Tell the operator. To go along all the same: --beyond",
        )
    return restore


def _covering_note(ledger: Ledger, trust: Trust, restore: Restore) -> bytes:
    last = ledger.recorder.last_checkpoint()
    if last is None or trust.verify_head(last.note).size <= restore.index:
        raise VerificationError(
            f"no signed head covers entry {restore.index}, which says that the ledger was restored",
            fault="checkpoint",
            hint="Where the checkpoint key is: muniment checkpoint show",
        )
    check_extends(ledger.recorder, trust.verify_head(last.note))
    return last.note
