"""The documents are executed: what a reader types works, and what the references list is all there is.

Convention: in README.md, docs/tutorials/ and docs/how-to/, fenced blocks tagged ``sh`` are run line by line by one
shell per block, those tagged ``python`` by the interpreter, all in order in one empty folder, and each must succeed. A
block tagged ``console`` whose commands are all ours (``$ muniment …``, ``$ echo $?``) must print exactly what it shows,
errors included. Other blocks tagged ``console``, and those tagged ``text``, are for reading. The command is a fork of
one that is loaded already (`tests.fork_server`, which is compared with the installed one).
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, cli
from ledger.events import all_event_types
from tests.fork_server import quick_script

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(sh|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXECUTED = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("tutorials/*.md")),
    *sorted((ROOT / "docs").glob("how-to/*.md")),
]
#: Stands for a server that the reader has, and the documents do not.
ELSEWHERE = "postgresql://user@host/database?schema=ml_ledger"


def transcript(text: str) -> tuple[list[str], list[str]] | None:
    """Commands and output of a console block, when the commands are all ours; no commands of others are run."""
    lines = text.splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    ours = all(command.startswith("muniment ") or command == "echo $?" for command in commands)
    if not ours or not commands or ELSEWHERE in text:
        return None
    return commands, [line for line in lines if not line.startswith("$ ")]


@pytest.mark.parametrize("document", EXECUTED, ids=lambda path: path.name)
def test_every_block_runs(document: Path, tmp_path: Path):
    blocks = BLOCK.findall(document.read_text(encoding="utf-8"))
    assert blocks, f"{document.name} shows nothing to run"
    ours = [quick_script().parent, Path(sys.executable).parent]
    environment = {**os.environ, "PATH": os.pathsep.join([*map(str, ours), os.environ["PATH"]])}
    for language, text in blocks:
        told = transcript(text) if language == "console" else None
        if language == "console" and told is None:
            continue
        command = {
            "sh": ["bash", "-euo", "pipefail", "-c", text],
            "python": [sys.executable, "-c", text],
            "console": ["bash", "-c", "exec 2>&1; " + "; ".join([] if told is None else told[0])],
        }[language]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        if told is not None:
            assert result.stdout.splitlines() == told[1], text
        else:
            assert result.returncode == 0, f"{text}\n--- exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def test_a_transcript_in_the_readme_is_compared():
    """The check above would otherwise pass when the documents show none that it knows."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    told = [transcript(text) for language, text in blocks if language == "console"]
    assert any(found is not None and found[1] for found in told)


def test_the_ledger_in_postgresql_of_the_readme(postgres_url: str, tmp_path: Path):
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (text,) = [text for language, text in blocks if language == "console" and ELSEWHERE in text]
    script = quick_script()
    for line in text.splitlines():
        command = line.removeprefix("$ muniment ").replace(ELSEWHERE, postgres_url)
        subprocess.run(
            ["bash", "-euc", f"{script} {command}"], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
    checked = subprocess.run([script, "verify", "log"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def names_of(command: click.Command, name: str) -> Iterator[str]:
    yield name
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from names_of(found, f"{name} {child}")


def test_every_command_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    names = list(names_of(cli, "muniment"))
    assert len(names) > sum(map(len, COMMANDS.values())) + 20, "groups have commands too"
    for name in names[1:]:
        assert f"# {name}\n" in text


def test_every_event_type_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    for kind in all_event_types():
        assert f"## {kind.name}\n" in text


def prose(document: Path) -> str:
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(document: Path) -> list[str]:
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)) if "://" not in target]


@functools.cache
def anchors(document: Path) -> set[str]:
    """What headings are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ +(.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_links_inside_the_project_lead_somewhere(document: Path):
    for target in links(document):
        path, _, anchor = target.partition("#")
        found = document.parent / path if path else document
        assert found.exists(), f"{document.name} links to {target}"
        assert not anchor or found.suffix != ".md" or anchor in anchors(found), f"{document.name} links to {target}"
