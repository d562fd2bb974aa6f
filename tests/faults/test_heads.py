"""Heads that are signed while others append and sign."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoints import sign_head
from ledger.durable import write_atomically
from ledger.recorders.sql import SqlRecorder
from ledger.trust import RememberedHead
from tests.faults.pause import forked
from tests.faults.site import Site


@pytest.mark.parametrize("between", ["head", "last_signed"])
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

    signers = mine._checkpoint_signers
    assert signers
    monkeypatch.setattr(SqlRecorder, between, interrupted)
    notes.append(sign_head(mine.recorder, signers, mine.log_keys))
    monkeypatch.undo()
    assert not waiting
    assert len(set(notes)) == 2
    assert forked(site, notes) == []
    for ledger in (mine, other):
        ledger.recorder.close()


def test_a_remembered_head_never_goes_back(tmp_path: Path, monkeypatch):
    """One process is slow to write its head down, and another one keeps a larger head meanwhile."""
    site = Site.make(tmp_path / "site")
    ledger, _ = site.plain()
    trust = site.home().trust()
    assert trust is not None
    notes = []
    for name in ("a", "b"):
        ledger.emit("external.observed", f"external:{name}", system="faults")
        notes.append(ledger.checkpoint())
    ledger.recorder.close()
    writing, written = threading.Event(), threading.Event()

    def slow(path: Path, data: bytes) -> None:
        if data == notes[0]:
            writing.set()
            written.wait(0.3)
        write_atomically(path, data)

    monkeypatch.setattr("ledger.trust.write_atomically", slow)
    first = threading.Thread(target=RememberedHead(trust, tmp_path).remember, args=(notes[0],))
    first.start()
    assert writing.wait(60)
    RememberedHead(trust, tmp_path).remember(notes[1])
    written.set()
    first.join(60)
    assert RememberedHead(trust, tmp_path).path.read_bytes() == notes[1]
