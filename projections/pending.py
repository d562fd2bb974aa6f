"""What waits and what ends, asked of a ledger at a moment: what `inbox` and `due` share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ledger.domain.deployed import DeploymentState, Urgent
from ledger.domain.independence import deciders, independent, persons_behind
from ledger.domain.lifecycle import Named, rule_for, version_of
from ledger.domain.roles import roles_for
from ledger.domain.signed import Signed
from ledger.domain.stages import Place as Where
from ledger.domain.stages import check_stops
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events import find_event_type
from ledger.events.ledgers import Rule
from ledger.names import parse_name
from projections.asof import AsOf
from projections.journal import JournalRow
from projections.known import Known
from projections.service import DECISIONS, Decision, Service, read_service

__all__ = [
    "UNSHOWN",
    "Asked",
    "Place",
    "actions",
    "assignments",
    "decided",
    "emergencies",
    "may",
    "mine",
    "named_by",
    "rule_at",
    "waiting",
]

#: A stream, and the environment in which something about it is decided; None where it is decided in none.
Place = tuple[str, str | None]
#: Why somebody may not decide, where nobody knows who made it.
UNSHOWN: Final = "who is behind it cannot be resolved, so that you are another person is not shown"


@dataclass(frozen=True)
class Asked(Known):
    """A ledger as it was known at a size, and the time at which is asked, in microseconds since the Unix epoch."""

    now: int


def may(
    asked: Asked,
    actor: str | None,
    kind: str,
    place: Place,
    making: frozenset[str] | None = frozenset(),
    *,
    roles: tuple[str, ...] | None = None,
    about: str | None = None,
    unshown: str = UNSHOWN,
) -> tuple[bool | None, str]:
    """Whether an actor may record something now, as the rules of roles and independence would say.

    Args:
        asked: of which ledger, when.
        actor: who; None when nobody is asked.
        kind: event type.
        place: the stream it would stand in, and its environment.
        making: actors of whom the author must be independent; None when they are not known.
        roles: who does such things, where the type lets everybody record it; those of the type when None.
        about: the stream of the model that a waiver is for.
        unshown: why nobody is shown to be another person, where that is so.

    Returns:
        Whether, None when nobody is asked; and why, in words.
    """
    found, (stream, environment) = find_event_type(kind), place
    asked_for = found.roles if roles is None else roles
    wanted = " or ".join(asked_for)
    there = "" if environment is None else f" in {environment}"
    if actor is None:
        return None, f"for somebody with the role {wanted}{there}"
    act = Signed(asked.size, asked.now, actor, (), found.topic, stream, environment, about)
    held = roles_for(asked.world, act)
    have = next((role for role in asked_for if role in held), None)
    if have is None:
        return False, f"for somebody with the role {wanted}{there}, which {actor} has not"
    alone = making is not None and not making  # then it needs no other person
    apart = alone or independent(asked.world, deciders(asked.world, {actor}, act), making)
    if apart is None:
        return False, unshown
    if not apart:
        return False, f"for somebody else with the role {have}: you stand behind it"
    return True, f"you have the role {have}{there}"


def mine(asked: Asked, actor: str | None, others: Iterable[str]) -> bool | None:
    """Whether an actor is one of some, or the person behind one of them; None when nobody is asked."""
    if actor is None:
        return None
    known, me = set(others), persons_behind(asked.world, {actor}) or frozenset()
    return actor in known or any(me & (persons_behind(asked.world, {other}) or frozenset()) for other in known)


def rule_at(asked: Asked, named: Named, environment: str) -> tuple[Rule | None, PolicyError | None]:
    """The rule in force, and what refuses that anything be approved now, None when nothing does."""
    try:
        rule = rule_for(asked.world, environment, named.tier)
    except PolicyError as error:
        return None, error  # what is not ruled is refused
    try:
        check_stops(asked.world, named, "approval.granted", Where(environment, None, asked.now))
    except PolicyError as error:
        return rule, error
    return rule, None


def named_by(asked: Asked, kind: str) -> Iterator[Named]:
    """Versions that entries of a type are about, but those whose registration is suspect: nothing rests on them."""
    for subject in dict.fromkeys(row["subject"] for row in asked.of_types(kind)):
        try:
            yield version_of(asked.world, subject)
        except PolicyError:
            continue


def waiting(row: JournalRow, asked: Asked, what: str, following: str) -> dict[str, Any]:
    """What is told of everything that waits; ``may``, ``because`` and more are added."""
    return {
        "what": what,
        "subject": row["subject"],
        "environment": row["data"].get("environment")
        or (parse_name(row["stream"]).namespace if row["stream"].startswith("deployment:") else None),
        "id": row["id"],
        "index": row["index"],
        "by": row["actor"],
        "since": format_time(row["recorded_at"]),
        "age_seconds": max(0, asked.now - row["recorded_at"]) // 1_000_000,
        "next": following,
    }


def emergencies(asked: Asked) -> Iterator[tuple[JournalRow, Urgent]]:
    """Decisions that were taken in an emergency and that nobody has reviewed."""
    for row in asked.of_types("deployment.authorised"):
        if row["data"].get("emergency") is None:
            continue  # most are none: their deployments need not be read
        state = asked.world.state(row["stream"])
        for one in state.urgent if isinstance(state, DeploymentState) else ():
            if one.id == row["id"]:
                yield row, one


def decided(asked: Asked) -> Iterator[tuple[Service, Decision]]:
    """Decisions with a time by which they should have been carried out, and were not."""
    deployments = dict.fromkeys(row["stream"] for row in asked.of_types(*DECISIONS) if row["data"].get("due_at"))
    as_of = AsOf(None, asked.size, "", asked.now)
    for name in deployments:
        service = read_service(asked.views, as_of, name)
        yield from ((service, one) for one in service.open_decisions() if one.due_at is not None)


def assignments(asked: Asked) -> list[JournalRow]:
    """Validations that were assigned and not completed, or withdrawn since, each by whom it was assigned to."""
    found: dict[tuple[str, str], JournalRow] = {}
    gone = {row["data"]["validation"] for row in asked.of_types("validation.withdrawn")}
    for row in asked.of_types("validation.assigned", "validation.completed"):
        if row["type"] == "validation.assigned":
            found[row["subject"], row["data"]["validator"]] = row
            continue
        if row["id"] in gone:
            continue
        for key in list(found):
            about = key[0] in (row["subject"], row["stream"])
            if about and mine(asked, row["actor"], [key[1]]):
                del found[key]
    return list(found.values())


def erasures(asked: Asked) -> list[JournalRow]:
    """Requests to erase that nobody resolved, and behind which nothing was erased about their subject."""
    found: dict[str, JournalRow] = {}
    for row in asked.of_types("erasure.requested", "erasure.resolved", "subject.erased"):
        if row["type"] == "erasure.requested":
            found[row["id"]] = row
        elif row["type"] == "erasure.resolved":
            found.pop(row["data"]["request"], None)
        else:
            found = {name: one for name, one in found.items() if one["subject"] != row["data"]["subject"]}
    return list(found.values())


def actions(asked: Asked) -> list[tuple[JournalRow, str | None, str | None]]:
    """Action items that are not done, each with its owner and the day by which it is due."""
    found: dict[str, tuple[JournalRow, str | None, str | None]] = {}
    steps = ("created", "assigned", "completed", "verified")
    done: dict[str, tuple[JournalRow, str | None, str | None]] = {}
    for row in asked.of_types(*(f"incident.action_item_{step}" for step in steps)):
        data, step = row["data"], row["type"].rpartition("_")[2]
        if step == "created":
            found[row["id"]] = (row, data.get("owner"), data.get("due"))
        elif step == "assigned" and data["item"] in found:
            item, _, due = found[data["item"]]
            found[data["item"]] = (item, data["owner"], data.get("due") or due)
        elif step == "completed" and data["item"] in found:
            done[data["item"]] = found.pop(data["item"])
        elif step == "verified" and data.get("outcome") == "ineffective" and data["item"] in done:
            found[data["item"]] = done.pop(data["item"])  # what was done does not help
    return list(found.values())
