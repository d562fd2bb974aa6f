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
    "datasets": "what the run read: subject, digest, registered, quality, deprecated (or deleted), license, consent, "
    "quarantined",
    "evaluations": "that stand: id, index, age_seconds, suite, kind, verdict, digest, dataset, split, "
    "metrics, measurements, by, independent; one that was invalidated and not measured again failed, and the rest "
    "of it is empty",
    "signatures": "of artefacts and of the version: digest, verdict (signed, pass, fail, uncertain)",
    "scans": "digest, verdict, findings",
    "performance": "digest, verdict, p95_ms, baseline_p95_ms, cost, baseline_cost, error_rate, index",
    "contract": "defined, breaking, matches_live, input_schema, output_schema",
    "documentation": "kind, digest, expired",
    "validations": "verdict, index, open_findings (id, severity), expired, by, independent",
    "approvals": "by, environment, stands, reason, index",
    "deployments": "in this environment, the one above and where the model ever was: name, live, previous, authorised",
    "canaries": "deployment, stage, traffic, verdict, budget_used of this version",
    "slos": "of those deployments: slo, subject, objective, action",
    "drills": "of those deployments and their model: kind, outcome, age_seconds",
    "incidents": "open ones about those deployments or the model: incident, severity",
    "people": "approvers, deployers, validators: how many persons have the role there and then",
    "stopped": "why the life cycle stops an authorisation, empty when it does not",
}  # fmt: skip
#: Members of parts, or of what is in their lists, that the document of ``muniment.checks/v1`` has not.
_SINCE_V2: Final = {
    "run": ("made", "others"), "evaluations": ("by", "independent"), "validations": ("by", "independent"),
}  # fmt: skip


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
