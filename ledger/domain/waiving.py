"""Waivers: who may grant one, and whether one stands."""

from __future__ import annotations

from ledger.domain.actors import FOREVER
from ledger.domain.independence import deciders, independent
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.scopes import matches
from ledger.domain.signed import signed_of
from ledger.domain.states import WaiverState
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.waivers import WaiverDenied, WaiverGranted, WaiverRequested, WaiverRevoked, WaiverUsed
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment

__all__ = ["WaiverEvent", "check_waiver_event", "covers", "waiver_of", "waiver_trouble"]

WaiverEvent = WaiverRequested | WaiverGranted | WaiverDenied | WaiverRevoked | WaiverUsed


def waiver_of(world: World, waiver: str) -> WaiverState | None:
    """State of a waiver."""
    state = world.state(waiver)
    return state if isinstance(state, WaiverState) else None


def waiver_trouble(world: World, state: WaiverState, at: int) -> str | None:
    """Why a waiver does not stand, None when it does.

    Args:
        world: the world of whoever asks.
        state: the waiver.
        at: time at which it is asked for, microseconds since the Unix epoch.
    """
    if state.ended is not None:
        return f"it was {state.ended}"
    if state.granted is None:
        return "nobody has granted it"
    if at >= state.until:
        return f"it expired at {format_time(state.until)}"
    if state.single_use and state.used:
        return f"it was for a single use, and entry {state.used[-1][0].index} used it"
    for signed in (state.request, state.granted):
        doubt = suspicion(world, signed)
        if doubt is not None:
            return doubt.text
    return None


def covers(state: WaiverState, check: str, model: str, environment: str) -> bool:
    """Whether a waiver is about a check of a version in an environment."""
    return matches(state.check, check) and state.model in (model, stream_of(model)) and state.environment == environment


def check_waiver_event(world: World, event: RecordedEvent, body: WaiverEvent) -> int:
    """Refuse what the rules of waivers do not allow.

    Returns:
        Time before which it must be recorded for that to hold, in microseconds since the Unix epoch.

    Raises:
        PolicyError, ConflictError, InputError: with the reason.
    """
    state = waiver_of(world, event.stream)
    if isinstance(body, WaiverRequested):
        _check_requested(event, state, body)
        return parse_moment(body.expires_at)
    if state is None:
        raise PolicyError(f"{event.stream} was never asked for", hint="Ask first: muniment waiver request …")
    if state.ended is not None:
        raise ConflictError(f"{event.stream} was {state.ended} before")
    if not isinstance(body, WaiverUsed) and body.environment not in (None, state.environment):
        raise PolicyError(f"{event.stream} is for {state.environment}, not for {body.environment}")
    match body:
        case WaiverGranted() | WaiverDenied():
            _check_decided(world, event, state, body)
        case WaiverUsed():
            trouble = waiver_trouble(world, state, event.recorded_at)
            if trouble is not None:
                raise PolicyError(f"{event.stream} does not stand: {trouble}")
            if state.model not in (body.model, stream_of(body.model)):
                raise PolicyError(f"{event.stream} is for {state.model}, not for {body.model}")
            if parse_name(body.deployment).namespace != state.environment:
                raise PolicyError(f"{event.stream} is for {state.environment}, not for {body.deployment}")
    return state.until if isinstance(body, WaiverGranted | WaiverUsed) else FOREVER


def _check_requested(event: RecordedEvent, state: WaiverState | None, body: WaiverRequested) -> None:
    if state is not None:
        raise ConflictError(f"{event.stream} was asked for before", hint="Give it another id.")
    if parse_name(body.model).kind != "model":
        raise InputError(f"a waiver is for a model or one of its versions, not for {body.model!r}")
    if parse_moment(body.expires_at) <= event.recorded_at:
        raise InputError(f"the waiver would have expired before it is recorded: {body.expires_at}")


def _check_decided(world: World, event: RecordedEvent, state: WaiverState, body: WaiverGranted | WaiverDenied) -> None:
    if state.granted is not None:
        raise ConflictError(f"{event.stream} was granted by entry {state.granted.index}", hint="It can be revoked.")
    if isinstance(body, WaiverDenied):
        return
    if event.recorded_at >= state.until:
        raise PolicyError(f"{event.stream} was asked for until {format_time(state.until)}, which has passed")
    mine = deciders(world, actors_of(event), signed_of(event))
    if not independent(world, mine, state.actors | {state.owner}):
        raise NotAllowedError(
            f"{event.stream}: whoever grants it must be another person than who asked and who carries the risk",
            hint="Ask another person with the role approver; `muniment actor list` shows them.",
        )
    doubt = suspicion(world, state.request)
    if doubt is not None:
        raise PolicyError(f"the request counts no more: {doubt.text}")
