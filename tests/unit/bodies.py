"""A body of every type of event, and a world in which each of them is legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ledger.events import Category, EventType, all_event_types
from ledger.events.actors import ROLES
from tests.unit.story import DIGEST, MODEL, Story, cites

EMITTER = "emitter:019b0000-0000-7000-8000-0000000000e1"
SOURCE_DIGEST = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
LATER = "2100-01-01T00:00:00Z"
WAIVER = {
    "check": "drift", "model": MODEL, "environment": "prod", "owner": "p-author", "reason": "x",
    "compensating_control": "x", "expires_at": "2023-12-01T00:00:00Z",
}  # fmt: skip
#: A body of every type that is not about authority, legal in the world of `full_world`; what starts with $ stands for
#: an event id of that world.
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "access.denied": ("service:x", {"principal": "someone", "action": "read"}),
    "approval.changes_requested": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "changes": ["measure it on women, too"]},
    ),
    "approval.condition_met": (MODEL, {"approval": "$conditional", "condition": 0}),
    "approval.escalated": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "x", "to_role": "validator"},
    ),
    "approval.expired": (MODEL, {"approval": str(UUID(int=1))}),
    "approval.granted": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "fit", "evidence": "$evidence"},
    ),
    "approval.rejected": (
        MODEL,
        {"environment": "prod", "digest": DIGEST, "request": "$request", "rationale": "unfit"},
    ),
    "approval.requested": (MODEL, {"environment": "prod", "digest": DIGEST}),
    "approval.revoked": (MODEL, {"approval": "$approval", "rationale": "x"}),
    "approval.withdrawn": (MODEL, {"request": "$request"}),
    "artifact.produced": ("artifact:a", {"files": {"weights.bin": DIGEST}}),
    "artifact.scanned": ("artifact:a", {"digest": DIGEST, "scanner": "s", "verdict": "pass"}),
    "artifact.signed": ("artifact:a", {"digest": DIGEST, "method": "key"}),
    "artifact.verified": ("artifact:a", {"digest": DIGEST, "method": "key", "verdict": "fail"}),
    "bom.attached": (MODEL, {"format": "CycloneDX 1.7", "digest": DIGEST}),
    "canary.aborted": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "canary.analysed": (
        "deployment:prod/x",
        {"model": MODEL, "digest": DIGEST, "stage": 1, "traffic": 0.05, "verdict": "pass"},
    ),
    "canary.paused": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "canary.stage_entered": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "stage": 1, "traffic": 0.05}),
    "configuration.changed": ("deployment:prod/x", {"digest": DIGEST}),
    "contract.defined": (MODEL, {"input_schema": DIGEST, "output_schema": DIGEST}),
    "credential.expired": ("service:x", {"credential": "store"}),
    "credential.rotated": ("service:x", {"credential": "store"}),
    "dataset.consent_changed": ("dataset:d", {"status": "withdrawn"}),
    "dataset.deleted": ("dataset:d@1", {"reason": "x"}),
    "dataset.deprecated": ("dataset:d@1", {"reason": "x"}),
    "dataset.license_changed": ("dataset:d", {"license": "CC-BY-4.0"}),
    "dataset.quality_assessed": ("dataset:d@1", {"verdict": "pass"}),
    "dataset.registered": ("dataset:d@1", {"digest": DIGEST}),
    "dataset.versioned": ("dataset:d@2", {"digest": DIGEST, "previous": "dataset:d@1"}),
    "deployment.authorised": ("deployment:dev/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.completed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.denied": ("deployment:prod/asked", {"request": "$asked", "rationale": "x"}),
    "deployment.failed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST, "reason": "x"}),
    "deployment.held": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.promoted": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.requested": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "deployment.started": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "documentation.attached": (MODEL, {"kind": "DPIA", "digest": DIGEST}),
    "decision.refused": (MODEL, {"decision": "approval.granted", "refused": "policy", "reason": "x"}),
    "drill.conducted": ("deployment:prod/x", {"kind": "rollback", "outcome": "pass"}),
    "emergency.reviewed": ("deployment:prod/e", {"decision": "$emergency", "verdict": "justified", "rationale": "x"}),
    "erasure.requested": ("person:p-7f3a", {"basis": "GDPR Art. 17(1)(b)"}),
    "erasure.resolved": ("person:p-7f3a", {"request": str(UUID(int=1)), "outcome": "refused"}),
    "errorbudget.consumed": ("deployment:prod/x", {"slo": "latency", "remaining": 0.4}),
    "errorbudget.reset": ("deployment:prod/x", {"slo": "latency", "reason": "x"}),
    "emitter.closed": (EMITTER, {"last": 3}),
    "emitter.heartbeat": (EMITTER, {"last": 3, "interval": 60}),
    "evaluation.completed": (MODEL, {"metrics": {"auc": 0.5}}),
    "evaluation.invalidated": (MODEL, {"evaluation": str(UUID(int=1)), "reason": "x"}),
    "evidence.preserved": ("incident:1", {"digest": DIGEST, "kind": "logs"}),
    "experiment.completed": ("experiment:e", {"outcome": "better"}),
    "experiment.started": (
        "experiment:e",
        {"arms": [{"name": "a", "model": MODEL}, {"name": "b", "model": MODEL}], "metric": "clicks"},
    ),
    "external.observed": ("external:x", {"system": "s"}),
    "featureset.changed": ("featureset:f", {"digest": DIGEST, "change": "x"}),
    "featureset.defined": ("featureset:f", {"digest": DIGEST}),
    "featureset.materialized": ("featureset:f", {}),
    "feed.interrupted": ("monitor:m", {"source": "prometheus", "start": "2026-01-01T00:00:00Z", "reason": "x"}),
    "finding.disposed": (
        MODEL,
        {"validation": str(UUID(int=1)), "finding": "F1", "disposition": "fixed", "reason": "x"},
    ),
    "gap.declared": (EMITTER, {"first": 2, "last": 3, "reason": "a test that was cut off"}),
    "gate.evaluated": (
        MODEL,
        {
            "environment": "prod",
            "policy": "policy:p@1",
            "policy_digest": DIGEST,
            "digest": DIGEST,
            "input_digest": DIGEST,
            "size": 1,
            "as_of": "2026-01-01T00:00:00Z",
            "result": "allow",
            "checks": [],
            "engine": "e 1",
        },
    ),
    "incident.action_item_assigned": ("incident:1", {"item": str(UUID(int=1)), "owner": "p-x"}),
    "incident.action_item_completed": ("incident:1", {"item": str(UUID(int=1))}),
    "incident.action_item_created": ("incident:1", {"title": "x"}),
    "incident.action_item_verified": ("incident:1", {"item": str(UUID(int=1)), "outcome": "effective"}),
    "incident.closed": ("incident:1", {"summary": "x"}),
    "incident.contributing_factor_recorded": ("incident:1", {"category": "process", "statement": "x"}),
    "incident.linked": ("incident:1", {"subject": MODEL, "relation": "caused-by"}),
    "incident.mitigated": ("incident:1", {}),
    "incident.noted": ("incident:1", {"note": "x"}),
    "incident.opened": ("incident:1", {"title": "x"}),
    "incident.reopened": ("incident:1", {"reason": "x"}),
    "incident.resolved": ("incident:1", {}),
    "incident.role_assigned": ("incident:1", {"role": "commander", "assignee": "p-author"}),
    "incident.root_cause_recorded": ("incident:1", {"category": "data", "statement": "x"}),
    "incident.severity_changed": ("incident:1", {"severity": "high"}),
    "labels.arrived": ("dataset:labels@1", {"count": 10}),
    "model.decommissioned": ("model:m", {"reason": "x"}),
    "model.described": ("model:m", {"business_unit": "credit"}),
    "model.on_call_assigned": ("model:m", {"on_call": "p-author"}),
    "model.owner_changed": ("model:m", {"owner": "p-author"}),
    "model.registered": ("model:m", {"owner": "p-author"}),
    "modelcard.published": (MODEL, {"digest": DIGEST}),
    "modelcard.revised": (MODEL, {"digest": DIGEST}),
    "monitor.signal": ("monitor:m", {"metric": "psi", "value": 0.5}),
    "monitor.window": (
        "monitor:m",
        {"metric": "psi", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "count": 0},
    ),
    "notification.failed": ("incident:1", {"recipient_class": "regulator", "reason": "no answer"}),
    "notification.sent": ("incident:1", {"recipient_class": "regulator"}),
    "performance.tested": (MODEL, {"p95_ms": 12.5}),
    "policy.defined": ("policy:p@1", {"digest": SOURCE_DIGEST, "source": "x", "format": "muniment.checks/v1"}),
    "policy.retired": ("policy:old@1", {"reason": "x"}),
    "postmortem.published": ("incident:1", {"digest": DIGEST}),
    "quarantine.placed": ("dataset:d", {"reason": "x"}),
    "quarantine.released": ("dataset:q", {"quarantine": "$quarantine", "rationale": "x"}),
    "retrain.requested": ("model:m", {"trigger": "drift"}),
    "retrain.resolved": ("model:m", {"request": str(UUID(int=1)), "outcome": "failed"}),
    "risk.classified": ("model:m", {"tier": "high", "rationale": "money"}),
    "rollback.authorised": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "rollback.completed": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "rollback.requested": ("deployment:prod/x", {"model": MODEL, "digest": DIGEST}),
    "run.aborted": ("run:x", {"reason": "x"}),
    "run.attached": ("run:x", {"reason": "x"}),
    "run.completed": ("run:x", {}),
    "run.failed": ("run:x", {"reason": "x"}),
    "run.started": ("run:x", {}),
    "serving.snapshot": ("deployment:prod/x", {"loaded": [{"digest": DIGEST}]}),
    "slo.breached": ("deployment:prod/x", {"slo": "latency"}),
    "slo.defined": ("deployment:prod/x", {"slo": "latency", "indicator": "ms", "objective": 0.99, "window": "28d"}),
    "slo.recovered": ("deployment:prod/x", {"slo": "latency"}),
    "thirdparty.registered": ("model:m", {"vendor": "v", "product": "p"}),
    "validation.assigned": (MODEL, {"validator": "p-author"}),
    "validation.completed": (MODEL, {"verdict": "pass", "independence": "another department"}),
    "validation.withdrawn": (MODEL, {"validation": str(UUID(int=1)), "reason": "x"}),
    "version.aliased": (MODEL, {"alias": "champion"}),
    "version.composed": (MODEL, {"parents": [{"role": "parent", "subject": "model:n@1"}]}),
    "version.demoted": (MODEL, {"environment": "prod", "reason": "x"}),
    "version.promoted": (MODEL, {"environment": "prod"}),
    "version.registered": ("model:m@2", {"digest": DIGEST, "owner": "p-author", "tier": "low"}),
    "version.retired": (MODEL, {"reason": "x"}),
    "version.tagged": (MODEL, {"tags": {"stage": "x"}}),
    "version.unaliased": (MODEL, {"alias": "champion"}),
    "waiver.denied": ("waiver:asked", {"rationale": "x"}),
    "waiver.expired": ("waiver:1", {}),
    "waiver.granted": ("waiver:asked", {"rationale": "x"}),
    "waiver.requested": ("waiver:new", WAIVER),
    "waiver.revoked": ("waiver:given", {"reason": "x"}),
    "waiver.used": ("waiver:given", {"deployment": "deployment:prod/x", "model": MODEL}),
}
TYPES = [kind for kind in all_event_types() if kind.category is not Category.AUTHORITY]


def prepare(story: Story) -> dict[str, Any]:
    """Make every type of `BODIES` legal for an author with the right role; returns the event ids they name."""
    asked = story.request(actor="only-emitter", on_behalf_of="only-owner")
    other, third = story.request(), story.request()
    given = {**Story.grant(story, other), "expires_at": LATER}
    ids: dict[str, Any] = {"$request": asked}
    ids["$approval"] = story.tell("p-approver", "approval.granted", MODEL, given).payload.id
    conditional = {**Story.grant(story, third), "conditions": ["with a monitor"]}
    ids["$conditional"] = story.tell("p-second", "approval.granted", MODEL, conditional).payload.id
    ids["$quarantine"] = story.tell("trainer", "quarantine.placed", "dataset:q", {"reason": "x"}).payload.id
    emergency = {"reason": "x", "review_by": "2023-11-20T00:00:00Z"}
    body = {"model": MODEL, "digest": DIGEST, "emergency": emergency}
    ids["$emergency"] = story.tell("p-deployer", "deployment.authorised", "deployment:prod/e", body).payload.id
    asking = {"model": MODEL, "digest": DIGEST}
    ids["$asked"] = story.tell("p-author", "deployment.requested", "deployment:prod/asked", asking).payload.id
    story.tell("p-approver", "policy.defined", "policy:old@1", BODIES["policy.defined"][1])
    for name in ("asked", "given"):
        story.tell("p-author", "waiver.requested", f"waiver:{name}", WAIVER)
    story.tell("p-second", "waiver.granted", "waiver:given", {"rationale": "x"})
    ids["$evidence"] = cites(story.view)
    return ids


def filled(kind: str, ids: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Subject and body of a type, with the event ids it names."""
    subject, body = BODIES[kind]
    return subject, {name: ids.get(value, value) if isinstance(value, str) else value for name, value in body.items()}


def author(kind: EventType) -> str:
    """A role that may author a type, but admin, whom only the root keys enrol."""
    return next((role for role in kind.roles if role != "admin"), "auditor")


NOBODYS: dict[str, Any] = {
    name: str(UUID(int=1)) for name in ("$request", "$approval", "$conditional", "$quarantine", "$emergency", "$asked")
} | {"$evidence": []}


def full_world() -> tuple[Story, dict[str, Any]]:
    """A world in which every type of `BODIES` is legal for an author with the right role, and the ids they name."""
    story = Story().people().version()
    for role in ROLES:
        if role != "admin":
            story.enrol(f"only-{role}", [role])
    return story, prepare(story)
