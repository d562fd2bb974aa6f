"""What a maker says of a version alone does not open a gate where the log knows better."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.ancestry import held_by
from projections.gateinput import gate_input
from projections.gates import run_gate
from tests.contract.support import digest
from tests.projections.support import PROD, Book, when
from tests.projections.test_gateinput import BASE, ONE, TWO, known, look, pack

MODEL = "model:scoring"
PASSED = {"metrics": {"auc": 0.9}, "verdict": "pass"}


def results(book: Book, name: str, model: str = ONE) -> dict[str, str]:
    at = known(book)
    gate = run_gate(at, pack(name), model, "prod", as_of=at.recorded_at, deployment=PROD)
    return {item["check"]: item["result"] for item in gate.outcome.checks}


def test_a_version_with_a_run_is_asked_for_code_and_data_whoever_is_said_to_have_sold_it(any_book: Book):
    book = any_book
    book.version(ONE, 1, code={"commit": "c0ffee", "dirty": True})
    book.emit("trainer", "thirdparty.registered", MODEL, {"vendor": "V", "product": "P"}, at=2)
    assert not look(book)["model"]["third_party"]
    assert results(book, "pre-production")["code-is-known"] == "fail"
    book.register("model:scoring@bought", 3)
    assert look(book, "model:scoring@bought")["model"]["third_party"]
    bought = results(book, "pre-production", "model:scoring@bought")
    asked_of_no_vendor = {"run-recorded", "code-is-known", "data-validated", "data-may-be-used"}
    assert {check for check, found in bought.items() if found == "not-applicable"} == asked_of_no_vendor
    for name, said in (("named", "model:scoring@named"), ("bytes", "model:other@1")):  # registered without its run
        made = [{"role": "output", "subject": said, "digest": digest(f"model:scoring@{name}")}]
        book.emit("trainer", "run.completed", f"run:{name}", {"outputs": made}, at=4)
        book.register(f"model:scoring@{name}", 4)
        assert not look(book, f"model:scoring@{name}")["model"]["third_party"], name


def test_data_behind_feature_sets_parents_and_derived_data_is_asked_for(any_book: Book):
    book = any_book
    for name in ("dataset:good@1", "dataset:hidden@1", "dataset:raw@1", "dataset:parents@1"):
        book.dataset(name, 0)
        book.emit("trainer", "dataset.quality_assessed", name, {"verdict": "pass"}, at=0)
    book.dataset("dataset:clean@1", 0, of="dataset:raw@1")
    book.emit("trainer", "dataset.quality_assessed", "dataset:clean@1", {"verdict": "pass"}, at=0)
    read = [{"role": "input", "subject": "dataset:hidden@1", "digest": digest("dataset:hidden@1")}]
    book.emit("trainer", "featureset.defined", "featureset:f@1", {"digest": digest("f"), "inputs": read}, at=0)
    book.version(TWO, 1, inputs=("dataset:parents@1",))
    book.version(ONE, 2, inputs=("dataset:good@1", "featureset:f@1", "dataset:clean@1"))
    book.dataset("dataset:again@1", 0)
    book.emit("trainer", "dataset.quality_assessed", "dataset:again@1", {"verdict": "pass"}, at=0)
    again = {"digest": digest(ONE), "owner": "p-author", "tier": "high"}
    again["run"] = book.train("model:scoring@again", 2, inputs=("dataset:again@1",))
    book.emit("trainer", "version.registered", "model:scoring@again", again, at=2)
    parents = [{"role": "base", "subject": TWO, "digest": digest(TWO)}]
    book.emit("trainer", "version.composed", ONE, {"parents": parents, "method": "fine-tuning"}, at=2)
    found = {item["subject"]: item["read"] for item in look(book)["datasets"]}
    assert found == {
        "dataset:good@1": True, "dataset:hidden@1": True, "dataset:clean@1": True, "dataset:parents@1": True,
        "dataset:raw@1": False, "dataset:again@1": True,
    }  # fmt: skip
    for name in found:  # where a quarantine reaches
        placed = book.emit("p-author", "quarantine.placed", name, {"reason": "x"}, at=3)
        assert [one.index for one in held_by(known(book).world, ONE, digest(ONE))] == [placed.index]
        book.emit("p-approver", "quarantine.released", name, {"quarantine": placed.id, "rationale": "x"}, at=3)
    assert (results(book, "pre-production")["data-validated"], _may_be_used(book)) == ("pass", "pass")
    book.emit("trainer", "dataset.quality_assessed", "dataset:raw@1", {"verdict": "fail"}, at=3)
    book.emit("trainer", "dataset.deleted", "dataset:raw@1", {"reason": "cleaned"}, at=3)
    assert (results(book, "pre-production")["data-validated"], _may_be_used(book)) == ("pass", "pass"), "it was cleaned"
    book.emit("trainer", "dataset.quality_assessed", "dataset:hidden@1", {"verdict": "fail"}, at=3)
    book.emit("trainer", "dataset.quality_assessed", "dataset:hidden@1", {"verdict": "pass"}, at=2)
    assert results(book, "pre-production")["data-validated"] == "fail"
    for name in ("dataset:hidden@1", "dataset:parents@1", "dataset:raw@1", "dataset:again@1"):
        book.emit("p-author", "dataset.consent_changed", name, {"status": "withdrawn", "scope": "all"}, at=4)
        assert _may_be_used(book) == "fail", name
        book.emit("p-author", "dataset.consent_changed", name, {"status": "granted", "scope": "all"}, at=3.5)
        assert _may_be_used(book) == "fail", "a late report"
        book.emit("p-author", "dataset.consent_changed", name, {"status": "granted", "scope": "all"}, at=4)
        assert _may_be_used(book) == "pass", name


def _may_be_used(book: Book) -> str:
    return results(book, "pre-production")["data-may-be-used"]


def test_a_feature_set_that_names_no_data_is_data_that_nobody_registered(book: Book):
    book.dataset(BASE, 0)
    book.emit("trainer", "dataset.quality_assessed", BASE, {"verdict": "pass"}, at=0)
    book.version(ONE, 1, inputs=(BASE, "featureset:f@1"))
    assert [(one["subject"], one["registered"]) for one in look(book)["datasets"]] == [
        (BASE, True), ("featureset:f@1", False),
    ]  # fmt: skip
    assert results(book, "pre-production")["data-validated"] == "fail"


@pytest.mark.parametrize(("said", "independent"), [
    ({"dataset": BASE}, False), ({"dataset": "dataset:base"}, False), ({"dataset": "dataset:copy@1"}, False),
    ({"dataset": "dataset:base", "dataset_digest": digest("x")}, False),
    ({"dataset": "dataset:new@1", "dataset_digest": digest(BASE)}, False),
    ({"dataset": "dataset:nobody-knows@1"}, False), ({"dataset": BASE, "split": "training"}, False),
    ({"dataset": BASE, "split": "test"}, True), ({"dataset": "dataset:test@1"}, True),
    ({"dataset": "dataset:elsewhere@1", "dataset_digest": digest("y")}, True),
])  # fmt: skip
def test_an_evaluation_is_on_other_data_where_neither_name_nor_bytes_are_of_the_training_data(
    book: Book, said: dict[str, Any], independent: bool
):
    book.dataset(BASE, 0)
    book.dataset("dataset:test@1", 0)
    book.emit("trainer", "dataset.registered", "dataset:copy@1", {"digest": digest(BASE)}, at=0)
    book.version(ONE, 1, inputs=((BASE, digest(BASE)),))
    book.emit("trainer", "evaluation.completed", ONE, PASSED | {"suite": "held out"} | said, at=2)
    assert (results(book, "pre-production")["split-independent"] == "pass") is independent


def _tested(book: Book, model: str, p95: float, cost: float, *, currency: str = "EUR", **more: Any) -> None:
    body = {"p95_ms": p95, "cost": {"amount": cost, "currency": currency}, "verdict": "pass", **more}
    book.emit("trainer", "performance.tested", model, body, at=2)


def test_latency_and_cost_are_compared_with_what_is_recorded_of_what_is_live(any_book: Book):
    book = any_book
    checks = ("no-latency-regression", "no-cost-regression")

    def found() -> list[str]:
        told = results(book, "production")
        return [told[check] for check in checks]

    book.version(TWO, 0)
    book.release(TWO, 1)
    book.version(ONE, 2)
    own: dict[str, Any] = {"baseline": TWO, "baseline_p95_ms": 900, "baseline_cost": {"amount": 9, "currency": "EUR"}}
    _tested(book, ONE, 100, 9, **own)
    assert found() == ["fail", "fail"], "nobody measured what is live"
    _tested(book, TWO, 50, 1)
    assert found() == ["fail", "fail"], "it is slower and dearer than that, whatever baseline it names"
    book.emit("p-author", "performance.tested", PROD, {"model": TWO, "p95_ms": 98, "digest": digest("x")}, at=3)
    assert found() == ["fail", "fail"], "of other bytes"
    book.emit("p-author", "performance.tested", PROD, {"model": TWO, "p95_ms": 98}, at=3)
    assert found() == ["pass", "fail"]
    _tested(book, TWO, 98, 9, currency="USD")
    assert found() == ["pass", "fail"], "other money"
    _tested(book, TWO, 98, 9)
    assert found() == ["pass", "pass"]
    late = {"p95_ms": 1, "cost": {"amount": 1, "currency": "EUR"}, "verdict": "pass"}
    book.emit("trainer", "performance.tested", TWO, late, at=1.5)
    item = look(book)["deployments"][0]
    assert (item["live_p95_ms"], item["live_cost"], item["live_cost_unit"]) == (98, 9, "EUR")
    per = {"amount": 1, "currency": "EUR", "per": "1000 answers"}
    book.emit("trainer", "performance.tested", ONE, {"p95_ms": 1, "cost": per, "baseline_cost": own["baseline_cost"]},
              at=3)  # fmt: skip
    last = look(book)["performance"][-1]
    assert (last["cost_unit"], last["baseline_cost"]) == ("EUR per 1000 answers", None)


def test_a_contract_that_differs_is_breaking_unless_it_says_that_it_is_not(book: Book):
    book.version(TWO, 0)
    book.release(TWO, 1)
    book.version(ONE, 2)
    shape = {"input_schema": digest("in"), "output_schema": digest("out")}

    def defined(model: str, **more: Any) -> str:
        book.emit("trainer", "contract.defined", model, shape | more, at=3)
        return results(book, "production")["contract-matches"]

    assert defined(ONE) == "fail", "what is live has none"
    assert defined(ONE, breaking=False) == "pass"
    assert defined(TWO) == "pass"
    assert defined(ONE) == "pass"
    assert defined(ONE, output_schema=digest("other")) == "fail"
    assert defined(ONE, output_schema=digest("other"), breaking=True) == "fail"
    assert defined(ONE, output_schema=digest("other"), breaking=False) == "pass"


def test_another_model_that_is_live_is_compared_by_its_own_contract(book: Book):
    other, shape = "model:other@1", {"input_schema": digest("in"), "output_schema": digest("out")}
    book.version(other, 0)
    book.release(other, 1)
    book.version(ONE, 2)
    book.emit("trainer", "contract.defined", MODEL, shape, at=3)
    assert results(book, "production")["contract-matches"] == "fail"
    book.emit("trainer", "contract.defined", other, shape, at=3)
    assert results(book, "production")["contract-matches"] == "pass"


def test_ages_count_from_when_something_happened(book: Book):
    book.version(ONE, 1)
    year = 24 * 365
    for kind in ("runbook", "rollback"):
        book.emit("p-author", "drill.conducted", MODEL, {"kind": kind, "outcome": "pass"}, at=0)
    book.emit("trainer", "evaluation.completed", ONE, PASSED | {"kind": "drift"}, at=0)
    assert look(book)["drills"][0]["age_seconds"] >= year * 3600
    assert look(book)["evaluations"][-1]["age_seconds"] >= year * 3600
    old = results(book, "production")
    assert (old["runbook-rehearsed"], old["drift-run"]) == ("fail", "fail"), "recorded today, and a year old"
    book.emit("p-author", "drill.conducted", MODEL, {"kind": "runbook", "outcome": "pass"}, at=year)
    book.emit("trainer", "evaluation.completed", ONE, PASSED | {"kind": "drift"}, at=year)
    new = results(book, "production")
    assert (new["runbook-rehearsed"], new["drift-run"]) == ("pass", "pass")
    at = known(book)
    later = gate_input(at, ONE, "prod", at.recorded_at + 1_000_000_000, PROD)["drills"]
    assert later[0]["age_seconds"] == look(book)["drills"][0]["age_seconds"] + 1000, "told for when it was asked"


def test_the_last_drill_tells_how_it_stands(book: Book):
    book.version(ONE, 1)
    year = 24 * 365

    def drilled(outcome: str, at: float, subject: str = MODEL) -> str:
        for kind in ("runbook", "rollback"):
            book.emit("p-author", "drill.conducted", subject, {"kind": kind, "outcome": outcome}, at=at)
        found = results(book, "production")
        assert found["runbook-rehearsed"] == found["rollback-ready"]
        return found["runbook-rehearsed"]

    assert drilled("pass", year - 9) == "pass"
    assert drilled("fail", year - 8) == "fail"
    assert drilled("pass", year - 9) == "fail", "recorded later, conducted before"
    assert drilled("pass", year - 7) == "pass"
    assert drilled("fail", year - 6, PROD) == "fail", "one of the deployments"
    assert drilled("pass", year - 5, PROD) == "pass"
    assert len(look(book)["drills"]) == 4


def test_people_with_a_role_for_other_things_are_not_counted(book: Book):
    book.version(ONE, 1)
    few = look(book)["people"]
    for number, bound in enumerate((
        {"role": "approver", "subjects": ["model:other"]}, {"role": "approver", "types": ["waiver.granted"]},
        {"role": "deployer", "subjects": ["deployment:prod/other"]}, {"role": "validator", "subjects": ["model:a/*"]},
    )):  # fmt: skip
        book.cast.enrol(f"p-far-{number}", "person", ("owner",), None)
        book.ledger.emit("role.granted", f"actor:p-far-{number}", bound | {"until": when(24 * 400), "reason": "x"})
        assert look(book)["people"] == few, bound
    book.cast.enrol("p-near", "person", ("owner",), None)
    for bound in ({"role": "approver", "subjects": ["model:scor*"], "types": ["approval.*"]},
                  {"role": "deployer", "subjects": [PROD]}):  # fmt: skip
        book.ledger.emit("role.granted", "actor:p-near", bound | {"reason": "x"})
    assert look(book)["people"] == few | {"approvers": few["approvers"] + 1, "deployers": few["deployers"] + 1}
