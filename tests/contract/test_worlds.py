"""States read from a store: the same whether they were kept, dropped or read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.recorders import open_recorder
from ledger.worlds import StoreWorld
from tests.contract.support import MODEL, Cast, digest, fill, life_of_a_model, make_cast
from tests.projections.support import force_event
from tests.unit.reference_merkle import mth

STREAMS = ("actor:trainer", "actor:p-author", "model:credit/scoring", "incident:1", "run:none", "deployment:prod/tx")


def every_state(log: Any, size: int, *, world: StoreWorld | None = None) -> list[str]:
    """Of each stream before each entry, from a world that has read nothing yet, or from one that has."""
    if world is None:
        world = StoreWorld(log)
        world.refresh()
    return [state_and_revision(world, stream, index) for stream in STREAMS for index in range(size + 1)]


def state_and_revision(world: StoreWorld, stream: str, index: int) -> str:
    return f"{world.state_before(stream, index)!r} {world.revision_before(stream, index)}"


def long_life(cast: Cast) -> int:
    life_of_a_model(cast)
    for number in range(20):
        cast["p-author"].emit("incident.noted", "incident:1", note=f"note {number}")
        cast.admin.emit("role.granted", "actor:trainer", role="owner", reason="x", subjects=[f"model:m{number}"])
    return cast.recorder.head().size


def test_states_of_long_streams_are_right_however_far_back(quick_url: str, monkeypatch: pytest.MonkeyPatch):
    cast = make_cast(quick_url)
    size = long_life(cast)
    wanted = every_state(cast.recorder, size)
    assert len(set(wanted)) > 25
    monkeypatch.setattr("ledger.worlds._PAST", 2)
    world = StoreWorld(cast.recorder)
    world.refresh()
    assert every_state(cast.recorder, size, world=world) == wanted
    assert every_state(cast.recorder, size, world=world) == wanted, "looked at again"
    backwards = StoreWorld(cast.recorder)
    backwards.refresh()
    found = [state_and_revision(backwards, s, index) for s in reversed(STREAMS) for index in range(size, -1, -1)]
    assert found[::-1] == wanted
    assert MODEL.startswith(STREAMS[2])


def test_entries_that_count_for_nothing_hide_none_that_counts(quick_url: str, monkeypatch: pytest.MonkeyPatch):
    """What is kept of a long stream begins behind entries that changed nothing, all of which are dropped."""
    cast = make_cast(quick_url)
    for _ in range(5):
        force_event(
            cast.recorder, "trainer", cast.keys["trainer"], "version.retired", "model:late@1", data={"reason": "x"}
        )
    for version in (1, 2):
        body = {"digest": digest(str(version)), "owner": "p-author", "tier": "low"}
        last = cast["trainer"].emit("version.registered", f"model:late@{version}", body).index
    monkeypatch.setattr("ledger.worlds._PAST", 3)
    world = StoreWorld(cast.recorder)
    world.refresh()
    found: list[Any] = [world.state_before("model:late", index) for index in (last + 1, last, last - 1)]
    assert [sorted(state.versions) if state else None for state in found] == [["1", "2"], ["1"], None]


def test_a_world_knows_no_leaf_and_no_root_from_behind_its_index(quick_url: str):
    cast = make_cast(quick_url)
    size = cast.recorder.head().size
    world = StoreWorld(cast.recorder)
    world.refresh()
    leaves = cast.recorder.leaf_hashes(0, size)
    assert [world.at(3).leaf_hash(index) for index in range(size)] == [*leaves[:3], *[None] * (size - 3)]
    assert [world.at(3).root_hash(number) is not None for number in range(1, size + 1)] == [True] * 3 + [False] * (
        size - 3
    )


class Switched:
    """A log that is another one from some moment on, as after a failover that lost entries."""

    def __init__(self, log: Any) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


def test_what_was_read_of_a_longer_log_is_forgotten(memory_path: Path):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast = make_cast(url)
    short = cast.recorder.head().size
    for file in list(memory_path.iterdir()):
        (memory_path / file.name.replace("ledger.db", "early.db")).write_bytes(file.read_bytes())
    size = long_life(cast)
    cast.enrol("p-late", "person", ["auditor"])
    cast.root.emit("role.granted", "actor:p-late", role="admin", reason="x")
    early = open_recorder(f"sqlite:///{memory_path / 'early.db'}")
    log = Switched(early)
    world = StoreWorld(log)
    assert world.root_hash(short) == early.head().root()
    log.log = cast.recorder
    assert world.refresh() == size + 2
    every_state(log, size, world=world)
    leaves = cast.recorder.leaf_hashes(0, size)
    for number in range(1, size + 1):
        assert world.root_hash(number) == mth(leaves[:number]), "of the end that has grown, too"
    late = cast.keys["p-late"].public.keyid
    assert (world.at(size + 2).key_holder(late), "p-late" in world.at(size + 2).admins()) == ("p-late", True)
    log.log = early
    assert world.refresh() == short
    assert every_state(log, short, world=world) == every_state(early, short)
    assert (world.at(short).key_holder(late), "p-late" in world.at(short).admins()) == (None, False)
    fill(early, 3)
    assert world.refresh() == short + 3
    assert world.root_hash(short + 3) == early.head().root()
    early.close()
