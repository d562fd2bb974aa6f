"""The states of deployments, and of the policies and waivers that gates before them rest on, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from ledger.domain.signed import Signed

__all__ = ["Authorisation", "DeploymentState", "Hold", "Holds", "PolicyState", "Urgent", "WaiverState"]


def _nothing_asked() -> MappingProxyType[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An authorisation to deploy or to roll back; ``signed`` is its entry, ``urgent`` whether it was an emergency."""

    id: str
    signed: Signed
    model: str
    digest: str
    urgent: bool


def _never_authorised() -> MappingProxyType[str, tuple[int, ...]]:
    return MappingProxyType({})


def _none_good() -> MappingProxyType[tuple[str, str], Authorisation]:
    return MappingProxyType({})


def _none_left() -> MappingProxyType[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Urgent:
    """A decision that was taken in an emergency and is to be reviewed; ``actors`` are all who stand behind it."""

    id: str
    signed: Signed
    actors: frozenset[str]
    review_by: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A version is held; ``index`` is of the entry, ``trigger`` the event id of what called for it.

    ``of_live`` is whether the version was live then, and no canary.
    """

    index: int
    trigger: str | None
    of_live: bool


def _none_held() -> MappingProxyType[tuple[str, str], Hold]:
    return MappingProxyType({})


def _none_broken() -> MappingProxyType[str, tuple[str, str | None]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Holds:
    """What is held in a deployment, and what must be known to tell when that ends; versions are name and digest.

    Attributes:
        standing: holds that nothing has ended, by version.
        live: the version that went live last, by when that happened; reports may come late.
        live_at: when that was, microseconds since the Unix epoch.
        latest: when what serves last changed.
        canaries: versions that surely are canaries, by reports of which none came late.
        breaches: event ids of the breaches that are not over, to the promise and the version.
    """

    standing: MappingProxyType[tuple[str, str], Hold] = field(default_factory=_none_held)
    live: tuple[str, str] | None = None
    live_at: int = 0
    latest: int = 0
    canaries: frozenset[tuple[str, str]] = frozenset()
    breaches: MappingProxyType[str, tuple[str, str | None]] = field(default_factory=_none_broken)


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One deployment: what may go live, what is live, what ever was, and emergencies nobody has reviewed.

    Attributes:
        authorised: indexes of the authorisations of each version, whatever became of them; those in an emergency not.
        good: what went live while an authorisation was there for it that no review has found unjustified, and that one.
        occurred_at: the latest time at which something went live, microseconds since the Unix epoch.
        requests: those still open, id to version.
        went_live: index of the last entry that said that something is live.
        canary: the version that is a canary, and the index of the last entry that said so.
        left: versions that a rollback took out and that were not live since, each with the index of that entry.
        holds: versions that are held; see `holds.evolve_holds`.
    """

    authorisation: Authorisation | None = None
    authorised: MappingProxyType[str, tuple[int, ...]] = field(default_factory=_never_authorised)
    live: tuple[str, str] | None = None
    ever_live: frozenset[tuple[str, str]] = frozenset()
    good: MappingProxyType[tuple[str, str], Authorisation] = field(default_factory=_none_good)
    occurred_at: int = 0
    urgent: tuple[Urgent, ...] = ()
    requests: MappingProxyType[str, str] = field(default_factory=_nothing_asked)
    went_live: int = -1
    canary: tuple[str, int] | None = None
    left: MappingProxyType[str, int] = field(default_factory=_none_left)
    holds: Holds = field(default_factory=Holds)


@dataclass(frozen=True, slots=True)
class WaiverState:
    """A waiver.

    Attributes:
        request: the entry that asked for it.
        check, model, environment: what it lets be, and where.
        owner: who carries the risk.
        actors: who asked, and for whom.
        until: it holds for what is recorded before; microseconds since the Unix epoch.
        max_uses: for how many authorisations it holds; None for any number.
        granted: the entry that granted it.
        granters: who did, and for whom.
        ended: how it ended: denied, revoked, or None.
        used: the entries that say it is used, and for which deployment and model; see `waiving.uses_of`.
    """

    request: Signed
    check: str
    model: str
    environment: str
    owner: str
    actors: frozenset[str]
    until: int
    max_uses: int | None = None
    granted: Signed | None = None
    granters: frozenset[str] = frozenset()
    ended: str | None = None
    used: tuple[tuple[Signed, str, str], ...] = ()


def _none() -> MappingProxyType[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A policy: the digest of each version, those that were retired, and the mode of those that do not enforce."""

    versions: MappingProxyType[str, str]
    retired: frozenset[str] = frozenset()
    advisory: MappingProxyType[str, str] = field(default_factory=_none)
