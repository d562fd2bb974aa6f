"""A part of the fault campaign that is small enough for every change; `campaign` runs all of it at full size."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.crashpoints import CRASHPOINTS
from tests.faults import ambiguous, campaign, crash, faulty, pause, powercut, workload
from tests.faults.scorecard import Result
from tests.faults.server import Server, server

NewStore = Callable[[], str | None]


@pytest.fixture(params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest) -> NewStore:
    """Gives the URL of a store that is not there yet; None for a SQLite file of the experiment's own."""
    if request.param == "sqlite":
        return lambda: None
    dsn = request.getfixturevalue("postgres_dsn")
    return lambda: f"{dsn}{'&' if '?' in dsn else '?'}schema=f{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A PostgreSQL server that may be killed."""
    with server() as database:
        yield database


def test_every_crash_point_is_reached_and_nothing_is_lost_there(new_store: NewStore):
    points = crash.points_of("sqlite" if new_store() is None else "postgres")
    result = crash.crash_points(new_store, 1, 3, points)
    assert result.ok, result
    assert result.n == len(points)
    assert result.figures["acknowledged"] > 20


@pytest.mark.parametrize("point", CRASHPOINTS)
def test_every_crash_point_has_a_scenario(point: str):
    family = point.partition(".")[0]
    if family in crash.ELSEWHERE:
        text = (campaign.ROOT / crash.ELSEWHERE[family]).read_text()
        everyone = (f'"{point}"', f'name.startswith("{family}.")', f'@points("{family}."')
        assert any(spelling in text for spelling in everyone)
        return
    assert point in crash.points_of("sqlite")
    assert crash.scenario(point), "a new family of crash points needs a scenario in tests/faults/crash.py"


@pytest.mark.parametrize(("armed", "code"), [("file.written:2", -signal.SIGKILL), ("file.written:3", 0), ("", 0)])
def test_a_crash_point_is_armed_by_the_environment(armed: str, code: int, tmp_path: Path):
    program = (
        "import pathlib, sys; from ledger.durable import write_atomically\n"
        "for n in range(2): write_atomically(pathlib.Path(sys.argv[1]) / str(n), b'x')"
    )
    environment = {**os.environ, "MUNIMENT_CRASHPOINT": armed, "PYTHONPATH": str(campaign.ROOT)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False)
    assert done.returncode == code
    assert (tmp_path / "0").read_bytes() == b"x"
    assert (tmp_path / "1").exists() == (code == 0)


def test_an_unknown_crash_point_is_refused():
    environment = {**os.environ, "MUNIMENT_CRASHPOINT": "append.never", "PYTHONPATH": str(campaign.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "import ledger.crashpoints"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "names no crash point" in done.stderr


def test_postgres_killed_as_a_whole(own_server: Server):
    result = crash.postgres_killed(own_server, 3, seed=1)
    assert result.ok, result
    assert result.figures["recovery max s"] > 0


def test_a_power_cut_loses_nothing():
    result = powercut.power_cut(30, seed=2, every=8)
    assert result.ok, result
    assert result.n > 100


def test_a_power_cut_of_a_run_without_syncs_is_found_to_lose_events():
    result = powercut.power_cut(20, seed=2, every=25, durable=False)
    assert result.zeros["lost"] > 0


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_failing_writes(error: int):
    result = faulty.failing_write(error, rounds=2, lasting=error == errno.ENOSPC, every=7)
    assert result.ok, result
    assert result.figures["met"] == result.n


def test_failing_syncs():
    result = faulty.failing_sync(rounds=2, every=2)
    assert result.ok, result


@pytest.mark.skipif(not faulty.can_mount(), reason="a small disk cannot be mounted here; see test_failing_writes")
def test_full_disks(own_server: Server):
    for result in (faulty.sqlite_full_disk(step=20_000), faulty.postgres_full_tablespace(own_server)):
        assert result.ok, result
        assert result.n > 2


def test_commits_of_killed_processes():
    result = ambiguous.commits_of_killed(None, 10, seed=1)
    assert result.ok, result


def test_commits_whose_answer_is_cut_off(own_server: Server):
    result = ambiguous.postgres_commits(own_server.dsn, own_server.url(), 12, seed=1)
    assert result.ok, result
    assert result.figures["cuts"] == 12


def test_a_pause_in_the_middle(new_store: NewStore):
    result = pause.paused(new_store, 1.0, ("append.committed", "checkpoint.signed"))
    assert result.ok, result


def test_concurrent_work_makes_a_legal_history(new_store: NewStore):
    result = workload.concurrent(new_store, 2.5, seed=1)
    assert result.ok, result
    assert result.figures["ok"] > 20


# -- the campaign itself ---------------------------------------------------------------------------


@pytest.fixture
def kept_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_scorecard_says_how_to_run_it_again(tmp_path: Path, capsys, kept_environment):
    output = tmp_path / "card.json"
    arguments = ["--only", "sync-eio", "--scale", "0.05", "--seed", "7", "--output", str(output)]
    assert campaign.main(arguments) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["name"], row["backend"], row["seed"], row["ok"]) == ("sync-eio", "sqlite", 7, True)
    assert row["command"] == 'make campaign ARGS="--seed 7 --only sync-eio:sqlite --scale 0.05"'
    assert "ok   sync-eio" in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["a number", "an exception", "nothing done"])
def test_a_bad_number_is_a_bad_campaign(bad: str, tmp_path: Path, monkeypatch, kept_environment):
    def run(size: int, seed: int, places: campaign.Places) -> Result:
        if bad == "an exception":
            raise RuntimeError("the instrument broke")
        result = Result.counting("lost")
        result.n = bad != "nothing done"
        if bad == "a number":
            result.failed("lost", "event 3")
        return result

    monkeypatch.setattr(campaign, "experiments", lambda: [campaign.Experiment("x", "sqlite", 10, run)])
    output = tmp_path / "card.json"
    assert campaign.main(["--output", str(output)]) == 1
    assert json.loads(output.read_text())["ok"] is False


def test_every_experiment_has_a_name_of_its_own():
    names = [(item.name, item.backend) for item in campaign.experiments()]
    assert len(set(names)) == len(names)
