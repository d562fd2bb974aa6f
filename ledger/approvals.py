"""Which approval is meant where none is named, and what a no took from the approvals of a version.

As in `ledger.commands` no rule is here: what stands is asked of `domain.standing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.application import Ledger, Receipt
from ledger.commands import version_state
from ledger.domain.authorising import approvals_that_stand
from ledger.domain.independence import persons_behind
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.standing import persons_of, standing, taken_along
from ledger.domain.states import Approval
from ledger.domain.world import World
from ledger.errors import InputError, PolicyError

__all__ = ["TakenBack", "approval_to_meet", "approval_to_revoke", "taken_back"]


def _meant(ledger: Ledger, model: str, approval: str | None, environment: str | None) -> list[Approval]:
    """Approvals that may be meant, at least one, none of them taken back; for one environment."""
    known = [one for one in version_state(ledger, model).approvals if one.revoked is None]
    meant = [one for one in known if approval in (None, one.id) and environment in (None, one.environment)]
    if not meant:
        raise PolicyError(f"{model} has no such approval", hint=f"See what it has: muniment state {model}")
    if approval is None and len({one.environment for one in meant}) > 1:
        raise InputError(
            f"{model} has approvals for {', '.join(sorted({one.environment for one in meant}))}",
            hint="Say which: --env ENVIRONMENT, or --approval ID.",
        )
    return meant


def _only(what: str, command: str, meant: Sequence[Approval]) -> Approval:
    """The one that is meant; where there are several, nobody guesses which."""
    if len(meant) == 1:
        return meant[0]
    each = (f"entry {one.index}, given by {one.actor}: {command} --approval {one.id}" for one in meant)
    raise InputError(f"{len(meant)} approvals {what}", hint=f"Say which. {'; '.join(each)}")


def _troubles(ledger: Ledger, world: World, model: str, environment: str) -> dict[int, str]:
    """Approvals that do not stand now, by index, and the kind of trouble; none is known where no rule is."""
    try:
        named = version_of(world, model)
        place = (environment, rule_for(world, environment, named.tier))
    except PolicyError:
        return {}  # what takes back waits for no rule
    return {index: why.kind for index, why in standing(world, named, place, ledger.recorder.now()).troubles}


def approval_to_revoke(ledger: Ledger, model: str, approval: str | None, environment: str | None) -> Approval:
    """Whoever takes an approval back means their own that stands; of what others gave none is chosen among several.

    Args:
        ledger: open, signing as an approver.
        model: ``model:<name>@<version>``.
        approval: event id; None where it is not said.
        environment: for which; None where it is not said.

    Raises:
        PolicyError: there is none.
        InputError: there are several.
    """
    meant, world = _meant(ledger, model, approval, environment), ledger.world.at(ledger.world.refresh())
    if approval is None:
        meant = _not_over(world, model, meant)
    me = (None if ledger.actor is None else persons_behind(world, {ledger.actor})) or frozenset()
    mine = [one for one in meant if me & persons_of(world, one)]
    fallen = _troubles(ledger, world, model, meant[0].environment)
    good = [one for one in meant if one.index not in fallen]
    own = [one for one in mine if one in good] or ([] if good else mine)
    if own:
        return own[-1]
    several = [one for one in meant if one in good or one in mine] or meant
    return _only("might be meant", f"muniment revoke {model} --rationale …", several)


def _not_over(world: World, model: str, meant: list[Approval]) -> list[Approval]:
    """Approvals but those that a later no took along for good: to take one back would say nothing more."""
    try:
        named = version_of(world, model)
    except PolicyError:
        return meant  # what takes back waits for no good registration
    found = [one for one in meant if taken_along(world, named, one) is None]
    if not found:
        raise PolicyError(
            f"no approval of {model} stands, or may stand again: {taken_along(world, named, meant[-1])}",
            hint=f"See what it has: muniment state {model}",
        )
    return found


def approval_to_meet(
    ledger: Ledger, model: str, condition: int, approval: str | None, environment: str | None
) -> Approval:
    """The approval that waits for a condition; where none does, one of which the judge says what is wrong.

    Arguments as `approval_to_revoke`; ``condition`` is the number of the condition.
    """
    meant = _meant(ledger, model, approval, environment)
    waiting = [one for one in meant if condition in one.unmet]
    if not waiting:
        return ([one for one in meant if condition < len(one.conditions)] or meant)[-1]
    troubles = _troubles(ledger, ledger.world.at(ledger.world.refresh()), model, meant[0].environment)
    of_use = [one for one in waiting if troubles.get(one.index) in ("conditional", "upcoming")] or waiting
    return _only(f"wait for a condition {condition}", f"muniment condition {model} {condition} --note …", of_use)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What an entry took from the approvals of a version in an environment.

    Attributes:
        environment: for which the request or the approval was that it ended.
        approval: the approval that it took back; None where it ended a request.
        fell: other approvals that stood before it and do no more.
        left: approvals that still stand.
    """

    environment: str
    approval: Approval | None
    fell: tuple[Approval, ...]
    left: tuple[Approval, ...]


def taken_back(ledger: Ledger, model: str, receipt: Receipt) -> TakenBack:
    """What a no that was recorded took from the approvals of a version, and what it left.

    Args:
        ledger: an open ledger.
        model: ``model:<name>@<version>``.
        receipt: of an entry that took back an approval, or ended a request.
    """
    version, index = version_state(ledger, model), receipt.index
    gone = next((one for one in version.approvals if one.revoked == index), None)
    ended = (one.environment for one in version.requests.values() if one.ended == index)
    environment = next(ended) if gone is None else gone.environment
    before, now = (_stood(ledger.world.at(size), model, environment, receipt) for size in (index, index + 1))
    fell = (one for name, one in before.items() if name not in now and (gone is None or name != gone.id))
    return TakenBack(environment, gone, tuple(fell), tuple(now.values()))


def _stood(world: World, model: str, environment: str, receipt: Receipt) -> dict[str, Approval]:
    try:
        named = version_of(world, model)
        place = (environment, rule_for(world, environment, named.tier))
    except PolicyError:
        return {}  # nothing rests on an approval then
    return approvals_that_stand(world, named, place, receipt.recorded_at)
