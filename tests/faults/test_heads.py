"""Heads that are signed while others append and sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoints import sign_head
from ledger.recorders.sql import SqlRecorder
from tests.faults.pause import forked
from tests.faults.site import Site


@pytest.mark.parametrize("between", ["head", "last_checkpoint"])
def test_a_head_signed_meanwhile_by_somebody_else_is_no_alarm(
    store_url: str, tmp_path: Path, between: str, monkeypatch
):
    site = Site.make(tmp_path / "site", None if store_url.startswith("sqlite") else store_url)
    mine, other = site.plain()[0], site.plain()[0]
    notes = [mine.checkpoint()]
    mine.emit("external.observed", "external:a", system="faults")
    read = getattr(SqlRecorder, between)
    waiting = True

    def interrupted(recorder: SqlRecorder) -> Any:
        nonlocal waiting
        found = read(recorder)
        if waiting and recorder is mine.recorder:
            waiting = False
            other.emit("external.observed", "external:b", system="faults")
            notes.append(other.checkpoint())
        return found

    vkey, signer = mine.vkey, mine._checkpoint_signer
    assert signer is not None
    monkeypatch.setattr(SqlRecorder, between, interrupted)
    notes.append(sign_head(mine.recorder, signer, vkey))
    monkeypatch.undo()
    assert not waiting
    assert len(set(notes)) == 2
    assert forked(site, notes) == []
    for ledger in (mine, other):
        ledger.recorder.close()
