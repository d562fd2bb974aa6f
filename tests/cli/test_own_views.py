"""Who may read a log on PostgreSQL and write nothing beside it keeps views of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ledger.config import state_folder
from tests.cli.gated import POLICY
from tests.cli.support import Shop, run

MODEL, PROD = "model:tx@1", "deployment:prod/tx"
SECRET = "Ann Poe of Sampleham called"  # no other test looks for it in the files of the same server
READ = (
    ("state", "-o", "json"),
    ("inventory", "-o", "json"),
    ("lineage", MODEL, "-o", "json"),
    ("history", MODEL, "-o", "json"),
    ("why", MODEL, "--env", "prod", "-o", "json"),
    ("timeline", "incident:1", "-o", "json"),
    ("report", "generate", "control-assessment", "-o", "json"),
)


def files() -> list[Path]:
    return sorted((state_folder() / "views").glob("*/*.db"))


@pytest.fixture
def team(pg_shop: Shop) -> Shop:
    """A ledger in which a version was made, and something was said about a person that may be withheld."""
    pg_shop.people()
    pg_shop.version(signer="p-author")
    pg_shop.enrol("p-eraser", "eraser")
    run("emit", "incident.opened", "incident:1", "-d", "title=scores are off").good()
    run("emit", "incident.noted", "incident:1", "-d", f"note={SECRET}").good()
    return pg_shop


def answers(*ledger: str) -> list[dict[str, object]]:
    """What the reading commands say of one moment of the log, without the time of asking."""
    told = []
    for command in READ:
        found = run(*ledger, *command).good().json
        told.append({name: value for name, value in found.items() if name not in ("asked_at", "as_of", "generated_at")})
    return told


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_they_read_what_the_owner_reads(team: Shop, access: Callable[[str], str], kind: str, postgres_dsn: str):
    as_role = ("--ledger", access(kind))
    theirs = answers(*as_role)
    (own,) = files()
    assert own.stat().st_mode & 0o077 == 0
    assert own.parent.stat().st_mode & 0o077 == 0
    schema = team.url.rpartition("=")[2]
    with psycopg.connect(postgres_dsn) as owner:
        made = owner.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (f"{schema}_views",)).fetchall()
    assert made == [], "they made nothing on the server"
    assert theirs == answers()
    assert files() == [own], "the owner's are beside the log"
    run("projection", "rebuild", "--ledger", access("reader") if kind == "writer" else as_role[1]).good()


def test_a_standby_is_read_as_well(team: Shop):
    assert answers("--ledger", f"{team.url}&options=-c%20default_transaction_read_only%3Don") == answers()
    assert len(files()) == 1


def test_a_pipeline_that_may_only_append_asks_its_gate(
    team: Shop, access: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MUNIMENT_KEYS", str(team.keys))
    Path("p.yaml").write_text(POLICY)
    team.enrol("p-second", "validator")
    run("policy", "define", "policy:p@1", "p.yaml", "--as", "p-second").good()
    check = (
        "--ledger",
        access("writer"),
        "gate",
        "check",
        MODEL,
        "--env",
        "prod",
        "--policy",
        "policy:p",
        "-o",
        "json",
    )
    refused = run(*check, "--as", "p-author")
    assert refused.code == 1, refused.err
    assert refused.json["result"] == "deny"
    assert json.loads(run("log", "-o", "json").stdout)[-1]["entry"]["type"] == "muniment.gate.evaluated.v1"


def test_nothing_that_is_withheld_by_now_stays_in_them(team: Shop, access: Callable[[str], str]):
    reader = ("--ledger", access("reader"))
    assert SECRET in run(*reader, "timeline", "incident:1").good().out
    (before,) = files()
    noted = run("log", "incident:1", "-o", "json").good().json[-1]["entry"]["index"]
    run("subject", "erase", "incident:1", "--entry", noted, "--basis", "b", "--reason", "r", "--as", "p-eraser").good()
    assert SECRET not in run(*reader, "timeline", "incident:1").good().out
    (after,) = files()
    assert after != before
    assert not [path for path in after.parent.iterdir() if SECRET.encode() in path.read_bytes()]


def test_a_state_folder_that_cannot_be_written_is_said(
    team: Shop, access: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    reader = ("--ledger", access("reader"))
    run(*reader, "log").good()
    monkeypatch.setattr("projections.views.own.state_folder", lambda: Path("/proc/nowhere"))
    run(*reader, "state").refused(6, "/proc/nowhere/views", "must be writable")


def test_whoever_may_not_drop_the_shared_views_is_told(
    team: Shop, access: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MUNIMENT_KEYS", str(team.keys))
    run("timeline", "incident:1").good()
    noted = run("log", "incident:1", "-o", "json").good().json[-1]["entry"]["index"]
    erase = ("subject", "erase", "incident:1", "--entry", noted, "--basis", "b", "--reason", "r", "--as", "p-eraser")
    run("--ledger", access("eraser"), *erase).refused(6, "may not be dropped")
