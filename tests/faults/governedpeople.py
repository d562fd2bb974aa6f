"""Who and what random lives under the governed life cycle are about: people, rules, models, waivers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ledger.events.ledgers import Rule, RuleSet, Stop, WaiverLimit

HOUR, DAY = 3_600_000_000, 86_400_000_000
#: Actor: kind, roles, and what else its enrolment says.
PEOPLE: Mapping[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "p-author": ("person", ("owner", "emitter", "approver"), {}),
    "trainer": ("service", ("emitter",), {"responsible": "p-author"}),
    "p-approver": ("person", ("approver", "validator"), {}),
    "p-second": ("person", ("approver", "owner"), {}),
    "p-deployer": ("person", ("deployer", "emitter"), {}),
    "bot": ("service", ("deployer", "emitter"), {"responsible": "p-deployer"}),
    "p-alias": ("person", ("approver", "validator"), {"person": "p-author"}),
    "p-plain": ("person", ("emitter", "validator"), {}),
}


def _rule(environment: str = "*", tier: str = "*", approvals: int = 1, **more: Any) -> Rule:
    values = {"authorisation": True, "evaluation": True, **more}
    return Rule(environment=environment, tier=tier, approvals=approvals, **values)


SOURCE = "checks: []"


def policy_of(source: str) -> dict[str, str]:
    found = hashlib.sha256(source.encode()).hexdigest()
    return {"digest": f"sha256:{found}", "source": source, "format": "muniment.checks/v1"}


def _gated(version: int) -> dict[str, Any]:
    return {"gate": f"policy:p@{version}", "gate_digest": policy_of(SOURCE)["digest"]}


RULES = (
    RuleSet(name="four eyes", rules=(_rule(),)),
    RuleSet(name="a gate", rules=(_rule(environment="prod", **_gated(1)), _rule(evaluation=False))),
    RuleSet(name="by tier", rules=(
        _rule(environment="prod", tier="high", approvals=2, roles=("validator",), days=2),
        _rule(environment="prod", tier="medium", days=1),
        _rule(environment="prod", approvals=0, evaluation=False, **_gated(2)),
        _rule(environment="stage", approvals=0, evaluation=False),
    )),
    RuleSet(name="few stops", rules=(_rule(),), stops=(
        Stop(decision="deployment.authorised", states=("quarantined",)),
        Stop(decision="approval.granted", states=("retired",)),
    ), waivers=(WaiverLimit(environment="prod", tier="*", days=1), WaiverLimit(environment="*", tier="low", days=366))),
    RuleSet(name="many stops", rules=(_rule(environment="prod", days=1), _rule(evaluation=False)), stops=(
        Stop(decision="approval.requested", states=("registered", "approval pending", "approval upcoming", "retired")),
        Stop(decision="approval.granted", states=("rejected", "suspended", "conditions open", "approved")),
        Stop(decision="deployment.requested", states=("registered", "rejected", "live", "approval expired")),
        Stop(decision="deployment.authorised", states=(
            "quarantined", "suspended", "rolled back", "canary", "live", "changes requested", "approval pending",
        )),
        Stop(decision="waiver.requested", states=("registered", "rejected", "quarantined")),
        Stop(decision="waiver.granted", states=("suspended", "retired", "approval expired")),
    )),
)  # fmt: skip
MODELS = ("model:m@1", "model:m@1", "model:m@2", "model:n@1")
ENVIRONMENTS = ("prod", "prod", "stage", "dev")
THINGS = (
    "model:m@1", "model:m", "model:m@2", "dataset:d@1", "dataset:d", "dataset:d@2", "featureset:f", "featureset:f@1",
    "dataset:raw@1", "dataset:copy@1", "dataset:test", "model:n@1", "dataset:g@0",
)  # fmt: skip
READ = ("dataset:g@1", "dataset:g@2", "model:n@1", "featureset:g")
POLICIES = ("policy:p@1", "policy:p@1", "policy:p@2")
WAIVERS = ("waiver:a", "waiver:b")
APPROVERS = ("p-approver", "p-second", "p-author", "p-alias", "p-plain", "p-admin")

#: Within which approving is handed on.
BOUNDS: tuple[dict[str, list[str]], ...] = (
    {}, {}, {"types": ["approval.granted", "waiver.granted"]}, {"subjects": ["model:m", "waiver:a"]},
    {"environments": ["prod"]},
)  # fmt: skip
#: What may follow an approval.
NEXT = (
    "second", "ask anew", "refuse another", "send another back", "revoke another", "meet", "meet", "revoke", "withdraw",
    "reject", "send back", "escalate", "invalidate", "fail", "assess", "consent", "scan", "agree", "document",
    "unvalidate", "demote", "run", "outputs", "gate", "authorise", "authorise", "urgent", "review", "wait",
    "late pass", "late fail", "late scan",
)  # fmt: skip


def evaluation_of(made: str, verdict: str) -> dict[str, Any]:
    """An evaluation of bytes with a digest."""
    return {"metrics": {"auc": 0.9}, "verdict": verdict, "digest": made}
