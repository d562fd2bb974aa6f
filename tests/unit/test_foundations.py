"""What an approval has to cite, and what becomes of it when that is superseded, withdrawn, in quarantine or ended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ledger.domain.foundations import grounds_of
from ledger.domain.judge import Verdict
from ledger.domain.lifecycle import version_of
from ledger.domain.signing import ROOT_ACTOR
from ledger.domain.states import DatasetState
from ledger.domain.waiving import waiver_of
from ledger.domain.world import run_of
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.events.ledgers import RuleSet
from tests.unit.governing import AUTHORISE, DAY, HOUR, POLICY, approve, authorised, gated_rules, rules
from tests.unit.story import DIGEST, MODEL, NOW, OTHER, Story, hint_of, key_of, refused

DATA = "dataset:d@1"
WINDOW = {"metric": "auc", "start": format_time(NOW - 1), "end": format_time(NOW), "count": 1, "model": MODEL}
VALID = {"verdict": "pass", "independence": "another team"}
FAILED = VALID | {"verdict": "fail"}
GATE = {
    "environment": "prod", "policy": "policy:p@1", "policy_digest": POLICY["digest"], "digest": DIGEST,
    "input_digest": DIGEST, "as_of": format_time(NOW), "result": "allow", "checks": [], "engine": "cel 1",
    "deployment": "deployment:prod/x",
}  # fmt: skip
WAIVED = {"check": "drift", "result": "waived", "reason": "x", "waiver": "waiver:w"}
ASKED = {
    "check": "drift", "model": MODEL, "environment": "prod", "owner": "p-author", "reason": "x",
    "compensating_control": "x", "expires_at": format_time(NOW + DAY),
}  # fmt: skip


def told(own: RuleSet | None = None, tier: str = "high") -> Story:
    """A version of which everything is known that an approval may rest on."""
    story = Story(own or rules()).people()
    story.tell("trainer", "dataset.registered", DATA, {"digest": OTHER})
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "pass"})
    story.tell("trainer", "run.started", "run:r", {"inputs": [{"role": "input", "subject": DATA}]})
    story.version(tier=tier)
    story.tell("p-approver", "validation.completed", MODEL, VALID)
    story.tell("trainer", "contract.defined", "model:m", {"input_schema": DIGEST, "output_schema": OTHER})
    story.tell("p-approver", "policy.defined", "policy:p@1", POLICY)
    story.tell("p-author", "waiver.requested", "waiver:w", ASKED)
    story.tell("p-second", "waiver.granted", "waiver:w", {"rationale": "x"})
    gate(story)
    return story


def gate(story: Story, **more: Any) -> None:
    body = {"size": len(story.view.leaves), "checks": [WAIVED]}
    story.tell("p-deployer", "gate.evaluated", MODEL, GATE | body | more)


def without(story: Story, *kept: int) -> list[dict[str, Any]]:
    """What `approve` cites, but for some entries."""
    named = version_of(story.world, MODEL)
    cited = set(grounds_of(story.world, named, "prod", story.now)) - set(kept)
    return [item for item in story.grant("")["evidence"] if item["index"] in cited]


def grant(story: Story, **more: Any) -> tuple[str, str, str, dict[str, Any]]:
    return "p-approver", "approval.granted", MODEL, story.grant(story.request()) | more


def test_an_approval_that_leaves_out_what_the_rules_ask_for_is_refused():
    story = told()
    version = version_of(story.world, MODEL).version
    (evaluation,), valid = version.evaluations, version_of(story.world, MODEL).model.validations[0]
    for index, words in (
        (version.index, "the registration"), (evaluation.index, "the evaluation"), (valid.index, "the validation"),
    ):  # fmt: skip
        verdict = story.judge(*grant(story, evidence=without(story, index)))
        refused(verdict, PolicyError, "legality", rule="rules */*")
        expected = f"does not cite {words} (entry {index}), on which prod at tier high rests it"
        assert expected in str(verdict.error)
        assert f"muniment approve {MODEL}" in hint_of(verdict)
    verdict = story.judge(*grant(story, evidence=[]))
    refused(verdict, PolicyError, "legality")
    assert f"(entry {version.index}) and 2 more" in str(verdict.error)
    verdict = story.judge(*grant(story, evidence=without(story, version.index, evaluation.index)))
    assert f"(entry {version.index}) and 1 more" in str(verdict.error)
    assert story.judge(*grant(story, evidence=without(story))).kind == "valid"


def test_what_has_ended_or_is_about_other_bytes_is_not_asked_for():
    story = told()
    story.tell("p-approver", "validation.completed", "model:m", VALID | {"valid_until": format_time(NOW)})
    story.tell("p-approver", "validation.completed", MODEL, VALID | {"digest": OTHER})
    assert story.judge(*grant(story, evidence=without(story))).kind == "valid"


def test_what_the_rules_do_not_ask_for_need_not_be_cited():
    story = told(rules(evaluation=False))
    version = version_of(story.world, MODEL).version
    only = [item for item in story.grant("")["evidence"] if item["index"] == version.index]
    assert story.judge(*grant(story, evidence=only)).kind == "valid"
    story = told(rules(approvals=0))
    assert story.judge(*grant(story, evidence=[])).kind == "valid"


@pytest.mark.parametrize("stricter", [rules(), rules(evaluation=False)])
def test_what_was_given_when_less_was_asked_for_is_not_what_is_asked_for_now(stricter: RuleSet):
    story = told(rules(approvals=0))
    approve(story, evidence=[])
    body = {"rules": stricter.model_dump(mode="json"), "reason": "audit"}
    story.tell(ROOT_ACTOR, "ledger.rules_changed", f"ledger:{story.world.ledgerid}", body)
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert "does not stand: it does not cite the registration" in str(verdict.error)
    approve(story)
    assert authorised(story)


def falls(story: Story, words: str) -> None:
    verdict = story.judge(*AUTHORISE)
    refused(verdict, PolicyError, "legality")
    assert words in str(verdict.error), verdict.error


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
def test_a_validation_that_says_less_suspends(subject: str):
    story = told()
    cited = story.tell("p-approver", "validation.completed", subject, VALID).index
    approve(story)
    story.tell("p-approver", "validation.completed", subject, VALID)
    story.tell("p-approver", "validation.completed", MODEL, VALID | {"verdict": "fail", "digest": OTHER})
    assert authorised(story), "what says no less, or is about other bytes, takes nothing back"
    last = story.tell("p-approver", "validation.completed", subject, VALID | {"verdict": "uncertain"}).index
    falls(story, f"entry {last} took the place of entry {cited}, on which it rests, and says uncertain")
    ends = VALID | {"valid_until": format_time(NOW + HOUR)}
    late = story.tell("p-approver", "validation.completed", subject, ends, occurred_at=NOW - DAY).index
    falls(story, "and says uncertain")
    named = version_of(story.world, MODEL)
    assert late not in grounds_of(story.world, named, "prod", NOW)
    story.tell("p-approver", "validation.completed", subject, VALID)
    assert authorised(story)
    last = story.tell("p-approver", "validation.completed", subject, FAILED, occurred_at=NOW - DAY).index
    falls(story, f"entry {last} took the place of entry {cited}, on which it rests, and says fail")


def withdraw(story: Story, validation: str) -> int:
    return story.tell("p-approver", "validation.withdrawn", MODEL, {"validation": validation, "reason": "x"}).index


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
def test_a_validation_that_is_withdrawn_suspends(subject: str):
    story = told()
    cited = story.tell("p-approver", "validation.completed", subject, VALID)
    approve(story)
    withdraw(story, str(UUID(int=7)))
    assert authorised(story), "another one"
    story.tell("p-approver", "validation.completed", subject, VALID)
    gone = withdraw(story, cited.payload.id)
    falls(story, f"entry {gone} withdrew the validation {cited.index}, on which it rests")
    approve(story)
    assert authorised(story), "an approval that rests on the one that holds"


def test_what_took_the_place_of_a_validation_and_was_withdrawn_does_not_bring_it_back():
    story = told()
    cited = story.tell("p-approver", "validation.completed", MODEL, VALID).index
    approve(story)
    later = story.tell("p-approver", "validation.completed", MODEL, VALID).payload.id
    withdraw(story, later)
    falls(story, f"what took the place of entry {cited}, on which it rests, was withdrawn")
    story.tell("p-approver", "validation.completed", MODEL, VALID, occurred_at=NOW - DAY)
    falls(story, f"what took the place of entry {cited}, on which it rests, was withdrawn")
    named = version_of(story.world, MODEL)
    assert named.model.validations_of("1", DIGEST) == ()
    approve(story)
    assert authorised(story), "nobody has to cite what does not hold"


def test_a_gate_is_run_again_when_a_validation_was_withdrawn():
    story = told(gated_rules())
    validation = story.tell("p-approver", "validation.completed", MODEL, VALID).payload.id
    gate(story)
    approve(story)
    assert authorised(story)
    withdraw(story, validation)
    approve(story)
    falls(story, "said more of evaluations, validations, the contract, the tier or what is live there")
    gate(story)
    assert authorised(story)


@pytest.mark.parametrize(
    ("subject", "more", "stale"),
    [
        ("model:m@2", {}, False),
        (MODEL, {"digest": OTHER}, False),
        (MODEL, {"digest": DIGEST}, True),
        ("model:m", {}, True),
    ],
)
def test_a_gate_is_run_again_only_when_a_validation_of_this_version_was_withdrawn(
    subject: str, more: dict[str, str], stale: bool
):
    story = told(gated_rules())
    about_it = story.tell("p-approver", "validation.completed", subject, VALID | more).payload.id
    story.tell("p-approver", "validation.completed", subject, VALID | more)  # superseded, it was looked at all the same
    gate(story)
    approve(story)
    withdraw(story, about_it)
    approve(story)
    if stale:
        falls(story, "said more of evaluations, validations, the contract, the tier or what is live there")
    else:
        assert authorised(story), "another version, or other bytes"


ENDING: dict[str, dict[str, Any]] = {
    "validation.completed": VALID | {"valid_until": format_time(NOW + HOUR)},
    "documentation.attached": {"kind": "DPIA", "digest": DIGEST, "expires_at": format_time(NOW + HOUR)},
}


def begins(story: Story, since: int) -> Verdict:
    """An approval that cites what `approve` does, and stands from then on."""
    body = story.grant(story.request()) | {"evidence": without(story), "valid_from": format_time(since)}
    return story.judge("p-approver", "approval.granted", MODEL, body)


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
@pytest.mark.parametrize("kind", list(ENDING))
def test_an_approval_does_not_begin_after_what_it_cites_has_ended(subject: str, kind: str):
    story = told()
    cited = story.tell("p-approver", kind, subject, ENDING[kind]).index
    assert begins(story, NOW + HOUR - 1).kind == "valid"
    verdict = begins(story, NOW + HOUR)
    refused(verdict, InputError, "schema")
    assert f"expired at {format_time(NOW + HOUR)}, before it stands: it cites" in str(verdict.error)
    assert f"(entry {cited}), which ends then, and is to begin at {format_time(NOW + HOUR)}" in str(verdict.error)
    assert hint_of(verdict) == "Give it an earlier beginning, or approve once what ends then was renewed."
    renewed = {name: said for name, said in ENDING[kind].items() if said != format_time(NOW + HOUR)}
    story.tell("p-approver", kind, subject, renewed)
    assert begins(story, NOW + HOUR).kind == "valid", "what was renewed is cited no more"


def test_an_approval_does_not_begin_after_the_waiver_of_a_gate_that_it_cites_has_ended():
    story = told()
    assert begins(story, NOW + DAY - 1).kind == "valid"
    verdict = begins(story, NOW + DAY)
    refused(verdict, InputError, "schema")
    ran = version_of(story.world, MODEL).version.gates["policy:p@1", "prod"].signed.index
    assert f"it cites waiver:w of the gate (entry {ran}), which ends then" in str(verdict.error)
    gate(story, checks=[])
    assert begins(story, NOW + DAY).kind == "valid"


def test_a_version_that_was_demoted_is_approved_anew_there():
    story = told()
    approve(story)
    story.tell("p-author", "version.demoted", MODEL, {"environment": "staging", "reason": "x"})
    assert authorised(story), "from elsewhere"
    index = story.tell("p-author", "version.demoted", MODEL, {"environment": "prod", "reason": "drifts"}).index
    falls(story, f"entry {index} demoted it from prod")
    approve(story)
    assert authorised(story)


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
def test_another_contract_suspends(subject: str):
    story = told()
    approve(story)
    says = {"input_schema": DIGEST, "output_schema": OTHER}
    story.tell("trainer", "contract.defined", subject, says)
    assert authorised(story), "the same, said again"
    story.tell("trainer", "contract.defined", subject, says | {"output_schema": DIGEST})
    falls(story, "on which it rests, and says another contract")


SCAN = {"digest": DIGEST, "scanner": "s", "verdict": "pass"}
#: Verdicts about a version, each with what makes it another of its kind.
JUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "performance.tested": ({"verdict": "pass"}, {}, "the performance test"),
    "artifact.scanned": (SCAN, {"scanner": "b"}, "the scan"),
    "artifact.verified": (
        {"digest": DIGEST, "method": "key", "verdict": "pass"}, {"method": "b"}, "the check of the signature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(JUDGED))
def test_a_verdict_that_says_less_of_a_version_or_its_bytes_suspends(kind: str):
    body, another, words = JUDGED[kind]
    story = told()
    story.tell("trainer", "version.registered", "model:m@2", {"digest": DIGEST, "owner": "p-author", "tier": "high"})
    cited = story.tell("trainer", kind, MODEL, body).index
    approve(story)
    story.tell("trainer", kind, MODEL, body)
    story.tell("trainer", kind, MODEL, body | {"digest": OTHER, "verdict": "fail"})
    story.tell("trainer", kind, "model:m@3", body | {"digest": OTHER, "verdict": "fail"})
    story.tell("trainer", "monitor.window", "monitor:m", WINDOW)
    assert authorised(story), "no less, other bytes, and a window of metrics"
    for subject, verdict in ((MODEL, "uncertain"), ("model:m@2", "fail"), ("model:m", "fail")):
        said = body | {"digest": DIGEST, "verdict": verdict}
        last = story.tell("trainer", kind, subject, said).index
        falls(story, f"{words} in entry {last} says {verdict}, where entry {cited}, on which it rests, said pass")
        for name in (MODEL, subject):  # by the version as by its bytes
            story.tell("trainer", kind, name, said | {"verdict": "pass"}, occurred_at=NOW - DAY)
            falls(story, f"{words} in entry {last} says {verdict}")
        story.tell("trainer", kind, subject, said | {"verdict": "pass"})
        assert authorised(story), "until it passes again"
    last = story.tell("trainer", kind, MODEL, body | another | {"verdict": "fail"}, occurred_at=NOW - DAY).index
    falls(story, f"{words} in entry {last} says fail")
    approve(story)
    assert authorised(story), "its author knew"


#: What takes the place of what was said before; a document of another kind, or of another version, does not.
REPLACED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "modelcard.published": ({"digest": DIGEST}, {"digest": OTHER}, "model card"),
    "modelcard.revised": ({"digest": DIGEST}, {"digest": OTHER}, "model card"),
    "documentation.attached": ({"kind": "DPIA", "digest": DIGEST}, {"digest": OTHER}, "document"),
    "risk.classified": ({"tier": "medium", "rationale": "x"}, {"tier": "high"}, "tier"),
}


@pytest.mark.parametrize("subject", [MODEL, "model:m"])
@pytest.mark.parametrize("kind", list(REPLACED))
def test_what_takes_the_place_of_a_card_a_document_or_a_tier_suspends(kind: str, subject: str):
    body, other, words = REPLACED[kind]
    story = told(tier="medium")
    story.tell("trainer", "version.registered", "model:m@2", {"digest": OTHER, "owner": "p-author", "tier": "medium"})
    if kind != "risk.classified":  # the registration names the first tier
        story.tell("p-author", "documentation.attached", MODEL, {"kind": "FRIA", "digest": DIGEST})
        story.tell("p-author", kind, subject, body)
    approve(story)
    story.tell("p-author", kind, subject, body)
    story.tell("p-author", kind, "model:m@2", body | other)
    story.tell("p-author", "documentation.attached", MODEL, {"kind": "runbook", "digest": OTHER})
    assert authorised(story), "the same, said again, of another version, and a document that there was not"
    index = story.tell("p-author", kind, subject, body | other).index
    falls(story, f"entry {index} took the place of entry")
    falls(story, f"on which it rests, and says another {words}")
    approve(story)
    assert authorised(story), "its author knew"


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("dataset.consent_changed", {"status": "withdrawn"}, "had its consent withdrawn"),
        ("dataset.deleted", {"reason": "retention"}, "was deleted"),
    ],
)
@pytest.mark.parametrize("subject", [DATA, "dataset:d"])
def test_data_that_may_be_used_no_more_suspends(subject: str, kind: str, body: dict[str, Any], words: str):
    story = told()
    approve(story)
    story.tell("trainer", "dataset.consent_changed", DATA, {"status": "limited"})
    story.tell("trainer", kind, "dataset:d@2", body)
    assert authorised(story), "nobody had said that all might be done with it; and another version"
    index = story.tell("trainer", kind, subject, body).index
    falls(story, f"{DATA}, on which it rests, {words} by entry {index}")
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "pass"})
    falls(story, words)
    approve(story)
    assert authorised(story), "its author knew"


def test_consent_that_is_limited_suspends_what_was_approved_when_it_was_not():
    story = told()
    story.tell("trainer", "dataset.consent_changed", DATA, {"status": "granted"})
    approve(story)
    story.tell("trainer", "dataset.consent_changed", "dataset:d", {"status": "limited"})
    falls(story, f"{DATA}, on which it rests, had its consent limited")
    for thing in (DATA, "dataset:d"):
        story.tell("trainer", "dataset.consent_changed", thing, {"status": "granted"}, occurred_at=NOW - DAY)
        falls(story, f"{DATA}, on which it rests, had its consent limited")
    story.tell("trainer", "dataset.consent_changed", DATA, {"status": "granted"})
    assert authorised(story)
    read = {"inputs": [{"role": "input", "subject": name} for name in ("dataset:e@1", DATA)]}
    for name, digest in (("again", DIGEST), ("other", OTHER)):
        story.tell("trainer", "run.completed", f"run:{name}", read)
        body = {"digest": digest, "owner": "p-author", "tier": "high", "run": f"run:{name}"}
        story.tell("trainer", "version.registered", f"model:m@{name}", body)
        read["inputs"][0]["subject"] = "dataset:f@1"
    for name in "fe":
        assert authorised(story)
        story.tell("trainer", "dataset.consent_changed", f"dataset:{name}@1", {"status": "withdrawn"})
    falls(story, "dataset:e@1, on which it rests, had its consent withdrawn")


def test_a_gate_that_refuses_suspends_until_it_allows():
    story = told()
    gate(story, environment="dev")
    gate(story, result="deny", policy="policy:p@2")
    approve(story)
    gate(story, result="deny", environment="dev")
    gate(story, result="deny", policy="policy:p@2")
    assert authorised(story), "neither another place nor another policy"
    gate(story, result="deny")
    falls(story, "says that policy:p@1 refuses, which entry")
    gate(story)
    assert authorised(story)
    gate(story, result="deny")
    approve(story)
    assert authorised(story), "its author knew"


def test_an_approval_ends_with_the_waiver_that_its_gate_rests_on():
    story = told()
    approve(story)
    verdict = story.judge(*AUTHORISE)
    assert (verdict.kind, verdict.until) == ("valid", NOW + DAY)
    story.now = NOW + DAY
    falls(story, f"it expired at {format_time(NOW + DAY)}")


def test_a_waiver_that_is_taken_back_or_was_signed_by_a_thief_suspends():
    story = told()
    approve(story)
    story.tell("p-deployer", "waiver.used", "waiver:w", {"deployment": "deployment:prod/x", "model": MODEL})
    assert authorised(story), "used is not taken back"
    stolen = {"keyid": key_of("p-second").public.keyid, "since": 0, "reason": "stolen"}
    lost = told()
    approve(lost)
    lost.tell(ROOT_ACTOR, "key.compromised", "actor:p-second", stolen)
    falls(lost, "waiver:w, on which it rests, does not stand: entry 17 is suspect")
    story.tell("p-second", "waiver.revoked", "waiver:w", {"reason": "x"})
    falls(story, "waiver:w, on which it rests, does not stand: it was revoked")


@pytest.mark.parametrize("status", ["failed", "aborted"])
def test_a_run_that_is_said_to_have_failed_suspends(status: str):
    story = told()
    approve(story)
    story.tell("trainer", "run.started", "run:r")
    assert authorised(story)
    index = story.tell("trainer", f"run.{status}", "run:r", {"reason": "it read too little"}).index
    falls(story, f"run:r, on which it rests, {status}, as entry {index} says")
    approve(story)
    assert authorised(story), "its author knew"


@pytest.mark.parametrize("subject", [DATA, "dataset:d"])
def test_data_that_is_assessed_as_worse_suspends(subject: str):
    story = told()
    approve(story)
    story.tell("trainer", "dataset.quality_assessed", "dataset:d@2", {"verdict": "fail"})
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "fail", "digest": DIGEST})
    story.tell("trainer", "dataset.quality_assessed", subject, {"verdict": "pass"})
    assert authorised(story), "another version, other bytes, and the same again"
    index = story.tell("trainer", "dataset.quality_assessed", subject, {"verdict": "fail"}).index
    falls(story, f"{DATA}, on which it rests, was assessed as fail by entry {index}")
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "pass"}, occurred_at=NOW - DAY)
    falls(story, f"{DATA}, on which it rests, was assessed as fail by entry {index}")
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "pass"})
    assert authorised(story)


def test_what_is_said_of_data_again_is_as_new_as_its_last_report():
    """A state keeps no report that says the same, only that it does; of one version, of another, and of all of them."""

    def said(thing: str, status: str, before: int) -> None:
        body = {"status": status}
        story.tell("trainer", "dataset.consent_changed", thing, body, occurred_at=NOW - before * HOUR)

    def kept() -> int:
        data = story.world.state("dataset:d")
        assert isinstance(data, DatasetState)
        return len(data.assessed)

    story = told()
    said(DATA, "granted", 90)
    approve(story)
    assert authorised(story)
    said(DATA, "withdrawn", 80)
    before = kept()
    for hours in (70, 85, 60):
        said(DATA, "withdrawn", hours)
    assert kept() == before
    said(DATA, "granted", 65)
    falls(story, "had its consent withdrawn")
    said(DATA, "granted", 59)
    assert authorised(story)
    said("dataset:d", "withdrawn", 50)
    said("dataset:d@2", "granted", 45)
    said("dataset:d", "withdrawn", 40)
    said(DATA, "granted", 42)
    falls(story, "had its consent withdrawn")
    said(DATA, "withdrawn", 30)
    said("dataset:d", "granted", 35)
    falls(story, "had its consent withdrawn")
    said("dataset:d", "granted", 30)
    assert authorised(story)


def test_data_of_which_nothing_was_known_is_no_worse_when_it_is_uncertain():
    story = Story(rules()).people()
    story.tell("trainer", "dataset.registered", DATA, {"digest": OTHER})
    story.tell("trainer", "run.started", "run:r", {"inputs": [{"role": "input", "subject": DATA}]})
    story.version()
    approve(story)
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "uncertain"})
    assert authorised(story)
    story.tell("trainer", "dataset.quality_assessed", DATA, {"verdict": "fail"})
    falls(story, "was assessed as fail")


@pytest.mark.parametrize("thing", [DATA, "dataset:d", MODEL])
def test_an_approval_is_suspended_in_quarantine_whatever_the_rules_stop(thing: str):
    own = RuleSet.model_validate_json(rules().model_copy(update={"stops": ()}).model_dump_json())
    story = told(own)
    approve(story)
    placed = story.tell("trainer", "quarantine.placed", thing, {"reason": "poisoned"})
    falls(story, f"is in quarantine since entry {placed.index}")
    story.tell("p-second", "quarantine.released", thing, {"quarantine": placed.payload.id, "rationale": "clean"})
    assert authorised(story)


def test_all_that_is_known_is_cited():
    story = told()
    paper = {"kind": "DPIA", "digest": DIGEST, "expires_at": format_time(NOW + HOUR)}
    document = story.tell("p-author", "documentation.attached", "model:m", paper).index
    story.tell("p-author", "documentation.attached", "model:m", paper | {"expires_at": format_time(NOW)})
    gate(story, environment="dev")
    story.tell("trainer", "artifact.scanned", MODEL, SCAN | {"verdict": "fail"})
    said = [
        story.tell(actor, kind, MODEL, body).index for actor, kind, body in (
            ("trainer", "artifact.scanned", SCAN), ("trainer", "performance.tested", {}),
            ("trainer", "modelcard.published", {"digest": DIGEST}),
            ("p-author", "documentation.attached", {"kind": "FRIA", "digest": DIGEST}),
            ("p-author", "risk.classified", {"tier": "high", "rationale": "x"}),
        )
    ]  # fmt: skip
    named, world = version_of(story.world, MODEL), story.world
    version, run, contract = named.version, run_of(world, "run:r"), named.model.contract_of("1")
    waiver, data = waiver_of(world, "waiver:w"), world.state("dataset:d")
    assert run is not None
    assert contract is not None
    assert waiver is not None
    assert waiver.granted is not None
    assert isinstance(data, DatasetState)
    expected = [
        version.index, version.evaluations[0].index, named.model.validations[0].index, run.index, contract.index,
        version.gates["policy:p@1", "prod"].signed.index, waiver.granted.index, data.assessed[0].index, document,
        *said,
    ]  # fmt: skip
    assert grounds_of(world, named, "prod", NOW) == expected
