"""docs/THREATS.md and the tests of its rows: each row has one that is really there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.threats import TESTS
from tests.faults import campaign

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[str]:
    return re.findall(r"^\| ([ACT][0-9]+) \|", text, re.MULTILINE)


def collected(files: set[str]) -> set[str]:
    """Every test that pytest finds in files, without its parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *sorted(f"tests/{name}" for name in files)], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {line.partition("[")[0].removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line}


def test_every_row_has_its_tests_and_no_test_is_of_no_row():
    found = rows((ROOT / "docs" / "THREATS.md").read_text(encoding="utf-8"))
    assert len(found) > 100
    assert len(set(found)) == len(found), "an id stands twice"
    assert set(found) == set(TESTS)
    assert all(TESTS.values())


def test_rows_of_tables_have_an_id_each():
    """A row that somebody adds without one would have no test."""
    text = (ROOT / "docs" / "THREATS.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| id |")]
    assert [line for line in lines if not re.match(r"\| [ACT][0-9]+ \| ", line)] == []


def test_the_tests_of_every_row_are_there(request: pytest.FixtureRequest):
    named = {name for names in TESTS.values() for name in names}
    experiments = {item.name for item in campaign.experiments()}
    assert {name.removeprefix("campaign:") for name in named if name.startswith("campaign:")} <= experiments
    tests = {name for name in named if not name.startswith("campaign:")}
    there = {item.nodeid.partition("[")[0].removeprefix("tests/") for item in request.session.items}
    if further := {name.partition("::")[0] for name in tests} - {name.partition("::")[0] for name in there}:
        there |= collected(further)  # not every test runs now
    assert sorted(tests - there) == []


def test_the_instrument_sees_a_row_without_a_test_and_a_test_that_is_not_there():
    assert rows("| A1 | x |\n| A2 | y |\ntext A3\n") == ["A1", "A2"]
    there = collected({"unit/test_verdicts.py"})
    assert "unit/test_verdicts.py::test_the_names_never_change" in there
    assert "unit/test_verdicts.py::test_that_is_not_there" not in there
    with pytest.raises(AssertionError):
        collected({"unit/test_that_is_not_there.py"})
