"""A whole ledger, on both backends, checked with other people's programs only."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError as ForeignVerificationError
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]

from cli.sample import fill_sample
from ledger.addcheckpoint import AddCheckpoint, format_add_checkpoint
from ledger.application import Ledger
from ledger.envelope import Envelope, format_envelope, parse_signatures
from ledger.home import Home
from ledger.keys import Ed25519Signer
from ledger.newhome import create_home
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from ledger.publish import export_tiles
from tests.contract.support import make_cast
from witness.service import create_witness


@pytest.fixture
def home(tmp_path: Path, store_url: str) -> Home:
    folder = tmp_path / "project"
    folder.mkdir()
    made = create_home(folder, "ledger.example/foreign", url=store_url, keys=Path("keys"))
    fill_sample(made)
    ledger = made.home.open("ci-train")
    for number in range(300):  # past one full tile
        ledger.emit("monitor.signal", "monitor:m", metric="auc", value=number / 1000)
    ledger.close()
    return made.home


def run(verifier: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([verifier, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def envelopes(ledger: Ledger) -> list[bytes]:
    found = []
    for row in ledger.recorder.rows(0, 1000):
        assert row.payload is not None
        assert row.signatures is not None
        found.append(format_envelope(Envelope(row.payload, parse_signatures(row.signatures))))
    return found


def foreign_key(text: str) -> SSlibKey:
    raw = base64.b64decode(text.removeprefix("ed25519:"))
    return SSlibKey(hashlib.sha256(raw).hexdigest(), "ed25519", "ed25519", {"public": raw.hex()})


def test_go_checks_the_exported_log_and_its_proofs(home: Home, tmp_path: Path, verifier: Path):
    folder = tmp_path / "published"
    with home.open_reader() as ledger:
        size, _ = export_tiles(ledger, folder)
        proofs = {index: (ledger.prove_inclusion(index), ledger.entry_bytes(index)) for index in (0, 1, 255, 256, 332)}
    assert size == 333
    result = run(verifier, "tree", folder)
    assert result.returncode == 0, result.stderr
    command = ("proof", tmp_path / "proof", tmp_path / "entry", folder / "log.vkey")
    for index, (proof, entry) in proofs.items():
        (tmp_path / "proof").write_bytes(proof)
        (tmp_path / "entry").write_bytes(entry)
        result = run(verifier, *command)
        assert result.returncode == 0, f"{index}: {result.stderr}"
    (tmp_path / "entry").write_bytes(proofs[1][1])
    refused = run(verifier, *command)
    assert refused.returncode != 0, "the proof of one entry must not prove another"


def test_go_checks_the_cosignatures_that_heads_and_proofs_carry(home: Home, tmp_path: Path, verifier: Path):
    """From our witness to our log to their library, in the form each of them has."""
    folder, witness = tmp_path / "published", create_witness(tmp_path / "w", "witness.example/w1")
    other = create_witness(tmp_path / "other", "witness.example/w2")
    with home.open_signer() as ledger:
        witness.add_log(ledger.vkey)
        ledger.checkpoint()
        last = ledger.recorder.last_checkpoint()
        assert last is not None
        body = format_add_checkpoint(AddCheckpoint(0, (), last.note))
        line = witness.add_checkpoint(body).body[:-1]
        ledger.recorder.add_attestation(last.size, "cosignature", format_vkey(witness.vkey), line)
        export_tiles(ledger, folder)
        (tmp_path / "proof").write_bytes(ledger.prove_inclusion(255))
        (tmp_path / "entry").write_bytes(ledger.entry_bytes(255))
    (folder / "witness.vkey").write_bytes((tmp_path / "w" / "witness.vkey").read_bytes())
    result = run(verifier, "tree", folder)
    assert " signatures=2 " in result.stdout, result.stderr
    command = ("proof", tmp_path / "proof", tmp_path / "entry", folder / "log.vkey")
    assert run(verifier, *command, tmp_path / "w" / "witness.vkey").returncode == 0
    assert run(verifier, *command, tmp_path / "other" / "witness.vkey").returncode != 0, "who did not cosign"
    good = (tmp_path / "proof").read_bytes()
    (tmp_path / "proof").write_bytes(good[:-8] + b"AAAA" + good[-4:])
    assert run(verifier, *command, tmp_path / "w" / "witness.vkey").returncode != 0
    for made in (witness, other):
        made.close()


def test_securesystemslib_verifies_every_envelope_under_the_keys_the_log_enrolled(home: Home):
    """Reads the keyring from the payloads alone, as a foreign auditor would."""
    keys: dict[str, list[Key]] = {}
    with home.open_reader() as ledger:
        found = envelopes(ledger)
    assert len(found) == 333
    for index, data in enumerate(found):
        payload = json.loads(base64.b64decode(json.loads(data)["payload"]))
        author = payload["source"].removeprefix("urn:muniment:")
        if payload["type"].startswith("muniment.ledger.created."):
            keys["root"] = [foreign_key(text) for text in payload["data"]["roots"]]
        if payload["type"].startswith("muniment.actor.enrolled."):
            name = payload["subject"].removeprefix("actor:")
            keys[name] = [foreign_key(payload["data"]["key"])]
        foreign = ForeignEnvelope.from_dict(json.loads(data))
        assert foreign.verify(keys[author], 1), f"entry {index}"
        if index == 20:
            foreign.payload += b" "
            with pytest.raises(ForeignVerificationError):
                foreign.verify(keys[author], 1)


def test_the_cloudevents_sdk_reads_every_payload(home: Home):
    with home.open_reader() as ledger:
        for row in ledger.recorder.rows(0, 1000):
            assert row.payload is not None
            event = JSONFormat().read(CloudEvent, row.payload)
            assert isinstance(event, CloudEvent)
            assert event.get_id() == row.entry.id
            assert event.get_type() == row.entry.type
            assert event.get_subject() == row.entry.subject
            assert event.get_data() == json.loads(row.payload)["data"]


def test_go_reads_the_head_behind_a_change_of_the_key_with_the_old_key_and_with_the_new(
    store_url: str, tmp_path: Path, verifier: Path
):
    """Old proofs keep their key, the first head behind the change has both, later ones only the new."""
    cast = make_cast(store_url, actors=())
    new, root = Ed25519Signer.generate(), Ledger(cast.recorder, actor="root", signers=[cast.new.root])
    old_vkey = cast.admin.vkey
    vkey = VerifierKey(old_vkey.name, TYPE_ED25519, new.public.raw)
    proofs = [cast.admin.prove_inclusion(1)]
    body = {"vkey": format_vkey(vkey), "reason": "test"}
    root.emit("ledger.checkpoint_key_changed", f"ledger:{root.ledgerid}", body, also_sign=[new])
    cast.admin.sign_heads_with([new, cast.new.checkpoint], None)
    proofs.append(cast.admin.prove_inclusion(1))
    cast.admin.emit("external.observed", "external:x", system="test")
    proofs.append(cast.admin.prove_inclusion(1))
    (tmp_path / "entry").write_bytes(cast.admin.entry_bytes(1))
    for proof, wanted in zip(proofs, ((True, False), (True, True), (False, True)), strict=True):
        (tmp_path / "proof").write_bytes(proof)
        for key, good in zip((old_vkey, vkey), wanted, strict=True):
            (tmp_path / "vkey").write_text(format_vkey(key) + "\n")
            result = run(verifier, "proof", tmp_path / "proof", tmp_path / "entry", tmp_path / "vkey")
            assert (result.returncode == 0) is good, result.stderr
    cast.recorder.close()
