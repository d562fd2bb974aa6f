"""Documents as gates get them, to try policies over: one in which all is well, and those of a version known by name.

`docs/reference/policies.md` shows the first; `muniment policy lint` runs every check over all of them.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DIGEST", "bare", "evaluation", "fine"]

DIGEST: Final = "sha256:" + "ab" * 32


def fine() -> dict[str, Any]:
    """A document in which nothing is missing: every check of both checklists passes over it."""
    return {
        "as_of": "2026-11-01T00:00:00Z", "size": 99, "environment": "prod", "deployment": "deployment:prod/m",
        "tier": "high",
        "version": {"name": "model:m@2", "digest": DIGEST, "owner": "p-owner", "run": "run:1", "index": 4,
                    "registered_at": "2026-10-01T00:00:00Z"},
        "model": {"owner": "p-owner", "on_call": "p-call", "runbook": "https://example.com/runbook", "purpose": "fraud",
                  "third_party": False, "versions": ["model:m@1", "model:m@2"]},
        "run": {"name": "run:1", "status": "completed", "actor": "trainer", "commit": "c0ffee", "dirty": False,
                "seed": 1, "environment": "sha256:" + "ee" * 32, "hardware": "cpu", "has_parameters": True,
                "inputs": [{"subject": "dataset:claims@3", "digest": DIGEST}], "made": True, "others": []},
        "datasets": [{"subject": "dataset:claims@3", "digest": DIGEST, "read": True, "registered": True,
                      "quality": "pass", "deprecated": False, "license": "CC-BY-4.0", "consent": "",
                      "quarantined": False}],
        "evaluations": [evaluation(kind, kind) for kind in ("performance", "drift", "fairness")],
        "signatures": [{"digest": DIGEST, "verdict": "signed"}, {"digest": DIGEST, "verdict": "pass"}],
        "scans": [{"digest": DIGEST, "verdict": "pass", "findings": {}}],
        "performance": [{"index": 9, "verdict": "pass", "digest": DIGEST, "cost": 10, "cost_unit": "EUR",
                         "baseline_cost": 10.5, "p95_ms": 100, "baseline_p95_ms": 95.5, "error_rate": 0}],
        "contract": {"defined": True, "breaking": False, "matches_live": True, "input_schema": DIGEST,
                     "output_schema": DIGEST},
        "documentation": [{"kind": "runbook", "digest": DIGEST, "expired": False}],
        "validations": [{"index": 11, "verdict": "pass", "expired": False, "by": ["p-2"], "independent": True,
                         "open_findings": [{"id": "F1", "severity": "low"}]}],
        "approvals": [{"by": ["p-1"], "environment": "prod", "stands": True, "reason": "", "index": 12,
                       "independent": True}],
        "deployments": [{"name": "deployment:prod/m", "live": "model:m@1", "previous": "", "authorised": "model:m@1",
                         "live_p95_ms": 98, "live_cost": 10.2, "live_cost_unit": "EUR"}],
        "canaries": [{"deployment": "deployment:prod/m", "stage": 1, "traffic": 0.05, "verdict": "pass",
                      "budget_used": 0.1}],
        "slos": [{"slo": "availability", "subject": "deployment:prod/m", "objective": 0.99, "action": "rollback"}],
        "drills": [{"kind": "runbook", "subject": "model:m", "outcome": "pass", "age_seconds": 3600},
                   {"kind": "rollback", "subject": "deployment:prod/m", "outcome": "pass", "age_seconds": 3600}],
        "incidents": [{"incident": "incident:1", "severity": "low"}],
        "people": {"approvers": 2, "deployers": 1, "validators": 1},
        "stopped": "",
    }  # fmt: skip


def bare(tier: str) -> dict[str, Any]:
    """A document of a registered version of which nothing else was recorded.

    Args:
        tier: low, medium or high.
    """

    def emptied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: emptied(one) for name, one in value.items()}
        return [] if isinstance(value, list) else False if isinstance(value, bool) else "" if value != 0 else 0

    full = fine()
    empty = {name: emptied(value) for name, value in full.items()}
    people = {"approvers": 0, "deployers": 0, "validators": 0}
    kept = {name: full[name] for name in ("as_of", "size", "environment", "deployment", "version")}
    return empty | kept | {"tier": tier, "people": people, "version": full["version"] | {"run": ""}}


def evaluation(suite: str, kind: str, **changes: Any) -> dict[str, Any]:
    """One evaluation that passed a day ago, on a part of the data that training did not read.

    Args:
        suite: its suite.
        kind: what was measured.
        changes: members that are otherwise.
    """
    return {
        "id": "0198c0de-0000-7000-8000-000000000001", "index": 7, "age_seconds": 86_400, "suite": suite, "kind": kind,
        "verdict": "pass", "digest": DIGEST, "dataset": "dataset:claims@3", "dataset_digest": DIGEST, "split": "test",
        "trained_on": True, "metrics": {"auc": 0.9},
        "measurements": [], "by": ["trainer"], "independent": False, **changes,
    }  # fmt: skip
