"""`verify log` knows the quarantines of data: what let one go is legal, and what one stops is not."""

from __future__ import annotations

import pytest

from ledger import commands
from ledger.verdicts import Fault
from ledger.verify import verify_log
from tests.contract.support import MODEL, PROD, digest, make_cast
from tests.projections.support import force_event


@pytest.mark.parametrize("subject", ["dataset:claims", "dataset:claims@1"])
def test_a_quarantine_of_data_is_known_to_verification(store_url: str, subject: str):
    cast = make_cast(store_url)
    read = [{"role": "input", "subject": "dataset:claims@1"}]
    cast["trainer"].emit("dataset.registered", "dataset:claims@1", digest=digest("data"), row_count=3)
    cast["trainer"].emit("run.completed", "run:r", inputs=read)
    body = {"digest": digest(MODEL), "owner": "p-author", "tier": "high", "run": "run:r"}
    cast["trainer"].emit("version.registered", MODEL, body)
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={}, verdict="pass", digest=digest(MODEL))
    commands.request_approval(cast["p-author"], MODEL, "prod", reason="ready")
    commands.approve(cast["p-approver"], MODEL, "prod", rationale="fit")
    placed = cast["trainer"].emit("quarantine.placed", subject, reason="poisoned")
    cast["p-approver"].emit("quarantine.released", subject, quarantine=placed.id, rationale="clean")
    cast["trainer"].emit("quarantine.placed", subject, reason="poisoned after all")
    cast.admin.checkpoint()
    assert verify_log(cast.recorder).ok

    forbidden = {"model": MODEL, "digest": digest(MODEL)}
    index = force_event(
        cast.recorder, "p-deployer", cast.keys["p-deployer"], "deployment.authorised", PROD, data=forbidden
    )
    (found,) = [one for one in verify_log(cast.recorder).findings if one.fault is Fault.LEGALITY]
    assert found.index == index
    assert "dataset:claims@1 is in quarantine" in found.message
    cast.recorder.close()
