"""The authorisation matrix: who may do what, written down once by hand and reviewed as a table.

Whoever adds an event type or a command adds its row here; a test fails until it is there. The tests try every cell, so
a row that says other than what the code does fails too.
"""

from __future__ import annotations

from typing import Final

#: The columns: each role alone, and the root keys.
ROLES: Final = (
    "emitter", "owner", "validator", "approver", "deployer", "incident-commander", "auditor", "eraser", "admin", "root",
)  # fmt: skip
#: Everybody who is enrolled, whatever the role, also when it has ended or does not reach.
ANYBODY: Final = "anybody"
NOBODY: Final = ""

#: Event type: who may be its author, of things that are not their own.
EVENTS: Final = {
    "access.denied": "emitter root",
    "actor.enrolled": "admin root",
    "actor.offboarded": "admin root",
    "actor.responsible_changed": "admin root",
    "actor.revoked": "admin root",
    "approval.granted": "approver",  # root is nobody in particular, so that it is another person is not shown
    "approval.rejected": "approver root",
    "approval.requested": "owner emitter root",
    "artifact.produced": "emitter root",
    "artifact.scanned": "emitter validator root",
    "artifact.signed": "emitter root",
    "artifact.verified": "emitter validator root",
    "canary.aborted": ANYBODY,
    "canary.analysed": "emitter deployer root",
    "canary.stage_entered": "emitter deployer root",
    "configuration.changed": "emitter deployer owner root",
    "contract.defined": "emitter owner root",
    "credential.expired": "emitter deployer root",
    "credential.rotated": "emitter deployer root",
    "dataset.consent_changed": "emitter owner root",
    "dataset.deprecated": "emitter owner root",
    "dataset.license_changed": "emitter owner root",
    "dataset.quality_assessed": "emitter validator root",
    "dataset.registered": "emitter root",
    "dataset.versioned": "emitter root",
    "deployment.authorised": "deployer root",
    "deployment.completed": "emitter deployer root",
    "deployment.failed": "emitter deployer root",
    "deployment.promoted": "emitter deployer root",
    "deployment.requested": "owner deployer emitter root",
    "documentation.attached": "emitter owner validator auditor root",
    "drill.conducted": "emitter owner incident-commander deployer root",
    "emitter.closed": ANYBODY,
    "emitter.heartbeat": ANYBODY,
    "entry.reaffirmed": "admin root",
    "errorbudget.consumed": "emitter root",
    "errorbudget.reset": "owner emitter root",
    "evaluation.completed": "emitter validator root",
    "evaluation.invalidated": "emitter validator root",
    "evidence.preserved": "emitter auditor incident-commander validator root",
    "experiment.completed": "emitter owner root",
    "experiment.started": "emitter owner root",
    "external.observed": "emitter root",
    "featureset.changed": "emitter owner root",
    "featureset.defined": "emitter owner root",
    "featureset.materialized": "emitter root",
    "finding.disposed": "owner validator root",
    "gap.declared": ANYBODY,  # of their own emitters; for others' see the tests of the judge
    "hold.placed": "auditor admin root",
    "hold.released": "auditor admin root",
    "incident.action_item_completed": ANYBODY,
    "incident.action_item_created": ANYBODY,
    "incident.closed": ANYBODY,
    "incident.linked": ANYBODY,
    "incident.mitigated": ANYBODY,
    "incident.noted": ANYBODY,
    "incident.opened": ANYBODY,
    "incident.reopened": ANYBODY,
    "incident.role_assigned": ANYBODY,
    "incident.root_cause_recorded": ANYBODY,
    "incident.severity_changed": ANYBODY,
    "key.compromised": "admin root",
    "key.enrolled": "admin root",
    "key.revoked": "admin root",
    "key.rotated": "admin root",
    "labels.arrived": "emitter root",
    "ledger.checkpoint_key_changed": "root",
    "ledger.created": NOBODY,  # it is the first entry, and there is one
    "ledger.entry_acknowledged": "admin root",
    "ledger.restored": "root",
    "ledger.roots_changed": "root",
    "model.on_call_assigned": "owner incident-commander admin root",
    "model.owner_changed": "owner admin root",
    "model.registered": "emitter owner root",
    "modelcard.published": "emitter owner root",
    "monitor.signal": "emitter root",
    "monitor.window": "emitter root",
    "notification.sent": "emitter owner incident-commander root",
    "performance.tested": "emitter validator root",
    "retrain.requested": "emitter owner root",
    "retrain.resolved": "emitter owner root",
    "role.granted": "admin root",
    "role.revoked": "admin root",
    "rollback.authorised": ANYBODY,
    "rollback.completed": ANYBODY,
    "rollback.requested": ANYBODY,
    "run.aborted": "emitter root",
    "run.attached": "emitter root",
    "run.completed": "emitter root",
    "run.failed": "emitter root",
    "run.started": "emitter root",
    "serving.snapshot": "emitter deployer root",
    "slo.breached": "emitter root",
    "slo.defined": "owner deployer emitter root",
    "slo.recovered": "emitter root",
    "subject.erased": "eraser root",
    "thirdparty.registered": "emitter owner root",
    "validation.assigned": "owner validator root",
    "validation.completed": "validator root",
    "version.composed": "emitter owner root",
    "version.registered": "emitter owner root",
    "version.retired": "owner deployer root",
}

#: Event types about an actor that it may sign about itself, whatever its roles: it gives something up, or renews it.
OWN: Final = {
    "actor.enrolled": False,
    "actor.offboarded": False,
    "actor.responsible_changed": False,
    "actor.revoked": True,
    "entry.reaffirmed": True,
    "key.compromised": True,
    "key.enrolled": False,
    "key.revoked": True,
    "key.rotated": True,
    "role.granted": False,
    "role.revoked": True,
}

#: Command that writes to the log: who may use it, of things that are not their own.
COMMANDS: Final = {
    "actor enrol": "admin root",
    "actor grant": "admin root",
    "actor offboard": "admin root",
    "actor responsible": "admin root",
    "actor revoke": "admin root",
    "actor ungrant": "admin root",
    "admin acknowledge": "admin root",
    "approve": "approver",
    "authorise": "deployer root",
    "emit": "emitter root",  # run.completed, to stand for all types
    "emitter close": ANYBODY,
    "emitter gap": ANYBODY,  # of their own emitters
    "emitter heartbeat": ANYBODY,
    "entry reaffirm": "admin root",
    "hold place": "auditor admin root",
    "hold release": "auditor admin root",
    "incident action": ANYBODY,
    "incident cause": ANYBODY,
    "incident close": ANYBODY,
    "incident mitigate": ANYBODY,
    "incident note": ANYBODY,
    "incident open": ANYBODY,
    "key compromised": "admin root",
    "key enrol": "admin root",
    "key revoke": "admin root",
    "key rotate": "admin root",
    "record dataset": "emitter root",
    "record deployment": "emitter deployer root",
    "record evaluation": "emitter validator root",
    "record late": "emitter root",
    "record rollback": ANYBODY,
    "record run": "emitter root",
    "record signal": "emitter root",
    "record version": "emitter owner root",
    "reject": "approver root",
    "request": "owner emitter root",
    "rollback": ANYBODY,
    "subject erase": "eraser root",
}

#: Commands that sign nothing as an actor: they read, or need the store's rights, files or the root keys themselves.
WITHOUT_ACTOR: Final = frozenset({
    "actor list", "actor name", "actor show", "admin copy", "admin grant", "admin migrate", "admin restore-accept",
    "admin restored", "backup create", "backup restore", "backup verify", "checkpoint keys", "checkpoint publish",
    "checkpoint show", "checkpoint timestamp", "checkpoint witness",
    "completion", "config explain", "doctor", "emitter list", "export bundle", "export tiles",
    "export verifier", "hold list",
    "incident list", "init", "key attach", "key list", "key request", "log", "projection rebuild",
    "projection status", "proof consistency", "proof inclusion", "report generate", "report list",
    "root new-key", "root propose checkpoint-key", "root propose event", "root propose request",
    "root propose restored", "root propose roots", "root public", "root show", "root sign", "root submit", "show",
    "state", "subject list",
    "subject rotate", "timeline", "verify backup", "verify bundle", "verify checkpoint", "verify event", "verify file",
    "verify evidence", "verify log", "witness add-log", "witness init", "witness serve", "witness show",
})  # fmt: skip


def allowed(row: str, column: str) -> bool:
    """Whether a row of a table lets a column."""
    return row == ANYBODY or column in row.split()
