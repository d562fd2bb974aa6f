"""A log made of leaves, and a witness that others talk to over HTTP."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ledger.addcheckpoint import AddCheckpoint, format_add_checkpoint
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.keys import Ed25519Signer
from ledger.merkle import leaf_hash, prove_consistency
from ledger.note import TYPE_ED25519, VerifierKey
from tests.unit.reference_merkle import MemoryTree, mth
from witness.http import WitnessServer
from witness.service import Witness

ORIGIN = "ledger.example/witnessed"


@dataclass
class Log:
    """A log with a key; ``fork_at`` makes its leaves differ from that index on."""

    origin: str = ORIGIN
    key: Ed25519Signer = field(default_factory=lambda: Ed25519Signer.from_seed(b"k" * 32))
    size: int = 300
    fork_at: int | None = None

    def __post_init__(self) -> None:
        self.leaves = [
            leaf_hash(b"%d%s" % (n, b"" if self.fork_at is None or n < self.fork_at else b" forked"))
            for n in range(self.size)
        ]
        self.tree = MemoryTree(self.leaves)

    @property
    def vkey(self) -> VerifierKey:
        return VerifierKey(self.origin, TYPE_ED25519, self.key.public.raw)

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, mth(self.leaves[:size]))

    def note(self, size: int) -> bytes:
        return sign_checkpoint(self.checkpoint(size), self.key)

    def request(self, old: int, size: int, proof: tuple[bytes, ...] | None = None) -> bytes:
        if proof is None:
            proof = tuple(prove_consistency(self.tree, old, size)) if old <= size else ()
        return format_add_checkpoint(AddCheckpoint(old, proof, self.note(size)))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.origin.encode()).hexdigest()


@contextmanager
def serving(witness: Witness, **options) -> Iterator[WitnessServer]:
    """A witness on a port of its own."""
    server = WitnessServer(witness, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def call(url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
    """One request on a connection of its own: status, content type, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method, parts.path + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()
    finally:
        connection.close()


def post(url: str, body: bytes) -> tuple[int, str, bytes]:
    return call(url, "POST", "/add-checkpoint", body)


def made(folder: Path, *logs: Log, name: str = "witness.example/w1") -> Witness:
    """A new witness that knows some logs."""
    from witness.service import create_witness

    found = create_witness(folder, name)
    for log in logs:
        found.add_log(log.vkey)
    return found
