"""Stories under rules, for the tests of approvals, gates, waivers and what is authorised."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ledger.creation import DEFAULT_RULES
from ledger.entry import format_time
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.bodies import WAIVER
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story

HOUR = 3_600_000_000
DAY = 24 * HOUR
PROD = "deployment:prod/x"
AUTHORISE = ("p-deployer", "deployment.authorised", PROD, {"model": MODEL, "digest": DIGEST})
SOURCE = "checks: []"
POLICY = {"digest": "sha256:" + sha256(SOURCE.encode()).hexdigest(), "source": SOURCE, "format": "muniment.checks/v1"}


def rules(**changes: Any) -> RuleSet:
    base: dict[str, Any] = {"environment": "*", "tier": "*", "authorisation": True, "approvals": 1, "evaluation": True}
    return RuleSet(name="own", rules=(Rule(**(base | changes)),))


def gated_rules(**changes: Any) -> RuleSet:
    """One rule, by which a policy is asked."""
    return rules(gate="policy:p@1", gate_digest=POLICY["digest"], **changes)


def ready(own: RuleSet = DEFAULT_RULES) -> Story:
    return Story(own).people().version()


def approve(story: Story, by: str = "p-approver", **more: Any) -> str:
    request = story.request()
    return story.tell(by, "approval.granted", MODEL, {**story.grant(request), **more}).payload.id


def authorised(story: Story) -> bool:
    return story.judge(*AUTHORISE).kind == "valid"


def ends_at(story: Story, end: int, *decision: Any) -> None:
    """A decision is legal until just before a time, and neither at it nor behind it."""
    before = story.now
    told = {}
    for story.now in (end - 1, end, end + 1, end + DAY):
        told[story.now - end] = story.judge(*(decision or AUTHORISE)).kind
    assert told == {-1: "valid", 0: "void", 1: "void", DAY: "void"}
    story.now = before


# -- handing on ------------------------------------------------------------------------------------


def delegate(until: int) -> dict[str, Any]:
    return {"until": format_time(until), "reason": "holiday"}


# -- tiers -----------------------------------------------------------------------------------------


def classify(tier: str) -> dict[str, Any]:
    return {"tier": tier, "rationale": "who is affected"}


# -- gates and waivers -----------------------------------------------------------------------------


def gated(result: str = "allow", **changes: Any) -> dict[str, Any]:
    return {
        "environment": "prod", "policy": "policy:p@1", "policy_digest": POLICY["digest"], "digest": DIGEST,
        "input_digest": OTHER, "size": 99, "as_of": format_time(NOW), "result": result, "checks": [],
        "engine": "cel 1", "deployment": PROD, **changes,
    }  # fmt: skip


def behind_a_gate(**more: Any) -> Story:
    story = ready(gated_rules(**more))
    story.tell("p-approver", "policy.defined", "policy:p@1", POLICY)
    approve(story)
    return story


def ask(story: Story, waiver: str = "waiver:w", **changes: Any) -> None:
    story.tell("p-author", "waiver.requested", waiver, {**WAIVER, "expires_at": format_time(NOW + DAY), **changes})


# -- emergencies -----------------------------------------------------------------------------------


def urgent(review_by: int = NOW + DAY) -> dict[str, Any]:
    return {**AUTHORISE[3], "emergency": {"reason": "fraud wave", "review_by": format_time(review_by)}}
