"""`muniment completion`: bash itself is asked, with our script loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.candidates import candidates
from cli.completion import EVENT_TYPES
from ledger.events import all_event_types
from tests.cli.support import DIGEST, Shop, run
from tests.fork_server import quick_script

_ASK = """
source <(muniment completion bash)
COMP_LINE=$1; COMP_POINT=${#1}
complete -p muniment >/dev/null || exit 9
_muniment_completion muniment
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line; it replaces what stands behind the last colon or at sign."""
    path = f"{quick_script().parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", _ASK, "bash", line], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def fill() -> None:
    for name in ("dataset:tx@1", "dataset:tx@2", "dataset:zz"):
        run("emit", "dataset.registered", name, "-d", f"digest={DIGEST}").good()
    run("incident", "open", "incident:one", "--title", "x").good()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("muniment comp", ["completion"]),
        ("muniment incident cl", ["close"]),
        ("muniment log --fol", ["--follow"]),
        ("muniment log -o nd", ["ndjson"]),
        ("muniment emit run.", ["run.aborted", "run.attached", "run.completed", "run.failed", "run.started"]),
        ("muniment log dataset:", ["tx@1", "tx@2", "zz"]),
        ("muniment log dataset:tx@", ["1", "2"]),
        ("muniment log -o json dataset:z", ["zz"]),
        ("muniment incident close ", ["incident:one"]),
        ("muniment show 1", ["1"]),
        ("muniment log --actor ro", []),
        ("muniment log nothing:", []),
    ],
)
def test_bash_completes(shop: Shop, line: str, words: list[str]):
    fill()
    assert completed(line) == words


def test_actors_and_another_ledger(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shop.enrol("p-other", "emitter")
    assert "p-other" in completed("muniment log --actor p-")
    monkeypatch.chdir(tmp_path)
    assert completed("muniment log --actor p-o") == []
    assert completed(f"muniment --ledger {shop.folder} log --actor p-o") == ["p-other"]
    assert completed(f"muniment log --ledger {shop.folder} --actor p-o") == ["p-other"]


def test_the_types_are_those_of_the_catalogue():
    assert tuple(sorted(kind.name for kind in all_event_types())) == EVENT_TYPES


def test_nothing_is_written_and_nothing_said_on_trouble(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    fill()
    folder = shop.folder / ".muniment"
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    assert candidates(None, "subject", "dataset:")
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before
    (folder / "ledger.db").write_bytes(b"no database")
    assert candidates(None, "subject", "dataset:") == completed("muniment log dataset:") == []
    (folder / "config.toml").write_text("= bad")
    assert candidates(None, "subject", "dataset:") == completed("muniment log dataset:") == []
    monkeypatch.setenv("MUNIMENT_LEDGER", "postgresql://nobody@127.0.0.1:1/x")
    (folder / "config.toml").unlink()
    assert candidates(None, "subject", "dataset:") == completed("muniment log dataset:") == []


def test_a_store_that_was_tampered_with_puts_nothing_on_the_command_line(shop: Shop):
    fill()
    shop.unprotected("UPDATE $entry SET subject = 'dataset:$(reboot)' WHERE position = 3")
    assert candidates(None, "subject", "dataset:") == ["dataset:tx@2", "dataset:zz"]


def test_a_long_log_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    fill()
    monkeypatch.setattr("cli.candidates._SECONDS", -1.0)
    monkeypatch.setattr("cli.candidates._STEPS", 1)
    started = time.monotonic()
    assert candidates(None, "subject", "dataset:") == []
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shop: Shop, shell: str):
    script = run("completion", shell).good().out
    assert f"_MUNIMENT_COMPLETE={shell}_complete" in script
    assert run("completion", shell, "-o", "json").good().json["shell"] == shell


def test_another_shell_is_refused():
    run("completion", "tcsh").refused(2, "tcsh")


def test_names_of_commands_load_nothing_of_the_ledger():
    code = (
        "import json, os, sys\n"
        "from cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    for line in ("muniment lo", "muniment emit run.", "muniment log -"):
        environment = {**os.environ, "_MUNIMENT_COMPLETE": "bash_complete", "MUNIMENT_LINE": line}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=60
        )
        assert done.stdout
        assert not set(json.loads(done.stderr)) & {"ledger", "pydantic", "rich", "apsw", "psycopg", "projections"}
