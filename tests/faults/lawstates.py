"""In which states of the life cycle a version is, and what these stop, in the words of ADR 26."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tests.faults.lawgrounds import WholeLaw
from tests.faults.pastdeeds import Deed

_WAIVERS = ("waiver.requested", "waiver.granted")
_HELD = (*_WAIVERS, "approval.requested", "approval.granted", "deployment.requested", "deployment.authorised")
_ENDS = {
    "approval.rejected": "rejected", "approval.withdrawn": "withdrawn",
    "approval.changes_requested": "changes requested",
}  # fmt: skip
_FELL = ("approval expired", "conditions open", "approval upcoming", "suspended")


@dataclass
class StatedLaw(WholeLaw):
    """The lawbook, which also knows the states that a table of a ledger's own may name."""

    def allows(self, deed: Deed) -> bool:
        return super().allows(deed) and not self._held_up(deed)

    def _held_up(self, deed: Deed) -> bool:
        if deed.kind not in _HELD:
            return False
        stops = self._rules().get("stops") or ()
        states = {state for stop in stops if stop["decision"] == deed.kind for state in stop["states"]}
        if not states or deed.data.get("emergency"):
            return False
        if deed.kind in _WAIVERS:
            asked = deed if deed.kind == "waiver.requested" else self._waiver(deed.subject)[0]
            about = [] if asked is None else self._waived_versions(asked.data["model"])
            place = "" if asked is None else asked.data["environment"]
            held = [
                bool(states & self._called(one, place, None, deed.at)) or self._stopped(one, deed.kind,
                                                                                         self._measured(one))
                for one in about
            ]  # fmt: skip
            return bool(held) and all(held)
        to = deed.subject if deed.kind.startswith("deployment.") else None
        made = self._registration(deed.data["model"] if to else deed.subject)
        place = deed.environment if to else deed.data["environment"]
        return made is not None and bool(states & self._called(made, place, to, deed.at))

    def _called(self, made: Deed, place: str, to: str | None, now: int) -> set[str]:
        """What a version is called for an environment, and in a deployment."""
        there = None if to is None else self._there(made.subject, to)
        return {self._decided_as(made, place, now)} | ({there} if there else set())

    # -- what was decided --------------------------------------------------------------------------

    def _decided_as(self, made: Deed, place: str, now: int) -> str:
        rule = self._rule(place, made)
        told = [
            self._become(one, made, rule, now) for one in self._of("approval.requested", subject=made.subject)
            if one.data["environment"] == place
        ]  # fmt: skip
        said = [how for _, how in sorted(told, reverse=True) if how != "withdrawn"]
        if said:
            return "approved" if said[0] in _FELL and "approved" in said else said[0]
        measured = [
            one for one in self._of("evaluation.completed", subject=made.subject)
            if one.index > made.index and one.data.get("digest") in (None, made.data["digest"])
        ]  # fmt: skip
        return "evaluated" if measured else "registered"

    def _become(self, asked: Deed, made: Deed, rule: Mapping[str, Any] | None, now: int) -> tuple[int, str]:
        """What has become of a request, and where something was last decided about it."""
        mine = [one for one in self._of(*_ENDS, subject=made.subject) if one.data["request"] == asked.id]
        granted = [one for one in self._of("approval.granted", subject=made.subject) if one.data["request"] == asked.id]
        ids = {one.id for one in granted}
        gone = [one for one in self._of("approval.revoked", subject=made.subject) if one.data["approval"] in ids]
        last = max(one.index for one in (asked, *mine, *granted, *gone))
        if mine:
            return last, _ENDS[mine[-1].kind]
        if not granted:
            return last, "approval pending"
        if rule is None:
            return last, "suspended"
        if not any(self._carries(one, made, rule, now) for one in granted):
            return last, self._why_not(granted[-1], rule, now)
        if not self._suffices(made, asked.data["environment"], rule, now):
            return last, "approval pending"
        held = rule["approvals"] and rule["evaluation"] and not self._passed(made)
        return last, "suspended" if held else "approved"

    def _carries(self, grant: Deed, made: Deed, rule: Mapping[str, Any], now: int) -> bool:
        return self._stands(grant, made, rule, now) and bool(self._persons(self._behind(grant)))

    def _why_not(self, grant: Deed, rule: Mapping[str, Any], now: int) -> str:
        if self._unrevoked(grant.id, grant.subject) is None or self._gainsaid(grant):
            return "suspended"
        if now >= self._until(grant, rule):
            return "approval expired"
        met = {
            one.data["condition"] for one in self._of("approval.condition_met", subject=grant.subject)
            if one.data["approval"] == grant.id
        }  # fmt: skip
        if set(range(len(grant.data.get("conditions") or ()))) - met:
            return "conditions open"
        return "approval upcoming" if now < self._since(grant) else "suspended"

    def _suffices(self, made: Deed, place: str, rule: Mapping[str, Any], now: int) -> bool:
        """Whether as many approve, of whom no two have a person in common, and in the roles that are asked for."""
        good = [
            one for one in self._of("approval.granted", subject=made.subject)
            if (one.data["environment"], one.data["digest"]) == (place, made.data["digest"])
            and self._carries(one, made, rule, now)
        ]  # fmt: skip
        sides = {frozenset(self._persons(self._behind(one)) or ()) for one in good}
        enough = any(
            all(not one & other for one, other in combinations(chosen, 2))
            for chosen in combinations(sides, rule["approvals"])
        )
        return enough and {role for one in good for role in self._enrolled_as(one.actor)}.issuperset(
            rule.get("roles", ())
        )

    # -- where it is -------------------------------------------------------------------------------

    def _there(self, model: str, to: str) -> str | None:
        """What a version is in a deployment, by all that was recorded of that, in the order of the log."""
        live, canary, given, left, after = None, None, None, set[str](), False
        for deed in self._of(
            "deployment.authorised", "deployment.held", "emergency.reviewed", "deployment.completed",
            "deployment.promoted", "rollback.completed", "canary.stage_entered", "canary.aborted", subject=to,
        ):  # fmt: skip
            about = deed.data.get("model")
            match deed.kind:
                case "deployment.authorised":
                    given, after = deed, False
                case "deployment.held" if given is not None and given.data["model"] == about:
                    given = None
                case "emergency.reviewed" if given is not None and given.id == deed.data["decision"]:
                    given = given if deed.data["verdict"] == "justified" else None
                case "canary.stage_entered":
                    canary = about
                case "canary.aborted" if canary == about:
                    canary = None
                case "deployment.completed" | "deployment.promoted" | "rollback.completed":
                    left |= {live} if deed.kind == "rollback.completed" and live not in (None, about) else set()
                    given = None if deed.kind == "rollback.completed" else given
                    live, canary, after = about, None, True
                    left -= {about}
        if model in (live, canary):
            return "live" if model == live else "canary"
        if given is not None and given.data["model"] == model and not after:
            return "deploy authorised"
        return "rolled back" if model in left else None
