"""`verify log` knows the quarantines of data: what let one go is legal, and what one stops is not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ledger import commands
from ledger.application import Ledger
from ledger.errors import PolicyError
from ledger.verdicts import Fault
from ledger.verify import verify_log
from tests.contract.racing import before_append
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast
from tests.contract.verifying import since
from tests.projections.support import force_event


def _trained(cast: Cast) -> None:
    """A version that was made from dataset:claims@1, whose bytes are also dataset:copied@7."""
    for name in ("dataset:copied@7", "dataset:claims@1"):
        cast["trainer"].emit("dataset.registered", name, digest=digest("data"), row_count=3)
    cast["trainer"].emit("run.completed", "run:r", inputs=[{"role": "input", "subject": "dataset:claims@1"}])
    body = {"digest": digest(MODEL), "owner": "p-author", "tier": "high", "run": "run:r"}
    cast["trainer"].emit("version.registered", MODEL, body)
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass", digest=digest(MODEL))


@pytest.mark.parametrize("subject", ["dataset:claims", "dataset:claims@1", "dataset:copied@7"])
def test_a_quarantine_of_data_is_known_to_verification(store_url: str, subject: str):
    """The last one is another name of the same bytes."""
    cast = make_cast(store_url)
    _trained(cast)
    cast.admin.checkpoint()
    before = since(verify_log(cast.recorder))
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    commands.approve(cast["p-approver"], MODEL, "prod", rationale="fit")
    placed = cast["trainer"].emit("quarantine.placed", subject, reason="poisoned")
    cast["p-approver"].emit("quarantine.released", subject, quarantine=placed.id, rationale="clean")
    cast["trainer"].emit("quarantine.placed", subject, reason="poisoned after all")
    cast.admin.checkpoint()
    behind = since(verify_log(cast.recorder))
    assert verify_log(cast.recorder, since=before).ok

    forbidden = {"model": MODEL, "digest": digest(MODEL)}
    index = force_event(
        cast.recorder, "p-deployer", cast.keys["p-deployer"], "deployment.authorised", PROD, data=forbidden
    )
    for start in (None, before, replace(before, reread=False), behind, replace(behind, reread=False)):
        (found,) = [one for one in verify_log(cast.recorder, since=start).findings if one.fault is Fault.LEGALITY]
        assert found.index == index
        assert "run:r → dataset:claims@1" in found.message
    cast.recorder.close()


def test_a_quarantine_that_is_placed_meanwhile_stops_a_decision_about_another_thing(store_url: str):
    """It stands in a stream that the decision did not read, and that held none before."""
    cast = make_cast(store_url)
    _trained(cast)
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    commands.approve(cast["p-approver"], MODEL, "prod", rationale="fit")
    other = Ledger.open(store_url, actor="trainer", signers=[cast.keys["trainer"]])
    with before_append(
        cast.recorder, lambda: other.emit("quarantine.placed", "dataset:copied", reason="poisoned")
    ) as race:
        with pytest.raises(PolicyError, match="dataset:claims@1 has the bytes of dataset:copied"):
            commands.authorise(cast["p-deployer"], PROD, MODEL)
    assert race.calls > 0
    other.close()
    assert verify_log(cast.recorder).ok
    cast.recorder.close()


def test_an_approval_cites_what_it_rests_on_and_verification_knows_what_became_of_it(store_url: str):
    cast = make_cast(store_url)
    _trained(cast)
    approver, shapes = cast["p-approver"], {"input_schema": digest("in"), "output_schema": digest("out")}
    known = [
        cast["trainer"].emit("dataset.quality_assessed", "dataset:claims@1", verdict="pass"),
        approver.emit("validation.completed", MODEL, verdict="pass", independence="another team"),
        cast["trainer"].emit("contract.defined", MODEL.partition("@")[0], shapes),
    ]
    first = known[0].index
    request = commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    body = {"environment": "prod", "digest": digest(MODEL), "request": request.id, "rationale": "fit"}
    with pytest.raises(PolicyError, match=r"does not cite the registration \(entry \d+\) and 2 more"):
        approver.emit("approval.granted", MODEL, body)
    given = commands.approve(approver, MODEL, "prod", rationale="fit")
    decided = json.loads(cast.recorder.rows(given.index, 1)[0].payload or b"")["data"]
    # Run, registration and evaluation, what was said since, and the request.
    expected = {*range(first - 3, first), *(one.index for one in known), request.index}
    assert {item["index"] for item in decided["evidence"]} == expected
    cast.admin.checkpoint()
    before = since(verify_log(cast.recorder))
    cast["trainer"].emit("dataset.quality_assessed", "dataset:claims@1", verdict="fail")
    forbidden = {"model": MODEL, "digest": digest(MODEL)}
    key = cast.keys["p-deployer"]
    index = force_event(cast.recorder, "p-deployer", key, "deployment.authorised", PROD, data=forbidden)
    for start in (None, before):
        (found,) = [one for one in verify_log(cast.recorder, since=start).findings if one.fault is Fault.LEGALITY]
        assert found.index == index
        assert "dataset:claims@1, on which it rests, was assessed as fail" in found.message
    cast.recorder.close()
