"""Every command and every kind of access to PostgreSQL: a reader asks everything, a writer signs, an eraser erases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.cli.support import Shop, run
from tests.cli.test_authorisation import MODEL, Cells
from tests.contract.tampering import remember_pure_results
from tests.unit.authorisation import COMMANDS, ROLES, WITHOUT_ACTOR, allowed

PROD = "deployment:dev/tx"
#: Commands that read the store, and words for them.
READS: Final[dict[str, tuple[object, ...]]] = {
    "actor list": (),
    "actor show": ("p-author",),
    "admin lifecycle": (),
    "admin rules show": (),
    "backup create": ("{access}.backup",),
    "checkpoint keys": (),
    "checkpoint show": (),
    "diff": (MODEL, "model:tx@2"),
    "doctor": (),
    "due": (),
    "emitter list": (),
    "export bundle": ("--all", "{access}.bundle"),
    "export tiles": ("{access}",),
    "failure-modes find": ("silent-drift",),
    "gate input": (MODEL, "--env", "prod"),
    "gate recheck": (),
    "gate replay": ("--file", "policy.yaml"),
    "history": (MODEL,),
    "hold list": (),
    "impact": (MODEL,),
    "import status": (),
    "inbox": (),
    "incident list": (),
    "inventory": (),
    "key list": (),
    "lineage": (MODEL,),
    "log": (),
    "policy list": (),
    "policy show": ("policy:p@1",),
    "projection rebuild": (),
    "projection status": (),
    "proof consistency": (2, 5),
    "proof inclusion": (2,),
    "report generate": ("control-assessment",),
    "serving check": (),
    "show": (3,),
    "slo check": (),
    "slo windows": ("monitor:m", "ms"),
    "state": (),
    "subject list": (),
    "timeline": ("incident:1",),
    "verify event": (3,),
    "verify file": ("policy.yaml",),
    "verify log": (),
    "waiver list": (),
    "why": (MODEL, "--env", "prod"),
}
#: Commands that ask no store for anything, or are about it as a whole and the owner's: made, moved, migrated, restored,
#: published, opened to others, given new root keys.
OTHERS: Final = frozenset(
    {
        "actor name", "admin copy", "admin grant", "admin migrate", "admin restore-accept", "admin restored",
        "backup restore", "backup verify", "checkpoint publish", "checkpoint timestamp", "checkpoint witness",
        "completion", "config explain", "export verifier", "failure-modes list", "import template", "init",
        "key attach", "key request", "policy lint", "policy starter", "admin rules starter", "report list",
        "root new-key",
        "root propose checkpoint-key", "root propose event", "root propose request", "root propose restored",
        "root propose roots", "root public", "root show", "root sign", "root submit", "subject rotate",
        "verify backup", "verify bundle", "verify checkpoint", "verify evidence", "witness add-log", "witness init",
        "witness serve", "witness show",
    }
)  # fmt: skip


@pytest.fixture
def cells(pg_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Cells:
    remember_pure_results(monkeypatch)
    monkeypatch.setenv("MUNIMENT_KEYS", str(pg_shop.keys))
    return Cells(pg_shop)


def _legal(cells: Cells) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every command that signs, with words by which it is legal for an actor who may."""
    for command, row in COMMANDS.items():
        actor = next(column for column in ROLES if allowed(row, column))
        words = cells.command(command, good=True)
        yield command, (*words, "--as", actor if actor == "root" else f"only-{actor}")


def test_every_command_has_a_row():
    assert READS.keys() | OTHERS == WITHOUT_ACTOR
    assert not READS.keys() & OTHERS


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_everybody_asks_everything(cells: Cells, access: Callable[[str], str], kind: str):
    shop = cells.shop
    shop.version("model:tx@2", signer="p-author")
    theirs, size, wrong = access(kind), shop.size(), []
    for command, words in READS.items():
        expected = run(*command.split(), *(str(word).format(access="owner") for word in words))
        done = run("--ledger", theirs, *command.split(), *(str(word).format(access=kind) for word in words))
        if done.code != expected.code or done.code not in (0, 1, 3):
            wrong.append((command, expected.code, done.code, expected.err.strip(), done.err.strip()))
    assert wrong == []
    assert shop.size() == size


def test_a_reader_changes_nothing(cells: Cells, access: Callable[[str], str]):
    theirs, wrong = access("reader"), []
    for command, words in _legal(cells):
        before = cells.shop.fingerprint()
        done = run("--ledger", theirs, *words)
        if done.code != 6 or "denie" not in done.err or cells.shop.fingerprint() != before:
            wrong.append((command, done.code, done.err.strip()))
    assert wrong == []


def test_a_writer_does_all_that_its_keys_may_but_erase(cells: Cells, access: Callable[[str], str]):
    theirs, wrong = access("writer"), []
    for command, words in _legal(cells):
        before = cells.shop.size()
        done = run("--ledger", theirs, *words)
        if done.code != (6 if command == "subject erase" else 0) or cells.shop.size() == before:
            wrong.append((command, done.code, done.err.strip()))
    assert wrong == []
    verified: Any = run("verify", "log", "-o", "json")
    assert all("is void" in item["message"] for item in verified.json["findings"])


def test_an_eraser_erases_what_is_recorded_as_erased(cells: Cells, access: Callable[[str], str]):
    theirs = access("eraser")
    for command, actor in (("subject erase", "only-eraser"), ("emit", "only-emitter")):
        run("--ledger", theirs, *cells.command(command, good=True), "--as", actor).good()
    erased = cells.command("subject erase", good=True)
    run("state").good()  # makes the views beside the log
    run("--ledger", theirs, *erased, "--as", "only-eraser").refused(6, "may not be dropped", "the same command")
    run(*erased, "--as", "only-eraser").good()
