"""What test vectors are made of: fixed seeds, a small ledger and a tree in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

from ledger import entry as entries
from ledger import envelope as envelopes
from ledger import keys, merkle, names, strictjson
from ledger import note as notes

ORIGIN = "ledger.example/ml-governance"
LEDGERID = "6d756e696d656e742d766563746f7273"
EMITTERS = {"root": "019b0000-0000-7000-8000-0000000000e1", "p-7f3a": "019b0000-0000-7000-8000-0000000000e2"}


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
