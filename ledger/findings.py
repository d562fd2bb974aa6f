"""What a verification finds, and who vouches for a log."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.checkpoint import Checkpoint
from ledger.errors import VerificationError

__all__ = ["MAX_FINDINGS", "Anchor", "Finding", "LogVerification", "entries"]

#: At most so many findings are kept; the first places matter.
MAX_FINDINGS = 100


def entries(start: int, stop: int) -> str:
    """Words for the entries with ``start`` <= index < ``stop``."""
    return f"entry {start}" if stop == start + 1 else f"entries {start} to {stop - 1}"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head somebody outside the store vouches for."""

    by: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: class, see `VerificationError`.
        index: leaf index, or None when only sizes are known.
        message: what was found.
        sizes: (good, bad) tree sizes between which it lies, when that is all that is known.
    """

    fault: str
    index: int | None
    message: str
    sizes: tuple[int, int] | None = None


@dataclass(slots=True)
class LogVerification:
    """What a verification found.

    Attributes:
        ledgerid, origin: which log.
        size: entries checked.
        root: root hash over the stored leaf hashes, hex.
        findings: what is wrong, first place first; empty when good.
        acknowledged: void entries that an admin has acknowledged, as (index, reason).
        checkpoints: number of signed heads that verified.
        signed_size: largest size with a verified signed head.
        anchored_size: largest size an anchor vouches for, 0 when UNANCHORED throughout.
        anchored_by: who vouches for it.
        missing: (actor, emitter, number of sequence numbers not in the log).
        opaque: indexes of entries of types this version does not know; they change no state here.
    """

    ledgerid: str
    origin: str
    size: int = 0
    root: str = ""
    findings: list[Finding] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    checkpoints: int = 0
    signed_size: int = 0
    anchored_size: int = 0
    anchored_by: str = ""
    missing: list[tuple[str, str, int]] = field(default_factory=list)
    opaque: list[int] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def raise_if_bad(self) -> None:
        """Raise the first finding.

        Raises:
            VerificationError: something is wrong.
        """
        if self.findings:
            first = self.findings[0]
            raise VerificationError(first.message, fault=first.fault, index=first.index)
