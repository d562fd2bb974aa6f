"""The scenarios run as they are, on both stores, and show what they say they show."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.support import run
from tests.contract.support import fast_folder

SCENARIOS = Path(__file__).resolve().parents[2] / "examples" / "scenarios"
#: Scenario: what a reader must find in what it prints.
SEEN = {
    "fraud": ("needs 1 approval(s) for prod", "deployment.promoted", "verdicts.drift"),
    "prototype": ("19 of 25 checks are for higher tiers", "needs 1 approval(s) for prod at tier low"),
    "incident": ("-> model:credit@1", "by rollback", "rollback.completed (entry "),
    "distilled": (
        "1 of 1 authorisations would have been refused",
        "✗ refuses",
        "✓ allows",
        "composed-of",
        "✓ agrees",
        "performance.p95_ms",
        "performance.cost.EUR",
    ),
    "poisoning": ("deployment:prod/triage", "featureset:claims@3", "is in quarantine"),
    "third_party": (
        "its condition 0 is",
        "finding: opaque (medium)",
        "(third party)",
        "- not-applicable | code-is-known     | A third party made it",
    ),
    "legacy": ("136 checks missing", "136 waivers asked for", "107 waivers asked for, 13 waived", "unauthorised"),
}


def test_each_scenario_is_run():
    assert {path.stem for path in SCENARIOS.glob("*.py")} == {*SEEN, "scene"}


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
@pytest.mark.parametrize("name", SEEN)
def test_a_scenario(
    name: str, store: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
):  # fmt: skip
    folder = fast_folder(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.syspath_prepend(SCENARIOS)
    if store == "postgres":
        monkeypatch.setenv("MUNIMENT_SCENARIO_STORE", request.getfixturevalue("postgres_url"))
    try:
        runpy.run_path(str(SCENARIOS / f"{name}.py"), run_name="__main__")
        out = capsys.readouterr().out
        for words in SEEN[name]:
            assert words in out, f"{words!r} is not in:\n{out}"
        (where,) = re.findall(r"^The ledger is in (\S+)$", out, re.MULTILINE)
        assert re.search(r"^✓ .* entries verified", out, re.MULTILINE)
        monkeypatch.chdir(where)
        assert run("verify", "log", "-o", "json").good().json["findings"] == []
    finally:
        sys.modules.pop("scene", None)
        if folder != tmp_path:
            shutil.rmtree(folder, ignore_errors=True)
