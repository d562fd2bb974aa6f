"""What may be drawn in a life under the governed life cycle: one deed each, by anybody, about anything."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from ledger.events.ledgers import RuleSet
from tests.contract.support import digest
from tests.faults.governednext import GovernedNext
from tests.faults.governedpeople import (
    APPROVERS,
    BOUNDS,
    DAY,
    ENVIRONMENTS,
    HOUR,
    MODELS,
    PEOPLE,
    POLICIES,
    READ,
    RULES,
    SOURCE,
    THINGS,
    WAIVERS,
    evaluation_of,
    policy_of,
)


class GovernedDeeds(GovernedNext):
    """The rules for single deeds."""

    @initialize(rules=st.sampled_from(RULES), same=st.booleans())
    def begin(self, rules: RuleSet, same: bool) -> None:
        self.same_bytes = same
        self.found(rules)
        self.sign_heads()
        for actor, (kind, roles, body) in PEOPLE.items():
            by = "root" if "person" in body else "p-admin"
            self._enrol(actor, self._new_key(actor), kind, roles, by=by, **body)
        read = {"inputs": [{"role": "input", "subject": name} for name in ("dataset:d@1", "featureset:f")]}
        self.do("trainer", "featureset.defined", "featureset:f",
                {"digest": digest("f"), "inputs": [{"role": "input", "subject": "dataset:raw@1"}]})  # fmt: skip
        for name in ("dataset:raw@1", "dataset:copy@1"):
            self.do("trainer", "dataset.registered", name, {"digest": digest("raw")})
        refs = [{"role": "derived-from", "subject": name} for name in ("dataset:d@2", "dataset:g@0")]
        self.do("trainer", "dataset.registered", "dataset:g@1", {"digest": digest("g"), "refs": refs})
        self.do("trainer", "dataset.registered", "dataset:g@2", {"digest": digest("g")})
        self.do("trainer", "run.completed", "run:r", read)
        self.do("p-plain", "policy.defined", "policy:p@1", policy_of(SOURCE))
        self._register("model:m@1", "high")
        self.do("trainer", "evaluation.completed", "model:m@1", evaluation_of(self.bytes_of("model:m@1"), "pass"))

    def _register(self, model: str, tier: str, run: str | None = "run:r") -> None:
        body = {"digest": self.bytes_of(model), "owner": "p-author", "tier": tier, "run": run}
        self.do("trainer", "version.registered", model, body)

    # -- rules -----------------------------------------------------------------------------------

    models, environments = st.sampled_from(MODELS), st.sampled_from(ENVIRONMENTS)
    approvers, back = st.sampled_from(APPROVERS), st.integers(0, 2)
    modes = st.sampled_from((None,) * 8 + ("enforce", "warn", "shadow"))
    rarely, mostly = st.sampled_from((False,) * 9 + (True,)), st.sampled_from((True,) * 5 + (False,))
    reasons = st.sampled_from((None, "a known peak"))
    spans = st.sampled_from((None, None, HOUR, DAY, 0))
    lately = st.sampled_from((0,) * 6 + (HOUR // 60, HOUR, DAY))
    owners = st.sampled_from(("p-author",) * 3 + ("p-second", "nobody"))

    @rule(span=st.sampled_from((1, HOUR // 2, HOUR, DAY)))
    def time_passes(self, span: int) -> None:
        self.now += span

    @rule(model=models, tier=st.sampled_from(("low", "medium", "high")),
          run=st.sampled_from((None, "run:r", "run:r", "run:never")), owner=owners, wrong=rarely,
          actor=st.sampled_from(("trainer", "trainer", "p-second")))  # fmt: skip
    def register(
        self, *, model: str, tier: str, run: str | None, owner: str, wrong: bool, actor: str = "trainer"
    ) -> None:
        body = {"digest": digest("x") if wrong else self.bytes_of(model), "owner": owner, "tier": tier, "run": run}
        self.do(actor, "version.registered", model, body)

    @rule(model=st.sampled_from(("model:m", "model:n")), owner=owners, actor=st.sampled_from(("p-second", "p-plain")))
    def change_owner(self, model: str, owner: str, actor: str) -> None:
        self.do(actor, "model.owner_changed", model, {"owner": owner})

    @rule(actor=st.sampled_from(("trainer", "bot", "p-plain")), read=st.sampled_from((None, None, *READ)))
    def run_again(self, actor: str, read: str | None) -> None:
        """Whoever works on a run is one of its makers."""
        inputs = [] if read is None else [{"role": "input", "subject": read}]
        self.do(actor, "run.started", "run:r", {"inputs": inputs})

    @rule(model=models, way=st.sampled_from(("name", "name", "bytes", "both", "other bytes")), sure=rarely,
          actor=st.sampled_from(("trainer", "trainer", "bot")))  # fmt: skip
    def run_made(self, model: str, way: str, sure: bool, actor: str) -> None:
        """A run is the run of what its first recorder says that it made, and of nothing else; others only add."""
        if not sure:
            return
        found = {"role": "output", "subject": "artifact:x" if way == "bytes" else model}
        found |= {} if way == "name" else {"digest": digest("raw") if way == "other bytes" else self.bytes_of(model)}
        self.do(actor, "run.completed", "run:r", {"outputs": [found]})

    @rule(model=models, parent=st.sampled_from(("model:n@1", "model:m@2", "model:other@1")), wrong=rarely)
    def compose(self, model: str, parent: str, wrong: bool) -> None:
        found = {"role": "parent", "subject": parent, "digest": digest("raw") if wrong else self.bytes_of(parent)}
        self.do("trainer", "version.composed", model, {"parents": [found]})

    @rule(thing=st.sampled_from(("dataset:d@1", "dataset:d", "dataset:d@2", "dataset:raw@1")),
          verdict=st.sampled_from(("pass", "uncertain", "fail")), late=lately)  # fmt: skip
    def assess(self, thing: str, verdict: str, late: int = 0) -> None:
        self.do("trainer", "dataset.quality_assessed", thing, {"verdict": verdict}, late=late)

    @rule(thing=st.sampled_from(("dataset:d@1", "dataset:d", "dataset:d@2")),
          status=st.sampled_from(("granted", "limited", "withdrawn", None)), late=lately)  # fmt: skip
    def consent(self, thing: str, status: str | None, late: int = 0) -> None:
        if status is None:
            self.do("trainer", "dataset.deleted", thing, {"reason": "retention"}, late=late)
        else:
            self.do("trainer", "dataset.consent_changed", thing, {"status": status}, late=late)

    @rule(subject=st.sampled_from(("model:m", *MODELS)), verdict=st.sampled_from(("pass", "pass", "uncertain", "fail")),
          kind=st.sampled_from(("artifact.scanned", "artifact.verified", "performance.tested")),
          by=st.sampled_from(("a", "a", "b")), wrong=rarely, named=st.booleans(), late=lately)  # fmt: skip
    def look(
        self, *, subject: str, verdict: str, kind: str, by: str, wrong: bool, named: bool, late: int = 0
    ) -> None:  # fmt: skip
        """Somebody scans a version, checks its signature or tests its speed."""
        of = "model:m@1" if subject == "model:m" else subject
        body = {"verdict": verdict, "digest": digest("x") if wrong else self.bytes_of(of)}
        if kind == "performance.tested":
            body = body if named else {"verdict": verdict}
        else:
            body |= {"scanner": by} if kind == "artifact.scanned" else {"method": by}
        self.do("trainer", kind, subject, body, late=late)

    @rule(subject=st.sampled_from(("model:m", *MODELS)), other=st.booleans())
    def agree(self, subject: str, other: bool) -> None:
        body = {"input_schema": digest("in"), "output_schema": digest("other" if other else "out")}
        self.do("trainer", "contract.defined", subject, body)

    @rule(model=models, verdict=st.sampled_from(("pass", "pass", "pass", "fail", "uncertain")),
          suite=st.sampled_from((None, None, "drift")), wrong=rarely, nothing=rarely,
          data=st.sampled_from((None, None, "dataset:test@1")), late=lately)  # fmt: skip
    def evaluate(
        self, model: str, verdict: str, suite: str | None, wrong: bool, data: str | None = None, *,
        nothing: bool = False, late: int = 0,
    ) -> None:  # fmt: skip
        measured = evaluation_of(digest("x") if wrong else self.bytes_of(model), verdict)
        measured |= {"metrics": {}} if nothing else {}
        self.do("trainer", "evaluation.completed", model, measured | {"suite": suite, "dataset": data}, late=late)

    @rule(model=models, back=back, sure=rarely)
    def invalidate(self, model: str, back: int, sure: bool) -> None:
        if sure:
            body = {"evaluation": self.pick("evaluation.completed", back), "reason": "leak"}
            self.do("trainer", "evaluation.invalidated", model, body)

    @rule(subject=st.sampled_from(("model:m", *MODELS)), span=st.sampled_from((0, HOUR, DAY)), paper=st.booleans(),
          verdict=st.sampled_from(("pass", "pass", "uncertain", "fail")), wrong=rarely,
          kind=st.sampled_from(("DPIA", "DPIA", "FRIA", "card")), late=lately)  # fmt: skip
    def document(
        self, *, subject: str, span: int, paper: bool, verdict: str = "pass", wrong: bool = False, kind: str = "DPIA",
        late: int = 0,
    ) -> None:  # fmt: skip
        if paper and kind == "card":
            self.do("p-author", "modelcard.revised", subject, {"digest": digest("y" if wrong else "card")})
        elif paper:
            body = {"kind": kind, "digest": digest("y" if wrong else "dpia"), "expires_at": self.later(span)}
            self.do("p-author", "documentation.attached", subject, body)
        else:
            body = {"verdict": verdict, "independence": "another team", "valid_until": self.later(span)}
            body |= {"digest": digest("x")} if wrong else {}
            self.do("p-approver", "validation.completed", subject, body, late=late)

    @rule(model=models, back=back, sure=rarely, actor=st.sampled_from(("p-approver", "p-second", "p-plain")))
    def unvalidate(self, model: str, back: int, sure: bool, actor: str) -> None:
        if sure:
            body = {"validation": self.pick("validation.completed", back), "reason": "too little"}
            self.do(actor, "validation.withdrawn", model, body)

    @rule(model=models, environment=environments, sure=rarely, actor=st.sampled_from(("p-author", "p-deployer")))
    def demote(self, model: str, environment: str, sure: bool, actor: str) -> None:
        if sure:
            self.do(actor, "version.demoted", model, {"environment": environment, "reason": "drifts"})

    @rule(model=models, environment=environments, actor=st.sampled_from(("p-author", "trainer", "p-second", "bot")),
          behalf=st.sampled_from((None, None, "p-approver", "nobody")), wrong=rarely,
          amends=st.sampled_from((None, None, 0, 1)))  # fmt: skip
    def request(
        self,
        model: str,
        environment: str,
        actor: str,
        behalf: str | None,
        wrong: bool,
        *,
        amends: int | None = None,
    ) -> None:
        body = {"environment": environment, "digest": digest("x") if wrong else self.bytes_of(model)}
        if amends is not None:
            sent_back = [one for one in self.reference.law.deeds if one.kind == "approval.changes_requested"]
            chosen = sent_back[-1 - amends % len(sent_back)].data["request"] if sent_back else None
            body["amends"] = chosen or self.pick("approval.requested", amends)
        self.do(actor, "approval.requested", model, body, behalf)

    def _grant(self, model: str, back: int) -> dict[str, Any]:
        """A decision about a request, as far as it is known."""
        chosen = self.pick("approval.requested", back)
        asked = [deed for deed in self.reference.law.deeds if deed.id == chosen]
        environment = asked[0].data["environment"] if asked else "prod"
        return {"request": chosen, "environment": environment, "digest": self.bytes_of(model), "rationale": "fit"}

    @rule(model=models, back=back, actor=approvers, span=spans, conditions=st.integers(0, 1),
          since=st.sampled_from((None, None, 0, HOUR // 2, DAY)), seen=st.sampled_from((0,) * 7 + (20, 40, 60)),
          behalf=st.sampled_from((None, None, None, "p-author")), wrong=rarely, right=mostly)  # fmt: skip
    def approve(
        self, *, model: str, back: int, actor: str, span: int | None = None, conditions: int = 0, seen: int = 0,
        since: int | None = None, behalf: str | None = None, wrong: bool = False, right: bool = False,
    ) -> None:  # fmt: skip
        model = self.about(self.pick("approval.requested", back), model, right=right)
        body = self._grant(model, back) | {
            "expires_at": None if span is None else self.later(span),
            "valid_from": None if since is None else self.later(since),
            "conditions": ["a monitor is on"] * conditions or None, "evidence": self.evidence(seen, wrong=wrong),
        }  # fmt: skip
        if wrong:
            body |= {"environment": "dev", "evidence": self.evidence(seen)}
        self.do(actor, "approval.granted", model, body, behalf)

    @rule(model=models, back=back, actor=approvers, right=mostly)
    def reject(self, model: str, back: int, actor: str, right: bool) -> None:
        model = self.about(self.pick("approval.requested", back), model, right=right)
        self.do(actor, "approval.rejected", model, self._grant(model, back))

    @rule(model=models, back=back, actor=approvers, right=mostly)
    def send_back(self, model: str, back: int, actor: str, right: bool) -> None:
        model = self.about(self.pick("approval.requested", back), model, right=right)
        self.do(actor, "approval.changes_requested", model, self._grant(model, back) | {"changes": ["measure more"]})

    @rule(
        model=models,
        back=back,
        actor=approvers,
        right=mostly,
        to=st.sampled_from(({"to_role": "validator"}, {"to_actor": "p-second"}, {"to_actor": "nobody"}, {})),
    )
    def escalate(self, *, model: str, back: int, actor: str, right: bool, to: dict[str, str]) -> None:  # fmt: skip
        model = self.about(self.pick("approval.requested", back), model, right=right)
        self.do(actor, "approval.escalated", model, self._grant(model, back) | to)

    @rule(model=models, back=back, actor=st.sampled_from(("p-author", "trainer", "p-second", "bot")), right=mostly)
    def withdraw(self, model: str, back: int, actor: str, right: bool) -> None:
        request = self.pick("approval.requested", back)
        self.do(actor, "approval.withdrawn", self.about(request, model, right=right), {"request": request})

    @rule(model=models, back=back, actor=approvers, right=mostly)
    def revoke(self, model: str, back: int, actor: str, right: bool) -> None:
        approval = self.pick("approval.granted", back)
        body = {"approval": approval, "rationale": "bias"}
        self.do(actor, "approval.revoked", self.about(approval, model, right=right), body)

    @rule(model=models, back=back, actor=approvers, condition=st.sampled_from((0, 0, 0, 1)), right=mostly)
    def meet(self, model: str, back: int, actor: str, condition: int, right: bool) -> None:
        approval = self.pick("approval.granted", back)
        body = {"approval": approval, "condition": condition}
        self.do(actor, "approval.condition_met", self.about(approval, model, right=right), body)

    @rule(actor=approvers, to=st.sampled_from(("p-plain", "p-deployer", "trainer", "p-alias")),
          span=st.sampled_from((0, HOUR, DAY)), bounds=st.sampled_from(BOUNDS))  # fmt: skip
    def delegate(self, actor: str, to: str, span: int, bounds: dict[str, list[str]]) -> None:
        self.do(actor, "approval.delegated", f"actor:{to}", {"until": self.later(span), "reason": "leave", **bounds})

    @rule(subject=st.sampled_from(("model:m", "model:n", *MODELS)), tier=st.sampled_from(("low", "medium", "high")),
          actor=st.sampled_from(("p-second", "p-approver", "p-alias", "p-author", "p-plain")))  # fmt: skip
    def classify(self, subject: str, tier: str, actor: str) -> None:
        self.do(actor, "risk.classified", subject, {"tier": tier, "rationale": "who is affected"})

    @rule(waiver=st.sampled_from(WAIVERS), model=st.sampled_from(("model:m", "model:m@1", "dataset:d")),
          environment=environments, span=st.sampled_from((0, HOUR, DAY, 29 * DAY, 89 * DAY, 91 * DAY)),
          single=st.booleans(), uses=st.sampled_from((None, None, 1, 2)),
          check=st.sampled_from(("drift", "drift", "dr*", "*")),
          owner=st.sampled_from(("p-author", "p-second", "p-approver", "nobody")))  # fmt: skip
    def ask_for_waiver(
        self, *, waiver: str, model: str, environment: str, span: int, single: bool, owner: str, check: str = "drift",
        uses: int | None = None,
    ) -> None:  # fmt: skip
        body = {
            "check": check, "model": model, "environment": environment, "owner": owner, "reason": "late data",
            "compensating_control": "a person looks", "expires_at": self.later(span), "single_use": single,
            "max_uses": uses,
        }  # fmt: skip
        self.do("trainer", "waiver.requested", waiver, body)

    @rule(waiver=st.sampled_from(WAIVERS), actor=approvers, span=spans)
    def grant_waiver(self, waiver: str, actor: str, span: int | None) -> None:
        body = {"rationale": "for now", "expires_at": None if span is None else self.later(span)}
        self.do(actor, "waiver.granted", waiver, body)

    @rule(waiver=st.sampled_from(WAIVERS), actor=approvers, how=st.sampled_from(("denied", "revoked")))
    def end_waiver(self, waiver: str, actor: str, how: str) -> None:
        self.do(actor, f"waiver.{how}", waiver, {"rationale" if how == "denied" else "reason": "no"})

    @rule(waiver=st.sampled_from(WAIVERS), model=models, environment=environments)
    def use_waiver(self, waiver: str, model: str, environment: str) -> None:
        body = {"deployment": f"deployment:{environment}/x", "model": model}
        self.do("p-deployer", "waiver.used", waiver, body)

    @rule(policy=st.sampled_from(POLICIES), actor=st.sampled_from(("p-plain", "p-admin", "trainer")),
          source=st.sampled_from((SOURCE, SOURCE, "other: []")), wrong=rarely, mode=modes)  # fmt: skip
    def define_policy(self, *, policy: str, actor: str, source: str, wrong: bool, mode: str | None) -> None:
        body = policy_of(source) | ({"digest": digest("x")} if wrong else {}) | ({"mode": mode} if mode else {})
        self.do(actor, "policy.defined", policy, body)

    @rule(policy=st.sampled_from(POLICIES), actor=st.sampled_from(("p-plain", "p-author")), sure=rarely)
    def retire_policy(self, policy: str, actor: str, sure: bool) -> None:
        if sure:
            self.do(actor, "policy.retired", policy, {"reason": "old"})

    def _gate(self, model: str, environment: str, result: str = "allow", **more: Any) -> None:
        body = {
            "environment": environment, "policy": "policy:p@1", "policy_digest": policy_of(SOURCE)["digest"],
            "digest": self.bytes_of(model), "input_digest": digest("document"), "size": len(self.reference.rows),
            "as_of": self.later(0), "result": result, "checks": [], "engine": "cel 1",
            "deployment": f"deployment:{environment}/x",
        }  # fmt: skip
        self.do("p-deployer", "gate.evaluated", model, body | more)

    @rule(model=models, environment=environments, policy=st.sampled_from(POLICIES),
          result=st.sampled_from(("allow", "allow", "allow", "deny")), waiver=st.sampled_from((None, *WAIVERS)),
          before=st.sampled_from((0, 0, HOUR // 2)), wrong=rarely, behind=st.sampled_from((0, 0, 3)),
          mode=modes, place=st.sampled_from(("x", "x", "x", "y", None)))  # fmt: skip
    def run_gate(
        self, *, model: str, environment: str, waiver: str | None, policy: str = "policy:p@1", result: str = "allow",
        before: int = 0, wrong: bool = False, behind: int = 0, mode: str | None = None, place: str | None = "x",
    ) -> None:  # fmt: skip
        checks = [{"check": "drift", "result": "waived", "reason": "x", "waiver": waiver}] if waiver else []
        more = ({"digest": digest("x")} if wrong else {}) | ({"mode": mode} if mode else {})
        where = None if place is None else f"deployment:{environment}/{place}"
        self._gate(model, environment, result, policy=policy, checks=checks, as_of=self.later(-before),
                   size=len(self.reference.rows) - behind, deployment=where, **more)  # fmt: skip

    @rule(model=models, environment=environments, actor=st.sampled_from(("p-author", "p-deployer", "p-approver")))
    def ask_to_deploy(self, model: str, environment: str, actor: str) -> None:
        body = {"model": model, "digest": self.bytes_of(model)}
        self.do(actor, "deployment.requested", f"deployment:{environment}/x", body)

    @rule(environment=environments, back=back, right=mostly, actor=st.sampled_from(("p-deployer", "p-author")))
    def turn_down(self, environment: str, back: int, right: bool, actor: str) -> None:
        chosen = self.pick("deployment.requested", back)
        subject = self.about(chosen, f"deployment:{environment}/x", right=right)
        self.do(actor, "deployment.denied", subject, {"request": chosen, "rationale": "not this week"})

    @rule(model=models, environment=environments, wrong=rarely, named=st.sampled_from((None, None, 0, 1)),
          actor=st.sampled_from(("p-deployer", "p-deployer", "bot", "p-author")), reason=reasons)  # fmt: skip
    def authorise(
        self, *, model: str, environment: str, actor: str, wrong: bool, named: int | None = None,
        reason: str | None = None,
    ) -> None:  # fmt: skip
        body: dict[str, Any] = {"model": model, "digest": digest("x") if wrong else self.bytes_of(model)}
        body["reason"] = reason
        if named is not None:
            body["approvals"] = [self.pick("approval.granted", named)]
        self.do(actor, "deployment.authorised", f"deployment:{environment}/x", body)

    @rule(model=models, environment=environments, actor=st.sampled_from(("p-deployer", "bot")),
          span=st.sampled_from((0, DAY, 30 * DAY, 31 * DAY)), reason=reasons)  # fmt: skip
    def authorise_in_emergency(
        self, model: str, environment: str, actor: str, span: int, reason: str | None = None
    ) -> None:
        # An append is judged as of the last entry, so that the 30 days are counted from there: let that be now.
        self.incident("opened")
        body = {"model": model, "digest": self.bytes_of(model), "reason": reason,
                "emergency": {"reason": "fraud wave", "review_by": self.later(span)}}  # fmt: skip
        self.do(actor, "deployment.authorised", f"deployment:{environment}/x", body)

    @rule(environment=environments, back=back, behalf=st.sampled_from((None, None, "p-deployer")), right=mostly,
          actor=st.sampled_from(("p-approver", "p-plain", "p-deployer")))  # fmt: skip
    def review(self, environment: str, back: int, behalf: str | None, actor: str, right: bool) -> None:
        decision = self.pick("deployment.authorised", back)
        body = {"decision": decision, "verdict": "justified", "rationale": "it was"}
        subject = self.about(decision, f"deployment:{environment}/x", right=right)
        self.do(actor, "emergency.reviewed", subject, body, behalf)

    @rule(
        thing=st.sampled_from(THINGS),
        actor=st.sampled_from(("trainer", "p-deployer", "p-approver")),
        sure=st.booleans(),
    )
    def quarantine(self, thing: str, actor: str, sure: bool) -> None:
        if sure:
            self.do(actor, "quarantine.placed", thing, {"reason": "poisoned"})

    @rule(thing=st.sampled_from(THINGS), back=back, actor=approvers, right=st.booleans())
    def release(self, thing: str, back: int, actor: str, right: bool) -> None:
        chosen = self.pick("quarantine.placed", back)
        subject = self.about(chosen, thing, right=right)
        self.do(actor, "quarantine.released", subject, {"quarantine": chosen, "rationale": "clean"})

    @rule(model=models, sure=rarely)
    def retire(self, model: str, sure: bool) -> None:
        if sure:
            self.do("p-author", "version.retired", model, {"reason": "old"})

    @rule(model=models, often=rarely, sure=rarely)
    def decommission(self, model: str, often: bool, sure: bool) -> None:
        if often and sure:
            self.do("p-author", "model.decommissioned", model.partition("@")[0], {"reason": "old"})

    @rule(rules=st.sampled_from(RULES), actor=st.sampled_from(("root", "root", "p-admin")))
    def change_rules(self, rules: RuleSet, actor: str) -> None:
        body = {"rules": rules.model_dump(mode="json"), "reason": "audit"}
        self.do(actor, "ledger.rules_changed", f"ledger:{self.ledgerid}", body)

    @rule(model=models, environment=environments, actor=st.sampled_from(("p-deployer", "bot", "p-approver")),
          kind=st.sampled_from(("deployment.completed", "deployment.promoted", "canary.stage_entered", "canary.aborted",
                                "rollback.authorised", "rollback.completed", "deployment.held", "deployment.held",
                                "slo.breached", "slo.recovered")))  # fmt: skip
    def happens(self, model: str, environment: str, actor: str, kind: str) -> None:
        body: dict[str, Any] = {"model": model, "digest": self.bytes_of(model)}
        if kind == "deployment.held":
            body["trigger"] = self.pick("slo.breached", 0)
        elif kind.startswith("slo."):
            body = {"slo": "latency", "model": None if actor == "bot" else model}
        if kind == "canary.stage_entered":
            body |= {"stage": 1, "traffic": 0.1}
        elif kind == "canary.aborted":
            body |= {"reason": "slow"}
        self.do(actor, kind, f"deployment:{environment}/x", body)

    @rule(kind=st.sampled_from(("opened", "closed")))
    def incident(self, kind: str) -> None:
        body = {"title": "slow"} if kind == "opened" else {"summary": "over"}
        self.do("p-plain", f"incident.{kind}", "incident:i", body)
