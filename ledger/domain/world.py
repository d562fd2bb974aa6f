"""What judging may look at: states of other streams, and the log itself at earlier places."""

from __future__ import annotations

from typing import Protocol

from ledger.domain.actors import ActorState
from ledger.domain.deployed import DeploymentState
from ledger.domain.evolution import evolve
from ledger.domain.ledgerstate import LedgerState
from ledger.domain.recorded import RecordedEvent
from ledger.domain.states import ModelState, RunState, State
from ledger.events.quarantine import QuarantinePlaced

__all__ = ["MemoryWorld", "World", "actor_of", "deployment_of", "ledger_of", "model_of", "run_of"]


class World(Protocol):
    """The world just before the event being judged."""

    ledgerid: str

    def state(self, stream: str) -> State | None:
        """State of a stream, or None when nothing valid was recorded in it."""

    def key_holder(self, keyid: str) -> str | None:
        """Actor a key was ever enrolled for, or None."""

    def admins(self) -> frozenset[str]:
        """Actors who ever had the role admin."""

    def looked_up(self, stream: str) -> State | None:
        """As `state`, of what a lineage names; a world that does not keep such streams reads it now."""

    def quarantined(self) -> tuple[str, ...]:
        """Streams in which something was ever put in quarantine, the first one first; also where that was not valid."""

    def leaf_hash(self, index: int) -> bytes | None:
        """Leaf hash (32 bytes) of an earlier entry, or None when there is none."""

    def root_hash(self, size: int) -> bytes | None:
        """Root hash (32 bytes) of the first ``size`` entries, or None when the log is shorter."""


def ledger_of(world: World) -> LedgerState | None:
    """State of the ledger's own stream."""
    state = world.state(f"ledger:{world.ledgerid}")
    return state if isinstance(state, LedgerState) else None


def actor_of(world: World, actor: str) -> ActorState | None:
    """State of an actor."""
    state = world.state(f"actor:{actor}")
    return state if isinstance(state, ActorState) else None


def model_of(world: World, stream: str) -> ModelState | None:
    """State of a model."""
    state = world.state(stream)
    return state if isinstance(state, ModelState) else None


def run_of(world: World, stream: str) -> RunState | None:
    """State of a run."""
    state = world.state(stream)
    return state if isinstance(state, RunState) else None


def deployment_of(world: World, stream: str) -> DeploymentState | None:
    """State of a deployment."""
    state = world.state(stream)
    return state if isinstance(state, DeploymentState) else None


class LogView(Protocol):
    """The two look-ups into the log that `World` passes on."""

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""


class MemoryWorld:
    """A world folded event by event in log order, as verification does."""

    def __init__(self, ledgerid: str, log: LogView) -> None:
        self.ledgerid = ledgerid
        self._log = log
        self._states: dict[str, State | None] = {}
        self._holders: dict[str, str] = {}
        self._admins: frozenset[str] = frozenset()
        self._quarantined: dict[str, None] = {}

    def state(self, stream: str) -> State | None:
        """See `World.state`."""
        return self._states.get(stream)

    def key_holder(self, keyid: str) -> str | None:
        """See `World.key_holder`."""
        return self._holders.get(keyid)

    def admins(self) -> frozenset[str]:
        """See `World.admins`."""
        return self._admins

    def looked_up(self, stream: str) -> State | None:
        """See `World.looked_up`."""
        return self.state(stream)

    def quarantined(self) -> tuple[str, ...]:
        """See `World.quarantined`."""
        return tuple(self._quarantined)

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return self._log.leaf_hash(index)

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        return self._log.root_hash(size)

    def apply(self, event: RecordedEvent) -> None:
        """Fold one valid event."""
        state = evolve(self._states.get(event.stream), event)
        if state is not None:
            self._states[event.stream] = state
        if isinstance(event.body, QuarantinePlaced):
            self._quarantined.setdefault(event.stream)
        if isinstance(state, ActorState):
            for keyid in state.keys:
                self._holders.setdefault(keyid, state.actor)
            if state.is_admin:
                self._admins |= {state.actor}
