"""The documents are executed: what a reader types works, and what the references list is all there is.

Convention: in README.md and docs/tutorials/, fenced blocks tagged ``sh`` are run line by line by one shell per block,
those tagged ``python`` by the interpreter, all in order in one empty folder, and each must succeed. Blocks
tagged ``console`` or ``text`` are for reading.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS
from ledger.events import all_event_types

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXECUTED = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


@pytest.mark.parametrize("document", EXECUTED, ids=lambda path: path.name)
def test_every_block_runs(document: Path, tmp_path: Path):
    blocks = BLOCK.findall(document.read_text(encoding="utf-8"))
    assert blocks, f"{document.name} shows nothing to run"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, text in blocks:
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, f"{text}\n--- exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def test_every_command_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for names in COMMANDS.values():
        for name in names:
            assert f"## muniment {name}\n" in text


def test_every_event_type_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    for kind in all_event_types():
        assert f"## {kind.name}\n" in text


@pytest.mark.parametrize("tool", sorted((ROOT / "tools").glob("gen_*_reference.py")), ids=lambda path: path.name)
def test_the_references_are_what_their_tools_make(tool: Path):
    result = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout


def links(document: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_links_inside_the_project_lead_somewhere(document: Path):
    for target in links(document):
        path = target.partition("#")[0]
        assert not path or (document.parent / path).exists(), f"{document.name} links to {target}"
