"""`muniment export bundle` and `verify bundle|file|checkpoint|backup`, as people run them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.keys import Ed25519Signer
from ledger.note import VerifierKey, format_vkey
from tests.cli.support import Grow, Shop, digest, run
from tests.contract.bundles import lines_of, written
from tests.contract.support import raw
from tests.contract.test_witnessed import VKEYS, cosign


def release(shop: Shop) -> None:
    shop.people()
    Path("tx.onnx").write_bytes(b"model:tx@1")
    shop.version(signer="p-author")
    shop.release()
    Path("log.vkey").write_bytes(run("checkpoint", "show", "--vkey").good().stdout)


@pytest.fixture
def released(grow_any: Grow) -> Shop:
    """A version that is live, and its file."""
    return grow_any(release)


def test_a_bundle_is_written_checked_and_pinned(released: Shop):
    vkey = Path("log.vkey").read_text().strip()
    made = run("export", "bundle", "--subject", "model:tx@1", "tx.bundle", "-o", "json").good()
    assert made.json["selection"] == {"kind": "subject", "items": ["model:tx@1"]}
    assert made.json["bytes"] == Path("tx.bundle").stat().st_size
    assert "verify.py" in made.err
    head = run("checkpoint", "show").good().stdout
    Path("head").write_bytes(head)
    found = run("verify", "bundle", "tx.bundle", "--vkey", vkey, "--expect", "head", "-o", "json").good().json
    assert found["verdict"] == "verified"
    assert found["findings"] == []
    assert found["anchored_by"] == ["the checkpoint head"]
    assert {gap["kind"] for gap in found["not_verified"]} == {"content"}, "all that its rules read is here"
    assert "✓ verified" in run("verify", "bundle", "tx.bundle").good().out, "trust.json pins the key here"
    piped = run("verify", "bundle", "-", "-o", "json", stdin=Path("tx.bundle").read_bytes())
    assert piped.good().json["verdict"] == "verified"
    assert run("export", "bundle", "--all", "-").good().stdout.startswith(b'{"checkpoint":')


def test_elsewhere_a_bundle_without_a_key_is_not_verified(released: Shop, monkeypatch: pytest.MonkeyPatch):
    run("export", "bundle", "--all", "all.bundle").good()
    elsewhere = released.folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    bundle = str(released.folder / "all.bundle")
    found = run("verify", "bundle", bundle)
    assert found.code == 3
    assert "UNVERIFIED" in found.out
    assert "UNPINNED" in found.out
    vkey = (released.folder / "log.vkey").read_text().strip()
    assert "✓ verified" in run("verify", "bundle", bundle, "--vkey", vkey).good().out
    run("verify", "bundle", bundle, "--expect", str(released.folder / "log.vkey")).refused(3, "--vkey")
    run("verify", "bundle", bundle, "--vkey", "nonsense").refused(2, "verifier key")
    damaged = Path(bundle).read_bytes().replace(b"model:tx", b"model:ty", 1)
    bad = run("verify", "bundle", "-", "--vkey", vkey, "-o", "json", stdin=damaged)
    assert bad.code == 1
    assert (bad.json["verdict"], bad.json["findings"][0]["fault"]) == ("bad", "bundle")


def test_what_is_no_selection_or_no_file(released: Shop):
    run("export", "bundle", "x").refused(2, "in one way")
    run("export", "bundle", "--all", "--index", "1", "x").refused(2, "in one way")
    run("export", "bundle", "--subject", "no name", "x").refused(2)
    run("export", "bundle", "--index", "99", "x").refused(2, "no entry 99")
    Path("other").write_bytes(b"other")
    run("export", "bundle", "--file", "other", "x").refused(3, "not mentioned")
    run("export", "bundle", "--all", "missing/x").refused(6, "cannot be written")
    assert not Path("x").exists()
    assert [path.name for path in Path().iterdir() if path.name.startswith(".x")] == [], "nothing half-made is left"


def test_verify_file_says_what_was_decided_about_these_bytes(released: Shop):
    assert digest("model:tx@1") == "sha256:" + hashlib.sha256(Path("tx.onnx").read_bytes()).hexdigest()
    found = run("verify", "file", "tx.onnx", "-o", "json").good().json
    assert found["verdict"] == "verified"
    types = [item["type"].split(".", 1)[1].rsplit(".", 1)[0] for item in found["mentions"]]
    assert types[:1] == ["version.registered"]
    assert {"approval.granted", "deployment.authorised", "deployment.completed"} <= set(types)
    assert all(item["ok"] for item in found["mentions"])
    (standing,) = found["standing"]
    assert (standing["version"], standing["status"], standing["live"]) == ("model:tx@1", "live", ["deployment:prod/tx"])
    text = run("verify", "file", "-", stdin=b"model:tx@1").good().out
    assert "model:tx@1: live" in text
    assert "live in deployment:prod/tx" in text
    other = run("verify", "file", "-", "-o", "json", stdin=b"other bytes")
    assert (other.code, other.json["verdict"], other.json["mentions"]) == (3, "unverified", [])


def test_verify_file_fails_where_a_mention_was_altered(released: Shop):
    (index, *_) = [m["index"] for m in run("verify", "file", "tx.onnx", "-o", "json").good().json["mentions"]]
    with raw(released.url) as store:
        store.unprotect()
        store.run("UPDATE $content SET signatures = payload WHERE position = ?", (index + 1,))
    found = run("verify", "file", "tx.onnx", "-o", "json")
    assert (found.code, found.json["verdict"]) == (1, "bad")
    assert [m["ok"] for m in found.json["mentions"] if m["index"] == index] == [False]
    assert found.json["standing"] == [], "what views say of altered bytes is not repeated"


def test_verify_checkpoint(released: Shop):
    Path("head").write_bytes(run("checkpoint", "show").good().stdout)
    size = int(Path("head").read_text().split("\n")[1])
    for which in ("head", str(size)):
        found = run("verify", "checkpoint", which, "-o", "json").good().json
        assert (found["verdict"], found["size"], found["findings"]) == ("verified", size, [])
    assert "this log extends it" in run("verify", "checkpoint", "-", stdin=Path("head").read_bytes()).good().out
    run("verify", "checkpoint", "9999").refused(3, "no head of size 9999")
    other = Path("head").read_bytes().replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1))
    found = run("verify", "checkpoint", "-", "-o", "json", stdin=other)
    assert (found.code, found.json["verdict"], found.json["findings"][0]["fault"]) == (1, "bad", "checkpoint")
    released.unprotected(f"DELETE FROM $entry WHERE position > {size - 1}", f"UPDATE $head SET size = {size - 1}")
    found = run("verify", "checkpoint", "head", "-o", "json")
    assert (found.code, found.json["findings"][0]["fault"]) == (1, "anchor")


def test_verify_backup_is_backup_verify(released: Shop):
    run("backup", "create", "l.backup").good()
    assert run("verify", "backup", "l.backup", "-o", "json").good().json == run(
        "backup", "verify", "l.backup", "-o", "json"
    ).good().json  # fmt: skip


def cosigned(shop: Shop, *who: int) -> None:
    """Witnesses have cosigned the last head; the policy asks for two of three."""
    with Ledger.open(shop.url) as ledger:
        size = ledger.recorder.head().size
        for number in who:
            cosign(ledger.recorder, size, number)
    lines = [f"witness w{number} {format_vkey(vkey)}" for number, vkey in enumerate(VKEYS)]
    Path("policy").write_text("\n".join([*lines, "group g 2 w0 w1 w2", "quorum g"]) + "\n")


def test_cosignatures_in_a_bundle_are_checked_against_a_policy_from_outside(released: Shop):
    cosigned(released, 0, 1)
    run("export", "bundle", "--subject", "model:tx@1", "b").good()
    plain = run("verify", "bundle", "b", "-o", "json").good().json
    assert [gap["message"] for gap in plain["not_verified"] if gap["kind"] == "attestations"] == [
        "not checked here, what others say of the head: 2 cosignature"
    ]
    options = ("--policy", "policy", "--require-witnesses", "-o", "json")
    found = run("verify", "bundle", "b", *options).good().json
    assert found["verdict"] == "verified"
    assert found["witnessed"]["size"] == found["size"]
    assert [item["name"] for item in found["witnessed"]["by"]] == ["w0", "w1"]
    assert not {gap["kind"] for gap in found["not_verified"]} & {"attestations", "unwitnessed"}
    assert "witnessed up to size" in run("verify", "bundle", "b", "--policy", "policy").good().out
    run("verify", "bundle", "b", "--require-witnesses").refused(8, "--policy")


def test_too_few_witnesses_are_no_verdict(released: Shop):
    cosigned(released, 0)
    run("export", "bundle", "--all", "b").good()
    found = run("verify", "bundle", "b", "--policy", "policy", "--require-witnesses", "-o", "json")
    assert (found.code, found.json["verdict"]) == (3, "unverified")
    assert "unwitnessed" in {gap["kind"] for gap in found.json["not_verified"]}
    assert "too few witnesses" in run("verify", "bundle", "b", "--policy", "policy", "--require-witnesses").out
    assert run("verify", "bundle", "b", "--policy", "policy").code == 0, "not asked for: said, and no more"


def test_a_cosignature_that_was_altered_or_is_of_another_log(released: Shop):
    cosigned(released, 0, 1)
    run("export", "bundle", "--all", "b").good()
    lines = lines_of(Path("b").read_bytes())
    note = lines[0]["checkpoint"].splitlines()
    blob = bytearray(base64.b64decode(note[-1].split()[-1]))
    blob[-1] ^= 1
    note[-1] = " ".join([*note[-1].split()[:-1], base64.b64encode(blob).decode()])
    lines[0]["checkpoint"] = "\n".join(note) + "\n"
    Path("b").write_bytes(written(lines))
    assert run("verify", "bundle", "b").code == 0, "without a policy nobody's word counts"
    found = run("verify", "bundle", "b", "--policy", "policy", "-o", "json")
    assert (found.code, found.json["findings"][0]["fault"]) == (1, "anchor")
    other = format_vkey(VerifierKey("ledger.example/other", 1, Ed25519Signer.generate().public.raw))
    Path("policy").write_text(f"log {other}\nquorum none\n")
    run("verify", "bundle", "b", "--policy", "policy").refused(8, "other logs")


def test_a_policy_that_names_the_key_of_the_log_pins_it(released: Shop, monkeypatch: pytest.MonkeyPatch):
    cosigned(released, 0, 1)
    run("export", "bundle", "--all", "b").good()
    policy = Path("policy").read_text()
    monkeypatch.chdir(released.folder.parent)
    bundle = str(released.folder / "b")
    Path("policy").write_text(policy)
    found = run("verify", "bundle", bundle, "--policy", "policy", "--require-witnesses")
    assert found.code == 3, "who the log is, is not known"
    Path("policy").write_text("log " + (released.folder / "log.vkey").read_text() + policy)
    run("verify", "bundle", bundle, "--policy", "policy", "--require-witnesses").good()
