"""The floor: what one emit cannot do without, as bare calls of the libraries in a straight line, with no code of ours.

It makes an event that Muniment would accept, and the row Muniment would store: the body is validated by pydantic's
core, the payload written and read as JSON, signed, hashed as payload, envelope and leaf, and stored in one durable
commit. It judges nothing, looks nothing up, keeps no states, serves no second thread and explains no error. Whatever
Muniment takes beyond this is its own; whatever this takes beyond a goal cannot be had from these libraries.
"""

from __future__ import annotations

import json
import os
import time
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from hashlib import sha256
from uuid import uuid4

from benchmarks.baselines import SQLITE_CONTENT, SQLITE_ENTRY, BareRow, BareSqlite, BareWriter
from benchmarks.events import Author, body, subject
from benchmarks.timing import T
from ledger.events.monitors import MonitorSignal
from ledger.keys import Ed25519Signer

_HEAD = "CREATE TABLE head (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, last_leaf BLOB NOT NULL) STRICT"
_SET_HEAD = "UPDATE head SET size = ?, last_leaf = ?"
_TIME = "2026-11-23T08:00:00.000000Z"

_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_loads = json.loads


class Floor:
    """One author who emits into a bare store.

    Args:
        bare: an empty baseline.
        author: who signs.
    """

    def __init__(self, bare: BareWriter, author: Author) -> None:
        self._bare = bare
        self._author = author
        self._signer = Ed25519Signer.from_seed(author.seed)
        self._emitter = str(uuid4())
        self._leaf, self._made = bytes(32), 0
        if isinstance(bare, BareSqlite):
            bare.connection.execute(_HEAD)
            bare.connection.execute("INSERT INTO head VALUES (1, 0, ?)", (self._leaf,))
            self._execute = bare.connection.execute
            self._store: Callable[[BareRow], None] = self._to_sqlite
        else:
            self._store = self._to_postgres

    def _make(self) -> BareRow:
        """The row of the next event: all that is done before the store is called."""
        number = self._made
        self._made += 1
        author, topic = self._author, MonitorSignal.TOPIC
        name, random = subject(number), os.urandom(32).hex()
        event_id = f"{random[:8]}-{random[8:12]}-7{random[13:16]}-8{random[17:20]}-{random[20:32]}"
        data = _dumps(body(number))
        MonitorSignal.__pydantic_validator__.validate_json(data)
        attributes = {
            "specversion": "1.0", "id": event_id, "source": f"urn:muniment:{author.actor}", "type": topic,
            "subject": name, "time": _TIME, "datacontenttype": "application/json",
            "dataschema": f"urn:muniment:schema:{topic}", "ledgerid": author.ledgerid, "nonce": random[32:],
            "emitter": self._emitter, "sequence": f"{number + 1:019d}", "evidencestrength": "observed",
        }  # fmt: skip
        payload = f'{{"data":{data},{_dumps(attributes)[1:]}'.encode()
        _loads(payload)
        message = b"DSSEv1 28 application/cloudevents+json %d %b" % (len(payload), payload)
        signature = b2a_base64(self._signer.private_key.sign(message), newline=False)
        keyid = self._signer.public.keyid
        signatures = b'[{"keyid":"%b","sig":"%b"}]' % (keyid.encode(), signature)
        envelope = sha256(b2a_base64(payload, newline=False) + signatures)
        digest, before = sha256(payload), self._leaf
        entry = _dumps(
            {
                "actor": author.actor, "emitter": self._emitter, "envelope": envelope.hexdigest(), "id": event_id,
                "index": number, "item": 0, "keys": [keyid], "ledgerid": author.ledgerid, "payload": digest.hexdigest(),
                "prev": before.hex(), "recorded_at": _TIME, "revision": number + 1, "sequence": number + 1,
                "stream": name, "subject": name, "type": topic, "v": 1,
            }
        ).encode()  # fmt: skip
        self._leaf = leaf = sha256(b"\0" + entry).digest()
        sha256(b"\1" + before + leaf).digest()  # a tree has one node a leaf
        header = (
            number + 1, name, number + 1, topic, author.actor, event_id, self._emitter, number + 1, name, 0, keyid,
            digest.digest(), envelope.digest(), before, 0, leaf,
        )  # fmt: skip
        return header, (number + 1, payload, signatures)

    def emit(self, _: object = None) -> tuple[bytes, bytes]:
        """Make the next event and store it durably.

        Returns:
            Its payload and its signatures.
        """
        row = self._make()
        self._store(row)
        return row[1][1], row[1][2]

    def _to_sqlite(self, row: BareRow) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._execute(SQLITE_ENTRY, row[0])
        self._execute(SQLITE_CONTENT, row[1])
        self._execute(_SET_HEAD, (row[0][0], row[0][15]))
        self._execute("COMMIT")

    def _to_postgres(self, row: BareRow) -> None:
        self._bare.insert_one(self._bare.prepare_one(row))


def cost_of(work: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Microseconds of this thread's processor time that ``work`` takes for an argument, on average."""
    started = time.thread_time_ns()
    for argument in arguments:
        work(argument)
    return (time.thread_time_ns() - started) / 1000 / len(arguments)
