"""Waivers: of one check, for a while, so often, and by whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.domain.actors import FOREVER
from ledger.domain.evolution import evolve
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.waiving import covers, longest_end, uses_of, waiver_of
from ledger.entry import format_time
from ledger.errors import ConflictError, InputError, NotAllowedError, PolicyError
from ledger.events.ledgers import WaiverLimit
from tests.unit.bodies import LATER, WAIVER
from tests.unit.governing import (
    AUTHORISE,
    DAY,
    HOUR,
    PROD,
    ask,
    authorised,
    behind_a_gate,
    classify,
    delegate,
    ends_at,
    gated,
    gated_rules,
    ready,
)
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, hint_of, refused

ANOTHER = f"muniment waiver request drift --model {MODEL} --env prod --owner … --reason … --control … --expires …"


def waived(waiver: str) -> list[dict[str, Any]]:
    return [{"check": "drift", "result": "waived", "reason": "x", "waiver": waiver}]


@pytest.fixture
def gate() -> Story:
    return behind_a_gate()


def test_a_gate_rests_on_waivers_only_while_they_stand(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    assert not authorised(gate), "never asked for"
    ask(gate)
    assert not authorised(gate), "nobody granted it"
    half_an_hour = format_time(NOW + HOUR // 2)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x", "expires_at": half_an_hour})
    assert gate.judge(*AUTHORISE).until == NOW + HOUR // 2
    ends_at(gate, NOW + HOUR // 2)
    gate.tell("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert not authorised(gate)


def test_a_waiver_must_be_recorded_as_used_before_it_expires(gate: Story):
    """Append compares the time of recording with `Verdict.until`; what ends a waiver may come later."""
    end = NOW + DAY
    ask(gate)
    granted = gate.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert (granted.kind, granted.until) == ("valid", end)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    use = ("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    used = gate.judge(*use)
    assert (used.kind, used.until) == ("valid", end)
    ends_at(gate, end, *use)
    revoked = gate.judge("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert (revoked.kind, revoked.until) == ("valid", FOREVER)


def test_what_else_is_said_about_a_waiver_changes_nothing(gate: Story):
    ask(gate)
    before = gate.world.state("waiver:w")
    assert before is not None
    said = gate.tell("trainer", "external.observed", "waiver:w", {"system": "s"})
    assert evolve(before, said) == gate.world.state("waiver:w") == before


def test_a_waiver_for_a_single_use_is_for_one_authorisation(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert not authorised(gate), "it must be used with the decision"
    use = ("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    gate.tell(*use)
    other = "deployment:prod/other"
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=other))
    elsewhere = gate.judge("p-deployer", "deployment.authorised", other, AUTHORISE[3])
    assert "it is for a single use, and one is to be used with this decision" in str(elsewhere.error), (
        "it was used for another deployment"
    )
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    gate.tell(*AUTHORISE)
    for verdict in (gate.judge(*AUTHORISE), gate.judge(*use)):
        refused(verdict, PolicyError, "legality")
        assert "does not stand: it was for a single use" in str(verdict.error)
        assert f"muniment gate check {MODEL} --deployment {PROD}; for another waiver: {ANOTHER}" in hint_of(verdict)


def test_a_waiver_for_two_uses_is_for_two_authorisations(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, max_uses=2)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert "it is for 2 uses, and one is to be used with this decision" in str(gate.judge(*AUTHORISE).error)
    assert hint_of(gate.judge(*AUTHORISE)).endswith(f"muniment authorise {PROD} --model {MODEL}")
    other = "deployment:prod/other"
    uses = {place: ("p-deployer", "waiver.used", "waiver:w", {"deployment": place, "model": MODEL})
            for place in (PROD, other)}  # fmt: skip
    gate.tell(*uses[PROD])
    gate.tell(*uses[other])
    for place in (PROD, other):
        gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=place))
        decision = ("p-deployer", "deployment.authorised", place, AUTHORISE[3])
        gate.tell(*decision)
        assert gate.judge(*decision).kind == "void", "its use went to the one before"
    third = gate.judge(*uses[PROD])
    refused(third, PolicyError, "legality")
    assert "it was for 2 uses" in str(third.error)


def test_nobody_uses_up_a_waiver_without_authorising(gate: Story):
    """A use takes one only with the authorisation that it is for, so others still have theirs."""
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    other = "deployment:prod/other"
    for place in (other, PROD, other, PROD):
        gate.tell("p-deployer", "waiver.used", "waiver:w", {"deployment": place, "model": MODEL})
    urgency = {**AUTHORISE[3], "emergency": {"reason": "x", "review_by": format_time(NOW + DAY)}}
    gate.tell("p-deployer", "deployment.authorised", PROD, urgency)
    gate.tell(*AUTHORISE)
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), deployment=other))
    elsewhere = gate.judge("p-deployer", "deployment.authorised", other, AUTHORISE[3])
    refused(elsewhere, PolicyError, "legality")
    assert "it was for a single use" in str(elsewhere.error), "of two that wait, one is served"
    again = gate.judge("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    refused(again, PolicyError, "legality")


def test_how_many_uses_is_said_once_and_is_one_at_the_least(gate: Story):
    asked = {**WAIVER, "expires_at": format_time(NOW + DAY)}
    with pytest.raises(InputError, match="max_uses"):
        gate.judge("p-author", "waiver.requested", "waiver:w", asked | {"max_uses": 0})
    both = asked | {"single_use": True, "max_uses": 2}
    refused(gate.judge("p-author", "waiver.requested", "waiver:w", both), InputError, "schema")
    ask(gate, single_use=True, max_uses=1)
    state = waiver_of(gate.world, "waiver:w")
    assert state is not None
    assert (state.max_uses, uses_of(gate.world, state)) == (1, ())


@pytest.mark.parametrize("end", ["held", "revoked"])
def test_a_waiver_for_a_single_use_ends_with_its_use_and_when_it_is_taken_back(gate: Story, end: str):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, single_use=True)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    gate.tell("p-deployer", "waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    assert authorised(gate)
    if end == "held":
        gate.tell(*AUTHORISE)
        gate.tell("trainer", "deployment.held", PROD, {"model": MODEL, "digest": DIGEST, "reason": "burn rate"})
    else:
        gate.tell("p-author", "waiver.revoked", "waiver:w", {"reason": "x"})
    assert not authorised(gate)


@pytest.mark.parametrize(
    ("model", "deployment"), [("model:other@1", PROD), (MODEL, "deployment:dev/x")]
)  # fmt: skip
def test_a_waiver_is_used_for_what_it_is_for(gate: Story, model: str, deployment: str):
    ask(gate)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    use = {"deployment": deployment, "model": model}
    refused(gate.judge("p-deployer", "waiver.used", "waiver:w", use), PolicyError, "legality")


@pytest.mark.parametrize(
    ("check", "model", "environment", "is_covered"),
    [
        ("drift", MODEL, "prod", True),
        ("drift", "model:m@2", "prod", False),
        ("drift", "model:l@1", "prod", False),
        ("drift2", MODEL, "prod", False),
        ("drif", MODEL, "prod", False),
        ("drift", MODEL, "pro", False),
        ("drift", MODEL, "prod2", False),
        ("drift", MODEL, "dev", False),
    ],
)
def test_a_waiver_covers_one_check_of_one_version_in_one_environment(
    check: str, model: str, environment: str, is_covered: bool
):
    story = ready()
    ask(story)
    state = waiver_of(story.world, "waiver:w")
    assert state is not None
    assert covers(state, check, model, environment) is is_covered
    lasting = replace(state, model="model:m", check="dr*")
    assert covers(lasting, check, model, environment) is (model.startswith("model:m@") and environment == "prod")


def test_who_carries_the_risk_does_not_grant_it():
    story = Story().people()
    story.enrol("p-risk", ["approver", "owner"])
    ask(story, owner="p-risk")
    story.enrol("p-asker", ["approver"], person="p-author", by=ROOT_ACTOR)
    grant = {"rationale": "x"}
    for actor in ("p-risk", "p-asker"):
        refused(
            story.judge(actor, "waiver.granted", "waiver:w", grant),
            NotAllowedError,
            "legality",
            rule="separation waiver.granted/makers",
        )
    refused(story.judge("p-second", "waiver.granted", "waiver:none", grant), PolicyError, "legality")
    story.tell("p-second", "waiver.granted", "waiver:w", grant)
    refused(story.judge("p-second", "waiver.granted", "waiver:w", grant), ConflictError, "legality")
    again = story.judge("p-author", "waiver.requested", "waiver:w", WAIVER)
    refused(again, ConflictError, "legality")


def test_nobody_grants_a_waiver_to_themselves_through_a_deputy():
    story = Story().people()
    story.enrol("p-both", ["approver", "owner"], by=ROOT_ACTOR)
    story.enrol("p-deputy", ["owner"])
    story.tell("p-author", "waiver.requested", "waiver:w", {**WAIVER, "owner": "p-both"})
    for deputy in ("p-deputy", "p-second"):
        story.tell("p-both", "approval.delegated", f"actor:{deputy}", delegate(NOW + DAY))
    refused(story.judge("p-deputy", "waiver.granted", "waiver:w", {"rationale": "x"}), NotAllowedError, "legality")
    assert story.judge("p-deputy", "waiver.denied", "waiver:w", {"rationale": "x"}).kind == "valid"
    assert story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}).kind == "valid"
    story.tell("p-approver", "approval.delegated", "actor:p-author", delegate(NOW + DAY))
    refused(story.judge("p-author", "waiver.granted", "waiver:w", {"rationale": "x"}), NotAllowedError, "legality")


def test_who_made_or_owns_a_model_waives_none_of_its_checks():
    story = ready()
    story.enrol("p-owns", ["approver"])
    story.enrol("p-made", ["approver", "emitter"])
    story.enrol("p-deputy", ["owner"])
    story.tell("p-made", "run.started", "run:other")
    other = {"digest": OTHER, "owner": "p-owns", "tier": "medium", "run": "run:other"}
    story.tell("trainer", "version.registered", "model:m@2", other)
    for waiver, model in (("waiver:w", "model:m"), ("waiver:w2", "model:m@2"), ("waiver:w1", MODEL)):
        ask(story, waiver, model=model)
    story.tell("p-made", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    grant = ("waiver.granted", "waiver:w", {"rationale": "x"})
    for actor in ("p-owns", "p-made", "p-deputy"):
        refused(story.judge(actor, *grant), NotAllowedError, "legality")
        refused(story.judge(actor, grant[0], "waiver:w2", grant[2]), NotAllowedError, "legality")
        assert story.judge(actor, grant[0], "waiver:w1", grant[2]).kind == "valid"
        assert story.judge(actor, "waiver.denied", *grant[1:]).kind == "valid"
    assert story.judge("p-second", *grant).kind == "valid"
    story.tell("p-approver", "risk.classified", "model:m@2", classify("low"))
    assert story.judge("p-owns", grant[0], "waiver:w2", grant[2]).kind == "valid", "light rules stay light"
    story.tell("trainer", "version.registered", "model:m@3", other | {"run": "run:never"})
    told = story.judge("p-second", *grant)
    refused(told, NotAllowedError, "legality")
    assert "must be shown to be another person" in str(told.error)


def test_what_was_granted_by_who_is_a_maker_since_carries_nothing(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    ask(gate, model="model:m")
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    assert authorised(gate)
    gate.enrol("p-second-job", ["emitter"], person="p-second", by=ROOT_ACTOR)
    gate.tell("p-second-job", "run.started", "run:r", {})
    told = gate.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert "whoever granted it is not shown to be another person" in str(told.error)


@pytest.mark.parametrize(("tier", "days"), [("low", 90), ("medium", 90), ("high", 30), (None, 30)])
def test_a_waiver_is_for_a_month_or_a_quarter_at_the_longest(tier: str | None, days: int):
    story = Story().people()
    if tier is not None:
        story.version(tier=tier)
    longest, ask_for = NOW + days * DAY + 120_000_000, ("p-author", "waiver.requested", "waiver:w")
    for end, kind in ((longest, "valid"), (longest + 1, "void")):
        assert story.judge(*ask_for, {**WAIVER, "expires_at": format_time(end)}).kind == kind
    told = story.judge(*ask_for, {**WAIVER, "expires_at": LATER})
    refused(told, PolicyError, "legality", rule="waivers */high" if days == 30 else "waivers */*")
    assert f"is for {days} days at the longest, and this one would end at 2100" in str(told.error)
    assert hint_of(told) == f"Give it an earlier end: --expires {days}d"
    assert longest_end(story.world, WAIVER["model"], WAIVER["environment"], NOW) == NOW + days * DAY


def limited(gate: Story, **row: Any) -> None:
    """From now on waivers are as long as one row says."""
    table = gated_rules().model_copy(update={"waivers": (WaiverLimit(**row),)}).model_dump(mode="json")
    body = {"rules": table, "reason": "audit"}
    gate.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{gate.world.ledgerid}", body)


def test_rules_say_how_long_a_waiver_is_also_for_what_was_granted_before(gate: Story):
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w")))
    month = format_time(NOW + 30 * DAY)
    ask(gate, expires_at=month)
    gate.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    limited(gate, environment="prod", tier="*", days=1)
    gate.now = NOW + DAY + 119_000_000
    gate.tell("p-deployer", "gate.evaluated", MODEL, gated(checks=waived("waiver:w"), as_of=format_time(gate.now)))
    ends_at(gate, NOW + DAY + 120_000_000)
    ask_again = ("p-author", "waiver.requested", "waiver:w2", {**WAIVER, "expires_at": month})
    refused(gate.judge(*ask_again), PolicyError, "legality")
    limited(gate, environment="dev", tier="*", days=365)
    told = gate.judge(*ask_again)
    refused(told, PolicyError, "legality")
    assert str(told.error) == "the rules allow no waivers for model:m@1 in prod"
    assert longest_end(gate.world, WAIVER["model"], WAIVER["environment"], NOW) is None


def test_a_grant_may_give_the_earlier_end_that_the_rules_ask_for(gate: Story):
    ask(gate, expires_at=format_time(NOW + 30 * DAY))
    limited(gate, environment="*", tier="high", days=2)
    grant = ("p-second", "waiver.granted", "waiver:w")
    refused(gate.judge(*grant, {"rationale": "x"}), PolicyError, "legality")
    assert gate.judge(*grant, {"rationale": "x", "expires_at": format_time(NOW + 2 * DAY)}).kind == "valid"


@pytest.mark.parametrize(("check", "names"), [("*", False), ("*-*", False), ("*drift", False), ("drift-*", True)])
def test_a_waiver_names_the_check_it_is_for(check: str, names: bool):
    told = ready().judge("p-author", "waiver.requested", "waiver:w", {**WAIVER, "check": check})
    assert (told.kind == "valid") is names
    if not names:
        refused(told, InputError, "schema")


def test_a_waiver_must_have_an_end_that_lies_ahead():
    story = Story().people()
    for change in ({"expires_at": format_time(NOW)}, {"model": "dataset:d"}):
        refused(story.judge("p-author", "waiver.requested", "waiver:w", {**WAIVER, **change}), InputError, "schema")
    with pytest.raises(InputError, match="expires_at"):
        story.event("p-author", "waiver.requested", "waiver:w", {k: v for k, v in WAIVER.items() if k != "expires_at"})
    ends_at(
        story, NOW + DAY, "p-author", "waiver.requested", "waiver:w", {**WAIVER, "expires_at": format_time(NOW + DAY)}
    )
    ask(story)
    ends_at(story, NOW + DAY, "p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    story.now = NOW + DAY
    refused(story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}), PolicyError, "legality")


def test_what_was_denied_cannot_be_granted():
    story = Story().people()
    ask(story)
    story.tell("p-second", "waiver.denied", "waiver:w", {"rationale": "x"})
    refused(story.judge("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}), ConflictError, "legality")
