"""`verify log` knows what is said of data, of quarantines and of quality: what follows is legal, or is not."""

from __future__ import annotations

import json

import pytest

from ledger import commands
from ledger.errors import PolicyError
from ledger.verdicts import Fault
from ledger.verify import verify_log
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast
from tests.projections.support import force_event


def with_version(store_url: str) -> Cast:
    """A version that a run made from a data set, and that passed."""
    cast = make_cast(store_url)
    read = [{"role": "input", "subject": "dataset:claims@1"}]
    cast["trainer"].emit("dataset.registered", "dataset:claims@1", digest=digest("data"), row_count=3)
    cast["trainer"].emit("run.completed", "run:r", inputs=read)
    body = {"digest": digest(MODEL), "owner": "p-author", "tier": "high", "run": "run:r"}
    cast["trainer"].emit("version.registered", MODEL, body)
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={}, verdict="pass", digest=digest(MODEL))
    return cast


@pytest.mark.parametrize("subject", ["dataset:claims", "dataset:claims@1"])
def test_a_quarantine_of_data_is_known_to_verification(store_url: str, subject: str):
    cast = with_version(store_url)
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    commands.approve(cast["p-approver"], MODEL, "prod", rationale="fit")
    placed = cast["trainer"].emit("quarantine.placed", subject, reason="poisoned")
    cast["p-approver"].emit("quarantine.released", subject, quarantine=placed.id, rationale="clean")
    cast["trainer"].emit("quarantine.placed", subject, reason="poisoned after all")
    cast.admin.checkpoint()
    assert verify_log(cast.recorder).ok

    assert "dataset:claims@1 is in quarantine" in _told_of_authorisation(cast)


def _told_of_authorisation(cast: Cast) -> str:
    """What verification says of an authorisation that a store let in."""
    forbidden = {"model": MODEL, "digest": digest(MODEL)}
    index = force_event(
        cast.recorder, "p-deployer", cast.keys["p-deployer"], "deployment.authorised", PROD, data=forbidden
    )
    (found,) = [one for one in verify_log(cast.recorder).findings if one.fault is Fault.LEGALITY]
    cast.recorder.close()
    assert found.index == index
    return found.message


def test_an_approval_cites_what_it_rests_on_and_verification_knows_what_became_of_it(store_url: str):
    cast = with_version(store_url)
    approver = cast["p-approver"]
    shapes = {"input_schema": digest("in"), "output_schema": digest("out")}
    known = [
        cast["trainer"].emit("dataset.quality_assessed", "dataset:claims@1", verdict="pass"),
        approver.emit("validation.completed", MODEL, verdict="pass", independence="another team"),
        cast["trainer"].emit("contract.defined", MODEL.partition("@")[0], shapes),
    ]
    before = known[0].index
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    with pytest.raises(PolicyError, match=r"does not cite the registration \(entry \d+\) and 2 more"):
        approver.emit("approval.granted", MODEL, _granted(cast))
    given = commands.approve(approver, MODEL, "prod", rationale="fit")
    body = json.loads(cast.recorder.rows(given.index, 1)[0].payload or b"")["data"]
    cited = {item["index"] for item in body["evidence"]}
    # run, registration and evaluation, what was said since, and the request
    assert cited == {*range(before - 3, before), *(one.index for one in known), known[-1].index + 1}
    cast["trainer"].emit("dataset.quality_assessed", "dataset:claims@1", verdict="fail")
    cast.admin.checkpoint()
    assert verify_log(cast.recorder).ok
    assert "dataset:claims@1, on which it rests, was assessed as fail" in _told_of_authorisation(cast)


def _granted(cast: Cast) -> dict[str, str]:
    (request,) = commands.open_requests(cast["p-approver"], MODEL)
    return {"environment": "prod", "digest": digest(MODEL), "request": request.id, "rationale": "fit"}
