"""Expressions run in a process apart, with so much processor time and memory: no engine bounds its own work.

A short expression can go through a list for every item of a list, or double a text forty times. Depth of lists is
bounded before (`engine`); what is left ends with the process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

__all__ = ["run_apart"]

#: Processor time that all checks of a policy have together, in seconds.
_SECONDS = 10
#: Memory they may take beside what the process has already, in bytes.
_BYTES = 512 * 1024 * 1024
#: When a process that uses no processor is given up, in seconds.
_PATIENCE = 120.0
#: What is written behind the last item, each of which has a line.
_DONE = b"done"
_STATM = Path("/proc/self/statm")


def run_apart(produce: Callable[[], Iterable[dict[str, str]]]) -> tuple[list[dict[str, str]], str]:
    """Collect what a function produces in a forked process.

    Args:
        produce: called there; it may open nothing and wait for nothing.

    Returns:
        What was produced, in order, and why it ended early; empty when it did not.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: only this one goes on in the child
        child = os.fork()
    if child == 0:
        _produce(produce, writing)
    os.close(writing)
    ended = False
    try:
        text, ended = _read(reading)
    finally:
        os.close(reading)
        if not ended:
            os.kill(child, signal.SIGKILL)
        code = _wait(child)
    *lines, rest = text.split(b"\n")
    trouble = "" if rest == _DONE else _words(code, ended=ended)
    return [json.loads(line) for line in lines], trouble


def _wait(child: int) -> int | None:
    """How it ended; None where that cannot be known."""
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # whoever started this process has it ignore the ends of its children
        return None
    return os.waitstatus_to_exitcode(status)


def _words(code: int | None, *, ended: bool) -> str:
    if code is None:
        return f"the engine ended early: it may take {_SECONDS} seconds and {_BYTES // 1024**2} MiB of memory"
    if not ended or code == -signal.SIGXCPU:
        return f"the policy took more than {_SECONDS} seconds"
    if code < 0:
        return f"the engine ended by signal {-code}: it may take {_BYTES // 1024**2} MiB of memory"
    return f"the engine ended with {code}"


def _read(source: int) -> tuple[bytes, bool]:
    """Everything that comes, and whether that was all; children of other threads may hold the pipe open for longer."""
    text = bytearray()
    waiting = select.poll()  # `select` takes no descriptor above 1,023
    waiting.register(source, select.POLLIN)
    deadline = time.monotonic() + _PATIENCE
    while waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = os.read(source, 65536)
        text += part
        if not part or text.endswith(b"\n" + _DONE):
            return bytes(text), True
    return bytes(text), False


def _produce(produce: Callable[[], Iterable[dict[str, str]]], target: int) -> NoReturn:
    """The whole life of the child: nothing of the parent's is flushed, closed or told."""
    code = 1
    try:
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the engine prints when it fails is told in other words
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, _SECONDS)
        if _STATM.exists():
            _limit(resource.RLIMIT_AS, int(_STATM.read_text().split()[0]) * resource.getpagesize() + _BYTES)
        for item in produce():
            _write(target, json.dumps(item).encode() + b"\n")
        _write(target, _DONE)
        code = 0
    finally:
        os._exit(code)


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    soft = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(what, (soft, hard))


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
