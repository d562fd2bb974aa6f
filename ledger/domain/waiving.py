"""Waivers: who may grant one, and whether one stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from ledger.domain.actors import FOREVER
from ledger.domain.deployed import WaiverState
from ledger.domain.independence import approval_makers, contradiction, deciders, independent, separation
from ledger.domain.lifecycle import row_of, versions_meant, waiver_limit
from ledger.domain.recorded import RecordedEvent, actors_of
from ledger.domain.scopes import matches
from ledger.domain.signed import signed_of
from ledger.domain.states import TIER_RANK
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World, deployment_of
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.ledgers import WaiverLimit
from ledger.events.waivers import WaiverDenied, WaiverGranted, WaiverRequested, WaiverRevoked, WaiverUsed
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment

__all__ = [
    "WaiverEvent", "another", "check_waiver_event", "covers", "grant_trouble", "longest_end", "taken", "used_up",
    "uses_of", "waived_makers", "waiver_of", "waiver_trouble", "waiver_until",
]  # fmt: skip

WaiverEvent = WaiverRequested | WaiverGranted | WaiverDenied | WaiverRevoked | WaiverUsed
_DAY = 86_400_000_000
#: By how much the clock of whoever asks may be ahead of the store's, in microseconds.
_SKEW = 120_000_000


def waiver_of(world: World, waiver: str) -> WaiverState | None:
    """State of a waiver."""
    state = world.state(waiver)
    return state if isinstance(state, WaiverState) else None


def _limit(world: World, model: str, environment: str) -> WaiverLimit | None:
    """How long a waiver may be, by the strictest tier of what it is for; by every tier while that is none."""
    tiers = [named.tier for named in versions_meant(world, model)] or list(TIER_RANK)
    rows = [waiver_limit(world, environment, tier) for tier in tiers]
    known = [row for row in rows if row is not None]
    return min(known, key=lambda row: row.days) if len(known) == len(rows) else None


def _days(world: World, model: str, environment: str) -> int:
    """As `_limit`, in days; 0 where there may be none."""
    row = _limit(world, model, environment)
    return 0 if row is None else row.days


def longest_end(world: World, model: str, environment: str, at: int) -> int | None:
    """The latest end that the rules allow for a waiver that is asked for at a time; None when they allow none.

    Args:
        world: the world of whoever asks.
        model: ``model:<name>`` or one of its versions.
        environment: for example ``prod``.
        at: microseconds since the Unix epoch.
    """
    days = _days(world, model, environment)
    return at + days * _DAY if days else None


def waiver_until(world: World, state: WaiverState, model: str | None = None) -> int:
    """Time from which a waiver does not hold, by its own end and by the rules; microseconds since the Unix epoch.

    Args:
        world: the world of whoever asks.
        state: the waiver.
        model: the version that is to rest on it; all that it is for when None.
    """
    if state.granted is None:
        return state.until
    longest = _days(world, model or state.model, state.environment) * _DAY + _SKEW
    return min(state.until, state.granted.recorded_at + longest)


def waived_makers(world: World, model: str, index: int) -> frozenset[str] | None:
    """Actors of whom whoever grants a waiver must be independent: of no fewer than who approves; None when not known.

    Args:
        world: the world of whoever asks.
        model: ``model:<name>``, which means each of its versions, or one of them.
        index: of the entry that grants it.
    """
    meant = versions_meant(world, model)
    makers = [approval_makers(world, named, (), max(index, named.version.index)) for named in meant]
    return None if any(one is None for one in makers) else frozenset(actor for one in makers if one for actor in one)


def _unshown(world: World, model: str) -> tuple[str, str]:
    """Which entry keeps whoever grants from being shown to be somebody else, and the way out; empty where none does."""
    found = next(filter(None, (contradiction(world, named) for named in versions_meant(world, model))), None)
    return ("", "") if found is None else (f": {found[0]}", found[1])


def waiver_trouble(world: World, state: WaiverState, at: int, model: str | None = None) -> str | None:
    """Why a waiver does not stand, None when it does.

    Args:
        world: the world of whoever asks.
        state: the waiver.
        at: time at which it is asked for, microseconds since the Unix epoch.
        model: the version that is to rest on it; all that it is for when None.
    """
    trouble = grant_trouble(world, state, at, model)
    return used_up(world, state) if trouble is None else trouble


def taken(used: Iterable[tuple[int, str, str]], given: Callable[[str, str], Iterable[int]]) -> tuple[int, ...]:
    """Of the entries that say that a waiver is used, those that an authorisation took: the last one before each.

    A use without its authorisation takes nothing from the waiver: nobody could use it up for others.

    Args:
        used: index, deployment and model of each.
        given: indexes of the authorisations of a model in a deployment.
    """
    found: dict[int, int] = {}
    known: dict[tuple[str, str], list[int]] = {}
    for index, deployment, model in sorted(used):
        if (deployment, model) not in known:
            known[deployment, model] = sorted(given(deployment, model))
        later = known[deployment, model]
        place = bisect_right(later, index)
        if place < len(later):
            found[later[place]] = index
    return tuple(sorted(found.values()))


def uses_of(world: World, state: WaiverState) -> tuple[int, ...]:
    """Entries that used a waiver, each with an authorisation; see `taken`."""

    def given(deployment: str, model: str) -> tuple[int, ...]:
        place = deployment_of(world, deployment)
        return () if place is None else place.authorised.get(model, ())

    return taken(((signed.index, deployment, model) for signed, deployment, model in state.used), given)


def used_up(world: World, state: WaiverState) -> str | None:
    """That no use of a waiver is left, in words; None while one is."""
    used = () if state.max_uses is None else uses_of(world, state)
    if state.max_uses is None or len(used) < state.max_uses:
        return None
    uses = "a single use" if state.max_uses == 1 else f"{state.max_uses} uses"
    return f"it was for {uses}, and entry {used[-1]} used it"


def another(state: WaiverState, model: str) -> str:
    """The command that asks for a waiver in the place of one that stands no more.

    Args:
        state: the one that does not.
        model: the version that was to rest on it.
    """
    check = f"'{state.check}'" if "*" in state.check else state.check
    place = f"--model {model} --env {state.environment}"
    return f"muniment waiver request {check} {place} --owner … --reason … --control … --expires …"


def grant_trouble(world: World, state: WaiverState, at: int, model: str | None = None) -> str | None:
    """Why the grant of a waiver does not stand, used up or not; as `waiver_trouble`."""
    if state.ended is not None:
        return f"it was {state.ended}"
    if state.granted is None:
        return "nobody has granted it"
    until = waiver_until(world, state, model)
    if at >= until:
        return f"it expired at {format_time(until)}"
    granting = deciders(world, state.granters, state.granted)
    if not independent(world, granting, waived_makers(world, model or state.model, state.granted.index)):
        why, how = _unshown(world, model or state.model)
        told = "whoever granted it is not shown to be another person than who made or owns the model"
        return f"{told}{why}. {how}" if how else told
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
        _check_requested(world, event, state, body)
        return parse_moment(body.expires_at)
    if state is None:
        hint = "What was: muniment waiver list. To ask: muniment waiver request …"
        raise PolicyError(f"{event.stream} was never asked for", hint=hint)
    if state.ended is not None:
        raise ConflictError(
            f"{event.stream} was {state.ended} before", hint=f"Ask for another one: {another(state, state.model)}"
        )
    if not isinstance(body, WaiverUsed) and body.environment not in (None, state.environment):
        raise PolicyError(f"{event.stream} is for {state.environment}, not for {body.environment}")
    if not isinstance(body, WaiverUsed) and body.model not in (None, state.model):
        raise PolicyError(f"{event.stream} is for {state.model}, not for {body.model}")
    match body:
        case WaiverGranted() | WaiverDenied():
            _check_decided(world, event, state, body)
        case WaiverUsed():
            trouble = waiver_trouble(world, state, event.recorded_at, body.model)
            if trouble is not None:
                again = f"muniment gate check {body.model} --deployment {body.deployment}"
                raise PolicyError(
                    f"{event.stream} does not stand: {trouble}",
                    hint=f"What the gate says now: {again}; for another waiver: {another(state, body.model)}",
                )
            if state.model not in (body.model, stream_of(body.model)):
                raise PolicyError(f"{event.stream} is for {state.model}, not for {body.model}")
            if parse_name(body.deployment).namespace != state.environment:
                raise PolicyError(f"{event.stream} is for {state.environment}, not for {body.deployment}")
            return waiver_until(world, state, body.model)
    return state.until if isinstance(body, WaiverGranted) else FOREVER


def _check_requested(world: World, event: RecordedEvent, state: WaiverState | None, body: WaiverRequested) -> None:
    if state is not None:
        raise ConflictError(f"{event.stream} was asked for before", hint="Give it another id.")
    if parse_name(body.model).kind != "model":
        raise InputError(f"a waiver is for a model or one of its versions, not for {body.model!r}")
    if body.check.startswith("*"):
        raise InputError(
            f"a waiver names the check it is for, or how its id begins, not {body.check!r}",
            hint="Ask for each one that cannot be met: muniment gate check … lists them.",
        )
    if body.single_use and body.max_uses not in (None, 1):
        raise InputError(f"a waiver for a single use is not for {body.max_uses}", hint="Give max_uses alone.")
    if parse_moment(body.expires_at) <= event.recorded_at:
        raise InputError(f"the waiver would have expired before it is recorded: {body.expires_at}")
    _check_length(world, event, body.model, body.environment, parse_moment(body.expires_at))


def _check_length(world: World, event: RecordedEvent, model: str, environment: str, until: int) -> None:
    row = _limit(world, model, environment)
    if row is None:
        raise PolicyError(
            f"the rules allow no waivers for {model} in {environment}", hint="See: muniment admin lifecycle"
        )
    if until > event.recorded_at + row.days * _DAY + _SKEW:
        raise PolicyError(
            f"a waiver for {model} in {environment} is for {row.days} days at the longest, "
            f"and this one would end at {format_time(until)}",
            hint=f"Give it an earlier end: --expires {row.days}d",
            rule=row_of(row),
        )


def _check_decided(world: World, event: RecordedEvent, state: WaiverState, body: WaiverGranted | WaiverDenied) -> None:
    if state.granted is not None:
        raise ConflictError(
            f"{event.stream} was granted by entry {state.granted.index}",
            hint=f"It can be taken back: muniment waiver revoke {event.stream} --reason …",
        )
    if isinstance(body, WaiverDenied):
        return
    if event.recorded_at >= state.until:
        raise PolicyError(
            f"{event.stream} was asked for until {format_time(state.until)}, which has passed",
            hint="Ask for another one, with a later end: muniment waiver request …",
        )
    end = state.until if body.expires_at is None else min(state.until, parse_moment(body.expires_at))
    _check_length(world, event, state.model, state.environment, end)
    mine = deciders(world, actors_of(event), signed_of(event))
    makers = waived_makers(world, state.model, event.index)
    if makers is None or not independent(world, mine, state.actors | {state.owner} | makers):
        why, how = _unshown(world, state.model)
        raise NotAllowedError(
            f"{event.stream}: whoever grants it must be shown to be another person than who asked, who carries the "
            f"risk, and who made or owns {state.model}{why}",
            hint=f"{how}." if how else "Ask another person with the role approver; `muniment actor list` shows them.",
            rule=separation("waiver.granted", "makers"),
        )
    doubt = suspicion(world, state.request)
    if doubt is not None:
        raise PolicyError(f"the request counts no more: {doubt.text}")
