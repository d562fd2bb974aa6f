"""The quick command is the installed one: what it prints and ends with, and what becomes of it with its caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fork_server import SCRIPT, quick_python, quick_script

EVENT = ("emit", "dataset.registered", "dataset:n")
SERVE = ("witness", "serve", "w", "--listen", "127.0.0.1:0")


def ended(*command: object, stdin: bytes = b"", **environment: str) -> tuple[int, bytes, bytes]:
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, check=False, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_it_reads_prints_and_ends_with():
    assert ended(quick_script(), "init", "--origin", "ledger.example/quick", "--keys", "keys")[0] == 0
    for command, stdin, environment in (
        (("log", "-o", "ndjson"), b"", {}),
        (("log", "--bogus"), b"", {}),
        (("emit", "--envelope", "-"), b"no envelope", {}),
        ((*EVENT, "-d", "name=n", "--as", "nobody"), b"", {}),
        (("config", "show"), b"", {"MUNIMENT_ACTOR": "somebody"}),
        (("log", "--graph"), b"", {"PYTHONIOENCODING": "ascii"}),
        ((*EVENT, "-d", "name=n"), b"", {"MUNIMENT_CRASHPOINT": "append.committed"}),
    ):
        quick, real = (ended(script, *command, stdin=stdin, **environment) for script in (quick_script(), SCRIPT))
        assert quick == real
        assert quick[0] == -signal.SIGKILL or quick[1] + quick[2], "it says something"


def test_code_is_run_as_python_runs_it(folder: Path):
    code = "import sys; print(sys.argv, __name__); open(sys.argv[1], 'w').write('x'); sys.exit(int(sys.argv[2]))"
    for last in ("3", "no number"):
        quick, real = (ended(python, "-c", code, folder / "f", last) for python in (quick_python(), sys.executable))
        assert quick[:2] == real[:2]
        assert (folder / "f").read_text() == "x"
    assert b"ValueError" in quick[2]


def test_files_are_made_as_the_callers_umask_says(folder: Path):
    assert ended(quick_script(), "init", "--sample")[0] == 0
    for mask, mode in ((0o022, 0o644), (0o027, 0o640)):
        before = os.umask(mask)
        try:
            assert ended(quick_script(), "proof", "inclusion", "1", "-o", str(folder / f"{mask}.proof"))[0] == 0
        finally:
            os.umask(before)
        assert (folder / f"{mask}.proof").stat().st_mode & 0o777 == mode


def test_a_signal_reaches_it_and_is_what_the_caller_ends_with():
    assert ended(quick_script(), "witness", "init", "w", "--name", "witness.example/w")[0] == 0
    for sent, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with subprocess.Popen([quick_script(), *SERVE], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert b" at http" in process.stderr.readline()
            process.send_signal(sent)
            assert process.stderr.read() == b"", "it ends when the child is gone, which holds the other end"
            assert process.wait(30) == code
