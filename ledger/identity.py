"""Who a ledger is, as somebody outside it pinned it."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import VerifierKey

__all__ = ["Trust"]


@dataclass(frozen=True, slots=True)
class Trust:
    """The pinned identity of a ledger.

    Attributes:
        ledgerid: 32 hex digits.
        origin: name in every checkpoint.
        vkeys: verifier keys of its checkpoints.
        genesis: leaf hash of entry 0, hex.
    """

    ledgerid: str
    origin: str
    vkeys: tuple[VerifierKey, ...]
    genesis: str
