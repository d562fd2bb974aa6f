"""Which approvals and evaluations still stand when something is to rest on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.actors import FOREVER
from ledger.domain.foundations import foundation_trouble, foundation_until, uncited, unseen_fall
from ledger.domain.independence import approval_makers, contradiction, deciders, how_many, independent, persons_behind
from ledger.domain.lifecycle import Named
from ledger.domain.roles import roles_for
from ledger.domain.signed import Signed
from ledger.domain.states import Approval, Refusal, VersionState
from ledger.domain.suspicion import Suspicion, suspicion
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events.ledgers import Rule

__all__ = [
    "Standing",
    "Trouble",
    "approval_trouble",
    "approval_until",
    "check_evaluations",
    "condition_step",
    "evaluation_doubt",
    "first_doubt_of",
    "passed_evaluation",
    "persons_of",
    "standing",
    "stands_apart",
    "who_decides",
]

_DAY = 86_400_000_000


def first_doubt_of(world: World, entries: Iterable[Signed]) -> Suspicion | None:
    """Why the first suspect one of some entries is suspect."""
    return next((doubt for doubt in (suspicion(world, signed) for signed in entries) if doubt is not None), None)


def passed_evaluation(version: VersionState) -> bool:
    """Whether some evaluation passed and the last one of no suite failed, or was invalidated."""
    failed = any(one.verdict == "fail" for one in version.evaluations)
    return version.passed is not None and not failed and not version.undecided


def evaluation_doubt(world: World, version: VersionState) -> Suspicion | None:
    """Why what is known of a version's evaluations cannot be relied on.

    A suspect evaluation has taken the place of what was said before, so nothing is known until somebody measures again.
    """
    entries = [evaluation.signed for evaluation in version.evaluations]
    entries += [] if version.passed is None else [version.passed.signed]
    return first_doubt_of(world, entries)


def check_evaluations(world: World, named: Named, environment: str) -> None:
    """Refuse what needs a passed evaluation where none stands.

    Args:
        world: the world before the decision.
        named: the version it is about.
        environment: where the rules ask for one.

    Raises:
        PolicyError: with what is missing and the next step.
    """
    version = named.version
    if version.undecided:
        index, gone = version.undecided[0]
        raise PolicyError(
            f"{named.subject} was not measured again since entry {index} said that entry {gone.index} does not hold",
            hint=f"Record a new one of the same suite: muniment record evaluation {named.subject} …",
        )
    if not passed_evaluation(version):
        raise PolicyError(
            f"{named.subject} has no standing passed evaluation, and {environment} at tier {named.tier} asks for one",
            hint="Record it, with what was measured: "
            f"muniment record evaluation {named.subject} --metric auc=… --verdict pass",
        )
    for name, failed in named.failed_elsewhere:
        suite = f" --suite {failed.suite}" if failed.suite else ""
        raise PolicyError(
            f"{named.subject} has the bytes of version {name}, which failed {failed.suite or 'an evaluation'} "
            f"(entry {failed.index})",
            hint=f"Measure them again: muniment record evaluation {named.subject}{suite} …",
        )
    doubt = evaluation_doubt(world, version)
    if doubt is not None:
        raise PolicyError(
            f"an evaluation of {named.subject} counts no more: {doubt.text}",
            hint=f"If it is genuine: muniment entry reaffirm {doubt.index} --reason …",
        )


def approval_until(world: World, named: Named, approval: Approval, rule: Rule | None) -> int:
    """Time from which an approval does not hold: its own end, the rule's, or that of a waiver that it rests on.

    Args:
        world: the world of whoever asks.
        named: the version it is for.
        approval: the approval.
        rule: the rule that says how long approvals hold; None for none.

    Returns:
        Microseconds since the Unix epoch.
    """
    until = min(approval.until, foundation_until(world, named, approval))
    if rule is None or rule.days is None:
        return until
    return min(until, approval.signed.recorded_at + rule.days * _DAY)


class Trouble(NamedTuple):
    """Why an approval does not stand.

    ``kind`` is revoked, expired, conditional, upcoming or suspended, ``text`` the words.
    """

    kind: str
    text: str


def approval_trouble(world: World, named: Named, approval: Approval, rule: Rule | None, at: int) -> Trouble | None:
    """Why an approval does not stand, None when it does.

    Args:
        world: the world of whoever asks.
        named: the version it is for.
        approval: the approval.
        rule: the rule that says how long approvals hold; None for none.
        at: time at which it is asked for, microseconds since the Unix epoch.
    """
    request = named.version.requests.get(approval.request)
    if approval.revoked is not None:
        return Trouble("revoked", f"it was revoked by entry {approval.revoked}")
    if request is None or request.closed is not None:
        return Trouble("suspended", f"its request was {request.closed if request else 'never made'}")
    against = taken_along(world, named, approval)
    if against is not None:
        return Trouble("suspended", against)
    until = approval_until(world, named, approval, rule)
    if at >= until:
        return Trouble("expired", f"it expired at {format_time(until)}")
    if approval.unmet:
        first = min(approval.unmet)
        return Trouble("conditional", f"its condition {first} is not met: {approval.conditions[first]}")
    if at < approval.since:
        return Trouble("upcoming", f"it stands from {format_time(approval.since)} on")
    demoted = named.version.demoted.get(approval.environment)
    if demoted is not None and demoted.index > approval.index:
        return Trouble("suspended", f"entry {demoted.index} demoted it from {approval.environment}")
    fallen = foundation_trouble(world, named, approval, at)
    if fallen is None and rule is not None:
        lacking = uncited(named, rule, approval.grounds.seen, (approval.index, approval.signed.recorded_at))
        fallen = f"it does not cite {lacking[0]}" if lacking else None
    if fallen is None and rule is not None and rule.approvals and rule.evaluation:
        fallen = unseen_fall(named.version, approval)
    if fallen is None:
        doubt = first_doubt_of(world, [approval.signed, request.signed])
        fallen = None if doubt is None else doubt.text
    return None if fallen is None else Trouble("suspended", fallen)


def taken_along(world: World, named: Named, approval: Approval) -> str | None:
    """Which later no took an approval along that it does not name, in words; what was said first decides.

    Who turns a request down, or sends it back, knows what was approved before. Who takes an approval back does so for
    all that the same persons gave there before. It does not come back: whoever still approves says so anew.
    """
    for one in named.version.refusals:
        if (
            one.index > approval.index
            and one.environment == approval.environment
            and _takes(world, named, one, approval)
        ):
            return one.words
    return None


def _takes(world: World, named: Named, refusal: Refusal, approval: Approval) -> bool:
    """Whether what was refused is another request, or an approval given or taken back by who is behind this one."""
    if refusal.approval is None:
        return refusal.request != approval.request
    if refusal.approval == approval.id:
        return False
    theirs = deciders(world, refusal.actors, refusal.signed)
    for gone in named.version.approvals:
        theirs |= deciders(world, gone.actors, gone.signed) if gone.id == refusal.approval else frozenset()
    return not independent(world, deciders(world, approval.actors, approval.signed), theirs)


def condition_step(named: Named, approval: Approval) -> str:
    """The command that says that the first open condition of an approval is met; of several approvals, of this one."""
    return f"muniment condition {named.subject} {min(approval.unmet)} --approval {approval.id} --note …"


@dataclass(frozen=True, slots=True)
class Standing:
    """What approvals of a version amount to.

    Attributes:
        persons: how many distinct persons gave one that stands and is independent; who approves in another's place
            and who handed that on are one.
        roles: roles that reach the approvals and held when these were given.
        until: time from which fewer than needed, or none of a role, stand; microseconds since the Unix epoch.
        troubles: approvals that do not stand, as index of the entry and why.
    """

    persons: int
    roles: frozenset[str]
    until: int
    troubles: tuple[tuple[int, Trouble], ...]

    def meets(self, rule: Rule) -> bool:
        """Whether they are as many, and of the roles, that a rule asks for."""
        return self.persons >= rule.approvals and self.roles.issuperset(rule.roles)


def standing(world: World, named: Named, place: tuple[str, Rule], at: int) -> Standing:
    """Approvals of a version for an environment.

    Args:
        world: the world of whoever asks.
        named: the version.
        place: environment, and the rule that holds there.
        at: as `approval_trouble`.
    """
    environment, rule = place
    ends: dict[frozenset[str], int] = {}
    roles: dict[str, int] = {}
    troubles: list[tuple[int, Trouble]] = []
    for approval in named.version.approvals:
        if (approval.environment, approval.digest) != (environment, named.version.digest):
            continue
        trouble = approval_trouble(world, named, approval, rule, at)
        if trouble is None and not stands_apart(world, named, approval):
            other = contradiction(world, named)
            why = "whoever approved is not shown to be another person than whoever made it"
            trouble = Trouble("suspended", why if other is None else f"{why}: {other[0]}. {other[1]}")
        persons = persons_of(world, approval)
        if trouble is not None or not persons:
            troubles.append((approval.index, trouble or Trouble("suspended", "nobody stands behind it")))
            continue
        end = approval_until(world, named, approval, rule)
        ends[persons] = max(ends.get(persons, end), end)
        roles.update((role, max(roles.get(role, end), end)) for role in roles_for(world, approval.signed))
    until = _enough_until(ends, rule.approvals)
    until = min([until, *(roles[role] for role in rule.roles if role in roles)])
    return Standing(how_many(ends), frozenset(roles), until, tuple(troubles))


def _enough_until(ends: Mapping[frozenset[str], int], needed: int) -> int:
    """When fewer than needed are left, of which no two have a person in common; for ever where there never were."""
    for end in sorted(set(ends.values()), reverse=True):
        if 0 < needed <= how_many(persons for persons, last in ends.items() if last >= end):
            return end
    return FOREVER


def persons_of(world: World, approval: Approval) -> frozenset[str]:
    """The persons behind an approval, with whoever handed approving on; none when one of them cannot be resolved."""
    return persons_behind(world, deciders(world, approval.actors, approval.signed)) or frozenset()


def stands_apart(world: World, named: Named, approval: Approval) -> bool:
    """Whether who approved is another person than who made or owned it: since then more may be known of who did."""
    request = named.version.requests[approval.request]
    makers = approval_makers(world, named, request.actors, approval.index)
    return bool(independent(world, deciders(world, approval.actors, approval.signed), makers))


def who_decides(world: World, named: Named, place: tuple[str, Rule | None], have: Standing) -> str:
    """Who may give what approvals of a version lack, and how; empty where nobody asked, so that this comes first.

    Args:
        world: the world of whoever asks.
        named: the version.
        place: environment, and the rule that holds there; None when none does.
        have: what its approvals amount to.
    """
    environment, rule = place
    asked = [one for one in named.version.requests.values() if (one.environment, one.closed) == (environment, None)]
    if rule is None or not asked or suspicion(world, asked[-1].signed) is not None:
        return ""
    missing = set(rule.roles) - have.roles if have.persons + 1 >= rule.approvals else set()
    roles = " and ".join(["approver", *sorted(missing - {"approver"})])
    about = f"{named.subject} --env {environment}"
    words = f"It is asked for. Another person with the role {roles} decides: muniment approve {about} --rationale …"
    fallen = {index for index, _ in have.troubles}
    spent = any(
        one.request == asked[-1].id and one.revoked is None and one.index in fallen for one in named.version.approvals
    )
    # Nobody approves a request twice.
    return f"{words}; for who approved it before, ask anew: muniment request {about}" if spent else words
