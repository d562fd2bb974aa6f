"""Which events another actor may say came too late (`record_late`), and which not."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConflictError, PolicyError
from ledger.keys import Ed25519Signer
from ledger.late import record_late
from tests.contract.support import Cast, make_cast


def signed(cast: Cast, actor: str, key: Ed25519Signer, **options: Any) -> bytes:
    known = {"type": "run.completed", "subject": "run:night", "data": {}, "ledgerid": cast.admin.ledgerid}
    emitter = "00000000-0000-4000-8000-0000000000aa"
    payload, _ = build_payload(actor=actor, emitter=emitter, sequence=1, **{**known, **options})
    return format_envelope(sign_payload(payload, [key]))


def test_what_another_actor_may_say_came_too_late(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author", "p-approver", "trainer"))
    key, by = cast.keys["p-author"], cast["trainer"]
    good = signed(cast, "p-author", key)
    with pytest.raises(PolicyError, match="may still sign"):
        record_late(by, good, "x")
    recorded = signed(cast, "p-author", key, subject="run:recorded")
    at = by.append(recorded).index
    cast.admin.emit("key.revoked", "actor:p-author", keyid=key.public.keyid, reason="lost")
    with pytest.raises(ConflictError, match=f"recorded at index {at} already"):
        record_late(by, recorded, "x")
    data = {"keyid": key.public.keyid, "reason": "x"}
    with pytest.raises(PolicyError, match="has no effect when it comes late"):
        record_late(by, signed(cast, "p-author", key, type="key.revoked", subject="actor:p-author", data=data), "x")
    with pytest.raises(AuthenticationError, match="this one is another"):
        record_late(by, signed(cast, "p-author", key, ledgerid="00" * 16), "x")
    with pytest.raises(AuthenticationError, match="was never enrolled"):
        record_late(by, signed(cast, "p-nobody", key), "x")
    with pytest.raises(AuthenticationError):
        record_late(by, signed(cast, "p-author", Ed25519Signer.generate()), "x")
    with pytest.raises(PolicyError, match="its own author"):
        record_late(by, signed(cast, "trainer", cast.keys["trainer"]), "x")
    receipt = record_late(by, good, "was offline")
    assert record_late(by, good, "was offline").index == receipt.index
    assert cast.recorder.head().size == receipt.index + 1


def test_of_an_author_who_left_everything_comes_too_late(quick_url: str):
    cast = make_cast(quick_url, actors=("p-approver", "p-author", "trainer"))
    late = signed(cast, "p-approver", cast.keys["p-approver"])
    cast.admin.emit("actor.revoked", "actor:p-approver", reason="left")
    assert record_late(cast["trainer"], late, "was offline").index == cast.recorder.head().size - 1
