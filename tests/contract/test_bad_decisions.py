"""Decisions that the rules refuse; and that facts and protection are never refused for policy."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from ledger import commands
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    NotAllowedError,
    PolicyError,
)
from ledger.events.ledgers import Rule, RuleSet
from tests.contract.attempts import Attempt, refused, still_good
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast, register


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


def decision(cast: Cast, actor: str, kind: str, request: str, **changes: Any) -> Attempt:
    body = {"environment": "prod", "digest": digest(MODEL), "request": request, "rationale": "because", **changes}
    return lambda: cast[actor].emit(kind, MODEL, {"evidence": cast.cites(), **body})


def test_decisions_the_rules_refuse(cast: Cast):
    cast.enrol("p-second", "person", ["approver", "owner", "emitter"])
    cast.enrol("p-boss", "person", ["owner"])
    cast.enrol("bot", "service", ["approver", "emitter"], "p-author")
    author, approver, deployer = cast["p-author"], cast["p-approver"], cast["p-deployer"]
    never = str(uuid4())

    with refused(cast, "request of nothing", PolicyError, "not registered", hint=True):
        author.emit("approval.requested", "model:none@1", environment="prod", digest=digest(MODEL))
    with refused(cast, "authorise nothing", PolicyError, "not registered", hint=True):
        deployer.emit("deployment.authorised", PROD, model="model:none@1", digest=digest(MODEL))
    register(cast, passed=False)
    with refused(cast, "no request", PolicyError, "no open request", hint=True):
        decision(cast, "p-approver", "approval.granted", never)()
    with refused(cast, "no request, by command", PolicyError, "no open request", hint=True):
        commands.approve(approver, MODEL, rationale="x")
    with refused(cast, "reject what nobody asked", PolicyError, "no open request", hint=True):
        decision(cast, "p-approver", "approval.rejected", never)()
    with refused(cast, "request of other bytes", PolicyError, "registered as"):
        author.emit("approval.requested", MODEL, environment="prod", digest=digest("x"))
    with refused(cast, "request by a role that may not", NotAllowedError, "role"):
        deployer.emit("approval.requested", MODEL, environment="prod", digest=digest(MODEL))

    request = cast["trainer"].emit(
        "approval.requested", MODEL, environment="prod", digest=digest(MODEL), on_behalf_of="p-boss"
    ).id  # fmt: skip
    with refused(cast, "no role", NotAllowedError, "approver"):
        decision(cast, "p-author", "approval.granted", request)()
    with refused(cast, "no evaluation", PolicyError, "evaluation", hint=True):
        decision(cast, "p-approver", "approval.granted", request)()
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={}, verdict="fail", digest=digest(MODEL))
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass", digest=digest("others"))
    with refused(cast, "failed, or of other bytes", PolicyError, "passed evaluation", hint=True):
        decision(cast, "p-approver", "approval.granted", request)()
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass", digest=digest(MODEL))

    with refused(cast, "other digest than asked", PolicyError, "another environment or digest"):
        decision(cast, "p-approver", "approval.granted", request, digest=digest("x"))()
    with refused(cast, "other environment than asked", PolicyError, "another environment or digest"):
        decision(cast, "p-approver", "approval.granted", request, environment="dev")()
    with refused(cast, "unapproved", PolicyError, "needs 1 approval(s) for prod", hint=True):
        commands.authorise(deployer, PROD, MODEL)
    with refused(cast, "authorise by a role that may not", NotAllowedError, "deployer"):
        commands.authorise(author, PROD, MODEL)

    decision(cast, "p-approver", "approval.granted", request)()
    with refused(cast, "approved twice by one", ConflictError, "already approved"):
        decision(cast, "p-approver", "approval.granted", request)()
    with refused(cast, "authorise other bytes", PolicyError, "registered as"):
        deployer.emit("deployment.authorised", PROD, model=MODEL, digest=digest("x"))
    with refused(cast, "authorise elsewhere", PolicyError, "for stage", hint=True):
        commands.authorise(deployer, "deployment:stage/scoring", MODEL)
    commands.authorise(deployer, PROD, MODEL)
    decision(cast, "p-second", "approval.rejected", request)()
    with refused(cast, "approve what was turned down", PolicyError, "no open request"):
        decision(cast, "p-second", "approval.granted", request)()
    with refused(cast, "authorise what was turned down", PolicyError, "and has 0"):
        commands.authorise(deployer, PROD, MODEL)
    still_good(cast)


def test_nobody_approves_their_own(cast: Cast):
    """Requester, run author, registrant, and whoever one of them acted for; by person, not by account."""
    cast.enrol("p-all", "person", ["approver", "owner", "emitter"])
    cast.enrol("p-boss", "person", ["approver"])
    cast.enrol("bot-author", "service", ["approver", "emitter"], "p-author")
    cast.enrol("bot-all", "service", ["emitter", "owner"], "p-all")
    number = 0

    def version(run_by: str = "trainer", registered_by: str = "trainer", **options: Any) -> str:
        nonlocal number
        number += 1
        model, run = f"model:m@{number}", f"run:r{number}"
        cast[run_by].emit("run.completed", run, **options.get("run", {}))
        cast[registered_by].emit(
            "version.registered", model, digest=digest(model), owner="p-author", tier="high", run=run,
            **options.get("version", {}),
        )  # fmt: skip
        cast["trainer"].emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass", digest=digest(model))
        commands.request_approval(cast[options.get("asked_by", "p-author")], model, "prod", **options.get("ask", {}))
        return model

    own = {"on_behalf_of": "p-boss"}
    cases: list[tuple[str, str, str]] = [
        ("the requester", "p-all", version(asked_by="p-all")),
        ("the run's author", "p-all", version(run_by="p-all")),
        ("the registrant", "p-all", version(registered_by="p-all")),
        ("a service of the requester's person", "bot-author", version()),
        ("the person behind the requesting service", "p-all", version(asked_by="bot-all")),
        ("the person behind the training service", "p-all", version(run_by="bot-all")),
        ("whom the requester acted for", "p-boss", version(ask=own)),
        ("whom the run was for", "p-boss", version(run=own)),
        ("whom the registration was for", "p-boss", version(version=own)),
    ]
    for what, approver, model in cases:
        with refused(cast, what, NotAllowedError, "another person", hint=True):
            commands.approve(cast[approver], model, rationale="mine is good")
        with refused(cast, f"{what}, through another account", NotAllowedError, ""):
            commands.approve(cast["p-approver"], model, rationale="for them", on_behalf_of="p-author")
        assert commands.approve(cast["p-approver"], model, rationale="independent").index
    mine = version()
    with refused(cast, "for somebody unknown", AuthenticationError, "'p-unknown', who is not enrolled"):
        commands.approve(cast["p-approver"], mine, rationale="for a stranger", on_behalf_of="p-unknown")
    body = {"digest": digest("n"), "owner": "p-author", "tier": "high", "run": "run:not-recorded"}
    cast["trainer"].emit("version.registered", "model:n@1", body)
    cast["trainer"].emit("evaluation.completed", "model:n@1", metrics={"auc": 0.9}, verdict="pass", digest=digest("n"))
    commands.request_approval(cast["p-author"], "model:n@1", "prod")
    with refused(cast, "made by nobody knows whom", NotAllowedError, "cannot be resolved", hint=True):
        commands.approve(cast["p-approver"], "model:n@1", rationale="who is behind it?")
    cast["trainer"].emit("run.completed", "run:not-recorded")
    commands.approve(cast["p-approver"], "model:n@1", rationale="now it is known")
    still_good(cast)


def test_what_no_rule_covers_is_refused(quick_url: str):
    only_dev = RuleSet(
        name="dev only",
        rules=(Rule(environment="dev", tier="low", authorisation=False, approvals=0, evaluation=False),),
    )
    cast = make_cast(quick_url, rules=only_dev)
    register(cast, tier="low")
    register(cast, "model:risky@1", tier="high")
    with refused(cast, "environment", PolicyError, "no rule covers"):
        commands.request_approval(cast["p-author"], MODEL, "prod")
    with refused(cast, "tier", PolicyError, "no rule covers"):
        commands.request_approval(cast["p-author"], "model:risky@1", "dev")
    with refused(cast, "authorisation", PolicyError, "no rule covers"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    commands.request_approval(cast["p-author"], MODEL, "dev")
    commands.approve(cast["p-approver"], MODEL, rationale="no evaluation needed")
    still_good(cast)


def test_facts_and_protection_are_never_refused_for_policy(cast: Cast):
    """The same world in which every decision is refused records what happened, and marks it."""
    cast["p-author"].emit("run.completed", "run:mine")
    deployer = cast["p-deployer"]
    receipt = deployer.emit("deployment.completed", PROD, model="model:none@1", digest=digest("x"))
    assert receipt.marks == ("unauthorised",)
    assert cast["trainer"].emit("evaluation.completed", "model:none@1", metrics={}).marks == ("unknown-version",)
    back = cast["trainer"].emit("rollback.completed", PROD, model="model:older@1", digest=digest("y"))
    assert back.marks == ("never-live",)
    cast["trainer"].emit("rollback.authorised", PROD, model="model:older@1", digest=digest("y"))
    other = {"title": "x", "seen": {"size": 3, "root": "0" * 64}}
    assert cast["p-approver"].emit("incident.opened", "incident:1", other).marks == ("other-history",)
    still_good(cast)
