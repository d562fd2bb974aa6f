"""What the governed life cycle allows, in the words of ADR 26 and 27: a list of deeds, looked through from the start.

It shares no code with `ledger.domain`: nothing is folded or kept, every question is asked of the whole list again. It
knows nothing of stolen keys, of actors who leave and of roles that are granted later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tests.faults.pastdeeds import EVER, TIERS, Deed, PastDeeds, moment

_HOUR, _DAY = 3_600_000_000, 86_400_000_000


def _verdict(deed: Deed) -> int:
    return ("fail", "uncertain", "pass").index(deed.verdict)


@dataclass
class Lawbook(PastDeeds):
    """All that was done, and what may be done next."""

    def allows(self, deed: Deed) -> bool:
        """Whether a deed is legal behind those that are recorded."""
        if deed.actor != "root" and not self._role(deed):
            return False
        if deed.behalf is not None and self._enrolment(deed.behalf) is None:
            return False
        asked = getattr(self, "_" + deed.kind.replace(".", "_"), None)
        return self._saw(deed) and (asked is None or bool(asked(deed)))

    # -- evaluations and approvals ---------------------------------------------------------------

    def _evaluations(self, made: Deed, before: int) -> tuple[list[Deed], Deed | None, dict[str, int]]:
        """What stands of each suite, what passed, and where what stood of a suite was said not to hold."""
        gone: dict[str, int] = {}
        last: dict[str, Deed] = {}
        said: dict[str, list[Deed]] = {}
        passed: Deed | None = None
        for deed in self._of("evaluation.completed", "evaluation.invalidated", subject=made.subject):
            if not made.index < deed.index < before:
                continue
            if deed.kind == "evaluation.invalidated":
                wrong = {suite: deed.index for suite, one in last.items() if one.id == deed.data["evaluation"]}
                last = {suite: one for suite, one in last.items() if suite not in wrong}
                if passed is not None and (passed.id == deed.data["evaluation"] or self._suite(passed) in wrong):
                    passed = next((one for one in reversed(last.values()) if one.verdict == "pass"), None)
                gone |= wrong
            elif deed.data.get("digest") in (None, made.data["digest"]):
                suite = self._suite(deed)
                said.setdefault(suite, []).append(deed)
                if self._standing(said[suite], _verdict) is deed:
                    last.pop(suite, None)
                    gone.pop(suite, None)
                    last[suite] = deed
                    passed = deed if deed.verdict == "pass" else passed
        return list(last.values()), passed, gone

    @staticmethod
    def _suite(deed: Deed) -> str:
        return deed.data.get("suite") or deed.data.get("kind") or ""

    def _open(self, request: str, model: str) -> Deed | None:
        return None if request in self._closed(model) | self._back(model) else self._asked(request, model)

    def _asked(self, request: str, model: str) -> Deed | None:
        return self._named(request, "approval.requested", subject=model)

    def _closed(self, model: str) -> set[str]:
        return {deed.data["request"] for deed in self._of("approval.rejected", "approval.withdrawn", subject=model)}

    def _back(self, model: str) -> set[str]:
        """Requests that were sent back."""
        return {deed.data["request"] for deed in self._of("approval.changes_requested", subject=model)}

    def _unrevoked(self, approval: str, model: str) -> Deed | None:
        gone = {deed.data["approval"] for deed in self._of("approval.revoked", subject=model)}
        return None if approval in gone else self._named(approval, "approval.granted", subject=model)

    def _until(self, grant: Deed, rule: Mapping[str, Any]) -> int:
        """Its own end, the rule's, and the end of the documents that its author saw."""
        seen = {item["index"] for item in grant.data.get("evidence") or ()}
        ends = [moment(grant.data.get("expires_at"))]
        for deed in self._of("validation.completed", "documentation.attached", stream=grant.stream):
            if deed.index in seen:
                ends += [moment(deed.data.get("valid_until")), moment(deed.data.get("expires_at"))]
        return min(ends + ([grant.at + rule["days"] * _DAY] if rule.get("days") else []))

    @staticmethod
    def _since(grant: Deed) -> int:
        """From when on it stands."""
        return moment(grant.data["valid_from"]) if grant.data.get("valid_from") else 0

    def _stands(self, grant: Deed, made: Deed, rule: Mapping[str, Any], now: int) -> bool:
        request = self._open(grant.data["request"], grant.subject)
        if request is None or self._unrevoked(grant.id, grant.subject) is None or now >= self._until(grant, rule):
            return False
        left = (
            one.index for one in self._of("version.demoted", subject=made.subject)
            if one.data["environment"] == grant.data["environment"]
        )  # fmt: skip
        if rule["approvals"] and rule["evaluation"] and self._fell_unseen(grant, made):
            return False
        if now < self._since(grant) or max(left, default=-1) > grant.index:
            return False
        met = {
            one.data["condition"] for one in self._of("approval.condition_met", subject=grant.subject)
            if one.data["approval"] == grant.id
        }  # fmt: skip
        if set(range(len(grant.data.get("conditions") or ()))) - met or not self._still_measured(grant, made):
            return False
        return self._uninvolved(grant, made, request.actors)

    def _uninvolved(self, deed: Deed, made: Deed, also: Iterable[str] = (), until: int | None = None) -> bool:
        """Whoever approves is another person than makers and owners."""
        owners = self._owners(made, deed.index if until is None else until)
        return self._others(self._behind(deed), self._makers(made, also)) and self._others(self._behind(deed), owners)

    def _still_measured(self, grant: Deed, made: Deed) -> bool:
        """None of the evaluations that an approval cites was invalidated, or gave way to one that says less."""
        standing, passed, _ = self._evaluations(made, grant.index)
        seen = {item["index"] for item in grant.data.get("evidence") or ()}
        cited = [one for one in [*([passed] if passed else []), *standing] if one.index in seen]
        gone = {one.data["evaluation"] for one in self._of("evaluation.invalidated", subject=grant.subject)}
        if any(one.id in gone for one in cited):
            return False
        order = ("fail", "uncertain", "pass")
        last = {self._suite(one): one for one in self._evaluations(made, EVER)[0]}
        rested = {self._suite(one): one for one in cited}
        return all(
            suite in last and (
                last[suite].index < grant.index
                or order.index(last[suite].verdict) >= order.index(one.verdict)
            ) for suite, one in rested.items()
        )  # fmt: skip

    def _fell_unseen(self, grant: Deed, made: Deed) -> bool:
        """A suite that an approval does not cite passed after it, and is uncertain now."""
        seen = {item["index"] for item in grant.data.get("evidence") or ()}
        standing, passed, _ = self._evaluations(made, grant.index)
        cited = {self._suite(one) for one in [*standing, *([passed] if passed else [])] if one.index in seen}
        doubted = {
            self._suite(one) for one in self._evaluations(made, EVER)[0] if one.data["verdict"] == "uncertain"
        } - cited  # fmt: skip
        return any(
            one.data["verdict"] == "pass"
            and self._suite(one) in doubted
            and one.index > grant.index
            and one in self._evaluations(made, one.index + 1)[0]
            for one in self._of("evaluation.completed", subject=made.subject)
        )

    def _measured(self, made: Deed) -> list[Deed]:
        """The evaluations that stand."""
        standing, passed, _ = self._evaluations(made, EVER)
        return [*standing, *([passed] if passed else [])]

    def _passed(self, made: Deed) -> bool:
        """Something passed, the last of no suite failed, and none of what was invalidated is still to be measured."""
        standing, passed, gone = self._evaluations(made, EVER)
        well = passed is not None and not gone and all(one.verdict != "fail" for one in standing)
        return well and not self._failed_under_another_name(made)

    def _failed_under_another_name(self, made: Deed) -> list[Deed]:
        """Suites that the same bytes failed as another version of the model, and that were not measured again."""
        found: list[Deed] = []
        here = {self._suite(one): one for one in self._evaluations(made, EVER)[0]}
        for subject in {one.subject for one in self._of("version.registered", stream=made.stream)} - {made.subject}:
            other = self._registration(subject)
            if other is None or other.data["digest"] != made.data["digest"]:
                continue
            standing, _, gone = self._evaluations(other, EVER)
            before = [self._evaluations(other, index)[0] for index in gone.values()]
            last = [*standing, *(one for kept in before for one in kept if self._suite(one) in gone)]
            found += [
                one for one in last if one.verdict == "fail"
                and not self._again(one, other, here.get(self._suite(one)), made)
            ]  # fmt: skip
        return found

    def _again(self, failed: Deed, other: Deed, here: Deed | None, made: Deed) -> bool:
        """Whether a suite was measured again here: recorded later, and no late report of what was measured before."""
        if here is None or here.index < failed.index:
            return False
        suite = self._suite(failed)
        return self._newest(made, suite) + 120_000_000 >= self._newest(other, suite)

    def _newest(self, made: Deed, suite: str) -> int:
        """When a suite of a version was measured last, by what is recorded."""
        return max(
            one.when for one in self._of("evaluation.completed", subject=made.subject)
            if one.index > made.index and self._suite(one) == suite
            and one.data.get("digest") in (None, made.data["digest"])
        )  # fmt: skip

    def _approval_requested(self, deed: Deed) -> bool:
        made = self._registration(deed.subject)
        return (
            made is not None and deed.data["digest"] == made.data["digest"]
            and self._rule(deed.data["environment"], made) is not None
            and not self._stopped(made, deed.kind, self._measured(made)) and self._amended(deed)
        )  # fmt: skip

    def _amended(self, deed: Deed) -> bool:
        """What is amended was sent back, for the same environment, whichever version of the model it was about."""
        name, place = deed.data.get("amends"), deed.data["environment"]
        return not name or any(
            one.id == name and one.data["environment"] == place
            and name in self._back(one.subject) - self._closed(one.subject)
            for one in self._of("approval.requested", stream=deed.stream)
        )  # fmt: skip

    def _decided(self, deed: Deed) -> tuple[Deed, Deed] | None:
        """The version and the open request that a decision is about."""
        made, request = self._registration(deed.subject), self._open(deed.data["request"], deed.subject)
        if made is None or request is None or deed.data["digest"] != made.data["digest"]:
            return None
        same = all(deed.data[name] == request.data[name] for name in ("environment", "digest"))
        return (made, request) if same else None

    def _approval_granted(self, deed: Deed) -> bool:
        found = self._decided(deed)
        if found is None or self._stopped(found[0], deed.kind, self._measured(found[0])):
            return False
        made, request = found
        rule = self._rule(deed.data["environment"], made)
        if rule is None or deed.at >= moment(deed.data.get("expires_at")):
            return False
        if self._since(deed) >= self._until(deed, rule):
            return False
        if rule["approvals"] and not self._uninvolved(deed, made, request.actors):
            return False
        if rule["evaluation"] and not self._passed(made):
            return False
        mine = self._of("approval.granted", subject=deed.subject, actor=deed.actor)
        return not any(
            one.data["request"] == request.id and self._unrevoked(one.id, deed.subject) is not None for one in mine
        )

    def _approval_rejected(self, deed: Deed) -> bool:
        return self._decided(deed) is not None

    def _approval_changes_requested(self, deed: Deed) -> bool:
        return self._decided(deed) is not None

    def _approval_escalated(self, deed: Deed) -> bool:
        role, actor = deed.data.get("to_role"), deed.data.get("to_actor")
        known = actor is None or self._enrolment(actor) is not None
        return self._decided(deed) is not None and (role is None) != (actor is None) and known

    def _approval_withdrawn(self, deed: Deed) -> bool:
        done = deed.data["request"] in self._closed(deed.subject)
        request = None if done else self._asked(deed.data["request"], deed.subject)
        asking, mine = (None if request is None else self._persons(request.actors)), self._persons(deed.actors)
        return bool(asking and mine and asking & mine)

    def _approval_revoked(self, deed: Deed) -> bool:
        return self._unrevoked(deed.data["approval"], deed.subject) is not None

    def _approval_condition_met(self, deed: Deed) -> bool:
        grant, made = self._unrevoked(deed.data["approval"], deed.subject), self._registration(deed.subject)
        if grant is None or made is None or deed.data["condition"] >= len(grant.data.get("conditions") or ()):
            return False
        return self._uninvolved(deed, made)

    def _approval_delegated(self, deed: Deed) -> bool:
        to = self._enrolment(deed.stream.partition(":")[2])
        return (
            to is not None and to.data["kind"] == "person" and deed.at < moment(deed.data["until"])
            and "approver" in self._enrolled_as(deed.actor)
            and self._others({deed.actor}, {deed.stream.partition(":")[2]})
        )  # fmt: skip

    # -- tiers, waivers, policies, quarantines ---------------------------------------------------

    def _risk_classified(self, deed: Deed) -> bool:
        every = {one.subject: one for one in reversed(list(self._of("version.registered", stream=deed.stream)))}
        made = [one for one in every.values() if deed.version in ("", one.version)]
        if not made:
            return deed.version == ""
        if all(TIERS.index(deed.data["tier"]) >= TIERS.index(self._tier(one)) for one in made):
            return True
        return "validator" in self._enrolled_as(deed.actor) and all(
            self._others(deed.actors, self._makers(one, {one.data["owner"]})) for one in made
        )

    def _waiver(self, name: str) -> tuple[Deed | None, Deed | None, bool, int]:
        """Request, grant, whether it was denied or revoked, and when it ends."""
        asked = next(self._of("waiver.requested", subject=name), None)
        granted = next(self._of("waiver.granted", subject=name), None)
        ends = [moment(one.data.get("expires_at")) for one in (asked, granted) if one is not None]
        return asked, granted, any(self._of("waiver.denied", "waiver.revoked", subject=name)), min([EVER, *ends])

    def _waived_versions(self, model: str) -> list[Deed]:
        """First registrations of a version, or of all versions of a model."""
        every = {one.subject: one for one in reversed(list(self._of("version.registered")))}
        return [one for one in every.values() if model in (one.subject, one.stream)]

    def _longest(self, model: str, place: str) -> int:
        """How long a waiver may be: as short as the strictest tier asks, two minutes of clocks that differ included."""
        tiers = [self._tier(one) for one in self._waived_versions(model)] or list(TIERS)
        return min(self._waiver_days(place, tier) for tier in tiers) * _DAY + 120_000_000

    def _short_enough(self, asked: Deed, at: int, until: int) -> bool:
        model, place = asked.data["model"], asked.data["environment"]
        longest = self._longest(model, place)
        return longest >= _DAY and until - at <= longest

    def _not_their_own(self, grant: Deed, model: str) -> bool:
        """Nobody lets a check be of what they made, or own."""
        made = self._waived_versions(model)
        return all(self._uninvolved(grant, one, until=max(grant.index, one.index)) for one in made)

    def _waiver_stands(self, name: str, model: str, at: int) -> bool:
        asked, granted, ended, until = self._waiver(name)
        if asked is None or granted is None or ended:
            return False
        until = min(until, granted.at + self._longest(model, asked.data["environment"]))
        return at < until and self._not_their_own(granted, model)

    @staticmethod
    def _uses(asked: Deed) -> float:
        """For how many authorisations a waiver is."""
        return 1 if asked.data.get("single_use") else asked.data.get("max_uses") or float("inf")

    def _waiver_requested(self, deed: Deed) -> bool:
        end = moment(deed.data["expires_at"])
        if self._waiver(deed.subject)[0] is not None or not deed.data["model"].startswith("model:"):
            return False
        if deed.data.get("single_use") and deed.data.get("max_uses") not in (None, 1):
            return False
        return not deed.data["check"].startswith("*") and deed.at < end and self._short_enough(deed, deed.at, end)

    def _waiver_granted(self, deed: Deed) -> bool:
        asked, granted, ended, until = self._waiver(deed.subject)
        if asked is None or granted is not None or ended or deed.at >= until:
            return False
        end = min(until, moment(deed.data.get("expires_at")))
        if not self._short_enough(asked, deed.at, end) or not self._not_their_own(deed, asked.data["model"]):
            return False
        return self._others(self._behind(deed), asked.actors | {asked.data["owner"]})

    def _waiver_denied(self, deed: Deed) -> bool:
        asked, granted, ended, _ = self._waiver(deed.subject)
        return asked is not None and granted is None and not ended

    def _waiver_revoked(self, deed: Deed) -> bool:
        asked, _, ended, _ = self._waiver(deed.subject)
        return asked is not None and not ended

    def _waiver_used(self, deed: Deed) -> bool:
        asked = self._waiver(deed.subject)[0]
        if asked is None or not self._waiver_stands(deed.subject, deed.data["model"], deed.at):
            return False
        if self._used(deed.subject) >= self._uses(asked):
            return False
        model, place = deed.data["model"], deed.data["deployment"].partition(":")[2].partition("/")[0]
        return asked.data["model"] in (model, model.partition("@")[0]) and place == asked.data["environment"]

    def _policy_defined(self, deed: Deed) -> bool:
        before = self._of("policy.defined", subject=deed.subject)
        digest = "sha256:" + hashlib.sha256(deed.data["source"].encode()).hexdigest()
        same = all(one.data["digest"] == digest and self._mode(one) == self._mode(deed) for one in before)
        asked = any(rule.get("gate") == deed.subject for rule in self._rules()["rules"])
        return deed.data["digest"] == digest and same and (self._mode(deed) == "enforce" or not asked)

    @staticmethod
    def _mode(deed: Deed) -> str:
        """Whether a policy, or a run of one, refuses, warns or is only tried out."""
        return str(deed.data.get("mode") or "enforce")

    def _policy_retired(self, deed: Deed) -> bool:
        asked = any(rule.get("gate") == deed.subject for rule in self._rules()["rules"])
        return any(self._of("policy.defined", subject=deed.subject)) and not asked

    def _quarantine_released(self, deed: Deed) -> bool:
        gone = {one.data["quarantine"] for one in self._of("quarantine.released", stream=deed.stream)}
        placed = self._named(deed.data["quarantine"], "quarantine.placed", subject=deed.subject)
        if placed is None or placed.id in gone:
            return False
        if not deed.stream.startswith("model:"):
            return self._others(self._behind(deed), placed.actors)
        every = {one.subject: one for one in reversed(list(self._of("version.registered", stream=deed.stream)))}
        made = [one for one in every.values() if deed.version in ("", one.version)]
        return all(self._others(self._behind(deed), self._makers(one)) for one in made)

    # -- registrations and deployments -----------------------------------------------------------

    def _version_registered(self, deed: Deed) -> bool:
        first = self._registration(deed.subject)
        return first is None or all(
            first.data.get(name) == deed.data.get(name) for name in ("digest", "owner", "tier", "run")
        )

    def _ledger_rules_changed(self, deed: Deed) -> bool:
        return deed.actor == "root"

    def _deployment_requested(self, deed: Deed) -> bool:
        made = self._registration(deed.data["model"])
        return (
            made is not None and made.data["digest"] == deed.data["digest"]
            and not self._stopped(made, deed.kind, self._measured(made))
        )  # fmt: skip

    def _deployment_denied(self, deed: Deed) -> bool:
        """Only of a request of this deployment that was neither denied nor followed by an authorisation."""
        asked = self._named(deed.data["request"], "deployment.requested", subject=deed.subject)
        if asked is None or asked.id in {one.data["request"] for one in self._of(deed.kind, subject=deed.subject)}:
            return False
        given = self._of("deployment.authorised", subject=deed.subject)
        return not any(one.index > asked.index and one.data["model"] == asked.data["model"] for one in given)

    def _deployment_authorised(self, deed: Deed) -> bool:
        made = self._registration(deed.data["model"])
        if made is None or made.data["digest"] != deed.data["digest"]:
            return False
        rule = self._rule(deed.environment, made)
        if rule is None:
            return False
        if self._is_held(deed) and not deed.data.get("reason"):
            return False
        rests = not deed.data.get("emergency") and (rule["approvals"] or rule.get("gate"))
        if self._stopped(made, deed.kind, self._measured(made) if rests else ()):
            return False
        standing = [
            one for one in self._of("approval.granted", subject=made.subject)
            if (one.data["environment"], one.data["digest"]) == (deed.environment, made.data["digest"])
            and self._stands(one, made, rule, deed.at)
        ]  # fmt: skip
        if not {one.id for one in standing}.issuperset(deed.data.get("approvals") or ()):
            return False
        if deed.data.get("emergency"):
            return deed.at < moment(deed.data["emergency"]["review_by"]) <= deed.at + 30 * _DAY
        if rule["approvals"] and rule["evaluation"] and not self._passed(made):
            return False
        sides = {frozenset(self._persons(self._behind(one)) or ()) for one in standing}
        enough = any(
            all(not one & other for one, other in combinations(chosen, 2))
            for chosen in combinations(sides, rule["approvals"])
        )
        roles = {role for one in standing for role in self._enrolled_as(one.actor)}
        if not enough or not roles.issuperset(rule.get("roles", ())):
            return False
        return rule.get("gate") is None or self._gate_opens(deed, made, rule["gate"], rule["gate_digest"])

    def _is_held(self, deed: Deed) -> bool:
        """Whether the last hold of these bytes by that name, in that deployment, is still to be answered."""
        about, last = (deed.data["model"], deed.data["digest"]), None
        live, there = None, set[tuple[Any, Any]]()
        broken: dict[str, Deed] = {}
        for one in (one for one in self.deeds if one.subject == deed.subject):
            which = (one.data.get("model"), one.data.get("digest"))
            match one.kind:
                case "deployment.held" if which == about:
                    last = (one, live == about)
                case "deployment.authorised" if which == about:
                    last = None
                case "deployment.completed" | "deployment.promoted" | "rollback.completed":
                    last, live, there = last if which == about else None, which, set()
                case "canary.stage_entered" if which != live:
                    there.add(which)
                case "canary.aborted" if which in there:
                    last, there = None if which == about else last, there - {which}
                case "slo.breached":
                    broken[one.id] = one
                case "slo.recovered":
                    again = {
                        name for name, breach in broken.items() if breach.data["slo"] == one.data["slo"]
                        and (not one.data.get("model") or breach.data.get("model") in (None, one.data["model"]))
                    }  # fmt: skip
                    last = None if last and last[1] and last[0].data.get("trigger") in again else last
                    broken = {name: breach for name, breach in broken.items() if name not in again}
        return last is not None

    def _validations(self, made: Deed, before: int) -> Iterator[Deed]:
        for deed in self._of("validation.completed", stream=made.stream):
            mine = deed.version in ("", made.version) and deed.data.get("digest") in (None, made.data["digest"])
            if mine and deed.index < before:
                yield deed

    def _gate_opens(self, deed: Deed, made: Deed, policy: str, pinned: str) -> bool:
        ran = [
            one for one in self._of("gate.evaluated", subject=made.subject)
            if one.index > made.index and one.data["policy"] == policy and self._mode(one) == "enforce"
            and one.data["environment"] == deed.environment
        ]  # fmt: skip
        if not ran or ran[-1].data["digest"] != made.data["digest"] or ran[-1].data["result"] != "allow":
            return False
        gate = ran[-1]
        if gate.data.get("deployment") != deed.subject:
            return False
        known = self._of("policy.defined", subject=gate.data["policy"])
        defined = {one.data["digest"] for one in known}
        if any(self._mode(one) != "enforce" for one in known) or (
            gate.data["policy_digest"] != pinned
            or pinned not in defined
            or any(self._of("policy.retired", subject=gate.data["policy"]))
        ):
            return False
        if deed.at >= min(gate.at, moment(gate.data["as_of"])) + _HOUR:
            return False
        standing, _, gone = self._evaluations(made, deed.index)
        mine = {one.id: one for one in self._validations(made, EVER)}
        more = [*mine.values(), *standing, *self._failed_under_another_name(made)]
        more += [one for one in self._of("validation.withdrawn", stream=made.stream) if one.data["validation"] in mine]
        more += [one for one in self._of("risk.classified", stream=made.stream) if one.version in ("", made.version)]
        own = [*self._of("contract.defined", subject=made.subject)]
        more += own or self._of("contract.defined", subject=made.stream)
        more += self._of("deployment.completed", "deployment.promoted", "rollback.completed", subject=deed.subject)
        if max((*gone.values(), *(one.index for one in more)), default=-1) >= gate.data["size"]:
            return False
        return all(self._waived(deed, check["waiver"]) for check in gate.data["checks"] if check["result"] == "waived")

    def _waived(self, deed: Deed, name: str) -> bool:
        """A waiver stands for a decision; where its uses are counted, one went to it, and to no other."""
        asked = self._waiver(name)[0]
        if asked is None or not self._waiver_stands(name, deed.data["model"], deed.at):
            return False
        if self._uses(asked) == float("inf"):
            return True
        mine = [
            one.index for one in self._of("waiver.used", subject=name)
            if (one.data["deployment"], one.data["model"]) == (deed.subject, deed.data["model"])
        ]  # fmt: skip
        given = [one.index for one in self._given(deed.subject, deed.data["model"])]
        return max(mine, default=-1) > max(given, default=-1) and self._used(name) < self._uses(asked)

    def _emergency_reviewed(self, deed: Deed) -> bool:
        urgent = self._named(deed.data["decision"], "deployment.authorised", subject=deed.subject)
        reviewed = {one.data["decision"] for one in self._of("emergency.reviewed", subject=deed.subject)}
        if urgent is None or not urgent.data.get("emergency") or urgent.id in reviewed:
            return False
        return self._others(self._behind(deed), urgent.actors)
