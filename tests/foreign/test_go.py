"""What we publish is checked by the Go transparency log library, and what is spoiled is refused by it."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from ledger.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint, signed_by, verify_checkpoint
from ledger.entry import ZERO_HASH, Entry, format_entry
from ledger.keys import Ed25519Signer
from ledger.merkle import CompactRange, leaf_hash, prove_consistency, prove_inclusion
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, Note, VerifierKey, format_note, format_vkey, parse_note
from ledger.proof import Proof, format_proof, verify_proof
from ledger.tiles import (
    TILE_WIDTH,
    TileReader,
    bundle_path,
    bundles_of,
    format_bundle,
    tile_coordinates,
    tile_path,
    tiles_of,
)
from tests.unit.reference_merkle import MemoryTree

ORIGIN = "ledger.example/go"
LOG, WITNESS = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2))
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw)
WITNESS_VKEY = VerifierKey("witness.example/w", TYPE_COSIGNATURE, WITNESS.public.raw)
SIZES = (1, 2, 255, 256, 257, 1000, 70_000)


class Log:
    """Entries of a chain with their tree."""

    def __init__(self, size: int) -> None:
        self.entries: list[bytes] = []
        prev = ZERO_HASH
        leaves = []
        for index in range(size):
            entry = Entry(
                actor="svc.ci",
                emitter="019b0000-0000-7000-8000-0000000000e1",
                envelope=f"{index:064x}",
                id=f"019b0000-0000-7000-8000-{index:012x}",
                index=index,
                item=0,
                keys=(LOG.public.keyid,),
                ledgerid="6d" * 16,
                payload=f"{index + 1:064x}",
                prev=prev,
                recorded_at=1_795_420_800_000_000 + index,
                revision=index,
                sequence=index + 1,
                stream="model:m",
                subject="model:m@1",
                type="muniment.version.registered.v1",
            )
            self.entries.append(format_entry(entry))
            leaves.append(leaf_hash(self.entries[-1]))
            prev = leaves[-1].hex()
        self.leaves = leaves
        self.tree = MemoryTree(leaves)

    def root(self, size: int) -> bytes:
        return CompactRange().extend(self.leaves[:size]).root()

    def checkpoint(self, size: int) -> bytes:
        note = parse_note(sign_checkpoint(Checkpoint(ORIGIN, size, self.root(size)), LOG))
        line = cosign_checkpoint(note.text, WITNESS, WITNESS_VKEY.name, 1_795_420_800)
        return format_note(Note(note.text, (*note.signatures, line)))

    def export(self, folder: Path, size: int) -> Path:
        """Write a tree as C2SP tlog-tiles lays it out."""
        files = {"checkpoint": self.checkpoint(size)}
        files["log.vkey"] = f"{format_vkey(VKEY)}\n".encode()
        files["witness.vkey"] = f"{format_vkey(WITNESS_VKEY)}\n".encode()
        for tile in tiles_of(size):
            files[tile_path(*tile)] = b"".join(self.tree.read_hashes(tile_coordinates(*tile)))
        for index, width in bundles_of(size):
            first = TILE_WIDTH * index
            files[bundle_path(index, width)] = format_bundle(self.entries[first : first + width])
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


@pytest.fixture(scope="session")
def log() -> Log:
    return Log(max(SIZES))


def run(verifier: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([verifier, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def accepted(verifier: Path, *arguments: object) -> dict[str, int]:
    result = run(verifier, *arguments)
    assert result.returncode == 0, result.stderr
    status, *facts = result.stdout.split()
    assert status == "ok"
    return {name: int(value) for name, _, value in (fact.partition("=") for fact in facts)}


def assert_refused(verifier: Path, *arguments: object) -> None:
    result = run(verifier, *arguments)
    assert result.returncode == 1, f"accepted: {result.stdout}"
    assert result.stderr.startswith("BAD ")
    assert not result.stderr.startswith("BAD usage")


@pytest.mark.parametrize("size", SIZES)
def test_go_agrees_with_every_tree(verifier, log, tmp_path, size):
    facts = accepted(verifier, "tree", log.export(tmp_path, size))
    assert facts == {
        "size": size,
        "signatures": 2,
        "tiles": sum(1 for _ in tiles_of(size)),
        "bundles": sum(1 for _ in bundles_of(size)),
        "inclusion": min(size, 600),
        "consistency": facts["consistency"],
    }
    assert facts["consistency"] >= min(size, 3)


@pytest.mark.parametrize("size", SIZES)
def test_go_accepts_our_proof_files(verifier, log, tmp_path, size):
    folder = log.export(tmp_path, size)
    reader = TileReader(lambda *tile: (folder / tile_path(*tile)).read_bytes(), size)
    note = log.checkpoint(size)
    for index in sorted({0, 1, 254, 255, 256, size // 2, size - 2, size - 1} & set(range(size))):
        data = format_proof(Proof(index, prove_inclusion(reader, index, size), note, b"extra" if index % 2 else None))
        (tmp_path / "x.tlog-proof").write_bytes(data)
        (tmp_path / "entry").write_bytes(log.entries[index])
        facts = accepted(verifier, "proof", tmp_path / "x.tlog-proof", tmp_path / "entry", folder / "log.vkey")
        assert facts == {"index": index, "size": size}
        assert verify_proof(data, log.entries[index], signed_by(VKEY, WITNESS_VKEY))[0] == index


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, 2), (1, 255), (255, 256), (256, 257), (257, 1000), (999, 1000), (65_536, 70_000), (69_999, 70_000)],
)
def test_go_accepts_our_consistency_proofs_and_refuses_spoiled_ones(verifier, log, old, new):
    proof = prove_consistency(log.tree, old, new)
    claim = [old, b64(log.root(old)), new, b64(log.root(new))]
    assert accepted(verifier, "consistency", *claim, *map(b64, proof)) == {"old": old, "new": new}
    for at in range(len(proof)):
        spoiled = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
        assert_refused(verifier, "consistency", *claim, *map(b64, spoiled))
        assert_refused(verifier, "consistency", *claim, *map(b64, [*proof[:at], *proof[at + 1 :]]))
    assert_refused(verifier, "consistency", *claim, *map(b64, [*proof, proof[-1]]))
    assert_refused(verifier, "consistency", old, claim[3], new, claim[3], *map(b64, proof))


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_go_refuses_a_changed_byte_in_any_tile_or_bundle(verifier, log, tmp_path, place):
    folder = log.export(tmp_path, 600)
    paths = sorted(path for path in (folder / "tile").rglob("*") if path.is_file())
    assert len(paths) == 3 + 1 + 3
    for path in paths:
        good = path.read_bytes()
        at = {"first": 0, "middle": len(good) // 2, "last": len(good) - 1}[place]
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert_refused(verifier, "tree", folder)
        path.write_bytes(good)
    accepted(verifier, "tree", folder)


def test_go_refuses_cut_missing_and_additional_tiles(verifier, log, tmp_path):
    folder = log.export(tmp_path, 600)
    for path in sorted(path for path in (folder / "tile").rglob("*") if path.is_file()):
        good = path.read_bytes()
        for data in (good[:-1], good[:-32], good + good[-32:], b""):
            path.write_bytes(data)
            assert_refused(verifier, "tree", folder)
        path.unlink()
        assert_refused(verifier, "tree", folder)
        path.write_bytes(good)
    (folder / "tile" / "0" / "003").write_bytes(bytes(32 * 256))
    assert_refused(verifier, "tree", folder)


def test_go_refuses_swapped_entries(verifier, log, tmp_path):
    folder = log.export(tmp_path, 300)
    path = folder / bundle_path(0)
    path.write_bytes(format_bundle([log.entries[1], log.entries[0], *log.entries[2:256]]))
    assert_refused(verifier, "tree", folder)


def test_go_and_we_refuse_a_changed_note(verifier, log, tmp_path):
    folder = log.export(tmp_path, 257)
    good = (folder / "checkpoint").read_bytes()
    lines = good.split(b"\n")
    bad = [good.replace(b"\n257\n", b"\n258\n"), good.replace(b"ledger.example/go\n", b"ledger.example/gp\n", 1)]
    bad += [good[:-1], good + b"x", b"\n".join([*lines[:4], *lines[5:]]), b""]
    for line in (2, 4, 5):  # root hash, log signature, cosignature
        text = bytearray(lines[line])
        text[-20] = ord("A") if text[-20] != ord("A") else ord("B")
        bad.append(b"\n".join([*lines[:line], bytes(text), *lines[line + 1 :]]))
    for note in bad:
        assert note != good
        (folder / "checkpoint").write_bytes(note)
        assert_refused(verifier, "tree", folder)
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the business of the unit tests
            verify_checkpoint(note, [VKEY, WITNESS_VKEY])


def test_go_refuses_a_checkpoint_of_another_key(verifier, log, tmp_path):
    folder = log.export(tmp_path, 2)
    other = VerifierKey(ORIGIN, TYPE_ED25519, WITNESS.public.raw)
    (folder / "log.vkey").write_text(format_vkey(other))
    assert_refused(verifier, "tree", folder)


def spoiled_proofs(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    result = [data.replace(b"index 5\n", b"index 4\n"), data.replace(b"\n257\n", b"\n256\n")]
    for at, line in enumerate(lines[:-1]):
        text = bytearray(line)
        if text:
            text[len(text) // 2] ^= 1
        result.append(b"\n".join([*lines[:at], bytes(text) or b"x", *lines[at + 1 :]]))
        result.append(b"\n".join([*lines[:at], *lines[at + 1 :]]))
    return result


def test_go_and_we_refuse_the_same_spoiled_proof_files(verifier, log, tmp_path):
    note = sign_checkpoint(Checkpoint(ORIGIN, 257, log.root(257)), LOG)
    data = format_proof(Proof(5, prove_inclusion(log.tree, 5, 257), note))
    paths = [tmp_path / name for name in ("proof", "entry", "vkey")]
    paths[1].write_bytes(log.entries[5])
    paths[2].write_text(format_vkey(VKEY))
    paths[0].write_bytes(data)
    assert accepted(verifier, "proof", *paths) == {"index": 5, "size": 257}
    numbers = count()
    for spoiled in spoiled_proofs(data):
        assert spoiled != data
        next(numbers)
        paths[0].write_bytes(spoiled)
        assert_refused(verifier, "proof", *paths)
        with pytest.raises(Exception):  # noqa: B017, PT011
            verify_proof(spoiled, log.entries[5], signed_by(VKEY))
    assert next(numbers) > 20
    paths[0].write_bytes(data)
    paths[1].write_bytes(log.entries[4])
    assert_refused(verifier, "proof", *paths)


def test_go_sees_a_fork_in_a_file_of_evidence_and_nothing_where_there_is_none(verifier, tmp_path):
    from ledger.evidence import format_evidence
    from tests.unit.test_evidence import ENTRIES, KEY, VKEY, forked, note

    assert VKEY.public == KEY.public.raw
    path, vkey = tmp_path / "evidence", format_vkey(VKEY)
    for known, shown in ((7, 20), (8, 16), (9, 9), (6, 23), (16, 17)):
        path.write_bytes(format_evidence(forked(known, shown)))
        assert accepted(verifier, "evidence", path, vkey) == {"known": known, "shown": shown}
    stranger = VerifierKey(VKEY.name, TYPE_ED25519, WITNESS.public.raw)
    assert_refused(verifier, "evidence", path, format_vkey(stranger))
    good = forked(7, 20)
    for bad in (
        forked(7, 20, ENTRIES),
        replace(good, before=bytes(32)),
        replace(good, proof=good.proof[:-1]),
        replace(good, proof=(*good.proof, bytes(32))),
        replace(good, known=note(ENTRIES, 8)),
        replace(good, before=None, proof=(), proof_size=0),
        replace(good, shown=replace(good.shown, note=None)),
    ):
        path.write_bytes(format_evidence(bad))
        assert_refused(verifier, "evidence", path, vkey)
