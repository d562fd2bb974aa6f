"""Refused decisions, as facts: what somebody wanted to decide, and the rule that was in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ledger.errors import NotAllowedError, PolicyError
from ledger.events import Category, known_event_type
from ledger.names import parse_name
from ledger.strictjson import format_json

__all__ = ["TYPE", "refusal", "refusal_id"]

#: Type of the event.
TYPE: Final = "decision.refused"
_HOUR = 3_600_000_000
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:muniment:decision.refused")


def _environment(subject: str, body: Mapping[str, Any]) -> str | None:
    """Environment that was decided for; None where that cannot be told."""
    name = parse_name(subject)
    environment = name.namespace if name.kind == "deployment" else body.get("environment")
    return environment if isinstance(environment, str) else None


def refusal(topic: str, subject: str, body: Mapping[str, Any], error: PolicyError) -> dict[str, Any] | None:
    """What to record of a decision that was refused.

    Args:
        topic: full topic of the event.
        subject: its subject.
        body: its body.
        error: why it was refused.

    Returns:
        Body of `decision.refused`; None when the event is no decision.
    """
    kind = known_event_type(topic)
    if kind is None or kind.category is not Category.DECISION:
        return None
    found: dict[str, Any] = {
        "decision": kind.name,
        "refused": "not-allowed" if isinstance(error, NotAllowedError) else "policy",
        "reason": error.message[:8000],
        "rule": error.rule or None,
        "environment": _environment(subject, body),
    }
    return {name: value for name, value in found.items() if value is not None}


def refusal_id(ledgerid: str, actor: str, subject: str, body: Mapping[str, Any], now: int) -> str:
    """Event id of a refusal: the same one within an hour of the clock, so that whoever tries again records nothing.

    Args:
        ledgerid: the ledger.
        actor: who wanted to decide.
        subject: about what.
        body: of the refusal.
        now: microseconds since the Unix epoch.
    """
    essence = [ledgerid, actor, subject, dict(body), now // _HOUR]
    found: UUID = uuid5(_NAMESPACE, format_json(essence).decode())
    return str(found)
