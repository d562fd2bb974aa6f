"""What `history` and `timeline` say of an entry: every field that tells how it is meant is in its line."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from ledger.events import all_event_types
from ledger.events.base import load_body
from projections.due import due
from projections.history import history
from projections.inventory import inventory
from projections.pending import Asked
from projections.words import _ASIDES, what_of
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, tell
from tests.unit.bodies import BODIES, NOBODYS, filled

ONE, TWO = "model:scoring@1", "model:scoring@2"
SOME = digest("x")
ID = "0" * 8 + "-0000-7000-8000-" + "0" * 12
POLICY = {"digest": "sha256:" + sha256(b"x").hexdigest(), "source": "x", "format": "muniment.checks/v2"}
RAN = {"environment": "prod", "policy": "policy:p@1", "policy_digest": SOME, "digest": SOME, "input_digest": SOME,
       "size": 1, "as_of": "2026-01-01T00:00:00Z", "result": "deny", "checks": [], "engine": "cel 1"}  # fmt: skip
#: Type, body, and what is said of it.
SAYINGS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("artifact.signed",
     {"digest": SOME, "method": "sigstore", "signer": "ci@example.com", "predicate": "https://slsa.dev/provenance/v1",
      "log": "rekor.example", "log_index": 7},
     "by sigstore, of ci@example.com, https://slsa.dev/provenance/v1, in rekor.example, at 7"),
    ("bom.attached",
     {"format": "CycloneDX 1.7", "digest": SOME, "serial_number": "urn:uuid:1", "version": 2},
     "CycloneDX 1.7, urn:uuid:1, version 2"),
    ("documentation.attached",
     {"kind": "DPIA", "digest": SOME, "title": "Impact", "version": "3", "author": "Jo"},
     "Impact (DPIA, version 3, by Jo)"),
    ("model.described",
     {"title": "Scores", "purpose": "credit", "accountable": "X", "business_unit": "Retail",
      "task": "tabular", "license": "MIT", "jurisdictions": ["EU", "UK"]},
     "Scores (for credit, X answers for it, of Retail, task tabular, licence MIT, in EU, UK)"),
    ("modelcard.revised",
     {"digest": SOME, "completeness": 0.875, "missing": ["bias"], "change": "metrics added", "previous": SOME},
     "metrics added (87.5% complete, without bias)"),
    ("risk.classified",
     {"tier": "high", "rationale": "credit", "regime": "EU AI Act", "annex": "Annex III(5)(b)", "questionnaire": SOME,
      "effective_at": "2027-12-02T00:00:00Z"},
     f"credit (tier high, EU AI Act, Annex III(5)(b), by {SOME}, from 2027-12-02T00:00:00Z on)"),
    ("version.promoted",
     {"environment": "prod", "from_environment": "staging", "alias": "champion", "previous": ONE},
     f"to prod, from staging, as champion, {ONE} had the place"),
    ("version.demoted",
     {"environment": "prod", "reason": "drifts", "effective_at": "2026-01-01T00:00:00Z"},
     "drifts (from prod, from 2026-01-01T00:00:00Z on)"),
    ("version.retired",
     {"reason": "old", "successor": TWO, "data_disposition": "archived", "keep_until": "2036-01-01T00:00:00Z"},
     f"old (followed by {TWO}, its data: archived, kept until 2036-01-01T00:00:00Z)"),
    ("model.decommissioned", {"reason": "the product ends", "data_disposition": "deleted"},
     "the product ends (its data: deleted)"),
    ("quarantine.placed",
     {"reason": "poisoned", "scope": "the German part", "serving_blocked": False, "held_by": "security",
      "known_since": "2026-01-01T00:00:00Z"},
     "poisoned (the German part, known since 2026-01-01T00:00:00Z, held by security, serving is not blocked)"),
    ("quarantine.placed", {"reason": "x", "serving_blocked": True}, "x (serving is blocked)"),
    ("deployment.started",
     {"model": ONE, "digest": SOME, "strategy": "canary", "traffic": 0.05, "config_digest": SOME, "deployment_id": "r"},
     f"{ONE} (canary, 5% of the traffic, settings {SOME}, as r)"),
    ("rollback.completed",
     {"model": ONE, "digest": SOME, "reason": "slow", "from_model": TWO, "automatic": True, "trigger": ID,
      "verified": "pass", "verification": "1,000 requests replayed"},
     f"slow (to {ONE}, from {TWO}, by rule, called for by {ID}, verified: pass, 1,000 requests replayed)"),
    ("rollback.completed", {"model": ONE, "digest": SOME, "automatic": False}, ONE),
    ("monitor.signal",
     {"metric": "p", "value": 0.4, "status": "firing", "fingerprint": "f1", "started_at": "2026-01-01T00:00:00Z",
      "better": "higher"},
     "p 0.4 (higher is better, firing, since 2026-01-01T00:00:00Z, as f1)"),
    ("errorbudget.consumed",
     {"slo": "latency", "remaining": 0, "objective": 0.99, "window": "28d", "action": "no new features"},
     "latency exhausted (of 99%, over 28d, no new features)"),
    ("errorbudget.consumed", {"slo": "latency", "remaining": 0.25}, "latency 25% left"),
    ("dataset.license_changed", {"license": "CC-BY-4.0", "scope": "images"},
     "licence CC-BY-4.0, images"),
    ("dataset.deprecated", {"reason": "old", "scope": "training"}, "old (training)"),
    ("feed.interrupted",
     {"source": "prometheus", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "lost": 3, "reason": "x"},
     "prometheus did not tell since 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z, 3 lost: x"),
    ("erasure.requested",
     {"basis": "GDPR Art. 17", "scope": "notes", "due_at": "2026-01-01T00:00:00Z"},
     "under GDPR Art. 17, notes, due 2026-01-01T00:00:00Z"),
    ("erasure.resolved", {"request": ID, "outcome": "refused", "reason": "M-12"},
     "M-12 (refused)"),
    ("incident.opened", {"title": "slow", "report_by": "2026-01-01T00:00:00Z"},
     "slow (to be reported by 2026-01-01T00:00:00Z)"),
    ("incident.role_assigned", {"role": "commander", "assignee": "p-author"},
     "commander: p-author"),
    ("incident.linked", {"subject": ONE, "relation": "caused-by", "confidence": 0.8},
     f"caused-by: {ONE}, 80% sure"),
    ("incident.contributing_factor_recorded",
     {"category": "process", "statement": "nobody looked", "reviewers": ["p-author", "p-approver"]},
     "nobody looked (process, seen by p-author, p-approver)"),
    ("incident.action_item_completed", {"item": ID, "note": "done", "proof": ID},
     f"done (shown by {ID}, item {ID})"),
    ("policy.defined", POLICY | {"mode": "warn", "scope": ["model:credit/*"]},
     "it only warns, for model:credit/*"),
    ("policy.defined", POLICY | {"mode": "shadow"}, "it is only tried out"),
    ("evaluation.completed",
     {"metrics": {"auc": 0.5}, "verdict": "fail", "suite": "held-out",
      "slices": [{"slice": "x=1", "metrics": {"auc": 0.4}}],
      "measurements": [{"name": "acc", "value": 0.9}, {"name": "acc", "value": 0.8},
                       {"name": "acc", "value": 0.7, "slice": "x=2", "verdict": "pass"},
                       {"name": "auc", "value": 0.5, "threshold": 0.8, "slice": "x=1", "verdict": "fail"}]},
     "auc 0.5 (fail, suite held-out, auc of x=1 0.5 against 0.8: fail; acc 0.9; acc 0.8 and 1 more, x=1: auc 0.4)"),
    ("evaluation.completed", {"metrics": {"psi": 0.1}, "verdict": "pass", "kind": "drift"},
     "psi 0.1 (pass, of kind drift)"),
    ("validation.completed", {"verdict": "fail", "independence": "another team"},
     "fail, another team"),
    ("dataset.quality_assessed", {"verdict": "uncertain"}, "uncertain"),
    ("version.registered", {"digest": digest(TWO), "owner": "p-author", "tier": "high"}, digest(TWO)),
    ("approval.requested", {"environment": "prod", "digest": digest(TWO), "reason": "first"},
     "first (for prod)"),
    ("gate.evaluated", RAN | {"mode": "warn"}, "policy:p@1 refuses it (in prod, it only warns)"),
    ("gate.evaluated", RAN | {"result": "allow"}, "policy:p@1 allows it (in prod)"),
    ("gate.evaluated",
     RAN | {"result": "allow", "checks": [
         {"check": "drift", "result": "waived", "reason": "x", "waiver": "waiver:w1"},
         {"check": "signed", "result": "pass", "reason": "x"}]},
     "policy:p@1 allows it; waived: drift by waiver:w1 (in prod)"),
    ("postmortem.published",
     {"digest": SOME, "timeline": {"size": 40, "at": "2026-01-01T00:00:00Z", "before": 48}},
     "timeline: --known-at 40 --at 2026-01-01T00:00:00Z --before 48"),
    ("artifact.scanned", {"digest": SOME, "scanner": "modelscan", "verdict": "fail", "findings": {"high": 2, "low": 1}},
     "modelscan: fail (high 2, low 1)"),
    ("monitor.signal",
     {"metric": "psi", "value": 0.4, "threshold": 0.2, "baseline": 0.0, "severity": "critical", "model": ONE,
      "deployment": PROD, "slices": [{"slice": "region=de", "metrics": {"psi": 0.9}}], "description": "income shifts"},
     f"psi 0.4: income shifts (threshold 0.2, baseline 0.0, critical, region=de: psi 0.9, of {ONE}, in {PROD})"),
    ("performance.tested",
     {"verdict": "fail", "p95_ms": 310.5, "throughput": 40, "error_rate": 0.02, "baseline": ONE, "baseline_p95_ms": 120,
      "cost": {"amount": 4, "currency": "EUR", "per": "day"}},
     f"fail (p95 310.5 ms, 40 requests a second, 2% errors, 4 EUR for day, compared with {ONE}, which has p95 120 ms)"),
    ("experiment.started",
     {"arms": [{"name": "a", "model": ONE, "traffic": 0.9}, {"name": "b", "model": TWO}], "metric": "clicks",
      "hypothesis": "more clicks", "deployment": PROD},
     f"clicks decides: more clicks (a is {ONE} with 90%; b is {TWO}, in {PROD})"),
    ("experiment.completed",
     {"outcome": "worse", "results": {"b": {"clicks": 2}, "a": {"clicks": 1}}, "conclusion": "b stays"},
     "the first arm: worse: b stays (a: clicks 1; b: clicks 2)"),
    ("version.composed",
     {"parents": [{"role": "member", "subject": f"model:m{n}@1"} for n in range(5)], "method": "ensemble"},
     "made from model:m0@1; model:m1@1; model:m2@1 and 2 more (by ensemble)"),
    ("version.tagged", {"tags": {"stage": "prod", "owner": None}}, "owner removed, stage prod"),
    ("version.aliased", {"alias": "champion", "previous": ONE}, f"champion ({ONE} had it)"),
    ("version.unaliased", {"alias": "champion", "reason": "drifts"}, "champion no more: drifts"),
    ("thirdparty.registered",
     {"vendor": "V", "product": "P", "release": "4", "hosted": True, "unknown": ["training data"]},
     "P of V (release 4, runs at the vendor's, not known: training data)"),
    ("thirdparty.registered", {"vendor": "V", "product": "P", "hosted": False}, "P of V (runs here)"),
    ("contract.defined",
     {"input_schema": SOME, "output_schema": SOME, "breaking": True, "inputs": {"age": "int"},
      "outputs": {"p": "float"}},
     "callers must change (takes age int, gives p float)"),
    ("contract.defined", {"input_schema": SOME, "output_schema": SOME, "breaking": False}, "callers need not change"),
    ("contract.defined", {"input_schema": SOME, "output_schema": SOME}, "it is not said whether callers must change"),
    ("validation.assigned", {"validator": "p-x", "due_at": "2026-01-01T00:00:00Z", "scope": "fairness"},
     "p-x is to validate it (fairness, due 2026-01-01T00:00:00Z)"),
    ("validation.completed",
     {"verdict": "fail", "independence": "another team", "findings": [
         {"id": "F1", "severity": "low", "statement": "x"}, {"id": "F2", "severity": "critical", "statement": "x"}]},
     "fail, found: 1 critical, 1 low, another team"),
    ("finding.disposed", {"validation": ID, "finding": "F1", "disposition": "accepted", "reason": "no harm"},
     "F1 accepted: no harm"),
    ("notification.sent",
     {"recipient_class": "platform", "recipient": "argo", "about": ID, "channel": "exec", "attempts": 2, "status": 0},
     f"platform argo was told (by exec, after 2 attempts, status 0, about {ID})"),
    ("notification.failed", {"recipient_class": "regulator", "reason": "no answer", "attempts": 1},
     "regulator was not told: no answer"),
    ("model.on_call_assigned", {"on_call": "p-x", "until": "2026-01-01T00:00:00Z", "runbook": "wiki/r"},
     "p-x is called (until 2026-01-01T00:00:00Z, runbook wiki/r)"),
    ("evidence.preserved", {"digest": SOME, "kind": "logs", "uri": "s3://b/x", "keep_until": "2036-01-01T00:00:00Z"},
     "logs is kept (at s3://b/x, until 2036-01-01T00:00:00Z)"),
    ("retrain.requested", {"trigger": "drift", "reason": "income"}, "because of drift: income"),
    ("retrain.resolved", {"request": ID, "outcome": "refused", "reason": "no labels"},
     f"refused: no labels (asked for by {ID})"),
    ("retrain.resolved", {"request": ID, "outcome": "done", "run": "run:r", "version": TWO},
     f"done (made {TWO}, by run:r, asked for by {ID})"),
    ("waiver.requested",
     {"check": "drift", "model": ONE, "environment": "prod", "owner": "p-x", "reason": "late", "max_uses": 2,
      "compensating_control": "daily looks", "expires_at": "2026-01-01T00:00:00Z", "single_use": False},
     f"drift of {ONE} in prod: late (p-x carries the risk, instead: daily looks, until 2026-01-01T00:00:00Z, 2 times)"),
    ("access.denied", {"principal": "jo", "action": "deploy", "system": "argo", "reason": "no member", "count": 3},
     "jo was denied deploy: no member (3 times, by argo)"),
    ("access.denied", {"principal": "jo", "action": "deploy", "count": 1}, "jo was denied deploy"),
    ("canary.analysed",
     {"model": TWO, "digest": SOME, "stage": 1, "traffic": 0.05, "metrics": {"p95": 90}, "verdict": "fail"},
     f"{TWO} (stage 1, 5% of the traffic, p95 90, fail)"),
    ("canary.aborted", {"model": TWO, "digest": SOME, "reason": "errors"}, f"errors ({TWO})"),
    ("dataset.quality_assessed",
     {"verdict": "fail", "tool": "gx", "assertions": [
         {"assertion": "not_null", "column": "age", "success": False}, {"assertion": "unique", "success": True}]},
     "fail, by gx, not_null of age failed"),
    ("deployment.authorised",
     {"model": TWO, "digest": SOME, "emergency": {"reason": "outage", "review_by": "2026-01-01T00:00:00Z"}},
     f"{TWO} (in an emergency: outage)"),
    ("run.started", {"job": "train", "code": {"commit": "abc", "dirty": True}},
     "train, code abc and changes that are nowhere"),
    ("slo.defined", {"slo": "fast", "indicator": "latency_ms", "objective": 0.99, "threshold": 300, "window": "28d"},
     "fast: 99% of latency_ms good (threshold 300, over 28d)"),
)  # fmt: skip
#: Types of which only what is named matters, or that have no field with words: for the reader of the entry itself.
SILENT = {
    "approval.expired", "approval.withdrawn", "incident.mitigated", "incident.resolved", "model.registered",
    "run.completed", "run.started", "waiver.expired", "featureset.materialized",
}  # fmt: skip


def line(kind: str, body: dict[str, Any]) -> str:
    load_body(next(one for one in all_event_types() if one.name == kind), body)
    return what_of({"type": kind, "data": body, "verdict": "valid"})


@pytest.mark.parametrize(("kind", "body", "words"), SAYINGS, ids=[f"{n}-{one[0]}" for n, one in enumerate(SAYINGS)])
def test_every_field_that_tells_how_an_entry_is_meant_is_said(kind: str, body: dict[str, Any], words: str):
    assert line(kind, body) == words


def test_every_type_says_something_of_itself():
    """Of the least that its body may have: a field that was renamed, or a new type, says nothing."""
    assert {kind for kind in BODIES if not line(kind, filled(kind, NOBODYS)[1])} == SILENT


def test_history_and_timeline_say_it(book: Book):
    tell(book)
    body = {"category": "process", "statement": "nobody looked"}
    book.emit("p-deployer", "incident.contributing_factor_recorded", INCIDENT, body, at=17)
    words = "nobody looked (process)"
    reader = book.reader()
    assert words in [row["what"] for row in book.timeline(INCIDENT)["rows"]]
    assert words in [row["what"] for row in history(book.ledger, reader.runner.views, reader.as_of(), INCIDENT)]


def test_every_aside_is_about_fields_that_there_are():
    """A field that was renamed would be said no more."""
    known: dict[str, set[str]] = {}
    for name in _ASIDES:
        kinds = [kind for kind in all_event_types() if name in (kind.name, kind.family)]
        known[name] = {field for kind in kinds for field in kind.body.model_fields}
        assert known[name] & set(_ASIDES[name]), name
    for field in {field for fields in _ASIDES.values() for field in fields}:
        assert any(field in fields and field in known[name] for name, fields in _ASIDES.items()), field


def test_a_report_to_an_authority_is_due_until_it_is_told(book: Book):
    def waiting() -> list[tuple[str, str]]:
        reader = book.reader()
        asked = Asked(book.ledger, reader.runner.views, book.size, book.clock.now)
        return [(one["what"], one["state"]) for one in due(asked, 10 * 86_400_000_000) if one["what"] == "report"]

    later, past = "2000-01-01T00:00:00Z", "9999-01-01T00:00:00Z"
    book.emit("p-deployer", "incident.opened", "incident:quiet", {"title": "x", "report_by": past}, at=1)
    assert waiting() == [], "not within ten days"
    book.emit("p-deployer", "incident.opened", INCIDENT, {"title": "x", "report_by": later}, at=1)
    assert waiting() == [("report", "overdue")]
    book.emit("p-author", "notification.sent", INCIDENT, {"recipient_class": "customer"}, at=2)
    assert waiting() == [("report", "overdue")], "customers are no authority"
    book.emit("p-author", "notification.sent", INCIDENT, {"recipient_class": "regulator"}, at=2)
    assert waiting() == []


def test_the_inventory_says_who_is_accountable_and_what_the_card_lacks(any_book: Book):
    book = any_book
    book.emit("p-author", "model.registered", "model:scoring", {"owner": "p-author", "business_unit": "Retail"}, at=0)
    book.emit("p-author", "model.described", "model:scoring", {"accountable": "Head of credit", "title": "S"}, at=1)
    book.emit("p-author", "modelcard.published", "model:scoring", {"digest": SOME, "missing": ["bias"]}, at=1)
    card = {"digest": digest("y"), "completeness": 1.0}
    revised = book.emit("p-author", "modelcard.revised", ONE, card, at=2)
    reader = book.reader()
    (found,) = inventory(book.ledger, reader.runner.views, reader.as_of(), book.clock.now)
    assert (found["title"], found["accountable"], found["business_unit"]) == ("S", "Head of credit", "Retail")
    assert found["card"] == {**card, "format": None, "missing": None, "of": ONE, "index": revised.index}


@pytest.mark.parametrize(("kind", "there"), [("bom.attached", True), ("model.described", False)])
def test_a_bill_of_materials_is_a_document_that_gates_see(book: Book, kind: str, there: bool):
    from tests.projections.test_gateinput import look

    book.version(ONE, 1)
    subject, body = (ONE, {"format": "SPDX 3.0", "digest": SOME}) if there else ("model:scoring", {"purpose": "credit"})
    book.emit("p-author", kind, subject, body, at=2)
    found = look(book)
    bill = {"kind": "bill-of-materials", "digest": SOME, "expired": False}
    assert found["documentation"] == ([bill] if there else [])
    assert found["model"]["purpose"] == ("" if there else "credit")
