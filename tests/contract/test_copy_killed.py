"""`muniment admin copy` killed at every named place while somebody appends: nothing is lost, and one store goes on."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ledger.application import Ledger
from ledger.crashpoints import CRASHPOINTS
from ledger.creation import enrol_actor
from ledger.errors import ConfigurationError
from ledger.home import Home
from ledger.newhome import create_home
from ledger.verify import verify_log
from tests.cli.support import run_process
from tests.contract.support import Workers, audit, lost, seeded_key, workers
from tests.fork_server import SCRIPT

POINTS = [name for name in CRASHPOINTS if name.startswith("copy.")]
DIRECTIONS = (("sqlite", "postgres"), ("postgres", "sqlite"))
ORIGIN = "ledger.example/moving"
SEED = 5


@pytest.fixture(scope="module")
def others() -> Iterator[Workers]:
    with workers() as found:
        yield found


@pytest.fixture(params=DIRECTIONS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, new_store: Callable[[str], str]) -> tuple[str, str]:
    source, target = request.param
    return new_store(source), new_store(target)


def takes_entries(url: str, name: str) -> bool:
    try:
        with Ledger.open(url, actor="svc", signers=[seeded_key(SEED)]) as ledger:
            ledger.emit("external.observed", f"external:{name}", system="s", content={})
    except ConfigurationError:
        return False
    return True


def make(folder: Path, url: str) -> Home:
    """A ledger in a folder, with a service whose key the writers know, and more than a page of entries."""
    made = create_home(folder, ORIGIN, url=url, keys=Path("keys"))
    ledger, admin = made.new.ledger, made.new.admin
    enrol_actor(ledger, "svc", seeded_key(SEED), kind="service", roles=["emitter"], responsible=admin)
    with Ledger(ledger.recorder, actor="svc", signers=[seeded_key(SEED)]) as service:
        observed = {"system": "s", "content": {}}
        service.emit_all([("external.observed", f"external:n{number}", observed) for number in range(520)])
    ledger.close()
    return made.home


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point: str, pair: tuple[str, str], tmp_path: Path, others: Workers):
    source, target = pair
    folder = tmp_path / "home"
    folder.mkdir()
    home = make(folder, source)
    before = len(others.acknowledged), len(others.errors)
    others.start("forever", source, "svc", SEED, "writer")
    others.first_ack()

    killed = run_process("admin", "copy", target, cwd=folder, MUNIMENT_CRASHPOINT=point)
    assert killed.code == -9, f"{point} was not reached: {killed.err}"
    sealed = point in ("copy.sealed", "copy.before_open", "copy.opened")
    opened = point == "copy.opened"
    assert takes_entries(source, "one") is not sealed
    assert takes_entries(target, "two") is opened

    again = run_process("admin", "copy", target, "-o", "json", cwd=folder).good()
    assert again.json["step"] == {
        "copy.sealed": "open",
        "copy.before_open": "open",
        "copy.opened": "none",
    }.get(point, "resume")
    others.sync()  # the writer was refused, and has ended
    (error,) = others.errors[before[1] :]
    assert "has moved to" in error
    acknowledged = others.acknowledged[before[0] :]
    assert acknowledged
    assert lost(target, acknowledged) == []
    assert lost(source, acknowledged) == []
    assert not takes_entries(source, "three")
    assert takes_entries(target, "four")
    audit(target)
    moved = Home.find(str(folder))
    assert moved.url != home.url
    with moved.open_reader() as ledger:
        moved.check(ledger)
        assert verify_log(ledger.recorder, moved.trust()).ok


@pytest.mark.parametrize("pair", [DIRECTIONS[0]], indirect=True, ids="-to-".join)
def test_killed_again_and_again_it_still_arrives(pair: tuple[str, str], tmp_path: Path, others: Workers):
    source, target = pair
    folder = tmp_path / "home"
    folder.mkdir()
    make(folder, source)
    for point in ("copy.created", "copy.page_stored", "copy.page_stored", "copy.tail_stored", "copy.before_seal"):
        killed = run_process("admin", "copy", target, cwd=folder, MUNIMENT_CRASHPOINT=point)
        assert killed.code == -9, killed.err
        assert takes_entries(source, "goes-on")
    run_process("admin", "copy", target, cwd=folder).good()
    assert (takes_entries(source, "a"), takes_entries(target, "b")) == (False, True)
    audit(target)


def test_killed_at_random_moments_while_others_write(pair: tuple[str, str], tmp_path: Path, others: Workers):
    """After each kill at most one store takes entries, and nothing that was acknowledged is lost in the end."""
    source, target = pair
    folder = tmp_path / "home"
    folder.mkdir()
    make(folder, source)
    before = len(others.acknowledged)
    others.start("forever", source, "svc", SEED, "random")
    others.first_ack()
    chance = random.Random(SEED)
    for turn in range(3):
        with subprocess.Popen([str(SCRIPT), "admin", "copy", target], cwd=folder, stderr=subprocess.PIPE) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.3, 1.5))
            process.kill()
            _, said = process.communicate()
        assert process.returncode in (-9, 0), said
        open_now = [takes_entries(url, f"turn{turn}") for url in pair]
        assert open_now.count(True) <= 1, "two stores of one log take entries"
        if process.returncode == 0:
            break
    else:
        run_process("admin", "copy", target, cwd=folder).good()
    others.sync()
    assert [takes_entries(url, "end") for url in pair] == [False, True]
    assert lost(target, others.acknowledged[before:]) == []
    audit(target)
