"""Test vectors of the tree and of what is said about its head: tiles, checkpoints, proofs, successors, witnesses."""

from __future__ import annotations

from typing import Any

from vector_material import (
    LEDGERID,
    ORIGIN,
    Leaves,
    make_entries,
    plain_entry,
    sha256,
    signer,
)

from ledger import addcheckpoint, cosignature, merkle, proof, successor, tiles, witnesspolicy
from ledger import checkpoint as cps
from ledger import entry as entries
from ledger import note as notes

MERKLE_MAX = 12
TILE_SIZES = (1, 2, 255, 256, 257, 1000, 70000)
FOREIGN_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def make_merkle() -> dict[str, Any]:
    """Roots and every proof of small trees; roots of larger ones."""
    tree = Leaves(70_000)
    sizes = range(MERKLE_MAX + 1)
    return {
        "about": 'leaf i is {"seq":<i>,"type":"model.registered","model":"m<i mod 7>"}; hashes in hex',
        "leaf_hashes": [tree.levels[0][at].hex() for at in range(MERKLE_MAX)],
        "roots": {str(size): merkle.root_hash(tree, size).hex() for size in [*sizes, 255, 256, 257, 1000, 70_000]},
        "inclusion": [
            {"index": index, "size": size, "proof": [item.hex() for item in merkle.prove_inclusion(tree, index, size)]}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "new": new, "proof": [item.hex() for item in merkle.prove_consistency(tree, old, new)]}
            for new in sizes
            for old in range(new + 1)
        ],
    }


def make_tiles() -> dict[str, Any]:
    """Paths and contents of tiles and entry bundles."""
    tree = Leaves(70_000)
    result = []
    for size in TILE_SIZES:
        last = {level: (index, width) for level, index, width in tiles.tiles_of(size)}
        bundle, bundle_width = list(tiles.bundles_of(size))[-1]
        first = tiles.TILE_WIDTH * bundle
        data = tiles.format_bundle([plain_entry(first + place) for place in range(bundle_width)])
        result.append(
            {
                "size": size,
                "count": sum(1 for _ in tiles.tiles_of(size)),
                "last_tiles": [
                    {
                        "path": tiles.tile_path(level, index, width),
                        "sha256": sha256(b"".join(tree.read_hashes(tiles.tile_coordinates(level, index, width)))),
                    }
                    for level, (index, width) in last.items()
                ],
                "last_bundle": {"path": tiles.bundle_path(bundle, bundle_width), "sha256": sha256(data)},
            }
        )
    # fmt: off
    numbers = [
        (0, 0, 256), (0, 999, 256), (0, 1000, 256), (0, 1_234_067, 256), (1, 1, 17), (63, 0, 1), (2, 999_999, 255),
    ]
    # fmt: on
    return {
        "about": "leaves as in merkle.json; the last tile of every level and the last bundle of a tree",
        "paths": [
            {"level": level, "index": index, "width": width, "path": tiles.tile_path(level, index, width)}
            for level, index, width in numbers
        ],
        "bad_paths": [
            "",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/0/x000/001",
            "tile/0/001/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "/tile/0/000",
            "tile/0/000/",
            "tile/entries/000/../1",
            "tile/-1/000",
            "tile/0/x001",
        ],
        "bundle": {"entries": ["", "00", "0102"], "hex": tiles.format_bundle([b"", b"\x00", b"\x01\x02"]).hex()},
        "trees": result,
    }


def make_checkpoint() -> dict[str, Any]:
    """Notes of the published tree, with and without a cosignature."""
    log, witness, time = signer("log seed"), signer("witness seed"), 1_795_420_800
    tree = Leaves(7)
    result = []
    for size in (0, 1, 7):
        text = cps.format_checkpoint(cps.Checkpoint(ORIGIN, size, merkle.root_hash(tree, size)))
        note = cps.sign_checkpoint(cps.parse_checkpoint(text), log)
        parsed = notes.parse_note(note)
        line = cps.cosign_checkpoint(text, witness, "witness.example/w1", time)
        both = notes.format_note(notes.Note(text, (*parsed.signatures, line)))
        result.append({"size": size, "text": text, "note": note.decode(), "cosigned_note": both.decode()})
    return {
        "about": "leaves as in merkle.json; log key: label 'log seed'; witness key: label 'witness seed'",
        "origin": ORIGIN,
        "vkey": notes.format_vkey(notes.VerifierKey(ORIGIN, notes.TYPE_ED25519, log.public.raw)),
        "witness_vkey": notes.format_vkey(
            notes.VerifierKey("witness.example/w1", notes.TYPE_COSIGNATURE, witness.public.raw)
        ),
        "cosignature_time": time,
        "checkpoints": result,
        # The example of the C2SP signed-note specification itself: made by others.
        "foreign_vkey": "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "foreign_note": FOREIGN_NOTE,
    }


def make_proof() -> dict[str, Any]:
    """Proof files of the three entries of entry.json."""
    preimages = [entries.format_entry(entry) for entry in make_entries()[:3]]
    tree = Leaves(3, preimages.__getitem__)
    head = cps.Checkpoint(ORIGIN, 3, merkle.root_hash(tree, 3))
    note = cps.sign_checkpoint(head, signer("log seed"))
    return {
        "about": "entries 0 to 2 of entry.json in a tree of three",
        "vkey": notes.format_vkey(notes.VerifierKey(ORIGIN, notes.TYPE_ED25519, signer("log seed").public.raw)),
        "root": head.root.hex(),
        "proofs": [
            {
                "index": index,
                "entry": preimages[index].decode(),
                "file": proof.format_proof(
                    proof.Proof(index, merkle.prove_inclusion(tree, index, 3), note, b"not proven" if index else None)
                ).decode(),
            }
            for index in range(3)
        ],
    }


def make_successor() -> dict[str, Any]:
    """The word that the published tree goes on in another store."""
    copy, place = "0123456789abcdef0123456789abcdef", "postgresql://ledger:***@db.example/ml?schema=ml_ledger"
    root = merkle.root_hash(Leaves(7), 7)
    moved = successor.Successor(ORIGIN, LEDGERID, 7, root, copy, place)
    return {
        "about": "the tree of seven leaves of merkle.json goes on elsewhere; log key: label 'log seed'",
        "origin": ORIGIN,
        "ledgerid": LEDGERID,
        "size": 7,
        "copy": copy,
        "store": place,
        "text": successor.format_successor(moved),
        "note": successor.sign_successor(moved, signer("log seed")).decode(),
    }


def make_witness() -> dict[str, Any]:
    """A log of seven leaves that is witnessed, from size 3 on: request, answer, row, policy."""
    old, new = 3, 7
    head = cps.Checkpoint(ORIGIN, new, merkle.root_hash(Leaves(new), new))
    note = cps.sign_checkpoint(head, signer("log seed"))
    name, moment = "witness.example/w1", 1795420800
    vkeys = {
        label: notes.VerifierKey(f"witness.example/{label}", notes.TYPE_COSIGNATURE, signer(seed).public.raw)
        for label, seed in (("w1", "witness seed"), ("w2", "second witness seed"), ("w3", "third witness seed"))
    }
    line = cps.cosign_checkpoint(cps.format_checkpoint(head), signer("witness seed"), name, moment)
    request = addcheckpoint.AddCheckpoint(old, merkle.prove_consistency(Leaves(new), old, new), note)
    log = notes.format_vkey(notes.VerifierKey(ORIGIN, notes.TYPE_ED25519, signer("log seed").public.raw))
    lines = ["# two of three", f"log {log} https://ledger.example/"]
    lines += [f"witness {label} {notes.format_vkey(vkey)} https://{vkey.name}" for label, vkey in vkeys.items()]
    lines += ["group two-of-three 2 w1 w2 w3", "quorum two-of-three", ""]
    policy = witnesspolicy.parse_policy("\n".join(lines).encode())
    sets = [[], ["w1"], ["w2", "w3"], ["w1", "w2", "w3"]]
    return {
        "about": "the tree of seven leaves of merkle.json; log key: label 'log seed', witness: label 'witness seed'",
        "old": old,
        "request": addcheckpoint.format_add_checkpoint(request).decode(),
        "answer": cosignature.format_lines([line]).decode(),
        "conflict": addcheckpoint.format_size(old).decode(),
        "monitoring": addcheckpoint.monitoring_path(ORIGIN),
        "issuer": notes.format_vkey(vkeys["w1"]),
        "body": cosignature.format_cosignature(line).decode(),
        "policy": "\n".join(lines),
        "quorum": [{"cosigned": found, "met": policy.met([vkeys[label] for label in found])} for found in sets],
    }
