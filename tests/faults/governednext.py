"""What waits for somebody in a life under the governed life cycle, and who would do it: so that lives go deep."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.governedpeople import DAY, ENVIRONMENTS, MODELS, PEOPLE, SOURCE, evaluation_of, policy_of
from tests.faults.governedtwins import GovernedTwins
from tests.faults.pastdeeds import Deed
from tests.faults.stages import Stages


@dataclass(frozen=True)
class Next:
    """A deed that may come next.

    Attributes:
        weight: how often, against others.
        actor: who would do it.
        kind: of the event, without its version.
        subject: what it is about.
        data: its body.
    """

    weight: float
    actor: str
    kind: str
    subject: str
    data: Mapping[str, Any]


class GovernedNext(GovernedTwins):
    """Does what comes next, as far as things are; a part of it is done by somebody else."""

    def do_next(self, chance: random.Random, *, back: bool) -> None:
        """One deed; what was done often in this life comes less often.

        Args:
            chance: what is drawn from.
            back: something that is waited for, rather than one more step towards a release, where there is any.
        """
        at = Stages(self.reference.law.deeds)
        waiting = [*self._about_approvals(at, chance), *self._about_waivers(at, chance), *self._to_end(at, chance)]
        found = waiting if waiting and back else [*waiting, *self._towards_release(at, chance)]
        done = chance.choices(found, [one.weight / (1 + self.counts[one.kind, True]) for one in found])[0]
        actor = chance.choice((*PEOPLE, "p-admin")) if chance.random() < 0.15 else done.actor
        self.do(actor, done.kind, done.subject, done.data)

    def _to_end(self, at: Stages, chance: random.Random) -> Iterator[Next]:
        """Quarantines are let go, emergencies reviewed, deployments denied, versions retired."""
        for placed in at.quarantines:
            body = {"quarantine": placed.id, "rationale": "clean"}
            yield Next(3, chance.choice(("p-approver", "p-second")), "quarantine.released", placed.subject, body)
        for urgent in at.unreviewed:
            body = {"decision": urgent.id, "verdict": chance.choice(("justified", "unjustified")), "rationale": "x"}
            yield Next(3, chance.choice(("p-approver", "p-plain")), "emergency.reviewed", urgent.subject, body)
        for asked in at.left("deployment.requested", "deployment.denied", by="request"):
            body = {"request": asked.id, "rationale": "not this week"}
            yield Next(1, "p-deployer", "deployment.denied", asked.subject, body)
        for model in sorted(at.registered - at.retired):
            yield Next(0.1, "p-second", "version.retired", model, {"reason": "old"})
            yield Next(0.03, "p-second", "model.decommissioned", model.partition("@")[0], {"reason": "old"})
            left = {"environment": chance.choice(ENVIRONMENTS), "reason": "drifts"}
            yield Next(0.3, "p-second", "version.demoted", model, left)
            said = {"verdict": "pass", "independence": "another team", "valid_until": self.later(DAY)}
            yield Next(0.5, chance.choice(("p-approver", "p-plain")), "validation.completed", model, said)
        for valid in at.left("validation.completed", "validation.withdrawn", by="validation"):
            body = {"validation": valid.id, "reason": "too little"}
            yield Next(0.5, chance.choice(("p-approver", "p-plain")), "validation.withdrawn", valid.subject, body)
        for policy in {deed.subject: "" for deed in at.of("policy.defined")}:
            yield Next(0.1, "p-plain", "policy.retired", policy, {"reason": "old"})

    def _towards_release(self, at: Stages, chance: random.Random) -> Iterator[Next]:
        model, environment = chance.choice(MODELS), chance.choice(ENVIRONMENTS)
        place, body = f"deployment:{environment}/x", {"model": model, "digest": self.bytes_of(model)}
        if model not in at.registered:
            tier = chance.choice(("low", "medium", "high"))
            # Without its run, the bytes may be those of a version that names one.
            run = chance.choice(("run:r", "run:r", None))
            # Then others may say that it is theirs, and whoever made the bytes may be asked to approve it.
            by, owner = (
                ("trainer", "p-author") if run else chance.choice((("p-plain", "p-second"), ("bot", "p-author")))
            )
            made = {"digest": self.bytes_of(model), "owner": owner, "tier": tier, "run": run}
            yield Next(6, by, "version.registered", model, made)
            return
        if not at.passed(model):
            yield Next(6, "trainer", "evaluation.completed", model, evaluation_of(self.bytes_of(model), "pass"))
        for evaluation in at.of("evaluation.completed", subject=model)[-1:]:
            wrong = {"evaluation": evaluation.id, "reason": "leak"}
            yield Next(0.5, "trainer", "evaluation.invalidated", model, wrong)
        asked_before = at.decided(model, environment, at.requests)
        if not asked_before or at.decided(model, environment, at.approvals):  # some ask again what is approved
            back = at.decided(model, environment, at.sent_back)
            asked = {
                "environment": environment,
                "digest": self.bytes_of(model),
                "amends": back[-1].id if back else None,
            }
            who = chance.choice(("p-author", "trainer", "p-second"))
            yield Next(1 if asked_before else 6, who, "approval.requested", model, asked)
        deployer = chance.choice(("p-deployer", "bot"))
        yield Next(1, deployer, "deployment.requested", place, body)
        given = at.decided(model, environment, at.approvals)
        named: dict[str, Any] = {"approvals": [one.id for one in given]} if given and chance.random() < 0.5 else {}
        named |= {"reason": "a known peak"} if chance.random() < 0.5 else {}
        yield Next(4 if given else 1, deployer, "deployment.authorised", place, body | named)
        urgent = body | {"emergency": {"reason": "fraud wave", "review_by": self.later(DAY)}}
        yield Next(1, deployer, "deployment.authorised", place, urgent)
        yield Next(0.3, deployer, chance.choice(("deployment.promoted", "rollback.authorised")), place, body)
        yield Next(0.5, "bot", "deployment.held", place, body)
        yield Next(0.5, deployer, "deployment.completed", place, body)
        yield Next(0.5, deployer, "canary.stage_entered", place, body | {"stage": 1, "traffic": 0.1})
        yield Next(0.3, deployer, "canary.aborted", place, body | {"reason": "slow"})
        yield Next(1, "p-plain", "policy.defined", "policy:p@2", policy_of(SOURCE))

    def _about_approvals(self, at: Stages, chance: random.Random) -> Iterator[Next]:
        """Open requests are decided or withdrawn, conditions met, approvals revoked."""
        approver = chance.choice(("p-approver", "p-approver", "p-second", "p-alias"))
        for request in at.requests:
            body = self._decision(request)
            yield Next(1, request.actor, "approval.withdrawn", request.subject, {"request": request.id})
            yield Next(1, approver, "approval.rejected", request.subject, body)
            yield Next(1, approver, "approval.changes_requested", request.subject, body | {"changes": ["measure more"]})
            yield Next(1, approver, "approval.escalated", request.subject, body | {"to_role": "validator"})
            conditions = ["a monitor is on"] if chance.random() < 0.4 else None
            more = {"conditions": conditions, "evidence": self.evidence(0)}
            yield Next(6, approver, "approval.granted", request.subject, body | more)
        for approval, number in at.unmet:
            body = {"approval": approval.id, "condition": number}
            yield Next(6, approver, "approval.condition_met", approval.subject, body)
        for approval in at.approvals:
            body = {"approval": approval.id, "rationale": "bias"}
            yield Next(1, approver, "approval.revoked", approval.subject, body)

    @staticmethod
    def _decision(request: Deed) -> dict[str, Any]:
        return {
            "request": request.id, "environment": request.data["environment"], "digest": request.data["digest"],
            "rationale": "fit",
        }  # fmt: skip

    def _about_waivers(self, at: Stages, chance: random.Random) -> Iterator[Next]:
        approver = chance.choice(("p-approver", "p-second"))
        for asked in at.waivers_asked:
            yield Next(3, approver, "waiver.granted", asked.subject, {"rationale": "for now"})
            yield Next(2, approver, "waiver.denied", asked.subject, {"rationale": "no"})
        models = {deed.subject: deed.data["model"] for deed in at.of("waiver.requested")}
        for granted in at.waivers_granted:
            about = models[granted.subject]
            model = about if "@" in about else f"{about}@1"
            used = {"deployment": f"deployment:{chance.choice(ENVIRONMENTS)}/x", "model": model}
            yield Next(2, "p-deployer", "waiver.used", granted.subject, used)
            yield Next(1, approver, "waiver.revoked", granted.subject, {"reason": "no"})
