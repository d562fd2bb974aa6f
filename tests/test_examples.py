"""The examples run as they are; the demonstration has tests of its own in ``tests/e2e/``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SCRIPT = Path(sys.executable).with_name("muniment")


def test_the_quickstart_says_where_each_event_stands_and_the_ledger_verifies(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "quickstart.py")], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=60, env=None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = re.findall(r"^#(\d+) (\S+) revision (\d+), leaf hash ([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert [(int(index), stream, int(revision)) for index, stream, revision, _ in told] == [
        (2, "dataset:prices", 1), (3, "run:prices-1", 1), (4, "run:prices-1", 2),
    ]  # fmt: skip
    (folder,) = re.findall(r"cd (\S+) && muniment log && muniment verify log", done.stdout)
    commands = f"{SCRIPT} log -o ndjson && {SCRIPT} verify log"
    checked = subprocess.run(
        ["bash", "-c", commands], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    for *_, leaf_hash in told:
        assert leaf_hash in checked.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing in the working folder"


def test_every_example_is_tested_or_imported_by_one_that_is():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"demo.py", "pipeline.py", "quickstart.py", "tamper.py"}
