"""Deeds that are recorded, and what is looked up among them: every question is asked of the whole list again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.unit.authorisation import ANYBODY, EVENTS, OWN

EVER = 2**62
TIERS = ("low", "medium", "high")
_STOPPED = ("approval.requested", "approval.granted", "deployment.requested", "deployment.authorised")
_FACTS = ("emitter", "deployer")
#: Who may decide what, in the words of ADR 26.
ROLES: Mapping[str, tuple[str, ...]] = {
    "approval.requested": ("owner", "emitter"), "approval.withdrawn": ("owner", "emitter"),
    "approval.granted": ("approver",), "approval.rejected": ("approver",), "approval.revoked": ("approver",),
    "approval.changes_requested": ("approver",), "approval.escalated": ("approver",),
    "approval.delegated": ("approver",), "approval.condition_met": ("approver", "validator"),
    "waiver.requested": ("owner", "emitter"), "waiver.granted": ("approver",), "waiver.denied": ("approver",),
    "waiver.revoked": ("approver", "owner"), "waiver.used": ("deployer",),
    "policy.defined": ("admin", "validator"), "policy.retired": ("admin", "validator"),
    "gate.evaluated": ("emitter", "owner", "validator", "approver", "deployer"),
    "deployment.requested": ("owner", "deployer", "emitter"), "deployment.authorised": ("deployer",),
    "deployment.denied": ("deployer",),
    "deployment.completed": _FACTS, "deployment.promoted": _FACTS, "canary.stage_entered": _FACTS,
    "emergency.reviewed": ("approver", "validator", "auditor"), "quarantine.released": ("approver", "validator"),
    "risk.classified": ("owner", "validator"), "version.retired": ("owner", "deployer"),
    "model.decommissioned": ("owner", "deployer"),
    "evaluation.completed": ("emitter", "validator"), "evaluation.invalidated": ("emitter", "validator"),
    "model.owner_changed": ("owner", "admin"),
    "validation.completed": ("validator",), "validation.withdrawn": ("validator",),
    "version.demoted": ("owner", "deployer"), "documentation.attached": ("emitter", "owner", "validator", "auditor"),
}  # fmt: skip
#: The same, with facts as the matrix has them; what is not here anybody may. What is about actors is not judged here.
_MAY: Mapping[str, tuple[str, ...]] = {
    **{kind: tuple(row.split()) for kind, row in EVENTS.items() if row != ANYBODY and kind not in OWN}, **ROLES,
}  # fmt: skip


def moment(text: str | None) -> int:
    """Microseconds since the Unix epoch; for ever when there is none."""
    if text is None:
        return EVER
    # Whole numbers throughout: a float has too few digits for microseconds.
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@dataclass(frozen=True)
class Deed:
    """An event, and its place once it has one; ``when`` is when it happened, by its author, and never after ``at``."""

    id: str
    actor: str
    kind: str
    subject: str
    data: Mapping[str, Any]
    behalf: str | None
    index: int
    at: int
    when: int

    @property
    def stream(self) -> str:
        return self.subject.partition("@")[0]

    @property
    def version(self) -> str:
        return self.subject.partition("@")[2]

    @property
    def verdict(self) -> str:
        """What it says; what measured nothing passed nothing."""
        said = str(self.data["verdict"])
        empty = self.kind == "evaluation.completed" and not self.data.get("metrics")
        return "uncertain" if empty and said == "pass" else said

    @property
    def environment(self) -> str:
        return self.subject.partition(":")[2].partition("/")[0]

    @property
    def actors(self) -> set[str]:
        return {self.actor} | ({self.behalf} if self.behalf else set())


@dataclass
class PastDeeds:
    """All that was done.

    Attributes:
        deeds: what is recorded, in order.
        leaves: leaf hashes of the log.
    """

    deeds: list[Deed] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)

    # -- looking things up -----------------------------------------------------------------------

    def _of(self, *kinds: str, **wanted: str) -> Iterator[Deed]:
        """Deeds of some kinds, whose attributes are as wanted."""
        for deed in self.deeds:
            if deed.kind in kinds and all(getattr(deed, name) == value for name, value in wanted.items()):
                yield deed

    @staticmethod
    def _standing(said: Iterable[Deed], worth: Callable[[Deed], int]) -> Deed | None:
        """The last of some deeds; but one that happened before another, by more than clocks differ, has to say less."""
        stands, newest = None, 0
        for one in said:
            if stands is None or one.when + 120_000_000 >= newest or worth(one) < worth(stands):
                stands = one
            newest = max(newest, one.when)
        return stands

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
        return {
            one.actor for one in given
            if one.index < deed.index and deed.at < moment(one.data["until"]) and self._reached(one.data, deed)
        }  # fmt: skip

    @staticmethod
    def _reached(bounds: Mapping[str, Any], deed: Deed) -> bool:
        """Whether a deed is of the types, about the things and for the environments that are named, if any are."""
        place = deed.environment if deed.subject.startswith("deployment:") else deed.data.get("environment")
        return all((
            not bounds.get("types") or deed.kind in bounds["types"],
            not bounds.get("subjects") or deed.stream in bounds["subjects"],
            not bounds.get("environments") or place in bounds["environments"],
        ))  # fmt: skip

    def _role(self, deed: Deed) -> bool:
        wanted = _MAY.get(deed.kind, ())
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
        """Who decides: the author, for whom, and who handed approving on to it where it has no role of its own."""
        own = set(ROLES.get(deed.kind, ())) & set(self._enrolled_as(deed.actor))
        return deed.actors | (set() if own else self._handed_on(deed))

    def _registration(self, model: str) -> Deed | None:
        return next(self._of("version.registered", subject=model), None)

    def _makers(self, made: Deed, also: Iterable[str] = ()) -> set[str] | None:
        runs = list(self._of("run.started", "run.completed", "run.failed", subject=made.data.get("run") or ""))
        if made.data.get("run") and (not runs or self._made_others(made, runs)):
            return None
        again = self._of("version.composed", "version.registered", subject=made.subject)
        said = [*(one for one in again if one.index > made.index), *self._of_these_bytes(made)]
        return made.actors | set(also) | {actor for one in (*runs, *said) for actor in one.actors}

    def _of_these_bytes(self, made: Deed) -> Iterator[Deed]:
        """What was done for the same bytes under names that the model had for them before."""
        first = {one.subject: one for one in reversed(list(self._of("version.registered", stream=made.stream)))}
        for other in first.values():
            if other.index >= made.index or other.data["digest"] != made.data["digest"]:
                continue
            yield from self._of("version.registered", "version.composed", subject=other.subject)
            runs = list(self._of("run.started", "run.completed", "run.failed", subject=other.data.get("run") or ""))
            if runs and not self._made_others(other, runs):
                yield from runs

    @staticmethod
    def _made_others(made: Deed, runs: list[Deed]) -> bool:
        """Whoever recorded a run first says that it made other things, and nobody that it made this.

        This is these bytes, or this name where no bytes are said.
        """
        said = [(run, ref) for run in runs for ref in run.data.get("outputs") or ()]
        for _, ref in said:
            if made.data["digest"] == ref["digest"] if ref.get("digest") else made.subject == ref["subject"]:
                return False
        return any(run.actor in runs[0].actors for run, _ in said)

    def _owners(self, made: Deed, index: int) -> set[str]:
        """Who owns a version above tier low, or owned its model at some time since it was registered."""
        if self._tier(made) == "low":
            return set()
        said = [
            one for one in self._of("model.registered", "model.owner_changed", subject=made.stream) if one.index < index
        ]  # fmt: skip
        early = [one for one in said if one.index < made.index]
        counted = early[-1:] + [one for one in said if one.index > made.index]
        return {made.data["owner"]} | {one.data["owner"] for one in counted}

    def _tier(self, made: Deed, before: int = EVER) -> str:
        """The last said of the version since it is one, or of its model; at first no lower than what was before it."""
        said = [deed for deed in self._of("risk.classified", stream=made.stream) if deed.index < before]
        since = [deed for deed in said if deed.version in ("", made.version) and deed.index > made.index]
        if since:
            return str(since[-1].data["tier"])
        whole = [str(deed.data["tier"]) for deed in said if deed.version == "" and deed.index < made.index]
        every = {one.subject: one for one in reversed(list(self._of("version.registered", stream=made.stream)))}
        earlier = [self._tier(one, made.index) for one in every.values() if one.index < made.index]
        return max([str(made.data["tier"]), *whole[-1:], *earlier], key=TIERS.index)

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

    def _waiver_days(self, place: str, tier: str) -> int:
        """For how many days a check may be left unmet: a month at the highest tier, else a quarter."""
        own = self._rules().get("waivers")
        if own is None:
            return 30 if tier == "high" else 90
        fitting = (row for row in own if row["environment"] in ("*", place) and row["tier"] in ("*", tier))
        return next((int(row["days"]) for row in fitting), 0)

    def _used(self, name: str) -> int:
        """How many authorisations took a use: one behind the last use for that version there, or behind several."""
        took = set[int]()
        for use in self._of("waiver.used", subject=name):
            given = [one.index for one in self._given(use.data["deployment"], use.data["model"])]
            took |= set([one for one in given if one > use.index][:1])
        return len(took)

    def _given(self, deployment: str, model: str) -> Iterator[Deed]:
        """Authorisations of a version in a deployment; one in an emergency rests on no waiver."""
        for deed in self._of("deployment.authorised", subject=deployment):
            if deed.data["model"] == model and not deed.data.get("emergency"):
                yield deed

    # -- stops -----------------------------------------------------------------------------------

    def _made_from(self, name: str) -> Iterator[tuple[str, str]]:
        """What a thing was made from, and the bytes that were named."""
        stream, _, version = name.partition("@")
        refs: list[Mapping[str, Any]] = []
        for deed in self._of("run.started", "run.completed", subject=name):
            refs += deed.data.get("inputs") or ()
        for deed in self._of("featureset.defined", stream=stream):
            refs += deed.data.get("inputs") or () if deed.version in ("", version) else ()
        for deed in self._of("dataset.registered", subject=name):
            said = [ref for ref in deed.data.get("refs") or () if ref["role"] == "derived-from"]
            refs += [ref for ref in said if ref["subject"].partition("@")[0] != stream]
        made = self._registration(name)
        for deed in self._of("version.composed", subject=name) if made is not None else ():
            refs += deed.data["parents"] if deed.index > made.index else ()
        if made is not None and made.data.get("run"):
            yield made.data["run"], ""
        yield from ((ref["subject"], ref.get("digest") or "") for ref in refs)

    def _ancestors(self, made: Deed, measured: Iterable[Deed]) -> set[tuple[str, str]]:
        """The version, what it was made from and measured on, and what that was made from, with their bytes."""
        tests = [one for one in measured if one.data.get("dataset")]
        left = [(made.subject, ""), *((one.data["dataset"], one.data.get("dataset_digest") or "") for one in tests)]
        found = set[tuple[str, str]]()
        while left:
            thing = left.pop()
            if thing not in found:
                found.add(thing)
                left += [*self._made_from(thing[0]), *self._same_as(*thing)]
        return found | {(name, digest) for name, _ in found for digest in self._bytes(name)}

    def _same_as(self, name: str, digest: str) -> Iterator[tuple[str, str]]:
        """Every version of a model or a data set that is the same thing: registered with these bytes."""
        every = list(self._of("dataset.registered", "version.registered", stream=name.partition("@")[0]))
        known = {digest} | {one.data["digest"] for one in every if one.subject == name}
        yield from ((one.subject, one.data["digest"]) for one in every if one.data["digest"] in known)

    def _bytes(self, name: str) -> set[str]:
        """The bytes that a name, or each version of it where it has none, was registered with."""
        stream, _, version = name.partition("@")
        said = self._of("dataset.registered", "version.registered", stream=stream)
        return {str(deed.data["digest"]) for deed in said if version in ("", deed.version)}

    def _quarantined(self, things: set[tuple[str, str]]) -> bool:
        """Whether one of these things, or its bytes, is in a quarantine that nobody let go."""
        gone = {deed.data["quarantine"] for deed in self._of("quarantine.released")}
        names, known = {name for name, _ in things}, {digest for _, digest in things if digest}
        return any(
            deed.id not in gone and (
                any(deed.subject in (name, name.partition("@")[0]) for name in names)
                or self._bytes(deed.subject) & known
            ) for deed in self._of("quarantine.placed")
        )  # fmt: skip

    def _stopped(self, made: Deed, decision: str, measured: Iterable[Deed]) -> bool:
        own = self._rules().get("stops")
        stops = [{"decision": name, "states": ("quarantined", "retired")} for name in _STOPPED] if own is None else own
        states = {state for stop in stops if stop["decision"] == decision for state in stop["states"]}
        ends = (("version.retired", made.subject), ("model.decommissioned", made.stream))
        retired = any(one.index > made.index for kind, name in ends for one in self._of(kind, subject=name))
        quarantined = self._quarantined(self._ancestors(made, measured))
        return ("quarantined" in states and quarantined) or ("retired" in states and retired)
