"""What the commands with two clocks say stays said: no later append changes it, whatever it is about."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.entry import format_time
from ledger.errors import LedgerError
from projections.model_state import periods, state_as_of
from projections.service import read_service
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, SECOND, Book, Reader, closing, open_book
from tests.projections.test_as_of import MODELS, MOVES, do

MORE = (
    "compose", "canary", "abort", "hold", "quarantine", "let go", "retire", "classify", "revoke", "withdraw", "waive",
    "grant", "urgent", "invalidate", "link", "consent", "own", "snapshot", "steal",
)  # fmt: skip
_MOVES = tuple(move for move in (*MOVES, *MORE) if move != "steal")
NEW = "deployment:prod/new"  # known by snapshots alone
SUBJECTS = ("model:scoring", MODELS[0], "dataset:base@1", PROD, NEW, INCIDENT)


def last(book: Book, kind: str) -> str:
    """Id of the last entry of a type; one that nobody has where there is none."""
    found = [row.entry.id for row in book.cast.recorder.rows(0, book.size) if f".{kind}." in row.entry.type]
    return found[-1] if found else "0" * 8 + "-0000-7000-8000-" + "0" * 12


def also(book: Book, move: str, model: str, at: float) -> None:
    """A move that the other test does not know; the ledger may refuse it."""
    body = {"model": model, "digest": digest(model)}
    later = format_time(book.clock.now + 5_000_000)
    bodies: dict[str, tuple[str, str, str, dict[str, Any]]] = {
        "compose": ("trainer", "version.composed", model, {"parents": [{"role": "base", "subject": MODELS[2]}]}),
        "canary": ("p-deployer", "canary.stage_entered", PROD, {**body, "stage": 1, "traffic": 0.1}),
        "abort": ("p-deployer", "canary.aborted", PROD, {**body, "reason": "slow"}),
        "hold": ("p-deployer", "deployment.held", PROD, {**body, "reason": "burns"}),
        "quarantine": ("p-deployer", "quarantine.placed", model, {"reason": "poisoned"}),
        "let go": ("p-approver", "quarantine.released", model,
                   {"quarantine": last(book, "quarantine.placed"), "rationale": "clean"}),
        "retire": ("p-author", "version.retired", model, {"reason": "old"}),
        "classify": ("p-approver", "risk.classified", model, {"tier": "low", "rationale": "toy"}),
        "revoke": ("p-approver", "approval.revoked", model,
                   {"approval": last(book, "approval.granted"), "rationale": "bias"}),
        "withdraw": ("p-author", "approval.withdrawn", model, {"request": last(book, "approval.requested")}),
        "waive": ("p-author", "waiver.requested", f"waiver:{model[-1]}",
                  {"check": "drift", "model": model, "environment": "prod", "owner": "p-author", "reason": "x",
                   "compensating_control": "y", "expires_at": later}),
        "grant": ("p-approver", "waiver.granted", f"waiver:{model[-1]}", {"rationale": "x"}),
        "urgent": ("p-deployer", "deployment.authorised", PROD,
                   {**body, "emergency": {"reason": "wave", "review_by": later}}),
        "invalidate": ("trainer", "evaluation.invalidated", model,
                       {"evaluation": last(book, "evaluation.completed"), "reason": "leak"}),
        "link": ("p-author", "incident.linked", INCIDENT, {"subject": model, "relation": "caused-by"}),
        "consent": ("trainer", "dataset.consent_changed", "dataset:base@1", {"status": "withdrawn"}),
        "own": ("p-author", "model.registered", "model:scoring", {"owner": "p-deployer"}),
        "snapshot": ("trainer", "serving.snapshot", NEW, {"loaded": [{"digest": digest(model), "model": model}]}),
    }  # fmt: skip
    try:
        if move == "steal":
            book.compromise("trainer", since=book.size // 2)
        else:
            actor, kind, subject, data = bodies[move]
            book.emit(actor, kind, subject, data, at=at)
    except (LedgerError, StopIteration):
        pass


def tell(book: Book, story: list[tuple[str, str, int]]) -> None:
    for move, model, at in story:
        (do if move in MOVES else also)(book, move, model, at)


def agree(book: Book) -> None:
    """What serves now is told by two folds: by periods, and from close by."""
    reader = book.reader()
    for at in (None, -10.0, 10.0):
        as_of = reader.as_of(at=at)
        for state in state_as_of(reader.runner.views, as_of, PROD)["deployments"]:
            running = {(one["model"], one["digest"]) for one in periods(state) if one["until"] is None}
            serving = read_service(reader.runner.views, as_of, PROD).serving()
            assert running == {one.key for one in serving}


def begin(book: Book) -> None:
    """Something that each question has an answer about."""
    book.version(MODELS[0], 0)
    book.release(MODELS[0], 1)
    book.version(SECOND, 1.1)
    book.open_incident(1.9, model=MODELS[0])


def said(reader: Reader, at: float | None, known: int) -> str:
    return json.dumps(reader.told(SUBJECTS, at=at, known=known))


def story(chance: random.Random) -> list[tuple[str, str, int]]:
    """Every move once, in any order, about any version, and when somebody says that it happened."""
    order = chance.sample(_MOVES, len(_MOVES))
    order.insert(chance.randint(len(order) // 2, len(order)), "steal")  # the trainer says nothing any more after that
    return [(move, chance.choice(MODELS), chance.randint(-12, 48)) for move in order]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 2**32))
def test_no_later_append_changes_what_was_said(number: int):
    chance = random.Random(number)
    whole, hour = story(chance), chance.randint(-14, 50)
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        with closing(open_book(f"sqlite:///{folder}/ledger.db")) as book:
            begin(book)
            told: dict[tuple[int | None, int], str] = {}
            for piece in (whole[:11], whole[11:22], whole[22:]):
                tell(book, piece)
                reader = book.reader()
                for at, known in ((None, reader.size), (hour, reader.size - 4)):
                    told[at, known] = said(reader, at, known)
            agree(book)
            again = list(told.items())
            for (at, known), answer in again[::2]:
                assert said(book.reader(), at, known) == answer, (at, known)
            # Nor does it matter who asks: a fresh fold of the log, and views made anew, say the same.
            book.ledger.world.forget()
            assert all(book.reader().runner.rebuild().values())
            for (at, known), answer in again[1::2]:
                assert said(book.reader(), at, known) == answer, (at, known)


def test_the_answers_are_not_empty(book: Book):
    """The test above would otherwise pass for commands that say nothing."""
    begin(book)
    for move in MORE:
        also(book, move, MODELS[0], 2)
    before, after = book.reader().told(SUBJECTS, at=1.8), book.reader().told(SUBJECTS)
    for question in ("state", "lineage", "impact", "history", "why"):
        assert not isinstance(after[f"{question} {MODELS[0]}"], str)
        assert before[f"{question} {MODELS[0]}"] != after[f"{question} {MODELS[0]}"] or question == "why"
    assert [one["deployment"] for one in after[f"impact {MODELS[0]}"]["loaded"]] == [NEW]
    assert [len(told[f"state {NEW}"]["deployments"]) for told in (before, after)] == [0, 1]
    for question in ("inventory", "waivers", "report", f"timeline {INCIDENT}", f"diff {MODELS[0]}"):
        assert not isinstance(after[question], str)
        assert before[question] != after[question]
    kinds = {
        row.entry.type.split(".")[1] + "." + row.entry.type.split(".")[2] for row in book.cast.recorder.rows(0, 999)
    }
    assert {"waiver.granted", "key.compromised", "quarantine.released", "canary.aborted", "incident.linked"} <= kinds
