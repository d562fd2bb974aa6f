"""What approvals rest on, in the words of ADR 26: what they cite, and what suspends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.faults.lawbook import Lawbook
from tests.faults.pastdeeds import EVER, Deed, moment

_ORDER = ("fail", "uncertain", "pass")
_Thing = TypeVar("_Thing")
#: What may be said of data, in the same order.
_DATA = {
    "dataset.quality_assessed": _ORDER, "dataset.consent_changed": ("withdrawn", "limited", "granted"),
    "dataset.deleted": ("deleted",),
}  # fmt: skip
#: Which field tells verdicts of a kind apart.
_VERDICTS = {"artifact.scanned": "scanner", "artifact.verified": "method", "performance.tested": ""}
_PAPERS = ("modelcard.published", "modelcard.revised", "documentation.attached")
_TIERS = ("version.registered", "risk.classified")


def _less(now: Deed, then: Deed | None) -> bool:
    return _ORDER.index(now.verdict) < (1 if then is None else _ORDER.index(then.verdict))


def _worth(deed: Deed | None) -> int:
    """How much is said of data; where nothing is, nothing is known."""
    if deed is None:
        return 1
    return _DATA[deed.kind].index(deed.data.get("status") or deed.data.get("verdict") or "deleted")


@dataclass
class WholeLaw(Lawbook):
    """The lawbook, which also knows what approvals rest on."""

    def _approval_granted(self, deed: Deed) -> bool:
        if not super()._approval_granted(deed):
            return False
        made = self._registration(deed.subject)
        rule = None if made is None else self._rule(deed.data["environment"], made)
        return made is not None and rule is not None and self._cites_enough(deed, made, rule)

    def _stands(self, grant: Deed, made: Deed, rule: Mapping[str, Any], now: int) -> bool:
        return (
            super()._stands(grant, made, rule, now) and not self._gainsaid(grant)
            and self._cites_enough(grant, made, rule)
            and self._still_validated(grant, made) and self._same_contract(grant, made)
            and self._still_gated(grant, made, now) and self._still_fed(grant, made)
            and self._verdicts_stand(grant, made) and self._papers_stand(grant, made)
        )  # fmt: skip

    def _gainsaid(self, grant: Deed) -> bool:
        """Later somebody refused another request there, or one of its persons took an approval back, or lost one."""
        place = grant.data["environment"]
        for no in self._of(
            "approval.rejected", "approval.changes_requested", "approval.revoked", subject=grant.subject
        ):
            if no.index < grant.index:
                continue
            if no.kind != "approval.revoked":
                if no.data["environment"] == place and no.data["request"] != grant.data["request"]:
                    return True
                continue
            gone = self._named(no.data["approval"], "approval.granted", subject=grant.subject)
            if gone is None or gone.id == grant.id or gone.data["environment"] != place:
                continue
            if not self._others(self._behind(grant), self._behind(gone) | self._behind(no)):
                return True
        return False

    def _until(self, grant: Deed, rule: Mapping[str, Any]) -> int:
        ends = [super()._until(grant, rule)]
        for name in {name for gate in self._gates_seen(grant) for name in self._waivers_of(gate)}:
            asked, granted, _, until = self._waiver(name)
            longest = EVER if granted is None or asked is None else granted.at + self._longest(
                grant.subject, asked.data["environment"]
            )  # fmt: skip
            ends += [until, longest]
        return min(ends)

    @staticmethod
    def _seen(grant: Deed) -> set[int]:
        return {item["index"] for item in grant.data.get("evidence") or ()}

    def _cites_enough(self, grant: Deed, made: Deed, rule: Mapping[str, Any]) -> bool:
        """The registration, the last evaluation of each suite, and validations that have not ended, where asked for."""
        asked = [made] if rule["approvals"] else []
        if asked and rule["evaluation"]:
            asked += [one for one in self._evaluations(made, EVER)[0] if one.index < grant.index]
            last = self._last(self._validations(made, EVER))
            asked += [
                one for one in last.values()
                if one.index < grant.index and one.id not in self._withdrawn(made)
                and grant.at < moment(one.data.get("valid_until"))
            ]  # fmt: skip
        return {one.index for one in asked} <= self._seen(grant)

    # -- validations and contracts ---------------------------------------------------------------

    def _last(self, deeds: Iterable[Deed]) -> dict[tuple[str, str], Deed]:
        """What stands about each subject and digest."""
        return self._each(((deed.subject, deed.data.get("digest") or ""), deed) for deed in deeds)

    def _each(self, deeds: Iterable[tuple[_Thing, Deed]]) -> dict[_Thing, Deed]:
        """What stands of verdicts about different things."""
        said: dict[_Thing, list[Deed]] = {}
        for thing, deed in deeds:
            said.setdefault(thing, []).append(deed)
        found = {thing: self._standing(some, lambda one: _ORDER.index(one.verdict)) for thing, some in said.items()}
        return {thing: one for thing, one in found.items() if one is not None}

    def _still_validated(self, grant: Deed, made: Deed) -> bool:
        before, gone = self._withdrawn(made, grant.index), self._withdrawn(made)
        then = self._last(self._validations(made, grant.index))
        now = self._last(self._validations(made, EVER))
        rested = {about: one for about, one in then.items() if one.index in self._seen(grant) and one.id not in before}
        return not any(
            one.id in gone or now[about].id in gone or _less(now[about], one) for about, one in rested.items()
        )

    def _withdrawn(self, made: Deed, before: int = EVER) -> set[str]:
        """Validations that were said not to hold."""
        said = self._of("validation.withdrawn", stream=made.stream)
        return {one.data["validation"] for one in said if one.index < before}

    def _contract(self, made: Deed, before: int) -> Deed | None:
        for subject in (made.subject, made.stream):
            said = [one for one in self._of("contract.defined", subject=subject) if one.index < before]
            if said:
                return said[-1]
        return None

    def _same_contract(self, grant: Deed, made: Deed) -> bool:
        then, now = self._contract(made, grant.index), self._contract(made, EVER)
        if then is None or now is None or then.index not in self._seen(grant):
            return True
        return all(then.data.get(name) == now.data.get(name) for name in ("input_schema", "output_schema", "breaking"))

    # -- other verdicts, cards, documents and tiers ----------------------------------------------

    def _verdicts_stand(self, grant: Deed, made: Deed) -> bool:
        """No load test, scan or check of a signature of these bytes says less than those that it cites."""
        for kind, field in _VERDICTS.items():
            about = [
                one for one in self._of(kind, stream=made.stream)
                if (one.data.get("digest") or (one.version == made.version and made.data["digest"]))
                == made.data["digest"]
            ]  # fmt: skip
            then = self._each((one.data.get(field), one) for one in about if one.index < grant.index)
            then = {by: one for by, one in then.items() if one.index in self._seen(grant)}
            now = self._each((one.data.get(field), one) for one in about)
            for by, last in now.items():
                rested = [then[by]] if by in then else then.values()
                if last.index > grant.index and any(_less(last, one) for one in rested):
                    return False
        return True

    def _papers_stand(self, grant: Deed, made: Deed) -> bool:
        """The card, each document and the tier that it cites are the last ones, or what is says the same."""
        about = [
            one for one in self._of(*_PAPERS, *_TIERS, stream=made.stream)
            if (one.version in ("", made.version) if one.kind != "version.registered" else one.index == made.index)
        ]  # fmt: skip

        def which(one: Deed) -> str:
            return one.kind.partition(".")[0] + str(one.data.get("kind")) if one.kind in _PAPERS else "tier"

        def says(one: Deed) -> str:
            if one.kind == "version.registered":
                return self._tier(made, made.index + 1)
            return str(one.data["digest"] if one.kind in _PAPERS else one.data["tier"])

        then = {which(one): one for one in about if one.index < grant.index}
        now = {which(one): one for one in about}
        return all(says(now[name]) == says(one) for name, one in then.items() if one.index in self._seen(grant))

    # -- gates and waivers -----------------------------------------------------------------------

    def _gates(self, model: str, environment: str, before: int) -> dict[str, Deed]:
        """The last evaluation of each version of a policy."""
        made = self._registration(model)
        return {
            deed.data["policy"]: deed for deed in self._of("gate.evaluated", subject=model)
            if made is not None and made.index < deed.index < before and deed.data["environment"] == environment
            and self._mode(deed) == "enforce"
        }  # fmt: skip

    def _gates_seen(self, grant: Deed) -> list[Deed]:
        """Those that an approval cites."""
        then = self._gates(grant.subject, grant.data["environment"], grant.index)
        return [gate for gate in then.values() if gate.index in self._seen(grant)]

    @staticmethod
    def _waivers_of(gate: Deed) -> set[str]:
        return {check["waiver"] for check in gate.data["checks"] if check["result"] == "waived"}

    def _still_gated(self, grant: Deed, made: Deed, at: int) -> bool:
        now = self._gates(made.subject, grant.data["environment"], EVER)
        for gate in self._gates_seen(grant):
            last = now.get(gate.data["policy"], gate)
            if gate.data["result"] == "allow" and last.data["result"] != "allow":
                return False
            if not all(self._waiver_stands(name, made.subject, at) for name in self._waivers_of(gate)):
                return False
        return True

    # -- what it was made from -------------------------------------------------------------------

    def _still_fed(self, grant: Deed, made: Deed) -> bool:
        """Neither in quarantine, nor of a run that failed since, nor from data that is worse than it was, or gone."""
        if made.index not in self._seen(grant):
            return True
        run = made.data.get("run") or ""
        said = list(self._of("run.started", "run.completed", "run.failed", subject=run))
        if said and said[-1].kind == "run.failed" and said[-1].index > grant.index:
            return False
        if self._quarantined(self._ancestors(made, self._measured(made))):
            return False
        same = (self._registration(name) for name, _ in self._same_as(made.subject, ""))
        runs = {one.data.get("run") for one in same if one is not None}
        told = (one for one in self._of("run.started", "run.completed", "run.failed") if one.subject in runs)
        read = {ref["subject"] for deed in told for ref in deed.data.get("inputs") or ()}
        for name in (one for one in read if one.startswith("dataset:")):
            for kind in _DATA:
                said = [
                    one for one in self._of(kind, stream=name.partition("@")[0])
                    if one.version in ("", name.partition("@")[2])
                ]  # fmt: skip
                then = self._standing((one for one in said if one.index < grant.index), _worth)
                if said and _worth(self._standing(said, _worth)) < _worth(then):
                    return False
        return True
