"""Somebody who owns the store: no triggers, no constraints, any SQL, any arithmetic, and maybe the checkpoint key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from ledger.application import Ledger, Receipt
from ledger.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from ledger.emission import build_payload
from ledger.entry import entry_hash
from ledger.envelope import Envelope, format_envelope, parse_envelope, parse_signatures, sign_payload
from ledger.errors import LedgerError, VerificationError
from ledger.keys import PublicKey, Signer, parse_public_key
from ledger.note import parse_note
from ledger.payload import parse_payload
from ledger.recorders import open_recorder
from ledger.trust import Trust
from ledger.verify import Anchor, Finding, LogVerification, verify_log
from tests.attacks.oracle import Row
from tests.contract.support import (
    HEADER,
    MODEL,
    TABLES,
    Cast,
    Raw,
    digest,
    entries,
    entry_of,
    life_of_a_model,
    make_cast,
    peaks,
    tiles,
)
from tests.unit.reference_merkle import mth

#: Where each table's rows are looked up.
KEYS = {
    "log": "id",
    "entry": "position",
    "content": "position",
    "head": "id",
    "checkpoint": "size",
    "signed_head": "id",
    "attestation": "number",
}


def remember_pure_results(patch: pytest.MonkeyPatch) -> None:
    """Parse and hash a row that is byte for byte the same only once, and check a signature over the same bytes once.

    What is remembered is the result of pure functions of exactly these bytes, so a changed row is read and checked in
    full. Errors are never remembered.
    """
    import ledger.replay

    patch.setattr("ledger.replay.open_row", lru_cache(maxsize=4096)(ledger.replay.open_row))
    patch.setattr("ledger.auditpass.entry_hash", lru_cache(maxsize=4096)(entry_hash))
    for module in ("signing", "enrolment", "actors", "evolution"):
        patch.setattr(f"ledger.domain.{module}.parse_public_key", lru_cache(maxsize=256)(parse_public_key))
    patch.setattr(PublicKey, "verify", lru_cache(maxsize=4096)(PublicKey.verify))


@dataclass(frozen=True)
class Seen:
    """What a verification said first; ``refused`` when it ended before it could say what is wrong."""

    fault: str
    index: int | None
    message: str
    sizes: tuple[int, int] | None = None

    @classmethod
    def of(cls, found: Finding | LedgerError) -> Seen:
        """From a finding, or from the error that ended it."""
        if isinstance(found, Finding):
            return cls(str(found.fault), found.index, found.message, found.sizes)
        return cls(str(found.fault) if isinstance(found, VerificationError) else "refused", None, found.message)


class Victim:
    """A store in the hands of its owner; each trial is rolled back.

    Its tables have lost every trigger, key and check, so that any change can be made. On SQLite verification would say
    so and stop; here it is told that the tables are ours, because what it finds in the rows is what is being tried.

    Args:
        url: the store.
        trust: what verifiers trust.
        anchors: what they remember.
    """

    def __init__(self, url: str, trust: Trust, anchors: Sequence[Anchor]) -> None:
        self.trust, self.anchors = trust, tuple(anchors)
        self.recorder = open_recorder(url)
        self.sqlite = url.startswith("sqlite:")
        self._connection: Any = self.recorder.store.connect()  # type: ignore[attr-defined]
        self._prefix = "" if self.sqlite else f"{self.recorder.store.schema}."  # type: ignore[attr-defined]
        self._lower_every_guard()
        # A trial is one open transaction, in which no snapshot can be begun.
        self.recorder.snapshot = nullcontext
        self.recorder.structure_faults = lambda **_: []  # type: ignore[method-assign]

    def run(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Raw.run`."""
        text = text.replace("$", self._prefix)
        if self.sqlite:
            return self._connection.execute(text, tuple(parameters)).fetchall()
        cursor = self._connection.execute(text.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def _lower_every_guard(self) -> None:
        if self.sqlite:
            self.run("PRAGMA legacy_alter_table = ON")  # or a trigger that names the table forbids it
            for table in TABLES:  # no trigger, no key, no check, no type survives this
                self.run(f"CREATE TABLE loose AS SELECT * FROM {table}")
                self.run(f"DROP TABLE {table}")
                self.run(f"ALTER TABLE loose RENAME TO {table}")
            return
        for table in TABLES:
            self.run(f"ALTER TABLE ${table} DISABLE TRIGGER USER")
            constraints = self.run(
                "SELECT conname FROM pg_constraint WHERE conrelid = ?::regclass AND contype IN ('p', 'u', 'c')",
                (f"{self._prefix}{table}",),
            )
            for (name,) in constraints:
                self.run(f"ALTER TABLE ${table} DROP CONSTRAINT {name}")

    @contextmanager
    def trial(self) -> Iterator[None]:
        """What happens inside is undone afterwards."""
        if not self.sqlite:
            with self._connection.transaction(force_rollback=True):
                yield
            return
        self.run("SAVEPOINT trial")
        try:
            yield
        finally:
            self.run("ROLLBACK TO trial")
            self.run("RELEASE trial")

    def verify(self, anchors: Sequence[Anchor] | None = None, trust: Trust | None = None) -> LogVerification:
        """Verify as a process that has just opened the store."""
        self.recorder._identity = None
        return verify_log(self.recorder, trust or self.trust, self.anchors if anchors is None else anchors)

    def findings(self) -> tuple[list[Finding], bool]:
        """What verification finds, and whether it ended with an error instead."""
        try:
            return self.verify().findings, False
        except LedgerError:
            return [], True

    def first(self, what: str, anchors: Sequence[Anchor] | None = None) -> Seen:
        """The first finding, which must be there."""
        try:
            report = self.verify(anchors)
        except LedgerError as error:
            return Seen.of(error)
        assert not report.ok, f"not found: {what}"
        return Seen.of(report.findings[0])

    def columns(self, table: str) -> list[str]:
        if self.sqlite:
            return [name for _, name, *_ in self.run(f"PRAGMA table_info({table})")]
        cursor = self._connection.execute(f"SELECT * FROM {self._prefix}{table} LIMIT 0".encode())
        return [column.name for column in cursor.description]


@contextmanager
def victim(cast: Cast, anchors: Sequence[Anchor]) -> Iterator[Victim]:
    """Open `Victim` on a cast's store."""
    cast.recorder.close()
    found = Victim(cast.url, cast.new.trust, anchors)
    try:
        yield found
    finally:
        found.recorder.close()


# -- small changes ---------------------------------------------------------------------------------


def changed_integer(value: int) -> Iterator[int]:
    """One more, and a bit flipped."""
    yield value + 1
    yield value ^ 4


def changed_bytes(value: bytes, *, text: bool) -> Iterator[bytes]:
    """Every byte flipped in one way: in texts to another ASCII character."""
    for place in range(len(value)):
        bit = 1 if text else 1 << place % 8
        yield value[:place] + bytes([value[place] ^ bit]) + value[place + 1 :]


def changed(value: Any) -> Iterator[Any]:
    """All small changes of one column's value."""
    match value:
        case int():
            yield from changed_integer(value)
        case str():
            yield from (other.decode() for other in changed_bytes(value.encode(), text=True))
        case bytes():
            yield from changed_bytes(value, text=False)
        case _:
            raise TypeError(type(value))


def other_nonce(payload: bytes) -> bytes:
    """Another nonce: it means nothing, and is signed all the same."""
    place = payload.index(b'"nonce":"') + 9
    return payload[:place] + (b"1" if payload[place : place + 1] == b"0" else b"0") + payload[place + 1 :]


def seen(store: Victim, what: object, row: Row, place: int | None) -> None:
    """What was done must be found as the oracle says."""
    findings, ended = store.findings()
    wrong = row.judge(findings, place, ended=ended)
    assert not wrong, f"{what}: {wrong}: {findings}"


# -- large changes: everything made to fit again ---------------------------------------------------


class Forger:
    """Rewrites a log and makes everything fit again that can be made to fit without the authors' keys.

    Args:
        store: its store, a `Victim` or a `Raw`.
    """

    def __init__(self, store: Victim | Raw) -> None:
        self.store = store
        ((self.ledgerid, self.origin),) = store.run("SELECT ledgerid, origin FROM $log")
        self.rows = entries(store)  # type: ignore[arg-type]
        self.forced: dict[int, dict[str, Any]] = {}  # columns that are not computed but set, by index
        contents = {position: (bytes(p), bytes(s)) for position, p, s in store.run("SELECT * FROM $content")}
        for row in self.rows:
            row["content"], row["signatures"] = contents[row["position"]]

    def rehash(self) -> list[bytes]:
        """Positions, revisions, digests, the chain: all computed again from the contents."""
        leaves: list[bytes] = []
        revisions: dict[str, int] = {}
        for place, row in enumerate(self.rows):
            row["position"] = place + 1
            row["revision"] = revisions[row["stream"]] = revisions.get(row["stream"], 0) + 1
            envelope = Envelope(row["content"], parse_signatures(row["signatures"]))
            row["payload"] = hashlib.sha256(row["content"]).digest()
            row["envelope"] = hashlib.sha256(format_envelope(envelope)).digest()
            row["keys"] = ",".join(signature.keyid for signature in envelope.signatures)
            row["prev"] = leaves[-1] if leaves else bytes(32)
            row.update(self.forced.get(place, {}))
            row["leaf_hash"] = hashlib.sha256(b"\0" + entry_of(row, self.ledgerid)).digest()
            leaves.append(row["leaf_hash"])
        return leaves

    def write(self, checkpoint_key: Signer | None = None, *, keep_checkpoints: bool = True) -> None:
        """Write the log back, with its tiles and head, and its checkpoints when their key is at hand."""
        leaves, run = self.rehash(), self.store.run
        for table in ("entry", "content", "tile"):
            run(f"DELETE FROM ${table}")
        for row in self.rows:
            marks = ", ".join("?" for _ in HEADER)
            run(f"INSERT INTO $entry ({', '.join(HEADER)}) VALUES ({marks})", [row[name] for name in HEADER])
            run("INSERT INTO $content VALUES (?, ?, ?)", (row["position"], row["content"], row["signatures"]))
        for (level, index), (hashes, root) in tiles(leaves).items():
            run("INSERT INTO $tile VALUES (?, ?, ?, ?)", (level, index, hashes, root))
        authority = [r["position"] - 1 for r in self.rows if r["type"].split(".")[1] in ("ledger", "actor", "key")]
        head = (
            len(leaves), leaves[-1] if leaves else bytes(32), peaks(leaves),
            self.rows[-1]["recorded_at"] if leaves else 0, authority[-1] if authority else -1,
        )  # fmt: skip
        run("UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = ?", head)
        if not keep_checkpoints:
            run("DELETE FROM $checkpoint WHERE size > ?", (len(leaves),))
        if checkpoint_key is not None:
            sizes = [size for (size,) in run("SELECT size FROM $checkpoint ORDER BY size")]
            run("DELETE FROM $checkpoint")
            for size in {min(size, len(leaves)) for size in sizes}:
                note = sign_checkpoint(Checkpoint(self.origin, size, mth(leaves[:size])), checkpoint_key)
                run("INSERT INTO $checkpoint VALUES (?, ?)", (size, note))
        for size, note in run("SELECT size, note FROM $checkpoint ORDER BY size DESC LIMIT 1"):
            root = parse_checkpoint(parse_note(bytes(note)).text).root
            run("UPDATE $signed_head SET size = ?, root = ?", (size, root))

    def alter(self, index: int, change: Callable[[bytes], bytes]) -> None:
        """Change a payload and leave its signature."""
        before = self.rows[index]["content"]
        self.rows[index]["content"] = change(before)
        assert self.rows[index]["content"] != before

    def add(self, envelope: bytes, place: int | None = None) -> int:
        """Put in an event as appending would have, had it been legal; returns its index."""
        parsed = parse_envelope(envelope)
        payload = parse_payload(parsed.payload)
        place = len(self.rows) if place is None else place
        row: Mapping[str, Any] = {
            "stream": payload.subject.partition("@")[0],
            "type": payload.type,
            "actor": payload.actor,
            "id": payload.id,
            "emitter": payload.emitter,
            "sequence": payload.sequence,
            "subject": payload.subject,
            "item": 0,
            "recorded_at": self.rows[max(place - 1, 0)]["recorded_at"],
            "content": parsed.payload,
            "signatures": envelope[envelope.index(b'"signatures":') + 13 : -1],
        }
        self.rows.insert(place, dict(row))
        return place


# -- the victim ------------------------------------------------------------------------------------


def sixteen(url: str) -> tuple[Cast, dict[str, int]]:
    """A ledger of sixteen entries: a model's whole life, signed heads of sizes 2, 12 and 16."""
    cast = make_cast(url)
    steps = life_of_a_model(cast)
    steps["note"] = cast.admin.emit("incident.noted", "incident:1", note="looking into it").index
    cast.admin.checkpoint()
    assert [item.size for item in cast.recorder.checkpoints(-1, 10)] == [2, 12, 16]
    return cast, steps


def remembered(cast: Cast) -> Anchor:
    """The last signed head, as somebody else keeps it."""
    note = cast.recorder.last_checkpoint()
    assert note is not None
    return Anchor("remembered", verify_checkpoint(note.note, cast.new.trust.vkeys))


# -- what cannot be appended and can be put in ---------------------------------------------------------


def self_approval(cast: Cast, request: str) -> bytes:
    """Signed by an enrolled approver, about their own request."""
    payload, _ = build_payload(
        ledgerid=cast.admin.ledgerid,
        actor="p-admin",
        type="approval.granted",
        subject=MODEL,
        data={"environment": "prod", "digest": digest(MODEL), "request": request, "rationale": "I trust myself"},
        emitter="0189aaaa-0000-7000-8000-000000000001",
        sequence=1,
    )
    return format_envelope(sign_payload(payload, [cast.keys["p-admin"]]))


def acknowledge(ledger: Ledger, index: int, reason: str) -> Receipt:
    """Say that an entry was seen, as it stands in the store."""
    leaf = (ledger.recorder.leaf_hashes(index, index + 1) or [bytes(32)])[0].hex()
    subject = f"ledger:{ledger.ledgerid}"
    return ledger.emit("ledger.entry_acknowledged", subject, index=index, leaf_hash=leaf, reason=reason)
