"""What decisions and what is live rest on, after a key was stolen."""

from __future__ import annotations

import pytest

from ledger.domain.authorising import deployment_doubt
from ledger.domain.decisions import marks_of
from ledger.domain.lifecycle import version_of
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.events.ledgers import Rule, RuleSet
from tests.unit.rings import SECOND, Ring, actor, approved, keyid
from tests.unit.story import DIGEST, MODEL, NOW, Story, refused


def doubt(ring: Ring, deployment: str = "deployment:prod/x", model: str = MODEL, digest: str = DIGEST) -> int | None:
    found = deployment_doubt(ring.world, deployment, model, digest)
    return None if found is None else found.index


def test_what_is_live_rests_on_nothing_suspect_while_nothing_is(ring: Ring):
    assert doubt(ring) is None, "no such model"
    ring.version()
    assert doubt(ring) is None, "neither a deployment nor an approval"
    assert doubt(ring, model="model:m@2") is None, "no such version"
    ring.approve(ring.request())
    ring.authorise()
    assert doubt(ring) is None


@pytest.mark.parametrize("authorised", [False, True])
def test_what_is_live_rests_on_approvals_and_on_the_registration(ring: Ring, authorised: bool):
    _, approval = approved(ring)
    if authorised:
        ring.authorise()
    ring.tell("p-author", "run.started", "run:x")
    ring.compromise("p-approver", approval.index)
    assert doubt(ring) == approval.index
    registered = version_of(ring.world, MODEL).version.signed.index
    ring.compromise("trainer", registered)
    assert doubt(ring) == registered, "the registration comes first"


def test_what_is_live_rests_on_what_was_asked_for_in_its_own_environment(ring: Ring):
    ring.version()
    ring.new_key("p-author", "author-2")
    asked = len(ring.view.leaves)
    for environment in ("dev", "prod", "staging"):
        request = ring.request(environment)
        ring.tell("p-approver", "approval.granted", MODEL, Story.grant(ring, request, environment))
    ring.compromise("p-author", asked + 2)
    assert (doubt(ring, "deployment:dev/x"), doubt(ring)) == (None, asked + 2)
    assert doubt(ring, "deployment:staging/x") == asked + 4
    assert doubt(ring, "deployment:test/x") is None, "neither asked for nor approved"
    ring.reaffirm("p-author", asked + 2, by="p-author", keys=[keyid("author-2")])
    assert (doubt(ring), doubt(ring, "deployment:staging/x")) == (None, asked + 4)


@pytest.mark.parametrize("tier", ["high", "low"])
def test_what_is_live_rests_on_its_own_authorisation(tier: str):
    """At tier low no rule asks for one in `dev`; a suspect one is told nevertheless."""
    ring = Ring(RuleSet(name="own", rules=(
        Rule(environment="dev", tier="low", authorisation=False, approvals=0, evaluation=False),
        Rule(environment="*", tier="*", authorisation=True, approvals=1, evaluation=True),
    ))).people()  # fmt: skip
    ring.version(tier=tier)
    for environment in ("dev", "prod"):
        ring.tell("p-approver", "approval.granted", MODEL, Story.grant(ring, ring.request(environment), environment))
    place, body = "deployment:dev/x", {"model": MODEL, "digest": DIGEST}
    given = ring.tell("p-deployer", "deployment.authorised", place, body)
    ring.compromise("p-deployer", given.index)
    assert doubt(ring, place) == given.index
    assert doubt(ring) is None, "another deployment"
    assert doubt(ring, place, digest="sha256:" + "cd" * 32) is None, "what is live is not what was authorised"
    assert doubt(ring, place, model="model:m@2") is None
    ring.compromise("p-approver", 0)
    assert doubt(ring) is not None
    other = doubt(ring, place, digest="sha256:" + "cd" * 32)
    assert (other is None) is (tier == "low"), "approvals count where the rules ask for them"


def test_an_emergency_rests_on_no_approval_and_where_nothing_is_ruled_only_the_entry_counts():
    rule = Rule(environment="prod", tier="*", authorisation=True, approvals=1, evaluation=False)
    ring = Ring(RuleSet(name="own", rules=(rule,))).people()
    _, approval = approved(ring)
    body = {"model": MODEL, "digest": DIGEST, "emergency": {"reason": "x", "review_by": format_time(NOW + SECOND)}}
    given = ring.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body)
    ring.compromise("p-approver", approval.index)
    assert doubt(ring) is None
    assert doubt(ring, "deployment:prod/y") == approval.index
    assert doubt(ring, "deployment:dev/x") is None, "no rule for dev"
    ring.compromise("p-deployer", given.index)
    assert doubt(ring) == given.index
    registered = version_of(ring.world, MODEL).version.signed.index
    ring.compromise("trainer", registered)
    assert doubt(ring, "deployment:dev/x") == registered


def test_a_suspect_evaluation_is_none(ring: Ring):
    ring.version(passed=False)
    ring.enrol("p-tester", ["validator"])
    ring.enrol("p-tester-2", ["validator"])
    body = {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST}
    tested = ring.tell("p-tester", "evaluation.completed", MODEL, body)
    request = ring.request()
    grant = ("p-approver", "approval.granted", MODEL, Story.grant(ring, request))
    assert ring.judge(*grant).kind == "valid"
    ring.tell(*grant)
    assert ring.may_authorise().kind == "valid"
    ring.authorise()
    ring.compromise("p-tester", tested.index)
    refused(ring.judge("p-second", *grant[1:]), PolicyError, "legality")
    refused(ring.may_authorise(), PolicyError, "legality")
    assert ring.marks() == ("unauthorised",)
    ring.tell("p-tester-2", "evaluation.completed", MODEL, body)
    assert ring.may_authorise().kind == "valid", "measured again"
    assert ring.marks() == ()


def test_a_suspect_request_is_answered_by_nobody(ring: Ring):
    ring.version()
    index = len(ring.view.leaves)
    request = ring.request()
    ring.approve(request)
    ring.compromise("p-author", index)
    refused(ring.may_authorise(), PolicyError, "legality")
    refused(ring.judge("p-second", "approval.granted", MODEL, Story.grant(ring, request)), PolicyError, "legality")


def test_a_suspect_registration_is_decided_about_by_nobody(ring: Ring):
    ring.version()
    registered = actor(ring, "trainer").signed.index
    request = ring.request()
    ring.approve(request)
    ring.compromise("trainer", registered + 1)
    refused(ring.may_authorise(), PolicyError, "legality")
    refused(ring.judge("p-author", "approval.requested", MODEL, {"environment": "prod", "digest": DIGEST}), PolicyError,
            "legality")  # fmt: skip
    assert ring.marks() == ("unauthorised",)


def test_a_suspect_rejection_still_holds(ring: Ring):
    ring.version()
    request = ring.request()
    body = {**Story.grant(ring, request), "rationale": "unfit"}
    rejected = ring.tell("p-approver", "approval.rejected", MODEL, body)
    ring.compromise("p-approver", rejected.index)
    refused(ring.judge("p-second", "approval.granted", MODEL, Story.grant(ring, request)), PolicyError, "legality")


def test_what_is_live_rests_on_as_many_good_approvals_as_are_asked_for(ring: Ring):
    approvals = [approved(ring)[1], ring.approve(ring.request(), by="p-second")]
    for number, environment in enumerate(("dev", "staging")):
        ring.enrol(f"p-{environment}", ["approver"])
        body = Story.grant(ring, ring.request(environment), environment)
        approvals.append(ring.tell(f"p-{environment}", "approval.granted", MODEL, body))
        assert number + 3 == len(approvals)
    ring.authorise()
    live = ("p-deployer", "deployment.completed", "deployment:prod/x", {"model": MODEL, "digest": DIGEST})
    ring.compromise("p-approver", approvals[0].index)
    assert (doubt(ring), ring.marks()) == (None, ()), "the second one stands"
    assert marks_of(ring.world, ring.event(*live)) == ()
    ring.compromise("p-second", approvals[1].index)
    assert (doubt(ring), ring.marks()) == (approvals[0].index, ("unauthorised",)), "others are for elsewhere"


def test_where_no_approval_is_asked_for_no_evaluation_is():
    rule = Rule(environment="*", tier="*", authorisation=True, approvals=0, evaluation=True)
    ring = Ring(RuleSet(name="own", rules=(rule,))).people()
    ring.version()
    measured = version_of(ring.world, MODEL).version.evaluations[0].index
    ring.new_key("trainer", "trainer-2")
    ring.authorise()
    ring.compromise("trainer", measured)
    assert (doubt(ring), ring.marks()) == (None, ())
