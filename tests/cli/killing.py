"""Commands that are killed on their way."""

from __future__ import annotations

import os
import signal
import warnings

import ledger.crashpoints
import ledger.erasing
import ledger.recorders.postgres_store
from tests.cli.support import run


def killed(point: str, *arguments: str) -> None:
    """Run a command in a child that dies at a crash point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: only this one goes on in the child
        pid = os.fork()
    if pid == 0:
        ledger.crashpoints._ARMED = (point, 1)
        try:
            run(*arguments)
        finally:
            os._exit(9)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"{point} was not reached: exit {os.waitstatus_to_exitcode(status)}"
    assert os.WTERMSIG(status) == signal.SIGKILL
