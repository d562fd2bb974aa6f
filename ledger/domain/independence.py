"""Whether two sides of a decision are different people: separation of duties goes by person, never by account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.domain.lifecycle import Named
from ledger.domain.signed import Signed
from ledger.domain.world import World, actor_of, run_of
from ledger.events import known_event_type

__all__ = [
    "SEPARATION",
    "approval_makers",
    "contradiction",
    "deciders",
    "how_many",
    "independent",
    "makers_of",
    "owners_of",
    "persons_behind",
    "separation",
]

#: Who decides what, by person: of each decision (* for all), what that is called, and what it asks for, in words.
SEPARATION: Final = (
    ("*", "answered", "a person who is enrolled and has not left answers for whoever decides"),
    ("approval.granted", "makers", "another person than who asked, ran, registered or acted for these"),
    ("approval.granted", "owners", "another person than an owner of the version"),
    ("approval.condition_met", "makers", "another person than who asked, ran, registered or acted for these"),
    ("approval.condition_met", "owners", "another person than an owner of the version"),
    ("approval.withdrawn", "requester", "who asked for it, and nobody else"),
    ("emergency.reviewed", "decider", "another person than who decided in the emergency"),
    ("quarantine.released", "makers", "of a model: another person than who ran, registered or acted for these"),
    ("quarantine.released", "placer", "of anything else: another person than who put it in quarantine"),
    ("risk.classified", "makers", "a lower tier: another person than who made or owns the model"),
    ("waiver.granted", "makers", "another person than who asked, carries the risk, or made or owns the model"),
)


def separation(decision: str, name: str) -> str:
    """What a row of `SEPARATION` is called where it refuses something."""
    return f"separation {decision}/{name}"


def persons_behind(world: World, actors: Iterable[str]) -> frozenset[str] | None:
    """The persons behind actors, or None when one of them cannot be resolved.

    Whoever answers or ever answered for a service stands behind all that it did.
    """
    persons: set[str] = set()
    for actor in actors:
        state = actor_of(world, actor)
        if state is None or state.person is None:
            return None
        persons |= state.persons
    return frozenset(persons)


def independent(world: World, deciding: Iterable[str], making: Iterable[str] | None) -> bool | None:
    """Whether no person stands on both sides; None when a person cannot be resolved."""
    one = persons_behind(world, deciding)
    other = None if making is None else persons_behind(world, making)
    if one is None or other is None:
        return None
    return not one & other


def how_many(sides: Iterable[frozenset[str]]) -> int:
    """How many decisions, at most, there are of which no two have a person in common.

    Args:
        sides: the persons behind each decision.
    """
    left = sorted({side for side in sides if side}, key=len)
    count = 0
    while left:
        first, *rest = left
        others = [side for side in rest if not side & first]
        # Who decided alone is the best choice among all decisions that this person stands behind.
        if len(first) > 1 and len(others) < len(rest):
            return count + max(1 + how_many(others), how_many(rest))
        count, left = count + 1, others
    return count


def makers_of(world: World, named: Named, request_actors: Iterable[str]) -> frozenset[str] | None:
    """Actors behind the request, the run and the registration of a version.

    None when the run that is named is not recorded, or says that it made other things: then nobody knows who is behind
    the version. A run that says of nothing that it made it adds who is behind it. Whoever is behind the same bytes
    under a name that the model had for them before is behind this version too.
    """
    version = named.version
    authors = frozenset(request_actors) | version.authors | _makers_of_copies(world, named)
    if version.run is None:
        return authors
    run = run_of(world, version.run)
    return None if run is None or run.made(named.subject, version.digest) is False else authors | run.authors


def _makers_of_copies(world: World, named: Named) -> frozenset[str]:
    """Actors behind earlier versions of the model with the same bytes: who makes these afterwards reproduces them."""
    stem, found = named.subject.partition("@")[0], frozenset[str]()
    for name in named.model.named[named.version.digest]:
        other = named.model.versions[name]
        if other.index >= named.version.index:
            break
        run = None if other.run is None else run_of(world, other.run)
        ran = run is not None and run.made(f"{stem}@{name}", other.digest) is not False
        found |= other.authors | (run.authors if run is not None and ran else frozenset())
    return found


def contradiction(world: World, named: Named) -> tuple[str, str] | None:
    """Where the run that a version names made other things: which entry says so, and the way out, both in words.

    Args:
        world: the world of whoever asks.
        named: the version.
    """
    version = named.version
    run = None if version.run is None else run_of(world, version.run)
    if run is None or run.made(named.subject, version.digest) is not False:
        return None
    command = f"muniment record run {version.run} --makes {named.subject}={version.digest}"
    return (
        f"entry {run.told} says that {version.run} made other things than {named.subject}",
        f"If it made this too, say so: {command}; else register these bytes as a new version of the run that made them",
    )


def owners_of(named: Named, index: int) -> frozenset[str]:
    """Who must not approve a version because they own it: its owner, and whoever owned its model since it is one.

    Args:
        named: the version; at tier low its owner may approve.
        index: of the entry that approves: who became the owner later did not own it then.
    """
    if named.tier == "low":
        return frozenset()
    return named.model.owners_within(named.version.index, index) | {named.version.owner}


def approval_makers(world: World, named: Named, request_actors: Iterable[str], index: int) -> frozenset[str] | None:
    """Actors of whom whoever approves a version must be independent: its makers and its owners.

    Args:
        world: the world of whoever asks.
        named: the version.
        request_actors: actors behind the request.
        index: of the entry that approves.
    """
    makers = makers_of(world, named, request_actors)
    return None if makers is None else makers | owners_of(named, index)


def deciders(world: World, actors: Iterable[str], signed: Signed) -> frozenset[str]:
    """Actors behind a decision, and whoever let its author decide in their place where it has no role of its own.

    Args:
        world: the world of whoever asks.
        actors: the author and whom it acted for.
        signed: the decision.
    """
    state = actor_of(world, signed.actor)
    kind = known_event_type(signed.type)
    roles = () if kind is None else kind.roles
    grants = () if state is None else state.grants
    covering = [g for g in grants if g.role in roles and g.covers(signed) and signed.recorded_at < g.until]
    if any(grant.delegator is None for grant in covering):
        return frozenset(actors)
    return frozenset(actors) | {grant.delegator for grant in covering if grant.delegator is not None}
