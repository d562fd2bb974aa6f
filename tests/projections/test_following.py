"""What settles a decision about a deployment, and what speaks against a version there, by entries alone."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.domain.deployed import Holds
from ledger.domain.holds import evolve_holds
from ledger.events import find_event_type
from projections.journal import JournalRow
from projections.service import Service, fold
from projections.settling import returns_of
from tests.projections.support import PROD

ONE, TWO, THREE = "model:x@1", "model:x@2", "model:x@3"
HELD, BACK, LIVE = "deployment.held", "rollback.authorised", "deployment.completed"
BOTH = [(LIVE, ONE), (LIVE, TWO)]


def entries(*told: tuple[Any, ...]) -> list[JournalRow]:
    """Entries: type, version, then what else it says; ``at`` is when it occurred, ``marks`` are its marks."""
    rows = []
    for index, (kind, model, *more) in enumerate(told):
        said = more[0] if more else {}
        data = {"model": model, "digest": model and f"sha256:{model}", "slo": "lat", "stage": 1, "traffic": 0.1}
        data |= {name: value for name, value in said.items() if name not in ("at", "marks")}
        rows.append({
            "id": f"e{index}", "index": index, "type": kind, "stream": PROD, "actor": "p-author",
            "recorded_at": index, "occurred_at": said.get("at", index), "marks": said.get("marks", []), "data": data,
        })  # fmt: skip
    return rows


def follow(*told: tuple[Any, ...]) -> Service:
    return fold(PROD, entries(*told))


def blamed(service: Service) -> dict[str, list[int]]:
    return {key[0]: [one.index for one in found] for key, found in service.blamed.items() if found}


def test_what_is_reported_late_and_was_over_settles_nothing():
    told = [*BOTH, (HELD, TWO), (BACK, ONE)]
    for late in ((LIVE, ONE, {"at": 0.5}), (LIVE, TWO, {"at": 0.5}), ("canary.aborted", TWO, {"at": 0.5})):
        service = follow(*told, late)
        assert [(one.status, one.against) for one in service.decisions] == [("open", []), ("open", [])]
    for answer in ((LIVE, ONE, {"at": 1.5}), (LIVE, ONE)):
        service = follow(*told, (LIVE, ONE, {"at": 0.5}), answer)
        assert [(one.status, one.answer["index"]) for one in service.decisions] == [("followed", 5)] * 2


def test_an_abort_of_what_is_no_canary_settles_nothing():
    stage, abort = ("canary.stage_entered", TWO), ("canary.aborted", TWO)
    assert follow(*BOTH, (HELD, TWO), abort).decisions[0].status == "open", "it is live"
    assert follow((LIVE, ONE), stage, (HELD, TWO), abort).decisions[0].status == "followed"
    assert follow((LIVE, ONE), stage, (HELD, TWO), (LIVE, TWO), abort).decisions[0].status == "open", "it went live"
    late = ("canary.aborted", TWO, {"at": 0.5})
    assert follow((LIVE, ONE), stage, (HELD, TWO), late).decisions[0].status == "open", "it began again since"
    assert follow((LIVE, ONE), stage, (BACK, ONE), late).decisions[0].status == "open"
    assert follow((LIVE, ONE), stage, (BACK, ONE), abort).decisions[0].status == "followed"


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([], [2, 3]),
        ([("deployment.authorised", TWO)], [2, 3]),
        ([(LIVE, TWO)], [2, 3]),
        ([(LIVE, ONE)], [2, 3]),
        ([(LIVE, ONE), ("deployment.authorised", TWO)], [2]),
        ([(LIVE, ONE), (LIVE, TWO)], []),
        ([(LIVE, ONE), (LIVE, TWO, {"marks": ["unauthorised"]})], [2, 3]),
        ([(LIVE, ONE), ("rollback.completed", TWO)], [2, 3]),
        ([(LIVE, ONE), (LIVE, TWO, {"at": 0.5})], [2, 3]),
        ([(LIVE, ONE), ("canary.stage_entered", TWO), ("deployment.promoted", TWO)], []),
        ([(LIVE, ONE), ("canary.stage_entered", TWO), ("slo.breached", TWO), ("deployment.promoted", TWO)], [6]),
        ([("slo.recovered", TWO)], [3]),
        ([("slo.recovered", THREE)], [2, 3]),
        ([("slo.recovered", TWO, {"slo": "err"})], [2, 3]),
    ],
)
def test_what_clears_a_version_of_a_breach_and_of_a_return(told: list[Any], left: list[int]):
    service = follow(*BOTH, ("slo.breached", TWO), (BACK, ONE, {"trigger": "e2"}), *told)
    assert blamed(service) == ({TWO: left} if left else {})


def test_a_hold_speaks_against_a_version_until_it_is_over():
    held = [*BOTH, ("slo.breached", None), (HELD, TWO, {"trigger": "e2"})]
    assert blamed(follow(*held)) == {TWO: [2, 3]}, "who names no version means the one that came last"
    assert blamed(follow(*held, ("slo.recovered", TWO))) == {}
    named = [*BOTH, ("slo.breached", TWO), (HELD, TWO, {"trigger": "e2"}), ("slo.recovered", THREE)]
    assert follow(*named).decisions[0].status == "open", "another one recovered"
    lifted = follow(*held, ("deployment.authorised", TWO))
    assert (lifted.decisions[0].status, blamed(lifted)) == ("lifted", {TWO: [2]})
    assert blamed(follow((LIVE, ONE), ("canary.stage_entered", TWO), (BACK, ONE))) == {TWO: [2]}, "the canary is to go"


def test_a_return_is_told_of_what_serves_still():
    stages = [("canary.stage_entered", TWO), ("canary.stage_entered", THREE)]
    back = follow((LIVE, ONE), *stages, (BACK, ONE))
    assert [one["model"] for one in returns_of(back, 9)] == [TWO, THREE]
    promoted = follow((LIVE, ONE), *stages, (BACK, ONE), (LIVE, TWO))
    (told,) = returns_of(promoted, 9)
    assert (told["model"], told["to"], told["index"], told["status"]) == (TWO, ONE, 3, "open")


def held_by_judge(rows: list[JournalRow]) -> set[tuple[str, str]]:
    """What the judge takes as held, by the same entries."""
    holds = Holds()
    for row in rows:
        body = find_event_type(row["type"]).body.model_construct(**{"model": None, "trigger": None, **row["data"]})
        event: Any = SimpleNamespace(body=body, index=row["index"], occurred_at=row["occurred_at"],
                                     payload=SimpleNamespace(id=row["id"]))  # fmt: skip
        holds = evolve_holds(holds, event)
    return set(holds.standing)


def drawn(chance: random.Random, *, late: bool) -> list[tuple[Any, ...]]:
    """Some entries about two versions; a hold names the last breach, as long as that is not over."""
    kinds = (HELD, LIVE, "rollback.completed", "canary.stage_entered", "canary.aborted", "deployment.authorised",
             "slo.breached", "slo.recovered")  # fmt: skip
    told: list[tuple[Any, ...]] = []
    trigger = None
    for index in range(chance.randint(3, 9)):
        kind = chance.choice(kinds)
        more: dict[str, Any] = {"at": 9 + index - chance.choice((0, 0, 2, 3)) if late else 9 + index}
        if kind == HELD and trigger is not None:
            more["trigger"] = trigger
        elif kind.startswith("slo."):
            trigger = f"e{index}" if kind == "slo.breached" else None
        told.append((kind, chance.choice((ONE, TWO, None) if kind.startswith("slo.") else (ONE, TWO)), more))
    return told


@pytest.mark.parametrize("told", [
    [(LIVE, ONE), ("canary.stage_entered", TWO), (HELD, TWO), ("canary.aborted", TWO, {"at": 0})],
    [(LIVE, ONE, {"at": 1}), (LIVE, TWO, {"at": 2}), (HELD, TWO), (LIVE, ONE, {"at": 0})],
    [(LIVE, TWO), (HELD, TWO), ("canary.stage_entered", TWO), ("canary.aborted", TWO)],
    [(LIVE, ONE), ("canary.stage_entered", TWO), (LIVE, ONE, {"at": 8}), (HELD, TWO),
     ("canary.stage_entered", TWO, {"at": 7}), ("canary.aborted", TWO, {"at": 9})],
])  # fmt: skip
def test_the_judge_ends_no_hold_by_what_is_told_late_or_of_no_canary(told: list[Any]):
    assert [one.status for one in follow(*told).decisions] == ["open"]
    assert held_by_judge(entries(*told)) == {(TWO, f"sha256:{TWO}")}


def test_the_judge_takes_as_held_what_is_held_here_and_more_only_where_reports_come_late():
    chance, same, held = random.Random(7), 0, 0
    for late in [False, True] * 250:
        told = drawn(chance, late=late)
        here = {one.key for one in follow(*told).open_decisions() if one.action == "hold"}
        judged = held_by_judge(entries(*told))
        assert here <= judged, told
        assert here == judged or late, told
        same, held = same + (here == judged), held + bool(here)
    assert same > 450
    assert held > 100
