"""Reproduce every hash and every byte of the test vectors with the standard library alone.

    python tests/vectors/reproduce.py

Nothing of Muniment is imported: this is docs/FORMAT.md once more, written the slow and literal way, so that agreement
means something. Signatures are not made here; every byte they cover and every key id is. One line per file; exit 1 when
anything differs.
"""

import base64
import hashlib
import json
import re
import struct
import sys
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
LABELS = ("log seed", "root seed", "admin seed", "witness seed")


class MismatchError(Exception):
    """A vector is not what this script computes."""


def same(what, ours, theirs):
    """Compare; say where it differs."""
    if ours != theirs:
        raise MismatchError(f"{what}: computed {ours!r:.200}, the file says {theirs!r:.200}")


def load(name):
    """Read a vector file."""
    return json.loads((HERE / name).read_text(encoding="ascii"))


def sha256(data):
    """SHA-256, raw."""
    return hashlib.sha256(data).digest()


def b64(data):
    """Padded standard base64 as text."""
    return base64.b64encode(data).decode()


# RFC 6962 2.1, recursive as it stands there.


def split(n):
    """Largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves):
    """Root hash of leaf hashes."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m, leaves):
    """Inclusion proof."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, known):
    """Consistency proof."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def plain_entry(number):
    """Entry of the tree vectors."""
    return b'{"seq":%d,"type":"model.registered","model":"m%d"}' % (number, number % 7)


@lru_cache(maxsize=1)
def plain_leaves():
    """Leaf hashes of the tree vectors."""
    return [sha256(b"\x00" + plain_entry(number)) for number in range(70_000)]


# The files, one function each.


def es_number(number):
    """Spell a double as ECMAScript does, from the digits of Python's repr."""
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, exponent = f"{abs(number):e}".split("e")
    for precision in range(17):  # the fewest digits that give the same double
        digits, exponent = f"{abs(number):.{precision}e}".split("e")
        if float(f"{digits}e{exponent}") == abs(number):
            break
    digits, n = digits.replace(".", ""), int(exponent) + 1
    if len(digits) <= n <= 21:
        return sign + digits + "0" * (n - len(digits))
    if 0 < n <= 21:
        return f"{sign}{digits[:n]}.{digits[n:]}"
    if -6 < n <= 0:
        return f"{sign}0.{'0' * -n}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if n > 0 else '-'}{abs(n - 1)}"


def canonical(value):
    """RFC 8785."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, float):
        return es_number(value)
    return json.dumps(value, ensure_ascii=False)


def check_strictjson(vectors):
    """Canonical forms and numbers."""
    for case in vectors["good"]:
        same("canonical", canonical(json.loads(case["text"])), case["canonical"])
    for case in vectors["numbers"]:
        number = struct.unpack(">d", bytes.fromhex(case["ieee754"]))[0]
        refused = 2**53 <= abs(number) < 1e21
        same("number", None if refused else es_number(number), case["json"])
    return len(vectors["good"]) + len(vectors["numbers"])


def check_names(vectors):
    """The grammar."""
    part = "[A-Za-z0-9][A-Za-z0-9._+-]*"
    grammar = re.compile(
        f"(?P<kind>[a-z][a-z0-9-]{{0,31}}):((?P<namespace>{part})/)?(?P<name>{part})(@(?P<version>{part}))?"
    )
    for case in vectors["good"]:
        match = grammar.fullmatch(case["text"])
        same(case["text"], match and match.groupdict(), {key: case[key] for key in grammar.groupindex})
        same("stream", case["text"].split("@")[0], case["stream"])
    for text in vectors["bad"]:
        same(repr(text), bool(grammar.fullmatch(text)) and len(text.encode()) <= 200, False)
    actor = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
    same("actors", [text for text in vectors["actors_good"] if not actor.fullmatch(text)], [])
    same("actors", [text for text in vectors["actors_bad"] if actor.fullmatch(text)], [])
    return len(vectors["good"]) + len(vectors["bad"])


def key_hash(name, kind, raw):
    """C2SP signed-note key ID."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + raw)[:4]


def vkey(name, kind, raw):
    """C2SP signed-note verifier key."""
    return f"{name}+{key_hash(name, kind, raw).hex()}+{b64(bytes([kind]) + raw)}"


def check_keys(vectors):
    """Key ids; the public keys themselves are taken from the file."""
    same("labels", tuple(key["label"] for key in vectors["keys"]), LABELS)
    for key in vectors["keys"]:
        raw = bytes.fromhex(key["raw"])
        same("seed", sha256(key["label"].encode()).hex(), key["seed"])
        same("text", "ed25519:" + b64(raw), key["text"])
        same("keyid", sha256(raw).hex(), key["keyid"])
        for kind, text in key["vkeys"].items():
            same("vkey", vkey("ledger.example/ml-governance", int(kind), raw), text)
    return len(vectors["keys"])


def keyid(label):
    """Keyid of a label of keys.json."""
    raw = next(key["raw"] for key in load("keys.json")["keys"] if key["label"] == label)
    return sha256(bytes.fromhex(raw)).hex()


def check_envelope(vectors):
    """PAE, digests, and the only form of an envelope."""
    kind = "application/cloudevents+json"
    signers = [("root seed",), ("root seed", "admin seed"), ("admin seed",)]
    for case, labels in zip(vectors["envelopes"], signers, strict=True):
        payload = case["payload"].encode()
        same("payload", canonical(json.loads(payload)), case["payload"])
        same("payload_sha256", sha256(payload).hex(), case["payload_sha256"])
        pae = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        same("pae", pae.hex(), case["pae_hex"])
        signatures = json.loads(case["signatures"])
        same("keyids", [item["keyid"] for item in signatures], sorted(keyid(label) for label in labels))
        envelope = {"payload": b64(payload), "payloadType": kind, "signatures": signatures}
        same("envelope", json.dumps(envelope, separators=(",", ":")), case["envelope"])
        same("signatures", json.dumps(signatures, separators=(",", ":")), case["signatures"])
        same("envelope_sha256", sha256(case["envelope"].encode()).hex(), case["envelope_sha256"])
    return len(vectors["envelopes"])


def format_time(us):
    """Microseconds since 1970 to text."""
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)  # noqa: UP017
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"


def check_entry(vectors):
    """Columns to preimage to leaf hash, the chain, and the link to payload and envelope."""
    for case in vectors["times"]:
        same("time", format_time(case["us"]), case["text"])
    prev = "0" * 64
    envelopes = load("envelope.json")["envelopes"]
    for number, case in enumerate(vectors["entries"]):
        columns = case["columns"]
        members = {**columns, "recorded_at": format_time(columns["recorded_at"]), "v": 1}
        preimage = json.dumps(members, sort_keys=True, separators=(",", ":"))
        same("preimage", preimage, case["preimage"])
        leaf = sha256(b"\x00" + preimage.encode()).hex()
        same("leaf_hash", leaf, case["leaf_hash"])
        if number < len(envelopes):
            same("prev", prev, columns["prev"])
            same("index", number, columns["index"])
            same("payload", envelopes[number]["payload_sha256"], columns["payload"])
            same("envelope", envelopes[number]["envelope_sha256"], columns["envelope"])
            header = json.loads(envelopes[number]["payload"])
            for name in ("id", "type", "subject", "ledgerid", "emitter"):
                same(name, header[name], columns[name])
            same("actor", header["source"], "urn:muniment:" + columns["actor"])
            same("sequence", header["sequence"], f"{columns['sequence']:019d}")
            same("stream", header["subject"].split("@")[0], columns["stream"])
            prev = leaf
    return len(vectors["entries"])


def check_merkle(vectors):
    """Leaf hashes, roots and all proofs."""
    leaves = plain_leaves()
    same("leaf_hashes", [leaf.hex() for leaf in leaves[:12]], vectors["leaf_hashes"])
    for size, root in vectors["roots"].items():
        same(f"root of {size}", mth(leaves[: int(size)]).hex(), root)
    sizes = range(13)
    inclusion = [
        {"index": index, "size": size, "proof": [item.hex() for item in path(index, leaves[:size])]}
        for size in sizes
        for index in range(size)
    ]
    same("inclusion", inclusion, vectors["inclusion"])
    consistency = [
        {"old": old, "new": new, "proof": [item.hex() for item in subproof(old, leaves[:new], True)] if old else []}
        for new in sizes
        for old in range(new + 1)
    ]
    same("consistency", consistency, vectors["consistency"])
    return len(vectors["roots"]) + len(inclusion) + len(consistency)


def tile_path(kind, index, width):
    """C2SP tlog-tiles path."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{name}" + (f".p/{width}" if width < 256 else "")


def check_tiles(vectors):
    """Paths, bundles and tiles."""
    for case in vectors["paths"]:
        same("path", tile_path(case["level"], case["index"], case["width"]), case["path"])
    bundle = [bytes.fromhex(text) for text in vectors["bundle"]["entries"]]
    same("bundle", b"".join(struct.pack(">H", len(entry)) + entry for entry in bundle).hex(), vectors["bundle"]["hex"])
    leaves = plain_leaves()
    for tree in vectors["trees"]:
        size, count, found = tree["size"], 0, []
        hashes, level = leaves[:size], 0
        while hashes:  # every level: the roots of whole groups of 256 of the level below
            tiles = [hashes[at : at + 256] for at in range(0, len(hashes), 256)]
            last = {
                "path": tile_path(level, len(tiles) - 1, len(tiles[-1])),
                "sha256": sha256(b"".join(tiles[-1])).hex(),
            }
            found.append(last)
            count += len(tiles)
            hashes, level = [mth(tile) for tile in tiles if len(tile) == 256], level + 1
        same(f"tiles of {size}", found, tree["last_tiles"])
        same(f"number of tiles of {size}", count, tree["count"])
        first = (size - 1) // 256 * 256
        entries = [plain_entry(number) for number in range(first, size)]
        data = b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)
        bundle_name = tile_path("entries", first // 256, len(entries))
        same(f"bundle of {size}", {"path": bundle_name, "sha256": sha256(data).hex()}, tree["last_bundle"])
    return len(vectors["paths"]) + len(vectors["trees"])


def note_lines(note, text):
    """Split a note whose text is known into (name, key ID, rest) of its lines."""
    same("text of the note", note[: len(text) + 1], text + "\n")
    result = []
    for line in note[len(text) + 1 :].splitlines():
        dash, name, blob = line.split(" ")
        same("dash", dash, "\u2014")
        data = base64.b64decode(blob)
        result.append((name, data[:4], data[4:]))
    return result


def check_checkpoint(vectors):
    """Texts, key IDs and the form of the notes."""
    raw = {key["label"]: bytes.fromhex(key["raw"]) for key in load("keys.json")["keys"]}
    origin = vectors["origin"]
    same("vkey", vkey(origin, 1, raw["log seed"]), vectors["vkey"])
    same("witness_vkey", vkey("witness.example/w1", 4, raw["witness seed"]), vectors["witness_vkey"])
    name, _, key = vectors["foreign_vkey"].split("+", 2)
    foreign = base64.b64decode(key)
    same("foreign_vkey", vkey(name, foreign[0], foreign[1:]), vectors["foreign_vkey"])
    lines = note_lines(vectors["foreign_note"], "This is an example message.\n")
    same("foreign key ID", lines[0][:2], (name, key_hash(name, foreign[0], foreign[1:])))
    for case in vectors["checkpoints"]:
        size = case["size"]
        text = f"{origin}\n{size}\n{b64(mth(plain_leaves()[:size]))}\n"
        same("text", text, case["text"])
        lines = note_lines(case["cosigned_note"], text)
        same("log line", note_lines(case["note"], text), lines[:1])
        same("log key ID", lines[0][:2], (origin, key_hash(origin, 1, raw["log seed"])))
        same("signature length", len(lines[0][2]), 64)
        witness = "witness.example/w1"
        same("witness key ID", lines[1][:2], (witness, key_hash(witness, 4, raw["witness seed"])))
        same("cosignature", (len(lines[1][2]), lines[1][2][:8]), (72, struct.pack(">Q", vectors["cosignature_time"])))
    return len(vectors["checkpoints"])


def check_proof(vectors):
    """Proof files."""
    preimages = [case["preimage"] for case in load("entry.json")["entries"][:3]]
    leaves = [sha256(b"\x00" + text.encode()) for text in preimages]
    same("root", mth(leaves).hex(), vectors["root"])
    for index, case in enumerate(vectors["proofs"]):
        same("entry", preimages[index], case["entry"])
        lines = ["c2sp.org/tlog-proof@v1"]
        lines += ["extra " + b64(b"not proven")] if index else []
        lines += [f"index {index}", *map(b64, path(index, leaves)), "", ""]
        head = "\n".join(lines)
        same("proof", case["file"][: len(head)], head)
        text = f"ledger.example/ml-governance\n3\n{b64(mth(leaves))}\n"
        same("signatures", len(note_lines(case["file"][len(head) :], text)), 1)
    return len(vectors["proofs"])


def check_successor(vectors):
    """The seven lines of a successor note, and whose key it names."""
    raw = {key["label"]: bytes.fromhex(key["raw"]) for key in load("keys.json")["keys"]}
    origin, ledgerid, size = (vectors[name] for name in ("origin", "ledgerid", "size"))
    lines = ["muniment successor v1", f"origin {origin}", f"ledgerid {ledgerid}", f"size {size}"]
    lines += [f"root {b64(mth(plain_leaves()[:size]))}", f"copy {vectors['copy']}", f"store {vectors['store']}", ""]
    same("text", "\n".join(lines), vectors["text"])
    ((name, key_id, signature),) = note_lines(vectors["note"], vectors["text"])
    same("log key ID", (name, key_id), (origin, key_hash(origin, 1, raw["log seed"])))
    same("signature length", len(signature), 64)
    return 1


def consistency(old, leaves, whole=True):
    """RFC 6962 2.1.2, SUBPROOF, literally."""
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*consistency(old, leaves[:split], whole), mth(leaves[split:])]
    return [*consistency(old - split, leaves[split:], whole=False), mth(leaves[:split])]


def check_witness(vectors):
    """A request to a witness, its answers, the row a store keeps, and a policy."""
    notes = {case["size"]: case for case in load("checkpoint.json")["checkpoints"]}
    old, known = vectors["old"], notes[7]
    origin = load("checkpoint.json")["origin"]
    proof = [b64(item) for item in consistency(old, plain_leaves()[:7])]
    same("request", "\n".join([f"old {old}", *proof, "", known["note"]]), vectors["request"])
    same("answer", known["cosigned_note"], known["note"] + vectors["answer"])
    same("conflict", f"{old}\n", vectors["conflict"])
    same("monitoring", sha256(origin.encode()).hex() + "/checkpoint", vectors["monitoring"])
    same("issuer", load("checkpoint.json")["witness_vkey"], vectors["issuer"])
    same("body", vectors["answer"], vectors["body"] + "\n")
    words = [line.split() for line in vectors["policy"].splitlines() if not line.startswith("#")]
    (group,) = [rest for kind, *rest in words if kind == "group"]
    same("quorum", [rest for kind, *rest in words if kind == "quorum"], [[group[0]]])
    same("witnesses", [rest[0] for kind, *rest in words if kind == "witness"], group[2:])
    for case in vectors["quorum"]:
        same("met", len(set(group[2:]) & set(case["cosigned"])) >= int(group[1]), case["met"])
    return len(vectors["quorum"]) + 6


CHECKS = {
    "strictjson.json": check_strictjson,
    "names.json": check_names,
    "keys.json": check_keys,
    "envelope.json": check_envelope,
    "entry.json": check_entry,
    "merkle.json": check_merkle,
    "tiles.json": check_tiles,
    "checkpoint.json": check_checkpoint,
    "proof.json": check_proof,
    "successor.json": check_successor,
    "witness.json": check_witness,
}


def main():
    """Check every file; return the exit code."""
    bad = 0
    for name, check in CHECKS.items():
        try:
            line = f"ok   {name}: {check(load(name))} vectors"
        except (MismatchError, KeyError, ValueError, TypeError, IndexError, OSError) as error:
            line, bad = f"BAD  {name}: {type(error).__name__}: {error}", 1
        sys.stdout.write(line + "\n")
    unknown = {path.name for path in HERE.glob("*.json")} - set(CHECKS)
    if unknown:
        sys.stdout.write(f"BAD  not checked: {', '.join(sorted(unknown))}\n")
    return 1 if bad or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
