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
from projections.slo.burnt import Burnt

__all__ = ["known_good", "why_no_return", "why_not"]


def _candidates(world: World, service: Service, fallback: str | None) -> Iterator[Key]:
    if fallback is not None:
        with suppress(InputError, PolicyError):  # what a promise names may have never been registered
            yield fallback, version_of(world, fallback).version.digest
    if service.live is not None:
        yield service.live.key  # of a canary: what is live stays
    yield from reversed(service.history)


def _revoked(named: Named, environment: str | None) -> bool:
    given = [one for one in named.version.approvals if one.environment == environment]
    return bool(given) and all(one.revoked is not None for one in given)


def why_not(world: World, service: Service, key: Key, *, now: int, burnt: Burnt | None = None) -> str | None:
    """Why a version is no good one to return to, None when it is.

    Args:
        world: the world of whoever asks.
        service: the deployment.
        key: name and digest of the version.
        now: when that is asked, in microseconds since the Unix epoch.
        burnt: tells what its own windows say; nobody asks them when None.
    """
    model, digest = key
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
    if key in service.left:
        return "it was rolled back itself"
    for blame in service.blamed.get(key, ()):
        return blame.words
    if service.live is not None and service.live.key == key:
        return None
    if key not in service.history:
        return "it was never live there"
    if not once_covered(world, service.name, *key, now):
        return "no authorisation covers that it was live there"
    return None if burnt is None else burnt(key)


def why_no_return(
    world: World, service: Service, model: str, digest: str | None = None, *, now: int, burnt: Burnt | None = None
) -> str | None:
    """Why a version that somebody names is no good one to return to, None when it is.

    Args:
        world: the world of whoever asks.
        service: the deployment.
        model: the version.
        digest: its digest; the registered one when None.
        now: when that is asked, in microseconds since the Unix epoch.
        burnt: see `why_not`.
    """
    try:
        key = model, digest or version_of(world, model).version.digest
    except (InputError, PolicyError) as error:
        return error.message
    return why_not(world, service, key, now=now, burnt=burnt)


def known_good(
    world: World, service: Service, at_fault: Key, fallback: str | None = None, *, now: int,
    burnt: Burnt | None = None,
) -> Key | None:  # fmt: skip
    """The version to return to, None when there is none.

    Args:
        world: the world of whoever asks.
        service: the deployment.
        at_fault: name and digest of the version to leave.
        fallback: the version to return to, if it is good.
        now: when that is asked, in microseconds since the Unix epoch.
        burnt: see `why_not`.

    Returns:
        Name and digest of the fallback, of what is live, or of the last version that was live: the first of these that
        `why_not` has nothing to say of. It is live, or was with an authorisation that covered it; it breached no
        promise there, was not rolled back and nothing was decided against it, or was deployed anew since; it is not in
        quarantine or retired, its approval was not revoked, and its windows do not tell that it burnt there.
    """
    for key in dict.fromkeys(_candidates(world, service, fallback)):
        if key != at_fault and why_not(world, service, key, now=now, burnt=burnt) is None:
            return key
    return None
