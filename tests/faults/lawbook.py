"""What the governed life cycle allows, in the words of ADR 26 and 27: a list of deeds, looked through from the start.

It shares no code with `ledger.domain`: nothing is folded or kept, every question is asked of the whole list again. It
knows nothing of stolen keys, of actors who leave and of roles that are granted later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_HOUR, _DAY = 3_600_000_000, 86_400_000_000
_EVER = 2**62
_TIERS = ("low", "medium", "high")
_STOPPED = ("approval.requested", "approval.granted", "deployment.requested", "deployment.authorised")
_FACTS = ("emitter", "deployer")
#: Who may do what; what is not here anybody may.
_ROLES: Mapping[str, tuple[str, ...]] = {
    "approval.requested": ("owner", "emitter"), "approval.withdrawn": ("owner", "emitter"),
    "approval.granted": ("approver",), "approval.rejected": ("approver",), "approval.revoked": ("approver",),
    "approval.delegated": ("approver",), "approval.condition_met": ("approver", "validator"),
    "waiver.requested": ("owner", "emitter"), "waiver.granted": ("approver",), "waiver.denied": ("approver",),
    "waiver.revoked": ("approver", "owner"), "waiver.used": ("deployer",),
    "policy.defined": ("admin", "validator"), "policy.retired": ("admin", "validator"),
    "gate.evaluated": ("emitter", "owner", "validator", "approver", "deployer"),
    "deployment.requested": ("owner", "deployer", "emitter"), "deployment.authorised": ("deployer",),
    "deployment.completed": _FACTS, "deployment.promoted": _FACTS, "canary.stage_entered": _FACTS,
    "emergency.reviewed": ("approver", "validator", "auditor"), "quarantine.released": ("approver", "validator"),
    "risk.classified": ("owner", "validator"), "version.retired": ("owner", "deployer"),
    "evaluation.completed": ("emitter", "validator"), "evaluation.invalidated": ("emitter", "validator"),
    "validation.completed": ("validator",), "documentation.attached": ("emitter", "owner", "validator", "auditor"),
}  # fmt: skip


def moment(text: str | None) -> int:
    """Microseconds since the Unix epoch; for ever when there is none."""
    if text is None:
        return _EVER
    # Whole numbers throughout: a float has too few digits for microseconds.
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@dataclass(frozen=True)
class Deed:
    """An event, and its place once it has one."""

    id: str
    actor: str
    kind: str
    subject: str
    data: Mapping[str, Any]
    behalf: str | None
    index: int
    at: int

    @property
    def stream(self) -> str:
        return self.subject.partition("@")[0]

    @property
    def version(self) -> str:
        return self.subject.partition("@")[2]

    @property
    def environment(self) -> str:
        return self.subject.partition(":")[2].partition("/")[0]

    @property
    def actors(self) -> set[str]:
        return {self.actor} | ({self.behalf} if self.behalf else set())


@dataclass
class Lawbook:
    """All that was done, and what may be done next.

    Attributes:
        deeds: what is recorded, in order.
        leaves: leaf hashes of the log.
    """

    deeds: list[Deed] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)

    def allows(self, deed: Deed) -> bool:
        """Whether a deed is legal behind those that are recorded."""
        if deed.actor != "root" and not self._role(deed):
            return False
        if deed.behalf is not None and self._enrolment(deed.behalf) is None:
            return False
        asked = getattr(self, "_" + deed.kind.replace(".", "_"), None)
        return self._saw(deed) and (asked is None or bool(asked(deed)))

    # -- looking things up -----------------------------------------------------------------------

    def _of(self, *kinds: str, **wanted: str) -> Iterator[Deed]:
        """Deeds of some kinds, whose attributes are as wanted."""
        for deed in self.deeds:
            if deed.kind in kinds and all(getattr(deed, name) == value for name, value in wanted.items()):
                yield deed

    def _named(self, event_id: str, *kinds: str, **wanted: str) -> Deed | None:
        return next((deed for deed in self._of(*kinds, **wanted) if deed.id == event_id), None)

    def _enrolment(self, actor: str) -> Deed | None:
        return next(self._of("actor.enrolled", subject=f"actor:{actor}"), None)

    def _enrolled_as(self, actor: str) -> tuple[str, ...]:
        found = self._enrolment(actor)
        return () if found is None else tuple(found.data["roles"])

    def _handed_on(self, deed: Deed) -> set[str]:
        """Who lets the author approve for a while, by the time of the deed."""
        given = self._of("approval.delegated", subject=f"actor:{deed.actor}")
        return {one.actor for one in given if one.index < deed.index and deed.at < moment(one.data["until"])}

    def _role(self, deed: Deed) -> bool:
        wanted = _ROLES.get(deed.kind, ())
        if not wanted or set(wanted) & set(self._enrolled_as(deed.actor)):
            return True
        return "approver" in wanted and bool(self._handed_on(deed))

    def _saw(self, deed: Deed) -> bool:
        """What a decision names as seen is in the log."""
        return all(
            item["index"] < len(self.leaves) and self.leaves[item["index"]].hex() == item["leaf_hash"]
            for item in deed.data.get("evidence") or ()
        )

    def _persons(self, actors: Iterable[str]) -> set[str] | None:
        found = set()
        for actor in actors:
            one = self._enrolment(actor)
            if one is None:
                return None
            found.add(one.data.get("responsible") or one.data.get("person") or actor)
        return found

    def _others(self, mine: Iterable[str], theirs: Iterable[str] | None) -> bool:
        """Shown to be other persons."""
        one, other = self._persons(mine), None if theirs is None else self._persons(theirs)
        return one is not None and other is not None and not one & other

    def _behind(self, deed: Deed) -> set[str]:
        """Who decides: the author, for whom, and who handed approving on to it."""
        return deed.actors | (set() if "approver" in self._enrolled_as(deed.actor) else self._handed_on(deed))

    def _registration(self, model: str) -> Deed | None:
        return next(self._of("version.registered", subject=model), None)

    def _makers(self, made: Deed, also: Iterable[str] = ()) -> set[str] | None:
        runs = list(self._of("run.started", "run.completed", subject=made.data.get("run") or ""))
        if made.data.get("run") and not runs:
            return None
        return made.actors | set(also) | {actor for run in runs for actor in run.actors}

    def _tier(self, made: Deed) -> str:
        """The last said of the version since it is one, or of its model; of before only what is higher."""
        said = [
            deed for deed in self._of("risk.classified", stream=made.stream)
            if deed.version == "" or (deed.version == made.version and deed.index > made.index)
        ]  # fmt: skip
        if not said:
            return str(made.data["tier"])
        last = str(said[-1].data["tier"])
        return last if said[-1].index > made.index else max(last, str(made.data["tier"]), key=_TIERS.index)

    def _rules(self) -> Mapping[str, Any]:
        *_, last = self._of("ledger.created", "ledger.rules_changed")
        found: Mapping[str, Any] = last.data["rules"]
        return found

    def _rule(self, environment: str, made: Deed) -> Mapping[str, Any] | None:
        tier = self._tier(made)
        for rule in self._rules()["rules"]:
            if rule["environment"] in ("*", environment) and rule["tier"] in ("*", tier):
                found: Mapping[str, Any] = rule
                return found
        return None

    # -- stops -----------------------------------------------------------------------------------

    def _quarantined(self, stream: str, version: str) -> bool:
        """Whether a thing, or all its versions, is in a quarantine that nobody let go."""
        gone = {deed.data["quarantine"] for deed in self._of("quarantine.released", stream=stream)}
        placed = self._of("quarantine.placed", stream=stream)
        return any(deed.id not in gone and deed.version in ("", version) for deed in placed)

    def _read(self, names: Iterable[str]) -> set[str]:
        """What was read, also through feature sets."""
        found, left = set[str](), list(names)
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                stream, _, version = name.partition("@")
                for deed in self._of("featureset.defined", stream=stream):
                    if deed.version in ("", version):
                        left += [ref["subject"] for ref in deed.data.get("inputs", ())]
        return found

    def _stopped(self, made: Deed, decision: str) -> bool:
        own = self._rules().get("stops")
        stops = [{"decision": name, "states": ("quarantined", "retired")} for name in _STOPPED] if own is None else own
        states = {state for stop in stops if stop["decision"] == decision for state in stop["states"]}
        runs = self._of("run.started", "run.completed", subject=made.data.get("run") or "")
        read = self._read(ref["subject"] for run in runs for ref in run.data.get("inputs", ()))
        things = [(made.stream, made.version), *((n.partition("@")[0], n.partition("@")[2]) for n in read)]
        retired = any(one.index > made.index for one in self._of("version.retired", subject=made.subject))
        quarantined = any(self._quarantined(*thing) for thing in things)
        return ("quarantined" in states and quarantined) or ("retired" in states and retired)

    # -- evaluations and approvals ---------------------------------------------------------------

    def _evaluations(self, made: Deed, before: int) -> tuple[list[Deed], Deed | None, dict[str, int]]:
        """The last of each suite, the one that passed, and where the last one of a suite was said not to hold."""
        gone: dict[str, int] = {}
        last: dict[str, Deed] = {}
        passed: Deed | None = None
        for deed in self._of("evaluation.completed", "evaluation.invalidated", subject=made.subject):
            if not made.index < deed.index < before:
                continue
            if deed.kind == "evaluation.invalidated":
                wrong = {suite: deed.index for suite, one in last.items() if one.id == deed.data["evaluation"]}
                last = {suite: one for suite, one in last.items() if suite not in wrong}
                if passed is not None and (passed.id == deed.data["evaluation"] or self._suite(passed) in wrong):
                    passed = next((one for one in reversed(last.values()) if one.data["verdict"] == "pass"), None)
                gone |= wrong
            elif deed.data.get("digest") in (None, made.data["digest"]):
                suite = self._suite(deed)
                last.pop(suite, None)
                gone.pop(suite, None)
                last[suite] = deed
                passed = deed if deed.data["verdict"] == "pass" else passed
        return list(last.values()), passed, gone

    @staticmethod
    def _suite(deed: Deed) -> str:
        return deed.data.get("suite") or deed.data.get("kind") or ""

    def _open(self, request: str, model: str) -> Deed | None:
        closed = {deed.data["request"] for deed in self._of("approval.rejected", "approval.withdrawn", subject=model)}
        return None if request in closed else self._named(request, "approval.requested", subject=model)

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

    def _stands(self, grant: Deed, made: Deed, rule: Mapping[str, Any], now: int) -> bool:
        request = self._open(grant.data["request"], grant.subject)
        if request is None or self._unrevoked(grant.id, grant.subject) is None or now >= self._until(grant, rule):
            return False
        met = {
            one.data["condition"] for one in self._of("approval.condition_met", subject=grant.subject)
            if one.data["approval"] == grant.id
        }  # fmt: skip
        standing, passed, _ = self._evaluations(made, grant.index)
        seen = {item["index"] for item in grant.data.get("evidence") or ()}
        cited = {one.id for one in [*standing, *([passed] if passed else [])] if one.index in seen}
        gone = {one.data["evaluation"] for one in self._of("evaluation.invalidated", subject=grant.subject)}
        if set(range(len(grant.data.get("conditions") or ()))) - met or cited & gone:
            return False
        return self._others(self._behind(grant), self._makers(made, request.actors))

    def _approval_requested(self, deed: Deed) -> bool:
        made = self._registration(deed.subject)
        return (
            made is not None and deed.data["digest"] == made.data["digest"]
            and self._rule(deed.data["environment"], made) is not None and not self._stopped(made, deed.kind)
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
        if found is None or self._stopped(found[0], deed.kind):
            return False
        made, request = found
        rule = self._rule(deed.data["environment"], made)
        if rule is None or deed.at >= moment(deed.data.get("expires_at")):
            return False
        if rule["approvals"] and not self._others(self._behind(deed), self._makers(made, request.actors)):
            return False
        standing, passed, gone = self._evaluations(made, deed.index)
        failed = any(one.data["verdict"] == "fail" for one in standing)
        if rule["evaluation"] and (passed is None or failed or gone):
            return False
        mine = self._of("approval.granted", subject=deed.subject, actor=deed.actor)
        return not any(
            one.data["request"] == request.id and self._unrevoked(one.id, deed.subject) is not None for one in mine
        )

    def _approval_rejected(self, deed: Deed) -> bool:
        return self._decided(deed) is not None

    def _approval_withdrawn(self, deed: Deed) -> bool:
        request = self._open(deed.data["request"], deed.subject)
        asking, mine = (None if request is None else self._persons(request.actors)), self._persons(deed.actors)
        return bool(asking and mine and asking & mine)

    def _approval_revoked(self, deed: Deed) -> bool:
        return self._unrevoked(deed.data["approval"], deed.subject) is not None

    def _approval_condition_met(self, deed: Deed) -> bool:
        grant, made = self._unrevoked(deed.data["approval"], deed.subject), self._registration(deed.subject)
        if grant is None or made is None or deed.data["condition"] >= len(grant.data.get("conditions") or ()):
            return False
        return self._others(self._behind(deed), self._makers(made))

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
        if all(_TIERS.index(deed.data["tier"]) >= _TIERS.index(self._tier(one)) for one in made):
            return True
        return "validator" in self._enrolled_as(deed.actor) and all(
            self._others(deed.actors, self._makers(one, {one.data["owner"]})) for one in made
        )

    def _waiver(self, name: str) -> tuple[Deed | None, Deed | None, bool, int]:
        """Request, grant, whether it was denied or revoked, and when it ends."""
        asked = next(self._of("waiver.requested", subject=name), None)
        granted = next(self._of("waiver.granted", subject=name), None)
        ends = [moment(one.data.get("expires_at")) for one in (asked, granted) if one is not None]
        return asked, granted, any(self._of("waiver.denied", "waiver.revoked", subject=name)), min([_EVER, *ends])

    def _waiver_requested(self, deed: Deed) -> bool:
        fresh = self._waiver(deed.subject)[0] is None
        return fresh and deed.data["model"].startswith("model:") and deed.at < moment(deed.data["expires_at"])

    def _waiver_granted(self, deed: Deed) -> bool:
        asked, granted, ended, until = self._waiver(deed.subject)
        if asked is None or granted is not None or ended or deed.at >= until:
            return False
        return self._others(deed.actors, asked.actors | {asked.data["owner"]})

    def _waiver_denied(self, deed: Deed) -> bool:
        asked, granted, ended, _ = self._waiver(deed.subject)
        return asked is not None and granted is None and not ended

    def _waiver_revoked(self, deed: Deed) -> bool:
        asked, _, ended, _ = self._waiver(deed.subject)
        return asked is not None and not ended

    def _waiver_used(self, deed: Deed) -> bool:
        asked, granted, ended, until = self._waiver(deed.subject)
        if asked is None or granted is None or ended or deed.at >= until:
            return False
        if asked.data.get("single_use") and any(self._of("waiver.used", subject=deed.subject)):
            return False
        model, place = deed.data["model"], deed.data["deployment"].partition(":")[2].partition("/")[0]
        return asked.data["model"] in (model, model.partition("@")[0]) and place == asked.data["environment"]

    def _policy_defined(self, deed: Deed) -> bool:
        before = self._of("policy.defined", subject=deed.subject)
        digest = "sha256:" + hashlib.sha256(deed.data["source"].encode()).hexdigest()
        return deed.data["digest"] == digest and all(one.data["digest"] == digest for one in before)

    def _policy_retired(self, deed: Deed) -> bool:
        return any(self._of("policy.defined", subject=deed.subject))

    def _quarantine_released(self, deed: Deed) -> bool:
        gone = {one.data["quarantine"] for one in self._of("quarantine.released", stream=deed.stream)}
        placed = self._named(deed.data["quarantine"], "quarantine.placed", subject=deed.subject)
        if placed is None or placed.id in gone:
            return False
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
            made is not None and made.data["digest"] == deed.data["digest"] and not self._stopped(made, deed.kind)
        )  # fmt: skip

    def _deployment_authorised(self, deed: Deed) -> bool:
        made = self._registration(deed.data["model"])
        if made is None or made.data["digest"] != deed.data["digest"] or self._stopped(made, deed.kind):
            return False
        rule = self._rule(deed.environment, made)
        if rule is None:
            return False
        if deed.data.get("emergency"):
            return deed.at < moment(deed.data["emergency"]["review_by"]) <= deed.at + 30 * _DAY
        standing = [
            one for one in self._of("approval.granted", subject=made.subject)
            if (one.data["environment"], one.data["digest"]) == (deed.environment, made.data["digest"])
            and self._stands(one, made, rule, deed.at)
        ]  # fmt: skip
        persons = {person for one in standing for person in self._persons({one.actor}) or ()}
        roles = {role for one in standing for role in self._enrolled_as(one.actor)}
        if len(persons) < rule["approvals"] or not roles.issuperset(rule.get("roles", ())):
            return False
        return rule.get("gate") is None or self._gate_opens(deed, made, rule["gate"])

    def _gate_opens(self, deed: Deed, made: Deed, policy: str) -> bool:
        ran = [
            one for one in self._of("gate.evaluated", subject=made.subject)
            if one.index > made.index and one.data["policy"].partition("@")[0] == policy
            and one.data["environment"] == deed.environment
        ]  # fmt: skip
        if not ran or ran[-1].data["digest"] != made.data["digest"] or ran[-1].data["result"] != "allow":
            return False
        gate = ran[-1]
        defined = {one.data["digest"] for one in self._of("policy.defined", subject=gate.data["policy"])}
        if gate.data["policy_digest"] not in defined or any(self._of("policy.retired", subject=gate.data["policy"])):
            return False
        if deed.at >= min(gate.at, moment(gate.data["as_of"])) + _HOUR:
            return False
        standing, _, gone = self._evaluations(made, deed.index)
        if max((*gone.values(), *(one.index for one in standing)), default=-1) >= gate.data["size"]:
            return False
        return all(self._waived(deed, check["waiver"]) for check in gate.data["checks"] if check["result"] == "waived")

    def _waived(self, deed: Deed, name: str) -> bool:
        """A waiver stands for a decision; one for a single use was used for it, and for no other."""
        asked, granted, ended, until = self._waiver(name)
        if asked is None or granted is None or ended or deed.at >= until:
            return False
        used = list(self._of("waiver.used", subject=name))
        if not asked.data.get("single_use"):
            return True
        if not used or (used[-1].data["deployment"], used[-1].data["model"]) != (deed.subject, deed.data["model"]):
            return False
        return not any(one.index > used[-1].index for one in self._of("deployment.authorised", subject=deed.subject))

    def _emergency_reviewed(self, deed: Deed) -> bool:
        urgent = self._named(deed.data["decision"], "deployment.authorised", subject=deed.subject)
        reviewed = {one.data["decision"] for one in self._of("emergency.reviewed", subject=deed.subject)}
        if urgent is None or not urgent.data.get("emergency") or urgent.id in reviewed:
            return False
        return self._others(deed.actors, urgent.actors)
