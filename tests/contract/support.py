"""What the contract tests share: a cast of actors, eyes on the store that are not ours, and bulk events."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import apsw
import psycopg

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.creation import NewLedger, create_ledger, enrol_actor
from ledger.envelope import Signature, format_signatures, join_envelope
from ledger.events.ledgers import RuleSet
from ledger.keys import Ed25519Signer
from ledger.mapper import SignedStoredEvent
from ledger.recorders.postgres_url import split_schema
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.recorders.units import Unit
from tests.unit.reference_merkle import mth

ORIGIN = "ledger.example/contract"
TABLES = (
    "log",
    "entry",
    "content",
    "head",
    "tile",
    "checkpoint",
    "successor",
    "transfer",
    "signed_head",
    "attestation",
)
MODEL = "model:credit/scoring@1"
PROD = "deployment:prod/scoring"


def digest(text: str) -> str:
    """A digest in our notation."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def seeded_key(seed: int) -> Ed25519Signer:
    """The same key for the same number, so that another process can sign too."""
    return Ed25519Signer.from_seed(hashlib.sha256(b"contract %d" % seed).digest())


# -- a ledger with people in it --------------------------------------------------------------------

#: Actor id: (kind, roles, responsible person).
ACTORS: Mapping[str, tuple[str, tuple[str, ...], str | None]] = {
    "p-author": ("person", ("owner", "emitter"), None),
    "trainer": ("service", ("emitter",), "p-author"),
    "p-approver": ("person", ("approver", "validator"), None),
    "p-deployer": ("person", ("deployer",), None),
}


@dataclass
class Cast:
    """A ledger and its actors, each with an open `Ledger` over the one recorder."""

    url: str
    new: NewLedger
    keys: dict[str, Ed25519Signer] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    @property
    def recorder(self) -> SqlRecorder:
        return self.new.ledger.recorder

    @property
    def admin(self) -> Ledger:
        return self.new.ledger

    @property
    def root(self) -> Ledger:
        return Ledger(self.recorder, actor="root", signers=[self.new.root])

    def enrol(
        self, actor: str, kind: str, roles: Sequence[str], responsible: str | None = None, seed: int = 0
    ) -> Ledger:
        key = seeded_key(seed) if seed else Ed25519Signer.generate()
        enrol_actor(self.admin, actor, key, kind=kind, roles=roles, responsible=responsible)
        self.keys[actor] = key
        self.ledgers[actor] = Ledger(self.recorder, actor=actor, signers=[key])
        return self.ledgers[actor]

    def cites(self) -> list[dict[str, Any]]:
        """All that is recorded, as a decision cites it."""
        rows = self.recorder.rows(0, 250)
        return [{"index": row.entry.index, "leaf_hash": row.leaf_hash.hex()} for row in rows]

    def __getitem__(self, actor: str) -> Ledger:
        return self.ledgers[actor]


def make_cast(url: str, *, actors: Sequence[str] = tuple(ACTORS), rules: RuleSet | None = None, **options: Any) -> Cast:
    """Create a ledger at ``url`` and enrol some of `ACTORS`."""
    if rules is not None:
        options["rules"] = rules
    cast = Cast(url, create_ledger(url, ORIGIN, admin="p-admin", **options))
    cast.ledgers["p-admin"], cast.keys["p-admin"] = cast.new.ledger, cast.new.admin_key
    for actor in actors:
        kind, roles, responsible = ACTORS[actor]
        cast.enrol(actor, kind, roles, responsible)
    return cast


def register(cast: Cast, model: str = MODEL, *, tier: str = "high", passed: bool = True) -> None:
    """A data set, a run, a version and, when asked for, an evaluation it passed."""
    name = model.replace("/", "-").replace("@", "-").partition(":")[2]
    run = f"run:{name}"
    cast["trainer"].emit("dataset.registered", f"dataset:{name}@1", digest=digest(f"data {model}"), row_count=3)
    cast["trainer"].emit("run.completed", run, metrics={"auc": 0.91})
    cast["trainer"].emit("version.registered", model, digest=digest(model), owner="p-author", tier=tier, run=run)
    if passed:
        cast["trainer"].emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass", digest=digest(model))


def approved(cast: Cast, model: str = MODEL, environment: str = "prod") -> Receipt:
    """`register`, then request and approve."""
    register(cast, model)
    commands.request_approval(cast["p-author"], model, environment, reason="ready")
    return commands.approve(cast["p-approver"], model, environment, rationale="measured and fit")


def life_of_a_model(cast: Cast) -> dict[str, int]:
    """The whole life of one version with an incident, its head signed after the approval.

    Returns:
        The index of each later step by name.
    """
    found = {"approval": approved(cast).index}
    cast.admin.checkpoint()
    found["authorisation"] = commands.authorise(cast["p-deployer"], PROD, MODEL, reason="release").index
    found["deployment"] = commands.record_deployment(cast["p-deployer"], PROD, MODEL).index
    found["incident"] = (
        cast["p-author"].emit("incident.opened", "incident:1", title="scores drift", deployment=PROD).index
    )
    return found


# -- the store, seen by somebody else --------------------------------------------------------------


class Raw:
    """Plain SQL on a store, past every rule of ours: ``?`` for parameters, ``$table`` for tables."""

    def __init__(self, url: str) -> None:
        self.sqlite = url.startswith("sqlite:")
        self._apsw: apsw.Connection | None = None
        self._psycopg: psycopg.Connection | None = None
        if self.sqlite:
            self._prefix = ""
            self._apsw = apsw.Connection(unquote(urlsplit(url).path)[1:], flags=apsw.SQLITE_OPEN_READWRITE)
            self._apsw.set_busy_timeout(30_000)
        else:
            dsn, schema = split_schema(url)
            self._prefix = f"{schema}."
            self._psycopg = psycopg.connect(dsn, autocommit=True)

    def run(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        text = text.replace("$", self._prefix)
        if self._apsw is not None:
            return self._apsw.execute(text, tuple(parameters)).fetchall()
        assert self._psycopg is not None
        cursor = self._psycopg.execute(text.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def run_as_it_is(self, text: str) -> None:
        """Run a statement of SQLite in which ``$`` stands for itself."""
        assert self._apsw is not None
        self._apsw.execute(text)

    def columns(self, table: str) -> list[str]:
        if self._apsw is not None:
            return [description[0] for description in self._apsw.execute(f"SELECT * FROM {table}").get_description()]
        assert self._psycopg is not None
        cursor = self._psycopg.execute(f"SELECT * FROM {self._prefix}{table} LIMIT 0".encode())
        return [column.name for column in cursor.description or ()]

    def unprotect(self, *tables: str) -> None:
        """Take the triggers off, as somebody who owns the store can; of all tables when none is named."""
        if self.sqlite:
            for (name,) in self.run("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                self.run(f"DROP TRIGGER {name}")
        else:
            for table in tables or TABLES:
                self.run(f"ALTER TABLE ${table} DISABLE TRIGGER USER")

    def close(self) -> None:
        for connection in (self._apsw, self._psycopg):
            if connection is not None:
                connection.close()


@contextmanager
def raw(url: str) -> Iterator[Raw]:
    """Open `Raw` on a store."""
    found = Raw(url)
    try:
        yield found
    finally:
        found.close()


def time_text(us: int) -> str:
    """The time form of entries, made another way than ours."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def peaks(leaves: Sequence[bytes]) -> bytes:
    """Peaks of a compact range, from the definition."""
    found, start = b"", 0
    for level in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> level & 1:
            found += mth(leaves[start : start + (1 << level)])
            start += 1 << level
    return found


def tiles(leaves: Sequence[bytes]) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """Full tiles as {(level, index): (hashes, root)}, from the definition."""
    found = {}
    level, layer = 0, list(leaves)
    while len(layer) >= 256:
        parents = []
        for index in range(len(layer) // 256):
            part = layer[index * 256 : index * 256 + 256]
            parents.append(mth(part))
            found[level, index] = (b"".join(part), parents[-1])
        level, layer = level + 1, parents
    return found


HEADER = (
    "position", "stream", "revision", "type", "actor", "id", "emitter", "sequence", "subject", "item", "keys",
    "payload", "envelope", "prev", "recorded_at", "leaf_hash",
)  # fmt: skip


def entry_of(row: Mapping[str, Any], ledgerid: str) -> bytes:
    """Bytes of an entry from its columns, written by another JSON writer than ours."""
    members = {
        "actor": row["actor"],
        "emitter": row["emitter"],
        "envelope": bytes(row["envelope"]).hex(),
        "id": row["id"],
        "index": row["position"] - 1,
        "item": row["item"],
        "keys": row["keys"].split(","),
        "ledgerid": ledgerid,
        "payload": bytes(row["payload"]).hex(),
        "prev": bytes(row["prev"]).hex(),
        "recorded_at": time_text(row["recorded_at"]),
        "revision": row["revision"],
        "sequence": row["sequence"],
        "stream": row["stream"],
        "subject": row["subject"],
        "type": row["type"],
        "v": 1,
    }
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


def entries(store: Raw) -> list[dict[str, Any]]:
    """All rows of the log in order."""
    found = store.run(f"SELECT {', '.join(HEADER)} FROM $entry ORDER BY position")
    return [dict(zip(HEADER, row, strict=True)) for row in found]


def audit(url: str, *, first_revision: int | None = 1) -> list[dict[str, Any]]:
    """Check a store by our own arithmetic: gapless, chained, its head, peaks and tiles right.

    Args:
        url: the store.
        first_revision: where every stream begins; None for anywhere.

    Returns:
        The rows of the log.
    """
    with raw(url) as store:
        ((ledgerid,),) = store.run("SELECT ledgerid FROM $log")
        rows = entries(store)
        ((size, last_leaf, head_peaks, recorded_at),) = store.run(
            "SELECT size, last_leaf, peaks, recorded_at FROM $head"
        )
        contents = dict(store.run("SELECT position, payload FROM $content"))
        stored = {(level, idx): (bytes(h), bytes(r)) for level, idx, h, r in store.run("SELECT * FROM $tile")}
    assert [row["position"] for row in rows] == list(range(1, size + 1)), "positions are not gapless"
    assert sorted(contents) == [row["position"] for row in rows], "a content is missing or too much"
    before, clock, revisions, leaves = bytes(32), 0, dict[str, int](), []
    for row in rows:
        assert bytes(row["prev"]) == before, f"the chain is broken at position {row['position']}"
        before = hashlib.sha256(b"\0" + entry_of(row, ledgerid)).digest()
        assert bytes(row["leaf_hash"]) == before, f"the leaf hash is wrong at position {row['position']}"
        assert hashlib.sha256(bytes(contents[row["position"]])).digest() == bytes(row["payload"])
        assert row["recorded_at"] >= clock, "recorded_at went back"
        clock = row["recorded_at"]
        start = row["revision"] if first_revision is None else first_revision
        assert row["revision"] == revisions.get(row["stream"], start - 1) + 1, "a revision is missing"
        revisions[row["stream"]] = row["revision"]
        leaves.append(before)
    assert (bytes(last_leaf), recorded_at) == (before, clock), "the head does not fit the last entry"
    assert bytes(head_peaks) == peaks(leaves), "the peaks are wrong"
    assert stored == tiles(leaves), "the tiles are wrong"
    return rows


# -- events without an author ----------------------------------------------------------------------


def filler(count: int, start: int = 0, **columns: Any) -> list[SignedStoredEvent]:
    """Events of streams of their own, whose signatures are made up: quick to make, for tests of the store alone."""
    found = []
    for number in range(start, start + count):
        state = b'{"n":%d}' % number
        values: dict[str, Any] = {
            "originator_id": f"external:n{number}",
            "originator_version": 0,
            "topic": "muniment.external.observed.v1",
            "state": state,
            "actor": "filler",
            "emitter": "00000000-0000-4000-8000-000000000000",
            "id": str(UUID(int=number)),
            "item": 0,
            "keys": ("0" * 64,),
            "payload": hashlib.sha256(state).hexdigest(),
            "sequence": number + 1,
            "subject": f"external:n{number}",
            "authority": False,
        }
        values.update(columns)
        keys, state = values["keys"], values["state"]
        made_up = tuple(Signature(key, number.to_bytes(64, "big")) for key in keys if len(key) == 64)
        values.setdefault("signatures", format_signatures(made_up) if made_up else b"[]")
        values.setdefault("envelope", hashlib.sha256(join_envelope(state, values["signatures"])).hexdigest())
        found.append(SignedStoredEvent(**values))
    return found


def fill(recorder: SqlRecorder, count: int, start: int = 0, batch: int = 1000) -> None:
    """Append `filler` events in batches."""
    for first in range(start, start + count, batch):
        (outcome,) = recorder.append([Unit(tuple(filler(min(batch, start + count - first), first)))])
        assert not isinstance(outcome, Exception), outcome


def fast_folder(tmp_path: Path) -> Path:
    """A folder in memory where there is one: for tests that are not about durability."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return tmp_path
    folder = shared / f"muniment-{tmp_path.parent.name}-{tmp_path.name}-{id(tmp_path)}"
    folder.mkdir(mode=0o700)
    return folder


# -- what it costs ---------------------------------------------------------------------------------


class Meter:
    """Counts statements and the rows they return; on SQLite also the steps of its virtual machine."""

    def __init__(self, recorder: SqlRecorder) -> None:
        self.statements = self.rows = self.steps = 0
        run = recorder._run

        def counted(text: str, parameters: Any = ()) -> Any:
            found = run(text, parameters)
            self.statements += 1
            self.rows += len(found)
            return found

        recorder._run = counted
        if isinstance(recorder, SqliteRecorder):
            recorder.store.connect().trace_v2(apsw.SQLITE_TRACE_PROFILE, self._profile)

    def _profile(self, event: Any) -> None:
        status = event["stmt_status"]
        self.steps += status["SQLITE_STMTSTATUS_VM_STEP"] + 1000 * status["SQLITE_STMTSTATUS_FULLSCAN_STEP"]

    def spent(self) -> tuple[int, int, int]:
        found = self.statements, self.rows, self.steps
        self.statements = self.rows = self.steps = 0
        return found


# -- other processes -------------------------------------------------------------------------------


class Workers:
    """The process `tests.contract.workers`, and what its children have said so far."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.contract.workers"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._said = queue.SimpleQueue[list[str]]()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.acknowledged: list[tuple[int, str]] = []
        self.waiting = 0
        self.errors: list[str] = []
        self.ended: list[str] = []
        self.sync()  # it has imported everything

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.rstrip("\n").split(" ", 3))
        self._said.put(["gone"])

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")

    def _until(self, wanted: str) -> list[str]:
        while True:
            words = self._said.get(timeout=120)
            match words[0]:
                case "ack":
                    self.acknowledged.append((int(words[2]), words[3]))
                case "error":
                    self.errors.append(" ".join(words[1:]))
                case "waits":
                    self.waiting += 1
                case "end":
                    self.ended.append(words[1])
                case "gone":
                    raise AssertionError("the process that forks writers has died")
            if words[0] == wanted:
                return words

    def start(self, mode: str, url: str, actor: str, seed: int, tag: str, **options: Any) -> int:
        """Fork a writer and return its pid."""
        self._order(mode=mode, url=url, actor=actor, seed=seed, tag=tag, **options)
        return int(self._until("pid")[2])

    @contextmanager
    def gate(self, path: Path, count: int) -> Iterator[str]:
        """A file at which writers wait that are started inside; it is opened when so many are there."""
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            all_here = self.waiting + count
            yield str(path)
            while self.waiting < all_here:
                self._until("waits")

    def first_ack(self) -> None:
        """Wait for the next acknowledgement."""
        self._until("ack")

    def sync(self) -> None:
        """Wait until all writers are gone and everything they said has been read."""
        self._order(mode="sync")
        self._until("synced")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(60)
        self._process.stdout.close()


@contextmanager
def workers() -> Iterator[Workers]:
    """Run `Workers`."""
    found = Workers()
    try:
        yield found
    finally:
        found.close()


def lost(url: str, acknowledged: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """What was acknowledged and is not where it was acknowledged."""
    with raw(url) as store:
        ids = dict(store.run("SELECT position, id FROM $entry"))
    return [(index, event_id) for index, event_id in acknowledged if ids.get(index + 1) != event_id]
