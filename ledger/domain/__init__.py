"""What is legal: pure states, `evolve`, and `judge`, shared by append, projections and verification."""

from __future__ import annotations

from ledger.domain.evolution import evolve
from ledger.domain.judge import Verdict, judge, signing_keys
from ledger.domain.recorded import RecordedEvent, make_event
from ledger.domain.states import (
    ActorState,
    DatasetState,
    DeploymentState,
    IncidentState,
    LedgerState,
    ModelState,
    RunState,
    State,
    VersionState,
)
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
    "State",
    "Verdict",
    "VersionState",
    "World",
    "evolve",
    "judge",
    "make_event",
    "signing_keys",
]
