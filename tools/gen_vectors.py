"""Write the test vectors in tests/vectors, or check that the committed ones are what this code makes.

    python tools/gen_vectors.py            write them
    python tools/gen_vectors.py --check    exit 1 and say which file differs

Everything is derived from fixed seeds: the files are the same on every machine. What they hold is the format: look at
the diff before committing one that changed.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from head_vectors import make_checkpoint, make_merkle, make_proof, make_successor, make_tiles, make_witness  # noqa: E402
from vector_material import LEDGERID, ORIGIN, make_entries, make_genesis, seed, sha256, signer  # noqa: E402
from writing import write_files  # noqa: E402

from ledger import entry as entries  # noqa: E402
from ledger import envelope as envelopes  # noqa: E402
from ledger import keys, names, strictjson  # noqa: E402
from ledger import note as notes  # noqa: E402
from ledger.errors import InputError  # noqa: E402

VECTORS = ROOT / "tests" / "vectors"


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


def vectors() -> dict[str, bytes]:
    """The bytes of every file by its name; ASCII, so that no editor changes what is in it."""
    return {
        name: (json.dumps(make(), indent=1, ensure_ascii=True) + "\n").encode("ascii") for name, make in FILES.items()
    }


if __name__ == "__main__":
    sys.exit(write_files(VECTORS, vectors(), "gen_vectors.py", (__doc__ or "").splitlines()[0]))
