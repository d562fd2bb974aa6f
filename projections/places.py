"""Where a version might be deployed, and where it is held, or a return from it is decided, as `why` asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.domain.authorising import hold_of
from ledger.domain.deployed import Hold
from ledger.domain.states import VersionState
from ledger.domain.world import World, ledger_of, model_of
from ledger.names import parse_name, stream_of
from projections.asof import AsOf
from projections.base import ViewReader
from projections.groups import WENT_LIVE
from projections.model_state import CHANGE
from projections.service import read_service
from projections.settling import returns_of

__all__ = ["environments", "held_in", "imagined_place", "returns_in"]


def _version(world: World, subject: str) -> VersionState | None:
    model = model_of(world, stream_of(subject))
    return None if model is None else model.versions.get(parse_name(subject).version or "")


def _deployments(views: ViewReader, size: int, subject: str, *kinds: str) -> Iterator[str]:
    """Deployments in which something of some types happened to a version; of any type where none is named."""
    rows = views.select(CHANGE, [("model", "=", subject), ("position", "<=", size)])
    found = {row["thing"] for row in rows if row["kind"] == "deployment" and (not kinds or row["type"] in kinds)}
    yield from sorted(found)


def environments(world: World, views: ViewReader, size: int, subject: str) -> list[str]:
    """Where a version was asked for, approved, gated or deployed, and what the rules name.

    Args:
        world: the world of whoever asks.
        views: the views.
        size: of the log that is known.
        subject: the version.
    """
    version = _version(world, subject)
    found: set[str] = set()
    if version is not None:
        found |= {request.environment for request in version.requests.values()}
        found |= {environment for _, environment in version.gates}
    found |= {parse_name(name).namespace or "" for name in _deployments(views, size, subject)}
    ledger = ledger_of(world)
    found |= {rule.environment for rule in (() if ledger is None else ledger.rules.rules)} - {"*"}
    return sorted(found - {""})


def imagined_place(world: World, subject: str, environment: str) -> str:
    """A deployment in an environment, of which none was named: that for which a gate was run last there, if any.

    Args:
        world: the world of whoever asks.
        subject: the version.
        environment: where.
    """
    version = _version(world, subject)
    gates = [] if version is None else [gate for (_, place), gate in version.gates.items() if place == environment]
    last = max(gates, key=lambda gate: gate.signed.index, default=None)
    name = parse_name(subject).name
    return last.deployment if last is not None and last.deployment else f"deployment:{environment}/{name}"


def held_in(world: World, views: ViewReader, size: int, subject: str, environment: str) -> list[tuple[str, Hold]]:
    """The deployments of an environment in which a version is held, each with the hold; arguments as `environments`."""
    version = _version(world, subject)
    if version is None:
        return []
    names = [
        name for name in _deployments(views, size, subject, "deployment.held")
        if parse_name(name).namespace == environment
    ]  # fmt: skip
    holds = [(name, hold_of(world, name, subject, version.digest)) for name in names]
    return [(name, hold) for name, hold in holds if hold is not None]


def returns_in(views: ViewReader, as_of: AsOf, subject: str, places: list[str], now: int) -> list[dict[str, Any]]:
    """Returns from a version that were decided in some environments and are open; see `settling.returns_of`.

    Args:
        views: the views.
        as_of: both clocks.
        subject: the version.
        places: the environments.
        now: when is asked, in microseconds since the Unix epoch.
    """
    kinds = (*WENT_LIVE, "canary.stage_entered")
    names = [name for name in _deployments(views, as_of.size, subject, *kinds) if parse_name(name).namespace in places]
    found = [one for name in names for one in returns_of(read_service(views, as_of, name), now)]
    return [one for one in found if one["model"] == subject]
