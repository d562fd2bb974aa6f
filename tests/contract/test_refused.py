"""Refused decisions are recorded: by whom, about what, and by which rule; once an hour for the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

import muniment
from ledger import commands, governing
from ledger.application import Ledger
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, LedgerError, NotAllowedError, PolicyError, StorageError
from ledger.events.ledgers import Rule, RuleSet
from ledger.policy import source_digest
from tests.contract.support import MODEL, Cast, audit, digest, make_cast, register, seeded_key

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
            "decision": "deployment.authorised", "refused": "policy", "environment": "prod", "rule": "rules */*",
            "reason": f"{MODEL} needs 1 approval(s) for prod at tier high and has 0",
        }),
    ]  # fmt: skip
    assert len(audit(cast.url)) == cast.recorder.head().size


def test_whoever_may_not_is_recorded_too(cast: Cast):
    commands.request_approval(cast["p-author"], MODEL, "prod")
    cast.admin.emit("role.granted", "actor:p-author", role="approver")
    with pytest.raises(NotAllowedError):
        commands.approve(cast["p-author"], MODEL, rationale="mine")
    ((actor, subject, body),) = refused(cast)
    assert (actor, subject, body["decision"], body["refused"]) == ("p-author", MODEL, "approval.granted", "not-allowed")
    assert body["rule"] == "separation approval.granted/makers"


def test_the_rule_of_a_missing_role_is_the_role(cast: Cast):
    for actor, kind, subject, body in (
        ("p-author", "deployment.authorised", PROD, {"model": MODEL, "digest": digest(MODEL)}),
        ("p-deployer", "policy.retired", "policy:p@1", {"reason": "x"}),
    ):
        with pytest.raises(NotAllowedError):
            cast[actor].emit(kind, subject, body)
    assert [(body["refused"], body["rule"]) for _, _, body in refused(cast)] == [
        ("not-allowed", "role deployer"), ("not-allowed", "role admin or validator"),
    ]  # fmt: skip


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


def told(cast: Cast) -> list[tuple[str, str, str]]:
    return [(actor, subject, body["decision"]) for actor, subject, body in refused(cast)]


def test_what_a_command_finds_out_before_it_signs_is_recorded_too(cast: Cast):
    approver, owner, deployer = cast["p-approver"], cast["p-author"], cast["p-deployer"]
    attempts: list[tuple[str, str, str, Callable[[], Any]]] = [
        ("p-approver", MODEL, "approval.granted", lambda: commands.approve(approver, MODEL, rationale="x")),
        ("p-approver", MODEL, "approval.rejected", lambda: commands.reject(approver, MODEL, rationale="x")),
        ("p-author", "model:none@1", "approval.requested",
         lambda: commands.request_approval(owner, "model:none@1", "prod")),
        ("p-deployer", PROD, "deployment.authorised", lambda: commands.authorise(deployer, PROD, "model:none@1")),
        ("p-deployer", "deployment:prod/b", "deployment.authorised",
         lambda: muniment.authorise(deployer, "deployment:prod/b", "model:none@1")),
        ("p-approver", MODEL, "approval.revoked", lambda: governing.revoke_approval(approver, MODEL, rationale="x")),
        ("p-approver", MODEL, "approval.condition_met", lambda: governing.meet_condition(approver, MODEL, 0)),
        ("p-author", MODEL, "approval.withdrawn", lambda: governing.withdraw_request(owner, MODEL)),
        ("p-approver", MODEL, "quarantine.released", lambda: governing.release(approver, MODEL, rationale="x")),
        ("p-approver", PROD, "emergency.reviewed",
         lambda: governing.review_emergency(approver, PROD, verdict="justified", rationale="x")),
    ]  # fmt: skip
    for number, (actor, subject, decision, attempt) in enumerate(attempts, 1):
        for _ in range(2):
            with pytest.raises(PolicyError):
                attempt()
        assert len(told(cast)) == number, "once"
        assert told(cast)[-1] == (actor, subject, decision)


def test_acts_of_authority_and_strangers_leave_none(cast: Cast):
    """A fact cannot be about an actor or a ledger; and nobody fills the log who could not sign for it."""
    size = cast.recorder.head().size
    with pytest.raises(NotAllowedError):
        cast["p-approver"].emit("role.granted", "actor:p-approver", role="admin")
    stranger = Ledger(cast.recorder, actor="p-approver", signers=[seeded_key(99)])
    with pytest.raises(LedgerError):
        commands.approve(stranger, MODEL, rationale="x")
    assert cast.recorder.head().size == size


def test_what_was_signed_elsewhere_leaves_none(cast: Cast):
    """Whoever submits it cannot sign for its author, and who holds old envelopes could fill the log."""
    deployer = cast["p-deployer"]
    encoded, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor="p-deployer", type="deployment.authorised", subject=PROD,
        data=commands.authorisation(deployer, PROD, MODEL), emitter=str(uuid4()), sequence=1,
    )  # fmt: skip
    envelope = format_envelope(sign_payload(encoded, [cast.keys["p-deployer"]]))
    size = cast.recorder.head().size
    with pytest.raises(PolicyError, match="needs 1 approval"):
        cast.admin.append(envelope)
    assert cast.recorder.head().size == size


def test_a_gate_that_refuses_leaves_the_refused_decision(store_url: str):
    source = (
        "schema: muniment.checks/v1\ntitle: t\nchecks:\n- id: never\n  title: t\n  pass: input.size < 0\n  reason: r\n"
    )
    rule = Rule(
        environment="*", tier="*", authorisation=True, approvals=0, evaluation=False, gate="policy:p@1",
        gate_digest=source_digest(source),
    )  # fmt: skip
    cast = make_cast(store_url, rules=RuleSet(name="gated", rules=(rule,)))
    register(cast)
    body = {"source": source, "digest": source_digest(source), "format": "muniment.checks/v1"}
    cast["p-approver"].emit("policy.defined", "policy:p@1", body)
    with pytest.raises(PolicyError, match="refuses"):
        muniment.authorise(cast["p-deployer"], PROD, MODEL)
    ((actor, subject, found),) = refused(cast)
    assert (actor, subject, found["decision"], found["rule"]) == (
        "p-deployer",
        PROD,
        "deployment.authorised",
        "gate policy:p@1",
    )
    assert "never: r" in found["reason"]
    held = {"model": MODEL, "digest": commands.version_state(cast["p-deployer"], MODEL).digest}
    cast["p-approver"].emit("deployment.held", PROD, held)
    size = cast.recorder.head().size
    with pytest.raises(PolicyError, match="is held in"):
        muniment.authorise(cast["p-deployer"], PROD, MODEL)
    assert refused(cast)[-1][2]["rule"] == "hold deployment.authorised/reason"
    assert cast.recorder.head().size == size + 1, "no gate was run for it"
    with pytest.raises(PolicyError, match="refuses"):
        muniment.authorise(cast["p-deployer"], PROD, MODEL, reason="a known peak")


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
