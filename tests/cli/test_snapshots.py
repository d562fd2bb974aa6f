"""The JSON of every `muniment verify …`: as it was when somebody last read it, and as its schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import jsonschema
import pytest

from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, VerifierKey, format_vkey
from ledger.verdicts import EXIT_OF, Verdict
from tests.cli.snapshots import FOLDER, compare
from tests.cli.support import Result, Shop, run

SCHEMA = Path(__file__).parents[2] / "schemas" / "reports" / "verification.v1.json"


def check(name: str, done: Result) -> Any:
    """Compare, and see that verdict, exit code, findings and schema fit each other."""
    found = done.json
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    assert done.code == EXIT_OF[Verdict(found["verdict"])]
    assert bool(found["findings"]) == (found["verdict"] == "bad")
    compare(name, done.code, found)
    return found


@pytest.fixture
def small(shop: Shop) -> Shop:
    """Four entries, the last head over all of them, and the file that entry 2 mentions."""
    Path("tx.onnx").write_bytes(b"model:tx@1")
    shop.version()
    Path("head").write_bytes(run("checkpoint", "show").good().stdout)
    return shop


def altered(shop: Shop, index: int = 2) -> None:
    shop.unprotected(f"UPDATE $content SET payload = signatures WHERE position = {index + 1}")


def test_log(small: Shop):
    check("log-good", run("verify", "log", "-o", "json"))
    run("emit", "external.observed", "external:x", "-d", "system=s").good()
    check("log-again", run("verify", "log", "--no-remember", "-o", "json"))
    check("log-by-hashes", run("verify", "log", "--level", "hash", "-o", "json"))
    altered(small)
    check("log-altered", run("verify", "log", "-o", "json"))


def test_log_elsewhere(small: Shop, monkeypatch: pytest.MonkeyPatch):
    """Named by URL alone: nothing is pinned, nothing remembered."""
    elsewhere = small.folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    check("log-unpinned", run("--ledger", small.url, "verify", "log", "-o", "json"))


def test_log_that_too_few_witnesses_vouch_for(small: Shop):
    witness = VerifierKey("w.example", TYPE_COSIGNATURE, Ed25519Signer.generate().public.raw)
    Path("policy").write_text(f"witness w {format_vkey(witness)}\nquorum w\n")
    found = check("log-unwitnessed", run("verify", "log", "--policy", "policy", "--require-witnesses", "-o", "json"))
    assert found["verdict"] == "unverified"


def test_event(small: Shop):
    check("event-good", run("verify", "event", "2", "-o", "json"))
    altered(small)
    check("event-altered", run("verify", "event", "2", "-o", "json"))


def test_file(small: Shop):
    check("file-mentioned", run("verify", "file", "tx.onnx", "-o", "json"))
    check("file-unknown", run("verify", "file", "-", "-o", "json", stdin=b"other"))
    altered(small, 3)
    small.unprotected("UPDATE $entry SET actor = 'p-other' WHERE position = 3")
    check("file-altered", run("verify", "file", "tx.onnx", "-o", "json"))


def test_checkpoint(small: Shop):
    check("checkpoint-good", run("verify", "checkpoint", "head", "-o", "json"))
    damaged = Path("head").read_bytes().replace(b"\n4\n", b"\n3\n")
    check("checkpoint-altered", run("verify", "checkpoint", "-", "-o", "json", stdin=damaged))


def test_bundle(small: Shop, monkeypatch: pytest.MonkeyPatch):
    run("export", "bundle", "--subject", "model:tx@1", "b").good()
    check("bundle-good", run("verify", "bundle", "b", "--expect", "head", "-o", "json"))
    damaged = Path("b").read_bytes().replace(b"model:tx", b"model:ty", 1)
    check("bundle-altered", run("verify", "bundle", "-", "-o", "json", stdin=damaged))
    monkeypatch.chdir(small.folder.parent)
    check("bundle-unpinned", run("verify", "bundle", small.folder / "b", "-o", "json"))


def test_backup(small: Shop):
    run("backup", "create", "b").good()
    check("backup-good", run("verify", "backup", "b", "-o", "json"))
    whole = Path("b").read_bytes()
    store = apsw.Connection("b")
    for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        store.execute(f"DROP TRIGGER {name}")
    store.execute("UPDATE content SET payload = signatures WHERE position = 3")
    store.close()
    check("backup-altered", run("verify", "backup", "b", "-o", "json"))
    place = whole.index(b'{"checkpoint":')
    Path("b").write_bytes(whole[:place] + whole[place + 3 :] + b"abc")
    check("backup-damaged", run("verify", "backup", "b", "-o", "json"))


def test_no_snapshot_is_left_over():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in FOLDER.glob("*.json") if f'"{path.stem}"' not in text] == []
