"""Refused decisions are recorded: by whom, about what, and by which rule; once an hour for the same one."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import commands
from ledger.errors import AuthenticationError, LedgerError, NotAllowedError, PolicyError, StorageError
from ledger.events.ledgers import Rule, RuleSet
from tests.contract.support import MODEL, Cast, audit, digest, make_cast, register

PROD = "deployment:prod/tx"
HOUR = 3_600_000_000


@pytest.fixture
def cast(store_url: str) -> Cast:
    made = make_cast(store_url)
    register(made)
    return made


def refused(cast: Cast) -> list[tuple[str, str, dict[str, Any]]]:
    """Author, subject and body of every refusal in the log."""
    rows = cast.recorder.rows(0, 1_000)
    judged = [cast.admin.world.judge_row(row) for row in rows if row.entry.type == "muniment.decision.refused.v1"]
    return [(found.event.payload.actor, found.event.payload.subject, dict(found.event.payload.data))
            for found in judged if found.event is not None]  # fmt: skip


def test_a_refused_decision_is_recorded_with_its_rule(cast: Cast):
    with pytest.raises(PolicyError, match="needs 1 approval"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    assert refused(cast) == [
        ("p-deployer", PROD, {
            "decision": "deployment.authorised", "refused": "policy", "environment": "prod", "rule": "*/*",
            "reason": f"{MODEL} needs 1 approval(s) for prod at tier high and has 0",
        }),
    ]  # fmt: skip
    assert len(audit(cast.url)) == cast.recorder.head().size


def test_whoever_may_not_is_recorded_too(cast: Cast):
    commands.request_approval(cast["p-author"], MODEL, "prod")
    with pytest.raises(NotAllowedError):
        commands.approve(cast["p-author"], MODEL, rationale="mine")
    ((actor, subject, body),) = refused(cast)
    assert (actor, subject, body["decision"], body["refused"]) == ("p-author", MODEL, "approval.granted", "not-allowed")


def test_the_same_refusal_is_recorded_once_an_hour(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    now = [1_700_000_000_000_000]
    monkeypatch.setattr("ledger.application.microseconds", lambda _: now[0])

    def attempt() -> None:
        with pytest.raises(PolicyError):
            commands.authorise(cast["p-deployer"], PROD, MODEL)

    attempt()
    attempt()
    assert len(refused(cast)) == 1
    now[0] += HOUR
    attempt()
    assert len(refused(cast)) == 2
    with pytest.raises(PolicyError):
        commands.authorise(cast["p-deployer"], "deployment:prod/other", MODEL)
    assert [subject for _, subject, _ in refused(cast)] == [PROD, PROD, "deployment:prod/other"]


def test_facts_strangers_and_malformed_events_leave_none(cast: Cast):
    size = cast.recorder.head().size
    with pytest.raises(NotAllowedError):
        cast["p-approver"].emit("run.completed", "run:x", metrics={})
    cast.admin.emit("actor.revoked", "actor:p-deployer", reason="left")
    with pytest.raises(AuthenticationError):
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    with pytest.raises(LedgerError):
        cast["p-approver"].emit("approval.granted", MODEL, rationale="x")
    assert (refused(cast), cast.recorder.head().size) == ([], size + 1)


def test_what_no_rule_covers_is_recorded_without_one(store_url: str):
    rule = Rule(environment="dev", tier="*", authorisation=False, approvals=0, evaluation=False)
    cast = make_cast(store_url, rules=RuleSet(name="dev only", rules=(rule,)))
    register(cast)
    body = {"environment": "prod", "digest": digest(MODEL)}
    with pytest.raises(PolicyError, match="no rule covers"):
        cast["p-author"].emit("approval.requested", MODEL, body)
    assert [found[2].get("rule") for found in refused(cast)] == [None]


def test_of_several_decisions_in_one_transaction_the_last_is_recorded(cast: Cast):
    body = commands.authorisation(cast["p-deployer"], PROD, MODEL)
    used = ("waiver.used", "waiver:w", {"deployment": PROD, "model": MODEL})
    with pytest.raises(PolicyError, match="never asked for"):
        cast["p-deployer"].emit_all([used, ("deployment.authorised", PROD, body)])
    ((actor, subject, found),) = refused(cast)
    assert (actor, subject, found["decision"]) == ("p-deployer", PROD, "deployment.authorised")


def test_a_store_that_fails_then_does_not_hide_why_it_was_refused(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise StorageError("the store is gone")

    monkeypatch.setattr("ledger.application.refusal", fails)
    with pytest.raises(PolicyError, match="needs 1 approval") as caught:
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    assert caught.value.__notes__ == ["the refusal was not recorded: the store is gone"]
