"""Checks as data: read, compiled, and run over a document; pure, but for the engine that evaluates expressions."""

from __future__ import annotations

from ledger.policy.checks import FORMAT, Check, Policy, parse_policy, source_digest
from ledger.policy.engine import engine_name
from ledger.policy.examples import fine
from ledger.policy.fields import FIELDS, in_form
from ledger.policy.gate import Outcome, Waived, evaluate, input_digest, troubles, unknown_names
from ledger.policy.starters import STARTERS, starter

__all__ = [
    "FIELDS",
    "FORMAT",
    "STARTERS",
    "Check",
    "Outcome",
    "Policy",
    "Waived",
    "engine_name",
    "evaluate",
    "fine",
    "in_form",
    "input_digest",
    "parse_policy",
    "source_digest",
    "starter",
    "troubles",
    "unknown_names",
]
