"""What a gate looks at: every field of the document from events of a ledger, and the checklists over it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from ledger.errors import PolicyError, VerificationError
from ledger.policy import FIELDS, FORMAT, Waived, evaluate, fine, input_digest, parse_policy, source_digest
from muniment.gating import check_gate
from projections.gateinput import gate_input, standing_waivers
from projections.gates import Gate, Stated, check_again, recheck_all, run_gate
from projections.known import Known
from tests.contract.support import digest
from tests.projections.support import PROD, Book, when

ONE, TWO = "model:scoring@1", "model:scoring@2"
BASE = "dataset:base@1"
TOLD: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("trainer", "dataset.quality_assessed", BASE, {"verdict": "pass", "digest": digest(BASE)}),
    ("trainer", "artifact.produced", "artifact:weights@1", {"files": {"w": digest(ONE)}, "model": ONE}),
    ("trainer", "artifact.signed", "artifact:weights@1", {"digest": digest(ONE), "method": "key"}),
    ("trainer", "artifact.verified", "artifact:weights@1", {"digest": digest(ONE), "method": "key", "verdict": "pass"}),
    ("trainer", "artifact.scanned", ONE, {"digest": digest(ONE), "scanner": "scan", "verdict": "pass"}),
    ("trainer", "evaluation.completed", ONE,
     {"metrics": {"psi": 0.01}, "verdict": "pass", "kind": "drift", "dataset": "dataset:new@1"}),
    ("trainer", "evaluation.completed", ONE, {"metrics": {"gap": 0.01}, "verdict": "pass", "kind": "fairness"}),
    ("trainer", "evaluation.completed", ONE,
     {"metrics": {"auc": 0.9}, "verdict": "pass", "suite": "held out", "dataset": BASE, "split": "test"}),
    ("trainer", "performance.tested", ONE,
     {"p95_ms": 100, "baseline_p95_ms": 95.5, "verdict": "pass", "cost": {"amount": 1, "currency": "EUR"}}),
    ("trainer", "contract.defined", ONE, {"input_schema": digest("in"), "output_schema": digest("out")}),
    ("p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "another team"}),
    ("p-author", "model.registered", "model:scoring", {"owner": "p-author", "purpose": "scores"}),
    ("p-author", "model.on_call_assigned", "model:scoring", {"on_call": "p-author", "runbook": "run it"}),
    ("p-author", "documentation.attached", ONE, {"kind": "runbook", "digest": digest("runbook")}),
    ("p-author", "slo.defined", PROD,
     {"slo": "ok", "indicator": "availability", "objective": 0.99, "window": "28d", "action": "rollback"}),
    ("p-author", "drill.conducted", "model:scoring", {"kind": "runbook", "outcome": "pass"}),
    ("p-author", "drill.conducted", "model:scoring", {"kind": "rollback", "outcome": "pass"}),
    ("p-author", "drill.conducted", "model:scoring", {"kind": "canary", "outcome": "pass"}),
)  # fmt: skip


def pack(name: str) -> Stated:
    return Stated(f"{name}.yaml", (resources.files("ledger.policy") / "packs" / f"{name}.yaml").read_text("utf-8"))


def known(book: Book, size: int | None = None) -> Known:
    reader = book.reader()
    return Known(reader.ledger, reader.runner.views, size or reader.size)


def look(book: Book, model: str = ONE, size: int | None = None) -> dict[str, Any]:
    at = known(book, size)
    return gate_input(at, model, "prod", at.recorded_at, PROD)


def define(book: Book) -> Stated:
    """The pre-production checklist, signed into the log."""
    stated = Stated("policy:p@1", pack("pre-production").source)
    body = {"digest": source_digest(stated.source), "source": stated.source, "format": FORMAT}
    book.emit("p-approver", "policy.defined", stated.name, body, at=3)
    return stated


def run(book: Book, policy: Stated) -> Gate:
    at = known(book)
    return run_gate(at, policy, ONE, "prod", as_of=at.recorded_at)


def tell_all(book: Book) -> None:
    book.cast.enrol("p-second", "person", ["approver"])
    book.dataset(BASE, 0)
    book.version(ONE, 1)
    for actor, kind, subject, data in TOLD:
        book.emit(actor, kind, subject, data, at=24 * 365 - 1)  # an hour before the store's clock


def test_both_checklists_pass_over_a_whole_story_and_miss_what_is_left_out(any_book: Book):
    """So the document is filled from the events that the reasons of the checks name."""
    tell_all(any_book)
    document = look(any_book)
    assert set(document) == set(FIELDS)
    for name, example in fine().items():  # what policies are linted over is what gates see
        found = document[name]
        assert type(found) is type(example), name
        for one, other in zip(found, example, strict=False) if isinstance(example, list) else [(found, example)]:
            assert not isinstance(one, dict) or set(one) == set(other), name
    for name in ("pre-production", "production"):
        outcome = evaluate(parse_policy(pack(name).source), document, ())
        assert [item for item in outcome.checks if item["result"] != "pass"] == []
    assert document["tier"] == "high"
    assert document["people"] == {"approvers": 4, "deployers": 2, "validators": 2}, (
        "whoever made the ledger has every role"
    )
    assert document["run"]["commit"] == "c0ffee"
    assert document["slos"] == [{"slo": "ok", "subject": PROD, "objective": 0.99, "action": "rollback"}]
    assert document["model"] | {"versions": []} == {
        "owner": "p-author", "on_call": "p-author", "runbook": "run it", "purpose": "scores", "third_party": False,
        "versions": [],
    }  # fmt: skip


def test_a_bare_version_misses_most_and_nothing_cannot_be_evaluated(book: Book):
    book.register(ONE, 1)
    for name in ("pre-production", "production"):
        outcome = evaluate(parse_policy(pack(name).source), look(book), ())
        assert not outcome.allowed
        assert {item["result"] for item in outcome.checks} == {"pass", "fail"}


def test_the_same_size_and_time_give_the_same_document_for_ever(any_book: Book):
    tell_all(any_book)
    size, at = any_book.size, known(any_book).recorded_at
    before = gate_input(known(any_book), ONE, "prod", at)
    any_book.release(ONE, 5)
    any_book.version(TWO, 6)
    any_book.emit("trainer", "evaluation.completed", ONE, {"metrics": {}, "verdict": "fail"}, at=0.5)
    any_book.emit("p-author", "quarantine.placed", BASE, {"reason": "poisoned"}, at=0.5)
    any_book.open_incident(0.5, severity="critical")
    again = gate_input(known(any_book, size), ONE, "prod", at)
    assert input_digest(again) == input_digest(before)
    assert input_digest(look(any_book)) != input_digest(before)


def test_what_becomes_of_what_it_rests_on_shows(book: Book):
    tell_all(book)
    book.release(ONE, 5)
    assert look(book)["deployments"] == [
        {"name": PROD, "live": ONE, "previous": "", "authorised": ONE, "live_p95_ms": 100, "live_cost": 1,
         "live_cost_unit": "EUR"},
    ]  # fmt: skip
    assert [(one["by"], one["stands"]) for one in look(book)["approvals"]] == [(["p-approver"], True)]
    book.emit("trainer", "dataset.deleted", BASE, {"reason": "old"}, at=6)
    book.emit("p-author", "dataset.consent_changed", BASE, {"status": "withdrawn", "scope": "all"}, at=6)
    placed = book.emit("p-author", "quarantine.placed", BASE, {"reason": "poisoned"}, at=6)
    (data,) = look(book)["datasets"]
    assert (data["deprecated"], data["consent"], data["quarantined"]) == (True, "withdrawn", True)
    assert "poisoned" in look(book)["stopped"]
    book.emit("p-approver", "quarantine.released", BASE, {"quarantine": placed.id, "rationale": "x"}, at=7)
    assert (look(book)["datasets"][0]["quarantined"], look(book)["stopped"]) == (False, "")
    book.open_incident(8, severity="high")
    assert look(book)["incidents"] == [{"incident": "incident:inc-1", "severity": "high"}]
    book.emit("p-deployer", "incident.closed", "incident:inc-1", at=9, summary="done")
    assert look(book)["incidents"] == []


def test_an_invalidated_evaluation_fails_until_its_suite_is_measured_again(any_book: Book):
    tell_all(any_book)
    policy = pack("pre-production")
    suite = {"metrics": {"auc": 0.9}, "suite": "stress", "kind": "drift", "dataset": BASE, "split": "test"}
    any_book.emit("trainer", "evaluation.completed", ONE, {**suite, "verdict": "pass"}, at=3)
    failed = any_book.emit("trainer", "evaluation.completed", ONE, {**suite, "verdict": "fail"}, at=4)
    assert not run(any_book, policy).outcome.allowed
    any_book.emit("trainer", "evaluation.invalidated", ONE, {"evaluation": failed.id, "reason": "split"}, at=5)
    assert not run(any_book, policy).outcome.allowed, "neither the one that failed, nor the one before, counts"
    (gone,) = [one for one in look(any_book)["evaluations"] if one["verdict"] == "fail"]
    told = {name: value for name, value in gone.items() if name not in ("id", "index", "age_seconds", "verdict")}
    assert (gone["id"], any(told.values())) == (failed.id, False), "it speaks for nothing"
    any_book.emit("trainer", "evaluation.completed", ONE, {**suite, "verdict": "pass"}, at=6)
    assert run(any_book, policy).outcome.allowed


def test_what_the_same_bytes_failed_under_another_name_is_looked_at(any_book: Book):
    tell_all(any_book)
    policy, other = pack("pre-production"), "model:scoring@9"
    any_book.emit(
        "trainer", "version.registered", other, {"digest": digest(ONE), "owner": "p-author", "tier": "high"}, at=3
    )
    failed = any_book.emit(
        "trainer", "evaluation.completed", other, {"metrics": {"auc": 0.1}, "verdict": "fail", "suite": "auc"}, at=4
    )
    assert not run(any_book, policy).outcome.allowed
    (found,) = [one for one in look(any_book)["evaluations"] if one["verdict"] == "fail"]
    assert (found["id"], found["suite"], found["metrics"]) == (failed.id, "auc", {"auc": 0.1})


def test_entries_about_other_bytes_count_for_nothing(book: Book):
    book.dataset(BASE, 0)
    book.version(ONE, 1)
    other = digest("other")
    book.emit("trainer", "dataset.quality_assessed", BASE, {"verdict": "pass", "digest": other}, at=2)
    book.emit("trainer", "performance.tested", ONE, {"p95_ms": 1, "digest": other}, at=2)
    book.emit(
        "p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "x", "digest": other}, at=2
    )
    document = look(book)
    assert (document["datasets"][0]["quality"], document["performance"], document["validations"]) == ("", [], [])


def test_a_validation_that_was_withdrawn_has_failed_until_somebody_validates_again(any_book: Book):
    book = any_book
    book.version(ONE, 1)
    finding = {"id": "f", "severity": "low", "statement": "x"}
    body = {"verdict": "pass", "independence": "x", "findings": [finding]}
    first = book.emit("p-approver", "validation.completed", ONE, body, at=2)
    assert [(one["verdict"], len(one["open_findings"])) for one in look(book)["validations"]] == [("pass", 1)]
    book.emit("p-approver", "validation.withdrawn", ONE, {"validation": first.id, "reason": "x"}, at=3)
    assert [(one["verdict"], len(one["open_findings"])) for one in look(book)["validations"]] == [("fail", 0)]
    again = book.emit("p-approver", "validation.completed", ONE, body, at=4)
    assert [(one["index"], one["verdict"]) for one in look(book)["validations"]] == [(again.index, "pass")]


def test_what_a_stolen_key_signed_speaks_for_nothing_and_still_warns(book: Book):
    book.dataset(BASE, 0)
    book.version(ONE, 1)
    since, members = book.size, ("scans", "drills", "performance", "evaluations", "validations", "documentation")

    def told() -> dict[str, list[dict[str, Any]]]:
        found = look(book)
        return {name: [item | {"age_seconds": 0} for item in found[name]] for name in members}

    before = told()
    for kind, subject, body in (
        ("artifact.scanned", ONE, {"digest": digest(ONE), "scanner": "scan", "verdict": "pass"}),
        ("performance.tested", ONE, {"p95_ms": 1, "verdict": "pass"}),
        ("drill.conducted", "model:scoring", {"kind": "rollback", "outcome": "pass"}),
        ("evaluation.completed", ONE, {"metrics": {"gap": 0.01}, "verdict": "pass", "kind": "fairness"}),
    ):
        book.emit("trainer", kind, subject, body, at=2)
    book.emit("p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "x"}, at=2)
    book.emit("p-author", "documentation.attached", ONE, {"kind": "runbook", "digest": digest("r")}, at=2)
    whole = told()
    assert all(len(whole[name]) == len(before[name]) + 1 for name in members)
    genuine = book.size
    book.emit("trainer", "artifact.scanned", ONE, {"digest": digest(ONE), "scanner": "scan", "verdict": "fail"}, at=3)
    book.emit("trainer", "dataset.consent_changed", "dataset:base", {"status": "withdrawn"}, at=3)
    for actor in ("trainer", "p-approver", "p-author"):
        book.compromise(actor, since=since)
    failed = {"digest": digest(ONE), "verdict": "fail", "findings": {}, "age_seconds": 0}
    assert told() == before | {"scans": [failed]}
    assert look(book)["datasets"][0]["consent"] == "withdrawn"
    assert look(book, size=genuine)["drills"] != [], "as it was known before anybody knew"


def test_what_a_run_read_is_looked_at_although_its_key_was_stolen(book: Book):
    book.dataset(BASE, 0)
    book.emit(
        "p-author",
        "version.registered",
        ONE,
        {"digest": digest(ONE), "owner": "p-author", "run": "run:r", "tier": "high"},
        at=1,
    )
    read = [{"role": "input", "subject": BASE, "digest": digest(BASE)}]
    book.emit("trainer", "run.completed", "run:r", {"inputs": read, "seed": 7}, at=1, metrics={})
    book.compromise("trainer")
    run = look(book)["run"]
    assert (run["status"], run["seed"], [item["subject"] for item in run["inputs"]]) == ("", None, [BASE])


def test_a_run_counts_for_what_it_says_that_it_made_and_hides_no_other(any_book: Book):
    """Neither somebody else's good run, nor none at all, keeps back the run that made a version."""
    any_book.dataset(BASE, 0)
    clean = any_book.train(TWO, 1, inputs=(BASE,))
    made = [{"role": "output", "subject": ONE, "digest": digest(ONE)}]
    policy = parse_policy(pack("pre-production").source)

    def failed() -> set[str]:
        checks = {item["check"] for item in evaluate(policy, look(any_book), ()).checks if item["result"] == "fail"}
        return checks & {"registered", "run-recorded", "code-is-known"}

    any_book.register(ONE, 2, run=clean)
    assert (look(any_book)["run"]["made"], look(any_book)["run"]["others"]) == (False, [])
    assert failed() == {"run-recorded", "code-is-known"}
    any_book.emit("trainer", "run.completed", clean, {"outputs": made}, at=3)
    assert look(any_book)["run"]["made"]
    assert failed() == set()
    copy = [{"role": "output", "subject": "artifact:copy", "digest": digest(ONE)}]
    any_book.emit("trainer", "run.completed", "run:again", {"outputs": copy}, at=3)
    assert look(any_book)["run"]["others"] == [], "who makes the same bytes afterwards reproduces them"
    any_book.emit("trainer", "run.completed", "run:dirty", {"outputs": made}, at=3)
    assert look(any_book)["run"]["others"] == ["run:dirty"]
    assert failed() == {"registered"}


def test_a_run_that_made_the_bytes_before_is_not_left_out(any_book: Book):
    made = [{"role": "output", "subject": "artifact:weights", "digest": digest(ONE)}]
    any_book.emit("trainer", "run.completed", "run:r", {"outputs": made}, at=1)
    any_book.register(ONE, 2)
    assert look(any_book)["run"]["others"] == ["run:r"]


@pytest.mark.parametrize("way", ["run", "bytes", "artifact"])
def test_a_maker_whom_the_registration_leaves_out_is_found_by_gates(any_book: Book, way: str):
    """The judge knows makers by what a version names; what names the version is found in the views."""
    any_book.cast.enrol("robot", "service", ("emitter",), "p-approver")
    made = [{"role": "output", "subject": ONE if way == "run" else "artifact:w", "digest": digest(ONE)}]
    body: dict[str, Any] = {"files": {"w": digest(ONE)}, "model": ONE} if way == "artifact" else {"outputs": made}
    kind, subject = ("artifact.produced", "artifact:w") if way == "artifact" else ("run.completed", "run:hidden")

    def hidden() -> set[str]:
        outcome = evaluate(parse_policy(pack("production").source), look(any_book), ())
        return {item["check"] for item in outcome.checks if item["result"] == "fail"} & {"approved-by-others"}

    if way == "bytes":
        any_book.emit("robot", kind, subject, body, at=1)
    any_book.version(ONE, 1)
    any_book.emit("p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "x"}, at=2)
    if way != "bytes":
        assert [item["independent"] for item in look(any_book)["validations"]] == [True]
        any_book.emit("robot", kind, subject, body, at=1)
    any_book.request(ONE, 3)
    assert hidden() == set()
    any_book.approve(ONE, 4)
    (approval,) = look(any_book)["approvals"]
    assert (approval["stands"], approval["independent"]) == (True, False)
    assert [item["independent"] for item in look(any_book)["validations"]] == [False]
    assert hidden() == {"approved-by-others"}


def test_a_gate_is_run_at_the_time_of_the_stores_clock(book: Book):
    """A clock of this machine that is wrong would make a gate look old, or its author a liar."""
    define(book)
    book.version(ONE, 1)
    book.clock.now += 3 * 3_600_000_000
    before = book.clock.now
    gate = check_gate(book.ledger, ONE, "prod", policy="policy:p")
    assert before < gate.as_of < before + 60_000_000


def test_people_are_those_who_may_still_decide_here(book: Book):
    book.version(ONE, 1)
    book.cast.enrol("p-fourth", "person", ("owner",), None)
    few = look(book)["people"]
    later = book.clock.now // 1_000_000 + 3_600
    ends = datetime.fromtimestamp(later, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    book.ledger.emit("role.granted", "actor:p-fourth", role="approver", until=ends, reason="holidays")
    book.ledger.emit("role.granted", "actor:p-fourth", role="deployer", environments=["dev"], reason="dev")
    assert look(book)["people"] == few | {"approvers": few["approvers"] + 1}
    at = known(book)
    assert gate_input(at, ONE, "prod", (later + 1) * 1_000_000)["people"] == few
    assert gate_input(at, ONE, "dev", at.recorded_at)["people"]["deployers"] == few["deployers"] + 1


def test_findings_stay_open_until_they_are_disposed_of(book: Book):
    book.version(ONE, 1)
    findings = [{"id": "F1", "severity": "high", "statement": "leak"}]
    done = book.emit("p-approver", "validation.completed", ONE,
                     {"verdict": "pass", "independence": "x", "findings": findings,
                      "valid_until": when(24 * 366)}, at=2)  # fmt: skip
    assert look(book)["validations"][0]["open_findings"] == [{"id": "F1", "severity": "high"}]
    body = {"validation": done.id, "finding": "F1", "reason": "x"}
    book.emit("p-author", "finding.disposed", ONE, body | {"disposition": "deferred"}, at=3)
    assert look(book)["validations"][0]["open_findings"] != []
    for disposition in ("fixed", "accepted"):  # by whoever made it, or answers for what did
        book.emit("p-author", "finding.disposed", ONE, body | {"disposition": disposition}, at=4)
    assert look(book)["validations"][0]["open_findings"] != []
    book.emit("p-approver", "finding.disposed", ONE, body | {"disposition": "fixed"}, at=4)
    assert look(book)["validations"][0]["open_findings"] == []
    book.emit("p-approver", "finding.disposed", ONE, body | {"disposition": "disputed"}, at=4)
    assert look(book)["validations"][0]["open_findings"] != [], "it turned out not to be"
    book.emit("p-approver", "finding.disposed", ONE, body | {"disposition": "accepted"}, at=4)
    assert look(book)["validations"][0] == {
        "index": done.index,
        "verdict": "pass",
        "by": ["p-approver"],
        "independent": True,
        "expired": False,
        "open_findings": [],
    }
    later = known(book)
    year = 366 * 86_400_000_000
    assert gate_input(later, ONE, "prod", later.recorded_at + year)["validations"][0]["expired"]


def _may_validate(book: Book, actor: str) -> None:
    book.cast.root.emit("role.granted", f"actor:{actor}", role="validator")


@pytest.mark.parametrize(("by", "behalf", "independent"), [
    ("p-approver", None, True), ("p-author", None, False), ("trainer", None, False), ("p-second", None, False),
    ("p-approver", "p-author", False),
])  # fmt: skip
def test_who_made_or_owns_a_version_validates_nothing(
    book: Book, by: str, behalf: str | None, independent: bool
):  # fmt: skip
    book.cast.enrol("p-second", "person", ["validator"])
    book.emit("p-author", "model.registered", "model:scoring", {"owner": "p-second"}, at=0)
    book.version(ONE, 1)  # by the service that p-author answers for
    for maker in ("p-author", "trainer"):
        _may_validate(book, maker)
    body = {"verdict": "pass", "independence": "another team"}
    book.emit(by, "validation.completed", ONE, body, at=2, on_behalf_of=behalf)
    document = look(book)
    (said,), (measured,) = document["validations"], document["evaluations"]
    assert (said["by"], said["independent"]) == (sorted({by, behalf or by}), independent)
    assert (measured["by"], measured["independent"]) == (["trainer"], False)
    checks = {item["check"]: item["result"] for item in run(book, pack("production")).outcome.checks}
    assert (checks["validated"] == "pass") is independent


def test_a_policy_of_the_first_form_is_run_again_over_the_document_that_it_saw(book: Book):
    book.version(ONE, 1)
    book.emit("p-approver", "validation.completed", ONE, {"verdict": "pass", "independence": "x"}, at=2)
    first, second = (gate_input(known(book), ONE, "prod", book.clock.now, form=f"muniment.checks/v{n}") for n in (1, 2))
    added = {
        "evaluations": {"by", "independent", "dataset_digest", "trained_on"}, "validations": {"by", "independent"},
        "datasets": {"read"},
    }  # fmt: skip
    assert second.pop("run") == first.pop("run") | {"made": True, "others": []}
    for name, members in second.items():
        old = [item.keys() for item in first[name]] if name in added else first[name]
        assert old == ([item.keys() - added[name] for item in members] if name in added else members)
    source = pack("production").source
    for number, independent in (("1", False), ("2", True)):
        text = source.replace("checks/v2", f"checks/v{number}")
        results = {item["check"]: item["result"] for item in run(book, Stated("p.yaml", text)).outcome.checks}
        assert results["validated"] == ("pass" if independent else "error"), "the first form names no authors"


def test_a_canary_shows_by_stage(book: Book):
    book.version(ONE, 1)
    book.request(ONE, 2)
    book.approve(ONE, 3)
    book.authorise(ONE, 4)
    stage = {"model": ONE, "digest": digest(ONE), "stage": 1, "traffic": 0.05}
    book.emit("p-deployer", "canary.stage_entered", PROD, stage, at=5)
    assert look(book)["canaries"] == [
        {"deployment": PROD, "stage": 1, "traffic": 0.05, "budget_used": None, "verdict": ""}
    ]
    book.emit("p-deployer", "canary.analysed", PROD, stage | {"verdict": "fail", "budget_used": 0.5}, at=6)
    assert [(one["verdict"], one["budget_used"]) for one in look(book)["canaries"]] == [("fail", 0.5)]


def test_an_evaluation_that_lies_about_when_or_where_it_looked_does_not_agree(book: Book):
    """A gate may be recorded later than it ran, but not looked further than it says, nor at another time."""
    tell_all(book)
    gate = run(book, define(book))

    def recorded(**changes: Any) -> dict[str, Any]:
        done = book.emit("trainer", "gate.evaluated", ONE, gate.body() | changes, at=4)
        return next(row for row in known(book).of_types("gate.evaluated") if row["index"] == done.index)

    assert check_again(known(book), recorded()).outcome == gate.outcome
    for changes, words in (
        ({"size": 10_000}, "looked at 10000 entries"),
        ({"as_of": "2031-01-01T00:00:00Z"}, "run at"),
        ({"as_of": "2021-01-01T00:00:00Z"}, "run at"),
        ({"input_digest": digest("x")}, "input_digest"),
        ({"result": "deny"}, "result"),
        ({"policy_digest": digest("x")}, "another source"),
        ({"digest": digest("x")}, "digest"),
    ):
        row = recorded(**changes)
        with pytest.raises(VerificationError, match=words):
            check_again(known(book), row)
    with pytest.raises(PolicyError, match="not defined"):
        check_again(known(book), recorded(policy="policy:q@1"))


def test_a_gate_fed_by_an_altered_view_does_not_agree_after_a_rebuild(any_book: Book):
    book = any_book
    book.dataset(BASE, 0)
    book.version(ONE, 1)
    book.emit("trainer", "dataset.quality_assessed", BASE, {"verdict": "fail"}, at=2)
    stated = define(book)
    assert not run(book, stated).outcome.allowed
    views = book.reader().runner.views
    views._store.run(
        "UPDATE $journal SET data = replace(data, '\"fail\"', '\"pass\"') WHERE type = 'dataset.quality_assessed'"
    )
    fed = run(book, stated)
    results = {item["check"]: item["result"] for item in fed.outcome.checks}
    assert results["data-validated"] == "pass", "views are believed"
    done = book.emit("trainer", "gate.evaluated", ONE, fed.body(), at=4)
    assert recheck_all(known(book))[0]["trouble"] == ""
    assert not book.reader().runner.rebuild()["journal"]
    (again,) = recheck_all(known(book))
    assert (again["index"], "input_digest" in again["trouble"]) == (done.index, True)


def test_a_promise_of_a_monitor_counts_where_its_pattern_names_the_deployment(book: Book):
    book.version(ONE, 1)
    promise = {"slo": "ok", "indicator": "availability", "objective": 0.99, "window": "28d"}
    book.emit("p-author", "slo.defined", "monitor:all", promise, at=2)
    book.emit("p-author", "slo.defined", "monitor:dev", promise | {"deployments": ["deployment:dev/*"]}, at=2)
    assert look(book)["slos"] == []
    book.emit("p-author", "slo.defined", "monitor:prod", promise | {"deployments": ["deployment:prod/*"]}, at=2)
    assert [one["subject"] for one in look(book)["slos"]] == ["monitor:prod"]
    at = known(book)
    assert gate_input(at, ONE, "prod", at.recorded_at)["slos"] == [], "nobody said which deployment"


def test_waivers_stand_for_a_model_an_environment_and_a_time(book: Book):
    book.version(ONE, 1)
    book.cast.enrol("p-second", "person", ["approver"])
    asked = {"check": "drift-*", "model": "model:scoring", "environment": "prod", "owner": "p-author", "reason": "x",
             "compensating_control": "x", "expires_at": when(24 * 380)}  # fmt: skip
    book.emit("p-author", "waiver.requested", "waiver:w", asked, at=2)
    assert standing_waivers(known(book), ONE, "prod", known(book).recorded_at) == []
    book.emit("p-second", "waiver.granted", "waiver:w", {"rationale": "x"}, at=3)
    at = known(book)
    now = at.recorded_at
    assert standing_waivers(at, ONE, "prod", now) == [Waived("waiver:w", "drift-*")]
    assert standing_waivers(at, ONE, "dev", now) == []
    for name, more in (("once", {"single_use": True}), ("twice", {"max_uses": 2}), ("x", {})):
        book.emit("p-author", "waiver.requested", f"waiver:{name}", asked | more, at=4)
        book.emit("p-second", "waiver.granted", f"waiver:{name}", {"rationale": "x"}, at=5)
    told = [(name, use) for name, _, use in standing_waivers(known(book), ONE, "prod", now)]
    lasting, counted = [("waiver:w", ""), ("waiver:x", "")], [("waiver:once", ""), ("waiver:twice", " (use 1 of 2)")]
    assert told == [*lasting, *counted], "none is used where a lasting one stands"
    assert standing_waivers(at, "model:other@1", "prod", now) == []
    assert standing_waivers(at, ONE, "prod", now + 100 * 86_400_000_000) == [], "it has expired"
