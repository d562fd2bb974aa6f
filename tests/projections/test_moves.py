"""The table of the life cycle is what happens: each row is driven through a ledger, and `state` says so."""

from __future__ import annotations

from collections.abc import Callable

from ledger.domain.moves import MOVES, STATES, Move
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
    wrong = []
    for number, (move, of) in enumerate(rows):
        found = drive(book, number, move, of)
        if found != (of, move.to):
            wrong.append((move.event, (of, move.to), found))
    assert wrong == []
    assert {move.to for move, _ in rows} == set(STATES)
