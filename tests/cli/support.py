"""The command line run in this process, as quickly as it goes, or in one of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cli.main import main
from ledger.application import Ledger
from ledger.home import Home
from ledger.recorders.postgres_store import PostgresStore
from ledger.recorders.sqlite_store import SqliteStore
from tests.contract.support import raw
from tests.fork_server import quick_script

ORIGIN = "ledger.example/cli"
DIGEST = "sha256:" + "ab" * 32


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Result:
    """What a command did."""

    command: tuple[str, ...]
    code: int
    stdout: bytes
    err: str

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def good(self) -> Result:
        """Itself, when it ended with 0."""
        assert self.code == 0, f"{self.command}: exit {self.code}\n{self.out}\n{self.err}"
        return self

    def refused(self, code: int, *words: str) -> Result:
        """Itself, when it ended so, said why and what to do next, and printed no data."""
        assert self.code == code, f"{self.command}: exit {self.code}, not {code}\n{self.out}\n{self.err}"
        assert self.stdout == b"", f"{self.command}: data on stdout: {self.out}"
        assert "Error: " in self.err, self.err
        assert "bug in Muniment" not in self.err
        next_step = [line for line in self.err.splitlines() if line.startswith(("Next:  ", "Try '"))]
        assert next_step, f"{self.command}: no next step:\n{self.err}"
        assert len(next_step[-1]) > len("Next:  "), self.err
        for word in words:
            assert word in self.err, self.err
        return self


@contextmanager
def _streams(stdin: bytes) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    out, err = io.BytesIO(), io.BytesIO()
    saved = sys.stdin, sys.stdout, sys.stderr
    wrapped = [io.TextIOWrapper(io.BytesIO(stdin), "utf-8")]
    wrapped += [io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in (out, err)]
    sys.stdin, sys.stdout, sys.stderr = wrapped
    try:
        yield out, err
    finally:
        sys.stdin, sys.stdout, sys.stderr = saved
        for stream in wrapped[1:]:
            stream.flush()
            stream.detach()


@contextmanager
def closing_stores() -> Iterator[None]:
    """Close the stores of commands that ended early: a process would be gone by then."""
    opened: list[SqliteStore | PostgresStore] = []

    def noting(init: Callable[..., None]) -> Callable[..., None]:
        def noted(self: SqliteStore | PostgresStore, *args: Any, **options: Any) -> None:
            init(self, *args, **options)
            opened.append(self)

        return noted

    with ExitStack() as patches:
        for kind in (SqliteStore, PostgresStore):
            patches.enter_context(mock.patch.object(kind, "__init__", noting(kind.__init__)))
        yield
    for store in opened:
        store.close()


def run(*arguments: object, stdin: bytes = b"") -> Result:
    """Run the command line in this process and in its working folder."""
    command = tuple(str(argument) for argument in arguments)
    with _streams(stdin) as (out, err):
        try:
            main(list(command))
            code: Any = None
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int), f"{command} did not end with an exit code"
    return Result(command, code, out.getvalue(), err.getvalue().decode())


def run_process(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None, seconds: float = 120, **environment: str
) -> Result:
    """Run the command line as a process of its own."""
    command = tuple(str(argument) for argument in arguments)
    done = subprocess.run(
        [quick_script(), *command], input=stdin, capture_output=True, check=False, cwd=cwd, timeout=seconds,
        env={**os.environ, **environment},
    )  # fmt: skip
    return Result(command, done.returncode, done.stdout, done.stderr.decode())


@dataclass
class Shop:
    """A folder with a ledger in it, on either backend; its commands run there."""

    folder: Path
    url: str

    @property
    def home(self) -> Home:
        return Home.find(str(self.folder))

    @property
    def keys(self) -> Path:
        return self.folder / ".muniment" / "keys"

    @property
    def sqlite(self) -> bool:
        return self.url.startswith("sqlite:")

    @property
    def database(self) -> str:
        """The URL of the database on PostgreSQL, as other programs take it."""
        return self.url.partition("schema=")[0].rstrip("?&")

    def fingerprint(self) -> tuple[int, str, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The log as it is: size, root, all rows, all signed heads."""
        with Ledger.open(self.url) as ledger:
            head = ledger.recorder.head()
        with raw(self.url) as store:
            rows = store.run("SELECT * FROM $entry ORDER BY position")
            notes = store.run("SELECT * FROM $checkpoint ORDER BY size")
        return head.size, head.root().hex() if head.size else "", rows, notes

    def size(self) -> int:
        with Ledger.open(self.url) as ledger:
            return ledger.recorder.head().size

    def types(self, start: int) -> list[str]:
        """Types of the entries from an index on."""
        with Ledger.open(self.url) as ledger:
            return [row.entry.type for row in ledger.recorder.rows(start, 1_000)]

    def lose_store(self) -> None:
        """The store is gone: its files, or its schema."""
        if self.sqlite:
            for path in (self.folder / ".muniment").glob("ledger.db*"):
                path.unlink()
        else:
            with raw(self.url) as store:
                store.run(f"DROP SCHEMA {self.url.partition('schema=')[2]} CASCADE")

    def unprotected(self, *statements: str) -> None:
        """Run SQL on the store as its owner, past every trigger."""
        with raw(self.url) as store:
            store.unprotect()
            for statement in statements:
                store.run(statement)

    def enrol(self, actor: str, *roles: str) -> None:
        """A person who may sign here."""
        options = [item for role in roles for item in ("--role", role)]
        run("actor", "enrol", actor, "--kind", "person", *options).good()

    def version(self, model: str = "model:tx@1", signer: str | None = None) -> None:
        """A registered and evaluated version."""
        who = ("--as", signer) if signer else ()
        run("record", "version", model, "--digest", digest(model), "--tier", "high", *who).good()
        run("record", "evaluation", model, "--metric", "auc=0.9", "--verdict", "pass", *who).good()

    def release(self, model: str = "model:tx@1", deployment: str = "deployment:prod/tx") -> None:
        """Request, approval by another person, authorisation, deployment."""
        run("request", model, "--env", "prod", "--as", "p-author").good()
        run("approve", model, "--rationale", "looked at", "--as", "p-approver").good()
        run("authorise", deployment, "--model", model, "--as", "p-deployer").good()
        run("record", "deployment", deployment, "--model", model, "--as", "p-deployer").good()

    def people(self) -> None:
        """Everybody a life cycle needs."""
        self.enrol("p-author", "owner", "emitter", "approver")
        self.enrol("p-approver", "approver")
        self.enrol("p-deployer", "deployer", "emitter")


def data_of(index: int) -> Any:
    return run("show", index, "-o", "json").good().json["event"]["data"]


def emit(*options: str, subject: str = "dataset:tx", kind: str = "dataset.registered", stdin: bytes = b"") -> Any:
    """Emit and return the recorded body."""
    receipt = run("emit", kind, subject, *options, "-o", "json", stdin=stdin).good().json
    assert receipt["status"] == "recorded"
    return data_of(receipt["index"])


#: Gives a ledger that a function has filled.
Grow = Callable[[Callable[[Shop], None]], Shop]
