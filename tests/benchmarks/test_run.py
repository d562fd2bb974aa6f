"""The benches work and say what they promise to; nothing here is about how fast anything is."""

import json
import math
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import Figure, at_least, at_most
from benchmarks.timing import alternate, paired, percentile, spread, threaded_rate

ROOT = Path(__file__).parents[2]
APPENDS = {
    "append.single.emit.p50", "append.single.emit.overhead", "append.single.emit.p99", "append.single.envelope.p50",
    "append.single.envelope.overhead", "append.single.envelope.p99",
    "append.single.emit.cpu", "append.single.floor.cpu", "append.single.floor.p50", "append.single.floor.overhead",
    "append.single.floor.p99", "append.decision.p50", "append.decision.overhead", "append.decision.p99",
    "append.threads32.envelope", "append.threads32.emit", "append.threads32.eventsourcing",
}  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_small_run_writes_the_list_and_the_facts(tmp_path: Path):
    done = run("--quick", "--only", "append", "--backend", "sqlite", "--scale", "0.03", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads((tmp_path / "latest.json").read_text())
    assert {row["name"] for row in rows} >= APPENDS
    for row in rows:
        assert list(row) == ["name", "backend", "value", "unit", "baseline", "ratio"]
        assert row["backend"] == "sqlite"
        assert math.isfinite(row["value"])
        assert row["unit"]
        assert row["name"] in done.stdout
    facts = json.loads((tmp_path / "machine.json").read_text())
    assert {"date", "commit", "cores", "python", "sqlite", "packages", "fdatasync_us"} <= facts.keys()
    goals = {figure["name"]: figure["goal"] for figure in facts["figures"]}
    assert goals["append.single.emit.overhead"] == "≤ 5"
    assert goals["append.single.emit.p99"] == "≤ 2.5"
    assert goals["append.threads32.envelope"] == goals["append.threads32.emit"] == "≥ 1.5"


def test_questions_are_asked_of_two_logs(tmp_path: Path):
    done = run(
        "--quick",
        "--only",
        "asof",
        "--backend",
        "sqlite",
        "--asof",
        "300",
        "--scale",
        "0.2",
        "--results",
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    names = {row["name"] for row in json.loads((tmp_path / "latest.json").read_text())}
    assert names == {f"asof.{name}.300" for name in ("state", "lineage", "impact", "gate", "history", "why")}


def test_an_unknown_bench_is_refused(tmp_path: Path):
    done = run("--only", "nonsense", "--results", str(tmp_path))
    assert done.returncode == 2
    assert "append.single" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [(at_most(5), 5.0, True), (at_most(5), 5.1, False), (at_least(0.6), 0.6, True), (at_least(0.6), 0.5, False)],
)
def test_a_goal_is_about_the_ratio(goal: Any, ratio: float, met: bool):
    assert Figure("name", "sqlite", 1e9, "us", 1.0, ratio, goal).met is met


def test_a_goal_without_a_ratio_is_about_the_value():
    assert Figure("name", "sqlite", 9.0, "MB", goal=at_most(10)).met is True
    assert Figure("name", "sqlite", 11.0, "MB", goal=at_most(10)).met is False
    assert Figure("name", "sqlite", 11.0, "MB").met is None


def test_contestants_take_turns_and_the_first_round_is_dropped():
    order: list[tuple[str, int]] = []

    def note(name: str) -> Any:
        def contestant(number: int) -> tuple[str, int]:
            order.append((name, number))
            return name, number

        return contestant

    found = alternate(2, {"a": note("a"), "b": note("b")})
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert found == {"a": [("a", 1), ("a", 2)], "b": [("b", 1), ("b", 2)]}


def test_ratios_are_those_of_neighbours():
    assert paired([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == 2.0
    assert percentile([float(number) for number in range(100, 0, -1)], 0.99) == 100.0
    assert spread([1.0, 2.0, 3.0]) is None
    assert spread([1.0, 1.0, 1.0, 1.0]) == 0.0


def test_each_share_is_worked_off_by_a_thread_and_failures_are_told():
    seen: dict[int, int] = {}
    together = threading.Barrier(3)

    def work(item: int) -> None:
        together.wait(timeout=30)
        seen[item] = threading.get_ident()

    assert threaded_rate(work, [[1], [2], [3]]) > 0
    assert len(set(seen.values())) == 3

    def fail(item: int) -> None:
        raise ValueError(item)

    with pytest.raises(ValueError, match="7"):
        threaded_rate(fail, [[7]])
