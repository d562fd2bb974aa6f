"""Bundles as an attacker writes them: any line changed, and every digest made to fit again."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import ledger.standalone
from ledger.bundle import Selection, parse_bundle
from ledger.bundlecheck import BundleVerification, verify_bundle
from ledger.bundling import export_bundle
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.entry import entry_hash
from ledger.errors import InputError
from ledger.findings import Finding
from ledger.keys import Signer
from ledger.note import format_vkey, parse_vkey
from ledger.strictjson import format_json, parse_json
from ledger.verdicts import Fault
from tests.contract.support import Cast
from tests.unit.reference_merkle import mth

SEED = 20261126

Line = dict[str, Any]


def bundle_of(cast: Cast, selection: Selection | None = None) -> bytes:
    """A bundle of everything, or of a selection."""
    return b"".join(export_bundle(cast.admin, selection or Selection("all")))


def vkey_of(cast: Cast) -> str:
    return format_vkey(cast.admin.vkey)


def ours(data: bytes, *vkeys: str) -> BundleVerification:
    """What we say."""
    try:
        bundle = parse_bundle(io.BytesIO(data))
    except InputError as error:
        return BundleVerification(findings=[Finding(Fault.BUNDLE, None, error.message)])
    return verify_bundle(bundle, [parse_vkey(text) for text in vkeys])


def theirs(path: Path, data: bytes, *vkeys: str, expect: Path | None = None) -> dict[str, Any]:
    """What verify.py says, run in this process by its own `main`."""
    path.write_bytes(data)
    more = [] if expect is None else ["--expect", str(expect)]
    out = io.StringIO()
    with redirect_stdout(out):
        code = ledger.standalone.main(
            [str(path), "--json", *(item for key in vkeys for item in ("--vkey", key)), *more]
        )
    found = json.loads(out.getvalue())
    assert code == {"verified": 0, "bad": 1, "unverified": 3}[found["verdict"]]
    return found


def lines_of(data: bytes) -> list[Line]:
    """All lines but the digest."""
    return [parse_json(line) for line in data.splitlines()[:-1]]


def written(lines: Sequence[Line]) -> bytes:
    """The file of these lines, with its digest."""
    data = b"".join(format_json(line) + b"\n" for line in lines)
    return data + format_json({"sha256": hashlib.sha256(data).hexdigest()}) + b"\n"


def entry_lines(lines: Sequence[Line]) -> list[int]:
    """Which lines hold entries."""
    return [number for number, line in enumerate(lines) if "entry" in line]


class Forgery:
    """Entries and contents as an attacker may write them; the chain, digests and the root made to fit again.

    Args:
        data: a good bundle.
    """

    def __init__(self, data: bytes) -> None:
        self.lines = lines_of(data)

    def entries(self) -> list[dict[str, Any]]:
        """The entries, to be changed by `rechain`."""
        return [parse_json(self.lines[number]["entry"].encode()) for number in entry_lines(self.lines)]

    def rechain(self, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Change entries, then compute chain and root again; the head keeps its old signature."""
        entries = self.entries()
        change(entries)
        prev, leaves = "0" * 64, []
        for number, entry in zip(entry_lines(self.lines), entries, strict=True):
            entry["prev"] = prev
            text = format_json(entry)
            self.lines[number]["entry"] = text.decode()
            leaves.append(hashlib.sha256(b"\0" + text).digest())
            prev = leaves[-1].hex()
        text, _, signatures = self.lines[0]["checkpoint"].partition("\n\n")
        head = text.split("\n")
        head[2] = base64.b64encode(mth(leaves)).decode()
        self.lines[0]["checkpoint"] = "\n".join(head) + "\n\n" + signatures
        self.root = mth(leaves)

    def replace_payload(self, index: int, change: Callable[[bytes], bytes]) -> None:
        """Change a payload, leave its signatures, and make all digests fit."""
        line = self.lines[entry_lines(self.lines)[index]]
        envelope = json.loads(line["envelope"])
        payload = change(base64.b64decode(envelope["payload"]))
        envelope["payload"] = base64.b64encode(payload).decode()
        line["envelope"] = json.dumps(envelope, separators=(",", ":"))

        def fit(entries: list[dict[str, Any]]) -> None:
            entries[index]["payload"] = hashlib.sha256(payload).hexdigest()
            entries[index]["envelope"] = hashlib.sha256(line["envelope"].encode()).hexdigest()

        self.rechain(fit)

    def signed(self, key: Signer) -> bytes:
        """The file with its head signed by the holder of the checkpoint key."""
        origin, size, _ = self.lines[0]["checkpoint"].split("\n")[:3]
        note = sign_checkpoint(Checkpoint(origin, int(size), self.root), key)
        self.lines[0]["checkpoint"] = note.decode()
        return written(self.lines)


def load_script(path: Path) -> Any:
    """A copy of verify.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("verify_copy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def erased(cast: Cast, index: int, **changes: Any) -> int:
    """Have it recorded that an entry was erased whole; returns the index of the record."""
    entry = cast.recorder.rows(index, 1)[0].entry
    item = {"index": index, "leaf_hash": entry_hash(entry).hex(), "stream": entry.stream, "scope": "whole", **changes}
    body = {"subject": "person:p-1", "basis": "a law", "reason": "asked for", "entries": [item]}
    record = cast["p-eraser"].emit("subject.erased", f"ledger:{cast.admin.ledgerid}", body)
    cast.admin.checkpoint()
    return record.index


class Pair:
    """Both verifiers, which must agree.

    Args:
        path: where verify.py finds the file.
        vkey: given to both.
    """

    def __init__(self, path: Path, vkey: str) -> None:
        self.path, self.vkey = path, vkey
        self.counts: Counter[str] = Counter()

    def verdict(self, data: bytes, what: object = "") -> str:
        mine, other = ours(data, self.vkey), theirs(self.path, data, self.vkey)
        assert other["verdict"] == str(mine.verdict), (what, mine.findings, other)
        self.counts[str(mine.verdict)] += 1
        return str(mine.verdict)

    def refuse(self, data: bytes, what: object = "") -> tuple[str, int | None]:
        """Both must refuse it, for the same reason at the same place; returns class and place."""
        assert self.verdict(data, what) == "bad", what
        first, other = ours(data, self.vkey).findings[0], theirs(self.path, data, self.vkey)["findings"][0]
        assert (first.fault, first.index) == (other["fault"], other["index"]), (what, first, other)
        return str(first.fault), first.index
