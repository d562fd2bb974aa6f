"""What other vocabularies (CDEvents, OpenSLO, clouds, people) call an event, and how it is said here."""

from __future__ import annotations

from typing import Final

__all__ = ["OTHER_NAMES"]

#: Another name: how it is said here, with the type and what its body says.
OTHER_NAMES: Final = {
    "action_item.assigned": "incident.action_item_assigned",
    "action_item.completed": "incident.action_item_completed",
    "action_item.created": "incident.action_item_created",
    "action_item.overdue": "incident.action_item_created with due; muniment due tells what is overdue",
    "action_item.verified": "incident.action_item_verified",
    "actor.suspended": "role.revoked for each role, or actor.revoked for good",
    "approval.cancelled": "approval.withdrawn",
    "approval.decided": "approval.granted, approval.rejected, approval.changes_requested or approval.escalated",
    "artifact.signature_verified": "artifact.verified with verdict=pass",
    "artifact.verification_failed": "artifact.verified with verdict=fail",
    "canary.analyzed": "canary.analysed",
    "canary.failed": "canary.analysed with verdict=fail",
    "canary.passed": "canary.analysed with verdict=pass",
    "contributing_factor.recorded": "incident.contributing_factor_recorded",
    "dataset.licence_changed": "dataset.license_changed",
    "deployment.authorized": "deployment.authorised",
    "errorbudget.exhausted": "errorbudget.consumed with remaining=0",
    "feed.gap_declared": "feed.interrupted; gap.declared is about numbers of an emitter of this ledger",
    "incident.note_added": "incident.noted",
    "ledger.config_changed": "ledger.rules_changed",
    "legalhold.placed": "hold.placed",
    "legalhold.released": "hold.released",
    "model.retired": "model.decommissioned",
    "policy.activated": "ledger.rules_changed, in which a rule names the policy as its gate",
    "policy.evaluated": "gate.evaluated",
    "policy.published": "policy.defined",
    "redaction.executed": "subject.erased",
    "redaction.requested": "erasure.requested",
    "risk.reclassified": "risk.classified",
    "rollback.authorized": "rollback.authorised",
    "rollback.initiated": "rollback.requested or rollback.authorised",
    "rootcause.recorded": "incident.root_cause_recorded",
    "run.attached_late": "run.attached",
    "service.removed": "version.retired or model.decommissioned",
    "service.rolledback": "rollback.completed",
    "subject.key_destroyed": "subject.erased",
    "version.decommissioned": "version.retired",
    "version.quarantined": "quarantine.placed",
    "version.released_from_quarantine": "quarantine.released",
    "waiver.renewed": "waiver.requested with renews",
}
