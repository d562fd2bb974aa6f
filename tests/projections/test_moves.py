"""The table of the life cycle is what happens: each row is driven through a ledger, and `state` says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from ledger.domain.moves import MOVES, SIDE_STATES, STATES, STOPPABLE, Move
from ledger.errors import PolicyError
from tests.contract.support import digest
from tests.projections.moving import RULES, Life
from tests.projections.support import Book

#: Rows that lead out of any state are shown from these.
FROM_ANY = {
    "version.registered": ("",), "approval.requested": ("registered", "evaluated", "rejected", "suspended", "approved"),
    "version.retired": ("registered", "approved"), "model.decommissioned": ("registered", "approved"),
    "quarantine.placed": ("registered", "approved"),
}  # fmt: skip


def drive(book: Book, number: int, move: Move, of: str) -> tuple[str, str]:
    """What the state says before a row is followed, and then."""
    life = Life(book, number, "stage" if move.to == "registered" and of else "prod")
    life.prepare(move, of)
    before = life.status()
    life.follow(move, of)
    return before, life.status()


def test_every_row_leads_from_where_to_where_it_says(quick_url: str, make_book: Callable[..., Book]):
    book = make_book(quick_url, rules=RULES)
    for actor in ("p-second", "p-stolen"):
        book.cast.enrol(actor, "person", ["approver", "validator"])
    rows = [(move, of) for move in MOVES for of in move.of or FROM_ANY.get(str(move.event), ("approved",))]
    if book.cast.url.startswith("postgres"):  # nothing of this is in SQL, so once for each move will do
        rows = list({(move.event, move.to, move.other): (move, of) for move, of in rows}.values())
    wrong = []
    for number, (move, of) in enumerate(rows):
        found = drive(book, number, move, of)
        if found != (of, move.to):
            wrong.append((move.event, (of, move.to), found))
    assert wrong == []
    assert {move.to for move, _ in rows} == set(STATES)


# -- what a table of a ledger's own may stop -------------------------------------------------------


def attempt(life: Life, decision: str) -> None:
    """Decide something about a version, in whatever state it is."""
    place = {"model": life.model, "digest": digest(life.model)}
    where = {"environment": life.environment, "digest": digest(life.model)}
    match decision:
        case "approval.requested":
            life.emit("p-author", decision, life.model, **where)
        case "approval.granted":
            life.emit("p-third", decision, life.model, **where, request=life.ids["first"], rationale="fit",
                      evidence=life.cites())  # fmt: skip
        case "waiver.requested":
            life.ask_for_waiver(f"{life.waiver}-two")
        case "waiver.granted":
            life.emit("p-second", decision, f"{life.waiver}-one", rationale="for now")
        case _:
            life.emit("p-deployer", decision, life.place, **place)


def led_to(life: Life, state: str, decision: str) -> None:
    """Lead it to a state; what the decision is about was asked for before."""
    if decision == "waiver.granted":
        life.ask_for_waiver(f"{life.waiver}-one")
    life.twice = decision == "approval.granted"
    if state == "rolled back":
        life.reach("live")
        life.follow(next(move for move in MOVES if move.to == state), "live")
        return
    life.reach("approval pending" if life.twice and state in SIDE_STATES else "approved" if state in SIDE_STATES
               else state)  # fmt: skip
    if state in SIDE_STATES:
        life.do("quarantine.placed" if state == "quarantined" else "version.retired")


def stopped_by(book: Book, decision: str, states: Iterable[str]) -> None:
    """Let states stop a decision from here on, and nothing else."""
    stops = [{"decision": decision, "states": [state]} for state in sorted(states)]
    table = {**RULES.model_dump(mode="json"), "stops": stops}
    book.cast.root.emit("ledger.rules_changed", f"ledger:{book.ledger.ledgerid}", rules=table, reason="ours")


def refusal(life: Life, decision: str) -> str:
    try:
        attempt(life, decision)
    except PolicyError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("decision", "kind"), [*((name, "sqlite") for name in sorted(STOPPABLE)), ("approval.granted", "postgres")]
)
def test_a_state_stops_a_decision_and_no_other_does(
    request: pytest.FixtureRequest, make_book: Callable[..., Book], decision: str, kind: str
):
    """Whoever is refused reads the state, the entry that led there, and the next step."""
    book = make_book(request.getfixturevalue(f"{kind}_url"), rules=RULES)
    for actor in ("p-second", "p-third"):
        book.cast.enrol(actor, "person", ["approver", "validator"])
    for number, state in enumerate(one for one in STATES if one in STOPPABLE[decision]):
        life = Life(book, number)
        stopped_by(book, decision, ())
        led_to(life, state, decision)
        assert state in life.states()
        stopped_by(book, decision, [state])
        with pytest.raises(PolicyError, match=f"^{decision} is refused for what is {state}: .*entr") as refused:
            attempt(life, decision)
        assert refused.value.hint
        stopped_by(book, decision, STOPPABLE[decision] - life.states())
        other = refusal(life, decision)
        # Nothing that is not approved is authorised, whatever is stopped.
        assert not other or (decision == "deployment.authorised" and "approval(s)" in other), (state, other)
