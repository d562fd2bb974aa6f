"""What `history` and `timeline` say of an entry: every field that tells how it is meant is in its line."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from projections.due import due
from projections.history import history
from projections.inventory import inventory
from projections.journal import journal_rows
from projections.pending import Asked
from projections.words import _ASIDES, what_of
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, tell

ONE, TWO = "model:scoring@1", "model:scoring@2"
SOME = digest("x")
ID = "0" * 8 + "-0000-7000-8000-" + "0" * 12
POLICY = {"digest": "sha256:" + sha256(b"x").hexdigest(), "source": "x", "format": "muniment.checks/v2"}
RAN = {"environment": "prod", "policy": "policy:p@1", "policy_digest": SOME, "digest": SOME, "input_digest": SOME,
       "size": 1, "as_of": "2026-01-01T00:00:00Z", "result": "deny", "checks": [], "engine": "cel 1"}  # fmt: skip
#: Actor, type, subject, body, and what is said of it.
SAYINGS: tuple[tuple[str, str, str, dict[str, Any], str], ...] = (
    ("trainer", "artifact.signed", "artifact:w",
     {"digest": SOME, "method": "sigstore", "signer": "ci@example.com", "predicate": "https://slsa.dev/provenance/v1",
      "log": "rekor.example", "log_index": 7},
     "by sigstore, of ci@example.com, https://slsa.dev/provenance/v1, in rekor.example, at 7"),
    ("p-author", "bom.attached", ONE,
     {"format": "CycloneDX 1.7", "digest": SOME, "serial_number": "urn:uuid:1", "version": 2},
     "CycloneDX 1.7, urn:uuid:1, version 2"),
    ("p-author", "documentation.attached", ONE,
     {"kind": "DPIA", "digest": SOME, "title": "Impact", "version": "3", "author": "Jo"},
     "Impact (DPIA, version 3, by Jo)"),
    ("p-author", "model.described", "model:scoring",
     {"title": "Scores", "purpose": "credit", "accountable": "X", "business_unit": "Retail",
      "task": "tabular", "license": "MIT", "jurisdictions": ["EU", "UK"]},
     "Scores (for credit, X answers for it, of Retail, task tabular, licence MIT, in EU, UK)"),
    ("p-author", "modelcard.revised", ONE,
     {"digest": SOME, "completeness": 0.875, "missing": ["bias"], "change": "metrics added", "previous": SOME},
     "metrics added (87.5% complete, without bias)"),
    ("p-author", "risk.classified", "model:scoring",
     {"tier": "high", "rationale": "credit", "regime": "EU AI Act", "annex": "Annex III(5)(b)", "questionnaire": SOME,
      "effective_at": "2027-12-02T00:00:00Z"},
     f"credit (tier high, EU AI Act, Annex III(5)(b), by {SOME}, from 2027-12-02T00:00:00Z on)"),
    ("p-deployer", "version.promoted", TWO,
     {"environment": "prod", "from_environment": "staging", "alias": "champion", "previous": ONE},
     f"to prod, from staging, as champion, {ONE} had the place"),
    ("p-author", "version.demoted", TWO,
     {"environment": "prod", "reason": "drifts", "effective_at": "2026-01-01T00:00:00Z"},
     "drifts (from prod, from 2026-01-01T00:00:00Z on)"),
    ("p-author", "version.retired", ONE,
     {"reason": "old", "successor": TWO, "data_disposition": "archived", "keep_until": "2036-01-01T00:00:00Z"},
     f"old (followed by {TWO}, its data: archived, kept until 2036-01-01T00:00:00Z)"),
    ("p-author", "model.decommissioned", "model:scoring", {"reason": "the product ends", "data_disposition": "deleted"},
     "the product ends (its data: deleted)"),
    ("p-author", "quarantine.placed", ONE,
     {"reason": "poisoned", "scope": "the German part", "serving_blocked": False, "held_by": "security",
      "known_since": "2026-01-01T00:00:00Z"},
     "poisoned (the German part, known since 2026-01-01T00:00:00Z, held by security, serving is not blocked)"),
    ("p-author", "quarantine.placed", ONE, {"reason": "x", "serving_blocked": True}, "x (serving is blocked)"),
    ("p-deployer", "deployment.started", PROD,
     {"model": ONE, "digest": SOME, "strategy": "canary", "traffic": 0.05, "config_digest": SOME, "deployment_id": "r"},
     f"{ONE} (canary, 5% of the traffic, settings {SOME}, as r)"),
    ("p-deployer", "rollback.completed", PROD,
     {"model": ONE, "digest": SOME, "reason": "slow", "from_model": TWO, "automatic": True, "trigger": ID,
      "verified": "pass", "verification": "1,000 requests replayed"},
     f"slow (from {TWO}, by rule, called for by {ID}, verified: pass, 1,000 requests replayed)"),
    ("p-deployer", "rollback.completed", PROD, {"model": ONE, "digest": SOME, "automatic": False}, ONE),
    ("trainer", "monitor.signal", "monitor:m",
     {"metric": "p", "value": 0.4, "status": "firing", "fingerprint": "f1", "started_at": "2026-01-01T00:00:00Z",
      "better": "higher"},
     "p 0.4 (firing, higher is better, since 2026-01-01T00:00:00Z, as f1)"),
    ("trainer", "errorbudget.consumed", PROD,
     {"slo": "latency", "remaining": 0, "objective": 0.99, "window": "28d", "action": "no new features"},
     "latency exhausted (of 99%, over 28d, no new features)"),
    ("trainer", "errorbudget.consumed", PROD, {"slo": "latency", "remaining": 0.25}, "latency 25% left"),
    ("p-author", "dataset.license_changed", "dataset:d@1", {"license": "CC-BY-4.0", "scope": "images"},
     "licence CC-BY-4.0, images"),
    ("p-author", "dataset.deprecated", "dataset:d@1", {"reason": "old", "scope": "training"}, "old (training)"),
    ("trainer", "feed.interrupted", "monitor:m",
     {"source": "prometheus", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "lost": 3, "reason": "x"},
     "prometheus did not tell since 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z, 3 lost: x"),
    ("p-author", "erasure.requested", "person:p-1",
     {"basis": "GDPR Art. 17", "scope": "notes", "due_at": "2026-01-01T00:00:00Z"},
     "under GDPR Art. 17, notes, due 2026-01-01T00:00:00Z"),
    ("p-author", "erasure.resolved", "person:p-1", {"request": ID, "outcome": "refused", "reason": "M-12"},
     "M-12 (refused)"),
    ("p-deployer", "incident.opened", INCIDENT, {"title": "slow", "report_by": "2026-01-01T00:00:00Z"},
     "slow (to be reported by 2026-01-01T00:00:00Z)"),
    ("p-deployer", "incident.role_assigned", INCIDENT, {"role": "commander", "assignee": "p-author"},
     "commander: p-author"),
    ("p-deployer", "incident.linked", INCIDENT, {"subject": ONE, "relation": "caused-by", "confidence": 0.8},
     f"caused-by: {ONE}, 80% sure"),
    ("p-deployer", "incident.contributing_factor_recorded", INCIDENT,
     {"category": "process", "statement": "nobody looked", "reviewers": ["p-author", "p-approver"]},
     "nobody looked (process, seen by p-author, p-approver)"),
    ("p-deployer", "incident.action_item_completed", INCIDENT, {"item": ID, "note": "done", "proof": ID},
     f"done (shown by {ID})"),
    ("p-approver", "policy.defined", "policy:p@1", POLICY | {"mode": "warn", "scope": ["model:credit/*"]},
     "it only warns, for model:credit/*"),
    ("p-approver", "policy.defined", "policy:p@2", POLICY | {"mode": "shadow"}, "it is only tried out"),
    ("trainer", "evaluation.completed", ONE, {"metrics": {"auc": 0.5}, "verdict": "fail", "suite": "held-out"},
     "auc 0.5 (fail, suite held-out)"),
    ("trainer", "evaluation.completed", ONE, {"metrics": {"psi": 0.1}, "verdict": "pass", "kind": "drift"},
     "psi 0.1 (pass, of kind drift)"),
    ("p-approver", "validation.completed", ONE, {"verdict": "fail", "independence": "another team"},
     "fail, another team"),
    ("p-author", "dataset.quality_assessed", "dataset:d@1", {"verdict": "uncertain"}, "uncertain"),
    ("trainer", "version.registered", TWO, {"digest": digest(TWO), "owner": "p-author", "tier": "high"}, digest(TWO)),
    ("p-author", "approval.requested", TWO, {"environment": "prod", "digest": digest(TWO), "reason": "first"},
     "first (for prod)"),
    ("p-deployer", "gate.evaluated", ONE, RAN | {"mode": "warn"}, "policy:p@1 refuses it (in prod, it only warns)"),
    ("p-deployer", "gate.evaluated", ONE, RAN | {"result": "allow"}, "policy:p@1 allows it (in prod)"),
    ("p-deployer", "gate.evaluated", ONE,
     RAN | {"result": "allow", "checks": [
         {"check": "drift", "result": "waived", "reason": "x", "waiver": "waiver:w1"},
         {"check": "signed", "result": "pass", "reason": "x"}]},
     "policy:p@1 allows it; waived: drift by waiver:w1 (in prod)"),
    ("p-deployer", "postmortem.published", INCIDENT,
     {"digest": SOME, "timeline": {"size": 40, "at": "2026-01-01T00:00:00Z", "before": 48}},
     "timeline: --known-at 40 --at 2026-01-01T00:00:00Z --before 48"),
)  # fmt: skip


def test_every_field_that_tells_how_an_entry_is_meant_is_said(any_book: Book):
    book = any_book
    said = [(book.emit(actor, kind, subject, body, at=3).index, words) for actor, kind, subject, body, words in SAYINGS]
    rows = {row["index"]: row for row in journal_rows(book.reader().runner.views, size=book.size)}
    assert [what_of(rows[index]) for index, _ in said] == [words for _, words in said]


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
    from ledger.events import all_event_types

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
