"""Lives of models for the control report, and what it finds of them."""

from __future__ import annotations

from typing import Any

from ledger import commands
from ledger.application import Receipt
from ledger.creation import DEFAULT_RULES
from ledger.events.ledgers import Rule
from ledger.policy import source_digest
from projections.gates import Stated, run_gate
from projections.known import Known
from tests.projections.support import Book, when

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


def finding(report: dict[str, Any], control: str) -> dict[str, Any]:
    (found,) = [item for item in report["findings"] if item["control"] == control]
    return found
