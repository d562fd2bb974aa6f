"""Write the test vectors in tests/vectors, or check that the committed ones are what this code makes.

    python tools/gen_vectors.py            write them
    python tools/gen_vectors.py --check    exit 1 and say which file differs

Everything is derived from fixed seeds: the files are the same on every machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ledger import (  # noqa: E402
    addcheckpoint,
    cosignature,
    keys,
    merkle,
    names,
    proof,
    strictjson,
    successor,
    tiles,
    witnesspolicy,
)
from ledger import checkpoint as cps  # noqa: E402
from ledger import entry as entries  # noqa: E402
from ledger import envelope as envelopes  # noqa: E402
from ledger import note as notes  # noqa: E402
from ledger.errors import InputError  # noqa: E402

VECTORS = ROOT / "tests" / "vectors"
ORIGIN = "ledger.example/ml-governance"
LEDGERID = "6d756e696d656e742d766563746f7273"
EMITTERS = {"root": "019b0000-0000-7000-8000-0000000000e1", "p-7f3a": "019b0000-0000-7000-8000-0000000000e2"}
MERKLE_MAX = 12
FOREIGN_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
TILE_SIZES = (1, 2, 255, 256, 257, 1000, 70000)


def seed(label: str) -> bytes:
    """Return the fixed 32-byte seed of a label."""
    return hashlib.sha256(label.encode()).digest()


def signer(label: str) -> keys.Ed25519Signer:
    """Return the fixed key of a label."""
    return keys.Ed25519Signer.from_seed(seed(label))


def sha256(data: bytes) -> str:
    """Return the hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def plain_entry(number: int) -> bytes:
    """Entry of the published tree vectors (not an entry v1: the tree does not care)."""
    return b'{"seq":%d,"type":"model.registered","model":"m%d"}' % (number, number % 7)


class Leaves:
    """A tree in memory, as a HashReader."""

    def __init__(self, count: int, make: Callable[[int], bytes] = plain_entry) -> None:
        self.levels = [[merkle.leaf_hash(make(number)) for number in range(count)]]
        while len(below := self.levels[-1]) > 1:
            self.levels.append(
                [merkle.node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)],
            )

    def read_hashes(self, coordinates: Any) -> list[bytes]:
        """Return the hashes at (level, index)."""
        return [self.levels[level][index] for level, index in coordinates]


def make_strictjson() -> dict[str, Any]:
    """Strict JSON: what is read and how it is written; what is refused."""
    # fmt: off
    doubles = [
        "0000000000000001", "8000000000000001", "7fefffffffffffff", "ffefffffffffffff", "444b1ae4d6e2ef50",
        "3eb0c6f7a0b5ed8d", "3eb0c6f7a0b5ed8c", "3e7ad7f29abcaf48", "3ff0000000000000", "8000000000000000",
        "3fb999999999999a", "4340000000000000", "44b52d02c7e14af6", "41b3de4355555553", "becbf647612f3696",
        "43143ff3c1cb0959",
    ]
    # fmt: on
    numbers: list[dict[str, str | None]] = []
    for bits in doubles:
        value = struct.unpack(">d", bytes.fromhex(bits))[0]
        try:
            numbers.append({"ieee754": bits, "json": strictjson.format_json(value).decode()})
        except InputError:
            numbers.append({"ieee754": bits, "json": None})
    # fmt: off
    good = [
        "null", "true", "[]", "{}", '""', "0", "-1", "9007199254740991", "-9007199254740991", "0.1", "1e-7", "1e+21",
        "1.5", "0.000001", '{"b":1,"a":[1,2,{"c":null}]}', '{ "a" : [ 1 , 2 ] }', '{"a":1,\n"b":2}',
        '"\\u00e9\\n\\/"', '"\\ud83d\\ude00"', '{"\\ud83d\\ude00":1,"\\ufb33":2,"\\u20ac":3,"\\r":4,"1":5}',
        '"\u007f\u0080\u2028"', "[" * 32 + "]" * 32,
    ]
    # fmt: on
    # fmt: off
    bad = [
        ("", "empty"), (" 1", "space before"), ("1\n", "newline after"), ("1 2", "two values"),
        ("{}x", "trailing data"), ("\ufeff1", "byte order mark"), ('{"a":1,"a":1}', "duplicate name"),
        ('{"a":1,"\\u0061":2}', "duplicate after unescape"), ('{"x":{"a":1,"a":2}}', "duplicate inside"),
        ("NaN", "not a number"), ("Infinity", "infinity"), ("-Infinity", "infinity"), ("1e400", "too large"),
        ("9007199254740992", "integer over 2^53-1"), ("-9007199254740992", "integer under -(2^53-1)"),
        ("1.0", "useless fraction"), ("-0", "minus zero"), ("-0.0", "minus zero"), ("1E5", "capital exponent"),
        ("1e2", "useless exponent"), ("0.10", "trailing zero"), ("1e21", "exponent without sign"),
        ("1e-07", "zero in exponent"), ("100000000000000000000", "integer over 2^53-1"),
        ("0.1000000000000000055511151231257827", "more digits than needed"), ("01", "leading zero"), ("+1", "plus"),
        (".5", "no whole part"), ("1.", "no fraction"), ('"\\ud800"', "lone surrogate"),
        ('"\\udc00\\ud800"', "surrogates in the wrong order"), ('{"\\ud800":1}', "lone surrogate in a name"),
        ('"a\tb"', "raw control character"), ("'a'", "single quotes"), ("[1,]", "trailing comma"),
        ('{"a":1,}', "trailing comma"), ("// c\n1", "comment"), ("[" * 33 + "]" * 33, "33 deep"), ("True", "Python"),
        ("{1:2}", "name not a string"), ("\u00a01", "other space"), ("\uff11", "other digit"),
    ]
    # fmt: on
    raw = [("ff", "not UTF-8"), ("22c0af22", "overlong"), ("22eda08022", "surrogate in UTF-8"), ("7b7d00", "NUL after")]
    return {
        "about": "ledger.strictjson: text is read; canonical is RFC 8785; json null means refused when written",
        "good": [
            {"text": text, "canonical": strictjson.format_json(strictjson.parse_json(text.encode())).decode()}
            for text in good
        ],
        "bad": [{"hex": text.encode().hex(), "why": why} for text, why in bad]
        + [{"hex": code, "why": why} for code, why in raw],
        "numbers": numbers,
    }


def make_names() -> dict[str, Any]:
    """Names, actors and sources."""
    # fmt: off
    good = [
        "model:churn", "model:churn@3", "model:credit/scoring@1.4.0+cu12", "deployment:prod/scoring-api",
        "dataset:a/B.c_d-e+f@v1", f"ledger:{LEDGERID}", "actor:p-7f3a", "x:0", "a-1-b:Z", "k" + "a" * 31 + ":n",
        "m:" + "a" * 198,
    ]
    # fmt: on
    # fmt: off
    bad = [
        "", "model", "model:", ":churn", "Model:churn", "model:/churn", "model:credit/", "model:a/b/c",
        "model:churn@", "model:@1", "model:churn@1@2", "model:churn 3", " model:churn", "model:churn\n", "model:-a",
        "model:.a", "model:a@-1", "1model:a", "model:é", "model:a:b", "k" + "a" * 32 + ":n", "m:" + "a" * 199,
        "model:a\u0000", "mod_el:a", "model:a/@1", "model:a@v/1",
    ]
    # fmt: on
    return {
        "about": "ledger.names: kind:[namespace/]name[@version]; actor ids",
        "good": [
            {"text": text, "stream": names.stream_of(text), **dataclasses.asdict(names.parse_name(text))}
            for text in good
        ],
        "bad": bad,
        "actors_good": ["root", "p-7f3a", "svc.ci_1", "0", "a" * 64],
        "actors_bad": ["", "P-1", "-a", ".a", "a b", "a" * 65, "a\n", "é", "urn:muniment:a", "a/b"],
    }


def make_keys() -> dict[str, Any]:
    """Key ids and verifier keys of fixed seeds."""
    result = []
    for label in ("log seed", "root seed", "admin seed", "witness seed"):
        public = signer(label).public
        vkeys = {
            str(kind): notes.format_vkey(notes.VerifierKey(ORIGIN, kind, public.raw))
            for kind in (notes.TYPE_ED25519, notes.TYPE_COSIGNATURE)
        }
        result.append(
            {
                "label": label,
                "seed": seed(label).hex(),
                "raw": public.raw.hex(),
                "text": keys.format_public_key(public),
                "keyid": public.keyid,
                "vkeys": vkeys,
            }
        )
    return {"about": f"seed = SHA-256(label); vkeys are named {ORIGIN}, by signature type", "keys": result}


def make_payload(verb: str, actor: str, subject: str, data: dict[str, Any], *, number: int, sequence: int) -> bytes:
    """Build the payload of a fixed event."""
    kind = f"muniment.{verb}.v1"
    return strictjson.format_json(
        {
            "specversion": "1.0",
            "id": f"019b0000-0000-7000-8000-{number:012x}",
            "source": names.format_source(actor),
            "type": kind,
            "subject": subject,
            "time": f"2026-11-23T08:00:0{number}.000000Z",
            "datacontenttype": "application/json",
            "dataschema": f"urn:muniment:schema:{kind}",
            "ledgerid": LEDGERID,
            "nonce": sha256(b"nonce %d" % number)[:32],
            "emitter": EMITTERS[actor],
            "sequence": f"{sequence:019d}",
            "evidencestrength": "observed",
            "data": data,
        }
    )


def make_genesis() -> list[envelopes.Envelope]:
    """Entries 0 and 1 of a ledger, and one event of its admin."""
    root, admin = signer("root seed"), signer("admin seed")
    vkey = notes.format_vkey(notes.VerifierKey(ORIGIN, notes.TYPE_ED25519, signer("log seed").public.raw))
    rule = {"environment": "*", "tier": "*", "authorisation": False, "approvals": 0, "evaluation": False}
    created = {
        "ledgerid": LEDGERID,
        "origin": ORIGIN,
        "vkey": vkey,
        "roots": [keys.format_public_key(root.public)],
        "threshold": 1,
        "rules": {"name": "dev", "rules": [rule]},
    }
    enrolled = {"kind": "person", "roles": ["admin"], "key": keys.format_public_key(admin.public)}
    registered = {
        "digest": f"sha256:{sha256(b'loans')}",
        "description": "Loans of Zürich",
        "profile": {"ratio": {"max": 0.1, "min": 1e-7}},
    }
    return [
        envelopes.sign_payload(
            make_payload("ledger.created", "root", f"ledger:{LEDGERID}", created, number=1, sequence=1), [root]
        ),
        envelopes.sign_payload(
            make_payload("actor.enrolled", "root", "actor:p-7f3a", enrolled, number=2, sequence=2), [root, admin]
        ),
        envelopes.sign_payload(
            make_payload(
                "dataset.registered", "p-7f3a", "dataset:credit/loans@2026.1", registered, number=3, sequence=1
            ),
            [admin],
        ),
    ]


def make_envelope() -> dict[str, Any]:
    """Payloads and their envelopes."""
    result = []
    for envelope in make_genesis():
        data = envelopes.format_envelope(envelope)
        result.append(
            {
                "payload": envelope.payload.decode(),
                "payload_sha256": sha256(envelope.payload),
                "pae_hex": envelopes.pae(envelopes.PAYLOAD_TYPE, envelope.payload).hex(),
                "signatures": envelopes.format_signatures(envelope.signatures).decode(),
                "envelope": data.decode(),
                "envelope_sha256": sha256(data),
            }
        )
    return {"about": "DSSE; keys of keys.json; the payloads are events 0, 1 and 2 of a ledger", "envelopes": result}


def make_entries() -> list[entries.Entry]:
    """Entries of the fixed genesis, and one that needs escaping."""
    result: list[entries.Entry] = []
    prev = entries.ZERO_HASH
    for index, envelope in enumerate(make_genesis()):
        header = json.loads(envelope.payload)
        entry = entries.Entry(
            actor=names.parse_source(header["source"]),
            emitter=header["emitter"],
            envelope=sha256(envelopes.format_envelope(envelope)),
            id=header["id"],
            index=index,
            item=0,
            keys=tuple(signature.keyid for signature in envelope.signatures),
            ledgerid=LEDGERID,
            payload=sha256(envelope.payload),
            prev=prev,
            recorded_at=entries.parse_time(header["time"]) + 250_123,
            revision=1,
            sequence=int(header["sequence"]),
            stream=names.stream_of(header["subject"]),
            subject=header["subject"],
            type=header["type"],
        )
        prev = entries.entry_hash(entry).hex()
        result.append(entry)
    last = result[-1]
    strange = dataclasses.replace(
        last, id='quote " and \\ and /', index=2**53 - 1, recorded_at=entries.MAX_TIME, prev="f" * 64
    )
    return [*result, strange]


def make_entry() -> dict[str, Any]:
    """Columns, leaf preimages and leaf hashes."""
    result = []
    for entry in make_entries():
        columns = dataclasses.asdict(entry)
        result.append(
            {
                "columns": {**columns, "keys": list(entry.keys)},
                "preimage": entries.format_entry(entry).decode(),
                "leaf_hash": entries.entry_hash(entry).hex(),
            }
        )
    times = [0, 1, 999_999, 951_782_400_000_000, 1_795_420_800_123_456, entries.MAX_TIME]
    return {
        "about": "entry v1; the first three are a chain; recorded_at is in microseconds in the columns",
        "entries": result,
        "times": [{"us": us, "text": entries.format_time(us)} for us in times],
    }


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


FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "strictjson.json": make_strictjson,
    "names.json": make_names,
    "keys.json": make_keys,
    "envelope.json": make_envelope,
    "entry.json": make_entry,
    "merkle.json": make_merkle,
    "tiles.json": make_tiles,
    "checkpoint.json": make_checkpoint,
    "proof.json": make_proof,
    "successor.json": make_successor,
    "witness.json": make_witness,
}


def render(make: Callable[[], dict[str, Any]]) -> bytes:
    """Return the bytes of one vector file; ASCII, so that no editor changes what is in it."""
    return (json.dumps(make(), indent=1, ensure_ascii=True) + "\n").encode("ascii")


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: gen_vectors.py [--check]", file=sys.stderr)
        return 2
    bad = 0
    for name, make in FILES.items():
        path, data = VECTORS / name, render(make)
        if not arguments:
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            print(f"tests/vectors/{name} is not what this code makes; run tools/gen_vectors.py and look at the diff")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
