"""The examples run as they are; the demonstration has tests of its own in ``tests/e2e/``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.fork_server import quick_script

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def test_the_quickstart_says_where_each_event_stands_and_the_ledger_verifies(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "quickstart.py")], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = re.findall(r"^#(\d+) (\S+) revision (\d+), leaf hash ([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert [(int(index), stream, int(revision)) for index, stream, revision, _ in told] == [
        (2, "dataset:prices", 1), (3, "run:prices-1", 1), (4, "run:prices-1", 2),
    ]  # fmt: skip
    (folder,) = re.findall(r"cd (\S+) && muniment log && muniment verify log", done.stdout)
    muniment = quick_script()
    commands = f"{muniment} log -o ndjson && {muniment} verify log"
    checked = subprocess.run(
        ["bash", "-c", commands], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    for *_, leaf_hash in told:
        assert leaf_hash in checked.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing in the working folder"


def imported_by(name: str) -> set[str]:
    """An example and the other examples it imports, and so on."""
    found, todo = set[str](), [name]
    while todo:
        name = todo.pop()
        if name in found or not (EXAMPLES / f"{name}.py").exists():
            continue
        found.add(name)
        for node in ast.walk(ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                todo.append(str(node.module))
    return found


def test_every_example_is_run_by_a_test():
    """The quickstart above, and the demonstration in ``tests/e2e/test_demo.py``, with all they import."""
    run = imported_by("quickstart") | imported_by("demo")
    assert "pipeline" in run
    assert {path.stem for path in EXAMPLES.glob("*.py")} == run
