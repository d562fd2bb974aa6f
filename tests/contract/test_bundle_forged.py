"""Bundles made by people with keys: what whoever has some of them can put in, and what both verifiers say of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.bundle import Selection
from ledger.bundling import export_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.creation import enrol_actor
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import LedgerError
from ledger.handle import LogHandle
from ledger.keys import Ed25519Signer, format_public_key
from ledger.verdicts import GapKind, Verdict
from tests.contract.bundles import Forgery, Pair, bundle_of, entry_lines, ours, theirs, vkey_of, written
from tests.contract.support import MODEL, Cast, raw
from tests.contract.tampering import Forger, other_nonce, sixteen, victim
from tests.unit.reference_merkle import mth


def test_whoever_has_the_checkpoint_key_but_not_the_authors(sold: tuple[Cast, dict[str, int], Pair]):
    cast, _, pair = sold
    data = bundle_of(cast)
    for index in range(16):
        forged = Forgery(data)
        forged.replace_payload(index, other_nonce)
        data_of_old_head = written(forged.lines)
        assert pair.refuse(data_of_old_head) == ("signature", index)
        assert "checkpoint" in {str(found.fault) for found in ours(data_of_old_head, pair.vkey).findings}
        forged = Forgery(data)
        forged.replace_payload(index, other_nonce)
        assert pair.refuse(forged.signed(cast.new.checkpoint)) == ("signature", index)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor", "p-other"), ("emitter", "0" * 36), ("id", "0" * 36), ("sequence", 12345), ("stream", "incident:2"),
        ("subject", "incident:2"), ("type", "muniment.incident.closed.v1"),
    ],
)  # fmt: skip
def test_a_header_that_says_something_else_than_was_signed(
    name: str, value: Any, sold: tuple[Cast, dict[str, int], Pair]
):
    cast, steps, pair = sold
    forged = Forgery(bundle_of(cast))
    forged.rechain(lambda entries: entries[steps["note"]].update({name: value}))
    data = forged.signed(cast.new.checkpoint)
    assert pair.verdict(data) == "bad"
    assert ("header", steps["note"]) in {(f.fault, f.index) for f in ours(data, pair.vkey).findings}
    assert ("header", steps["note"]) in {
        (f["fault"], f["index"]) for f in theirs(pair.path, data, pair.vkey)["findings"]
    }


@pytest.mark.parametrize("change", [-1, 1])
def test_a_revision_that_does_not_follow(change: int, sold: tuple[Cast, dict[str, int], Pair]):
    cast, steps, pair = sold
    forged = Forgery(bundle_of(cast))
    at = next(n for n, entry in enumerate(forged.entries()) if entry["revision"] > 1 and n > steps["note"] - 5)
    forged.rechain(lambda entries: entries[at].update(revision=entries[at]["revision"] + change))
    data = forged.signed(cast.new.checkpoint)
    assert ("header", at) in {(f.fault, f.index) for f in ours(data, pair.vkey).findings}
    assert ("header", at) in {(f["fault"], f["index"]) for f in theirs(pair.path, data, pair.vkey)["findings"]}


def test_a_change_of_keys_hidden_as_something_else(sold: tuple[Cast, dict[str, int], Pair]):
    """Only the header is there, and it lies: such an entry is void, so the keys are those of the others."""
    cast, _, pair = sold
    cast.enrol("p-thief", "person", ["approver"])
    cast.admin.emit("actor.revoked", "actor:p-thief", reason="a thief")
    cast["p-thief"].recorder.head()
    data = bundle_of(cast)
    forged = Forgery(data)

    def hide(entries: list[dict[str, Any]]) -> None:
        entries[17].update(type="muniment.incident.noted.v1", subject="incident:9", stream="incident:9", revision=1)

    forged.rechain(hide)
    forged.lines[0]["selection"] = {"items": [16], "kind": "indexes"}
    line = forged.lines[entry_lines(forged.lines)[17]]
    del line["envelope"]
    found = ours(forged.signed(cast.new.checkpoint), pair.vkey)
    assert found.verdict is Verdict.VERIFIED
    assert any("as labelled by the operator" in gap.message for gap in found.gaps), "and that is what it is worth"


def _signed(  # noqa: PLR0917 - each attack names all of them
    ledger: Ledger, actor: str, signers: list[Ed25519Signer], kind: str, subject: str, body: dict
) -> bytes:
    payload, _ = build_payload(
        type=kind, subject=subject, data=body, actor=actor, ledgerid=ledger.ledgerid,
        emitter="019b0000-0000-7000-8000-0000000000aa", sequence=1,
    )  # fmt: skip
    return format_envelope(sign_payload(payload, signers))


def _stranger(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-approver", [Ed25519Signer.generate()], "incident.noted", "incident:1", {"note": "look"})


def _nobody(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-nobody", [Ed25519Signer.generate()], "incident.noted", "incident:1", {"note": "look"})


def _enrolled_by_an_emitter(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "roles": ["approver"], "key": format_public_key(key.public)}
    return _signed(ledger, "trainer", [cast.keys["trainer"], key], "actor.enrolled", "actor:p-new", body)


def _an_admin_by_an_admin(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "roles": ["admin"], "key": format_public_key(key.public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"], key], "actor.enrolled", "actor:p-new", body)


def _without_possession(cast: Cast, ledger: Ledger) -> bytes:
    body = {"kind": "person", "roles": ["approver"], "key": format_public_key(Ed25519Signer.generate().public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"]], "actor.enrolled", "actor:p-new", body)


def _for_ones_own_person(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "person": "p-admin", "roles": ["approver"], "key": format_public_key(key.public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"], key], "actor.enrolled", "actor:p-new", body)


def _two_persons_behind_one(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"kind": "person", "responsible": "p-approver", "roles": ["approver"], "key": format_public_key(key.public)}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"], key], "actor.enrolled", "actor:p-new", body)


def _a_service_that_is_a_person(cast: Cast, ledger: Ledger) -> bytes:
    body = {"kind": "service", "person": "p-author", "responsible": "p-approver", "roles": ["emitter"]}
    return _by_admin(cast, "actor.enrolled", "actor:svc", body, Ed25519Signer.generate())


def _own_service(cast: Cast, roles: Sequence[str], signer: Ledger) -> Ed25519Signer:
    """A service that the admin answers for, enrolled by somebody who may."""
    key = Ed25519Signer.generate()
    enrol_actor(signer, "mine", key, kind="service", roles=roles, responsible="p-admin")
    return key


def _by_admin(cast: Cast, kind: str, subject: str, body: dict[str, Any], key: Ed25519Signer | None = None) -> bytes:
    signers = [cast.keys["p-admin"], *([] if key is None else [key])]
    more = {} if key is None else {"key": format_public_key(key.public)}
    return _signed(cast.admin, "p-admin", signers, kind, subject, {**body, **more})


def _a_say_by_enrolment(cast: Cast, ledger: Ledger) -> bytes:
    body = {"kind": "service", "responsible": "p-admin", "roles": ["emitter", "approver"]}
    return _by_admin(cast, "actor.enrolled", "actor:mine", body, Ed25519Signer.generate())


def _a_say_by_a_grant(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["emitter"], cast.admin)
    return _by_admin(cast, "role.granted", "actor:mine", {"role": "deployer"})


def _a_say_by_a_grant_after_handing_on(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["emitter"], cast.admin)
    cast.admin.emit("actor.responsible_changed", "actor:mine", responsible="p-author", reason="moved")
    return _by_admin(cast, "role.granted", "actor:mine", {"role": "validator"})


def _a_say_by_taking_over(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    enrol_actor(cast.admin, "theirs", key, kind="service", roles=["deployer"], responsible="p-author")
    body = {"responsible": "p-admin", "reason": "mine now"}
    return _by_admin(cast, "actor.responsible_changed", "actor:theirs", body)


def _a_say_by_a_further_key(cast: Cast, ledger: Ledger) -> bytes:
    _own_service(cast, ["approver"], cast.root)
    return _by_admin(cast, "key.enrolled", "actor:mine", {}, Ed25519Signer.generate())


def _a_say_by_a_key_instead(cast: Cast, ledger: Ledger) -> bytes:
    old = _own_service(cast, ["approver"], cast.root)
    body = {"keyid": old.public.keyid, "until": 0}
    return _by_admin(cast, "key.rotated", "actor:mine", body, Ed25519Signer.generate())


def _roots_by_an_admin(cast: Cast, ledger: Ledger) -> bytes:
    key = Ed25519Signer.generate()
    body = {"roots": [format_public_key(key.public)], "threshold": 1, "reason": "mine now"}
    subject = f"ledger:{ledger.ledgerid}"
    return _signed(ledger, "root", [cast.keys["p-admin"], key], "ledger.roots_changed", subject, body)


def _a_run_in_an_actors_stream(cast: Cast, ledger: Ledger) -> bytes:
    body = {"system": "x", "content": {}}
    return _signed(ledger, "trainer", [cast.keys["trainer"]], "external.observed", "actor:trainer", body)


def _an_approval_by_an_emitter(cast: Cast, ledger: Ledger) -> bytes:
    (row,) = [row for row in cast.recorder.rows(0, 16) if row.entry.type == "muniment.approval.granted.v1"]
    body = json.loads(row.payload or b"")["data"]
    return _signed(ledger, "trainer", [cast.keys["trainer"]], "approval.granted", MODEL, body)


def _a_run_by_an_approver(cast: Cast, ledger: Ledger) -> bytes:
    return _signed(ledger, "p-approver", [cast.keys["p-approver"]], "run.completed", "run:x", {"metrics": {}})


def _acknowledging(cast: Cast, ledger: Ledger, index: int, leaf: int, subject: str) -> bytes:
    leaf_hash = cast.recorder.leaf_hashes(leaf, leaf + 1)[0].hex()
    body = {"index": index, "leaf_hash": leaf_hash, "reason": "in advance"}
    return _signed(ledger, "p-admin", [cast.keys["p-admin"]], "ledger.entry_acknowledged", subject, body)


def _an_acknowledgement_of_other_bytes(cast: Cast, ledger: Ledger) -> bytes:
    return _acknowledging(cast, ledger, 5, 6, f"ledger:{ledger.ledgerid}")


def _an_acknowledgement_in_another_ledger(cast: Cast, ledger: Ledger) -> bytes:
    return _acknowledging(cast, ledger, 5, 5, f"ledger:{'cd' * 16}")


ATTACKS = {
    _stranger: "key", _nobody: "key", _enrolled_by_an_emitter: "legality", _an_admin_by_an_admin: "legality",
    _without_possession: "key", _for_ones_own_person: "legality", _roots_by_an_admin: "key",
    _two_persons_behind_one: "schema", _a_service_that_is_a_person: "schema",
    _an_approval_by_an_emitter: "legality", _a_run_in_an_actors_stream: None, _a_run_by_an_approver: "legality",
    _a_say_by_enrolment: "legality", _a_say_by_a_grant: "legality", _a_say_by_a_grant_after_handing_on: "legality",
    _a_say_by_taking_over: "legality", _a_say_by_a_further_key: "legality", _a_say_by_a_key_instead: "legality",
    _an_acknowledgement_of_other_bytes: "legality", _an_acknowledgement_in_another_ledger: "schema",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_whoever_has_the_store_and_the_checkpoint_key(attack: Any, quick_url: str, tmp_path: Path):
    """Refused on append; put in by SQL with everything re-hashed and re-signed, told by both, at its place."""
    cast, _ = sixteen(quick_url)
    pair = Pair(tmp_path / "b", vkey_of(cast))
    envelope = attack(cast, cast.admin)
    size = cast.recorder.head().size
    with pytest.raises(LedgerError):
        cast.admin.append(envelope)
    assert cast.recorder.head().size == size
    with victim(cast, []) as store, store.trial():
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write(cast.new.checkpoint)
        leaves = [row["leaf_hash"] for row in forger.rows]
        note = sign_checkpoint(Checkpoint(forger.origin, len(leaves), mth(leaves)), cast.new.checkpoint)
        store.run("INSERT INTO $checkpoint VALUES (?, ?)", (len(leaves), note))
        assert index in {finding.index for finding in store.verify().findings}
        for selection in (Selection("all"), Selection("indexes", (index,))):
            data = b"".join(export_bundle(LogHandle(store.recorder), selection))
            assert pair.verdict(data, selection) == "bad"
            mine, other = ours(data, pair.vkey).findings[0], theirs(pair.path, data, pair.vkey)["findings"][0]
            assert mine.index == other["index"] == index, (mine, other)
            if ATTACKS[attack] is not None:
                assert (str(mine.fault), other["fault"]) == (ATTACKS[attack], ATTACKS[attack]), (mine, other)


def test_an_acknowledgement_counts_for_the_bytes_it_names(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    envelope = _enrolled_by_an_emitter(cast, cast.admin)
    cast.recorder.close()
    with raw(url) as store:
        store.unprotect()
        forger = Forger(store)
        index = forger.add(envelope)
        forger.write()
    leaf = cast.recorder.leaf_hashes(index, index + 1)[0].hex()
    body = {"index": index, "leaf_hash": leaf, "reason": "ticket 118"}
    cast.admin.emit("ledger.entry_acknowledged", f"ledger:{cast.admin.ledgerid}", body)
    cast.admin.checkpoint()
    pair = Pair(memory_path / "b", vkey_of(cast))
    data = bundle_of(cast)
    assert pair.verdict(data) == "verified"
    known = [gap for gap in ours(data, pair.vkey).gaps if gap.kind is GapKind.ACKNOWLEDGED]
    assert [(gap.start, gap.stop) for gap in known] == [(index, index + 1)]
    assert [note for note in theirs(pair.path, data, pair.vkey)["notes"] if f"void entry {index}, acknowl" in note]
    forged = Forgery(data)
    forged.replace_payload(index, other_nonce)
    assert pair.refuse(forged.signed(cast.new.checkpoint)) == ("signature", index)
