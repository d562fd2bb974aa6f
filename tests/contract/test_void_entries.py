"""What cannot be appended can be put in by SQL: it is void, and an acknowledgement excuses those very bytes."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import commands
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import InputError, LedgerError, NotAllowedError, PolicyError
from ledger.recorders import open_recorder
from ledger.verify import verify_log
from tests.contract.support import MODEL, PROD, audit, make_cast, raw, register
from tests.contract.tampering import Forger, acknowledge, remembered, self_approval, sixteen, victim


@pytest.mark.parametrize("with_key", [False, True], ids=["without-checkpoint-key", "with-checkpoint-key"])
def test_an_illegal_event_put_in_by_sql_is_void(quick_url: str, with_key: bool):
    cast = make_cast(quick_url)
    register(cast)
    request = commands.request_approval(cast.admin, MODEL, "prod")
    envelope = self_approval(cast, request.id)
    with pytest.raises(NotAllowedError):
        cast.admin.append(envelope)
    cast.admin.checkpoint()
    cast.recorder.close()
    with raw(quick_url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    if with_key:
        cast.admin.checkpoint()

    recorder = open_recorder(quick_url)
    report = verify_log(recorder, cast.new.trust, [remembered(cast)])
    assert [(finding.fault, finding.index) for finding in report.findings] == [("legality", index)]
    assert "void" in report.findings[0].message

    # State ignores it: for an open ledger, for one that is opened now, and for whoever asks the commands.
    with pytest.raises(PolicyError, match="approval"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    assert commands.version_state(cast["p-deployer"], MODEL).approvals == ()
    audit(quick_url)

    # An admin has seen it: it stays listed and fails no more, and the log goes on.
    acknowledge(cast.admin, index, "an intrusion")
    commands.approve(cast["p-approver"], MODEL, rationale="measured and fit")
    commands.authorise(cast["p-deployer"], PROD, MODEL)
    cast.admin.checkpoint()
    report = verify_log(recorder, cast.new.trust, [remembered(cast)])
    assert report.ok, report.findings
    assert [found for found, _ in report.acknowledged] == [index]


def test_nobody_acknowledges_before_or_without_being_an_admin(quick_url: str):
    cast = make_cast(quick_url)
    size = cast.recorder.head().size
    for index in (size, size + 1):
        with pytest.raises(InputError, match="no entry"):
            acknowledge(cast.admin, index, "in advance")
    with pytest.raises(NotAllowedError):
        acknowledge(cast["p-author"], 1, "not mine")
    with pytest.raises(PolicyError, match="nothing to acknowledge"):
        acknowledge(cast.admin, 1, "good, so far")


def test_an_acknowledgement_excuses_no_other_bytes(quick_url: str):
    """An admin acknowledges a good entry in advance, and whoever has the store and the checkpoint key alters it."""
    cast, steps = sixteen(quick_url)
    index, ledger = steps["note"], f"ledger:{cast.admin.ledgerid}"
    leaf = cast.recorder.leaf_hashes(index, index + 1)[0].hex()
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid, actor="p-admin", type="ledger.entry_acknowledged", subject=ledger,
        data={"index": index, "leaf_hash": leaf, "reason": "in advance"},
        emitter="0189aaaa-0000-7000-8000-000000000001", sequence=1,
    )  # fmt: skip
    envelope = format_envelope(sign_payload(payload, [cast.keys["p-admin"]]))
    with pytest.raises(PolicyError, match="nothing to acknowledge"):
        cast.admin.append(envelope)
    with victim(cast, []) as store:
        forger = Forger(store)
        said = forger.add(envelope)
        forger.write(cast.new.checkpoint)
        report = store.verify()
        assert (report.findings, report.acknowledged) == ([], []), "it is legal, and there is nothing to excuse"
        with store.trial():  # everything behind it made to fit: another leaf hash
            forger = Forger(store)
            forger.alter(index, lambda payload: payload.replace(b"looking into it", b"nothing to see!"))
            forger.write(cast.new.checkpoint)
            report = store.verify()
            assert [(f.fault, f.index) for f in report.findings] == [("signature", index), ("legality", said)]
            assert report.acknowledged == []
        with store.trial():  # the leaf hash left as it was
            store.run("UPDATE $entry SET subject = ? WHERE position = ?", ("incident:2", index + 1))
            report = store.verify()
            assert ("header", index) in {(finding.fault, finding.index) for finding in report.findings}
            assert report.acknowledged == []
        with store.trial():  # the very entry, and its content is not what was recorded
            store.run("UPDATE $content SET payload = signatures WHERE position = ?", (index + 1,))
            report = store.verify()
            assert [(f.fault, f.index) for f in report.findings] == [("payload", index)]
            assert report.acknowledged == []


def test_a_batch_cannot_acknowledge_in_advance(quick_url: str):
    """Events of a batch that were recorded before take no place, so they must not make the index look larger."""
    cast = make_cast(quick_url)
    ledger = f"ledger:{cast.admin.ledgerid}"

    def envelope(sequence: int, type: str, subject: str, data: Any) -> bytes:
        payload, _ = build_payload(
            ledgerid=cast.admin.ledgerid, actor="p-admin", type=type, subject=subject, data=data,
            emitter="0189aaaa-0000-7000-8000-000000000001", sequence=sequence,
        )  # fmt: skip
        return format_envelope(sign_payload(payload, [cast.keys["p-admin"]]))

    known = [envelope(n, "external.observed", "external:x", {"system": "s"}) for n in (1, 2)]
    cast.admin.append_batch(known)
    size = cast.recorder.head().size
    body = {"index": size, "leaf_hash": "00" * 32, "reason": "in advance"}
    early = envelope(3, "ledger.entry_acknowledged", ledger, body)
    with pytest.raises(LedgerError):
        cast.admin.append_batch([*known, early])
    assert verify_log(cast.recorder, cast.new.trust).ok
    assert cast.recorder.head().size == size
