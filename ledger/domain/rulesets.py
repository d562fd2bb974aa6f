"""Rules to begin with: those of a new ledger, and three that differ in how much they ask for, by risk tier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledger.events.ledgers import Rule, RuleSet, Stop, WaiverLimit

__all__ = ["DEFAULT_RULES", "STARTERS"]


def _rule(environment: str, tier: str, approvals: int, **more: Any) -> Rule:
    values = {"authorisation": True, "evaluation": approvals > 0, **more}
    return Rule(environment=environment, tier=tier, approvals=approvals, **values)


_DEV: Final = _rule("dev", "*", 0, authorisation=False)

#: ``dev`` asks for nothing; everything else asks for four eyes on an evaluated version.
DEFAULT_RULES: Final = RuleSet(name="default", rules=(_DEV, _rule("*", "*", 1)))

#: An authorisation alone for what is of tier low; four eyes on what was evaluated for everything else.
_LIGHT: Final = RuleSet(name="light", rules=(_DEV, _rule("*", "low", 0), _rule("*", "*", 1)))

#: Six eyes at tier high, where approvals last a year.
_STANDARD: Final = RuleSet(name="standard", rules=(_DEV, _rule("*", "high", 2, days=365), _rule("*", "*", 1)))

#: Approvals that end, a validator among those who approve at tier high, short waivers, and what state stops what.
_FULL: Final = RuleSet(
    name="full",
    rules=(
        _DEV, _rule("*", "high", 2, roles=("validator",), days=90), _rule("*", "medium", 1, days=180),
        _rule("*", "*", 1, days=365),
    ),
    stops=(
        Stop(decision="approval.requested", states=("registered", "quarantined", "retired")),
        Stop(decision="approval.granted", states=("rejected", "changes requested", "quarantined", "retired")),
        Stop(decision="deployment.requested", states=(
            "registered", "changes requested", "rejected", "suspended", "quarantined", "retired",
        )),
        Stop(decision="deployment.authorised", states=(
            "changes requested", "rejected", "rolled back", "quarantined", "retired",
        )),
        Stop(decision="waiver.requested", states=("registered", "rejected", "quarantined", "retired")),
        Stop(decision="waiver.granted", states=("rejected", "quarantined", "retired")),
    ),
    waivers=(
        WaiverLimit(environment="*", tier="high", days=14), WaiverLimit(environment="*", tier="medium", days=30),
        WaiverLimit(environment="*", tier="*", days=90),
    ),
)  # fmt: skip
#: By name; each is also a file to edit (`muniment admin rules starter`).
STARTERS: Final[Mapping[str, RuleSet]] = {
    rules.name: rules for rules in (DEFAULT_RULES, _LIGHT, _STANDARD, _FULL)
}  # fmt: skip
