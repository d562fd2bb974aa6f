"""The control report: each of the eight controls can fail alone, and says so with its evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger import commands
from ledger.application import Receipt
from ledger.creation import DEFAULT_RULES
from ledger.domain import State
from ledger.domain.world import World
from ledger.entry import format_time
from ledger.errors import ConfigurationError, PolicyError
from ledger.events.ledgers import Rule, RuleSet
from ledger.payload import parse_moment
from ledger.policy import source_digest
from projections.gates import Stated, run_gate
from projections.known import Known
from projections.reports import REPORTS, ReportContext
from projections.reports.controls import CONTROLS as DEFINED
from tests.contract.support import digest
from tests.projections.support import CONTROLS, DEV, PROD, Book, tell, when

ONE, TWO = "model:scoring@1", "model:scoring@2"
#: Controls over what a good life has none of.
EXCEPTIONS = {"gate-before-authorise", "emergency-reviewed"}
#: Refuses the second version, where it is asked.
POLICY = """\
schema: muniment.checks/v1
title: What is asked
checks:
- id: not-the-second
  title: It is not the second version
  pass: input.version.name != "model:scoring@2"
  reason: Register another one.
"""
GOOD, BAD, EMPTY, UNKNOWN = "satisfied", "not satisfied", "not applicable", "not assessed"


def a_good_life(book: Book) -> None:
    """Two versions released as they should be, and a return to the first."""
    book.dataset("dataset:base@1", 0)
    for number, model in enumerate((ONE, TWO)):
        book.version(model, 1 + 10 * number)
        book.release(model, 5 + 10 * number)
    book.roll_back(ONE, 30)


def a_whole_life(book: Book) -> None:
    """The same, with an emergency that was reviewed, and an environment in which a policy is asked."""
    a_good_life(book)
    review(book, emergency(book, 31), 32)
    rule_by_gate(book, "stage")
    gate(book, ONE, 33, "stage")
    book.release(ONE, 33, "deployment:stage/scoring")


def emergency(book: Book, at: float) -> Receipt:
    """An authorisation that waited for nobody, to be reviewed within a month of the store's clock."""
    urgent = {"reason": "losses", "review_by": "2027-11-20T00:00:00Z"}
    return commands.authorise(
        book.cast["p-deployer"], "deployment:prod/batch", ONE, emergency=urgent, occurred_at=when(at)
    )


def review(book: Book, decision: Receipt, at: float, verdict: str = "justified") -> Receipt:
    body = {"decision": decision.id, "verdict": verdict, "rationale": "looked at"}
    return book.emit("p-approver", "emergency.reviewed", "deployment:prod/batch", body, at=at)


def rule_by_gate(book: Book, environment: str) -> None:
    """From now on a policy is asked in an environment."""
    body = {"digest": source_digest(POLICY), "source": POLICY, "format": "muniment.checks/v1"}
    book.emit("p-approver", "policy.defined", "policy:p@1", body, at=0)
    rule = Rule(environment=environment, tier="*", authorisation=True, approvals=1, evaluation=True, gate="policy:p@1",
                gate_digest=body["digest"])  # fmt: skip
    rules = DEFAULT_RULES.model_copy(update={"rules": (rule, *DEFAULT_RULES.rules)})
    table = rules.model_dump(mode="json", exclude_none=True)
    book.cast.root.emit("ledger.rules_changed", f"ledger:{book.ledger.ledgerid}", rules=table, reason="gates")


def gate(book: Book, model: str, at: float, environment: str = "prod", result: str = "allow", **more: Any) -> Receipt:
    """The policy is run; what is recorded of it may be something else."""
    reader = book.reader()
    known = Known(reader.ledger, reader.runner.views, reader.size)
    policy, place = Stated("policy:p@1", POLICY), f"deployment:{environment}/scoring"
    ran = run_gate(known, policy, model, environment, as_of=known.recorded_at, deployment=place)
    return book.emit("trainer", "gate.evaluated", model, ran.body() | {"result": result} | more, at=at)


def test_a_gate_that_would_have_refused_satisfies_nothing(any_book: Book):
    """Whoever may sign what a gate found can sign a lie; the report runs it again."""
    book = any_book
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    gate(book, ONE, 5)
    book.release(ONE, 5)
    found = finding(book.report(), "gate-before-authorise")
    assert (found["state"], found["population"]["size"]) == (GOOD, 1)
    book.version(TWO, 6)
    forged = gate(book, TWO, 7, checks=[{"check": "not-the-second", "result": "pass", "reason": "It is not"}])
    book.release(TWO, 8)
    found = finding(book.report(), "gate-before-authorise")
    assert (found["state"], found["population"]["failed"]) == (BAD, 1)
    assert "run again over the same" in found["reason"]
    assert forged.index in {item["index"] for item in found["evidence"]}


def test_a_gate_that_cannot_be_run_again_is_not_assessed(book: Book, monkeypatch: pytest.MonkeyPatch):
    a_whole_life(book)

    def missing() -> None:
        raise ConfigurationError("policies need a CEL engine, which is not installed")

    monkeypatch.setattr("ledger.policy.engine._library", missing)
    monkeypatch.setattr("ledger.policy.checks.compile_expression", lambda text: missing())
    found = finding(book.report(), "gate-before-authorise")
    assert found["state"] == UNKNOWN
    assert "it was not run again: policies need a CEL engine" in found["reason"]


def finding(report: dict[str, Any], control: str) -> dict[str, Any]:
    (found,) = [item for item in report["findings"] if item["control"] == control]
    return found


def test_the_eight_controls_are_the_ones_documented(book: Book):
    assert tuple(control.name for control in DEFINED) == CONTROLS
    assert tuple(book.findings()) == CONTROLS
    assert list(REPORTS) == ["control-assessment"]


def test_nothing_to_test_is_not_applicable(any_book: Book):
    assert any_book.findings() == dict.fromkeys(CONTROLS, EMPTY)
    report = any_book.report()
    assert report["summary"] == {GOOD: 0, BAD: 0, EMPTY: 8, UNKNOWN: 0, "manual": 0}
    assert all(item["evidence"] == [] and item["population"]["size"] == 0 for item in report["findings"])


def test_a_whole_life_satisfies_every_control(any_book: Book):
    a_whole_life(any_book)
    assert any_book.findings() == dict.fromkeys(CONTROLS, GOOD)
    report = any_book.report()
    assert report["summary"] == {GOOD: 8, BAD: 0, EMPTY: 0, UNKNOWN: 0, "manual": 0}
    rows = {row.entry.index: row for row in any_book.ledger.recorder.rows(0, 1000)}
    for item in report["findings"]:
        assert item["population"]["size"] > 0
        assert item["evidence"]
        for evidence in item["evidence"]:
            row = rows[evidence["index"]]
            assert evidence["leaf_hash"] == row.leaf_hash.hex()
            assert (evidence["id"], evidence["subject"]) == (row.entry.id, row.entry.subject)
            assert f"muniment.{evidence['type']}.v1" == row.entry.type


# -- one control fails, and no other ------------------------------------------------------------------------------
# Each story returns the indexes of what failed, and the hour as of which it is asked.


def late_approval(book: Book) -> tuple[list[int], float | None]:
    """As of the authorisation, the approval had not happened yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 9)
    authorisation = book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [authorisation.index], 7


def other_bytes(book: Book) -> tuple[list[int], float | None]:
    """In dev nothing needs authorising, so that only the bytes are wrong."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.authorise(ONE, 2, DEV)
    return [book.deploy(ONE, 3, DEV, digest=digest("other bytes")).index], None


def late_evaluation(book: Book) -> tuple[list[int], float | None]:
    """As of the approval, the evaluation had not happened yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    book.register(ONE, 2, run=run)
    book.evaluate(ONE, 9)
    book.request(ONE, 3)
    approval = book.approve(ONE, 4)
    book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [approval.index], 7


def no_provenance(book: Book) -> tuple[list[int], float | None]:
    """Nobody knows how it was made."""
    book.register(ONE, 1)
    book.evaluate(ONE, 2)
    return [book.release(ONE, 3).index], None


def nobody_authorised(book: Book) -> tuple[list[int], float | None]:
    """A hotfix."""
    a_good_life(book)
    book.version("model:scoring@3", 40)
    return [book.deploy("model:scoring@3", 41).index], None


def never_live(book: Book) -> tuple[list[int], float | None]:
    """A rollback to what never was there."""
    a_good_life(book)
    book.version("model:scoring@3", 40)
    return [book.roll_back("model:scoring@3", 41).index], None


def late_gate(book: Book) -> tuple[list[int], float | None]:
    """As of the authorisation, the gate had not been run yet: its author says so."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    book.request(ONE, 2)
    book.approve(ONE, 3)
    gate(book, ONE, 9)
    authorisation = book.authorise(ONE, 5)
    book.deploy(ONE, 6)
    return [authorisation.index], 7


def nobody_reviewed(book: Book) -> tuple[list[int], float | None]:
    """An emergency that waits for another person."""
    a_good_life(book)
    return [emergency(book, 40).index], None


STORIES = (
    late_approval, other_bytes, late_evaluation, no_provenance, nobody_authorised, never_live, late_gate,
    nobody_reviewed,
)  # fmt: skip


@pytest.mark.parametrize(("control", "story"), list(zip(CONTROLS, STORIES, strict=True)), ids=CONTROLS)
def test_each_control_can_fail_alone(any_book: Book, control: str, story: Callable[[Book], tuple[list[int], float]]):
    failed, at = story(any_book)
    found = any_book.findings(at=at)
    assert [name for name, state in found.items() if state == BAD] == [control]
    assert UNKNOWN not in found.values()
    bad = finding(any_book.report(at=at), control)
    assert bad["population"]["failed"] == len(failed)
    assert [item["index"] for item in bad["items"] if item["state"] == BAD] == failed
    assert set(failed) <= {item["index"] for item in bad["evidence"]}
    assert bad["reason"].startswith(f"{len(failed)} of {bad['population']['size']} failed: ")


def test_rolling_back_and_forth_makes_no_good_target_of_what_nobody_allowed(book: Book):
    a_good_life(book)
    book.version("model:scoring@3", 40)
    book.deploy("model:scoring@3", 41)
    book.roll_back(ONE, 42)
    again = book.roll_back("model:scoring@3", 43)
    bad = finding(book.report(), "rollback-target-once-live")
    assert [item["index"] for item in bad["items"] if item["state"] == BAD] == [again.index]


@pytest.mark.parametrize(
    ("left_out", "empty"),
    [
        ("rollback", {"rollback-target-once-live"}),
        ("authorise", {"four-eyes-before-authorise"}),
        ("approve authorise", {"four-eyes-before-authorise", "evaluation-before-approval"}),
        ("deploy rollback",
         {"same-digest", "training-provenance", "deployment-authorised", "rollback-target-once-live"}),
    ],
)  # fmt: skip
def test_each_control_is_not_applicable_where_its_kind_of_event_is_left_out(book: Book, left_out: str, empty: set[str]):
    book.dataset("dataset:base@1", 0)
    for at, model in ((10, ONE), (20, TWO)):
        book.version(model, at)
        if "approve" not in left_out:
            book.request(model, at + 1)
            book.approve(model, at + 2)
        if "authorise" not in left_out:
            book.authorise(model, at + 3)
        if "deploy" not in left_out:
            book.deploy(model, at + 4)
    if "rollback" not in left_out:
        book.roll_back(ONE, 30)
    assert {name for name, state in book.findings().items() if state == EMPTY} == empty | EXCEPTIONS


def test_bytes_that_nobody_authorised_are_compared_with_the_registration(any_book: Book):
    """Whether anybody allowed it is another control; it must not keep this one from looking."""
    book = any_book
    a_good_life(book)
    before = finding(book.report(), "same-digest")
    assert (before["state"], before["population"]["size"]) == (GOOD, 2)
    wrong = book.deploy(ONE, 40, "deployment:prod/other", digest=digest("other bytes"))
    early = book.deploy("model:scoring@3", 41, DEV, digest=digest("other bytes"))
    found = finding(book.report(), "same-digest")
    assert [item["index"] for item in found["items"] if item["state"] == BAD] == [wrong.index]
    assert f"{digest(ONE)} was registered" in found["reason"]
    book.register("model:scoring@3", 42)
    found = finding(book.report(), "same-digest")
    assert [item["index"] for item in found["items"] if item["state"] == BAD] == [wrong.index, early.index], "whenever"


def test_a_suite_whose_last_evaluation_failed_outweighs_those_that_passed(book: Book):
    """As it stood then: that it passed again is dated after the approval."""
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    failed = book.evaluate(ONE, 2, verdict="fail")
    book.evaluate(ONE, 9)
    book.request(ONE, 3)
    book.approve(ONE, 4)
    assert book.findings()["evaluation-before-approval"] == GOOD
    bad = finding(book.report(at=7), "evaluation-before-approval")
    assert bad["state"] == BAD
    assert failed.index in {item["index"] for item in bad["evidence"]}


# -- what cannot be decided ---------------------------------------------------------------------------------------


class _Blind:
    """A world in which one actor is not to be found."""

    def __init__(self, world: World, actor: str) -> None:
        self._world, self._actor = world, actor
        self.ledgerid = world.ledgerid

    def state(self, stream: str) -> State | None:
        return None if stream == f"actor:{self._actor}" else self._world.state(stream)

    def key_holder(self, keyid: str) -> str | None:
        return self._world.key_holder(keyid)

    def looked_up(self, stream: str) -> State | None:
        return self.state(stream)

    def quarantined(self) -> tuple[str, ...]:
        return self._world.quarantined()

    def leaf_hash(self, index: int) -> bytes | None:
        return self._world.leaf_hash(index)

    def root_hash(self, size: int) -> bytes | None:
        return self._world.root_hash(size)


@pytest.mark.parametrize("actor", ["p-approver", "p-author"])
def test_a_person_who_cannot_be_resolved_is_not_assessed(book: Book, monkeypatch: pytest.MonkeyPatch, actor: str):
    """The judge lets nobody through it cannot resolve; the report does not rely on that."""
    a_good_life(book)
    world = ReportContext.world
    monkeypatch.setattr(ReportContext, "world", lambda self, index: _Blind(world(self, index), actor))
    found = book.findings()
    assert found.pop("four-eyes-before-authorise") == UNKNOWN
    assert {name for name, state in found.items() if state != GOOD} == EXCEPTIONS
    report = book.report()
    unknown = finding(report, "four-eyes-before-authorise")
    assert "cannot be resolved" in unknown["reason"]
    assert unknown["population"] == {**unknown["population"], "size": 2, "failed": 0}
    assert report["summary"][UNKNOWN] == 1


def test_an_authorisation_of_what_was_not_registered_yet_is_not_assessed(book: Book):
    book.dataset("dataset:base@1", 0)
    run = book.train(ONE, 1, inputs=("dataset:base@1",))
    book.register(ONE, 9, run=run)  # claims to have been registered after its release
    book.evaluate(ONE, 2)
    book.request(ONE, 3)
    book.approve(ONE, 4)
    book.authorise(ONE, 5)
    assert book.findings(at=6)["four-eyes-before-authorise"] == UNKNOWN
    assert book.findings()["four-eyes-before-authorise"] == GOOD


def test_a_failure_outweighs_what_cannot_be_decided(book: Book):
    book.dataset("dataset:base@1", 0)
    for model in (ONE, TWO):
        run = book.train(model, 1, inputs=("dataset:base@1",))
        book.register(model, 9 if model == ONE else 1, run=run)
        book.evaluate(model, 2)
        book.request(model, 3)
        book.approve(model, 4 if model == ONE else 9)
        book.authorise(model, 5)
    bad = finding(book.report(at=6), "four-eyes-before-authorise")
    assert bad["state"] == BAD
    assert sorted(item["state"] for item in bad["items"]) == [UNKNOWN, BAD]


# -- provenance, piece by piece -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"code": None}, "code commit or digest"),
        ({"code": {"repository": "example.com/x"}}, "code commit or digest"),
        ({"parameters": None}, "parameters"),
        ({"environment": None}, "environment"),
        ({"seed": None}, "seed"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"role": "input", "subject": "dataset:base@1"}]}, "a registered digest of dataset:base@1"),
        ({"inputs": [{"role": "input", "subject": "dataset:base@1", "digest": digest("x")}]}, "a registered digest"),
        ({"inputs": [{"role": "input", "subject": "dataset:no@1", "digest": digest("x")}]}, "digest of dataset:no@1"),
    ],
)  # fmt: skip
def test_provenance_names_what_is_missing(book: Book, missing: dict[str, Any], said: str):
    book.dataset("dataset:base@1", 0)
    if "inputs" in missing:
        _with_inputs(book, missing["inputs"])
    else:
        book.version(ONE, 1, **missing)
    book.release(ONE, 5)
    bad = finding(book.report(), "training-provenance")
    assert bad["state"] == BAD
    assert said in bad["reason"]


def _with_inputs(book: Book, inputs: list[dict[str, str]]) -> None:
    common = {"seed": 1, "parameters": {"a": 1}, "environment": digest("lock"), "code": {"commit": "c0ffee"}}
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    body = {**common, "inputs": inputs, "outputs": made}
    book.emit("trainer", "run.completed", "run:scoring-1", body, at=1)
    book.register(ONE, 2, run="run:scoring-1")
    book.evaluate(ONE, 3)


def test_a_run_that_failed_first_is_no_provenance(book: Book):
    """A later success of the same name is another run."""
    book.dataset("dataset:base@1", 0)
    book.train(ONE, 2, inputs=("dataset:base@1",), run="run:good")
    book.emit("trainer", "run.failed", "run:bad", {"reason": "no memory"}, at=1)
    book.train(TWO, 2, inputs=("dataset:base@1",), run="run:bad")
    for model, name in ((ONE, "run:good"), (TWO, "run:bad")):
        book.register(model, 3, run=name)
        book.evaluate(model, 4)
        book.release(model, 5)
    bad = finding(book.report(), "training-provenance")
    assert bad["reason"] == f"1 of 2 failed: {TWO} lacks a run that ended well"


def test_provenance_needs_a_run_that_made_these_bytes(book: Book):
    book.dataset("dataset:base@1", 0)
    run = book.train("model:other@1", 1, inputs=("dataset:base@1",))
    book.register(ONE, 2, run=run)
    book.evaluate(ONE, 3)
    book.deploy(ONE, 5)  # nobody approves what a run of another version made
    assert "whose output is this digest" in finding(book.report(), "training-provenance")["reason"]


def test_what_was_never_registered_has_no_provenance(book: Book):
    body = {"model": ONE, "digest": digest(ONE)}
    book.emit("p-deployer", "deployment.completed", PROD, body, at=1)
    report = book.report()
    assert "never registered" in finding(report, "training-provenance")["reason"]
    assert finding(report, "deployment-authorised")["state"] == BAD


# -- scope --------------------------------------------------------------------------------------------------------


def test_an_environment_narrows_every_control(book: Book):
    a_good_life(book)
    book.version("model:scoring@3", 40)
    book.deploy("model:scoring@3", 41)
    reader = book.reader()
    prod, dev = reader.report("prod"), reader.report("dev")
    assert finding(prod, "deployment-authorised")["state"] == BAD
    assert {item["state"] for item in dev["findings"]} == {EMPTY}
    assert (prod["environment"], dev["environment"]) == ("prod", "dev")


def test_a_period_keeps_out_what_was_recorded_outside_it(book: Book):
    a_good_life(book)
    hotfix = book.deploy(TWO, 50)
    book.version("model:scoring@3", 40)
    bad = book.deploy("model:scoring@3", 41)
    reader = book.reader()

    def states(since: int, until: int | None) -> dict[str, str]:
        context = ReportContext(book.ledger, reader.runner.views, reader.as_of(), since=since, until=until)
        report = REPORTS["control-assessment"].generate(context)
        return {item["control"]: item["state"] for item in report["findings"]}

    assert states(0, None)["deployment-authorised"] == BAD
    assert states(0, hotfix.recorded_at)["deployment-authorised"] == GOOD
    assert states(bad.recorded_at, None)["deployment-authorised"] == BAD
    assert states(bad.recorded_at + 1, None) == dict.fromkeys(CONTROLS, EMPTY)
    assert states(bad.recorded_at, bad.recorded_at) == dict.fromkeys(CONTROLS, EMPTY)


def test_rules_that_ask_for_nothing_leave_nothing_to_test(sqlite_url: str, make_book: Callable[..., Book]):
    lax = Rule(environment="*", tier="*", authorisation=False, approvals=0, evaluation=False)
    book = make_book(sqlite_url, rules=RuleSet(name="lax", rules=(lax,)))
    a_good_life(book)
    found = book.findings()
    assert [name for name, state in found.items() if state == EMPTY] == [
        "four-eyes-before-authorise", "evaluation-before-approval", "deployment-authorised", "gate-before-authorise",
        "emergency-reviewed",
    ]  # fmt: skip


def test_an_approval_for_somebody_else_counts_once(sqlite_url: str, make_book: Callable[..., Book]):
    """One signature is one person, whoever it was given for."""
    from ledger import commands
    from ledger.errors import PolicyError

    strict = Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True)
    book = make_book(sqlite_url, rules=RuleSet(name="strict", rules=(strict,)))
    book.cast.enrol("p-second", "person", ["approver"])
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    commands.approve(book.cast["p-approver"], ONE, rationale="for both", on_behalf_of="p-second")
    with pytest.raises(PolicyError, match="needs 2 approval"):
        book.authorise(ONE, 4)


def test_two_approvals_of_two_persons_where_the_rules_ask_for_two(sqlite_url: str, make_book: Callable[..., Book]):
    from ledger import commands
    from ledger.errors import PolicyError

    strict = Rule(environment="*", tier="*", authorisation=True, approvals=2, evaluation=True)
    book = make_book(sqlite_url, rules=RuleSet(name="strict", rules=(strict,)))
    book.cast.enrol("p-second", "person", ["approver"])
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    with pytest.raises(PolicyError, match="needs 2 approval"):
        book.authorise(ONE, 4)
    commands.approve(book.cast["p-second"], ONE, rationale="seen too", occurred_at=when(5))
    book.authorise(ONE, 6)
    assert book.findings()["four-eyes-before-authorise"] == GOOD
    assert book.findings(at=4.5)["four-eyes-before-authorise"] == EMPTY
    (item,) = finding(book.report(), "four-eyes-before-authorise")["items"]
    assert item["reason"].startswith("2 independent approval(s)")


# -- the same bytes -----------------------------------------------------------------------------------------------


def test_the_same_report_has_the_same_bytes(any_book: Book):
    tell(any_book)
    size = any_book.size
    first = json.dumps(any_book.report())
    assert json.dumps(any_book.report()) == first
    fixed = [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)]
    assert fixed[0] == first
    any_book.release("model:scoring@3", -5)  # recorded later, said to have happened before everything
    any_book.evaluate("model:scoring@4", -5)
    assert [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)] == fixed
    assert json.dumps(any_book.report()) != first
    any_book.runners[0].rebuild()
    assert [json.dumps(any_book.report(at=at, known=size)) for at in (None, 14.6)] == fixed


def test_the_report_fits_its_schema_and_names_its_limits(any_book: Book):
    from pathlib import Path

    import jsonschema

    tell(any_book)
    path = Path(__file__).resolve().parents[2] / "schemas" / "reports" / "control-assessment.v1.json"
    report = json.loads(json.dumps(any_book.report()))
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(report)
    assert any("does not state compliance" in limit for limit in report["limits"])
    assert report["as_of"]["known_at"]["size"] == any_book.size


# -- what was let be ----------------------------------------------------------------------------------------------


def test_an_emergency_is_in_every_report_until_another_person_reviewed_it(any_book: Book):
    book = any_book
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    decided = emergency(book, 2)
    reader = book.reader()
    after = ReportContext(book.ledger, reader.runner.views, reader.as_of(), since=decided.recorded_at + 1)
    report = REPORTS["control-assessment"].generate(after)
    assert finding(report, "emergency-reviewed")["state"] == BAD, "also of a later period"
    (item,) = report["emergencies"]
    assert (item["index"], item["by"], item["review"]) == (decided.index, "p-deployer", None)
    done = review(book, decided, 3)
    assert book.findings()["emergency-reviewed"] == GOOD
    (item,) = book.report()["emergencies"]
    assert item["review"] == {"index": done.index, "by": "p-approver", "verdict": "justified"}
    assert book.report(known=done.index)["emergencies"][0]["review"] is None, "what was known then"


def test_an_emergency_found_unjustified_or_reviewed_late_stays_a_finding(book: Book):
    book.dataset("dataset:base@1", 0)
    book.version(ONE, 1)
    review(book, emergency(book, 2), 3, "unjustified")
    assert "found unjustified" in finding(book.report(), "emergency-reviewed")["reason"]
    second = emergency(book, 4)
    book.clock.now += 60 * 86_400_000_000
    review(book, second, 5)
    assert "reviewed after" in finding(book.report(), "emergency-reviewed")["reason"]


def test_a_gate_that_refused_or_saw_other_bytes_is_a_finding(book: Book):
    """The judge refuses such an authorisation; the report does not rest on that."""
    book.version(ONE, 1)
    rule_by_gate(book, "prod")
    book.request(ONE, 2)
    book.approve(ONE, 3)
    gate(book, ONE, 4, checks=[{"check": "drift", "result": "waived", "reason": "x", "waiver": "waiver:w"}])
    found = book.findings()
    assert found["gate-before-authorise"] == EMPTY, "nothing was authorised"
    gate(book, ONE, 8, result="deny")
    with pytest.raises(PolicyError, match="refuses"):
        book.authorise(ONE, 5)
    gate(book, ONE, 4)
    gate(book, ONE, 4, result="deny", mode="warn")
    book.authorise(ONE, 5)
    assert book.findings(at=6)["gate-before-authorise"] == GOOD, "what only warns says nothing about it"
    assert book.findings(at=3)["gate-before-authorise"] == EMPTY


def test_who_approved_what_another_run_of_theirs_made_is_found(any_book: Book):
    any_book.cast.enrol("robot", "service", ("emitter",), "p-approver")
    any_book.version(ONE, 1)
    any_book.release(ONE, 2)
    assert any_book.findings()["four-eyes-before-authorise"] == GOOD
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    any_book.emit("robot", "run.completed", "run:hidden", {"outputs": made}, at=1)
    assert any_book.findings()["four-eyes-before-authorise"] == BAD


def test_waivers_are_listed_with_what_became_of_them(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    book.cast.enrol("p-second", "person", ["approver"])
    asked = {"check": "drift-*", "model": "model:scoring", "environment": "prod", "owner": "p-author", "reason": "new",
             "compensating_control": "by hand", "expires_at": when(24 * 390)}  # fmt: skip
    for name, more in (("stands", {}), ("once", {"single_use": True}), ("gone", {}), ("asked", {}), ("short", {}),
                       ("twice", {"max_uses": 2})):  # fmt: skip
        book.emit("p-author", "waiver.requested", f"waiver:{name}", asked | more, at=2)
        if name != "asked":
            until = {"expires_at": when(24 * 366)} if name == "short" else {}
            book.emit("p-second", "waiver.granted", f"waiver:{name}", {"rationale": "x", **until}, at=3)
    used = book.emit("p-deployer", "waiver.used", "waiver:once", {"deployment": PROD, "model": ONE}, at=4)
    book.emit("p-deployer", "waiver.used", "waiver:twice", {"deployment": PROD, "model": ONE}, at=4)
    before = {item["waiver"]: (item["state"], item["used_by"]) for item in book.report()["waivers"]}
    assert before["waiver:once"] == before["waiver:twice"] == ("standing", []), "nothing is authorised by it yet"
    book.request(ONE, 4)
    book.approve(ONE, 4)
    book.authorise(ONE, 4)
    book.emit("p-author", "waiver.revoked", "waiver:gone", {"reason": "x"}, at=5)
    listed = {item["waiver"]: item for item in book.report()["waivers"]}
    assert {name: item["state"] for name, item in listed.items()} == {
        "waiver:stands": "standing", "waiver:once": "used up", "waiver:gone": "revoked", "waiver:short": "standing",
        "waiver:twice": "standing",
    }  # fmt: skip
    assert (listed["waiver:once"]["max_uses"], listed["waiver:once"]["used_by"]) == (1, [used.index])
    assert (listed["waiver:twice"]["max_uses"], len(listed["waiver:twice"]["used_by"])) == (2, 1)
    assert listed["waiver:stands"] | {"index": 0} == {
        "waiver": "waiver:stands", "state": "standing", "check": "drift-*", "model": "model:scoring",
        "environment": "prod", "owner": "p-author", "reason": "new", "compensating_control": "by hand",
        "granted_by": "p-second", "expires_at": format_time(parse_moment(when(24 * 390))), "max_uses": None,
        "used_by": [], "index": 0,
    }  # fmt: skip
    later = {item["waiver"]: item["state"] for item in book.report(at=24 * 380)["waivers"]}
    assert (later["waiver:short"], later["waiver:stands"]) == ("expired", "standing")
    book.emit("p-deployer", "waiver.used", "waiver:twice", {"deployment": PROD, "model": ONE}, at=4)
    book.authorise(ONE, 4)
    book.compromise("p-second")
    now = {item["waiver"]: item["state"] for item in book.report()["waivers"]}
    assert now == {
        "waiver:stands": "suspect", "waiver:once": "used up", "waiver:gone": "revoked", "waiver:short": "suspect",
        "waiver:twice": "used up",
    }, "no gate lets a check be by it"  # fmt: skip
