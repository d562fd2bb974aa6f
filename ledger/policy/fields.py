"""The members of the document that a policy's expressions look at; `projections.gateinput` fills it."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FIELDS", "in_form"]

#: Each field of the document, in words; `docs/reference/policies.md` shows them.
FIELDS: Final = {
    "as_of": "time at which is asked, for ages and ends",
    "size": "log size looked at",
    "environment": "environment asked about",
    "deployment": "where it is to be deployed, empty when that was not said",
    "tier": "low, medium or high, as it is in force",
    "version": "name, digest, owner, run, index, registered_at",
    "model": "owner, on_call, runbook, purpose, third_party, versions (names)",
    "run": "name, status, actor, commit, dirty, seed, environment, hardware, has_parameters, inputs (subject, digest), "
    "made (whether it says that it made this version), others (runs that say so, and that the version does not name)",
    "datasets": "what it, or another version of the model with its bytes, was trained on, also behind feature sets, "
    "parents and models that the run read, and what that was made from (read is false): subject, digest, read, "
    "registered, quality, deprecated (or deleted), license, consent, quarantined; a feature set that names no data "
    "stands for itself",
    "evaluations": "that stand: id, index, age_seconds, suite, kind, verdict, digest, dataset, dataset_digest "
    "(said, or registered), split, trained_on (whether it was trained on that), metrics, measurements, by, "
    "independent; also what the same bytes failed under another name; one that was invalidated and not measured again "
    "failed, and the rest of it is empty",
    "signatures": "of artefacts and of the version: digest, verdict (signed, pass, fail, uncertain)",
    "scans": "digest, verdict, findings",
    "performance": "digest, verdict, p95_ms, baseline_p95_ms, cost, cost_unit (currency, and for what), "
    "baseline_cost (where its unit is the same), error_rate, index; baselines are what the tester says",
    "contract": "defined, breaking (said so, or other than what is live and nothing said), matches_live, input_schema, "
    "output_schema",
    "documentation": "kind, digest, expired",
    "validations": "verdict, index, open_findings (id, severity), expired, by, independent",
    "approvals": "by, environment, stands, reason, index, independent (of makers, owners, who asked, and of whoever is "
    "behind a run or an artefact that names the version as made by it)",
    "deployments": "in this environment, the one above and where the model ever was: name, live, previous, authorised, "
    "and what was last measured of what is live there: live_p95_ms, live_cost, live_cost_unit",
    "canaries": "deployment, stage, traffic, verdict, budget_used of this version",
    "slos": "of those deployments: slo, subject, objective, action",
    "drills": "of those deployments and their model, the last of each kind: kind, subject, outcome, age_seconds",
    "incidents": "open ones about those deployments or the model: incident, severity",
    "people": "approvers, deployers, validators: how many persons have the role there and then, for this model or "
    "deployment",
    "stopped": "why the life cycle stops an authorisation, empty when it does not",
}  # fmt: skip
#: Members of parts, or of what is in their lists, that the document of ``muniment.checks/v1`` has not.
_SINCE_V2: Final = {
    "approvals": ("independent",),
    "datasets": ("read",),
    "deployments": ("live_p95_ms", "live_cost", "live_cost_unit"),
    "drills": ("subject",),
    "evaluations": ("by", "independent", "dataset_digest", "trained_on"),
    "performance": ("cost_unit",),
    "run": ("made", "others"),
    "validations": ("by", "independent"),
}


def in_form(document: dict[str, Any], form: str) -> dict[str, Any]:
    """A document as policies of a form look at it.

    Args:
        document: in the newest form.
        form: for example ``muniment.checks/v1``.
    """
    if form != "muniment.checks/v1":
        return document

    def without(part: Any, left_out: tuple[str, ...]) -> Any:
        if isinstance(part, list):
            return [without(item, left_out) for item in part]
        return {key: value for key, value in part.items() if key not in left_out}

    return document | {name: without(document[name], left_out) for name, left_out in _SINCE_V2.items()}
