"""Which rows of the oracle each campaign judges by that no deed of `deeds` exercises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.attacks import intruders, keepsakes, tables
from tests.attacks.oracle import ROWS, Attacker, Row

__all__ = ["CAMPAIGNS"]


def _rows(attacker: Attacker, damage: str = "") -> tuple[Row, ...]:
    return tuple(row for row in ROWS if row.attacker is attacker and row.damage.startswith(damage))


#: `test_tamper` runs a part of each, and sees that it judges by all of these.
CAMPAIGNS: dict[Callable[..., Any], tuple[Row, ...]] = {
    intruders.unauthorised: _rows(Attacker.NO_RIGHT),
    intruders.old_checkpoint_key: _rows(Attacker.FORMER_KEY),
    intruders.witnessed_rewrites: _rows(Attacker.CHECKPOINT_KEY, "rewritten where no cosignature is left"),
    tables.cosignatures: _rows(Attacker.STORE, "attestation:"),
    tables.tile_bytes: _rows(Attacker.STORE, "tile:"),
    tables.moved_store: _rows(Attacker.STORE, "successor:"),
    keepsakes.trust_state: _rows(Attacker.VERIFIER),
    keepsakes.bundles: _rows(Attacker.COURIER, "bundle:"),
    keepsakes.evidence_files: _rows(Attacker.COURIER, "evidence:"),
    keepsakes.proof_files: _rows(Attacker.COURIER, "proof file:"),
}
