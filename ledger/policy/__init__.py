"""Checks as data: read, compiled, and run over a document; pure, but for the engine that evaluates expressions."""

from __future__ import annotations

from ledger.policy.checks import FORMAT, Check, Policy, parse_policy, source_digest
from ledger.policy.engine import engine_name
from ledger.policy.fields import FIELDS, SINCE_V2
from ledger.policy.gate import Outcome, evaluate, input_digest

__all__ = [
    "FIELDS",
    "FORMAT",
    "SINCE_V2",
    "Check",
    "Outcome",
    "Policy",
    "engine_name",
    "evaluate",
    "input_digest",
    "parse_policy",
    "source_digest",
]
