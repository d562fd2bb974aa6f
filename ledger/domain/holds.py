"""Versions that are held in a deployment, and what ends a hold.

`projections.service` tells which holds are open from all that is recorded; here a state must do. It takes reports that
come late, of what was over before, as ending nothing, and looks at no breach that is recorded in another stream. So a
hold may stand longer here than there, and never shorter.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from ledger.domain.actors import with_item
from ledger.domain.deployed import Hold, Holds
from ledger.domain.recorded import RecordedEvent
from ledger.events.deployments import (
    CanaryAborted,
    CanaryStageEntered,
    DeploymentAuthorised,
    DeploymentCompleted,
    DeploymentHeld,
    DeploymentPromoted,
    RollbackCompleted,
)
from ledger.events.monitors import SloBreached, SloRecovered

__all__ = ["evolve_holds"]

_Key = tuple[str, str]


def evolve_holds(holds: Holds, event: RecordedEvent) -> Holds:
    """What is held in a deployment after one valid event of its stream."""
    match event.body:
        case DeploymentHeld() as body:
            key = (body.model, body.digest)
            hold = Hold(event.index, body.trigger, of_live=key == holds.live)
            return replace(holds, standing=with_item(holds.standing, key, hold))
        case DeploymentAuthorised() as body:
            return _ended(holds, (body.model, body.digest))
        case DeploymentCompleted() | DeploymentPromoted() | RollbackCompleted() as body:
            return _gone_live(holds, (body.model, body.digest), event.occurred_at)
        case CanaryStageEntered() as body:
            return _entered(holds, (body.model, body.digest), event.occurred_at)
        case CanaryAborted() as body:
            return _aborted(holds, (body.model, body.digest), event.occurred_at)
        case SloBreached(slo=slo, model=model):
            return replace(holds, breaches=with_item(holds.breaches, event.payload.id, (slo, model)))
        case SloRecovered(slo=slo, model=model):
            return _recovered(holds, slo, model)
    return holds


def _ended(holds: Holds, *keys: _Key) -> Holds:
    """As it was, without the holds of some versions."""
    kept = {key: hold for key, hold in holds.standing.items() if key not in keys}
    return holds if len(kept) == len(holds.standing) else replace(holds, standing=MappingProxyType(kept))


def _gone_live(holds: Holds, key: _Key, at: int) -> Holds:
    """Another version is live: what is held is that no more. Late, it says nothing of what is live now."""
    latest = max(holds.latest, at)
    if at < holds.live_at:
        return replace(holds, latest=latest, canaries=frozenset())
    others = [one for one in holds.standing if one != key]
    return replace(_ended(holds, *others), live=key, live_at=at, latest=latest, canaries=frozenset())


def _entered(holds: Holds, key: _Key, at: int) -> Holds:
    if at < holds.latest or key == holds.live:
        return holds
    return replace(holds, latest=at, canaries=holds.canaries | {key})


def _aborted(holds: Holds, key: _Key, at: int) -> Holds:
    """A canary was stopped; that of what is none ends nothing."""
    after = holds if at < holds.latest or key not in holds.canaries else _ended(holds, key)
    return replace(after, latest=max(holds.latest, at), canaries=holds.canaries - {key})


def _recovered(holds: Holds, slo: str, model: str | None) -> Holds:
    """A promise is kept again: holds of what was live that its breach led to are over."""
    over = {
        name for name, (broken, about) in holds.breaches.items()
        if broken == slo and (model is None or about in (None, model))
    }  # fmt: skip
    ends = [key for key, hold in holds.standing.items() if hold.of_live and hold.trigger in over]
    kept = {name: breach for name, breach in holds.breaches.items() if name not in over}
    return replace(_ended(holds, *ends), breaches=MappingProxyType(kept))
