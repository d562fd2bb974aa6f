"""`muniment init --sample`: a finished history of several persons, to look around in.

All private keys of a sample lie in one folder, so it shows how Muniment works and proves nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ledger.application import Ledger
from ledger.commands import approve, authorise, record_deployment, record_rollback, request_approval, roll_back
from ledger.creation import enrol_actor, new_person_id
from ledger.home import Home, NewHome
from ledger.keys import Ed25519Signer

__all__ = ["fill_sample"]

_SERVICE = "deployment:prod/churn"
_PERSONS = {
    "owner": ("Model owner", ("owner", "emitter")),
    "approver": ("Risk approver", ("approver", "validator")),
    "oncall": ("On-call engineer", ("incident-commander", "deployer")),
}


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


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


def _train(pipeline: Ledger, number: int, rows: int, auc: float, owner: str) -> str:
    model, data, run = f"model:churn@{number}", f"dataset:customers@2026-{number:02d}", f"run:churn-{number}"
    artefact = _digest(f"sample model {number}")
    source = {"role": "input", "subject": data, "digest": _digest(f"sample data {number}")}
    pipeline.emit("dataset.registered", data, digest=source["digest"], row_count=rows, format="parquet")
    pipeline.emit(
        "run.started", run, job="train-churn", seed=7, inputs=[source], parameters={"depth": 6, "rate": 0.1},
        code={"repository": "example.com/churn", "commit": _digest(str(number))[7:47], "dirty": False},
        environment=_digest("sample lock file"),
    )  # fmt: skip
    outputs = [{"role": "output", "subject": model, "digest": artefact}]
    pipeline.emit("run.completed", run, metrics={"auc": auc}, outputs=outputs)
    pipeline.emit("version.registered", model, digest=artefact, owner=owner, tier="high", run=run)
    slices: list[dict[str, Any]] = [
        {"slice": "region=north", "metrics": {"auc": auc + 0.01}},
        {"slice": "region=south", "metrics": {"auc": auc - 0.02}},
    ]
    pipeline.emit(
        "evaluation.completed",
        model,
        metrics={"auc": auc},
        verdict="pass",
        digest=artefact,
        dataset=data,
        slices=slices,
    )
    return model


def _release(owner: Ledger, approver: Ledger, deployer: Ledger, model: str) -> None:
    request_approval(owner, model, "prod", reason="quarterly refresh")
    approve(approver, model, rationale="evaluation and slices reviewed")
    authorise(deployer, _SERVICE, model)
    record_deployment(deployer, _SERVICE, model, strategy="rolling")


def fill_sample(made: NewHome) -> None:
    """Append the sample history to a new ledger.

    Args:
        made: the ledger, whose keystore takes every actor's key.
    """
    cast = _Cast(made)
    ids = {role: new_person_id() for role in _PERSONS}
    people = {role: cast.enrol(ids[role], "person", roles, name) for role, (name, roles) in _PERSONS.items()}
    train = cast.enrol("ci-train", "service", ("emitter",), "Training pipeline", ids["owner"])
    deploy = cast.enrol("ci-deploy", "service", ("emitter", "deployer"), "Deployment pipeline", ids["oncall"])
    first = _train(train, 1, 1_204_113, 0.871, ids["owner"])
    _release(people["owner"], people["approver"], deploy, first)
    second = _train(train, 2, 830_402, 0.874, ids["owner"])
    _release(people["owner"], people["approver"], deploy, second)
    signal = {"metric": "auc", "value": 0.74, "baseline": 0.871, "threshold": 0.82, "severity": "critical"}
    deploy.emit("monitor.signal", "monitor:churn-auc", signal, deployment=_SERVICE, model=second)
    _incident(people["oncall"], deploy, ids["oncall"], first, second)
    cast.close()
    made.new.ledger.close()


def _incident(oncall: Ledger, deploy: Ledger, commander: str, first: str, second: str) -> None:
    case = "incident:inc-1"
    oncall.emit(
        "incident.opened", case, title="Churn scores degraded", severity="high", deployment=_SERVICE, model=second
    )
    roll_back(oncall, _SERVICE, first, incident=case, reason="return to the last good version")
    record_rollback(deploy, _SERVICE, first, incident=case)
    oncall.emit("incident.mitigated", case, note="version 1 is live again")
    statement = "Data version 2026-02 lost a third of its rows in an upstream export."
    oncall.emit("incident.root_cause_recorded", case, category="data", statement=statement)
    oncall.emit(
        "incident.action_item_created",
        case,
        title="Alert on row counts of incoming data",
        kind="detect",
        owner=commander,
    )
    oncall.emit("incident.closed", case, summary="Rolled back within minutes; no customer was contacted on bad scores.")
