"""What a verification finds, and who vouches for a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.checkpoint import Checkpoint
from ledger.domain.erasure import Withheld
from ledger.domain.ledgerstate import Restore
from ledger.emitters import EmitterReport
from ledger.errors import VerificationError
from ledger.note import VerifierKey
from ledger.suspects import Suspects
from ledger.verdicts import Fault, Verdict

__all__ = ["MAX_FINDINGS", "UNCHECKED", "Anchor", "Finding", "LogVerification", "Witnessed", "entries"]

#: At most so many findings are kept; the first places matter.
MAX_FINDINGS = 100

#: What each level of verification leaves out.
UNCHECKED: Mapping[str, tuple[str, ...]] = {
    "hash": (
        "signatures of events",
        "who may sign, roles and rules",
        "schemas, and headers against signed payloads",
        "signed heads",
        "heads that others vouch for",
    ),
    "checkpoint": (
        "contents (payloads and signatures) against their digests",
        "signatures of events",
        "who may sign, roles and rules",
        "schemas, and headers against signed payloads",
    ),
    "full": (),
}


def entries(start: int, stop: int) -> str:
    """Words for the entries with ``start`` <= index < ``stop``."""
    return f"entry {start}" if stop == start + 1 else f"entries {start} to {stop - 1}"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head somebody outside the store vouches for.

    Attributes:
        by: who, in words.
        checkpoint: the head, authenticated.
        note: the signed note it comes from, verbatim, for evidence; None when it is not at hand.
    """

    by: str
    checkpoint: Checkpoint
    note: bytes | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: class.
        index: leaf index, or None when only sizes are known.
        message: what was found.
        sizes: (good, bad) tree sizes between which it lies, when that is all that is known.
    """

    fault: Fault
    index: int | None
    message: str
    sizes: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.fault}{'' if self.index is None else f' at entry {self.index}'}: {self.message}"

    def as_json(self) -> dict[str, object]:
        """For machine formats."""
        sizes = None if self.sizes is None else list(self.sizes)
        return {"fault": str(self.fault), "index": self.index, "sizes": sizes, "message": self.message}


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a witness vouches for.

    Attributes:
        size: the largest size it cosigned.
        time: when it did that last, seconds since the Unix epoch by its own clock.
    """

    size: int
    time: int


@dataclass(slots=True)
class LogVerification:
    """What a verification found.

    Attributes:
        ledgerid, origin: which log.
        size: entries checked.
        root: root hash over the stored leaf hashes, hex.
        pinned: whether who the ledger is was known from outside.
        findings: what is wrong, first place first; empty when good.
        acknowledged: void entries that an admin has acknowledged, as (index, reason).
        withheld: entries whose content was erased, with the record that says so; complete as labelled by the operator.
        unfinished: entries whose content is still stored although a record says that it is erased, with that record.
        suspects: entries that compromised keys signed, or made possible, and nobody reaffirmed; no findings.
        checkpoints: number of signed heads that verified.
        signed_size: largest size with a verified signed head.
        signed_root: the root of that size.
        authority: index of the last change of keys, actors or rules, by the head row.
        heads: digest over the signed heads up to that size, see `headcheck.chained`.
        anchored_size: largest size an anchor vouches for, 0 when UNANCHORED throughout.
        anchored_by: who vouches for it.
        witnessed: what cosignatures in the store vouch for, by the keys that made them; whether these are those of
            witnesses at all, a policy says.
        restores: when the ledger went on from an old copy, by word of the root keys.
        emitters: the numbers of emitters that said something of them, or some of whose are missing or late.
        opaque: indexes of entries of types this version does not know; they change no state here.
        level: ``hash``, ``checkpoint`` or ``full``.
        verified_from: index of the first entry that was judged; those before were judged by an earlier verification.
        earlier: what was done with those before: ``hashed`` (their bytes are those that were judged then) or
            ``not read``; empty when there are none.
        jobs: number of processes that checked.
    """

    ledgerid: str
    origin: str
    size: int = 0
    root: str = ""
    pinned: bool = False
    findings: list[Finding] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    withheld: list[tuple[int, Withheld]] = field(default_factory=list)
    unfinished: list[tuple[int, int]] = field(default_factory=list)
    suspects: Suspects = field(default_factory=Suspects)
    checkpoints: int = 0
    signed_size: int = 0
    signed_root: bytes = b""
    heads: bytes = b""
    authority: int = -1
    anchored_size: int = 0
    anchored_by: str = ""
    witnessed: dict[VerifierKey, Witnessed] = field(default_factory=dict)
    restores: tuple[Restore, ...] = ()
    emitters: list[EmitterReport] = field(default_factory=list)
    opaque: list[int] = field(default_factory=list)
    level: str = "full"
    verified_from: int = 0
    earlier: str = ""
    jobs: int = 1

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What this level does not check, in words."""
        return UNCHECKED[self.level]

    @property
    def missing(self) -> list[tuple[str, str, int]]:
        """Actor, emitter and how many of its numbers are not in the log, and nobody said why."""
        return [(item.actor, item.emitter, item.missing) for item in self.emitters if item.missing]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def verdict(self) -> Verdict:
        """The conclusion; `gaps.gaps_of` says what it leaves out."""
        return Verdict.BAD if self.findings else Verdict.VERIFIED

    def raise_if_bad(self) -> None:
        """Raise the first finding.

        Raises:
            VerificationError: something is wrong.
        """
        if self.findings:
            first = self.findings[0]
            raise VerificationError(first.message, fault=first.fault, index=first.index)
