"""To which version a deployment can return: the last good one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ledger.domain.golive import once_covered
from ledger.domain.lifecycle import Named, side_states, version_of
from ledger.domain.world import World
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name
from projections.service import Key, Service

__all__ = ["known_good", "why_not"]


def _candidates(world: World, service: Service, at_fault: Key, fallback: str | None, now: int) -> Iterator[Key]:
    if fallback is not None:
        with suppress(InputError, PolicyError):  # what a promise names may have never been registered
            yield fallback, version_of(world, fallback).version.digest
    if service.live is not None and service.live.key != at_fault:
        yield service.live.key  # of a canary: what is live stays
    yield from (key for key in reversed(service.history) if once_covered(world, service.name, *key, now))


def _revoked(named: Named, environment: str | None) -> bool:
    given = [one for one in named.version.approvals if one.environment == environment]
    return bool(given) and all(one.revoked is not None for one in given)


def why_not(world: World, service: Service, key: Key) -> str | None:
    """Why a version is no good one to return to, None when it is.

    Args:
        world: the world of whoever asks.
        service: the deployment.
        key: name and digest of the version.
    """
    model, digest = key
    if key in service.left:
        return "it was rolled back itself"
    if any(one.action == "hold" and one.key == key for one in service.open_decisions()):
        return "it is held"
    try:
        named = version_of(world, model)
    except (InputError, PolicyError) as error:
        return error.message
    if named.version.digest != digest:
        return f"it is registered as {named.version.digest}"
    for state, _, _ in side_states(world, named):
        return f"it is {state}"
    if _revoked(named, parse_name(service.name).namespace):
        return "its approval was revoked"
    return None


def known_good(world: World, service: Service, at_fault: Key, fallback: str | None = None, *, now: int) -> Key | None:
    """The version to return to, None when there is none.

    Args:
        world: the world of whoever asks.
        service: the deployment.
        at_fault: name and digest of the version to leave.
        fallback: the version to return to, if it is good.
        now: when that is asked, in microseconds since the Unix epoch.

    Returns:
        Name and digest of the fallback, of what is live, or of the last version that was live with an authorisation
        that covered it: the first of these that was not rolled back itself, is not in quarantine, retired or held, and
        whose approval was not revoked.
    """
    for key in _candidates(world, service, at_fault, fallback, now):
        if key != at_fault and why_not(world, service, key) is None:
            return key
    return None
