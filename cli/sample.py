"""`muniment init --sample`: a finished history of several persons, to look around in.

All private keys of a sample lie in one folder, so it shows how Muniment works and proves nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ledger.application import Ledger
from ledger.commands import approve, authorise, record_deployment, record_rollback, request_approval, roll_back
from ledger.creation import enrol_actor, new_person_id
from ledger.emission import microseconds
from ledger.home import Home
from ledger.keys import Ed25519Signer
from ledger.newhome import NewHome

__all__ = ["fill_sample"]

_SERVICE = "deployment:prod/churn"
_PERSONS = {
    "owner": ("Model owner", ("owner", "emitter")),
    "approver": ("Risk approver", ("approver", "validator")),
    "oncall": ("On-call engineer", ("incident-commander", "deployer")),
}


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class _Story:
    """Times of a story that ends now; what is told afterwards is marked as backfilled."""

    def __init__(self, days: float) -> None:
        self._now = microseconds(None) - int(days * 86_400 * 1_000_000)

    def after(self, hours: float) -> dict[str, Any]:
        """Options of the next event, so much later."""
        self._now += int(hours * 3_600 * 1_000_000)
        return {"occurred_at": self._now, "strength": "backfilled"}


class _Cast:
    """The sample's actors, each with an open ledger of its own."""

    def __init__(self, made: NewHome) -> None:
        self._home: Home = made.home
        self._admin: Ledger = made.new.ledger
        self._open: list[Ledger] = []

    def enrol(self, actor: str, kind: str, roles: tuple[str, ...], name: str, responsible: str | None = None) -> Ledger:
        key = Ed25519Signer.generate()
        enrol_actor(self._admin, actor, key, kind=kind, roles=roles, responsible=responsible)
        self._home.keystore(self._admin.ledgerid).save(actor, key)
        self._home.set_name(actor, name)
        ledger = self._home.open(actor)
        self._open.append(ledger)
        return ledger

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()


def _train(told: _Story, pipeline: Ledger, number: int, rows: int, auc: float, owner: str) -> str:
    model, data, run = f"model:churn@{number}", f"dataset:customers@2026-{number:02d}", f"run:churn-{number}"
    artefact = _digest(f"sample model {number}")
    source = {"role": "input", "subject": data, "digest": _digest(f"sample data {number}")}
    registered = {"digest": source["digest"], "row_count": rows, "format": "parquet"}
    pipeline.emit("dataset.registered", data, registered, **told.after(1))
    started = {
        "job": "train-churn",
        "seed": 7,
        "inputs": [source],
        "parameters": {"depth": 6, "rate": 0.1},
        "code": {"repository": "example.com/churn", "commit": _digest("sample code")[7:47], "dirty": False},
        "environment": _digest("sample lock file"),
    }
    pipeline.emit("run.started", run, started, **told.after(2))
    outputs = [{"role": "output", "subject": model, "digest": artefact}]
    pipeline.emit("run.completed", run, {"metrics": {"auc": auc}, "outputs": outputs}, **told.after(0.7))
    pipeline.emit(
        "version.registered", model, {"digest": artefact, "owner": owner, "tier": "high", "run": run}, **told.after(0.1)
    )
    evaluation = {
        "metrics": {"auc": auc},
        "verdict": "pass",
        "digest": artefact,
        "dataset": data,
        "slices": [
            {"slice": "region=north", "metrics": {"auc": auc + 0.01}},
            {"slice": "region=south", "metrics": {"auc": auc - 0.02}},
        ],
    }
    pipeline.emit("evaluation.completed", model, evaluation, **told.after(0.2))
    return model


def _release(told: _Story, owner: Ledger, approver: Ledger, deployer: Ledger, model: str) -> None:
    request_approval(owner, model, "prod", reason="quarterly refresh", **told.after(1))
    approve(approver, model, rationale="evaluation and slices reviewed", **told.after(16))
    authorise(deployer, _SERVICE, model, **told.after(1))
    record_deployment(deployer, _SERVICE, model, strategy="rolling", **told.after(0.2))


def fill_sample(made: NewHome) -> None:
    """Append the sample history to a new ledger.

    Args:
        made: the ledger, whose keystore takes every actor's key.
    """
    cast, told = _Cast(made), _Story(days=9)
    ids = {role: new_person_id() for role in _PERSONS}
    people = {role: cast.enrol(ids[role], "person", roles, name) for role, (name, roles) in _PERSONS.items()}
    train = cast.enrol("ci-train", "service", ("emitter",), "Training pipeline", ids["owner"])
    deploy = cast.enrol("ci-deploy", "service", ("emitter", "deployer"), "Deployment pipeline", ids["oncall"])
    first = _train(told, train, 1, 1_204_113, 0.871, ids["owner"])
    _release(told, people["owner"], people["approver"], deploy, first)
    told.after(120)
    second = _train(told, train, 2, 830_402, 0.874, ids["owner"])
    _release(told, people["owner"], people["approver"], deploy, second)
    signal = {"metric": "auc", "value": 0.74, "baseline": 0.871, "threshold": 0.82, "severity": "critical"}
    seen = {**signal, "deployment": _SERVICE, "model": second}
    deploy.emit("monitor.signal", "monitor:churn-auc", seen, **told.after(9))
    _incident(told, people["oncall"], deploy, ids["oncall"], (first, second))
    cast.close()
    made.new.ledger.close()


def _incident(told: _Story, oncall: Ledger, deploy: Ledger, commander: str, versions: tuple[str, str]) -> None:
    case, (first, second) = "incident:inc-1", versions
    opened = {"title": "Churn scores degraded", "severity": "high", "deployment": _SERVICE, "model": second}
    oncall.emit("incident.opened", case, opened, **told.after(0.3))
    roll_back(oncall, _SERVICE, first, incident=case, reason="return to the last good version", **told.after(0.2))
    record_rollback(deploy, _SERVICE, first, incident=case, **told.after(0.1))
    oncall.emit("incident.mitigated", case, {"note": "version 1 is live again"}, **told.after(0.2))
    statement = "Data version 2026-02 lost a third of its rows in an upstream export."
    oncall.emit("incident.root_cause_recorded", case, {"category": "data", "statement": statement}, **told.after(3))
    action = {"title": "Alert on row counts of incoming data", "kind": "detect", "owner": commander}
    oncall.emit("incident.action_item_created", case, action, **told.after(0.5))
    summary = "Rolled back within the hour; nobody was contacted on bad scores."
    oncall.emit("incident.closed", case, {"summary": summary}, **told.after(0.5))
