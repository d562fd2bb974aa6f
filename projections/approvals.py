"""Requests for approval in the state of a version: folded from its changes, and told as the rules see them.

What was granted is a change; whether it stands is asked of `ledger.domain.standing`, which authorisations ask too.
"""

from __future__ import annotations

from typing import Any, Final

from ledger.domain.actors import FOREVER
from ledger.domain.authorising import approvals_missing
from ledger.domain.lifecycle import Named, rule_for, version_of
from ledger.domain.moves import decided_state
from ledger.domain.standing import Trouble, approval_until, check_evaluations, standing
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events.ledgers import Rule

__all__ = ["Standings", "decided_status", "fold_approval", "measured"]

#: How a request ends; what becomes of its approvals then changes nothing.
_OVER: Final = ("rejected", "withdrawn", "changes requested")
#: What becomes of a request by a decision about it, or about its approval.
_DECIDED: Final = {
    "approval.granted": "approved", "approval.rejected": "rejected", "approval.withdrawn": "withdrawn",
    "approval.revoked": "revoked", "approval.changes_requested": "changes requested",
}  # fmt: skip


def fold_approval(version: dict[str, Any], change: dict[str, Any], stamp: dict[str, Any]) -> None:
    """Take one event about approvals into the state of a version.

    Args:
        version: its state, which is changed.
        change: the row of the view.
        stamp: index, author and both times of the entry.
    """
    data, kind = change["data"], change["type"]
    if kind == "approval.requested":
        request = {"request": change["id"], "environment": data["environment"], "status": "pending", "reason": None}
        more = {"requested": stamp, "decided": None, "rationale": None, "approval": None, "expires_at": None}
        version["approvals"].append({**request, **more, "changes": [], "escalated": None, "grants": []})
        version["status"] = "approval pending"
        return
    for approval in version["approvals"]:
        known = [approval["request"], *(grant["approval"] for grant in approval["grants"])]
        if data.get("approval", data.get("request")) not in known:
            continue
        why = data.get("rationale", data.get("reason"))
        if kind == "approval.escalated":
            to = {"role": data.get("to_role"), "actor": data.get("to_actor")}
            approval["escalated"] = {**stamp, "to": to, "rationale": why}
            continue
        approval.update(decided=stamp, rationale=why)
        if kind == "approval.granted":
            granted = {"approval": change["id"], "rationale": why, "expires_at": data.get("expires_at"),
                       "valid_from": data.get("valid_from")}  # fmt: skip
            approval.update(approval=change["id"], expires_at=granted["expires_at"])
            approval["grants"].append({**granted, **stamp, "revoked": None, "conditions": [], "trouble": None})
        elif kind == "approval.changes_requested":
            approval["changes"] = data["changes"]
        elif kind == "approval.revoked":
            for grant in approval["grants"]:
                grant["revoked"] = stamp if grant["approval"] == data["approval"] else grant["revoked"]
        if kind == "approval.revoked" and approval["status"] in _OVER:
            continue  # what was rejected, say, stays so
        others = kind == "approval.revoked" and any(grant["revoked"] is None for grant in approval["grants"])
        approval["status"] = "approved" if others else _DECIDED[kind]
    version["status"] = decided_status(version)


def decided_status(version: dict[str, Any]) -> str:
    """Where the decisions so far leave a version: the last one that still says something counts.

    Args:
        version: its state.

    Returns:
        Its status, as far as requests for approval and evaluations tell it.
    """
    ordered = sorted(version["approvals"], key=lambda one: (one["decided"] or one["requested"])["index"], reverse=True)
    return decided_state([one["status"] for one in ordered], measured=measured(version))[0]


def measured(version: dict[str, Any]) -> bool:
    """Whether a version was ever evaluated; an evaluation of other bytes says nothing about it."""
    return any(one["digest"] in (None, version["digest"]) for one in version["evaluations"])


_LATER: Final = Trouble("pending", "it was not recorded by then")


class Standings:
    """What of approvals stands at a moment, in the world of what was recorded by then.

    Args:
        world: states at that size.
        size: how many entries were recorded by then.
        at: the moment, in microseconds since the Unix epoch.
    """

    def __init__(self, world: World, size: int, at: int) -> None:
        self._world, self._size, self._at = world, size, at

    def tell(self, subject: str, approval: dict[str, Any]) -> None:
        """Say what has become of a request that was granted, and of each approval under it.

        Args:
            subject: the version.
            approval: the request, as `fold_approval` left it, which is changed.
        """
        environment, grants = approval["environment"], approval["grants"]
        try:
            named = version_of(self._world, subject)
            rule = rule_for(self._world, environment, named.tier)
        except PolicyError as error:  # not recorded by then, suspect, or not ruled: nothing rests on it
            self._say(approval, [Trouble("suspended", error.message) for _ in grants])
            return
        have = standing(self._world, named, (environment, rule), self._at)
        fallen = dict(have.troubles)
        for grant in grants:
            _describe(self._world, grant, named, rule)
        self._say(approval, [fallen.get(grant["index"]) for grant in grants])
        if approval["status"] == "approved" and not have.meets(rule):
            approval.update(status="pending", reason=approvals_missing(named, (environment, rule), have))
        elif approval["status"] == "approved" and rule.approvals and rule.evaluation:
            self._measured(named, approval)

    def _measured(self, named: Named, approval: dict[str, Any]) -> None:
        """An authorisation asks again what the approval asked of evaluations, whatever that cited."""
        try:
            check_evaluations(self._world, named, approval["environment"])
        except PolicyError as error:
            approval.update(status="suspended", reason=error.message)

    def _say(self, approval: dict[str, Any], troubles: list[Trouble | None]) -> None:
        grants = approval["grants"]
        told = [_LATER if grant["index"] >= self._size else one for grant, one in zip(grants, troubles, strict=True)]
        for grant, trouble in zip(grants, told, strict=True):
            grant["trouble"] = None if trouble is None else trouble.text
        approval["expires_at"] = grants[-1]["expires_at"]
        if approval["status"] in _OVER:
            return
        last = None if None in told else told[-1]
        kind, reason = ("approved", None) if last is None else last
        approval.update(status=kind, reason=reason)


def _describe(world: World, grant: dict[str, Any], named: Named, rule: Rule) -> None:
    """Say of an approval when it ends, by all that it rests on, and its conditions."""
    for one in named.version.approvals:
        if one.index == grant["index"]:
            until = approval_until(world, named, one, rule)
            grant["expires_at"] = None if until >= FOREVER else format_time(until)
            grant["conditions"] = [
                {"condition": words, "met": place in one.met} for place, words in enumerate(one.conditions)
            ]
