"""What is legal: pure states, `evolve`, and `judge`, shared by append, projections and verification."""

from __future__ import annotations

from ledger.domain.actors import ActorState
from ledger.domain.deployed import DeploymentState
from ledger.domain.evolution import evolve
from ledger.domain.judge import Verdict, judge, signing_keys
from ledger.domain.ledgerstate import LedgerState
from ledger.domain.recorded import RecordedEvent, make_event
from ledger.domain.signed import Signed, signed_of
from ledger.domain.states import DatasetState, IncidentState, ModelState, RunState, State, VersionState
from ledger.domain.suspicion import Suspicion, first_doubt, suspicion
from ledger.domain.world import MemoryWorld, World

__all__ = [
    "ActorState",
    "DatasetState",
    "DeploymentState",
    "IncidentState",
    "LedgerState",
    "MemoryWorld",
    "ModelState",
    "RecordedEvent",
    "RunState",
    "Signed",
    "State",
    "Suspicion",
    "Verdict",
    "VersionState",
    "World",
    "evolve",
    "first_doubt",
    "judge",
    "make_event",
    "signed_of",
    "signing_keys",
    "suspicion",
]
